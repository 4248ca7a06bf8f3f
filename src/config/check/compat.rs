//! `[compat]` and `tokens.format`: the place of a server built with Flask and flask-praetorian.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::field;
use crate::config::file::{self, Shape, Span};
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::secret::Secret;
use crate::token::Algorithm;
use crate::token::praetorian::Settings;

/// Shorter secrets are guessed from a single token. A Flask server's may be, so it is a warning.
const GUESSED_BELOW: usize = 32;

/// What PyJWT refuses as a secret of HS256: it looks like the public half of a key pair.
const NO_SECRETS: [&[u8]; 4] = [
    b"-----BEGIN PUBLIC KEY-----",
    b"-----BEGIN CERTIFICATE-----",
    b"-----BEGIN RSA PUBLIC KEY-----",
    b"ssh-rsa",
];

/// The format of new tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Standard,
    Praetorian,
}

/// The shape with the defaults that `compat.flask_praetorian` has, where nobody set something else.
pub fn with_its_defaults(shape: &Shape, report: &Report<'_>) -> Shape {
    let mut shape = shape.clone();
    if !shape.compat.flask_praetorian {
        return shape;
    }
    let unset = |key: &str| report.layers().value(&KeyPath::of(key)).is_none();
    let text = |place: &mut String, key: &str, default: &str| {
        if unset(key) {
            default.clone_into(place);
        }
    };
    let span = |place: &mut Span, key: &str, days: u64| {
        if unset(key) {
            *place = Span::seconds(days * 86_400);
        }
    };
    text(&mut shape.tokens.algorithm, "tokens.algorithm", "HS256");
    text(&mut shape.tokens.format, "tokens.format", "praetorian");
    text(&mut shape.accounts.registration, "accounts.registration", "open");
    span(&mut shape.tokens.access_ttl, "tokens.access_ttl", 1);
    span(&mut shape.tokens.refresh_ttl, "tokens.refresh_ttl", 30);
    if unset("passwords.min_length") {
        shape.passwords.min_length = 1;
    }
    if unset("passwords.upgrade") {
        shape.passwords.upgrade = false;
    }
    if unset("cors.allowed_origins") {
        shape.cors.allowed_origins = vec!["*".to_owned()];
    }
    shape
}

/// The praetorian format: what signs, what verifies, until when. `own` is `tokens.secret_file`, where it is set.
pub fn praetorian(
    compat: &file::Compat,
    tokens: &file::Tokens,
    algorithm: Option<Algorithm>,
    own: Option<&Secret<Vec<u8>>>,
    report: &mut Report<'_>,
) -> Option<Option<Settings>> {
    let format = format(tokens, algorithm, report);
    let secret = secret(compat, report);
    let older = field::each(&compat.older_secret_files, |index, file| {
        let key = KeyPath::of("compat.older_secret_files").index(index);
        let secret = field::secret_file(report, &key, file)?;
        usable(report, &key, secret)
    });
    let until = accept_until(compat, report);
    let (format, secret, older, until) = (format?, secret?, older?, until?);
    let flask = compat.flask_praetorian;
    if !(flask || until.is_some() || (secret.is_none() && older.is_empty())) {
        let accepted = "a time such as 2030-01-01T00:00:00Z, until which tokens signed with the old secret count";
        let hint = "without flask_praetorian the old secret is there for a while only";
        report.error(Fault::at(&KeyPath::of("compat.accept_until"), accepted).hint(hint));
        return None;
    }
    let signing = match format {
        Format::Standard => None,
        Format::Praetorian => Some(signing(flask, secret.as_ref(), own, tokens, report)?),
    };
    if secret.is_none() && older.is_empty() && signing.is_none() && (flask || until.is_some()) {
        let accepted = "the path of a file with the SECRET_KEY of the Flask server";
        report.error(Fault::at(&KeyPath::of("compat.secret_file"), accepted));
        return None;
    }
    let mut verifying: Vec<_> = signing.clone().map(|secret| (secret, None)).into_iter().collect();
    let old = secret.into_iter().chain(older);
    verifying.extend(old.map(|secret| (secret, until.filter(|_| !flask))));
    let settings = Settings {
        signing,
        verifying,
        flask,
    };
    Some((!settings.verifying.is_empty()).then_some(settings))
}

