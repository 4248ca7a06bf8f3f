//! Reading a JSON body: whole, bounded, strict where a second meaning could hide, lenient where clients in the field are.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::codes::Code;
use crate::problem::Problem;
use crate::wire::Violation;

/// The largest body of a request to an endpoint: a name and a password, many times over.
const AT_MOST: usize = 64 * 1024;
/// U+FEFF in UTF-8, which some clients begin a text with (RFC 8259 section 8.1 lets a parser ignore it).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The members of a JSON object, whatever the Content-Type says: browsers send `text/plain` to be spared a preflight.
pub(super) async fn json(body: Incoming) -> Result<Map<String, Value>, Problem> {
    parse(&whole(body).await?)
}

/// A member that must be a text.
pub(super) fn text(object: &mut Map<String, Value>, name: &'static str) -> Result<String, Problem> {
    match object.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(invalid(format!("`{name}` must be a string."))),
        None => Err(invalid(format!("`{name}` is missing."))),
    }
}

/// A member that may be there, as a text; null counts as absent.
pub(super) fn optional_text(object: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, Problem> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("`{name}` must be a string."))),
    }
}

async fn whole(body: Incoming) -> Result<Bytes, Problem> {
    match Limited::new(body, AT_MOST).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::new(Code::BodyTooLarge, "The body is larger than 64 KiB.").closing())
        }
        Err(error) => match Violation::find(&*error) {
            Some(violation) => Err(Problem::new(violation.code, violation.detail).closing()),
            None => Err(Problem::new(Code::InvalidRequest, "The body broke off.").closing()),
        },
    }
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let expected = "The body must be a JSON object in UTF-8, for example {\"username\": \"…\", \"password\": \"…\"}.";
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let object = Object
        .deserialize(&mut reader)
        .and_then(|object| reader.end().map(|()| object));
    object.map_err(|error| Problem::new(Code::InvalidRequest, expected).because(format!("{:?}", error.classify())))
}

fn invalid(detail: String) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

/// An object without a member twice: which of the two counts is anybody's guess.
struct Object;

impl<'de> DeserializeSeed<'de> for Object {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                members.next_value::<IgnoredAny>()?;
                return Err(serde::de::Error::custom("a member stands twice"));
            }
            object.insert(name, members.next_value()?);
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_strictly_and_their_type_is_nobodys_business() {
        let mut object =
            parse(b"\xef\xbb\xbf {\"username\":\"a\",\"password\":1,\"other\":[{}],\"email\":null}").unwrap();
        assert_eq!(text(&mut object, "username").unwrap(), "a");
        assert_eq!(
            text(&mut object, "password").unwrap_err().detail,
            "`password` must be a string."
        );
        assert_eq!(
            text(&mut object, "missing").unwrap_err().detail,
            "`missing` is missing."
        );
        assert_eq!(optional_text(&mut object, "email").unwrap(), None);
        for bad in [
            "",
            "[]",
            "null",
            "\"x\"",
            "{",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1}x",
            "{\"a\":\"\u{1}\"}",
        ] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err().code, Code::InvalidRequest, "{bad}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500));
        assert!(parse(deep.as_bytes()).is_err());
    }
}
