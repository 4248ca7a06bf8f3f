//! Tickets: for a WebSocket, an event stream or a download that cannot send headers.

use aws_lc_rs::rand::SecureRandom as _;

use crate::authn;
use crate::principal::{CredentialKind, Person};
use crate::secret::Secret;
use crate::store::Ticket;

use super::issue::no_randomness;
use super::sessions::{lives, local};
use super::{Accounts, Error};

/// How long a ticket waits to be used, in milliseconds: it stands in a URL, and URLs are written down everywhere.
const TICKET_LIFE: i64 = 30_000;

impl Accounts {
    /// A ticket that counts once where this person's credential does. What is opened with it ends when that credential does.
    pub async fn ticket(&self, person: &Person) -> Result<Secret<String>, Error> {
        let user = local(person)?;
        let now = self.clock.unix_millis();
        let not_after = self.ends_at(person, now).await?;
        let mut random = [0; 32];
        self.random.fill(&mut random).map_err(|_| no_randomness())?;
        let (text, hash) = authn::write_ticket(&random);
        let ticket = Ticket {
            hash,
            user,
            credential: person.credential,
            session: person.session,
            api_key: person
                .token_id
                .clone()
                .filter(|_| person.credential == CredentialKind::ApiKey),
            roles: person.limit.as_ref().map(crate::principal::Roles::to_column),
            not_after,
            expires_at: now.saturating_add(TICKET_LIFE),
        };
        self.books
            .ask("add_ticket", self.books.store().add_ticket(ticket))
            .await?;
        Ok(Secret::new(text))
    }

    /// When a credential ends. A cookie is renewed again and again, so it is its session that tells.
    async fn ends_at(&self, person: &Person, now: i64) -> Result<i64, Error> {
        let session = match (person.credential, person.session) {
            (CredentialKind::Bearer | CredentialKind::ApiKey, _) => return Ok(person.expires_at.saturating_mul(1000)),
            (CredentialKind::Session, Some(session)) => session,
            // A ticket for a ticket would be one that never ends.
            (CredentialKind::Session | CredentialKind::ExternalBearer | CredentialKind::Ticket, _) => {
                return Err(Error::CredentialNotAllowed);
            }
        };
        let found = self.books.ask("session", self.books.store().session(session)).await?;
        let found = found.filter(|found| lives(found, now)).ok_or(Error::NoSession)?;
        Ok(found.expires_at.min(found.idle_until))
    }
}
