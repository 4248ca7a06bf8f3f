//! Tests from outside, against real servers.

mod accounts;
#[path = "../support/postgres.rs"]
mod postgres;
mod store;
#[path = "../support/mod.rs"]
mod support;
