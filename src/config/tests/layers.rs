//! Which layer wins, and where a value is said to come from.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::store::Location;

fn env<const N: usize>(variables: [(&str, &str); N]) -> BTreeMap<String, String> {
    variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn with_env<const N: usize>(text: &str, variables: [(&str, &str); N]) -> Result<Loaded, Problems> {
    load(&Sources {
        env: env(variables),
        ..Sources::from_str("test.toml", text)
    })
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn files(folder: &TempDir, names: &[&str]) -> Sources {
    Sources {
        files: names.iter().map(|name| folder.path().join(name)).collect(),
        ..Sources::default()
    }
}

#[test]
fn later_files_win_key_by_key_and_the_environment_wins_over_them() {
    let folder = folder(&[
        (
            "a.toml",
            "workers = 2\n[tokens]\nissuer = \"a\"\naudience = [\"a\", \"b\"]\naccess_ttl = \"1m\"",
        ),
        ("b.toml", "[tokens]\nissuer = \"b\"\naudience = [\"c\"]"),
    ]);
    let mut sources = files(&folder, &["a.toml", "b.toml"]);
    let config = load(&sources).unwrap().config;
    assert_eq!((config.workers, config.tokens.issuer.as_str()), (2, "b"));
    assert_eq!(config.tokens.audience, ["c"]);
    assert_eq!(config.tokens.access_ttl.as_secs(), 60);
    sources.env = env([
        ("DOORWARD_TOKENS__ISSUER", "e"),
        ("DOORWARD_TOKENS__AUDIENCE", "x,y"),
        ("DOORWARD_WORKERS", "3"),
    ]);
    let config = load(&sources).unwrap().config;
    assert_eq!((config.workers, config.tokens.issuer.as_str()), (3, "e"));
    assert_eq!(config.tokens.audience, ["x", "y"]);
    sources.files.reverse();
    sources.env.clear();
    assert_eq!(load(&sources).unwrap().config.tokens.issuer, "a");
    assert_eq!(load(&sources).unwrap().files, sources.files);
}

#[test]
fn a_problem_names_the_file_the_value_came_from() {
    let folder = folder(&[
        ("a.toml", "[tokens]\nissuer = \"a b\"\nleeway = \"x\"\n"),
        ("b.toml", "\n\n[tokens]\nleeway = \"y\"\n"),
    ]);
    let Err(Problems(problems)) = load(&files(&folder, &["a.toml", "b.toml"])) else {
        panic!("accepted")
    };
    let places: Vec<_> = problems
        .iter()
        .map(|problem| {
            (
                problem.file.as_ref().unwrap().file_name().unwrap().to_str().unwrap(),
                problem.line,
                problem.column,
            )
        })
        .collect();
    assert_eq!(places, [("a.toml", Some(2), Some(10)), ("b.toml", Some(4), Some(10))]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_of_its_own() {
    let folder = folder(&[("latin1.toml", "")]);
    fs::write(folder.path().join("latin1.toml"), b"# \xe4\n").unwrap();
    let Err(Problems(problems)) = load(&files(&folder, &["none.toml", "latin1.toml", "."])) else {
        panic!("accepted")
    };
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem.file.is_some() && problem.line.is_none())
    );
}

#[test]
fn variables_are_typed_by_their_keys_and_wrong_ones_are_named() {
    let loaded = with_env(
        "",
        [
            ("DOORWARD_DATA_DIR", "/var/lib/doorward"),
            ("DOORWARD_STORE__MIGRATE", "false"),
            ("DOORWARD_PASSWORDS__MEMORY", "32MiB"),
            ("DOORWARD_TIMEOUTS__IDLE", "1m"),
            ("DOORWARD_LIMITS__CONNECTIONS", "0100"),
            ("DOORWARD_TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
        ],
    )
    .unwrap();
    let config = loaded.config;
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/doorward"));
    assert!(!config.store.migrate);
    assert_eq!(config.passwords.cost.memory_kib(), 32 * 1024);
    assert_eq!((config.timeouts.idle.as_secs(), config.limits.connections), (60, 100));
    assert!(config.trusted_proxies.contain("10.1.1.1".parse().unwrap()));
    let Err(problems) = with_env(
        "workers = true",
        [
            ("DOORWARD_STORE__POOL_SIZE", "many"),
            ("DOORWARD_TIMEOUTS__IDLE", "0s"),
            ("DOORWARD_TOKENS__ISUER", "x"),
            ("DOORWARD_STORE_URL", "postgres://u:hunter2@h/d"),
            ("DOORWARD_ROUTES", "[]"),
            ("DOORWARD_TOKENS", "x"),
            ("doorward_workers", "x"),
        ],
    ) else {
        panic!("accepted")
    };
    let text = problems.to_string();
    let mut places: Vec<_> = problems
        .0
        .iter()
        .map(|problem| problem.variable.as_deref().unwrap_or("-"))
        .collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            "-",
            "DOORWARD_ROUTES",
            "DOORWARD_STORE_URL",
            "DOORWARD_STORE__POOL_SIZE",
            "DOORWARD_TIMEOUTS__IDLE",
            "DOORWARD_TOKENS",
            "DOORWARD_TOKENS__ISUER",
        ]
    );
    assert!(text.contains("did you mean DOORWARD_TOKENS__ISSUER?"), "{text}");
    assert!(text.contains("did you mean DOORWARD_STORE__URL?"), "{text}");
    assert!(text.contains("from files only"), "{text}");
    assert!(
        text.contains("error: DOORWARD_TIMEOUTS__IDLE: timeouts.idle: found \"0s\""),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn what_kubernetes_and_platforms_set() {
    let config = with_env(
        "",
        [
            ("DOORWARD_PORT", "tcp://10.0.0.1:8443"),
            ("DOORWARD_SERVICE_HOST", "10.0.0.1"),
            ("DOORWARD_PORT_8443_TCP", "tcp://10.0.0.1:8443"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap()
    .config;
    assert_eq!(config.listeners.len(), 2);

    let platform = [("DATABASE_URL", "postgres://u:p@db/app"), ("PORT", "8080")];
    let config = with_env("", platform).unwrap().config;
    assert!(matches!(config.store.location, Location::Postgres { .. }));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(
        (
            config.listeners[0].address.to_string().as_str(),
            config.listeners[0].protocol
        ),
        ("0.0.0.0:8080", Protocol::Http)
    );

    let text = "[[listeners]]\naddress = \"127.0.0.1:1\"\n[store]\nurl = \"sqlite:x.db\"";
    let config = with_env(text, platform).unwrap().config;
    assert!(matches!(config.store.location, Location::Sqlite(path) if path == Path::new("x.db")));
    assert_eq!(config.listeners[0].address.port(), 1);
    // What is set to nothing is not configured.
    let config = with_env("listeners = []\n[store]\nurl = \"\"", platform)
        .unwrap()
        .config;
    assert!(matches!(config.store.location, Location::Postgres { .. }));
    assert_eq!(config.listeners[0].address.port(), 8080);

    let Err(problems) = with_env("", [("DATABASE_URL", "mysql://u:hunter2@db/app"), ("PORT", "http")]) else {
        panic!("accepted")
    };
    let text = problems.to_string();
    assert!(
        text.contains("error: DATABASE_URL: store.url: found a value that is not shown"),
        "{text}"
    );
    assert!(
        text.contains("error: PORT: listeners[0].address: found \"0.0.0.0:http\""),
        "{text}"
    );
}

#[test]
fn the_data_folder_of_the_command_line_wins() {
    let config = load(&Sources {
        data_dir: Some(PathBuf::from("/elsewhere")),
        env: env([("DOORWARD_DATA_DIR", "/env")]),
        ..Sources::from_str("x", "data_dir = \"file\"")
    })
    .unwrap()
    .config;
    assert_eq!(config.data_dir, PathBuf::from("/elsewhere"));
    assert!(matches!(config.store.location, Location::Sqlite(path) if path == Path::new("/elsewhere/doorward.db")));
}

#[test]
fn paths_start_from_the_folder_of_the_file_that_names_them() {
    let text = "data_dir = \"d\"\n[tls]\ncertificates = [{ cert = \"tls/a.pem\", key = \"tls/a.key\" }]\n";
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let folder = folder(&[("etc/a.toml", text), ("etc/tls/a.pem", &cert), ("etc/tls/a.key", &key)]);
    let config = load(&files(&folder, &["etc/a.toml"])).unwrap().config;
    let crate::tls::Certificates::Files(certificates) = config.tls.certificates else {
        panic!("none")
    };
    assert_eq!(certificates[0].cert, folder.path().join("etc/tls/a.pem"));
    assert_eq!(config.data_dir, PathBuf::from("d"));
    assert_eq!(errors(text).len(), 2);
}

#[test]
fn secrets_come_from_files_too_and_the_later_layer_counts() {
    let url = "[store]\nurl = \"postgres://u@h/d\"\n";
    let password = |loaded: Loaded| match loaded.config.store.location {
        Location::Postgres { password, .. } => password.map(|password| password.expose().clone()),
        Location::Sqlite(_) => panic!("no PostgreSQL"),
    };
    let folder = folder(&[
        ("a.toml", &format!("{url}password_file = \"secret\"")),
        ("b.toml", "[store]\npassword = \"b\""),
        ("secret", "from a file \n\n"),
        ("empty", "\n"),
    ]);
    let mut sources = files(&folder, &["a.toml"]);
    assert_eq!(password(load(&sources).unwrap()).as_deref(), Some("from a file \n"));
    sources.files.push(folder.path().join("b.toml"));
    assert_eq!(password(load(&sources).unwrap()).as_deref(), Some("b"));
    sources.files.reverse();
    assert_eq!(password(load(&sources).unwrap()).as_deref(), Some("from a file \n"));
    sources.env = env([("DOORWARD_STORE__PASSWORD", "e")]);
    assert_eq!(password(load(&sources).unwrap()).as_deref(), Some("e"));
    let path = folder.path().join("empty");
    sources.env = env([("DOORWARD_STORE__PASSWORD_FILE", path.to_str().unwrap())]);
    assert!(load(&sources).unwrap_err().to_string().contains(path.to_str().unwrap()));
}
