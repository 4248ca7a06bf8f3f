//! Sessions, keys, tickets, passwords and administration over the fake store: what no gateway as a whole is needed for.

use super::*;
use crate::principal::{CredentialKind, UserId};

impl Gate {
    /// The same person by another kind of credential.
    fn by(proof: &Arc<Proof>, credential: CredentialKind) -> Arc<Proof> {
        let person = Person {
            credential,
            ..(*proof.person).clone()
        };
        Arc::new(Proof::of(Arc::new(person)))
    }

    fn alice(&self) -> Arc<Proof> {
        self.user("alice");
        self.proof(&self.login("alice"))
    }

    fn post_as(&self, proof: &Arc<Proof>, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, Some(proof), &body.to_string())
    }
}

const KINDS: [CredentialKind; 3] = [
    CredentialKind::ApiKey,
    CredentialKind::Ticket,
    CredentialKind::ExternalBearer,
];

#[test]
fn what_changes_who_may_come_in_takes_a_login() {
    let gate = gate(Wish::default());
    let alice = gate.alice();
    let session = alice.person.session.unwrap();
    let passwords = json!({ "current": PASSWORD, "new": "another fine password" }).to_string();
    for kind in KINDS {
        let proof = Gate::by(&alice, kind);
        for (method, path, body) in [
            (Method::GET, "/api/sessions".to_owned(), ""),
            (Method::DELETE, format!("/api/sessions/{session}"), ""),
            (Method::POST, "/api/password".to_owned(), passwords.as_str()),
            (Method::GET, "/api/keys".to_owned(), ""),
            (Method::POST, "/api/keys".to_owned(), r#"{"name":"ci"}"#),
            (Method::DELETE, "/api/keys/abc".to_owned(), ""),
            (Method::GET, "/api/admin/users".to_owned(), ""),
            (Method::POST, "/api/admin/users/1/keys".to_owned(), r#"{"name":"ci"}"#),
        ] {
            let answer = gate.ask(method, &path, Some(&proof), body);
            assert_eq!(
                error(&answer),
                (403, "credential_not_allowed".into()),
                "{kind:?} {path}"
            );
        }
    }
    // Of another issuer nobody has a ticket, nor for a ticket; a machine has.
    for (kind, status) in KINDS.into_iter().zip([200, 403, 403]) {
        let answer = gate.ask(Method::POST, "/api/ticket", Some(&Gate::by(&alice, kind)), "");
        assert_eq!(answer.status(), status, "{kind:?}");
    }
    assert_eq!(gate.fake.lock().api_keys.len(), 0);
    assert_eq!(gate.fake.lock().sessions[&session].revoked_at, None);
    // Should a rule ever let nobody in particular through, nobody is let in here.
    for path in ["/api/sessions", "/api/keys", "/api/admin/users"] {
        let answer = gate.ask(Method::GET, path, None, "");
        assert_eq!(error(&answer), (401, "credentials_required".into()), "{path}");
    }
}

#[test]
fn a_ticket_ends_with_what_fetched_it() {
    let gate = gate(Wish::default());
    let alice = gate.alice();
    let ticket = |proof: &Arc<Proof>| {
        gate.fake.lock().tickets.clear();
        let answer = gate.ask(Method::POST, "/api/ticket", Some(proof), "{}");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert!(body(&answer)["ticket"].as_str().unwrap().starts_with("dwt_"));
        let ticket = gate.fake.lock().tickets.values().next().unwrap().clone();
        assert_eq!(ticket.expires_at, gate.bench.clock.unix_millis() + 30_000);
        ticket
    };
    let bearer = ticket(&alice);
    assert_eq!(bearer.not_after, alice.person.expires_at * 1000);
    assert_eq!(
        (bearer.session, bearer.api_key, bearer.roles),
        (alice.person.session, None, None)
    );
    // A cookie is renewed all the time; its session tells.
    let cookie = ticket(&Gate::by(&alice, CredentialKind::Session));
    let session = gate.fake.lock().sessions[&alice.person.session.unwrap()].clone();
    assert_eq!(cookie.not_after, session.idle_until);
    let key = Person {
        credential: CredentialKind::ApiKey,
        session: None,
        token_id: Some("key".into()),
        expires_at: i64::MAX,
        limit: Some(crate::principal::Roles::from_column("user")),
        ..(*alice.person).clone()
    };
    let key = ticket(&Arc::new(Proof::of(Arc::new(key))));
    assert_eq!(
        (key.not_after, key.api_key.as_deref(), key.roles.as_deref()),
        (i64::MAX, Some("key"), Some("user"))
    );
}

#[test]
fn logging_out_by_cookie_takes_the_cookie_away() {
    let gate = gate(Wish::default());
    let alice = Gate::by(&gate.alice(), CredentialKind::Session);
    let answer = gate.ask(Method::POST, "/api/logout", Some(&alice), "");
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-doorward=; ") && cookie.contains("Max-Age=0"),
        "{cookie}"
    );
    let bearer = gate.proof(&gate.login("alice"));
    let answer = gate.ask(Method::POST, "/api/logout", Some(&bearer), "");
    assert!(!answer.headers().contains_key(header::SET_COOKIE));
}

#[test]
fn a_key_is_refused_with_its_reason() {
    let gate = gate(Wish::default());
    let alice = gate.alice();
    for (wanted, status, code) in [
        (json!({}), 400, "invalid_request"),
        (json!({ "name": "" }), 400, "invalid_request"),
        (json!({ "name": " ci" }), 400, "invalid_request"),
        (json!({ "name": "a\nb" }), 400, "invalid_request"),
        (json!({ "name": "x".repeat(101) }), 400, "invalid_request"),
        (json!({ "name": "ci", "roles": "user" }), 400, "invalid_request"),
        (json!({ "name": "ci", "expires_in": 0 }), 400, "invalid_request"),
        (json!({ "name": "ci", "expires_in": i64::MAX }), 400, "invalid_request"),
        (json!({ "name": "ci", "expires_in": 1.5 }), 400, "invalid_request"),
        (
            json!({ "name": "ci", "roles": ["user", "admin"] }),
            422,
            "invalid_roles",
        ),
        (
            json!({ "name": "ci", "roles": ["doorward-admin"] }),
            422,
            "invalid_roles",
        ),
        (json!({ "name": "ci", "roles": [""] }), 422, "invalid_roles"),
    ] {
        assert_eq!(
            error(&gate.post_as(&alice, "/api/keys", &wanted)),
            (status, code.into()),
            "{wanted}"
        );
    }
    // Not the role that was granted by command, whoever asks.
    gate.fake
        .change(UserId(1), |user| user.grants.push("doorward-admin".into()));
    let wanted = json!({ "name": "ci", "roles": ["doorward-admin"] });
    assert_eq!(error(&gate.post_as(&alice, "/api/keys", &wanted)).0, 422);
    for _ in 0..50 {
        assert_eq!(
            gate.post_as(&alice, "/api/keys", &json!({ "name": "ci", "roles": [] }))
                .status(),
            201
        );
    }
    let more = gate.post_as(&alice, "/api/keys", &json!({ "name": "ci" }));
    assert_eq!(error(&more), (409, "too_many_keys".into()));
}

#[test]
fn administrators_are_told_where_nothing_is() {
    let gate = gate(Wish::default());
    let alice = gate.alice();
    for (method, path, expected) in [
        (Method::GET, "/api/admin/users/2", (404, "not_found")),
        (Method::GET, "/api/admin/users/01", (404, "not_found")),
        (Method::GET, "/api/admin/users/alice", (404, "not_found")),
        (Method::GET, "/api/admin/users/1/", (404, "not_found")),
        (Method::GET, "/api/admin/users/1/keys/x/y", (404, "not_found")),
        (Method::GET, "/api/admin/nothing", (404, "not_found")),
        (Method::DELETE, "/api/admin/users/2/sessions", (404, "not_found")),
        (Method::DELETE, "/api/admin/users/1/keys/x", (404, "not_found")),
        (Method::DELETE, "/api/admin/sessions/x", (404, "not_found")),
        (Method::DELETE, "/api/admin/users", (405, "method_not_allowed")),
        (Method::PATCH, "/api/admin/sessions", (405, "method_not_allowed")),
        (Method::GET, "/api/admin/users?limit=0", (400, "invalid_request")),
        (Method::GET, "/api/admin/users?limit=1001", (400, "invalid_request")),
        (
            Method::GET,
            "/api/admin/users?limit=1&limit=2",
            (400, "invalid_request"),
        ),
        (Method::GET, "/api/admin/users?after=x", (400, "invalid_request")),
        (Method::GET, "/api/admin/sessions?after=x", (400, "invalid_request")),
    ] {
        let answer = gate.ask(method.clone(), path, Some(&alice), "{}");
        assert_eq!(error(&answer), (expected.0, expected.1.into()), "{method} {path}");
        assert_eq!(answer.headers().contains_key(header::ALLOW), expected.0 == 405);
    }
    assert_eq!(
        gate.ask(Method::GET, "/api/admin/users/1", Some(&alice), "").status(),
        200
    );
}

#[test]
fn metadata_says_what_there_is() {
    let gate = gate(Wish::default());
    let answer = gate.ask(Method::GET, "/.well-known/oauth-authorization-server", None, "");
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "public, max-age=300");
    assert_eq!(
        body(&answer),
        json!({
            "issuer": "https://gate.example.com",
            "jwks_uri": "https://gate.example.com/.well-known/jwks.json",
            "response_types_supported": [],
            "grant_types_supported": [],
            "introspection_endpoint": "https://gate.example.com/api/introspect",
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
            "revocation_endpoint": "https://gate.example.com/api/revoke",
            "revocation_endpoint_auth_methods_supported": ["none"],
        })
    );
}

#[test]
fn a_store_that_is_down_loses_nobody_anything() {
    let gate = gate(Wish::default());
    let alice = gate.alice();
    gate.fake.down.store(true, Ordering::SeqCst);
    let session = alice.person.session.unwrap();
    for (method, path, body) in [
        (Method::GET, "/api/sessions".to_owned(), ""),
        (Method::DELETE, format!("/api/sessions/{session}"), ""),
        (Method::POST, "/api/ticket".to_owned(), ""),
        (Method::POST, "/api/keys".to_owned(), r#"{"name":"ci"}"#),
        (Method::GET, "/api/admin/users".to_owned(), ""),
        (Method::POST, "/api/password".to_owned(), r#"{"current":"a","new":"b"}"#),
    ] {
        let answer = gate.ask(method, &path, Some(&alice), body);
        assert_eq!(error(&answer), (503, "store_unavailable".into()), "{path}");
    }
}
