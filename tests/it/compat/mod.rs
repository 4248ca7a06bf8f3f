//! The Flask server's place: what its clients, its tokens, its table and its passwords find here.
//!
//! The original runs beside the gateway, so that what these tests believe of it is tested too (`support::flask`).

mod answers;
mod both;
mod browser;
mod by_mail;
mod cors;
mod forge;
mod hashes;
mod letters;
mod long;
mod mailed;
mod manual;
mod outage;
mod proxied;
mod registration;
mod replay;
mod secrets;
mod side;
mod table;
mod told;

use crate::accounts::world::World;
use crate::support::flask::SECRET;

/// What makes the gateway the old server's replacement; a table of wrong passwords is no attack here.
const SERVED: &str = "[throttle]\nlogin_failures = 100000\nlogin_failures_per_address = 100000\n";

/// This configuration, and the old server's secret.
fn with_secret(world: &World<'_>, configuration: &str) -> String {
    let file = world.folder().join("secret_key");
    std::fs::write(&file, SECRET).unwrap();
    format!(
        "{configuration}[compat]\nflask_praetorian = true\nsecret_file = \"{}\"\n",
        file.display()
    )
}

/// The revision with mail, which goes to this port of ours.
fn with_mail(port: u16) -> String {
    format!(
        r#"[accounts]
registration = "verify_email"
[mail]
url = "smtp://127.0.0.1:{port}"
from = "JWT Server <mailer@server.test>"
subject = "Confirm"
subject_reset = "Reset"
confirmation_url = "https://client.test/#/finalize"
reset_url = "https://client.test/#/reset_finalize"
"#
    )
}
