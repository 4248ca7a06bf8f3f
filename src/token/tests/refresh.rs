//! Refresh tokens: form, derivation, and what a presented one means.

use super::*;
use crate::store::{Rotation, Session};

fn open(minted: &Minted) -> Session {
    Session {
        id: minted.id,
        user: UserId(7),
        generation: 0,
        family_hash: minted.family_hash,
        current_hash: minted.current_hash,
        previous_hash: None,
        salt: minted.salt,
        previous_salt: None,
        rotated_at: None,
        created_at: NOW,
        expires_at: NOW + 1_000_000,
        idle_until: NOW + 500_000,
        revoked_at: None,
        kind: crate::store::SessionKind::Token,
        client: None,
        address: None,
        seen_at: 0,
    }
}

/// What a store does with a rotation.
fn store(session: &mut Session, rotation: &Rotation, now: i64) -> bool {
    if rotation.presented_hash != session.current_hash || rotation.generation != session.generation {
        return false;
    }
    session.previous_hash = Some(session.current_hash);
    session.previous_salt = Some(session.salt);
    session.current_hash = rotation.next_hash;
    session.salt = rotation.next_salt;
    session.generation += 1;
    session.rotated_at = Some(now);
    session.idle_until = rotation.idle_until;
    true
}

fn parse(token: &Secret<String>) -> Presented {
    Presented::parse(token.expose()).unwrap()
}

fn turn(session: &mut Session, presented: &Presented, now: i64) -> Secret<String> {
    assert_eq!(judge(session, presented, now), Judgement::Rotate);
    let salt = new_salt(&SystemRandom::new()).unwrap();
    let (rotation, token) = rotate(session, presented, salt, now + 500_000);
    assert!(store(session, &rotation, now));
    token
}

/// The same secrets under another name or number.
fn claiming(token: &Presented, session: SessionId, generation: u32) -> Presented {
    let mut claiming = token.clone();
    (claiming.session, claiming.generation) = (session, generation);
    claiming
}

fn minted() -> (Session, Presented) {
    let minted = mint(&SystemRandom::new()).unwrap();
    (open(&minted), parse(&minted.token))
}

#[test]
fn a_token_has_one_spelling() {
    let minted = mint(&SystemRandom::new()).unwrap();
    let text = minted.token.expose();
    assert_eq!(text.len(), 91);
    assert_eq!(parse(&minted.token).token().expose(), text);
    assert_eq!(parse(&minted.token).session, minted.id);
    let tail = |end: &str| format!("{}{end}", &text[..90]);
    let last = &text[90..];
    for bad in [
        String::new(),
        text[..90].into(),
        tail(&format!("{last}A")),
        tail(&format!("{last}=")),
        format!(" {text}"),
        tail("B"),
        "é".repeat(45),
        "A".repeat(92),
    ] {
        // `tail("B")` sets a bit that belongs to no byte.
        assert_eq!(Presented::parse(&bad), None, "{bad}");
    }
    assert_eq!(format!("{:?}", minted.token), "Secret(…)");
    assert!(!format!("{:?}", parse(&minted.token)).contains("secret: ["));
}

#[test]
fn tokens_rotate_and_the_spent_one_repeats_its_successor_for_a_moment() {
    let (mut session, first) = minted();
    let second = turn(&mut session, &first, NOW);
    for later in [0, 1, 9_999] {
        assert_eq!(judge(&session, &first, NOW + later), Judgement::Repeat);
        assert_eq!(repeat(&session, &first).as_ref(), Some(&second), "the same successor");
    }
    assert_eq!(judge(&session, &first, NOW + 10_000), Judgement::Reused);
    let second = parse(&second);
    assert_eq!(second.generation, 1);
    let third = parse(&turn(&mut session, &second, NOW + 1_000));
    assert_eq!(
        judge(&session, &first, NOW + 1_500),
        Judgement::TooOld,
        "two turns within a moment"
    );
    assert_eq!(judge(&session, &first, NOW + 11_000), Judgement::Reused);
    assert_eq!(judge(&session, &second, NOW + 1_500), Judgement::Repeat);
    assert_eq!(repeat(&session, &first), None, "not the predecessor");
    let fourth = parse(&turn(&mut session, &third, NOW + 2_000));
    assert_eq!(
        judge(&session, &first, NOW + 2_000),
        Judgement::Reused,
        "three turns back"
    );
    assert_eq!(judge(&session, &fourth, NOW + 2_000), Judgement::Rotate);
}

