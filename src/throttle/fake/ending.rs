//! The end of sessions.

use super::State;
use crate::store::Session;

pub(super) fn end(state: &mut State, now: i64, which: impl Fn(&Session) -> bool) -> bool {
    let mut some = false;
    for session in state
        .sessions
        .values_mut()
        .filter(|session| which(session) && session.revoked_at.is_none())
    {
        session.revoked_at = Some(now);
        some = true;
    }
    some
}
