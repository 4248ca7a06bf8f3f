//! Envoy: the static configuration's YAML; a control plane says the same.

use super::Advice;
use crate::cli::probe::attacks::Kind;

const MANAGER: &str = "the http_connection_manager";
const FILTERS: &str = "http_filters, as the first";
const REMOVED: &str = "request_headers_to_remove of the route_config";
const TAKEN: &str = "ext_authz: authorization_response.allowed_upstream_headers.patterns";
const ASKED_WITH: &str = "ext_authz: allowed_headers.patterns, and nothing else that begins with x-";
const ROUTES: &str = "every route to the backend";
const FIRST_ROUTES: &str = "the virtual host's routes, before all others";
const CLUSTER: &str = "the backend's cluster: HttpProtocolOptions.explicit_http_config";

const CHECK: &str = "- name: envoy.filters.http.ext_authz
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
    http_service:
      server_uri: { uri: \"http://DOORWARD\", cluster: doorward, timeout: 2s }
      path_prefix: /auth/envoy
      authorization_response:
        allowed_upstream_headers: { patterns: [{ exact: x-user }, { exact: x-user-id }, { exact: x-user-roles }, { exact: x-user-email }] }
    allowed_headers: { patterns: [{ exact: authorization }, { exact: cookie }, { exact: origin }, { exact: x-forwarded-for }, { exact: x-forwarded-proto }] }";

const CHECKED: &str = "typed_per_filter_config: { envoy.filters.http.ext_authz: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, check_settings: {} } }";

const PREFLIGHTS: &str = "- match: { prefix: \"/\", headers: [{ name: \":method\", string_match: { exact: OPTIONS } }] }
  route: { cluster: BACKEND, upgrade_configs: [{ upgrade_type: websocket, enabled: false }] }
  typed_per_filter_config: { envoy.filters.http.ext_authz: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, check_settings: { with_request_body: { max_request_bytes: 1024, allow_partial_message: true } } } }";

/// What closes a hole.
pub fn advice(kind: &Kind) -> Advice {
    let remove = |name: &str| Advice::at(REMOVED, [name.to_ascii_lowercase()]);
    match kind {
        Kind::NoCheck => Advice::at(FILTERS, [CHECK])
            .and(ROUTES, [CHECKED])
            .but("with a cluster doorward. Where the check stands there already and is not obeyed, look for failure_mode_allow: true, with which whatever the check does not answer passes: it has to go"),
        Kind::Identity(name) => Advice::at(TAKEN, [format!("{{ exact: {} }}", name.to_ascii_lowercase())])
            .but("on routes without the check: request_headers_to_remove"),
        Kind::LookAlike(name) if name.contains('_') => Advice::at(
            MANAGER,
            ["common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }"],
        ),
        Kind::LookAlike(name) => remove(name),
        Kind::HopByHop(_) => Advice::note(
            "Envoy takes no header away at a client's word, and hands no Connection on: another proxy of the chain lets it through; ask for its line with --consumer",
        ),
        Kind::Trailer(_) => Advice::at(CLUSTER, ["http_protocol_options: { enable_trailers: false }"])
            .but("the same in the http_connection_manager is not enough: clients' HTTP/2 has trailers always"),
        // With them, both are Envoy's own words; removed on a route they would be missing.
        Kind::Forwarded(name) if matches!(name.as_str(), "X-Forwarded-For" | "X-Forwarded-Proto") => Advice::at(
            MANAGER,
            [
                "use_remote_address: true",
                "skip_xff_append: false",
                "xff_num_trusted_hops: 0",
            ],
        ),
        Kind::Forwarded(name) | Kind::Override(name) => remove(name),
        Kind::TalkPast(_) => Advice::at(
            ASKED_WITH,
            [
                "{ exact: authorization }",
                "{ exact: cookie }",
                "{ exact: origin }",
                "{ exact: x-forwarded-for }",
                "{ exact: x-forwarded-proto }",
            ],
        )
        .and(MANAGER, ["use_remote_address: true"]),
        Kind::Path => Advice::at(ROUTES, [CHECKED])
            .and(
                MANAGER,
                [
                    "normalize_path: true",
                    "merge_slashes: true",
                    "path_with_escaped_slashes_action: REJECT_REQUEST",
                ],
            )
            .but("what is public, the check says"),
        Kind::Unchecked(_) => Advice::at(ROUTES, [CHECKED]).but("instead of one with disabled: true"),
        Kind::Preflight(_) => Advice::at(FIRST_ROUTES, [PREFLIGHTS]).but("Doorward then sees that there is a body"),
        Kind::Upgrade(_) => Advice::note(
            "Envoy hands no upgrade to h2c on, whatever it is told: another proxy of the chain lets it through; ask for its line with --consumer",
        ),
        Kind::Host => Advice::note(
            "Envoy believes one host alone: another proxy of the chain lets it through; ask for its line with --consumer",
        ),
    }
}
