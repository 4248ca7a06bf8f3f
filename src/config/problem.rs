//! What is wrong with a configuration, so that a person can mend it: where, what was found, what is accepted.

use std::fmt;
use std::path::PathBuf;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and is likely not what was meant.
    Warning,
}

/// One thing that is wrong. Its texts never hold the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file the value comes from.
    pub file: Option<PathBuf>,
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// The column in the line, in characters, from 1.
    pub column: Option<usize>,
    /// The environment variable (or command line option) the value comes from.
    pub variable: Option<String>,
    /// The key, for example `routes[2].path`; empty where a whole file is meant.
    pub key: String,
    /// What was found there.
    pub found: String,
    /// What is accepted; with a warning, what will happen.
    pub accepted: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// `config/doorward.toml:12:8: routes[0].path: found "orders", accepted: a path that starts with "/"`, with the severity in
/// front and the hint on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        })?;
        if let Some(file) = &self.file {
            write!(formatter, "{}", file.display())?;
            for number in [self.line, self.column].into_iter().flatten() {
                write!(formatter, ":{number}")?;
            }
            formatter.write_str(": ")?;
        } else if let Some(variable) = &self.variable {
            write!(formatter, "{variable}: ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        match self.severity {
            Severity::Error => write!(formatter, "found {}, accepted: {}", self.found, self.accepted)?,
            Severity::Warning => write!(formatter, "found {}: {}", self.found, self.accepted)?,
        }
        match &self.hint {
            Some(hint) => write!(formatter, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, in the order of the files and lines: at least one error, and the
/// warnings too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Sorts by file, line and column, so that a person can go through the file once; what has no place comes last.
    /// Problems of one place keep their order.
    pub(super) fn sorted(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|one, other| {
            let place = |problem: &Problem| (problem.line.unwrap_or(usize::MAX), problem.column.unwrap_or(usize::MAX));
            let files = (one.file.is_none(), &one.file).cmp(&(other.file.is_none(), &other.file));
            files.then_with(|| place(one).cmp(&place(other)))
        });
        Self(problems)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            problem.fmt(formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
