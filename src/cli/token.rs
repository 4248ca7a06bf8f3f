//! `doorward token …`: what a token says and what is wrong with it; the revocation of others' tokens is in `ban.rs`.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::sync::Arc;

use clap::Subcommand;
use serde_json::Value;

use super::migrate::failed;
use super::{Failure, Places, ban, desk, key, terminal, times};
use crate::clock::Clock;
use crate::config::Config;
use crate::keyring::KeyRing;
use crate::office::OfficeRuntime;
use crate::principal::{Issuer, Person};
use crate::revocation::{Revocations, Standing};
use crate::server;
use crate::store::{Change, Store};
use crate::token::praetorian::{Fault, Purpose, Undecodable};
use crate::token::{self, Error, Inspection, Named, Presented, Verified, Verifier};

/// Nobody's token is longer; what is, is no token.
const LARGEST: u64 = 1 << 20;

/// What is to be done with tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Decode a token, verify it against this configuration, say what is wrong with it
    Inspect {
        /// The token; none: standard input
        jwt: Option<String>,
    },
    /// Refuse tokens of another issuer: all of a subject, or one
    Revoke(ban::Options),
}

/// Runs it: done when the token is good, failed when not.
pub fn run(places: &Places, command: Command) -> Result<(), Failure> {
    let jwt = match command {
        Command::Inspect { jwt } => jwt,
        Command::Revoke(options) => return ban::run(places, options),
    };
    let config = places.load()?.config;
    let token = match jwt {
        Some(token) => token,
        None => from_stdin()?,
    };
    let token = bare(&token)?;
    let now = Clock::system().unix_millis();
    let office = OfficeRuntime::start()?;
    let Looked { known, inspection } = office.block_on(look(&config, token, now))?;
    terminal::print(&laid_open(&inspection, now)?)?;
    judged(&inspection, &known, token).and_then(|verdict| terminal::print(&verdict))
}

/// The token itself, of what somebody has pasted.
pub(super) fn bare(text: &str) -> Result<&str, Failure> {
    let token = text.trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim_start();
    if token.is_empty() {
        let hint = "give one as an argument or on standard input";
        return Err(Failure::usage("there is no token", hint));
    }
    Ok(token)
}

/// What a token says, and what is known of whoever it is about.
pub(super) struct Looked {
    known: Known,
    inspection: Inspection,
}

/// Looks at a token as a gateway of this configuration would.
pub(super) async fn look(config: &Config, token: &str, now: i64) -> Result<Looked, Failure> {
    let mut known = Known::read(config, now).await;
    let (verifier, _) = Verifier::new(&config.tokens, known.ring.clone(), &config.admin.role).map_err(|error| {
        Failure::run(
            "the keys of a trusted issuer cannot be used",
            error,
            "see `doorward check`",
        )
    })?;
    if let Some(keys) = verifier.fetched_keys(token.as_bytes())
        && let Err(error) = keys.fetch().await
    {
        known.unfetched = Some(format!("{}: {error}", keys.url()));
    }
    let inspection = token::inspect(&verifier, token, now);
    if let Ok(verified) = &inspection.verdict {
        known.ask_about(&verified.person, &config.admin.role).await;
    }
    Ok(Looked { known, inspection })
}

impl Looked {
    /// Who shows it, with the roles in force.
    pub(super) fn person(&self) -> Result<Person, Error> {
        let person = match &self.inspection.verdict {
            Ok(verified) => &verified.person,
            Err(error) => return Err(error.clone()),
        };
        match self.known.revocations.verdict(person) {
            Standing::Good => Ok(Person::clone(person)),
            Standing::Changed(in_force) => Ok(Person::clone(&in_force)),
            Standing::Ended => Err(Error::Revoked),
        }
    }

    /// What to do about a token that is not good.
    pub(super) fn hint(&self, error: &Error, token: &str) -> String {
        hint(error, &self.known, token)
    }
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LARGEST).read_to_string(&mut text);
    read.map_err(|error| Failure::run("the token cannot be read", error, "give it as text on standard input"))?;
    Ok(text)
}

