//! From a row of some kind to an account.

use serde::Deserialize;
use serde_json::Value;

use super::source::LONGEST;
use crate::account::ForeignAccount;
use crate::cli::{Failure, terminal};
use crate::store::ForeignRow;

/// An account, or why the row is none. The reason never shows a value: it may be a password in the wrong place.
pub(super) type Row = Result<ForeignAccount, String>;

/// One line of JSON. Other members are passed by: tables have more columns.
#[derive(Deserialize)]
struct Line {
    username: String,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    roles: Option<Roles>,
    #[serde(default, deserialize_with = "some")]
    is_active: Option<Option<Value>>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    id: Option<i64>,
}

/// The column as text, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Roles {
    Column(String),
    List(Vec<String>),
}

/// Keeps null apart from what is not there.
fn some<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Option<Value>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

/// A line of a file.
pub(super) fn from_json(text: &[u8]) -> Row {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    // An array would do as well, its elements in the order of the members.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err("it is no JSON object".to_owned());
    }
    let line: Line = serde_json::from_slice(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => unfit(&error.to_string()),
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof | serde_json::error::Category::Io => {
            format!("it is no JSON object (column {})", error.column())
        }
    })?;
    let active = match line.is_active {
        None => Some(true),
        Some(None) => None,
        Some(Some(Value::Bool(active))) => Some(active),
        Some(Some(Value::Number(number))) => truth(&number.to_string())?,
        Some(Some(Value::String(text))) => truth(&text)?,
        Some(Some(Value::Array(_) | Value::Object(_) | Value::Null)) => return Err(no_truth()),
    };
    let roles = line.roles.map(|roles| match roles {
        Roles::Column(text) => Ok(text),
        // A comma within a role would make two of it.
        Roles::List(list) if list.iter().any(|role| role.contains(',')) => Err("a role holds a comma".to_owned()),
        Roles::List(list) => Ok(list.join(",")),
    });
    Ok(ForeignAccount {
        id: line.id,
        username: line.username,
        password: line.password,
        roles: roles.transpose()?,
        active,
        email: line.email,
    })
}

/// What is wrong with the members of an object. serde's own words show values.
fn unfit(error: &str) -> String {
    let member = || COLUMNS.into_iter().find(|name| error.contains(&format!("`{name}`")));
    match (error.split_once(" field ").map(|(kind, _)| kind), member()) {
        (Some("missing"), Some(name)) => format!("its member {name} is missing"),
        (Some("duplicate"), Some(name)) => format!("its member {name} is there twice: nobody can tell which counts"),
        (_, _) => {
            "a member is of the wrong type: username, password, email are texts, roles a text or a list of texts, \
            id an integer"
                .to_owned()
        }
    }
}

/// Nobody has a name, roles and a hash of that size.
pub(super) fn too_long() -> String {
    format!("it is longer than {LONGEST} bytes")
}

/// A row of a table.
pub(super) fn from_table(texts: ForeignRow, knows_activity: bool) -> Row {
    if texts.iter().flatten().map(String::len).sum::<usize>() > LONGEST {
        return Err(too_long());
    }
    let [id, username, password, roles, active, email] = texts;
    Ok(ForeignAccount {
        id: id.map(|id| number(&id)).transpose()?,
        username: username.unwrap_or_default(),
        password,
        roles,
        active: match active {
            _ if !knows_activity => Some(true),
            None => None,
            Some(text) => truth(&text)?,
        },
        email,
    })
}

/// The columns that are taken over.
const COLUMNS: [&str; 6] = ["id", "username", "password", "roles", "is_active", "email"];

/// Which column of a CSV file is what.
#[derive(Debug)]
pub(super) struct Columns {
    id: Option<usize>,
    username: usize,
    password: usize,
    roles: Option<usize>,
    active: Option<usize>,
    email: Option<usize>,
    count: usize,
}

