//! The policy: every route and endpoint in one table, and the function that decides.

use std::sync::Arc;

use http::Method;

use super::counted::counted;
use super::{Credentials, Destination, Handshakes, Permit, Preflight, Question, Refusal, Route};
use crate::authn::{Fault, Outcome, Proof};
use crate::authz::{self, Access, Decision, Facts, Rule};
use crate::net::Networks;
use crate::principal::{CredentialKind, Principal};
use crate::rate::Limiter;
use crate::route::{Conflict, Entry, HostPattern, Match, MethodSet, PathPattern, Reading, RoutePath, Table};
use crate::telemetry::RouteSeries;
use crate::tls::ClientAuth;

/// A route with what is kept beside it.
#[derive(Debug)]
pub struct RouteEntry {
    /// The route as configured.
    pub route: Route,
    /// What is taken off the path.
    strip: Option<RoutePath>,
    /// Who has asked of late, where that is limited.
    limiter: Option<Arc<Limiter>>,
    /// Its figures.
    pub series: Arc<RouteSeries>,
}

impl RouteEntry {
    /// A route and its figures.
    pub fn new(route: Route, series: Arc<RouteSeries>) -> Result<Self, InvalidPolicy> {
        let strip = route.strip_prefix.as_deref().map(PathPattern::prefix).transpose();
        let strip = strip
            .map_err(|error| InvalidPolicy(error.to_string()))?
            .map(|pattern| pattern.path().clone());
        let limiter = route.rate_limit.map(|settings| Arc::new(Limiter::new(settings)));
        Ok(Self {
            route,
            strip,
            limiter,
            series,
        })
    }

    /// The same, going on with what the route of this name has counted in an older policy, if its limit is the same.
    pub fn keeping(mut self, old: &Policy) -> Self {
        // Nearly all routes of many have none, and looking for each among all would take its time.
        let Some(settings) = self.route.rate_limit else {
            return self;
        };
        let same = old.entries.iter().find(|entry| entry.route.name == self.route.name);
        let kept = same
            .and_then(|entry| entry.limiter.clone())
            .filter(|limiter| limiter.settings() == settings);
        self.limiter = kept.or(self.limiter);
        self
    }

    /// What is left of a target when the prefix is taken off; `None`: nothing is to be taken off.
    pub fn strip(&self) -> Option<&RoutePath> {
        self.strip.as_ref()
    }
}

/// One of our own URLs, as far as the decision about it goes. What it does is known by its index, one layer up.
#[derive(Clone, Debug)]
pub struct EndpointRule {
    /// Its place in the table of endpoints.
    pub index: usize,
    /// The whole path.
    pub path: PathPattern,
    /// The only methods it knows.
    pub methods: Vec<Method>,
    /// Who may use it.
    pub rule: Rule,
    /// Which credentials count.
    pub credentials: Credentials,
}

/// The routes and endpoints of one configuration.
#[derive(Debug)]
pub struct Policy {
    /// Asked first: no route of any host takes our own URLs.
    endpoints: Table<Place>,
    routes: Table<Place>,
    handshakes: Handshakes,
    entries: Vec<Arc<RouteEntry>>,
}

#[derive(Debug)]
struct Place {
    rule: Rule,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Route(Arc<RouteEntry>),
    Endpoint(OwnPlace),
}

#[derive(Clone, Copy, Debug)]
struct OwnPlace {
    index: usize,
    credentials: Credentials,
}

/// The routes do not make a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPolicy(pub String);

impl Policy {
    /// The policy of these routes, and of these endpoints on these hosts (none: on every host).
    pub fn new(
        routes: impl IntoIterator<Item = Arc<RouteEntry>>,
        endpoints: impl IntoIterator<Item = EndpointRule>,
        endpoint_hosts: &[String],
    ) -> Result<Self, InvalidPolicy> {
        let mut entries = Vec::new();
        let mut handshakes = Handshakes::default();
        let mut all = Vec::new();
        for entry in routes {
            all.push(Arc::clone(&entry));
            let route = &entry.route;
            handshakes.note(&hosts(&route.hosts)?, route.rule.client_auth);
            entries.push(Entry {
                hosts: hosts(&route.hosts)?,
                pattern: PathPattern::prefix(&route.path).map_err(|error| InvalidPolicy(error.to_string()))?,
                methods: route
                    .methods
                    .as_ref()
                    .map(|methods| MethodSet::new(methods.iter().cloned())),
                value: Place {
                    rule: route.rule.clone(),
                    kind: Kind::Route(entry),
                },
            });
        }
        let mut own = Vec::new();
        for endpoint in endpoints {
            own.push(Entry {
                hosts: hosts(endpoint_hosts)?,
                pattern: endpoint.path,
                methods: Some(MethodSet::new(endpoint.methods)),
                value: Place {
                    rule: endpoint.rule,
                    kind: Kind::Endpoint(OwnPlace {
                        index: endpoint.index,
                        credentials: endpoint.credentials,
                    }),
                },
            });
        }
        Ok(Self {
            endpoints: table(own)?,
            routes: table(entries)?,
            handshakes,
            entries: all,
        })
    }

