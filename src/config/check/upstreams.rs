//! `[[upstreams]]`.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use http::uri::PathAndQuery;

use super::field;
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::tls::{self, CertificateFiles, UpstreamTls};
use crate::upstream::{Balance, HealthCheck, Place, Protocol, Server, Settings};

/// The most retries of one request: more would let one request touch every server there is.
const RETRIES: u32 = 10;

/// All of them.
pub fn upstreams(upstreams: &[file::Upstream], report: &mut Report<'_>) -> Option<Vec<Settings>> {
    let key = KeyPath::of("upstreams");
    field::each(upstreams, |index, raw| {
        let key = key.index(index);
        let same = |other: &file::Upstream| !raw.name.is_empty() && other.name == raw.name;
        if let Some(other) = upstreams.iter().take(index).position(same) {
            let fault = Fault::at(&key.key("name"), "a name that no other upstream has");
            report.error(fault.hint(format!("upstreams[{other}] has it")));
        }
        upstream(raw, &key, report)
    })
}

fn upstream(raw: &file::Upstream, key: &KeyPath, report: &mut Report<'_>) -> Option<Settings> {
    let name = field::name(report, &key.key("name"), &raw.name);
    let servers = servers(raw, key, report);
    let balances = [
        ("round_robin", Balance::RoundRobin),
        ("least_requests", Balance::LeastRequests),
        ("client_hash", Balance::ClientHash),
    ];
    let balance = report.choose(&key.key("balance"), &raw.balance, &balances);
    let connect_timeout = field::positive(report, &key.key("connect_timeout"), raw.connect_timeout);
    let response_timeout = field::positive(report, &key.key("response_timeout"), raw.response_timeout);
    let max_requests = field::number(report, &key.key("max_requests"), raw.max_requests, 1..=1_000_000);
    let retries = retries(raw, key, report);
    let health = health(&raw.health, &key.key("health"), report);
    let tls = tls_of(&raw.tls, &key.key("tls"), report);
    let servers = servers?;
    if tls.as_ref().is_some_and(|tls| *tls != UpstreamTls::default())
        && !servers.iter().any(|server| server.protocol == Protocol::Https)
    {
        report.warn(Fault::at(
            &key.key("tls"),
            "it has no effect: none of the servers is https://",
        ));
    }
    Some(Settings {
        name: name?,
        servers,
        balance: balance?,
        connect_timeout: connect_timeout?,
        response_timeout: response_timeout?,
        max_requests: max_requests?,
        // Not to wait at all is an answer too.
        queue_timeout: raw.queue_timeout.0,
        retries: retries?,
        health: health?,
        tls: tls?,
    })
}

fn retries(raw: &file::Upstream, key: &KeyPath, report: &mut Report<'_>) -> Option<u32> {
    if raw.retries > RETRIES {
        report.error(Fault::at(&key.key("retries"), format!("a number from 0 to {RETRIES}")));
        return None;
    }
    Some(raw.retries)
}

/// Without a path: none. What is said beside it is looked at all the same.
fn health(raw: &file::Health, key: &KeyPath, report: &mut Report<'_>) -> Option<Option<HealthCheck>> {
    let interval = field::positive(report, &key.key("interval"), raw.interval);
    let timeout = field::positive(report, &key.key("timeout"), raw.timeout);
    let mut after = |name: &str, count: u32| {
        field::number(report, &key.key(name), count, 1..=1000).and_then(|count| u32::try_from(count).ok())
    };
    let unhealthy_after = after("unhealthy_after", raw.unhealthy_after);
    let healthy_after = after("healthy_after", raw.healthy_after);
    let path = match raw.path.as_str() {
        "" => None,
        text => {
            let good = text.starts_with('/') && !text.contains('#');
            let path = text.parse::<PathAndQuery>().ok().filter(|_| good);
            if path.is_none() {
                report.error(Fault::at(&key.key("path"), "a path such as \"/healthz\""));
            }
            Some(path)
        }
    };
    let (interval, timeout, unhealthy_after, healthy_after) = (interval?, timeout?, unhealthy_after?, healthy_after?);
    let Some(path) = path else { return Some(None) };
    Some(Some(HealthCheck {
        path: path?,
        interval,
        timeout,
        unhealthy_after,
        healthy_after,
    }))
}

