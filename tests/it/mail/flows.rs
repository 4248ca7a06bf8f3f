//! What people do, and what strangers learn from it.

use serde_json::json;

use super::{ask_reset, confirmed, finalize, gateway, register, set_password};
use crate::accounts::answers::problem;
use crate::accounts::world::{Kind, PASSWORD, World};
use crate::support::smtp::Smtp;
use crate::support::until;

on_both!(
    an_account_counts_once_its_address_is_confirmed,
    nobody_learns_which_names_and_addresses_there_are,
    a_registration_and_a_login_tell_nobody_who_has_an_account,
    a_forgotten_password_is_replaced_once,
    a_code_is_worth_nothing_after_what_it_was_bound_to_changed,
    an_administrators_word_stands_above_a_code,
    mails_to_one_address_have_a_limit,
);

const NEW: &str = "herons under a quiet bridge";

fn an_account_counts_once_its_address_is_confirmed(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    problem(&gateway.register_with("alice", PASSWORD), 400, "invalid_request");
    let answer = register(&gateway, "alice", "alice@example.org").expect(201);
    assert!(
        answer.json()["message"].as_str().unwrap().contains("mail"),
        "{answer:?}"
    );
    let row = "SELECT CASE WHEN is_active THEN 1 ELSE 0 END, CASE WHEN email_verified THEN 1 ELSE 0 END FROM users";
    assert_eq!(world.sql(row), "0|0");
    let waiting = problem(&gateway.login_with("alice", PASSWORD), 401, "invalid_credentials");
    let wrong = problem(&gateway.login_with("alice", "wrong"), 401, "invalid_credentials");
    assert_eq!(waiting, wrong);
    let mail = smtp.mail(0);
    assert_eq!(
        (mail.from.as_str(), mail.to.as_str()),
        ("gate@gateway.test", "alice@example.org")
    );
    assert_eq!(mail.header("Subject"), "Confirm your address");
    assert!(
        mail.body().contains("https://gateway.test/auth/confirm?token="),
        "{}",
        mail.body()
    );
    let code = mail.code();
    assert_eq!(code.len(), 43);
    // Only a hash is kept, and the outbox forgets the address.
    let kept = world.sql("SELECT * FROM gateway_codes");
    assert!(!kept.contains(&code) && !kept.is_empty(), "{kept}");
    until("a settled mail", || {
        (world.sql("SELECT data FROM gateway_outbox") == "{}").then_some(())
    });
    for wrong in ["x", &code[1..], &format!("{code}x")] {
        problem(&finalize(&gateway, wrong), 401, "invalid_code");
    }
    problem(&gateway.client.get("/api/finalize"), 401, "credentials_required");
    problem(&set_password(&gateway, &code, NEW), 401, "invalid_code");
    let body = finalize(&gateway, &code).expect(200).json();
    assert_eq!(body["user"], "alice");
    let me = gateway.me(body["access_token"].as_str().unwrap());
    assert_eq!(me["email"], "alice@example.org");
    assert_eq!(world.sql(row), "1|1");
    problem(&finalize(&gateway, &code), 401, "invalid_code");
    gateway.login("alice");
    let page = gateway.admin.get("/metrics").text();
    assert!(
        page.contains("doorward_mails_total{kind=\"confirmation\",result=\"sent\"} 1"),
        "{page}"
    );
    until("an empty outbox in the figures", || {
        gateway
            .admin
            .get("/metrics")
            .text()
            .contains("doorward_mail_outbox 0")
            .then_some(())
    });
    let lines = gateway.process.lines().join("\n");
    assert!(
        !lines.contains(&code) && !lines.contains("alice@example.org"),
        "{lines}"
    );
}

fn nobody_learns_which_names_and_addresses_there_are(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    confirmed(&gateway, &smtp, "alice", "alice@example.org");
    let unknown = register(&gateway, "bob", "bob@example.org").expect(201);
    smtp.mail(1);
    let known = register(&gateway, "carol", "Alice@example.org").expect(201);
    assert_eq!(known.body, unknown.body);
    // Its owner is told.
    let mail = smtp.mail(2);
    assert_eq!(
        (mail.to.as_str(), mail.header("Subject").as_str()),
        ("alice@example.org", "You have an account already")
    );
    assert!(
        mail.body().contains("alice") && !mail.body().contains("token="),
        "{}",
        mail.body()
    );
    let taken = register(&gateway, "ALICE", "dave@example.org").expect(201);
    assert_eq!(taken.body, unknown.body);
    let mail = smtp.mail(3);
    assert_eq!(
        (mail.to.as_str(), mail.header("Subject").as_str()),
        ("dave@example.org", "The name you chose is taken")
    );
    assert_eq!(world.count("SELECT count(*) FROM users"), 2);
    let known = ask_reset(&gateway, "alice@example.org").expect(200);
    smtp.mail(4);
    let unknown = ask_reset(&gateway, "nobody@example.org").expect(200);
    assert_eq!(known.body, unknown.body);
    assert_eq!(known.headers.has("retry-after"), unknown.headers.has("retry-after"));
    problem(&ask_reset(&gateway, "no address"), 400, "invalid_request");
    until("nothing that waits", || {
        (world.count("SELECT count(*) FROM gateway_outbox WHERE settled_at IS NULL") == 0).then_some(())
    });
    assert_eq!(smtp.count(), 5);
    // Names and passwords that will not do are said to be so: that is no secret of anybody's.
    let body = json!({ "username": "eve", "password": "x", "email": "eve@example.org" });
    problem(
        &gateway.client.post_json("/api/registration", &body),
        422,
        "weak_password",
    );
}

