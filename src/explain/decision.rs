//! What became of a request, in the words of logs and figures.

use serde::Serialize;

use crate::admission::{Destination, Permit, Refusal};
use crate::problem::Problem;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// `permit`, `refuse`, or `would_refuse` where a shadow route lets it pass.
    pub decision: &'static str,
    /// The stable code, `ok` where there is nothing to say.
    pub reason: &'static str,
    /// The status of the refusal; of one that is not enforced, the status it would have.
    pub status: Option<u16>,
    /// What the client is told.
    pub detail: Option<String>,
    /// What only the log is told.
    pub cause: Option<String>,
    /// Where a permitted request goes: `upstream`, `gateway`, `preflight`.
    pub goes_to: Option<&'static str>,
}

impl Decision {
    /// Of what admission says.
    pub fn of(decided: &Result<Permit, Refusal>) -> Self {
        Self::worded(decided, |refusal| Self::refused(&Problem::from(refusal)))
    }

    /// The same, with refusals told by `refused`.
    pub fn worded(decided: &Result<Permit, Refusal>, refused: impl Fn(Refusal) -> Self) -> Self {
        match decided {
            Err(refusal) => refused(refusal.clone()),
            Ok(permit) => {
                let goes_to = match permit.destination() {
                    Destination::Route(_) => "upstream",
                    Destination::Endpoint(_) => "gateway",
                    Destination::Preflight => "preflight",
                };
                match permit.would_refuse().cloned() {
                    None => Self::permitted(goes_to),
                    Some(refusal) => Self {
                        decision: "would_refuse",
                        goes_to: Some(goes_to),
                        ..refused(refusal)
                    },
                }
            }
        }
    }

    /// Of a request that is let pass.
    pub fn permitted(goes_to: &'static str) -> Self {
        Self {
            decision: "permit",
            goes_to: Some(goes_to),
            ..Self::of_nothing()
        }
    }

    /// Of a request about which nothing was decided yet.
    pub fn of_nothing() -> Self {
        Self {
            decision: "refuse",
            reason: "ok",
            status: None,
            detail: None,
            cause: None,
            goes_to: None,
        }
    }

    /// Of a request in the clear that is sent to https.
    pub fn led_to_https(status: u16) -> Self {
        Self {
            reason: "https_required",
            status: Some(status),
            detail: Some("This listener only leads to https.".to_owned()),
            ..Self::of_nothing()
        }
    }

    /// Of a refusal.
    pub fn refused(problem: &Problem) -> Self {
        Self {
            decision: "refuse",
            reason: problem.code.as_str(),
            status: Some(problem.status().as_u16()),
            detail: Some(problem.detail.clone().into_owned()),
            cause: problem.cause.clone(),
            goes_to: None,
        }
    }
}
