//! Why an upstream gave no answer: whose fault it is, and whether the request may be sent again.

use std::fmt;
use std::sync::Arc;

use super::connection::Cause;

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// An exchange with an upstream that failed.
#[derive(Clone, Debug)]
pub struct Error {
    /// What went wrong.
    pub kind: Kind,
    /// Whether a server may have seen the request: if not, sending it again is safe for every method; if so, only for
    /// idempotent ones (RFC 9110 section 9.2.2).
    pub started: bool,
    context: String,
    source: Option<Source>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No server could be connected to.
    Connect,
    /// A connection was not made in time (then not `started`), or the response's head did not come in time.
    Timeout,
    /// Too many exchanges are under way, and none ended in time.
    Busy,
    /// The connection broke off.
    Broken,
    /// What came back is not HTTP, or nothing that can be passed on.
    Protocol,
    /// The body of the request failed; its own error is the source.
    RequestBody,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Who sends the request.
    Client,
    /// The server behind us.
    Upstream,
    /// A limit of ours.
    Gateway,
}

impl Error {
    pub(super) fn new(kind: Kind, started: bool, context: impl Into<String>) -> Self {
        Self {
            kind,
            started,
            context: context.into(),
            source: None,
        }
    }

    pub(super) fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    pub(super) fn caused_by_shared(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// What the client on the wire says about an exchange that was begun.
    pub(super) fn of_exchange(error: Cause, server: &super::Peer) -> Self {
        if error.is_request_body() {
            return Self::new(Kind::RequestBody, true, "the request's body failed").caused_by(error);
        }
        let (kind, what) = if error.is_invalid() {
            (Kind::Protocol, "sent no valid HTTP")
        } else {
            (Kind::Broken, "broke the connection off")
        };
        Self::new(kind, true, format!("{server} {what}")).caused_by(error)
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self.kind {
            Kind::Connect | Kind::Timeout | Kind::Broken | Kind::Protocol => Fault::Upstream,
            Kind::Busy => Fault::Gateway,
            Kind::RequestBody => Fault::Client,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.context)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}
