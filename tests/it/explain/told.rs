//! What `doorward explain` says of a request, what the gateway answers it, what its backend gets and what the log tells of it:
//! four tales of one request, which have to be one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Place;
use super::against::{serve, told};
use crate::path::gate::{AUDIENCE, route, upstream};
use crate::support::issuer::Issuer;
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::raw::{RawClient, RawResponse};
use crate::support::upstream::{Request, Upstream};

/// A gateway with a backend, another issuer, and one user of its own.
struct House {
    place: Place,
    backend: Upstream,
    issuer: Issuer,
    port: u16,
    admin: u16,
    process: Process,
    /// Requests that were sent, and so lines that are to come.
    sent: usize,
}

/// One request, as it is sent and as it is described.
struct Case {
    method: &'static str,
    target: String,
    host: &'static str,
    /// Header lines that are sent and described alike.
    lines: Vec<String>,
    shown: Shown,
}

/// A credential, as it is sent and as it is described.
#[derive(Clone, Default)]
struct Shown {
    line: String,
    described: Vec<String>,
}

impl Shown {
    fn new(line: String, described: &[&str]) -> Self {
        Self {
            line,
            described: described.iter().map(|&word| word.to_owned()).collect(),
        }
    }
}

/// A request with nothing but this.
fn case(method: &'static str, target: &str) -> Case {
    Case {
        method,
        target: target.to_owned(),
        host: "app.test",
        lines: Vec::new(),
        shown: Shown::default(),
    }
}

impl Case {
    fn with(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    fn showing(mut self, shown: &Shown) -> Self {
        self.shown = shown.clone();
        self
    }

    fn at(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }
}

/// What was found out about one case.
struct Tale {
    name: String,
    explained: Value,
    answer: RawResponse,
    received: Option<Request>,
}

impl House {
    fn start(config: &str) -> Self {
        let backend = Upstream::start();
        let (port, admin) = (free_port(), free_port());
        let issuer = Issuer::new("https://idp.test").es256("k1");
        let config = format!(
            "workers = 1\ntrusted_proxies = [\"127.0.0.1\"]\n[log]\nformat = \"json\"\n[admin]\naddress = \"127.0.0.1:{admin}\"\n\
            [[listeners]]\naddress = \"127.0.0.1:{port}\"\nprotocol = \"http\"\n\
            [accounts]\nregistration = \"open\"\n[passwords]\nmemory = \"1MiB\"\niterations = 1\n[tokens]\nissuer = \"https://gateway.test\"\n\
            [[tokens.trusted_issuers]]\nissuer = \"https://idp.test\"\njwks_file = {:?}\nalgorithms = [\"ES256\"]\naudience = [{AUDIENCE:?}]\nusers = \"as_is\"\nroles_claim = \"roles\"\nroles = \"as_is\"\n{}{config}",
            issuer.jwks_file(),
            upstream("app", &backend.url(), ""),
        );
        let place = Place::with(&config);
        let process = serve(&place, admin);
        Self {
            place,
            backend,
            issuer,
            port,
            admin,
            process,
            sent: 0,
        }
    }

    fn ask(&mut self, request: String) -> RawResponse {
        self.sent += 1;
        let address: SocketAddr = ([127, 0, 0, 1], self.port).into();
        RawClient::connect(address).send(request).response()
    }

    /// A token of the other issuer.
    fn stranger(&self, roles: &[&str]) -> Shown {
        let mut claims = self.issuer.claims(AUDIENCE, "eve");
        claims["roles"] = json!(roles);
        let token = self.issuer.sign("k1", &claims);
        Shown::new(format!("Authorization: Bearer {token}\r\n"), &["--token", &token])
    }

    /// `POST` of this with these header lines.
    fn post(&mut self, target: &str, lines: &str, body: &str) -> RawResponse {
        self.ask(format!(
            "POST {target} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n{lines}\r\n{body}",
            body.len()
        ))
    }

