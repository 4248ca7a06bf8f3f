//! What the scanner knows about a connection, for those who do not hold the stream: the service and the registry of deadlines.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use super::violation::Violation;

/// Where a connection stands, as far as its client's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No message is arriving. The connection is idle if it also [waits for the client](WireState::waits_for_client_to_send);
    /// otherwise a request that has arrived in full is being answered.
    Idle,
    /// A head has begun and is not complete.
    Head,
    /// A head was delivered and the end of its body was not.
    Body,
    /// The request asked for an upgrade, and it is not decided yet.
    Upgrade,
    /// The upgrade has taken place: all bytes pass.
    Tunnel,
    /// A rule was broken: nothing is delivered any more, the connection only ends.
    Refused,
    /// Our side is closed; the rest of what the client sends is thrown away until it closes too. Only the registry bounds its
    /// time: a second or two is enough.
    Lingering,
}

impl Phase {
    const ALL: [Self; 7] = [
        Self::Idle,
        Self::Head,
        Self::Body,
        Self::Upgrade,
        Self::Tunnel,
        Self::Refused,
        Self::Lingering,
    ];

    fn place(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Head => 1,
            Self::Body => 2,
            Self::Upgrade => 3,
            Self::Tunnel => 4,
            Self::Refused => 5,
            Self::Lingering => 6,
        }
    }
}

/// Whether a client is still there, as far as its end of the connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Nothing says otherwise.
    Here,
    /// It sends nothing more; it may still be reading (RFC 9112 section 9.6).
    Closed,
    /// It reset the connection.
    Gone,
}

/// What the owner says about the bytes behind a request that asked for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Http,
    Tunnel,
}

/// Shared between the stream's guard, the service and the registry. One task writes (the connection's), except for the
/// decision about an upgrade; all may read.
#[derive(Debug, Default)]
pub struct WireState {
    phase: AtomicU8,
    body_open: AtomicBool,
    reading: AtomicBool,
    writing: AtomicBool,
    heads: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    violation: OnceLock<Violation>,
    line: OnceLock<Box<[u8]>>,
    fields: OnceLock<Box<[u8]>>,
    target: OnceLock<Box<[u8]>>,
    to_answer: AtomicBool,
    decision: AtomicU8,
    look: AtomicBool,
    departure: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

/// So much of a request line, and of the target in it, is remembered of a head that breaks a rule.
const LINE_TOLD: usize = 2048;
/// So much of its fields.
const FIELDS_TOLD: usize = 16 * 1024;

const NONE: u8 = 0;
const AWAITED: u8 = 1;
const HTTP: u8 = 2;
const TUNNEL: u8 = 3;

impl WireState {
    /// Where the connection stands.
    pub fn phase(&self) -> Phase {
        let place = self.phase.load(Ordering::Relaxed);
        Phase::ALL.get(usize::from(place)).copied().unwrap_or(Phase::Idle)
    }

    /// How many heads hyper was given, the harmless one in place of a bad one included; 0: the first is still to come.
    pub fn heads(&self) -> u64 {
        self.heads.load(Ordering::Relaxed)
    }

    /// Whether the request being served was delivered to its end. If not, the connection cannot be used for another one
    /// before its rest was read.
    pub fn request_is_complete(&self) -> bool {
        !self.body_open.load(Ordering::Relaxed)
    }

