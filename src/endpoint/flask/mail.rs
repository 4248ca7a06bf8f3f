//! What goes by mail, in that server's words: who registers confirms their address, who forgot their password sets another.
//! It tells which names and addresses there are, and clients go by that.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap};
use http_body::Body;
use serde::Serialize;

use super::super::account::{HASHING, Message, STORE};
use super::super::mail::served;
use super::super::{Asked, Services, body, refusal};
use super::input;
use super::{needed, needed_password, new_account, praetorian, usable};
use crate::account::{Enrolment, Error, Registrant, ResetRequest, Tokens};
use crate::answer::{self, Answer};
use crate::authn::{self, Shown};
use crate::codes::Code;
use crate::headers::Authorization;
use crate::problem::{Challenge, Problem};
use crate::secret::Secret;
use crate::store::User;
use crate::token::praetorian::{Fault, MailPurpose};

/// When who asked for too many mails may ask again, in seconds: as long as they count.
const MAILS_RETRY: u32 = 3_600;

/// What a token that came by mail gives.
#[derive(Serialize)]
struct LoggedIn<'a> {
    access_token: &'a str,
    user: &'a str,
}

/// `POST /api/registration` where addresses are confirmed.
pub(in crate::endpoint) async fn register<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let caller = asked.caller();
    let input = input::read(&asked.parts.headers, asked.body, asked.body_within).await?;
    let username = usable(needed("username", input.username)?)?;
    let password = needed_password(input.password)?;
    let email = needed("email", input.email)?.expose().clone();
    let registrant = Registrant {
        username: username.clone(),
        password,
        email: Some(email.clone()),
    };
    let accounts = Arc::clone(&services.accounts);
    let job = async move { accounts.enrol_in_flask(registrant, &caller).await };
    let enrolled = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    Ok(match enrolled.map_err(new_account)? {
        Enrolment::Sent(_) => told(
            StatusCode::CREATED,
            format!("successfully sent registration email to user {username}"),
        ),
        Enrolment::NameTaken => told(StatusCode::CONFLICT, format!("user {username} already exists on DB!")),
        // That server leads nowhere, and its client asks for this status alone.
        Enrolment::EmailTaken => told(StatusCode::SEE_OTHER, format!("email {email} already exists on DB!")),
        Enrolment::Limited => return Err(too_many()),
    })
}

/// `GET /api/finalize`
pub(in crate::endpoint) async fn finalize<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem> {
    served(services)?;
    let token = bearer(&asked.parts.headers)?;
    let (accounts, caller) = (Arc::clone(&services.accounts), asked.caller());
    let job = async move {
        let shown = accounts.read_mail_token(MailPurpose::Registration, token.expose().as_bytes())?;
        let user = accounts.confirm(shown, &caller).await?;
        let tokens = accounts.log_in_confirmed(&user, &caller).await?;
        Ok((user, tokens))
    };
    let done = services.office.call(STORE, job).await.map_err(refusal::late_store)?;
    let (user, tokens) = done.map_err(|error| match error {
        Error::InvalidCode => praetorian(Fault::UnknownRegistrant),
        error => Problem::from(error),
    })?;
    Ok(logged_in(&user, &tokens))
}

/// `POST /api/reset`
pub(in crate::endpoint) async fn reset<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    // Else the revision of that server is meant that knows nothing of mail.
    served(services)?;
    let caller = asked.caller();
    let input = input::read(&asked.parts.headers, asked.body, asked.body_within).await?;
    let email = needed("email", input.email)?.expose().clone();
    let (accounts, address) = (Arc::clone(&services.accounts), email.clone());
    let job = async move { accounts.request_reset(&address, &caller).await };
    let done = services.office.call(STORE, job).await.map_err(refusal::late_store)?;
    Ok(match done {
        Ok(ResetRequest::Sent) => told(
            StatusCode::OK,
            format!("successfully sent password reset email to {email}"),
        ),
        Ok(ResetRequest::NotActive) => told(
            StatusCode::FORBIDDEN,
            format!("{email} account not activated! active it first!"),
        ),
        // What is no address is nobody's.
        Ok(ResetRequest::Unknown) | Err(Error::InvalidEmail(_)) => {
            told(StatusCode::NOT_FOUND, format!("email {email} doest not exists on DB!"))
        }
        Ok(ResetRequest::Limited) => return Err(too_many()),
        Err(error) => return Err(error.into()),
    })
}

/// `POST /api/reset_finalize`
pub(in crate::endpoint) async fn reset_finalize<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    served(services)?;
    let (caller, token) = (asked.caller(), bearer(&asked.parts.headers));
    let sent = body::read(&asked.parts.headers, asked.body, asked.body_within).await?;
    let shown = services
        .accounts
        .read_mail_token(MailPurpose::Reset, token?.expose().as_bytes());
    let shown = shown.map_err(unknown_owner)?;
    let password = needed_password(input::parse(sent.expose())?.password)?;
    let accounts = Arc::clone(&services.accounts);
    let job = async move {
        let user = accounts.reset_password(shown, password, &caller).await?;
        let tokens = accounts.log_in_confirmed(&user, &caller).await?;
        Ok((user, tokens))
    };
    let done = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    let (user, tokens) = done.map_err(unknown_owner)?;
    Ok(logged_in(&user, &tokens))
}

/// Why a token for a new password gives none.
fn unknown_owner(error: Error) -> Problem {
    match error {
        Error::InvalidCode => praetorian(Fault::InvalidReset),
        Error::NoSuchUser | Error::Praetorian(Fault::UnknownId) => praetorian(Fault::UnknownId).in_flask(
            StatusCode::UNAUTHORIZED,
            "PraetorianError",
            "Could not identify the user from the reset token",
        ),
        error => Problem::from(error),
    }
}

/// The token of the Authorization field, as that server's library reads it.
fn bearer(headers: &HeaderMap) -> Result<Secret<String>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = match (values.next(), values.next()) {
        (None, _) => Authorization::None,
        (Some(value), None) => Authorization::One(value.clone()),
        (Some(_), Some(_)) => Authorization::Several,
    };
    match authn::shown_to_flask(&authorization) {
        Shown::Bearer(token) => Ok(Secret::new(token.to_owned())),
        Shown::Nothing => Err(praetorian(Fault::MissingToken)),
        Shown::BrokenBearer | Shown::Basic(_) | Shown::OtherScheme => Err(praetorian(Fault::HeaderStructure)),
        Shown::Several => {
            let text = "More than one Authorization header was sent; send one.";
            Err(Problem::new(Code::InvalidRequest, text).challenged(Challenge::InvalidRequest))
        }
    }
}

fn told(status: StatusCode, message: String) -> Answer {
    answer::json(status, &Message { message })
}

fn logged_in(user: &User, tokens: &Tokens) -> Answer {
    let body = LoggedIn {
        access_token: tokens.access_token.expose(),
        user: &user.username,
    };
    answer::json(StatusCode::OK, &body)
}

fn too_many() -> Problem {
    let text = "Too many mails went to this address, or were asked for from yours. Try again later.";
    Problem::new(Code::RateLimited, text).retry_after(MAILS_RETRY)
}
