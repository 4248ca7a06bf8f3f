//! The table of routes: a tree of path segments for every host, so that a look-up costs what its path costs, however many
//! routes there are.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::FixedState;
use http::Method;

use super::host::{Host, HostPattern};
use super::method::{Allow, Choice, MethodSet};
use super::path::PathPattern;
use super::reading::{Forms, Reading};
use super::target::Target;

/// Looked up by clients, filled by the operator alone: nobody can fill it with collisions.
type Map<K> = HashMap<Box<K>, usize, FixedState>;

/// One line of a table in the making.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// For which hosts; none: any.
    pub hosts: Vec<HostPattern>,
    /// For which paths.
    pub pattern: PathPattern,
    /// For which methods; none: any.
    pub methods: Option<MethodSet>,
    /// What a look-up finds.
    pub value: T,
}

/// Two entries that would both answer the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The earlier entry, by its place.
    pub first: usize,
    /// The later entry, by its place.
    pub second: usize,
    /// The host they share; none: any host.
    pub host: Option<HostPattern>,
    /// The path they share.
    pub path: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            second,
            host,
            path,
        } = self;
        write!(
            formatter,
            "entries {} and {} are both for path {path} on ",
            first + 1,
            second + 1
        )?;
        match host {
            Some(host) => write!(formatter, "host {host}")?,
            None => formatter.write_str("any host")?,
        }
        formatter.write_str(" and share a method")
    }
}

impl std::error::Error for Conflict {}

/// What a look-up tells.
#[derive(Clone, Copy, Debug)]
pub enum Match<'t, T> {
    /// The entry for this request.
    Found(&'t T),
    /// The path has entries, none of them for this method.
    MethodNotAllowed(Allow<'t>),
    /// No entry is for this path.
    NotFound,
}

/// Entries by host, then path, then method.
///
/// A request falls to the entries of its host, then to those of a wildcard, then to those of any host: the first of the
/// three that have an entry for the path decide. Among the paths the longest decides, and an exact one before a prefix.
#[derive(Clone, Debug)]
pub struct Table<T> {
    values: Vec<T>,
    groups: Vec<Vec<Choice>>,
    nodes: Vec<Node>,
    hosts: Map<str>,
    wildcards: Map<str>,
    any: Option<usize>,
    uniform: bool,
}

/// How closely entries name a host, the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostTier {
    /// By its name.
    Exact,
    /// By a wildcard.
    Wildcard,
    /// Not at all: they are for any host.
    Any,
}

/// An entry that a request may fall to.
#[derive(Debug)]
pub struct Candidate<'t, T> {
    /// The entry.
    pub value: &'t T,
    /// How closely it names the host.
    pub tier: HostTier,
    /// Whether it is for the method.
    pub accepts: bool,
    /// Entries of one number share host and path.
    pub group: usize,
}

/// One segment of the tree.
#[derive(Clone, Debug, Default)]
struct Node {
    children: Map<[u8]>,
    /// The groups whose path ends here.
    prefixes: Vec<Placed>,
    exacts: Vec<Placed>,
}

/// A group, and in which forms its path is the one that leads here.
#[derive(Clone, Copy, Debug)]
struct Placed {
    forms: Forms,
    group: usize,
}

impl<T> Table<T> {
    /// Builds the table, or names all pairs of entries that are for the same host, path and method.
    pub fn new(entries: Vec<Entry<T>>) -> Result<Self, Vec<Conflict>> {
        let mut table = Self {
            values: Vec::with_capacity(entries.len()),
            groups: Vec::new(),
            nodes: Vec::new(),
            hosts: Map::default(),
            wildcards: Map::default(),
            any: None,
            uniform: entries.iter().all(|entry| entry.pattern.path().is_uniform()),
        };
        let mut conflicts = Vec::new();
        for (place, entry) in entries.into_iter().enumerate() {
            let hosts = match entry.hosts.as_slice() {
                [] => vec![None],
                hosts => hosts.iter().map(Some).collect(),
            };
            for host in hosts {
                let choice = Choice {
                    methods: entry.methods.clone(),
                    value: place,
                };
                let group = table.group(host, &entry.pattern);
                // A group that was just named exists.
                let Some(choices) = table.groups.get_mut(group) else {
                    continue;
                };
                // The same host twice in one entry says nothing new.
                if choices.iter().any(|other| other.value == place) {
                    continue;
                }
                conflicts.extend(
                    choices
                        .iter()
                        .filter(|other| other.overlaps(choice.methods.as_ref()))
                        .map(|other| Conflict {
                            first: other.value,
                            second: place,
                            host: host.cloned(),
                            path: entry.pattern.path().to_string(),
                        }),
                );
                choices.push(choice);
            }
            table.values.push(entry.value);
        }
        if conflicts.is_empty() {
            Ok(table)
        } else {
            Err(conflicts)
        }
    }

