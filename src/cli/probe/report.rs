//! What the probe found, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::advice::{Advice, Consumer};
use super::attacks::Hole;
use crate::cli::terminal;

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Report {
    pub holes: Vec<Hole>,
    pub consumer: Option<Consumer>,
    pub requests: usize,
    /// Whether HTTP/2 was played too.
    pub http2: bool,
    incomplete: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    /// Whether everything was played and nothing came through.
    pub fn is_clean(&self) -> bool {
        self.holes.is_empty() && self.incomplete.is_empty()
    }

    /// What could not be played to its end.
    pub fn incomplete(&mut self, what: String) {
        self.incomplete.push(what);
    }

    /// What people should know.
    pub fn note(&mut self, what: &str) {
        self.notes.push(what.to_owned());
    }

    fn consumers(&self) -> Vec<Consumer> {
        self.consumer.map_or(Consumer::ALL.to_vec(), |one| vec![one])
    }

    /// For programs.
    pub fn json(&self, url: &str) -> Value {
        let holes: Vec<Value> = self.holes.iter().map(|hole| self.hole(hole)).collect();
        json!({
            "url": url,
            "consumer": self.consumer.map(Consumer::name),
            "requests": self.requests,
            "http2": self.http2,
            "complete": self.incomplete.is_empty(),
            "holes": holes,
            "incomplete": self.incomplete,
            "notes": self.notes,
        })
    }

    fn hole(&self, hole: &Hole) -> Value {
        let (kind, about) = hole.kind.name();
        let advice: Vec<_> = self
            .consumers()
            .into_iter()
            .map(|one| (one.name(), one.advice(&hole.kind)))
            .collect();
        let close: Map<String, Value> = advice
            .iter()
            .map(|(name, advice)| ((*name).to_owned(), Value::from(advice.brief())))
            .collect();
        let lines: Map<String, Value> = advice
            .iter()
            .map(|(name, advice)| {
                let steps = advice.steps.iter();
                let steps: Value = steps
                    .map(|step| json!({"place": step.place, "line": step.line}))
                    .collect();
                ((*name).to_owned(), steps)
            })
            .collect();
        json!({
            "kind": kind,
            "about": about,
            "sent": hole.sent,
            "saw": hole.saw,
            "also": hole.also,
            "why": hole.kind.why(),
            "close": close,
            "lines": lines,
        })
    }

    /// For people.
    pub fn text(&self, url: &str) -> String {
        let versions = if self.http2 { "HTTP/1.1 and HTTP/2" } else { "HTTP/1.1" };
        let mut text = format!("{} requests to {url} over {versions}", self.requests);
        if let Some(consumer) = self.consumer {
            write!(text, ", {} in front", consumer.name()).ok();
        }
        text.push_str("\n\n");
        for (index, hole) in self.holes.iter().enumerate() {
            let (kind, about) = hole.kind.name();
            writeln!(text, "hole {}: {kind}: {about}", index + 1).ok();
            writeln!(text, "  sent:   {}", terminal::shown(&hole.sent)).ok();
            for also in &hole.also {
                writeln!(text, "  also:   {}", terminal::shown(also)).ok();
            }
            writeln!(text, "  saw:    {}", terminal::shown(&hole.saw)).ok();
            writeln!(text, "  why:    {}", hole.kind.why()).ok();
            for consumer in self.consumers() {
                close(&mut text, consumer, &consumer.advice(&hole.kind));
            }
            text.push('\n');
        }
        for what in &self.incomplete {
            writeln!(text, "not completed: {}", terminal::shown(what)).ok();
        }
        for note in &self.notes {
            writeln!(text, "note: {}", terminal::shown(note)).ok();
        }
        text.push_str("note: Nothing but the chain may reach the backend itself: whoever connects to it directly is whoever they say.\n");
        match (self.holes.len(), self.incomplete.len()) {
            (0, 0) => text.push_str("No hole was found.\n"),
            (0, _) => text.push_str("No hole was found in what could be played.\n"),
            (1, _) => text.push_str("1 hole was found.\n"),
            (many, _) => {
                writeln!(text, "{many} holes were found.").ok();
            }
        }
        text
    }
}

/// Lines as they are typed in, below the place where they go.
fn close(text: &mut String, consumer: Consumer, advice: &Advice) {
    let mut place = "";
    for step in &advice.steps {
        if step.place != place {
            writeln!(text, "  close:  {}, in {}:", consumer.name(), step.place).ok();
            place = step.place;
        }
        for line in step.line.lines() {
            writeln!(text, "            {line}").ok();
        }
    }
    match (advice.steps.is_empty(), advice.note) {
        (true, note) => writeln!(text, "  close:  {}: {note}", consumer.name()).ok(),
        (false, "") => None,
        (false, note) => writeln!(text, "          ({note})").ok(),
    };
}
