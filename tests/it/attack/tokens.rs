//! The table of tokens, `tokens.table`, on the wire: `Authorization` to a route for the role `admin`.
//!
//! Each row begins with a good token and changes it: `h.NAME=` and `c.NAME=` put JSON, as it is written, in a member's place, `-` takes
//! a member away, `+` adds one behind; `h=` and `c=` replace header or claims as a whole, where `{good}` is what they were; `in=` is what
//! is signed, `t=` the token and `v=` the field's value, made of `{h} {c} {s} {t}`. `~` and `+` behind these stand for the same bits in
//! another spelling. `sig=` says what becomes of the signature; `plain`, that the challenge names no error.
//!
//! Every token is sent three times, since what was looked at may be remembered; the good ones are known all the while.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::table::{Row, read, unescape};
use crate::support::gateway::{AUDIENCE, TestGateway, password_of};
use crate::support::issuer::{Issuer, claims_of, unix_time};
use crate::support::upstream::Upstream;

#[test]
fn the_table_of_tokens() {
    let backend = Upstream::start();
    let es = Issuer::new("https://es.test").es256("k-es");
    let rs = Issuer::new("https://rs.test").rs256("k-rs");
    let hs = Issuer::new("https://hs.test").hs256("k-hs");
    let strangers = Issuer::new("stranger")
        .es256("ES256")
        .rs256("RS256")
        .hs256("HS256")
        .eddsa("EdDSA");
    let key_file = format!("key_file = {:?}", rs.public_key_file("k-rs").display().to_string());
    let secret_file = format!("secret_file = {:?}", hs.secret_file("k-hs").display().to_string());
    let gateway = TestGateway::with(&backend)
        .route("/admin", "admin")
        .user("ann", &["admin"])
        .trusting(&es, &["ES256"])
        .trusting_with(&rs, &["RS256"], &key_file)
        .trusting_with(&hs, &["HS256"], &secret_file)
        .config("[log]\naccess = false")
        .start();
    let login = gateway.try_login("ann", &password_of("ann")).expect(200).json();
    let own = own(&gateway, login["access_token"].as_str().unwrap());
    let kinds = [
        own,
        external("es", &es, "k-es"),
        external("rs", &rs, "k-rs"),
        external("hs", &hs, "k-hs"),
    ];
    let forge = Forge {
        kinds: &kinds,
        strangers: &strangers,
        refresh: login["refresh_token"].as_str().unwrap(),
    };
    let rows = read("tokens.table");
    let (mut wrong, mut played) = (Vec::new(), 0);
    for row in &rows {
        let (status, whose) = row.expected.split_once(' ').unwrap();
        for kind in kinds.iter().filter(|kind| is_among(kind.name, whose)) {
            played += 1;
            if let Err(why) = play(row, status.parse().unwrap(), kind, &forge, &gateway, &backend) {
                wrong.push(format!("tokens.table:{} {} ({}): {why}", row.line, row.name, kind.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {played}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(
        rows.len() >= 250 && played >= 900,
        "{} rows, {played} tokens",
        rows.len()
    );
    // All of it has not touched the good ones.
    for kind in &kinds {
        assert_eq!(
            play(&rows[0], 200, kind, &forge, &gateway, &backend),
            Ok(()),
            "{}",
            kind.name
        );
    }
}

fn is_among(name: &str, whose: &str) -> bool {
    whose == "all" || whose == "ext" && name != "own" || whose.split(',').any(|one| one == name)
}

fn play(
    row: &Row,
    status: u16,
    kind: &Kind<'_>,
    forge: &Forge<'_>,
    gateway: &TestGateway,
    backend: &Upstream,
) -> Result<(), String> {
    let (value, plain) = forge.value(row, kind);
    let before = backend.requests().len();
    let mut client = gateway.raw_plain();
    for time in 1..=3 {
        let head = [
            b"GET /admin HTTP/1.1\r\nHost: localhost\r\nAuthorization: ",
            value.as_slice(),
            b"\r\n\r\n",
        ]
        .concat();
        let _ = client.try_send(head);
        let answer = client.try_response().map_err(|broken| broken.to_string())?;
        if answer.status != status {
            return Err(format!("{} the {time}. time: {}", answer.status, answer.text()));
        }
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        let right = match status {
            401 if plain => challenge.starts_with("Bearer ") && !challenge.contains("error"),
            401 => challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""),
            _ => true,
        };
        if !right {
            return Err(format!("challenged {challenge:?}"));
        }
    }
    let seen = backend.requests().split_off(before);
    let wanted = if status == 200 { 3 } else { 0 };
    if seen.len() != wanted {
        return Err(format!("the backend saw {} requests", seen.len()));
    }
    for request in &seen {
        let authorization = request.headers.all("authorization");
        if request.headers.all("x-user").len() != 1 || !authorization.is_empty() {
            return Err(format!("the backend got {:?}", request.headers));
        }
    }
    Ok(())
}

type Sign<'i> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'i>;

/// Whose tokens, with what makes good ones.
struct Kind<'i> {
    name: &'static str,
    algorithm: &'static str,
    key: String,
    header: Vec<(String, String)>,
    claims: Vec<(String, String)>,
    public: Option<(Vec<u8>, String)>,
    sign: Sign<'i>,
}

fn members(object: &Value) -> Vec<(String, String)> {
    let object = object.as_object().unwrap().iter();
    object.map(|(name, value)| (name.clone(), value.to_string())).collect()
}

/// Our own: signed with the key that the gateway keeps in its store.
fn own(gateway: &TestGateway, token: &str) -> Kind<'static> {
    let store = rusqlite::Connection::open(gateway.folder().join("data/doorward.db")).unwrap();
    let (key, material): (String, Vec<u8>) = store
        .query_row(
            "SELECT id, material FROM gateway_keys WHERE algorithm = 'EdDSA'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(&material).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    // RFC 8410 section 4: the algorithm's name, then the key.
    let der = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &public].concat();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&public), "kid": key });
    Kind {
        name: "own",
        algorithm: "EdDSA",
        header: members(&json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": key })),
        claims: members(&claims_of(token)),
        public: Some((der, jwk.to_string())),
        sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
        key,
    }
}

