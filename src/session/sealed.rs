//! What stands in the cookie: who it is, sealed so that only a replica of this gateway reads or makes it.

use aws_lc_rs::rand::SystemRandom;
use serde::{Deserialize, Serialize};

use crate::keyring::{self, SealingKeys};
use crate::principal::{CredentialKind, Issuer, Person, Roles, SessionId, UserId};

/// What a sealed cookie is for. Nothing that was sealed for anything else opens as one.
const PURPOSE: &str = "doorward browser session v1";

/// The claims of a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// Their roles.
    pub roles: Roles,
    /// A verified e-mail address.
    pub email: Option<String>,
    /// When the cookie was sealed (Unix seconds).
    pub issued_at: i64,
    /// Until when it counts without a renewal (Unix seconds).
    pub expires_at: i64,
}

/// The claims as they are written: short names, for they travel with every request.
#[derive(Serialize, Deserialize)]
struct Written {
    s: [u8; 16],
    u: i64,
    n: String,
    r: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    i: i64,
    x: i64,
}

impl Claims {
    /// The person they are about.
    pub fn person(&self) -> Person {
        Person {
            issuer: Issuer::Local,
            subject: self.user.to_string(),
            user: Some(self.user),
            name: self.name.clone(),
            roles: self.roles.clone(),
            email: self.email.clone(),
            session: Some(self.session),
            token_id: None,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            credential: CredentialKind::Session,
            limit: None,
            subject_prefix: 0,
        }
    }

    /// Whether they count at `now` (Unix milliseconds) without a renewal.
    pub fn are_fresh(&self, now: i64) -> bool {
        now < self.expires_at.saturating_mul(1000)
    }

    /// Whether more than half of their life is over: time to renew them.
    pub fn are_due(&self, now: i64) -> bool {
        let half = self
            .issued_at
            .saturating_add(self.expires_at.saturating_sub(self.issued_at) / 2);
        now >= half.saturating_mul(1000)
    }
}

/// Seals and opens cookies.
#[derive(Clone, Debug)]
pub struct Sealer {
    keys: SealingKeys,
}

impl Sealer {
    /// Seals with these keys.
    pub fn new(keys: SealingKeys) -> Self {
        Self { keys }
    }

    /// Whether there is a key to seal and open with.
    pub fn ready(&self, now: i64) -> bool {
        self.keys.ready(now)
    }

    /// The cookie's value.
    pub fn seal(&self, claims: &Claims, random: &SystemRandom, now: i64) -> Result<String, keyring::Error> {
        let written = Written {
            s: claims.session.0,
            u: claims.user.0,
            n: claims.name.clone(),
            r: claims.roles.to_column(),
            e: claims.email.clone(),
            i: claims.issued_at,
            x: claims.expires_at,
        };
        let plain = serde_json::to_vec(&written).map_err(|_| keyring::Error::Library("write claims"))?;
        self.keys.seal(PURPOSE, &plain, random, now)
    }

    /// What stands in a cookie's value, fresh or not; `None`: it is none of ours.
    pub fn open(&self, value: &str, now: i64) -> Option<Claims> {
        let plain = self.keys.open(PURPOSE, value, now)?;
        let written: Written = serde_json::from_slice(&plain).ok()?;
        Some(Claims {
            session: SessionId(written.s),
            user: UserId(written.u),
            name: written.n,
            roles: Roles::from_column(&written.r),
            email: written.e,
            issued_at: written.i,
            expires_at: written.x,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::new_sealing_key;

    #[test]
    fn claims_come_back_as_they_were_and_age() {
        let random = SystemRandom::new();
        let keys = SealingKeys::default();
        keys.publish(&[new_sealing_key(&random, 0, 0).unwrap()]).unwrap();
        let sealer = Sealer::new(keys);
        let claims = Claims {
            session: SessionId([7; 16]),
            user: UserId(3),
            name: "Zoë ,\"".to_owned(),
            roles: Roles::from_column("user,ops"),
            email: None,
            issued_at: 1_000,
            expires_at: 1_900,
        };
        let value = sealer.seal(&claims, &random, 1_000_000).unwrap();
        assert_eq!(sealer.open(&value, 1_000_000).as_ref(), Some(&claims));
        assert_eq!(sealer.open("abc", 1_000_000), None);
        assert!(claims.are_fresh(1_899_999) && !claims.are_fresh(1_900_000));
        assert!(!claims.are_due(1_449_999) && claims.are_due(1_450_000));
        assert_eq!(claims.person().session, Some(SessionId([7; 16])));
    }
}
