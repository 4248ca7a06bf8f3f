//! Fetching from servers that do their worst, and what a document makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Answer, Document, Error, Url, get};

/// A server that reads a head and then does as it is told, with how often it was asked.
async fn server<F, A>(answer: F) -> (Url, Arc<AtomicUsize>)
where
    F: Fn(TcpStream, usize, String) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let number = counted.fetch_add(1, Ordering::SeqCst);
            answer(stream, number, String::from_utf8(head).unwrap()).await;
        }
    });
    (url.parse().unwrap(), asked)
}

/// A server that always says this.
async fn saying(bytes: impl Into<Vec<u8>>) -> Url {
    let bytes = Arc::new(bytes.into());
    let say = move |mut stream: TcpStream, _, _| {
        let bytes = Arc::clone(&bytes);
        async move {
            // Whoever has had enough does not read to the end.
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
        }
    };
    server(say).await.0
}

fn ok(fields: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_document_comes_with_its_version_and_its_freshness() {
    let url = saying(ok("ETag: W/\"7\"\r\nCache-Control: max-age=9\r\n", "content")).await;
    let Ok(Answer::Fresh { body, etag, fresh_for }) = get(&url, None).await else {
        panic!("no document")
    };
    assert_eq!((&body[..], etag.as_deref()), (&b"content"[..], Some("W/\"7\"")));
    assert_eq!(fresh_for, Some(Duration::from_secs(9)));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncon\r\n4\r\ntent\r\n0\r\n\r\n";
    let answer = get(&saying(chunked).await, None).await;
    assert!(matches!(answer, Ok(Answer::Fresh { body, .. }) if &body[..] == b"content"));
}

#[tokio::test]
async fn whatever_else_comes_is_an_error_and_bounded() {
    let not_modified = "HTTP/1.1 304 Not Modified\r\n\r\n";
    assert!(matches!(
        get(&saying(not_modified).await, Some("x")).await,
        Ok(Answer::Unchanged { .. })
    ));
    assert!(matches!(
        get(&saying(not_modified).await, None).await,
        Err(Error::Redirect { .. })
    ));
    let redirect = "HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n";
    let error = get(&saying(redirect).await, None).await.unwrap_err();
    assert!(
        matches!(&error, Error::Redirect { status: 302, to } if to == "https://evil.example/"),
        "{error}"
    );
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    assert!(matches!(
        get(&saying(missing).await, None).await,
        Err(Error::Status(404))
    ));
    let giant = ok("", &"x".repeat((1 << 20) + 1));
    assert!(matches!(get(&saying(giant).await, None).await, Err(Error::TooLarge)));
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2 << 20));
    assert!(matches!(get(&saying(endless).await, None).await, Err(Error::TooLarge)));
    let largest = ok("", &"x".repeat(1 << 20));
    assert!(get(&saying(largest).await, None).await.is_ok());
    let fields = format!("X-Large: {}\r\n", "x".repeat(1 << 20));
    for broken in [
        ok("Content-Encoding: gzip\r\n", "x"),
        ok(&fields, "x"),
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "\u{16}\u{3}\u{1} no HTTP at all".to_owned(),
        String::new(),
    ] {
        let answer = get(&saying(broken.clone()).await, None).await;
        assert!(matches!(answer, Err(Error::Broken(_))), "{answer:?} for {broken:.60}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/").parse().unwrap();
    assert!(matches!(get(&url, None).await, Err(Error::Connect(_))));
}

#[tokio::test]
async fn a_server_that_drips_is_given_up() {
    let drip = |mut stream: TcpStream, _, _| async move {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            .await
            .unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (url, _) = server(drip).await;
    let begun = Instant::now();
    assert!(matches!(get(&url, None).await, Err(Error::Deadline)));
    assert!(begun.elapsed() >= Duration::from_secs(5));
}

fn text(bytes: &[u8]) -> Result<(String, String), String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() => Ok((text.to_owned(), "text".to_owned())),
        Ok(_) | Err(_) => Err("no text".to_owned()),
    }
}

/// A document of this server, and its generation.
fn document(url: &Url) -> (Document<String>, Arc<AtomicU64>) {
    let generation = Arc::new(AtomicU64::new(0));
    (Document::new("test", url, text, Arc::clone(&generation)), generation)
}

#[tokio::test]
async fn what_is_known_stays_until_something_better_comes() {
    let replies = ["one", "one", "", "\u{0}404", "two"];
    let answer = move |mut stream: TcpStream, number: usize, _| async move {
        let reply = match replies[number] {
            "\u{0}404" => "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
            body => ok("", body),
        };
        stream.write_all(reply.as_bytes()).await.unwrap();
    };
    let (url, _) = server(answer).await;
    let (document, generation) = document(&url);
    assert!(document.load().is_none() && document.is_doubtful());
    for (known, changes, good) in [
        ("one", 1, true),
        ("one", 1, true),
        ("one", 1, false),
        ("one", 1, false),
        ("two", 2, true),
    ] {
        assert_eq!(document.fetch().await.is_ok(), good);
        assert_eq!(document.load().unwrap().as_str(), known);
        assert_eq!(generation.load(Ordering::SeqCst), changes);
    }
}

#[tokio::test]
async fn many_questions_are_one_fetch_and_the_next_one_comes_a_minute_later() {
    let gate = Arc::new(Semaphore::new(1));
    let opened = Arc::clone(&gate);
    let answer = move |mut stream: TcpStream, _, _| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            stream.write_all(ok("", "one").as_bytes()).await.unwrap();
        }
    };
    let (url, asked) = server(answer).await;
    let (document, _) = document(&url);
    let keeping = tokio::spawn(document.clone().keep(Arc::new(crate::telemetry::Metrics::new(1))));
    // The first fetch answers the first question.
    document.ask(Duration::from_secs(30)).await;
    assert_eq!(document.load().unwrap().as_str(), "one");
    assert!(!document.is_doubtful(), "it was asked just now");
    document.ask(Duration::from_secs(30)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    keeping.abort();

    let (other, _) = super::tests::document(&url);
    opened.add_permits(1);
    other.fetch().await.unwrap();
    let keeping = tokio::spawn(other.clone().keep(Arc::new(crate::telemetry::Metrics::new(1))));
    // Nobody opens: all give up in their time, and all at once.
    let begun = Instant::now();
    let all: Vec<_> = (0..1000)
        .map(|_| {
            let other = other.clone();
            tokio::spawn(async move { other.ask(Duration::from_millis(300)).await })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert!(other.is_doubtful());
    opened.add_permits(1);
    other.ask(Duration::from_secs(30)).await;
    assert!(!other.is_doubtful());
    keeping.abort();
}
