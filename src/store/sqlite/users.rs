//! Users, in SQLite. What their changes mean for others is written by the triggers of the schema, whoever makes them.

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use super::{SELECT_USER, Sqlite, UNTIL, select_user, select_users};
use crate::principal::{SessionId, UserId};
use crate::store::{Answer, Created, Error, NewUser, User, UserChange, Users, name_key};

/// Names whose keys are computed in one step.
const KEYS_AT_ONCE: u32 = 1000;
/// Steps a registration takes before it lets the others have their turn; `migrate` has taken them all before.
pub(super) const STEPS_PER_REGISTRATION: u32 = 5;

impl Users for Sqlite {
    fn users_named<'a>(&'a self, username: &'a str) -> Answer<'a, Vec<User>> {
        Box::pin(async move {
            let username = username.to_owned();
            let sql = format!("{SELECT_USER} WHERE u.username = ?1 ORDER BY u.id LIMIT 2");
            self.readers
                .read(move |connection| select_users(connection, &sql, [username]))
                .await
        })
    }

    fn user(&self, id: UserId) -> Answer<'_, Option<User>> {
        Box::pin(async move { self.readers.read(move |connection| select_user(connection, id)).await })
    }

    fn user_settled(&self, id: UserId) -> Answer<'_, Option<User>> {
        // By the writer, of whom there is one at a time: nothing is under way.
        Box::pin(async move { self.writer.write(move |connection| select_user(connection, id)).await })
    }

    fn users_after(&self, after: Option<UserId>, limit: u32) -> Answer<'_, Vec<User>> {
        Box::pin(async move {
            let after = after.map_or(i64::MIN, |after| after.0);
            let sql = format!("{SELECT_USER} WHERE u.id > ?1 ORDER BY u.id LIMIT ?2");
            self.readers
                .read(move |connection| select_users(connection, &sql, params![after, limit]))
                .await
        })
    }

    fn create_user(&self, new: NewUser, _now: i64) -> Answer<'_, Created> {
        Box::pin(async move {
            let created = self.writer.write(move |connection| {
                for _ in 0..STEPS_PER_REGISTRATION {
                    if !fill_keys(connection)? {
                        return create(connection, &new).map(Some);
                    }
                }
                Ok(None)
            });
            created.await?.ok_or_else(|| {
                Error::Unavailable("the keys of names that another program wrote are being computed".to_owned())
            })
        })
    }

    fn change_user(&self, id: UserId, change: UserChange, now: i64) -> Answer<'_, Option<User>> {
        Box::pin(async move {
            let changed = self.writer.write(move |connection| {
                if select_user(connection, id)?.is_none() {
                    return Ok(None);
                }
                apply(connection, id, &change, now)?;
                select_user(connection, id)
            });
            changed.await
        })
    }

    fn delete_user(&self, id: UserId, _now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let deleted = self.writer.write(move |connection| {
                Ok(connection
                    .prepare_cached("DELETE FROM users WHERE id = ?1")?
                    .execute([id.0])?)
            });
            Ok(deleted.await? > 0)
        })
    }

    fn upgrade_hash<'a>(&'a self, id: UserId, old: &'a str, new: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let (old, new) = (old.to_owned(), new.to_owned());
            let replaced = self.writer.write(move |connection| {
                announce_rehash(connection, id, &new)?;
                let sql = "UPDATE users SET password = ?3 WHERE id = ?1 AND password = ?2";
                let replaced = connection.prepare_cached(sql)?.execute(params![id.0, old, new])?;
                forget_rehash(connection, id)?;
                Ok(replaced)
            });
            Ok(replaced.await? > 0)
        })
    }

    fn sample_hashes(&self, limit: u32) -> Answer<'_, Vec<String>> {
        Box::pin(async move { self.readers.read(move |connection| sample(connection, limit)).await })
    }
}

impl Sqlite {
    /// Computes the missing keys of one batch of names; false: none is missing any more.
    pub(super) async fn fill_some_keys(&self) -> Result<bool, Error> {
        self.writer.migrate(|connection| fill_keys(connection)).await
    }
}

/// One batch of [`Sqlite::fill_some_keys`], within a transaction: whoever writes is alone.
pub(super) fn fill_keys(connection: &Connection) -> Result<bool, Error> {
    let sql = "SELECT id, username FROM users WHERE name_key IS NULL AND username IS NOT NULL ORDER BY id LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let unkeyed = statement.query_map([KEYS_AT_ONCE], |row| {
        Ok((row.get::<_, i64>(0)?, super::text(row.get_ref(1)?).unwrap_or_default()))
    })?;
    let unkeyed: Vec<_> = unkeyed.collect::<Result<_, _>>()?;
    let mut update = connection.prepare_cached("UPDATE users SET name_key = ?2 WHERE id = ?1")?;
    for (id, name) in &unkeyed {
        update.execute(params![id, name_key(name)])?;
    }
    Ok(!unkeyed.is_empty())
}

