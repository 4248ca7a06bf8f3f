//! Users, in PostgreSQL. What their changes mean for others is written by the triggers of the schema, whoever makes them.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::error::{Failure, Harm};
use super::link::Work;
use super::{LOCK_REGISTRATION, Postgres, SELECT_USER, TAKE_LOCK, column, user};
use crate::principal::UserId;
use crate::store::{Answer, Created, Error, NewUser, User, UserChange, Users, name_key};

/// Names whose keys are computed in one step.
const KEYS_AT_ONCE: i64 = 1000;
/// Steps a registration takes before it lets the others have their turn; `migrate` has taken them all before.
pub(super) const STEPS_PER_REGISTRATION: u32 = 5;

impl Users for Postgres {
    fn users_named<'a>(&'a self, username: &'a str) -> Answer<'a, Vec<User>> {
        Box::pin(async move {
            if username.contains('\0') {
                // No text of PostgreSQL holds NUL, so nobody has this name.
                return Ok(Vec::new());
            }
            let sql = format!("{SELECT_USER} WHERE u.username = $1 ORDER BY u.id LIMIT 2");
            self.link
                .query(&sql, &[(&username, Type::TEXT)])
                .await?
                .iter()
                .map(user)
                .collect()
        })
    }

    fn user(&self, id: UserId) -> Answer<'_, Option<User>> {
        Box::pin(async move {
            let sql = format!("{SELECT_USER} WHERE u.id = $1");
            self.link
                .query(&sql, &[(&id.0, Type::INT8)])
                .await?
                .first()
                .map(user)
                .transpose()
        })
    }

    fn user_settled(&self, id: UserId) -> Answer<'_, Option<User>> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            // Waits for whoever is changing the row; the statement after it sees what came of that.
            work.query("SELECT 1 FROM users WHERE id = $1 FOR SHARE", &[(&id.0, Type::INT8)])
                .await?;
            let found = select(&work, id).await?;
            work.commit().await?;
            Ok(found)
        })
    }

    fn users_after(&self, after: Option<UserId>, limit: u32) -> Answer<'_, Vec<User>> {
        Box::pin(async move {
            let after = after.map_or(i64::MIN, |after| after.0);
            let sql = format!("{SELECT_USER} WHERE u.id > $1 ORDER BY u.id LIMIT $2");
            let params: super::link::Params<'_> = &[(&after, Type::INT8), (&i64::from(limit), Type::INT8)];
            self.link.query(&sql, params).await?.iter().map(user).collect()
        })
    }

    fn create_user(&self, new: NewUser, _now: i64) -> Answer<'_, Created> {
        Box::pin(async move {
            match self.try_create(&new).await {
                Ok(created) => Ok(created),
                Err(failure) if failure.state == Some(SqlState::UNIQUE_VIOLATION) => {
                    // Another hand, without our lock, was between our look and our row.
                    let work = self.link.begin().await?;
                    let taken = find_taken(&work, &new).await?;
                    work.rollback().await?;
                    taken.ok_or(failure.error)
                }
                Err(failure)
                    if failure.state == Some(SqlState::NOT_NULL_VIOLATION)
                        && failure.place.as_deref() == Some("email") =>
                {
                    Ok(Created::EmailRequired)
                }
                Err(failure) => match failure.refused_row() {
                    Some(why) => Ok(Created::RowRefused(why)),
                    None => Err(failure.error),
                },
            }
        })
    }

    fn change_user(&self, id: UserId, change: UserChange, now: i64) -> Answer<'_, Option<User>> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            if let Some(Some(email)) = &change.email {
                // The same order everywhere: this lock first, rows after it.
                work.query(TAKE_LOCK, &[(&LOCK_REGISTRATION, Type::INT8)]).await?;
                let taken = find_email(&work, email).await?.is_some_and(|other| other != id);
                if taken {
                    work.rollback().await?;
                    return Err(Error::Refused("another user has this e-mail address".to_owned()));
                }
            }
            let found = work
                .query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", &[(&id.0, Type::INT8)])
                .await?;
            if found.is_empty() {
                work.rollback().await?;
                return Ok(None);
            }
            apply(&work, id, &change, now).await?;
            let changed = select(&work, id).await?;
            work.commit().await?;
            Ok(changed)
        })
    }

    fn delete_user(&self, id: UserId, _now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let deleted = work
                .execute("DELETE FROM users WHERE id = $1", &[(&id.0, Type::INT8)])
                .await?;
            work.commit().await?;
            Ok(deleted > 0)
        })
    }

    fn upgrade_hash<'a>(&'a self, id: UserId, old: &'a str, new: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            announce_rehash(&work, id, new).await?;
            let sql = "UPDATE users SET password = $3 WHERE id = $1 AND password = $2";
            let params: super::link::Params<'_> = &[(&id.0, Type::INT8), (&old, Type::TEXT), (&new, Type::TEXT)];
            let replaced = work.execute(sql, params).await?;
            forget_rehash(&work, id).await?;
            work.commit().await?;
            Ok(replaced > 0)
        })
    }

    fn sample_hashes(&self, limit: u32) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            // Points spread evenly over the ids, and the row at or after each: an index look-up apiece.
            let sql = "WITH bounds AS (SELECT min(id)::bigint AS low, max(id)::bigint AS high FROM users), \
                points AS (SELECT DISTINCT low + ((high - low)::numeric * n / $1)::bigint AS point \
                    FROM bounds, generate_series(0, $1) AS n) \
                SELECT DISTINCT ON (found.id) found.password FROM points, LATERAL \
                (SELECT id, password::text AS password FROM users WHERE id >= point ORDER BY id LIMIT 1) AS found \
                WHERE found.password IS NOT NULL ORDER BY found.id LIMIT $1";
            let rows = self.link.query(sql, &[(&i64::from(limit), Type::INT8)]).await?;
            rows.iter().map(|row| column(row, 0)).collect()
        })
    }
}

