//! `[endpoints]`: where the gateway's own URLs are. Which there are, the table of endpoints says itself.

use super::field;
use crate::answer::Dialect;
use crate::authz::Rule;
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::endpoint::{Endpoints, Settings};

/// `[endpoints]`.
pub fn endpoints(endpoints: &file::Endpoints, dialect: Dialect, report: &mut Report<'_>) -> Option<Settings> {
    let key = KeyPath::of("endpoints");
    let hosts = key.key("hosts");
    let hosts = field::each(&endpoints.hosts, |index, host| {
        field::host(report, &hosts.index(index), host, false)
    });
    let api = prefix(report, &key.key("api"), &endpoints.api);
    let pages = prefix(report, &key.key("pages"), &endpoints.pages);
    let settings = Settings {
        hosts: hosts?,
        api: api?,
        pages: pages?,
        well_known: endpoints.well_known,
        dialect,
    };
    if let Some(path) = overlap(&settings) {
        let fault = Fault::at(&key.key("pages"), "a prefix whose URLs are not those of endpoints.api");
        report.error(fault.hint(format!("both would answer {path}")));
        return None;
    }
    Some(settings)
}

/// A URL that belongs to the API and to the pages.
fn overlap(settings: &Settings) -> Option<String> {
    let only = |api: bool| {
        own(&Settings {
            api: settings.api.clone().filter(|_| api),
            pages: settings.pages.clone().filter(|_| !api),
            well_known: false,
            hosts: Vec::new(),
            dialect: settings.dialect,
        })
    };
    let holds = |one: &Own, other: &Own| match one.prefix {
        true => field::lies_within(&other.path, &one.path),
        false => one.path == other.path,
    };
    let pages = only(false);
    let meets = |api: &Own| pages.iter().any(|page| holds(page, api) || holds(api, page));
    only(true).into_iter().find(meets).map(|own| own.path)
}

/// A prefix; empty: switched off.
fn prefix(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<Option<String>> {
    if text.is_empty() {
        return Some(None);
    }
    let path = field::path(report, key, text)?;
    if path == "/" {
        report.error(Fault::at(
            key,
            "a path below \"/\", such as \"/api\", or \"\" to switch the group off",
        ));
        return None;
    }
    Some(Some(path))
}

/// A URL, or all below a prefix, that the gateway answers itself.
pub struct Own {
    /// The path, without a slash at its end.
    pub path: String,
    /// Whether everything below it is ours too.
    pub prefix: bool,
    /// Whether it is ours on every host, whatever `endpoints.hosts` says (forward-auth).
    pub every_host: bool,
}

/// Below `endpoints.api`, beside what the table of endpoints says: kept for what is not built yet.
const API: [&str; 4] = ["/finalize", "/reset", "/reset_finalize", "/openapi.json"];

/// Below `endpoints.pages`.
const PAGES: [&str; 8] = [
    "",
    "/login",
    "/logout",
    "/register",
    "/secret",
    "/account",
    "/admin*",
    "/assets*",
];

/// Below `endpoints.pages` too, on every host.
const FORWARD_AUTH: [&str; 4] = ["/nginx", "/traefik", "/caddy", "/envoy*"];

/// Every URL the gateway answers itself with these settings.
pub fn own(settings: &Settings) -> Vec<Own> {
    let row = |prefix: &str, row: &str, every_host: bool| Own {
        path: format!("{prefix}{}", row.strip_suffix('*').unwrap_or(row)),
        prefix: row.ends_with('*'),
        every_host,
    };
    let api = settings
        .api
        .iter()
        .flat_map(|prefix| API.map(|path| row(prefix, path, false)));
    let pages = settings.pages.iter().flat_map(|prefix| {
        let pages = PAGES.map(|path| row(prefix, path, false));
        pages
            .into_iter()
            .chain(FORWARD_AUTH.map(|path| row(prefix, path, true)))
    });
    let served = Endpoints::new(settings, Rule::default());
    let served = served.rules().iter().map(|row| Own {
        path: row.path.trim_end_matches('/').to_owned(),
        prefix: !row.exact,
        every_host: false,
    });
    served.chain(api).chain(pages).collect()
}
