//! The change feed, in PostgreSQL: a table that is polled over a connection of its own, and notifications that shorten
//! the wait.
//!
//! A reader goes on from the oldest transaction that was still running when it last read. What such a transaction wrote
//! is read when it commits, however late; what others wrote meanwhile is read again, which does no harm.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Row};

use super::connector::{AbortOnDrop, Connector, Line};
use super::error::{Failure, Harm};
use super::link::{CALL, Params, read};
use super::{Postgres, SELECT_USER, column, user};
use crate::store::feed::{self, Told};
use crate::store::{Answer, Ban, Change, Changes, Error, Horizon, User};

/// How long the answer to a poll may take: the failure detector. Less than a call may take, and long enough for a server that
/// is only busy.
const POLL: Duration = Duration::from_millis(1500);
/// How long a new connection for polling may take: one of several hosts may have to be given up first.
const CONNECT: Duration = Duration::from_secs(2);
/// Rows read at once.
const PAGE: i64 = 5000;
/// How long to wait before the connection for notifications is made again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The dedicated connections.
pub(super) struct Feed {
    connector: Connector,
    direct: Arc<Connector>,
    /// The polling connection and which server it leads to. Taken out during a poll: a poll that is given up takes its
    /// connection with it.
    line: Mutex<Option<(Line, i64)>>,
    notify: Arc<Notify>,
    listener: std::sync::OnceLock<AbortOnDrop>,
}

impl Feed {
    pub(super) fn new(connector: Connector, direct: Arc<Connector>) -> Self {
        let listener = std::sync::OnceLock::new();
        Self {
            connector,
            direct,
            line: Mutex::new(None),
            notify: Arc::default(),
            listener,
        }
    }
}

impl Changes for Postgres {
    fn all_changes(&self, now: i64) -> Answer<'_, Read> {
        Box::pin(self.observed(None, now))
    }

    fn changes_since(&self, horizon: Horizon, now: i64) -> Answer<'_, Read> {
        Box::pin(self.observed(Some(horizon), now))
    }

    fn notified(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        // Only who waits for changes pays for a second connection.
        self.feed.listener.get_or_init(|| {
            let listening = listen(Arc::clone(&self.feed.direct), Arc::clone(&self.feed.notify));
            AbortOnDrop(tokio::spawn(listening))
        });
        Box::pin(self.feed.notify.notified())
    }

    fn ban<'a>(&'a self, ban: &'a Ban, now: i64, until: i64) -> Answer<'a, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO gateway_changes (kind, subject, at, until) VALUES ($1, $2, $3, $4) \
                RETURNING pg_notify('gateway_changes', '')::text";
            let params: Params<'_> = &[
                (&ban.kind(), Type::TEXT),
                (&ban.subject(), Type::TEXT),
                (&now, Type::INT8),
                (&until, Type::INT8),
            ];
            let work = self.link.begin().await?;
            work.execute(sql, params).await?;
            work.commit().await?;
            Ok(())
        })
    }

    fn forget_changes(&self, now: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let sql = "DELETE FROM gateway_changes WHERE seq IN (SELECT seq FROM gateway_changes \
                WHERE until <= $1 LIMIT 1000 FOR UPDATE SKIP LOCKED)";
            let work = self.link.begin().await?;
            let forgotten = work.execute(sql, &[(&now, Type::INT8)]).await?;
            work.commit().await?;
            Ok(forgotten)
        })
    }
}

/// Changes, and where to go on from.
type Read = (Vec<Change>, Horizon);

impl Postgres {
    /// A poll that fails or is late tells everybody that the server is away.
    async fn observed(&self, since: Option<Horizon>, now: i64) -> Result<Read, Error> {
        let outcome = self.feed.read(since, now).await;
        Ok(outcome.inspect_err(|failure| self.link.observe(failure))?)
    }
}

