//! What passes the guard, and what does not.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::block::{Names, Walked};
use super::frame::{self, Head};
use super::outgoing::Outgoing;
use super::{Guard, Phase};

/// A client that has said this, in pieces of this length, and takes all it gets.
struct Client {
    said: Vec<u8>,
    at: usize,
    piece: usize,
}

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let end = this.said.len().min(this.at + this.piece.min(buf.remaining()));
        if this.at == end {
            return Poll::Pending;
        }
        buf.put_slice(&this.said[this.at..end]);
        this.at = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn guard(said: &[u8], piece: usize) -> Guard<Client> {
    let said = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0, 0, 0, 4, 0, 0, 0, 0, 0][..],
        said,
    ]
    .concat();
    Guard::new(Client { said, at: 0, piece }, 65_536)
}

/// What h2 would read, behind preface and SETTINGS.
fn read(guard: &mut Guard<Client>, room: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let mut space = vec![0; room];
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut *guard).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) => all.write_all(buf.filled()).unwrap(),
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => return all.split_off(33.min(all.len())),
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

const GET: [u8; 4] = [0x82, 0x87, 0x84, 0x01];

fn get() -> Vec<u8> {
    [&GET[..3], &[0x01, 1, b'a']].concat()
}

#[test]
fn what_is_ordinary_passes_as_it_is_however_it_is_cut() {
    let said = [
        frame(8, 0, 0, &[0, 0, 0, 1]),
        frame(1, 4, 1, &get()),
        frame(0, 0, 1, &[7; 3000]),
        frame(1, 0, 3, &get()),
        frame(9, 0, 3, &[0x00, 1, b'b', 1, b'c']),
        frame(9, 4, 3, &[]),
        frame(1, 5, 1, &[0x00, 1, b't', 1, b'v']),
        frame(1, 0x2d, 5, &[&[2, 0, 0, 0, 0, 9][..], &get(), &[0, 0]].concat()),
        frame(3, 0, 5, &[0, 0, 0, 8]),
        frame(0x42, 0, 0, b"unknown"),
        frame(6, 0, 0, &[7; 8]),
    ]
    .concat();
    for piece in [1, 2, 7, 8, 9, 10, 100, 1000, usize::MAX] {
        for room in [1, 9, 64, 8192] {
            let mut guard = guard(&said, piece);
            assert_eq!(read(&mut guard, room), said, "pieces of {piece}, room for {room}");
            assert_eq!(guard.state().phase(), Phase::Open);
            assert_eq!(guard.state().blocks(), 4);
            assert_eq!(guard.state().open(), 2);
        }
    }
}

#[test]
fn a_header_block_waits_for_its_end() {
    let block = frame(1, 0, 1, &get());
    for said in [
        block.clone(),
        block[..12].to_vec(),
        [&block[..], &frame(9, 4, 1, &[9; 20])[..20]].concat(),
    ] {
        let mut guard = guard(&said, usize::MAX);
        assert_eq!(read(&mut guard, 8192), b"");
        assert_eq!(guard.state().phase(), Phase::Block);
        assert_eq!(guard.state().open(), 0);
    }
    let mut early = Guard::new(
        Client {
            said: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04".to_vec(),
            at: 0,
            piece: 5,
        },
        65_536,
    );
    assert_eq!(read(&mut early, 8192), b"");
    assert_eq!(early.state().phase(), Phase::Preface);
}

#[test]
fn a_fragment_is_exchanged_and_what_follows_is_not() {
    let dirty = [&GET[..2], &[0x44, 4, b'/', b'a', b'#', b'b', 0x01, 1, b'a']].concat();
    let clean = [&GET[..2], &[0x44, 4, b'/', b'a', b'\\', b'b', 0x01, 1, b'a']].concat();
    let said = [
        frame(6, 0, 0, &[7; 8]),
        frame(1, 5, 1, &dirty),
        frame(1, 5, 3, &get()),
        frame(1, 5, 5, &dirty),
    ]
    .concat();
    let wanted = [
        frame(6, 0, 0, &[7; 8]),
        frame(1, 5, 1, &clean),
        frame(1, 5, 3, &get()),
        frame(1, 5, 5, &clean),
    ]
    .concat();
    for piece in [1, 3, 20, usize::MAX] {
        for room in [1, 13, 8192] {
            assert_eq!(read(&mut guard(&said, piece), room), wanted, "{piece} {room}");
        }
    }
}

fn walked(block: &[u8]) -> Walked {
    Names::default().walk(block, false)
}

