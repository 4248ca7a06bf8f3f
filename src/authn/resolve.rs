//! Questions that memory cannot decide: an API key that is met for the first time, a ticket, a cookie whose short life is
//! over; a token of another issuer with a key that is not known yet; a token that names its user by a key alone. Each is put once, to the store or to the issuer, however
//! many requests wait for the answer, and not for longer than [`PATIENCE`].

mod users;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use foldhash::fast::RandomState;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;

use super::api_key::{ApiKeys, KnownKey, ShownKey};
use super::flights::Flights;
use super::{Counts, Fault, Outcome, Proof, ticket};
use crate::clock::Clock;
use crate::office::Office;
use crate::principal::{CredentialKind, Issuer, Person, Roles, SessionId, UserId};
use crate::revocation::{Revocations, plain_roles, roles_in_force};
use crate::session::{self, Claims, CookieName, Found, Sealer};
use crate::store::{ApiKey, Store, Ticket, User};
use crate::telemetry::{Metrics, StoreResult};
use crate::token::IssuerKeys;

/// How long a request waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Questions under way at once. Whoever sends invented keys by the thousand gets 503 for the surplus; credentials that are
/// known need no question.
const QUESTIONS: usize = 256;
/// How long a renewed cookie is handed to whoever still shows the one before, at most: a page's requests come in bunches.
/// Of a short life it is a quarter, so that a cookie that is due itself is never taken for a renewed one.
const RENEWED_FOR_MS: i64 = 30_000;
/// How long nothing is renewed ahead of time after the store did not answer: every cookie that is still good would have its
/// request wait for nothing.
const PAUSE_MS: i64 = 2_000;
/// Renewed cookies, and users who are not there, that are remembered at once.
const RENEWED_AT_MOST: usize = 16_384;

/// A question.
#[derive(Clone, Debug)]
pub enum Pending {
    /// Is this key good? Where the store does not answer, `meanwhile` was true when it last did.
    ApiKey {
        /// What is shown.
        shown: ShownKey,
        /// What was known.
        meanwhile: Option<Arc<Proof>>,
    },
    /// Is there a ticket of this hash?
    Ticket([u8; 32]),
    /// Does this browser's session live?
    Session(SessionId),
    /// Which keys does this issuer have by now?
    IssuerKeys(IssuerKeys),
    /// Who is this user, whom a token names by the key alone?
    User(UserId),
}

/// What the store said, for one request.
#[derive(Clone, Debug)]
pub struct Resolved {
    outcome: Outcome,
    /// Where it counts: a ticket where that does which fetched it.
    as_kind: Option<CredentialKind>,
    /// The renewed cookie, to be set with the answer.
    pub cookie: Option<HeaderValue>,
}

impl Resolved {
    /// Who it is.
    pub fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    /// The same, where only these kinds count.
    pub(super) fn outcome_where(&self, counts: Counts) -> Outcome {
        let here = match self.as_kind {
            None | Some(CredentialKind::Ticket) => true,
            Some(CredentialKind::Bearer | CredentialKind::ExternalBearer) => counts.bearer,
            Some(CredentialKind::Session) => counts.session,
            Some(CredentialKind::ApiKey) => counts.bearer || counts.basic,
        };
        match here {
            true => self.outcome.clone(),
            false => Outcome::Anonymous,
        }
    }

    fn fault(fault: Fault) -> Self {
        Self::plain(Outcome::Bad(fault))
    }

    fn plain(outcome: Outcome) -> Self {
        Self {
            outcome,
            as_kind: None,
            cookie: None,
        }
    }
}

/// What is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The gateway's own role.
    pub admin_role: String,
    /// The cookie.
    pub cookie: CookieName,
    /// How long a cookie counts without a renewal.
    pub cookie_life: Duration,
    /// How long a session lives without being seen.
    pub idle: Duration,
}

