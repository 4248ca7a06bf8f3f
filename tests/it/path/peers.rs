//! The comparison with other proxies begins with checks that each does the work. Doorward passes them, as it is tested here,
//! and two proxies that do not do the work are found out, so that its figures can be believed.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::message::text;

#[test]
fn the_comparison_checks_the_work_and_its_checks_can_fail() {
    let target = tempfile::tempdir().unwrap();
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/run");
    let output = Command::new("python3")
        .arg(run)
        .args(["--verify", "--proxies", "doorward", "--doorward"])
        .arg(env!("CARGO_BIN_EXE_doorward"))
        .env("CARGO_TARGET_DIR", target.path())
        .stdin(Stdio::null())
        .output()
        .expect("python3 is installed");
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("doorward does the work: open, es256"), "{said}");
    assert!(
        said.contains("proxies that believe X-User or verify nothing are found out"),
        "{said}"
    );
}
