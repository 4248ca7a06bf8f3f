//! One suite for both stores, and what only one of them has to show.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward::principal::{CredentialKind, SessionId, UserId};
use doorward::secret::Secret;
use doorward::store::{
    Ban, Banned, Change, Created, Error, Horizon, KeyEdit, KeyPlan, Lasting, Life, Location, NewApiKey, NewPassword,
    NewSession, NewUser, Rotation, SessionKind, Settings, Store, StoredKey, Ticket, UserChange, name_key, open,
};

use crate::postgres::{Cluster, Database};

/// Each of these runs on both stores.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { Box::pin(super::$name(false)).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { Box::pin(super::$name(true)).await; })*
        }
    };
}

mod imports;
mod mail;
mod on_postgres;
mod on_sqlite;

use mail::{
    a_mail_is_taken_up_by_one_and_by_another_after_the_lease, a_new_password_by_code_or_token,
    an_account_closed_by_any_hand_is_opened_by_nothing_mailed, an_account_waits_for_its_code,
    mails_are_limited_by_address_and_by_client, who_never_confirms_is_forgotten_and_leaves_nothing,
};

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

/// A store, and a way around it.
struct Bench {
    store: Arc<dyn Store>,
    place: Place,
}

enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(Database<'static>),
}

impl Bench {
    /// An empty place.
    fn bare(postgres: bool) -> (Place, Location) {
        let place = if postgres {
            Place::Postgres(Cluster::shared().database())
        } else {
            Place::Sqlite(tempfile::tempdir().unwrap())
        };
        let location = place.location();
        (place, location)
    }

    async fn new(postgres: bool) -> Self {
        let (place, location) = Self::bare(postgres);
        let store = open(&settings(location)).await.unwrap();
        store.migrate(&|_| ()).await.unwrap();
        Self { store, place }
    }

    /// Another replica.
    async fn another(&self) -> Arc<dyn Store> {
        open(&settings(self.place.location())).await.unwrap()
    }

    /// Plain SQL by another program; what its queries say, a line a row, values apart by `|`.
    fn sql(&self, sql: &str) -> String {
        self.place.sql(sql)
    }

    async fn user(&self, name: &str) -> UserId {
        let Created::New(user) = self.store.create_user(new_user(name), NOW).await.unwrap() else {
            panic!("{name} is new");
        };
        user.id
    }

    async fn session(&self, user: UserId, number: u8) -> SessionId {
        assert!(self.store.open_session(new_session(user, number), NOW).await.unwrap());
        SessionId([number; 16])
    }

    /// A horizon that everything up to now is behind: a transaction that is open anywhere in the cluster, also another
    /// test's, holds it back for a while.
    async fn horizon(&self) -> Horizon {
        let horizon = self.store.all_changes(NOW).await.unwrap().1;
        self.settled(horizon).await
    }

    /// Reads on from a horizon until nothing is told again.
    async fn settled(&self, mut horizon: Horizon) -> Horizon {
        for _ in 0..1000 {
            let (changes, next) = self.store.changes_since(horizon, NOW).await.unwrap();
            if changes.is_empty() {
                return next;
            }
            assert!(next >= horizon);
            horizon = next;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the same changes are told for ever");
    }

    /// What came since, without its times.
    /// What the feed tells of a user as the row is now.
    async fn told(&self, user: UserId) -> Change {
        let state = self.store.user(user).await.unwrap().map(Box::new);
        Change::User { user, state, until: 0 }
    }

    async fn since(&self, horizon: Horizon) -> Vec<Change> {
        let mut changes = self.store.changes_since(horizon, NOW).await.unwrap().0;
        for change in &mut changes {
            match change {
                Change::SessionEnded { until, .. } | Change::User { until, .. } | Change::AllUsers { until } => {
                    *until = 0
                }
                Change::Banned { until, .. } => *until = 0,
                Change::Keys | Change::ApiKey { .. } => (),
            }
        }
        changes
    }
}

impl Place {
    fn location(&self) -> Location {
        match self {
            Self::Sqlite(folder) => Location::Sqlite(folder.path().join("deep/doorward.db")),
            Self::Postgres(database) => Location::Postgres {
                url: Secret::new(database.url()),
                password: None,
                listen_url: None,
            },
        }
    }

