//! The life of a cookie: judged from memory, renewed through the store, ended everywhere.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use super::{COOKIE, cookie, get_with, log_in, log_out, navigate, set_cookie};
use crate::accounts::world::{Gateway, Kind, PASSWORD, World, at_once, soon};
use crate::postgres::Cluster;
use crate::support::client::Response;
use crate::support::gateway::Metrics;
use crate::support::reply::Reply;
use crate::support::until;

fn status(gateway: &Gateway, path: &str, jar: &str) -> u16 {
    get_with(&gateway.client, path, jar).status
}

fn renewals(gateway: &Gateway) -> f64 {
    let metrics = Metrics::parse(&gateway.admin.get("/metrics").text());
    metrics.sum("doorward_store_requests_total", &[("operation", "renew_session")])
}

fn replicas_take_one_anothers_cookies(kind: Kind) {
    let world = World::new(kind);
    let (one, other) = (world.gateway(""), world.gateway(""));
    one.register("alice");
    let first = cookie(&one.client, "alice", PASSWORD);
    let second = cookie(&other.client, "alice", PASSWORD);
    for gateway in [&one, &other] {
        for jar in [&first, &second] {
            // The replica may not know the keys of cookies yet, if it has just started.
            soon("a cookie of any replica", || status(gateway, "/app/x", jar) == 200);
        }
        assert_eq!(status(gateway, "/app/admin/x", &first), 403);
    }
    // Judged from memory.
    assert_eq!(renewals(&one) + renewals(&other), 0.0);
    world.sql("UPDATE users SET roles = 'admin'");
    for gateway in [&one, &other] {
        soon("the new role", || status(gateway, "/app/admin/x", &first) == 200);
        let seen = get_with(&gateway.client, "/app/x", &first).expect(200);
        assert_eq!(seen.echoed("x-user-roles").as_deref(), Some("admin"));
    }
    // Logged out here: over at once here, soon there, and for this session alone.
    log_out(&other.client, &first).expect(303);
    assert_eq!(status(&other, "/app/x", &first), 401);
    soon("the logout on the other replica", || {
        status(&one, "/app/x", &first) == 401
    });
    assert_eq!(status(&one, "/app/x", &second), 200);
    // Durable: also for who was not there.
    other.kill();
    let other = world.gateway("");
    assert_eq!(status(&other, "/app/x", &first), 401);
    assert_eq!(status(&other, "/app/x", &second), 200);
    world.doorward(&["user", "deactivate", "alice"], "");
    for gateway in [&one, &other] {
        soon("the deactivation", || status(gateway, "/app/x", &second) == 401);
    }
    let sent = navigate(&one.client, "/app/x", Some(&second)).expect(302);
    assert_eq!(sent.header("location"), Some("/auth/login?rd=%2Fapp%2Fx"));
}

/// The cookie as the browser has it after an answer.
fn kept(answer: &Response, jar: &str) -> String {
    match answer.headers.has("set-cookie") {
        true => set_cookie(answer),
        false => jar.to_owned(),
    }
}

fn a_cookie_is_renewed_once_for_all_who_show_it(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[tokens]\naccess_ttl = \"8s\"");
    gateway.register("alice");
    let jar = cookie(&gateway.client, "alice", PASSWORD);
    let fresh = get_with(&gateway.client, "/app/x", &jar).expect(200);
    assert!(!fresh.headers.has("set-cookie"));
    assert_eq!(renewals(&gateway), 0.0);
    // Half of its life is over: a page's requests come all at once, and one of them asks.
    let due = until("an answer with a new cookie", || {
        let answer = get_with(&gateway.client, "/app/x", &jar).expect(200);
        answer.headers.has("set-cookie").then_some(answer)
    });
    let renewed = set_cookie(&due);
    assert_ne!(renewed, jar);
    let answers = at_once(12, |_| get_with(&gateway.another_client(), "/app/x", &jar).expect(200));
    for answer in &answers {
        assert_eq!(set_cookie(answer), renewed);
    }
    assert_eq!(renewals(&gateway), 1.0);
    // The new one is as good as any, and young.
    let again = get_with(&gateway.client, "/app/x", &renewed).expect(200);
    assert!(!again.headers.has("set-cookie"));
    // The old one, when its time is up, still names a session that lives.
    std::thread::sleep(Duration::from_secs(9));
    let late = get_with(&gateway.client, "/app/x", &jar).expect(200);
    assert_eq!(late.echoed("x-user").as_deref(), Some("alice"));
    let newest = set_cookie(&late);
    assert!(newest != renewed && renewals(&gateway) == 2.0);
    // Whatever a backend says of its answers, no cache may hand the cookie to somebody else.
    assert_eq!(late.headers.all("cache-control"), ["private"]);
    let public = [("Cache-Control", "public, max-age=60")];
    world.backend.next(Reply::new(200, &public, "for all"));
    let answer = get_with(&gateway.client, "/app/x", &jar).expect(200);
    assert_eq!(set_cookie(&answer), newest);
    assert_eq!(answer.headers.all("cache-control"), ["public, max-age=60", "private"]);
    world.backend.next(Reply::new(200, &public, "for all"));
    let answer = get_with(&gateway.client, "/app/x", &newest).expect(200);
    assert_eq!(answer.headers.all("cache-control"), ["public, max-age=60"]);
    // Out with the newest: none of them counts any more, and none comes back.
    log_out(&gateway.client, &newest).expect(303);
    for jar in [&jar, &renewed, &newest] {
        let answer = get_with(&gateway.client, "/app/x", jar).expect(401);
        assert!(!answer.headers.has("set-cookie"));
    }
}

