//! Introspection, revocation and metadata, for clients that expect an OAuth server; and the revocation of others' tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::answers::problem;
use super::world::{Gateway, Kind, World};
use crate::support::client::Response;
use crate::support::issuer::{Issuer, claims_of};

on_both!(
    introspection_tells_machines_what_a_token_is_worth,
    introspection_is_for_machines_only,
    revocation_ends_what_a_token_stands_for,
    tokens_of_other_issuers_are_revoked_by_command,
);

fn key(gateway: &Gateway, token: &str) -> String {
    let request = gateway.client.request(Method::POST, "/api/keys").bearer(token);
    let made = request.json(&json!({ "name": "resource server" })).send().expect(201);
    made.json()["key"].as_str().unwrap().to_owned()
}

fn form(gateway: &Gateway, path: &str, authorization: &str, body: &str) -> Response {
    let request = gateway.client.request(Method::POST, path);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    match authorization {
        "" => request.body(body).send(),
        value => request.header("authorization", value).body(body).send(),
    }
}

fn revoke(gateway: &Gateway, token: &str) -> Response {
    form(gateway, "/api/revoke", "", &format!("token={token}"))
}

fn introspection_tells_machines_what_a_token_is_worth(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let server = gateway.register("server");
    let key = key(&gateway, &server.access);
    let ask = |token: &str| -> Value {
        let body = format!("token={token}&token_type_hint=access_token");
        let answer = form(&gateway, "/api/introspect", &format!("Bearer {key}"), &body).expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.json()
    };
    let alice = gateway.register("alice");
    let claims = claims_of(&alice.access);
    let mut expected = json!({
        "active": true, "token_type": "Bearer", "iss": "https://gateway.test", "username": "alice",
        "scope": "user", "roles": ["user"]
    });
    for claim in ["sub", "iat", "exp", "aud", "jti", "sid"] {
        expected[claim] = claims[claim].clone();
    }
    assert_eq!(ask(&alice.access), expected);
    // The roles in force, not those of the token.
    world.doorward(&["user", "roles", "alice", "ops,two words"], "");
    super::world::soon("the roles in force", || {
        ask(&alice.access)["roles"] == json!(["ops", "two words"])
    });
    assert_eq!(ask(&alice.access)["scope"], "ops");
    // A refresh token is no credential: it is described without roles.
    let refresh = ask(&alice.refresh);
    assert_eq!(
        (
            &refresh["active"],
            &refresh["token_type"],
            &refresh["sid"],
            &refresh["sub"]
        ),
        (&json!(true), &json!("refresh_token"), &claims["sid"], &claims["sub"])
    );
    assert!(refresh.get("roles").is_none() && refresh.get("scope").is_none());
    let about_key = ask(&key);
    assert_eq!(
        (&about_key["active"], &about_key["username"]),
        (&json!(true), &json!("server"))
    );
    assert!(about_key.get("exp").is_none());
    let inactive = json!({ "active": false });
    for unknown in ["x", "a.b.c", "dwk_x", &format!("{}x", alice.access), &format!("{key}x")] {
        assert_eq!(ask(unknown), inactive, "{unknown}");
    }
    gateway.logout(&alice.access).expect(204);
    assert_eq!((ask(&alice.access), ask(&alice.refresh)), (inactive.clone(), inactive));
}

fn introspection_is_for_machines_only(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let alice = gateway.register("alice");
    let key = key(&gateway, &alice.access);
    let body = format!("token={}", alice.access);
    let with = |authorization: &str, body: &str| form(&gateway, "/api/introspect", authorization, body);
    for authorization in ["", &format!("Bearer {}", alice.access)] {
        let answer = with(authorization, &body);
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (401, &json!("credentials_required"))
        );
        let challenges: Vec<_> = answer
            .headers
            .0
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
            .map(|(_, value)| value.split(' ').next().unwrap())
            .collect();
        assert_eq!(challenges, ["Bearer", "Basic"]);
    }
    let wrong = format!("Basic {}", STANDARD.encode(format!("alice:{}", super::world::PASSWORD)));
    problem(&with(&wrong, &body), 401, "invalid_token");
    problem(&with(&format!("Bearer {key}x"), &body), 401, "invalid_token");
    let basic = format!("Basic {}", STANDARD.encode(format!("alice:{key}")));
    assert_eq!(with(&basic, &body).expect(200).json()["active"], true);
    for bad in ["", "token=", "hint=x", "token=a&token=b", "{\"token\":\"x\"}"] {
        problem(&with(&basic, bad), 400, "invalid_request");
    }
    assert_eq!(gateway.client.get("/api/introspect").status, 405);
}

