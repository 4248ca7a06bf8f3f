//! Whatever a client may send, thrown at the parsers that see it first. Each knows for itself what must hold and panics when it does
//! not.
//!
//! Under `cargo test`: a fixed number of inputs from a fixed seed. `tests/fuzz SECONDS` goes on for that long, from another seed
//! each time; it prints the seed and, on a failure, the input.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Inputs for each parser when no time is given: a second or two.
const INPUTS: u32 = 4_000;
const SEED: u64 = 0x0d00_2a2d;
/// No input grows beyond this; what is longer is refused by its length anyway.
const LONGEST: usize = 4096;
/// So many inputs are kept to go on from.
const KEPT: usize = 512;

#[test]
fn the_scanner_under_http_1() {
    fuzz(
        "scanner",
        doorward::wire::fuzz_scan,
        &SCANNED,
        &[
            "\r\n",
            "\n",
            "\r",
            "\r\n\r\n",
            " ",
            "\t",
            ":",
            ";",
            ",",
            "\0",
            "0\r\n\r\n",
            "Content-Length: ",
            "Transfer-Encoding: ",
            "chunked",
            "Host: a\r\n",
            "HTTP/1.1\r\n",
            "HTTP/1.0\r\n",
            "ffffffffffffffff",
            "Connection: Upgrade\r\nUpgrade: x\r\n",
            "Expect: 100-continue\r\n",
        ],
    );
}

const SCANNED: [&str; 6] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    "GET http://a/b HTTP/1.0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "\r\nGET /ws HTTP/1.1\r\nhost:a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\u{1}\u{2}",
];

#[test]
fn targets() {
    fuzz(
        "target",
        doorward::route::fuzz,
        &[
            "/",
            "/orders/7?x=1",
            "/Orders//7;v=1/%2F",
            "/a%2eb/%c3%a9",
            "/%ef%bd%81dmin",
            "/a/..b/...",
            "*",
            "/x%252fy",
            "/a%5cb",
        ],
        &[
            "/",
            "//",
            "..",
            ".",
            "%2e",
            "%2E",
            "%2f",
            "%5c",
            "%25",
            "%00",
            "%c0%ae",
            "%c3%a9",
            "%ef%bc%8f",
            "%e2%80%a5",
            "%u002e",
            ";",
            "?",
            "#",
            "\\",
            "A",
            "%41",
            "%61",
            "%c5%bf",
            "%e2%84%aa",
            "%f0%9f%98%80",
            "%",
            "%2",
        ],
    );
}

#[test]
fn header_walks() {
    fuzz(
        "headers",
        doorward::headers::fuzz,
        &[
            "Host: a\nX-User: b\nX_User: c",
            "Connection: close, X-A, x-user\nX-A: b",
            "Forwarded: for=a\nX-Forwarded-For: b, c",
            "Cookie: a=1; __own=2; b=3\ncookie: __own=4",
            "TE: trailers\nUpgrade: x\nConnection: upgrade",
            "Content_Length: 3\nTransfer.Encoding: x",
            "Authorization: a\nauthorization: b\nAccept: c",
        ],
        &[
            "X-User",
            "X-Forwarded-",
            "X-Original-",
            "X-Rewrite-",
            "Remote-User",
            "-",
            "_",
            ".",
            "~",
            "\n",
            ": ",
            ",",
            ";",
            "=",
            "__own=",
            "Connection: ",
            "X-User-Id",
            "X-Real-IP",
            "Forwarded",
            "Content-Length",
            "Transfer-Encoding",
            "Host",
            "x-method-override",
            "cookie: ",
        ],
    );
}

#[test]
fn tokens() {
    let parse = |data: &[u8]| doorward::token::fuzz_token(data).unwrap();
    fuzz(
        "token",
        parse,
        &[
            "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2EiLCJleHAiOjF9.AAAA",
            "{\"iss\":\"https://a\",\"aud\":[\"b\"],\"exp\":1.5e3,\"roles\":[],\"x\":{\"y\":null}}",
            "e30.e30.",
            "....",
            "{\"\\u0065xp\":1,\"exp\":2}",
            "[[[[{}]]]]",
        ],
        &[
            ".", "=", "==", "-", "_", "+", "/", "e30", "eyJ", "{", "}", "[", "]", "\"", "\\u0000", "\\ud800", ":", ",",
            "1e400", "-1", "null", "\"exp\":", "\"iss\":", "\u{feff}", "\0",
        ],
    );
}

