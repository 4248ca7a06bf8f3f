//! `[tokens]`.

use super::{compat, field, issuers, keys};
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::secret::Secret;
use crate::token::{Algorithm, Settings};

/// The shortest key of HS256 (RFC 7518 section 3.2: as long as the hash).
const SHORTEST_KEY: usize = 32;

/// What other tables say that matters here.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// `endpoints.hosts`.
    pub hosts: &'a [String],
    /// Whether a listener is reached from other machines.
    pub public: bool,
    /// `admin.role`.
    pub admin_role: &'a str,
}

/// `[tokens]`.
pub fn tokens(
    tokens: &file::Tokens,
    around: Surroundings<'_>,
    compat: &file::Compat,
    report: &mut Report<'_>,
) -> Option<Settings> {
    let key = KeyPath::of("tokens");
    let issuer = issuer(tokens, around, report);
    let algorithm = report.choose(&key.key("algorithm"), &tokens.algorithm, &ALGORITHMS);
    let secret = secret(tokens, compat, algorithm, report);
    let own = secret.as_ref().and_then(Option::as_ref);
    let praetorian = compat::praetorian(compat, tokens, algorithm, own, report);
    let keys = keys::keys(tokens, algorithm, report);
    let lives = lives(tokens, report);
    // Less than a signature's worth holds no token; more is not carried by a header section.
    let max_length = field::size(report, &key.key("max_length"), tokens.max_length, 512..=64 << 10);
    let cache = field::number(report, &key.key("cache"), tokens.cache, 0..=10_000_000);
    let audience = issuers::names(report, &key.key("audience"), &tokens.audience);
    let trusted = issuers::trusted(&tokens.trusted_issuers, issuer.as_deref(), around.admin_role, report);
    lives?;
    let (issuer, keys) = (issuer?, keys?);
    Some(Settings {
        audience: match audience? {
            audience if audience.is_empty() => vec![issuer.clone()],
            audience => audience,
        },
        issuer,
        algorithm: algorithm?,
        access_ttl: tokens.access_ttl.0,
        // No token of the praetorian format knows it, and nothing is refused for it there; what sessions there are go by it.
        refresh_idle: match tokens.format.as_str() {
            "praetorian" => tokens.refresh_idle.0.max(tokens.access_ttl.0).min(tokens.refresh_ttl.0),
            _ => tokens.refresh_idle.0,
        },
        refresh_ttl: tokens.refresh_ttl.0,
        leeway: tokens.leeway.0,
        key_files: keys.files,
        key_encryption: keys.encryption,
        rotate_every: keys.rotate_every,
        secret: secret?,
        max_length: max_length?,
        cache: cache?,
        trusted_issuers: trusted?,
        praetorian: praetorian?,
    })
}

/// The algorithms by their names.
pub const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("EdDSA", Algorithm::EdDsa),
    ("ES256", Algorithm::Es256),
    ("RS256", Algorithm::Rs256),
    ("HS256", Algorithm::Hs256),
];

fn issuer(tokens: &file::Tokens, around: Surroundings<'_>, report: &mut Report<'_>) -> Option<String> {
    let key = KeyPath::of("tokens.issuer");
    if !tokens.issuer.is_empty() {
        return issuers::name(report, &key, &tokens.issuer);
    }
    if let Some(host) = around.hosts.first() {
        return Some(format!("https://{host}"));
    }
    // Tokens of the other format name no issuer.
    if around.public && tokens.format == "standard" && !report.failed(&KeyPath::of("endpoints.hosts")) {
        report.warn(
            Fault::at(&key, "tokens will say \"https://localhost:8443\" as their issuer").hint(
                "set tokens.issuer or endpoints.hosts to what clients call the gateway, the same on all replicas",
            ),
        );
    }
    Some("https://localhost:8443".to_owned())
}

fn secret(
    tokens: &file::Tokens,
    compat: &file::Compat,
    algorithm: Option<Algorithm>,
    report: &mut Report<'_>,
) -> Option<Option<Secret<Vec<u8>>>> {
    let key = KeyPath::of("tokens.secret_file");
    match (algorithm?, tokens.secret_file.is_empty()) {
        // What signs is looked for in [compat] too.
        (Algorithm::Hs256, true) if tokens.format != "standard" => Some(None),
        (Algorithm::Hs256, true)
            if compat.flask_praetorian && report.layers().value(&KeyPath::of("tokens.algorithm")).is_none() =>
        {
            let accepted = "\"praetorian\"; or \"standard\" with tokens.algorithm = \"EdDSA\" beside it";
            let hint = "compat.flask_praetorian sets \"HS256\", and the secret in [compat] signs the praetorian format only. \
                Clients of the Flask server need that format; for those that are ready for the other one, set \
                compat.flask_praetorian = false and compat.accept_until";
            report.error(
                Fault::at(&KeyPath::of("tokens.format"), accepted)
                    .found("\"standard\"")
                    .hint(hint),
            );
            None
        }
        (Algorithm::Hs256, true) => {
            report.error(Fault::at(
                &key,
                "the path of a file with at least 32 random bytes, as tokens.algorithm is \"HS256\"",
            ));
            None
        }
        (Algorithm::Hs256, false) => long_enough(report, &key, &tokens.secret_file).map(Some),
        (_, true) => Some(None),
        (_, false) => {
            report.warn(Fault::at(&key, "it has no effect: only \"HS256\" signs with a secret"));
            Some(None)
        }
    }
}

/// The key of HS256 in a file.
pub fn long_enough(report: &mut Report<'_>, key: &KeyPath, file: &str) -> Option<Secret<Vec<u8>>> {
    let secret = field::secret_file(report, key, file)?;
    let length = secret.expose().len();
    if length < SHORTEST_KEY {
        report.error(
            Fault::at(key, format!("a file with at least {SHORTEST_KEY} bytes"))
                .found(format!("a file with {length} bytes"))
                .hint("make one with `openssl rand -hex 32`"),
        );
        return None;
    }
    Some(secret)
}

/// `access_ttl` ≤ `refresh_idle` ≤ `refresh_ttl` (in praetorian format `access_ttl` ≤ `refresh_ttl`), and whole seconds, which is all that `exp` can say.
fn lives(tokens: &file::Tokens, report: &mut Report<'_>) -> Option<()> {
    let key = KeyPath::of("tokens");
    let lives = [
        ("access_ttl", tokens.access_ttl),
        ("refresh_idle", tokens.refresh_idle),
        ("refresh_ttl", tokens.refresh_ttl),
    ];
    let mut good = true;
    for (name, span) in lives {
        if span.0.as_secs() == 0 || span.0.subsec_nanos() != 0 {
            report.error(Fault::at(&key.key(name), "whole seconds, at least one"));
            good = false;
        }
    }
    let [access, idle, refresh] = lives;
    let pairs = match tokens.format.as_str() {
        "praetorian" => vec![(access, refresh)],
        _ => vec![(access, idle), (idle, refresh)],
    };
    for ((shorter, one), (longer, other)) in pairs {
        if one.0 > other.0 {
            let place = key.key(shorter);
            let unset = report.layers().value(&place).is_none();
            let place = if unset { key.key(longer) } else { place };
            report.error(
                Fault::at(&place, format!("tokens.{shorter} of at most tokens.{longer}")).found(format!(
                    "tokens.{shorter} = \"{one}\" and tokens.{longer} = \"{other}\""
                )),
            );
            good = false;
        }
    }
    if tokens.leeway.0.as_secs() > 300 {
        report.warn(Fault::at(
            &key.key("leeway"),
            "tokens live that much longer than they say",
        ));
    }
    good.then_some(())
}
