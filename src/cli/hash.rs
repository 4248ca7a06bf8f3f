//! `doorward hash`: a password from standard input, as the users table stores it.

use super::{Failure, Places, terminal};
use crate::office::OfficeRuntime;
use crate::password::{Pool, Scheme};

/// Prints the argon2id hash at the configured cost.
pub fn run(places: &Places) -> Result<(), Failure> {
    let settings = places.load()?.config.passwords;
    let password = terminal::new_password(!terminal::is_interactive())?;
    let failed = |error: &dyn std::fmt::Display| Failure::run("the password cannot be hashed", error, "see the cause");
    let pool = Pool::start(settings, Box::new(|_| {})).map_err(|error| failed(&error))?;
    let office = OfficeRuntime::start()?;
    let hash = office
        .block_on(pool.hash(password, Scheme::Argon2id))
        .map_err(|error| failed(&error))?;
    terminal::print(&format!("{hash}\n"))
}
