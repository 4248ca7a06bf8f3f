//! Which route a request falls to: canonical hosts, targets with all their readings, and the table they are looked up in.
//!
//! Pure: no IO, no clock, no allocation on the usual way. In the order a request meets them:
//!
//! 1. [`Host::parse`]: the host without port, letter case and trailing dot.
//! 2. [`Target::parse`]: refuses what can never be right; keeps the path exactly as received, since the path that was
//!    checked is the path that is sent; and works out its [readings](Reading): everything a backend might take it for.
//! 3. [`Table::find`]: the route of the canonical reading, in a time that does not depend on the number of routes.
//! 4. [`Table::find_reading`]: the routes of the other readings, which all have to let the request pass. Where
//!    [`Table::one_look_up`] says so, as it does for nearly every request, step 3 has told everything.

mod host;
mod method;
mod path;
mod reading;
mod table;
mod target;
mod transform;

#[cfg(test)]
mod tests;

pub use host::{Host, HostPattern, InvalidHostPattern};
pub use method::{Allow, MethodSet};
pub use path::{InvalidPath, PathPattern, RoutePath};
pub use reading::{Forms, Reading};
pub use table::{Candidate, Conflict, Entry, HostTier, Match, Table};
pub use target::{Target, fuzz};
