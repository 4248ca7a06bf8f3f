//! The account endpoints: what each reads, whom it asks, what it answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use http_body::Body;
use serde::{Deserialize, Serialize};

use crate::account::{Error, Profile, Registrant, Registration, Tokens};
use crate::admission::Unfit;
use crate::answer::{self, Answer};
use crate::authn::{self, Proof, Shown};
use crate::codes::Code;
use crate::headers::Authorization;
use crate::password::{self, MAX_PASSWORD_CHARACTERS};
use crate::principal::{Issuer, Person};
use crate::problem::{Challenge, Problem};
use crate::secret::Secret;
use crate::token::praetorian::Fault;

use super::body::{self, Form, secret};
use super::{Asked, Services, mail, person, refusal};

/// How long the office has for what asks the store alone. The store's own deadlines come first.
pub(super) const STORE: Duration = Duration::from_secs(5);
/// How long it has where a password waits for its turn: the whole queue, on a slow machine.
pub(super) const HASHING: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct LoginForm {
    username: String,
    #[serde(deserialize_with = "secret")]
    password: Secret<String>,
}

impl Form for LoginForm {
    const EXPECTED: &'static str = r#"Send {"username": "…", "password": "…"}."#;
}

#[derive(Deserialize)]
struct RefreshForm {
    #[serde(deserialize_with = "secret")]
    refresh_token: Secret<String>,
}

impl Form for RefreshForm {
    const EXPECTED: &'static str = r#"Send {"refresh_token": "…"}."#;
}

#[derive(Deserialize)]
struct RegistrationForm {
    username: String,
    #[serde(deserialize_with = "secret")]
    password: Secret<String>,
    #[serde(default)]
    email: Option<String>,
}

impl Form for RegistrationForm {
    const EXPECTED: &'static str = r#"Send {"username": "…", "password": "…"} and, if you like, "email"."#;
}

/// RFC 6749 section 5.1, and when the refresh token ends.
#[derive(Serialize)]
struct TokenAnswer<'a> {
    /// The name, where the client cannot know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_expires_in: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct Message {
    pub(super) message: String,
}

/// `POST /api/login`
pub(super) async fn login<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let caller = asked.caller();
    let form: LoginForm = body::read_json(&asked.parts.headers, asked.body, asked.body_within).await?;
    bounded(&form.password)?;
    let accounts = Arc::clone(&services.accounts);
    let job = async move { accounts.login(&form.username, form.password, caller).await };
    let tokens = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    tokens.map(token_answer).map_err(Problem::from)
}

/// `POST /api/refresh`: a refresh token in its form, or a token of the praetorian format as it is.
pub(super) async fn refresh<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let caller = asked.caller();
    let sent = body::read(&asked.parts.headers, asked.body, asked.body_within).await?;
    let accounts = Arc::clone(&services.accounts);
    if accounts.is_praetorian(sent.expose()) {
        let job = async move { accounts.refresh_praetorian(sent.expose(), caller).await };
        let tokens = services.office.call(STORE, job).await.map_err(refusal::late_store)?;
        return tokens.map(token_answer).map_err(not_refreshed);
    }
    let form: RefreshForm = body::parse(sent.expose())?;
    let job = async move { accounts.refresh(&form.refresh_token, caller.address).await };
    let tokens = services.office.call(STORE, job).await.map_err(refusal::late_store)?;
    tokens.map(token_answer).map_err(Problem::from)
}

/// Why a token of the praetorian format was not refreshed: it is a grant here (RFC 6749 section 5.2).
fn not_refreshed(error: Error) -> Problem {
    match error {
        Error::Praetorian(Fault::Inactive) => Error::Inactive.into(),
        Error::Praetorian(fault) => Problem::new(Code::InvalidGrant, fault.text()).challenged(Challenge::Bearer),
        error => error.into(),
    }
}

