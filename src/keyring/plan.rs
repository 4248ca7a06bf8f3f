//! What becomes of the stored keys, and when: a pure function of what is stored and of the time.
//!
//! Signing keys and the sealing keys of cookies turn alike. A key is published before it signs, and the one before it
//! verifies until its last token has expired:
//!
//! ```text
//! new key   publish_at ──── OVERLAP ──── sign_from
//! old key                                    └── life of a token ‖ leeway ‖ margin ──── verify_until
//! ```

use super::Algorithm;
use super::sealing::SEALING;
use crate::store::StoredKey;

/// By how much a replica's clock may be wrong, in milliseconds: as far ahead as an `iat` of ours may lie.
const CLOCKS: i64 = 60_000;
/// From a key's publication until it signs: until then every JWKS that was answered before has expired, also where one clock
/// is early and another late. At least [`super::JWKS_MAX_AGE`] and five minutes.
pub const OVERLAP: i64 = 300_000 + 2 * CLOCKS;
/// How long a key verifies beyond its last token.
const MARGIN: i64 = 120_000;
/// How long a key that verifies nothing any more is kept.
const KEPT: i64 = 300_000;
/// How much longer than a turn a key may sign before nobody is believed to turn it any more.
const DAY: i64 = 86_400_000;

/// What the configuration says about keys. Times are milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What the stored keys sign with; `None`: they sign nothing, the signing keys come from files.
    pub algorithm: Option<Algorithm>,
    /// How long a key signs until the next takes over; `None`: until somebody says so.
    pub rotate_every: Option<i64>,
    /// The life of an access token of this replica.
    pub access_ttl: i64,
    /// For how long an expired token still counts.
    pub leeway: i64,
    /// How long a browser's session may sleep and still be renewed.
    pub refresh_idle: i64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Whatever is due.
    Due,
    /// A new key now, with overlap; none where one is under way.
    Rotate,
    /// A new key that counts at once, all others and what they signed are gone; none where somebody else did that since
    /// this time (Unix milliseconds).
    Now {
        /// When it was asked for.
        since: i64,
    },
}

/// When a new key is published and when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// `publish_at`.
    pub publish_at: i64,
    /// `sign_from`.
    pub sign_from: i64,
}

/// What becomes of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// A new signing key.
    pub signing: Option<Times>,
    /// A new sealing key.
    pub sealing: Option<Times>,
    /// Keys that get an end.
    pub ends: Vec<(String, i64)>,
    /// Keys that go.
    pub remove: Vec<String>,
}

impl Plan {
    /// Whether everything stays as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of these keys at `now`; `lifetime`: the longest life of an access token that any replica has recorded.
pub fn plan(wish: Wish, rules: &Rules, stored: &[StoredKey], lifetime: i64, now: i64) -> Plan {
    let lives = |key: &&StoredKey| key.verify_until.is_none_or(|until| now < until);
    let desk = Desk {
        wish,
        rules,
        living: stored.iter().filter(lives).collect(),
        lifetime: lifetime.max(rules.access_ttl),
        now,
    };
    let mut plan = Plan::default();
    desk.turn_signing(&mut plan);
    desk.turn_sealing(&mut plan);
    match wish {
        Wish::Due => desk.end_what_nobody_turns(&mut plan),
        Wish::Rotate => desk.end_other_algorithms(&mut plan),
        Wish::Now { .. } => {}
    }
    let dead = |key: &&StoredKey| key.verify_until.is_some_and(|until| until.saturating_add(KEPT) <= now);
    plan.remove.extend(stored.iter().filter(dead).map(|key| key.id.clone()));
    plan
}

struct Desk<'a> {
    wish: Wish,
    rules: &'a Rules,
    living: Vec<&'a StoredKey>,
    lifetime: i64,
    now: i64,
}

