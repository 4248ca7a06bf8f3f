//! Stub: dropped at the merge.
mod settings;
pub use settings::*;
