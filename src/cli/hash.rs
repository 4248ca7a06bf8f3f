//! `doorward hash`: a password from standard input, as the users table stores it.

use super::{Failure, Places, terminal};
use crate::office::OfficeRuntime;
use crate::password::Pool;

/// Prints the hash as a registration would store it: argon2id at the configured cost, or what a Flask server makes.
pub fn run(places: &Places) -> Result<(), Failure> {
    let settings = places.load()?.config.passwords;
    let password = terminal::new_password(!terminal::is_interactive())?;
    let failed = |error: &dyn std::fmt::Display| Failure::run("the password cannot be hashed", error, "see the cause");
    let scheme = settings.scheme;
    let pool = Pool::start(settings, Box::new(|_| {})).map_err(|error| failed(&error))?;
    let office = OfficeRuntime::start()?;
    let hash = office
        .block_on(pool.hash(password, scheme))
        .map_err(|error| failed(&error))?;
    terminal::print(&format!("{hash}\n"))
}
