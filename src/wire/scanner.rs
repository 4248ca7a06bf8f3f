//! The scanner: bytes in, verdict out. It does no IO, keeps no bytes, and says the same however the bytes are cut.

use std::ops::Range;

use super::chunked::ChunkScan;
use super::framing::Body;
use super::head::HeadScan;
use super::settings::Settings;
use super::state::Phase;
use super::violation::Violation;

/// Follows the messages that a client sends on one connection.
#[derive(Clone, Debug)]
pub struct Scanner {
    settings: Settings,
    part: Part,
    upgrade: bool,
    refused_target: Range<usize>,
}

#[derive(Clone, Debug)]
enum Part {
    Head(HeadScan),
    Length(u64),
    Chunked(ChunkScan),
    Refused(Violation),
}

/// What a look at some bytes has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// So many of the bytes shown are framed, belong to one message, and may pass. The rest is to be shown again.
    pub release: usize,
    /// A head was completed; it is the first so many of the bytes released (with the empty lines before it).
    pub head: Option<usize>,
    /// What stands behind the bytes released.
    pub outcome: Outcome,
}

/// What stands behind the bytes released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The message goes on: show the rest again once there is more behind it.
    More,
    /// The message ends here. The rest, if any, is the next one's and was not looked at.
    End {
        /// The message asks for an upgrade: whether HTTP goes on behind it is for somebody else to decide.
        upgrade: bool,
    },
    /// Something that must not pass. The scanner stays here.
    Refused(Violation),
}

impl Scanner {
    /// A scanner before a connection's first byte.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            part: Part::Head(HeadScan::new()),
            upgrade: false,
            refused_target: 0..0,
        }
    }

    /// Where in a head that was refused its target stands, as far as it was read.
    pub fn refused_target(&self) -> Range<usize> {
        self.refused_target.clone()
    }

    /// Whether a message is under way, and which part of it.
    pub fn phase(&self) -> Phase {
        match &self.part {
            Part::Head(head) if head.is_idle() => Phase::Idle,
            Part::Head(_) => Phase::Head,
            Part::Length(_) | Part::Chunked(_) => Phase::Body,
            Part::Refused(_) => Phase::Refused,
        }
    }

    /// Looks at `shown`: the bytes that stand behind all that was released before. It goes as far as the end of one message.
    #[inline]
    pub fn scan(&mut self, shown: &[u8]) -> Step {
        match &mut self.part {
            Part::Head(head) => match head.scan(shown, self.settings.header_bytes()) {
                Ok(None) => Step {
                    release: 0,
                    head: None,
                    outcome: Outcome::More,
                },
                Ok(Some(end)) => {
                    // A request with a body asks for no upgrade here: nobody would wait with the decision until its end.
                    self.upgrade = end.upgrade && matches!(end.body, Body::Length(0));
                    self.part = match end.body {
                        Body::Length(length) => Part::Length(length),
                        Body::Chunked => Part::Chunked(ChunkScan::new()),
                    };
                    let body = self.scan_body(shown.get(end.len..).unwrap_or_default());
                    Step {
                        release: end.len + body.release,
                        head: Some(end.len),
                        ..body
                    }
                }
                Err(violation) => {
                    self.refused_target = head.target_span();
                    self.refuse(0, violation)
                }
            },
            Part::Length(_) | Part::Chunked(_) => self.scan_body(shown),
            Part::Refused(violation) => Step {
                release: 0,
                head: None,
                outcome: Outcome::Refused(*violation),
            },
        }
    }

    fn scan_body(&mut self, shown: &[u8]) -> Step {
        let (release, end) = match &mut self.part {
            Part::Length(left) => {
                let release = usize::try_from(*left).unwrap_or(usize::MAX).min(shown.len());
                *left = left.saturating_sub(u64::try_from(release).unwrap_or(u64::MAX));
                (release, Ok(*left == 0))
            }
            Part::Chunked(chunks) => {
                let progress = chunks.scan(shown);
                (progress.release, progress.end)
            }
            Part::Head(_) | Part::Refused(_) => (0, Ok(false)),
        };
        match end {
            Ok(false) => Step {
                release,
                head: None,
                outcome: Outcome::More,
            },
            Ok(true) => {
                self.part = Part::Head(HeadScan::new());
                Step {
                    release,
                    head: None,
                    outcome: Outcome::End { upgrade: self.upgrade },
                }
            }
            Err(violation) => self.refuse(release, violation),
        }
    }

    fn refuse(&mut self, release: usize, violation: Violation) -> Step {
        self.part = Part::Refused(violation);
        Step {
            release,
            head: None,
            outcome: Outcome::Refused(violation),
        }
    }
}
