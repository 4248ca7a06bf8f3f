//! Other issuers whose keys come from a URL: fetched in time and not too often, kept while the issuer is down, never taken
//! from anybody else.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gate::{Gate, open_to};
use crate::support::certificates::Authority;
use crate::support::client::Response;
use crate::support::gateway::{AUDIENCE, TestGateway};
use crate::support::issuer::{Issuer, unix_time};
use crate::support::ports::free_port;
use crate::support::reply::{Gate as Barrier, Reply};
use crate::support::until;
use crate::support::upstream::Upstream;

const SERIES: &str = "doorward_jwks_fetches_total";

/// A server of JWK Sets.
struct Idp {
    server: Upstream,
    says: Arc<Mutex<Reply>>,
}

impl Idp {
    fn saying(reply: Reply) -> Self {
        let says = Arc::new(Mutex::new(reply));
        let shared = Arc::clone(&says);
        Self {
            server: Upstream::answering(move |_| shared.lock().unwrap().clone()),
            says,
        }
    }

    fn of(issuer: &Issuer) -> Self {
        Self::saying(Reply::json(&issuer.jwks()))
    }

    fn says(&self, reply: Reply) {
        *self.says.lock().unwrap() = reply;
    }

    fn keys(&self) -> String {
        format!("jwks_url = \"{}/jwks.json\"", self.server.url())
    }

    fn fetches(&self) -> usize {
        self.server.requests().len()
    }
}

/// A gateway with one route for everybody who is somebody, and a token of this key.
fn gateway(backend: &Upstream, issuer: &Issuer, keys: &str) -> TestGateway {
    TestGateway::with(backend)
        .route_with("/", "")
        .trusting_with(issuer, &["ES256"], keys)
        .start()
}

fn token(issuer: &Issuer, key: &str) -> String {
    issuer.sign(key, &issuer.claims(AUDIENCE, "ann"))
}

/// A token that names a key which nobody has.
fn unknown(issuer: &Issuer, key: &str, name: &str) -> String {
    let header = json!({ "alg": "ES256", "kid": name });
    issuer.sign_with_header(key, &header, &issuer.claims(AUDIENCE, "ann"))
}

/// Nobody can tell yet whether the token is good.
fn assert_undecided(response: &Response) {
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(response.json()["error"], "not_ready");
    assert!(response.header("retry-after").is_some(), "{response:?}");
}

/// The answer to a token whose keys are there, or are being fetched: on a busy machine that may take longer than the second
/// that a request waits.
fn soon(gateway: &TestGateway, token: &str) -> Response {
    until("a fetch of the keys", || {
        let answer = gateway.get_as(token, "/");
        match answer.status {
            200 => Some(answer),
            _ => {
                assert_undecided(&answer);
                None
            }
        }
    })
}

fn fetched(gateway: &TestGateway, result: &str) -> f64 {
    gateway.metrics().sum(SERIES, &[("result", result)])
}

