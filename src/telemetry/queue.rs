//! What waits for the one writer of the log. Nobody who has a line ever waits for whoever reads it: a reader that stands still
//! costs lines, and never a request.
//!
//! Audit events have a queue of their own with room for what a gateway tells in hours, and are written first.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::log::AUDIT;

/// Lines (or batches of access lines) that may wait for the writer, without audit events …
const LINES: usize = 8_192;
/// … and how many bytes they may be together.
const LINES_BYTES: usize = 16 * 1024 * 1024;
/// Audit events that may wait …
const AUDIT_EVENTS: usize = 100_000;
/// … and how many bytes they may be together.
const AUDIT_BYTES: usize = 64 * 1024 * 1024;
/// How often an output that never blocks is asked again whether it takes more.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Both queues. Clones are handles of the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    more: Condvar,
    /// There is nothing left to write.
    done: Condvar,
}

#[derive(Debug)]
struct Waiting {
    audit: Lane,
    lines: Lane,
    /// The writer sleeps until it is told of more: all is written.
    idle: bool,
    dropped: u64,
}

/// What waits of one kind, bounded in number and length.
#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            audit: Lane::of(AUDIT_EVENTS, AUDIT_BYTES),
            lines: Lane::of(LINES, LINES_BYTES),
            idle: false,
            dropped: 0,
        }
    }
}

impl Waiting {
    fn next(&mut self) -> Option<Vec<u8>> {
        self.audit.pop().or_else(|| self.lines.pop())
    }
}

impl Lane {
    fn of(most: usize, most_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            most,
            most_bytes,
        }
    }

    /// Adds it, if there is room.
    fn push(&mut self, lines: &[u8]) -> bool {
        let fits = self.waiting.len() < self.most && self.bytes.saturating_add(lines.len()) <= self.most_bytes;
        if fits {
            self.bytes += lines.len();
            self.waiting.push_back(lines.to_vec());
        }
        fits
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let lines = self.waiting.pop_front()?;
        self.bytes -= lines.len();
        Some(lines)
    }
}

impl Queue {
    /// Starts the thread that writes to this output.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Self::default();
        let writer = queue.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.write_to(output))?;
        Ok(queue)
    }

    /// Adds whole lines, or counts them as dropped; never waits for the output.
    pub(super) fn add(&self, lines: &[u8], is_audit: bool) {
        let mut waiting = self.lock();
        let lane = match is_audit {
            true => &mut waiting.audit,
            false => &mut waiting.lines,
        };
        if !lane.push(lines) {
            let count = lines.iter().filter(|byte| **byte == b'\n').count();
            waiting.dropped += u64::try_from(count).unwrap_or(u64::MAX);
            return;
        }
        if waiting.idle {
            self.0.more.notify_one();
        }
    }

    /// How many lines were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until all is written, for so long.
    pub(super) fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut waiting = self.lock();
        while !(waiting.idle && waiting.audit.waiting.is_empty() && waiting.lines.waiting.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.0.done.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write_to(&self, mut output: impl Write) {
        let mut waiting = self.lock();
        loop {
            if let Some(lines) = waiting.next() {
                waiting.idle = false;
                drop(waiting);
                write_all(&mut output, &lines);
                waiting = self.lock();
            } else {
                waiting.idle = true;
                self.0.done.notify_all();
                waiting = self.0.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An output that is gone takes nothing, and there is nobody left to be told.
fn write_all(output: &mut impl Write, mut lines: &[u8]) {
    while !lines.is_empty() {
        match output.write(lines) {
            Ok(0) => return,
            Ok(written) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody who shares it may have made it so.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(AGAIN_AFTER),
            Err(_) => return,
        }
    }
}

/// Takes one event.
#[derive(Debug)]
pub(super) struct Taker<'a> {
    queue: &'a Queue,
    is_audit: bool,
}

impl Write for Taker<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.queue.add(event, self.is_audit);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Taker<'a>;

    fn make_writer(&'a self) -> Taker<'a> {
        Taker {
            queue: self,
            is_audit: false,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Taker<'a> {
        Taker {
            queue: self,
            is_audit: metadata.target() == AUDIT,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Says what it is given, and takes it when it is let.
    struct Slow(Sender<String>, Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8_lossy(lines).into_owned()).ok();
            // Nobody holds it up any more when the other end is gone.
            self.1.recv().ok();
            Ok(lines.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_has_a_line_waits_for_nobody_and_audit_events_go_first() {
        let ((say, said), (allow, leave)) = (mpsc::channel(), mpsc::channel());
        let queue = Queue::start(Slow(say, leave)).unwrap();
        queue.add(b"begun\n", false);
        assert_eq!(said.recv_timeout(PATIENCE).unwrap(), "begun\n");
        // The writer stands still from here on.
        for _ in 0..LINES {
            queue.add(b"a line\n", false);
        }
        queue.add(b"one\ntwo\n", false);
        assert_eq!(queue.dropped(), 2);
        for number in 0..AUDIT_EVENTS {
            queue.add(format!("event {number}\n").as_bytes(), true);
        }
        assert_eq!(queue.dropped(), 2);
        queue.add(b"one too many\n", true);
        assert_eq!(queue.dropped(), 3);
        queue.flush(Duration::ZERO);
        drop(allow);
        queue.flush(PATIENCE);
        let lines: Vec<String> = said.try_iter().collect();
        let events: Vec<String> = (0..AUDIT_EVENTS).map(|number| format!("event {number}\n")).collect();
        assert!(
            lines.starts_with(&events),
            "audit events in their order, before all others"
        );
        assert_eq!(lines.len(), AUDIT_EVENTS + LINES);
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_length() {
        let mut lane = Lane::of(3, 4);
        assert!(lane.push(b"abc") && !lane.push(b"de") && lane.push(b"d") && !lane.push(b"e"));
        assert_eq!(lane.pop().unwrap(), b"abc");
        assert!(lane.push(b"") && lane.push(b"e") && !lane.push(b""));
        let waiting = Waiting::default();
        assert_eq!(
            (waiting.audit.most_bytes, waiting.lines.most_bytes),
            (64 << 20, 16 << 20)
        );
    }
}
