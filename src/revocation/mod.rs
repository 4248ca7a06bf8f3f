//! What workers know about ended sessions and changed users: one concurrent set, read by all, fed by the change feed.
//!
//! A token says who somebody was when it was issued. What became of them since is here: [`Revocations::verdict`] lets the
//! person stand, replaces name and roles by those in force, or ends them. Entries live until the last token that they
//! concern has expired; [`Revocations::sweep`] takes them away.
//!
//! Readers remember the answer beside the [`Revocations::generation`] they read *before* they asked; as long as it has not
//! risen, there is nothing to ask again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::principal::{CredentialKind, Issuer, Person, Roles, SessionId, UserId};
use crate::store::{Ban, Banned, Change, User};

#[cfg(test)]
mod tests;
mod users;
mod watch;

pub use users::Identity;
pub use watch::Watch;

/// Tokens issued up to this long after a census are judged by it: the replicas' clocks may differ by as much.
const CENSUS_MARGIN_SECONDS: i64 = 10;

/// What became of a verified person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: what the token says still holds.
    Good,
    /// Name or roles are others by now: these count.
    Changed(Arc<Person>),
    /// The session has ended, or the user is gone or deactivated.
    Ended,
}

/// What a caller must do after changes were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Applied {
    /// The signing keys changed: load them.
    pub keys: bool,
    /// All users must be read anew, by a [`Census`] that is remembered until then (Unix milliseconds).
    pub census: Option<i64>,
}

/// The shared handle.
#[derive(Clone, Debug, Default)]
pub struct Revocations(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Ended sessions, and until when each must be remembered.
    sessions: HashMap<SessionId, i64, RandomState>,
    users: HashMap<UserId, Overlay, RandomState>,
    census: ArcSwapOption<Taken>,
    /// Of other issuers: what is refused, of tokens issued up to when, and until when that must be remembered.
    bans: HashMap<Ban, (i64, i64), RandomState>,
    generation: AtomicU64,
    ready: AtomicBool,
    polled_at: AtomicI64,
    watch: Watch,
}

/// What is known of a user beyond what tokens say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Overlay {
    state: State,
    until: i64,
    /// The generation in which it was learned: a census must know what is younger than itself.
    learned: u64,
    /// Somebody asked who this is: an active user stays known, and is kept up to date by the feed.
    kept: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Deleted.
    Gone,
    Inactive,
    In(Arc<InForce>),
}

#[derive(Debug, PartialEq, Eq)]
struct InForce {
    name: String,
    roles: Roles,
    /// Without the gateway's own role: an API key never has that.
    plain: Roles,
    email: Option<String>,
    /// Tokens without a session that were issued up to then (Unix milliseconds) are dead.
    cut_at: Option<i64>,
}

/// A census that was taken: users up to this id that it did not meet are gone.
#[derive(Debug)]
struct Taken {
    highest: UserId,
    /// Tokens issued until then (Unix seconds) are judged by it.
    issued_until: i64,
    until: i64,
}

/// The roles that count for a user: the roles column and the grants. The gateway's own role comes from grants only,
/// whatever the column says.
pub fn roles_in_force(user: &User, admin_role: &str) -> Roles {
    let mut roles = plain_roles(user, admin_role);
    for grant in &user.grants {
        roles.insert(grant);
    }
    roles
}

/// The roles of the column alone, which may be handed to machines. The gateway's own role is not among them.
pub fn plain_roles(user: &User, admin_role: &str) -> Roles {
    let mut roles = Roles::from_column(&user.roles);
    roles.remove(admin_role);
    roles
}

impl Revocations {
    /// Knows nothing yet, and says so by [`Revocations::ready`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the feed was read completely once. Until then no credential can be judged.
    pub fn ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// The feed was read completely for the first time, at `now`.
    pub fn loaded(&self, now: i64) {
        self.polled(now);
        self.0.ready.store(true, Ordering::Release);
    }

    /// The feed was read at `now` (Unix milliseconds), whether or not it had news.
    pub fn polled(&self, now: i64) {
        self.0.polled_at.fetch_max(now, Ordering::Relaxed);
    }

    /// How old this knowledge is (`doorward_revocation_age_seconds`); `None`: never loaded.
    pub fn age(&self, now: i64) -> Option<Duration> {
        let since = now.saturating_sub(self.0.polled_at.load(Ordering::Relaxed));
        self.ready()
            .then(|| Duration::from_millis(u64::try_from(since).unwrap_or(0)))
    }

    /// What long-lived streams stand on.
    pub fn watch(&self) -> &Watch {
        &self.0.watch
    }

