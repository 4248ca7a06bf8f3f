//! A real browser, steered by the protocol of its developer tools.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::client::Client;
use super::process::Process;
use super::{PATIENCE, until};

/// Chromium without a window, steered by the protocol of its developer tools.
pub struct Chromium {
    process: Process,
    page: WebSocket<TcpStream>,
    asked: u64,
    _profile: tempfile::TempDir,
}

impl Chromium {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.args([
            "--headless=new",
            "--remote-debugging-port=0",
            // As root, as in a container, it has no sandbox; what it visits is only this test.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--no-proxy-server",
            "--ignore-certificate-errors",
            "about:blank",
        ]);
        let process = Process::spawn("chromium", command);
        let line = process.wait_for_line(|line| line.contains("DevTools listening on ws://"));
        let address: SocketAddr = line
            .split("ws://")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .unwrap()
            .parse()
            .unwrap();
        let url = until("a page of the browser", || {
            let pages = Client::new(address).get("/json/list").json();
            let page = pages.as_array()?.iter().find(|page| page["type"] == "page")?.clone();
            page["webSocketDebuggerUrl"].as_str().map(str::to_owned)
        });
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (page, _) = tungstenite::client(url, stream).unwrap();
        Self {
            process,
            page,
            asked: 0,
            _profile: profile,
        }
    }

    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.asked += 1;
        let call = json!({ "id": self.asked, "method": method, "params": parameters });
        self.page.send(Message::text(call.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.page.read().unwrap() else {
                continue;
            };
            let told: Value = serde_json::from_str(&text).unwrap();
            if told["id"] == self.asked {
                return told["result"].clone();
            }
        }
    }

    /// What a script in the page gives; nothing while one page makes way for the next.
    pub fn evaluate(&mut self, script: &str) -> Value {
        let told = self.call("Runtime.evaluate", &json!({ "expression": script }));
        told["result"]["value"].clone()
    }

    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({ "url": url }));
    }

    /// Does it as a person does: the button is clicked, and the form sends itself.
    pub fn click(&mut self) {
        self.evaluate("document.querySelector('button').click()");
    }

    /// Waits until this is where it is and the page is there as a whole; gives back its text.
    pub fn lands_on(&mut self, url: &str) -> String {
        until(url, || {
            let state = self.evaluate("document.readyState + ' ' + location.href");
            (state == format!("complete {url}")).then_some(())
        });
        let text = self.evaluate("document.body.innerText");
        text.as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.process.signal(Signal::TERM);
        self.process.wait();
    }
}
