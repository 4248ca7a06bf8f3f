//! Watching a decision while it is made. Nothing is decided a second time for whoever wants an explanation: the function that
//! decides tells what it sees on the way, and where nobody watches, the compiler leaves nothing of it.

use super::place::Agreement;
use super::{Credentials, Refusal, RouteEntry, Takes};
use crate::authn::Outcome;
use crate::authz::{Facts, Rule};
use crate::principal::Principal;
use crate::rate;
use crate::route::{HostTier, Reading};

/// Somebody who watches a decision. What is told of a rule belongs to the place that was told of last.
pub trait Watch {
    /// Whether anybody watches: only then is looked at what the decision itself does not need.
    const WATCHES: bool;
    /// Where the canonical reading lands, how closely the host is named there, and what else was there, the nearest first.
    fn canonical(&mut self, landing: Landing<'_>, tier: Option<HostTier>, rivals: &[Rival<'_>]);
    /// The route limits how often somebody may ask.
    fn limit(&mut self, settings: rate::Settings);
    /// What the credentials that count here say.
    fn shown(&mut self, counts: Credentials, outcome: &Outcome);
    /// A rule is held against what is known.
    fn rule(&mut self, rule: &Rule, principal: &Principal, facts: &Facts);
    /// The same of a preflight, of which only what holds for everybody is asked.
    fn rule_of_preflight(&mut self, rule: &Rule, facts: &Facts);
    /// Whether nothing says that a page of another site may have set this off.
    fn same_site(&mut self, holds: bool);
    /// What one of our own URLs takes, and whether that is what was shown.
    fn takes(&mut self, takes: Takes, holds: bool);
    /// What came of the rule; `None`: it lets the request pass.
    fn passed(&mut self, refusal: Option<&Refusal>);
    /// A reading is looked at; the first one is canonical.
    fn reading(&mut self, reading: Reading<'_>);
    /// In some form, the reading lands here.
    fn falls_to(&mut self, landing: Landing<'_>);
    /// Whether this agrees with what was decided for the canonical reading.
    fn agrees(&mut self, agreement: Agreement);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    const WATCHES: bool = false;
    fn canonical(&mut self, _: Landing<'_>, _: Option<HostTier>, _: &[Rival<'_>]) {}
    fn limit(&mut self, _: rate::Settings) {}
    fn shown(&mut self, _: Credentials, _: &Outcome) {}
    fn rule(&mut self, _: &Rule, _: &Principal, _: &Facts) {}
    fn rule_of_preflight(&mut self, _: &Rule, _: &Facts) {}
    fn same_site(&mut self, _: bool) {}
    fn takes(&mut self, _: Takes, _: bool) {}
    fn passed(&mut self, _: Option<&Refusal>) {}
    fn reading(&mut self, _: Reading<'_>) {}
    fn falls_to(&mut self, _: Landing<'_>) {}
    fn agrees(&mut self, _: Agreement) {}
}

/// What a reading lands on.
#[derive(Clone, Copy, Debug)]
pub enum Landing<'a> {
    /// A route.
    Route(&'a RouteEntry),
    /// One of our own URLs.
    Endpoint {
        /// Its place in the table of endpoints.
        index: usize,
        /// Its path.
        path: &'a str,
    },
    /// Places of this path, none of them for this method.
    OtherMethods,
    /// Nothing.
    Nowhere,
}

/// What might have taken the request, and did not.
#[derive(Clone, Copy, Debug)]
pub struct Rival<'a> {
    /// What it is.
    pub landing: Landing<'a>,
    /// What was against it.
    pub because: Beaten,
}

/// Why a rival did not get the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beaten {
    /// It is not for this method.
    Method,
    /// A longer path was there.
    ShorterPath,
    /// A place that names the host more closely was there.
    LooserHost,
    /// The URL is the gateway's own.
    OwnUrl,
    /// It is for other hosts.
    OtherHosts,
}
