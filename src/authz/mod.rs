//! Who may: rules, and the one function that decides.

use crate::net::Networks;

/// What a route or endpoint asks of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who in general.
    pub access: Access,
    /// At least one of these roles; `Some` of none admits nobody.
    pub roles_any: Option<Vec<String>>,
    /// All of these roles.
    pub roles_all: Vec<String>,
    /// From these networks only.
    pub networks: Option<Networks>,
}

/// Who in general may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody with a good credential.
    Authenticated,
    /// Everybody; who shows a credential is known.
    Optional,
    /// Everybody; credentials are not looked at.
    Public,
    /// Nobody.
    Deny,
}

/// What is known about a request beside who it is from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// The client's address.
    pub client: Option<std::net::IpAddr>,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Pass.
    Allowed,
    /// Log in first.
    NeedsCredentials,
    /// A role is missing.
    MissingRole,
    /// Not from there.
    NetworkNotAllowed,
    /// Nobody knows from where.
    ClientUnknown,
    /// Closed.
    Denied,
}

/// Decides: the one place where a rule meets a principal.
pub fn decide(rule: &Rule, principal: &crate::principal::Principal, facts: &Facts) -> Decision {
    if rule.access == Access::Deny {
        return Decision::Denied;
    }
    match (&rule.networks, facts.client) {
        (None, _) => {}
        (Some(_), None) => return Decision::ClientUnknown,
        (Some(networks), Some(client)) if networks.contain(client) => {}
        (Some(_), Some(_)) => return Decision::NetworkNotAllowed,
    }
    let roles = rule.roles_any.is_some() || !rule.roles_all.is_empty();
    let Some(person) = principal.person() else {
        let open = match rule.access {
            Access::Public => true,
            Access::Optional => !roles,
            Access::Authenticated | Access::Deny => false,
        };
        return if open {
            Decision::Allowed
        } else {
            Decision::NeedsCredentials
        };
    };
    let any = rule
        .roles_any
        .as_ref()
        .is_none_or(|any| any.iter().any(|role| person.roles.contains(role)));
    let all = rule.roles_all.iter().all(|role| person.roles.contains(role));
    if any && all {
        Decision::Allowed
    } else {
        Decision::MissingRole
    }
}
