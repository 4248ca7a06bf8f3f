//! Edges that limit, ban, are slow or go away: bounded, and no refusal that is none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::closed::nginx::nginx;
use super::{Echo, TOKEN, probe};
use crate::support::reply::Reply;
use crate::support::upstream::Upstream;

/// What the echo answers, as far as the probe looks, for whoever has the token.
fn echoed(request: &crate::support::upstream::Request) -> Reply {
    if request.header("authorization").is_none() {
        return Reply::new(401, &[], "");
    }
    let body = serde_json::json!({
        "doorward_probe_echo": 1, "method": request.method, "target": request.target, "headers": [], "trailers": [],
    });
    Reply::new(200, &[("Doorward-Probe-Echo", "1")], body.to_string().as_bytes())
}

/// As many requests as docs/probe.md says: with a public path, four identity headers, and HTTP/2.
#[test]
fn as_many_requests_as_are_documented() {
    let documents = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/probe.md");
    let documents = std::fs::read_to_string(documents).unwrap();
    let number = |before: &str| -> usize {
        let (_, rest) = documents.split_once(before).unwrap_or_else(|| panic!("{before}"));
        rest.split("**").next().unwrap().parse().unwrap()
    };
    let (most, each) = (number("up to **"), number("another **"));
    let echo = Echo::start();
    let chain = super::chains::haproxy(
        &format!(
            "  http-request set-header X-User alice\n  http-request set-header X-User-Roles user\n  http-request set-header X-User-Id 1\n  http-request set-header X-User-Email a\n  option forwardfor\n  http-request deny deny_status 401 if {{ path_beg /staff }} !{{ req.hdr(authorization) -m str \"Bearer {TOKEN}\" }}"
        ),
        &echo,
    );
    let url = chain.url("/staff/x");
    let count = |names: &[&str]| {
        let more: Vec<&str> = names.iter().flat_map(|name| ["--identity-header", *name]).collect();
        let said = probe(&[&[url.as_str(), "--token", TOKEN, "--public", "/open"], more.as_slice()].concat());
        assert_eq!(
            (&said.report["http2"], &said.report["complete"]),
            (&true.into(), &true.into())
        );
        usize::try_from(said.report["requests"].as_u64().unwrap()).unwrap()
    };
    let four = count(&["X-User-Id", "X-User-Email"]);
    assert!(
        four <= most && four + 25 > most,
        "{four} requests, and {most} are documented"
    );
    let five = count(&["X-User-Id", "X-User-Email", "X-User-Name"]);
    assert!(
        five - four <= each && five - four + 8 > each,
        "{} for a name, and {each} are documented",
        five - four
    );
    // Nothing that may be asked for leads beyond the bound.
    let names: Vec<String> = (0..14).map(|number| format!("X-Name-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let more: Vec<&str> = names.iter().flat_map(|name| ["--identity-header", *name]).collect();
    let said = probe(&[&[url.as_str(), "--token", TOKEN, "--public", "/open"], more.as_slice()].concat());
    assert!(
        said.report["requests"].as_u64().unwrap() <= 1000,
        "{}",
        said.report["requests"]
    );
    let said = probe(&[&[url.as_str(), "--identity-header", "X-One-More"], more.as_slice()].concat());
    assert_eq!(said.status, 2, "{}", said.error);
}

/// Requests that a limiter refuses are sent again, and nothing is called clean that was not tried.
#[test]
fn a_rate_limit_is_waited_for() {
    let seen = AtomicUsize::new(0);
    let edge = Upstream::answering(move |request| {
        // Every tenth.
        match seen.fetch_add(1, Ordering::AcqRel) % 10 {
            9 => Reply::new(429, &[("Retry-After", "0")], ""),
            _ => echoed(request),
        }
    });
    let said = probe(&[&format!("{}/staff", edge.url()), "--token", TOKEN]);
    assert!(
        said.report["notes"].to_string().contains("429"),
        "{:#} {}",
        said.report,
        said.error
    );
    assert_eq!(said.report["complete"], true, "{:#}", said.report);
}

#[test]
fn a_limit_that_does_not_end_is_told() {
    let seen = AtomicUsize::new(0);
    let edge = Upstream::answering(move |request| match seen.fetch_add(1, Ordering::AcqRel) {
        0..60 => echoed(request),
        _ => Reply::new(429, &[("Retry-After", "3600")], ""),
    });
    let begun = Instant::now();
    let url = format!("{}/staff", edge.url());
    let said = probe(&[&url, "--token", TOKEN, "--time-limit", "5"]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(
        (said.status, &said.report["complete"]),
        (1, &false.into()),
        "{}",
        said.report
    );
    let told = said.report["incomplete"].to_string();
    assert!(
        told.contains("time of 5 s was over") || told.contains("the time was over"),
        "{told}"
    );
    assert!(edge.requests().len() < 100, "{}", edge.requests().len());
}

/// What bans refuses everything, which looks like an edge without holes.
#[test]
fn a_ban_is_told() {
    let seen = AtomicUsize::new(0);
    let edge = Upstream::answering(move |request| match seen.fetch_add(1, Ordering::AcqRel) {
        0..60 => echoed(request),
        _ => Reply::new(403, &[], ""),
    });
    let said = probe(&[&format!("{}/staff", edge.url()), "--token", TOKEN]);
    assert_eq!((said.status, &said.report["complete"]), (1, &false.into()));
    let told = said.report["incomplete"].to_string();
    assert!(
        told.contains("lets through no more (it answered HTTP/1.1 403"),
        "{told}"
    );
    assert!(edge.requests().len() < 120, "{}", edge.requests().len());
}

/// nginx' own limiter, whose answer is 503 where nobody says otherwise.
#[test]
fn nginx_limits() {
    let echo = Echo::start();
    let nginx = nginx(
        "limit_req_zone $binary_remote_addr zone=all:1m rate=10r/m;",
        &format!(
            "location / {{ limit_req zone=all burst=30 nodelay; proxy_pass http://{}; }}",
            echo.address
        ),
    );
    let said = probe(&[&nginx.url("/"), "--token", TOKEN]);
    let told = said.report["incomplete"].to_string();
    assert!(told.contains("503") && told.contains("a rate limit"), "{told}");
    assert_eq!(said.status, 1);
}

#[test]
fn a_slow_edge_is_told() {
    let edge = Upstream::answering(|request| {
        std::thread::sleep(Duration::from_millis(300));
        echoed(request)
    });
    let begun = Instant::now();
    let said = probe(&[&format!("{}/staff", edge.url()), "--token", TOKEN, "--time-limit", "3"]);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let told = said.report["incomplete"].to_string();
    assert!(told.contains("the time of 3 s was over (--time-limit)"), "{told}");
    assert_eq!(said.status, 1);
}

/// Whoever asks for a limit at once, or sends people elsewhere, is told apart.
#[test]
fn what_cannot_begin_says_why() {
    let limits = Upstream::answering(|_| Reply::new(429, &[("Retry-After", "0")], ""));
    let login = Upstream::answering(|_| Reply::new(302, &[("Location", "/login")], ""));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let plain = nginx("", "");
    let tls = plain.url("/").replace("http://", "https://");
    for (url, token, words) in [
        (limits.url(), Some("a"), "a rate limit: take it off"),
        (login.url(), Some("a"), "the chain answered HTTP/1.1 302"),
        (login.url(), Some("a"), "token inspect"),
        (login.url(), None, "a login page, most likely"),
        (silent, None, "no answer within 10 s"),
        (tls, None, "should the URL begin with http://?"),
    ] {
        let token: Vec<&str> = token.iter().flat_map(|token| ["--token", token]).collect();
        let said = probe(&[&[url.as_str(), "--time-limit", "20"], token.as_slice()].concat());
        assert_eq!(said.status, 1, "{url}");
        assert!(said.error.contains(words), "{url}: {words}: {}", said.error);
    }
}
