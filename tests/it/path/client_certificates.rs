//! Clients that show certificates, those that do not, and those that try to get around it.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use http::Method;
use rustls::{ClientConfig, HandshakeKind};

use super::gate::{Gate, route, upstream};
use super::{assert_problem, last};
use crate::support::certificates::{Authority, Certificate};
use crate::support::client::{Client, Protocol};
use crate::support::raw::RawClient;
use crate::support::until;
use crate::support::upstream::Upstream;

/// A gateway, and the authority of its clients.
struct House {
    gate: Gate,
    clients: Authority,
    backend: Upstream,
}

impl House {
    /// `tls` are keys of `[tls]`; routes go to `app`.
    fn new(tls: &str, routes: &str) -> Self {
        let (backend, clients) = (Upstream::start(), Authority::new());
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("clients.pem");
        fs::write(&ca, clients.pem()).unwrap();
        let config = Gate::with_tls_config(&(upstream("app", &backend.url(), "") + routes));
        let config = config.replace("[tls]\n", &format!("[tls]\nclient_ca = {ca:?}\n{tls}\n"));
        Self {
            gate: Gate::started_in(folder, &config),
            clients,
            backend,
        }
    }

    fn config(&self, certificate: Option<&Certificate>) -> ClientConfig {
        match certificate {
            Some(certificate) => self.gate.authority().trusting_client_as(certificate, &["http/1.1"]),
            None => self.gate.authority().trusting_client(&["http/1.1"]),
        }
    }

    fn connect(&self, name: &str, certificate: Option<&Certificate>) -> RawClient {
        RawClient::connect_tls(self.gate.listener(1), name, self.config(certificate))
    }

    /// The status, or 0 where the handshake failed, which a client of TLS 1.3 sees late.
    fn status(&self, name: &str, certificate: Option<&Certificate>, host: &str, path: &str) -> u16 {
        let stream = RawClient::try_connect_tls(self.gate.listener(1), name, self.config(certificate));
        let Ok(mut stream) = stream else { return 0 };
        stream.try_send(get(host, path)).ok();
        stream.try_response().map_or(0, |response| response.status)
    }

    fn http2(&self, name: &str, certificate: Option<&Certificate>) -> Client {
        Client::tls(self.gate.listener(1), name, self.config(certificate), Protocol::Http2)
    }

    /// The files of clients' authorities, in the place of the ones before.
    fn trust(&self, authorities: &[&Authority]) {
        let pem: String = authorities.iter().map(|authority| authority.pem()).collect();
        fs::write(self.gate.folder().join("clients.pem"), pem).unwrap();
    }
}

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn public(name: &str, path: &str, more: &str) -> String {
    route(name, path, "app", &format!("access = \"public\"\n{more}"))
}

