//! The commands, as people and scripts run them: exit statuses, what is said, and what is left behind.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::gateway::TestGateway;
use crate::support::message::text;
use crate::support::until;
use crate::support::upstream::Upstream;

mod demo;
mod import;

/// A folder to run the program in.
struct Place(tempfile::TempDir);

/// How a command ended.
#[derive(Debug)]
struct Ended {
    status: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One with this configuration where it is looked for.
    fn with(config: &str) -> Self {
        let place = Self::new();
        place.write("config/doorward.toml", config);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The program with these arguments, in this folder and with a clean environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(arguments).current_dir(self.0.path());
        for (name, _) in std::env::vars_os() {
            let foreign = |name: &str| name.starts_with("DOORWARD_") || ["DATABASE_URL", "PORT"].contains(&name);
            if name.to_str().is_some_and(foreign) {
                command.env_remove(name);
            }
        }
        command
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let piped = |command: &mut Command| {
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let mut child = piped(&mut self.command(arguments));
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ended {
            status: output.status.code().expect("an exit, not a signal"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with_input(arguments, "")
    }
}

impl Ended {
    /// Done; what it said.
    fn done(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.out
    }

    /// Failed with this status; what it said about that, with these parts among it.
    fn failed(self, status: i32, parts: &[&str]) -> String {
        assert_eq!(self.status, status, "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {self:?}");
        }
        self.err
    }
}

#[test]
fn wrong_usage_is_status_2() {
    let place = Place::new();
    for arguments in [
        &["frobnicate"][..],
        &["user"],
        &["user", "show"],
        &["user", "roles", "alice"],
        &["check", "--frob"],
    ] {
        assert_eq!(place.run(arguments).status, 2, "{arguments:?}");
    }
    assert!(place.run(&["--help"]).done().contains("demo"));
    assert!(place.run(&["--version"]).done().starts_with("doorward "));
}

#[test]
fn check_names_every_problem_with_its_place_and_leaves_nothing_behind() {
    let place = Place::with("[log]\nlevl = \"info\"\n[[routes]]\nname = \"x\"\npath = \"orders\"\n");
    let said = place
        .run(&["check"])
        .failed(2, &["did you mean \"level\"?", "write \"/orders\""]);
    for start in [
        "error: config/doorward.toml:2:1: log.levl:",
        "error: config/doorward.toml:5:8: routes[0].path:",
    ] {
        assert!(said.lines().any(|line| line.starts_with(start)), "{start} in {said}");
    }
    place.run(&["check", "--config", "none.toml"]).failed(2, &["none.toml"]);
    assert!(!place.path("data").exists());
}

#[test]
fn check_tells_what_routes_lose_and_tries_the_files() {
    let place = Place::with(
        "[[upstreams]]\nname = \"app\"\nservers = [\"http://127.0.0.1:9\"]\n\
        [[routes]]\nname = \"all\"\npath = \"/\"\nupstream = \"app\"\n\
        [[routes]]\nname = \"shop\"\nhosts = [\"shop.example.com\"]\npath = \"/api\"\nmethods = [\"PUT\"]\naccess = \"deny\"\n\
        [endpoints]\nhosts = [\"login.example.com\"]\n",
    );
    let said = place.run(&["check"]).done();
    assert!(
        said.contains("The configuration is good: 2 listeners, 1 upstream, 2 routes, 0 warnings."),
        "{said}"
    );
    // Our own URLs are on another host than any route names, and routes for every host are not told for one nobody names;
    // the places for questions of other proxies are on every host.
    let questions = "on every other host, the gateway itself answers what route \"all\" (/) would have got:\n  \
        * /auth/nginx\n  * /auth/traefik\n  * /auth/caddy\n  * /auth/envoy/*\n";
    assert!(said.contains(questions), "{said}");
    assert_eq!(said.matches("would have got").count(), 2, "{said}");
    assert!(!said.contains("/api/login"), "{said}");
    fs::write(
        place.path("every-host.toml"),
        "[endpoints]\nhosts = []\n[[routes]]\nname = \"all\"\npath = \"/\"\nupstream = \"app\"\n",
    )
    .unwrap();
    let said = place
        .run(&[
            "check",
            "--config",
            "config/doorward.toml",
            "--config",
            "every-host.toml",
        ])
        .done();
    assert!(
        said.contains("route \"all\" (/) would have got:")
            && said.contains("\n  POST /api/login\n")
            && said.contains("\n  * /auth/caddy\n"),
        "{said}"
    );

    place.write("junk.pem", "junk");
    place.write(
        "tls.toml",
        "[tls]\ncertificates = [{ cert = \"junk.pem\", key = \"junk.pem\" }]\n",
    );
    let checked = place.run(&["check", "--config", "tls.toml"]);
    checked.failed(
        2,
        &[
            "tls.toml:2:",
            "tls.certificates[0].cert",
            "junk.pem: holds no certificate",
        ],
    );
    assert!(!place.path("data").exists());
}

#[test]
fn the_schema_is_brought_up_to_date_once() {
    let place = Place::new();
    assert!(
        place
            .run(&["migrate"])
            .done()
            .starts_with("The schema went from version 0 to version ")
    );
    assert!(place.run(&["migrate"]).done().contains("nothing to do"));
}

#[test]
fn a_table_of_another_server_is_taken_over_and_its_doubles_are_told_apart_by_id() {
    let place = Place::with("[store]\nurl = \"sqlite:theirs.db\"\n");
    let theirs = rusqlite::Connection::open(place.path("theirs.db")).unwrap();
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, password TEXT, roles TEXT, is_active BOOLEAN);\
        INSERT INTO users VALUES (3, 'bob', 'x', 'user', 1), (5, 'bob', NULL, NULL, NULL), (7, 'eve' || char(27) || '[2J', 'x', '', 1)";
    theirs.execute_batch(sql).unwrap();
    let said = place.run(&["migrate"]).done();
    assert!(said.contains("\"users\" was taken over"), "{said}");

    place
        .run(&["user", "show", "bob"])
        .failed(1, &["error: ", "cause: ", "3, 5", "--id"]);
    place.run(&["user", "deactivate", "bob"]).failed(1, &["3, 5"]);
    let active: bool = theirs
        .query_row("SELECT is_active FROM users WHERE id = 3", [], |row| row.get(0))
        .unwrap();
    assert!(active, "neither of them was touched");
    assert!(
        place
            .run(&["user", "roles", "--id", "5", "user,ops"])
            .done()
            .contains("bob (id 5): inactive, roles user,ops")
    );
    // A name that would steer the terminal is shown, not done.
    let list = place.run(&["user", "list"]).done();
    assert!(list.contains("eve\\u{1b}[2J") && !list.contains('\u{1b}'), "{list:?}");
}

#[test]
fn users_are_made_changed_and_deleted() {
    let place = Place::new();
    let add = |name: &str, more: &[&str], password: &str| {
        let arguments = [&["user", "add", name, "--password-stdin"], more].concat();
        place.run_with_input(&arguments, password)
    };
    let said = add(
        "alice",
        &["--roles", "user,doorward-admin", "--email", "a@example.com"],
        "four blue gulls\n",
    )
    .done();
    assert_eq!(said, "added alice (id 1): active, roles user,doorward-admin\n");
    add("ALICE ", &[], "four blue gulls").failed(1, &["must not begin or end with white space"]);
    add("ALICE", &[], "four blue gulls").failed(1, &["exists already"]);
    add("bob", &[], "short").failed(1, &["at least 8 characters"]);
    add("bob", &[], "\n").failed(2, &["the password is empty"]);
    add("bob", &[], "").failed(2, &["the password is empty"]);
    assert!(
        add("carol", &[], "password1").done().contains("roles user"),
        "the default roles"
    );
    place.run(&["user", "add", "dave"]).failed(2, &["--password-stdin"]);

    let shown: Value = serde_json::from_str(&place.run(&["user", "show", "alice", "--json"]).done()).unwrap();
    assert_eq!(shown["roles"], serde_json::json!(["user", "doorward-admin"]));
    assert_eq!(
        (&shown["email"], &shown["email_verified"]),
        (&"a@example.com".into(), &true.into())
    );
    // Scheme and cost, and nothing that a guess could be tried on.
    assert_eq!(shown["password"], "$argon2id$v=19$m=19456,t=2,p=1$");
    // The gateway's own role is kept apart from the column that other software writes.
    let store = rusqlite::Connection::open(place.path("data/doorward.db")).unwrap();
    let column: String = store
        .query_row("SELECT roles FROM users WHERE id = 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(column, "user");

    assert_eq!(
        place.run(&["user", "roles", "alice", ""]).done(),
        "changed alice (id 1): active, no roles\n"
    );
    assert!(place.run(&["user", "deactivate", "alice"]).done().contains("inactive"));
    assert!(
        place
            .run(&["user", "activate", "--id", "1"])
            .done()
            .contains(": active")
    );
    place
        .run_with_input(&["user", "passwd", "alice", "--password-stdin"], "five grey gulls")
        .done();
    place
        .run(&["user", "passwd", "nobody"])
        .failed(1, &["there is no such account"]);
    place.run(&["user", "delete", "alice"]).failed(2, &["--yes"]);
    place.run(&["user", "delete", "alice", "--yes"]).done();
    place
        .run(&["user", "delete", "alice", "--yes"])
        .failed(1, &["there is no such account"]);
    let list: Value = serde_json::from_str(&place.run(&["user", "list", "--json"]).done()).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn a_running_gateway_acts_on_commands() {
    let upstream = Upstream::start();
    let gateway = TestGateway::with(&upstream)
        .route("/app", "user")
        .route("/ops", "ops")
        .user("alice", &["user"])
        .start();
    let token = gateway.login("alice");
    gateway.get_as(&token, "/ops/").expect(403);
    gateway.cli(&["user", "roles", "alice", "user,ops"]);
    until("the new role", || {
        (gateway.get_as(&token, "/ops/").status == 200).then_some(())
    });
    gateway.cli(&["healthcheck"]);
    let inspected = gateway.cli(&["token", "inspect", &token]);
    assert!(
        inspected.contains("good: alice of this gateway, roles user,ops"),
        "{inspected}"
    );
    gateway.cli(&["user", "deactivate", "alice"]);
    until("the end of the session", || {
        (gateway.get_as(&token, "/app/").status == 401).then_some(())
    });
}

#[test]
fn hashes_come_from_standard_input_at_the_configured_cost() {
    let place = Place::with("[passwords]\nmemory = \"64KiB\"\niterations = 1\n");
    let hash = place.run_with_input(&["hash"], "four blue gulls\n").done();
    assert!(
        hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$") && hash.ends_with('\n'),
        "{hash}"
    );
    assert_ne!(
        hash,
        place.run_with_input(&["hash"], "four blue gulls\n").done(),
        "each has a salt of its own"
    );
    place
        .run_with_input(&["hash"], "")
        .failed(2, &["the password is empty"]);
}

#[test]
fn keys_and_tokens_are_told_without_what_makes_them() {
    let place = Place::new();
    place.run(&["key", "list"]).failed(1, &["doorward migrate"]);
    place.run(&["migrate"]).done();
    assert_eq!(place.run(&["key", "list", "--json"]).done(), "[]\n");

    // {"alg":"none","typ":"at+jwt"} . {"iss":"https://localhost:8443","exp":0} . signature
    let token =
        "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJpc3MiOiJodHRwczovL2xvY2FsaG9zdDo4NDQzIiwiZXhwIjowfQ.c2lnbmF0dXJl";
    let inspected = place.run_with_input(&["token", "inspect"], &format!("Bearer {token}\n"));
    for part in ["\"alg\": \"none\"", "expires (exp): 1970-01-01T00:00:00Z"] {
        assert!(inspected.out.contains(part), "{part} in {inspected:?}");
    }
    assert!(!inspected.out.contains("c2lnbmF0dXJl"));
    inspected.failed(1, &["error: the token is not good\ncause: ", "hint: "]);
    place.run(&["token", "inspect", "nonsense"]).failed(1, &["malformed"]);
    place.run(&["token", "inspect", ""]).failed(2, &["there is no token"]);
}

#[test]
fn no_health_without_a_gateway() {
    let place = Place::with("[admin]\naddress = \"127.0.0.1:9\"\n");
    place.run(&["healthcheck"]).failed(1, &["no health from 127.0.0.1:9"]);
}

#[test]
fn the_configurations_that_documents_show_are_good() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let shown: Vec<&str> = readme
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(!shown.is_empty());
    for config in shown {
        Place::with(config).run(&["check"]).done();
    }
    for name in ["doorward.minimal.toml", "doorward.reference.toml"] {
        let file = root.join("config").join(name).display().to_string();
        Place::new().run(&["check", "--config", &file]).done();
    }
}

#[test]
fn a_store_that_is_away_is_told_with_what_to_do() {
    let place = Place::with("[store]\nurl = \"postgres://x@127.0.0.1:1/x\"\nconnect_timeout = \"1s\"\n");
    for arguments in [&["user", "list"][..], &["migrate"], &["key", "list"]] {
        place
            .run(arguments)
            .failed(1, &["error: ", "cause: ", "hint: check [store]"]);
    }
    // A token that is none is told all the same.
    place.run(&["token", "inspect", "nonsense"]).failed(1, &["malformed"]);
}
