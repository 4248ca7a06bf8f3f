//! Tokens of one trusted issuer: its keys, and how its people and roles become names and roles here.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::keyring::{self, Imported, VerifyingKey};
use crate::principal::{CredentialKind, Issuer, Person, Roles};

use super::claims::{Claims, Numbers};
use super::compact::{Compact, Header};
use super::json::Json;
use super::verify::{Named, check_window};
use super::{
    Error, FetchedKeys, IssuerKeys, KeySource, Kind, LoadError, RoleMapping, TrustedIssuer, UserMapping, Verified,
};

/// How many keys are tried at most for a token that does not name one.
const MAX_TRIED: usize = 8;

/// A trusted issuer with its keys.
#[derive(Debug)]
pub(super) struct External {
    settings: TrustedIssuer,
    name: Arc<str>,
    keys: Keys,
    leeway: i64,
    admin_role: String,
}

/// Its keys.
#[derive(Debug)]
enum Keys {
    /// From a file: what they are, they stay.
    Fixed(Vec<VerifyingKey>),
    /// From a URL: what they are now.
    Fetched(IssuerKeys),
}

impl Keys {
    fn load(settings: &TrustedIssuer, fetched: &FetchedKeys) -> Result<(Self, Vec<String>), LoadError> {
        let unusable = |why| LoadError::Unusable {
            issuer: settings.issuer.clone(),
            why,
        };
        let Imported { keys, mut notes } = match &settings.keys {
            // Nothing is waited for: the gateway starts while an issuer is down.
            KeySource::JwksUrl(url) => return Ok((Self::Fetched(fetched.of(&settings.issuer, url)), Vec::new())),
            KeySource::JwksFile(path) => keyring::from_jwk_set(&read(&settings.issuer, path)?),
            KeySource::KeyFile(path) => keyring::public_keys_from_pem(&read(&settings.issuer, path)?),
            KeySource::Secret(secret) => VerifyingKey::from_secret(secret.expose()).map(|key| Imported {
                keys: vec![key],
                notes: Vec::new(),
            }),
        }
        .map_err(unusable)?;
        let (keys, others): (Vec<_>, Vec<_>) = keys
            .into_iter()
            .partition(|key| settings.algorithms.contains(&key.algorithm()));
        notes.extend(others.iter().map(|key| {
            let (algorithm, id) = (key.algorithm().as_str(), key.id().unwrap_or("without kid"));
            format!("the {algorithm} key {id:?} is passed over: its algorithm is not among `algorithms`")
        }));
        if keys.is_empty() {
            return Err(unusable(keyring::Error::NoneUsable(notes)));
        }
        Ok((Self::Fixed(keys), notes))
    }
}

impl External {
    pub(super) fn load(
        settings: &TrustedIssuer,
        fetched: &FetchedKeys,
        admin_role: &str,
    ) -> Result<(Self, Vec<String>), LoadError> {
        let (keys, notes) = Keys::load(settings, fetched)?;
        let external = Self {
            name: settings.issuer.as_str().into(),
            keys,
            leeway: i64::try_from(settings.leeway.as_secs()).unwrap_or(i64::MAX),
            admin_role: admin_role.to_owned(),
            settings: settings.clone(),
        };
        Ok((external, notes))
    }

    pub(super) fn issuer(&self) -> &str {
        &self.name
    }

    pub(super) fn verify(&self, token: &Compact<'_>, header: &Header, now: i64) -> Result<Verified, Error> {
        header.may_be_access()?;
        match self.check_signature(token, header) {
            Ok(()) => {}
            Err(Error::KeyNotFetched) => {
                // What no key could make good is not worth a question.
                let (_, seconds) = self.read(&token.payload)?;
                check_window(seconds, now)?;
                return Err(Error::KeyNotFetched);
            }
            Err(error) => return Err(error),
        }
        let (person, seconds) = self.read(&token.payload)?;
        let window = check_window(seconds, now)?;
        Ok(Verified {
            person: Arc::new(person),
            kind: Kind::Access,
            window,
            named: Named::InFull,
        })
    }

