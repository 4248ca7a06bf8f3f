//! Who a backend is told the request is from: what the gateway says, and nothing that a client says.

use http::Method;

use super::gate::{Gate, route, upstream};
use super::last;
use crate::support::client::Protocol;
use crate::support::raw::RawClient;
use crate::support::upstream::{Request, Upstream};
use crate::support::upstream_h2c::H2cUpstream;

/// Names that no client has a say in, spelt as clients spell them.
const LOOK_ALIKES: [&str; 38] = [
    "X-User",
    "x-user",
    "X_User",
    "x.user",
    "X~User",
    "X!User",
    "X|User",
    "X-User-Id",
    "X_User_Id",
    "x.user_id",
    "X-User-Roles",
    "X_USER_ROLES",
    "X-User-Email",
    "X-User-Assertion",
    "Remote-Person",
    "Remote_Person",
    "X-Forwarded-For",
    "X_Forwarded_For",
    "X-Forwarded-Proto",
    "X_Forwarded_Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-User",
    "X-Forwarded-Anything",
    "X-Original-URL",
    "X_Original_Url",
    "X-Original-Method",
    "X-Original-Forwarded-For",
    "X-Rewrite-URL",
    "X-Real-IP",
    "X_Real_Ip",
    "Forwarded",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X_Method_Override",
];

fn folded(name: &str) -> String {
    let fold = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    name.chars().map(fold).collect()
}

fn config(url: &str) -> String {
    [
        upstream("app", url, ""),
        route("app", "/app", "app", ""),
        route("maybe", "/maybe", "app", "access = \"optional\""),
        route("open", "/open", "app", "access = \"public\""),
    ]
    .concat()
}

/// Nothing in what the upstream got comes from the client's `evil`.
fn assert_clean(request: &Request, case: &str) {
    for (name, value) in request.headers.0.iter().chain(&request.trailers.0) {
        assert!(!value.contains("evil"), "{case}: {name}: {value}");
    }
}

fn identity(request: &Request) -> [Vec<&str>; 4] {
    ["x-user", "x-user-id", "x-user-roles", "x-user-email"].map(|name| request.headers.all(name))
}

#[test]
fn a_backend_is_told_who_it_is_exactly_once() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let ann = gate.bearer("ann", &["user", "admin"]);
    for target in ["/app", "/maybe"] {
        let mut client = gate.connect();
        // Also the second time, when the token is remembered.
        for _ in 0..2 {
            client.send(format!(
                "GET {target} HTTP/1.1\r\nHost: a\r\n{ann}X-User: evil\r\nX-User: evil\r\n\r\n"
            ));
            assert_eq!(client.response().status, 200);
            let request = last(&backend);
            assert_eq!(request.header("x-user"), Some("ann"));
            assert_eq!(request.header("x-user-id"), Some("ann"));
            let mut roles: Vec<&str> = request.header("x-user-roles").unwrap().split(',').collect();
            roles.sort_unstable();
            assert_eq!(roles, ["admin", "user"]);
            assert_eq!(request.header("x-user-email"), None);
        }
    }
    // Names that are no ASCII arrive as UTF-8; what no header can carry is refused, not trimmed.
    assert_eq!(gate.get("/app", &gate.bearer("Zoë Ångström", &[])).status, 200);
    assert_eq!(last(&backend).header("x-user"), Some("Zoë Ångström"));
    let before = backend.requests().len();
    for name in [" ann", "ann ", "a\tb", "a\r\nX-Evil: 1", "a\0"] {
        let response = gate.get("/app", &gate.bearer(name, &[]));
        assert_eq!(response.status, 403, "{name:?}");
        assert_eq!(response.json()["error"], "identity_not_representable", "{name:?}");
    }
    assert_eq!(backend.requests().len(), before);
}

