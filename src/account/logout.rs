//! Logout: a session ends, and with it every token of it.

use std::net::IpAddr;

use crate::principal::{CredentialKind, Issuer, Person, SessionId};

use super::{Accounts, Error, audit};

impl Accounts {
    /// Ends the session that a person's credential belongs to. When this has answered, the end is durable, this replica
    /// refuses the session's tokens, and the others are about to hear of it.
    pub async fn logout(&self, person: &Person, client: IpAddr) -> Result<(), Error> {
        self.logout_showing(person, None, client).await
    }

    /// The same, where the token that was shown is at hand.
    pub async fn logout_showing(&self, person: &Person, token: Option<&[u8]>, client: IpAddr) -> Result<(), Error> {
        // It stood in a URL: whoever saw that must not be able to end the session.
        if person.credential == CredentialKind::Ticket {
            return Err(Error::CredentialNotAllowed);
        }
        let session = match (&person.issuer, person.session) {
            (Issuer::Local, Some(session)) => session,
            (Issuer::Local, None) if person.credential == CredentialKind::Bearer => {
                return self.end_stateless(person, token, client).await;
            }
            (Issuer::Local, None) | (Issuer::External(_), _) => return Err(Error::NoSession),
        };
        self.end_session(session, self.clock.unix_millis()).await?;
        audit::logged_out(person, session, client);
        Ok(())
    }

    pub(super) async fn end_session(&self, session: SessionId, now: i64) -> Result<(), Error> {
        let until = self.lives.remember_until(now);
        let ended = self.books.store().end_session(session, now, until);
        // False: it had ended before, which is as good.
        self.books.ask("end_session", ended).await?;
        self.revocations.end_session_now(session, until);
        Ok(())
    }
}
