//! What the guard knows about a connection, for the registry of deadlines.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Where a connection stands, as far as its client's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The client's preface, with its SETTINGS, has not come in full (RFC 9113 section 3.4).
    Preface,
    /// Between frames, or within one that nobody has to wait for.
    Open,
    /// A header block has begun and is not complete.
    Block,
    /// A rule was broken or a budget spent: nothing is read any more, the connection only ends.
    Ended,
}

/// Shared between the stream's guard and the registry. One task writes (the connection's), all may read.
#[derive(Debug, Default)]
pub struct State {
    phase: AtomicU8,
    writing: AtomicBool,
    blocks: AtomicU64,
    partial: AtomicU64,
    sent: AtomicU64,
    taken: AtomicU64,
    open: AtomicU32,
}

impl State {
    /// Where the connection stands.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Preface,
            1 => Phase::Open,
            2 => Phase::Block,
            _ => Phase::Ended,
        }
    }

    /// Header blocks that h2 was given.
    pub fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Octets that came as a part of a DATA frame whose end had not come yet: h2 shows nothing of such a frame, and a slow
    /// client may take longer for it than for a pause.
    pub fn partial(&self) -> u64 {
        self.partial.load(Ordering::Relaxed)
    }

    /// Octets that the client, or the kernel for it, has taken.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Octets of answers among them: what the client's windows let pass.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Streams whose answer has not been sent to its end.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether somebody wants to write and there was no room.
    pub fn waits_for_client_to_take(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    pub(super) fn publish(&self, phase: Phase, open: usize) {
        let place = match phase {
            Phase::Preface => 0,
            Phase::Open => 1,
            Phase::Block => 2,
            Phase::Ended => 3,
        };
        self.phase.store(place, Ordering::Relaxed);
        self.publish_open(open);
    }

    pub(super) fn publish_open(&self, open: usize) {
        self.open
            .store(u32::try_from(open).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    pub(super) fn blocked_in_writing(&self, blocked: bool) {
        self.writing.store(blocked, Ordering::Relaxed);
    }

    pub(super) fn count_block(&self) {
        add(&self.blocks, 1);
    }

    pub(super) fn count_partial(&self, octets: usize) {
        add(&self.partial, octets);
    }

    pub(super) fn count_sent(&self, octets: usize) {
        add(&self.sent, octets);
    }

    pub(super) fn count_taken(&self, octets: usize) {
        add(&self.taken, octets);
    }
}

/// One task writes, so this needs no locked instruction.
fn add(counter: &AtomicU64, more: usize) {
    let more = u64::try_from(more).unwrap_or(u64::MAX);
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
