//! The trace of one decision, taken down while it is made.

use serde::Serialize;

use super::Condition;
use crate::admission::{
    Agreement, Beaten, Credentials, Landing, Permit, Policy, Question, Refusal, RouteEntry, Takes, Watch,
};
use crate::authn::Outcome;
use crate::authz::{Facts, Rule};
use crate::principal::{Issuer, Principal};
use crate::rate;
use crate::route::{self, HostTier};

/// So many rivals are told; what is left off is counted.
const RIVALS: usize = 20;

/// How a decision came about.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trace {
    /// The path in the reading that decides.
    pub canonical: String,
    /// What it falls to.
    pub place: Place,
    /// How closely the place names the host: `exact`, `wildcard`, `any`; none where nothing was found.
    pub host_match: Option<&'static str>,
    /// What else there was.
    pub rivals: Vec<Rival>,
    /// How many rivals are not told.
    #[serde(skip_serializing_if = "is_zero")]
    pub rivals_left_off: usize,
    /// What the place asks for.
    pub conditions: Vec<Condition>,
    /// Who it is from; none: anonymous.
    pub principal: Option<Who>,
    /// Everything that a backend might take the target for.
    pub readings: Vec<Reading>,
    /// Whether rules are told of one of the readings, and no longer of the place that decides.
    #[serde(skip)]
    among_readings: bool,
    /// Why the place that decides refuses.
    #[serde(skip)]
    refuses: Option<&'static str>,
}

/// A place that a reading can fall to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Place {
    /// A route.
    Route {
        /// Its name.
        name: String,
        /// Its path.
        path: String,
        /// Its hosts; none: any.
        hosts: Vec<String>,
        /// Its methods; none: any.
        methods: Option<Vec<String>>,
        /// Whether it is not enforced.
        shadow: bool,
    },
    /// One of the gateway's own URLs.
    Endpoint {
        /// Its path.
        path: String,
    },
    /// Places of this path, none of them for the method.
    OtherMethods,
    /// Nothing.
    #[default]
    Nowhere,
}

/// What might have taken the request, and did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rival {
    /// What it is.
    pub place: Place,
    /// Why not: `method`, `shorter_path`, `looser_host`, `own_url`, `other_hosts`.
    pub because: &'static str,
}

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Who {
    /// The name.
    pub name: String,
    /// The key.
    pub id: String,
    /// The roles.
    pub roles: Vec<String>,
    /// What was shown.
    pub credential: &'static str,
    /// The issuer, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// One of the things that a backend might take the target for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The path.
    pub path: String,
    /// What it falls to: several places where letters are folded.
    pub falls_to: Vec<Fall>,
}

/// One place of a reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fall {
    /// The place.
    pub place: Place,
    /// Whether it agrees with what the canonical reading's place says.
    pub agrees: bool,
    /// Why its own rule refuses; none: it lets the request pass.
    pub refuses: Option<&'static str>,
}

impl Trace {
    /// Decides by this policy, and takes down how.
    pub fn of(
        policy: &Policy,
        question: &Question<'_>,
        authenticate: impl FnMut(Credentials) -> Outcome,
    ) -> (Self, Result<Permit, Refusal>, Option<std::sync::Arc<RouteEntry>>) {
        let mut trace = Self {
            canonical: String::from_utf8_lossy(question.target.canonical()).into_owned(),
            ..Self::default()
        };
        let (decided, entry) = policy.admit_watched(question, authenticate, &mut trace);
        (trace, decided, entry)
    }

    /// The place as logs name it.
    pub fn place_name(&self) -> &str {
        match &self.place {
            Place::Route { name, .. } => name,
            Place::Endpoint { .. } => super::GATEWAY,
            Place::OtherMethods | Place::Nowhere => "(none)",
        }
    }
}

impl Who {
    fn of(principal: &Principal) -> Option<Self> {
        let person = principal.person()?;
        Some(Self {
            name: person.name.clone(),
            id: person.subject.clone(),
            roles: person.roles.iter().map(str::to_owned).collect(),
            credential: person.credential.as_str(),
            issuer: match &person.issuer {
                Issuer::Local => None,
                Issuer::External(issuer) => Some(issuer.to_string()),
            },
        })
    }
}

