//! The sealing of stored keys (`tokens.key_encryption_file`): AES-256-GCM under a key that is not in the store.
//!
//! ```text
//! material = version 1 (1 byte) ‖ name of the encryption key (8) ‖ nonce (12) ‖ ciphertext and tag
//! ```
//!
//! Bound to it are the row's id, algorithm, `publish_at` and `sign_from`: a row cannot pass for another one, nor an old key
//! for a new one. `verify_until` is set later and is not bound.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::Error;
use crate::store::StoredKey;

const VERSION: u8 = 1;
const NAME_LEN: usize = 8;
const KEY_LEN: usize = 32;

/// The keys of the file: the first seals, all open.
#[derive(Clone)]
pub struct EncryptionKeys(Arc<Vec<Key>>);

struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl EncryptionKeys {
    /// Reads the file: one key a line, 32 bytes as base64 (44 characters, the `=` may be missing) or as 64 hexadecimal digits.
    /// Empty lines are passed over.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let malformed = || {
            Error::Malformed(
                "each line must hold 32 bytes as base64 (as `openssl rand -base64 32` prints them) or as 64 hexadecimal digits"
                    .to_owned(),
            )
        };
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let keys: Vec<Key> = lines
            .filter(|line| !line.is_empty())
            .map(|line| Key::new(&decode(line).ok_or_else(malformed)?))
            .collect::<Result<_, _>>()?;
        match keys.is_empty() {
            true => Err(malformed()),
            false => Ok(Self(Arc::new(keys))),
        }
    }

    /// Whether this row is sealed by the first of these keys.
    pub(super) fn sealed_it(&self, stored: &StoredKey) -> bool {
        let name = stored.material.get(1..=NAME_LEN);
        stored.sealed && self.0.first().is_some_and(|key| name == Some(&key.name[..]))
    }

    /// The row sealed by the first key; it must not be sealed yet.
    pub(super) fn seal(&self, stored: &StoredKey, random: &SystemRandom) -> Result<StoredKey, Error> {
        let failed = |_| Error::Library("seal a key");
        let key = self.0.first().ok_or(Error::Library("seal a key"))?;
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce).map_err(failed)?;
        let mut body = stored.material.clone();
        key.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound_to(stored)),
                &mut body,
            )
            .map_err(failed)?;
        let material = [&[VERSION][..], &key.name, &nonce, &body].concat();
        Ok(StoredKey {
            material,
            sealed: true,
            ..stored.clone()
        })
    }

    fn open(&self, stored: &StoredKey) -> Result<StoredKey, Error> {
        let broken = || {
            Error::Malformed(format!(
                "the sealed key {} in the store is damaged or was changed",
                stored.id
            ))
        };
        let (version, rest) = stored.material.split_first().ok_or_else(broken)?;
        let (name, rest) = rest.split_at_checked(NAME_LEN).ok_or_else(broken)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        if *version != VERSION {
            return Err(broken());
        }
        let mut keys = self.0.iter();
        let key = keys
            .find(|key| key.name == name)
            .ok_or_else(|| Error::SealedByAnother(stored.id.clone()))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = key.key.open_in_place(nonce, Aad::from(bound_to(stored)), &mut body);
        Ok(StoredKey {
            material: plain.map_err(|_| broken())?.to_vec(),
            sealed: false,
            ..stored.clone()
        })
    }
}

/// The row with its material laid open, if need be.
pub(super) fn opened(stored: &StoredKey, encryption: Option<&EncryptionKeys>) -> Result<StoredKey, Error> {
    match (stored.sealed, encryption) {
        (false, _) => Ok(stored.clone()),
        (true, None) => Err(Error::Sealed(stored.id.clone())),
        (true, Some(keys)) => keys.open(stored),
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Result<Self, Error> {
        let unusable = |_| Error::Library("take a key");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"doorward key encryption");
        Ok(Self {
            // Tells a wrong key from damage, and says nothing about the key.
            name: *tag.as_ref().first_chunk().ok_or(Error::Library("name a key"))?,
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).map_err(unusable)?),
        })
    }
}

impl fmt::Debug for EncryptionKeys {
    /// The names, so that another file is seen to be another one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|key| key.name);
        formatter.debug_list().entries(names).finish()
    }
}

