//! Log lines: a bounded queue to one writer. Lines that find it full are dropped and counted; audit events wait.

use std::io::Write;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::writer::MakeWriterExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use super::events::Documents;
use super::{Format, Settings};

/// The target of audit events.
pub(super) const AUDIT: &str = "doorward::audit";

/// Lines (or batches of access lines) that may wait for the writer.
const QUEUE: usize = 8_192;

/// The running writer. Dropping it writes what is left.
#[derive(Debug)]
pub struct Logging {
    lines: NonBlocking,
    dropped: ErrorCounter,
    format: Format,
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
    let audit = std::io::stderr.with_filter(|metadata| metadata.target() == AUDIT);
    let other = lines.clone().with_filter(|metadata| metadata.target() != AUDIT);
    let layer = fmt::layer()
        .with_ansi(false)
        .with_target(true)
        .with_writer(audit.and(other));
    let layer = match settings.format {
        Format::Text => layer.boxed(),
        Format::Json => layer.event_format(Documents).boxed(),
    };
    let layer = layer.with_filter(LevelFilter::from_level(settings.level));
    tracing::subscriber::set_global_default(Registry::default().with(layer)).map_err(|_| LoggingError)?;
    if settings.format == Format::Json {
        tell_panics();
    }
    Ok(Logging {
        lines,
        dropped,
        format: settings.format,
        _guard: guard,
    })
}

/// A panic's own words would be the only lines that are no documents.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(tracing::field::display);
        tracing::error!(
            error = panic.payload_as_str().unwrap_or("it gave no words"),
            place,
            thread = thread.name(),
            "a thread panicked"
        );
    }));
}

impl Logging {
    /// How lines are written.
    pub fn format(&self) -> Format {
        self.format
    }

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
