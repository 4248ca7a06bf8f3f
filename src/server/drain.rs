//! The end: no new connections, what runs may finish, what takes too long is cut.

use std::time::Duration;

use super::Server;
use crate::registry::GRACE;

impl Server {
    /// Stops the gateway and waits until it has stopped; true: everything had finished by itself.
    pub async fn stop(mut self) -> bool {
        // First `/readyz` says so and the listeners close, then connections are asked to finish.
        self.stop.send_replace(true);
        let patience = self.config.timeouts.drain;
        tracing::info!(
            connections = self.seats.taken(),
            patience_s = patience.as_secs(),
            "stopping"
        );
        for registry in &self.registries {
            registry.drain();
        }
        let accepting = self.accepting.take();
        let end = async {
            // Who waits in a queue gets a place first: until then, that all places are free says nothing.
            if let Some(accepting) = accepting {
                accepting.await.ok();
            }
            self.seats.all_free().await;
            // A mail under way is sent to its end, or it would be sent twice.
            if let Some(mails) = self.mails.take() {
                mails.await.ok();
            }
        };
        let finished = tokio::time::timeout(patience, end).await.is_ok();
        if !finished {
            tracing::warn!(connections = self.seats.taken(), "cutting what did not finish in time");
            for registry in &self.registries {
                registry.cut_all();
            }
            tokio::time::timeout(GRACE + Duration::from_secs(2), self.seats.all_free())
                .await
                .ok();
        }
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A thread that panicked has said so itself.
                thread.join().ok();
            }
        });
        tokio::time::timeout(Duration::from_secs(3), joined).await.ok();
        self.admin.stop();
        finished
    }
}
