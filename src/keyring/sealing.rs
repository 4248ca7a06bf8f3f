//! The keys that seal what only the gateway itself reads again: browsers' cookies. They are stored beside the signing keys,
//! so that every replica opens what another has sealed, and they never leave the store.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::store::StoredKey;

use super::Error;

/// The algorithm's name in the store (RFC 7518 section 5.3).
pub(super) const SEALING: &str = "A256GCM";
/// The first byte of everything sealed: the form that follows.
const VERSION: u8 = 1;
/// How many bytes name the key.
const ID_LEN: usize = 8;
const KEY_LEN: usize = 32;

/// The shared handle: the newest key seals, all open.
#[derive(Clone, Debug, Default)]
pub struct SealingKeys(Arc<ArcSwap<Vec<Key>>>);

struct Key {
    id: [u8; ID_LEN],
    seal_from: i64,
    open_until: i64,
    key: LessSafeKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Key").finish_non_exhaustive()
    }
}

impl SealingKeys {
    /// Whether there is a key that seals at `now`.
    pub fn ready(&self, now: i64) -> bool {
        self.0
            .load()
            .iter()
            .any(|key| key.seal_from <= now && now < key.open_until)
    }

    /// Takes the sealing keys among the stored ones in place of those before.
    pub fn publish(&self, stored: &[StoredKey]) -> Result<(), Error> {
        let keys: Result<Vec<Key>, Error> = stored
            .iter()
            .filter(|key| key.algorithm == SEALING)
            .map(Key::read)
            .collect();
        self.0.store(Arc::new(keys?));
        Ok(())
    }

    /// Seals `plain`, bound to what it is for: opened for anything else, it is not.
    pub fn seal(&self, purpose: &str, plain: &[u8], random: &SystemRandom, now: i64) -> Result<String, Error> {
        let keys = self.0.load();
        let usable = keys.iter().filter(|key| key.seal_from <= now && now < key.open_until);
        let newest = usable.max_by_key(|key| key.seal_from);
        let key = newest.ok_or_else(|| Error::NoneUsable(vec!["no sealing key is loaded".to_owned()]))?;
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce).map_err(|_| Error::Library("give randomness"))?;
        let mut sealed = Vec::with_capacity(1 + ID_LEN + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        let mut body = plain.to_vec();
        key.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut body,
            )
            .map_err(|_| Error::Library("seal"))?;
        sealed.extend_from_slice(&body);
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// What was sealed for this purpose; `None`: by nobody who has a key that still counts.
    pub fn open(&self, purpose: &str, sealed: &str, now: i64) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (version, rest) = sealed.split_first()?;
        let (id, rest) = rest.split_at_checked(ID_LEN)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
        let keys = self.0.load();
        let known = |key: &&Key| key.id == id && now < key.open_until && *version == VERSION;
        let key = keys.iter().find(known)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let plain = key.key.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut body);
        Some(plain.ok()?.to_vec())
    }
}

impl Key {
    fn read(stored: &StoredKey) -> Result<Self, Error> {
        if stored.sealed {
            return Err(Error::Sealed(stored.id.clone()));
        }
        let key = UnboundKey::new(&AES_256_GCM, &stored.material)
            .map_err(|_| Error::Malformed(format!("the stored key {} is no AES-256 key", stored.id)))?;
        Ok(Self {
            id: short(&stored.id),
            seal_from: stored.sign_from,
            open_until: stored.verify_until.unwrap_or(i64::MAX),
            key: LessSafeKey::new(key),
        })
    }
}

/// The part of a key's name that stands in what it sealed.
fn short(id: &str) -> [u8; ID_LEN] {
    let mut short = [0; ID_LEN];
    for (to, from) in short.iter_mut().zip(digest(&SHA256, id.as_bytes()).as_ref()) {
        *to = *from;
    }
    short
}

/// A new sealing key, as it is stored.
pub fn new_sealing_key(random: &SystemRandom, publish_at: i64, seal_from: i64) -> Result<StoredKey, Error> {
    let (mut material, mut id) = ([0; KEY_LEN], [0; 16]);
    random
        .fill(&mut material)
        .and_then(|()| random.fill(&mut id))
        .map_err(|_| Error::Library("give randomness"))?;
    Ok(StoredKey {
        id: URL_SAFE_NO_PAD.encode(id),
        algorithm: SEALING.to_owned(),
        material: material.to_vec(),
        sealed: false,
        publish_at,
        sign_from: seal_from,
        verify_until: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn keys(stored: &[StoredKey]) -> SealingKeys {
        let keys = SealingKeys::default();
        keys.publish(stored).unwrap();
        keys
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_and_on_every_replica_only() {
        let random = SystemRandom::new();
        let first = new_sealing_key(&random, 0, 0).unwrap();
        let one = keys(std::slice::from_ref(&first));
        let sealed = one.seal("cookie", b"alice", &random, NOW).unwrap();
        assert_ne!(sealed, one.seal("cookie", b"alice", &random, NOW).unwrap());
        let other = keys(&[first.clone(), new_sealing_key(&random, 0, NOW + 1).unwrap()]);
        assert_eq!(other.open("cookie", &sealed, NOW).unwrap(), b"alice");
        assert_eq!(other.open("ticket", &sealed, NOW), None);
        let strange = keys(&[new_sealing_key(&random, 0, 0).unwrap()]);
        assert_eq!(strange.open("cookie", &sealed, NOW), None);
        let retired = StoredKey {
            verify_until: Some(NOW),
            ..first
        };
        assert_eq!(keys(std::slice::from_ref(&retired)).open("cookie", &sealed, NOW), None);
        assert!(keys(&[retired]).seal("cookie", b"", &random, NOW).is_err());
        assert!(!SealingKeys::default().ready(NOW));
    }

    #[test]
    fn a_changed_bit_opens_nothing() {
        let random = SystemRandom::new();
        let keys = keys(&[new_sealing_key(&random, 0, 0).unwrap()]);
        let sealed = keys.seal("cookie", b"alice", &random, NOW).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(
                keys.open("cookie", &URL_SAFE_NO_PAD.encode(changed), NOW),
                None,
                "byte {at}"
            );
        }
        for broken in ["", "A", "%%%", &sealed[..sealed.len() - 1], &format!("{sealed}=")] {
            assert_eq!(keys.open("cookie", broken, NOW), None, "{broken:?}");
        }
    }

    #[test]
    fn the_newest_key_that_may_seal_seals() {
        let random = SystemRandom::new();
        let old = new_sealing_key(&random, 0, 0).unwrap();
        let new = new_sealing_key(&random, 0, NOW).unwrap();
        let both = keys(&[old.clone(), new.clone()]);
        let before = both.seal("cookie", b"x", &random, NOW - 1).unwrap();
        let after = both.seal("cookie", b"x", &random, NOW).unwrap();
        assert!(keys(std::slice::from_ref(&old)).open("cookie", &before, NOW).is_some());
        assert!(keys(&[old]).open("cookie", &after, NOW).is_none());
        assert!(keys(&[new]).open("cookie", &after, NOW).is_some());
    }
}