#[test]
fn cookies() {
    fuzz(
        "cookie",
        doorward::session::fuzz,
        &[
            "a=1; __Host-doorward=abc_-1; b",
            "__Host-doorward=abc\n__Host-doorward=def",
            "__Host-doorward = \"abc\"",
            "x__Host-doorward=1;__Secure-doorward=2",
        ],
        &[
            "__Host-doorward",
            "__Secure-doorward",
            "=",
            ";",
            "; ",
            " ",
            "\t",
            "\"",
            ",",
            "\n",
            "\0",
            "a",
        ],
    );
}

#[test]
fn proxy_headers() {
    fuzz(
        "proxy header",
        doorward::wire::fuzz_proxy_header,
        &[
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\nGET / HTTP/1.1\r\n",
            "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
            "PROXY UNKNOWN anything\r\n",
            "\r\n\r\n\0\r\nQUIT\n\u{21}\u{11}\0\u{c}abcdefghijkl",
            "\r\n\r\n\0\r\nQUIT\n\u{20}\0\0\0",
        ],
        &[
            "PROXY ",
            "TCP4 ",
            "TCP6 ",
            "UNKNOWN",
            " ",
            "\r\n",
            "\n",
            "\r\n\r\n\0\r\nQUIT\n",
            "0",
            "65536",
            "::",
            "1.2.3.4",
            "\0",
        ],
    );
}

#[test]
fn responses_of_upstreams() {
    fuzz(
        "response",
        doorward::upstream::fuzz_response,
        &[
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
            "HTTP/1.0 304 Not Modified\r\nConnection: keep-alive\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\u{1}\u{2}",
        ],
        &[
            "\r\n",
            "\n",
            "\r",
            " ",
            ":",
            "\0",
            "0\r\n\r\n",
            "Content-Length: ",
            "Transfer-Encoding: chunked\r\n",
            "HTTP/1.1 100 x\r\n\r\n",
            "HTTP/2 200\r\n",
            "ffffffffffffffff",
            "Connection: close\r\n",
            "2, 2",
        ],
    );
}

fn fuzz(name: &str, check: impl Fn(&[u8]), corpus: &[&str], words: &[&str]) {
    let setting = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("a number"))
    };
    let seed = setting("DOORWARD_FUZZ_SEED").unwrap_or(SEED);
    let deadline = setting("DOORWARD_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    println!("{name}: seed {seed}");
    let mut random = Random(seed ^ 0x9e37_79b9_7f4a_7c15);
    let mut kept: Vec<Vec<u8>> = corpus.iter().map(|text| text.as_bytes().to_vec()).collect();
    let mut count = 0;
    let goes_on = |count: u32| match deadline {
        Some(deadline) => Instant::now() < deadline,
        None => count < INPUTS,
    };
    while goes_on(count) {
        let input = match usize::try_from(count) {
            // First those that are known, as they are.
            Ok(number) if number < corpus.len() => kept[number].clone(),
            _ => mutated(&kept, words, &mut random),
        };
        if catch_unwind(AssertUnwindSafe(|| check(&input))).is_err() {
            panic!(
                "{name}, seed {seed}, after {count} inputs: b\"{}\"",
                input.escape_ascii()
            );
        }
        match kept.len() {
            ..KEPT => kept.push(input),
            _ => {
                let place = corpus.len() + random.below(KEPT - corpus.len());
                kept[place] = input;
            }
        }
        count += 1;
    }
    println!("{name}: {count} inputs");
}

/// One of those before with a few changes.
fn mutated(kept: &[Vec<u8>], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut bytes = kept[random.below(kept.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = at + random.below((bytes.len() - at).min(32) + 1);
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 => drop(bytes.drain(at..to)),
            3 => {
                let piece = bytes[at..to].repeat(1 + random.below(8));
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &kept[random.below(kept.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            5 => bytes[at..to].make_ascii_uppercase(),
            _ => {
                let word = words[random.below(words.len())].bytes();
                bytes.splice(at..at, word);
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

/// xorshift64*: nothing depends on its quality, and a seed gives the same inputs for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}
