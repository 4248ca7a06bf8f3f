//! Mail in the store in memory: what the tests over it need, which is that nobody sends any.

use super::Fake;
use crate::principal::UserId;
use crate::store::*;

impl Outbox for Fake {
    fn enrol(&self, _: Enrolment, _: i64) -> Answer<'_, Enrolled> {
        self.answer(|_| Enrolled::Limited)
    }
    fn user_with_email<'a>(&'a self, email: &'a str) -> Answer<'a, Option<User>> {
        self.answer(move |state| {
            let mut users = state.users.values().map(|(user, _)| user);
            users.find(|user| user.email.as_deref() == Some(email)).cloned()
        })
    }
    fn is_unconfirmed(&self, _: UserId) -> Answer<'_, bool> {
        self.answer(|_| false)
    }
    fn add_mail(&self, _: NewMail, _: MailLimits, _: i64) -> Answer<'_, bool> {
        self.answer(|_| false)
    }
    fn claim_mail(&self, _: i64, _: i64) -> Answer<'_, Option<Mail>> {
        self.answer(|_| None)
    }
    fn add_code<'a>(&'a self, _: &'a Mail, _: NewCode) -> Answer<'a, bool> {
        self.answer(|_| false)
    }
    fn settle_mail<'a>(&'a self, _: &'a Mail, _: Settled, _: i64) -> Answer<'a, bool> {
        self.answer(|_| false)
    }
    fn waiting_mails(&self) -> Answer<'_, u64> {
        self.answer(|_| 0)
    }
    fn code(&self, _: [u8; 32], _: Purpose, _: i64) -> Answer<'_, Option<User>> {
        self.answer(|_| None)
    }
    fn confirm(&self, _: Proof, _: i64) -> Answer<'_, Redeemed> {
        self.answer(|_| Redeemed::Unknown)
    }
    fn reset_password<'a>(&'a self, _: Proof, _: &'a str, _: i64) -> Answer<'a, Redeemed> {
        self.answer(|_| Redeemed::Unknown)
    }
    fn forget_mail(&self, _: i64, _: i64) -> Answer<'_, u64> {
        self.answer(|_| 0)
    }
}
