//! What every test here stands on: a store, a recording backend, and gateways over them.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rusqlite::fallible_iterator::FallibleIterator as _;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::answers::Tokens;
use crate::postgres::{Cluster, Database};
use crate::support::client::{Client, Response};
use crate::support::message::text;
use crate::support::process::Process;
use crate::support::until;
use crate::support::upstream::Upstream;

/// A password that no list holds.
pub const PASSWORD: &str = "gulls over a grey harbour";

/// How soon a change must act everywhere. The contract says one second; what is above is for a busy machine.
pub const SOON: Duration = Duration::from_secs(3);

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A store and a backend; gateways come and go over them.
pub struct World<'c> {
    pub place: Place<'c>,
    pub backend: Upstream,
    folder: tempfile::TempDir,
}

/// Where the rows are.
pub enum Place<'c> {
    Sqlite(PathBuf),
    Postgres(Database<'c>),
}

impl World<'static> {
    /// An empty store of this kind, and a backend that echoes.
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = match kind {
            Kind::Sqlite => Place::Sqlite(folder.path().join("accounts.db")),
            Kind::Postgres => Place::Postgres(Cluster::shared().database()),
        };
        Self::over(place, folder)
    }
}

impl<'c> World<'c> {
    /// A fresh database of a cluster that the test may stop.
    pub fn in_cluster(cluster: &'c Cluster) -> Self {
        Self::over(Place::Postgres(cluster.database()), tempfile::tempdir().unwrap())
    }

    /// Over a database that is there.
    pub fn in_database(database: Database<'c>) -> Self {
        Self::over(Place::Postgres(database), tempfile::tempdir().unwrap())
    }

    fn over(place: Place<'c>, folder: tempfile::TempDir) -> Self {
        let backend = Upstream::start();
        let world = Self { place, backend, folder };
        fs::write(world.folder.path().join("base.toml"), world.base()).unwrap();
        world
    }

    /// A folder of its own, for files that the configuration names.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Plain SQL by another program; what its queries say, a line a row, values apart by `|`.
    pub fn sql(&self, sql: &str) -> String {
        match &self.place {
            Place::Postgres(database) => database.psql(sql),
            Place::Sqlite(path) => sqlite(path, sql),
        }
    }

    /// A number that SQL tells.
    pub fn count(&self, sql: &str) -> u64 {
        let answer = self.sql(sql);
        answer.parse().unwrap_or_else(|_| panic!("{sql}: {answer:?}"))
    }

    /// A gateway that is ready, with this configuration beside the base's.
    pub fn gateway(&self, configuration: &str) -> Gateway {
        let gateway = self.starting_gateway(configuration);
        gateway.wait_until_ready();
        gateway
    }

    /// A gateway that listens, whatever its store does.
    pub fn starting_gateway(&self, configuration: &str) -> Gateway {
        self.starting_gateway_with(configuration, &[])
    }

    /// A gateway that is ready, with these variables in its environment.
    pub fn gateway_with(&self, configuration: &str, variables: &[(&str, &str)]) -> Gateway {
        let gateway = self.starting_gateway_with(configuration, variables);
        gateway.wait_until_ready();
        gateway
    }

    fn starting_gateway_with(&self, configuration: &str, variables: &[(&str, &str)]) -> Gateway {
        let mut command = self.command(configuration, &["serve"]);
        command.envs(variables.iter().copied());
        // Replicas share their store and nothing else.
        let data = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        command.arg("--data-dir").arg(data);
        Gateway::start(command)
    }

