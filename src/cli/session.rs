//! `doorward session …`: who is logged in, and that somebody is not any more. Acts on every replica within a second.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Places, desk, migrate, terminal, times};
use crate::account::{Administration, Which};
use crate::office::OfficeRuntime;
use crate::principal::{SessionId, UserId};
use crate::store::{Session, Store};

/// Sessions read from the store at once.
const PAGE: u32 = 500;

/// What is to be done with sessions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the living sessions: whose, of what kind, from where, until when
    List {
        #[command(flatten)]
        whose: Whose,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End a session, or all sessions of a user; its tokens count no more
    #[command(
        override_usage = "doorward session revoke <ID>\n       doorward session revoke --user <NAME>\n       doorward session revoke --id <N>"
    )]
    Revoke {
        /// The session, as `doorward session list` names it
        #[arg(value_name = "ID", conflicts_with_all = ["user", "id"], allow_hyphen_values = true)]
        session: Option<String>,
        #[command(flatten)]
        whose: Whose,
    },
}

/// Of which user.
#[derive(Debug, Args)]
pub struct Whose {
    /// Of the user of this name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Of the user of this id
    #[arg(long, value_name = "N", conflicts_with = "user")]
    id: Option<i64>,
}

impl Whose {
    fn which(&self) -> Option<Which<'_>> {
        match (self.id, &self.user) {
            (Some(id), _) => Some(Which::Id(UserId(id))),
            (None, Some(name)) => Some(Which::Name(name)),
            (None, None) => None,
        }
    }
}

/// Runs it.
pub fn run(places: &Places, command: Command) -> Result<(), Failure> {
    let config = places.load()?.config;
    let office = OfficeRuntime::start()?;
    let told = office.block_on(async {
        let (desk, store) = desk::open(&config).await?;
        match command {
            Command::List { whose, json } => list(&desk, &*store, &whose, json).await,
            Command::Revoke { session, whose } => revoke(&desk, session.as_deref(), &whose).await,
        }
    })?;
    terminal::print(&told)
}

async fn list(desk: &Administration, store: &dyn Store, whose: &Whose, json: bool) -> Result<String, Failure> {
    let failed = |error| desk::failed("the sessions cannot be listed", error);
    let mut sessions: Vec<Session> = Vec::new();
    match whose.which() {
        Some(which) => sessions = desk.sessions_of(which).await.map_err(failed)?,
        None => loop {
            let after = sessions.last().map(|session| session.id);
            let page = desk.sessions(after, PAGE).await.map_err(failed)?;
            if page.is_empty() {
                break;
            }
            sessions.extend(page);
        },
    }
    let names = names(store, &sessions).await?;
    let name = |session: &Session| names.get(&session.user).cloned();
    if json {
        let values: Vec<_> = sessions.iter().map(|session| as_json(session, name(session))).collect();
        return terminal::json(&values);
    }
    if sessions.is_empty() {
        return Ok("No sessions.\n".to_owned());
    }
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            [
                session.id.to_string(),
                name(session).unwrap_or_else(|| format!("(id {})", session.user)),
                session.kind.as_str().to_owned(),
                session.address.clone().unwrap_or_else(|| "-".to_owned()),
                times::or_dash(Some(session.created_at)),
                times::or_dash(Some(session.seen_at)),
                times::or_dash(Some(session.idle_until.min(session.expires_at))),
                session.client.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    Ok(terminal::table(
        [
            "ID",
            "USER",
            "KIND",
            "ADDRESS",
            "OPENED",
            "SEEN",
            "ENDS UNLESS USED",
            "CLIENT",
        ],
        &rows,
    ))
}

/// The names of those whose sessions these are, each looked up once.
async fn names(store: &dyn Store, sessions: &[Session]) -> Result<std::collections::BTreeMap<UserId, String>, Failure> {
    let mut names = std::collections::BTreeMap::new();
    for session in sessions {
        if names.contains_key(&session.user) {
            continue;
        }
        let user = store
            .user(session.user)
            .await
            .map_err(|error| migrate::failed(&error))?;
        names.extend(user.map(|user| (user.id, user.username)));
    }
    Ok(names)
}

async fn revoke(desk: &Administration, session: Option<&str>, whose: &Whose) -> Result<String, Failure> {
    match (session, whose.which()) {
        (Some(session), _) => {
            let id: SessionId = session
                .parse()
                .map_err(|error| Failure::usage(format!("{session:?}: {error}"), "doorward session list shows them"))?;
            let ended = desk.end_session(id).await;
            let ended = ended.map_err(|error| desk::failed("the session was not ended", error))?;
            Ok(format!(
                "ended session {} of the user with id {}\n",
                ended.id, ended.user
            ))
        }
        (None, Some(which)) => {
            let count = desk.end_sessions(which).await;
            let count = count.map_err(|error| desk::failed("the sessions were not ended", error))?;
            let what = if count == 1 { "session" } else { "sessions" };
            Ok(format!("ended {count} {what}\n"))
        }
        (None, None) => Err(Failure::usage(
            "neither a session nor a user is named",
            "doorward session revoke ID, or doorward session revoke --user NAME",
        )),
    }
}

fn as_json(session: &Session, username: Option<String>) -> serde_json::Value {
    json!({
        "id": session.id.to_string(),
        "user": session.user.0,
        "username": username,
        "kind": session.kind.as_str(),
        "client": session.client,
        "address": session.address,
        "created_at": times::rfc3339(session.created_at),
        "seen_at": times::rfc3339(session.seen_at),
        "idle_until": times::rfc3339(session.idle_until),
        "expires_at": times::rfc3339(session.expires_at),
    })
}
