//! Users as the command line works on them: found by name or id, made, changed. What a name, a role and a password may be is
//! decided here once for all `doorward user` commands and the demo.

use super::Failure;
use super::migrate::failed;
use crate::clock::Clock;
use crate::config::Config;
use crate::password::{Pool, Scheme, policy};
use crate::principal::{Roles, UserId};
use crate::secret::Secret;
use crate::store::{Created, NewPassword, NewUser, Store, User, UserChange, name_key};

/// A user to be made, or made anew.
pub struct NewPerson<'a> {
    /// The name.
    pub name: &'a str,
    /// Roles with commas between them; the admin role among them becomes a grant.
    pub roles: &'a str,
    /// The address; it counts as confirmed, as an administrator gives it.
    pub email: Option<&'a str>,
    /// The hash of the password.
    pub hash: String,
}

/// Makes a user.
pub async fn create(store: &dyn Store, person: NewPerson<'_>, admin_role: &str) -> Result<User, Failure> {
    check_name(person.name)?;
    let (roles, grants) = roles_and_grants(person.roles, admin_role)?;
    let new = NewUser {
        username: person.name.to_owned(),
        name_key: name_key(person.name),
        password: person.hash,
        roles,
        active: true,
        email: person.email.map(str::to_owned),
        email_verified: person.email.is_some(),
        grants,
    };
    let refused = |cause: String, hint: &str| Err(Failure::run("the user was not made", cause, hint));
    match store.create_user(new, now()).await.map_err(|error| failed(&error))? {
        Created::New(user) => Ok(user),
        Created::NameTaken(id) => refused(
            format!("user {id} has this name, or one that reads the same"),
            "choose another name, or change that user: doorward user passwd, roles, activate",
        ),
        Created::EmailTaken(id) => refused(format!("user {id} has this e-mail address"), "each address once"),
        Created::EmailRequired => {
            refused("the table wants an e-mail address for every user".to_owned(), "give one with --email")
        }
    }
}

/// Makes a user, or gives the one of this name these roles and this password.
pub async fn set(store: &dyn Store, person: NewPerson<'_>, admin_role: &str) -> Result<(), Failure> {
    let (roles, grants) = roles_and_grants(person.roles, admin_role)?;
    let existing = store.users_named(person.name).await.map_err(|error| failed(&error))?;
    let Some(user) = existing.first() else {
        return create(store, person, admin_role).await.map(drop);
    };
    let change = UserChange {
        roles: Some(roles),
        grants: Some(grants),
        active: Some(true),
        password: Some(NewPassword { hash: person.hash, keep: None }),
        ..UserChange::default()
    };
    change_user(store, user.id, change).await.map(drop)
}

/// Changes a user, who may have gone in the meantime.
pub async fn change_user(store: &dyn Store, id: UserId, change: UserChange) -> Result<User, Failure> {
    let changed = store.change_user(id, change, now()).await.map_err(|error| failed(&error))?;
    changed.ok_or_else(|| unknown(&format!("no user has the id {id}")))
}

/// The one user of this name, or with this id.
pub async fn find(store: &dyn Store, name: Option<&str>, id: Option<i64>) -> Result<User, Failure> {
    if let Some(id) = id {
        let user = store.user(UserId(id)).await.map_err(|error| failed(&error))?;
        return user.ok_or_else(|| unknown(&format!("no user has the id {id}")));
    }
    let name = name.ok_or_else(|| Failure::usage("no user is named", "give a name, or --id with an id"))?;
    let mut users = store.users_named(name).await.map_err(|error| failed(&error))?;
    match (users.pop(), users.is_empty()) {
        (Some(user), true) => Ok(user),
        (Some(last), false) => {
            users.push(last);
            let ids: Vec<_> = users.iter().map(|user| user.id.to_string()).collect();
            let cause = format!("users {} have it (there may be more)", ids.join(" and "));
            let hint = "say which one with --id, which stands in place of the name";
            Err(Failure::run("the name is not one user's", cause, hint))
        }
        (None, _) => Err(unknown(&format!("no user is called {name:?}; names are compared byte for byte"))),
    }
}

fn unknown(cause: &str) -> Failure {
    Failure::run("there is no such user", cause, "doorward user list shows who there is")
}

/// Hashes a new password that is good enough for this name.
pub async fn hash(config: &Config, name: &str, password: Secret<String>) -> Result<String, Failure> {
    let reasons = policy::check(password.expose(), name, config.passwords.min_length);
    if !reasons.is_empty() {
        let cause: Vec<_> = reasons.iter().map(|reason| format!("it {reason}")).collect();
        return Err(Failure::run("the password is too weak", cause.join("; "), "choose a longer one, such as four words"));
    }
    let unusable = |error: &dyn std::fmt::Display| Failure::run("the password cannot be hashed", error, "see the cause");
    let pool = Pool::start(config.passwords.clone(), Box::new(|_| {})).map_err(|error| unusable(&error))?;
    pool.hash(password, Scheme::Argon2id).await.map_err(|error| unusable(&error))
}

/// The roles column and the grants that these roles with commas between them are: the admin role is kept apart, so that no SQL
/// and no other server's table gives it.
pub fn roles_and_grants(roles: &str, admin_role: &str) -> Result<(String, Vec<String>), Failure> {
    if roles.chars().any(char::is_control) {
        return Err(Failure::usage("a role holds a control character", "name the roles with commas between them"));
    }
    let mut roles = Roles::from_column(roles);
    let grants = if roles.contains(admin_role) { vec![admin_role.to_owned()] } else { Vec::new() };
    roles.remove(admin_role);
    Ok((roles.to_column(), grants))
}

/// What a new name may be. A comma would be two roles or users in a header, a colon ends the name in HTTP Basic.
fn check_name(name: &str) -> Result<(), Failure> {
    let wrong = match () {
        () if name_key(name).is_empty() => "it is empty",
        () if name.trim() != name => "it begins or ends with white space",
        () if name.chars().any(char::is_control) => "it holds a control character",
        () if name.contains([',', ':']) => "it holds a comma or a colon",
        () => return Ok(()),
    };
    Err(Failure::run("the name cannot be used", wrong, "choose another name"))
}

fn now() -> i64 {
    Clock::system().unix_millis()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_admin_role_becomes_a_grant() {
        let split = |roles| roles_and_grants(roles, "doorward-admin").unwrap();
        assert_eq!(split("user, admin,doorward-admin"), ("user,admin".to_owned(), vec!["doorward-admin".to_owned()]));
        assert_eq!(split(""), (String::new(), vec![]));
        assert!(roles_and_grants("a\nb", "doorward-admin").is_err());
    }

    #[test]
    fn names_that_could_not_be_told_apart_are_refused() {
        for name in ["", " ", "a ", "\u{a0}a", "a,b", "a:b", "a\u{7f}b"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["alice", "Jürgen Groß", "用户", "a@b.example"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }
}
