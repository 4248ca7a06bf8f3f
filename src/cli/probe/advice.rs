//! The line that closes a hole, for each consumer.

use clap::ValueEnum;

use super::attacks::Kind;
use super::message::{Field, find};

/// What stands in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Consumer {
    Nginx,
    Traefik,
    Caddy,
    Envoy,
    Haproxy,
}

impl Consumer {
    pub const ALL: [Self; 5] = [Self::Nginx, Self::Traefik, Self::Caddy, Self::Envoy, Self::Haproxy];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "Traefik",
            Self::Caddy => "Caddy",
            Self::Envoy => "Envoy",
            Self::Haproxy => "HAProxy",
        }
    }

    /// By what its answers say, where they do.
    pub fn guess(answer: &[Field]) -> Option<Self> {
        let said = ["server", "via"].map(|name| find(answer, name).unwrap_or_default().to_ascii_lowercase());
        let said = said.join(" ");
        let envoy = answer
            .iter()
            .any(|(name, _)| name.to_ascii_lowercase().starts_with("x-envoy-"));
        match () {
            () if said.contains("nginx") || said.contains("openresty") => Some(Self::Nginx),
            () if said.contains("caddy") => Some(Self::Caddy),
            () if envoy || said.contains("envoy") => Some(Self::Envoy),
            () => None,
        }
    }

    /// What closes this hole.
    pub fn line(self, kind: &Kind) -> String {
        match self {
            Self::Nginx => nginx(kind),
            Self::Traefik => traefik(kind),
            Self::Caddy => caddy(kind),
            Self::Envoy => envoy(kind),
            Self::Haproxy => haproxy(kind),
        }
    }
}

