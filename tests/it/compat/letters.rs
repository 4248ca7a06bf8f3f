//! Who is written to, and what a letter says: rows whose addresses are alike, names that are letters themselves, the host that
//! people know.

use serde_json::json;

use super::told::{COMPAT, HASH, error, error_of};
use super::with_mail;
use crate::accounts::world::{Gateway, Kind, World};
use crate::mail::{VERIFY, ask_reset, register};
use crate::support::client::Response;
use crate::support::smtp::Smtp;

on_both!(
    the_letter_goes_to_the_very_address,
    a_name_is_no_letter_to_a_stranger,
    a_name_that_is_too_much_like_another_will_not_do,
);

fn gateway(world: &World<'_>, smtp: &Smtp) -> Gateway {
    world.gateway(&format!("{COMPAT}{}", with_mail(smtp.port)))
}

fn set_password(gateway: &Gateway, token: &str, password: &str) -> Response {
    let request = gateway.client.request(http::Method::POST, "/api/reset_finalize");
    request.bearer(token).json(&json!({ "password": password })).send()
}

fn the_letter_goes_to_the_very_address(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    for (name, address) in [("lower", "lee@example.org"), ("upper", "Lee@example.org")] {
        world.sql(&format!(
            "INSERT INTO users (username, password, roles, is_active, email) VALUES ('{name}', '{HASH}', 'user', TRUE, '{address}')"
        ));
    }
    for (index, (name, address)) in [("upper", "Lee@example.org"), ("lower", "lee@example.org")]
        .into_iter()
        .enumerate()
    {
        ask_reset(&gateway, address).expect(200);
        let mail = smtp.mail(index);
        assert_eq!(mail.to, address);
        let new = format!("herons under a quiet bridge {name}");
        let welcome = set_password(&gateway, &mail.code(), &new).expect(200).json();
        assert_eq!(welcome["user"], name);
        gateway.login_with(name, &new).expect(200);
    }
    // Neither is there: whoever comes first.
    ask_reset(&gateway, "LEE@example.org").expect(200);
    assert_eq!(smtp.mail(2).to, "lee@example.org");
}

fn a_name_is_no_letter_to_a_stranger(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    let name = format!(
        "You won! Fetch it at www.evil.test or evil.test/now {}",
        "and read on ".repeat(1_000)
    );
    register(&gateway, name.trim_end(), "stranger@example.org").expect(201);
    register(&gateway, "alice", "alice@example.org").expect(201);
    let mails = [smtp.mail(0), smtp.mail(1)];
    for mail in &mails {
        let body = mail.body();
        assert!(
            body.contains("If you did not register at https://client.test, ignore this mail"),
            "{body}"
        );
        assert!(!body.contains("localhost"), "{body}");
    }
    let of = |address: &str| mails.iter().find(|mail| mail.to == address).unwrap();
    let letter = of("stranger@example.org");
    assert!(letter.raw.len() < 5_000, "{} bytes", letter.raw.len());
    let body = letter.body();
    assert!(body.contains("You won! Fetch it at"), "{body}");
    assert!(
        !body.contains("evil.test") && body.matches("read on").count() < 9,
        "{body}"
    );
    assert!(of("alice@example.org").body().contains("Hello alice,\r\n"));
}

fn a_name_that_is_too_much_like_another_will_not_do(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    register(&gateway, "good", "good@example.org").expect(201);
    for (index, name) in ["GOOD", "ｇood"].into_iter().enumerate() {
        let address = format!("other{index}@example.org");
        error_of(&register(&gateway, name, &address), 400, "InvalidUsername");
    }
    let taken = register(&gateway, "good", "other@example.org").expect(409).json();
    assert_eq!(taken, json!({ "message": "user good already exists on DB!" }));
    assert_eq!(world.count("SELECT count(*) FROM users"), 1);
}

/// A page of the client's is the host that people know, where nothing else says one; where something does, it is that.
#[test]
fn letters_name_the_host_that_they_lead_to() {
    for (config, known) in [
        (
            "confirmation_url = 'https://client.test/#/finalize'\nreset_url = 'https://client.test/#/reset'\n",
            "https://client.test",
        ),
        (
            "confirmation_url = 'https://client.test:3000/confirm'\n[tokens]\nissuer = 'https://gate.test'\n",
            "https://client.test:3000",
        ),
        ("[tokens]\nissuer = 'https://gate.test'\n", "https://gate.test"),
    ] {
        let (world, smtp) = (World::new(Kind::Sqlite), Smtp::plain(""));
        let gateway = world.gateway(&format!("{VERIFY}{}{config}", smtp.config("smtp", "")));
        register(&gateway, "alice", "alice@example.org").expect(201);
        let body = smtp.mail(0).body();
        assert!(body.contains(&format!("did not register at {known}, ignore")), "{body}");
    }
}

/// A token of which nothing is there but its dots.
#[test]
fn an_empty_token_is_told_in_the_words_of_the_library() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(COMPAT);
    let text =
        "failed to decode JWT token -- DecodeError: Invalid header string: Expecting value: line 1 column 1 (char 0)";
    for token in ["..", "...", ".e30.x"] {
        error(
            &gateway.get_as("/api/protected", token),
            401,
            "InvalidTokenHeader",
            text,
        );
    }
}
