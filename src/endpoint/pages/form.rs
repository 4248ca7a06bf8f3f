//! The forms of the pages, as browsers send them (`application/x-www-form-urlencoded`, the URL standard).

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use url::form_urlencoded;

use crate::codes::Code;
use crate::endpoint::body;
use crate::problem::Problem;
use crate::secret::Secret;

/// The fields there are; others are ignored.
#[derive(Default)]
pub(super) struct Form {
    pub(super) username: Option<String>,
    pub(super) email: Option<String>,
    pub(super) token: Option<Secret<String>>,
    pub(super) password: Option<Secret<String>>,
    pub(super) rd: Option<String>,
}

/// Reads a form whole.
pub(super) async fn read<B>(headers: &HeaderMap, body: B, within: Duration) -> Result<Form, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    parse(body::read(headers, body, within).await?.expose())
}

/// The one value of a field in a query; of several, none.
pub(super) fn one(query: Option<&str>, name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query?.as_bytes()).filter(|(key, _)| key == name);
    let (_, value) = values.next()?;
    values.next().is_none().then(|| value.into_owned())
}

fn parse(body: &[u8]) -> Result<Form, Problem> {
    let mut form = Form::default();
    for (key, value) in form_urlencoded::parse(body) {
        let twice = match &*key {
            "username" => form.username.replace(value.into_owned()).is_some(),
            "password" => form.password.replace(Secret::new(value.into_owned())).is_some(),
            "email" => form.email.replace(value.into_owned()).is_some(),
            "token" => form.token.replace(Secret::new(value.into_owned())).is_some(),
            "rd" => form.rd.replace(value.into_owned()).is_some(),
            _ => false,
        };
        if twice {
            return Err(Problem::new(
                Code::InvalidRequest,
                "A field of the form stands there twice.",
            ));
        }
    }
    Ok(form)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let form = parse(b"username=Zo%C3%AB+%2B&x=1&password=a%26b%3D+&rd=%2Fapp").unwrap();
        assert_eq!(form.username.as_deref(), Some("Zoë +"));
        assert_eq!(form.password.unwrap().expose(), "a&b= ");
        assert_eq!(form.rd.as_deref(), Some("/app"));
        let empty = parse(b"").unwrap();
        assert!(empty.username.is_none() && empty.password.is_none() && empty.rd.is_none());
        for twice in ["username=a&username=a", "password=a&password=b", "rd=%2F&rd=%2F"] {
            assert_eq!(parse(twice.as_bytes()).err().unwrap().code, Code::InvalidRequest);
        }
    }

    #[test]
    fn a_query_has_a_field_once_or_not_at_all() {
        assert_eq!(one(Some("a=1&rd=%2Fx%3Fy&rdx=2"), "rd").as_deref(), Some("/x?y"));
        assert_eq!(one(Some("rd=/x&rd=/y"), "rd"), None);
        assert_eq!(one(Some("a"), "rd"), None);
        assert_eq!(one(None, "rd"), None);
    }
}
