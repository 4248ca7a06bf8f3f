//! From a URL to a connection.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::Error;
use super::error::{Failure, Harm};
use super::tls::{Verification, client_config};
use crate::secret::Secret;

/// Makes connections to one database, by one URL.
#[derive(Clone)]
pub(in super::super) struct Connector {
    /// All hosts, as the pool knows them.
    pub(super) config: Config,
    /// Each host alone, in the order of the URL.
    hosts: Arc<[Config]>,
    tls: MakeRustlsConnect,
    /// How long a host that is not the last may take, all in all.
    share: Duration,
    timeout: Duration,
}

/// A connection, and what drives it.
type Opened = (
    Client,
    Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
);

/// The longest that one address of several may keep us waiting: the others must have their turn within the deadline of
/// a call.
const ALL_ADDRESSES: Duration = Duration::from_millis(1500);

impl Connector {
    /// Reads the URL: all that libpq's means that makes sense here. Several hosts are tried in order until one takes
    /// writes.
    pub(in super::super) fn new(
        url: &Secret<String>,
        password: Option<&Secret<String>>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let parts = split(url.expose())?;
        let config = parse(parts.rest.expose())?;
        let count = config.get_hosts().len().max(config.get_hostaddrs().len());
        if count == 0 {
            return Err(Error::Refused("store.url names no host".to_owned()));
        }
        let share = timeout.min(ALL_ADDRESSES / u32::try_from(count).unwrap_or(u32::MAX));
        let complete = |mut config: Config| {
            if let Some(password) = password {
                config.password(password.expose());
            }
            config.ssl_mode(parts.mode);
            if config.get_application_name().is_none() {
                config.application_name("doorward");
            }
            if count > 1 && !parts.any_host {
                config.target_session_attrs(TargetSessionAttrs::ReadWrite);
            }
            config
                .connect_timeout(share)
                .keepalives_idle(Duration::from_secs(30))
                .tcp_user_timeout(Duration::from_secs(10));
            config
        };
        let hosts = apart(parts.rest.expose());
        let hosts = hosts.iter().map(|url| Ok(complete(parse(url.expose())?)));
        let hosts = hosts.collect::<Result<_, Error>>()?;
        let tls = MakeRustlsConnect::new(client_config(parts.verification, parts.roots.as_deref())?);
        Ok(Self {
            config: complete(config),
            hosts,
            tls,
            share,
            timeout,
        })
    }

    /// The first host that will have us and takes writes. One that accepts connections and then says nothing keeps nobody
    /// from trying the next; the last may take as long as the caller has patience.
    pub(super) async fn open(&self) -> Result<Opened, tokio_postgres::Error> {
        if let Some((last, others)) = self.hosts.split_last() {
            for host in others {
                let opening = tokio::time::timeout(self.share, host.connect(self.tls.clone()));
                if let Ok(Ok(opened)) = opening.await {
                    return Ok(opened);
                }
            }
            return last.connect(self.tls.clone()).await;
        }
        self.config.connect(self.tls.clone()).await
    }

    /// A connection of one's own, driven by a task that ends with it.
    pub(super) async fn connect(&self) -> Result<Line, Failure> {
        let (client, connection) = tokio::time::timeout(self.timeout, self.open())
            .await
            .map_err(|_| Failure::unavailable("connecting took too long", Harm::Server))??;
        let driver = tokio::spawn(async move {
            // Whoever uses the client hears of the error there.
            let _ = connection.await;
        });
        Ok(Line {
            client,
            _driver: AbortOnDrop(driver),
        })
    }
}

type Connecting<'c> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'c>>;

impl Connect for Connector {
    /// For the pool.
    fn connect(&self, _: &Config) -> Connecting<'_> {
        Box::pin(async move {
            let (client, connection) = self.open().await?;
            let driver = tokio::spawn(async move {
                // Whoever uses the client hears of the error there.
                let _ = connection.await;
            });
            Ok((client, driver))
        })
    }
}

fn parse(url: &str) -> Result<Config, Error> {
    url.parse().map_err(|error: tokio_postgres::Error| {
        // The parser's own words name keys, not values.
        let cause = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        Error::Refused(format!("store.url is not a PostgreSQL URL: {cause}"))
    })
}

/// The same URL for each host that its authority names; none where hosts are named elsewhere.
fn apart(url: &str) -> Vec<Secret<String>> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let Some((scheme, rest)) = base.split_once("://") else {
        return Vec::new();
    };
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let elsewhere = query.split('&').any(|pair| pair.starts_with("host"));
    let hosts = hosts.split(',').filter(|host| !host.is_empty() && !elsewhere);
    hosts
        .map(|host| Secret::new(format!("{scheme}://{user}{host}/{database}?{query}")))
        .collect()
}

/// A connection outside the pool.
pub(super) struct Line {
    pub(super) client: tokio_postgres::Client,
    _driver: AbortOnDrop,
}

/// Ends a task together with what it serves.
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A URL, less what tokio-postgres does not understand.
struct Parts {
    rest: Secret<String>,
    mode: SslMode,
    verification: Verification,
    roots: Option<PathBuf>,
    /// The URL says itself which kind of server it wants.
    any_host: bool,
}

