//! A stop under load: every request is answered, or nothing of it was read. Each is counted, on both sides.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use http::Method;

use super::gate::{Gate, open_to};
use crate::support::client::{Client, Protocol};
use crate::support::raw::{Broken, RawClient};
use crate::support::reply::Reply;
use crate::support::until;
use crate::support::upstream::Upstream;

/// What became of the requests, by their targets, which are all different.
#[derive(Default)]
struct Ledger {
    answered: Mutex<BTreeSet<String>>,
    /// Without a byte of an answer: the connection was closed or refused.
    unread: Mutex<BTreeSet<String>>,
    /// Anything else, which is a fault.
    faults: Mutex<Vec<String>>,
    number: AtomicUsize,
}

impl Ledger {
    fn next(&self, kind: &str) -> String {
        format!("/{kind}/{}", self.number.fetch_add(1, Ordering::Relaxed))
    }

    fn note(&self, target: String, fate: Result<(u16, String), Fate>) {
        match fate {
            // The backend says back which request it answers: nobody gets another's answer.
            Ok((200, body)) if body == target => drop(self.answered.lock().unwrap().insert(target)),
            Err(Fate::Unread) => drop(self.unread.lock().unwrap().insert(target)),
            Ok((status, body)) => self.faults.lock().unwrap().push(format!("{target}: {status} {body}")),
            Err(Fate::Broken(what)) => self.faults.lock().unwrap().push(format!("{target}: {what}")),
        }
    }

    /// Fails unless the gateway and the backend agree with what clients saw.
    fn settle(&self, backend: &Upstream) {
        let faults = self.faults.lock().unwrap();
        assert!(faults.is_empty(), "{faults:#?}");
        let (answered, unread) = (self.answered.lock().unwrap(), self.unread.lock().unwrap());
        assert_eq!(answered.len() + unread.len(), self.number.load(Ordering::Relaxed));
        let requests = backend.requests();
        let seen: BTreeSet<String> = requests.iter().map(|request| request.target.clone()).collect();
        assert_eq!(seen.len(), requests.len(), "none was forwarded twice");
        let lost: Vec<_> = seen.difference(&answered).collect();
        assert!(lost.is_empty(), "forwarded and not answered: {lost:?}");
        let invented: Vec<_> = answered.difference(&seen).collect();
        assert!(invented.is_empty(), "answered and not forwarded: {invented:?}");
        eprintln!("{} answered, {} not read", answered.len(), unread.len());
    }
}

enum Fate {
    Unread,
    Broken(String),
}

/// An answer over HTTP/1.1, or how there was none, and whether the connection goes on.
fn over_http1(client: &mut RawClient, target: &str) -> (Result<(u16, String), Fate>, bool) {
    // A closed connection may show when writing or when reading.
    if client.try_send(get(target)).is_err() {
        return (Err(Fate::Unread), false);
    }
    read(client)
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn read(client: &mut RawClient) -> (Result<(u16, String), Fate>, bool) {
    match client.try_response() {
        Ok(response) => {
            let goes_on = response.keeps_alive();
            (Ok((response.status, response.text())), goes_on)
        }
        Err(Broken::NoMore) => (Err(Fate::Unread), false),
        Err(broken) => (Err(Fate::Broken(broken.to_string())), false),
    }
}

fn echoing() -> Upstream {
    Upstream::answering(|request| Reply::text(&request.target))
}

#[test]
fn what_was_read_is_answered_although_requests_and_connections_keep_coming() {
    let backend = echoing();
    let mut gate = Gate::with_tls(&("workers = 2\n".to_owned() + &open_to(&backend.url())));
    let ledger = Ledger::default();
    let refused = AtomicBool::new(false);
    let http2: Vec<Client> = (0..3).map(|_| gate.tls_client(Protocol::Http2)).collect();
    let answered = || ledger.answered.lock().unwrap().len();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| keep_alive(&gate, &ledger));
        }
        for _ in 0..3 {
            scope.spawn(|| new_connections(&gate, &ledger, &refused));
        }
        for client in &http2 {
            scope.spawn(|| streams(client, &ledger));
        }
        until("load", || (answered() > 500).then_some(()));
        gate.terminate();
    });
    assert_eq!(gate.wait().code(), Some(0));
    assert!(refused.load(Ordering::Relaxed), "the listener was closed in the end");
    ledger.settle(&backend);
}

