//! The pages that links in mails lead to, and those that mails begin at. Following a link uses up no code: programs that look
//! for harm in mails follow all of them. A button does.

use std::sync::Arc;

use askama::Template;
use bytes::Bytes;
use http::StatusCode;
use http::header;
use http_body::Body;

use crate::account::{Browser, Error, Registrant, Registration};
use crate::answer::Answer;
use crate::codes::Code;
use crate::endpoint::account::{HASHING, STORE, bounded};
use crate::endpoint::mail::{ENROLLED, RESET_SENT, ask_reset, enrol};
use crate::endpoint::{Asked, Services, refusal};
use crate::problem::Problem;
use crate::token::praetorian::MailPurpose;

use super::form::{self, Form};
use super::html::{self, Notice};
use super::{Places, cross_site, enter, go, insecure};

/// Whether an address is to be confirmed.
#[derive(Template)]
#[template(path = "pages/confirm.html")]
struct Confirm<'a> {
    pages: &'a str,
    token: &'a str,
}

/// A new password.
#[derive(Template)]
#[template(path = "pages/reset.html")]
struct Reset<'a> {
    pages: &'a str,
    token: &'a str,
    message: Option<&'a str>,
}

/// Which address to write to.
#[derive(Template)]
#[template(path = "pages/forgot.html")]
struct Forgot<'a> {
    pages: &'a str,
    message: Option<&'a str>,
}

/// A new account.
#[derive(Template)]
#[template(path = "pages/register.html")]
struct Register<'a> {
    pages: &'a str,
    needs_address: bool,
    message: Option<&'a str>,
}

/// What a browser sends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::endpoint) enum Step {
    Confirm,
    Reset,
    Forgot,
    Register,
}

/// The page of a step.
pub(super) fn shown<B>(step: Step, asked: &Asked<B>, services: &Services, places: &Places) -> Result<Answer, Problem> {
    if let Some(answer) = insecure(asked, places) {
        return answer;
    }
    if let Some(problem) = missing(step, services) {
        return told(&problem, places);
    }
    let token = form::one(asked.parts.uri.query(), "token").unwrap_or_default();
    filled(step, &token, None, services, places)
}

/// A form that was sent.
pub(super) async fn sent<B>(
    step: Step,
    asked: Asked<B>,
    services: &Services,
    places: &Places,
) -> Result<Answer, Problem>
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
    if let Some(problem) = missing(step, services) {
        return told(&problem, places);
    }
    if asked.cross_site {
        return told(&cross_site(), places);
    }
    let form = match form {
        Ok(form) => form,
        Err(problem) => return told(&problem, places),
    };
    let token = form
        .token
        .as_ref()
        .map(|token| token.expose().clone())
        .unwrap_or_default();
    let done = match step {
        Step::Confirm => confirm(form, browser, services).await,
        Step::Reset => reset(form, browser, services).await,
        Step::Forgot => forgot(form, browser, services).await,
        Step::Register => register(form, browser, services, places).await,
    };
    match done {
        Ok(Done::Said { title, message }) => said(title, message, places),
        Ok(Done::In(answer)) => Ok(*answer),
        Err(problem) if problem.code == Code::InvalidCode => told(&problem, places),
        Err(problem) => filled(step, &token, Some(&problem), services, places),
    }
}

/// What a form led to.
enum Done {
    Said { title: &'static str, message: &'static str },
    In(Box<Answer>),
}

async fn confirm(form: Form, browser: Browser, services: &Services) -> Result<Done, Problem> {
    let code = form.token.ok_or_else(|| wrong("The form holds no code."))?;
    let accounts = Arc::clone(&services.accounts);
    let job = async move {
        let shown = accounts.read_mailed(MailPurpose::Registration, code)?;
        accounts.confirm(shown, &browser.caller).await
    };
    services.ask(STORE, job).await?;
    Ok(Done::Said {
        title: "Address confirmed",
        message: "Your address is confirmed. You can log in now.",
    })
}

