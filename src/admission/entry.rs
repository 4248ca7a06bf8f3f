//! What a policy is made of: routes with what is kept beside them, and the rules of our own URLs.

use std::sync::Arc;

use http::Method;

use super::{Credentials, Policy, Route, Takes};
use crate::authz::Rule;
use crate::rate::Limiter;
use crate::route::{PathPattern, RoutePath};
use crate::telemetry::RouteSeries;

/// A route with what is kept beside it.
#[derive(Debug)]
pub struct RouteEntry {
    /// The route as configured.
    pub route: Route,
    /// What is taken off the path.
    strip: Option<RoutePath>,
    /// Who has asked of late, where that is limited.
    pub(super) limiter: Option<Arc<Limiter>>,
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
        let same = old.entries().iter().find(|entry| entry.route.name == self.route.name);
        let kept = same
            .and_then(|entry| entry.limiter.clone())
            .filter(|limiter| limiter.settings() == settings);
        self.limiter = kept.or(self.limiter);
        self
    }

    /// Whether anything of it depends on the client's address.
    pub fn asks_for_the_address(&self) -> bool {
        self.limiter.is_some() || self.route.rule.networks.is_some()
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
    /// What of them it takes.
    pub takes: Takes,
    /// Whether it is ours also where another proxy asks about it.
    pub in_questions: bool,
}

/// The routes do not make a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPolicy(pub String);
