//! Threads that own the connections. SQLite blocks, so none of it happens on the runtime: a call is a job in a bounded
//! queue and an answer in a channel. A caller that goes away, or whose time is up, is not written for: a transaction that no
//! one waits for is not committed.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::super::Error;

/// How long a call may take, all in all.
const CALL: Duration = Duration::from_millis(1900);
/// How long another process may hold the file before a call is given up.
const BUSY: Duration = Duration::from_millis(1500);
/// The same once a call was given up for that, until one succeeds: who holds the file for so long may hold it for hours, and
/// every caller would wait for nothing.
const BUSY_AGAIN: Duration = Duration::from_millis(50);
/// The same for a migration, which other replicas may be at.
const BUSY_MIGRATING: Duration = Duration::from_secs(60);
/// Jobs that wait, at most.
const QUEUE: usize = 1024;
/// SQLite asks for little; the default of 2 MiB for each thread would be wasted.
const STACK: usize = 512 * 1024;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Write,
    Read,
}

/// What a thread is to do.
struct Job {
    /// When it was asked for.
    since: Instant,
    /// Whether it waits, however long the file is held.
    patient: bool,
    run: Run,
}

type Run = Box<dyn FnOnce(Result<&mut Connection, Error>) -> Found + Send>;

/// What a job found out about the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It is to be had.
    Free,
    /// Another process holds it.
    Held,
    /// Nothing: the job was not begun, or failed for another reason.
    Nothing,
}

impl Found {
    fn by<T>(outcome: &Result<T, Error>) -> Self {
        match outcome {
            Ok(_) => Self::Free,
            Err(Error::Unavailable(why)) if why == HELD => Self::Held,
            Err(_) => Self::Nothing,
        }
    }
}

/// Why a call fails whose file is held.
const HELD: &str = "another process holds the database's file";

fn held() -> Error {
    Error::Unavailable(HELD.to_owned())
}

/// When last somebody waited for the file in vain; `None`: it was to be had since. What is asked for while one waits in vain
/// has waited as long, and does not begin anew: else callers would queue up, each for as long as all before it together.
#[derive(Default)]
struct Vain(Mutex<Option<Instant>>);

impl Vain {
    fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, found: Found) {
        let last = match found {
            Found::Free => None,
            Found::Held => Some(Instant::now()),
            Found::Nothing => return,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

/// One or more threads that take jobs from one queue, each with a connection of its own.
pub(super) struct Engine(mpsc::Sender<Job>);

impl Engine {
    /// The one thread that writes.
    pub(super) fn writer(path: &Path) -> Result<Self, Error> {
        Self::start(path, Role::Write, 1, "store-writer")
    }

    /// Threads that read.
    pub(super) fn readers(path: &Path, count: usize, name: &str) -> Result<Self, Error> {
        Self::start(path, Role::Read, count, name)
    }

    fn start(path: &Path, role: Role, count: usize, name: &str) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (receiver, vain) = (Arc::new(Mutex::new(receiver)), Arc::new(Vain::default()));
        for _ in 0..count {
            let (path, receiver, vain) = (path.to_owned(), Arc::clone(&receiver), Arc::clone(&vain));
            thread::Builder::new()
                .name(name.to_owned())
                .stack_size(STACK)
                .spawn(move || work(&path, role, &receiver, &vain))
                .map_err(|error| Error::Unavailable(format!("no thread for the store: {error}")))?;
        }
        Ok(Self(sender))
    }

    /// Runs a job that reads, in one transaction, so that what it reads is of one moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let reading = self.run(false, move |connection, _| {
            let transaction = connection.transaction()?;
            let value = job(&transaction)?;
            transaction.finish()?;
            Ok(value)
        });
        within(CALL, reading).await
    }

    /// Runs a job that writes, in one transaction; it is durable before the answer.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        within(
            CALL,
            self.run(false, move |connection, wanted| write(connection, wanted, job)),
        )
        .await
    }

    /// Like [`Engine::write`], for as long as it takes.
    pub(super) async fn migrate<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let writing = self.run(true, move |connection, wanted| {
            connection.busy_timeout(BUSY_MIGRATING)?;
            write(connection, wanted, job)
        });
        writing.await
    }

    async fn run<T: Send + 'static>(
        &self,
        patient: bool,
        job: impl FnOnce(&mut Connection, &dyn Fn() -> bool) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let run = move |connection: Result<&mut Connection, Error>| {
            // Who was told that it failed must not find it done later.
            if answer.is_closed() {
                return Found::Nothing;
            }
            let outcome = connection.and_then(|connection| job(connection, &|| !answer.is_closed()));
            let found = Found::by(&outcome);
            // Nobody may be waiting any more; what was committed in that moment stays.
            let _ = answer.send(outcome);
            found
        };
        let job = Job {
            since: Instant::now(),
            patient,
            run: Box::new(run),
        };
        let gone = || Error::Unavailable("the store's thread has ended".to_owned());
        self.0.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Unavailable("an answer took too long".to_owned())),
    }
}

