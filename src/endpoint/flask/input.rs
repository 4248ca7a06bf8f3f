//! The body of a request as that server reads it: JSON whatever it is called, the last of two members of one name, a byte
//! order mark or none. What is missing and what is null is the same to it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::body;
use super::refuse;
use crate::problem::Problem;
use crate::secret::Secret;

/// What a request says; other members are ignored.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) username: Member,
    pub(super) password: Member,
    pub(super) email: Member,
    pub(super) refresh_token: Member,
}

/// One member.
#[derive(Debug, Default)]
pub(super) enum Member {
    /// Missing, or null.
    #[default]
    Missing,
    /// A text.
    Text(Secret<String>),
    /// Anything else.
    Other,
}

/// Reads the body whole and as JSON.
pub(super) async fn read<B>(headers: &HeaderMap, body: B, within: Duration) -> Result<Input, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    parse(body::read(headers, body, within).await?.expose())
}

/// Reads these bytes. What is wrong is told with its place and never with what was sent.
pub(super) fn parse(bytes: &[u8]) -> Result<Input, Problem> {
    let failed = |why: &str| refuse(format!("Failed to decode JSON object: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|_| failed("the body is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err(failed("Expecting value: line 1 column 1 (char 0)"));
    }
    let sent: Sent = serde_json::from_str(text).map_err(|error| {
        failed(&format!(
            "invalid JSON: line {} column {}",
            error.line(),
            error.column()
        ))
    })?;
    match sent {
        Sent::Object(input) => Ok(input),
        Sent::Other => Err(refuse("The body is not a JSON object.")),
    }
}

enum Sent {
    Object(Input),
    Other,
}

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Sent;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sent, A::Error> {
                let mut input = Input::default();
                while let Some(name) = map.next_key::<String>()? {
                    let room = match name.as_str() {
                        "username" => &mut input.username,
                        "password" => &mut input.password,
                        "email" => &mut input.email,
                        "refresh_token" => &mut input.refresh_token,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *room = map.next_value()?;
                }
                Ok(Sent::Object(input))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Sent, A::Error> {
                IgnoredAny.visit_seq(seq).map(|_| Sent::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Sent, E> {
                Ok(Sent::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Sent, E> {
                Ok(Sent::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Sent, E> {
                Ok(Sent::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Sent, E> {
                Ok(Sent::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Sent, E> {
                Ok(Sent::Other)
            }

            fn visit_unit<E>(self) -> Result<Sent, E> {
                Ok(Sent::Other)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Member;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("JSON")
            }

            fn visit_str<E>(self, text: &str) -> Result<Member, E> {
                Ok(Member::Text(Secret::new(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Member, E> {
                Ok(Member::Text(Secret::new(text)))
            }

            fn visit_unit<E>(self) -> Result<Member, E> {
                Ok(Member::Missing)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member, A::Error> {
                IgnoredAny.visit_map(map).map(|_| Member::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Member, A::Error> {
                IgnoredAny.visit_seq(seq).map(|_| Member::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
                Ok(Member::Other)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn member(member: &Member) -> &str {
        match member {
            Member::Missing => "(missing)",
            Member::Text(text) => text.expose(),
            Member::Other => "(other)",
        }
    }

    #[test]
    fn an_object_is_read_as_python_reads_it() {
        for (body, username, password) in [
            (r#"{"username":"a","password":"b"}"#, "a", "b"),
            ("\u{feff} {\"username\":\"a\",\"password\":\"\\u0062\"}\r\n", "a", "b"),
            (r#"{"username":"x","password":"b","username":"a"}"#, "a", "b"),
            (r#"{"username":"a","username":null}"#, "(missing)", "(missing)"),
            (
                r#"{"username":7,"password":[{"username":"b"}],"x":{"y":[1]}}"#,
                "(other)",
                "(other)",
            ),
            (r#"{"username":true,"password":1e9}"#, "(other)", "(other)"),
            (r#"{"username":"","password":" "}"#, "", " "),
            ("{}", "(missing)", "(missing)"),
        ] {
            let input = parse(body.as_bytes()).unwrap();
            assert_eq!(
                (member(&input.username), member(&input.password)),
                (username, password),
                "{body}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused_without_a_word_of_it() {
        let deep = format!(r#"{{"username":{}"#, "[".repeat(20_000));
        for (body, text) in [
            (
                &b""[..],
                "Failed to decode JSON object: Expecting value: line 1 column 1 (char 0)",
            ),
            (b" \n", "Failed to decode JSON object: Expecting value"),
            (b"\xef\xbb\xbf", "Failed to decode JSON object: Expecting value"),
            (
                b"{\"username\":\"\xff\"}",
                "Failed to decode JSON object: the body is not UTF-8",
            ),
            (
                b"username=hunter2&password=hunter2",
                "Failed to decode JSON object: invalid JSON: line 1",
            ),
            (
                b"{\"username\":\"hunter2\"",
                "Failed to decode JSON object: invalid JSON: line 1",
            ),
            (b"{} {}", "Failed to decode JSON object: invalid JSON: line 1"),
            (deep.as_bytes(), "Failed to decode JSON object: invalid JSON: line 1"),
            (b"[]", "The body is not a JSON object."),
            (b"[\"hunter2\"]", "The body is not a JSON object."),
            (b"null", "The body is not a JSON object."),
            (b"\"hunter2\"", "The body is not a JSON object."),
            (b"-7", "The body is not a JSON object."),
            (b"true", "The body is not a JSON object."),
        ] {
            let problem = parse(body).unwrap_err();
            assert_eq!(problem.status(), 400);
            assert!(problem.detail.starts_with(text), "{}", problem.detail);
            assert!(!problem.detail.contains("hunter2"), "{}", problem.detail);
        }
    }
}
