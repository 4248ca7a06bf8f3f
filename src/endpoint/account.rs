//! Login, refresh, registration, logout, and who one is: JSON in, JSON out.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::{Asked, Services, body, in_office};
use crate::account::{Profile, Registrant, Tokens};
use crate::answer::{self, Answer};
use crate::principal::Person;
use crate::problem::Problem;
use crate::secret::Secret;

/// What a login gives (RFC 6749 section 5.1).
#[derive(Serialize)]
struct Given<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: &'a str,
    refresh_expires_in: i64,
}

pub(super) async fn login(asked: Asked, services: &Services) -> Result<Answer, Problem> {
    let mut object = body::json(asked.body).await?;
    let username = body::text(&mut object, "username")?;
    let password = Secret::new(body::text(&mut object, "password")?);
    let (accounts, client) = (Arc::clone(&services.accounts), asked.client);
    let tokens = in_office(services, async move {
        Ok(accounts.login(&username, password, client).await?)
    })
    .await?;
    Ok(given(&tokens))
}

pub(super) async fn refresh(asked: Asked, services: &Services) -> Result<Answer, Problem> {
    let mut object = body::json(asked.body).await?;
    let presented = Secret::new(body::text(&mut object, "refresh_token")?);
    let (accounts, client) = (Arc::clone(&services.accounts), asked.client);
    let tokens = in_office(services, async move { Ok(accounts.refresh(&presented, client).await?) }).await?;
    Ok(given(&tokens))
}

pub(super) async fn registration(asked: Asked, services: &Services) -> Result<Answer, Problem> {
    let mut object = body::json(asked.body).await?;
    let registrant = Registrant {
        username: body::text(&mut object, "username")?,
        password: Secret::new(body::text(&mut object, "password")?),
        email: body::optional_text(&mut object, "email")?,
    };
    let (accounts, client) = (Arc::clone(&services.accounts), asked.client);
    let tokens = in_office(
        services,
        async move { Ok(accounts.register(registrant, client).await?) },
    )
    .await?;
    Ok(given(&tokens))
}

pub(super) async fn logout(person: &Arc<Person>, client: IpAddr, services: &Services) -> Result<Answer, Problem> {
    let (accounts, person) = (Arc::clone(&services.accounts), Arc::clone(person));
    in_office(services, async move { Ok(accounts.logout(&person, client).await?) }).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

pub(super) fn protected(person: &Person) -> Answer {
    let message = format!("protected endpoint (allowed usr {})", person.name);
    answer::json(StatusCode::OK, &json!({ "message": message }))
}

pub(super) fn me(person: &Person) -> Answer {
    answer::json(StatusCode::OK, &Profile::of(person))
}

fn given(tokens: &Tokens) -> Answer {
    let given = Given {
        access_token: tokens.access_token.expose(),
        token_type: "Bearer",
        expires_in: tokens.expires_in,
        refresh_token: tokens.refresh_token.expose(),
        refresh_expires_in: tokens.refresh_expires_in,
    };
    answer::json(StatusCode::OK, &given)
}
