//! The keys as the change feed keeps them: loaded at start, whenever they changed, and now and then for what is due.

use std::sync::{Mutex, PoisonError};

use crate::keyring::{Brought, Error, Keeper};
use crate::store::{self, Store};

/// The keeper of the keys, and what was last told about it.
pub struct KeyDesk {
    keeper: Keeper,
    trouble: Mutex<Option<Error>>,
}

impl KeyDesk {
    /// Nothing is loaded yet.
    pub fn new(keeper: Keeper) -> Self {
        Self {
            keeper,
            trouble: Mutex::new(None),
        }
    }

    /// Brings the ring in step with the store, and turns what is due. Keys that cannot be used are told once and are no
    /// reason to stop following the store: what was loaded before goes on counting, and before the first load there is
    /// no key, so that whatever needs one is answered 503.
    pub async fn load(&self, store: &dyn Store) -> Result<(), store::Error> {
        let trouble = match self.keeper.load(store).await {
            Ok(brought) => {
                tell(&brought);
                None
            }
            Err(Error::Store(why)) => return Err(store::Error::Unavailable(why)),
            Err(error) => Some(error),
        };
        let mut told = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &trouble {
            Some(error) if told.as_ref() != Some(error) => {
                tracing::error!(%error, hint = hint(error), "the keys in the store cannot be used");
            }
            None if told.is_some() => tracing::info!("the keys in the store can be used again"),
            Some(_) | None => {}
        }
        *told = trouble;
        Ok(())
    }
}

fn tell(brought: &Brought) {
    for kid in &brought.made {
        tracing::info!(kid, "a new key was made; `doorward key list` says when it begins");
    }
    if brought.changed {
        let signer = brought.signer.as_deref().unwrap_or("none");
        tracing::info!(signer, "the signing keys were read");
    }
}

/// What to do about keys that cannot be used.
pub fn hint(error: &Error) -> &'static str {
    match error {
        Error::Sealed(_) => {
            "set tokens.key_encryption_file to the file that the other replicas use, and restart; if it is lost, \
            `doorward key rotate --now` makes new keys, and all tokens and cookies end"
        }
        Error::SealedByAnother(_) => {
            "use the file that the other replicas use, or add its key as a further line, and restart; if it is lost, \
            `doorward key rotate --now` makes new keys, and all tokens and cookies end"
        }
        Error::Malformed(_) | Error::Unsupported(_) | Error::Weak(_) | Error::NoneUsable(_) => {
            "take the row out of gateway_keys, or begin anew with `doorward key rotate --now`"
        }
        Error::Library(_) => "the system must give randomness",
        Error::Store(_) => "check [store], and whether the store runs",
    }
}
