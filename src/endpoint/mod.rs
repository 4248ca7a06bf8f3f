//! The gateway's own URLs: the table of them, each with its rule, and the functions that answer.
//!
//! Every row carries a rule and is decided about by admission like any route; a handler gets to see only what was
//! admitted. What needs the store is handed to the office.

mod account;
mod body;
mod refusal;
mod settings;
pub mod status;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::request::Parts;
use hyper::body::Incoming;

use crate::account::Accounts;
use crate::answer::Answer;
use crate::authn::Proof;
use crate::authz::{Access, Rule};
use crate::clock::Clock;
use crate::codes::Code;
use crate::keyring::KeyRing;
use crate::office::{CallError, Office};
use crate::principal::{Issuer, Person};
use crate::problem::{Challenge, Problem};
use crate::telemetry::Metrics;

pub use settings::*;

/// How long an endpoint waits for the office. Above the store's own deadlines, so that the store's answer is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the endpoints work with.
#[derive(Clone, Debug)]
pub struct Services {
    /// What a person does with an account.
    pub accounts: Arc<Accounts>,
    /// Where it is done.
    pub office: Office,
    /// The keys that are published.
    pub keys: KeyRing,
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Arc<Metrics>,
}

/// A request for an endpoint.
#[derive(Debug)]
pub struct Asked {
    /// Its head.
    pub parts: Parts,
    /// Its body.
    pub body: Incoming,
    /// Whose it is.
    pub client: IpAddr,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Redirect,
    Running,
    Login,
    Refresh,
    Protected,
    Registration,
    Logout,
    Me,
    Jwks,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place in the table.
    pub index: usize,
    /// The path.
    pub path: String,
    /// Whether the path is the whole path; otherwise what lies below it belongs to it as well.
    pub exact: bool,
    /// The methods it knows.
    pub methods: Vec<Method>,
    /// Who may use it.
    pub rule: Rule,
    action: Action,
}

/// The endpoints of one configuration.
#[derive(Debug, Default)]
pub struct Endpoints {
    rows: Vec<Row>,
}

impl Endpoints {
    /// The endpoints that these settings switch on.
    pub fn new(settings: &Settings) -> Self {
        let mut endpoints = Self::default();
        if let Some(api) = &settings.api {
            endpoints.add(api, Method::GET, Access::Public, Action::Redirect);
            endpoints.add(&format!("{api}/"), Method::GET, Access::Public, Action::Running);
            for (name, method, access, action) in [
                ("login", Method::POST, Access::Public, Action::Login),
                ("refresh", Method::POST, Access::Public, Action::Refresh),
                ("registration", Method::POST, Access::Public, Action::Registration),
                ("protected", Method::GET, Access::Authenticated, Action::Protected),
                ("me", Method::GET, Access::Authenticated, Action::Me),
                ("logout", Method::POST, Access::Authenticated, Action::Logout),
            ] {
                endpoints.add(&format!("{api}/{name}"), method, access, action);
            }
        }
        if settings.well_known {
            endpoints.add("/.well-known/jwks.json", Method::GET, Access::Public, Action::Jwks);
        }
        endpoints
    }

    /// The table, for admission.
    pub fn rules(&self) -> &[Row] {
        &self.rows
    }

    /// Answers an admitted request.
    pub async fn serve(
        &self,
        index: usize,
        proof: Option<&Arc<Proof>>,
        asked: Asked,
        services: &Services,
    ) -> Result<Answer, Problem> {
        let row = self
            .rows
            .get(index)
            .ok_or_else(|| Problem::new(Code::NotFound, "There is no such endpoint."))?;
        match row.action {
            Action::Redirect => status::to_running(&asked.parts),
            Action::Running => Ok(status::running()),
            Action::Jwks => Ok(status::jwks(&services.keys, services.clock.unix_millis())),
            Action::Login => account::login(asked, services).await,
            Action::Refresh => account::refresh(asked, services).await,
            Action::Registration => account::registration(asked, services).await,
            Action::Protected => Ok(account::protected(local(proof)?)),
            Action::Me => Ok(account::me(local(proof)?)),
            Action::Logout => account::logout(local(proof)?, asked.client, services).await,
        }
    }

    fn add(&mut self, path: &str, method: Method, access: Access, action: Action) {
        self.rows.push(Row {
            index: self.rows.len(),
            path: path.to_owned(),
            exact: true,
            methods: vec![method],
            rule: Rule {
                access,
                roles_any: None,
                roles_all: Vec::new(),
                networks: None,
            },
            action,
        });
    }
}

/// Our own endpoints know our own users only: another issuer's `alice` is not ours.
fn local(proof: Option<&Arc<Proof>>) -> Result<&Arc<Person>, Problem> {
    match proof.map(|proof| &proof.person) {
        Some(person) if person.issuer == Issuer::Local => Ok(person),
        Some(_) => Err(
            Problem::new(Code::InvalidToken, "This endpoint takes tokens of this gateway only.")
                .challenged(Challenge::InvalidToken)
                .because("another issuer's token"),
        ),
        None => Err(
            Problem::new(Code::CredentialsRequired, "A bearer token is required. Log in first.")
                .challenged(Challenge::Bearer),
        ),
    }
}

/// Has something done in the office.
async fn in_office<T: Send + 'static>(
    services: &Services,
    job: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let busy = |error: CallError| {
        Problem::new(
            Code::StoreUnavailable,
            "The user store does not answer. Try again in a moment.",
        )
        .retry_after(1)
        .because(error)
    };
    services.office.call(PATIENCE, job).await.map_err(busy)?
}
