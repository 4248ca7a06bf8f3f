//! How the rows of `tables/*.table` are written, and what is expected of an answer.
//!
//! ```text
//! whom | its name | METHOD PATH ⇒ Name: value ⇒ = body | what is answered [| what the original answers, where that differs]
//! ```
//!
//! *whom*: `S` the server without e-mail, `M` the one with, `both`, or `S0`, the former with its refresh as it stands. Placeholders are
//! `side.rs`'s and `forge.rs`'s to say, escapes `attack/table.rs`'s. An answer is a status (or `4xx`, or several with `/`) and one of
//!
//! * `= JSON`: exactly this body; `<access NAME>` is a token for this person as the library makes it, `<refreshed>` the successor of
//!   the token that was sent
//! * `Class: text`: an error of the library; a text that ends with `…` only begins so
//! * `*`: some error in the same form; `html`: Flask's own; `bug`: gunicorn's bare 500
//! * `preflight FIELDS`: with these fields allowed; `nothing`: without a body; `any`: whatever its body is
//!
//! and then, each behind a `⇒`: `Name: value` or `Name absent` for a header, `sql QUERY → ANSWER` for what stands in the database.
//! Answers with `⇉` between them are those to the same request sent again. CORS, content type and cookies are looked at on each.

use std::path::Path;

/// One row.
#[derive(Debug)]
pub struct Row {
    pub place: String,
    pub whom: String,
    pub name: String,
    pub method: String,
    pub path: String,
    pub fields: Vec<(String, String)>,
    pub body: String,
    pub ours: Vec<Expected>,
    pub original: Vec<Expected>,
}

/// What an answer must be.
#[derive(Clone, Debug)]
pub struct Expected {
    pub statuses: Vec<u16>,
    pub body: Body,
    pub more: Vec<More>,
}

#[derive(Clone, Debug)]
pub enum Body {
    Json(String),
    Error { class: String, text: String },
    SomeError,
    Html,
    Bug,
    Preflight(String),
    Nothing,
    Any,
}

#[derive(Clone, Debug)]
pub enum More {
    Header(String, String),
    Absent(String),
    Sql(String, String),
}

/// The rows of all tables.
pub fn read() -> Vec<Row> {
    let tables = ["paths", "login", "protected", "refresh", "registration", "mail"];
    tables
        .iter()
        .flat_map(|table| read_one(&format!("{table}.table")))
        .collect()
}

fn read_one(file: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/compat/tables")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| row(format!("{file}:{}", index + 1), line))
        .collect()
}

fn row(place: String, line: &str) -> Row {
    let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
    assert!(
        columns.len() == 4 || columns.len() == 5,
        "{place} has {} columns",
        columns.len()
    );
    let ours = answers(&place, columns[3]);
    let original = columns.get(4).map_or(ours.clone(), |column| answers(&place, column));
    let mut parts = columns[2].split(" ⇒ ");
    let (method, path) = parts
        .next()
        .and_then(|part| part.split_once(' '))
        .unwrap_or_else(|| panic!("{place}: no request"));
    let (mut fields, mut body) = (Vec::new(), String::new());
    for part in parts {
        if let Some(text) = part.strip_prefix("= ") {
            body = text.to_owned();
        } else {
            let (name, value) = part
                .split_once(':')
                .unwrap_or_else(|| panic!("{place}: {part:?} is no field"));
            fields.push((name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned()));
        }
    }
    Row {
        whom: columns[0].to_owned(),
        name: columns[1].to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        fields,
        body,
        ours,
        original,
        place,
    }
}

fn answers(place: &str, column: &str) -> Vec<Expected> {
    column.split(" ⇉ ").map(|answer| expected(place, answer)).collect()
}

fn expected(place: &str, answer: &str) -> Expected {
    let mut parts = answer.split(" ⇒ ");
    let (status, rest) = parts
        .next()
        .and_then(|part| part.split_once(' '))
        .unwrap_or_else(|| panic!("{place}: no answer"));
    let statuses = if status == "4xx" {
        vec![400, 401, 403, 404, 409, 422]
    } else {
        status
            .split('/')
            .map(|one| one.parse().unwrap_or_else(|_| panic!("{place}: status {status}")))
            .collect()
    };
    let body = match rest {
        "*" => Body::SomeError,
        "html" => Body::Html,
        "bug" => Body::Bug,
        "nothing" => Body::Nothing,
        "any" => Body::Any,
        _ => {
            if let Some(json) = rest.strip_prefix("= ") {
                Body::Json(json.to_owned())
            } else if let Some(fields) = rest.strip_prefix("preflight") {
                Body::Preflight(fields.trim().to_owned())
            } else {
                let (class, text) = rest
                    .split_once(": ")
                    .unwrap_or_else(|| panic!("{place}: answer {rest:?}"));
                Body::Error {
                    class: class.to_owned(),
                    text: text.to_owned(),
                }
            }
        }
    };
    Expected {
        statuses,
        body,
        more: parts.map(|part| more(place, part)).collect(),
    }
}

fn more(place: &str, part: &str) -> More {
    if let Some(sql) = part.strip_prefix("sql ") {
        let (query, answer) = sql.split_once(" → ").unwrap_or_else(|| panic!("{place}: {sql}"));
        More::Sql(query.to_owned(), answer.to_owned())
    } else if let Some(name) = part.strip_suffix(" absent") {
        More::Absent(name.to_owned())
    } else {
        let (name, value) = part.split_once(": ").unwrap_or_else(|| panic!("{place}: {part}"));
        More::Header(name.to_owned(), value.to_owned())
    }
}
