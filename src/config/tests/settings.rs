//! What a right configuration becomes.

use std::fs;

use super::*;
use crate::account::Registration;
use crate::admission::{HostHeader, Preflight};
use crate::answer::cors::Origins;
use crate::authz::Access;
use crate::token::{Algorithm, KeySource, RoleMapping, UserMapping};
use crate::upstream::{Balance, Place};

#[test]
fn without_a_word_everything_has_its_default() {
    let config = config("");
    let listeners: Vec<_> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(listeners, ["https:127.0.0.1:8443", "http:127.0.0.1:8000"]);
    assert!(config.workers >= 1 && !config.watch);
    assert_eq!(config.throttle, throttle::Settings::default());
    assert_eq!(config.timeouts, registry::Deadlines::default());
    assert_eq!(config.identity, identity::Settings::default());
    assert_eq!(config.endpoints, endpoint::Settings::default());
    assert_eq!(config.log, telemetry::Settings::default());
    assert_eq!(
        (config.tokens.issuer.as_str(), config.tokens.audience.len()),
        ("https://localhost:8443", 1)
    );
    assert_eq!(config.tokens.algorithm, Algorithm::EdDsa);
    assert_eq!(
        config.tls.certificates,
        tls::Certificates::SelfSigned(PathBuf::from("data/tls"))
    );
    assert!(matches!(&config.store.location, store::Location::Sqlite(path) if path == Path::new("data/doorward.db")));
    assert_eq!((config.store.max_staleness, config.store.pool_size), (None, 16));
    assert_eq!(config.accounts.registration, Registration::Closed);
    assert_eq!(config.admin.networks, None);
    assert_eq!(
        config.limits,
        Limits {
            connections: 20_000,
            connections_per_address: 1000,
            header_bytes: 65_536
        }
    );
}

#[test]
fn a_route_and_its_upstream() {
    let config = config(
        r#"
[[upstreams]]
name = "orders"
servers = ["http://127.0.0.1:9001", "https://App.example", "unix:/run/app.sock", "h2c://[::1]:7"]
max_requests = 7
queue_timeout = "0s"
[[routes]]
name = "orders"
hosts = ["Shop.Example.com.", "*.shop.example.com", "[0:0::1]"]
path = "/orders/admin/"
methods = ["GET", "PURGE"]
roles_any = ["admin", "ops"]
roles_all = ["user"]
networks = ["10.0.0.0/8"]
upstream = "orders"
strip_prefix = "/orders"
host_header = "app.internal:8080"
request_headers = { set = { X-Env = "prod", Authorization = "Basic eDp5" }, remove = ["Accept-Encoding"] }
response_headers = { set = { X-User = "fine here" }, remove = ["Server"] }
forward_token = true
max_body = "10MiB"
preflight = "answer"
ambiguous = "refuse"
[[routes]]
name = "closed"
path = "/orders/closed"
access = "deny"
"#,
    );
    let route = &config.routes[0];
    assert_eq!(route.hosts, ["shop.example.com", "*.shop.example.com", "[::1]"]);
    assert_eq!(
        (route.path.as_str(), route.strip_prefix.as_deref()),
        ("/orders/admin", Some("/orders"))
    );
    assert_eq!(route.methods.as_ref().unwrap().len(), 2);
    assert_eq!(route.rule.roles_any.as_deref().unwrap(), ["admin", "ops"]);
    assert!(
        route
            .rule
            .networks
            .as_ref()
            .unwrap()
            .contain("10.0.0.1".parse().unwrap())
    );
    assert!(matches!(&route.host_header, HostHeader::Literal(host) if host == "app.internal:8080"));
    assert_eq!(route.request_headers.set.len(), 2);
    assert_eq!(
        (route.max_body, route.preflight, route.refuse_ambiguous),
        (Some(10 << 20), Preflight::Answer, true)
    );
    assert!(route.credentials.bearer && route.credentials.session && !route.credentials.basic);
    let upstream = &config.upstreams[0];
    assert_eq!(
        (
            upstream.max_requests,
            upstream.queue_timeout.as_secs(),
            upstream.retries
        ),
        (7, 0, 1)
    );
    let place = |host: &str, port| Place::Tcp {
        host: host.to_owned(),
        port,
    };
    let places: Vec<_> = upstream.servers.iter().map(|server| server.place.clone()).collect();
    assert_eq!(
        places,
        [
            place("127.0.0.1", 9001),
            place("app.example", 443),
            Place::Unix(PathBuf::from("/run/app.sock")),
            place("::1", 7)
        ]
    );
    assert_eq!(
        (config.routes[1].rule.access, config.routes[1].upstream.as_deref()),
        (Access::Deny, None)
    );
    assert_eq!(config.routes[1].methods, None);
}

