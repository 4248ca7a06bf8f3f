//! Texts with mistakes, and where they must be reported.

use super::*;

/// Each text, in front of nothing, with the line and key of every error.
const ALONE: &[(&str, &[(usize, &str)])] = &[
    // Types and keys.
    ("workers = \"2\"", &[(1, "workers")]),
    ("workers = -1", &[(1, "workers")]),
    ("workers = 5000", &[(1, "workers")]),
    ("data_dir = \"\"", &[(1, "data_dir")]),
    ("wokers = 2", &[(1, "wokers")]),
    (
        "tls = 3\nstore = [1]\nroutes = {}\nlisteners = [3]",
        &[(1, "tls"), (2, "store"), (3, "routes"), (4, "listeners")],
    ),
    ("admin = [\"127.0.0.1:9100\"]", &[(1, "admin")]),
    ("[admin]\naddress.x = 1", &[(2, "admin.address")]),
    (
        "trusted_proxies = [\"10.0.0.1/8\", 3, \"ten\"]",
        &[
            (1, "trusted_proxies[0]"),
            (1, "trusted_proxies[1]"),
            (1, "trusted_proxies[2]"),
        ],
    ),
    // Listeners and the admin address.
    (
        "[[listeners]]\naddress = \":80\"\n[[listeners]]\naddress = \"localhost:1\"",
        &[(2, "listeners[0].address"), (4, "listeners[1].address")],
    ),
    ("[[listeners]]", &[(1, "listeners[0].address")]),
    (
        "[[listeners]]\naddress = \"127.0.0.1:1\"\nprotocol = \"tls\"",
        &[(3, "listeners[0].protocol")],
    ),
    (
        "[[listeners]]\naddress = \"127.0.0.1:1\"\n[[listeners]]\naddress = \"0.0.0.0:1\"",
        &[(4, "listeners[1].address")],
    ),
    ("[[listeners]]\naddress = \"0.0.0.0:9100\"", &[(0, "admin.address")]),
    ("[admin]\naddress = \"127.0.0.1:8443\"", &[(2, "admin.address")]),
    (
        "[admin]\nrole = \"a,b\"\nnetworks = [\"x\"]",
        &[(2, "admin.role"), (3, "admin.networks[0]")],
    ),
    (
        "[[listeners]]\naddress = \"127.0.0.1:1\"\nprotocol = \"redirect\"\nredirect_port = 0",
        &[(4, "listeners[0].redirect_port")],
    ),
    // TLS and the store.
    (
        "[tls]\nmin_version = \"1.1\"\ncertificates = [{ cert = \"no.pem\" }]",
        &[
            (2, "tls.min_version"),
            (3, "tls.certificates[0].key"),
            (3, "tls.certificates[0].cert"),
        ],
    ),
    (
        "[tls]\nclient_ca = \"no.pem\"\nclient_auth = \"must\"",
        &[(2, "tls.client_ca"), (3, "tls.client_auth")],
    ),
    // Without authorities there is nothing to ask for.
    ("[tls]\nclient_auth = \"optional\"", &[(2, "tls.client_auth")]),
    ("[tls]\nclient_auth = \"required\"", &[(2, "tls.client_auth")]),
    ("[store]\nurl = \"mysql://x\"", &[(2, "store.url")]),
    ("[store]\nurl = \"postgres:///db\"", &[(2, "store.url")]),
    ("[store]\nurl = \"postgres://a:99999/db\"", &[(2, "store.url")]),
    ("[store]\nurl = \"postgres://a/db?sslmode=on\"", &[(2, "store.url")]),
    (
        "[store]\nurl = \"sqlite::memory:\"\npool_size = 0\nconnect_timeout = \"0s\"",
        &[(2, "store.url"), (3, "store.pool_size"), (4, "store.connect_timeout")],
    ),
    (
        "[store]\npassword = \"a\"\npassword_file = \"b\"",
        &[(3, "store.password_file")],
    ),
    (
        "[store]\npassword_file = \"/does/not/exist\"",
        &[(2, "store.password_file")],
    ),
    // Tokens and other issuers.
    ("[tokens]\nalgorithm = \"RS512\"", &[(2, "tokens.algorithm")]),
    ("[tokens]\nalgorithm = \"HS256\"", &[(1, "tokens.secret_file")]),
    ("[tokens]\naccess_ttl = \"8d\"", &[(2, "tokens.access_ttl")]),
    ("[tokens]\nrefresh_ttl = \"6d\"", &[(2, "tokens.refresh_ttl")]),
    (
        "[tokens]\naccess_ttl = \"500ms\"\nrefresh_idle = \"0s\"",
        &[(2, "tokens.access_ttl"), (3, "tokens.refresh_idle")],
    ),
    (
        "[tokens]\naccess_ttl = \"15 minutos\"\nleeway = 3\nmax_length = \"1\"\nissuer = \"a b\"\naudience = [\"\"]",
        &[
            (2, "tokens.access_ttl"),
            (3, "tokens.leeway"),
            (4, "tokens.max_length"),
            (5, "tokens.issuer"),
            (6, "tokens.audience[0]"),
        ],
    ),
    (
        "[[tokens.trusted_issuers]]",
        &[
            (1, "tokens.trusted_issuers[0].issuer"),
            (1, "tokens.trusted_issuers[0].algorithms"),
            (1, "tokens.trusted_issuers[0].jwks_file"),
            (1, "tokens.trusted_issuers[0].audience"),
            (1, "tokens.trusted_issuers[0].users"),
        ],
    ),
    // The gateway's own tables.
    (
        "[endpoints]\nhosts = [\"https://a\", \"*.b\", \"c:1\", \"ä.example\"]\napi = \"api\"\npages = \"/\"",
        &[
            (2, "endpoints.hosts[0]"),
            (2, "endpoints.hosts[1]"),
            (2, "endpoints.hosts[2]"),
            (2, "endpoints.hosts[3]"),
            (3, "endpoints.api"),
            (4, "endpoints.pages"),
        ],
    ),
    ("[endpoints]\napi = \"/x/\"\npages = \"/x\"", &[(3, "endpoints.pages")]),
    ("[endpoints]\napi = \"/auth/envoy\"", &[(1, "endpoints.pages")]),
    (
        "[accounts]\nregistration = \"opn\"\ndefault_roles = [\"user\", \"doorward-admin\", \"a,b\"]",
        &[
            (2, "accounts.registration"),
            (3, "accounts.default_roles[2]"),
            (3, "accounts.default_roles[1]"),
        ],
    ),
    (
        "[passwords]\nmemory = \"1GiB\"\nqueue = 0\nmin_length = 65\nmax_concurrent = 2000",
        &[
            (2, "passwords.memory"),
            (3, "passwords.queue"),
            (4, "passwords.min_length"),
            (5, "passwords.max_concurrent"),
        ],
    ),
    (
        "[throttle]\nlogin_failures = 0\nlogin_failures_per_address = 0\nwindow = \"0s\"",
        &[
            (2, "throttle.login_failures"),
            (3, "throttle.login_failures_per_address"),
            (4, "throttle.window"),
        ],
    ),
    (
        "[cors]\nallowed_origins = [\"*\"]\nallow_credentials = true",
        &[(3, "cors.allow_credentials")],
    ),
    (
        "[cors]\nallowed_origins = [\"*\", \"https://a.example\"]",
        &[(2, "cors.allowed_origins")],
    ),
    (
        "[cors]\nallowed_methods = [\"get\", \"A B\"]\nallowed_origins = [\"null\", \"a.example\", \"https://a.example/\", \"https://A.example\", \"https://a.example:443\"]",
        &[
            (2, "cors.allowed_methods[0]"),
            (2, "cors.allowed_methods[1]"),
            (3, "cors.allowed_origins[0]"),
            (3, "cors.allowed_origins[1]"),
            (3, "cors.allowed_origins[2]"),
            (3, "cors.allowed_origins[3]"),
            (3, "cors.allowed_origins[4]"),
        ],
    ),
    (
        "[identity_headers]\nuser = \"Host\"\nid = \"x user\"\nroles = \"X-A\"\nemail = \"X_a\"",
        &[
            (2, "identity_headers.user"),
            (3, "identity_headers.id"),
            (5, "identity_headers.email"),
        ],
    ),
    (
        "[identity_headers]\nuser = \"Authorization\"\nid = \"X-Forwarded-User\"\nroles = \"Cache-Control\"",
        &[
            (2, "identity_headers.user"),
            (3, "identity_headers.id"),
            (4, "identity_headers.roles"),
        ],
    ),
    ("[log]\nlevel = \"verbose\"", &[(2, "log.level")]),
    ("[timeouts]\nidle = \"0s\"\ndrain = \"0s\"", &[(2, "timeouts.idle")]),
    (
        "[limits]\nconnections = 0\nheader_bytes = \"1KiB\"",
        &[(2, "limits.connections"), (3, "limits.header_bytes")],
    ),
    // Upstreams.
    (
        "[[upstreams]]",
        &[(1, "upstreams[0].name"), (1, "upstreams[0].servers")],
    ),
    (
        "[[upstreams]]\nname = \"a\"\nservers = [\"http://a\"]\n[[upstreams]]\nname = \"a\"\nservers = [\"ftp://a\", \"b:1\"]",
        &[
            (5, "upstreams[1].name"),
            (6, "upstreams[1].servers[0]"),
            (6, "upstreams[1].servers[1]"),
        ],
    ),
    (
        "[[upstreams]]\nname = \"a\"\nservers = [\"https://a\"]\ntls = { ca = \"no.pem\", client_cert = \"x\", server_name = \"a:1\" }\nmax_requests = 0",
        &[
            (4, "upstreams[0].tls.client_key"),
            (4, "upstreams[0].tls.ca"),
            (4, "upstreams[0].tls.client_cert"),
            (4, "upstreams[0].tls.server_name"),
            (5, "upstreams[0].max_requests"),
        ],
    ),
];

