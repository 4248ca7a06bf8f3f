//! HTTP/2 with prior knowledge.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWrite;

use super::*;

/// Answers every request with its version, target and body.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(async |request: Request<Incoming>| {
        assert!(!request.headers().contains_key("host") && !request.headers().contains_key("connection"));
        let (head, body) = request.into_parts();
        let target = format!("{:?} {}", head.version, head.uri);
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(
            [target.as_bytes(), &body].concat(),
        ))))
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn served() -> (Arc<Upstream>, Arc<AtomicUsize>, tokio::task::JoinHandle<()>) {
    let (listener, server) = listen(Protocol::H2c).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let serving = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let stream = accept(&listener).await;
            counted.fetch_add(1, Ordering::SeqCst);
            connections.spawn(serve(stream));
        }
    });
    (build(settings(vec![server])), count, serving)
}

#[tokio::test]
async fn all_requests_share_one_connection() {
    let (upstream, count, _serving) = served().await;
    let mut sent = Vec::new();
    for number in 0..20 {
        let upstream = upstream.clone();
        sent.push(tokio::spawn(async move {
            let mut request = get(&format!("/{number}"));
            request
                .headers_mut()
                .insert("connection", "keep-alive".parse().unwrap());
            text(upstream.send(request, 0).await.unwrap()).await
        }));
    }
    for (number, sent) in sent.into_iter().enumerate() {
        assert_eq!(sent.await.unwrap(), format!("HTTP/2.0 http://shop.example/{number}"));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!((upstream.peers()[0].in_flight(), idle(&upstream.peers()[0])), (0, 1));

    let (request, pieces) = with_body(Method::POST);
    for piece in [" one", " two"] {
        pieces.send(Ok(piece.into())).unwrap();
    }
    drop(pieces);
    let response = upstream.send(request, 0).await.unwrap();
    assert_eq!(text(response).await, "HTTP/2.0 http://shop.example/ one two");

    // Idle for a minute, and only then.
    let now = Instant::now();
    sweep(now + Duration::from_secs(50));
    assert_eq!(idle(&upstream.peers()[0]), 1);
    let under_way = upstream.send(get("/"), 0).await.unwrap();
    sweep(now + Duration::from_secs(120));
    assert_eq!(idle(&upstream.peers()[0]), 1);
    text(under_way).await;
    sweep(now + Duration::from_secs(190));
    assert_eq!(idle(&upstream.peers()[0]), 0);
    assert_eq!(
        text(upstream.send(get("/x"), 0).await.unwrap()).await,
        "HTTP/2.0 http://shop.example/x"
    );
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_that_ended_is_made_anew() {
    let (listener, server) = listen(Protocol::H2c).await;
    let upstream = build(settings(vec![server]));
    for number in 0..3 {
        let asking = async {
            let answer = text(upstream.send(get("/"), 0).await.unwrap()).await;
            assert_eq!(answer, "HTTP/2.0 http://shop.example/", "round {number}");
        };
        tokio::select! {
            () = async { serve(accept(&listener).await).await } => panic!("closed by the client"),
            () = asking => {}
        }
        until_idle(&upstream, 0).await;
    }
}

#[tokio::test]
async fn those_who_wait_for_a_connection_fail_together_and_survive_each_other() {
    let refusing = Server {
        protocol: Protocol::H2c,
        ..nobody().await
    };
    let upstream = build(settings(vec![refusing]));
    let (one, two) = tokio::join!(upstream.send(get("/"), 0), upstream.send(get("/"), 0));
    for result in [one, two] {
        let error = failed(result);
        assert_eq!((error.kind, error.started), (Kind::Connect, false), "{error}");
    }

    // The one who connects goes away; another one connects instead.
    let (upstream, count, _serving) = served().await;
    let mut gone = Box::pin(upstream.send(get("/gone"), 0));
    let mut stays = Box::pin(upstream.send(get("/stays"), 0));
    std::future::poll_fn(|cx| {
        assert!(gone.as_mut().poll(cx).is_pending());
        assert!(stays.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(gone);
    assert_eq!(text(stays.await.unwrap()).await, "HTTP/2.0 http://shop.example/stays");
    assert!(count.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_body_that_fails_is_the_clients_fault_here_too() {
    let (upstream, _count, _serving) = served().await;
    let (request, pieces) = with_body(Method::POST);
    pieces.send(Ok("half".into())).unwrap();
    pieces.send(Err(io::Error::other("the cable was cut"))).unwrap();
    let error = failed(upstream.send(request, 0).await);
    assert_eq!(error.kind, Kind::RequestBody, "{error}");
    // The connection is none the worse for it.
    assert_eq!(
        text(upstream.send(get("/"), 0).await.unwrap()).await,
        "HTTP/2.0 http://shop.example/"
    );
}
