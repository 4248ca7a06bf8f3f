//! What `doorward explain` says, to the letter.

use serde_json::Value;

use super::Place;

const CONFIG: &str = r#"
[tokens]
issuer = "https://shop.example.com"

[[upstreams]]
name = "orders"
servers = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]

[[routes]]
name = "orders"
hosts = ["shop.example.com"]
path = "/orders"
upstream = "orders"
strip_prefix = "/orders"
request_headers = { set = { X-Env = "prod" }, remove = ["Accept-Encoding"] }

[[routes]]
name = "orders-admin"
hosts = ["shop.example.com"]
path = "/orders/admin"
roles_any = ["admin", "ops"]
roles_all = ["user"]
networks = ["10.0.0.0/8"]
upstream = "orders"

[[routes]]
name = "reports"
hosts = ["*.example.com"]
path = "/reports"
methods = ["GET"]
credentials = ["session"]
upstream = "orders"

[[routes]]
name = "machines"
hosts = ["shop.example.com"]
path = "/machines"
credentials = ["basic"]
rate_limit = { requests = 5, per = "1m", by = "user" }
upstream = "orders"

[[routes]]
name = "trial"
hosts = ["shop.example.com"]
path = "/trial"
roles_any = ["tester"]
shadow = true
upstream = "orders"

[[routes]]
name = "home"
path = "/"
access = "public"
upstream = "orders"
"#;

/// The cases: what stands behind `$ doorward explain`, and what it says. One file, cut at the lines that begin with `$`.
const TEXTS: &str = include_str!("texts.txt");
const DOCUMENTS: &str = include_str!("documents.txt");

fn cases(file: &str) -> Vec<(String, String)> {
    let mut cases: Vec<(String, String)> = Vec::new();
    for line in file.lines() {
        match line.strip_prefix("$ doorward explain ") {
            Some(arguments) => cases.push((arguments.to_owned(), String::new())),
            None => {
                let (_, said) = cases.last_mut().expect("a case begins with `$`");
                said.push_str(line);
                said.push('\n');
            }
        }
    }
    cases
}

/// Words, of which those between single quotes may hold blanks.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in text.split('\'').enumerate() {
        match number % 2 {
            1 => words.push(part.to_owned()),
            _ => words.extend(part.split_whitespace().map(str::to_owned)),
        }
    }
    words
}

fn all_as_written(file: &str, name: &str) {
    let place = Place::with(CONFIG);
    let mut written = String::new();
    for (arguments, _) in cases(file) {
        let mut all = vec!["explain".to_owned()];
        all.extend(words(&arguments));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let ended = place.run(&all);
        assert_eq!(
            (
                ended.status,
                ended
                    .err
                    .lines()
                    .filter(|line| !line.starts_with("warning:") && !line.starts_with("  "))
                    .count()
            ),
            (0, 0),
            "{arguments}: {ended:?}"
        );
        written.push_str(&format!("$ doorward explain {arguments}\n{}", ended.out));
    }
    // Where this fails after a change that is meant: look at each line of the difference, then put the file in place.
    if written != file {
        let folder = std::env::temp_dir().join(format!("doorward-{name}"));
        std::fs::write(&folder, &written).unwrap();
        for (one, other) in written.lines().zip(file.lines()) {
            assert_eq!(one, other, "{name}; what was said is in {}", folder.display());
        }
        panic!(
            "{name} has more or fewer lines; what was said is in {}",
            folder.display()
        );
    }
}

#[test]
fn text_for_people_is_exactly_this() {
    all_as_written(TEXTS, "texts.txt");
    assert!(cases(TEXTS).len() >= 12);
}

#[test]
fn json_for_machines_is_exactly_this() {
    all_as_written(DOCUMENTS, "documents.txt");
    for (arguments, said) in cases(DOCUMENTS) {
        let document: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments}: {error}"));
        assert!(document["decision"]["decision"].is_string());
    }
}

