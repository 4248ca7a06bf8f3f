//! The header with which a proxy announces whose connection it passes on (the PROXY protocol of HAProxy, versions 1 and 2:
//! sections 2.1 and 2.2 of its specification). Read strictly: what a proxy never writes is no header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest line of version 1, with its line break.
const LONGEST_V1: usize = 107;
/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2: signature, version and command, family and protocol, length.
const FIXED_V2: usize = 16;
/// The longest header of version 2 that is read. Addresses take 36 bytes, the rest is for additions (TLVs), which are passed
/// over: identifiers, names, perhaps a certificate. The format itself would allow 64 KiB.
pub const LONGEST: usize = 4096;

/// What a header says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The proxy speaks for itself (`LOCAL`), or does not know for whom (`UNKNOWN`).
    Nobody,
    /// The connection is from here to there.
    Between {
        /// The client.
        source: SocketAddr,
        /// What it connected to.
        destination: SocketAddr,
    },
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The beginning of a header: all of them belong to it, and more has to come.
    Partial,
    /// A header of this many bytes.
    Complete(usize, Announced),
    /// No header.
    Malformed(&'static str),
}

/// Reads the header that these bytes begin with.
pub fn proxy_header(bytes: &[u8]) -> ProxyHeader {
    let begins = |whole: &[u8]| bytes.starts_with(whole) || whole.starts_with(bytes);
    if begins(SIGNATURE) {
        version_2(bytes)
    } else if begins(b"PROXY ") {
        version_1(bytes)
    } else {
        ProxyHeader::Malformed("no header of the PROXY protocol")
    }
}

fn version_1(bytes: &[u8]) -> ProxyHeader {
    let window = bytes.get(..LONGEST_V1).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        // A line feed alone ends nothing, and a carriage return has to be followed by one.
        let broken = window.contains(&b'\n') || window.iter().rev().skip(1).any(|byte| *byte == b'\r');
        return match (broken, window.len() < LONGEST_V1) {
            (true, _) => ProxyHeader::Malformed("a broken line"),
            (false, true) => ProxyHeader::Partial,
            (false, false) => ProxyHeader::Malformed("a line that is too long"),
        };
    };
    let line = window.get(..end).unwrap_or_default();
    let line = std::str::from_utf8(line)
        .ok()
        .filter(|line| !line.contains(['\r', '\n']));
    match line.and_then(|line| announced(line.strip_prefix("PROXY ")?)) {
        Some(announced) => ProxyHeader::Complete(end + 2, announced),
        None => ProxyHeader::Malformed("a line that names no addresses"),
    }
}

/// What stands behind `PROXY `.
fn announced(line: &str) -> Option<Announced> {
    let mut fields = line.split(' ');
    let family = fields.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Some(Announced::Nobody);
    }
    let mut address = || -> Option<IpAddr> {
        let text = fields.next()?;
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, destination) = (address()?, address()?);
    let (source_port, destination_port) = (port(fields.next()?)?, port(fields.next()?)?);
    if fields.next().is_some() {
        return None;
    }
    Some(Announced::Between {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// A decimal number without leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn version_2(bytes: &[u8]) -> ProxyHeader {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_V2>() else {
        return ProxyHeader::Partial;
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let speaks_for_somebody = match command {
        0x20 => false,
        0x21 => true,
        _ => return ProxyHeader::Malformed("an unknown version or command"),
    };
    if FIXED_V2 + length > LONGEST {
        return ProxyHeader::Malformed("a header that is too long");
    }
    // LOCAL is to be taken whatever family stands there (section 2.2).
    let addresses = match (speaks_for_somebody, family) {
        (false, _) | (true, 0x00) => 0,
        (true, 0x11) => 12,
        (true, 0x21) => 36,
        // The paths of Unix sockets are no addresses, but they are there.
        (true, 0x31) => 216,
        (true, _) => return ProxyHeader::Malformed("no connection of TCP"),
    };
    if length < addresses {
        return ProxyHeader::Malformed("too short for its addresses");
    }
    let Some(body) = rest.get(..length) else {
        return ProxyHeader::Partial;
    };
    let announced = match (speaks_for_somebody, family) {
        (true, 0x11) => between_v4(body),
        (true, 0x21) => between_v6(body),
        _ => Some(Announced::Nobody),
    };
    match announced {
        Some(announced) => ProxyHeader::Complete(FIXED_V2 + length, announced),
        None => ProxyHeader::Malformed("too short for its addresses"),
    }
}

fn between_v4(body: &[u8]) -> Option<Announced> {
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    between(IpAddr::from(*source), IpAddr::from(*destination), rest)
}

fn between_v6(body: &[u8]) -> Option<Announced> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    between(IpAddr::from(*source), IpAddr::from(*destination), rest)
}

fn between(source: IpAddr, destination: IpAddr, rest: &[u8]) -> Option<Announced> {
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some(Announced::Between {
        source: SocketAddr::new(source, u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(destination, u16::from_be_bytes(*destination_port)),
    })
}

/// Shows `data` to the reader whole and piece by piece, and asserts that it comes to the same each time, that a verdict is
/// final, that it names no more bytes than there are and none beyond [`LONGEST`].
///
/// # Panics
///
/// If one of these does not hold; that is its purpose.
pub fn fuzz_proxy_header(data: &[u8]) {
    let whole = proxy_header(data);
    let first = (0..=data.len()).find_map(|end| {
        let found = proxy_header(data.get(..end).unwrap_or_default());
        (found != ProxyHeader::Partial).then_some((end, found))
    });
    match (whole, first) {
        (ProxyHeader::Partial, first) => {
            assert!(first.is_none(), "a verdict is final");
            assert!(data.len() < LONGEST, "waits for more than there may be");
        }
        (ProxyHeader::Complete(length, _), Some((end, found))) => {
            assert!(length <= LONGEST && length <= data.len(), "longer than it may be");
            assert_eq!((end, found), (length, whole), "complete with its last byte, not before");
        }
        (ProxyHeader::Malformed(_), Some((_, found))) => {
            assert!(matches!(found, ProxyHeader::Malformed(_)), "a verdict is final");
        }
        (ProxyHeader::Complete(..) | ProxyHeader::Malformed(_), None) => {
            assert_eq!(whole, ProxyHeader::Partial, "the whole is one of its pieces");
        }
    }
}
