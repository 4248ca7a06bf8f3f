//! Tests from outside, against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[macro_use]
mod accounts;
mod attack;
mod cli;
mod compat;
mod consumers;
mod documents;
mod explain;
mod forward;
mod harness;
mod hostile;
mod mail;
mod path;
mod probe;
mod replicas;
mod store;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use support::postgres;
