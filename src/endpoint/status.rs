//! Stub
/// x
pub struct Health {
    /// x
    pub ready: bool,
    /// x
    pub reasons: Vec<&'static str>,
}
/// x
pub fn healthz() -> crate::answer::Answer {
    crate::answer::empty(http::StatusCode::OK)
}
/// x
pub fn readyz(h: &Health) -> crate::answer::Answer {
    crate::answer::with_body(
        if h.ready {
            http::StatusCode::OK
        } else {
            http::StatusCode::SERVICE_UNAVAILABLE
        },
        http::HeaderValue::from_static("text/plain"),
        h.reasons.join(",").into(),
    )
}
/// x
pub fn metrics(s: String) -> crate::answer::Answer {
    crate::answer::with_body(
        http::StatusCode::OK,
        http::HeaderValue::from_static("text/plain"),
        s.into(),
    )
}
