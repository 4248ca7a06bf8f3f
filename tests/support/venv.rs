//! Programs from PyPI, each set in a virtual environment of its own that `tests/run` has made.

use std::path::{Path, PathBuf};

/// The program `name` of the environment that `tests/support/venvs/{venv}.txt` describes.
pub fn program(venv: &str, name: &str) -> PathBuf {
    let venvs = std::env::var_os("TEST_VENVS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venvs"),
        PathBuf::from,
    );
    let program = venvs.join(venv).join("bin").join(name);
    assert!(
        program.exists(),
        "{} is not there: run tests/run once, or tests/support/venv {venv}",
        program.display()
    );
    program
}