#[test]
fn a_route_asks_for_a_certificate_of_our_authorities() {
    let routes = public("open", "/", "") + &public("strict", "/strict", "client_auth = \"required\"");
    let house = House::new("", &routes);
    let (good, stranger) = (house.clients.client("ann"), Authority::new().client("eve"));
    let expired = house.clients.expired_client("old");
    let server = house.clients.server(&["not-a-client.test"]);
    for (certificate, open, strict) in [
        (None, 200, 403),
        (Some(&good), 200, 200),
        (Some(&stranger), 0, 0),
        (Some(&expired), 0, 0),
        (Some(&server), 0, 0),
    ] {
        assert_eq!(house.status("localhost", certificate, "localhost", "/"), open);
        assert_eq!(house.status("localhost", certificate, "localhost", "/strict"), strict);
        assert_eq!(
            house.status("localhost", certificate, "localhost", "/strict/deep"),
            strict
        );
    }
    let mut nobody = house.connect("localhost", None);
    let refused = nobody.send(get("localhost", "/strict")).response();
    assert_problem(&refused, 403, "client_certificate_required");
    assert_eq!(
        nobody.send(get("localhost", "/")).response().status,
        200,
        "and the connection lives"
    );
    // The same over HTTP/2, and in the clear, where no certificate can be shown.
    house.http2("localhost", None).get("/strict").expect(403);
    house.http2("localhost", Some(&good)).get("/strict").expect(200);
    assert_problem(&house.gate.get("/strict", ""), 403, "client_certificate_required");
    assert_eq!(house.gate.get("/", "").status, 200);
    // A preflight is no way around it.
    for (certificate, status) in [(None, 403), (Some(&good), 200)] {
        let preflight = "OPTIONS /strict HTTP/1.1\r\nHost: localhost\r\nOrigin: https://a.test\r\nAccess-Control-Request-Method: GET\r\n\r\n";
        let answer = house.connect("localhost", certificate).send(preflight).response();
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(last(&house.backend).method, "OPTIONS");
    let series = |reason: &str| {
        house.gate.metric(&format!(
            "doorward_access_decisions_total{{route=\"strict\",decision=\"refuse\",reason={reason:?}}}"
        ))
    };
    assert!(series("client_certificate_required") >= 4.0, "{}", house.gate.metrics());
}

#[test]
fn a_certificate_comes_before_credentials_and_beside_them() {
    let house = House::new("", &route("strict", "/", "app", "client_auth = \"required\""));
    let good = house.clients.client("ann");
    let token = house.gate.bearer("ann", &[]);
    let ask = |certificate: Option<&Certificate>, lines: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        house.connect("localhost", certificate).send(request).response()
    };
    assert_problem(&ask(None, ""), 403, "client_certificate_required");
    assert_problem(&ask(None, &token), 403, "client_certificate_required");
    assert_problem(
        &ask(None, "Authorization: Bearer x\r\n"),
        403,
        "client_certificate_required",
    );
    assert_problem(&ask(Some(&good), ""), 401, "credentials_required");
    assert_eq!(ask(Some(&good), &token).status, 200);
}

#[test]
fn where_everything_requires_one_the_handshake_does() {
    let house = House::new("client_auth = \"required\"", &public("all", "/", ""));
    let good = house.clients.client("ann");
    assert_eq!(house.status("localhost", None, "localhost", "/"), 0);
    assert_eq!(house.status("localhost", Some(&good), "localhost", "/"), 200);
    assert_eq!(
        house.status("localhost", Some(&good), "localhost", "/.well-known/jwks.json"),
        200
    );

    let routes = public("all", "/", "") + &public("open", "/open", "client_auth = \"none\"");
    let house = House::new("client_auth = \"required\"", &routes);
    let good = house.clients.client("ann");
    for (path, without) in [("/", 403), ("/open", 200), ("/.well-known/jwks.json", 403)] {
        assert_eq!(house.status("localhost", None, "localhost", path), without, "{path}");
        assert_eq!(house.status("localhost", Some(&good), "localhost", path), 200, "{path}");
    }
}

