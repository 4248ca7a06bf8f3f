//! Mail: what a message says and looks like, and how it gets to a server. Nothing here knows accounts or the outbox: whoever
//! sends has a kind, an address and a link.

mod backoff;
mod links;
mod message;
mod settings;
mod smtp;
mod spoken;
mod template;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use backoff::backoff;
pub use links::Link;
pub use message::{Facts, mailbox};
pub use settings::{Security, Server, Settings};
pub use smtp::Smtp;
pub use template::{Mistake, TEMPLATES, Templates};

/// A message on its way: the envelope and the bytes (RFC 5321 section 2.3.1).
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Sender and recipients.
    pub envelope: lettre::address::Envelope,
    /// Header and body, lines ending with CRLF.
    pub bytes: Vec<u8>,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// It may be taken later.
    #[error("{0}")]
    Later(String),
    /// This message will never be taken.
    #[error("{0}")]
    Never(String),
}

/// What a transport answers.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send + 'a>>;

/// The way to a mail server. Every step of it has a deadline.
pub trait Transport: Send + Sync {
    /// Hands a message over; when it answers with success, the server has taken it.
    fn deliver(&self, message: Outgoing) -> Delivery<'_>;
}

/// Messages and the way they go.
#[derive(Clone)]
pub struct Post {
    settings: Arc<Settings>,
    transport: Arc<dyn Transport>,
}

impl Post {
    /// With this transport.
    pub fn new(settings: Arc<Settings>, transport: Arc<dyn Transport>) -> Self {
        Self { settings, transport }
    }

    /// Over SMTP, as the settings say.
    pub fn over_smtp(settings: Settings) -> Result<Self, String> {
        let transport = Smtp::new(&settings)?;
        Ok(Self::new(Arc::new(settings), Arc::new(transport)))
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Writes a message and hands it over.
    pub async fn send(&self, facts: &Facts<'_>) -> Result<(), Undelivered> {
        let message = message::compose(&self.settings, facts).map_err(Undelivered::Never)?;
        self.transport
            .deliver(message)
            .await
            .map_err(|error| spoken::without_secrets(error, facts))
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Post")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
