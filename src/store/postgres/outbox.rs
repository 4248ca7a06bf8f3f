//! Mail that waits, in PostgreSQL.

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::error::Failure;
use super::link::{Params, Work};
use super::users::{
    STEPS_PER_REGISTRATION, WITH_EMAIL, fill_keys, find_email, find_taken, insert as insert_user, select,
};
use super::{LOCK_REGISTRATION, Postgres, SELECT_USER, TAKE_LOCK, column, count, redeem, user};
use crate::principal::UserId;
use crate::store::mail::{Found, data, mail_for, read_data, recipient};
use crate::store::{
    Answer, Created, Enrolled, Enrolment, Error, Mail, MailKind, MailLimits, NewCode, NewMail, Outbox, Proof, Purpose,
    Redeemed, Settled, User,
};

impl Outbox for Postgres {
    fn enrol(&self, enrolment: Enrolment, now: i64) -> Answer<'_, Enrolled> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            work.query(TAKE_LOCK, &[(&LOCK_REGISTRATION, Type::INT8)]).await?;
            let mut steps = 0;
            while fill_keys(&work).await? {
                steps += 1;
                if steps == STEPS_PER_REGISTRATION {
                    work.commit().await?;
                    let text = "the keys of names that another program wrote are being computed".to_owned();
                    return Err(Error::Unavailable(text));
                }
            }
            let failure = match enrol(&work, &enrolment, now).await {
                Ok(enrolled) => {
                    work.commit().await?;
                    return Ok(enrolled);
                }
                Err(failure) => failure,
            };
            if failure.state == Some(SqlState::UNIQUE_VIOLATION) {
                // Another hand, without our lock, was between our look and our row: who comes again finds it taken.
                let text = "another program wrote the same name or address".to_owned();
                return Err(Error::Unavailable(text));
            }
            match failure.refused_row() {
                Some(why) => {
                    work.rollback().await?;
                    Ok(Enrolled::RowRefused(why))
                }
                None => Err(failure.error),
            }
        })
    }

    fn user_with_email<'a>(&'a self, email: &'a str) -> Answer<'a, Option<User>> {
        Box::pin(async move {
            if email.contains('\0') {
                return Ok(None);
            }
            let sql = format!("{SELECT_USER} {WITH_EMAIL}");
            let rows = self.link.query(&sql, &[(&email, Type::TEXT)]).await?;
            rows.first().map(user).transpose()
        })
    }

    fn is_unconfirmed(&self, user: UserId) -> Answer<'_, bool> {
        Box::pin(async move {
            let sql = "SELECT 1 FROM gateway_unconfirmed WHERE user_id = $1 AND until > 0";
            Ok(!self.link.query(sql, &[(&user.0, Type::INT8)]).await?.is_empty())
        })
    }

    fn add_mail(&self, mail: NewMail, limits: MailLimits, now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let free = is_free(&work, &mail, limits).await?;
            if free {
                insert(&work, &mail, now).await?;
            }
            work.commit().await?;
            Ok(free)
        })
    }

    fn claim_mail(&self, now: i64, lease: i64) -> Answer<'_, Option<Mail>> {
        Box::pin(async move {
            let due = "SELECT 1 FROM gateway_outbox WHERE settled_at IS NULL AND due_at <= $1 LIMIT 1";
            // Nobody writes where there is nothing to do.
            if self.link.query(due, &[(&now, Type::INT8)]).await?.is_empty() {
                return Ok(None);
            }
            let work = self.link.begin().await?;
            let sql = "UPDATE gateway_outbox SET attempts = attempts + 1, due_at = $2 WHERE id = \
                (SELECT id FROM gateway_outbox WHERE settled_at IS NULL AND due_at <= $1 \
                ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) \
                RETURNING id, user_id, kind, data, attempts, created_at";
            let rows = work.query(sql, &[(&now, Type::INT8), (&lease, Type::INT8)]).await?;
            work.commit().await?;
            rows.first().map(mail).transpose()
        })
    }

    fn add_code<'a>(&'a self, mail: &'a Mail, code: NewCode) -> Answer<'a, bool> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let sql = "SELECT user_id FROM gateway_outbox \
                WHERE id = $1 AND attempts = $2 AND settled_at IS NULL FOR UPDATE";
            let params: Params<'_> = &[(&mail.id, Type::TEXT), (&mail.attempt, Type::INT8)];
            let rows = work.query(sql, params).await?;
            let owner: Option<i64> = rows.first().map(|row| column(row, 0)).transpose()?.flatten();
            let added = match owner {
                Some(owner) => redeem::add(&work, UserId(owner), &code).await?,
                None => false,
            };
            work.commit().await?;
            Ok(added)
        })
    }

    fn settle_mail<'a>(&'a self, mail: &'a Mail, settled: Settled, now: i64) -> Answer<'a, bool> {
        Box::pin(async move {
            let (sql, at) = match settled {
                Settled::Done => (
                    "UPDATE gateway_outbox SET settled_at = $3, data = '{}' \
                    WHERE id = $1 AND attempts = $2 AND settled_at IS NULL",
                    now,
                ),
                Settled::Again(at) => (
                    "UPDATE gateway_outbox SET due_at = $3 WHERE id = $1 AND attempts = $2 AND settled_at IS NULL",
                    at,
                ),
            };
            let params: Params<'_> = &[(&mail.id, Type::TEXT), (&mail.attempt, Type::INT8), (&at, Type::INT8)];
            let work = self.link.begin().await?;
            let changed = work.execute(sql, params).await?;
            work.commit().await?;
            Ok(changed > 0)
        })
    }

    fn waiting_mails(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let sql = "SELECT count(*) FROM gateway_outbox WHERE settled_at IS NULL AND kind <> 'nobody'";
            let rows = self.link.query(sql, &[]).await?;
            rows.first().map_or(Ok(0), |row| count(row, 0))
        })
    }

    fn code(&self, hash: [u8; 32], purpose: Purpose, now: i64) -> Answer<'_, Option<User>> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let owner = redeem::owner(&work, hash, purpose, now).await?;
            work.commit().await?;
            Ok(owner)
        })
    }

    fn confirm(&self, proof: Proof, now: i64) -> Answer<'_, Redeemed> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let redeemed = redeem::confirm(&work, &proof, now).await?;
            work.commit().await?;
            Ok(redeemed)
        })
    }

    fn reset_password<'a>(&'a self, proof: Proof, hash: &'a str, now: i64) -> Answer<'a, Redeemed> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let redeemed = redeem::reset_password(&work, &proof, hash, now).await?;
            work.commit().await?;
            Ok(redeemed)
        })
    }

    fn forget_mail(&self, since: i64, now: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let mut forgotten = 0;
            for (sql, at) in [
                (
                    "DELETE FROM gateway_outbox WHERE id IN (SELECT id FROM gateway_outbox \
                    WHERE settled_at IS NOT NULL AND created_at < $1 LIMIT 1000 FOR UPDATE SKIP LOCKED)",
                    since,
                ),
                (
                    "DELETE FROM gateway_codes WHERE hash IN (SELECT hash FROM gateway_codes \
                    WHERE expires_at <= $1 LIMIT 1000 FOR UPDATE SKIP LOCKED)",
                    now,
                ),
                (
                    "DELETE FROM users WHERE is_active IS NOT TRUE AND id IN \
                    (SELECT user_id FROM gateway_unconfirmed WHERE until > 0 AND until <= $1 LIMIT 100)",
                    now,
                ),
            ] {
                forgotten += work.execute(sql, &[(&at, Type::INT8)]).await?;
            }
            work.commit().await?;
            Ok(forgotten)
        })
    }
}

