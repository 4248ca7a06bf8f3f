//! Whether a request belongs on the connection it came on.
//!
//! A client may use one connection for several hosts (RFC 9113 section 9.1.1). Where these differ in what they ask of clients
//! in the handshake, the request is sent back to be made on a connection of its own host (RFC 9110 section 15.5.20). No rule
//! rests on this: who needs a certificate is decided by the route.

use super::Connection;
use crate::admission::Policy;
use crate::codes::Code;
use crate::problem::Problem;
use crate::route::Host;
use crate::tls::ClientAuth;

/// Refuses a request whose host has other rules for client certificates than the handshake had.
pub(super) fn check(
    policy: &Policy,
    connection: &Connection,
    host: Option<&Host<'_>>,
    certificate: bool,
) -> Result<(), Problem> {
    let Some(secured) = connection.secured().filter(|_| policy.handshakes().ask()) else {
        return Ok(());
    };
    let handshakes = policy.handshakes();
    // The rules may be newer than the handshake: then the client was not asked for what it now needs.
    let never_asked = secured.asked == ClientAuth::None && !certificate && handshakes.of_host(host) != ClientAuth::None;
    if handshakes.agree(secured.name.as_ref(), host) && !never_asked {
        return Ok(());
    }
    let detail = "This connection was made for a host with other rules. Send the request on a connection of its own.";
    Err(Problem::new(Code::MisdirectedRequest, detail).closing())
}
