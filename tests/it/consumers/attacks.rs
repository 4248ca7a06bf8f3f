//! What hostile clients send.

use http_body_util::Empty;

use super::cases::WEB_SOCKET;
use super::people;
use super::received::{canonical, identity_of};
use super::shared::Running;
use crate::support::extended;

/// Identity headers, and names that read like them to some application.
const IDENTITY: &[&str] = &[
    "X-User: root",
    "x-user: root",
    "X-USER: root",
    "X-User-Id: 2",
    "X-User-Roles: admin",
    "X-User-Email: root@example.com",
    "X_User: root",
    "x_user: root",
    "X_User_Roles: admin",
    "X-User_Roles: admin",
    "X_User-Id: 2",
    "X-User_Email: root@example.com",
    "X.User: root",
    "x.user.roles: admin",
    "X-User.Roles: admin",
    "X.User-Id: 2",
    "X-User.Email: root@example.com",
];

/// What proxies tell each other, each about something that is public or somebody else's.
const FORWARDED: &[&str] = &[
    "X-Original-URL: https://localhost/public/spoofed",
    "X-Original-URI: /public/spoofed",
    "X-Original-Method: SPOOFED",
    "X-Original-Host: spoofed.example",
    "X-Rewrite-URL: /public/spoofed",
    "X-Forwarded-Uri: /public/spoofed",
    "X-Forwarded-Url: /public/spoofed",
    "X-Forwarded-Path: /public/spoofed",
    "X-Forwarded-Host: spoofed.example",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Method: SPOOFED",
    "X-Forwarded-For: 203.0.113.66",
    "X-Forwarded-Port: 66",
    "X-Forwarded-Prefix: /spoofed",
    "X-Forwarded-User: spoofed",
    "X-Forwarded-Email: spoofed@example.com",
    "X-Forwarded-Groups: spoofed",
    "X-Forwarded-Ssl: spoofed",
    "X-Forwarded-Scheme: spoofed",
    "X-Real-IP: 203.0.113.66",
    "Forwarded: for=203.0.113.66;host=spoofed.example;proto=http",
    "X-HTTP-Method-Override: SPOOFED",
    "X-HTTP-Method: SPOOFED",
    "X-Method-Override: SPOOFED",
    "X_Forwarded_For: 203.0.113.66",
    "X_Forwarded_Host: spoofed.example",
    "X_Original_URL: /public/spoofed",
];

const SPOOFED: &[&str] = &["spoofed", "SPOOFED", "203.0.113.66"];

/// Ways to write `/admin/x`, or something that an application may take for it.
const PATHS: &[&str] = &[
    "/admin/x",
    "/public/../admin/x",
    "/public/%2e%2e/admin/x",
    "/public/.%2e/admin/x",
    "/public/%2E%2E/admin/x",
    "/public/x/../../admin/x",
    "/public//../admin/x",
    "/./admin/x",
    "/%2e/admin/x",
    "//admin/x",
    "///admin/x",
    "/public/..;/admin/x",
    "/public/..;x=1/admin/x",
    "/admin;x=/public",
    "/admin;/x",
    "/ADMIN/x",
    "/Admin",
    "/aDmin/x",
    "/%61dmin/x",
    "/%41DMIN/x",
    "/admin%2fx",
    "/admin%2Fx",
    "/public/..%2fadmin/x",
    "/public%2f..%2fadmin%2fx",
    "/public/%252e%252e/admin/x",
    "/%2561dmin/x",
    "/public\\..\\admin\\x",
    "/public/..\\admin/x",
    "/public/..%5cadmin/x",
    "/public%5c..%5cadmin",
    "/admin%00",
    "/admin%5cx",
    "/public#/../admin/x",
    "/admin/x#/public",
    "/public/%3f/../../admin/x",
    "/auth/../admin/x",
    "/api/../admin/x",
    "/auth/login/../../admin/x",
    "/auth/%2e%2e/admin/x",
    "/admin/../admin/x",
    "https://localhost/admin/x",
    "https://localhost/public/../admin/x",
    "http://spoofed.example/admin/x",
    "/public/%zz/../admin",
];

