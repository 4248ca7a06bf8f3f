//! `[cookies]`.

/// The browser's cookie; with only valid values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// One login for several hosts: all below this domain; `None`: for each host alone.
    pub domain: Option<String>,
}
