//! Where the rows come from, one after the other: nothing is held but the row at hand.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use super::Format;
use super::records::{self, Columns, Row};
use crate::cli::Failure;
use crate::secret::Secret;
use crate::store::ForeignTable;

/// The longest row that is taken, in bytes.
pub(super) const LONGEST: usize = 1024 * 1024;

/// As many bytes of a CSV file without the end of a row are no row any more: a quote is not closed.
const NO_ROW: u64 = 16 * 1024 * 1024;

/// How long the other database may say nothing: sorting a large table takes a while.
const SILENCE: Duration = Duration::from_secs(120);

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this line of a file.
    Line(u64),
    /// It is this row of a table, or of this id.
    Row(String),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(formatter, "line {line}"),
            Self::Row(row) => write!(formatter, "row {row}"),
        }
    }
}

/// Rows of some kind.
pub(super) enum Source {
    Jsonl {
        lines: Box<dyn BufRead + Send>,
        line: u64,
    },
    Csv {
        rows: Box<csv::Reader<Bounded<Box<dyn Read + Send>>>>,
        columns: Columns,
        row: u64,
    },
    Table {
        table: ForeignTable,
        row: u64,
    },
}

impl Source {
    /// A file, or standard input.
    pub(super) fn file(name: &str, format: Format) -> Result<Self, Failure> {
        let unreadable_file = |error: io::Error| {
            let what = format!("{} cannot be read", crate::cli::terminal::shown(name));
            Failure::run(what, error, "check its name and its rights")
        };
        let reader: Box<dyn Read + Send> = match name {
            "-" => Box::new(io::stdin()),
            name => Box::new(File::open(name).map_err(unreadable_file)?),
        };
        let mut reader = BufReader::new(reader);
        foreign(reader.fill_buf().map_err(unreadable_file)?, format)?;
        match format {
            Format::Jsonl => Ok(Self::Jsonl {
                lines: Box::new(reader),
                line: 0,
            }),
            Format::Csv => {
                let reader: Box<dyn Read + Send> = Box::new(reader);
                let reader = Bounded::new(reader);
                let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
                let columns = Columns::read(rows.byte_headers().map_err(unreadable)?)?;
                Ok(Self::Csv {
                    rows: Box::new(rows),
                    columns,
                    row: 0,
                })
            }
        }
    }

    /// A table of another database.
    pub(super) async fn database(
        url: &Secret<String>,
        password: Option<&Secret<String>>,
        table: &str,
        within: Duration,
    ) -> Result<Self, Failure> {
        let table = ForeignTable::open(url, password, table, within, SILENCE)
            .await
            .map_err(|error| {
                let hint = "check the URL, PGPASSWORD and --table, and whether the server runs";
                Failure::run("the other table cannot be read", error, hint)
            })?;
        Ok(Self::Table { table, row: 0 })
    }

    /// The next row, or why it is none; `None`: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<(Place, Row)>, Failure> {
        match self {
            Self::Jsonl { lines, line } => next_line(lines, line),
            Self::Csv { rows, columns, row } => {
                let mut record = csv::ByteRecord::new();
                // Fields may hold line ends: rows are counted, after the line of names.
                *row = row.saturating_add(1);
                rows.get_mut().begin();
                let there = rows.read_byte_record(&mut record).map_err(|error| {
                    let line = rows.position().line();
                    let what = format!(
                        "row {row} cannot be read, which begins behind line {}",
                        line.saturating_sub(1)
                    );
                    Failure::run(
                        what,
                        error,
                        "close its quotes: what was taken over is passed by when it is run again",
                    )
                })?;
                Ok(there.then(|| (Place::Row(row.to_string()), columns.account(&record))))
            }
            Self::Table { table, row } => {
                *row = row.saturating_add(1);
                let read = table.next().await;
                let next = read.map_err(|error| {
                    let hint = "run it again: what was taken over is passed by";
                    Failure::run("the other table stopped answering", error, hint)
                })?;
                let knows_activity = table.knows_activity();
                Ok(next.map(|texts| {
                    let [id, ..] = &texts;
                    let place = id
                        .as_ref()
                        .map_or_else(|| row.to_string(), |id| format!("with id {id}"));
                    (Place::Row(place), records::from_table(texts, knows_activity))
                }))
            }
        }
    }
}

/// Whether a file that begins so is of quite another form: that is told once, and not of every line.
fn foreign(begin: &[u8], format: Format) -> Result<(), Failure> {
    let what = "the file cannot be taken over";
    let line = begin.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if begin.starts_with(b"\xff\xfe") || begin.starts_with(b"\xfe\xff") || line.contains(&0) {
        let hint = "save it as UTF-8, or: iconv -f UTF-16 -t UTF-8";
        return Err(Failure::run(what, "it is UTF-16, by its first line", hint));
    }
    if format == Format::Csv {
        return Ok(());
    }
    let text = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin).trim_ascii_start();
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if text.starts_with(b"[") {
        let hint = "give one object a line: jq -c '.[]' makes that of it";
        return Err(Failure::run(what, "it is an array, and not JSON lines", hint));
    }
    if first.trim_ascii() == b"{" {
        let hint = "give one object a line: jq -c . makes that of it";
        return Err(Failure::run(what, "an object goes over several lines", hint));
    }
    Ok(())
}

fn next_line(lines: &mut Box<dyn BufRead + Send>, line: &mut u64) -> Result<Option<(Place, Row)>, Failure> {
    loop {
        *line = line.saturating_add(1);
        let mut text = Vec::new();
        let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
        lines.by_ref().take(most).read_until(b'\n', &mut text)?;
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() == LONGEST && !text.ends_with(b"\n") {
            lines.skip_until(b'\n')?;
            return Ok(Some((Place::Line(*line), Err(records::too_long()))));
        }
        if !text.trim_ascii().is_empty() {
            return Ok(Some((Place::Line(*line), records::from_json(&text))));
        }
    }
}

fn unreadable(error: csv::Error) -> Failure {
    Failure::run(
        "the file cannot be read",
        error,
        "give CSV as RFC 4180 has it, in UTF-8",
    )
}

/// Ends a file in which one row goes on and on: it would be held as a whole.
pub(super) struct Bounded<R> {
    reader: R,
    /// Read since the row began, and perhaps a little before it.
    read: u64,
}

impl<R> Bounded<R> {
    fn new(reader: R) -> Self {
        Self { reader, read: 0 }
    }

    fn begin(&mut self) {
        self.read = 0;
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read > NO_ROW {
            return Err(io::Error::other(format!("it is longer than {NO_ROW} bytes")));
        }
        let read = self.reader.read(buffer)?;
        self.read = self.read.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
