//! By mail: accounts that wait for the confirmation of their address, and new passwords for who forgot the old one.
//!
//! The operations say in closed enums what happened. Whoever answers a stranger must not: [`Enrolment`] and
//! [`ResetRequest`] are for answers that betray nothing, or for the Flask server's, which betray all of it.

use std::net::{IpAddr, Ipv6Addr};

use crate::password::policy;
use crate::secret::{Secret, sha256};
use crate::store::{
    Enrolled, Enrolment as NewEnrolment, MailKind, MailLimits, NewMail, NewUser, Proof, Purpose, Redeemed, User,
    name_key,
};

use super::mailing::Mailing;
use super::registration::{Rules, refused, unfit};
use super::{Accounts, Caller, Error, Registrant, Registration, Tokens, audit, email, roles, username};

/// Mails to one address within an hour. One who does not find the first four will not find the sixth either.
pub const MAILS_PER_ADDRESS: u32 = 5;
/// Mails that one client (IPv6: one /64) may cause within an hour: offices share an address.
pub const MAILS_PER_CLIENT: u32 = 100;
/// The hour, in milliseconds.
const HOUR: i64 = 3_600_000;
/// How long an account waits for its confirmation before it is removed, at least: as long as a mail may be under way, and a
/// code good.
const UNCONFIRMED: i64 = 72 * HOUR;

/// Codes may be good for longer: no link in a mail promises more than there is.
fn unconfirmed(mailing: &Mailing) -> i64 {
    i64::try_from(mailing.latest_confirmation().as_millis())
        .unwrap_or(i64::MAX)
        .max(UNCONFIRMED)
}

/// What came of a registration whose address is to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// The account was made, and a mail is under way.
    Sent(Box<User>),
    /// The name is taken.
    NameTaken,
    /// The address has an account.
    EmailTaken,
    /// Too many mails went to this address, or were caused by this client; nothing was done.
    Limited,
}

/// What came of the wish for a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetRequest {
    /// A mail is under way.
    Sent,
    /// There is no account with this address.
    Unknown,
    /// There is one, and it is not active.
    NotActive,
    /// Too many mails went to this address, or were caused by this client; nothing was done.
    Limited,
}

/// What somebody shows who read a mail.
#[derive(Clone, Debug)]
pub enum Shown {
    /// A code of ours: it counts once.
    Code(Secret<String>),
    /// A signed token that was verified: it counts until it ends, or the tokens of its user are cut.
    Token {
        /// Whose it is.
        user: crate::principal::UserId,
        /// When it was issued (Unix seconds).
        issued_at: i64,
        /// What it was written down by, if it was mailed from here.
        mailed: [u8; 32],
        /// Its name (`jti`), and when it ends (Unix milliseconds). A token for a new password counts once all the same.
        token_id: String,
        /// See above.
        expires_at: i64,
    },
}

impl Accounts {
    /// Who may register.
    pub fn registration(&self) -> Registration {
        self.settings.registration
    }

    /// Whether anybody can be written to.
    pub fn sends_mail(&self) -> bool {
        self.mailing.is_some()
    }

    pub(super) fn mailing(&self) -> Result<&Mailing, Error> {
        self.mailing.as_deref().ok_or(Error::NoMail)
    }

