//! The gateway as users run it: the real program, a configuration file, signals.
//!
//! ```ignore
//! let gateway = TestGateway::with(&upstream).route("/app", "user").user("alice", &["user"]).start();
//! let token = gateway.login("alice");
//! assert_eq!(gateway.get_as(&token, "/app/").echoed("x-user").unwrap(), "alice");
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::MutexGuard;

use rustix::process::Signal;
use serde_json::{Value, json};
use toml::{Table, Value as Toml};

use super::certificates::{Authority, Certificate};
use super::client::{Client, Protocol, Response};
use super::issuer::Issuer;
use super::message::text;
use super::ports::free_port;
use super::process::Process;
use super::raw::RawClient;
use super::upstream::Upstream;
use super::upstream_h2c::H2cUpstream;
use super::{nginx::Nginx, until};

/// The name that the gateway's certificate is for, and that requests ask for.
pub const HOST: &str = "localhost";
/// The audience that tokens of an [`Issuer`] need.
pub const AUDIENCE: &str = "doorward-tests";

/// A gateway that is being put together.
pub struct Setup {
    config: Table,
    users: Vec<(String, Vec<String>)>,
    environment: Vec<(String, String)>,
    authority: Authority,
    certificate: Certificate,
    folder: tempfile::TempDir,
}

/// A running gateway. Dropping it stops it in good order and fails if it does not stop so.
pub struct TestGateway {
    setup: Setup,
    process: Process,
    ports: Ports,
    https: Client,
    stopped: bool,
}

#[derive(Clone, Copy)]
struct Ports {
    https: u16,
    http: u16,
    admin: u16,
}

/// Somewhere that requests can be forwarded to.
pub trait Backend {
    /// As `[[upstreams]] servers` names it.
    fn server(&self) -> String;
}

impl Backend for Upstream {
    fn server(&self) -> String {
        self.url()
    }
}

impl Backend for H2cUpstream {
    fn server(&self) -> String {
        self.url()
    }
}

impl Backend for Nginx {
    fn server(&self) -> String {
        self.url()
    }
}

impl TestGateway {
    /// In front of this backend, which routes call `app`.
    pub fn with(backend: &impl Backend) -> Setup {
        Setup::new().upstream("app", &[backend])
    }

