//! Pages for people: home, login, logout, registration, and what goes by mail. They work without a script and show nothing that a client sent.

mod form;
mod html;
mod mail;
mod places;
mod sign_in;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use http_body::Body;

use crate::account::{Browser, Registration};
use crate::answer::{self, Answer};
use crate::authn::{Counts, Proof};
use crate::authz::Access;
use crate::codes::Code;
use crate::problem::Problem;
use crate::route::Host;

use super::account::{HASHING, STORE, bounded};
use super::{Asked, Served, Services, refusal};

use form::Form;
use html::{Home, Login, Logout, Notice};
use mail::Step;

pub use places::{Landing, Places, Wanted, lies_below};

/// What counts at the pages: what browsers show by themselves.
pub(super) const SHOWN: Counts = Counts {
    bearer: false,
    session: true,
    basic: false,
};

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    HomeWithoutSlash,
    Home,
    LoginForm,
    Login,
    LogoutForm,
    Logout,
    Show(Step),
    Send(Step),
    Style,
}

impl Page {
    /// Whether there is such a page with these settings.
    pub(super) fn is_served(self, served: Served) -> bool {
        match self {
            Self::Show(Step::Register) | Self::Send(Step::Register) => served.registers,
            Self::Show(Step::Confirm | Step::Forgot | Step::Reset)
            | Self::Send(Step::Confirm | Step::Forgot | Step::Reset) => served.sends_mail,
            Self::HomeWithoutSlash
            | Self::Home
            | Self::LoginForm
            | Self::Login
            | Self::LogoutForm
            | Self::Logout
            | Self::Style => true,
        }
    }
}