/// The same, each appended to the good configuration's route.
const ROUTE: &[(&str, &[&str])] = &[
    ("path = \"app\"", &["path"]),
    ("path = \"\"", &["path"]),
    ("path = \"/a//b\"", &["path"]),
    ("path = \"/a/../b\"", &["path"]),
    ("path = \"/a%20b\"", &["path"]),
    ("path = \"/a;b\"", &["path"]),
    ("path = \"/a?b\"", &["path"]),
    ("path = \"/a#b\"", &["path"]),
    ("path = \"/a/*\"", &["path"]),
    ("path = \"/a\\\\b\"", &["path"]),
    ("path = \"/50%\"", &["path"]),
    ("path = \"/api/login\"", &["path"]),
    ("path = \"/api/\"", &["path"]),
    ("path = \"/api/admin\"", &["path"]),
    ("path = \"/api/sessions/x\"", &["path"]),
    ("path = \"/api/keys/x/y\"", &["path"]),
    ("path = \"/auth/envoy/x\"", &["path"]),
    ("path = \"/auth/nginx\"", &["path"]),
    ("path = \"/.well-known/jwks.json\"", &["path"]),
    ("name = \"a b\"", &["name"]),
    (
        "hosts = [\"a:1\", \"*.*.b\", \"*\", \"1.2.3\", \"[::g]\", \"\"]",
        &["hosts[0]", "hosts[1]", "hosts[2]", "hosts[3]", "hosts[4]", "hosts[5]"],
    ),
    (
        "methods = [\"get\", \"CONNECT\", \"\"]",
        &["methods[0]", "methods[1]", "methods[2]"],
    ),
    ("access = \"puplic\"", &["access"]),
    (
        "access = \"public\"\nroles_any = []\nroles_all = [\"a\"]",
        &["roles_any", "roles_all"],
    ),
    ("access = \"deny\"\nroles_any = [\"a\"]", &["roles_any"]),
    (
        "roles_all = [\"\", \"a,b\", \" a\"]",
        &["roles_all[0]", "roles_all[1]", "roles_all[2]"],
    ),
    ("networks = [\"10.0.0.0/33\"]", &["networks[0]"]),
    ("credentials = []", &["credentials"]),
    ("upstream = \"\"", &["upstream"]),
    ("upstream = \"ap\"", &["upstream"]),
    ("strip_prefix = \"/ap\"", &["strip_prefix"]),
    ("strip_prefix = \"/app/x\"", &["strip_prefix"]),
    ("strip_prefix = \"/\"", &["strip_prefix"]),
    ("host_header = \"a b\"", &["host_header"]),
    ("max_body = \"0\"", &["max_body"]),
    ("max_body = \"much\"", &["max_body"]),
    ("preflight = \"no\"\nambiguous = \"no\"", &["preflight", "ambiguous"]),
    (
        "request_headers.set = { X-User = \"a\", x_user_roles = \"a\", Host = \"a\", Connection = \"a\", Forwarded = \"a\" }",
        &[
            "request_headers.set.X-User",
            "request_headers.set.x_user_roles",
            "request_headers.set.Host",
            "request_headers.set.Connection",
            "request_headers.set.Forwarded",
        ],
    ),
    (
        "request_headers = { set = { \"a b\" = \"c\", X-A = \"a\\nb\" }, remove = [\"Host\", \"a b\"] }",
        &[
            "request_headers.set.\"a b\"",
            "request_headers.set.X-A",
            "request_headers.remove[0]",
            "request_headers.remove[1]",
        ],
    ),
    (
        "request_headers.remove = [\"X-User\", \"x_user_id\", \"Content-Length\", \"Transfer-Encoding\", \"X-Forwarded-For\"]",
        &[
            "request_headers.remove[0]",
            "request_headers.remove[1]",
            "request_headers.remove[2]",
            "request_headers.remove[3]",
        ],
    ),
    (
        "rate_limit = { requests = 1, per = \"0s\", by = \"address\" }",
        &["rate_limit.per", "rate_limit.by"],
    ),
    (
        "response_headers.remove = [\"Content-Length\", \"Connection\", \"X-User\"]",
        &["response_headers.remove[0]", "response_headers.remove[1]"],
    ),
    (
        "response_headers.set = { Content-Length = \"1\" }",
        &["response_headers.set.Content-Length"],
    ),
    ("header = 1", &["header"]),
];