    fn sql(&self, sql: &str) -> String {
        match self {
            Self::Postgres(database) => database.psql(sql),
            Self::Sqlite(folder) => {
                let path: PathBuf = folder.path().join("deep/doorward.db");
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.busy_timeout(Duration::from_secs(5)).unwrap();
                let mut lines = Vec::new();
                use rusqlite::fallible_iterator::FallibleIterator as _;
                let mut batch = rusqlite::Batch::new(&connection, sql);
                while let Some(mut statement) = batch.next().unwrap() {
                    let columns = statement.column_count();
                    let mut rows = statement.query([]).unwrap();
                    while let Some(row) = rows.next().unwrap() {
                        let value = |index| match row.get::<_, rusqlite::types::Value>(index).unwrap() {
                            rusqlite::types::Value::Null => String::new(),
                            rusqlite::types::Value::Integer(number) => number.to_string(),
                            rusqlite::types::Value::Text(text) => text,
                            other => format!("{other:?}"),
                        };
                        lines.push((0..columns).map(value).collect::<Vec<_>>().join("|"));
                    }
                }
                lines.join("\n")
            }
        }
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn settings(location: Location) -> Settings {
    Settings {
        location,
        pool_size: 8,
        connect_timeout: Duration::from_secs(2),
        migrate: true,
        max_staleness: None,
    }
}

fn new_user(name: &str) -> NewUser {
    NewUser {
        username: name.to_owned(),
        name_key: name_key(name),
        password: "hash".to_owned(),
        roles: "user".to_owned(),
        active: true,
        email: None,
        email_verified: false,
        grants: Vec::new(),
    }
}

fn new_session(user: UserId, number: u8) -> NewSession {
    NewSession {
        id: SessionId([number; 16]),
        user,
        family_hash: [1; 32],
        current_hash: [2; 32],
        salt: [3; 16],
        expires_at: NOW + 10 * HOUR,
        idle_until: NOW + HOUR,
        password_was: "hash".to_owned(),
        kind: SessionKind::Browser,
        client: Some("curl/8".to_owned()),
        address: Some("192.0.2.1".to_owned()),
    }
}

on_both!(
    a_user_is_made_found_changed_and_deleted,
    names_and_addresses_are_taken_once,
    fifty_registrations_of_one_name_make_one_row,
    a_name_written_by_another_hand_counts,
    a_session_is_opened_rotated_and_ended,
    a_session_is_opened_only_for_the_password_that_was_checked,
    a_browsers_session_is_renewed_while_it_and_its_user_live,
    all_sessions_of_a_user_end_but_one,
    an_api_key_is_made_found_told_of_and_goes_with_its_owner,
    twenty_keys_at_once_keep_to_the_limit,
    what_streams_stand_on_is_told_while_it_lives,
    a_ticket_is_good_once,
    a_mail_is_taken_up_by_one_and_by_another_after_the_lease,
    mails_are_limited_by_address_and_by_client,
    an_account_waits_for_its_code,
    a_new_password_by_code_or_token,
    an_account_closed_by_any_hand_is_opened_by_nothing_mailed,
    who_never_confirms_is_forgotten_and_leaves_nothing,
    a_ban_is_told_until_it_ends,
    old_sessions_are_forgotten,
    ten_replicas_agree_on_one_key,
    keys_are_changed_as_a_whole_and_told,
    failures_are_counted_in_a_window,
    hashes_are_sampled_from_all_over_the_table,
    the_feed_tells_the_end_of_a_session_once,
    plain_sql_counts,
    tokens_without_a_session_are_cut_for_good,
    the_token_that_comes_with_a_changed_password_stays,
    the_very_address_is_found_first,
    a_password_change_ends_the_other_sessions,
    an_upgraded_hash_is_no_change,
    grants_are_told,
    very_many_users_are_told_as_all,
    a_deleted_user_who_is_put_back_is_told,
    somebody_who_waits_hears_of_a_change,
    the_recorded_lifetime_only_grows,
    ten_migrations_of_nothing_at_once,
    a_flask_table_is_taken_over_as_it_is,
    a_flask_table_with_addresses_is_taken_over_as_it_is,
    a_foreign_table_is_left_alone,
    without_a_schema_the_error_says_so,
    odd_input_does_no_harm,
);

async fn a_user_is_made_found_changed_and_deleted(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let store = &bench.store;
    let mut alice = new_user("alice");
    alice.email = Some("alice@example.com".to_owned());
    alice.grants = vec!["ops".to_owned(), "doorward-admin".to_owned()];
    let Created::New(made) = store.create_user(alice, NOW).await.unwrap() else {
        panic!("alice is new")
    };
    assert_eq!(made.grants, ["doorward-admin", "ops"]);
    assert_eq!(
        (made.roles.as_str(), made.active, made.email_verified),
        ("user", true, false)
    );
    assert_eq!(store.user(made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(store.users_named("alice").await.unwrap(), std::slice::from_ref(&made));
    assert_eq!(store.users_named("Alice").await.unwrap(), []);

    let bob = bench.user("bob").await;
    let listed = store.users_after(None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|user| user.id).collect::<Vec<_>>(), [made.id, bob]);
    assert_eq!(store.users_after(Some(made.id), 1).await.unwrap()[0].username, "bob");

    let change = UserChange {
        roles: Some("user,admin".to_owned()),
        active: Some(false),
        email: Some(Some("a@example.com".to_owned())),
        grants: Some(vec!["ops".to_owned()]),
        password: Some(NewPassword {
            hash: "other".to_owned(),
            keep: None,
        }),
    };
    let changed = store.change_user(made.id, change, NOW).await.unwrap().unwrap();
    assert_eq!(changed.password, "other");
    assert_eq!(
        (changed.roles.as_str(), changed.active, changed.email_verified),
        ("user,admin", false, true)
    );
    assert_eq!(changed.grants, ["ops"]);
    assert_eq!(store.user(made.id).await.unwrap(), Some(changed.clone()));
    let nothing = store.change_user(made.id, UserChange::default(), NOW).await.unwrap();
    assert_eq!(nothing, Some(changed));
    let no_address = UserChange {
        email: Some(None),
        ..UserChange::default()
    };
    let changed = store.change_user(made.id, no_address, NOW).await.unwrap().unwrap();
    assert_eq!((changed.email, changed.email_verified), (None, false));

    assert!(store.delete_user(made.id, NOW).await.unwrap());
    assert!(!store.delete_user(made.id, NOW).await.unwrap());
    assert_eq!(store.user(made.id).await.unwrap(), None);
    assert_eq!(
        store.change_user(made.id, UserChange::default(), NOW).await.unwrap(),
        None
    );
    assert_eq!(bench.sql("SELECT count(*) FROM gateway_grants"), "0");
}

async fn names_and_addresses_are_taken_once(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let mut alice = new_user("alice");
    alice.email = Some("alice@example.com".to_owned());
    let Created::New(alice) = bench.store.create_user(alice, NOW).await.unwrap() else {
        panic!("alice is new")
    };
    for name in ["alice", "ALICE", "ａｌｉｃｅ"] {
        let created = bench.store.create_user(new_user(name), NOW).await.unwrap();
        assert_eq!(created, Created::NameTaken(alice.id), "{name}");
    }
    let mut bob = new_user("bob");
    bob.email = Some("Alice@Example.com".to_owned());
    assert_eq!(
        bench.store.create_user(bob, NOW).await.unwrap(),
        Created::EmailTaken(alice.id)
    );
    let bob = bench.user("bob").await;
    let change = UserChange {
        email: Some(Some("ALICE@example.com".to_owned())),
        ..UserChange::default()
    };
    assert!(matches!(
        bench.store.change_user(bob, change.clone(), NOW).await,
        Err(Error::Refused(_))
    ));
    assert!(bench.store.change_user(alice.id, change, NOW).await.unwrap().is_some());
    assert_eq!(bench.sql("SELECT count(*) FROM users"), "2");
}

async fn fifty_registrations_of_one_name_make_one_row(postgres: bool) {
    let (place, location) = Bench::bare(postgres);
    // A table without UNIQUE, as the Flask server's.
    place.sql(flask_table(postgres, false));
    let store = open(&settings(location)).await.unwrap();
    store.migrate(&|_| ()).await.unwrap();
    let bench = Bench { store, place };
    let replicas = [bench.another().await, bench.another().await, bench.another().await];
    let mut running = tokio::task::JoinSet::new();
    for index in 0..50_usize {
        let store = Arc::clone(&replicas[index % 3]);
        let name = ["alice", "Alice", "ALICE"][index % 3];
        running.spawn(async move { store.create_user(new_user(name), NOW).await });
    }
    let outcomes = running.join_all().await;
    let made = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Created::New(_))))
        .count();
    let taken = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Created::NameTaken(_))))
        .count();
    assert_eq!((made, taken), (1, 49), "{outcomes:?}");
    assert_eq!(bench.sql("SELECT count(*) FROM users"), "1");
}

async fn a_name_written_by_another_hand_counts(postgres: bool) {
    let bench = Bench::new(postgres).await;
    bench.sql("INSERT INTO users (username, password, roles, is_active) VALUES ('Bob', 'x', 'user', true)");
    let taken = bench.store.create_user(new_user("bob"), NOW).await.unwrap();
    assert!(matches!(taken, Created::NameTaken(_)));
    assert_eq!(bench.sql("SELECT name_key FROM users"), "bob");
    bench.sql("UPDATE users SET username = 'Carol'");
    assert_eq!(bench.sql("SELECT coalesce(name_key, 'none') FROM users"), "none");
    assert!(matches!(
        bench.store.create_user(new_user("bob"), NOW).await.unwrap(),
        Created::New(_)
    ));
    assert!(matches!(
        bench.store.create_user(new_user("carol"), NOW).await.unwrap(),
        Created::NameTaken(_)
    ));
}