    /// The entry for the canonical reading of a target ([`Target::canonical`]).
    pub fn find(&self, host: Option<&Host<'_>>, method: &Method, path: &[u8]) -> Match<'_, T> {
        let reading = Reading {
            path,
            forms: Forms::CANONICAL,
        };
        let mut found = Match::NotFound;
        self.find_reading(host, method, reading, |entry| found = entry);
        found
    }

    /// Every entry that a reading falls to, in the forms it has. There can be several: `/Orders` and `/orders` are the
    /// same path to a backend that folds letters, so both have to let a request pass that is read so. Tells in which
    /// forms no entry was found.
    pub fn find_reading<'t>(
        &'t self,
        host: Option<&Host<'_>>,
        method: &Method,
        reading: Reading<'_>,
        mut each: impl FnMut(Match<'t, T>),
    ) -> Forms {
        let Some(path) = reading.path.strip_prefix(b"/") else {
            return reading.forms;
        };
        let mut each = |group: usize| each(self.choose(group, method));
        let mut left = reading.forms;
        for tier in [HostTier::Exact, HostTier::Wildcard, HostTier::Any] {
            if let Some(root) = self.tree(tier, host) {
                left = self.descend::<true>(root, Some(path), left, &mut each);
            }
            if left.is_empty() {
                break;
            }
        }
        left
    }

    /// Whether [`Table::find`] alone tells what all readings of a target fall to: the target has one reading, and no
    /// entry's path has capital letters or others that a backend may fold.
    pub fn one_look_up(&self, target: &Target<'_>) -> bool {
        self.uniform && target.is_simple()
    }

    /// All values, in the order of their entries.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    /// The tree of a tier for requests to this host.
    fn tree(&self, tier: HostTier, host: Option<&Host<'_>>) -> Option<usize> {
        let name = host.map(Host::name);
        match tier {
            HostTier::Exact => self.hosts.get(name?).copied(),
            HostTier::Wildcard if self.wildcards.is_empty() => None,
            HostTier::Wildcard => self.wildcards.get(name?.split_once('.')?.1).copied(),
            HostTier::Any => self.any,
        }
    }

    /// Everything that the canonical reading of a target might fall to, in the order of [`Table::find`], which takes the first
    /// group: the same walk, and it goes on.
    pub fn candidates(&self, host: Option<&Host<'_>>, method: &Method, path: &[u8]) -> Vec<Candidate<'_, T>> {
        let mut all = Vec::new();
        let Some(path) = path.strip_prefix(b"/") else {
            return all;
        };
        for tier in [HostTier::Exact, HostTier::Wildcard, HostTier::Any] {
            let mut each = |group: usize| {
                let choices = self.groups.get(group).map_or(&[][..], Vec::as_slice);
                all.extend(choices.iter().filter_map(|choice| {
                    Some(Candidate {
                        value: self.values.get(choice.value)?,
                        tier,
                        accepts: choice.accepts(method),
                        group,
                    })
                }));
            };
            if let Some(root) = self.tree(tier, host) {
                self.descend::<false>(root, Some(path), Forms::CANONICAL, &mut each);
            }
        }
        all
    }

    /// Goes down as far as the tree goes, and offers on the way back, so from the longest path to the shortest, the groups
    /// of the forms that have found none yet (or, unless only the `NEAREST` are wanted, all). No deeper than the longest
    /// path of an entry. Tells which forms are left.
    fn descend<const NEAREST: bool>(
        &self,
        node: usize,
        rest: Option<&[u8]>,
        forms: Forms,
        each: &mut impl FnMut(usize),
    ) -> Forms {
        let Some(node) = self.nodes.get(node) else { return forms };
        #[cfg(test)]
        count_steps(1 + node.prefixes.len() + node.exacts.len());
        let mut left = forms;
        match rest {
            None => left = offer::<NEAREST>(&node.exacts, left, each),
            Some(rest) => {
                let (segment, rest) = split_segment(rest);
                if let Some(child) = node.children.get(segment) {
                    left = self.descend::<NEAREST>(*child, rest, left, each);
                }
            }
        }
        offer::<NEAREST>(&node.prefixes, left, each)
    }

    fn choose(&self, group: usize, method: &Method) -> Match<'_, T> {
        let choices = self.groups.get(group).map_or(&[][..], Vec::as_slice);
        #[cfg(test)]
        count_steps(choices.len());
        match choices.iter().find(|choice| choice.accepts(method)) {
            Some(choice) => self.values.get(choice.value).map_or(Match::NotFound, Match::Found),
            None => Match::MethodNotAllowed(Allow(choices)),
        }
    }

    /// The group of a host and a path, put in its places if it is new.
    fn group(&mut self, host: Option<&HostPattern>, pattern: &PathPattern) -> usize {
        let root = self.root(host);
        let new = self.groups.len();
        let mut group = new;
        for (forms, text) in pattern.path().forms() {
            let node = self.node(root, pattern.significant(text));
            let Some(node) = self.nodes.get_mut(node) else { continue };
            let placed = if pattern.is_exact() {
                &mut node.exacts
            } else {
                &mut node.prefixes
            };
            // The first text is the canonical one: there a path has met its equal if there is one.
            if group == new
                && let Some(known) = placed
                    .iter()
                    .find(|known| !known.forms.and(forms).and(Forms::CANONICAL).is_empty())
            {
                group = known.group;
                break;
            }
            placed.push(Placed { forms, group });
        }
        if group == new {
            self.groups.push(Vec::new());
        }
        group
    }

    fn root(&mut self, host: Option<&HostPattern>) -> usize {
        let new = self.nodes.len();
        let root = match host {
            Some(HostPattern::Exact(name)) => *self.hosts.entry(name.as_str().into()).or_insert(new),
            Some(HostPattern::Wildcard(suffix)) => *self.wildcards.entry(suffix.as_str().into()).or_insert(new),
            None => *self.any.get_or_insert(new),
        };
        if root == new {
            self.nodes.push(Node::default());
        }
        root
    }

    fn node(&mut self, root: usize, path: &[u8]) -> usize {
        let mut at = root;
        let mut rest = path.strip_prefix(b"/");
        while let Some(path) = rest {
            let (segment, after) = split_segment(path);
            let new = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { break };
            at = *node.children.entry(segment.into()).or_insert(new);
            if at == new {
                self.nodes.push(Node::default());
            }
            rest = after;
        }
        at
    }
}

/// Offers the groups that are here in forms still open; tells which forms stay open.
fn offer<const NEAREST: bool>(placed: &[Placed], forms: Forms, each: &mut impl FnMut(usize)) -> Forms {
    let mut left = forms;
    for placed in placed {
        if !placed.forms.and(forms).is_empty() {
            each(placed.group);
            if NEAREST {
                left = left.without(placed.forms);
            }
        }
    }
    left
}

/// The first segment, and what follows its slash.
fn split_segment(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = path.splitn(2, |&byte| byte == b'/');
    (parts.next().unwrap_or_default(), parts.next())
}

#[cfg(test)]
thread_local! {
    /// What look-ups on this thread went through: segments, and the entries that stand at them.
    pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn count_steps(more: usize) {
    STEPS.set(STEPS.get() + more);
}
