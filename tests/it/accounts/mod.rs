//! Everything about accounts, from outside: HTTP in, and rows, log lines and exit codes to look at.
//!
//! A test says which store it is for by its argument; [`on_both!`] runs it on each of them.

/// Runs each of these functions as a test on SQLite and as one on PostgreSQL.
macro_rules! on_both {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test]
            $(#[$attribute])*
            fn $name() {
                super::$name(crate::accounts::world::Kind::Sqlite);
            })*
        }
        mod on_postgres {
            $(#[test]
            $(#[$attribute])*
            fn $name() {
                super::$name(crate::accounts::world::Kind::Postgres);
            })*
        }
    };
}

mod admin;
pub mod answers;
mod bans;
pub mod browser;
mod endpoints;
mod feed;
mod keys;
mod login;
mod oauth;
mod outage;
mod refresh;
mod registration;
mod secrets;
mod sessions;
mod signing_keys;
mod stateless;
pub mod sudden_death;
mod takeover;
mod throttle;
mod tickets;
pub mod world;
