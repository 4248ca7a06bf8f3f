//! A request that nobody sent: it goes the way of all others, up to where it would be forwarded, and what was seen on the way
//! is the explanation.

mod consumers;
mod limits;
mod question;
mod sent;
mod shown;
mod told;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri};

use super::browsers::{self, Way};
use super::{Client, Snapshot, address, client, credentials, fields, is_never_served, refused};
use crate::admission::{Destination, Permit, Question, Refusal, RouteEntry};
use crate::answer;
use crate::authn::{self, Fault, Proof};
use crate::codes::Code;
use crate::endpoint::forward_auth::Addressed;
use crate::endpoint::{self, Wanted};
use crate::explain::{Address, Asked, Decision, Explanation, Trace};
use crate::principal::{CredentialKind, Person};
use crate::problem::Problem;
use crate::proxy::Upgrade;
use crate::route::Target;
use crate::session::CookieName;
use crate::wire;
use shown::Shown;

/// What is tried.
#[derive(Debug)]
pub struct Trial {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub address: Address,
    /// The host that stands for one that was not written.
    pub default_host: String,
    /// Fields beside Host and the credential.
    pub headers: HeaderMap,
    /// The other end of the connection.
    pub client: IpAddr,
    /// Whether the client shows a certificate that counts.
    pub certificate: bool,
    /// Where what comes in the clear is led to: the https port; none: it is served.
    pub redirects: Option<u16>,
    /// What is shown.
    pub shows: Shows,
    /// How long it may be.
    pub bounds: wire::Settings,
    /// The browsers' cookie.
    pub cookie: CookieName,
}

/// What a tried request shows.
#[derive(Debug)]
pub enum Shows {
    /// Nothing.
    Nothing,
    /// This person's credential: of this kind, or of whatever kind counts.
    Person(Box<Person>, Option<CredentialKind>),
    /// This token, which is this person's.
    Token(String, Box<Person>),
    /// This token, with which something is wrong.
    Bad(String, Fault),
}

/// Explains a request.
pub fn explain(snapshot: &Snapshot, trial: &Trial) -> Explanation {
    let host = trial.address.host.as_deref().unwrap_or(&trial.default_host);
    let mut explanation = Explanation {
        request: Asked {
            method: trial.method.to_string(),
            scheme: if trial.address.secure { "https" } else { "http" },
            host: host.to_owned(),
            target: trial.address.target.clone(),
            client: Some(trial.client.to_string()),
        },
        decision: Decision::of_nothing(),
        trace: None,
        forwarding: None,
        answer: None,
        browser: None,
        forward_auth: Vec::new(),
        notes: Vec::new(),
    };
    if trial.address.host.is_none() {
        let note = format!("no host was named, and {host} stands for it; name one as in https://shop.example.com/path");
        explanation.notes.push(note);
    }
    if let Err(problem) = follow(snapshot, trial, host, &mut explanation) {
        explanation.decision = Decision::refused(&problem);
        explanation.decision.status = Some(answer::status_in(&problem, snapshot.dialect).as_u16());
        if explanation.answer.is_none() {
            explanation.answer = Some(told::refused(snapshot, trial, &problem));
        }
        // A question about a host that is none says nothing that could be decided.
        let says = ![Code::InvalidHost, Code::UntrustedProxy].contains(&problem.code);
        if explanation.forward_auth.is_empty() && says {
            explanation.forward_auth = consumers::refusals(snapshot, trial, &problem);
        }
    }
    explanation
}

