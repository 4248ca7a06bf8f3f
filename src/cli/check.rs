//! `doorward check`: reads the configuration as `serve` would and says everything that is wrong with it; starts nothing.

use std::fmt::Write as _;

use super::{Failure, Places, terminal};
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::server::{self, Findings, Lost};

/// Runs it.
pub fn run(places: &Places) -> Result<(), Failure> {
    let loaded = places.load()?;
    let findings = server::verify(&loaded.config, &Clock::system());
    for warning in &findings.warnings {
        eprintln!("warning: {warning}");
    }
    if !findings.problems.is_empty() {
        return Err(Failure::Unusable(findings.problems));
    }
    terminal::print(&told(&loaded, &findings))
}

fn told(loaded: &Loaded, findings: &Findings) -> String {
    let Config {
        listeners,
        routes,
        upstreams,
        ..
    } = &loaded.config;
    let mut text = String::new();
    for lost in &findings.lost {
        text.push_str(&told_lost(lost, routes.iter().all(|route| route.hosts.is_empty())));
    }
    for url in &findings.unfetched {
        writeln!(
            text,
            "not fetched here: the keys at {url}; `doorward token inspect` fetches them\n"
        )
        .ok();
    }
    let files: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
    let read = match files.is_empty() {
        true => "no file; built-in defaults and the environment".to_owned(),
        false => files.join(", "),
    };
    let warnings = loaded.warnings.len() + findings.warnings.len();
    writeln!(text, "configuration: {read}").ok();
    let parts = [
        (listeners.len(), "listener"),
        (upstreams.len(), "upstream"),
        (routes.len(), "route"),
    ];
    let parts: Vec<_> = parts.into_iter().chain([(warnings, "warning")]).map(counted).collect();
    if let tests @ 1.. = loaded.config.policy_tests.len() {
        writeln!(text, "policy tests: {} passed", tests).ok();
    }
    writeln!(text, "The configuration is good: {}.", parts.join(", ")).ok();
    text
}

fn counted((number, name): (usize, &str)) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {name}{plural}")
}

fn told_lost(lost: &Lost, no_hosts: bool) -> String {
    let host = match &lost.host {
        Some(host) => format!("on {host}"),
        None if no_hosts => "on every host".to_owned(),
        None => "on every other host".to_owned(),
    };
    format!(
        "{host}, the gateway itself answers what route \"{}\" ({}) would have got:\n  {}\n",
        lost.route,
        lost.path,
        lost.urls.join("\n  ")
    )
}