    /// Rises with each change. Read it *before* a verdict that is to be remembered with it.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Takes in what the feed told, in its order; twice is as good as once. Nothing known is forgotten by it.
    pub fn apply(&self, changes: &[Change], admin_role: &str) -> Applied {
        let mut applied = Applied::default();
        for change in changes {
            match change {
                Change::SessionEnded { session, until } => self.remember_session(*session, *until),
                Change::User { user, state, until } => {
                    self.remember_user(*user, State::of(state.as_deref(), admin_role), *until);
                }
                Change::AllUsers { until } => applied.census = applied.census.max(Some(*until)),
                Change::Keys => applied.keys = true,
                // Whoever remembers API keys asks anew; nothing is known about them here.
                Change::ApiKey { .. } => {}
                Change::Banned { ban, at, until } => self.remember_ban(ban, *at, *until),
            }
        }
        if !changes.is_empty() {
            self.changed();
        }
        applied
    }

    /// Ends a session here at once, before its logout is acknowledged; the feed tells the other replicas.
    pub fn end_session_now(&self, session: SessionId, until: i64) {
        self.remember_session(session, until);
        self.changed();
    }

    /// Begins to read all users anew, as [`Applied::census`] asks: see it to its end, or begin again.
    pub fn census(&self, until: i64, admin_role: &str) -> Census {
        self.changed();
        let begun = self.generation();
        Census {
            revocations: self.clone(),
            admin_role: admin_role.to_owned(),
            until,
            begun,
            highest: None,
        }
    }

    /// Forgets what no living token is concerned by any more; how many entries.
    pub fn sweep(&self, now: i64) -> usize {
        let shared = &self.0;
        let before = self.len();
        shared.sessions.pin().retain(|_, until| *until > now);
        shared.users.pin().retain(|_, overlay| overlay.is_needed(now));
        shared.bans.pin().retain(|_, (_, until)| *until > now);
        if shared.census.load().as_ref().is_some_and(|taken| taken.until <= now) {
            shared.census.store(None);
            self.changed();
        }
        let swept = before.saturating_sub(self.len());
        if swept > 0 {
            self.changed();
        }
        swept
    }

    /// How many entries are remembered.
    pub fn len(&self) -> usize {
        self.0.sessions.len() + self.0.users.len() + self.0.bans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of this person since their credential was issued.
    pub fn verdict(&self, person: &Person) -> Standing {
        match &person.issuer {
            Issuer::Local => self.local_verdict(person),
            Issuer::External(issuer) => self.external_verdict(issuer, person),
        }
    }

    fn external_verdict(&self, issuer: &str, person: &Person) -> Standing {
        let bans = self.0.bans.pin();
        if bans.is_empty() {
            return Standing::Good;
        }
        let of = |banned| Ban {
            issuer: issuer.to_owned(),
            banned,
        };
        let token = person.token_id.as_ref().map(|id| of(Banned::Token(id.clone())));
        if token.is_some_and(|token| bans.contains_key(&token)) {
            return Standing::Ended;
        }
        let subject = of(Banned::Subject(person.bare_subject().to_owned()));
        let issued_at = person.issued_at.saturating_mul(1000);
        match bans.get(&subject) {
            Some((at, _)) if issued_at <= *at => Standing::Ended,
            Some(_) | None => Standing::Good,
        }
    }

    fn local_verdict(&self, person: &Person) -> Standing {
        if person
            .session
            .is_some_and(|session| self.0.sessions.pin().contains_key(&session))
        {
            return Standing::Ended;
        }
        // The name of an API key is none of a token.
        let by_token = person.credential == CredentialKind::Bearer;
        if by_token && person.token_id.as_deref().is_some_and(|id| self.is_token_revoked(id)) {
            return Standing::Ended;
        }
        let Some(user) = person.user else { return Standing::Good };
        match self.0.users.pin().get(&user).map(|overlay| &overlay.state) {
            Some(State::Gone | State::Inactive) => Standing::Ended,
            Some(State::In(now)) if now.cuts(person) => Standing::Ended,
            Some(State::In(now)) if now.describes(person) => Standing::Good,
            Some(State::In(now)) => Standing::Changed(Arc::new(now.person(person))),
            None if self.missed_by_census(user, person.issued_at) => Standing::Ended,
            None => Standing::Good,
        }
    }

    fn missed_by_census(&self, user: UserId, issued_at: i64) -> bool {
        let census = self.0.census.load();
        census
            .as_ref()
            .is_some_and(|taken| user <= taken.highest && issued_at <= taken.issued_until)
    }

    fn remember_session(&self, session: SessionId, until: i64) {
        self.0
            .sessions
            .pin()
            .update_or_insert(session, |known| until.max(*known), until);
    }

    fn remember_user(&self, user: UserId, state: State, until: i64) {
        let learned = self.generation();
        let overlay = Overlay {
            state: state.clone(),
            until,
            learned,
            kept: false,
        };
        let merge = |known: &Overlay| Overlay {
            state: state.clone(),
            until: until.max(known.until),
            learned,
            kept: known.kept,
        };
        self.0.users.pin().update_or_insert(user, merge, overlay);
    }

    fn remember_ban(&self, ban: &Ban, at: i64, until: i64) {
        let bans = self.0.bans.pin();
        bans.update_or_insert(
            ban.clone(),
            |(known_at, known_until)| (at.max(*known_at), until.max(*known_until)),
            (at, until),
        );
    }

    /// After the maps: a reader that sees the new number sees what it stands for.
    fn changed(&self) {
        self.0.generation.fetch_add(1, Ordering::Release);
    }
}

impl State {
    fn of(user: Option<&User>, admin_role: &str) -> Self {
        match user {
            Some(user) if user.active => Self::In(Arc::new(InForce {
                name: user.username.clone(),
                roles: roles_in_force(user, admin_role),
                plain: plain_roles(user, admin_role),
                email: user.email.clone().filter(|_| user.email_verified),
                cut_at: user.cut_at,
            })),
            Some(_) => Self::Inactive,
            None => Self::Gone,
        }
    }
}

impl Overlay {
    fn is_needed(&self, now: i64) -> bool {
        self.until > now || (self.kept && matches!(self.state, State::In(_)))
    }
}

impl InForce {
    fn person(&self, person: &Person) -> Person {
        Person {
            name: self.name.clone(),
            roles: self.roles_of(person),
            email: self.email.clone(),
            ..person.clone()
        }
    }

