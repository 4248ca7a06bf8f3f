//! What an error of PostgreSQL means to us.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use super::super::Error;

/// An error, and what it says about the connection it came over.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the caller is told.
    pub(super) error: Error,
    /// What is of no more use.
    pub(super) harm: Harm,
    /// SQLSTATE, where the server spoke.
    pub(super) state: Option<SqlState>,
    /// The column or constraint the server named.
    pub(super) place: Option<String>,
}

/// What an error leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// The connection is as good as before.
    None,
    /// Nobody knows what this connection will bring next.
    Connection,
    /// The server is away, or takes no more writes: so it is with the other connections in the pool.
    Server,
}

impl Failure {
    /// Why the table does not take a row, where it was the row's fault: a value that does not fit its column, a constraint,
    /// a trigger of somebody else's. No value is quoted.
    pub(super) fn refused_row(&self) -> Option<String> {
        let state = self.state.as_ref()?;
        let Error::Refused(text) = &self.error else {
            return None;
        };
        match state.code().get(..2) {
            // These name columns and constraints.
            Some("23") => Some(text.clone()),
            // These quote what was sent, from the first quotation mark to the last.
            Some("22") => Some(match (text.split_once('"'), text.rsplit_once('"')) {
                (Some((before, _)), Some((_, after))) => format!("{before}\"…\"{after}"),
                _ => text.clone(),
            }),
            // What a trigger says may hold anything.
            Some("P0") => Some(format!("a trigger of it objects ({})", state.code())),
            _ => None,
        }
    }

    /// A failure that we noticed, and the server said nothing about.
    pub(super) fn unavailable(text: impl Into<String>, harm: Harm) -> Self {
        Self::new(Error::Unavailable(text.into()), harm)
    }

    fn new(error: Error, harm: Harm) -> Self {
        Self {
            error,
            harm,
            state: None,
            place: None,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(server) = error.as_db_error() {
            let state = server.code().clone();
            // Never the detail: it quotes values.
            let (error, harm) = judge(&state, format!("{} ({})", server.message(), state.code()));
            let place = server.column().or(server.constraint()).map(str::to_owned);
            return Self {
                error,
                harm,
                state: Some(state),
                place,
            };
        }
        let text = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        if error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()) {
            Self::unavailable(text, Harm::Server)
        } else {
            // A value that does not fit its Rust type.
            Self::new(Error::Refused(text), Harm::None)
        }
    }
}

fn judge(state: &SqlState, text: String) -> (Error, Harm) {
    let starts_with = |prefixes: &[&str]| prefixes.iter().any(|prefix| state.code().starts_with(prefix));
    // Connection; shutdown, crash, starting up; a server that has become a replica.
    if starts_with(&["08", "57P", "25006"]) {
        return (Error::Unavailable(text), Harm::Server);
    }
    // No resources left; a door that is shut, which an administrator may be about to mend; conflicts with others.
    if starts_with(&["53", "28", "3D", "40", "55P03", "57014"]) {
        return (Error::Unavailable(text), Harm::None);
    }
    let missing = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::UNDEFINED_FUNCTION,
    ];
    if missing.contains(state) {
        return (Error::Schema(format!("{text}; run `doorward migrate`")), Harm::None);
    }
    (Error::Refused(text), Harm::None)
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<Error> for Failure {
    /// A judgement of our own, about what was read.
    fn from(error: Error) -> Self {
        Self::new(error, Harm::None)
    }
}
