//! Registration as the Flask server had it that the gateway can stand in for: whoever shows the name and the password of an
//! account that there is logs in.

use super::registration::Rules;
use super::{Accounts, Caller, Error, Registrant, Registration, Tokens};

/// How often it is looked whether the name is there: once more where somebody else made the row in between.
const LOOKS: usize = 2;

impl Accounts {
    /// Makes an account and logs in, or logs in to the one that has this very name: the throttle counts it, and the password
    /// is verified, as at every login. Of several simultaneous ones exactly one makes the row. [`Error::NameTaken`]: there is
    /// a name that is too much like this one.
    pub async fn register_or_login(&self, registrant: Registrant, caller: impl Into<Caller>) -> Result<Tokens, Error> {
        let caller = caller.into();
        match self.settings.registration {
            Registration::Closed | Registration::VerifyEmail => return Err(Error::RegistrationClosed),
            Registration::Open => {}
        }
        for _ in 0..LOOKS {
            let rows = self.books.store().users_named(&registrant.username);
            if !self.books.ask("users_named", rows).await?.is_empty() {
                let Registrant { username, password, .. } = registrant;
                return self.login(&username, password, caller).await;
            }
            match self
                .register_by(Rules::Lengths, registrant.clone(), caller.clone())
                .await
            {
                Err(Error::NameTaken) => {}
                outcome => return outcome,
            }
        }
        Err(Error::NameTaken)
    }

    /// Whether an account counts only when its e-mail address was confirmed.
    pub fn confirms_addresses(&self) -> bool {
        match self.settings.registration {
            Registration::Closed | Registration::Open => false,
            Registration::VerifyEmail => true,
        }
    }
}
