//! Cross-origin resource sharing (the Fetch standard, section 3.2).

use std::time::Duration;

use http::{HeaderValue, Method};

/// `[cors]`, with only valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which origins may read our answers.
    pub allowed_origins: Origins,
    /// `Access-Control-Allow-Methods` of an answered preflight.
    pub allowed_methods: Vec<Method>,
    /// `Access-Control-Allow-Credentials`; never with [`Origins::Any`].
    pub allow_credentials: bool,
    /// `Access-Control-Max-Age`.
    pub max_age: Duration,
}

/// Which origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All of them: `"*"`.
    Any,
    /// These, each in its serialised form (`https://app.example.com`), compared byte for byte; none: nobody.
    Listed(Vec<HeaderValue>),
}
