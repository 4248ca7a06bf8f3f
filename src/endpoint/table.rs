//! The table of the gateway's own URLs: where each is, who may have it, what it takes, and what serves it.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body::Body;

use super::forward_auth::Dialect;
use super::{Asked, Places, Services, Settings, account, admin, flask, mail, oauth, own, pages, status};
use crate::admission::Takes;
use crate::answer::{self, Answer};
use crate::authn::{Counts, Proof};
use crate::authz::{Access, Rule};
use crate::codes::Code;
use crate::problem::Problem;
use crate::route::{MethodSet, RoutePath};
use crate::session;

/// What counts at our own URLs, where anything does. Basic does not: it is for machines at applications.
const SHOWN: Counts = Counts {
    bearer: true,
    session: true,
    basic: false,
};

/// What counts where only machines ask.
const MACHINES: Counts = Counts {
    bearer: true,
    session: false,
    basic: true,
};

/// The table.
#[derive(Debug)]
pub struct Endpoints {
    rows: Vec<Row>,
    dialect: answer::Dialect,
    api: Option<String>,
    places: Places,
    /// Where questions of forward-auth are asked.
    pub(super) questions: Vec<(Dialect, RoutePath)>,
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
    /// What of them it takes.
    pub takes: Takes,
    page: Page,
    /// The page whose URL it is: of a row for OPTIONS, the other one's.
    of: Page,
}

/// What of our own URLs is served, as far as the settings of other parts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Whether `endpoints.hosts` says which hosts they are on.
    pub only_hosts: bool,
    /// Whether people may register.
    pub registers: bool,
    /// Whether mail is sent.
    pub sends_mail: bool,
}

impl Row {
    /// Whether this is ours where another proxy asks about it. The pages are what it has to send here, or nobody could log
    /// in; whether it sends anything else is its own affair, unless the operator says which hosts are ours.
    pub fn is_in_questions(&self, served: Served) -> bool {
        match self.of {
            Page::ForPeople(page) => page.is_served(served),
            // What would be refused to everybody is nothing that one could send here.
            Page::Registration => served.only_hosts && served.registers,
            Page::Finalize | Page::Reset | Page::ResetFinalize => served.only_hosts && served.sends_mail,
            Page::ApiWithoutSlash
            | Page::Api
            | Page::Login
            | Page::Refresh
            | Page::Protected
            | Page::Me
            | Page::Logout
            | Page::Sessions
            | Page::Session
            | Page::Password
            | Page::Ticket
            | Page::Keys
            | Page::Key
            | Page::Introspect
            | Page::Revoke
            | Page::Admin
            | Page::Jwks
            | Page::Metadata
            | Page::Options => served.only_hosts,
        }
    }
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
    Sessions,
    Session,
    Password,
    Ticket,
    Keys,
    Key,
    Introspect,
    Revoke,
    Finalize,
    Reset,
    ResetFinalize,
    Admin,
    Jwks,
    Metadata,
    ForPeople(pages::Page),
    /// OPTIONS of another row.
    Options,
}

impl Page {
    /// What it takes of all that is good. The functions behind it ask again, should the table ever be wrong.
    fn takes(self) -> Takes {
        match self {
            Self::Protected | Self::Me => Takes::OwnUsers,
            Self::Logout => Takes::Sessions,
            Self::Sessions | Self::Session | Self::Password | Self::Keys | Self::Key | Self::Admin => Takes::Logins,
            Self::Ticket => Takes::ButTickets,
            Self::Introspect => Takes::ApiKeys,
            Self::ApiWithoutSlash
            | Self::Api
            | Self::Login
            | Self::Refresh
            | Self::Registration
            | Self::Revoke
            | Self::Finalize
            | Self::Reset
            | Self::ResetFinalize
            | Self::Jwks
            | Self::Metadata
            | Self::ForPeople(_)
            | Self::Options => Takes::Anything,
        }
    }
}