fn revocation_ends_what_a_token_stands_for(kind: Kind) {
    let world = World::new(kind);
    let (gateway, other) = (world.gateway(""), world.gateway(""));
    let kept = gateway.register("alice");
    for by_refresh in [false, true] {
        let ended = gateway.login("alice");
        let answer = revoke(&gateway, if by_refresh { &ended.refresh } else { &ended.access });
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(gateway.status_as("/app/x", &ended.access), 401);
        other.soon_answers("/app/x", &ended.access, 401);
        problem(&other.refresh(&ended.refresh), 401, "invalid_grant");
        // Twice is as good as once.
        assert_eq!(revoke(&other, &ended.refresh).status, 200);
    }
    let key = key(&gateway, &kept.access);
    assert_eq!(other.status_as("/app/x", &key), 200);
    // Who knows only its name, or made one up, changes nothing.
    let forged = format!("{}{}", &key[..16], "A".repeat(43));
    let refresh = kept.refresh.as_bytes();
    // The session's name stands in access tokens; the rest of a refresh token does not.
    let guessed = format!(
        "{}{}",
        std::str::from_utf8(&refresh[..26]).unwrap(),
        "A".repeat(refresh.len() - 26)
    );
    for unknown in [&forged, &guessed, "x", "a.b.c", "dwk_"] {
        assert_eq!(revoke(&gateway, unknown).status, 200, "{unknown}");
    }
    assert_eq!(gateway.status_as("/app/x", &key), 200);
    assert_eq!(gateway.status_as("/app/x", &kept.access), 200);
    assert_eq!(revoke(&gateway, &key).status, 200);
    assert_eq!(gateway.status_as("/app/x", &key), 401);
    other.soon_answers("/app/x", &key, 401);
    assert_eq!(other.status_as("/app/x", &kept.access), 200);
    problem(&form(&gateway, "/api/revoke", "", "x=y"), 400, "invalid_request");
    let metadata = gateway
        .client
        .get("/.well-known/oauth-authorization-server")
        .expect(200)
        .json();
    assert_eq!(metadata["revocation_endpoint"], "https://gateway.test/api/revoke");
}

fn tokens_of_other_issuers_are_revoked_by_command(kind: Kind) {
    let world = World::new(kind);
    let issuer = Issuer::new("https://idp.example").es256("k1");
    let trusting = format!(
        r#"
[[tokens.trusted_issuers]]
issuer = "https://idp.example"
jwks_file = "{}"
algorithms = ["ES256"]
audience = ["app"]
users = "prefixed"
user_prefix = "idp:"
"#,
        issuer.jwks_file().display()
    );
    let gateway = world.gateway(&trusting);
    let mut claims = issuer.claims("app", "carol");
    claims["iat"] = json!(claims["exp"].as_i64().unwrap() - 400_000);
    claims["jti"] = json!("one");
    let one = issuer.sign("k1", &claims);
    claims["jti"] = json!("two");
    let two = issuer.sign("k1", &claims);
    let dave = issuer.sign("k1", &issuer.claims("app", "dave"));
    for token in [&one, &two, &dave] {
        assert_eq!(gateway.status_as("/app/x", token), 200);
    }
    let run = |arguments: &[&str]| {
        let arguments = [&["token", "revoke", "--issuer", "https://idp.example"], arguments].concat();
        world.said_with(&trusting, &arguments)
    };
    let said = run(&["--jti", "one", "--for", "2h"]);
    assert!(
        said.starts_with("revoked the token one of https://idp.example until 20"),
        "{said}"
    );
    gateway.soon_answers("/app/x", &one, 401);
    assert_eq!(gateway.status_as("/app/x", &two), 200);
    run(&["--sub", "carol"]);
    gateway.soon_answers("/app/x", &two, 401);
    assert_eq!(gateway.status_as("/app/x", &dave), 200);
    // The other replica that starts later has it from the store.
    let later = world.gateway(&trusting);
    assert_eq!(
        (later.status_as("/app/x", &two), later.status_as("/app/x", &dave)),
        (401, 200)
    );
    for (arguments, words) in [
        (
            &["--issuer", "https://other.example", "--sub", "x"][..],
            "no trusted issuer",
        ),
        (
            &["--issuer", "https://gateway.test", "--sub", "x"][..],
            "doorward session revoke",
        ),
        (&["--issuer", "https://gateway.test"][..], "--sub"),
        (&["--issuer", "i", "--sub", "x", "--jti", "y"][..], "--jti"),
        (&["--issuer", "i", "--sub", "x", "--for", "long"][..], "--for"),
    ] {
        let (code, said) = world.refused(&[&["token", "revoke"], arguments].concat());
        assert!(code == 2 && said.contains(words), "{arguments:?}: {code} {said}");
    }
}
