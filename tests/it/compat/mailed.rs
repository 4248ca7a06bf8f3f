//! Tokens that came by mail, and what became of the account since.

use http::Method;
use serde_json::json;

use super::told::{COMPAT, REVOKED, error, error_of};
use crate::accounts::browser::form;
use crate::accounts::world::{Gateway, Kind, PASSWORD, World};
use crate::mail::{VERIFY, ask_reset, finalize, register};
use crate::support::client::Response;
use crate::support::issuer::unix_time;
use crate::support::ports::free_port;
use crate::support::smtp::Smtp;
use crate::support::until;

on_both!(
    a_new_password_ends_what_was_mailed_before,
    a_token_is_of_the_account_and_not_of_its_number,
    an_account_closed_by_sql_stays_closed,
    an_address_is_verified_by_what_was_mailed_to_it,
    a_mail_unsent_when_its_account_was_closed_is_not_sent,
    the_pages_take_what_the_mail_leads_to,
    what_was_revoked_is_worth_nothing,
    an_account_waits_for_as_long_as_its_mail_says,
);

const NEW: &str = "herons under a quiet bridge";

fn gateway(world: &World<'_>, smtp: &Smtp) -> Gateway {
    world.gateway(&format!("{COMPAT}{VERIFY}{}", smtp.config("smtp", "")))
}

fn set_password(gateway: &Gateway, token: &str, password: &str) -> Response {
    let request = gateway
        .client
        .request(Method::POST, "/api/reset_finalize")
        .bearer(token);
    request.json(&json!({ "password": password })).send()
}

/// Whether the account is active and its address verified.
fn row(world: &World<'_>) -> String {
    world.sql("SELECT CASE WHEN is_active THEN 1 ELSE 0 END, CASE WHEN email_verified THEN 1 ELSE 0 END FROM users")
}

/// Asks for a new password; the token of the mail.
fn reset_token(gateway: &Gateway, smtp: &Smtp, address: &str) -> String {
    let before = smtp.count();
    ask_reset(gateway, address).expect(200);
    smtp.mail(before).code()
}

/// An account that waits for its confirmation; the token of the mail.
fn registered(gateway: &Gateway, smtp: &Smtp) -> String {
    register(gateway, "alice", "alice@example.org").expect(201);
    smtp.mail(0).code()
}

fn an_account_waits_for_as_long_as_its_mail_says(kind: Kind) {
    const HOUR: i64 = 3_600_000;
    for (life, hours) in [("24h", 72), ("7d", 8 * 24)] {
        let (world, smtp) = (World::new(kind), Smtp::plain(""));
        let life = format!("[tokens]\naccess_ttl = \"{life}\"\n");
        let gateway = world.gateway(&format!("{COMPAT}{VERIFY}{}{life}", smtp.config("smtp", "")));
        let now = || i64::try_from(unix_time()).unwrap() * 1000;
        let before = now();
        registered(&gateway, &smtp);
        let until: i64 = world.sql("SELECT until FROM gateway_unconfirmed").parse().unwrap();
        let waits = before + hours * HOUR..=now() + hours * HOUR + 1000;
        assert!(waits.contains(&until), "{until} in {waits:?}");
    }
}

fn a_new_password_ends_what_was_mailed_before(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    let registration = registered(&gateway, &smtp);
    for _ in 0..3 {
        finalize(&gateway, &registration).expect(200);
    }
    assert_eq!(row(&world), "1|1");
    let first = reset_token(&gateway, &smtp, "alice@example.org");
    let second = reset_token(&gateway, &smtp, "alice@example.org");
    set_password(&gateway, &first, NEW).expect(200);
    error_of(&set_password(&gateway, &first, "x"), 401, "InvalidResetToken");
    error_of(&set_password(&gateway, &second, "x"), 401, "InvalidResetToken");
    error_of(&finalize(&gateway, &registration), 401, "PraetorianError");
    let third = reset_token(&gateway, &smtp, "alice@example.org");
    let login = gateway.login_with("alice", NEW).expect(200).json();
    let own = gateway.client.request(Method::POST, "/api/password");
    let own = own.bearer(login["access_token"].as_str().unwrap());
    own.json(&json!({ "current": NEW, "new": PASSWORD })).send().expect(204);
    error_of(&set_password(&gateway, &third, "x"), 401, "InvalidResetToken");
    // What is mailed after it counts, at once.
    let fourth = reset_token(&gateway, &smtp, "alice@example.org");
    set_password(&gateway, &fourth, NEW).expect(200);
    gateway.login_with("alice", NEW).expect(200);
}

fn a_token_is_of_the_account_and_not_of_its_number(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    let registration = registered(&gateway, &smtp);
    finalize(&gateway, &registration).expect(200);
    let reset = reset_token(&gateway, &smtp, "alice@example.org");
    let id = world.sql("SELECT id FROM users");
    world.sql("DELETE FROM users");
    world.sql(&format!(
        "INSERT INTO users (id, username, password, roles, is_active, email) \
        VALUES ({id}, 'carol', 'hers', 'user', TRUE, 'alice@example.org')"
    ));
    error_of(&set_password(&gateway, &reset, NEW), 401, "InvalidResetToken");
    error_of(&finalize(&gateway, &registration), 401, "PraetorianError");
    assert_eq!(world.sql("SELECT password FROM users"), "hers");
    assert_eq!(row(&world), "1|0");
}