fn expired_cookies_ask_once_together(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[tokens]\naccess_ttl = \"2s\"");
    gateway.register("alice");
    let jar = cookie(&gateway.client, "alice", PASSWORD);
    std::thread::sleep(Duration::from_millis(2100));
    let answers = at_once(12, |_| get_with(&gateway.another_client(), "/app/x", &jar).expect(200));
    let renewed: std::collections::HashSet<String> = answers.iter().map(set_cookie).collect();
    // One question, or as many as fit into the time for which its answer counts, on a busy machine.
    assert!(renewed.len() <= 3, "{renewed:?}");
    assert!(renewals(&gateway) <= 3.0);
    // Of what was ended behind the gateway's back, nothing is renewed.
    world.sql("UPDATE gateway_sessions SET revoked_at = 1");
    std::thread::sleep(Duration::from_millis(2100));
    for jar in renewed.iter().chain([&jar]) {
        assert_eq!(status(&gateway, "/app/x", jar), 401);
    }
    let open = navigate(&gateway.client, "/app/x", Some(&jar));
    assert_eq!(open.status, 302);
}

fn sessions_end_by_idleness_and_by_age(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[tokens]\naccess_ttl = \"1s\"\nrefresh_idle = \"3s\"\nrefresh_ttl = \"7s\"");
    gateway.register("alice");
    let idle = cookie(&gateway.client, "alice", PASSWORD);
    let begun = Instant::now();
    let mut busy = cookie(&gateway.client, "alice", PASSWORD);
    let mut ended = None;
    while ended.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(15), "a session without an end");
        std::thread::sleep(Duration::from_millis(200));
        let answer = get_with(&gateway.client, "/app/x", &busy);
        match answer.status {
            200 => busy = kept(&answer, &busy),
            _ => ended = Some(begun.elapsed()),
        }
        if (Duration::from_millis(3300)..Duration::from_millis(5500)).contains(&begun.elapsed()) {
            assert_eq!(
                status(&gateway, "/app/x", &idle),
                401,
                "nobody used it for three seconds"
            );
        }
    }
    // In use it goes on, up to its age and no longer.
    let ended = ended.unwrap();
    assert!(
        ended > Duration::from_secs(6) && ended < Duration::from_secs(9),
        "{ended:?}"
    );
}

on_both!(
    replicas_take_one_anothers_cookies,
    a_cookie_is_renewed_once_for_all_who_show_it,
    expired_cookies_ask_once_together,
    sessions_end_by_idleness_and_by_age,
);

#[test]
fn without_the_store_a_cookie_lives_out_its_time() {
    let cluster = Cluster::start(&[]);
    let world = World::in_cluster(&cluster);
    let gateway = world.gateway("[tokens]\naccess_ttl = \"10s\"");
    gateway.register("alice");
    let jar = cookie(&gateway.client, "alice", PASSWORD);
    let begun = Instant::now();
    cluster.stop();
    // Good to its end, although it is not renewed any more.
    while begun.elapsed() < Duration::from_secs(8) {
        let answer = get_with(&gateway.client, "/app/x", &jar).expect(200);
        assert!(!answer.headers.has("set-cookie"));
        std::thread::sleep(Duration::from_millis(100));
    }
    let refused = until("a cookie whose time is up", || {
        let answer = get_with(&gateway.client, "/app/x", &jar);
        (answer.status != 200).then_some(answer)
    });
    assert!(begun.elapsed() > Duration::from_secs(9));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["error"], "store_unavailable");
    assert!(refused.header("retry-after").is_some());
    // Nobody is sent to a login that cannot work either.
    assert_eq!(navigate(&gateway.client, "/app/x", Some(&jar)).status, 503);
    let page = log_in(&gateway.client, "alice", PASSWORD, None);
    assert_eq!(page.status, 503);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("retry-after").is_some() && !page.headers.has("set-cookie"));
    let page = log_out(&gateway.client, &jar);
    assert!(page.status == 503 && !page.headers.has("set-cookie"), "{page:?}");
    assert_eq!(gateway.client.get("/public/x").status, 200);
    cluster.start_again();
    gateway.wait_until_ready();
    let healed = until("the renewal", || {
        let answer = get_with(&gateway.client, "/app/x", &jar);
        (answer.status == 200).then_some(answer)
    });
    assert_ne!(set_cookie(&healed), jar);
}

