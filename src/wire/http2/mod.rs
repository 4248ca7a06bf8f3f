//! The guard under hyper's HTTP/2 server.
//!
//! h2 bounds much of what a hostile client can make it hold: concurrent streams, the size of a header list, empty and tiny
//! DATA frames, streams it had to reset or refuse, frames of one header block. It never ends a connection for what costs
//! work and not memory: a hundred thousand PINGs, SETTINGS or PRIORITY frames, or requests taken back as fast as they are
//! made (CVE-2023-44487). And before a service can see it, it cuts the fragment off a `:path` and drops pseudo-headers from
//! trailers. So [`Guard`] stands between hyper and the stream, as `Guarded` does for HTTP/1.
//!
//! What holds:
//! * A header block reaches h2 whole or not at all: an unfinished one waits outside, so its size and time are bounded here.
//! * Frames that ask for work and bring none are paid from a budget that time and useful work refill (`budget`); likewise
//!   requests that the client takes back. Who has spent it gets GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 section 10.5).
//! * A `:path` with a `#` gets a backslash in its place: of the same length, so that the compression tables stay as the
//!   client thinks they are, and refused with 400 by whoever reads a target.
//! * Trailers with a pseudo-header (RFC 9113 section 8.1) become a stream error.
//!
//! What is wrong is never answered here: h2 is shown bytes that are wrong in the same way, and says what the RFC wants.
//!
//! All else passes as it is: of a frame nine bytes are looked at, of a header block the lengths, of a `:path` each byte.

mod block;
mod budget;
mod frame;
mod guard;
mod huffman;
mod outgoing;
mod scan;
mod state;

#[cfg(test)]
mod tests;

pub use guard::Guard;
pub use state::{Phase, State};
