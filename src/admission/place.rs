//! Where a request can land: a route or an endpoint with its rule, and whether that lets the request pass.

use std::sync::Arc;

use super::counted::counted;
use super::own::OwnPlace;
use super::watch::{Landing, Watch};
use super::{Credentials, Question, Refusal, RouteEntry, Unfit};
use crate::authn::{Fault, Outcome, Proof};
use crate::authz::{self, Access, Decision, Facts, Rule};
use crate::net::Networks;
use crate::principal::{CredentialKind, Principal};
use crate::route::Reading;
use crate::tls::ClientAuth;

/// One entry of the policy's tables.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) rule: Rule,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Route(Arc<RouteEntry>),
    Endpoint(OwnPlace),
}

/// Whether the places of all readings let a request pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// They do.
    Whole,
    /// Only routes that are not enforced do not.
    ButForShadows,
    /// They do not.
    None,
}

impl Agreement {
    pub(super) fn whole_if(agrees: bool) -> Self {
        if agrees { Self::Whole } else { Self::None }
    }

    /// What is left of both.
    pub(super) fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl Place {
    /// As [`Self::pass`], for the place that the request is counted at.
    pub(super) fn pass_counted<W: Watch>(
        &self,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
        watch: &mut W,
    ) -> Result<Option<Arc<Proof>>, Refusal> {
        let limited = match &self.kind {
            Kind::Route(entry) => entry.limiter.as_deref().zip(question.at),
            Kind::Endpoint(_) => None,
        };
        if let (true, Kind::Route(entry)) = (W::WATCHES, &self.kind)
            && let Some(limiter) = entry.limiter.as_deref()
        {
            watch.limit(limiter.settings());
        }
        match limited {
            Some((limiter, at)) => counted(limiter, at, question, authenticate, |mut authenticate| {
                self.pass(question, &mut authenticate, watch)
            }),
            None => self.pass(question, authenticate, watch),
        }
    }

    /// Whether this place's own rule lets the request pass; who it is from, where that counts.
    fn pass<W: Watch>(
        &self,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
        watch: &mut W,
    ) -> Result<Option<Arc<Proof>>, Refusal> {
        let facts = Facts {
            client: question.client,
            certificate: question.certificate,
        };
        if question.preflight {
            return self.pass_preflight(&facts, watch);
        }
        let asked = self.asked(authenticate);
        if let Some(outcome) = &asked {
            watch.shown(self.credentials(), outcome);
        }
        let proof = match asked {
            None | Some(Outcome::Anonymous) => None,
            Some(Outcome::Known(proof)) => Some(proof),
            Some(outcome @ (Outcome::Bad(_) | Outcome::Ask(_))) => {
                watch.rule(&self.rule, &Principal::Anonymous, &facts);
                let fault = match outcome {
                    Outcome::Bad(fault) => fault,
                    Outcome::Ask(_) | Outcome::Anonymous | Outcome::Known(_) => Fault::Unresolved,
                };
                // What the rule says to anybody comes first: who may not come from here is not asked for a token.
                return Err(match authz::decide(&self.rule, &Principal::Anonymous, &facts) {
                    Decision::NetworkNotAllowed => Refusal::NetworkNotAllowed,
                    Decision::ClientUnknown => Refusal::ClientUnknown,
                    Decision::CertificateMissing => Refusal::CertificateRequired,
                    Decision::Allowed | Decision::NeedsCredentials | Decision::MissingRole(_) | Decision::Denied => {
                        Refusal::BadCredential(fault)
                    }
                });
            }
        };
        let principal = proof.as_ref().map_or(Principal::Anonymous, |proof| {
            Principal::Known(Arc::clone(&proof.person))
        });
        watch.rule(&self.rule, &principal, &facts);
        let cross_site = question.cross_site && self.minds_cross_site(proof.as_deref());
        if proof.is_some() {
            watch.same_site(!cross_site);
        }
        match authz::decide(&self.rule, &principal, &facts) {
            Decision::Allowed if cross_site => Err(Refusal::CrossSite),
            Decision::Allowed => match self.takes(proof.as_deref(), watch) {
                Ok(()) => Ok(proof),
                Err(unfit) => Err(Refusal::Unfit(unfit)),
            },
            Decision::NeedsCredentials => Err(Refusal::CredentialsRequired),
            Decision::MissingRole(_) => Err(Refusal::MissingRole),
            Decision::NetworkNotAllowed => Err(Refusal::NetworkNotAllowed),
            Decision::ClientUnknown => Err(Refusal::ClientUnknown),
            Decision::CertificateMissing => Err(Refusal::CertificateRequired),
            Decision::Denied => Err(Refusal::Denied),
        }
    }

    /// Whether what was shown is taken here.
    fn takes<W: Watch>(&self, proof: Option<&Proof>, watch: &mut W) -> Result<(), Unfit> {
        match &self.kind {
            Kind::Route(_) => Ok(()),
            Kind::Endpoint(own) => {
                let taken = own.takes.check(proof.map(|proof| &*proof.person));
                watch.takes(own.takes, taken.is_ok());
                taken
            }
        }
    }

    /// A cookie goes along with whatever page sets a request off; any other credential was put there on purpose.
    fn minds_cross_site(&self, proof: Option<&Proof>) -> bool {
        let by_cookie = proof.is_some_and(|proof| proof.person.credential == CredentialKind::Session);
        let allowed = match &self.kind {
            Kind::Route(entry) => entry.route.cross_site_allowed,
            Kind::Endpoint(_) => false,
        };
        by_cookie && !allowed
    }

    /// A preflight carries no credential and gets none of its own: only what holds for everybody is asked.
    fn pass_preflight<W: Watch>(&self, facts: &Facts, watch: &mut W) -> Result<Option<Arc<Proof>>, Refusal> {
        watch.rule_of_preflight(&self.rule, facts);
        if self.rule.access == Access::Deny {
            return Err(Refusal::Denied);
        }
        match (&self.rule.networks, facts.client) {
            (None, _) => {}
            (Some(_), None) => return Err(Refusal::ClientUnknown),
            (Some(networks), Some(client)) if Networks::contain(networks, client) => {}
            (Some(_), Some(_)) => return Err(Refusal::NetworkNotAllowed),
        }
        match (self.rule.client_auth, facts.certificate) {
            (ClientAuth::None | ClientAuth::Optional, _) | (ClientAuth::Required, Some(true)) => Ok(None),
            (ClientAuth::Required, Some(false)) => Err(Refusal::CertificateRequired),
            (ClientAuth::Required, None) => Err(Refusal::ClientUnknown),
        }
    }

    /// Who shows a credential, where the rule wants to know.
    fn asked(&self, authenticate: &mut impl FnMut(Credentials) -> Outcome) -> Option<Outcome> {
        match self.rule.access {
            Access::Public | Access::Deny => None,
            Access::Authenticated | Access::Optional => Some(authenticate(self.credentials())),
        }
    }

    /// Whether another reading's place lets the request pass as this one, the canonical one, does. The word of a shadow
    /// route counts and does not bind; one that is closed to everybody binds all the same.
    pub(super) fn agrees_with<W: Watch>(
        &self,
        other: &Self,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
        watch: &mut W,
    ) -> Agreement {
        let objection = |place: &Self| match &place.kind {
            Kind::Route(entry) if entry.route.refuse_ambiguous => place.objects(),
            Kind::Route(_) | Kind::Endpoint(_) => Agreement::Whole,
        };
        let unasked = objection(self).and(objection(other));
        if unasked == Agreement::None && !W::WATCHES {
            return unasked;
        }
        let passed = other.pass(question, authenticate, watch);
        watch.passed(passed.as_ref().err());
        unasked.and(match passed {
            Ok(_) => Agreement::Whole,
            Err(_) => other.objects(),
        })
    }

    /// What it means when this place does not agree.
    fn objects(&self) -> Agreement {
        match self.is_shadow() && self.rule.access != Access::Deny {
            true => Agreement::ButForShadows,
            false => Agreement::None,
        }
    }

    /// Whether its rule is decided and not enforced.
    pub(super) fn is_shadow(&self) -> bool {
        match &self.kind {
            Kind::Route(entry) => entry.route.shadow,
            Kind::Endpoint(_) => false,
        }
    }

    /// As whom a request goes on that a shadow route refuses: as whoever it is proved to be from, where the credential was
    /// not what was wrong; else as nobody.
    pub(super) fn lift(
        &self,
        refusal: Refusal,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
    ) -> Result<(Option<Arc<Proof>>, Option<Refusal>), Refusal> {
        let outcome = match &refusal {
            // These are no route's to say.
            Refusal::NotFound | Refusal::MethodNotAllowed { .. } | Refusal::Ambiguous => return Err(refusal),
            // It is decided again when the store has said who this is.
            Refusal::BadCredential(Fault::Unresolved) if !question.again => return Err(refusal),
            Refusal::CredentialsRequired
            | Refusal::BadCredential(_)
            | Refusal::Denied
            | Refusal::CrossSite
            | Refusal::Unfit(_)
            | Refusal::NotRepresentable(_) => None,
            Refusal::MissingRole
            | Refusal::NetworkNotAllowed
            | Refusal::ClientUnknown
            | Refusal::CertificateRequired
            | Refusal::RateLimited { .. } => match question.preflight {
                true => None,
                false => self.asked(authenticate),
            },
        };
        match outcome {
            Some(Outcome::Ask(_)) if !question.again => Err(Refusal::BadCredential(Fault::Unresolved)),
            Some(Outcome::Known(proof)) if !(question.cross_site && self.minds_cross_site(Some(&proof))) => {
                Ok((Some(proof), Some(refusal)))
            }
            Some(Outcome::Known(_) | Outcome::Anonymous | Outcome::Bad(_) | Outcome::Ask(_)) | None => {
                Ok((None, Some(refusal)))
            }
        }
    }

    /// What it is, for whoever watches.
    pub(super) fn landing(&self) -> Landing<'_> {
        match &self.kind {
            Kind::Route(entry) => Landing::Route(entry),
            Kind::Endpoint(own) => Landing::Endpoint {
                index: own.index,
                path: &own.path,
            },
        }
    }

    pub(super) fn strips_from(&self, reading: Reading<'_>) -> bool {
        match &self.kind {
            Kind::Route(entry) => entry.strip().is_none_or(|prefix| prefix.holds_in(reading)),
            Kind::Endpoint(_) => true,
        }
    }

    pub(super) fn shares_upstream(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Route(one), Kind::Route(other)) => one.route.upstream == other.route.upstream,
            (Kind::Endpoint(_), _) | (_, Kind::Endpoint(_)) => false,
        }
    }

    fn credentials(&self) -> Credentials {
        match &self.kind {
            Kind::Route(entry) => entry.route.credentials,
            Kind::Endpoint(endpoint) => endpoint.credentials,
        }
    }
}