fn split(url: &str) -> Result<Parts, Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Refused("store.url: postgres://… is expected".to_owned()));
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut kept, mut mode, mut roots, mut any_host) = (Vec::new(), None, None, false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "sslmode" => mode = Some(value),
            // "system" is libpq's word for what we do anyway.
            "sslrootcert" => {
                roots = (value != "system")
                    .then(|| decode(value))
                    .transpose()?
                    .map(PathBuf::from)
            }
            _ => {
                any_host |= key == "target_session_attrs";
                kept.push(pair);
            }
        }
    }
    let (mode, verification) = match mode.unwrap_or("prefer") {
        "disable" => (SslMode::Disable, Verification::None),
        "allow" | "prefer" => (SslMode::Prefer, Verification::None),
        // As in libpq: a root certificate that is there is used.
        "require" if roots.is_some() => (SslMode::Require, Verification::Authority),
        "require" => (SslMode::Require, Verification::None),
        "verify-ca" => (SslMode::Require, Verification::Authority),
        "verify-full" => (SslMode::Require, Verification::Full),
        _ => {
            let known = "disable, prefer, require, verify-ca or verify-full";
            return Err(Error::Refused(format!("store.url: sslmode must be {known}")));
        }
    };
    let rest = if kept.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", kept.join("&"))
    };
    Ok(Parts {
        rest: Secret::new(rest),
        mode,
        verification,
        roots,
        any_host,
    })
}

fn decode(value: &str) -> Result<String, Error> {
    let refused = || Error::Refused("store.url: sslrootcert is not percent-encoded UTF-8".to_owned());
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().ok_or_else(refused)?, rest.next().ok_or_else(refused)?];
        let digits = std::str::from_utf8(&digits).map_err(|_| refused())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| refused())?);
    }
    String::from_utf8(bytes).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio_postgres::config::Host;

    use super::*;

    fn connector(url: &str) -> Result<Connector, Error> {
        Connector::new(&Secret::new(url.to_owned()), None, Duration::from_secs(2))
    }

    #[test]
    fn every_ssl_mode_of_libpq_is_understood() {
        for (query, mode, verification) in [
            ("", SslMode::Prefer, Verification::None),
            ("?sslmode=disable", SslMode::Disable, Verification::None),
            ("?sslmode=require", SslMode::Require, Verification::None),
            (
                "?sslmode=require&sslrootcert=/x",
                SslMode::Require,
                Verification::Authority,
            ),
            (
                "?sslmode=verify-ca&sslrootcert=system",
                SslMode::Require,
                Verification::Authority,
            ),
            ("?sslmode=verify-full", SslMode::Require, Verification::Full),
        ] {
            let parts = split(&format!("postgres://u@h/d{query}")).unwrap();
            assert_eq!((parts.mode, parts.verification), (mode, verification), "{query}");
        }
        let parts = split("postgres://u@h/d?sslrootcert=%2Fa%20b&connect_timeout=3").unwrap();
        assert_eq!(parts.roots, Some(PathBuf::from("/a b")));
        assert_eq!(parts.rest.expose(), "postgres://u@h/d?connect_timeout=3");
    }

    #[test]
    fn several_hosts_mean_the_one_that_takes_writes() {
        let one = connector("postgres://u@a/d").unwrap().config;
        assert_eq!(one.get_target_session_attrs(), TargetSessionAttrs::Any);
        let two = connector("postgres://u@a:5433,b:5434/d").unwrap().config;
        assert_eq!(two.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(two.get_ports(), [5433, 5434]);
        let any = connector("postgres://u@a,b/d?target_session_attrs=any").unwrap().config;
        assert_eq!(any.get_target_session_attrs(), TargetSessionAttrs::Any);
    }

    #[test]
    fn hosts_are_tried_one_by_one() {
        let hosts = |url: &str| -> Vec<_> {
            let hosts = connector(url).unwrap().hosts;
            let one = |config: &Config| {
                assert_eq!((config.get_user(), config.get_dbname()), (Some("u"), Some("d")));
                assert_eq!(config.get_application_name(), Some("doorward"));
                (config.get_hosts().to_vec(), config.get_ports().to_vec())
            };
            hosts.iter().map(one).collect()
        };
        let tcp = |name: &str| vec![Host::Tcp(name.to_owned())];
        assert_eq!(
            hosts("postgres://u:p%40@a:5433,b,[::1]:5/d?sslmode=require"),
            [(tcp("a"), vec![5433]), (tcp("b"), vec![5432]), (tcp("::1"), vec![5])]
        );
        assert_eq!(hosts("postgres://u@a/d").len(), 1);
        assert_eq!(hosts("postgres://u@/d?host=a,b").len(), 0);
        let two = connector("postgres://u@a,b/d").unwrap();
        let wants = |config: &Config| config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
        assert!(two.hosts.iter().all(wants));
    }

    #[test]
    fn what_can_never_work_is_refused_without_a_secret_in_the_text() {
        for url in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h/d?sslmode=loose",
            "postgres://u:hunter2@h/d?nonsense=1",
            "postgres://u:hunter2@h:hunter2/d",
            "postgres:///d?password=hunter2",
            "postgres://u:hunter2@h/d?sslmode=verify-ca&sslrootcert=/does/not/exist",
        ] {
            let text = connector(url).err().unwrap().to_string();
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
