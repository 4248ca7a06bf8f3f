//! Tests from outside, against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod cli;
mod harness;
mod store;
#[path = "../support/mod.rs"]
mod support;

use support::postgres;
