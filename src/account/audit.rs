//! The audit log: who came in, who did not, what was changed. Every line and field of it stands here; none of them ever
//! holds a password, a hash or a token. What a client typed as a name is told only where it is a user's name: people type
//! passwords into the wrong field.

use std::net::IpAddr;

use crate::principal::{Person, SessionId, UserId};
use crate::store::{ApiKey, User};
use crate::throttle::Scope;

/// The target of all lines, by which they are told apart from the rest of the log.
macro_rules! event {
    ($message:literal, $($field:tt)*) => { tracing::info!(target: "doorward::audit", { $($field)* }, $message) };
}

/// Why a login was refused as "unknown name or wrong password".
#[derive(Debug)]
pub(super) enum Rejection {
    UnknownName,
    WrongPassword(Box<User>),
    /// The password is right, and the account waits for the confirmation of its address.
    Unconfirmed(Box<User>),
    UnusableHash(Box<User>),
    SeveralUsers(Vec<UserId>),
    ChangedMeanwhile,
}

/// What an administrator did to an account.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Created,
    PasswordSet,
    RolesSet,
    EmailSet,
    Activated,
    Deactivated,
    Deleted,
    SessionsEnded,
}

/// Who did it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Actor<'a> {
    /// Whoever may run the program on the gateway's store.
    CommandLine,
    /// Somebody who was let in, from this address.
    Person(&'a Person, IpAddr),
}

impl<'a> Actor<'a> {
    fn person(self) -> Option<&'a Person> {
        match self {
            Self::CommandLine => None,
            Self::Person(person, _) => Some(person),
        }
    }

    fn name(self) -> &'a str {
        self.person().map_or("command line", |person| person.name.as_str())
    }

    fn id(self) -> Option<i64> {
        self.person()?.user.map(|user| user.0)
    }

    fn address(self) -> Option<tracing::field::DisplayValue<IpAddr>> {
        match self {
            Self::CommandLine => None,
            Self::Person(_, address) => Some(tracing::field::display(address)),
        }
    }
}

pub(super) fn logged_in(user: &User, client: IpAddr) {
    event!(
        "logged in",
        event.action = "login",
        event.outcome = "success",
        user.id = user.id.0,
        user.name = user.username.as_str(),
        client.ip = %client
    );
}

pub(super) fn rejected(rejection: &Rejection, client: IpAddr) {
    let (reason, user) = match rejection {
        Rejection::UnknownName => ("unknown_name", None),
        Rejection::WrongPassword(user) => ("wrong_password", Some(user)),
        Rejection::Unconfirmed(user) => ("unconfirmed", Some(user)),
        Rejection::UnusableHash(user) => ("unusable_hash", Some(user)),
        Rejection::SeveralUsers(_) => ("several_users", None),
        Rejection::ChangedMeanwhile => ("changed_meanwhile", None),
    };
    let ids = match rejection {
        Rejection::SeveralUsers(ids) => Some(tracing::field::debug(ids)),
        Rejection::UnknownName
        | Rejection::WrongPassword(_)
        | Rejection::Unconfirmed(_)
        | Rejection::UnusableHash(_)
        | Rejection::ChangedMeanwhile => None,
    };
    event!(
        "login refused",
        event.action = "login",
        event.outcome = "failure",
        doorward.reason = reason,
        user.id = user.map(|user| user.id.0),
        user.name = user.map(|user| user.username.as_str()),
        users = ids,
        client.ip = %client
    );
}

pub(super) fn inactive(user: &User, client: IpAddr) {
    event!(
        "login to a deactivated account",
        event.action = "login",
        event.outcome = "failure",
        doorward.reason = "account_inactive",
        user.id = user.id.0,
        user.name = user.username.as_str(),
        client.ip = %client
    );
}

pub(super) fn throttled(scope: Scope, client: IpAddr) {
    event!(
        "login throttled",
        event.action = "login",
        event.outcome = "failure",
        doorward.reason = "too_many_attempts",
        scope = scope.as_str(),
        client.ip = %client
    );
}

pub(super) fn registered(user: &User, client: IpAddr) {
    event!(
        "account registered",
        event.action = "registration",
        event.outcome = "success",
        user.id = user.id.0,
        user.name = user.username.as_str(),
        client.ip = %client
    );
}

