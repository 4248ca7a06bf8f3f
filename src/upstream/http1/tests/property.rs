//! Any bytes: one meaning, however they are cut. Well-formed ones: the meaning that hyper's client finds too.

use std::convert::Infallible;
use std::fmt::Write as _;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

/// Pieces that responses are made of, in and out of place.
const PIECES: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "content-length: 5\r\n",
    "Content-Length: 5, 5\r\n",
    "content-length: 05\r\n",
    "transfer-encoding: chunked\r\n",
    "connection: close\r\n",
    "x-a: b\r\n",
    "x-a:\tb \r\n",
    " folded\r\n",
    "\r\n",
    "\n",
    "\r",
    "hello",
    "5\r\nhello\r\n",
    "3;x=y\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nx-sum: 1\r\n\r\n",
    "\0",
    "\u{e9}",
];

fn messy() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (vec(piece, 1..10), vec(change, 0..2)).prop_map(|(pieces, changes)| {
        let mut bytes = pieces.concat();
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes
    })
}

#[derive(Debug, Clone)]
enum Shape {
    Length,
    Chunks(Vec<usize>),
    Close,
}

/// A response as servers in good health send it, and its body.
fn sane() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let shape = prop_oneof![
        Just(Shape::Length),
        vec(1..40_usize, 1..5).prop_map(Shape::Chunks),
        Just(Shape::Close),
    ];
    let field = ("[a-z][a-z0-9-]{0,12}", "[!-~]([ -~]{0,20}[!-~])?");
    let fields = vec(field, 0..6);
    (200..600_u16, fields, vec(any::<u8>(), 0..200), shape, any::<bool>()).prop_map(
        |(status, fields, body, shape, trailers)| {
            let mut head = format!("HTTP/1.1 {status} Reason\r\n");
            for (name, value) in fields {
                // Not those that say something about the framing or the connection.
                write!(head, "x-{name}: {value}\r\n").unwrap();
            }
            let bodiless = status == 204 || status == 304;
            let body = if bodiless { Vec::new() } else { body };
            let mut bytes = Vec::new();
            match shape {
                _ if bodiless => bytes.extend_from_slice(b"\r\n"),
                Shape::Length => {
                    write!(head, "content-length: {}\r\n\r\n", body.len()).unwrap();
                    bytes.extend_from_slice(&body);
                }
                Shape::Close => {
                    bytes.extend_from_slice(b"\r\n");
                    bytes.extend_from_slice(&body);
                }
                Shape::Chunks(sizes) => {
                    head.push_str("transfer-encoding: chunked\r\n\r\n");
                    let mut rest = &body[..];
                    let mut sizes = sizes.iter().cycle();
                    while !rest.is_empty() {
                        let (chunk, next) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                        bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                        bytes.extend_from_slice(chunk);
                        bytes.extend_from_slice(b"\r\n");
                        rest = next;
                    }
                    bytes.extend_from_slice(if trailers {
                        b"0\r\nx-sum: 1\r\n\r\n"
                    } else {
                        b"0\r\n\r\n"
                    });
                }
            }
            ([head.into_bytes(), bytes].concat(), body)
        },
    )
}

/// What hyper's client makes of a response and the end of the connection behind it.
fn hyper(bytes: &[u8]) -> Option<(u16, HeaderMap, Vec<u8>, Option<HeaderMap>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        let answer = async {
            // It must not come before the question.
            let mut question = [0; 64];
            let _ = tokio::io::AsyncReadExt::read(&mut theirs, &mut question).await;
            theirs.write_all(bytes).await.unwrap();
            theirs.shutdown().await.unwrap();
            Ok::<_, Infallible>(())
        };
        let (response, _) = tokio::join!(sender.send_request(request), answer);
        let (head, body) = response.ok()?.into_parts();
        let body = body.collect().await.ok()?;
        let trailers = body.trailers().cloned();
        Some((head.status.as_u16(), head.headers, body.to_bytes().to_vec(), trailers))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn any_bytes_have_one_meaning(bytes in prop_oneof![messy(), vec(any::<u8>(), 0..100)]) {
        super::super::fuzz_response(&bytes);
    }

    #[test]
    fn any_chunking_is_read_back((bytes, body) in sane(), sizes in vec(1..50_usize, 1..10)) {
        super::super::fuzz_response(&bytes);
        let mut sizes = sizes.iter().cycle();
        let seen = read(&bytes, &Method::GET, |_| *sizes.next().unwrap());
        prop_assert!(seen.complete, "{:?}", seen);
        prop_assert_eq!(seen.body, body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn hyper_finds_the_same_in_what_is_well_formed((bytes, _) in sane()) {
        let seen = get(&bytes);
        let (status, fields) = seen.head.clone().unwrap();
        prop_assert_eq!(Some((status.as_u16(), fields, seen.body, seen.trailers)), hyper(&bytes));
    }

    /// Strict, but never more than strict: what is read at all is read as hyper reads it.
    #[test]
    fn hyper_never_finds_another_meaning(bytes in messy()) {
        let seen = get(&bytes);
        if seen.complete && seen.rest == 0
            && let Some((status, _, body, trailers)) = hyper(&bytes)
        {
            prop_assert_eq!(seen.head.unwrap().0.as_u16(), status);
            prop_assert_eq!((seen.body, seen.trailers), (body, trailers));
        }
    }
}
