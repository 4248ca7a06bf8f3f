//! A decision as the JSON access log has it (ECS), read back.

use std::net::IpAddr;

use http::StatusCode;
use serde_json::Value;

use super::GATEWAY;
use crate::codes::Code;
use crate::principal::{CredentialKind, Roles};

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Whether another proxy asked about it.
    pub is_question: bool,
    /// The method.
    pub method: String,
    /// The host, without its port.
    pub host: Option<String>,
    /// The path as received.
    pub path: String,
    /// The client.
    pub client: Option<IpAddr>,
    /// Who it was: name, key, roles.
    pub user: Option<(String, String, Roles)>,
    /// What was shown.
    pub credential: Option<CredentialKind>,
    /// The route, as logs name it.
    pub route: String,
    /// `permit`, `refuse` or `would_refuse`.
    pub decision: String,
    /// The stable code, or `ok`.
    pub reason: String,
    /// The status of the answer.
    pub status: Option<u64>,
}

/// Why a line is no record of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unreadable {
    /// It is longer than any line of ours.
    TooLong,
    /// It is no JSON object.
    NotJson,
    /// It is a document of another kind.
    OtherDocument,
    /// It lacks a field, or has one of the wrong type.
    Incomplete(&'static str),
}

impl Unreadable {
    /// In words.
    pub fn told(self) -> String {
        match self {
            Self::TooLong => "too long for a line of the log".to_owned(),
            Self::NotJson => "no JSON document".to_owned(),
            Self::OtherDocument => "of another kind (event.dataset is not doorward.access)".to_owned(),
            Self::Incomplete(field) => format!("without a good {field}"),
        }
    }
}

impl Recorded {
    /// Reads a line. Keys may be nested or written with dots.
    pub fn parse(line: &str) -> Result<Self, Unreadable> {
        let document: Value = serde_json::from_str(line).map_err(|_| Unreadable::NotJson)?;
        if !document.is_object() {
            return Err(Unreadable::NotJson);
        }
        if text(&document, "event.dataset") != Some("doorward.access") {
            return Err(Unreadable::OtherDocument);
        }
        let wanted = |field: &'static str| text(&document, field).ok_or(Unreadable::Incomplete(field));
        let decision = wanted("doorward.decision")?;
        if !["permit", "refuse", "would_refuse"].contains(&decision) {
            return Err(Unreadable::Incomplete("doorward.decision"));
        }
        let client = match text(&document, "client.ip") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| Unreadable::Incomplete("client.ip"))?),
        };
        let user = text(&document, "user.name").filter(|name| !name.is_empty());
        let user = user.map(|name| {
            let id = text(&document, "user.id").unwrap_or_default();
            (name.to_owned(), id.to_owned(), roles(&document))
        });
        let recorded = Self {
            is_question: text(&document, "event.action") == Some("forward_auth"),
            method: wanted("http.request.method")?.to_owned(),
            host: text(&document, "url.domain")
                .filter(|host| !host.is_empty())
                .map(str::to_owned),
            path: wanted("url.path")?.to_owned(),
            client,
            user,
            credential: text(&document, "doorward.credential").and_then(kind),
            route: wanted("doorward.route")?.to_owned(),
            decision: decision.to_owned(),
            reason: text(&document, "doorward.reason").unwrap_or("ok").to_owned(),
            status: field(&document, "http.response.status_code").and_then(Value::as_u64),
        };
        Ok(recorded.in_todays_words())
    }

    /// The first release said less well what our own URLs did: that it had let in whom they turned away, and that it had
    /// refused whom it led home. Its logs are read as if they said it rightly.
    fn in_todays_words(mut self) -> Self {
        let code = Code::ALL.iter().find(|code| code.as_str() == self.reason);
        let shut = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        let is_led = self.status.is_some_and(|status| (300..400).contains(&status));
        match (self.decision.as_str(), code) {
            ("permit", Some(code)) if self.route == GATEWAY && shut.contains(&code.status()) => {
                "refuse".clone_into(&mut self.decision);
            }
            ("refuse", Some(Code::NotFound)) if self.path == "/" && is_led => {
                "permit".clone_into(&mut self.decision);
                "ok".clone_into(&mut self.reason);
                GATEWAY.clone_into(&mut self.route);
            }
            _ => {}
        }
        self
    }

    /// Whether one of our own URLs had the last word.
    pub fn is_ours(&self) -> bool {
        self.route == GATEWAY
    }
}