fn a_registration_and_a_login_tell_nobody_who_has_an_account(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    confirmed(&gateway, &smtp, "alice", "alice@example.org");
    // An unknown address, a known one, a known name: the next login with what was just chosen is one and the same answer.
    register(&gateway, "bob", "bob@example.org").expect(201);
    register(&gateway, "carol", "alice@example.org").expect(201);
    register(&gateway, "Alice", "dave@example.org").expect(201);
    let answers: Vec<_> = ["bob", "carol", "Alice", "nobody"]
        .map(|name| gateway.login_with(name, PASSWORD))
        .into();
    for answer in &answers {
        problem(answer, 401, "invalid_credentials");
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(answer.headers.names(), answers[0].headers.names());
    }
    let line = gateway.process.wait_for_line(|line| line.contains("unconfirmed"));
    assert!(line.contains("login refused") && line.contains("bob"), "{line}");
    // It counts as a failed login, as theirs does.
    assert_eq!(
        world.sql("SELECT count(DISTINCT key) >= 3 FROM gateway_failures WHERE at > 0"),
        if kind == Kind::Postgres { "t" } else { "1" }
    );
    // Who was in and is not any more is told so, with the right password only.
    world.doorward(&["user", "deactivate", "alice"], "");
    problem(&gateway.login_with("alice", PASSWORD), 403, "account_inactive");
    problem(&gateway.login_with("alice", "wrong"), 401, "invalid_credentials");
    // So is whom an administrator closed out before.
    world.doorward(&["user", "deactivate", "bob"], "");
    problem(&gateway.login_with("bob", PASSWORD), 403, "account_inactive");
}

fn a_forgotten_password_is_replaced_once(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    confirmed(&gateway, &smtp, "alice", "alice@example.org");
    let before = gateway.login("alice");
    ask_reset(&gateway, "ALICE@example.org").expect(200);
    let mail = smtp.mail(1);
    assert_eq!(mail.header("Subject"), "Reset your password");
    assert!(
        mail.body().contains("https://gateway.test/auth/reset?token="),
        "{}",
        mail.body()
    );
    let code = mail.code();
    problem(&finalize(&gateway, &code), 401, "invalid_code");
    // What will not do does not use it up.
    problem(&set_password(&gateway, &code, "short"), 422, "weak_password");
    let body = set_password(&gateway, &code, NEW).expect(200).json();
    assert_eq!(body["user"], "alice");
    gateway.me(body["access_token"].as_str().unwrap());
    gateway.soon_answers("/api/me", &before.access, 401);
    problem(&gateway.refresh(&before.refresh), 401, "invalid_grant");
    problem(&gateway.login_with("alice", PASSWORD), 401, "invalid_credentials");
    gateway.login_with("alice", NEW).expect(200);
    problem(&set_password(&gateway, &code, PASSWORD), 401, "invalid_code");
    // Somebody who never confirmed gets in this way too: they read the mail.
    register(&gateway, "bob", "bob@example.org").expect(201);
    smtp.mail(2);
    ask_reset(&gateway, "bob@example.org").expect(200);
    set_password(&gateway, &smtp.mail(3).code(), NEW).expect(200);
    gateway.login_with("bob", NEW).expect(200);
    problem(&gateway.login_with("bob", PASSWORD), 401, "invalid_credentials");
}

fn a_code_is_worth_nothing_after_what_it_was_bound_to_changed(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    confirmed(&gateway, &smtp, "alice", "alice@example.org");
    for (index, change) in [
        "UPDATE users SET password = 'x'",
        "UPDATE users SET email = 'other@example.org'",
    ]
    .into_iter()
    .enumerate()
    {
        ask_reset(&gateway, "alice@example.org").expect(200);
        let code = smtp.mail(index + 1).code();
        world.sql(change);
        problem(&set_password(&gateway, &code, NEW), 401, "invalid_code");
    }
    // Too old.
    ask_reset(&gateway, "other@example.org").expect(200);
    let code = smtp.mail(3).code();
    world.sql("UPDATE gateway_codes SET expires_at = expires_at - 900001");
    problem(&set_password(&gateway, &code, NEW), 401, "invalid_code");
    // Of two mails both count, until one did.
    ask_reset(&gateway, "other@example.org").expect(200);
    ask_reset(&gateway, "other@example.org").expect(200);
    let codes = [smtp.mail(4).code(), smtp.mail(5).code()];
    set_password(&gateway, &codes[0], NEW).expect(200);
    problem(&set_password(&gateway, &codes[1], NEW), 401, "invalid_code");
}

fn an_administrators_word_stands_above_a_code(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    register(&gateway, "alice", "alice@example.org").expect(201);
    let code = smtp.mail(0).code();
    world.doorward(&["user", "deactivate", "alice"], "");
    problem(&finalize(&gateway, &code), 403, "account_inactive");
    ask_reset(&gateway, "alice@example.org").expect(200);
    until("nothing that waits", || {
        (world.count("SELECT count(*) FROM gateway_outbox WHERE settled_at IS NULL") == 0).then_some(())
    });
    assert_eq!(smtp.count(), 1);
    world.doorward(&["user", "activate", "alice"], "");
    gateway.login("alice");
}

fn mails_to_one_address_have_a_limit(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    confirmed(&gateway, &smtp, "alice", "alice@example.org");
    let answers: Vec<_> = (0..8)
        .map(|_| ask_reset(&gateway, "alice@example.org").expect(200).body)
        .collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    smtp.mail(4);
    until("nothing that waits", || {
        (world.count("SELECT count(*) FROM gateway_outbox WHERE settled_at IS NULL") == 0).then_some(())
    });
    assert_eq!(smtp.count(), 5);
    // Another's is not touched by that.
    register(&gateway, "bob", "bob@example.org").expect(201);
    assert_eq!(smtp.mail(5).to, "bob@example.org");
}