#[test]
fn a_request_for_a_host_with_other_rules_is_misdirected() {
    let host = |name: &str| format!("hosts = [\"{name}\"]\n");
    let routes = public("open", "/", "")
        + &public("strict", "/", &(host("localhost") + "client_auth = \"required\""))
        + &public("also", "/", &(host("also.test") + "client_auth = \"required\""))
        + &public("wild", "/", &(host("*.wild.test") + "client_auth = \"required\""));
    let house = House::new("", &routes);
    // One certificate for all these names.
    let names = ["localhost", "also.test", "a.wild.test", "open.test", "plain.test"];
    house
        .gate
        .authority()
        .server(&names)
        .write(house.gate.folder(), "server");
    assert!(house.gate.reload());
    let (good, stranger) = (house.clients.client("ann"), Authority::new().client("eve"));
    // Only hosts with rules ask: where nobody asks, a stranger's certificate does not come up.
    assert_eq!(house.status("open.test", Some(&stranger), "open.test", "/"), 200);
    assert_eq!(house.status("localhost", Some(&stranger), "localhost", "/"), 0);
    for certificate in [None, Some(&good)] {
        let strict = if certificate.is_some() { 200 } else { 403 };
        for (name, asked, status) in [
            ("localhost", "localhost", strict),
            ("localhost", "LocalHost:8443", strict),
            ("localhost", "localhost.", strict),
            ("localhost", "also.test", strict),
            ("localhost", "b.wild.test", strict),
            ("a.wild.test", "localhost", strict),
            ("localhost", "open.test", 421),
            ("open.test", "open.test", 200),
            ("open.test", "plain.test", 200),
            ("open.test", "localhost", 421),
            ("open.test", "localhost.", 421),
            ("open.test", "LOCALHOST:443", 421),
            ("open.test", "also.test", 421),
            ("open.test", "a.wild.test", 421),
            ("open.test", "a.b.wild.test", 200),
        ] {
            let found = house.status(name, certificate, asked, "/");
            assert_eq!(found, status, "{name} asked for {asked}");
        }
    }
    let mut misdirected = house.connect("open.test", Some(&good));
    let answer = misdirected.send(get("localhost", "/")).response();
    assert_problem(&answer, 421, "misdirected_request");
    assert!(!answer.keeps_alive());
    // No name in the handshake: it may be for any of them, so clients are asked, and named hosts need their name.
    let mut nameless = house.config(Some(&good));
    nameless.enable_sni = false;
    for (asked, status) in [("localhost", 421), ("open.test", 200), ("127.0.0.1", 200)] {
        let mut stream = RawClient::connect_tls(house.gate.listener(1), "localhost", nameless.clone());
        assert_eq!(stream.send(get(asked, "/")).response().status, status, "{asked}");
    }
    // One HTTP/2 connection for several hosts.
    let client = house.http2("open.test", Some(&good));
    let ask = |host: &str| client.request(Method::GET, "/").host(host).send();
    ask("open.test").expect(200);
    ask("plain.test").expect(200);
    ask("localhost").expect(421);
    ask("also.test").expect(421);
    ask("open.test").expect(200);
}

#[test]
fn a_connection_that_was_not_asked_is_sent_away_when_rules_come() {
    let house = House::new(
        "",
        &(public("all", "/", "") + &public("x", "/x", "client_auth = \"required\"")),
    );
    let with = house.gate.config();
    let without = with.replace("client_auth = \"required\"", "");
    fs::write(house.gate.folder().join("doorward.toml"), without).unwrap();
    assert!(house.gate.reload());
    let good = house.clients.client("ann");
    let mut open = house.connect("localhost", Some(&good));
    assert_eq!(open.send(get("localhost", "/x")).response().status, 200);
    fs::write(house.gate.folder().join("doorward.toml"), with).unwrap();
    assert!(house.gate.reload());
    assert_problem(
        &open.send(get("localhost", "/x")).response(),
        421,
        "misdirected_request",
    );
    assert_eq!(house.status("localhost", Some(&good), "localhost", "/x"), 200);
}

#[test]
fn resumption_is_no_way_around_new_authorities() {
    let routes = public("open", "/", "") + &public("strict", "/strict", "client_auth = \"required\"");
    let house = House::new("", &routes);
    let (ann, others) = (house.clients.client("ann"), Authority::new());
    let bob = others.client("bob");
    let request = get("localhost", "/strict");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        house.trust(&[&house.clients]);
        assert!(house.gate.reload());
        let config = house.gate.authority().trusting_client_as_with(&ann, &[version]);
        let try_connect = || Resumable::connect(&house, &config);
        let connect = || try_connect().unwrap();
        let asked = |stream: &mut Resumable| stream.ask(&request).unwrap();
        let mut open = connect();
        assert_eq!((open.kind(), asked(&mut open)), (HandshakeKind::Full, 200));
        let mut again = connect();
        assert_eq!((again.kind(), asked(&mut again)), (HandshakeKind::Resumed, 200));
        // One more authority takes nothing from anybody.
        house.trust(&[&house.clients, &others]);
        assert!(house.gate.reload());
        assert_eq!((asked(&mut open), asked(&mut again)), (200, 200));
        let mut fresh = connect();
        assert_eq!((fresh.kind(), asked(&mut fresh)), (HandshakeKind::Full, 200));
        assert_eq!(house.status("localhost", Some(&bob), "localhost", "/strict"), 200);
        // Without the one that signed for ann, nothing that she has still counts, and the rest goes on.
        house.trust(&[&others]);
        assert!(house.gate.reload());
        for open in [&mut open, &mut again, &mut fresh] {
            assert_eq!(asked(open), 403);
            assert_eq!(open.ask(&get("localhost", "/")).unwrap(), 200);
        }
        let refused = try_connect().and_then(|mut stream| stream.ask(&request));
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(house.status("localhost", Some(&bob), "localhost", "/strict"), 200);
    }
}

