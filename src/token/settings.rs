//! `[tokens]` and `[[tokens.trusted_issuers]]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::fetch::Url;
pub use crate::keyring::Algorithm;
use crate::keyring::{self, EncryptionKeys, Rules, Source};
use crate::secret::Secret;

use super::praetorian;

/// `[tokens]`, with only valid values.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `iss` of our tokens.
    pub issuer: String,
    /// `aud` of our tokens; at least one.
    pub audience: Vec<String>,
    /// What our tokens are signed with.
    pub algorithm: Algorithm,
    /// The life of an access token.
    pub access_ttl: Duration,
    /// The life of a session that is not refreshed.
    pub refresh_idle: Duration,
    /// The life of a session, refreshed or not.
    pub refresh_ttl: Duration,
    /// Tolerance for `exp` and `nbf`.
    pub leeway: Duration,
    /// What PEM files of keys hold; the first signs, all verify. None: keys are made and kept in the store.
    pub key_files: Vec<Secret<Vec<u8>>>,
    /// What seals the keys in the store.
    pub key_encryption: Option<EncryptionKeys>,
    /// How long a key in the store signs; `None`: until somebody rotates it.
    pub rotate_every: Option<Duration>,
    /// The symmetric key of HS256.
    pub secret: Option<Secret<Vec<u8>>>,
    /// The longest token that is looked at, in bytes.
    pub max_length: usize,
    /// Verified tokens remembered, per worker.
    pub cache: usize,
    /// Issuers whose tokens count beside ours.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Tokens of a server with flask-praetorian; `None`: they do not count.
    pub praetorian: Option<praetorian::Settings>,
}

impl Settings {
    /// What of it is about our own keys.
    pub fn keys(&self) -> keyring::Settings {
        let signs_elsewhere = self
            .praetorian
            .as_ref()
            .is_some_and(|praetorian| praetorian.signing.is_some());
        let source = match (&self.secret, self.key_files.as_slice()) {
            _ if signs_elsewhere => Source::Nowhere,
            (Some(secret), _) if self.algorithm == Algorithm::Hs256 => Source::Secret(secret.clone()),
            (_, []) => Source::Store,
            (_, files) => Source::Files(files.to_vec()),
        };
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        keyring::Settings {
            algorithm: self.algorithm,
            encryption: self.key_encryption.clone(),
            rules: Rules {
                algorithm: matches!(source, Source::Store).then_some(self.algorithm),
                rotate_every: self.rotate_every.map(millis),
                access_ttl: millis(self.longest_token()),
                leeway: millis(self.leeway),
                refresh_idle: millis(self.refresh_idle),
            },
            source,
        }
    }

    /// How long a token that is issued now may concern anybody: a session's until it expires, one of the praetorian format
    /// until it cannot be refreshed any more.
    pub fn longest_token(&self) -> Duration {
        match &self.praetorian {
            Some(_) => self.refresh_ttl.max(self.access_ttl),
            None => self.access_ttl,
        }
    }
}

/// An issuer whose tokens count.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// `iss`, exactly.
    pub issuer: String,
    /// Where its keys are.
    pub keys: KeySource,
    /// The algorithms its tokens may use.
    pub algorithms: Vec<Algorithm>,
    /// `aud` must hold one of these; empty: unchecked.
    pub audience: Vec<String>,
    /// The claim (a path with dots) that holds the name.
    pub user_claim: Vec<String>,
    /// How the name becomes `X-User`.
    pub users: UserMapping,
    /// The claim (a path with dots) that holds the roles.
    pub roles_claim: Option<Vec<String>>,
    /// How its roles become ours.
    pub roles: RoleMapping,
    /// Tolerance for `exp` and `nbf`.
    pub leeway: Duration,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file with a JWK Set (RFC 7517).
    JwksFile(PathBuf),
    /// A JWK Set that is fetched and kept up to date.
    JwksUrl(Url),
    /// A PEM file with a public key or certificate.
    KeyFile(PathBuf),
    /// The symmetric key of HS256.
    Secret(Secret<Vec<u8>>),
}

/// How an external name becomes `X-User`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserMapping {
    /// With this in front: never one of our own users.
    Prefixed(String),
    /// As it is: the same people as the local users.
    AsIs,
}

/// How external roles become ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleMapping {
    /// Not at all.
    None,
    /// As they are.
    AsIs,
    /// By this table; what is not in it is dropped.
    Table(BTreeMap<String, String>),
}
