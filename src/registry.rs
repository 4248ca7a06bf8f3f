//! Live connections and exchanges with their deadlines.

use std::time::Duration;

/// `[timeouts]`: how long each phase of a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// A request's head, from its first byte.
    pub header_read: Duration,
    /// Without a byte of a body, in either direction.
    pub body_progress: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// From the signal to stop until what still runs is cut.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            body_progress: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            drain: Duration::from_secs(30),
        }
    }
}
