//! `log.format = "json"`: every line of a gateway's log is one document of the Elastic Common Schema, whatever happens to it.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::{Setup, TestGateway, password_of};
use crate::support::issuer::Issuer;
use crate::support::ports::free_port;
use crate::support::reply::Reply;
use crate::support::upstream::Upstream;

const JSON: &str = "[log]\nformat = \"json\"\nlevel = \"debug\"\n";

fn gateway(backend: &Upstream) -> Setup {
    let dead = format!(
        "[[upstreams]]\nname = \"dead\"\nservers = [\"http://127.0.0.1:{}\"]\n",
        free_port()
    );
    TestGateway::with(backend)
        .config(JSON)
        .config(&dead)
        .config("[limits]\nheader_bytes = \"16KiB\"\n")
        .public("/open")
        .route("/app", "user")
        .route("/staff", "admin")
        .route("/open/inner", "admin")
        .route_with("/dead", "access = \"public\"\nupstream = \"dead\"")
        .route_with("/closed", "access = \"deny\"")
        .route_with("/elsewhere", "access = \"public\"\nnetworks = [\"192.0.2.0/24\"]")
        .route_with("/posts", "access = \"public\"\nmethods = [\"POST\"]")
        .route_with("/small", "access = \"public\"\nmax_body = \"4B\"")
        .route_with(
            "/rare",
            "access = \"public\"\nrate_limit = { requests = 1, per = \"1h\", by = \"client\" }",
        )
        .user("alice", &["user"])
}

/// The log, read; fails on the first line that is no document with all that each must have.
fn documents(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| document(line)).collect()
}

fn document(line: &str) -> Value {
    let document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    let fields = document.as_object().unwrap_or_else(|| panic!("no object: {line}"));
    for name in [
        "@timestamp",
        "log.level",
        "message",
        "ecs.version",
        "service.name",
        "event.dataset",
    ] {
        assert!(fields.get(name).is_some_and(Value::is_string), "{name} in {line}");
    }
    for (name, value) in fields {
        assert!(!value.is_object(), "{name} is no flat field: {line}");
    }
    assert_eq!(document["service.name"], "doorward");
    assert!(document["ecs.version"].as_str().unwrap().starts_with("8."), "{line}");
    let time = document["@timestamp"].as_str().unwrap();
    assert!(
        time.len() == 24 && &time[10..11] == "T" && &time[19..20] == "." && time.ends_with('Z'),
        "{line}"
    );
    // None of them twice: readers take the first or the last, as they like.
    let written = line.matches("\":").count();
    assert!(written >= fields.len(), "{line}");
    for name in fields.keys() {
        let key = format!("{}:", serde_json::to_string(name).unwrap());
        let in_values = fields
            .values()
            .filter(|value| value.to_string().contains(name.as_str()))
            .count();
        assert!(line.matches(&key).count() <= 1 + in_values, "{name} twice in {line}");
    }
    match document["event.dataset"].as_str().unwrap() {
        "doorward.access" => access(&document),
        "doorward.audit" => {
            for name in ["event.action", "event.outcome"] {
                assert!(document[name].is_string(), "{name} in {line}");
            }
        }
        "doorward.server" => {}
        other => panic!("{other} in {line}"),
    }
    document
}

fn access(document: &Value) {
    for name in [
        "event.action",
        "event.outcome",
        "http.request.method",
        "url.path",
        "url.scheme",
        "client.ip",
        "doorward.route",
        "doorward.decision",
        "doorward.reason",
    ] {
        assert!(document[name].is_string(), "{name} in {document}");
    }
    assert!(document["http.response.status_code"].is_u64(), "{document}");
    assert!(document["event.duration"].is_u64(), "{document}");
    assert!(
        document["client.ip"]
            .as_str()
            .unwrap()
            .parse::<std::net::IpAddr>()
            .is_ok(),
        "{document}"
    );
    for name in [
        "user.name",
        "user.id",
        "doorward.credential",
        "trace.id",
        "http.request.id",
        "url.domain",
    ] {
        assert!(document.get(name).is_none_or(Value::is_string), "{name} in {document}");
    }
    let roles = document.get("user.roles");
    assert!(roles.is_none_or(|roles| roles.as_array().is_some_and(|roles| roles.iter().all(Value::is_string))));
    let outcome = match document["http.response.status_code"].as_u64().unwrap() {
        ..400 => "success",
        400.. => "failure",
    };
    assert_eq!(document["event.outcome"], outcome, "{document}");
}

