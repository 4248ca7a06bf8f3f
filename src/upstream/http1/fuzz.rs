//! An entry point for fuzzers: any bytes as a response, and what must hold for them.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::Fault;
use super::framing;
use super::reader::{BodyReader, HeadReader, Piece};

/// Shows `data` to the reader of responses whole, byte by byte, and cut at places that depend on the data, and asserts that
/// it comes to the same response or the same fault each time, and to the same rest behind it.
///
/// # Panics
///
/// If that does not hold; that is its purpose.
pub fn fuzz_response(data: &[u8]) {
    for method in [Method::GET, Method::HEAD] {
        let whole = read(data, &method, |_| usize::MAX);
        let bytewise = read(data, &method, |_| 1);
        assert_eq!(whole, bytewise, "cut at every byte");
        // Any mixing will do that is fixed by the data: a failure must come again.
        let mut seed = data.iter().fold(0x9e37_79b9_u32, |seed, byte| {
            (seed ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
        let cut = read(data, &method, |largest| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            usize::try_from(seed >> 16).unwrap_or(0) % largest.clamp(1, 64) + 1
        });
        assert_eq!(whole, cut, "cut here and there");
        assert!(
            whole.body.len() + whole.rest <= data.len(),
            "more came out than went in"
        );
    }
}

/// What was made of some bytes and the end of the connection behind them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) head: Option<(StatusCode, HeaderMap)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
    /// The response came to its end.
    pub(super) complete: bool,
    pub(super) fault: Option<Fault>,
    /// Bytes behind the end.
    pub(super) rest: usize,
}

/// Shows `data` in pieces; `piece` is told what is left and says how much comes next.
pub(super) fn read(data: &[u8], method: &Method, mut piece: impl FnMut(usize) -> usize) -> Seen {
    let mut seen = Seen::default();
    let mut reader = HeadReader::default();
    let mut body = None;
    let mut data = Bytes::copy_from_slice(data);
    while !data.is_empty() {
        let mut ahead = data.split_to(piece(data.len()).min(data.len()));
        if let Err(fault) = step(&mut seen, &mut reader, &mut body, &mut ahead, method) {
            seen.fault = Some(fault);
            return seen;
        }
        if seen.complete {
            seen.rest = ahead.len() + data.len();
            return seen;
        }
    }
    seen.complete = body.is_some_and(|mut body| body.close());
    seen
}

fn step(
    seen: &mut Seen,
    reader: &mut HeadReader,
    body: &mut Option<BodyReader>,
    ahead: &mut Bytes,
    method: &Method,
) -> Result<(), Fault> {
    if body.is_none()
        && let Some(mut head) = reader.read(ahead)?
    {
        let framing = framing::of(&mut head, method)?;
        seen.head = Some((head.status, head.fields));
        *body = Some(BodyReader::new(framing));
    }
    let Some(body) = body else { return Ok(()) };
    loop {
        match body.next(ahead)? {
            Piece::Data(data) => seen.body.extend_from_slice(&data),
            Piece::Trailers(trailers) => seen.trailers = Some(trailers),
            Piece::More => return Ok(()),
            Piece::End => {
                seen.complete = true;
                return Ok(());
            }
        }
    }
}
