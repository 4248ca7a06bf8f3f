//! `[accounts]`.

/// Who may make an account, and what it gets; with only valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who may register.
    pub registration: Registration,
    /// The roles of a new account; never the gateway's own admin role.
    pub default_roles: Vec<String>,
    /// The name of the gateway's own admin role (`admin.role`): it counts only where it was granted by command.
    pub admin_role: String,
}

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Nobody.
    Closed,
    /// Everybody.
    Open,
    /// Everybody; the account counts once its e-mail address was confirmed.
    VerifyEmail,
}
