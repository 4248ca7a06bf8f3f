//! The table of HTTP/2 exchanges, `http2.table`: fields exactly as they are written, on a connection each.
//!
//! Expectations: a status; `rst`, the stream is reset; `goaway`, the connection ends. Where it does not end, another request
//! follows on it and is answered.

use super::table::{Row, read, unescape};
use super::{check_forwarded, config, since};
use crate::path::gate::Gate;
use crate::support::h2fields::{Message, Outcome, exchange};
use crate::support::raw::RawClient;
use crate::support::upstream::Upstream;

#[test]
fn the_table_of_http_2_exchanges() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&config(&backend.url()));
    let (ann, eve) = (gate.token("ann", &["user"]), gate.token("eve", &["admin"]));
    let named = [("ann", ann.as_str()), ("eve", eve.as_str())];
    let rows = read("http2.table");
    let mut wrong = Vec::new();
    for row in &rows {
        if let Err(why) = play(row, &named, &gate, &backend) {
            wrong.push(format!("http2.table:{} {}: {why}", row.line, row.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    assert!(rows.len() >= 90, "{} rows", rows.len());
}

fn play(row: &Row, named: &[(&str, &str)], gate: &Gate, backend: &Upstream) -> Result<(), String> {
    let before = backend.requests().len();
    let message = message(row, named);
    let client = RawClient::connect_tls(gate.listener(1), "localhost", gate.authority().trusting_client(&["h2"]));
    let next = Message {
        fields: fields("GET", "app.test", "/public/next"),
        ..Message::default()
    };
    let outcomes = exchange(client, &[message.clone(), next]);
    let seen = since(before, gate, backend);
    let own = outcomes.streams.get(&1);
    let told = match own {
        _ if outcomes.gone.is_some_and(|code| code != 0) => "goaway".to_owned(),
        Some(Outcome::Answered(status, _)) => status.to_string(),
        Some(Outcome::Reset(_)) => "rst".to_owned(),
        None => "nothing".to_owned(),
    };
    if told != row.expected {
        return Err(format!("{told}, not {}: {outcomes:?}", row.expected));
    }
    let complete: Vec<&str> = seen
        .iter()
        .filter(|request| request.complete)
        .map(|request| request.target.as_str())
        .collect();
    let mut wanted = Vec::new();
    if told == "200" {
        let sent = message
            .fields
            .iter()
            .find(|(name, _)| name == b":path")
            .map(|(_, path)| String::from_utf8(path.clone()).unwrap());
        wanted.push(sent.unwrap_or_default());
    }
    if told != "goaway" {
        if !matches!(outcomes.streams.get(&3), Some(Outcome::Answered(200, _))) {
            return Err(format!("the next request was not answered: {outcomes:?}"));
        }
        wanted.push("/public/next".to_owned());
    }
    let (mut got, mut right) = (complete.clone(), wanted.iter().map(String::as_str).collect::<Vec<_>>());
    got.sort_unstable();
    right.sort_unstable();
    if got != right {
        return Err(format!("the backend saw {complete:?}, not {wanted:?}"));
    }
    for request in &seen {
        check_forwarded(request)?;
    }
    for more in &row.more {
        let request = seen.iter().find(|request| request.target != "/public/next");
        let holds = match (more.as_bytes()[0], own, request) {
            (b'!', Some(Outcome::Answered(_, body)), _) => {
                let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
                document["error"] == more[1..]
            }
            (b'-', _, Some(request)) => !request.headers.has(&more[1..]),
            (b'=', _, Some(request)) => request.text() == more[1..],
            (_, _, Some(request)) => more
                .split_once(": ")
                .is_some_and(|(name, value)| request.headers.all(name) == [value]),
            (_, _, None) => false,
        };
        if !holds {
            return Err(format!("{more:?} does not hold: {outcomes:?} {seen:?}"));
        }
    }
    Ok(())
}

type Field = (Vec<u8>, Vec<u8>);

fn fields(method: &str, authority: &str, path: &str) -> Vec<Field> {
    [
        (":method", method),
        (":scheme", "https"),
        (":authority", authority),
        (":path", path),
    ]
    .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    .to_vec()
}

/// All fields of a request (`R`), or what is added to those of an ordinary GET (`H`) or POST with a body behind an empty line (`B`),
/// the trailers of a POST (`X`), its path (`P`), authority (`A`), method (`M`).
fn message(row: &Row, named: &[(&str, &str)]) -> Message {
    let (letter, text) = row.parts();
    let (lines, body) = match text.split_once("⏎⏎") {
        Some((lines, body)) => (lines, Some(unescape(body, named))),
        None => (text, None),
    };
    let parsed = || -> Vec<Field> {
        let lines = lines.split('⏎').filter(|line| !line.is_empty());
        lines.map(|line| field(line, named)).collect()
    };
    let plain = |fields: Vec<Field>| Message {
        fields,
        body: body.clone(),
        trailers: None,
    };
    let raw = |place: usize| {
        let mut fields = fields("GET", "app.test", "/public");
        fields[place].1 = unescape(text, named);
        plain(fields)
    };
    match letter {
        "R" => plain(parsed()),
        "H" => plain([fields("GET", "app.test", "/public"), parsed()].concat()),
        "B" => plain([fields("POST", "app.test", "/public"), parsed()].concat()),
        "X" => Message {
            fields: fields("POST", "app.test", "/public"),
            body: Some(b"abc".to_vec()),
            trailers: Some(parsed()),
        },
        "M" => raw(0),
        "A" => raw(2),
        "P" => raw(3),
        _ => panic!("line {}: the letter {letter}", row.line),
    }
}

/// `name: value`; the name may begin with a colon.
fn field(line: &str, named: &[(&str, &str)]) -> Field {
    let (name, value) = line
        .split_once(": ")
        .or_else(|| line.split_once(":="))
        .unwrap_or((line, ""));
    (unescape(name, named), unescape(value, named))
}
