//! The pages themselves, and the headers that keep them from being framed, stored, or more than text and a form.

use askama::Template;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::answer::{self, Answer, Told};
use crate::codes::Code;
use crate::problem::Problem;

use super::places::Landing;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const STYLE: &str = include_str!("../../../templates/pages/style.css");
/// A day of a style that is out of date harms nobody; a page without one is hard to read.
const STYLE_KEPT: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// Two years are what browsers' own lists ask for (RFC 6797 section 6.1.1).
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// The form with name and password. Of what was sent before, nothing stands in it but the checked way back.
#[derive(Template)]
#[template(path = "pages/login.html")]
pub(super) struct Login<'a> {
    pub(super) pages: &'a str,
    pub(super) registers: bool,
    pub(super) sends_mail: bool,
    pub(super) rd: Option<&'a str>,
    pub(super) message: Option<&'a str>,
}

/// Who is logged in.
#[derive(Template)]
#[template(path = "pages/home.html")]
pub(super) struct Home<'a> {
    pub(super) pages: &'a str,
    pub(super) name: &'a str,
    pub(super) roles: Vec<&'a str>,
}

/// Whether to log out.
#[derive(Template)]
#[template(path = "pages/logout.html")]
pub(super) struct Logout<'a> {
    pub(super) pages: &'a str,
    pub(super) rd: Option<&'a str>,
}

/// Something to tell, and perhaps a way on.
#[derive(Template)]
#[template(path = "pages/notice.html")]
pub(super) struct Notice<'a> {
    pub(super) pages: &'a str,
    pub(super) title: &'a str,
    pub(super) message: &'a str,
    pub(super) link: Option<&'a str>,
    pub(super) link_text: &'a str,
}

/// A page.
pub(super) fn page(template: &impl Template, landing: Option<&Landing>) -> Result<Answer, Problem> {
    let mut answer = answer::with_body(StatusCode::OK, HTML, render(template)?);
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    protect(headers, landing);
    Ok(answer)
}

/// A page in place of a problem document: its status and headers, told to people.
pub(super) fn told(problem: &Problem, template: &impl Template, landing: Option<&Landing>) -> Result<Answer, Problem> {
    let mut answer = answer::problem(problem);
    answer.extensions_mut().insert(Told(problem.clone()));
    *answer.body_mut() = render(template)?;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HTML);
    protect(headers, landing);
    Ok(answer)
}

/// `GET …/assets/style.css`
pub(super) fn style() -> Answer {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    let mut answer = answer::with_body(StatusCode::OK, kind, Bytes::from_static(STYLE.as_bytes()));
    answer.headers_mut().insert(header::CACHE_CONTROL, STYLE_KEPT);
    answer
}

/// From now on by https only (RFC 6797 section 7.2: said over https alone).
pub(super) fn keep_secure(answer: &mut Answer) {
    answer.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
}

fn render(template: &impl Template) -> Result<Bytes, Problem> {
    let text = template.render();
    text.map(Bytes::from)
        .map_err(|error| Problem::new(Code::Internal, "The gateway made a mistake.").because(error))
}

/// No script, no frame, no style but ours. A form may lead to where the login leads: browsers look at the redirect behind
/// it, too.
fn protect(headers: &mut HeaderMap, landing: Option<&Landing>) {
    let origin = landing.and_then(|landing| landing.origin.as_deref());
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self'{}{}; base-uri 'none'; frame-ancestors 'none'",
        if origin.is_some() { " " } else { "" },
        origin.unwrap_or_default()
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // With "no-referrer", browsers would send `Origin: null` with our own forms, and the rule against cross-site requests
    // would lose the better half of what it goes by.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    let isolated = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(isolated, HeaderValue::from_static("same-origin"));
}