#[test]
fn only_a_cookie_of_ours_counts() {
    let world = World::new(Kind::Sqlite);
    let stranger = World::new(Kind::Sqlite);
    let optional = "[[upstreams]]\nname = \"app\"\nservers = [\"BACKEND\"]\n\
        [[routes]]\nname = \"app\"\npath = \"/app\"\nupstream = \"app\"\n\
        [[routes]]\nname = \"open\"\npath = \"/open\"\naccess = \"optional\"\nupstream = \"app\"\n";
    let gateway = world.gateway(&optional.replace("BACKEND", &world.backend.url()));
    gateway.register("alice");
    let elsewhere = stranger.gateway("");
    elsewhere.register("alice");
    let jar = cookie(&gateway.client, "alice", PASSWORD);
    let foreign = cookie(&elsewhere.client, "alice", PASSWORD);
    let value = jar.split_once('=').unwrap().1;
    let altered = |at: usize| {
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let named = |value: &str| format!("{COOKIE}={value}");
    let truncated: Vec<String> = [1, 2, value.len() / 2, value.len() - 1]
        .map(|length| value[..length].to_owned())
        .into();
    let mut dead: Vec<String> = vec![
        named("%%%"),
        named(""),
        COOKIE.to_owned(),
        named("\"\""),
        named(&format!("\"{value}\"")),
        named(&format!("{value}=")),
        named(&format!("{value}A")),
        named(&format!("A{value}")),
        named(&value.to_ascii_uppercase()),
        named(&"A".repeat(5000)),
        format!("__host-doorward={value}"),
        format!("__Host-Doorward={value}"),
        format!("__Secure-doorward={value}"),
        format!("__Host-doorwardx={value}"),
        format!("doorward={value}"),
        format!("x={COOKIE}={value}"),
        foreign.clone(),
    ];
    dead.extend(truncated.iter().map(|value| named(value)));
    dead.extend([0, 10, value.len() / 2, value.len() - 2].map(|at| named(&altered(at))));
    for jar in &dead {
        // Where one has to be somebody: nobody; where not: nobody in particular. Nowhere a fault.
        assert_eq!(status(&gateway, "/app/x", jar), 401, "{jar}");
        let open = get_with(&gateway.client, "/open/x", jar).expect(200);
        assert_eq!(open.echoed("x-user"), None, "{jar}");
        assert!(!open.headers.has("set-cookie"));
    }
    for jar in [
        format!("a=b; {jar}"),
        format!("{jar};c"),
        format!(" {jar} ; x=1"),
        format!("{jar}; __Secure-doorward=x"),
    ] {
        let seen = get_with(&gateway.client, "/app/x", &jar).expect(200);
        let cookies = seen.echoed("cookie").unwrap_or_default();
        assert!(!cookies.contains("doorward"), "{jar}: {cookies}");
    }
    // Two of them: anybody may have planted one.
    for pair in [
        format!("{jar}; {jar}"),
        format!("{jar}; {COOKIE}=x"),
        format!("{COOKIE}=; {jar}"),
    ] {
        assert_eq!(status(&gateway, "/app/x", &pair), 400, "{pair}");
        assert_eq!(status(&gateway, "/public/x", &pair), 404, "no such route here");
    }
    let request = gateway.client.request(Method::GET, "/app/x").header("cookie", &jar);
    assert_eq!(request.header("cookie", &jar).send().status, 400);
    // A sealed cookie is nothing else: no token, no key, no ticket.
    assert_eq!(gateway.status_as("/app/x", value), 401);
    assert_eq!(
        gateway.client.get(&format!("/app/x?doorward_ticket={value}")).status,
        401
    );
}

#[test]
fn an_authorization_that_counts_decides_alone() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway("");
    gateway.register("alice");
    let bob = gateway.register("bob");
    let jar = cookie(&gateway.client, "alice", PASSWORD);
    let with = |authorization: &str| {
        let request = gateway.client.request(Method::GET, "/app/x").header("cookie", &jar);
        request.header("authorization", authorization).send()
    };
    let seen = with(&format!("Bearer {}", bob.access)).expect(200);
    assert_eq!(seen.echoed("x-user").as_deref(), Some("bob"));
    assert_eq!(seen.echoed("cookie"), None);
    // A bad one is not made good by the cookie; another scheme says nothing here.
    assert_eq!(with("Bearer abc").status, 401);
    assert_eq!(with("Bearer dwk_abc").status, 401);
    let seen = with("Negotiate abc").expect(200);
    assert_eq!(seen.echoed("x-user").as_deref(), Some("alice"));
    // The API's login neither reads the cookie nor sets one.
    let body = json!({ "username": "bob", "password": PASSWORD });
    for jar in [jar.clone(), format!("{jar}; {jar}"), format!("{COOKIE}=%%%")] {
        let request = gateway
            .client
            .request(Method::POST, "/api/login")
            .header("cookie", &jar);
        let answer = request.json(&body).send().expect(200);
        assert!(!answer.headers.has("set-cookie"));
    }
    assert_eq!(status(&gateway, "/app/x", &jar), 200);
}
