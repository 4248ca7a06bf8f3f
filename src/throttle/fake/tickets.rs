//! Tickets in the store in memory.

use super::Fake;
use crate::store::*;

impl Tickets for Fake {
    fn add_ticket(&self, ticket: Ticket) -> Answer<'_, ()> {
        self.answer(move |state| {
            state.tickets.insert(ticket.hash, ticket);
        })
    }
    fn take_ticket(&self, hash: [u8; 32], now: i64) -> Answer<'_, Option<(Ticket, User)>> {
        self.answer(move |state| {
            let ticket = state.tickets.remove(&hash)?;
            let ended = |id| {
                state
                    .sessions
                    .get(&id)
                    .is_none_or(|session| session.revoked_at.is_some())
            };
            if ticket.expires_at <= now || ticket.not_after <= now || ticket.session.is_some_and(ended) {
                return None;
            }
            let user = state.users.get(&ticket.user).map(|(user, _)| user.clone());
            user.filter(|user| user.active).map(|user| (ticket, user))
        })
    }
    fn forget_tickets(&self, now: i64) -> Answer<'_, u64> {
        self.answer(move |state| {
            let had = state.tickets.len();
            state.tickets.retain(|_, ticket| ticket.expires_at > now);
            u64::try_from(had - state.tickets.len()).unwrap()
        })
    }
}
