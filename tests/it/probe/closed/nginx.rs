//! nginx.

use std::net::SocketAddr;

use super::super::chains::caddy;
use super::{Echo, Lines, Program, Scene, nginx_command};

const HTTP: &str = "http { }";
const SERVER: &str = "server { }";
const LOCATION: &str = "every location { } that leads to the backend";
const CHECK: &str = "the location { } of the check";

const ASKED: [&str; 2] = [
    "proxy_set_header X-Original-URL $scheme://$host$request_uri;",
    "proxy_set_header X-Original-Method $request_method;",
];

/// With these in `http { }`, where `PORT` is the one that it listens on, and these in its last server.
pub fn nginx(http: &str, server: &str) -> Program {
    let (http, server) = (http.to_owned(), server.to_owned());
    Program::start(
        "nginx",
        "nginx.conf",
        move |port| {
            // One process: whoever ends that has ended all.
            format!(
                "daemon off;\nmaster_process off;\nerror_log stderr;\npid nginx.pid;\nevents {{ }}\nhttp {{\naccess_log off;\nproxy_headers_hash_max_size 2048;\nproxy_headers_hash_bucket_size 128;\n\
                 client_body_temp_path a;\nproxy_temp_path b;\nfastcgi_temp_path c;\nuwsgi_temp_path d;\nscgi_temp_path e;\nproxy_http_version 1.1;\n\
                 {}\nserver {{\nlisten 127.0.0.1:{port};\n{server}\n}}\n}}\n",
                http.replace("PORT", &port.to_string())
            )
        },
        nginx_command,
    )
}

fn check(scene: &Scene, lines: &Lines, there: &[&str]) -> String {
    format!(
        "location = /check {{\ninternal;\nproxy_pass http://{}/auth/nginx;\nproxy_pass_request_body off;\nproxy_set_header Content-Length \"\";\n{}}}\n",
        scene.doorward(),
        lines.text(CHECK, there, "")
    )
}

#[test]
fn headers() {
    let scene = Scene::of_localhost();
    let kinds = [
        "identity_header",
        "look_alike_header",
        "forwarded_header",
        "method_override",
        "host_header",
        "upgrade",
    ];
    scene.closes("nginx", &[], &kinds, |lines| {
        let passed = [
            "auth_request /check;",
            "proxy_set_header Host $http_host;",
            "proxy_set_header Upgrade $http_upgrade;",
            "proxy_set_header Connection $http_connection;",
        ];
        let server = format!(
            "{}location / {{\n{}proxy_pass http://{};\n}}\n",
            check(&scene, lines, &ASKED),
            lines.text(LOCATION, &passed, ""),
            scene.echo.address
        );
        nginx(
            &lines.text(HTTP, &["underscores_in_headers on;", "ignore_invalid_headers off;"], ""),
            &server,
        )
    });
}

/// Where it hands `Connection` on, the next proxy obeys.
#[test]
fn connection() {
    let scene = Scene::new();
    let behind = caddy(&format!("  reverse_proxy {}", scene.echo.address));
    scene.closes("nginx", &[], &["hop_by_hop_removal"], |lines| {
        let location = lines.text(
            LOCATION,
            &[
                "auth_request /check;",
                "auth_request_set $x_user $upstream_http_x_user;",
                "proxy_set_header X-User $x_user;",
                "proxy_set_header Connection $http_connection;",
            ],
            "",
        );
        let server = format!(
            "{}location / {{\n{location}proxy_pass http://{};\n}}\n",
            check(&scene, lines, &ASKED),
            behind.address
        );
        nginx("", &server)
    });
}

#[test]
fn a_check_for_some() {
    let scene = Scene::new();
    let kinds = ["not_checked", "path_trick"];
    scene.closes("nginx", &["--public", "/open"], &kinds, |lines| {
        let to = format!("proxy_pass http://{};", scene.echo.address);
        let unchecked = lines.text(LOCATION, &[], "");
        let server = format!(
            "recursive_error_pages on;\n{}\
             location / {{\n{}error_page 418 = @preflight;\nif ($request_method = OPTIONS) {{ return 418; }}\n{to}\n}}\n\
             location @preflight {{\n{unchecked}{to}\n}}\n\
             location ~ [.]css$ {{\n{unchecked}{to}\n}}\n\
             location /open {{\n{unchecked}{to}\n}}\n",
            check(&scene, lines, &ASKED),
            lines.text(LOCATION, &["auth_request /check;"], "")
        );
        nginx("", &server)
    });
}

