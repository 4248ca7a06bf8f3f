//! The way to the server: a pool, a deadline for every call, and a breaker that answers at once while the server is away.
//!
//! Everything goes through PgBouncer in transaction mode, also an old one: statements are unnamed and carry the types of
//! their parameters, and every setting is `SET LOCAL`.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::super::Error;
use super::connector::Connector;
use super::error::{Failure, Harm};

/// Parameters with their types: without them the server would have to be asked first, in a statement with a name.
pub(super) type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// How long a call may take, all in all.
pub(super) const CALL: Duration = Duration::from_millis(1900);
/// How long the server may work on a statement: less than a call, so that a statement that waits for a lock is given up
/// there too, and is not taken for a server that is away.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 1500";
/// How long nothing may be heard before it is the server that is away, not we who asked too late.
const SILENCE: Duration = Duration::from_millis(1600);
/// How long a call waits for others to give back a connection.
const WAIT: Duration = Duration::from_secs(1);
/// How often a server that is away is looked for, and how long that may take.
const PROBE_EVERY: Duration = Duration::from_millis(200);
const PROBE: Duration = Duration::from_secs(2);
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
        let recycling_method = RecyclingMethod::Fast;
        let manager = Manager::from_connect(
            connector.config.clone(),
            connector.clone(),
            ManagerConfig { recycling_method },
        );
        let pool = Pool::builder(manager)
            .max_size(pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .build()
            .map_err(|error| Error::Refused(format!("the pool of connections: {error}")))?;
        let runtime = Handle::try_current().map_err(|error| Error::Refused(error.to_string()))?;
        let away = watch::Sender::new(None);
        Ok(Self(Arc::new(Inner {
            pool,
            connector,
            runtime,
            away,
        })))
    }

    /// Begins a transaction. It is rolled back, by ending its connection, if it is dropped before it is committed.
    pub(super) async fn begin(&self) -> Result<Work<'_>, Error> {
        let deadline = Instant::now() + CALL;
        let (lease, _) = self.lease(deadline, Opening::Begin).await?;
        Ok(Work {
            link: self,
            lease,
            deadline,
        })
    }

    /// One statement that reads, in a transaction of its own and one round trip.
    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        let (lease, rows) = self.lease(Instant::now() + CALL, Opening::Read(sql, params)).await?;
        lease.give_back();
        Ok(rows)
    }

    /// Connections in use and idle.
    pub(super) fn state(&self) -> (usize, usize) {
        let status = self.0.pool.status();
        (status.size.saturating_sub(status.available), status.available)
    }

    /// If the server was found to be away: from now on calls are answered at once, until it is back.
    pub(super) fn observe(&self, failure: &Failure) {
        if failure.harm == Harm::Server {
            self.0.trip(&failure.error);
        }
    }

    /// A connection over which the opening has succeeded. One that turns out dead is replaced and the opening sent again.
    async fn lease(&self, deadline: Instant, opening: Opening<'_>) -> Result<(Lease, Vec<Row>), Failure> {
        let mut tries = 1;
        loop {
            let found = self.timed(deadline, async { Ok(self.0.pool.get().await?) }).await;
            let lease = Lease(Some(found.inspect_err(|failure| self.observe(failure))?));
            let client = lease.client()?;
            let sent = self.timed(deadline, async { Ok(opening.send(client).await?) }).await;
            match sent {
                Ok(rows) => return Ok((lease, rows)),
                Err(failure) if failure.harm == Harm::Server && tries < TRIES && Instant::now() < deadline => {
                    self.0.discard_idle();
                    tries += 1;
                }
                Err(failure) => {
                    self.observe(&failure);
                    if failure.harm == Harm::None {
                        // The statement was at fault, and its transaction is over.
                        lease.give_back();
                    }
                    return Err(failure);
                }
            }
        }
    }

    /// Runs a part of a call: until its deadline, or until another call finds the server away.
    async fn timed<T>(&self, deadline: Instant, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let begun = Instant::now();
        let mut away = self.0.away.subscribe();
        let opened = pin!(async move {
            let why = away.wait_for(Option::is_some).await;
            why.map_or_else(|_| None, |why| why.clone()).unwrap_or_default()
        });
        tokio::select! {
            biased;
            why = opened => Err(Failure::unavailable(why, Harm::Connection)),
            outcome = tokio::time::timeout_at(deadline, work) => outcome.unwrap_or_else(|_| {
                let harm = if begun.elapsed() < SILENCE { Harm::Connection } else { Harm::Server };
                Err(Failure::unavailable("the answer took too long", harm))
            }),
        }
    }
}

/// The first thing a call sends: harmless to send twice.
enum Opening<'a> {
    Begin,
    Read(&'a str, Params<'a>),
}

impl Opening<'_> {
    async fn send(&self, client: &Client) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self {
            Self::Begin => client.batch_execute(BEGIN).await.map(|()| Vec::new()),
            Self::Read(sql, params) => read(client, sql, params).await,
        }
    }
}

/// `BEGIN`, the statement and `COMMIT`, sent together. Whatever comes of it, no transaction is open afterwards.
pub(super) async fn read(client: &Client, sql: &str, params: Params<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
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
        let opens = self.away.send_if_modified(|away| {
            let opens = away.is_none();
            if opens {
                *away = Some(text(why));
            }
            opens
        });
        self.discard_idle();
        if opens {
            self.runtime.spawn(probe(Arc::downgrade(self)));
        }
    }
}

fn text(error: &Error) -> String {
    match error {
        Error::Unavailable(text) | Error::Schema(text) | Error::Refused(text) => text.clone(),
    }
}

/// Looks for the server until it answers, then lets calls through again. Ends with the store.
async fn probe(inner: Weak<Inner>) {
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
    fn client(&self) -> Result<&Client, Failure> {
        // It is there until `give_back` or `drop`, which both consume it.
        let object = self.0.as_deref().map(|wrapper| &**wrapper);
        object.ok_or_else(|| Failure::unavailable("the connection was given back", Harm::Connection))
    }

    fn give_back(mut self) {
        drop(self.0.take());
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
        self.observed(async { Ok(client.query_typed(sql, params).await?) })
            .await
    }

    /// How many rows a statement touched.
    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, Failure> {
        let client = self.lease.client()?;
        self.observed(async { Ok(client.execute_typed(sql, params).await?) })
            .await
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
        self.observed(async { Ok(client.batch_execute(how).await?) }).await?;
        self.lease.give_back();
        Ok(())
    }

    async fn observed<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let outcome = self.link.timed(self.deadline, work).await;
        outcome.inspect_err(|failure| self.link.observe(failure))
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            // Whatever kept a connection from being made: there is no server to talk to.
            PoolError::Backend(error) => Self::unavailable(text(&Self::from(error).error), Harm::Server),
            PoolError::Timeout(_) => Self::unavailable("all connections are in use", Harm::None),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Self::unavailable(error.to_string(), Harm::None)
            }
        }
    }
}