/// The access document of this path, written already or about to be.
fn of_path(gateway: &TestGateway, path: &str) -> Value {
    let line = gateway.wait_for_log(|line| {
        serde_json::from_str::<Value>(line)
            .is_ok_and(|document| document["event.dataset"] == "doorward.access" && document["url.path"] == path)
    });
    document(&line)
}

#[test]
fn the_line_of_a_request_has_every_field() {
    let backend = Upstream::start();
    let gateway = gateway(&backend).start();
    let token = gateway.login("alice");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = gateway.https().request(Method::GET, "/app/One%20Two?password=hunter2");
    request.bearer(&token).header("traceparent", trace).send().expect(200);
    let line = of_path(&gateway, "/app/One%20Two");
    let got = backend.requests().pop().unwrap();
    for (name, value) in [
        ("log.level", json!("info")),
        ("message", json!("GET /app/One%20Two 200")),
        ("event.action", json!("request")),
        ("http.request.method", json!("GET")),
        ("url.domain", json!("localhost")),
        ("url.scheme", json!("https")),
        ("http.response.status_code", json!(200)),
        ("client.ip", json!("127.0.0.1")),
        ("user.name", json!("alice")),
        ("user.id", json!(got.header("x-user-id").unwrap())),
        ("user.roles", json!(["user"])),
        ("doorward.credential", json!("bearer")),
        ("http.request.id", json!(got.header("x-request-id").unwrap())),
        ("trace.id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("doorward.route", json!("app")),
        ("doorward.upstream", json!("app")),
        ("doorward.decision", json!("permit")),
        ("doorward.reason", json!("ok")),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    // Nobody named a trace, or named none that is one: the backend is told of the one in the log.
    for (path, sent) in [("/open/new", None), ("/open/odd", Some("00-x\"-y-01"))] {
        let client = gateway.http();
        let request = client.request(Method::HEAD, path);
        match sent {
            Some(sent) => request.header("traceparent", sent).send().expect(200),
            None => request.send().expect(200),
        };
        let (line, got) = (of_path(&gateway, path), backend.requests().pop().unwrap());
        let trace = line["trace.id"].as_str().unwrap().to_owned();
        assert_eq!(got.header("traceparent").unwrap()[3..35], trace, "{line}");
        assert_eq!(
            (&line["url.scheme"], &line["http.request.method"]),
            (&json!("http"), &json!("HEAD"))
        );
        for name in ["user.name", "user.id", "user.roles", "doorward.credential"] {
            assert!(line.get(name).is_none(), "{name} in {line}");
        }
    }
}

#[test]
fn whatever_happens_every_line_is_a_document_without_secrets() {
    let backend = Upstream::start();
    let gateway = gateway(&backend).start();
    let token = gateway.login("alice");
    let secrets = every_kind(&gateway, &backend, &token);
    let reasons = [
        "ok",
        "credentials_required",
        "invalid_token",
        "insufficient_scope",
        "access_denied",
        "network_not_allowed",
        "not_found",
        "method_not_allowed",
        "body_too_large",
        "rate_limited",
        "upstream_failed",
        "invalid_target",
        "ambiguous_target",
        "invalid_host",
        "invalid_framing",
        "headers_too_large",
        "invalid_credentials",
    ];
    for reason in reasons {
        let told = format!("\"doorward.reason\":\"{reason}\"");
        gateway.wait_for_log(|line| line.contains(&told));
    }
    let (status, lines) = gateway.stop();
    assert_eq!(status, 0);
    let documents = documents(&lines);
    for dataset in ["doorward.access", "doorward.audit", "doorward.server"] {
        assert!(
            documents.iter().any(|document| document["event.dataset"] == dataset),
            "{dataset}"
        );
    }
    let raw = documents
        .iter()
        .filter(|line| line["event.dataset"] == "doorward.access");
    for path in ["/open/\\..\\x", "/open/\u{1b}[31m", "/open/a\0b"] {
        assert!(raw.clone().any(|line| line["url.path"] == path), "{path:?}");
    }
    let has = |wanted: &dyn Fn(&Value) -> bool| documents.iter().any(wanted);
    assert!(has(&|line| line["http.response.status_code"] == 101), "an upgrade");
    assert!(has(
        &|line| line["doorward.route"] == "dead" && line["error.message"].is_string()
    ));
    assert!(has(
        &|line| line["event.action"] == "login" && line["event.outcome"] == "failure"
    ));
    assert!(has(
        &|line| line["event.action"] == "user_created" || line["event.action"] == "login"
    ));
    assert!(has(&|line| line["message"] == "stopped"));
    let said = lines.join("\n");
    for secret in secrets {
        assert!(!said.contains(&secret), "{secret} in the log");
    }
    assert!(!said.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{said}");
}

/// Requests of all kinds; what must not be in the log.
fn every_kind(gateway: &TestGateway, backend: &Upstream, token: &str) -> Vec<String> {
    let (http, https, http2) = (gateway.http(), gateway.https(), gateway.http2());
    let refresh = gateway.try_login("alice", &password_of("alice")).expect(200).json();
    let refresh = refresh["refresh_token"].as_str().unwrap().to_owned();
    gateway.try_login("alice", "wrong-secret-password").expect(401);
    gateway.try_login("typed-secret-password", "x").expect(401);
    https
        .post_json("/api/refresh", &json!({ "refresh_token": refresh }))
        .expect(200);
    https
        .post_json("/api/refresh", &json!({ "refresh_token": "rt-secret" }))
        .expect(401);
    for client in [&http, https, &http2] {
        let get = |path: &str| client.request(Method::GET, path);
        get("/app/x?q=query-secret").bearer(token).send().expect(200);
        get("/app/x?q=query-secret").send().expect(401);
        get("/app/x?access_token=query-secret")
            .bearer(&format!("{token}x"))
            .send()
            .expect(401);
        get("/staff/x").bearer(token).send().expect(403);
        get("/closed").send().expect(403);
        get("/elsewhere").send().expect(403);
        get("/nowhere").header("cookie", "a=cookie-secret").send().expect(404);
        get("/posts").send().expect(405);
        get("/dead/x?q=query-secret").send().expect(502);
        get("/open/%2e%2e/x").send().expect(400);
        get("/open//inner/x").send().expect(400);
        get("/OPEN/x").send();
        get("/STAFF/x").bearer(token).send();
        get("/open/%ff%fe").send();
        client
            .request(Method::POST, "/small")
            .body("more than four")
            .send()
            .expect(413);
        client
            .request(Method::OPTIONS, "/open/x")
            .header("origin", "https://x\u{e9}")
            .send();
        get("/rare").send();
    }
    hostile(gateway);
    let upgraded = Reply::upgrade_and_echo("echo");
    backend.next(upgraded);
    let mut raw = gateway.raw_plain();
    raw.send("GET /open/ws?t=query-secret HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(raw.response_to_head().status, 101);
    [
        token,
        &refresh,
        "rt-secret",
        "wrong-secret-password",
        "typed-secret-password",
        "query-secret",
        "cookie-secret",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([password_of("alice")])
    .collect()
}

/// What is no request, or wants to be a line of its own.
fn hostile(gateway: &TestGateway) {
    let long = format!("GET /open/{} HTTP/1.1\r\nHost: a\r\n\r\n", "a\"\\".repeat(1000));
    let heavy = format!("GET /open HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "a".repeat(20_000));
    let requests: [&[u8]; 18] = [
        b"GET /open/x\"},{\"forged\":\"1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /open/\xff\xfe\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /open/\xe2\x80\xae\xc2\x9b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /open/\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /open/\\..\\x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /open/a\x00b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /open/%0a%0d%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\"},{\"b\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"GET http://b/open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a:80/open/x HTTP/1.1\r\nHost: a:80\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        b"GET /open/x HTTP/1.0\r\n\r\n",
        b"A\"B /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x00\n{\"@timestamp\":\"forged\"}\r\n\r\n",
    ];
    for request in requests.into_iter().chain([long.as_bytes(), heavy.as_bytes()]) {
        let mut raw = gateway.raw_plain();
        raw.send(request);
        // Whatever it answers, if anything.
        raw.finish_sending();
        let _ = raw.try_response();
    }
}

#[test]
fn names_and_roles_of_other_issuers_cannot_forge_a_line() {
    let backend = Upstream::start();
    let issuer = Issuer::new("https://idp.example.com").es256("k1");
    let gateway = gateway(&backend).trusting(&issuer, &["ES256"]).start();
    for (index, name) in ["a\",\"b\":\"c", "é\u{202e}\u{1b}[31m", "\u{1f600} x\\", "{}"]
        .iter()
        .enumerate()
    {
        let mut claims = issuer.claims(crate::support::gateway::AUDIENCE, name);
        claims["roles"] = json!(["user", "r\"ole"]);
        let token = issuer.sign("k1", &claims);
        let path = format!("/open/{index}");
        gateway.https().request(Method::GET, &path).bearer(&token).send();
        let path = format!("/app/{index}");
        let status = gateway.https().request(Method::GET, &path).bearer(&token).send().status;
        let line = of_path(&gateway, &path);
        assert_eq!(line["http.response.status_code"], status);
        if line.get("user.name").is_some() {
            assert_eq!(line["user.name"], **name);
            assert_eq!(line["user.roles"], json!(["user", "r\"ole"]));
            assert_eq!(line["doorward.credential"], "external_bearer");
        }
    }
    let (_, lines) = gateway.stop();
    documents(&lines);
    assert!(!lines.join("\n").contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn what_ends_the_gateway_is_a_document_too() {
    let backend = Upstream::start();
    let taken = format!(
        "[[listeners]]\naddress = \"{}\"\nprotocol = \"http\"\n",
        backend.address()
    );
    let (status, said) = gateway(&backend).config(&taken).refused();
    assert_eq!(status, 1, "{said}");
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    let last = documents(&lines).pop().expect("a line");
    assert_eq!(last["log.level"], "error");
    for name in ["error.message", "doorward.hint"] {
        assert!(last[name].is_string(), "{last}");
    }
    // A warning of the configuration is the first line, and is one line.
    let anybody = "trusted_proxies = [\"0.0.0.0/0\"]\n";
    let mut gateway = gateway(&backend).config(anybody).start();
    let line = gateway.wait_for_log(|line| line.contains("every client can then claim"));
    assert_eq!(document(&line)["log.level"], "warn");
    let outcome = gateway.reload("[[routes]]\nname = \"x\"\npath = \"x\"\n");
    assert_eq!(outcome, "refused");
    documents(&gateway.stop().1);
}

#[test]
fn an_unknown_format_is_refused() {
    let (status, said) = TestGateway::alone().config("[log]\nformat = \"jsn\"\n").refused();
    assert_eq!(status, 2);
    assert!(said.contains("log.format") && said.contains("\"json\""), "{said}");
}

#[test]
fn the_log_of_requests_can_be_off_and_faults_are_documents() {
    let backend = Upstream::start();
    let gateway = gateway(&backend).config("[log]\naccess = false\n").start();
    Client::new(gateway.http_address())
        .get("/dead/x?query-secret")
        .expect(502);
    let line = gateway.wait_for_log(|line| line.contains("upstream_failed"));
    let fault = document(&line);
    assert_eq!(
        (&fault["log.level"], &fault["doorward.route"]),
        (&json!("warn"), &json!("dead"))
    );
    let (_, lines) = gateway.stop();
    assert!(
        documents(&lines)
            .iter()
            .all(|line| line["event.dataset"] != "doorward.access")
    );
}

#[test]
fn a_log_that_nobody_reads_costs_no_request_and_no_audit_event() {
    let backend = Upstream::start();
    let gateway = gateway(&backend).start();
    let unread = gateway.unread();
    // Far more than a pipe holds.
    let path = format!("/open/{}", "a".repeat(1_000));
    let client = gateway.http();
    for _ in 0..2_000 {
        client.get(&path).expect(200);
    }
    for _ in 0..5 {
        gateway.try_login("alice", "not the password").expect(401);
    }
    gateway.login("alice");
    for path in ["/healthz", "/readyz", "/metrics"] {
        gateway.admin().get(path).expect(200);
    }
    client.get(&path).expect(200);
    drop(unread);
    gateway.wait_for_log(|line| {
        let document: Value = serde_json::from_str(line).unwrap_or_default();
        document["event.dataset"] == "doorward.audit" && document["event.outcome"] == "failure"
    });
    let (status, lines) = gateway.stop();
    assert_eq!(status, 0);
    let documents = documents(&lines);
    let logins = |outcome: &str| {
        let said = documents
            .iter()
            .filter(|line| line["event.action"] == "login" && line["event.outcome"] == outcome);
        said.count()
    };
    assert_eq!((logins("failure"), logins("success")), (5, 1));
}
