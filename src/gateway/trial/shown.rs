//! What a tried request shows, and what comes of it where this or that counts.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

use super::{Shows, Trial};
use crate::admission::Credentials;
use crate::authn::{Fault, Outcome, Proof};
use crate::explain;
use crate::principal::{CredentialKind, Person};
use crate::session::{self, Found};

/// Everything that a tried request shows.
pub(super) struct Shown<'a> {
    shows: &'a Shows,
    ticket: Option<&'a str>,
    cookie: Found<'a>,
    /// Who it turned out to be.
    pub(super) known: Option<Arc<Proof>>,
}

impl<'a> Shown<'a> {
    /// What this trial shows: what it says it does, and what stands in these fields and this query.
    pub(super) fn of(trial: &'a Trial, headers: &'a HeaderMap, query: Option<&'a str>) -> Self {
        Self {
            shows: &trial.shows,
            ticket: query.and_then(session::ticket),
            cookie: session::find(headers, &trial.cookie),
            known: None,
        }
    }

    /// What was written and could not be looked at, for only a running gateway and its store know it.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.ticket.is_some() && !self.stands_for(CredentialKind::Ticket) {
            let note = "the ticket in the URL is good once, and only the store knows it: it is taken for one that is no good; \
                --user or --roles with --credential ticket stands for a good one";
            notes.push(note.to_owned());
        }
        if matches!(self.cookie, Found::One(_) | Found::Broken) {
            let note = "the session cookie in --header is taken for one that is over; --user or --roles with --credential \
                session stands for a good one";
            notes.push(note.to_owned());
        }
        notes
    }

    fn stands_for(&self, wanted: CredentialKind) -> bool {
        matches!(self.shows, Shows::Person(_, Some(kind)) if *kind == wanted)
    }

    /// What comes of it where these kinds count, in the order in which the gateway looks at them: Authorization, the ticket,
    /// the cookie.
    pub(super) fn where_counts(&mut self, counts: Credentials) -> Outcome {
        let shown = self.shows.where_counts(counts);
        let kind = match &shown {
            Outcome::Known(proof) => Some(proof.person.credential),
            Outcome::Anonymous | Outcome::Bad(_) | Outcome::Ask(_) => None,
        };
        let any = counts.bearer || counts.session || counts.basic;
        let outcome = match (&shown, kind) {
            (Outcome::Bad(_) | Outcome::Ask(_), _)
            | (
                Outcome::Known(_),
                Some(
                    CredentialKind::Bearer
                    | CredentialKind::ExternalBearer
                    | CredentialKind::ApiKey
                    | CredentialKind::Ticket,
                ),
            ) => shown,
            _ if any && self.ticket.is_some() => Outcome::Bad(Fault::Invalid("ticket")),
            (Outcome::Known(_), _) if self.cookie != Found::Nothing => Outcome::Bad(Fault::SeveralCookies),
            (Outcome::Anonymous, _) if counts.session && self.cookie == Found::Several => {
                Outcome::Bad(Fault::SeveralCookies)
            }
            (Outcome::Known(_) | Outcome::Anonymous, _) => shown,
        };
        if let Outcome::Known(proof) = &outcome {
            self.known = Some(Arc::clone(proof));
        }
        outcome
    }
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
    pub(super) fn field(&self, proof: Option<&Arc<Proof>>, issuer: &str) -> Option<(HeaderName, HeaderValue)> {
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
