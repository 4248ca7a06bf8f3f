//! A store in memory for the tests of what is built over it: it can fail, and be slow, on command. What it does is what the
//! traits say; the real ones are held to that by a suite of their own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::principal::{SessionId, UserId};
use crate::store::*;
use ending::end;
mod ending;
mod lives;
mod outbox;
mod tickets;

/// Something that happens in between.
pub(crate) type Step = Box<dyn FnOnce(&mut State) + Send>;

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) state: Mutex<State>,
    pub(crate) down: AtomicBool,
    /// Happens just before the next session is opened.
    pub(crate) before_opening: Mutex<Option<Step>>,
    /// Happens just after the next look at a settled row.
    pub(crate) after_settled: Mutex<Option<Step>>,
    pub(crate) calls: AtomicUsize,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) users: BTreeMap<UserId, (User, String)>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) failures: Vec<([u8; 32], i64)>,
    pub(crate) api_keys: BTreeMap<String, ApiKey>,
    pub(crate) tickets: BTreeMap<[u8; 32], Ticket>,
}

impl Fake {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A row as another server may have written it, twice the same name if need be.
    pub(crate) fn row(&self, username: &str, password: &str, active: bool) -> UserId {
        let mut state = self.lock();
        let id = UserId(i64::try_from(state.users.len()).unwrap() + 1);
        let user = User {
            id,
            username: username.to_owned(),
            password: password.to_owned(),
            roles: "user".to_owned(),
            active,
            email: None,
            email_verified: false,
            grants: Vec::new(),
            cut_at: None,
        };
        state.users.insert(id, (user, name_key(username)));
        id
    }

    pub(crate) fn change(&self, id: UserId, change: impl FnOnce(&mut User)) {
        change(&mut self.lock().users.get_mut(&id).unwrap().0);
    }

    fn answer<'a, T: Send + 'a>(&'a self, act: impl FnOnce(&mut State) -> T + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            // Let others in between, as a real store would.
            tokio::task::yield_now().await;
            if self.down.load(Ordering::SeqCst) {
                return Err(Error::Unavailable("down".to_owned()));
            }
            let answer = act(&mut self.lock());
            tokio::task::yield_now().await;
            Ok(answer)
        })
    }
}

impl Users for Fake {
    fn users_named<'a>(&'a self, username: &'a str) -> Answer<'a, Vec<User>> {
        self.answer(move |state| {
            let users = state.users.values().map(|(user, _)| user);
            users
                .filter(|user| user.username == username)
                .take(2)
                .cloned()
                .collect()
        })
    }
    fn user(&self, id: UserId) -> Answer<'_, Option<User>> {
        self.answer(move |state| state.users.get(&id).map(|(user, _)| user.clone()))
    }
    fn user_settled(&self, id: UserId) -> Answer<'_, Option<User>> {
        Box::pin(async move {
            let row = self.user(id).await;
            if let Some(step) = self.after_settled.lock().unwrap().take() {
                step(&mut self.lock());
            }
            row
        })
    }
    fn users_after(&self, after: Option<UserId>, limit: u32) -> Answer<'_, Vec<User>> {
        self.answer(move |state| {
            let users = state.users.values().map(|(user, _)| user);
            users
                .filter(|user| Some(user.id) > after)
                .take(limit.try_into().unwrap())
                .cloned()
                .collect()
        })
    }
    fn create_user(&self, new: NewUser, _: i64) -> Answer<'_, Created> {
        self.answer(move |state| {
            for (user, key) in state.users.values() {
                if *key == new.name_key {
                    return Created::NameTaken(user.id);
                }
                if user.email.is_some() && user.email == new.email {
                    return Created::EmailTaken(user.id);
                }
            }
            let id = UserId(state.users.keys().last().map_or(1, |id| id.0 + 1));
            let user = User {
                id,
                username: new.username,
                password: new.password,
                roles: new.roles,
                active: new.active,
                email: new.email,
                email_verified: new.email_verified,
                grants: new.grants,
                cut_at: None,
            };
            state.users.insert(id, (user.clone(), new.name_key));
            Created::New(user)
        })
    }
    fn change_user(&self, id: UserId, change: UserChange, now: i64) -> Answer<'_, Option<User>> {
        self.answer(move |state| {
            let (user, _) = state.users.get_mut(&id)?;
            user.roles = change.roles.unwrap_or(user.roles.clone());
            user.grants = change.grants.unwrap_or(user.grants.clone());
            user.active = change.active.unwrap_or(user.active);
            let (user, active) = (user.clone(), user.active);
            if let Some(password) = change.password {
                state.users.get_mut(&id)?.0.password = password.hash;
                end(state, now, |session| {
                    session.user == id && Some(session.id) != password.keep
                });
            }
            if !active {
                end(state, now, |session| session.user == id);
            }
            Some(user)
        })
    }
    fn delete_user(&self, id: UserId, now: i64) -> Answer<'_, bool> {
        self.answer(move |state| {
            end(state, now, |session| session.user == id);
            state.users.remove(&id).is_some()
        })
    }
    fn upgrade_hash<'a>(&'a self, id: UserId, old: &'a str, new: &'a str) -> Answer<'a, bool> {
        self.answer(move |state| match state.users.get_mut(&id) {
            Some((user, _)) if user.password == old => {
                user.password = new.to_owned();
                true
            }
            _ => false,
        })
    }
    fn sample_hashes(&self, limit: u32) -> Answer<'_, Vec<String>> {
        self.answer(move |state| {
            let users = state.users.values().map(|(user, _)| user.password.clone());
            users.take(limit.try_into().unwrap()).collect()
        })
    }
}

