//! Tests from outside, against real servers.

mod cli;
mod harness;
mod store;
#[path = "../support/mod.rs"]
mod support;

use support::postgres;
