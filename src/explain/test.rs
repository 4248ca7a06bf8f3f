//! `[[policy_tests]]`: what an operator says must hold, held against the very policy that would be in force.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use super::{Decision, Trace, text};
use crate::admission::{Credentials, Permit, Policy, Question, Refusal, Unfit};
use crate::authn::{Fault, Outcome, Proof};
use crate::principal::{CredentialKind, Issuer, Person, Roles};
use crate::route::{Host, Target};

/// One test, with only valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTest {
    /// Where it stands: its key, with file and line where there are any.
    pub place: String,
    /// The request as written.
    pub request: String,
    /// The method.
    pub method: Method,
    /// The host, with its port as written.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// Logged in, with these roles; none: anonymous.
    pub roles: Option<Roles>,
    /// The client's address; none: not known, and what asks for networks refuses.
    pub client: Option<IpAddr>,
    /// Whether the client shows a certificate that counts.
    pub certificate: bool,
    /// What has to come of it.
    pub expect: Expect,
}

/// What can come of a request, in four words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It goes on; on a shadow route also where it would not.
    Allow,
    /// 401: somebody has to log in.
    Challenge,
    /// Every other refusal.
    Forbid,
    /// Nothing is there.
    NotFound,
}

/// A test that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which one, and what came of it.
    pub what: String,
    /// How that came about, in lines.
    pub trace: String,
}

impl Expect {
    /// The words, as a configuration has them.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("allow", Self::Allow),
        ("challenge", Self::Challenge),
        ("forbid", Self::Forbid),
        ("not_found", Self::NotFound),
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Challenge => "challenge",
            Self::Forbid => "forbid",
            Self::NotFound => "not_found",
        }
    }

    /// What came of a decision.
    fn of(decided: &Result<Permit, Refusal>) -> Self {
        let Err(refusal) = decided else { return Self::Allow };
        match refusal {
            Refusal::NotFound => Self::NotFound,
            Refusal::CredentialsRequired | Refusal::Unfit(Unfit::Stranger | Unfit::NoSession | Unfit::NoApiKey) => {
                Self::Challenge
            }
            Refusal::BadCredential(fault) => match fault {
                Fault::Malformed | Fault::Invalid(_) | Fault::Ended => Self::Challenge,
                Fault::Praetorian(fault) if fault.status() == 401 => Self::Challenge,
                Fault::Praetorian(_) => Self::Forbid,
                Fault::Several
                | Fault::SeveralCookies
                | Fault::NotReady
                | Fault::Stale
                | Fault::Unresolved
                | Fault::IssuerUnreachable => Self::Forbid,
            },
            Refusal::MethodNotAllowed { .. }
            | Refusal::Ambiguous
            | Refusal::MissingRole
            | Refusal::NetworkNotAllowed
            | Refusal::ClientUnknown
            | Refusal::CertificateRequired
            | Refusal::RateLimited { .. }
            | Refusal::Denied
            | Refusal::CrossSite
            | Refusal::Unfit(Unfit::Kind)
            | Refusal::NotRepresentable(_) => Self::Forbid,
        }
    }
}

impl PolicyTest {
    /// Holds it against a policy.
    pub fn run(&self, policy: &Policy) -> Result<(), Box<Failed>> {
        let (came, told) = match (Host::parse(&self.host), Target::parse(&self.target)) {
            (Err(code), _) | (_, Err(code)) => (
                Expect::Forbid,
                format!("refused before any rule is asked: {}\n", code.as_str()),
            ),
            (Ok(host), Ok(target)) => self.decided(policy, &host, &target),
        };
        self.judged(came, told)
    }

    /// Where the target is that of a forward-auth question: a test asks about nothing, and not as a proxy.
    pub fn run_as_question(&self) -> Result<(), Box<Failed>> {
        let told = "refused: a forward-auth question, which only trusted_proxies may ask\n";
        self.judged(Expect::Forbid, told.to_owned())
    }

    fn judged(&self, came: Expect, told: String) -> Result<(), Box<Failed>> {
        if came == self.expect {
            return Ok(());
        }
        let who = match &self.roles {
            None => "anonymous".to_owned(),
            Some(roles) if roles.is_empty() => "logged in without roles".to_owned(),
            Some(roles) => format!("roles {}", roles.to_column()),
        };
        Err(Box::new(Failed {
            what: format!(
                "{} does not hold: {} ({who}) is expected to be \"{}\" and is \"{}\"",
                self.place,
                text::shown(&self.request),
                self.expect.as_str(),
                came.as_str()
            ),
            trace: told,
        }))
    }

    fn decided(&self, policy: &Policy, host: &Host<'_>, target: &Target<'_>) -> (Expect, String) {
        let question = Question {
            host: Some(host),
            target,
            method: &self.method,
            preflight: false,
            client: self.client,
            cross_site: false,
            certificate: Some(self.certificate),
            at: None,
            forward_auth: false,
            again: false,
        };
        let person = self.roles.as_ref().map(|roles| made_up("somebody", roles.clone()));
        let (trace, decided, _) = Trace::of(policy, &question, |counts| shows(person.as_ref(), counts));
        let mut told = String::new();
        let decision = Decision::of(&decided);
        write!(told, "{}{}", text::decision(&decision), text::trace(&trace)).ok();
        (Expect::of(&decided), told)
    }
}

/// Somebody who exists for the sake of a question only.
pub fn made_up(name: &str, roles: Roles) -> Person {
    Person {
        issuer: Issuer::Local,
        subject: "0".to_owned(),
        user: None,
        name: name.to_owned(),
        roles,
        email: None,
        session: None,
        token_id: None,
        issued_at: 0,
        expires_at: i64::MAX,
        credential: CredentialKind::Bearer,
        limit: None,
        subject_prefix: 0,
    }
}

/// What comes of it when this person shows whatever counts somewhere, if anything does.
pub fn shows(person: Option<&Person>, counts: Credentials) -> Outcome {
    let credential = match (counts.bearer, counts.session, counts.basic) {
        (true, _, _) => CredentialKind::Bearer,
        (false, true, _) => CredentialKind::Session,
        (false, false, true) => CredentialKind::ApiKey,
        (false, false, false) => return Outcome::Anonymous,
    };
    person.map_or(Outcome::Anonymous, |person| {
        Outcome::Known(Arc::new(Proof::of(Arc::new(Person {
            credential,
            ..person.clone()
        }))))
    })
}
