//! The way to the store: every call is counted by operation and result, every failure becomes our own.

use std::future::Future;
use std::sync::Arc;

use crate::store::{self, Store};
use crate::telemetry::{Metrics, StoreResult};

use super::Error;

/// The store, with somebody who counts.
#[derive(Clone)]
pub(super) struct Books {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl Books {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The store, for whoever does not count.
    pub(super) fn shared(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Waits for an answer of the store and counts it.
    pub(super) async fn ask<T>(
        &self,
        operation: &'static str,
        answer: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<T, Error> {
        self.count(operation, answer.await)
    }

    /// Counts an answer that somebody else waited for.
    pub(super) fn count<T>(&self, operation: &'static str, answer: Result<T, store::Error>) -> Result<T, Error> {
        let result = match &answer {
            Ok(_) => StoreResult::Ok,
            Err(store::Error::Unavailable(_)) => StoreResult::Unavailable,
            Err(store::Error::Schema(_) | store::Error::Refused(_)) => StoreResult::Error,
        };
        self.metrics.store_request(operation, result);
        answer.map_err(Error::from)
    }
}