fn external<'i>(name: &'static str, issuer: &'i Issuer, key: &'i str) -> Kind<'i> {
    let algorithm = issuer.key(key).algorithm();
    let mut claims = issuer.claims(AUDIENCE, "ann");
    claims["roles"] = json!(["admin"]);
    let public = (algorithm != "HS256").then(|| {
        let pem = std::fs::read_to_string(issuer.public_key_file(key)).unwrap();
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        (STANDARD.decode(text).unwrap(), issuer.jwks()["keys"][0].to_string())
    });
    Kind {
        name,
        algorithm,
        key: key.to_owned(),
        header: members(&json!({ "alg": algorithm, "kid": key, "typ": "JWT" })),
        claims: members(&claims),
        public,
        sign: Box::new(move |message| issuer.key(key).signature(message)),
    }
}

/// Makes tokens of rows.
struct Forge<'f> {
    kinds: &'f [Kind<'f>],
    strangers: &'f Issuer,
    refresh: &'f str,
}

impl Forge<'_> {
    /// The value of Authorization, and whether the challenge is to name no error.
    fn value(&self, row: &Row, kind: &Kind<'_>) -> (Vec<u8>, bool) {
        let plain = row.more.iter().any(|edit| edit == "plain");
        (self.shown(row, kind), plain)
    }

    fn shown(&self, row: &Row, kind: &Kind<'_>) -> Vec<u8> {
        let edits = || std::iter::once(row.sent.trim()).chain(row.more.iter().map(String::as_str));
        let named = self.named(kind);
        let named: Vec<(&str, &str)> = named
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let (mut header, mut claims) = (kind.header.clone(), kind.claims.clone());
        for edit in edits() {
            apply(edit, "h.", &mut header, &named);
            apply(edit, "c.", &mut claims, &named);
        }
        let whole = |letter: &str, members: &[(String, String)]| {
            let good = write(members);
            let replaced = edits().find_map(|edit| edit.strip_prefix(letter)?.strip_prefix('='));
            replaced.map_or(good.clone(), |text| {
                let good = String::from_utf8_lossy(&good).into_owned();
                let named = [&named[..], &[("good", good.as_str())]].concat();
                unescape(&at_times(text), &named)
            })
        };
        let (header, claims) = (whole("h", &header), whole("c", &claims));
        let (h, c) = (encode(&header), encode(&claims));
        // A part has bits to spare where it is no multiple of four letters.
        let loose = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            while bytes.len().is_multiple_of(3) {
                bytes.push(b' ');
            }
            respell(&encode(&bytes))
        };
        let part = |name: &str| edits().find_map(|edit| edit.strip_prefix(name)?.strip_prefix('='));
        let parts = [
            ("h", h.as_str()),
            ("c", c.as_str()),
            ("h~", &loose(&header)),
            ("c~", &loose(&claims)),
            ("c+", &c.replace('-', "+").replace('_', "/")),
            ("refresh", self.refresh),
        ];
        let signed = unescape(part("in").unwrap_or("{h}.{c}"), &parts);
        let signature = self.signature(part("sig").unwrap_or("right"), kind, &signed);
        let s = encode(&signature);
        let signed = String::from_utf8(signed).unwrap();
        let whole = format!("{signed}.{s}");
        let loose = if s.is_empty() { String::new() } else { respell(&s) };
        let parts = [&parts[..], &[("s", s.as_str()), ("s~", &loose)]].concat();
        let token = part("t").map_or(whole.into_bytes(), |text| unescape(text, &parts));
        // What is no UTF-8 here was written so in the table, and never in a `v=`.
        match part("v") {
            None => [b"Bearer ", token.as_slice()].concat(),
            Some(text) => unescape(text, &[("t", std::str::from_utf8(&token).unwrap())]),
        }
    }

    fn named(&self, kind: &Kind<'_>) -> Vec<(String, String)> {
        let text = |kind: &Kind<'_>, claim: &str| {
            let value = kind.claims.iter().find(|(name, _)| name == claim);
            let value: Value = serde_json::from_str(&value.unwrap().1).unwrap();
            value.as_str().or_else(|| value[0].as_str()).unwrap().to_owned()
        };
        let stranger = self.strangers.jwks();
        let stranger = stranger["keys"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["alg"] == kind.algorithm);
        let flipped: String = kind
            .key
            .chars()
            .map(|c| {
                if c.is_uppercase() {
                    c.to_ascii_lowercase()
                } else {
                    c.to_ascii_uppercase()
                }
            })
            .collect();
        let mut named = vec![
            ("alg".to_owned(), kind.algorithm.to_owned()),
            ("alg.lower".to_owned(), kind.algorithm.to_lowercase()),
            ("kid".to_owned(), kind.key.clone()),
            ("kid.flipped".to_owned(), flipped),
            ("iss".to_owned(), text(kind, "iss")),
            ("iss.upper".to_owned(), text(kind, "iss").to_uppercase()),
            ("iss.http".to_owned(), text(kind, "iss").replace("https", "http")),
            ("aud".to_owned(), text(kind, "aud")),
            ("aud.upper".to_owned(), text(kind, "aud").to_uppercase()),
            ("sub".to_owned(), text(kind, "sub")),
            ("stranger.jwk".to_owned(), stranger.unwrap_or(&Value::Null).to_string()),
        ];
        for other in self.kinds {
            named.push((format!("{}.kid", other.name), other.key.clone()));
            named.push((format!("{}.iss", other.name), text(other, "iss")));
        }
        named
    }

    fn signature(&self, what: &str, kind: &Kind<'_>, signed: &[u8]) -> Vec<u8> {
        let right = (kind.sign)(signed);
        let half = right.len() / 2;
        let (r, s) = right.split_at(half);
        match what {
            "right" => right,
            "empty" => Vec::new(),
            "zero" => vec![0; right.len()],
            "ff" => vec![0xff; right.len()],
            "flip" => right
                .iter()
                .enumerate()
                .map(|(at, byte)| if at == half { byte ^ 1 } else { *byte })
                .collect(),
            "cut" => right[..right.len() - 1].to_vec(),
            "longer" => [&right[..], &[0]].concat(),
            "lead0" => [&[0], &right[..]].concat(),
            "twice" => right.repeat(2),
            "one" => vec![1],
            "stale" => (kind.sign)(b"e30.e30"),
            "r0" => [&vec![0; half][..], s].concat(),
            "s0" => [r, &vec![0; half]].concat(),
            "order" => ORDER.repeat(2),
            "half" => [r, &[0xff; 32]].concat(),
            "der" => der(r, s),
            "negate" => [r, &minus(&ORDER, s)].concat(),
            "plus-l" => [r, &plus(s, &L)].concat(),
            "neutral" => [&[1][..], &[0; 63]].concat(),
            // The point of order two: y = -1.
            "small" => [&[0xec][..], &[0xff; 30], &[0x7f], &[0; 32]].concat(),
            "stranger" => self.strangers.key(kind.algorithm).signature(signed),
            _ => match what.split_once(':') {
                Some(("by", name)) => (self.kinds.iter().find(|kind| kind.name == name).unwrap().sign)(signed),
                Some(("hmac", secret)) => {
                    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret_from(secret, kind));
                    hmac::sign(&key, signed).as_ref().to_vec()
                }
                _ => panic!("sig={what}"),
            },
        }
    }
}