#[test]
fn no_check() {
    let scene = Scene::new();
    scene.closes("nginx", &["--public", "/open"], &["no_check"], |lines| {
        let server = format!(
            "{}location / {{\n{}proxy_pass http://{};\n}}\n",
            lines.text(SERVER, &[], ""),
            lines.text(LOCATION, &[], ""),
            scene.echo.address
        );
        nginx("", &server)
    });
}

#[test]
fn a_check_that_believes_the_client() {
    let scene = Scene::new();
    scene.closes("nginx", &["--public", "/open"], &["check_talked_past"], |lines| {
        let believed = [
            "proxy_set_header X-Original-URL $xu;",
            "proxy_set_header X-Original-Method $xm;",
        ];
        let server = format!(
            "set $xu $scheme://$http_host$request_uri;\nif ($http_x_original_url) {{ set $xu $http_x_original_url; }}\n\
             set $xm $request_method;\nif ($http_x_original_method) {{ set $xm $http_x_original_method; }}\n\
             {}location / {{\n{}proxy_pass http://{};\n}}\n",
            check(&scene, lines, &believed),
            lines.text(LOCATION, &["auth_request /check;"], ""),
            scene.echo.address
        );
        nginx("", &server)
    });
}

/// It serves the host of the request line, and `$http_host` is the one in `Host`.
#[test]
fn a_check_that_is_told_another_host() {
    let (scene, open) = (Scene::of_two_hosts(), Echo::start());
    let more = ["--public", OTHER_HOST, "--resolve", "static.localhost:PORT:127.0.0.1"];
    scene.closes("nginx", &more, &["check_talked_past"], |lines| {
        let host_of_the_client = [
            "proxy_set_header X-Original-URL $scheme://$http_host$request_uri;",
            "proxy_set_header X-Original-Method $request_method;",
        ];
        two_hosts(&scene, lines, &host_of_the_client, open.address)
    });
    let good = scene.probe(
        "nginx",
        &two_hosts(&scene, &Lines::default(), &ASKED, open.address),
        &more,
    );
    good.has_none(&["check_talked_past", "path_trick", "no_check"]);
    assert_eq!(good.report["complete"], true, "{:#}", good.report);
}

pub const OTHER_HOST: &str = "http://static.localhost:PORT/";

/// A server for the scene, and one for the public host that leads to `open`, with a check that is asked with these lines.
pub fn two_hosts(scene: &Scene, lines: &Lines, asked: &[&str], open: SocketAddr) -> Program {
    let server = |to: SocketAddr| {
        format!(
            "{}location / {{\n{}proxy_pass http://{to};\n}}\n",
            check(scene, lines, asked),
            lines.text(LOCATION, &["auth_request /check;"], ""),
        )
    };
    let public = format!(
        "server {{\nlisten 127.0.0.1:PORT;\nserver_name static.localhost;\n{}}}",
        server(open)
    );
    nginx(
        &public,
        &format!("server_name localhost;\n{}", server(scene.echo.address)),
    )
}

/// Its questions have neither the body nor the upgrade of what they are about.
#[test]
fn more_than_a_preflight() {
    let scene = Scene::new();
    let passed = [
        "auth_request /check;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $http_connection;",
    ];
    scene.closes("nginx", &[], &["preflight"], |lines| {
        let server = format!(
            "{}{}location / {{\n{}proxy_pass http://{};\n}}\n",
            lines.text(SERVER, &[], ""),
            check(&scene, lines, &ASKED),
            lines.text(LOCATION, &passed, ""),
            scene.echo.address
        );
        nginx(&lines.text(HTTP, &[], ""), &server)
    });
}

/// For these it has no line: there is no such hole.
#[test]
fn what_it_hands_on_of_nobody() {
    let scene = Scene::new();
    let location = format!("location / {{ proxy_pass http://{}; }}", scene.echo.address);
    scene.probe("nginx", &nginx("", &location), &[]).has_none(&["trailer"]);
}
