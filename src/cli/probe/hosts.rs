//! Two hosts on one chain: the request line names one, and `Host` the other. RFC 9112 section 3.2.2 has servers go by the request
//! line; where one does, and tells its check what `Host` says, what is protected is served by the rules of what is public.

use super::attacks::{self, Kind, Play, Stage};
use super::client::{Chain, Echoed, Outcome, Request};
use super::pace::Pace;
use super::play::Probe;
use super::report::Report;

/// What such a hole is about.
const ABOUT: &str = "the request line's host";

/// Plays it against a target that is refused without credentials: `protected` has them.
pub fn play(probe: &Probe, other: &Chain, protected: &Stage, pace: &mut Pace<'_>, report: &mut Report) {
    let openly = match pace.send(&plainly(&probe.target)) {
        Outcome::Echoed(seen) => Some(seen),
        Outcome::Answered(_) | Outcome::Closed | Outcome::NotSpoken | Outcome::Unknown(_) => None,
    };
    let mut unclear = false;
    for play in plays(probe, other) {
        match pace.send(&play.request) {
            Outcome::Echoed(seen) => match is_protected(&seen, &protected.seen, openly.as_ref()) {
                Some(true) => {
                    let saw = format!("the request for {}, though nobody showed a credential", seen.target);
                    attacks::add(&mut report.holes, &play, saw);
                }
                Some(false) => {}
                None => unclear = true,
            },
            Outcome::Unknown(why) => report.incomplete(format!("{} ({}): {why}", play.sent, play.place)),
            Outcome::Answered(_) | Outcome::Closed | Outcome::NotSpoken => {}
        }
    }
    if unclear {
        report.incomplete(format!(
            "{} leads to the same echo backend as the protected URL, so which of the two served a request that names both hosts cannot \
             be told: leave its upstream as it is, or start another `doorward probe --echo` for it",
            other.authority
        ));
    }
}

/// The protected path, asked for on the public host.
fn plainly(target: &str) -> Request {
    Request {
        method: "GET",
        target: target.to_owned(),
        elsewhere: true,
        ..Request::default()
    }
}

/// Whether it was the protected backend that was reached; none: both are one.
fn is_protected(seen: &Echoed, protected: &Echoed, openly: Option<&Echoed>) -> Option<bool> {
    if seen.by != protected.by {
        return Some(false);
    }
    openly.is_none_or(|openly| openly.by != protected.by).then_some(true)
}

/// Either host in the request line with the other in `Host`, on connections to either.
fn plays(probe: &Probe, other: &Chain) -> Vec<Play> {
    let own = &probe.chain;
    let scheme = if own.secure { "https" } else { "http" };
    let mut plays = Vec::new();
    for (named, said) in [(own, other), (other, own)] {
        for (to, elsewhere) in [(own, false), (other, true)] {
            let target = format!("{scheme}://{}{}", named.authority, probe.target);
            plays.push(Play {
                kind: Kind::TalkPast(ABOUT.to_owned()),
                sent: format!(
                    "GET {target} with Host: {}, on a connection to {}",
                    said.authority, to.authority
                ),
                place: "without credentials",
                request: Request {
                    method: "GET",
                    target,
                    elsewhere,
                    authority: Some(said.authority.clone()),
                    ..Request::default()
                },
                canary: probe.canary.clone(),
                openly: None,
            });
        }
    }
    plays
}
