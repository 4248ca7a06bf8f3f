//! When a connection of HTTP/1.1 is told that it ends, once the gateway is stopping.
//!
//! hyper closes one that has not been asked anything yet as soon as it is told. But who has come while there was still a
//! listener may have sent a request that nobody has read: it is waited for, for a moment.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::Sleep;

use crate::registry::Entry;
use crate::wire::WireState;

/// How long a connection may be without the first byte of its first request. What was sent before the stop is here sooner, and
/// those who connect beforehand and say nothing shall not hold up the end.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// The state of one connection.
#[derive(Default)]
pub struct Farewell {
    told: bool,
    /// Set when the stop was noticed before the first request.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Farewell {
    /// Whether it is to be told now; true once. To be asked at each poll, after what has come was read.
    pub fn is_due(&mut self, entry: &Entry, wire: &WireState, cx: &mut Context<'_>) -> bool {
        if self.told || !entry.is_draining() {
            return false;
        }
        // A head that has begun keeps its deadline and no other.
        self.told = wire.heads() > 0 || (self.is_over(cx) && wire.received() == 0);
        self.told
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let begin = || Box::pin(tokio::time::sleep(FIRST_REQUEST));
        self.patience.get_or_insert_with(begin).as_mut().poll(cx).is_ready()
    }
}
