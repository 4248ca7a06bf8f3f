//! `doorward serve`: the gateway as configured, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::{Failure, Places};
use crate::clock::Clock;
use crate::config::{Config, Loaded, Problem, Sources};
use crate::office::OfficeRuntime;
use crate::server::{self, LOOK, Server};
use crate::telemetry::{self, Format, Logging};

/// How often figures are taken that nobody counts as they change.
const FIGURES: Duration = Duration::from_secs(5);

/// Runs it.
pub fn run(places: &Places) -> Result<(), Failure> {
    let sources = places.sources();
    let Loaded { config, warnings, .. } = places.read()?;
    // Held to the end: the server lets go of it before it is told that it has stopped.
    let logging = start_logging(&config)?;
    warn(&warnings, &logging);
    told(serve(&sources, config, &logging), &logging)
}

fn serve(sources: &Sources, config: Config, logging: &Arc<Logging>) -> Result<(), Failure> {
    let broken = server::broken(&config);
    if !broken.is_empty() {
        return Err(Failure::Unusable(broken));
    }
    let office = OfficeRuntime::start()?;
    let result = office.block_on(async {
        let signals = Signals::listen()?;
        let server = Server::start(config, office.office(), Some(Arc::clone(logging)), Clock::system()).await?;
        announce(&server);
        signals.obeyed_by(server, sources).await
    });
    office.stop(Duration::from_secs(2));
    result
}

/// Says what is allowed and likely not meant. In a log for programs that is a line as all others, as what follows is.
pub fn warn(warnings: &[Problem], logging: &Logging) {
    for warning in warnings {
        match logging.format() {
            Format::Text => eprintln!("{warning}"),
            Format::Json => tracing::warn!(%warning, "configuration"),
        }
    }
}

/// A failure goes into the log, where that is for programs: nothing stands beside its documents.
pub fn told(result: Result<(), Failure>, logging: &Logging) -> Result<(), Failure> {
    match (result, logging.format()) {
        (Err(failure), Format::Json) => {
            failure.tell();
            Err(Failure::Told(failure.exit_code()))
        }
        (result, Format::Text | Format::Json) => result,
    }
}

/// Starts logging as configured.
pub fn start_logging(config: &Config) -> Result<Arc<Logging>, Failure> {
    let started = telemetry::start_logging(&config.log);
    started
        .map(Arc::new)
        .map_err(|error| Failure::run("logging cannot be started", error, "run one gateway a process"))
}

fn announce(server: &Server) {
    for address in server.addresses() {
        tracing::info!(%address, "listening");
    }
    tracing::info!(address = %server.admin_address(), "metrics and health");
}

/// What the process is told by signals. Listen before anything starts: whoever sees that it runs may send one at once, and
/// one that nobody listens for ends the process on the spot.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Serves until SIGTERM or SIGINT; SIGHUP reloads, and so do certificates that change.
    pub async fn obeyed_by(mut self, mut server: Server, sources: &Sources) -> Result<(), Failure> {
        let mut figures = tokio::time::interval(FIGURES);
        let mut certificates = tokio::time::interval(LOOK);
        certificates.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => {
                    server.reload(sources);
                }
                _ = certificates.tick() => server.renew(),
                _ = figures.tick() => server.tell_figures(),
            }
        }
        let finished = server.stop().await;
        tracing::info!(finished, "stopped");
        Ok(())
    }
}
