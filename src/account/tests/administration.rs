//! Tests of administration.
use super::*;
use crate::password::policy::Reason;

fn desk(bench: &Bench) -> Administration {
    Administration::new(
        Arc::clone(&bench.store),
        pool(8, 10, &bench.hashes),
        settings(Registration::Closed),
        &tokens(),
        bench.clock.clone(),
    )
}

fn new(name: &str, password: &str, roles: &[&str]) -> NewAccount {
    NewAccount {
        username: name.to_owned(),
        password: secret(password),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        email: None,
        active: true,
    }
}

#[test]
fn an_account_is_made_shown_changed_and_deleted() {
    run(async {
        let bench = sqlite(Wish::default()).await;
        let desk = desk(&bench);
        let account = NewAccount {
            email: Some("root@localhost".into()),
            ..new("root", PASSWORD, &["user", ADMIN, "admin"])
        };
        let (root, warnings) = desk.add(account).await.unwrap();
        assert!(warnings.is_empty());
        assert_eq!(root.roles, ["user", "admin", ADMIN]);
        assert!(root.active && root.email_verified);
        assert_eq!(root.password.as_deref(), Some("$argon2id$v=19$m=8,t=1,p=1$"));
        let row = bench.store.users_named("root").await.unwrap().remove(0);
        assert_eq!(
            (row.roles.as_str(), row.grants),
            ("user,admin", vec![ADMIN.to_owned()]),
            "never in the column"
        );
        assert_eq!(desk.show(Which::Name("root")).await.unwrap(), root);
        assert_eq!(desk.show(Which::Id(UserId(root.id))).await.unwrap(), root);

        let tokens = bench.login("root", PASSWORD).await.unwrap();
        assert_eq!(
            bench.person(&tokens).unwrap().roles.to_column(),
            format!("user,admin,{ADMIN}")
        );
        let fewer = desk.set_roles(Which::Name("root"), &["ops".to_owned()]).await.unwrap();
        assert_eq!(fewer.roles, ["ops"]);

        let (_, warnings) = desk
            .set_password(Which::Name("root"), secret("iloveyou"))
            .await
            .unwrap();
        assert_eq!(warnings, [Reason::Common]);
        assert!(
            bench.refresh(tokens.refresh_token.as_ref().unwrap()).await.is_err(),
            "the sessions ended"
        );
        let tokens = bench.login("root", "iloveyou").await.unwrap();

        assert!(!desk.set_active(Which::Name("root"), false).await.unwrap().active);
        assert!(bench.refresh(tokens.refresh_token.as_ref().unwrap()).await.is_err());
        assert!(matches!(bench.login("root", "iloveyou").await, Err(Error::Inactive)));
        assert!(desk.set_active(Which::Name("root"), true).await.unwrap().active);
        bench.login("root", "iloveyou").await.unwrap();

        desk.delete(Which::Name("root")).await.unwrap();
        for gone in [
            desk.delete(Which::Name("root")).await,
            desk.show(Which::Id(UserId(root.id))).await,
        ] {
            assert!(matches!(gone, Err(Error::NoSuchUser)));
        }
        assert!(matches!(
            bench.login("root", "iloveyou").await,
            Err(Error::InvalidCredentials)
        ));
    });
}

#[test]
fn what_cannot_be_an_account_is_none_for_administrators_either() {
    run(async {
        let bench = sqlite(Wish::default()).await;
        let desk = desk(&bench);
        desk.add(new("alice", PASSWORD, &[])).await.unwrap();
        assert!(matches!(
            desk.add(new("ALICE", PASSWORD, &[])).await,
            Err(Error::NameTaken)
        ));
        assert!(matches!(
            desk.add(new("", PASSWORD, &[])).await,
            Err(Error::InvalidUsername(_))
        ));
        assert!(matches!(
            desk.add(new("bob", "short", &[])).await,
            Err(Error::WeakPassword(_))
        ));
        assert!(matches!(
            desk.add(new("bob", PASSWORD, &["a,b"])).await,
            Err(Error::InvalidRole(_))
        ));
        let roles = desk.set_roles(Which::Name("alice"), &[String::new()]).await;
        assert!(matches!(roles, Err(Error::InvalidRole(_))));
        assert!(matches!(
            desk.show(Which::Name("ali\0ce")).await,
            Err(Error::NoSuchUser)
        ));
        assert_eq!(desk.list(None).await.unwrap().len(), 1);
    });
}

#[test]
fn of_two_accounts_with_one_name_one_is_named_by_its_id() {
    run(async {
        let (bench, fake) = bench(Wish::default());
        let (one, two) = (fake.row("twin", "$x$", true), fake.row("twin", &hashed(8).await, true));
        let desk = desk(&bench);
        match desk.delete(Which::Name("twin")).await {
            Err(error @ Error::SeveralUsers(_)) => assert!(error.to_string().contains("1, 2"), "{error}"),
            other => panic!("{other:?}"),
        }
        let shown = desk.list(None).await.unwrap();
        assert_eq!(
            shown
                .iter()
                .map(|account| account.password.is_some())
                .collect::<Vec<_>>(),
            [false, true]
        );
        assert_eq!(desk.list(Some(one)).await.unwrap().len(), 1);
        desk.delete(Which::Id(one)).await.unwrap();
        let tokens = bench.login("twin", PASSWORD).await.unwrap();
        assert_eq!(bench.person(&tokens).unwrap().user, Some(two));
    });
}
