//! `doorward user import`: the users of another table, from a file or a database.

mod records;
mod source;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::{Failure, desk, terminal, user};
use crate::account::{Administration, ForeignAccount, Taken};
use crate::config::Config;
use crate::secret::Secret;
use crate::store::Store;

use source::{Place, Source};

/// Rows written in one transaction.
const BATCH: usize = 200;

/// What the rows of one transaction hold at most, in bytes, but for the last of them.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Rows that are looked at before something is done with those that are some: of a table that does not fit at all, too, it is
/// told how far it has come.
const LOOK: u64 = 1000;

/// Between two lines about it, at first.
const STEP: Duration = Duration::from_secs(1);
/// And at last, where they are lines for good.
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// Rows that stay behind and are told one by one; a table that does not fit at all needs no million lines.
const TOLD: u64 = 1000;

/// Opening the other database may take so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is taken over, and how.
#[derive(Debug, Args)]
pub struct Options {
    /// A file of JSON lines or CSV (- is standard input), or postgres://user@host/database (its password from PGPASSWORD)
    #[arg(long, value_name = "FILE|URL")]
    from: String,
    /// What the file holds, where its name does not end in .jsonl, .ndjson, .json or .csv
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The table in the other database
    #[arg(long, value_name = "NAME", default_value = "users")]
    table: String,
    /// Give new ids, and do not keep those of the source: access tokens that the other server issued name ids
    #[arg(long)]
    new_ids: bool,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values (RFC 4180) with a line of names
    Csv,
}

/// How many rows came to what.
#[derive(Debug, Default)]
struct Count {
    rows: u64,
    new: u64,
    already: u64,
    not: u64,
}

/// Runs it; what was done, or what was not.
pub async fn run(
    config: &Config,
    desk: &Administration,
    store: &dyn Store,
    options: &Options,
) -> Result<String, Failure> {
    let mut source = open(options).await?;
    user::prepare(config, store).await?;
    let progress = terminal::Progress::start("reading");
    let mut count = Count::default();
    let (mut told, mut pace) = (Instant::now(), STEP);
    loop {
        let batch = next_batch(&mut source, options, &mut count).await?;
        let is_last = batch.is_last;
        take(desk, batch.rows, &mut count).await?;
        if told.elapsed() >= pace {
            told = Instant::now();
            pace = after(pace, progress.is_live());
            progress.step(&format!("{} rows read, {} taken over", count.rows, count.new));
        }
        if is_last {
            break;
        }
    }
    drop(progress);
    let told = format!(
        "{} rows: {} taken over, {} here already, {} not taken over\n",
        count.rows, count.new, count.already, count.not
    );
    match count.not {
        0 => Ok(told),
        _ => {
            terminal::print(&told)?;
            Err(Failure::run(
                format!("{} rows were not taken over", count.not),
                "for the reasons told above",
                "mend them in the source or here and run it again: what was taken over is passed by",
            ))
        }
    }
}

/// How long to wait with the next word: in a file or a pipe each is a line, and of a long import there are not to be thousands.
fn after(pace: Duration, live: bool) -> Duration {
    match live {
        true => STEP,
        false => pace.saturating_mul(2).min(LONGEST_STEP),
    }
}

async fn open(options: &Options) -> Result<Source, Failure> {
    if is_url(&options.from) {
        let password = std::env::var("PGPASSWORD").ok().map(Secret::new);
        let url = Secret::new(options.from.clone());
        return Source::database(&url, password.as_ref(), &options.table, PATIENCE).await;
    }
    // A URL may hold a password: no more of it is told than what it begins with.
    if let Some((scheme, _)) = options.from.split_once("://") {
        let scheme = terminal::shown(scheme);
        return Err(Failure::usage(
            format!("--from takes no URL that begins with {scheme}://"),
            format!(
                "write postgres:// in place of {scheme}://; of another kind of database, export the users as CSV or JSON lines"
            ),
        ));
    }
    let by_name = || match PathBuf::from(&options.from).extension()?.to_str()? {
        "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
        "csv" => Some(Format::Csv),
        _ => None,
    };
    let format = options.format.or_else(by_name).ok_or_else(|| {
        let what = format!("it cannot be told what {} holds", terminal::shown(&options.from));
        Failure::usage(what, "say --format jsonl or --format csv")
    })?;
    Source::file(&options.from, format)
}

fn is_url(from: &str) -> bool {
    from.starts_with("postgres://") || from.starts_with("postgresql://")
}

/// Rows that are rows.
#[derive(Default)]
struct Batch {
    rows: Vec<(Place, ForeignAccount)>,
    is_last: bool,
}

/// Some rows; what is none is told at once.
async fn next_batch(source: &mut Source, options: &Options, count: &mut Count) -> Result<Batch, Failure> {
    let mut batch = Batch::default();
    let mut bytes: usize = 0;
    let until = count.rows.saturating_add(LOOK);
    while batch.rows.len() < BATCH && bytes < BATCH_BYTES && count.rows < until {
        let Some((place, row)) = source.next().await? else {
            batch.is_last = true;
            break;
        };
        count.rows = count.rows.saturating_add(1);
        match row {
            Ok(account) => {
                bytes = bytes.saturating_add(size(&account));
                let id = account.id.filter(|_| !options.new_ids);
                batch.rows.push((place, ForeignAccount { id, ..account }));
            }
            Err(why) => stays(&place, None, &why, count),
        }
    }
    Ok(batch)
}

async fn take(desk: &Administration, batch: Vec<(Place, ForeignAccount)>, count: &mut Count) -> Result<(), Failure> {
    if batch.is_empty() {
        return Ok(());
    }
    let (places, accounts): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let names: Vec<String> = accounts.iter().map(|account| account.username.clone()).collect();
    let taken = desk.import(accounts).await.map_err(|error| {
        let what = format!("the import stopped after {} users", count.new);
        desk::failed(&what, error)
    })?;
    for ((place, name), taken) in places.iter().zip(&names).zip(taken) {
        match taken {
            Taken::New(notes) => {
                count.new = count.new.saturating_add(1);
                for note in notes {
                    eprintln!("note: {place}: {}: {note}", terminal::shown(name));
                }
            }
            Taken::Already => count.already = count.already.saturating_add(1),
            Taken::Not(why) => stays(place, Some(name), &why, count),
        }
    }
    Ok(())
}

fn stays(place: &Place, name: Option<&str>, why: &str, count: &mut Count) {
    count.not = count.not.saturating_add(1);
    let name = name
        .map(|name| format!("{}: ", terminal::shown(name)))
        .unwrap_or_default();
    match count.not {
        ..TOLD => eprintln!("not taken over: {place}: {name}{}", terminal::shown(why)),
        TOLD => eprintln!("more rows are not taken over; the first {TOLD} are told"),
        _ => {}
    }
}

/// What an account holds, in bytes.
fn size(account: &ForeignAccount) -> usize {
    let texts = [&account.password, &account.roles, &account.email];
    let others = texts.into_iter().flatten().map(String::len).sum::<usize>();
    account.username.len().saturating_add(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_import_tells_of_itself_in_few_lines() {
        let (mut pace, mut spent, mut lines) = (STEP, Duration::ZERO, 0);
        while spent < Duration::from_secs(3600) {
            (spent, lines) = (spent + pace, lines + 1);
            pace = after(pace, false);
        }
        assert!(lines < 70, "{lines}");
        assert_eq!(after(STEP, true), STEP, "the line that lives");
    }
}
