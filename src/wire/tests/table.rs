//! One row a case: bytes in, verdict out, however they are cut.

use crate::codes::Code::{self, *};
use crate::wire::fuzz::{Framed, frame, fuzz_scan};
use crate::wire::scanner::{Outcome, Scanner};
use crate::wire::settings::{
    BLANK_LINES, EXTENSION_BYTES, FIELD_LINES, METHOD_BYTES, NAME_BYTES, TARGET_BYTES, TRAILER_LINES,
};

fn scan(data: &[u8]) -> Framed {
    fuzz_scan(data);
    frame(data, |_| usize::MAX)
}

#[track_caller]
fn refused(data: impl AsRef<[u8]>, code: Code) {
    let data = data.as_ref();
    let framed = scan(data);
    let text = String::from_utf8_lossy(&data[..data.len().min(300)]).into_owned();
    assert_eq!(
        framed.violation.map(|violation| violation.code),
        Some(code),
        "{text:?}: {framed:?}"
    );
}

/// Framed as this many messages, with nothing left.
#[track_caller]
fn accepted(data: impl AsRef<[u8]>, messages: usize) {
    let data = data.as_ref();
    let framed = scan(data);
    let text = String::from_utf8_lossy(&data[..data.len().min(300)]).into_owned();
    assert_eq!(framed.violation, None, "{text:?}");
    assert_eq!(
        (framed.messages.len(), framed.released),
        (messages, data.len()),
        "{text:?}: {framed:?}"
    );
}

/// Nothing wrong so far, and not at an end.
#[track_caller]
fn unfinished(data: impl AsRef<[u8]>, released: usize) {
    let framed = scan(data.as_ref());
    assert_eq!((framed.violation, framed.released), (None, released), "{framed:?}");
}