async fn a_session_is_opened_rotated_and_ended(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let store = &bench.store;
    let user = bench.user("alice").await;
    let id = bench.session(user, 7).await;
    let opened = store.session(id).await.unwrap().unwrap();
    assert_eq!((opened.user, opened.generation, opened.created_at), (user, 0, NOW));
    assert_eq!(
        (opened.previous_hash, opened.previous_salt, opened.rotated_at),
        (None, None, None)
    );
    assert_eq!(
        (opened.expires_at, opened.idle_until, opened.revoked_at),
        (NOW + 10 * HOUR, NOW + HOUR, None)
    );

    let rotation = Rotation {
        id,
        presented_hash: [2; 32],
        generation: 0,
        next_hash: [4; 32],
        next_salt: [5; 16],
        idle_until: NOW + 2 * HOUR,
    };
    assert!(store.rotate_session(rotation.clone(), NOW + 1).await.unwrap());
    assert!(
        !store.rotate_session(rotation.clone(), NOW + 1).await.unwrap(),
        "only once"
    );
    let rotated = store.session(id).await.unwrap().unwrap();
    assert_eq!(
        (rotated.generation, rotated.current_hash, rotated.previous_hash),
        (1, [4; 32], Some([2; 32]))
    );
    assert_eq!((rotated.salt, rotated.previous_salt), ([5; 16], Some([3; 16])));
    assert_eq!(
        (rotated.rotated_at, rotated.idle_until),
        (Some(NOW + 1), NOW + 2 * HOUR)
    );
    let late = Rotation {
        presented_hash: [4; 32],
        generation: 1,
        ..rotation
    };
    assert!(
        !store.rotate_session(late.clone(), NOW + 2 * HOUR).await.unwrap(),
        "idle for too long"
    );

    let younger = NewSession {
        id: SessionId([8; 16]),
        ..new_session(user, 8)
    };
    assert!(store.open_session(younger, NOW + 5).await.unwrap());
    let living = store.sessions_of(user, NOW + 5).await.unwrap();
    assert_eq!(
        living.iter().map(|session| session.id).collect::<Vec<_>>(),
        [SessionId([8; 16]), id]
    );
    assert_eq!(store.sessions_of(user, NOW + 20 * HOUR).await.unwrap(), []);

    assert!(store.end_session(id, NOW + 6, NOW + HOUR).await.unwrap());
    assert!(!store.end_session(id, NOW + 7, NOW + HOUR).await.unwrap());
    assert_eq!(store.session(id).await.unwrap().unwrap().revoked_at, Some(NOW + 6));
    assert!(!store.rotate_session(late, NOW + 8).await.unwrap(), "it has ended");
    assert_eq!(store.sessions_of(user, NOW + 8).await.unwrap().len(), 1);
    assert!(!store.end_session(SessionId([9; 16]), NOW, NOW).await.unwrap());
    assert_eq!(store.session(SessionId([9; 16])).await.unwrap(), None);
}

async fn a_session_is_opened_only_for_the_password_that_was_checked(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    let other = NewSession {
        password_was: "another".to_owned(),
        ..new_session(user, 1)
    };
    assert!(!bench.store.open_session(other, NOW).await.unwrap());
    assert!(
        !bench
            .store
            .open_session(new_session(UserId(user.0 + 1), 1), NOW)
            .await
            .unwrap()
    );
    bench.sql("UPDATE users SET is_active = NULL");
    assert!(!bench.store.open_session(new_session(user, 1), NOW).await.unwrap());
    assert_eq!(bench.sql("SELECT count(*) FROM gateway_sessions"), "0");
}

async fn a_browsers_session_is_renewed_while_it_and_its_user_live(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    let id = bench.session(user, 1).await;
    let (store, later) = (&bench.store, NOW + HOUR - 1);
    let renewed = store.renew_session(id, later, later + HOUR, Some("192.0.2.9")).await;
    let (session, row) = renewed.unwrap().expect("it lives");
    assert_eq!(
        (session.kind, session.seen_at, row.id),
        (SessionKind::Browser, later, user)
    );
    assert_eq!(session.client.as_deref(), Some("curl/8"));
    assert_eq!(session.address.as_deref(), Some("192.0.2.9"));
    assert_eq!(session.idle_until, later + HOUR);
    // Who asks with an older clock shortens nothing, and without an address changes none.
    let (session, _) = store.renew_session(id, NOW, NOW + 1, None).await.unwrap().unwrap();
    assert_eq!(
        (session.idle_until, session.address.as_deref()),
        (later + HOUR, Some("192.0.2.9"))
    );
    let listed = store.sessions_after(None, 10, later).await.unwrap();
    assert_eq!(listed.iter().map(|session| session.id).collect::<Vec<_>>(), [id]);
    assert!(store.sessions_after(Some(id), 10, later).await.unwrap().is_empty());
    assert!(
        store
            .renew_session(id, later + HOUR, i64::MAX, None)
            .await
            .unwrap()
            .is_none()
    );
    let change = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    store.change_user(user, change, NOW).await.unwrap();
    assert!(
        store
            .renew_session(id, later, later + HOUR, None)
            .await
            .unwrap()
            .is_none()
    );
}

async fn all_sessions_of_a_user_end_but_one(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let (user, other) = (bench.user("alice").await, bench.user("bob").await);
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(bench.session(user, number).await);
    }
    let strange = bench.session(other, 9).await;
    let horizon = bench.horizon().await;
    let ended = bench.store.end_sessions_of(user, Some(ids[1]), NOW, NOW + HOUR).await;
    assert_eq!(ended.unwrap(), 2);
    let mut told: Vec<_> = bench
        .since(horizon)
        .await
        .into_iter()
        .map(|change| match change {
            Change::SessionEnded { session, .. } => session,
            other => panic!("{other:?}"),
        })
        .collect();
    told.sort();
    assert_eq!(told, [ids[0], ids[2]]);
    assert_eq!(
        bench.store.end_sessions_of(user, None, NOW, NOW + HOUR).await.unwrap(),
        1
    );
    assert_eq!(bench.store.sessions_of(other, NOW).await.unwrap()[0].id, strange);
}

fn api_key(user: UserId, id: &str) -> NewApiKey {
    NewApiKey {
        id: id.to_owned(),
        user,
        name: "build server".to_owned(),
        hash: [7; 32],
        roles: Some("user".to_owned()),
        expires_at: Some(NOW + HOUR),
    }
}

