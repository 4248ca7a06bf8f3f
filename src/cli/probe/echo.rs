//! `doorward probe --echo ADDRESS`: the backend that a chain under test leads to. It answers with the request exactly as it
//! received it.

use std::io::{self, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::message::{self, Kind, Message};
use crate::cli::{Failure, terminal};

/// The member by which a probe knows that it was this that answered.
pub const MARK: &str = "doorward_probe_echo";

/// The field by which it knows so of an answer without a body.
pub const HEAD_MARK: &str = "doorward-probe-echo";

/// Connections at once; more are closed.
const MOST: usize = 256;

/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Serves until Ctrl-C, which is how it is meant to end.
pub fn serve(address: SocketAddr) -> Result<(), Failure> {
    let failed = |error| Failure::run(format!("cannot listen on {address}"), error, "choose a free port, or 0");
    let listener = TcpListener::bind(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let unheard = |error: io::Error| Failure::run("cannot listen for signals", error, "the system must allow it");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(unheard)?;
    // Before anybody is told that it runs, and may end it.
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        let listen = |kind| signal(kind).map_err(unheard);
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
    };
    terminal::print(&format!(
        "The echo backend listens on http://{address}. Lead the chain's protected upstream here, then run\n\
         `doorward probe URL` in another terminal. Ctrl-C ends it.\n"
    ))?;
    let id = id()?;
    std::thread::Builder::new()
        .spawn(move || accept(&listener, &id))
        .map_err(|error| Failure::run("no thread could be started", error, "the system must give one"))?;
    runtime.block_on(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    Ok(())
}

/// By which a probe tells one echo from another: which backend was it?
fn id() -> Result<Arc<str>, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Failure::run("no randomness", error, "the system must give some"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)).into())
}

fn accept(listener: &TcpListener, id: &Arc<str>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, most likely: it passes.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if open.fetch_add(1, Ordering::AcqRel) >= MOST {
            open.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (count, id) = (Arc::clone(&open), Arc::clone(id));
        let serving = std::thread::Builder::new().spawn(move || {
            // What the chain breaks off needs no word.
            converse(&stream, &id).ok();
            count.fetch_sub(1, Ordering::AcqRel);
        });
        if serving.is_err() {
            open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn converse(stream: &TcpStream, id: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    while let Some(request) = message::read(&mut reader, Kind::Request)? {
        let ends = request.first.ends_with("HTTP/1.0")
            || request
                .field("connection")
                .is_some_and(|options| options.to_ascii_lowercase().contains("close"));
        writer.write_all(&answer(&request, ends, id))?;
        if ends {
            break;
        }
    }
    Ok(())
}

fn answer(request: &Message, ends: bool, id: &str) -> Vec<u8> {
    let mut first = request.first.splitn(2, ' ');
    let method = first.next().unwrap_or_default();
    let rest = first.next().unwrap_or_default();
    let (target, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
    let body = json!({
        MARK: 1,
        "echo": id,
        "method": method,
        "target": target,
        "version": version,
        "headers": request.fields,
        "trailers": request.trailers,
        "body_bytes": request.body.len(),
    });
    let body = format!("{body}\n");
    let connection = if ends { "close" } else { "keep-alive" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n{HEAD_MARK}: 1\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        body.len()
    );
    match method {
        "HEAD" => head.into_bytes(),
        _ => (head + &body).into_bytes(),
    }
}
