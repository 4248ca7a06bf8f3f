//! Keeps the stored keys and the ring in step: reads, opens, turns what is due, publishes.

use aws_lc_rs::rand::SystemRandom;

use super::encryption::{EncryptionKeys, opened};
use super::plan::{Plan, Rules, Times, Wish, plan};
use super::sealing::new_sealing_key;
use super::{Algorithm, Error, KeyRing, RingKey, SealingKeys, SigningKey, from_pem_files, from_secret, from_store};
use crate::clock::Clock;
use crate::secret::Secret;
use crate::store::{KeyEdit, Keys, StoredKey};

/// Where the keys come from, and how they turn.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What tokens are signed with.
    pub algorithm: Algorithm,
    /// Where the signing keys come from.
    pub source: Source,
    /// What seals the keys in the store.
    pub encryption: Option<EncryptionKeys>,
    /// The times.
    pub rules: Rules,
}

/// Where the signing keys come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// They are made and kept in the store, and turn.
    Store,
    /// PEM files: the first signs, all verify.
    Files(Vec<Secret<Vec<u8>>>),
    /// The symmetric key of HS256.
    Secret(Secret<Vec<u8>>),
    /// Nowhere: tokens are of another format, whose secret is not kept here. What is in the store still verifies.
    Nowhere,
}

/// Keeps the stored keys and the ring in step.
#[derive(Debug)]
pub struct Keeper {
    settings: Settings,
    ring: KeyRing,
    sealing: SealingKeys,
    random: SystemRandom,
    clock: Clock,
}

/// What a look at the store brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// The ids of the keys that were made.
    pub made: Vec<String>,
    /// Whether other keys sign or verify than before.
    pub changed: bool,
    /// The `kid` that signs now.
    pub signer: Option<String>,
}

/// What is stored after a rotation.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// All keys, oldest first.
    pub stored: Vec<StoredKey>,
    /// The ids of those that were made.
    pub made: Vec<String>,
}

impl Keeper {
    /// Looks at the keys that are not in the store. Nothing is published yet: a set that lacks the stored keys would be kept
    /// by whoever asks for it.
    pub fn new(settings: Settings, ring: KeyRing, sealing: SealingKeys, clock: Clock) -> Result<Self, Error> {
        let keeper = Self {
            settings,
            ring,
            sealing,
            random: SystemRandom::new(),
            clock,
        };
        keeper.own()?;
        Ok(keeper)
    }

    /// Reads the store, makes and turns what is due, publishes what counts then. Keys that cannot be opened are an error,
    /// before anything is made: what counted until then goes on counting.
    pub async fn load(&self, store: &dyn Keys) -> Result<Brought, Error> {
        let stored = store.keys().await.map_err(failed)?;
        self.open(&stored)?;
        let (lifetime, now) = (self.settings.rules.access_ttl, self.clock.unix_millis());
        let is_due = !plan(Wish::Due, &self.settings.rules, &stored, lifetime, now).is_empty()
            || stored
                .iter()
                .any(|key| unsealed(key, self.settings.encryption.as_ref(), now));
        let rotated = match is_due {
            true => self.change(store, Wish::Due, &stored).await?,
            false => Rotated {
                stored,
                made: Vec::new(),
            },
        };
        let changed = self.publish(&rotated.stored)?;
        let signer = self.ring.load().signing(now).map(|key| key.id().to_owned());
        Ok(Brought {
            made: rotated.made,
            changed,
            signer,
        })
    }

    /// Reads the store and publishes what counts; nothing is made or turned. Of a store that does not answer the keys that
    /// are not in it are independent.
    pub async fn read(&self, store: &dyn Keys) -> Result<(), Error> {
        match store.keys().await {
            Ok(stored) => self.publish(&stored).map(drop),
            Err(error) => match self.own()? {
                own if own.is_empty() => Err(failed(error)),
                own => {
                    self.ring.publish(own, self.settings.algorithm);
                    Ok(())
                }
            },
        }
    }

    /// False: they were published already.
    fn publish(&self, stored: &[StoredKey]) -> Result<bool, Error> {
        let keys = self.open(stored)?;
        self.sealing.publish(&keys)?;
        let mut ring = self.own()?;
        let stored_sign = ring.is_empty();
        for key in from_store(&keys)? {
            ring.push(if stored_sign { key } else { key.verifying_only() });
        }
        Ok(self.ring.publish(ring, self.settings.algorithm))
    }

    /// Turns the stored keys because somebody says so. With [`Wish::Now`] the old ones need not be opened: who lost the key
    /// of the file begins anew with it.
    pub async fn rotate(&self, store: &dyn Keys, wish: Wish) -> Result<Rotated, Error> {
        let stored = store.keys().await.map_err(failed)?;
        match wish {
            Wish::Due | Wish::Rotate => self.open(&stored).map(drop)?,
            Wish::Now { .. } => {}
        }
        self.change(store, wish, &stored).await
    }