async fn enrol(work: &Work<'_>, enrolment: &Enrolment, now: i64) -> Result<Enrolled, Failure> {
    let address = enrolment.user.email.clone().unwrap_or_default();
    let wanted = NewMail {
        to: address.clone(),
        ..enrolment.mail.clone()
    };
    if !is_free(work, &wanted, enrolment.limits).await? {
        return Ok(Enrolled::Limited);
    }
    let gone = || Failure::from(Error::Refused("a row was not found again".to_owned()));
    let (found, enrolled) = match find_taken(work, &enrolment.user).await? {
        None => {
            let id = insert_user(work, &enrolment.user).await?;
            let sql = "INSERT INTO gateway_unconfirmed (user_id, until) VALUES ($1, $2)";
            work.execute(sql, &[(&id.0, Type::INT8), (&enrolment.until, Type::INT8)])
                .await?;
            let made = select(work, id).await?.ok_or_else(gone)?;
            (Found::Nobody(id), Enrolled::New(made))
        }
        // Whose the address is matters more than whose the name is.
        Some(Created::NameTaken(id)) => {
            let found = match find_email(work, &address).await? {
                Some(owner) => Found::Email(Box::new(select(work, owner).await?.ok_or_else(gone)?)),
                None => Found::Name,
            };
            (found, Enrolled::NameTaken(id))
        }
        Some(Created::EmailTaken(id)) => {
            let owner = select(work, id).await?.ok_or_else(gone)?;
            (Found::Email(Box::new(owner)), Enrolled::EmailTaken(id))
        }
        Some(Created::New(_) | Created::EmailRequired | Created::RowRefused(_)) => return Err(gone()),
    };
    if enrolment.tell || matches!(enrolled, Enrolled::New(_)) {
        insert(work, &mail_for(&found, enrolment), now).await?;
    }
    Ok(enrolled)
}

