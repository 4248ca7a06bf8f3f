//! The alphabets and numbers that stored hashes are written in.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Error;

/// Padding may stand or not, and the unused bits of the last character may be anything: passlib, argon2 and bcrypt differ in how
/// strict they are here, and the same bytes are the same hash.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BCRYPT: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, LENIENT);

/// crypt(3)'s digits, in the order of their values.
const CRYPT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Base64 as in RFC 4648 section 4, without padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads [`base64()`], padded or not.
pub(super) fn from_base64(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|_| Error::Malformed)
}

/// passlib's "adapted base64": "." for "+", no padding.
pub(super) fn ab64(bytes: &[u8]) -> String {
    base64(bytes).replace('+', ".")
}

/// Reads [`ab64`]; like passlib, "+" too.
pub(super) fn from_ab64(text: &str) -> Result<Vec<u8>, Error> {
    from_base64(&text.replace('.', "+"))
}

/// Reads bcrypt's base64, which has an alphabet of its own.
pub(super) fn from_bcrypt64<const N: usize>(text: &str) -> Result<[u8; N], Error> {
    let bytes = BCRYPT.decode(text).map_err(|_| Error::Malformed)?;
    bytes.try_into().map_err(|_| Error::Malformed)
}

/// Writes three bytes (or fewer, the missing ones are 0) as `digits` of crypt(3), the least significant six bits first.
pub(super) fn crypt64(high: u8, middle: u8, low: u8, digits: usize, out: &mut String) {
    let mut group = u32::from_be_bytes([0, high, middle, low]);
    for _ in 0..digits {
        let index = usize::try_from(group & 63).unwrap_or_default();
        out.push(char::from(CRYPT.get(index).copied().unwrap_or(b'.')));
        group >>= 6;
    }
}

/// A decimal number as canonical text: digits only, no leading zero, so that equal costs are equal text.
/// A number that is too big for any cost is [`Error::TooCostly`], not nonsense.
pub(super) fn decimal(text: &str) -> Result<u32, Error> {
    let canonical = text == "0" || !text.starts_with('0');
    if text.is_empty() || !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::Malformed);
    }
    text.parse().map_err(|_| Error::TooCostly)
}

/// The number behind `name=` ([`decimal`]).
pub(super) fn parameter(text: &str, name: &str) -> Result<u32, Error> {
    let value = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
    decimal(value.ok_or(Error::Malformed)?)
}

/// The parts between separators, exactly `N` of them.
pub(super) fn parts<const N: usize>(text: &str, separator: char) -> Result<[&str; N], Error> {
    let parts: Vec<&str> = text.split(separator).take(N + 1).collect();
    parts.try_into().map_err(|_| Error::Malformed)
}
