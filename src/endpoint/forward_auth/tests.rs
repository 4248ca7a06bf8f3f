//! What each dialect reads and answers, field by field.

#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::*;
use crate::codes::Code;
use crate::identity;
use crate::problem::{Challenge, Problem};

const NGINX: &[(&str, &str)] = &[
    ("x-original-method", "PUT"),
    ("x-original-url", "https://App.test:8443/a?b"),
];
const FORWARDED: &[(&str, &str)] = &[
    ("x-forwarded-method", "PUT"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "App.test:8443"),
    ("x-forwarded-uri", "/a?b"),
];

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

/// What a dialect makes of these fields: the original request, or what is wrong.
fn read(dialect: Dialect, fields: &[(&str, &str)]) -> String {
    let headers = map(fields);
    let head = Head {
        method: &Method::PUT,
        authority: Some("App.test:8443"),
        rest: "/a?b",
        headers: &headers,
    };
    match dialect.read(&head) {
        Ok(original) => {
            let Original {
                method,
                secure,
                web_socket,
                host,
                authority,
                target,
            } = original;
            assert_eq!(host.unwrap().name(), "app.test");
            assert_eq!((authority, target), ("App.test:8443", "/a?b"));
            let scheme = match (secure, web_socket) {
                (None, _) => "?",
                (Some(true), false) => "https",
                (Some(false), false) => "http",
                (Some(true), true) => "wss",
                (Some(false), true) => "ws",
            };
            format!("{method} {scheme}")
        }
        Err(fault) => {
            assert!(!dialect.advice(&fault).is_empty());
            fault.to_string()
        }
    }
}

/// The fields of a good question with one put in another's place; an empty value: without it.
fn with<'a>(good: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let others = good.iter().copied().filter(|(other, _)| *other != name);
    others
        .chain(Some((name, value)).filter(|_| !value.is_empty()))
        .collect()
}

#[test]
fn each_dialect_reads_its_own_fields_and_no_others() {
    let all: Vec<_> = NGINX.iter().chain(FORWARDED).copied().collect();
    for fields in [NGINX, &all] {
        assert_eq!(read(Dialect::Nginx, fields), "PUT https");
    }
    for dialect in [Dialect::Traefik, Dialect::Caddy] {
        for fields in [FORWARDED, &all] {
            assert_eq!(read(dialect, fields), "PUT https");
        }
        assert_eq!(read(dialect, NGINX), "X-Forwarded-Method is missing");
    }
    assert_eq!(read(Dialect::Nginx, FORWARDED), "X-Original-Method is missing");
    assert_eq!(read(Dialect::Envoy, NGINX), "PUT ?");
    assert_eq!(read(Dialect::Envoy, &all), "PUT https");
    // Not the same name, however some backend reads it.
    let alike = [("x_original_method", "PUT"), ("x.original.url", "https://app.test/a")];
    assert_eq!(read(Dialect::Nginx, &alike), "X-Original-Method is missing");
}

#[test]
fn schemes_are_those_of_requests_and_web_sockets() {
    for (text, expected) in [("https", "https"), ("HTTP", "http"), ("wss", "wss"), ("Ws", "ws")] {
        for dialect in [Dialect::Traefik, Dialect::Caddy, Dialect::Envoy] {
            let found = read(dialect, &with(FORWARDED, "x-forwarded-proto", text));
            assert_eq!(found, format!("PUT {expected}"));
        }
        let url = format!("{text}://App.test:8443/a?b");
        assert_eq!(
            read(Dialect::Nginx, &with(NGINX, "x-original-url", &url)),
            format!("PUT {expected}")
        );
    }
}

#[test]
fn what_is_missing_repeated_or_malformed_is_named() {
    let forwarded = [
        ("x-forwarded-method", "X-Forwarded-Method", "A,B"),
        ("x-forwarded-proto", "X-Forwarded-Proto", "https, http"),
        ("x-forwarded-host", "X-Forwarded-Host", "user@app.test"),
        ("x-forwarded-uri", "X-Forwarded-Uri", "https://app.test/a"),
    ];
    let nginx = [
        ("x-original-method", "X-Original-Method", "A B"),
        ("x-original-url", "X-Original-URL", "/a"),
    ];
    let tables = [
        (Dialect::Nginx, NGINX, &nginx[..]),
        (Dialect::Traefik, FORWARDED, &forwarded[..]),
        (Dialect::Caddy, FORWARDED, &forwarded[..]),
    ];
    for (dialect, good, table) in tables {
        for (name, text, malformed) in table {
            assert_eq!(read(dialect, &with(good, name, "")), format!("{text} is missing"));
            assert_eq!(
                read(dialect, &with(good, name, malformed)),
                format!("{text} is malformed")
            );
            assert_eq!(
                read(dialect, &with(good, name, "\u{e4}")),
                format!("{text} is malformed")
            );
            let twice: Vec<_> = good
                .iter()
                .chain(good.iter().filter(|(other, _)| other == name))
                .copied()
                .collect();
            assert_eq!(read(dialect, &twice), format!("{text} is repeated"));
        }
    }
    let twice = [("x-forwarded-proto", "https"); 2];
    assert_eq!(read(Dialect::Envoy, &twice), "X-Forwarded-Proto is repeated");
}

#[test]
fn envoy_asks_with_the_request_itself() {
    let headers = HeaderMap::new();
    let head = |authority, rest| Head {
        method: &Method::GET,
        authority,
        rest,
        headers: &headers,
    };
    assert_eq!(Dialect::Envoy.read(&head(None, "/a")).unwrap().host, None);
    for (authority, rest, fault) in [
        (Some("a@b"), "/a", "Host is malformed"),
        (Some("a"), "", "the path behind the endpoint's is missing"),
        (Some("a"), "?x", "the path behind the endpoint's is missing"),
    ] {
        assert_eq!(
            Dialect::Envoy.read(&head(authority, rest)).unwrap_err().to_string(),
            fault
        );
    }
}

