//! The way to the server: a pool, a deadline for every call, and a breaker that answers at once while the server is away.
//!
//! Everything goes through PgBouncer in transaction mode, also an old one: statements are unnamed and carry the types of
//! their parameters, and every setting is `SET LOCAL`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::super::Error;
use super::connector::Connector;
use super::error::Failure;

/// Parameters with their types: without them the server would have to be asked first, in a statement with a name.
pub(super) type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// How long a call may take, all in all.
pub(super) const CALL: Duration = Duration::from_millis(1900);
/// How long the server may work on a statement: less than a call, so that a statement that waits for a lock is given up
/// there too, and is not taken for a server that is away.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 1500";
/// How often a server that is away is looked for, and how long that may take.
const PROBE_EVERY: Duration = Duration::from_millis(200);
const PROBE: Duration = Duration::from_secs(1);
/// Dead connections a call may meet before it gives up: the first one empties the pool.
const TRIES: u32 = 3;

/// The pool and its breaker.
pub(super) struct Link(Arc<Inner>);

struct Inner {
    pool: Pool,
    connector: Connector,
    runtime: Handle,
    /// Why calls are answered without the server; `None`: they are not.
    away: watch::Sender<Option<String>>,
}

impl Link {
    pub(super) fn new(connector: Connector, pool_size: usize) -> Result<Self, Error> {
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(connector.config.clone(), connector.tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(pool_size)
            .build()
            .map_err(|error| Error::Refused(format!("the pool of connections: {error}")))?;
        let runtime = Handle::try_current().map_err(|error| Error::Refused(error.to_string()))?;
        Ok(Self(Arc::new(Inner {
            pool,
            connector,
            runtime,
            away: watch::Sender::new(None),
        })))
    }

    /// Begins a transaction. It is rolled back, by ending its connection, if it is dropped before it is committed.
    pub(super) async fn begin(&self) -> Result<Work<'_>, Error> {
        let deadline = Instant::now() + CALL;
        let lease = self.guarded(deadline, self.lease(Opening::Begin)).await?.0;
        Ok(Work {
            link: self,
            lease,
            deadline,
        })
    }

    /// One statement that reads, in a transaction of its own and one round trip.
    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        let deadline = Instant::now() + CALL;
        let (lease, rows) = self.guarded(deadline, self.lease(Opening::Read(sql, params))).await?;
        lease.give_back();
        Ok(rows)
    }

    /// Connections in use and idle.
    pub(super) fn state(&self) -> (usize, usize) {
        let status = self.0.pool.status();
        (status.size.saturating_sub(status.available), status.available)
    }

    /// From now on calls are answered at once, until the server is found to be back.
    pub(super) fn trip(&self, why: &Error) {
        self.0.trip(why);
    }

    /// A connection over which the opening has succeeded. One that turns out dead is replaced and the opening sent again.
    async fn lease(&self, opening: Opening<'_>) -> Result<(Lease, Vec<Row>), Failure> {
        let mut tries = 0;
        loop {
            let lease = Lease(Some(self.0.pool.get().await.map_err(Failure::from)?));
            let outcome = match lease.client() {
                Ok(client) => opening.send(client).await.map_err(Failure::from),
                Err(failure) => Err(failure),
            };
            tries += 1;
            match outcome {
                Ok(value) => return Ok((lease, value)),
                Err(failure) if failure.lost && tries < TRIES => self.0.discard_idle(),
                Err(failure) => {
                    if !failure.lost {
                        // The statement was at fault; its transaction is over, the connection is not.
                        lease.end_transaction().await;
                    }
                    return Err(failure);
                }
            }
        }
    }

    /// Runs a part of a call: until its deadline, or until another call finds the server away.
    async fn guarded<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut away = self.0.away.subscribe();
        let opened = pin!(async move {
            match away.wait_for(Option::is_some).await {
                Ok(why) => why.clone().unwrap_or_default(),
                Err(_) => "it is being closed".to_owned(),
            }
        });
        let outcome = tokio::select! {
            biased;
            why = opened => {
                let error = Error::Unavailable(why);
                return Err(Failure { error, lost: true, state: None, place: None });
            }
            outcome = tokio::time::timeout_at(deadline, work) => outcome,
        };
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::silent("an answer")));
        if let Err(failure) = &outcome
            && failure.lost
        {
            self.0.discard_idle();
            self.0.trip(&failure.error);
        }
        outcome
    }
}

