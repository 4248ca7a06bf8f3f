//! A real browser: what it makes of the cookie, the forms, the redirects and the policy of the pages.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::support::client::Client;
use crate::support::gateway::{TestGateway, password_of};
use crate::support::process::Process;
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, until};

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

#[test]
fn it_logs_in_comes_back_and_logs_out() {
    let backend = Upstream::start();
    let gateway = TestGateway::with(&backend)
        .route("/app", "user")
        .user("alice", &["user"])
        .start();
    let base = format!("https://localhost:{}", gateway.https_address().port());
    let mut browser = Chromium::start();

    browser.open(&format!("{base}/app/page?a=1&b=%2F"));
    let login = format!("{base}/auth/login?rd=%2Fapp%2Fpage%3Fa%3D1%26b%3D%252F");
    let page = browser.lands_on(&login);
    assert!(page.contains("Log in") && page.contains("Username"), "{page}");
    // The style came, and nothing was blocked by the page's own policy.
    let width = browser.evaluate("getComputedStyle(document.querySelector('main')).maxWidth");
    assert_eq!(width, "384px");

    let fill = |password: &str| {
        format!(
            "document.querySelector('#username').value = 'alice'; document.querySelector('#password').value = {}",
            json!(password)
        )
    };
    browser.evaluate(&fill("wrong"));
    browser.click();
    let page = browser.lands_on(&format!("{base}/auth/login"));
    assert!(page.contains("incorrect"), "{page}");
    browser.evaluate(&fill(&password_of("alice")));
    browser.click();
    let wanted = format!("{base}/app/page?a=1&b=%2F");
    let page = browser.lands_on(&wanted);
    assert!(page.contains("\"alice\""), "{page}");
    assert!(
        !page.contains("doorward="),
        "the backend sees no cookie of ours: {page}"
    );
    // No script of a page sees it either.
    assert_eq!(browser.evaluate("document.cookie"), "");

    let before = backend.requests().len();
    browser.call("Page.reload", &json!({}));
    backend.wait_for(before + 1);
    let page = browser.lands_on(&wanted);
    assert!(page.contains("\"alice\""), "{page}");

    browser.open(&format!("{base}/"));
    let page = browser.lands_on(&format!("{base}/auth/"));
    assert!(page.contains("alice") && page.contains("Log out"), "{page}");
    browser.click();
    browser.lands_on(&format!("{base}/auth/login"));
    let before = backend.requests().len();
    browser.open(&wanted);
    browser.lands_on(&login);
    assert_eq!(backend.requests().len(), before);
}