#[test]
fn endpoints_are_exact_but_for_envoys() {
    for (target, expected) in [
        ("/auth/nginx", Some((Dialect::Nginx, Some("")))),
        ("/auth/traefik?x=/y", Some((Dialect::Traefik, Some("?x=/y")))),
        ("/auth/caddy", Some((Dialect::Caddy, Some("")))),
        ("/auth/envoy", Some((Dialect::Envoy, Some("")))),
        ("/auth/envoy/a?b", Some((Dialect::Envoy, Some("/a?b")))),
        ("/auth/envoy//a", Some((Dialect::Envoy, Some("//a")))),
        ("/auth/envoyer", None),
        ("/auth/nginx/", Some((Dialect::Nginx, None))),
        ("/auth/nginx/x", Some((Dialect::Nginx, None))),
        ("/auth/nginxx", None),
        ("/auth/NGINX", Some((Dialect::Nginx, None))),
        ("/Auth/nginx", Some((Dialect::Nginx, None))),
        ("/auth//nginx", Some((Dialect::Nginx, None))),
        ("//auth/nginx?x", Some((Dialect::Nginx, None))),
        ("/auth///Caddy;x", Some((Dialect::Caddy, None))),
        ("/auth/x/nginx", None),
        ("/auth/login?/nginx", None),
        ("/auth?/nginx", None),
        ("auth/nginx", None),
        ("/authx/nginx", None),
        ("/auth", None),
        ("/nginx", None),
        ("*", None),
    ] {
        let found = Dialect::of_target("/auth", target);
        let found = found.map(|addressed| (addressed.dialect, addressed.rest));
        assert_eq!(found, expected, "{target}");
    }
    let deep = Dialect::of_target("/a/b", "/A//b/nginx").unwrap();
    assert_eq!((deep.dialect, deep.rest), (Dialect::Nginx, None));
    assert_eq!(Dialect::of_target("/a/b", "/a/b/nginx").unwrap().rest, Some(""));
    assert_eq!(Dialect::of_target("/a/b", "/ab/nginx"), None);
}

#[test]
fn every_code_has_a_status_that_the_program_passes_on() {
    let allowed = |dialect| match dialect {
        Dialect::Nginx => &[401, 403][..],
        Dialect::Traefik | Dialect::Caddy => &[400, 401, 403, 404, 405, 421, 429, 503],
        Dialect::Envoy => &[401, 403, 404, 429],
    };
    for dialect in Dialect::ALL {
        for code in Code::ALL {
            let problem = Problem::new(*code, "text").retry_after(7).challenged(Challenge::Bearer);
            let decision = Decision::Refused {
                problem: &problem,
                reads: true,
            };
            let answer = answer(dialect, &decision);
            let status = answer.status().as_u16();
            assert!(allowed(dialect).contains(&status), "{dialect:?} {code:?}: {status}");
            let same = status == code.status().as_u16();
            assert_eq!(same, allowed(dialect).contains(&code.status().as_u16()));
            assert_eq!(answer.headers()[REASON], code.as_str());
            assert_eq!(answer.headers()["retry-after"], "7");
            assert!(answer.headers().contains_key("www-authenticate"));
            assert!(answer.body().is_empty());
        }
    }
}

#[test]
fn a_login_is_told_as_each_program_hands_it_on() {
    let location = HeaderValue::from_static("https://login.test/auth/login?rd=x");
    let problem = Problem::new(Code::CredentialsRequired, "text")
        .challenged(Challenge::Bearer)
        .leading_to(location.clone());
    for (dialect, reads, status, body) in [
        (Dialect::Nginx, true, StatusCode::UNAUTHORIZED, false),
        (Dialect::Nginx, false, StatusCode::UNAUTHORIZED, false),
        (Dialect::Traefik, true, StatusCode::FOUND, false),
        (Dialect::Traefik, false, StatusCode::SEE_OTHER, false),
        (Dialect::Caddy, true, StatusCode::FOUND, false),
        (Dialect::Caddy, false, StatusCode::SEE_OTHER, false),
        (Dialect::Envoy, true, StatusCode::FOUND, true),
        (Dialect::Envoy, false, StatusCode::FOUND, true),
    ] {
        let decision = Decision::Refused {
            problem: &problem,
            reads,
        };
        let answer = answer(dialect, &decision);
        assert_eq!((answer.status(), &answer.headers()["location"]), (status, &location));
        assert_eq!(answer.body().as_ref() == location.as_bytes(), body);
        assert_eq!(
            answer.headers().contains_key("www-authenticate"),
            dialect == Dialect::Nginx
        );
    }
}

#[test]
fn every_identity_header_that_has_a_name_is_sent() {
    let mut names = identity::Settings {
        email: None,
        ..identity::Settings::default()
    };
    names.user = Some(HeaderName::from_static("remote-user"));
    for dialect in Dialect::ALL {
        let answer = answer(
            dialect,
            &Decision::Allowed {
                pass: &Pass::new(&names),
                values: None,
            },
        );
        assert_eq!(answer.status(), StatusCode::OK);
        for name in ["remote-user", "x-user-id", "x-user-roles"] {
            assert_eq!(answer.headers()[name], "");
        }
        assert!(!answer.headers().contains_key("x-user-email"));
        assert_eq!(answer.headers()["content-length"], "0");
    }
}