    /// The keys that are not in the store.
    pub fn own(&self) -> Result<Vec<RingKey>, Error> {
        match &self.settings.source {
            Source::Store | Source::Nowhere => Ok(Vec::new()),
            Source::Files(files) => from_pem_files(files.iter().map(|file| file.expose().as_slice())),
            Source::Secret(secret) => from_secret(secret.expose()),
        }
    }

    async fn change(&self, store: &dyn Keys, wish: Wish, seen: &[StoredKey]) -> Result<Rotated, Error> {
        let now = self.clock.unix_millis();
        let rules = self.settings.rules;
        // Made before the lock is taken, for an RSA key takes a while, and only where it may be needed.
        let draft = plan(wish, &rules, seen, rules.access_ttl, now);
        let new = New {
            signing: match rules.algorithm.filter(|_| draft.signing.is_some() || wish != Wish::Due) {
                Some(algorithm) => Some(generate(algorithm).await?),
                None => None,
            },
            sealing: Some(new_sealing_key(&self.random, now, now)?),
        };
        let ids: Vec<String> = new
            .signing
            .iter()
            .chain(&new.sealing)
            .map(|key| key.id.clone())
            .collect();
        let encryption = self.settings.encryption.clone();
        let random = SystemRandom::new();
        let edit = move |stored: &[StoredKey], lifetime: i64| {
            let plan = plan(wish, &rules, stored, lifetime, now);
            edit(plan, stored, new, encryption.as_ref(), &random, now)
        };
        let stored = store.change_keys(Box::new(edit), now).await.map_err(failed)?;
        let made = ids.into_iter().filter(|id| stored.iter().any(|key| key.id == *id));
        Ok(Rotated {
            made: made.collect(),
            stored,
        })
    }

    /// The keys that still count, their material laid open.
    fn open(&self, stored: &[StoredKey]) -> Result<Vec<StoredKey>, Error> {
        let now = self.clock.unix_millis();
        let living = stored
            .iter()
            .filter(|key| key.verify_until.is_none_or(|until| now < until));
        living
            .map(|key| opened(key, self.settings.encryption.as_ref()))
            .collect()
    }
}

/// Keys that were made in case they are needed; their times are set by the plan.
struct New {
    signing: Option<StoredKey>,
    sealing: Option<StoredKey>,
}

/// The plan as an edit. What cannot be sealed although it should be is not stored at all.
fn edit(
    plan: Plan,
    stored: &[StoredKey],
    new: New,
    encryption: Option<&EncryptionKeys>,
    random: &SystemRandom,
    now: i64,
) -> KeyEdit {
    let sealed = |key: StoredKey| match encryption {
        Some(keys) => keys.seal(&key, random).ok(),
        None => Some(key),
    };
    let at = |key: Option<StoredKey>, times: Option<Times>| {
        let (key, times) = (key?, times?);
        sealed(StoredKey {
            publish_at: times.publish_at,
            sign_from: times.sign_from,
            ..key
        })
    };
    let wanted = (plan.signing.is_some(), plan.sealing.is_some());
    let (signing, sealing) = (at(new.signing, plan.signing), at(new.sealing, plan.sealing));
    // Nothing is ended or dropped for the sake of a key that is not there.
    if wanted != (signing.is_some(), sealing.is_some()) {
        return KeyEdit::default();
    }
    let mut edit = KeyEdit {
        put: Vec::new(),
        remove: plan.remove,
    };
    for key in stored.iter().filter(|key| !edit.remove.contains(&key.id)) {
        let mut changed = key.clone();
        if unsealed(key, encryption, now)
            && let Some(again) = opened(key, encryption).ok().and_then(sealed)
        {
            changed = again;
        }
        if let Some((_, until)) = plan.ends.iter().find(|(id, _)| *id == key.id) {
            changed.verify_until = Some(*until);
        }
        if changed != *key {
            edit.put.push(changed);
        }
    }
    edit.put.extend(signing.into_iter().chain(sealing));
    edit
}

/// Whether a key that counts should be sealed, by the first key of the file, and is not.
fn unsealed(key: &StoredKey, encryption: Option<&EncryptionKeys>, now: i64) -> bool {
    encryption.is_some_and(|keys| !keys.sealed_it(key)) && key.verify_until.is_none_or(|until| now < until)
}

/// A new signing key, off the thread that carries everything else.
async fn generate(algorithm: Algorithm) -> Result<StoredKey, Error> {
    let made = tokio::task::spawn_blocking(move || {
        let (key, material) = SigningKey::generate(algorithm)?;
        Ok(StoredKey {
            id: key.id()?,
            algorithm: algorithm.as_str().to_owned(),
            material: material.to_vec(),
            sealed: false,
            publish_at: 0,
            sign_from: 0,
            verify_until: None,
        })
    });
    made.await.map_err(|_| Error::Library("make a key"))?
}

fn failed(why: crate::store::Error) -> Error {
    Error::Store(why.to_string())
}
