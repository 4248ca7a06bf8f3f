//! The gateway's own URLs: their table, with the rule of each, and what each does. JSON in, JSON out.
//!
//! Whether a request may have a row is decided where all requests are decided, in `admission`, by the row's rule; who gets
//! here was admitted. A new endpoint is a page, a row in [`Endpoints::new`] and a function.
//!
//! What needs the store or a hash is handed to the office and awaited: nothing here waits on a worker but for the body of
//! the request.

mod account;
mod admin;
mod body;
mod flask;
pub mod forward_auth;
mod mail;
mod oauth;
mod own;
mod pages;
mod refusal;
mod settings;
pub mod status;
mod table;
mod views;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header;
use http::request::Parts;

use crate::account::{self as accounts, Accounts, Caller};
use crate::answer::Answer;
use crate::authn::{Proof, Resolver};
use crate::clock::Clock;
use crate::codes::Code;
use crate::keyring::KeyRing;
use crate::office::Office;
use crate::principal::{CredentialKind, Person};
use crate::problem::{Challenge, Problem};
use crate::route::Host;
use crate::telemetry::Metrics;
use crate::token::Verifier;

pub use pages::{Places, Wanted, lies_below};
pub use settings::*;
pub use table::{Endpoints, Row, Served};

/// What the endpoints work with.
#[derive(Clone, Debug)]
pub struct Services {
    /// Operations on accounts; on the office's side.
    pub accounts: Arc<Accounts>,
    /// Browsers' cookies.
    pub resolver: Resolver,
    /// The way there.
    pub office: Office,
    /// The keys that are published.
    pub keys: KeyRing,
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Arc<Metrics>,
}

/// An admitted request for one of our own URLs.
#[derive(Debug)]
pub struct Asked<B> {
    /// Its head.
    pub parts: Parts,
    /// Its body, unread.
    pub body: B,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the client came by https, as far as something trustworthy tells.
    pub secure: bool,
    /// The host it asks.
    pub host: Option<Host<'static>>,
    /// Whether it changes something and nothing says that it does not come from a page of another site.
    pub cross_site: bool,
    /// How long the whole body may take to arrive.
    pub body_within: Duration,
    /// What tokens are judged by.
    pub verifier: Arc<Verifier>,
}

impl<B> Asked<B> {
    /// Where it comes from, for the owner of a session.
    fn caller(&self) -> Caller {
        let agent = self.parts.headers.get(header::USER_AGENT);
        Caller::new(self.client, agent.map(HeaderValue::as_bytes))
    }
}

impl Services {
    /// Has a job done that waits for the store.
    async fn ask<T: Send + 'static>(
        &self,
        within: Duration,
        job: impl Future<Output = Result<T, accounts::Error>> + Send + 'static,
    ) -> Result<T, Problem> {
        let done = self.office.call(within, job).await.map_err(refusal::late_store)?;
        done.map_err(Problem::from)
    }

    /// Takes the browser's cookie away, if that is what was shown.
    fn clear_cookie(&self, proof: Option<&Arc<Proof>>, answer: &mut Answer) {
        let by_cookie = proof.is_some_and(|proof| proof.person.credential == CredentialKind::Session);
        if let Some(cookie) = self.resolver.clear_cookie().filter(|_| by_cookie) {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

/// Whoever is let in. The rule of a row asks for a credential; should it ever not, nobody is let in.
fn person(proof: Option<&Arc<Proof>>) -> Result<&Arc<Person>, Problem> {
    let nobody = || Problem::new(Code::CredentialsRequired, "Log in first.").challenged(Challenge::Bearer);
    proof.map(|proof| &proof.person).ok_or_else(nobody)
}

/// There is nothing of this name, as far as whoever asks may know.
fn nothing_here(text: &'static str) -> Problem {
    Problem::new(Code::NotFound, text)
}