/// `POST /api/registration`
pub(super) async fn register<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let caller = asked.caller();
    let form: RegistrationForm = body::read_json(&asked.parts.headers, asked.body, asked.body_within).await?;
    let registrant = Registrant {
        username: form.username,
        password: form.password,
        email: form.email,
    };
    let accounts = Arc::clone(&services.accounts);
    if accounts.registration() == Registration::VerifyEmail {
        mail::enrol(registrant, caller, services).await?;
        let message = mail::ENROLLED.to_owned();
        return Ok(answer::json(StatusCode::CREATED, &Message { message }));
    }
    let job = async move { accounts.register(registrant, caller).await };
    let tokens = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    tokens.map(token_answer).map_err(Problem::from)
}

/// `GET /api/protected`
pub(super) fn protected(proof: Option<&Arc<Proof>>) -> Result<Answer, Problem> {
    let message = format!("protected endpoint (allowed usr {})", local(proof)?.name);
    Ok(answer::json(StatusCode::OK, &Message { message }))
}

/// `GET /api/me`
pub(super) fn me(proof: Option<&Arc<Proof>>) -> Result<Answer, Problem> {
    Ok(answer::json(StatusCode::OK, &Profile::of(local(proof)?)))
}

/// `POST /api/logout`
pub(super) async fn logout<B>(
    proof: Option<&Arc<Proof>>,
    asked: Asked<B>,
    services: &Services,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let person = Arc::clone(local(proof)?);
    let token = bearer(&asked.parts.headers);
    // Clients send `{}` or nothing; what it is does not matter, that it is read keeps the connection.
    body::read(&asked.parts.headers, asked.body, asked.body_within).await?;
    let accounts = Arc::clone(&services.accounts);
    let job = async move {
        let token = token.as_ref().map(|token| token.expose().as_bytes());
        accounts.logout_showing(&person, token, asked.client).await
    };
    services
        .office
        .call(STORE, job)
        .await
        .map_err(refusal::late_store)?
        .map_err(Problem::from)?;
    let mut answer = no_content();
    services.clear_cookie(proof, &mut answer);
    Ok(answer)
}

/// The bearer token, in the form of either dialect. That it is good was asked before.
fn bearer(headers: &HeaderMap) -> Option<Secret<String>> {
    let authorization = Authorization::One(headers.get(header::AUTHORIZATION)?.clone());
    match (authn::shown_to_flask(&authorization), authn::shown(&authorization)) {
        (Shown::Bearer(token), _) | (_, Shown::Bearer(token)) => Some(Secret::new(token.to_owned())),
        (_, _) => None,
    }
}

/// Done, and nothing to say.
pub(super) fn no_content() -> Answer {
    let mut answer = answer::empty(StatusCode::NO_CONTENT);
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Whether anybody will look at this password: a longer one is nobody's, and work.
pub(super) fn bounded(password: &Secret<String>) -> Result<(), Problem> {
    match password::is_bounded(password.expose()) {
        true => Ok(()),
        false => Err(Problem::new(
            Code::InvalidRequest,
            format!("A password has at most {MAX_PASSWORD_CHARACTERS} characters."),
        )),
    }
}

/// The person, if they are one of ours: another issuer's `alice` is not ours, whatever that issuer's tokens give elsewhere.
fn local(proof: Option<&Arc<Proof>>) -> Result<&Arc<Person>, Problem> {
    let person = person(proof)?;
    match (&person.issuer, person.user) {
        (Issuer::Local, Some(_)) => Ok(person),
        (Issuer::Local, None) | (Issuer::External(_), _) => Err(Problem::from(Unfit::Stranger)),
    }
}

fn token_answer(tokens: Tokens) -> Answer {
    named_token_answer(&tokens, None)
}

/// The same, with the name of whoever it is about.
pub(super) fn named_token_answer(tokens: &Tokens, user: Option<&str>) -> Answer {
    answer::json(
        StatusCode::OK,
        &TokenAnswer {
            user,
            access_token: tokens.access_token.expose(),
            token_type: "Bearer",
            expires_in: tokens.expires_in,
            refresh_token: tokens.refresh_token.as_ref().map(|token| token.expose().as_str()),
            refresh_expires_in: tokens.refresh_expires_in,
        },
    )
}
