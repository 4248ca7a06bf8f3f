//! Chains whose check is Doorward's forward-auth.

use std::process::Command;

use super::chains::{NGINX_FORWARDING, caddy, caddy_of};
use super::{Echo, Program, probe};
use crate::support::gateway::TestGateway;
use crate::support::nginx::Nginx;
use crate::support::{client::Client, until, venv};

/// A gateway that answers whoever asks from here, and alice's token.
pub(super) fn gateway(echo: &Echo) -> (TestGateway, String) {
    let gateway = TestGateway::with(echo)
        .config("trusted_proxies = [\"127.0.0.1\"]\n")
        .route("/staff", "user")
        .public("/open")
        .user("alice", &["user"])
        .start();
    let token = gateway.login("alice");
    (gateway, token)
}

#[test]
fn nginx_wired_well_is_not_talked_past() {
    let echo = Echo::start();
    let (gateway, token) = gateway(&echo);
    let nginx = asking(&gateway, &echo, "", &format!("{WHICH} {HOW}"));
    let url = format!("{}/staff/x", nginx.url());
    probe(&[&url, "--token", &token, "--public", "/open/x"]).clean();
}

/// An nginx that asks the gateway, with these lines in its server, and in the location of the check.
fn asking(gateway: &TestGateway, echo: &Echo, server: &str, check: &str) -> Nginx {
    Nginx::serving(&format!(
        r#"
        {server}
        set $asks "$request_method:$http_upgrade:$http_content_length:$http_transfer_encoding";
        if ($asks ~ "^OPTIONS:(?!:0?:$)") {{ return 400; }}
        location = /check {{
            internal;
            proxy_pass http://{address}/auth/nginx;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Forwarded-For $remote_addr;
            {check}
        }}
        location / {{
            auth_request /check;
            auth_request_set $x_user $upstream_http_x_user;
            auth_request_set $x_user_roles $upstream_http_x_user_roles;
            proxy_set_header X-User $x_user;
            proxy_set_header X-User-Roles $x_user_roles;
            {NGINX_FORWARDING}
            proxy_pass http://{echo};
        }}
        "#,
        address = gateway.http_address(),
        echo = echo.address
    ))
}

/// What the check is asked about, as it has to be.
const WHICH: &str = "proxy_set_header X-Original-URL $scheme://$host$request_uri;";
const HOW: &str = "proxy_set_header X-Original-Method $request_method;";

/// A preflight passes without credentials; a GET that the check takes for one does too.
#[test]
fn nginx_that_believes_the_clients_word_about_the_method() {
    let echo = Echo::start();
    let (gateway, token) = gateway(&echo);
    let nginx = asking(
        &gateway,
        &echo,
        "set $xm $request_method; if ($http_x_original_method) { set $xm $http_x_original_method; }",
        &format!("{WHICH} proxy_set_header X-Original-Method $xm;"),
    );
    let url = format!("{}/staff/x", nginx.url());
    let said = probe(&[&url, "--token", &token, "--public", "/open/x"]);
    said.found(&[("check_talked_past", "X-Original-Method")]);
    let report = said.report.to_string();
    assert!(
        report.contains("X-Original-Method: OPTIONS, Origin: http://"),
        "{report}"
    );
    assert!(!report.contains("no_check"), "{report}");
}

/// A gateway that has the protected route on one host alone, and somewhere open on all.
pub(super) fn gateway_of_localhost(echo: &Echo) -> (TestGateway, String) {
    let gateway = TestGateway::with(echo)
        .config("trusted_proxies = [\"127.0.0.1\"]\n")
        .route_with("/staff", "hosts = [\"localhost\"]\nroles_any = [\"user\"]")
        .user("alice", &["user"])
        .start();
    let token = gateway.login("alice");
    (gateway, token)
}

