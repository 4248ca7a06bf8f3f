//! Servers that misbehave: what the caller sees of it, and that it never reaches the next request.

use super::servers::{tls_server, trusting};
use super::*;

/// What the caller sees.
#[derive(Debug, PartialEq, Eq)]
enum Sees {
    /// A whole answer.
    Answer(u16, &'static str),
    /// No answer.
    No(Kind),
    /// An answer whose body breaks off.
    Half(Kind),
}

use Sees::{Answer, Half, No};

const UPGRADE: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";

/// Bytes that a server sends to a GET before it closes or waits, what the caller sees, and whether the connection is kept.
#[tokio::test]
async fn what_a_server_may_do_and_what_becomes_of_it() {
    let giant = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    let flood = "HTTP/1.1 102 Processing\r\n\r\n".repeat(10_000);
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    let said = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
    const CLOSES: bool = true;
    const WAITS: bool = false;
    for (answer, closes, sees, kept) in [
        // In good health.
        (said("content-length: 2", "ok"), WAITS, Answer(200, "ok"), true),
        (chunked("2\r\nok\r\n0\r\n\r\n"), WAITS, Answer(200, "ok"), true),
        (chunked("2\r\nok\r\n0\r\nx: y\r\n\r\n"), WAITS, Answer(200, "ok"), true),
        (
            "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok".into(),
            WAITS,
            Answer(200, "ok"),
            true,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), WAITS, Answer(204, ""), true),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n".into(),
            WAITS,
            Answer(304, ""),
            true,
        ),
        // Means to close.
        (
            said("connection: x, Close\r\ncontent-length: 2", "ok"),
            WAITS,
            Answer(200, "ok"),
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok".into(),
            WAITS,
            Answer(200, "ok"),
            false,
        ),
        (said("x: y", "to the end"), CLOSES, Answer(200, "to the end"), false),
        ("HTTP/1.0 200 OK\r\n\r\n".into(), CLOSES, Answer(200, ""), false),
        // Says more than it may.
        (
            said("content-length: 2", "okHTTP/1.1 200 OK\r\n"),
            WAITS,
            Answer(200, "ok"),
            false,
        ),
        (said("content-length: 2", "ok\r\n"), WAITS, Answer(200, "ok"), false),
        (chunked("2\r\nok\r\n0\r\n\r\n\r\n"), WAITS, Answer(200, "ok"), false),
        (
            "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok".into(),
            WAITS,
            Answer(204, ""),
            false,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\n\r\nok".into(),
            WAITS,
            Answer(304, ""),
            false,
        ),
        // Breaks off.
        (String::new(), CLOSES, No(Kind::Broken), false),
        ("HTTP/1.1 200 O".into(), CLOSES, No(Kind::Broken), false),
        ("HTTP/1.1 100 Continue\r\n\r\n".into(), CLOSES, No(Kind::Broken), false),
        (said("content-length: 3", "ok"), CLOSES, Half(Kind::Broken), false),
        (chunked("2\r\nok"), CLOSES, Half(Kind::Broken), false),
        (chunked("2\r\nok\r\n"), CLOSES, Half(Kind::Broken), false),
        (chunked("2\r\nok\r\n0\r\n"), CLOSES, Half(Kind::Broken), false),
        // Chunks that are none; nobody waits for more.
        (chunked("x\r\nok\r\n"), WAITS, Half(Kind::Broken), false),
        (chunked("2\r\nokay\r\n"), WAITS, Half(Kind::Broken), false),
        (chunked("2\nok\n0\n\n"), WAITS, Half(Kind::Broken), false),
        (chunked("ffffffffffffffffff\r\n"), WAITS, Half(Kind::Broken), false),
        // Heads that nobody should believe.
        (giant, WAITS, No(Kind::Protocol), false),
        (flood, WAITS, No(Kind::Protocol), false),
        (
            said("content-length: 2\r\ncontent-length: 3", "ok!"),
            WAITS,
            No(Kind::Protocol),
            false,
        ),
        (
            said("content-length: 2\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
            WAITS,
            No(Kind::Protocol),
            false,
        ),
        (said("transfer-encoding: gzip", "ok"), WAITS, No(Kind::Protocol), false),
        (
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            WAITS,
            No(Kind::Protocol),
            false,
        ),
        (said("content-length: two", "ok"), WAITS, No(Kind::Protocol), false),
        (said("x: a\0b", ""), WAITS, No(Kind::Protocol), false),
        (said("x : y", ""), WAITS, No(Kind::Protocol), false),
        (said("x: y\n", ""), WAITS, No(Kind::Protocol), false),
        (said("x: y\r\n z", ""), WAITS, No(Kind::Protocol), false),
        // Not HTTP/1 at all.
        ("<html>ok</html>".into(), WAITS, No(Kind::Protocol), false),
        ("HTTP/2.0 200 OK\r\n\r\n".into(), WAITS, No(Kind::Protocol), false),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
            WAITS,
            No(Kind::Protocol),
            false,
        ),
        (
            "\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0d".into(),
            WAITS,
            No(Kind::Protocol),
            false,
        ),
        (UPGRADE.into(), WAITS, No(Kind::Protocol), false),
    ] {
        let (listener, server) = listen(Protocol::Http).await;
        let upstream = build(settings(vec![server]));
        let (seen, stream) = tokio::join!(see(upstream.send(get("/"), 0)), async {
            let mut stream = accept(&listener).await;
            head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            (!closes).then_some(stream)
        });
        assert_eq!(seen, sees, "{answer:.80?}");
        assert_eq!(idle(&upstream.peers()[0]), usize::from(kept), "{answer:.80?}");
        assert_eq!(upstream.peers()[0].in_flight(), 0, "{answer:.80?}");
        // One that is not kept is closed.
        if let (Some(mut stream), false) = (stream, kept) {
            closed(&mut stream).await;
        }
    }
}

