//! What a token is worth, for servers that ask instead of reading it (RFC 7662), and its end by whoever holds it (RFC 7009).

use serde_json::Value;

use crate::authn::api_key;
use crate::principal::{Issuer, Person, Roles, SessionId};
use crate::revocation::plain_roles;
use crate::store::{Session, User};
use crate::token::{self, Judgement, Presented, Verifier};

use super::sessions::lives;
use super::{Accounts, Caller, Error, audit};

/// A token that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// What it is.
    pub kind: TokenKind,
    /// `sub`.
    pub subject: String,
    /// The name of its user.
    pub username: String,
    /// The roles it gives at this moment; a refresh token gives none.
    pub roles: Option<Roles>,
    /// `iat`, in Unix seconds.
    pub issued_at: i64,
    /// `exp`, in Unix seconds; `None`: it has no end of its own.
    pub expires_at: Option<i64>,
    /// `aud`.
    pub audience: Option<Value>,
    /// `jti`.
    pub token_id: Option<String>,
    /// `sid`.
    pub session: Option<SessionId>,
}

/// The kinds of tokens that are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// An access token.
    Access,
    /// A refresh token: for us alone, nobody else may take it for a credential.
    Refresh,
    /// An API key.
    ApiKey,
}

impl Accounts {
    /// What a token of ours says, if it counts at this moment; another issuer's tokens are not ours to judge.
    pub async fn introspect(&self, verifier: &Verifier, text: &str) -> Result<Option<Active>, Error> {
        let now = self.clock.unix_millis();
        if api_key::looks_like_api_key(text) {
            return self.introspect_key(verifier, text, now).await;
        }
        if let Some(presented) = Presented::parse(text) {
            return self.introspect_refresh(verifier, &presented, now).await;
        }
        let inspection = token::inspect(verifier, text, now);
        let Ok(verified) = inspection.verdict else {
            return Ok(None);
        };
        if verified.person.issuer != Issuer::Local {
            return Ok(None);
        }
        let person = match verified.in_force(&self.revocations) {
            Err(token::Error::NotIdentified(user)) => {
                let found = self.books.ask("user", self.books.store().user(user)).await?;
                let Some(user) = found else { return Ok(None) };
                self.revocations.learn(&user, &self.settings.admin_role, now);
                verified.in_force(&self.revocations)
            }
            known => known,
        };
        let Ok(person) = person else { return Ok(None) };
        let audience = inspection.claims.as_ref().and_then(|claims| claims.get("aud")).cloned();
        Ok(Some(Active {
            audience,
            ..Active::of_access(&person)
        }))
    }

    /// Ends what a token stands for: an access or refresh token ends its session, an API key is revoked. Whoever holds it
    /// has shown that they may; nothing is told about a token that is not known. The name of the key, if it was one.
    pub async fn revoke_token(
        &self,
        verifier: &Verifier,
        text: &str,
        caller: &Caller,
    ) -> Result<Option<String>, Error> {
        let now = self.clock.unix_millis();
        if let Some(shown) = api_key::read(text) {
            let found = self.books.ask("api_key", self.books.store().api_key(&shown.id)).await?;
            let known = found.filter(|(key, _)| same(&key.hash, &shown.hash));
            let Some((key, _)) = known else { return Ok(None) };
            let revoked = self.books.store().revoke_api_key(&key.id, Some(key.user), now);
            if self.books.ask("revoke_api_key", revoked).await? {
                audit::token_revoked("api_key", &key.id, caller.address);
            }
            return Ok(Some(key.id));
        }
        if let Some(presented) = Presented::parse(text) {
            let session = self.books.store().session(presented.session);
            if let Some(session) = self.books.ask("session", session).await?
                && token::judge(&session, &presented, now) != Judgement::Forged
                && lives(&session, now)
            {
                self.end_session(session.id, now).await?;
                audit::token_revoked("refresh_token", &session.id.to_string(), caller.address);
            }
            return Ok(None);
        }
        let verified = verifier.verify(text.as_bytes(), now).ok();
        let person = verified.map(|verified| verified.person);
        let person = person.filter(|person| person.issuer == Issuer::Local);
        if let Some(session) = person.as_ref().and_then(|person| person.session) {
            self.end_session(session, now).await?;
            audit::token_revoked("access_token", &session.to_string(), caller.address);
        } else if let Some(praetorian) = &self.praetorian
            && let Some((id, ends)) = praetorian.revocable(text.as_bytes(), now)
        {
            // Good for access, expired but good for a refresh, or from a mail.
            self.revoke_stateless(&id, ends).await?;
            audit::token_revoked("access_token", &id, caller.address);
        }
        Ok(None)
    }

    async fn introspect_key(&self, verifier: &Verifier, text: &str, now: i64) -> Result<Option<Active>, Error> {
        let Some(shown) = api_key::read(text) else {
            return Ok(None);
        };
        let found = self.books.ask("api_key", self.books.store().api_key(&shown.id)).await?;
        let Some((key, Some(owner))) = found else {
            return Ok(None);
        };
        let lives = key.revoked_at.is_none() && key.expires_at.is_none_or(|end| now < end);
        if !lives || !owner.active || !same(&key.hash, &shown.hash) {
            return Ok(None);
        }
        let limit = key.roles.as_deref().map(Roles::from_column);
        let roles = plain_roles(&owner, &self.settings.admin_role).within(limit.as_ref());
        Ok(Some(Active {
            kind: TokenKind::ApiKey,
            subject: owner.id.to_string(),
            username: owner.username,
            roles: Some(roles),
            issued_at: key.created_at.div_euclid(1000),
            expires_at: key.expires_at.map(|end| end.div_euclid(1000)),
            audience: Some(verifier.issuer().into()),
            token_id: Some(key.id),
            session: None,
        }))
    }

    async fn introspect_refresh(
        &self,
        verifier: &Verifier,
        presented: &Presented,
        now: i64,
    ) -> Result<Option<Active>, Error> {
        let session = self.books.store().session(presented.session);
        let Some(session) = self.books.ask("session", session).await? else {
            return Ok(None);
        };
        // One that was spent a moment ago still gives its successor.
        let counts = match token::judge(&session, presented, now) {
            Judgement::Rotate | Judgement::Repeat => true,
            Judgement::Reused | Judgement::TooOld | Judgement::Forged | Judgement::Ended | Judgement::Expired => false,
        };
        let user = self.books.ask("user", self.books.store().user(session.user)).await?;
        let user = user.filter(|user| counts && user.active);
        Ok(user.map(|user| Active::of_refresh(&session, user, verifier.issuer())))
    }
}

impl Active {
    fn of_access(person: &Person) -> Self {
        Self {
            kind: TokenKind::Access,
            subject: person.subject.clone(),
            username: person.name.clone(),
            roles: Some(person.roles.clone()),
            issued_at: person.issued_at,
            expires_at: Some(person.expires_at),
            audience: None,
            token_id: person.token_id.clone(),
            session: person.session,
        }
    }

    fn of_refresh(session: &Session, user: User, issuer: &str) -> Self {
        Self {
            kind: TokenKind::Refresh,
            subject: user.id.to_string(),
            username: user.username,
            roles: None,
            issued_at: session.rotated_at.unwrap_or(session.created_at).div_euclid(1000),
            expires_at: Some(session.expires_at.min(session.idle_until).div_euclid(1000)),
            audience: Some(issuer.into()),
            token_id: None,
            session: Some(session.id),
        }
    }
}

fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}
