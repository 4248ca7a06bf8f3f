//! A new password for oneself, by the one that counts so far.

use crate::password::{self, Verdict, policy};
use crate::principal::{Person, UserId};
use crate::secret::Secret;
use crate::store::{NewPassword, User, UserChange};

use super::audit::{self, Rejection};
use super::sessions::in_person;
use super::{Accounts, Caller, Error};

impl Accounts {
    /// Changes a person's own password. A wrong current one counts as a failed login: whoever found an open browser must not
    /// be able to guess at leisure. The session that asks stays, all others end.
    pub async fn change_password(
        &self,
        person: &Person,
        current: Secret<String>,
        new: Secret<String>,
        caller: &Caller,
    ) -> Result<(), Error> {
        let id = in_person(person)?;
        let user = self.owner(id).await?;
        let attempt = self.admit(&user.username, caller.address).await?;
        if let Some(why) = self.reject(&user, current.clone()).await? {
            self.books.count("add_failure", attempt.failed().await)?;
            audit::rejected(&why, caller.address);
            return Err(Error::InvalidCredentials);
        }
        self.forgive(attempt).await;
        let reasons = policy::check(new.expose(), &user.username, self.pool.settings().min_length);
        if !reasons.is_empty() {
            return Err(Error::WeakPassword(reasons));
        }
        let hash = self.pool.hash(new, self.pool.settings().scheme).await?;
        // Hashing takes its time: what an administrator set meanwhile stays. A better hash of the same password is no other
        // password.
        let now = self.owner(id).await?;
        if now.password != user.password && self.reject(&now, current).await?.is_some() {
            return Err(Error::InvalidCredentials);
        }
        self.replace_password(&now, hash, person).await?;
        audit::password_changed(person, caller.address);
        Ok(())
    }

    /// The row of somebody who was let in; it may be gone or closed by now.
    async fn owner(&self, id: UserId) -> Result<User, Error> {
        let user = self.books.ask("user", self.books.store().user(id)).await?;
        user.filter(|user| user.active).ok_or(Error::NoSession)
    }

    async fn reject(&self, user: &User, password: Secret<String>) -> Result<Option<Rejection>, Error> {
        let boxed = || Box::new(user.clone());
        match self.pool.verify(password, &user.password).await {
            Ok(Verdict::Right { .. }) => Ok(None),
            Ok(Verdict::Wrong) | Err(password::Error::TooLong) => Ok(Some(Rejection::WrongPassword(boxed()))),
            Err(password::Error::UnknownScheme | password::Error::Malformed | password::Error::TooCostly) => {
                Ok(Some(Rejection::UnusableHash(boxed())))
            }
            Err(error @ (password::Error::Busy | password::Error::Unavailable)) => Err(error.into()),
        }
    }

    async fn replace_password(&self, user: &User, hash: String, person: &Person) -> Result<(), Error> {
        let now = self.clock.unix_millis();
        let before = self.books.store().sessions_of(user.id, now);
        let before = self.books.ask("sessions_of", before).await?;
        let keep = person.session;
        let change = UserChange {
            password: Some(NewPassword { hash, keep }),
            ..UserChange::default()
        };
        let changed = self.books.store().change_user(user.id, change, now);
        self.books.ask("change_user", changed).await?.ok_or(Error::NoSession)?;
        // Here at once, elsewhere by the feed.
        let until = self.lives.remember_until(now);
        for session in before.iter().filter(|session| Some(session.id) != keep) {
            self.revocations.end_session_now(session.id, until);
        }
        Ok(())
    }
}
