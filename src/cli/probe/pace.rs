//! How fast requests are sent: as fast as they are answered, and slower where the chain asks for it. A rate limiter's answer is no
//! refusal of what was sent, and must not pass for one.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::client::{Chain, Outcome, Request};
use super::message::Message;

/// No run sends more, whatever it is told to play.
pub const MOST_REQUESTS: usize = 1000;

/// How often a request is sent again after it was told to come later.
const AGAIN: usize = 4;

/// How long to wait where nobody says how long.
const WAIT: Duration = Duration::from_secs(1);

/// No wait is longer, whatever the chain asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Between two requests, once a limit was met; doubled each time it is met again.
const FIRST_GAP: Duration = Duration::from_millis(20);
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// The chain, and how fast it is asked.
pub struct Pace<'a> {
    chain: &'a Chain,
    /// Where the public URL is, on another host.
    other: Option<&'a Chain>,
    ends: Instant,
    gap: Duration,
    /// How many were sent.
    pub requests: usize,
}

impl<'a> Pace<'a> {
    /// As fast as it answers, until then.
    pub fn new(chain: &'a Chain, other: Option<&'a Chain>, ends: Instant) -> Self {
        Self {
            chain,
            other,
            ends,
            gap: Duration::ZERO,
            requests: 0,
        }
    }

    /// Whether nothing may be sent any more.
    pub fn is_over(&self) -> bool {
        self.requests >= MOST_REQUESTS || Instant::now() >= self.ends
    }

    /// Whether the chain is reached over TLS.
    pub fn is_secure(&self) -> bool {
        self.chain.secure
    }

    /// Whether the chain has asked for fewer requests.
    pub fn is_limited(&self) -> bool {
        self.gap > Duration::ZERO
    }

    /// Sends it, and again where it is told to come later.
    pub fn send(&mut self, request: &Request) -> Outcome {
        for _ in 0..AGAIN {
            let outcome = self.once(request);
            let Outcome::Answered(answer) = &outcome else {
                return outcome;
            };
            match code(answer) {
                "429" => {
                    self.gap = (self.gap * 2).clamp(FIRST_GAP, LONGEST_GAP);
                    self.wait(asked_wait(answer).unwrap_or(WAIT));
                }
                "503" => match asked_wait(answer) {
                    Some(wait) => self.wait(wait),
                    // What is attacked may break in this way: the request that has to pass says which it was.
                    None => return outcome,
                },
                _ => return outcome,
            }
        }
        match self.once(request) {
            Outcome::Answered(answer) if code(&answer) == "429" => {
                Outcome::Unknown(format!("the chain answered {} again and again", answer.first))
            }
            other => other,
        }
    }

    fn once(&mut self, request: &Request) -> Outcome {
        self.wait(self.gap);
        if self.is_over() {
            return Outcome::Unknown("the time was over".to_owned());
        }
        self.requests += 1;
        let chain = self.other.filter(|_| request.elsewhere).unwrap_or(self.chain);
        chain.send(request)
    }

    /// Never beyond the end of the play.
    pub fn wait(&self, wait: Duration) {
        let left = self.ends.saturating_duration_since(Instant::now());
        sleep(wait.min(LONGEST_WAIT).min(left));
    }
}

/// The status of an answer.
pub fn code(answer: &Message) -> &str {
    answer.first.split(' ').nth(1).unwrap_or_default()
}

/// In seconds; dates are not asked for by limiters that people meet here.
fn asked_wait(answer: &Message) -> Option<Duration> {
    let seconds = answer.field("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