pub fn identity_headers(running: &Running) {
    let token = running.login("alice");
    let bearer = format!("Authorization: Bearer {token}");
    let twice = ["X-User: root", "X-User: admin", "X-User: "];
    let listed = ["X-User: alice, root", "X-User-Roles: user, admin"];
    let mut sets: Vec<Vec<&str>> = IDENTITY.iter().map(|line| vec![*line]).collect();
    sets.extend([twice.to_vec(), listed.to_vec(), IDENTITY.to_vec()]);
    for lines in &sets {
        for (path, credential) in [
            ("/public/x", None),
            ("/public/x", Some(&bearer)),
            ("/app/x", Some(&bearer)),
        ] {
            let lines: Vec<&str> = lines.iter().copied().chain(credential.map(String::as_str)).collect();
            let before = running.backend.requests().len();
            let answer = running.raw_request(&format!("GET {path} HTTP/1.1"), &lines);
            let status = answer.as_ref().map(|answer| answer.status);
            let received = running.backend.requests().split_off(before);
            match (status, received.as_slice()) {
                (Some(200), [received]) => {
                    for (name, values) in identity_of(received) {
                        if running.example.passes_dots && lines.iter().any(|line| line.contains('.')) {
                            continue;
                        }
                        let right = credential.is_some()
                            && match name.as_str() {
                                "x-user" => values == ["alice"],
                                "x-user-id" => values.len() == 1 && values != ["2"],
                                "x-user-roles" => values == ["user"],
                                _ => false,
                            };
                        assert!(right, "{path} {lines:?}: {name} = {values:?}");
                    }
                    let known = identity_of(received).contains_key("x-user");
                    assert!(known || path != "/app/x", "{lines:?}: {received:?}");
                }
                // A name with an underscore may be refused as a whole.
                (Some(400..=403), []) | (None, []) => assert!(lines.iter().any(|line| line.contains('_')), "{lines:?}"),
                other => panic!("{path} {lines:?}: {other:?}"),
            }
        }
    }
}

pub fn identity_headers_over_http2(running: &Running) {
    let client = running.http2();
    let names = [
        "x-user",
        "x-user-roles",
        "x_user",
        "x-user_roles",
        "x.user",
        "x-forwarded-prefix",
        "x_forwarded_prefix",
    ];
    for name in names {
        let before = running.backend.requests().len();
        let request = client.request(http::Method::GET, "/public/x").header(name, "spoofed");
        // What an underscore is worth is told by an answer, or by the end of the stream.
        let status = request.try_send().map(|answer| answer.status);
        for received in running.backend.requests().split_off(before) {
            let passes = running.example.passes_dots && name.contains('.');
            let head = String::from_utf8_lossy(&received.head).into_owned();
            assert!(passes || !head.contains("spoofed"), "{name}: {head}");
        }
        assert!(matches!(status, Ok(200)) || name.contains('_'), "{name}: {status:?}");
    }
}

