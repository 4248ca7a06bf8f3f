//! Bans of other issuers' people and tokens, written by plain SQL, act at running gateways.

use serde_json::json;

use super::answers::problem;
use super::world::{Gateway, Kind, World};
use crate::support::issuer::{Issuer, unix_time};

on_both!(
    a_banned_token_and_a_banned_subject_are_refused_everywhere,
    a_ban_of_a_subject_spares_what_was_issued_after_it,
);

const NAME: &str = "https://idp.example";

fn trusting(issuer: &Issuer) -> String {
    format!(
        r#"
[[tokens.trusted_issuers]]
issuer = "{NAME}"
jwks_file = "{}"
algorithms = ["ES256"]
audience = ["app"]
users = "prefixed"
user_prefix = "idp:"
"#,
        issuer.jwks_file().display()
    )
}

/// A ban as the schema has it: a JSON array of the issuer and the subject or token, in force from now for an hour.
fn ban(world: &World<'_>, kind: &str, name: &str, at: u64) {
    let (subject, until) = (json!([NAME, name]), (unix_time() + 3600) * 1000);
    world.sql(&format!(
        "INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('{kind}', '{subject}', {}, {until})",
        at * 1000
    ));
}

fn a_banned_token_and_a_banned_subject_are_refused_everywhere(kind: Kind) {
    let world = World::new(kind);
    let issuer = Issuer::new(NAME).es256("k1");
    let gateways: Vec<Gateway> = (0..2).map(|_| world.gateway(&trusting(&issuer))).collect();
    let token = |subject: &str| {
        let claims = issuer.claims("app", subject);
        (claims["jti"].as_str().unwrap().to_owned(), issuer.sign("k1", &claims))
    };
    let (first, second, bystander) = (token("ann"), token("ann"), token("bob"));
    for gateway in &gateways {
        for (_, token) in [&first, &second, &bystander] {
            assert_eq!(gateway.status_as("/app/x", token), 200);
        }
    }
    ban(&world, "external_token", &first.0, unix_time());
    for gateway in &gateways {
        gateway.soon_answers("/app/x", &first.1, 401);
        problem(&gateway.get_as("/app/x", &first.1), 401, "invalid_token");
        assert_eq!(gateway.status_as("/app/x", &second.1), 200);
    }
    ban(&world, "external_subject", "ann", unix_time() + 1);
    for gateway in &gateways {
        gateway.soon_answers("/app/x", &second.1, 401);
        assert_eq!(gateway.status_as("/app/x", &bystander.1), 200);
    }
    // Who starts after it knows of it, too.
    let late = world.gateway(&trusting(&issuer));
    assert_eq!(late.status_as("/app/x", &first.1), 401);
    assert_eq!(late.status_as("/app/x", &second.1), 401);
    assert_eq!(late.status_as("/app/x", &bystander.1), 200);
}

fn a_ban_of_a_subject_spares_what_was_issued_after_it(kind: Kind) {
    let world = World::new(kind);
    let issuer = Issuer::new(NAME).es256("k1");
    let gateway = world.gateway(&trusting(&issuer));
    let issued = |at: u64| {
        let mut claims = issuer.claims("app", "ann");
        claims["iat"] = json!(at);
        issuer.sign("k1", &claims)
    };
    let now = unix_time();
    let (before, after) = (issued(now - 100), issued(now - 20));
    let mut claims = issuer.claims("app", "ann");
    claims.as_object_mut().unwrap().remove("iat");
    let undated = issuer.sign("k1", &claims);
    for token in [&before, &after, &undated] {
        assert_eq!(gateway.status_as("/app/x", token), 200);
    }
    ban(&world, "external_subject", "ann", now - 50);
    gateway.soon_answers("/app/x", &before, 401);
    assert_eq!(gateway.status_as("/app/x", &undated), 401);
    assert_eq!(gateway.status_as("/app/x", &after), 200);
}
