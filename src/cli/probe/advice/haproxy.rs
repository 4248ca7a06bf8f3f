//! HAProxy: lines of its configuration.

use super::Advice;
use crate::cli::probe::attacks::Kind;

const GLOBAL: &str = "global";
const FIRST: &str = "the frontend, before the check";
const CHECK: &str = "the frontend, behind all http-request lines that are there";

/// Trailers come behind a body without a length alone; of a request without a body nothing follows its head.
const NO_TRAILERS: [&str; 2] = [
    "http-request return status 411 if { req.hdr(transfer-encoding) -m found }",
    "http-request return status 411 unless { req.hdr(content-length) -m found } or { internal.htx.has_eom } { internal.htx_blk.type(tail) -m str HTX_BLK_EOH } or { req.hdr(upgrade) -i websocket }",
];

/// What closes a hole.
pub fn advice(kind: &Kind) -> Advice {
    let first = |lines: &[&str]| Advice::at(FIRST, lines.iter().copied());
    let remove = |name: &str| Advice::at(FIRST, [format!("http-request del-header {name}")]);
    match kind {
        Kind::NoCheck | Kind::Path | Kind::Unchecked(_) => Advice::at(GLOBAL, ["lua-load doorward.lua"])
            .and(
                FIRST,
                [
                    "http-request set-header X-Forwarded-For %[src]",
                    "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
                    "http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
                    "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
                ],
            )
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
        Kind::Trailer(_) => first(&NO_TRAILERS).but(
            "nothing in HAProxy 2.6 takes trailers out, a rule about the Trailer field misses those that are not declared, and HTTP/2 declares no coding; so bodies without a Content-Length are refused",
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
            "http-request del-header (?i)^x.(forwarded|original|rewrite|http.method|method|real.ip) -m reg",
            "http-request set-header X-Forwarded-For %[src]",
            "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
            "http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
            "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        ]),
        Kind::Preflight(_) => first(&[
            "http-request wait-for-body time 1s if METH_OPTIONS",
            "http-request deny if METH_OPTIONS { req.body_size gt 0 }",
            "http-request deny if METH_OPTIONS { req.hdr(transfer-encoding) -m found }",
            "http-request deny if METH_OPTIONS { req.hdr(upgrade) -m found }",
        ]),
        Kind::Upgrade(_) => first(&[
            "http-request del-header connection unless { req.hdr(upgrade) -i websocket }",
            "http-request del-header upgrade unless { req.hdr(upgrade) -i websocket }",
        ]),
        Kind::Host => Advice::note("HAProxy believes one host alone: another proxy of the chain lets it through; ask for its line with --consumer"),
    }
}
