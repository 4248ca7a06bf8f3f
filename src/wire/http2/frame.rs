//! The nine octets before every frame (RFC 9113 section 4.1), and the frames that the guard itself puts on the way to h2.

/// The length of a frame's head.
pub(super) const HEAD: usize = 9;
/// The longest payload a client may send: the initial SETTINGS_MAX_FRAME_SIZE, which hyper's server leaves as it is.
pub(super) const LONGEST: usize = 16_384;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// What a frame is (RFC 9113 section 6), as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Reset,
    Settings,
    PushPromise,
    Continuation,
    /// PRIORITY, PING, GOAWAY, WINDOW_UPDATE, and types that nobody knows.
    Control,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    /// The head at the start of `bytes`, once it is there.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (head, _) = bytes.split_first_chunk::<HEAD>()?;
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *head;
        let length = u32::from_be_bytes([0, a, b, c]);
        Some(Self {
            length: usize::try_from(length).unwrap_or(usize::MAX),
            kind: match kind {
                0x0 => Kind::Data,
                0x1 => Kind::Headers,
                0x3 => Kind::Reset,
                0x4 => Kind::Settings,
                0x5 => Kind::PushPromise,
                0x9 => Kind::Continuation,
                _ => Kind::Control,
            },
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A whole frame.
fn put(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    to.extend(length.iter().skip(1));
    to.extend([kind, flags]);
    to.extend(stream.to_be_bytes());
    to.extend(payload);
}

const HEADERS: u8 = 0x1;
const PING: u8 = 0x6;
const CONTINUATION: u8 = 0x9;

/// A header block as HEADERS and, where it is long, CONTINUATION frames.
pub(super) fn header_block(stream: u32, end_stream: bool, block: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(block.len() + HEAD);
    let count = block.len().div_ceil(LONGEST).max(1);
    for index in 0..count {
        let from = index * LONGEST;
        let piece = block.get(from..block.len().min(from + LONGEST)).unwrap_or_default();
        let last = if index + 1 == count { END_HEADERS } else { 0 };
        if index == 0 {
            let ends = if end_stream { END_STREAM } else { 0 };
            put(&mut frames, HEADERS, ends | last, stream, piece);
        } else {
            put(&mut frames, CONTINUATION, last, stream, piece);
        }
    }
    frames
}

/// What makes h2 end the connection with ENHANCE_YOUR_CALM: a header block in more pieces than it takes. `open` is the stream
/// of the block that it has begun to read, if there is one.
pub(super) fn flood(open: Option<u32>) -> Vec<u8> {
    // h2 takes five pieces, or a quarter more than the header list needs in full frames: 20 at the largest setting.
    const PIECES: usize = 32;
    let mut frames = Vec::with_capacity((PIECES + 1) * HEAD);
    let stream = open.unwrap_or(1);
    if open.is_none() {
        put(&mut frames, HEADERS, 0, stream, &[]);
    }
    for _ in 0..PIECES {
        put(&mut frames, CONTINUATION, 0, stream, &[]);
    }
    frames
}

/// What makes h2 end the connection with PROTOCOL_ERROR: something else within a header block, or the end of one where none
/// has begun (RFC 9113 section 6.10).
pub(super) fn out_of_place(open: Option<u32>) -> Vec<u8> {
    let mut frame = Vec::new();
    match open {
        Some(_) => put(&mut frame, PING, 0, 0, &[0; 8]),
        None => put(&mut frame, CONTINUATION, END_HEADERS, 1, &[]),
    }
    frame
}
