//! Bytes in, response out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod property;
mod reading;

use http::Method;

use super::fuzz::{Seen, read};

fn get(bytes: impl AsRef<[u8]>) -> Seen {
    read(bytes.as_ref(), &Method::GET, |_| usize::MAX)
}
