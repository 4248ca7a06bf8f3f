//! A backend that writes down, byte for byte, what it was sent, and answers as it is told.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::PATIENCE;
use super::message::{Buffered, Ended, Headers, text};
use super::reply::{Reply, Step};

/// A running backend. Ends, with all its connections, when dropped.
pub struct Upstream {
    shared: Arc<Shared>,
    place: Place,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Clone)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which connection brought it, counted from 0.
    pub connection: usize,
    /// The head's exact bytes, up to and including the empty line. Empty over HTTP/2.
    pub head: Vec<u8>,
    pub method: String,
    pub target: String,
    pub version: String,
    pub headers: Headers,
    /// The body's exact bytes with their framing.
    pub raw_body: Vec<u8>,
    /// The body without its framing.
    pub body: Vec<u8>,
    pub trailers: Headers,
    /// Whether the body came to its end.
    pub complete: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    pub fn text(&self) -> String {
        text(&self.body)
    }
}

/// What came over one connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Every byte, whether it was understood or not.
    pub bytes: Vec<u8>,
    /// Whether it has ended.
    pub closed: bool,
}

type Handler = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// What the threads of an upstream share with the test.
pub(super) struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    stopping: AtomicBool,
    handler: Handler,
}

#[derive(Default)]
struct Seen {
    connections: Vec<Connection>,
    requests: Vec<Request>,
    script: VecDeque<Reply>,
    /// To end what still waits for bytes when the upstream goes away.
    open: Vec<(usize, Socket)>,
}

impl Upstream {
    /// Echoes each request as JSON.
    pub fn start() -> Self {
        Self::answering(Reply::echo)
    }

    /// Answers as the function says.
    pub fn answering(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::answering_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), handler)
    }

    /// The same at this address: a backend that comes back.
    pub fn answering_at(address: SocketAddr, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let place = Place::Tcp(listener.local_addr().unwrap());
        Self::serve(place, handler, move || Ok(Socket::Tcp(listener.accept()?.0)))
    }

    /// Listens on a unix socket at this path, which must not exist.
    pub fn unix(path: &Path) -> Self {
        Self::unix_answering(path, Reply::echo)
    }

    /// The same, answering as the function says.
    pub fn unix_answering(path: &Path, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self::serve(Place::Unix(path.to_owned()), handler, move || {
            Ok(Socket::Unix(listener.accept()?.0))
        })
    }

    fn serve(
        place: Place,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
        accept: impl Fn() -> io::Result<Socket> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::new(handler));
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept_until_stopped(&shared, accept)
        });
        Self {
            shared,
            place,
            acceptor: Some(acceptor),
        }
    }

    /// As `[[upstreams]] servers` names it.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Where it listens; fails on a unix socket.
    pub fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(address) => *address,
            Place::Unix(path) => panic!("{} has no address", path.display()),
        }
    }

    /// Answers the next request that has no scripted reply yet with this.
    pub fn next(&self, reply: Reply) -> &Self {
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .script
            .push_back(reply);
        self
    }

    /// Every request whose head has come so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .requests
            .clone()
    }

    /// The only request so far; fails when there are none or more.
    pub fn only_request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }

    pub fn connections(&self) -> Vec<Connection> {
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connections
            .clone()
    }

    /// Waits until this many requests have come with their whole bodies; gives back all.
    pub fn wait_for(&self, count: usize) -> Vec<Request> {
        self.shared.wait_for(&format!("{count} requests"), |seen| {
            (seen.requests.iter().filter(|request| request.complete).count() >= count).then(|| seen.requests.clone())
        })
    }

    /// Waits until the heads of this many requests have come.
    pub fn wait_for_heads(&self, count: usize) -> Vec<Request> {
        self.shared.wait_for(&format!("{count} heads"), |seen| {
            (seen.requests.len() >= count).then(|| seen.requests.clone())
        })
    }

    /// Waits until the connection with this number has ended; gives back what came over it.
    pub fn wait_for_close(&self, connection: usize) -> Connection {
        self.shared
            .wait_for(&format!("the end of connection {connection}"), |seen| {
                seen.connections.get(connection).filter(|one| one.closed).cloned()
            })
    }

    /// Closes every open connection at once, as a restart of the backend would.
    pub fn drop_connections(&self) {
        for (_, socket) in &self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).open {
            socket.shutdown();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // The acceptor sees the flag with the next connection: this one.
        match &self.place {
            Place::Tcp(address) => drop(TcpStream::connect(address)),
            Place::Unix(path) => drop(UnixStream::connect(path)),
        }
        self.drop_connections();
        let ended = self.acceptor.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(
                ended.is_none_or(|result| result.is_ok()),
                "the upstream's own thread failed"
            );
        }
    }
}

impl Shared {
    pub(super) fn new(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            seen: Mutex::default(),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            handler: Box::new(handler),
        }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .requests
            .clone()
    }

    pub(super) fn complete_requests(&self, count: usize) -> Vec<Request> {
        self.wait_for(&format!("{count} requests"), |seen| {
            (seen.requests.len() >= count).then(|| seen.requests.clone())
        })
    }

    pub(super) fn script(&self, reply: Reply) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .script
            .push_back(reply);
    }

    /// Writes the request down; gives back its number.
    pub(super) fn record(&self, request: Request) -> usize {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.requests.push(request);
        self.changed.notify_all();
        seen.requests.len() - 1
    }

    /// The scripted reply, or the handler's.
    pub(super) fn reply_to(&self, request: &Request) -> Reply {
        let scripted = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .script
            .pop_front();
        scripted.unwrap_or_else(|| (self.handler)(request))
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn wait_for<T>(&self, what: &str, found: impl Fn(&Seen) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = found(&seen) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the upstream never saw {what}; it saw {:#?}",
                seen.requests
            );
            seen = self.changed.wait_timeout(seen, left).unwrap().0;
        }
    }
}

