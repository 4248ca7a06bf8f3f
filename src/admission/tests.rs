//! Decisions, one row a case: method, target, who asks, what comes of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use http::Method;

use super::*;
use crate::authn::{Fault, Outcome, Proof};
use crate::authz::{Access, Rule};
use crate::principal::{CredentialKind, Issuer, Person, Roles};
use crate::route::{Host, PathPattern, Target};
use crate::telemetry::RouteSeries;

fn route(name: &str, path: &str, access: Access, roles_any: Option<&[&str]>) -> Route {
    Route {
        name: name.into(),
        hosts: Vec::new(),
        path: path.into(),
        methods: None,
        rule: Rule {
            access,
            roles_any: roles_any.map(|roles| roles.iter().map(|role| (*role).to_owned()).collect()),
            roles_all: Vec::new(),
            ..Rule::default()
        },
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
    }
}

fn policy(routes: Vec<Route>) -> Policy {
    let entries = routes.into_iter().map(|route| {
        let series = Arc::new(RouteSeries::new(&route.name, 1));
        Arc::new(RouteEntry::new(route, series).unwrap())
    });
    let login = EndpointRule {
        index: 3,
        path: PathPattern::exact("/api/login").unwrap(),
        methods: vec![Method::POST],
        rule: Rule {
            access: Access::Public,
            roles_any: None,
            roles_all: Vec::new(),
            ..Rule::default()
        },
        credentials: Credentials {
            bearer: true,
            session: false,
            basic: false,
        },
        takes: Takes::Anything,
        in_questions: false,
    };
    Policy::new(entries, [login], &[]).unwrap()
}

fn house() -> Policy {
    policy(vec![
        route("home", "/", Access::Public, None),
        route("app", "/app", Access::Authenticated, Some(&["user"])),
        route("admin", "/admin", Access::Authenticated, Some(&["admin"])),
        route("maybe", "/maybe", Access::Optional, None),
        route("closed", "/closed", Access::Deny, None),
    ])
}

fn known(roles: &[&str]) -> Outcome {
    Outcome::Known(Arc::new(Proof::of(Arc::new(Person {
        issuer: Issuer::Local,
        subject: "1".into(),
        user: None,
        name: "alice".into(),
        roles: roles.iter().copied().collect::<Roles>(),
        email: None,
        session: None,
        token_id: None,
        issued_at: 0,
        expires_at: i64::MAX,
        credential: CredentialKind::Bearer,
        limit: None,
        subject_prefix: 0,
    }))))
}

fn ask(policy: &Policy, method: &str, target: &str, outcome: &Outcome) -> String {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let host = Host::parse("shop.example.com").unwrap();
    let target = match Target::parse(target) {
        Ok(target) => target,
        Err(code) => return code.as_str().to_owned(),
    };
    let question = Question {
        host: Some(&host),
        target: &target,
        method: &method,
        preflight: false,
        cross_site: false,
        client: "10.0.0.1".parse().ok(),
        certificate: Some(false),
        at: None,
        forward_auth: false,
        again: false,
    };
    match policy.admit(&question, |_| outcome.clone()).0 {
        Err(refusal) => refusal.code().as_str().to_owned(),
        Ok(permit) => match permit.destination() {
            Destination::Route(entry) => match permit.proof() {
                Some(proof) => format!("{} as {}", entry.route.name, proof.person.name),
                None => entry.route.name.clone(),
            },
            Destination::Endpoint(index) => format!("endpoint {index}"),
            Destination::Preflight => "preflight".to_owned(),
        },
    }
}

