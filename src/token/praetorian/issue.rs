//! Makes tokens, byte for byte as PyJWT 2.1 does for flask-praetorian.

use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SecureRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::quoted;
use super::{MailPurpose, Praetorian, Refreshable};
use crate::principal::UserId;
use crate::secret::Secret;
use crate::token::{AccessToken, IssueError};

const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

impl Praetorian {
    /// A new access token for a user, whose roles column is `roles`, at `now` (Unix milliseconds).
    pub fn access(
        &self,
        user: UserId,
        roles: &str,
        random: &dyn SecureRandom,
        now: i64,
    ) -> Result<AccessToken, IssueError> {
        self.new_token(user, roles, "", random, now)
    }

    /// How long a new token counts.
    pub fn life(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.access_ttl).unwrap_or(0))
    }

    /// A new token to be sent by mail.
    pub fn mail_token(
        &self,
        purpose: MailPurpose,
        user: UserId,
        roles: &str,
        random: &dyn SecureRandom,
        now: i64,
    ) -> Result<AccessToken, IssueError> {
        let mark = match purpose {
            MailPurpose::Registration => r#","is_ert":true"#,
            MailPurpose::Reset => r#","is_prt":true"#,
        };
        self.new_token(user, roles, mark, random, now)
    }

    /// A fresh access token in place of an expired one, for a user whose roles column is `roles` now.
    pub fn refreshed(&self, old: &Refreshable, roles: &str, now: i64) -> Result<AccessToken, IssueError> {
        let kept = &old.kept;
        let issued_at = now.div_euclid(1000);
        let expires_at = issued_at.saturating_add(self.access_ttl);
        // Python's min(): of a fraction it is the fraction that stays.
        let (exp, expires_at) = match expires_at <= kept.refresh_until {
            true => (expires_at.to_string(), expires_at),
            false => (kept.rf_exp.clone(), kept.refresh_until),
        };
        let roles = quoted(roles);
        let claims = format!(
            r#"{{"iat":{issued_at},"exp":{exp},"jti":{},"id":{},"rls":{roles},"rf_exp":{}{}}}"#,
            kept.jti, kept.id, kept.rf_exp, kept.custom
        );
        self.sign(&claims, expires_at.saturating_sub(issued_at))
    }

    fn new_token(
        &self,
        user: UserId,
        roles: &str,
        mark: &str,
        random: &dyn SecureRandom,
        now: i64,
    ) -> Result<AccessToken, IssueError> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes).map_err(|_| IssueError::Failed)?;
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let issued_at = now.div_euclid(1000);
        let refresh_until = issued_at.saturating_add(self.refresh_ttl);
        let expires_at = issued_at.saturating_add(self.access_ttl).min(refresh_until);
        let roles = quoted(roles);
        let claims = format!(
            r#"{{"iat":{issued_at},"exp":{expires_at},"jti":"{id}","id":{user},"rls":{roles},"rf_exp":{refresh_until}{mark}}}"#
        );
        self.sign(&claims, expires_at.saturating_sub(issued_at))
    }

    pub(super) fn sign(&self, claims: &str, expires_in: i64) -> Result<AccessToken, IssueError> {
        let key = self.signing.as_ref().ok_or(IssueError::NoKey)?;
        let mut token = URL_SAFE_NO_PAD.encode(HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = hmac::sign(key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        if token.len() > self.max_length {
            return Err(IssueError::TooLong);
        }
        Ok(AccessToken {
            token: Secret::new(token),
            expires_in,
        })
    }
}
