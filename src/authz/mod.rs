//! May this principal do this? One rule, one principal, what is known about the client: one decision with its reason.
//!
//! Pure and without allocation. [`decide`] is the first condition that does not hold; [`conditions`] lists them all, for
//! whoever has to explain. Both go through the same checks, so they cannot disagree.

use std::fmt;
use std::net::IpAddr;

use crate::codes::Code;
use crate::net::Networks;
use crate::principal::Principal;
use crate::tls::ClientAuth;

/// Who has to show what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// A credential is needed.
    #[default]
    Authenticated,
    /// A credential counts where there is one; nobody needs one, unless roles are asked for.
    Optional,
    /// Open to everybody.
    Public,
    /// Closed to everybody.
    Deny,
}

/// What a route or an endpoint asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Who has to show what.
    pub access: Access,
    /// At least one of these roles; an empty list admits nobody. Asked for whatever `access` says, so that a rule that
    /// contradicts itself is the stricter one.
    pub roles_any: Option<Vec<String>>,
    /// All of these roles.
    pub roles_all: Vec<String>,
    /// Only from these networks; an empty list admits nobody.
    pub networks: Option<Networks>,
    /// Whether the client has to show a certificate of our authorities'.
    pub client_auth: ClientAuth,
}

impl Rule {
    /// A rule that asks for nothing but this access.
    pub fn new(access: Access) -> Self {
        Self {
            access,
            ..Self::default()
        }
    }

    /// A rule that lets those in who have this role.
    pub fn role(role: impl Into<String>) -> Self {
        Self {
            roles_all: vec![role.into()],
            ..Self::default()
        }
    }

    /// Whether any role is asked for.
    pub fn asks_for_roles(&self) -> bool {
        self.roles_any.is_some() || !self.roles_all.is_empty()
    }

    /// Whether the decision can depend on who asks.
    pub fn needs_principal(&self) -> bool {
        match self.access {
            Access::Authenticated => true,
            Access::Optional | Access::Public | Access::Deny => self.asks_for_roles(),
        }
    }
}

/// What is known about a request beside who it is from. Only what can be trusted: what is not known is `None`, and a
/// condition on it does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Whether the client showed a certificate that counts.
    pub certificate: Option<bool>,
}

/// The kinds of role conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `roles_any`: at least one.
    Any,
    /// `roles_all`: each.
    All,
}

/// The outcome, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on.
    Allowed,
    /// The rule is closed to everybody.
    Denied,
    /// The client's address, or whether it showed a certificate, is needed and not known.
    ClientUnknown,
    /// The client's address is in none of the networks.
    NetworkNotAllowed,
    /// The client showed no certificate that counts.
    CertificateMissing,
    /// The principal is anonymous, and somebody is asked for.
    NeedsCredentials,
    /// The principal lacks a role.
    MissingRole(Wanted),
}

impl Decision {
    /// Whether the request may go on.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }

    /// The code of a refusal.
    pub fn code(self) -> Option<Code> {
        match self {
            Self::Allowed => None,
            Self::Denied => Some(Code::AccessDenied),
            Self::ClientUnknown => Some(Code::ClientUnknown),
            Self::NetworkNotAllowed => Some(Code::NetworkNotAllowed),
            Self::CertificateMissing => Some(Code::ClientCertificateRequired),
            Self::NeedsCredentials => Some(Code::CredentialsRequired),
            Self::MissingRole(Wanted::Any | Wanted::All) => Some(Code::InsufficientRole),
        }
    }
}

/// One thing that a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'r> {
    /// The rule is not closed to everybody.
    Open,
    /// The client is in one of these networks.
    Network(&'r Networks),
    /// The client showed a certificate.
    Certificate,
    /// The principal is not anonymous.
    Credentials,
    /// The principal has at least one of these roles.
    AnyRole(&'r [String]),
    /// The principal has all of these roles.
    AllRoles(&'r [String]),
}

impl fmt::Display for Condition<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => formatter.write_str("not closed to everybody"),
            Self::Network(networks) => {
                formatter.write_str("client in one of [")?;
                for (number, network) in networks.iter().enumerate() {
                    write!(formatter, "{}{network}", if number > 0 { ", " } else { "" })?;
                }
                formatter.write_str("]")
            }
            Self::Certificate => formatter.write_str("a client certificate"),
            Self::Credentials => formatter.write_str("credentials"),
            Self::AnyRole(roles) => write!(formatter, "one of the roles [{}]", roles.join(", ")),
            Self::AllRoles(roles) => write!(formatter, "all of the roles [{}]", roles.join(", ")),
        }
    }
}

/// Decides: the first condition that does not hold is the reason.
pub fn decide(rule: &Rule, principal: &Principal, facts: &Facts) -> Decision {
    conditions(rule, principal, facts)
        .map(|(_, outcome)| outcome)
        .find(|outcome| !outcome.is_allowed())
        .unwrap_or(Decision::Allowed)
}

/// Everything the rule asks for, in the order it is asked, each with what it decides: [`Decision::Allowed`] where it
/// holds. Where the request comes from is asked before who it is from: nobody is sent to log in who could not enter.
pub fn conditions<'r>(
    rule: &'r Rule,
    principal: &Principal,
    facts: &Facts,
) -> impl Iterator<Item = (Condition<'r>, Decision)> {
    let asked = [
        Some(Condition::Open),
        rule.networks.as_ref().map(Condition::Network),
        (rule.client_auth == ClientAuth::Required).then_some(Condition::Certificate),
        rule.needs_principal().then_some(Condition::Credentials),
        rule.roles_any.as_deref().map(Condition::AnyRole),
        (!rule.roles_all.is_empty()).then_some(Condition::AllRoles(&rule.roles_all)),
    ];
    asked
        .into_iter()
        .flatten()
        .map(|condition| (condition, check(condition, rule.access, principal, facts)))
}

fn check(condition: Condition<'_>, access: Access, principal: &Principal, facts: &Facts) -> Decision {
    let has = |role: &String| principal.person().is_some_and(|person| person.roles.contains(role));
    let (holds, otherwise) = match condition {
        Condition::Open => (access != Access::Deny, Decision::Denied),
        Condition::Network(networks) => match facts.client {
            Some(client) => (networks.contain(client), Decision::NetworkNotAllowed),
            None => (false, Decision::ClientUnknown),
        },
        Condition::Certificate => match facts.certificate {
            Some(shown) => (shown, Decision::CertificateMissing),
            None => (false, Decision::ClientUnknown),
        },
        Condition::Credentials => (principal.person().is_some(), Decision::NeedsCredentials),
        Condition::AnyRole(roles) => (roles.iter().any(has), Decision::MissingRole(Wanted::Any)),
        Condition::AllRoles(roles) => (roles.iter().all(has), Decision::MissingRole(Wanted::All)),
    };
    if holds { Decision::Allowed } else { otherwise }
}

#[cfg(test)]
mod tests;