fn roles(document: &Value) -> Roles {
    match field(document, "user.roles") {
        Some(Value::Array(roles)) => roles.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(roles)) => Roles::from_column(roles),
        Some(_) | None => Roles::default(),
    }
}

fn kind(name: &str) -> Option<CredentialKind> {
    [
        CredentialKind::Bearer,
        CredentialKind::ExternalBearer,
        CredentialKind::Session,
        CredentialKind::ApiKey,
        CredentialKind::Ticket,
    ]
    .into_iter()
    .find(|kind| kind.as_str() == name)
}

fn text<'d>(document: &'d Value, name: &str) -> Option<&'d str> {
    field(document, name).and_then(Value::as_str)
}

/// A field by its name: each part of it may be an object of its own, or stand with dots in one key.
fn field<'d>(at: &'d Value, name: &str) -> Option<&'d Value> {
    if let Some(found) = at.get(name) {
        return Some(found);
    }
    name.match_indices('.').find_map(|(dot, _)| {
        let inner = at.get(name.get(..dot)?)?;
        field(inner, name.get(dot + 1..)?)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nested_and_dotted_keys_are_read_alike() {
        let nested = r#"{"event":{"dataset":"doorward.access"},"http":{"request":{"method":"GET"}},"url":{"path":"/a","domain":"h"},"client":{"ip":"10.0.0.1"},"user":{"name":"alice","id":"7","roles":["a","b"]},"doorward":{"route":"r","decision":"permit","reason":"ok","credential":"session"}}"#;
        let dotted = r#"{"event.dataset":"doorward.access","http.request.method":"GET","url.path":"/a","url.domain":"h","client.ip":"10.0.0.1","user.name":"alice","user.id":"7","user.roles":["a","b"],"doorward.route":"r","doorward.decision":"permit","doorward.reason":"ok","doorward.credential":"session"}"#;
        let mixed = r#"{"event.dataset":"doorward.access","http.request":{"method":"GET"},"url":{"path":"/a","domain":"h"},"client.ip":"10.0.0.1","user":{"name":"alice","id":"7","roles":"a,b"},"doorward":{"route":"r","decision":"permit","reason":"ok","credential":"session"}}"#;
        let one = Recorded::parse(nested).unwrap();
        assert_eq!(Recorded::parse(dotted), Ok(one.clone()));
        assert_eq!(Recorded::parse(mixed), Ok(one.clone()));
        assert_eq!(one.user.unwrap().2.to_column(), "a,b");
        assert_eq!(one.credential, Some(CredentialKind::Session));
    }

    #[test]
    fn what_is_no_decision_is_named() {
        for (line, why) in [
            ("", Unreadable::NotJson),
            ("{", Unreadable::NotJson),
            ("[]", Unreadable::NotJson),
            ("2026-01-01 text", Unreadable::NotJson),
            ("{}", Unreadable::OtherDocument),
            (r#"{"event.dataset":"doorward.audit"}"#, Unreadable::OtherDocument),
            (
                r#"{"event.dataset":"doorward.access"}"#,
                Unreadable::Incomplete("doorward.decision"),
            ),
            (
                r#"{"event.dataset":"doorward.access","doorward.decision":"maybe"}"#,
                Unreadable::Incomplete("doorward.decision"),
            ),
            (
                r#"{"event.dataset":"doorward.access","doorward.decision":"permit","client.ip":"x"}"#,
                Unreadable::Incomplete("client.ip"),
            ),
            (
                r#"{"event.dataset":"doorward.access","doorward.decision":"permit","http.request.method":7}"#,
                Unreadable::Incomplete("http.request.method"),
            ),
        ] {
            assert_eq!(Recorded::parse(line), Err(why), "{line}");
        }
    }
}
