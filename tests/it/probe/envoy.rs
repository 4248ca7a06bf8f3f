//! Envoy, with and without the lines that the probe prints for it.

use std::process::Command;

use super::{Echo, Program, TOKEN, check, probe};
use crate::support::upstream::Upstream;
use crate::support::venv;

/// Envoy with these lines about connections, and about the headers of all routes.
fn envoy(echo: &Echo, check: &Upstream, connections: &str, headers: &str) -> Program {
    let cluster = |name: &str, address: std::net::SocketAddr| {
        format!(
            "  - {{ name: {name}, type: STATIC, load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }} }}] }}] }} }}\n",
            address.port()
        )
    };
    let clusters = cluster("app", echo.address) + &cluster("check", check.address());
    let url = check.url();
    let [connections, headers] = [connections, headers].map(str::to_owned);
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
          {connections}
          route_config:
            {headers}
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: app }}
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              http_service:
                server_uri: {{ uri: "{url}", cluster: check, timeout: 10s }}
                authorization_response:
                  allowed_upstream_headers: {{ patterns: [{{ exact: x-user }}, {{ exact: x-user-roles }}] }}
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
fn wired_badly_and_with_the_lines_that_are_printed() {
    let (echo, check) = (Echo::start(), check());
    let said = |connections: &str, headers: &str| {
        let chain = envoy(&echo, &check, connections, headers);
        probe(&[&chain.url("/staff/x"), "--token", TOKEN])
    };
    let bad = said("", "");
    bad.found(&[
        ("forwarded_header", "X-Forwarded-For"),
        ("forwarded_header", "X-Forwarded-Host"),
        ("look_alike_header", "X_User"),
    ]);
    assert_eq!(bad.report["consumer"], "Envoy");
    let report = bad.report.to_string();
    for line in [
        "use_remote_address: true skip_xff_append: false xff_num_trusted_hops: 0",
        "in request_headers_to_remove of the route_config: x-forwarded-host",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
    let good = said(
        "use_remote_address: true\n          skip_xff_append: false\n          xff_num_trusted_hops: 0\n          common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }",
        "request_headers_to_remove: [x-forwarded-host, x-forwarded-port, x-forwarded-prefix, x-forwarded-uri, x-forwarded-method, x-original-url, x-original-method, x-rewrite-url, x-real-ip, forwarded, x-http-method-override, x-http-method, x-method-override, x.user, x.user.roles]",
    );
    good.clean();
}