    /// Whether this is a token that stands for itself, and was issued before something that ended all of these.
    fn cuts(&self, person: &Person) -> bool {
        person.session.is_none()
            && person.credential == CredentialKind::Bearer
            && self
                .cut_at
                .is_some_and(|cut| person.issued_at.saturating_mul(1000) <= cut)
    }

    /// What this credential of the user gives.
    fn roles_of(&self, person: &Person) -> Roles {
        let all = match person.credential {
            CredentialKind::ApiKey => &self.plain,
            CredentialKind::Bearer
            | CredentialKind::ExternalBearer
            | CredentialKind::Session
            | CredentialKind::Ticket => &self.roles,
        };
        all.within(person.limit.as_ref())
    }

    fn describes(&self, person: &Person) -> bool {
        self.name == person.name && self.roles_of(person) == person.roles && self.email == person.email
    }
}

/// Reading all users anew, after a statement that changed too many of them to name. Whoever is not met is gone.
#[derive(Debug)]
pub struct Census {
    revocations: Revocations,
    admin_role: String,
    until: i64,
    begun: u64,
    highest: Option<UserId>,
}

impl Census {
    /// Takes in a page of `users`, in the order of their ids. What the feed told since the census began is younger than
    /// any page, and stays.
    pub fn meet(&mut self, page: &[User]) {
        for user in page {
            let younger = self
                .revocations
                .0
                .users
                .pin()
                .get(&user.id)
                .is_some_and(|known| known.learned >= self.begun);
            if !younger {
                self.revocations
                    .remember_user(user.id, State::of(Some(user), &self.admin_role), self.until);
            }
            self.highest = self.highest.max(Some(user.id));
        }
        self.revocations.changed();
    }

    /// All pages were met; `now`: when the last was read (Unix milliseconds). From here on tokens of users that were not
    /// met are dead, but for ids above the highest: those users were made later.
    pub fn finish(self, now: i64) {
        // An empty table: every user with a token is gone.
        let highest = self.highest.unwrap_or(UserId(i64::MAX));
        let users = self.revocations.0.users.pin();
        let not_met = users
            .iter()
            .filter(|(id, known)| **id <= highest && known.learned < self.begun);
        for id in not_met.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.revocations.remember_user(id, State::Gone, self.until);
        }
        drop(users);
        let issued_until = now.div_euclid(1000).saturating_add(CENSUS_MARGIN_SECONDS);
        let taken = Taken {
            highest,
            issued_until,
            until: self.until,
        };
        self.revocations.0.census.store(Some(Arc::new(taken)));
        self.revocations.changed();
    }
}