/// Each with its place below the prefix, and who may have it. The login has no use for an earlier session and needs none to
/// be told from a dead one; the rest works without one, too.
pub(super) fn rows() -> [(Page, &'static str, Method, Access); 15] {
    [
        (Page::HomeWithoutSlash, "", Method::GET, Access::Public),
        (Page::Home, "/", Method::GET, Access::Optional),
        (Page::LoginForm, "/login", Method::GET, Access::Public),
        (Page::Login, "/login", Method::POST, Access::Public),
        (Page::LogoutForm, "/logout", Method::GET, Access::Public),
        (Page::Logout, "/logout", Method::POST, Access::Optional),
        (Page::Show(Step::Register), "/register", Method::GET, Access::Public),
        (Page::Send(Step::Register), "/register", Method::POST, Access::Public),
        (Page::Show(Step::Confirm), "/confirm", Method::GET, Access::Public),
        (Page::Send(Step::Confirm), "/confirm", Method::POST, Access::Public),
        (Page::Show(Step::Forgot), "/forgot", Method::GET, Access::Public),
        (Page::Send(Step::Forgot), "/forgot", Method::POST, Access::Public),
        (Page::Show(Step::Reset), "/reset", Method::GET, Access::Public),
        (Page::Send(Step::Reset), "/reset", Method::POST, Access::Public),
        (Page::Style, "/assets/style.css", Method::GET, Access::Public),
    ]
}

/// Serves a page.
pub(super) async fn serve<B>(
    page: Page,
    proof: Option<&Arc<Proof>>,
    asked: Asked<B>,
    services: &Services,
    places: &Places,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let keeps_secure = keeps_secure(&asked);
    let mut answer = match page {
        Page::HomeWithoutSlash => to_home(places)?,
        Page::Home => home(proof, places)?,
        Page::LoginForm => login_form(&asked, services, places)?,
        Page::Login => login(asked, services, places).await?,
        Page::LogoutForm => logout_form(&asked, places)?,
        Page::Logout => logout(proof, asked, services, places).await?,
        Page::Show(step) => mail::shown(step, &asked, services, places)?,
        Page::Send(step) => mail::sent(step, asked, services, places).await?,
        Page::Style => html::style(),
    };
    if keeps_secure {
        html::keep_secure(&mut answer);
    }
    Ok(answer)
}

/// A host that is only this machine's is not bound to https for years, whatever listens on its other ports.
fn keeps_secure<B>(asked: &Asked<B>) -> bool {
    asked.secure && !is_local(asked.host.as_ref())
}

/// The answer of a page that only leads to another, whatever the store knows.
pub(super) fn leads<B>(page: Page, is_known: bool, asked: &Asked<B>, places: &Places) -> Option<Answer> {
    let led = match page {
        Page::HomeWithoutSlash => to_home(places),
        Page::Home if !is_known => home(None, places),
        Page::Home
        | Page::LoginForm
        | Page::Login
        | Page::LogoutForm
        | Page::Logout
        | Page::Show(_)
        | Page::Send(_)
        | Page::Style => return None,
    };
    let mut answer = led.ok()?;
    if keeps_secure(asked) {
        html::keep_secure(&mut answer);
    }
    Some(answer)
}

fn to_home(places: &Places) -> Result<Answer, Problem> {
    go(StatusCode::PERMANENT_REDIRECT, &places.page(""))
}

fn home(proof: Option<&Arc<Proof>>, places: &Places) -> Result<Answer, Problem> {
    let Some(proof) = proof else {
        return go(StatusCode::FOUND, &places.page("login"));
    };
    let home = Home {
        pages: places.prefix(),
        name: &proof.person.name,
        roles: proof.person.roles.iter().collect(),
    };
    html::page(&home, None)
}

fn login_form<B>(asked: &Asked<B>, services: &Services, places: &Places) -> Result<Answer, Problem> {
    if let Some(answer) = insecure(asked, places) {
        return answer;
    }
    let landing = form::one(asked.parts.uri.query(), "rd").and_then(|rd| places.landing(&rd));
    let login = Login {
        pages: places.prefix(),
        registers: registers(services),
        sends_mail: services.accounts.sends_mail(),
        rd: landing.as_ref().map(|landing| landing.location.as_str()),
        message: None,
    };
    html::page(&login, landing.as_ref())
}

async fn login<B>(asked: Asked<B>, services: &Services, places: &Places) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let insecure = insecure(&asked, places);
    let browser = Browser {
        caller: asked.caller(),
        before: services
            .resolver
            .session_of(&asked.parts.headers, services.clock.unix_millis()),
    };
    let form = form::read(&asked.parts.headers, asked.body, asked.body_within).await;
    if let Some(answer) = insecure {
        return answer;
    }
    let rd = form.as_ref().ok().and_then(|form| form.rd.as_deref());
    let landing = rd.and_then(|rd| places.landing(rd));
    let entered = match form {
        _ if asked.cross_site => Err(cross_site()),
        Ok(form) => enter(form, browser, services).await,
        Err(problem) => Err(problem),
    };
    match entered {
        Ok(cookie) => {
            let landing = landing.unwrap_or_else(|| places.page(""));
            let mut answer = go(StatusCode::SEE_OTHER, &landing)?;
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
            Ok(answer)
        }
        Err(problem) => {
            let login = Login {
                pages: places.prefix(),
                registers: registers(services),
                sends_mail: services.accounts.sends_mail(),
                rd: landing.as_ref().map(|landing| landing.location.as_str()),
                message: Some(&problem.detail),
            };
            html::told(&problem, &login, landing.as_ref())
        }
    }
}

fn registers(services: &Services) -> bool {
    services.accounts.registration() != Registration::Closed
}

/// A login, to the cookie at its end.
async fn enter(form: Form, browser: Browser, services: &Services) -> Result<HeaderValue, Problem> {
    let wrong = |detail: String| Problem::new(Code::InvalidRequest, detail);
    let (Some(name), Some(password)) = (form.username, form.password) else {
        return Err(wrong("The form holds no name or no password.".to_owned()));
    };
    bounded(&password)?;
    let not_ready = || Problem::new(Code::NotReady, "The gateway is starting. Try again in a moment.").retry_after(1);
    if !services.resolver.can_seal(services.clock.unix_millis()) {
        return Err(not_ready());
    }
    let accounts = Arc::clone(&services.accounts);
    let job = async move { accounts.login_browser(&name, password, browser).await };
    let opened = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    let session = opened.map_err(Problem::from)?;
    let now = services.clock.unix_millis();
    let sealed = services.resolver.cookie(session.id, session.ends, &session.user, now);
    let (_, cookie) = sealed.ok_or_else(not_ready)?;
    match cookie {
        Some(cookie) => Ok(cookie),
        None => {
            let accounts = Arc::clone(&services.accounts);
            let job = async move { accounts.end_unheld(session).await };
            Err(services
                .office
                .call(STORE, job)
                .await
                .map_err(refusal::late_store)?
                .into())
        }
    }
}

