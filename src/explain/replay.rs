//! Recorded decisions, made again by another policy: what would change.

use std::collections::BTreeMap;

use serde::Serialize;

use super::again::{Again, World, again};
use super::{Recorded, Unreadable};
use crate::admission::Policy;
use crate::codes::Code;
use crate::route::Host;

/// Different changes that are kept apart; what is more is counted together.
const GROUPS: usize = 1000;

/// The refusals that rules and targets alone bring about; all others depend on the moment or on more of the request.
const BY_RULES: [Code; 15] = [
    Code::InvalidTarget,
    Code::AmbiguousTarget,
    Code::CredentialsRequired,
    Code::InvalidToken,
    Code::InsufficientRole,
    Code::NetworkNotAllowed,
    Code::ClientUnknown,
    Code::ClientCertificateRequired,
    Code::AccessDenied,
    Code::IdentityNotRepresentable,
    Code::CrossSiteRequest,
    Code::CredentialNotAllowed,
    Code::NotFound,
    Code::MethodNotAllowed,
    Code::TargetTooLong,
];

/// The refusals that one of our own URLs may bring about by itself, with nothing of it in the log.
const BY_OUR_OWN: [Code; 4] = [
    Code::CredentialsRequired,
    Code::InvalidToken,
    Code::CredentialNotAllowed,
    Code::CrossSiteRequest,
];

/// Where somebody is led who asks for nothing in particular, and no route is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Nowhere.
    Nowhere,
    /// To the pages.
    Pages,
    /// Browsers to the pages, nobody else.
    PagesForBrowsers,
}

/// What decides again.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Where `/` leads on a host.
    pub home: &'a dyn Fn(Option<&Host<'_>>) -> Home,
    /// Whether a target is the address of another proxy's question, or a misspelt one.
    pub takes_for_question: &'a dyn Fn(&str) -> bool,
}

impl std::fmt::Debug for Ground<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Ground")
            .field("policy", self.policy)
            .finish_non_exhaustive()
    }
}

/// What was decided, or would be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Settled {
    /// `permit`, `refuse` or `would_refuse`.
    pub decision: String,
    /// The route, as logs name it.
    pub route: String,
    /// The stable code, or `ok`.
    pub reason: String,
}

/// Changes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// What was decided.
    pub old: Settled,
    /// What would be.
    pub new: Settled,
    /// How often.
    pub count: u64,
    /// The first of them: method, host and path, and who asked.
    pub examples: Vec<String>,
}

/// What replaying a log has shown.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Decisions that were made again.
    pub replayed: u64,
    /// Those that would stay as they are.
    pub unchanged: u64,
    /// Lines that are no decisions, by why not: how many, and the number of the first such line.
    pub unreadable: BTreeMap<Unreadable, (u64, u64)>,
    /// Decisions that cannot be told from the log, for they depend on more than it holds: how many, by the reason.
    pub passed_over: BTreeMap<&'static str, u64>,
    /// How many examples of each kind are kept.
    examples: usize,
    moved: BTreeMap<(Settled, Settled), (u64, Vec<String>)>,
}

impl Changes {
    /// Nothing yet; so many examples of each kind will be kept.
    pub fn new(examples: usize) -> Self {
        Self {
            examples,
            ..Self::default()
        }
    }

    /// Reads a line of a log and decides again.
    pub fn line(&mut self, ground: &Ground<'_>, line: &str, number: u64) {
        match Recorded::parse(line) {
            Ok(recorded) => self.decide(ground, &recorded),
            Err(why) => self.cannot_read(why, number),
        }
    }

    /// A line that is no decision.
    pub fn cannot_read(&mut self, why: Unreadable, number: u64) {
        self.unreadable.entry(why).or_insert((0, number)).0 += 1;
    }

    /// The changes, the most frequent first.
    pub fn moved(&self) -> Vec<Moved> {
        let mut all: Vec<Moved> = self
            .moved
            .iter()
            .map(|((old, new), (count, examples))| Moved {
                old: old.clone(),
                new: new.clone(),
                count: *count,
                examples: examples.clone(),
            })
            .collect();
        all.sort_by_key(|moved| std::cmp::Reverse(moved.count));
        all
    }

