//! What is sent again, and what never is.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A server that reads a request's head, says this, and closes; and how often it was asked.
async fn rude(said: &'static str) -> (Server, Arc<AtomicUsize>) {
    let (listener, server) = listen(Protocol::Http).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        loop {
            let mut stream = accept(&listener).await;
            head(&mut stream).await;
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(said.as_bytes()).await;
        }
    });
    (server, count)
}

/// A server that answers everything with `ok`.
async fn kind() -> Server {
    let (listener, server) = listen(Protocol::Http).await;
    tokio::spawn(async move {
        loop {
            tokio::spawn(answer_all(accept(&listener).await));
        }
    });
    server
}

fn bare(method: Method) -> Request<Pieces> {
    let mut request = get("/x");
    *request.method_mut() = method;
    request
}

#[tokio::test]
async fn an_idempotent_request_is_sent_again_when_no_byte_of_an_answer_came() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::DELETE, Method::PUT] {
        let (server, count) = rude("").await;
        let upstream = build(settings(vec![server, kind().await]));
        let response = upstream.send(bare(method.clone()), 0).await.unwrap();
        assert_eq!(response.status(), 200, "{method}");
        assert_eq!(count.load(Ordering::SeqCst), 1, "{method}");
        drop(response);
        assert!(upstream.peers().iter().all(|peer| peer.in_flight() == 0));
    }
}

#[tokio::test]
async fn what_may_have_been_acted_on_is_never_sent_again() {
    // A byte of an answer came.
    let (server, _) = rude("H").await;
    let upstream = build(settings(vec![server, kind().await]));
    let error = failed(upstream.send(bare(Method::GET), 0).await);
    assert_eq!((error.kind, error.started), (Kind::Broken, true), "{error}");
    // The method is not idempotent.
    for method in [Method::POST, Method::PATCH] {
        let (server, count) = rude("").await;
        let upstream = build(settings(vec![server, kind().await]));
        let error = failed(upstream.send(bare(method.clone()), 0).await);
        assert_eq!((error.kind, error.started), (Kind::Broken, true), "{method}: {error}");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
    // It has a body.
    let (server, _) = rude("").await;
    let upstream = build(settings(vec![server, kind().await]));
    let (request, pieces) = with_body(Method::PUT);
    pieces.send(Ok("one".into())).unwrap();
    let error = failed(upstream.send(request, 0).await);
    assert_eq!((error.kind, error.started), (Kind::Broken, true), "{error}");
    // Nobody asked for it.
    let (server, _) = rude("").await;
    let mut settings = settings(vec![server, kind().await]);
    settings.retries = 0;
    let error = failed(build(settings).send(bare(Method::GET), 0).await);
    assert_eq!(error.kind, Kind::Broken, "{error}");
}

#[tokio::test]
async fn retries_are_counted_over_all_servers() {
    let mut servers = Vec::new();
    let mut counts = Vec::new();
    for _ in 0..4 {
        let (server, count) = rude("").await;
        servers.push(server);
        counts.push(count);
    }
    let mut settings = settings(servers);
    settings.retries = 2;
    let error = failed(build(settings).send(bare(Method::GET), 0).await);
    assert_eq!((error.kind, error.started), (Kind::Broken, true), "{error}");
    let asked: usize = counts.iter().map(|count| count.load(Ordering::SeqCst)).sum();
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn a_request_with_a_body_goes_on_where_nothing_was_sent() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![nobody().await, server]));
    let (request, pieces) = with_body(Method::POST);
    pieces.send(Ok("one".into())).unwrap();
    drop(pieces);
    let (response, ()) = tokio::join!(upstream.send(request, 0), async {
        let mut stream = accept(&listener).await;
        assert!(head(&mut stream).await.starts_with("POST / HTTP/1.1\r\n"));
        let mut body = [0; 13];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"3\r\none\r\n0\r\n\r\n");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    assert_eq!(response.unwrap().status(), 204);
    // The server that was not there is left alone now.
    assert!(!upstream.peers()[0].is_healthy());
    assert!(upstream.peers()[1].is_healthy());
}

