//! A client that sends exactly the bytes it is given and believes nothing it gets.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use super::PATIENCE;
use super::message::{Buffered, Ended, Headers, text};

/// One connection, plain or TLS.
pub struct RawClient {
    stream: Buffered<Wire>,
}

/// A response that follows RFC 9112 to the letter.
#[derive(Clone, Debug)]
pub struct RawResponse {
    pub status: u16,
    pub reason: String,
    pub version: String,
    pub headers: Headers,
    /// The head's exact bytes.
    pub head: Vec<u8>,
    /// The body without its framing.
    pub body: Vec<u8>,
    pub trailers: Headers,
    pub framing: Framing,
}

/// What told where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body by the nature of the request or the status.
    None,
    Length,
    Chunked,
    Close,
}

/// Why there is no response.
#[derive(Debug)]
pub enum Broken {
    /// The connection ended where a response could have begun.
    NoMore,
    /// Its head did not come to an end.
    InHead(Ended),
    /// Its head came, its body not to the end that was promised.
    InBody { response: Box<RawResponse>, ended: Ended },
    /// It breaks a rule.
    Malformed(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMore => formatter.write_str("the connection was closed without a response"),
            Self::InHead(ended) => write!(formatter, "no whole head: {ended}"),
            Self::InBody { response, ended } => {
                write!(formatter, "{} without its whole body: {ended}", response.status)
            }
            Self::Malformed(what) => write!(formatter, "no HTTP response: {what}"),
        }
    }
}

impl RawResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    pub fn text(&self) -> String {
        text(&self.body)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// Whether the connection stays open after it.
    pub fn keeps_alive(&self) -> bool {
        self.version == "HTTP/1.1" && !self.headers.lists("connection", "close") && self.framing != Framing::Close
    }
}

impl RawClient {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = connect(address);
        Self {
            stream: Buffered::new(Wire::Plain(stream)),
        }
    }

    /// The same where nobody may listen any more.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            stream: Buffered::new(Wire::Plain(try_connect(address)?)),
        })
    }

    /// TLS with this server name; the handshake is done when this returns.
    pub fn connect_tls(address: SocketAddr, name: &str, config: ClientConfig) -> Self {
        Self::try_connect_tls(address, name, config).unwrap_or_else(|error| panic!("TLS to {address}: {error}"))
    }

    /// The same where the handshake may fail.
    ///
    /// A TLS 1.3 server tells that it did not like the client's certificate only after the client's handshake is done.
    pub fn try_connect_tls(address: SocketAddr, name: &str, config: ClientConfig) -> io::Result<Self> {
        Self::tls_over(connect(address), name, config)
    }

    /// The same on a connection that is there already.
    pub fn tls_over(mut stream: TcpStream, name: &str, config: ClientConfig) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Self {
            stream: Buffered::new(Wire::Tls(Box::new(StreamOwned::new(session, stream)))),
        })
    }

    /// What ALPN agreed on; `None` on a plain connection too.
    pub fn protocol(&self) -> Option<String> {
        match &self.stream.stream {
            Wire::Plain(_) => None,
            Wire::Tls(stream) => stream.conn.alpn_protocol().map(text),
        }
    }

    /// The certificate chain that the server showed, as DER.
    pub fn server_certificates(&self) -> Vec<Vec<u8>> {
        match &self.stream.stream {
            Wire::Plain(_) => Vec::new(),
            Wire::Tls(stream) => stream.conn.peer_certificates().map_or_else(Vec::new, |chain| {
                chain.iter().map(|certificate| certificate.to_vec()).collect()
            }),
        }
    }

    /// Where this side of the connection is.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.stream.socket().local_addr().unwrap()
    }

    /// Exactly these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("the server takes the bytes");
        self
    }

    /// The same where the server may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = &mut self.stream.stream;
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// Sends no more, and still reads. Over TLS with close_notify.
    pub fn finish_sending(&mut self) {
        if let Wire::Tls(stream) = &mut self.stream.stream {
            stream.conn.send_close_notify();
            stream.flush().expect("close_notify is sent");
        }
        let socket = self.stream.stream.socket();
        socket.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// The response to a request other than HEAD; fails when there is none.
    pub fn response(&mut self) -> RawResponse {
        self.try_response().unwrap_or_else(|broken| panic!("{broken}"))
    }

    /// The response to a HEAD request, which has no body whatever it says.
    pub fn response_to_head(&mut self) -> RawResponse {
        self.read_response(true).unwrap_or_else(|broken| panic!("{broken}"))
    }

    pub fn try_response(&mut self) -> Result<RawResponse, Broken> {
        self.read_response(false)
    }

    /// Sends these bytes and reads responses until the server closes; fails on anything that is no response.
    ///
    /// The last request must make the server close (`Connection: close`, or a violation).
    pub fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> Vec<RawResponse> {
        // A server that refuses the first bytes may close before the last ones are sent.
        let _ = self.try_send(bytes);
        let mut responses = Vec::new();
        loop {
            match self.try_response() {
                Ok(response) => responses.push(response),
                Err(Broken::NoMore) => return responses,
                Err(broken) => panic!("{broken}, after {responses:#?}"),
            }
        }
    }

    /// Exactly this many bytes, after an upgrade.
    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, Ended> {
        self.stream.take(count)
    }

    /// Everything until the server closes.
    pub fn take_all(&mut self) -> Result<Vec<u8>, Ended> {
        self.stream.take_all()
    }

    /// What came beyond the last response.
    pub fn left(&self) -> &[u8] {
        self.stream.left()
    }

    /// Waits until the server closes; fails when it says anything before, or does not close.
    pub fn expect_close(&mut self) {
        match self.stream.take_some() {
            Err(Ended::Closed { left, .. }) if left.is_empty() => {}
            Err(ended) => panic!("{ended}"),
            Ok(bytes) => panic!("instead of the end: {:?}", text(&bytes)),
        }
    }

    fn read_response(&mut self, to_head: bool) -> Result<RawResponse, Broken> {
        let head = self.stream.take_until(&[b"\r\n\r\n"]).map_err(|ended| match ended {
            Ended::Closed { left, .. } if left.is_empty() => Broken::NoMore,
            ended => Broken::InHead(ended),
        })?;
        let mut response = parse_head(head).map_err(Broken::Malformed)?;
        response.framing = framing(&response, to_head).map_err(Broken::Malformed)?;
        match self.read_body(&mut response) {
            Ok(()) => Ok(response),
            Err(BodyFault::Malformed(what)) => Err(Broken::Malformed(what)),
            Err(BodyFault::Ended(ended)) => Err(Broken::InBody {
                response: Box::new(response),
                ended,
            }),
        }
    }

    fn read_body(&mut self, response: &mut RawResponse) -> Result<(), BodyFault> {
        match response.framing {
            Framing::None => {}
            Framing::Length => {
                let length = response.header("content-length").unwrap().parse().unwrap();
                response.body = self.stream.take(length)?;
            }
            Framing::Close => response.body = self.stream.take_all()?,
            Framing::Chunked => self.read_chunks(response)?,
        }
        Ok(())
    }

    fn read_chunks(&mut self, response: &mut RawResponse) -> Result<(), BodyFault> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default();
            let is_hex = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = usize::from_str_radix(size, 16).ok().filter(|_| is_hex);
            let size = size.ok_or_else(|| BodyFault::Malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                break;
            }
            response.body.extend(self.stream.take(size)?);
            if self.stream.take(2)? != b"\r\n" {
                return Err(BodyFault::Malformed("no CRLF after a chunk".to_owned()));
            }
        }
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(());
            }
            response
                .trailers
                .0
                .push(parse_field(&line).map_err(BodyFault::Malformed)?);
        }
    }

    fn line(&mut self) -> Result<String, BodyFault> {
        let mut line = self.stream.take_until(&[b"\r\n"])?;
        line.truncate(line.len() - 2);
        if line.contains(&b'\n') {
            return Err(BodyFault::Malformed(format!("a bare LF in {:?}", text(&line))));
        }
        Ok(text(&line))
    }
}