    /// Asks this of clients where no route says otherwise: at our own URLs, and where nothing is.
    #[must_use]
    pub fn asking(mut self, client_auth: ClientAuth) -> Self {
        self.handshakes.note(&[], client_auth);
        self
    }

    /// What handshakes ask for.
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// Decides about a request. `authenticate` is asked only where a rule needs to know who it is, with the kinds of
    /// credentials that count there.
    pub fn admit(
        &self,
        question: &Question<'_>,
        mut authenticate: impl FnMut(Credentials) -> Outcome,
    ) -> (Result<Permit, Refusal>, Option<Arc<RouteEntry>>) {
        let path = question.target.canonical();
        let options = Method::OPTIONS;
        let as_options = Question {
            method: &options,
            preflight: false,
            ..*question
        };
        // Where our own URLs answer OPTIONS themselves, a preflight is a request for that like any other.
        let answers_options = |question: &Question<'_>| {
            matches!(
                self.endpoints.find(question.host, question.method, path),
                Match::Found(_)
            )
        };
        let question = match question.preflight && answers_options(&as_options) {
            true => &as_options,
            false => question,
        };
        let own = self.endpoints.find(question.host, question.method, path);
        let found = match own {
            Match::NotFound => self.routes.find(question.host, question.method, path),
            Match::Found(_) | Match::MethodNotAllowed(_) => own,
        };
        let place = match found {
            Match::Found(place) => place,
            Match::MethodNotAllowed(allow) => {
                return (
                    Err(Refusal::MethodNotAllowed {
                        allow: allow.to_string(),
                    }),
                    None,
                );
            }
            Match::NotFound => return (Err(Refusal::NotFound), None),
        };
        let entry = match &place.kind {
            Kind::Route(entry) => Some(Arc::clone(entry)),
            Kind::Endpoint(_) => None,
        };
        let decision = self.decide(place, question, &mut authenticate);
        (decision, entry)
    }

    fn decide(
        &self,
        place: &Place,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
    ) -> Result<Permit, Refusal> {
        let proof = place.pass_counted(question, authenticate)?;
        if !(self.endpoints.one_look_up(question.target) && self.routes.one_look_up(question.target)) {
            self.other_readings(place, question, authenticate)?;
        }
        // Only a backend is told in headers who it is; our own endpoints know it by heart.
        if let (Kind::Route(_), Some(Err(what))) = (&place.kind, proof.as_ref().map(|proof| proof.values.as_ref())) {
            return Err(Refusal::NotRepresentable(*what));
        }
        let destination = match &place.kind {
            Kind::Endpoint(_) if question.preflight => Destination::Preflight,
            Kind::Endpoint(own) => Destination::Endpoint(own.index),
            Kind::Route(entry) if question.preflight && entry.route.preflight == Preflight::Answer => {
                Destination::Preflight
            }
            Kind::Route(entry) => Destination::Route(Arc::clone(entry)),
        };
        Ok(Permit::new(destination, proof))
    }

    /// The routes of all other readings must let the request pass as well, and what is stripped off the path must be there
    /// in every reading that goes to the same upstream.
    fn other_readings(
        &self,
        canonical: &Place,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
    ) -> Result<(), Refusal> {
        for reading in question.target.readings() {
            let mut passes = true;
            let mut judge = |found: Match<'_, Place>| {
                passes = passes
                    && match found {
                        Match::Found(place) if std::ptr::eq(place, canonical) => canonical.strips_from(reading),
                        Match::Found(place) => {
                            canonical.agrees_with(place, question, authenticate)
                                && (!canonical.shares_upstream(place) || canonical.strips_from(reading))
                        }
                        Match::MethodNotAllowed(_) | Match::NotFound => false,
                    };
            };
            // In the forms in which a reading is one of our own URLs, it is no route's.
            let left = self
                .endpoints
                .find_reading(question.host, question.method, reading, &mut judge);
            let orphaned = self
                .routes
                .find_reading(question.host, question.method, reading.in_forms(left), &mut judge);
            if !passes || !orphaned.is_empty() {
                return Err(Refusal::Ambiguous);
            }
        }
        Ok(())
    }
}