fn decode(line: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = match line.len() {
        64 => hex(line)?,
        43 => STANDARD_NO_PAD.decode(line).ok()?,
        _ => STANDARD.decode(line).ok()?,
    };
    (bytes.len() == KEY_LEN).then(|| Zeroizing::new(bytes))
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

/// What a row is bound to, each part with its length so that no two rows look alike.
fn bound_to(stored: &StoredKey) -> Vec<u8> {
    let mut bound = b"doorward stored key v1".to_vec();
    for text in [&stored.id, &stored.algorithm] {
        bound.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        bound.extend_from_slice(text.as_bytes());
    }
    for time in [stored.publish_at, stored.sign_from] {
        bound.extend_from_slice(&time.to_be_bytes());
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn keys(text: &str) -> EncryptionKeys {
        EncryptionKeys::parse(text.as_bytes()).unwrap()
    }

    fn row() -> StoredKey {
        StoredKey {
            id: "kid".to_owned(),
            algorithm: "EdDSA".to_owned(),
            material: vec![0x30; 48],
            sealed: false,
            publish_at: 1,
            sign_from: 2,
            verify_until: None,
        }
    }

    #[test]
    fn a_file_holds_keys_as_base64_or_hexadecimal_and_nothing_else() {
        let hex: String = (0..32).map(|byte| format!("{byte:02X}")).collect();
        let spellings = [
            ONE.to_owned(),
            ONE.trim_end_matches('=').to_owned(),
            hex.to_lowercase(),
            hex,
        ];
        let names: Vec<_> = spellings
            .iter()
            .map(|text| format!("{:?}", keys(&format!("\n {text}\r\n\n"))))
            .collect();
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
        assert!(!names[0].contains("AAEC"));
        for text in [
            "",
            "\n\n",
            "short",
            &ONE[4..],
            &format!("{ONE} {ONE}"),
            &"zz".repeat(32),
            &"0".repeat(63),
        ] {
            let refused = EncryptionKeys::parse(text.as_bytes());
            assert!(matches!(refused, Err(Error::Malformed(_))), "{text:?}");
        }
        assert!(EncryptionKeys::parse(&[7; 32]).is_err(), "raw bytes are no text");
    }

    #[test]
    fn a_row_is_opened_by_its_key_only_and_only_as_the_row_it_was() {
        let random = SystemRandom::new();
        let (first, other) = (keys(ONE), keys(&"07".repeat(32)));
        let sealed = first.seal(&row(), &random).unwrap();
        assert!(sealed.sealed && first.sealed_it(&sealed) && !other.sealed_it(&sealed) && !first.sealed_it(&row()));
        assert!(
            !sealed.material.windows(8).any(|window| window == [0x30; 8]),
            "{sealed:?}"
        );
        assert_eq!(opened(&sealed, Some(&first)), Ok(row()));
        assert_eq!(opened(&sealed, None), Err(Error::Sealed("kid".to_owned())));
        assert_eq!(
            opened(&sealed, Some(&other)),
            Err(Error::SealedByAnother("kid".to_owned()))
        );
        assert_eq!(opened(&row(), None), Ok(row()));
        let both = keys(&format!("{}\n{ONE}", "07".repeat(32)));
        assert_eq!(opened(&sealed, Some(&both)), Ok(row()));
        assert!(!both.sealed_it(&sealed), "the first of them is another one");
        let retired = StoredKey {
            verify_until: Some(9),
            ..sealed.clone()
        };
        assert_eq!(opened(&retired, Some(&first)).unwrap().verify_until, Some(9));
        let changed: [&dyn Fn(&mut StoredKey); 4] = [
            &|row| row.id = "another".to_owned(),
            &|row| row.algorithm = "ES256".to_owned(),
            &|row| row.publish_at = 0,
            &|row| row.sign_from = 3,
        ];
        for change in changed {
            let mut row = sealed.clone();
            change(&mut row);
            assert!(
                matches!(opened(&row, Some(&first)), Err(Error::Malformed(_))),
                "{row:?}"
            );
        }
        for at in 0..sealed.material.len() {
            let mut row = sealed.clone();
            row.material[at] ^= 1;
            assert!(opened(&row, Some(&first)).is_err(), "byte {at}");
            row.material.truncate(at);
            assert!(opened(&row, Some(&first)).is_err(), "{at} bytes");
        }
    }
}
