//! What goes by mail: confirming an address, asking for a new password, setting it. Strangers are told the same whatever is
//! known of a name or an address.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{HeaderValue, StatusCode};
use http_body::Body;
use serde::Deserialize;

use crate::account::{Caller, Enrolment, Error, Registrant, ResetRequest, Shown};
use crate::answer::{self, Answer};
use crate::codes::Code;
use crate::problem::{Challenge, Problem};
use crate::secret::Secret;

use super::account::{HASHING, Message, STORE, bounded, named_token_answer};
use super::body::{self, Form, optional_secret, secret};
use super::{Asked, Services, refusal};

/// What everybody is told who registers.
pub(super) const ENROLLED: &str = "A mail is under way to this address. Follow the link in it to finish.";
/// What everybody is told who asks for a new password.
pub(super) const RESET_SENT: &str =
    "If there is an account with this address, a mail is under way to it. The link in it leads to a new password.";

/// The longest code anybody looks at: a signed token is longer than ours.
const LONGEST_CODE: usize = 4096;

#[derive(Deserialize)]
struct ResetForm {
    email: String,
}

impl Form for ResetForm {
    const EXPECTED: &'static str = r#"Send {"email": "…"}."#;
}

#[derive(Deserialize)]
struct NewPasswordForm {
    #[serde(default, deserialize_with = "optional_secret")]
    token: Option<Secret<String>>,
    #[serde(deserialize_with = "secret")]
    password: Secret<String>,
}

impl Form for NewPasswordForm {
    const EXPECTED: &'static str = r#"Send {"password": "…"}, and the code from the mail as Bearer or as "token"."#;
}

/// Makes an account that waits for its confirmation. What came of it is told by mail and to nobody else.
pub(super) async fn enrol(registrant: Registrant, caller: Caller, services: &Services) -> Result<(), Problem> {
    let accounts = Arc::clone(&services.accounts);
    let job = async move { accounts.enrol(registrant, &caller).await };
    match services.office.call(HASHING, job).await.map_err(refusal::late_hash)?? {
        Enrolment::Sent(_) | Enrolment::NameTaken | Enrolment::EmailTaken | Enrolment::Limited => Ok(()),
    }
}

/// Asks for a new password by mail, for whoever has this address.
pub(super) async fn ask_reset(address: String, caller: Caller, services: &Services) -> Result<(), Problem> {
    let accounts = Arc::clone(&services.accounts);
    let job = async move { accounts.request_reset(&address, &caller).await };
    match services.ask(STORE, job).await? {
        ResetRequest::Sent | ResetRequest::Unknown | ResetRequest::NotActive | ResetRequest::Limited => Ok(()),
    }
}

/// `GET /api/finalize`. The code is shown as Bearer and nowhere else: what follows links in mails must not use it up.
pub(super) async fn finalize<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem> {
    served(services)?;
    let code = bearer(&asked.parts.headers)?.ok_or_else(no_code)?;
    let (accounts, caller) = (Arc::clone(&services.accounts), asked.caller());
    let job = async move {
        let user = accounts.confirm(Shown::Code(code), &caller).await?;
        let tokens = accounts.log_in_confirmed(&user, &caller).await?;
        Ok((user, tokens))
    };
    let (user, tokens) = services.ask(STORE, job).await?;
    Ok(named_token_answer(&tokens, Some(&user.username)))
}

/// `POST /api/reset`
pub(super) async fn reset<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    served(services)?;
    let caller = asked.caller();
    let form: ResetForm = body::read_json(&asked.parts.headers, asked.body, asked.body_within).await?;
    ask_reset(form.email, caller, services).await?;
    let message = RESET_SENT.to_owned();
    Ok(answer::json(StatusCode::OK, &Message { message }))
}

/// `POST /api/reset_finalize`
pub(super) async fn reset_finalize<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    served(services)?;
    let (caller, shown) = (asked.caller(), bearer(&asked.parts.headers));
    let form: NewPasswordForm = body::read_json(&asked.parts.headers, asked.body, asked.body_within).await?;
    bounded(&form.password)?;
    let code = shown?.or(form.token).ok_or_else(no_code)?;
    let accounts = Arc::clone(&services.accounts);
    let job = async move {
        let user = accounts
            .reset_password(Shown::Code(code), form.password, &caller)
            .await?;
        let tokens = accounts.log_in_confirmed(&user, &caller).await?;
        Ok((user, tokens))
    };
    let done = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    let (user, tokens) = done.map_err(|error: Error| Problem::from(error))?;
    Ok(named_token_answer(&tokens, Some(&user.username)))
}

/// Where no mail is sent, there is nothing of all this, whatever is sent here.
pub(super) fn served(services: &Services) -> Result<(), Problem> {
    match services.accounts.sends_mail() {
        true => Ok(()),
        false => Err(Error::NoMail.into()),
    }
}

/// The code of an Authorization field (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<Secret<String>>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => bearer_of(value).map(Some).ok_or_else(no_code),
        (Some(_), Some(_)) => Err(Problem::new(
            Code::InvalidRequest,
            "There are two Authorization fields.",
        )),
    }
}

fn bearer_of(value: &HeaderValue) -> Option<Secret<String>> {
    let (scheme, code) = value.to_str().ok()?.split_once(' ')?;
    let good = scheme.eq_ignore_ascii_case("Bearer") && code.len() <= LONGEST_CODE;
    Some(code.trim())
        .filter(|code| good && !code.is_empty())
        .map(|code| Secret::new(code.to_owned()))
}

fn no_code() -> Problem {
    Problem::new(
        Code::CredentialsRequired,
        "Show the code from the mail: Authorization: Bearer …",
    )
    .challenged(Challenge::Bearer)
}
