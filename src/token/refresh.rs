//! Refresh tokens: their form, how a successor follows from its predecessor, and what a presented one means.
//!
//! `base64url(sid ‖ generation ‖ family ‖ r)`. The session's row holds only hashes, of the family secret and of `r`. The
//! successor's `r' = HMAC(key = r, sid ‖ generation + 1 ‖ salt)`: only who shows the predecessor can derive it, so any
//! replica can give the same successor again, without a key of the server's. The family secret tells a spent token of this
//! session (somebody has stolen one: the session ends) from an invented one (whoever sees an access token knows its `sid`,
//! and must not be able to end the session with it).

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SecureRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::principal::SessionId;
use crate::secret::{Secret, sha256};
use crate::store::{Rotation, Session};

/// How long a spent token still gives the same successor, in milliseconds: for a client that lost the answer.
pub const REPEAT_WINDOW: i64 = 10_000;

/// 16 + 4 + 16 + 32 bytes.
const LENGTH: usize = 68;

/// A refresh token as it was presented, or as it will be given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Which session it says it is of.
    pub session: SessionId,
    /// Which of the session's tokens it says it is.
    pub generation: u32,
    family: Secret<[u8; 16]>,
    secret: Secret<[u8; 32]>,
}

impl Presented {
    /// Reads a token; `None`: it is none. Each token has one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; LENGTH];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (session, rest) = bytes.split_first_chunk::<16>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        let (family, rest) = rest.split_first_chunk::<16>()?;
        let secret: &[u8; 32] = rest.try_into().ok()?;
        (length == LENGTH).then(|| Self {
            session: SessionId(*session),
            generation: u32::from_be_bytes(*generation),
            family: Secret::new(*family),
            secret: Secret::new(*secret),
        })
    }

    /// The token's text.
    pub fn token(&self) -> Secret<String> {
        let generation = self.generation.to_be_bytes();
        let parts: [&[u8]; 4] = [&self.session.0, &generation, self.family.expose(), self.secret.expose()];
        Secret::new(URL_SAFE_NO_PAD.encode(parts.concat()))
    }

    /// SHA-256 of its secret: what the store compares.
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.secret.expose())
    }

    /// The token that follows this one under this salt.
    fn successor(&self, salt: &[u8; 16]) -> Self {
        let generation = self.generation.saturating_add(1);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose());
        let mut context = hmac::Context::with_key(&key);
        context.update(&self.session.0);
        context.update(&generation.to_be_bytes());
        context.update(salt);
        let mut secret = [0; 32];
        // Both are 32 bytes long: the length of SHA-256.
        secret
            .iter_mut()
            .zip(context.sign().as_ref())
            .for_each(|(to, from)| *to = *from);
        Self {
            generation,
            secret: Secret::new(secret),
            ..self.clone()
        }
    }

    fn is_of_family(&self, session: &Session) -> bool {
        self.session == session.id && same(&sha256(self.family.expose()), &session.family_hash)
    }
}

/// The first token of a new session, and what its row holds.
#[derive(Debug)]
pub struct Minted {
    /// The token to give out.
    pub token: Secret<String>,
    /// The session's name.
    pub id: SessionId,
    /// For the row.
    pub family_hash: [u8; 32],
    /// For the row.
    pub current_hash: [u8; 32],
    /// For the row.
    pub salt: [u8; 16],
}

/// Makes a session's name, family and first token; `None`: no randomness.
pub fn mint(random: &dyn SecureRandom) -> Option<Minted> {
    let (mut id, mut family, mut secret) = ([0; 16], [0; 16], [0; 32]);
    random.fill(&mut id).ok()?;
    random.fill(&mut family).ok()?;
    random.fill(&mut secret).ok()?;
    let first = Presented {
        session: SessionId(id),
        generation: 0,
        family: Secret::new(family),
        secret: Secret::new(secret),
    };
    Some(Minted {
        token: first.token(),
        id: first.session,
        family_hash: sha256(&family),
        current_hash: first.hash(),
        salt: new_salt(random)?,
    })
}

/// A salt for the derivation after next; `None`: no randomness.
pub fn new_salt(random: &dyn SecureRandom) -> Option<[u8; 16]> {
    let mut salt = [0; 16];
    random.fill(&mut salt).ok()?;
    Some(salt)
}

/// What a presented token means for its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is the current one: [`rotate`].
    Rotate,
    /// It was spent a moment ago: [`repeat`], and a fresh access token.
    Repeat,
    /// It was spent long ago, so two parties have it: 401, revoke the session, audit.
    Reused,
    /// Spent two turns ago within the last moments: 401 and nothing else; a client that retries fast is no thief.
    TooOld,
    /// Not of this session's family: 401 and nothing else.
    Forged,
    /// The session was ended.
    Ended,
    /// The session's time is over.
    Expired,
}

/// Judges a presented token by the session of its name as it is stored, at `now` (Unix milliseconds).
pub fn judge(session: &Session, presented: &Presented, now: i64) -> Judgement {
    if !presented.is_of_family(session) {
        return Judgement::Forged;
    }
    if session.revoked_at.is_some() {
        return Judgement::Ended;
    }
    if now >= session.expires_at || now >= session.idle_until {
        return Judgement::Expired;
    }
    let hash = presented.hash();
    // How many turns ago it was current; a generation that is still to come was never given out.
    let Some(turns) = session.generation.checked_sub(presented.generation) else {
        return Judgement::Forged;
    };
    let just_rotated = session
        .rotated_at
        .is_some_and(|at| now.saturating_sub(at) < REPEAT_WINDOW);
    match turns {
        0 if same(&hash, &session.current_hash) => Judgement::Rotate,
        0 => Judgement::Forged,
        1 if just_rotated && session.previous_hash.is_some_and(|previous| same(&hash, &previous)) => Judgement::Repeat,
        2 if just_rotated => Judgement::TooOld,
        _ => Judgement::Reused,
    }
}

/// The rotation to store and the successor to give out, for a token that was judged [`Judgement::Rotate`]. If the store
/// says that somebody was first, read the session and judge again.
pub fn rotate(
    session: &Session,
    presented: &Presented,
    next_salt: [u8; 16],
    idle_until: i64,
) -> (Rotation, Secret<String>) {
    let next = presented.successor(&session.salt);
    let rotation = Rotation {
        id: session.id,
        presented_hash: presented.hash(),
        generation: session.generation,
        next_hash: next.hash(),
        next_salt,
        idle_until: idle_until.min(session.expires_at),
    };
    (rotation, next.token())
}

/// The same successor once more, for a token that was judged [`Judgement::Repeat`]; `None`: it is not the current one.
pub fn repeat(session: &Session, presented: &Presented) -> Option<Secret<String>> {
    let next = presented.successor(&session.previous_salt?);
    (next.generation == session.generation && same(&next.hash(), &session.current_hash)).then(|| next.token())
}

fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}