#[test]
fn another_issuer() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.json"), "{}").unwrap();
    fs::write(folder.path().join("secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::write(folder.path().join("short"), "0123456789abcdef\n").unwrap();
    let load_text = |text: &str| {
        let path = folder.path().join("doorward.toml");
        fs::write(&path, text).unwrap();
        load(&Sources {
            files: vec![path],
            ..Sources::default()
        })
    };
    let idp = r#"
[[tokens.trusted_issuers]]
issuer = "https://idp.example.com"
jwks_file = "keys.json"
algorithms = ["RS256"]
audience = ["orders"]
users = "prefixed"
user_prefix = "idp:"
roles_claim = "realm_access.roles"
roles = { shop-admins = "admin" }
"#;
    let other = r#"
[[tokens.trusted_issuers]]
issuer = "other"
secret_file = "secret"
algorithms = ["HS256"]
audience = []
users = "as_is"
user_claim = "https://example.com/name"
roles_claim = "roles"
roles = "as_is"
"#;
    let loaded = load_text(&format!(
        "[tokens]\nalgorithm = \"HS256\"\nsecret_file = \"secret\"\n{idp}{other}"
    ))
    .unwrap();
    let tokens = &loaded.config.tokens;
    assert_eq!(tokens.secret.as_ref().unwrap().expose().len(), 32);
    let [idp_settings, other_settings] = &tokens.trusted_issuers[..] else {
        panic!("not two")
    };
    assert!(matches!(&idp_settings.keys, KeySource::JwksFile(path) if *path == folder.path().join("keys.json")));
    assert_eq!(idp_settings.users, UserMapping::Prefixed("idp:".to_owned()));
    assert_eq!(idp_settings.roles_claim.as_deref().unwrap(), ["realm_access", "roles"]);
    assert!(matches!(&idp_settings.roles, RoleMapping::Table(table) if table["shop-admins"] == "admin"));
    assert!(matches!(&other_settings.keys, KeySource::Secret(secret) if secret.expose().len() == 32));
    assert_eq!(other_settings.user_claim, ["https://example.com/name"]);
    assert_eq!(
        (&other_settings.users, &other_settings.roles),
        (&UserMapping::AsIs, &RoleMapping::AsIs)
    );
    let warned: Vec<_> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(warned, ["tokens.trusted_issuers[1].audience"]);

    let by_url = |url: &str| idp.replace("jwks_file = \"keys.json\"", &format!("jwks_url = {url:?}"));
    for (url, warned) in [("https://idp/keys", false), ("http://127.0.0.1:8080/keys", true)] {
        let loaded = load_text(&format!("[tokens]\nissuer = \"ours\"\n{}", by_url(url))).unwrap();
        assert!(
            matches!(&loaded.config.tokens.trusted_issuers[0].keys, KeySource::JwksUrl(found) if found.as_str() == url)
        );
        let about = |key: &str| loaded.warnings.iter().any(|warning| warning.key.as_str() == key);
        assert_eq!(about("tokens.trusted_issuers[0].jwks_url"), warned, "{url}");
    }

    let at = |key: &str| vec![format!("tokens.trusted_issuers[0].{key}")];
    for (text, expected) in [
        (idp.replace("\"RS256\"", "\"HS256\""), at("algorithms[0]")),
        (other.replace("\"HS256\"", "\"HS256\", \"RS256\""), at("algorithms[1]")),
        (other.replace("\"secret\"", "\"short\""), at("secret_file")),
        (idp.replace("user_prefix = \"idp:\"", ""), at("user_prefix")),
        (
            other.replace("as_is\"\nuser_claim", "as_is\"\nuser_prefix = \"x\"\nuser_claim"),
            at("user_prefix"),
        ),
        (idp.replace("users = \"prefixed\"", ""), at("users")),
        (idp.replace("audience = [\"orders\"]", ""), at("audience")),
        (
            idp.replace("jwks_file", "key_file = \"secret\"\njwks_file"),
            at("key_file"),
        ),
        (
            idp.replace("jwks_file", "jwks_url = \"https://idp/keys\"\njwks_file"),
            at("jwks_file"),
        ),
        (by_url("http://idp.example.com/keys"), at("jwks_url")),
        (by_url("https://user:word@idp.example.com/keys"), at("jwks_url")),
        (by_url("idp.example.com/keys"), at("jwks_url")),
        (
            by_url("https://idp/keys").replace("RS256", "HS256"),
            at("algorithms[0]"),
        ),
        (
            idp.replace("\"realm_access.roles\"", "\"realm_access.\""),
            at("roles_claim"),
        ),
        (
            idp.replace("roles_claim = \"realm_access.roles\"", ""),
            at("roles_claim"),
        ),
        (idp.replace("\"admin\"", "\"doorward-admin\""), at("roles.shop-admins")),
        (idp.replace("{ shop-admins = \"admin\" }", "\"asis\""), at("roles")),
        (idp.replace("{ shop-admins = \"admin\" }", "3"), at("roles")),
        (
            format!("[tokens]\nissuer = \"https://idp.example.com\"\n{idp}"),
            at("issuer"),
        ),
        (
            format!("{idp}{idp}"),
            vec!["tokens.trusted_issuers[1].issuer".to_owned()],
        ),
    ] {
        let Err(problems) = load_text(&text) else {
            panic!("accepted: {text}")
        };
        let errors = problems.0.iter().filter(|problem| problem.severity == Severity::Error);
        let keys: Vec<_> = errors.map(|problem| problem.key.clone()).collect();
        assert_eq!(keys, expected, "{text}\n{problems}");
    }
}

#[test]
fn the_issuer_follows_the_first_host() {
    let tokens = config("[endpoints]\nhosts = [\"Login.Example\", \"b\"]").tokens;
    assert_eq!(
        (tokens.issuer.as_str(), tokens.audience),
        ("https://login.example", vec!["https://login.example".to_owned()])
    );
    let tokens = config("[tokens]\nissuer = \"me\"\naudience = [\"a\", \"b\"]").tokens;
    assert_eq!((tokens.issuer.as_str(), tokens.audience.len()), ("me", 2));
}

#[test]
fn cors_and_the_gateways_own_urls() {
    let settings = config(
        "[cors]\nallowed_origins = [\"https://app.example\", \"http://localhost:3000\", \"http://[::1]:3000\", \"app://x\"]\n\
         allow_credentials = true\nmax_age = \"0s\"\n[endpoints]\napi = \"\"\npages = \"/gateway/\"\nwell_known = false\n",
    );
    assert!(matches!(&settings.cors.allowed_origins, Origins::Listed(origins) if origins.len() == 4));
    assert_eq!(
        (settings.endpoints.api.as_deref(), settings.endpoints.pages.as_deref()),
        (None, Some("/gateway"))
    );
    assert_eq!(
        config("[cors]\nallowed_origins = [\"*\"]").cors.allowed_origins,
        Origins::Any
    );
}

#[test]
fn listeners_of_every_kind() {
    let settings = config(
        "[[listeners]]\naddress = \"[::]:8443\"\n[[listeners]]\naddress = \"0.0.0.0:8080\"\nprotocol = \"redirect\"\n\
         redirect_port = 8443\n[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = \"http\"\n[[listeners]]\n\
         address = \"127.0.0.1:0\"\nprotocol = \"http\"\n",
    );
    let protocols: Vec<_> = settings.listeners.iter().map(|listener| listener.protocol).collect();
    assert_eq!(
        protocols,
        [
            Protocol::Https,
            Protocol::Redirect { https_port: 8443 },
            Protocol::Http,
            Protocol::Http
        ]
    );
}

#[test]
fn what_is_not_built_yet_is_refused_unless_it_says_the_default() {
    for (text, key) in [
        ("watch = true", "watch"),
        ("[endpoints]\nhealth = \"/up\"", "endpoints.health"),
        ("[identity_headers]\nassertion = \"X-A\"", "identity_headers.assertion"),
        ("[log]\nlogstash = \"tcp://x:1\"", "log.logstash"),
    ] {
        let Err(problems) = read(text) else {
            panic!("accepted: {text}")
        };
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert_eq!(problems.0[0].key, key);
        let text = problems.to_string();
        assert!(
            text.contains("not available in this version") && !text.contains("hunter2"),
            "{text}"
        );
    }
    config(
        "watch = false\n[tokens]\nrotate_every = \"2160h\"\nformat = \"standard\"\n[accounts]\nregistration = \"open\"\n[throttle]\nsilent = true\n",
    );
    config(&format!("{GOOD}client_auth = \"none\"\ncredentials = [\"bearer\"]\n"));
}

#[test]
fn upstreams_with_several_servers() {
    let upstream = |text: &str| GOOD.replace("[[routes]]", &format!("{text}\n[[routes]]"));
    let config = config(&upstream(
        "balance = \"client_hash\"\nretries = 0\nhealth = { path = \"/up?deep=1\", interval = \"2s\" }",
    ));
    let settings = &config.upstreams[0];
    assert_eq!((settings.balance, settings.retries), (Balance::ClientHash, 0));
    let health = settings.health.as_ref().unwrap();
    assert_eq!(
        (
            health.path.as_str(),
            health.interval.as_secs(),
            health.timeout.as_secs(),
            health.unhealthy_after,
            health.healthy_after
        ),
        ("/up?deep=1", 2, 1, 3, 2)
    );
    assert!(
        self::config(&upstream("balance = \"least_requests\"")).upstreams[0]
            .health
            .is_none()
    );
    for (text, key) in [
        ("balance = \"random\"", "balance"),
        ("retries = 11", "retries"),
        ("health = { path = \"up\" }", "health.path"),
        ("health = { path = \"/a b\" }", "health.path"),
        ("health = { path = \"/a#b\" }", "health.path"),
        ("health = { path = \"/\", interval = \"0s\" }", "health.interval"),
        ("health = { path = \"/\", timeout = \"0s\" }", "health.timeout"),
        (
            "health = { path = \"/\", unhealthy_after = 0 }",
            "health.unhealthy_after",
        ),
        (
            "health = { path = \"/\", healthy_after = 1001 }",
            "health.healthy_after",
        ),
    ] {
        assert_eq!(errors(&upstream(text)), [(5, format!("upstreams[0].{key}"))], "{text}");
    }
}

#[test]
fn rate_limits_of_routes() {
    let limit = |text: &str| config(&format!("{GOOD}{text}\n")).routes[0].rate_limit;
    assert_eq!(limit(""), None);
    for mistake in ["rate_limit = { requests = 0 }", "rate_limit = { per = \"1m\" }"] {
        let keys: Vec<_> = errors(&format!("{GOOD}{mistake}\n"))
            .into_iter()
            .map(|(_, key)| key)
            .collect();
        assert_eq!(keys, ["routes[0].rate_limit.requests"], "{mistake}");
    }
    let found = limit("rate_limit = { requests = 100, per = \"1m\", by = \"user\" }").unwrap();
    assert_eq!(
        (found.requests.get(), found.per.as_secs(), found.by),
        (100, 60, crate::rate::By::User)
    );
    let text = format!("{GOOD}access = \"public\"\nrate_limit = {{ requests = 1, by = \"user\" }}\n");
    let keys: Vec<_> = warnings(&text).into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, ["routes[0].rate_limit.by"]);
}