/// The transaction is committed only if it is still `wanted`: the file may have been held for longer than the caller waited,
/// and who was told that it failed must not find it done later.
fn write<T>(
    connection: &mut Connection,
    wanted: &dyn Fn() -> bool,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let unwanted = || Error::Unavailable("nobody waits for this any more".to_owned());
    // IMMEDIATE: a transaction that begins by reading cannot always become one that writes.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !wanted() {
        return Err(unwanted());
    }
    let value = job(&transaction)?;
    if !wanted() {
        return Err(unwanted());
    }
    transaction.commit()?;
    Ok(value)
}

/// A thread's life: take a job, see that there is a connection, do the job; until the queue is gone.
fn work(path: &Path, role: Role, jobs: &Mutex<mpsc::Receiver<Job>>, vain: &Vain) {
    let mut connection = None;
    loop {
        // A thread that waits holds the lock; the others wait for the lock.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(Job { since, patient, run }) = job else { return };
        let last = vain.last();
        if !patient && last.is_some_and(|last| since <= last) {
            run(Err(held()));
            continue;
        }
        let patience = if last.is_some() { BUSY_AGAIN } else { BUSY };
        let ready = match connection.as_mut() {
            Some(opened) => Ok(opened),
            None => open(path, role, patience).map(|opened| connection.insert(opened)),
        };
        let ready = ready.and_then(|opened| {
            opened.busy_timeout(patience)?;
            Ok(opened)
        });
        vain.note(run(ready));
    }
}

/// Opens the file, made if need be: for its owner's eyes only, as it holds hashes and signing keys.
fn open(path: &Path, role: Role, patience: Duration) -> Result<Connection, Error> {
    create(path).map_err(|error| Error::Unavailable(format!("cannot open {}: {error}", path.display())))?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(patience)?;
    set_wal(&connection, patience)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    if role == Role::Read {
        connection.pragma_update(None, "query_only", "ON")?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn create(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // Only a file that is not there is opened here. POSIX locks belong to the process: closing any descriptor of the
    // file, this one too, would drop those of SQLite's own, and the next program that looks at the database from outside
    // would find nobody there, fold the WAL in and unlink it under our hands.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Several that open a new file at once may find it locked, and SQLite does not wait here by itself.
fn set_wal(connection: &Connection, patience: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(Error::Refused(format!("the file system allows no WAL, only {mode}"))),
            Err(rusqlite::Error::SqliteFailure(failure, _))
                if failure.code == ErrorCode::DatabaseBusy && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The file's path, for the engines of one store.
pub(super) fn start(path: PathBuf) -> Result<(Engine, Engine, Engine), Error> {
    let writer = Engine::writer(&path)?;
    let readers = Engine::readers(&path, 2, "store-reader")?;
    let feed = Engine::readers(&path, 1, "store-feed")?;
    Ok((writer, readers, feed))
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy) => held(),
            Some(
                ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted,
            ) => Self::Unavailable(text),
            _ if text.contains("no such table")
                || text.contains("no such column")
                || text.contains("has no column") =>
            {
                Self::Schema(format!("{text}; run `doorward migrate`"))
            }
            _ => Self::Refused(text),
        }
    }
}