/// What is public about a key, or known to all, taken for a secret.
fn secret_from(what: &str, kind: &Kind<'_>) -> Vec<u8> {
    let public = || kind.public.clone().unwrap();
    let pem = || {
        let text = STANDARD.encode(public().0);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    };
    match what {
        "pem" => pem().into_bytes(),
        "pem-trimmed" => pem().trim_end().as_bytes().to_vec(),
        "jwk" => public().1.into_bytes(),
        "der" => public().0,
        "empty" => Vec::new(),
        well_known => well_known.as_bytes().to_vec(),
    }
}

/// One edit of a member.
fn apply(edit: &str, letter: &str, members: &mut Vec<(String, String)>, named: &[(&str, &str)]) {
    if let Some(name) = edit.strip_prefix('-').and_then(|rest| rest.strip_prefix(letter)) {
        return members.retain(|(have, _)| have != name);
    }
    let (more, rest) = edit.strip_prefix('+').map_or((false, edit), |rest| (true, rest));
    let Some((name, value)) = rest.strip_prefix(letter).and_then(|rest| rest.split_once('=')) else {
        return;
    };
    // Bytes that are no UTF-8 travel as the characters of the same numbers, and become bytes again in `write`.
    let value = latin(&unescape(&at_times(value), named));
    let name = latin(&unescape(name, named));
    match members.iter_mut().find(|(have, _)| *have == name && !more) {
        Some((_, have)) => *have = value,
        None => members.push((name, value)),
    }
}