async fn is_free(work: &Work<'_>, mail: &NewMail, limits: MailLimits) -> Result<bool, Failure> {
    let sql = "SELECT (SELECT count(*) FROM gateway_outbox WHERE recipient = $1 AND created_at > $3) < $4 \
        AND (SELECT count(*) FROM gateway_outbox WHERE client = $2 AND created_at > $3) < $5";
    let recipient = recipient(&mail.to);
    let params: Params<'_> = &[
        (&recipient.as_slice(), Type::BYTEA),
        (&mail.client.as_slice(), Type::BYTEA),
        (&limits.since, Type::INT8),
        (&i64::from(limits.per_address), Type::INT8),
        (&i64::from(limits.per_client), Type::INT8),
    ];
    let rows = work.query(sql, params).await?;
    Ok(rows.first().map_or(Ok(false), |row| column(row, 0))?)
}

async fn insert(work: &Work<'_>, mail: &NewMail, now: i64) -> Result<(), Failure> {
    // What is not sent takes nothing from what may be.
    let counted = (mail.kind != MailKind::Nobody).then(|| recipient(&mail.to));
    let sql = "INSERT INTO gateway_outbox (id, user_id, kind, data, recipient, client, created_at, due_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7)";
    let params: Params<'_> = &[
        (&mail.id, Type::TEXT),
        (&mail.user.map(|user| user.0), Type::INT8),
        (&mail.kind.as_str(), Type::TEXT),
        (&data(mail), Type::TEXT),
        (&counted.as_ref().map(|counted| counted.as_slice()), Type::BYTEA),
        (&mail.client.as_slice(), Type::BYTEA),
        (&now, Type::INT8),
    ];
    work.execute(sql, params).await?;
    Ok(())
}

fn mail(row: &Row) -> Result<Mail, Error> {
    let word: &str = column(row, 2)?;
    let (to, name) = read_data(column(row, 3)?);
    Ok(Mail {
        id: column(row, 0)?,
        user: column::<Option<i64>>(row, 1)?.map(UserId),
        kind: MailKind::read(word).ok_or_else(|| Error::Refused(format!("no mail is called {word:?}")))?,
        to,
        name,
        attempt: column(row, 4)?,
        created_at: column(row, 5)?,
    })
}
