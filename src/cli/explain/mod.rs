//! `doorward explain`: why a request is let pass or refused, without sending it.

mod against;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{Failure, Places, desk, terminal, token};
use crate::account::Which;
use crate::authn;
use crate::clock::Clock;
use crate::config::{Config, Listener, Protocol};
use crate::explain::{Address, made_up};
use crate::gateway::{self, Shows, Trial};
use crate::office::OfficeRuntime;
use crate::principal::{CredentialKind, Person, Roles, UserId};
use crate::server;
use crate::session::CookieName;
use crate::token::Error;
use crate::wire;

/// The client where none is named: an address of documentation (RFC 5737), which is in nobody's network.
const SOME_CLIENT: &str = "192.0.2.1";
/// The host where none is named.
const SOME_HOST: &str = "localhost";

/// What is to be explained.
#[derive(Debug, Args)]
#[command(
    override_usage = "doorward explain <METHOD> <URL> [OPTIONS]\n       doorward explain --against <FILE> [--json]"
)]
pub struct Options {
    /// The method
    #[arg(required_unless_present = "against", requires = "url")]
    method: Option<String>,
    /// The URL, as https://shop.example.com/orders; a path alone is asked for on localhost
    #[arg(required_unless_present = "against")]
    url: Option<String>,
    /// As this user of the store, with the roles in force
    #[arg(long, value_name = "NAME", group = "who")]
    user: Option<String>,
    /// With this token, verified against this configuration
    #[arg(long, value_name = "JWT", group = "who")]
    token: Option<String>,
    /// As somebody with these roles, with commas between them ("" for none)
    #[arg(long, value_name = "A,B", group = "who")]
    roles: Option<String>,
    /// What --user or --roles shows, instead of whatever counts
    #[arg(long, value_name = "KIND", conflicts_with = "token", requires = "who")]
    credential: Option<Kind>,
    /// The client's address [default: 192.0.2.1, which is in nobody's network]
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// The client shows a certificate of tls.client_ca
    #[arg(long)]
    client_certificate: bool,
    /// A header of the request, such as 'Accept: text/html'; repeatable
    #[arg(long, value_name = "N: V")]
    header: Vec<String>,
    /// Decide again what this JSON access log holds ("-": standard input), and list what would change
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "url", "who", "client", "client_certificate", "header"])]
    against: Option<PathBuf>,
    /// How many examples of each change are listed
    #[arg(long, value_name = "N", default_value_t = 5, requires = "against")]
    examples: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Kinds of credentials that somebody made up can show.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Bearer,
    Session,
    ApiKey,
    Ticket,
}

/// Runs it.
pub fn run(places: &Places, options: &Options) -> Result<ExitCode, Failure> {
    let config = places.load()?.config;
    let office = OfficeRuntime::start()?;
    let snapshot = server::trial_snapshot(&config, office.office()).map_err(|error| Failure::Unusable(vec![error]))?;
    if let Some(file) = &options.against {
        return against::run(&snapshot, file, options.examples, options.json);
    }
    let mut notes = Vec::new();
    let mut trial = described(options)?;
    // As the server makes it.
    trial.bounds = wire::Settings::new(config.limits.header_bytes).unwrap_or_default();
    trial.cookie = CookieName::new(config.cookies.domain.clone());
    trial.redirects = redirects(&config.listeners);
    trial.shows = office.block_on(shows(&config, options, &mut notes))?;
    let mut explanation = gateway::explain(&snapshot, &trial);
    explanation.notes.extend(notes);
    let text = match options.json {
        true => terminal::json(&explanation)?,
        false => explanation.to_text(),
    };
    terminal::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn described(options: &Options) -> Result<Trial, Failure> {
    let text = options.method.as_deref().unwrap_or_default();
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| {
        let what = format!("{} is no method", terminal::shown(text));
        Failure::usage(
            what,
            "the method stands first: doorward explain GET https://shop.example.com/orders",
        )
    })?;
    let url = options.url.as_deref().unwrap_or_default();
    let address = Address::parse(url).map_err(|error| {
        let what = format!("{}: {error}", terminal::shown(url));
        Failure::usage(what, "write it as https://shop.example.com/orders, or a path alone")
    })?;
    Ok(Trial {
        method,
        address,
        default_host: SOME_HOST.to_owned(),
        headers: headers(&options.header)?,
        client: match options.client {
            Some(client) => client,
            None => SOME_CLIENT
                .parse()
                .map_err(|error| Failure::run("there is no client", error, "name one with --client"))?,
        },
        certificate: options.client_certificate,
        redirects: None,
        shows: Shows::Nothing,
        bounds: wire::Settings::default(),
        cookie: CookieName::default(),
    })
}

