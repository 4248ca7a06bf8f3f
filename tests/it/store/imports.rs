//! Users of another table.

use std::time::Duration;

use doorward::principal::UserId;
use doorward::secret::Secret;
use doorward::store::{ForeignTable, Imported, ImportedUser, name_key};

use super::{Bench, settings};
use crate::postgres::Cluster;

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

async fn a_row_that_the_table_refuses_takes_no_other_along(postgres: bool) {
    let (place, location) = Bench::bare(postgres);
    place.sql(match postgres {
        true => "CREATE TABLE users (id serial PRIMARY KEY, username varchar(20), password text, roles text, is_active boolean)",
        false => {
            "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT CHECK (length(username) <= 20), password TEXT, \
             roles TEXT, is_active BOOLEAN, CHECK (id < 2147483648))"
        }
    });
    let store = doorward::store::open(&settings(location)).await.unwrap();
    store.migrate(&|_| ()).await.unwrap();
    let users = [
        row("first"),
        ImportedUser {
            id: Some(UserId(3_000_000_000)),
            ..row("far")
        },
        row("a name of more than twenty characters"),
        ImportedUser {
            id: Some(UserId(70)),
            ..row("last")
        },
    ];
    let imported = store.import_users(&users).await.unwrap();
    let [first, far, long, last] = imported.try_into().unwrap();
    let Imported::New(_) = first else { panic!("{first:?}") };
    assert_eq!(last, Imported::New(UserId(70)));
    for refused in [far, long] {
        let Imported::Refused(why) = refused else {
            panic!("{refused:?}")
        };
        assert!(!why.contains("3000000000") && !why.contains("a name of"), "{why}");
    }
    assert_eq!(place.sql("SELECT username FROM users ORDER BY id"), "first\nlast");
    // The next of the table's own ids is behind the one that was brought along.
    let after = store.import_users(&[row("after")]).await.unwrap();
    assert_eq!(after, [Imported::New(UserId(71))]);
}

on_both!(
    users_are_taken_over_as_they_are_and_nothing_is_changed,
    a_row_that_the_table_refuses_takes_no_other_along,
);

#[tokio::test]
async fn a_table_that_falls_silent_is_not_waited_for() {
    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    database.psql(
        "CREATE TABLE users (id serial PRIMARY KEY, username text, password text); \
         INSERT INTO users (username, password) SELECT repeat('x', 10000), '' FROM generate_series(1, 3000)",
    );
    let url = Secret::new(database.url());
    let second = Duration::from_secs(1);
    let mut table = ForeignTable::open(&url, None, "users", 10 * second, second)
        .await
        .unwrap();
    assert!(table.next().await.unwrap().is_some());
    cluster.freeze();
    let error = loop {
        match table.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("more than sockets hold"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("said nothing for 1s"), "{error}");
    cluster.thaw();
}
