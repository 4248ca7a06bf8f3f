//! What only SQLite has to show: the file, and other processes on it.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn file(bench: &Bench) -> PathBuf {
    match bench.place.location() {
        Location::Sqlite(path) => path,
        Location::Postgres { .. } => panic!("not here"),
    }
}

#[tokio::test]
async fn the_file_is_for_its_owners_eyes_only() {
    let bench = Bench::new(false).await;
    let file = file(&bench);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["doorward.db", "doorward.db-wal", "doorward.db-shm"] {
        assert_eq!(mode(&file.with_file_name(name)), 0o600, "{name}");
    }
    assert_eq!(mode(file.parent().unwrap()), 0o700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_who_does_not_let_go_stops_writes_only_and_only_for_as_long() {
    let bench = Bench::new(false).await;
    let user = bench.user("alice").await;
    let other = rusqlite::Connection::open(file(&bench)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    let refused = bench.store.create_user(new_user("bob"), NOW).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    bench.store.user(user).await.expect("who reads does not wait");
    other.execute_batch("COMMIT").unwrap();
    // On a busy machine the refused call may have waited in vain until now; nothing was done for it.
    eventually("writes are done again", async || {
        let created = bench.store.create_user(new_user("bob"), NOW).await;
        assert!(
            matches!(created, Ok(Created::New(_)) | Err(Error::Unavailable(_))),
            "{created:?}"
        );
        created.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_waits_for_any_more_is_not_written() {
    let bench = Bench::new(false).await;
    let other = rusqlite::Connection::open(file(&bench)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The job is begun, and waits for the file, when its caller's time is up.
    let writing = bench.store.create_user(new_user("bob"), NOW);
    let outcome = tokio::time::timeout(Duration::from_millis(300), writing).await;
    assert!(outcome.is_err(), "{outcome:?}");
    other.execute_batch("COMMIT").unwrap();
    // One thread writes, so this comes behind it.
    eventually("writes are done again", async || {
        bench.store.create_user(new_user("carol"), NOW).await.is_ok()
    })
    .await;
    assert!(bench.store.users_named("bob").await.unwrap().is_empty());
}

/// Who holds the file for so long may hold it for hours: nobody waits in turn for it, and nobody is kept waiting by those before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_stays_locked_is_told_at_once_and_tried_by_everybody() {
    let bench = Bench::new(false).await;
    let user = bench.user("alice").await;
    let other = rusqlite::Connection::open(file(&bench)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    // All at once share the first one's wait …
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = Arc::clone(&bench.store);
        all.spawn(async move { store.create_user(new_user("bob"), NOW).await });
    }
    for refused in all.join_all().await {
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    // … and who comes later waits no second time: fifty would have taken 75 s.
    let begun = Instant::now();
    for _ in 0..50 {
        let refused = bench.store.create_user(new_user("bob"), NOW).await;
        assert!(
            matches!(&refused, Err(Error::Unavailable(why)) if why.contains("another process")),
            "{refused:?}"
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    bench.store.user(user).await.expect("who reads does not wait");
    // Healed at once, and nothing was done for those who were told that it was not.
    other.execute_batch("COMMIT").unwrap();
    assert!(matches!(
        bench.store.create_user(new_user("bob"), NOW).await,
        Ok(Created::New(_))
    ));
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("blocked");
    std::fs::write(&blocked, "a file where a folder should be").unwrap();
    let store = open(&settings(Location::Sqlite(blocked.join("doorward.db"))))
        .await
        .unwrap();
    for _ in 0..3 {
        assert!(matches!(store.ping().await, Err(Error::Unavailable(_))));
    }
    std::fs::remove_file(&blocked).unwrap();
    store.migrate(&|_| ()).await.unwrap();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(
        &path,
        "these are notes, many enough to fill the head of a database file: ".repeat(20),
    )
    .unwrap();
    let store = open(&settings(Location::Sqlite(path.clone()))).await.unwrap();
    let refused = store.migrate(&|_| ()).await;
    assert!(
        matches!(&refused, Err(Error::Refused(text)) if text.contains("not a database")),
        "{refused:?}"
    );
    assert!(std::fs::read_to_string(path).unwrap().starts_with("these are notes"));
}

#[tokio::test]
async fn a_row_that_is_replaced_is_another_user() {
    let bench = Bench::new(false).await;
    let user = bench.user("alice").await;
    let session = bench.session(user, 1).await;
    bench.sql(&format!("INSERT INTO gateway_grants VALUES ({user}, 'doorward-admin')"));
    let horizon = bench.horizon().await;
    bench.sql(&format!(
        "INSERT OR REPLACE INTO users (id, username, password, is_active) VALUES ({user}, 'eve', 'e', 1)"
    ));
    let changes = bench.since(horizon).await;
    assert!(
        changes.contains(&Change::SessionEnded { session, until: 0 }),
        "{changes:?}"
    );
    let eve = bench.store.user(user).await.unwrap().unwrap();
    assert_eq!((eve.username.as_str(), eve.grants.len()), ("eve", 0));
    assert!(
        changes.contains(&Change::User {
            user,
            state: Some(Box::new(eve)),
            until: 0
        }),
        "{changes:?}"
    );
}

#[tokio::test]
async fn a_backup_that_is_put_in_place_is_read_from_its_start() {
    let bench = Bench::new(false).await;
    let user = bench.user("alice").await;
    let session = bench.session(user, 1).await;
    bench.store.end_session(session, NOW, NOW + HOUR).await.unwrap();
    let ahead = Horizon(bench.horizon().await.0 + 5);
    assert_eq!(bench.since(ahead).await, [Change::SessionEnded { session, until: 0 }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_in_two_stores_wait_for_each_other() {
    let bench = Bench::new(false).await;
    let stores = [Arc::clone(&bench.store), bench.another().await];
    let mut running = tokio::task::JoinSet::new();
    for number in 0..60_usize {
        let store = Arc::clone(&stores[number % 2]);
        running.spawn(async move { store.create_user(new_user(&format!("u{number}")), NOW).await });
    }
    let outcomes = running.join_all().await;
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Ok(Created::New(_)))),
        "{outcomes:?}"
    );
}
