//! Tokens that came by mail from either server, used at the other.

use http::Method;
use serde_json::{Value, json};

use super::forge::opened;
use super::{SERVED, with_mail, with_secret};
use crate::accounts::world::{PASSWORD, World};
use crate::postgres::Cluster;
use crate::support::client::{Client, Response};
use crate::support::flask::{Edition, Flask, Sink};

/// The link of a mail up to its token, and the token.
fn link_in(mail: &Value) -> (String, String) {
    let html = mail["html"].as_str().unwrap();
    let links = html.split("href=\"").filter_map(|rest| rest.split('"').next());
    let mut links = links.filter(|link| link.contains("?token="));
    let link = links.next().unwrap_or_else(|| panic!("no link in {html}"));
    let (before, token) = link.split_once("?token=").unwrap();
    (before.replace("&#x2F;", "/"), token.to_owned())
}

fn finalize(client: &Client, token: &str) -> Response {
    client.request(Method::GET, "/api/finalize").bearer(token).send()
}

fn reset_finalize(client: &Client, token: &str, password: &str) -> Response {
    let request = client.request(Method::POST, "/api/reset_finalize").bearer(token);
    request.json(&json!({ "password": password })).send()
}

#[test]
fn each_takes_what_the_other_mailed() {
    let database = Cluster::shared().database();
    database.psql(Edition::Mail.table());
    let (tls, plain) = (Sink::tls(), Sink::plain());
    let flask = Flask::start_with(Edition::Mail, &database.url(), &[("MAIL_PORT", &tls.port.to_string())]);
    let world = World::in_database(database);
    let gateway = world.gateway(&with_secret(&world, &format!("{SERVED}{}", with_mail(plain.port))));
    let (ours, theirs) = (&gateway.client, &flask.client);
    for (name, maker, sink, other) in [("here", ours, &plain, theirs), ("there", theirs, &tls, ours)] {
        let address = format!("{name}@example.com");
        let body = json!({ "username": name, "password": PASSWORD, "email": address });
        let told = maker.post_json("/api/registration", &body).expect(201).json();
        assert_eq!(
            told,
            json!({ "message": format!("successfully sent registration email to user {name}") })
        );
        let login = json!({ "username": name, "password": PASSWORD });
        for client in [ours, theirs] {
            client.post_json("/api/login", &login).expect(403);
            client.post_json("/api/registration", &body).expect(409);
        }
        let mail = sink.mail_to(&address, "Confirm");
        assert_eq!(mail["from"], "JWT Server <mailer@server.test>");
        let (link, token) = link_in(&mail);
        assert_eq!(link, "https://client.test/#/finalize");
        let (header, claims) = opened(&token).unwrap();
        assert_eq!(header, r#"{"typ":"JWT","alg":"HS256"}"#);
        assert!(claims.ends_with(",\"is_ert\":true}"), "{claims}");
        // Of itself it is no access.
        for client in [ours, theirs] {
            let refused = client
                .request(Method::GET, "/api/protected")
                .bearer(&token)
                .send()
                .expect(401);
            assert_eq!(refused.json()["error"], "MisusedRegistrationToken");
        }
        // At the other, where it was not made, and then at its maker's too: the client asks twice.
        for client in [other, other, maker] {
            let welcome = finalize(client, &token).expect(200).json();
            assert_eq!(welcome["user"], name);
        }
        for client in [ours, theirs] {
            client.post_json("/api/login", &login).expect(200);
        }
        let told = maker
            .post_json("/api/reset", &json!({ "email": address }))
            .expect(200)
            .json();
        assert_eq!(
            told,
            json!({ "message": format!("successfully sent password reset email to {address}") })
        );
        let (link, token) = link_in(&sink.mail_to(&address, "Reset"));
        assert_eq!(link, "https://client.test/#/reset_finalize");
        let (_, claims) = opened(&token).unwrap();
        assert!(claims.ends_with(",\"is_prt\":true}"), "{claims}");
        let new = "quite another password";
        let welcome = reset_finalize(other, &token, new).expect(200).json();
        assert_eq!(welcome["user"], name);
        // What came with the new password counts at once, whoever gave it.
        for client in [ours, theirs] {
            let token = welcome["access_token"].as_str().unwrap();
            let request = client.request(Method::GET, "/api/protected").bearer(token);
            request.send().expect(200);
        }
        for client in [ours, theirs] {
            client.post_json("/api/login", &login).expect(401);
            client
                .post_json("/api/login", &json!({ "username": name, "password": new }))
                .expect(200);
        }
    }
}
