//! A request that nobody sent: it goes the way of all others, up to where it would be forwarded, and what was seen on the way
//! is the explanation.

mod consumers;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri};

use super::browsers::Way;
use super::client::ConnectionValues;
use super::{
    Client, Gateway, Record, RequestId, Snapshot, address, client, credentials, fields, is_never_served, refused,
};
use crate::admission::{Credentials, Destination, Permit, Question, RouteEntry};
use crate::authn::{Fault, Outcome, Proof};
use crate::codes::Code;
use crate::endpoint::Wanted;
use crate::endpoint::forward_auth::addressed_wrongly;
use crate::explain::{self, Address, Asked, Decision, Explanation, Field, Forwarding, Trace};
use crate::headers::Sifted;
use crate::principal::{CredentialKind, Person};
use crate::problem::Problem;
use crate::proxy::{self, Outgoing};
use crate::route::{Host, Target};
use crate::session;

/// What stands in place of values that are made anew for each request.
const ANEW: &str = "(made for each request)";

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
        // A question about a host that is none says nothing that could be decided.
        let says = ![Code::InvalidHost, Code::UntrustedProxy].contains(&problem.code);
        if explanation.forward_auth.is_empty() && says {
            explanation.forward_auth = consumers::refusals(snapshot, trial, &problem);
        }
    }
    explanation
}

/// The steps of [`Gateway::follow`], in its order.
fn follow(snapshot: &Snapshot, trial: &Trial, host: &str, explanation: &mut Explanation) -> Result<(), Problem> {
    let redirects = trial.redirects.filter(|_| !trial.address.secure);
    if redirects.is_none()
        && let Some(addressed) = snapshot.endpoints.question(&trial.address.target)
    {
        return question(snapshot, trial, addressed.rest.is_some(), explanation);
    }
    if is_never_served(&trial.method) {
        return Err(refused(
            Code::MethodNotAllowed,
            "The gateway does not serve this method.",
        ));
    }
    let mut parts = parts(trial, host)?;
    // There, a credential need not be good to make a difference.
    if let (Some(_), Some((name, value))) = (redirects, trial.shows.field(None, snapshot.verifier.issuer())) {
        parts.headers.insert(name, value);
    }
    fields::check(&parts.headers)?;
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
        return Ok(());
    }
    let target = address::target(&parts.method, &parts.uri)?;
    if snapshot.endpoints.resembles_question(&target).is_some() {
        return question(snapshot, trial, false, explanation);
    }
    let preflight = sifted
        .upgrade
        .is_none()
        .then(|| super::asked_by_preflight(&parts.method, &parts.headers))
        .flatten();
    let harms = credentials::may_harm(&parts.method, sifted.upgrade.is_some());
    let named = authority.as_ref().and_then(|authority| authority.to_str().ok());
    let question = Question {
        host: host.as_ref(),
        target: &target,
        method: preflight.as_ref().unwrap_or(&parts.method),
        preflight: preflight.is_some(),
        client: Some(client.address),
        cross_site: harms && credentials::is_cross_site(&parts, named, Some(client.secure), &snapshot.cors),
        certificate: Some(trial.certificate),
        at: None,
        forward_auth: false,
        again: false,
    };
    let (trace, decided, entry) = Trace::of(&snapshot.policy, &question, |counts| trial.shows.where_counts(counts));
    explanation.trace = Some(trace);
    explanation.decision = Decision::of(&decided);
    let way = Way {
        leads: preflight.is_none() && (parts.method == Method::GET || parts.method == Method::HEAD),
        // Whoever explains says where a browser goes.
        browser: true,
        session: entry.is_some_and(|entry| entry.route.credentials.session),
        is_question: false,
        wanted: Wanted {
            host: host.as_ref(),
            secure: client.secure,
            path: target.path(),
            query: target.query(),
        },
    };
    match &decided {
        Err(refusal) => {
            let location = way.after(refusal, snapshot);
            explanation.browser = location.and_then(|location| location.to_str().ok().map(str::to_owned));
        }
        Ok(permit) => {
            if let Destination::Route(entry) = permit.destination() {
                let forwarding = forwarding(snapshot, trial, permit, entry, preflight.is_some())?;
                explanation.forwarding = Some(forwarding);
            }
        }
    }
    explanation.forward_auth = consumers::answers(snapshot, &question, trial, &way);
    Ok(())
}

