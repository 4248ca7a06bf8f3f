//! From what went wrong with an account to a problem: one exhaustive match.

use std::borrow::Cow;

use http::StatusCode;

use crate::account::Error;
use crate::admission::Unfit;
use crate::codes::Code;
use crate::office::CallError;
use crate::problem::{Challenge, Problem};
use crate::token::praetorian::Fault;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidCredentials => {
                Self::new(Code::InvalidCredentials, "The username and/or password are incorrect.")
                    .challenged(Challenge::Bearer)
            }
            Error::Inactive => Self::new(Code::AccountInactive, "The account is not active."),
            Error::TooManyAttempts { retry_after } => Self::new(
                Code::TooManyAttempts,
                format!("Too many failed logins. Try again in {retry_after} seconds."),
            )
            .retry_after(retry_after),
            Error::InvalidGrant => Self::new(
                Code::InvalidGrant,
                "The refresh token is not valid any more. Log in again.",
            )
            .challenged(Challenge::Bearer),
            Error::Praetorian(fault) => praetorian(fault),
            Error::RegistrationClosed => {
                Self::new(Code::RegistrationClosed, "Accounts are made by an administrator here.")
            }
            Error::NameTaken => Self::new(Code::UserExists, "An account of this name exists already."),
            Error::EmailTaken => Self::new(Code::UserExists, "An account with this e-mail address exists already."),
            Error::EmailRequired => Self::new(
                Code::InvalidRequest,
                "`email` is missing: every account needs an e-mail address.",
            ),
            Error::RowRefused(cause) => Self::new(
                Code::InvalidUsername,
                "The table of users does not take this account: the username or the e-mail address may be too long for it, or it wants a \
                 value that is not ours to give. The log says which.",
            )
            .because(cause),
            Error::InvalidUsername(faults) => with_reasons(Code::InvalidUsername, "The username", &faults),
            Error::WeakPassword(reasons) => with_reasons(Code::WeakPassword, "The password", &reasons),
            Error::InvalidEmail(why) => Self::new(Code::InvalidRequest, why.to_string()),
            Error::InvalidRole(why) => Self::new(Code::InvalidRequest, why.to_string()),
            Error::NoSession => Self::from(Unfit::NoSession),
            Error::CredentialNotAllowed => Self::from(Unfit::Kind),
            Error::NoSuchSession => Self::new(Code::NotFound, "There is no such session."),
            Error::NoSuchKey => Self::new(Code::NotFound, "There is no such API key."),
            Error::TooManyKeys => Self::new(
                Code::TooManyKeys,
                "The account has as many API keys as it may have. Revoke one first.",
            ),
            why @ (Error::InvalidKeyName | Error::InvalidKeyLife) => Self::new(Code::InvalidRequest, why.to_string()),
            Error::RoleNotOwned(_) => Self::new(
                Code::InvalidRoles,
                "An API key can have no role that its owner has not, and never the administrators' role.",
            ),
            Error::AdminRole => Self::new(
                Code::InvalidRoles,
                "The administrators' role is granted by the command `doorward user roles` only.",
            ),
            Error::InvalidCode => Self::new(
                Code::InvalidCode,
                "The code is not valid any more: it was used, it is too old, or it never was one. Ask for another.",
            )
            .challenged(Challenge::InvalidToken),
            Error::NoMail => Self::new(Code::NotFound, "No mail is sent here."),
            Error::NoSuchUser => Self::new(Code::NotFound, "There is no such account."),
            Error::SeveralUsers(_) => Self::new(Code::InvalidRequest, "Several accounts have this name."),
            Error::TokenTooLong => Self::new(
                Code::IdentityNotRepresentable,
                "The account's name and roles are too long for a token or a cookie. An administrator can mend that.",
            ),
            Error::Busy => busy(),
            Error::StoreUnavailable(cause) => unavailable().because(cause),
            Error::NotReady => {
                Self::new(Code::NotReady, "The gateway is starting and has no signing key yet.").retry_after(1)
            }
            Error::Internal(cause) => internal().because(cause),
        }
    }
}

fn praetorian(fault: Fault) -> Problem {
    let problem = Problem::new(Code::InvalidToken, fault.text()).challenged(Challenge::InvalidToken);
    let status = StatusCode::from_u16(fault.status()).unwrap_or(problem.status());
    problem.in_flask(status, fault.class(), fault.text())
}

/// The office did not finish what asks the store alone.
pub(super) fn late_store(error: CallError) -> Problem {
    match error {
        CallError::Full | CallError::Deadline => unavailable().because(error),
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

fn busy() -> Problem {
    Problem::new(Code::Busy, "Too many logins at once. Try again in a moment.").retry_after(1)
}

fn unavailable() -> Problem {
    let text = "The user store does not answer. Try again in a moment.";
    Problem::new(Code::StoreUnavailable, text).retry_after(1)
}

fn internal() -> Problem {
    Problem::new(Code::Internal, "The gateway made a mistake.")
}

/// All reasons at once: in the text for people, one by one for programs.
fn with_reasons(code: Code, what: &str, reasons: &[impl ToString]) -> Problem {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let mut problem = Problem::new(code, format!("{what} {}.", reasons.join("; it ")));
    problem.reasons = reasons.into_iter().map(Cow::Owned).collect();
    problem
}