fn headers(fields: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for field in fields {
        // What is malformed may be a secret in the wrong place, and values are secrets often: none of it is told.
        let malformed = |what: &str| Failure::usage(format!("a --header is none: {what}"), "write it as 'Name: value'");
        let (name, value) = field.split_once(':').ok_or_else(|| malformed("it has no colon"))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| malformed("what stands before its colon is no name"))?;
        let value = HeaderValue::from_str(value.trim())
            .map_err(|_| malformed(&format!("the value of {name} holds what none may hold")))?;
        if name == header::HOST {
            return Err(Failure::usage(
                "Host is not given with --header",
                "the URL says which host it is",
            ));
        }
        if name == header::AUTHORIZATION {
            return Err(Failure::usage(
                "a credential is not given with --header",
                "give a JWT with --token, so that it is verified; for an API key or a password, --user or --roles says whose it is, and \
                 --credential what it is",
            ));
        }
        headers.append(name, value);
    }
    Ok(headers)
}

/// Where what comes in the clear goes: to https, where no listener serves it and one leads there.
fn redirects(listeners: &[Listener]) -> Option<u16> {
    let clear = |listener: &&Listener| listener.protocol == Protocol::Http;
    if listeners.iter().any(|listener| clear(&listener)) {
        return None;
    }
    listeners.iter().find_map(|listener| match listener.protocol {
        Protocol::Redirect { https_port } => Some(https_port),
        Protocol::Https | Protocol::Http => None,
    })
}

async fn shows(config: &Config, options: &Options, notes: &mut Vec<String>) -> Result<Shows, Failure> {
    let kind = options.credential.map(|kind| match kind {
        Kind::Bearer => CredentialKind::Bearer,
        Kind::Session => CredentialKind::Session,
        Kind::ApiKey => CredentialKind::ApiKey,
        Kind::Ticket => CredentialKind::Ticket,
    });
    if let Some(name) = &options.user {
        return Ok(Shows::Person(Box::new(user(config, name).await?), kind));
    }
    if let Some(roles) = &options.roles {
        let roles: Roles = desk::roles(roles).into_iter().collect();
        return Ok(Shows::Person(Box::new(made_up("somebody", roles)), kind));
    }
    let Some(text) = &options.token else {
        return Ok(Shows::Nothing);
    };
    let text = token::bare(text)?;
    if authn::holds_api_key(&authn::Shown::Bearer(text)) {
        return Err(Failure::usage(
            "--token takes a JWT, and this is an API key",
            "doorward explain … --user NAME --credential api-key explains what its owner's key may do",
        ));
    }
    let looked = token::look(config, text, Clock::system().unix_millis()).await?;
    Ok(match looked.person() {
        Ok(person) => Shows::Token(text.to_owned(), Box::new(person)),
        Err(error) => {
            // What the running gateway's store would say is not known here: no explanation would be true.
            if matches!(error, Error::NotReady | Error::NotIdentified(_)) {
                desk::is_there(config)?;
            }
            notes.push(format!("the token is not good: {error}; {}", looked.hint(&error, text)));
            // What only a fetch could tell has been fetched.
            let error = match error {
                Error::KeyNotFetched => Error::UnknownKey,
                error => error,
            };
            Shows::Bad(text.to_owned(), authn::fault(&error))
        }
    })
}

/// A user of the store, with the roles in force.
async fn user(config: &Config, name: &str) -> Result<Person, Failure> {
    desk::is_there(config)?;
    let (desk, _) = desk::open(config).await?;
    let account = desk
        .show(Which::Name(name))
        .await
        .map_err(|error| desk::failed("the user cannot be looked up", error))?;
    if !account.active {
        return Err(Failure::run(
            format!("{} may not come in", terminal::shown(name)),
            "the user is deactivated",
            "doorward user activate lets them in again; --roles a,b asks for somebody made up",
        ));
    }
    Ok(Person {
        subject: account.id.to_string(),
        user: Some(UserId(account.id)),
        email: account.email.filter(|_| account.email_verified),
        ..made_up(&account.username, account.roles.into_iter().collect())
    })
}