pub fn forwarded_headers(running: &Running) {
    let token = running.login("alice");
    let bearer = format!("Authorization: Bearer {token}");
    let mut sets: Vec<Vec<&str>> = FORWARDED.iter().map(|line| vec![*line]).collect();
    sets.push(FORWARDED.iter().filter(|line| !line.contains('_')).copied().collect());
    for lines in &sets {
        // Where they are to help to what is not allowed.
        for (path, credential, expected) in [("/admin/x", Some(&bearer), 403), ("/app/x", None, 401)] {
            let lines: Vec<&str> = lines.iter().copied().chain(credential.map(String::as_str)).collect();
            let before = running.backend.requests().len();
            let answer = running.raw_request(&format!("GET {path} HTTP/1.1"), &lines).unwrap();
            let underscore = lines.iter().any(|line| line.contains('_')) && answer.status == 400;
            assert!(answer.status == expected || underscore, "{path} {lines:?}: {answer:?}");
            assert_eq!(running.backend.requests().len(), before, "{path} {lines:?}");
        }
        // Where the application would believe them.
        let before = running.backend.requests().len();
        let answer = running.raw_request("GET /public/x HTTP/1.1", lines).unwrap();
        for received in running.backend.requests().split_off(before) {
            for (name, value) in &received.headers.0 {
                let is_spoofed = SPOOFED.iter().any(|spoofed| value.contains(spoofed));
                let proto = canonical(name) == "x-forwarded-proto" && value != "https";
                let port = canonical(name) == "x-forwarded-port" && value == "66";
                assert!(!is_spoofed && !proto && !port, "{lines:?}: {name}: {value}");
            }
        }
        assert!([200, 400].contains(&answer.status), "{lines:?}: {answer:?}");
    }
}

pub fn connection_names_identity(running: &Running) {
    let token = running.login("alice");
    for named in [
        "X-User",
        "x-user, x-user-roles",
        "close, X-User, Authorization, Cookie, X-Forwarded-For",
    ] {
        let head = format!(
            "GET /app/x HTTP/1.1\r\nHost: localhost:{}\r\nConnection: {named}\r\nAuthorization: Bearer {token}\r\n\r\n",
            running.port()
        );
        let before = running.backend.requests().len();
        let mut client = running.raw();
        let answer = client.send(head).response();
        let received = running.backend.requests().split_off(before);
        match (answer.status, received.as_slice()) {
            (200, [received]) => {
                let identity = identity_of(received);
                assert_eq!(
                    identity.get("x-user").map(Vec::as_slice),
                    Some(["alice".to_owned()].as_slice()),
                    "{named}"
                );
                assert!(identity.contains_key("x-user-roles"), "{named}: {received:?}");
                // The application's own parser must not take them away either.
                let connection = received.headers.all("connection").join(",").to_lowercase();
                assert!(!connection.contains("x-user"), "{named}: {received:?}");
            }
            // The credential itself was taken away.
            (400..=403, []) => {}
            other => panic!("{named}: {other:?}"),
        }
    }
}

/// A trailer says nothing about who somebody is.
pub fn trailers(running: &Running) {
    let token = running.login("alice");
    let preflight = PREFLIGHT.join("\r\n");
    for (method, lines, body) in [
        ("POST", "", "4\r\nbody\r\n"),
        ("OPTIONS", "", "4\r\nbody\r\n"),
        ("OPTIONS", "", ""),
        ("OPTIONS", preflight.as_str(), "4\r\nbody\r\n"),
        ("OPTIONS", &preflight, ""),
    ] {
        let lines = if lines.is_empty() {
            String::new()
        } else {
            format!("{lines}\r\n")
        };
        let head = format!(
            "{method} /app/x HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {token}\r\n{lines}\
             Transfer-Encoding: chunked\r\nTrailer: X-User, X-User-Roles\r\nTE: trailers\r\n\r\n\
             {body}0\r\nX-User: root\r\nX-User-Roles: admin\r\nX-Forwarded-For: 203.0.113.66\r\n\r\n",
            running.port()
        );
        let before = running.backend.requests().len();
        let mut client = running.raw();
        // It may refuse before it has read everything.
        let _ = client.try_send(head);
        let status = client.try_response().map(|answer| answer.status);
        let received = running.backend.requests().split_off(before);
        println!("{}: {method} {status:?}", running.example.folder);
        for received in received {
            assert!(received.trailers.names().is_empty(), "{method} {lines}: {received:?}");
            assert_eq!(
                received.body.is_empty(),
                body.is_empty(),
                "{method} {lines}: {received:?}"
            );
        }
    }
}

