//! Which connection a request gets, and what becomes of it.

use std::io::Write;
use std::time::Instant;

use super::super::pool;
use super::*;

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_was_read() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let served = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        let first = head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            .await
            .unwrap();
        let second = head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n")
            .await
            .unwrap();
        let third = head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        (first, second, third)
    });
    // Spawned: the future is Send.
    let sender = upstream.clone();
    let first = tokio::spawn(async move { sender.send(get("/a?b=c"), 0).await })
        .await
        .unwrap()
        .unwrap();
    assert_eq!((upstream.peers()[0].in_flight(), idle(&upstream.peers()[0])), (1, 0));
    assert_eq!(text(first).await, "hello");
    assert_eq!((upstream.peers()[0].in_flight(), idle(&upstream.peers()[0])), (0, 1));
    assert_eq!(text(upstream.send(get("/b"), 0).await.unwrap()).await, "one");
    assert_eq!(idle(&upstream.peers()[0]), 1);
    let third = upstream.send(get("/c"), 0).await.unwrap();
    // Nothing has to be read of an answer without a body.
    assert_eq!(upstream.peers()[0].in_flight(), 0);
    assert_eq!(text(third).await, "");
    let (first, _, third) = served.await.unwrap();
    assert_eq!(first, "GET /a?b=c HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert!(third.starts_with("GET /c "));
}

#[tokio::test]
async fn a_connection_whose_answer_was_not_read_is_closed() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let sent = upstream.send(get("/"), 0);
    let served = async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            .await
            .unwrap();
        stream
    };
    let (response, mut stream) = tokio::join!(sent, served);
    let mut body = response.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    drop(body);
    assert_eq!((upstream.peers()[0].in_flight(), idle(&upstream.peers()[0])), (0, 0));
    closed(&mut stream).await;
}

#[tokio::test]
async fn a_connection_that_was_seen_to_die_is_not_used() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    tokio::spawn(async move {
        for _ in 0..3 {
            let mut stream = accept(&listener).await;
            head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
        }
    });
    for _ in 0..3 {
        assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
        until_idle(&upstream, 0).await;
    }
}

/// The server has closed, and the worker learns of it in the same moment in which a request comes: the pooled connection
/// is passed over, and the request goes out on a fresh one.
#[tokio::test]
async fn a_request_that_a_dying_connection_did_not_take_goes_to_a_fresh_one() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let (first, mut stream) = tokio::join!(upstream.send(get("/"), 0), async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        stream
    });
    assert_eq!(text(first.unwrap()).await, "ok");

    // A signal that arrives just before the end of the connection wakes the requesting task.
    let signals = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut ring = std::net::TcpStream::connect(signals.local_addr().unwrap()).unwrap();
    let mut bell = accept(&signals).await;
    let requesting = async {
        bell.read_u8().await.unwrap();
        let (request, body) = with_body(Method::POST);
        body.send(Ok("untouched".into())).unwrap();
        drop(body);
        upstream.send(request, 0).await
    };
    let dying = async {
        // Both are ready by the time the runtime looks at its sockets again.
        ring.write_all(b"!").unwrap();
        stream.shutdown().await.unwrap();
        let mut fresh = accept(&listener).await;
        assert!(head(&mut fresh).await.starts_with("POST / "));
        let mut body = [0; 19];
        fresh.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"9\r\nuntouched\r\n0\r\n\r\n");
        fresh
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain")
            .await
            .unwrap();
        fresh
    };
    let both = async { tokio::join!(requesting, dying) };
    let (response, _fresh) = tokio::time::timeout(LONG, both).await.expect("it never went out");
    assert_eq!(text(response.unwrap()).await, "again");
}

#[tokio::test]
async fn more_than_was_announced_is_never_taken_for_the_next_answer() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            )
            .await
            .unwrap();
        answer_all(accept(&listener).await).await;
    });
    assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
    assert_eq!(idle(&upstream.peers()[0]), 0);
    assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_ends_the_connection() {
    for body in [
        "content-length: 2\r\n\r\nno",
        "content-length: 0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    ] {
        let (listener, server) = listen(Protocol::Http).await;
        let upstream = build(settings(vec![server]));
        let (request, pieces) = with_body(Method::POST);
        pieces.send(Ok("first".into())).unwrap();
        let (response, mut stream) = tokio::join!(upstream.send(request, 0), async {
            let mut stream = accept(&listener).await;
            head(&mut stream).await;
            let answer = format!("HTTP/1.1 413 Too Large\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        });
        let response = response.unwrap();
        assert_eq!(response.status(), 413);
        text(response).await;
        assert_eq!(idle(&upstream.peers()[0]), 0, "{body}");
        closed(&mut stream).await;
        drop(pieces);
    }
}

#[tokio::test]
async fn idle_connections_end_after_a_minute_and_with_their_peer() {
    let (listener, server) = listen(Protocol::Http).await;
    tokio::spawn(async move {
        loop {
            tokio::spawn(answer_all(accept(&listener).await));
        }
    });
    let upstream = build(settings(vec![server]));
    text(upstream.send(get("/"), 0).await.unwrap()).await;
    let peer = Arc::downgrade(&upstream.peers()[0]);
    let now = Instant::now();
    sweep(now + Duration::from_secs(30));
    until_idle(&upstream, 1).await;
    text(upstream.send(get("/"), 0).await.unwrap()).await;
    // Its minute began anew.
    sweep(now + Duration::from_secs(70));
    until_idle(&upstream, 1).await;
    sweep(now + Duration::from_secs(100));
    assert_eq!(idle(&upstream.peers()[0]), 0);

    text(upstream.send(get("/"), 0).await.unwrap()).await;
    drop(upstream);
    assert_eq!((peer.strong_count(), pool::peers::<Pieces>()), (0, 1));
    sweep(now + Duration::from_secs(101));
    assert_eq!(pool::peers::<Pieces>(), 0);
}

#[tokio::test]
async fn only_so_many_idle_connections_are_kept() {
    let (listener, server) = listen(Protocol::Http).await;
    let mut settings = settings(vec![server]);
    settings.max_requests = 200;
    let upstream = build(settings);
    tokio::spawn(async move {
        loop {
            tokio::spawn(answer_all(accept(&listener).await));
        }
    });
    let mut open = Vec::new();
    for _ in 0..130 {
        open.push(upstream.send(get("/"), 0).await.unwrap());
    }
    for response in open {
        text(response).await;
    }
    assert_eq!(idle(&upstream.peers()[0]), 128);
}

#[tokio::test]
async fn what_a_reload_does_not_change_stays_the_same() {
    let (one, two, three) = (nobody().await, nobody().await, nobody().await);
    let first = rebuild(&Upstreams::default(), &[settings(vec![one.clone(), two.clone()])]).unwrap();
    let mut changed = settings(vec![two, three, one]);
    changed.response_timeout = SHORT;
    let second = rebuild(&first, &[changed.clone()]).unwrap();
    let (first, second) = (first.get("test").unwrap(), second.get("test").unwrap());
    assert!(Arc::ptr_eq(&first.peers()[0], &second.peers()[2]));
    assert!(Arc::ptr_eq(&first.peers()[1], &second.peers()[0]));
    assert_eq!(second.settings().response_timeout, SHORT);
    // Exchanges under way count on.
    let _turn = first.limit.turn(SHORT, "test").await.unwrap();
    changed.max_requests = 1;
    assert_eq!(second.limit.free(), 99);
    assert_eq!(rebuilt(Some(second), &changed).limit.free(), 1);
    assert!(rebuild(&Upstreams::default(), &[]).unwrap().get("test").is_none());
}
