//! `doorward user …`: people, from the command line. A running gateway on the same store acts on it within a second.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::migrate::failed;
use super::people::{self, NewPerson};
use super::{Failure, Places, terminal, times};
use crate::clock::Clock;
use crate::config::Config;
use crate::office::OfficeRuntime;
use crate::password::Shape;
use crate::revocation::roles_in_force;
use crate::server;
use crate::store::{NewPassword, Session, Store, User, UserChange};

/// Users that are read at once.
const PAGE: u32 = 1_000;

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
        let store = server::open_store(&config).await?;
        do_it(&config, &*store, command).await
    })?;
    terminal::print(&told)
}

async fn do_it(config: &Config, store: &dyn Store, command: Command) -> Result<String, Failure> {
    match command {
        Command::Add { name, roles, email, password_stdin } => {
            let roles = roles.unwrap_or_else(|| config.accounts.default_roles.join(","));
            let hash = people::hash(config, &name, terminal::new_password(password_stdin)?).await?;
            if config.store.migrate && store.schema_version().await.map_err(|error| failed(&error))? == 0 {
                // Nobody should have to start the gateway before it has its first user.
                store.migrate(&|_| {}).await.map_err(|error| failed(&error))?;
            }
            let person = NewPerson { name: &name, roles: &roles, email: email.as_deref(), hash };
            let user = people::create(store, person, &config.admin.role).await?;
            Ok(done("added", &user, config))
        }
        Command::List { json } => list(config, store, json).await,
        Command::Show { who, json } => show(config, store, &who.find(store).await?, json).await,
        Command::Passwd { who, password_stdin } => {
            let user = who.find(store).await?;
            let hash = people::hash(config, &user.username, terminal::new_password(password_stdin)?).await?;
            let password = Some(NewPassword { hash, keep: None });
            let change = UserChange { password, ..UserChange::default() };
            Ok(done("has a new password, and no session:", &people::change_user(store, user.id, change).await?, config))
        }
        Command::Roles { name_and_roles, id } => {
            let (name, roles) = name_and_roles_of(&name_and_roles, id)?;
            let user = people::find(store, name, id).await?;
            let (roles, grants) = people::roles_and_grants(roles, &config.admin.role)?;
            let change = UserChange { roles: Some(roles), grants: Some(grants), ..UserChange::default() };
            Ok(done("changed", &people::change_user(store, user.id, change).await?, config))
        }
        Command::Activate { who } => set_active(config, store, &who, true).await,
        Command::Deactivate { who } => set_active(config, store, &who, false).await,
        Command::Delete { who, yes } => delete(store, &who.find(store).await?, yes).await,
    }
}

impl Who {
    async fn find(&self, store: &dyn Store) -> Result<User, Failure> {
        people::find(store, self.name.as_deref(), self.id).await
    }
}

fn name_and_roles_of(arguments: &[String], id: Option<i64>) -> Result<(Option<&str>, &str), Failure> {
    match (arguments, id) {
        ([name, roles], None) => Ok((Some(name), roles)),
        ([roles], Some(_)) => Ok((None, roles)),
        _ => Err(Failure::usage(
            "a user and roles are needed",
            "doorward user roles NAME a,b, or doorward user roles --id N a,b; \"\" takes all roles away",
        )),
    }
}

async fn set_active(config: &Config, store: &dyn Store, who: &Who, active: bool) -> Result<String, Failure> {
    let user = who.find(store).await?;
    let change = UserChange { active: Some(active), ..UserChange::default() };
    let user = people::change_user(store, user.id, change).await?;
    Ok(done(if active { "activated" } else { "deactivated" }, &user, config))
}

async fn delete(store: &dyn Store, user: &User, yes: bool) -> Result<String, Failure> {
    let name = terminal::shown(&user.username);
    if !yes {
        if !terminal::is_interactive() {
            return Err(Failure::usage("there is no terminal to ask on", "say --yes to delete without being asked"));
        }
        if !terminal::confirm(&format!("Delete {name} (id {})?", user.id))? {
            return Err(Failure::run("nothing was deleted", "the answer was not yes", "say y to delete"));
        }
    }
    match store.delete_user(user.id, Clock::system().unix_millis()).await.map_err(|error| failed(&error))? {
        true => Ok(format!("deleted {name} (id {})\n", user.id)),
        false => Err(Failure::run("there is no such user", "somebody else deleted it just now", "nothing to do")),
    }
}

fn done(what: &str, user: &User, config: &Config) -> String {
    let active = if user.active { "active" } else { "inactive" };
    let roles = roles_in_force(user, &config.admin.role).to_column();
    let roles = if roles.is_empty() { "no roles".to_owned() } else { format!("roles {}", terminal::shown(&roles)) };
    format!("{what} {} (id {}): {active}, {roles}\n", terminal::shown(&user.username), user.id)
}

async fn list(config: &Config, store: &dyn Store, json: bool) -> Result<String, Failure> {
    let mut users = Vec::new();
    loop {
        let after = users.last().map(|user: &User| user.id);
        let page = store.users_after(after, PAGE).await.map_err(|error| failed(&error))?;
        if page.is_empty() {
            break;
        }
        users.extend(page);
    }
    if json {
        let users: Vec<_> = users.iter().map(|user| as_json(user, config)).collect();
        return terminal::json(&users);
    }
    if users.is_empty() {
        return Ok("No users yet: doorward user add NAME makes one.\n".to_owned());
    }
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let rows: Vec<_> = users
        .into_iter()
        .map(|user| {
            let roles = roles_in_force(&user, &config.admin.role).to_column();
            [user.id.to_string(), user.username, yes_no(user.active), roles, user.email.unwrap_or_default()]
        })
        .collect();
    Ok(terminal::table(["ID", "NAME", "ACTIVE", "ROLES", "EMAIL"], &rows))
}

fn as_json(user: &User, config: &Config) -> Value {
    json!({
        "id": user.id.0,
        "username": user.username,
        "active": user.active,
        "roles": roles_in_force(user, &config.admin.role).iter().collect::<Vec<_>>(),
        "granted": user.grants,
        "email": user.email,
        "email_verified": user.email_verified,
    })
}

async fn show(config: &Config, store: &dyn Store, user: &User, json: bool) -> Result<String, Failure> {
    let now = Clock::system().unix_millis();
    let sessions = store.sessions_of(user.id, now).await.map_err(|error| failed(&error))?;
    if json {
        let mut value = as_json(user, config);
        if let Some(members) = value.as_object_mut() {
            members.insert("sessions".to_owned(), sessions.iter().map(session_as_json).collect());
        }
        return terminal::json(&value);
    }
    let roles = roles_in_force(user, &config.admin.role).to_column();
    let email = match (&user.email, user.email_verified) {
        (None, _) => "none".to_owned(),
        (Some(email), true) => format!("{email} (confirmed)"),
        (Some(email), false) => format!("{email} (not confirmed)"),
    };
    let lines = [
        ("id", user.id.to_string()),
        ("name", user.username.clone()),
        ("active", if user.active { "yes" } else { "no" }.to_owned()),
        ("roles", if roles.is_empty() { "none".to_owned() } else { roles }),
        ("granted", if user.grants.is_empty() { "none".to_owned() } else { user.grants.join(",") }),
        ("email", email),
        ("password", Shape::of(&user.password).map_or("none that could be verified".to_owned(), |shape| shape.to_string())),
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