    /// Without a backend.
    pub fn alone() -> Setup {
        Setup::new()
    }
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let certificate = authority.server(&[HOST, "127.0.0.1"]);
        let files = certificate.write(folder.path(), "gateway");
        let setup = Self {
            config: Table::new(),
            users: Vec::new(),
            environment: Vec::new(),
            authority,
            certificate,
            folder,
        };
        let data = setup.folder.path().join("data");
        let mut base = Table::new();
        base.insert("data_dir".into(), path(&data));
        let pair = table([("cert", path(&files.certificate)), ("key", path(&files.key))]);
        base.insert("tls".into(), table([("certificates", Toml::Array(vec![pair]))]));
        setup.merged(base)
    }

    /// One more upstream with these servers.
    pub fn upstream(self, name: &str, servers: &[&dyn Backend]) -> Self {
        let servers = servers.iter().map(|backend| Toml::String(backend.server())).collect();
        self.appended(
            "upstreams",
            table([("name", Toml::String(name.into())), ("servers", Toml::Array(servers))]),
        )
    }

    /// A route to `app` for people with this role.
    pub fn route(self, prefix: &str, role: &str) -> Self {
        self.route_with(prefix, &format!("roles_any = [{role:?}]"))
    }

    /// A route to `app` for everybody.
    pub fn public(self, prefix: &str) -> Self {
        self.route_with(prefix, "access = \"public\"")
    }

    /// A route with these keys, in TOML; to `app` and named after its path, unless they say otherwise.
    pub fn route_with(self, prefix: &str, keys: &str) -> Self {
        let mut route = parse(keys);
        route.insert("path".into(), Toml::String(prefix.into()));
        let name = prefix.trim_matches('/').replace('/', "-");
        let name = if name.is_empty() { "root".into() } else { name };
        route.entry("name").or_insert(Toml::String(name));
        if route.get("access").and_then(Toml::as_str) != Some("deny") {
            route.entry("upstream").or_insert(Toml::String("app".into()));
        }
        self.appended("routes", Toml::Table(route))
    }

    /// A local user with these roles; the password is [`password_of`] the name.
    pub fn user(mut self, name: &str, roles: &[&str]) -> Self {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        self.users.push((name.to_owned(), roles));
        self
    }

    /// Trusts the tokens of this issuer, whose subjects and roles are taken as they are.
    pub fn trusting(self, issuer: &Issuer, algorithms: &[&str]) -> Self {
        let jwks = format!("jwks_file = {:?}", issuer.jwks_file().display().to_string());
        self.trusting_with(issuer, algorithms, &jwks)
    }

    /// The same with these keys, in TOML, for where its keys are and all else.
    pub fn trusting_with(self, issuer: &Issuer, algorithms: &[&str], keys: &str) -> Self {
        let mut entry = parse(keys);
        let algorithms = algorithms.iter().map(|&name| Toml::String(name.into())).collect();
        entry.insert("issuer".into(), Toml::String(issuer.name().into()));
        entry.insert("algorithms".into(), Toml::Array(algorithms));
        for (key, value) in parse(&format!(
            "audience = [{AUDIENCE:?}]\nusers = \"as_is\"\nroles = \"as_is\"\nroles_claim = \"roles\""
        )) {
            entry.entry(key).or_insert(value);
        }
        let issuers = Table::from_iter([("trusted_issuers".to_owned(), Toml::Array(vec![Toml::Table(entry)]))]);
        self.merged(Table::from_iter([("tokens".to_owned(), Toml::Table(issuers))]))
    }

    /// More configuration, in TOML: tables are merged, arrays of tables appended to.
    pub fn config(self, text: &str) -> Self {
        self.merged(parse(text))
    }

    /// A variable of the gateway's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder where tests can put files that the configuration names.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Starts it and waits until it says that it is ready.
    pub fn start(self) -> TestGateway {
        for _ in 0..5 {
            let ports = Ports {
                https: free_port(),
                http: free_port(),
                admin: free_port(),
            };
            self.write(&self.config, ports);
            self.add_users();
            if let Some(process) = self.try_start(ports) {
                let https = client(&self.authority, ports, Protocol::Http1);
                return TestGateway {
                    setup: self,
                    process,
                    ports,
                    https,
                    stopped: false,
                };
            }
        }
        panic!("the gateway found no free ports");
    }

    /// Runs the program with this configuration where it is expected to refuse to start: its exit status and what it said.
    pub fn refused(self) -> (i32, String) {
        let ports = Ports {
            https: free_port(),
            http: free_port(),
            admin: free_port(),
        };
        self.write(&self.config, ports);
        let mut process = Process::spawn("doorward", self.command(&["serve"]));
        let status = process.wait();
        (
            status.code().expect("an exit, not a signal"),
            process.lines().join("\n"),
        )
    }

    /// `doorward` with these arguments and this configuration; gives back what it said, whatever its exit status.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("doorward runs");
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn merged(mut self, more: Table) -> Self {
        merge(&mut self.config, more, Arrays::Append);
        self
    }

    fn appended(self, key: &str, entry: Toml) -> Self {
        self.merged(Table::from_iter([(key.to_owned(), Toml::Array(vec![entry]))]))
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("doorward.toml")
    }

    /// Writes the configuration with these ports, where it does not say its own.
    fn write(&self, config: &Table, ports: Ports) {
        let mut config = config.clone();
        let listener = |port: u16, protocol: &str| {
            table([
                ("address", Toml::String(format!("127.0.0.1:{port}"))),
                ("protocol", Toml::String(protocol.into())),
            ])
        };
        config.entry("listeners").or_insert(Toml::Array(vec![
            listener(ports.https, "https"),
            listener(ports.http, "http"),
        ]));
        let mut base = Table::new();
        let admin = Toml::String(format!("127.0.0.1:{}", ports.admin));
        base.insert("admin".into(), table([("address", admin)]));
        merge(&mut base, config, Arrays::Replace);
        fs::write(self.config_file(), toml::to_string(&base).unwrap()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(arguments).arg("--config").arg(self.config_file());
        // What the developer's own environment says must not reach a test.
        for (name, _) in std::env::vars_os() {
            let foreign = name
                .to_str()
                .is_some_and(|name| name.starts_with("DOORWARD_") || name == "DATABASE_URL" || name == "PORT");
            if foreign {
                command.env_remove(name);
            }
        }
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path());
        command
    }

    fn add_users(&self) {
        for (name, roles) in &self.users {
            let output = self.run(
                &["user", "add", name, "--roles", &roles.join(","), "--password-stdin"],
                &password_of(name),
            );
            let said = text(&output.stderr);
            assert!(
                output.status.success() || said.contains("exists"),
                "user {name}: {said}"
            );
        }
    }

    /// `None` if one of the ports was taken in the meantime.
    fn try_start(&self, ports: Ports) -> Option<Process> {
        let mut process = Process::spawn("doorward", self.command(&["serve"]));
        let admin = address(ports.admin);
        let is_ready = until("the gateway is ready, or has ended", || {
            if process.has_exited().is_some() {
                return Some(false);
            }
            let ready = Client::new(admin).request(http::Method::GET, "/readyz").try_send();
            ready.is_ok_and(|response| response.status == 200).then_some(true)
        });
        if !is_ready {
            let said = process.lines().join("\n");
            assert!(
                said.contains("in use"),
                "the gateway does not start: {said}\n{}",
                fs::read_to_string(self.config_file()).unwrap()
            );
            return None;
        }
        Some(process)
    }
}