fn logout_form<B>(asked: &Asked<B>, places: &Places) -> Result<Answer, Problem> {
    let landing = form::one(asked.parts.uri.query(), "rd").and_then(|rd| places.landing(&rd));
    let logout = Logout {
        pages: places.prefix(),
        rd: landing.as_ref().map(|landing| landing.location.as_str()),
    };
    html::page(&logout, landing.as_ref())
}

/// Ends the session, if there is one that lives; the cookie goes in any case.
async fn logout<B>(
    proof: Option<&Arc<Proof>>,
    asked: Asked<B>,
    services: &Services,
    places: &Places,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let form = form::read(&asked.parts.headers, asked.body, asked.body_within).await;
    let left = match form {
        _ if asked.cross_site => Err(cross_site()),
        Ok(form) => leave(proof, asked.client, services).await.map(|()| form.rd),
        Err(problem) => Err(problem),
    };
    let rd = match left {
        Ok(rd) => rd,
        Err(problem) => return notice(&problem, "Not logged out", places, None),
    };
    let landing = rd.and_then(|rd| places.landing(&rd));
    let mut answer = go(StatusCode::SEE_OTHER, &landing.unwrap_or_else(|| places.page("login")))?;
    if let Some(cookie) = services.resolver.clear_cookie() {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

async fn leave(proof: Option<&Arc<Proof>>, client: IpAddr, services: &Services) -> Result<(), Problem> {
    let Some(proof) = proof else {
        return Ok(());
    };
    let (accounts, person) = (Arc::clone(&services.accounts), Arc::clone(&proof.person));
    let job = async move { accounts.logout(&person, client).await };
    let left = services.office.call(STORE, job).await.map_err(refusal::late_store)?;
    left.map_err(Problem::from)
}

/// A password is asked for where nobody listens on the way: over https, behind a proxy that says so and is trusted, or on this
/// machine.
fn insecure<B>(asked: &Asked<B>, places: &Places) -> Option<Result<Answer, Problem>> {
    if asked.secure || is_local(asked.host.as_ref()) {
        return None;
    }
    let text = "Logging in needs https: what is typed here could be read on the way.";
    let problem = Problem::new(Code::HttpsRequired, text);
    let host = asked.host.as_ref().map(Host::name);
    let link = host.map(|host| format!("https://{host}{}/login", places.prefix()));
    Some(notice(&problem, "Use https", places, link.as_deref()))
}

fn is_local(host: Option<&Host<'_>>) -> bool {
    let Some(name) = host.map(Host::name) else {
        return false;
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        Ok(address) => address.is_loopback(),
        Err(_) => lies_below(name, "localhost"),
    }
}

fn cross_site() -> Problem {
    Problem::new(
        Code::CrossSiteRequest,
        "This form was sent by a page of another site, or by a browser that does not say. Send it again from here.",
    )
}

fn notice(problem: &Problem, title: &str, places: &Places, link: Option<&str>) -> Result<Answer, Problem> {
    let notice = Notice {
        pages: places.prefix(),
        title,
        message: &problem.detail,
        link,
        link_text: "Go on with https",
    };
    html::told(problem, &notice, None)
}

/// To a place that was checked.
fn go(status: StatusCode, landing: &Landing) -> Result<Answer, Problem> {
    let location = HeaderValue::try_from(landing.location.as_str());
    let location =
        location.map_err(|error| Problem::new(Code::Internal, "The gateway made a mistake.").because(error))?;
    Ok(answer::redirect(status, location))
}
