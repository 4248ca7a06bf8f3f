//! Who is it? Finds the credential a request shows and verifies it.
//!
//! From memory alone wherever that can decide ([`Authenticator::check`]); what it cannot decide is a [`Pending`] question that
//! the [`Resolver`] puts to the store once. A new kind of credential is one file here and one variant of [`Shown`] or
//! [`Presented`].

pub mod api_key;
mod basic;
mod bearer;
mod browser;
mod check;
mod flights;
mod resolve;
mod shown;
#[cfg(test)]
mod tests;
mod ticket;

use std::sync::Arc;

use crate::identity;
use crate::principal::Person;
use crate::token::praetorian;

pub use api_key::ApiKeys;
pub use bearer::{Remembered, fault};
pub use browser::write_ticket;
pub use check::{Authenticator, Look, Presented};
pub use resolve::{Pending, Resolved, Resolver, Settings, Tools};
pub use shown::{Counts, Shown, holds_api_key, shown, shown_to_flask};

/// A verified credential: the person, and what a backend is told about them.
#[derive(Debug)]
pub struct Proof {
    /// Who it is, with the roles in force.
    pub person: Arc<Person>,
    /// Their identity headers, if headers can carry them.
    pub values: Result<identity::Values, identity::NotRepresentable>,
}

impl Proof {
    /// The proof for a verified person.
    pub fn of(person: Arc<Person>) -> Self {
        let values = identity::Values::of(&person);
        Self { person, values }
    }
}

/// What came of looking at a credential.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Nothing was shown that counts here.
    Anonymous,
    /// A good credential.
    Known(Arc<Proof>),
    /// A credential that is no good.
    Bad(Fault),
    /// Memory cannot decide: the store, or the issuer of a token, must be asked.
    Ask(Pending),
}

/// Why a credential is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// More than one was sent: which one counts is anybody's guess.
    Several,
    /// More than one session cookie was sent.
    SeveralCookies,
    /// It is not a token at all.
    Malformed,
    /// It is a token, and does not hold; the text is for the log.
    Invalid(&'static str),
    /// It belongs to a session that has ended, or to a user who may not come in any more.
    Ended,
    /// Nothing is wrong with it that we could tell: keys and revocations are not loaded yet.
    NotReady,
    /// Nothing is wrong with it that we could tell: what was revoked since the store was lost, nobody knows here.
    Stale,
    /// Only the store can tell, and it does not answer.
    Unresolved,
    /// Only the keys that the token's issuer has by now can tell, and they cannot be fetched.
    IssuerUnreachable,
    /// It is refused in flask-praetorian's words: a token of that format, or a header that holds none.
    Praetorian(praetorian::Fault),
}

impl Fault {
    /// The stable word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Several => "several",
            Self::SeveralCookies => "several_cookies",
            Self::Malformed => "malformed",
            Self::Invalid(why) => why,
            Self::Ended => "ended",
            Self::NotReady | Self::Stale => "not_ready",
            Self::Unresolved => "unresolved",
            Self::IssuerUnreachable => "issuer_unreachable",
            Self::Praetorian(fault) => fault.label(),
        }
    }
}