#[test]
fn mail_goes_where_it_is_said_to_go() {
    use crate::mail::Security;
    assert!(config("").mail.is_none());
    let mail = |url: &str, more: &str| {
        let text =
            format!("[endpoints]\nhosts = [\"gate.example\"]\n[mail]\nurl = \"{url}\"\nfrom = \"a@b.example\"\n{more}");
        config(&text).mail.unwrap()
    };
    let server = mail("smtps://u%40x@mail.example", "password = \"p\"").server;
    assert_eq!(
        (server.host.as_str(), server.port, server.security),
        ("mail.example", 465, Security::Tls)
    );
    assert_eq!(server.login.unwrap().0, "u@x");
    let server = mail("smtp+starttls://mail.example:2525", "").server;
    assert_eq!((server.port, server.security), (2525, Security::StartTls));
    let plain = mail("smtp://[::1]", "");
    assert_eq!((plain.server.host.as_str(), plain.server.port), ("::1", 25));
    assert_eq!(
        plain.confirmation.with("c"),
        "https://gate.example/auth/confirm?token=c"
    );
    let own = mail(
        "smtp://localhost",
        "confirmation_url = \"https://app.example/#/finalize\"",
    );
    assert_eq!(own.confirmation.with("c"), "https://app.example/#/finalize?token=c");
    assert_eq!(own.reset.with("c"), "https://gate.example/auth/reset?token=c");
}

