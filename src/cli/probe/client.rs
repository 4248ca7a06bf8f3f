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

use super::echo::MARK;
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
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
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
    pub target: String,
    pub fields: Vec<Field>,
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
    /// Nobody knows: it could not be connected, or no answer came in time.
    Unknown(String),
}

/// The request as the backend got it.
#[derive(Clone, Debug)]
pub struct Echoed {
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
            true => Some((config(manner)?, server_name(host)?)),
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
        match self.exchange(&self.bytes(request)) {
            Ok(Some(answer)) => match echoed(&answer) {
                Some(echoed) => Outcome::Echoed(echoed),
                None => Outcome::Answered(answer),
            },
            Ok(None) => Outcome::Closed,
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                    Outcome::Closed
                }
                _ => Outcome::Unknown(error.to_string()),
            },
        }
    }

    fn bytes(&self, request: &Request) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        let mut field = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\r\n"));
        if message::find(&request.fields, "host").is_none() {
            field("Host", &self.authority);
        }
        for (name, value) in &request.fields {
            field(name, value);
        }
        if message::find(&request.fields, "connection").is_none() {
            field("Connection", "close");
        }
        if request.trailers.is_empty() {
            text.push_str("\r\n");
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

    fn exchange(&self, bytes: &[u8]) -> io::Result<Option<Message>> {
        let stream = Timed {
            stream: TcpStream::connect_timeout(&self.address, PATIENCE)?,
            until: Instant::now() + PATIENCE,
        };
        match &self.tls {
            None => converse(stream, bytes),
            Some((config, name)) => {
                let connection = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
                converse(StreamOwned::new(connection, stream), bytes)
            }
        }
    }
}

fn converse(mut stream: impl Read + Write, bytes: &[u8]) -> io::Result<Option<Message>> {
    stream.write_all(bytes)?;
    stream.flush()?;
    message::read(&mut BufReader::new(stream), Kind::Response)
}

fn echoed(answer: &Message) -> Option<Echoed> {
    let echo: Value = serde_json::from_slice(&answer.body).ok()?;
    echo.get(MARK)?;
    let fields = |name: &str| serde_json::from_value::<Vec<Field>>(echo.get(name)?.clone()).ok();
    Some(Echoed {
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

fn config(manner: &Manner<'_>) -> Result<Arc<ClientConfig>, Failure> {
    let settings = UpstreamTls {
        ca: manner.ca.map(std::path::Path::to_owned),
        ..UpstreamTls::default()
    };
    let made = tls::client_config(&settings, &[b"http/1.1"]);
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