#[test]
fn keys_come_over_tls_from_a_server_that_the_system_trusts() {
    let (backend, issuer) = (Upstream::start(), Issuer::new("https://idp.test").es256("k1"));
    let idp = Idp::of(&issuer);
    let front = Gate::with_tls(&open_to(&idp.server.url()));
    let port = front.listener(1).port();
    let keys =
        format!("jwks_url = \"https://localhost:{port}/jwks.json\"\nusers = \"prefixed\"\nuser_prefix = \"idp:\"");
    let start = |trusted: &str| {
        let setup = TestGateway::with(&backend).route_with("/", "");
        let file = setup.folder().join("authorities.pem");
        std::fs::write(&file, trusted).unwrap();
        setup
            .trusting_with(&issuer, &["ES256"], &keys)
            .environment("SSL_CERT_FILE", file.to_str().unwrap())
            .start()
    };
    let gateway = start(&front.authority().pem());
    let answer = soon(&gateway, &token(&issuer, "k1"));
    assert_eq!(answer.echoed("x-user").as_deref(), Some("idp:ann"));
    assert_eq!(fetched(&gateway, "ok"), 1.0);
    assert_eq!(gateway.metrics().label_values(SERIES, "issuer"), ["https://idp.test"]);
    let request = idp.server.only_request();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/jwks.json")
    );
    assert!(request.header("authorization").is_none());
    drop(gateway);
    // Another authority's server gives no keys, whatever it says.
    let gateway = start(&Authority::new().pem());
    assert_undecided(&gateway.get_as(&token(&issuer, "k1"), "/"));
    gateway.wait_for_log(|line| line.contains("nothing is known of it yet") && line.contains("handshake"));
    assert_eq!(idp.fetches(), 1);
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it_and_a_removed_one_stops_counting() {
    let (backend, old) = (Upstream::start(), Issuer::new("https://idp.test").es256("k1"));
    let new = Issuer::new("https://idp.test").es256("k2");
    let idp = Idp::of(&old);
    let gateway = gateway(&backend, &old, &idp.keys());
    let first = token(&old, "k1");
    let clients: Vec<_> = (0..6).map(|_| gateway.another_client()).collect();
    let all = |token: &str, status: u16| {
        for client in &clients {
            let answer = client.request(http::Method::GET, "/").bearer(token).send();
            assert_eq!(answer.status, status, "{}", answer.text());
        }
    };
    soon(&gateway, &first);
    // Every worker remembers it.
    all(&first, 200);
    all(&first, 200);
    idp.says(Reply::json(&new.jwks()));
    all(&first, 200);
    assert_eq!(idp.fetches(), 1);
    // Nobody is refused before the fetch, and nobody causes a second one.
    soon(&gateway, &token(&new, "k2"));
    all(&token(&new, "k2"), 200);
    assert_eq!(idp.fetches(), 2);
    all(&first, 401);
    all(&token(&old, "k1"), 401);
    assert_eq!(idp.fetches(), 2);
    assert_eq!(fetched(&gateway, "ok"), 2.0);
}

#[test]
fn tokens_wait_for_an_issuer_that_is_down_and_nothing_else_does() {
    let (backend, issuer) = (Upstream::start(), Issuer::new("https://idp.test").es256("k1"));
    let other = Issuer::new("https://other.test").es256("k1");
    let idp = Idp::saying(Reply::hang_up());
    let gateway = TestGateway::with(&backend)
        .route_with("/", "")
        .trusting_with(&issuer, &["ES256"], &idp.keys())
        .trusting(&other, &["ES256"])
        .start();
    gateway.wait_for_log(|line| line.contains("nothing is known of it yet"));
    let good = token(&issuer, "k1");
    assert_undecided(&gateway.get_as(&good, "/"));
    assert_eq!(gateway.get_as(&token(&other, "k1"), "/").status, 200);
    // What would be refused with any key is refused now.
    let mut claims = issuer.claims(AUDIENCE, "ann");
    claims["exp"] = json!(unix_time() - 10);
    assert_eq!(gateway.get_as(&issuer.sign("k1", &claims), "/").status, 401);
    idp.says(Reply::json(&issuer.jwks()));
    soon(&gateway, &good);
    gateway.wait_for_log(|line| line.contains("it can be fetched again"));
    let told = gateway
        .log()
        .iter()
        .filter(|line| line.contains("it cannot be fetched"))
        .count();
    assert_eq!(told, 1, "{:?}", gateway.log());
    assert_eq!(fetched(&gateway, "ok"), 1.0);
    assert!(fetched(&gateway, "failed") >= 1.0);
}

