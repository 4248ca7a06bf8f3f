//! Access tokens of ours (RFC 9068): claims in, a signed token out.

use std::time::Duration;

use aws_lc_rs::rand::SecureRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::keyring::{self, KeyRing};
use crate::principal::{Roles, SessionId, UserId};
use crate::secret::Secret;

use super::{Kind, Settings};

/// Whom a token is for, as of now.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The user.
    pub user: UserId,
    /// Their name.
    pub username: &'a str,
    /// The roles in force.
    pub roles: &'a Roles,
    /// A verified e-mail address.
    pub email: Option<&'a str>,
    /// The session the token belongs to.
    pub session: SessionId,
    /// When that ends whatever happens (Unix milliseconds): its tokens do not outlive it.
    pub session_ends: i64,
}

/// A new access token.
#[derive(Debug)]
pub struct AccessToken {
    /// The token itself.
    pub token: Secret<String>,
    /// For how many seconds it is good.
    pub expires_in: i64,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// There is no key that signs now.
    #[error("no signing key is active")]
    NoKey,
    /// It would be longer than `tokens.max_length`, and nobody would take it.
    #[error("the token would be longer than tokens.max_length")]
    TooLong,
    /// No randomness, or the library failed.
    #[error("the token could not be signed")]
    Failed,
}

impl From<keyring::Error> for IssueError {
    fn from(_: keyring::Error) -> Self {
        Self::Failed
    }
}

/// Makes access tokens with the active key of the ring.
#[derive(Clone, Debug)]
pub struct Mint {
    ring: KeyRing,
    issuer: String,
    audience: Vec<String>,
    access_ttl: Duration,
    max_length: usize,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: Audience<'a>,
    iat: i64,
    exp: i64,
    jti: String,
    sid: String,
    username: &'a str,
    roles: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

/// RFC 7519 section 4.1.3: one audience may stand without brackets.
#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Many(&'a [String]),
}

impl Mint {
    /// A mint for tokens as the settings have them.
    pub fn new(settings: &Settings, ring: KeyRing) -> Self {
        Self {
            ring,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            access_ttl: settings.access_ttl,
            max_length: settings.max_length,
        }
    }

    /// A new access token at `now` (Unix milliseconds).
    pub fn access(
        &self,
        subject: &Subject<'_>,
        random: &dyn SecureRandom,
        now: i64,
    ) -> Result<AccessToken, IssueError> {
        let issued_at = now.div_euclid(1000);
        let ttl = i64::try_from(self.access_ttl.as_secs()).unwrap_or(i64::MAX);
        let expires_at = issued_at.saturating_add(ttl).min(subject.session_ends.div_euclid(1000));
        let mut id = [0; 16];
        random.fill(&mut id).map_err(|_| IssueError::Failed)?;
        let claims = Claims {
            iss: &self.issuer,
            sub: subject.user.to_string(),
            aud: match self.audience.as_slice() {
                [one] => Audience::One(one),
                many => Audience::Many(many),
            },
            iat: issued_at,
            exp: expires_at,
            jti: URL_SAFE_NO_PAD.encode(id),
            sid: subject.session.to_string(),
            username: subject.username,
            roles: subject.roles.iter().collect(),
            email: subject.email,
        };
        let token = self.sign(Kind::Access, &claims, now)?;
        if token.len() > self.max_length {
            return Err(IssueError::TooLong);
        }
        Ok(AccessToken {
            token: Secret::new(token),
            expires_in: expires_at.saturating_sub(issued_at),
        })
    }

    fn sign(&self, kind: Kind, claims: &impl Serialize, now: i64) -> Result<String, IssueError> {
        let keys = self.ring.load();
        let key = keys.signing(now).ok_or(IssueError::NoKey)?;
        let header = Header {
            alg: key.signing().algorithm().as_str(),
            typ: kind.typ(),
            kid: key.id(),
        };
        let mut token = encode(&header)?;
        token.push('.');
        token.push_str(&encode(claims)?);
        let signature = key.signing().sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

fn encode(part: &impl Serialize) -> Result<String, IssueError> {
    serde_json::to_vec(part)
        .map(|json| URL_SAFE_NO_PAD.encode(json))
        .map_err(|_| IssueError::Failed)
}
