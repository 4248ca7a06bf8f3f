//! The old server's client in a browser, from the gateway's own origin and from another one (`support/flask/client.html`).

use serde_json::{Value, json};

use super::{SERVED, with_mail, with_secret};
use crate::accounts::world::{Gateway, PASSWORD, World};
use crate::postgres::Cluster;
use crate::support::chromium::Chromium;
use crate::support::flask::{Edition, Flask, Sink, folder};
use crate::support::reply::Reply;
use crate::support::until;
use crate::support::upstream::Upstream;

/// Where the client's pages come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// The server that it asks.
    Same,
    Other,
}

/// What the home page shows.
const RUNNING: &str = r#"{"JWT Server Application":"Running!"}"#;

/// Serves the client for a server at this origin; empty: the same.
fn pages(api: &str) -> Upstream {
    let page = std::fs::read_to_string(folder().join("client.html")).unwrap();
    let page = page.replace("\"SERVER\"", &format!("\"{api}\""));
    let html = [("Content-Type", "text/html; charset=utf-8")];
    Upstream::answering(move |_| Reply::new(200, &html, page.clone()))
}

/// A browser that shows the client.
struct Client {
    browser: Chromium,
    base: String,
    _pages: Upstream,
}

impl Client {
    fn open(pages: Upstream, base: String) -> Self {
        let mut browser = Chromium::start();
        browser.open(&format!("{base}/"));
        Self {
            browser,
            base,
            _pages: pages,
        }
    }

    fn at(&mut self, page: &str) -> &mut Self {
        self.browser
            .evaluate(&format!("location.hash = {}", json!(format!("#{page}"))));
        self
    }

    fn reload(&mut self) {
        self.browser.call("Page.reload", &json!({}));
    }

    fn fill(&mut self, name: &str, password: &str, email: &str) -> &mut Self {
        for (field, value) in [("username", name), ("password", password), ("email", email)] {
            self.browser
                .evaluate(&format!("document.getElementById('{field}').value = {}", json!(value)));
        }
        self
    }

    fn click(&mut self, button: &str) -> &mut Self {
        self.browser
            .evaluate(&format!("document.getElementById('{button}').click()"));
        self
    }