impl Place {
    fn of(landing: Landing<'_>) -> Self {
        match landing {
            Landing::Route(entry) => Self::of_route(entry),
            Landing::Endpoint { path, .. } => Self::Endpoint { path: path.to_owned() },
            Landing::OtherMethods => Self::OtherMethods,
            Landing::Nowhere => Self::Nowhere,
        }
    }

    fn of_route(entry: &RouteEntry) -> Self {
        let route = &entry.route;
        let methods = route.methods.as_ref();
        Self::Route {
            name: route.name.clone(),
            path: route.path.clone(),
            hosts: route.hosts.clone(),
            methods: methods.map(|methods| methods.iter().map(ToString::to_string).collect()),
            shadow: route.shadow,
        }
    }
}

impl Watch for Trace {
    const WATCHES: bool = true;

    fn canonical(&mut self, landing: Landing<'_>, tier: Option<HostTier>, rivals: &[crate::admission::Rival<'_>]) {
        self.place = Place::of(landing);
        self.host_match = tier.map(|tier| match tier {
            HostTier::Exact => "exact",
            HostTier::Wildcard => "wildcard",
            HostTier::Any => "any",
        });
        self.rivals_left_off = rivals.len().saturating_sub(RIVALS);
        self.rivals = rivals
            .iter()
            .take(RIVALS)
            .map(|rival| Rival {
                place: Place::of(rival.landing),
                because: match rival.because {
                    Beaten::Method => "method",
                    Beaten::ShorterPath => "shorter_path",
                    Beaten::LooserHost => "looser_host",
                    Beaten::OwnUrl => "own_url",
                    Beaten::OtherHosts => "other_hosts",
                },
            })
            .collect();
    }

    fn limit(&mut self, settings: rate::Settings) {
        self.conditions.push(Condition::limit(settings));
    }

    fn shown(&mut self, counts: Credentials, outcome: &Outcome) {
        if !self.among_readings {
            self.conditions.push(Condition::shown(counts, outcome));
        }
    }

    fn rule(&mut self, rule: &Rule, principal: &Principal, facts: &Facts) {
        if !self.among_readings {
            self.conditions.extend(Condition::of_rule(rule, principal, facts));
            self.principal = Who::of(principal);
        }
    }

    fn rule_of_preflight(&mut self, rule: &Rule, facts: &Facts) {
        if !self.among_readings {
            self.conditions.extend(Condition::of_preflight(rule, facts));
        }
    }

    fn same_site(&mut self, holds: bool) {
        if !self.among_readings {
            self.conditions.push(Condition::same_site(holds));
        }
    }

    fn takes(&mut self, takes: Takes, holds: bool) {
        if !self.among_readings {
            self.conditions.extend(Condition::takes(takes, holds));
        }
    }

    fn passed(&mut self, refusal: Option<&Refusal>) {
        let refuses = refusal.map(|refusal| refusal.code().as_str());
        match self.fall() {
            Some(fall) => fall.refuses = refuses,
            None => self.refuses = refuses,
        }
    }

    fn reading(&mut self, reading: route::Reading<'_>) {
        self.among_readings = true;
        self.readings.push(Reading {
            path: String::from_utf8_lossy(reading.path).into_owned(),
            falls_to: Vec::new(),
        });
    }

    fn falls_to(&mut self, landing: Landing<'_>) {
        if let Some(reading) = self.readings.last_mut() {
            let place = Place::of(landing);
            let refuses = self.refuses.filter(|_| place == self.place);
            reading.falls_to.push(Fall {
                place,
                agrees: true,
                refuses,
            });
        }
    }

    fn agrees(&mut self, agreement: Agreement) {
        if let Some(fall) = self.fall() {
            fall.agrees = match agreement {
                Agreement::Whole => true,
                Agreement::ButForShadows | Agreement::None => false,
            };
        }
    }
}

impl Trace {
    fn fall(&mut self) -> Option<&mut Fall> {
        self.readings.last_mut()?.falls_to.last_mut()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
