//! The one place where credentials are chosen and judged, from memory: no store, no wait.

use std::sync::Arc;
use std::time::Duration;

use super::api_key::{self, ApiKeys, Lookup, ShownKey};
use super::{Counts, Fault, Outcome, Pending, Proof, Remembered, Resolved, Shown, basic, bearer, browser};
use crate::keyring::KeyRing;
use crate::principal::Person;
use crate::revocation::{Revocations, Standing};
use crate::session::{Found, Sealer};
use crate::telemetry::Metrics;
use crate::token::Verifier;
use crate::token::praetorian::{self, Praetorian};

/// Judges credentials; a handle that all workers share.
#[derive(Clone, Debug)]
pub struct Authenticator {
    keys: KeyRing,
    revocations: Revocations,
    api_keys: ApiKeys,
    sealer: Sealer,
    max_staleness: Option<Duration>,
}

/// Everything a request shows that may be a credential.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The Authorization field.
    pub authorization: &'a Shown<'a>,
    /// The ticket in the query.
    pub ticket: Option<&'a str>,
    /// The browser's cookie.
    pub cookie: Found<'a>,
    /// What the store said of it, if it was asked on behalf of this request.
    pub resolved: Option<&'a Resolved>,
}

/// What one look at a credential goes by.
#[derive(Debug)]
pub struct Look<'a> {
    /// Issuers, audiences, algorithms.
    pub verifier: &'a Arc<Verifier>,
    /// The worker's memory of tokens.
    pub remembered: &'a mut Remembered,
    /// The time (Unix milliseconds).
    pub now: i64,
    /// The figures.
    pub metrics: &'a Metrics,
    /// The worker.
    pub worker: usize,
}

impl Authenticator {
    /// Judges by these.
    pub fn new(
        keys: KeyRing,
        revocations: Revocations,
        api_keys: ApiKeys,
        sealer: Sealer,
        max_staleness: Option<Duration>,
    ) -> Self {
        Self {
            keys,
            revocations,
            api_keys,
            sealer,
            max_staleness,
        }
    }

    /// The keys of our own tokens.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// What is known of API keys.
    pub fn api_keys(&self) -> &ApiKeys {
        &self.api_keys
    }

    /// Whether what this person's credential has opened must end, at `now` (Unix milliseconds): the session is over or its
    /// user may not come in any more; the API key was revoked; or, where there is no session, the credential's time is up.
    pub fn has_ended(&self, person: &Person, now: i64) -> bool {
        let expired = person.session.is_none() && now >= person.expires_at.saturating_mul(1000);
        expired
            || matches!(self.revocations.verdict(person), Standing::Ended)
            || self.revocations.watch().is_over(person, now)
    }

    /// Who shows this. Where several kinds are shown, the first that counts here decides and there is no falling back:
    /// Authorization, then the ticket, then the cookie.
    pub fn check(&self, presented: &Presented<'_>, counts: Counts, look: &mut Look<'_>) -> Outcome {
        let uses_authorization = match presented.authorization {
            Shown::Nothing | Shown::OtherScheme => false,
            Shown::Several => counts.bearer || counts.basic,
            Shown::BrokenBearer | Shown::Bearer(_) => counts.bearer,
            Shown::Basic(_) => counts.basic,
        };
        let shows_ticket = presented.ticket.is_some() && (counts.bearer || counts.session || counts.basic);
        let shows_cookie = counts.session && presented.cookie != Found::Nothing;
        if !(uses_authorization || shows_ticket || shows_cookie) {
            return Outcome::Anonymous;
        }
        if !self.ready(look.now) {
            return Outcome::Bad(match self.revocations.ready() {
                true => Fault::Stale,
                false => Fault::NotReady,
            });
        }
        match (uses_authorization, presented.ticket.filter(|_| shows_ticket)) {
            (true, _) => self.authorization(presented, look),
            (false, Some(ticket)) => match presented.resolved {
                Some(resolved) => self.revised(resolved.outcome_where(counts)),
                None => browser::ticket(ticket),
            },
            (false, None) => match presented.resolved {
                Some(resolved) => self.revised(resolved.outcome_where(counts)),
                None => browser::cookie(presented.cookie, &self.sealer, &self.revocations, look.now),
            },
        }
    }

    /// Until the first complete load, and where what is known is older than the operator allows, nobody can say that a
    /// credential was not revoked.
    pub fn ready(&self, now: i64) -> bool {
        let fresh = |max| self.revocations.age(now).is_some_and(|age| age <= max);
        self.revocations.ready() && self.max_staleness.is_none_or(fresh)
    }

    fn authorization(&self, presented: &Presented<'_>, look: &mut Look<'_>) -> Outcome {
        match presented.authorization {
            Shown::Nothing | Shown::OtherScheme => Outcome::Anonymous,
            Shown::Several => Outcome::Bad(Fault::Several),
            Shown::BrokenBearer if look.verifier.praetorian().is_some_and(Praetorian::is_flask) => {
                Outcome::Bad(Fault::Praetorian(praetorian::Fault::HeaderStructure))
            }
            Shown::BrokenBearer => Outcome::Bad(Fault::Malformed),
            Shown::Bearer(token) if api_key::looks_like_api_key(token) => {
                self.api_key(api_key::read(token), presented.resolved, look.now)
            }
            Shown::Basic(credentials) => self.api_key(basic::read(credentials), presented.resolved, look.now),
            Shown::Bearer(_) if !self.keys.load().ready() => Outcome::Bad(Fault::NotReady),
            Shown::Bearer(token) => bearer::check(token, presented.resolved, &self.revocations, look),
        }
    }

    /// What the store said may be overtaken by what the feed told meanwhile.
    fn revised(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Known(proof) => standing(&self.revocations, &proof),
            Outcome::Anonymous | Outcome::Bad(_) | Outcome::Ask(_) => outcome,
        }
    }

    fn api_key(&self, shown: Option<ShownKey>, resolved: Option<&Resolved>, now: i64) -> Outcome {
        let Some(shown) = shown else {
            return Outcome::Bad(Fault::Invalid("api_key"));
        };
        if let Some(resolved) = resolved {
            return self.revised(resolved.outcome());
        }
        match self.api_keys.look_up(&shown, now) {
            Lookup::Good(proof) => standing(&self.revocations, &proof),
            Lookup::Bad => Outcome::Bad(Fault::Invalid("api_key")),
            Lookup::Ask(meanwhile) => Outcome::Ask(Pending::ApiKey { shown, meanwhile }),
        }
    }
}

/// What became of a person whose credential was verified before.
pub(super) fn standing(revocations: &Revocations, proof: &Arc<Proof>) -> Outcome {
    match revocations.verdict(&proof.person) {
        Standing::Good => Outcome::Known(Arc::clone(proof)),
        Standing::Changed(person) => Outcome::Known(Arc::new(Proof::of(person))),
        Standing::Ended => Outcome::Bad(Fault::Ended),
    }
}