async fn see(sent: impl Future<Output = Result<Response<Body<Pieces>>, Error>>) -> Sees {
    let response = match tokio::time::timeout(LONG, sent).await.unwrap() {
        Ok(response) => response,
        Err(error) => {
            assert!(error.started, "{error}");
            return No(error.kind);
        }
    };
    let status = response.status().as_u16();
    match tokio::time::timeout(LONG, response.into_body().collect())
        .await
        .unwrap()
    {
        Ok(body) => Answer(status, String::from_utf8(body.to_bytes().to_vec()).unwrap().leak()),
        Err(error) => Half(error.kind),
    }
}

/// An upstream with one connection at rest, and the server's side of it.
async fn at_rest() -> (TcpListener, Arc<Upstream>, TcpStream) {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let (first, stream) = tokio::join!(upstream.send(get("/"), 0), async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        stream
    });
    assert_eq!(text(first.unwrap()).await, "ok");
    assert_eq!(idle(&upstream.peers()[0]), 1);
    (listener, upstream, stream)
}

#[tokio::test]
async fn an_answer_before_its_question_is_never_taken() {
    let (listener, upstream, mut stream) = at_rest().await;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        .await
        .unwrap();
    // The sweep finds it, and so does the one who would have been deceived: it is gone for both.
    let settled = async {
        while idle(&upstream.peers()[0]) != 0 {
            sweep(std::time::Instant::now());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, settled).await.unwrap();
    let (response, ()) = tokio::join!(upstream.send(get("/"), 0), async {
        let mut fresh = accept(&listener).await;
        head(&mut fresh).await;
        fresh
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
            .await
            .unwrap();
    });
    assert_eq!(text(response.unwrap()).await, "good");
    closed(&mut stream).await;
}

/// The request went out on a connection that the server was closing: nothing came back. One that may be repeated is.
#[tokio::test]
async fn only_what_may_be_repeated_is_repeated() {
    let with = |method: Method| {
        Request::builder()
            .method(method)
            .uri("/")
            .header("host", "shop.example")
            .body(Pieces(None))
            .unwrap()
    };
    for (method, again) in [
        (Method::GET, true),
        (Method::HEAD, true),
        (Method::OPTIONS, true),
        (Method::PUT, true),
        (Method::DELETE, true),
        (Method::TRACE, true),
        (Method::POST, false),
        (Method::PATCH, false),
    ] {
        let (listener, upstream, mut stream) = at_rest().await;
        let sent = see(upstream.send(with(method.clone()), 0));
        let (seen, ()) = tokio::join!(sent, async {
            // It took the request, and closes without a word.
            head(&mut stream).await;
            drop(stream);
            if again {
                let mut fresh = accept(&listener).await;
                assert!(head(&mut fresh).await.starts_with(method.as_str()));
                fresh.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        });
        assert_eq!(seen, if again { Answer(204, "") } else { No(Kind::Broken) }, "{method}");
    }
}

#[tokio::test]
async fn what_has_begun_to_be_answered_or_was_given_a_body_is_not_repeated() {
    // A byte of an answer came.
    let (listener, upstream, mut stream) = at_rest().await;
    let (seen, ()) = tokio::join!(see(upstream.send(get("/"), 0)), async {
        head(&mut stream).await;
        stream.write_all(b"H").await.unwrap();
        drop(stream);
    });
    assert_eq!(seen, No(Kind::Broken));
    // A piece of the body went out.
    let (other, upstream, mut stream) = at_rest().await;
    let (request, pieces) = with_body(Method::PUT);
    pieces.send(Ok("piece".into())).unwrap();
    let (seen, ()) = tokio::join!(see(upstream.send(request, 0)), async {
        head(&mut stream).await;
        stream.read_exact(&mut [0; 10]).await.unwrap();
        drop(stream);
    });
    assert_eq!(seen, No(Kind::Broken));
    // Nothing of it was there yet: that one is whole, and goes out again with all of it.
    let (third, upstream, mut stream) = at_rest().await;
    let (request, pieces) = with_body(Method::PUT);
    let (seen, ()) = tokio::join!(see(upstream.send(request, 0)), async {
        head(&mut stream).await;
        drop(stream);
        let mut fresh = accept(&third).await;
        head(&mut fresh).await;
        pieces.send(Ok("piece".into())).unwrap();
        drop(pieces);
        let mut body = [0; 15];
        fresh.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"5\r\npiece\r\n0\r\n\r\n");
        fresh.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    assert_eq!(seen, Answer(204, ""));
    for listener in [listener, other] {
        assert!(
            tokio::time::timeout(SHORT, listener.accept()).await.is_err(),
            "tried again"
        );
    }
}

#[tokio::test]
async fn an_answer_streams_while_the_request_still_does() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let (request, pieces) = with_body(Method::POST);
    let served = async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        // An echo, piece by piece.
        for _ in 0..3 {
            let mut piece = [0; 8];
            stream.read_exact(&mut piece).await.unwrap();
            stream.write_all(&piece).await.unwrap();
        }
        stream.read_exact(&mut [0; 5]).await.unwrap();
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        stream
    };
    let asked = async {
        let mut body = upstream.send(request, 0).await.unwrap().into_body();
        for piece in ["one", "two", "six"] {
            pieces.send(Ok(piece.into())).unwrap();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        }
        drop(pieces);
        assert!(body.frame().await.is_none());
    };
    let both = async { tokio::join!(served, asked) };
    let (_stream, ()) = tokio::time::timeout(LONG, both).await.unwrap();
    // Both are at their end: the connection is as good as new.
    assert_eq!((upstream.peers()[0].in_flight(), idle(&upstream.peers()[0])), (0, 1));
}

/// It has seen enough, says so and closes, while the rest of a large body is on its way.
#[tokio::test]
async fn an_answer_to_half_a_body_is_relayed() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let (request, pieces) = with_body(Method::POST);
    for _ in 0..64 {
        pieces.send(Ok(vec![0; 1 << 20].into())).unwrap();
    }
    let (seen, ()) = tokio::join!(see(upstream.send(request, 0)), async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        closed(&mut stream).await;
    });
    assert_eq!(seen, Answer(413, "no"));
    assert_eq!(idle(&upstream.peers()[0]), 0);
}