fn head(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

fn request_line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

#[test]
fn request_lines() {
    for line in [
        "GET / HTTP/1.1",
        "GET / HTTP/1.0",
        "get /a?b?c/`d HTTP/1.1",
        "PROPFIND /%2F//..;[]{}|\\^\"'?q='{}|\\^ HTTP/1.1",
        "M-SEARCH!#$%&'*+.^_`|~09 / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET http://a.example:80/x?y HTTP/1.1",
        "GET HTTPS://a.example HTTP/1.1",
    ] {
        accepted(request_line(line), 1);
    }
    for (line, code) in [
        ("GET  / HTTP/1.1", InvalidRequest),
        ("GET /  HTTP/1.1", InvalidRequest),
        ("GET / HTTP/1.1 ", InvalidRequest),
        (" GET / HTTP/1.1", InvalidRequest),
        ("GET\t/ HTTP/1.1", InvalidRequest),
        ("GET /\tHTTP/1.1", InvalidTarget),
        ("GET / a HTTP/1.1", InvalidRequest),
        ("GET /", InvalidRequest),
        ("GET ", InvalidRequest),
        ("GET", InvalidRequest),
        ("G(T / HTTP/1.1", InvalidRequest),
        ("G\u{e9}T / HTTP/1.1", InvalidRequest),
        (": / HTTP/1.1", InvalidRequest),
        ("GET / http/1.1", InvalidRequest),
        ("GET / HTTP/1.10", InvalidRequest),
        ("GET / HTTP/11", InvalidRequest),
        ("GET / HTTP/1,1", InvalidRequest),
        ("GET / HTTP 1.1", InvalidRequest),
        ("GET / XTTP/1.1", InvalidRequest),
        ("GET / HTTP/1.", InvalidRequest),
        ("GET / HTTP/1.2", VersionNotSupported),
        ("GET / HTTP/0.9", VersionNotSupported),
        ("GET / HTTP/2.0", VersionNotSupported),
        ("GET / HTTP/3", VersionNotSupported),
        ("CONNECT a.example:443 HTTP/1.1", MethodNotAllowed),
        ("GET /\u{e9} HTTP/1.1", InvalidTarget),
        ("GET /\0 HTTP/1.1", InvalidTarget),
        ("GET /\u{7f} HTTP/1.1", InvalidTarget),
        ("GET /a#b HTTP/1.1", InvalidTarget),
        ("GET /a?b#c HTTP/1.1", InvalidTarget),
        ("GET /<script> HTTP/1.1", InvalidTarget),
        ("GET /?a=\"b\" HTTP/1.1", InvalidTarget),
        ("GET * HTTP/1.1", InvalidTarget),
        ("GET a.example:80 HTTP/1.1", InvalidTarget),
        ("GET a/b HTTP/1.1", InvalidTarget),
        ("GET ?a HTTP/1.1", InvalidTarget),
        ("GET ftp://a.example/ HTTP/1.1", InvalidTarget),
        ("GET http:/// HTTP/1.1", InvalidTarget),
        ("GET http://a:b:c/ HTTP/1.1", InvalidTarget),
        ("GET http://u:p@a.example/ HTTP/1.1", InvalidTarget),
        ("GET http://a.example/#x HTTP/1.1", InvalidTarget),
        ("GET /\r HTTP/1.1", InvalidRequest),
    ] {
        refused(request_line(line), code);
    }
}

#[test]
fn what_is_no_http() {
    refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", InvalidRequest);
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", InvalidRequest);
    refused("GET /\r\n", InvalidRequest);
    refused("GET /\n", InvalidRequest);
    refused(b"\x05\x01\x00", InvalidRequest);
    refused(b"\0", InvalidRequest);
    refused("HTTP/1.1 200 OK\r\n\r\n", InvalidRequest);
}

#[test]
fn line_ends() {
    refused("GET / HTTP/1.1\nHost: a\n\n", InvalidFraming);
    refused("GET / HTTP/1.1\r\nHost: a\n\r\n", InvalidFraming);
    refused("GET / HTTP/1.1\r\nHost: a\r\n\n", InvalidFraming);
    refused("GET / HTTP/1.1\r\nHost: a\n\n\r\n", InvalidFraming);
    refused("GET / HTTP/1.1\n\nHost: a\r\n\r\n", InvalidFraming);
    refused("GET / HTTP/1.1\rHost: a\r\r", InvalidFraming);
    refused("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", InvalidFraming);
    refused("GET / HTTP/1.1\r\nHost: a\r\n\rX", InvalidFraming);
    refused("\rGET / HTTP/1.1\r\n", InvalidFraming);
    refused("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", InvalidFraming);
    refused(head("X: a\n b\r\n"), InvalidFraming);
    accepted(format!("\r\n\r\n{}", head("")), 1);
    accepted(format!("{0}\r\n{0}\r\n\r\n{0}", head("")), 3);
    refused("\r\n".repeat(usize::from(BLANK_LINES) + 1), InvalidFraming);
}

#[test]
fn field_lines() {
    for lines in [
        "A:\r\n",
        "A: \t \r\n",
        "A:b\r\n",
        "A: \tb\tc \t\r\n",
        "!#$%&'*+-.^_`|~09aZ: x\r\n",
        "A: \u{e9}\u{80}\r\n",
        "A: b\r\nA: c\r\n",
        "Expect: 100-Continue\r\n",
        "Connection: keep-alive, Upgrade\r\n",
        "Content-Length: 0\r\n",
        "Content-Length:\t00 \r\n",
        "X-Content-Length: 5\r\n",
    ] {
        accepted(head(lines), 1);
    }
    for lines in [
        "A : b\r\n",
        "A\t: b\r\n",
        ": b\r\n",
        "A\r\n",
        "A b: c\r\n",
        "A\0: b\r\n",
        "\u{e9}: b\r\n",
        "(A): b\r\n",
        "A: b\0\r\n",
        "A: b\u{1}c\r\n",
        "A: b\u{7f}\r\n",
        "A: b\u{b}\r\n",
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A:\r\n b\r\n",
        "A: b\r\r\n",
    ] {
        refused(head(lines), InvalidFraming);
    }
    refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", InvalidFraming);
    // Whose expectation it is, and so whether it counts, is for the service to say.
    accepted(head("Expect: 200-ok\r\n"), 1);
}

/// The method's fault comes first, and is told when the target is known: what it was for decides how it is answered.
#[test]
fn a_method_that_is_not_served_is_told_with_its_target() {
    let long = format!("{} /a?b HTTP/1.1\r\n", "M".repeat(METHOD_BYTES + 1));
    for (line, code, target) in [
        ("CONNECT a:443 HTTP/1.1\r\n", MethodNotAllowed, "a:443"),
        ("CONNECT /a/b?c HTTP/1.1\r\n", MethodNotAllowed, "/a/b?c"),
        ("CONNECT /a#b HTTP/1.1\r\n", MethodNotAllowed, "/a"),
        ("CONNECT  HTTP/1.1\r\n", MethodNotAllowed, ""),
        ("PRI /a HTTP/2.0\r\n", InvalidRequest, "/a"),
        ("GET /a\tb HTTP/1.1\r\n", InvalidTarget, "/a"),
        ("GET /a/b HTTP/1.1\r\nA : b\r\n", InvalidFraming, "/a/b"),
        (&long, NotImplemented, "/a?b"),
    ] {
        refused(line, code);
        let mut scanner = Scanner::new(crate::wire::Settings::default());
        let outcome = scanner.scan(line.as_bytes()).outcome;
        assert!(matches!(outcome, Outcome::Refused(_)), "{line:?}: {outcome:?}");
        assert_eq!(&line[scanner.refused_target()], target, "{line:?}");
    }
    for open in ["CONNECT", "CONNECT ", "CONNECT a:443"] {
        unfinished(open, 0);
    }
}

#[test]
fn hosts() {
    refused("GET / HTTP/1.1\r\n\r\n", InvalidHost);
    refused("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", InvalidHost);
    refused(head("Host: b\r\n"), InvalidHost);
    refused(head("hOST: a\r\n"), InvalidHost);
    refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", InvalidHost);
    accepted("GET / HTTP/1.0\r\n\r\n", 1);
    accepted("GET / HTTP/1.0\r\nHost: a\r\n\r\n", 1);
}

#[test]
fn lengths() {
    accepted(head("Content-Length: 3\r\n") + "abc", 1);
    accepted(head("content-length: 003\r\n") + "abc" + &head(""), 2);
    unfinished(
        head("Content-Length: 3\r\n") + "ab",
        head("Content-Length: 3\r\n").len() + 2,
    );
    unfinished(
        head("Content-Length: 9223372036854775807\r\n"),
        head("Content-Length: 9223372036854775807\r\n").len(),
    );
    for value in [
        "",
        "+1",
        "-1",
        "1 1",
        "1,1",
        "1, 1",
        "0x1",
        "1.0",
        "a",
        "9223372036854775808",
        "18446744073709551617",
    ] {
        refused(head(&format!("Content-Length: {value}\r\n")), InvalidFraming);
    }
    refused(head("Content-Length: 3\r\nContent-Length: 3\r\n"), InvalidFraming);
    refused(head("Content-Length: 3\r\nCONTENT-LENGTH: 4\r\n"), InvalidFraming);
    refused(
        head("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        InvalidFraming,
    );
    refused(
        head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        InvalidFraming,
    );
    // The second request in a body is data; behind the body it is a request.
    let inner = head("");
    accepted(head(&format!("Content-Length: {}\r\n", inner.len())) + &inner, 1);
}

#[test]
fn transfer_codings() {
    for value in ["chunked", "Chunked", " \tCHUNKED\t "] {
        accepted(head(&format!("Transfer-Encoding:{value}\r\n")) + "0\r\n\r\n", 1);
    }
    for value in [
        "",
        "xchunked",
        "chunked, chunked",
        "chunked, gzip",
        "gzip",
        "identity",
        "chunked;q=1",
        "chunked,",
        ", chunked",
        "\"chunked\"",
        "chunked chunked",
        "gzip;x, chunked",
        "chunke",
        "chunked\u{b}",
        "\u{a0}chunked",
        "x(y, chunked",
    ] {
        refused(head(&format!("Transfer-Encoding: {value}\r\n")), InvalidFraming);
    }
    refused(head("Transfer-Encoding: gzip, chunked\r\n"), NotImplemented);
    refused(
        head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        InvalidFraming,
    );
    refused(
        head("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        InvalidFraming,
    );
    refused("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", InvalidFraming);
}

#[test]
fn chunks() {
    for body in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "0000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;a\r\nabc\r\n0;b=c\r\n\r\n",
        "3 ; a = \"b c\" ;d\r\nabc\r\n0\r\n\r\n",
        "4\r\n\r\n\r\n\r\n0\r\n\r\n",
        "0\r\nX-Sum: 1\r\nA:\r\n\r\n",
    ] {
        accepted(chunked(body), 1);
        accepted(chunked(body) + &head(""), 2);
    }
    for body in [
        "\r\n",
        "x\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        ";a\r\n",
        "1\n",
        "1\r1",
        "1 \r\n",
        "1 1\r\n",
        "00000000000000003\r\n",
        "fffffffffffffffff\r\n",
        "3\r\nabc\n",
        "3\r\nabcd",
        "3\r\nabc\r0",
        "3\r\nabc0\r\n",
        "1;a\n",
        "1;a\0b\r\n",
        "1;\u{7f}\r\n",
        "1;a\rb",
        "1;\u{e9}\r\n",
        "1,2\r\n",
        "1_0\r\n",
        "0\r\n\n",
        "0\r\n\rx",
    ] {
        refused(chunked(body), InvalidFraming);
    }
    let line = |extension: usize| chunked(&format!("1{}\r\na\r\n", ";".repeat(extension)));
    unfinished(
        line(usize::from(EXTENSION_BYTES)),
        line(usize::from(EXTENSION_BYTES)).len(),
    );
    refused(line(usize::from(EXTENSION_BYTES) + 1), InvalidFraming);
    // The bound of one chunk is not used up by the one before; that of the message is.
    let many = |chunks: usize| chunked(&format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(chunks));
    unfinished(many(40), many(40).len());
    refused(many(41), InvalidFraming);
}

#[test]
fn trailers() {
    for field in [
        "Content-Length: 5",
        "transfer-encoding: chunked",
        "Host: b",
        "Authorization: x",
        "COOKIE: a=b",
        "Connection: X",
        "Te: x",
        "Trailer: x",
        "Upgrade: x",
    ] {
        refused(chunked(&format!("0\r\n{field}\r\n\r\n")), InvalidFraming);
    }
    for section in [
        "A : b\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A: \0\r\n",
        "A: b\n",
        "A\r\n",
        "A: b\rc",
    ] {
        refused(chunked(&format!("0\r\n{section}\r\n")), InvalidFraming);
    }
    accepted(
        chunked(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(usize::from(TRAILER_LINES)))),
        1,
    );
    refused(
        chunked(&format!(
            "0\r\n{}\r\n",
            "A: b\r\n".repeat(usize::from(TRAILER_LINES) + 1)
        )),
        HeadersTooLarge,
    );
    refused(
        chunked(&format!("0\r\nA: {}\r\n\r\n", "b".repeat(8192))),
        HeadersTooLarge,
    );
    // Not one byte of a trailer section passes before all of it is there.
    unfinished(chunked("0\r\nA: b\r\n"), chunked("0\r\n").len());
}

#[test]
fn bounds() {
    let many = |count: u16| head(&"A: b\r\n".repeat(usize::from(count) - 1));
    accepted(many(FIELD_LINES), 1);
    refused(many(FIELD_LINES + 1), HeadersTooLarge);

    let target = |bytes: usize| request_line(&format!("GET /{} HTTP/1.1", "a".repeat(bytes - 1)));
    accepted(target(TARGET_BYTES), 1);
    refused(target(TARGET_BYTES + 1), TargetTooLong);
    refused(format!("GET /?{}", "a".repeat(TARGET_BYTES)), TargetTooLong);

    accepted(request_line(&format!("{} / HTTP/1.1", "M".repeat(METHOD_BYTES))), 1);
    let method = |bytes: usize| request_line(&format!("{} / HTTP/1.1", "M".repeat(bytes)));
    refused(method(METHOD_BYTES + 1), NotImplemented);
    refused(method(60_000), NotImplemented);
    refused("M".repeat(65_536), HeadersTooLarge);
    unfinished("M".repeat(60_000), 0);

    accepted(head(&format!("{}: b\r\n", "N".repeat(NAME_BYTES))), 1);
    refused(head(&"N".repeat(NAME_BYTES + 1)), HeadersTooLarge);

    let total = |bytes: usize| head(&format!("A: {}\r\n", "b".repeat(bytes - head("A: \r\n").len())));
    accepted(total(65_536), 1);
    accepted(total(65_536) + &total(65_536), 2);
    refused(total(65_537), HeadersTooLarge);
    refused(total(200_000), HeadersTooLarge);
}

#[test]
fn upgrades() {
    let upgrade = |lines: &str| scan(head(lines).as_bytes()).messages[0].upgrade;
    assert!(upgrade("Connection: upgrade\r\nUpgrade: websocket\r\n"));
    assert!(upgrade(
        "upgrade: websocket\r\nConnection: keep-alive\r\nconnection: a , UPGRADE\r\n"
    ));
    assert!(!upgrade("Upgrade: websocket\r\n"));
    assert!(!upgrade("Connection: upgrade\r\n"));
    assert!(!upgrade("Connection: upgraded\r\nUpgrade: websocket\r\n"));
    let old = b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert!(!scan(old).messages[0].upgrade);
    // A request with a body asks for none, and so does the next message.
    let framed = scan(
        format!(
            "{}abc{}",
            head("Content-Length: 3\r\nConnection: upgrade\r\nUpgrade: x\r\n"),
            head("")
        )
        .as_bytes(),
    );
    assert_eq!(
        framed
            .messages
            .iter()
            .map(|message| message.upgrade)
            .collect::<Vec<_>>(),
        [false, false]
    );
}

#[test]
fn unfinished_messages_wait() {
    let whole = head("A: b\r\nConnection: keep-alive\r\n");
    for len in 0..whole.len() {
        unfinished(&whole.as_bytes()[..len], 0);
    }
}
