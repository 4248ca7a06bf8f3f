//! Verification: whose token it is, which of their keys signed it, what it says.

use std::sync::Arc;

use crate::keyring::KeyRing;
use crate::principal::{CredentialKind, Issuer, Person, Roles, SessionId, UserId};
use crate::revocation::{Identity, Revocations, Standing};

use super::claims::{Claims, Numbers, peek_issuer};
use super::compact::{Compact, Header};
use super::external::External;
use super::praetorian::{self, Fault, Praetorian};
use super::{Error, FetchedKeys, IssuerKeys, Kind, LoadError, Settings};

/// A token that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Who it is, as the token says. What became of them since is [`Revocations::verdict`]'s to say.
    pub person: Arc<Person>,
    /// What it is for.
    pub kind: Kind,
    /// When it counts.
    pub window: Window,
    /// How it names its user.
    pub named: Named,
}

/// How a token says who its user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// With name and roles as they were when it was issued.
    InFull,
    /// By the key of a row: name and roles are to be looked up, and the person has none yet.
    ById,
}

/// From when (Unix milliseconds, included) until when (excluded) something counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub from: i64,
    /// The moment after the last.
    pub until: i64,
}

impl Window {
    /// Whether `now` lies in it.
    pub fn contains(self, now: i64) -> bool {
        self.from <= now && now < self.until
    }
}

/// Verifies tokens of ours and of trusted issuers. Made once from the settings, shared by all workers; our own keys are
/// those in the ring at the time.
#[derive(Debug)]
pub struct Verifier {
    ring: KeyRing,
    issuer: String,
    audience: Vec<String>,
    leeway: i64,
    max_length: usize,
    external: Vec<External>,
    fetched: FetchedKeys,
    praetorian: Option<Praetorian>,
}

impl Verifier {
    /// The same as [`Verifier::with_fetched`], with nothing fetched and nobody who fetches.
    pub fn new(settings: &Settings, ring: KeyRing, admin_role: &str) -> Result<(Self, Vec<String>), LoadError> {
        Self::with_fetched(settings, ring, &FetchedKeys::default(), admin_role)
    }

    /// Reads the files of the trusted issuers. Nobody's roles but our own users' may hold `admin_role`. Also gives notes for
    /// the operator: keys that were passed over, and why.
    pub fn with_fetched(
        settings: &Settings,
        ring: KeyRing,
        fetched: &FetchedKeys,
        admin_role: &str,
    ) -> Result<(Self, Vec<String>), LoadError> {
        let mut external: Vec<External> = Vec::with_capacity(settings.trusted_issuers.len());
        let mut notes = Vec::new();
        for trusted in &settings.trusted_issuers {
            if trusted.issuer == settings.issuer || external.iter().any(|have| have.issuer() == trusted.issuer) {
                return Err(LoadError::Duplicate(trusted.issuer.clone()));
            }
            let (loaded, passed_over) = External::load(trusted, fetched, admin_role)?;
            notes.extend(
                passed_over
                    .into_iter()
                    .map(|note| format!("keys of issuer {}: {note}", trusted.issuer)),
            );
            external.push(loaded);
        }
        let verifier = Self {
            ring,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: i64::try_from(settings.leeway.as_secs()).unwrap_or(i64::MAX),
            max_length: settings.max_length,
            external,
            fetched: fetched.clone(),
            praetorian: Praetorian::new(settings),
        };
        Ok((verifier, notes))
    }

    /// Verifies a token at `now` (Unix milliseconds).
    pub fn verify(&self, token: &[u8], now: i64) -> Result<Verified, Error> {
        self.verify_but(token, now, &|_| false)
    }

    /// The same, where tokens of the praetorian format may be blacklisted by their `jti`: that comes before most that may be
    /// wrong with one.
    pub fn verify_but(&self, token: &[u8], now: i64, blacklisted: &dyn Fn(&str) -> bool) -> Result<Verified, Error> {
        let whole = token;
        let standard = || {
            let token = Compact::parse(token, self.max_length)?;
            let header = Header::parse(&token.header)?;
            Ok::<_, Error>((peek_issuer(&token.payload)?, token, header))
        };
        let (issuer, token, header) = match (standard(), &self.praetorian) {
            (Ok((issuer, token, header)), _) if self.knows(&issuer) => (issuer, token, header),
            (_, Some(praetorian)) if praetorian.takes(token) => {
                return verify_praetorian(praetorian, token, now, blacklisted);
            }
            (parsed, _) => parsed?,
        };
        let verified = self.verify_known(&issuer, &token, &header, now);
        match (verified, &self.praetorian) {
            (Err(error), Some(praetorian)) if praetorian.is_flask() => {
                Err(in_flask(praetorian, error, whole, now, blacklisted))
            }
            (verified, _) => verified,
        }
    }