#[test]
fn users_and_tokens_are_looked_at_as_the_gateway_looks_at_them() {
    let place = Place::with(CONFIG);
    let url = "https://shop.example.com/orders";
    let unknown = place.run(&["explain", "GET", url, "--user", "alice"]);
    assert_eq!(unknown.status, 1, "{unknown:?}");
    assert!(
        unknown.err.contains("error: ") && unknown.err.contains("hint: "),
        "{unknown:?}"
    );
    assert_eq!(place.run(&["migrate"]).status, 0);
    let store = rusqlite::Connection::open(place.path("data/doorward.db")).unwrap();
    store
        .execute(
            "INSERT INTO users (username, roles, is_active) VALUES ('alice', 'user,ops', 1), ('bob', '', 0)",
            [],
        )
        .unwrap();
    let said = place.run(&["explain", "GET", url, "--user", "alice"]);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(
        said.out.contains("from 192.0.2.1, alice (roles user, ops; bearer)"),
        "{said:?}"
    );
    assert!(
        said.out.contains("X-User: alice") && said.out.contains("X-User-Roles: user,ops"),
        "{said:?}"
    );
    let bob = place.run(&["explain", "GET", url, "--user", "bob"]);
    assert_eq!(bob.status, 1);
    assert!(bob.err.contains("the user is deactivated"), "{bob:?}");
    let bad = place.run(&["explain", "GET", url, "--token", "a.b.c"]);
    assert_eq!(bad.status, 0, "{bad:?}");
    assert!(bad.out.contains("note: the token is not good: "), "{bad:?}");
    assert!(bad.out.contains("refused with 401 invalid_token"), "{bad:?}");
}

#[test]
fn wrong_usage_is_told_and_nothing_is_explained() {
    let place = Place::with(CONFIG);
    for (arguments, part) in [
        (&["explain"][..], "METHOD"),
        (&["explain", "GET"], "URL"),
        (&["explain", "GET", "ftp://h/"], "neither https nor http"),
        (&["explain", "GET", "https://u:p@h/"], "name or password"),
        (&["explain", "G T", "/"], "no method"),
        (&["explain", "GET", "/", "--roles", "a", "--user", "b"], "--user"),
        (&["explain", "GET", "/", "--client", "here"], "--client"),
        (&["explain", "GET", "/", "--header", "nonsense"], "Name: value"),
        (&["explain", "GET", "/", "--header", "Host: x"], "the URL says"),
        (
            &["explain", "GET", "/", "--header", "Authorization: Bearer x"],
            "--token",
        ),
        (
            &["explain", "GET", "/", "--header", "Authorization: Basic eDp5"],
            "--credential",
        ),
        (&["explain", "GET", "/", "--token", "dwk_abc"], "--credential api-key"),
    ] {
        let ended = place.run(arguments);
        assert_eq!((ended.status, ended.out.as_str()), (2, ""), "{ended:?}");
        assert!(ended.err.contains(part), "{part}: {ended:?}");
    }
    // Whatever is wrong with it, a secret is not told.
    for header in [
        "Authorization: Bearer s3cret",
        "Authorization Bearer s3cret",
        "Bearer s3cret: x",
        "X-Api-Key: s3cret\u{7}",
        "Host: s3cret",
    ] {
        let ended = place.run(&["explain", "GET", "/", "--header", header]);
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(!ended.err.contains("s3cret"), "{ended:?}");
    }
    place.write("doorward.toml", "[routes]\n");
    let ended = place.run(&["explain", "GET", "/"]);
    assert_eq!(ended.status, 2);
}

#[test]
fn nothing_that_was_asked_for_moves_the_cursor_or_begins_a_line() {
    let place = Place::with(CONFIG);
    for (url, escaped) in [
        ("https://shop.example.com/a\u{1b}[2J", "/a\\u{1b}[2J"),
        (
            "https://shop.example.com/a\nallowed: it goes to the backend",
            "/a\\u{a}allowed",
        ),
        (
            "https://shop\u{1b}]0;x\u{7}.example.com/",
            "shop\\u{1b}]0;x\\u{7}.example.com",
        ),
        ("https://shop\nallowed.example.com/", "shop\\u{a}allowed.example.com"),
        ("/a\r\u{9b}2J\u{202e}", "/a\\u{d}\\u{9b}2J\\u{202e}"),
    ] {
        let ended = place.run(&["explain", "GET", url]);
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended.out.contains(escaped), "{ended:?}");
        let moves = |character: char| character.is_control() && character != '\n';
        assert!(!ended.out.contains(moves) && !ended.err.contains(moves), "{ended:?}");
        assert!(!ended.out.contains("\nallowed"), "{ended:?}");
    }
}

