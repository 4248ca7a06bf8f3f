//! Known answers of the original software, damaged hashes, new hashes, stand-ins.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::argon::Memory;
use super::*;
use crate::secret::Secret;

mod vectors;

use vectors::VECTORS;

fn cheap() -> Settings {
    Settings {
        cost: Cost::new(64, 2, 1).unwrap(),
        max_concurrent: NonZeroUsize::MIN,
        ..Settings::default()
    }
}

fn memory() -> Memory {
    Memory::for_cost(Cost::default())
}

fn verify(stored: &str, password: &str) -> Result<bool, Error> {
    StoredHash::parse(stored)?.verify(password.as_bytes(), &mut memory())
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn is_costly(stored: &str) -> bool {
    [
        "25000$", "29000$", "131000$", "$12$", "r=12", "m=65536", "5000$", "6000$", "ln=16", "1000000$",
    ]
    .iter()
    .any(|cost| stored.contains(cost))
}

fn cheap_vectors() -> Vec<(&'static str, &'static str, &'static str)> {
    VECTORS
        .iter()
        .copied()
        .filter(|(_, stored, _)| !is_costly(stored) && stored.is_ascii())
        .collect()
}

#[test]
fn hashes_of_the_original_software_verify_and_only_with_the_right_password() {
    for (label, stored, password) in VECTORS {
        assert_eq!(verify(stored, password), Ok(true), "{label}");
        // A character at the front changes every scheme's answer; one at the end would lie behind bcrypt's cut.
        assert_eq!(
            verify(stored, &format!("x{password}")),
            Ok(false),
            "{label}, another in front"
        );
        if is_costly(stored) {
            continue;
        }
        let behind_the_cut = stored.starts_with("$2") && password.len() >= 72;
        assert_eq!(
            verify(stored, &format!("{password} ")),
            Ok(behind_the_cut),
            "{label}, another behind"
        );
        if !password.is_empty() {
            assert_eq!(verify(stored, ""), Ok(false), "{label}, empty");
        }
        if password.contains('ä') {
            assert_eq!(
                verify(stored, &password.replace('ä', "a\u{308}")),
                Ok(false),
                "{label}, never normalised"
            );
        }
    }
}

#[test]
fn bcrypt_counts_72_bytes_and_the_sha256_form_counts_all() {
    let find = |label: &str| VECTORS.iter().find(|(name, _, _)| *name == label).unwrap();
    let (_, stored, password) = find("bcrypt 2b, long");
    let mut same = password.as_bytes()[..72].to_vec();
    let parsed = StoredHash::parse(stored).unwrap();
    assert_eq!(
        parsed.verify(&same, &mut memory()),
        Ok(true),
        "the cut goes through a character"
    );
    same[71] ^= 1;
    assert_eq!(parsed.verify(&same, &mut memory()), Ok(false));
    let (_, stored, password) = find("bcrypt_sha256 v2, long");
    assert_eq!(verify(stored, &format!("{password}.")), Ok(false));
}

#[test]
fn a_nul_byte_counts_where_the_scheme_has_it_and_never_matches_where_it_has_not() {
    // What C would see of "abc\0def" is "abc".
    let bcrypt = "$2b$04$XuwXibbSX/BG.YEGaiWAOuCRu3jX7HB/AD9cd/4o.bmbGOxrS9UUu";
    let sha512 = "$6$rounds=1000$Q9P9eDdz//AVfhsI$PpzRKnQFd9eV2tOeeAbBTdl1Wy2/WaGH/.OPUiFKPgi.JWHLThD2KzcDP1ybxkrwxjqmRLJ1NLFGKoH2lK2V3/";
    for stored in [bcrypt, sha512] {
        assert_eq!(verify(stored, "abc"), Ok(true));
        assert_eq!(verify(stored, "abc\0"), Ok(false));
        assert_eq!(verify(stored, "abc\0def"), Ok(false));
    }
    for (label, stored, password) in VECTORS.iter().filter(|(_, _, password)| password.contains('\0')) {
        assert_eq!(verify(stored, &password.replace("\0b", "")), Ok(false), "{label}");
        assert_eq!(verify(stored, &password.replace('b', "c")), Ok(false), "{label}");
    }
}

#[test]
fn an_unknown_scheme_is_refused_and_never_compared_as_text() {
    for stored in [
        "",
        "secret",
        "$",
        "*",
        "!",
        "plain$secret",
        "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
        "$2$04$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
        "$2x$04$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
        "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D",
        "$argon2x$v=19$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$TvxgtogWvdEFh+nWh9by5w",
        "md5$salt$5ebe2294ecd0e0f08eab7690d2a6ee69",
        "pbkdf2:sha256:600000$salt$00",
        "argon2$argon2id$v=19$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$TvxgtogWvdEFh+nWh9by5w",
        " $2b$04$BH61RoYYD7a5bDg3/xhIp.Dgg6gHazgjWCH9.nNfQk.qoW/1FSq2q",
    ] {
        assert_eq!(
            StoredHash::parse(stored).unwrap_err(),
            Error::UnknownScheme,
            "{stored:?}"
        );
        assert_eq!(Shape::of(stored), None);
    }
}

const SALT: &str = "MDEyMzQ1Njc4OWFiY2RlZg";
const D20: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAA";
const D32: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const B: &str = "CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy";

#[test]
fn costs_beyond_the_caps_are_refused_without_computing() {
    let d86 = "A".repeat(86);
    for stored in [
        format!("$argon2id$v=19$m=262145,t=1,p=1${SALT}${D32}"),
        format!("$argon2id$v=19$m=4294967296,t=1,p=1${SALT}${D32}"),
        format!("$argon2i$v=19$m=64,t=21,p=1${SALT}${D32}"),
        format!("$argon2d$m=1024,t=1,p=17${SALT}${D32}"),
        format!("$argon2id$v=19$m=262144,t=20,p=1${SALT}${D32}"),
        format!("$pbkdf2-sha512$10000001${SALT}${d86}"),
        format!("$pbkdf2$99999999999999999999${SALT}${D20}"),
        format!("pbkdf2_sha256$4294967295$salt${D32}="),
        format!("$2b$17${B}"),
        format!("$2a$31${B}"),
        format!("$bcrypt-sha256$v=2,t=2b,r=17${}${}", &B[..22], &B[22..]),
        format!("$bcrypt-sha256$2b,31${}${}", &B[..22], &B[22..]),
        format!("$6$rounds=5000001$salt${d86}"),
        format!("$5$rounds=999999999$salt${D32}"),
        format!("$scrypt$ln=19,r=8,p=1${SALT}${D32}"),
        format!("$scrypt$ln=14,r=8,p=100${SALT}${D32}"),
        format!("$scrypt$ln=63,r=4294967295,p=4294967295${SALT}${D32}"),
        format!("$scrypt$ln=1,r=1,p=4294967295${SALT}${D32}"),
    ] {
        assert_eq!(StoredHash::parse(&stored).unwrap_err(), Error::TooCostly, "{stored}");
    }
    for stored in [
        format!("$argon2id$v=19$m=262144,t=8,p=16${SALT}${D32}"),
        format!("$pbkdf2$10000000${SALT}${D20}"),
        format!("$2b$16${B}"),
        format!("$6$rounds=5000000$salt${d86}"),
        format!("$scrypt$ln=18,r=8,p=4${SALT}${D32}"),
    ] {
        assert!(StoredHash::parse(&stored).is_ok(), "{stored}");
    }
    let long = "x".repeat(MAX_PASSWORD_BYTES);
    assert_eq!(
        verify(&format!("$6$rounds=5000000$salt${d86}"), &long),
        Err(Error::TooCostly),
        "each round hashes the password"
    );
    assert_eq!(verify(&format!("$6$salt${d86}"), &long), Ok(false));
}

#[test]
fn damaged_hashes_are_malformed() {
    let d86 = "A".repeat(86);
    for stored in [
        format!("$argon2id$v=19$m=64,t=2,p=1${SALT}"),
        format!("$argon2id$v=19$m=64,t=2,p=1${SALT}$"),
        format!("$argon2id$v=19$m=64,t=2,p=1${SALT}$AAAAAAAAAAA"),
        format!("$argon2id$v=19$m=64,t=2,p=1$AAAA${D32}"),
        format!("$argon2id$v=19$m=064,t=2,p=1${SALT}${D32}"),
        format!("$argon2id$v=19$m=+64,t=2,p=1${SALT}${D32}"),
        format!("$argon2id$v=18$m=64,t=2,p=1${SALT}${D32}"),
        format!("$argon2id$v=19$t=2,m=64,p=1${SALT}${D32}"),
        format!("$argon2id$v=19$m=64,t=2,p=1,data=AAAA${SALT}${D32}"),
        format!("$argon2id$v=19$m=7,t=2,p=1${SALT}${D32}"),
        format!("$argon2id$v=19$m=64,t=0,p=1${SALT}${D32}"),
        format!("$argon2id$v=19$m=64,t=2,p=0${SALT}${D32}"),
        format!("$argon2id$v=19$m=64,t=2,p=1${SALT}${D32}$"),
        format!("$pbkdf2-sha512$0${SALT}${d86}"),
        format!("$pbkdf2-sha512$${SALT}${d86}"),
        format!("$pbkdf2-sha512$10${SALT}$"),
        format!("$pbkdf2-sha512$10${SALT}${D32}"),
        format!("$pbkdf2-sha256$10${SALT}${D32} "),
        format!("pbkdf2_sha256$10$salt${D32}=$"),
        format!("$2b$4${B}"),
        format!("$2b$03${B}"),
        format!("$2b$004${B}"),
        format!("$2b$04${B}."),
        format!("$2b$04$é{}", &B[2..]),
        format!("$2b$04$CCCCCCCCCCCCCCCCCCCCé{}", &B[22..]),
        String::from("$2b$04$"),
        format!("$bcrypt-sha256$v=3,t=2b,r=4${}${}", &B[..22], &B[22..]),
        format!("$bcrypt-sha256$v=2,t=2a,r=4${}${}", &B[..22], &B[22..]),
        format!("$bcrypt-sha256$2y,4${}${}", &B[..22], &B[22..]),
        format!("$bcrypt-sha256$2b,04${}${}", &B[..22], &B[22..]),
        format!("$6$rounds=999$salt${d86}"),
        format!("$6$rounds=$salt${d86}"),
        format!("$6$seventeen-letters${d86}"),
        format!("$6$salt${D32}"),
        String::from("$6$rounds=5000$salt"),
        format!("$scrypt$ln=0,r=8,p=1${SALT}${D32}"),
        format!("$scrypt$ln=4,r=0,p=1${SALT}${D32}"),
        format!("$scrypt$ln=4,r=8,p=1${SALT}$"),
        format!("$pbkdf2${}${SALT}${D20}", "1".repeat(5000)),
    ] {
        assert_eq!(StoredHash::parse(&stored).unwrap_err(), Error::Malformed, "{stored}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn parsing_never_panics(
        scheme in prop::sample::select(vec![
            "", "$argon2id$", "$argon2i$v=19$m=64,t=1,p=1$", "$pbkdf2$", "$pbkdf2-sha512$1$", "pbkdf2_sha256$", "$2b$04$", "$2b$",
            "$bcrypt-sha256$", "$bcrypt-sha256$v=2,t=2b,r=4$", "$5$", "$6$rounds=", "$scrypt$", "$scrypt$ln=4,r=8,p=1$",
        ]),
        rest in "[$,=.+/a-z0-9é\\PC]{0,120}",
    ) {
        let text = format!("{scheme}{rest}");
        let _ = StoredHash::parse(&text);
        let _ = Shape::of(&text);
        let _ = text.parse::<Shape>();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens to a stored hash, it verifies its password only while it still says the same (unused bits of base64 are
    /// the only thing that may differ).
    #[test]
    fn a_changed_hash_does_not_verify(
        (label, stored, password) in prop::sample::select(cheap_vectors()),
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(b"$,=./+0123456789ABCXYZabcxyz\0 ".to_vec()),
        how in 0..3,
    ) {
        let mut bytes = stored.as_bytes().to_vec();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = with,
            1 => bytes.insert(at, with),
            _ => { bytes.remove(at); }
        }
        let changed = String::from_utf8(bytes).unwrap();
        let Ok(parsed) = StoredHash::parse(&changed) else { return Ok(()) };
        // A cost that grew by a digit may be huge within the caps.
        prop_assume!(changed.len() <= stored.len() || Shape::of(&changed) == Shape::of(stored));
        prop_assume!(!changed.starts_with("$2") || changed[4..6] < *"08");
        // 2a, 2b and 2y are names of one computation.
        let neutral = |text: &str| match text {
            _ if text.starts_with("$2") => format!("$2b{}", &text[3..]),
            _ => text.replacen("$bcrypt-sha256$2a,", "$bcrypt-sha256$2b,", 1),
        };
        let same = StoredHash::parse(&neutral(&changed)) == StoredHash::parse(&neutral(stored));
        let right = parsed.verify(password.as_bytes(), &mut memory());
        prop_assert!(right != Ok(true) || same, "{} {} {}", label, stored, changed);
    }
}

#[test]
fn new_hashes_verify_and_are_what_they_should_be() {
    let pool = Pool::start(
        Settings {
            max_concurrent: NonZeroUsize::MIN,
            ..Settings::default()
        },
        Box::new(|_| {}),
    )
    .unwrap();
    let password = || Secret::new(String::from(" Pässwörd\0 "));
    for (scheme, shape, upgrade) in [
        (Scheme::Argon2id, "$argon2id$v=19$m=19456,t=2,p=1$", false),
        (Scheme::PraetorianPbkdf2, "$pbkdf2-sha512$25000$", true),
    ] {
        let first = block_on(pool.hash(password(), scheme)).unwrap();
        let second = block_on(pool.hash(password(), scheme)).unwrap();
        assert_ne!(first, second, "every hash has a salt of its own");
        assert_eq!(Shape::of(&first).unwrap().as_str(), shape);
        assert_eq!(
            block_on(pool.verify(password(), &first)),
            Ok(Verdict::Right { upgrade })
        );
        let other = Secret::new(String::from("Pässwörd\0"));
        assert_eq!(block_on(pool.verify(other, &second)), Ok(Verdict::Wrong));
    }
}

#[test]
fn weaker_hashes_ask_for_an_upgrade_unless_upgrades_are_off() {
    let settings = Settings::default();
    let argon = |kind: &str, costs: &str| format!("$argon2{kind}${costs}${SALT}${D32}");
    for (stored, upgrade) in [
        (argon("id", "v=19$m=19456,t=2,p=1"), false),
        (argon("id", "v=19$m=65536,t=3,p=4"), false),
        (argon("id", "v=19$m=47104,t=1,p=1"), false),
        (argon("id", "v=19$m=12288,t=3,p=1"), true),
        (argon("id", "v=19$m=8192,t=20,p=1"), true),
        (argon("id", "v=19$m=19456,t=1,p=1"), true),
        (argon("id", "v=16$m=19456,t=2,p=1"), true),
        (argon("i", "v=19$m=65536,t=3,p=4"), true),
        (argon("d", "v=19$m=65536,t=3,p=4"), true),
        (format!("$2b$14${B}"), true),
        (format!("$scrypt$ln=17,r=8,p=1${SALT}${D32}"), true),
    ] {
        let hash = StoredHash::parse(&stored).unwrap();
        assert_eq!(hash.needs_upgrade(&settings), upgrade, "{stored}");
        assert!(!hash.needs_upgrade(&Settings {
            upgrade: false,
            ..settings.clone()
        }));
        assert!(
            !format!("{hash:?}").contains(&stored[stored.len() - 10..]),
            "debug output shows no digest"
        );
    }
}

#[test]
fn passwords_are_bounded_in_characters() {
    let pool = Pool::start(cheap(), Box::new(|_| ())).unwrap();
    let old = "é".repeat(3000);
    let stored = format!("$pbkdf2-sha512$1${SALT}${}", "A".repeat(86));
    let verify = |password: &str| block_on(pool.verify(Secret::new(password.to_owned()), &stored));
    assert_eq!(verify(&old), Ok(Verdict::Wrong));
    assert_eq!(verify(&"\u{1f600}".repeat(4096)), Ok(Verdict::Wrong));
    assert_eq!(verify(&"é".repeat(4097)), Err(Error::TooLong));
    assert_eq!(verify(&"x".repeat(4097)), Err(Error::TooLong));
    let hash = |password: String| block_on(pool.hash(Secret::new(password), Scheme::Argon2id));
    let stored = hash("\u{1f600}".repeat(4096)).unwrap();
    let verdict = block_on(pool.verify(Secret::new("\u{1f600}".repeat(4096)), &stored));
    assert!(verdict.unwrap().is_right());
    assert_eq!(hash("é".repeat(4097)), Err(Error::TooLong));
}

#[test]
fn too_long_and_unknown_are_refused_before_the_queue() {
    let pool = Pool::start(cheap(), Box::new(|_| panic!("nothing may be hashed"))).unwrap();
    let long = || Secret::new("x".repeat(MAX_PASSWORD_BYTES + 1));
    assert_eq!(block_on(pool.hash(long(), Scheme::Argon2id)), Err(Error::TooLong));
    assert_eq!(block_on(pool.verify(long(), VECTORS[0].1)), Err(Error::TooLong));
    let secret = || Secret::new(String::from("secret"));
    assert_eq!(block_on(pool.verify(secret(), "secret")), Err(Error::UnknownScheme));
    assert_eq!(block_on(pool.verify(secret(), "$2b$31$")), Err(Error::Malformed));
    assert_eq!(
        block_on(pool.verify(secret(), &format!("$2b$31${B}"))),
        Err(Error::TooCostly)
    );
}

#[test]
fn stand_ins_have_the_shapes_of_the_table_in_its_proportion_and_stay_with_their_names() {
    let shapes: Vec<Shape> = VECTORS
        .iter()
        .map(|(_, stored, _)| Shape::of(stored).unwrap())
        .collect();
    for shape in &shapes {
        assert_eq!(shape.to_string().parse::<Shape>().as_ref(), Ok(shape));
        let alone = StandIn::new(&[7; 32], &[(shape.clone(), 3)], Cost::default());
        assert_eq!(Shape::of(alone.hash_for("alice")).as_ref(), Some(shape), "{shape}");
    }
    for text in [
        "",
        "$2b$",
        "$2b$12",
        "$2b$12$x",
        "$6$rounds=10$",
        "$argon2id$",
        "$argon2id$v=19$m=64,t=2,p=1",
        "secret",
    ] {
        assert_eq!(text.parse::<Shape>(), Err(UnknownShape), "{text}");
    }
    let mixed: Vec<(Shape, u64)> = [("$2b$12$", 300), ("$pbkdf2-sha512$25000$", 0), ("$6$", 100)]
        .map(|(text, count)| (text.parse().unwrap(), count))
        .into();
    let stand_in = StandIn::new(&[7; 32], &mixed, Cost::default());
    let again = StandIn::new(
        &[7; 32],
        &mixed.iter().rev().cloned().collect::<Vec<_>>(),
        Cost::default(),
    );
    let other_key = StandIn::new(&[8; 32], &mixed, Cost::default());
    let names: Vec<String> = (0..2000).map(|number| format!("name{number}")).collect();
    let bcrypt = names
        .iter()
        .filter(|name| stand_in.hash_for(name).starts_with("$2b$12$"))
        .count();
    assert!((1350..1650).contains(&bcrypt), "three quarters of 2000, not {bcrypt}");
    assert!(names.iter().all(|name| stand_in.hash_for(name) == again.hash_for(name)));
    assert!(
        names
            .iter()
            .any(|name| stand_in.hash_for(name)[..4] != other_key.hash_for(name)[..4])
    );
    let empty = StandIn::new(&[7; 32], &[], Cost::default());
    assert_eq!(Shape::of(empty.hash_for("alice")), Some(Shape::of_new(Cost::default())));
    assert_eq!(verify(empty.hash_for("alice"), "secret"), Ok(false));
}
