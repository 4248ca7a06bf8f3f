//! For clients that expect an OAuth server: introspection (RFC 7662), revocation (RFC 7009) and metadata (RFC 8414).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{StatusCode, Uri};
use http_body::Body;
use serde_json::{Map, Value, json};

use crate::account::{Active, TokenKind};
use crate::admission::Unfit;
use crate::answer::{self, Answer};
use crate::authn::Proof;
use crate::codes::Code;
use crate::keyring::JWKS_MAX_AGE;
use crate::principal::{CredentialKind, Roles};
use crate::problem::Problem;
use crate::token::Verifier;

use super::account::STORE;
use super::body;
use super::{Asked, Services, nothing_here};

/// `POST /api/introspect`: only for machines that show who they are, or anybody could try out tokens here (RFC 7662
/// section 2.1).
pub(super) async fn introspect<B>(
    proof: Option<&Arc<Proof>>,
    asked: Asked<B>,
    services: &Services,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    match proof.map(|proof| proof.person.credential) {
        Some(CredentialKind::ApiKey) => {}
        None
        | Some(
            CredentialKind::Bearer | CredentialKind::ExternalBearer | CredentialKind::Session | CredentialKind::Ticket,
        ) => {
            return Err(Problem::from(Unfit::NoApiKey));
        }
    }
    let (accounts, verifier) = (Arc::clone(&services.accounts), Arc::clone(&asked.verifier));
    let token = token(asked).await?;
    let issuer = verifier.issuer().to_owned();
    let job = async move { accounts.introspect(&verifier, &token).await };
    let answer = match services.ask(STORE, job).await? {
        Some(active) => described(&active, &issuer),
        None => json!({ "active": false }),
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

/// `POST /api/revoke`: the token is its own proof, and the answer is the same for one that is not known (RFC 7009
/// section 2.2).
pub(super) async fn revoke<B>(asked: Asked<B>, services: &Services) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let (accounts, verifier) = (Arc::clone(&services.accounts), Arc::clone(&asked.verifier));
    let caller = asked.caller();
    let token = token(asked).await?;
    let job = async move { accounts.revoke_token(&verifier, &token, &caller).await };
    let revoked_key = services.ask(STORE, job).await?;
    if let Some(id) = revoked_key {
        services.resolver.forget_api_key(&id);
    }
    let mut answer = answer::empty(StatusCode::OK);
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// The `token` of the form. `token_type_hint` is not needed: each of our tokens says by its form what it is.
async fn token<B>(asked: Asked<B>) -> Result<String, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let fields = body::read_form(&asked.parts.headers, asked.body, asked.body_within).await?;
    let token = fields.one("token")?;
    token.map(str::to_owned).ok_or_else(|| {
        let text = "Send a form (application/x-www-form-urlencoded) with a `token`.";
        Problem::new(Code::InvalidRequest, text)
    })
}

/// RFC 7662 section 2.2.
fn described(active: &Active, issuer: &str) -> Value {
    let mut members = Map::new();
    let mut tell = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    let kind = match active.kind {
        TokenKind::Access | TokenKind::ApiKey => "Bearer",
        TokenKind::Refresh => "refresh_token",
    };
    tell("active", Some(true.into()));
    tell("token_type", Some(kind.into()));
    tell("iss", Some(issuer.into()));
    tell("sub", Some(active.subject.as_str().into()));
    tell("username", Some(active.username.as_str().into()));
    tell("iat", Some(active.issued_at.into()));
    tell("exp", active.expires_at.map(Value::from));
    tell("aud", active.audience.clone());
    tell("jti", active.token_id.as_deref().map(Value::from));
    tell("sid", active.session.map(|session| session.to_string().into()));
    tell("scope", active.roles.as_ref().map(|roles| scope(roles).into()));
    let roles = active.roles.as_ref();
    tell("roles", roles.map(|roles| roles.iter().map(Value::from).collect()));
    Value::Object(members)
}

/// The roles that a scope can hold (RFC 6749 section 3.3); `roles` holds all of them.
fn scope(roles: &Roles) -> String {
    let is_scope = |role: &&str| {
        role.bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    roles.iter().filter(is_scope).collect::<Vec<_>>().join(" ")
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414 section 3.2). There is no authorization and no token endpoint:
/// people log in with JSON at `/api/login`, so no response type and no grant type is named.
pub(super) fn metadata(verifier: &Verifier, api: Option<&str>) -> Result<Answer, Problem> {
    let issuer = verifier.issuer();
    // Section 2: a URL without query and fragment; `tokens.issuer` may be any text. Our own URLs are at the root of its host,
    // whatever its path.
    let url = issuer.parse::<Uri>().ok().filter(|url| url.query().is_none());
    let parts = url.as_ref().and_then(|url| Some((url.scheme_str()?, url.authority()?)));
    let Some((scheme @ ("https" | "http"), host)) = parts.filter(|_| !issuer.contains('#')) else {
        return Err(nothing_here("There is no metadata here: tokens.issuer is not a URL."));
    };
    let base = format!("{scheme}://{host}");
    let mut document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "response_types_supported": [],
        "grant_types_supported": [],
    });
    if let (Some(api), Some(members)) = (api, document.as_object_mut()) {
        for (name, path, methods) in [
            ("introspection", "introspect", json!(["client_secret_basic", "Bearer"])),
            ("revocation", "revoke", json!(["none"])),
        ] {
            members.insert(format!("{name}_endpoint"), format!("{base}{api}/{path}").into());
            members.insert(format!("{name}_endpoint_auth_methods_supported"), methods);
        }
    }
    let mut answer = answer::json(StatusCode::OK, &document);
    let max_age = format!("public, max-age={}", JWKS_MAX_AGE.as_secs());
    if let Ok(value) = HeaderValue::from_str(&max_age) {
        answer.headers_mut().insert(header::CACHE_CONTROL, value);
    }
    Ok(answer)
}
