//! Not built yet.
mod settings;
pub use settings::*;
use std::sync::Arc;
/// x
pub struct Tools {
    /// x
    pub store: Arc<dyn crate::store::Store>,
    /// x
    pub pool: crate::password::Pool,
    /// x
    pub keys: crate::keyring::KeyRing,
    /// x
    pub revocations: crate::revocation::Revocations,
    /// x
    pub clock: crate::clock::Clock,
    /// x
    pub metrics: Arc<crate::telemetry::Metrics>,
    /// x
    pub settings: Settings,
    /// x
    pub throttle: crate::throttle::Settings,
    /// x
    pub tokens: crate::token::Settings,
}
/// x
#[derive(Debug)]
pub struct Accounts;
impl Accounts {
    /// x
    pub fn new(_: Tools) -> Result<Self, std::io::Error> {
        Ok(Self)
    }
}
