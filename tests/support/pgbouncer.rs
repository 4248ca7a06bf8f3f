//! A real PgBouncer, in transaction mode, before a cluster of the tests.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::postgres::{Cluster, free_port};

/// PgBouncer in transaction mode before a cluster.
pub struct Bouncer {
    child: Child,
    folder: tempfile::TempDir,
    /// Where it listens.
    pub port: u16,
}

impl Bouncer {
    pub fn start(cluster: &Cluster) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let path = folder.path().display();
        fs::write(
            folder.path().join("ini"),
            format!(
                "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n\
                server_reset_query_always = 0\nlogfile = {path}/log\n",
                cluster.port
            ),
        )
        .unwrap();
        let mut command = if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
            assert!(
                Command::new("chown")
                    .args(["-R", "postgres"])
                    .arg(folder.path())
                    .status()
                    .unwrap()
                    .success()
            );
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "pgbouncer"]);
            command
        } else {
            Command::new("pgbouncer")
        };
        let child = command.arg("-q").arg(folder.path().join("ini")).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "PgBouncer does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, folder, port }
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.folder.path();
    }
}