impl Postgres {
    async fn try_create(&self, new: &NewUser) -> Result<Created, Failure> {
        let work = self.link.begin().await.map_err(Failure::from)?;
        work.query(TAKE_LOCK, &[(&LOCK_REGISTRATION, Type::INT8)]).await?;
        let mut steps = 0;
        while fill_keys(&work).await? {
            steps += 1;
            if steps == STEPS_PER_REGISTRATION {
                work.commit().await?;
                let text = "the keys of names that another program wrote are being computed".to_owned();
                return Err(Failure::from(Error::Unavailable(text)));
            }
        }
        if let Some(taken) = find_taken(&work, new).await? {
            // What was filled in stays.
            work.commit().await?;
            return Ok(taken);
        }
        let inserted = insert(&work, new).await;
        let id = match inserted {
            Ok(id) => id,
            Err(failure) => {
                if failure.harm == Harm::None {
                    work.rollback().await?;
                }
                return Err(failure);
            }
        };
        if !new.grants.is_empty() {
            insert_grants(&work, id, &new.grants).await?;
        }
        let created = select(&work, id).await?;
        work.commit().await?;
        match created {
            Some(created) => Ok(Created::New(created)),
            None => Err(Failure::from(Error::Refused(
                "a new row was not found again".to_owned(),
            ))),
        }
    }

    /// Computes the missing keys of one batch of names; false: none is missing any more.
    pub(super) async fn fill_some_keys(&self) -> Result<bool, Error> {
        let work = self.link.begin().await?;
        work.query(TAKE_LOCK, &[(&LOCK_REGISTRATION, Type::INT8)]).await?;
        let filled = fill_keys(&work).await?;
        work.commit().await?;
        Ok(filled)
    }
}