impl Desk<'_> {
    fn turn_signing(&self, plan: &mut Plan) {
        let signs = |key: &StoredKey| key.algorithm != SEALING;
        let Some(algorithm) = self.rules.algorithm else {
            if matches!(self.wish, Wish::Now { .. }) {
                plan.remove.extend(self.ids(signs));
            }
            return;
        };
        let mine = |key: &StoredKey| key.algorithm == algorithm.as_str();
        // Where another algorithm's key can sign meanwhile, a first key of this one is published before it signs, too.
        let needed = self.after_tokens(self.later().sign_from);
        let can_sign = |key: &StoredKey| {
            signs(key) && key.sign_from <= self.now && key.verify_until.is_none_or(|until| needed <= until)
        };
        let first = match self.living.iter().any(|key| can_sign(key)) {
            true => self.later(),
            false => self.at_once(),
        };
        let Some(times) = self.next(mine, signs, first) else {
            return self.lengthen(mine, plan);
        };
        plan.signing = Some(times);
        match self.wish {
            Wish::Now { .. } => plan.remove.extend(self.ids(signs)),
            Wish::Due | Wish::Rotate => {
                let until = self.after_tokens(times.sign_from);
                plan.ends.extend(self.endless(mine).map(|id| (id, until)));
            }
        }
    }

    /// An old cookie is renewed for as long as its session may sleep, so its key stays that long.
    fn turn_sealing(&self, plan: &mut Plan) {
        let mine = |key: &StoredKey| key.algorithm == SEALING;
        let Some(times) = self.next(mine, mine, self.at_once()) else {
            return;
        };
        plan.sealing = Some(times);
        match self.wish {
            Wish::Now { .. } => plan.remove.extend(self.ids(mine)),
            Wish::Due | Wish::Rotate => {
                let until = self
                    .after_tokens(times.sign_from)
                    .saturating_add(self.rules.refresh_idle);
                plan.ends.extend(self.endless(mine).map(|id| (id, until)));
            }
        }
    }

    /// When the next key begins, if one is needed; `first`: if there is none of `mine` yet; `kind`: all that serve the same.
    fn next(
        &self,
        mine: impl Fn(&StoredKey) -> bool,
        kind: impl Fn(&StoredKey) -> bool,
        first: Times,
    ) -> Option<Times> {
        if let Wish::Now { since } = self.wish {
            let is_new =
                |key: &&StoredKey| key.publish_at == key.sign_from && since <= key.publish_at.saturating_add(CLOCKS);
            let mut others = self.living.iter().filter(|key| kind(key)).peekable();
            let done = others.peek().is_some() && others.all(is_new);
            return (!done).then(|| self.at_once());
        }
        let Some(newest) = self
            .living
            .iter()
            .filter(|key| mine(key))
            .max_by_key(|key| key.sign_from)
        else {
            return Some(first);
        };
        // One that was given an end and has no successor: a replica with another algorithm ended it.
        let ended = newest.verify_until.is_some();
        let is_old = |every: i64| newest.sign_from.saturating_add(every) <= self.now;
        let is_due = match self.wish {
            Wish::Due => ended || self.rules.rotate_every.is_some_and(is_old),
            Wish::Rotate => ended || newest.sign_from <= self.now,
            Wish::Now { .. } => false,
        };
        is_due.then(|| self.later())
    }

    /// A replica whose tokens live longer began to use a key after that key was given its end.
    fn lengthen(&self, mine: impl Fn(&StoredKey) -> bool, plan: &mut Plan) {
        let coming = self.living.iter().filter(|key| mine(key) && self.now < key.sign_from);
        let Some(signs_until) = coming.map(|key| key.sign_from).min() else {
            return;
        };
        let until = self.after_tokens(signs_until);
        let ended = self.living.iter().filter(|key| mine(key) && key.sign_from <= self.now);
        for key in ended.filter(|key| key.verify_until.is_some_and(|end| end < until)) {
            plan.ends.push((key.id.clone(), until));
        }
    }

    /// A signing key that nobody turned for longer than a turn is of an algorithm that nobody signs with any more.
    fn end_what_nobody_turns(&self, plan: &mut Plan) {
        let Some(every) = self.rules.rotate_every else { return };
        let until = self.after_tokens(self.now);
        let old = |key: &StoredKey| {
            self.is_of_another(key) && key.sign_from.saturating_add(every).saturating_add(DAY) <= self.now
        };
        plan.ends.extend(self.endless(old).map(|id| (id, until)));
    }

    /// Who rotates by hand means all that is there. A replica that still signs with another algorithm makes itself a new key
    /// when it sees this.
    fn end_other_algorithms(&self, plan: &mut Plan) {
        let until = self.after_tokens(self.later().sign_from);
        plan.ends
            .extend(self.endless(|key| self.is_of_another(key)).map(|id| (id, until)));
    }

    fn is_of_another(&self, key: &StoredKey) -> bool {
        key.algorithm != SEALING && Some(key.algorithm.as_str()) != self.rules.algorithm.map(Algorithm::as_str)
    }

    fn ids(&self, which: impl Fn(&StoredKey) -> bool) -> impl Iterator<Item = String> {
        self.living
            .iter()
            .filter(move |key| which(key))
            .map(|key| key.id.clone())
    }

    fn endless(&self, which: impl Fn(&StoredKey) -> bool) -> impl Iterator<Item = String> {
        self.ids(move |key| key.verify_until.is_none() && which(key))
    }

    /// When the last token of a key that signs until then has expired. A wrong clock costs nothing here, for whoever verifies
    /// reads the key's end and the token's on the same one; the margin is for a replica that hears late of the next key.
    fn after_tokens(&self, signs_until: i64) -> i64 {
        [self.lifetime, self.rules.leeway, MARGIN]
            .into_iter()
            .fold(signs_until, i64::saturating_add)
    }

    /// As if it had been there for a while: a replica whose clock is late takes its signatures, too.
    fn at_once(&self) -> Times {
        let from = self.now.saturating_sub(CLOCKS);
        Times {
            publish_at: from,
            sign_from: from,
        }
    }

    fn later(&self) -> Times {
        Times {
            publish_at: self.now,
            sign_from: self.now.saturating_add(OVERLAP),
        }
    }
}
