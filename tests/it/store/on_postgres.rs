//! What only PostgreSQL has to show: late commits, other roles, outages, poolers.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::postgres::free_port;
use crate::support::pgbouncer::Bouncer;

mod takeover;
mod tls;

/// How many transactions have written and wait for their session to go on: one that has only begun has no number yet, and the
/// statement that gave it one has ended.
const WRITTEN: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE state = 'idle in transaction' AND backend_xid IS NOT NULL AND datname = current_database()";

/// A `psql` session that goes on, statement by statement.
struct Session(Child);

impl Session {
    fn open(database: &Database<'_>) -> Self {
        let mut command = database.cluster.psql_command(&database.name);
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn send(&mut self, sql: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{sql}").unwrap();
    }

    fn finish(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn bench_on(cluster: &'static Cluster) -> Bench {
    let place = Place::Postgres(cluster.database());
    let store = open(&settings(place.location())).await.unwrap();
    store.migrate(&|_| ()).await.unwrap();
    Bench { store, place }
}

/// A cluster that a test may do anything to. Leaked: it ends with the process.
fn own_cluster(settings: &[&str]) -> &'static Cluster {
    Box::leak(Box::new(Cluster::start(settings)))
}

fn database(bench: &Bench) -> &Database<'static> {
    match &bench.place {
        Place::Postgres(database) => database,
        Place::Sqlite(_) => panic!("not here"),
    }
}

async fn at_url(url: String) -> Arc<dyn Store> {
    open(&settings(Location::Postgres {
        url: Secret::new(url),
        password: None,
        listen_url: None,
    }))
    .await
    .unwrap()
}

#[tokio::test]
async fn a_late_commit_is_seen_again_and_never_skipped() {
    let bench = bench_on(Cluster::shared()).await;
    let alice = bench.user("alice").await;
    let bob = bench.user("bob").await;
    let mut horizon = bench.horizon().await;

    let mut early = Session::open(database(&bench));
    early.send("BEGIN; UPDATE users SET roles = 'late' WHERE username = 'alice';");
    eventually("the early transaction has written", async || bench.sql(WRITTEN) == "1").await;

    bench.sql("UPDATE users SET roles = 'soon' WHERE username = 'bob'");
    // The later transaction's change is read, perhaps more than once, while the earlier one is still open.
    for _ in 0..3 {
        let (changes, next) = bench.store.changes_since(horizon, NOW).await.unwrap();
        assert!(
            matches!(&changes[..], [Change::User { user, .. }] if *user == bob),
            "{changes:?}"
        );
        horizon = next;
    }
    early.send("COMMIT;");
    early.finish();
    let (changes, next) = bench.store.changes_since(horizon, NOW).await.unwrap();
    let roles = |change: &Change| match change {
        Change::User { user, state, .. } if *user == alice => state.as_ref().map(|state| state.roles.clone()),
        _ => None,
    };
    assert!(
        changes.iter().any(|change| roles(change).as_deref() == Some("late")),
        "{changes:?}"
    );
    bench.settled(next).await;
}

#[tokio::test]
async fn truncate_ends_everything() {
    let bench = bench_on(Cluster::shared()).await;
    let user = bench.user("alice").await;
    let session = bench.session(user, 3).await;
    bench.sql("INSERT INTO gateway_grants VALUES (1, 'doorward-admin')");
    let horizon = bench.horizon().await;
    bench.sql("TRUNCATE users RESTART IDENTITY");
    let changes = bench.since(horizon).await;
    assert!(
        changes.contains(&Change::SessionEnded { session, until: 0 }),
        "{changes:?}"
    );
    assert!(changes.contains(&Change::AllUsers { until: 0 }), "{changes:?}");
    assert_eq!(bench.sql("SELECT count(*) FROM gateway_grants"), "0");
}

#[tokio::test]
async fn another_servers_role_needs_no_rights_of_ours() {
    let bench = bench_on(Cluster::shared()).await;
    let user = bench.user("alice").await;
    let session = bench.session(user, 3).await;
    let horizon = bench.horizon().await;
    let role = format!("flask_{}", database(&bench).name);
    bench.sql(&format!(
        "CREATE ROLE {role}; GRANT ALL ON users TO {role}; GRANT ALL ON SEQUENCE users_id_seq TO {role};"
    ));
    bench.sql(&format!(
        "SET ROLE {role}; CREATE TEMP TABLE gateway_sessions (id int, user_id int, revoked_at int); \
        INSERT INTO users (username, password) VALUES ('carol', 'x'); UPDATE users SET username = username || '2'; \
        DELETE FROM users WHERE username = 'alice2'; TRUNCATE users"
    ));
    let changes = bench.since(horizon).await;
    assert!(
        changes.contains(&Change::SessionEnded { session, until: 0 }),
        "{changes:?}"
    );
    let call = format!("SET ROLE {role}; SELECT gateway_tell(NULL, ARRAY[1::bigint])");
    let mut psql = database(&bench).cluster.psql_command(&database(&bench).name);
    let output = psql.args(["-c", &call]).output().unwrap();
    assert!(!output.status.success(), "nobody else may end sessions");
}

#[tokio::test]
async fn a_role_that_may_only_use_the_tables_is_enough_once_they_are_there() {
    let bench = bench_on(Cluster::shared()).await;
    let database = database(&bench);
    let role = format!("gate_{}", database.name);
    bench.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
    ));
    let store = at_url(database.url().replace("postgres@", &format!("{role}@"))).await;
    assert_eq!(store.migrate(&|_| ()).await.unwrap().to, super::newest());
    let Created::New(alice) = store.create_user(new_user("alice"), NOW).await.unwrap() else {
        panic!("alice is new")
    };
    assert!(store.open_session(new_session(alice.id, 1), NOW).await.unwrap());
    let horizon = store.all_changes(NOW).await.unwrap().1;
    let change = UserChange {
        active: Some(false),
        grants: Some(vec!["ops".to_owned()]),
        ..UserChange::default()
    };
    assert!(store.change_user(alice.id, change, NOW).await.unwrap().is_some());
    assert_eq!(store.changes_since(horizon, NOW).await.unwrap().0.len(), 2);
}

