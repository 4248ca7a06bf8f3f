//! An entry point for fuzzers: any bytes, and what must hold for them.

use super::scanner::{Outcome, Scanner};
use super::settings::Settings;
use super::violation::Violation;

/// Shows `data` to the scanner whole, byte by byte, and cut at places that depend on the data, and asserts that it comes to
/// the same messages, ends and verdict each time, never lets more pass than it was shown, and stays at a verdict.
///
/// # Panics
///
/// If one of these does not hold; that is its purpose.
pub fn fuzz_scan(data: &[u8]) {
    let whole = frame(data, |_| usize::MAX);
    let bytewise = frame(data, |_| 1);
    assert_eq!(whole, bytewise, "cut at every byte");
    // Any mixing will do that is fixed by the data: a failure must come again.
    let mut seed = data.iter().fold(0x9e37_79b9_u32, |seed, byte| {
        (seed ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    let cut = frame(data, |largest| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(seed >> 16).unwrap_or(0) % largest.clamp(1, 64) + 1
    });
    assert_eq!(whole, cut, "cut here and there");
}

/// What the scanner made of some bytes; places count from the first of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Framed {
    /// Of each complete message: where it starts, where its head ends, where it ends, whether it asks for an upgrade.
    pub(super) messages: Vec<Message>,
    /// Of the message that does not end: where its head ends, if that does.
    pub(super) open_head: Option<usize>,
    /// Why it went no further.
    pub(super) violation: Option<Violation>,
    /// So many bytes passed.
    pub(super) released: usize,
}

/// A complete message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) start: usize,
    pub(super) head_end: usize,
    pub(super) end: usize,
    pub(super) upgrade: bool,
}

/// Shows `data` to a scanner in pieces; `piece` is told what is left and says how much comes next.
pub(super) fn frame(data: &[u8], mut piece: impl FnMut(usize) -> usize) -> Framed {
    let mut scanner = Scanner::new(Settings::default());
    let mut framed = Framed::default();
    let (mut start, mut visible) = (0, 0);
    while visible < data.len() {
        visible += piece(data.len() - visible).min(data.len() - visible);
        loop {
            let shown = data.get(framed.released..visible).unwrap_or_default();
            let step = scanner.scan(shown);
            assert!(step.release <= shown.len(), "released more than was shown");
            if let Some(head) = step.head {
                assert!(
                    framed.open_head.is_none() && head <= step.release,
                    "a head within a message"
                );
                framed.open_head = Some(framed.released + head);
            }
            framed.released += step.release;
            match step.outcome {
                Outcome::More => break,
                Outcome::End { upgrade } => {
                    let head_end = framed.open_head.take().unwrap_or_default();
                    framed.messages.push(Message {
                        start,
                        head_end,
                        end: framed.released,
                        upgrade,
                    });
                    start = framed.released;
                }
                Outcome::Refused(violation) => {
                    framed.violation = Some(violation);
                    let again = scanner.scan(data.get(framed.released..).unwrap_or_default());
                    assert_eq!((again.release, again.outcome), (0, step.outcome), "a verdict is final");
                    return framed;
                }
            }
        }
    }
    framed
}
