//! Files and databases that are not what they should be, and imports that do not come to their end.

use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use super::super::Place;
use super::HASH;
use crate::support::message::text;
use crate::support::postgres::Cluster;
use crate::support::until;

fn spawn(place: &Place, arguments: &[&str]) -> Child {
    let mut command = place.command(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn line(name: &str) -> String {
    format!("{{\"username\":\"{name}\",\"password\":\"{HASH}\"}}\n")
}

/// How many users there are, by what a command says.
fn users(place: &Place) -> usize {
    let json = place.run(&["user", "list"]).out;
    json.lines().filter(|line| line.contains("user")).count()
}

#[test]
fn members_that_are_there_twice_missing_or_no_members_are_named() {
    let place = Place::new();
    let lines = [
        r#"{"username":"a","username":"b"}"#,
        r#"{"password":"secret1"}"#,
        r#"{"username":"c","id":"seven"}"#,
        r#"{"username":"d","roles":{"secret2":1}}"#,
        r#"{"username":"e","is_active":[]}"#,
        r#"["f","secret3"]"#,
        r#""g""#,
        r#"{"username":"h"#,
        r#"{"username":"\ud800"}"#,
        r#"{"username":"i"} {"username":"j"}"#,
        "\u{feff}",
    ];
    place.write("users.jsonl", &lines.join("\r\n"));
    let ended = place.run(&["user", "import", "--from", "users.jsonl"]);
    assert_eq!(
        ended.out, "11 rows: 0 taken over, 0 here already, 11 not taken over\n",
        "{ended:?}"
    );
    let said = ended.failed(
        1,
        &[
            "line 1: its member username is there twice: nobody can tell which counts",
            "line 2: its member username is missing",
            "line 3: a member is of the wrong type: username, password, email are texts, roles a text or a list of texts",
            "line 4: a member is of the wrong type",
            "line 5: is_active is neither true nor false",
            "line 6: it is no JSON object",
            "line 7: it is no JSON object",
            "line 8: it is no JSON object (column",
            "line 9: it is no JSON object (column",
            "line 10: it is no JSON object (column",
            "line 11: it is no JSON object",
        ],
    );
    assert!(!said.contains("secret") && !said.contains("seven"), "{said}");
}

#[test]
fn fields_with_line_ends_commas_and_quotes_are_what_they_say() {
    let place = Place::new();
    let csv = format!(
        "\u{feff}username,password,email\r\n\"two\r\nlines\",{HASH},\r\n\"a \"\"b\"\", c\",{HASH},\"x@y.example\r\n\"\r\nlatin,{HASH},"
    );
    let mut bytes = csv.into_bytes();
    bytes.extend_from_slice(b"\xfc@x.example\r\nlast,,\r\nLAST,,");
    std::fs::write(place.path("users.csv"), bytes).unwrap();
    let ended = place.run(&["user", "import", "--from", "users.csv"]);
    assert_eq!(
        ended.out, "5 rows: 2 taken over, 0 here already, 3 not taken over\n",
        "{ended:?}"
    );
    ended.failed(
        1,
        &[
            "row 2: a \"b\", c: its e-mail address holds a line end",
            "row 3: it is not UTF-8",
            "row 5: LAST: the name of user 2 differs from it only in case",
        ],
    );
}

#[test]
fn a_row_that_is_too_long_stays_behind_and_the_others_go_on() {
    let place = Place::new();
    let long = "x".repeat(10 << 20);
    place.write(
        "users.jsonl",
        &format!("{}{}{}", line("user1"), line(&long), line("user2")),
    );
    place.write("users.csv", &format!("username,password\nuser3,\n{long},\nuser4,\n"));
    for (file, what) in [("users.jsonl", "line 2"), ("users.csv", "row 2")] {
        let ended = place.run(&["user", "import", "--from", file]);
        assert_eq!(
            ended.out, "3 rows: 2 taken over, 0 here already, 1 not taken over\n",
            "{file}"
        );
        let said = ended.failed(
            1,
            &[&format!("not taken over: {what}: it is longer than 1048576 bytes")],
        );
        assert!(said.len() < 2_000, "{file}");
    }
}

#[test]
fn a_quote_that_is_never_closed_does_not_swallow_a_large_file() {
    let place = Place::new();
    let rows = "somebody,,\n".repeat(20 << 20 >> 3);
    place.write(
        "users.csv",
        &format!("username,password,email\nuser1,,\nuser2,,\"\n{rows}"),
    );
    let import = ["user", "import", "--from", "users.csv"];
    place.run(&import).failed(
        1,
        &[
            "row 2 cannot be read",
            "it is longer than 16777216 bytes",
            "close its quotes",
        ],
    );
}

#[test]
fn what_is_no_file_is_told_and_a_pipe_is_read() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder.csv")).unwrap();
    place
        .run(&["user", "import", "--from", "folder.csv"])
        .failed(1, &["folder.csv cannot be read"]);
    place.write("empty.jsonl", "");
    assert_eq!(
        place.run(&["user", "import", "--from", "empty.jsonl"]).done(),
        "0 rows: 0 taken over, 0 here already, 0 not taken over\n"
    );
    place.write("empty.csv", "");
    place
        .run(&["user", "import", "--from", "empty.csv"])
        .failed(1, &["there is no column username"]);
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let import = spawn(&place, &["user", "import", "--from", "pipe", "--format", "jsonl"]);
    let mut writer = File::options().write(true).open(&pipe).unwrap();
    for name in ["user1", "user2"] {
        writer.write_all(line(name).as_bytes()).unwrap();
    }
    drop(writer);
    let output = import.wait_with_output().unwrap();
    assert_eq!(
        text(&output.stdout),
        "2 rows: 2 taken over, 0 here already, 0 not taken over\n"
    );
}

#[test]
fn an_import_that_was_killed_is_done_by_the_next() {
    let place = Place::new();
    let mut import = spawn(&place, &["user", "import", "--from", "-", "--format", "jsonl"]);
    let mut input = import.stdin.take().unwrap();
    for n in 0..250 {
        input.write_all(line(&format!("user{n}")).as_bytes()).unwrap();
    }
    input.flush().unwrap();
    // The first two hundred are of one transaction; the rest waits for more.
    until("the first rows", || (users(&place) == 200).then_some(()));
    import.kill().unwrap();
    import.wait().unwrap();
    let all: String = (0..400).map(|n| line(&format!("user{n}"))).collect();
    let again = place.run_with_input(&["user", "import", "--from", "-", "--format", "jsonl"], &all);
    assert_eq!(
        again.done(),
        "400 rows: 200 taken over, 200 here already, 0 not taken over\n"
    );
    assert_eq!(users(&place), 400);
}

#[test]
fn a_database_that_goes_away_in_the_middle_is_told_and_the_rest_comes_later() {
    let place = Place::new();
    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    // More than sockets hold, so that the rest is still there when it goes away.
    database.psql(&format!(
        "CREATE TABLE users (id serial PRIMARY KEY, username text, password text, roles text, is_active boolean); \
         INSERT INTO users (username, password, roles, is_active) \
         SELECT 'user' || n, '{HASH}', repeat('role' || n || ',', 2000), TRUE FROM generate_series(1, 3000) AS n"
    ));
    let url = database.url();
    let arguments = ["user", "import", "--from", &url];
    let import = spawn(&place, &arguments);
    until("the first rows", || (users(&place) > 0).then_some(()));
    cluster.stop();
    let output = import.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "the other table stopped answering",
        "run it again: what was taken over is passed by",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let there = users(&place);
    assert!(there < 3000, "{there}");
    cluster.start_again();
    assert_eq!(
        place.run(&arguments).done(),
        format!(
            "3000 rows: {} taken over, {there} here already, 0 not taken over\n",
            3000 - there
        )
    );
}
