//! `/api/admin/…`: accounts, their sessions and their keys, for administrators. The rule of the row lets nobody else in.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use http_body::Body;
use serde::Deserialize;
use serde_json::json;

use crate::account::{AccountChange, Administration, Error, NewAccount, Which};
use crate::answer::{self, Answer};
use crate::authn::Proof;
use crate::codes::Code;
use crate::principal::{CredentialKind, Person, SessionId, UserId};
use crate::problem::Problem;
use crate::secret::Secret;

use super::account::{HASHING, STORE, bounded, no_content};
use super::body::{self, Fields, Form, optional_secret, present, secret};
use super::own::KeyForm;
use super::views::{AccountView, KeyView, MadeKeyView, SessionView};
use super::{Asked, Services, nothing_here, person, refusal};

/// Rows in an answer, where the request does not say.
const PAGE: u32 = 100;
/// Rows in an answer at most: a table of a million users is read in pages.
const PAGE_AT_MOST: u32 = 1000;

#[derive(Deserialize)]
struct NewUserForm {
    username: String,
    #[serde(deserialize_with = "secret")]
    password: Secret<String>,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    active: Option<bool>,
}

impl Form for NewUserForm {
    const EXPECTED: &'static str =
        r#"Send {"username": "…", "password": "…"} and, if you like, "roles" (a list), "email", "active"."#;
}

#[derive(Deserialize)]
struct ChangeForm {
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    active: Option<bool>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "present")]
    email: Option<Option<String>>,
    #[serde(default, deserialize_with = "optional_secret")]
    password: Option<Secret<String>>,
}

impl Form for ChangeForm {
    const EXPECTED: &'static str = r#"Send what is to be changed: "roles" (a list), "active", "email", "password"."#;
}

