//! Traefik: the file provider's YAML; labels say the same.

use super::Advice;
use crate::cli::probe::attacks::Kind;

const ENTRY_POINT: &str = "the static configuration, entryPoints.NAME";
const ROUTERS: &str = "http.routers";
const MIDDLEWARES: &str = "http.middlewares";
const ON_ROUTERS: &str = "the middlewares of every router to the backend";
const CHECK: &str = "the check's forwardAuth";
const TAKEN: &str = "the check's forwardAuth.authResponseHeaders";
const CLEAN: &str =
    "http.middlewares.clean.headers.customRequestHeaders, with clean as the first middleware of every router";

/// What Traefik itself writes anew where it trusts nobody.
const OWN: [&str; 7] = [
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-Method",
    "X-Forwarded-Uri",
    "X-Real-IP",
];

const TRUSTS_NOBODY: &str = "forwardedHeaders: { insecure: false }";

/// What closes a hole.
pub fn advice(kind: &Kind) -> Advice {
    let remove = |name: &str| Advice::at(CLEAN, [format!("{name}: \"\"")]);
    match kind {
        Kind::NoCheck => Advice::at(
            MIDDLEWARES,
            ["doorward: { forwardAuth: { address: \"http://DOORWARD/auth/traefik\", trustForwardHeader: false, authResponseHeaders: [X-User, X-User-Id, X-User-Roles, X-User-Email] } }"],
        )
        .and(ON_ROUTERS, ["doorward"])
        .but("before stripPrefix, replacePath and whatever else rewrites: if it stands there, that is why the backend saw another target"),
        Kind::Identity(name) => Advice::at(TAKEN, [name.as_str()])
            .but("on a router without the check: customRequestHeaders of a headers middleware with the name and \"\""),
        Kind::LookAlike(name) | Kind::Override(name) => remove(name),
        Kind::HopByHop(_) => Advice::note(
            "update Traefik: before 2.11.9 and 3.1.3 it takes headers of its own away at a client's word (CVE-2024-45410); 3.7.15 takes none of the check's away either",
        ),
        Kind::Trailer(_) => Advice::note(
            "update Traefik: 3.7.15 hands no trailers on; or another proxy of the chain lets it through: ask for its line with --consumer",
        ),
        Kind::Forwarded(name) if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) => {
            Advice::at(ENTRY_POINT, [TRUSTS_NOBODY]).but("and trustedIPs only of proxies of your own")
        }
        Kind::Forwarded(name) => remove(name),
        Kind::TalkPast(_) => Advice::at(CHECK, ["trustForwardHeader: false"]).and(ENTRY_POINT, [TRUSTS_NOBODY]),
        Kind::Path | Kind::Unchecked(_) => Advice::at(ON_ROUTERS, ["CHECK"]).but(
            "the check on every router to the backend, whatever its rule says of paths, methods and headers, and before stripPrefix and replacePath",
        ),
        Kind::Preflight(_) => Advice::at(
            ROUTERS,
            ["options: { rule: \"PathPrefix(`/`) && Method(`OPTIONS`)\", service: BACKEND, middlewares: [no-upgrade, doorward-with-body] }"],
        )
        .and(
            MIDDLEWARES,
            [
                "no-upgrade: { headers: { customRequestHeaders: { Upgrade: \"\" } } }",
                "doorward-with-body: { forwardAuth: { address: \"http://DOORWARD/auth/traefik\", forwardBody: true, maxBodySize: 65536, trustForwardHeader: false, authResponseHeaders: [X-User, X-User-Id, X-User-Roles, X-User-Email] } }",
            ],
        )
        .but("with the other middlewares of the backend's router around them; Doorward then sees that there is a body"),
        Kind::Upgrade(_) => Advice::note(
            "update Traefik: 3.7.15 hands no upgrade to h2c on; or another proxy of the chain lets it through: ask for its line with --consumer",
        ),
        Kind::Host => Advice::note("Traefik believes one host alone: another proxy of the chain lets it through; ask for its line with --consumer"),
    }
}
