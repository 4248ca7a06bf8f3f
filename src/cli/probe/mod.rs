//! `doorward probe URL`: plays the attacks on trust boundaries from outside through the operator's own chain of proxies against an
//! echo backend, and says what a client could smuggle through and which line closes each hole.

mod advice;
mod attacks;
mod client;
mod echo;
mod message;
mod paths;
mod report;
mod talk;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use url::Url;

use self::advice::Consumer;
use self::attacks::{Hole, Kind, Play, Stage};
use self::client::{Chain, Manner, Outcome, Request};
use self::report::Report;
use super::{Failure, Places, terminal};

/// The whole play takes no longer; what was not played by then is told.
const WHOLE: Duration = Duration::from_secs(300);

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
    /// A path that needs no credentials and leads to the echo backend too
    #[arg(long, value_name = "PATH")]
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
    if options.public.as_ref().is_some_and(|path| !is_path(path)) {
        return Err(usage("--public wants a path that begins with a slash"));
    }
    let manner = Manner {
        insecure: options.insecure,
        ca: options.ca.as_deref(),
        resolve: &options.resolve,
    };
    let probe = Probe {
        chain: Chain::find(url, &manner)?,
        target: target(url),
        token,
        public: options.public.as_deref(),
        identity,
        canary: canary()?,
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

struct Probe<'a> {
    chain: Chain,
    target: String,
    token: Option<String>,
    public: Option<&'a str>,
    identity: Vec<String>,
    canary: String,
}

impl Probe<'_> {
    fn run(&self, consumer: Option<Consumer>) -> Result<Report, Failure> {
        let begun = Instant::now();
        let mut report = Report::default();
        let (stages, refused) = self.stages(&mut report)?;
        if !refused {
            self.tell_open(&stages, &mut report);
        }
        let mut plays: Vec<Play> = Vec::new();
        for stage in &stages {
            plays.extend(attacks::on_stage(stage, &self.identity, &self.canary));
        }
        let real = stages.iter().find(|stage| stage.request.target == self.target);
        if refused {
            let Chain { authority, secure, .. } = &self.chain;
            plays.extend(talk::against(
                &self.target,
                self.public,
                authority,
                *secure,
                &self.canary,
            ));
        }
        if refused && let Some(real) = real {
            self.find_believed(real, &mut report);
        }
        for play in &plays {
            if begun.elapsed() > WHOLE {
                report.incomplete(format!("{} ({}): the time was over", play.sent, play.place));
                continue;
            }
            let outcome = self.chain.send(&play.request);
            report.requests += 1;
            if let Outcome::Unknown(why) = &outcome {
                report.incomplete(format!("{} ({}): {why}", play.sent, play.place));
            }
            if let Some(saw) = attacks::judge(play, &outcome, real.map(|stage| stage.seen.target.as_str())) {
                attacks::add(&mut report.holes, play, saw);
            }
        }
        report.consumer = consumer.or_else(|| Consumer::guess(&stages.first()?.seen.answer));
        Ok(report)
    }

    /// The headers that a check believes although they are the client's: what is let through without is refused with them.
    fn find_believed(&self, let_through: &Stage, report: &mut Report) {
        let Chain { authority, secure, .. } = &self.chain;
        for (play, control) in talk::foreign(let_through, authority, *secure, &self.canary) {
            report.requests += 1;
            let refused = match self.chain.send(&play.request) {
                Outcome::Answered(answer) => answer.first,
                Outcome::Closed => "no answer".to_owned(),
                Outcome::Echoed(_) => continue,
                Outcome::Unknown(why) => {
                    report.incomplete(format!("{} ({}): {why}", play.sent, play.place));
                    continue;
                }
            };
            // Some refuse whoever sends the header at all: they believe nothing.
            report.requests += 1;
            if let Outcome::Echoed(_) = self.chain.send(&control) {
                let saw = format!(
                    "nothing: {refused}, where what names the request's own is let through, so the check believes it"
                );
                attacks::add(&mut report.holes, &play, saw);
            }
        }
    }

    /// What is open without a credential is a hole where the operator has a token for it, and where there is none, nobody knows.
    fn tell_open(&self, stages: &[Stage], report: &mut Report) {
        if self.token.is_none() {
            report.incomplete(
                "the URL needs no credentials, so whether anything is protected was not tried: give a protected URL, and the token of somebody who may pass (--token-file FILE)"
                    .to_owned(),
            );
            return;
        }
        let open = stages
            .iter()
            .find(|stage| stage.request.target == self.target && stage.request.fields.is_empty());
        if let Some(open) = open {
            report.holes.push(Hole {
                kind: Kind::NoCheck,
                sent: format!("GET {} ({})", self.target, open.name),
                saw: format!(
                    "the request for {}, though nobody showed a credential",
                    open.seen.target
                ),
                also: Vec::new(),
            });
            report.note("What talks a check past was not played: there is none. Probe again with it.");
        }
    }

    /// Where the backend is reached, and whether the target is refused without credentials.
    fn stages(&self, report: &mut Report) -> Result<(Vec<Stage>, bool), Failure> {
        let get = |target: &str, token: Option<&String>| Request {
            method: "GET",
            target: target.to_owned(),
            fields: token
                .iter()
                .map(|token| ("Authorization".to_owned(), format!("Bearer {token}")))
                .collect(),
            ..Request::default()
        };
        let mut stages = Vec::new();
        let mut enter = |name, request: Request| -> Outcome {
            report.requests += 1;
            let outcome = self.chain.send(&request);
            if let Outcome::Echoed(seen) = &outcome {
                let seen = seen.clone();
                stages.push(Stage { name, request, seen });
            }
            outcome
        };
        if self.token.is_some() {
            let outcome = enter("with the token", get(&self.target, self.token.as_ref()));
            unreached(&outcome, true)?;
        }
        let outcome = enter("without credentials", get(&self.target, None));
        let unknown = match &outcome {
            Outcome::Unknown(why) => Some(format!("the URL without credentials: {why}")),
            Outcome::Echoed(_) | Outcome::Answered(_) | Outcome::Closed => None,
        };
        let refused = !matches!(outcome, Outcome::Echoed(_));
        if self.token.is_none() {
            unreached(&outcome, false)?;
        }
        if let Some(path) = self.public {
            let outcome = enter("on the public path", get(path, None));
            if !matches!(outcome, Outcome::Echoed(_)) {
                report.note(&format!(
                    "{path} does not lead to the echo backend without credentials: headers were not tried there."
                ));
            }
        }
        if let Some(unknown) = unknown {
            report.incomplete(unknown);
        }
        Ok((stages, refused))
    }
}

