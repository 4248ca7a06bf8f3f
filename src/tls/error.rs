//! What is wrong with a certificate, a key or an authority.

use std::fmt;
use std::path::{Path, PathBuf};

/// Something a certificate, key or authority is not good for: which file, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    file: Option<PathBuf>,
    cause: String,
    hint: &'static str,
}

impl Error {
    pub(super) fn in_file(file: &Path, cause: impl ToString, hint: &'static str) -> Self {
        Self {
            file: Some(file.to_owned()),
            cause: cause.to_string(),
            hint,
        }
    }

    pub(super) fn new(cause: impl ToString, hint: &'static str) -> Self {
        Self {
            file: None,
            cause: cause.to_string(),
            hint,
        }
    }

    /// The file it is about, if it is about one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What is wrong.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        self.hint
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(formatter, "{}: ", file.display())?;
        }
        write!(formatter, "{}; {}", self.cause, self.hint)
    }
}

impl std::error::Error for Error {}
