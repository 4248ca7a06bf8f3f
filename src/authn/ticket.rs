//! Who shows a ticket.

use crate::principal::{CredentialKind, Issuer, Person, Roles};
use crate::store::{Ticket, User};

/// The person that a ticket stands for, with those of the roles in `all` that it was made with.
pub(super) fn person(ticket: &Ticket, user: &User, all: &Roles, now: i64) -> Person {
    let limit = ticket.roles.as_deref().map(Roles::from_column);
    Person {
        issuer: Issuer::Local,
        subject: user.id.to_string(),
        user: Some(user.id),
        name: user.username.clone(),
        roles: all.within(limit.as_ref()),
        email: user.email.clone().filter(|_| user.email_verified),
        session: ticket.session,
        token_id: ticket.api_key.clone(),
        issued_at: now.div_euclid(1000),
        expires_at: ticket.not_after.div_euclid(1000),
        credential: CredentialKind::Ticket,
        limit,
        subject_prefix: 0,
    }
}