impl TestGateway {
    /// Over TLS, without credentials.
    pub fn get(&self, path: &str) -> Response {
        self.https.get(path)
    }

    /// Over TLS, with this bearer token.
    pub fn get_as(&self, token: &str, path: &str) -> Response {
        self.https.request(http::Method::GET, path).bearer(token).send()
    }

    /// The client that [`TestGateway::get`] uses: HTTP/1.1 over TLS.
    pub fn https(&self) -> &Client {
        &self.https
    }

    /// Another HTTP/1.1 client over TLS, with a connection of its own.
    pub fn another_client(&self) -> Client {
        client(&self.setup.authority, self.ports, Protocol::Http1)
    }

    /// A client that speaks HTTP/2 over TLS.
    pub fn http2(&self) -> Client {
        client(&self.setup.authority, self.ports, Protocol::Http2)
    }

    /// A client of the plain listener.
    pub fn http(&self) -> Client {
        Client::new(self.http_address())
    }

    /// A raw TLS connection that speaks HTTP/1.1.
    pub fn raw(&self) -> RawClient {
        let config = self.setup.authority.trusting_client(&["http/1.1"]);
        RawClient::connect_tls(self.https_address(), HOST, config)
    }

    /// A raw connection to the plain listener.
    pub fn raw_plain(&self) -> RawClient {
        RawClient::connect(self.http_address())
    }

    pub fn https_address(&self) -> SocketAddr {
        address(self.ports.https)
    }

    pub fn http_address(&self) -> SocketAddr {
        address(self.ports.http)
    }

    pub fn admin(&self) -> Client {
        Client::new(address(self.ports.admin))
    }

    pub fn authority(&self) -> &Authority {
        &self.setup.authority
    }

    pub fn certificate(&self) -> &Certificate {
        &self.setup.certificate
    }

    pub fn folder(&self) -> PathBuf {
        self.setup.folder()
    }

