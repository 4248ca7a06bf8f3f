//! What a rule asks for, told one by one.

use serde::Serialize;

use crate::admission::{Credentials, Takes};
use crate::authn::{Fault, Outcome};
use crate::authz::{self, Access, Facts, Rule};
use crate::principal::{CredentialKind, Principal};
use crate::rate::{self, By};

/// One condition, and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The stable name: `credential`, `open`, `network`, `client_certificate`, `credentials`, `roles_any`, `roles_all`,
    /// `same_site`, `takes`, `rate_limit`, `preflight`.
    pub condition: &'static str,
    /// Whether it holds; none: nobody can say beforehand.
    pub holds: Option<bool>,
    /// In words.
    pub detail: String,
    /// Of role conditions: each role.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleHeld>,
}

/// One role of a role condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleHeld {
    /// The role.
    pub role: String,
    /// Whether the principal has it.
    pub held: bool,
}

impl Condition {
    fn plain(condition: &'static str, holds: Option<bool>, detail: String) -> Self {
        Self {
            condition,
            holds,
            detail,
            roles: Vec::new(),
        }
    }

    /// What the credentials that count said.
    pub(super) fn shown(counts: Credentials, outcome: &Outcome) -> Self {
        let kinds: Vec<_> = [
            (counts.bearer, "bearer"),
            (counts.session, "session"),
            (counts.basic, "basic"),
        ]
        .into_iter()
        .filter_map(|(counts, kind)| counts.then_some(kind))
        .collect();
        let kinds = match kinds.is_empty() {
            true => "no credential counts here".to_owned(),
            false => format!("{} counts here", kinds.join(" or ")),
        };
        let (holds, said) = match outcome {
            Outcome::Anonymous => (None, "none was shown".to_owned()),
            Outcome::Known(proof) => (
                Some(true),
                format!("{} was shown and is good", kind(proof.person.credential)),
            ),
            Outcome::Bad(fault) => (
                Some(false),
                format!("one was shown and is no good: {}", fault_told(*fault)),
            ),
            Outcome::Ask(_) => (None, "only the store can tell about the one that was shown".to_owned()),
        };
        Self::plain("credential", holds, format!("{kinds}; {said}"))
    }

    /// All that a rule asks for.
    pub(super) fn of_rule(rule: &Rule, principal: &Principal, facts: &Facts) -> Vec<Self> {
        authz::conditions(rule, principal, facts)
            .map(|(condition, decision)| {
                let holds = Some(decision.is_allowed());
                let (name, detail, roles) = match condition {
                    authz::Condition::Open => ("open", format!("access is \"{}\"", access(rule.access)), None),
                    authz::Condition::Network(_) => {
                        let client = facts.client.map_or("its address is not known".to_owned(), |client| {
                            format!("it is {client}")
                        });
                        ("network", format!("{condition}; {client}"), None)
                    }
                    authz::Condition::Certificate => {
                        let shown = match facts.certificate {
                            Some(true) => "one was shown",
                            Some(false) => "none was shown",
                            None => "whether one was shown is not known",
                        };
                        ("client_certificate", format!("{condition}; {shown}"), None)
                    }
                    authz::Condition::Credentials => ("credentials", "somebody in particular".to_owned(), None),
                    authz::Condition::AnyRole(roles) => ("roles_any", condition.to_string(), Some(roles)),
                    authz::Condition::AllRoles(roles) => ("roles_all", condition.to_string(), Some(roles)),
                };
                Self {
                    roles: roles.map_or(Vec::new(), |roles| held(roles, principal)),
                    ..Self::plain(name, holds, detail)
                }
            })
            .collect()
    }

    /// What of it holds for a preflight too.
    pub(super) fn of_preflight(rule: &Rule, facts: &Facts) -> Vec<Self> {
        let anonymous = Rule {
            roles_any: None,
            roles_all: Vec::new(),
            access: match rule.access {
                Access::Deny => Access::Deny,
                Access::Authenticated | Access::Optional | Access::Public => Access::Public,
            },
            ..rule.clone()
        };
        let preflight = "a preflight: nobody is asked for credentials or roles".to_owned();
        let mut all = vec![Self::plain("preflight", Some(true), preflight)];
        all.extend(Self::of_rule(&anonymous, &Principal::Anonymous, facts));
        for condition in all.iter_mut().filter(|condition| condition.condition == "open") {
            condition.detail = format!("access is \"{}\"", access(rule.access));
        }
        all
    }

    /// Whether another site's page may have set it off.
    pub(super) fn same_site(holds: bool) -> Self {
        let detail = match holds {
            true => "no other site's page has set this off, or it does not matter here",
            false => "a page of another site may have set this off, and a cookie says who it is",
        };
        Self::plain("same_site", Some(holds), detail.to_owned())
    }

    /// What one of our own URLs takes; none: whatever counts.
    pub(super) fn takes(takes: Takes, holds: bool) -> Option<Self> {
        let told = takes.told()?;
        Some(Self::plain("takes", Some(holds), told.to_owned()))
    }

    /// A limit, of which nothing is known beforehand.
    pub(super) fn limit(settings: rate::Settings) -> Self {
        let by = match settings.by {
            By::User => "user",
            By::Client => "client",
        };
        let per = humantime::format_duration(settings.per);
        let detail = format!(
            "at most {} requests per {per} and {by}; not counted here",
            settings.requests
        );
        Self::plain("rate_limit", None, detail)
    }
}

fn held(roles: &[String], principal: &Principal) -> Vec<RoleHeld> {
    let has = |role: &String| principal.person().is_some_and(|person| person.roles.contains(role));
    roles
        .iter()
        .map(|role| RoleHeld {
            role: role.clone(),
            held: has(role),
        })
        .collect()
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Authenticated => "authenticated",
        Access::Optional => "optional",
        Access::Public => "public",
        Access::Deny => "deny",
    }
}

fn kind(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Bearer => "a bearer token",
        CredentialKind::ExternalBearer => "another issuer's token",
        CredentialKind::Session => "a session cookie",
        CredentialKind::ApiKey => "an API key",
        CredentialKind::Ticket => "a ticket",
    }
}

fn fault_told(fault: Fault) -> &'static str {
    fault.as_str()
}