/// What it works with.
pub struct Tools {
    /// Where the answers are.
    pub store: Arc<dyn Store>,
    /// Where the questions are asked.
    pub office: Office,
    /// What is known of API keys.
    pub api_keys: ApiKeys,
    /// What is known of users.
    pub revocations: Revocations,
    /// Seals cookies.
    pub sealer: Sealer,
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// What is configured.
    pub settings: Settings,
}

/// Puts questions to the store; a handle that all workers share.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    tools: Tools,
    random: SystemRandom,
    questions: Semaphore,
    keys: Flights<ShownKeyHash, Resolved>,
    sessions: Flights<SessionId, Resolved>,
    users: Flights<UserId, Resolved>,
    /// Users that are not there, and until when nobody asks again.
    strangers: papaya::HashMap<UserId, i64, RandomState>,
    renewed: papaya::HashMap<SessionId, Renewed, RandomState>,
    renewed_for: i64,
    paused_until: AtomicI64,
}

type ShownKeyHash = (String, [u8; 32]);

#[derive(Clone)]
struct Renewed {
    at: i64,
    proof: Arc<Proof>,
    cookie: HeaderValue,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver over these.
    pub fn new(tools: Tools) -> Self {
        Self(Arc::new(Inner {
            renewed_for: RENEWED_FOR_MS.min(millis(tools.settings.cookie_life) / 4),
            paused_until: AtomicI64::new(0),
            tools,
            random: SystemRandom::new(),
            questions: Semaphore::new(QUESTIONS),
            keys: Flights::default(),
            sessions: Flights::default(),
            users: Flights::default(),
            strangers: papaya::HashMap::default(),
            renewed: papaya::HashMap::default(),
        }))
    }

    /// The answer to a question.
    pub async fn resolve(&self, pending: Pending) -> Resolved {
        match pending {
            Pending::ApiKey { shown, meanwhile } => {
                let resolved = self.api_key(shown).await;
                match (&resolved.outcome, meanwhile) {
                    (Outcome::Bad(Fault::Unresolved), Some(proof)) => Resolved::plain(Outcome::Known(proof)),
                    _ => resolved,
                }
            }
            Pending::Ticket(hash) => self.ticket(hash).await,
            Pending::Session(session) => self.renew(session).await,
            Pending::IssuerKeys(keys) => {
                // The answer is in the keys: the token is looked at again.
                keys.ask(PATIENCE).await;
                Resolved::fault(Fault::IssuerUnreachable)
            }
            Pending::User(user) => self.identify(user).await,
        }
    }

    /// A new cookie for a session that lives, in place of one that has passed half of its life. `None`: the store does not
    /// answer, or there is nothing to renew; the cookie goes on counting for the rest of its life.
    pub async fn renew_in_time(&self, proof: &Proof, now: i64) -> Option<HeaderValue> {
        let person = &proof.person;
        let life = person.expires_at.saturating_sub(person.issued_at);
        let half = person.issued_at.saturating_add(life / 2).saturating_mul(1000);
        let session = person.session.filter(|_| person.credential == CredentialKind::Session);
        let session = session.filter(|_| now >= half)?;
        if now < self.0.paused_until.load(Ordering::Relaxed) {
            return None;
        }
        let renewed = self.renew(session).await;
        if matches!(renewed.outcome, Outcome::Bad(Fault::Unresolved)) {
            self.0
                .paused_until
                .store(now.saturating_add(PAUSE_MS), Ordering::Relaxed);
        }
        renewed.cookie
    }

    /// The cookie of a session that was just opened, or renewed, for a user as they are now. `ends`: when the session does
    /// if it is not seen before. `None`: there is no key; a proof alone: the name and the roles are more than a cookie
    /// holds.
    pub fn cookie(
        &self,
        session: SessionId,
        ends: i64,
        user: &User,
        now: i64,
    ) -> Option<(Arc<Proof>, Option<HeaderValue>)> {
        let settings = &self.0.tools.settings;
        let until = now.saturating_add(millis(settings.cookie_life)).min(ends);
        let claims = Claims {
            session,
            user: user.id,
            name: user.username.clone(),
            roles: roles_in_force(user, &settings.admin_role),
            email: user.email.clone().filter(|_| user.email_verified),
            issued_at: now.div_euclid(1000),
            expires_at: until.div_euclid(1000),
        };
        let value = self.0.tools.sealer.seal(&claims, &self.0.random, now).ok()?;
        let field = settings.cookie.set(&value, ends.saturating_sub(now).div_euclid(1000));
        Some((Arc::new(Proof::of(Arc::new(claims.person()))), field))
    }

