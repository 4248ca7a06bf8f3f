//! Judges a token in the order in which flask-praetorian does: the form, the signature, `nbf`, `aud`; then `jti`, the blacklist,
//! `id`, `exp`, `rf_exp`; then what it is for and whether its time has come.

use std::sync::atomic::Ordering;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::{Claims, Date, Named};
use super::{Claim, Fault, MailPurpose, MailToken, Praetorian, Purpose, Refreshable, Undecodable};
use crate::principal::{CredentialKind, Issuer, Person, Roles, UserId};
use crate::token::json::{Json, Object};
use crate::token::verify::Window;

/// How far ahead of our clock a token may have been issued and be believed, in seconds: clocks of servers differ a little.
const AHEAD_AT_MOST: i64 = 60;

/// Between two lines of the log about it, in milliseconds.
const TELL_EVERY: i64 = 60_000;

/// Whether a `jti` was revoked.
type Blacklist<'a> = &'a dyn Fn(&str) -> bool;

/// A token whose signature is right and whose claims are there.
struct Judged<'a> {
    claims: Claims<'a>,
    /// From when it counts (`nbf`), and when its key's time is up (Unix milliseconds).
    from: i64,
    until: i64,
    issued_at: i64,
}

impl Praetorian {
    /// Judges a token that is to let somebody in. The person has neither name nor roles yet: only the store knows who `id` is.
    pub(in crate::token) fn read_access(
        &self,
        token: &[u8],
        now: i64,
        blacklisted: Blacklist<'_>,
    ) -> Result<(Person, Window), Fault> {
        let payload = self.open(token, now)?;
        let token = self.judge(&payload, now, blacklisted)?;
        token.must_not_be_mail(Purpose::Access)?;
        let expires = token.expires()?;
        let until = expires.millis().saturating_add(self.leeway.saturating_mul(1000));
        if until <= now {
            return Err(Fault::Expired(Purpose::Access));
        }
        let user = token.user(Fault::NoId, Fault::UnknownId)?;
        let window = Window {
            from: token.from,
            until: until.min(token.until),
        };
        Ok((token.person(user, expires), window))
    }

    /// Judges a token that came by mail. `blacklisted`: whether a `jti` was revoked.
    pub fn read_mail_token(
        &self,
        purpose: MailPurpose,
        token: &[u8],
        now: i64,
        blacklisted: Blacklist<'_>,
    ) -> Result<MailToken, Fault> {
        let payload = self.open(token, now)?;
        let token = self.judge(&payload, now, blacklisted)?;
        let expires = token.expires()?;
        let expired = expires.millis() <= now;
        let unknown = match purpose {
            MailPurpose::Registration => {
                token.check(!expired, Fault::Expired(Purpose::Registration))?;
                token.check(token.claims.has("is_ert"), Fault::InvalidRegistration)?;
                token.check(!token.claims.has("is_prt"), Fault::MisusedReset(Purpose::Registration))?;
                Fault::UnknownRegistrant
            }
            MailPurpose::Reset => {
                token.check(!token.claims.has("is_ert"), Fault::MisusedRegistration(Purpose::Reset))?;
                token.check(!expired, Fault::Expired(Purpose::Reset))?;
                token.check(token.claims.has("is_prt"), Fault::InvalidReset)?;
                Fault::UnknownId
            }
        };
        Ok(MailToken {
            user: token.user(unknown, unknown)?,
            token_id: token.claims.token_id(),
            issued_at: token.issued_at,
            expires_at: expires.floor(),
        })
    }