async fn an_api_key_is_made_found_told_of_and_goes_with_its_owner(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let (user, other) = (bench.user("alice").await, bench.user("bob").await);
    let store = &bench.store;
    assert!(store.create_api_key(api_key(user, "one"), 2, NOW).await.unwrap());
    assert!(store.create_api_key(api_key(user, "two"), 2, NOW).await.unwrap());
    assert!(
        !store.create_api_key(api_key(user, "three"), 2, NOW).await.unwrap(),
        "two at most"
    );
    assert!(!store.create_api_key(api_key(UserId(99), "four"), 2, NOW).await.unwrap());
    let (key, owner) = store.api_key("one").await.unwrap().expect("it was made");
    assert_eq!(
        (key.hash, key.roles.as_deref(), key.user),
        ([7; 32], Some("user"), user)
    );
    assert_eq!(owner.unwrap().username, "alice");
    let horizon = bench.horizon().await;
    assert!(
        !store.revoke_api_key("one", Some(other), NOW).await.unwrap(),
        "not theirs"
    );
    assert!(store.revoke_api_key("one", Some(user), NOW).await.unwrap());
    assert!(!store.revoke_api_key("one", None, NOW).await.unwrap(), "once");
    assert_eq!(bench.since(horizon).await, [Change::ApiKey { id: "one".to_owned() }]);
    assert_eq!(store.api_key("one").await.unwrap().unwrap().0.revoked_at, Some(NOW));
    let left = store.api_keys_of(user).await.unwrap();
    assert_eq!(left.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["two"]);
    // Plain SQL counts, and who is deleted leaves nothing to whoever gets the id next.
    let horizon = bench.horizon().await;
    bench.sql("UPDATE gateway_api_keys SET roles = NULL WHERE id = 'two'");
    assert_eq!(bench.since(horizon).await, [Change::ApiKey { id: "two".to_owned() }]);
    bench.sql("DELETE FROM users WHERE username = 'alice'");
    assert!(store.api_key("two").await.unwrap().is_none());
}

async fn what_streams_stand_on_is_told_while_it_lives(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let (user, other) = (bench.user("alice").await, bench.user("bob").await);
    let (session, of_other) = (bench.session(user, 1).await, bench.session(other, 2).await);
    let store = &bench.store;
    for (owner, name) in [
        (user, "lasting"),
        (user, "revoked"),
        (user, "ending"),
        (other, "of-other"),
    ] {
        assert!(store.create_api_key(api_key(owner, name), 9, NOW).await.unwrap());
    }
    let end = NOW + 2 * HOUR;
    bench.sql("UPDATE gateway_api_keys SET expires_at = NULL");
    bench.sql(&format!(
        "UPDATE gateway_api_keys SET expires_at = {end} WHERE id = 'ending'"
    ));
    let key = |name: &str| Lasting::ApiKey(name.to_owned());
    let asked = [
        Lasting::Session(session),
        Lasting::Session(of_other),
        Lasting::Session(SessionId([9; 16])),
        key("lasting"),
        key("revoked"),
        key("ending"),
        key("of-other"),
        key("never"),
    ];
    let lives = async |now: i64| {
        let mut found = store.lives(&asked, now).await.unwrap();
        found.sort_by_key(|(lasting, _)| asked.iter().position(|other| other == lasting));
        found
    };
    let row = |lasting: &Lasting, ends, ask_at| (lasting.clone(), Life { ends, ask_at });
    let of_session = |lasting| row(lasting, NOW + 10 * HOUR, NOW + HOUR);
    let [all, forever] = [lives(NOW).await, vec![row(&asked[3], i64::MAX, i64::MAX)]];
    assert_eq!(all.len(), 6);
    assert_eq!(all[..2], [of_session(&asked[0]), of_session(&asked[1])]);
    assert_eq!((&all[2], &all[4]), (&forever[0], &row(&asked[5], end, end)));
    assert!(store.revoke_api_key("revoked", None, NOW).await.unwrap());
    bench.sql("UPDATE users SET is_active = FALSE WHERE username = 'bob'");
    let three = [of_session(&asked[0]), forever[0].clone(), row(&asked[5], end, end)];
    assert_eq!(lives(NOW).await, three);
    // Nobody was seen for an hour; then the key's time is up.
    assert_eq!(lives(NOW + HOUR).await, three[1..]);
    assert_eq!(lives(end).await, forever);
    bench.sql("DELETE FROM users");
    assert!(lives(NOW).await.is_empty());
    assert!(store.lives(&[], NOW).await.unwrap().is_empty());
}

async fn twenty_keys_at_once_keep_to_the_limit(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    let made = (0..20).map(|number| {
        let store = Arc::clone(&bench.store);
        tokio::spawn(async move { store.create_api_key(api_key(user, &format!("{number}")), 5, NOW).await })
    });
    let mut count = 0;
    for made in made.collect::<Vec<_>>() {
        count += usize::from(made.await.unwrap().unwrap());
    }
    assert_eq!(count, 5);
}

async fn a_ticket_is_good_once(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    let session = bench.session(user, 1).await;
    let ticket = |number: u8| Ticket {
        hash: [number; 32],
        user,
        credential: CredentialKind::Bearer,
        session: Some(session),
        api_key: None,
        roles: Some("user".to_owned()),
        not_after: NOW + HOUR,
        expires_at: NOW + 30_000,
    };
    for number in 1..=4 {
        bench.store.add_ticket(ticket(number)).await.unwrap();
    }
    let takers = (0..10).map(|_| {
        let store = Arc::clone(&bench.store);
        tokio::spawn(async move { store.take_ticket([1; 32], NOW).await.unwrap() })
    });
    let mut taken = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        taken.extend(taker.await.unwrap());
    }
    assert_eq!(taken.len(), 1, "of ten who show it at once, one gets in");
    assert_eq!((&taken[0].0, taken[0].1.username.as_str()), (&ticket(1), "alice"));
    assert!(
        bench.store.take_ticket([2; 32], NOW + 30_000).await.unwrap().is_none(),
        "expired"
    );
    bench.store.end_session(session, NOW, NOW + HOUR).await.unwrap();
    assert!(
        bench.store.take_ticket([3; 32], NOW).await.unwrap().is_none(),
        "its session ended"
    );
    assert_eq!(bench.store.forget_tickets(NOW + 30_000).await.unwrap(), 1);
    assert!(
        bench.store.take_ticket([9; 32], NOW).await.unwrap().is_none(),
        "never made"
    );
}

async fn a_ban_is_told_until_it_ends(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let ban = |banned| Ban {
        issuer: "https://idp.example".to_owned(),
        banned,
    };
    let horizon = bench.horizon().await;
    let subject = ban(Banned::Subject("mallory \"m\"".to_owned()));
    bench.store.ban(&subject, NOW, NOW + HOUR).await.unwrap();
    let token = ban(Banned::Token("j1".to_owned()));
    bench.store.ban(&token, NOW + 1, NOW + HOUR).await.unwrap();
    let told = bench.since(horizon).await;
    let expected = [(subject, NOW), (token, NOW + 1)].map(|(ban, at)| Change::Banned { ban, at, until: 0 });
    assert_eq!(told, expected);
    assert_eq!(bench.store.all_changes(NOW + HOUR).await.unwrap().0, []);
}