#[tokio::test]
async fn a_body_of_another_length_than_declared_is_an_error_and_ends_the_connection() {
    for (pieces, fault) in [
        (&["four", "more"][..], "longer"),
        (&["one"], "shorter"),
        (&[], "shorter"),
    ] {
        let (listener, server) = listen(Protocol::Http).await;
        let upstream = build(settings(vec![server]));
        let (mut request, sender) = with_body(Method::POST);
        request.headers_mut().insert("content-length", 4.into());
        for piece in pieces {
            sender.send(Ok(Bytes::from_static(piece.as_bytes()))).unwrap();
        }
        drop(sender);
        let (result, ()) = tokio::join!(upstream.send(request, 0), async {
            closed(&mut accept(&listener).await).await;
        });
        let error = failed(result);
        assert_eq!((error.kind, error.fault()), (Kind::RequestBody, Fault::Client));
        assert!(error.to_string().contains(fault), "{error}");
    }
    // Of one whose length is known beforehand not even the head goes out.
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let mut request = get("/");
    request.headers_mut().insert("content-length", 4.into());
    let (result, seen) = tokio::join!(upstream.send(request, 0), async {
        let mut seen = Vec::new();
        accept(&listener).await.read_to_end(&mut seen).await.unwrap();
        seen
    });
    assert_eq!(failed(result).kind, Kind::RequestBody);
    assert_eq!(seen, b"");
}

