//! Who is the user whom a token names by the key alone?

use crate::authn::Fault;
use crate::principal::UserId;
use crate::token::praetorian;

use super::{Inner, RENEWED_AT_MOST, Resolved, Resolver};

/// How long a user who is not there is not asked for again. Nobody tells of a new row under a key that was never known.
const STRANGE_FOR_MS: i64 = 2_000;

impl Resolver {
    /// Who a user is goes where every worker finds it, and the token is looked at again; the answer here is for what is not
    /// to be found there.
    pub(super) async fn identify(&self, id: UserId) -> Resolved {
        let unknown = || Resolved::fault(Fault::Praetorian(praetorian::Fault::UnknownId));
        let now = self.0.tools.clock.unix_millis();
        if self.0.strangers.pin().get(&id).is_some_and(|until| now < *until) {
            return unknown();
        }
        let ask = self.ask("user", move |inner| async move {
            let found = inner.tools.store.user(id).await?;
            let now = inner.tools.clock.unix_millis();
            Ok(match found {
                Some(user) => {
                    let tools = &inner.tools;
                    tools.revocations.learn(&user, &tools.settings.admin_role, now);
                    Resolved::fault(Fault::Unresolved)
                }
                None => {
                    inner.remember_stranger(id, now);
                    unknown()
                }
            })
        });
        self.0.users.share(id, ask).await
    }
}

impl Inner {
    fn remember_stranger(&self, id: UserId, now: i64) {
        let strangers = self.strangers.pin();
        if strangers.len() >= RENEWED_AT_MOST {
            strangers.retain(|_, until| now < *until);
        }
        if strangers.len() < RENEWED_AT_MOST {
            strangers.insert(id, now.saturating_add(STRANGE_FOR_MS));
        }
    }
}
