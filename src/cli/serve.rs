//! `doorward serve`: the gateway as configured, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Places};
use crate::clock::Clock;
use crate::config::{Config, Sources};
use crate::office::OfficeRuntime;
use crate::server::Server;
use crate::telemetry::{self, Logging};

/// How often figures are taken that nobody counts as they change.
const FIGURES: Duration = Duration::from_secs(5);

/// Runs it.
pub fn run(places: &Places) -> Result<(), Failure> {
    let sources = places.sources();
    let config = places.load()?.config;
    let logging = start_logging(&config)?;
    let office = OfficeRuntime::start()?;
    let result = office.block_on(async {
        let server = Server::start(config, office.office(), Some(logging), Clock::system()).await?;
        announce(&server);
        until_told(server, &sources).await
    });
    office.stop(Duration::from_secs(2));
    result
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

/// Serves until SIGTERM or SIGINT; SIGHUP reloads.
pub async fn until_told(mut server: Server, sources: &Sources) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut figures = tokio::time::interval(FIGURES);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                server.reload(sources);
            }
            _ = figures.tick() => server.tell_figures(),
        }
    }
    let finished = server.stop().await;
    tracing::info!(finished, "stopped");
    Ok(())
}
