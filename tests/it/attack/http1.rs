//! The table of HTTP/1 exchanges, `http1.table`.
//!
//! Expectations: a status, and `!` where the connection ends after it. Where it goes on, a request that follows in the same bytes
//! is answered too, and is the next thing the backend sees; where it ends, that request is nobody's. `~`: the head may have
//! reached the backend when the body turned out to be bad; its end never does. `.`: nothing follows.

use super::table::{Row, read, unescape};
use super::{check_forwarded, config, since};
use crate::path::gate::Gate;
use crate::support::raw::{RawClient, RawResponse};
use crate::support::upstream::{Request, Upstream};

const NEXT: &str = "GET /public/next HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";

struct Expected {
    status: u16,
    closes: bool,
    head_may_pass: bool,
    alone: bool,
}

#[test]
fn the_table_of_http_1_exchanges() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let (ann, eve) = (gate.bearer("ann", &["user"]), gate.bearer("eve", &["admin"]));
    let named = [("ann", ann.trim_end()), ("eve", eve.trim_end())];
    let rows = read("http1.table");
    let mut wrong = Vec::new();
    for row in &rows {
        if let Err(why) = play(row, &named, &gate, &backend) {
            wrong.push(format!("http1.table:{} {}: {why}", row.line, row.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    assert!(rows.len() >= 250, "{} rows", rows.len());
    // Everything that ever went to the backend, understood there or not.
    for connection in backend.connections() {
        let bytes = String::from_utf8_lossy(&connection.bytes).to_lowercase();
        for never in ["evil", "smuggled", &ann.to_lowercase(), &eve.to_lowercase()] {
            assert!(!bytes.contains(never.trim_end()), "{never} in {bytes:?}");
        }
    }
}

fn play(row: &Row, named: &[(&str, &str)], gate: &Gate, backend: &Upstream) -> Result<(), String> {
    let expected = expected(row);
    let request = row.bytes(named);
    let before = backend.requests().len();
    let mut bytes = request.clone();
    if !expected.alone {
        bytes.extend(if expected.closes { SMUGGLED } else { NEXT }.as_bytes());
    }
    let mut client = gate.connect();
    // Whom the gateway refuses early may not get rid of everything.
    let _ = client.try_send(&bytes);
    let answers = answers(&mut client, request.starts_with(b"HEAD "), &expected)?;
    let seen = since(before, gate, backend);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    let follows = !expected.closes && !expected.alone;
    let wanted: Vec<u16> = [expected.status].into_iter().chain(follows.then_some(200)).collect();
    if statuses != wanted {
        return Err(format!(
            "answered {statuses:?}, not {wanted:?}; {}",
            answers.first().map_or(String::new(), RawResponse::text)
        ));
    }
    check_answer(row, &answers[0], &expected)?;
    let (complete, open): (Vec<_>, Vec<_>) = seen.iter().partition(|request| request.complete);
    let own = usize::from(expected.status == 200);
    let targets: Vec<&str> = complete.iter().map(|request| request.target.as_str()).collect();
    if complete.len() != own + usize::from(follows) || follows && targets.last() != Some(&"/public/next") {
        return Err(format!("the backend saw {targets:?}"));
    }
    if !expected.head_may_pass && !open.is_empty() {
        return Err(format!("the backend saw the start of {:?}", open[0].target));
    }
    for request in &seen {
        check_forwarded(request)?;
    }
    match own {
        0 => Ok(()),
        _ => check_request(row, &request, complete[0]),
    }
}

fn expected(row: &Row) -> Expected {
    let text = row.expected.as_str();
    Expected {
        status: text[..3]
            .parse()
            .unwrap_or_else(|_| panic!("line {}: {text}", row.line)),
        closes: text.contains('!'),
        head_may_pass: text.contains('~'),
        alone: text.contains('.'),
    }
}

/// Every answer there is.
fn answers(client: &mut RawClient, to_head: bool, expected: &Expected) -> Result<Vec<RawResponse>, String> {
    let mut answers = Vec::new();
    loop {
        let answer = if to_head && answers.is_empty() {
            Ok(client.response_to_head())
        } else {
            client.try_response()
        };
        match answer {
            Ok(answer) if answer.status == 100 => {}
            Ok(answer) => {
                let last = !answer.keeps_alive();
                answers.push(answer);
                if last {
                    return match client.take_all() {
                        Ok(rest) if rest.is_empty() => Ok(answers),
                        other => Err(format!("instead of the end: {other:?}")),
                    };
                }
                if expected.alone && !expected.closes {
                    return Ok(answers);
                }
            }
            Err(broken) => return Err(format!("{broken} after {} answers", answers.len())),
        }
    }
}

/// Every refusal is a problem document; what else the row says of it begins with `!` (its code) or `<` (a header line).
fn check_answer(row: &Row, answer: &RawResponse, expected: &Expected) -> Result<(), String> {
    if expected.closes == answer.keeps_alive() && !expected.alone {
        return Err(format!("the connection is kept: {}", answer.keeps_alive()));
    }
    if expected.status >= 400 && answer.header("content-type") != Some("application/problem+json") {
        return Err(format!("no problem document: {}", answer.text()));
    }
    for more in &row.more {
        if let Some(code) = more.strip_prefix('!')
            && answer.json()["error"] != code
        {
            return Err(format!("the code is {}", answer.json()["error"]));
        }
        if let Some((name, value)) = more.strip_prefix("< ").and_then(|line| line.split_once(": "))
            && answer.header(name) != Some(value)
        {
            return Err(format!("{name} is {:?}", answer.header(name)));
        }
    }
    Ok(())
}

/// What the backend got: the target that was sent unless the row names another (`/…`), and header lines, missing names (`-`), the
/// body (`=`).
fn check_request(row: &Row, sent: &[u8], got: &Request) -> Result<(), String> {
    let text = String::from_utf8_lossy(sent);
    let mut words = text.trim_start_matches("\r\n").split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let named = row.more.iter().find(|more| more.starts_with('/') || *more == "*");
    let target = named.map_or(target, String::as_str);
    if (got.method.as_str(), got.target.as_str()) != (method, target) {
        return Err(format!("the backend got {} {:?}", got.method, got.target));
    }
    for more in &row.more {
        let more = &String::from_utf8(unescape(more, &[])).unwrap();
        let holds = match more.as_bytes()[0] {
            b'/' | b'!' | b'<' | b'*' => true,
            b'-' => !got.headers.has(&more[1..]),
            b'=' => got.text() == more[1..],
            _ => {
                let (name, value) = more
                    .split_once(':')
                    .unwrap_or_else(|| panic!("line {}: {more}", row.line));
                got.headers.all(name) == [value.trim()]
            }
        };
        if !holds {
            return Err(format!(
                "{more:?} does not hold: {:?} {:?}",
                String::from_utf8_lossy(&got.head),
                got.text()
            ));
        }
    }
    Ok(())
}
