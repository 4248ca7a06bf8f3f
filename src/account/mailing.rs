//! Sends the mail that waits. A mail is taken up under a lease, its code is minted and the hash written down before the server
//! hears of it, and no transaction is open meanwhile. Whoever dies over it is followed by another when the lease ends.
//!
//! A mail that is tried again has another code. Those before it stay good until they end: the server may have taken a mail
//! whose answer was lost.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::sync::{Notify, watch};

use crate::mail::{Facts, Link, Post, Undelivered, backoff};
use crate::secret::Secret;
use crate::store::{Mail, MailKind, NewCode, NewCodeKind, Purpose, Settled, User};
use crate::telemetry::MailResult;

use super::recovery::{hash, mailed};
use super::{Accounts, Error};

/// How long a mail is somebody's who took it up: longer than any talk with a server may last.
const LEASE: i64 = 60_000;
/// How often the outbox is looked at when nobody says that there is something: for mails that other replicas left, and those
/// that are tried again.
const LOOK: Duration = Duration::from_secs(1);
/// Mails under way at once: one server that hangs must not hold up the rest.
const SENDERS: usize = 4;
/// How long the code in a confirmation is good.
pub const CONFIRMATION_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long the code for a new password is good.
pub const RESET_LIFE: Duration = Duration::from_secs(15 * 60);
/// A mail about a new password is of no use to anybody after an hour.
const RESET_PATIENCE: i64 = 3_600_000;

/// Mints the signed tokens that the Flask server's clients expect in mails.
pub trait MintsMailTokens: Send + Sync {
    /// A token for this purpose, and for how long it is good.
    fn mint(&self, purpose: Purpose, user: &User, now: i64) -> Result<(Secret<String>, Duration), Error>;
    /// For how long one is good.
    fn life(&self) -> Duration;
}

/// What the code in a mail is.
#[derive(Clone)]
pub enum CodeKind {
    /// 32 random bytes, of which only a hash is kept; they count once.
    Opaque,
    /// A token of flask-praetorian's.
    Praetorian(Arc<dyn MintsMailTokens>),
}

impl CodeKind {
    /// How long what confirms an address is good.
    pub(super) fn confirmation_life(&self) -> Duration {
        match self {
            Self::Opaque => CONFIRMATION_LIFE,
            Self::Praetorian(mint) => mint.life(),
        }
    }

    pub(super) fn are_opaque(&self) -> bool {
        match self {
            Self::Opaque => true,
            Self::Praetorian(_) => false,
        }
    }
}

/// What mail is sent with.
pub struct Mailing {
    post: Post,
    pub(super) codes: CodeKind,
    wake: Notify,
}

impl Mailing {
    /// With this post, and codes of this kind.
    pub fn new(post: Post, codes: CodeKind) -> Self {
        Self {
            post,
            codes,
            wake: Notify::new(),
        }
    }

