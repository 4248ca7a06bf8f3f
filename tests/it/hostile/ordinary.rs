//! What looks like a flood and is none.

use super::{gate, h2};
use crate::support::h2raw::*;
use crate::support::reply::Reply;
use crate::support::upstream::Upstream;

fn served(client: &mut H2, stream: u32) {
    client.send(HEADERS, WHOLE, stream, &request("GET", "/last"));
    assert!(matches!(client.answer(stream), Answer::Status(200, _)));
}

/// A browser that leaves pages before they are there: a few hundred requests taken back among others.
#[test]
fn a_few_hundred_cancellations_are_no_flood() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let mut client = h2(&gate);
    client.send(WINDOW_UPDATE, 0, 0, &0x1000_0000_u32.to_be_bytes());
    for index in 0..400 {
        let stream = index * 4 + 1;
        client.send(HEADERS, WHOLE, stream, &request("GET", "/"));
        client.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        client.send(HEADERS, WHOLE, stream + 2, &request("GET", "/"));
        let answer = client.answer(stream + 2);
        assert!(matches!(answer, Answer::Status(200, _)), "{index}: {answer:?}");
    }
    // And as many again as were served since.
    for index in 400..700 {
        let stream = index * 4 + 1;
        client.send(HEADERS, WHOLE, stream, &request("GET", "/"));
        client.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        client.send(HEADERS, WHOLE, stream + 2, &request("GET", "/"));
        let answer = client.answer(stream + 2);
        assert!(matches!(answer, Answer::Status(200, _)), "{index}: {answer:?}");
    }
    served(&mut client, 4001);
}

/// Each request with a priority and two windows, as old browsers have it.
#[test]
fn frames_beside_requests_are_paid_by_them() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let mut client = h2(&gate);
    for index in 0..700 {
        let stream = index * 2 + 1;
        client.send(PRIORITY, 0, stream, &[0, 0, 0, 0, 9]);
        client.send(HEADERS, WHOLE, stream, &request("GET", "/"));
        assert!(matches!(client.answer(stream), Answer::Status(200, _)), "{index}");
        client.send(WINDOW_UPDATE, 0, 0, &300_u32.to_be_bytes());
        client.send(PING, 0, 0, &[7; 8]);
    }
    served(&mut client, 4001);
}

/// A download whose every frame is answered with two windows and a PING, as gRPC implementations measure their way.
#[test]
fn a_download_pays_for_windows_and_pings() {
    let large = 48 << 20;
    let backend = Upstream::answering(move |request| match request.target.as_str() {
        "/large" => Reply::new(200, &[], vec![b'x'; large]),
        _ => Reply::text("hello"),
    });
    let gate = gate(&backend, "");
    let mut client = h2(&gate);
    client.send(HEADERS, WHOLE, 1, &request("GET", "/large"));
    let (mut got, mut control) = (0, 0);
    while got < large {
        let frame_ = client.next().unwrap();
        assert_ne!(frame_.kind, GOAWAY, "after {got}");
        if frame_.kind != DATA || frame_.payload.is_empty() {
            continue;
        }
        got += frame_.payload.len();
        let count = u32::try_from(frame_.payload.len()).unwrap().to_be_bytes();
        let more = [
            frame(WINDOW_UPDATE, 0, 0, &count),
            frame(WINDOW_UPDATE, 0, 1, &count),
            frame(PING, 0, 0, &[7; 8]),
        ];
        client.raw.send(more.concat());
        control += 3;
    }
    assert!(control > 5000, "{control}");
    served(&mut client, 3);
}

/// Whether the stream was reset so far.
fn reset(client: &mut H2, stream: u32) -> bool {
    // Whatever was said of the stream was said before the answer to this.
    client.send(PING, 0, 0, b"the last");
    let mut reset = false;
    loop {
        let came = client.next().unwrap();
        reset |= came.kind == RST_STREAM && came.stream == stream;
        if came.kind == PING && came.payload == b"the last" {
            return reset;
        }
    }
}

