//! Whole connections: bytes from a client, the guard, a real hyper server.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::codes::Code;
use crate::wire::settings::LINGER_BYTES;
use crate::wire::{Guarded, Phase, Settings, Violation, WireState};

/// A request as a service behind hyper saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// `None`: it did not come to its end.
    pub(super) body: Option<Bytes>,
    pub(super) trailers: Option<HeaderMap>,
}

/// Everything that happened on one connection.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) seen: Vec<Seen>,
    pub(super) violations: Vec<Violation>,
    pub(super) answer: String,
    pub(super) served: Result<(), hyper::Error>,
    pub(super) state: Arc<WireState>,
}

impl Played {
    /// The statuses of the answers, in order.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let lines = self.answer.split("HTTP/1.").skip(1);
        lines.filter_map(|line| line.get(2..5)?.parse().ok()).collect()
    }
}

type Log = Arc<Mutex<(Vec<Seen>, Vec<Violation>)>>;

/// What the gateway will do: violations first, then the request with all of its body.
async fn answer(request: Request<Incoming>, state: Arc<WireState>, log: Log) -> Response<Full<Bytes>> {
    let problem = |violation: Violation| {
        log.lock().unwrap().1.push(violation);
        let mut response = Response::new(Full::from(violation.detail));
        *response.status_mut() = violation.code.status();
        response
    };
    if let Some(violation) = state.take_violation() {
        return problem(violation);
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await;
    state.resume_http();
    let violation = body.as_ref().err().and_then(|error| Violation::find(error));
    let trailers = body.as_ref().ok().and_then(|body| body.trailers().cloned());
    log.lock().unwrap().0.push(Seen {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body: body.ok().map(|body| body.to_bytes()),
        trailers,
    });
    match violation {
        Some(violation) => problem(violation),
        None => Response::new(Full::from("fine")),
    }
}

async fn serve(io: DuplexStream, log: Log) -> (Result<(), hyper::Error>, Arc<WireState>) {
    let guarded = Guarded::new(io, Settings::default());
    let state = guarded.state().clone();
    let shared = state.clone();
    let service = service_fn(move |request| {
        let (state, log) = (shared.clone(), log.clone());
        async move { Ok::<_, Infallible>(answer(request, state, log).await) }
    });
    let served = http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(guarded), service)
        .await;
    (served, state)
}