/// What the store says about tokens of ours, as far as it can be asked.
#[derive(Default)]
struct Known {
    store: Option<Arc<dyn Store>>,
    ring: KeyRing,
    revocations: Revocations,
    missing: Option<Failure>,
    /// Why the keys of the token's issuer could not be fetched.
    unfetched: Option<String>,
}

impl Known {
    async fn read(config: &Config, now: i64) -> Self {
        let mut known = Self::default();
        known.missing = known.fill(config, now).await.err();
        known
    }

    async fn fill(&mut self, config: &Config, now: i64) -> Result<(), Failure> {
        desk::is_there(config)?;
        let store = server::open_store(config).await?;
        self.ring = key::ring(config, &*store).await?;
        let (changes, _) = store.all_changes(now).await.map_err(|error| failed(&error))?;
        self.apply(&changes, &config.admin.role);
        self.store = Some(store);
        Ok(())
    }

    /// What became of this user of ours, whatever the feed still remembers of it.
    async fn ask_about(&mut self, person: &Person, admin_role: &str) {
        let (Some(user), Some(store)) = (person.user, &self.store) else {
            return;
        };
        match store.user(user).await {
            Ok(state) => self.apply(
                &[Change::User {
                    user,
                    state: state.map(Box::new),
                    until: i64::MAX,
                }],
                admin_role,
            ),
            Err(error) => self.missing = Some(failed(&error)),
        }
    }

    fn apply(&self, changes: &[Change], admin_role: &str) {
        // What it asks for, keys and a census of all users, is read anyway.
        let _ = self.revocations.apply(changes, admin_role);
    }
}

/// Header and claims as they stand there, and the times in words. The signature is not shown: it is what makes a token.
fn laid_open(inspection: &Inspection, now: i64) -> Result<String, Failure> {
    let mut text = String::new();
    for (name, part) in [("header", &inspection.header), ("claims", &inspection.claims)] {
        let value = match part {
            Some(value) => terminal::json(value)?,
            None => "cannot be read\n".to_owned(),
        };
        write!(text, "{name}: {value}").ok();
    }
    let claim = |name: &str| {
        inspection
            .claims
            .as_ref()
            .and_then(|claims| claims.get(name))
            .and_then(Value::as_f64)
    };
    for (name, meaning) in [("iat", "issued"), ("nbf", "valid from"), ("exp", "expires")] {
        let millis = claim(name).map(|seconds| whole_millis(seconds * 1000.0));
        if let Some((millis, date)) = millis.and_then(|millis| Some((millis, times::rfc3339(millis)?))) {
            writeln!(text, "{meaning} ({name}): {date}, {}", times::distance(millis, now)).ok();
        }
    }
    Ok(text)
}

#[expect(clippy::as_conversions, reason = "a float saturates; this is shown, not believed")]
fn whole_millis(millis: f64) -> i64 {
    millis as i64
}

fn judged(inspection: &Inspection, known: &Known, token: &str) -> Result<String, Failure> {
    let bad = |cause: &dyn std::fmt::Display, hint: String| Failure::run("the token is not good", cause, hint);
    let verified = match &inspection.verdict {
        Ok(verified) => verified,
        Err(error) => return Err(bad(error, hint(error, known, token))),
    };
    match verified.in_force(&known.revocations) {
        Ok(in_force) => Ok(good(verified, &in_force)),
        Err(error) => Err(bad(&error, hint(&error, known, token))),
    }
}

fn good(verified: &Verified, in_force: &Person) -> String {
    let person = &verified.person;
    let of = match &person.issuer {
        Issuer::Local => "of this gateway".to_owned(),
        Issuer::External(issuer) => format!("of {}", terminal::shown(issuer)),
    };
    let roles = |person: &Person| match person.roles.is_empty() {
        true => "no roles".to_owned(),
        false => format!("roles {}", terminal::shown(&person.roles.to_column())),
    };
    let mut text = format!("good: {} {of}, {}\n", terminal::shown(&in_force.name), roles(in_force));
    if verified.named == Named::InFull && person.roles != in_force.roles {
        writeln!(
            text,
            "the token itself says {}; the stored ones are in force",
            roles(person)
        )
        .ok();
    }
    text
}

