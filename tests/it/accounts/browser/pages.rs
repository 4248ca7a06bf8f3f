//! The pages themselves, and who is sent to them.

use http::Method;
use serde_json::json;

use super::{CHROME, COOKIE, cookie, form, get_with, log_in, log_in_with, log_out, navigate, set_cookie};
use crate::accounts::world::{Kind, PASSWORD, World};
use crate::support::client::Response;
use crate::support::gateway::{TestGateway, password_of};
use crate::support::upstream::Upstream;

/// What every page of ours says, but for its style.
fn assert_page(answer: &Response, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'")
            && policy.ends_with("; base-uri 'none'; frame-ancestors 'none'")
            && !policy.contains("unsafe"),
        "{policy}"
    );
    let text = answer.text();
    assert!(text.starts_with("<!doctype html>\n<html lang=\"en\">"), "{text}");
    for never in ["<script", "style=", "onclick", "javascript:", "<style"] {
        assert!(!text.contains(never), "{never} in {text}");
    }
}

fn kinds(credentials: &str) -> String {
    format!("credentials = [{credentials}]")
}

#[test]
fn from_a_page_to_the_login_and_back_and_out_again() {
    let backend = Upstream::start();
    let gateway = TestGateway::with(&backend)
        .route("/app", "user")
        .user("zoë <b>", &["user", "ops & more"])
        .start();
    let (name, password) = ("zoë <b>", password_of("zoë <b>"));
    let client = gateway.https();

    // Not logged in: to the login, which knows the way back.
    let sent = navigate(client, "/app/x?a=1&b=%2F", None).expect(302);
    assert_eq!(
        sent.header("location"),
        Some("/auth/login?rd=%2Fapp%2Fx%3Fa%3D1%26b%3D%252F")
    );
    assert_eq!(sent.header("cache-control"), Some("no-store"));
    let page = navigate(client, sent.header("location").unwrap(), None);
    assert_page(&page, 200);
    assert!(
        page.text().contains(r#"name="rd" value="/app/x?a=1&#38;b=%2F""#),
        "{}",
        page.text()
    );
    assert!(!page.headers.has("set-cookie"));

    // In.
    let sent = log_in(client, name, &password, Some("/app/x?a=1&b=%2F")).expect(303);
    assert_eq!(sent.header("location"), Some("/app/x?a=1&b=%2F"));
    assert_eq!(sent.header("cache-control"), Some("no-store"));
    let jar = set_cookie(&sent);
    assert_eq!(backend.requests().len(), 0);
    let seen = get_with(client, "/app/x", &format!("a=1; {jar}; b=2")).expect(200);
    assert_eq!(seen.echoed("x-user-roles").as_deref(), Some("user,ops & more"));
    assert_eq!(seen.echoed("cookie").as_deref(), Some("a=1; b=2"));
    assert!(!seen.headers.has("set-cookie"));
    let received = backend.only_request();
    let value = jar.split_once('=').unwrap().1;
    assert!(!crate::support::message::text(&received.head).contains(value));

    // Who it is, with nothing taken for markup.
    let home = navigate(client, "/auth/", Some(&jar));
    assert_page(&home, 200);
    let text = home.text();
    assert!(
        text.contains("zoë &#60;b&#62;") && text.contains("ops &#38; more"),
        "{text}"
    );
    let me = get_with(client, "/api/me", &jar).expect(200).json();
    assert_eq!(me["username"], name);
    let ask = navigate(client, "/auth/logout", Some(&jar));
    assert_page(&ask, 200);
    // Asking is not doing.
    get_with(client, "/app/x", &jar).expect(200);

    // Out, at once and for good.
    let out = log_out(client, &jar).expect(303);
    assert_eq!(out.header("location"), Some("/auth/login"));
    assert_eq!(
        out.header("set-cookie"),
        Some("__Host-doorward=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
    );
    get_with(client, "/app/x", &jar).expect(401);
    navigate(client, "/app/x", Some(&jar)).expect(302);
    // Once more: there is nothing left to end.
    log_out(client, &jar).expect(303);
    let home = navigate(client, "/auth/", Some(&jar)).expect(302);
    assert_eq!(home.header("location"), Some("/auth/login"));
    let lines = gateway.log().join("\n");
    assert!(!lines.contains(value) && !lines.contains(&password), "{lines}");
}

fn the_session_is_a_row(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    gateway.register("alice");
    let jar = cookie(&gateway.client, "alice", PASSWORD);
    let rows = |what: &str| world.sql(&format!("SELECT {what} FROM gateway_sessions WHERE kind = 'browser'"));
    assert_eq!(
        rows("client, address, revoked_at IS NULL").replace("|t", "|1"),
        "Mozilla/5.0 (a test)|127.0.0.1|1"
    );
    log_out(&gateway.client, &jar).expect(303);
    assert!(!rows("revoked_at").is_empty());
}

on_both!(the_session_is_a_row);

#[test]
fn a_login_is_always_a_new_session_and_ends_the_one_before() {
    let backend = Upstream::start();
    let gateway = TestGateway::with(&backend)
        .route("/app", "user")
        .user("alice", &["user"])
        .user("mallory", &["user"])
        .start();
    let client = gateway.https();
    let planted = cookie(client, "mallory", &password_of("mallory"));
    let sent = log_in_with(client, "alice", &password_of("alice"), None, Some(&planted)).expect(303);
    let jar = set_cookie(&sent);
    assert_ne!(jar, planted);
    let seen = get_with(client, "/app/x", &jar).expect(200);
    assert_eq!(seen.echoed("x-user").as_deref(), Some("alice"));
    get_with(client, "/app/x", &planted).expect(401);
    // Twice the same person: two sessions, unless the first one's cookie is there.
    let other = cookie(client, "alice", &password_of("alice"));
    get_with(client, "/app/x", &jar).expect(200);
    // A login that fails ends nothing, and sets nothing.
    let refused = log_in_with(client, "alice", "wrong", None, Some(&jar));
    assert_page(&refused, 401);
    assert!(!refused.headers.has("set-cookie"));
    get_with(client, "/app/x", &jar).expect(200);
    // Neither does rubbish, nor two cookies, keep anybody out.
    for shown in [format!("{COOKIE}=%%%"), format!("{jar}; {other}")] {
        let again = log_in_with(client, "alice", &password_of("alice"), None, Some(&shown)).expect(303);
        get_with(client, "/app/x", &set_cookie(&again)).expect(200);
    }
    get_with(client, "/app/x", &jar).expect(200);
}

#[test]
fn refused_logins_say_what_the_api_says_and_no_more() {
    let gateway = TestGateway::alone()
        .user("alice", &["user"])
        .user("gone", &["user"])
        .config("[throttle]\nlogin_failures = 4")
        .start();
    gateway.cli(&["user", "deactivate", "gone"]);
    let client = gateway.https();
    let words = |status: u16, answer: Response| {
        assert_page(&answer, status);
        assert!(!answer.headers.has("set-cookie"));
        let api = gateway.try_login("somebody else", "wrong");
        let said = api.json()["detail"].as_str().unwrap().to_owned();
        (answer.text(), said)
    };
    let (wrong, said) = words(401, log_in(client, "alice", "wrong", None));
    let (unknown, _) = words(401, log_in(client, "<b>nobody</b>", "wrong", None));
    let (inactive, _) = words(401, log_in(client, "gone", "wrong", None));
    assert_eq!((&wrong, &wrong), (&unknown, &inactive));
    assert!(wrong.contains(&said), "{said} in {wrong}");
    let answer = log_in(client, "alice", "wrong", None);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"doorward\""));
    let answer = log_in(client, "gone", &password_of("gone"), None);
    assert_page(&answer, 403);
    assert!(answer.text().contains("not active"), "{}", answer.text());
    for _ in 0..2 {
        log_in(client, "alice", "wrong", None).expect(401);
    }
    // By now the account has had its failures: the right password is not looked at.
    let answer = log_in(client, "alice", &password_of("alice"), Some("/app"));
    assert_page(&answer, 429);
    assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    assert!(answer.text().contains(r#"name="rd" value="/app""#));
    // Forms that are none.
    for (body, status) in [
        (String::new(), 400),
        (form(&[("username", "alice")]), 400),
        (form(&[("username", "a"), ("username", "b"), ("password", "x")]), 400),
        (json!({ "username": "alice", "password": "x" }).to_string(), 400),
        (form(&[("username", "alice"), ("password", &"x".repeat(5000))]), 400),
        ("x".repeat(70_000), 413),
    ] {
        let sent = client
            .request(Method::POST, "/auth/login")
            .header("sec-fetch-site", "same-origin");
        assert_page(&sent.body(body).send(), status);
    }
}

#[test]
fn pages_are_kept_to_https_and_to_this_machine() {
    let gateway = TestGateway::alone()
        .user("alice", &["user"])
        .config("trusted_proxies = [\"127.0.0.1\"]")
        .start();
    let style = gateway.get("/auth/assets/style.css").expect(200);
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(gateway.get("/auth").expect(308).header("location"), Some("/auth/"));
    gateway.https().request(Method::PUT, "/auth/login").send().expect(405);
    let mut raw = gateway.raw_plain();
    let mut ask = |method: &str, host: &str, more: &str| {
        let body = form(&[("username", "alice"), ("password", &password_of("alice"))]);
        let length = if method == "POST" {
            format!("Content-Length: {}\r\n", body.len())
        } else {
            String::new()
        };
        let body = if method == "POST" { body } else { String::new() };
        let head = format!(
            "{method} /auth/login HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: same-origin\r\n{length}{more}\r\n"
        );
        raw.send(head + &body).response()
    };
    for host in [
        "localhost",
        "localhost:8000",
        "127.0.0.1",
        "127.8.0.1:80",
        "[::1]:80",
        "app.localhost",
    ] {
        let answer = ask("GET", host, "");
        assert_eq!(
            (answer.status, answer.header("strict-transport-security")),
            (200, None),
            "{host}"
        );
    }
    for host in [
        "app.example.com",
        "app.example.com:8000",
        "localhost.example.com",
        "10.0.0.1",
        "notlocalhost",
    ] {
        for method in ["GET", "POST"] {
            let answer = ask(method, host, "");
            assert_eq!(answer.status, 403, "{method} {host}");
            assert!(answer.header("set-cookie").is_none());
            let name = host.split(':').next().unwrap();
            assert!(
                answer.text().contains(&format!("https://{name}/auth/login")),
                "{}",
                answer.text()
            );
            let told = ask(method, host, "X-Forwarded-Proto: https\r\n");
            assert_eq!(told.status, if method == "GET" { 200 } else { 303 }, "{method} {host}");
            assert!(told.header("strict-transport-security").is_some());
        }
    }
}

#[test]
fn only_a_browser_is_sent_to_the_login_and_only_where_it_helps() {
    let backend = Upstream::start();
    let gateway = TestGateway::with(&backend)
        .route_with("/app", "")
        .route_with("/machines", &kinds("\"bearer\""))
        .route_with("/old", &kinds("\"basic\""))
        .route_with("/both", &kinds("\"basic\", \"session\""))
        .route_with("/open", "access = \"optional\"")
        .route_with("/vip", "access = \"optional\"\nroles_any = [\"vip\"]")
        .public("/public")
        .user("alice", &["user"])
        .start();
    let client = gateway.https();
    let mut raw = gateway.raw();
    let mut ask = |method: &str, path: &str, more: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
        let raw = raw.send(head);
        if method == "HEAD" {
            raw.response_to_head()
        } else {
            raw.response()
        }
    };
    let navigate = "Sec-Fetch-Mode: navigate\r\n";
    let accepts = format!("Accept: {CHROME}\r\n");
    for (method, path, more, status) in [
        ("GET", "/app", navigate, 302),
        ("HEAD", "/app", navigate, 302),
        ("GET", "/app", &*accepts, 302),
        (
            "GET",
            "/app",
            &format!("{accepts}X-Requested-With: XMLHttpRequest\r\n"),
            401,
        ),
        ("GET", "/app", &format!("{accepts}Sec-Fetch-Mode: cors\r\n"), 401),
        ("GET", "/app", "User-Agent: Mozilla/5.0 Chrome/150\r\n", 401),
        ("GET", "/app", "Accept: */*\r\n", 401),
        ("POST", "/app", navigate, 401),
        ("PUT", "/app", &*accepts, 401),
        ("GET", "/app", &format!("{navigate}Authorization: Bearer abc\r\n"), 401),
        ("GET", "/app", &format!("{navigate}Cookie: {COOKIE}=abc\r\n"), 302),
        (
            "GET",
            "/app",
            &format!("{navigate}Cookie: {COOKIE}=a; {COOKIE}=b\r\n"),
            400,
        ),
        ("GET", "/machines", navigate, 401),
        ("GET", "/old", navigate, 401),
        ("GET", "/both", navigate, 302),
        ("GET", "/vip", navigate, 302),
        ("GET", "/open", navigate, 200),
        ("GET", "/public", navigate, 200),
        ("GET", "/nowhere", navigate, 404),
        ("GET", "/api/me", navigate, 401),
    ] {
        let answer = ask(method, path, more);
        assert_eq!(answer.status, status, "{method} {path} {more:?}");
        let location = (status == 302).then(|| format!("/auth/login?rd=%2F{}", &path[1..]));
        assert_eq!(answer.header("location"), location.as_deref());
    }
    // What is too long for a query is not remembered.
    let long = format!("/app?{}", "a".repeat(3000));
    assert_eq!(ask("GET", &long, navigate).header("location"), Some("/auth/login"));

    // Whoever is logged in and may not go there is told so, and not sent around in a circle.
    let jar = cookie(client, "alice", &password_of("alice"));
    assert_eq!(super::navigate(client, "/vip", Some(&jar)).status, 403);
    assert_eq!(super::navigate(client, "/machines", Some(&jar)).status, 401);

    // Basic is offered where it counts, beside the bearer token.
    let offered = |path: &str| {
        let answer = client.get(path).expect(401);
        answer.headers.all("www-authenticate").join(" & ")
    };
    let basic = "Basic realm=\"doorward\", charset=\"UTF-8\"";
    assert_eq!(offered("/app"), "Bearer realm=\"doorward\"");
    assert_eq!(offered("/old"), format!("Bearer realm=\"doorward\" & {basic}"));
    let refused = client
        .request(Method::GET, "/old")
        .header("authorization", "Basic YWxpY2U6eA==")
        .send();
    assert_eq!(refused.status, 401);
    assert!(refused.headers.all("www-authenticate").contains(&basic), "{refused:?}");
}

#[test]
fn the_root_leads_home_unless_a_route_has_it() {
    let backend = Upstream::start();
    let setup = || TestGateway::with(&backend).route_with("/app", "hosts = [\"app.example.com\", \"localhost\"]");
    let root = |gateway: &TestGateway, host: &str| {
        let answer = gateway.https().request(Method::GET, "/").host(host).send();
        (answer.status, answer.header("location").map(str::to_owned))
    };
    let home = (302, Some("/auth/".to_owned()));
    let gateway = setup().start();
    assert_eq!(root(&gateway, "localhost"), home);
    assert_eq!(gateway.https().request(Method::POST, "/").send().status, 404);
    drop(gateway);
    let gateway = setup()
        .route_with("/", "access = \"public\"\nhosts = [\"localhost\"]")
        .start();
    assert_eq!(root(&gateway, "localhost"), (200, None));
    assert_eq!(root(&gateway, "app.example.com"), home);
    drop(gateway);
    // Without pages, nobody is sent to one.
    let gateway = setup().config("[endpoints]\npages = \"\"").start();
    assert_eq!(root(&gateway, "localhost"), (404, None));
    assert_eq!(gateway.get("/auth/login").status, 404);
    assert_eq!(navigate(gateway.https(), "/app", None).status, 401);
    drop(gateway);
    let gateway = setup()
        .config("[endpoints]\npages = \"/sign in\"\nhosts = [\"localhost\"]")
        .start();
    assert_eq!(root(&gateway, "localhost"), (302, Some("/sign%20in/".to_owned())));
    assert_eq!(root(&gateway, "app.example.com"), (404, None));
    let sent = navigate(gateway.https(), "/app", None).expect(302);
    assert_eq!(sent.header("location"), Some("/sign%20in/login?rd=%2Fapp"));
    let page = navigate(gateway.https(), sent.header("location").unwrap(), None);
    assert_page(&page, 200);
    assert!(page.text().contains("action=\"/sign%20in/login\""), "{}", page.text());
}

#[test]
fn another_hosts_login_is_used_where_its_cookie_comes_back() {
    let backend = Upstream::start();
    let setup = || {
        TestGateway::with(&backend)
            .route_with(
                "/app",
                "hosts = [\"app.example.com\", \"*.example.com\", \"shop.example.org\"]",
            )
            .user("alice", &["user"])
            .config("[endpoints]\nhosts = [\"login.example.com\"]")
    };
    let sent = |gateway: &TestGateway, host: &str| {
        let request = gateway.https().request(Method::GET, "/app/x?y").host(host);
        let answer = request.header("sec-fetch-mode", "navigate").send();
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    let gateway = setup().config("[cookies]\ndomain = \"example.com\"").start();
    let login = "https://login.example.com/auth/login".to_owned();
    let back = "?rd=https%3A%2F%2Fapp.example.com%2Fapp%2Fx%3Fy";
    assert_eq!(sent(&gateway, "app.example.com"), (302, login.clone() + back));
    assert_eq!(sent(&gateway, "other.example.com"), (302, login));
    assert_eq!(sent(&gateway, "shop.example.org").0, 401);
    // There and back.
    let rd = "https://app.example.com/app/x?y";
    let fields = [("username", "alice"), ("password", &*password_of("alice")), ("rd", rd)];
    let sent_form = gateway
        .https()
        .request(Method::POST, "/auth/login")
        .host("login.example.com");
    let answer = sent_form
        .header("sec-fetch-site", "same-origin")
        .body(form(&fields))
        .send()
        .expect(303);
    assert_eq!(answer.header("location"), Some(rd));
    let field = answer.header("set-cookie").unwrap();
    assert!(
        field.starts_with("__Secure-doorward=") && field.contains("; Domain=example.com; "),
        "{field}"
    );
    let jar = field.split(';').next().unwrap();
    let request = gateway.https().request(Method::GET, "/app/x").host("app.example.com");
    let seen = request.header("cookie", &format!("{jar}; x=1")).send().expect(200);
    assert_eq!(seen.echoed("cookie").as_deref(), Some("x=1"));
    // The form may be followed there, too, and nowhere else.
    let page = gateway
        .https()
        .request(Method::GET, "/auth/login?rd=https%3A%2F%2Fapp.example.com%2Fapp");
    let page = page.host("login.example.com").send();
    assert_page(&page, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.contains("form-action 'self' https://app.example.com;"),
        "{policy}"
    );
    drop(gateway);
    let gateway = setup().start();
    assert_eq!(sent(&gateway, "app.example.com").0, 401);
}
