//! People with browsers: pages, cookies, and what counts beside them.

mod chromium;
mod cross_site;
mod keys;
mod landing;
mod pages;
mod sessions;

use http::Method;
use url::form_urlencoded::Serializer;

use crate::support::client::{Client, Response};

pub const COOKIE: &str = "__Host-doorward";

/// What a browser sends with a navigation.
const CHROME: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A form as a browser writes it.
pub fn form(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The login form, filled in and sent from our own page.
pub fn log_in(client: &Client, name: &str, password: &str, rd: Option<&str>) -> Response {
    log_in_with(client, name, password, rd, None)
}

/// The same, with what the browser's jar holds.
pub fn log_in_with(client: &Client, name: &str, password: &str, rd: Option<&str>, jar: Option<&str>) -> Response {
    let mut fields = vec![("username", name), ("password", password)];
    fields.extend(rd.map(|rd| ("rd", rd)));
    let mut request = client
        .request(Method::POST, "/auth/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("user-agent", "Mozilla/5.0 (a test)")
        .header("sec-fetch-site", "same-origin");
    if let Some(jar) = jar {
        request = request.header("cookie", jar);
    }
    request.body(form(&fields)).send()
}

/// Logs in; what the jar holds then.
pub fn cookie(client: &Client, name: &str, password: &str) -> String {
    set_cookie(&log_in(client, name, password, None).expect(303))
}

/// What the jar holds after an answer that sets the cookie, in full: `name=value`.
pub fn set_cookie(answer: &Response) -> String {
    let fields = answer.headers.all("set-cookie");
    let [field] = fields.as_slice() else {
        panic!("one cookie, not {fields:?}");
    };
    let (pair, attributes) = field.split_once("; ").unwrap();
    let (name, value) = pair.split_once('=').unwrap();
    assert_eq!(name, COOKIE);
    assert!(value.len() > 80, "{field}");
    let age = attributes
        .strip_prefix("Path=/; Max-Age=")
        .and_then(|rest| rest.strip_suffix("; Secure; HttpOnly; SameSite=Lax"));
    assert!(age.is_some_and(|age| age.parse::<u32>().is_ok()), "{field}");
    pair.to_owned()
}

/// A program's request with this in the Cookie field.
pub fn get_with(client: &Client, path: &str, jar: &str) -> Response {
    client.request(Method::GET, path).header("cookie", jar).send()
}

/// A browser's navigation.
pub fn navigate(client: &Client, path: &str, jar: Option<&str>) -> Response {
    let mut request = client
        .request(Method::GET, path)
        .header("accept", CHROME)
        .header("sec-fetch-mode", "navigate");
    if let Some(jar) = jar {
        request = request.header("cookie", jar);
    }
    request.send()
}

/// The logout button.
pub fn log_out(client: &Client, jar: &str) -> Response {
    client
        .request(Method::POST, "/auth/logout")
        .header("cookie", jar)
        .header("sec-fetch-site", "same-origin")
        .send()
}
