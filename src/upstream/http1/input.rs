//! Reading from a connection, with no buffer kept while nothing is read.
//!
//! Most responses are small: they are read into a buffer of the thread and copied from there, so that each takes the
//! memory it needs and no more. What is known or found to be long is read into its own memory at once, and not copied.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::upstream::io::Io;

/// The thread's buffer; what is longer is not read through it.
const SMALL: usize = 16 * 1024;
/// The longest single read.
const LARGE: usize = 128 * 1024;
/// Room for what comes after the bytes that are expected: the end of a chunk. It also lets a read come out short, which
/// tells the runtime, without another system call, that the socket is empty.
const MORE: usize = 64;

thread_local! {
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// The bytes of a connection that were read and not used yet.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) ahead: Bytes,
    /// Room for long reads.
    room: BytesMut,
    /// How long the next read is to be where nothing better is known; grows while reads fill it.
    next: usize,
    /// How much was read in all.
    total: usize,
}

impl Input {
    /// For a response about as long as the last one on its connection was: servers are creatures of habit.
    pub(super) fn new(usual: usize) -> Self {
        Self {
            ahead: Bytes::new(),
            room: BytesMut::new(),
            next: usual.saturating_add(MORE),
            total: 0,
        }
    }

    /// How much was read, up to where it makes no difference any more.
    pub(super) fn total(&self) -> usize {
        self.total.min(LARGE)
    }

    /// Reads; how many bytes, 0 at the end. `ahead` is empty. So many bytes are expected, if that is known.
    pub(super) fn poll_fill(
        &mut self,
        io: &mut Io,
        expected: Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let wanted = match expected {
            Some(expected) => usize::try_from(expected).unwrap_or(LARGE).saturating_add(MORE),
            None => self.next,
        };
        let (read, room) = if wanted <= SMALL {
            (ready!(self.poll_small(io, cx))?, SMALL)
        } else {
            ready!(self.poll_large(io, wanted.min(LARGE), cx))?
        };
        self.total = self.total.saturating_add(read);
        if read >= room {
            self.next = room.saturating_mul(2).min(LARGE);
        } else if read < room / 4 {
            self.next = 0;
        }
        Poll::Ready(Ok(read))
    }

    fn poll_small(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = BUFFER.take().unwrap_or_else(|| vec![0; SMALL].into_boxed_slice());
        let mut read = ReadBuf::new(&mut buffer);
        let polled = Pin::new(io).poll_read(cx, &mut read);
        if polled.is_ready() {
            self.ahead = Bytes::copy_from_slice(read.filled());
        }
        BUFFER.set(Some(buffer));
        polled.map_ok(|()| self.ahead.len())
    }

    /// How much was read, and how much it could have been.
    fn poll_large(&mut self, io: &mut Io, wanted: usize, cx: &mut Context<'_>) -> Poll<io::Result<(usize, usize)>> {
        // What the last read left over will do while there is a fair amount of it.
        if self.room.capacity() < wanted / 2 {
            self.room = BytesMut::with_capacity(wanted);
        }
        let room = self.room.capacity();
        let read = ready!(pin!(io.read_buf(&mut self.room)).poll(cx))?;
        if read < room / 4 {
            // Little came: it shall not hold so much memory, and the room is used again.
            self.ahead = Bytes::copy_from_slice(&self.room);
            self.room.clear();
        } else {
            self.ahead = self.room.split().freeze();
        }
        Poll::Ready(Ok((read, room)))
    }
}
