//! Caddy: lines of a Caddyfile.

use super::Advice;
use crate::cli::probe::attacks::Kind;

const FIRST: &str = "route { } around the whole site, before everything else";
const FORWARD_AUTH: &str = "forward_auth { }";
const SERVERS: &str = "the global options, servers { }";

const CHECK: &str =
    "forward_auth DOORWARD {\n    uri /auth/caddy\n    copy_headers X-User X-User-Id X-User-Roles X-User-Email\n}";

/// What closes a hole.
pub fn advice(kind: &Kind) -> Advice {
    match kind {
        Kind::NoCheck | Kind::Path | Kind::Unchecked(_) => Advice::at(FIRST, [CHECK])
            .but("without a matcher, and before uri and rewrite (if it stands there, they are why the backend saw another target); what is public, the check says"),
        Kind::Identity(name) => {
            Advice::at(FIRST, [format!("request_header -{name}")]).and(FORWARD_AUTH, [format!("copy_headers {name}")])
        }
        Kind::Forwarded(name) | Kind::Override(name) => Advice::at(FIRST, [format!("request_header -{name}")]),
        Kind::HopByHop(_) => Advice::at(
            FIRST,
            [
                "@plain not header_regexp Upgrade (?i)^websocket$",
                "@websocket header_regexp Upgrade (?i)^websocket$",
                "request_header @plain -Connection",
                "request_header @websocket Connection Upgrade",
            ],
        ),
        Kind::Trailer(_) => Advice::note(
            "update Caddy: 2.11.7 hands no trailers on; or another proxy of the chain lets it through: ask for its line with --consumer",
        ),
        Kind::LookAlike(_) => Advice::note(
            "update Caddy: 2.11.7 hands no name with an underscore or a dot on; or another proxy of the chain lets it through: ask for its line with --consumer",
        ),
        Kind::TalkPast(_) => Advice::at(SERVERS, ["trusted_proxies static PROXIES"])
            .but("forward_auth says itself what it asks about: let no header_up in it undo that"),
        Kind::Preflight(_) => Advice::at(
            FIRST,
            [
                "@preflight_with_upgrade {\n    method OPTIONS\n    header Upgrade *\n}",
                "@preflight_with_length {\n    method OPTIONS\n    header Content-Length *\n    not header Content-Length 0\n}",
                "@preflight_in_chunks {\n    method OPTIONS\n    header Transfer-Encoding *\n}",
                "respond @preflight_with_upgrade 400",
                "respond @preflight_with_length 400",
                "respond @preflight_in_chunks 400",
            ],
        )
        .but("over HTTP/2 a body need not be announced: examples/caddy cuts it off"),
        Kind::Upgrade(_) => Advice::at(
            FIRST,
            [
                "@not_websocket not header_regexp Upgrade (?i)^websocket$",
                "request_header @not_websocket -Upgrade",
            ],
        ),
        Kind::Host => Advice::note(
            "Caddy believes one host alone: another proxy of the chain lets it through; ask for its line with --consumer",
        ),
    }
}
