//! Tests of this part.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::principal::{CredentialKind, Issuer, Person, Roles, UserId};

fn person(roles: &str) -> Principal {
    Principal::Known(Arc::new(Person {
        issuer: Issuer::Local,
        subject: "1".to_owned(),
        user: Some(UserId(1)),
        name: "alice".to_owned(),
        roles: Roles::from_column(roles),
        email: None,
        session: None,
        token_id: None,
        issued_at: 0,
        expires_at: 1,
        credential: CredentialKind::Bearer,
        limit: None,
        subject_prefix: 0,
    }))
}

fn rule(access: Access, any: Option<&[&str]>, all: &[&str], networks: Option<&[&str]>) -> Rule {
    let owned = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>();
    Rule {
        access,
        roles_any: any.map(owned),
        roles_all: owned(all),
        networks: networks.map(|list| Networks::new(list.iter().map(|net| net.parse().unwrap()).collect())),
        client_auth: ClientAuth::None,
    }
}

fn from(client: &str) -> Facts {
    Facts {
        client: client.parse().ok(),
        certificate: None,
    }
}

#[test]
fn each_kind_of_access_with_and_without_roles() {
    use Access::*;
    use Decision::*;
    let anonymous = &Principal::Anonymous;
    let (user, admin) = (&person("user"), &person("user,admin"));
    let some: Option<&[&str]> = Some(&["admin", "ops"]);
    let cases = [
        (Authenticated, None, &[][..], [NeedsCredentials, Allowed, Allowed]),
        (Optional, None, &[], [Allowed, Allowed, Allowed]),
        (Public, None, &[], [Allowed, Allowed, Allowed]),
        (Deny, None, &[], [Denied, Denied, Denied]),
        (
            Authenticated,
            some,
            &[],
            [NeedsCredentials, MissingRole(Wanted::Any), Allowed],
        ),
        (
            Optional,
            some,
            &[],
            [NeedsCredentials, MissingRole(Wanted::Any), Allowed],
        ),
        (
            Authenticated,
            None,
            &["user", "admin"],
            [NeedsCredentials, MissingRole(Wanted::All), Allowed],
        ),
        (
            Authenticated,
            some,
            &["root"],
            [NeedsCredentials, MissingRole(Wanted::Any), MissingRole(Wanted::All)],
        ),
        (
            Authenticated,
            Some(&[]),
            &[],
            [NeedsCredentials, MissingRole(Wanted::Any), MissingRole(Wanted::Any)],
        ),
        (
            Optional,
            Some(&[]),
            &[],
            [NeedsCredentials, MissingRole(Wanted::Any), MissingRole(Wanted::Any)],
        ),
        // Contradictions that the configuration refuses: the stricter half counts.
        (Public, some, &[], [NeedsCredentials, MissingRole(Wanted::Any), Allowed]),
        (Deny, some, &[], [Denied, Denied, Denied]),
    ];
    for (access, any, all, expected) in cases {
        let rule = rule(access, any, all, None);
        let decided = [anonymous, user, admin].map(|principal| decide(&rule, principal, &Facts::default()));
        assert_eq!(decided, expected, "{rule:?}");
    }
}

#[test]
fn networks_count_on_public_routes_too_and_before_credentials() {
    for access in [Access::Public, Access::Authenticated] {
        let rule = rule(access, None, &[], Some(&["10.0.0.0/8", "2001:db8::/32"]));
        let decided = |facts: &Facts| decide(&rule, &Principal::Anonymous, facts);
        assert_eq!(decided(&from("11.0.0.1")), Decision::NetworkNotAllowed);
        assert_eq!(decided(&Facts::default()), Decision::ClientUnknown);
        for client in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"] {
            let inside = decided(&from(client));
            assert_eq!(inside.is_allowed(), access == Access::Public, "{client}: {inside:?}");
        }
    }
    let nobody = rule(Access::Public, None, &[], Some(&[]));
    assert_eq!(
        decide(&nobody, &person("admin"), &from("127.0.0.1")),
        Decision::NetworkNotAllowed
    );
}