    /// Runs a command of the program, with this on its standard input.
    pub fn doorward(&self, arguments: &[&str], input: &str) {
        let output = self.run(arguments, input);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    /// What a command says that does its work.
    pub fn said(&self, arguments: &[&str]) -> String {
        self.said_with("", arguments)
    }

    /// The same, with more configuration.
    pub fn said_with(&self, configuration: &str, arguments: &[&str]) -> String {
        let (status, printed, said) = self.run_with(configuration, arguments);
        assert_eq!(status, 0, "{arguments:?}: {said}");
        printed
    }

    /// Runs a command that is expected to fail: its exit status and what it said.
    pub fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments, "");
        (output.status.code().unwrap(), text(&output.stderr))
    }

    /// Runs a command with this configuration beside the base's: its exit status, and what it printed and said.
    pub fn run_with(&self, configuration: &str, arguments: &[&str]) -> (i32, String, String) {
        let output = Self::finish(self.command(configuration, arguments), "");
        let status = output.status.code().unwrap();
        (status, text(&output.stdout), text(&output.stderr))
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        Self::finish(self.command("", arguments), input)
    }

    fn finish(mut command: Command, input: &str) -> Output {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn command(&self, configuration: &str, arguments: &[&str]) -> Command {
        let more = tempfile::Builder::new()
            .suffix(".toml")
            .tempfile_in(self.folder.path())
            .unwrap();
        fs::write(more.path(), configuration).unwrap();
        let (_, more) = more.keep().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        // What the developer's own environment says, and what it says to these tests, must not reach the gateway.
        for (name, _) in std::env::vars_os() {
            let foreign = name
                .to_str()
                .is_some_and(|name| name.starts_with("DOORWARD_") || name == "DATABASE_URL" || name == "PORT");
            if foreign {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join("base.toml"));
        command.arg("--config").arg(more).current_dir(self.folder.path());
        command
    }

    fn base(&self) -> String {
        let url = match &self.place {
            Place::Sqlite(path) => format!("sqlite:{}", path.display()),
            Place::Postgres(database) => database.url(),
        };
        format!(
            r#"
data_dir = "{folder}"
[[listeners]]
address = "127.0.0.1:0"
protocol = "http"
[admin]
address = "127.0.0.1:0"
[store]
url = "{url}"
[tokens]
issuer = "https://gateway.test"
[accounts]
registration = "open"
[passwords] # as cheap as they can be: the cost of hashing is not what is tested here
memory = "1MiB"
iterations = 1
max_concurrent = 2
[[upstreams]]
name = "app"
servers = ["{backend}"]
[[routes]]
name = "public"
path = "/public"
access = "public"
upstream = "app"
[[routes]]
name = "app"
path = "/app"
upstream = "app"
[[routes]]
name = "admin"
path = "/app/admin"
roles_any = ["admin"]
upstream = "app"
[[routes]]
name = "gateway-admin"
path = "/app/gateway"
roles_any = ["doorward-admin"]
upstream = "app"
"#,
            folder = self.folder.path().display(),
            backend = self.backend.url(),
        )
    }
}

fn sqlite(path: &PathBuf, sql: &str) -> String {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let mut lines = Vec::new();
    let mut batch = rusqlite::Batch::new(&connection, sql);
    while let Some(mut statement) = batch.next().unwrap() {
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let value = |index| match row.get::<_, rusqlite::types::Value>(index).unwrap() {
                rusqlite::types::Value::Null => String::new(),
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            };
            lines.push((0..columns).map(value).collect::<Vec<_>>().join("|"));
        }
    }
    lines.join("\n")
}

/// A gateway as a child process.
pub struct Gateway {
    pub process: Process,
    pub client: Client,
    pub admin: Client,
    pub address: SocketAddr,
}

impl Gateway {
    fn start(command: Command) -> Self {
        let process = Process::spawn("doorward", command);
        let address = told(&process, "listening");
        let admin = told(&process, "metrics and health");
        Self {
            process,
            client: Client::new(address),
            admin: Client::new(admin),
            address,
        }
    }

    pub fn wait_until_ready(&self) {
        until("a ready gateway", || {
            (self.admin.get("/readyz").status == 200).then_some(())
        });
    }

    /// As `kill -9` and power cuts do.
    pub fn kill(mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait();
    }

    /// Another client of it, with a connection of its own.
    pub fn another_client(&self) -> Client {
        Client::new(self.address)
    }

    pub fn register(&self, name: &str) -> Tokens {
        Tokens::of(&self.register_with(name, PASSWORD))
    }

    pub fn register_with(&self, name: &str, password: &str) -> Response {
        let body = json!({ "username": name, "password": password });
        self.client.post_json("/api/registration", &body)
    }

    pub fn login(&self, name: &str) -> Tokens {
        Tokens::of(&self.login_with(name, PASSWORD))
    }

    pub fn login_with(&self, name: &str, password: &str) -> Response {
        let body = json!({ "username": name, "password": password });
        self.client.post_json("/api/login", &body)
    }

    pub fn refresh(&self, refresh_token: &str) -> Response {
        self.client
            .post_json("/api/refresh", &json!({ "refresh_token": refresh_token }))
    }

    pub fn logout(&self, access_token: &str) -> Response {
        self.client
            .request(http::Method::POST, "/api/logout")
            .bearer(access_token)
            .send()
    }

    /// A request with a token.
    pub fn get_as(&self, path: &str, access_token: &str) -> Response {
        self.client.request(http::Method::GET, path).bearer(access_token).send()
    }

    pub fn status_as(&self, path: &str, access_token: &str) -> u16 {
        self.get_as(path, access_token).status
    }

    pub fn me(&self, access_token: &str) -> Value {
        self.get_as("/api/me", access_token).expect(200).json()
    }

    /// Waits until a request with this token is answered so; fails if that takes longer than changes may take.
    pub fn soon_answers(&self, path: &str, access_token: &str, status: u16) {
        soon(&format!("{status} for {path}"), || {
            self.status_as(path, access_token) == status
        });
    }
}

/// Waits until it is so; fails if that takes longer than changes may take.
pub fn soon(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < SOON, "in {SOON:?} never saw: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Does it so many times at once; what came of each.
pub fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let (barrier, work) = (&barrier, &work);
        let start = |index| {
            scope.spawn(move || {
                barrier.wait();
                work(index)
            })
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The address in the line that the gateway says when it listens.
fn told(process: &Process, what: &str) -> SocketAddr {
    let line = process.wait_for_line(|line| line.contains(what) && line.contains("address="));
    let address = line
        .split("address=")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    address
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("{line}"))
}
