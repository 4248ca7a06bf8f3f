//! Stub.
mod settings;
pub mod status;
pub use settings::*;
use std::sync::Arc;
/// x
#[derive(Clone, Debug)]
pub struct Services {
    /// x
    pub accounts: Arc<crate::account::Accounts>,
    /// x
    pub office: crate::office::Office,
    /// x
    pub keys: crate::keyring::KeyRing,
    /// x
    pub clock: crate::clock::Clock,
    /// x
    pub metrics: Arc<crate::telemetry::Metrics>,
}
/// x
#[derive(Debug)]
pub struct Asked {
    /// x
    pub parts: http::request::Parts,
    /// x
    pub body: hyper::body::Incoming,
    /// x
    pub client: std::net::IpAddr,
    /// x
    pub secure: bool,
}
/// x
#[derive(Debug)]
pub struct Endpoints;
/// x
pub struct Row {
    /// x
    pub index: usize,
    /// x
    pub path: String,
    /// x
    pub exact: bool,
    /// x
    pub methods: Vec<http::Method>,
    /// x
    pub rule: crate::authz::Rule,
}
impl Endpoints {
    /// x
    pub fn new(_: &Settings) -> Self {
        Self
    }
    /// x
    pub fn rules(&self) -> Vec<Row> {
        Vec::new()
    }
    /// x
    pub async fn serve(
        &self,
        _index: usize,
        _permit: Option<&Arc<crate::authn::Proof>>,
        _asked: Asked,
        _: &Services,
    ) -> Result<crate::answer::Answer, crate::problem::Problem> {
        Ok(crate::answer::empty(http::StatusCode::OK))
    }
}