#[test]
fn rules_are_applied_to_who_asks() {
    let (nobody, bad) = (Outcome::Anonymous, Outcome::Bad(Fault::Invalid("expired")));
    let (user, admin) = (known(&["user"]), known(&["user", "admin"]));
    let house = house();
    for (method, target, outcome, expected) in [
        ("GET", "/", &nobody, "home"),
        ("GET", "/", &bad, "home"),
        ("GET", "/app/x", &nobody, "credentials_required"),
        ("GET", "/app/x", &bad, "invalid_token"),
        ("GET", "/app/x", &Outcome::Bad(Fault::Several), "invalid_request"),
        ("GET", "/app/x", &Outcome::Bad(Fault::NotReady), "not_ready"),
        ("GET", "/app/x", &Outcome::Bad(Fault::IssuerUnreachable), "not_ready"),
        ("GET", "/app/x?y=/../", &user, "app as alice"),
        ("GET", "/apple", &nobody, "home"),
        ("GET", "/admin", &user, "insufficient_scope"),
        ("GET", "/admin/", &admin, "admin as alice"),
        ("GET", "/maybe", &nobody, "maybe"),
        ("GET", "/maybe", &user, "maybe as alice"),
        ("GET", "/maybe", &bad, "invalid_token"),
        ("GET", "/closed/x", &admin, "access_denied"),
        ("POST", "/api/login", &nobody, "endpoint 3"),
        ("GET", "/api/login", &nobody, "method_not_allowed"),
        ("POST", "/api/login/", &nobody, "home"),
    ] {
        assert_eq!(ask(&house, method, target, outcome), expected, "{method} {target}");
    }
}

#[test]
fn no_route_takes_our_own_urls() {
    let mut shop = route("shop", "/", Access::Public, None);
    shop.hosts = vec!["shop.example.com".into()];
    let house = policy(vec![shop]);
    assert_eq!(ask(&house, "POST", "/api/login", &Outcome::Anonymous), "endpoint 3");
    assert_eq!(
        ask(&house, "GET", "/api/login", &Outcome::Anonymous),
        "method_not_allowed"
    );
    assert_eq!(ask(&house, "GET", "/api/other", &Outcome::Anonymous), "shop");
    // A backend behind `/` that folds letters takes nothing from us: ours lets everybody pass, and so does the route.
    assert_eq!(ask(&house, "POST", "/API/login", &Outcome::Anonymous), "shop");
    assert_eq!(
        ask(&house, "GET", "/API/login", &Outcome::Anonymous),
        "ambiguous_target"
    );
}

#[test]
fn every_reading_of_a_target_has_to_pass() {
    let (nobody, user, admin) = (Outcome::Anonymous, known(&["user"]), known(&["user", "admin"]));
    let house = house();
    for target in [
        "/ADMIN",
        "//admin",
        "/x/%2fadmin",
        "/adm%69n;x",
        "/%61dmin",
        "/admi%256e",
        "/ａdmin".replace('ａ', "%EF%BD%81").as_str(),
    ] {
        let refused = ask(&house, "GET", target, &nobody);
        assert!(
            ["ambiguous_target", "credentials_required", "home"].contains(&refused.as_str()),
            "{target}: {refused}"
        );
        assert_ne!(refused, "admin", "{target}");
    }
    for target in ["/ADMIN", "//admin", "/Admin/x", "/admin%2fx/..%2f"] {
        let anonymous = ask(&house, "GET", target, &nobody);
        assert!(anonymous != "home", "{target} is not public: {anonymous}");
    }
    assert_eq!(ask(&house, "GET", "/ADMIN", &user), "ambiguous_target");
    assert_eq!(ask(&house, "GET", "/ADMIN", &admin), "home");
    assert_eq!(ask(&house, "GET", "/app/group%2Fproject", &user), "app as alice");
    assert_eq!(ask(&house, "GET", "/app/..%2fadmin", &user), "invalid_target");
}

#[test]
fn a_route_may_refuse_ambiguity_whoever_asks() {
    let mut strict = route("home", "/", Access::Public, None);
    strict.refuse_ambiguous = true;
    let house = policy(vec![
        strict,
        route("admin", "/admin", Access::Authenticated, Some(&["admin"])),
    ]);
    assert_eq!(ask(&house, "GET", "/ADMIN", &known(&["admin"])), "ambiguous_target");
    assert_eq!(ask(&house, "GET", "/Other", &Outcome::Anonymous), "home");
}

