//! From the raw shape to the valid whole, with every problem reported on the way.
//!
//! Each table has a function that takes it and gives the settings of its part, or nothing after it reported why. They
//! all run, whatever the others found; only then is the whole put together.

mod accounts;
mod answers;
mod compat;
mod conflicts;
mod endpoints;
mod field;
mod forward_auth;
mod headers;
mod issuers;
mod keys;
mod listeners;
mod mail;
mod policy_tests;
mod routes;
mod store;
mod tls;
mod tokens;
mod upstreams;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use super::file::{self, Shape};
use super::key::KeyPath;
use super::report::{Fault, Report};
use super::{Compat, Config, Limits};
use crate::answer::Dialect;
use crate::net::{Network, Networks};
use crate::registry::Deadlines;
use crate::{telemetry, wire};

/// Checks everything. `data_dir` is what the command line says.
pub fn check(shape: &Shape, data_dir: Option<&Path>, report: &mut Report<'_>) -> Option<Config> {
    let shape = &compat::with_its_defaults(shape, report);
    let data_dir = data_dir_of(shape, data_dir, report);
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let workers = field::number(report, &KeyPath::of("workers"), shape.workers, 0..=1024);
    let trusted_proxies = trusted_proxies(&shape.trusted_proxies, report);
    let listeners = listeners::listeners(&shape.listeners, report);
    let admin = listeners::admin(&shape.admin, listeners.as_deref().unwrap_or_default(), report);
    let public = listeners.as_deref().is_some_and(listeners::are_public);
    let tls = tls::tls(&shape.tls, &data_dir, listeners.as_deref().unwrap_or_default(), report);
    let store = store::store(&shape.store, &data_dir, report);
    let endpoints = endpoints::endpoints(&shape.endpoints, dialect(shape), report);
    let hosts = endpoints
        .as_ref()
        .map(|endpoints| endpoints.hosts.as_slice())
        .unwrap_or_default();
    let tokens = tokens::tokens(
        &shape.tokens,
        tokens::Surroundings {
            hosts,
            public,
            admin_role: &shape.admin.role,
        },
        &shape.compat,
        report,
    );
    let mail = mail::mail(
        &shape.mail,
        mail::Surroundings {
            host: hosts.first().map(String::as_str),
            issuer: tokens.as_ref().map(|tokens| tokens.issuer.as_str()),
            assumed: hosts.is_empty() && shape.tokens.issuer.is_empty(),
            https: !shape.trusted_proxies.is_empty() || listeners.as_deref().is_none_or(listeners::are_encrypted),
            pages: endpoints.as_ref().and_then(|endpoints| endpoints.pages.as_deref()),
        },
        report,
    );
    let accounts = accounts::accounts(&shape.accounts, &shape.admin.role, report);
    accounts::registration(&shape.accounts, &shape.mail, report);
    let passwords = accounts::passwords(&shape.passwords, shape.compat.flask_praetorian, cores, report);
    let throttle = accounts::throttle(&shape.throttle, report);
    let cors = answers::cors(&shape.cors, dialect(shape), report);
    let cookies = answers::cookies(&shape.cookies, report);
    let forward_auth = forward_auth::forward_auth(&shape.forward_auth, report);
    let identity = answers::identity(&shape.identity_headers, report);
    let log = log(&shape.log, report);
    let timeouts = timeouts(&shape.timeouts, report);
    let limits = limits(&shape.limits, report);
    let upstreams = upstreams::upstreams(&shape.upstreams, report);
    let routes = routes::routes(shape, identity.as_ref(), endpoints.as_ref(), report);
    let policy_tests = policy_tests::policy_tests(shape, report);
    if let (Some(cookies), Some(endpoints)) = (&cookies, &endpoints) {
        answers::reach_of_cookies(cookies, endpoints, routes.as_deref().unwrap_or_default(), report);
    }
    if let (Some(forward_auth), Some(cookies)) = (&forward_auth, &cookies) {
        let routes = routes.as_deref().unwrap_or_default();
        forward_auth::reach_of_login(forward_auth, cookies, routes, report);
    }
    tls::client_auth(shape, report);
    listeners::proxy_protocol(shape, report);
    Some(Config {
        data_dir,
        watch: shape.watch,
        workers: match workers? {
            0 => cores,
            workers => workers,
        },
        trusted_proxies: trusted_proxies?,
        listeners: listeners?,
        admin: admin?,
        tls: tls?,
        store: store?,
        tokens: tokens?,
        compat: Compat {
            flask: shape.compat.flask_praetorian,
        },
        endpoints: endpoints?,
        accounts: accounts?,
        passwords: passwords?,
        mail: mail?,
        throttle: throttle?,
        cors: cors?,
        cookies: cookies?,
        forward_auth: forward_auth?,
        identity: identity?,
        log: log?,
        timeouts: timeouts?,
        limits: limits?,
        upstreams: upstreams?,
        routes: routes?,
        policy_tests: policy_tests?,
    })
}

