//! Follows the frames that a client sends: bytes in, verdict out. It does no IO and keeps no bytes.

use super::block::{Names, Walked};
use super::budget::Budget;
use super::frame::{self, ACK, END_HEADERS, END_STREAM, HEAD, Head, Kind, LONGEST, PADDED, PRIORITY};
use super::outgoing;
use super::state::{Phase, State};

/// RFC 9113 section 3.4; a SETTINGS frame follows.
const PREFACE: usize = 24;
/// What a header block may have beyond the longest header list: prefixes, padding, lists that are to be answered with 431.
const BLOCK_SLACK: usize = 16 * 1024;
/// Frames of one header block. At least as many as h2 takes, so that its limit is the one that speaks.
const BLOCK_FRAMES: usize = 32;
/// Streams that can be open at once, as far as bookkeeping goes: h2 refuses them long before.
const OPEN_STREAMS: usize = 1024;
/// What a frame of an answer pays for: a client may answer each with updates of two windows and a PING that measures its way
/// (gRPC implementations do), and more rarely than that.
const EARNED_BY_ANSWER: u32 = 4;
/// What a request pays for: PRIORITY or PRIORITY_UPDATE, a window, and what its answer brings.
const EARNED_BY_REQUEST: u32 = 4;

/// What a look at some bytes has brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// So many of the bytes shown may pass.
    pub(super) release: usize,
    pub(super) then: Then,
}

/// What stands behind the bytes released.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Show the rest again once there is more behind it.
    More,
    /// In place of the next so many bytes, others are to pass; what follows was not looked at.
    Exchange(usize, Vec<u8>),
    /// These are to pass, and then nothing.
    End(Vec<u8>),
}

/// A client's side of one connection.
#[derive(Debug)]
pub(super) struct Scan {
    preface: usize,
    settled: bool,
    /// Octets of a payload under way that pass as they are, and whether they are DATA.
    skip: usize,
    data: bool,
    /// The last stream that was opened, and those whose answer is not complete.
    last: u32,
    open: Vec<u32>,
    control: Budget,
    resets: Budget,
    names: Names,
    /// The longest header block.
    longest: usize,
}

/// A header block as it stands in the bytes shown.
enum Block {
    /// It goes on.
    Incomplete,
    /// It ends; with its frames it has this length. The fragments in one piece, if they were not.
    Whole(usize, Option<Vec<u8>>),
    /// It must not go on; so much of it is complete, and this follows.
    Wrong(usize, Vec<u8>),
}

impl Scan {
    pub(super) fn new(header_bytes: usize) -> Self {
        Self {
            preface: PREFACE,
            settled: false,
            skip: 0,
            data: false,
            last: 0,
            open: Vec::new(),
            control: Budget::control(),
            resets: Budget::resets(),
            names: Names::default(),
            longest: header_bytes.saturating_add(BLOCK_SLACK),
        }
    }

    /// Streams whose answer is not complete.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Looks at `shown`: the bytes that stand behind all that was released before.
    pub(super) fn scan(&mut self, shown: &[u8], state: &State) -> Step {
        let mut release = 0;
        let (phase, then) = loop {
            let rest = shown.get(release..).unwrap_or_default();
            let through = self.through(rest, state);
            if through > 0 {
                release += through;
                continue;
            }
            let Some(head) = Head::read(rest) else {
                break (self.phase(), Then::More);
            };
            match self.frame(&head, rest, state) {
                Next::Passes(length) => {
                    let now = length.min(rest.len());
                    self.skip = length - now;
                    self.data = head.kind == Kind::Data;
                    if self.skip > 0 && self.data {
                        state.count_partial(now);
                    }
                    release += now;
                }
                Next::Waits(phase) => break (phase, Then::More),
                Next::Exchange(of, with) => break (Phase::Open, Then::Exchange(of, with)),
                Next::End(complete, with) => {
                    release += complete;
                    break (Phase::Ended, Then::End(with));
                }
            }
        };
        state.publish(phase, self.open.len());
        Step { release, then }
    }

    /// How many of these bytes belong to what passes unseen: the preface, or the rest of a payload.
    fn through(&mut self, rest: &[u8], state: &State) -> usize {
        let count = (self.preface + self.skip).min(rest.len());
        if self.preface > 0 {
            self.preface -= count.min(self.preface);
        } else {
            self.skip -= count;
            if self.data {
                state.count_partial(count);
            }
        }
        count
    }

    fn phase(&self) -> Phase {
        if self.settled { Phase::Open } else { Phase::Preface }
    }

