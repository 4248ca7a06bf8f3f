//! A route as admission and forwarding see it: `[[routes]]`, with only valid values.

use http::{HeaderName, HeaderValue, Method};

use crate::authn::Counts as Credentials;
use crate::authz::Rule;
use crate::rate;

/// One `[[routes]]` entry.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, in logs, metrics and traces.
    pub name: String,
    /// The hosts as configured: exact or `*.example.com`; none: any.
    pub hosts: Vec<String>,
    /// The path prefix, at segment borders; without a trailing slash, but for `/` itself.
    pub path: String,
    /// The methods; `None`: any. GET includes HEAD.
    pub methods: Option<Vec<Method>>,
    /// Who may pass.
    pub rule: Rule,
    /// Which credentials count.
    pub credentials: Credentials,
    /// The upstream's name; `None` only where access is denied to everybody.
    pub upstream: Option<String>,
    /// Taken off the path before it is sent.
    pub strip_prefix: Option<String>,
    /// What the backend sees as Host.
    pub host_header: HostHeader,
    /// Changes to the request's header section.
    pub request_headers: HeaderChanges,
    /// Changes to the response's header section.
    pub response_headers: HeaderChanges,
    /// Whether the bearer token that counted is sent on.
    pub forward_token: bool,
    /// The largest request body, in bytes.
    pub max_body: Option<u64>,
    /// How often one client or user may ask.
    pub rate_limit: Option<rate::Settings>,
    /// Who answers a preflight.
    pub preflight: Preflight,
    /// Whether cookie-authenticated unsafe requests from other sites pass.
    pub cross_site_allowed: bool,
    /// Whether two readings on different routes are refused whoever asks.
    pub refuse_ambiguous: bool,
    /// Whether it is decided, told and counted, and not enforced.
    pub shadow: bool,
}

/// What the backend sees as Host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client sent.
    Preserve,
    /// The upstream server's own host and port.
    Upstream,
    /// This.
    Literal(HeaderValue),
}

/// Changes to a header section: removed first, then set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Set to exactly this value.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Removed.
    pub remove: Vec<HeaderName>,
}

/// Who answers a preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// The backend, without credentials or identity.
    Pass,
    /// We, by `[cors]`.
    Answer,
}
