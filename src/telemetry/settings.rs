//! `[log]`.

/// What is logged, and how; with only valid values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a line is written.
    pub format: Format,
    /// The least severe lines that are written.
    pub level: tracing::Level,
    /// Whether each request writes a line.
    pub access: bool,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one ECS document a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Text,
            level: tracing::Level::INFO,
            access: true,
        }
    }
}
