//! Bodies of any size pass through without being kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use http::Method;

use super::gate::{Gate, open_to};
use crate::support::PATIENCE;
use crate::support::client::Protocol;
use crate::support::until;

/// Whether the backend may read.
type Barrier = Arc<AtomicBool>;

const MIB: u64 = 1 << 20;

/// How much the gateway's memory may grow, whatever passes through.
const GROWTH: u64 = 16 * MIB;

fn size() -> u64 {
    if std::env::var_os("DOORWARD_LONG").is_some() {
        1024 * MIB
    } else {
        256 * MIB
    }
}

/// The byte at each place of a body: what is lost, repeated or moved shows.
fn fill(piece: &mut [u8], from: u64) {
    for (at, byte) in piece.iter_mut().enumerate() {
        *byte = byte_at(from + at as u64);
    }
}

fn byte_at(place: u64) -> u8 {
    (place % 251) as u8
}

fn check(piece: &[u8], from: u64) {
    // One look per piece would miss little, and a debug build has better things to do than to look at each byte.
    for at in (0..piece.len()).step_by(97) {
        assert_eq!(piece[at], byte_at(from + at as u64), "at {}", from + at as u64);
    }
}

/// A backend: for `GET /N` it sends N bytes; of any other request it reads the body and answers with its length. Before it
/// reads a body it waits for the barrier.
fn backend(barrier: &Barrier) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let barrier = barrier.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let barrier = barrier.clone();
            thread::spawn(move || while serve(&stream, &barrier).is_some() {});
        }
    });
    address
}

fn serve(mut stream: &TcpStream, barrier: &Barrier) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    if let Some(target) = head.strip_prefix("get /") {
        let length: u64 = target.split(' ').next()?.parse().ok()?;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").ok()?;
        let mut piece = vec![0; 64 * 1024];
        let mut sent = 0;
        while sent < length {
            let count = (length - sent).min(piece.len() as u64);
            fill(&mut piece[..count as usize], sent);
            stream.write_all(&piece[..count as usize]).ok()?;
            sent += count;
        }
        return Some(());
    }
    wait(barrier);
    let mut reader = Reader { stream, got: 0 };
    if head.contains("transfer-encoding: chunked") {
        loop {
            let line = reader.line()?;
            let size = u64::from_str_radix(line.trim(), 16).ok()?;
            reader.data(size)?;
            reader.line()?;
            if size == 0 {
                break;
            }
        }
    } else {
        let length = head
            .split("content-length: ")
            .nth(1)?
            .split('\r')
            .next()?
            .parse()
            .ok()?;
        reader.data(length)?;
    }
    let body = reader.got.to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()
}

fn wait(barrier: &Barrier) {
    until("the barrier", || barrier.load(Ordering::SeqCst).then_some(()));
}

struct Reader<'s> {
    stream: &'s TcpStream,
    got: u64,
}

impl Reader<'_> {
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            line.push(byte[0]);
        }
        String::from_utf8(line).ok()
    }

    fn data(&mut self, mut left: u64) -> Option<()> {
        let mut piece = vec![0; 64 * 1024];
        while left > 0 {
            let count = left.min(piece.len() as u64) as usize;
            let count = self.stream.read(&mut piece[..count]).ok().filter(|count| *count > 0)?;
            check(&piece[..count], self.got);
            self.got += count as u64;
            left -= count as u64;
        }
        Some(())
    }
}

fn gate(barrier: &Barrier) -> Gate {
    Gate::with_tls(&open_to(&format!("http://{}", backend(barrier))))
}

fn open() -> Barrier {
    Arc::new(AtomicBool::new(true))
}

