//! API keys: what one looks like, and what is known about them.
//!
//! A key is looked up in the store the first time a process meets it; from then on it is judged from memory until the change
//! feed tells of it or of its owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foldhash::fast::RandomState;
use papaya::HashMap;

use super::Proof;
use crate::principal::UserId;
use crate::secret::sha256;

/// How every key begins: secret scanners and people know it by that.
const PREFIX: &str = "dwk_";
const ID_CHARS: usize = 12;
const SECRET_BYTES: usize = 32;
/// Keys that are known at once, good and bad; beyond, all is forgotten and asked anew.
const KNOWN_AT_MOST: usize = 65_536;
/// How long it is believed that there is no such key: those that are made get a name that nobody asked for before.
const NOTHING_FOR_MS: i64 = 10_000;

/// A key as it is shown, taken apart; nothing about it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownKey {
    /// Its public name.
    pub id: String,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
}

/// Whether this is meant to be an API key, good or bad.
pub fn looks_like_api_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Takes a key apart; `None`: it has not the form of one.
pub fn read(text: &str) -> Option<ShownKey> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(ID_CHARS)?;
    let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
    let is_id = id
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (is_id && secret.len() == SECRET_BYTES).then(|| ShownKey {
        id: id.to_owned(),
        hash: sha256(&secret),
    })
}

/// The text of a new key, its name and the hash to keep, from 41 random bytes.
pub fn write(random: &[u8; 41]) -> (String, ShownKey) {
    let (id, secret) = random.split_at(9);
    let id = URL_SAFE_NO_PAD.encode(id);
    let text = format!("{PREFIX}{id}{}", URL_SAFE_NO_PAD.encode(secret));
    let hash = sha256(secret);
    (text, ShownKey { id, hash })
}

/// What is known; one for all workers.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys(Arc<Memory>);

#[derive(Debug, Default)]
struct Memory {
    known: HashMap<String, Entry, RandomState>,
    /// Rises with everything that is forgotten: an answer that was asked for before is not remembered.
    forgotten: AtomicU64,
    /// Entries of an older epoch are asked for again, and hold meanwhile only where the store does not answer.
    epoch: AtomicU64,
}

#[derive(Clone, Debug)]
enum Entry {
    Key(Arc<KnownKey>, u64),
    Nothing { until: i64 },
}

/// A key that lives.
#[derive(Debug)]
pub struct KnownKey {
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// Its owner.
    pub owner: UserId,
    /// When it ends (Unix milliseconds).
    pub expires_at: Option<i64>,
    /// What a backend is told.
    pub proof: Arc<Proof>,
}

/// What memory says of a key.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// It is good.
    Good(Arc<Proof>),
    /// It is not.
    Bad,
    /// The store must be asked; if it does not answer, this was true when it last did.
    Ask(Option<Arc<Proof>>),
}

impl ApiKeys {
    /// What is known of a key that is shown.
    pub fn look_up(&self, shown: &ShownKey, now: i64) -> Lookup {
        let epoch = self.0.epoch.load(Ordering::Acquire);
        match self.0.known.pin().get(&shown.id) {
            None => Lookup::Ask(None),
            Some(Entry::Nothing { until }) if now < *until => Lookup::Bad,
            Some(Entry::Nothing { .. }) => Lookup::Ask(None),
            Some(Entry::Key(key, learned)) => match key.judge(shown, now) {
                None => Lookup::Bad,
                Some(proof) if *learned == epoch => Lookup::Good(proof),
                Some(proof) => Lookup::Ask(Some(proof)),
            },
        }
    }

    /// To be taken before the store is asked, and given back with the answer.
    pub fn mark(&self) -> Mark {
        Mark {
            forgotten: self.0.forgotten.load(Ordering::Acquire),
            epoch: self.0.epoch.load(Ordering::Acquire),
        }
    }

    /// Keeps what the store said, unless something was forgotten since it was asked: then it may be old.
    pub fn learn(&self, id: &str, key: Option<Arc<KnownKey>>, mark: Mark, now: i64) {
        if self.0.known.len() >= KNOWN_AT_MOST {
            self.0.known.pin().clear();
        }
        let entry = match key {
            Some(key) => Entry::Key(key, mark.epoch),
            None => Entry::Nothing {
                until: now.saturating_add(NOTHING_FOR_MS),
            },
        };
        let known = self.0.known.pin();
        known.insert(id.to_owned(), entry);
        // After the insertion: whoever forgets from here on finds the entry.
        if self.0.forgotten.load(Ordering::Acquire) != mark.forgotten {
            known.remove(id);
        }
    }

    /// The feed told of this key.
    pub fn forget(&self, id: &str) {
        self.0.forgotten.fetch_add(1, Ordering::AcqRel);
        self.0.known.pin().remove(id);
    }

