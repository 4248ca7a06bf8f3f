//! What is said about proxies that are wired wrong: one line that says what to change where, and not again for each of the
//! thousand questions that follow.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::endpoint::forward_auth::{Dialect, Fault, FaultKind};
use crate::net::is_private;

/// The same is said once in this time, in milliseconds.
const AGAIN_AFTER: i64 = 10_000;
/// What every request of a proxy gives cause for is said more rarely.
const AGAIN_AFTER_AN_HOUR: i64 = 3_600_000;
/// So many different complaints are told apart; two that share a place wait for one another.
const PLACES: usize = 88;

/// What is complained about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Complaint<'a> {
    /// Who asks is not one of the trusted proxies.
    Stranger(Dialect),
    /// The question does not say what it asks about; below this prefix others are asked like that.
    Miswired(Dialect, Fault, &'a str, &'static [Dialect]),
    /// The question is addressed to what is next to the endpoint, which is below this prefix.
    Misaddressed(Dialect, &'a str, &'a str),
    /// The question does not say who the client is, and the route wants to know.
    NoClient(Dialect),
    /// Whoever has to log in is sent to a page that lets nobody in who has not.
    LoginLoop,
}

/// Where to ask instead.
struct Address<'a>(Dialect, &'a str);

impl fmt::Display for Address<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(_, "") => {
                formatter.write_str("set endpoints.pages: without pages there are no addresses for questions")
            }
            Self(dialect, pages) => write!(formatter, "ask {}, to the letter", dialect.address(pages)),
        }
    }
}

/// What to do about a question that does not say what it asks about.
struct Hint<'a>(Dialect, &'a Fault, &'a str, &'static [Dialect]);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(dialect, fault, pages, likely) = self;
        let advice = dialect.advice(fault);
        match (likely, fault.kind) {
            ([first, rest @ ..], _) => {
                write!(formatter, "the question is one as {}", first.as_str())?;
                rest.iter()
                    .try_for_each(|one| write!(formatter, " or {}", one.as_str()))?;
                write!(formatter, " asks it: ask {}", first.address(pages))?;
                rest.iter()
                    .try_for_each(|one| write!(formatter, " or {}", one.address(pages)))?;
                formatter.write_str(" instead")
            }
            ([], FaultKind::Missing | FaultKind::Repeated) => formatter.write_str(advice),
            // A proxy hands on what a client has sent, be it never so odd.
            ([], FaultKind::Malformed) => write!(
                formatter,
                "a client may have sent this, and nothing is to be changed if ordinary requests pass; if none does, {advice}"
            ),
        }
    }
}

/// When what was last said.
#[derive(Debug)]
pub struct Complaints {
    said: [AtomicI64; PLACES],
    unsaid: AtomicU64,
}

impl Default for Complaints {
    fn default() -> Self {
        Self {
            said: std::array::from_fn(|_| AtomicI64::new(i64::MIN)),
            unsaid: AtomicU64::new(0),
        }
    }
}