#[test]
fn nobody_can_say_it_for_the_gateway() {
    let backend = Upstream::start();
    let config = config(&backend.url()) + "[identity_headers]\nassertion = \"\"\nid = \"\"\nuser = \"Remote-Person\"\n";
    let renamed = Gate::start(&config);
    let gate = Gate::with_tls(&self::config(&backend.url()));
    let ann = gate.bearer("ann", &["user"]);
    for (target, credential) in [
        ("/open", ""),
        ("/maybe", ""),
        ("/app", ann.as_str()),
        ("/open", ann.as_str()),
    ] {
        for name in LOOK_ALIKES {
            if name.starts_with("Remote") {
                continue;
            }
            let case = format!("{name} on {target} with {credential:?}");
            assert_eq!(
                gate.get(target, &format!("{credential}{name}: evil\r\n")).status,
                200,
                "{case}"
            );
            let request = last(&backend);
            assert_clean(&request, &case);
            for (sent, _) in &request.headers.0 {
                // Whatever is there by such a name is the gateway's own, under its proper name.
                assert!(
                    folded(sent) != folded(name) || sent.to_lowercase() == folded(name),
                    "{case}: {sent}"
                );
            }
            let expected: &[&str] = if target == "/app" { &["ann"] } else { &[] };
            assert_eq!(request.headers.all("x-user"), expected, "{case}");
        }
    }
    // All at once, with others that stay.
    let all: String = LOOK_ALIKES.iter().map(|name| format!("{name}: evil\r\n")).collect();
    let harmless = "X-Userland: stays\r\nX-Forward: stays\r\nForwarded-By: stays\r\nX-Users: stays\r\n";
    assert_eq!(renamed.get("/open", &(all + harmless)).status, 200);
    let request = last(&backend);
    assert_clean(&request, "all");
    for name in ["x-userland", "x-forward", "forwarded-by", "x-users"] {
        assert_eq!(request.header(name), Some("stays"), "{name}");
    }
    assert_eq!(renamed.get("/app", &renamed.bearer("ann", &[])).status, 200);
    let request = last(&backend);
    assert_eq!(request.header("remote-person"), Some("ann"));
    assert_eq!((request.header("x-user"), request.header("x-user-id")), (None, None));
}

#[test]
fn nobody_can_say_it_over_http_2_or_to_an_http_2_backend() {
    let backend = H2cUpstream::start();
    let gate = Gate::with_tls(&config(&backend.url()));
    let client = gate.tls_client(Protocol::Http2);
    for (target, user) in [("/open", None), ("/app", Some("ann"))] {
        let mut request = client.request(Method::GET, target);
        if user.is_some() {
            request = request.bearer(&gate.token("ann", &["user"]));
        }
        for name in LOOK_ALIKES.iter().filter(|name| !name.starts_with("Remote")) {
            request = request.header(&name.to_lowercase(), "evil");
        }
        request.header("te", "trailers").send().expect(200);
        let request = backend.requests().pop().unwrap();
        assert_clean(&request, target);
        assert_eq!(request.header("x-user"), user);
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(request.header("te"), Some("trailers"));
    }
}

/// Over HTTP/1.1 it would need a `Connection: TE` beside it (RFC 9110 section 10.1.4).
#[test]
fn what_te_says_of_a_connection_over_http_2_is_not_said_on_one_over_http_1() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&config(&backend.url()));
    let client = gate.tls_client(Protocol::Http2);
    let request = client.request(Method::GET, "/open").header("te", "trailers");
    request.header("x-end", "1").send().expect(200);
    let request = last(&backend);
    assert_eq!((request.header("te"), request.header("x-end")), (None, Some("1")));
}