    /// Makes an account that counts once its address is confirmed. A name or an address that is taken costs the same hash.
    pub async fn enrol(&self, registrant: Registrant, caller: &Caller) -> Result<Enrolment, Error> {
        let mailing = self.mailing()?;
        let Registrant {
            username,
            password,
            email,
        } = registrant;
        let address = email
            .filter(|address| !address.is_empty())
            .ok_or(Error::EmailRequired)?;
        self.judge(rules(mailing), &username, &password, Some(&address))?;
        let long = username::is_long(&username);
        let hash = self.pool.hash(password, self.pool.settings().scheme).await?;
        let kept = roles::keep(&self.settings.default_roles, &self.settings.admin_role)?;
        let now = self.clock.unix_millis();
        let user = NewUser {
            name_key: name_key(&username),
            username,
            password: hash,
            roles: kept.column,
            active: false,
            email: Some(address),
            email_verified: false,
            // Whatever the configuration says: this role is given by command only.
            grants: Vec::new(),
        };
        let enrolment = NewEnrolment {
            user,
            until: now.saturating_add(unconfirmed(mailing)),
            mail: self.new_mail(MailKind::Confirmation, None, "", "", caller)?,
            limits: limits(now),
            tell: mailing.codes.are_opaque(),
        };
        let enrolled = self.books.store().enrol(enrolment, now);
        let enrolled = self.books.ask("enrol", enrolled).await;
        let enrolled = enrolled.map_err(|error| unfit(error, long))?;
        mailing.wake();
        Ok(match enrolled {
            Enrolled::New(user) => {
                audit::registered(&user, caller.address);
                Enrolment::Sent(Box::new(user))
            }
            Enrolled::NameTaken(_) => Enrolment::NameTaken,
            Enrolled::EmailTaken(_) => Enrolment::EmailTaken,
            Enrolled::Limited => Enrolment::Limited,
            Enrolled::RowRefused(why) => return Err(refused(why)),
        })
    }

    /// Has a mail sent to who has this address. Where nobody is to be written to, a row is written all the same, so that it
    /// takes as long.
    pub async fn request_reset(&self, address: &str, caller: &Caller) -> Result<ResetRequest, Error> {
        let mailing = self.mailing()?;
        // A table of another server may hold anything as an address, and it is asked for what it holds.
        if rules(mailing) == Rules::All {
            email::check(address, Rules::All)?;
        }
        let store = self.books.store();
        let owner = self
            .books
            .ask("user_with_email", store.user_with_email(address))
            .await?;
        // Who waits for a confirmation shows the same by a new password. Asked in any case: it takes its time.
        let id = owner.as_ref().map_or(crate::principal::UserId(-1), |owner| owner.id);
        let waits = self.books.ask("is_unconfirmed", store.is_unconfirmed(id)).await?;
        let (kind, outcome) = match &owner {
            None => (MailKind::Nobody, ResetRequest::Unknown),
            Some(owner) if owner.active || (waits && mailing.codes.are_opaque()) => {
                (MailKind::Reset, ResetRequest::Sent)
            }
            Some(_) => (MailKind::Nobody, ResetRequest::NotActive),
        };
        let owner = owner.filter(|_| kind == MailKind::Reset);
        let name = owner.as_ref().map_or("", |owner| owner.username.as_str());
        let to = owner
            .as_ref()
            .and_then(|owner| owner.email.as_deref())
            .unwrap_or(address);
        let mail = self.new_mail(kind, owner.as_ref(), to, name, caller)?;
        let now = self.clock.unix_millis();
        let added = self.books.store().add_mail(mail, limits(now), now);
        let added = self.books.ask("add_mail", added).await?;
        mailing.wake();
        if let Some(owner) = owner.filter(|_| added) {
            audit::reset_requested(&owner, caller.address);
        }
        Ok(if added { outcome } else { ResetRequest::Limited })
    }

    /// Confirms an address: the account is active from now on.
    pub async fn confirm(&self, shown: Shown, caller: &Caller) -> Result<User, Error> {
        let now = self.clock.unix_millis();
        let proof = match shown {
            Shown::Code(code) => Proof::Code(hash(code.expose())),
            // Repeatable until it ends: clients in the field ask twice.
            Shown::Token {
                user,
                issued_at,
                mailed,
                ..
            } => Proof::Token {
                user,
                issued_at,
                mailed,
                once: None,
            },
        };
        let confirmed = self
            .books
            .ask("confirm", self.books.store().confirm(proof, now))
            .await?;
        let user = redeemed(confirmed)?;
        audit::confirmed(&user, caller.address);
        Ok(user)
    }