impl Place {
    /// As [`Self::pass`], for the place that the request is counted at.
    fn pass_counted(
        &self,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
    ) -> Result<Option<Arc<Proof>>, Refusal> {
        let limited = match &self.kind {
            Kind::Route(entry) => entry.limiter.as_deref().zip(question.at),
            Kind::Endpoint(_) => None,
        };
        match limited {
            Some((limiter, at)) => counted(limiter, at, question, authenticate, |mut authenticate| {
                self.pass(question, &mut authenticate)
            }),
            None => self.pass(question, authenticate),
        }
    }

    /// Whether this place's own rule lets the request pass; who it is from, where that counts.
    fn pass(
        &self,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
    ) -> Result<Option<Arc<Proof>>, Refusal> {
        let facts = Facts {
            client: question.client,
            certificate: question.certificate,
        };
        if question.preflight {
            return self.pass_preflight(&facts);
        }
        let proof = match self.rule.access {
            Access::Public | Access::Deny => None,
            Access::Authenticated | Access::Optional => match authenticate(self.credentials()) {
                Outcome::Anonymous => None,
                Outcome::Known(proof) => Some(proof),
                outcome @ (Outcome::Bad(_) | Outcome::Ask(_)) => {
                    let fault = match outcome {
                        Outcome::Bad(fault) => fault,
                        Outcome::Ask(_) | Outcome::Anonymous | Outcome::Known(_) => Fault::Unresolved,
                    };
                    // What the rule says to anybody comes first: who may not come from here is not asked for a token.
                    return Err(match authz::decide(&self.rule, &Principal::Anonymous, &facts) {
                        Decision::NetworkNotAllowed => Refusal::NetworkNotAllowed,
                        Decision::ClientUnknown => Refusal::ClientUnknown,
                        Decision::CertificateMissing => Refusal::CertificateRequired,
                        Decision::Allowed
                        | Decision::NeedsCredentials
                        | Decision::MissingRole(_)
                        | Decision::Denied => Refusal::BadCredential(fault),
                    });
                }
            },
        };
        let principal = proof.as_ref().map_or(Principal::Anonymous, |proof| {
            Principal::Known(Arc::clone(&proof.person))
        });
        match authz::decide(&self.rule, &principal, &facts) {
            Decision::Allowed if question.cross_site && self.minds_cross_site(proof.as_deref()) => {
                Err(Refusal::CrossSite)
            }
            Decision::Allowed => Ok(proof),
            Decision::NeedsCredentials => Err(Refusal::CredentialsRequired),
            Decision::MissingRole(_) => Err(Refusal::MissingRole),
            Decision::NetworkNotAllowed => Err(Refusal::NetworkNotAllowed),
            Decision::ClientUnknown => Err(Refusal::ClientUnknown),
            Decision::CertificateMissing => Err(Refusal::CertificateRequired),
            Decision::Denied => Err(Refusal::Denied),
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
    fn pass_preflight(&self, facts: &Facts) -> Result<Option<Arc<Proof>>, Refusal> {
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

    /// Whether another reading's place lets the request pass as this one, the canonical one, does.
    fn agrees_with(
        &self,
        other: &Self,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
    ) -> bool {
        let refuses = |place: &Self| match &place.kind {
            Kind::Route(entry) => entry.route.refuse_ambiguous,
            Kind::Endpoint(_) => false,
        };
        !refuses(self) && !refuses(other) && other.pass(question, authenticate).is_ok()
    }

    fn strips_from(&self, reading: Reading<'_>) -> bool {
        match &self.kind {
            Kind::Route(entry) => entry.strip.as_ref().is_none_or(|prefix| prefix.holds_in(reading)),
            Kind::Endpoint(_) => true,
        }
    }

    fn shares_upstream(&self, other: &Self) -> bool {
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

fn table(entries: Vec<Entry<Place>>) -> Result<Table<Place>, InvalidPolicy> {
    Table::new(entries).map_err(|conflicts: Vec<Conflict>| {
        InvalidPolicy(conflicts.iter().map(Conflict::to_string).collect::<Vec<_>>().join("; "))
    })
}

fn hosts(patterns: &[String]) -> Result<Vec<HostPattern>, InvalidPolicy> {
    patterns
        .iter()
        .map(|host| host.parse().map_err(|error| InvalidPolicy(format!("{host}: {error}"))))
        .collect()
}
