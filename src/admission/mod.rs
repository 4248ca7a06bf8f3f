//! Not built yet.
mod route;
pub use route::*;