fn an_account_closed_by_sql_stays_closed(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    let registration = registered(&gateway, &smtp);
    finalize(&gateway, &registration).expect(200);
    let reset = reset_token(&gateway, &smtp, "alice@example.org");
    world.sql("UPDATE users SET is_active = FALSE");
    error(&finalize(&gateway, &registration), 403, "InvalidUserError", REVOKED);
    error(&set_password(&gateway, &reset, NEW), 403, "InvalidUserError", REVOKED);
    assert_eq!(row(&world), "0|1");
}

fn a_mail_unsent_when_its_account_was_closed_is_not_sent(kind: Kind) {
    let (world, port) = (World::new(kind), free_port());
    let mail = format!("[mail]\nurl = 'smtp://127.0.0.1:{port}'\nfrom = 'gate@gateway.test'\nretry = '100ms'\n");
    let gateway = world.gateway(&format!("{COMPAT}{VERIFY}{mail}"));
    for name in ["alice", "bob"] {
        register(&gateway, name, &format!("{name}@example.org")).expect(201);
    }
    world.sql("UPDATE users SET is_active = TRUE WHERE username = 'alice'; UPDATE users SET is_active = FALSE");
    let smtp = Smtp::start(&["--security", "plain", "--port", &port.to_string()]);
    let dropped = "doorward_mails_total{kind=\"confirmation\",result=\"dropped\"} 1";
    until(dropped, || {
        gateway.admin.get("/metrics").text().contains(dropped).then_some(())
    });
    // Who still waits is written to, and let in.
    let mail = smtp.mail(0);
    assert_eq!(mail.to, "bob@example.org");
    finalize(&gateway, &mail.code()).expect(200);
    until("nothing that waits", || {
        (world.count("SELECT count(*) FROM gateway_outbox WHERE settled_at IS NULL") == 0).then_some(())
    });
    assert_eq!(smtp.count(), 1);
    assert_eq!(world.sql("SELECT username FROM users WHERE is_active"), "bob");
}

fn an_address_is_verified_by_what_was_mailed_to_it(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    let registration = registered(&gateway, &smtp);
    world.sql("UPDATE users SET email = 'other@example.org'");
    finalize(&gateway, &registration).expect(200);
    assert_eq!(row(&world), "1|0");
    let reset = reset_token(&gateway, &smtp, "other@example.org");
    world.sql("UPDATE users SET email = 'third@example.org'");
    error_of(&set_password(&gateway, &reset, NEW), 401, "InvalidResetToken");
    let reset = reset_token(&gateway, &smtp, "third@example.org");
    set_password(&gateway, &reset, NEW).expect(200);
    assert_eq!(row(&world), "1|1");
}

fn the_pages_take_what_the_mail_leads_to(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    let send = |page: &str, fields: &[(&str, &str)]| {
        let request = gateway.client.request(Method::POST, page);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request
            .header("sec-fetch-site", "same-origin")
            .body(form(fields))
            .send()
    };
    let registration = registered(&gateway, &smtp);
    let mail = smtp.mail(0).body();
    assert!(mail.contains("/auth/confirm?token"), "{mail}");
    assert!(mail.contains("24 hours") && !mail.contains("once"), "{mail}");
    let page = send("/auth/confirm", &[("token", &registration)]).expect(200);
    assert!(page.text().contains("Address confirmed"), "{}", page.text());
    gateway.login_with("alice", PASSWORD).expect(200);
    let reset = reset_token(&gateway, &smtp, "alice@example.org");
    assert!(smtp.mail(1).body().contains("24 hours, once"));
    // Neither is good for the other.
    for (page, fields) in [
        ("/auth/confirm", &[("token", reset.as_str())][..]),
        ("/auth/reset", &[("token", registration.as_str()), ("password", NEW)]),
    ] {
        let answer = send(page, fields);
        assert_eq!(answer.status, 401);
        assert!(answer.text().contains("not valid any more"), "{}", answer.text());
    }
    let fields = [("token", reset.as_str()), ("password", NEW)];
    let page = send("/auth/reset", &fields).expect(200);
    assert!(page.text().contains("Password set"), "{}", page.text());
    gateway.login_with("alice", NEW).expect(200);
    let page = send("/auth/reset", &fields).expect(401);
    assert!(page.text().contains("not valid any more"), "{}", page.text());
}

fn what_was_revoked_is_worth_nothing(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    let revoke = |token: &str| {
        let request = gateway.client.request(Method::POST, "/api/revoke");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(form(&[("token", token)])).send().expect(200);
    };
    let registration = registered(&gateway, &smtp);
    finalize(&gateway, &registration).expect(200);
    let reset = reset_token(&gateway, &smtp, "alice@example.org");
    revoke(&registration);
    revoke(&reset);
    error_of(&finalize(&gateway, &registration), 403, "BlacklistedError");
    error_of(&set_password(&gateway, &reset, NEW), 403, "BlacklistedError");
}
