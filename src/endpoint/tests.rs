//! What a client of our own URLs sees. Admission is played: the proof is what the token gives.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod own;

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::*;
use crate::account::Registration;
use crate::account::tests::{Bench, PASSWORD, Wish, bench, hashed};
use crate::answer;
use crate::authn;
use crate::authz::Rule;
use crate::office::OfficeRuntime;
use crate::principal::{Issuer, Person};
use crate::throttle::fake::Fake;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

struct Gate {
    office: OfficeRuntime,
    services: Services,
    endpoints: Endpoints,
    bench: Bench,
    fake: Arc<Fake>,
}

fn gate(wish: Wish) -> Gate {
    let office = OfficeRuntime::start().unwrap();
    let (bench, fake) = bench(wish);
    let resolver = Resolver::new(authn::Tools {
        store: fake.clone(),
        office: office.office(),
        api_keys: authn::ApiKeys::default(),
        revocations: bench.revocations.clone(),
        sealer: crate::session::Sealer::new(crate::keyring::SealingKeys::default()),
        clock: bench.clock.clone(),
        metrics: Arc::clone(&bench.metrics),
        settings: authn::Settings {
            admin_role: "doorward-admin".to_owned(),
            cookie: crate::session::CookieName::default(),
            cookie_life: Duration::from_secs(900),
            idle: Duration::from_secs(3600),
        },
    });
    let services = Services {
        resolver,
        accounts: Arc::clone(&bench.accounts),
        office: office.office(),
        keys: bench.keys.clone(),
        clock: bench.clock.clone(),
        metrics: Arc::clone(&bench.metrics),
    };
    let endpoints = Endpoints::new(&Settings::default(), Rule::role("doorward-admin"));
    Gate {
        office,
        services,
        endpoints,
        bench,
        fake,
    }
}

impl Gate {
    /// One request; a problem becomes the answer that the gateway would make of it.
    fn ask(&self, method: Method, target: &str, proof: Option<&Arc<Proof>>, body: &str) -> Answer {
        let request = Request::builder().method(&method).uri(target).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let row = self.endpoints.rules().iter().find(|row| {
            let path = parts.uri.path();
            let here = row.path == path || (!row.exact && path.starts_with(&row.path));
            here && row.methods.contains(&method)
        });
        let asked = Asked {
            parts,
            body: Full::new(Bytes::from(body.to_owned())),
            client: CLIENT,
            secure: true,
            host: None,
            cross_site: false,
            body_within: std::time::Duration::from_secs(5),
            verifier: Arc::clone(&self.bench.verifier),
        };
        let serving = self.endpoints.serve(row.unwrap().index, proof, asked, &self.services);
        let worker = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        worker
            .block_on(serving)
            .unwrap_or_else(|problem| answer::problem(&problem))
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, None, &body.to_string())
    }

    fn user(&self, name: &str) {
        self.fake.row(name, &self.office.block_on(hashed(8)), true);
    }

    fn login(&self, name: &str) -> Value {
        let answer = self.post("/api/login", &json!({"username": name, "password": PASSWORD}));
        assert_eq!(answer.status(), 200);
        body(&answer)
    }

    /// What admission would prove of an access token.
    fn proof(&self, tokens: &Value) -> Arc<Proof> {
        let token = tokens["access_token"].as_str().unwrap();
        let verified = self
            .bench
            .verifier
            .verify(token.as_bytes(), self.bench.clock.unix_millis());
        Arc::new(Proof::of(verified.unwrap().person))
    }
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

