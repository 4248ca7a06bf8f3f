//! The ring: which keys there are, and what each may do now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use jsonwebtoken::jwk::{Jwk, JwkSet};

use super::{Algorithm, Error, SigningKey, VerifyingKey};

/// How long the answer of `/.well-known/jwks.json` may be kept (`Cache-Control: max-age`). A new key is published at least
/// this long before it signs.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(300);

/// A key with its times. All of them are Unix milliseconds.
#[derive(Debug)]
pub struct RingKey {
    id: String,
    signing: SigningKey,
    verifying: VerifyingKey,
    jwk: Option<Jwk>,
    publish_at: i64,
    sign_from: i64,
    verify_until: Option<i64>,
}

impl RingKey {
    /// A key that is published, signs and verifies from and until these times; `kid` is the key's own name.
    pub fn new(signing: SigningKey, publish_at: i64, sign_from: i64, verify_until: Option<i64>) -> Result<Self, Error> {
        let id = signing.id()?;
        Self::named(id, signing, publish_at, sign_from, verify_until)
    }

    /// The same under a name given to it.
    pub fn named(
        id: String,
        signing: SigningKey,
        publish_at: i64,
        sign_from: i64,
        verify_until: Option<i64>,
    ) -> Result<Self, Error> {
        let verifying = signing.verifying_key()?.named(id.as_str());
        let jwk = signing.public_jwk()?.map(|mut jwk| {
            jwk.common.key_id = Some(id.clone());
            jwk
        });
        Ok(Self {
            id,
            signing,
            verifying,
            jwk,
            publish_at,
            sign_from,
            verify_until,
        })
    }

    /// `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The half that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The half that verifies.
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// From when it counts.
    pub fn publish_at(&self) -> i64 {
        self.publish_at
    }

    /// Until when it counts; `None`: no end is set.
    pub fn verify_until(&self) -> Option<i64> {
        self.verify_until
    }

    /// From when it signs.
    pub fn sign_from(&self) -> i64 {
        self.sign_from
    }

    /// The same key as one that never signs.
    pub fn verifying_only(self) -> Self {
        Self {
            sign_from: i64::MAX,
            ..self
        }
    }

    /// Whether what it signed counts at `now`.
    pub fn verifies(&self, now: i64) -> bool {
        self.publish_at <= now && self.verify_until.is_none_or(|until| now < until)
    }

    /// What makes this key this key, without a look at the material: its name is a digest of that.
    fn same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.signing.algorithm() == other.signing.algorithm()
            && (self.publish_at, self.sign_from, self.verify_until)
                == (other.publish_at, other.sign_from, other.verify_until)
    }
}

/// The keys as of one publication; never changed, only replaced.
#[derive(Debug, Default)]
pub struct KeySet {
    ready: bool,
    algorithm: Option<Algorithm>,
    keys: Vec<RingKey>,
}

impl KeySet {
    /// Whether keys were ever loaded: before, nothing can be said about a token.
    pub fn ready(&self) -> bool {
        self.ready
    }

    /// The key that signs at `now`: of those of the configured algorithm the one that began last. After a change of the
    /// algorithm that is, until the first key of the new one begins, the newest of another that is published as well.
    pub fn signing(&self, now: i64) -> Option<&RingKey> {
        let begun = |key: &&RingKey| key.sign_from <= now && key.verifies(now);
        let configured = |key: &&RingKey| Some(key.signing.algorithm()) == self.algorithm;
        let newest = self
            .keys
            .iter()
            .filter(begun)
            .filter(configured)
            .max_by_key(|key| key.sign_from);
        let published = |key: &&RingKey| key.jwk.is_some();
        let other = || {
            self.keys
                .iter()
                .filter(begun)
                .filter(published)
                .max_by_key(|key| key.sign_from)
        };
        newest.or_else(other)
    }

    /// The key of this name, if what it signed counts at `now`.
    pub fn verifying(&self, id: &str, now: i64) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.id == id && key.verifies(now))
    }

    /// The body of `/.well-known/jwks.json` at `now` (RFC 7517 section 5): public keys, never symmetric ones.
    pub fn jwks(&self, now: i64) -> String {
        let keys = self
            .keys
            .iter()
            .filter(|key| key.verifies(now))
            .filter_map(|key| key.jwk.clone())
            .collect();
        serde_json::to_string(&JwkSet { keys }).unwrap_or_else(|_| r#"{"keys":[]}"#.into())
    }
}

/// The handle to the keys: shared, read without a lock, written by one.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    set: ArcSwap<KeySet>,
    generation: AtomicU64,
}

impl KeyRing {
    /// A ring that is not loaded yet: it signs nothing and knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes these the keys, in order of age; `algorithm` is what new tokens are signed with. False: they were already.
    /// Of two keys with one name the first counts.
    pub fn publish(&self, keys: Vec<RingKey>, algorithm: Algorithm) -> bool {
        let mut unique: Vec<RingKey> = Vec::with_capacity(keys.len());
        for key in keys {
            if !unique.iter().any(|have| have.id == key.id) {
                unique.push(key);
            }
        }
        let next = KeySet {
            ready: true,
            algorithm: Some(algorithm),
            keys: unique,
        };
        let present = self.0.set.load();
        let unchanged = present.ready
            && present.algorithm == next.algorithm
            && present.keys.len() == next.keys.len()
            && present.keys.iter().zip(&next.keys).all(|(have, new)| have.same(new));
        if unchanged {
            return false;
        }
        self.0.set.store(Arc::new(next));
        // After the set: who still sees the old number verified with the old keys at worst, and will see the new number.
        self.0.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// The keys.
    pub fn load(&self) -> Guard<Arc<KeySet>> {
        self.0.set.load()
    }

    /// Rises with each change of the keys. Read it *before* the keys whose results are to be remembered.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }
}
