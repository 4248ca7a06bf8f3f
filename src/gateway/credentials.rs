//! The credentials of a request on their way through admission: what is shown, who asks the store where memory cannot tell,
//! and what of it a backend may see.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Uri};

use super::{Connection, Gateway, Record, Snapshot};
use crate::admission::{Credentials, Destination, Permit, Question, Refusal};
use crate::answer::cors;
use crate::authn::{self, Fault, Look, Outcome, Pending, Presented, Resolved, Shown};
use crate::authz::Access;
use crate::headers::{Authorization, Sifted};
use crate::principal::CredentialKind;
use crate::problem::Problem;
use crate::route::{Host, Target};
use crate::session::{self, CookieName, Found};
use crate::token::praetorian::Praetorian;

/// What is decided about, with everything the decision goes by.
pub(super) struct Asked<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// The fields count, and nothing else of it.
    pub(super) parts: &'a Parts,
    pub(super) method: &'a Method,
    pub(super) shown: Shown<'a>,
    pub(super) cookie: Found<'a>,
    pub(super) ticket: Option<&'a str>,
    pub(super) cross_site: bool,
    pub(super) host: Option<&'a Host<'a>>,
    pub(super) target: &'a Target<'a>,
    /// The client's address, if something trustworthy tells.
    pub(super) client: Option<IpAddr>,
    /// Whether it came by https, as far as anybody knows.
    pub(super) secure: bool,
    /// Whether the client showed a certificate that counts, if something trustworthy tells.
    pub(super) certificate: Option<bool>,
    /// Whether another proxy asks.
    pub(super) is_question: bool,
    pub(super) connection: &'a Connection,
}

impl Gateway {
    /// Decides; where memory cannot tell who it is, asks the store once and decides again.
    pub(super) async fn admit_asking(&self, asked: &Asked<'_>, record: &mut Record) -> Result<Permit, Problem> {
        let (mut decision, pending) = self.admit(asked, None, record);
        if let (Err(Refusal::BadCredential(Fault::Unresolved)), Some(pending)) = (&decision, pending) {
            // Boxed: it is rare, and its state would be part of every request's.
            let resolved = Box::pin(self.resolver.resolve(pending)).await;
            (decision, _) = self.admit(asked, Some(&resolved), record);
            record.cookie = resolved.cookie;
        }
        let permit = decision.map_err(|refusal| {
            // What was refused at a place that is no route's was refused at one of our own URLs.
            record.endpoint = record.route.is_none() && refusal.has_place();
            let is_nowhere = refusal == Refusal::NotFound;
            let problem = self.problem(refusal, asked, record);
            if is_nowhere && problem.leads_to.is_some() {
                record.leads_home();
            }
            problem
        })?;
        if let Some(proof) = permit.proof()
            && proof.person.credential == CredentialKind::Session
            && record.cookie.is_none()
        {
            let now = self.clock.unix_millis();
            record.cookie = Box::pin(self.resolver.renew_in_time(proof, now)).await;
        }
        Ok(permit)
    }

    fn admit(
        &self,
        asked: &Asked<'_>,
        resolved: Option<&Resolved>,
        record: &mut Record,
    ) -> (Result<Permit, Refusal>, Option<Pending>) {
        let preflight = record.preflight.clone();
        let question = Question {
            host: asked.host,
            target: asked.target,
            method: preflight.as_ref().unwrap_or(asked.method),
            preflight: preflight.is_some(),
            client: asked.client,
            cross_site: asked.cross_site,
            certificate: asked.certificate,
            at: Some(record.began),
            forward_auth: asked.is_question,
            again: resolved.is_some(),
        };
        let mut known: Option<(Credentials, Outcome)> = None;
        let (decision, entry) = asked.snapshot.policy.admit(&question, |credentials| {
            // The credential is looked at once, however many rules ask, but anew where others count.
            match &known {
                Some((counted, outcome)) if *counted == credentials => outcome.clone(),
                Some(_) | None => {
                    let outcome = self.authenticate(asked, resolved, credentials);
                    known = Some((credentials, outcome.clone()));
                    outcome
                }
            }
        });
        record.route = entry;
        record.decided = true;
        if let Ok(permit) = &decision {
            record.permitted = true;
            record.would_refuse = permit.would_refuse().map(Refusal::code);
            record.proof = permit.proof().cloned();
        }
        match known {
            Some((_, Outcome::Ask(pending))) => (decision, Some(pending)),
            Some((_, Outcome::Known(proof))) if decision.is_err() => {
                record.proof = Some(proof);
                (decision, None)
            }
            Some(_) | None => (decision, None),
        }
    }

    fn authenticate(&self, asked: &Asked<'_>, resolved: Option<&Resolved>, count: Credentials) -> Outcome {
        let presented = Presented {
            authorization: &asked.shown,
            ticket: asked.ticket,
            cookie: asked.cookie,
            resolved,
        };
        let worker = asked.connection.worker();
        worker.remembered(|remembered| {
            let mut look = Look {
                verifier: &asked.snapshot.verifier,
                remembered,
                now: self.clock.unix_millis(),
                metrics: &self.metrics,
                worker: worker.index(),
            };
            self.authenticator.check(&presented, count, &mut look)
        })
    }
}

/// The session's cookie, if there is a Cookie field at all.
pub(super) fn cookie<'a>(parts: &'a Parts, sifted: &Sifted, name: &CookieName) -> Found<'a> {
    match sifted.cookie {
        true => session::find(&parts.headers, name),
        false => Found::Nothing,
    }
}

