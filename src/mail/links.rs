//! Where links in mails lead.

/// A URL that a code is appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    /// The URL as configured; the page of a single-page application may stand in its fragment.
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// Scheme, host and port of it.
    pub fn origin(&self) -> &str {
        origin(&self.0)
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

/// Scheme, host and port of a URL, as they stand there.
pub fn origin(url: &str) -> &str {
    let begin = url.find("://").map_or(0, |at| at.saturating_add(3));
    let rest = url.get(begin..).unwrap_or_default();
    let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..begin.saturating_add(length)).unwrap_or(url)
}
