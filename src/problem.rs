//! What went wrong with a request, before it becomes a response (RFC 9457).
//!
//! A problem has a public side (code, detail) and a private one (cause). Only the log prints the cause.

use std::borrow::Cow;

use http::{HeaderValue, StatusCode};

use crate::codes::Code;

/// What a 401 or 403 says in `WWW-Authenticate` (RFC 6750 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A bearer token is wanted and none was sent: no error code.
    Bearer,
    /// An API key is wanted, as the password of Basic (RFC 7617 section 2) or as a bearer token.
    ApiKey,
    /// A bearer token was sent and is of no use: `error="invalid_token"`.
    InvalidToken,
    /// The request mixes methods or repeats the header: `error="invalid_request"`.
    InvalidRequest,
    /// The token is good, its roles do not suffice: `error="insufficient_scope"`.
    InsufficientScope,
}

/// A problem in the words of the Flask server that the gateway can stand in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlask {
    /// The status it is answered with there.
    pub status: StatusCode,
    /// The class of the error: its `error` member.
    pub class: &'static str,
    /// Its `message` member.
    pub text: Cow<'static, str>,
}

/// Everything one exit needs to make an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The stable code; it brings status and title along.
    pub code: Code,
    /// For the client: what is wrong and what to do. Never a secret, a cause, or what the client itself sent.
    pub detail: Cow<'static, str>,
    /// For the log only.
    pub cause: Option<String>,
    /// `WWW-Authenticate`.
    pub challenge: Option<Challenge>,
    /// Whether Basic is offered beside it (RFC 7617 section 2).
    pub basic: bool,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// `Allow`, with a 405.
    pub allow: Option<Box<str>>,
    /// Further members of the document, for example the reasons a password was refused.
    pub reasons: Vec<Cow<'static, str>>,
    /// Whether the connection cannot go on after this answer (HTTP/1.1).
    pub close: bool,
    /// Where a browser is sent instead of being told: the login page. Boxed: it is rare, and every result has room for it.
    pub leads_to: Option<Box<HeaderValue>>,
    /// What is told where the answers are those of a Flask server and the code alone does not say it. Boxed likewise.
    pub in_flask: Option<Box<InFlask>>,
}

impl Problem {
    /// A problem with its public text.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            cause: None,
            challenge: None,
            basic: false,
            retry_after: None,
            allow: None,
            reasons: Vec::new(),
            close: false,
            leads_to: None,
            in_flask: None,
        }
    }

    /// Adds the private cause.
    pub fn because(mut self, cause: impl ToString) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Adds the challenge.
    pub fn challenged(mut self, challenge: Challenge) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// Offers Basic beside the challenge.
    pub fn offering_basic(mut self) -> Self {
        self.basic = true;
        self
    }

    /// Sends the client somewhere else instead of telling it.
    pub fn leading_to(mut self, location: HeaderValue) -> Self {
        self.leads_to = Some(Box::new(location));
        self
    }

    /// Says it in a Flask server's words, too.
    pub fn in_flask(mut self, status: StatusCode, class: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        self.in_flask = Some(Box::new(InFlask {
            status,
            class,
            text: text.into(),
        }));
        self
    }

    /// Says when to come again, in seconds.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Ends the connection after the answer.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }
}
