//! Tokens of the praetorian format: there is no session behind them, so what they stand on is the row of their user alone.
//!
//! A change of the password, a deactivation or a revocation by name ends them as of a moment, and a token says in whole
//! seconds when it was issued. So none is issued in the very second in which the others were ended.

use std::net::IpAddr;
use std::time::Duration;

use crate::principal::{Person, UserId};
use crate::store::{Ban, User};
use crate::telemetry::RefreshResult;
use crate::token::praetorian::{Fault, Praetorian};

use super::issue::{MARGIN, unissued};
use super::{Accounts, Caller, Error, Tokens, audit};

/// How often it is looked whether the second of a cut is over: clocks of servers differ a little.
const LOOKS: usize = 4;

impl Accounts {
    /// Tokens of the praetorian format, where these are what is issued.
    pub(super) fn stateless(&self) -> Option<&Praetorian> {
        self.praetorian.as_ref().filter(|praetorian| praetorian.issues())
    }

    /// A token for a user whose password was just verified; `None`: the row holds another password by now, or is not active
    /// any more.
    pub(super) async fn issue_stateless(&self, praetorian: &Praetorian, user: &User) -> Result<Option<Tokens>, Error> {
        let Some((now, row)) = self.settled(user.id).await? else {
            return Ok(None);
        };
        if !row.active || row.password != user.password {
            return Ok(None);
        }
        let access = praetorian.access(row.id, &row.roles, &self.random, now);
        let access = access.map_err(|error| unissued(&row, error))?;
        Ok(Some(Tokens::stateless(access)))
    }

    /// A fresh token in place of an expired one of the praetorian format: the same name, user and end, the roles of now. The
    /// old one can be refreshed again, until its end.
    /// Where such tokens are not issued any more, what a login gives, and not for longer than the old one could be refreshed.
    pub async fn refresh_praetorian(&self, token: &[u8], caller: impl Into<Caller>) -> Result<Tokens, Error> {
        let caller = caller.into();
        let client = caller.address;
        let outcome = self.try_refresh_praetorian(token, &caller).await;
        self.metrics.refresh(match &outcome {
            Ok(_) => RefreshResult::Success,
            Err(_) => RefreshResult::Failure,
        });
        if let Err(Error::Praetorian(fault)) = &outcome {
            tracing::debug!(%client, fault = fault.as_str(), "a token was not refreshed");
        }
        outcome
    }

    /// Whether this is a token of the praetorian format, good or not, and those count here.
    pub fn is_praetorian(&self, token: &[u8]) -> bool {
        let praetorian = self.praetorian.as_ref();
        praetorian.is_some_and(|praetorian| praetorian.looks_like_one(token))
    }

    async fn try_refresh_praetorian(&self, token: &[u8], caller: &Caller) -> Result<Tokens, Error> {
        let praetorian = self.praetorian.as_ref().ok_or(Error::InvalidGrant)?;
        if !self.revocations.ready() {
            return Err(Error::NotReady);
        }
        let refused = |fault| Err(Error::Praetorian(fault));
        let revoked = |id: &str| self.revocations.is_token_revoked(id);
        let old = praetorian.read_refreshable(token, self.clock.unix_millis(), &revoked);
        let old = old.map_err(Error::Praetorian)?;
        let found = match old.user {
            Some(user) => self.settled(user).await?,
            None => None,
        };
        match found {
            None => refused(Fault::MissingUser),
            Some((_, row)) if !row.active || row.cuts(old.issued_at) => refused(Fault::Inactive),
            Some((now, row)) if praetorian.issues() => {
                let access = praetorian.refreshed(&old, &row.roles, now);
                Ok(Tokens::stateless(access.map_err(|error| unissued(&row, error))?))
            }
            Some((_, row)) => {
                let until = old.refresh_until().saturating_mul(1000);
                let opened = self.open_session_until(&row, caller, until).await?;
                opened.ok_or(Error::Praetorian(Fault::Inactive))
            }
        }
    }

    /// Ends one token of the praetorian format, with all that may come of it by a refresh. When this has answered, the end is
    /// durable, this replica refuses it, and the others are about to hear of it.
    pub(super) async fn revoke_stateless(&self, id: &str, ends: i64) -> Result<(), Error> {
        let now = self.clock.unix_millis();
        let until = ends.saturating_mul(1000).max(now).saturating_add(MARGIN);
        let ban = Ban::of_ours(id);
        self.books.ask("ban", self.books.store().ban(&ban, now, until)).await?;
        self.revocations.revoke_token_now(id, until);
        Ok(())
    }

    /// Ends the token that a person has shown, if it is one without a session. `token`: that token, which says how long it can
    /// be refreshed where another server gives it longer than this one.
    pub(super) async fn end_stateless(
        &self,
        person: &Person,
        token: Option<&[u8]>,
        client: IpAddr,
    ) -> Result<(), Error> {
        let (Some(id), Some(praetorian)) = (&person.token_id, &self.praetorian) else {
            return Err(Error::NoSession);
        };
        let now = self.clock.unix_millis();
        let said = token.and_then(|token| praetorian.revocable(token, now));
        let said = said.filter(|(name, _)| name == id).map(|(_, ends)| ends);
        let ends = praetorian
            .ends(person.issued_at, person.expires_at)
            .max(said.unwrap_or(0));
        self.revoke_stateless(id, ends).await?;
        audit::token_revoked("access_token", id, client);
        Ok(())
    }

    /// The row of a user after every change of it that is under way, and a time at which a token can be issued that is younger
    /// than whatever ended the others.
    pub(super) async fn settled(&self, user: UserId) -> Result<Option<(i64, User)>, Error> {
        for _ in 0..LOOKS {
            // The time first: what changes the row after the look ends what is issued by it.
            let now = self.clock.unix_millis();
            let row = self.books.store().user_settled(user);
            let Some(row) = self.books.ask("user", row).await? else {
                return Ok(None);
            };
            let second = now.div_euclid(1000).saturating_mul(1000);
            if row.cut_at.is_none_or(|cut| second > cut) {
                return Ok(Some((now, row)));
            }
            let rest = u64::try_from(second.saturating_add(1000).saturating_sub(now)).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
        let why = "the clock of the store is seconds ahead of this server's";
        Err(Error::StoreUnavailable(why.to_owned()))
    }
}
