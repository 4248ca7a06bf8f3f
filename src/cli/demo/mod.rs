//! `doorward demo`: the gateway in front of a sample backend, with nothing to set up.

mod backend;
mod guide;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use self::backend::Backend;
use self::guide::Person;
use super::migrate::failed;
use super::serve::{self, Signals};
use super::terminal::{self, Progress};
use super::{Failure, Places, desk};
use crate::account::{self, Administration, NewAccount, Which};
use crate::clock::Clock;
use crate::config::{self, Config, Problem, Protocol, Sources};
use crate::office::OfficeRuntime;
use crate::secret::Secret;
use crate::server::Server;
use crate::store::Location;
use crate::tls::Certificates;

/// Where the demo keeps its files, unless told otherwise.
const FOLDER: &str = "data/demo";

/// How long the store may take to be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// What may be chosen.
#[derive(Debug, Args)]
pub struct Options {
    /// The port of https; 0: any free one
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    https_port: u16,
    /// The port of plain HTTP; 0: any free one
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    http_port: u16,
    /// The port of metrics and health; 0: any free one
    #[arg(long, value_name = "PORT", default_value_t = 9100)]
    admin_port: u16,
}

/// Runs it until Ctrl-C or SIGTERM.
pub fn run(places: &Places, options: &Options) -> Result<(), Failure> {
    let office = OfficeRuntime::start()?;
    let result = office.block_on(async {
        let signals = Signals::listen()?;
        let progress = Progress::start("starting");
        let listeners = listeners(options)?;
        let backend = Backend::start().await?;
        let sources = sources(places, &configuration(&listeners, options, backend.address()));
        let (config, warnings) = load(&sources)?;
        let logging = serve::start_logging(&config)?;
        serve::warn(&warnings, &logging);
        let people = make_people(&config).await?;
        let described = config.clone();
        let server = Server::start(config, office.office(), Some(Arc::clone(&logging)), Clock::system()).await?;
        wait_until_ready(&server).await?;
        drop(progress);
        terminal::print(&introduction(&server, &described, &people))?;
        signals.obeyed_by(server, &sources).await?;
        backend.stop();
        terminal::print("Stopped.\n")
    });
    office.stop(Duration::from_secs(2));
    result
}

/// The addresses of `localhost` that there are, all of them free.
fn listeners(options: &Options) -> Result<Vec<(SocketAddr, &'static str)>, Failure> {
    let mut listeners = Vec::new();
    for (port, protocol, option) in [
        (options.https_port, "https", "--https-port"),
        (options.http_port, "http", "--http-port"),
    ] {
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        if port != 0 {
            // Programs may try this one first for `localhost`. Any free port would be another one here than there.
            addresses.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
        }
        for ip in addresses {
            let address = SocketAddr::new(ip, port);
            match TcpListener::bind(address) {
                Ok(_) => listeners.push((address, protocol)),
                Err(error) if ip.is_ipv6() && error.kind() != ErrorKind::AddrInUse => {}
                Err(error) => return Err(taken(address, &error, option)),
            }
        }
    }
    let admin = admin_address(options);
    TcpListener::bind(admin).map_err(|error| taken(admin, &error, "--admin-port"))?;
    Ok(listeners)
}

fn admin_address(options: &Options) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, options.admin_port))
}

fn taken(address: SocketAddr, error: &std::io::Error, option: &str) -> Failure {
    let hint = format!("stop what listens there, or choose another port: doorward demo {option} 0 (any free one)");
    Failure::run(format!("cannot listen on {address}"), error, hint)
}

fn configuration(listeners: &[(SocketAddr, &str)], options: &Options, backend: SocketAddr) -> String {
    let listeners: String = listeners
        .iter()
        .map(|(address, protocol)| format!("[[listeners]]\naddress = \"{address}\"\nprotocol = \"{protocol}\"\n"))
        .collect();
    let admin = admin_address(options);
    let issuer = match options.https_port {
        0 => "https://localhost".to_owned(),
        port => format!("https://localhost:{port}"),
    };
    format!(
        r#"
{listeners}
[admin]
address = "{admin}"
[tokens]
issuer = "{issuer}"
[accounts]
registration = "open"
[log]
level = "warn"
[timeouts]
drain = "2s"

[[upstreams]]
name = "sample"
servers = ["http://{backend}"]

[[routes]]
name = "app"
path = "/app"
roles_any = ["user"]
upstream = "sample"

[[routes]]
name = "app-admin"
path = "/app/admin"
roles_any = ["admin"]
upstream = "sample"
"#
    )
}