impl Sessions for Fake {
    fn open_session(&self, new: NewSession, now: i64) -> Answer<'_, bool> {
        self.answer(move |state| {
            if let Some(happens) = self.before_opening.lock().unwrap().take() {
                happens(state);
            }
            let user = state.users.get(&new.user).map(|(user, _)| user);
            if !user.is_some_and(|user| user.active && user.password == new.password_was) {
                return false;
            }
            let session = Session {
                id: new.id,
                user: new.user,
                generation: 0,
                family_hash: new.family_hash,
                current_hash: new.current_hash,
                previous_hash: None,
                salt: new.salt,
                previous_salt: None,
                rotated_at: None,
                created_at: now,
                expires_at: new.expires_at,
                idle_until: new.idle_until,
                revoked_at: None,
                kind: new.kind,
                client: new.client,
                address: new.address,
                seen_at: now,
            };
            state.sessions.insert(new.id, session);
            true
        })
    }
    fn session(&self, id: SessionId) -> Answer<'_, Option<Session>> {
        self.answer(move |state| state.sessions.get(&id).cloned())
    }
    fn rotate_session(&self, rotation: Rotation, now: i64) -> Answer<'_, bool> {
        self.answer(move |state| match state.sessions.get_mut(&rotation.id) {
            Some(row)
                if row.revoked_at.is_none()
                    && row.current_hash == rotation.presented_hash
                    && row.generation == rotation.generation =>
            {
                row.previous_hash = Some(row.current_hash);
                row.previous_salt = Some(row.salt);
                row.current_hash = rotation.next_hash;
                row.salt = rotation.next_salt;
                row.generation += 1;
                row.rotated_at = Some(now);
                row.idle_until = rotation.idle_until;
                true
            }
            _ => false,
        })
    }
    fn end_session(&self, id: SessionId, now: i64, _: i64) -> Answer<'_, bool> {
        self.answer(move |state| end(state, now, |session| session.id == id))
    }
    fn sessions_of(&self, user: UserId, now: i64) -> Answer<'_, Vec<Session>> {
        self.answer(move |state| {
            let living =
                |session: &&Session| session.user == user && session.revoked_at.is_none() && session.expires_at > now;
            state.sessions.values().filter(living).cloned().collect()
        })
    }
    fn renew_session<'a>(
        &'a self,
        id: SessionId,
        now: i64,
        idle_until: i64,
        address: Option<&'a str>,
    ) -> Answer<'a, Option<(Session, User)>> {
        self.answer(move |state| {
            let session = state.sessions.get_mut(&id)?;
            let lives = session.revoked_at.is_none() && session.expires_at > now && session.idle_until > now;
            let user = state.users.get(&session.user).map(|(user, _)| user.clone());
            let user = user.filter(|user| user.active && lives)?;
            session.idle_until = session.idle_until.max(idle_until);
            session.seen_at = now;
            session.address = address.map(str::to_owned).or(session.address.take());
            Some((session.clone(), user))
        })
    }
    fn end_sessions_of(&self, user: UserId, keep: Option<SessionId>, now: i64, _: i64) -> Answer<'_, u64> {
        self.answer(move |state| {
            let living = |session: &&Session| session.user == user && session.revoked_at.is_none();
            let before = state.sessions.values().filter(living).count();
            end(state, now, |session| session.user == user && Some(session.id) != keep);
            u64::try_from(before - state.sessions.values().filter(living).count()).unwrap()
        })
    }
    fn sessions_after(&self, after: Option<SessionId>, limit: u32, now: i64) -> Answer<'_, Vec<Session>> {
        self.answer(move |state| {
            let living = |session: &&Session| {
                Some(session.id) > after && session.revoked_at.is_none() && session.expires_at > now
            };
            let limit = limit.try_into().unwrap();
            state.sessions.values().filter(living).take(limit).cloned().collect()
        })
    }
    fn forget_sessions(&self, before: i64) -> Answer<'_, u64> {
        self.answer(move |state| {
            let had = state.sessions.len();
            state
                .sessions
                .retain(|_, session| session.revoked_at.unwrap_or(session.expires_at) >= before);
            u64::try_from(had - state.sessions.len()).unwrap()
        })
    }
}

