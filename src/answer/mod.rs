//! Not built yet.
pub mod cors;