/// Requests over one connection, until it is closed.
fn keep_alive(gate: &Gate, ledger: &Ledger) {
    let mut client = gate.connect();
    loop {
        let target = ledger.next("kept");
        let (fate, goes_on) = over_http1(&mut client, &target);
        ledger.note(target, fate);
        if !goes_on {
            return;
        }
    }
}

/// A connection for each request, until none is taken any more.
fn new_connections(gate: &Gate, ledger: &Ledger, refused: &AtomicBool) {
    while let Ok(mut client) = RawClient::try_connect(gate.address()) {
        let target = ledger.next("new");
        let (fate, _) = over_http1(&mut client, &target);
        ledger.note(target, fate);
    }
    refused.store(true, Ordering::Relaxed);
}

/// Streams over one connection, and over the next when it was said to end, until there is no next.
fn streams(client: &Client, ledger: &Ledger) {
    loop {
        let target = ledger.next("stream");
        let fate = match client.request(Method::GET, &target).try_send() {
            Ok(response) => Ok((response.status, response.text())),
            Err(error) if error.starts_with("no response in") => Err(Fate::Broken(error)),
            // Refused, or the connection had ended: whether the stream was read is what the backend knows.
            Err(_) => Err(Fate::Unread),
        };
        let ended = fate.is_err();
        ledger.note(target, fate);
        if ended {
            return;
        }
    }
}

/// Connections that the kernel has accepted and the gateway has not, each with a request in it already: all are answered, and told
/// that their connection ends.
#[test]
fn who_waits_in_the_queue_is_answered() {
    // Fewer than the kernel keeps for a listener by default.
    const QUEUED: usize = 100;
    let backend = echoing();
    let mut gate = Gate::start(&("workers = 1\n".to_owned() + &open_to(&backend.url())));
    let ledger = Ledger::default();
    // While the process is halted, nothing leaves the queue.
    gate.process().signal(rustix::process::Signal::STOP);
    let mut waiting: Vec<(String, RawClient)> = (0..QUEUED)
        .map(|_| {
            let (target, mut client) = (ledger.next("queued"), gate.connect());
            client.send(get(&target));
            (target, client)
        })
        .collect();
    gate.terminate();
    gate.process().signal(rustix::process::Signal::CONT);
    for (target, client) in &mut waiting {
        // Who is answered before the stop is heard is not told that it was the last answer: the connection ends all the same.
        let (fate, _) = read(client);
        ledger.note(target.clone(), fate);
    }
    assert_eq!(gate.wait().code(), Some(0));
    ledger.settle(&backend);
    assert_eq!(ledger.answered.lock().unwrap().len(), QUEUED);
}

/// The same over TLS: who has a connection but no handshake yet gets both the handshake and an answer.
#[test]
fn who_waits_in_the_queue_of_a_tls_listener_is_answered() {
    const QUEUED: usize = 8;
    let backend = echoing();
    let mut gate = Gate::with_tls(&("workers = 1\n".to_owned() + &open_to(&backend.url())));
    let ledger = Ledger::default();
    gate.process().signal(rustix::process::Signal::STOP);
    let waiting: Vec<TcpStream> = (0..QUEUED)
        .map(|_| TcpStream::connect(gate.listener(1)).unwrap())
        .collect();
    gate.terminate();
    thread::scope(|scope| {
        for stream in waiting {
            let (gate, ledger) = (&gate, &ledger);
            scope.spawn(move || {
                let trusting = gate.authority().trusting_client(&["http/1.1"]);
                let target = ledger.next("queued");
                let mut client = RawClient::tls_over(stream, "localhost", trusting).unwrap();
                let (fate, _) = over_http1(&mut client, &target);
                ledger.note(target, fate);
            });
        }
        gate.process().signal(rustix::process::Signal::CONT);
    });
    assert_eq!(gate.wait().code(), Some(0));
    ledger.settle(&backend);
    assert_eq!(ledger.answered.lock().unwrap().len(), QUEUED);
}