impl Endpoints {
    /// The URLs that the settings switch on; `admin`: who may administer.
    pub fn new(settings: &Settings, admin: Rule) -> Self {
        let mut endpoints = Self {
            rows: Vec::new(),
            dialect: settings.dialect,
            api: settings.api.clone(),
            places: Places::new(settings, &session::Settings::default(), []),
            questions: settings.pages.as_deref().map_or(Vec::new(), Dialect::addresses),
        };
        if let Some(api) = &settings.api {
            endpoints.add_api(api, admin);
        }
        if let Some(prefix) = &settings.pages {
            for (page, path, method, access) in pages::rows() {
                let path = format!("{prefix}{path}");
                let row = endpoints.add(Page::ForPeople(page), path, &[method], access);
                row.credentials = pages::SHOWN;
            }
        }
        if settings.well_known {
            let path = |name: &str| format!("/.well-known/{name}");
            endpoints.add(Page::Jwks, path("jwks.json"), &[Method::GET], Access::Public);
            let metadata = path("oauth-authorization-server");
            endpoints.add(Page::Metadata, metadata, &[Method::GET], Access::Public);
        }
        match settings.dialect {
            answer::Dialect::Standard => {}
            answer::Dialect::Flask => endpoints.answer_options(),
        }
        endpoints
    }

    /// Every URL there is but the pages answers OPTIONS, to anybody who may come from there: as Flask does, where whoever asks for
    /// a login is not asked for one here.
    fn answer_options(&mut self) {
        let mut paths: Vec<Row> = Vec::new();
        let is_page = |row: &&Row| matches!(row.page, Page::ForPeople(_));
        for row in self.rows.iter().filter(|row| !is_page(row)) {
            if !paths.iter().any(|other| other.path == row.path) {
                paths.push(row.clone());
            }
        }
        for row in paths {
            let options = self.add(Page::Options, row.path, &[Method::OPTIONS], Access::Public);
            (options.exact, options.of) = (row.exact, row.page);
            options.rule.networks = row.rule.networks;
        }
    }

    /// What a URL answers to, as `Allow` has it.
    fn allow(&self, row: &Row) -> String {
        let same = self.rows.iter().filter(|other| other.path == row.path);
        let methods = MethodSet::new(same.flat_map(|row| row.methods.iter().cloned()));
        let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
        methods.join(", ")
    }

    fn add_api(&mut self, api: &str, admin: Rule) {
        use Access::{Authenticated, Public};
        let get = &[Method::GET][..];
        let post = &[Method::POST][..];
        let delete = &[Method::DELETE][..];
        let both = &[Method::GET, Method::POST][..];
        for (page, path, methods, access) in [
            (Page::ApiWithoutSlash, "", get, Public),
            (Page::Api, "/", get, Public),
            (Page::Login, "/login", post, Public),
            (Page::Refresh, "/refresh", post, Public),
            (Page::Registration, "/registration", post, Public),
            (Page::Protected, "/protected", get, Authenticated),
            (Page::Me, "/me", get, Authenticated),
            (Page::Logout, "/logout", post, Authenticated),
            (Page::Sessions, "/sessions", get, Authenticated),
            (Page::Password, "/password", post, Authenticated),
            (Page::Ticket, "/ticket", post, Authenticated),
            (Page::Keys, "/keys", both, Authenticated),
            // The token that is sent is what lets one in.
            (Page::Revoke, "/revoke", post, Public),
            // So is the code.
            (Page::Finalize, "/finalize", get, Public),
            (Page::Reset, "/reset", post, Public),
            (Page::ResetFinalize, "/reset_finalize", post, Public),
        ] {
            self.add(page, format!("{api}{path}"), methods, access);
        }
        // `Optional`, so that who shows nothing is told of both ways to show an API key.
        let introspect = self.add(Page::Introspect, format!("{api}/introspect"), post, Access::Optional);
        introspect.credentials = MACHINES;
        for (page, path) in [(Page::Session, "/sessions/"), (Page::Key, "/keys/")] {
            self.add(page, format!("{api}{path}"), delete, Authenticated).exact = false;
        }
        let methods = &[Method::GET, Method::POST, Method::PATCH, Method::DELETE];
        let row = self.add(Page::Admin, format!("{api}/admin/"), methods, Authenticated);
        row.exact = false;
        row.rule = admin;
    }

