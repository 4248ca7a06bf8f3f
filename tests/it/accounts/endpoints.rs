//! Who one is, logout, the public keys; and whose tokens count at them.

use http::Method;
use serde_json::{Value, json};

use super::answers::{Tokens, problem};
use super::world::{Kind, PASSWORD, World, soon};
use crate::support::client::Response;
use crate::support::issuer::{Issuer, claims_of};

on_both!(
    who_one_is_and_what_runs,
    a_logout_ends_its_session_and_no_other,
    without_a_good_token_the_answer_says_why,
    the_public_keys_verify_and_hold_nothing_else,
    another_issuers_people_are_not_ours,
    the_admin_role_is_given_by_command_only,
    names_that_no_header_can_carry_still_have_an_account,
);

fn who_one_is_and_what_runs(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let response = gateway.client.get("/api/");
    assert_eq!(
        response.expect(200).json(),
        json!({ "JWT Server Application": "Running!" })
    );
    let redirect = gateway.client.get("/api");
    assert!([301, 302, 307, 308].contains(&redirect.status), "{redirect:?}");
    assert_eq!(redirect.header("location"), Some("/api/"));
    let tokens = gateway.register("alice");
    let response = gateway.get_as("/api/protected", &tokens.access).expect(200);
    assert_eq!(
        response.json(),
        json!({ "message": "protected endpoint (allowed usr alice)" })
    );
    assert_eq!(response.header("content-type"), Some("application/json"));
    let response = gateway.get_as("/api/me", &tokens.access).expect(200);
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let claims = claims_of(&tokens.access);
    let id: i64 = world.sql("SELECT id FROM users").parse().unwrap();
    assert_eq!(
        response.json(),
        json!({ "id": id, "username": "alice", "roles": ["user"], "email": null, "session": claims["sid"] })
    );
    world.sql("UPDATE users SET email = 'alice@example.com', email_verified = TRUE, roles = 'user,  admin,,user'");
    soon("the address and the roles in force", || {
        let me = gateway.me(&tokens.access);
        me["email"] == "alice@example.com" && me["roles"] == json!(["user", "admin"])
    });
    let echo = gateway.get_as("/app/x", &tokens.access).expect(200);
    assert_eq!(echo.echoed("x-user-email").as_deref(), Some("alice@example.com"));
}

fn a_logout_ends_its_session_and_no_other(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let other = gateway.register("alice");
    let first = gateway.login("alice");
    let second = Tokens::of(&gateway.refresh(&first.refresh));
    let response = gateway.logout(&first.access);
    assert_eq!((response.status, response.body.len()), (204, 0));
    // At this gateway it acts before it is acknowledged.
    for token in [&first.access, &second.access] {
        let refused = gateway.get_as("/app/x", token);
        problem(&refused, 401, "invalid_token");
        assert!(
            refused
                .header("www-authenticate")
                .unwrap()
                .contains("error=\"invalid_token\"")
        );
        problem(&gateway.get_as("/api/me", token), 401, "invalid_token");
    }
    for token in [&first.refresh, &second.refresh] {
        problem(&gateway.refresh(token), 401, "invalid_grant");
    }
    problem(&gateway.logout(&first.access), 401, "invalid_token");
    assert_eq!(gateway.status_as("/app/x", &other.access), 200);
    Tokens::of(&gateway.refresh(&other.refresh));
    gateway
        .process
        .wait_for_line(|line| line.contains("logged out") && line.contains("alice"));
}

fn without_a_good_token_the_answer_says_why(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let tokens = gateway.register("alice");
    for (method, path) in [
        (Method::GET, "/api/me"),
        (Method::GET, "/api/protected"),
        (Method::POST, "/api/logout"),
        (Method::GET, "/app/x"),
    ] {
        let send = |authorization: &[&str]| -> Response {
            let mut request = gateway.client.request(method.clone(), path);
            for value in authorization {
                request = request.header("authorization", value);
            }
            request.send()
        };
        let none = send(&[]);
        problem(&none, 401, "credentials_required");
        assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"doorward\""));
        let good = format!("Bearer {}", tokens.access);
        for bad in [
            "Bearer",
            "Bearer x",
            "Bearer a.b.c",
            &format!("{good}x"),
            &format!("{good} {good}"),
        ] {
            let answer = send(&[bad]);
            problem(&answer, 401, "invalid_token");
            assert!(
                answer
                    .header("www-authenticate")
                    .unwrap()
                    .contains("error=\"invalid_token\""),
                "{bad:.20}"
            );
        }
        problem(&send(&["Basic YWxpY2U6eA=="]), 401, "credentials_required");
        problem(&send(&[&good, &good]), 400, "invalid_request");
        // RFC 6750 section 2.3 is not for us.
        let query = format!("{path}?access_token={}", tokens.access);
        problem(
            &gateway.client.request(method.clone(), &query).send(),
            401,
            "credentials_required",
        );
    }
    assert_eq!(gateway.status_as("/api/me", &tokens.access), 200);
}

