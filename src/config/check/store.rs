//! `[store]`.

use std::path::{Path, PathBuf};

use super::field;
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::secret::Secret;
use crate::store::{Location, Settings};

/// What libpq calls `sslmode`.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// `[store]`; no URL: a file in the data folder.
pub fn store(store: &file::Store, data_dir: &Path, report: &mut Report<'_>) -> Option<Settings> {
    let key = KeyPath::of("store");
    let password = field::secret_text(
        report,
        (&key.key("password"), &store.password),
        (&key.key("password_file"), &store.password_file),
    );
    let pool_size = field::number(report, &key.key("pool_size"), store.pool_size, 1..=1000);
    let connect_timeout = field::positive(report, &key.key("connect_timeout"), store.connect_timeout);
    let location = location(store, data_dir, report);
    if let Some(Location::Sqlite(_)) = location {
        for (name, set) in [
            ("password", !store.password.is_empty()),
            ("password_file", !store.password_file.is_empty()),
            ("listen_url", !store.listen_url.is_empty()),
        ] {
            if set {
                report.warn(Fault::at(
                    &key.key(name),
                    "it has no effect: store.url names no PostgreSQL server",
                ));
            }
        }
    }
    Some(Settings {
        location: match (location?, password?) {
            (Location::Postgres { url, listen_url, .. }, password) => Location::Postgres {
                url,
                password,
                listen_url,
            },
            (Location::Sqlite(path), _) => Location::Sqlite(path),
        },
        pool_size: pool_size?,
        connect_timeout: connect_timeout?,
        migrate: store.migrate,
        max_staleness: Some(store.max_staleness.0).filter(|span| !span.is_zero()),
    })
}

fn location(store: &file::Store, data_dir: &Path, report: &mut Report<'_>) -> Option<Location> {
    let key = KeyPath::of("store.url");
    let url = store.url.0.expose().as_str();
    if url.is_empty() {
        return Some(Location::Sqlite(data_dir.join("doorward.db")));
    }
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            report.error(
                Fault::at(
                    &key,
                    "sqlite: and the path of a file, such as \"sqlite:data/doorward.db\"",
                )
                .hint("the store must outlive the process; parameters are not taken"),
            );
            return None;
        }
        return Some(Location::Sqlite(PathBuf::from(path)));
    }
    let main = postgres(report, &key, &store.url);
    let listen_key = KeyPath::of("store.listen_url");
    let listen_url = match store.listen_url.is_empty() {
        true => Some(None),
        false => postgres(report, &listen_key, &store.listen_url).map(Some),
    };
    Some(Location::Postgres {
        url: main?,
        password: None,
        listen_url: listen_url?,
    })
}

/// Looks at the form of the URL only; what it means is the store's.
fn postgres(report: &mut Report<'_>, key: &KeyPath, url: &file::SecretText) -> Option<Secret<String>> {
    let text = url.0.expose().as_str();
    let hint = match text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
    {
        // The driver's name means something to SQLAlchemy only.
        None if text.starts_with("postgresql+") || text.starts_with("postgres+") => {
            Some("write postgres://…: \"+psycopg2\" and the like are SQLAlchemy's".to_owned())
        }
        None => Some("other databases are not supported".to_owned()),
        Some(rest) => {
            let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
            let authority = before.split('/').next().unwrap_or("");
            let hosts = authority.rsplit('@').next().unwrap_or("");
            let mode = query.split('&').find_map(|pair| pair.strip_prefix("sslmode="));
            let no_host = hosts.is_empty() && !query.split('&').any(|pair| pair.starts_with("host="));
            let bad_port = hosts.split(',').find(|host| !port_is_good(host));
            match mode {
                _ if no_host => Some("the URL names no host".to_owned()),
                _ if bad_port.is_some() => Some("a port is not a number from 1 to 65535".to_owned()),
                Some(mode) if !SSL_MODES.contains(&mode) => Some(format!("sslmode is one of {}", SSL_MODES.join(", "))),
                _ => None,
            }
        }
    };
    if let Some(hint) = hint {
        let accepted = "sqlite:PATH, or postgres://user@host:5432/database?sslmode=verify-full";
        report.error(Fault::at(key, accepted).hint(hint));
        return None;
    }
    Some(url.0.clone())
}

/// Whether the host has no port, or a good one.
fn port_is_good(host: &str) -> bool {
    let after_address = host.rsplit(']').next().unwrap_or(host);
    match after_address.rsplit_once(':') {
        Some((_, port)) => port.parse::<u16>().is_ok_and(|port| port > 0),
        None => true,
    }
}