/// The steps of [`Gateway::follow`](super::Gateway), in its order.
fn follow(snapshot: &Snapshot, trial: &Trial, named: &str, explanation: &mut Explanation) -> Result<(), Problem> {
    let redirects = trial.redirects.filter(|_| !trial.address.secure);
    let sized = limits::check(trial, named);
    if redirects.is_none()
        && let Some(addressed) = snapshot.endpoints.question(&trial.address.target)
    {
        return match sized {
            Ok(()) => question::follow(snapshot, trial, named, addressed, explanation),
            Err(problem) => question::refuse(snapshot, trial, addressed.dialect, problem, explanation),
        };
    }
    sized?;
    let asks = redirects.is_none() && snapshot.trusted_proxies.contain(trial.client);
    if let Some(dialect) = asks
        .then(|| snapshot.endpoints.strayed(&trial.address.target, &trial.headers))
        .flatten()
    {
        let addressed = Addressed { dialect, rest: None };
        return question::follow(snapshot, trial, named, addressed, explanation);
    }
    if is_never_served(&trial.method) {
        return Err(refused(
            Code::MethodNotAllowed,
            "The gateway does not serve this method.",
        ));
    }
    let mut parts = parts(trial, named)?;
    // There, a credential need not be good to make a difference.
    if let (Some(_), Some((name, value))) = (redirects, trial.shows.field(None, snapshot.verifier.issuer())) {
        parts.headers.insert(name, value);
    }
    fields::check(&parts.headers)?;
    let bodiless = is_bodiless(&parts.headers);
    fields::check_expectation(&parts.headers)?;
    let is_proxy = snapshot.trusted_proxies.contain(trial.client);
    let sifted = snapshot.reserved.sift(&mut parts.headers, is_proxy);
    let client = Client::behind(
        trial.client,
        is_proxy,
        trial.address.secure,
        &sifted.forwarded,
        &snapshot.trusted_proxies,
    );
    explanation.request.client = Some(client.address.to_string());
    let authority = address::authority(&parts)?;
    let host = authority.as_ref().map(address::host).transpose()?;
    if let Some(port) = redirects {
        let answer = client::redirect(&parts, host.as_ref(), port, &sifted)?;
        let location = answer.headers().get(header::LOCATION);
        explanation.decision = Decision::led_to_https(answer.status().as_u16());
        explanation.browser = location.and_then(|location| location.to_str().ok()).map(str::to_owned);
        explanation.answer = Some(told::answered(snapshot, trial, answer));
        return Ok(());
    }
    let target = address::target(&parts.method, &parts.uri)?;
    if let Some(dialect) = snapshot.endpoints.resembles_question(&target) {
        let addressed = Addressed { dialect, rest: None };
        return question::follow(snapshot, trial, named, addressed, explanation);
    }
    let preflight = (sifted.upgrade.is_none() && bodiless)
        .then(|| super::asked_by_preflight(&parts.method, &parts.headers))
        .flatten();
    let upgrade = sifted.upgrade.as_ref().filter(|_| bodiless).and_then(Upgrade::asked);
    let harms = credentials::may_harm(&parts.method, upgrade.is_some());
    let own = authority.as_ref().and_then(|authority| authority.to_str().ok());
    let question = Question {
        host: host.as_ref(),
        target: &target,
        method: preflight.as_ref().unwrap_or(&parts.method),
        preflight: preflight.is_some(),
        client: Some(client.address),
        cross_site: harms && credentials::is_cross_site(&parts, own, Some(client.secure), &snapshot.cors),
        certificate: Some(trial.certificate),
        at: None,
        forward_auth: false,
        again: false,
    };
    let mut shown = Shown::of(trial, &parts.headers, target.query());
    explanation.notes.extend(shown.notes());
    let (trace, decided, entry) = Trace::of(&snapshot.policy, &question, |counts| shown.where_counts(counts));
    explanation.trace = Some(trace);
    let seen = Seen {
        parts: &parts,
        question: &question,
        secure: client.secure,
        entry: entry.as_deref(),
        known: shown.known.as_ref(),
    };
    explanation.decision = seen.decision(snapshot, &decided);
    match &decided {
        Err(refusal) => seen.refused(snapshot, trial, refusal, explanation),
        Ok(permit) => match permit.destination() {
            Destination::Route(entry) => {
                let how = (preflight.is_some(), upgrade.as_ref());
                let forwarding = sent::forwarding(snapshot, trial, permit, entry, how)?;
                explanation.forwarding = Some(forwarding);
            }
            Destination::Endpoint(index) => seen.served(snapshot, trial, *index, permit, explanation),
            Destination::Preflight => {
                let answer = super::preflight(snapshot, &parts);
                explanation.answer = Some(told::answered(snapshot, trial, answer));
            }
        },
    }
    explanation.forward_auth = consumers::answers(snapshot, trial, &seen);
    Ok(())
}

/// A tried request, where it is known who it is from.
struct Seen<'a> {
    parts: &'a Parts,
    question: &'a Question<'a>,
    /// Whether it came by https, as far as something trustworthy tells.
    secure: bool,
    /// The route that it falls to.
    entry: Option<&'a RouteEntry>,
    known: Option<&'a Arc<Proof>>,
}

