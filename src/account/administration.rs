//! What an administrator does with accounts, from the command line or through the admin API. All gateways on the same store
//! hear of it through the change feed.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::clock::Clock;
use crate::password::{Pool, Shape, policy};
use crate::principal::{Person, UserId};
use crate::revocation::{Revocations, roles_in_force};
use crate::secret::Secret;
use crate::store::{self, Created, NewPassword, NewUser, Store, User, UserChange, name_key};
use crate::token;

use super::audit::{self, Action, Actor};
use super::issue::Lives;
use super::registration::Rules;
use super::{Accounts, Error, Settings, email, roles, username};

/// Accounts read from the store at once.
const PAGE: u32 = 500;

/// The administrator's desk.
pub struct Administration {
    pub(super) store: Arc<dyn Store>,
    pool: Arc<Pool>,
    pub(super) settings: Settings,
    pub(super) lives: Lives,
    pub(super) clock: Clock,
    pub(super) by: By,
    /// Of this process, where it serves requests.
    pub(super) revocations: Option<Revocations>,
}

/// Who sits at the desk.
pub(super) enum By {
    /// Whoever may run the program on the store: they may everything.
    CommandLine,
    /// Somebody with `admin.role`, from this address.
    Administrator(Arc<Person>, IpAddr),
}

impl By {
    pub(super) fn actor(&self) -> Actor<'_> {
        match self {
            Self::CommandLine => Actor::CommandLine,
            Self::Administrator(person, address) => Actor::Person(person, *address),
        }
    }
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
    /// Whether it may be used at once.
    pub active: bool,
}

/// What is to be different about an account; `None` leaves it alone.
#[derive(Debug, Default)]
pub struct AccountChange {
    /// The roles, all of them.
    pub roles: Option<Vec<String>>,
    /// Whether it may be used. Deactivation ends its sessions.
    pub active: Option<bool>,
    /// The e-mail address, or none; it counts as confirmed.
    pub email: Option<Option<String>>,
    /// A new password. It ends all sessions.
    pub password: Option<Secret<String>>,
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
    /// Of the roles, those that were granted by command.
    #[serde(skip)]
    pub grants: Vec<String>,
}

impl Accounts {
    /// The desk for an administrator who came in through the front door: they may not make administrators, nor set passwords
    /// that people could not choose themselves.
    pub fn desk(&self, administrator: Arc<Person>, address: IpAddr) -> Administration {
        Administration {
            store: self.books.shared(),
            pool: Arc::clone(&self.pool),
            settings: self.settings.clone(),
            lives: self.lives,
            clock: self.clock.clone(),
            by: By::Administrator(administrator, address),
            revocations: Some(self.revocations.clone()),
        }
    }
}

impl Administration {
    /// The command line's desk over this store. `pool`: hashes new passwords.
    pub fn new(store: Arc<dyn Store>, pool: Pool, settings: Settings, tokens: &token::Settings, clock: Clock) -> Self {
        Self {
            store,
            pool: Arc::new(pool),
            settings,
            lives: Lives::new(tokens),
            clock,
            by: By::CommandLine,
            revocations: None,
        }
    }

