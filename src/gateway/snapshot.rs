//! The configuration a request sees: made as a whole by `server`, never changed, replaced as a whole.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::Policy;
use crate::answer::{Dialect, cors};
use crate::endpoint::Endpoints;
use crate::endpoint::forward_auth::Pass;
use crate::headers::Reserved;
use crate::identity;
use crate::net::Networks;
use crate::telemetry::RouteSeries;
use crate::token::Verifier;
use crate::upstream::Upstreams;

/// One configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Networks,
    /// The names no client has a say in.
    pub reserved: Arc<Reserved>,
    /// The identity headers.
    pub identity: identity::Settings,
    /// Cross-origin answers.
    pub cors: cors::Settings,
    /// How problems are told.
    pub dialect: Dialect,
    /// Routes and endpoints.
    pub policy: Policy,
    /// Our own URLs.
    pub endpoints: Endpoints,
    /// What another proxy is answered whose request may pass.
    pub pass: Pass,
    /// Where requests are forwarded to.
    pub upstreams: Upstreams,
    /// Issuers, audiences, algorithms.
    pub verifier: Arc<Verifier>,
    /// How long the whole body of a request to an endpoint may take.
    pub body_within: Duration,
    /// Whether each request writes a line.
    pub access_log: bool,
    /// The figures of our own endpoints.
    pub endpoint_series: Arc<RouteSeries>,
    /// The figures of requests that no route takes.
    pub unrouted_series: Arc<RouteSeries>,
}