/// What to do about a token that is not good.
fn hint(error: &Error, known: &Known, token: &str) -> String {
    if Presented::parse(token).is_some() {
        return "this is a refresh token; it is no JWT, and only POST /api/refresh takes it".to_owned();
    }
    if let (Error::NotReady, Some(missing)) = (error, &known.missing) {
        return format!("the store could not be asked for our own keys:\n{missing}");
    }
    if let (Error::KeyNotFetched, Some(why)) = (error, &known.unfetched) {
        return format!("the keys of the issuer could not be fetched: {why}");
    }
    if let (Error::NotIdentified(_), Some(missing)) = (error, &known.missing) {
        return format!("the store could not be asked who the user is:\n{missing}");
    }
    let text = match error {
        Error::NotIdentified(_) => "the token names its user by the key alone, and the store was not asked",
        Error::Praetorian(fault) => praetorian_hint(*fault),
        Error::TooLong => "a longer one is accepted with tokens.max_length",
        Error::Malformed(_) => "give the whole token: three parts with dots between them, without blanks or quotes",
        Error::UnsupportedHeader(_) => "the issuer must leave this out of the token's header",
        Error::WrongKind => "use an access token (typ at+jwt), not one made for another purpose",
        Error::UnknownIssuer => "tokens.issuer is ours; others stand in [[tokens.trusted_issuers]]",
        Error::UnknownKey => "compare kid with `doorward key list`, or with the keys of the issuer",
        Error::WrongAlgorithm => "the key decides the algorithm; a token cannot choose another",
        Error::BadSignature => "it was changed after it was signed, or signed with another key",
        Error::Expired => "get a new one with the refresh token, or log in again",
        Error::NotYetValid => "compare the clocks of this machine and of the issuer",
        Error::WrongAudience => "compare aud with tokens.audience, or with audience of the trusted issuer",
        Error::BadClaim(_) => "the issuer must give this claim, in the type that is expected",
        Error::Revoked => "log in again; `doorward user show` says whether the user is active",
        Error::KeyNotFetched => "compare kid with the keys of the issuer at its jwks_url",
        Error::NotReady => "start the gateway once, so that it makes its keys",
    };
    text.to_owned()
}

/// The same for a token of the praetorian format.
fn praetorian_hint(fault: Fault) -> &'static str {
    match fault {
        Fault::Undecodable(Undecodable::Signature) => {
            "it was changed after it was signed, or signed with another SECRET_KEY than those in [compat]"
        }
        Fault::Undecodable(Undecodable::TooLong) => "a longer one is accepted with tokens.max_length",
        Fault::Undecodable(Undecodable::Algorithm) => "tokens of this format are signed by HS256",
        Fault::Undecodable(_) | Fault::MissingToken | Fault::HeaderStructure => {
            "give the whole token: three parts with dots between them, without blanks or quotes"
        }
        Fault::MissingClaim(_) | Fault::NoId => "the server that issued it must give this claim",
        Fault::Expired(Purpose::Access) => "get a new one with POST /api/refresh, or log in again",
        Fault::Expired(_) | Fault::ExpiredRefresh => "log in again",
        Fault::EarlyRefresh => "it counts; there is nothing to refresh yet",
        Fault::MisusedRegistration(_) | Fault::MisusedReset(_) | Fault::InvalidRegistration | Fault::InvalidReset => {
            "use an access token, not one that was sent by mail"
        }
        Fault::Blacklisted => "it was revoked by its jti, by a logout or `doorward token revoke`; log in again",
        Fault::UnknownId | Fault::UnknownRegistrant | Fault::MissingUser => {
            "`doorward user list` says which users there are"
        }
        Fault::Revoked | Fault::Inactive => {
            "the user is not active, or has another password since; `doorward user show` says more"
        }
        Fault::MissingRole => "`doorward user roles` gives roles",
    }
}
