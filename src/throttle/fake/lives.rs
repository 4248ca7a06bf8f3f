//! What lives, of the sessions and keys of the store in memory; and users from elsewhere, of which it takes none.

use super::Fake;
use crate::store::{Answer, Imported, ImportedUser, Imports, Lasting, Life, Lives};

impl Lives for Fake {
    fn lives<'a>(&'a self, asked: &'a [Lasting], now: i64) -> Answer<'a, Vec<(Lasting, Life)>> {
        self.answer(move |state| {
            let life = |lasting: &Lasting| match lasting {
                Lasting::Session(id) => {
                    let session = state.sessions.get(id).filter(|session| session.revoked_at.is_none())?;
                    let (ends, ask_at) = (session.expires_at, session.idle_until.min(session.expires_at));
                    (now < ask_at).then_some(Life { ends, ask_at })
                }
                Lasting::ApiKey(id) => {
                    let key = state.api_keys.get(id).filter(|key| key.revoked_at.is_none())?;
                    let ends = key.expires_at.unwrap_or(i64::MAX);
                    (now < ends).then_some(Life { ends, ask_at: ends })
                }
            };
            let living = asked
                .iter()
                .filter_map(|lasting| Some((lasting.clone(), life(lasting)?)));
            living.collect()
        })
    }
}

impl Imports for Fake {
    fn import_users<'a>(&'a self, _: &'a [ImportedUser]) -> Answer<'a, Vec<Imported>> {
        self.answer(|_| Vec::new())
    }
}
