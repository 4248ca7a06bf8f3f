//! What browsers show: the session's cookie, and tickets.

use std::sync::Arc;

use super::{Fault, Outcome, Pending, Proof, check};
use crate::revocation::Revocations;
use crate::secret::sha256;
use crate::session::{Found, Sealer};

/// How many characters a ticket has: `dwt_` and 32 random bytes in base64url.
const TICKET_CHARS: usize = 47;
const TICKET_PREFIX: &str = "dwt_";

/// Judges a cookie. One that is dead, broken or none of ours is as good as none: who shows it may log in again.
pub(super) fn cookie(found: Found<'_>, sealer: &Sealer, revocations: &Revocations, now: i64) -> Outcome {
    let value = match found {
        Found::Nothing | Found::Broken => return Outcome::Anonymous,
        Found::Several => return Outcome::Bad(Fault::SeveralCookies),
        Found::One(value) => value,
    };
    if !sealer.ready(now) {
        return Outcome::Bad(Fault::NotReady);
    }
    let Some(claims) = sealer.open(value, now) else {
        return Outcome::Anonymous;
    };
    let proof = Arc::new(Proof::of(Arc::new(claims.person())));
    match check::standing(revocations, &proof) {
        Outcome::Bad(Fault::Ended) => Outcome::Anonymous,
        _ if !claims.are_fresh(now) => Outcome::Ask(Pending::Session(claims.session)),
        outcome => outcome,
    }
}

/// A ticket is only ever known to the store.
pub(super) fn ticket(shown: &str) -> Outcome {
    let is_one = shown.len() == TICKET_CHARS && shown.starts_with(TICKET_PREFIX) && shown.is_ascii();
    match is_one {
        true => Outcome::Ask(Pending::Ticket(sha256(shown.as_bytes()))),
        false => Outcome::Bad(Fault::Invalid("ticket")),
    }
}

/// The text of a new ticket and the hash to keep.
pub fn write_ticket(random: &[u8; 32]) -> (String, [u8; 32]) {
    use base64::Engine as _;
    let text = format!(
        "{TICKET_PREFIX}{}",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random)
    );
    let hash = sha256(text.as_bytes());
    (text, hash)
}
