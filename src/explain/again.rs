//! One recorded decision, made again by a policy: in the world that the log tells of, and in others it leaves open.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use super::replay::{Ground, Home, Settled};
use super::test::made_up;
use super::{Decision, GATEWAY, Place, Recorded, Trace};
use crate::admission::{Credentials, Question, Refusal};
use crate::authn::{Fault, Outcome, Proof};
use crate::codes::Code;
use crate::principal::{CredentialKind, Issuer, Person};
use crate::route::{Host, Target};

/// What a log leaves open.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    pub(super) client: Option<IpAddr>,
    pub(super) certificate: Option<bool>,
    pub(super) cross_site: bool,
}

impl World {
    /// What is most likely by what the log tells.
    pub(super) fn told_by(recorded: &Recorded) -> Self {
        let was = |code: Code| recorded.reason == code.as_str();
        let unknown = was(Code::ClientUnknown);
        Self {
            // A proxy's address stands in the log for one that is not known.
            client: recorded.client.filter(|_| !unknown),
            // The handshake was with the proxy that asked.
            certificate: (!recorded.is_question && !unknown).then(|| !was(Code::ClientCertificateRequired)),
            cross_site: was(Code::CrossSiteRequest),
        }
    }
}

/// A decision made again.
pub(super) struct Again {
    pub(super) settled: Settled,
    /// Whether a place that asks who it is was told that it is nobody, although the log does not say so.
    pub(super) guessed: bool,
    /// Whether it falls to one of the gateway's own URLs.
    pub(super) own_url: bool,
}

/// What this policy decides about it.
pub(super) fn again(ground: &Ground<'_>, recorded: &Recorded, world: World) -> Again {
    let refused = |code: Code| Again {
        settled: Settled {
            decision: "refuse".to_owned(),
            route: "(none)".to_owned(),
            reason: code.as_str().to_owned(),
        },
        guessed: false,
        own_url: false,
    };
    let Ok(method) = Method::from_bytes(recorded.method.as_bytes()) else {
        return refused(Code::MethodNotAllowed);
    };
    let never = [Method::CONNECT, Method::TRACE];
    if never
        .iter()
        .any(|one| method.as_str().eq_ignore_ascii_case(one.as_str()))
    {
        return refused(Code::MethodNotAllowed);
    }
    let host = match recorded.host.as_deref().map(bracketed) {
        None => None,
        Some(host) => match Host::parse(&host) {
            Ok(host) => Some(host.into_owned()),
            Err(code) => return refused(code),
        },
    };
    let target = match Target::parse(&recorded.path) {
        Ok(target) => target,
        Err(code) => return refused(code),
    };
    if (ground.takes_for_question)(&recorded.path) {
        // Behind the proxy that asks there is nothing at that place, and a request for it is a question gone wrong.
        return match recorded.is_question {
            true => refused(Code::NotFound),
            false => refused(Code::InvalidQuestion),
        };
    }
    let question = Question {
        host: host.as_ref(),
        target: &target,
        method: &method,
        preflight: false,
        client: world.client,
        cross_site: world.cross_site,
        certificate: world.certificate,
        at: None,
        forward_auth: recorded.is_question,
        again: false,
    };
    let mut guessed = false;
    let (trace, decided, _) = Trace::of(ground.policy, &question, |counts| {
        let outcome = shown(recorded, counts);
        guessed |= matches!(outcome, Outcome::Anonymous) && recorded.reason != Code::CredentialsRequired.as_str();
        outcome
    });
    let decision = Decision::of(&decided);
    let asks_for_home = target.path() == "/" && [Method::GET, Method::HEAD].contains(&method) && !recorded.is_question;
    if asks_for_home && matches!(decided, Err(Refusal::NotFound)) {
        let leads = match (ground.home)(host.as_ref()) {
            Home::Nowhere => false,
            Home::Pages => true,
            // Whether it was a browser is not in the log; what became of it is.
            Home::PagesForBrowsers => recorded.decision == "permit",
        };
        if leads {
            return Again {
                settled: Settled {
                    decision: "permit".to_owned(),
                    route: GATEWAY.to_owned(),
                    reason: "ok".to_owned(),
                },
                guessed: false,
                own_url: true,
            };
        }
    }
    Again {
        settled: Settled {
            decision: decision.decision.to_owned(),
            route: trace.place_name().to_owned(),
            reason: decision.reason.to_owned(),
        },
        guessed,
        own_url: matches!(trace.place, Place::Endpoint { .. }),
    }
}

/// An IPv6 address may be logged without its brackets.
fn bracketed(host: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_owned(),
    }
}

/// What was shown then, where these kinds count now.
fn shown(recorded: &Recorded, counts: Credentials) -> Outcome {
    let Some((name, id, roles)) = &recorded.user else {
        let any = counts.bearer || counts.session || counts.basic;
        let bad = recorded.reason == Code::InvalidToken.as_str() && any;
        return if bad {
            Outcome::Bad(Fault::Invalid("recorded"))
        } else {
            Outcome::Anonymous
        };
    };
    let credential = recorded.credential.unwrap_or(CredentialKind::Bearer);
    let counted = match credential {
        CredentialKind::Bearer | CredentialKind::ExternalBearer => counts.bearer,
        CredentialKind::Session => counts.session,
        CredentialKind::ApiKey => counts.bearer || counts.basic,
        CredentialKind::Ticket => counts.bearer || counts.session || counts.basic,
    };
    if !counted {
        return Outcome::Anonymous;
    }
    Outcome::Known(Arc::new(Proof::of(Arc::new(Person {
        subject: id.clone(),
        credential,
        issuer: match credential {
            CredentialKind::ExternalBearer => Issuer::External("(not in the log)".into()),
            CredentialKind::Bearer | CredentialKind::Session | CredentialKind::ApiKey | CredentialKind::Ticket => {
                Issuer::Local
            }
        },
        ..made_up(name, roles.clone())
    }))))
}
