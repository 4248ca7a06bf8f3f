//! How a probe begins: where the echo backend is reached, and whether anything is protected.

use super::attacks::{Hole, Kind, Stage};
use super::client::{Outcome, Request, Version};
use super::over_h2;
use super::pace::{Pace, code};
use super::play::Probe;
use super::report::Report;
use crate::cli::{Failure, terminal};

/// What is known at the beginning.
pub struct Begun {
    /// Where the backend is reached, the best first.
    pub stages: Vec<Stage>,
    /// Whether the target is refused without credentials.
    pub refused: bool,
    /// Whether the chain speaks HTTP/2 and the backend is reached over it.
    pub http2: bool,
}

/// Sends the requests that have to pass, and the one that should not.
pub fn begin(probe: &Probe, pace: &mut Pace<'_>, report: &mut Report) -> Result<Begun, Failure> {
    let token = probe.token.as_ref();
    let mut stages = Vec::new();
    let mut enter = |name, request: Request| -> Outcome {
        let outcome = pace.send(&request);
        if let Outcome::Echoed(seen) = &outcome {
            let seen = seen.clone();
            stages.push(Stage { name, request, seen });
        }
        outcome
    };
    if token.is_some() {
        unreached(&enter("with the token", get(&probe.target, token)), true)?;
    }
    let outcome = enter("without credentials", get(&probe.target, None));
    let refused = !matches!(outcome, Outcome::Echoed(_));
    if token.is_none() {
        unreached(&outcome, false)?;
    }
    if let Outcome::Unknown(why) = &outcome {
        report.incomplete(format!("the URL without credentials: {why}"));
    }
    if let Some(public) = &probe.public {
        let request = Request {
            elsewhere: public.other.is_some(),
            ..get(&public.target, None)
        };
        let outcome = enter("on the public path", request);
        public.tell_unreached(&outcome, report);
    }
    if !refused {
        tell_open(probe, &stages, report);
    }
    let http2 = stages.first().is_some_and(|stage| speaks_http2(stage, pace, report));
    Ok(Begun { stages, refused, http2 })
}

fn get(target: &str, token: Option<&String>) -> Request {
    Request {
        method: "GET",
        target: target.to_owned(),
        fields: token
            .iter()
            .map(|token| ("Authorization".to_owned(), format!("Bearer {token}")))
            .collect(),
        ..Request::default()
    }
}

fn speaks_http2(stage: &Stage, pace: &mut Pace<'_>, report: &mut Report) -> bool {
    match pace.send(&over_h2::request(&stage.request)) {
        Outcome::Echoed(_) => {
            report.http2 = true;
            return true;
        }
        Outcome::NotSpoken | Outcome::Closed => {
            report.note("The chain does not speak HTTP/2 here: everything was played over HTTP/1.1.");
        }
        // A server of HTTP/1 that waits for more of what it takes for a request.
        Outcome::Unknown(_) if stage.request.version == Version::Http11 && !pace.is_secure() => {
            report.note("The chain does not speak HTTP/2 here: everything was played over HTTP/1.1.");
        }
        Outcome::Answered(answer) => report.incomplete(format!(
            "HTTP/2: what is let through over HTTP/1.1 is answered {} there",
            answer.first
        )),
        Outcome::Unknown(why) => report.incomplete(format!("HTTP/2: {why}")),
    }
    false
}

/// What is open without a credential is a hole where the operator has a token for it, and where there is none, nobody knows.
fn tell_open(probe: &Probe, stages: &[Stage], report: &mut Report) {
    if probe.token.is_none() {
        report.incomplete(
            "the URL needs no credentials, so whether anything is protected was not tried: give a protected URL, and the token of somebody who may pass (--token-file FILE)"
                .to_owned(),
        );
        return;
    }
    let open = stages
        .iter()
        .find(|stage| stage.request.target == probe.target && stage.request.fields.is_empty());
    if let Some(open) = open {
        report.holes.push(Hole {
            kind: Kind::NoCheck,
            sent: format!("GET {} ({})", probe.target, open.name),
            saw: format!(
                "the request for {}, though nobody showed a credential",
                open.seen.target
            ),
            also: Vec::new(),
        });
        report.note("What talks a check past was not played: there is none. Probe again with it.");
    }
}

/// Why the play cannot begin.
fn unreached(outcome: &Outcome, token: bool) -> Result<(), Failure> {
    let not = |cause: String, hint: &str| Err(Failure::run("the echo backend was not reached", cause, hint));
    match outcome {
        Outcome::Echoed(_) => Ok(()),
        Outcome::Closed | Outcome::NotSpoken => not(
            "the connection was closed without an answer".to_owned(),
            "is it the right scheme and port?",
        ),
        Outcome::Unknown(why) if why.contains("certificate") => not(
            why.clone(),
            "give the authority that signed it with --ca FILE, or believe any certificate with --insecure",
        ),
        Outcome::Unknown(why) if why.contains("again and again") => not(
            why.clone(),
            "a rate limit: take it off for the time of the probe, or probe from where it does not hold",
        ),
        Outcome::Unknown(why) if why.contains("corrupt message") => {
            not(why.clone(), "that is no TLS: should the URL begin with http://?")
        }
        Outcome::Unknown(why) => not(
            why.clone(),
            "is the URL right, and does the chain run? --resolve says where a host is",
        ),
        Outcome::Answered(answer) => {
            let (cause, hint) = answered(code(answer), &terminal::shown(&answer.first).to_string(), token);
            not(cause, &hint)
        }
    }
}

/// What an answer that is not the echo's says of the chain.
fn answered(code: &str, line: &str, token: bool) -> (String, String) {
    let lead = "run `doorward probe --echo 127.0.0.1:9999` where the chain's upstream is, and lead the chain there for the time of the probe";
    let cause = format!("the chain answered {line}");
    let hint = match (code, token) {
        ("401" | "403", true) => {
            "the token is not let through here: give one that is; `doorward token inspect` says what is wrong with it"
        }
        ("401" | "403", false) => "give a token that is let through: --token-file FILE",
        (redirect, true) if redirect.starts_with('3') => {
            "a login page, or another address: give the URL that it leads to, or a token that is let through here; `doorward token inspect` says what is wrong with this one"
        }
        (redirect, false) if redirect.starts_with('3') => {
            "a login page, most likely: give a token that is let through, --token-file FILE"
        }
        ("400", _) => "is it the right scheme and port? Some answer so to plain HTTP where TLS is spoken",
        ("429", _) => "a rate limit: take it off for the time of the probe, or probe from where it does not hold",
        (good, _) if good.starts_with('2') => {
            return (format!("{cause}, and that is not the echo backend's"), lead.to_owned());
        }
        _ => lead,
    };
    (cause, hint.to_owned())
}