    /// Bytes that came from the client; it only grows. Whoever sweeps remembers what it was.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes that the client, or the kernel for it, has taken; it only grows.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether it is the client's turn to send: somebody wants to read and there was nothing. Without this a body that we do
    /// not ask for (a slow upstream, `Expect: 100-continue`) would look like a slow client.
    pub fn waits_for_client_to_send(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    /// Whether it is the client's turn to take: somebody wants to write and there was no room.
    pub fn waits_for_client_to_take(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// Asks the stream's owner to find out, the next time it runs, whether the client is still there: while an answer is
    /// waited for nobody reads, and so nobody would notice.
    pub fn look_for_client(&self) {
        self.look.store(true, Ordering::Relaxed);
    }

    /// What was found.
    pub fn departure(&self) -> Departure {
        match self.departure.load(Ordering::Relaxed) {
            1 => Departure::Closed,
            2 => Departure::Gone,
            _ => Departure::Here,
        }
    }

    pub(super) fn is_to_look(&self) -> bool {
        self.look.load(Ordering::Relaxed) && self.look.swap(false, Ordering::Relaxed)
    }

    pub(super) fn found(&self, departure: Departure) {
        let number = match departure {
            Departure::Here => 0,
            Departure::Closed => 1,
            Departure::Gone => 2,
        };
        self.departure.store(number, Ordering::Relaxed);
    }

    /// For the service, first thing with every request: if this returns something, the request is not the client's but stands
    /// in the place of a head that broke a rule, and this is to be answered instead. It returns it once.
    pub fn take_violation(&self) -> Option<Violation> {
        if self.to_answer.load(Ordering::Relaxed) && self.to_answer.swap(false, Ordering::AcqRel) {
            return self.violation();
        }
        None
    }

    /// The request line of a head that broke a rule, as far as it came and can be told: for the log, and for nothing else.
    pub fn refused_line(&self) -> &[u8] {
        self.line.get().map_or(&[], |line| line)
    }

    /// The only field of this name in a head that broke a rule, as far as it came and can be told: for the log, and for nothing
    /// else. What stands behind the head is not looked at.
    pub fn refused_field(&self, name: &str) -> Option<&str> {
        let fields = self.fields.get().map_or(&[][..], |fields| fields);
        // The first line is what follows the request line: nothing.
        let lines = fields.split(|byte| *byte == b'\n').skip(1);
        let lines = lines.map(<[u8]>::trim_ascii).take_while(|line| !line.is_empty());
        let mut values = lines.filter_map(|line| {
            let (found, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?;
            found.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
        });
        let only = values.next().filter(|_| values.next().is_none())?;
        std::str::from_utf8(only)
            .ok()
            .filter(|value| value.bytes().all(|byte| byte.is_ascii_graphic()))
    }

    /// The target of a head that broke a rule, as far as it was read and can be told: for what such an answer looks like, and
    /// for nothing else.
    pub fn refused_target(&self) -> &str {
        let target = self.target.get().map_or(&[][..], |target| target);
        std::str::from_utf8(target).unwrap_or_default()
    }

    /// The rule that was broken on this connection, in a head or in a body; there can be one only.
    pub fn violation(&self) -> Option<Violation> {
        self.violation.get().copied()
    }

    /// After a request that asked for an upgrade: it did not take place, what follows is the next request. False: nobody
    /// had asked, or it is decided already.
    pub fn resume_http(&self) -> bool {
        self.decide(HTTP)
    }

    /// After a request that asked for an upgrade: it takes place, what follows is no HTTP. False: nobody had asked, or it is
    /// decided already.
    pub fn switch_to_tunnel(&self) -> bool {
        self.decide(TUNNEL)
    }

    fn decide(&self, decision: u8) -> bool {
        let decided = self
            .decision
            .compare_exchange(AWAITED, decision, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if decided && let Some(waker) = self.waker().take() {
            waker.wake();
        }
        decided
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self) {
        self.decision.store(AWAITED, Ordering::Release);
    }

    pub(super) fn poll_decision(&self, cx: &mut Context<'_>) -> Poll<Decision> {
        // The lock is held while the decision is read, so that one taken in between finds the waker.
        let mut waker = self.waker();
        let decision = match self.decision.load(Ordering::Acquire) {
            HTTP => Decision::Http,
            TUNNEL => Decision::Tunnel,
            _ => {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        self.decision.store(NONE, Ordering::Release);
        Poll::Ready(decision)
    }

    pub(super) fn publish(&self, phase: Phase, body_open: bool, reading: bool) {
        self.phase.store(phase.place(), Ordering::Relaxed);
        self.body_open.store(body_open, Ordering::Relaxed);
        self.reading.store(reading, Ordering::Relaxed);
    }

    pub(super) fn count_head(&self) {
        add(&self.heads, 1);
    }

    pub(super) fn count_received(&self, bytes: usize) {
        add(&self.received, bytes);
    }

    pub(super) fn count_sent(&self, written: &Poll<std::io::Result<usize>>) {
        self.blocked_in_writing(written.is_pending());
        if let Poll::Ready(Ok(bytes)) = written {
            add(&self.sent, *bytes);
        }
    }

    pub(super) fn blocked_in_writing(&self, blocked: bool) {
        self.writing.store(blocked, Ordering::Relaxed);
    }

    /// Remembers the head that is refused, to be told.
    pub(super) fn keep_line(&self, head: &[u8], target: Range<usize>) {
        let target = head.get(target).unwrap_or_default();
        let _ = self.target.set(target.get(..LINE_TOLD).unwrap_or(target).into());
        let end = head.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let (line, fields) = head.split_at_checked(end.unwrap_or(head.len())).unwrap_or_default();
        let _ = self.line.set(line.get(..LINE_TOLD).unwrap_or(line).into());
        let _ = self.fields.set(fields.get(..FIELDS_TOLD).unwrap_or(fields).into());
    }

    /// Remembers a violation; one in a head is the service's to answer.
    pub(super) fn refuse(&self, violation: Violation, in_head: bool) {
        // The scanner stays at its first violation, so there is no second to lose.
        let _ = self.violation.set(violation);
        self.to_answer.store(in_head, Ordering::Release);
    }
}

/// One task writes, so this needs no locked instruction.
fn add(counter: &AtomicU64, more: usize) {
    let more = u64::try_from(more).unwrap_or(u64::MAX);
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