/// The first thing a call sends: harmless to send twice.
enum Opening<'a> {
    Begin,
    Read(&'a str, Params<'a>),
}

impl Opening<'_> {
    async fn send(&self, client: &tokio_postgres::Client) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self {
            Self::Begin => client.batch_execute(BEGIN).await.map(|()| Vec::new()),
            Self::Read(sql, params) => read(client, sql, params).await,
        }
    }
}

/// `BEGIN`, the statement and `COMMIT`, sent together.
pub(super) async fn read(
    client: &tokio_postgres::Client,
    sql: &str,
    params: Params<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let (begun, rows, ended) = tokio::join!(
        biased;
        client.batch_execute(BEGIN),
        client.query_typed(sql, params),
        client.batch_execute("COMMIT"),
    );
    begun?;
    let rows = rows?;
    ended?;
    Ok(rows)
}

impl Inner {
    /// After a fail-over or a restart every idle connection is as dead as the one that was met.
    fn discard_idle(&self) {
        self.pool.retain(|_, _| false);
    }

    fn trip(self: &Arc<Self>, why: &Error) {
        let why = match why {
            Error::Unavailable(text) | Error::Schema(text) | Error::Refused(text) => text.clone(),
        };
        let opened = self.away.send_if_modified(|away| {
            let opens = away.is_none();
            if opens {
                *away = Some(why);
            }
            opens
        });
        if opened {
            self.discard_idle();
            self.runtime.spawn(probe(Arc::downgrade(self)));
        }
    }
}

/// Looks for the server until it answers, then lets calls through again. Ends with the store.
async fn probe(inner: std::sync::Weak<Inner>) {
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        let answer = tokio::time::timeout(PROBE, async {
            let line = inner.connector.connect().await?;
            line.client.batch_execute("SELECT 1").await.map_err(Failure::from)
        });
        if let Ok(Ok(())) = answer.await {
            inner.away.send_replace(None);
            return;
        }
    }
}

/// A connection that returns to the pool only when somebody says that it is clean.
struct Lease(Option<Object>);

impl Lease {
    fn client(&self) -> Result<&tokio_postgres::Client, Failure> {
        // It is there until `give_back` or `drop`, which both consume it.
        self.0
            .as_deref()
            .map(|wrapper| &**wrapper)
            .ok_or_else(|| Failure::silent("a connection"))
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }

    async fn end_transaction(self) {
        if let Ok(client) = self.client()
            && client.batch_execute("ROLLBACK").await.is_ok()
        {
            self.give_back();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// A transaction.
pub(super) struct Work<'l> {
    link: &'l Link,
    lease: Lease,
    deadline: Instant,
}

impl Work<'_> {
    /// The rows of a statement.
    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Failure> {
        let client = self.lease.client()?;
        let running = async { client.query_typed(sql, params).await.map_err(Failure::from) };
        self.link.guarded(self.deadline, running).await
    }

    /// How many rows a statement touched.
    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, Failure> {
        let client = self.lease.client()?;
        let running = async { client.execute_typed(sql, params).await.map_err(Failure::from) };
        self.link.guarded(self.deadline, running).await
    }

    /// Makes it so.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        self.finish("COMMIT").await
    }

    /// Leaves everything as it was.
    pub(super) async fn rollback(self) -> Result<(), Failure> {
        self.finish("ROLLBACK").await
    }

    async fn finish(self, how: &str) -> Result<(), Failure> {
        let client = self.lease.client()?;
        let ending = async { client.batch_execute(how).await.map_err(Failure::from) };
        self.link.guarded(self.deadline, ending).await?;
        self.lease.give_back();
        Ok(())
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            // Whatever kept a connection from being made: there is no server to talk to.
            PoolError::Backend(error) => {
                let text = match Self::from(error).error {
                    Error::Unavailable(text) | Error::Schema(text) | Error::Refused(text) => text,
                };
                Self {
                    error: Error::Unavailable(text),
                    lost: true,
                    state: None,
                    place: None,
                }
            }
            error @ (PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_)) => Self {
                error: Error::Unavailable(error.to_string()),
                lost: false,
                state: None,
                place: None,
            },
        }
    }
}
