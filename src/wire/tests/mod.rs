//! Tests of the scanner and its guard.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests may fail"
)]

mod agreement;
mod connection;
mod proxy_header;
mod table;