    /// Judges the frame at the start of `rest`.
    fn frame(&mut self, head: &Head, rest: &[u8], state: &State) -> Next {
        let whole = HEAD.saturating_add(head.length);
        if head.length > LONGEST {
            // h2 needs the head alone to see it.
            return Next::End(HEAD, Vec::new());
        }
        if !self.settled {
            if head.kind != Kind::Settings || head.has(ACK) {
                return Next::End(0, frame::out_of_place(None));
            }
            if rest.len() < whole {
                return Next::Waits(Phase::Preface);
            }
            self.settled = true;
            return Next::Passes(whole);
        }
        let affordable = match head.kind {
            Kind::Headers => return self.headers(head, rest, state),
            Kind::Continuation | Kind::PushPromise => return Next::End(0, frame::out_of_place(None)),
            Kind::Data if head.length > 0 || head.has(END_STREAM) => {
                self.control.earn(1);
                true
            }
            Kind::Reset => match self.close(head.stream) {
                true => self.resets.spend(),
                false => self.control.spend(),
            },
            Kind::Data | Kind::Settings | Kind::Control => self.control.spend(),
        };
        if affordable {
            Next::Passes(whole)
        } else {
            Next::End(0, frame::flood(None))
        }
    }

    fn headers(&mut self, head: &Head, rest: &[u8], state: &State) -> Next {
        let (length, joined) = match self.block(head, rest) {
            Block::Incomplete => return Next::Waits(Phase::Block),
            Block::Wrong(complete, with) => return Next::End(complete, with),
            Block::Whole(length, joined) => (length, joined),
        };
        let single = || fragment(head, rest.get(HEAD..length)?);
        let Some(block) = joined.as_deref().or_else(single) else {
            return Next::End(length, frame::out_of_place(None));
        };
        let trailers = head.stream <= self.last;
        if trailers {
            if !self.control.spend() {
                return Next::End(0, frame::flood(None));
            }
        } else {
            self.last = head.stream;
            self.open.push(head.stream);
            self.control.earn(EARNED_BY_REQUEST);
            if self.open.len() > OPEN_STREAMS {
                return Next::End(0, frame::flood(None));
            }
        }
        state.count_block();
        // A stream that was passed by is not one with trailers; h2 knows.
        let trailers = trailers && self.open.contains(&head.stream);
        match self.names.walk(block, trailers) {
            Walked::Clean => Next::Passes(length),
            Walked::Changed(block) => {
                let with = frame::header_block(head.stream, head.has(END_STREAM), &block);
                Next::Exchange(length, with)
            }
            // h2 sees it first and finds the better words.
            Walked::Malformed => Next::End(length, frame::out_of_place(None)),
        }
    }

    /// Looks for the end of the header block that begins at the start of `rest`.
    fn block(&self, first: &Head, rest: &[u8]) -> Block {
        let (mut head, mut at, mut joined) = (*first, 0, Vec::new());
        for frames in 1.. {
            let end = at + HEAD + head.length;
            let Some(payload) = rest.get(at + HEAD..end) else {
                return Block::Incomplete;
            };
            if head.has(END_HEADERS) && frames == 1 {
                return Block::Whole(end, None);
            }
            let piece = if frames == 1 {
                fragment(&head, payload)
            } else {
                Some(payload)
            };
            let Some(piece) = piece else {
                return Block::Wrong(end, frame::out_of_place(Some(first.stream)));
            };
            joined.extend(piece);
            if head.has(END_HEADERS) {
                return Block::Whole(end, Some(joined));
            }
            if frames >= BLOCK_FRAMES || joined.len() > self.longest {
                return Block::Wrong(end, frame::flood(Some(first.stream)));
            }
            at = end;
            let Some(next) = rest.get(at..).and_then(Head::read) else {
                return Block::Incomplete;
            };
            if next.length > LONGEST {
                return Block::Wrong(at + HEAD, Vec::new());
            }
            if next.kind != Kind::Continuation || next.stream != first.stream {
                return Block::Wrong(at, frame::out_of_place(Some(first.stream)));
            }
            head = next;
        }
        Block::Incomplete
    }

    /// A frame on its way to the client.
    pub(super) fn sent(&mut self, head: &Head) {
        match head.kind {
            Kind::Data | Kind::Headers => self.control.earn(EARNED_BY_ANSWER),
            Kind::Reset | Kind::Settings | Kind::PushPromise | Kind::Continuation | Kind::Control => {}
        }
        if outgoing::ends(head) && self.close(head.stream) && head.kind != Kind::Reset {
            // Who lets answers come to their end may take back as many.
            self.resets.earn(1);
        }
    }

    /// Forgets an open stream; false if it was not open.
    fn close(&mut self, stream: u32) -> bool {
        let place = self.open.iter().position(|open| *open == stream);
        place.map(|place| self.open.swap_remove(place)).is_some()
    }
}

/// What is to be done about a frame.
enum Next {
    /// It passes, this long, whether or not all of it is there.
    Passes(usize),
    /// It passes when all of it is there.
    Waits(Phase),
    /// This passes in the place of so many bytes.
    Exchange(usize, Vec<u8>),
    /// So many bytes pass, then these, then nothing.
    End(usize, Vec<u8>),
}

/// The field block fragment in the payload of a HEADERS frame (RFC 9113 section 6.2).
fn fragment<'b>(head: &Head, payload: &'b [u8]) -> Option<&'b [u8]> {
    let (padding, rest) = if head.has(PADDED) {
        let (length, rest) = payload.split_first()?;
        (usize::from(*length), rest)
    } else {
        (0, payload)
    };
    let rest = if head.has(PRIORITY) { rest.get(5..)? } else { rest };
    rest.get(..rest.len().checked_sub(padding)?)
}