    /// Until when, from now on, somebody may follow the link of a mail that is wanted now.
    pub(super) fn latest_confirmation(&self) -> Duration {
        let under_way = self.post.settings().give_up;
        under_way.saturating_add(self.codes.confirmation_life())
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Why a mail was not sent, this time.
enum Failed {
    Post(Undelivered),
    /// There is nobody to write to any more, or another took it up.
    Dropped,
    Ours(Error),
}

impl Accounts {
    /// Sends what waits until it is told to stop; then it ends with the mail that is under way.
    pub async fn send_mails(self: Arc<Self>, stopped: watch::Receiver<bool>) {
        let Some(mailing) = self.mailing.clone() else { return };
        let senders: Vec<_> = (0..SENDERS)
            .map(|index| {
                let (accounts, mailing, stopped) = (Arc::clone(&self), Arc::clone(&mailing), stopped.clone());
                tokio::spawn(async move { accounts.sender(&mailing, stopped, index == 0).await })
            })
            .collect();
        for sender in senders {
            sender.await.ok();
        }
    }

    /// `looks`: whether it looks for mails by itself. The others are woken: by who writes one, and by who takes one up.
    async fn sender(&self, mailing: &Mailing, mut stopped: watch::Receiver<bool>, looks: bool) {
        while !*stopped.borrow() {
            let now = self.clock.unix_millis();
            let claimed = self.books.store().claim_mail(now, now.saturating_add(LEASE));
            match self.books.ask("claim_mail", claimed).await {
                Ok(Some(mail)) => {
                    // Others may be there for the next.
                    mailing.wake();
                    self.send_one(mailing, &mail).await;
                }
                Ok(None) | Err(_) => {
                    if looks {
                        self.count_waiting().await;
                    }
                    tokio::select! {
                        () = mailing.wake.notified() => {}
                        () = tokio::time::sleep(LOOK), if looks => {}
                        _ = stopped.changed() => {}
                    }
                }
            }
        }
    }

    async fn count_waiting(&self) {
        let waiting = self.books.store().waiting_mails();
        if let Ok(waiting) = self.books.ask("waiting_mails", waiting).await {
            self.metrics.mail_outbox(waiting);
        }
    }

    async fn send_one(&self, mailing: &Mailing, mail: &Mail) {
        let sent = match mail.kind {
            MailKind::Nobody => Err(Failed::Dropped),
            MailKind::Confirmation | MailKind::Reset | MailKind::AddressKnown | MailKind::NameTaken => {
                self.try_send(mailing, mail).await
            }
        };
        let now = self.clock.unix_millis();
        let (result, settled) = match sent {
            Ok(()) => {
                tracing::info!(
                    mail = mail.id,
                    kind = mail.kind.as_str(),
                    attempt = mail.attempt,
                    "mail sent"
                );
                (Some(MailResult::Sent), Settled::Done)
            }
            Err(Failed::Dropped) => (
                (mail.kind != MailKind::Nobody).then_some(MailResult::Dropped),
                Settled::Done,
            ),
            Err(Failed::Post(Undelivered::Never(why))) => {
                give_up(mail, &why);
                (Some(MailResult::GivenUp), Settled::Done)
            }
            Err(Failed::Post(Undelivered::Later(why))) => self.again(mailing, mail, &why, now),
            Err(Failed::Ours(error)) => self.again(mailing, mail, &error.to_string(), now),
        };
        if let Some(result) = result {
            self.metrics.mail(mail.kind.as_str(), result);
        }
        let told = self.books.store().settle_mail(mail, settled, now);
        if self.books.ask("settle_mail", told).await.is_err() {
            // The lease ends, and it is sent once more: the same Message-ID says that it is the same mail.
            tracing::warn!(mail = mail.id, "what became of a mail could not be written down");
        }
        self.count_waiting().await;
    }

    fn again(&self, mailing: &Mailing, mail: &Mail, why: &str, now: i64) -> (Option<MailResult>, Settled) {
        let settings = mailing.post.settings();
        let mut luck = [0];
        self.random.fill(&mut luck).ok();
        let [luck] = luck;
        let wait = millis(backoff(settings.retry, mail.attempt, luck));
        let patience = match mail.kind {
            MailKind::Reset => millis(settings.give_up).min(RESET_PATIENCE),
            MailKind::Confirmation | MailKind::AddressKnown | MailKind::NameTaken | MailKind::Nobody => {
                millis(settings.give_up)
            }
        };
        let next = now.saturating_add(wait);
        if next.saturating_sub(mail.created_at) > patience {
            give_up(mail, why);
            return (Some(MailResult::GivenUp), Settled::Done);
        }
        tracing::warn!(
            mail = mail.id,
            kind = mail.kind.as_str(),
            attempt = mail.attempt,
            again_in_ms = wait,
            why,
            "a mail was not sent and is tried again"
        );
        (Some(MailResult::Retried), Settled::Again(next))
    }

    async fn try_send(&self, mailing: &Mailing, mail: &Mail) -> Result<(), Failed> {
        let settings = mailing.post.settings();
        let (link, code, valid_for) = match mail.kind {
            MailKind::Confirmation => {
                self.with_code(mailing, mail, Purpose::Confirmation, &settings.confirmation)
                    .await?
            }
            MailKind::Reset => self.with_code(mailing, mail, Purpose::Reset, &settings.reset).await?,
            MailKind::AddressKnown => (settings.forgot.clone(), None, Duration::ZERO),
            MailKind::NameTaken => (settings.site.clone(), None, Duration::ZERO),
            MailKind::Nobody => return Err(Failed::Dropped),
        };
        let facts = Facts {
            id: &mail.id,
            kind: mail.kind,
            to: &mail.to,
            name: &mail.name,
            link: &link,
            code: code.as_ref().map_or("", |code| code.expose().as_str()),
            valid_for,
            // Clients of the Flask server ask twice to confirm.
            repeatable: mail.kind == MailKind::Confirmation && !mailing.codes.are_opaque(),
            now: self.clock.unix_millis(),
        };
        mailing.post.send(&facts).await.map_err(Failed::Post)
    }

    /// A code for the mail's user, known to the store if it has to be, and the link it stands in.
    async fn with_code(
        &self,
        mailing: &Mailing,
        mail: &Mail,
        purpose: Purpose,
        link: &Link,
    ) -> Result<(String, Option<Secret<String>>, Duration), Failed> {
        let id = mail.user.ok_or(Failed::Dropped)?;
        // Not in the second in which the user's tokens were cut: a signed one would be cut with them.
        let (now, user) = match &mailing.codes {
            CodeKind::Praetorian(_) => self.settled(id).await.map_err(Failed::Ours)?.ok_or(Failed::Dropped)?,
            CodeKind::Opaque => {
                let now = self.clock.unix_millis();
                let user = self.books.ask("user", self.books.store().user(id)).await;
                (now, user.map_err(Failed::Ours)?.ok_or(Failed::Dropped)?)
            }
        };
        // The address that was written to must still be the user's, and who is to confirm it must still wait for it: not
        // who was let in by another hand, nor who was shut out again since.
        let of_use = match purpose {
            Purpose::Reset => true,
            Purpose::Confirmation => {
                let waits = self.books.ask("is_unconfirmed", self.books.store().is_unconfirmed(id));
                !user.active && waits.await.map_err(Failed::Ours)?
            }
        };
        if user.email.as_deref() != Some(mail.to.as_str()) || !of_use {
            return Err(Failed::Dropped);
        }
        let (code, life, hash, kind) = match &mailing.codes {
            CodeKind::Praetorian(mint) => {
                let (token, life) = mint.mint(purpose, &user, now).map_err(Failed::Ours)?;
                let hash = mailed(token.expose().as_bytes());
                (token, life, hash, NewCodeKind::Signed { to: mail.to.clone() })
            }
            CodeKind::Opaque => {
                let life = match purpose {
                    Purpose::Confirmation => CONFIRMATION_LIFE,
                    Purpose::Reset => RESET_LIFE,
                };
                let code = opaque(&self.random).map_err(Failed::Ours)?;
                let hash = hash(code.expose());
                (code, life, hash, NewCodeKind::Opaque)
            }
        };
        let new = NewCode {
            hash,
            purpose,
            kind,
            expires_at: now.saturating_add(millis(life)),
        };
        let added = self.books.store().add_code(mail, new);
        if !self.books.ask("add_code", added).await.map_err(Failed::Ours)? {
            return Err(Failed::Dropped);
        }
        Ok((link.with(code.expose()), Some(code), life))
    }
}

fn give_up(mail: &Mail, why: &str) {
    tracing::error!(
        mail = mail.id,
        kind = mail.kind.as_str(),
        attempt = mail.attempt,
        user.id = mail.user.map(|user| user.0),
        why,
        "a mail was given up"
    );
}

fn opaque(random: &SystemRandom) -> Result<Secret<String>, Error> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    random.fill(&mut *bytes).map_err(|_| super::issue::no_randomness())?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes)))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
