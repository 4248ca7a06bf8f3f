//! Tokens as flask-praetorian makes and takes them: HS256 with the SECRET_KEY of a Flask application, the user by `id` alone,
//! stateless. What is issued here works there, what was issued there works here.
//!
//! ```text
//! bytes -> keys (split, signature, nbf, aud) -> claims (jti, id, exp, rf_exp, purpose) -> who it is: the revocations know
//! ```
//!
//! Where PyJWT is lenient without anybody's need (two spellings of one token, a claim that stands twice), this is not.

mod fault;

pub use fault::{Claim, Fault, Purpose, Undecodable, all_roles_required, one_role_required};

use aws_lc_rs::rand::SecureRandom;

use crate::principal::UserId;
use crate::secret::Secret;

use super::{AccessToken, IssueError};

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
#[derive(Clone, Debug, PartialEq)]
pub struct Refreshable {
    /// Whose it is; `None`: nobody's that could be found.
    pub user: Option<UserId>,
    /// Its name (`jti`).
    pub token_id: String,
    /// When it was issued (`iat`), in Unix seconds; 0: it does not say.
    pub issued_at: i64,
    /// Until when it can be refreshed (`rf_exp`), in Unix seconds.
    pub refresh_until: i64,
}

/// Makes and judges tokens of this format; from `tokens` alone, so that whoever issues and whoever verifies has one of its own.
#[derive(Debug)]
pub struct Praetorian {}

impl Praetorian {
    /// By these settings; `None`: such tokens are neither issued nor taken.
    pub fn new(_settings: &super::Settings) -> Option<Self> {
        todo!()
    }

    /// Whether new tokens are of this format.
    pub fn issues(&self) -> bool {
        todo!()
    }

    /// A new access token for a user, whose roles column is `roles`, at `now` (Unix milliseconds).
    pub fn access(
        &self,
        _user: UserId,
        _roles: &str,
        _random: &dyn SecureRandom,
        _now: i64,
    ) -> Result<AccessToken, IssueError> {
        todo!()
    }

    /// A new token to be sent by mail.
    pub fn mail_token(
        &self,
        _purpose: MailPurpose,
        _user: UserId,
        _roles: &str,
        _random: &dyn SecureRandom,
        _now: i64,
    ) -> Result<AccessToken, IssueError> {
        todo!()
    }

    /// A fresh access token in place of an expired one, for a user whose roles column is `roles` now.
    pub fn refreshed(&self, _old: &Refreshable, _roles: &str, _now: i64) -> Result<AccessToken, IssueError> {
        todo!()
    }

    /// Judges a token that came by mail. `blacklisted`: whether a `jti` was revoked.
    pub fn read_mail_token(
        &self,
        _purpose: MailPurpose,
        _token: &[u8],
        _now: i64,
        _blacklisted: &dyn Fn(&str) -> bool,
    ) -> Result<MailToken, Fault> {
        todo!()
    }

    /// Judges a token that is to be refreshed.
    pub fn read_refreshable(
        &self,
        _token: &[u8],
        _now: i64,
        _blacklisted: &dyn Fn(&str) -> bool,
    ) -> Result<Refreshable, Fault> {
        todo!()
    }
}