/// One batch of [`Postgres::fill_some_keys`], under a lock that is held.
pub(super) async fn fill_keys(work: &Work<'_>) -> Result<bool, Failure> {
    let sql = "SELECT id::bigint, username::text FROM users \
        WHERE name_key IS NULL AND username IS NOT NULL ORDER BY id LIMIT $1";
    let rows = work.query(sql, &[(&KEYS_AT_ONCE, Type::INT8)]).await?;
    let (mut ids, mut names, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let name: String = column(row, 1).map_err(Failure::from)?;
        ids.push(column::<i64>(row, 0).map_err(Failure::from)?);
        keys.push(name_key(&name));
        names.push(name);
    }
    if ids.is_empty() {
        return Ok(false);
    }
    let sql = "UPDATE users u SET name_key = k.key FROM unnest($1, $2, $3) AS k(id, name, key) \
        WHERE u.id = k.id AND u.username = k.name AND u.name_key IS NULL";
    let params: super::link::Params<'_> = &[
        (&ids, Type::INT8_ARRAY),
        (&names, Type::TEXT_ARRAY),
        (&keys, Type::TEXT_ARRAY),
    ];
    work.execute(sql, params).await?;
    Ok(true)
}

pub(super) async fn find_taken(work: &Work<'_>, new: &NewUser) -> Result<Option<Created>, Failure> {
    let sql = "SELECT id::bigint FROM users WHERE name_key = $1 OR username = $2 ORDER BY id LIMIT 1";
    let params: super::link::Params<'_> = &[(&new.name_key, Type::TEXT), (&new.username, Type::TEXT)];
    if let Some(row) = work.query(sql, params).await?.first() {
        return Ok(Some(Created::NameTaken(UserId(column(row, 0)?))));
    }
    match &new.email {
        Some(email) => Ok(find_email(work, email).await?.map(Created::EmailTaken)),
        None => Ok(None),
    }
}

/// Of rows `u`, the one with this address (`$1`). Another server may tell addresses apart by the case of letters alone, so the
/// very address comes first, then who can log in.
pub(super) const WITH_EMAIL: &str = "WHERE lower(u.email) = lower($1) \
    ORDER BY u.email::text = $1 DESC, u.is_active IS TRUE DESC, u.id LIMIT 1";

pub(super) async fn find_email(work: &Work<'_>, email: &str) -> Result<Option<UserId>, Failure> {
    let sql = format!("SELECT u.id::bigint FROM users u {WITH_EMAIL}");
    let rows = work.query(&sql, &[(&email, Type::TEXT)]).await?;
    Ok(rows.first().map(|row| column(row, 0)).transpose()?.map(UserId))
}

pub(super) async fn insert(work: &Work<'_>, new: &NewUser) -> Result<UserId, Failure> {
    let sql = "INSERT INTO users (username, name_key, password, roles, is_active, email, email_verified) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id::bigint";
    let params: super::link::Params<'_> = &[
        (&new.username, Type::TEXT),
        (&new.name_key, Type::TEXT),
        (&new.password, Type::TEXT),
        (&new.roles, Type::TEXT),
        (&new.active, Type::BOOL),
        (&new.email, Type::TEXT),
        (&new.email_verified, Type::BOOL),
    ];
    let rows = work.query(sql, params).await?;
    let row = rows
        .first()
        .ok_or_else(|| Failure::from(Error::Refused("INSERT returned no row".to_owned())))?;
    Ok(UserId(column(row, 0)?))
}

async fn insert_grants(work: &Work<'_>, id: UserId, grants: &[String]) -> Result<(), Failure> {
    let sql = "INSERT INTO gateway_grants (user_id, role) SELECT $1, role FROM unnest($2) AS role \
        ON CONFLICT DO NOTHING";
    work.execute(sql, &[(&id.0, Type::INT8), (&grants, Type::TEXT_ARRAY)])
        .await?;
    Ok(())
}

