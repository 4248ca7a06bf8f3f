//! Floods over HTTP/2, against the default settings.

use super::{gate, h2, pour, withstands};
use crate::path::gate::Gate;
use crate::support::h2raw::*;
use crate::support::reply::Reply;
use crate::support::upstream::Upstream;

const MANY: usize = 20_000;

/// Whatever the flood is made of, it is ended long before it is over, with ENHANCE_YOUR_CALM where that could be read.
fn ended(gate: &Gate, most: usize, bytes: impl FnMut(usize) -> Vec<u8>) {
    let code = withstands(gate, || pour(&mut h2(gate), most, bytes).1);
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
}

fn stream(index: usize) -> u32 {
    u32::try_from(index * 2 + 1).unwrap()
}

#[test]
fn rapid_resets_are_ended_early() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    ended(&gate, MANY, |index| {
        [
            frame(HEADERS, WHOLE, stream(index), &request("GET", "/")),
            frame(RST_STREAM, 0, stream(index), &8_u32.to_be_bytes()),
        ]
        .concat()
    });
    // Of 20,000 requests, hardly any has reached the backend: the budget is 500.
    let reached = backend
        .requests()
        .iter()
        .filter(|request| request.target == "/")
        .count();
    assert!(reached < 1500, "{reached}");
}

#[test]
fn requests_that_the_server_must_reset_are_ended_early() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    // A window of 2^31 on each stream is a stream error each time, made by us (CVE-2025-8671).
    ended(&gate, MANY, |index| {
        [
            frame(HEADERS, WHOLE, stream(index), &request("GET", "/")),
            frame(WINDOW_UPDATE, 0, stream(index), &0x7fff_ffff_u32.to_be_bytes()),
        ]
        .concat()
    });
}

#[test]
fn frames_that_bring_nothing_are_ended_early() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let settings = [0, 4, 0, 1, 0, 0];
    let floods = [
        frame(PING, 0, 0, &[7; 8]),
        frame(PING, 1, 0, &[7; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &settings),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(0x42, 0, 0, &[7; 100]),
        frame(0x42, 0, 0, &[]),
        frame(GOAWAY, 0, 0, &[0; 8]),
    ];
    for flood in floods {
        ended(&gate, 100_000, |_| flood.clone());
    }
}

#[test]
fn a_flood_whose_answers_are_not_read_is_ended_too() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    withstands(&gate, || {
        let mut client = h2(&gate);
        let piece = frame(PING, 0, 0, &[7; 8]).repeat(1000);
        while client.try_send(&piece) {}
    });
}

#[test]
fn empty_data_is_ended_early() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/"));
    for data in [
        frame(DATA, 0, 1, &[]),
        frame(DATA, 8, 1, &[99; 100]),
        frame(DATA, 0, 1, &[7]),
    ] {
        ended(
            &gate,
            400_000,
            |index| {
                if index == 0 { open.clone() } else { data.clone() }
            },
        );
    }
}

#[test]
fn endless_header_blocks_are_ended_early() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let begin = frame(HEADERS, END_STREAM, 1, &request("GET", "/"));
    let field = field("x-more", [b'a'; 1000]);
    for piece in [
        frame(CONTINUATION, 0, 1, &[]),
        frame(CONTINUATION, 0, 1, &field),
        frame(CONTINUATION, 0, 1, &field.repeat(15)),
    ] {
        ended(
            &gate,
            MANY,
            |index| if index == 0 { begin.clone() } else { piece.clone() },
        );
    }
    // Trailers over and over; h2 takes the second ones for an error.
    let trailers = field_section();
    let code = withstands(&gate, || {
        pour(&mut h2(&gate), MANY, |index| match index {
            0 => frame(HEADERS, END_HEADERS, 1, &request("POST", "/")),
            _ => frame(HEADERS, END_HEADERS, 1, &trailers),
        })
        .1
    });
    assert!(code.is_none_or(|code| code != 0), "{code:?}");
}

fn field_section() -> Vec<u8> {
    field("x-trailer", "v")
}

#[test]
fn a_header_list_is_bounded_however_it_is_compressed() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    // One entry of 4000 octets, referred to by one octet each: 16 MB in one frame.
    let first = [request("GET", "/"), remembered("x-bomb", [b'a'; 4000])].concat();
    let bomb = [request("GET", "/"), vec![0xbe; 4000]].concat();
    withstands(&gate, || {
        let mut client = h2(&gate);
        client.send(HEADERS, WHOLE, 1, &first);
        assert!(matches!(client.answer(1), Answer::Status(200, _)));
        pour(&mut client, 2000, |index| {
            frame(HEADERS, WHOLE, stream(index + 1), &bomb)
        })
    });
    // A list that is too long and no bomb is answered, or refused; the same connection goes on if it was answered.
    let long: Vec<u8> = (0..70).flat_map(|n| field(&format!("x-{n}"), [b'a'; 1000])).collect();
    let pieces = [request("GET", "/"), long].concat();
    let mut client = h2(&gate);
    for (index, piece) in pieces.chunks(16_000).enumerate() {
        let last = if (index + 1) * 16_000 >= pieces.len() {
            END_HEADERS
        } else {
            0
        };
        match index {
            0 => client.send(HEADERS, END_STREAM | last, 1, piece),
            _ => client.send(CONTINUATION, last, 1, piece),
        };
    }
    assert!(matches!(client.answer(1), Answer::Status(431, _)));
    client.send(HEADERS, WHOLE, 3, &request("GET", "/"));
    assert!(matches!(client.answer(3), Answer::Status(200, _)));
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let backend = Upstream::answering(|request| match request.target.as_str() {
        "/stranger" => Reply::text("hello"),
        _ => Reply::text("late").after(&crate::support::reply::Gate::new()),
    });
    let gate = gate(&backend, "");
    let mut client = h2(&gate);
    for index in 0..129 {
        client.send(HEADERS, WHOLE, stream(index), &request("GET", "/held"));
    }
    assert_eq!(client.answer(stream(128)), Answer::Reset(7), "REFUSED_STREAM");
    // Who goes on is let go.
    let (sent, code) = withstands(&gate, || {
        pour(&mut client, MANY, |index| {
            frame(HEADERS, WHOLE, stream(index + 129), &request("GET", "/held"))
        })
    });
    assert!(
        code.is_none_or(|code| code == ENHANCE_YOUR_CALM),
        "{code:?} after {sent}"
    );
}
