//! The steps of the schema, the same numbers in both stores, and what may be done with a schema that is found.

use aws_lc_rs::digest::{SHA256, digest};

use super::Error;

/// One step of the schema. A text that was released never changes: its checksum is kept in the store.
pub(super) struct Migration {
    /// Counted from 1.
    pub(super) version: u32,
    /// What it brings, for people.
    pub(super) name: &'static str,
    /// Its statements.
    pub(super) sql: &'static str,
    /// The oldest program, named by the newest version it knows, that still works on the schema after this step.
    /// Steps that only add keep it at the version before: releases N and N+1 run on one schema.
    pub(super) min_compatible: u32,
}

impl Migration {
    /// SHA-256 of the text, in hex.
    pub(super) fn checksum(&self) -> String {
        hex(digest(&SHA256, self.sql.as_bytes()).as_ref())
    }
}

/// A step that the store says was taken.
pub(super) struct Applied {
    pub(super) version: u32,
    pub(super) checksum: String,
    pub(super) min_compatible: u32,
}

/// The version of the schema, if this program can work with it.
pub(super) fn judge(applied: &[Applied], known: &[Migration]) -> Result<u32, Error> {
    let newest_known = known.iter().map(|step| step.version).max().unwrap_or(0);
    for step in known {
        let found = applied.iter().find(|found| found.version == step.version);
        if found.is_some_and(|found| found.checksum != step.checksum()) {
            return Err(Error::Schema(format!(
                "migration {} ({}) was applied with another text than this program has",
                step.version, step.name
            )));
        }
    }
    let needed = applied.iter().map(|found| found.min_compatible).max().unwrap_or(0);
    if needed > newest_known {
        return Err(Error::Schema(format!(
            "it needs a program that knows version {needed}, this one knows {newest_known}: install a newer release"
        )));
    }
    Ok(applied.iter().map(|found| found.version).max().unwrap_or(0))
}

/// The step to take next.
pub(super) fn next<'k>(applied: &[Applied], known: &'k [Migration]) -> Option<&'k Migration> {
    known
        .iter()
        .find(|step| applied.iter().all(|found| found.version != step.version))
}

/// What a `users` table must have to be taken over.
pub(super) const USER_COLUMNS: [&str; 5] = ["id", "username", "password", "roles", "is_active"];

/// Whether a `users` table with these columns can be taken over; none: there is no table.
pub(super) fn takes_over(columns: &[String]) -> Result<bool, Error> {
    let missing: Vec<_> = USER_COLUMNS
        .into_iter()
        .filter(|name| !columns.iter().any(|found| found == name))
        .collect();
    if columns.is_empty() || missing.is_empty() {
        return Ok(!columns.is_empty());
    }
    Err(Error::Schema(format!(
        "a table `users` exists that is not one to take over: it has no column {}",
        missing.join(", ")
    )))
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The 16 bytes that 32 hex digits stand for.
pub(super) fn unhex16(text: &str) -> Option<[u8; 16]> {
    // `from_str_radix` would also take a sign.
    let plain = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = u128::from_str_radix(text, 16).ok().filter(|_| plain)?;
    Some(value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KNOWN: [Migration; 2] = [
        Migration {
            version: 1,
            name: "one",
            sql: "one",
            min_compatible: 1,
        },
        Migration {
            version: 2,
            name: "two",
            sql: "two",
            min_compatible: 1,
        },
    ];

    fn applied(version: u32, text: &str, min_compatible: u32) -> Applied {
        Applied {
            version,
            checksum: hex(digest(&SHA256, text.as_bytes()).as_ref()),
            min_compatible,
        }
    }

    #[test]
    fn a_newer_schema_is_accepted_until_it_says_otherwise() {
        let mut found = vec![applied(1, "one", 1), applied(2, "two", 1), applied(3, "three", 2)];
        assert_eq!(judge(&found, &KNOWN).unwrap(), 3);
        assert!(next(&found, &KNOWN).is_none());
        found.push(applied(4, "four", 3));
        assert!(matches!(judge(&found, &KNOWN), Err(Error::Schema(text)) if text.contains("knows version 3")));
    }

    #[test]
    fn a_step_with_another_text_is_refused() {
        assert!(matches!(judge(&[applied(1, "uno", 1)], &KNOWN), Err(Error::Schema(_))));
        assert_eq!(next(&[applied(1, "one", 1)], &KNOWN).unwrap().version, 2);
    }

    #[test]
    fn a_foreign_table_is_not_taken_over() {
        let columns = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(!takes_over(&[]).unwrap());
        assert!(takes_over(&columns(&["id", "username", "password", "roles", "is_active", "x"])).unwrap());
        assert!(
            takes_over(&columns(&["id", "login"]))
                .unwrap_err()
                .to_string()
                .contains("username, password")
        );
    }

    #[test]
    fn hex_reads_what_it_writes() {
        let bytes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
        assert_eq!(unhex16(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex16("00"), None);
    }
}
