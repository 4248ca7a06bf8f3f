//! The audit log: who came in, who did not, what was changed. Every line and field of it stands here; none of them ever
//! holds a password, a hash or a token. What a client typed as a name is told only where it is a user's name: people type
//! passwords into the wrong field.

use std::net::IpAddr;

use crate::principal::{Person, SessionId, UserId};
use crate::store::User;
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
    UnusableHash(Box<User>),
    SeveralUsers(Vec<UserId>),
    ChangedMeanwhile,
}

/// What an administrator did, from the command line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Created,
    PasswordSet,
    RolesSet,
    Activated,
    Deactivated,
    Deleted,
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
        Rejection::UnusableHash(user) => ("unusable_hash", Some(user)),
        Rejection::SeveralUsers(_) => ("several_users", None),
        Rejection::ChangedMeanwhile => ("changed_meanwhile", None),
    };
    let ids = match rejection {
        Rejection::SeveralUsers(ids) => Some(tracing::field::debug(ids)),
        Rejection::UnknownName
        | Rejection::WrongPassword(_)
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

pub(super) fn administered(action: Action, user: &User) {
    let action = match action {
        Action::Created => "user_created",
        Action::PasswordSet => "password_set",
        Action::RolesSet => "roles_set",
        Action::Activated => "user_activated",
        Action::Deactivated => "user_deactivated",
        Action::Deleted => "user_deleted",
    };
    event!(
        "account changed from the command line",
        event.action = action,
        event.outcome = "success",
        user.id = user.id.0,
        user.name = user.username.as_str(),
        user.roles = user.roles.as_str(),
        grants = user.grants.join(",")
    );
}
