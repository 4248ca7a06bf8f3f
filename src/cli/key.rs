//! `doorward key list|rotate`: the keys that sign and verify our tokens, and those that seal cookies.

use std::fmt::Write as _;

use clap::Subcommand;
use serde_json::json;

use super::migrate::failed;
use super::{Failure, Places, terminal, times};
use crate::clock::Clock;
use crate::config::Config;
use crate::keyring::{self, Keeper, KeyRing, KeyState, Listed, Rotated, SealingKeys, Serves, Source, Wish};
use crate::office::OfficeRuntime;
use crate::server;
use crate::store::Store;

/// What is to be done with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the keys: kid, algorithm, what for, where, state (next, active, retired) and times
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new key: published now, signing in a few minutes, the old one verifying until its last token has expired
    Rotate {
        /// The new key signs at once, and all old keys in the store are dropped with every token and cookie they made:
        /// for when a key was stolen. People stay logged in where they hold a refresh token
        #[arg(long)]
        now: bool,
    },
}

/// Runs it.
pub fn run(places: &Places, command: &Command) -> Result<(), Failure> {
    let config = places.load()?.config;
    let office = OfficeRuntime::start()?;
    let text = office.block_on(async {
        let store = server::open_store(&config).await?;
        match command {
            Command::List { json } => list(&config, &*store, *json).await,
            Command::Rotate { now } => rotate(&config, &*store, *now).await,
        }
    })?;
    terminal::print(&text)
}

/// The keys of our own tokens, as a gateway with this configuration has them. Nothing is made or turned.
pub async fn ring(config: &Config, store: &dyn Store) -> Result<KeyRing, Failure> {
    let ring = KeyRing::new();
    let keeper = keeper(config, ring.clone())?;
    keeper.read(store).await.map_err(unusable)?;
    Ok(ring)
}

fn keeper(config: &Config, ring: KeyRing) -> Result<Keeper, Failure> {
    Keeper::new(config.tokens.keys(), ring, SealingKeys::default(), Clock::system()).map_err(unusable)
}

fn unusable(error: keyring::Error) -> Failure {
    let hint = server::key_hint(&error);
    Failure::run("the keys cannot be used", error, hint)
}

async fn list(config: &Config, store: &dyn Store, json: bool) -> Result<String, Failure> {
    let stored = store.keys().await.map_err(|error| failed(&error))?;
    let own = keeper(config, KeyRing::new())?.own().map_err(unusable)?;
    let now = Clock::system().unix_millis();
    let keys = keyring::list(&own, &stored, config.tokens.algorithm, now);
    if json { as_json(&keys) } else { Ok(as_table(&keys)) }
}

async fn rotate(config: &Config, store: &dyn Store, at_once: bool) -> Result<String, Failure> {
    let since = Clock::system().unix_millis();
    let wish = match at_once {
        true => Wish::Now { since },
        false => Wish::Rotate,
    };
    // The store says better than a failed rotation that its schema is missing.
    store.keys().await.map_err(|error| failed(&error))?;
    let keeper = keeper(config, KeyRing::new())?;
    let rotated = keeper.rotate(store, wish).await.map_err(unusable)?;
    let now = Clock::system().unix_millis();
    let keys = keyring::list(&[], &rotated.stored, config.tokens.algorithm, now);
    Ok(told(config, &rotated, &keys, at_once, now))
}

/// What happens when.
fn told(config: &Config, rotated: &Rotated, keys: &[Listed], at_once: bool, now: i64) -> String {
    let mut text = String::new();
    match (config.tokens.keys().source, at_once) {
        (Source::Store, _) => {}
        (Source::Files(_), _) => {
            text.push_str("Tokens are signed with tokens.key_files: put a new file first there, and restart.\n");
        }
        (Source::Secret(_), _) => {
            text.push_str("Tokens are signed with tokens.secret_file: put a new secret there, and restart.\n");
        }
        (Source::Nowhere, _) => {
            text.push_str("Tokens are signed with the SECRET_KEY of the Flask server: put a new one into compat.secret_file and the old one's file into compat.older_secret_files, and restart.\n");
        }
    }
    if at_once && !rotated.made.is_empty() {
        text.push_str("All older keys in the store are dropped, with every token and cookie they made.\n");
    }
    for key in keys {
        let made = rotated.made.contains(&key.id);
        if let Some(line) = line(key, made, now) {
            writeln!(text, "{line}").ok();
        }
    }
    if rotated.made.is_empty() {
        text.push_str("No key was made: a rotation is under way already.\n");
    }
    text.push_str("Running gateways follow within a second.\n");
    text
}

fn line(key: &Listed, made: bool, now: i64) -> Option<String> {
    let (what, does) = match key.serves {
        Serves::Tokens => (format!("{} key {}", key.algorithm, key.id), "signs"),
        Serves::Cookies => (format!("cookie key {}", key.id), "seals"),
    };
    let at = |time: i64| format!("{} ({})", times::or_dash(Some(time)), times::distance(time, now));
    let new = if made { "new: " } else { "" };
    match key.state {
        KeyState::Next => Some(format!(
            "{new}{what} is published and {does} from {}",
            at(key.sign_from?)
        )),
        KeyState::Active if made => Some(format!("{new}{what} {does} now")),
        KeyState::Active | KeyState::Retired => Some(format!("old: {what} counts until {}", at(key.verify_until?))),
        KeyState::Unpublished => None,
    }
}

fn as_table(keys: &[Listed]) -> String {
    if keys.is_empty() {
        return "No keys yet: the gateway makes the first ones when it starts.\n".to_owned();
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            [
                key.id.clone(),
                key.algorithm.clone(),
                key.serves.as_str().to_owned(),
                place(key).to_owned(),
                key.state.as_str().to_owned(),
                times::or_dash(key.publish_at),
                times::or_dash(key.sign_from),
                times::or_dash(key.verify_until),
            ]
        })
        .collect();
    let head = [
        "KID",
        "ALGORITHM",
        "FOR",
        "KEPT",
        "STATE",
        "PUBLISHED",
        "SIGNS FROM",
        "VERIFIES UNTIL",
    ];
    terminal::table(head, &rows)
}

/// Where it is kept.
fn place(key: &Listed) -> &'static str {
    match (key.stored, key.sealed) {
        (false, _) => "file",
        (true, false) => "store",
        (true, true) => "sealed",
    }
}

fn as_json(keys: &[Listed]) -> Result<String, Failure> {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| {
            json!({
                "kid": key.id,
                "algorithm": key.algorithm,
                "for": key.serves.as_str(),
                "kept": place(key),
                "state": key.state.as_str(),
                "publish_at": key.publish_at.and_then(times::rfc3339),
                "sign_from": key.sign_from.and_then(times::rfc3339),
                "verify_until": key.verify_until.and_then(times::rfc3339),
            })
        })
        .collect();
    terminal::json(&keys)
}
