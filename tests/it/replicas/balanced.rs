//! Three replicas behind a load balancer, under load, while replicas are killed, stopped and added: no wrong answers.

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::rounds;
use crate::accounts::answers::Tokens;
use crate::accounts::world::{Gateway, Kind, PASSWORD, World};
use crate::support::client::{Client, Response};
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::until;

/// Places for replicas; at most this many run at once, and three do most of the time.
const PLACES: usize = 4;
const CLIENTS: usize = 6;
/// When an end must be known everywhere; one second is promised.
const EVERYWHERE: Duration = Duration::from_secs(2);

/// HAProxy over places that may or may not hold a replica. No sticky sessions: each request goes wherever it is its turn.
struct Balancer {
    process: Process,
    port: u16,
    places: Vec<(u16, u16)>,
    _folder: tempfile::TempDir,
}

impl Balancer {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let places: Vec<_> = (0..PLACES).map(|_| (free_port(), free_port())).collect();
        let servers: String = places
            .iter()
            .enumerate()
            .map(|(index, (serve, admin))| format!("  server r{index} 127.0.0.1:{serve} check port {admin}\n"))
            .collect();
        // What is not acknowledged may be sent again only where that is safe (RFC 9110 section 9.2.2).
        let text = format!(
            "global\n  nbthread 1\n  maxconn 1000\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n\
            \x20 timeout server 10s\n  timeout check 2s\n  retries 5\n  option redispatch 1\n\
            \x20 retry-on conn-failure empty-response response-timeout\n\
            frontend in\n  bind 127.0.0.1:{port}\n  default_backend replicas\nbackend replicas\n  balance roundrobin\n\
            \x20 http-request disable-l7-retry unless METH_GET\n  option httpchk GET /readyz\n\
            \x20 default-server inter 200ms fall 1 rise 1\n{servers}"
        );
        let path = folder.path().join("haproxy.cfg");
        fs::write(&path, text).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(&path);
        let process = Process::spawn("haproxy", command);
        until("a balancer that listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let balancer = Self {
            process,
            port,
            places,
            _folder: folder,
        };
        // It takes everybody for up until it has looked.
        for place in 0..PLACES {
            balancer.says(place, "DOWN");
        }
        balancer
    }

    fn says(&self, place: usize, state: &str) {
        let news = format!("replicas/r{place} is {state}");
        self.process.wait_for_line(|line| line.contains(&news));
    }

    fn client(&self) -> Client {
        Client::new(([127, 0, 0, 1], self.port).into())
    }

    /// A replica at this place, which the balancer comes to know by itself.
    fn replica(&self, world: &World<'_>, place: usize) -> Gateway {
        let (serve, admin) = self.places[place];
        world.gateway(&format!(
            "[[listeners]]\naddress = \"127.0.0.1:{serve}\"\nprotocol = \"http\"\n[admin]\naddress = \"127.0.0.1:{admin}\"\n"
        ))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if self.process.has_exited().is_none() {
            self.process.signal(rustix::process::Signal::TERM);
            self.process.wait();
        }
    }
}

#[derive(Default)]
struct Counts {
    requests: AtomicUsize,
    refreshes: AtomicUsize,
    logouts: AtomicUsize,
    /// Answers that a client had to ask for again: a replica went while it was writing one.
    again: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Counts {
    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }
}

/// One person: their session, and sessions of theirs that have ended.
struct Life<'c> {
    client: Client,
    counts: &'c Counts,
    name: String,
    tokens: Tokens,
    ended: Vec<(String, Instant)>,
}

