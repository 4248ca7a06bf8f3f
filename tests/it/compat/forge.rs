//! Tokens for the rows of the tables: `{T}` is a good one of alice's, and what follows the `T` changes it.
//!
//! `for=NAME` makes it somebody else's; `NAME=` puts JSON, as it is written, in a claim's place, `-NAME` takes the claim away, `+NAME=`
//! adds one behind; the same with `h.NAME` for the header. `@+9` and `@-9` stand for a time that far from now. `claims=` replaces all claims.
//! `sig=` is `other` (secret), `newline` (behind the secret), `nothing` (for a secret), `empty`, `hs384`, `hs512`; `tampered` puts
//! somebody else's claims under a good signature. Edits are apart by `;`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::flask::SECRET;
use crate::support::issuer::unix_time;

/// Names and values in their order, as they are written.
pub type Members = Vec<(String, String)>;

/// Whom a token is for.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: i64,
    pub roles: String,
}

/// How the old server's tokens live by default, in seconds.
pub const ACCESS: i64 = 24 * 3600;
pub const REFRESH: i64 = 30 * 24 * 3600;

/// A token, and the claims that it was made of.
pub struct Forged {
    pub token: String,
    pub claims: Members,
}

/// The claims of a good token, in the order of the library.
pub fn claims_of(person: &Person, jti: &str, now: i64) -> Members {
    [
        ("iat", now.to_string()),
        ("exp", (now + ACCESS).to_string()),
        ("jti", quoted(jti)),
        ("id", person.id.to_string()),
        ("rls", quoted(&person.roles)),
        ("rf_exp", (now + REFRESH).to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A token with these edits; `find` knows the people.
pub fn forge(edits: &str, jti: &str, find: impl Fn(&str) -> Person) -> Forged {
    let edits: Vec<&str> = edits
        .split(';')
        .map(str::trim_start)
        .filter(|edit| !edit.is_empty())
        .collect();
    let whose = edits
        .iter()
        .find_map(|edit| edit.strip_prefix("for="))
        .unwrap_or("alice");
    let now = i64::try_from(unix_time()).unwrap();
    let mut claims = claims_of(&find(whose), jti, now);
    let mut header: Members = vec![("typ".to_owned(), quoted("JWT")), ("alg".to_owned(), quoted("HS256"))];
    let (mut signature, mut tampered, mut whole) = ("good", false, None);
    for edit in edits {
        if edit.starts_with("for=") {
            continue;
        } else if edit == "tampered" {
            tampered = true;
        } else if let Some(how) = edit.strip_prefix("sig=") {
            signature = how;
        } else if let Some(text) = edit.strip_prefix("claims=") {
            whole = Some(text.to_owned());
        } else {
            apply(edit, now, &mut header, &mut claims);
        }
    }
    let header = encode(write(&header));
    let signed = format!("{header}.{}", encode(whole.unwrap_or_else(|| write(&claims))));
    let sealed = encode(sign(signature, signed.as_bytes()));
    let token = if tampered {
        let mut others = claims.clone();
        others
            .iter_mut()
            .filter(|(name, _)| name == "id")
            .for_each(|(_, id)| *id = find("root").id.to_string());
        format!("{header}.{}.{sealed}", encode(write(&others)))
    } else {
        format!("{signed}.{sealed}")
    };
    Forged { token, claims }
}

fn apply(edit: &str, now: i64, header: &mut Members, claims: &mut Members) {
    let (sign, rest) = match edit.as_bytes()[0] {
        b'-' => ('-', &edit[1..]),
        b'+' => ('+', &edit[1..]),
        _ => ('=', edit),
    };
    let (members, rest) = match rest.strip_prefix("h.") {
        Some(rest) => (header, rest),
        None => (claims, rest),
    };
    let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
    let value = value
        .strip_prefix('@')
        .map_or(value.to_owned(), |offset| at(now, offset));
    match sign {
        '-' => members.retain(|(member, _)| member != name),
        '+' => members.push((name.to_owned(), value)),
        _ => {
            let member = members.iter_mut().find(|(member, _)| member == name);
            member.unwrap_or_else(|| panic!("no {name} to change")).1 = value;
        }
    }
}

fn at(now: i64, offset: &str) -> String {
    match offset.split_once('.') {
        Some((whole, fraction)) => format!("{}.{fraction}", now + whole.parse::<i64>().unwrap()),
        None => (now + offset.parse::<i64>().unwrap()).to_string(),
    }
}

fn sign(how: &str, message: &[u8]) -> Vec<u8> {
    let newline = format!("{SECRET}\n");
    let (algorithm, secret) = match how {
        "good" => (hmac::HMAC_SHA256, SECRET),
        "other" => (hmac::HMAC_SHA256, "another secret"),
        "newline" => (hmac::HMAC_SHA256, newline.as_str()),
        "nothing" => (hmac::HMAC_SHA256, ""),
        "hs384" => (hmac::HMAC_SHA384, SECRET),
        "hs512" => (hmac::HMAC_SHA512, SECRET),
        "empty" => return Vec::new(),
        _ => panic!("sig={how}"),
    };
    hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), message)
        .as_ref()
        .to_vec()
}

/// The members as Python's `json.dumps` writes them without blanks.
pub fn write(members: &Members) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", quoted(name)))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A text as `json.dumps` writes it: ASCII only.
pub fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let mut written = String::new();
    for character in json.chars() {
        if character.is_ascii() {
            written.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                written.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    written
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Header and claims of a token as they were written, its signature checked.
pub fn opened(token: &str) -> Result<(String, String), String> {
    let (signed, signature) = token.rsplit_once('.').ok_or(format!("no token: {token:?}"))?;
    if encode(sign("good", signed.as_bytes())) != signature {
        return Err(format!("not signed with the secret: {token}"));
    }
    let (header, claims) = signed.split_once('.').ok_or(format!("no token: {token:?}"))?;
    let text = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    };
    Ok((text(header)?, text(claims)?))
}
