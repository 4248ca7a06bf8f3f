//! `doorward explain --against FILE`: what a real gateway has logged, decided again.

use std::process::Command;

use serde_json::Value;

use super::Place;
use crate::path::gate::{AUDIENCE, route, upstream};
use crate::support::certificates::Authority;
use crate::support::issuer::Issuer;
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::raw::RawClient;
use crate::support::until;
use crate::support::upstream::Upstream;

/// The gateway of this place, ready.
pub(super) fn serve(place: &Place, admin: u16) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .args(["serve", "--config", "doorward.toml"])
        .current_dir(place.0.path());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOORWARD_") {
            command.env_remove(name);
        }
    }
    let process = Process::spawn("doorward", command);
    let ready = || {
        let mut client = RawClient::try_connect(([127, 0, 0, 1], admin).into()).ok()?;
        client.send("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
        (client.try_response().ok()?.status == 200).then_some(())
    };
    until("readiness", ready);
    process
}

/// Its log, when it has told of so many requests: each worker hands over its lines in its own time.
pub(super) fn told(process: &Process, count: usize) -> String {
    let accesses = |lines: &[String]| lines.iter().filter(|line| line.contains("\"doorward.access\"")).count();
    until("a line for each request", || {
        (accesses(&process.lines()) == count).then_some(())
    });
    let lines = process.lines();
    let documents: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.find('{').map(|at| &line[at..]))
        .collect();
    documents.join("\n")
}

#[test]
fn a_log_that_a_gateway_has_written_is_decided_again() {
    let backend = Upstream::start();
    let (port, admin) = (free_port(), free_port());
    let issuer = Issuer::new("https://idp.test").es256("k1");
    let routes = [
        route("app", "/app", "app", "roles_any = [\"user\"]"),
        route(
            "inside",
            "/inside",
            "app",
            "access = \"public\"\nnetworks = [\"127.0.0.0/8\"]",
        ),
        route("trial", "/trial", "app", "shadow = true"),
    ]
    .concat();
    let base = format!(
        "workers = 1\n[log]\nformat = \"json\"\n[admin]\naddress = \"127.0.0.1:{admin}\"\n[[listeners]]\naddress = \"127.0.0.1:{port}\"\nprotocol = \"http\"\n\
        [[tokens.trusted_issuers]]\nissuer = \"https://idp.test\"\njwks_file = {:?}\nalgorithms = [\"ES256\"]\naudience = [{AUDIENCE:?}]\nusers = \"as_is\"\nroles_claim = \"roles\"\nroles = \"as_is\"\n{}",
        issuer.jwks_file(),
        upstream("app", &backend.url(), ""),
    );
    let place = Place::with(&(base.clone() + &routes));
    let process = serve(&place, admin);
    let token = |user: &str, roles: &[&str]| {
        let mut claims = issuer.claims(AUDIENCE, user);
        claims["roles"] = serde_json::json!(roles);
        format!("Authorization: Bearer {}\r\n", issuer.sign("k1", &claims))
    };
    let (ann, eve) = (token("ann", &["user"]), token("eve", &["guest"]));
    for (target, lines, status) in [
        ("/app/1?secret=x", ann.as_str(), 200),
        ("/app/2", ann.as_str(), 200),
        ("/app/3", eve.as_str(), 403),
        ("/app/4", "", 401),
        ("/app/5", "Authorization: Bearer a.b.c\r\n", 401),
        ("/App/6", ann.as_str(), 404),
        ("/inside", "", 200),
        ("/trial", "", 200),
        ("/nowhere", "", 404),
        ("/app/../x", "", 400),
        ("/api/me", "", 401),
        ("/.well-known/jwks.json", "", 200),
        ("/last", "", 404),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n");
        let answer = RawClient::connect(([127, 0, 0, 1], port).into())
            .send(request)
            .response();
        assert_eq!(answer.status, status, "{target}");
    }
    let lines = told(&process, 13);
    place.write("access.log", &(lines + "\nnot json\n{}\n"));

    let same = place.run(&["explain", "--against", "access.log"]);
    assert_eq!(same.status, 0, "{same:?}");
    assert!(
        same.out
            .contains("13 decisions made again: 0 would change, 13 would not\n"),
        "{same:?}"
    );
    assert!(
        same.out.contains("lines no JSON document, the first of them line "),
        "{same:?}"
    );

    place.write(
        "doorward.toml",
        &(base
            + &routes
                .replace("roles_any = [\"user\"]", "roles_any = [\"guest\"]")
                .replace("shadow = true", "")
                .replace("\"/inside\"", "\"/outside\"")),
    );
    let changed = place.run(&["explain", "--against", "access.log"]);
    assert_eq!(changed.status, 1, "{changed:?}");
    assert!(changed.out.starts_with(
        "2 x  permit by app  ->  refuse by app (insufficient_scope)\n      GET app.test/app/1 (ann)\n      GET app.test/app/2 (ann)\n"
    ), "{}", changed.out);
    for part in [
        "1 x  permit by inside  ->  refuse by (none) (not_found)\n      GET app.test/inside (anonymous)\n",
        "1 x  refuse by app (insufficient_scope)  ->  permit by app\n      GET app.test/app/3 (eve)\n",
        "1 x  would_refuse by trial (credentials_required)  ->  refuse by trial (credentials_required)\n",
        "13 decisions made again: 5 would change, 8 would not\n",
    ] {
        assert!(changed.out.contains(part), "{part} is not in {}", changed.out);
    }
    let json = place.run(&["explain", "--against", "access.log", "--json", "--examples", "1"]);
    assert_eq!(json.status, 1);
    let document: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&document["replayed"], &document["changed"]), (&13.into(), &5.into()));
    assert_eq!(document["changes"][0]["count"], 2);
    assert_eq!(document["changes"][0]["old"]["decision"], "permit");
    assert_eq!(document["changes"][0]["new"]["reason"], "insufficient_scope");
    assert_eq!(document["changes"][0]["examples"].as_array().unwrap().len(), 1);
    let missing = place.run(&["explain", "--against", "none.log"]);
    assert!(
        missing.status == 1 && missing.err.contains("none.log cannot be read"),
        "{missing:?}"
    );
}

