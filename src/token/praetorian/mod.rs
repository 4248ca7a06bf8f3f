//! Tokens as flask-praetorian makes and takes them: HS256 with the SECRET_KEY of a Flask application, the user by `id` alone,
//! stateless. What is issued here works there, what was issued there works here.
//!
//! ```text
//! bytes -> keys (split, signature, nbf, aud) -> claims (jti, id, exp, rf_exp, purpose) -> who it is: the revocations know
//! ```
//!
//! Where PyJWT is lenient without anybody's need (two spellings of one token, a claim that stands twice), this is not.

mod claims;
mod fault;
mod issue;
mod verify;

pub use fault::{Claim, Fault, Purpose, Undecodable, all_roles_required, one_role_required};

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::principal::UserId;
use crate::secret::Secret;

pub(super) use claims::is_one;
pub use claims::name_of;

/// How tokens of this format are made and taken.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What new tokens are signed with, the bytes of the SECRET_KEY; `None`: new tokens are of the standard format.
    pub signing: Option<Secret<Vec<u8>>>,
    /// What verifies, with the time from which on it does not any more (Unix milliseconds); the signing one among them.
    pub verifying: Vec<(Secret<Vec<u8>>, Option<i64>)>,
    /// Whether the Authorization field is read as flask-praetorian reads it (`compat.flask_praetorian`).
    pub flask: bool,
}

/// What a token that went by mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailPurpose {
    /// To confirm an address: `is_ert`.
    Registration,
    /// To set a new password: `is_prt`.
    Reset,
}

/// A token that came by mail and is good. Whether it was used before, and whose it is, the caller asks the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailToken {
    /// Whose it is.
    pub user: UserId,
    /// Its name (`jti`).
    pub token_id: String,
    /// When it was issued (`iat`), in Unix seconds; 0: it does not say.
    pub issued_at: i64,
    /// When it ends (`exp`), in Unix seconds.
    pub expires_at: i64,
}

/// An expired access token that may be refreshed: what of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshable {
    /// Whose it is; `None`: nobody's that could be found.
    pub user: Option<UserId>,
    /// Its name (`jti`).
    pub token_id: String,
    /// When it was issued (`iat`), in Unix seconds; 0: it does not say.
    pub issued_at: i64,
    /// `jti`, `id`, `rf_exp` as they stand there, and the claims that an application added, in their order.
    kept: claims::Kept,
}

impl Refreshable {
    /// Until when it can be refreshed (`rf_exp`), in Unix seconds.
    pub fn refresh_until(&self) -> i64 {
        self.kept.refresh_until
    }
}

/// What lies before every time.
const NEVER: i64 = i64::MIN;

/// Makes and judges tokens of this format; from `tokens` alone, so that whoever issues and whoever verifies has one of its own.
#[derive(Debug)]
pub struct Praetorian {
    signing: Option<hmac::Key>,
    /// Each until when, in Unix milliseconds.
    verifying: Vec<(hmac::Key, i64)>,
    access_ttl: i64,
    refresh_ttl: i64,
    /// In seconds.
    leeway: i64,
    max_length: usize,
    flask: bool,
    /// When it was last told that tokens come from a clock ahead of ours (Unix milliseconds).
    ahead_told: AtomicI64,
}

impl Praetorian {
    /// By these settings; `None`: such tokens are neither issued nor taken.
    pub fn new(settings: &super::Settings) -> Option<Self> {
        let praetorian = settings.praetorian.as_ref()?;
        let key = |secret: &Secret<Vec<u8>>| hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let verifying = praetorian.verifying.iter();
        Some(Self {
            signing: praetorian.signing.as_ref().map(key),
            verifying: verifying
                .map(|(secret, until)| (key(secret), until.unwrap_or(i64::MAX)))
                .collect(),
            access_ttl: seconds(settings.access_ttl),
            refresh_ttl: seconds(settings.refresh_ttl),
            leeway: seconds(settings.leeway),
            max_length: settings.max_length,
            flask: praetorian.flask,
            ahead_told: AtomicI64::new(NEVER),
        })
    }

    /// Whether new tokens are of this format.
    pub fn issues(&self) -> bool {
        self.signing.is_some()
    }

    /// Whether the Authorization field is read, and what is no good told, as flask-praetorian does.
    pub fn is_flask(&self) -> bool {
        self.flask
    }

    /// Whether a token that no issuer we know has written may be one of these. Where new tokens or answers are in this format,
    /// everything is, so that it gets its words; else only what looks like one.
    pub(super) fn takes(&self, token: &[u8]) -> bool {
        self.flask || self.signing.is_some() || self.looks_like_one(token)
    }

    /// Whether a token has the claims of this format, good or not.
    pub fn looks_like_one(&self, token: &[u8]) -> bool {
        super::compact::Compact::parse(token, self.max_length).is_ok_and(|token| is_one(&token.payload))
    }

    /// Until when a revocation of this token must be remembered at the least (Unix seconds): nothing that comes of it by a
    /// refresh lives longer.
    pub fn ends(&self, issued_at: i64, expires_at: i64) -> i64 {
        issued_at.saturating_add(self.refresh_ttl).max(expires_at)
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// For fuzzing: the bytes as a token, and as the claims of one that was signed. An error is a broken promise.
pub(super) fn fuzz(data: &[u8]) -> Result<(), &'static str> {
    let key = || hmac::Key::new(hmac::HMAC_SHA256, b"fuzz");
    let praetorian = Praetorian {
        signing: Some(key()),
        verifying: vec![(key(), i64::MAX)],
        access_ttl: 1,
        refresh_ttl: 2,
        leeway: 0,
        max_length: 8192,
        flask: true,
        ahead_told: AtomicI64::new(NEVER),
    };
    let now = 1_800_000_000_000;
    let none = |_: &str| false;
    if praetorian.read_access(data, now, &none).is_ok() {
        return Err("a token that nobody signed");
    }
    let Some(signed) = std::str::from_utf8(data)
        .ok()
        .and_then(|claims| praetorian.sign(claims, 1).ok())
    else {
        return Ok(());
    };
    let token = signed.token.expose().as_bytes();
    let _ = praetorian.read_access(token, now, &none);
    for purpose in [MailPurpose::Registration, MailPurpose::Reset] {
        let _ = praetorian.read_mail_token(purpose, token, now, &none);
    }
    let Ok(old) = praetorian.read_refreshable(token, now, &none) else {
        return Ok(());
    };
    // Whatever was kept, what comes of it means the same user and token, and can be refreshed in its turn.
    let fresh = praetorian.refreshed(&old, "user", now).map_err(|_| "no fresh token")?;
    let later = old.refresh_until().saturating_mul(1000);
    match praetorian.read_refreshable(fresh.token.expose().as_bytes(), later, &none) {
        Ok(again) if (again.user, &again.token_id) == (old.user, &old.token_id) => Ok(()),
        Ok(_) => Err("a refresh changed whose token it is"),
        Err(Fault::ExpiredRefresh | Fault::EarlyRefresh | Fault::Undecodable(Undecodable::TooLong)) => Ok(()),
        Err(_) => Err("a fresh token is no good"),
    }
}
