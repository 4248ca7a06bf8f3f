//! `doorward token revoke`: tokens of another issuer, or one of our own, count no more. Acts on every replica within a second.

use std::time::Duration;

use clap::Args;

use super::{Failure, Places, migrate, terminal, times};
use crate::clock::Clock;
use crate::config::Config;
use crate::office::OfficeRuntime;
use crate::server;
use crate::store::{Ban, Banned};
use crate::token::praetorian::name_of;

/// Whose tokens, and for how long.
#[derive(Debug, Args)]
pub struct Options {
    /// The issuer (`iss`), one of tokens.trusted_issuers; with --jti also none, or our own: one of this gateway's tokens
    #[arg(long, value_name = "ISSUER", required_unless_present = "jti")]
    issuer: Option<String>,
    /// All tokens of this subject (`sub`) that were issued up to now
    #[arg(
        long,
        value_name = "SUBJECT",
        required_unless_present = "jti",
        conflicts_with = "jti"
    )]
    sub: Option<String>,
    /// The one token of this id (`jti`)
    #[arg(long, value_name = "ID")]
    jti: Option<String>,
    /// For how long: at least as long as the issuer's tokens live
    #[arg(long = "for", value_name = "DURATION", default_value = "30d", value_parser = humantime::parse_duration)]
    lasts: Duration,
}

/// Runs it.
pub fn run(places: &Places, options: Options) -> Result<(), Failure> {
    let config = places.load()?.config;
    check(&config, &options)?;
    let banned = match (options.sub, options.jti) {
        (Some(subject), _) => Banned::Subject(subject),
        (None, Some(id)) => Banned::Token(id),
        (None, None) => return Err(Failure::usage("no token is named", "give --sub or --jti")),
    };
    let others = options.issuer.filter(|issuer| *issuer != config.tokens.issuer);
    let (ban, lasts) = match (others, banned) {
        (None, Banned::Token(id)) => (
            Ban::of_ours(&name_of(&id)),
            options.lasts.max(config.tokens.longest_token()),
        ),
        (issuer, banned) => {
            let issuer = issuer.unwrap_or_default();
            (Ban { issuer, banned }, options.lasts)
        }
    };
    let now = Clock::system().unix_millis();
    let until = now.saturating_add(i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX));
    let office = OfficeRuntime::start()?;
    office.block_on(async {
        let store = server::open_store(&config).await?;
        let written = store.ban(&ban, now, until).await;
        written.map_err(|error| migrate::failed(&error))
    })?;
    let (what, name) = match &ban.banned {
        Banned::Subject(subject) => ("all tokens issued up to now to", subject),
        Banned::Token(id) => ("the token", id),
    };
    terminal::print(&format!(
        "revoked {what} {} of {} until {}\n",
        terminal::shown(name),
        match ban.issuer.is_empty() {
            true => "this gateway".to_owned(),
            false => terminal::shown(&ban.issuer),
        },
        times::or_dash(Some(until))
    ))
}

/// A revocation that can never act must not look like one that does.
fn check(config: &Config, options: &Options) -> Result<(), Failure> {
    let mut trusted = config.tokens.trusted_issuers.iter().map(|trusted| &trusted.issuer);
    let ours = options
        .issuer
        .as_ref()
        .is_none_or(|issuer| *issuer == config.tokens.issuer);
    if ours && options.sub.is_some() {
        return Err(Failure::usage(
            "all tokens of a user of this gateway are not revoked here",
            "doorward session list, then doorward session revoke; or doorward user deactivate, then activate",
        ));
    }
    if let Some(name) = options.issuer.as_ref().filter(|_| !ours)
        && !trusted.any(|issuer| issuer == name)
    {
        let what = format!("no trusted issuer is called {}", terminal::shown(name));
        return Err(Failure::usage(
            what,
            "write it as tokens.trusted_issuers does, to the letter",
        ));
    }
    // A name that is empty, or that no text of the store's can hold, is nobody's.
    let names = [&options.sub, &options.jti].into_iter().flatten();
    if names.clone().any(|name| name.is_empty() || name.contains('\0')) {
        return Err(Failure::usage(
            "the name is empty",
            "give the sub or jti claim of the token",
        ));
    }
    if options.lasts < Duration::from_secs(1) {
        return Err(Failure::usage(
            "--for is too short",
            "give a duration such as 12h or 30d",
        ));
    }
    Ok(())
}
