//! The office: the runtime for everything that waits for something else than a client or an upstream: the store, mail,
//! key fetches, health checks, reload, the admin listener. Workers hand jobs over and never run them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Calls that may be under way or waiting at once. A caller beyond it is told so at once: a store that hangs must not
/// pile up requests without bound.
const CALLS: usize = 4096;

/// The runtime itself, owned by `main` (or a test) so that it outlives every handle.
pub struct OfficeRuntime {
    runtime: Runtime,
    office: Office,
}

impl OfficeRuntime {
    /// Starts the threads.
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("office")
            .enable_all()
            .build()?;
        let office = Office {
            handle: runtime.handle().clone(),
            calls: Arc::new(Semaphore::new(CALLS)),
        };
        Ok(Self { runtime, office })
    }

    /// A handle for the workers.
    pub fn office(&self) -> Office {
        self.office.clone()
    }

    /// Runs a future on the calling thread, inside the office.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Ends the office: what still runs after `patience` is left behind.
    pub fn stop(self, patience: Duration) {
        self.runtime.shutdown_timeout(patience);
    }
}

/// A way to have something done in the office.
#[derive(Clone, Debug)]
pub struct Office {
    handle: Handle,
    calls: Arc<Semaphore>,
}

/// Why a call gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Too many calls are under way.
    #[error("the office is full: {CALLS} calls are under way")]
    Full,
    /// The deadline passed; the job goes on without its caller.
    #[error("no answer within the deadline")]
    Deadline,
    /// The job ended without an answer (the office is stopping, or the job broke).
    #[error("the call was broken off")]
    Broken,
}

impl Office {
    /// Has a job done and waits for it at most until `deadline` from now. A caller that goes away, or is out of
    /// patience, does not cancel the job: what a store has begun is seen through.
    pub async fn call<T, F>(&self, deadline: Duration, job: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let permit = Arc::clone(&self.calls)
            .try_acquire_owned()
            .map_err(|_| CallError::Full)?;
        let running = self.handle.spawn(async move {
            let result = job.await;
            drop(permit);
            result
        });
        match tokio::time::timeout(deadline, running).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(CallError::Broken),
            Err(_) => Err(CallError::Deadline),
        }
    }

    /// Starts something that goes on by itself. Whoever starts it keeps the handle and awaits it at shutdown.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_answered_from_another_runtime_and_goes_on_without_its_caller() {
        let office = OfficeRuntime::start().unwrap();
        let handle = office.office();
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        let (done, was_done) = tokio::sync::oneshot::channel::<()>();
        let worker = Builder::new_current_thread().enable_all().build().unwrap();
        worker.block_on(async {
            assert_eq!(handle.call(Duration::from_secs(5), async { 7 }).await, Ok(7));
            let late = handle.call(Duration::from_millis(1), async move {
                finished.await.ok();
                done.send(()).ok();
            });
            assert_eq!(late.await, Err(CallError::Deadline));
            finish.send(()).unwrap();
            was_done.await.unwrap();
        });
        office.stop(Duration::from_secs(1));
    }
}
