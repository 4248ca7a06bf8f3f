//! nginx: directives.

use super::Advice;
use crate::cli::probe::attacks::Kind;

const HTTP: &str = "http { }";
const SERVER: &str = "server { }";
const LOCATION: &str = "every location { } that leads to the backend";
const CHECK: &str = "the location { } of the check";

const QUESTION: [&str; 3] = [
    "proxy_set_header X-Original-URL $scheme://$host$request_uri;",
    "proxy_set_header X-Original-Method $request_method;",
    "proxy_set_header X-Forwarded-For $remote_addr;",
];

/// As a variable: `x_user`.
fn variable(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// What closes a hole.
pub fn advice(kind: &Kind) -> Advice {
    match kind {
        Kind::NoCheck => Advice::at(SERVER, [check()])
            .and(LOCATION, ["auth_request /check;"])
            .but("without a condition. Where the check stands there already and is not obeyed, look for `satisfy any;`, with which another rule is enough, such as `allow`: it has to go. $uri is /check itself in the location of the check, so it has to be $request_uri"),
        Kind::Identity(name) => {
            let variable = variable(name);
            let lines = [
                format!("auth_request_set ${variable} $upstream_http_{variable};"),
                format!("proxy_set_header {name} ${variable};"),
            ];
            Advice::at(LOCATION, lines).but("where nothing is checked, the second with \"\" in the place of the variable, alone")
        }
        Kind::LookAlike(_) => Advice::at(HTTP, ["underscores_in_headers off;", "ignore_invalid_headers on;"])
            .but("both are the defaults; in server { } they are to go"),
        Kind::HopByHop(_) => Advice::at(LOCATION, ["proxy_set_header Connection \"\";"])
            .but("where WebSockets are opened: a variable mapped from $http_upgrade, never $http_connection"),
        Kind::Trailer(_) => Advice::note(
            "nginx forwards no trailers of requests: another proxy of the chain lets it through; ask for its line with --consumer",
        ),
        Kind::Forwarded(name) | Kind::Override(name) => {
            let value = match name.as_str() {
                "X-Forwarded-For" | "X-Real-IP" => "$remote_addr",
                "X-Forwarded-Proto" => "$scheme",
                "X-Forwarded-Host" => "$host",
                "X-Forwarded-Port" => "$server_port",
                _ => "\"\"",
            };
            Advice::at(LOCATION, [format!("proxy_set_header {name} {value};")])
        }
        Kind::TalkPast(_) => Advice::at(CHECK, QUESTION).and(LOCATION, ["auth_request /check;"]),
        Kind::Path => Advice::at(LOCATION, ["auth_request /check;"])
            .and(CHECK, QUESTION)
            .but("what is public, the check says; proxy_pass without a path behind the address"),
        Kind::Unchecked(_) => Advice::at(LOCATION, ["auth_request /check;"])
            .but("in named locations too, to which `if` and error_page lead, and outside of limit_except"),
        Kind::Preflight(_) => Advice::at(
            HTTP,
            ["map \"$request_method:$http_upgrade:$http_content_length:$http_transfer_encoding\" $no_preflight { \"~^OPTIONS::0?:$\" 0; \"~^OPTIONS:\" 1; default 0; }"],
        )
        .and(SERVER, ["if ($no_preflight) { return 400; }"])
        .but("over HTTP/2 a body need not be announced: examples/nginx sends preflights on without one"),
        Kind::Upgrade(_) => Advice::at(
            HTTP,
            [
                "map $http_upgrade $only_websocket { \"~*^websocket$\" websocket; default \"\"; }",
                "map $only_websocket $only_upgrade { websocket upgrade; default \"\"; }",
            ],
        )
        .and(
            LOCATION,
            [
                "proxy_set_header Upgrade $only_websocket;",
                "proxy_set_header Connection $only_upgrade;",
            ],
        ),
        Kind::Host => Advice::at(LOCATION, ["proxy_set_header Host $host;"])
            .but("$host:$server_port where clients name a port; $http_host is the client's own word"),
    }
}

fn check() -> String {
    let lines = [
        "internal;",
        "proxy_pass http://DOORWARD/auth/nginx;",
        "proxy_pass_request_body off;",
        "proxy_set_header Content-Length \"\";",
    ];
    let lines: Vec<&str> = lines.into_iter().chain(QUESTION).collect();
    format!("location = /check {{\n    {}\n}}", lines.join("\n    "))
}
