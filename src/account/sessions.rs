//! Sessions as their owners see them: which there are, and that one of them ends.

use crate::principal::{CredentialKind, Issuer, Person, SessionId, UserId};
use crate::store::Session;

use super::{Accounts, Caller, Error, audit};

impl Accounts {
    /// The living sessions of a person, newest first.
    pub async fn sessions(&self, person: &Person) -> Result<Vec<Session>, Error> {
        let (user, now) = (in_person(person)?, self.clock.unix_millis());
        let sessions = self.books.store().sessions_of(user, now);
        self.books.ask("sessions_of", sessions).await
    }

    /// Ends one of a person's own sessions. Another's is as unknown as one that never was.
    pub async fn end_own_session(&self, person: &Person, session: SessionId, caller: &Caller) -> Result<(), Error> {
        let user = in_person(person)?;
        let found = self.books.ask("session", self.books.store().session(session)).await?;
        let now = self.clock.unix_millis();
        if !found.is_some_and(|found| found.user == user && lives(&found, now)) {
            return Err(Error::NoSuchSession);
        }
        self.end_session(session, now).await?;
        audit::session_ended(person, session, caller.address);
        Ok(())
    }
}

/// Whether a session can still be used.
pub(super) fn lives(session: &Session, now: i64) -> bool {
    session.revoked_at.is_none() && now < session.expires_at && now < session.idle_until
}

/// The user behind a credential that only a login gives. A machine's key or a ticket that stood in a URL must not be enough
/// to change who may come in, and another issuer's people have no account here.
pub(super) fn in_person(person: &Person) -> Result<UserId, Error> {
    match person.credential {
        CredentialKind::Bearer | CredentialKind::Session => local(person),
        CredentialKind::ExternalBearer | CredentialKind::ApiKey | CredentialKind::Ticket => {
            Err(Error::CredentialNotAllowed)
        }
    }
}

/// The user of ours that a person is.
pub(super) fn local(person: &Person) -> Result<UserId, Error> {
    match (&person.issuer, person.user) {
        (Issuer::Local, Some(user)) => Ok(user),
        (Issuer::Local, None) | (Issuer::External(_), _) => Err(Error::CredentialNotAllowed),
    }
}
