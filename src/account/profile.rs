//! What somebody is told about themselves.

use serde::Serialize;

use crate::principal::Person;

/// The answer to "who am I": what the credential proves, with the roles in force.
#[derive(Debug, Serialize)]
pub struct Profile<'a> {
    id: Option<i64>,
    username: &'a str,
    roles: Vec<&'a str>,
    email: Option<&'a str>,
    session: Option<String>,
}

impl<'a> Profile<'a> {
    /// Of this person.
    pub fn of(person: &'a Person) -> Self {
        Self {
            id: person.user.map(|user| user.0),
            username: &person.name,
            roles: person.roles.iter().collect(),
            email: person.email.as_deref(),
            session: person.session.map(|session| session.to_string()),
        }
    }
}
