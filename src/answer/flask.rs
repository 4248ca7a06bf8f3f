//! The dialect of the Flask server that the gateway can replace: `{"error": class, "message": text, "status_code": n}`.
//!
//! The classes are those of flask-praetorian where it has one for the case, and else those of werkzeug, which Flask names
//! its errors after; clients in the field compare them.

use std::borrow::Cow;

use http::StatusCode;
use serde::Serialize;

use crate::codes::Code;
use crate::problem::Problem;

/// The body of an error, its members in the order in which that server sorts them.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    error: &'static str,
    message: &'a str,
    status_code: u16,
}

/// What is told of a problem.
#[derive(Debug)]
pub(super) struct Told<'a> {
    class: &'static str,
    text: Cow<'a, str>,
    pub(super) status: StatusCode,
}

impl Told<'_> {
    pub(super) fn document(&self) -> Document<'_> {
        Document {
            error: self.class,
            message: &self.text,
            status_code: self.status.as_u16(),
        }
    }
}

/// A problem in that server's words.
pub(super) fn told(problem: &Problem) -> Told<'_> {
    if let Some(said) = &problem.in_flask {
        return Told {
            class: said.class,
            text: Cow::Borrowed(&said.text),
            status: said.status,
        };
    }
    let (class, text) = words(problem.code);
    Told {
        class,
        text: Cow::Borrowed(text.unwrap_or(&problem.detail)),
        status: status(problem.code),
    }
}

/// That server knows one status for input that it cannot use.
fn status(code: Code) -> StatusCode {
    match code.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    }
}

/// The class of each code, and the text that clients expect with it; `None`: the gateway's own text.
fn words(code: Code) -> (&'static str, Option<&'static str>) {
    let (class, text) = match code {
        Code::CredentialsRequired => (
            "MissingToken",
            Some("JWT token not found in headers under 'Authorization'"),
        ),
        Code::InvalidCredentials => (
            "AuthenticationError",
            Some("The username and/or password are incorrect"),
        ),
        Code::AccountInactive => (
            "InvalidUserError",
            Some("The user is not valid or has had access revoked"),
        ),
        Code::InvalidGrant => ("ExpiredRefreshError", Some("refresh permission for token has expired")),
        Code::InvalidCode => ("InvalidTokenHeader", None),
        Code::InvalidToken => ("InvalidTokenHeader", None),
        Code::InsufficientRole => ("MissingRoleError", None),
        Code::InvalidRequest
        | Code::InvalidTarget
        | Code::InvalidQuestion
        | Code::AmbiguousTarget
        | Code::InvalidHost
        | Code::InvalidFraming => ("BadRequest", None),
        Code::InvalidUsername => ("InvalidUsername", None),
        Code::WeakPassword => ("WeakPassword", None),
        Code::InvalidRoles => ("InvalidRoles", None),
        Code::UntrustedProxy => ("UntrustedProxy", None),
        Code::AccessDenied => ("Forbidden", None),
        Code::NetworkNotAllowed => ("NetworkNotAllowed", None),
        Code::ClientUnknown => ("ClientUnknown", None),
        Code::ClientCertificateRequired => ("ClientCertificateRequired", None),
        Code::IdentityNotRepresentable => ("IdentityNotRepresentable", None),
        Code::CrossSiteRequest => ("CrossSiteRequest", None),
        Code::CredentialNotAllowed => ("CredentialNotAllowed", None),
        Code::RegistrationClosed => ("RegistrationClosed", None),
        Code::HttpsRequired => ("HttpsRequired", None),
        Code::NotFound => ("NotFound", None),
        Code::MethodNotAllowed => ("MethodNotAllowed", None),
        Code::RequestTimeout => ("RequestTimeout", None),
        Code::UserExists | Code::TooManyKeys => ("Conflict", None),
        Code::BodyTooLarge => ("RequestEntityTooLarge", None),
        Code::TargetTooLong => ("RequestURITooLarge", None),
        Code::MisdirectedRequest => ("MisdirectedRequest", None),
        Code::TooManyAttempts | Code::RateLimited => ("TooManyRequests", None),
        Code::HeadersTooLarge => ("RequestHeaderFieldsTooLarge", None),
        Code::Internal => ("InternalServerError", None),
        Code::NotImplemented => ("NotImplemented", None),
        Code::UpstreamFailed => ("BadGateway", None),
        Code::UpstreamTimeout => ("GatewayTimeout", None),
        Code::UpstreamBusy | Code::Busy | Code::StoreUnavailable | Code::NotReady => ("ServiceUnavailable", None),
        Code::VersionNotSupported => ("HTTPVersionNotSupported", None),
    };
    (class, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Dialect, problem_in};

    #[test]
    fn every_code_has_a_class() {
        for code in Code::ALL {
            let answer = problem_in(&Problem::new(*code, "text"), Dialect::Flask);
            let document: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
            let class = document["error"].as_str().unwrap();
            assert!(class.starts_with(|c: char| c.is_ascii_uppercase()), "{class}");
            assert!(class.chars().all(|c| c.is_ascii_alphanumeric()), "{class}");
            assert_eq!(document["status_code"], answer.status().as_u16());
            assert_eq!(document.as_object().unwrap().len(), 3, "{document}");
            assert_eq!(answer.headers()["content-type"], "application/json");
        }
    }

    #[test]
    fn the_words_that_clients_know_are_said_to_the_letter() {
        let told = |code| {
            let problem = Problem::new(code, "ours");
            let told = told(&problem);
            (told.status.as_u16(), told.class, told.text.into_owned())
        };
        for (code, status, class, text) in [
            (
                Code::CredentialsRequired,
                401,
                "MissingToken",
                "JWT token not found in headers under 'Authorization'",
            ),
            (
                Code::InvalidCredentials,
                401,
                "AuthenticationError",
                "The username and/or password are incorrect",
            ),
            (
                Code::AccountInactive,
                403,
                "InvalidUserError",
                "The user is not valid or has had access revoked",
            ),
            (Code::WeakPassword, 400, "WeakPassword", "ours"),
            (Code::TooManyAttempts, 429, "TooManyRequests", "ours"),
            (Code::StoreUnavailable, 503, "ServiceUnavailable", "ours"),
            (Code::MethodNotAllowed, 405, "MethodNotAllowed", "ours"),
        ] {
            assert_eq!(told(code), (status, class, text.to_owned()));
        }
    }

    #[test]
    fn what_a_problem_says_for_itself_comes_first() {
        let problem = Problem::new(Code::InvalidToken, "ours").in_flask(
            StatusCode::UNAUTHORIZED,
            "ExpiredAccessError",
            "access permission has expired",
        );
        let answer = problem_in(&problem, Dialect::Flask);
        assert_eq!(
            answer.body(),
            r#"{"error":"ExpiredAccessError","message":"access permission has expired","status_code":401}"#
        );
        let standard = problem_in(&problem, Dialect::Standard);
        assert!(!String::from_utf8_lossy(standard.body()).contains("ExpiredAccessError"));
    }
}