async fn old_sessions_are_forgotten(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    for number in 1..=3 {
        bench.session(user, number).await;
    }
    bench
        .store
        .end_session(SessionId([1; 16]), NOW, NOW + HOUR)
        .await
        .unwrap();
    assert_eq!(bench.store.forget_sessions(NOW).await.unwrap(), 0);
    assert_eq!(bench.store.forget_sessions(NOW + 1).await.unwrap(), 1);
    assert_eq!(bench.store.forget_sessions(NOW + HOUR + 1).await.unwrap(), 2);
    assert_eq!(bench.store.session(SessionId([2; 16])).await.unwrap(), None);
    assert_eq!(bench.store.forget_changes(NOW + HOUR - 1).await.unwrap(), 0);
    assert_eq!(bench.store.forget_changes(NOW + HOUR).await.unwrap(), 1);
}

async fn ten_replicas_agree_on_one_key(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let horizon = bench.horizon().await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..10_u8 {
        let store = bench.another().await;
        running.spawn(async move { store.change_keys(first(key(number, "EdDSA")), NOW).await.unwrap() });
    }
    let answers = running.join_all().await;
    assert!(
        answers.iter().all(|keys| keys.len() == 1 && keys == &answers[0]),
        "{answers:?}"
    );
    assert_eq!(bench.store.keys().await.unwrap(), answers[0]);
    assert_eq!(bench.since(horizon).await, [Change::Keys]);
}

/// The plan of those who want a key where there is none.
fn first(key: StoredKey) -> KeyPlan {
    Box::new(move |stored, _| KeyEdit {
        put: if stored.is_empty() { vec![key] } else { Vec::new() },
        remove: Vec::new(),
    })
}

async fn keys_are_changed_as_a_whole_and_told(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let (one, two, three) = (key(1, "EdDSA"), key(2, "ES256"), key(3, "EdDSA"));
    let put = |keys: &[StoredKey], remove: &[&StoredKey]| {
        let edit = KeyEdit {
            put: keys.to_vec(),
            remove: remove.iter().map(|key| key.id.clone()).collect(),
        };
        bench.store.change_keys(Box::new(move |_, _| edit), NOW)
    };
    assert_eq!(
        put(&[one.clone(), two.clone()], &[]).await.unwrap(),
        [one.clone(), two.clone()]
    );
    let horizon = bench.horizon().await;
    // The plan is shown what is there, and the longest life that was recorded.
    bench.store.record_lifetime(2 * HOUR).await.unwrap();
    bench.store.record_lifetime(HOUR).await.unwrap();
    let shown = Arc::new(std::sync::Mutex::new(None));
    let seen = Arc::clone(&shown);
    let look = move |stored: &[StoredKey], lifetime: i64| {
        *seen.lock().unwrap() = Some((stored.to_vec(), lifetime));
        KeyEdit::default()
    };
    bench.store.change_keys(Box::new(look), NOW).await.unwrap();
    assert_eq!(
        shown.lock().unwrap().take(),
        Some((vec![one.clone(), two.clone()], 2 * HOUR))
    );
    assert_eq!(bench.since(horizon).await, [], "nothing changed, nobody is told");
    // Another material and end for one, another one goes, a third comes: at once.
    let sealed = StoredKey {
        material: vec![9; 70],
        sealed: true,
        verify_until: Some(NOW + HOUR),
        ..one.clone()
    };
    let stored = put(&[sealed.clone(), three.clone()], &[&two]).await.unwrap();
    assert_eq!(stored, [sealed, three]);
    assert_eq!(bench.another().await.keys().await.unwrap(), stored);
    assert_eq!(bench.since(horizon).await, [Change::Keys]);
}

fn key(number: u8, algorithm: &str) -> StoredKey {
    StoredKey {
        id: format!("key-{number}"),
        algorithm: algorithm.to_owned(),
        material: vec![number; 48],
        sealed: false,
        publish_at: NOW,
        sign_from: NOW,
        verify_until: None,
    }
}

async fn failures_are_counted_in_a_window(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let store = &bench.store;
    let (account, address, other) = ([1; 32], [2; 32], [3; 32]);
    store.add_failure(&[account, address], NOW).await.unwrap();
    store.add_failure(&[account], NOW + 5).await.unwrap();
    let counted = store.failures(&[address, other, account], NOW - 1).await.unwrap();
    assert_eq!(
        counted.iter().map(|failures| failures.count).collect::<Vec<_>>(),
        [1, 0, 2]
    );
    assert_eq!(
        counted.iter().map(|failures| failures.oldest).collect::<Vec<_>>(),
        [Some(NOW), None, Some(NOW)]
    );
    assert_eq!(
        store.failures(&[account], NOW).await.unwrap()[0].count,
        1,
        "the window slides"
    );
    assert_eq!(store.failures(&[], NOW).await.unwrap(), []);
    store.clear_failures(account).await.unwrap();
    assert_eq!(store.failures(&[account], 0).await.unwrap()[0].count, 0);
    assert_eq!(store.forget_failures(NOW).await.unwrap(), 0);
    assert_eq!(store.forget_failures(NOW + 1).await.unwrap(), 1);
}

async fn hashes_are_sampled_from_all_over_the_table(postgres: bool) {
    let bench = Bench::new(postgres).await;
    assert_eq!(bench.store.sample_hashes(10).await.unwrap(), Vec::<String>::new());
    let rows: Vec<_> = (1..=200).map(|n| format!("({n}, 'u{n}', 'h{n}')")).collect();
    bench.sql(&format!(
        "INSERT INTO users (id, username, password) VALUES {}",
        rows.join(",")
    ));
    let sample = bench.store.sample_hashes(10).await.unwrap();
    assert_eq!(sample.len(), 10);
    let number = |hash: &String| hash.strip_prefix('h').unwrap().parse::<u32>().unwrap();
    assert!(
        sample.iter().any(|hash| number(hash) > 150) && sample.iter().any(|hash| number(hash) < 50),
        "{sample:?}"
    );
    assert_eq!(bench.store.sample_hashes(1000).await.unwrap().len(), 200);
}

async fn the_feed_tells_the_end_of_a_session_once(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    let session = bench.session(user, 7).await;
    let horizon = bench.horizon().await;
    assert_eq!(bench.since(horizon).await, []);
    let until = NOW + HOUR;
    bench.another().await.end_session(session, NOW, until).await.unwrap();
    let (changes, next) = bench.store.changes_since(horizon, NOW).await.unwrap();
    assert_eq!(changes, [Change::SessionEnded { session, until }]);
    bench.settled(next).await;
    assert_eq!(bench.store.all_changes(NOW).await.unwrap().0, changes);
    assert_eq!(bench.store.all_changes(until).await.unwrap().0, [], "it has expired");
}