#[test]
fn connection_cannot_name_what_the_gateway_says() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let ann = gate.bearer("ann", &["user"]);
    for options in [
        "close, X-User, x-real-ip",
        "X-User\r\nConnection: X-Forwarded-For, X-User-Roles",
        "x-user-id, X-Request-Id",
    ] {
        let lines = format!("{ann}Connection: {options}\r\nX-User: evil\r\nX-Hop: 1\r\nConnection: X-Hop\r\n");
        assert_eq!(gate.get("/app", &lines).status, 200, "{options}");
        let request = last(&backend);
        assert_clean(&request, options);
        assert_eq!(
            identity(&request),
            [vec!["ann"], vec!["ann"], vec!["user"], vec![]],
            "{options}"
        );
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"), "{options}");
        assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"), "{options}");
        assert_eq!(request.header("host"), Some("app.test"), "{options}");
        assert_eq!(request.header("x-hop"), None, "{options}");
        assert!(request.header("x-request-id").is_some(), "{options}");
    }
    // A request cannot take its own Host away, nor its length.
    assert_eq!(
        gate.get("/app", &format!("{ann}Connection: host, content-length\r\n"))
            .status,
        200
    );
    assert_eq!(last(&backend).header("host"), Some("app.test"));
    // Naming the credential does not make the request anonymous to us and known to the backend, or the other way round.
    let response = gate.get("/app", &format!("{ann}Connection: authorization\r\n"));
    let known = response.status == 200 && last(&backend).header("x-user") == Some("ann");
    assert!(known || response.status == 401, "{}", response.status);
}

#[test]
fn trailers_say_nothing_about_identity() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let ann = gate.bearer("ann", &["user"]);
    for (target, credential) in [("/open", ""), ("/app", ann.as_str())] {
        for names in LOOK_ALIKES.chunks(19) {
            say_in_trailers(&gate, &backend, target, credential, names);
        }
    }
}

fn say_in_trailers(gate: &Gate, backend: &Upstream, target: &str, credential: &str, names: &[&str]) {
    let trailers: String = names
        .iter()
        .filter(|name| !name.starts_with("Remote") && **name != "Forwarded")
        .map(|name| format!("{name}: evil\r\n"))
        .collect();
    let mut client = gate.connect();
    client.send(format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\n{credential}Transfer-Encoding: chunked\r\nTrailer: {}, X-Sum\r\n\r\n\
             3\r\nabc\r\n0\r\n{trailers}X-Sum: 7\r\n\r\n",
        names.join(", ")
    ));
    assert_eq!(client.response().status, 200);
    let request = backend.wait_for(backend.requests().len()).pop().unwrap();
    assert_clean(&request, target);
    assert_eq!(request.text(), "abc");
    for (name, _) in &request.trailers.0 {
        assert_eq!(name.to_lowercase(), "x-sum");
    }
    // In step.
    assert_eq!(
        client.send("GET /open HTTP/1.1\r\nHost: a\r\n\r\n").response().status,
        200
    );
}

#[test]
fn a_credential_that_counted_is_not_passed_on_and_another_is() {
    let backend = Upstream::start();
    let more = route("token", "/token", "app", "forward_token = true")
        + &route(
            "token-open",
            "/token-open",
            "app",
            "access = \"public\"\nforward_token = true",
        );
    let gate = Gate::start(&(config(&backend.url()) + &more));
    let token = gate.token("ann", &["user"]);
    let bearer = format!("Bearer {token}");
    for (target, sent, got) in [
        ("/app", bearer.as_str(), None),
        ("/maybe", &bearer, None),
        ("/open", &bearer, None),
        ("/token", &bearer, Some(bearer.as_str())),
        ("/token-open", &bearer, Some(&bearer)),
        ("/open", "Basic YTpi", Some("Basic YTpi")),
        ("/maybe", "Basic YTpi", Some("Basic YTpi")),
        ("/open", "Bearer of-somebody-else", Some("Bearer of-somebody-else")),
        (
            "/open",
            "AWS4-HMAC-SHA256 Credential=x",
            Some("AWS4-HMAC-SHA256 Credential=x"),
        ),
    ] {
        let response = gate.get(target, &format!("Authorization: {sent}\r\n"));
        assert_eq!(response.status, 200, "{target} {sent}");
        assert_eq!(last(&backend).header("authorization"), got, "{target} {sent}");
    }
    // Two fields of which one is ours: neither gets anywhere.
    for lines in [
        format!("Authorization: Basic YTpi\r\nAuthorization: {bearer}\r\n"),
        format!("Authorization: {bearer}\r\nAuthorization: Basic YTpi\r\n"),
    ] {
        assert_eq!(gate.get("/open", &lines).status, 200);
        let request = last(&backend);
        assert!(
            !request
                .headers
                .all("authorization")
                .iter()
                .any(|value| value.contains(&token)),
            "{request:#?}"
        );
    }
}

