//! What goes to the client: frame heads only, to know when an answer is complete.

use super::frame::{END_STREAM, HEAD, Head, Kind};

/// Follows the frames that h2 writes, however the writes are cut.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    head: [u8; HEAD],
    have: usize,
    /// Octets of the payload under way.
    skip: usize,
}

impl Outgoing {
    /// Shows these octets, and gives each head that they complete to `note`.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut note: impl FnMut(Head)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = self.head.get_mut(self.have..).unwrap_or_default();
            let count = wanted.len().min(bytes.len());
            let (taken, rest) = bytes.split_at(count);
            for (slot, octet) in wanted.iter_mut().zip(taken) {
                *slot = *octet;
            }
            self.have += count;
            bytes = rest;
            if self.have == HEAD
                && let Some(head) = Head::read(&self.head)
            {
                self.have = 0;
                self.skip = head.length;
                note(head);
            }
        }
    }
}

/// Whether nothing more of this stream's answer follows.
pub(super) fn ends(head: &Head) -> bool {
    match head.kind {
        Kind::Data | Kind::Headers => head.has(END_STREAM),
        Kind::Reset => true,
        Kind::Settings | Kind::PushPromise | Kind::Continuation | Kind::Control => false,
    }
}
