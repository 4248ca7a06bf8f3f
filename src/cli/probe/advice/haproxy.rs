//! HAProxy: lines of its configuration.

use super::Advice;
use crate::cli::probe::attacks::Kind;

const GLOBAL: &str = "global";
const FIRST: &str = "the frontend, before the check";
const CHECK: &str = "the frontend, behind all http-request lines that are there";

/// What closes a hole.
pub fn advice(kind: &Kind) -> Advice {
    let first = |lines: &[&str]| Advice::at(FIRST, lines.iter().copied());
    let remove = |name: &str| Advice::at(FIRST, [format!("http-request del-header {name}")]);
    match kind {
        Kind::NoCheck | Kind::Path | Kind::Unchecked(_) => Advice::at(GLOBAL, ["lua-load doorward.lua"])
            .and(CHECK, ["http-request lua.ask_doorward"])
            .but("doorward.lua stands in examples/haproxy/lua; without a condition: what is public, the check says"),
        Kind::Identity(name) => remove(name),
        Kind::LookAlike(name) => {
            let pattern: String = name
                .chars()
                .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '.' })
                .collect();
            Advice::at(FIRST, [format!("http-request del-header (?i)^{pattern}$ -m reg")])
        }
        Kind::Trailer(_) => first(&["http-request deny deny_status 411 if { req.hdr(transfer-encoding) -m found }"]).but(
            "no line of HAProxy 2.6 takes trailers out, and a rule about the Trailer field misses those that are not declared; this one refuses every body without a Content-Length",
        ),
        Kind::HopByHop(_) => first(&[
            "http-request del-header connection unless { req.hdr(upgrade) -m found }",
            "http-request set-header connection upgrade if { req.hdr(upgrade) -m found }",
        ]),
        Kind::Forwarded(name) => match name.as_str() {
            "X-Forwarded-For" | "X-Real-IP" => Advice::at(FIRST, [format!("http-request set-header {name} %[src]")]),
            "X-Forwarded-Proto" => first(&[
                "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
                "http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
            ]),
            "X-Forwarded-Host" => first(&["http-request set-header X-Forwarded-Host %[req.hdr(host)]"]),
            "X-Forwarded-Port" => first(&["http-request set-header X-Forwarded-Port %[dst_port]"]),
            _ => remove(name),
        },
        Kind::Override(name) => remove(name),
        Kind::TalkPast(_) => first(&[
            "http-request set-header X-Forwarded-Method %[method]",
            "http-request set-header X-Forwarded-Uri %[pathq]",
            "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
            "http-request set-header X-Forwarded-For %[src]",
            "http-request del-header (?i)^x.(original|rewrite|http.method|method) -m reg",
        ]),
        Kind::Upgrade(_) => first(&[
            "http-request del-header connection unless { req.hdr(upgrade) -i websocket }",
            "http-request del-header upgrade unless { req.hdr(upgrade) -i websocket }",
        ]),
        Kind::Host => first(&["http-request deny if { url -m beg http }"]),
    }
}