fn error(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    (
        answer.status().as_u16(),
        body(answer)["error"].as_str().unwrap().to_owned(),
    )
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_table_says_who_may_have_what() {
    let table = |settings: &Settings| -> Vec<String> {
        let endpoints = Endpoints::new(settings, Rule::role("doorward-admin"));
        let rows = endpoints.rules().iter().enumerate();
        rows.map(|(index, row)| {
            assert_eq!(row.index, index);
            let star = if row.exact { "" } else { "*" };
            let roles = row.rule.roles_all.join(",");
            let basic = if row.credentials.basic { "+basic" } else { "" };
            format!(
                "{:?} {}{star} {:?}{basic} {roles}",
                row.methods, row.path, row.rule.access
            )
            .trim_end()
            .to_owned()
        })
        .collect()
    };
    assert_eq!(
        table(&Settings::default()),
        [
            "[GET] /api Public",
            "[GET] /api/ Public",
            "[POST] /api/login Public",
            "[POST] /api/refresh Public",
            "[POST] /api/registration Public",
            "[GET] /api/protected Authenticated",
            "[GET] /api/me Authenticated",
            "[POST] /api/logout Authenticated",
            "[GET] /api/sessions Authenticated",
            "[POST] /api/password Authenticated",
            "[POST] /api/ticket Authenticated",
            "[GET, POST] /api/keys Authenticated",
            "[POST] /api/revoke Public",
            "[GET] /api/finalize Public",
            "[POST] /api/reset Public",
            "[POST] /api/reset_finalize Public",
            "[POST] /api/introspect Optional+basic",
            "[DELETE] /api/sessions/* Authenticated",
            "[DELETE] /api/keys/* Authenticated",
            "[GET, POST, PATCH, DELETE] /api/admin/* Authenticated doorward-admin",
            "[GET] /auth Public",
            "[GET] /auth/ Optional",
            "[GET] /auth/login Public",
            "[POST] /auth/login Public",
            "[GET] /auth/logout Public",
            "[POST] /auth/logout Optional",
            "[GET] /auth/register Public",
            "[POST] /auth/register Public",
            "[GET] /auth/confirm Public",
            "[POST] /auth/confirm Public",
            "[GET] /auth/forgot Public",
            "[POST] /auth/forgot Public",
            "[GET] /auth/reset Public",
            "[POST] /auth/reset Public",
            "[GET] /auth/assets/style.css Public",
            "[GET] /.well-known/jwks.json Public",
            "[GET] /.well-known/oauth-authorization-server Public",
        ]
    );
    let elsewhere = Settings {
        api: Some("/gate/v1".into()),
        pages: None,
        well_known: false,
        ..Settings::default()
    };
    assert!(table(&elsewhere).iter().all(|row| row.contains(" /gate/v1")));
    assert!(
        table(&Settings {
            api: None,
            pages: None,
            well_known: false,
            ..Settings::default()
        })
        .is_empty()
    );
}

#[test]
fn a_login_is_answered_as_the_contract_has_it() {
    let gate = gate(Wish::default());
    gate.user("alice");
    let answer = gate.post(
        "/api/login",
        &json!({"username": "alice", "password": PASSWORD, "remember": true}),
    );
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    let tokens = body(&answer);
    let members = [
        "access_token",
        "expires_in",
        "refresh_expires_in",
        "refresh_token",
        "token_type",
    ];
    assert_eq!(keys(&tokens), members);
    assert_eq!(
        (
            &tokens["token_type"],
            &tokens["expires_in"],
            &tokens["refresh_expires_in"]
        ),
        (&json!("Bearer"), &json!(900), &json!(604_800))
    );

    let answer = gate.post("/api/refresh", &json!({"refresh_token": tokens["refresh_token"]}));
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()[header::CACHE_CONTROL].as_bytes()
        ),
        (200, &b"no-store"[..])
    );
    let next = body(&answer);
    assert_eq!(keys(&next), members);
    assert_ne!(next["refresh_token"], tokens["refresh_token"]);
    let again = body(&gate.post("/api/refresh", &json!({"refresh_token": tokens["refresh_token"]})));
    assert_eq!(again["refresh_token"], next["refresh_token"]);
    gate.bench.clock.advance(Duration::from_secs(10));
    let spent = gate.post("/api/refresh", &json!({"refresh_token": tokens["refresh_token"]}));
    assert_eq!(error(&spent), (401, "invalid_grant".into()));
    assert_eq!(spent.headers()[header::WWW_AUTHENTICATE], r#"Bearer realm="doorward""#);
}

