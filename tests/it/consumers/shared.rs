//! A consumer as an example configures it, the gateway of the same example, a backend that writes down what it gets, and
//! clients of the consumer.
//!
//! The files are the very ones that people read. They are copied into a folder of the test's own, and only the numbers of the
//! ports in them are replaced, wherever they stand: 8443 (the consumer), 8000 (the gateway), 9001 (the backend). What the
//! gateway is told beside that stands in a second file: its admin address, an issuer whose tokens can be expired, and hashing
//! as cheap as it can be.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http::Method;
use rustix::process::Signal;
use serde_json::json;

use super::received;
use crate::support::certificates::Authority;
use crate::support::client::{Client, Protocol, RequestBuilder};
use crate::support::gateway::password_of;
use crate::support::issuer::{Issuer, unix_time};
use crate::support::message::text;
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::raw::{RawClient, RawResponse};
use crate::support::relay::Relay;
use crate::support::until;
use crate::support::upstream::{Request, Upstream};

/// The host that clients ask for, and what its certificate is for.
pub const HOST: &str = "localhost";
pub const LOGIN_HOST: &str = "login.doorward.localhost";
pub const APP_HOST: &str = "app.doorward.localhost";
const AUDIENCE: &str = "the-examples";

/// One folder of `examples/` and how its program is run there.
#[derive(Clone, Copy)]
pub struct Example {
    /// The folder.
    pub folder: &'static str,
    /// The files of it that are used.
    pub files: fn(&str) -> Vec<(String, String)>,
    /// The program with its arguments, to be run in this folder.
    pub command: fn(&Path) -> Command,
    /// What else the program needs there.
    pub beside: Option<fn(&Path) -> Upstream>,
    /// Whether Doorward is only asked, and the consumer itself forwards.
    pub asks: bool,
    /// Whether the consumer takes Doorward's cookie out before it forwards.
    pub hides_cookie: bool,
    /// Whether it hands on names with a dot in the place of a hyphen.
    pub passes_dots: bool,
    /// Whether it keeps its connections to Doorward for the next question.
    pub keeps_connections: bool,
}

/// The example's programs, running.
pub struct Running {
    pub example: Example,
    pub backend: Upstream,
    pub client: Client,
    relay: Relay,
    authority: Authority,
    issuer: Issuer,
    port: u16,
    admin: u16,
    // Its socket may stand in the folder.
    _beside: Option<Upstream>,
    folder: tempfile::TempDir,
    // The consumer ends first.
    consumer: Process,
    gateway: Option<Process>,
}

impl Example {
    pub fn start(self) -> Running {
        self.start_with(&[])
    }

    /// With more of the examples' files behind `doorward.toml`.
    pub fn start_with(self, more: &[&str]) -> Running {
        self.start_before(None, more)
    }

    /// With this in the place of the backend.
    pub fn start_before(self, other: Option<SocketAddr>, more: &[&str]) -> Running {
        for _ in 0..5 {
            if let Some(running) = self.try_start(other, more) {
                return running;
            }
        }
        panic!("{} found no free ports", self.folder);
    }

    fn try_start(self, other: Option<SocketAddr>, more: &[&str]) -> Option<Running> {
        let folder = tempfile::tempdir().unwrap();
        // Started as root, nginx' workers are somebody else and still have to get at the folder.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let authority = Authority::new();
        let certificate = authority.server(&[HOST, LOGIN_HOST, APP_HOST]);
        let files = certificate.write(folder.path(), "server");
        let both = [&files.certificate, &files.key].map(|file| fs::read_to_string(file).unwrap());
        fs::write(folder.path().join("server.pem"), both.concat()).unwrap();

        let backend = Upstream::answering(received::reply);
        let (port, gateway_port, admin) = (free_port(), free_port(), free_port());
        let relay = Relay::to(address(gateway_port));
        let issuer = Issuer::new("https://idp.test").es256("k");
        let copied = [&[self.folder], more].concat();
        for (index, from) in copied.iter().enumerate() {
            for (name, text) in if index == 0 {
                (self.files)(from)
            } else {
                example_files(from)
            } {
                // A consumer that only asks does so over a wire where it can be watched.
                let is_gateways = Path::new(&name)
                    .extension()
                    .is_some_and(|extension| extension == "toml");
                let asked = if is_gateways || !self.asks {
                    gateway_port
                } else {
                    relay.port()
                };
                let ports = [
                    (8443, port),
                    (8000, asked),
                    (9001, other.unwrap_or(backend.address()).port()),
                ];
                assert!(index == 0 || is_gateways, "{name} would be in the way");
                fs::write(folder.path().join(name), with_ports(&text, &ports)).unwrap();
            }
        }
        fs::write(folder.path().join("test.toml"), beside(admin, &issuer)).unwrap();

        let beside = self.beside.map(|start| start(folder.path()));
        let mut running = Running {
            example: self,
            client: Client::tls(address(port), HOST, authority.trusting_client(&[]), Protocol::Http1),
            backend,
            relay,
            authority,
            issuer,
            port,
            admin,
            consumer: run_in(folder.path(), "the consumer", (self.command)(folder.path())),
            folder,
            gateway: None,
            _beside: beside,
        };
        for (name, roles) in [("alice", "user"), ("root", "user,admin")] {
            running.add_user(name, roles, more);
        }
        running.start_gateway(more);
        running.serves().then_some(running)
    }
}

