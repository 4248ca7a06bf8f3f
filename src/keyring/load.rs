//! Where our own keys come from: the store, PEM files, or a secret.

use crate::store::StoredKey;

use super::sealing::SEALING;
use super::{Algorithm, Error, RingKey, SigningKey, signing_key_from_pem};

/// Keys as the store has them. One that cannot be read is an error: what it signed would stop counting without a word.
pub fn from_store(stored: &[StoredKey]) -> Result<Vec<RingKey>, Error> {
    let signing = stored.iter().filter(|key| key.algorithm != SEALING);
    signing.map(from_stored).collect()
}

fn from_stored(stored: &StoredKey) -> Result<RingKey, Error> {
    if stored.sealed {
        return Err(Error::Sealed(stored.id.clone()));
    }
    let algorithm = Algorithm::from_name(&stored.algorithm)
        .ok_or_else(|| Error::Unsupported(format!("the stored algorithm {:?}", stored.algorithm)))?;
    let key = SigningKey::from_material(algorithm, &stored.material)?;
    RingKey::named(
        stored.id.clone(),
        key,
        stored.publish_at,
        stored.sign_from,
        stored.verify_until,
    )
}

/// The keys of PEM files (`tokens.key_files`): the first signs, all verify, for as long as they are configured.
pub fn from_pem_files<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<RingKey>, Error> {
    files
        .into_iter()
        .enumerate()
        .map(|(index, text)| {
            let sign_from = if index == 0 { i64::MIN } else { i64::MAX };
            RingKey::new(signing_key_from_pem(text)?, i64::MIN, sign_from, None)
        })
        .collect()
}

/// The symmetric key of HS256 (`tokens.secret_file`).
pub fn from_secret(secret: &[u8]) -> Result<Vec<RingKey>, Error> {
    let key = SigningKey::from_material(Algorithm::Hs256, secret)?;
    Ok(vec![RingKey::new(key, i64::MIN, i64::MIN, None)?])
}
