//! Bytes that were read and may not pass yet.

use tokio::io::ReadBuf;

/// The bytes withheld from hyper: an unfinished head, or what a client pipelined. Empty, and without memory, nearly always.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    start: usize,
    cleared: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether bytes are there that may pass and have not yet.
    pub(super) fn is_cleared(&self) -> bool {
        self.cleared > 0
    }

    /// What may not pass yet.
    pub(super) fn withheld(&self) -> &[u8] {
        self.bytes.get(self.start + self.cleared..).unwrap_or_default()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start.min(self.bytes.len()));
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Lets the first `count` of the bytes withheld pass.
    pub(super) fn clear(&mut self, count: usize) {
        self.cleared += count.min(self.withheld().len());
    }

    /// Moves as much as fits of what may pass into `buf`; false if there was nothing.
    pub(super) fn deliver(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let count = self.cleared.min(buf.remaining());
        buf.put_slice(self.bytes.get(self.start..self.start + count).unwrap_or_default());
        self.start += count;
        self.cleared -= count;
        if self.start == self.bytes.len() {
            *self = Self::default();
        }
        count > 0
    }

    /// Forgets everything and lets `bytes` pass instead.
    pub(super) fn replace(&mut self, bytes: &[u8]) {
        *self = Self {
            bytes: bytes.to_vec(),
            start: 0,
            cleared: bytes.len(),
        };
    }

    /// Puts `with` in the place of the first `of` of the bytes withheld, and lets it pass.
    pub(super) fn exchange(&mut self, of: usize, with: &[u8]) {
        let at = (self.start + self.cleared).min(self.bytes.len());
        let end = at.saturating_add(of).min(self.bytes.len());
        self.bytes.splice(at..end, with.iter().copied());
        self.cleared += with.len();
    }

    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start.min(self.bytes.len()));
        self.bytes
    }
}
