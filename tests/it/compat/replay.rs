//! Every row of the tables, against the gateway and against the original.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::forge::{ACCESS, Members, REFRESH, claims_of, opened, write};
use super::side::{People, Side};
use super::table::{Body, Expected, More, Row, read};
use super::{SERVED, with_mail, with_secret};
use crate::accounts::world::World;
use crate::postgres::Cluster;
use crate::support::flask::{Edition, Flask, Libraries, Sink};
use crate::support::issuer::unix_time;
use crate::support::raw::{RawClient, RawResponse};

#[test]
fn the_tables_against_the_gateway() {
    against_the_gateway(Edition::Mended, "S", 230);
}

#[test]
fn the_tables_against_the_gateway_with_mail() {
    against_the_gateway(Edition::Mail, "M", 230);
}

fn against_the_gateway(edition: Edition, whom: &str, least: usize) {
    let sink = Sink::plain();
    let database = Cluster::shared().database();
    let people = People::settle(edition, &database, &mut Libraries::start());
    let world = World::in_database(database);
    let gateway = world.gateway(&with_secret(&world, &format!("{SERVED}{}", mail(edition, sink.port))));
    let side = Side::new("Doorward", true, gateway.address, people);
    let mut report = Report::default();
    report.play(&side, whom);
    report.end(least);
}

#[test]
fn the_tables_against_the_original() {
    let mut libraries = Libraries::start();
    let mut report = Report::default();
    let sink = Sink::tls();
    for (edition, whom) in [(Edition::Mended, "S"), (Edition::Plain, "S0"), (Edition::Mail, "M")] {
        let database = Cluster::shared().database();
        let people = People::settle(edition, &database, &mut libraries);
        let flask = Flask::start_with(edition, &database.url(), &[("MAIL_PORT", &sink.port.to_string())]);
        let side = Side::new("Flask", false, flask.address, people);
        report.play(&side, whom);
    }
    report.end(460);
}

/// What the gateway needs for this revision beside the secret.
fn mail(edition: Edition, port: u16) -> String {
    match edition {
        Edition::Plain | Edition::Mended => String::new(),
        Edition::Mail => with_mail(port),
    }
}

#[derive(Default)]
struct Report {
    played: usize,
    wrong: Vec<String>,
}

impl Report {
    fn play(&mut self, side: &Side, whom: &str) {
        for row in read() {
            let is_for = match row.whom.as_str() {
                "both" => whom == "S" || whom == "M",
                // Ours has no such fault.
                "S0" => whom == if side.ours { "S" } else { "S0" },
                other => whom == other,
            };
            if is_for {
                side.next_row();
                self.played += 1;
                if let Err(why) = play(&row, side) {
                    self.wrong
                        .push(format!("{} {} ({} {whom}): {why}", row.place, row.name, side.name));
                }
            }
        }
    }

    fn end(self, least: usize) {
        assert!(
            self.wrong.is_empty(),
            "{} of {}:\n{}",
            self.wrong.len(),
            self.played,
            self.wrong.join("\n")
        );
        assert!(self.played >= least, "only {} rows", self.played);
    }
}

fn play(row: &Row, side: &Side) -> Result<(), String> {
    let request = request(row, side);
    let expected = if side.ours { &row.ours } else { &row.original };
    for (index, expected) in expected.iter().enumerate() {
        let answer = ask(row, side, &request)?;
        check(row, side, expected, &answer).map_err(|why| {
            let shown: String = answer.text().chars().take(300).collect();
            format!("{why}\n    answer {}: {} {shown}", index + 1, answer.status)
        })?;
    }
    Ok(())
}

fn request(row: &Row, side: &Side) -> Vec<u8> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
        row.method,
        side.text(&row.path),
        side.address
    );
    for (name, value) in &row.fields {
        head.push_str(&format!("{name}: {}\r\n", side.text(value)));
    }
    let body = side.bytes(&row.body);
    if !body.is_empty() || row.method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    [head.as_bytes(), b"\r\n", &body].concat()
}

