//! Mail that waits to be sent, the codes in it, and accounts that wait for one.

use aws_lc_rs::digest::{Context, SHA256};

use super::{Answer, NewUser, User};
use crate::principal::UserId;

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailKind {
    /// Whether the address is that of whoever registered.
    Confirmation,
    /// A way to a new password.
    Reset,
    /// Somebody registered with an address that has an account: told to its owner.
    AddressKnown,
    /// Somebody registered under a name that is taken: told to the address they gave.
    NameTaken,
    /// No mail at all. The row is written where there is nobody to write to, so that it takes as long as where there is.
    Nobody,
}

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Confirmation,
        Self::Reset,
        Self::AddressKnown,
        Self::NameTaken,
        Self::Nobody,
    ];

    /// The stable word, in the store, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation",
            Self::Reset => "reset",
            Self::AddressKnown => "address_known",
            Self::NameTaken => "name_taken",
            Self::Nobody => "nobody",
        }
    }

    pub(super) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A mail to be sent.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// A random name of its own; the Message-ID is made from it.
    pub id: String,
    /// Whom it concerns.
    pub user: Option<UserId>,
    /// What it is about.
    pub kind: MailKind,
    /// The address.
    pub to: String,
    /// The user's name.
    pub name: String,
    /// Digest of who asked for it: what is counted against a client's limit.
    pub client: [u8; 32],
}

/// How many mails there may be after `since`.
#[derive(Clone, Copy, Debug)]
pub struct MailLimits {
    /// To one address.
    pub per_address: u32,
    /// At the wish of one client.
    pub per_client: u32,
    /// The window's beginning (Unix milliseconds).
    pub since: i64,
}

/// A mail that was taken up to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Its name.
    pub id: String,
    /// Whom it concerns.
    pub user: Option<UserId>,
    /// What it is about.
    pub kind: MailKind,
    /// The address.
    pub to: String,
    /// The user's name.
    pub name: String,
    /// How often it was taken up, this time included. Who took it up is known by this number.
    pub attempt: i64,
    /// When it was asked for (Unix milliseconds).
    pub created_at: i64,
}

/// What became of a mail that was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing is left to do: it was sent, or never will be.
    Done,
    /// To be tried again at this time (Unix milliseconds).
    Again(i64),
}

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To confirm an address.
    Confirmation,
    /// To set a new password.
    Reset,
}

impl Purpose {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation",
            Self::Reset => "reset",
        }
    }
}

/// The hash of a code that is about to be sent.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// SHA-256 of the code.
    pub hash: [u8; 32],
    /// What it is for.
    pub purpose: Purpose,
    /// What it counts by.
    pub kind: NewCodeKind,
    /// Until when it counts (Unix milliseconds).
    pub expires_at: i64,
}

/// What a code counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewCodeKind {
    /// By what is written down here.
    Opaque,
    /// By its signature: what is written down is the address that it goes to.
    Signed {
        /// That address.
        to: String,
    },
}

/// An account to be made, and the mail that asks its owner to confirm it.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The user, not active, with an address.
    pub user: NewUser,
    /// When the account is removed unless it was confirmed (Unix milliseconds).
    pub until: i64,
    /// The mail. Whom it concerns, its kind and its addressee are found by the store.
    pub mail: NewMail,
    /// How many mails may be asked for.
    pub limits: MailLimits,
    /// Whether who has the name or the address already is to be told by mail.
    pub tell: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// The row was made, and the mail waits.
    New(User),
    /// The name is taken. Nothing was changed, but perhaps a mail waits.
    NameTaken(UserId),
    /// The address is. Nothing was changed, but perhaps a mail waits.
    EmailTaken(UserId),
    /// Too many mails were asked for. Nothing was changed.
    Limited,
    /// The table does not take the row, for this reason, which quotes no value. Nothing was changed.
    RowRefused(String),
}

/// What shows that somebody reads an account's mail.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A code of ours, by its hash: it counts once.
    Code([u8; 32]),
    /// A signed token that was verified.
    Token {
        /// Whose it is.
        user: UserId,
        /// When it was issued (Unix seconds): a cut of the user's tokens since then ends it.
        issued_at: i64,
        /// What it was written down by when it was mailed, if it was mailed from here.
        mailed: [u8; 32],
        /// Where it counts once: the digest it is remembered by, and until when (Unix milliseconds).
        once: Option<([u8; 32], i64)>,
    },
}

/// What came of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// It is done; the user as the row is now.
    Done(User),
    /// Unknown, used, expired, or the user's password or address is another one by now.
    Unknown,
    /// The account is closed, and not because it waits for a confirmation.
    Closed,
}