fn explained(place: &Place, arguments: &[&str]) -> Value {
    let ended = place.run(&[&["explain", "GET"], arguments, &["--json"]].concat());
    assert_eq!(ended.status, 0, "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[test]
fn a_forward_auth_question_is_only_for_proxies() {
    let place = Place::with(&format!("trusted_proxies = [\"10.0.0.1\"]\n{CONFIG}"));
    for target in ["nginx", "traefik", "caddy?a=b", "envoy/orders"] {
        let url = format!("https://shop.example.com/auth/{target}");
        let stranger = explained(&place, &[&url]);
        assert_eq!(stranger["decision"]["decision"], "refuse", "{stranger}");
        assert_eq!(stranger["decision"]["reason"], "untrusted_proxy", "{stranger}");
        assert_eq!(stranger["decision"]["status"], 403, "{stranger}");
        assert!(
            stranger["notes"][0]
                .as_str()
                .unwrap()
                .contains("only trusted_proxies may ask"),
            "{stranger}"
        );
        assert_eq!(stranger["answer"]["status"], 403, "{stranger}");
        let proxy = explained(&place, &[&url, "--client", "10.0.0.1"]);
        // Envoy's alone says by its own path what it is about.
        let (decision, reason) = match target.starts_with("envoy") {
            true => ("refuse", "credentials_required"),
            false => ("refuse", "invalid_question"),
        };
        assert_eq!(
            (&proxy["decision"]["decision"], &proxy["decision"]["reason"]),
            (&decision.into(), &reason.into()),
            "{proxy}"
        );
    }
    let about = [
        "https://shop.example.com/auth/nginx",
        "--client",
        "10.0.0.1",
        "--header",
        "X-Original-Method: GET",
        "--header",
        "X-Original-URL: https://shop.example.com/orders/7",
    ];
    let nobody = explained(&place, &about);
    assert_eq!(nobody["decision"]["status"], 401, "{nobody}");
    assert_eq!(nobody["place"]["name"], "orders", "{nobody}");
    let ann = explained(&place, &[&about[..], &["--roles", "user"]].concat());
    assert_eq!(ann["answer"]["status"], 200, "{ann}");
    assert_eq!(ann["decision"]["goes_to"], "gateway", "{ann}");
    assert_eq!(ann["forward_auth"].as_array().unwrap().len(), 1, "{ann}");
}

#[test]
fn our_own_token_goes_on_to_no_public_backend() {
    let place = Place::with(CONFIG);
    let said = explained(
        &place,
        &["https://shop.example.com/", "--roles", "user", "--credential", "bearer"],
    );
    let names = |list: &str| -> Vec<String> {
        let fields = said["forwarding"][list].as_array().unwrap();
        fields
            .iter()
            .map(|field| field["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(names("stripped").contains(&"Authorization".to_owned()), "{said}");
    assert!(!names("kept").contains(&"Authorization".to_owned()), "{said}");
}

#[test]
fn whoever_shows_a_credential_in_the_clear_is_led_nowhere() {
    let place = Place::with(&format!(
        "{CONFIG}\n[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = \"redirect\"\n"
    ));
    let url = "http://shop.example.com/orders";
    let nobody = explained(&place, &[url]);
    assert_eq!(nobody["decision"]["status"], 308, "{nobody}");
    for shown in [
        &["--roles", "user"][..],
        &["--roles", "user", "--credential", "session"],
        &["--token", "a.b.c"],
    ] {
        let said = explained(&place, &[&[url], shown].concat());
        assert_eq!(said["decision"]["status"], 403, "{said}");
        assert_eq!(said["decision"]["reason"], "https_required", "{said}");
        assert_eq!(said["browser"], Value::Null, "{said}");
    }
}

/// Who only asks makes no store, least of all where they stand in the wrong folder.
#[test]
fn a_store_that_is_not_there_is_not_made() {
    let place = Place::with(CONFIG);
    // {"alg":"EdDSA","typ":"at+jwt","kid":"a"} . {"iss":"https://shop.example.com","exp":9999999999} . signature
    let token = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImEifQ.\
                 eyJpc3MiOiJodHRwczovL3Nob3AuZXhhbXBsZS5jb20iLCJleHAiOjk5OTk5OTk5OTl9.c2lnbmF0dXJl";
    let parts = ["no store at /", "data/doorward.db", "relative to the working directory"];
    let get = ["explain", "GET", "https://shop.example.com/orders/7"];
    for arguments in [
        [&get[..], &["--user", "ann"]].concat(),
        [&get[..], &["--token", token]].concat(),
        vec!["token", "inspect", token],
    ] {
        let ended = place.run(&arguments);
        assert_eq!((ended.status, ended.out.contains("503")), (1, false), "{ended:?}");
        for part in parts {
            assert!(ended.err.contains(part), "{part}: {ended:?}");
        }
    }
    for arguments in [&get[..], &[&get[..], &["--roles", "user"]].concat()] {
        assert_eq!(place.run(arguments).status, 0);
    }
    // Nor is it asked for where it makes no difference.
    let bad = place.run(&[&get[..], &["--token", "nonsense"]].concat());
    assert!(bad.status == 0 && bad.out.contains("malformed"), "{bad:?}");
    assert!(!place.0.path().join("data").exists(), "it was made");
}
