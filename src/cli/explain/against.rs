//! `doorward explain --against FILE`: recorded decisions again, line by line, however long the log is.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::answer::Dialect;
use crate::cli::{Failure, terminal};
use crate::explain::{Changes, Ground, Home, Settled, Unreadable};
use crate::gateway::Snapshot;
use crate::route::Host;

/// The longest line that is read: ten times what the longest request leaves behind.
const LONGEST: u64 = 1 << 20;

/// Runs it: 0 nothing would change, 1 something would.
pub fn run(snapshot: &Snapshot, file: &Path, examples: usize, json: bool) -> Result<ExitCode, Failure> {
    let mut changes = Changes::new(examples);
    let home = |host: Option<&Host<'_>>| match (snapshot.endpoints.places().home_for(host), snapshot.dialect) {
        (None, _) => Home::Nowhere,
        (Some(_), Dialect::Standard) => Home::Pages,
        (Some(_), Dialect::Flask) => Home::PagesForBrowsers,
    };
    let ground = Ground {
        policy: &snapshot.policy,
        home: &home,
        takes_for_question: &|target| snapshot.endpoints.takes_for_question(target),
    };
    let unreadable = |error: io::Error| {
        let what = format!("{} cannot be read", file.display());
        Failure::run(what, error, "give a log that was written with log.format = \"json\"")
    };
    if file.as_os_str() == "-" {
        replay(&ground, &mut io::stdin().lock(), &mut changes).map_err(unreadable)?;
    } else {
        let file = File::open(file).map_err(unreadable)?;
        replay(&ground, &mut BufReader::new(file), &mut changes).map_err(unreadable)?;
    }
    let text = match json {
        true => terminal::json(&document(&changes))?,
        false => told(&changes),
    };
    terminal::print(&text)?;
    if changes.replayed == 0 && changes.passed_over.is_empty() {
        let what = format!(
            "no decision was found in {}",
            terminal::shown(&file.display().to_string())
        );
        let cause = match changes.unreadable.is_empty() {
            true => "it is empty",
            false => "none of its lines is one of the JSON access log",
        };
        return Err(Failure::run(
            what,
            cause,
            "give a log that was written with log.format = \"json\"",
        ));
    }
    Ok(match changes.moved().is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

fn replay(ground: &Ground<'_>, log: &mut impl BufRead, changes: &mut Changes) -> io::Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if log.take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let ended = line.ends_with(b"\n");
        if !ended && u64::try_from(line.len()).is_ok_and(|length| length == LONGEST) {
            changes.cannot_read(Unreadable::TooLong, number);
            log.skip_until(b'\n')?;
            continue;
        }
        match std::str::from_utf8(&line).map(str::trim) {
            Ok("") => {}
            Ok(text) => changes.line(ground, text, number),
            Err(_) => changes.cannot_read(Unreadable::NotJson, number),
        }
    }
    Ok(())
}

fn document(changes: &Changes) -> serde_json::Value {
    let unreadable: Vec<_> = changes
        .unreadable
        .iter()
        .map(|(why, (count, first))| json!({ "because": why.told(), "count": count, "first_line": first }))
        .collect();
    json!({
        "replayed": changes.replayed,
        "unchanged": changes.unchanged,
        "changed": changes.replayed - changes.unchanged,
        "changes": changes.moved(),
        "passed_over": changes.passed_over,
        "unreadable": unreadable,
    })
}

fn told(changes: &Changes) -> String {
    let mut text = String::new();
    for moved in changes.moved() {
        writeln!(
            text,
            "{} x  {}  ->  {}",
            moved.count,
            settled(&moved.old),
            settled(&moved.new)
        )
        .ok();
        for example in &moved.examples {
            writeln!(text, "      {}", terminal::shown(example)).ok();
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let changed = changes.replayed - changes.unchanged;
    writeln!(
        text,
        "{} decisions made again: {changed} would change, {} would not",
        changes.replayed, changes.unchanged
    )
    .ok();
    for (why, count) in &changes.passed_over {
        writeln!(
            text,
            "{count} not made again, for they cannot be told from the log: {why}"
        )
        .ok();
    }
    for (why, (count, first)) in &changes.unreadable {
        writeln!(text, "{count} lines {}, the first of them line {first}", why.told()).ok();
    }
    text
}

fn settled(settled: &Settled) -> String {
    let Settled {
        decision,
        route,
        reason,
    } = settled;
    let reason = if reason == "ok" {
        String::new()
    } else {
        format!(" ({reason})")
    };
    terminal::shown(&format!("{decision} by {route}{reason}"))
}
