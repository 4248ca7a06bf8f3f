//! A wire between two programs that can go dead: what is sent goes nowhere, and nobody is told.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// A running relay. Ends with its process; its connections break when it is dropped.
pub struct Relay {
    address: SocketAddr,
    wire: Arc<Wire>,
}

#[derive(Default)]
struct Wire {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    dead: bool,
    over: bool,
    streams: Vec<TcpStream>,
    connections: usize,
    /// How many bytes clients have sent.
    sent: usize,
}

impl Relay {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire::default());
        let shared = Arc::clone(&wire);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let wire = Arc::clone(&shared);
                if wire.is_over() {
                    return;
                }
                thread::spawn(move || carry(&client, target, &wire));
            }
        });
        Self { address, wire }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections there were so far, and how many bytes clients sent over all of them.
    pub fn carried(&self) -> (usize, usize) {
        let state = self.wire.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.connections, state.sent)
    }

    /// From now on what is sent, in either direction, is held back. Connections stay open, and new ones are accepted.
    pub fn silence(&self) {
        self.wire.set(|state| state.dead = true);
    }

    /// What was held back arrives, as if it had been sent again.
    pub fn speak(&self) {
        self.wire.set(|state| state.dead = false);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.wire.set(|state| {
            state.over = true;
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        // The listener's thread looks up once more.
        let _ = TcpStream::connect(self.address);
    }
}

impl Wire {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).over
    }

    /// Waits while the wire is dead; false: it is gone for good.
    fn lets_through(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |state: &mut State| state.dead && !state.over;
        let state = self
            .changed
            .wait_while(state, waits)
            .unwrap_or_else(PoisonError::into_inner);
        !state.over
    }
}

fn carry(client: &TcpStream, target: SocketAddr, wire: &Arc<Wire>) {
    if !wire.lets_through() {
        return;
    }
    let Ok(server) = TcpStream::connect(target) else { return };
    for stream in [client, &server] {
        stream.set_nodelay(true).ok();
        let copy = stream.try_clone().unwrap();
        wire.set(|state| state.streams.push(copy));
    }
    wire.set(|state| state.connections += 1);
    let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let back = Arc::clone(wire);
    let answers = thread::spawn(move || copy(from_server, to_client, &back, |_| ()));
    let count = |bytes| wire.set(|state| state.sent += bytes);
    copy(client.try_clone().unwrap(), server, wire, count);
    answers.join().ok();
}

fn copy(mut from: TcpStream, mut to: TcpStream, wire: &Wire, came: impl Fn(usize)) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        came(count);
        if !wire.lets_through() || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // That a side has ended is news too.
    wire.lets_through();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
