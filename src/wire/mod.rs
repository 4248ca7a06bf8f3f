//! The strict scanner under hyper's HTTP/1 server.
//!
//! hyper is a fine HTTP implementation and a lenient one: it drops a `Content-Length` that stands beside
//! `Transfer-Encoding` and a second equal one, takes bare LF as a line end, requests without Host or with two, any bytes in a
//! chunk extension, a fragment in a target; and it does so before a service can see it. A gateway whose idea of a message
//! differs from its backend's can be made to smuggle requests. So [`Guarded`] stands between hyper and the stream and lets
//! only those bytes pass that [`Scanner`] has framed by the strict reading of RFC 9112.
//!
//! What holds:
//! * hyper sees complete, valid heads only; an unfinished head waits outside, so its size and time are bounded here.
//! * One message at a time: what a client pipelines behind a message waits until hyper asks for the next one. Run hyper with
//!   `half_close(true)`: then it asks when the answer is written, and [`WireState`] always speaks of the request being served.
//! * A head that breaks a rule is replaced by a harmless request; the service asks [`WireState::take_violation`] first thing,
//!   and answers the violation through its usual exit. So answers to what was pipelined before go out first, in order.
//! * A body that breaks a rule ends in a read error that carries the [`Violation`].
//! * After either, not one more byte is delivered, and closing waits for the client to have read the answer.
//! * After a request that asks for an upgrade nothing is delivered until the owner has decided what the bytes behind it are.
//!
//! Before any of this a proxy in front may say whose connection it passes on: [`proxy_header`].
//!
//! The usual head arrives in one read, is looked at once, in hyper's own buffer, and nothing is copied or allocated.

mod chunked;
mod fields;
mod framing;
mod fuzz;
mod grammar;
mod guarded;
mod head;
mod held;
pub mod http2;
mod proxy_header;
mod scanner;
mod settings;
mod state;
mod violation;

#[cfg(test)]
mod tests;

pub use fuzz::fuzz_scan;
pub use guarded::Guarded;
pub use head::{is_target, too_large};
pub use proxy_header::{Announced, LONGEST as LONGEST_PROXY_HEADER, ProxyHeader, fuzz_proxy_header, proxy_header};
pub use scanner::{Outcome, Scanner, Step};
pub use settings::Settings;
pub use state::{Departure, Phase, WireState};
pub use violation::Violation;