fn connect(gate: &Gate) -> TcpStream {
    let stream = TcpStream::connect(gate.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads a head; the body follows.
fn head(mut stream: &TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn download(gate: &Gate, size: u64) {
    let mut stream = connect(gate);
    write!(stream, "GET /{size} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(head(&stream).starts_with("HTTP/1.1 200"));
    Reader {
        stream: &stream,
        got: 0,
    }
    .data(size)
    .expect("the whole body");
}

fn upload(gate: &Gate, size: u64, chunked: bool) {
    let mut stream = connect(gate);
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {size}")
    };
    write!(stream, "POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").unwrap();
    let mut piece = vec![0; 64 * 1024];
    let mut sent = 0;
    while sent < size {
        let count = (size - sent).min(piece.len() as u64) as usize;
        fill(&mut piece[..count], sent);
        if chunked {
            write!(stream, "{count:x}\r\n").unwrap();
        }
        stream.write_all(&piece[..count]).unwrap();
        if chunked {
            stream.write_all(b"\r\n").unwrap();
        }
        sent += count as u64;
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").unwrap();
    }
    let head = head(&stream);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut body = vec![0; size.to_string().len()];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), size.to_string());
}

/// How much the gateway's memory grew at most while this was done, after it had been done once in small.
fn growth(gate: &Gate, transfer: impl Fn(u64), size: u64) -> u64 {
    transfer(MIB);
    let before = gate.memory("VmHWM");
    transfer(size);
    // The kernel adds up its threads' counts only now and then: the figure can also go down a little.
    gate.memory("VmHWM").saturating_sub(before)
}

#[test]
fn large_bodies_pass_in_both_directions_with_flat_memory() {
    let gate = gate(&open());
    let size = size();
    for (case, grown) in [
        ("download", growth(&gate, |size| download(&gate, size), size)),
        ("upload", growth(&gate, |size| upload(&gate, size, false), size)),
        (
            "upload in chunks",
            growth(&gate, |size| upload(&gate, size, true), size),
        ),
    ] {
        assert!(grown < GROWTH, "{case}: {} KiB", grown / 1024);
    }
}

#[test]
fn large_bodies_pass_over_tls_and_http_2() {
    let gate = gate(&open());
    let size = size() / 4;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = gate.tls_client(protocol);
        let down = |size: u64| {
            let response = client.get(&format!("/{size}")).body;
            assert_eq!(response.len() as u64, size);
            check(&response, 0);
        };
        let up = |size: u64| {
            let mut body = vec![0; size as usize];
            fill(&mut body, 0);
            let answer = client.request(Method::POST, "/").body(body).send().expect(200);
            assert_eq!(answer.text(), size.to_string());
        };
        for (case, grown) in [
            ("download", growth(&gate, down, size)),
            ("upload", growth(&gate, up, size)),
        ] {
            assert!(grown < GROWTH, "{case} over {protocol:?}: {} KiB", grown / 1024);
        }
    }
}

#[test]
fn who_does_not_read_is_not_read_for() {
    let barrier = Barrier::default();
    let gate = gate(&barrier);
    let size = 256 * MIB;
    let before = gate.memory("VmHWM");
    // The upstream does not read: the client's bytes stay with the client.
    let mut stream = connect(&gate);
    write!(stream, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut piece = vec![0; 64 * 1024];
    let mut sent = 0;
    let taken = loop {
        fill(&mut piece, sent);
        match stream.write(&piece) {
            Ok(count) => sent += count as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break sent,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 64 * MIB, "nobody reads, and all is taken");
    };
    assert!(
        gate.memory("VmHWM").saturating_sub(before) < GROWTH,
        "{} MiB taken",
        taken / MIB
    );
    // It goes on where it stopped, with nothing lost.
    barrier.store(true, Ordering::SeqCst);
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    while sent < size {
        let count = (size - sent).min(piece.len() as u64) as usize;
        fill(&mut piece[..count], sent);
        stream.write_all(&piece[..count]).unwrap();
        sent += count as u64;
    }
    assert!(head(&stream).starts_with("HTTP/1.1 200"));

    // The client does not read: the upstream's bytes stay with the upstream.
    let mut stream = connect(&gate);
    write!(stream, "GET /{size} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(head(&stream).starts_with("HTTP/1.1 200"));
    let mut reader = Reader {
        stream: &stream,
        got: 0,
    };
    reader.data(MIB).unwrap();
    let settled = std::cell::Cell::new(0);
    until("memory settles", || {
        let now = gate.memory("VmRSS");
        (settled.replace(now) == now).then_some(())
    });
    assert!(gate.memory("VmHWM").saturating_sub(before) < GROWTH);
    reader.data(size - MIB).expect("the whole body");
}