/// A piece, then trailers; of no length that is known beforehand.
struct Trailing(u8);

impl http_body::Body for Trailing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0 += 1;
        Poll::Ready(match self.0 {
            1 => Some(Ok(Frame::data(Bytes::from("abc")))),
            2 => Some(Ok(Frame::trailers(
                [("x-sum".parse().unwrap(), 7.into())].into_iter().collect(),
            ))),
            _ => None,
        })
    }
}

#[tokio::test]
async fn the_trailers_of_a_request_are_passed_on() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let request = Request::post("/a?b=%20").header("host", "h").body(Trailing(0)).unwrap();
    let (response, ()) = tokio::join!(upstream.send(request, 0), async {
        let mut stream = accept(&listener).await;
        let head = head(&mut stream).await;
        assert_eq!(
            head,
            "POST /a?b=%20 HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let mut body = [0; 23];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    assert_eq!(response.unwrap().status(), 204);
}

fn upgrading() -> Request<Pieces> {
    let mut request = get("/socket");
    request.headers_mut().insert("connection", "Upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "x".parse().unwrap());
    request
}

#[tokio::test]
async fn a_stream_that_switched_is_handed_over_with_what_came_behind_the_head() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let (response, mut server) = tokio::join!(upstream.send(upgrading(), 0), async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream.write_all(format!("{UPGRADE}first").as_bytes()).await.unwrap();
        stream
    });
    let mut response = response.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["upgrade"]),
        (101, &"x".parse::<http::HeaderValue>().unwrap())
    );
    assert!(http_body::Body::is_end_stream(response.body()));
    assert_eq!(upstream.peers()[0].in_flight(), 1);
    let mut stream = response.body_mut().switch().unwrap();
    assert!(response.body_mut().switch().is_none());
    drop(response);
    let mut seen = [0; 5];
    stream.read_exact(&mut seen[..2]).await.unwrap();
    stream.read_exact(&mut seen[2..]).await.unwrap();
    assert_eq!(&seen, b"first");
    stream.write_all(b"ping").await.unwrap();
    server.read_exact(&mut seen[..4]).await.unwrap();
    server.write_all(b"pong").await.unwrap();
    stream.read_exact(&mut seen[..4]).await.unwrap();
    assert_eq!(&seen[..4], b"pong");
    // It counts for as long as it is held.
    assert_eq!((upstream.peers()[0].in_flight(), upstream.limit.free()), (1, 99));
    drop(stream);
    assert_eq!((upstream.peers()[0].in_flight(), upstream.limit.free()), (0, 100));
    assert_eq!(idle(&upstream.peers()[0]), 0);
    closed(&mut server).await;
}

#[tokio::test]
async fn who_asks_to_switch_may_be_answered_otherwise_and_need_not_switch() {
    let (_listener, upstream, mut stream) = at_rest().await;
    let (response, ()) = tokio::join!(upstream.send(upgrading(), 0), async {
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno")
            .await
            .unwrap();
    });
    let mut response = response.unwrap();
    assert!(response.body_mut().switch().is_none());
    assert_eq!(text(response).await, "no");
    assert_eq!(idle(&upstream.peers()[0]), 1);
    // Dropped unused, it takes the connection with it.
    let (response, ()) = tokio::join!(upstream.send(upgrading(), 0), async {
        head(&mut stream).await;
        stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    });
    assert_eq!(text(response.unwrap()).await, "");
    assert_eq!((upstream.peers()[0].in_flight(), idle(&upstream.peers()[0])), (0, 0));
    closed(&mut stream).await;
}

