//! API keys: made by their owner or an administrator, shown once, with roles no wider than the owner's.

use aws_lc_rs::rand::SecureRandom as _;

use crate::authn::api_key;
use crate::principal::{Person, Roles, UserId};
use crate::revocation::plain_roles;
use crate::secret::Secret;
use crate::store::{ApiKey, NewApiKey, User};

use super::audit::{self, Actor};
use super::issue::no_randomness;
use super::sessions::in_person;
use super::{Accounts, Caller, Error};

/// Living keys a user may have: each is a way in, and somebody should know what each is for.
const KEYS_AT_MOST: u32 = 50;
/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;
/// The longest life of a key, in seconds: ten years. One that should live longer is one without an end, and says so.
const MAX_LIFE: i64 = 10 * 365 * 86_400;

/// An API key that somebody wants.
#[derive(Clone, Debug)]
pub struct WantedKey {
    /// What the owner calls it.
    pub name: String,
    /// The only roles it has; `None`: all that its owner has at any time.
    pub roles: Option<Vec<String>>,
    /// For how many seconds it is good; `None`: until it is revoked.
    pub expires_in: Option<i64>,
}

/// An API key that was made, with the only copy of its text.
#[derive(Debug)]
pub struct MadeKey {
    /// What the client shows.
    pub text: Secret<String>,
    /// Its row.
    pub key: ApiKey,
}

impl Accounts {
    /// A person's own keys, newest first.
    pub async fn keys(&self, person: &Person) -> Result<Vec<ApiKey>, Error> {
        self.keys_of(in_person(person)?).await
    }

    /// Makes a key for oneself.
    pub async fn make_key(&self, person: &Person, wanted: WantedKey, caller: &Caller) -> Result<MadeKey, Error> {
        let owner = self.key_owner(in_person(person)?).await?;
        self.make_key_for(&owner, wanted, Actor::Person(person, caller.address))
            .await
    }

    /// Revokes one of one's own keys.
    pub async fn revoke_key(&self, person: &Person, id: &str, caller: &Caller) -> Result<(), Error> {
        let owner = in_person(person)?;
        self.revoke_key_of(owner, id, Actor::Person(person, caller.address))
            .await
    }

    pub(super) async fn key_owner(&self, id: UserId) -> Result<User, Error> {
        let owner = self.books.ask("user", self.books.store().user(id)).await?;
        owner.ok_or(Error::NoSuchUser)
    }

    pub(super) async fn keys_of(&self, owner: UserId) -> Result<Vec<ApiKey>, Error> {
        let keys = self.books.store().api_keys_of(owner);
        self.books.ask("api_keys_of", keys).await
    }

    pub(super) async fn make_key_for(
        &self,
        owner: &User,
        wanted: WantedKey,
        actor: Actor<'_>,
    ) -> Result<MadeKey, Error> {
        let roles = self.judge_key(owner, &wanted)?;
        if !owner.active {
            return Err(Error::Inactive);
        }
        let mut random = [0; 41];
        self.random.fill(&mut random).map_err(|_| no_randomness())?;
        let (text, shown) = api_key::write(&random);
        let text = Secret::new(text);
        let now = self.clock.unix_millis();
        let new = NewApiKey {
            id: shown.id.clone(),
            user: owner.id,
            name: wanted.name.clone(),
            hash: shown.hash,
            roles: roles.as_ref().map(Roles::to_column),
            expires_at: wanted
                .expires_in
                .map(|seconds| now.saturating_add(seconds.saturating_mul(1000))),
        };
        let key = ApiKey {
            id: shown.id,
            user: owner.id,
            name: wanted.name,
            hash: shown.hash,
            roles: new.roles.clone(),
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
        };
        let made = self.books.store().create_api_key(new, KEYS_AT_MOST, now);
        if !self.books.ask("create_api_key", made).await? {
            return Err(Error::TooManyKeys);
        }
        audit::key_made(actor, owner.id, &key);
        Ok(MadeKey { text, key })
    }

    pub(super) async fn revoke_key_of(&self, owner: UserId, id: &str, actor: Actor<'_>) -> Result<(), Error> {
        // No text of PostgreSQL's can hold NUL, so no key is called so.
        let possible = !id.contains('\0');
        let revoked = self
            .books
            .store()
            .revoke_api_key(id, Some(owner), self.clock.unix_millis());
        if !possible || !self.books.ask("revoke_api_key", revoked).await? {
            return Err(Error::NoSuchKey);
        }
        audit::key_revoked(actor, owner, id);
        Ok(())
    }

    /// The roles of a key that may be made. The gateway's own role is nobody's to hand to a machine.
    fn judge_key(&self, owner: &User, wanted: &WantedKey) -> Result<Option<Roles>, Error> {
        let name = &wanted.name;
        let is_name = !name.is_empty()
            && name.trim() == name
            && name.chars().count() <= MAX_NAME
            && !name.chars().any(char::is_control);
        if !is_name {
            return Err(Error::InvalidKeyName);
        }
        if wanted
            .expires_in
            .is_some_and(|seconds| !(1..=MAX_LIFE).contains(&seconds))
        {
            return Err(Error::InvalidKeyLife);
        }
        let Some(roles) = &wanted.roles else { return Ok(None) };
        let owned = plain_roles(owner, &self.settings.admin_role);
        match roles.iter().find(|role| !owned.contains(role)) {
            Some(wider) => Err(Error::RoleNotOwned(wider.clone())),
            None => Ok(Some(roles.iter().map(String::as_str).collect())),
        }
    }
}