impl Life<'_> {
    /// A request that may be repeated; whatever is broken by the end of a replica, or said by the balancer and not by a
    /// replica, is asked again, as any client does.
    fn ask(&self, method: &http::Method, path: &str, body: Option<&Value>, token: Option<&str>) -> Option<Response> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            let mut request = self.client.request(method.clone(), path);
            if let Some(token) = token {
                request = request.bearer(token);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            match request.try_send() {
                Ok(answer) if !is_the_balancers(&answer) => return Some(answer),
                Ok(answer) if *method == http::Method::GET => {
                    self.counts.wrong(format!("{path}: {} of the balancer", answer.status));
                    return None;
                }
                // A replica was killed with the request, or its answer, half done.
                Ok(_) | Err(_) => self.counts.again.fetch_add(1, Ordering::SeqCst),
            };
        }
        self.counts.wrong(format!("{path}: no answer"));
        None
    }

    fn post(&self, path: &str, body: &Value) -> Option<Tokens> {
        let answer = self.ask(&http::Method::POST, path, Some(body), None)?;
        if answer.status == 200 {
            return Some(Tokens::of(&answer));
        }
        self.counts
            .wrong(format!("{} {path}: {} {}", self.name, answer.status, answer.text()));
        None
    }

    fn get(&self, token: &str, good: bool) {
        let Some(answer) = self.ask(&http::Method::GET, "/app/x", None, Some(token)) else {
            return;
        };
        self.counts.requests.fetch_add(1, Ordering::SeqCst);
        let expected = if good { 200 } else { 401 };
        if answer.status != expected {
            let text = answer.text();
            self.counts
                .wrong(format!("{}: {} for {expected}: {text}", self.name, answer.status));
        }
    }

    fn round(&mut self, number: usize) {
        for _ in 0..4 {
            self.get(&self.tokens.access, true);
        }
        for (token, since) in &self.ended {
            if since.elapsed() > EVERYWHERE {
                self.get(token, false);
            }
        }
        if number.is_multiple_of(3) {
            let body = json!({ "refresh_token": self.tokens.refresh });
            if let Some(tokens) = self.post("/api/refresh", &body) {
                self.tokens = tokens;
                self.counts.refreshes.fetch_add(1, Ordering::SeqCst);
            }
        }
        if number.is_multiple_of(10) && self.ended.len() < 8 {
            let body = json!({ "username": self.name, "password": PASSWORD });
            let Some(tokens) = self.post("/api/login", &body) else {
                return;
            };
            let answer = self.ask(&http::Method::POST, "/api/logout", None, Some(&tokens.access));
            match answer.map(|answer| answer.status) {
                // 401: it was done, and the answer was lost with its replica.
                Some(204 | 401) => self.ended.push((tokens.access, Instant::now())),
                status => self.counts.wrong(format!("logout: {status:?}")),
            }
            self.counts.logouts.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A 502, 503 or 504 that no replica of ours has written.
fn is_the_balancers(answer: &Response) -> bool {
    (502..=504).contains(&answer.status) && answer.header("content-type") != Some("application/problem+json")
}

#[test]
fn replicas_come_and_go_under_load_and_no_answer_is_wrong() {
    let world = World::new(Kind::Postgres);
    let balancer = Balancer::start();
    let mut replicas: Vec<Option<Gateway>> = (0..3).map(|place| Some(balancer.replica(&world, place))).collect();
    replicas.push(None);
    for place in 0..3 {
        balancer.says(place, "UP");
    }
    let (counts, over) = (Counts::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (counts, over) = (&counts, &over);
        for number in 0..CLIENTS {
            let (client, name) = (balancer.client(), format!("user{number}"));
            scope.spawn(move || {
                let registration = json!({ "username": name, "password": PASSWORD });
                let tokens = Tokens::of(&client.post_json("/api/registration", &registration));
                let ended = Vec::new();
                let mut life = Life {
                    client,
                    counts,
                    name,
                    tokens,
                    ended,
                };
                let mut round = 0;
                while !over.load(Ordering::SeqCst) {
                    round += 1;
                    life.round(round);
                }
            });
        }
        let more = |what: &str| {
            let before = counts.requests.load(Ordering::SeqCst);
            until(what, || {
                let enough = counts.requests.load(Ordering::SeqCst) > before + 150;
                (enough || !counts.wrong.lock().unwrap().is_empty()).then_some(())
            });
        };
        for round in 0..rounds(3) {
            more("requests while all is well");
            let going = round % PLACES;
            let coming = replicas.iter().position(Option::is_none).unwrap();
            let Some(gone) = replicas[going].take() else {
                unreachable!()
            };
            if round % 2 == 0 {
                gone.kill();
            } else {
                let mut gone = gone;
                gone.process.signal(rustix::process::Signal::TERM);
                assert_eq!(gone.process.wait().code(), Some(0));
            }
            more("requests with one replica less");
            replicas[coming] = Some(balancer.replica(&world, coming));
            if !counts.wrong.lock().unwrap().is_empty() {
                break;
            }
        }
        more("requests at the end");
        over.store(true, Ordering::SeqCst);
    });
    let wrong = counts.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let figure = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    println!(
        "{} requests, {} refreshes, {} logouts, {} asked again, none wrong",
        figure(&counts.requests),
        figure(&counts.refreshes),
        figure(&counts.logouts),
        figure(&counts.again)
    );
    assert!(figure(&counts.refreshes) > 0 && figure(&counts.logouts) > 0);
}
