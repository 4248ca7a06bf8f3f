//! `[accounts]`, `[passwords]` and `[throttle]`.

use std::num::NonZeroUsize;

use super::field;
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::{account, password, throttle};

/// `[accounts]`.
pub fn accounts(accounts: &file::Accounts, admin_role: &str, report: &mut Report<'_>) -> Option<account::Settings> {
    let key = KeyPath::of("accounts");
    let words = [
        ("closed", account::Registration::Closed),
        ("open", account::Registration::Open),
        ("verify_email", account::Registration::VerifyEmail),
    ];
    let registration = report.choose(&key.key("registration"), &accounts.registration, &words);
    let place = key.key("default_roles");
    let default_roles = field::roles(report, &place, &accounts.default_roles);
    for (index, role) in accounts.default_roles.iter().enumerate() {
        if role == admin_role {
            report.error(
                Fault::at(&place.index(index), "any role but admin.role")
                    .hint("the admin role is granted by the command `doorward user roles` only"),
            );
            return None;
        }
    }
    Some(account::Settings {
        registration: registration?,
        default_roles: default_roles?,
        admin_role: admin_role.to_owned(),
    })
}

/// Who is to confirm an address must get a mail.
pub fn registration(accounts: &file::Accounts, mail: &file::Mail, report: &mut Report<'_>) {
    if accounts.registration != "verify_email" {
        return;
    }
    for (key, missing) in [("mail.url", mail.url.is_empty()), ("mail.from", mail.from.is_empty())] {
        let key = KeyPath::of(key);
        if missing && !report.failed(&key) {
            let hint = "accounts.registration = \"verify_email\" sends a mail to whoever registers";
            report.error(Fault::at(&key, "a value, as addresses are to be confirmed").hint(hint));
        }
    }
}

/// `[passwords]`.
///
/// Beside a Flask server (`flask`) new hashes are of the kind it makes itself, unless better ones are asked for: it reads
/// both.
pub fn passwords(
    passwords: &file::Passwords,
    flask: bool,
    cores: usize,
    report: &mut Report<'_>,
) -> Option<password::Settings> {
    let key = KeyPath::of("passwords");
    let max_concurrent = field::number(report, &key.key("max_concurrent"), passwords.max_concurrent, 0..=1024);
    let queue = field::number(report, &key.key("queue"), passwords.queue, 1..=1_000_000);
    let memory_kib = u32::try_from(passwords.memory.0 / 1024).unwrap_or(u32::MAX);
    let cost = match password::Cost::new(memory_kib, passwords.iterations, passwords.parallelism) {
        Ok(cost) => Some(cost),
        Err(error) => {
            let found = format!(
                "memory = {memory_kib} KiB, iterations = {}, parallelism = {}",
                passwords.iterations, passwords.parallelism
            );
            report.error(Fault::at(&key.key("memory"), error.to_string()).found(found));
            None
        }
    };
    let length = usize::try_from(passwords.min_length).unwrap_or(usize::MAX);
    let min_length = match password::MinLength::new(length) {
        Ok(length) => Some(length),
        Err(error) => {
            report.error(Fault::at(&key.key("min_length"), error.to_string()));
            None
        }
    };
    let half_the_cores = NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN);
    Some(password::Settings {
        cost: cost?,
        max_concurrent: NonZeroUsize::new(max_concurrent?).unwrap_or(half_the_cores),
        queue: NonZeroUsize::new(queue?)?,
        min_length: min_length?,
        upgrade: passwords.upgrade,
        scheme: match flask && !passwords.upgrade {
            true => password::Scheme::PraetorianPbkdf2,
            false => password::Scheme::default(),
        },
        only_praetorian: flask,
    })
}

/// `[throttle]`.
pub fn throttle(throttle: &file::Throttle, report: &mut Report<'_>) -> Option<throttle::Settings> {
    let key = KeyPath::of("throttle");
    let many = 1..=1_000_000;
    let account = field::number(
        report,
        &key.key("login_failures"),
        throttle.login_failures,
        many.clone(),
    );
    let place = key.key("login_failures_per_address");
    let address = field::number(report, &place, throttle.login_failures_per_address, many);
    let window = field::positive(report, &key.key("window"), throttle.window);
    account.and(address)?;
    Some(throttle::Settings {
        login_failures: throttle.login_failures,
        login_failures_per_address: throttle.login_failures_per_address,
        window: window?,
        silent: throttle.silent,
    })
}
