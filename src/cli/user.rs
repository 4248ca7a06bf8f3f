//! `doorward user …`: people, from the command line. A running gateway on the same store acts on it within a second.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Failure, Places, desk, import, migrate, terminal, times};
use crate::account::{Account, Administration, Error, NewAccount, Which};
use crate::clock::Clock;
use crate::config::Config;
use crate::office::OfficeRuntime;
use crate::principal::UserId;
use crate::store::{Session, Store};

/// What is to be done with users.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a user; the password is asked for, or read from standard input
    Add {
        /// The name
        name: String,
        /// The roles, with commas between them; the admin role too
        #[arg(long, value_name = "A,B")]
        roles: Option<String>,
        /// The e-mail address; it counts as confirmed
        #[arg(long)]
        email: Option<String>,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Take over the users of another table, hashes untouched; repeatable, nothing that is here is changed
    Import(import::Options),
    /// List all users
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a user
    Show {
        #[command(flatten)]
        who: Who,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a user's password; all sessions of the user end
    Passwd {
        #[command(flatten)]
        who: Who,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Set a user's roles: those named, and no others
    #[command(override_usage = "doorward user roles <NAME> <A,B>\n       doorward user roles --id <N> <A,B>")]
    Roles {
        /// The name (left out with --id), and the roles with commas between them ("" for none)
        #[arg(value_name = "NAME A,B", num_args = 1..=2, required = true)]
        name_and_roles: Vec<String>,
        /// The id, in place of the name
        #[arg(long, value_name = "N")]
        id: Option<i64>,
    },
    /// Let a user log in again
    Activate {
        #[command(flatten)]
        who: Who,
    },
    /// Keep a user out; all sessions of the user end
    Deactivate {
        #[command(flatten)]
        who: Who,
    },
    /// Delete a user; all sessions of the user end
    Delete {
        #[command(flatten)]
        who: Who,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Which user.
#[derive(Debug, Args)]
pub struct Who {
    /// The name, exactly
    #[arg(required_unless_present = "id", conflicts_with = "id")]
    name: Option<String>,
    /// The id, in place of the name
    #[arg(long, value_name = "N")]
    id: Option<i64>,
}

/// Runs it.
pub fn run(places: &Places, command: Command) -> Result<(), Failure> {
    let config = places.load()?.config;
    let office = OfficeRuntime::start()?;
    let told = office.block_on(async {
        let (desk, store) = desk::open(&config).await?;
        do_it(&config, &desk, &*store, command).await
    })?;
    terminal::print(&told)
}

async fn do_it(config: &Config, desk: &Administration, store: &dyn Store, command: Command) -> Result<String, Failure> {
    match command {
        Command::Add {
            name,
            roles,
            email,
            password_stdin,
        } => {
            let roles = roles.map_or_else(|| config.accounts.default_roles.clone(), |roles| desk::roles(&roles));
            let password = terminal::new_password(password_stdin)?;
            prepare(config, store).await?;
            let new = NewAccount {
                username: name,
                password,
                roles,
                email,
                active: true,
            };
            let (account, warnings) = desk
                .add(new)
                .await
                .map_err(|error| failed("the user was not made", error))?;
            desk::warn(&warnings);
            Ok(done("added", &account))
        }
        Command::Import(options) => import::run(config, desk, store, &options).await,
        Command::List { json } => list(desk, json).await,
        Command::Show { who, json } => show(desk, store, &who, json).await,
        Command::Passwd { who, password_stdin } => {
            let which = who.which()?;
            let unchanged = |error| failed("the password was not changed", error);
            // Nobody should type a password for a user that is not there.
            desk.show(which).await.map_err(unchanged)?;
            let password = terminal::new_password(password_stdin)?;
            let (account, warnings) = desk.set_password(which, password).await.map_err(unchanged)?;
            desk::warn(&warnings);
            Ok(done("set the password and ended the sessions of", &account))
        }
        Command::Roles { name_and_roles, id } => {
            let (which, roles) = which_and_roles(&name_and_roles, id)?;
            let changed = desk.set_roles(which, &desk::roles(roles)).await;
            Ok(done(
                "changed",
                &changed.map_err(|error| failed("the roles were not changed", error))?,
            ))
        }
        Command::Activate { who } => {
            let changed = desk.set_active(who.which()?, true).await;
            Ok(done(
                "activated",
                &changed.map_err(|error| failed("the user was not activated", error))?,
            ))
        }
        Command::Deactivate { who } => {
            let changed = desk.set_active(who.which()?, false).await;
            Ok(done(
                "deactivated",
                &changed.map_err(|error| failed("the user was not deactivated", error))?,
            ))
        }
        Command::Delete { who, yes } => delete(desk, &who, yes).await,
    }
}

fn failed(what: &str, error: Error) -> Failure {
    desk::failed(what, error)
}

/// Nobody should have to start the gateway before it has its first user.
pub(super) async fn prepare(config: &Config, store: &dyn Store) -> Result<(), Failure> {
    let version = store.schema_version().await.map_err(|error| migrate::failed(&error))?;
    if version == 0 && config.store.migrate {
        store.migrate(&|_| {}).await.map_err(|error| migrate::failed(&error))?;
    }
    Ok(())
}

impl Who {
    fn which(&self) -> Result<Which<'_>, Failure> {
        match (&self.name, self.id) {
            (_, Some(id)) => Ok(Which::Id(UserId(id))),
            (Some(name), None) => Ok(Which::Name(name)),
            (None, None) => Err(Failure::usage("no user is named", "give a name, or an id with --id")),
        }
    }
}

fn which_and_roles(arguments: &[String], id: Option<i64>) -> Result<(Which<'_>, &str), Failure> {
    match (arguments, id) {
        ([name, roles], None) => Ok((Which::Name(name), roles)),
        ([roles], Some(id)) => Ok((Which::Id(UserId(id)), roles)),
        _ => Err(Failure::usage(
            "a user and roles are needed",
            "doorward user roles NAME a,b, or doorward user roles --id N a,b; \"\" takes all roles away",
        )),
    }
}

async fn delete(desk: &Administration, who: &Who, yes: bool) -> Result<String, Failure> {
    let what = "the user was not deleted";
    let account = desk.show(who.which()?).await.map_err(|error| failed(what, error))?;
    if !yes {
        if !terminal::is_interactive() {
            return Err(Failure::usage(
                "there is no terminal to ask on",
                "say --yes to delete without being asked",
            ));
        }
        let question = format!("Delete {} (id {})?", terminal::shown(&account.username), account.id);
        if !terminal::confirm(&question)? {
            return Err(Failure::run(what, "the answer was not yes", "say y to delete"));
        }
    }
    // By id: what was shown is what goes, whatever the names have become.
    let gone = desk.delete(Which::Id(UserId(account.id))).await;
    Ok(done("deleted", &gone.map_err(|error| failed(what, error))?))
}

fn done(what: &str, account: &Account) -> String {
    let active = if account.active { "active" } else { "inactive" };
    let roles = match account.roles.is_empty() {
        true => "no roles".to_owned(),
        false => format!("roles {}", terminal::shown(&account.roles.join(","))),
    };
    format!(
        "{what} {} (id {}): {active}, {roles}\n",
        terminal::shown(&account.username),
        account.id
    )
}

async fn list(desk: &Administration, json: bool) -> Result<String, Failure> {
    let mut accounts: Vec<Account> = Vec::new();
    loop {
        let after = accounts.last().map(|account| UserId(account.id));
        let page = desk
            .list(after)
            .await
            .map_err(|error| failed("the users cannot be listed", error))?;
        if page.is_empty() {
            break;
        }
        accounts.extend(page);
    }
    if json {
        return terminal::json(&accounts);
    }
    if accounts.is_empty() {
        return Ok("No users yet: doorward user add NAME makes one.\n".to_owned());
    }
    let rows: Vec<_> = accounts
        .into_iter()
        .map(|account| {
            let roles = account.roles.join(",");
            [
                account.id.to_string(),
                account.username,
                yes_no(account.active),
                roles,
                account.email.unwrap_or_default(),
            ]
        })
        .collect();
    Ok(terminal::table(["ID", "NAME", "ACTIVE", "ROLES", "EMAIL"], &rows))
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

async fn show(desk: &Administration, store: &dyn Store, who: &Who, json: bool) -> Result<String, Failure> {
    let account = desk
        .show(who.which()?)
        .await
        .map_err(|error| failed("the user cannot be shown", error))?;
    let sessions = store
        .sessions_of(UserId(account.id), Clock::system().unix_millis())
        .await;
    let sessions = sessions.map_err(|error| migrate::failed(&error))?;
    if json {
        let mut value = json!(account);
        if let Some(members) = value.as_object_mut() {
            members.insert("sessions".to_owned(), sessions.iter().map(session_as_json).collect());
        }
        return terminal::json(&value);
    }
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let email = match (account.email, account.email_verified) {
        (None, _) => String::new(),
        (Some(email), true) => format!("{email} (confirmed)"),
        (Some(email), false) => format!("{email} (not confirmed)"),
    };
    let lines = [
        ("id", account.id.to_string()),
        ("name", account.username),
        ("active", yes_no(account.active)),
        ("roles", or_none(account.roles.join(","))),
        ("email", or_none(email)),
        (
            "password",
            account
                .password
                .unwrap_or_else(|| "none that can be verified".to_owned()),
        ),
        ("sessions", sessions.len().to_string()),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        writeln!(text, "{name:<9} {}", terminal::shown(&value)).ok();
    }
    for session in &sessions {
        let opened = times::or_dash(Some(session.created_at));
        let ends = times::or_dash(Some(session.idle_until.min(session.expires_at)));
        writeln!(text, "  {}  opened {opened}, ends {ends} unless refreshed", session.id).ok();
    }
    Ok(text)
}

fn session_as_json(session: &Session) -> Value {
    json!({
        "id": session.id.to_string(),
        "created_at": times::rfc3339(session.created_at),
        "idle_until": times::rfc3339(session.idle_until),
        "expires_at": times::rfc3339(session.expires_at),
    })
}