pub(super) fn create(connection: &Connection, new: &NewUser) -> Result<Created, Error> {
    let sql = "SELECT id FROM users WHERE name_key = ?1 OR username = ?2 ORDER BY id LIMIT 1";
    let named = connection
        .prepare_cached(sql)?
        .query_row([&new.name_key, &new.username], |row| row.get(0))
        .optional()?;
    if let Some(id) = named {
        return Ok(Created::NameTaken(UserId(id)));
    }
    if let Some(email) = &new.email
        && let Some(id) = find_email(connection, email)?
    {
        return Ok(Created::EmailTaken(id));
    }
    if new.email.is_none() && email_required(connection)? {
        return Ok(Created::EmailRequired);
    }
    let sql = "INSERT INTO users (username, name_key, password, roles, is_active, email, email_verified) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let inserted = connection.prepare_cached(sql)?.execute(params![
        new.username,
        new.name_key,
        new.password,
        new.roles,
        new.active,
        new.email,
        new.email_verified
    ]);
    if let Err(error) = inserted {
        return match refused_row(&error) {
            Some(why) => Ok(Created::RowRefused(why)),
            None => Err(error.into()),
        };
    }
    let id = UserId(connection.last_insert_rowid());
    insert_grants(connection, id, &new.grants)?;
    let created = select_user(connection, id)?;
    created
        .map(Created::New)
        .ok_or_else(|| Error::Refused("a new row was not found again".to_owned()))
}

/// Why the table does not take a row, where it was the row's fault. The transaction is as it was before it.
pub(super) fn refused_row(error: &rusqlite::Error) -> Option<String> {
    let of_the_row = [
        ErrorCode::ConstraintViolation,
        ErrorCode::TypeMismatch,
        ErrorCode::TooBig,
    ];
    let code = error.sqlite_error_code()?;
    of_the_row.contains(&code).then(|| error.to_string())
}

pub(super) fn find_email(connection: &Connection, email: &str) -> Result<Option<UserId>, Error> {
    // Another server may tell addresses apart by the case of letters alone: the very address comes first, then who can log in.
    let sql = "SELECT id FROM users WHERE lower(email) = lower(?1) \
        ORDER BY email = ?1 DESC, coalesce(is_active, 0) <> 0 DESC, id LIMIT 1";
    let found = connection
        .prepare_cached(sql)?
        .query_row([email], |row| row.get(0))
        .optional()?;
    Ok(found.map(UserId))
}

pub(super) fn email_required(connection: &Connection) -> Result<bool, Error> {
    let sql = "SELECT \"notnull\" FROM pragma_table_info('users') WHERE name = 'email'";
    Ok(connection
        .query_row(sql, [], |row| row.get(0))
        .optional()?
        .unwrap_or(false))
}

fn insert_grants(connection: &Connection, id: UserId, grants: &[String]) -> Result<(), Error> {
    let sql = "INSERT INTO gateway_grants (user_id, role) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    for role in grants {
        statement.execute(params![id.0, role])?;
    }
    Ok(())
}

/// Writes what is to change, in one statement, so that the triggers see one change.
fn apply(connection: &Connection, id: UserId, change: &UserChange, now: i64) -> Result<(), Error> {
    if let Some(Some(email)) = &change.email
        && find_email(connection, email)?.is_some_and(|other| other != id)
    {
        return Err(Error::Refused("another user has this e-mail address".to_owned()));
    }
    let kept = change
        .password
        .as_ref()
        .and_then(|password| password.keep.map(|keep| (password, keep)));
    if let Some((password, _)) = kept {
        // One session stays, so the trigger must leave them alone; the others are ended below.
        announce_rehash(connection, id, &password.hash)?;
    }
    let sql = "UPDATE users SET roles = coalesce(?2, roles), is_active = coalesce(?3, is_active), \
        password = coalesce(?4, password), email = CASE WHEN ?5 THEN ?6 ELSE email END, \
        email_verified = CASE WHEN ?5 THEN ?6 IS NOT NULL ELSE email_verified END WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![
        id.0,
        change.roles,
        change.active,
        change.password.as_ref().map(|password| &password.hash),
        change.email.is_some(),
        change.email.as_ref().and_then(Option::as_ref)
    ])?;
    if let Some((_, keep)) = kept {
        forget_rehash(connection, id)?;
        end_others(connection, id, keep, now)?;
        cut(connection, id, now)?;
    } else if change.password.is_some() {
        cut_strictly(connection, id)?;
    }
    if change.active == Some(false) {
        super::redeem::close(connection, id)?;
    }
    if let Some(grants) = &change.grants {
        replace_grants(connection, id, grants)?;
    }
    Ok(())
}

