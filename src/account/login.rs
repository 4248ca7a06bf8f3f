//! Login: a name and a password, and at its end a session or one of a few refusals that betray nothing.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use crate::password::{self, Scheme, StandIn, Verdict};
use crate::principal::UserId;
use crate::secret::Secret;
use crate::store::User;
use crate::telemetry::LoginResult;
use crate::throttle::{Attempt, Refused};

use super::audit::{self, Rejection};
use super::{Accounts, Caller, Error, Tokens};

/// How often a login begins again because the row changed while its password was verified. Another login that replaces
/// the hash by a better one does that once.
const ROUNDS: usize = 2;

/// What the table holds under a name.
enum Found {
    Nobody,
    One(Box<User>),
    /// Nobody can tell who is meant.
    Several(Vec<UserId>),
}

/// What became of the password.
enum Checked {
    Right { user: Box<User>, upgrade: bool },
    Wrong(Rejection),
}

/// What a login opens for somebody whose password was right.
pub(super) trait Opens: Sync {
    /// What it gives.
    type Gives: Send;

    /// Opens it; `None`: the row holds another password by now, or is not active any more.
    fn open(&self, accounts: &Accounts, user: &User)
    -> impl Future<Output = Result<Option<Self::Gives>, Error>> + Send;
}

/// A session carried by tokens.
struct ByTokens<'a>(&'a Caller);

impl Opens for ByTokens<'_> {
    type Gives = Tokens;

    async fn open(&self, accounts: &Accounts, user: &User) -> Result<Option<Tokens>, Error> {
        accounts.open_session(user, self.0).await
    }
}

impl Accounts {
    /// Logs somebody in.
    pub async fn login(
        &self,
        name: &str,
        password: Secret<String>,
        caller: impl Into<Caller>,
    ) -> Result<Tokens, Error> {
        let caller = caller.into();
        self.login_opening(&ByTokens(&caller), name, password, caller.address)
            .await
    }

    /// A login, whatever it opens: one throttle, one password check, one audit line.
    pub(super) async fn login_opening<O: Opens>(
        &self,
        opens: &O,
        name: &str,
        password: Secret<String>,
        client: IpAddr,
    ) -> Result<O::Gives, Error> {
        let outcome = self.try_login(opens, name, &password, client).await;
        self.metrics.login(label(&outcome));
        match outcome {
            Err(Error::TooManyAttempts { .. }) if self.throttle.settings().silent => {
                Err(self.pretend(name, password).await)
            }
            outcome => outcome,
        }
    }

    async fn try_login<O: Opens>(
        &self,
        opens: &O,
        name: &str,
        password: &Secret<String>,
        client: IpAddr,
    ) -> Result<O::Gives, Error> {
        let attempt = self.admit(name, client).await?;
        let stand_in = self.stand_ins.current().await?;
        let mut rejection = Rejection::ChangedMeanwhile;
        for _ in 0..ROUNDS {
            let found = self.find(name).await?;
            match self.check(found, name, password, &stand_in).await? {
                Checked::Wrong(why) => {
                    // Asked for nothing: it takes its time.
                    self.waits_in_secret(None).await?;
                    rejection = why;
                    break;
                }
                Checked::Right { user, .. } if !user.active => {
                    if self.waits_in_secret(Some(user.id)).await? {
                        rejection = Rejection::Unconfirmed(user);
                        break;
                    }
                    audit::inactive(&user, client);
                    return Err(Error::Inactive);
                }
                Checked::Right { user, upgrade } => {
                    if let Some(given) = opens.open(self, &user).await? {
                        audit::logged_in(&user, client);
                        self.forgive(attempt).await;
                        if upgrade {
                            self.upgrade(&user, password.clone());
                        }
                        return Ok(given);
                    }
                }
            }
        }
        self.books.count("add_failure", attempt.failed().await)?;
        audit::rejected(&rejection, client);
        Err(Error::InvalidCredentials)
    }

    /// Whether this account waits for the confirmation of its address, and nobody may learn it: a registration with an address or a
    /// name that is taken makes none, and whoever asked for it would know by the answer to their own password. The Flask server
    /// tells such a registration apart itself.
    async fn waits_in_secret(&self, user: Option<UserId>) -> Result<bool, Error> {
        match &self.mailing {
            Some(mailing) if mailing.codes.are_opaque() => {
                let waits = self.books.store().is_unconfirmed(user.unwrap_or(UserId(-1)));
                self.books.ask("is_unconfirmed", waits).await
            }
            Some(_) | None => Ok(false),
        }
    }

    pub(super) async fn admit(&self, name: &str, client: IpAddr) -> Result<Attempt, Error> {
        let (answer, outcome) = match self.throttle.admit(name, client).await {
            Ok(attempt) => (Ok(()), Ok(attempt)),
            Err(Refused::TooMany { scope, retry_after }) => {
                audit::throttled(scope, client);
                (Ok(()), Err(Error::TooManyAttempts { retry_after }))
            }
            Err(Refused::Busy) => (Ok(()), Err(Error::Busy)),
            Err(Refused::Store(error)) => (Err(error), Err(Error::Busy)),
        };
        self.books.count("failures", answer)?;
        outcome
    }

