//! The Flask server that `[compat]` takes the place of: flask-praetorian, PyJWT and passlib themselves, under gunicorn.
//!
//! `flask/original.py` says what it is; `tests/run` has made the virtual environment that it runs in.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::certificates::Authority;
use super::client::Client;
use super::ports::free_port;
use super::process::Process;
use super::{until, venv};

/// The `SECRET_KEY` that the tests use; any text will do, no base64, no key.
pub const SECRET: &str = "not base64: a secret, with blanks and \u{fc}";

/// Which revision of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// Without e-mail, as it is: its refresh is always a 500.
    Plain,
    /// Without e-mail, its refresh mended: what it was meant to be.
    Mended,
    /// With e-mail.
    Mail,
}

impl Edition {
    /// The table as this revision's README makes it.
    pub fn table(self) -> &'static str {
        match self {
            Self::Plain | Self::Mended => {
                "CREATE TABLE users (id serial PRIMARY KEY, username text NOT NULL, password text NOT NULL, roles text, is_active boolean)"
            }
            Self::Mail => {
                "CREATE TABLE users (id serial PRIMARY KEY, username text NOT NULL, password text NOT NULL, roles text, \
                 is_active boolean, email text NOT NULL UNIQUE)"
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "S",
            Self::Mended => "S-mended",
            Self::Mail => "M",
        }
    }
}

/// A running one.
pub struct Flask {
    process: Process,
    pub client: Client,
    pub address: SocketAddr,
}

impl Flask {
    /// Over this database, with the usual secret and lifespans.
    pub fn start(edition: Edition, database: &str) -> Self {
        Self::start_with(edition, database, &[])
    }

    /// With more in its environment (`original.py` lists it).
    pub fn start_with(edition: Edition, database: &str, environment: &[(&str, &str)]) -> Self {
        for _ in 0..5 {
            if let Some(running) = Self::try_start(free_port(), edition, database, environment) {
                return running;
            }
        }
        panic!("gunicorn found no free port");
    }

    fn try_start(port: u16, edition: Edition, database: &str, environment: &[(&str, &str)]) -> Option<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new(venv::program("flask", "gunicorn"));
        command
            .args(["--workers", "1", "--threads", "8", "--bind", &address.to_string()])
            .arg("--chdir")
            .arg(folder())
            .arg("original:app")
            .env("EDITION", edition.name())
            .env("DATABASE_URL", database)
            .env("SECRET_KEY", SECRET)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "ignore")
            .envs(environment.iter().copied());
        let mut process = Process::spawn("gunicorn", command);
        // It listens before the application is there, and answers when it is.
        let is_up = until("gunicorn listens, or has ended", || {
            if process.has_exited().is_some() {
                return Some(false);
            }
            TcpStream::connect(address).is_ok().then_some(true)
        });
        let client = Client::new(address);
        is_up.then(|| {
            client.get("/api/").expect(200);
            Self {
                process,
                client,
                address,
            }
        })
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process.lines().join("\n")
    }
}

impl Drop for Flask {
    fn drop(&mut self) {
        // Killed at once, its worker would go on for a second.
        self.process.signal(rustix::process::Signal::INT);
        self.process.wait();
    }
}

/// The libraries, asked directly: passlib for hashes, PyJWT for tokens.
pub struct Libraries {
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Libraries {
    pub fn start() -> Self {
        let mut child = Command::new(venv::program("flask", "python"))
            .arg(folder().join("tool.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asked, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            asked,
            answers: BufReader::new(answers),
        }
    }

    /// What `tool.py` makes of this list.
    pub fn ask(&mut self, question: &Value) -> Value {
        self.ask_text(&question.to_string())
    }

    /// The same with the members of objects in the order in which they are written.
    pub fn ask_text(&mut self, question: &str) -> Value {
        writeln!(self.asked, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?} to {question}"))
    }

    /// passlib's hash of this password with these settings.
    pub fn hash(&mut self, scheme: &str, password: &str, settings: &Value) -> String {
        let made = self.ask(&json!(["hash", scheme, password, settings]));
        let made = made.as_str().unwrap_or_default();
        assert!(made.starts_with('$'), "{scheme} {settings}: {made}");
        made.to_owned()
    }

    /// Whether the server's passlib takes this password for this hash.
    pub fn verifies(&mut self, password: &str, hash: &str) -> bool {
        self.ask(&json!(["verify", password, hash])) == true
    }

    /// PyJWT's token of these claims, signed with HS256.
    pub fn encode(&mut self, claims: &Value, secret: &str) -> String {
        let made = self.ask(&json!(["encode", claims, secret, "HS256"]));
        made.as_str().unwrap().to_owned()
    }
}

impl Drop for Libraries {
    fn drop(&mut self) {
        // Both fail only if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the Python sources and the client's page are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/flask")
}

/// Takes mail of both servers, and keeps it.
pub struct Sink {
    process: Process,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Sink {
    /// By TLS from the first byte, as the Flask server sends.
    pub fn tls() -> Self {
        Self::start(true)
    }

    /// Without TLS.
    pub fn plain() -> Self {
        Self::start(false)
    }

    fn start(tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Authority::new().server(&["localhost"]).write(folder.path(), "sink");
        for _ in 0..5 {
            let port = free_port();
            let mut command = Command::new(venv::program("flask", "python"));
            command
                .args(["-B", "-W", "ignore"])
                .arg(self::folder().join("sink.py"))
                .arg(port.to_string());
            if tls {
                command.arg(&certificate.certificate).arg(&certificate.key);
            }
            let mut process = Process::spawn("the mail sink", command);
            let listens = until("a sink that listens, or has ended", || {
                if process.has_exited().is_some() {
                    return Some(false);
                }
                process.lines().iter().any(|line| line == "listening").then_some(true)
            });
            if listens {
                return Self {
                    process,
                    port,
                    _folder: folder,
                };
            }
        }
        panic!("the sink found no free port");
    }

    /// The last mail to this address with this in its subject, waited for: `to from subject html text`.
    pub fn mail_to(&self, address: &str, subject: &str) -> Value {
        let mail = |line: &str| -> Option<Value> {
            let mail: Value = serde_json::from_str(line.strip_prefix("mail ")?).ok()?;
            let right = mail["to"] == json!([address]) && mail["subject"].as_str()?.contains(subject);
            right.then_some(mail)
        };
        self.process.wait_for_line(|line| mail(line).is_some());
        self.process.lines().iter().rev().find_map(|line| mail(line)).unwrap()
    }
}
