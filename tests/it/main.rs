//! Tests from outside, against real servers.

mod path;
#[path = "../support/postgres.rs"]
mod postgres;
mod store;
#[path = "../support/mod.rs"]
mod support;