fn format(tokens: &file::Tokens, algorithm: Option<Algorithm>, report: &mut Report<'_>) -> Option<Format> {
    let words = [("standard", Format::Standard), ("praetorian", Format::Praetorian)];
    let format = report.choose(&KeyPath::of("tokens.format"), &tokens.format, &words)?;
    if format == Format::Praetorian && algorithm? != Algorithm::Hs256 {
        report.error(Fault::at(
            &KeyPath::of("tokens.algorithm"),
            "\"HS256\", as tokens.format is \"praetorian\"",
        ));
        return None;
    }
    Some(format)
}

/// The SECRET_KEY stands in `[compat]`; without it, `tokens.secret_file` is one.
fn signing(
    flask: bool,
    secret: Option<&Secret<Vec<u8>>>,
    own: Option<&Secret<Vec<u8>>>,
    tokens: &file::Tokens,
    report: &mut Report<'_>,
) -> Option<Secret<Vec<u8>>> {
    if flask && secret.is_some() && !tokens.secret_file.is_empty() {
        let accepted = "nothing, as the secret in [compat] signs tokens of the praetorian format";
        report.error(Fault::at(&KeyPath::of("tokens.secret_file"), accepted).hint("keep one of the two"));
        return None;
    }
    match secret.filter(|_| flask).or(own) {
        Some(secret) => Some(secret.clone()),
        None => {
            let key = match flask {
                true => "compat.secret_file",
                false => "tokens.secret_file",
            };
            let accepted = "the path of a file with the secret that signs tokens, the SECRET_KEY of a Flask server";
            report.error(Fault::at(&KeyPath::of(key), accepted));
            None
        }
    }
}

/// `secret` or `secret_file`: the bytes as they are, of a file without one line break at its end.
fn secret(compat: &file::Compat, report: &mut Report<'_>) -> Option<Option<Secret<Vec<u8>>>> {
    let (text_key, file_key) = (KeyPath::of("compat.secret"), KeyPath::of("compat.secret_file"));
    let by_file = match (compat.secret.is_empty(), compat.secret_file.is_empty()) {
        (true, true) => return Some(None),
        (by_file, _) => by_file || report.layers().rank(&file_key) > report.layers().rank(&text_key),
    };
    if by_file {
        let secret = field::secret_file(report, &file_key, &compat.secret_file)?;
        return usable(report, &file_key, secret).map(Some);
    }
    let both = (&text_key, &compat.secret);
    let text = field::secret_text(report, both, (&file_key, &compat.secret_file))??;
    usable(report, &text_key, Secret::new(text.expose().as_bytes().to_vec())).map(Some)
}

fn usable(report: &mut Report<'_>, key: &KeyPath, secret: Secret<Vec<u8>>) -> Option<Secret<Vec<u8>>> {
    let bytes = secret.expose();
    let holds = |part: &&[u8]| memchr::memmem::find(bytes, part).is_some();
    if NO_SECRETS.iter().any(holds) {
        report.error(
            Fault::at(key, "a secret, not a public key or certificate")
                .found("what is not shown")
                .hint("flask-praetorian refuses it as well: whoever has the public key could sign tokens"),
        );
        return None;
    }
    if bytes.len() < GUESSED_BELOW {
        report.warn(
            Fault::at(
                key,
                "whoever has one token can guess a secret this short, and make tokens for everybody",
            )
            .found(format!("a secret of {} bytes", bytes.len()))
            .hint("give the Flask server and this one a longer SECRET_KEY, and put this one into older_secret_files"),
        );
    }
    Some(secret)
}

fn accept_until(compat: &file::Compat, report: &mut Report<'_>) -> Option<Option<i64>> {
    if compat.accept_until.is_empty() {
        return Some(None);
    }
    let key = KeyPath::of("compat.accept_until");
    let moment = match OffsetDateTime::parse(&compat.accept_until, &Rfc3339) {
        Ok(moment) => moment.unix_timestamp(),
        Err(_) => {
            report.error(Fault::at(&key, "an RFC 3339 time such as \"2030-01-01T00:00:00Z\""));
            return None;
        }
    };
    if compat.flask_praetorian {
        report.warn(Fault::at(
            &key,
            "it has no effect: with flask_praetorian, the secrets in [compat] count without end",
        ));
    }
    Some(Some(moment.saturating_mul(1000)))
}