/// Ends the living sessions of a user but for one, and tells the feed.
fn end_others(connection: &Connection, user: UserId, keep: SessionId, now: i64) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'session', lower(hex(id)), ?3, ?3 + {UNTIL} \
        FROM gateway_sessions WHERE user_id = ?1 AND id <> ?2 AND revoked_at IS NULL"
    );
    connection.prepare_cached(&sql)?.execute(params![user.0, keep.0, now])?;
    let sql = "UPDATE gateway_sessions SET revoked_at = ?3 WHERE user_id = ?1 AND id <> ?2 AND revoked_at IS NULL";
    connection.prepare_cached(sql)?.execute(params![user.0, keep.0, now])?;
    Ok(())
}

/// Ends the user's tokens that have no session, those of this very second too: what the trigger leaves standing when a password
/// is changed is for another server's tokens. The trigger has told the feed.
pub(super) fn cut_strictly(connection: &Connection, user: UserId) -> Result<(), Error> {
    let sql = "INSERT INTO gateway_cuts (user_id, at) SELECT ?1, at FROM gateway_now WHERE true \
        ON CONFLICT (user_id) DO UPDATE SET at = max(at, excluded.at)";
    connection.prepare_cached(sql)?.execute([user.0])?;
    Ok(())
}

/// Ends the user's tokens that have no session, and tells the feed.
fn cut(connection: &Connection, user: UserId, now: i64) -> Result<(), Error> {
    let sql = "INSERT INTO gateway_cuts (user_id, at) VALUES (?1, ?2) \
        ON CONFLICT (user_id) DO UPDATE SET at = max(at, excluded.at)";
    connection.prepare_cached(sql)?.execute(params![user.0, now])?;
    let sql = format!("INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('user', ?1, ?2, ?2 + {UNTIL})");
    connection.prepare_cached(&sql)?.execute(params![user.0, now])?;
    Ok(())
}

fn replace_grants(connection: &Connection, id: UserId, grants: &[String]) -> Result<(), Error> {
    let mut have = connection.prepare_cached("SELECT role FROM gateway_grants WHERE user_id = ?1")?;
    let have: Vec<String> = have.query_map([id.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut delete = connection.prepare_cached("DELETE FROM gateway_grants WHERE user_id = ?1 AND role = ?2")?;
    for role in have.iter().filter(|role| !grants.contains(role)) {
        delete.execute(params![id.0, role])?;
    }
    insert_grants(connection, id, grants)
}

/// Tells the trigger that this hash is another one of the same password.
fn announce_rehash(connection: &Connection, id: UserId, hash: &str) -> Result<(), Error> {
    let sql = "INSERT INTO gateway_rehash (user_id, new_hash) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![id.0, hash])?;
    Ok(())
}

fn forget_rehash(connection: &Connection, id: UserId) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM gateway_rehash WHERE user_id = ?1")?
        .execute([id.0])?;
    Ok(())
}

/// Hashes from points spread evenly over the ids: the row at or after each.
fn sample(connection: &Connection, limit: u32) -> Result<Vec<String>, Error> {
    let bounds: (Option<i64>, Option<i64>) = connection.query_row("SELECT min(id), max(id) FROM users", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let (Some(low), Some(high)) = bounds else {
        return Ok(Vec::new());
    };
    let sql = "SELECT id, password FROM users WHERE id >= ?1 AND password IS NOT NULL ORDER BY id LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let (mut hashes, mut last) = (Vec::new(), None);
    for step in 0..=i128::from(limit) {
        let point = i128::from(low) + (i128::from(high) - i128::from(low)) * step / i128::from(limit.max(1));
        let point = i64::try_from(point).unwrap_or(high);
        let found = statement.query_row([point], |row| Ok((row.get::<_, i64>(0)?, super::text(row.get_ref(1)?))));
        if let Some((id, Some(hash))) = found.optional()?
            && last.replace(id) != Some(id)
        {
            hashes.push(hash);
        }
    }
    hashes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(hashes)
}