#[test]
fn mail_that_cannot_work_is_refused() {
    for (text, key) in [
        ("url = \"smtp://mail.example:25\"\nfrom = \"a@b\"", "mail.url"),
        (
            "url = \"smtps://u:hunter2@h\"\npassword = \"hunter2\"\nfrom = \"a@b\"",
            "mail.url",
        ),
        ("url = \"smtps://u@h\"\nfrom = \"a@b\"", "mail.url"),
        ("url = \"https://h\"\nfrom = \"a@b\"", "mail.url"),
        ("url = \"smtps://h/x\"\nfrom = \"a@b\"", "mail.url"),
        ("url = \"smtps://h\"", "mail.from"),
        ("url = \"smtps://h\"\nfrom = \"a@b\\nBcc: c@d\"", "mail.from"),
        (
            "url = \"smtps://h\"\nfrom = \"a@b\"\nreset_url = \"ftp://x.example/\"",
            "mail.reset_url",
        ),
        ("subject = \"\"", "mail.subject"),
        ("timeout = \"2m\"", "mail.timeout"),
        ("templates = \"/nonexistent\"", "mail.templates"),
    ] {
        let Err(problems) = read(&format!("[mail]\n{text}")) else {
            panic!("accepted: {text}")
        };
        assert_eq!(problems.0[0].key, key, "{problems}");
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
    }
    let Err(problems) = read("[accounts]\nregistration = \"verify_email\"") else {
        panic!("nobody could be written to")
    };
    let keys: Vec<_> = problems.0.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["mail.url", "mail.from"], "{problems}");
}

