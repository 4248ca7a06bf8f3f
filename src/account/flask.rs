//! Registration as the Flask server had it that the gateway can stand in for: whoever shows the name and the password of an
//! account that there is logs in.

use std::time::Duration;

use crate::secret::Secret;
use crate::store::{Purpose, User};
use crate::token;
use crate::token::praetorian::{MailPurpose, Praetorian};

use super::registration::Rules;
use super::{Accounts, Caller, Enrolment, Error, MintsMailTokens, Registrant, Registration, Shown, Tokens};

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
            match self.register_by(Rules::Lengths, registrant.clone(), &caller).await {
                Ok(user) => return self.open_registered(&user, &caller).await,
                Err(Error::NameTaken) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::NameTaken)
    }

    /// As [`Self::enrol`], and a name or an address that is there comes before anything that may be wrong with the rest.
    pub async fn enrol_in_flask(&self, registrant: Registrant, caller: &Caller) -> Result<Enrolment, Error> {
        let store = self.books.store();
        let rows = store.users_named(&registrant.username);
        if !self.books.ask("users_named", rows).await?.is_empty() {
            return Ok(Enrolment::NameTaken);
        }
        if let Some(address) = registrant.email.as_deref().filter(|address| !address.is_empty()) {
            let owner = store.user_with_email(address);
            if self.books.ask("user_with_email", owner).await?.is_some() {
                return Ok(Enrolment::EmailTaken);
            }
        }
        let username = registrant.username.clone();
        let enrolled = self.enrol(registrant, caller).await?;
        if enrolled != Enrolment::NameTaken {
            return Ok(enrolled);
        }
        // This very name, which somebody took meanwhile, or one like it that this server cannot have beside it.
        let rows = store.users_named(&username);
        match self.books.ask("users_named", rows).await?.is_empty() {
            true => Err(Error::NameTaken),
            false => Ok(enrolled),
        }
    }

    /// What a token that came by mail says, if it is good for this.
    pub fn read_mail_token(&self, purpose: MailPurpose, token: &[u8]) -> Result<Shown, Error> {
        let praetorian = self.stateless().ok_or(Error::InvalidCode)?;
        if !self.revocations.ready() {
            return Err(Error::NotReady);
        }
        let revoked = |id: &str| self.revocations.is_token_revoked(id);
        let read = praetorian.read_mail_token(purpose, token, self.clock.unix_millis(), &revoked);
        let mailed = super::recovery::mailed(token);
        let token = read.map_err(Error::Praetorian)?;
        Ok(Shown::Token {
            user: token.user,
            issued_at: token.issued_at,
            mailed,
            token_id: token.token_id,
            expires_at: token.expires_at.saturating_mul(1000),
        })
    }
}

impl Accounts {
    /// What stood in the link of a mail from here, whichever kind that is.
    pub fn read_mailed(&self, purpose: MailPurpose, code: Secret<String>) -> Result<Shown, Error> {
        if self.mailing()?.codes.are_opaque() {
            return Ok(Shown::Code(code));
        }
        let read = self.read_mail_token(purpose, code.expose().as_bytes());
        read.map_err(|error| match error {
            Error::Praetorian(_) => Error::InvalidCode,
            error => error,
        })
    }
}

/// Mints what stands in the links of mails.
pub struct MailTokens(Praetorian);

impl MailTokens {
    /// By these settings; `None`: mails hold codes of our own.
    pub fn new(settings: &token::Settings) -> Option<Self> {
        Praetorian::new(settings).filter(Praetorian::issues).map(Self)
    }
}

impl MintsMailTokens for MailTokens {
    fn mint(&self, purpose: Purpose, user: &User, now: i64) -> Result<(Secret<String>, Duration), Error> {
        let purpose = match purpose {
            Purpose::Confirmation => MailPurpose::Registration,
            Purpose::Reset => MailPurpose::Reset,
        };
        let random = aws_lc_rs::rand::SystemRandom::new();
        let token = self.0.mail_token(purpose, user.id, &user.roles, &random, now)?;
        let life = Duration::from_secs(u64::try_from(token.expires_in).unwrap_or(0));
        Ok((token.token, life))
    }

    fn life(&self) -> Duration {
        self.0.life()
    }
}
