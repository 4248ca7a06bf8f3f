//! The decision about a request: made once, in [`Policy::admit`], for routes and our own endpoints alike.
//!
//! Nothing is forwarded and no endpoint is served without a [`Permit`], and only `admit` makes one.

mod counted;
mod entry;
mod flask;
mod handshakes;
mod own;
mod permit;
mod place;
mod policy;
mod refusal;
mod rivals;
mod route;
mod watch;

#[cfg(test)]
mod tests;

pub use crate::authn::Counts as Credentials;
pub use entry::{EndpointRule, InvalidPolicy, RouteEntry};
pub use handshakes::Handshakes;
pub use own::{Takes, Unfit};
pub use permit::{Destination, Permit, Question};
pub use place::Agreement;
pub use policy::Policy;
pub use refusal::Refusal;
pub use route::*;
pub use watch::{Beaten, Landing, Rival, Unwatched, Watch};
