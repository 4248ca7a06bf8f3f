//! What an administrator does with accounts from the command line. A running gateway on the same store hears of it through
//! the change feed.

use std::sync::Arc;

use serde::Serialize;

use crate::clock::Clock;
use crate::password::{Pool, Scheme, Shape, policy};
use crate::principal::UserId;
use crate::revocation::roles_in_force;
use crate::secret::Secret;
use crate::store::{Created, NewPassword, NewUser, Store, User, UserChange, name_key};

use super::audit::{self, Action};
use super::{Error, Settings, email, roles, username};

/// Accounts read from the store at once.
const PAGE: u32 = 500;

/// The administrator's desk.
pub struct Administration {
    store: Arc<dyn Store>,
    pool: Pool,
    settings: Settings,
    clock: Clock,
}

/// Which account is meant.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// The one of this name.
    Name(&'a str),
    /// The one of this id: needed where two have one name.
    Id(UserId),
}

/// An account to be made.
#[derive(Debug)]
pub struct NewAccount {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
    /// The roles; `admin.role` among them grants it.
    pub roles: Vec<String>,
    /// The e-mail address; it counts as confirmed.
    pub email: Option<String>,
}

/// An account as it is shown: everything but the hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Primary key.
    pub id: i64,
    /// The name.
    pub username: String,
    /// The roles in force: those of the column and those granted by command.
    pub roles: Vec<String>,
    /// Whether it may be used.
    pub active: bool,
    /// The e-mail address.
    pub email: Option<String>,
    /// Whether that was confirmed.
    pub email_verified: bool,
    /// Scheme and cost of the stored password; none: it cannot be verified, and nobody can log in.
    pub password: Option<String>,
}

impl Administration {
    /// The desk over this store. `pool`: hashes new passwords.
    pub fn new(store: Arc<dyn Store>, pool: Pool, settings: Settings, clock: Clock) -> Self {
        Self {
            store,
            pool,
            settings,
            clock,
        }
    }

    /// Makes an account. Of what speaks against its password only a length out of bounds is refused; the rest comes back as
    /// warnings, for an administrator may have a reason.
    pub async fn add(&self, new: NewAccount) -> Result<(Account, Vec<policy::Reason>), Error> {
        let faults = username::check(&new.username);
        if !faults.is_empty() {
            return Err(Error::InvalidUsername(faults));
        }
        let kept = roles::keep(&new.roles, &self.settings.admin_role)?;
        if let Some(address) = &new.email {
            email::check(address)?;
        }
        let (hash, warnings) = self.hash(new.password, &new.username).await?;
        let user = NewUser {
            name_key: name_key(&new.username),
            username: new.username,
            password: hash,
            roles: kept.column,
            active: true,
            email_verified: new.email.is_some(),
            email: new.email,
            grants: kept.grants,
        };
        match self.store.create_user(user, self.clock.unix_millis()).await? {
            Created::New(user) => Ok((self.done(Action::Created, &user), warnings)),
            Created::NameTaken(_) => Err(Error::NameTaken),
            Created::EmailTaken(_) => Err(Error::EmailTaken),
            Created::EmailRequired => Err(Error::EmailRequired),
        }
    }

    /// Sets a password and ends all sessions; warnings as for [`Administration::add`].
    pub async fn set_password(
        &self,
        which: Which<'_>,
        password: Secret<String>,
    ) -> Result<(Account, Vec<policy::Reason>), Error> {
        let user = self.find(which).await?;
        let (hash, warnings) = self.hash(password, &user.username).await?;
        let change = UserChange {
            password: Some(NewPassword { hash, keep: None }),
            ..UserChange::default()
        };
        Ok((self.change(&user, change, Action::PasswordSet).await?, warnings))
    }

    /// Sets the roles, all of them; `admin.role` among them grants it, its absence takes it away.
    pub async fn set_roles(&self, which: Which<'_>, roles: &[String]) -> Result<Account, Error> {
        let kept = roles::keep(roles, &self.settings.admin_role)?;
        let user = self.find(which).await?;
        let change = UserChange {
            roles: Some(kept.column),
            grants: Some(kept.grants),
            ..UserChange::default()
        };
        self.change(&user, change, Action::RolesSet).await
    }

    /// Activates an account, or deactivates it and ends its sessions.
    pub async fn set_active(&self, which: Which<'_>, active: bool) -> Result<Account, Error> {
        let user = self.find(which).await?;
        let change = UserChange {
            active: Some(active),
            ..UserChange::default()
        };
        let action = if active { Action::Activated } else { Action::Deactivated };
        self.change(&user, change, action).await
    }

    /// Deletes an account and ends its sessions; what it was.
    pub async fn delete(&self, which: Which<'_>) -> Result<Account, Error> {
        let user = self.find(which).await?;
        match self.store.delete_user(user.id, self.clock.unix_millis()).await? {
            true => Ok(self.done(Action::Deleted, &user)),
            false => Err(Error::NoSuchUser),
        }
    }

    /// One account.
    pub async fn show(&self, which: Which<'_>) -> Result<Account, Error> {
        Ok(self.account(&self.find(which).await?))
    }

    /// Some accounts in the order of their ids, those after `after`; none: that was all.
    pub async fn list(&self, after: Option<UserId>) -> Result<Vec<Account>, Error> {
        let page = self.store.users_after(after, PAGE).await?;
        Ok(page.iter().map(|user| self.account(user)).collect())
    }

    async fn find(&self, which: Which<'_>) -> Result<User, Error> {
        let rows = match which {
            // No text of PostgreSQL's can hold NUL.
            Which::Name(name) if name.contains('\0') => Vec::new(),
            Which::Name(name) => self.store.users_named(name).await?,
            Which::Id(id) => self.store.user(id).await?.into_iter().collect(),
        };
        let ids: Vec<_> = rows.iter().map(|user| user.id).collect();
        let mut rows = rows.into_iter();
        match (rows.next(), rows.next()) {
            (None, _) => Err(Error::NoSuchUser),
            (Some(user), None) => Ok(user),
            (Some(_), Some(_)) => Err(Error::SeveralUsers(ids)),
        }
    }

    async fn hash(&self, password: Secret<String>, username: &str) -> Result<(String, Vec<policy::Reason>), Error> {
        let reasons = policy::check(password.expose(), username, self.pool.settings().min_length);
        let (refused, warnings): (Vec<_>, Vec<_>) = reasons.into_iter().partition(|reason| match reason {
            policy::Reason::TooShort(_) | policy::Reason::TooLong => true,
            policy::Reason::Common | policy::Reason::LikeUsername => false,
        });
        if !refused.is_empty() {
            return Err(Error::WeakPassword(refused));
        }
        Ok((self.pool.hash(password, Scheme::default()).await?, warnings))
    }

    async fn change(&self, user: &User, change: UserChange, action: Action) -> Result<Account, Error> {
        let changed = self
            .store
            .change_user(user.id, change, self.clock.unix_millis())
            .await?;
        let changed = changed.ok_or(Error::NoSuchUser)?;
        Ok(self.done(action, &changed))
    }

    fn done(&self, action: Action, user: &User) -> Account {
        audit::administered(action, user);
        self.account(user)
    }

    fn account(&self, user: &User) -> Account {
        Account {
            id: user.id.0,
            username: user.username.clone(),
            roles: roles_in_force(user, &self.settings.admin_role)
                .iter()
                .map(str::to_owned)
                .collect(),
            active: user.active,
            email: user.email.clone(),
            email_verified: user.email_verified,
            password: Shape::of(&user.password).map(|shape| shape.to_string()),
        }
    }
}