/// Plays a client that sends `pieces`, closes its side, and reads everything; `width`: how many bytes fit the pipe at a time.
pub(super) async fn play(pieces: &[&[u8]], width: usize) -> Played {
    let (client, server) = duplex(width);
    let log = Log::default();
    let (mut reader, mut writer) = tokio::io::split(client);
    let send = async {
        for piece in pieces {
            // The server may have closed by then: what it answered is what counts.
            if writer.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let receive = async {
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let all = async { tokio::join!(serve(server, log.clone()), send, receive) };
    let ((served, state), (), answer) = tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("it hangs");
    let (seen, violations) = std::mem::take(&mut *log.lock().unwrap());
    Played {
        seen,
        violations,
        answer,
        served,
        state,
    }
}

const GOOD: &str = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str = "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x\r\n world\r\n0\r\nSum: 1\r\n\r\n";
const BAD: &str = "GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";

#[tokio::test]
async fn answers_come_in_order_and_the_refusal_last() {
    let input = [GOOD, POST, CHUNKED, GOOD, BAD, GOOD].concat();
    for width in [1, 7, 50, 64 * 1024] {
        let played = play(&[input.as_bytes()], width).await;
        assert_eq!(played.statuses(), [200, 200, 200, 200, 400], "{played:?}");
        assert!(played.answer.ends_with("the request has more than one Host header"));
        assert!(played.answer.contains("connection: close"));
        let paths: Vec<_> = played.seen.iter().map(|seen| seen.uri.path()).collect();
        assert_eq!(paths, ["/good", "/post", "/chunked", "/good"]);
        assert_eq!(played.seen[1].body.as_deref(), Some(b"hello".as_slice()));
        assert_eq!(played.seen[2].body.as_deref(), Some(b"hello world".as_slice()));
        assert_eq!(played.seen[2].trailers.as_ref().unwrap()["sum"], "1");
        assert_eq!(played.violations.len(), 1);
        assert!(played.served.is_ok());
        assert_eq!(played.state.heads(), 5);
        // Unless there is nothing to throw away, our side closes first and the rest is thrown away.
        assert_eq!(played.state.phase(), Phase::Lingering);
    }
}

#[tokio::test]
async fn a_violation_is_answered_with_its_code() {
    for (input, status) in [
        ("GET / HTTP/2.5\r\n\r\n", 505),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("\x16\x03\x01", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
        ),
    ] {
        let played = play(&[input.as_bytes()], 4096).await;
        assert_eq!(played.statuses(), [status], "{input:?} {played:?}");
        assert!(played.seen.is_empty() && played.served.is_ok());
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(17_000));
    assert_eq!(play(&[long.as_bytes()], 4096).await.statuses(), [414]);
}

#[tokio::test]
async fn a_bad_body_fails_the_read_with_its_reason() {
    for body in [
        "5\r\nhello5\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\r\nhello\r\nx\r\n",
        "5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
    ] {
        let input = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}{GOOD}");
        for width in [1, 9, 4096] {
            let played = play(&[GOOD.as_bytes(), input.as_bytes()], width).await;
            assert_eq!(played.statuses(), [200, 400], "{body:?} {played:?}");
            assert_eq!(played.seen.len(), 2);
            assert_eq!(played.seen[1].body, None);
            assert_eq!(played.violations, [played.state.violation().unwrap()]);
            assert_eq!(played.violations[0].code, Code::InvalidFraming);
            assert!(!played.state.request_is_complete());
        }
    }
}

#[tokio::test]
async fn ends_pass_through() {
    // Between messages, and in a head: hyper ends without an answer.
    for input in ["", "\r\n", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let played = play(&[input.as_bytes()], 4096).await;
        assert_eq!(played.answer, "", "{input:?}");
        assert!(played.served.is_ok() && played.seen.is_empty() && played.violations.is_empty());
    }
    let played = play(&[GOOD.as_bytes(), b"GET / HT"], 4096).await;
    assert_eq!(played.statuses(), [200]);
    // In a body: the read fails, and not with a violation.
    for cut in 1..30 {
        let played = play(&[&CHUNKED.as_bytes()[..CHUNKED.len() - cut]], 4096).await;
        assert_eq!((played.seen.len(), &played.seen[0].body), (1, &None), "{cut}");
        assert!(played.violations.is_empty());
    }
    let played = play(&[&POST.as_bytes()[..POST.len() - 1]], 4096).await;
    assert_eq!((played.seen.len(), &played.seen[0].body), (1, &None));
}

#[tokio::test]
async fn drip_by_drip() {
    let input = ["\r\n", GOOD, POST, "\r\n", CHUNKED, GOOD].concat();
    let pieces: Vec<_> = input.as_bytes().chunks(1).collect();
    let played = play(&pieces, 4096).await;
    assert_eq!(played.statuses(), [200, 200, 200, 200]);
}

#[tokio::test]
async fn heads_up_to_the_limit_pass_and_not_a_byte_more() {
    let head = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nA: ";
        format!("{start}{}\r\n\r\n", "b".repeat(bytes - start.len() - 4))
    };
    for width in [100, 8192, 1 << 20] {
        let input = [head(65_536), head(65_536), head(65_537)].concat();
        let played = play(&[input.as_bytes()], width).await;
        assert_eq!(played.statuses(), [200, 200, 431], "{width}");
        assert_eq!(played.seen[1].headers["a"].len(), 65_536 - 32);
    }
}

/// Reads from the guard as hyper would.
async fn read(guarded: &mut Guarded<DuplexStream>) -> String {
    let mut buf = [0; 8192];
    let count = guarded.read(&mut buf).await.unwrap();
    String::from_utf8(buf[..count].to_vec()).unwrap()
}

/// Whether there is nothing to read now.
async fn waits(guarded: &mut Guarded<DuplexStream>) -> bool {
    let mut buf = [0; 16];
    tokio::select! { biased; read = guarded.read(&mut buf) => panic!("{read:?}"), () = tokio::task::yield_now() => true }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn behind_an_upgrade_nothing_passes_before_the_decision() {
    for tunnel in [false, true] {
        let (mut client, server) = duplex(4096);
        let mut guarded = Guarded::new(server, Settings::default());
        let state = guarded.state().clone();
        assert!(!state.resume_http() && !state.switch_to_tunnel());
        client.write_all([UPGRADE, GOOD].concat().as_bytes()).await.unwrap();
        assert_eq!(read(&mut guarded).await, UPGRADE);
        assert!(waits(&mut guarded).await);
        assert_eq!(state.phase(), Phase::Upgrade);
        assert!(!state.waits_for_client_to_send());
        let reading = tokio::spawn(async move { (read(&mut guarded).await, guarded) });
        tokio::task::yield_now().await;
        assert!(if tunnel {
            state.switch_to_tunnel()
        } else {
            state.resume_http()
        });
        assert!(!state.resume_http() && !state.switch_to_tunnel());
        let (behind, mut guarded) = reading.await.unwrap();
        assert_eq!(behind, GOOD);
        assert_eq!(state.phase(), if tunnel { Phase::Tunnel } else { Phase::Idle });
        assert_eq!(state.heads(), if tunnel { 1 } else { 2 });
        client.write_all(b"\0anything").await.unwrap();
        let next = read(&mut guarded).await;
        if tunnel {
            assert_eq!(next, "\0anything");
            client.shutdown().await.unwrap();
            assert_eq!(read(&mut guarded).await, "");
        } else {
            assert!(!next.contains("Host"));
            assert_eq!(
                state.take_violation().map(|violation| violation.code),
                Some(Code::InvalidRequest)
            );
            assert_eq!(state.take_violation(), None);
        }
    }
}

#[tokio::test]
async fn what_was_withheld_can_be_taken_over() {
    let (mut client, server) = duplex(4096);
    let mut guarded = Guarded::new(server, Settings::default());
    client
        .write_all([UPGRADE, "\0frames"].concat().as_bytes())
        .await
        .unwrap();
    assert_eq!(read(&mut guarded).await, UPGRADE);
    let (mut stream, withheld) = guarded.into_parts();
    assert_eq!(withheld, b"\0frames");
    stream.write_all(b"back").await.unwrap();
}

/// An upgrade through hyper itself: 101, then bytes in both directions, with those that came early first.
#[tokio::test]
async fn an_upgrade_through_hyper() {
    let (mut client, server) = duplex(4096);
    let guarded = Guarded::new(server, Settings::default());
    let state = guarded.state().clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        assert!(state.switch_to_tunnel());
        tokio::spawn(async move {
            let mut tunnel = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
            let mut early = [0; 9];
            tunnel.read_exact(&mut early).await.unwrap();
            tunnel.write_all(&early).await.unwrap();
            tunnel.shutdown().await.unwrap();
        });
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(guarded), service)
        .with_upgrades();
    let serving = tokio::spawn(connection);
    client
        .write_all([UPGRADE, "\0frame\r\n\r"].concat().as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n\0frame\r\n\r"),
        "{answer:?}"
    );
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_registry_sees_where_the_client_is() {
    let (mut client, server) = duplex(4096);
    let mut guarded = Guarded::new(server, Settings::default());
    let state = guarded.state().clone();
    assert!(waits(&mut guarded).await);
    assert_eq!((state.phase(), state.heads(), state.received()), (Phase::Idle, 0, 0));
    client.write_all(b"\r\n").await.unwrap();
    assert!(waits(&mut guarded).await);
    assert_eq!((state.phase(), state.received()), (Phase::Idle, 2));
    client.write_all(&POST.as_bytes()[..10]).await.unwrap();
    assert!(waits(&mut guarded).await);
    assert_eq!(
        (state.phase(), state.heads(), state.waits_for_client_to_send()),
        (Phase::Head, 0, true)
    );
    client.write_all(&POST.as_bytes()[10..POST.len() - 1]).await.unwrap();
    assert_eq!(read(&mut guarded).await, ["\r\n", &POST[..POST.len() - 1]].concat());
    assert_eq!((state.phase(), state.heads()), (Phase::Body, 1));
    assert!(!state.waits_for_client_to_send() && !state.request_is_complete());
    assert!(waits(&mut guarded).await);
    assert!(state.waits_for_client_to_send());
    // Half of the next message with the end of this one.
    client.write_all(["o", &GOOD[..9]].concat().as_bytes()).await.unwrap();
    assert_eq!(read(&mut guarded).await, "o");
    assert_eq!((state.phase(), state.request_is_complete()), (Phase::Idle, true));
    assert!(waits(&mut guarded).await);
    assert_eq!(state.phase(), Phase::Head);
    // A client that does not take what it is sent.
    guarded.write_all(&[0; 4096]).await.unwrap();
    assert!(!state.waits_for_client_to_take());
    tokio::select! { biased; _ = guarded.write_all(&[0]) => panic!(), () = tokio::task::yield_now() => {} }
    assert!(state.waits_for_client_to_take());
    assert_eq!((state.sent(), state.received()), (4096, 2 + POST.len() as u64 + 9));
}

/// A kernel that closes a socket with unread bytes in it resets the connection, and the answer can be lost.
#[tokio::test]
async fn after_a_refusal_our_side_closes_first() {
    for keeps_sending in [false, true] {
        let (mut client, server) = duplex(4096);
        let log = Log::default();
        let guarded = Guarded::new(server, Settings::default());
        let state = guarded.state().clone();
        let shared = state.clone();
        let service = service_fn(move |request| {
            let (state, log) = (shared.clone(), log.clone());
            async move { Ok::<_, Infallible>(answer(request, state, log).await) }
        });
        let serving = tokio::spawn(
            http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(guarded), service),
        );
        client.write_all(BAD.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "));
        assert_eq!(state.phase(), Phase::Lingering);
        // What still comes is taken and thrown away.
        client.write_all(&[b'x'; LINGER_BYTES / 2]).await.unwrap();
        assert!(!serving.is_finished());
        if keeps_sending {
            let _ = client.write_all(&[b'x'; LINGER_BYTES]).await;
        } else {
            client.shutdown().await.unwrap();
        }
        tokio::time::timeout(Duration::from_secs(20), serving)
            .await
            .expect("patience has an end")
            .unwrap()
            .unwrap();
    }
}

/// What hyper makes of the end of the stream could cost the answer, so behind a refused head there is not even that.
#[tokio::test]
async fn behind_a_refused_head_there_is_nothing() {
    let (mut client, server) = duplex(4096);
    let mut guarded = Guarded::new(server, Settings::default());
    client.write_all([BAD, GOOD].concat().as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let harmless = read(&mut guarded).await;
    assert!(!harmless.contains("bad") && !harmless.to_lowercase().contains("host"));
    assert!(waits(&mut guarded).await && waits(&mut guarded).await);
    assert_eq!(guarded.state().phase(), Phase::Refused);
    assert!(!guarded.state().waits_for_client_to_send());
}

#[test]
fn it_can_be_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<WireState>();
    shared::<Guarded<DuplexStream>>();
    assert!(Settings::new(65_536).is_some_and(|settings| settings == Settings::default()));
    assert_eq!((Settings::new(4095), Settings::new(262_145)), (None, None));
    assert!(size_of::<Guarded<()>>() <= 320, "{}", size_of::<Guarded<()>>());
}