    /// The feed told of this user.
    pub fn forget_keys_of(&self, owner: UserId) {
        self.0.forgotten.fetch_add(1, Ordering::AcqRel);
        self.0.known.pin().retain(|_, entry| match entry {
            Entry::Key(key, _) => key.owner != owner,
            // It may have been nothing because its owner was out.
            Entry::Nothing { .. } => false,
        });
    }

    /// The feed may have missed something, or told of very many: everything is asked for again.
    pub fn doubt(&self) {
        self.0.forgotten.fetch_add(1, Ordering::AcqRel);
        self.0.epoch.fetch_add(1, Ordering::AcqRel);
    }
}

/// When a question was put to the store.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    forgotten: u64,
    epoch: u64,
}

impl KnownKey {
    /// Its proof, if what is shown is this key and it has not expired.
    pub fn judge(&self, shown: &ShownKey, now: i64) -> Option<Arc<Proof>> {
        let same = verify_slices_are_equal(&self.hash, &shown.hash).is_ok();
        let lives = self.expires_at.is_none_or(|end| now < end);
        (same && lives).then(|| Arc::clone(&self.proof))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{CredentialKind, Issuer, Person, Roles};

    fn known(hash: [u8; 32], expires_at: Option<i64>) -> Arc<KnownKey> {
        let person = Person {
            issuer: Issuer::Local,
            subject: "1".to_owned(),
            user: Some(UserId(1)),
            name: "alice".to_owned(),
            roles: Roles::default(),
            email: None,
            session: None,
            token_id: None,
            issued_at: 0,
            expires_at: i64::MAX,
            credential: CredentialKind::ApiKey,
            limit: None,
            subject_prefix: 0,
        };
        Arc::new(KnownKey {
            hash,
            owner: UserId(1),
            expires_at,
            proof: Arc::new(Proof::of(Arc::new(person))),
        })
    }

    #[test]
    fn a_key_reads_what_it_writes_and_nothing_else() {
        let (text, shown) = write(&[7; 41]);
        assert_eq!(text.len(), 4 + 12 + 43);
        assert_eq!(read(&text), Some(shown));
        for broken in [
            "dwk_",
            "dwk_short",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}A"),
        ] {
            assert_eq!(read(broken), None, "{broken}");
        }
        assert!(looks_like_api_key("dwk_x") && !looks_like_api_key("eyJ"));
    }

    #[test]
    fn what_is_learned_counts_until_it_is_forgotten_or_ends() {
        let keys = ApiKeys::default();
        let (_, shown) = write(&[1; 41]);
        assert!(matches!(keys.look_up(&shown, 0), Lookup::Ask(None)));
        keys.learn(&shown.id, Some(known(shown.hash, Some(100))), keys.mark(), 0);
        assert!(matches!(keys.look_up(&shown, 99), Lookup::Good(_)));
        assert!(matches!(keys.look_up(&shown, 100), Lookup::Bad));
        let other = ShownKey {
            hash: [0; 32],
            ..shown.clone()
        };
        assert!(matches!(keys.look_up(&other, 0), Lookup::Bad));
        keys.forget_keys_of(UserId(2));
        assert!(matches!(keys.look_up(&shown, 0), Lookup::Good(_)));
        keys.doubt();
        assert!(matches!(keys.look_up(&shown, 0), Lookup::Ask(Some(_))));
        keys.forget_keys_of(UserId(1));
        assert!(matches!(keys.look_up(&shown, 0), Lookup::Ask(None)));
        keys.learn(&shown.id, None, keys.mark(), 0);
        assert!(matches!(keys.look_up(&shown, NOTHING_FOR_MS - 1), Lookup::Bad));
        assert!(matches!(keys.look_up(&shown, NOTHING_FOR_MS), Lookup::Ask(None)));
        keys.learn(&shown.id, None, keys.mark(), 0);
        keys.forget_keys_of(UserId(2));
        assert!(
            matches!(keys.look_up(&shown, 0), Lookup::Ask(None)),
            "its owner may be back"
        );
    }

    #[test]
    fn an_answer_that_was_overtaken_is_not_remembered() {
        let keys = ApiKeys::default();
        let (_, shown) = write(&[1; 41]);
        let mark = keys.mark();
        keys.forget(&shown.id);
        keys.learn(&shown.id, Some(known(shown.hash, None)), mark, 0);
        assert!(matches!(keys.look_up(&shown, 0), Lookup::Ask(None)));
    }

    #[test]
    fn it_holds_a_bounded_number() {
        let keys = ApiKeys::default();
        for number in 0..=KNOWN_AT_MOST {
            keys.learn(&number.to_string(), None, keys.mark(), 0);
        }
        assert!(keys.0.known.len() <= KNOWN_AT_MOST);
    }
}
