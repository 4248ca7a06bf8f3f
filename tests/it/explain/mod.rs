//! Decisions that explain themselves: `doorward explain`, policy tests, shadow routes.

mod against;
mod policy_tests;
mod shadow;
mod snapshots;
mod told;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A folder with a configuration, to run the program in.
struct Place(tempfile::TempDir);

/// How a command ended.
#[derive(Debug)]
struct Ended {
    status: i32,
    out: String,
    err: String,
}

impl Place {
    fn with(config: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("doorward.toml", config);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The program with these arguments and a clean environment.
    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command
            .args(arguments)
            .args(["--config", "doorward.toml"])
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .env_remove("DATABASE_URL")
            .env_remove("PORT");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DOORWARD_") {
                command.env_remove(name);
            }
        }
        let output = command.output().unwrap();
        Ended {
            status: output.status.code().expect("an exit, not a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
