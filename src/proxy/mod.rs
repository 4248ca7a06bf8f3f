//! Forwarding an admitted request: identity in, upstream, relay. There is no way here without a
//! [`Permit`](crate::admission::Permit).

mod body;
mod error;
mod forward;
mod frames;
mod tunnel;
mod upgrade;

pub use body::{BodyFault, Exchange, Progress, RelayBody, RelayError, RequestBody};
pub use error::Error;
pub use forward::{Forwarded, Head, Outgoing, forward, write_head};
pub use tunnel::Tunnel;
pub use upgrade::Upgrade;
