//! Tokens that name their user by a key alone and stand for themselves: who that is, and whether they still count.

use std::sync::Arc;

use crate::principal::{Person, UserId};
use crate::store::{Ban, User};

use super::{Overlay, Revocations, State};

/// Users that are known only because somebody asked who they are: beyond, all of those are asked for again.
const LEARNED_AT_MOST: usize = 250_000;

/// Who a token means that names its user by a key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// This person, with the name and roles in force.
    Known(Arc<Person>),
    /// Nobody has asked yet: [`Revocations::learn`] who it is.
    Unknown(UserId),
    /// The token was revoked by its own name.
    TokenRevoked,
    /// The user may not come in any more, or the token was issued before something that ended all tokens of the user.
    Revoked,
    /// There is no such user.
    Gone,
}

impl Revocations {
    /// Who a token means that names its user by a key alone, and whether it still counts.
    pub fn identify(&self, person: &Person) -> Identity {
        let Some(user) = person.user else { return Identity::Gone };
        if person.token_id.as_deref().is_some_and(|id| self.is_token_revoked(id)) {
            return Identity::TokenRevoked;
        }
        match self.0.users.pin().get(&user).map(|overlay| &overlay.state) {
            Some(State::Gone) => Identity::Gone,
            Some(State::Inactive) => Identity::Revoked,
            Some(State::In(now)) if now.cuts(person) => Identity::Revoked,
            Some(State::In(now)) => Identity::Known(Arc::new(now.person(person))),
            None if self.missed_by_census(user, person.issued_at) => Identity::Gone,
            None => Identity::Unknown(user),
        }
    }

    /// Whether one of our own tokens was revoked by its name (`jti`).
    pub fn is_token_revoked(&self, id: &str) -> bool {
        let bans = self.0.bans.pin();
        !bans.is_empty() && bans.contains_key(&Ban::of_ours(id))
    }

    /// Takes in who a user is, as the store just said. What the feed has told meanwhile is younger, and stays; what it tells
    /// from now on keeps this up to date. It may bring back whom a census missed, so remembered verdicts are asked for again.
    pub fn learn(&self, user: &User, admin_role: &str, now: i64) {
        let users = self.0.users.pin();
        let is_full = users.len() >= LEARNED_AT_MOST;
        if is_full {
            users.retain(|_, overlay| overlay.until > now);
        }
        let overlay = Overlay {
            state: State::of(Some(user), admin_role),
            until: i64::MIN,
            learned: self.generation(),
            kept: true,
        };
        // Whoever is not active is asked for again when this is swept: nobody is told of a user who comes back.
        let is_news = users.try_insert(user.id, overlay).is_ok();
        if is_news || is_full {
            self.changed();
        }
    }

    /// Refuses one of our own tokens here at once, by its name; the feed tells the other replicas.
    pub fn revoke_token_now(&self, id: &str, until: i64) {
        self.remember_ban(&Ban::of_ours(id), 0, until);
        self.changed();
    }
}