#[test]
fn roles_are_compared_byte_for_byte() {
    let rule = Rule::role("admin");
    assert_eq!(
        decide(&rule, &person("Admin,admin2"), &Facts::default()),
        Decision::MissingRole(Wanted::All)
    );
    assert_eq!(decide(&rule, &person("admin"), &Facts::default()), Decision::Allowed);
}

#[test]
fn the_conditions_tell_the_whole_story() {
    let rule = rule(
        Access::Authenticated,
        Some(&["admin"]),
        &["user"],
        Some(&["10.0.0.0/8", "127.0.0.1"]),
    );
    let told: Vec<_> = conditions(&rule, &person("user"), &from("11.0.0.1"))
        .map(|(condition, outcome)| (condition.to_string(), outcome.is_allowed()))
        .collect();
    let expected = [
        ("not closed to everybody", true),
        ("client in one of [10.0.0.0/8, 127.0.0.1/32]", false),
        ("credentials", true),
        ("one of the roles [admin]", false),
        ("all of the roles [user]", true),
    ];
    assert_eq!(told, expected.map(|(text, holds)| (text.to_owned(), holds)));
    assert_eq!(
        conditions(&Rule::new(Access::Public), &Principal::Anonymous, &Facts::default()).count(),
        1
    );
}

#[test]
fn every_refusal_has_a_code() {
    assert_eq!(Decision::Allowed.code(), None);
    assert_eq!(Decision::NeedsCredentials.code(), Some(Code::CredentialsRequired));
    assert_eq!(Decision::MissingRole(Wanted::All).code(), Some(Code::InsufficientRole));
}

fn roles() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[abc]", 0..3)
}

proptest! {
    /// A decision is an admission exactly if every condition holds, and what is decided without a principal does not
    /// depend on one.
    #[test]
    fn decisions_follow_from_conditions(
        access in prop_oneof![Just(Access::Authenticated), Just(Access::Optional), Just(Access::Public), Just(Access::Deny)],
        any in proptest::option::of(roles()),
        all in roles(),
        inside in proptest::option::of(any::<bool>()),
        have in proptest::option::of(roles()),
        client in proptest::option::of(any::<bool>()),
        client_auth in prop_oneof![Just(ClientAuth::None), Just(ClientAuth::Optional), Just(ClientAuth::Required)],
        certificate in proptest::option::of(any::<bool>()),
    ) {
        let network = |inside| Networks::new(vec![if inside { "10.0.0.0/8" } else { "192.0.2.0/24" }.parse().unwrap()]);
        let rule = Rule { access, roles_any: any, roles_all: all, networks: inside.map(network), client_auth };
        let principal = have.as_ref().map_or(Principal::Anonymous, |roles| person(&roles.join(",")));
        let facts = Facts {
            client: client.map(|known| if known { [10, 0, 0, 1] } else { [8, 8, 8, 8] }.into()),
            certificate,
        };
        let decision = decide(&rule, &principal, &facts);
        prop_assert_eq!(decision.is_allowed(), conditions(&rule, &principal, &facts).all(|(_, outcome)| outcome.is_allowed()));
        prop_assert_eq!(decision.is_allowed(), decision.code().is_none());
        let has = |role: &String| have.as_ref().is_some_and(|have| have.contains(role));
        let expected = access != Access::Deny
            && (rule.networks.is_none() || inside == Some(true) && client == Some(true))
            && (client_auth != ClientAuth::Required || certificate == Some(true))
            && (access != Access::Authenticated || have.is_some())
            && rule.roles_any.as_ref().is_none_or(|roles| roles.iter().any(has))
            && rule.roles_all.iter().all(has);
        prop_assert_eq!(decision.is_allowed(), expected);
        if !rule.needs_principal() {
            prop_assert_eq!(decision, decide(&rule, &Principal::Anonymous, &facts));
        }
    }
}