/// Ends the user's tokens that have no session, those of this very second too: what the trigger leaves standing when a password
/// is changed is for another server's tokens. The trigger has told the feed.
pub(super) async fn cut_strictly(work: &Work<'_>, id: UserId) -> Result<(), Failure> {
    let sql = "INSERT INTO gateway_cuts AS c (user_id, at) \
        VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) \
        ON CONFLICT (user_id) DO UPDATE SET at = GREATEST(c.at, EXCLUDED.at)";
    work.execute(sql, &[(&id.0, Type::INT8)]).await?;
    Ok(())
}

/// Ends the user's tokens that have no session, and tells the feed.
async fn cut(work: &Work<'_>, id: UserId, now: i64) -> Result<(), Failure> {
    let sql = "INSERT INTO gateway_cuts AS c (user_id, at) VALUES ($1, $2) \
        ON CONFLICT (user_id) DO UPDATE SET at = GREATEST(c.at, EXCLUDED.at)";
    work.execute(sql, &[(&id.0, Type::INT8), (&now, Type::INT8)]).await?;
    let sql = "INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', $1::bigint::text, $2, \
        $2 + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms')";
    work.execute(sql, &[(&id.0, Type::INT8), (&now, Type::INT8)]).await?;
    Ok(())
}

pub(super) async fn select(work: &Work<'_>, id: UserId) -> Result<Option<User>, Failure> {
    let sql = format!("{SELECT_USER} WHERE u.id = $1");
    let rows = work.query(&sql, &[(&id.0, Type::INT8)]).await?;
    Ok(rows.first().map(user).transpose()?)
}

/// Writes what is to change, in one statement, so that the triggers see one change.
async fn apply(work: &Work<'_>, id: UserId, change: &UserChange, now: i64) -> Result<(), Failure> {
    let kept = change
        .password
        .as_ref()
        .and_then(|password| password.keep.map(|keep| (password, keep)));
    if let Some((password, _)) = kept {
        // One session stays, so the trigger must leave them alone; the others are ended below.
        announce_rehash(work, id, &password.hash).await?;
    }
    let sql = "UPDATE users SET roles = COALESCE($2, roles), is_active = COALESCE($3, is_active), \
        password = COALESCE($4, password), email = CASE WHEN $5 THEN $6 ELSE email END, \
        email_verified = CASE WHEN $5 THEN $6 IS NOT NULL ELSE email_verified END WHERE id = $1";
    let params: super::link::Params<'_> = &[
        (&id.0, Type::INT8),
        (&change.roles, Type::TEXT),
        (&change.active, Type::BOOL),
        (&change.password.as_ref().map(|password| &password.hash), Type::TEXT),
        (&change.email.is_some(), Type::BOOL),
        (&change.email.as_ref().and_then(Option::as_ref), Type::TEXT),
    ];
    work.execute(sql, params).await?;
    if let Some((_, keep)) = kept {
        forget_rehash(work, id).await?;
        super::sessions::end_others(work, id, keep, now).await?;
        cut(work, id, now).await?;
    } else if change.password.is_some() {
        cut_strictly(work, id).await?;
    }
    if change.active == Some(false) {
        super::redeem::close(work, id).await?;
    }
    if let Some(grants) = &change.grants {
        let sql = "DELETE FROM gateway_grants WHERE user_id = $1 AND role <> ALL ($2)";
        work.execute(sql, &[(&id.0, Type::INT8), (grants, Type::TEXT_ARRAY)])
            .await?;
        insert_grants(work, id, grants).await?;
    }
    Ok(())
}

/// Tells the trigger that this hash is another one of the same password.
async fn announce_rehash(work: &Work<'_>, id: UserId, hash: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO gateway_rehash (user_id, new_hash) VALUES ($1, $2)";
    work.execute(sql, &[(&id.0, Type::INT8), (&hash, Type::TEXT)]).await?;
    Ok(())
}

async fn forget_rehash(work: &Work<'_>, id: UserId) -> Result<(), Failure> {
    work.execute("DELETE FROM gateway_rehash WHERE user_id = $1", &[(&id.0, Type::INT8)])
        .await?;
    Ok(())
}
