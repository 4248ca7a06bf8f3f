//! Sends a request byte for byte as it is told to, and reads what comes back.

use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde_json::Value;
use url::Url;

use super::echo::{HEAD_MARK, MARK};
use super::h2;
use super::message::{self, Field, Kind, Message};
use crate::cli::Failure;
use crate::tls::{self, UpstreamTls};

/// How long one request may take, from the connection to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the chain is.
pub struct Chain {
    /// `host` or `host:port`, as Host says it.
    pub authority: String,
    pub secure: bool,
    address: SocketAddr,
    tls: Option<Tls>,
}

/// For either version of HTTP, and the name that the certificate has to have.
struct Tls {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// The version of HTTP in which a request is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Http11,
    Http10,
    Http2,
}

/// How the chain is found and believed.
pub struct Manner<'a> {
    pub insecure: bool,
    pub ca: Option<&'a std::path::Path>,
    /// `HOST:PORT:ADDRESS`.
    pub resolve: &'a [String],
}

/// A request, of which nothing is added but Host and `Connection: close` where they are missing.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: &'static str,
    pub version: Version,
    pub target: String,
    /// Sent to the host of the public URL, where that is another than the protected one's.
    pub elsewhere: bool,
    /// Instead of the chain's own, in `Host` or `:authority`.
    pub authority: Option<String>,
    /// In `:scheme`, instead of the chain's own.
    pub scheme: Option<String>,
    pub fields: Vec<Field>,
    /// Sent behind the head; what says how long it is stands among the fields.
    pub body: &'static str,
    /// Sent behind a small chunked body.
    pub trailers: Vec<Field>,
    /// Nothing in the head says which trailers come.
    pub undeclared: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The request reached the echo backend, so.
    Echoed(Echoed),
    /// Somebody else answered.
    Answered(Message),
    /// The connection was closed without an answer: a refusal too.
    Closed,
    /// There is no such protocol here.
    NotSpoken,
    /// Nobody knows: it could not be connected, or no answer came in time.
    Unknown(String),
}

/// The request as the backend got it.
#[derive(Clone, Debug)]
pub struct Echoed {
    /// Which echo backend it was, of several; none: it did not say.
    pub by: Option<String>,
    pub target: String,
    pub fields: Vec<Field>,
    pub trailers: Vec<Field>,
    /// The head of the answer that the chain made of the echo's.
    pub answer: Vec<Field>,
}

impl Chain {
    /// Finds it.
    pub fn find(url: &Url, manner: &Manner<'_>) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::usage(what, "give an address such as https://shop.example.com/orders");
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(wrong(format!("{other}:// cannot be probed"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::usage(
                "a user or password in the URL is not sent",
                "give what lets the URL through with --token or --token-file",
            ));
        }
        let host = url.host_str().ok_or_else(|| wrong("the URL has no host".to_owned()))?;
        let port = url.port_or_known_default().unwrap_or(443);
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let address = address(host, port, manner.resolve)?;
        let tls = match secure {
            true => Some(Tls {
                http1: config(manner, b"http/1.1")?,
                http2: config(manner, b"h2")?,
                name: server_name(host)?,
            }),
            false => None,
        };
        Ok(Self {
            authority,
            secure,
            address,
            tls,
        })
    }

    /// Sends one request on a connection of its own.
    pub fn send(&self, request: &Request) -> Outcome {
        let answer = match request.version {
            Version::Http2 => self.exchange_http2(request),
            Version::Http10 | Version::Http11 => self.exchange(&self.bytes(request)),
        };
        match answer {
            Ok(Some(answer)) => match echoed(&answer, request) {
                Some(echoed) => Outcome::Echoed(echoed),
                None => Outcome::Answered(answer),
            },
            Ok(None) => Outcome::Closed,
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                    Outcome::Closed
                }
                // What a read says that has waited for as long as it may.
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    Outcome::Unknown(format!("no answer within {} s", PATIENCE.as_secs()))
                }
                io::ErrorKind::InvalidData if request.version == Version::Http2 => Outcome::NotSpoken,
                _ => Outcome::Unknown(error.to_string()),
            },
        }
    }

    fn bytes(&self, request: &Request) -> Vec<u8> {
        let version = match request.version {
            Version::Http10 => "1.0",
            Version::Http11 | Version::Http2 => "1.1",
        };
        let mut text = format!("{} {} HTTP/{version}\r\n", request.method, request.target);
        let mut field = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\r\n"));
        if message::find(&request.fields, "host").is_none() {
            field("Host", request.authority.as_deref().unwrap_or(&self.authority));
        }
        for (name, value) in &request.fields {
            field(name, value);
        }
        if message::find(&request.fields, "connection").is_none() {
            field("Connection", "close");
        }
        if request.trailers.is_empty() {
            text.push_str("\r\n");
            text.push_str(request.body);
            return text.into_bytes();
        }
        let names: Vec<&str> = request.trailers.iter().map(|(name, _)| name.as_str()).collect();
        if !request.undeclared {
            field("Trailer", &names.join(", "));
        }
        field("Transfer-Encoding", "chunked");
        text.push_str("\r\n1\r\nx\r\n0\r\n");
        for (name, value) in &request.trailers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    fn connect(&self) -> io::Result<Timed> {
        let until = Instant::now() + PATIENCE;
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        Ok(Timed { stream, until })
    }

    fn exchange(&self, bytes: &[u8]) -> io::Result<Option<Message>> {
        let stream = self.connect()?;
        match &self.tls {
            None => converse(stream, bytes),
            Some(tls) => converse(StreamOwned::new(connection(&tls.http1, tls)?, stream), bytes),
        }
    }

    /// Without TLS there is nothing to agree on: whoever speaks it there understands its first bytes.
    fn exchange_http2(&self, request: &Request) -> io::Result<Option<Message>> {
        let scheme = if self.secure { "https" } else { "http" };
        let pseudo = [
            (":method", request.method),
            (":scheme", request.scheme.as_deref().unwrap_or(scheme)),
            (":path", &request.target),
            (":authority", request.authority.as_deref().unwrap_or(&self.authority)),
        ];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let head: Vec<Field> = pseudo.into_iter().chain(request.fields.iter().cloned()).collect();
        let sent = h2::Sent {
            head: &head,
            trailers: &request.trailers,
        };
        let mut stream = self.connect()?;
        let Some(tls) = &self.tls else {
            return h2::exchange(stream, sent);
        };
        let mut connection = connection(&tls.http2, tls)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        match connection.alpn_protocol() {
            Some(b"h2") => h2::exchange(StreamOwned::new(connection, stream), sent),
            Some(_) | None => Err(io::Error::new(io::ErrorKind::InvalidData, "HTTP/2 is not spoken")),
        }
    }
}

