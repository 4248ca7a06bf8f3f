//! What is read, and what is refused.

use super::*;

/// Each a response that everybody understands in the same way: its body, and the bytes behind it.
#[test]
fn what_is_well_formed_is_read() {
    for (bytes, body, rest) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok", 0),
        ("HTTP/1.1 200 OK\r\nContent-Length:2\r\n\r\nokHTTP", "ok", 4),
        ("HTTP/1.1 200\r\ncontent-length: \t 2 \t\r\n\r\nok", "ok", 0),
        ("HTTP/1.1 200 \r\ncontent-length: 002\r\n\r\nok", "ok", 0),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
            "ok",
            0,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok", "ok", 0),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", 0),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end", 0),
        ("HTTP/1.0 200 OK\r\n\r\n", "", 0),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok\n", "ok", 1),
        ("HTTP/1.1 204 No Content\r\n\r\nHTTP", "", 4),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nHTTP", "", 4),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\n", "", 0),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3\r\none\r\n0a\r\nand twelve\r\n0\r\n\r\n!",
            "oneand twelve",
            1,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3 ;a=\"b\"\r\none\r\n0 \r\n\r\n",
            "one",
            0,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0000000000000003\r\none\r\n0000\r\n\r\n",
            "one",
            0,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "ok",
            0,
        ),
    ] {
        let seen = get(bytes);
        assert!(seen.complete && seen.fault.is_none(), "{bytes:?}: {seen:?}");
        assert_eq!(
            (std::str::from_utf8(&seen.body).unwrap(), seen.rest),
            (body, rest),
            "{bytes:?}"
        );
        super::super::fuzz_response(bytes.as_bytes());
    }
}