impl Throttle for Fake {
    fn failures<'a>(&'a self, keys: &'a [[u8; 32]], since: i64) -> Answer<'a, Vec<Failures>> {
        self.answer(move |state| {
            let of = |key: &[u8; 32]| {
                let times = state
                    .failures
                    .iter()
                    .filter(|(of, at)| of == key && *at > since)
                    .map(|(_, at)| *at);
                Failures {
                    count: u64::try_from(times.clone().count()).unwrap(),
                    oldest: times.min(),
                }
            };
            keys.iter().map(of).collect()
        })
    }
    fn add_failure<'a>(&'a self, keys: &'a [[u8; 32]], now: i64) -> Answer<'a, ()> {
        self.answer(move |state| state.failures.extend(keys.iter().map(|key| (*key, now))))
    }
    fn clear_failures(&self, key: [u8; 32]) -> Answer<'_, ()> {
        self.answer(move |state| state.failures.retain(|(of, _)| *of != key))
    }
    fn forget_failures(&self, before: i64) -> Answer<'_, u64> {
        self.answer(move |state| {
            let had = state.failures.len();
            state.failures.retain(|(_, at)| *at >= before);
            u64::try_from(had - state.failures.len()).unwrap()
        })
    }
}

impl ApiKeys for Fake {
    fn create_api_key(&self, key: NewApiKey, at_most: u32, now: i64) -> Answer<'_, bool> {
        self.answer(move |state| {
            let active = state.users.get(&key.user).is_some_and(|(user, _)| user.active);
            let living = |known: &&ApiKey| known.user == key.user && known.revoked_at.is_none();
            let has = state.api_keys.values().filter(living).count();
            if !active || has >= at_most.try_into().unwrap() {
                return false;
            }
            let row = ApiKey {
                id: key.id.clone(),
                user: key.user,
                name: key.name,
                hash: key.hash,
                roles: key.roles,
                created_at: now,
                expires_at: key.expires_at,
                revoked_at: None,
            };
            state.api_keys.insert(key.id, row).is_none()
        })
    }
    fn api_key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<(ApiKey, Option<User>)>> {
        self.answer(move |state| {
            let key = state.api_keys.get(id)?.clone();
            let owner = state.users.get(&key.user).map(|(user, _)| user.clone());
            Some((key, owner))
        })
    }
    fn api_keys_of(&self, user: UserId) -> Answer<'_, Vec<ApiKey>> {
        self.answer(move |state| {
            let living = |key: &&ApiKey| key.user == user && key.revoked_at.is_none();
            state.api_keys.values().filter(living).cloned().collect()
        })
    }
    fn revoke_api_key<'a>(&'a self, id: &'a str, owner: Option<UserId>, now: i64) -> Answer<'a, bool> {
        self.answer(move |state| match state.api_keys.get_mut(id) {
            Some(key) if key.revoked_at.is_none() && owner.is_none_or(|owner| owner == key.user) => {
                key.revoked_at = Some(now);
                true
            }
            _ => false,
        })
    }
}

impl Keys for Fake {
    fn keys(&self) -> Answer<'_, Vec<StoredKey>> {
        self.answer(|_| Vec::new())
    }
    fn change_keys(&self, plan: KeyPlan, _: i64) -> Answer<'_, Vec<StoredKey>> {
        self.answer(|_| plan(&[], 0).put)
    }
}

impl Changes for Fake {
    fn all_changes(&self, _: i64) -> Answer<'_, (Vec<Change>, Horizon)> {
        self.answer(|_| (Vec::new(), Horizon(0)))
    }
    fn changes_since(&self, horizon: Horizon, _: i64) -> Answer<'_, (Vec<Change>, Horizon)> {
        self.answer(move |_| (Vec::new(), horizon))
    }
    fn notified(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
    fn ban<'a>(&'a self, _: &'a Ban, _: i64, _: i64) -> Answer<'a, ()> {
        self.answer(|_| ())
    }
    fn forget_changes(&self, _: i64) -> Answer<'_, u64> {
        self.answer(|_| 0)
    }
}

impl Upkeep for Fake {
    fn migrate<'a>(&'a self, _: &'a (dyn Fn(&str) + Send + Sync)) -> Answer<'a, Migrated> {
        self.answer(|_| Migrated {
            from: 0,
            to: 0,
            took_over: false,
            made_users: None,
        })
    }
    fn schema_version(&self) -> Answer<'_, u32> {
        self.answer(|_| 0)
    }
    fn record_lifetime(&self, _: i64) -> Answer<'_, ()> {
        self.answer(|_| ())
    }
    fn email_required(&self) -> Answer<'_, bool> {
        self.answer(|_| false)
    }
    fn unfilled_columns(&self) -> Answer<'_, Vec<String>> {
        self.answer(|_| Vec::new())
    }
    fn ping(&self) -> Answer<'_, ()> {
        self.answer(|_| ())
    }
    fn pool_state(&self) -> Option<(usize, usize)> {
        None
    }
}