#[test]
fn of_two_at_once_the_second_gets_what_the_first_got() {
    let (mut session, first) = minted();
    let salts = [[1; 16], [2; 16]];
    let (one, given) = rotate(&session, &first, salts[0], NOW + 500_000);
    let (two, same) = rotate(&session, &first, salts[1], NOW + 500_000);
    assert_eq!(given, same, "the successor does not hang on who is first");
    assert!(store(&mut session, &one, NOW));
    assert!(!store(&mut session, &two, NOW));
    assert_eq!(judge(&session, &first, NOW), Judgement::Repeat);
    assert_eq!(repeat(&session, &first), Some(given));
}

#[test]
fn who_does_not_know_the_family_cannot_end_a_session() {
    let (mut session, first) = minted();
    let _ = turn(&mut session, &first, NOW);
    // A stranger knows the session's name from an access token, and makes up the rest.
    let (_, stranger) = minted();
    for generation in [0, 1, 2, u32::MAX] {
        let forged = claiming(&stranger, session.id, generation);
        assert_eq!(judge(&session, &forged, NOW + 60_000), Judgement::Forged);
    }
    // A generation that is still to come was never given out; a wrong secret of the present one neither.
    let ahead = claiming(&first, session.id, 2);
    assert_eq!(judge(&session, &ahead, NOW), Judgement::Forged);
    let present = claiming(&first, session.id, 1);
    assert_eq!(judge(&session, &present, NOW), Judgement::Forged);
    // Another session's token is forged here, whatever its family.
    let (other, token) = minted();
    assert_eq!(judge(&session, &token, NOW), Judgement::Forged);
    assert_eq!(judge(&other, &token, NOW), Judgement::Rotate);
}

#[test]
fn sessions_end_by_hand_by_age_and_by_idleness() {
    let (session, first) = minted();
    let ended = Session {
        revoked_at: Some(NOW),
        ..session.clone()
    };
    assert_eq!(judge(&ended, &first, NOW), Judgement::Ended);
    assert_eq!(judge(&session, &first, NOW + 499_999), Judgement::Rotate);
    assert_eq!(judge(&session, &first, NOW + 500_000), Judgement::Expired);
    let old = Session {
        expires_at: NOW + 10,
        ..session.clone()
    };
    assert_eq!(judge(&old, &first, NOW + 10), Judgement::Expired);
    let (rotation, _) = rotate(&old, &first, [0; 16], NOW + 999_999);
    assert_eq!(rotation.idle_until, old.expires_at, "no idle limit beyond the end");
}

#[test]
fn the_derivation_is_what_it_is_documented_to_be() {
    let token = Presented::parse(&URL_SAFE_NO_PAD.encode([[1; 17], [2; 17], [3; 17], [4; 17]].concat())).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(token.token().expose()).unwrap();
    let (session, _) = minted();
    let (_, next) = rotate(
        &Session {
            salt: [5; 16],
            ..session
        },
        &token,
        [0; 16],
        NOW,
    );
    let generation = token.generation + 1;
    let message = [&bytes[..16], &generation.to_be_bytes(), &[5; 16]].concat();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &bytes[36..]);
    let expected = [
        &bytes[..16],
        &generation.to_be_bytes(),
        &bytes[20..36],
        aws_lc_rs::hmac::sign(&key, &message).as_ref(),
    ]
    .concat();
    assert_eq!(URL_SAFE_NO_PAD.decode(next.expose()).unwrap(), expected);
}