#[test]
fn the_gateways_own_cookies_stay_here() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    for (sent, got) in [
        ("a=1; __Host-doorward=x; b=2", vec!["a=1; b=2"]),
        ("__Host-doorward=x", vec![]),
        ("__Secure-doorward=x;a=1", vec!["a=1"]),
        ("a=1;b=2;  c", vec!["a=1;b=2;  c"]),
        ("__Host-doorward-other=x", vec!["__Host-doorward-other=x"]),
        ("__Host-doorward = x; a=1", vec!["a=1"]),
    ] {
        assert_eq!(gate.get("/open", &format!("Cookie: {sent}\r\n")).status, 200);
        assert_eq!(last(&backend).headers.all("cookie"), got, "{sent}");
    }
    let lines = "Cookie: a=1; __Host-doorward=x\r\nCookie: __Host-doorward=y\r\nCookie: b=2\r\n";
    assert_eq!(gate.get("/open", lines).status, 200);
    assert_eq!(last(&backend).headers.all("cookie").join("; "), "a=1; b=2");
}

#[test]
fn tokens_of_keys_and_secrets_in_files_count_too() {
    use crate::support::issuer::Issuer;
    let backend = Upstream::start();
    let issuers = Issuer::new("https://keys.test")
        .rs256("rsa")
        .hs256("secret")
        .eddsa("ed");
    let names = ["https://rsa.test", "https://hmac.test", "https://ed.test"];
    let key = |name: &str, source: String, algorithm: &str| {
        format!(
            "[[tokens.trusted_issuers]]\nissuer = {name:?}\n{source}\nalgorithms = [{algorithm:?}]\naudience = [\"app\"]\n\
             users = \"prefixed\"\nuser_prefix = \"ext:\"\nuser_claim = \"preferred_username\"\n\
             roles_claim = \"realm_access.roles\"\nroles = {{ staff = \"user\" }}\n"
        )
    };
    let config = config(&backend.url())
        + &key(
            names[0],
            format!("key_file = {:?}", issuers.public_key_file("rsa")),
            "RS256",
        )
        + &key(
            names[1],
            format!("secret_file = {:?}", issuers.secret_file("secret")),
            "HS256",
        )
        + &key(names[2], format!("jwks_file = {:?}", issuers.jwks_file()), "EdDSA");
    let gate = Gate::start(&config);
    for (name, id) in names.into_iter().zip(["rsa", "secret", "ed"]) {
        let mut claims = issuers.claims("app", "7");
        claims["iss"] = name.into();
        claims["preferred_username"] = "ann".into();
        claims["realm_access"] = serde_json::json!({ "roles": ["staff", "other", "doorward-admin"] });
        let mut client: RawClient = gate.connect();
        client.send(format!(
            "GET /app HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
            issuers.sign(id, &claims)
        ));
        assert_eq!(client.response().status, 200, "{name}");
        assert_eq!(
            identity(&last(&backend)),
            [vec!["ext:ann"], vec!["ext:7"], vec!["user"], vec![]],
            "{name}"
        );
        // The key of one issuer is no key of another.
        claims["iss"] = names[usize::from(name == names[0])].into();
        client.send(format!(
            "GET /app HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
            issuers.sign(id, &claims)
        ));
        assert_eq!(client.response().status, 401, "{name}");
    }
}

#[test]
fn a_trailer_section_that_routes_frames_or_authenticates_is_refused() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    for name in [
        "Authorization",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Cookie",
        "Forwarded",
    ] {
        let answers = gate.connect().exchange(format!(
            "POST /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{name}: 5\r\n\r\n"
        ));
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [400], "{name}");
    }
    assert!(
        backend
            .requests()
            .iter()
            .all(|request| !request.complete || request.trailers.0.is_empty())
    );
}
