//! The rate limit of a route, as part of the decision: of clients before anybody is asked who they are, of users as soon as
//! that is known, whatever the rule then says of them.

use std::time::Instant;

use super::{Credentials, Question, Refusal};
use crate::authn::Outcome;
use crate::principal::Issuer;
use crate::rate::{By, Key, Limiter};

/// Asks the rule by `pass`, which is given how to find out who it is, and counts the request that came at this time.
pub(super) fn counted<T>(
    limiter: &Limiter,
    at: Instant,
    question: &Question<'_>,
    authenticate: &mut impl FnMut(Credentials) -> Outcome,
    pass: impl FnOnce(&mut dyn FnMut(Credentials) -> Outcome) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let count = |key| {
        limiter
            .count(key, at)
            .map_err(|retry_after| Refusal::RateLimited { retry_after })
    };
    // A preflight is nobody's, and a client's.
    if question.preflight || limiter.settings().by == By::Client {
        if !question.again {
            count(Key::Client(question.client))?;
        }
        return pass(authenticate);
    }
    let (mut known, mut unanswered) = (None, false);
    let passed = pass(&mut |credentials| {
        let outcome = authenticate(credentials);
        known = match &outcome {
            Outcome::Known(proof) => Some(proof.person.clone()),
            Outcome::Anonymous | Outcome::Bad(_) | Outcome::Ask(_) => None,
        };
        unanswered = matches!(outcome, Outcome::Ask(_));
        outcome
    });
    if unanswered {
        // It is decided again when the store has said who this is.
        return passed;
    }
    count(match &known {
        Some(person) => Key::User {
            issuer: match &person.issuer {
                Issuer::Local => None,
                Issuer::External(name) => Some(name),
            },
            subject: &person.subject,
        },
        None => Key::Client(question.client),
    })?;
    passed
}