pub fn path_tricks(running: &Running) {
    let token = running.login("alice");
    let bearer = format!("Authorization: Bearer {token}");
    for method in ["GET", "POST"] {
        for path in PATHS {
            let before = running.backend.requests().len();
            let lines = [bearer.as_str(), "Content-Length: 0"];
            let lines = if method == "GET" { &lines[..1] } else { &lines[..] };
            let answer = running.raw_request(&format!("{method} {path} HTTP/1.1"), lines);
            let status = answer.map(|answer| answer.status);
            let received = running.backend.requests().split_off(before);
            let resolved = |target: &str| target == "/public/admin/x" || target == "/public/admin";
            if status == Some(200) && received.iter().all(|request| resolved(&request.target)) {
                // The consumer itself resolved the dots, one segment at a time, before it asked: what it sends is public.
                continue;
            }
            assert!(received.is_empty(), "{method} {path}: {status:?} {received:?}");
            // A redirect to the clean path is an answer too: its rule is asked about then.
            let is_refusal = status.is_none_or(|status| matches!(status, 301 | 307 | 308 | 400..=499));
            assert!(is_refusal, "{method} {path}: {status:?}");
        }
    }
    // And what only looks like one of them is let pass.
    for (path, arrives) in [
        ("/public/x?/../admin", "/public/x?/../admin"),
        ("/administrator", "/administrator"),
    ] {
        let received = running.forwarded(running.get(path).bearer(&token));
        assert_eq!(received.target, arrives);
    }
}

/// Doorward's endpoints for consumers believe whoever may ask; clients that come through a consumer may not.
pub fn questions_of_clients(running: &Running) {
    let questions = [
        "X-Original-URL: https://localhost/public/x",
        "X-Original-Method: GET",
        "X-Forwarded-Uri: /public/x",
        "X-Forwarded-Method: GET",
    ];
    for path in [
        "/auth/nginx",
        "/auth/traefik",
        "/auth/caddy",
        "/auth/envoy/public/x",
        "/auth/envoy",
        "/auth/%6eginx",
        "/auth//nginx",
        "//auth/nginx",
        "/AUTH/nginx",
    ] {
        let before = running.backend.requests().len();
        let status = running
            .raw_request(&format!("GET {path} HTTP/1.1"), &questions)
            .map(|answer| answer.status);
        assert!(
            status.is_none_or(|status| (300..500).contains(&status)),
            "{path}: {status:?}"
        );
        assert_eq!(running.backend.requests().len(), before, "{path}");
    }
}

pub fn foreign_web_socket(running: &Running) {
    let jar = people::cookie(running, "alice");
    let head = |origin: &str| {
        let rest = WEB_SOCKET.join("\r\n");
        let port = running.port();
        format!("GET /app/ws HTTP/1.1\r\nHost: localhost:{port}\r\n{rest}\r\nCookie: {jar}\r\nOrigin: {origin}\r\n\r\n")
    };
    let before = running.backend.requests().len();
    for origin in ["https://evil.example", "null", "http://localhost", "https://localhost"] {
        let answer = running.raw().send(head(origin)).response();
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
    }
    assert_eq!(running.backend.requests().len(), before);
    let own = format!("https://localhost:{}", running.port());
    let mut client = running.raw();
    let answer = client.send(head(&own)).response();
    assert_eq!(answer.status, 101, "{answer:?}");
    // Over HTTP/2 nothing but `:protocol` and the version shows it (RFC 8441 section 5); not everybody speaks that.
    let before = running.backend.requests().len();
    for origin in ["https://evil.example", "https://localhost"] {
        let status = extended_connect(running, &jar, origin);
        assert_ne!(status, Some(200), "{origin}");
        let seen = running.backend.requests().split_off(before);
        assert!(
            seen.iter().all(|request| request.target != "/app/ws"),
            "{origin}: {status:?}"
        );
    }
}