/// Why the play cannot begin.
fn unreached(outcome: &Outcome, token: bool) -> Result<(), Failure> {
    let not = |cause: String, hint: &str| Err(Failure::run("the echo backend was not reached", cause, hint));
    let lead = "run `doorward probe --echo 127.0.0.1:9999` where the chain's upstream is, and lead the chain there for the time of the probe";
    match outcome {
        Outcome::Echoed(_) => Ok(()),
        Outcome::Closed => not(
            "the connection was closed without an answer".to_owned(),
            "is it the right scheme and port?",
        ),
        Outcome::Unknown(why) => not(
            why.clone(),
            "is the URL right? --resolve says where a host is, --ca or --insecure whom to believe",
        ),
        Outcome::Answered(answer) => {
            let status = answer.first.split(' ').nth(1).unwrap_or_default();
            let cause = format!("the chain answered {}", terminal::shown(&answer.first));
            match (status, token) {
                ("401" | "403", true) => not(
                    cause,
                    "the token is not let through here: give one that is; `doorward token inspect` says what is wrong with it",
                ),
                ("401" | "403", false) => not(cause, "give a token that is let through: --token-file FILE"),
                (redirect, false) if redirect.starts_with('3') => not(
                    cause,
                    "a login page, most likely: give a token that is let through, --token-file FILE",
                ),
                ("502" | "503" | "504", _) => not(cause, lead),
                (good, _) if good.starts_with('2') => not(format!("{cause}, and that is not the echo backend's"), lead),
                _ => not(cause, lead),
            }
        }
    }
}

/// The path and query.
fn target(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
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