#[test]
fn what_is_no_set_of_keys_takes_nobodys_place() {
    let (backend, issuer) = (Upstream::start(), Issuer::new("https://idp.test").es256("k1"));
    let elsewhere = Idp::of(&Issuer::new("https://idp.test").es256("k9"));
    let idp = Idp::of(&issuer);
    let gateway = gateway(&backend, &issuer, &idp.keys());
    let good = token(&issuer, "k1");
    soon(&gateway, &good);
    let location = format!("{}/jwks.json", elsewhere.server.url());
    let symmetric =
        json!({ "keys": [{ "kty": "oct", "kid": "k1", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI" }] });
    let replies = [
        Reply::new(500, &[], issuer.jwks().to_string()),
        Reply::json(&json!({ "keys": [] })),
        Reply::json(&symmetric),
        Reply::new(302, &[("Location", &location)], ""),
    ];
    for reply in replies {
        idp.server.next(reply);
    }
    idp.says(Reply::text("<html>maintenance</html>"));
    // One question, and then it is tried again and again.
    assert_undecided(&gateway.get_as(&unknown(&issuer, "k1", "k9"), "/"));
    until("every bad answer was given", || {
        assert_eq!(gateway.get_as(&good, "/").status, 200);
        (fetched(&gateway, "failed") >= 2.0 && fetched(&gateway, "unusable") >= 3.0).then_some(())
    });
    assert_eq!(gateway.get_as(&good, "/").status, 200);
    assert_eq!(elsewhere.fetches(), 0, "a redirect was followed");
    assert_undecided(&gateway.get_as(&unknown(&issuer, "k1", "k8"), "/"));
}

#[test]
fn invented_keys_by_the_hundred_cost_one_fetch() {
    let (backend, issuer) = (Upstream::start(), Issuer::new("https://idp.test").es256("k1"));
    let body = issuer.jwks().to_string();
    let server = Upstream::answering(move |request| match request.header("if-none-match") {
        Some("\"v1\"") => Reply::new(304, &[("etag", "\"v1\"")], ""),
        _ => Reply::new(200, &[("etag", "\"v1\""), ("cache-control", "max-age=1")], body.clone()),
    });
    let gateway = gateway(&backend, &issuer, &format!("jwks_url = \"{}\"", server.url()));
    let good = token(&issuer, "k1");
    soon(&gateway, &good);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (client, issuer) = (gateway.another_client(), &issuer);
            scope.spawn(move || {
                for index in 0..40 {
                    let invented = unknown(issuer, "k1", &format!("{thread}-{index}"));
                    let answer = client.request(http::Method::GET, "/").bearer(&invented).send();
                    // Once the issuer has answered, which a busy machine may delay, it is 401 without a wait.
                    match answer.status {
                        503 => assert_undecided(&answer),
                        status => assert_eq!(status, 401, "{}", answer.text()),
                    }
                }
            });
        }
    });
    assert_eq!(gateway.get_as(&good, "/").status, 200);
    assert_eq!(gateway.get_as(&unknown(&issuer, "k1", "last"), "/").status, 401);
    assert_eq!(server.requests().len(), 2);
    assert_eq!((fetched(&gateway, "ok"), fetched(&gateway, "unchanged")), (1.0, 1.0));
    assert!(
        backend
            .requests()
            .iter()
            .all(|request| request.header("x-user") == Some("ann"))
    );
}

#[test]
fn only_a_key_that_is_missing_is_asked_for() {
    let (backend, issuer) = (
        Upstream::start(),
        Issuer::new("https://idp.test").es256("k1").rs256("r1").eddsa("e1"),
    );
    let idp = Idp::of(&issuer);
    let gateway = TestGateway::with(&backend)
        .route_with("/", "")
        .trusting_with(&issuer, &["ES256", "RS256"], &idp.keys())
        .start();
    for key in ["k1", "r1"] {
        soon(&gateway, &token(&issuer, key));
    }
    let forger = Issuer::new("https://idp.test").es256("k1").eddsa("new");
    let mut expired = issuer.claims(AUDIENCE, "ann");
    expired["exp"] = json!(unix_time() - 10);
    let claims = issuer.claims(AUDIENCE, "ann");
    let header = |algorithm: &str, key: &str| json!({ "alg": algorithm, "kid": key });
    for (what, token) in [
        ("another's signature", token(&forger, "k1")),
        (
            "no name and another's signature",
            forger.sign_with_header("k1", &json!({ "alg": "ES256" }), &claims),
        ),
        ("an algorithm that is not configured", token(&issuer, "e1")),
        ("a missing key of such an algorithm", token(&forger, "new")),
        (
            "the public key as a secret",
            issuer.sign_with_public_key_as_secret("r1", &claims),
        ),
        (
            "another algorithm than the key's",
            issuer.sign_with_header("k1", &header("RS256", "k1"), &claims),
        ),
        (
            "the other way round",
            issuer.sign_with_header("r1", &header("ES256", "r1"), &claims),
        ),
        (
            "a missing key, expired",
            issuer.sign_with_header("k1", &header("ES256", "k7"), &expired),
        ),
        (
            "a missing key, another audience",
            issuer.sign_with_header("k1", &header("ES256", "k7"), &issuer.claims("else", "ann")),
        ),
        ("no signature", Issuer::unsigned(&claims)),
    ] {
        assert_eq!(gateway.get_as(&token, "/").status, 401, "{what}");
    }
    assert_eq!(idp.fetches(), 1);
    // Without a name, the key of the right algorithm is the one.
    let nameless = issuer.sign_with_header("r1", &json!({ "alg": "RS256" }), &claims);
    assert_eq!(gateway.get_as(&nameless, "/").status, 200);
}

#[test]
fn an_issuer_that_never_answers_holds_up_its_own_tokens_for_a_second() {
    let (backend, issuer) = (Upstream::start(), Issuer::new("https://idp.test").es256("k1"));
    let other = Issuer::new("https://other.test").es256("k1");
    let barrier = Barrier::new();
    let idp = Idp::saying(Reply::json(&issuer.jwks()).after(&barrier));
    let gateway = TestGateway::with(&backend)
        .route_with("/", "")
        .trusting_with(&issuer, &["ES256"], &idp.keys())
        .trusting(&other, &["ES256"])
        .start();
    let good = token(&issuer, "k1");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            let (client, good) = (gateway.another_client(), &good);
            scope.spawn(move || {
                assert_undecided(&client.request(http::Method::GET, "/").bearer(good).send());
            });
        }
        assert_eq!(gateway.get_as(&token(&other, "k1"), "/").status, 200);
    });
    // A second each, at once and not in turns; the bound leaves room for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    gateway.wait_for_log(|line| line.contains("nothing is known of it yet") && line.contains("deadline"));
    barrier.open();
    soon(&gateway, &good);
}