    /// Judges a token that is to be refreshed: its time for access is over, that for a refresh is not.
    pub fn read_refreshable(&self, token: &[u8], now: i64, blacklisted: Blacklist<'_>) -> Result<Refreshable, Fault> {
        let payload = self.open(token, now)?;
        let token = self.judge(&payload, now, blacklisted)?;
        token.must_not_be_mail(Purpose::Refresh)?;
        token.check(token.expires()?.millis() <= now, Fault::EarlyRefresh)?;
        let refresh_until = token.claims.date("rf_exp")?;
        // In whole seconds, as flask-praetorian counts.
        let over = now.div_euclid(1000).saturating_mul(1000) > refresh_until.millis();
        token.check(!over, Fault::ExpiredRefresh)?;
        Ok(Refreshable {
            user: match token.claims.user() {
                Named::User(user) => Some(user),
                Named::Null | Named::Nonsense => None,
            },
            token_id: token.claims.token_id(),
            issued_at: token.issued_at,
            kept: token.claims.kept(refresh_until),
        })
    }

    /// The name of a token of any purpose whose signature is right, and until when (Unix seconds) it must be remembered if it is
    /// revoked: nothing that comes of it by a refresh lives longer. `None`: it is none, or over.
    pub fn revocable(&self, token: &[u8], now: i64) -> Option<(String, i64)> {
        let payload = self.open(token, now).ok()?;
        let token = self.judge(&payload, now, &|_| false).ok()?;
        let by_mail = token.claims.has("is_ert") || token.claims.has("is_prt");
        let expires = token.expires().ok()?.millis();
        let refreshed = match by_mail {
            true => expires,
            false => token.claims.date("rf_exp").ok()?.millis(),
        };
        let ends = expires.max(refreshed);
        (ends > now).then(|| (token.claims.token_id(), ends.div_euclid(1000).saturating_add(1)))
    }

    /// The claims of a token that one of the keys has signed, and until when that key counts.
    fn open(&self, token: &[u8], now: i64) -> Result<(Vec<u8>, i64), Fault> {
        let fault = |why| Fault::Undecodable(why);
        if token.len() > self.max_length {
            return Err(fault(Undecodable::TooLong));
        }
        let mut dots = memchr::memchr_iter(b'.', token);
        let (Some(first), Some(second)) = (dots.next(), dots.next()) else {
            return Err(fault(Undecodable::Segments));
        };
        let part = |from: usize, to: usize| URL_SAFE_NO_PAD.decode(token.get(from..to).unwrap_or_default()).ok();
        let header = part(0, first).ok_or(fault(Undecodable::HeaderPadding))?;
        if header.is_empty() {
            return Err(fault(Undecodable::HeaderEmpty));
        }
        let algorithm = algorithm(&header).ok_or(fault(Undecodable::HeaderString))?;
        let payload = part(first + 1, second).ok_or(fault(Undecodable::PayloadPadding))?;
        // A third dot is among what is no base64url.
        let Some(signature) = part(second + 1, token.len()) else {
            return Err(fault(no_signature(
                token.get(second + 1..).unwrap_or_default(),
                algorithm.as_deref(),
            )));
        };
        if algorithm.as_deref() != Some("HS256") {
            return Err(fault(Undecodable::Algorithm));
        }
        let signed = token.get(..second).unwrap_or_default();
        let until = self
            .verifying
            .iter()
            .filter(|(_, until)| now < *until)
            .find(|(key, _)| hmac::verify(key, signed, &signature).is_ok())
            .map(|(_, until)| *until);
        Ok((payload, until.ok_or(fault(Undecodable::Signature))?))
    }

