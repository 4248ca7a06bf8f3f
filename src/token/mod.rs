//! Our JSON Web Tokens and those of other issuers: made, verified, remembered; and the refresh tokens.
//!
//! ```text
//! bytes -> compact (split, base64url, header) -> issuer by `iss`, key by `kid`, algorithm by the key -> signature
//!       -> claims (typed, strict) -> Verified -> standing (revocation) -> the person in force
//! ```
//!
//! Nothing in a token decides how it is verified: not its `alg`, never a key it brings along (RFC 8725 section 3). What is
//! refused has a reason that `doorward token inspect` prints and the metrics count ([`Error`]).

mod cache;
mod claims;
mod compact;
mod error;
mod external;
mod fetched;
mod inspect;
mod issue;
mod json;
pub mod praetorian;
mod refresh;
mod settings;
mod verify;

#[cfg(test)]
mod tests;

pub use cache::{Accepted, Cache, Source};
pub use error::{Error, LoadError};
pub use fetched::{FetchedKeys, IssuerKeys, KeySet};
pub use inspect::{Inspection, inspect};
pub use issue::{AccessToken, IssueError, Mint, Subject};
pub use refresh::{Judgement, Minted, Presented, REPEAT_WINDOW, judge, mint, new_salt, repeat, rotate};
pub use settings::{Algorithm, KeySource, RoleMapping, Settings, TrustedIssuer, UserMapping};
pub use verify::{Named, Verified, Verifier, Window, person_in_force};

/// What a token is for. Each kind has a `typ` of its own, so that none passes for another (RFC 8725 section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An access token (RFC 9068).
    Access,
}

impl Kind {
    /// The `typ` of its header.
    pub fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
        }
    }
}

/// For fuzzing: runs every parser that sees a client's bytes. An error is a broken promise, not a bad token.
pub fn fuzz_token(data: &[u8]) -> Result<(), &'static str> {
    if let Ok(parts) = compact::Compact::parse(data, 8192) {
        if parts.rebuilt() != data {
            return Err("two spellings of one token");
        }
        let _ = compact::Header::parse(&parts.header);
        let _ = claims::peek_issuer(&parts.payload);
        let _ = claims::Claims::parse(&parts.payload);
    }
    let _ = claims::Claims::parse(data);
    praetorian::fuzz(data)?;
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(presented) = Presented::parse(text)
        && presented.token().expose().as_str() != text
    {
        return Err("two spellings of one refresh token");
    }
    Ok(())
}
