//! What the scanner costs: a browser's head, and a body in chunks. `cargo bench --bench wire`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use divan::{Bencher, black_box};
use doorward::wire::{Outcome, Scanner, Settings};

fn main() {
    divan::main();
}

const HEAD: &str = concat!(
    "GET /api/orders/1234?limit=20&sort=desc HTTP/1.1\r\nHost: shop.example.com\r\n",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n",
    "Accept: text/html,application/xhtml+xml\r\nAccept-Language: en-US,en;q=0.5\r\n",
    "Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://shop.example.com/orders\r\n",
    "Connection: keep-alive\r\nCookie: sid=0123456789abcdef\r\nSec-Fetch-Mode: cors\r\n\r\n",
);

#[divan::bench]
fn head(bencher: Bencher) {
    let mut scanner = Scanner::new(Settings::default());
    bencher.bench_local(|| scanner.scan(black_box(HEAD.as_bytes())));
}

/// A program's head: four fields and a token.
#[divan::bench]
fn short_head(bencher: Bencher) {
    let token = "x".repeat(600);
    let head = format!(
        "GET /api/orders/1234 HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nAccept: */*\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut scanner = Scanner::new(Settings::default());
    bencher.bench_local(|| scanner.scan(black_box(head.as_bytes())));
}

/// 64 KiB in chunks of 4 KiB.
#[divan::bench]
fn chunks(bencher: Bencher) {
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    let body = format!("{}0\r\n\r\n", chunk.repeat(16));
    let message = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let mut scanner = Scanner::new(Settings::default());
    bencher.bench_local(|| {
        let step = scanner.scan(black_box(message.as_bytes()));
        assert_eq!(
            (step.release, step.outcome),
            (message.len(), Outcome::End { upgrade: false })
        );
    });
}
