//! What closes a hole, for each consumer: lines that stand as they are typed in, and where they go. `DOORWARD` in them is the
//! gateway's address, `PROXIES` are the addresses of proxies of one's own, `CHECK` is the name that the check has.

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use clap::ValueEnum;

use super::attacks::Kind;
use super::message::{Field, find};

/// What stands in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Consumer {
    Nginx,
    Traefik,
    Caddy,
    Envoy,
    Haproxy,
}

/// Lines, and what has to be said about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    pub steps: Vec<Step>,
    pub note: &'static str,
}

/// One line, or a block of them; one that stands there already with another value is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub place: &'static str,
    pub line: String,
}

impl Advice {
    /// No line helps.
    const fn note(note: &'static str) -> Self {
        Self {
            steps: Vec::new(),
            note,
        }
    }

    /// Lines for one place.
    fn at(place: &'static str, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::default().and(place, lines)
    }

    /// And lines for another.
    fn and(mut self, place: &'static str, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.steps.extend(lines.into_iter().map(|line| Step {
            place,
            line: line.into(),
        }));
        self
    }

    fn but(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// In one line.
    pub fn brief(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut place = "";
        for step in &self.steps {
            let line = step.line.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            match step.place == place {
                true => parts.push(line),
                false => parts.push(format!("in {}: {line}", step.place)),
            }
            place = step.place;
        }
        match (parts.is_empty(), self.note) {
            (true, note) => note.to_owned(),
            (false, "") => parts.join(" "),
            (false, note) => format!("{} ({note})", parts.join(" ")),
        }
    }
}

impl Consumer {
    pub const ALL: [Self; 5] = [Self::Nginx, Self::Traefik, Self::Caddy, Self::Envoy, Self::Haproxy];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "Traefik",
            Self::Caddy => "Caddy",
            Self::Envoy => "Envoy",
            Self::Haproxy => "HAProxy",
        }
    }

    /// By what its answers say, where they do.
    pub fn guess(answer: &[Field]) -> Option<Self> {
        let said = ["server", "via"].map(|name| find(answer, name).unwrap_or_default().to_ascii_lowercase());
        let said = said.join(" ");
        let envoy = answer
            .iter()
            .any(|(name, _)| name.to_ascii_lowercase().starts_with("x-envoy-"));
        match () {
            () if said.contains("nginx") || said.contains("openresty") => Some(Self::Nginx),
            () if said.contains("caddy") => Some(Self::Caddy),
            () if envoy || said.contains("envoy") => Some(Self::Envoy),
            () => None,
        }
    }

    /// What closes this hole.
    pub fn advice(self, kind: &Kind) -> Advice {
        match self {
            Self::Nginx => nginx::advice(kind),
            Self::Traefik => traefik::advice(kind),
            Self::Caddy => caddy::advice(kind),
            Self::Envoy => envoy::advice(kind),
            Self::Haproxy => haproxy::advice(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_who_it_is_is_recognised() {
        for (name, value, who) in [
            ("Server", "nginx/1.22.1", Some(Consumer::Nginx)),
            ("server", "openresty", Some(Consumer::Nginx)),
            ("Via", "1.1 Caddy", Some(Consumer::Caddy)),
            ("server", "envoy", Some(Consumer::Envoy)),
            ("x-envoy-upstream-service-time", "0", Some(Consumer::Envoy)),
            ("Server", "Apache", None),
            ("X-Powered-By", "nginx", None),
        ] {
            let answer = [(name.to_owned(), value.to_owned())];
            assert_eq!(Consumer::guess(&answer), who, "{name}: {value}");
        }
        assert_eq!(Consumer::guess(&[]), None);
    }
}
