//! The decision about a request: made once, in [`Policy::admit`], for routes and our own endpoints alike.
//!
//! Nothing is forwarded and no endpoint is served without a [`Permit`], and only `admit` makes one.

mod counted;
mod flask;
mod handshakes;
mod permit;
mod policy;
mod refusal;
mod route;

#[cfg(test)]
mod tests;

pub use crate::authn::Counts as Credentials;
pub use handshakes::Handshakes;
pub use permit::{Destination, Permit, Question};
pub use policy::{EndpointRule, InvalidPolicy, Policy, RouteEntry};
pub use refusal::Refusal;
pub use route::*;
