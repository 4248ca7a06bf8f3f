//! What people see to themselves: their sessions, their password, tickets, and API keys for their machines.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use serde::Deserialize;
use serde_json::json;

use crate::account::WantedKey;
use crate::answer::{self, Answer};
use crate::authn::Proof;
use crate::principal::SessionId;
use crate::problem::Problem;
use crate::secret::Secret;

use super::account::{HASHING, STORE, bounded, no_content};
use super::body::{self, Form, secret};
use super::views::{KeyView, MadeKeyView, SessionView};
use super::{Asked, Services, nothing_here, person, refusal};

#[derive(Deserialize)]
struct PasswordForm {
    #[serde(deserialize_with = "secret")]
    current: Secret<String>,
    #[serde(deserialize_with = "secret")]
    new: Secret<String>,
}

impl Form for PasswordForm {
    const EXPECTED: &'static str = r#"Send {"current": "…", "new": "…"}."#;
}

/// What an API key is made of, here and for administrators.
#[derive(Deserialize)]
pub(super) struct KeyForm {
    name: String,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    expires_in: Option<i64>,
}

impl Form for KeyForm {
    const EXPECTED: &'static str =
        r#"Send {"name": "…"} and, if you like, "roles" (a list) and "expires_in" (seconds)."#;
}

impl From<KeyForm> for WantedKey {
    fn from(form: KeyForm) -> Self {
        Self {
            name: form.name,
            roles: form.roles,
            expires_in: form.expires_in,
        }
    }
}

/// `GET /api/sessions`
pub(super) async fn sessions(proof: Option<&Arc<Proof>>, services: &Services) -> Result<Answer, Problem> {
    let person = Arc::clone(person(proof)?);
    let (accounts, current) = (Arc::clone(&services.accounts), person.session);
    let sessions = services
        .ask(STORE, async move { accounts.sessions(&person).await })
        .await?;
    let sessions: Vec<_> = sessions
        .iter()
        .map(|session| SessionView::own(session, current))
        .collect();
    Ok(answer::json(StatusCode::OK, &json!({ "sessions": sessions })))
}

/// `DELETE /api/sessions/{id}`
pub(super) async fn end_session<B>(
    proof: Option<&Arc<Proof>>,
    id: &str,
    asked: Asked<B>,
    services: &Services,
) -> Result<Answer, Problem> {
    let person = Arc::clone(person(proof)?);
    // What cannot be the name of a session is the name of none.
    let id: SessionId = id.parse().map_err(|_| nothing_here("There is no such session."))?;
    let is_own = person.session == Some(id);
    let (accounts, caller) = (Arc::clone(&services.accounts), asked.caller());
    let job = async move { accounts.end_own_session(&person, id, &caller).await };
    services.ask(STORE, job).await?;
    let mut answer = no_content();
    if is_own {
        services.clear_cookie(proof, &mut answer);
    }
    Ok(answer)
}

/// `POST /api/password`
pub(super) async fn password<B>(
    proof: Option<&Arc<Proof>>,
    asked: Asked<B>,
    services: &Services,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let (person, caller) = (Arc::clone(person(proof)?), asked.caller());
    let form: PasswordForm = body::read_json(&asked.parts.headers, asked.body, asked.body_within).await?;
    bounded(&form.current)?;
    bounded(&form.new)?;
    let accounts = Arc::clone(&services.accounts);
    let job = async move { accounts.change_password(&person, form.current, form.new, &caller).await };
    let changed = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    changed.map(|()| no_content()).map_err(Problem::from)
}

/// `POST /api/ticket`
pub(super) async fn ticket<B>(
    proof: Option<&Arc<Proof>>,
    asked: Asked<B>,
    services: &Services,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let person = Arc::clone(person(proof)?);
    // Clients send `{}` or nothing; that it is read keeps the connection.
    body::read(&asked.parts.headers, asked.body, asked.body_within).await?;
    let accounts = Arc::clone(&services.accounts);
    let ticket = services
        .ask(STORE, async move { accounts.ticket(&person).await })
        .await?;
    Ok(answer::json(StatusCode::OK, &json!({ "ticket": ticket.expose() })))
}

/// `GET /api/keys`
pub(super) async fn keys(proof: Option<&Arc<Proof>>, services: &Services) -> Result<Answer, Problem> {
    let (person, accounts) = (Arc::clone(person(proof)?), Arc::clone(&services.accounts));
    let keys = services.ask(STORE, async move { accounts.keys(&person).await }).await?;
    let keys: Vec<_> = keys.iter().map(KeyView::of).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "keys": keys })))
}

/// `POST /api/keys`
pub(super) async fn make_key<B>(
    proof: Option<&Arc<Proof>>,
    asked: Asked<B>,
    services: &Services,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let (person, caller) = (Arc::clone(person(proof)?), asked.caller());
    let form: KeyForm = body::read_json(&asked.parts.headers, asked.body, asked.body_within).await?;
    let accounts = Arc::clone(&services.accounts);
    let job = async move { accounts.make_key(&person, form.into(), &caller).await };
    let made = services.ask(STORE, job).await?;
    Ok(answer::json(StatusCode::CREATED, &MadeKeyView::of(&made)))
}

/// `DELETE /api/keys/{id}`
pub(super) async fn revoke_key<B>(
    proof: Option<&Arc<Proof>>,
    id: &str,
    asked: Asked<B>,
    services: &Services,
) -> Result<Answer, Problem> {
    let (person, caller) = (Arc::clone(person(proof)?), asked.caller());
    let (accounts, key) = (Arc::clone(&services.accounts), id.to_owned());
    let job = async move { accounts.revoke_key(&person, &key, &caller).await };
    services.ask(STORE, job).await?;
    services.resolver.forget_api_key(id);
    Ok(no_content())
}
