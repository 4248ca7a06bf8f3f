//! A gateway as a child process, with its configuration, its issuer and what it says.

#![allow(dead_code, reason = "what a gate can tell is wider than what each test asks")]

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::process::Signal;
use serde_json::json;

use crate::support::certificates::Authority;
use crate::support::client::{Client, Protocol};
use crate::support::issuer::Issuer;
use crate::support::process::Process;
use crate::support::raw::{RawClient, RawResponse};
use crate::support::until;

/// A running gateway.
pub struct Gate {
    process: Process,
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    files: Files,
    issuer: Issuer,
    authority: Authority,
}

/// What the configuration of one gateway refers to.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn config(&self) -> PathBuf {
        self.folder.path().join("doorward.toml")
    }
}

/// The audience of this gateway's tokens.
pub const AUDIENCE: &str = "app";

impl Gate {
    /// A gateway of this configuration: what is said here, on free ports, and tokens of [`Gate::token`]. Where no listener is
    /// said, one for plain HTTP.
    pub fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// The same with plain HTTP and TLS, in this order; the certificate is for `localhost`.
    pub fn with_tls(config: &str) -> Self {
        Self::started(&Self::with_tls_config(config))
    }

    /// The configuration of [`Gate::with_tls`], to be changed and given to [`Gate::started`]. Its certificate is in the
    /// gateway's folder as `server`.
    pub fn with_tls_config(config: &str) -> String {
        format!(
            "{config}
[[listeners]]
address = \"127.0.0.1:0\"
protocol = \"http\"
[[listeners]]
address = \"127.0.0.1:0\"
protocol = \"https\"
[tls]
certificates = [{{ cert = \"server.crt\", key = \"server.key\" }}]
"
        )
    }

    /// A gateway of [`Gate::with_tls_config`].
    pub fn started(config: &str) -> Self {
        Self::started_in(tempfile::tempdir().unwrap(), config)
    }

    /// The same with files that the configuration names.
    pub fn started_in(folder: tempfile::TempDir, config: &str) -> Self {
        let authority = Authority::new();
        authority.server(&["localhost"]).write(folder.path(), "server");
        let mut gate = Self::start_in(folder, config);
        gate.authority = authority;
        gate
    }

    /// The same with files that the configuration names.
    pub fn start_in(folder: tempfile::TempDir, config: &str) -> Self {
        let issuer = Issuer::new("https://idp.test").es256("k1");
        let files = Files { folder };
        fs::write(files.config(), complete(config, &issuer)).unwrap();
        let process = Process::spawn("doorward", command(files.folder.path(), &files.config()));
        let admin = address(&process.wait_for_line(|line| line.contains("metrics and health")));
        let listening = process.lines();
        let is_one = |line: &&String| line.contains(": listening ") || line.contains("\"message\":\"listening\"");
        let listeners = listening.iter().filter(is_one);
        let gate = Self {
            listeners: listeners.map(|line| address(line)).collect(),
            admin,
            process,
            files,
            issuer,
            authority: Authority::new(),
        };
        until("readiness", || (gate.status_of("/readyz") == 200).then_some(()));
        gate
    }

    /// The first listener.
    pub fn address(&self) -> SocketAddr {
        self.listener(0)
    }

    /// A listener, in the order of the configuration.
    pub fn listener(&self, index: usize) -> SocketAddr {
        self.listeners[index]
    }

    pub fn folder(&self) -> &Path {
        self.files.folder.path()
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A connection to the first listener.
    pub fn connect(&self) -> RawClient {
        RawClient::connect(self.address())
    }

    /// A client of the `https` listener of [`Gate::with_tls`].
    pub fn tls_client(&self, protocol: Protocol) -> Client {
        Client::tls(
            self.listener(1),
            "localhost",
            self.authority.trusting_client(&[]),
            protocol,
        )
    }

    /// One request on a connection of its own; the response.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> RawResponse {
        self.connect().send(request).response()
    }

    /// `GET` of this target with these header lines (each with its CRLF).
    pub fn get(&self, target: &str, lines: &str) -> RawResponse {
        self.ask(format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n"))
    }

    /// A good token of this person.
    pub fn token(&self, user: &str, roles: &[&str]) -> String {
        let mut claims = self.issuer.claims(AUDIENCE, user);
        claims["roles"] = json!(roles);
        self.issuer.sign("k1", &claims)
    }

    /// The header line with such a token.
    pub fn bearer(&self, user: &str, roles: &[&str]) -> String {
        format!("Authorization: Bearer {}\r\n", self.token(user, roles))
    }

    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Whose certificate [`Gate::with_tls`] shows.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    fn admin_answer(&self, path: &str) -> RawResponse {
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        RawClient::connect(self.admin).send(request).response()
    }

    /// The status of a path on the admin address.
    pub fn status_of(&self, path: &str) -> u16 {
        self.admin_answer(path).status
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        self.admin_answer("/metrics").text()
    }

    /// The value of a series, by its exact name and labels; none: 0.
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.metrics();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The access line of the request with this path.
    pub fn access_line(&self, path: &str) -> String {
        let wanted = format!("path=\"{path}\"");
        self.process
            .wait_for_line(|line| line.contains("doorward::access") && line.contains(&wanted))
    }

    /// Puts another configuration in the old one's place; nothing reads it yet.
    pub fn write_config(&self, config: &str) {
        fs::write(self.files.config(), complete(config, &self.issuer)).unwrap();
    }

    /// The configuration as it stands in the file.
    pub fn config(&self) -> String {
        fs::read_to_string(self.files.config()).unwrap()
    }

    /// SIGHUP; gives back how the reload ended, once it has.
    pub fn reload(&self) -> bool {
        let count = || {
            ["ok", "refused"]
                .map(|result| self.metric(&format!("doorward_config_reloads_total{{result={result:?}}}")))
                .iter()
                .sum::<f64>()
        };
        let before = count();
        let mark = self.process.mark();
        self.process.signal(Signal::HUP);
        let line = self.process.wait_for_line_after(mark, |line| {
            line.contains("the configuration was reloaded") || line.contains("the configuration was not reloaded")
        });
        // It is counted a moment after it is told.
        until("the reload is counted", || (count() > before).then_some(()));
        line.contains("the configuration was reloaded")
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// How the process ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// A figure of `/proc/PID/status`, in bytes.
    pub fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))
            .unwrap_or_else(|| panic!("no {what} in {status}"));
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }
}

/// An upstream and a route to it, which takes everything of its path; `more` are further keys of the route.
pub fn route(name: &str, path: &str, upstream: &str, more: &str) -> String {
    format!("[[routes]]\nname = {name:?}\npath = {path:?}\nupstream = {upstream:?}\n{more}\n")
}

/// An upstream of one server; `more` are further keys.
pub fn upstream(name: &str, url: &str, more: &str) -> String {
    format!("[[upstreams]]\nname = {name:?}\nservers = [{url:?}]\n{more}\n")
}

/// A public route for everything to one server: where a test is not about who may pass.
pub fn open_to(url: &str) -> String {
    upstream("app", url, "") + &route("open", "/", "app", "access = \"public\"")
}

fn command(folder: &Path, config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .arg("serve")
        .arg("--config")
        .arg(config)
        .arg("--data-dir")
        .arg(folder.join("data"))
        .current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOORWARD_") {
            command.env_remove(name);
        }
    }
    command
}

fn complete(config: &str, issuer: &Issuer) -> String {
    let mut config = config.to_owned();
    if !config.contains("[[listeners]]") {
        config.push_str("\n[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = \"http\"\n");
    }
    if !config.contains("[[tokens.trusted_issuers]]") {
        write!(
            config,
            "
[[tokens.trusted_issuers]]
issuer = {:?}
jwks_file = {:?}
algorithms = [\"ES256\"]
audience = [{AUDIENCE:?}]
users = \"as_is\"
roles_claim = \"roles\"
roles = \"as_is\"
",
            issuer.name(),
            issuer.jwks_file()
        )
        .unwrap();
    }
    if !config.contains("[admin]") {
        config.push_str("\n[admin]\naddress = \"127.0.0.1:0\"\n");
    }
    config
}

fn address(line: &str) -> SocketAddr {
    // A line of text, or a document.
    let address = line
        .split_once("address=")
        .or(line.split_once("address\":\""))
        .map(|(_, address)| address.trim_end_matches("\"}"))
        .unwrap_or_else(|| panic!("no address: {line}"));
    address.trim().parse().unwrap_or_else(|_| panic!("no address: {line}"))
}