async fn plain_sql_counts(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let alice = bench.user("alice").await;
    let bob = bench.user("bob").await;
    for (statement, cuts) in [
        ("UPDATE users SET roles = 'user,admin' WHERE username = 'alice'", false),
        ("UPDATE users SET username = 'alice2' WHERE username = 'alice'", false),
        ("UPDATE users SET is_active = false WHERE username = 'alice2'", true),
        ("UPDATE users SET is_active = true WHERE username = 'alice2'", false),
        ("UPDATE users SET is_active = NULL WHERE username = 'alice2'", true),
    ] {
        bench.sql("UPDATE users SET is_active = true WHERE username LIKE 'alice%'; DELETE FROM gateway_sessions");
        let hers = bench.session(alice, 1).await;
        bench.session(bob, 2).await;
        let horizon = bench.horizon().await;
        bench.sql(statement);
        let changes = bench.since(horizon).await;
        let state = bench.store.user(alice).await.unwrap().map(Box::new);
        let told = Change::User {
            user: alice,
            state,
            until: 0,
        };
        let cut = Change::SessionEnded {
            session: hers,
            until: 0,
        };
        if statement.contains("true") {
            assert_eq!(changes, [], "nothing changed: {statement}");
            continue;
        }
        assert_eq!(changes, if cuts { vec![cut, told] } else { vec![told] }, "{statement}");
        let living = bench.store.sessions_of(alice, NOW).await.unwrap().len();
        assert_eq!(living, usize::from(!cuts), "{statement}");
        assert_eq!(bench.store.sessions_of(bob, NOW).await.unwrap().len(), 1, "{statement}");
    }

    bench.sql("UPDATE users SET is_active = true; DELETE FROM gateway_sessions");
    let hers = bench.session(alice, 1).await;
    let horizon = bench.horizon().await;
    bench.sql("UPDATE users SET password = 'new' WHERE username = 'alice2'");
    let cut = Change::SessionEnded {
        session: hers,
        until: 0,
    };
    let told = bench.told(alice).await;
    assert_eq!(bench.since(horizon).await, [cut, told]);

    let his = bench.session(bob, 2).await;
    let horizon = bench.horizon().await;
    bench.sql("DELETE FROM users WHERE username = 'bob'");
    let gone = Change::User {
        user: bob,
        state: None,
        until: 0,
    };
    assert_eq!(
        bench.since(horizon).await,
        [Change::SessionEnded { session: his, until: 0 }, gone]
    );

    let horizon = bench.horizon().await;
    bench.sql("UPDATE users SET roles = roles, password = password; INSERT INTO users (username) VALUES ('carol')");
    assert_eq!(bench.since(horizon).await, [], "nothing changed");
}

async fn tokens_without_a_session_are_cut_for_good(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let alice = bench.user("alice").await;
    let cut_at = async || bench.store.user_settled(alice).await.unwrap().unwrap().cut_at;
    bench.sql("UPDATE users SET roles = 'x'");
    assert_eq!(cut_at().await, None, "nothing happened that ends them");
    assert!(bench.store.upgrade_hash(alice, "hash", "better").await.unwrap());
    assert_eq!(cut_at().await, None, "the same password");
    bench.sql("UPDATE users SET is_active = false");
    let first = cut_at().await.unwrap();
    bench.sql("UPDATE users SET is_active = true");
    assert_eq!(cut_at().await, Some(first), "whoever comes back");
    bench.sql("UPDATE users SET password = 'new'");
    let second = cut_at().await.unwrap();
    assert!(second >= first, "{second} {first}");
    // Somebody else gets the id.
    bench.sql("DELETE FROM users");
    let again = format!(
        "INSERT INTO users (id, username, password) VALUES ({}, 'bob', 'h')",
        alice.0
    );
    bench.sql(&again);
    let third = cut_at().await.unwrap();
    assert!(third >= second, "{third} {second}");
    if postgres {
        bench.sql("TRUNCATE users; DELETE FROM gateway_cuts");
        bench.sql(&again);
        assert!(cut_at().await.unwrap() >= third);
    } else {
        bench.sql("DELETE FROM gateway_cuts");
        bench.sql(&again.replace("INSERT", "INSERT OR REPLACE"));
        assert!(cut_at().await.unwrap() >= third);
    }
    let horizon = bench.horizon().await;
    bench.sql("INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('token', 'j', 1, 9000000000000)");
    let banned = |id: &str| Change::Banned {
        ban: Ban::of_ours(id),
        at: 1,
        until: 0,
    };
    assert_eq!(bench.since(horizon).await, [banned("j")]);
    bench.store.ban(&Ban::of_ours("k"), 1, NOW * 2).await.unwrap();
    let (mut told, _) = bench.store.all_changes(NOW).await.unwrap();
    told.retain(|change| matches!(change, Change::Banned { .. }));
    assert_eq!(told.len(), 2, "{told:?}");
}

/// Another server sets a password and hands out a token at once: that one stays. Of a change of ours nothing of before stays.
async fn the_token_that_comes_with_a_changed_password_stays(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let alice = bench.user("alice").await;
    let row = async || bench.store.user_settled(alice).await.unwrap().unwrap();
    let before = seconds();
    bench.sql("UPDATE users SET password = 'new', roles = 'x'");
    let after = seconds();
    let others = row().await;
    assert!(!others.cuts(after), "issued at the change: {:?} {after}", others.cut_at);
    assert!(!others.cuts(after - 1), "the other host's clock is a little behind");
    assert!(others.cuts(before - 3), "issued before: {:?} {before}", others.cut_at);
    // By our own hand: to the millisecond.
    let password = NewPassword {
        hash: "newer".to_owned(),
        keep: None,
    };
    let change = UserChange {
        password: Some(password),
        ..UserChange::default()
    };
    let before = seconds();
    bench.store.change_user(alice, change, NOW).await.unwrap();
    let ours = row().await;
    assert!(ours.cuts(before), "{:?} {before}", ours.cut_at);
    // What was ended once stays so, and whoever is shut out is so at once.
    bench.sql("UPDATE users SET password = 'newest'");
    assert!(row().await.cuts(before));
    let before = seconds();
    bench.sql("UPDATE users SET password = 'last', is_active = false");
    assert!(row().await.cuts(before));
}

fn seconds() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Rows whose addresses differ in the case of letters alone: the other server tells them apart.
async fn the_very_address_is_found_first(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let insert = |name: &str, email: &str, active: bool| {
        bench.sql(&format!(
            "INSERT INTO users (username, password, is_active, email) VALUES ('{name}', 'h', {active}, '{email}')"
        ));
    };
    insert("closed", "LEE@x.test", false);
    insert("lower", "lee@x.test", true);
    insert("upper", "Lee@x.test", true);
    for (asked, name) in [
        ("lee@x.test", "lower"),
        ("Lee@x.test", "upper"),
        ("LEE@x.test", "closed"),
        ("lEe@x.test", "lower"),
    ] {
        let found = bench.store.user_with_email(asked).await.unwrap().unwrap();
        assert_eq!(found.username, name, "{asked}");
    }
    assert_eq!(bench.store.user_with_email("lea@x.test").await.unwrap(), None);
}