    /// Sets a new password for who reads the account's mail. All sessions end.
    pub async fn reset_password(&self, shown: Shown, new: Secret<String>, caller: &Caller) -> Result<User, Error> {
        let now = self.clock.unix_millis();
        let store = self.books.store();
        let (proof, owner) = match shown {
            Shown::Code(code) => {
                let code = hash(code.expose());
                let owner = store.code(code, Purpose::Reset, now);
                (Proof::Code(code), self.books.ask("code", owner).await?)
            }
            Shown::Token {
                user,
                issued_at,
                mailed,
                token_id,
                expires_at,
            } => {
                let once = Some((hash(&format!("jti:{token_id}")), expires_at));
                let owner = self.books.ask("user", store.user(user)).await?;
                let owner = Some(owner.ok_or(Error::NoSuchUser)?);
                let proof = Proof::Token {
                    user,
                    issued_at,
                    mailed,
                    once,
                };
                (proof, owner)
            }
        };
        // Before anybody hashes for it; and a password that will not do does not use up the code.
        let owner = owner.ok_or(Error::InvalidCode)?;
        let mut reasons = policy::check(new.expose(), &owner.username, self.pool.settings().min_length);
        let rules = self.mailing().map_or(Rules::All, rules);
        reasons.retain(|reason| rules.ask_for(*reason));
        if !reasons.is_empty() {
            return Err(Error::WeakPassword(reasons));
        }
        let hash = self.pool.hash(new, self.pool.settings().scheme).await?;
        let now = self.clock.unix_millis();
        let before = self.books.ask("sessions_of", store.sessions_of(owner.id, now)).await?;
        let reset = self
            .books
            .ask("reset_password", store.reset_password(proof, &hash, now))
            .await?;
        let user = redeemed(reset)?;
        // Here at once, elsewhere by the feed.
        let until = self.lives.remember_until(now);
        for session in before {
            self.revocations.end_session_now(session.id, until);
        }
        audit::password_reset(&user, caller.address);
        Ok(user)
    }

    /// Logs in who just confirmed an address or set a password.
    pub async fn log_in_confirmed(&self, user: &User, caller: &Caller) -> Result<Tokens, Error> {
        // `None`: an administrator was faster than this line.
        let tokens = self.open_session(user, caller).await?;
        tokens.ok_or(Error::InvalidCode)
    }

    fn new_mail(
        &self,
        kind: MailKind,
        user: Option<&User>,
        to: &str,
        name: &str,
        caller: &Caller,
    ) -> Result<NewMail, Error> {
        let mut id = [0; 16];
        aws_lc_rs::rand::SecureRandom::fill(&self.random, &mut id).map_err(|_| super::issue::no_randomness())?;
        Ok(NewMail {
            id: uuid::Builder::from_random_bytes(id).into_uuid().simple().to_string(),
            user: user.map(|user| user.id),
            kind,
            to: to.to_owned(),
            name: name.to_owned(),
            client: client(caller.address),
        })
    }
}

/// Beside a Flask server there are no rules of passwords but their length.
fn rules(mailing: &Mailing) -> Rules {
    match mailing.codes.are_opaque() {
        true => Rules::All,
        false => Rules::Lengths,
    }
}

fn redeemed(redeemed: Redeemed) -> Result<User, Error> {
    match redeemed {
        Redeemed::Done(user) => Ok(user),
        Redeemed::Unknown => Err(Error::InvalidCode),
        Redeemed::Closed => Err(Error::Inactive),
    }
}

fn limits(now: i64) -> MailLimits {
    MailLimits {
        per_address: MAILS_PER_ADDRESS,
        per_client: MAILS_PER_CLIENT,
        since: now.saturating_sub(HOUR),
    }
}

/// When a mail was asked for that still counts against the limits, at the earliest.
pub(super) fn counts_since(now: i64) -> i64 {
    now.saturating_sub(HOUR)
}

/// What a code is known by.
pub(super) fn hash(code: &str) -> [u8; 32] {
    sha256(code.as_bytes())
}

/// What a signed token is written down by when it is mailed.
pub(super) fn mailed(token: &[u8]) -> [u8; 32] {
    sha256(&[b"mailed:", token].concat())
}

/// A client as it is counted. Whoever has one IPv6 address has its whole /64.
fn client(address: IpAddr) -> [u8; 32] {
    let network = match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    };
    hash(&format!("client:{network}"))
}
