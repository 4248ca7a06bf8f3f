//! `doorward user import`: from files and from another database, again and again.

mod odd;

use super::Place;
use crate::support::postgres::Cluster;

/// "swordfish", as passlib's pbkdf2_sha512 has it with few rounds.
const HASH: &str = "$pbkdf2-sha512$25000$VUoJYWwtxVjrfQ9BaI2R8g$SH6gJgUhY4W6ZLkTrdFOVj/bOPRPJZ2zMbn2tQXaCqKw/q6x5M2NdHH3tI1ao/f4rHBj8I9l8UBDsEfVYlPjzA";

#[test]
fn json_lines_are_taken_over_and_what_stays_behind_is_told_with_its_line() {
    let place = Place::new();
    let lines = [
        format!(r#"{{"username":"alice","password":"{HASH}","roles":"user,admin","is_active":true,"id":7,"more":1}}"#),
        r#"{"username":"bob","password":"swordfish in the clear","roles":["user"]}"#.to_owned(),
        String::new(),
        r#"{"username":"carol","roles":["user","doorward-admin"],"is_active":null}"#.to_owned(),
        "not json".to_owned(),
        r#"{"username":5}"#.to_owned(),
        r#"{"username":"Alice"}"#.to_owned(),
        r#"{"username":"dave","id":7}"#.to_owned(),
    ];
    place.write("users.jsonl", &lines.join("\n"));
    let import = ["user", "import", "--from", "users.jsonl"];
    let ended = place.run(&import);
    assert_eq!(ended.out, "7 rows: 2 taken over, 0 here already, 5 not taken over\n");
    let said = ended.failed(
        1,
        &[
            "not taken over: line 2: bob: its password is no hash",
            "note: line 4: carol: it has no password",
            "note: line 4: carol: the role doorward-admin in it has no effect",
            "not taken over: line 5: it is no JSON object",
            "not taken over: line 6: a member is of the wrong type",
            "not taken over: line 7: Alice: the name of user 7 differs from it only in case",
            "not taken over: line 8: dave: its id is another user's here",
            "error: 5 rows were not taken over",
        ],
    );
    assert!(!said.contains("swordfish"), "{said}");
    let users = place.run(&["user", "list"]).done();
    assert!(users.contains("7   alice  yes     user,admin"), "{users}");
    assert!(
        users.contains("carol  no      user\n"),
        "the admin role is granted by command only: {users}"
    );
    assert_eq!(
        place.run(&import).out,
        "7 rows: 0 taken over, 2 here already, 5 not taken over\n"
    );

    place.write("new.jsonl", r#"{"username":"dave","id":7,"password":"","roles":""}"#);
    let new_ids = ["user", "import", "--from", "new.jsonl", "--new-ids"];
    assert_eq!(
        place.run(&new_ids).done(),
        "1 rows: 1 taken over, 0 here already, 0 not taken over\n"
    );
    // Changed here since: told, and left alone.
    place.run(&["user", "roles", "alice", "ops"]).done();
    place.run(&import).failed(
        1,
        &["line 1: alice: a user of this name is here (id 7) and differs in roles"],
    );
    assert!(place.run(&["user", "show", "alice"]).done().contains("roles     ops"));
}

#[test]
fn csv_as_databases_write_it() {
    let place = Place::new();
    let csv = format!(
        "\u{feff}ID,username,password,roles,is_active,email\r\n9,erin,{HASH},\"user,ops\",t,e@x.example\r\n\
         10,\"fr,\"\"ank\",,,,\r\n11,grace,,user,maybe,\r\n12,x\r\nten,y,,,f,\r\n"
    );
    let import = ["user", "import", "--from", "-", "--format", "csv"];
    let ended = place.run_with_input(&import, &csv);
    assert_eq!(ended.out, "5 rows: 2 taken over, 0 here already, 3 not taken over\n");
    ended.failed(
        1,
        &[
            "row 3: is_active is neither true nor false",
            "row 4: it has 2 fields, the line of names has 6",
            "row 5: its id is no integer of 64 bits",
        ],
    );
    let users = place.run(&["user", "list"]).done();
    assert!(users.contains("9   erin     yes     user,ops  e@x.example"), "{users}");
    assert!(users.contains("10  fr,\"ank  no"), "NULL is inactive: {users}");
    place.write("none.csv", "name,password\n");
    place
        .run(&["user", "import", "--from", "none.csv"])
        .failed(1, &["there is no column username"]);
    place
        .run(&["user", "import", "--from", "x.txt"])
        .failed(2, &["--format jsonl"]);
    place
        .run(&["user", "import", "--from", "x.csv"])
        .failed(1, &["x.csv cannot be read"]);
}

#[test]
fn a_table_of_another_database_is_only_read() {
    let place = Place::new();
    let database = Cluster::shared().database();
    database.psql(&format!(
        "CREATE TABLE users (id serial PRIMARY KEY, username text, password text, roles text, is_active boolean); \
         INSERT INTO users (username, password, roles, is_active) \
         SELECT 'user' || n, '{HASH}', 'user', n % 2 = 0 FROM generate_series(1, 450) AS n; \
         INSERT INTO users (username, roles) VALUES ('user7', 'twice'), ('nobody', NULL);"
    ));
    let before = database.psql("SELECT md5(string_agg(u::text, ',' ORDER BY id)) FROM users u");
    let url = database.url();
    let import = ["user", "import", "--from", &url];
    let ended = place.run(&import);
    assert_eq!(
        ended.out, "452 rows: 451 taken over, 0 here already, 1 not taken over\n",
        "{ended:?}"
    );
    ended.failed(
        1,
        &["row with id 451: user7: a user of this name is here (id 7) and differs in id, password, roles;"],
    );
    assert_eq!(
        place.run(&import).out,
        "452 rows: 0 taken over, 451 here already, 1 not taken over\n"
    );
    assert!(place.run(&["user", "show", "user450"]).done().contains("active    yes"));
    assert!(place.run(&["user", "show", "--id", "452"]).done().contains("nobody"));
    assert_eq!(
        database.psql("SELECT md5(string_agg(u::text, ',' ORDER BY id)) FROM users u"),
        before
    );
    place
        .run(&["user", "import", "--from", &url, "--table", "people"])
        .failed(1, &["there is no table people"]);
    place
        .run(&["user", "import", "--from", &url, "--table", "users; DROP TABLE users"])
        .failed(1, &["the other table cannot be read"]);
    assert_eq!(database.psql("SELECT count(*) FROM users"), "452");
}

#[test]
fn a_row_that_the_table_refuses_is_told_and_the_others_go_on() {
    let place = Place::new();
    let database = Cluster::shared().database();
    database.psql(
        "CREATE TABLE users (id serial PRIMARY KEY, username varchar(20), password text, roles text, is_active boolean)",
    );
    place.write(
        "config/doorward.toml",
        &format!("[store]\nurl = \"{}\"\n", database.url()),
    );
    let lines: Vec<String> = (1..=210)
        .map(|n| match n {
            7 => format!(r#"{{"username":"far","id":3000000000,"password":"{HASH}"}}"#),
            9 => format!(r#"{{"username":"a name of more than twenty characters","password":"{HASH}"}}"#),
            n => format!(r#"{{"username":"user{n}","id":{n},"password":"{HASH}"}}"#),
        })
        .collect();
    place.write("users.jsonl", &lines.join("\n"));
    let ended = place.run(&["user", "import", "--from", "users.jsonl"]);
    assert_eq!(
        ended.out,
        "210 rows: 208 taken over, 0 here already, 2 not taken over\n"
    );
    ended.failed(
        1,
        &[
            "not taken over: line 7: far: the table refuses it: integer out of range",
            "not taken over: line 9: a name of more than twenty characters: the table refuses it: value too long for type",
        ],
    );
    assert_eq!(database.psql("SELECT count(*) FROM users"), "208");
}

#[test]
fn ids_after_which_a_table_finds_no_more_stay_behind() {
    let place = Place::new();
    let lines = ["9223372036854775807", "9007199254740993", "0", "-5", "9007199254740992"]
        .iter()
        .enumerate()
        .map(|(n, id)| format!("{{\"username\":\"user{n}\",\"id\":{id}}}\n"));
    place.write("users.jsonl", &lines.collect::<String>());
    let import = ["user", "import", "--from", "users.jsonl"];
    let ended = place.run(&import);
    assert_eq!(ended.out, "5 rows: 1 taken over, 0 here already, 4 not taken over\n");
    for line in 1..=4 {
        assert!(
            ended.err.contains(&format!(
                "line {line}: user{}: its id is none from 1 to 9007199254740992; --new-ids gives it a new one",
                line - 1
            )),
            "{ended:?}"
        );
    }
    // The table still finds ids.
    let again = place.run(&["user", "import", "--from", "users.jsonl", "--new-ids"]);
    assert_eq!(
        again.out, "5 rows: 4 taken over, 1 here already, 0 not taken over\n",
        "{again:?}"
    );
}

#[test]
fn line_ends_in_roles_and_addresses_stay_behind() {
    let place = Place::new();
    place.write(
        "users.jsonl",
        "{\"username\":\"a\",\"roles\":\"user,\\nadmin\"}\n\
         {\"username\":\"b\",\"email\":\"b@x.example\\r\\nBcc: c@x.example\"}\n\
         {\"username\":\"c\",\"roles\":[\"us\\u001ber\"]}\n",
    );
    let ended = place.run(&["user", "import", "--from", "users.jsonl"]);
    assert_eq!(ended.out, "3 rows: 0 taken over, 0 here already, 3 not taken over\n");
    ended.failed(
        1,
        &[
            "line 1: a: its roles hold a line end or another control character",
            "line 2: b: its e-mail address holds a line end or another control character",
            "line 3: c: its roles hold a line end",
        ],
    );
}

#[test]
fn a_file_of_another_form_is_told_as_such_once() {
    let place = Place::new();
    let utf16: Vec<u8> = "\u{feff}username,password\r\nalice,x\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    std::fs::write(place.path("utf16.csv"), &utf16).unwrap();
    std::fs::write(place.path("utf16.jsonl"), &utf16).unwrap();
    place.write("semicolons.csv", "id;username;password\n1;alice;hunter2\n");
    place.write("tabs.csv", "id\tusername\tpassword\n1\talice\thunter2\n");
    place.write("none.csv", "id,name,password\n1,alice,hunter2\n");
    place.write("headless.csv", "alice,hunter2\nbob,hunter3\n");
    place.write("twice.csv", "username,password,Username\nalice,,bob\n");
    place.write(
        "array.json",
        "\u{feff}[\n  {\"username\": \"alice\"},\n  {\"username\": \"bob\"}\n]\n",
    );
    place.write("long.json", &format!("[{}1]", "1,".repeat(1 << 20)));
    place.write("spread.json", "{\n  \"username\": \"alice\"\n}\n");
    for (file, parts) in [
        ("utf16.csv", &["it is UTF-16", "iconv -f UTF-16 -t UTF-8"][..]),
        ("utf16.jsonl", &["it is UTF-16", "iconv -f UTF-16 -t UTF-8"]),
        (
            "semicolons.csv",
            &["there is no column username", "apart by semicolons"],
        ),
        ("tabs.csv", &["there is no column username", "apart by tabs"]),
        (
            "none.csv",
            &["there is no column username", "the first line has id, name, password"],
        ),
        (
            "headless.csv",
            &[
                "there is no column username",
                "the first line has 2 fields",
                "the first line names",
            ],
        ),
        ("twice.csv", &["the column username is there twice"]),
        ("array.json", &["an array", "jq -c '.[]'"]),
        ("long.json", &["an array", "jq -c '.[]'"]),
        ("spread.json", &["over several lines", "jq -c ."]),
    ] {
        let said = place.run(&["user", "import", "--from", file]).failed(1, parts);
        assert_eq!(said.matches("error").count(), 1, "{file}: {said}");
        assert!(
            !said.contains("not taken over:") && !said.contains("hunter"),
            "{file}: {said}"
        );
    }
}

/// What another program takes for a URL, with a password in it.
#[test]
fn a_url_of_another_kind_is_told_without_its_password() {
    let place = Place::new();
    for (url, hint) in [
        (
            "postgresql+psycopg2://u:s3cret@h/d",
            "write postgres:// in place of postgresql+psycopg2://",
        ),
        ("mysql://u:s3cret@h/d", "as CSV or JSON lines"),
        ("POSTGRES://u:s3cret@h/d", "write postgres:// in place of POSTGRES://"),
    ] {
        for more in [&[][..], &["--format", "csv"]] {
            let said = place.run(&[&["user", "import", "--from", url], more].concat());
            let said = said.failed(2, &[hint]);
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
