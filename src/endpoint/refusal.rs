//! From what went wrong with an account to a problem: one exhaustive match.

use std::borrow::Cow;

use crate::account::Error;
use crate::codes::Code;
use crate::problem::{Challenge, Problem};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidCredentials => {
                Self::new(Code::InvalidCredentials, "The username and/or password are incorrect.")
                    .challenged(Challenge::Bearer)
            }
            Error::Inactive => Self::new(Code::AccountInactive, "The account is not active."),
            Error::TooManyAttempts { retry_after } => {
                Self::new(Code::TooManyAttempts, "Too many failed logins. Try again later.").retry_after(retry_after)
            }
            Error::InvalidGrant => Self::new(
                Code::InvalidGrant,
                "The refresh token is not valid any more. Log in again.",
            )
            .challenged(Challenge::InvalidToken),
            Error::RegistrationClosed => {
                Self::new(Code::RegistrationClosed, "Accounts are made by an administrator here.")
            }
            Error::NameTaken => Self::new(Code::UserExists, "An account of this name exists already."),
            Error::EmailTaken => Self::new(Code::UserExists, "An account with this e-mail address exists already."),
            Error::EmailRequired => Self::new(
                Code::InvalidRequest,
                "`email` is missing: every account needs an e-mail address.",
            ),
            Error::InvalidUsername(faults) => with_reasons(
                Code::InvalidUsername,
                "The username is not allowed.",
                faults.iter().map(ToString::to_string),
            ),
            Error::WeakPassword(reasons) => with_reasons(
                Code::WeakPassword,
                "The password is not good enough.",
                reasons.iter().map(ToString::to_string),
            ),
            Error::InvalidEmail(why) => Self::new(Code::InvalidRequest, why.to_string()),
            Error::InvalidRole(why) => Self::new(Code::InvalidRequest, why.to_string()),
            Error::NoSession => {
                Self::new(Code::InvalidToken, "The token belongs to no session.").challenged(Challenge::InvalidToken)
            }
            Error::NoSuchUser => Self::new(Code::NotFound, "There is no such account."),
            Error::SeveralUsers(_) => Self::new(Code::InvalidRequest, "Several accounts have this name."),
            Error::Busy => Self::new(Code::Busy, "Too many logins at once. Try again in a moment.").retry_after(1),
            Error::StoreUnavailable(cause) => Self::new(
                Code::StoreUnavailable,
                "The user store does not answer. Try again in a moment.",
            )
            .retry_after(1)
            .because(cause),
            Error::NotReady => {
                Self::new(Code::NotReady, "The gateway is starting and has no signing key yet.").retry_after(1)
            }
            Error::Internal(cause) => Self::new(Code::Internal, "The gateway made a mistake.").because(cause),
        }
    }
}

fn with_reasons(code: Code, detail: &'static str, reasons: impl Iterator<Item = String>) -> Problem {
    let mut problem = Problem::new(code, detail);
    problem.reasons = reasons.map(Cow::Owned).collect();
    problem
}