fn servers(raw: &file::Upstream, key: &KeyPath, report: &mut Report<'_>) -> Option<Vec<Server>> {
    let place = key.key("servers");
    if raw.servers.is_empty() {
        report.error(Fault::at(
            &place,
            "a list of servers, such as [\"http://127.0.0.1:9001\"]",
        ));
        return None;
    }
    field::each(&raw.servers, |index, text| {
        let place = place.index(index);
        let server = match text.strip_prefix("unix:") {
            Some(path) => unix(path).map(|path| Server {
                protocol: Protocol::Http,
                place: Place::Unix(field::resolved(report, &place, path)),
            }),
            None => tcp(text),
        };
        server
            .map_err(|hint| {
                let accepted =
                    "a server such as \"http://127.0.0.1:9001\", \"https://\", \"h2c://\" or \"unix:/run/app.sock\"";
                report.error(Fault::at(&place, accepted).hint(hint));
            })
            .ok()
    })
}

/// The path of a socket.
fn unix(path: &str) -> Result<&str, String> {
    let path = path.strip_prefix("//").unwrap_or(path);
    // What the kernel takes (sun_path), less the zero at its end.
    match path.len() {
        0 => Err("the path of the socket is missing".to_owned()),
        1..=107 => Ok(path),
        _ => Err("the path of a socket has at most 107 bytes".to_owned()),
    }
}

fn tcp(text: &str) -> Result<Server, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("the scheme is missing: \"http://{text}\"?"));
    };
    let (protocol, default_port) = match scheme {
        "http" => (Protocol::Http, 80),
        "h2c" => (Protocol::H2c, 80),
        "https" => (Protocol::Https, 443),
        _ => return Err("the scheme is one of http, https, h2c and unix".to_owned()),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err("credentials do not belong into the URL of a server".to_owned());
    }
    if authority.contains(['/', '?', '#']) {
        return Err("leave the path out: the request's own is sent (strip_prefix of a route shortens it)".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or("the bracket of the address is not closed")?;
            let address: Ipv6Addr = address.parse().map_err(|_| "this is no IPv6 address")?;
            (address.to_string(), port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(end);
            if !field::is_host_name(host) {
                return Err(
                    "the host is neither a name nor an address (an IPv6 address stands in brackets)".to_owned(),
                );
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        Some(number) => number
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or("the port is no number from 1 to 65535")?,
        None => return Err("the port is no number from 1 to 65535".to_owned()),
    };
    Ok(Server {
        protocol,
        place: Place::Tcp { host, port },
    })
}

fn tls_of(raw: &file::UpstreamTls, key: &KeyPath, report: &mut Report<'_>) -> Option<UpstreamTls> {
    let ca = field::optional_file(report, &key.key("ca"), &raw.ca);
    let server_name = match raw.server_name.is_empty() {
        true => Some(None),
        false => field::host(report, &key.key("server_name"), &raw.server_name, false).map(Some),
    };
    let client = match (raw.client_cert.is_empty(), raw.client_key.is_empty()) {
        (true, true) => Some(None),
        _ => {
            let cert = field::file(report, &key.key("client_cert"), &raw.client_cert);
            let private = field::file(report, &key.key("client_key"), &raw.client_key);
            cert.zip(private)
                .map(|(cert, key)| Some(CertificateFiles { cert, key }))
        }
    };
    let settings = UpstreamTls {
        ca: ca?,
        server_name: server_name?,
        client: client?,
    };
    if settings.files().is_empty() {
        return Some(settings);
    }
    let error = match tls::check_upstream(&settings) {
        Ok(()) => return Some(settings),
        Err(error) => error,
    };
    let is = |file: Option<&PathBuf>| file.is_some_and(|file| error.file() == Some(file));
    let client = settings.client.as_ref();
    let (word, accepted) = if is(client.map(|client| &client.key)) {
        ("client_key", "the private key of client_cert")
    } else if is(client.map(|client| &client.cert)) {
        ("client_cert", "a certificate that can be shown")
    } else {
        ("ca", "the authorities of the servers")
    };
    super::tls::unusable(report, &key.key(word), accepted, &error);
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn servers_are_read_as_urls_without_a_path() {
        let place = |text: &str| match tcp(text) {
            Ok(Server {
                place: Place::Tcp { host, port },
                ..
            }) => Some((host, port)),
            _ => None,
        };
        assert_eq!(place("http://127.0.0.1:9001"), Some(("127.0.0.1".to_owned(), 9001)));
        assert_eq!(
            place("https://App.example.com/"),
            Some(("app.example.com".to_owned(), 443))
        );
        assert_eq!(place("h2c://[::1]:50051"), Some(("::1".to_owned(), 50051)));
        for wrong in [
            "127.0.0.1:9001",
            "http://",
            "http://a/b",
            "http://a:0",
            "http://a:",
            "http://a:99999",
            "http://u:p@a",
            "ftp://a",
            "http://[::1",
            "http://[::1]9",
            "http://::1",
            "http://256.1.1.1",
            "http://a b",
            "http://a?x",
        ] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
        assert_eq!(unix("///run/app.sock").unwrap(), "/run/app.sock");
    }
}
