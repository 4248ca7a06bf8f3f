//! What goes over the wire, and what becomes of it when it goes wrong.

use std::error::Error as _;

use super::*;

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_no_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let (listener, server) = listen(Protocol::Http).await;
        let upstream = build(settings(vec![server]));
        let (response, ()) = tokio::join!(upstream.send(get("/"), 0), async {
            let mut stream = accept(&listener).await;
            head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let error = response.unwrap().into_body().collect().await.unwrap_err();
        assert_eq!(
            (error.kind, error.fault(), error.started),
            (Kind::Broken, Fault::Upstream, true),
            "{error}"
        );
        assert_eq!((upstream.peers()[0].in_flight(), idle(&upstream.peers()[0])), (0, 0));
    }
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_and_not_tried_again() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    for (answer, kind) in [
        ("HTTP/1.1 200 O", Kind::Broken),
        ("SSH-2.0-OpenSSH_9.2\r\n", Kind::Protocol),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            Kind::Protocol,
        ),
        ("HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n", Kind::Protocol),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            Kind::Protocol,
        ),
        (large.as_str(), Kind::Protocol),
    ] {
        let (listener, server) = listen(Protocol::Http).await;
        let upstream = build(settings(vec![server.clone(), server]));
        let (result, second) = tokio::join!(upstream.send(get("/"), 0), async {
            let mut stream = accept(&listener).await;
            head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            drop(stream);
            tokio::time::timeout(SHORT, listener.accept()).await.is_ok()
        });
        let error = failed(result);
        assert_eq!((error.kind, error.started), (kind, true), "{answer:.60}: {error}");
        assert!(error.to_string().starts_with("http://127.0.0.1:"), "{error}");
        assert!(!second, "tried again: {answer:.60}");
        assert_eq!((upstream.peers()[0].in_flight(), idle(&upstream.peers()[0])), (0, 0));
    }
}

#[tokio::test]
async fn interim_responses_are_consumed() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let (response, ()) = tokio::join!(upstream.send(get("/"), 0), async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
    });
    let response = response.unwrap();
    assert!(!response.headers().contains_key("link"));
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_given_up() {
    let (listener, server) = listen(Protocol::Http).await;
    let mut settings = settings(vec![server]);
    settings.response_timeout = SHORT;
    let upstream = build(settings);
    let (result, mut stream) = tokio::join!(upstream.send(get("/"), 0), accept(&listener));
    let error = failed(result);
    assert_eq!((error.kind, error.started), (Kind::Timeout, true), "{error}");
    // It is told, too.
    closed(&mut stream).await;
    assert_eq!(upstream.peers()[0].in_flight(), 0);

    // The same with a deadline that somebody else keeps.
    let (late, overdue) = tokio::sync::oneshot::channel();
    let sent = upstream.send_unless(get("/"), 0, async {
        let _ = overdue.await;
    });
    let (result, _stream) = tokio::join!(sent, async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        late.send(()).unwrap();
        stream
    });
    assert_eq!(failed(result).kind, Kind::Timeout);
}

#[tokio::test]
async fn an_upload_arrives_in_pieces_and_its_failure_is_the_clients() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let (request, pieces) = with_body(Method::PUT);
    pieces.send(Ok("one".into())).unwrap();
    let (result, ()) = tokio::join!(upstream.send(request, 0), async {
        let mut stream = accept(&listener).await;
        let head = head(&mut stream).await;
        assert_eq!(
            head,
            "PUT / HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let mut piece = [0; 8];
        stream.read_exact(&mut piece).await.unwrap();
        assert_eq!(&piece, b"3\r\none\r\n");
        pieces.send(Err(io::Error::other("the cable was cut"))).unwrap();
        // No end that could be taken for a whole body.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    });
    let error = failed(result);
    assert_eq!((error.kind, error.fault()), (Kind::RequestBody, Fault::Client));
    let cause = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(cause.to_string(), "the cable was cut");
}

#[tokio::test]
async fn the_body_of_a_get_is_not_lost() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let (request, pieces) = with_body(Method::GET);
    pieces.send(Ok("query".into())).unwrap();
    drop(pieces);
    let (response, ()) = tokio::join!(upstream.send(request, 0), async {
        let mut stream = accept(&listener).await;
        assert!(head(&mut stream).await.contains("transfer-encoding: chunked\r\n"));
        let mut body = [0; 15];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"5\r\nquery\r\n0\r\n\r\n");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    assert_eq!(response.unwrap().status(), 204);
}

#[tokio::test]
async fn a_request_without_host_gets_the_servers_own() {
    let (listener, server) = listen(Protocol::Http).await;
    let Place::Tcp { port, .. } = server.place else {
        panic!()
    };
    // The first one refuses; its name must not stick.
    let mut refusing = nobody().await;
    if let Place::Tcp { host, .. } = &mut refusing.place {
        *host = "localhost".into();
    }
    let upstream = build(settings(vec![refusing, server]));
    let request = Request::get("/").body(Pieces(None)).unwrap();
    let (response, seen) = tokio::join!(upstream.send(request, 0), async {
        let mut stream = accept(&listener).await;
        let seen = head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        seen
    });
    response.unwrap();
    assert_eq!(seen, format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"));
}

#[tokio::test]
async fn one_request_at_a_time_and_the_others_wait_for_so_long() {
    let (listener, server) = listen(Protocol::Http).await;
    tokio::spawn(async move {
        loop {
            tokio::spawn(answer_all(accept(&listener).await));
        }
    });
    let mut settings = settings(vec![server]);
    settings.max_requests = 1;
    settings.queue_timeout = SHORT;
    let upstream = build(settings.clone());
    let under_way = upstream.send(get("/"), 0).await.unwrap();
    let error = failed(upstream.send(get("/"), 0).await);
    assert_eq!(
        (error.kind, error.fault(), error.started),
        (Kind::Busy, Fault::Gateway, false),
        "{error}"
    );
    assert_eq!(text(under_way).await, "ok");
    // A turn ends with its answer, whether that was read …
    drop(upstream.send(get("/"), 0).await.unwrap());
    // … or not.
    assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");

    settings.queue_timeout = LONG;
    let upstream = build(settings);
    let under_way = upstream.send(get("/"), 0).await.unwrap();
    let (waited, read) = tokio::join!(biased; upstream.send(get("/"), 0), text(under_way));
    assert_eq!((text(waited.unwrap()).await.as_str(), read.as_str()), ("ok", "ok"));
}

#[tokio::test]
async fn a_moving_upload_is_not_late_a_resting_one_is() {
    let resting = || super::super::send::overdue(SHORT, None);
    tokio::time::timeout(LONG, resting()).await.unwrap();
    let (request, pieces) = with_body(Method::POST);
    pieces.send(Ok("piece".into())).unwrap();
    let mut outgoing = super::super::body::Outgoing::new(request.into_body());
    let progress = outgoing.progress().unwrap();
    let begun = progress.latest();
    tokio::time::sleep(Duration::from_millis(5)).await;
    outgoing.frame().await.unwrap().unwrap();
    assert!(progress.latest() > begun);
    let before = tokio::time::Instant::now();
    super::super::send::overdue(SHORT, Some(progress.clone())).await;
    assert!(before.elapsed() >= SHORT);
    assert!(tokio::time::Instant::now() >= progress.latest() + SHORT);
}
