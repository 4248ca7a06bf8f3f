//! Decisions that explain themselves: what admission saw on its way, what a backend would get, as data, as text for people
//! and as JSON for machines. No IO, no clock: who explains brings everything along.

mod address;
mod again;
mod condition;
mod decision;
mod recorded;
mod replay;
mod test;
mod text;
mod trace;

use serde::Serialize;

pub use address::{Address, InvalidAddress};
pub use condition::{Condition, RoleHeld};
pub use decision::Decision;
pub use recorded::{Recorded, Unreadable};
pub use replay::{Changes, Ground, Home, Moved, Settled};
pub use test::{Expect, Failed, PolicyTest, made_up, shows};
pub use trace::{Fall, Place, Reading, Rival, Trace, Who};

/// What logs and figures call our own URLs, as they name routes.
const GATEWAY: &str = "(gateway)";

/// Everything there is to say about one request.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// What was asked.
    pub request: Asked,
    /// What became of it.
    pub decision: Decision,
    /// How it was decided; none where it is refused before any rule is asked.
    #[serde(flatten)]
    pub trace: Option<Trace>,
    /// What the backend gets.
    pub forwarding: Option<Forwarding>,
    /// What the gateway itself answers, as far as that is known before anybody has asked; none: what a backend answers, or
    /// one of our own URLs that has to look something up.
    pub answer: Option<Answered>,
    /// Where a browser is sent instead of being told.
    pub browser: Option<String>,
    /// What consumers of forward-auth are answered.
    pub forward_auth: Vec<Dialect>,
    /// What was assumed, or could not be found out.
    pub notes: Vec<String>,
}

/// A request as it was described.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// `https` or `http`.
    pub scheme: &'static str,
    /// The host, with its port.
    pub host: String,
    /// Path and query as received.
    pub target: String,
    /// The client's address.
    pub client: Option<String>,
}

/// What is sent on.
#[derive(Clone, Debug, Serialize)]
pub struct Forwarding {
    /// The upstream's name.
    pub upstream: String,
    /// Its servers.
    pub servers: Vec<String>,
    /// The target that the backend is asked for.
    pub target: String,
    /// Fields of the request that do not go on, or not as they were sent.
    pub stripped: Vec<Field>,
    /// Fields that the gateway adds or replaces.
    pub added: Vec<Field>,
    /// Fields that go on as they were sent.
    pub kept: Vec<Field>,
    /// Names that no client has a say in, in any spelling; a star stands for all that begins so.
    pub reserved: Vec<String>,
}

/// A header field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The value; none: it is a secret.
    pub value: Option<String>,
}

/// An answer of the gateway's own.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The fields that say something about this request; those of every answer are left out.
    pub fields: Vec<Field>,
}

/// The answer to one consumer of forward-auth.
#[derive(Clone, Debug, Serialize)]
pub struct Dialect {
    /// `nginx`, `traefik`, `caddy` or `envoy`.
    pub name: &'static str,
    /// The status.
    pub status: u16,
    /// The fields of the answer that say something to the consumer.
    pub fields: Vec<Field>,
}
