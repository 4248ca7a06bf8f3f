//! Tables that another server made.

use std::sync::Mutex;

use super::*;

/// A store on a database where only this was done.
async fn after(sql: &str) -> Bench {
    let place = Place::Postgres(Cluster::shared().database());
    place.sql(sql);
    let store = open(&settings(place.location())).await.unwrap();
    Bench { store, place }
}

const USERS: &str = "id serial PRIMARY KEY, username text UNIQUE, password text, roles text, is_active boolean";

#[tokio::test]
async fn a_column_of_another_type_is_told_and_nothing_is_changed() {
    for (columns, wrong) in [
        (
            format!("{USERS}, email_verified timestamptz"),
            "email_verified is timestamp with time zone, and has to be boolean",
        ),
        (
            USERS.replace("roles text", "roles text[]"),
            "roles is text[], and has to be text",
        ),
        (
            USERS.replace("is_active boolean", "is_active integer"),
            "is_active is integer, and has to be boolean",
        ),
        (
            USERS.replace("id serial PRIMARY KEY", "id uuid"),
            "id is uuid, and has to be a whole number",
        ),
        (
            format!("{USERS}, name_key integer"),
            "name_key is integer, and has to be text",
        ),
    ] {
        let bench = after(&format!("CREATE TABLE users ({columns})")).await;
        let refused = bench.store.migrate(&|_| ()).await;
        assert!(
            matches!(&refused, Err(Error::Schema(why)) if why.contains(wrong)),
            "{refused:?}"
        );
        let tables = "SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(bench.sql(tables), "users");
    }
}

#[tokio::test]
async fn types_that_are_as_good_are_taken_and_nothing_means_no() {
    let bench = after(
        "CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY, username varchar(80), password char(200), \
        roles varchar, is_active boolean, email_verified boolean); \
        INSERT INTO users (username, password, is_active) VALUES ('alice', 'x', true)",
    )
    .await;
    let migrated = bench.store.migrate(&|_| ()).await.unwrap();
    assert!(migrated.took_over && migrated.nobody_found().is_none());
    let found = bench.store.users_named("alice").await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(!found[0].email_verified && found[0].active);
}

#[tokio::test]
async fn a_table_that_had_to_be_made_is_told_with_its_place() {
    let place = Place::Postgres(Cluster::shared().database());
    let Place::Postgres(database) = &place else { return };
    let name = database.name.clone();
    let store = open(&settings(place.location())).await.unwrap();
    let migrated = store.migrate(&|_| ()).await.unwrap();
    let here = format!("the schema public of the database {name}");
    assert_eq!(migrated.made_users.as_deref(), Some(here.as_str()));
    assert!(migrated.nobody_found().unwrap().contains(&here));
    assert_eq!(store.migrate(&|_| ()).await.unwrap().made_users, None);
    assert!(store.unfilled_columns().await.unwrap().is_empty());
}

#[tokio::test]
async fn columns_that_nobody_here_fills_are_told() {
    let bench = after(
        "CREATE TABLE users (id bigint PRIMARY KEY, username text NOT NULL, password text NOT NULL, roles text, \
        is_active boolean NOT NULL, email text NOT NULL, created_at timestamp NOT NULL, tenant int NOT NULL, \
        seen timestamp NOT NULL DEFAULT now(), number int NOT NULL GENERATED ALWAYS AS IDENTITY, note text)",
    )
    .await;
    bench.store.migrate(&|_| ()).await.unwrap();
    assert_eq!(
        bench.store.unfilled_columns().await.unwrap(),
        ["id", "created_at", "tenant"]
    );
}

/// While a dump or a forgotten transaction has the table, the other server's people log in as ever: nobody waits behind us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_in_use_is_waited_for_and_its_readers_are_not_kept_waiting() {
    let bench = after(&format!("CREATE TABLE users ({USERS})")).await;
    let mut holder = Session::open(database(&bench));
    holder.send("BEGIN; LOCK TABLE users IN ACCESS SHARE MODE;");
    let held =
        "SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass AND granted AND pid <> pg_backend_pid()";
    eventually("the table is held", async || bench.sql(held) == "1").await;
    let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted";
    let (told, waiting, holder) = (Mutex::new(Vec::new()), Mutex::new(None), Mutex::new(holder));
    let migrated = bench
        .store
        .migrate(&|step| {
            let mut told = told.lock().unwrap();
            told.push(step.to_owned());
            // In the pause nobody stands in the queue.
            if told.iter().filter(|step| step.contains("in use by process")).count() == 2 {
                *waiting.lock().unwrap() = Some(bench.sql(waits));
                holder.lock().unwrap().send("COMMIT;");
            }
        })
        .await
        .unwrap();
    assert_eq!(migrated.to, newest());
    assert_eq!(waiting.into_inner().unwrap().as_deref(), Some("0"));
    let told = told.into_inner().unwrap();
    let first = told.iter().find(|step| step.contains("in use by process")).unwrap();
    assert!(
        first.contains("psql") && first.contains("idle in transaction"),
        "{first}"
    );
    holder.into_inner().unwrap().finish();
}