/// What becomes of another proxy's question: it depends on who asks, and on what it asks about.
fn question(snapshot: &Snapshot, trial: &Trial, exact: bool, explanation: &mut Explanation) -> Result<(), Problem> {
    if !snapshot.trusted_proxies.contain(trial.client) {
        let note = "this is a forward-auth question: only trusted_proxies may ask";
        explanation.notes.push(note.to_owned());
        let problem = Problem::new(Code::UntrustedProxy, "Only proxies that are trusted may ask here.");
        return Err(problem.because(format_args!("{} is not in trusted_proxies", trial.client)));
    }
    if !exact {
        let note =
            "this address is next to one for forward-auth questions, and no route can lie there: ask to the letter";
        explanation.notes.push(note.to_owned());
        return Err(addressed_wrongly());
    }
    let note = "this is a forward-auth question of a trusted proxy: the answer is the decision about the request that it asks \
        about, and explaining that request tells it";
    explanation.notes.push(note.to_owned());
    explanation.decision = Decision {
        decision: "permit",
        goes_to: Some("gateway"),
        ..Decision::of_nothing()
    };
    Ok(())
}

fn parts(trial: &Trial, host: &str) -> Result<Parts, Problem> {
    // What no URI can hold would not come past the scanner: the target says why.
    let text = &trial.address.target;
    let wrong = |code| {
        Problem::new(
            code,
            "The request target holds something that is never right: a dot segment, a control character, a backslash, a bad escape.",
        )
    };
    if text != "*" {
        Target::parse(text).map_err(wrong)?;
    }
    let uri = Uri::try_from(text.as_str()).map_err(|_| wrong(Code::InvalidTarget))?;
    let host = HeaderValue::from_str(host).map_err(|_| Problem::new(Code::InvalidHost, "The host is malformed."))?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = trial.method.clone();
    parts.uri = uri;
    parts.headers = trial.headers.clone();
    parts.headers.insert(header::HOST, host);
    Ok(parts)
}

impl Shows {
    fn where_counts(&self, counts: Credentials) -> Outcome {
        let of = |person: &Person, credential| {
            let person = Person {
                credential,
                ..person.clone()
            };
            Outcome::Known(Arc::new(Proof::of(Arc::new(person))))
        };
        match self {
            Self::Nothing => Outcome::Anonymous,
            Self::Bad(_, fault) if counts.bearer => Outcome::Bad(*fault),
            Self::Token(_, person) if counts.bearer => of(person, person.credential),
            Self::Bad(..) | Self::Token(..) => Outcome::Anonymous,
            Self::Person(person, None) => explain::shows(Some(person), counts),
            Self::Person(person, Some(kind)) => {
                let counted = match kind {
                    CredentialKind::Bearer | CredentialKind::ExternalBearer => counts.bearer,
                    CredentialKind::Session => counts.session,
                    CredentialKind::ApiKey => counts.bearer || counts.basic,
                    CredentialKind::Ticket => counts.bearer || counts.session || counts.basic,
                };
                match counted {
                    true => of(person, *kind),
                    false => Outcome::Anonymous,
                }
            }
        }
    }

    /// The field that a client shows this in, with a value of the right form.
    fn field(&self, proof: Option<&Arc<Proof>>, issuer: &str) -> Option<(HeaderName, HeaderValue)> {
        let authorization = |value: &str| Some((header::AUTHORIZATION, HeaderValue::from_str(value).ok()?));
        let token = || authorization(&some_token(issuer));
        match self {
            Self::Nothing => None,
            Self::Token(token, _) | Self::Bad(token, _) => authorization(&format!("Bearer {token}")),
            Self::Person(person, kind) => match proof.map(|proof| proof.person.credential).or(*kind) {
                None => token().filter(|_| person.credential == CredentialKind::Bearer),
                Some(CredentialKind::Bearer | CredentialKind::ExternalBearer) => token(),
                Some(CredentialKind::ApiKey) => authorization("Bearer dwk_some_key"),
                Some(CredentialKind::Session) => {
                    let cookie = format!("{}=some.session", session::OWN.first().copied().unwrap_or_default());
                    Some((header::COOKIE, HeaderValue::try_from(cookie).ok()?))
                }
                Some(CredentialKind::Ticket) => None,
            },
        }
    }
}