#[test]
fn what_is_stripped_is_there_in_every_reading() {
    let mut orders = route("orders", "/orders", Access::Public, None);
    orders.strip_prefix = Some("/orders".into());
    let house = policy(vec![orders]);
    assert_eq!(ask(&house, "GET", "/orders/a%2Fb", &Outcome::Anonymous), "orders");
    assert_eq!(ask(&house, "GET", "/Orders/a", &Outcome::Anonymous), "not_found");
}

#[test]
fn a_preflight_asks_for_nobody_and_networks_still_hold() {
    let mut inner = route("inner", "/inner", Access::Authenticated, None);
    inner.rule.networks = Some(crate::net::Networks::new(vec!["10.0.0.0/8".parse().unwrap()]));
    let mut answered = route("answered", "/answered", Access::Authenticated, Some(&["admin"]));
    answered.preflight = Preflight::Answer;
    let house = policy(vec![inner, answered, route("closed", "/closed", Access::Deny, None)]);
    let decide = |target: &str, client: Option<&str>| {
        let host = Host::parse("h").unwrap();
        let target = Target::parse(target).unwrap();
        let client = client.and_then(|client| client.parse().ok());
        let question = Question {
            host: Some(&host),
            target: &target,
            method: &Method::GET,
            preflight: true,
            client,
            cross_site: false,
            certificate: Some(false),
            at: None,
            forward_auth: false,
            again: false,
        };
        house
            .admit(&question, |_| panic!("a preflight carries no credential"))
            .0
            .map_err(|refusal| refusal.code().as_str())
    };
    assert!(matches!(
        decide("/inner", Some("10.1.1.1")).unwrap().destination(),
        Destination::Route(_)
    ));
    assert_eq!(decide("/inner", Some("11.1.1.1")).unwrap_err(), "network_not_allowed");
    assert_eq!(decide("/inner", None).unwrap_err(), "client_unknown");
    assert!(matches!(
        decide("/answered", None).unwrap().destination(),
        Destination::Preflight
    ));
    assert_eq!(decide("/closed", None).unwrap_err(), "access_denied");
}

#[test]
fn who_cannot_be_named_in_a_header_is_refused() {
    let Outcome::Known(proof) = known(&["user"]) else {
        panic!()
    };
    let mut person = Person::clone(&proof.person);
    person.name = "ali\r\nce".into();
    let odd = Outcome::Known(Arc::new(Proof::of(Arc::new(person))));
    assert_eq!(ask(&house(), "GET", "/app", &odd), "identity_not_representable");
    assert_eq!(ask(&house(), "GET", "/", &odd), "home");
}

/// Asks once at this time; the code of the refusal, or none.
fn ask_at(
    policy: &Policy,
    target: &str,
    outcome: &Outcome,
    client: &str,
    preflight: bool,
    at: Option<std::time::Instant>,
) -> Option<Refusal> {
    let host = Host::parse("shop.example.com").unwrap();
    let target = Target::parse(target).unwrap();
    let question = Question {
        host: Some(&host),
        target: &target,
        method: &Method::GET,
        preflight,
        client: client.parse().ok(),
        at,
        cross_site: false,
        certificate: Some(false),
        again: false,
        forward_auth: false,
    };
    policy.admit(&question, |_| outcome.clone()).0.err()
}

fn limited(path: &str, access: Access, by: crate::rate::By) -> Route {
    let mut limited = route(path.trim_matches('/'), path, access, Some(&["user"]));
    if access == Access::Public {
        limited.rule.roles_any = None;
    }
    limited.rate_limit = Some(crate::rate::Settings {
        requests: std::num::NonZeroU32::MIN,
        per: std::time::Duration::from_secs(60),
        by,
    });
    limited
}

fn person(subject: &str, roles: &[&str]) -> Outcome {
    let Outcome::Known(proof) = known(roles) else { panic!() };
    let mut person = Person::clone(&proof.person);
    person.subject = subject.into();
    Outcome::Known(Arc::new(Proof::of(Arc::new(person))))
}

