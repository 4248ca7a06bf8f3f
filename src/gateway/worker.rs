//! What a worker keeps for itself: its memory of verified tokens, its registry, its part of the access log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, BytesMut};
use http::HeaderValue;

use crate::authn::Remembered;
use crate::registry::Registry;
use crate::telemetry::{Access, AccessLog};

/// The name of a request, and of the trace it begins.
#[derive(Clone, Debug, Default)]
pub struct RequestId {
    /// `X-Request-Id`.
    pub id: Option<HeaderValue>,
    /// `traceparent`.
    pub trace: Option<HeaderValue>,
}

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }
}

/// One worker's own things. The locks are never contended: only the worker's thread takes them, they are there because a
/// task may not say so.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    registry: Arc<Registry>,
    remembered: Mutex<Remembered>,
    access: Mutex<AccessLog>,
    ids: AtomicU64,
    id_prefix: u64,
}

impl Worker {
    /// The worker of this index; `seed` makes its request ids differ from everybody else's.
    pub fn new(
        index: usize,
        registry: Arc<Registry>,
        remembered: Remembered,
        access: AccessLog,
        seed: [u64; 2],
    ) -> Self {
        let [id_prefix, first] = seed;
        Self {
            index,
            registry,
            remembered: Mutex::new(remembered),
            access: Mutex::new(access),
            ids: AtomicU64::new(first),
            id_prefix,
        }
    }

    /// Which one it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its live connections and exchanges.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Works with the memory of verified tokens.
    pub fn remembered<T>(&self, work: impl FnOnce(&mut Remembered) -> T) -> T {
        work(&mut self.remembered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request id, 128 bits as hexadecimal digits, unique and not secret, and the trace it begins (W3C Trace Context,
    /// section 3.2; not sampled): two views of one buffer.
    pub fn next_id(&self) -> RequestId {
        // A weak mixing step spreads the counter over all bits, so that ids can be sampled by any of them.
        let count = self
            .ids
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            | 1;
        let mut text = BytesMut::with_capacity(55);
        text.put_slice(b"00-");
        put_hex(&mut text, self.id_prefix);
        put_hex(&mut text, count);
        text.put_u8(b'-');
        put_hex(&mut text, count);
        text.put_slice(b"-00");
        let trace = text.freeze();
        let id = HeaderValue::from_maybe_shared(trace.slice(3..35)).ok();
        RequestId {
            id,
            trace: HeaderValue::from_maybe_shared(trace).ok(),
        }
    }

    /// Adds a line to the access log.
    pub fn log(&self, line: &Access<'_>) {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).write(line);
    }

    /// Hands the access log's lines over.
    pub fn flush_log(&self) {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }
}

/// Sixteen hexadecimal digits. `format!` does the same, and took more time than the rest of the request's names together.
fn put_hex(text: &mut BytesMut, number: u64) {
    for shift in (0..16).rev() {
        let digit = u8::try_from((number >> (shift * 4)) & 15).unwrap_or(0);
        text.put_u8(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_name_their_trace() {
        let worker = Worker::new(0, Arc::default(), Remembered::new(1), AccessLog::new(None), [0xabc, 7]);
        let (one, other) = (worker.next_id(), worker.next_id());
        assert_eq!(one.as_str().len(), 32);
        assert_ne!(one.as_str(), other.as_str());
        assert!(one.as_str().starts_with("0000000000000abc"), "{one:?}");
        let trace = one.trace.as_ref().unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            trace,
            format!("00-{}-{}-00", one.as_str(), one.as_str().get(16..).unwrap())
        );
    }
}
