//! `[log]`.

/// What is logged, and how; with only valid values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The least severe lines that are written.
    pub level: tracing::Level,
    /// Whether each request writes a line.
    pub access: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: tracing::Level::INFO,
            access: true,
        }
    }
}
