//! What a handshake asks of a client, by the host it is for: the sum of what the routes of that host ask.
//!
//! This settles who is *asked* for a certificate. Who needs one is settled request by request, by the rule of the route; so
//! no name in a handshake, and no other one in the request behind it, leads around a rule.

use std::collections::HashMap;

use crate::route::{Host, HostPattern};
use crate::tls::ClientAuth;

/// What each host asks for.
#[derive(Clone, Debug, Default)]
pub struct Handshakes {
    exact: HashMap<String, Asked>,
    /// Keyed by what stands behind `*.`.
    wildcard: HashMap<String, Asked>,
    any: Asked,
    /// Everything together.
    all: Asked,
}

/// The least and the most that is asked for; `None`: nobody has asked yet.
#[derive(Clone, Copy, Debug, Default)]
struct Asked(Option<(ClientAuth, ClientAuth)>);

impl Asked {
    fn with(self, other: Self) -> Self {
        Self(match (self.0, other.0) {
            (None, one) | (one, None) => one,
            (Some((least, most)), Some((low, high))) => Some((least.min(low), most.max(high))),
        })
    }

    /// A certificate is demanded of everybody only where everything demands one; where something may want it, clients are
    /// asked for it.
    fn sum(self) -> ClientAuth {
        match self.0 {
            None | Some((_, ClientAuth::None)) => ClientAuth::None,
            Some((ClientAuth::Required, ClientAuth::Required)) => ClientAuth::Required,
            Some(_) => ClientAuth::Optional,
        }
    }
}

impl Handshakes {
    /// Something on these hosts (none: on every host) asks for this.
    pub(super) fn note(&mut self, hosts: &[HostPattern], client_auth: ClientAuth) {
        let asked = Asked(Some((client_auth, client_auth)));
        self.all = self.all.with(asked);
        if hosts.is_empty() {
            self.any = self.any.with(asked);
        }
        for host in hosts {
            let place = match host {
                HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
                HostPattern::Wildcard(parent) => self.wildcard.entry(parent.clone()).or_default(),
            };
            *place = place.with(asked);
        }
    }

    /// Whether any client is asked for a certificate.
    pub fn ask(&self) -> bool {
        self.all.sum() != ClientAuth::None
    }

    /// What a handshake for this host asks. One that names no host may be for any of them.
    pub fn of_name(&self, name: Option<&Host<'_>>) -> ClientAuth {
        match name {
            Some(_) => self.of_host(name),
            None => self.all.sum(),
        }
    }

    /// What the routes of this host ask: every route that a request for it can come to.
    pub fn of_host(&self, host: Option<&Host<'_>>) -> ClientAuth {
        let name = host.map(Host::name);
        let exact = name.and_then(|name| self.exact.get(name));
        let wildcard = name.and_then(|name| self.wildcard.get(name.split_once('.')?.1));
        [exact, wildcard]
            .into_iter()
            .flatten()
            .fold(self.any, |sum, asked| sum.with(*asked))
            .sum()
    }

    /// Whether a request for `host` belongs on a connection whose handshake named `name`: both have the same rules. An
    /// address is never named in a handshake (RFC 6066 section 3), so a request for one belongs where none was named.
    pub fn agree(&self, name: Option<&Host<'_>>, host: Option<&Host<'_>>) -> bool {
        match (name, host) {
            (None, Some(host)) if host.is_address() => true,
            (name, host) => self.of_host(name) == self.of_host(host),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn host(text: &str) -> Host<'_> {
        Host::parse(text).unwrap()
    }

    #[test]
    fn a_host_asks_for_what_its_routes_ask() {
        let mut handshakes = Handshakes::default();
        assert!(!handshakes.ask());
        let pattern = |text: &str| vec![text.parse().unwrap()];
        handshakes.note(&pattern("strict.test"), ClientAuth::Required);
        handshakes.note(&pattern("*.wild.test"), ClientAuth::Optional);
        handshakes.note(&pattern("open.test"), ClientAuth::None);
        assert!(handshakes.ask());
        let cases = [
            ("strict.test", ClientAuth::Required),
            ("STRICT.test.:8443", ClientAuth::Required),
            ("a.wild.test", ClientAuth::Optional),
            ("a.b.wild.test", ClientAuth::None),
            ("wild.test", ClientAuth::None),
            ("open.test", ClientAuth::None),
            ("else.test", ClientAuth::None),
        ];
        for (name, asked) in cases {
            assert_eq!(handshakes.of_host(Some(&host(name))), asked, "{name}");
            assert_eq!(handshakes.of_name(Some(&host(name))), asked, "{name}");
        }
        assert_eq!(handshakes.of_host(None), ClientAuth::None);
        assert_eq!(handshakes.of_name(None), ClientAuth::Optional);
        // What holds everywhere holds beside what a host says.
        handshakes.note(&[], ClientAuth::None);
        assert_eq!(handshakes.of_host(Some(&host("strict.test"))), ClientAuth::Optional);
    }

    #[test]
    fn a_request_belongs_to_a_handshake_under_the_same_rules() {
        let mut handshakes = Handshakes::default();
        handshakes.note(&[], ClientAuth::None);
        for name in ["strict.test", "other.test"] {
            handshakes.note(&[name.parse().unwrap()], ClientAuth::Required);
        }
        let (strict, other, open, address) = (
            host("strict.test"),
            host("other.test"),
            host("open.test"),
            host("192.0.2.1"),
        );
        for (name, asked, agree) in [
            (Some(&strict), Some(&strict), true),
            (Some(&strict), Some(&other), true),
            (Some(&strict), Some(&open), false),
            (Some(&open), Some(&strict), false),
            (Some(&open), Some(&host("else.test")), true),
            (None, Some(&strict), false),
            (None, Some(&open), true),
            (None, Some(&address), true),
            (Some(&strict), None, false),
            (None, None, true),
        ] {
            assert_eq!(handshakes.agree(name, asked), agree, "{name:?} {asked:?}");
        }
    }
}