async fn a_password_change_ends_the_other_sessions(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    let (keep, other) = (bench.session(user, 1).await, bench.session(user, 2).await);
    let horizon = bench.horizon().await;
    let password = NewPassword {
        hash: "new".to_owned(),
        keep: Some(keep),
    };
    let change = UserChange {
        password: Some(password),
        ..UserChange::default()
    };
    let changed = bench.store.change_user(user, change, NOW).await.unwrap().unwrap();
    assert_eq!(changed.password, "new");
    let ended = Change::SessionEnded {
        session: other,
        until: 0,
    };
    let told = bench.told(user).await;
    assert_eq!(bench.since(horizon).await, [ended, told]);
    assert_eq!(
        changed.cut_at,
        Some(NOW),
        "what has no session ends, whatever session stays"
    );
    let living = bench.store.sessions_of(user, NOW).await.unwrap();
    assert_eq!(living.iter().map(|session| session.id).collect::<Vec<_>>(), [keep]);
    assert_eq!(bench.sql("SELECT count(*) FROM gateway_rehash"), "0");

    let password = NewPassword {
        hash: "newer".to_owned(),
        keep: None,
    };
    let change = UserChange {
        password: Some(password),
        ..UserChange::default()
    };
    bench.store.change_user(user, change, NOW).await.unwrap();
    assert_eq!(bench.store.sessions_of(user, NOW).await.unwrap(), []);
}

async fn an_upgraded_hash_is_no_change(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    bench.session(user, 1).await;
    let horizon = bench.horizon().await;
    assert!(bench.store.upgrade_hash(user, "hash", "better").await.unwrap());
    assert!(
        !bench.store.upgrade_hash(user, "hash", "best").await.unwrap(),
        "another was first"
    );
    assert_eq!(bench.store.user(user).await.unwrap().unwrap().password, "better");
    assert_eq!(bench.since(horizon).await, []);
    assert_eq!(bench.store.sessions_of(user, NOW).await.unwrap().len(), 1);
    // The same hash by another hand is a change.
    bench.sql("UPDATE users SET password = 'best'");
    assert_eq!(bench.since(horizon).await.len(), 2);
}

async fn grants_are_told(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    let horizon = bench.horizon().await;
    let change = UserChange {
        grants: Some(vec!["doorward-admin".to_owned()]),
        ..UserChange::default()
    };
    let state = bench.store.change_user(user, change, NOW).await.unwrap().map(Box::new);
    assert_eq!(bench.since(horizon).await, [Change::User { user, state, until: 0 }]);
    let horizon = bench.horizon().await;
    bench.sql("DELETE FROM gateway_grants");
    let changes = bench.since(horizon).await;
    assert!(
        matches!(&changes[..], [Change::User { state: Some(state), .. }] if state.grants.is_empty()),
        "{changes:?}"
    );
}

async fn very_many_users_are_told_as_all(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let rows: Vec<_> = (1..=1001).map(|n| format!("({n}, 'u{n}', 'hash', true)")).collect();
    bench.sql(&format!(
        "INSERT INTO users (id, username, password, is_active) VALUES {}",
        rows.join(",")
    ));
    let session = bench.session(UserId(5), 5).await;
    let horizon = bench.horizon().await;
    bench.sql("UPDATE users SET is_active = false");
    let changes = bench.since(horizon).await;
    assert_eq!(
        changes,
        [
            Change::SessionEnded { session, until: 0 },
            Change::AllUsers { until: 0 }
        ]
    );
}

async fn a_deleted_user_who_is_put_back_is_told(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    let row = bench.sql("SELECT id FROM users");
    bench.sql("DELETE FROM users");
    let horizon = bench.horizon().await;
    bench.sql(&format!(
        "INSERT INTO users (id, username, password, is_active) VALUES ({row}, 'alice', 'hash', true)"
    ));
    let changes = bench.since(horizon).await;
    assert!(
        matches!(&changes[..], [Change::User { user: told, state: Some(_), .. }] if *told == user),
        "{changes:?}"
    );
}

async fn somebody_who_waits_hears_of_a_change(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let user = bench.user("alice").await;
    let session = bench.session(user, 1).await;
    let other = bench.another().await;
    // What came before, and the first connection, are hints too.
    while tokio::time::timeout(Duration::from_millis(600), bench.store.notified())
        .await
        .is_ok()
    {}
    other.end_session(session, NOW, NOW + HOUR).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), bench.store.notified())
        .await
        .expect("a notification");
}

async fn the_recorded_lifetime_only_grows(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let lifetime = || bench.sql("SELECT value FROM gateway_settings WHERE name = 'token_lifetime_ms'");
    bench.store.record_lifetime(24 * HOUR).await.unwrap();
    assert_eq!(lifetime(), (24 * HOUR).to_string());
    bench.store.record_lifetime(1000).await.unwrap();
    assert_eq!(lifetime(), (24 * HOUR).to_string());
    let user = bench.user("alice").await;
    bench.sql("UPDATE users SET roles = 'x'");
    let (changes, _) = bench.store.all_changes(0).await.unwrap();
    let real_now = doorward::clock::Clock::system().unix_millis();
    let [Change::User { user: told, until, .. }] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(*told, user);
    assert!((until - real_now - 24 * HOUR - 60_000).abs() < 30_000, "{until}");
}

/// The number of the newest migration.
fn newest() -> u32 {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let steps = std::fs::read_dir(folder).unwrap().map(|step| step.unwrap().file_name());
    steps
        .map(|step| step.to_str().unwrap()[..4].parse().unwrap())
        .max()
        .unwrap()
}

async fn ten_migrations_of_nothing_at_once(postgres: bool) {
    let (place, location) = Bench::bare(postgres);
    let migrated = migrate_ten_times(&location).await;
    assert_eq!(
        migrated.iter().filter(|migrated| migrated.from == 0).count(),
        1,
        "{migrated:?}"
    );
    assert!(
        migrated
            .iter()
            .all(|migrated| migrated.to == newest() && !migrated.took_over)
    );
    let each: Vec<String> = (1..=newest()).map(|step| step.to_string()).collect();
    assert_eq!(
        place.sql("SELECT version FROM gateway_schema ORDER BY version"),
        each.join("\n")
    );
    let store = open(&settings(location)).await.unwrap();
    assert_eq!(store.schema_version().await.unwrap(), newest());
    store.ping().await.unwrap();
}

async fn migrate_ten_times(location: &Location) -> Vec<doorward::store::Migrated> {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = open(&settings(location.clone())).await.unwrap();
        running.spawn(async move { store.migrate(&|_| ()).await.unwrap() });
    }
    running.join_all().await
}

/// The table as SQLAlchemy makes it for the Flask server: `with_email` for its later revision.
fn flask_table(postgres: bool, with_email: bool) -> &'static str {
    match (postgres, with_email) {
        (true, false) => {
            "CREATE TABLE users (id SERIAL NOT NULL, username VARCHAR, password TEXT, roles TEXT, is_active BOOLEAN, \
            PRIMARY KEY (id))"
        }
        (true, true) => {
            "CREATE TABLE users (id SERIAL NOT NULL, username TEXT, email TEXT NOT NULL, password TEXT, roles TEXT, \
            is_active BOOLEAN, PRIMARY KEY (id), UNIQUE (email))"
        }
        (false, false) => {
            "CREATE TABLE users (id INTEGER NOT NULL, username VARCHAR, password TEXT, roles TEXT, is_active BOOLEAN, \
            PRIMARY KEY (id))"
        }
        (false, true) => {
            "CREATE TABLE users (id INTEGER NOT NULL, username TEXT, email TEXT NOT NULL, password TEXT, roles TEXT, \
            is_active BOOLEAN, PRIMARY KEY (id), UNIQUE (email))"
        }
    }
}