    /// Whether there is a key to seal a cookie with.
    pub fn can_seal(&self, now: i64) -> bool {
        self.0.tools.sealer.ready(now)
    }

    /// The session of the cookie in a request, whether or not it still lives; of several cookies, none.
    pub fn session_of(&self, headers: &HeaderMap, now: i64) -> Option<SessionId> {
        match session::find(headers, self.cookie_name()) {
            Found::One(value) => Some(self.0.tools.sealer.open(value, now)?.session),
            Found::Nothing | Found::Several | Found::Broken => None,
        }
    }

    /// `Set-Cookie` that takes the cookie away.
    pub fn clear_cookie(&self) -> Option<HeaderValue> {
        self.0.tools.settings.cookie.clear()
    }

    /// An API key was just revoked here: it counts no more before anybody is told so. The others hear of it by the feed.
    pub fn forget_api_key(&self, id: &str) {
        self.0.tools.api_keys.forget(id);
    }

    /// The cookie's name.
    pub fn cookie_name(&self) -> &CookieName {
        &self.0.tools.settings.cookie
    }

    async fn api_key(&self, shown: ShownKey) -> Resolved {
        let flight = (shown.id.clone(), shown.hash);
        let ask = self.ask("api_key", move |inner| async move {
            let now = inner.tools.clock.unix_millis();
            let mark = inner.tools.api_keys.mark();
            let found = inner.tools.store.api_key(&shown.id).await?;
            let known = found
                .and_then(|(key, owner)| inner.known(&key, owner?, now))
                .map(Arc::new);
            inner.tools.api_keys.learn(&shown.id, known.clone(), mark, now);
            let proof = known.and_then(|known| known.judge(&shown, now));
            Ok(Resolved::plain(match proof {
                Some(proof) => Outcome::Known(proof),
                None => Outcome::Bad(Fault::Invalid("api_key")),
            }))
        });
        self.0.keys.share(flight, ask).await
    }

    async fn ticket(&self, hash: [u8; 32]) -> Resolved {
        self.ask("take_ticket", move |inner| async move {
            let now = inner.tools.clock.unix_millis();
            let taken = inner.tools.store.take_ticket(hash, now).await?;
            Ok(match taken {
                Some((ticket, user)) => inner.of_ticket(&ticket, &user, now),
                None => Resolved::fault(Fault::Invalid("ticket")),
            })
        })
        .await
    }

    async fn renew(&self, id: SessionId) -> Resolved {
        let now = self.0.tools.clock.unix_millis();
        let lately = self.0.renewed.pin().get(&id).cloned();
        if let Some(renewed) = lately.filter(|renewed| now.saturating_sub(renewed.at) < self.0.renewed_for) {
            return Resolved {
                outcome: Outcome::Known(renewed.proof),
                as_kind: None,
                cookie: Some(renewed.cookie),
            };
        }
        let resolver = self.clone();
        let ask = self.ask("renew_session", move |inner| async move {
            let idle_until = now.saturating_add(millis(inner.tools.settings.idle));
            let Some((session, user)) = inner.tools.store.renew_session(id, now, idle_until, None).await? else {
                return Ok(Resolved::plain(Outcome::Anonymous));
            };
            let ends = session.expires_at.min(session.idle_until.max(now));
            let Some((proof, cookie)) = resolver.cookie(id, ends, &user, now) else {
                return Ok(Resolved::fault(Fault::NotReady));
            };
            // Who has come to have too many roles for one stays in, and the store is asked each time.
            if let Some(cookie) = &cookie {
                inner.remember(id, now, &proof, cookie);
            }
            Ok(Resolved {
                outcome: Outcome::Known(proof),
                as_kind: None,
                cookie,
            })
        });
        self.0.sessions.share(id, ask).await
    }

