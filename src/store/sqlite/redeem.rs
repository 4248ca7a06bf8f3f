//! Codes from mails, and what they do, in SQLite.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::select_user;
use crate::principal::UserId;
use crate::store::mail::{Shower, bound, judge_token, written};
use crate::store::{Error, NewCode, Proof, Purpose, Redeemed, User};

/// Writes down the hash of a code; false: the user is gone.
pub(super) fn add(connection: &Connection, user: UserId, code: &NewCode) -> Result<bool, Error> {
    let Some(user) = select_user(connection, user)? else {
        return Ok(false);
    };
    let (word, bound) = written(code, &user);
    let sql = "INSERT INTO gateway_codes (hash, user_id, purpose, bound, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection
        .prepare_cached(sql)?
        .execute(params![code.hash, user.id.0, word, bound, code.expires_at])?;
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

/// Who shows a proof; one that counts once is spent.
fn spend(
    connection: &Connection,
    proof: &Proof,
    purpose: Purpose,
    now: i64,
) -> Result<Result<Shower, Redeemed>, Error> {
    let (user, issued_at, mailed, once) = match proof {
        Proof::Code(hash) => {
            let shower = owner(connection, *hash, purpose, now)?.map(|user| Shower {
                user,
                reads_address: true,
            });
            return Ok(shower.ok_or(Redeemed::Unknown));
        }
        Proof::Token {
            user,
            issued_at,
            mailed,
            once,
        } => (*user, *issued_at, mailed, once),
    };
    let Some(user) = select_user(connection, user)? else {
        return Ok(Err(Redeemed::Unknown));
    };
    let id = user.id;
    let sql = "SELECT bound FROM gateway_codes WHERE hash = ?1 AND user_id = ?2 AND purpose = 'mailed'";
    let to: Option<[u8; 32]> = connection
        .prepare_cached(sql)?
        .query_row(params![mailed, id.0], |row| row.get(0))
        .optional()?;
    let judged = judge_token(user, issued_at, purpose, to);
    if let (Ok(_), Some((hash, expires_at))) = (&judged, once)
        && !is_first(connection, id, hash, *expires_at)?
    {
        return Ok(Err(Redeemed::Unknown));
    }
    Ok(judged)
}

/// Remembers that a token was used; false: it was used before.
fn is_first(connection: &Connection, user: UserId, hash: &[u8; 32], expires_at: i64) -> Result<bool, Error> {
    let sql = "INSERT INTO gateway_codes (hash, user_id, purpose, bound, expires_at) \
        VALUES (?1, ?2, 'spent', ?1, ?3) ON CONFLICT DO NOTHING";
    let rows = connection
        .prepare_cached(sql)?
        .execute(params![hash, user.0, expires_at])?;
    Ok(rows > 0)
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
    let Shower { user, reads_address } = match spend(connection, proof, Purpose::Confirmation, now)? {
        Ok(shower) => shower,
        Err(refused) => return Ok(refused),
    };
    if !may_open(connection, &user, proof)? {
        return Ok(Redeemed::Closed);
    }
    let sql = "UPDATE users SET is_active = TRUE, email_verified = CASE WHEN ?2 THEN TRUE ELSE email_verified END \
        WHERE id = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![user.id.0, reads_address])?;
    connection
        .prepare_cached("DELETE FROM gateway_codes WHERE user_id = ?1 AND purpose = 'confirmation'")?
        .execute([user.id.0])?;
    done(connection, user.id)
}

pub(super) fn reset_password(connection: &Connection, proof: &Proof, hash: &str, now: i64) -> Result<Redeemed, Error> {
    let Shower { user, reads_address } = match spend(connection, proof, Purpose::Reset, now)? {
        Ok(shower) => shower,
        Err(refused) => return Ok(refused),
    };
    let code = matches!(proof, Proof::Code(_));
    if !(user.active || (code && may_open(connection, &user, proof)?)) {
        return Ok(Redeemed::Closed);
    }
    let sql = "UPDATE users SET password = ?2, is_active = TRUE, \
        email_verified = CASE WHEN ?3 THEN TRUE ELSE email_verified END WHERE id = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![user.id.0, hash, reads_address])?;
    super::users::cut_strictly(connection, user.id)?;
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
