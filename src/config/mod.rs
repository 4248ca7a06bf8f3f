//! The configuration: read from files and the environment, checked as a whole, and turned into the settings that the
//! parts own.
//!
//! [`load`] is the one way in. It reports **all** problems at once, each with its place ([`Problem`]), and gives a
//! [`Config`] that holds only valid values; nothing behind it has to ask again.

mod check;
mod document;
mod environment;
mod file;
mod key;
mod later;
mod names;
mod problem;
mod report;
mod source;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use self::problem::{Problem, Problems, Severity};
use crate::authz::Rule;
use crate::net::Networks;
use crate::{
    account, admission, answer, endpoint, explain, identity, mail, password, registry, session, store, telemetry,
    throttle, tls, token, upstream,
};

/// The file that is read where none is named and this one exists.
pub const DEFAULT_FILE: &str = "config/doorward.toml";

/// Where a configuration comes from. Later wins: built-in defaults, `inline`, `files` in their order, `env`, `data_dir`.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// TOML files; a later one overrides an earlier one, key by key (lists and arrays of tables as a whole).
    pub files: Vec<PathBuf>,
    /// The environment. Only `DOORWARD_…`, `DATABASE_URL` and `PORT` are looked at.
    pub env: BTreeMap<String, String>,
    /// What the command line says about `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// A name and a TOML text, below the files.
    pub inline: Option<(String, String)>,
}

impl Sources {
    /// A configuration that is in memory already; the name stands in problems where the path of a file would.
    pub fn from_str(name: &str, text: &str) -> Self {
        Self {
            inline: Some((name.to_owned(), text.to_owned())),
            ..Self::default()
        }
    }

    /// With [`DEFAULT_FILE`], where no file is named and that one exists.
    pub fn or_default_file(mut self) -> Self {
        if self.files.is_empty() && Path::new(DEFAULT_FILE).exists() {
            self.files.push(PathBuf::from(DEFAULT_FILE));
        }
        self
    }
}

/// A configuration that passed every check.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed and likely not meant.
    pub warnings: Vec<Problem>,
    /// The configuration files that were read.
    pub files: Vec<PathBuf>,
}

/// The valid whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the gateway keeps its own files.
    pub data_dir: PathBuf,
    /// Whether a change of the files reloads.
    pub watch: bool,
    /// Threads that carry traffic; at least one.
    pub workers: usize,
    /// Whose `X-Forwarded-*` and the like are believed.
    pub trusted_proxies: Networks,
    /// Where requests come in; at least one.
    pub listeners: Vec<Listener>,
    /// The admin address.
    pub admin: Admin,
    /// `[tls]`.
    pub tls: tls::Settings,
    /// `[store]`.
    pub store: store::Settings,
    /// `[tokens]`.
    pub tokens: token::Settings,
    /// `[compat]`, what is not `[tokens]`' own.
    pub compat: Compat,
    /// `[endpoints]`.
    pub endpoints: endpoint::Settings,
    /// `[accounts]`.
    pub accounts: account::Settings,
    /// `[passwords]`.
    pub passwords: password::Settings,
    /// `[mail]`; `None`: no mail is sent.
    pub mail: Option<mail::Settings>,
    /// `[throttle]`.
    pub throttle: throttle::Settings,
    /// `[cors]`.
    pub cors: answer::cors::Settings,
    /// `[cookies]`.
    pub cookies: session::Settings,
    /// `[forward_auth]`.
    pub forward_auth: endpoint::forward_auth::Settings,
    /// `[identity_headers]`.
    pub identity: identity::Settings,
    /// `[log]`.
    pub log: telemetry::Settings,
    /// `[timeouts]`.
    pub timeouts: registry::Deadlines,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[upstreams]]`; names are unique.
    pub upstreams: Vec<upstream::Settings>,
    /// `[[routes]]`; each names an upstream that exists, unless it denies.
    pub routes: Vec<admission::Route>,
    /// `[[policy_tests]]`: what must hold.
    pub policy_tests: Vec<explain::PolicyTest>,
}

/// `[[listeners]]`: where requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in metrics and logs: protocol and address as configured.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2 over TLS.
    Https,
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP/1.1 in the clear, answered with a redirect to https.
    Redirect {
        /// The port of the https URL.
        https_port: u16,
    },
}

/// `[admin]`: metrics and health, apart from the public listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    /// The role that may use the admin API and page.
    pub role: String,
    /// Clients of the admin API and page come from here; `None`: from anywhere.
    pub networks: Option<Networks>,
}

impl Admin {
    /// Who may administer, and from where.
    pub fn rule(&self) -> Rule {
        Rule {
            networks: self.networks.clone(),
            ..Rule::role(&self.role)
        }
    }
}

/// `[compat]`: taking the place of a server built with Flask and flask-praetorian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compat {
    /// Whether answers are those of that server (`compat.flask_praetorian`).
    pub flask: bool,
}

/// `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections at most.
    pub connections: usize,
    /// Open connections of one address at most.
    pub connections_per_address: usize,
    /// The largest header section of a request, in bytes.
    pub header_bytes: usize,
}

/// Reads and checks a configuration.
///
/// # Errors
/// Every problem of it, not just the first.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let kind = file::Kind::of_file();
    let (layers, unreadable) = source::Layers::read(sources, &kind);
    if unreadable.iter().any(|problem| problem.variable.is_none()) {
        // Half a file would only make up problems that are not there.
        return Err(Problems::sorted(unreadable));
    }
    let mut report = report::Report::new(&layers, &kind, unreadable);
    let shape = file::read(&kind, &mut report);
    later::refuse(&shape, &kind, &mut report);
    let config = check::check(&shape, sources.data_dir.as_deref(), &mut report);
    let Problems(problems) = Problems::sorted(report.finish());
    let bad = problems.iter().any(|problem| problem.severity == Severity::Error);
    match config {
        Some(config) if !bad => Ok(Loaded {
            config,
            warnings: problems,
            files: sources.files.clone(),
        }),
        _ => Err(Problems(problems)),
    }
}
