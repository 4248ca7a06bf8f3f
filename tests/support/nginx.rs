//! A real nginx as a backend: what it makes of a request is what backends in the field make of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::client::{Client, Response};
use super::ports::free_port;
use super::process::Process;
use super::until;

/// A running nginx in a folder of its own.
pub struct Nginx {
    process: Process,
    address: SocketAddr,
    /// Holds the configuration and nginx' temporary files.
    _prefix: tempfile::TempDir,
}

/// Tells what nginx understood, one `name: value` a line; `uri` is what it decoded and merged to choose a location.
const WHAT_IT_SAW: &str = r#"
    location / {
        default_type text/plain;
        return 200 "method: $request_method
target: $request_uri
uri: $uri
args: $args
protocol: $server_protocol
host: $http_host
authorization: $http_authorization
cookie: $http_cookie
x-user: $http_x_user
x-user-id: $http_x_user_id
x-user-roles: $http_x_user_roles
x-forwarded-for: $http_x_forwarded_for
x-forwarded-proto: $http_x_forwarded_proto
x-forwarded-host: $http_x_forwarded_host
x-forwarded-prefix: $http_x_forwarded_prefix
x-real-ip: $http_x_real_ip
x-request-id: $http_x_request_id
content-length: $http_content_length
connection: $http_connection
";
    }
"#;

impl Nginx {
    /// Answers every request with what it saw of it.
    pub fn start() -> Self {
        Self::serving(WHAT_IT_SAW)
    }

    /// With these directives in its only server.
    pub fn serving(directives: &str) -> Self {
        Self::serving_beside("", directives)
    }

    /// The same with these before the server.
    pub fn serving_beside(http: &str, directives: &str) -> Self {
        for _ in 0..5 {
            if let Some(running) = Self::try_start(free_port(), http, directives) {
                return running;
            }
        }
        panic!("nginx found no free port");
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As `[[upstreams]] servers` names it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn get(&self, path: &str) -> Response {
        Client::new(self.address).get(path)
    }

    fn try_start(port: u16, http: &str, directives: &str) -> Option<Self> {
        let prefix = tempfile::tempdir().unwrap();
        // Started as root, its workers are somebody else and still have to get at the folder.
        fs::set_permissions(prefix.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(prefix.path().join("nginx.conf"), configuration(port, http, directives)).unwrap();
        let mut process = Process::spawn("nginx", command(prefix.path()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let is_up = until("nginx listens, or has ended", || {
            if process.has_exited().is_some() {
                return Some(false);
            }
            TcpStream::connect(address).is_ok().then_some(true)
        });
        if !is_up {
            let said = process.lines().join("\n");
            assert!(said.contains("Address already in use"), "nginx does not start: {said}");
            return None;
        }
        Some(Self {
            process,
            address,
            _prefix: prefix,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers, which outlive a master that is killed.
        if self.process.has_exited().is_none() {
            self.process.signal(rustix::process::Signal::TERM);
            self.process.wait();
        }
    }
}

/// What a response of [`Nginx::start`] says under this name; empty for a header that did not come.
pub fn saw(response: &Response, name: &str) -> String {
    let body = response.text();
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("nginx says nothing of {name}: {body}"))
        .trim()
        .to_owned()
}

fn command(prefix: &Path) -> Command {
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(prefix)
        .args(["-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]);
    // Debian keeps it where only root looks.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    command
}

fn configuration(port: u16, http: &str, directives: &str) -> String {
    format!(
        "worker_processes 1;
pid nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {http}
    server {{
        listen 127.0.0.1:{port};
        {directives}
    }}
}}
"
    )
}
