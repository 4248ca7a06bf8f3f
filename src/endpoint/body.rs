//! The body of a request, JSON or a form: read whole, strictly, within bounds.
//!
//! Its Content-Type is not looked at: browser clients in the field send JSON as text/plain. What is wrong is told in
//! general words, never with the value that was sent: it may be a password.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header;
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::error::Category;

use crate::codes::Code;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::wire::Violation;

/// The largest body of a request to us: a name, a password and some room.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// What a request must hold.
pub(super) trait Form: DeserializeOwned {
    /// In words, for whoever sent something else.
    const EXPECTED: &'static str;
}

/// Reads the body as this form: one JSON object (RFC 8259) with each of its members once; others are ignored.
pub(super) async fn read_json<F, B>(headers: &HeaderMap, body: B, within: Duration) -> Result<F, Problem>
where
    F: Form,
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    parse(read(headers, body, within).await?.expose())
}

/// The fields of a form (`application/x-www-form-urlencoded`), or of a query.
pub(super) struct Fields(Vec<(String, Secret<String>)>);

impl Fields {
    /// Of a query; none: no fields.
    pub(super) fn of_query(query: Option<&str>) -> Self {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    fn parse(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes);
        Self(
            pairs
                .map(|(name, value)| (name.into_owned(), Secret::new(value.into_owned())))
                .collect(),
        )
    }

    /// The value of this field. It may stand there once (RFC 6749 section 3.1), and an empty one counts as none.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(have, _)| have == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (first, None) => Ok(first
                .map(|value| value.expose().as_str())
                .filter(|value| !value.is_empty())),
            (_, Some(_)) => Err(Problem::new(
                Code::InvalidRequest,
                format!("The parameter {name:?} stands there twice."),
            )),
        }
    }
}

/// Reads the body as a form.
pub(super) async fn read_form<B>(headers: &HeaderMap, body: B, within: Duration) -> Result<Fields, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    Ok(Fields::parse(read(headers, body, within).await?.expose()))
}

/// Reads a body whole, however slowly its bytes drip, within this time.
pub(super) async fn read<B>(headers: &HeaderMap, body: B, within: Duration) -> Result<Secret<Vec<u8>>, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let late = || Problem::new(Code::RequestTimeout, "The body did not arrive in time.").closing();
    tokio::time::timeout(within, read_all(headers, body))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn read_all<B>(headers: &HeaderMap, mut body: B) -> Result<Secret<Vec<u8>>, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BYTES) {
        return Err(too_large());
    }
    // All the room at once: a vector that grows leaves copies of its contents behind.
    let mut bytes = Vec::with_capacity(announced.unwrap_or(MAX_BYTES).min(MAX_BYTES));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken_off(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len().saturating_add(data.len()) > MAX_BYTES {
            return Err(too_large());
        }
        bytes.extend_from_slice(data);
    }
    Ok(Secret::new(bytes))
}

/// The framing was wrong, or the client went away.
fn broken_off(error: &(dyn std::error::Error + 'static)) -> Problem {
    match Violation::find(error) {
        Some(violation) => Problem::new(violation.code, violation.detail).closing(),
        None => Problem::new(Code::InvalidRequest, "The body could not be read to its end.")
            .because(error)
            .closing(),
    }
}

fn too_large() -> Problem {
    // What is left of it may be endless.
    Problem::new(Code::BodyTooLarge, "The body is larger than 64 KiB.").closing()
}

/// Reads what was read as this form.
pub(super) fn parse<F: Form>(bytes: &[u8]) -> Result<F, Problem> {
    let wrong = |detail: String| Problem::new(Code::InvalidRequest, detail);
    let text = std::str::from_utf8(bytes).map_err(|_| wrong(format!("The body is not UTF-8. {}", F::EXPECTED)))?;
    // RFC 8259 section 8.1: parsers may ignore a byte order mark, and some clients send one.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // An array would do for a struct, as far as serde is concerned.
    if let Some(first) = text.trim_start_matches([' ', '\t', '\r', '\n']).bytes().next() {
        if first != b'{' {
            return Err(wrong(format!("The body is not a JSON object. {}", F::EXPECTED)));
        }
    } else {
        return Err(wrong(format!("The body is empty. {}", F::EXPECTED)));
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => wrong(format!("{} {}", what_is_wrong(&error), F::EXPECTED)),
        Category::Syntax | Category::Eof | Category::Io => wrong(format!(
            "The body is not valid JSON (line {}, column {}). {}",
            error.line(),
            error.column(),
            F::EXPECTED
        )),
    })
}

/// Of the parser's own words only those that name a member of ours are told; the others may quote a value.
fn what_is_wrong(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let named = |beginning: &str| text.strip_prefix(beginning)?.split('`').next().map(str::to_owned);
    match (named("missing field `"), named("duplicate field `")) {
        (Some(member), _) => format!("The member {member:?} is missing."),
        (None, Some(member)) => format!("The member {member:?} stands there twice."),
        (None, None) => "A member is of the wrong type.".to_owned(),
    }
}