fn latin(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes
            .iter()
            .map(|byte| char::from_u32(0xe000 + u32::from(*byte)).unwrap())
            .collect(),
    }
}

fn write(members: &[(String, String)]) -> Vec<u8> {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    let text = format!("{{{}}}", members.join(","));
    let mut bytes = Vec::new();
    for character in text.chars() {
        match u32::from(character) {
            raw @ 0xe000..=0xe0ff => bytes.push((raw - 0xe000) as u8),
            _ => bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// `{now}`, `{now+5}`, `{now-5}` as seconds.
fn at_times(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{now") {
        let (offset, after) = after.split_once('}').unwrap();
        let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().unwrap() };
        result += before;
        result += &(i64::try_from(unix_time()).unwrap() + offset).to_string();
        rest = after;
    }
    result + rest
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The same bytes with a bit set that nobody reads; where the length leaves no such bit, a bit of the last byte is another.
fn respell(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (front, last) = text.split_at(text.len() - 1);
    let at = ALPHABET
        .iter()
        .position(|letter| *letter == last.as_bytes()[0])
        .unwrap();
    format!("{front}{}", char::from(ALPHABET[at ^ 1]))
}

/// The order of P-256, and of the group of Ed25519 (the lower byte first).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Highest byte first.
fn minus(from: &[u8], what: &[u8]) -> Vec<u8> {
    let mut result = vec![0; from.len()];
    let mut borrow = 0;
    for at in (0..from.len()).rev() {
        let difference = i16::from(from[at]) - i16::from(what[at]) - borrow;
        borrow = i16::from(difference < 0);
        result[at] = (difference + 256 * borrow) as u8;
    }
    result
}

/// Lowest byte first.
fn plus(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let add = |(a, b): (&u8, &u8)| {
        let sum = u16::from(*a) + u16::from(*b) + carry;
        carry = sum >> 8;
        sum as u8
    };
    one.iter().zip(other).map(add).collect()
}

fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = if number[0] >= 0x80 { vec![0] } else { Vec::new() };
        let content = [sign, number].concat();
        [vec![2, content.len() as u8], content].concat()
    };
    let content = [integer(r), integer(s)].concat();
    [vec![0x30, content.len() as u8], content].concat()
}
