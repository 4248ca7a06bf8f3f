//! Envoy.

use std::process::Command;

use super::{Lines, Program, Scene};
use crate::support::venv;

const MANAGER: &str = "the http_connection_manager";
const FILTERS: &str = "http_filters, as the first";
const REMOVED: &str = "request_headers_to_remove of the route_config";
const TAKEN: &str = "ext_authz: authorization_response.allowed_upstream_headers.patterns";
const ASKED_WITH: &str = "ext_authz: allowed_headers.patterns";
const ROUTES: &str = "every route to the backend";
const FIRST_ROUTES: &str = "the virtual host's routes, before all others";
const CLUSTER: &str = "the backend's cluster";

const UNCHECKED: &str = "typed_per_filter_config: { envoy.filters.http.ext_authz: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true } }";

/// What is wired badly.
#[derive(Default)]
struct Bad<'a> {
    manager: &'a [&'a str],
    /// Matches of routes that are not checked.
    unchecked: &'a [&'a str],
    no_check: bool,
    cluster: &'a [&'a str],
    /// In the place of the headers with which the check is asked.
    asked_with: Option<&'a [&'a str]>,
    /// The address of another check, which is asked below this path.
    check: Option<std::net::SocketAddr>,
}

fn envoy(scene: &Scene, lines: &Lines, bad: &Bad<'_>) -> Program {
    let asked = bad.check.unwrap_or(scene.gateway.http_address());
    let cluster = |name: &str, address: std::net::SocketAddr, more: &str| {
        format!(
            "  - name: {name}\n    load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }} }}] }}] }}\n{more}",
            address.port()
        )
    };
    let protocol = lines.at(CLUSTER, bad.cluster).join(", ");
    let protocol = format!(
        "    typed_extension_protocol_options:\n      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n        explicit_http_config: {{ {} }}\n",
        if protocol.is_empty() {
            "http_protocol_options: {}"
        } else {
            &protocol
        }
    );
    let clusters = cluster("app", scene.echo.address, &protocol) + &cluster("doorward", asked, "");
    let mut routes = lines
        .text(FIRST_ROUTES, &[], "              ")
        .replace("BACKEND", "app");
    for (matched, there) in bad
        .unchecked
        .iter()
        .map(|matched| (*matched, Some(UNCHECKED)))
        .chain([("{ prefix: \"/\" }", None)])
    {
        let there: Vec<&str> = there.into_iter().filter(|_| !bad.no_check).collect();
        routes += &format!(
            "              - match: {matched}\n                route: {{ cluster: app }}\n{}",
            lines.text(ROUTES, &there, "                ")
        );
    }
    let filter = if bad.no_check {
        lines.text(FILTERS, &[], "          ")
    } else {
        let known = [
            "{ exact: authorization }",
            "{ exact: cookie }",
            "{ exact: x-forwarded-for }",
            "{ exact: x-forwarded-proto }",
        ];
        let told = lines.at(ASKED_WITH, &[]);
        let patterns = match told.is_empty() {
            true => bad.asked_with.unwrap_or(&known).join(", "),
            false => told.join(", "),
        };
        format!(
            "          - name: envoy.filters.http.ext_authz\n            typed_config:\n              \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\n              http_service:\n                server_uri: {{ uri: \"http://{asked}\", cluster: doorward, timeout: 10s }}\n                path_prefix: /auth/envoy\n                authorization_response: {{ allowed_upstream_headers: {{ patterns: [{}] }} }}\n              allowed_headers: {{ patterns: [{patterns}] }}\n",
            lines.at(TAKEN, &["{ exact: x-user }"]).join(", ")
        )
    };
    let removed = lines.at(REMOVED, &[]).join(", ");
    let manager = lines.text(MANAGER, bad.manager, "          ");
    Program::start(
        "envoy",
        "envoy.yaml",
        move |port| {
            format!(
                r#"
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
{manager}
          route_config:
            request_headers_to_remove: [{removed}]
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
{routes}
          http_filters:
{filter}
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
{clusters}"#
            )
        },
        |file, _| {
            let mut command = Command::new(venv::program("proxies", "envoy"));
            command
                .args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "warning", "-c"])
                .arg(file);
            command
        },
    )
}

#[test]
fn headers() {
    let scene = Scene::new();
    let kinds = [
        "identity_header",
        "look_alike_header",
        "forwarded_header",
        "method_override",
        "trailer",
    ];
    scene.closes("envoy", &[], &kinds, |lines| {
        let bad = Bad {
            manager: &["http_protocol_options: { enable_trailers: true }"],
            cluster: &["http_protocol_options: { enable_trailers: true }"],
            ..Bad::default()
        };
        envoy(&scene, lines, &bad)
    });
}

#[test]
fn a_check_for_some() {
    let scene = Scene::new();
    let kinds = ["not_checked", "path_trick"];
    scene.closes("envoy", &["--public", "/open"], &kinds, |lines| {
        let bad = Bad {
            unchecked: &[
                "{ prefix: \"/open\" }",
                "{ prefix: \"/\", headers: [{ name: \":method\", string_match: { exact: OPTIONS } }] }",
            ],
            ..Bad::default()
        };
        envoy(&scene, lines, &bad)
    });
}

#[test]
fn more_than_a_preflight() {
    let scene = Scene::new();
    let asked_with = [
        "{ exact: access-control-request-method }",
        "{ exact: authorization }",
        "{ exact: origin }",
    ];
    scene.closes("envoy", &[], &["preflight"], |lines| {
        let bad = Bad {
            manager: &["upgrade_configs: [{ upgrade_type: websocket }]"],
            asked_with: Some(&asked_with),
            ..Bad::default()
        };
        envoy(&scene, lines, &bad)
    });
}

#[test]
fn no_check() {
    let scene = Scene::new();
    scene.closes("envoy", &["--public", "/open"], &["no_check"], |lines| {
        let bad = Bad {
            no_check: true,
            ..Bad::default()
        };
        envoy(&scene, lines, &bad)
    });
}

/// Doorward believes none of them at this address; another check may.
#[test]
fn a_check_that_believes_the_client() {
    let scene = Scene::new();
    let token = format!("Bearer {}", scene.token);
    let check = crate::support::upstream::Upstream::answering(move |request| {
        let open = request
            .header("x-original-url")
            .is_some_and(|url| url.ends_with("/open"));
        let shown = request.header("authorization") == Some(token.as_str());
        crate::support::reply::Reply::new(if open || shown { 200 } else { 401 }, &[], "")
    });
    scene.closes("envoy", &["--public", "/open"], &["check_talked_past"], |lines| {
        let bad = Bad {
            unchecked: &["{ path: \"/open\" }"],
            asked_with: Some(&["{ exact: authorization }", "{ prefix: x- }"]),
            check: Some(check.address()),
            ..Bad::default()
        };
        envoy(&scene, lines, &bad)
    });
}

/// For these it has no line: there is no such hole.
#[test]
fn what_it_hands_on_of_nobody() {
    let scene = Scene::of_localhost();
    let bad = Bad {
        manager: &["upgrade_configs: [{ upgrade_type: h2c }]"],
        ..Bad::default()
    };
    let said = scene.probe("envoy", &envoy(&scene, &Lines::default(), &bad), &[]);
    said.has_none(&["hop_by_hop_removal", "host_header", "upgrade"]);
}