    fn verify_known(&self, issuer: &str, token: &Compact<'_>, header: &Header, now: i64) -> Result<Verified, Error> {
        if issuer == self.issuer {
            return self.verify_ours(token, header, now);
        }
        let external = self.external.iter().find(|external| external.issuer() == issuer);
        external.ok_or(Error::UnknownIssuer)?.verify(token, header, now)
    }

    /// Tokens of the praetorian format, where they count.
    pub fn praetorian(&self) -> Option<&Praetorian> {
        self.praetorian.as_ref()
    }

    fn knows(&self, issuer: &str) -> bool {
        issuer == self.issuer || self.external.iter().any(|known| known.issuer() == issuer)
    }

    /// Rises when what was verified before may be verified differently now. Read it before [`Verifier::verify`].
    pub fn generation(&self) -> u64 {
        // Both only rise, so the sum changes whenever one of them does.
        self.ring.generation().wrapping_add(self.fetched.generation())
    }

    /// The keys of the issuer that a token names, where they are fetched: who asks for them may find the token good after.
    pub fn fetched_keys(&self, token: &[u8]) -> Option<IssuerKeys> {
        let token = Compact::parse(token, self.max_length).ok()?;
        let issuer = peek_issuer(&token.payload).ok()?;
        let external = self.external.iter().find(|external| external.issuer() == issuer);
        external?.fetched().cloned()
    }

    /// Whether a token says that it is ours or a trusted issuer's, good or not. Nothing is verified.
    pub fn is_named_in(&self, token: &[u8]) -> bool {
        let Ok(token) = Compact::parse(token, self.max_length) else {
            return false;
        };
        peek_issuer(&token.payload).is_ok_and(|issuer| self.knows(&issuer))
            || (self.praetorian.is_some() && praetorian::is_one(&token.payload))
    }

    /// `iss` of our own tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    fn verify_ours(&self, token: &Compact<'_>, header: &Header, now: i64) -> Result<Verified, Error> {
        header.must_be(Kind::Access)?;
        let keys = self.ring.load();
        if !keys.ready() {
            return Err(Error::NotReady);
        }
        let key = header
            .key
            .as_deref()
            .and_then(|id| keys.verifying(id, now))
            .ok_or(Error::UnknownKey)?;
        if header.algorithm != key.verifying().algorithm().as_str() {
            return Err(Error::WrongAlgorithm);
        }
        if !key.verifying().verify(token.signed, &token.signature) {
            return Err(Error::BadSignature);
        }
        let (person, seconds) = self.read_ours(&token.payload)?;
        let claimed = check_window(seconds, now)?;
        let window = Window {
            from: claimed.from.max(key.publish_at()),
            until: claimed.until.min(key.verify_until().unwrap_or(i64::MAX)),
        };
        Ok(Verified {
            person: Arc::new(person),
            kind: Kind::Access,
            window,
            named: Named::InFull,
        })
    }

    /// The claims of ours: iss sub aud iat exp jti sid username roles, and email where one is verified.
    fn read_ours(&self, payload: &str) -> Result<(Person, (i64, i64)), Error> {
        let claims = Claims::parse(payload)?;
        if claims.text("iss")? != self.issuer {
            return Err(Error::UnknownIssuer);
        }
        let times = claims.times(Numbers::Integers)?;
        claims.check_audience(&self.audience)?;
        let subject = claims.text("sub")?;
        let person = Person {
            issuer: Issuer::Local,
            subject: subject.to_owned(),
            user: Some(user_id(subject)?),
            name: claims.text("username")?.to_owned(),
            roles: claims.texts("roles")?.into_iter().collect::<Roles>(),
            email: claims.optional_text("email")?.map(str::to_owned),
            session: Some(
                claims
                    .text("sid")?
                    .parse::<SessionId>()
                    .map_err(|_| Error::BadClaim("sid"))?,
            ),
            token_id: Some(claims.text("jti")?.to_owned()),
            issued_at: times.issued_at.ok_or(Error::BadClaim("iat"))?,
            expires_at: times.expires_at,
            credential: CredentialKind::Bearer,
            limit: None,
            subject_prefix: 0,
        };
        Ok((person, times.window(self.leeway, true)))
    }
}

