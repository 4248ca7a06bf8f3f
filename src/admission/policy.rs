//! The policy: every route and endpoint in one table, and the function that decides.

use std::sync::Arc;

use http::Method;

use super::own::OwnPlace;
use super::place::{Agreement, Kind, Place};
use super::rivals::rivals;
use super::watch::{Landing, Unwatched, Watch};
use super::{
    Credentials, Destination, EndpointRule, Handshakes, InvalidPolicy, Permit, Preflight, Question, Refusal, RouteEntry,
};
use crate::authn::Outcome;
use crate::route::{Conflict, Entry, Host, HostPattern, Match, MethodSet, PathPattern, Table, Target};
use crate::tls::ClientAuth;

/// The routes and endpoints of one configuration.
#[derive(Debug)]
pub struct Policy {
    /// Asked first: no route of any host takes our own URLs.
    endpoints: Table<Place>,
    /// Those of them that are ours where another proxy asks. It need not send the others here, and what a backend of its own
    /// serves there is not for everybody.
    in_questions: Table<Place>,
    routes: Table<Place>,
    handshakes: Handshakes,
    entries: Vec<Arc<RouteEntry>>,
}

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
        let own: Vec<EndpointRule> = endpoints.into_iter().collect();
        let places = |own: &mut dyn Iterator<Item = &EndpointRule>| {
            let on = hosts(endpoint_hosts)?;
            table(own.map(|endpoint| own_entry(endpoint, on.clone())).collect())
        };
        Ok(Self {
            endpoints: places(&mut own.iter())?,
            in_questions: places(&mut own.iter().filter(|endpoint| endpoint.in_questions))?,
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

    /// The routes, in the order of the configuration.
    pub fn entries(&self) -> &[Arc<RouteEntry>] {
        &self.entries
    }

    /// Decides about a request. `authenticate` is asked only where a rule needs to know who it is, with the kinds of
    /// credentials that count there.
    pub fn admit(
        &self,
        question: &Question<'_>,
        authenticate: impl FnMut(Credentials) -> Outcome,
    ) -> (Result<Permit, Refusal>, Option<Arc<RouteEntry>>) {
        self.admit_watched(question, authenticate, &mut Unwatched)
    }

    /// The same, for somebody who wants to see how it came about.
    pub fn admit_watched<W: Watch>(
        &self,
        question: &Question<'_>,
        mut authenticate: impl FnMut(Credentials) -> Outcome,
        watch: &mut W,
    ) -> (Result<Permit, Refusal>, Option<Arc<RouteEntry>>) {
        let path = question.target.canonical();
        let options = Method::OPTIONS;
        let as_options = Question {
            method: &options,
            preflight: false,
            ..*question
        };
        // Where our own URLs answer OPTIONS themselves, a preflight is a request for that like any other.
        let endpoints = self.endpoints(question);
        let answers_options =
            |question: &Question<'_>| matches!(endpoints.find(question.host, question.method, path), Match::Found(_));
        let question = match question.preflight && answers_options(&as_options) {
            true => &as_options,
            false => question,
        };
        let own = endpoints.find(question.host, question.method, path);
        let found = match own {
            Match::NotFound => self.routes.find(question.host, question.method, path),
            Match::Found(_) | Match::MethodNotAllowed(_) => own,
        };
        if W::WATCHES {
            let (tier, rivals) = rivals(endpoints, &self.routes, &self.entries, question);
            watch.canonical(landing(&found), tier, &rivals);
        }
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
        let decision = self.decide(place, question, &mut authenticate, watch);
        (decision, entry)
    }

    /// What an address knows, as `Allow` has it, where a request of this method falls to none of its entries for the method
    /// alone.
    pub fn allow(&self, host: Option<&Host<'_>>, target: &Target<'_>, method: &Method) -> Option<String> {
        let path = target.canonical();
        let found = match self.endpoints.find(host, method, path) {
            Match::NotFound => self.routes.find(host, method, path),
            own @ (Match::Found(_) | Match::MethodNotAllowed(_)) => own,
        };
        match found {
            Match::MethodNotAllowed(allow) => Some(allow.to_string()),
            Match::Found(_) | Match::NotFound => None,
        }
    }

    /// Our own URLs, as far as they are ours for this question.
    fn endpoints(&self, question: &Question<'_>) -> &Table<Place> {
        match question.forward_auth {
            true => &self.in_questions,
            false => &self.endpoints,
        }
    }

    fn decide<W: Watch>(
        &self,
        place: &Place,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
        watch: &mut W,
    ) -> Result<Permit, Refusal> {
        let passed = place.pass_counted(question, authenticate, watch);
        watch.passed(passed.as_ref().err());
        let passed = match passed {
            Err(refusal) if place.is_shadow() => place.lift(refusal, question, authenticate),
            passed => passed.map(|proof| (proof, None)),
        };
        if W::WATCHES && passed.is_err() {
            // Nothing depends on it any more; it is what the others would have said.
            self.other_readings(place, question, authenticate, watch);
        }
        let (mut proof, mut lifted) = passed?;
        let one_look_up =
            self.endpoints(question).one_look_up(question.target) && self.routes.one_look_up(question.target);
        if W::WATCHES || !one_look_up {
            // Where one look-up tells everything, this is for the watch alone.
            match self.other_readings(place, question, authenticate, watch) {
                Agreement::ButForShadows if !one_look_up => lifted = lifted.or(Some(Refusal::Ambiguous)),
                Agreement::None if !one_look_up => return Err(Refusal::Ambiguous),
                Agreement::Whole | Agreement::ButForShadows | Agreement::None => {}
            }
        }
        // Only a backend is told in headers who it is; our own endpoints know it by heart.
        if let (Kind::Route(_), Some(Err(what))) = (&place.kind, proof.as_ref().map(|proof| proof.values.as_ref())) {
            let refusal = Refusal::NotRepresentable(*what);
            if !place.is_shadow() {
                return Err(refusal);
            }
            proof = None;
            lifted = lifted.or(Some(refusal));
        }
        let destination = match &place.kind {
            Kind::Endpoint(_) if question.preflight => Destination::Preflight,
            Kind::Endpoint(own) => Destination::Endpoint(own.index),
            Kind::Route(entry) if question.preflight && entry.route.preflight == Preflight::Answer => {
                Destination::Preflight
            }
            Kind::Route(entry) => Destination::Route(Arc::clone(entry)),
        };
        Ok(Permit::new(destination, proof, lifted))
    }

    /// The routes of all other readings must let the request pass as well, and what is stripped off the path must be there
    /// in every reading that goes to the same upstream.
    fn other_readings<W: Watch>(
        &self,
        canonical: &Place,
        question: &Question<'_>,
        authenticate: &mut impl FnMut(Credentials) -> Outcome,
        watch: &mut W,
    ) -> Agreement {
        let mut agreement = Agreement::Whole;
        for reading in question.target.readings() {
            watch.reading(reading);
            let mut judge = |found: Match<'_, Place>| {
                // One that does not pass settles it, but for whoever wants to see them all.
                if agreement == Agreement::None && !W::WATCHES {
                    return;
                }
                watch.falls_to(landing(&found));
                let one = match found {
                    Match::Found(place) if std::ptr::eq(place, canonical) => {
                        Agreement::whole_if(canonical.strips_from(reading))
                    }
                    Match::Found(place) => {
                        let strips = !canonical.shares_upstream(place) || canonical.strips_from(reading);
                        let agrees = canonical.agrees_with(place, question, authenticate, watch);
                        agrees.and(Agreement::whole_if(strips))
                    }
                    Match::MethodNotAllowed(_) | Match::NotFound => Agreement::None,
                };
                watch.agrees(one);
                agreement = agreement.and(one);
            };
            // In the forms in which a reading is one of our own URLs, it is no route's.
            let left = self
                .endpoints(question)
                .find_reading(question.host, question.method, reading, &mut judge);
            let orphaned = self
                .routes
                .find_reading(question.host, question.method, reading.in_forms(left), &mut judge);
            if !orphaned.is_empty() {
                watch.falls_to(Landing::Nowhere);
                watch.agrees(Agreement::None);
                agreement = Agreement::None;
            }
            if agreement == Agreement::None && !W::WATCHES {
                break;
            }
        }
        agreement
    }
}

fn landing<'a>(found: &Match<'a, Place>) -> Landing<'a> {
    match found {
        Match::Found(place) => place.landing(),
        Match::MethodNotAllowed(_) => Landing::OtherMethods,
        Match::NotFound => Landing::Nowhere,
    }
}

fn own_entry(endpoint: &EndpointRule, hosts: Vec<HostPattern>) -> Entry<Place> {
    Entry {
        hosts,
        pattern: endpoint.path.clone(),
        methods: Some(MethodSet::new(endpoint.methods.iter().cloned())),
        value: Place {
            rule: endpoint.rule.clone(),
            kind: Kind::Endpoint(OwnPlace {
                index: endpoint.index,
                credentials: endpoint.credentials,
                takes: endpoint.takes,
                path: endpoint.path.path().to_string(),
            }),
        },
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