impl Seen<'_> {
    fn worded(&self, snapshot: &Snapshot, refusal: Refusal) -> Problem {
        let person = self.known.map(|proof| &*proof.person);
        browsers::worded(refusal, snapshot, &authn::Shown::Nothing, self.entry, person)
    }

    /// The decision, with the status that a refusal has in this configuration's words.
    fn decision(&self, snapshot: &Snapshot, decided: &Result<Permit, Refusal>) -> Decision {
        Decision::worded(decided, |refusal| {
            let problem = self.worded(snapshot, refusal);
            Decision {
                status: Some(answer::status_in(&problem, snapshot.dialect).as_u16()),
                ..Decision::refused(&problem)
            }
        })
    }

    /// Where a refusal sends somebody, who looks at a page or does not.
    fn way(&self, browser: bool) -> Way<'_> {
        let method = &self.parts.method;
        Way {
            leads: !self.question.preflight && (method == Method::GET || method == Method::HEAD),
            browser,
            session: browser && self.entry.is_some_and(|entry| entry.route.credentials.session),
            is_question: false,
            wanted: self.wanted(),
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            host: self.question.host,
            secure: self.secure,
            path: self.question.target.path(),
            query: self.question.target.query(),
        }
    }

    /// What a refusal is answered with: whom it leads home was not refused at all.
    fn refused(&self, snapshot: &Snapshot, trial: &Trial, refusal: &Refusal, explanation: &mut Explanation) {
        let text = |location: HeaderValue| location.to_str().ok().map(str::to_owned);
        explanation.browser = self.way(true).after(refusal, snapshot).and_then(text);
        let problem = self.worded(snapshot, refusal.clone());
        let problem = match self.way(browsers::is_browser(self.parts)).after(refusal, snapshot) {
            Some(location) => problem.leading_to(location),
            None => problem,
        };
        if *refusal == Refusal::NotFound && problem.leads_to.is_some() {
            explanation.decision = Decision::permitted("gateway");
        }
        explanation.answer = Some(told::refused(snapshot, trial, &problem));
    }

    /// What one of our own URLs answers, where that is known beforehand.
    fn served(&self, snapshot: &Snapshot, trial: &Trial, index: usize, permit: &Permit, explanation: &mut Explanation) {
        let mut parts = Request::new(()).into_parts().0;
        parts.method.clone_from(&self.parts.method);
        parts.uri.clone_from(&self.parts.uri);
        let asked = endpoint::Asked {
            parts,
            body: (),
            client: trial.client,
            secure: self.secure,
            host: self.question.host.map(|host| host.clone().into_owned()),
            cross_site: false,
            body_within: snapshot.body_within,
            verifier: Arc::clone(&snapshot.verifier),
        };
        let led = snapshot.endpoints.leads(index, permit.proof().is_some(), &asked);
        explanation.answer = led.map(|answer| told::answered(snapshot, trial, answer));
        let location = explanation.answer.as_ref().and_then(|answer| {
            let mut fields = answer.fields.iter();
            fields.find(|field| field.name == "Location")?.value.clone()
        });
        explanation.browser = location;
    }
}

/// Whether a request with these fields has no body. Where they do not say, it has none.
fn is_bodiless(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    !headers.contains_key(header::TRANSFER_ENCODING)
        && length.is_none_or(|length| length.as_bytes().iter().all(|digit| *digit == b'0'))
}

fn parts(trial: &Trial, host: &str) -> Result<Parts, Problem> {
    // What no URI can hold would not come past the scanner: the target says why.
    let text = &trial.address.target;
    if text != "*" {
        Target::parse(text).map_err(wrong)?;
    }
    head(trial, host)
}

/// The head, whatever its target says.
fn head(trial: &Trial, host: &str) -> Result<Parts, Problem> {
    let uri = Uri::try_from(trial.address.target.as_str()).map_err(|_| wrong(Code::InvalidTarget))?;
    let host = HeaderValue::from_str(host).map_err(|_| Problem::new(Code::InvalidHost, "The host is malformed."))?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = trial.method.clone();
    parts.uri = uri;
    parts.headers = trial.headers.clone();
    parts.headers.insert(header::HOST, host);
    Ok(parts)
}

fn wrong(code: Code) -> Problem {
    Problem::new(
        code,
        "The request target holds something that is never right: a dot segment, a control character, a backslash, a bad escape.",
    )
}
