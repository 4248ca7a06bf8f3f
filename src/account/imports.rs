//! Accounts of another table, taken over: hashes untouched, nothing overwritten, every row that stays behind told.

use crate::password::{self, StoredHash};
use crate::principal::UserId;
use crate::store::{Imported, ImportedUser, name_key};

use super::username::MAX_BYTES_ANYWHERE;
use super::{Administration, Error};

/// The ids that are taken over: behind the highest one the table must find more, and some programs hold numbers as floats.
const IDS: std::ops::RangeInclusive<i64> = 1..=1 << 53;

/// An account as another table has it. `None` is NULL.
#[derive(Clone, Debug, Default)]
pub struct ForeignAccount {
    /// Its id there, where it is to be kept.
    pub id: Option<i64>,
    /// The name.
    pub username: String,
    /// The hash.
    pub password: Option<String>,
    /// The roles, with commas between them.
    pub roles: Option<String>,
    /// Whether it may be used; NULL is no.
    pub active: Option<bool>,
    /// The e-mail address; it does not count as confirmed.
    pub email: Option<String>,
}

/// What became of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is here now, with what somebody should know about it.
    New(Vec<String>),
    /// It was here already, just the same.
    Already,
    /// It stays behind, for this reason.
    Not(String),
}

impl Administration {
    /// Takes over some accounts (a few hundred at once), what became of each, in their order.
    ///
    /// # Errors
    /// The store does not answer: nothing of these was taken over, and all can be tried again.
    pub async fn import(&self, accounts: Vec<ForeignAccount>) -> Result<Vec<Taken>, Error> {
        let judged: Vec<Result<(ImportedUser, Vec<String>), String>> =
            accounts.into_iter().map(|account| self.judge(account)).collect();
        let users: Vec<ImportedUser> = judged.iter().flatten().map(|(user, _)| user.clone()).collect();
        let mut imported = self.store.import_users(&users).await?.into_iter();
        let taken = judged.into_iter().map(|judged| match judged {
            Err(why) => Ok(Taken::Not(why)),
            Ok((_, notes)) => {
                let lost = || Error::Internal("the store lost count of the rows".to_owned());
                imported.next().map(|outcome| told(outcome, notes)).ok_or_else(lost)
            }
        });
        taken.collect()
    }

    fn judge(&self, account: ForeignAccount) -> Result<(ImportedUser, Vec<String>), String> {
        let name = &account.username;
        if name.is_empty() {
            return Err("it has no name".to_owned());
        }
        if name.len() > MAX_BYTES_ANYWHERE {
            return Err(format!("its name is longer than {MAX_BYTES_ANYWHERE} bytes"));
        }
        let texts = [Some(name), account.roles.as_ref(), account.email.as_ref()];
        if texts.iter().flatten().any(|text| text.contains('\0')) {
            return Err("it holds a NUL character, which no database takes".to_owned());
        }
        let no_id = |id: &i64| !IDS.contains(id);
        if account.id.as_ref().is_some_and(no_id) {
            let (low, high) = (IDS.start(), IDS.end());
            return Err(format!(
                "its id is none from {low} to {high}; --new-ids gives it a new one"
            ));
        }
        for (what, text) in [("roles hold", &account.roles), ("e-mail address holds", &account.email)] {
            let odd = |text: &String| text.chars().any(char::is_control);
            if text.as_ref().is_some_and(odd) {
                return Err(format!("its {what} a line end or another control character"));
            }
        }
        let mut notes = Vec::new();
        match account.password.as_deref().unwrap_or_default() {
            "" => notes.push("it has no password: nobody can log in until one is set".to_owned()),
            hash => {
                // What cannot be verified may be a password in the clear: it is neither kept nor shown.
                StoredHash::parse(hash).map_err(unusable)?;
            }
        }
        let admin = &self.settings.admin_role;
        let roles = account.roles.as_deref().unwrap_or_default();
        if roles.split(',').any(|role| role.trim() == admin) {
            notes.push(format!(
                "the role {admin} in it has no effect: it is granted by `doorward user roles` only"
            ));
        }
        let user = ImportedUser {
            id: account.id.map(UserId),
            name_key: name_key(name),
            username: account.username,
            password: account.password,
            roles: account.roles,
            active: account.active,
            email: account.email.filter(|email| !email.is_empty()),
        };
        Ok((user, notes))
    }
}

fn unusable(why: password::Error) -> String {
    match why {
        password::Error::UnknownScheme => "its password is no hash of a scheme that can be verified".to_owned(),
        password::Error::Malformed => "its password hash is malformed".to_owned(),
        password::Error::TooCostly => "its password hash asks for more work than one login may cost".to_owned(),
        password::Error::Busy | password::Error::TooLong | password::Error::Unavailable => why.to_string(),
    }
}

fn told(outcome: Imported, notes: Vec<String>) -> Taken {
    let not = |why: String| Taken::Not(why);
    match outcome {
        Imported::New(_) => Taken::New(notes),
        Imported::Same(_) => Taken::Already,
        Imported::Differs(id, columns) => not(format!(
            "a user of this name is here (id {}) and differs in {}; nothing was changed",
            id.0,
            columns.join(", ")
        )),
        Imported::NameTaken(id) => not(format!(
            "the name of user {} differs from it only in case, width or outer blanks",
            id.0
        )),
        Imported::IdTaken => not("its id is another user's here; --new-ids gives it a new one".to_owned()),
        Imported::EmailTaken(id) => not(format!("user {} has its e-mail address", id.0)),
        Imported::Refused(why) => not(format!("the table refuses it: {why}")),
        Imported::EmailRequired => not("the table of users wants an e-mail address for every user".to_owned()),
    }
}
