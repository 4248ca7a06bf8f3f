//! Rate limits of routes.

use super::assert_problem;
use super::gate::{Gate, route, upstream};
use crate::support::upstream::Upstream;

fn config(backend: &Upstream, routes: &[(&str, &str)]) -> String {
    let routes: String = routes
        .iter()
        .map(|(path, keys)| route(path.trim_matches('/'), path, "app", keys))
        .collect();
    format!(
        "trusted_proxies = [\"127.0.0.1/32\"]\n{}{routes}",
        upstream("app", &backend.url(), "")
    )
}

fn from(client: &str) -> String {
    format!("X-Forwarded-For: {client}\r\n")
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(
        &backend,
        &[
            (
                "/a",
                "access = \"public\"\nrate_limit = { requests = 3, per = \"10m\" }",
            ),
            ("/free", "access = \"public\""),
        ],
    ));
    for _ in 0..3 {
        assert_eq!(gate.get("/a", &from("203.0.113.1")).status, 200);
    }
    let refused = gate.get("/a/x", &from("203.0.113.1"));
    assert_problem(&refused, 429, "rate_limited");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((150..=200).contains(&wait), "{wait}");
    // The connection goes on, others are not concerned, and nothing reached the backend.
    assert!(refused.keeps_alive());
    assert_eq!(gate.get("/a", &from("203.0.113.2")).status, 200);
    assert_eq!(gate.get("/free", &from("203.0.113.1")).status, 200);
    assert_eq!(backend.requests().len(), 5);
    let series = r#"doorward_access_decisions_total{route="a",decision="refuse",reason="rate_limited"}"#;
    assert_eq!(gate.metric(series), 1.0);
    let line = gate.access_line("/a/x");
    assert!(
        line.contains("status=429") && line.contains("reason=rate_limited"),
        "{line}"
    );
    // A network of 64 bits is one client.
    for (address, status) in [
        ("2001:db8::1", 200),
        ("2001:db8::2", 200),
        ("2001:db8::3", 200),
        ("2001:db8::4", 429),
        ("2001:db8:0:1::1", 200),
    ] {
        assert_eq!(gate.get("/a", &from(address)).status, status, "{address}");
    }
    // A preflight is a request of the client's.
    let preflight = |client: &str| {
        gate.ask(format!(
            "OPTIONS /a HTTP/1.1\r\nHost: a\r\nOrigin: https://x.test\r\nAccess-Control-Request-Method: GET\r\n{}\r\n",
            from(client)
        ))
    };
    assert_eq!(preflight("203.0.113.1").status, 429);
    assert_eq!(preflight("203.0.113.9").status, 200);
}

#[test]
fn users_are_counted_wherever_they_come_from() {
    let backend = Upstream::start();
    let keys = "roles_any = [\"user\"]\nrate_limit = { requests = 2, per = \"10m\", by = \"user\" }";
    let gate = Gate::start(&config(&backend, &[("/a", keys)]));
    let (ann, bob) = (gate.bearer("ann", &["user"]), gate.bearer("bob", &["user"]));
    let ask = |who: &str, client: &str| gate.get("/a", &(who.to_owned() + &from(client))).status;
    assert_eq!(ask(&ann, "203.0.113.1"), 200);
    assert_eq!(ask(&ann, "203.0.113.2"), 200);
    assert_eq!(ask(&ann, "203.0.113.3"), 429);
    // Another token of hers is no other person.
    assert_eq!(ask(&gate.bearer("ann", &["user", "x"]), "203.0.113.4"), 429);
    assert_eq!(ask(&bob, "203.0.113.1"), 200);
    // Who shows nothing, or nothing good, is the client it comes from.
    assert_eq!(ask("", "203.0.113.1"), 401);
    assert_eq!(ask("Authorization: Bearer x.y.z\r\n", "203.0.113.1"), 401);
    assert_eq!(ask("", "203.0.113.1"), 429);
    assert_eq!(ask("Authorization: Bearer x.y.z\r\n", "203.0.113.1"), 429);
    assert_eq!(ask(&bob, "203.0.113.1"), 200);
    assert_eq!(backend.requests().len(), 4);
}

#[test]
fn what_was_counted_outlives_a_reload() {
    let backend = Upstream::start();
    let limited = |requests: u32| {
        let keys = format!("access = \"public\"\nrate_limit = {{ requests = {requests}, per = \"10m\" }}");
        config(&backend, &[("/a", keys.as_str())])
    };
    let gate = Gate::start(&limited(1));
    assert_eq!(gate.get("/a", "").status, 200);
    gate.write_config(&(limited(1) + "[cors]\nmax_age = \"1m\"\n"));
    assert!(gate.reload());
    assert_eq!(gate.get("/a", "").status, 429);
    gate.write_config(&limited(2));
    assert!(gate.reload());
    assert_eq!(gate.get("/a", "").status, 200);
}