#[test]
fn a_mistake_in_a_template_is_told_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("reset.txt"), "a\n{{ lnik }}").unwrap();
    let text = format!("[mail]\ntemplates = '{}'", folder.path().display());
    let Err(problems) = read(&text) else { panic!("accepted") };
    let said = problems.to_string();
    assert!(said.contains("reset.txt, line 2: "), "{said}");
}

/// A Flask server's place, with more.
fn in_its_place(more: &str) -> String {
    let listener = "[[listeners]]\naddress = \"127.0.0.1:5001\"\nprotocol = \"http\"\n";
    format!("{listener}[compat]\nflask_praetorian = true\nsecret = \"0123456789abcdef0123456789abcdef\"\n{more}")
}

#[test]
fn lifespans_of_a_flask_server_are_taken_without_a_word_about_sessions() {
    let day = std::time::Duration::from_secs(86_400);
    let long = config(&in_its_place("[tokens]\naccess_ttl = \"10d\"")).tokens;
    assert_eq!(
        (long.access_ttl, long.refresh_idle, long.refresh_ttl),
        (10 * day, 10 * day, 30 * day)
    );
    let short = config(&in_its_place("[tokens]\nrefresh_ttl = \"5d\"")).tokens;
    assert_eq!(
        (short.access_ttl, short.refresh_idle, short.refresh_ttl),
        (day, 5 * day, 5 * day)
    );
    assert_eq!(
        errors(&in_its_place("[tokens]\naccess_ttl = \"40d\"")),
        [(8, "tokens.access_ttl".to_owned())]
    );
    // Sessions of the standard format go by it.
    assert_eq!(
        errors("[tokens]\naccess_ttl = \"10d\""),
        [(2, "tokens.access_ttl".to_owned())]
    );
}

