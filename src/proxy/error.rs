//! Why an admitted request got no answer from its upstream: whose fault it was.

use crate::codes::Code;
use crate::problem::Problem;
use crate::upstream;

use super::BodyFault;

/// Why there is no answer of the upstream's to relay.
#[derive(Debug)]
pub enum Error {
    /// The client's body could not be read to its end.
    Client(BodyFault),
    /// The upstream failed.
    Upstream(upstream::Error),
    /// The upstream of this route is not there: a fault of ours.
    NoUpstream(String),
    /// The upstream's answer to a request for an upgrade cannot be passed on.
    Switch(&'static str),
    /// The request could not be written down for the upstream: a fault of ours.
    Unwritable(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Client(BodyFault::TooLarge) => {
                Problem::new(Code::BodyTooLarge, "The body is larger than this address accepts.").closing()
            }
            Error::Client(BodyFault::Stalled) => {
                Problem::new(Code::RequestTimeout, "The body did not arrive in time.").closing()
            }
            Error::Client(BodyFault::Violation(violation)) => Problem::new(violation.code, violation.detail).closing(),
            Error::Client(BodyFault::Broken) => Problem::new(Code::InvalidRequest, "The body broke off.").closing(),
            Error::Upstream(error) => from_upstream(&error),
            Error::NoUpstream(name) => {
                Problem::new(Code::Internal, "The gateway is misconfigured.").because(format!("no upstream `{name}`"))
            }
            Error::Switch(why) => Problem::new(
                Code::UpstreamFailed,
                "The application did not take the protocol that was asked for.",
            )
            .because(why),
            Error::Unwritable(why) => Problem::new(Code::Internal, "The request could not be passed on.").because(why),
        }
    }
}

fn from_upstream(error: &upstream::Error) -> Problem {
    let problem = match error.kind {
        upstream::Kind::Busy => {
            Problem::new(Code::UpstreamBusy, "The application is busy. Try again in a moment.").retry_after(1)
        }
        upstream::Kind::Timeout => Problem::new(Code::UpstreamTimeout, "The application did not answer in time."),
        upstream::Kind::Connect => Problem::new(Code::UpstreamFailed, "The application cannot be reached."),
        upstream::Kind::RequestBody => Problem::new(Code::InvalidRequest, "The body broke off.").closing(),
        upstream::Kind::Broken | upstream::Kind::Protocol => {
            Problem::new(Code::UpstreamFailed, "The application broke off its answer.")
        }
    };
    problem.because(error)
}
