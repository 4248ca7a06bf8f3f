//! Waiting for a turn.

use std::cell::RefCell;

use super::*;

/// An upstream with so many turns, all of them taken, and what holds them.
async fn full(size: usize, queue_timeout: Duration) -> (Arc<Upstream>, Vec<limit::Turn>) {
    let mut settings = settings(vec![nobody().await]);
    (settings.max_requests, settings.queue_timeout) = (size, queue_timeout);
    let upstream = build(settings);
    let mut turns = Vec::new();
    for _ in 0..size {
        turns.push(upstream.limit.turn(LONG, "test").await.unwrap());
    }
    (upstream, turns)
}

#[tokio::test]
async fn who_came_first_is_served_first_and_who_goes_away_makes_room() {
    let (upstream, mut turns) = full(1, LONG).await;
    let served = RefCell::new(Vec::new());
    let wait = |number: usize| {
        let (upstream, served) = (&upstream, &served);
        Box::pin(async move {
            let turn = upstream.limit.turn(LONG, "test").await.unwrap();
            served.borrow_mut().push(number);
            turn
        })
    };
    let mut waiting: Vec<_> = (0..5).map(wait).collect();
    std::future::poll_fn(|cx| {
        for waiting in &mut waiting {
            assert!(waiting.as_mut().poll(cx).is_pending());
        }
        Poll::Ready(())
    })
    .await;
    // The second one has had enough.
    drop(waiting.remove(1));
    for mut next in waiting {
        drop(turns.pop());
        turns.push(next.as_mut().await);
    }
    assert_eq!(*served.borrow(), [0, 2, 3, 4]);
    drop(turns);
    assert_eq!(upstream.limit.free(), 1);
}

#[tokio::test]
async fn the_queue_is_short_and_the_wait_bounded() {
    let (upstream, turns) = full(3, SHORT).await;
    // As many as there are turns may wait, but not fewer than 64.
    let mut waiting: Vec<_> = (0..65).map(|_| Box::pin(upstream.send(get("/"), 0))).collect();
    let busy = std::future::poll_fn(|cx| {
        let mut busy = 0;
        waiting.retain_mut(|one| match one.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Err(error)) => {
                assert_eq!((error.kind, error.fault()), (Kind::Busy, Fault::Gateway), "{error}");
                assert!(error.to_string().contains("64 requests wait already"), "{error}");
                busy += 1;
                false
            }
            Poll::Ready(Ok(_)) => panic!("there is no turn"),
        });
        Poll::Ready(busy)
    })
    .await;
    assert_eq!((busy, waiting.len()), (1, 64));
    for one in waiting {
        let error = failed(one.await);
        assert_eq!((error.kind, error.started), (Kind::Busy, false), "{error}");
    }
    drop(turns);
    // The places in the queue are free again.
    assert_eq!(failed(upstream.send(get("/"), 0).await).kind, Kind::Connect);
    assert_eq!(upstream.limit.free(), 3);
}

#[tokio::test]
async fn a_turn_is_held_to_the_end_of_the_body() {
    let (listener, server) = listen(Protocol::Http).await;
    let mut settings = settings(vec![server]);
    (settings.max_requests, settings.queue_timeout) = (1, Duration::ZERO);
    let upstream = build(settings);
    let (response, mut stream) = tokio::join!(upstream.send(get("/"), 0), async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
            .await
            .unwrap();
        stream
    });
    let response = response.unwrap();
    assert_eq!(failed(upstream.send(get("/"), 0).await).kind, Kind::Busy);
    stream.write_all(b"ok").await.unwrap();
    assert_eq!(text(response).await, "ok");
    assert_eq!(upstream.limit.free(), 1);
    // And no longer where somebody loses interest in it.
    let (response, _stream) = tokio::join!(upstream.send(get("/"), 0), async {
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
            .await
            .unwrap();
    });
    assert_eq!(upstream.limit.free(), 0);
    drop(response.unwrap());
    assert_eq!((upstream.limit.free(), upstream.peers()[0].in_flight()), (1, 0));
}