/// The same for what an endpoint of the gateway's has begun to read, and refuses because it is too large.
#[test]
fn a_refused_form_leaves_the_stream_open_for_the_little_that_is_left() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    // Announced as too large, and found to be.
    for (announced, pieces) in [(field("content-length", "120000"), 0), (Vec::new(), 7)] {
        let mut client = h2(&gate);
        // The server's windows hold from when they are acknowledged.
        served(&mut client, 1);
        client.send(SETTINGS, ACK, 0, &[]);
        let head = [request("POST", "/api/login"), announced].concat();
        client.send(HEADERS, END_HEADERS, 3, &head);
        for _ in 0..pieces {
            client.send(DATA, 0, 3, &[b'x'; 10_000]);
        }
        assert!(matches!(client.answer(3), Answer::Status(413, _)));
        for _ in pieces..12 {
            client.send(DATA, 0, 3, &[b'x'; 10_000]);
        }
        assert!(!reset(&mut client, 3), "{pieces}");
        client.send(DATA, END_STREAM, 3, &[]);
        assert!(!reset(&mut client, 3), "{pieces}");
        served(&mut client, 5);
    }
}

/// An answer that comes before its request's body: some clients throw it away with the stream, if that ends before they have sent
/// what they had to send.
#[test]
fn an_early_answer_leaves_the_stream_open_for_the_little_that_is_left() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let mut client = h2(&gate);
    for stream in [1, 3] {
        client.send(HEADERS, END_HEADERS, stream, &request("POST", "/a/../b"));
        assert!(matches!(client.answer(stream), Answer::Status(400, _)));
        assert!(!reset(&mut client, stream));
        client.send(DATA, 0, stream, &[b'x'; 10_000]);
        client.send(DATA, END_STREAM, stream, b"the end");
        assert!(!reset(&mut client, stream));
    }
    // Not for long, and not for much.
    client.send(HEADERS, END_HEADERS, 5, &request("POST", "/a/../b"));
    assert!(matches!(client.answer(5), Answer::Status(400, _)));
    let began = std::time::Instant::now();
    assert_eq!(client.answer(5), Answer::Reset(0));
    assert!(
        began.elapsed() < std::time::Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    served(&mut client, 7);
}

/// An upload in full frames, with a PING for each.
#[test]
fn an_upload_in_many_frames_is_served() {
    let backend = Upstream::answering(|request| Reply::text(&request.body.len().to_string()));
    let gate = gate(&backend, "");
    let mut client = h2(&gate);
    client.send(HEADERS, END_HEADERS, 1, &request("POST", "/"));
    let (mut window, mut stream_window, mut left) = (65_535_usize, 65_535_usize, 20_usize << 20);
    // The server's settings raise the stream's window; until they are seen, what they raise it to is not used.
    while left > 0 {
        let piece = left.min(window).min(stream_window).min(1000);
        if piece == 0 {
            let frame_ = client.next().unwrap();
            assert_ne!(frame_.kind, GOAWAY, "{left} are left");
            if frame_.kind == WINDOW_UPDATE {
                let more = u32::from_be_bytes(frame_.payload[..4].try_into().unwrap()) as usize;
                if frame_.stream == 0 {
                    window += more
                } else {
                    stream_window += more
                }
            }
            if frame_.kind == SETTINGS && frame_.flags == 0 {
                stream_window += 256 * 1024 - 65_535;
                client.send(SETTINGS, 1, 0, &[]);
            }
            continue;
        }
        left -= piece;
        window -= piece;
        stream_window -= piece;
        let flags = if left == 0 { END_STREAM } else { 0 };
        client.send(DATA, flags, 1, &vec![b'a'; piece]);
    }
    assert_eq!(client.answer(1), Answer::Status(200, (20_usize << 20).to_string()));
}
