//! `[endpoints]`.

use crate::answer::Dialect;

/// Where the gateway's own URLs are; with only valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Only on these hosts (canonical form); none: on every host.
    pub hosts: Vec<String>,
    /// The prefix of the JSON API, without a trailing slash; `None`: switched off.
    pub api: Option<String>,
    /// The prefix of pages and forward-auth; `None`: switched off.
    pub pages: Option<String>,
    /// Whether `/.well-known/…` is served.
    pub well_known: bool,
    /// What the API looks like: the gateway's own, or that of the Flask server it stands in for.
    pub dialect: Dialect,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            api: Some("/api".to_owned()),
            pages: Some("/auth".to_owned()),
            well_known: true,
            dialect: Dialect::Standard,
        }
    }
}