    fn reads(&mut self, text: &str) -> &mut Self {
        let mut last = Value::Null;
        let deadline = std::time::Instant::now() + crate::support::PATIENCE;
        loop {
            let shown = self.browser.evaluate("document.getElementById('message')?.textContent");
            if shown == text {
                return self;
            }
            if shown != last {
                last = shown;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "wanted {text:?}, the page says {last}"
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// What the client keeps.
    fn kept(&mut self) -> Value {
        let kept = self.browser.evaluate("localStorage.getItem('REACT_TOKEN_AUTH_KEY')");
        kept.as_str()
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    }

    /// Opens the secret page in the moment in which the token is over for the client; `within`: the answers came in that second.
    fn secret_when_expired(&mut self) -> Value {
        self.at("/secret")
            .browser
            .evaluate("window.gap = null; secretWhenExpired(); null");
        until("the secret page after the token's end", || {
            let gap = self.browser.evaluate("JSON.stringify(window.gap)");
            gap.as_str()
                .filter(|gap| *gap != "null")
                .map(|gap| serde_json::from_str(gap).unwrap())
        })
    }
}

/// The client before this gateway.
fn client(origin: Origin, gateway: &Gateway, routed: Upstream) -> Client {
    let api = format!("http://{}", gateway.address);
    match origin {
        Origin::Same => Client::open(routed, api),
        Origin::Other => {
            let pages = pages(&api);
            let base = pages.url();
            Client::open(pages, base)
        }
    }
}

/// A gateway that serves the client at `/`, with more configuration.
fn served(world: &World<'_>, pages: &Upstream, configuration: &str) -> Gateway {
    let routes = format!(
        "[[upstreams]]\nname = \"client\"\nservers = [\"{}\"]\n[[routes]]\nname = \"client\"\npath = \"/\"\naccess = \"public\"\nupstream = \"client\"\n",
        pages.url()
    );
    world.gateway(&with_secret(world, &format!("{SERVED}{configuration}{routes}")))
}

fn it_logs_in_and_stays_in_and_logs_out(origin: Origin) {
    let database = Cluster::shared().database();
    database.psql(Edition::Mended.table());
    let world = World::in_database(database);
    let pages = pages("");
    let gateway = served(&world, &pages, "[tokens]\naccess_ttl = \"4s\"\n");
    let mut client = client(origin, &gateway, pages);
    client.reads(RUNNING);

    // Nobody yet.
    client.at("/secret").reads("Sorry you aren't authorized!");
    client
        .at("/register")
        .fill("alice", PASSWORD, "")
        .click("do")
        .reads("Registered");
    assert_eq!(client.kept().as_object().unwrap().len(), 1);
    client.at("/secret").reads("protected endpoint (allowed usr alice)");
    client.click("logout").reads("Logged out");
    assert_eq!(client.kept(), Value::Null);
    client.at("/").reads(RUNNING);
    client.at("/secret").reads("Sorry you aren't authorized!");
    client
        .at("/register")
        .fill("alice", "another", "")
        .click("do")
        .reads("Username already taken");
    assert_eq!(client.kept(), Value::Null);

    client
        .at("/login")
        .fill("alice", "wrong", "")
        .click("do")
        .reads("Please type in correct username/password");
    assert_eq!(client.kept(), Value::Null);
    client.fill("alice", PASSWORD, "").click("do").reads("Logged in");
    client.at("/secret").reads("protected endpoint (allowed usr alice)");

    // Its time is up, again and again, and nobody notices; in the very second of its end too.
    let mut within = 0;
    for _ in 0..3 {
        let gap = client.secret_when_expired();
        client.reads("protected endpoint (allowed usr alice)");
        assert_eq!(gap["changed"], true, "{}", client.kept());
        assert!(client.kept()["access_token"].is_string(), "{}", client.kept());
        within += i32::from(gap["within"] == true);
    }
    assert!(within > 0, "never within the second");
    client.reload();
    client.reads("protected endpoint (allowed usr alice)");
    client.click("logout").reads("Logged out");
    client.reload();
    client.reads("Sorry you aren't authorized!");
}

#[test]
fn it_logs_in_and_stays_in_and_logs_out_from_the_same_origin() {
    it_logs_in_and_stays_in_and_logs_out(Origin::Same);
}

#[test]
fn it_logs_in_and_stays_in_and_logs_out_from_another_origin() {
    it_logs_in_and_stays_in_and_logs_out(Origin::Other);
}

#[test]
fn at_the_original_it_loses_its_login_in_the_second_of_its_end() {
    let database = Cluster::shared().database();
    database.psql(Edition::Mended.table());
    let flask = Flask::start_with(Edition::Mended, &database.url(), &[("ACCESS_SECONDS", "2")]);
    let pages = pages(&format!("http://{}", flask.address));
    let base = pages.url();
    let mut client = Client::open(pages, base);
    client.reads(RUNNING);
    client
        .at("/register")
        .fill("alice", PASSWORD, "")
        .click("do")
        .reads("Registered");
    client.at("/secret").reads("protected endpoint (allowed usr alice)");
    // A machine that is too busy for that second tries again.
    until("an answer within the second", || {
        let gap = client.secret_when_expired();
        if gap["within"] == true {
            return Some(());
        }
        client
            .at("/login")
            .fill("alice", PASSWORD, "")
            .click("do")
            .reads("Logged in");
        None
    });
    client.reads("Sorry you aren't authorized!");
    assert_eq!(client.kept()["error"], "EarlyRefreshError");
}

fn it_registers_and_resets_by_mail(origin: Origin) {
    let database = Cluster::shared().database();
    database.psql(Edition::Mail.table());
    let world = World::in_database(database);
    let sink = Sink::plain();
    let pages = pages("");
    let gateway = served(&world, &pages, &with_mail(sink.port));
    let mut client = client(origin, &gateway, pages);
    client.reads(RUNNING);

    let address = "alice@example.com";
    client
        .at("/register")
        .fill("alice", PASSWORD, address)
        .click("do")
        .reads("Please check your email");
    client
        .at("/login")
        .fill("alice", PASSWORD, "")
        .click("do")
        .reads("Please type in correct username/password");
    let link = link_in(&sink.mail_to(address, "Confirm"));
    client.follow(&link).reads("Welcome alice");
    client.at("/secret").reads("protected endpoint (allowed usr alice)");
    // Followed again, it is no failure.
    client
        .click("logout")
        .reads("Logged out")
        .follow(&link)
        .reads("Welcome alice");
    client
        .at("/register")
        .fill("alice", PASSWORD, "other@example.com")
        .click("do")
        .reads("Username already taken");
    client
        .fill("bob", PASSWORD, address)
        .click("do")
        .reads("Email already taken");

    client.click("logout").reads("Logged out");
    client.at("/reset").fill("", "", address).click("do");
    client.reads(&format!("successfully sent password reset email to {address}"));
    let link = link_in(&sink.mail_to(address, "Reset"));
    client.follow(&link).reads("Please type in your new password");
    let new = "a much newer password";
    client.fill("", new, "").click("do").reads("Password of alice changed");
    client.at("/secret").reads("protected endpoint (allowed usr alice)");
    client.click("logout").reads("Logged out");
    client.follow(&link).reads("Please type in your new password");
    client.fill("", "once more", "").click("do").reads("That did not work");
    client
        .at("/login")
        .fill("alice", new, "")
        .click("do")
        .reads("Logged in");
}

impl Client {
    /// Opens the link of a mail, on this client.
    fn follow(&mut self, link: &str) -> &mut Self {
        let (_, page) = link.split_once("/#").unwrap();
        let url = format!("{}/#{page}", self.base);
        // A page of its own, as a mail program opens it.
        self.browser.open("about:blank");
        self.browser.open(&url);
        self
    }
}

fn link_in(mail: &Value) -> String {
    let html = mail["html"].as_str().unwrap();
    let link = html
        .split("href=\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|link| link.contains("?token="));
    link.unwrap_or_else(|| panic!("no link in {html}"))
        .replace("&#x2F;", "/")
        .replace("&amp;", "&")
}

#[test]
fn it_registers_and_resets_by_mail_from_the_same_origin() {
    it_registers_and_resets_by_mail(Origin::Same);
}

#[test]
fn it_registers_and_resets_by_mail_from_another_origin() {
    it_registers_and_resets_by_mail(Origin::Other);
}