fn accept_until_stopped(shared: &Arc<Shared>, accept: impl Fn() -> io::Result<Socket>) {
    let mut threads = Vec::new();
    while let Ok(socket) = accept() {
        if shared.is_stopping() {
            break;
        }
        let mut number = 0;
        let copy = socket.try_clone();
        shared.change(|seen| {
            number = seen.connections.len();
            seen.connections.push(Connection::default());
            seen.open.extend(copy.ok().map(|copy| (number, copy)));
        });
        let shared = Arc::clone(shared);
        threads.push(thread::spawn(move || {
            converse(&shared, number, socket);
            shared.change(|seen| {
                seen.connections[number].closed = true;
                seen.open.retain(|(open, _)| *open != number);
            });
        }));
    }
    // A connection that was accepted just before the stop may have missed the shutdown.
    for (_, socket) in &shared.seen.lock().unwrap_or_else(PoisonError::into_inner).open {
        socket.shutdown();
    }
    for thread in threads {
        thread.join().expect("a connection's thread");
    }
}

/// Reads requests and answers them until either side has had enough.
fn converse(shared: &Arc<Shared>, connection: usize, socket: Socket) {
    let observer = Arc::clone(shared);
    let mut stream = Buffered::observed(socket, move |bytes| {
        observer.change(|seen| seen.connections[connection].bytes.extend(bytes));
    });
    while let Ok(head) = read_head(&mut stream) {
        let mut request = parse_head(connection, head);
        let number = shared.record(request.clone());
        let early = {
            let seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.script.front().is_some_and(|reply| reply.early)
        };
        let mut go_on = true;
        if early {
            let reply = shared.reply_to(&request);
            go_on = perform(shared, &mut stream, &reply);
        }
        let ended = if go_on {
            read_body(&mut stream, &mut request)
        } else {
            Ok(())
        };
        request.complete = go_on && ended.is_ok();
        shared.change(|seen| seen.requests[number] = request.clone());
        if !request.complete {
            return;
        }
        if !early {
            let reply = shared.reply_to(&request);
            go_on = perform(shared, &mut stream, &reply);
        }
        if !go_on || request.headers.lists("connection", "close") {
            return;
        }
    }
}

/// Does what the reply says; whether the connection goes on.
fn perform(shared: &Shared, stream: &mut Buffered<Socket>, reply: &Reply) -> bool {
    for step in &reply.steps {
        match step {
            Step::Send(bytes) => {
                if stream.stream.write_all(bytes).is_err() {
                    return false;
                }
            }
            Step::WaitFor(gate) => {
                if !gate.wait(|| shared.is_stopping()) {
                    return false;
                }
            }
            Step::EchoBytes => {
                while let Ok(bytes) = stream.take_some() {
                    if stream.stream.write_all(&bytes).is_err() {
                        break;
                    }
                }
                return false;
            }
            Step::Close => return false,
        }
    }
    true
}

/// Up to the empty line, ended by CRLF or a bare LF: what is sloppy must be seen, not refused.
fn read_head(stream: &mut Buffered<Socket>) -> Result<Vec<u8>, Ended> {
    stream.take_until(&[b"\r\n\r\n", b"\n\n"])
}

fn parse_head(connection: usize, head: Vec<u8>) -> Request {
    let lines = text(&head);
    let mut lines = lines.lines();
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let (method, target, version) = (word(), word(), word());
    Request {
        connection,
        method,
        target,
        version,
        headers: parse_fields(lines),
        head,
        raw_body: Vec::new(),
        body: Vec::new(),
        trailers: Headers::default(),
        complete: false,
    }
}

fn parse_fields<'l>(lines: impl Iterator<Item = &'l str>) -> Headers {
    let field = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_owned(), value.trim().to_owned())
    };
    Headers(lines.filter(|line| !line.is_empty()).map(field).collect())
}

fn read_body(stream: &mut Buffered<Socket>, request: &mut Request) -> Result<(), Ended> {
    if request.headers.lists("transfer-encoding", "chunked") {
        return read_chunks(stream, request);
    }
    let lengths = request.headers.all("content-length");
    let length = lengths.first().and_then(|value| value.parse().ok()).unwrap_or(0);
    let taken = stream.take(length);
    request.raw_body = keep(&taken);
    request.body.clone_from(&request.raw_body);
    taken.map(drop)
}

fn read_chunks(stream: &mut Buffered<Socket>, request: &mut Request) -> Result<(), Ended> {
    loop {
        let line = stream.take_until(&[b"\n"])?;
        request.raw_body.extend(&line);
        let line = text(&line);
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        let data = stream.take(size);
        request.raw_body.extend(keep(&data));
        request.body.extend(keep(&data));
        data?;
        request.raw_body.extend(stream.take_until(&[b"\n"])?);
    }
    let mut trailers = Vec::new();
    loop {
        let line = stream.take_until(&[b"\n"])?;
        request.raw_body.extend(&line);
        let line = text(&line).trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        trailers.push(line);
    }
    request.trailers = parse_fields(trailers.iter().map(String::as_str));
    Ok(())
}

/// What came, even where it was not all.
fn keep(taken: &Result<Vec<u8>, Ended>) -> Vec<u8> {
    match taken {
        Ok(bytes) | Err(Ended::Closed { left: bytes, .. } | Ended::TimedOut { left: bytes }) => bytes.clone(),
    }
}

/// A TCP or unix connection.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    fn shutdown(&self) {
        // Fails only where the peer was faster.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