#[test]
fn a_file_without_a_decision_is_no_good_news() {
    let place = Place::with("");
    for (name, content, cause) in [
        ("empty.log", "", "it is empty"),
        (
            "text.log",
            "2026-01-01T00:00:00Z INFO access method=GET path=/ status=200\n",
            "none of its lines",
        ),
        (
            "other.log",
            "{\"event.dataset\":\"doorward.audit\"}\n{}\n",
            "none of its lines",
        ),
    ] {
        place.write(name, content);
        for json in [&[][..], &["--json"]] {
            let ended = place.run(&[&["explain", "--against", name], json].concat());
            assert_eq!(ended.status, 1, "{ended:?}");
            assert!(
                ended.err.contains(&format!("no decision was found in {name}")),
                "{ended:?}"
            );
            assert!(ended.err.contains(cause), "{ended:?}");
        }
    }
}

#[test]
fn the_configuration_that_wrote_a_log_changes_nothing_in_it() {
    let backend = Upstream::start();
    let (port, secure, admin) = (free_port(), free_port(), free_port());
    let issuer = Issuer::new("https://idp.test").es256("k1");
    let place = Place::with("");
    Authority::new().server(&["localhost"]).write(place.0.path(), "server");
    let routes = [
        route("open", "/", "app", "access = \"public\""),
        route("admin", "/admin", "app", "roles_any = [\"admin\"]"),
        route("either", "/either", "app", "access = \"optional\""),
        route(
            "inner",
            "/inner",
            "app",
            "access = \"public\"\nclient_auth = \"required\"",
        ),
        route("machines", "/machines", "app", "credentials = [\"basic\"]"),
        route("both", "/both", "app", "credentials = [\"basic\", \"bearer\"]"),
        route("trial", "/trial", "app", "roles_any = [\"admin\"]\nshadow = true"),
        route("near", "/near", "app", "networks = [\"10.0.0.0/8\"]"),
    ]
    .concat();
    place.write(
        "doorward.toml",
        &format!(
            "workers = 1\ntrusted_proxies = [\"127.0.0.1\"]\n[log]\nformat = \"json\"\n[admin]\naddress = \"127.0.0.1:{admin}\"\n[[listeners]]\naddress = \"127.0.0.1:{port}\"\nprotocol = \"http\"\n\
            [[listeners]]\naddress = \"127.0.0.1:{secure}\"\nprotocol = \"https\"\n[tls]\ncertificates = [{{ cert = \"server.crt\", key = \"server.key\" }}]\nclient_ca = \"server.crt\"\n\
            [[tokens.trusted_issuers]]\nissuer = \"https://idp.test\"\njwks_file = {:?}\nalgorithms = [\"ES256\"]\naudience = [{AUDIENCE:?}]\nusers = \"as_is\"\nroles_claim = \"roles\"\nroles = \"as_is\"\n{}{routes}",
            issuer.jwks_file(),
            upstream("app", &backend.url(), ""),
        ),
    );
    let process = serve(&place, admin);
    let token = |roles: &[&str]| {
        let mut claims = issuer.claims(AUDIENCE, "somebody");
        claims["roles"] = serde_json::json!(roles);
        format!("Authorization: Bearer {}\r\n", issuer.sign("k1", &claims))
    };
    let shown = [
        String::new(),
        token(&["admin"]),
        token(&["user"]),
        "Authorization: Bearer a.b.c\r\n".to_owned(),
        "Authorization: Bearer zz\r\n".to_owned(),
        "Authorization: Basic eDp5\r\n".to_owned(),
        "Authorization: Basic ???\r\n".to_owned(),
    ];
    let places = [
        "admin",
        "either",
        "inner",
        "machines",
        "both",
        "trial",
        "near",
        "elsewhere",
        "api/me",
    ];
    let mut asked = Vec::new();
    for place in places {
        let upper = place.to_uppercase();
        let written = [
            format!("/{place}"),
            format!("//{place}"),
            format!("/{upper}/x"),
            format!("/x/..%2f{place}"),
            format!("/{place}#x"),
            format!("/{place};a?b\\c"),
            format!("/{place}?a<b"),
        ];
        asked.extend(written.map(|target| format!("GET {target} HTTP/1.1\r\n")));
        asked.push(format!("POST //{place} HTTP/1.1\r\n"));
        asked.push(format!(
            "GET /auth/nginx HTTP/1.1\r\nX-Original-Method: GET\r\nX-Original-URL: https://app.test//{place}\r\n"
        ));
    }
    for about in [
        "auth/nginx",
        "auth/%6eginx",
        "api/login",
        "api/me",
        "auth/",
        "auth/login",
        "auth/register",
        "",
    ] {
        for method in ["GET", "POST", "OPTIONS", "TRACE", "connect"] {
            asked.push(format!(
                "GET /auth/nginx HTTP/1.1\r\nX-Original-Method: {method}\r\nX-Original-URL: https://app.test/{about}\r\n"
            ));
        }
    }
    let mut told_statuses = std::collections::BTreeSet::new();
    let mut count = 0;
    for head in &asked {
        for lines in &shown {
            let answer = RawClient::connect(([127, 0, 0, 1], port).into())
                .send(format!("{head}Host: app.test\r\nContent-Length: 0\r\n{lines}\r\n"))
                .response();
            told_statuses.insert(answer.status);
            count += 1;
        }
    }
    assert!(
        [200, 400, 401, 403].iter().all(|status| told_statuses.contains(status)),
        "{told_statuses:?}"
    );
    // What only a session brings about.
    let own = |reason: &str| {
        format!(
            "{{\"event.dataset\":\"doorward.access\",\"http.request.method\":\"POST\",\"url.path\":\"/trial\",\"url.domain\":\"app.test\",\"client.ip\":\"127.0.0.1\",\"doorward.route\":\"trial\",\"doorward.decision\":\"would_refuse\",\"doorward.reason\":\"{reason}\"}}\n"
        )
    };
    let log = told(&process, count) + "\n" + &own("cross_site_request") + &own("identity_not_representable");
    place.write("access.log", &log);
    let same = place.run(&["explain", "--against", "access.log", "--json", "--examples", "9"]);
    let document: Value = serde_json::from_str(&same.out).unwrap();
    assert_eq!((same.status, &document["changed"]), (0, &0.into()), "{}", same.out);
    let replayed = document["replayed"].as_u64().unwrap();
    assert!(replayed > u64::try_from(count).unwrap() / 2, "{}", same.out);
    let text = place.run(&["explain", "--against", "access.log"]);
    for why in [
        "another reading of the target asks who it is, and what was shown is not in the log",
        "whether the client showed a certificate is not in the log",
        "the target is not in the log as a whole",
        "a shadow route let it pass as nobody, and whose it was is not in the log",
        "not all that backends are told is in the log",
    ] {
        let line = format!("not made again, for they cannot be told from the log: {why}\n");
        assert!(text.out.contains(&line), "{why}: {}", text.out);
    }
}