    /// Registers somebody: the access token.
    fn register(&mut self, name: &str) -> String {
        let body = json!({"username": name, "password": "correct horse battery"}).to_string();
        let answer = self.post("/api/registration", "", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Sends the request and has it explained.
    fn tell(&mut self, case: &Case) -> Tale {
        let Case {
            method,
            target,
            host,
            lines,
            shown,
        } = case;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        let url = match target.as_str() {
            "*" => target.clone(),
            _ => format!("http://{host}{target}"),
        };
        let mut arguments: Vec<String> = ["explain", method, &url].map(str::to_owned).to_vec();
        arguments.extend(["--client", "127.0.0.1", "--json"].map(str::to_owned));
        for line in lines {
            write!(head, "{line}\r\n").unwrap();
            arguments.extend(["--header".to_owned(), line.clone()]);
        }
        arguments.extend(shown.described.iter().cloned());
        // What is explained comes first: a ticket is good once.
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = self.place.run(&arguments);
        assert_eq!(ended.status, 0, "{arguments:?}: {ended:?}");
        let before = self.backend.requests().len();
        self.sent += 1;
        let mut client = RawClient::connect(([127, 0, 0, 1], self.port).into());
        client.send(format!("{head}{}\r\n", shown.line));
        let answer = match *method {
            "HEAD" => client.response_to_head(),
            _ => client.response(),
        };
        let explained: Value = serde_json::from_str(&ended.out).unwrap();
        Tale {
            name: format!("{method} {target} {lines:?} {:?}", shown.described.first()),
            answer,
            received: self.backend.requests().into_iter().nth(before),
            explained,
        }
    }

    /// Tells all of them, and holds each against what happened, then all of them against the log.
    fn compare(&mut self, cases: &[Case]) -> Vec<Value> {
        let before = self.sent;
        let tales: Vec<Tale> = cases.iter().map(|case| self.tell(case)).collect();
        let log = told(&self.process, self.sent);
        let accesses = log.lines().filter(|line| line.contains("\"doorward.access\""));
        let documents: Vec<Value> = accesses.map(|line| serde_json::from_str(line).unwrap()).collect();
        let documents = documents.get(before..).unwrap().to_vec();
        let mut differences = String::new();
        for (tale, line) in tales.iter().zip(&documents) {
            for difference in tale.differences(line) {
                writeln!(differences, "{}: {difference}", tale.name).unwrap();
            }
        }
        assert_eq!(differences, "");
        // And the log as a whole: by this configuration, nothing in it would change.
        self.place.write("access.log", &log);
        let same = self
            .place
            .run(&["explain", "--against", "access.log", "--examples", "9"]);
        assert!(same.out.contains(": 0 would change,"), "{}", same.out);
        documents
    }
}

/// Fields of every answer, and of the connection.
const OF_ALL_ANSWERS: [&str; 9] = [
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "x-content-type-options",
];

/// Fields that are made for each request, or say where it came in.
const OF_EACH_REQUEST: [&str; 3] = ["x-request-id", "traceparent", "x-forwarded-port"];

/// Name and value of each field; what is secret has none.
fn fields(list: &Value) -> BTreeSet<(String, Option<String>)> {
    let fields = list.as_array().unwrap().iter();
    fields
        .map(|field| {
            let name = field["name"].as_str().unwrap().to_ascii_lowercase();
            (name, field["value"].as_str().map(str::to_owned))
        })
        .collect()
}

impl Tale {
    /// Where explanation, answer, backend and log differ.
    fn differences(&self, line: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let mut hold = |what: &str, explained: String, happened: String| {
            if explained != happened {
                found.push(format!("{what}: explained {explained}, and it was {happened}"));
            }
        };
        let explained = &self.explained;
        let decision = &explained["decision"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        hold(
            "logged decision",
            text(&decision["decision"]),
            text(&line["doorward.decision"]),
        );
        let is_question = line["event.action"] == "forward_auth";
        let is_let_in = decision["goes_to"] == "gateway" && explained["answer"].is_null();
        // Whom one of our own URLs has let in may have asked it for nonsense.
        if !(is_let_in && [400, 404].contains(&self.answer.status)) {
            hold(
                "logged reason",
                text(&decision["reason"]),
                text(&line["doorward.reason"]),
            );
        }
        let route = match explained["place"]["kind"].as_str() {
            Some("route") => text(&explained["place"]["name"]),
            Some("endpoint") => "(gateway)".to_owned(),
            // Who is led home is where the gateway answers, and so is who asks before it is known what about.
            Some(_) if decision["goes_to"] == "gateway" && !is_question => "(gateway)".to_owned(),
            None if is_question
                && ["invalid_question", "target_too_long", "headers_too_large"]
                    .iter()
                    .any(|reason| decision["reason"] == *reason) =>
            {
                "(gateway)".to_owned()
            }
            Some(_) | None => "(none)".to_owned(),
        };
        hold("logged route", route, text(&line["doorward.route"]));
        hold(
            "logged upstream",
            text(&explained["forwarding"]["upstream"]),
            text(&line["doorward.upstream"]),
        );
        hold(
            "logged status",
            self.answer.status.to_string(),
            line["http.response.status_code"].to_string(),
        );
        hold(
            "forwarded",
            explained["forwarding"].is_object().to_string(),
            self.received.is_some().to_string(),
        );
        if decision["decision"] == "refuse" && explained["answer"]["status"] != 302 {
            hold("status", decision["status"].to_string(), self.answer.status.to_string());
        }
        if explained["answer"].is_object() {
            let status = explained["answer"]["status"].to_string();
            hold("answer", status, self.answer.status.to_string());
            let said = fields(&explained["answer"]["fields"]);
            let all = self.answer.headers.0.iter();
            let sent: BTreeSet<_> = all
                .map(|(name, value)| (name.to_ascii_lowercase(), Some(value.clone())))
                .filter(|(name, _)| !OF_ALL_ANSWERS.contains(&name.as_str()))
                .collect();
            hold("fields of the answer", format!("{said:?}"), format!("{sent:?}"));
        } else {
            // What a backend answers here, and our own URLs to whom they let in.
            let is_good = self.answer.status < 400 || is_let_in && [400, 404].contains(&self.answer.status);
            hold("good answer", "true".to_owned(), is_good.to_string());
        }
        if let Some(received) = &self.received {
            let forwarding = &explained["forwarding"];
            hold("target", text(&forwarding["target"]), received.target.clone());
            let mut said = fields(&forwarding["added"]);
            said.extend(fields(&forwarding["kept"]));
            said.retain(|(name, _)| !OF_EACH_REQUEST.contains(&name.as_str()));
            let secret = |name: &str| said.contains(&(name.to_owned(), None));
            let all = received.headers.0.iter();
            let got: BTreeSet<_> = all
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .filter(|(name, _)| !OF_EACH_REQUEST.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), (!secret(&name)).then_some(value)))
                .collect();
            hold("fields for the backend", format!("{said:?}"), format!("{got:?}"));
        }
        found
    }
}

fn routes() -> String {
    [
        route("orders", "/orders", "app", "strip_prefix = \"/orders\"\nrequest_headers = { set = { X-Env = \"prod\" }, remove = [\"Accept-Encoding\"] }"),
        route("admin", "/orders/admin", "app", "roles_any = [\"admin\"]"),
        route("open", "/open", "app", "access = \"public\""),
        route("either", "/either", "app", "access = \"optional\"\nforward_token = true"),
        route("machines", "/machines", "app", "credentials = [\"basic\", \"bearer\"]"),
        route("pages", "/pages", "app", "credentials = [\"session\"]"),
        route("near", "/near", "app", "networks = [\"10.0.0.0/8\"]"),
        route("closed", "/closed", "app", "access = \"deny\""),
        route("trial", "/trial", "app", "roles_any = [\"tester\"]\nshadow = true"),
        route("reads", "/reads", "app", "methods = [\"GET\"]\naccess = \"public\""),
        route("cors", "/cors", "app", "preflight = \"answer\""),
        route("theirs", "/theirs", "app", "access = \"public\"\nhost_header = \"upstream\""),
        route("named", "/named", "app", "access = \"public\"\nhost_header = \"inner.test\""),
    ]
    .concat()
}

/// With it, a GET for `/open` is as long as a head may be, and so many bytes more.
fn too_long(more: usize) -> String {
    let others = "GET /open HTTP/1.1\r\nHost: app.test\r\nX-Long: \r\n\r\n".len();
    format!("X-Long: {}", "a".repeat(65_536 - others + more))
}

const PREFLIGHT: [&str; 2] = ["Origin: https://app.example.com", "Access-Control-Request-Method: PUT"];

#[test]
fn routes_are_explained_as_they_are_taken() {
    let mut house = House::start(&format!(
        "[cors]\nallowed_origins = [\"https://app.example.com\"]\n{}",
        routes()
    ));
    let token = house.register("ann");
    let own = Shown::new(format!("Authorization: Bearer {token}\r\n"), &["--token", &token]);
    let key = house.post("/api/keys", &own.line, "{\"name\":\"k\"}").json()["key"].clone();
    let key = Shown::new(
        format!("Authorization: Bearer {}\r\n", key.as_str().unwrap()),
        &["--user", "ann", "--credential", "api-key"],
    );
    let ticket = house.post("/api/ticket", &own.line, "{}").json()["ticket"].clone();
    let (eve, admin) = (house.stranger(&["user"]), house.stranger(&["admin"]));
    let bad = Shown::new("Authorization: Bearer a.b.c\r\n".to_owned(), &["--token", "a.b.c"]);
    let web_socket = |target: &str| {
        case("GET", target)
            .with("Connection: Upgrade, keep-alive")
            .with("Upgrade: websocket")
            .with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
            .with("Sec-WebSocket-Version: 13")
    };
    let html = "Accept: text/html";
    let mut cases = vec![
        case("GET", "/orders/1?x=1")
            .showing(&eve)
            .with("Accept-Encoding: gzip")
            .with("X-User: root")
            .with("X_User: root"),
        case("GET", "/orders/1"),
        case("GET", "/orders/1").with(html),
        case("POST", "/orders/1").with(html).with("Content-Length: 0"),
        case("GET", "/orders/1").showing(&bad),
        case("GET", "/orders/1").showing(&own),
        case("GET", "/orders/1").showing(&key),
        case("GET", "/orders//1").showing(&eve),
        case("GET", "/orders/admin").showing(&eve),
        case("GET", "/orders/admin")
            .showing(&admin)
            .with("X-Forwarded-For: 203.0.113.7"),
        case("GET", "/Orders/1").showing(&eve),
        case("GET", "//orders/admin").showing(&eve),
        case("GET", "/open")
            .showing(&eve)
            .with("Cookie: a=b; __Host-doorward=x; c=d"),
        case("GET", "/either"),
        case("GET", "/either").showing(&eve),
        case("GET", "/either").showing(&bad),
        case("GET", "/machines"),
        case("GET", "/machines").showing(&bad),
        case("GET", "/machines").showing(&key),
        case("GET", "/pages").with(html),
        case("GET", "/pages?a=b&c").with("Sec-Fetch-Mode: navigate"),
        case("GET", "/pages"),
        case("GET", "/pages").with("Cookie: __Host-doorward=a; __Host-doorward=b"),
        case("GET", "/pages").with("Cookie: __Host-doorward=a"),
        case("GET", "/open").with("Cookie: __Host-doorward=a; __Host-doorward=b"),
        case("GET", "/near").showing(&eve),
        case("GET", "/closed").showing(&eve),
        case("GET", "/trial").showing(&eve),
        case("GET", "/trial"),
        case("GET", "/trial").with(html),
        case("POST", "/reads").with("Content-Length: 0"),
        case("HEAD", "/nowhere"),
        case("GET", "/nowhere").with("Origin: https://app.example.com"),
        case("TRACE", "/open"),
        case("GET", &format!("/open?{}", "a".repeat(16_384 - 6))),
        case("GET", &format!("/open?{}", "a".repeat(16_384 - 5))),
        case("GET", &format!("/open/{}", "a".repeat(20_000))),
        case("TRACE", &format!("/open?{}", "a".repeat(20_000))),
        case("GET", &format!("/auth/nginx?{}", "a".repeat(20_000))),
        case("GET", &format!("/auth/envoy/open?{}", "a".repeat(20_000))),
        case("GET", "/auth/nginx").with(&format!("X-Long: {}", "a".repeat(65_536))),
        case("GET", "/open").with(&too_long(0)),
        case("GET", "/open").with(&too_long(1)),
        case("GET", "/orders/1").showing(&eve).with(&too_long(0)),
        case("GET", "/open/../x"),
        case("GET", "/open%00"),
        case("GET", "/open%2fx"),
        case("GET", "/theirs"),
        case("GET", "/named"),
        case("GET", "/open?doorward_ticket=zz"),
        case("GET", "/orders/1?doorward_ticket=zz&a=b"),
        case("GET", &format!("/orders/1?a=b&doorward_ticket=dwt_{}", "A".repeat(43))),
        case(
            "GET",
            &format!("/orders/1?doorward_ticket={}&a=b", ticket.as_str().unwrap()),
        )
        .showing(&Shown::new(String::new(), &["--user", "ann", "--credential", "ticket"])),
        web_socket("/open/ws").with("Sec-WebSocket-Protocol: chat"),
        web_socket("/orders/ws"),
        web_socket("/orders/ws").showing(&eve),
        case("GET", "/open")
            .with("Connection: Upgrade, HTTP2-Settings")
            .with("Upgrade: h2c")
            .with("HTTP2-Settings: AA"),
        case("GET", "/open").with("Upgrade: websocket"),
        case("OPTIONS", "/open"),
        case("OPTIONS", "*").at("localhost"),
    ];
    for target in [
        "/cors", "/orders", "/closed", "/near", "/nowhere", "/api/me", "/trial", "/reads",
    ] {
        cases.push(case("OPTIONS", target).with(PREFLIGHT[0]).with(PREFLIGHT[1]));
    }
    cases.push(
        case("OPTIONS", "/cors")
            .with("Origin: https://evil.example")
            .with(PREFLIGHT[1]),
    );
    cases.push(
        case("OPTIONS", "/cors")
            .with(PREFLIGHT[0])
            .with(PREFLIGHT[1])
            .with("Access-Control-Request-Headers: authorization, x-a"),
    );
    let documents = house.compare(&cases);
    let decided: BTreeSet<_> = documents
        .iter()
        .map(|line| line["doorward.decision"].as_str().unwrap())
        .collect();
    assert_eq!(decided, BTreeSet::from(["permit", "refuse", "would_refuse"]));
    // A preflight that is answered here goes to no upstream; one that is passed on does.
    let of = |path: &str| {
        let mut lines = documents.iter();
        lines
            .rfind(|line| line["http.request.method"] == "OPTIONS" && line["url.path"] == path)
            .unwrap()
    };
    assert_eq!(of("/cors")["doorward.upstream"], Value::Null, "{}", of("/cors"));
    assert_eq!(of("/cors")["doorward.decision"], "permit");
    assert_eq!(of("/orders")["doorward.upstream"], "app");
}

#[test]
fn our_own_urls_are_explained_as_they_answer() {
    let mut house = House::start("[cors]\nallowed_origins = [\"https://app.example.com\"]\n");
    let token = house.register("ann");
    let own = Shown::new(format!("Authorization: Bearer {token}\r\n"), &["--token", &token]);
    let key = house.post("/api/keys", &own.line, "{\"name\":\"k\"}").json()["key"].clone();
    let key = Shown::new(
        format!("Authorization: Bearer {}\r\n", key.as_str().unwrap()),
        &["--user", "ann", "--credential", "api-key"],
    );
    let form = "username=ann&password=correct+horse+battery";
    let entered = house.post(
        "/auth/login",
        "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\nX-Forwarded-Proto: https\r\n",
        form,
    );
    assert_eq!(entered.status, 303, "{}", entered.text());
    let cookie = entered
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let session = Shown::new(
        format!("Cookie: {cookie}\r\n"),
        &["--user", "ann", "--credential", "session"],
    );
    let ticket = |house: &mut House| {
        let ticket = house.post("/api/ticket", &own.line, "{}").json()["ticket"].clone();
        format!("doorward_ticket={}", ticket.as_str().unwrap())
    };
    let good_ticket = Shown::new(String::new(), &["--user", "ann", "--credential", "ticket"]);
    let eve = house.stranger(&["user", "doorward-admin"]);
    let nobody = Shown::default();
    let mut cases = Vec::new();
    for (method, target) in [
        ("GET", "/api/me"),
        ("GET", "/api/protected"),
        ("GET", "/api/sessions"),
        ("DELETE", "/api/sessions/none"),
        ("GET", "/api/keys"),
        ("POST", "/api/keys"),
        ("POST", "/api/password"),
        ("POST", "/api/ticket"),
        ("POST", "/api/introspect"),
        ("GET", "/api/admin/users"),
        ("GET", "/auth/"),
    ] {
        for shown in [&nobody, &eve, &key, &session, &own] {
            cases.push(case(method, target).showing(shown).with("Content-Length: 0"));
        }
        let target = format!("{target}?{}", ticket(&mut house));
        cases.push(case(method, &target).showing(&good_ticket).with("Content-Length: 0"));
    }
    for shown in [&nobody, &eve, &key] {
        cases.push(case("POST", "/api/logout").showing(shown).with("Content-Length: 0"));
    }
    let leaving = format!("/api/logout?{}", ticket(&mut house));
    cases.push(case("POST", &leaving).showing(&good_ticket).with("Content-Length: 0"));
    for target in [
        "/",
        "/api",
        "/api?a=b",
        "/auth",
        "/api/",
        "/.well-known/jwks.json",
        "/api/nowhere",
    ] {
        cases.push(case("GET", target));
        cases.push(
            case("GET", target)
                .with("Accept: text/html")
                .with("Origin: https://app.example.com"),
        );
        cases.push(case("HEAD", target).at("other.test:8443"));
        cases.push(case("POST", target).with("Content-Length: 0"));
    }
    for lines in [
        &["Sec-Fetch-Site: cross-site"][..],
        &["Sec-Fetch-Site: same-origin"],
        &["Origin: http://app.test"],
    ] {
        let mut case = case("POST", "/api/ticket").showing(&session).with("Content-Length: 0");
        case.lines.extend(lines.iter().map(|&line| line.to_owned()));
        cases.push(case);
    }
    cases.push(case("POST", "/api/logout").showing(&own).with("Content-Length: 0"));
    house.compare(&cases);
}

/// The lines of a question to one dialect, about this.
fn question(dialect: &str, method: &str, target: &str) -> Vec<String> {
    let of = |lines: &[(&str, &str)]| {
        let lines = lines.iter();
        lines.map(|(name, value)| format!("{name}: {value}")).collect()
    };
    match dialect {
        "nginx" => of(&[
            ("X-Original-Method", method),
            ("X-Original-URL", &format!("https://app.test{target}")),
        ]),
        "traefik" | "caddy" => of(&[
            ("X-Forwarded-Method", method),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "app.test"),
            ("X-Forwarded-Uri", target),
        ]),
        _ => Vec::new(),
    }
}

#[test]
fn questions_are_explained_as_they_are_answered() {
    let mut house = House::start(&routes());
    let (eve, admin) = (house.stranger(&["user"]), house.stranger(&["admin"]));
    let mut cases = Vec::new();
    for (method, target, shown, more) in [
        ("GET", "/orders/1", &eve, None),
        ("GET", "/orders/1", &Shown::default(), None),
        ("GET", "/orders/1?x=1", &Shown::default(), Some("Accept: text/html")),
        ("POST", "/orders/1", &Shown::default(), Some("Accept: text/html")),
        ("GET", "/orders/admin", &eve, None),
        ("GET", "/orders/admin", &admin, Some("X-Forwarded-For: 203.0.113.7")),
        ("GET", "/near", &admin, Some("X-Forwarded-For: 10.1.2.3")),
        ("GET", "/near", &admin, None),
        ("GET", "/machines", &Shown::default(), None),
        ("GET", "/closed", &eve, None),
        ("GET", "/trial", &eve, None),
        ("GET", "/nowhere", &eve, None),
        ("GET", "/", &Shown::default(), Some("Accept: text/html")),
        ("POST", "/reads", &eve, None),
        ("GET", "/orders//admin", &eve, None),
        ("GET", "/a/../b", &eve, None),
        ("GET", "/api/me", &eve, None),
        ("GET", "/auth/nginx", &eve, None),
        ("GET", "/open", &Shown::default(), None),
    ] {
        for dialect in ["nginx", "traefik", "caddy", "envoy"] {
            let (method_of_question, target_of_question) = match dialect {
                "envoy" => (method, format!("/auth/envoy{target}")),
                _ => ("GET", format!("/auth/{dialect}")),
            };
            let mut asked = case(method_of_question, &target_of_question).showing(shown);
            asked.lines = question(dialect, method, target);
            asked.lines.extend(more.map(str::to_owned));
            cases.push(asked);
        }
    }
    for target in [
        "/auth/nginx",
        "/auth/traefik",
        "/auth/caddy?a=b",
        "/auth/nginx/",
        "/auth/Nginx",
        "/auth/envoy",
    ] {
        cases.push(case("GET", target));
    }
    let mut broken = case("GET", "/auth/nginx");
    broken.lines = [question("nginx", "GET", "/orders"), question("nginx", "GET", "/orders")].concat();
    cases.push(broken);
    house.compare(&cases);
}

#[test]
fn the_words_of_the_flask_server_are_explained_as_they_are_said() {
    let place = tempfile::tempdir().unwrap();
    let secret = place.path().join("secret");
    std::fs::write(&secret, "a secret of at least thirty-two characters\n").unwrap();
    let mut house = House::start(&format!(
        "[compat]\nflask_praetorian = true\nsecret_file = {:?}\n{}",
        secret.to_str().unwrap(),
        routes()
    ));
    let (eve, admin) = (house.stranger(&["user"]), house.stranger(&["admin"]));
    let bad = Shown::new("Authorization: Bearer a.b.c\r\n".to_owned(), &["--token", "a.b.c"]);
    let mut cases = Vec::new();
    for target in [
        "/orders/1",
        "/orders/admin",
        "/open",
        "/nowhere",
        "/",
        "/api",
        "/api/protected",
        "/closed",
        "/trial",
        "/near",
    ] {
        for shown in [&Shown::default(), &eve, &admin, &bad] {
            cases.push(case("GET", target).showing(shown));
        }
        cases.push(case("GET", target).with("Accept: text/html"));
        cases.push(case("POST", target).with("Content-Length: 0"));
        cases.push(case("OPTIONS", target));
        cases.push(case("OPTIONS", target).with(PREFLIGHT[0]).with(PREFLIGHT[1]));
    }
    house.compare(&cases);
}

#[test]
fn whom_our_own_urls_turn_away_is_logged_and_counted_as_refused() {
    let secure = free_port();
    let mut house = House::start(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:{secure}\"\nprotocol = \"redirect\"\n"
    ));
    house.register("ann");
    let form = "Content-Type: application/x-www-form-urlencoded\r\nX-Forwarded-Proto: https\r\n";
    let own_form = format!("{form}Sec-Fetch-Site: same-origin\r\n");
    let wrong = "{\"username\":\"ann\",\"password\":\"wrong\"}";
    let taken = "{\"username\":\"ann\",\"password\":\"correct horse battery\"}";
    let typed = "username=ann&password=wrong";
    let mut expected = vec![("permit", "ok", 200)];
    for (target, lines, body, decision, reason, status) in [
        ("/api/login", "", wrong, "refuse", "invalid_credentials", 401),
        ("/api/login", "", "{", "permit", "invalid_request", 400),
        (
            "/api/refresh",
            "",
            "{\"refresh_token\":\"none\"}",
            "refuse",
            "invalid_grant",
            401,
        ),
        ("/api/registration", "", taken, "permit", "user_exists", 409),
        (
            "/auth/login",
            own_form.as_str(),
            typed,
            "refuse",
            "invalid_credentials",
            401,
        ),
        ("/auth/login", form, typed, "refuse", "cross_site_request", 403),
        ("/auth/login", own_form.as_str(), "", "permit", "invalid_request", 400),
        ("/auth/logout", form, "", "refuse", "cross_site_request", 403),
    ] {
        let answer = house.post(target, lines, body);
        assert_eq!(answer.status, status, "{target} {body}: {}", answer.text());
        expected.push((decision, reason, i64::from(status)));
    }
    assert_eq!(
        house.ask("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n".to_owned()).status,
        302
    );
    expected.push(("permit", "ok", 302));
    house.sent += 2;
    for (lines, status) in [("", 308), ("Authorization: Bearer x\r\n", 403)] {
        let mut client = RawClient::connect(([127, 0, 0, 1], secure).into());
        let answer = client
            .send(format!("GET /x HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n"))
            .response();
        assert_eq!(answer.status, status);
        expected.push(("refuse", "https_required", i64::from(status)));
    }
    let log = told(&house.process, house.sent);
    let accesses = log.lines().filter(|line| line.contains("\"doorward.access\""));
    let documents: Vec<Value> = accesses.map(|line| serde_json::from_str(line).unwrap()).collect();
    let logged: Vec<(&str, &str, i64)> = documents
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap();
            (
                text("doorward.decision"),
                text("doorward.reason"),
                line["http.response.status_code"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(logged, expected);
    let (served, led) = documents.split_at(10);
    assert!(
        served.iter().all(|line| line["doorward.route"] == "(gateway)"),
        "{served:?}"
    );
    assert!(led.iter().all(|line| line["doorward.route"] == "(none)"), "{led:?}");

    let page = RawClient::connect(([127, 0, 0, 1], house.admin).into())
        .send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .response()
        .text();
    for (decision, reason, count) in [
        ("refuse", "invalid_credentials", 2),
        ("refuse", "cross_site_request", 2),
        ("refuse", "invalid_grant", 1),
        ("permit", "ok", 5),
    ] {
        let series = format!(
            "doorward_access_decisions_total{{route=\"(gateway)\",decision=\"{decision}\",reason=\"{reason}\"}} {count}"
        );
        assert!(page.lines().any(|line| line == series), "{series} is not in {page}");
    }

    // Of what they said by themselves nothing can be decided again, and nothing of it is a change; nor is a log of the
    // first release, which said some of it otherwise.
    let old = |decision: &str, reason: &str, path: &str, route: &str, status: u16| {
        format!(
            "{{\"event.dataset\":\"doorward.access\",\"http.request.method\":\"GET\",\"url.path\":\"{path}\",\"url.domain\":\"app.test\",\"client.ip\":\"127.0.0.1\",\
            \"http.response.status_code\":{status},\"doorward.route\":\"{route}\",\"doorward.decision\":\"{decision}\",\"doorward.reason\":\"{reason}\",\
            \"user.name\":\"eve\",\"user.id\":\"eve\",\"user.roles\":[],\"doorward.credential\":\"external_bearer\"}}\n"
        )
    };
    let old = [
        old("permit", "invalid_token", "/api/me", "(gateway)", 401),
        old("refuse", "not_found", "/", "(none)", 302),
        old("refuse", "not_found", "/gone", "(none)", 404),
    ]
    .concat();
    house.place.write("access.log", &(log + "\n" + &old));
    let same = house.place.run(&["explain", "--against", "access.log", "--json"]);
    let document: Value = serde_json::from_str(&same.out).unwrap();
    assert_eq!((same.status, &document["changed"]), (0, &0.into()), "{}", same.out);
    assert_eq!(document["passed_over"]["invalid_credentials"], 2, "{}", same.out);
    assert_eq!(document["passed_over"]["https_required"], 2, "{}", same.out);
    let why = "one of the gateway's own URLs refused it, and what for is not in the log";
    assert_eq!(document["passed_over"][why], 2, "{}", same.out);

    // Without pages, `/` leads nowhere: that is a change.
    let config = std::fs::read_to_string(house.place.path("doorward.toml")).unwrap();
    house
        .place
        .write("doorward.toml", &(config + "[endpoints]\npages = \"\"\n"));
    let changed = house.place.run(&["explain", "--against", "access.log"]);
    assert_eq!(changed.status, 1, "{changed:?}");
    for part in [
        "permit by (gateway)  ->  refuse by (none) (not_found)\n",
        "      GET app.test/ (anonymous)\n",
    ] {
        assert!(changed.out.contains(part), "{part} is not in {}", changed.out);
    }
}
