//! What is too long to be looked at: the scanner under HTTP/1 refuses it before anything else sees it.

use http::header;

use super::{Shows, Trial};
use crate::gateway::refused;
use crate::problem::Problem;
use crate::wire;

/// What stands in a head beside method, target, names and values: two blanks, the version and the empty line.
const AROUND: usize = "  HTTP/1.1\r\n\r\n".len();
/// The same of a field.
const AROUND_FIELD: usize = ": \r\n".len();

/// Refuses what the scanner would refuse for its size alone.
pub(super) fn check(trial: &Trial, host: &str) -> Result<(), Problem> {
    let (method, target) = (trial.method.as_str(), trial.address.target.as_str());
    match wire::too_large(method, target, head_bytes(trial, host), &trial.bounds) {
        Some(violation) => Err(refused(violation.code, violation.detail)),
        None => Ok(()),
    }
}

/// The head that would be sent, with nothing but what was described. Of a credential that was not given, nobody knows how long it is.
fn head_bytes(trial: &Trial, host: &str) -> usize {
    let field = |name: &str, value: usize| name.len() + value + AROUND_FIELD;
    let fields = trial.headers.iter();
    let fields: usize = fields.map(|(name, value)| field(name.as_str(), value.len())).sum();
    let shown = match &trial.shows {
        Shows::Token(token, _) | Shows::Bad(token, _) => {
            field(header::AUTHORIZATION.as_str(), "Bearer ".len() + token.len())
        }
        Shows::Nothing | Shows::Person(..) => 0,
    };
    let line = trial.method.as_str().len() + trial.address.target.len() + AROUND;
    line + field(header::HOST.as_str(), host.len()) + fields + shown
}