/// With the token, what names another host is refused; a client knows of a host where nothing is.
#[test]
fn a_check_that_believes_the_clients_word_about_the_host() {
    let echo = Echo::start();
    let (gateway, token) = gateway_of_localhost(&echo);
    let nginx = asking(
        &gateway,
        &echo,
        "set $xh $http_host; if ($http_x_forwarded_host) { set $xh $http_x_forwarded_host; }",
        &format!("proxy_set_header X-Original-URL $scheme://$xh$request_uri; {HOW}"),
    );
    let port = nginx.address().port();
    let resolve = format!("localhost:{port}:127.0.0.1");
    let url = format!("http://localhost:{port}/staff/x");
    let said = probe(&[&url, "--token", &token, "--resolve", &resolve]);
    said.found(&[("check_talked_past", "X-Forwarded-Host")]);
    assert_eq!(said.holes().len(), 1, "{:?}", said.holes());
    // The same, from the request's own host: nothing. And so does who refuses the header altogether.
    for server in ["", "if ($http_x_forwarded_host) { return 400; }"] {
        let nginx = asking(&gateway, &echo, server, &format!("{WHICH} {HOW}"));
        let port = nginx.address().port();
        let resolve = format!("localhost:{port}:127.0.0.1");
        let url = format!("http://localhost:{port}/staff/x");
        probe(&[&url, "--token", &token, "--resolve", &resolve]).clean();
    }
}

#[test]
fn caddy_that_trusts_everybody_is_talked_past() {
    let echo = Echo::start();
    let (gateway, token) = gateway_of_localhost(&echo);
    let site = format!(
        "  forward_auth {} {{\n    uri /auth/caddy\n    copy_headers X-User X-User-Roles\n  }}\n  reverse_proxy {}",
        gateway.http_address(),
        echo.address
    );
    for (trusts, talked_past) in [
        ("servers {\n    trusted_proxies static 0.0.0.0/0\n  }", true),
        ("", false),
    ] {
        let chain = caddy_of("localhost", trusts, &site);
        let port = chain.address.port();
        let resolve = format!("localhost:{port}:127.0.0.1");
        let url = format!("http://localhost:{port}/staff/x");
        let said = probe(&[&url, "--token", &token, "--resolve", &resolve]);
        let hole = ("check_talked_past".to_owned(), "X-Forwarded-Host".to_owned());
        assert_eq!(said.holes().contains(&hole), talked_past, "{:?}", said.holes());
    }
}

/// What is beside the protected path is open to everybody, and no spelling of it is that path.
#[test]
fn an_open_path_beside_the_protected_one_is_no_hole() {
    let echo = Echo::start();
    let gateway = TestGateway::with(&echo)
        .config("trusted_proxies = [\"127.0.0.1\"]\n")
        .route("/user", "user")
        .public("/")
        .user("alice", &["user"])
        .start();
    let token = gateway.login("alice");
    let nginx = asking(&gateway, &echo, "", &format!("{WHICH} {HOW}"));
    let url = format!("{}/user", nginx.url());
    probe(&[&url, "--token", &token, "--public", "/open/x"]).clean();
}

/// In a location of the check `$uri` is that location's own: the check is asked about a path that is open.
#[test]
fn nginx_that_asks_about_the_check_itself() {
    let echo = Echo::start();
    let gateway = TestGateway::with(&echo)
        .config("trusted_proxies = [\"127.0.0.1\"]\n")
        .route("/staff", "user")
        .public("/")
        .user("alice", &["user"])
        .start();
    let token = gateway.login("alice");
    let nginx = |uri: &str| {
        let which = format!("proxy_set_header X-Original-URL $scheme://$http_host{uri};");
        asking(&gateway, &echo, "", &format!("{which} {HOW}"))
    };
    let bad = nginx("$uri");
    let said = probe(&[&format!("{}/staff/x", bad.url()), "--token", &token, "--public", "/"]);
    said.found(&[("no_check", "the URL")]);
    assert_eq!(said.holes().first().map(|(kind, _)| kind.as_str()), Some("no_check"));
    let good = nginx("$request_uri");
    probe(&[&format!("{}/staff/x", good.url()), "--token", &token, "--public", "/"]).clean();
}

#[test]
fn caddy_wired_well_is_not_talked_past() {
    let echo = Echo::start();
    let (gateway, token) = gateway(&echo);
    let removed: String = [
        "X-Original-*",
        "X-Rewrite-*",
        "X-Real-Ip",
        "Forwarded",
        "X-Http-Method*",
        "X-Method-Override",
        "X.User*",
    ]
    .iter()
    .map(|name| format!("    request_header -{name}\n"))
    .collect();
    let site = format!(
        "  route {{\n    @dropped header_regexp Connection (?i)x-\n    respond @dropped 400\n    @plain not header_regexp Upgrade (?i)^websocket$\n    request_header @plain -Upgrade\n    @length {{\n      method OPTIONS\n      header Content-Length *\n    }}\n    @chunks {{\n      method OPTIONS\n      header Transfer-Encoding *\n    }}\n    @upgrade {{\n      method OPTIONS\n      header Upgrade *\n    }}\n    respond @length 400\n    respond @chunks 400\n    respond @upgrade 400\n{removed}    forward_auth {} {{\n      uri /auth/caddy\n      copy_headers X-User X-User-Roles\n    }}\n    reverse_proxy {} {{\n      header_up -X-Forwarded-Uri\n      header_up -X-Forwarded-Method\n      header_up -X-Forwarded-Port\n      header_up -X-Forwarded-Prefix\n    }}\n  }}",
        gateway.http_address(),
        echo.address
    );
    let chain = caddy(&site);
    probe(&[&chain.url("/staff/x"), "--token", &token, "--public", "/open/x"]).clean();
}

