//! What a request costs between its head and its upstream: the walk over its headers, the decision, the identity it is
//! given, or the problem it gets instead. `cargo bench --bench decision`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may stop where it is wrong")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use doorward::admission::{
    Credentials, EndpointRule, HeaderChanges, HostHeader, Policy, Preflight, Question, Refusal, Route, RouteEntry,
};
use doorward::authn::{Fault, Outcome, Proof};
use doorward::authz::{Access, Rule};
use doorward::codes::Code;
use doorward::headers::Reserved;
use doorward::principal::{CredentialKind, Issuer, Person, Roles};
use doorward::problem::{Challenge, Problem};
use doorward::route::{Host, PathPattern, Target};
use doorward::telemetry::RouteSeries;
use doorward::{answer, identity};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

fn main() {
    divan::main();
}

/// A browser's fields, the most usual first; the ninth to the last are what proxies and forgers add.
const FIELDS: [(&str, &str); 16] = [
    ("host", "shop.example.com"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    (
        "authorization",
        "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl",
    ),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://shop.example.com/orders"),
    ("cookie", "theme=dark; consent=1; _ga=GA1.1.1234567890.1700000000"),
    ("connection", "keep-alive"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("priority", "u=0, i"),
    ("x-user", "mallory"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-requested-with", "XMLHttpRequest"),
];

fn headers(count: usize) -> HeaderMap {
    let field = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    FIELDS.into_iter().take(count).map(field).collect()
}

fn person() -> Person {
    Person {
        issuer: Issuer::Local,
        subject: "7".into(),
        user: None,
        name: "alice".into(),
        roles: ["user", "ops"].into_iter().collect::<Roles>(),
        email: Some("alice@example.com".into()),
        session: None,
        token_id: None,
        issued_at: 0,
        expires_at: i64::MAX,
        credential: CredentialKind::Bearer,
        limit: None,
        subject_prefix: 0,
    }
}

#[divan::bench(args = [4, 16])]
fn sift_headers(bencher: Bencher<'_, '_>, count: usize) {
    let reserved = Reserved::new([]);
    bencher
        .with_inputs(|| headers(count))
        .bench_local_refs(|headers| reserved.sift(black_box(headers), false));
}

#[divan::bench]
fn make_identity(bencher: Bencher<'_, '_>) {
    let person = person();
    bencher.bench_local(|| identity::Values::of(black_box(&person)).unwrap());
}

#[divan::bench]
fn set_identity(bencher: Bencher<'_, '_>) {
    let (values, names) = (identity::Values::of(&person()).unwrap(), identity::Settings::default());
    bencher
        .with_inputs(|| headers(8))
        .bench_local_refs(|headers| values.set(&names, headers));
}

fn rule(roles: &[&str]) -> Rule {
    Rule {
        access: Access::Authenticated,
        roles_any: Some(roles.iter().map(|role| (*role).to_owned()).collect()),
        roles_all: Vec::new(),
        networks: None,
        ..Rule::default()
    }
}

/// Routes that ask for a role, and one of our own endpoints beside.
fn policy(routes: usize) -> Policy {
    let entries = (0..routes).map(|number| {
        let route = Route {
            name: format!("r{number}"),
            hosts: Vec::new(),
            path: format!("/service{number}/api"),
            methods: None,
            rule: rule(&["user"]),
            credentials: Credentials {
                bearer: true,
                session: true,
                basic: false,
            },
            upstream: Some("app".into()),
            strip_prefix: None,
            host_header: HostHeader::Preserve,
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
            forward_token: false,
            max_body: None,
            rate_limit: None,
            preflight: Preflight::Pass,
            cross_site_allowed: false,
            refuse_ambiguous: false,
            shadow: false,
        };
        let series = Arc::new(RouteSeries::new(&route.name, 1));
        Arc::new(RouteEntry::new(route, series).unwrap())
    });
    let login = EndpointRule {
        index: 0,
        path: PathPattern::exact("/api/login").unwrap(),
        methods: vec![Method::POST],
        rule: rule(&[]),
        credentials: Credentials {
            bearer: true,
            session: true,
            basic: false,
        },
        takes: doorward::admission::Takes::Anything,
        in_questions: false,
    };
    Policy::new(entries, [login], &[]).unwrap()
}

/// From the target's bytes to the permit, for somebody who is known already; then with a target that has other readings.
#[divan::bench(args = ["/service7/api/v1/items/1234567?page=2", "/service7/api/v1/my%20File.txt"])]
fn permit(bencher: Bencher<'_, '_>, target: &str) {
    let (policy, host) = (policy(10), Host::parse("shop.example.com").unwrap());
    let known = Outcome::Known(Arc::new(Proof::of(Arc::new(person()))));
    bencher.bench_local(|| {
        let target = Target::parse(black_box(target)).unwrap();
        assert!(ask(&policy, &host, &target, &known).is_ok());
    });
}

#[divan::bench(args = [10, 10_000])]
fn permit_among_routes(bencher: Bencher<'_, '_>, routes: usize) {
    let (policy, host) = (policy(routes), Host::parse("shop.example.com").unwrap());
    let target = Target::parse("/service7/api/v1/items/1234567?page=2").unwrap();
    let known = Outcome::Known(Arc::new(Proof::of(Arc::new(person()))));
    bencher.bench_local(|| assert!(ask(&policy, &host, black_box(&target), &known).is_ok()));
}

/// Why somebody does not pass, and the answer that they get for it.
#[divan::bench]
fn refuse(bencher: Bencher<'_, '_>) {
    let (policy, host) = (policy(10), Host::parse("shop.example.com").unwrap());
    let target = Target::parse("/service7/api/v1/items/1234567?page=2").unwrap();
    let bad = Outcome::Bad(Fault::Invalid("signature"));
    bencher.bench_local(|| ask(&policy, &host, black_box(&target), &bad).unwrap_err().code());
}

fn ask(policy: &Policy, host: &Host<'_>, target: &Target<'_>, outcome: &Outcome) -> Result<(), Refusal> {
    let question = Question {
        host: Some(host),
        target,
        method: &Method::GET,
        preflight: false,
        client: None,
        cross_site: false,
        certificate: Some(false),
        at: None,
        forward_auth: false,
        again: false,
    };
    policy.admit(&question, |_| outcome.clone()).0.map(|_| ())
}

#[divan::bench]
fn problem_as_answer(bencher: Bencher<'_, '_>) {
    let problem = Problem::new(Code::InvalidToken, "The access token is invalid or has ended.")
        .because("signature")
        .challenged(Challenge::InvalidToken);
    bencher.bench_local(|| {
        let answer = answer::problem(black_box(&problem));
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        answer
    });
}
