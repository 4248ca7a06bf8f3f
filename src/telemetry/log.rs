//! Log lines: a bounded queue to one writer. Lines that find it full are dropped and counted; audit events wait.

use std::io::Write;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::writer::MakeWriterExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use super::Settings;

/// Lines (or batches of access lines) that may wait for the writer.
const QUEUE: usize = 8_192;

/// The running writer. Dropping it writes what is left.
#[derive(Debug)]
pub struct Logging {
    lines: NonBlocking,
    dropped: ErrorCounter,
    _guard: WorkerGuard,
}

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
#[error("logging is already running in this process")]
pub struct LoggingError;

/// Starts logging to standard error for the whole process.
pub fn start(settings: &Settings) -> Result<Logging, LoggingError> {
    let (lines, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE)
        .finish(std::io::stderr());
    let dropped = lines.error_counter();
    // Audit events are rare and must not be lost: they are written by whoever has one, on the spot.
    let audit = std::io::stderr.with_filter(|metadata| metadata.target() == "doorward::audit");
    let other = lines
        .clone()
        .with_filter(|metadata| metadata.target() != "doorward::audit");
    let layer = fmt::layer()
        .with_ansi(false)
        .with_target(true)
        .with_writer(audit.and(other))
        .with_filter(LevelFilter::from_level(settings.level));
    tracing::subscriber::set_global_default(Registry::default().with(layer)).map_err(|_| LoggingError)?;
    Ok(Logging {
        lines,
        dropped,
        _guard: guard,
    })
}

impl Logging {
    /// Hands a batch of finished access lines to the writer.
    pub fn write(&self, batch: &[u8]) {
        // Only ever full, which the counter tells.
        self.lines.clone().write_all(batch).ok();
    }

    /// How many lines or batches were dropped.
    pub fn dropped(&self) -> u64 {
        u64::try_from(self.dropped.dropped_lines()).unwrap_or(u64::MAX)
    }

    /// How long a clean end may take to write what is left.
    pub const PATIENCE: Duration = Duration::from_secs(1);
}