impl Feed {
    async fn read(&self, since: Option<Horizon>, now: i64) -> Result<Read, Failure> {
        let mut slot = self.line.lock().await;
        let known = slot.take().filter(|(line, _)| !line.client.is_closed());
        let (line, server, since) = match known {
            Some((line, server)) => (line, Some(server), since),
            // Where a new connection leads to, the horizon may mean nothing.
            None => (timed(CONNECT, self.connector.connect()).await?, None, None),
        };
        let (mut rows, mut position) = collect(&line, since, now).await?;
        let moved = server.is_some_and(|server| server != position.server);
        let back = since.is_some_and(|since| position.horizon < since);
        if since.is_some() && (moved || back) {
            // A fail-over behind a pooler: the new server's transactions are counted anew.
            (rows, position) = collect(&line, None, now).await?;
        }
        let changes = resolve(&line, feed::gather(rows)).await?;
        *slot = Some((line, position.server));
        Ok((changes, position.horizon))
    }
}

async fn timed<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let outcome = tokio::time::timeout(limit, work).await;
    outcome.unwrap_or_else(|_| Err(Failure::unavailable("the change feed took too long", Harm::Server)))
}

struct Position {
    horizon: Horizon,
    /// When the server was started: another one, or the same after a restart, says something else.
    server: i64,
}

/// The horizon and the rows are of one snapshot, so one statement reads both, and the horizon also where no row matches.
const SELECT: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, \
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, c.kind, c.subject, c.until, c.xid, c.seq, c.at \
    FROM (VALUES (1)) AS always LEFT JOIN LATERAL (SELECT * FROM gateway_changes \
    WHERE (xid, seq) > ($1, $2) AND until > $3 ORDER BY xid, seq LIMIT $4) AS c ON true ORDER BY c.xid, c.seq";

/// All pages from a position. The first page's horizon counts: whatever commits between two pages is not behind it.
async fn collect(line: &Line, since: Option<Horizon>, now: i64) -> Result<(Vec<Told>, Position), Failure> {
    let mut after: (i64, i64) = (since.map_or(-1, |horizon| horizon.0), -1);
    // What came since is told even if it has expired by our clock: the clocks may differ.
    let alive = if since.is_some() { i64::MIN } else { now };
    let (mut told, mut position) = (Vec::new(), None);
    loop {
        let params: Params<'_> = &[
            (&after.0, Type::INT8),
            (&after.1, Type::INT8),
            (&alive, Type::INT8),
            (&PAGE, Type::INT8),
        ];
        let rows = timed(POLL, async { Ok(line.client.query_typed(SELECT, params).await?) }).await?;
        for row in &rows {
            if position.is_none() {
                position = Some(Position {
                    horizon: Horizon(column(row, 0)?),
                    server: column(row, 1)?,
                });
            }
            if let Some(kind) = column::<Option<&str>>(row, 2)? {
                told.extend(Told::new(kind, column(row, 3)?, column(row, 7)?, column(row, 4)?));
                after = (column(row, 5)?, column(row, 6)?);
            }
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < PAGE) {
            let position = position.ok_or_else(|| Failure::from(Error::Refused("no position was read".to_owned())))?;
            return Ok((told, position));
        }
    }
}

/// The state of the users who were told of, read after the news: it is at least as new.
async fn resolve(line: &Line, gathered: feed::Gathered) -> Result<Vec<Change>, Failure> {
    let ids = gathered.user_ids();
    let states: Vec<User> = if ids.is_empty() {
        Vec::new()
    } else {
        let sql = format!("{SELECT_USER} WHERE u.id = ANY ($1)");
        // Longer than the server works on it: a table that somebody holds is no server that is away.
        let rows: Vec<Row> = timed(CALL, async {
            Ok(read(&line.client, &sql, &[(&ids, Type::INT8_ARRAY)]).await?)
        })
        .await?;
        rows.iter().map(user).collect::<Result<_, _>>()?
    };
    Ok(gathered.with_states(states))
}

/// Waits for notifications for ever, over one connection after another.
async fn listen(connector: Arc<Connector>, notify: Arc<Notify>) {
    loop {
        // Whatever goes wrong, polling goes on: there is nobody to tell.
        let _ = listen_once(&connector, &notify).await;
        // What was said while nobody listened is worth a look.
        notify.notify_one();
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn listen_once(connector: &Connector, notify: &Arc<Notify>) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = connector.open().await?;
    let notify = Arc::clone(notify);
    let mut driver = AbortOnDrop(tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message {
                notify.notify_one();
            }
        }
    }));
    client.batch_execute("LISTEN gateway_changes").await?;
    let _ = (&mut driver.0).await;
    Ok(())
}
