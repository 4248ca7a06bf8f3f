//! Codes from mails, and what they do, in SQLite.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::select_user;
use crate::principal::UserId;
use crate::store::mail::bound;
use crate::store::{Error, NewCode, Proof, Purpose, Redeemed, User};

/// Writes down the hash of a code; false: the user is gone.
pub(super) fn add(connection: &Connection, user: UserId, code: &NewCode) -> Result<bool, Error> {
    let Some(user) = select_user(connection, user)? else {
        return Ok(false);
    };
    let sql = "INSERT INTO gateway_codes (hash, user_id, purpose, bound, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        code.hash,
        user.id.0,
        code.purpose.as_str(),
        bound(&user),
        code.expires_at
    ])?;
    Ok(true)
}

/// An administrator closed the account: no code opens it.
pub(super) fn close(connection: &Connection, user: UserId) -> Result<(), Error> {
    let sql = "INSERT INTO gateway_unconfirmed (user_id, until) VALUES (?1, 0) \
        ON CONFLICT (user_id) DO UPDATE SET until = 0";
    connection.prepare_cached(sql)?.execute([user.0])?;
    Ok(())
}

pub(super) fn is_unconfirmed(connection: &Connection, user: UserId) -> Result<bool, Error> {
    Ok(until(connection, user)?.is_some_and(|until| until > 0))
}

fn until(connection: &Connection, user: UserId) -> Result<Option<i64>, Error> {
    let sql = "SELECT until FROM gateway_unconfirmed WHERE user_id = ?1";
    Ok(connection
        .prepare_cached(sql)?
        .query_row([user.0], |row| row.get(0))
        .optional()?)
}

/// Whose code this is, if it counts.
pub(super) fn owner(
    connection: &Connection,
    hash: [u8; 32],
    purpose: Purpose,
    now: i64,
) -> Result<Option<User>, Error> {
    let sql = "SELECT user_id, bound FROM gateway_codes WHERE hash = ?1 AND purpose = ?2 AND expires_at > ?3";
    let found: Option<(i64, [u8; 32])> = connection
        .prepare_cached(sql)?
        .query_row(params![hash, purpose.as_str(), now], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((user, was)) = found else { return Ok(None) };
    Ok(select_user(connection, UserId(user))?.filter(|user| bound(user) == was))
}

/// Whom a proof is of; one that counts once is spent.
fn spend(connection: &Connection, proof: &Proof, purpose: Purpose, now: i64) -> Result<Option<User>, Error> {
    match proof {
        Proof::Code(hash) => owner(connection, *hash, purpose, now),
        Proof::Token { user, once: None } => select_user(connection, *user),
        Proof::Token {
            user,
            once: Some((hash, expires_at)),
        } => {
            let sql = "INSERT INTO gateway_codes (hash, user_id, purpose, bound, expires_at) \
                VALUES (?1, ?2, 'spent', ?1, ?3) ON CONFLICT DO NOTHING";
            let first = connection
                .prepare_cached(sql)?
                .execute(params![hash, user.0, expires_at])?
                > 0;
            if first {
                select_user(connection, *user)
            } else {
                Ok(None)
            }
        }
    }
}

/// Whether this proof may make the account active, or it is so already. A token says nothing about who waits for what:
/// another server may have made the account.
fn may_open(connection: &Connection, user: &User, proof: &Proof) -> Result<bool, Error> {
    if user.active {
        return Ok(true);
    }
    let until = until(connection, user.id)?;
    Ok(match proof {
        Proof::Code(_) => until.is_some_and(|until| until > 0),
        Proof::Token { .. } => until.is_none_or(|until| until > 0),
    })
}

pub(super) fn confirm(connection: &Connection, proof: &Proof, now: i64) -> Result<Redeemed, Error> {
    let Some(user) = spend(connection, proof, Purpose::Confirmation, now)? else {
        return Ok(Redeemed::Unknown);
    };
    if !may_open(connection, &user, proof)? {
        return Ok(Redeemed::Closed);
    }
    connection
        .prepare_cached("UPDATE users SET is_active = TRUE, email_verified = TRUE WHERE id = ?1")?
        .execute([user.id.0])?;
    connection
        .prepare_cached("DELETE FROM gateway_codes WHERE user_id = ?1 AND purpose = 'confirmation'")?
        .execute([user.id.0])?;
    done(connection, user.id)
}

pub(super) fn reset_password(connection: &Connection, proof: &Proof, hash: &str, now: i64) -> Result<Redeemed, Error> {
    let Some(user) = spend(connection, proof, Purpose::Reset, now)? else {
        return Ok(Redeemed::Unknown);
    };
    let code = matches!(proof, Proof::Code(_));
    if !(user.active || (code && may_open(connection, &user, proof)?)) {
        return Ok(Redeemed::Closed);
    }
    connection
        .prepare_cached("UPDATE users SET password = ?2, is_active = TRUE, email_verified = TRUE WHERE id = ?1")?
        .execute(params![user.id.0, hash])?;
    // What was spent stays known as spent.
    connection
        .prepare_cached("DELETE FROM gateway_codes WHERE user_id = ?1 AND purpose <> 'spent'")?
        .execute([user.id.0])?;
    done(connection, user.id)
}

fn done(connection: &Connection, id: UserId) -> Result<Redeemed, Error> {
    let user = select_user(connection, id)?;
    user.map(Redeemed::Done)
        .ok_or_else(|| Error::Refused("a row was not found again".to_owned()))
}
