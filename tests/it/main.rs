//! Tests from outside, against real servers.

#[path = "../support/postgres.rs"]
mod postgres;
mod store;