    /// Whoever runs the other server must hear that its clock is wrong: what it issues outlives the end of its user's tokens
    /// by as much. Once a minute is enough; nobody without the secret gets here.
    fn tell_ahead(&self, claimed_at: i64, now: i64) {
        let told = self.ahead_told.load(Ordering::Relaxed);
        let due = now.saturating_sub(told).saturating_abs() >= TELL_EVERY;
        let take = || {
            self.ahead_told
                .compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        if due && take() {
            tracing::warn!(
                ahead_seconds = claimed_at.saturating_sub(now.div_euclid(1000)),
                "a token says that it was issued in the future: set the clocks of this machine and of the Flask server"
            );
        }
    }

    fn judge<'a>(
        &self,
        (payload, until): &'a (Vec<u8>, i64),
        now: i64,
        blacklisted: Blacklist<'_>,
    ) -> Result<Judged<'a>, Fault> {
        let claims = Claims::parse(payload)?;
        let claimed_at = claims.integer("iat", Undecodable::IssuedAt)?.unwrap_or(0);
        // No clock is that wrong. When it was issued nobody knows: whatever ended tokens of the user ends it.
        let ahead = claimed_at.saturating_sub(AHEAD_AT_MOST) > now.div_euclid(1000);
        let issued_at = if ahead { 0 } else { claimed_at };
        if ahead {
            self.tell_ahead(claimed_at, now);
        }
        let from = match claims.integer("nbf", Undecodable::NotBefore)? {
            Some(date) => date.saturating_sub(self.leeway).saturating_mul(1000),
            None => i64::MIN,
        };
        if now < from {
            return Err(Fault::Undecodable(Undecodable::Immature));
        }
        if claims.has("aud") {
            return Err(Fault::Undecodable(Undecodable::Audience));
        }
        claims.require("jti", Claim::Jti)?;
        if blacklisted(&claims.token_id()) {
            return Err(Fault::Blacklisted);
        }
        claims.require("id", Claim::Id)?;
        claims.require("exp", Claim::Exp)?;
        claims.require("rf_exp", Claim::RfExp)?;
        // What is remembered of it holds as long as this does.
        let believed_from = claimed_at.saturating_sub(AHEAD_AT_MOST).saturating_mul(1000);
        let (from, until) = match ahead {
            true => (from, believed_from.min(*until)),
            false => (from.max(believed_from), *until),
        };
        Ok(Judged {
            claims,
            from,
            until,
            issued_at,
        })
    }
}

impl Judged<'_> {
    fn check(&self, good: bool, fault: Fault) -> Result<(), Fault> {
        if good { Ok(()) } else { Err(fault) }
    }

    fn must_not_be_mail(&self, purpose: Purpose) -> Result<(), Fault> {
        // That the claim is there is enough, whatever it says.
        self.check(!self.claims.has("is_ert"), Fault::MisusedRegistration(purpose))?;
        self.check(!self.claims.has("is_prt"), Fault::MisusedReset(purpose))
    }

    fn expires(&self) -> Result<Date, Fault> {
        self.claims.date("exp")
    }

    fn user(&self, null: Fault, nonsense: Fault) -> Result<UserId, Fault> {
        match self.claims.user() {
            Named::User(user) => Ok(user),
            Named::Null => Err(null),
            Named::Nonsense => Err(nonsense),
        }
    }

    fn person(&self, user: UserId, expires: Date) -> Person {
        Person {
            issuer: Issuer::Local,
            subject: user.to_string(),
            user: Some(user),
            name: String::new(),
            roles: Roles::default(),
            email: None,
            session: None,
            token_id: Some(self.claims.token_id()),
            issued_at: self.issued_at,
            expires_at: expires.floor(),
            credential: CredentialKind::Bearer,
            limit: None,
            subject_prefix: 0,
        }
    }
}

/// What Python says of a signature that has not the one spelling that is taken here: it passes over what is no base64url and
/// over trailing bits, and finds another signature. The token is refused in any case.
fn no_signature(part: &[u8], algorithm: Option<&str>) -> Undecodable {
    // PyJWT splits at the last dot.
    let part = part.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let is_of_it = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b'_');
    if part.iter().filter(is_of_it).count() % 4 == 1 {
        return Undecodable::CryptoPadding;
    }
    match algorithm {
        Some("HS256") => Undecodable::Signature,
        Some(_) | None => Undecodable::Algorithm,
    }
}

/// `alg` of a header, if it says one; `None`: it is no JSON object.
fn algorithm(header: &[u8]) -> Option<Option<String>> {
    let header = Object::parse(std::str::from_utf8(header).ok()?).ok()?;
    Some(match header.get("alg") {
        Some(Json::Text(algorithm)) => Some(algorithm.clone().into_owned()),
        Some(_) | None => None,
    })
}