/// Our `sub` is the user's key in decimal, in its one spelling.
fn user_id(subject: &str) -> Result<UserId, Error> {
    let id: i64 = subject.parse().map_err(|_| Error::BadClaim("sub"))?;
    match id.to_string() == subject {
        true => Ok(UserId(id)),
        false => Err(Error::BadClaim("sub")),
    }
}

/// Where `now` lies in the window that the claims give, in seconds.
pub(super) fn check_window((from, until): (i64, i64), now: i64) -> Result<Window, Error> {
    let window = Window {
        from: from.saturating_mul(1000),
        until: until.saturating_mul(1000),
    };
    match window.contains(now) {
        true => Ok(window),
        false if now >= window.until => Err(Error::Expired),
        false => Err(Error::NotYetValid),
    }
}

/// What flask-praetorian says of a token that names an issuer we know and is no good. Nothing becomes good by it.
fn in_flask(
    praetorian: &Praetorian,
    error: Error,
    token: &[u8],
    now: i64,
    blacklisted: &dyn Fn(&str) -> bool,
) -> Error {
    match error {
        Error::Expired => Error::Praetorian(Fault::Expired(praetorian::Purpose::Access)),
        // Not the token's fault, or already in those words.
        error @ (Error::NotReady
        | Error::KeyNotFetched
        | Error::NotIdentified(_)
        | Error::Revoked
        | Error::Praetorian(_)) => error,
        error @ (Error::TooLong
        | Error::Malformed(_)
        | Error::UnsupportedHeader(_)
        | Error::WrongKind
        | Error::UnknownIssuer
        | Error::UnknownKey
        | Error::WrongAlgorithm
        | Error::BadSignature
        | Error::NotYetValid
        | Error::WrongAudience
        | Error::BadClaim(_)) => match praetorian.read_access(token, now, blacklisted) {
            Err(fault) => Error::Praetorian(fault),
            Ok(_) => error,
        },
    }
}

fn verify_praetorian(
    praetorian: &Praetorian,
    token: &[u8],
    now: i64,
    blacklisted: &dyn Fn(&str) -> bool,
) -> Result<Verified, Error> {
    let read = praetorian.read_access(token, now, blacklisted);
    let (person, window) = read.map_err(Error::Praetorian)?;
    Ok(Verified {
        person: Arc::new(person),
        kind: Kind::Access,
        window,
        named: Named::ById,
    })
}

impl Verified {
    /// The person with the name and roles that count now.
    pub fn in_force(&self, revocations: &Revocations) -> Result<Arc<Person>, Error> {
        match self.named {
            Named::InFull => match revocations.verdict(&self.person) {
                Standing::Good => Ok(Arc::clone(&self.person)),
                Standing::Changed(person) => Ok(person),
                Standing::Ended => Err(Error::Revoked),
            },
            Named::ById => match revocations.identify(&self.person) {
                Identity::Known(person) => Ok(person),
                Identity::Unknown(user) => Err(Error::NotIdentified(user)),
                Identity::TokenRevoked => Err(Error::Praetorian(Fault::Blacklisted)),
                Identity::Revoked => Err(Error::Praetorian(Fault::Revoked)),
                Identity::Gone => Err(Error::Praetorian(Fault::UnknownId)),
            },
        }
    }
}

/// Who shows this token, with the name and roles that count now: verification and standing without any memory.
pub fn person_in_force(
    verifier: &Verifier,
    revocations: &Revocations,
    token: &[u8],
    now: i64,
) -> Result<Arc<Person>, Error> {
    let verified = verifier.verify_but(token, now, &|id| revocations.is_token_revoked(id))?;
    verified.in_force(revocations)
}
