//! What an error of PostgreSQL means to us.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use super::super::Error;

/// An error, and what it says about the connection it came over.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the caller is told.
    pub(super) error: Error,
    /// The connection, and its neighbours in the pool, are of no more use.
    pub(super) lost: bool,
    /// SQLSTATE, where the server spoke.
    pub(super) state: Option<SqlState>,
    /// The column or constraint the server named.
    pub(super) place: Option<String>,
}

impl Failure {
    /// A deadline of ours ran out: nobody knows what the connection will bring next.
    pub(super) fn silent(what: &str) -> Self {
        let error = Error::Unavailable(format!("{what} took too long"));
        Self {
            error,
            lost: true,
            state: None,
            place: None,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(server) = error.as_db_error() else {
            // Not from the server: the connection, or a value that does not fit its Rust type.
            let lost = error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>());
            let text = match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            let error = if lost {
                Error::Unavailable(text)
            } else {
                Error::Refused(text)
            };
            return Self {
                error,
                lost,
                state: None,
                place: None,
            };
        };
        let state = server.code().clone();
        // Never the detail: it quotes values.
        let text = format!("{} ({})", server.message(), state.code());
        let (error, lost) = judge(&state, text);
        let place = server.column().or(server.constraint()).map(str::to_owned);
        Self {
            error,
            lost,
            state: Some(state),
            place,
        }
    }
}

fn judge(state: &SqlState, text: String) -> (Error, bool) {
    let code = state.code();
    // 08: connection; 57P: shutdown, crash, starting up; 25006: the server has become a replica; 53: no resources left;
    // 28, 3D: the door is shut, which an administrator may be about to mend.
    let lost = ["08", "57P", "25006"].iter().any(|prefix| code.starts_with(prefix));
    let unavailable = lost
        || ["53", "28", "3D", "40", "55P03", "57014"]
            .iter()
            .any(|prefix| code.starts_with(prefix));
    if unavailable {
        return (Error::Unavailable(text), lost);
    }
    if [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::UNDEFINED_FUNCTION,
    ]
    .contains(state)
    {
        return (Error::Schema(format!("{text}; run `doorward migrate`")), false);
    }
    (Error::Refused(text), false)
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<Error> for Failure {
    /// A judgement of our own: the connection is as good as before.
    fn from(error: Error) -> Self {
        Self {
            error,
            lost: false,
            state: None,
            place: None,
        }
    }
}
