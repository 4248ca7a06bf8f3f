//! The keys as `doorward key list` tells them. Their material is not looked at: sealed keys are listed like all others.

use super::sealing::SEALING;
use super::{Algorithm, RingKey};
use crate::store::StoredKey;

/// What a key does at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Known, not yet or no longer to be believed.
    Unpublished,
    /// Published, not yet signing.
    Next,
    /// The one that signs.
    Active,
    /// Verifies what it signed.
    Retired,
}

impl KeyState {
    /// The word of `doorward key list`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unpublished => "unpublished",
            Self::Next => "next",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// It signs tokens.
    Tokens,
    /// It seals browsers' cookies.
    Cookies,
}

impl Serves {
    /// The word of `doorward key list`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Cookies => "cookies",
        }
    }
}

/// A line of `doorward key list`. Times are Unix milliseconds; `None`: from ever, or for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `kid`.
    pub id: String,
    /// Its algorithm's name.
    pub algorithm: String,
    /// What it is for.
    pub serves: Serves,
    /// Whether it is kept in the store, rather than in a file.
    pub stored: bool,
    /// Whether it is sealed there.
    pub sealed: bool,
    /// What it does now.
    pub state: KeyState,
    /// From when it is published.
    pub publish_at: Option<i64>,
    /// From when it signs.
    pub sign_from: Option<i64>,
    /// Until when it verifies.
    pub verify_until: Option<i64>,
}

/// All keys at `now`: those of files (`own`), then those of the store, of which none signs tokens where there are others.
pub fn list(own: &[RingKey], stored: &[StoredKey], algorithm: Algorithm, now: i64) -> Vec<Listed> {
    let files = own.iter().map(Row::of_file);
    let rows: Vec<Row<'_>> = files
        .chain(stored.iter().map(|key| Row::of_store(key, own.is_empty())))
        .collect();
    let tokens = active(&rows, |row| row.signs(algorithm), now).or_else(|| {
        active(
            &rows,
            |row| row.serves == Serves::Tokens && row.algorithm != Algorithm::Hs256.as_str(),
            now,
        )
    });
    let cookies = active(&rows, |row| row.serves == Serves::Cookies, now);
    let is_active = |row: &Row<'_>| [tokens, cookies].contains(&Some(row.id));
    rows.iter().map(|row| row.listed(is_active(row), now)).collect()
}

fn active<'a>(rows: &[Row<'a>], kind: impl Fn(&Row<'a>) -> bool, now: i64) -> Option<&'a str> {
    let begun = rows
        .iter()
        .filter(|row| kind(row) && row.verifies(now) && row.sign_from <= now);
    begun.max_by_key(|row| row.sign_from).map(|row| row.id)
}

struct Row<'a> {
    id: &'a str,
    algorithm: &'a str,
    serves: Serves,
    stored: bool,
    sealed: bool,
    publish_at: i64,
    sign_from: i64,
    shown_sign_from: i64,
    verify_until: Option<i64>,
}

impl<'a> Row<'a> {
    fn of_file(key: &'a RingKey) -> Self {
        Self {
            id: key.id(),
            algorithm: key.signing().algorithm().as_str(),
            serves: Serves::Tokens,
            stored: false,
            sealed: false,
            publish_at: key.publish_at(),
            sign_from: key.sign_from(),
            shown_sign_from: key.sign_from(),
            verify_until: key.verify_until(),
        }
    }

    fn of_store(key: &'a StoredKey, signs: bool) -> Self {
        let serves = match key.algorithm == SEALING {
            true => Serves::Cookies,
            false => Serves::Tokens,
        };
        Self {
            id: &key.id,
            algorithm: &key.algorithm,
            serves,
            stored: true,
            sealed: key.sealed,
            publish_at: key.publish_at,
            sign_from: match signs || serves == Serves::Cookies {
                true => key.sign_from,
                false => i64::MAX,
            },
            shown_sign_from: key.sign_from,
            verify_until: key.verify_until,
        }
    }

    fn signs(&self, algorithm: Algorithm) -> bool {
        self.algorithm == algorithm.as_str()
    }

    fn verifies(&self, now: i64) -> bool {
        self.publish_at <= now && self.verify_until.is_none_or(|until| now < until)
    }

    fn listed(&self, is_active: bool, now: i64) -> Listed {
        let told = |time: i64| (time != i64::MIN && time != i64::MAX).then_some(time);
        Listed {
            id: self.id.to_owned(),
            algorithm: self.algorithm.to_owned(),
            serves: self.serves,
            stored: self.stored,
            sealed: self.sealed,
            state: match () {
                () if !self.verifies(now) => KeyState::Unpublished,
                () if is_active => KeyState::Active,
                () if now < self.sign_from && self.sign_from != i64::MAX => KeyState::Next,
                () => KeyState::Retired,
            },
            publish_at: told(self.publish_at),
            sign_from: told(self.shown_sign_from),
            verify_until: self.verify_until,
        }
    }
}
