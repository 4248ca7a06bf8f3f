//! `doorward migrate`: brings the schema of the store up to date.

use super::terminal::{self, Progress};
use super::{Failure, Places};
use crate::office::OfficeRuntime;
use crate::server;
use crate::store::{self, Migrated};

/// Runs it; on a schema that is up to date it changes nothing.
pub fn run(places: &Places) -> Result<(), Failure> {
    let config = places.load()?.config;
    let office = OfficeRuntime::start()?;
    let (migrated, warnings) = office.block_on(async {
        let store = server::open_store(&config).await?;
        let progress = Progress::start("reading the schema");
        let migrated = store.migrate(&|step| progress.step(step)).await;
        let migrated = migrated.map_err(|error| not_migrated(&error))?;
        let mut warnings = server::warnings_of_table(&*store, config.accounts.registration)
            .await
            .map_err(|error| failed(&error))?;
        warnings.extend(migrated.nobody_found().filter(|_| config.compat.flask));
        Ok::<_, Failure>((migrated, warnings))
    })?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    terminal::print(&told(&migrated))
}

fn not_migrated(error: &store::Error) -> Failure {
    match error {
        store::Error::Schema(_) => Failure::run(
            "the store did not do it",
            error,
            "change the table as it says, or name another database or schema in store.url (?options=-csearch_path%3DNAME)",
        ),
        store::Error::Unavailable(_) | store::Error::Refused(_) => failed(error),
    }
}

/// A failure of the store, and what to do about it.
pub fn failed(error: &store::Error) -> Failure {
    let hint = match error {
        store::Error::Unavailable(_) => "check [store], and whether the store runs and can be reached",
        store::Error::Schema(_) => "doorward migrate brings a schema up to date",
        store::Error::Refused(_) => "check the rights of the store's user, and the table the cause names",
    };
    Failure::run("the store did not do it", error, hint)
}

fn told(migrated: &Migrated) -> String {
    let Migrated {
        from,
        to,
        took_over,
        made_users,
    } = migrated;
    if from == to {
        return format!("The schema is at version {to}; there was nothing to do.\n");
    }
    let taken = match took_over {
        true => "The existing table \"users\" was taken over; its rows are as they were.\n".to_owned(),
        false => made_users.as_ref().map_or_else(String::new, |place| {
            format!("There was no table \"users\" in {place}; it was made.\n")
        }),
    };
    format!("The schema went from version {from} to version {to}.\n{taken}")
}