fn ask(row: &Row, side: &Side, request: &[u8]) -> Result<RawResponse, String> {
    let mut client = RawClient::connect(side.address);
    client.send(request);
    if row.method == "HEAD" {
        return Ok(client.response_to_head());
    }
    client.try_response().map_err(|broken| broken.to_string())
}

fn check(row: &Row, side: &Side, expected: &Expected, answer: &RawResponse) -> Result<(), String> {
    is(expected.statuses.contains(&answer.status), || {
        format!("wanted status {:?}", expected.statuses)
    })?;
    let content_type = answer.header("content-type").unwrap_or_default();
    match &expected.body {
        Body::Bug => {
            return is(!answer.headers.has("access-control-allow-origin"), || {
                "not a bare 500".into()
            });
        }
        Body::Html => is(content_type.starts_with("text/html"), || {
            format!("content type {content_type:?}")
        })?,
        Body::Nothing => is(answer.body.is_empty(), || "has a body".into())?,
        Body::Any => {}
        Body::Preflight(fields) => preflight(fields, answer)?,
        Body::Json(_) | Body::Error { .. } | Body::SomeError => {
            is(content_type == "application/json", || {
                format!("content type {content_type:?}")
            })?;
            json_body(side, &expected.body, answer)?;
        }
    }
    cross_origin(row, side, answer)?;
    is(!answer.headers.has("set-cookie"), || "sets a cookie".into())?;
    is(side.ours || !answer.headers.has("www-authenticate"), || {
        "challenges".into()
    })?;
    expected.more.iter().try_for_each(|more| check_more(side, more, answer))
}

fn is(right: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(why()) }
}

/// Every answer can be read by every page, without credentials.
fn cross_origin(row: &Row, side: &Side, answer: &RawResponse) -> Result<(), String> {
    let origin = row
        .fields
        .iter()
        .find(|(name, _)| name == "Origin")
        .map(|(_, value)| side.text(value))
        .filter(|origin| !origin.is_empty());
    let wanted = origin.as_deref().unwrap_or("*");
    let allowed = answer.headers.all("access-control-allow-origin");
    is(allowed == [wanted], || {
        format!("Access-Control-Allow-Origin {allowed:?}")
    })?;
    is(origin.is_none() || answer.headers.lists("vary", "origin"), || {
        "no Vary: Origin".into()
    })?;
    is(!answer.headers.has("access-control-allow-credentials"), || {
        "allows credentials".into()
    })
}

fn preflight(fields: &str, answer: &RawResponse) -> Result<(), String> {
    let methods = set(&answer.headers.all("access-control-allow-methods").join(","));
    let all = set("delete, get, head, options, patch, post, put");
    is(methods == all, || format!("allows the methods {methods:?}"))?;
    let allowed = set(&answer.headers.all("access-control-allow-headers").join(","));
    is(allowed == set(fields), || format!("allows the fields {allowed:?}"))?;
    is(!answer.headers.has("access-control-max-age"), || "has a Max-Age".into())?;
    let home = answer.status == 404;
    is(home || answer.body.is_empty(), || "has a body".into())?;
    is(home || answer.headers.lists("allow", "options"), || {
        "has no Allow".into()
    })
}

fn set(list: &str) -> BTreeSet<String> {
    list.split(',')
        .map(|one| one.trim().to_ascii_lowercase())
        .filter(|one| !one.is_empty())
        .collect()
}

fn check_more(side: &Side, more: &More, answer: &RawResponse) -> Result<(), String> {
    match more {
        More::Header(name, value) => {
            let (value, given) = (side.text(value), answer.headers.all(name).join(","));
            let same = if name == "Allow" {
                set(&given) == set(&value)
            } else {
                given == value
            };
            is(same, || format!("{name}: {given:?}, not {value:?}"))
        }
        More::Absent(name) => is(!answer.headers.has(name), || format!("has {name}")),
        More::Sql(query, wanted) => {
            let given = side.people.psql(&side.text(query));
            let wanted = side.text(wanted);
            is(given == wanted, || format!("{query}: {given:?}, not {wanted:?}"))
        }
    }
}

