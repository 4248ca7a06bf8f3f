//! What `serve` would find out at start, found out without starting anything.

use http::Method;

use super::{StartError, assemble, promise};
use crate::clock::Clock;
use crate::config::Config;
use crate::endpoint::Endpoints;
use crate::keyring::{self, KeyRing};
use crate::route::{Entry, Host, HostPattern, Match, MethodSet, PathPattern, Table};
use crate::store;
use crate::telemetry::Metrics;
use crate::tls::{Certificates, ServerTls};
use crate::token::{self, KeySource, Verifier};
use crate::upstream::Upstreams;

/// A certificate that ends within this many seconds is worth a warning: 14 days.
const SOON: i64 = 14 * 86_400;

/// The methods by which a route is looked for, where a URL has them all.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What would keep the gateway from starting.
    pub problems: Vec<StartError>,
    /// What is allowed and likely not meant.
    pub warnings: Vec<String>,
    /// Issuers whose keys come from a URL, which is not fetched here: a check says the same wherever it runs.
    pub unfetched: Vec<String>,
    /// What routes lose to the gateway's own URLs.
    pub lost: Vec<Lost>,
}

/// URLs that lie within a route and are answered by the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The host as a route names it; `None`: all that none names.
    pub host: Option<String>,
    /// The route's name.
    pub route: String,
    /// Its path.
    pub path: String,
    /// The URLs: methods and path; a star stands for everything below.
    pub urls: Vec<String>,
}

/// Tries what start would do with files, keys, routes and upstreams: everything, whatever the rest found.
pub fn verify(config: &Config, clock: &Clock) -> Findings {
    let mut findings = Findings::default();
    certificates(config, clock, &mut findings);
    tokens(config, &mut findings);
    for (index, upstream) in config.upstreams.iter().enumerate() {
        if let Err(error) = Upstreams::check(std::slice::from_ref(upstream)) {
            let what = format!("upstreams[{index}] ({}) cannot be used", upstream.name);
            findings
                .problems
                .push(StartError::new(what, described(&error), error.hint()));
        }
    }
    if let Err(error) = store::check(&config.store) {
        findings
            .problems
            .push(StartError::new("the store cannot be used", error, "check [store]"));
    }
    let endpoints = Endpoints::new(&config.endpoints, config.admin.rule());
    match assemble::policy(config, &endpoints, &Metrics::new(1), None) {
        Ok(policy) => {
            findings.lost = lost(config, &own_urls(&endpoints));
            findings.problems.extend(promise::failures(config, &policy));
        }
        Err(error) => findings.problems.push(error),
    }
    findings
}

fn described(error: &crate::tls::Error) -> String {
    match error.file() {
        Some(file) => format!("{}: {}", file.display(), error.cause()),
        None => error.cause().to_owned(),
    }
}

/// Each pair of files by itself. A certificate that is made at start is not made here.
fn certificates(config: &Config, clock: &Clock, findings: &mut Findings) {
    let Certificates::Files(files) = &config.tls.certificates else {
        return;
    };
    for pair in files {
        let alone = crate::tls::Settings {
            certificates: Certificates::Files(vec![pair.clone()]),
            ..config.tls.clone()
        };
        // What cannot be used was told with its line when the configuration was read.
        let Ok(tls) = ServerTls::new(&alone, clock.clone()) else {
            continue;
        };
        findings.warnings.extend(tls.expiry().iter().filter_map(|expiry| {
            let left = expiry.not_after.saturating_sub(clock.unix_seconds());
            let name = pair.cert.display();
            match left {
                ..=0 => Some(format!("the certificate in {name} has expired")),
                1..SOON => Some(format!("the certificate in {name} expires in {} days", left / 86_400)),
                _ => None,
            }
        }));
    }
}

/// Our own secret, and each trusted issuer by itself.
fn tokens(config: &Config, findings: &mut Findings) {
    if let Some(Err(error)) = config
        .tokens
        .secret
        .as_ref()
        .map(|secret| keyring::from_secret(secret.expose()))
    {
        let hint = "put at least 32 random bytes there";
        findings
            .problems
            .push(StartError::new("tokens.secret_file cannot be used", error, hint));
    }
    for (index, issuer) in config.tokens.trusted_issuers.iter().enumerate() {
        if let KeySource::JwksUrl(url) = &issuer.keys {
            findings.unfetched.push(url.to_string());
        }
        let alone = token::Settings {
            trusted_issuers: vec![issuer.clone()],
            ..config.tokens.clone()
        };
        match Verifier::new(&alone, KeyRing::new(), &config.admin.role) {
            Ok((_, notes)) => findings.warnings.extend(notes),
            Err(error) => {
                let what = format!("tokens.trusted_issuers[{index}] cannot be used");
                let hint = "check its jwks_file, key_file or secret_file, and its algorithms";
                findings.problems.push(StartError::new(what, error, hint));
            }
        }
    }
}

