//! `doorward probe URL`: plays the attacks on trust boundaries from outside through the operator's own chain of proxies against an
//! echo backend, and says what a client could smuggle through and which line closes each hole.

mod advice;
mod attacks;
mod begin;
mod client;
mod echo;
mod h2;
mod hosts;
mod message;
mod over_h2;
mod pace;
mod paths;
mod play;
mod public;
mod report;
mod talk;
mod unchecked;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use url::Url;

use self::advice::Consumer;
use self::client::{Chain, Manner};
use self::play::Probe;
use self::public::Public;
use super::{Failure, Places, terminal};

/// No more identity headers are tried: each costs many requests.
const MOST_HEADERS: usize = 16;

/// What may be chosen.
#[derive(Debug, Args)]
pub struct Options {
    /// A protected URL of the chain, whose upstream is the echo backend for the time of the probe
    #[arg(value_name = "URL", required_unless_present = "echo")]
    url: Option<Url>,
    /// Serve the echo backend on this address instead, until Ctrl-C
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "url")]
    echo: Option<SocketAddr>,
    /// A token with which the URL is let through
    #[arg(long, value_name = "JWT", conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with that token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A path that needs no credentials and leads to the echo backend too, or a URL of another host that needs none
    #[arg(long, value_name = "PATH|URL")]
    public: Option<String>,
    /// An identity header that the backend believes; repeatable [default: those of the configuration]
    #[arg(long, value_name = "NAME")]
    identity_header: Vec<String>,
    /// Whose lines to print [default: guessed from the answers, else everybody's]
    #[arg(long, value_name = "NAME")]
    consumer: Option<Consumer>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Believe any certificate
    #[arg(long)]
    insecure: bool,
    /// The authorities to believe, as PEM, instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Where a host is, instead of what DNS says; repeatable
    #[arg(long, value_name = "HOST:PORT:ADDRESS")]
    resolve: Vec<String>,
    /// How many seconds the whole play may take; what was not played by then is told
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time_limit: u64,
}

/// Runs it: done when no hole was found.
pub fn run(places: &Places, options: &Options) -> Result<(), Failure> {
    if let Some(address) = options.echo {
        return echo::serve(address);
    }
    let usage = |what: &str| Failure::usage(what, "doorward probe https://shop.example.com/orders --token-file FILE");
    let url = options.url.as_ref().ok_or_else(|| usage("the URL is missing"))?;
    let identity = identity(places, options)?;
    let token = token(options)?;
    let manner = Manner {
        insecure: options.insecure,
        ca: options.ca.as_deref(),
        resolve: &options.resolve,
    };
    let public = options.public.as_deref();
    let public = public.map(|text| Public::find(text, url, &manner)).transpose()?;
    let probe = Probe {
        chain: Chain::find(url, &manner)?,
        target: target(url),
        token,
        public,
        identity,
        canary: canary()?,
        patience: Duration::from_secs(options.time_limit),
    };
    let report = probe.run(options.consumer)?;
    terminal::print(&match options.json {
        true => format!("{}\n", report.json(url.as_str())),
        false => report.text(url.as_str()),
    })?;
    match report.is_clean() {
        true => Ok(()),
        false => Err(Failure::Told(ExitCode::from(1))),
    }
}

/// The path and query.
fn target(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn identity(places: &Places, options: &Options) -> Result<Vec<String>, Failure> {
    if options.identity_header.is_empty() {
        let names = places.read()?.config.identity;
        let names = [names.user, names.id, names.roles, names.email];
        return Ok(names
            .into_iter()
            .flatten()
            .map(|name| canonical(name.as_str()))
            .collect());
    }
    if options.identity_header.len() > MOST_HEADERS {
        return Err(Failure::usage(
            format!("more than {MOST_HEADERS} identity headers"),
            "probe those that the backend believes; the others in another run",
        ));
    }
    for name in &options.identity_header {
        http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Failure::usage(
                format!("--identity-header {name:?} is no name of a header"),
                "such as X-User",
            )
        })?;
    }
    Ok(options.identity_header.clone())
}

/// `X-User-Id`, as people write it.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

fn token(options: &Options) -> Result<Option<String>, Failure> {
    let token = match (&options.token, &options.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("{}: {error}", file.display()), "give a file with a token"))?,
        (None, None) => return Ok(None),
    };
    let token = token.trim();
    let good = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    match good {
        true => Ok(Some(token.to_owned())),
        false => Err(Failure::usage("the token is none", "give a JWT, or an API key, alone")),
    }
}

/// A value that nobody else makes.
fn canary() -> Result<String, Failure> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| Failure::run("no randomness", error, "the system must give some"))?;
    Ok(format!("dwprobe{:08x}", u32::from_be_bytes(bytes)))
}
