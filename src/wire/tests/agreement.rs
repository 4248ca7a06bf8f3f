//! hyper and the scanner always agree where a message ends, whatever a client sends.

use proptest::collection::vec;
use proptest::prelude::*;

use super::connection::{Seen, play};
use crate::wire::fuzz::{Message, frame, fuzz_scan};

/// Pieces of requests, good ones and such as are made to be read in two ways.
const PIECES: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /p?q=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PUT /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=\"y\"\r\n\r\n\r\n00\r\nSum: 1\r\nX: \r\n\r\n",
    "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /u HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "PUT /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Host: a\r\n",
    "X: y\r\n",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "0\r\n\r\n",
    "5\r\n",
    "hello",
    "HTTP/1.1",
    "\0",
    "\u{7f}",
];

/// A list of pieces with some bytes changed, doubled, left out.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => (0..10_usize).prop_map(|i| PIECES[i]),
        1 => proptest::sample::select(PIECES),
    ];
    let change = (any::<proptest::sample::Index>(), 0..4_u8, any::<u8>());
    (vec(piece, 1..6), vec(change, 0..3), any::<proptest::sample::Index>()).prop_map(|(pieces, changes, place)| {
        let mut bytes = pieces.concat().into_bytes();
        for (index, kind, byte) in changes {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {
                    // A piece where no piece belongs.
                    let piece = PIECES[place.index(PIECES.len())].bytes();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    })
}

/// What a message says, read independently of both: by the simplest code that is right for valid messages.
struct Plain {
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

fn plain(data: &[u8], message: &Message) -> Plain {
    let head = data[message.start..message.head_end].to_vec();
    let head: Vec<_> = head
        .strip_prefix(b"\r\n\r\n")
        .or(head.strip_prefix(b"\r\n"))
        .unwrap_or(&head)
        .to_vec();
    let mut lines = head
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .filter(|line| !line.is_empty());
    let line = String::from_utf8(lines.next().unwrap().to_vec()).unwrap();
    let mut words = line.split(' ').map(str::to_owned);
    let fields: Vec<_> = lines
        .map(|line| {
            let colon = line.iter().position(|&byte| byte == b':').unwrap();
            (
                String::from_utf8(line[..colon].to_ascii_lowercase()).unwrap(),
                line[colon + 1..].trim_ascii().to_vec(),
            )
        })
        .collect();
    let mut rest = &data[message.head_end..message.end];
    let body = if fields.iter().any(|(name, _)| name == "transfer-encoding") {
        let mut body = Vec::new();
        loop {
            let line = rest.iter().position(|&byte| byte == b'\n').unwrap();
            let digits: String = rest
                .iter()
                .map(|&byte| byte as char)
                .take_while(char::is_ascii_hexdigit)
                .collect();
            let size = usize::from_str_radix(&digits, 16).unwrap();
            if size == 0 {
                break body;
            }
            body.extend(&rest[line + 1..][..size]);
            rest = &rest[line + 1 + size + 2..];
        }
    } else {
        rest.to_vec()
    };
    Plain {
        method: words.next().unwrap(),
        target: words.next().unwrap(),
        fields,
        body,
    }
}

impl Plain {
    /// Whether hyper may end the connection after it.
    fn may_close(&self, data: &[u8], message: &Message) -> bool {
        let old = data[message.start..message.head_end]
            .windows(10)
            .any(|window| window == b"HTTP/1.0\r\n");
        old || self.fields.iter().any(|(name, _)| name == "connection")
    }

    fn assert_is(&self, seen: &Seen) {
        assert_eq!(seen.method.as_str(), self.method);
        let target = seen.uri.to_string();
        assert!(target == self.target || target.strip_suffix('/') == Some(&self.target) || self.target.contains("://"));
        assert_eq!(seen.body.as_deref(), Some(self.body.as_slice()));
        assert_eq!(seen.headers.len(), self.fields.len());
        for (name, value) in &self.fields {
            assert!(
                seen.headers.get_all(name).iter().any(|found| found.as_bytes() == value),
                "{name}"
            );
        }
    }
}

fn agree(data: &[u8], width: usize) {
    fuzz_scan(data);
    let framed = frame(data, |_| usize::MAX);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let played = runtime.block_on(play(&[data], width));
    if let Err(error) = &played.served {
        assert!(!error.is_parse(), "hyper refuses what we let pass: {error:?}");
    }
    let whole: Vec<_> = played.seen.iter().filter(|seen| seen.body.is_some()).collect();
    assert!(whole.len() <= framed.messages.len(), "hyper saw more");
    let mut closed = false;
    for (message, seen) in framed.messages.iter().zip(&whole) {
        let plain = plain(data, message);
        plain.assert_is(seen);
        closed |= plain.may_close(data, message);
    }
    // A request whose body did not come to its end is at most the one that the scanner says is open, and the last one.
    let broken = played.seen.iter().filter(|seen| seen.body.is_none()).count();
    assert!(broken <= usize::from(framed.open_head.is_some()));
    if !closed {
        assert_eq!(whole.len(), framed.messages.len(), "hyper saw less");
        assert_eq!(broken, usize::from(framed.open_head.is_some()));
        assert_eq!(played.violations.first(), framed.violation.as_ref());
    }
    // hyper drops what it has not flushed of an answer if any request had an Upgrade field and the body of the last one broke
    // off (its dispatcher ends in "upgraded" then, without a flush); nothing is answered to the wrong request by that.
    if broken > 0 && played.seen.iter().any(|seen| seen.headers.contains_key("upgrade")) {
        return;
    }
    let answers = played.statuses().iter().filter(|status| **status != 100).count();
    assert_eq!(
        answers,
        played.seen.len() + usize::from(!played.violations.is_empty() && broken == 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hyper_sees_what_the_scanner_framed(
        data in conversation(),
        width in prop_oneof![Just(1_usize), 2..80_usize, Just(65_536)],
    ) {
        agree(&data, width);
    }

    #[test]
    fn any_bytes_do_no_harm(data in vec(any::<u8>(), 0..400)) {
        fuzz_scan(&data);
    }
}

#[test]
fn every_pair_of_pieces_agrees() {
    for first in PIECES {
        for second in PIECES {
            agree([*first, *second].concat().as_bytes(), 65_536);
        }
    }
}
