//! The rules of role names, and where a role is kept: the column, or the grants.

use crate::principal::Roles;

/// The longest role, in bytes.
const MAX_BYTES: usize = 255;

/// The text is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a role: 1 to 255 bytes without commas and control characters, not beginning or ending with white space"
)]
pub struct InvalidRole(String);

/// Roles as a row keeps them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// For the roles column, which other software writes too.
    pub(super) column: String,
    /// The gateway's own role, which only this program's commands give.
    pub(super) grants: Vec<String>,
}

/// Checks roles and puts each where it belongs.
pub(super) fn keep(roles: &[String], admin_role: &str) -> Result<Kept, InvalidRole> {
    if let Some(bad) = roles.iter().find(|role| !is_role(role)) {
        return Err(InvalidRole(bad.clone()));
    }
    let mut column: Roles = roles.iter().map(String::as_str).collect();
    let granted = column.contains(admin_role);
    column.remove(admin_role);
    Ok(Kept {
        column: column.to_column(),
        grants: granted.then(|| admin_role.to_owned()).into_iter().collect(),
    })
}

fn is_role(role: &str) -> bool {
    !role.is_empty()
        && role.len() <= MAX_BYTES
        && role.trim() == role
        && !role.contains(',')
        && !role.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kept(roles: &[&str]) -> Result<Kept, InvalidRole> {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        keep(&roles, "doorward-admin")
    }

    #[test]
    fn the_gateways_own_role_never_reaches_the_column() {
        let both = kept(&["user", "doorward-admin", "admin", "user"]).unwrap();
        assert_eq!(
            (both.column.as_str(), both.grants),
            ("user,admin", vec!["doorward-admin".to_owned()])
        );
        let none = kept(&[]).unwrap();
        assert_eq!((none.column.as_str(), none.grants.len()), ("", 0));
    }

    #[test]
    fn roles_that_a_column_would_change_are_refused() {
        for bad in ["", " user", "user ", "a,doorward-admin", "a\nb", "a\0"] {
            assert!(kept(&["user", bad]).is_err(), "{bad:?}");
        }
        assert!(kept(&["two words", "größe"]).is_ok());
    }
}
