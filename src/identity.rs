//! The identity headers: how a backend learns who a request is from.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::principal::Person;

/// `[identity_headers]`: the names; one that is not set is not sent (and still no client's copy gets through).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the principal.
    pub user: Option<HeaderName>,
    /// The issuer's key for it.
    pub id: Option<HeaderName>,
    /// The roles in force, comma-separated.
    pub roles: Option<HeaderName>,
    /// A verified e-mail address.
    pub email: Option<HeaderName>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user: Some(HeaderName::from_static("x-user")),
            id: Some(HeaderName::from_static("x-user-id")),
            roles: Some(HeaderName::from_static("x-user-roles")),
            email: Some(HeaderName::from_static("x-user-email")),
        }
    }
}

/// The header values of one principal, made once and set on many requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    user: HeaderValue,
    id: HeaderValue,
    roles: HeaderValue,
    email: Option<HeaderValue>,
}

/// No header value can carry this exactly: it holds a control character, or begins or ends with white space that every
/// recipient would trim, or (a role) the comma that separates roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} cannot be carried by a header exactly")]
pub struct NotRepresentable(pub &'static str);

impl Values {
    /// The values for a person.
    pub fn of(person: &Person) -> Result<Self, NotRepresentable> {
        if person.name.is_empty() {
            return Err(NotRepresentable("name"));
        }
        if person
            .roles
            .iter()
            .any(|role| role.contains(',') || role.trim() != role)
        {
            return Err(NotRepresentable("roles"));
        }
        Ok(Self {
            user: exactly(&person.name, "name")?,
            id: exactly(&person.subject, "subject")?,
            roles: exactly(&person.roles.to_column(), "roles")?,
            email: person
                .email
                .as_deref()
                .map(|email| exactly(email, "email address"))
                .transpose()?,
        })
    }

    /// Sets them. The client's own copies were dropped before.
    pub fn set(&self, names: &Settings, headers: &mut HeaderMap) {
        for (name, value) in self.under(names) {
            if let (Some(name), Some(value)) = (name, value) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }

    /// Sets those that are there already. There are few, so comparing their names costs less than looking each of them up.
    pub fn fill(&self, names: &Settings, headers: &mut HeaderMap) {
        let pairs = self.under(names);
        for (name, room) in headers {
            let found = pairs.iter().find(|(own, _)| own.as_ref() == Some(name));
            if let Some((_, Some(value))) = found {
                room.clone_from(value);
            }
        }
    }

    fn under<'a>(&'a self, names: &'a Settings) -> [(&'a Option<HeaderName>, Option<&'a HeaderValue>); 4] {
        [
            (&names.user, Some(&self.user)),
            (&names.id, Some(&self.id)),
            (&names.roles, Some(&self.roles)),
            (&names.email, self.email.as_ref()),
        ]
    }
}

/// Sets every header that has a name, to nothing.
pub fn set_empty(names: &Settings, headers: &mut HeaderMap) {
    for name in [&names.user, &names.id, &names.roles, &names.email]
        .into_iter()
        .flatten()
    {
        headers.insert(name.clone(), HeaderValue::from_static(""));
    }
}

/// The text as a field value (RFC 9110 section 5.5), in UTF-8, if a recipient gets exactly it.
fn exactly(text: &str, what: &'static str) -> Result<HeaderValue, NotRepresentable> {
    let trimmed = text.trim_matches([' ', '\t']) != text;
    let control = text.bytes().any(|byte| byte < 0x20 || byte == 0x7f);
    if trimmed || control {
        return Err(NotRepresentable(what));
    }
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| NotRepresentable(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{CredentialKind, Issuer, Roles};

    fn person(name: &str, roles: &[&str]) -> Person {
        Person {
            issuer: Issuer::Local,
            subject: "7".into(),
            user: None,
            name: name.into(),
            roles: roles.iter().copied().collect::<Roles>(),
            email: None,
            session: None,
            token_id: None,
            issued_at: 0,
            expires_at: 0,
            credential: CredentialKind::Bearer,
            limit: None,
            subject_prefix: 0,
        }
    }

    #[test]
    fn names_are_sent_exactly_or_not_at_all() {
        let mut headers = HeaderMap::new();
        Values::of(&person("Zoë", &["user", "admin"]))
            .unwrap()
            .set(&Settings::default(), &mut headers);
        assert_eq!(headers["x-user"].as_bytes(), "Zoë".as_bytes());
        assert_eq!(headers["x-user-id"], "7");
        assert_eq!(headers["x-user-roles"], "user,admin");
        assert!(!headers.contains_key("x-user-email"));
        for name in ["", " alice", "alice\t", "ali\r\nce", "a\0", "a\u{7f}"] {
            assert_eq!(
                Values::of(&person(name, &[])),
                Err(NotRepresentable("name")),
                "{name:?}"
            );
        }
        assert_eq!(Values::of(&person("a", &["x,admin"])), Err(NotRepresentable("roles")));
    }

    #[test]
    fn what_is_there_is_filled_by_its_name_and_nothing_is_added() {
        let names = Settings {
            id: None,
            ..Settings::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-user-id", HeaderValue::from_static("another's"));
        set_empty(&names, &mut headers);
        Values::of(&person("alice", &["user", "admin"]))
            .unwrap()
            .fill(&names, &mut headers);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let mut found: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), text(value)))
            .collect();
        found.sort();
        let expected = [
            ("x-user", "alice"),
            ("x-user-email", ""),
            ("x-user-id", "another's"),
            ("x-user-roles", "user,admin"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())));
    }
}
