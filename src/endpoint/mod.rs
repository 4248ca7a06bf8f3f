//! The gateway's own URLs: their table, with the rule of each, and what each does. JSON in, JSON out.
//!
//! Whether a request may have a row is decided where all requests are decided, in `admission`, by the row's rule; who gets
//! here was admitted. A new endpoint is a `Page`, a row in [`Endpoints::new`] and a function.
//!
//! What needs the store or a hash is handed to the office and awaited: nothing here waits on a worker but for the body of
//! the request.

mod account;
mod body;
mod pages;
mod refusal;
mod settings;
pub mod status;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use http_body::Body;
use hyper::body::Incoming;

use crate::account::Accounts;
use crate::answer::Answer;
use crate::authn::{Counts, Proof, Resolver};
use crate::authz::{Access, Rule};
use crate::clock::Clock;
use crate::codes::Code;
use crate::keyring::KeyRing;
use crate::office::Office;
use crate::problem::Problem;
use crate::route::Host;
use crate::session;
use crate::telemetry::Metrics;

pub use pages::{Places, Wanted, lies_below};
pub use settings::*;

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
pub struct Asked<B = Incoming> {
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
}

/// What counts at our own URLs, where anything does. Basic does not: it is for machines at applications.
const SHOWN: Counts = Counts {
    bearer: true,
    session: true,
    basic: false,
};

/// The table.
#[derive(Debug)]
pub struct Endpoints {
    rows: Vec<Row>,
    places: Places,
}

/// One URL and who may have it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place in the table: what [`Endpoints::serve`] is asked for.
    pub index: usize,
    /// The path.
    pub path: String,
    /// Whether that is the whole path, or everything below it too.
    pub exact: bool,
    /// The methods; GET includes HEAD.
    pub methods: Vec<Method>,
    /// Who may have it.
    pub rule: Rule,
    /// Which credentials count.
    pub credentials: Counts,
    page: Page,
}

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    ApiWithoutSlash,
    Api,
    Login,
    Refresh,
    Registration,
    Protected,
    Me,
    Logout,
    Jwks,
    ForPeople(pages::Page),
}

impl Endpoints {
    /// The URLs that the settings switch on.
    pub fn new(settings: &Settings) -> Self {
        let mut endpoints = Self {
            rows: Vec::new(),
            places: Places::new(settings, &session::Settings::default(), []),
        };
        if let Some(api) = &settings.api {
            let mut add =
                |page, path: &str, method, access| endpoints.add(page, format!("{api}{path}"), method, access);
            add(Page::ApiWithoutSlash, "", Method::GET, Access::Public);
            add(Page::Api, "/", Method::GET, Access::Public);
            add(Page::Login, "/login", Method::POST, Access::Public);
            add(Page::Refresh, "/refresh", Method::POST, Access::Public);
            add(Page::Registration, "/registration", Method::POST, Access::Public);
            add(Page::Protected, "/protected", Method::GET, Access::Authenticated);
            add(Page::Me, "/me", Method::GET, Access::Authenticated);
            add(Page::Logout, "/logout", Method::POST, Access::Authenticated);
        }
        if let Some(prefix) = &settings.pages {
            for (page, path, method, access) in pages::rows() {
                endpoints.add(Page::ForPeople(page), format!("{prefix}{path}"), method, access);
                if let Some(row) = endpoints.rows.last_mut() {
                    row.credentials = pages::SHOWN;
                }
            }
        }
        if settings.well_known {
            let path = "/.well-known/jwks.json".to_owned();
            endpoints.add(Page::Jwks, path, Method::GET, Access::Public);
        }
        endpoints
    }

    fn add(&mut self, page: Page, path: String, method: Method, access: Access) {
        let row = Row {
            index: self.rows.len(),
            path,
            exact: true,
            methods: vec![method],
            rule: Rule::new(access),
            credentials: SHOWN,
            page,
        };
        self.rows.push(row);
    }

    /// Where browsers are sent.
    #[must_use]
    pub fn leading(mut self, places: Places) -> Self {
        self.places = places;
        self
    }

    /// Where browsers are sent.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The rows, in the order of their indices.
    pub fn rules(&self) -> &[Row] {
        &self.rows
    }

    /// Serves the row of this index to a request that was admitted to it, with the proof of who it is from.
    pub async fn serve<B>(
        &self,
        index: usize,
        proof: Option<&Arc<Proof>>,
        asked: Asked<B>,
        services: &Services,
    ) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        let Some(row) = self.rows.get(index) else {
            return Err(Problem::new(Code::Internal, "Something went wrong.").because("no such row of endpoints"));
        };
        match row.page {
            Page::ApiWithoutSlash => Ok(status::to_running(&row.path, &asked.parts)),
            Page::Api => Ok(status::running()),
            Page::Login => account::login(asked, services).await,
            Page::Refresh => account::refresh(asked, services).await,
            Page::Registration => account::register(asked, services).await,
            Page::Protected => account::protected(proof),
            Page::Me => account::me(proof),
            Page::Logout => account::logout(proof, asked, services).await,
            Page::ForPeople(page) => pages::serve(page, proof, asked, services, &self.places).await,
            Page::Jwks => status::jwks(&services.keys, services.clock.unix_millis()),
        }
    }
}