/// Files that are named come above the demo's own; what a platform says about stores and ports is not meant for it.
fn sources(places: &Places, text: &str) -> Sources {
    let mut sources = Sources::from_str("the demo's configuration", text);
    sources.files.clone_from(&places.config);
    sources.data_dir = Some(places.data_dir.clone().unwrap_or_else(|| PathBuf::from(FOLDER)));
    sources.env = super::common::environment();
    for platform in ["DATABASE_URL", "PORT"] {
        sources.env.remove(platform);
    }
    sources
}

fn load(sources: &Sources) -> Result<(Config, Vec<Problem>), Failure> {
    let loaded = config::load(sources).map_err(Failure::Configuration)?;
    // It sets passwords: never in a store that serves somebody.
    match &loaded.config.store.location {
        Location::Sqlite(path) if path.starts_with(&loaded.config.data_dir) => Ok((loaded.config, loaded.warnings)),
        Location::Sqlite(_) | Location::Postgres { .. } => Err(Failure::usage(
            "the demo works on an embedded store of its own only",
            "leave store.url (DOORWARD_STORE__URL) out, or use `doorward serve`",
        )),
    }
}

/// `alice` and `root`, with new passwords.
async fn make_people(config: &Config) -> Result<Vec<Person>, Failure> {
    let mut people = Vec::new();
    for (name, roles) in [("alice", "user"), ("root", "user,admin,doorward-admin")] {
        people.push(Person {
            name,
            roles,
            password: random_password()?,
        });
    }
    let mut config = config.clone();
    config.passwords.max_concurrent = NonZeroUsize::new(people.len()).unwrap_or(NonZeroUsize::MIN);
    let (desk, store) = desk::open(&config).await?;
    store.migrate(&|_| {}).await.map_err(|error| failed(&error))?;
    let desk = Arc::new(desk);
    // Both at once: a hash takes its time, and the first answer is wanted soon.
    let setting: Vec<_> = people
        .iter()
        .map(|person| tokio::spawn(set(Arc::clone(&desk), person.clone())))
        .collect();
    for done in setting {
        let broken = |error| Failure::run("the users of the demo cannot be made", error, "see the cause");
        done.await.map_err(broken)??;
    }
    Ok(people)
}

/// Makes the user, or gives the one from an earlier start this password and these roles.
async fn set(desk: Arc<Administration>, person: Person) -> Result<(), Failure> {
    let password = Secret::new(person.password);
    let roles = desk::roles(person.roles);
    let which = Which::Name(person.name);
    let done = match desk.show(which).await {
        Err(account::Error::NoSuchUser) => {
            let new = NewAccount {
                username: person.name.to_owned(),
                password,
                roles,
                email: None,
                active: true,
            };
            desk.add(new).await.map(drop)
        }
        Err(error) => Err(error),
        Ok(_) => match (
            desk.set_password(which, password).await,
            desk.set_roles(which, &roles).await,
        ) {
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(_), Ok(_)) => desk.set_active(which, true).await.map(drop),
        },
    };
    done.map_err(|error| desk::failed("the users of the demo cannot be made", error))
}

/// 80 random bits, in letters and digits that are not taken for one another.
fn random_password() -> Result<String, Failure> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::run("no randomness", error, "the system must give some"))?;
    // 32 divides 256: every character is as likely as any other.
    Ok(bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect())
}

async fn wait_until_ready(server: &Server) -> Result<(), Failure> {
    let begun = Instant::now();
    while !server.is_ready() {
        if begun.elapsed() > PATIENCE {
            let hint = "is the folder of the demo on a disk that is full or read-only?";
            return Err(Failure::run(
                "the demo is not ready",
                "its store could not be read",
                hint,
            ));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn introduction(server: &Server, config: &Config, people: &[Person]) -> String {
    let url = |scheme: &str, wanted: Protocol| {
        let mut listening = config.listeners.iter().zip(server.addresses());
        let (_, address) = listening.find(|(listener, _)| listener.protocol == wanted)?;
        Some(format!("{scheme}://localhost:{}", address.port()))
    };
    let certificate = match &config.tls.certificates {
        Certificates::SelfSigned(folder) => Some(folder.join("localhost.pem")),
        Certificates::Files(_) | Certificates::Unused => None,
    };
    let places = guide::Places {
        https: url("https", Protocol::Https),
        http: url("http", Protocol::Http),
        admin: server.admin_address(),
        certificate: certificate.as_deref().map(Path::as_ref),
    };
    guide::text(&places, people)
}
