//! What the admin listener shows: whether the gateway lives, whether it is ready, and its figures.

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use serde::Serialize;

use crate::answer::{self, Answer};

/// Whether traffic should come here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// It should.
    pub ready: bool,
    /// Why it should not.
    pub reasons: Vec<&'static str>,
}

#[derive(Serialize)]
struct Document<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [&'static str],
}

/// `GET /healthz`: the process answers. Whether it is of use is `/readyz`'s to say: a gateway that is restarted because its
/// store is away helps nobody.
pub fn healthz() -> Answer {
    let document = Document {
        status: "ok",
        reasons: &[],
    };
    answer::json(StatusCode::OK, &document)
}

/// `GET /readyz`
pub fn readyz(health: &Health) -> Answer {
    let (code, status) = match health.ready {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let document = Document {
        status,
        reasons: &health.reasons,
    };
    answer::json(code, &document)
}

/// `GET /metrics`: Prometheus' text format.
pub fn metrics(page: String) -> Answer {
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let mut answer = answer::with_body(StatusCode::OK, content_type, Bytes::from(page));
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
