//! Bearer tokens (RFC 6750): verified once, remembered by the worker, judged anew at every request.

use std::sync::Arc;

use super::{Fault, Look, Outcome, Pending, Proof, Resolved};
use crate::revocation::Revocations;
use crate::token::{self, Cache, Source};

/// One worker's memory of verified tokens, each with what a backend is told about its person.
pub type Remembered = Cache<Arc<Proof>>;

/// Who shows this token. `asked`: what came of asking for its issuer's keys, or who its user is, on behalf of this request.
pub(super) fn check(token: &str, asked: Option<&Resolved>, revocations: &Revocations, look: &mut Look<'_>) -> Outcome {
    let prepare = |person: &_| Arc::new(Proof::of(Arc::new(Clone::clone(person))));
    let (source, answer) = look
        .remembered
        .verify(look.verifier, revocations, token.as_bytes(), look.now, prepare);
    look.metrics.token_cache(look.worker, source == Source::Hit);
    match answer {
        Ok(accepted) => {
            if source == Source::Miss {
                look.metrics.token_verification(look.worker, "ok");
            }
            Outcome::Known(Arc::clone(&accepted.prepared))
        }
        Err(token::Error::NotIdentified(user)) => match asked {
            Some(resolved) => resolved.outcome(),
            None => Outcome::Ask(Pending::User(user)),
        },
        Err(token::Error::KeyNotFetched) if asked.is_none() => match look.verifier.fetched_keys(token.as_bytes()) {
            Some(keys) => Outcome::Ask(Pending::IssuerKeys(keys)),
            None => Outcome::Bad(Fault::IssuerUnreachable),
        },
        Err(error) => {
            look.metrics.token_verification(look.worker, error.label());
            Outcome::Bad(fault(&error))
        }
    }
}

/// What is wrong with a credential that is such a token.
pub fn fault(error: &token::Error) -> Fault {
    match error {
        token::Error::NotReady => Fault::NotReady,
        token::Error::KeyNotFetched => Fault::IssuerUnreachable,
        token::Error::NotIdentified(_) => Fault::Unresolved,
        token::Error::Praetorian(fault) => Fault::Praetorian(*fault),
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
