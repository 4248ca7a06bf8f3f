//! What a worker keeps for itself: its memory of verified tokens, its registry, its part of the access log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
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
        let [prefix, count] = [hex(self.id_prefix), hex(count)];
        let mut text = *b"00-________________________________-________________-00";
        for (place, digits) in [(3, &prefix), (19, &count), (36, &count)] {
            if let Some(room) = text.get_mut(place..place + 16) {
                room.copy_from_slice(digits);
            }
        }
        let trace = Bytes::copy_from_slice(&text);
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

/// A number as sixteen hexadecimal digits. `format!`, or a loop over the digits into a growing buffer, took more time than the
/// rest of the request's names together.
#[inline]
fn hex(number: u64) -> [u8; 16] {
    let mut digits = number
        .to_be_bytes()
        .map(|byte| ((u16::from(byte) << 4) & 0x0f00) | u16::from(byte & 0x0f));
    for pair in &mut digits {
        // Ten and more are letters: 39 places behind where digits would go on.
        let letters = ((*pair + 0x0606) >> 4) & 0x0101;
        *pair += 0x3030 + letters * 39;
    }
    let mut text = [0; 16];
    for (room, pair) in text.as_chunks_mut::<2>().0.iter_mut().zip(digits) {
        *room = pair.to_be_bytes();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_format_writes_them() {
        for number in [0, 1, 9, 10, 15, 16, 0x99aa, 0x0123_4567_89ab_cdef, u64::MAX] {
            for number in (0..64).map(|by| number << by) {
                assert_eq!(hex(number).as_slice(), format!("{number:016x}").as_bytes());
            }
        }
    }

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