#[test]
fn a_limit_by_client_is_asked_before_the_credential() {
    use crate::rate::By;
    let now = Some(std::time::Instant::now());
    let house = policy(vec![limited("/a", Access::Authenticated, By::Client)]);
    let ask = |outcome: &Outcome, client| ask_at(&house, "/a", outcome, client, false, now);
    assert_eq!(ask(&Outcome::Anonymous, "10.0.0.1"), Some(Refusal::CredentialsRequired));
    let host = Host::parse("shop.example.com").unwrap();
    let target = Target::parse("/a").unwrap();
    let question = Question {
        host: Some(&host),
        target: &target,
        method: &Method::GET,
        preflight: false,
        client: "10.0.0.1".parse().ok(),
        at: now,
        cross_site: false,
        certificate: Some(false),
        again: false,
        forward_auth: false,
    };
    let refused = house.admit(&question, |_| panic!("no credential is verified for it")).0;
    assert_eq!(refused.err(), Some(Refusal::RateLimited { retry_after: 60 }));
    assert_eq!(ask(&known(&["user"]), "10.0.0.2"), None);
    assert_eq!(
        ask(&known(&["user"]), "10.0.0.2").map(|refusal| refusal.code().as_str()),
        Some("rate_limited")
    );
    // Who only wants to know is not counted, and not refused.
    assert_eq!(ask_at(&house, "/a", &known(&["user"]), "10.0.0.2", false, None), None);
}

#[test]
fn a_limit_by_user_counts_users_and_strangers_by_their_client() {
    use crate::rate::By;
    let now = Some(std::time::Instant::now());
    let house = policy(vec![
        limited("/a", Access::Authenticated, By::User),
        limited("/open", Access::Public, By::User),
    ]);
    let limited = Some(Refusal::RateLimited { retry_after: 60 });
    let ask = |outcome: &Outcome, client| ask_at(&house, "/a", outcome, client, false, now);
    assert_eq!(ask(&person("1", &["user"]), "10.0.0.1"), None);
    assert_eq!(ask(&person("1", &["user"]), "10.0.0.2"), limited);
    assert_eq!(ask(&person("2", &["user"]), "10.0.0.1"), None);
    // Who may not pass is counted as well, and then told so.
    assert_eq!(ask(&person("3", &[]), "10.0.0.1"), Some(Refusal::MissingRole));
    assert_eq!(ask(&person("3", &[]), "10.0.0.1"), limited);
    let bad = Outcome::Bad(Fault::Invalid("expired"));
    assert_eq!(
        ask(&bad, "10.0.0.1"),
        Some(Refusal::BadCredential(Fault::Invalid("expired")))
    );
    assert_eq!(ask(&Outcome::Anonymous, "10.0.0.1"), limited);
    assert_eq!(ask(&Outcome::Anonymous, "10.0.0.9"), Some(Refusal::CredentialsRequired));
    // A public route knows nobody; each route counts for itself; a preflight is its client's.
    let open = |client, preflight| ask_at(&house, "/open", &person("1", &["user"]), client, preflight, now);
    assert_eq!(
        [open("10.0.0.1", false), open("10.0.0.1", false)],
        [None, limited.clone()]
    );
    assert_eq!([open("10.0.0.3", true), open("10.0.0.3", true)], [None, limited]);
}

#[test]
fn what_was_counted_outlives_a_reload_that_leaves_the_limit_alone() {
    use crate::rate::By;
    let now = Some(std::time::Instant::now());
    let made = limited("/a", Access::Public, By::Client);
    let old = policy(vec![made.clone()]);
    assert_eq!(ask_at(&old, "/a", &Outcome::Anonymous, "10.0.0.1", false, now), None);
    let reloaded = |route: Route| {
        let series = Arc::new(RouteSeries::new(&route.name, 1));
        let entry = RouteEntry::new(route, series).unwrap().keeping(&old);
        let policy = Policy::new([Arc::new(entry)], [], &[]).unwrap();
        ask_at(&policy, "/a", &Outcome::Anonymous, "10.0.0.1", false, now)
    };
    assert_eq!(reloaded(made.clone()), Some(Refusal::RateLimited { retry_after: 60 }));
    let mut other = made;
    other.rate_limit.as_mut().unwrap().per *= 2;
    assert_eq!(reloaded(other), None);
}