#[test]
fn each_issuer_has_its_own_keys_whatever_they_are_called() {
    let backend = Upstream::start();
    let [one, other] = ["https://one.test", "https://other.test"].map(|name| Issuer::new(name).es256("k1"));
    let (first, second) = (Idp::of(&one), Idp::of(&other));
    let gateway = TestGateway::with(&backend)
        .route_with("/", "")
        .trusting_with(&one, &["ES256"], &first.keys())
        .trusting_with(&other, &["ES256"], &second.keys())
        .start();
    for issuer in [&one, &other] {
        soon(&gateway, &token(issuer, "k1"));
    }
    for (signer, named) in [(&one, &other), (&other, &one)] {
        let crossed = signer.sign("k1", &named.claims(AUDIENCE, "ann"));
        assert_eq!(gateway.get_as(&crossed, "/").status, 401);
    }
    assert_eq!((first.fetches(), second.fetches()), (1, 1));
}

#[test]
fn a_reload_keeps_the_keys_and_forgets_those_of_issuers_that_are_gone() {
    let (backend, issuer) = (Upstream::start(), Issuer::new("https://idp.test").es256("k1"));
    let idp = Idp::of(&issuer);
    let entry = |url: &str, audience: &str| {
        format!(
            "[[tokens.trusted_issuers]]\nissuer = \"https://idp.test\"\njwks_url = \"{url}\"\nalgorithms = [\"ES256\"]\n\
             audience = [{audience:?}]\nusers = \"as_is\"\n"
        )
    };
    let url = format!("{}/jwks.json", idp.server.url());
    let mut gateway = TestGateway::with(&backend)
        .route_with("/", "")
        .config(&entry(&url, AUDIENCE))
        .start();
    let good = token(&issuer, "k1");
    soon(&gateway, &good);
    idp.says(Reply::hang_up());
    // Its table changes, its URL does not: no gap, and no fetch.
    assert_eq!(gateway.reload(&entry(&url, "else")), "ok");
    assert_eq!(gateway.get_as(&good, "/").status, 401);
    assert_eq!(gateway.reload(&entry(&url, AUDIENCE)), "ok");
    assert_eq!(gateway.get_as(&good, "/").status, 200);
    assert_eq!(gateway.reload(&entry("http://192.0.2.1/", AUDIENCE)), "refused");
    assert_eq!(gateway.get_as(&good, "/").status, 200);
    assert_eq!(idp.fetches(), 1);
    // From another URL other keys may come: nothing is known of them.
    let nowhere = format!("http://127.0.0.1:{}/", free_port());
    assert_eq!(gateway.reload(&entry(&nowhere, AUDIENCE)), "ok");
    assert_undecided(&gateway.get_as(&good, "/"));
    assert_eq!(gateway.reload("tokens.trusted_issuers = []"), "ok");
    assert_eq!(gateway.get_as(&good, "/").status, 401);
    idp.says(Reply::json(&issuer.jwks()));
    assert_eq!(gateway.reload(&entry(&url, AUDIENCE)), "ok");
    soon(&gateway, &good);
    assert_eq!(idp.fetches(), 2);
}