#[tokio::test]
async fn everything_lives_in_the_schema_where_the_table_is() {
    let place = Place::Postgres(Cluster::shared().database());
    place.sql("CREATE SCHEMA \"Old App\"; CREATE TABLE \"Old App\".users (id serial primary key, username text, password text, roles text, is_active boolean)");
    let Place::Postgres(database) = &place else { return };
    database.psql(&format!(
        "ALTER DATABASE {} SET search_path = nowhere, \"Old App\", public",
        database.name
    ));
    let store = open(&settings(place.location())).await.unwrap();
    assert!(store.migrate(&|_| ()).await.unwrap().took_over);
    let bench = Bench { store, place };
    let user = bench.user("alice").await;
    let session = bench.session(user, 1).await;
    let horizon = bench.horizon().await;
    bench.sql("SET search_path = public; UPDATE \"Old App\".users SET is_active = false");
    assert!(
        bench
            .since(horizon)
            .await
            .contains(&Change::SessionEnded { session, until: 0 })
    );
    assert_eq!(
        bench.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0"
    );
}

#[tokio::test]
async fn a_row_that_somebody_else_holds_makes_only_that_call_fail() {
    let bench = bench_on(Cluster::shared()).await;
    let user = bench.user("alice").await;
    let mut holder = Session::open(database(&bench));
    holder.send("BEGIN; UPDATE users SET roles = 'held';");
    eventually("the row is held", async || bench.sql(WRITTEN) == "1").await;
    let change = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    let begun = Instant::now();
    let held = bench.store.change_user(user, change.clone(), NOW).await;
    assert!(matches!(held, Err(Error::Unavailable(_))), "{held:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    bench.store.user(user).await.expect("the store is not away");
    holder.send("COMMIT;");
    holder.finish();
    assert!(bench.store.change_user(user, change, NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_nothing_behind() {
    let bench = bench_on(Cluster::shared()).await;
    for number in 0..40 {
        let name = format!("user-{number}");
        let making = bench.store.create_user(new_user(&name), NOW);
        let _ = tokio::time::timeout(Duration::from_micros(200 * number), making).await;
    }
    eventually("no transaction is left open", async || {
        bench.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()") == "0"
    })
    .await;
    // The store goes on, and every row is whole.
    assert!(matches!(
        bench.store.create_user(new_user("last"), NOW).await,
        Ok(Created::New(_))
    ));
    assert_eq!(bench.sql("SELECT count(*) FROM users WHERE name_key IS NULL"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_is_away_at_once_and_heals() {
    let cluster = own_cluster(&[]);
    let bench = bench_on(cluster).await;
    let user = bench.user("alice").await;
    let session = bench.session(user, 1).await;
    let horizon = bench.horizon().await;
    cluster.stop();
    away(&bench, horizon, Duration::from_secs(2)).await;
    cluster.start_again();
    heals(&bench, user).await;
    // What happened while nobody could read is read.
    bench
        .another()
        .await
        .end_session(session, NOW, NOW + HOUR)
        .await
        .unwrap();
    assert!(
        bench
            .since(horizon)
            .await
            .contains(&Change::SessionEnded { session, until: 0 })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_away_within_two_seconds_and_heals() {
    let cluster = own_cluster(&[]);
    let bench = bench_on(cluster).await;
    let user = bench.user("alice").await;
    let horizon = bench.horizon().await;
    // Connections that wait in the pool and stay silent.
    let (one, two) = tokio::join!(bench.store.user(user), bench.store.user(user));
    assert!(one.is_ok() && two.is_ok());
    cluster.freeze();
    away(&bench, horizon, Duration::from_secs(2)).await;
    cluster.thaw();
    heals(&bench, user).await;
}

/// The first call fails within `limit`, and from then on all do within 100 ms.
async fn away(bench: &Bench, horizon: Horizon, limit: Duration) {
    let begun = Instant::now();
    let first = bench.store.users_named("alice").await;
    assert!(matches!(first, Err(Error::Unavailable(_))), "{first:?}");
    assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
    for _ in 0..20 {
        let begun = Instant::now();
        let next = bench.store.create_user(new_user("bob"), NOW).await;
        assert!(matches!(next, Err(Error::Unavailable(_))), "{next:?}");
        assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    }
    let begun = Instant::now();
    assert!(bench.store.changes_since(horizon, NOW).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

async fn heals(bench: &Bench, user: UserId) {
    eventually("calls succeed again", async || bench.store.user(user).await.is_ok()).await;
    for _ in 0..20 {
        bench.store.user(user).await.unwrap();
    }
    bench.store.all_changes(NOW).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_two_calls_is_not_noticed() {
    let cluster = own_cluster(&[]);
    let bench = bench_on(cluster).await;
    let user = bench.user("alice").await;
    cluster.stop();
    cluster.start_again();
    bench.store.user(user).await.unwrap();
    bench.user("bob").await;
}

#[tokio::test]
async fn a_store_opens_while_its_server_is_away() {
    let store = at_url(format!("postgres://u:hunter2@127.0.0.1:{}/d", free_port())).await;
    let error = store.ping().await.unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(text) if !text.contains("hunter2")),
        "{error}"
    );
    assert!(store.migrate(&|_| ()).await.is_err());
}

#[tokio::test]
async fn the_host_that_takes_writes_is_found() {
    let reader = own_cluster(&["default_transaction_read_only=on"]);
    let place = Cluster::shared().database();
    let (dead, read, write) = (free_port(), reader.port, place.cluster.port);
    let mut create = reader.psql_command("postgres");
    create.env("PGOPTIONS", "-c default_transaction_read_only=off");
    let sql = format!("CREATE DATABASE {}", place.name);
    assert!(create.args(["-c", &sql]).status().unwrap().success());
    let hosts = format!("127.0.0.1:{dead},127.0.0.1:{read},127.0.0.1:{write}");
    let store = at_url(format!("postgres://postgres@{hosts}/{}?sslmode=prefer", place.name)).await;
    store.migrate(&|_| ()).await.unwrap();
    assert!(matches!(
        store.create_user(new_user("alice"), NOW).await,
        Ok(Created::New(_))
    ));
    assert_eq!(place.psql("SELECT username FROM users"), "alice");
}

#[tokio::test]
async fn a_server_that_takes_no_more_writes_is_left() {
    let cluster = own_cluster(&[]);
    let bench = bench_on(cluster).await;
    let name = &database(&bench).name;
    bench.user("alice").await;
    cluster.psql(
        "postgres",
        &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"),
    );
    cluster.psql(
        "postgres",
        &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    );
    let refused = bench.store.create_user(new_user("bob"), NOW).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    cluster.psql(
        "postgres",
        &format!("ALTER DATABASE {name} RESET default_transaction_read_only"),
    );
    eventually("writes succeed again", async || {
        matches!(bench.store.create_user(new_user("bob"), NOW).await, Ok(Created::New(_)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_through_a_pooler_in_transaction_mode() {
    let direct = Cluster::shared().database();
    let bouncer = Bouncer::start(direct.cluster);
    let pooled = Location::Postgres {
        url: Secret::new(format!(
            "postgres://postgres@127.0.0.1:{}/{}",
            bouncer.port, direct.name
        )),
        password: None,
        listen_url: Some(Secret::new(direct.url())),
    };
    let store = open(&settings(pooled)).await.unwrap();
    store.migrate(&|_| ()).await.unwrap();
    let bench = Bench {
        store,
        place: Place::Postgres(direct),
    };
    // More callers than connections, so that each server connection serves many of them in turn.
    let mut running = tokio::task::JoinSet::new();
    for number in 0..40_u8 {
        let store = Arc::clone(&bench.store);
        running.spawn(async move {
            let Created::New(user) = store.create_user(new_user(&format!("u{number}")), NOW).await? else {
                panic!("u{number} is new");
            };
            assert!(store.open_session(new_session(user.id, number), NOW).await?);
            assert!(store.upgrade_hash(user.id, "hash", "better").await?);
            assert!(store.end_session(SessionId([number; 16]), NOW, NOW + HOUR).await?);
            store.users_named(&user.username).await
        });
    }
    let outcomes = running.join_all().await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.as_ref().is_ok_and(|users| users.len() == 1)),
        "{outcomes:?}"
    );
    assert_eq!(bench.store.all_changes(NOW).await.unwrap().0.len(), 40);

    while tokio::time::timeout(Duration::from_millis(600), bench.store.notified())
        .await
        .is_ok()
    {}
    let horizon = bench.horizon().await;
    bench.sql("UPDATE users SET roles = 'x' WHERE username = 'u1'");
    tokio::time::timeout(Duration::from_secs(5), bench.store.notified())
        .await
        .expect("a notification");
    assert_eq!(bench.since(horizon).await.len(), 1);
}

#[tokio::test]
async fn another_server_behind_a_pooler_is_noticed() {
    let cluster = own_cluster(&[]);
    let direct = cluster.database();
    let bouncer = Bouncer::start(cluster);
    let store = at_url(format!(
        "postgres://postgres@127.0.0.1:{}/{}",
        bouncer.port, direct.name
    ))
    .await;
    store.migrate(&|_| ()).await.unwrap();
    let bench = Bench {
        store,
        place: Place::Postgres(direct),
    };
    let user = bench.user("alice").await;
    let session = bench.session(user, 1).await;
    let horizon = bench.horizon().await;
    bench.store.end_session(session, NOW, NOW + HOUR).await.unwrap();
    assert_eq!(bench.since(horizon).await.len(), 1);
    let after = bench.settled(horizon).await;
    cluster.stop();
    cluster.start_again();
    eventually("everything is read anew from the server that was started", async || {
        let changes = bench.store.changes_since(after, NOW).await;
        changes.is_ok_and(|(changes, _)| changes.len() == 1)
    })
    .await;
}

#[tokio::test]
async fn a_password_may_stand_apart() {
    let cluster = own_cluster(&[]);
    cluster.psql("postgres", "CREATE ROLE gate LOGIN PASSWORD 'p@ss/word'");
    let hba = cluster.psql("postgres", "SHOW hba_file");
    fs::write(
        hba,
        "host all gate 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n",
    )
    .unwrap();
    cluster.psql("postgres", "SELECT pg_reload_conf()");
    let location = |password: &str| Location::Postgres {
        url: Secret::new(format!("postgres://gate@127.0.0.1:{}/postgres", cluster.port)),
        password: Some(Secret::new(password.to_owned())),
        listen_url: None,
    };
    let right = open(&settings(location("p@ss/word"))).await.unwrap();
    eventually("the right one is let in", async || right.ping().await.is_ok()).await;
    let wrong = open(&settings(location("guess"))).await.unwrap().ping().await;
    assert!(
        matches!(&wrong, Err(Error::Unavailable(text)) if text.contains("authentication")),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn old_servers_insert_and_a_registration_race_to_one_answer() {
    // A UNIQUE that another hand's row runs into: the answer is still one, not an error.
    let bench = bench_on(Cluster::shared()).await;
    let mut other = Session::open(database(&bench));
    other.send("BEGIN; INSERT INTO users (username, password) VALUES ('alice', 'x');");
    eventually("the row is written", async || bench.sql(WRITTEN) == "1").await;
    let store = Arc::clone(&bench.store);
    let registering = tokio::spawn(async move { store.create_user(new_user("alice"), NOW).await });
    eventually("the registration waits for it", async || {
        bench.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
        ) == "1"
    })
    .await;
    other.send("COMMIT;");
    other.finish();
    let created = registering.await.unwrap().unwrap();
    assert!(matches!(created, Created::NameTaken(_)), "{created:?}");
}

#[tokio::test]
async fn thousands_of_ended_sessions_are_read_page_by_page() {
    let bench = bench_on(Cluster::shared()).await;
    let user = bench.user("alice").await;
    let horizon = bench.horizon().await;
    bench.sql(&format!(
        "INSERT INTO gateway_sessions (id, user_id, family_hash, current_hash, salt, created_at, expires_at, idle_until) \
        SELECT decode(md5(n::text), 'hex'), {user}, '', '', '', 0, 0, 0 FROM generate_series(1, 12345) n"
    ));
    bench.sql("UPDATE users SET is_active = false");
    assert_eq!(bench.since(horizon).await.len(), 12_346);
    assert_eq!(
        bench.store.all_changes(NOW - HOUR * 24 * 365).await.unwrap().0.len(),
        12_346
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_waits_is_no_server_that_is_away() {
    let bench = bench_on(Cluster::shared()).await;
    let user = bench.user("alice").await;
    let mut holder = Session::open(database(&bench));
    // The lock of registrations: every connection of the pool will wait for it.
    holder.send("BEGIN; SELECT pg_advisory_xact_lock(x'646f6f7277617265'::bigint);");
    eventually("the lock is held", async || {
        bench.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == "1"
    })
    .await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..30 {
        let store = Arc::clone(&bench.store);
        running.spawn(async move {
            let begun = Instant::now();
            let outcome = store.create_user(new_user(&format!("u{number}")), NOW).await;
            (outcome, begun.elapsed())
        });
    }
    for (outcome, took) in running.join_all().await {
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    bench.store.user(user).await.expect("the store is not away");
    drop(holder);
    eventually("registrations go on", async || {
        matches!(bench.store.create_user(new_user("bob"), NOW).await, Ok(Created::New(_)))
    })
    .await;
}
