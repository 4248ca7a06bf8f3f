//! `doorward healthcheck`: asks a gateway with this configuration whether it lives; for containers without curl.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Failure, Places};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks `/healthz` on the admin address.
pub fn run(places: &Places) -> Result<(), Failure> {
    let address = reachable(places.load()?.config.admin.address);
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::run(
            format!("no health from {address}"),
            cause,
            "admin.address must be that of the running gateway",
        )
    };
    let answer = ask(address).map_err(|error| failed(&error))?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(failed(&answer.lines().next().unwrap_or("an empty answer"))),
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut head = Vec::new();
    stream.take(256).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// One that listens everywhere is asked here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