/// Traefik with these middlewares for everything, and these arguments.
fn traefik(echo: &Echo, names: &str, middlewares: &str, arguments: &'static [&'static str]) -> Program {
    let dynamic = format!(
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: app\n      middlewares: [{names}]\n  services:\n    app:\n      loadBalancer:\n        servers: [{{ url: \"http://{}\" }}]\n  middlewares:\n{middlewares}",
        echo.address
    );
    let program = Program::start(
        "traefik",
        "dynamic.yml",
        move |_| dynamic.clone(),
        |file, port| {
            let mut command = Command::new(venv::program("proxies", "traefik"));
            command
                .arg(format!("--entryPoints.web.address=127.0.0.1:{port}"))
                .arg(format!("--providers.file.filename={}", file.display()))
                .args(["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"])
                .args(arguments);
            command
        },
    );
    // It listens before it has read its routes.
    until("Traefik knows its routes", || {
        (Client::new(program.address).get("/staff/x").status != 404).then_some(())
    });
    program
}

#[test]
fn traefik_wired_badly() {
    let echo = Echo::start();
    let (gateway, token) = gateway(&echo);
    // It passes on what the client says of the original request, and takes only one header from the answer.
    let middlewares = format!(
        "    check:\n      forwardAuth:\n        address: http://{}/auth/traefik\n        trustForwardHeader: true\n        authResponseHeaders: [X-User]\n",
        gateway.http_address()
    );
    let chain = traefik(
        &echo,
        "check",
        &middlewares,
        &["--entryPoints.web.forwardedHeaders.insecure=true"],
    );
    let url = chain.url("/staff/x");
    let said = probe(&[&url, "--token", &token, "--public", "/open/x", "--consumer", "traefik"]);
    said.found(&[
        ("identity_header", "X-User-Roles"),
        ("forwarded_header", "X-Forwarded-Host"),
        ("forwarded_header", "X-Original-URL"),
        ("method_override", "X-HTTP-Method-Override"),
        ("check_talked_past", "X-Forwarded-Uri"),
    ]);
    assert!(
        !said.holes().contains(&("identity_header".into(), "X-User".into())),
        "{:?}",
        said.holes()
    );
    let report = said.report.to_string();
    assert!(report.contains("trustForwardHeader: false"), "{report}");
}

#[test]
fn traefik_wired_well_is_not_talked_past() {
    let echo = Echo::start();
    let (gateway, token) = gateway(&echo);
    let removed: String = [
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Original-URL",
        "X-Original-Method",
        "X-Rewrite-URL",
        "Forwarded",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X_User",
        "X_User_Roles",
        "X.User",
        "X.User.Roles",
        "X_Forwarded_For",
        "X_Forwarded_Host",
        "X_Forwarded_Proto",
        "X_Forwarded_Port",
        "X_Forwarded_Prefix",
        "X_Forwarded_Uri",
        "X_Forwarded_Method",
        "Upgrade",
    ]
    .iter()
    .map(|name| format!("          {name}: \"\"\n"))
    .collect();
    let middlewares = format!(
        "    check:\n      forwardAuth:\n        address: http://{}/auth/traefik\n        trustForwardHeader: false\n        forwardBody: true\n        authResponseHeaders: [X-User, X-User-Roles]\n    clean:\n      headers:\n        customRequestHeaders:\n{removed}    whole:\n      buffering: {{ maxRequestBodyBytes: 10485760 }}\n",
        gateway.http_address()
    );
    let chain = traefik(&echo, "clean, check, whole", &middlewares, &[]);
    let url = chain.url("/staff/x");
    probe(&[&url, "--token", &token, "--public", "/open/x"]).clean();
}
