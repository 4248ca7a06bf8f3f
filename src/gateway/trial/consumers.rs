//! What another proxy is answered that asks about the tried request: the same policy, asked as forward-auth asks it.

use std::sync::Arc;

use http::Method;

use super::shown::Shown;
use super::{Seen, Trial, told};
use crate::admission::{Question, Refusal};
use crate::authn::Proof;
use crate::endpoint::forward_auth::{self, Decision, Dialect};
use crate::explain;
use crate::gateway::Snapshot;
use crate::gateway::browsers::Way;
use crate::problem::Problem;

/// The answer in each dialect, as a browser would be answered; none where forward-auth is switched off.
pub(super) fn answers(snapshot: &Snapshot, trial: &Trial, seen: &Seen<'_>) -> Vec<explain::Dialect> {
    if snapshot.endpoints.places().prefix().is_empty() {
        return Vec::new();
    }
    let question = Question {
        // The handshake was with whoever asks.
        certificate: None,
        forward_auth: true,
        ..*seen.question
    };
    let mut shown = Shown::of(trial, &seen.parts.headers, question.target.query());
    // Behind the proxy that asks, nothing is served at our own place for its questions.
    let is_ours = snapshot.endpoints.question(&trial.address.target).is_some()
        || snapshot.endpoints.resembles_question(question.target).is_some();
    let (decided, entry) = match is_ours {
        true => (Err(Refusal::NotFound), None),
        false => snapshot.policy.admit(&question, |counts| shown.where_counts(counts)),
    };
    let seen = Seen {
        question: &question,
        entry: entry.as_deref(),
        known: shown.known.as_ref(),
        ..*seen
    };
    let permit = match decided {
        Ok(permit) => permit,
        Err(refusal) => return refusals(snapshot, trial, &problem(snapshot, &seen, &refusal, true)),
    };
    match allowed(snapshot, permit.proof()) {
        Ok(decision) => in_all(&decision),
        Err(problem) => refusals(snapshot, trial, &problem),
    }
}

/// The problem of a refusal, with the way of somebody who looks at a page, or does not.
pub(super) fn problem(snapshot: &Snapshot, seen: &Seen<'_>, refusal: &Refusal, browser: bool) -> Problem {
    let way = Way {
        leads: !seen.question.preflight,
        is_question: true,
        ..seen.way(browser)
    };
    let problem = seen.worded(snapshot, refusal.clone());
    match way.after(refusal, snapshot) {
        Some(location) => problem.leading_to(location),
        None => problem,
    }
}

/// What is said of somebody who may pass, if headers can carry who it is.
pub(super) fn allowed<'a>(snapshot: &'a Snapshot, proof: Option<&'a Arc<Proof>>) -> Result<Decision<'a>, Problem> {
    let values = proof.map(|proof| proof.values.as_ref()).transpose();
    Ok(Decision::Allowed {
        pass: &snapshot.pass,
        values: values.map_err(|what| Problem::from(Refusal::NotRepresentable(*what)))?,
    })
}

/// The answers to a request that has this problem.
pub(super) fn refusals(snapshot: &Snapshot, trial: &Trial, problem: &Problem) -> Vec<explain::Dialect> {
    if snapshot.endpoints.places().prefix().is_empty() {
        return Vec::new();
    }
    in_all(&Decision::Refused {
        problem,
        reads: trial.method == Method::GET || trial.method == Method::HEAD,
    })
}

fn in_all(decision: &Decision<'_>) -> Vec<explain::Dialect> {
    Dialect::ALL.map(|dialect| answer(dialect, decision)).to_vec()
}

/// The answer in one dialect.
pub(super) fn answer(dialect: Dialect, decision: &Decision<'_>) -> explain::Dialect {
    let answer = forward_auth::answer(dialect, decision);
    explain::Dialect {
        name: dialect.as_str(),
        status: answer.status().as_u16(),
        fields: told::fields(&answer),
    }
}
