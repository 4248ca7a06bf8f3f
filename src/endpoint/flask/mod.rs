//! The account endpoints in the dialect of the Flask server that the gateway can stand in for (`compat.flask_praetorian`):
//! its bodies, its statuses, its words, in place of those of [`super::account`].
//!
//! Where that server answers 500, this says what is wrong: 400 for input that nobody can use, 401 for credentials that open
//! nothing.

mod input;
pub(super) mod mail;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use serde::Serialize;

use super::account::{HASHING, STORE, bounded};
use super::{Asked, Services, body, refusal};
use crate::account::{Accounts, Error, Registrant, Registration, Tokens};
use crate::answer::{self, Answer};
use crate::codes::Code;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::token::praetorian::Fault;

use input::{Input, Member};

/// All that a login and a refresh answer.
#[derive(Serialize)]
struct AccessToken<'a> {
    access_token: &'a str,
}

/// A name and a password, as a login shows them.
struct Credentials {
    username: String,
    password: Secret<String>,
}

/// `POST /api/login`
pub(super) async fn login<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let caller = asked.caller();
    let input = input::read(&asked.parts.headers, asked.body, asked.body_within).await?;
    let Some(credentials) = credentials(input)? else {
        return failed(Error::InvalidCredentials.into(), services);
    };
    let accounts = Arc::clone(&services.accounts);
    let job = async move {
        accounts
            .login(&credentials.username, credentials.password, caller)
            .await
    };
    let tokens = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    match tokens {
        Ok(tokens) => Ok(token_answer(&tokens)),
        Err(error) => failed(error.into(), services),
    }
}

/// `POST /api/refresh`: the body is the token as it is. Who came here from this gateway's own form sends its refresh token, and
/// goes on so.
pub(super) async fn refresh<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let caller = asked.caller();
    let sent = body::read(&asked.parts.headers, asked.body, asked.body_within).await?;
    let input = input::parse(sent.expose()).unwrap_or_default();
    let accounts = Arc::clone(&services.accounts);
    let job = async move {
        match input.refresh_token {
            Member::Text(token) if Accounts::is_refresh_token(&token) => accounts.refresh(&token, asked.client).await,
            // Whatever it is, it is judged as a token.
            Member::Text(_) | Member::Missing | Member::Other => {
                accounts.refresh_praetorian(sent.expose(), caller).await
            }
        }
    };
    let tokens = services.office.call(STORE, job).await.map_err(refusal::late_store)?;
    Ok(token_answer(&tokens.map_err(Problem::from)?))
}

/// `POST /api/registration` where everybody may register: whoever shows the name and the password of an account that there
/// is logs in.
pub(super) async fn register<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    if services.accounts.registration() == Registration::VerifyEmail {
        return mail::register(asked, services).await;
    }
    let caller = asked.caller();
    let input = input::read(&asked.parts.headers, asked.body, asked.body_within).await?;
    let registrant = Registrant {
        username: usable(needed("username", input.username)?)?,
        password: needed_password(input.password)?,
        // That server ignores it; it is of use where its table has come to want one.
        email: match input.email {
            Member::Text(email) => Some(email.expose().clone()),
            Member::Missing | Member::Other => None,
        },
    };
    let accounts = Arc::clone(&services.accounts);
    let job = async move { accounts.register_or_login(registrant, caller).await };
    let tokens = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    tokens.map(|tokens| token_answer(&tokens)).map_err(new_account)
}

/// What a login shows; `None`: nothing that could open anything. A name and what is no password are told apart from nothing
/// that the table holds, so nobody learns by it who is in there.
fn credentials(input: Input) -> Result<Option<Credentials>, Problem> {
    let username = match input.username {
        Member::Missing => return Ok(None),
        Member::Text(text) => usable(text)?,
        Member::Other => return Err(refuse("`username` is not a text.")),
    };
    let Member::Text(password) = input.password else {
        return Ok(None);
    };
    bounded(&password)?;
    Ok(Some(Credentials { username, password }))
}

/// A name that a table can hold: no text of PostgreSQL's holds NUL.
fn usable(name: Secret<String>) -> Result<String, Problem> {
    match name.expose().contains('\0') {
        true => Err(refuse("`username` holds a NUL character.")),
        false => Ok(name.expose().clone()),
    }
}

fn needed(name: &'static str, member: Member) -> Result<Secret<String>, Problem> {
    match member {
        Member::Text(text) => Ok(text),
        Member::Missing => Err(refuse(format!("`{name}` is missing."))),
        Member::Other => Err(refuse(format!("`{name}` is not a text."))),
    }
}

fn needed_password(member: Member) -> Result<Secret<String>, Problem> {
    let password = needed("password", member)?;
    bounded(&password)?;
    Ok(password)
}

/// A name that is too much like another's is none that this server can have; there it would have been another.
fn new_account(error: Error) -> Problem {
    let taken = matches!(error, Error::NameTaken);
    let problem = Problem::from(error);
    match taken {
        true => {
            let text = problem.detail.clone();
            problem.in_flask(StatusCode::BAD_REQUEST, "InvalidUsername", text)
        }
        false => problem,
    }
}

/// A login that failed. The later revision of that server says so by an empty token.
fn failed(problem: Problem, services: &Services) -> Result<Answer, Problem> {
    match problem.code == Code::InvalidCredentials && services.accounts.registration() == Registration::VerifyEmail {
        true => Ok(answer::json(
            StatusCode::UNAUTHORIZED,
            &AccessToken { access_token: "" },
        )),
        false => Err(problem),
    }
}

fn token_answer(tokens: &Tokens) -> Answer {
    let access_token = tokens.access_token.expose();
    answer::json(StatusCode::OK, &AccessToken { access_token })
}

/// A credential that is no good, in the library's words.
fn praetorian(fault: Fault) -> Problem {
    Error::Praetorian(fault).into()
}

/// Input that nobody can use.
fn refuse(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}