/// Under TLS an end has to be said: what only stops coming may have been cut off by anybody.
#[tokio::test]
async fn under_tls_a_body_without_a_length_ends_with_a_notice_only() {
    let folder = tempfile::tempdir().unwrap();
    let acceptor = tls_server(folder.path(), &[]);
    for (said, sees) in [(true, Answer(200, "ok")), (false, Half(Kind::Broken))] {
        let (listener, server) = listen(Protocol::Https).await;
        let upstream = build(trusting(folder.path(), server));
        let (seen, ()) = tokio::join!(see(upstream.send(get("/"), 0)), async {
            let mut stream = acceptor.accept(accept(&listener).await).await.unwrap();
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok").await.unwrap();
            stream.flush().await.unwrap();
            if said {
                stream.shutdown().await.unwrap();
            }
        });
        assert_eq!(seen, sees);
        assert_eq!(idle(&upstream.peers()[0]), 0);
    }
}

#[tokio::test]
async fn what_tls_says_to_itself_while_idle_is_no_answer_but_its_notice_is_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let acceptor = tls_server(folder.path(), &[]);
    let (listener, server) = listen(Protocol::Https).await;
    let upstream = build(trusting(folder.path(), server));
    let (sender, mut news) = mpsc::unbounded_channel();
    let served = async {
        let mut stream = acceptor.accept(accept(&listener).await).await.unwrap();
        for _ in 0..2 {
            head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
            // New keys, as a session ticket, are a record that carries nothing of the application's.
            stream.get_mut().1.refresh_traffic_keys().unwrap();
            stream.flush().await.unwrap();
            sender.send(()).unwrap();
        }
        stream
    };
    let asked = async {
        for _ in 0..2 {
            assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
            news.recv().await.unwrap();
            // Time enough for the runtime to look at its sockets again and again.
            for _ in 0..500 {
                tokio::task::yield_now().await;
            }
            sweep(std::time::Instant::now());
            assert_eq!(idle(&upstream.peers()[0]), 1);
        }
    };
    let both = async { tokio::join!(served, asked) };
    let (mut stream, ()) = tokio::time::timeout(LONG, both).await.unwrap();
    stream.shutdown().await.unwrap();
    until_idle(&upstream, 0).await;
}

/// The server has reset a connection at rest, and the runtime has not looked yet: the first write fails, and not a byte of
/// the request has left. Whatever it is, it goes out on a fresh one, with its body.
#[tokio::test]
async fn what_has_not_begun_to_leave_is_sent_again_whatever_it_is() {
    let (listener, upstream, stream) = at_rest().await;
    let (request, pieces) = with_body(Method::POST);
    pieces.send(Ok("first".into())).unwrap();
    pieces.send(Ok("second".into())).unwrap();
    drop(pieces);
    stream.set_zero_linger().unwrap();
    drop(stream);
    let (seen, ()) = tokio::join!(see(upstream.send(request, 0)), async {
        let mut fresh = accept(&listener).await;
        assert!(head(&mut fresh).await.starts_with("POST / "));
        let mut body = [0; 26];
        fresh.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n");
        fresh.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    assert_eq!(seen, Answer(204, ""));
}

/// On a fresh connection an end without an answer is no race with anybody: the request was taken, or refused, and only a
/// configured retry sends it again.
#[tokio::test]
async fn what_a_fresh_connection_took_is_not_sent_again() {
    let (listener, server) = listen(Protocol::Http).await;
    let mut settings = settings(vec![server.clone(), server]);
    settings.retries = 0;
    let upstream = build(settings);
    let (seen, again) = tokio::join!(see(upstream.send(get("/"), 0)), async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        drop(stream);
        tokio::time::timeout(SHORT, listener.accept()).await.is_ok()
    });
    assert_eq!((seen, again), (No(Kind::Broken), false));
}

/// Long answers arrive whole, whatever they are framed by and however their bytes are cut.
#[tokio::test]
async fn long_answers_arrive_whole() {
    let body: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(30_011) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let head_only = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let answers = [chunked, [head_only.as_bytes(), &body].concat()];
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let served = async {
        let mut stream = accept(&listener).await;
        for answer in [&answers[0], &answers[1], &answers[0], &answers[1]] {
            head(&mut stream).await;
            for part in answer.chunks(100_003) {
                stream.write_all(part).await.unwrap();
            }
        }
        stream
    };
    let asked = async {
        for _ in 0..4 {
            let response = upstream.send(get("/"), 0).await.unwrap();
            assert!(response.into_body().collect().await.unwrap().to_bytes() == body);
            assert_eq!(idle(&upstream.peers()[0]), 1);
        }
    };
    let both = async { tokio::join!(served, asked) };
    tokio::time::timeout(LONG, both).await.unwrap();
}