async fn a_flask_table_is_taken_over_as_it_is(postgres: bool) {
    let (place, location) = Bench::bare(postgres);
    place.sql(flask_table(postgres, false));
    let long = "x".repeat(10_000);
    place.sql(&format!(
        "INSERT INTO users (username, password, roles, is_active) VALUES ('alice', '$pbkdf2-sha512$x', 'user', true), \
        ('bob', 'one', 'user', false), ('bob', 'two', NULL, NULL), (NULL, NULL, NULL, NULL), (' Zoë ', '', '', true), \
        ('', 'p', 'r', true), ('{long}', 'p', 'r', true)"
    ));
    let all = "SELECT id, username, password, roles, is_active FROM users ORDER BY id";
    let before = place.sql(all);
    let migrated = migrate_ten_times(&location).await;
    assert_eq!(
        migrated.iter().filter(|migrated| migrated.took_over).count(),
        1,
        "{migrated:?}"
    );
    assert_eq!(place.sql(all), before);

    // The old server goes on writing as if nothing had happened.
    let insert = "INSERT INTO users (username, password, roles, is_active) VALUES";
    place.sql(&format!("{insert} ('carol', 'p', 'user', true)"));
    place.sql(&format!("{insert} ('{long}{long}', 'p', 'user', true)"));
    let store = open(&settings(location)).await.unwrap();
    let bobs = store.users_named("bob").await.unwrap();
    assert_eq!(
        bobs.iter()
            .map(|bob| (bob.password.as_str(), bob.active))
            .collect::<Vec<_>>(),
        [("one", false), ("two", false)]
    );
    assert_eq!(bobs[1].roles, "");
    assert_eq!(store.users_named(" Zoë ").await.unwrap().len(), 1, "byte for byte");
    for name in ["alice", "CAROL", "zoë", "bob"] {
        let created = store.create_user(new_user(name), NOW).await.unwrap();
        assert!(matches!(created, Created::NameTaken(_)), "{name}: {created:?}");
    }
    let Created::New(dave) = store.create_user(new_user("dave"), NOW).await.unwrap() else {
        panic!("dave is new")
    };
    let row = format!("SELECT username, roles FROM users WHERE id = {}", dave.id);
    assert_eq!(place.sql(&row), "dave|user");
    let listed = store.users_after(None, 100).await.unwrap();
    assert_eq!(listed.len(), 10);
    assert_eq!(listed[3].username, "", "NULL");
    place.sql("DELETE FROM users WHERE username = 'bob'; UPDATE users SET is_active = NULL");
}

async fn a_flask_table_with_addresses_is_taken_over_as_it_is(postgres: bool) {
    let (place, location) = Bench::bare(postgres);
    place.sql(flask_table(postgres, true));
    place.sql(
        "INSERT INTO users (username, email, password, roles, is_active) VALUES \
        ('alice', 'alice@example.com', 'h', 'user', true), ('alice', 'b@example.com', 'h', NULL, NULL)",
    );
    let all = "SELECT id, username, email, password, roles, is_active FROM users ORDER BY id";
    let before = place.sql(all);
    assert!(
        migrate_ten_times(&location)
            .await
            .iter()
            .any(|migrated| migrated.took_over)
    );
    assert_eq!(place.sql(all), before);
    place.sql("INSERT INTO users (username, email, password, is_active) VALUES ('bob', 'bob@example.com', 'h', false)");
    let store = open(&settings(location)).await.unwrap();
    let bob = store.users_named("bob").await.unwrap().remove(0);
    assert_eq!(
        (bob.email.as_deref(), bob.email_verified),
        (Some("bob@example.com"), false)
    );
    assert_eq!(
        store.create_user(new_user("carol"), NOW).await.unwrap(),
        Created::EmailRequired
    );
    let mut carol = NewUser {
        email: Some("BOB@example.com".to_owned()),
        ..new_user("carol")
    };
    assert_eq!(
        store.create_user(carol.clone(), NOW).await.unwrap(),
        Created::EmailTaken(bob.id)
    );
    carol.email = Some("carol@example.com".to_owned());
    assert!(matches!(store.create_user(carol, NOW).await.unwrap(), Created::New(_)));
}

async fn a_foreign_table_is_left_alone(postgres: bool) {
    let (place, location) = Bench::bare(postgres);
    place.sql("CREATE TABLE users (id integer, login text)");
    let store = open(&settings(location)).await.unwrap();
    let refused = store.migrate(&|_| ()).await;
    assert!(
        matches!(&refused, Err(Error::Schema(text)) if text.contains("username, password")),
        "{refused:?}"
    );
    assert_eq!(
        place.sql("INSERT INTO users VALUES (1, 'x'); SELECT * FROM users"),
        "1|x"
    );
    assert_eq!(store.schema_version().await.unwrap(), 0, "nothing was left behind");
}

async fn without_a_schema_the_error_says_so(postgres: bool) {
    let (_place, location) = Bench::bare(postgres);
    let store = open(&settings(location)).await.unwrap();
    assert_eq!(store.schema_version().await.unwrap(), 0);
    let error = store.users_named("alice").await.unwrap_err();
    assert!(
        matches!(&error, Error::Schema(text) if text.contains("doorward migrate")),
        "{error}"
    );
    let error = store.create_user(new_user("alice"), NOW).await.unwrap_err();
    assert!(matches!(&error, Error::Schema(_)), "{error}");
    store.migrate(&|_| ()).await.unwrap();
    assert!(matches!(
        store.create_user(new_user("alice"), NOW).await,
        Ok(Created::New(_))
    ));
}

async fn odd_input_does_no_harm(postgres: bool) {
    let bench = Bench::new(postgres).await;
    assert_eq!(bench.store.users_named("a\0b").await.unwrap(), []);
    for name in ["'; DROP TABLE users; --", "🦀", "\u{202e}x", ""] {
        let Created::New(made) = bench.store.create_user(new_user(name), NOW).await.unwrap() else {
            panic!("{name}")
        };
        assert_eq!(bench.store.users_named(name).await.unwrap(), [made]);
    }
    assert_eq!(bench.store.user(UserId(i64::MAX)).await.unwrap(), None);
    assert_eq!(
        bench.store.users_after(Some(UserId(i64::MAX)), u32::MAX).await.unwrap(),
        []
    );
    let since = bench.store.changes_since(Horizon(i64::MAX), NOW).await;
    assert!(since.is_ok(), "{since:?}");
}