#[test]
fn the_head_is_passed_on_as_it_is() {
    let seen =
        get("HTTP/1.1 299 Fine\r\nX-A: \t one  two \r\nx-a:\r\nX-B: caf\u{e9}\t!\r\ncontent-length: 0002, 2\r\n\r\nok");
    let (status, fields) = seen.head.unwrap();
    let all: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    assert_eq!(status, 299);
    let expected: [(&str, &[u8]); 4] = [
        ("x-a", b"one  two"),
        ("x-a", b""),
        ("x-b", "caf\u{e9}\t!".as_bytes()),
        // One length, and everybody reads the same one.
        ("content-length", b"2"),
    ];
    assert_eq!(all, expected);

    let seen = get("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 7\r\nx-sum: 8\r\n\r\n");
    assert!(seen.complete);
    let sums: Vec<_> = seen.trailers.as_ref().unwrap().get_all("x-sum").iter().collect();
    assert_eq!(sums, ["7", "8"]);

    let head = read(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", &Method::HEAD, |_| 7);
    assert!(head.complete && head.head.unwrap().1["content-length"] == "9");
}

/// Each breaks a rule.
#[test]
fn what_can_be_understood_in_two_ways_is_refused() {
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    let fields = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
    let many = |count: usize| fields(&vec!["a: b"; count].join("\r\n"));
    let long = |length: usize| fields(&format!("a: {}", "x".repeat(length)));
    for (bytes, fault) in [
        // What is no HTTP/1, told as soon as it shows.
        ("hello".to_owned(), "status line"),
        ("HTTP/2".to_owned(), "status line"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "status line"),
        ("\0\0\x12\x04\0\0\0\0\0".to_owned(), "status line"),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(), "status line"),
        ("http/1.1 200 OK\r\n\r\n".to_owned(), "status line"),
        ("HTTP/1.1200 OK\r\n\r\n".to_owned(), "status line"),
        ("HTTP/1.1 20 OK\r\n\r\n".to_owned(), "status line"),
        ("HTTP/1.1 2000 OK\r\n\r\n".to_owned(), "status line"),
        ("HTTP/1.1 099 OK\r\n\r\n".to_owned(), "status line"),
        ("HTTP/1.1  200 OK\r\n\r\n".to_owned(), "status line"),
        ("HTTP/1.2 200 OK\r\n\r\n".to_owned(), "known version"),
        ("HTTP/1.1 200 O\0K\r\n\r\n".to_owned(), "reason"),
        ("HTTP/1.1 200 O\rK\r\n\r\n".to_owned(), "reason"),
        // Lines.
        ("HTTP/1.1 200 OK\n\n".to_owned(), "CRLF"),
        (fields("a: b\nc: d"), "CRLF"),
        ("HTTP/1.1 200 OK\r\na: b\r\n\n".to_owned(), "CRLF"),
        (fields("a: b\r\n folded"), "no colon"),
        (fields("a: b\r\n c: d"), "field name"),
        (fields("a : b"), "field name"),
        (fields("\u{e9}: b"), "field name"),
        (fields(": b"), "field name"),
        (fields("a"), "no colon"),
        (fields("a: b\0c"), "field value"),
        (fields("a: b\rc: d"), "field value"),
        (fields("a: b\x7f"), "field value"),
        (many(101), "too many fields"),
        (long(65_536), "too long"),
        ("HTTP/1.1 200 OK\r\na: ".to_owned() + &"x".repeat(70_000), "too long"),
        // Framing.
        (fields("content-length: 1\r\ncontent-length: 2"), "two different"),
        (fields("content-length: 1, 2"), "two different"),
        (fields("content-length: 1,"), "no number"),
        (fields("content-length: +1"), "no number"),
        (fields("content-length: -1"), "no number"),
        (fields("content-length: 0x1"), "no number"),
        (fields("content-length: 1 1"), "no number"),
        (fields("content-length:"), "no number"),
        (fields("content-length: 18446744073709551616"), "no number"),
        (fields("content-length: 1\r\ntransfer-encoding: chunked"), "both"),
        (fields("transfer-encoding: gzip, chunked"), "not chunked"),
        (fields("transfer-encoding: chunked, identity"), "not chunked"),
        (
            fields("transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
            "not chunked",
        ),
        (fields("transfer-encoding:"), "not chunked"),
        (fields("transfer-encoding: \"chunked\""), "not chunked"),
        (
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            "HTTP/1.0",
        ),
        (
            "HTTP/1.1 204 No Content\r\ntransfer-encoding: x\r\n\r\n".to_owned(),
            "not chunked",
        ),
        // Chunks.
        (chunked("\r\n"), "size"),
        (chunked(";\r\n"), "size"),
        (chunked("g\r\n"), "size"),
        (chunked("0x1\r\n"), "size"),
        (chunked("-1\r\n"), "size"),
        (chunked(" 1\r\n"), "size"),
        (chunked("1\n"), "size"),
        (chunked("1\r\r"), "size"),
        (chunked("1 1\r\n"), "size"),
        (chunked("1;a\nb"), "size"),
        (chunked("1;\0"), "size"),
        (chunked("11111111111111111\r\n"), "size"),
        (chunked("1\r\nab"), "does not end"),
        (chunked("1\r\na\n"), "does not end"),
        (chunked(&format!("1;{}\r\na\r\n", "x".repeat(17_000))), "extensions"),
        (chunked(&"1;xxxxxxx\r\na\r\n".repeat(3_000)), "extensions"),
        (chunked("0\r\na: b\n"), "CRLF"),
        (chunked("0\r\na b\r\n\r\n"), "no colon"),
        (chunked(&format!("0\r\na: {}\r\n\r\n", "x".repeat(17_000))), "too long"),
        (
            chunked(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(101))),
            "too many fields",
        ),
        // Playing for time.
        ("HTTP/1.1 100 Continue\r\n\r\n".repeat(17), "interim"),
        (
            format!("HTTP/1.1 103 Early Hints\r\na: {}\r\n\r\n", "x".repeat(40_000)).repeat(2),
            "interim",
        ),
    ] {
        let seen = get(&bytes);
        let found = seen.fault.unwrap_or_else(|| panic!("{bytes:.80?} was read"));
        assert!(found.to_string().contains(fault), "{bytes:.80?}: {found}");
        assert!(!seen.complete, "{bytes:.80?}");
        super::super::fuzz_response(bytes.as_bytes());
    }
    // The largest that is read.
    for bytes in [many(100), long(65_536 - 24)] {
        assert_eq!(get(&bytes).fault, None, "{bytes:.80?}");
    }
    assert!(get(long(65_536 - 23)).fault.is_some());
}

#[test]
fn what_breaks_off_is_never_complete() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\na: b\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "",
    ] {
        let seen = get(bytes);
        assert!(!seen.complete && seen.fault.is_none(), "{bytes:?}");
    }
}
