//! A real mail server, from PyPI (aiosmtpd).

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::process::Process;
use super::venv;

/// A server that takes mail, or refuses it as it is told.
pub struct Smtp {
    pub process: Process,
    pub port: u16,
}

/// A mail as the server took it.
#[derive(Debug)]
pub struct Received {
    pub from: String,
    pub to: String,
    pub tls: bool,
    pub authenticated: bool,
    /// Header and body, decoded as far as a test looks into them.
    pub raw: String,
}

impl Smtp {
    /// In the clear, without a login.
    pub fn plain(answers: &str) -> Self {
        Self::start(&["--security", "plain", "--answers", answers])
    }

    pub fn start(arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/smtp.py");
        let mut command = Command::new(venv::program("smtp", "python"));
        command.arg("-u").arg(script).args(arguments);
        let process = Process::spawn("smtp", command);
        let line = process.wait_for_line(|line| line.starts_with("listening "));
        let port = line.trim_start_matches("listening ").parse().unwrap();
        Self { process, port }
    }

    /// The configuration of a gateway that sends here, tried again soon.
    pub fn config(&self, scheme: &str, user: &str) -> String {
        format!(
            "[mail]\nurl = '{scheme}://{user}127.0.0.1:{}'\nfrom = 'Gateway <gate@gateway.test>'\nretry = '100ms'\ntimeout = '20s'\n",
            self.port
        )
    }

    /// The mail of this number, from 0; waits for it.
    pub fn mail(&self, index: usize) -> Received {
        let at = |lines: &[String]| {
            lines
                .iter()
                .filter(|line| line.starts_with("mail "))
                .nth(index)
                .cloned()
        };
        let line = super::until("a mail", || at(&self.process.lines()));
        let mail: Value = serde_json::from_str(line.trim_start_matches("mail ")).unwrap();
        let raw = BASE64_STANDARD.decode(mail["content"].as_str().unwrap()).unwrap();
        assert_eq!(mail["to"].as_array().unwrap().len(), 1);
        Received {
            from: mail["from"].as_str().unwrap().to_owned(),
            to: mail["to"][0].as_str().unwrap().to_owned(),
            tls: mail["tls"].as_bool().unwrap(),
            authenticated: mail["authenticated"].as_bool().unwrap(),
            raw: String::from_utf8(raw).unwrap(),
        }
    }

    /// How many it took.
    pub fn count(&self) -> usize {
        self.process
            .lines()
            .iter()
            .filter(|line| line.starts_with("mail "))
            .count()
    }
}

impl Received {
    /// The value of a header field.
    pub fn header(&self, name: &str) -> String {
        let head = self.raw.split("\r\n\r\n").next().unwrap();
        let beginning = format!("{name}: ");
        let line = head.split("\r\n").find_map(|line| line.strip_prefix(&beginning));
        line.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
    }

    /// Both parts, soft line breaks undone (RFC 2045 section 6.7).
    pub fn body(&self) -> String {
        self.raw.replace("=\r\n", "").replace("=3D", "=")
    }

    /// The code in the link.
    pub fn code(&self) -> String {
        let body = self.body();
        let (_, behind) = body
            .split_once("?token=")
            .unwrap_or_else(|| panic!("no link in {body}"));
        behind
            .chars()
            .take_while(|character| character.is_ascii_alphanumeric() || "-_.".contains(*character))
            .collect()
    }
}
