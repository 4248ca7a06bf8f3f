//! Several gateways on one store: what one of them is told holds at all of them, through failures of theirs, of the store and
//! of what lies between.

mod balanced;
mod delays;
mod failover;
mod refresh;
mod releases;
mod silence;
mod streams;

use std::time::{SystemTime, UNIX_EPOCH};

use doorward::authn::api_key;

use crate::accounts::answers::Tokens;
use crate::accounts::world::{Gateway, World};
use crate::support::issuer::claims_of;

/// So many rounds: `few`, or with `DOORWARD_LONG=1` twenty.
fn rounds(few: usize) -> usize {
    let long = std::env::var_os("DOORWARD_LONG").is_some_and(|value| value == "1");
    if long { 20 } else { few }
}

/// Unix milliseconds, as the store counts.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Puts an API key into the store; its text and its name. Any 41 bytes make one.
fn api_key(world: &World<'_>, user: &str, number: u8) -> (String, String) {
    let (text, shown) = api_key::write(&[number; 41]);
    let (id, hash) = (&shown.id, hex(&shown.hash));
    let hash = literal(world, &hash);
    world.sql(&format!(
        "INSERT INTO gateway_api_keys (id, user_id, name, hash, created_at) \
        SELECT '{id}', id, 'a machine', {hash}, 0 FROM users WHERE username = '{user}'"
    ));
    (text, shown.id)
}

/// The WHERE of the session that these tokens belong to.
fn session_of(world: &World<'_>, tokens: &Tokens) -> String {
    use base64::Engine as _;
    let sid = claims_of(&tokens.access)["sid"].as_str().unwrap().to_owned();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(sid).unwrap();
    format!("id = {}", literal(world, &hex(&bytes)))
}

fn literal(world: &World<'_>, hex: &str) -> String {
    match world.place {
        crate::accounts::world::Place::Sqlite(_) => format!("x'{hex}'"),
        crate::accounts::world::Place::Postgres(_) => format!("'\\x{hex}'::bytea"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As many gateways, all at once.
fn replicas(world: &World<'_>, count: usize, configuration: &str) -> Vec<Gateway> {
    crate::accounts::world::at_once(count, |_| world.gateway(configuration))
}
