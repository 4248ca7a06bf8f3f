//! Switching protocols: what a request may ask for, how it is asked of the upstream, and which answers count.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::Error;

const WEBSOCKET: &str = "websocket";
/// RFC 6455 section 1.3.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The protocol that an admitted request asks to switch to.
#[derive(Debug)]
pub struct Upgrade {
    protocol: HeaderValue,
    from: From,
}

/// How the client asks.
#[derive(Debug)]
enum From {
    /// `Upgrade` of HTTP/1.1 (RFC 9110 section 7.8): the handshake is between the client and the upstream.
    Http1,
    /// Extended CONNECT of HTTP/2 (RFC 8441), which has no key: the handshake with the upstream is ours.
    Http2 { key: HeaderValue, accept: String },
}

impl Upgrade {
    /// The protocol of an `Upgrade` field that is asked for here: the first of the list that can be, alone. HTTP itself is
    /// none: an upgrade to `h2c` was abolished (RFC 9113 section 3.1), and would lead past every check of the requests in it.
    pub fn asked(field: &HeaderValue) -> Option<Self> {
        let protocol = field
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .find(|protocol| is_protocol(protocol) && !is_http(protocol))?;
        Some(Self {
            protocol: HeaderValue::from_bytes(protocol).ok()?,
            from: From::Http1,
        })
    }

    /// A WebSocket that a client asks for over HTTP/2; `nonce` is nobody else's.
    pub fn websocket_over_http2(nonce: [u8; 16]) -> Option<Self> {
        let key = STANDARD.encode(nonce);
        Some(Self {
            protocol: HeaderValue::from_static(WEBSOCKET),
            from: From::Http2 {
                accept: accept(key.as_bytes()),
                key: HeaderValue::from_str(&key).ok()?,
            },
        })
    }

    /// Whether it is a WebSocket.
    pub(super) fn is_websocket(&self) -> bool {
        self.protocol.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes())
    }

    /// Writes it into the request to the upstream (RFC 9110 section 7.8, RFC 6455 section 4.1).
    pub fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, self.protocol.clone());
        headers.remove(HTTP2_SETTINGS);
        if let From::Http2 { key, .. } = &self.from {
            headers.insert(header::SEC_WEBSOCKET_KEY, key.clone());
            headers
                .entry(header::SEC_WEBSOCKET_VERSION)
                .or_insert(HeaderValue::from_static("13"));
        }
    }

    /// Whether an upstream that switches has switched to what was asked.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        let mut named = headers.get_all(header::UPGRADE).iter();
        let switched = match (named.next(), named.next()) {
            (Some(one), None) => one.as_bytes().eq_ignore_ascii_case(self.protocol.as_bytes()),
            (None | Some(_), _) => false,
        };
        if !switched {
            return Err(Error::Switch("it switched to another protocol than it was asked to"));
        }
        if let From::Http2 { accept, .. } = &self.from {
            let answered = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
            if answered != Some(accept.as_bytes()) {
                return Err(Error::Switch("its Sec-WebSocket-Accept does not belong to the key"));
            }
        }
        Ok(())
    }

    /// Whether an answer other than 101 can be passed on. Over HTTP/2 every 2xx to a CONNECT means a tunnel (RFC 9110
    /// section 9.3.6), so there it cannot.
    pub(super) fn check_refusal(&self, status: StatusCode) -> Result<(), Error> {
        match self.from {
            From::Http2 { .. } if status.is_success() => Err(Error::Switch(
                "it answered a WebSocket's handshake as an ordinary request",
            )),
            From::Http1 | From::Http2 { .. } => Ok(()),
        }
    }

    /// The head of the answer to the client, of which `headers` are left after the walk over the upstream's.
    pub(super) fn answer(&self, mut headers: HeaderMap) -> Response<()> {
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRANSFER_ENCODING);
        let mut response = Response::new(());
        match &self.from {
            From::Http1 => {
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(header::UPGRADE, self.protocol.clone());
            }
            // RFC 8441 section 5: the key's answer is not used.
            From::Http2 { .. } => {
                headers.remove(header::SEC_WEBSOCKET_ACCEPT);
            }
        }
        *response.headers_mut() = headers;
        response
    }
}

/// `protocol-name ["/" protocol-version]` (RFC 9110 section 7.8).
fn is_protocol(text: &[u8]) -> bool {
    let is_token = |part: &[u8]| {
        !part.is_empty()
            && part
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
    };
    let mut parts = text.splitn(2, |byte| *byte == b'/');
    parts.next().is_some_and(is_token) && parts.next().is_none_or(is_token)
}

fn is_http(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or(protocol);
    [b"h2c".as_slice(), b"h2", b"h3", b"http"]
        .iter()
        .any(|http| name.eq_ignore_ascii_case(http))
}

/// RFC 6455 section 4.2.2. SHA-1 is no protection here and is not meant as one.
fn accept(key: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, ACCEPT_SUFFIX].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_protocol_that_is_not_http_is_asked_for() {
        let asked = |field: &str| {
            let upgrade = Upgrade::asked(&HeaderValue::from_str(field).unwrap());
            upgrade.map(|upgrade| upgrade.protocol.to_str().unwrap().to_owned())
        };
        for (field, expected) in [
            ("websocket", Some("websocket")),
            ("WebSocket", Some("WebSocket")),
            ("h2c", None),
            ("H2C", None),
            ("h2c, websocket", Some("websocket")),
            ("HTTP/2.0, IRC/6.9", Some("IRC/6.9")),
            ("TLS/1.0", Some("TLS/1.0")),
            ("", None),
            (",", None),
            ("web socket", None),
            ("a/b/c", None),
            ("/1", None),
        ] {
            assert_eq!(asked(field).as_deref(), expected, "{field:?}");
        }
    }

    #[test]
    fn the_key_of_the_rfc_has_its_answer() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_what_was_asked_is_switched_to() {
        let map = |fields: &[(&str, &str)]| -> HeaderMap {
            fields
                .iter()
                .map(|(name, value)| {
                    (
                        name.parse::<HeaderName>().unwrap(),
                        HeaderValue::from_str(value).unwrap(),
                    )
                })
                .collect()
        };
        let classic = Upgrade::asked(&HeaderValue::from_static("websocket")).unwrap();
        assert!(classic.check(&map(&[("upgrade", "WebSocket")])).is_ok());
        assert!(classic.check(&map(&[("upgrade", "h2c")])).is_err());
        assert!(classic.check(&map(&[])).is_err());
        let doubled = http::HeaderMap::from_iter([(header::UPGRADE, HeaderValue::from_static("websocket, h2c"))]);
        assert!(classic.check(&doubled).is_err());
        assert!(classic.check_refusal(StatusCode::OK).is_ok());

        let extended = Upgrade::websocket_over_http2(*b"the sample nonce").unwrap();
        let good = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(extended.check(&map(&[("upgrade", "websocket"), good])).is_ok());
        assert!(extended.check(&map(&[("upgrade", "websocket")])).is_err());
        assert!(
            extended
                .check(&map(&[("upgrade", "websocket"), ("sec-websocket-accept", "x")]))
                .is_err()
        );
        assert!(extended.check_refusal(StatusCode::OK).is_err());
        assert!(extended.check_refusal(StatusCode::FORBIDDEN).is_ok());
    }
}
