//! What is played against every consumer. Each case says in its name what holds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use http::Method;

use super::attacks;
use super::people;
use super::readme;
use super::received::identity_of;
use super::shared::Running;
use crate::support::client::Response;
use crate::support::until;

type Case = (&'static str, fn(&Running));

const CASES: &[Case] = &[
    ("the README tells what happens", readme::tells_what_happens),
    ("an allowed request arrives with its identity", allowed),
    ("an allowed request over HTTP/2", allowed_over_http2),
    ("without credentials a program is told 401", refused),
    ("a missing role is 403", wrong_role),
    ("an expired token is 401", expired),
    ("identity headers of a client arrive nowhere", attacks::identity_headers),
    ("the same over HTTP/2", attacks::identity_headers_over_http2),
    (
        "the consumer's own headers of a client arrive nowhere",
        attacks::forwarded_headers,
    ),
    ("Connection takes no identity away", attacks::connection_names_identity),
    ("no trailer says who somebody is", attacks::trailers),
    (
        "no other spelling of a path leads around its rule",
        attacks::path_tricks,
    ),
    ("no client asks Doorward's questions", attacks::questions_of_clients),
    ("WebSockets are opened for those who may", web_socket),
    ("a page of another site opens no WebSocket", attacks::foreign_web_socket),
    ("20 MiB go up, and not to Doorward's questions", upload),
    ("HEAD and OPTIONS", head_and_options),
    (
        "what only looks like a preflight is none",
        attacks::more_than_a_preflight,
    ),
    ("Doorward's own pages are there", own_pages),
    ("a browser logs in and comes back", people::logs_in_and_comes_back),
    ("a logout acts at once", logout),
    ("connections to Doorward are kept", connections),
];

/// How soon a logout must act. One second is promised; what is above is for a busy machine.
const SOON: Duration = Duration::from_secs(3);

const UPLOAD: usize = 20 * 1024 * 1024;

/// Plays all of them; says which failed.
pub fn play(running: &mut Running) {
    let mut failed: Vec<&str> = Vec::new();
    for (name, case) in CASES {
        println!("--- {name}");
        if catch_unwind(AssertUnwindSafe(|| case(running))).is_err() {
            failed.push(name);
        }
    }
    for (name, case) in [
        ("a renewed cookie is handed on", people::renewal as fn(&mut Running)),
        (
            "a preflight's body that nobody announced does not arrive",
            attacks::unannounced_body_of_a_preflight,
        ),
        ("without Doorward nothing comes in", without_doorward),
    ] {
        println!("--- {name}");
        if catch_unwind(AssertUnwindSafe(|| case(running))).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

fn allowed(running: &Running) {
    let token = running.login("alice");
    arrives(running, &token, running.get("/app/a%20b/c?x=%2Fy&z").bearer(&token));
}

fn allowed_over_http2(running: &Running) {
    let token = running.login("alice");
    let client = running.http2();
    arrives(
        running,
        &token,
        client.request(Method::GET, "/app/a%20b/c?x=%2Fy&z").bearer(&token),
    );
}

fn arrives(running: &Running, token: &str, request: crate::support::client::RequestBuilder<'_>) {
    let received = running.forwarded(request);
    assert_eq!(
        (received.method.as_str(), received.target.as_str()),
        ("GET", "/app/a%20b/c?x=%2Fy&z")
    );
    let identity = identity_of(&received);
    assert_eq!(identity["x-user"], ["alice"]);
    assert_eq!(identity["x-user-roles"], ["user"]);
    assert!(identity["x-user-id"].len() == 1, "{identity:?}");
    assert!(!identity.contains_key("x-user-email"), "{identity:?}");
    let host = format!("localhost:{}", running.port());
    assert_eq!(received.header("host"), Some(host.as_str()));
    assert_eq!(received.header("x-forwarded-proto"), Some("https"));
    let head = String::from_utf8_lossy(&received.head).into_owned();
    assert!(!head.contains(token), "the application learns the token: {head}");
}

fn refused(running: &Running) {
    let before = running.backend.requests().len();
    for (name, value) in [("accept", "application/json"), ("x-requested-with", "XMLHttpRequest")] {
        let answer = running.get("/app/x").header(name, value).send().expect(401);
        assert!(
            answer.header("www-authenticate").unwrap().starts_with("Bearer"),
            "{answer:?}"
        );
        assert!(!answer.headers.has("location"), "{answer:?}");
        says_why(running, &answer, "credentials_required");
    }
    assert_eq!(running.backend.requests().len(), before);
}

/// The stable code of a refusal: in a problem document, or in the header that Doorward gives those who ask.
fn says_why(running: &Running, answer: &Response, code: &str) {
    let in_header = answer.header("x-auth-reason") == Some(code);
    let is_document = answer.header("content-type") == Some("application/problem+json");
    let in_body = is_document && answer.json()["error"] == code;
    assert!(in_header || in_body, "{}: {answer:?}", running.example.folder);
}

fn wrong_role(running: &Running) {
    let before = running.backend.requests().len();
    let token = running.login("alice");
    let answer = running.get("/admin/x").bearer(&token).send().expect(403);
    says_why(running, &answer, "insufficient_scope");
    assert_eq!(running.backend.requests().len(), before);
    let root = running.login("root");
    let received = running.forwarded(running.get("/admin/x").bearer(&root));
    assert_eq!(identity_of(&received)["x-user-roles"].len(), 1);
}

fn expired(running: &Running) {
    let good = running.foreign_token("carol", 600);
    let received = running.forwarded(running.get("/app/x").bearer(&good));
    assert_eq!(identity_of(&received)["x-user"], ["carol"]);
    let before = running.backend.requests().len();
    let old = running.foreign_token("carol", -5);
    let answer = running.get("/app/x").bearer(&old).send().expect(401);
    assert!(
        answer.header("www-authenticate").unwrap().contains("invalid_token"),
        "{answer:?}"
    );
    running.get("/app/x").bearer("nonsense").send().expect(401);
    assert_eq!(running.backend.requests().len(), before);
}

/// The key of RFC 6455 section 1.3.
pub const WEB_SOCKET: &[&str] = &[
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

fn web_socket(running: &Running) {
    let head = |lines: &str| {
        let rest = WEB_SOCKET.join("\r\n");
        format!(
            "GET /app/ws HTTP/1.1\r\nHost: localhost:{}\r\n{rest}\r\n{lines}\r\n",
            running.port()
        )
    };
    let before = running.backend.requests().len();
    let mut client = running.raw();
    assert_eq!(client.send(head("")).response().status, 401);
    assert_eq!(running.backend.requests().len(), before);

    let token = running.login("alice");
    let mut client = running.raw();
    let answer = client
        .send(head(&format!("Authorization: Bearer {token}\r\n")))
        .response();
    assert_eq!(answer.status, 101, "{answer:?}");
    let received = running.backend.wait_for(before + 1).remove(before);
    assert_eq!(identity_of(&received)["x-user"], ["alice"]);
    for frame in ["one frame", "and another"] {
        client.send(frame);
        assert_eq!(client.take(frame.len()).unwrap(), frame.as_bytes());
    }
}

fn upload(running: &Running) {
    let token = running.login("alice");
    let (_, before) = running.asked_over();
    let body = vec![b'x'; UPLOAD];
    let answer = running
        .client
        .request(Method::POST, "/app/up")
        .bearer(&token)
        .body(body)
        .send();
    assert_eq!(answer.expect(200).json()["received"], UPLOAD);
    let (_, after) = running.asked_over();
    assert!(after - before < 64 * 1024, "{} bytes went to Doorward", after - before);
}

pub fn head_and_options(running: &Running) {
    let token = running.login("alice");
    let received = running.forwarded(running.client.request(Method::HEAD, "/app/x").bearer(&token));
    assert_eq!(received.method, "HEAD");
    let before = running.backend.requests().len();
    let mut client = running.raw();
    let head = format!("HEAD /app/x HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", running.port());
    assert_eq!(client.send(head).response_to_head().status, 401);
    running.client.request(Method::OPTIONS, "/app/x").send().expect(401);
    assert_eq!(running.backend.requests().len(), before);

    let preflight = running
        .client
        .request(Method::OPTIONS, "/app/x")
        .header("origin", "https://elsewhere.example")
        .header("access-control-request-method", "PUT")
        .header("x-user", "root");
    let received = running.forwarded(preflight);
    assert_eq!(received.method, "OPTIONS");
    assert!(identity_of(&received).is_empty(), "{received:?}");
}

fn own_pages(running: &Running) {
    let token = running.login("alice");
    let me = running.get("/api/me").bearer(&token).send().expect(200).json();
    assert_eq!(me["username"], "alice");
    running.get("/.well-known/jwks.json").send().expect(200);
    let page = running
        .get("/auth/login")
        .header("accept", "text/html")
        .send()
        .expect(200);
    assert!(page.text().contains("<form"), "{}", page.text());
    running.get("/auth/assets/style.css").send().expect(200);
    // What of the application lies beside them is still the application's, under the same rules.
    running.get("/api/orders").send().expect(401);
    let received = running.forwarded(running.get("/api/orders").bearer(&token).header("x-user", "root"));
    assert_eq!(identity_of(&received)["x-user"], ["alice"]);
}

fn logout(running: &Running) {
    let token = running.login("alice");
    running.get("/app/x").bearer(&token).send().expect(200);
    running
        .client
        .request(Method::POST, "/api/logout")
        .bearer(&token)
        .send()
        .expect(204);
    let begun = Instant::now();
    until("the end of a session", || {
        (running.get("/app/x").bearer(&token).send().status == 401).then_some(())
    });
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

fn connections(running: &Running) {
    if !running.example.asks {
        return;
    }
    let (before, sent) = running.asked_over();
    for _ in 0..40 {
        running.get("/public/x").send().expect(200);
    }
    let (after, more) = running.asked_over();
    assert!(more > sent, "nobody asked");
    let made = after - before;
    println!("{made} connections for 40 questions");
    assert!(
        made <= 4 || !running.example.keeps_connections,
        "{made} connections for 40 questions"
    );
}

fn without_doorward(running: &mut Running) {
    running.stop_gateway();
    let before = running.backend.requests().len();
    for path in ["/public/x", "/app/x"] {
        let answer = running.get(path).try_send().map(|answer| answer.status);
        assert!(!matches!(answer, Ok(..500)), "{answer:?}");
    }
    assert_eq!(running.backend.requests().len(), before);
}