#[tokio::test]
async fn the_only_server_gets_a_request_again_if_it_had_closed_a_pooled_connection() {
    let (listener, server) = listen(Protocol::Http).await;
    let upstream = build(settings(vec![server]));
    let serving = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        // It takes the second one, and closes without a word: as if it had been about to close.
        assert!(head(&mut stream).await.starts_with("GET /2 "));
        drop(stream);
        let mut stream = accept(&listener).await;
        let second = head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        // On a fresh connection there is no such excuse.
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        second
    });
    assert_eq!(text(upstream.send(get("/1"), 0).await.unwrap()).await, "ok");
    let response = upstream.send(get("/2"), 0).await.unwrap();
    assert_eq!(response.status(), 204);
    drop(response);
    let other = build(upstream.settings().clone());
    assert_eq!(failed(other.send(get("/3"), 0).await).kind, Kind::Broken);
    assert_eq!(serving.await.unwrap(), "GET /2 HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert!(upstream.peers()[0].is_healthy());
}

#[tokio::test]
async fn a_slow_server_gets_no_second_request() {
    let (listener, server) = listen(Protocol::Http).await;
    let mut settings = settings(vec![server.clone(), server]);
    settings.response_timeout = SHORT;
    let upstream = build(settings);
    let (result, second) = tokio::join!(upstream.send(get("/"), 0), async {
        let stream = accept(&listener).await;
        let second = tokio::time::timeout(4 * SHORT, listener.accept()).await.is_ok();
        drop(stream);
        second
    });
    assert_eq!(failed(result).kind, Kind::Timeout);
    assert!(!second);
}

/// The preface and SETTINGS of a client, answered with SETTINGS; then the frames of it, by hand.
async fn http2_by_hand(listener: &TcpListener) -> TcpStream {
    let mut stream = accept(listener).await;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    stream
}

/// Reads frames up to the next HEADERS; the number of its stream.
async fn next_headers(stream: &mut TcpStream) -> u32 {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == 1 {
            return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        }
    }
}

const GOAWAY: u8 = 7;
const RST_STREAM: u8 = 3;

fn frame(kind: u8, stream: u32, words: &[u32]) -> Vec<u8> {
    let length = u8::try_from(words.len() * 4).unwrap();
    let mut frame = vec![0, 0, length, kind, 0];
    frame.extend(stream.to_be_bytes());
    for word in words {
        frame.extend(word.to_be_bytes());
    }
    frame
}

#[tokio::test]
async fn what_http2_says_was_not_processed_is_sent_again_whatever_the_method() {
    // RST_STREAM with REFUSED_STREAM, and GOAWAY with a last stream below ours.
    for refusal in [frame(RST_STREAM, 1, &[7]), frame(GOAWAY, 0, &[0, 0])] {
        let (listener, server) = listen(Protocol::H2c).await;
        let upstream = build(settings(vec![server, kind().await]));
        let refusing = tokio::spawn(async move {
            let mut stream = http2_by_hand(&listener).await;
            assert_eq!(next_headers(&mut stream).await, 1);
            stream.write_all(&refusal).await.unwrap();
            closed(&mut stream).await;
        });
        assert_eq!(text(upstream.send(bare(Method::POST), 0).await.unwrap()).await, "ok");
        assert!(upstream.peers()[0].is_healthy(), "it is alive and says so");
        drop((upstream, refusing));
    }
    // INTERNAL_ERROR, and GOAWAY with ours as the last stream: it may have been processed.
    for broken in [
        frame(RST_STREAM, 1, &[2]),
        [frame(GOAWAY, 0, &[1, 0]), frame(RST_STREAM, 1, &[2])].concat(),
    ] {
        let (listener, server) = listen(Protocol::H2c).await;
        let upstream = build(settings(vec![server, kind().await]));
        let breaking = tokio::spawn(async move {
            let mut stream = http2_by_hand(&listener).await;
            next_headers(&mut stream).await;
            stream.write_all(&broken).await.unwrap();
            closed(&mut stream).await;
        });
        let error = failed(upstream.send(bare(Method::POST), 0).await);
        assert!(error.started, "{error}");
        drop((upstream, breaking));
    }
}

#[tokio::test]
async fn a_dead_server_costs_one_attempt_and_is_left_alone() {
    let mut settings = settings(vec![nobody().await, kind().await]);
    settings.retries = 1;
    let upstream = build(settings);
    for _ in 0..20 {
        assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
    }
    assert!(!upstream.peers()[0].is_healthy());
}
