//! The two who are asked: the gateway and the original, each over a database of its own with the same people in it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::json;

use super::forge::{Members, Person, forge};
use crate::accounts::world::PASSWORD;
use crate::attack::table::unescape;
use crate::postgres::{Cluster, Database};
use crate::support::flask::{Edition, Libraries};

/// One of them.
pub struct Side {
    pub name: &'static str,
    /// Whether it is the gateway.
    pub ours: bool,
    pub address: SocketAddr,
    pub people: People,
    row: Cell<usize>,
    /// What the last token of the row was made of.
    pub forged: RefCell<Members>,
}

/// The people of a database.
pub struct People {
    database: String,
    known: HashMap<String, Person>,
    hash: String,
}

/// Name, password, roles, is_active.
const PEOPLE: [(&str, &str, &str, &str); 24] = [
    ("alice", PASSWORD, "'user'", "true"),
    ("root", PASSWORD, "'user,admin'", "true"),
    ("off", PASSWORD, "'user'", "false"),
    ("unsaid", PASSWORD, "'user'", "NULL"),
    ("spaced", PASSWORD, "'ops, admin , user'", "true"),
    ("noroles", PASSWORD, "NULL", "true"),
    ("emptyroles", PASSWORD, "''", "true"),
    (" padded ", PASSWORD, "'user'", "true"),
    ("zoë", PASSWORD, "'jäger'", "true"),
    ("a,b:c", PASSWORD, "'user'", "true"),
    ("", "", "'user'", "true"),
    ("blanks", " blanks ", "'user'", "true"),
    ("umlaut", "pä\u{df}wörd \u{1f600}", "'user'", "true"),
    ("nul", "a\0b", "'user'", "true"),
    ("long", "4096", "'user'", "true"),
    ("wide", "3000", "'user'", "true"),
    ("pending1", PASSWORD, "'user'", "false"),
    ("pending2", PASSWORD, "'user'", "false"),
    ("pending3", PASSWORD, "'user'", "false"),
    ("pending4", PASSWORD, "'user'", "false"),
    ("forgot1", PASSWORD, "'user'", "true"),
    ("forgot2", PASSWORD, "'user'", "true"),
    ("forgot3", PASSWORD, "'user'", "true"),
    ("forgot4", PASSWORD, "'user'", "true"),
];

impl People {
    /// Makes the table of this edition and puts everybody into it.
    pub fn settle(edition: Edition, database: &Database<'_>, libraries: &mut Libraries) -> Self {
        // As cheap as they can be: the cost of hashing is not what is tested here.
        let mut hash = |password: &str| libraries.hash("pbkdf2_sha512", password, &json!({ "rounds": 2 }));
        let good = hash(PASSWORD);
        let mut rows = Vec::new();
        for (name, password, roles, active) in PEOPLE {
            let password = match password {
                "4096" => "x".repeat(4096),
                "3000" => "é".repeat(3000),
                password => password.to_owned(),
            };
            rows.push((name, hash(&password), roles, active));
        }
        rows.push(("odd", "$unknown$1$abc".to_owned(), "'user'", "true"));
        rows.push(("plain", "plain".to_owned(), "'user'", "true"));
        rows.push((
            "django",
            libraries.hash("pbkdf2_sha256", PASSWORD, &json!({ "rounds": 2 })),
            "'user'",
            "true",
        ));
        if edition != Edition::Mail {
            rows.push(("twin", good.clone(), "'user'", "true"));
            rows.push(("twin", good.clone(), "'user'", "true"));
        }
        let (columns, address) = match edition {
            Edition::Mail => (", email", true),
            Edition::Plain | Edition::Mended => ("", false),
        };
        let values: Vec<String> = rows
            .iter()
            .map(|(name, hash, roles, active)| {
                let address = if address {
                    format!(", '{name}@example.com'")
                } else {
                    String::new()
                };
                format!("('{name}', '{hash}', {roles}, {active}{address})")
            })
            .collect();
        database.psql(edition.table());
        database.psql(&format!(
            "INSERT INTO users (username, password, roles, is_active{columns}) VALUES {}",
            values.join(",")
        ));
        let mut people = Self {
            database: database.name.clone(),
            known: HashMap::new(),
            hash: good,
        };
        for (name, ..) in PEOPLE {
            let person = people.look_up(name).unwrap();
            people.known.insert(name.to_owned(), person);
        }
        people
    }

    pub fn psql(&self, sql: &str) -> String {
        Cluster::shared().psql(&self.database, sql)
    }

    /// Who that is now.
    pub fn look_up(&self, name: &str) -> Option<Person> {
        let sql = format!("SELECT id || ' ' || coalesce(roles, '') FROM users WHERE username = '{name}'");
        // No line, or a line without an end that psql() has cut.
        let line = Cluster::shared().psql(&self.database, &sql);
        let (id, roles) = line.split_once(' ').unwrap_or((line.as_str(), ""));
        let id = id.parse().ok()?;
        let roles = roles.to_owned();
        Some(Person { id, roles })
    }
}

impl Side {
    pub fn new(name: &'static str, ours: bool, address: SocketAddr, people: People) -> Self {
        Self {
            name,
            ours,
            address,
            people,
            row: Cell::new(0),
            forged: RefCell::default(),
        }
    }

    /// From now on `{new}` is another name.
    pub fn next_row(&self) {
        self.row.set(self.row.get() + 1);
    }

    /// What a text of the table stands for here, as bytes.
    pub fn bytes(&self, text: &str) -> Vec<u8> {
        unescape(&self.filled(text), &[])
    }

    /// The same where it is text.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8(self.bytes(text)).unwrap()
    }

    fn filled(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            let inner = &rest[at + 1..];
            let end = closing(inner);
            match end.and_then(|end| Some((self.placeholder(&inner[..end])?, &inner[end + 1..]))) {
                Some((value, after)) => {
                    filled.push_str(&value);
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = inner;
                }
            }
        }
        filled + rest
    }

    fn placeholder(&self, inner: &str) -> Option<String> {
        if let Some(name) = inner.strip_prefix("id ") {
            return Some(self.people.known[name].id.to_string());
        }
        if inner == "T" || inner.starts_with("T ") {
            let edits = self.filled(&inner[1..]);
            let jti = format!("6f1a6ba2-5d3e-4a52-9c0f-{:012}", self.row.get());
            let forged = forge(edits.strip_prefix(' ').unwrap_or(""), &jti, |name| {
                self.people
                    .known
                    .get(name)
                    .unwrap_or_else(|| panic!("nobody is called {name:?}"))
                    .clone()
            });
            *self.forged.borrow_mut() = forged.claims;
            return Some(forged.token);
        }
        match inner {
            "new" => Some(format!("new{}", self.row.get())),
            "pw" => Some(PASSWORD.to_owned()),
            "hash" => Some(self.people.hash.clone()),
            "host" => Some(self.address.to_string()),
            _ => None,
        }
    }
}

/// Where the brace that is open is closed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}
