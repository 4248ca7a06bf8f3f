//! Users of another table.

use doorward::principal::UserId;
use doorward::store::{Imported, ImportedUser, name_key};

use super::Bench;

fn row(name: &str) -> ImportedUser {
    ImportedUser {
        id: None,
        username: name.to_owned(),
        name_key: name_key(name),
        password: Some("hash".to_owned()),
        roles: Some("user".to_owned()),
        active: Some(true),
        email: None,
    }
}

async fn users_are_taken_over_as_they_are_and_nothing_is_changed(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let there = bench.user("there").await;
    bench.sql("UPDATE users SET email = 'there@x.example' WHERE username = 'there'");
    let users = [
        ImportedUser {
            id: Some(UserId(70)),
            roles: None,
            active: None,
            ..row("null")
        },
        ImportedUser {
            id: Some(UserId(71)),
            email: Some("b@x.example".to_owned()),
            ..row("with, comma:")
        },
        row("after"),
        row("there"),
        ImportedUser {
            password: None,
            roles: Some("ops".to_owned()),
            ..row("there")
        },
        row("There "),
        ImportedUser {
            id: Some(UserId(70)),
            ..row("other")
        },
        ImportedUser {
            email: Some("There@X.example".to_owned()),
            ..row("mail")
        },
    ];
    let imported = bench.store.import_users(&users).await.unwrap();
    let [null, comma, after, same, differs, folded, id, email] = imported.try_into().unwrap();
    assert_eq!((null, comma), (Imported::New(UserId(70)), Imported::New(UserId(71))));
    let Imported::New(after) = after else {
        panic!("{after:?}")
    };
    assert_ne!(after, UserId(70));
    assert_eq!(same, Imported::Same(there));
    assert_eq!(differs, Imported::Differs(there, vec!["password", "roles"]));
    assert_eq!(folded, Imported::NameTaken(there));
    assert_eq!(id, Imported::IdTaken);
    assert_eq!(email, Imported::EmailTaken(there));
    let rows = bench.sql("SELECT username, roles, password FROM users WHERE id IN (70, 71) ORDER BY id");
    assert_eq!(rows, "null||hash\nwith, comma:|user|hash");
    assert_eq!(bench.sql("SELECT is_active FROM users WHERE id = 70"), "");
    // The same again is passed by, and the table's own ids go on behind the highest.
    let again = bench.store.import_users(&users[..3]).await.unwrap();
    assert_eq!(
        again,
        [
            Imported::Same(UserId(70)),
            Imported::Same(UserId(71)),
            Imported::Same(after)
        ]
    );
    assert!(bench.user("new").await > UserId(71));
}

on_both!(users_are_taken_over_as_they_are_and_nothing_is_changed);
