//! What long-lived streams stand on: whether sessions and API keys live, many at once.

use super::Answer;
use crate::principal::SessionId;

/// What keeps a stream open once it is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lasting {
    /// A session.
    Session(SessionId),
    /// An API key, by its public name.
    ApiKey(String),
}

/// Of a session or a key that lives (Unix milliseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it ends whatever happens; `i64::MAX`: never by itself.
    pub ends: i64,
    /// When it ends unless it is used before: then the store must be asked again.
    pub ask_at: i64,
}

/// Whether what streams stand on still lives.
pub trait Lives: Send + Sync {
    /// Those of them that live at `now`. Who is not in the answer is gone, was ended, is past its time, or belongs to a user
    /// who may not come in any more.
    fn lives<'a>(&'a self, asked: &'a [Lasting], now: i64) -> Answer<'a, Vec<(Lasting, Life)>>;
}

/// The sessions and the keys among them.
pub(super) fn apart(asked: &[Lasting]) -> (Vec<SessionId>, Vec<String>) {
    let (mut sessions, mut keys) = (Vec::new(), Vec::new());
    for lasting in asked {
        match lasting {
            Lasting::Session(id) => sessions.push(*id),
            Lasting::ApiKey(id) => keys.push(id.clone()),
        }
    }
    (sessions, keys)
}
