//! Not built yet.
mod settings;
pub use settings::*;
