//! Codes from mails, and what they do, in PostgreSQL.

use tokio_postgres::types::Type;

use super::error::Failure;
use super::link::{Params, Work};
use super::users::select;
use super::{bytes, column};
use crate::principal::UserId;
use crate::store::mail::bound;
use crate::store::{Error, NewCode, Proof, Purpose, Redeemed, User};

/// Writes down the hash of a code; false: the user is gone.
pub(super) async fn add(work: &Work<'_>, user: UserId, code: &NewCode) -> Result<bool, Failure> {
    let Some(user) = select(work, user).await? else {
        return Ok(false);
    };
    let sql = "INSERT INTO gateway_codes (hash, user_id, purpose, bound, expires_at) VALUES ($1, $2, $3, $4, $5)";
    let bound = bound(&user);
    let params: Params<'_> = &[
        (&code.hash.as_slice(), Type::BYTEA),
        (&user.id.0, Type::INT8),
        (&code.purpose.as_str(), Type::TEXT),
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

/// Whom a proof is of, the row locked; one that counts once is spent.
async fn spend(work: &Work<'_>, proof: &Proof, purpose: Purpose, now: i64) -> Result<Option<User>, Failure> {
    let id = match proof {
        Proof::Code(hash) => match owner(work, *hash, purpose, now).await? {
            Some(user) => user.id,
            None => return Ok(None),
        },
        Proof::Token { user, .. } => *user,
    };
    work.query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", &[(&id.0, Type::INT8)])
        .await?;
    match proof {
        // Once more: the code, the password or the address may have changed while the row was somebody else's.
        Proof::Code(hash) => owner(work, *hash, purpose, now).await,
        Proof::Token { user, once: None } => select(work, *user).await,
        Proof::Token {
            user,
            once: Some((hash, expires_at)),
        } => {
            let sql = "INSERT INTO gateway_codes (hash, user_id, purpose, bound, expires_at) \
                VALUES ($1, $2, 'spent', $1, $3) ON CONFLICT DO NOTHING";
            let params: Params<'_> = &[
                (&hash.as_slice(), Type::BYTEA),
                (&user.0, Type::INT8),
                (expires_at, Type::INT8),
            ];
            match work.execute(sql, params).await? {
                0 => Ok(None),
                _ => select(work, *user).await,
            }
        }
    }
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
    let Some(user) = spend(work, proof, Purpose::Confirmation, now).await? else {
        return Ok(Redeemed::Unknown);
    };
    if !may_open(work, &user, proof).await? {
        return Ok(Redeemed::Closed);
    }
    let id: Params<'_> = &[(&user.id.0, Type::INT8)];
    work.execute(
        "UPDATE users SET is_active = TRUE, email_verified = TRUE WHERE id = $1",
        id,
    )
    .await?;
    work.execute(
        "DELETE FROM gateway_codes WHERE user_id = $1 AND purpose = 'confirmation'",
        id,
    )
    .await?;
    done(work, user.id).await
}

pub(super) async fn reset_password(work: &Work<'_>, proof: &Proof, hash: &str, now: i64) -> Result<Redeemed, Failure> {
    let Some(user) = spend(work, proof, Purpose::Reset, now).await? else {
        return Ok(Redeemed::Unknown);
    };
    let code = matches!(proof, Proof::Code(_));
    if !(user.active || (code && may_open(work, &user, proof).await?)) {
        return Ok(Redeemed::Closed);
    }
    let sql = "UPDATE users SET password = $2, is_active = TRUE, email_verified = TRUE WHERE id = $1";
    work.execute(sql, &[(&user.id.0, Type::INT8), (&hash, Type::TEXT)])
        .await?;
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