fn the_public_keys_verify_and_hold_nothing_else(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let tokens = gateway.register("alice");
    let response = gateway.client.get("/.well-known/jwks.json").expect(200);
    assert_eq!(response.header("content-type"), Some("application/jwk-set+json"));
    assert!(response.header("cache-control").unwrap().contains("max-age="));
    let keys = response.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 1);
    let key = keys[0].as_object().unwrap();
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"]),
        (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"))
    );
    for private in ["d", "k", "p", "q"] {
        assert!(!key.contains_key(private));
    }
    let header: Value = claims_of(&format!(".{}", tokens.access));
    assert_eq!(header["kid"], key["kid"]);
    // Keys outlive the process: a token of before still counts.
    gateway.kill();
    let gateway = world.gateway("");
    assert_eq!(gateway.client.get("/.well-known/jwks.json").json()["keys"], json!(keys));
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
    // Symmetric keys are nobody's business. What was signed before the change of the algorithm still counts.
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "0123456789abcdef0123456789abcdef").unwrap();
    let symmetric = format!(
        "[tokens]\nalgorithm = 'HS256'\nsecret_file = '{}'",
        secret.path().display()
    );
    let gateway = world.gateway(&symmetric);
    assert_eq!(
        gateway.client.get("/.well-known/jwks.json").expect(200).json(),
        json!({ "keys": keys })
    );
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
    let tokens = gateway.login("alice");
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
}

fn another_issuers_people_are_not_ours(kind: Kind) {
    let world = World::new(kind);
    let issuer = Issuer::new("https://idp.example").es256("k1");
    let gateway = world.gateway(&format!(
        r#"
[[tokens.trusted_issuers]]
issuer = "https://idp.example"
jwks_file = "{}"
algorithms = ["ES256"]
audience = ["app"]
users = "prefixed"
user_prefix = "idp:"
roles_claim = "roles"
roles = "as_is"
"#,
        issuer.jwks_file().display()
    ));
    let ours = gateway.register("alice");
    let id = claims_of(&ours.access)["sub"].as_str().unwrap().to_owned();
    for subject in ["alice", &id] {
        let mut claims = issuer.claims("app", subject);
        claims["roles"] = json!(["user", "admin", "doorward-admin"]);
        // What would name one of our sessions.
        claims["sid"] = claims_of(&ours.access)["sid"].clone();
        claims["username"] = json!("alice");
        let theirs = issuer.sign("k1", &claims);
        let echo = gateway.get_as("/app/admin", &theirs).expect(200);
        assert_eq!(echo.echoed("x-user"), Some(format!("idp:{subject}")));
        assert_eq!(echo.echoed("x-user-roles").as_deref(), Some("user,admin"));
        assert_eq!(gateway.status_as("/app/gateway", &theirs), 403);
        problem(&gateway.get_as("/api/me", &theirs), 401, "invalid_token");
        problem(&gateway.get_as("/api/protected", &theirs), 401, "invalid_token");
        problem(&gateway.logout(&theirs), 401, "invalid_token");
    }
    // Neither name nor session was taken for ours.
    assert_eq!(gateway.status_as("/app/x", &ours.access), 200);
    Tokens::of(&gateway.refresh(&ours.refresh));
    // And who signs as us with their key is nobody.
    let mut claims = claims_of(&ours.access);
    claims["roles"] = json!(["admin"]);
    let forged = issuer.sign("k1", &claims);
    problem(&gateway.get_as("/app/x", &forged), 401, "invalid_token");
}

fn the_admin_role_is_given_by_command_only(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let tokens = gateway.register("alice");
    world.sql("UPDATE users SET roles = 'user,doorward-admin,admin'");
    gateway.soon_answers("/app/admin", &tokens.access, 200);
    let roles = |access: &str| {
        gateway
            .get_as("/app/x", access)
            .expect(200)
            .echoed("x-user-roles")
            .unwrap()
    };
    assert_eq!(roles(&tokens.access), "user,admin");
    assert_eq!(gateway.status_as("/app/gateway", &tokens.access), 403);
    // Nor in a token that is made from the row now.
    let fresh = gateway.login("alice");
    assert_eq!(claims_of(&fresh.access)["roles"], json!(["user", "admin"]));
    assert_eq!(gateway.me(&fresh.access)["roles"], json!(["user", "admin"]));
    world.doorward(&["user", "roles", "alice", "user,doorward-admin"], "");
    gateway.soon_answers("/app/gateway", &tokens.access, 200);
    assert_eq!(roles(&fresh.access), "user,doorward-admin");
    assert_eq!(world.sql("SELECT roles FROM users"), "user");
    world.doorward(&["user", "roles", "alice", "user"], "");
    gateway.soon_answers("/app/gateway", &tokens.access, 403);
    // A new user with an old number inherits nothing.
    world.doorward(&["user", "roles", "alice", "user,doorward-admin"], "");
    let id = world.sql("SELECT id FROM users");
    world.sql("DELETE FROM users");
    world.sql(&format!(
        "INSERT INTO users (id, username, password, roles, is_active) VALUES ({id}, 'mallory', NULL, 'user', TRUE)"
    ));
    world.doorward(&["user", "passwd", "mallory", "--password-stdin"], PASSWORD);
    let mallory = gateway.login("mallory");
    assert_eq!(claims_of(&mallory.access)["roles"], json!(["user"]));
}

fn names_that_no_header_can_carry_still_have_an_account(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    gateway.register("alice");
    // As an older server let people register.
    world.sql("UPDATE users SET username = ' alice'");
    let tokens = gateway.login(" alice");
    problem(
        &gateway.get_as("/app/x", &tokens.access),
        403,
        "identity_not_representable",
    );
    assert_eq!(gateway.me(&tokens.access)["username"], " alice");
    assert_eq!(gateway.logout(&tokens.access).status, 204);
    problem(&gateway.get_as("/api/me", &tokens.access), 401, "invalid_token");
}
