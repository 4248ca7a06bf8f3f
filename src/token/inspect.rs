//! What `doorward token inspect` shows: what a token says, and what is wrong with it.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::{Error, Verified, Verifier};

/// Reads also what is not canonical: it is shown, not believed.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A token laid open.
#[derive(Debug)]
pub struct Inspection {
    /// Its header as far as it can be read; not vouched for.
    pub header: Option<Value>,
    /// Its claims as far as they can be read; vouched for only by a good `verdict`.
    pub claims: Option<Value>,
    /// What verification says.
    pub verdict: Result<Verified, Error>,
}

/// Decodes and verifies a token at `now` (Unix milliseconds).
pub fn inspect(verifier: &Verifier, token: &str, now: i64) -> Inspection {
    let mut parts = token.split('.').map(read);
    Inspection {
        header: parts.next().flatten(),
        claims: parts.next().flatten(),
        verdict: verifier.verify(token.as_bytes(), now),
    }
}

fn read(part: &str) -> Option<Value> {
    serde_json::from_slice(&LENIENT.decode(part).ok()?).ok()
}
