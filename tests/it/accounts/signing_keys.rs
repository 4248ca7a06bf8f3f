//! Keys turn under load and lose nothing, are dropped at once where that is asked for, are sealed, come from files.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward::keyring::{Algorithm, SigningKey};
use serde_json::Value;

use super::answers::{Tokens, problem};
use super::world::{Gateway, Kind, Place, World, at_once, soon};

on_both!(
    a_rotation_under_load_loses_no_token,
    a_stolen_key_is_dropped_with_all_it_signed,
    ten_rotations_at_once_make_one_key,
    sealed_keys_are_of_use_with_their_file_only,
);

/// `kid` of a token.
fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// The names in the key set that a gateway publishes.
fn published(gateway: &Gateway) -> Vec<String> {
    let set = gateway.client.get("/.well-known/jwks.json").expect(200).json();
    let keys = set["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// What `doorward key list --json` says.
fn listed(world: &World<'_>) -> Vec<Value> {
    let (status, printed, said) = world.run_with("", &["key", "list", "--json"]);
    assert_eq!(status, 0, "{said}");
    serde_json::from_str(&printed).unwrap()
}

/// Moves all keys back in time, as if they had been made so much earlier, and tells the gateways.
fn age(world: &World<'_>, millis: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    world.sql(&format!(
        "UPDATE gateway_keys SET publish_at = publish_at - {millis}, sign_from = sign_from - {millis}, \
        verify_until = verify_until - {millis}; \
        INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('keys', '', {now}, {now} + 600000)"
    ));
}