pub(super) fn confirmed(user: &User, client: IpAddr) {
    event!(
        "address confirmed",
        event.action = "email_confirmed",
        event.outcome = "success",
        user.id = user.id.0,
        user.name = user.username.as_str(),
        client.ip = %client
    );
}

pub(super) fn reset_requested(user: &User, client: IpAddr) {
    event!(
        "new password asked for by mail",
        event.action = "password_reset_requested",
        event.outcome = "success",
        user.id = user.id.0,
        user.name = user.username.as_str(),
        client.ip = %client
    );
}

pub(super) fn password_reset(user: &User, client: IpAddr) {
    event!(
        "password set by mail",
        event.action = "password_reset",
        event.outcome = "success",
        user.id = user.id.0,
        user.name = user.username.as_str(),
        client.ip = %client
    );
}

pub(super) fn logged_out(person: &Person, session: SessionId, client: IpAddr) {
    event!(
        "logged out",
        event.action = "logout",
        event.outcome = "success",
        user.id = person.user.map(|user| user.0),
        user.name = person.name.as_str(),
        session = %session,
        client.ip = %client
    );
}

pub(super) fn reused(user: UserId, session: SessionId, client: IpAddr) {
    event!(
        "a spent refresh token came again: its session was ended",
        event.action = "refresh_reuse",
        event.outcome = "failure",
        user.id = user.0,
        session = %session,
        client.ip = %client
    );
}

pub(super) fn password_changed(person: &Person, client: IpAddr) {
    event!(
        "password changed by its owner",
        event.action = "password_changed",
        event.outcome = "success",
        user.id = person.user.map(|user| user.0),
        user.name = person.name.as_str(),
        client.ip = %client
    );
}

pub(super) fn session_ended(person: &Person, session: SessionId, client: IpAddr) {
    event!(
        "session ended by its owner",
        event.action = "session_ended",
        event.outcome = "success",
        user.id = person.user.map(|user| user.0),
        user.name = person.name.as_str(),
        session = %session,
        client.ip = %client
    );
}

/// `what`: the kind of token; `which`: the session or the key that ended with it.
pub(super) fn token_revoked(what: &'static str, which: &str, client: IpAddr) {
    event!(
        "token revoked by its holder",
        event.action = "token_revoked",
        event.outcome = "success",
        doorward.credential = what,
        revoked = which,
        client.ip = %client
    );
}

pub(super) fn key_made(actor: Actor<'_>, owner: UserId, key: &ApiKey) {
    event!(
        "API key made",
        event.action = "api_key_created",
        event.outcome = "success",
        user.id = owner.0,
        key = key.id.as_str(),
        key.name = key.name.as_str(),
        key.roles = key.roles.as_deref(),
        by.id = actor.id(),
        by.name = actor.name(),
        client.ip = actor.address()
    );
}

pub(super) fn key_revoked(actor: Actor<'_>, owner: UserId, key: &str) {
    event!(
        "API key revoked",
        event.action = "api_key_revoked",
        event.outcome = "success",
        user.id = owner.0,
        key,
        by.id = actor.id(),
        by.name = actor.name(),
        client.ip = actor.address()
    );
}

pub(super) fn session_ended_for(actor: Actor<'_>, owner: UserId, session: SessionId) {
    event!(
        "session ended by an administrator",
        event.action = "session_ended",
        event.outcome = "success",
        user.id = owner.0,
        session = %session,
        by.id = actor.id(),
        by.name = actor.name(),
        client.ip = actor.address()
    );
}

pub(super) fn administered(action: Action, user: &User, actor: Actor<'_>) {
    let action = match action {
        Action::Created => "user_created",
        Action::PasswordSet => "password_set",
        Action::RolesSet => "roles_set",
        Action::EmailSet => "email_set",
        Action::Activated => "user_activated",
        Action::Deactivated => "user_deactivated",
        Action::Deleted => "user_deleted",
        Action::SessionsEnded => "sessions_ended",
    };
    event!(
        "account changed by an administrator",
        event.action = action,
        event.outcome = "success",
        user.id = user.id.0,
        user.name = user.username.as_str(),
        user.roles = user.roles.as_str(),
        grants = user.grants.join(","),
        by.id = actor.id(),
        by.name = actor.name(),
        client.ip = actor.address()
    );
}
