//! What the commands share: where the configuration is, how a failure is told.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;

use super::Places;
use crate::config::{self, Loaded, Problems, Sources};
use crate::server::StartError;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage or configuration: exit status 2.
    Configuration(Problems),
    /// A configuration whose values are good and whose files, keys or routes are not: exit status 2.
    Unusable(Vec<StartError>),
    /// Wrong usage: exit status 2.
    Usage {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: String,
    },
    /// It failed while running: exit status 1.
    Run {
        /// What failed.
        what: String,
        /// Why.
        cause: String,
        /// What to do.
        hint: String,
    },
    /// The log has told it already; this exit status.
    Told(ExitCode),
}

impl Failure {
    /// A failure while running.
    pub fn run(what: impl Into<String>, cause: impl ToString, hint: impl Into<String>) -> Self {
        Self::Run {
            what: what.into(),
            cause: cause.to_string(),
            hint: hint.into(),
        }
    }

    /// Wrong usage.
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// The exit status.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) | Self::Unusable(_) | Self::Usage { .. } => ExitCode::from(2),
            Self::Run { .. } => ExitCode::from(1),
            Self::Told(code) => *code,
        }
    }

    /// Tells it in the log.
    pub fn tell(&self) {
        match self {
            Self::Configuration(problems) => {
                for problem in problems.0.iter() {
                    tracing::error!(%problem, "configuration");
                }
            }
            Self::Unusable(problems) => {
                for StartError { what, cause, hint } in problems {
                    tracing::error!(cause, hint, "{what}");
                }
            }
            Self::Usage { what, hint } => tracing::error!(hint, "{what}"),
            Self::Run { what, cause, hint } => tracing::error!(cause, hint, "{what}"),
            Self::Told(_) => {}
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::run(error.what, error.cause, error.hint)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::run("the system refused", error, "see the cause")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(problems) => problems.fmt(formatter),
            Self::Unusable(problems) => {
                for (index, StartError { what, cause, hint }) in problems.iter().enumerate() {
                    let between = if index > 0 { "\n" } else { "" };
                    write!(formatter, "{between}error: {what}\ncause: {cause}\nhint: {hint}")?;
                }
                Ok(())
            }
            Self::Usage { what, hint } => write!(formatter, "error: {what}\nhint: {hint}"),
            Self::Run { what, cause, hint } => write!(formatter, "error: {what}\ncause: {cause}\nhint: {hint}"),
            Self::Told(_) => Ok(()),
        }
    }
}

/// The environment of this process. Variables that are not UTF-8 are none of ours: all of ours hold text.
pub fn environment() -> BTreeMap<String, String> {
    let variables = std::env::vars_os();
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Places {
    /// Where the configuration comes from: these files, the environment, the data folder.
    pub fn sources(&self) -> Sources {
        let sources = Sources {
            files: self.config.clone(),
            env: environment(),
            data_dir: self.data_dir.clone(),
            inline: None,
        };
        sources.or_default_file()
    }

    /// Reads the configuration.
    pub fn read(&self) -> Result<Loaded, Failure> {
        config::load(&self.sources()).map_err(Failure::Configuration)
    }

    /// Reads the configuration; warnings go to standard error.
    pub fn load(&self) -> Result<Loaded, Failure> {
        let loaded = self.read()?;
        for warning in &loaded.warnings {
            eprintln!("{warning}");
        }
        Ok(loaded)
    }
}
