//! Header sections and framing as both the raw client and the recording upstream read them.

use std::fmt;
use std::io::{self, Read};

/// A header section in the order and the spelling it had on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The value of the only field of this name; fails on a second one, which no test should overlook.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "several {name}: {all:?}");
        all.first().copied()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// Whether a comma-separated list field holds this element.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(element))
    }

    /// The names as they stood on the wire.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Bytes as text for messages and lenient parsing; what is not UTF-8 is replaced.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Hears of bytes as they come.
type Observer = Box<dyn Fn(&[u8]) + Send>;

/// A stream with what was read from it and not used yet, and with everything that ever came.
pub struct Buffered<S> {
    pub stream: S,
    buffer: Vec<u8>,
    on_bytes: Observer,
}

/// Why bytes that were needed did not come.
#[derive(Debug)]
pub enum Ended {
    /// The peer closed, regularly or by a reset, and this was left over.
    Closed { left: Vec<u8>, reset: bool },
    /// Nothing came for as long as the guard allows.
    TimedOut { left: Vec<u8> },
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { left, reset } => {
                let how = if *reset { "was reset" } else { "was closed" };
                write!(formatter, "the connection {how} after {:?}", text(left))
            }
            Self::TimedOut { left } => write!(formatter, "timed out after {:?}", text(left)),
        }
    }
}

impl<S: Read> Buffered<S> {
    pub fn new(stream: S) -> Self {
        Self::observed(stream, |_| {})
    }

    /// Tells somebody about each piece of bytes as it comes.
    pub fn observed(stream: S, on_bytes: impl Fn(&[u8]) + Send + 'static) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            on_bytes: Box::new(on_bytes),
        }
    }

    /// What was read and not used yet.
    pub fn left(&self) -> &[u8] {
        &self.buffer
    }

    /// Everything up to and including the first of these ends.
    pub fn take_until(&mut self, ends: &[&[u8]]) -> Result<Vec<u8>, Ended> {
        loop {
            let end = ends
                .iter()
                .filter_map(|end| position(&self.buffer, end).map(|at| at + end.len()))
                .min();
            match end {
                Some(end) => return Ok(self.buffer.drain(..end).collect()),
                None => self.fill()?,
            }
        }
    }

    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, Ended> {
        while self.buffer.len() < count {
            self.fill()?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Whatever comes next, at least one byte.
    pub fn take_some(&mut self) -> Result<Vec<u8>, Ended> {
        while self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Everything until the peer closes; a reset and a timeout are told.
    pub fn take_all(&mut self) -> Result<Vec<u8>, Ended> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(Ended::Closed { left, reset: false }) => return Ok(left),
                Err(other) => return Err(other),
            }
        }
    }

    fn fill(&mut self) -> Result<(), Ended> {
        let mut piece = [0; 16 * 1024];
        let ended = loop {
            match self.stream.read(&mut piece) {
                Ok(0) => break Some(false),
                Ok(count) => {
                    (self.on_bytes)(&piece[..count]);
                    self.buffer.extend_from_slice(&piece[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    break None;
                }
                // A TLS peer that goes away without close_notify: the end may be somebody else's doing.
                Err(_) => break Some(true),
            }
        };
        let left = std::mem::take(&mut self.buffer);
        Err(match ended {
            Some(reset) => Ended::Closed { left, reset },
            None => Ended::TimedOut { left },
        })
    }
}

pub fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
