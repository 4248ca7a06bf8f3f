//! Mail that waits, in SQLite.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::users::{STEPS_PER_REGISTRATION, create, fill_keys, find_email};
use super::{Sqlite, redeem, select_user};
use crate::principal::UserId;
use crate::store::mail::{Found, data, mail_for, read_data, recipient};
use crate::store::{
    Answer, Created, Enrolled, Enrolment, Error, Mail, MailKind, MailLimits, NewCode, NewMail, Outbox, Proof, Purpose,
    Redeemed, Settled, User,
};

impl Outbox for Sqlite {
    fn enrol(&self, enrolment: Enrolment, now: i64) -> Answer<'_, Enrolled> {
        Box::pin(async move {
            let enrolled = self.writer.write(move |connection| {
                for _ in 0..STEPS_PER_REGISTRATION {
                    if !fill_keys(connection)? {
                        return enrol(connection, &enrolment, now).map(Some);
                    }
                }
                Ok(None)
            });
            enrolled.await?.ok_or_else(|| {
                Error::Unavailable("the keys of names that another program wrote are being computed".to_owned())
            })
        })
    }

    fn user_with_email<'a>(&'a self, email: &'a str) -> Answer<'a, Option<User>> {
        let email = email.to_owned();
        Box::pin(async move {
            let found = self
                .readers
                .read(move |connection| match find_email(connection, &email)? {
                    Some(id) => select_user(connection, id),
                    None => Ok(None),
                });
            found.await
        })
    }

    fn is_unconfirmed(&self, user: UserId) -> Answer<'_, bool> {
        Box::pin(async move {
            self.readers
                .read(move |connection| redeem::is_unconfirmed(connection, user))
                .await
        })
    }

    fn add_mail(&self, mail: NewMail, limits: MailLimits, now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let added = self.writer.write(move |connection| {
                let free = is_free(connection, &mail, limits)?;
                if free {
                    insert(connection, &mail, now)?;
                }
                Ok(free)
            });
            added.await
        })
    }

    fn claim_mail(&self, now: i64, lease: i64) -> Answer<'_, Option<Mail>> {
        Box::pin(async move {
            let due = "SELECT id FROM gateway_outbox WHERE settled_at IS NULL AND due_at <= ?1 ORDER BY due_at LIMIT 1";
            let looked = self.readers.read(move |connection| {
                Ok(connection
                    .prepare_cached(due)?
                    .query_row([now], |row| row.get::<_, String>(0))
                    .optional()?)
            });
            // Nobody writes where there is nothing to do.
            if looked.await?.is_none() {
                return Ok(None);
            }
            let claimed = self.writer.write(move |connection| {
                let sql = format!(
                    "UPDATE gateway_outbox SET attempts = attempts + 1, due_at = ?2 WHERE id = ({due}) \
                    RETURNING id, user_id, kind, data, attempts, created_at"
                );
                let taken = connection.prepare_cached(&sql)?.query_row(params![now, lease], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, Option<i64>>(1)?,
                        row.get::<_, String>(2)?,
                        row.get::<_, String>(3)?,
                        row.get::<_, i64>(4)?,
                        row.get::<_, i64>(5)?,
                    ))
                });
                taken.optional()?.map(mail).transpose()
            });
            claimed.await
        })
    }

    fn add_code<'a>(&'a self, mail: &'a Mail, code: NewCode) -> Answer<'a, bool> {
        let (id, attempt) = (mail.id.clone(), mail.attempt);
        Box::pin(async move {
            let added = self.writer.write(move |connection| {
                let sql = "SELECT user_id FROM gateway_outbox WHERE id = ?1 AND attempts = ?2 AND settled_at IS NULL";
                let user: Option<Option<i64>> = connection
                    .prepare_cached(sql)?
                    .query_row(params![id, attempt], |row| row.get(0))
                    .optional()?;
                let Some(user) = user.flatten() else { return Ok(false) };
                redeem::add(connection, UserId(user), &code)
            });
            added.await
        })
    }

    fn settle_mail<'a>(&'a self, mail: &'a Mail, settled: Settled, now: i64) -> Answer<'a, bool> {
        let (id, attempt) = (mail.id.clone(), mail.attempt);
        Box::pin(async move {
            let told = self.writer.write(move |connection| {
                let changed = match settled {
                    Settled::Done => connection
                        .prepare_cached(
                            "UPDATE gateway_outbox SET settled_at = ?3, data = '{}' \
                            WHERE id = ?1 AND attempts = ?2 AND settled_at IS NULL",
                        )?
                        .execute(params![id, attempt, now])?,
                    Settled::Again(at) => connection
                        .prepare_cached(
                            "UPDATE gateway_outbox SET due_at = ?3 \
                            WHERE id = ?1 AND attempts = ?2 AND settled_at IS NULL",
                        )?
                        .execute(params![id, attempt, at])?,
                };
                Ok(changed > 0)
            });
            told.await
        })
    }

    fn waiting_mails(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let counted = self.readers.read(|connection| {
                let sql = "SELECT count(*) FROM gateway_outbox WHERE settled_at IS NULL AND kind <> 'nobody'";
                Ok(connection
                    .prepare_cached(sql)?
                    .query_row([], |row| row.get::<_, i64>(0))?)
            });
            Ok(u64::try_from(counted.await?).unwrap_or(0))
        })
    }

    fn code(&self, hash: [u8; 32], purpose: Purpose, now: i64) -> Answer<'_, Option<User>> {
        Box::pin(async move {
            self.readers
                .read(move |connection| redeem::owner(connection, hash, purpose, now))
                .await
        })
    }

    fn confirm(&self, proof: Proof, now: i64) -> Answer<'_, Redeemed> {
        Box::pin(async move {
            self.writer
                .write(move |connection| redeem::confirm(connection, &proof, now))
                .await
        })
    }

    fn reset_password<'a>(&'a self, proof: Proof, hash: &'a str, now: i64) -> Answer<'a, Redeemed> {
        let hash = hash.to_owned();
        Box::pin(async move {
            self.writer
                .write(move |connection| redeem::reset_password(connection, &proof, &hash, now))
                .await
        })
    }

    fn forget_mail(&self, since: i64, now: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let forgotten = self.writer.write(move |connection| {
                let mails = "DELETE FROM gateway_outbox WHERE id IN (SELECT id FROM gateway_outbox \
                    WHERE settled_at IS NOT NULL AND created_at < ?1 LIMIT 1000)";
                let mails = connection.prepare_cached(mails)?.execute([since])?;
                let codes = "DELETE FROM gateway_codes WHERE hash IN \
                    (SELECT hash FROM gateway_codes WHERE expires_at <= ?1 LIMIT 1000)";
                let codes = connection.prepare_cached(codes)?.execute([now])?;
                let users = "DELETE FROM users WHERE coalesce(is_active, 0) = 0 AND id IN \
                    (SELECT user_id FROM gateway_unconfirmed WHERE until > 0 AND until <= ?1 LIMIT 100)";
                let users = connection.prepare_cached(users)?.execute([now])?;
                Ok(mails + codes + users)
            });
            Ok(u64::try_from(forgotten.await?).unwrap_or(u64::MAX))
        })
    }
}

