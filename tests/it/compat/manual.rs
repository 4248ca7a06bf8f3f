//! docs/flask.md is done, line by line: the migration, both servers beside each other, and the way back.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::side::People;
use crate::accounts::world::{PASSWORD, Place, World};
use crate::postgres::Cluster;
use crate::support::flask::{Edition, Flask, Libraries, folder};
use crate::support::message::text;
use crate::support::process::Process;
use crate::support::{until, venv};

const MANUAL: &str = include_str!("../../../docs/flask.md");

/// The blocks in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    MANUAL
        .split(begin.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// The rows of the old server, as it sees them.
const ROWS: &str = "SELECT id, username, password, roles, is_active FROM users ORDER BY id";

/// Everything that may stand in a database, by name.
const SHAPE: &str = "SELECT 'column', column_name, data_type, is_nullable, column_default FROM information_schema.columns \
     WHERE table_name = 'users' AND column_name <> 'email' \
     UNION ALL SELECT 'relation', relname, relkind::text, '', '' FROM pg_class WHERE relnamespace = 'public'::regnamespace \
     UNION ALL SELECT 'trigger', tgname, '', '', '' FROM pg_trigger \
     UNION ALL SELECT 'function', proname, '', '', '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 2";

#[test]
fn the_migration_and_the_way_back() {
    let database = Cluster::shared().database();
    People::settle(Edition::Mended, &database, &mut Libraries::start());
    let url = database.url();
    let (rows, shape) = (database.psql(ROWS), database.psql(SHAPE));
    let old = Flask::start(Edition::Mended, &url);
    let world = World::in_database(database);
    let port = crate::support::ports::free_port();
    // What is put in here is what the manual says to put in.
    let old_address = old.address.to_string();
    let own = |text: &str| {
        text.replace("postgres://postgres@127.0.0.1:5432/login", &url)
            .replace("127.0.0.1:5001", &format!("127.0.0.1:{port}"))
            .replace("127.0.0.1:5000", &old_address)
            .replace("127.0.0.1:9101", "127.0.0.1:0")
            .replace("from app import", "from original import")
            .replace("her password", PASSWORD)
    };
    let place = world.folder().join("migration");
    std::fs::create_dir(&place).unwrap();
    let run = |commands: &str| shell(&place, &own(commands), &url);

    let sh = blocks("sh");
    let [secret, check, migrate, serve, ours, theirs] = sh.as_slice() else {
        panic!("{} blocks of commands", sh.len());
    };
    let toml = blocks("toml");
    let [configuration, mail, standard] = toml.as_slice() else {
        panic!("{} configurations", toml.len());
    };
    run(secret);
    std::fs::write(place.join("doorward.toml"), own(configuration)).unwrap();
    run(check);
    run(migrate);
    assert_eq!(world.sql(ROWS), rows);
    // Once more does nothing more.
    run(migrate);
    let words: Vec<String> = own(serve).split_whitespace().map(str::to_owned).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    clean(&mut command).args(&words[1..]).current_dir(&place);
    let gateway = Process::spawn("doorward", command);
    let line = gateway.wait_for_line(|line| line.contains("metrics and health") && line.contains("address="));
    let address = line
        .split("address=")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let admin = crate::support::client::Client::new(address.parse().unwrap());
    until("a ready gateway", || (admin.get("/readyz").status == 200).then_some(()));
    let welcome = "protected endpoint (allowed usr alice)";
    assert_eq!(run(ours).matches(welcome).count(), 2);
    assert_eq!(run(theirs).matches(welcome).count(), 1);
    assert_eq!(world.sql(ROWS), rows);
    let body = json!({ "username": "meanwhile", "password": PASSWORD });
    let new = crate::support::client::Client::new(format!("127.0.0.1:{port}").parse().unwrap());
    new.post_json("/api/registration", &body).expect(200);

    // And back. What only looks like one of the gateway's tables is somebody's.
    drop(gateway);
    drop(old);
    let Place::Postgres(database) = &world.place else {
        panic!("in PostgreSQL");
    };
    database.psql("CREATE TABLE gateway_payments AS SELECT 1 AS paid");
    for sql in blocks("sql") {
        database.psql(sql);
    }
    assert_eq!(database.psql("SELECT paid FROM gateway_payments"), "1");
    database.psql("DROP TABLE gateway_payments");
    assert_eq!(database.psql(SHAPE), shape);
    let old = Flask::start(Edition::Mended, &url);
    old.client.post_json("/api/login", &body).expect(200);
    let body = json!({ "username": "alice", "password": PASSWORD });
    old.client.post_json("/api/login", &body).expect(200);

    // The other configurations of the manual are ones.
    std::fs::write(place.join("mail_password"), "secret").unwrap();
    for (name, text) in [
        ("mail", format!("{}{mail}", own(configuration))),
        (
            "standard",
            own(configuration).split("[compat]").next().unwrap().to_owned() + standard,
        ),
    ] {
        std::fs::write(place.join("doorward.toml"), text).unwrap();
        let said = run(check);
        assert!(!said.contains("error"), "{name}: {said}");
    }
}

#[test]
fn the_secret_is_what_the_old_server_has_byte_by_byte() {
    let secret = *blocks("sh").first().unwrap();
    for (python, bytes) in [
        (r"b'\xec\x00 \xff\r'", &b"\xec\x00 \xff\r"[..]),
        ("'not base64: \u{fc}'", "not base64: \u{fc}".as_bytes()),
    ] {
        let place = tempfile::tempdir().unwrap();
        let app = format!("class app:\n    config = {{'SECRET_KEY': {python}}}\n");
        std::fs::write(place.path().join("app.py"), app).unwrap();
        shell(place.path(), secret, "");
        let file = std::fs::read(place.path().join("secret_key")).unwrap();
        // One line break at the end is overlooked by whoever reads it.
        assert_eq!(file.strip_suffix(b"\r\n"), Some(bytes), "{python}");
    }
}

/// Runs commands as somebody would who has doorward and the old server's Python on their path.
fn shell(place: &Path, commands: &str, url: &str) -> String {
    let programs = [
        Path::new(env!("CARGO_BIN_EXE_doorward")).parent().unwrap().to_owned(),
        venv::program("flask", "python").parent().unwrap().to_owned(),
    ];
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new("bash");
    let output = clean(&mut command)
        .args(["-euo", "pipefail", "-c", commands])
        .current_dir(place)
        .env("PATH", path)
        .env("PYTHONPATH", folder())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONWARNINGS", "ignore")
        .env("EDITION", "S")
        .env("DATABASE_URL", url)
        .env("SECRET_KEY", crate::support::flask::SECRET)
        .output()
        .unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{commands}\n{said}");
    said
}

/// Without what the developer's own environment says to the gateway.
fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let foreign = name
            .to_str()
            .is_some_and(|name| name.starts_with("DOORWARD_") || name == "DATABASE_URL" || name == "PORT");
        if foreign {
            command.env_remove(name);
        }
    }
    command
}