/// One of the gateway's own URLs, as far as a route may lose it.
struct OwnUrl {
    path: String,
    exact: bool,
    /// None: any.
    methods: Option<Vec<Method>>,
    /// Whether it is there whatever `endpoints.hosts` says.
    every_host: bool,
}

/// All there are, with the places for questions of other proxies: those are no rows, for no rule of a row decides there.
fn own_urls(endpoints: &Endpoints) -> Vec<OwnUrl> {
    let rows = endpoints.rules().iter().map(|row| OwnUrl {
        path: row.path.clone(),
        exact: row.exact,
        methods: Some(row.methods.clone()),
        every_host: false,
    });
    let questions = endpoints.question_places().into_iter().map(|(path, exact)| OwnUrl {
        path,
        exact,
        methods: None,
        every_host: true,
    });
    rows.chain(questions).collect()
}

/// Which of the gateway's own URLs each route would have got, host by host.
fn lost(config: &Config, rows: &[OwnUrl]) -> Vec<Lost> {
    let Some(table) = routes_alone(config) else {
        return Vec::new();
    };
    let mut names: Vec<Option<&str>> = vec![None];
    for name in config.routes.iter().flat_map(|route| &route.hosts) {
        if !names.contains(&Some(name.as_str())) {
            names.push(Some(name));
        }
    }
    names
        .into_iter()
        .flat_map(|name| lost_on(name, config, &table, rows))
        .collect()
}

fn lost_on(name: Option<&str>, config: &Config, table: &Table<usize>, rows: &[OwnUrl]) -> Vec<Lost> {
    // A wildcard stands for the hosts that only it matches.
    let example = name.map(|name| name.replacen('*', "any", 1));
    let host = example.as_deref().and_then(|name| Host::parse(name).ok());
    let ours = &config.endpoints.hosts;
    let is_ours = |host: &Host<'_>| ours.iter().any(|own| own == host.name());
    let has_all = ours.is_empty() || host.as_ref().is_some_and(is_ours);
    let mut lost: Vec<Lost> = Vec::new();
    for row in rows.iter().filter(|row| has_all || row.every_host) {
        let methods = row.methods.as_deref().unwrap_or(&[]);
        let named = match methods {
            [] => "*".to_owned(),
            some => some.iter().map(Method::as_str).collect::<Vec<_>>().join(" "),
        };
        let url = format!("{named} {}{}", row.path, if row.exact { "" } else { "*" });
        // A route that has any method there loses it.
        let asked = if methods.is_empty() { &METHODS[..] } else { methods };
        let found = asked
            .iter()
            .find_map(|method| match table.find(host.as_ref(), method, row.path.as_bytes()) {
                Match::Found(index) => config.routes.get(*index),
                Match::MethodNotAllowed(_) | Match::NotFound => None,
            });
        let Some(route) = found else { continue };
        match lost.iter_mut().find(|lost| lost.route == route.name) {
            Some(lost) => lost.urls.push(url),
            None => lost.push(Lost {
                host: name.map(str::to_owned),
                route: route.name.clone(),
                path: route.path.clone(),
                urls: vec![url],
            }),
        }
    }
    lost
}

/// The routes as if the gateway had no URLs of its own. `None`: they are no table, which is a problem told elsewhere.
fn routes_alone(config: &Config) -> Option<Table<usize>> {
    let entries = config.routes.iter().enumerate().map(|(index, route)| {
        let hosts = route
            .hosts
            .iter()
            .map(|host| host.parse::<HostPattern>().ok())
            .collect::<Option<_>>()?;
        let methods = route
            .methods
            .as_ref()
            .map(|methods| MethodSet::new(methods.iter().cloned()));
        Some(Entry {
            hosts,
            pattern: PathPattern::prefix(&route.path).ok()?,
            methods,
            value: index,
        })
    });
    Table::new(entries.collect::<Option<_>>()?).ok()
}