    /// Makes an account. On the command line, of what speaks against its password only a length out of bounds is refused; the
    /// rest comes back as warnings, for an administrator may have a reason.
    pub async fn add(&self, new: NewAccount) -> Result<(Account, Vec<policy::Reason>), Error> {
        let faults = username::check(&new.username, Rules::All);
        if !faults.is_empty() {
            return Err(Error::InvalidUsername(faults));
        }
        let kept = self.keep_roles(&new.roles)?;
        if let Some(address) = &new.email {
            email::check(address, Rules::All)?;
        }
        let (hash, warnings) = self.hash(new.password, &new.username).await?;
        let user = NewUser {
            name_key: name_key(&new.username),
            username: new.username,
            password: hash,
            roles: kept.column,
            active: new.active,
            email_verified: new.email.is_some(),
            email: new.email,
            grants: kept.grants,
        };
        match self.store.create_user(user, self.clock.unix_millis()).await? {
            Created::New(user) => Ok((self.done(Action::Created, &user), warnings)),
            Created::NameTaken(_) => Err(Error::NameTaken),
            Created::EmailTaken(_) => Err(Error::EmailTaken),
            Created::EmailRequired => Err(Error::EmailRequired),
            Created::RowRefused(why) => Err(Error::RowRefused(why)),
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
        let kept = self.keep_roles(roles)?;
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

    /// Changes several things about an account at once, or none of them. What was granted by command stays as it is.
    pub async fn change_account(&self, which: Which<'_>, change: AccountChange) -> Result<Account, Error> {
        let user = self.find(which).await?;
        let roles = change.roles.map(|roles| self.keep_roles(&roles)).transpose()?;
        if let Some(Some(address)) = &change.email {
            email::check(address, Rules::All)?;
        }
        let password = match change.password {
            Some(password) => {
                let (hash, _) = self.hash(password, &user.username).await?;
                Some(NewPassword { hash, keep: None })
            }
            None => None,
        };
        let actions: Vec<Action> = [
            roles.as_ref().map(|_| Action::RolesSet),
            change
                .active
                .map(|active| if active { Action::Activated } else { Action::Deactivated }),
            change.email.as_ref().map(|_| Action::EmailSet),
            password.as_ref().map(|_| Action::PasswordSet),
        ]
        .into_iter()
        .flatten()
        .collect();
        if actions.is_empty() {
            return Ok(self.account(&user));
        }
        let change = UserChange {
            roles: roles.map(|kept| kept.column),
            grants: None,
            active: change.active,
            email: change.email,
            password,
        };
        let changed = self.apply(&user, change).await?;
        for action in actions {
            self.tell(action, &changed);
        }
        Ok(self.account(&changed))
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
        self.page(after, PAGE).await
    }

    /// The same, at most so many.
    pub async fn page(&self, after: Option<UserId>, limit: u32) -> Result<Vec<Account>, Error> {
        let page = self.store.users_after(after, limit).await?;
        Ok(page.iter().map(|user| self.account(user)).collect())
    }

    pub(super) async fn find(&self, which: Which<'_>) -> Result<User, Error> {
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
        let strict = match self.by {
            By::CommandLine => false,
            By::Administrator(..) => true,
        };
        let (refused, warnings): (Vec<_>, Vec<_>) = reasons.into_iter().partition(|reason| match reason {
            policy::Reason::TooShort(_) | policy::Reason::TooLong => true,
            policy::Reason::Common | policy::Reason::LikeUsername => strict,
        });
        if !refused.is_empty() {
            return Err(Error::WeakPassword(refused));
        }
        Ok((self.pool.hash(password, self.pool.settings().scheme).await?, warnings))
    }

    /// The gateway's own role is given by command only: who has stolen an administrator's session must not be able to stay.
    fn keep_roles(&self, roles: &[String]) -> Result<roles::Kept, Error> {
        let admin_role = &self.settings.admin_role;
        match self.by {
            By::Administrator(..) if roles.contains(admin_role) => Err(Error::AdminRole),
            By::Administrator(..) | By::CommandLine => Ok(roles::keep(roles, admin_role)?),
        }
    }

    async fn change(&self, user: &User, change: UserChange, action: Action) -> Result<Account, Error> {
        let changed = self.apply(user, change).await?;
        Ok(self.done(action, &changed))
    }

    async fn apply(&self, user: &User, change: UserChange) -> Result<User, Error> {
        let email = change.email.as_ref().map(Option::is_some);
        let changed = self.store.change_user(user.id, change, self.clock.unix_millis()).await;
        match (changed, email) {
            (Ok(changed), _) => changed.ok_or(Error::NoSuchUser),
            // The two things about an address that a table can mind.
            (Err(store::Error::Refused(_)), Some(true)) => Err(Error::EmailTaken),
            (Err(store::Error::Refused(_)), Some(false)) => Err(Error::EmailRequired),
            (Err(error), _) => Err(error.into()),
        }
    }

    fn done(&self, action: Action, user: &User) -> Account {
        self.tell(action, user);
        self.account(user)
    }

    pub(super) fn tell(&self, action: Action, user: &User) {
        audit::administered(action, user, self.by.actor());
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
            grants: user.grants.clone(),
        }
    }
}
