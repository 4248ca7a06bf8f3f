//! The play itself: which attacks, in which order, and what they came to.

use std::time::{Duration, Instant};

use super::advice::Consumer;
use super::attacks::{self, Play, Stage};
use super::begin::{self, Begun};
use super::client::{Chain, Echoed, Outcome, Request, Version};
use super::pace::Pace;
use super::public::Public;
use super::report::Report;
use super::{hosts, over_h2, talk, unchecked};
use crate::cli::Failure;

/// After so many attacks it is seen whether the chain still lets through what it let through at first.
const BETWEEN_CONTROLS: usize = 20;

/// How long a chain that let it through no more may take to do so again.
const RECOVERY: Duration = Duration::from_secs(3);

/// What is probed, and with what.
pub struct Probe {
    pub chain: Chain,
    pub target: String,
    pub token: Option<String>,
    pub public: Option<Public>,
    pub identity: Vec<String>,
    pub canary: String,
    /// The whole play takes no longer.
    pub patience: Duration,
}

impl Probe {
    /// Where the public URL is, where it is of another host than the protected one.
    fn other(&self) -> Option<&Chain> {
        self.public.as_ref()?.other.as_ref()
    }

    /// Plays everything.
    pub fn run(&self, consumer: Option<Consumer>) -> Result<Report, Failure> {
        let mut report = Report::default();
        let mut pace = Pace::new(&self.chain, self.other(), Instant::now() + self.patience);
        let begun = begin::begin(self, &mut pace, &mut report)?;
        let real = begun.stages.iter().find(|stage| stage.request.target == self.target);
        if begun.refused
            && let Some(real) = real
        {
            self.find_believed(real, &mut pace, &mut report);
            if let Some(other) = self.other() {
                hosts::play(self, other, real, &mut pace, &mut report);
            }
        }
        let plays = self.plays(&begun);
        let real = real.map(|stage| &stage.seen);
        self.play_all(&plays, begun.stages.first(), real, &mut pace, &mut report);
        if pace.is_limited() {
            report.note(
                "The chain limits requests (429): they were sent more slowly, and those that it refused so once more.",
            );
        }
        report.requests = pace.requests;
        report.consumer = consumer.or_else(|| Consumer::guess(&begun.stages.first()?.seen.answer));
        Ok(report)
    }

    fn plays(&self, begun: &Begun) -> Vec<Play> {
        let Chain { authority, secure, .. } = &self.chain;
        let mut plays: Vec<Play> = Vec::new();
        for stage in &begun.stages {
            plays.extend(attacks::on_stage(stage, &self.identity, &self.canary));
            let there = self.other().filter(|_| stage.request.elsewhere);
            plays.extend(unchecked::on_stage(
                stage,
                &self.identity,
                there.map_or(authority, |other| &other.authority),
                *secure,
                &self.canary,
            ));
            if begun.http2 {
                plays.extend(over_h2::on_stage(stage, &self.identity, &self.canary));
            }
        }
        if begun.refused {
            let (target, canary) = (&self.target, &self.canary);
            let public = self.public.as_ref().map(|public| public.target.as_str());
            let other = self.other().map(|other| other.authority.as_str());
            plays.extend(talk::against(target, public, authority, other, *secure, canary));
            plays.extend(unchecked::against(target, canary));
            if begun.http2 {
                plays.extend(over_h2::against(target, public, authority, *secure, canary));
            }
        }
        plays.retain(|play| begun.http2 || play.request.version != Version::Http2);
        plays
    }

    fn play_all(
        &self,
        plays: &[Play],
        control: Option<&Stage>,
        real: Option<&Echoed>,
        pace: &mut Pace<'_>,
        report: &mut Report,
    ) {
        let mut played = 0;
        for some in plays.chunks(BETWEEN_CONTROLS) {
            let mut unknown = Vec::new();
            for play in some {
                if pace.is_over() {
                    let left = plays.len() - played;
                    report.incomplete(format!(
                        "{left} of {} attacks: the time of {} s was over (--time-limit)",
                        plays.len(),
                        self.patience.as_secs()
                    ));
                    return;
                }
                let outcome = pace.send(&play.request);
                if let Outcome::Unknown(why) = &outcome {
                    unknown.push(format!("{} ({}): {why}", play.sent, play.place));
                }
                if let Some(saw) = attacks::judge(play, &outcome, real)
                    && !comes_anyway(play, real, pace)
                {
                    attacks::add(&mut report.holes, play, saw);
                }
                played += 1;
                // A chain that does not answer costs much time: whether it ever does again is seen at once.
                if unknown.len() > 1 {
                    break;
                }
            }
            if let Some(answered) = control.and_then(|control| lost(&control.request, pace)) {
                report.incomplete(format!(
                    "what it let through at first, the chain lets through no more ({answered}): a rate limit, a ban, or it is down. \
                     The last {} attacks do not count, and {} were not played",
                    some.len(),
                    plays.len() - played
                ));
                return;
            }
            for what in unknown {
                report.incomplete(what);
            }
        }
    }

    /// The headers that a check believes although they are the client's: what is let through without is refused with them.
    fn find_believed(&self, let_through: &Stage, pace: &mut Pace<'_>, report: &mut Report) {
        let Chain { authority, secure, .. } = &self.chain;
        for (play, control) in talk::foreign(let_through, authority, *secure, &self.canary) {
            let refused = match pace.send(&play.request) {
                Outcome::Answered(answer) => answer.first,
                Outcome::Closed => "no answer".to_owned(),
                Outcome::Echoed(_) | Outcome::NotSpoken => continue,
                Outcome::Unknown(why) => {
                    report.incomplete(format!("{} ({}): {why}", play.sent, play.place));
                    continue;
                }
            };
            // Some refuse whoever sends the header at all: they believe nothing.
            if let Outcome::Echoed(_) = pace.send(&control) {
                let saw = format!(
                    "nothing: {refused}, where what names the request's own is let through, so the check believes it"
                );
                attacks::add(&mut report.holes, &play, saw);
            }
        }
    }
}

/// Whether what came through does so without a trick too, which makes it none.
fn comes_anyway(play: &Play, real: Option<&Echoed>, pace: &mut Pace<'_>) -> bool {
    let openly = play.openly.as_ref();
    openly.is_some_and(|openly| attacks::judge(play, &pace.send(openly), real).is_some())
}

/// What became of a request that has to pass, where it passes no more.
fn lost(control: &Request, pace: &mut Pace<'_>) -> Option<String> {
    for last in [false, true] {
        let answered = match pace.send(control) {
            Outcome::Echoed(_) => return None,
            Outcome::Answered(answer) => format!("it answered {}", answer.first),
            Outcome::Closed | Outcome::NotSpoken => "it closed the connection".to_owned(),
            Outcome::Unknown(why) => why,
        };
        if last || pace.is_over() {
            return Some(answered);
        }
        pace.wait(RECOVERY);
    }
    None
}