impl Running {
    fn doorward(&self, arguments: &[&str], more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(arguments).args(["--config", "doorward.toml"]);
        for file in more {
            command.args(["--config", file]);
        }
        command.args(["--config", "test.toml"]);
        command
    }

    fn add_user(&self, name: &str, roles: &str, more: &[&str]) {
        let mut command = self.doorward(&["user", "add", name, "--roles", roles, "--password-stdin"], more);
        clean(&mut command).current_dir(self.folder.path());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // What it read too little of, it tells.
        let _ = child.stdin.take().unwrap().write_all(password_of(name).as_bytes());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "user {name}: {}", text(&output.stderr));
    }

    fn start_gateway(&mut self, more: &[&str]) {
        let gateway = run_in(self.folder.path(), "doorward", self.doorward(&["serve"], more));
        self.gateway = Some(gateway);
        let admin = Client::new(address(self.admin));
        let gateway = self.gateway.as_mut().unwrap();
        until("a gateway that is ready", || {
            assert!(gateway.has_exited().is_none(), "{:#?}", gateway.lines());
            let ready = admin.request(Method::GET, "/readyz").try_send();
            ready.is_ok_and(|answer| answer.status == 200).then_some(())
        });
    }

    pub fn stop_gateway(&mut self) {
        let mut gateway = self.gateway.take().unwrap();
        gateway.signal(Signal::TERM);
        gateway.wait();
    }

    /// Starts the gateway anew with this configuration beside its own, on the same data.
    pub fn restart_gateway(&mut self, configuration: &str) {
        self.stop_gateway();
        fs::write(self.folder.path().join("more.toml"), configuration).unwrap();
        self.start_gateway(&["more.toml"]);
    }

    /// Whether the consumer serves; false where somebody else took its port.
    fn serves(&mut self) -> bool {
        let serves = until("a consumer that serves, or has ended", || {
            if self.consumer.has_exited().is_some() {
                return Some(false);
            }
            // Some listen before they know where to.
            let public = self.client.request(Method::GET, "/public/").try_send();
            public.is_ok_and(|answer| answer.status == 200).then_some(true)
        });
        let said = self.consumer.lines().join("\n").to_lowercase();
        assert!(
            serves || said.contains("in use") || said.contains("cannot bind"),
            "{said}"
        );
        serves
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the gateway has said.
    pub fn log(&self) -> Vec<String> {
        self.gateway.as_ref().unwrap().lines()
    }

    /// How many connections were made to Doorward for questions, and how many bytes came over them.
    pub fn asked_over(&self) -> (usize, usize) {
        self.relay.carried()
    }

    /// A client that asks for another host.
    pub fn client_for(&self, host: &str) -> Client {
        Client::tls(
            address(self.port),
            host,
            self.authority.trusting_client(&[]),
            Protocol::Http1,
        )
    }

    /// What trusts the consumer's certificate, and speaks these protocols.
    pub fn trusting(&self, alpn: &[&str]) -> rustls::ClientConfig {
        self.authority.trusting_client(alpn)
    }

    pub fn http2(&self) -> Client {
        let config = self.authority.trusting_client(&[]);
        Client::tls(address(self.port), HOST, config, Protocol::Http2)
    }

    pub fn get(&self, path: &str) -> RequestBuilder<'_> {
        self.client.request(Method::GET, path)
    }

    /// A connection that sends what it is told to, byte for byte.
    pub fn raw(&self) -> RawClient {
        let config = self.authority.trusting_client(&["http/1.1"]);
        RawClient::connect_tls(address(self.port), HOST, config)
    }

    /// One request with these lines behind its first; none: the consumer closed without a word.
    pub fn raw_request(&self, first: &str, lines: &[&str]) -> Option<RawResponse> {
        let mut head = format!("{first}\r\nHost: {HOST}:{}\r\nConnection: close\r\n", self.port);
        for line in lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut client = self.raw();
        // It may refuse before it has read everything.
        let _ = client.try_send(head);
        client.try_response().ok()
    }

    /// Logs in through the consumer, as programs do.
    pub fn login(&self, name: &str) -> String {
        let body = json!({ "username": name, "password": password_of(name) });
        let answer = self.client.post_json("/api/login", &body).expect(200).json();
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// A token of another issuer, good for so many seconds from now.
    pub fn foreign_token(&self, name: &str, seconds: i64) -> String {
        let mut claims = self.issuer.claims(AUDIENCE, name);
        let now = i64::try_from(unix_time()).unwrap();
        claims["iat"] = json!(now - 7200);
        claims["exp"] = json!(now + seconds);
        claims["roles"] = json!(["user"]);
        self.issuer.sign("k", &claims)
    }

    /// What the backend got of this request, which must have come to it.
    pub fn forwarded(&self, request: RequestBuilder<'_>) -> Request {
        let before = self.backend.requests().len();
        request.send().expect(200);
        let mut requests = self.backend.wait_for(before + 1);
        assert_eq!(requests.len(), before + 1, "{:#?}", self.log());
        requests.remove(before)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for process in std::iter::once(&mut self.consumer).chain(&mut self.gateway) {
            if process.has_exited().is_none() {
                process.signal(Signal::TERM);
            }
        }
        // nginx' workers and HAProxy's outlive a master that is killed.
        if !std::thread::panicking() {
            self.consumer.wait();
        }
    }
}

