//! What becomes of another proxy's question: it depends on who asks, and on what it asks about.

use http::Method;
use http::header::{self, HeaderMap};

use super::shown::Shown;
use super::{Seen, Trial, consumers, head, is_bodiless, told};
use crate::admission::{Question, Refusal};
use crate::codes::Code;
use crate::endpoint::forward_auth::{self, Addressed, Dialect, Head};
use crate::explain::{Answered, Decision, Explanation, Trace};
use crate::gateway::{Snapshot, address, client, credentials, forward_auth as asking};
use crate::gateway::{is_never_served, refused};
use crate::problem::Problem;

/// Decides about the request that the question is about, as [`Gateway::question`](crate::gateway::Gateway) does.
pub(super) fn follow(
    snapshot: &Snapshot,
    trial: &Trial,
    host: &str,
    addressed: Addressed<'_>,
    explanation: &mut Explanation,
) -> Result<(), Problem> {
    let dialect = addressed.dialect;
    let mut reads = true;
    let decided = decide(snapshot, trial, host, addressed, explanation, &mut reads);
    if let Err(problem) = decided {
        refusal(dialect, &problem, reads, explanation);
    }
    Ok(())
}

/// A question that broke a rule of HTTP/1 is answered with that, in its dialect; whoever may not ask is told nothing else.
pub(super) fn refuse(
    snapshot: &Snapshot,
    trial: &Trial,
    dialect: Dialect,
    problem: Problem,
    explanation: &mut Explanation,
) -> Result<(), Problem> {
    let problem = only_from_proxies(snapshot, trial, explanation).err().unwrap_or(problem);
    refusal(dialect, &problem, true, explanation);
    // What scripts of other origins may read stands in every answer of ours.
    let mut cors = HeaderMap::new();
    snapshot.cors.apply(trial.headers.get(header::ORIGIN), &mut cors);
    if let Some(answer) = &mut explanation.answer {
        answer
            .fields
            .extend(cors.iter().map(|(name, value)| told::field(name, value)));
    }
    Ok(())
}

fn refusal(dialect: Dialect, problem: &Problem, reads: bool, explanation: &mut Explanation) {
    let decision = forward_auth::Decision::Refused { problem, reads };
    explanation.decision = Decision::refused(problem);
    answered(dialect, &decision, explanation);
    explanation.decision.status = explanation.answer.as_ref().map(|answer| answer.status);
}

fn only_from_proxies(snapshot: &Snapshot, trial: &Trial, explanation: &mut Explanation) -> Result<(), Problem> {
    if snapshot.trusted_proxies.contain(trial.client) {
        return Ok(());
    }
    let note = "this is a forward-auth question: only trusted_proxies may ask";
    explanation.notes.push(note.to_owned());
    let problem = Problem::new(Code::UntrustedProxy, "Only proxies that are trusted may ask here.");
    Err(problem.because(format_args!("{} is not in trusted_proxies", trial.client)))
}

fn decide(
    snapshot: &Snapshot,
    trial: &Trial,
    host: &str,
    Addressed { dialect, rest }: Addressed<'_>,
    explanation: &mut Explanation,
    reads: &mut bool,
) -> Result<(), Problem> {
    only_from_proxies(snapshot, trial, explanation)?;
    let Some(rest) = rest else {
        let note =
            "this address is next to one for forward-auth questions, and no route can lie there: ask to the letter";
        explanation.notes.push(note.to_owned());
        return Err(forward_auth::addressed_wrongly());
    };
    let parts = head(trial, host)?;
    let sifted = snapshot.reserved.look(&parts.headers, true);
    let client = client::walk(&sifted.forwarded.client, &snapshot.trusted_proxies);
    explanation.request.client = client.map(|client| client.to_string());
    let authority = address::authority(&parts)?;
    let read = dialect.read(&Head {
        method: &parts.method,
        authority: authority.as_ref().map(|host| host.to_str().unwrap_or("\u{fffd}")),
        rest,
        headers: &parts.headers,
    });
    let original = read.map_err(|fault| {
        let note = format!(
            "this is a forward-auth question of a trusted proxy, and says nothing that could be decided; {}. Explain the \
            request that it asks about, or write its fields with --header",
            dialect.advice(&fault)
        );
        explanation.notes.push(note);
        fault.problem()
    })?;
    *reads = original.method == Method::GET || original.method == Method::HEAD;
    let note = format!(
        "this is a forward-auth question of a trusted proxy, about {} {}{}",
        original.method, original.authority, original.target
    );
    explanation.notes.push(note);
    if is_never_served(&original.method) {
        return Err(refused(
            Code::MethodNotAllowed,
            "The gateway does not serve this method.",
        ));
    }
    let target = address::read_original(&original.method, original.target)?;
    if snapshot.endpoints.question(original.target).is_some()
        || snapshot.endpoints.resembles_question(&target).is_some()
    {
        return Err(Problem::from(Refusal::NotFound));
    }
    let upgrades = original.web_socket || asking::asks_for_web_socket(&original, &parts, &sifted);
    let preflight = asking::preflight(&original, &parts.headers, is_bodiless(&parts.headers));
    let harms = credentials::may_harm(&original.method, upgrades);
    let cross_site = || credentials::is_cross_site(&parts, Some(original.authority), original.secure, &snapshot.cors);
    let question = Question {
        host: original.host.as_ref(),
        target: &target,
        method: preflight.as_ref().unwrap_or(&original.method),
        preflight: preflight.is_some(),
        client,
        cross_site: harms && cross_site(),
        certificate: None,
        at: None,
        forward_auth: true,
        again: false,
    };
    let mut shown = Shown::of(trial, &parts.headers, target.query());
    explanation.notes.extend(shown.notes());
    let (trace, decided, entry) = Trace::of(&snapshot.policy, &question, |counts| shown.where_counts(counts));
    explanation.trace = Some(trace);
    let seen = Seen {
        parts: &parts,
        question: &question,
        secure: original.secure.unwrap_or(true),
        entry: entry.as_deref(),
        known: shown.known.as_ref(),
    };
    explanation.decision = seen.decision(snapshot, &decided);
    let is_browser = crate::gateway::browsers::is_browser(&parts);
    let permit = decided.map_err(|refusal| consumers::problem(snapshot, &seen, &refusal, is_browser))?;
    let allowed = consumers::allowed(snapshot, permit.proof())?;
    answered(dialect, &allowed, explanation);
    explanation.decision.goes_to = Some("gateway");
    Ok(())
}

fn answered(dialect: Dialect, decision: &forward_auth::Decision<'_>, explanation: &mut Explanation) {
    let told = consumers::answer(dialect, decision);
    explanation.answer = Some(Answered {
        status: told.status,
        fields: told.fields.clone(),
    });
    explanation.forward_auth = vec![told];
}
