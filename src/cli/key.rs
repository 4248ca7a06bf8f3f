//! `doorward key list`: the keys that sign and verify our tokens.

use clap::Subcommand;
use serde_json::json;

use super::migrate::failed;
use super::{Failure, Places, terminal, times};
use crate::clock::Clock;
use crate::config::Config;
use crate::keyring::{self, Algorithm, KeyInfo, KeyRing};
use crate::office::OfficeRuntime;
use crate::server;
use crate::store::Store;

/// What is to be done with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the keys: kid, algorithm, state (next, active, retired) and times
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
pub fn run(places: &Places, command: &Command) -> Result<(), Failure> {
    let Command::List { json } = command;
    let config = places.load()?.config;
    let office = OfficeRuntime::start()?;
    let ring = office.block_on(async { ring(&config, &*server::open_store(&config).await?).await })?;
    let keys = ring.load().list(Clock::system().unix_millis());
    terminal::print(&if *json { as_json(&keys)? } else { as_table(&keys) })
}

/// The keys of our own tokens, as a gateway with this configuration has them.
pub async fn ring(config: &Config, store: &dyn Store) -> Result<KeyRing, Failure> {
    let unusable = |error| Failure::run("a signing key cannot be used", error, "see the cause");
    let ring = KeyRing::new();
    let keys = match (&config.tokens.secret, config.tokens.algorithm) {
        (Some(secret), Algorithm::Hs256) => keyring::from_secret(secret.expose()).map_err(unusable)?,
        _ => keyring::from_store(&store.keys().await.map_err(|error| failed(&error))?).map_err(unusable)?,
    };
    ring.publish(keys, config.tokens.algorithm);
    Ok(ring)
}

fn as_table(keys: &[KeyInfo]) -> String {
    if keys.is_empty() {
        return "No keys yet: the gateway makes the first one when it starts.\n".to_owned();
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let name = (
                key.id.clone(),
                key.algorithm.as_str().to_owned(),
                key.state.as_str().to_owned(),
            );
            let [published, signs] = [key.publish_at, key.sign_from].map(|at| times::or_dash(Some(at)));
            [
                name.0,
                name.1,
                name.2,
                published,
                signs,
                times::or_dash(key.verify_until),
            ]
        })
        .collect();
    terminal::table(
        ["KID", "ALGORITHM", "STATE", "PUBLISHED", "SIGNS FROM", "VERIFIES UNTIL"],
        &rows,
    )
}

fn as_json(keys: &[KeyInfo]) -> Result<String, Failure> {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| {
            json!({
                "kid": key.id,
                "algorithm": key.algorithm.as_str(),
                "state": key.state.as_str(),
                "publish_at": times::rfc3339(key.publish_at),
                "sign_from": times::rfc3339(key.sign_from),
                "verify_until": key.verify_until.and_then(times::rfc3339),
            })
        })
        .collect();
    terminal::json(&keys)
}
