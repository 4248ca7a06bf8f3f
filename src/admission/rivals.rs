//! What else might have taken a request, and why it did not: for whoever asks why a route was not matched.

use std::sync::Arc;

use super::place::Place;
use super::watch::{Beaten, Landing, Rival};
use super::{Question, RouteEntry};
use crate::route::{Candidate, Forms, HostTier, PathPattern, Reading, Table};

/// How closely the winner names the host, and the others.
pub(super) fn rivals<'a>(
    endpoints: &'a Table<Place>,
    routes: &'a Table<Place>,
    entries: &'a [Arc<RouteEntry>],
    question: &Question<'_>,
) -> (Option<HostTier>, Vec<Rival<'a>>) {
    let path = question.target.canonical();
    let own = endpoints.candidates(question.host, question.method, path);
    let is_own = !own.is_empty();
    let foreign = routes.candidates(question.host, question.method, path);
    let all = own
        .iter()
        .map(|one| (one, false))
        .chain(foreign.iter().map(|one| (one, is_own)));
    let Some((winner, _)) = all.clone().next() else {
        return (None, elsewhere(entries, &[], path));
    };
    let mut rivals: Vec<Rival<'a>> = Vec::new();
    for (candidate, beaten_by_own) in all {
        if let Some(because) = against(candidate, winner, beaten_by_own) {
            let landing = candidate.value.landing();
            rivals.push(Rival { landing, because });
        }
    }
    let known: Vec<&Place> = foreign.iter().map(|candidate| candidate.value).collect();
    rivals.extend(elsewhere(entries, &known, path));
    (Some(winner.tier), rivals)
}

/// What was against a candidate; `None`: nothing.
fn against(candidate: &Candidate<'_, Place>, winner: &Candidate<'_, Place>, beaten_by_own: bool) -> Option<Beaten> {
    if beaten_by_own {
        return Some(Beaten::OwnUrl);
    }
    if candidate.group == winner.group {
        return (!candidate.accepts).then_some(Beaten::Method);
    }
    Some(match candidate.tier == winner.tier {
        true => Beaten::ShorterPath,
        false => Beaten::LooserHost,
    })
}

/// Routes of this path on other hosts.
fn elsewhere<'a>(entries: &'a [Arc<RouteEntry>], known: &[&Place], path: &[u8]) -> Vec<Rival<'a>> {
    let reading = Reading {
        path,
        forms: Forms::CANONICAL,
    };
    let is_known = |entry: &RouteEntry| {
        known
            .iter()
            .any(|place| matches!(place.landing(), Landing::Route(other) if std::ptr::eq(other, entry)))
    };
    entries
        .iter()
        .filter(|entry| !entry.route.hosts.is_empty() && !is_known(entry))
        .filter(|entry| PathPattern::prefix(&entry.route.path).is_ok_and(|pattern| pattern.path().holds_in(reading)))
        .map(|entry| Rival {
            landing: Landing::Route(entry),
            because: Beaten::OtherHosts,
        })
        .collect()
}