#[test]
fn a_wrong_password_and_an_unknown_name_are_one_answer() {
    let gate = gate(Wish::default());
    gate.user("alice");
    let wrong = gate.post("/api/login", &json!({"username": "alice", "password": "wrong"}));
    let unknown = gate.post("/api/login", &json!({"username": "nobody", "password": "wrong"}));
    assert_eq!(error(&wrong), (401, "invalid_credentials".into()));
    assert_eq!(
        (wrong.status(), wrong.headers(), wrong.body()),
        (unknown.status(), unknown.headers(), unknown.body())
    );
    assert_eq!(wrong.headers()[header::WWW_AUTHENTICATE], r#"Bearer realm="doorward""#);
    for _ in 0..9 {
        gate.post("/api/login", &json!({"username": "alice", "password": "wrong"}));
    }
    let throttled = gate.post("/api/login", &json!({"username": " ALICE", "password": PASSWORD}));
    assert_eq!(error(&throttled), (429, "too_many_attempts".into()));
    assert_eq!(throttled.headers()[header::RETRY_AFTER], "900");
}

#[test]
fn a_deactivated_account_is_403() {
    let gate = gate(Wish::default());
    gate.fake.row("alice", &gate.office.block_on(hashed(8)), false);
    let answer = gate.post("/api/login", &json!({"username": "alice", "password": PASSWORD}));
    assert_eq!(error(&answer), (403, "account_inactive".into()));
}

#[test]
fn bodies_that_are_none_are_400_and_reach_nobody() {
    let gate = gate(Wish::default());
    for path in ["/api/login", "/api/refresh", "/api/registration"] {
        for text in [
            "",
            "[]",
            "null",
            "{}",
            "username=alice",
            r#"{"username":1,"password":2,"refresh_token":3}"#,
        ] {
            let answer = gate.ask(Method::POST, path, None, text);
            assert_eq!(error(&answer), (400, "invalid_request".into()), "{path} {text}");
        }
    }
    let long = json!({"username": "alice", "password": "x".repeat(4097)});
    assert_eq!(error(&gate.post("/api/login", &long)), (400, "invalid_request".into()));
    let huge = gate.post(
        "/api/login",
        &json!({"username": "alice", "password": "x".repeat(65_536)}),
    );
    assert_eq!(error(&huge), (413, "body_too_large".into()));
    assert_eq!(gate.fake.calls.load(Ordering::SeqCst), 0);
}

#[test]
fn a_registration_logs_in_or_says_everything_that_is_wrong() {
    let gate = gate(Wish::default());
    let answer = gate.post(
        "/api/registration",
        &json!({"username": "bob", "password": PASSWORD, "email": null}),
    );
    assert_eq!(answer.status(), 200);
    assert_eq!(gate.proof(&body(&answer)).person.name, "bob");
    let post = |value: Value| gate.post("/api/registration", &value);
    let taken = post(json!({"username": "BOB", "password": PASSWORD}));
    assert_eq!(error(&taken), (409, "user_exists".into()));
    let weak = post(json!({"username": "dragon", "password": "dragon"}));
    assert_eq!(error(&weak), (422, "weak_password".into()));
    let document = body(&weak);
    assert_eq!(document["reasons"].as_array().unwrap().len(), 3);
    let message = document["message"].as_str().unwrap();
    assert!(
        message.starts_with("The password must have at least 8 characters; it is one of"),
        "{message}"
    );
    let name = post(json!({"username": "a:b", "password": PASSWORD}));
    assert_eq!(error(&name), (422, "invalid_username".into()));
    assert_eq!(body(&name)["reasons"], json!(["must not hold a comma or a colon"]));
    let email = post(json!({"username": "carol", "password": PASSWORD, "email": "carol"}));
    assert_eq!(error(&email), (400, "invalid_request".into()));
}

#[test]
fn a_closed_house_is_403() {
    let gate = gate(Wish {
        registration: Registration::Closed,
        ..Wish::default()
    });
    let answer = gate.post("/api/registration", &json!({"username": "bob", "password": PASSWORD}));
    assert_eq!(error(&answer), (403, "registration_closed".into()));
}

#[test]
fn one_is_told_who_one_is_and_goes() {
    let gate = gate(Wish::default());
    gate.user("alice");
    let proof = gate.proof(&gate.login("alice"));
    let get = |path| gate.ask(Method::GET, path, Some(&proof), "");
    assert_eq!(
        body(&get("/api/protected")),
        json!({"message": "protected endpoint (allowed usr alice)"})
    );
    let session = proof.person.session.unwrap().to_string();
    let me = get("/api/me");
    assert_eq!(
        body(&me),
        json!({"id": 1, "username": "alice", "roles": ["user"], "email": null, "session": session})
    );
    assert_eq!(me.headers()[header::CACHE_CONTROL], "no-store");
    for text in ["", "{}", "whatever"] {
        let answer = gate.ask(Method::POST, "/api/logout", Some(&proof), text);
        assert_eq!((answer.status().as_u16(), answer.body().len()), (204, 0));
    }
    assert_eq!(
        gate.bench.revocations.verdict(&proof.person),
        crate::revocation::Standing::Ended
    );
}

#[test]
fn another_issuers_alice_is_not_ours() {
    let gate = gate(Wish::default());
    gate.user("alice");
    let ours = gate.proof(&gate.login("alice"));
    let external = Issuer::External("https://idp.example.com".into());
    for person in [
        Person {
            issuer: external.clone(),
            user: None,
            ..(*ours.person).clone()
        },
        Person {
            issuer: external,
            ..(*ours.person).clone()
        },
        Person {
            user: None,
            ..(*ours.person).clone()
        },
    ] {
        let proof = Arc::new(Proof::of(Arc::new(person)));
        for (method, path) in [
            (Method::GET, "/api/me"),
            (Method::GET, "/api/protected"),
            (Method::POST, "/api/logout"),
        ] {
            let answer = gate.ask(method, path, Some(&proof), "");
            assert_eq!(error(&answer), (401, "invalid_token".into()), "{path}");
            let challenge = answer.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
            assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
        }
    }
    // Should a rule ever let nobody in particular through, nobody is let in here.
    let answer = gate.ask(Method::GET, "/api/me", None, "");
    assert_eq!(error(&answer), (401, "credentials_required".into()));
}

#[test]
fn a_store_that_is_down_is_503_with_a_time_to_come_again() {
    let gate = gate(Wish::default());
    gate.user("alice");
    let proof = gate.proof(&gate.login("alice"));
    gate.fake.down.store(true, Ordering::SeqCst);
    let refresh = json!({"refresh_token": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    for answer in [
        gate.post("/api/login", &json!({"username": "alice", "password": PASSWORD})),
        gate.post("/api/refresh", &refresh),
        gate.post("/api/registration", &json!({"username": "bob", "password": PASSWORD})),
        gate.ask(Method::POST, "/api/logout", Some(&proof), ""),
    ] {
        assert_eq!(error(&answer), (503, "store_unavailable".into()));
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
        assert!(
            !String::from_utf8_lossy(answer.body()).contains("down"),
            "the cause stays here"
        );
    }
    // Nobody has to ask the store who one is.
    assert_eq!(gate.ask(Method::GET, "/api/me", Some(&proof), "").status(), 200);
}

#[test]
fn keys_are_public_and_may_be_kept_once_they_are_there() {
    let gate = gate(Wish::default());
    let answer = gate.ask(Method::GET, "/.well-known/jwks.json", None, "");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/jwk-set+json");
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "public, max-age=300");
    let key = &body(&answer)["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["d"]),
        (&json!("OKP"), &json!("Ed25519"), &Value::Null)
    );

    let gate = super::tests::gate(Wish {
        with_keys: false,
        ..Wish::default()
    });
    let answer = gate.ask(Method::GET, "/.well-known/jwks.json", None, "");
    assert_eq!(error(&answer), (503, "not_ready".into()));
    gate.user("alice");
    let login = gate.post("/api/login", &json!({"username": "alice", "password": PASSWORD}));
    assert_eq!(error(&login), (503, "not_ready".into()));
}

#[test]
fn the_api_says_that_it_runs_and_is_found_without_its_slash() {
    let gate = gate(Wish::default());
    let answer = gate.ask(Method::GET, "/api/", None, "");
    assert_eq!(body(&answer), json!({"JWT Server Application": "Running!"}));
    for (target, location) in [
        ("/api", "/api/"),
        ("/api?a=//b", "/api/?a=//b"),
        ("https://evil.example/api", "/api/"),
    ] {
        let answer = gate.ask(Method::GET, target, None, "");
        assert_eq!(
            (
                answer.status().as_u16(),
                answer.headers()[header::LOCATION].to_str().unwrap()
            ),
            (308, location)
        );
    }
}

#[test]
fn health_is_told_in_words() {
    use status::Health;
    assert_eq!(status::healthz().status(), 200);
    let ready = status::readyz(&Health {
        ready: true,
        reasons: Vec::new(),
    });
    let not = status::readyz(&Health {
        ready: false,
        reasons: vec!["stopping", "no signing keys yet"],
    });
    assert_eq!((ready.status().as_u16(), not.status().as_u16()), (200, 503));
    assert_eq!(&not.body()[..], b"stopping\nno signing keys yet\n");
    let page = status::metrics("doorward_logins_total 1\n".to_owned());
    assert_eq!(
        page.headers()[header::CONTENT_TYPE],
        "text/plain; version=0.0.4; charset=utf-8"
    );
}