    /// Its keys, where they are fetched.
    pub(super) fn fetched(&self) -> Option<&IssuerKeys> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Fetched(keys) => Some(keys),
        }
    }

    fn check_signature(&self, token: &Compact<'_>, header: &Header) -> Result<(), Error> {
        // The configuration has the first word, the key the second, the token none (RFC 8725 section 3.1).
        let allowed = |algorithm: &super::Algorithm| algorithm.as_str() == header.algorithm;
        match &self.keys {
            Keys::Fixed(keys) => check_signature_with(keys, token, header),
            Keys::Fetched(_) if !self.settings.algorithms.iter().any(allowed) => Err(Error::WrongAlgorithm),
            Keys::Fetched(keys) => match keys.load() {
                None => Err(Error::KeyNotFetched),
                Some(set) => match check_signature_with(&set.0, token, header) {
                    Err(Error::UnknownKey) if keys.is_doubtful() => Err(Error::KeyNotFetched),
                    checked => checked,
                },
            },
        }
    }

    fn read(&self, payload: &str) -> Result<(Person, (i64, i64)), Error> {
        let claims = Claims::parse(payload)?;
        if claims.text("iss")? != self.issuer() {
            return Err(Error::UnknownIssuer);
        }
        let times = claims.times(Numbers::Fractions)?;
        claims.check_audience(&self.settings.audience)?;
        let person = Person {
            issuer: Issuer::External(Arc::clone(&self.name)),
            subject: self.shown(claims.text("sub")?),
            user: None,
            name: self.user_name(&claims)?,
            roles: self.roles(&claims)?,
            email: None,
            session: None,
            token_id: claims.optional_text("jti")?.map(str::to_owned),
            // Without an `iat` it counts as issued long ago: a ban of all tokens before some time then holds for it.
            issued_at: times.issued_at.unwrap_or(0),
            expires_at: times.expires_at,
            credential: CredentialKind::ExternalBearer,
            limit: None,
            subject_prefix: self.prefix().len(),
        };
        Ok((person, times.window(self.leeway, false)))
    }

    /// A name of this issuer's as it is shown: never to be taken for one of ours.
    fn shown(&self, name: &str) -> String {
        format!("{}{name}", self.prefix())
    }

    fn prefix(&self) -> &str {
        match &self.settings.users {
            UserMapping::Prefixed(prefix) => prefix,
            UserMapping::AsIs => "",
        }
    }

    fn user_name(&self, claims: &Claims<'_>) -> Result<String, Error> {
        let name = match claims.at(&self.settings.user_claim) {
            Some(Json::Text(name)) if !name.is_empty() => name,
            _ => return Err(Error::BadClaim("named by user_claim")),
        };
        Ok(match &self.settings.users {
            UserMapping::Prefixed(prefix) => format!("{prefix}{name}"),
            UserMapping::AsIs => name.clone().into_owned(),
        })
    }

    /// No claim, no roles; a claim that is neither a list nor a text of names is refused.
    fn roles(&self, claims: &Claims<'_>) -> Result<Roles, Error> {
        let Some(path) = &self.settings.roles_claim else {
            return Ok(Roles::default());
        };
        let theirs: Vec<&str> = match claims.at(path) {
            None => return Ok(Roles::default()),
            Some(Json::Text(list)) => list.split([' ', ',']).filter(|role| !role.is_empty()).collect(),
            Some(Json::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Json::Text(role) => Ok(role.as_ref()),
                    _ => Err(Error::BadClaim("named by roles_claim")),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(Error::BadClaim("named by roles_claim")),
        };
        let mut roles: Roles = match &self.settings.roles {
            RoleMapping::None => Roles::default(),
            RoleMapping::AsIs => theirs.into_iter().filter(|role| representable(role)).collect(),
            RoleMapping::Table(table) => theirs.into_iter().filter_map(|role| table.get(role).cloned()).collect(),
        };
        // The gateway's own role comes from grants only.
        roles.remove(&self.admin_role);
        Ok(roles)
    }
}

/// The key is the one that the token names; without a name, each of the right algorithm is tried, a few at most.
fn check_signature_with(keys: &[VerifyingKey], token: &Compact<'_>, header: &Header) -> Result<(), Error> {
    let named = |key: &&VerifyingKey| header.key.is_none() || key.id() == header.key.as_deref();
    let mut candidates: Vec<&VerifyingKey> = keys.iter().filter(named).collect();
    if candidates.is_empty() {
        // A key file or secret gives no names, and some sets do without: then the token's says nothing.
        candidates = keys.iter().filter(|key| key.id().is_none()).collect();
    }
    if candidates.is_empty() {
        return Err(Error::UnknownKey);
    }
    candidates.retain(|key| key.algorithm().as_str() == header.algorithm);
    if candidates.is_empty() {
        return Err(Error::WrongAlgorithm);
    }
    let good = candidates
        .iter()
        .take(MAX_TRIED)
        .any(|key| key.verify(token.signed, &token.signature));
    if good { Ok(()) } else { Err(Error::BadSignature) }
}

/// A backend gets roles separated by commas: a role that holds one would become two there.
fn representable(role: &str) -> bool {
    !role.is_empty() && role.trim() == role && !role.contains(|c: char| c == ',' || c.is_control())
}

fn read(issuer: &str, path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|why| LoadError::Unreadable {
        issuer: issuer.to_owned(),
        path: path.display().to_string(),
        why,
    })
}