    async fn find(&self, name: &str) -> Result<Found, Error> {
        // No text of PostgreSQL's can hold NUL, so nobody is called so.
        if name.contains('\0') {
            return Ok(Found::Nobody);
        }
        let rows = self.books.store().users_named(name);
        let mut rows = self.books.ask("users_named", rows).await?.into_iter();
        Ok(match (rows.next(), rows.next()) {
            (None, _) => Found::Nobody,
            (Some(user), None) => Found::One(Box::new(user)),
            (Some(one), Some(other)) => Found::Several(vec![one.id, other.id]),
        })
    }

    /// One password is verified, always: the user's or a stand-in's.
    async fn check(
        &self,
        found: Found,
        name: &str,
        password: &Secret<String>,
        stand_in: &StandIn,
    ) -> Result<Checked, Error> {
        let rejection = match found {
            Found::Nobody => Rejection::UnknownName,
            Found::Several(ids) => {
                tracing::error!(
                    ?ids,
                    "two users have one name: neither can log in until one is renamed or deleted"
                );
                Rejection::SeveralUsers(ids)
            }
            Found::One(user) => match self.pool.verify(password.clone(), &user.password).await {
                Ok(Verdict::Right { upgrade }) => return Ok(Checked::Right { user, upgrade }),
                Ok(Verdict::Wrong) => return Ok(Checked::Wrong(Rejection::WrongPassword(user))),
                Err(password::Error::Busy) => return Err(Error::Busy),
                // It would be refused for every hash alike.
                Err(password::Error::TooLong) => return Ok(Checked::Wrong(Rejection::WrongPassword(user))),
                Err(error @ password::Error::Unavailable) => return Err(Error::Internal(error.to_string())),
                Err(
                    error @ (password::Error::UnknownScheme | password::Error::Malformed | password::Error::TooCostly),
                ) => {
                    tracing::warn!(user.id = user.id.0, %error, "a stored password cannot be verified");
                    Rejection::UnusableHash(user)
                }
            },
        };
        self.spend(password.clone(), stand_in.hash_for(name)).await?;
        Ok(Checked::Wrong(rejection))
    }

    /// Does the work of a verification for nothing.
    async fn spend(&self, password: Secret<String>, stand_in: &str) -> Result<(), Error> {
        match self.pool.spend(password, stand_in).await {
            // Nobody knows a password for it.
            Ok(()) | Err(password::Error::TooLong) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses a throttled login as if its password had been looked at (`throttle.silent`).
    async fn pretend(&self, name: &str, password: Secret<String>) -> Error {
        let spent = async {
            let stand_in = self.stand_ins.current().await?;
            self.spend(password, stand_in.hash_for(name)).await
        };
        spent.await.err().unwrap_or(Error::InvalidCredentials)
    }

    /// The login is done whether or not its failures can be forgotten.
    pub(super) async fn forgive(&self, attempt: Attempt) {
        if let Err(error) = attempt.succeeded().await {
            self.books.count::<()>("clear_failures", Err(error)).ok();
        }
    }

    /// Replaces a weaker hash, behind the back of the login that brought the password.
    fn upgrade(&self, user: &User, password: Secret<String>) {
        let Ok(permit) = Arc::clone(&self.upgrades).try_acquire_owned() else {
            return;
        };
        let (pool, books) = (Arc::clone(&self.pool), self.books.clone());
        let (id, old) = (user.id, user.password.clone());
        tokio::spawn(async move {
            let _permit = permit;
            match pool.hash(password, Scheme::default()).await {
                Ok(new) => {
                    let upgraded = books.store().upgrade_hash(id, &old, &new);
                    // False: the row holds another hash by now, which is as good.
                    books.ask("upgrade_hash", upgraded).await.ok();
                }
                // The next login tries again.
                Err(error) => tracing::debug!(user.id = id.0, %error, "a stored password was not upgraded"),
            }
        });
    }
}

fn label<T>(outcome: &Result<T, Error>) -> LoginResult {
    let Err(error) = outcome else {
        return LoginResult::Success;
    };
    match error {
        Error::Inactive => LoginResult::Inactive,
        Error::TooManyAttempts { .. } => LoginResult::Throttled,
        Error::Busy => LoginResult::Busy,
        Error::StoreUnavailable(_) | Error::NotReady | Error::Internal(_) => LoginResult::Unavailable,
        Error::InvalidCredentials
        | Error::InvalidGrant
        | Error::Praetorian(_)
        | Error::RegistrationClosed
        | Error::NameTaken
        | Error::EmailTaken
        | Error::EmailRequired
        | Error::RowRefused(_)
        | Error::InvalidUsername(_)
        | Error::InvalidEmail(_)
        | Error::InvalidRole(_)
        | Error::WeakPassword(_)
        | Error::NoSession
        | Error::CredentialNotAllowed
        | Error::NoSuchSession
        | Error::NoSuchKey
        | Error::TooManyKeys
        | Error::InvalidKeyName
        | Error::InvalidKeyLife
        | Error::RoleNotOwned(_)
        | Error::AdminRole
        | Error::InvalidCode
        | Error::NoMail
        | Error::TokenTooLong
        | Error::NoSuchUser
        | Error::SeveralUsers(_) => LoginResult::Failure,
    }
}