/// What stands in place of a token that nobody gave: it says that it is ours, as that one would.
fn some_token(issuer: &str) -> String {
    let claims = serde_json::json!({ "iss": issuer }).to_string();
    let [head, claims] = [r#"{"alg":"none"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("Bearer {head}.{claims}.AAAA")
}

/// What a backend gets, written by those who write it for every request.
fn forwarding(
    snapshot: &Snapshot,
    trial: &Trial,
    permit: &Permit,
    entry: &Arc<RouteEntry>,
    preflight: bool,
) -> Result<Forwarding, Problem> {
    let name = entry.route.upstream.clone().unwrap_or_default();
    let upstream = snapshot.upstreams.get(&name);
    let host = trial.address.host.as_deref().unwrap_or(&trial.default_host);
    let mut parts = parts(trial, host)?;
    if let Some((name, value)) = trial.shows.field(permit.proof(), snapshot.verifier.issuer()) {
        parts.headers.insert(name, value);
    }
    let sent = parts.headers.clone();
    let is_proxy = snapshot.trusted_proxies.contain(trial.client);
    let sifted: Sifted = snapshot.reserved.sift(&mut parts.headers, is_proxy);
    let secure = trial.address.secure;
    let client = Client::behind(
        trial.client,
        is_proxy,
        secure,
        &sifted.forwarded,
        &snapshot.trusted_proxies,
    );
    let authority = address::authority(&parts)?;
    let port = authority
        .as_ref()
        .and_then(|host| Host::parse(host.to_str().ok()?).ok()?.port());
    let port = port.unwrap_or(if secure { 443 } else { 80 });
    let own = ConnectionValues {
        address: value(&trial.client.to_canonical().to_string()),
        port: HeaderValue::from(port),
    };
    let mut record = Record::begun(Instant::now());
    record.preflight = preflight.then(|| trial.method.clone());
    let kept_id = sifted.forwarded.request_id.clone();
    record.id = RequestId {
        id: Some(kept_id.unwrap_or_else(|| value(ANEW))),
        trace: Some(value(ANEW)),
    };
    let outgoing: Outgoing<'_, ()> = Gateway::outgoing(
        snapshot,
        &mut parts,
        (),
        sifted,
        authority,
        (&own, &client),
        permit,
        &mut record,
    );
    let (head, _) = proxy::write_head(permit, entry, outgoing, None).map_err(Problem::from)?;
    let mut told = Forwarding {
        upstream: name,
        servers: upstream.map_or(Vec::new(), |upstream| {
            let servers = &upstream.settings().servers;
            servers.iter().map(ToString::to_string).collect()
        }),
        target: head.uri.to_string(),
        stripped: Vec::new(),
        added: Vec::new(),
        kept: Vec::new(),
        reserved: snapshot.reserved.names().iter().map(|name| titled(name)).collect(),
    };
    for name in sent.keys() {
        let before: Vec<_> = sent.get_all(name).iter().collect();
        let after: Vec<_> = head.headers.get_all(name).iter().collect();
        let list = if before == after {
            &mut told.kept
        } else {
            &mut told.stripped
        };
        list.extend(before.iter().map(|value| field(name, value)));
    }
    for name in head.headers.keys() {
        let before: Vec<_> = sent.get_all(name).iter().collect();
        let after: Vec<_> = head.headers.get_all(name).iter().collect();
        if before != after {
            told.added.extend(after.iter().map(|value| field(name, value)));
        }
    }
    for list in [&mut told.stripped, &mut told.added, &mut told.kept] {
        list.sort_by(|one, other| one.name.cmp(&other.name));
    }
    Ok(told)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// A field as it may be shown.
fn field(name: &HeaderName, value: &HeaderValue) -> Field {
    let secret = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION].contains(name);
    Field {
        name: titled(name.as_str()),
        value: (!secret).then(|| String::from_utf8_lossy(value.as_bytes()).into_owned()),
    }
}

/// A name as people write it.
fn titled(name: &str) -> String {
    let mut begins = true;
    name.chars()
        .map(|character| {
            let written = if begins {
                character.to_ascii_uppercase()
            } else {
                character
            };
            begins = character == '-';
            written
        })
        .collect()
}