/// The answer to a WebSocket over HTTP/2; none: the server does not offer them.
pub fn extended_connect(running: &Running, jar: &str, origin: &str) -> Option<u16> {
    let address = ([127, 0, 0, 1], running.port()).into();
    let request = extended::extended(
        Some("websocket"),
        &format!("https://localhost:{}/app/ws", running.port()),
    );
    let request = request.header("cookie", jar).header("origin", origin);
    extended::run(async {
        let mut sender = extended::connect(address, running.trusting(&["h2"]), "/public/first").await;
        let answer = sender.send_request(request.body(Empty::new()).unwrap()).await;
        answer.ok().map(|answer| answer.status().as_u16())
    })
}

/// The headers of a preflight, which passes without credentials.
const PREFLIGHT: [&str; 2] = [
    "Origin: https://elsewhere.example",
    "Access-Control-Request-Method: PUT",
];

/// A preflight asks for no upgrade and has no body. Whatever says that it is one arrives as one, or not at all.
pub fn more_than_a_preflight(running: &Running) {
    let ask = |lines: &[&str], body: &str| {
        let before = running.backend.requests().len();
        let lines = [&PREFLIGHT, lines].concat().join("\r\n");
        let head = format!(
            "OPTIONS /admin/x HTTP/1.1\r\nHost: localhost:{}\r\n{lines}\r\n",
            running.port()
        );
        let mut client = running.raw();
        // It may refuse before it has read everything.
        let _ = client.try_send(format!("{head}\r\n{body}"));
        let status = client.try_response().ok().map(|answer| answer.status);
        (status, running.backend.requests().split_off(before))
    };
    let key = [
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    for upgrade in ["websocket", "WebSocket", "h2c", "foo", "foo, websocket", "websocket/13"] {
        let upgrade = format!("Upgrade: {upgrade}");
        for lines in [
            vec!["Connection: Upgrade", &upgrade, key[0], key[1]],
            vec!["Connection: Upgrade", &upgrade],
            vec!["Connection: keep-alive, Upgrade", &upgrade, "Sec-Fetch-Mode: websocket"],
            vec![upgrade.as_str()],
        ] {
            let (status, received) = ask(&lines, "");
            assert!(matches!(status, None | Some(200 | 400..=499)), "{lines:?}: {status:?}");
            assert_eq!(status == Some(200), !received.is_empty(), "{lines:?}: {status:?}");
            for received in received {
                let connection = received.headers.all("connection").join(",").to_lowercase();
                let is_plain = !received.headers.has("upgrade") && !connection.contains("upgrade");
                assert!(is_plain && received.body.is_empty(), "{lines:?}: {received:?}");
                assert!(identity_of(&received).is_empty(), "{lines:?}: {received:?}");
            }
        }
    }
    for (line, body) in [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let (status, received) = ask(&[line], body);
        assert!(matches!(status, Some(400..=499)), "{line}: {status:?}");
        assert!(received.is_empty(), "{line}: {received:?}");
    }
    // And one that is one still arrives.
    for lines in [&[][..], &["Content-Length: 0"]] {
        let (status, received) = ask(lines, "");
        assert_eq!((status, received.len()), (Some(200), 1), "{lines:?}");
    }
}

/// Over HTTP/2, nothing need say that there is a body before it comes: it does not arrive as a whole, or not at all.
pub fn unannounced_body_of_a_preflight(running: &mut Running) {
    let client = running.http2();
    for announced in [true, false] {
        let before = running.backend.requests().len();
        let request = client
            .request(http::Method::OPTIONS, "/admin/x")
            .header("origin", "https://elsewhere.example")
            .header("access-control-request-method", "PUT")
            .body("hello");
        let request = if announced { request } else { request.unannounced() };
        let status = request.try_send().map(|answer| answer.status);
        assert!(!matches!(status, Ok(500..)), "{status:?}");
        let received = running.backend.requests().split_off(before);
        assert!(received.is_empty() || !announced, "{received:?}");
        for request in received {
            assert!(request.body.is_empty() || !request.complete, "{request:?}");
        }
    }
}
