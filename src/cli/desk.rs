//! The administrator's desk for commands: opened over the configured store, its errors told with what to do about them.

use std::sync::Arc;

use super::Failure;
use crate::account::{Administration, Error, Settings};
use crate::clock::Clock;
use crate::config::Config;
use crate::password::{Pool, policy};
use crate::server;
use crate::store::{Location, Store};

/// Opens the desk of a configuration, and the store under it.
pub async fn open(config: &Config) -> Result<(Administration, Arc<dyn Store>), Failure> {
    let store = server::open_store(config).await?;
    let pool = Pool::start(config.passwords.clone(), Box::new(|_| {})).map_err(|error| {
        let hint = "raise the limit of processes";
        Failure::run("the password workers cannot be started", error, hint)
    })?;
    let settings: Settings = config.accounts.clone();
    let desk = Administration::new(Arc::clone(&store), pool, settings, &config.tokens, Clock::system());
    Ok((desk, store))
}

/// Refuses where the file of the embedded store is not there. Opening it would make one, with its folder: whoever only reads makes
/// nothing, least of all where they stand in the wrong folder.
pub fn is_there(config: &Config) -> Result<(), Failure> {
    let Location::Sqlite(path) = &config.store.location else {
        return Ok(());
    };
    if path.try_exists().unwrap_or(true) {
        return Ok(());
    }
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    Err(Failure::run(
        format!("there is no store at {}", whole.display()),
        "no such file, and what only reads makes none",
        "data_dir and sqlite: paths are relative to the working directory: run it where the gateway runs, or name --data-dir; \
         `doorward migrate` makes a new store",
    ))
}

/// An error of the desk, and what to do about it.
pub fn failed(what: &str, error: Error) -> Failure {
    let hint = match &error {
        Error::NameTaken => "choose another name, or change that user: doorward user passwd, roles, activate",
        Error::EmailTaken => "one address belongs to one user; doorward user list shows whose it is",
        Error::RowRefused(_) => "choose a shorter name or another address, or change the table",
        Error::EmailRequired => "give one with --email",
        Error::InvalidUsername(_) => "choose another name",
        Error::InvalidEmail(_) => "give the address alone, such as alice@example.com",
        Error::InvalidRole(_) => "give the roles with commas between them, such as --roles user,admin",
        Error::WeakPassword(_) => "choose a longer one, such as four words",
        Error::NoSuchUser => "names are compared exactly; doorward user list shows all of them",
        Error::SeveralUsers(_) => "say which one with --id N, in place of the name",
        Error::NoSuchSession => "doorward session list shows those that live",
        Error::StoreUnavailable(_) => {
            "check [store], and whether the store runs; doorward migrate brings a schema up to date"
        }
        Error::Internal(_) => "check the rights of the store's user, and the table the cause names",
        Error::Busy
        | Error::InvalidCredentials
        | Error::Inactive
        | Error::TooManyAttempts { .. }
        | Error::InvalidGrant
        | Error::Praetorian(_)
        | Error::RegistrationClosed
        | Error::NoSession
        | Error::CredentialNotAllowed
        | Error::NoSuchKey
        | Error::TooManyKeys
        | Error::InvalidKeyName
        | Error::InvalidKeyLife
        | Error::RoleNotOwned(_)
        | Error::AdminRole
        | Error::InvalidCode
        | Error::TokenTooLong
        | Error::NoMail
        | Error::NotReady => "try again",
    };
    Failure::run(what, error, hint)
}

/// What speaks against a password that was taken all the same.
pub fn warn(reasons: &[policy::Reason]) {
    for reason in reasons {
        eprintln!("warning: the password {reason}");
    }
}

/// Roles with commas between them, one by one; nothing is no role.
pub fn roles(text: &str) -> Vec<String> {
    let roles = text.split(',').map(str::trim).filter(|role| !role.is_empty());
    roles.map(str::to_owned).collect()
}