/// What is below `/api/admin/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    Users,
    User(UserId),
    UserSessions(UserId),
    UserKeys(UserId),
    UserKey(UserId, &'a str),
    Sessions,
    Session(&'a str),
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Option<Self> {
        // In its one spelling: 07 and +7 are nobody.
        let user = |text: &str| {
            let id = text.parse::<i64>().ok()?;
            (id.to_string() == text).then_some(UserId(id))
        };
        let mut parts = path.split('/');
        let first = parts.next()?;
        let rest = [parts.next(), parts.next(), parts.next()];
        match (first, rest, parts.next()) {
            ("users", [None, ..], _) => Some(Self::Users),
            ("users", [Some(id), None, _], _) => Some(Self::User(user(id)?)),
            ("users", [Some(id), Some("sessions"), None], _) => Some(Self::UserSessions(user(id)?)),
            ("users", [Some(id), Some("keys"), None], _) => Some(Self::UserKeys(user(id)?)),
            ("users", [Some(id), Some("keys"), Some(key)], None) => Some(Self::UserKey(user(id)?, key)),
            ("sessions", [None, ..], _) => Some(Self::Sessions),
            ("sessions", [Some(id), None, _], _) => Some(Self::Session(id)),
            _ => None,
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Users | Self::UserKeys(_) => "GET, HEAD, POST",
            Self::User(_) => "GET, HEAD, PATCH, DELETE",
            Self::UserSessions(_) => "GET, HEAD, DELETE",
            Self::Sessions => "GET, HEAD",
            Self::UserKey(..) | Self::Session(_) => "DELETE",
        }
    }
}

/// Everything there is below `/api/admin/`; `path`: what follows that.
pub(super) async fn serve<B>(
    proof: Option<&Arc<Proof>>,
    path: &str,
    asked: Asked<B>,
    services: &Services,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let by = Arc::clone(person(proof)?);
    in_person(&by)?;
    let place = Place::of(path).ok_or_else(|| nothing_here("Nothing is served at this address."))?;
    let method = match asked.parts.method {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    let admin = Admin { by, services };
    match (place, method) {
        (Place::Users, Method::GET) => admin.users(&asked).await,
        (Place::Users, Method::POST) => admin.add(asked).await,
        (Place::User(id), Method::GET) => admin.user(id, &asked).await,
        (Place::User(id), Method::PATCH) => admin.change(id, asked).await,
        (Place::User(id), Method::DELETE) => admin.delete(id, &asked).await,
        (Place::UserSessions(id), Method::GET) => admin.sessions_of(id, &asked).await,
        (Place::UserSessions(id), Method::DELETE) => admin.end_sessions(id, &asked).await,
        (Place::UserKeys(id), Method::GET) => admin.keys(id).await,
        (Place::UserKeys(id), Method::POST) => admin.make_key(id, asked).await,
        (Place::UserKey(id, key), Method::DELETE) => admin.revoke_key(id, key, &asked).await,
        (Place::Sessions, Method::GET) => admin.sessions(&asked).await,
        (Place::Session(id), Method::DELETE) => admin.end_session(id, &asked).await,
        (place, _) => {
            let text = "This address does not know the method; see Allow.";
            let mut problem = Problem::new(Code::MethodNotAllowed, text);
            problem.allow = Some(place.allow().into());
            Err(problem)
        }
    }
}

/// A ticket has the roles of whoever fetched it, and stood in a URL: it must not be enough to administer.
fn in_person(by: &Person) -> Result<(), Problem> {
    match by.credential {
        CredentialKind::Bearer | CredentialKind::Session => Ok(()),
        CredentialKind::ExternalBearer | CredentialKind::ApiKey | CredentialKind::Ticket => {
            Err(Problem::from(Error::CredentialNotAllowed))
        }
    }
}

/// An administrator at work.
struct Admin<'s> {
    by: Arc<Person>,
    services: &'s Services,
}

impl Admin<'_> {
    async fn users<B>(&self, asked: &Asked<B>) -> Result<Answer, Problem> {
        let fields = Fields::of_query(asked.parts.uri.query());
        let limit = limit(&fields)?;
        let after = number(&fields, "after")?.map(UserId);
        let desk = self.desk(asked);
        let users = self
            .services
            .ask(STORE, async move { desk.page(after, limit).await })
            .await?;
        let views: Vec<_> = users.iter().map(AccountView::of).collect();
        // A full page may be the last one: then the next is empty.
        let next = users.last().filter(|_| is_full(users.len(), limit)).map(|user| user.id);
        Ok(answer::json(StatusCode::OK, &json!({ "users": views, "next": next })))
    }

    async fn add<B>(&self, asked: Asked<B>) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        let (desk, path) = (self.desk(&asked), asked.parts.uri.path().to_owned());
        let form: NewUserForm = body::read_json(&asked.parts.headers, asked.body, asked.body_within).await?;
        bounded(&form.password)?;
        let roles = form
            .roles
            .unwrap_or_else(|| self.services.accounts.default_roles().to_vec());
        let new = NewAccount {
            username: form.username,
            password: form.password,
            roles,
            email: form.email,
            active: form.active.unwrap_or(true),
        };
        let added = self
            .services
            .office
            .call(HASHING, async move { desk.add(new).await })
            .await;
        let (account, _) = added.map_err(refusal::late_hash)?.map_err(Problem::from)?;
        let mut answer = answer::json(StatusCode::CREATED, &AccountView::of(&account));
        if let Ok(location) = HeaderValue::try_from(format!("{path}/{}", account.id)) {
            answer.headers_mut().insert(header::LOCATION, location);
        }
        Ok(answer)
    }

    async fn user<B>(&self, id: UserId, asked: &Asked<B>) -> Result<Answer, Problem> {
        let desk = self.desk(asked);
        let account = self
            .services
            .ask(STORE, async move { desk.show(Which::Id(id)).await })
            .await?;
        Ok(answer::json(StatusCode::OK, &AccountView::of(&account)))
    }

    async fn change<B>(&self, id: UserId, asked: Asked<B>) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        let desk = self.desk(&asked);
        let form: ChangeForm = body::read_json(&asked.parts.headers, asked.body, asked.body_within).await?;
        form.password.as_ref().map_or(Ok(()), bounded)?;
        let change = AccountChange {
            roles: form.roles,
            active: form.active,
            email: form.email,
            password: form.password,
        };
        let job = async move { desk.change_account(Which::Id(id), change).await };
        let changed = self.services.office.call(HASHING, job).await;
        let account = changed.map_err(refusal::late_hash)?.map_err(Problem::from)?;
        Ok(answer::json(StatusCode::OK, &AccountView::of(&account)))
    }

    async fn delete<B>(&self, id: UserId, asked: &Asked<B>) -> Result<Answer, Problem> {
        let desk = self.desk(asked);
        self.services
            .ask(STORE, async move { desk.delete(Which::Id(id)).await })
            .await?;
        Ok(no_content())
    }

    async fn sessions_of<B>(&self, id: UserId, asked: &Asked<B>) -> Result<Answer, Problem> {
        let desk = self.desk(asked);
        let job = async move { desk.sessions_of(Which::Id(id)).await };
        let sessions = self.services.ask(STORE, job).await?;
        let views: Vec<_> = sessions.iter().map(SessionView::of).collect();
        Ok(answer::json(
            StatusCode::OK,
            &json!({ "sessions": views, "next": null }),
        ))
    }

    async fn end_sessions<B>(&self, id: UserId, asked: &Asked<B>) -> Result<Answer, Problem> {
        let desk = self.desk(asked);
        let job = async move { desk.end_sessions(Which::Id(id)).await };
        self.services.ask(STORE, job).await?;
        Ok(no_content())
    }

    async fn sessions<B>(&self, asked: &Asked<B>) -> Result<Answer, Problem> {
        let fields = Fields::of_query(asked.parts.uri.query());
        if let Some(user) = number(&fields, "user")? {
            return self.sessions_of(UserId(user), asked).await;
        }
        let limit = limit(&fields)?;
        let after = fields.one("after")?.map(str::parse::<SessionId>).transpose();
        let after = after.map_err(|why| Problem::new(Code::InvalidRequest, format!("`after`: {why}.")))?;
        let desk = self.desk(asked);
        let job = async move { desk.sessions(after, limit).await };
        let sessions = self.services.ask(STORE, job).await?;
        let views: Vec<_> = sessions.iter().map(SessionView::of).collect();
        let next = sessions
            .last()
            .filter(|_| is_full(sessions.len(), limit))
            .map(|session| session.id.to_string());
        Ok(answer::json(
            StatusCode::OK,
            &json!({ "sessions": views, "next": next }),
        ))
    }

    async fn end_session<B>(&self, id: &str, asked: &Asked<B>) -> Result<Answer, Problem> {
        let id: SessionId = id.parse().map_err(|_| nothing_here("There is no such session."))?;
        let desk = self.desk(asked);
        self.services
            .ask(STORE, async move { desk.end_session(id).await })
            .await?;
        Ok(no_content())
    }

    async fn keys(&self, id: UserId) -> Result<Answer, Problem> {
        let accounts = Arc::clone(&self.services.accounts);
        let keys = self
            .services
            .ask(STORE, async move { accounts.keys_for(id).await })
            .await?;
        let views: Vec<_> = keys.iter().map(KeyView::of).collect();
        Ok(answer::json(StatusCode::OK, &json!({ "keys": views })))
    }

    async fn make_key<B>(&self, id: UserId, asked: Asked<B>) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        let (desk, accounts) = (self.desk(&asked), Arc::clone(&self.services.accounts));
        let form: KeyForm = body::read_json(&asked.parts.headers, asked.body, asked.body_within).await?;
        let job = async move { accounts.hand_out_key(&desk, id, form.into()).await };
        let made = self.services.ask(STORE, job).await?;
        Ok(answer::json(StatusCode::CREATED, &MadeKeyView::of(&made)))
    }

    async fn revoke_key<B>(&self, id: UserId, key: &str, asked: &Asked<B>) -> Result<Answer, Problem> {
        let (desk, accounts, name) = (self.desk(asked), Arc::clone(&self.services.accounts), key.to_owned());
        let job = async move { accounts.take_key(&desk, id, &name).await };
        self.services.ask(STORE, job).await?;
        self.services.resolver.forget_api_key(key);
        Ok(no_content())
    }

    fn desk<B>(&self, asked: &Asked<B>) -> Administration {
        self.services.accounts.desk(Arc::clone(&self.by), asked.client)
    }
}

fn is_full(rows: usize, limit: u32) -> bool {
    u32::try_from(rows).is_ok_and(|rows| rows >= limit)
}

fn limit(fields: &Fields) -> Result<u32, Problem> {
    let wanted = number(fields, "limit")?;
    let limit = wanted.map_or(Some(PAGE), |wanted| u32::try_from(wanted).ok());
    limit.filter(|limit| (1..=PAGE_AT_MOST).contains(limit)).ok_or_else(|| {
        let text = format!("`limit` is a number from 1 to {PAGE_AT_MOST}.");
        Problem::new(Code::InvalidRequest, text)
    })
}

fn number(fields: &Fields, name: &'static str) -> Result<Option<i64>, Problem> {
    let number = fields.one(name)?.map(str::parse::<i64>).transpose();
    number.map_err(|_| Problem::new(Code::InvalidRequest, format!("`{name}` is a number.")))
}
