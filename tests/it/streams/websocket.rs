//! WebSockets between a real client and a real server, neither of them the gateway's.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use tungstenite::client::IntoClientRequest as _;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Error, Message, WebSocket};

use super::{connect, server};
use crate::path::gate::{Gate, open_to, route, upstream};

/// Sends every message back; tells how it was closed.
fn echo() -> (SocketAddr, mpsc::Receiver<Option<CloseFrame>>) {
    let (told, heard) = mpsc::channel();
    let address = server(move |stream| {
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let choose = |request: &Request, mut response: Response| {
            let offered = request.headers().get("sec-websocket-protocol");
            if offered.is_some_and(|offered| offered.to_str().unwrap().contains("chat.v2")) {
                let chosen = HeaderValue::from_static("chat.v2");
                response.headers_mut().insert("sec-websocket-protocol", chosen);
            }
            if let Some(user) = request.headers().get("x-user") {
                response.headers_mut().insert("x-seen-user", user.clone());
            }
            Ok(response)
        };
        let mut socket = tungstenite::accept_hdr(stream, choose).unwrap();
        loop {
            match socket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).unwrap(),
                Ok(Message::Close(frame)) => told.send(frame).unwrap(),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    (address, heard)
}

fn open(gate: &Gate, lines: &[(&'static str, &str)]) -> (WebSocket<TcpStream>, Response) {
    let mut request = format!("ws://{}/chat", gate.address()).into_client_request().unwrap();
    for (name, value) in lines {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_str(value).unwrap());
    }
    let (socket, response) = tungstenite::client(request, connect(gate.address())).unwrap();
    (socket, response.map(|_| ()))
}

#[test]
fn messages_of_every_kind_and_size_come_back() {
    let (address, closed) = echo();
    let gate = Gate::start(&open_to(&format!("http://{address}")));
    let (mut socket, _) = open(&gate, &[]);
    for message in [
        Message::text(""),
        Message::text("grüße"),
        Message::binary(vec![0; 125]),
        Message::binary(vec![1; 126]),
        Message::binary(vec![2; 65_535]),
        Message::binary(vec![3; 65_536]),
    ] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    let large: Vec<u8> = (0..16 << 20).map(|at: usize| (at % 251) as u8).collect();
    socket.send(Message::binary(large.clone())).unwrap();
    assert!(matches!(socket.read().unwrap(), Message::Binary(echoed) if echoed == large));

    socket.send(Message::Ping(b"are you there".to_vec().into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"are you there".to_vec().into()));

    for (text, opcode, last) in [
        ("frag", Data::Text, false),
        ("men", Data::Continue, false),
        ("ted", Data::Continue, true),
    ] {
        let frame = Frame::message(text.as_bytes().to_vec(), OpCode::Data(opcode), last);
        socket.send(Message::Frame(frame)).unwrap();
    }
    assert_eq!(socket.read().unwrap(), Message::text("fragmented"));

    let frame = CloseFrame {
        code: CloseCode::Library(4321),
        reason: "enough".into(),
    };
    socket.close(Some(frame.clone())).unwrap();
    assert_eq!(closed.recv().unwrap(), Some(frame.clone()));
    assert_eq!(socket.read().unwrap(), Message::Close(Some(frame)));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
}

#[test]
fn subprotocols_are_negotiated_and_extensions_and_identity_pass() {
    let (address, _closed) = echo();
    let gate = Gate::start(&(upstream("app", &format!("http://{address}"), "") + &route("chat", "/", "app", "")));
    let token = format!("Bearer {}", gate.token("anna", &[]));
    let (mut socket, response) = open(
        &gate,
        &[
            ("sec-websocket-protocol", "chat.v1, chat.v2"),
            ("authorization", &token),
            ("x-user", "mallory"),
        ],
    );
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v2");
    assert_eq!(response.headers()["x-seen-user"], "anna");
    socket.send(Message::text("hello")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("hello"));
}

#[test]
fn a_frame_that_breaks_the_rules_is_the_servers_to_refuse() {
    // What the client of a WebSocket sends is masked (RFC 6455 section 5.1); this is not, and passes as it is.
    let (address, _closed) = echo();
    let gate = Gate::start(&open_to(&format!("http://{address}")));
    let mut raw = gate.connect();
    raw.send(super::get("/", super::WEBSOCKET));
    assert_eq!(raw.response().status, 101);
    raw.send(b"\x81\x03abc");
    // The server gives up, and so does the tunnel.
    raw.take_all().unwrap();
}