fn a_rotation_under_load_loses_no_token(kind: Kind) {
    let world = World::new(kind);
    let replicas = [world.gateway(""), world.gateway("")];
    let before = replicas[0].register("alice");
    let old = kid(&before.access);
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for index in 0..2 {
            let (replicas, before, stop, rounds) = (&replicas, &before, &stop, &rounds);
            scope.spawn(move || {
                let mut tokens = vec![before.access.clone()];
                while !stop.load(Ordering::Relaxed) {
                    tokens.push(replicas[index].login("alice").access);
                    for token in &tokens {
                        for replica in replicas {
                            assert_eq!(replica.status_as("/app/x", token), 200, "a token of {}", kid(token));
                        }
                    }
                    // The first, and the last few of them: one of each key is always among those.
                    if tokens.len() > 6 {
                        tokens.remove(1);
                    }
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let judge = || {
            let (status, printed, said) = world.run_with("", &["key", "rotate"]);
            assert_eq!(status, 0, "{said}");
            assert!(
                printed.contains("new: EdDSA key") && printed.contains(&format!("old: EdDSA key {old}")),
                "{printed}"
            );
            for replica in &replicas {
                soon("both keys in the set", || published(replica).len() == 2);
            }
            let next = listed(&world)
                .into_iter()
                .find(|key| key["state"] == "next" && key["for"] == "tokens");
            let new = next.unwrap()["kid"].as_str().unwrap().to_owned();
            assert_eq!(
                kid(&replicas[0].login("alice").access),
                old,
                "published, and not signing yet"
            );
            // Seven minutes go by.
            age(&world, 420_000);
            for replica in &replicas {
                soon("tokens of the new key", || kid(&replica.login("alice").access) == new);
                assert_eq!(replica.status_as("/app/x", &before.access), 200);
            }
            let seen = rounds.load(Ordering::Relaxed);
            soon("more rounds", || rounds.load(Ordering::Relaxed) > seen + 4);
            let states: Vec<_> = listed(&world)
                .iter()
                .filter(|key| key["for"] == "tokens")
                .map(|key| key["state"].clone())
                .collect();
            assert_eq!(states, ["retired", "active"]);
        };
        // The others are stopped also where this fails.
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(judge));
        stop.store(true, Ordering::Relaxed);
        judged.unwrap();
    });
    // The last token of the old key has expired.
    age(&world, 3_600_000);
    for replica in &replicas {
        soon("the new key alone", || published(replica).len() == 1);
        problem(&replica.get_as("/app/x", &before.access), 401, "invalid_token");
    }
}

fn a_stolen_key_is_dropped_with_all_it_signed(kind: Kind) {
    let world = World::new(kind);
    let replicas = [world.gateway(""), world.gateway("")];
    let tokens = [replicas[0].register("alice"), replicas[1].register("bob")];
    let old = kid(&tokens[0].access);
    for replica in &replicas {
        for token in &tokens {
            // Twice: the second time it is remembered.
            assert_eq!(replica.status_as("/app/x", &token.access), 200);
            assert_eq!(replica.status_as("/app/x", &token.access), 200);
        }
    }
    // Also where a rotation is under way.
    world.doorward(&["key", "rotate"], "");
    let (status, printed, said) = world.run_with("", &["key", "rotate", "--now"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        printed.contains("dropped") && printed.contains("signs now"),
        "{printed}"
    );
    for replica in &replicas {
        for token in &tokens {
            replica.soon_answers("/app/x", &token.access, 401);
            problem(&replica.get_as("/app/x", &token.access), 401, "invalid_token");
        }
        assert!(!published(replica).contains(&old) && published(replica).len() == 1);
    }
    // Nobody is logged out who has a refresh token.
    let fresh = Tokens::of(&replicas[1].refresh(&tokens[0].refresh));
    assert_ne!(kid(&fresh.access), old);
    for replica in &replicas {
        assert_eq!(replica.status_as("/app/x", &fresh.access), 200);
    }
    assert_eq!(world.count("SELECT count(*) FROM gateway_keys"), 2);
}

fn ten_rotations_at_once_make_one_key(kind: Kind) {
    let world = World::new(kind);
    let replica = world.gateway("");
    let said = at_once(10, |_| world.run_with("", &["key", "rotate"]));
    assert!(said.iter().all(|(status, ..)| *status == 0), "{said:?}");
    let made = |(_, printed, _): &&(i32, String, String)| printed.contains("new: EdDSA key");
    assert_eq!(said.iter().filter(made).count(), 1, "{said:?}");
    for algorithm in ["EdDSA", "A256GCM"] {
        let sql = format!("SELECT count(*) FROM gateway_keys WHERE algorithm = '{algorithm}'");
        assert_eq!(world.count(&sql), 2, "{algorithm}");
    }
    soon("both keys", || published(&replica).len() == 2);
}

fn sealed_keys_are_of_use_with_their_file_only(kind: Kind) {
    let world = World::new(kind);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, byte: u8| {
        let path = folder.path().join(name);
        fs::write(&path, format!("{}\n", STANDARD.encode([byte; 32]))).unwrap();
        format!("[tokens]\nkey_encryption_file = '{}'\n", path.display())
    };
    let (right, wrong) = (file("right", 1), file("wrong", 2));
    // The object identifier of Ed25519 within PKCS#8 (RFC 8410): it stands in every such key.
    let laid_open = || {
        let hex = match &world.place {
            Place::Sqlite(_) => "hex(material)",
            Place::Postgres(_) => "upper(encode(material, 'hex'))",
        };
        world.count(&format!(
            "SELECT count(*) FROM gateway_keys WHERE {hex} LIKE '%06032B6570%'"
        ))
    };
    let plain = world.gateway("");
    let tokens = plain.register("alice");
    assert_eq!(laid_open(), 1);
    let sealing = world.gateway(&right);
    assert_eq!(laid_open(), 0);
    assert_eq!(world.count("SELECT count(*) FROM gateway_keys WHERE NOT sealed"), 0);
    assert_eq!(sealing.status_as("/app/x", &tokens.access), 200);
    // A replica of before goes on with what it knows, and says so.
    plain
        .process
        .wait_for_line(|line| line.contains("key_encryption_file is not set"));
    assert_eq!(plain.status_as("/app/x", &sealing.login("alice").access), 200);
    plain.kill();
    let rows = || world.sql("SELECT id, publish_at, sealed FROM gateway_keys ORDER BY id");
    let before = rows();
    for (configuration, says) in [("", "key_encryption_file is not set"), (&wrong, "another key")] {
        let without = world.starting_gateway(configuration);
        let line = without.process.wait_for_line(|line| line.contains(says));
        assert!(
            line.contains("ERROR") && line.contains("doorward key rotate --now"),
            "{line}"
        );
        problem(&without.get_as("/app/x", &tokens.access), 503, "not_ready");
        without.client.get("/.well-known/jwks.json").expect(503);
        without.admin.get("/readyz").expect(503);
        let (status, _, said) = world.run_with(configuration, &["key", "rotate"]);
        assert!(status == 1 && said.contains(says), "{said}");
        let (status, printed, said) = world.run_with(configuration, &["key", "list"]);
        assert!(status == 0 && printed.contains("sealed"), "{printed}{said}");
    }
    assert_eq!(rows(), before, "nobody made a new key");
    let (status, _, said) = world.run_with("[tokens]\nkey_encryption_file = 'none.txt'\n", &["check"]);
    assert!(status == 2 && said.contains("tokens.key_encryption_file"), "{said}");
    // What turns is sealed by the command, too.
    let (status, _, said) = world.run_with(&right, &["key", "rotate"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(
        (
            laid_open(),
            world.count("SELECT count(*) FROM gateway_keys WHERE NOT sealed")
        ),
        (0, 0)
    );
    soon("both keys", || published(&sealing).len() == 2);
    // The file is lost with whoever had it: all begin anew, a gateway that waits for keys without a restart.
    sealing.kill();
    let waiting = world.starting_gateway("");
    waiting
        .process
        .wait_for_line(|line| line.contains("key_encryption_file is not set"));
    world.doorward(&["key", "rotate", "--now"], "");
    waiting.wait_until_ready();
    let fresh = Tokens::of(&waiting.refresh(&tokens.refresh));
    assert_eq!(waiting.status_as("/app/x", &fresh.access), 200);
    problem(&waiting.get_as("/app/x", &tokens.access), 401, "invalid_token");
}

#[test]
fn keys_of_files_sign_and_verify_in_every_algorithm() {
    let world = World::new(Kind::Sqlite);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, algorithm: Algorithm| {
        let (key, der) = SigningKey::generate(algorithm).unwrap();
        let path = folder.path().join(name);
        let body = STANDARD.encode(&der[..]);
        fs::write(
            &path,
            format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"),
        )
        .unwrap();
        (key.id().unwrap(), path.display().to_string())
    };
    let with =
        |algorithm: &str, files: &[&String]| format!("[tokens]\nalgorithm = '{algorithm}'\nkey_files = {files:?}\n");
    let mut old: Option<(String, Tokens)> = None;
    for (name, algorithm) in [
        ("EdDSA", Algorithm::EdDsa),
        ("ES256", Algorithm::Es256),
        ("RS256", Algorithm::Rs256),
    ] {
        let ((first, one), (second, two)) = (
            file(&format!("{name}-1"), algorithm),
            file(&format!("{name}-2"), algorithm),
        );
        let mut files = vec![&one, &two];
        if let Some((path, _)) = &old {
            files.push(path);
        }
        let gateway = world.gateway(&with(name, &files));
        let tokens = match &old {
            None => gateway.register("alice"),
            // A key of another algorithm verifies what it signed when it was the first.
            Some((_, tokens)) => {
                assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
                gateway.login("alice")
            }
        };
        assert_eq!(kid(&tokens.access), first);
        assert!(published(&gateway).starts_with(&[first.clone(), second.clone()]));
        drop(gateway);
        // The other one takes over.
        let gateway = world.gateway(&with(name, &[&two, &one]));
        assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
        assert_eq!(kid(&gateway.login("alice").access), second);
        old = Some((one, tokens));
    }
    assert_eq!(
        world.count("SELECT count(*) FROM gateway_keys WHERE algorithm <> 'A256GCM'"),
        0
    );
    // What is wrong with them is said where they are named.
    let (_, ed) = file("ed", Algorithm::EdDsa);
    for configuration in [with("RS256", &[&ed]), with("EdDSA", &[&ed, &ed]), with("HS256", &[&ed])] {
        let (status, _, said) = world.run_with(&configuration, &["check"]);
        assert!(status == 2 && said.contains("tokens.key_files"), "{said}");
    }
    let (status, printed, said) = world.run_with(&with("EdDSA", &[&ed]), &["key", "rotate"]);
    assert!(status == 0 && printed.contains("tokens.key_files"), "{printed}{said}");
}