impl Complaints {
    /// Says it, unless it was said of late; `now`: Unix milliseconds.
    pub(super) fn make(&self, complaint: &Complaint<'_>, peer: IpAddr, now: i64) {
        if !self.is_due(place(complaint, peer), now, AGAIN_AFTER) {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let unsaid = self.unsaid.swap(0, Ordering::Relaxed);
        match complaint {
            Complaint::Stranger(dialect) => tracing::warn!(
                reason = "untrusted_proxy",
                dialect = dialect.as_str(),
                %peer,
                unsaid,
                hint = "if this is a proxy of yours, add its address to trusted_proxies",
                "a forward-auth question came from a peer that is not in trusted_proxies"
            ),
            Complaint::Miswired(dialect, fault, pages, likely) => tracing::warn!(
                reason = "invalid_question",
                dialect = dialect.as_str(),
                %peer,
                unsaid,
                fault = %fault,
                hint = %Hint(*dialect, fault, pages, likely),
                "a forward-auth question does not say what it asks about"
            ),
            Complaint::Misaddressed(dialect, pages, path) => tracing::warn!(
                reason = "invalid_question",
                dialect = dialect.as_str(),
                %peer,
                unsaid,
                ?path,
                hint = %Address(*dialect, pages),
                "a forward-auth question is addressed to no endpoint"
            ),
            Complaint::NoClient(dialect) => tracing::warn!(
                reason = "client_unknown",
                dialect = dialect.as_str(),
                %peer,
                unsaid,
                hint = dialect.advice_on_clients(),
                "a forward-auth question does not say who the client is: networks let nobody in, and a rate limit counts all such as one"
            ),
            Complaint::LoginLoop => tracing::warn!(
                reason = "login_protected",
                %peer,
                unsaid,
                hint = "give the page of forward_auth.login_url a route with access = \"public\"",
                "the login page itself asks for a login"
            ),
        }
    }

    /// Says of a peer that what it says of its client is not believed: a configuration that somebody forgot, where a proxy of
    /// one's own would stand. Who comes from afar may write what it likes.
    #[cold]
    pub(super) fn unbelieved(&self, peer: IpAddr, now: i64) {
        let peer = peer.to_canonical();
        if is_private(peer) {
            // Not counted: it is every request, and workers would wait for one another.
            if !self.is_due(unbelieved(peer), now, AGAIN_AFTER_AN_HOUR) {
                return;
            }
            tracing::warn!(
                reason = "untrusted_proxy",
                %peer,
                hint = %format_args!(
                    "if this is a proxy of yours, add its address to trusted_proxies, which stands before the first table: \
                     trusted_proxies = [\"{peer}\"]; until then all its clients share its address in every limit, and https is \
                     not seen"
                ),
                "a peer that is not in trusted_proxies says which client it speaks for, and is not believed"
            );
        }
    }

    fn is_due(&self, place: usize, now: i64, again_after: i64) -> bool {
        let Some(said) = self.said.get(place) else { return true };
        let last = said.load(Ordering::Relaxed);
        // A clock that was set back must not silence what there is to say.
        let due = last == i64::MIN || now < last || now - last >= again_after;
        due && said
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

fn last(peer: IpAddr) -> u8 {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    }
}

/// The place of a peer that is not believed.
fn unbelieved(peer: IpAddr) -> usize {
    68 + usize::from(last(peer) % 16)
}

fn place(complaint: &Complaint<'_>, peer: IpAddr) -> usize {
    let dialect = |dialect: &Dialect| Dialect::ALL.iter().position(|one| one == dialect).unwrap_or_default();
    let number = match complaint {
        // Several strangers are told apart, as far as there is room.
        Complaint::Stranger(_) => 48 + usize::from(last(peer) % 15),
        Complaint::LoginLoop => 63,
        Complaint::Misaddressed(one, ..) => 64 + dialect(one),
        Complaint::NoClient(one) => 84 + dialect(one),
        Complaint::Miswired(one, fault, ..) => {
            let kind = match fault.kind {
                FaultKind::Missing => 0,
                FaultKind::Repeated => 1,
                FaultKind::Malformed => 2,
            };
            let field = match fault.field.bytes().last() {
                Some(b'd') => 0,
                // The last is the path behind an endpoint's.
                Some(b'L' | b'i' | b's') => 1,
                Some(b'o') => 2,
                Some(_) | None => 3,
            };
            dialect(one) * 12 + kind * 4 + field
        }
    };
    number % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_in_a_while() {
        let complaints = Complaints::default();
        let due = |place, now| complaints.is_due(place, now, AGAIN_AFTER);
        assert!(due(1, 5));
        assert!(!due(1, 6) && due(2, 6));
        assert!(!due(1, AGAIN_AFTER + 4) && due(1, AGAIN_AFTER + 5));
        assert!(due(1, 1), "the clock was set back");
    }

    #[test]
    fn different_faults_have_different_places() {
        let mut places = std::collections::HashSet::new();
        let peer = IpAddr::from([127, 0, 0, 1]);
        let fields = [
            "X-Forwarded-Method",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "X-Forwarded-Uri",
        ];
        let envoys = ["Host", "the path behind the endpoint's"].map(|field| {
            let fault = Fault {
                field,
                kind: FaultKind::Malformed,
            };
            place(&Complaint::Miswired(Dialect::Envoy, fault, "/auth", &[]), peer)
        });
        assert_ne!(envoys[0], envoys[1]);
        for dialect in [Dialect::Nginx, Dialect::Traefik, Dialect::Caddy, Dialect::Envoy] {
            for kind in [FaultKind::Missing, FaultKind::Repeated, FaultKind::Malformed] {
                for field in fields {
                    let fault = Fault { field, kind };
                    assert!(places.insert(place(&Complaint::Miswired(dialect, fault, "/auth", &[]), peer)));
                }
            }
        }
        for dialect in Dialect::ALL {
            assert!(places.insert(place(&Complaint::Misaddressed(dialect, "/auth", "/"), peer)));
            assert!(places.insert(place(&Complaint::NoClient(dialect), peer)));
        }
        assert!(places.insert(place(&Complaint::LoginLoop, peer)));
        assert!(places.insert(place(&Complaint::Stranger(Dialect::Nginx), peer)));
        for last in 0..16 {
            assert!(places.insert(unbelieved(IpAddr::from([10, 0, 0, last]))));
        }
        assert!(places.iter().all(|place| *place < PLACES));
    }
}