/// How the gateway's own answers look.
fn dialect(shape: &Shape) -> Dialect {
    match shape.compat.flask_praetorian {
        true => Dialect::Flask,
        false => Dialect::Standard,
    }
}

/// The data folder. It starts from the working directory wherever it is set, so that writing the default down changes
/// nothing.
fn data_dir_of(shape: &Shape, argument: Option<&Path>, report: &mut Report<'_>) -> PathBuf {
    match argument {
        Some(argument) => argument.to_owned(),
        None => {
            if shape.data_dir.is_empty() {
                report.error(Fault::at(&KeyPath::of("data_dir"), "the path of a folder"));
            }
            PathBuf::from(&shape.data_dir)
        }
    }
}

fn trusted_proxies(texts: &[String], report: &mut Report<'_>) -> Option<Networks> {
    let key = KeyPath::of("trusted_proxies");
    for (index, text) in texts.iter().enumerate() {
        let everybody = ["0.0.0.0/0", "::/0"]
            .iter()
            .filter_map(|all| all.parse::<Network>().ok());
        if text
            .parse()
            .is_ok_and(|network: Network| everybody.into_iter().any(|all| all == network))
        {
            report.warn(
                Fault::at(
                    &key.index(index),
                    "every client can then claim any address, scheme and host",
                )
                .hint("name the addresses of your own proxies"),
            );
        }
    }
    field::networks(report, &key, texts)
}

fn log(log: &file::Log, report: &mut Report<'_>) -> Option<telemetry::Settings> {
    let levels = [
        ("trace", tracing::Level::TRACE),
        ("debug", tracing::Level::DEBUG),
        ("info", tracing::Level::INFO),
        ("warn", tracing::Level::WARN),
        ("error", tracing::Level::ERROR),
    ];
    let formats = [("text", telemetry::Format::Text), ("json", telemetry::Format::Json)];
    let format = report.choose(&KeyPath::of("log.format"), &log.format, &formats);
    let level = report.choose(&KeyPath::of("log.level"), &log.level, &levels);
    Some(telemetry::Settings {
        format: format?,
        level: level?,
        access: log.access,
    })
}

fn timeouts(timeouts: &file::Timeouts, report: &mut Report<'_>) -> Option<Deadlines> {
    let mut positive = |key: &str, span| field::positive(report, &KeyPath::of("timeouts").key(key), span);
    let first_byte = positive("first_byte", timeouts.first_byte);
    let handshake = positive("handshake", timeouts.handshake);
    let header_read = positive("header_read", timeouts.header_read);
    let body_progress = positive("body_progress", timeouts.body_progress);
    let idle = positive("idle", timeouts.idle);
    Some(Deadlines {
        first_byte: first_byte?,
        handshake: handshake?,
        header_read: header_read?,
        body_progress: body_progress?,
        idle: idle?,
        // Not to wait at all is an answer too.
        drain: timeouts.drain.0,
    })
}

fn limits(limits: &file::Limits, report: &mut Report<'_>) -> Option<Limits> {
    let key = KeyPath::of("limits");
    let many = 1..=10_000_000;
    let connections = field::number(report, &key.key("connections"), limits.connections, many.clone());
    let per_address = key.key("connections_per_address");
    let connections_per_address = field::number(report, &per_address, limits.connections_per_address, many);
    // What the scanner takes; its bounds come from what hyper behind it can hold.
    let bounds = |bytes: &usize| u64::try_from(*bytes).unwrap_or(u64::MAX);
    let bounds = bounds(wire::Settings::HEADER_BYTES.start())..=bounds(wire::Settings::HEADER_BYTES.end());
    let header_bytes = field::size(report, &key.key("header_bytes"), limits.header_bytes, bounds);
    Some(Limits {
        connections: connections?,
        connections_per_address: connections_per_address?,
        header_bytes: header_bytes?,
    })
}
