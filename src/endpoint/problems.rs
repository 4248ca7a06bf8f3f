//! From what an operation on accounts says to what a client is told.

use std::borrow::Cow;

use crate::account::Error;
use crate::codes::Code;
use crate::office::CallError;
use crate::problem::{Challenge, Problem};

/// When to come again after a queue was full: about its length.
const BUSY: u32 = 2;
/// When to come again while the store is away: it is tried again all the time.
const STORE: u32 = 2;

/// The problem of an error.
pub(super) fn of(error: Error) -> Problem {
    match error {
        Error::InvalidCredentials => Problem::new(Code::InvalidCredentials, "The username or the password is wrong.")
            .challenged(Challenge::Bearer),
        Error::Inactive => Problem::new(Code::AccountInactive, "This account is deactivated."),
        Error::TooManyAttempts { retry_after } => Problem::new(
            Code::TooManyAttempts,
            format!("Too many failed logins. Try again in {retry_after} seconds."),
        )
        .retry_after(retry_after),
        Error::InvalidGrant => Problem::new(
            Code::InvalidGrant,
            "The refresh token is of no use (any more). Log in again.",
        )
        .challenged(Challenge::Bearer),
        Error::RegistrationClosed => Problem::new(Code::RegistrationClosed, "Nobody can register here."),
        Error::NameTaken => Problem::new(Code::UserExists, "The username is taken. Choose another one."),
        Error::EmailTaken => Problem::new(Code::UserExists, "Another account has this e-mail address."),
        Error::EmailRequired => Problem::new(Code::InvalidRequest, "An e-mail address is needed: send \"email\" too."),
        Error::InvalidUsername(faults) => because_of(Code::InvalidUsername, "The username", &faults),
        Error::WeakPassword(reasons) => because_of(Code::WeakPassword, "The password", &reasons),
        Error::InvalidEmail(_) => Problem::new(
            Code::InvalidRequest,
            "\"email\" is not an e-mail address such as name@example.org.",
        ),
        Error::NoSession => Problem::new(
            Code::InvalidRequest,
            "This credential belongs to no session that could be ended.",
        ),
        Error::Busy => busy(),
        Error::StoreUnavailable(cause) => store_unavailable().because(cause),
        Error::NotReady => Problem::new(
            Code::NotReady,
            "The signing keys are not loaded yet. Try again in a moment.",
        )
        .retry_after(1),
        Error::Internal(cause) => internal().because(cause),
        // The command line's: no endpoint names a user or a role.
        Error::InvalidRole(_) | Error::NoSuchUser | Error::SeveralUsers(_) => internal().because(error),
    }
}

/// The office did not finish what asks the store alone.
pub(super) fn late_store(error: CallError) -> Problem {
    match error {
        CallError::Full => busy().because(error),
        CallError::Deadline => store_unavailable().because(error),
        CallError::Broken => internal().because(error),
    }
}

/// The office did not finish what waits for a hash.
pub(super) fn late_hash(error: CallError) -> Problem {
    match error {
        CallError::Full | CallError::Deadline => busy().because(error),
        CallError::Broken => internal().because(error),
    }
}

fn because_of(code: Code, what: &str, reasons: &[impl ToString]) -> Problem {
    let reasons: Vec<Cow<'static, str>> = reasons.iter().map(|reason| Cow::Owned(reason.to_string())).collect();
    let mut problem = Problem::new(code, format!("{what} {}.", reasons.join("; it ")));
    problem.reasons = reasons;
    problem
}

fn busy() -> Problem {
    Problem::new(
        Code::Busy,
        "Too many people are logging in at this moment. Try again in a few seconds.",
    )
    .retry_after(BUSY)
}

fn store_unavailable() -> Problem {
    Problem::new(
        Code::StoreUnavailable,
        "The accounts cannot be reached at this moment. Try again in a few seconds.",
    )
    .retry_after(STORE)
}

fn internal() -> Problem {
    Problem::new(Code::Internal, "Something went wrong. It is in the gateway's log.")
}