fn json_body(side: &Side, expected: &Body, answer: &RawResponse) -> Result<(), String> {
    let given: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))?;
    let wanted = match expected {
        Body::Json(text) => {
            let text = side.text(text);
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
        }
        Body::Error { class, text } => json!({ "error": class, "message": text, "status_code": answer.status }),
        _ => json!({ "error": "…", "message": "…", "status_code": answer.status }),
    };
    same(side, &wanted, &given)
}

fn same(side: &Side, wanted: &Value, given: &Value) -> Result<(), String> {
    match (wanted, given) {
        (Value::Object(wanted), Value::Object(given)) => {
            let (names, others): (Vec<_>, Vec<_>) = (wanted.keys().collect(), given.keys().collect());
            is(names == others, || format!("members {others:?}, not {names:?}"))?;
            wanted
                .iter()
                .try_for_each(|(name, value)| same(side, value, &given[name]))
        }
        (Value::String(wanted), Value::String(given)) => {
            if let Some(name) = wanted.strip_prefix("<access ").and_then(|rest| rest.strip_suffix('>')) {
                fresh(side, name, given)
            } else if wanted == "<refreshed>" {
                refreshed(side, given)
            } else if let Some(beginning) = wanted.strip_suffix('…') {
                is(given.starts_with(beginning) && !given.is_empty(), || {
                    format!("{given:?} does not begin so: {wanted:?}")
                })
            } else {
                is(wanted == given, || format!("{given:?}, not {wanted:?}"))
            }
        }
        _ => is(wanted == given, || format!("{given}, not {wanted}")),
    }
}

/// A token as the library makes it, byte for byte.
fn fresh(side: &Side, name: &str, token: &str) -> Result<(), String> {
    let (header, claims) = opened(token)?;
    is(header == r#"{"typ":"JWT","alg":"HS256"}"#, || {
        format!("header {header}")
    })?;
    let value: Value = serde_json::from_str(&claims).map_err(|error| error.to_string())?;
    let issued = issued_now(&value)?;
    let jti = value["jti"].as_str().unwrap_or_default();
    is(jti.len() == 36 && jti.as_bytes()[14] == b'4', || format!("jti {jti}"))?;
    let person = side.people.look_up(name).ok_or(format!("nobody is called {name:?}"))?;
    let wanted = write(&claims_of(&person, jti, issued));
    is(claims == wanted, || format!("claims {claims}, not {wanted}"))?;
    is(value["rf_exp"] == issued + REFRESH, || "rf_exp".into())
}

fn issued_now(claims: &Value) -> Result<i64, String> {
    let (now, issued) = (
        i64::try_from(unix_time()).unwrap(),
        claims["iat"].as_i64().unwrap_or_default(),
    );
    // A slow machine is allowed for; a wrong unit or a local time is not.
    is((now - 60..=now + 1).contains(&issued), || {
        format!("iat {issued}, now it is {now}")
    })?;
    Ok(issued)
}

/// The successor of the token that was sent.
fn refreshed(side: &Side, token: &str) -> Result<(), String> {
    let (header, claims) = opened(token)?;
    is(header == r#"{"typ":"JWT","alg":"HS256"}"#, || {
        format!("header {header}")
    })?;
    let value: Value = serde_json::from_str(&claims).map_err(|error| error.to_string())?;
    let issued = issued_now(&value)?;
    let old = side.forged.borrow();
    let of_old = |name: &str| old.iter().find(|(member, _)| member == name).unwrap().1.clone();
    let limit: i64 = of_old("rf_exp").parse().unwrap();
    let id = of_old("id");
    let roles = side
        .people
        .psql(&format!("SELECT coalesce(roles, '') FROM users WHERE id = {id}"));
    let mut wanted: Members = vec![
        ("iat".into(), issued.to_string()),
        ("exp".into(), limit.min(issued + ACCESS).to_string()),
        ("jti".into(), of_old("jti")),
        ("id".into(), id),
        ("rls".into(), super::forge::quoted(&roles)),
        ("rf_exp".into(), limit.to_string()),
    ];
    let known = ["iat", "exp", "jti", "id", "rls", "rf_exp"];
    wanted.extend(old.iter().filter(|(name, _)| !known.contains(&name.as_str())).cloned());
    let wanted = write(&wanted);
    is(claims == wanted, || format!("claims {claims}, not {wanted}"))
}
