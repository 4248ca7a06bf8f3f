//! Where links in mails lead.

/// A URL that a code is appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    /// The URL as configured; the page of a single-page application may stand in its fragment.
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// With this code. Codes need no escaping: they are made of letters, digits, `-`, `_` and `.`.
    pub fn with(&self, code: &str) -> String {
        // In `https://host/?x=1#/finalize` the query that is read is the fragment's.
        let read = self
            .0
            .rsplit_once('#')
            .map_or(self.0.as_str(), |(_, fragment)| fragment);
        let joint = if read.contains('?') { '&' } else { '?' };
        format!("{}{joint}token={code}", self.0)
    }
}