/// Whether a request changes something or opens a tunnel: then it matters which page set it off.
pub(super) fn may_harm(method: &Method, upgrades: bool) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
    upgrades || !safe.contains(method)
}

/// Whether a page of another site may have set this request off: neither `Sec-Fetch-Site` (Fetch Metadata) nor `Origin` (RFC
/// 6454) says that it comes from here or from an origin that we allow.
pub(super) fn is_cross_site(
    parts: &Parts,
    authority: Option<&str>,
    secure: Option<bool>,
    cors: &cors::Settings,
) -> bool {
    let mut sites = parts.headers.get_all("sec-fetch-site").iter();
    if let (Some(site), None) = (sites.next(), sites.next())
        && matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return false;
    }
    let mut origins = parts.headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return true;
    };
    let own = authority.zip(secure);
    !(cors.lists(origin) || own.is_some_and(|(authority, secure)| is_origin_of(origin, authority, secure)))
}

/// Whether an origin is that of the target itself.
fn is_origin_of(origin: &HeaderValue, authority: &str, secure: bool) -> bool {
    let scheme = if secure { "https" } else { "http" };
    let default = if secure { 443 } else { 80 };
    let Ok(origin) = origin.to_str().map(str::to_ascii_lowercase) else {
        return false;
    };
    let authority = authority.to_ascii_lowercase();
    let Ok(origin) = origin.parse::<Uri>() else {
        return false;
    };
    let Ok(own) = format!("{scheme}://{authority}").parse::<Uri>() else {
        return false;
    };
    let port = |uri: &Uri| uri.port_u16().unwrap_or(default);
    origin.scheme_str() == Some(scheme)
        && origin.path_and_query().is_none_or(|rest| rest.as_str() == "/")
        && origin.host().is_some()
        && origin.host().map(bare) == own.host().map(bare)
        && port(&origin) == port(&own)
}

/// A name with its final dot is the same name.
fn bare(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// The Authorization field, as this configuration has it read.
pub(super) fn shown<'a>(snapshot: &Snapshot, authorization: &'a Authorization) -> Shown<'a> {
    match snapshot.verifier.praetorian().is_some_and(Praetorian::is_flask) {
        true => authn::shown_to_flask(authorization),
        false => authn::shown(authorization),
    }
}

/// Whether the Authorization field is nothing for the backend: it counted as a credential here, or it holds one of ours or
/// of a trusted issuer, although this route did not ask for it: good, expired or not to be judged yet.
pub(super) fn strips_authorization(snapshot: &Snapshot, sifted: &Sifted, permit: &Permit) -> bool {
    let shown = self::shown(snapshot, &sifted.authorization);
    if authn::holds_api_key(&shown) {
        return true;
    }
    let counted = permit.proof().is_some_and(|proof: &Arc<_>| {
        matches!(
            proof.person.credential,
            CredentialKind::Bearer | CredentialKind::ExternalBearer | CredentialKind::ApiKey
        )
    });
    // What a shadow route lets pass unverified is no credential to send on, whatever it looks like.
    let unproved = permit.would_refuse().is_some() && !counted && asks_who_it_is(permit);
    // What is not read as a token here may be one to a backend that knows the RFC.
    if shown == Shown::BrokenBearer
        && let by_the_rfc @ Shown::Bearer(token) = authn::shown(&sifted.authorization)
    {
        return unproved || authn::holds_api_key(&by_the_rfc) || snapshot.verifier.is_named_in(token.as_bytes());
    }
    let forwards = matches!(permit.destination(), Destination::Route(entry) if entry.route.forward_token);
    let forwards = forwards && (counted || permit.would_refuse().is_none());
    match shown {
        // The field may be there once (RFC 9110 section 11.6.2). Of several, each may be ours, and which one a backend
        // would take is anybody's guess: none goes on.
        Shown::Several => true,
        Shown::Bearer(token) => !forwards && (counted || unproved || snapshot.verifier.is_named_in(token.as_bytes())),
        Shown::BrokenBearer => unproved,
        Shown::Nothing | Shown::Basic(_) | Shown::OtherScheme => false,
    }
}

/// Whether the route that lets this pass wants to know who it is: on a public one, a token is between client and backend.
fn asks_who_it_is(permit: &Permit) -> bool {
    match permit.destination() {
        Destination::Route(entry) => entry.route.rule.access != Access::Public,
        Destination::Endpoint(_) | Destination::Preflight => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_as_a_whole() {
        for (origin, authority, secure, same) in [
            ("https://app.example.com", "app.example.com", true, true),
            ("https://app.example.com:443", "app.example.com", true, true),
            ("https://app.example.com", "APP.example.com.:443", true, true),
            ("http://localhost:8000", "localhost:8000", false, true),
            ("http://app.example.com", "app.example.com", true, false),
            ("https://app.example.com:8443", "app.example.com", true, false),
            ("https://app.example.com.evil.example", "app.example.com", true, false),
            ("https://evil.example", "app.example.com", true, false),
            ("https://app.example.com@evil.example", "app.example.com", true, false),
            ("https://app.example.com/x", "app.example.com", true, false),
            ("null", "null", true, false),
            ("", "app.example.com", true, false),
        ] {
            let origin = HeaderValue::from_str(origin).unwrap();
            assert_eq!(
                is_origin_of(&origin, authority, secure),
                same,
                "{origin:?} {authority:?}"
            );
        }
    }
}