#[test]
fn each_mistake_is_reported_at_its_place_and_nothing_else_is() {
    for (text, expected) in ALONE {
        let expected: Vec<_> = expected.iter().map(|(line, key)| (*line, (*key).to_owned())).collect();
        let mut found = errors(text);
        let mut wanted = expected.clone();
        found.sort();
        wanted.sort();
        assert_eq!(
            found,
            wanted,
            "{text}\n{}",
            read(text).err().map(|all| all.to_string()).unwrap_or_default()
        );
    }
}

#[test]
fn each_mistake_of_a_route_is_reported_at_its_place_and_nothing_else_is() {
    for (text, expected) in ROUTE {
        let whole = with_route(text);
        let mut found: Vec<String> = errors(&whole).into_iter().map(|(_, key)| key).collect();
        let mut wanted: Vec<String> = expected.iter().map(|key| format!("routes[0].{key}")).collect();
        found.sort();
        wanted.sort();
        assert_eq!(
            found,
            wanted,
            "{whole}\n{}",
            read(&whole).err().map(|all| all.to_string()).unwrap_or_default()
        );
    }
}

/// A route of which only these keys are not what they should be.
fn with_route(text: &str) -> String {
    let said = |line: &&str| {
        line.split_once(" = ")
            .is_some_and(|(key, _)| text.lines().any(|said| said.starts_with(&format!("{key} = "))))
    };
    let (upstream, route) = GOOD.split_once("[[routes]]").unwrap();
    let route: Vec<&str> = route.lines().filter(|line| !said(line)).collect();
    format!("{upstream}[[routes]]{}\n{text}\n", route.join("\n"))
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines() {
    let text = r#"wacth = true
workers = "many"
[[listeners]]
address = "8443"
[store]
url = "oracle://db"
[tokens]
access_ttl = "soon"
[cors]
allowed_origins = ["*"]
allow_credentials = true
[[upstreams]]
name = "orders"
servers = ["127.0.0.1:9001"]
[[routes]]
name = "orders"
path = "orders"
upstream = "oders"
[[routes]]
name = "orders"
path = "/x"
access = "public"
roles_any = ["a"]
"#;
    let expected = [
        (1, "wacth"),
        (2, "workers"),
        (4, "listeners[0].address"),
        (6, "store.url"),
        (8, "tokens.access_ttl"),
        (11, "cors.allow_credentials"),
        (14, "upstreams[0].servers[0]"),
        (17, "routes[0].path"),
        (18, "routes[0].upstream"),
        (19, "routes[1].upstream"),
        (20, "routes[1].name"),
        (23, "routes[1].roles_any"),
    ];
    assert_eq!(errors(text), expected.map(|(line, key)| (line, key.to_owned())));
}

#[test]
fn a_problem_says_what_was_found_what_is_accepted_and_what_to_do() {
    let text = GOOD.replace("path = \"/app\"", "path = \"orders\"") + "acess = \"public\"\n";
    let Err(problems) = read(&text) else { panic!("accepted") };
    assert_eq!(
        problems.to_string(),
        "error: test.toml:7:8: routes[0].path: found \"orders\", accepted: a path that starts with \"/\", without \"//\", dot \
         segments, \"%\", \";\", \"?\" and \"#\"\n  \
         hint: write \"/orders\"\n\
         error: test.toml:9:1: routes[0].acess: found the unknown key \"acess\", accepted: a known key\n  \
         hint: did you mean \"access\"?"
    );
    let Err(Problems(problems)) = read(&GOOD.replace("upstream = \"app\"", "upstream = \"apps\"")) else {
        panic!("accepted")
    };
    assert_eq!(problems[0].hint.as_deref(), Some("did you mean \"app\"?"));
}

#[test]
fn routes_that_no_request_can_tell_apart_are_refused_by_name() {
    let with = |first: &str, second: &str| {
        let head = "[[upstreams]]\nname = \"a\"\nservers = [\"http://a\"]\n";
        let route = |name: &str, rest: &str| format!("[[routes]]\nname = \"{name}\"\nupstream = \"a\"\n{rest}\n");
        read(&format!("{head}{}{}", route("one", first), route("two", second)))
    };
    for (first, second) in [
        ("path = \"/\"", "path = \"/\""),
        ("path = \"/a\"", "path = \"/a/\""),
        ("path = \"/a\"", "path = \"/a\"\nmethods = [\"GET\"]"),
        (
            "path = \"/a\"\nmethods = [\"GET\"]",
            "path = \"/a\"\nmethods = [\"HEAD\", \"POST\"]",
        ),
        (
            "path = \"/a\"\nhosts = [\"a.example\"]",
            "path = \"/a\"\nhosts = [\"b.example\", \"A.example.\"]",
        ),
    ] {
        let Err(problems) = with(first, second) else {
            panic!("{first} beside {second}")
        };
        let text = problems.to_string();
        assert!(
            problems.0.len() == 1 && text.contains("\"one\"") && text.contains("\"two\""),
            "{text}"
        );
    }
    for (first, second) in [
        ("path = \"/a\"", "path = \"/a/b\""),
        (
            "path = \"/a\"\nmethods = [\"GET\"]",
            "path = \"/a\"\nmethods = [\"POST\"]",
        ),
        (
            "path = \"/a\"\nhosts = [\"a.example\"]",
            "path = \"/a\"\nhosts = [\"b.example\"]",
        ),
        (
            "path = \"/a\"\nhosts = [\"*.example\"]",
            "path = \"/a\"\nhosts = [\"b.example\"]",
        ),
        ("path = \"/a\"", "path = \"/a\"\nhosts = [\"b.example\"]"),
    ] {
        assert!(with(first, second).is_ok(), "{first} beside {second}");
    }
}

#[test]
fn routes_around_the_gateways_own_urls_are_not_in_conflict() {
    for path in [
        "/",
        "/api/orders",
        "/apis",
        "/auth/nginxs",
        "/api/login/x",
        "/auth/other",
    ] {
        config(&GOOD.replace("\"/app\"", &format!("{path:?}")));
    }
    let own = GOOD.replace("\"/app\"", "\"/api/login\"");
    assert_eq!(errors(&own).len(), 1);
    config(&format!("[endpoints]\napi = \"/gateway/api\"\n{own}"));
    config(&format!("[endpoints]\napi = \"\"\n{own}"));
    config(&format!(
        "[endpoints]\nhosts = [\"login.example\"]\n{own}hosts = [\"shop.example\"]\n"
    ));
    assert_eq!(
        errors(&format!(
            "[endpoints]\nhosts = [\"login.example\"]\n{own}hosts = [\"*.example\"]\n"
        ))
        .len(),
        1
    );
    // Forward-auth answers on every host.
    let forward_auth = GOOD.replace("\"/app\"", "\"/auth/traefik\"") + "hosts = [\"shop.example\"]\n";
    assert_eq!(
        errors(&format!("[endpoints]\nhosts = [\"login.example\"]\n{forward_auth}")).len(),
        1
    );
}

#[test]
fn what_is_allowed_and_likely_not_meant_is_a_warning() {
    for (text, expected) in [
        ("trusted_proxies = [\"0.0.0.0/0\"]", vec![(1, "trusted_proxies[0]")]),
        ("[admin]\naddress = \"0.0.0.0:9100\"", vec![(2, "admin.address")]),
        (
            "[endpoints]\nhosts = [\"login.example.com\", \"login.example.org\"]\n[cookies]\ndomain = \"example.com\"",
            vec![(2, "endpoints.hosts[1]")],
        ),
        (
            "[[listeners]]\naddress = \"0.0.0.0:80\"\nprotocol = \"redirect\"\n[tokens]\nissuer = \"x\"",
            vec![(1, "listeners")],
        ),
        (
            "[[listeners]]\naddress = \"0.0.0.0:80\"",
            vec![(0, "tls.certificates"), (0, "tokens.issuer")],
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:80\"\nprotocol = \"http\"\nproxy_protocol = true",
            vec![(4, "listeners[0].proxy_protocol")],
        ),
        ("[store]\npassword = \"x\"", vec![(2, "store.password")]),
        ("[tokens]\nleeway = \"1h\"", vec![(2, "tokens.leeway")]),
        (
            "[[upstreams]]\nname = \"a\"\nservers = [\"http://a\"]",
            vec![(2, "upstreams[0].name")],
        ),
        (&format!("{GOOD}roles_any = []"), vec![(9, "routes[0].roles_any")]),
    ] {
        let mut found = warnings(text);
        found.sort();
        let mut expected: Vec<_> = expected.into_iter().map(|(line, key)| (line, key.to_owned())).collect();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(warnings(GOOD), []);
    assert_eq!(warnings(""), []);
}

#[test]
fn broken_toml_is_told_with_its_place_alone() {
    for (text, line) in [
        ("a = ", 1),
        ("\n[tls\nx = 1", 2),
        ("a = 1\na = 2", 2),
        ("workers = 99999999999999999999", 1),
    ] {
        let Err(Problems(problems)) = read(text) else {
            panic!("{text}")
        };
        assert_eq!(
            (problems[0].line, problems[0].key.as_str()),
            (Some(line), ""),
            "{text}: {problems:?}"
        );
    }
}

#[test]
fn a_login_elsewhere_needs_a_cookie_that_comes_to_all_routes() {
    let login = |url: &str, more: &str| {
        format!(
            "{more}{GOOD}hosts = [\"shop.example.com\", \"*.eu.example.com\"]\n[forward_auth]\nlogin_url = {url:?}\n"
        )
    };
    let key = |text: &str| errors(text).into_iter().map(|(_, key)| key).collect::<Vec<_>>();
    let domain = "[cookies]\ndomain = \"example.com\"\n";
    for (url, more) in [
        ("https://login.example.com/in", domain),
        ("https://shop.example.com/in", domain),
        ("/in", ""),
        ("", ""),
    ] {
        assert_eq!(errors(&login(url, more)), [], "{url}");
    }
    for (url, more) in [
        ("https://login.example.com/in", ""),
        ("https://login.example.org/in", domain),
        (
            "https://login.example.com/in",
            "[cookies]\ndomain = \"eu.example.com\"\n",
        ),
        ("http://login.example.com/in", domain),
        ("login.example.com", domain),
        ("https://login.example.com/#x", domain),
        ("https://a@login.example.com/", domain),
    ] {
        assert_eq!(key(&login(url, more)), ["forward_auth.login_url"], "{url}");
    }
    // Where no cookie counts it need not come.
    let tokens = login("https://login.example.com/in", "")
        .replace("[forward_auth]", "credentials = [\"bearer\"]\n[forward_auth]");
    assert_eq!(errors(&tokens), []);
    let hosts = "[forward_auth]\nallowed_redirect_hosts = [\"a.example\", \"*.example\", \"https://a.example\", \"a.example:80\"]";
    let places = [1, 2, 3].map(|index| format!("forward_auth.allowed_redirect_hosts[{index}]"));
    assert_eq!(key(hosts), places);
    let settings = config("[forward_auth]\nallowed_redirect_hosts = [\"A.Example.\"]").forward_auth;
    assert_eq!(settings.allowed_redirect_hosts, ["a.example"]);
}

#[test]
fn a_route_that_the_cookie_does_not_reach_is_told() {
    let around = |hosts: &str, keys: &str| {
        let text = format!("[cookies]\ndomain = \"example.com\"\n{GOOD}hosts = {hosts}\n{keys}");
        let keys = warnings(&text).into_iter().map(|(_, key)| key);
        keys.filter(|key| key.contains("hosts")).collect::<Vec<_>>()
    };
    let hosts = "[\"a.example.com\", \"*.example.com\", \"example.com\", \"b.example.org\", \"*.evilexample.com\"]";
    assert_eq!(around(hosts, ""), ["routes[0].hosts[3]", "routes[0].hosts[4]"]);
    assert_eq!(around(hosts, "credentials = [\"bearer\"]"), Vec::<String>::new());
    assert_eq!(around("[\"a.example.com\"]", ""), Vec::<String>::new());
}
