//! `[[listeners]]` and `[admin]`: how the gateway is reached.

use std::net::{Ipv4Addr, SocketAddr};

use super::field;
use crate::config::file::{self, Shape};
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::config::{Admin, Listener, Protocol};

/// The port of https where none is said.
const HTTPS_PORT: u16 = 443;

/// The listeners; none configured: https on 127.0.0.1:8443 and http on 127.0.0.1:8000.
pub fn listeners(listeners: &[file::Listener], report: &mut Report<'_>) -> Option<Vec<Listener>> {
    if listeners.is_empty() {
        // A table of the wrong form was reported; the defaults stand in for it.
        return Some(vec![
            listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)), Protocol::Https, false),
            listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)), Protocol::Http, false),
        ]);
    }
    let mut taken: Vec<(usize, SocketAddr)> = Vec::new();
    let key = KeyPath::of("listeners");
    let checked = field::each(listeners, |index, raw| {
        let key = key.index(index);
        let protocol = protocol(raw, &key, report);
        let address = address(report, &key.key("address"), &raw.address)?;
        match taken.iter().find(|(_, other)| collide(*other, address)) {
            Some((other, _)) => report.error(
                Fault::at(&key.key("address"), "an address that no other listener has")
                    .hint(format!("it collides with listeners[{other}].address")),
            ),
            None => taken.push((index, address)),
        }
        Some(listener(address, protocol?, raw.proxy_protocol))
    })?;
    let has = |wanted: fn(&Protocol) -> bool| checked.iter().any(|listener| wanted(&listener.protocol));
    if has(|protocol| matches!(protocol, Protocol::Redirect { .. })) && !has(|protocol| *protocol == Protocol::Https) {
        report.warn(Fault::at(
            &key,
            "the redirect leads to https, and no listener here speaks it",
        ));
    }
    Some(checked)
}

fn protocol(raw: &file::Listener, key: &KeyPath, report: &mut Report<'_>) -> Option<Protocol> {
    let redirect = Protocol::Redirect {
        https_port: raw.redirect_port,
    };
    let choices = [
        ("https", Protocol::Https),
        ("http", Protocol::Http),
        ("redirect", redirect),
    ];
    let protocol = report.choose(&key.key("protocol"), &raw.protocol, &choices)?;
    match protocol {
        Protocol::Redirect { https_port: 0 } => {
            report.error(Fault::at(&key.key("redirect_port"), "a port from 1 to 65535"));
            return None;
        }
        Protocol::Redirect { .. } => {}
        Protocol::Https | Protocol::Http if raw.redirect_port != HTTPS_PORT => report.warn(Fault::at(
            &key.key("redirect_port"),
            "it has no effect: only a listener with protocol = \"redirect\" redirects",
        )),
        Protocol::Https | Protocol::Http => {}
    }
    Some(protocol)
}

fn listener(address: SocketAddr, protocol: Protocol, proxy_protocol: bool) -> Listener {
    let word = match protocol {
        Protocol::Https => "https",
        Protocol::Http => "http",
        Protocol::Redirect { .. } => "redirect",
    };
    Listener {
        name: format!("{word}:{address}"),
        address,
        protocol,
        proxy_protocol,
    }
}

/// Whether one of them is reached from other machines.
pub fn are_public(listeners: &[Listener]) -> bool {
    listeners.iter().any(|listener| !listener.address.ip().is_loopback())
}

/// Whether one of them speaks https.
pub fn are_encrypted(listeners: &[Listener]) -> bool {
    listeners.iter().any(|listener| listener.protocol == Protocol::Https)
}

/// `[admin]`.
pub fn admin(admin: &file::Admin, listeners: &[Listener], report: &mut Report<'_>) -> Option<Admin> {
    let key = KeyPath::of("admin");
    let role = field::role(report, &key.key("role"), &admin.role);
    let networks = field::networks_or_anywhere(report, &key.key("networks"), &admin.networks);
    let place = key.key("address");
    let address = address(report, &place, &admin.address)?;
    if let Some(other) = listeners.iter().find(|listener| collide(listener.address, address)) {
        let fault = Fault::at(&place, "an address that no public listener has");
        report.error(fault.hint(format!("it collides with the listener {}", other.name)));
        return None;
    }
    if !address.ip().is_loopback() {
        report.warn(
            Fault::at(&place, "whoever reaches this address sees the metrics")
                .hint("make sure that only your monitoring does"),
        );
    }
    Some(Admin {
        address,
        role: role?,
        networks: networks?,
    })
}

/// `listeners[].proxy_protocol`: believed of trusted proxies alone.
pub fn proxy_protocol(shape: &Shape, report: &mut Report<'_>) {
    let key = KeyPath::of("listeners");
    for (index, listener) in shape.listeners.iter().enumerate() {
        if listener.proxy_protocol && shape.trusted_proxies.is_empty() {
            let place = key.index(index).key("proxy_protocol");
            let message = "every connection is refused: no proxy is trusted";
            report.warn(Fault::at(&place, message).hint("name your proxies in trusted_proxies"));
        }
    }
}

/// An address to listen on.
fn address(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let hint = match text.rsplit_once(':') {
        Some(("" | "*", port)) if port.parse::<u16>().is_ok() => {
            Some(format!("write \"0.0.0.0:{port}\" or \"[::]:{port}\""))
        }
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => Some(format!("write \"127.0.0.1:{port}\"")),
        _ if text.parse::<u16>().is_ok() => Some(format!("write \"0.0.0.0:{text}\"")),
        _ => Some("names are not looked up here".to_owned()).filter(|_| !text.is_empty()),
    };
    report.error(
        Fault::at(
            key,
            "an IP address and a port, such as \"0.0.0.0:8443\" or \"[::1]:8443\"",
        )
        .hint_if(hint),
    );
    None
}

/// Whether both cannot be listened on at once. Port 0 stands for any free one.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    let overlap = one.ip() == other.ip() || (same_family && (one.ip().is_unspecified() || other.ip().is_unspecified()));
    one.port() == other.port() && one.port() != 0 && overlap
}
