//! Log lines: queues to one writer, which nobody waits for.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use super::events::Documents;
use super::queue::Queue;
use super::{Format, Settings};

/// The target of audit events.
pub(super) const AUDIT: &str = "doorward::audit";

/// The running writer. Dropping it writes what is left.
#[derive(Debug)]
pub struct Logging {
    queue: Queue,
    format: Format,
}

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// Something logs already.
    #[error("logging is already running in this process")]
    Running,
    /// There is no thread for the writer.
    #[error("the writer of the log has no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Starts logging to standard error for the whole process.
pub fn start(settings: &Settings) -> Result<Logging, LoggingError> {
    let queue = Queue::start(std::io::stderr())?;
    let layer = fmt::layer()
        .with_ansi(false)
        .with_target(true)
        .with_writer(queue.clone());
    let layer = match settings.format {
        Format::Text => layer.boxed(),
        Format::Json => layer.event_format(Documents).boxed(),
    };
    let layer = layer.with_filter(LevelFilter::from_level(settings.level));
    tracing::subscriber::set_global_default(Registry::default().with(layer)).map_err(|_| LoggingError::Running)?;
    tell_panics();
    Ok(Logging {
        queue,
        format: settings.format,
    })
}

/// A panic is a line of the log as all others are: its own words would be no document, and would wait for whoever reads them.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(tracing::field::display);
        // Taken where RUST_BACKTRACE asks for one.
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(
            error = panic.payload_as_str().unwrap_or("it gave no words"),
            place,
            backtrace,
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
        self.queue.add(batch, false);
    }

    /// How many lines were dropped.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// How long the end waits for what is left to be written.
    const PATIENCE: Duration = Duration::from_secs(3);
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.queue.flush(Self::PATIENCE);
    }
}