fn enrol(connection: &Connection, enrolment: &Enrolment, now: i64) -> Result<Enrolled, Error> {
    let wanted = NewMail {
        to: enrolment.user.email.clone().unwrap_or_default(),
        ..enrolment.mail.clone()
    };
    if !is_free(connection, &wanted, enrolment.limits)? {
        return Ok(Enrolled::Limited);
    }
    let (found, enrolled) = match create(connection, &enrolment.user)? {
        Created::New(user) => {
            let sql = "INSERT INTO gateway_unconfirmed (user_id, until) VALUES (?1, ?2)";
            connection
                .prepare_cached(sql)?
                .execute(params![user.id.0, enrolment.until])?;
            (Found::Nobody(user.id), Enrolled::New(user))
        }
        // Whose the address is matters more than whose the name is.
        Created::NameTaken(id) => {
            let email = enrolment.user.email.as_deref().unwrap_or_default();
            let owner = find_email(connection, email)?.map(|id| select_user(connection, id));
            let found = match owner.transpose()?.flatten() {
                Some(owner) => Found::Email(Box::new(owner)),
                None => Found::Name,
            };
            (found, Enrolled::NameTaken(id))
        }
        Created::EmailTaken(id) => match select_user(connection, id)? {
            Some(owner) => (Found::Email(Box::new(owner)), Enrolled::EmailTaken(id)),
            None => return Err(Error::Refused("a row was not found again".to_owned())),
        },
        Created::RowRefused(why) => return Ok(Enrolled::RowRefused(why)),
        Created::EmailRequired => return Err(Error::Refused("an enrolment without an address".to_owned())),
    };
    if enrolment.tell || matches!(enrolled, Enrolled::New(_)) {
        insert(connection, &mail_for(&found, enrolment), now)?;
    }
    Ok(enrolled)
}

fn is_free(connection: &Connection, mail: &NewMail, limits: MailLimits) -> Result<bool, Error> {
    let sql = "SELECT (SELECT count(*) FROM gateway_outbox WHERE recipient = ?1 AND created_at > ?3) < ?4 \
        AND (SELECT count(*) FROM gateway_outbox WHERE client = ?2 AND created_at > ?3) < ?5";
    let params = params![
        recipient(&mail.to),
        mail.client,
        limits.since,
        limits.per_address,
        limits.per_client
    ];
    Ok(connection.prepare_cached(sql)?.query_row(params, |row| row.get(0))?)
}

fn insert(connection: &Connection, mail: &NewMail, now: i64) -> Result<(), Error> {
    // What is not sent takes nothing from what may be.
    let counted = (mail.kind != MailKind::Nobody).then(|| recipient(&mail.to));
    let sql = "INSERT INTO gateway_outbox (id, user_id, kind, data, recipient, client, created_at, due_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        mail.id,
        mail.user.map(|user| user.0),
        mail.kind.as_str(),
        data(mail),
        counted,
        mail.client,
        now
    ])?;
    Ok(())
}

fn mail(row: (String, Option<i64>, String, String, i64, i64)) -> Result<Mail, Error> {
    let (id, user, word, text, attempt, created_at) = row;
    let (to, name) = read_data(&text);
    Ok(Mail {
        id,
        user: user.map(UserId),
        kind: MailKind::read(&word).ok_or_else(|| Error::Refused(format!("no mail is called {word:?}")))?,
        to,
        name,
        attempt,
        created_at,
    })
}
