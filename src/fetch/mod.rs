//! Documents that others publish, such as the keys of an issuer: fetched within bounds, and kept up to date.
//!
//! [`get`] is one request: https with the system's authorities, no redirects, everything bounded. [`Document`] is what is
//! known of one, with everything that keeps it known: fetched again as it ages, once however many ask, kept while its
//! server is down.

mod document;
mod get;
#[cfg(test)]
mod tests;
mod url;

pub use document::{Document, Read};
pub use get::{Answer, Error, get};
pub use url::{InvalidUrl, Url};
