//! Codes from mails, and what they do, in PostgreSQL.

use tokio_postgres::types::Type;

use super::error::Failure;
use super::link::{Params, Work};
use super::users::{cut_strictly, select};
use super::{bytes, column};
use crate::principal::UserId;
use crate::store::mail::{Shower, bound, judge_token, written};
use crate::store::{Error, NewCode, Proof, Purpose, Redeemed, User};

/// Writes down the hash of a code; false: the user is gone.
pub(super) async fn add(work: &Work<'_>, user: UserId, code: &NewCode) -> Result<bool, Failure> {
    let Some(user) = select(work, user).await? else {
        return Ok(false);
    };
    let sql = "INSERT INTO gateway_codes (hash, user_id, purpose, bound, expires_at) VALUES ($1, $2, $3, $4, $5)";
    let (word, bound) = written(code, &user);
    let params: Params<'_> = &[
        (&code.hash.as_slice(), Type::BYTEA),
        (&user.id.0, Type::INT8),
        (&word, Type::TEXT),
        (&bound.as_slice(), Type::BYTEA),
        (&code.expires_at, Type::INT8),
    ];
    work.execute(sql, params).await?;
    Ok(true)
}

/// An administrator closed the account: no code opens it.
pub(super) async fn close(work: &Work<'_>, user: UserId) -> Result<(), Failure> {
    let sql = "INSERT INTO gateway_unconfirmed (user_id, until) VALUES ($1, 0) \
        ON CONFLICT (user_id) DO UPDATE SET until = 0";
    work.execute(sql, &[(&user.0, Type::INT8)]).await?;
    Ok(())
}

/// Whose code this is, if it counts.
pub(super) async fn owner(
    work: &Work<'_>,
    hash: [u8; 32],
    purpose: Purpose,
    now: i64,
) -> Result<Option<User>, Failure> {
    let sql = "SELECT user_id, bound FROM gateway_codes WHERE hash = $1 AND purpose = $2 AND expires_at > $3";
    let params: Params<'_> = &[
        (&hash.as_slice(), Type::BYTEA),
        (&purpose.as_str(), Type::TEXT),
        (&now, Type::INT8),
    ];
    let rows = work.query(sql, params).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let was: [u8; 32] = bytes(row, 1)?;
    let user = select(work, UserId(column(row, 0)?)).await?;
    Ok(user.filter(|user| bound(user) == was))
}

/// Who shows a proof, the row locked; one that counts once is spent.
async fn spend(
    work: &Work<'_>,
    proof: &Proof,
    purpose: Purpose,
    now: i64,
) -> Result<Result<Shower, Redeemed>, Failure> {
    let id = match proof {
        Proof::Code(hash) => match owner(work, *hash, purpose, now).await? {
            Some(user) => user.id,
            None => return Ok(Err(Redeemed::Unknown)),
        },
        Proof::Token { user, .. } => *user,
    };
    work.query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", &[(&id.0, Type::INT8)])
        .await?;
    // Once more: the code, the password, the address or the row may have changed while it was somebody else's.
    let (issued_at, mailed, once) = match proof {
        Proof::Code(hash) => {
            let user = owner(work, *hash, purpose, now).await?;
            let shower = user.map(|user| Shower {
                user,
                reads_address: true,
            });
            return Ok(shower.ok_or(Redeemed::Unknown));
        }
        Proof::Token {
            issued_at,
            mailed,
            once,
            ..
        } => (*issued_at, mailed, once),
    };
    let Some(user) = select(work, id).await? else {
        return Ok(Err(Redeemed::Unknown));
    };
    let to = mailed_to(work, mailed, id).await?;
    let judged = judge_token(user, issued_at, purpose, to);
    if let (Ok(_), Some((hash, expires_at))) = (&judged, once)
        && !is_first(work, id, hash, *expires_at).await?
    {
        return Ok(Err(Redeemed::Unknown));
    }
    Ok(judged)
}