    fn decide(&mut self, ground: &Ground<'_>, recorded: &Recorded) {
        if let Some(why) = depends_on_more(recorded) {
            *self.passed_over.entry(why).or_insert(0) += 1;
            return;
        }
        let old = Settled {
            decision: recorded.decision.clone(),
            route: recorded.route.clone(),
            // Of what was let pass, the log tells what the backend's answer was worth.
            reason: match recorded.decision.as_str() {
                "permit" => "ok".to_owned(),
                _ => recorded.reason.clone(),
            },
        };
        let again = again(ground, recorded, World::told_by(recorded));
        if old == again.settled {
            self.replayed += 1;
            self.unchanged += 1;
            return;
        }
        if let Some(why) = untold(ground, recorded, &old, &again) {
            *self.passed_over.entry(why).or_insert(0) += 1;
            return;
        }
        let new = again.settled;
        self.replayed += 1;
        let full = self.moved.len() >= GROUPS;
        let key = (old, new);
        let (count, examples) = match (self.moved.contains_key(&key), full) {
            (false, true) => self.moved.entry(other()).or_default(),
            (true, _) | (_, false) => self.moved.entry(key).or_default(),
        };
        *count += 1;
        if examples.len() < self.examples {
            examples.push(example(recorded));
        }
    }
}

fn other() -> (Settled, Settled) {
    let other = Settled {
        decision: "(other)".to_owned(),
        route: "(other)".to_owned(),
        reason: "(other)".to_owned(),
    };
    (other.clone(), other)
}

fn example(recorded: &Recorded) -> String {
    let host = recorded.host.as_deref().unwrap_or("(no host)");
    let user = recorded.user.as_ref().map_or("anonymous", |(name, ..)| name);
    format!("{} {host}{} ({user})", recorded.method, recorded.path)
}

/// Why a decision cannot be made again from what the log tells of it; none: it can.
fn depends_on_more(recorded: &Recorded) -> Option<&'static str> {
    let refused = recorded.decision != "permit";
    let code = Code::ALL.iter().find(|code| code.as_str() == recorded.reason);
    if let Some(code) = code.filter(|code| refused && !BY_RULES.contains(code)) {
        return Some(code.as_str());
    }
    // Which method a preflight asks about is not in the log.
    (recorded.method == "OPTIONS" && recorded.user.is_none()).then_some("may be a preflight")
}

/// Why a decision that comes out differently may be as it was: what made the difference need not be in the log. None: it is
/// the policy that has changed.
fn untold(ground: &Ground<'_>, recorded: &Recorded, old: &Settled, new: &Again) -> Option<&'static str> {
    let reason = Code::ALL.iter().find(|code| code.as_str() == old.reason);
    let refused = old.decision == "refuse";
    if recorded.method == "CONNECT" {
        return Some("may be a WebSocket over HTTP/2");
    }
    match reason {
        // The query is not in the log, nor what stands behind a `#`, nor all of what is too long.
        Some(Code::InvalidTarget | Code::TargetTooLong) if refused => {
            return Some("the target is not in the log as a whole");
        }
        // An address of mail is not in the log.
        Some(Code::IdentityNotRepresentable) => return Some("not all that backends are told is in the log"),
        Some(Code::CrossSiteRequest | Code::InsufficientRole) if !refused && recorded.user.is_none() => {
            return Some("a shadow route let it pass as nobody, and whose it was is not in the log");
        }
        Some(_) | None => {}
    }
    let is_said = reason.is_some_and(|reason| BY_OUR_OWN.contains(reason));
    if refused && is_said && recorded.is_ours() && new.own_url && new.settled.decision == "permit" {
        return Some("one of the gateway's own URLs refused it, and what for is not in the log");
    }
    let is_ambiguous = |settled: &Settled| settled.reason == Code::AmbiguousTarget.as_str();
    if new.guessed && is_ambiguous(old) != is_ambiguous(&new.settled) {
        return Some("another reading of the target asks who it is, and what was shown is not in the log");
    }
    let told = World::told_by(recorded);
    let others = [
        (
            World {
                certificate: Some(false),
                ..told
            },
            "whether the client showed a certificate is not in the log",
        ),
        (
            World {
                cross_site: true,
                ..told
            },
            "which page it came from is not in the log",
        ),
    ];
    others
        .into_iter()
        .find_map(|(world, why)| (again(ground, recorded, world).settled == *old).then_some(why))
}
