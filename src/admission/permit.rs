//! What is decided about, and the proof that it was decided.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::Method;

use super::{Refusal, RouteEntry};
use crate::authn::Proof;
use crate::route::{Host, Target};

/// Where an admitted request goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To an upstream, by this route.
    Route(Arc<RouteEntry>),
    /// To one of our own endpoints, by its index.
    Endpoint(usize),
    /// To nobody: the gateway answers this preflight itself.
    Preflight,
}

/// What is decided about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The canonical host; `None`: HTTP/1.0 without one.
    pub host: Option<&'a Host<'a>>,
    /// The target.
    pub target: &'a Target<'a>,
    /// The method; of a preflight, the one it asks about.
    pub method: &'a Method,
    /// Whether this is a preflight.
    pub preflight: bool,
    /// The client's address, if something trustworthy tells.
    pub client: Option<IpAddr>,
    /// Whether a page of another site may have set this off: unsafe or an upgrade, and nothing says where it comes from.
    pub cross_site: bool,
    /// Whether the client showed a certificate that counts, if something trustworthy tells.
    pub certificate: Option<bool>,
    /// When it came, to be counted against the route's limit; `None`: somebody only wants to know, and nothing is counted.
    pub at: Option<Instant>,
    /// Whether another proxy asks (forward-auth). What it answers itself or has answered elsewhere is for the routes to say:
    /// of our own URLs those alone count that belong to us there, too.
    pub forward_auth: bool,
    /// Whether it is decided a second time, now that the store was asked who it is.
    pub again: bool,
}

/// The proof that a request was admitted. Its fields are private and only [`super::Policy::admit`] fills them: forwarding what was
/// not admitted does not compile.
#[derive(Debug)]
pub struct Permit {
    destination: Destination,
    proof: Option<Arc<Proof>>,
    /// Boxed: it is rare, and every permit has room for it.
    lifted: Option<Box<Refusal>>,
}

impl Permit {
    /// For [`super::Policy`] alone.
    pub(super) fn new(destination: Destination, proof: Option<Arc<Proof>>, lifted: Option<Refusal>) -> Self {
        Self {
            destination,
            proof,
            lifted: lifted.map(Box::new),
        }
    }

    /// Where the request goes.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Who it is from; `None`: nobody in particular.
    pub fn proof(&self) -> Option<&Arc<Proof>> {
        self.proof.as_ref()
    }

    /// Why it would have been refused, if its route were enforced: it is a shadow route's.
    pub fn would_refuse(&self) -> Option<&Refusal> {
        self.lifted.as_deref()
    }
}
