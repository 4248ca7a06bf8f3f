//! `[mail]`.

use std::time::Duration;

use lettre::message::Mailbox;

use super::{Link, Templates};
use crate::secret::Secret;

/// Where mail goes and what it says; with only valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The server.
    pub server: Server,
    /// The sender.
    pub from: Mailbox,
    /// The subject of confirmations.
    pub subject: String,
    /// The subject of mails about a new password.
    pub subject_reset: String,
    /// Where a confirmation leads.
    pub confirmation: Link,
    /// Where a reset leads.
    pub reset: Link,
    /// The gateway as people call it, without a slash at its end.
    pub site: String,
    /// Where a new password is asked for.
    pub forgot: String,
    /// What the mails say.
    pub templates: Templates,
    /// How long the talk with the server may take, from connecting to its last word.
    pub timeout: Duration,
    /// How long to wait after a first failure; twice as long after each further one, an hour at most.
    pub retry: Duration,
    /// When a mail is given up.
    pub give_up: Duration,
}

/// A server that takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name or address; with TLS, what its certificate must bear.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is on the wire.
    pub security: Security,
    /// A name and a password to show there.
    pub login: Option<(String, Secret<String>)>,
}

/// What is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314 section 3.3).
    Tls,
    /// STARTTLS, which must succeed (RFC 3207).
    StartTls,
    /// Nothing: to this machine only.
    Plain,
}
