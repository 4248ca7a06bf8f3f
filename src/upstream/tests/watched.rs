//! Servers that are checked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::office::OfficeRuntime;

/// A server whose answer can be changed; and how often it was asked, for what.
struct Patient {
    server: Server,
    answer: Arc<Mutex<&'static str>>,
    heads: Arc<Mutex<Vec<String>>>,
}

const WELL: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
const ILL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

impl Patient {
    async fn start() -> Self {
        let (listener, server) = listen(Protocol::Http).await;
        let patient = Self {
            server,
            answer: Arc::new(Mutex::new(WELL)),
            heads: Arc::default(),
        };
        let (answer, heads) = (patient.answer.clone(), patient.heads.clone());
        tokio::spawn(async move {
            loop {
                let mut stream = accept(&listener).await;
                let (answer, heads) = (answer.clone(), heads.clone());
                tokio::spawn(async move {
                    let said = head(&mut stream).await;
                    heads.lock().unwrap().push(said);
                    let answer = *answer.lock().unwrap();
                    let _ = stream.write_all(answer.as_bytes()).await;
                    closed(&mut stream).await;
                });
            }
        });
        patient
    }

    fn becomes(&self, answer: &'static str) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

fn checked(servers: Vec<Server>) -> Settings {
    Settings {
        health: Some(HealthCheck {
            path: "/up?x=1".parse().unwrap(),
            interval: Duration::from_millis(20),
            timeout: Duration::from_secs(10),
            unhealthy_after: 3,
            healthy_after: 2,
        }),
        ..settings(servers)
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, so).await.is_ok(), "never: {what}");
}

#[test]
fn a_server_that_fails_its_checks_gets_no_requests_until_it_passes_them() {
    let office = OfficeRuntime::start().unwrap();
    alone().block_on(async {
        let (ill, well) = (Patient::start().await, Patient::start().await);
        let settings = [checked(vec![ill.server.clone(), well.server.clone()])];
        let upstreams = rebuild(&Upstreams::default(), &settings).unwrap();
        let upstream = upstreams.get("test").unwrap();
        assert!(upstream.peers().iter().all(|peer| peer.is_healthy()), "until a check says otherwise");
        upstreams.watch(&office.office());
        until("the first checks", || ill.asked() > 0 && well.asked() > 0).await;
        let port = match &ill.server.place {
            Place::Tcp { port, .. } => *port,
            Place::Unix(_) => 0,
        };
        assert_eq!(
            ill.heads.lock().unwrap()[0],
            format!(
                "GET /up?x=1 HTTP/1.1\r\nuser-agent: doorward-health-check\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n"
            )
        );
        ill.becomes(ILL);
        until("it is unhealthy", || !upstream.peers()[0].is_healthy()).await;
        assert!(upstream.peers()[1].is_healthy());
        // Whatever it answers to checks: requests go to the other one.
        for _ in 0..6 {
            assert_eq!(upstream.send(get("/"), 0).await.unwrap().status(), 204);
        }
        assert!(ill.heads.lock().unwrap().iter().all(|head| head.starts_with("GET /up?x=1 ")));
        ill.becomes("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n");
        until("it is healthy again", || upstream.peers()[0].is_healthy()).await;
    });
    office.stop(Duration::from_secs(1));
}

#[test]
fn checks_survive_reloads_with_what_they_found_and_end_with_their_server() {
    let office = OfficeRuntime::start().unwrap();
    alone().block_on(async {
        let (stays, goes) = (Patient::start().await, Patient::start().await);
        stays.becomes(ILL);
        let before = [checked(vec![stays.server.clone(), goes.server.clone()])];
        let first = rebuild(&Upstreams::default(), &before).unwrap();
        first.watch(&office.office());
        let peer = first.get("test").unwrap().peers()[0].clone();
        until("it is unhealthy", || !peer.is_healthy()).await;
        let mut after = [checked(vec![stays.server.clone()])];
        after[0].response_timeout = SHORT;
        let second = rebuild(&first, &after).unwrap();
        second.watch(&office.office());
        assert!(Arc::ptr_eq(&peer, &second.get("test").unwrap().peers()[0]));
        assert!(!peer.is_healthy());
        drop(first);
        // The one that is gone is not asked any more: of two moments that are long enough apart, at most one check was
        // under way in between.
        until("more checks", || stays.asked() > 5).await;
        let (asked, left) = (stays.asked(), goes.asked());
        until("many more checks", || stays.asked() > asked + 10).await;
        assert!(goes.asked() <= left + 1, "{left} and then {}", goes.asked());
        // Without checks, what they found is forgotten.
        let mut unchecked = after.clone();
        unchecked[0].health = None;
        let third = rebuild(&second, &unchecked).unwrap();
        assert!(!peer.is_healthy(), "nothing happens before it is in force");
        drop(second);
        until("the last check has ended", || {
            third.watch(&office.office());
            peer.is_healthy()
        })
        .await;
    });
    office.stop(Duration::from_secs(1));
}

#[test]
fn servers_of_every_kind_can_be_checked() {
    let office = OfficeRuntime::start().unwrap();
    alone().block_on(async {
        let (h2c, http2) = listen(Protocol::H2c).await;
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                let stream = accept(&h2c).await;
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(super::http2::serve(stream));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let unix = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = unix.accept().await.unwrap();
                head(&mut stream).await;
                let _ = stream.write_all(ILL.as_bytes()).await;
            }
        });
        let socket = Server {
            protocol: Protocol::Http,
            place: Place::Unix(path),
        };
        let upstreams = rebuild(&Upstreams::default(), &[checked(vec![http2, socket, nobody().await])]).unwrap();
        upstreams.watch(&office.office());
        let peers = upstreams.get("test").unwrap().peers();
        until("those that do not answer well are unhealthy", || {
            !peers[1].is_healthy() && !peers[2].is_healthy() && count.load(Ordering::SeqCst) > 5
        })
        .await;
        assert!(peers[0].is_healthy());
    });
    office.stop(Duration::from_secs(1));
}

#[test]
fn checks_trust_whom_requests_trust() {
    let office = OfficeRuntime::start().unwrap();
    alone().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let acceptor = super::servers::tls_server(folder.path(), &[b"h2", b"http/1.1"]);
        let (listener, server) = listen(Protocol::Https).await;
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = accepted.clone();
        tokio::spawn(async move {
            loop {
                let Ok(stream) = acceptor.accept(accept(&listener).await).await else {
                    continue;
                };
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(super::http2::serve(stream));
            }
        });
        let health = checked(Vec::new()).health;
        let good = Settings {
            health: health.clone(),
            ..super::servers::trusting(folder.path(), server)
        };
        let mut bad = good.clone();
        bad.name = "bad".into();
        bad.tls.server_name = None;
        let upstreams = rebuild(&Upstreams::default(), &[good, bad]).unwrap();
        upstreams.watch(&office.office());
        let is_healthy = |name: &str| upstreams.get(name).unwrap().peers()[0].is_healthy();
        until("the one with another name is unhealthy", || !is_healthy("bad")).await;
        until("checks that pass", || accepted.load(Ordering::SeqCst) > 5).await;
        assert!(is_healthy("test"));
    });
    office.stop(Duration::from_secs(1));
}