fn connection(config: &Arc<ClientConfig>, tls: &Tls) -> io::Result<ClientConnection> {
    ClientConnection::new(Arc::clone(config), tls.name.clone()).map_err(io::Error::other)
}

fn converse(mut stream: impl Read + Write, bytes: &[u8]) -> io::Result<Option<Message>> {
    stream.write_all(bytes)?;
    stream.flush()?;
    let kind = if bytes.starts_with(b"HEAD ") {
        Kind::HeadOnly
    } else {
        Kind::Response
    };
    message::read(&mut BufReader::new(stream), kind)
}

fn echoed(answer: &Message, request: &Request) -> Option<Echoed> {
    if request.method == "HEAD" {
        // There is no body that could say more.
        answer.field(HEAD_MARK)?;
        return Some(Echoed {
            by: None,
            target: request.target.clone(),
            fields: Vec::new(),
            trailers: Vec::new(),
            answer: answer.fields.clone(),
        });
    }
    let echo: Value = serde_json::from_slice(&answer.body).ok()?;
    echo.get(MARK)?;
    let fields = |name: &str| serde_json::from_value::<Vec<Field>>(echo.get(name)?.clone()).ok();
    Some(Echoed {
        by: echo.get("echo").and_then(Value::as_str).map(str::to_owned),
        target: echo.get("target")?.as_str()?.to_owned(),
        fields: fields("headers")?,
        trailers: fields("trailers")?,
        answer: answer.fields.clone(),
    })
}

/// A stream whose every read and write ends in time.
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A host, a port and where they are, of `HOST:PORT:ADDRESS`; IPv6 hosts and addresses may stand in brackets.
fn rule(rule: &str) -> Option<(&str, u16, IpAddr)> {
    let ends = match rule.starts_with('[') {
        true => rule.find(']')? + 1,
        false => rule.find(':')?,
    };
    let (host, rest) = rule.split_at_checked(ends)?;
    let (port, address) = rest.strip_prefix(':')?.split_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let (port, address) = (port.parse().ok()?, address.parse().ok()?);
    (!host.is_empty()).then_some((host, port, address))
}

fn address(host: &str, port: u16, resolve: &[String]) -> Result<SocketAddr, Failure> {
    let wanted = format!("{host}:{port}:");
    let mut told = None;
    for text in resolve {
        let (for_host, for_port, address) = rule(text).ok_or_else(|| {
            let hint = format!("write HOST:PORT:ADDRESS, such as {wanted}127.0.0.1");
            Failure::usage(format!("--resolve {text:?} is not understood"), hint)
        })?;
        if told.is_none() && for_port == port && for_host.eq_ignore_ascii_case(host) {
            told = Some(SocketAddr::new(address, port));
        }
    }
    if let Some(told) = told {
        return Ok(told);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let failed = |cause: String| {
        let hint = format!("is the name right? --resolve {wanted}ADDRESS says where it is");
        Failure::run(format!("{host} cannot be found"), cause, hint)
    };
    let mut found = (bare, port)
        .to_socket_addrs()
        .map_err(|error| failed(error.to_string()))?;
    found.next().ok_or_else(|| failed("it has no address".to_owned()))
}

fn server_name(host: &str) -> Result<ServerName<'static>, Failure> {
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(bare)
        .map_err(|error| Failure::usage(format!("{host}: {error}"), "give a host name or address"))
}

fn config(manner: &Manner<'_>, protocol: &[u8]) -> Result<Arc<ClientConfig>, Failure> {
    let settings = UpstreamTls {
        ca: manner.ca.map(std::path::Path::to_owned),
        ..UpstreamTls::default()
    };
    let made = tls::client_config(&settings, &[protocol]);
    let made = made.map_err(|error| Failure::run("TLS cannot be spoken", &error, "give --ca FILE or --insecure"))?;
    if !manner.insecure {
        return Ok(made);
    }
    let mut config = (*made).clone();
    let schemes = config
        .crypto_provider()
        .signature_verification_algorithms
        .supported_schemes();
    config.dangerous().set_certificate_verifier(Arc::new(Anybody(schemes)));
    Ok(Arc::new(config))
}

/// Believes every certificate: what `--insecure` asks for.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
