//! No text makes it panic, and no secret is ever printed.

use proptest::prelude::*;

use super::*;
use crate::route::{Entry, MethodSet, PathPattern, RoutePath, Table};

#[test]
fn a_secret_is_not_printed_whatever_is_wrong_with_it() {
    let secret = "hunter2";
    for text in [
        "[store]\nurl = \"postgres://u:hunter2@h/d\"",
        "[store]\nurl = \"postgres://u:hunter2@h:x/d\"",
        "[store]\nurl = \"hunter2\"",
        "[store]\nurl = [\"hunter2\"]",
        "[store]\npassword = [\"hunter2\"]",
        "[store]\npassword = { hunter2 = \"hunter2\" }",
        "[store]\npassword = \"hunter2\"\npassword_file = \"x\"",
        "[store]\npasword = \"hunter2\"",
        "[store]\nlisten_url = \"hunter2\"\nurl = \"postgres://h/d\"",
        "[store]\nlisten_url = \"hunter2\"",
        "[compat]\nsecret = \"hunter2\"",
        "[mail]\npassword = \"hunter2\"\nurl = \"smtps://u:hunter2@h\"",
        "store = \"postgres://u:hunter2@h/d\"",
        "[[upstreams]]\nname = \"a\"\nservers = [\"http://u:hunter2@h\"]",
        "[[upstreams]]\nname = \"a\"\nservers = \"http://u:hunter2@h\"",
        "[[routes]]\nname = \"a\"\npath = \"/\"\nrequest_headers.set.X-Key = \"hunter2\\n\"",
        "[[routes]]\nname = \"a\"\npath = \"/\"\nrequest_headers.set.X-Key = [\"hunter2\"]",
        "[store]\npassword = \"hunter2",
        "[store]\npassword = hunter2",
    ] {
        let (shown, debug) = match read(text) {
            Ok(loaded) => (
                loaded.warnings.iter().map(Problem::to_string).collect(),
                format!("{loaded:?}"),
            ),
            Err(problems) => (problems.to_string(), format!("{problems:?}")),
        };
        assert!(
            !shown.contains(secret) && !debug.contains(secret),
            "{text}\n{shown}\n{debug}"
        );
    }
}

/// Pieces of configurations, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[tokens]",
        "[[routes]]",
        "[[upstreams]]",
        "[[listeners]]",
        "[store]",
        "[endpoints]",
        "[[tokens.trusted_issuers]]",
        "[tls]",
        "[cors]",
        "[passwords]",
        "name = \"a\"",
        "path = \"/a\"",
        "upstream = \"a\"",
        "servers = [\"http://a\"]",
        "address = \"0.0.0.0:1\"",
        "hosts = [\"a\"]",
        "hosts = 3",
        "roles_any = []",
        "url = \"postgres://\"",
        "api = \"/\"",
        "certificates = [{}, 3]",
        "roles = { a = 1 }",
        "roles = \"x\"",
        "algorithms = [\"HS256\"]",
        "memory = -1",
        "iterations = 99999999999",
        "max_body = 1e300",
        "request_headers = { set = { \"\" = \"\" } }",
        "methods = [[[]]]",
        "access_ttl = \"99999999999999999999y\"",
        "a.b.c = 1",
        "\"\" = 1",
        "routes = 3",
        "tls.certificates = 1",
        "networks = [\"::/0\", \"\"]",
        "strip_prefix = \"/\"",
        "health = {}",
        "rate_limit = []",
        "issuer = \"\"",
        "= ",
        "\u{0}",
        "servers = [\"http://[\", \"unix:\", \"://\", \"http://]:\"]",
        "host_header = \"\"",
        "allowed_origins = [\"://\", \"*\"]",
    ];
    prop_oneof![9 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,12}"]
}

/// What was accepted here must be what routing accepts.
fn agrees_with_routing(config: &Config) {
    let entries = config.routes.iter().map(|route| Entry {
        hosts: route.hosts.iter().map(|host| host.parse().unwrap()).collect(),
        pattern: PathPattern::prefix(&route.path).unwrap(),
        methods: route.methods.clone().map(MethodSet::new),
        value: (),
    });
    Table::new(entries.collect()).unwrap();
    for prefix in config.routes.iter().filter_map(|route| route.strip_prefix.as_ref()) {
        prefix.parse::<RoutePath>().unwrap();
    }
}

/// Routes that differ in as little as possible.
fn route() -> impl Strategy<Value = String> {
    let host = prop::sample::select(vec![
        "a.b", "A.B.", "*.b", "[::1]", "[0::1]", "1.2.3.4", "1.2.3", "a-.b", "_a", "xn--a", "*.1", "a..b", ".",
    ]);
    let path = prop_oneof![
        prop::sample::select(vec![
            "/",
            "/a",
            "/a/",
            "/A",
            "/a/b",
            "/ä",
            "/a b",
            "/a|b",
            "/．．",
            "/api",
            "/a\u{ff0f}b",
            "/\u{ff05}41",
            "/ﬀ"
        ])
        .prop_map(str::to_owned),
        "/[a-zA-Zß-ﬀ０-９./|{}^`~ ]{0,6}",
    ];
    let methods = prop::sample::select(vec!["", "\"GET\"", "\"HEAD\"", "\"POST\", \"GET\""]);
    (prop::collection::vec(host, 0..2), path, methods).prop_map(|(hosts, path, methods)| {
        format!("hosts = {hosts:?}\npath = '{path}'\nmethods = [{methods}]\nstrip_prefix = \"\"\naccess = \"deny\"\n")
    })
}

proptest! {
    #[test]
    fn what_is_accepted_here_is_accepted_by_routing(routes in prop::collection::vec(route(), 0..4)) {
        let name = |(index, route)| format!("[[routes]]\nname = \"r{index}\"\n{route}");
        let text: String = routes.iter().enumerate().map(name).collect();
        if let Ok(loaded) = read(&text) {
            agrees_with_routing(&loaded.config);
        }
    }

    #[test]
    fn no_text_makes_it_panic(pieces in prop::collection::vec(piece(), 0..24), port in "\\PC{0,8}", list in "\\PC{0,16}") {
        let variables = [("PORT", port), ("DOORWARD_TRUSTED_PROXIES", list.clone()), ("DATABASE_URL", list)];
        let result = load(&Sources {
            env: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Sources::from_str("test.toml", &pieces.join("\n"))
        });
        if let Ok(loaded) = &result {
            agrees_with_routing(&loaded.config);
        }
        if let Err(Problems(problems)) = result {
            prop_assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            prop_assert!(problems.iter().all(|problem| !problem.accepted.is_empty() && !problem.found.is_empty()));
        }
    }
}
