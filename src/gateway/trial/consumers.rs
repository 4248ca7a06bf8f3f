//! What another proxy is answered that asks about the tried request: the same policy, asked as forward-auth asks it.

use http::Method;
use http::header::{self, HeaderName};

use super::{Trial, field};
use crate::admission::{Question, Refusal};
use crate::endpoint::forward_auth::{self, Decision, Dialect};
use crate::explain;
use crate::gateway::Snapshot;
use crate::gateway::browsers::Way;
use crate::problem::Problem;

/// The answer in each dialect; none where forward-auth is switched off.
pub(super) fn answers(
    snapshot: &Snapshot,
    question: &Question<'_>,
    trial: &Trial,
    way: &Way<'_>,
) -> Vec<explain::Dialect> {
    let places = snapshot.endpoints.places();
    if places.prefix().is_empty() {
        return Vec::new();
    }
    let question = Question {
        // The handshake was with whoever asks.
        certificate: None,
        forward_auth: true,
        ..*question
    };
    let decided = match snapshot.endpoints.question(&trial.address.target) {
        Some(_) => Err(Refusal::NotFound),
        None => {
            snapshot
                .policy
                .admit(&question, |counts| trial.shows.where_counts(counts))
                .0
        }
    };
    let way = Way {
        leads: !question.preflight,
        is_question: true,
        wanted: way.wanted,
        ..*way
    };
    let problem = decided.as_ref().err().map(|refusal| {
        let problem = Problem::from(refusal.clone());
        match way.after(refusal, snapshot) {
            Some(location) => problem.leading_to(location),
            None => problem,
        }
    });
    let proof = decided.as_ref().ok().and_then(|permit| permit.proof());
    match &problem {
        Some(problem) => refusals(snapshot, trial, problem),
        None => told(&Decision::Allowed {
            pass: &snapshot.pass,
            values: proof.and_then(|proof| proof.values.as_ref().ok()),
        }),
    }
}

/// The answers to a request that has this problem.
pub(super) fn refusals(snapshot: &Snapshot, trial: &Trial, problem: &Problem) -> Vec<explain::Dialect> {
    if snapshot.endpoints.places().prefix().is_empty() {
        return Vec::new();
    }
    told(&Decision::Refused {
        problem,
        reads: trial.method == Method::GET || trial.method == Method::HEAD,
    })
}

fn told(decision: &Decision<'_>) -> Vec<explain::Dialect> {
    const EVERYWHERE: [HeaderName; 4] = [
        header::CACHE_CONTROL,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::X_CONTENT_TYPE_OPTIONS,
    ];
    Dialect::ALL
        .into_iter()
        .map(|dialect| {
            let answer = forward_auth::answer(dialect, decision);
            let fields = answer.headers().iter().filter(|(name, _)| !EVERYWHERE.contains(name));
            explain::Dialect {
                name: dialect.as_str(),
                status: answer.status().as_u16(),
                fields: fields.map(|(name, value)| field(name, value)).collect(),
            }
        })
        .collect()
}
