//! Bearer tokens (RFC 6750): verified once, remembered by the worker, judged anew at every request.

use std::sync::Arc;

use super::{Fault, Outcome, Proof, Shown};
use crate::keyring::KeyRing;
use crate::principal::Person;
use crate::revocation::{Revocations, Standing};
use crate::telemetry::Metrics;
use crate::token::{self, Cache, Source, Verifier};

/// One worker's memory of verified tokens, each with what a backend is told about its person.
pub type Remembered = Cache<Arc<Proof>>;

/// Judges credentials; a handle that all workers share.
#[derive(Clone, Debug)]
pub struct Authenticator {
    keys: KeyRing,
    revocations: Revocations,
}

impl Authenticator {
    /// Judges by these keys and revocations.
    pub fn new(keys: KeyRing, revocations: Revocations) -> Self {
        Self { keys, revocations }
    }

    /// The keys of our own tokens.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Whether what this person's credential has opened must end, at `now` (Unix milliseconds): the session is over or its
    /// user may not come in any more; or, where there is no session, the token's time is up.
    pub fn has_ended(&self, person: &Person, now: i64) -> bool {
        let expired = person.session.is_none() && now >= person.expires_at.saturating_mul(1000);
        expired || matches!(self.revocations.verdict(person), Standing::Ended)
    }

    /// Who shows this, at `now` (Unix milliseconds). From memory alone: no store, no wait.
    pub fn check(
        &self,
        shown: &Shown<'_>,
        verifier: &Arc<Verifier>,
        remembered: &mut Remembered,
        now: i64,
        metrics: &Metrics,
        worker: usize,
    ) -> Outcome {
        let token = match shown {
            Shown::Nothing | Shown::OtherScheme => return Outcome::Anonymous,
            Shown::Several => return Outcome::Bad(Fault::Several),
            Shown::BrokenBearer => return Outcome::Bad(Fault::Malformed),
            Shown::Bearer(token) => token,
        };
        // Until the first complete load nobody can say that a token was not revoked.
        if !self.revocations.ready() || !self.keys.load().ready() {
            return Outcome::Bad(Fault::NotReady);
        }
        let prepare = |person: &_| Arc::new(Proof::of(Arc::new(Clone::clone(person))));
        let (source, answer) = remembered.verify(verifier, &self.revocations, token.as_bytes(), now, prepare);
        metrics.token_cache(worker, source == Source::Hit);
        match answer {
            Ok(accepted) => {
                if source == Source::Miss {
                    metrics.token_verification(worker, "ok");
                }
                Outcome::Known(Arc::clone(&accepted.prepared))
            }
            Err(error) => {
                metrics.token_verification(worker, error.label());
                Outcome::Bad(fault(&error))
            }
        }
    }
}

fn fault(error: &token::Error) -> Fault {
    match error {
        token::Error::NotReady => Fault::NotReady,
        token::Error::Revoked => Fault::Ended,
        token::Error::TooLong
        | token::Error::Malformed(_)
        | token::Error::UnsupportedHeader(_)
        | token::Error::WrongKind
        | token::Error::UnknownIssuer
        | token::Error::UnknownKey
        | token::Error::WrongAlgorithm
        | token::Error::BadSignature
        | token::Error::Expired
        | token::Error::NotYetValid
        | token::Error::WrongAudience
        | token::Error::BadClaim(_) => Fault::Invalid(error.label()),
    }
}
