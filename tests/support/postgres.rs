//! A throw-away PostgreSQL cluster of the test run itself: on 127.0.0.1, a free port, data and socket in a folder of its
//! own. It ends with the process that started it, however that ends: a shell beside it waits for the end of a pipe.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A running cluster; the superuser is `postgres`, whom everybody on this machine is trusted to be.
pub struct Cluster {
    bin: PathBuf,
    root: tempfile::TempDir,
    /// Where it listens.
    pub port: u16,
    options: String,
    undertaker: Option<Child>,
}

/// A fresh database of a cluster.
pub struct Database<'c> {
    /// Its cluster.
    pub cluster: &'c Cluster,
    /// Its name.
    pub name: String,
}

impl Cluster {
    /// The one that tests share which do not stop it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// A cluster of one's own, with these settings (`name=value`).
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, |cluster| {
            let data = cluster.data();
            check(
                cluster
                    .server_command("initdb")
                    .args([
                        "--no-sync",
                        "--auth=trust",
                        "--username=postgres",
                        "--encoding=UTF8",
                        "--locale=C.UTF-8",
                        "-D",
                    ])
                    .arg(&data)
                    .output(),
            );
        })
    }

    /// A standby that streams from this one, which from now on acknowledges nothing that the standby does not have.
    pub fn standby(&self) -> Self {
        let standby = Self::start_with(&[], |standby| {
            let port = self.port.to_string();
            check(
                standby
                    .server_command("pg_basebackup")
                    .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-R", "-X", "stream"])
                    .args(["--no-sync", "-c", "fast", "-D"])
                    .arg(standby.data())
                    .output(),
            );
        });
        self.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.psql("postgres", "SELECT pg_reload_conf()");
        super::until("a standby that keeps up", || {
            let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            (self.psql("postgres", sql) == "1").then_some(())
        });
        standby
    }

    /// The standby takes the place of the primary.
    pub fn promote(&self) {
        check(
            self.server_command("pg_ctl")
                .args(["promote", "-w", "-t", "30", "-D"])
                .arg(self.data())
                .output(),
        );
    }

    fn start_with(settings: &[&str], make: impl FnOnce(&Self)) -> Self {
        let root = tempfile::Builder::new().prefix("pg-").tempdir().unwrap();
        let mut cluster = Self {
            bin: bin(),
            root,
            port: 0,
            options: String::new(),
            undertaker: None,
        };
        // The server runs as another user where we are root: the folder is theirs.
        if is_root() {
            check(Command::new("chown").arg("postgres").arg(cluster.root.path()).output());
        }
        make(&cluster);
        for _ in 0..10 {
            cluster.port = free_port();
            cluster.options = format!(
                "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c fsync=off -c max_connections=200{}",
                cluster.port,
                cluster.root.path().display(),
                settings
                    .iter()
                    .map(|setting| format!(" -c {setting}"))
                    .collect::<String>(),
            );
            if cluster.control_start().status.success() {
                cluster.undertaker = Some(cluster.watch());
                return cluster;
            }
        }
        panic!(
            "PostgreSQL does not start: {}",
            fs::read_to_string(cluster.root.path().join("log")).unwrap_or_default()
        );
    }

    /// Where files for the server may be put, before it is started again with settings that name them.
    pub fn folder(&self) -> &Path {
        self.root.path()
    }

    /// A fresh database.
    pub fn database(&self) -> Database<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        Database { cluster: self, name }
    }

    /// Runs plain SQL as anybody would, and gives back what it printed, unaligned and without headers.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let output = check(self.psql_command(database).args(["-c", sql]).output());
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// `psql` on this database, for a session that goes on (write statements to its standard input).
    pub fn psql_command(&self, database: &str) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        let port = self.port.to_string();
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-d", database]);
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1"]);
        command
    }

    /// Stops the server: connections are cut, as by a crash.
    pub fn stop(&self) {
        check(
            self.server_command("pg_ctl")
                .args(["stop", "-w", "-m", "immediate", "-D"])
                .arg(self.data())
                .output(),
        );
    }

    /// Starts it again on the same port.
    pub fn start_again(&self) {
        check(Ok(self.control_start()));
    }

    /// The server falls silent: its processes stand still, and the kernel goes on accepting for them.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// And wakes up.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let postmaster = file.lines().next().unwrap();
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap_or_default();
        let pids = std::iter::once(postmaster).chain(children.split_whitespace());
        check(Command::new("kill").arg(signal).args(pids).output());
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn control_start(&self) -> Output {
        let mut command = self.server_command("pg_ctl");
        command
            .args(["start", "-w", "-t", "30", "-o", &self.options, "-D"])
            .arg(self.data());
        // Not to our output: a pipe that the server keeps open would keep whoever reads it waiting.
        command
            .arg("-l")
            .arg(self.root.path().join("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.output().unwrap()
    }

    /// A program of the server, as a user that it agrees to run as.
    fn server_command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
        command
    }

    /// Stops the server and removes its folder when this process, which holds the pipe, is gone.
    fn watch(&self) -> Child {
        let (data, root) = (self.data(), self.root.path());
        let stop = self.server_command("pg_ctl");
        let words = std::iter::once(stop.get_program()).chain(stop.get_args());
        let stop: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        // It may have been frozen: wake it first.
        let (data, root) = (data.display(), root.display());
        let wake = format!("p=$(head -n1 '{data}/postmaster.pid'); kill -CONT $p $(cat /proc/$p/task/$p/children)");
        let stop = stop.join(" ");
        let script = format!("read -r _; {wake}; {stop} stop -w -m immediate -D '{data}'; rm -rf '{root}'");
        Command::new("sh")
            .args(["-c", &script])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut undertaker) = self.undertaker.take() {
            drop(undertaker.stdin.take());
            let _ = undertaker.wait();
        }
    }
}

impl Database<'_> {
    /// Its URL.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.cluster.port, self.name)
    }

    /// Runs plain SQL in it.
    pub fn psql(&self, sql: &str) -> String {
        self.cluster.psql(&self.name, sql)
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn bin() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = versions.collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").exists())
        .expect("PostgreSQL's initdb, for the tests")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.starts_with(b"0\n")
}

fn check(output: std::io::Result<Output>) -> Output {
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}
