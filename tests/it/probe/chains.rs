//! Chains of real programs: nginx, HAProxy, Caddy, Traefik.

use std::process::Command;

use super::{Echo, Program, TOKEN, check, probe};
use crate::support::nginx::Nginx;
use crate::support::venv;

/// Every forwarding header that nginx has to be told about.
pub(super) const NGINX_FORWARDING: &str = r#"
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Prefix "";
    proxy_set_header X-Forwarded-Uri "";
    proxy_set_header X-Forwarded-Method "";
    proxy_set_header X-Original-URL "";
    proxy_set_header X-Original-Method "";
    proxy_set_header X-Rewrite-URL "";
    proxy_set_header Forwarded "";
    proxy_set_header X-HTTP-Method-Override "";
    proxy_set_header X-HTTP-Method "";
    proxy_set_header X-Method-Override "";
"#;

#[test]
fn nginx_wired_badly() {
    let (echo, check) = (Echo::start(), check());
    // The identity is not taken from the check, what is protected is so by its prefix alone, and by one header that a client may
    // send, odd names pass.
    let nginx = Nginx::serving(&format!(
        r#"
        underscores_in_headers on;
        ignore_invalid_headers off;
        location = /check {{
            internal;
            proxy_pass {check};
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
        location /staff {{
            auth_request /check;
            proxy_pass http://{echo};
        }}
        location / {{ proxy_pass http://{echo}; }}
        "#,
        check = check.url(),
        echo = echo.address
    ));
    let url = format!("{}/staff/x", nginx.url());
    let said = probe(&[&url, "--token", TOKEN, "--public", "/open"]);
    said.found(&[
        ("identity_header", "X-User"),
        ("identity_header", "X-User-Roles"),
        ("look_alike_header", "X_User"),
        ("look_alike_header", "X.User"),
        ("look_alike_header", "X_Forwarded_Proto"),
        ("forwarded_header", "X-Forwarded-Proto"),
        ("forwarded_header", "X-Original-URL"),
        ("method_override", "X-HTTP-Method-Override"),
        ("path_trick", "the target"),
    ]);
    assert_eq!(said.report["consumer"], "nginx");
    let report = said.report.to_string();
    assert!(
        report.contains("auth_request_set $x_user $upstream_http_x_user"),
        "{report}"
    );
    // It is for a check that believes the client's own word that the consumer's headers are played.
    assert!(!report.contains("check_talked_past"), "{report}");
}

#[test]
fn nginx_that_believes_the_clients_word_about_the_target() {
    let echo = Echo::start();
    let check = crate::support::upstream::Upstream::answering(|request| {
        let open = request
            .header("x-original-url")
            .is_some_and(|url| url.ends_with("/open"));
        let shown = request.header("authorization").is_some();
        crate::support::reply::Reply::new(if open || shown { 200 } else { 401 }, &[], "")
    });
    let nginx = Nginx::serving(&format!(
        "location = /check {{ internal; proxy_pass {}; }} location / {{ auth_request /check; proxy_pass http://{}; {NGINX_FORWARDING} }}",
        check.url(),
        echo.address
    ));
    let url = format!("{}/staff/x", nginx.url());
    let said = probe(&[&url, "--token", TOKEN, "--public", "/open"]);
    said.found(&[
        ("check_talked_past", "X-Original-URL"),
        ("check_talked_past", "all of them at once"),
        ("identity_header", "X-User"),
    ]);
    assert!(
        !said.holes().iter().any(|(kind, _)| kind == "forwarded_header"),
        "{:?}",
        said.holes()
    );
}

#[test]
fn nginx_without_a_check() {
    let echo = Echo::start();
    let clean = "proxy_set_header X-User \"\"; proxy_set_header X-User-Roles \"\";";
    let nginx = Nginx::serving(&format!(
        "location / {{ {clean} {NGINX_FORWARDING} proxy_pass http://{}; }}",
        echo.address
    ));
    let url = format!("{}/staff/x", nginx.url());
    // Somebody has a token for it: it was meant to be protected.
    let said = probe(&[&url, "--token", TOKEN]);
    said.found(&[("no_check", "the URL")]);
    assert_eq!(said.holes().len(), 1, "{:?}", said.holes());
    let report = said.report.to_string();
    assert!(report.contains("auth_request /check;"), "{report}");
    // Without one, nobody knows.
    let said = probe(&[&url]);
    assert_eq!((said.holes(), said.status), (Vec::new(), 1));
    assert_eq!(said.report["complete"], false);
}

#[test]
fn nginx_wired_well() {
    let (echo, check) = (Echo::start(), check());
    let nginx = Nginx::serving(&format!(
        r#"
        location = /check {{
            internal;
            proxy_pass {check};
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Original-URL $scheme://$host$request_uri;
            proxy_set_header X-Original-Method $request_method;
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
        check = check.url(),
        echo = echo.address
    ));
    let url = format!("{}/staff/x", nginx.url());
    probe(&[&url, "--token", TOKEN]).clean();
}

pub(super) fn haproxy(rules: &str, echo: &Echo) -> Program {
    let (rules, echo) = (rules.to_owned(), echo.address);
    Program::start(
        "haproxy",
        "haproxy.cfg",
        move |port| {
            format!(
                "global\n  maxconn 200\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
                 frontend f\n  bind 127.0.0.1:{port}\n{rules}\n  default_backend b\nbackend b\n  server s {echo}\n"
            )
        },
        |file, _| {
            let mut command = Command::new("haproxy");
            let path = std::env::var("PATH").unwrap_or_default();
            command
                .env("PATH", format!("{path}:/usr/sbin"))
                .arg("-db")
                .arg("-f")
                .arg(file);
            command
        },
    )
}

#[test]
fn haproxy_wired_badly() {
    let echo = Echo::start();
    let protected = format!(
        "  acl known req.hdr(authorization) -m str \"Bearer {TOKEN}\"\n  http-request deny deny_status 401 if {{ path_beg /staff }} !known\n  http-request set-header X-User alice if known\n  option forwardfor"
    );
    let chain = haproxy(&protected, &echo);
    let said = probe(&[
        &chain.url("/staff/x"),
        "--token",
        TOKEN,
        "--public",
        "/open",
        "--consumer",
        "haproxy",
    ]);
    said.found(&[
        ("identity_header", "X-User"),
        ("look_alike_header", "X_User"),
        ("trailer", "X-User"),
        ("forwarded_header", "X-Forwarded-Host"),
        ("path_trick", "the target"),
    ]);
    let report = said.report.to_string();
    assert!(report.contains("http-request del-header X-User"), "{report}");
}

/// A rule about the field that declares trailers is none about trailers.
#[test]
fn haproxy_passes_trailers_that_are_not_declared() {
    let echo = Echo::start();
    let rules = |field: &str| {
        format!(
            "  http-request deny if {{ req.hdr({field}) -m found }}\n  http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str \"Bearer {TOKEN}\" }}"
        )
    };
    let said = |field: &str| {
        let chain = haproxy(&rules(field), &echo);
        probe(&[&chain.url("/staff/x"), "--token", TOKEN, "--consumer", "haproxy"])
    };
    let declared = said("trailer");
    declared.found(&[("trailer", "X-User"), ("trailer", "X-User-Roles")]);
    let report = declared.report.to_string();
    assert!(report.contains("undeclared trailer X-User:"), "{report}");
    assert!(report.contains("req.hdr(transfer-encoding)"), "{report}");
    // And one about the coding none about HTTP/2, which has no coding.
    let chunked = said("transfer-encoding");
    chunked.found(&[("trailer", "X-User")]);
    let report = chunked.report.to_string();
    assert!(!report.contains("undeclared trailer"), "{report}");
    assert!(report.contains("over HTTP/2: the trailer x-user:"), "{report}");
}

#[test]
fn haproxy_wired_well() {
    let echo = Echo::start();
    let rules = format!(
        "  acl known req.hdr(authorization) -m str \"Bearer {TOKEN}\"\n\
         \x20 http-request return status 411 if {{ req.hdr(transfer-encoding) -m found }}\n\
         \x20 http-request return status 411 unless {{ req.hdr(content-length) -m found }} or {{ internal.htx.has_eom }} {{ internal.htx_blk.type(tail) -m str HTX_BLK_EOH }}\n\
         \x20 http-request del-header upgrade\n\
         \x20 http-request deny deny_status 401 if !known\n\
         \x20 http-request del-header (?i)^x.(user|forwarded|original|rewrite|http.method|method|real.ip).* -m reg\n\
         \x20 http-request del-header Forwarded\n\
         \x20 http-request set-header X-User alice\n\
         \x20 http-request set-header X-User-Roles user\n\
         \x20 http-request set-header X-Forwarded-For %[src]"
    );
    let chain = haproxy(&rules, &echo);
    probe(&[&chain.url("/staff/x"), "--token", TOKEN]).clean();
}

pub(super) fn caddy(site: &str) -> Program {
    caddy_of("127.0.0.1", "", site)
}

/// A site of this host, with these lines among the options for all.
pub(super) fn caddy_of(host: &str, options: &str, site: &str) -> Program {
    let [host, options, site] = [host, options, site].map(str::to_owned);
    Program::start(
        "caddy",
        "Caddyfile",
        move |port| {
            format!(
                "{{\n  admin off\n  auto_https off\n  persist_config off\n  {options}\n}}\nhttp://{host}:{port} {{\n  bind 127.0.0.1\n{site}\n}}\n"
            )
        },
        |file, _| {
            let mut command = Command::new(venv::program("proxies", "caddy"));
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
            command
        },
    )
}

#[test]
fn caddy_wired_badly() {
    let (echo, check) = (Echo::start(), check());
    let site = format!(
        "  @staff path_regexp ^/staff\n  forward_auth @staff {} {{\n    uri /check\n    copy_headers X-User\n  }}\n  reverse_proxy {}",
        check.address(),
        echo.address
    );
    let chain = caddy(&site);
    let said = probe(&[&chain.url("/staff/x"), "--token", TOKEN, "--public", "/open"]);
    said.found(&[
        ("identity_header", "X-User"),
        ("identity_header", "X-User-Roles"),
        ("hop_by_hop_removal", "X-User"),
        ("forwarded_header", "X-Original-URL"),
        ("path_trick", "the target"),
    ]);
    assert_eq!(said.report["consumer"], "Caddy");
}

#[test]
fn caddy_wired_well() {
    let (echo, check) = (Echo::start(), check());
    let removed: String = [
        "X_User*",
        "X.User*",
        "X_Forwarded*",
        "X-User*",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Original-*",
        "X-Rewrite-*",
        "X-Real-Ip",
        "Forwarded",
        "X-Http-Method*",
        "X-Method-Override",
    ]
    .iter()
    .map(|name| format!("    request_header -{name}\n"))
    .collect();
    let site = format!(
        "  route {{\n    @dropped header_regexp Connection (?i)x-\n    respond @dropped 400\n    @plain not header_regexp Upgrade (?i)^websocket$\n    request_header @plain -Upgrade\n{removed}    forward_auth {} {{\n      uri /check\n      copy_headers X-User X-User-Roles\n    }}\n    reverse_proxy {} {{\n      header_up -X-Forwarded-Uri\n      header_up -X-Forwarded-Method\n    }}\n  }}",
        check.address(),
        echo.address
    );
    let chain = caddy(&site);
    probe(&[&chain.url("/staff/x"), "--token", TOKEN]).clean();
}