#[test]
fn commands_say_what_they_fetch() {
    let (backend, issuer) = (Upstream::start(), Issuer::new("https://idp.test").es256("k1"));
    let idp = Idp::of(&issuer);
    let gateway = gateway(&backend, &issuer, &idp.keys());
    let good = token(&issuer, "k1");
    soon(&gateway, &good);
    let said = gateway.cli(&["check"]);
    assert!(
        said.contains("not fetched here") && said.contains(&idp.server.url()),
        "{said}"
    );
    assert_eq!(idp.fetches(), 1);
    let said = gateway.cli(&["token", "inspect", &good]);
    assert!(said.contains("good: ann of https://idp.test"), "{said}");
    assert_eq!(idp.fetches(), 2);
    idp.says(Reply::new(404, &[], ""));
    let output = inspect(&gateway, &good);
    assert!(
        output.contains("could not be fetched") && output.contains("answered 404"),
        "{output}"
    );
    idp.says(Reply::json(&Issuer::new("https://idp.test").es256("k2").jwks()));
    let output = inspect(&gateway, &good);
    assert!(output.contains("jwks_url"), "{output}");
}

/// What `token inspect` says of a token that is not good.
fn inspect(gateway: &TestGateway, token: &str) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"))
        .env_clear()
        .args(["token", "inspect", token, "--config"])
        .arg(gateway.folder().join("doorward.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn claims_become_names_and_roles_by_path_and_by_table() {
    let (backend, issuer) = (Upstream::start(), Issuer::new("https://idp.test").es256("k1"));
    let idp = Idp::of(&issuer);
    let keys = |more: &str| format!("{}\nusers = \"prefixed\"\nuser_prefix = \"idp:\"\n{more}", idp.keys());
    let mut claims: Value = issuer.claims(AUDIENCE, "f3a1");
    claims["preferred_username"] = json!("ann");
    claims["realm_access"] = json!({ "roles": ["shop-admins", "staff", "doorward-admin", "other"] });
    claims["https://example.com/roles"] = json!(["staff"]);
    let token = issuer.sign("k1", &claims);
    for (more, roles) in [
        (
            "roles_claim = \"realm_access.roles\"\nroles = { shop-admins = \"admin\", staff = \"user\" }",
            "admin,user",
        ),
        (
            "roles_claim = \"realm_access.roles\"\nroles = \"as_is\"",
            "other,shop-admins,staff",
        ),
        (
            "roles_claim = \"https://example.com/roles\"\nroles = \"as_is\"",
            "staff",
        ),
    ] {
        let keys = keys(&format!("user_claim = \"preferred_username\"\n{more}"));
        let gateway = gateway(&backend, &issuer, &keys);
        let echo = soon(&gateway, &token);
        assert_eq!(echo.echoed("x-user").as_deref(), Some("idp:ann"));
        let shown = echo.echoed("x-user-roles").unwrap();
        let mut shown: Vec<&str> = shown.split(',').collect();
        shown.sort_unstable();
        assert_eq!(shown.join(","), roles);
        // Nothing of the gateway's own is theirs.
        assert_eq!(gateway.get_as(&token, "/api/me").status, 401);
    }
}