#[test]
fn the_standard_format_beside_a_flask_server_is_refused_with_the_reason() {
    let text = in_its_place("[tokens]\nformat = \"standard\"");
    assert_eq!(errors(&text), [(8, "tokens.format".to_owned())]);
    let said = read(&text).unwrap_err().to_string();
    for part in [
        "tokens.algorithm = \"EdDSA\"",
        "compat.flask_praetorian sets \"HS256\"",
        "accept_until",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // What it says to write is right.
    config(&in_its_place("[tokens]\nformat = \"standard\"\nalgorithm = \"EdDSA\""));
}

#[test]
fn the_url_of_sqlalchemy_is_known() {
    for url in [
        "postgresql+psycopg2://u:hunter2@db/login",
        "postgres+psycopg://u:hunter2@db/login",
    ] {
        let said = read(&format!("[store]\nurl = \"{url}\"")).unwrap_err().to_string();
        assert!(
            said.contains("write postgres://") && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[test]
fn links_in_the_clear_and_links_that_lead_nowhere_are_warned_about() {
    let mail = "[mail]\nurl = \"smtp://127.0.0.1\"\nfrom = \"a@b.example\"\n";
    let pages = "confirmation_url = \"http://192.168.1.5:3000/#/finalize\"\nreset_url = \"http://app.lan/reset\"\n";
    let key = |name: &str| format!("mail.{name}");
    let about_mail = |text: &str| -> Vec<String> {
        let warned = warnings(text).into_iter().map(|(_, key)| key);
        warned.filter(|key| key.starts_with("mail.")).collect()
    };
    assert_eq!(
        about_mail(&in_its_place(&format!("{mail}{pages}"))),
        [key("confirmation_url"), key("reset_url")]
    );
    assert_eq!(
        about_mail(&in_its_place(&format!("{mail}{}", pages.replace("http:", "https:")))),
        [""; 0]
    );
    let said = |text: &str| {
        let loaded = read(text).unwrap();
        let said: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        said.join("\n")
    };
    // Nothing says what the gateway is called.
    let assumed = said(&in_its_place(mail));
    assert!(
        assumed.contains("mail.confirmation_url") && assumed.contains("https://localhost:8443/auth/confirm"),
        "{assumed}"
    );
    assert!(assumed.contains("endpoints.hosts or tokens.issuer"), "{assumed}");
    // Something does, and no https is to be had there.
    let named = in_its_place(&format!("{mail}[endpoints]\nhosts = [\"gate.example\"]\n"));
    let clear = said(&named);
    assert!(
        clear.contains("no listener here is") && clear.contains("https://gate.example/auth/confirm"),
        "{clear}"
    );
    let behind = format!("trusted_proxies = [\"10.0.0.1\"]\n{named}");
    assert_eq!(about_mail(&behind), [""; 0]);
    assert_eq!(
        about_mail(&named.replace("protocol = \"http\"", "protocol = \"https\"")),
        [""; 0]
    );
}