    /// Logs a user of [`Setup::user`] in; gives back the access token.
    pub fn login(&self, name: &str) -> String {
        let answer = self.try_login(name, &password_of(name)).expect(200).json();
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    pub fn try_login(&self, name: &str, password: &str) -> Response {
        self.https
            .post_json("/api/login", &json!({ "username": name, "password": password }))
    }

    /// `GET /metrics`, read into one value for each series.
    pub fn metrics(&self) -> Metrics {
        let page = self.admin().get("/metrics").expect(200);
        Metrics::parse(&page.text())
    }

    /// Runs a subcommand with the same configuration; fails, with what it said, when it does.
    pub fn cli(&self, arguments: &[&str]) -> String {
        self.cli_with_input(arguments, "")
    }

    pub fn cli_with_input(&self, arguments: &[&str], input: &str) -> String {
        let output = self.setup.run(arguments, input);
        assert!(
            output.status.success(),
            "doorward {arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Lets more configuration, in TOML, take the old one's place: tables are merged, arrays replaced. SIGHUP is sent and
    /// its outcome awaited: `ok` or `refused`.
    pub fn reload(&mut self, more: &str) -> String {
        let mut config = self.setup.config.clone();
        merge(&mut config, parse(more), Arrays::Replace);
        self.setup.write(&config, self.ports);
        let outcome = self.reload_files();
        if outcome == "ok" {
            self.setup.config = config;
        }
        outcome
    }

    /// Sends SIGHUP after files were changed by the test; gives back the outcome.
    pub fn reload_files(&self) -> String {
        const SERIES: &str = "doorward_config_reloads_total";
        let count = |metrics: &Metrics, result: &str| metrics.sum(SERIES, &[("result", result)]);
        let before = self.metrics();
        self.process.signal(Signal::HUP);
        until("the outcome of the reload", || {
            let now = self.metrics();
            let results = now.label_values(SERIES, "result");
            results
                .into_iter()
                .find(|result| count(&now, result) > count(&before, result))
        })
    }

    /// What the gateway has said so far.
    pub fn log(&self) -> Vec<String> {
        self.process.lines()
    }

    /// The first line of the log that passes, said already or yet to come.
    pub fn wait_for_log(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.process.wait_for_line(wanted)
    }

    /// Nobody reads its log while this is held.
    pub fn unread(&self) -> MutexGuard<'_, ()> {
        self.process.unread()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Stops it with SIGTERM; gives back the exit status and everything it said.
    pub fn stop(mut self) -> (i32, Vec<String>) {
        self.stopped = true;
        self.process.signal(Signal::TERM);
        let status = self.process.wait();
        (status.code().expect("an exit, not a signal"), self.process.lines())
    }

    /// `kill -9`: gives back the setup, from which it can be started again on the same data.
    pub fn kill(mut self) -> Killed {
        self.stopped = true;
        self.process.signal(Signal::KILL);
        self.process.wait();
        Killed { gateway: self }
    }
}

/// A gateway that was killed, with its data as it left it.
pub struct Killed {
    gateway: TestGateway,
}

impl Killed {
    /// Starts it again with the same configuration, ports and data.
    pub fn restart(mut self) -> TestGateway {
        let gateway = &mut self.gateway;
        gateway.process = gateway
            .setup
            .try_start(gateway.ports)
            .expect("nobody takes the ports of a gateway that was killed");
        gateway.https = gateway.another_client();
        gateway.stopped = false;
        self.gateway
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if self.stopped || std::thread::panicking() {
            return;
        }
        let early = self.process.has_exited();
        assert!(
            early.is_none(),
            "the gateway ended by itself: {early:?}\n{}",
            self.process.lines().join("\n")
        );
        self.process.signal(Signal::TERM);
        let status = self.process.wait();
        assert_eq!(status.code(), Some(0), "{}", self.process.lines().join("\n"));
    }
}

/// The password of a user that [`Setup::user`] made.
pub fn password_of(name: &str) -> String {
    format!("the long password of {name}")
}

/// The value of each series of a Prometheus page.
pub struct Metrics {
    series: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Metrics {
    /// Reads a page; fails on a line that is no sample.
    pub fn parse(page: &str) -> Self {
        let is_sample = |line: &&str| !line.is_empty() && !line.starts_with('#');
        Self {
            series: page.lines().filter(is_sample).map(parse_sample).collect(),
        }
    }

    /// The sum over the series of this name that carry these labels; 0 when there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries = |held: &BTreeMap<String, String>| {
            labels
                .iter()
                .all(|&(label, value)| held.get(label).is_some_and(|held| held == value))
        };
        self.series
            .iter()
            .filter(|(series, held, _)| series == name && carries(held))
            .map(|(_, _, value)| value)
            .sum()
    }

    pub fn has(&self, name: &str) -> bool {
        self.series.iter().any(|(series, _, _)| series == name)
    }

    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        self.series
            .iter()
            .filter(|(series, _, _)| series == name)
            .filter_map(|(_, labels, _)| labels.get(label).cloned())
            .collect()
    }
}

/// `name{label="value",…} 1.5`; label values hold no escapes here, and may hold commas and spaces.
fn parse_sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let mut found = BTreeMap::new();
    let mut rest = labels.trim_end_matches('}');
    while let Some((label, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("no sample: {line}"));
        found.insert(label.trim_start_matches(',').to_owned(), value.to_owned());
        rest = after;
    }
    let value = value.parse().unwrap_or_else(|_| panic!("no sample: {line}"));
    (name.to_owned(), found, value)
}

fn client(authority: &Authority, ports: Ports, protocol: Protocol) -> Client {
    Client::tls(address(ports.https), HOST, authority.trusting_client(&[]), protocol)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn parse(text: &str) -> Table {
    text.parse().unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn path(path: &std::path::Path) -> Toml {
    Toml::String(path.to_str().expect("a path in UTF-8").to_owned())
}

fn table<const N: usize>(entries: [(&str, Toml); N]) -> Toml {
    Toml::Table(
        entries
            .map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect(),
    )
}

/// What happens to an array that both configurations have.
#[derive(Clone, Copy)]
enum Arrays {
    Append,
    Replace,
}

fn merge(into: &mut Table, more: Table, arrays: Arrays) {
    for (key, value) in more {
        match (into.get_mut(&key), value, arrays) {
            (Some(Toml::Table(held)), Toml::Table(value), _) => merge(held, value, arrays),
            (Some(Toml::Array(held)), Toml::Array(value), Arrays::Append) if value.iter().all(Toml::is_table) => {
                held.extend(value);
            }
            (_, value, _) => {
                into.insert(key, value);
            }
        }
    }
}

/// What a JSON answer of the gateway says under `error`.
pub fn error_code(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}
