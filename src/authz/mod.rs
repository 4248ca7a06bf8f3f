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
