//! People with browsers, as far as redirects and a jar for cookies make one.

use http::Method;
use url::Url;

use super::received::identity_of;
use super::shared::{APP_HOST, LOGIN_HOST, Running};
use crate::accounts::browser::form;
use crate::support::client::{Client, Response};
use crate::support::gateway::password_of;
use crate::support::until;

const CHROME: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn navigate(client: &Client, path: &str, jar: Option<&str>) -> Response {
    let mut request = client
        .request(Method::GET, path)
        .header("accept", CHROME)
        .header("sec-fetch-mode", "navigate");
    if let Some(jar) = jar {
        request = request.header("cookie", jar);
    }
    request.send()
}

/// The login form, sent from the page.
fn log_in(client: &Client, name: &str, rd: Option<&str>) -> Response {
    let password = password_of(name);
    let mut fields = vec![("username", name), ("password", password.as_str())];
    fields.extend(rd.map(|rd| ("rd", rd)));
    client
        .request(Method::POST, "/auth/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", CHROME)
        .header("sec-fetch-site", "same-origin")
        .body(form(&fields))
        .send()
}

/// `name=value` of the only cookie that an answer sets, and its attributes.
fn set_cookie(answer: &Response) -> (String, String) {
    let fields = answer.headers.all("set-cookie");
    let [field] = fields.as_slice() else {
        panic!("one cookie, not {fields:?}: {answer:?}");
    };
    let (pair, attributes) = field.split_once("; ").unwrap();
    (pair.to_owned(), attributes.to_owned())
}

/// What a browser's jar holds after a login.
pub fn cookie(running: &Running, name: &str) -> String {
    set_cookie(&log_in(&running.client, name, None).expect(303)).0
}

/// Where an answer leads a browser that was at this host.
fn location(answer: &Response, origin: &str) -> Url {
    let location = answer.header("location").unwrap_or_else(|| panic!("{answer:?}"));
    Url::parse(origin).unwrap().join(location).unwrap()
}

fn rd(url: &Url) -> String {
    let found = url.query_pairs().find(|(name, _)| name == "rd");
    found.unwrap_or_else(|| panic!("{url}")).1.into_owned()
}

fn path_of(url: &Url) -> &str {
    &url[url::Position::BeforePath..]
}

pub fn logs_in_and_comes_back(running: &Running) {
    const PAGE: &str = "/app/page?a=1&b=%2F";
    let origin = format!("https://localhost:{}", running.port());
    let before = running.backend.requests().len();
    let sent = navigate(&running.client, PAGE, None);
    assert!([302, 303].contains(&sent.status), "{sent:?}");
    let login = location(&sent, &origin);
    assert_eq!(
        (login.origin().ascii_serialization(), login.path()),
        (origin.clone(), "/auth/login")
    );
    assert_eq!(running.backend.requests().len(), before);

    let page = navigate(&running.client, path_of(&login), None).expect(200);
    assert!(page.text().contains("<form"), "{}", page.text());
    let answer = log_in(&running.client, "alice", Some(&rd(&login))).expect(303);
    let (jar, attributes) = set_cookie(&answer);
    assert!(
        jar.starts_with("__Host-doorward=") && attributes.contains("Secure"),
        "{jar} {attributes}"
    );
    let back = location(&answer, &origin);
    assert_eq!(back.as_str(), format!("{origin}{PAGE}"));

    let both = format!("theirs=1; {jar}; other=2");
    let request = running.get(PAGE).header("accept", CHROME).header("cookie", &both);
    let received = running.forwarded(request);
    assert_eq!(identity_of(&received)["x-user"], ["alice"]);
    let cookies = received.headers.all("cookie").join("; ");
    assert!(cookies.contains("theirs=1") && cookies.contains("other=2"), "{cookies}");
    assert_eq!(cookies.contains("doorward"), !running.example.hides_cookie, "{cookies}");

    // A long way back is one too.
    let long = format!("/app/{}?{}", "a".repeat(900), "b=%2F&".repeat(150));
    let sent = navigate(&running.client, &long, None);
    assert!([302, 303].contains(&sent.status), "{sent:?}");
    assert!(rd(&location(&sent, &origin)).ends_with(&long), "{sent:?}");

    // Somebody whom no login helps is told so, and not sent round in a circle.
    let refused = running
        .get("/admin/x")
        .header("accept", CHROME)
        .header("cookie", &jar)
        .send();
    refused.expect(403);
}

/// A cookie in the second half of its life is renewed with whatever request comes, and the consumer hands the new one on.
pub fn renewal(running: &mut Running) {
    running.restart_gateway("[tokens]\naccess_ttl = \"6s\"");
    let jar = cookie(running, "alice");
    let renewed = until("a renewed cookie", || {
        let answer = running.get("/app/x").header("cookie", &jar).send().expect(200);
        answer.headers.has("set-cookie").then(|| set_cookie(&answer))
    });
    assert_ne!(renewed.0, jar);
    assert!(renewed.1.contains("HttpOnly"), "{renewed:?}");
    running.get("/app/x").header("cookie", &renewed.0).send().expect(200);
}

/// The application on one host, the login on another.
pub fn across_hosts(running: &Running) {
    let app = format!("https://{APP_HOST}:{}", running.port());
    let login_origin = format!("https://{LOGIN_HOST}:{}", running.port());
    let (at_app, at_login) = (running.client_for(APP_HOST), running.client_for(LOGIN_HOST));

    let sent = navigate(&at_app, "/app/page?a=1", None);
    assert!([302, 303].contains(&sent.status), "{sent:?}");
    let login = location(&sent, &app);
    assert_eq!(login.origin().ascii_serialization(), login_origin);
    navigate(&at_login, path_of(&login), None).expect(200);
    let answer = log_in(&at_login, "alice", Some(&rd(&login))).expect(303);
    let (jar, attributes) = set_cookie(&answer);
    assert!(jar.starts_with("__Secure-doorward="), "{jar}");
    assert!(attributes.contains("Domain=doorward.localhost"), "{attributes}");
    assert_eq!(location(&answer, &login_origin).as_str(), format!("{app}/app/page?a=1"));

    let request = at_app.request(Method::GET, "/app/page?a=1").header("cookie", &jar);
    let received = running.forwarded(request);
    assert_eq!(identity_of(&received)["x-user"], ["alice"]);
    let cookies = received.headers.all("cookie").join("; ");
    assert_eq!(cookies.contains("doorward"), !running.example.hides_cookie, "{cookies}");

    // Nobody is led to a host that was not named.
    let answer = log_in(&at_login, "alice", Some("https://evil.example/")).expect(303);
    assert_eq!(location(&answer, &login_origin).host_str(), Some(LOGIN_HOST));
}