/// The address that a token was mailed to from here, as it was written down.
async fn mailed_to(work: &Work<'_>, mailed: &[u8; 32], user: UserId) -> Result<Option<[u8; 32]>, Failure> {
    let sql = "SELECT bound FROM gateway_codes WHERE hash = $1 AND user_id = $2 AND purpose = 'mailed'";
    let params: Params<'_> = &[(&mailed.as_slice(), Type::BYTEA), (&user.0, Type::INT8)];
    let rows = work.query(sql, params).await?;
    Ok(rows.first().map(|row| bytes(row, 0)).transpose()?)
}

/// Remembers that a token was used; false: it was used before.
async fn is_first(work: &Work<'_>, user: UserId, hash: &[u8; 32], expires_at: i64) -> Result<bool, Failure> {
    let sql = "INSERT INTO gateway_codes (hash, user_id, purpose, bound, expires_at) \
        VALUES ($1, $2, 'spent', $1, $3) ON CONFLICT DO NOTHING";
    let params: Params<'_> = &[
        (&hash.as_slice(), Type::BYTEA),
        (&user.0, Type::INT8),
        (&expires_at, Type::INT8),
    ];
    Ok(work.execute(sql, params).await? > 0)
}

/// Whether this proof may make the account active, or it is so already. A token says nothing about who waits for what:
/// another server may have made the account.
async fn may_open(work: &Work<'_>, user: &User, proof: &Proof) -> Result<bool, Failure> {
    if user.active {
        return Ok(true);
    }
    let sql = "SELECT until FROM gateway_unconfirmed WHERE user_id = $1";
    let rows = work.query(sql, &[(&user.id.0, Type::INT8)]).await?;
    let until: Option<i64> = rows.first().map(|row| column(row, 0)).transpose()?;
    Ok(match proof {
        Proof::Code(_) => until.is_some_and(|until| until > 0),
        Proof::Token { .. } => until.is_none_or(|until| until > 0),
    })
}

pub(super) async fn confirm(work: &Work<'_>, proof: &Proof, now: i64) -> Result<Redeemed, Failure> {
    let Shower { user, reads_address } = match spend(work, proof, Purpose::Confirmation, now).await? {
        Ok(shower) => shower,
        Err(refused) => return Ok(refused),
    };
    if !may_open(work, &user, proof).await? {
        return Ok(Redeemed::Closed);
    }
    let sql = "UPDATE users SET is_active = TRUE, email_verified = CASE WHEN $2 THEN TRUE ELSE email_verified END \
        WHERE id = $1";
    work.execute(sql, &[(&user.id.0, Type::INT8), (&reads_address, Type::BOOL)])
        .await?;
    let sql = "DELETE FROM gateway_codes WHERE user_id = $1 AND purpose = 'confirmation'";
    work.execute(sql, &[(&user.id.0, Type::INT8)]).await?;
    done(work, user.id).await
}

pub(super) async fn reset_password(work: &Work<'_>, proof: &Proof, hash: &str, now: i64) -> Result<Redeemed, Failure> {
    let Shower { user, reads_address } = match spend(work, proof, Purpose::Reset, now).await? {
        Ok(shower) => shower,
        Err(refused) => return Ok(refused),
    };
    let code = matches!(proof, Proof::Code(_));
    if !(user.active || (code && may_open(work, &user, proof).await?)) {
        return Ok(Redeemed::Closed);
    }
    let sql = "UPDATE users SET password = $2, is_active = TRUE, \
        email_verified = CASE WHEN $3 THEN TRUE ELSE email_verified END WHERE id = $1";
    let params: Params<'_> = &[
        (&user.id.0, Type::INT8),
        (&hash, Type::TEXT),
        (&reads_address, Type::BOOL),
    ];
    work.execute(sql, params).await?;
    cut_strictly(work, user.id).await?;
    // What was spent stays known as spent.
    let sql = "DELETE FROM gateway_codes WHERE user_id = $1 AND purpose <> 'spent'";
    work.execute(sql, &[(&user.id.0, Type::INT8)]).await?;
    done(work, user.id).await
}

async fn done(work: &Work<'_>, id: UserId) -> Result<Redeemed, Failure> {
    let user = select(work, id).await?;
    user.map(Redeemed::Done)
        .ok_or_else(|| Failure::from(Error::Refused("a row was not found again".to_owned())))
}