#[test]
fn names_are_found_wherever_they_are_kept() {
    let mut names = Names::default();
    // ":path: /x" and "x: y" are remembered; then the older one's name is used again.
    let block = [&[0x40, 5][..], b":path", &[2], b"/x", &[0x40, 1, b'x', 1, b'y']].concat();
    assert_eq!(names.walk(&block, false), Walked::Clean);
    assert_eq!(
        names.walk(&[0x0f, 48, 2, b'/', b'#'], false),
        Walked::Changed(vec![0x0f, 48, 2, b'/', b'\\'])
    );
    assert_eq!(
        names.walk(&[0x0f, 47, 2, b'/', b'#'], false),
        Walked::Clean,
        "that is x"
    );
    assert_eq!(
        names.walk(&[0x0f, 49, 2, b'/', b'#'], false),
        Walked::Clean,
        "that is nothing: h2 says so"
    );
    // 130 more push it out of any table.
    for _ in 0..130 {
        assert_eq!(names.walk(&[0x40, 1, b'x', 1, b'y'], false), Walked::Clean);
    }
    for index in 0..=255 {
        assert_eq!(
            names.walk(&[0x0f, 0x80 | (index & 0x7f), index >> 7, 1, b'#'], false),
            Walked::Clean
        );
    }
}

#[test]
fn paths_keep_their_length() {
    let exchanged = |path: &str| match walked(&[&[4, u8::try_from(path.len()).unwrap()], path.as_bytes()].concat()) {
        Walked::Changed(block) => String::from_utf8(block[2..].to_vec()).unwrap(),
        other => panic!("{path}: {other:?}"),
    };
    for (path, wanted) in [
        ("/#", "/\\"),
        ("#", "?"),
        ("#a", "/\\"),
        ("##", "/\\"),
        ("/a?b#c#", "/a\\b\\c\\"),
        ("?#", "/\\"),
    ] {
        assert_eq!(exchanged(path), wanted);
    }
    let long = "/".to_owned() + &"a".repeat(300) + "#";
    let block = [&[4, 0x7f, 0xaf, 1][..], long.as_bytes()].concat();
    assert_eq!(
        walked(&block),
        Walked::Changed([&[4, 0x7f, 0xaf, 1][..], long.replace('#', "\\").as_bytes()].concat())
    );
}

#[test]
fn trailers_with_pseudo_headers_become_malformed() {
    let mut names = Names::default();
    let kept = [&[0x40, 5][..], b":path", &[2], b"/x"].concat();
    assert_eq!(names.walk(&kept, false), Walked::Clean);
    let refused = |block: &[u8], names: &mut Names| {
        let Walked::Changed(changed) = names.walk(block, true) else {
            panic!("{block:?}");
        };
        assert!(changed.starts_with(block));
        assert!(changed.ends_with(b"\x0aconnection\x05close"));
    };
    refused(&[0x82], &mut names);
    refused(&[0xbe], &mut names);
    refused(&kept, &mut names);
    refused(&[&[0, 7][..], b":method", &[1, b'G']].concat(), &mut names);
    assert_eq!(names.walk(&[0, 1, b't', 1, b'v'], true), Walked::Clean);
}

#[test]
fn what_is_no_header_block_is_said_to_be_none() {
    for block in [
        &[0x00, 5, b'a'][..],
        &[0x7f],
        &[0xff, 0x80, 0x80, 0x80, 0x80, 1],
        &[0x04, 0x82, 0x60],
        &[0x00],
    ] {
        assert_eq!(walked(block), Walked::Malformed, "{block:?}");
    }
}

#[test]
fn what_is_sent_is_followed_however_it_is_cut() {
    let sent = [
        frame(4, 0, 0, &[0; 12]),
        frame(1, 4, 1, &[0x88]),
        frame(0, 0, 1, &[7; 20]),
        frame(0, 1, 1, &[]),
        frame(3, 0, 3, &[0; 4]),
    ]
    .concat();
    for piece in 1..sent.len() {
        let mut seen = Vec::new();
        let mut outgoing = Outgoing::default();
        for piece in sent.chunks(piece) {
            outgoing.pass(piece, |head: Head| {
                seen.push((head.stream, head.length, super::outgoing::ends(&head)))
            });
        }
        let wanted = [
            (0, 12, false),
            (1, 1, false),
            (1, 20, false),
            (1, 0, true),
            (3, 4, true),
        ];
        assert_eq!(seen, wanted, "{piece}");
    }
}

#[test]
fn a_long_block_is_put_into_frames_again() {
    let frames = frame::header_block(3, true, &[7; 40_000]);
    let head = |at: usize| Head::read(&frames[at..]).unwrap();
    let (first, second, third) = (head(0), head(9 + 16_384), head(2 * (9 + 16_384)));
    assert_eq!((first.length, first.flags, first.stream), (16_384, 1, 3));
    assert_eq!((second.length, second.flags), (16_384, 0));
    assert_eq!((third.length, third.flags), (40_000 - 32_768, 4));
}
