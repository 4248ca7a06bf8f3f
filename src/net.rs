//! Addresses and networks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use rustix::fd::AsFd;
use rustix::net::sockopt;

/// Where nothing is sent for this long, the other end is asked for a sign of life …
const SILENCE: Duration = Duration::from_secs(60);
/// … again after this …
const ASKED_EVERY: Duration = Duration::from_secs(10);
/// … and given up after so many times: two minutes in all.
const ASKED_TIMES: u32 = 6;

/// Has the kernel find out that the other end is gone without a word: a machine without power, a network that was cut. A
/// tunnel has no other deadline. The connections that a listener accepts are as the listener is.
pub fn keep_alive(socket: impl AsFd) -> std::io::Result<()> {
    let socket = socket.as_fd();
    sockopt::set_tcp_keepidle(socket, SILENCE)?;
    sockopt::set_tcp_keepintvl(socket, ASKED_EVERY)?;
    sockopt::set_tcp_keepcnt(socket, ASKED_TIMES)?;
    sockopt::set_socket_keepalive(socket, true)?;
    Ok(())
}

/// Whether the other end has closed its side, or reset the connection, however many bytes of it wait to be read.
pub fn departure(socket: impl AsFd) -> (bool, bool) {
    #[cfg(target_os = "linux")]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let socket = socket.as_fd();
        let mut asked = [PollFd::new(&socket, PollFlags::RDHUP)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut asked, Some(&at_once)).is_err() {
            return (false, false);
        }
        let [found] = asked.map(|asked| asked.revents());
        (
            found.contains(PollFlags::RDHUP),
            found.intersects(PollFlags::ERR | PollFlags::HUP),
        )
    }
    #[cfg(not(target_os = "linux"))]
    {
        // Elsewhere it is noticed with the next bytes that are sent.
        let _ = socket;
        (false, false)
    }
}

/// Whether this is an address of this machine or of a network of one's own, where a proxy of one's own would stand: loopback,
/// RFC 1918, RFC 6598, link-local, and unique local ones (RFC 4193).
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || (first == 100 && second & 0b1100_0000 == 64)
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// A network in CIDR notation (RFC 4632), or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address lies in the network. An IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2) counts as
    /// the IPv4 address it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let net = match text.parse::<IpNet>() {
            Ok(net) => net,
            Err(_) => IpNet::from(
                text.parse::<IpAddr>()
                    .map_err(|_| InvalidNetwork(text.to_owned()))?
                    .to_canonical(),
            ),
        };
        if net.addr() != net.network() {
            return Err(InvalidNetwork(format!(
                "{text} (has host bits set; did you mean {}?)",
                net.trunc()
            )));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The text is no network and no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", nor a single address")]
pub struct InvalidNetwork(String);

/// A list of networks. An empty list holds no address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// The list of these networks.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether one of the networks holds the address.
    pub fn contain(&self, address: IpAddr) -> bool {
        !self.0.is_empty() && self.0.iter().any(|network| network.contains(address))
    }

    /// Whether there is no network in the list.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known() {
        for near in [
            "127.0.0.1",
            "::1",
            "10.0.0.5",
            "::ffff:192.168.1.1",
            "172.31.0.1",
            "100.64.0.1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(is_private(near.parse().unwrap()), "{near}");
        }
        for far in [
            "192.0.2.1",
            "172.32.0.1",
            "100.128.0.1",
            "2001:db8::1",
            "100.63.255.255",
        ] {
            assert!(!is_private(far.parse().unwrap()), "{far}");
        }
    }

    #[test]
    fn networks_hold_mapped_addresses_and_refuse_host_bits() {
        let ten: Network = "10.0.0.0/8".parse().unwrap();
        assert!(ten.contains("10.1.2.3".parse().unwrap()));
        assert!(ten.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!ten.contains("11.0.0.1".parse().unwrap()));
        assert!(
            "10.0.0.1"
                .parse::<Network>()
                .unwrap()
                .contains("10.0.0.1".parse().unwrap())
        );
        assert!(
            "10.0.0.1/8"
                .parse::<Network>()
                .unwrap_err()
                .to_string()
                .contains("10.0.0.0/8")
        );
        assert!("ten".parse::<Network>().is_err());
        assert!(!Networks::default().contain("127.0.0.1".parse().unwrap()));
    }
}
