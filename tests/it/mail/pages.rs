//! The pages, as a browser without scripts uses them.

use http::Method;

use super::{confirmed, gateway, register};
use crate::accounts::browser::{form, navigate, set_cookie};
use crate::accounts::world::{Gateway, Kind, PASSWORD, World};
use crate::support::client::Response;
use crate::support::smtp::Smtp;

on_both!(
    a_link_is_followed_without_harm_and_a_button_confirms,
    a_new_password_is_asked_for_and_set,
    an_account_is_made_on_a_page,
);

const NEW: &str = "herons under a quiet bridge";

fn send(gateway: &Gateway, page: &str, fields: &[(&str, &str)], site: &str) -> Response {
    gateway
        .client
        .request(Method::POST, page)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", site)
        .body(form(fields))
        .send()
}

fn a_link_is_followed_without_harm_and_a_button_confirms(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    register(&gateway, "alice", "alice@example.org").expect(201);
    let code = smtp.mail(0).code();
    let link = format!("/auth/confirm?token={code}");
    for _ in 0..3 {
        let page = navigate(&gateway.client, &link, None).expect(200);
        assert!(page.text().contains(&code), "{}", page.text());
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert!(
            page.header("content-security-policy")
                .unwrap()
                .starts_with("default-src 'none'")
        );
    }
    let odd = navigate(&gateway.client, "/auth/confirm?token=%22%3E%3Cscript%3E", None).expect(200);
    assert!(!odd.text().contains("<script>"), "{}", odd.text());
    let fields = [("token", code.as_str())];
    send(&gateway, "/auth/confirm", &fields, "cross-site").expect(403);
    assert_eq!(gateway.login_with("alice", PASSWORD).status, 401);
    let page = send(&gateway, "/auth/confirm", &fields, "same-origin").expect(200);
    assert!(page.text().contains("Address confirmed"), "{}", page.text());
    gateway.login("alice");
    let page = send(&gateway, "/auth/confirm", &fields, "same-origin").expect(401);
    assert!(page.text().contains("not valid any more"), "{}", page.text());
}

fn a_new_password_is_asked_for_and_set(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateway = gateway(&world, &smtp);
    confirmed(&gateway, &smtp, "alice", "alice@example.org");
    let login = navigate(&gateway.client, "/auth/login", None).expect(200).text();
    assert!(
        login.contains("/auth/forgot") && login.contains("/auth/register"),
        "{login}"
    );
    navigate(&gateway.client, "/auth/forgot", None).expect(200);
    let known = send(
        &gateway,
        "/auth/forgot",
        &[("email", "alice@example.org")],
        "same-origin",
    )
    .expect(200);
    let unknown = send(&gateway, "/auth/forgot", &[("email", "x@example.org")], "same-origin").expect(200);
    assert_eq!(known.body, unknown.body);
    let code = smtp.mail(1).code();
    navigate(&gateway.client, &format!("/auth/reset?token={code}"), None).expect(200);
    let weak = send(
        &gateway,
        "/auth/reset",
        &[("token", &code), ("password", "x")],
        "same-origin",
    )
    .expect(422);
    assert!(
        weak.text().contains(&code) && weak.text().contains("at least 8 characters"),
        "{}",
        weak.text()
    );
    send(
        &gateway,
        "/auth/reset",
        &[("token", &code), ("password", NEW)],
        "same-origin",
    )
    .expect(200);
    gateway.login_with("alice", NEW).expect(200);
}

fn an_account_is_made_on_a_page(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let fields = |name, email| [("username", name), ("email", email), ("password", PASSWORD)];
    let verifying = gateway(&world, &smtp);
    navigate(&verifying.client, "/auth/register", None).expect(200);
    let page = send(
        &verifying,
        "/auth/register",
        &fields("alice", "alice@example.org"),
        "same-origin",
    )
    .expect(200);
    assert!(page.text().contains("Look into your mail"), "{}", page.text());
    assert_eq!(smtp.mail(0).to, "alice@example.org");
    send(&verifying, "/auth/register", &fields("bob", ""), "same-origin").expect(400);
    drop(verifying);
    let open = world.gateway("");
    let login = navigate(&open.client, "/auth/login", None).expect(200).text();
    assert!(
        login.contains("/auth/register") && !login.contains("/auth/forgot"),
        "{login}"
    );
    navigate(&open.client, "/auth/forgot", None).expect(404);
    let answer = send(&open, "/auth/register", &fields("carol", ""), "same-origin").expect(303);
    let jar = set_cookie(&answer);
    let home = navigate(&open.client, "/auth/", Some(&jar)).expect(200);
    assert!(home.text().contains("carol"), "{}", home.text());
    send(&open, "/auth/register", &fields("CAROL", ""), "same-origin").expect(409);
    drop(open);
    let closed = world.gateway("[accounts]\nregistration = 'closed'");
    navigate(&closed.client, "/auth/register", None).expect(403);
    send(&closed, "/auth/register", &fields("dave", ""), "same-origin").expect(403);
    assert_eq!(world.count("SELECT count(*) FROM users"), 2);
}