    /// Asks in the office, counted, bounded in number and time. No answer is an answer too.
    async fn ask<F, A>(&self, operation: &'static str, question: F) -> Resolved
    where
        F: FnOnce(Arc<Inner>) -> A,
        A: Future<Output = Result<Resolved, crate::store::Error>> + Send + 'static,
    {
        let Ok(_place) = self.0.questions.try_acquire() else {
            return Resolved::fault(Fault::Unresolved);
        };
        let asked = self.0.tools.office.call(PATIENCE, question(Arc::clone(&self.0))).await;
        let (result, answer) = match asked {
            Ok(Ok(resolved)) => (StoreResult::Ok, resolved),
            Ok(Err(crate::store::Error::Schema(_) | crate::store::Error::Refused(_))) => {
                (StoreResult::Error, Resolved::fault(Fault::Unresolved))
            }
            Ok(Err(crate::store::Error::Unavailable(_))) | Err(_) => {
                (StoreResult::Unavailable, Resolved::fault(Fault::Unresolved))
            }
        };
        self.0.tools.metrics.store_request(operation, result);
        answer
    }
}

impl Inner {
    /// A key that lives, and its owner with the roles that both allow. The gateway's own role is never an API key's.
    fn known(&self, key: &ApiKey, owner: User, now: i64) -> Option<KnownKey> {
        let ended = key.revoked_at.is_some() || key.expires_at.is_some_and(|end| end <= now);
        if ended || !owner.active || owner.id != key.user {
            return None;
        }
        let limit = key.roles.as_deref().map(Roles::from_column);
        let person = Person {
            issuer: Issuer::Local,
            subject: owner.id.to_string(),
            user: Some(owner.id),
            roles: self.plain_roles(&owner).within(limit.as_ref()),
            email: owner.email.filter(|_| owner.email_verified),
            name: owner.username,
            session: None,
            token_id: Some(key.id.clone()),
            issued_at: now.div_euclid(1000),
            expires_at: key.expires_at.map_or(i64::MAX, |end| end.div_euclid(1000)),
            credential: CredentialKind::ApiKey,
            limit,
            subject_prefix: 0,
        };
        Some(KnownKey {
            hash: key.hash,
            owner: owner.id,
            expires_at: key.expires_at,
            proof: Arc::new(Proof::of(Arc::new(person))),
        })
    }

    fn of_ticket(&self, ticket: &Ticket, user: &User, now: i64) -> Resolved {
        let all = match ticket.credential {
            CredentialKind::ApiKey => self.plain_roles(user),
            CredentialKind::Bearer
            | CredentialKind::ExternalBearer
            | CredentialKind::Session
            | CredentialKind::Ticket => roles_in_force(user, &self.tools.settings.admin_role),
        };
        let person = ticket::person(ticket, user, &all, now);
        Resolved {
            outcome: Outcome::Known(Arc::new(Proof::of(Arc::new(person)))),
            as_kind: Some(ticket.credential),
            cookie: None,
        }
    }

    fn plain_roles(&self, user: &User) -> Roles {
        plain_roles(user, &self.tools.settings.admin_role)
    }

    fn remember(&self, id: SessionId, now: i64, proof: &Arc<Proof>, cookie: &HeaderValue) {
        let renewed = self.renewed.pin();
        if renewed.len() >= RENEWED_AT_MOST {
            renewed.retain(|_, renewed| now.saturating_sub(renewed.at) < self.renewed_for);
        }
        if renewed.len() < RENEWED_AT_MOST {
            let entry = Renewed {
                at: now,
                proof: Arc::clone(proof),
                cookie: cookie.clone(),
            };
            renewed.insert(id, entry);
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