/// The files of a folder of `examples/`, or the one file.
pub fn example_files(name: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let files = match path.is_dir() {
        true => fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect(),
        false => vec![path],
    };
    let named = |file: PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(file).unwrap())
    };
    files.into_iter().filter(|file| file.is_file()).map(named).collect()
}

/// Replaces each of these numbers wherever it stands as a whole.
pub fn with_ports(text: &str, ports: &[(u16, u16)]) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        let replaced = ports.iter().find(|(written, _)| number == written.to_string());
        result.push_str(before);
        result.push_str(&replaced.map_or_else(|| number.to_owned(), |(_, port)| port.to_string()));
        rest = after;
    }
    result + rest
}

/// What the test's gateway is told beside the example's configuration.
fn beside(admin: u16, issuer: &Issuer) -> String {
    format!(
        r#"
[admin]
address = "127.0.0.1:{admin}"
[passwords]
memory = "1MiB"
iterations = 1
[[tokens.trusted_issuers]]
issuer = "{}"
jwks_file = "{}"
algorithms = ["ES256"]
audience = ["{AUDIENCE}"]
users = "as_is"
roles_claim = "roles"
roles = "as_is"
"#,
        issuer.name(),
        issuer.jwks_file().display()
    )
}

fn run_in(folder: &Path, name: &str, mut command: Command) -> Process {
    clean(&mut command).current_dir(folder);
    // What programs keep for their user stays in the folder.
    command
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .env("XDG_CONFIG_HOME", folder);
    Process::spawn(name, command)
}

/// What the developer's own environment says must not reach a test.
pub fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let foreign = name
            .to_str()
            .is_some_and(|name| name.starts_with("DOORWARD_") || name == "DATABASE_URL" || name == "PORT");
        if foreign {
            command.env_remove(name);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    // Debian keeps servers where only root looks.
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"))
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[test]
fn only_whole_numbers_are_replaced() {
    let text = "127.0.0.1:8443 port_value: 8443 84430 x8443/ 18443 8000";
    let replaced = with_ports(text, &[(8443, 1), (8000, 2)]);
    assert_eq!(replaced, "127.0.0.1:1 port_value: 1 84430 x1/ 18443 2");
}