enum BodyFault {
    Ended(Ended),
    Malformed(String),
}

impl From<Ended> for BodyFault {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
}

fn try_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn parse_head(head: Vec<u8>) -> Result<RawResponse, String> {
    let inner = &head[..head.len() - 4];
    let mut lines = Vec::new();
    for line in text(inner).split("\r\n") {
        if line.contains(['\r', '\n', '\0']) {
            return Err(format!("a stray control character in {line:?}"));
        }
        lines.push(line.to_owned());
    }
    let mut words = lines[0].splitn(3, ' ');
    let version = words.next().unwrap_or_default().to_owned();
    if version != "HTTP/1.1" && version != "HTTP/1.0" {
        return Err(format!("status line {:?}", lines[0]));
    }
    let status = words
        .next()
        .filter(|status| status.len() == 3)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("status line {:?}", lines[0]))?;
    let headers: Result<Vec<_>, _> = lines[1..].iter().map(|line| parse_field(line)).collect();
    Ok(RawResponse {
        status,
        reason: words.next().unwrap_or_default().to_owned(),
        version,
        headers: Headers(headers?),
        head,
        body: Vec::new(),
        trailers: Headers::default(),
        framing: Framing::None,
    })
}

/// RFC 9112 section 5: a token, a colon without space before it, the value.
fn parse_field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| format!("a field without a colon: {line:?}"))?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("field name {name:?}"));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// RFC 9112 section 6.3.
fn framing(response: &RawResponse, to_head: bool) -> Result<Framing, String> {
    let lengths = response.headers.all("content-length");
    let codings = response.headers.all("transfer-encoding");
    let bodiless = matches!(response.status, 100..=199 | 204 | 304);
    match (lengths.as_slice(), codings.as_slice()) {
        (lengths, _) if lengths.len() > 1 => Err(format!("several Content-Length: {lengths:?}")),
        ([_], [_, ..]) => Err("Content-Length beside Transfer-Encoding".to_owned()),
        (lengths, codings) if matches!(response.status, 100..=199 | 204) && lengths.len() + codings.len() > 0 => {
            Err(format!("a {} that frames a body", response.status))
        }
        ([length], []) if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("Content-Length {length:?}"))
        }
        _ if to_head || bodiless => Ok(Framing::None),
        ([_], _) => Ok(Framing::Length),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        ([], []) => Ok(Framing::Close),
        (_, codings) => Err(format!("Transfer-Encoding {codings:?}")),
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