    fn add(&mut self, page: Page, path: String, methods: &[Method], access: Access) -> &mut Row {
        let row = Row {
            index: self.rows.len(),
            path,
            exact: true,
            methods: methods.to_vec(),
            rule: Rule::new(access),
            credentials: SHOWN,
            takes: page.takes(),
            page,
            of: page,
        };
        self.rows.push_mut(row)
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

    /// The places for questions of other proxies: the path, and whether it is the whole path or everything below it too. They
    /// are on every host and for every method.
    pub fn question_places(&self) -> Vec<(String, bool)> {
        match self.places.prefix() {
            "" => Vec::new(),
            pages => Dialect::ALL
                .map(|dialect| {
                    let below = if dialect.is_prefix() { "/" } else { "" };
                    (format!("{pages}/{}{below}", dialect.as_str()), !dialect.is_prefix())
                })
                .to_vec(),
        }
    }

    /// The rows, in the order of their indices.
    pub fn rules(&self) -> &[Row] {
        &self.rows
    }

    /// The answer of the row of this index, where it only leads elsewhere or depends on the table alone: what can be told
    /// without serving it. `is_known`: whether it is from somebody in particular.
    pub fn leads<B>(&self, index: usize, is_known: bool, asked: &Asked<B>) -> Option<Answer> {
        let row = self.rows.get(index)?;
        match row.page {
            Page::ApiWithoutSlash => Some(status::to_running(&row.path, asked, self.dialect)),
            Page::ForPeople(page) => pages::leads(page, is_known, asked, &self.places),
            Page::Options => Some(status::options(&self.allow(row))),
            Page::Api
            | Page::Login
            | Page::Refresh
            | Page::Registration
            | Page::Protected
            | Page::Me
            | Page::Logout
            | Page::Sessions
            | Page::Session
            | Page::Password
            | Page::Ticket
            | Page::Keys
            | Page::Key
            | Page::Introspect
            | Page::Revoke
            | Page::Finalize
            | Page::Reset
            | Page::ResetFinalize
            | Page::Admin
            | Page::Jwks
            | Page::Metadata => None,
        }
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
        // What follows the prefix; empty where the row is one URL.
        let path = asked.parts.uri.path().to_owned();
        let below = path.strip_prefix(&row.path).unwrap_or_default();
        let flask = self.dialect == answer::Dialect::Flask;
        match row.page {
            Page::ApiWithoutSlash => Ok(status::to_running(&row.path, &asked, self.dialect)),
            Page::Api => Ok(status::running()),
            Page::Login if flask => flask::login(asked, services).await,
            Page::Login => account::login(asked, services).await,
            Page::Refresh if flask => flask::refresh(asked, services).await,
            Page::Refresh => account::refresh(asked, services).await,
            Page::Registration if flask => flask::register(asked, services).await,
            Page::Registration => account::register(asked, services).await,
            Page::Protected => account::protected(proof),
            Page::Me => account::me(proof),
            Page::Logout => account::logout(proof, asked, services).await,
            Page::Sessions => own::sessions(proof, services).await,
            Page::Session => own::end_session(proof, below, asked, services).await,
            Page::Password => own::password(proof, asked, services).await,
            Page::Ticket => own::ticket(proof, asked, services).await,
            Page::Keys if asked.parts.method == Method::POST => own::make_key(proof, asked, services).await,
            Page::Keys => own::keys(proof, services).await,
            Page::Key => own::revoke_key(proof, below, asked, services).await,
            Page::Introspect => oauth::introspect(proof, asked, services).await,
            Page::Revoke => oauth::revoke(asked, services).await,
            Page::Finalize if flask => flask::mail::finalize(asked, services).await,
            Page::Finalize => mail::finalize(asked, services).await,
            Page::Reset if flask => flask::mail::reset(asked, services).await,
            Page::Reset => mail::reset(asked, services).await,
            Page::ResetFinalize if flask => flask::mail::reset_finalize(asked, services).await,
            Page::ResetFinalize => mail::reset_finalize(asked, services).await,
            Page::Admin => admin::serve(proof, below, asked, services).await,
            Page::ForPeople(page) => pages::serve(page, proof, asked, services, &self.places).await,
            Page::Jwks => status::jwks(&services.keys, services.clock.unix_millis()),
            Page::Metadata => oauth::metadata(&asked.verifier, self.api.as_deref()),
            Page::Options => Ok(status::options(&self.allow(row))),
        }
    }
}