/// The outbox, and the codes in mails.
pub trait Outbox: Send + Sync {
    /// Makes a user who is not active yet, and the mail; one transaction.
    fn enrol(&self, enrolment: Enrolment, now: i64) -> Answer<'_, Enrolled>;
    /// The user with this address, in any case of letters.
    fn user_with_email<'a>(&'a self, email: &'a str) -> Answer<'a, Option<User>>;
    /// Whether the account is not active because its address was not confirmed yet.
    fn is_unconfirmed(&self, user: UserId) -> Answer<'_, bool>;
    /// Adds a mail, unless there were too many; whether it did.
    fn add_mail(&self, mail: NewMail, limits: MailLimits, now: i64) -> Answer<'_, bool>;
    /// Takes up the mail that is due for the longest time, and keeps others from it until `lease`.
    fn claim_mail(&self, now: i64, lease: i64) -> Answer<'_, Option<Mail>>;
    /// Writes down the hash of the code in a mail, durably; false: the mail is somebody else's by now, or its user is gone.
    fn add_code<'a>(&'a self, mail: &'a Mail, code: NewCode) -> Answer<'a, bool>;
    /// Says what became of a mail; false: it is somebody else's by now.
    fn settle_mail<'a>(&'a self, mail: &'a Mail, settled: Settled, now: i64) -> Answer<'a, bool>;
    /// Mails that wait.
    fn waiting_mails(&self) -> Answer<'_, u64>;
    /// Whose code this is, if it would count now. It is not used up.
    fn code(&self, hash: [u8; 32], purpose: Purpose, now: i64) -> Answer<'_, Option<User>>;
    /// Confirms the user's address and makes the account active. A code is used up, and with it all others for this.
    fn confirm(&self, proof: Proof, now: i64) -> Answer<'_, Redeemed>;
    /// Sets a new password, ends all sessions of the user and uses up all their codes. An account that waited for a
    /// confirmation is confirmed.
    fn reset_password<'a>(&'a self, proof: Proof, hash: &'a str, now: i64) -> Answer<'a, Redeemed>;
    /// Deletes mails that were settled and asked for before `since`, expired codes, and accounts that were not confirmed in
    /// time, a bounded number at a time; how many rows.
    fn forget_mail(&self, since: i64, now: i64) -> Answer<'_, u64>;
}

/// What a code is bound to: it is worth nothing once the password or the address is another one.
pub(super) fn bound(user: &User) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in [user.password.as_str(), user.email.as_deref().unwrap_or_default()] {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    digest(context)
}

/// The address a signed token was mailed to, as it is written down.
pub(super) fn mailed_to(address: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(b"mailed\0");
    context.update(address.as_bytes());
    digest(context)
}

/// What is written down of a code that goes to this user: the word for it, and what it is bound to.
pub(super) fn written(code: &NewCode, user: &User) -> (&'static str, [u8; 32]) {
    match &code.kind {
        NewCodeKind::Opaque => (code.purpose.as_str(), bound(user)),
        NewCodeKind::Signed { to } => ("mailed", mailed_to(to)),
    }
}

/// Who showed a proof.
pub(super) struct Shower {
    pub(super) user: User,
    /// Whether it was mailed to the address that the user has now.
    pub(super) reads_address: bool,
}

/// What a signed token is worth, by the row of its user and the address it was mailed to, if that is known.
#[expect(
    clippy::result_large_err,
    reason = "both are a user's row, and moved once for a mail"
)]
pub(super) fn judge_token(
    user: User,
    issued_at: i64,
    purpose: Purpose,
    mailed: Option<[u8; 32]>,
) -> Result<Shower, Redeemed> {
    if user.cuts(issued_at) {
        return Err(match user.active {
            true => Redeemed::Unknown,
            false => Redeemed::Closed,
        });
    }
    let reads_address = user
        .email
        .as_deref()
        .is_some_and(|email| mailed == Some(mailed_to(email)));
    match purpose {
        // Whoever has the mailbox of before has no part in the account any more.
        Purpose::Reset if mailed.is_some() && !reads_address => Err(Redeemed::Unknown),
        Purpose::Reset | Purpose::Confirmation => Ok(Shower { user, reads_address }),
    }
}

/// What mails to an address are counted by. Upper and lower case are one.
pub(super) fn recipient(address: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(b"recipient\0");
    context.update(address.to_ascii_lowercase().as_bytes());
    digest(context)
}

fn digest(context: Context) -> [u8; 32] {
    let mut digest = [0; 32];
    let finished = context.finish();
    digest
        .iter_mut()
        .zip(finished.as_ref())
        .for_each(|(to, from)| *to = *from);
    digest
}

/// The template data of a row.
pub(super) fn data(mail: &NewMail) -> String {
    serde_json::json!({ "to": mail.to, "name": mail.name }).to_string()
}

/// Address and name in the template data of a row; what is not there is empty.
pub(super) fn read_data(text: &str) -> (String, String) {
    let data: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let member = |name: &str| {
        data.get(name)
            .and_then(|value| value.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    (member("to"), member("name"))
}

/// Who is found where somebody enrols, and the mail about it.
pub(super) fn mail_for(found: &Found, enrolment: &Enrolment) -> NewMail {
    let mail = enrolment.mail.clone();
    let (kind, user, to, name) = match found {
        Found::Nobody(id) => (
            MailKind::Confirmation,
            Some(*id),
            enrolment.user.email.clone(),
            &enrolment.user.username,
        ),
        Found::Email(owner) => (
            MailKind::AddressKnown,
            Some(owner.id),
            owner.email.clone(),
            &owner.username,
        ),
        Found::Name => (
            MailKind::NameTaken,
            None,
            enrolment.user.email.clone(),
            &enrolment.user.username,
        ),
    };
    NewMail {
        kind,
        user,
        to: to.unwrap_or_default(),
        name: name.clone(),
        ..mail
    }
}

/// Who is found where somebody enrols.
pub(super) enum Found {
    /// Nobody: this is the new user.
    Nobody(UserId),
    /// The owner of the address.
    Email(Box<User>),
    /// The owner of the name, while nobody has the address.
    Name,
}