/// A member that is there and may be null, apart from one that is not there.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The same for a text that must not be printed.
pub(super) fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

/// A text that must not be printed.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::Full;
    use hyper::body::Frame;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Pair {
        name: String,
        #[serde(deserialize_with = "secret")]
        word: Secret<String>,
        #[serde(default)]
        more: Option<String>,
    }

    impl Form for Pair {
        const EXPECTED: &'static str = "Send a pair.";
    }

    fn problem(body: &[u8]) -> Problem {
        parse::<Pair>(body).unwrap_err()
    }

    #[test]
    fn an_object_with_its_members_is_enough() {
        for body in [
            r#"{"name":"a","word":"b"}"#,
            "\u{feff} {\"word\":\"b\",\"name\":\"a\"}\r\n",
            r#"{"name":"a","x":{"name":[1,{"word":2}]},"x":null,"word":"\u0062","more":null}"#,
        ] {
            let pair: Pair = parse(body.as_bytes()).unwrap();
            assert_eq!(
                (pair.name.as_str(), pair.word.expose().as_str(), pair.more),
                ("a", "b", None),
                "{body}"
            );
        }
    }

    #[test]
    fn everything_else_is_told_in_words_without_what_was_sent() {
        let deep = format!(r#"{{"name":{}"#, "[".repeat(20_000));
        for (body, words) in [
            ("", "empty"),
            (" \n", "empty"),
            (r#"["a","hunter2"]"#, "not a JSON object"),
            ("null", "not a JSON object"),
            ("username=a&password=hunter2", "not a JSON object"),
            (r#"{"name":"a","word":"hunter2""#, "not valid JSON (line 1, column 28)"),
            (r#"{"name":"a","word":"hunter2"} x"#, "not valid JSON"),
            (r#"{"name":"a","word":"\ud800"}"#, "not valid JSON"),
            ("{\"name\":\"a\",\"word\":\"hunter\n2\"}", "not valid JSON (line 2"),
            (r#"{"name":"a"}"#, r#""word" is missing"#),
            (r#"{"name":"a","word":null}"#, "wrong type"),
            (r#"{"name":"a","word":7331}"#, "wrong type"),
            (r#"{"name":"a","word":["hunter2"]}"#, "wrong type"),
            (
                r#"{"name":"a","word":"hunter1","word":"hunter2"}"#,
                r#""word" stands there twice"#,
            ),
            (r#"{"name":"a","word":"hunter2","more":7331}"#, "wrong type"),
            (&deep, "wrong type"),
        ] {
            let problem = problem(body.as_bytes());
            assert_eq!(problem.code, Code::InvalidRequest);
            assert!(problem.detail.contains(words), "{body}: {}", problem.detail);
            assert!(problem.detail.ends_with("Send a pair."), "{}", problem.detail);
            let told = format!("{problem:?}");
            assert!(!told.contains("hunter") && !told.contains("7331"), "{told}");
        }
        assert!(problem(b"{\"name\":\"\xff\"}").detail.contains("UTF-8"));
    }

    #[test]
    fn a_form_holds_each_field_once() {
        let fields = Fields::parse(b"token=a%2Bb+c&hint=&x=1&x=2");
        assert_eq!(fields.one("token").unwrap(), Some("a+b c"));
        assert_eq!(fields.one("hint").unwrap(), None);
        assert_eq!(fields.one("y").unwrap(), None);
        assert_eq!(fields.one("x").unwrap_err().code, Code::InvalidRequest);
        assert_eq!(Fields::of_query(None).one("x").unwrap(), None);
    }

    const WITHIN: Duration = Duration::from_secs(5);

    fn read_now(
        headers: &HeaderMap,
        body: impl Body<Data = Bytes, Error = std::convert::Infallible> + Unpin,
    ) -> Result<usize, Code> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let read = runtime.block_on(read(headers, body, WITHIN));
        read.map(|bytes| bytes.expose().len()).map_err(|problem| problem.code)
    }

    #[test]
    fn a_body_is_bounded_announced_or_not() {
        let bytes = |length: usize| Full::new(Bytes::from(vec![b' '; length]));
        let mut headers = HeaderMap::new();
        assert_eq!(read_now(&headers, bytes(MAX_BYTES)), Ok(MAX_BYTES));
        assert_eq!(read_now(&headers, bytes(MAX_BYTES + 1)), Err(Code::BodyTooLarge));
        headers.insert(header::CONTENT_LENGTH, 65_537.into());
        // Nothing is read: the body would say otherwise.
        assert_eq!(read_now(&headers, bytes(1)), Err(Code::BodyTooLarge));
    }

    #[test]
    fn an_endless_body_in_small_pieces_is_not_read_for_ever() {
        struct Endless;
        impl Body for Endless {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
                std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"[")))))
            }
        }
        assert_eq!(read_now(&HeaderMap::new(), Endless), Err(Code::BodyTooLarge));
    }
}
