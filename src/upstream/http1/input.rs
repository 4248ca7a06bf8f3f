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
const MORE: u64 = 64;

thread_local! {
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// The bytes of a connection that were read and not used yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) ahead: Bytes,
    /// Room for long reads.
    room: BytesMut,
    /// How long the next read is to be; grows while reads fill it.
    next: usize,
}

impl Input {
    /// Reads; how many bytes, 0 at the end. `ahead` is empty. So many bytes are expected at least.
    pub(super) fn poll_fill(&mut self, io: &mut Io, expected: u64, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let expected = match expected {
            0 => 0,
            _ => usize::try_from(expected.saturating_add(MORE)).unwrap_or(LARGE),
        };
        let wanted = expected.max(self.next).min(LARGE);
        let (read, room) = if wanted <= SMALL {
            (ready!(self.poll_small(io, cx))?, SMALL)
        } else {
            ready!(self.poll_large(io, wanted, cx))?
        };
        self.next = if read >= room {
            room.saturating_mul(2).min(LARGE)
        } else if read < room / 4 {
            0
        } else {
            self.next
        };
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
        self.ahead = self.room.split().freeze();
        Poll::Ready(Ok((read, room)))
    }
}