#[test]
fn authorities_that_change_are_taken_up_by_themselves_and_bad_ones_are_not() {
    let house = House::new("client_auth = \"required\"", &public("all", "/", ""));
    let (ann, others) = (house.clients.client("ann"), Authority::new());
    let bob = others.client("bob");
    let status = |certificate: &Certificate| house.status("localhost", Some(certificate), "localhost", "/");
    assert_eq!((status(&ann), status(&bob)), (200, 0));
    house.trust(&[&others]);
    until("bob is let in", || (status(&bob) == 200).then_some(()));
    assert_eq!(status(&ann), 0);
    fs::write(house.gate.folder().join("clients.pem"), "junk").unwrap();
    until("the refusal is counted", || {
        (house
            .gate
            .metric(r#"doorward_certificate_reloads_total{result="refused"}"#)
            == 1.0)
            .then_some(())
    });
    assert_eq!((status(&ann), status(&bob)), (0, 200));
    assert!(!house.gate.reload());
    assert_eq!((status(&ann), status(&bob)), (0, 200));
}

#[test]
fn nobody_is_cut_off_while_authorities_are_replaced_twenty_times() {
    let house = House::new("client_auth = \"required\"", &public("all", "/", ""));
    let ann = house.clients.client("ann");
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let busy = || !done.load(Ordering::Relaxed);
    let count = || served.fetch_add(1, Ordering::Relaxed);
    thread::scope(|scope| {
        scope.spawn(|| {
            while busy() {
                assert_eq!(house.status("localhost", Some(&ann), "localhost", "/"), 200);
                count();
            }
        });
        scope.spawn(|| {
            let mut open = house.connect("localhost", Some(&ann));
            while busy() {
                let response = open.send(get("localhost", "/")).response();
                assert!(response.status == 200 && response.keeps_alive());
                count();
            }
        });
        scope.spawn(|| {
            let client = house.http2("localhost", Some(&ann));
            while busy() {
                client.get("/").expect(200);
                count();
            }
        });
        let replacing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // Ann's authority stays; the one beside it is another each time.
            for _ in 0..20 {
                let others = Authority::new();
                let bob = others.client("bob");
                house.trust(&[&house.clients, &others]);
                until("bob is let in", || {
                    (house.status("localhost", Some(&bob), "localhost", "/") == 200).then_some(())
                });
                let so_far = served.load(Ordering::Relaxed);
                until("requests between two changes", || {
                    (served.load(Ordering::Relaxed) > so_far).then_some(())
                });
            }
        }));
        done.store(true, Ordering::Relaxed);
        replacing.unwrap();
    });
    assert!(served.load(Ordering::Relaxed) > 60);
}

/// A connection whose session is remembered by its configuration.
struct Resumable {
    stream: rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>,
}

impl Resumable {
    fn connect(house: &House, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let mut socket = std::net::TcpStream::connect(house.gate.listener(1)).unwrap();
        socket.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut session = rustls::ClientConnection::new(Arc::clone(config), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self {
            stream: rustls::StreamOwned::new(session, socket),
        })
    }

    fn kind(&self) -> HandshakeKind {
        self.stream.conn.handshake_kind().unwrap()
    }

    /// The status; the answer is read to its end.
    fn ask(&mut self, request: &str) -> std::io::Result<u16> {
        self.stream.write_all(request.as_bytes())?;
        let mut seen = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer)?;
            assert!(count > 0, "closed without an alert");
            seen.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&seen);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    let line = line.to_ascii_lowercase();
                    line.strip_prefix("content-length: ")?.parse::<usize>().ok()
                });
                if body.len() >= length.expect("a length") {
                    return Ok(head[9..12].parse().unwrap());
                }
            }
        }
    }
}