async fn reset(form: Form, browser: Browser, services: &Services) -> Result<Done, Problem> {
    let (Some(code), Some(password)) = (form.token, form.password) else {
        return Err(wrong("The form holds no code or no password."));
    };
    bounded(&password)?;
    let accounts = Arc::clone(&services.accounts);
    let job = async move {
        let shown = accounts.read_mailed(MailPurpose::Reset, code)?;
        let set = accounts.reset_password(shown, password, &browser.caller).await;
        set.map_err(|error| match error {
            Error::NoSuchUser => Error::InvalidCode,
            error => error,
        })
    };
    let done = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
    done.map_err(Problem::from)?;
    Ok(Done::Said {
        title: "Password set",
        message: "Your new password counts from now on, and all your sessions have ended. You can log in now.",
    })
}

async fn forgot(form: Form, browser: Browser, services: &Services) -> Result<Done, Problem> {
    let email = form.email.ok_or_else(|| wrong("The form holds no address."))?;
    ask_reset(email, browser.caller, services).await?;
    Ok(Done::Said {
        title: "Look into your mail",
        message: RESET_SENT,
    })
}

async fn register(form: Form, browser: Browser, services: &Services, places: &Places) -> Result<Done, Problem> {
    let (Some(username), Some(password)) = (form.username, form.password) else {
        return Err(wrong("The form holds no name or no password."));
    };
    bounded(&password)?;
    let registrant = Registrant {
        username: username.clone(),
        password: password.clone(),
        email: form.email.filter(|email| !email.is_empty()),
    };
    let accounts = Arc::clone(&services.accounts);
    match accounts.registration() {
        Registration::Closed => Err(Problem::from(crate::account::Error::RegistrationClosed)),
        Registration::VerifyEmail => {
            enrol(registrant, browser.caller, services).await?;
            Ok(Done::Said {
                title: "Look into your mail",
                message: ENROLLED,
            })
        }
        Registration::Open => {
            let caller = browser.caller.clone();
            let job = async move { accounts.register_only(registrant, &caller).await };
            let made = services.office.call(HASHING, job).await.map_err(refusal::late_hash)?;
            made.map_err(Problem::from)?;
            let login = Form {
                username: Some(username),
                password: Some(password),
                ..Form::default()
            };
            let cookie = enter(login, browser, services).await?;
            let mut answer = go(StatusCode::SEE_OTHER, &places.page(""))?;
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
            Ok(Done::In(Box::new(answer)))
        }
    }
}

/// Why there is no such page here.
fn missing(step: Step, services: &Services) -> Option<Problem> {
    let accounts = &services.accounts;
    match step {
        Step::Register if accounts.registration() == Registration::Closed => {
            Some(Problem::from(crate::account::Error::RegistrationClosed))
        }
        Step::Register => None,
        Step::Confirm | Step::Reset | Step::Forgot => {
            (!accounts.sends_mail()).then(|| Problem::from(crate::account::Error::NoMail))
        }
    }
}

fn filled(
    step: Step,
    token: &str,
    problem: Option<&Problem>,
    services: &Services,
    places: &Places,
) -> Result<Answer, Problem> {
    let pages = places.prefix();
    let message = problem.map(|problem| &*problem.detail);
    let needs_address = services.accounts.registration() == Registration::VerifyEmail;
    match step {
        Step::Confirm => page(&Confirm { pages, token }, problem),
        Step::Reset => page(&Reset { pages, token, message }, problem),
        Step::Forgot => page(&Forgot { pages, message }, problem),
        Step::Register => page(
            &Register {
                pages,
                needs_address,
                message,
            },
            problem,
        ),
    }
}

fn page(template: &impl Template, problem: Option<&Problem>) -> Result<Answer, Problem> {
    match problem {
        Some(problem) => html::told(problem, template, None),
        None => html::page(template, None),
    }
}

fn said(title: &str, message: &str, places: &Places) -> Result<Answer, Problem> {
    let login = places.page("login").location;
    let notice = Notice {
        pages: places.prefix(),
        title,
        message,
        link: Some(&login),
        link_text: "Log in",
    };
    html::page(&notice, None)
}

fn told(problem: &Problem, places: &Places) -> Result<Answer, Problem> {
    let login = places.page("login").location;
    let notice = Notice {
        pages: places.prefix(),
        title: problem.code.title(),
        message: &problem.detail,
        link: Some(&login),
        link_text: "Log in",
    };
    html::told(problem, &notice, None)
}

fn wrong(detail: &'static str) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}
