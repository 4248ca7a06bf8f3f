//! Streams of events: each piece passes as soon as it is there, whatever comes after it.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{connect, get, server};
use crate::path::gate::{Gate, open_to};
use crate::support::PATIENCE;
use crate::support::raw::RawClient;

/// A body that is told its pieces.
pub struct Told(pub tokio::sync::mpsc::Receiver<Frame<Bytes>>);

impl hyper::body::Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

/// A server that sends an event each time it is told to, in chunks or without a length.
fn events(chunked: bool) -> (SocketAddr, mpsc::Sender<u32>) {
    let (tell, told) = mpsc::channel::<u32>();
    let told = Arc::new(Mutex::new(told));
    let address = server(move |mut stream| {
        read_head(&mut stream);
        let framing = if chunked {
            "Transfer-Encoding: chunked"
        } else {
            "Connection: close"
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n"
        )
        .unwrap();
        while let Ok(number) = told.lock().unwrap().recv() {
            let event = format!("data: {number}\n\n");
            let sent = match chunked {
                true => write!(stream, "{:x}\r\n{event}\r\n", event.len()),
                false => write!(stream, "{event}"),
            };
            sent.unwrap();
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
    });
    (address, tell)
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Reads until this has come.
fn read_until(stream: &mut impl Read, wanted: &str) {
    let mut read = String::new();
    while !read.contains(wanted) {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{read:?} and the end, instead of {wanted:?}");
        read.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
}

#[test]
fn each_event_comes_before_the_next_is_sent() {
    for chunked in [true, false] {
        let (address, tell) = events(chunked);
        let gate = Gate::start(&open_to(&format!("http://{address}")));
        let mut client = connect(gate.address());
        write!(client, "{}", get("/events", "Accept: text/event-stream\r\n")).unwrap();
        let head = read_head(&mut client).to_lowercase();
        assert!(
            head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream"),
            "{head}"
        );
        for number in 0..20 {
            tell.send(number).unwrap();
            read_until(&mut client, &format!("data: {number}\n\n"));
        }
        drop(tell);
        let mut rest = Vec::new();
        if chunked {
            read_until(&mut client, "0\r\n\r\n");
        } else {
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            drop(client.shutdown(std::net::Shutdown::Write));
            client.read_to_end(&mut rest).unwrap();
        }
    }
}

#[test]
fn each_event_comes_before_the_next_is_sent_over_http2() {
    let (address, tell) = events(true);
    let gate = Gate::with_tls(&open_to(&format!("http://{address}")));
    over_http2(&gate, async |mut sender| {
        let request = Request::get("https://localhost/events")
            .body(Told(tokio::sync::mpsc::channel(1).1))
            .unwrap();
        let mut response = sender.send_request(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        for number in 0..20 {
            tell.send(number).unwrap();
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), format!("data: {number}\n\n"));
        }
    });
}

/// An HTTP/2 client of a gate with TLS.
pub fn over_http2(gate: &Gate, work: impl AsyncFnOnce(hyper::client::conn::http2::SendRequest<Told>)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let working = async {
        let stream = tokio::net::TcpStream::connect(gate.listener(1)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(gate.authority().trusting_client(&["h2"])));
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        work(sender).await;
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, working).await.expect("it ends") });
}

/// A server that tells of each piece of a body as it comes.
fn listening() -> (SocketAddr, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let address = server(move |mut stream| {
        read_head(&mut stream);
        let mut piece = [0; 1024];
        loop {
            let count = stream.read(&mut piece).unwrap();
            let text = String::from_utf8_lossy(&piece[..count]).into_owned();
            let last = text.ends_with("0\r\n\r\n") || count == 0;
            tell.send(text).unwrap();
            if last {
                break;
            }
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
            .unwrap();
    });
    (address, told)
}

/// Waits until the pieces together hold this.
fn hear(told: &mpsc::Receiver<String>, wanted: &str) {
    let mut heard = String::new();
    while !heard.contains(wanted) {
        heard.push_str(
            &told
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("{heard:?}, never {wanted:?}")),
        );
    }
}

/// The same for a runtime of one thread, which must go on meanwhile.
async fn hear_async(told: &mpsc::Receiver<String>, wanted: &str) {
    let mut heard = String::new();
    while !heard.contains(wanted) {
        heard.extend(told.try_iter());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn each_piece_of_an_upload_comes_before_the_next_is_sent() {
    let (address, told) = listening();
    let gate = Gate::with_tls(&open_to(&format!("http://{address}")));
    let mut client = gate.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for number in 0..10 {
        client.send(format!("7\r\npiece {number}\r\n"));
        hear(&told, &format!("piece {number}"));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "done");

    over_http2(&gate, async |mut sender| {
        let (tell, body) = tokio::sync::mpsc::channel(1);
        let request = Request::post("https://localhost/").body(Told(body)).unwrap();
        let answer = tokio::spawn(sender.send_request(request));
        for number in 0..10 {
            tell.send(Frame::data(Bytes::from(format!("piece {number}"))))
                .await
                .unwrap();
            hear_async(&told, &format!("piece {number}")).await;
        }
        drop(tell);
        let body = answer.await.unwrap().unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "done");
    });
}

#[test]
fn a_client_that_leaves_a_stream_of_events_is_missed_by_the_server() {
    let (tell, told) = mpsc::channel();
    let address = server(move |mut stream| {
        read_head(&mut stream);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        write!(stream, "{head}").unwrap();
        // A client that has closed its side may still be reading: what is sent to it tells.
        while write!(stream, "9\r\ndata: 1\n\n\r\n").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
        tell.send(()).unwrap();
    });
    let gate = Gate::start(&open_to(&format!("http://{address}")));
    let mut client = connect(gate.address());
    write!(client, "{}", get("/events", "")).unwrap();
    read_until(&mut client, "data: 1");
    drop(client);
    told.recv_timeout(PATIENCE).expect("the server is told");
}

#[test]
fn a_client_that_waits_for_continue_is_told_when_the_server_takes_the_body() {
    let (address, told) = listening();
    let gate = Gate::start(&open_to(&format!("http://{address}")));
    let mut client = RawClient::connect(gate.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("5\r\nhello\r\n0\r\n\r\n");
    hear(&told, "hello");
    assert_eq!(client.response().text(), "done");
}

#[test]
fn a_stream_that_is_given_up_over_http2_is_missed_at_once() {
    let (tell, told) = mpsc::channel();
    let address = server(move |mut stream| {
        read_head(&mut stream);
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
        )
        .unwrap();
        // Nothing more is sent, and still the end comes.
        tell.send(stream.read(&mut [0; 16]).unwrap_or(0)).unwrap();
    });
    let gate = Gate::with_tls(&open_to(&format!("http://{address}")));
    over_http2(&gate, async |mut sender| {
        let request = Request::get("https://localhost/")
            .body(Told(tokio::sync::mpsc::channel(1).1))
            .unwrap();
        let mut response = sender.send_request(request).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        drop(response);
        loop {
            match told.try_recv() {
                Ok(read) => break assert_eq!(read, 0),
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
}
