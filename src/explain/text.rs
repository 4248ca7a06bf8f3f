//! An explanation as text for people.

use std::fmt::Write as _;

use super::{Condition, Decision, Dialect, Explanation, Fall, Field, Forwarding, Place, Reading, Rival, Trace};

/// More readings than this are told in a number.
const READINGS: usize = 12;

impl Explanation {
    /// All of it.
    pub fn to_text(&self) -> String {
        let request = &self.request;
        let mut text = format!(
            "{} {}://{}{}\n",
            request.method,
            request.scheme,
            shown(&request.host),
            shown(&request.target)
        );
        let client = request.client.as_deref().unwrap_or("an unknown address");
        let who = self.trace.as_ref().and_then(|trace| trace.principal.as_ref());
        let who = who.map_or("anonymous".to_owned(), |who| {
            let roles = match who.roles.is_empty() {
                true => "no roles".to_owned(),
                false => format!("roles {}", shown(&who.roles.join(", "))),
            };
            format!("{} ({roles}; {})", shown(&who.name), who.credential)
        });
        writeln!(text, "from {client}, {who}\n").ok();
        for note in &self.notes {
            text.push_str(&note_told(note));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text.push_str(&decision(&self.decision));
        if let Some(trace) = &self.trace {
            text.push_str(&self::trace(trace));
        }
        if let Some(forwarding) = &self.forwarding {
            text.push_str(&sent_on(forwarding));
        }
        if let Some(answer) = self.answer.as_ref().filter(|answer| !answer.fields.is_empty()) {
            writeln!(text, "\nanswer\n  {}", answer.status).ok();
            for field in &answer.fields {
                writeln!(text, "    {}", field_told(field)).ok();
            }
        }
        if let Some(location) = &self.browser {
            writeln!(text, "\na browser is sent to {}", shown(location)).ok();
        }
        text.push_str(&dialects(&self.forward_auth));
        text
    }
}

/// A note, which may have several lines; only its first begins one.
fn note_told(note: &str) -> String {
    let lines: Vec<String> = note.lines().map(shown).collect();
    format!("note: {}\n", lines.join("\n      "))
}

/// What became of it, in a line or two.
pub(super) fn decision(decision: &Decision) -> String {
    let goes = match decision.goes_to {
        Some("gateway") => "allowed: the gateway answers this URL itself",
        Some("preflight") => "allowed: the gateway answers this preflight by [cors]",
        Some(_) | None => "allowed: it goes to the backend",
    };
    let refused = || {
        let status = decision.status.map_or(String::new(), |status| format!("{status} "));
        let cause = decision
            .cause
            .as_ref()
            .map_or(String::new(), |cause| format!(" ({})", shown(cause)));
        let detail = decision.detail.as_deref().unwrap_or_default();
        format!("{status}{}{cause}: {detail}", decision.reason)
    };
    match decision.decision {
        "permit" => format!("{goes}\n"),
        "would_refuse" => format!(
            "{goes}, for the route is a shadow and not enforced; it would be refused with {}\n",
            refused()
        ),
        _ => format!("refused with {}\n", refused()),
    }
}

/// How it came about.
pub(super) fn trace(trace: &Trace) -> String {
    let mut text = String::from("\n");
    writeln!(text, "path    {}", shown(&trace.canonical)).ok();
    let why = match trace.host_match {
        Some("exact") => "; it names the host, and has the longest path there",
        Some("wildcard") => "; its wildcard holds the host, and it has the longest path there",
        Some(_) => "; it is for any host, and has the longest path",
        None => "",
    };
    let why = match trace.place {
        Place::Route { .. } | Place::Endpoint { .. } => why,
        Place::OtherMethods | Place::Nowhere => "",
    };
    writeln!(text, "falls to {}{why}", place(&trace.place)).ok();
    for rival in &trace.rivals {
        writeln!(text, "  not to {}", beaten(rival)).ok();
    }
    if trace.rivals_left_off > 0 {
        writeln!(text, "  nor to {} more", trace.rivals_left_off).ok();
    }
    if !trace.conditions.is_empty() {
        text.push_str("\nconditions\n");
    }
    for condition in &trace.conditions {
        text.push_str(&condition_told(condition));
    }
    if trace.readings.len() > 1 {
        writeln!(text, "\nreadings that a backend may make of it").ok();
        for reading in trace.readings.iter().take(READINGS) {
            text.push_str(&reading_told(reading));
        }
        if let Some(more) = trace.readings.len().checked_sub(READINGS).filter(|more| *more > 0) {
            writeln!(text, "  and {more} more").ok();
        }
    }
    text
}

fn place(place: &Place) -> String {
    match place {
        Place::Route {
            name,
            path,
            hosts,
            methods,
            shadow,
        } => {
            let hosts = match hosts.is_empty() {
                true => "any host".to_owned(),
                false => hosts.join(", "),
            };
            let methods = methods
                .as_ref()
                .map_or(String::new(), |methods| format!(", {}", methods.join(", ")));
            let shadow = if *shadow { ", shadow" } else { "" };
            shown(&format!("route {name} ({path} on {hosts}{methods}{shadow})"))
        }
        Place::Endpoint { path } => format!("the gateway's own {}", shown(path)),
        Place::OtherMethods => "a path that is known, and not for this method".to_owned(),
        Place::Nowhere => "no route".to_owned(),
    }
}

fn beaten(rival: &Rival) -> String {
    let because = match rival.because {
        "method" => "it is not for this method",
        "shorter_path" => "its path is shorter",
        "looser_host" => "the other names the host more closely",
        "own_url" => "the URL is the gateway's own",
        _ => "it is for other hosts",
    };
    format!("{}: {because}", place(&rival.place))
}

fn condition_told(condition: &Condition) -> String {
    let holds = match condition.holds {
        Some(true) => "yes",
        Some(false) => "no ",
        None => " - ",
    };
    let mut text = format!("  {holds}  {}: {}\n", condition.condition, shown(&condition.detail));
    for role in &condition.roles {
        let held = if role.held { "has" } else { "lacks" };
        writeln!(text, "         {held} {}", shown(&role.role)).ok();
    }
    text
}

fn reading_told(reading: &Reading) -> String {
    let mut text = String::new();
    for fall in &reading.falls_to {
        writeln!(
            text,
            "  {}  {}: {}",
            shown(&reading.path),
            place(&fall.place),
            fall_told(fall)
        )
        .ok();
    }
    text
}

fn fall_told(fall: &Fall) -> String {
    match (fall.refuses, &fall.place, fall.agrees) {
        (Some(refuses), _, _) => format!("refuses ({refuses})"),
        (None, Place::OtherMethods | Place::Nowhere, _) => "refuses".to_owned(),
        (None, Place::Route { .. } | Place::Endpoint { .. }, true) => "lets it pass".to_owned(),
        (None, Place::Route { .. } | Place::Endpoint { .. }, false) => {
            "lets it pass, and does not agree (ambiguous, or strip_prefix does not hold)".to_owned()
        }
    }
}

fn sent_on(forwarding: &Forwarding) -> String {
    let mut text = format!(
        "\nbackend\n  upstream {}: {}\n  target   {}\n",
        forwarding.upstream,
        forwarding.servers.join(", "),
        shown(&forwarding.target)
    );
    for (what, fields) in [
        ("taken out", &forwarding.stripped),
        ("added", &forwarding.added),
        ("goes on", &forwarding.kept),
    ] {
        if !fields.is_empty() {
            writeln!(text, "  {what}").ok();
        }
        for field in fields {
            writeln!(text, "    {}", field_told(field)).ok();
        }
    }
    writeln!(
        text,
        "  taken out wherever a client sends it, in any spelling\n    {}",
        forwarding.reserved.join(", ")
    )
    .ok();
    text
}

fn field_told(field: &Field) -> String {
    match &field.value {
        Some(value) if value.is_empty() => format!("{}:", shown(&field.name)),
        Some(value) => format!("{}: {}", shown(&field.name), shown(value)),
        None => format!("{}: (not shown)", shown(&field.name)),
    }
}

/// Those who are answered alike are told together.
fn dialects(dialects: &[Dialect]) -> String {
    let mut text = String::new();
    if !dialects.is_empty() {
        let leads = |dialect: &Dialect| dialect.fields.iter().any(|field| field.name == "Location");
        let whom = if dialects.iter().any(leads) {
            " to a browser"
        } else {
            ""
        };
        writeln!(text, "\nforward-auth answers{whom}").ok();
    }
    for same in dialects.chunk_by(|one, other| (one.status, &one.fields) == (other.status, &other.fields)) {
        let Some(first) = same.first() else { continue };
        let names: Vec<_> = same.iter().map(|dialect| dialect.name).collect();
        writeln!(text, "  {} {}", first.status, names.join(", ")).ok();
        for field in &first.fields {
            writeln!(text, "    {}", field_told(field)).ok();
        }
    }
    text
}

/// Text as a terminal may show it: whatever a log or a command line holds, it moves no cursor, begins no line, and does not
/// turn the direction of what stands beside it.
pub(super) fn shown(text: &str) -> String {
    let moves = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match moves(character) {
            true => safe.extend(character.escape_unicode()),
            false => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::note_told;

    #[test]
    fn the_lines_of_a_note_stand_below_each_other() {
        assert_eq!(note_told("one"), "note: one\n");
        assert_eq!(
            note_told("not good:\nerror: away\u{7}\nallowed"),
            "note: not good:\n      error: away\\u{7}\n      allowed\n"
        );
    }
}