/// As a variable of nginx: `x_user`.
fn variable(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

fn nginx(kind: &Kind) -> String {
    match kind {
        Kind::NoCheck => "auth_request /check; in every location that leads to the backend, without a condition, and no satisfy any; location = /check { internal; proxy_pass http://DOORWARD/auth/nginx; proxy_pass_request_body off; proxy_set_header Content-Length \"\"; proxy_set_header X-Original-URL $scheme://$http_host$request_uri; proxy_set_header X-Original-Method $request_method; proxy_set_header X-Forwarded-For $remote_addr; } ($request_uri: $uri is /check itself there)".to_owned(),
        Kind::Identity(name) => {
            let variable = variable(name);
            format!(
                "in every location that leads to the backend: auth_request_set ${variable} $upstream_http_{variable}; proxy_set_header {name} ${variable}; (where nothing is checked: proxy_set_header {name} \"\";)"
            )
        }
        Kind::LookAlike(_) => "underscores_in_headers off; ignore_invalid_headers on; (both are the defaults)".to_owned(),
        Kind::HopByHop(_) => "proxy_set_header Connection \"\"; (for WebSockets: a map of $http_upgrade, never $http_connection)".to_owned(),
        Kind::Trailer(_) => "proxy_pass_trailers off; and remove what passes them on".to_owned(),
        Kind::Forwarded(name) | Kind::Override(name) => {
            let value = match name.as_str() {
                "X-Forwarded-For" | "X-Real-IP" => "$remote_addr",
                "X-Forwarded-Proto" => "$scheme",
                "X-Forwarded-Host" => "$host",
                "X-Forwarded-Port" => "$server_port",
                _ => "\"\"",
            };
            format!("proxy_set_header {name} {value};")
        }
        Kind::TalkPast(_) => "in the location of the check: proxy_set_header X-Original-URL $scheme://$http_host$request_uri; proxy_set_header X-Original-Method $request_method; proxy_set_header X-Forwarded-For $remote_addr; and in every other one: auth_request, without a condition".to_owned(),
        Kind::Path => "location / { auth_request …; } for all that leads to the backend, X-Original-URL from $request_uri, and proxy_pass without a path behind the address".to_owned(),
    }
}

fn traefik(kind: &Kind) -> String {
    let remove =
        |name: &str| format!("http.middlewares.NAME.headers.customRequestHeaders: {{ {name}: \"\" }}, on every router");
    match kind {
        Kind::NoCheck => "http.routers.NAME.middlewares: [CHECK] on every router to the backend, and http.middlewares.CHECK.forwardAuth: { address: http://DOORWARD/auth/traefik, trustForwardHeader: false }".to_owned(),
        Kind::Identity(name) => format!(
            "http.middlewares.NAME.forwardAuth.authResponseHeaders: [{name}]; on routers without the check: {}",
            remove(name)
        ),
        Kind::LookAlike(name) => remove(name),
        Kind::HopByHop(_) => "update Traefik (CVE-2024-45410, CVE-2026-29054)".to_owned(),
        Kind::Trailer(name) => format!("http.middlewares.NAME.buffering: {{ maxRequestBodyBytes: 10485760 }} on the router, so that the trailer {name} is not passed on"),
        Kind::Forwarded(name) => format!(
            "entryPoints.NAME.forwardedHeaders: no insecure, trustedIPs only of your own proxies; {}",
            remove(name)
        ),
        Kind::Override(name) => remove(name),
        Kind::TalkPast(_) => "http.middlewares.NAME.forwardAuth.trustForwardHeader: false, and entryPoints.NAME.forwardedHeaders without insecure".to_owned(),
        Kind::Path => "the forwardAuth middleware on every router to the backend, before stripPrefix and replacePath".to_owned(),
    }
}

fn caddy(kind: &Kind) -> String {
    match kind {
        Kind::NoCheck => "forward_auth DOORWARD { uri /auth/caddy } for the whole site, in a route { … } before reverse_proxy".to_owned(),
        Kind::Identity(name) => format!(
            "request_header -{name} before everything else in the site (order it with route {{ … }}), and copy_headers {name} in forward_auth"
        ),
        Kind::LookAlike(name) | Kind::Forwarded(name) | Kind::Override(name) => format!("request_header -{name}"),
        Kind::HopByHop(name) => format!("@dropped header_regexp Connection (?i){name} and respond @dropped 400"),
        Kind::Trailer(_) => "@trailers header Trailer * and respond @trailers 400".to_owned(),
        Kind::TalkPast(_) => "trusted_proxies only of your own proxies; forward_auth sets X-Forwarded-Method and -Uri itself: let no header_up in it undo that".to_owned(),
        Kind::Path => "forward_auth for the whole site, not below a path matcher, and before uri strip_prefix and rewrite".to_owned(),
    }
}

fn envoy(kind: &Kind) -> String {
    let remove = |name: &str| format!("request_headers_to_remove: [{}]", name.to_ascii_lowercase());
    match kind {
        Kind::NoCheck => "the filter envoy.filters.http.ext_authz with http_service: { server_uri: …, path_prefix: /auth/envoy } before the router, without failure_mode_allow, and no route with disabled: true".to_owned(),
        Kind::Identity(name) => format!(
            "ext_authz: authorization_response.allowed_upstream_headers.patterns: [{{ exact: {} }}]; on routes without the check: {}",
            name.to_ascii_lowercase(),
            remove(name)
        ),
        Kind::LookAlike(name) => format!(
            "common_http_protocol_options: {{ headers_with_underscores_action: REJECT_REQUEST }}; {}",
            remove(name)
        ),
        Kind::HopByHop(_) => "update Envoy; it passes on no header that Connection names only where it sets it itself: set the header in the route's request_headers_to_add".to_owned(),
        Kind::Trailer(_) => "http_protocol_options: { enable_trailers: false }".to_owned(),
        // With them, both are Envoy's own words; removed on a route they would be missing.
        Kind::Forwarded(name) if matches!(name.as_str(), "X-Forwarded-For" | "X-Forwarded-Proto") => {
            "use_remote_address: true, skip_xff_append: false, xff_num_trusted_hops: 0".to_owned()
        }
        Kind::Forwarded(name) => remove(name),
        Kind::Override(name) => remove(name),
        Kind::TalkPast(_) => "use_remote_address: true, and no X-Forwarded-* but -For and -Proto in ext_authz's allowed_headers".to_owned(),
        Kind::Path => "normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: REJECT_REQUEST, and ext_authz on every route to the backend".to_owned(),
    }
}

fn haproxy(kind: &Kind) -> String {
    match kind {
        Kind::NoCheck => "http-request lua.auth-request … in the frontend, without a condition, and behind it http-request deny if !{ var(txn.auth_response_successful) -m bool }".to_owned(),
        Kind::Identity(name) => format!(
            "http-request del-header {name} in the frontend, before it is set from the check's answer"
        ),
        Kind::LookAlike(name) | Kind::Trailer(name) if matches!(kind, Kind::LookAlike(_)) => {
            let pattern: String = name
                .chars()
                .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '.' })
                .collect();
            format!("http-request del-header (?i)^{pattern}$ -m reg")
        }
        Kind::LookAlike(_) | Kind::Trailer(_) => {
            "http-request deny if { req.hdr(transfer-encoding) -m found } (before HAProxy 3.0 no line takes trailers out, and a rule about the Trailer field misses those that are not declared; this one refuses every chunked HTTP/1.1 body, so clients have to send Content-Length; where they cannot, let Doorward be the proxy behind it; from 3.0 on: option http-drop-request-trailers)".to_owned()
        }
        Kind::HopByHop(name) => format!("http-request deny if {{ req.hdr(connection) -m sub -i {name} }}"),
        Kind::Forwarded(name) => match name.as_str() {
            "X-Forwarded-For" | "X-Real-IP" => format!("http-request set-header {name} %[src]"),
            "X-Forwarded-Proto" => "http-request set-header X-Forwarded-Proto https if { ssl_fc }, and http unless".to_owned(),
            "X-Forwarded-Host" => "http-request set-header X-Forwarded-Host %[req.hdr(host)]".to_owned(),
            _ => format!("http-request del-header {name}"),
        },
        Kind::Override(name) => format!("http-request del-header {name}"),
        Kind::TalkPast(_) => "http-request set-header X-Forwarded-Method %[method], -Uri %[pathq], -Host %[req.hdr(host)], -Proto and -For before the check".to_owned(),
        Kind::Path => "the check in the frontend for everything, not below an acl of path_beg".to_owned(),
    }
}
