//! Registration: somebody makes an account for themselves.

use crate::password::policy;
use crate::secret::Secret;
use crate::store::{Created, NewUser, User, name_key};

use super::{Accounts, Caller, Error, Registration, Tokens, audit, email, roles, username};

/// Who wants an account.
#[derive(Clone, Debug)]
pub struct Registrant {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
    /// An e-mail address, which nobody has confirmed.
    pub email: Option<String>,
}

/// What a new account is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// Everything that speaks against it.
    All,
    /// Little but lengths: there were no rules at the server that the gateway stands in for.
    Lengths,
}

impl Accounts {
    /// Makes an account and logs in. Of several simultaneous registrations of one name exactly one makes the row.
    pub async fn register(&self, registrant: Registrant, caller: impl Into<Caller>) -> Result<Tokens, Error> {
        let caller = caller.into();
        let user = self.register_only(registrant, &caller).await?;
        self.open_registered(&user, &caller).await
    }

    /// Makes an account, and no session.
    pub async fn register_only(&self, registrant: Registrant, caller: &Caller) -> Result<User, Error> {
        self.register_by(Rules::All, registrant, caller).await
    }

    /// The first session of an account that was just made.
    pub(super) async fn open_registered(&self, user: &User, caller: &Caller) -> Result<Tokens, Error> {
        // `None`: an administrator was faster than this line.
        let tokens = self.open_session(user, caller).await?;
        tokens.ok_or(Error::InvalidCredentials)
    }

    pub(super) async fn register_by(
        &self,
        rules: Rules,
        registrant: Registrant,
        caller: &Caller,
    ) -> Result<User, Error> {
        match self.settings.registration {
            Registration::Closed => return Err(Error::RegistrationClosed),
            Registration::Open => {}
            // Who has to confirm an address is not logged in yet: `enrol`.
            Registration::VerifyEmail => return Err(Error::EmailRequired),
        }
        let Registrant {
            username,
            password,
            email,
        } = registrant;
        // Where there were no rules there was no address either: it is of use only if the table wants one.
        let (email, spare) = match rules {
            Rules::All => (email, None),
            Rules::Lengths => (None, email),
        };
        self.judge(rules, &username, &password, email.as_deref())?;
        // A name that is taken costs no hash; who is first is decided by the store.
        let taken = self.books.store().users_named(&username);
        if !self.books.ask("users_named", taken).await?.is_empty() {
            return Err(Error::NameTaken);
        }
        let long = username::is_long(&username);
        let hash = self.pool.hash(password, self.pool.settings().scheme).await?;
        let kept = roles::keep(&self.settings.default_roles, &self.settings.admin_role)?;
        let user = NewUser {
            name_key: name_key(&username),
            username,
            password: hash,
            roles: kept.column,
            active: true,
            email,
            email_verified: false,
            // Whatever the configuration says: this role is given by command only.
            grants: Vec::new(),
        };
        let user = match (self.create(user.clone(), long).await, spare) {
            (Err(Error::EmailRequired), Some(address)) => {
                email::check(&address, Rules::All)?;
                let email = Some(address);
                self.create(NewUser { email, ..user }, long).await?
            }
            (Err(error @ Error::EmailRequired), None) if rules == Rules::Lengths => {
                tracing::warn!(
                    "a registration without an e-mail address was refused: the column users.email wants one of every \
                     account; accounts.registration = \"verify_email\" is for clients that send it"
                );
                return Err(error);
            }
            (created, _) => created?,
        };
        audit::registered(&user, caller.address);
        Ok(user)
    }

    async fn create(&self, user: NewUser, long: bool) -> Result<User, Error> {
        let created = self.books.store().create_user(user, self.clock.unix_millis());
        let created = self.books.ask("create_user", created).await;
        match created.map_err(|error| unfit(error, long))? {
            Created::New(user) => Ok(user),
            Created::NameTaken(_) => Err(Error::NameTaken),
            Created::EmailTaken(_) => Err(Error::EmailTaken),
            Created::EmailRequired => Err(Error::EmailRequired),
            Created::RowRefused(why) => Err(refused(why)),
        }
    }

    pub(super) fn judge(
        &self,
        rules: Rules,
        username: &str,
        password: &Secret<String>,
        address: Option<&str>,
    ) -> Result<(), Error> {
        let faults = username::check(username, rules);
        if !faults.is_empty() {
            return Err(Error::InvalidUsername(faults));
        }
        let mut reasons = policy::check(password.expose(), username, self.pool.settings().min_length);
        reasons.retain(|reason| rules.ask_for(*reason));
        if !reasons.is_empty() {
            return Err(Error::WeakPassword(reasons));
        }
        address.map_or(Ok(()), |address| Ok(email::check(address, rules)?))
    }
}

/// A name without rules may be longer than a table's column, or than an index of it, takes.
pub(super) fn unfit(error: Error, is_long: bool) -> Error {
    match error {
        Error::Internal(cause) if is_long => {
            tracing::warn!(cause, "the table of users did not take a long name");
            Error::InvalidUsername(vec![username::Fault::TooLong(username::MAX_BYTES)])
        }
        error => error,
    }
}

/// The table of another server has rules of its own, which whoever runs it must hear of: nobody else can tell.
pub(super) fn refused(why: String) -> Error {
    tracing::warn!(reason = why, "the table of users refused a new account");
    Error::RowRefused(why)
}

impl Rules {
    pub(super) fn ask_for(self, reason: policy::Reason) -> bool {
        match (self, reason) {
            (Self::All, _) | (Self::Lengths, policy::Reason::TooShort(_) | policy::Reason::TooLong) => true,
            (Self::Lengths, policy::Reason::Common | policy::Reason::LikeUsername) => false,
        }
    }
}
