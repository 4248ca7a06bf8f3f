//! What a table cannot say: exchanges of several steps, and many requests on one connection of which some are refused.

use super::config;
use crate::path::gate::Gate;
use crate::support::upstream::Upstream;

/// Requests, what is answered, and whether the backend gets them. All of them go out in one piece.
#[test]
fn in_a_pipeline_exactly_the_requests_that_were_let_pass_arrive() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let ann = gate.bearer("ann", &["user"]);
    let ann = ann.trim_end();
    let requests: Vec<(String, u16)> = vec![
        ("GET /public/1 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200),
        ("GET /admin/2 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 401),
        (format!("GET /admin/3 HTTP/1.1\r\nHost: a\r\n{ann}\r\n\r\n"), 403),
        ("POST /admin/4 HTTP/1.1\r\nHost: a\r\nContent-Length: 43\r\n\r\nGET /admin/evil HTTP/1.1\r\nHost: a\r\nX: xxx\r\n".into(), 401),
        ("POST /public/5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-User: evil\r\n\r\n".into(), 200),
        ("POST /admin/6 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".into(), 401),
        ("GET /public/../admin/7 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("GET //admin/8 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("TRACE /public/9 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 405),
        (format!("GET /user/10 HTTP/1.1\r\nHost: a\r\n{ann}\r\n{ann}\r\n\r\n"), 400),
        (format!("GET /user/11 HTTP/1.1\r\nHost: a\r\n{ann}\r\n\r\n"), 200),
        ("GET /user/12 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x.y.z\r\n\r\n".into(), 401),
        ("PUT /public/13 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".into(), 200),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".into(), 404),
        ("GET /public/14 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200),
        // Here it ends.
        ("GET /public/15 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), 400),
    ];
    let mut bytes: String = requests.iter().map(|(request, _)| request.as_str()).collect();
    bytes += "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for cut in [bytes.len(), 1000, 100, 7] {
        let before = backend.requests().len();
        let mut client = gate.connect();
        for piece in bytes.as_bytes().chunks(cut) {
            let _ = client.try_send(piece);
        }
        let mut statuses = Vec::new();
        while let Ok(response) = client.try_response() {
            statuses.push(response.status);
        }
        let expected: Vec<u16> = requests.iter().map(|(_, status)| *status).collect();
        assert_eq!(statuses, expected, "in pieces of {cut}");
        let seen: Vec<String> = backend
            .requests()
            .split_off(before)
            .into_iter()
            .map(|request| request.target)
            .collect();
        assert_eq!(seen, ["/public/1", "/public/5", "/user/11", "/public/13", "/public/14"]);
    }
}

#[test]
fn who_waits_for_100_gets_it_only_where_the_body_is_wanted() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let head = |target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    };
    // The backend reads the body, so the client is asked for it.
    let mut client = gate.connect();
    let interim = client.send(head("/public")).response();
    assert_eq!(interim.status, 100, "{interim:?}");
    assert_eq!(client.send("abc").response().json()["body"], "abc");
    // A refused one is not; and what it then sends nobody takes for a request.
    let mut client = gate.connect();
    let refused = client.send(head("/admin")).response();
    assert_eq!((refused.status, refused.keeps_alive()), (401, false));
    let _ = client.try_send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_response().is_err());
    // HTTP/1.0 knows no interim answers (RFC 9110 section 15.2).
    let mut client = gate.connect();
    let old = client
        .send("POST /public HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
        .response();
    assert_eq!(old.status, 200);
    let seen: Vec<String> = backend.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(seen, ["/public", "/public"]);
}

#[test]
fn a_message_cut_short_is_no_message() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    for cut in [
        "G",
        "GET /public HTTP/1.1\r\n",
        "GET /public HTTP/1.1\r\nHost: a\r\n",
        "GET /public HTTP/1.1\r\nHost: a\r\nX-A: b",
        "GET /public HTTP/1.1\r\nHost: a\r\n\r",
        "POST /admin HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
        "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
        "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b\r\n",
    ] {
        let mut client = gate.connect();
        client.send(cut);
        client.finish_sending();
        if let Ok(response) = client.try_response() {
            assert!(
                matches!(response.status, 400 | 401 | 408 | 502),
                "{cut:?}: {}",
                response.status
            );
            assert!(!response.keeps_alive(), "{cut:?}");
        }
        let complete = super::since(0, &gate, &backend)
            .into_iter()
            .filter(|request| request.complete)
            .count();
        assert_eq!(complete, 0, "{cut:?}");
    }
}