impl Columns {
    /// From the line of names.
    pub(super) fn read(names: &csv::ByteRecord) -> Result<Self, Failure> {
        let places = |wanted: &str| {
            let is = |name: &[u8]| bare(name).eq_ignore_ascii_case(wanted.as_bytes());
            let places = names.iter().enumerate().filter(move |(_, name)| is(name));
            places.map(|(index, _)| index).collect::<Vec<_>>()
        };
        for column in COLUMNS {
            if places(column).len() > 1 {
                let hint = "give each column once: nobody can tell which of them counts";
                let why = format!("the column {column} is there twice");
                return Err(Failure::run("the file cannot be taken over", why, hint));
            }
        }
        let find = |wanted: &str| places(wanted).first().copied();
        let needed = |wanted: &str| find(wanted).ok_or_else(|| no_column(wanted, names));
        Ok(Self {
            id: find("id"),
            username: needed("username")?,
            password: needed("password")?,
            roles: find("roles"),
            active: find("is_active"),
            email: find("email"),
            count: names.len(),
        })
    }

    /// A row. An empty field is NULL, as PostgreSQL's COPY writes it.
    pub(super) fn account(&self, record: &csv::ByteRecord) -> Row {
        if record.as_slice().len() > LONGEST {
            return Err(too_long());
        }
        if record.len() != self.count {
            return Err(format!(
                "it has {} fields, the line of names has {}",
                record.len(),
                self.count
            ));
        }
        let text = |index: usize| match record.get(index).unwrap_or_default() {
            b"" => Ok(None),
            bytes => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err("it is not UTF-8".to_owned()),
            },
        };
        let optional = |index: Option<usize>| index.map_or(Ok(None), text);
        let active = match self.active {
            None => Some(true),
            Some(index) => match text(index)? {
                None => None,
                Some(word) => truth(&word)?,
            },
        };
        Ok(ForeignAccount {
            id: optional(self.id)?.map(|id| number(&id)).transpose()?,
            username: text(self.username)?.unwrap_or_default(),
            password: text(self.password)?,
            roles: optional(self.roles)?,
            active,
            email: optional(self.email)?,
        })
    }
}

/// A name of a column, without what stands around it.
fn bare(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name).trim_ascii()
}

/// What the first line is instead. It is shown only where it is one of names: it may be a row, with a password.
fn no_column(wanted: &str, names: &csv::ByteRecord) -> Failure {
    let mut why = format!("there is no column {wanted}; the first line has ");
    let only = names.iter().next().filter(|_| names.len() == 1).unwrap_or_default();
    let mut hint = "the first line names the columns: username, password, and roles, is_active, email, id where there \
        are such";
    let known = |name: &[u8]| {
        COLUMNS
            .iter()
            .any(|column| bare(name).eq_ignore_ascii_case(column.as_bytes()))
    };
    if only.contains(&b';') {
        why.push_str("one field, and semicolons in it");
        hint = "it seems to be kept apart by semicolons: save it with commas";
    } else if only.contains(&b'\t') {
        why.push_str("one field, and tabs in it");
        hint = "it seems to be kept apart by tabs: save it with commas";
    } else if names.iter().any(known) {
        let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(bare(name))).collect();
        why.push_str(&terminal::shown(&names.join(", ")));
    } else {
        why.push_str(&format!("{} fields", names.len()));
    }
    Failure::run("the file cannot be taken over", why, hint)
}

fn number(text: &str) -> Result<i64, String> {
    text.trim()
        .parse()
        .map_err(|_| "its id is no integer of 64 bits".to_owned())
}

/// As databases write it.
fn truth(text: &str) -> Result<Option<bool>, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "" | "null" | "\\n" => Ok(None),
        "t" | "true" | "1" | "y" | "yes" | "on" => Ok(Some(true)),
        "f" | "false" | "0" | "n" | "no" | "off" => Ok(Some(false)),
        _ => Err(no_truth()),
    }
}

fn no_truth() -> String {
    "is_active is neither true nor false".to_owned()
}
