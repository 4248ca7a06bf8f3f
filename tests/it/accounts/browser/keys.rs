//! API keys and tickets at the door. The rows are made through the store, as the endpoints that make them do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward::authn::{api_key, write_ticket};
use doorward::principal::{CredentialKind, SessionId, UserId};
use doorward::store::{Location, NewApiKey, Settings, Store, Ticket, open};
use http::Method;

use super::{cookie, get_with};
use crate::accounts::world::{Gateway, Kind, PASSWORD, Place, World, at_once, soon};
use crate::support::client::Response;

/// The store of a world, as another program sees it.
struct Rows {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
}

fn now() -> i64 {
    i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

impl Rows {
    fn of(world: &World<'_>) -> Self {
        let location = match &world.place {
            Place::Sqlite(path) => Location::Sqlite(PathBuf::from(path)),
            Place::Postgres(database) => Location::Postgres {
                url: database.url().into(),
                password: None,
                listen_url: None,
            },
        };
        let settings = Settings {
            location,
            pool_size: 2,
            connect_timeout: Duration::from_secs(5),
            migrate: false,
            max_staleness: None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let store = runtime.block_on(open(&settings)).unwrap();
        Self { runtime, store }
    }

    /// A new key of this user; its text and its name.
    fn key(&self, user: UserId, number: u8, roles: Option<&str>, lives: i64) -> (String, String) {
        let (text, shown) = api_key::write(&[number; 41]);
        let key = NewApiKey {
            id: shown.id.clone(),
            user,
            name: format!("key {number}"),
            hash: shown.hash,
            roles: roles.map(str::to_owned),
            expires_at: Some(now() + lives),
        };
        let made = self.runtime.block_on(self.store.create_api_key(key, 100, now()));
        assert!(made.unwrap());
        (text, shown.id)
    }

    fn revoke(&self, id: &str) {
        assert!(
            self.runtime
                .block_on(self.store.revoke_api_key(id, None, now()))
                .unwrap()
        );
    }

    fn ticket(&self, user: UserId, number: u8, ticket: impl FnOnce(Ticket) -> Ticket) -> String {
        let (text, hash) = write_ticket(&[number; 32]);
        let row = Ticket {
            hash,
            user,
            credential: CredentialKind::Bearer,
            session: None,
            api_key: None,
            roles: None,
            not_after: now() + 60_000,
            expires_at: now() + 30_000,
        };
        self.runtime.block_on(self.store.add_ticket(ticket(row))).unwrap();
        text
    }
}

const ROUTES: &str = "[[routes]]\nname = \"app\"\npath = \"/app\"\nupstream = \"app\"\n\
    [[routes]]\nname = \"old\"\npath = \"/old\"\ncredentials = [\"basic\"]\nupstream = \"app\"\n\
    [[routes]]\nname = \"people\"\npath = \"/people\"\ncredentials = [\"session\"]\nupstream = \"app\"\n\
    [[routes]]\nname = \"ops\"\npath = \"/ops\"\nroles_any = [\"ops\"]\nupstream = \"app\"\n\
    [[routes]]\nname = \"public\"\npath = \"/public\"\naccess = \"public\"\nupstream = \"app\"\n";

fn world(kind: Kind) -> (World<'static>, Gateway, UserId) {
    let world = World::new(kind);
    let gateway = world.gateway(ROUTES);
    gateway.register("alice");
    world.sql("UPDATE users SET roles = 'user,ops'");
    let id = world.sql("SELECT id FROM users").parse().unwrap();
    (world, gateway, UserId(id))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn show(gateway: &Gateway, path: &str, authorization: &str) -> Response {
    let request = gateway.client.request(Method::GET, path);
    request.header("authorization", authorization).send()
}

fn keys_open_as_bearer_and_basic_until_they_are_revoked(kind: Kind) {
    let (world, gateway, alice) = world(kind);
    let other = world.gateway(ROUTES);
    let rows = Rows::of(&world);
    let (key, id) = rows.key(alice, 1, None, 3_600_000);
    let bearer = format!("Bearer {key}");
    for gateway in [&gateway, &other] {
        for (path, authorization, status) in [
            ("/app/x", bearer.clone(), 200),
            ("/ops/x", bearer.clone(), 200),
            ("/old/x", basic("alice", &key), 200),
            ("/old/x", basic("", &key), 200),
            ("/old/x", basic("nobody", &key), 200),
            ("/old/x", basic("alice", PASSWORD), 401),
            ("/old/x", basic(&key, "x"), 401),
            ("/old/x", bearer.clone(), 401),
            ("/app/x", basic("alice", &key), 401),
            ("/people/x", bearer.clone(), 401),
            ("/public/x", bearer.clone(), 200),
            ("/public/x", basic("alice", &key), 200),
            ("/api/me", bearer.clone(), 200),
            ("/api/me", basic("alice", &key), 401),
        ] {
            let answer = show(gateway, path, &authorization);
            assert_eq!(answer.status, status, "{path} {authorization}");
            if status == 200 && path != "/api/me" {
                let known = path != "/public/x";
                assert_eq!(answer.echoed("x-user").as_deref(), known.then_some("alice"));
                assert_eq!(answer.echoed("authorization"), None, "{path} {authorization}");
            }
            let offered = answer.headers.all("www-authenticate").join(" ");
            let is_old = path == "/old/x" && status == 401;
            assert_eq!(
                offered.contains("Basic realm=\"doorward\", charset=\"UTF-8\""),
                is_old,
                "{path} {offered}"
            );
        }
    }
    // Not quite the key.
    let mut altered = key.clone().into_bytes();
    let last = altered.len() - 2;
    altered[last] ^= 1;
    for wrong in [
        String::from_utf8(altered).unwrap(),
        key[..key.len() - 1].to_owned(),
        format!("{key}A"),
        key.to_ascii_uppercase(),
        format!("dwk_{}{}", "x".repeat(12), URL_SAFE_NO_PAD.encode([1; 32])),
        "dwk_".to_owned(),
    ] {
        assert_eq!(gateway.status_as("/app/x", &wrong), 401, "{wrong}");
    }
    assert_eq!(gateway.status_as("/app/x", &key), 200);
    rows.revoke(&id);
    for gateway in [&gateway, &other] {
        soon("the revocation", || gateway.status_as("/app/x", &key) == 401);
    }
}

fn a_key_is_never_more_than_its_owner(kind: Kind) {
    let (world, gateway, alice) = world(kind);
    let rows = Rows::of(&world);
    let (whole, _) = rows.key(alice, 1, None, 3_600_000);
    let (limited, _) = rows.key(alice, 2, Some("user,doorward-admin"), 3_600_000);
    let (short, _) = rows.key(alice, 3, None, 1_500);
    assert_eq!(gateway.status_as("/ops/x", &whole), 200);
    assert_eq!(gateway.status_as("/ops/x", &limited), 403);
    let seen = gateway.get_as("/app/x", &limited).expect(200);
    assert_eq!(seen.echoed("x-user-roles").as_deref(), Some("user"));
    soon("the end of a key", || gateway.status_as("/app/x", &short) == 401);
    world.sql("UPDATE users SET roles = 'other'");
    soon("the owner's new roles", || gateway.status_as("/ops/x", &whole) == 403);
    let seen = gateway.get_as("/app/x", &limited).expect(200);
    assert_eq!(seen.echoed("x-user-roles").unwrap_or_default(), "");
    world.doorward(&["user", "deactivate", "alice"], "");
    soon("the owner's end", || gateway.status_as("/app/x", &whole) == 401);
}

fn a_ticket_is_good_once(kind: Kind) {
    let (world, gateway, alice) = world(kind);
    let rows = Rows::of(&world);
    let get = |path: &str, ticket: &str| gateway.client.get(&format!("{path}?a=1&doorward_ticket={ticket}&b=2"));
    let ticket = rows.ticket(alice, 1, |ticket| ticket);
    let seen = get("/app/x", &ticket).expect(200);
    assert_eq!(seen.json()["target"], "/app/x?a=1&b=2");
    assert_eq!(seen.echoed("x-user").as_deref(), Some("alice"));
    assert_eq!(get("/app/x", &ticket).status, 401);
    // Of many who show it at once, one is let in.
    let ticket = rows.ticket(alice, 2, |ticket| ticket);
    let statuses = at_once(8, |_| {
        let path = format!("/app/x?doorward_ticket={ticket}");
        gateway.another_client().get(&path).status
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    // It counts where that counts which fetched it.
    let by_cookie = |ticket| Ticket {
        credential: CredentialKind::Session,
        ..ticket
    };
    assert_eq!(get("/people/x", &rows.ticket(alice, 3, by_cookie)).status, 200);
    assert_eq!(get("/people/x", &rows.ticket(alice, 4, |ticket| ticket)).status, 401);
    assert_eq!(
        get(
            "/ops/x",
            &rows.ticket(alice, 5, |ticket| Ticket {
                roles: Some("user".into()),
                ..ticket
            })
        )
        .status,
        403
    );
    // Not after its time, nor after its session's.
    let late = rows.ticket(alice, 6, |ticket| Ticket {
        expires_at: now() - 1,
        ..ticket
    });
    assert_eq!(get("/app/x", &late).status, 401);
    let jar = cookie(&gateway.client, "alice", PASSWORD);
    let me = get_with(&gateway.client, "/api/me", &jar).expect(200).json();
    let session: SessionId = me["session"].as_str().unwrap().parse().unwrap();
    let of_session = |ticket| Ticket {
        session: Some(session),
        ..by_cookie(ticket)
    };
    assert_eq!(get("/app/x", &rows.ticket(alice, 7, of_session)).status, 200);
    let ended = rows.ticket(alice, 8, of_session);
    super::log_out(&gateway.client, &jar).expect(303);
    assert_eq!(get("/app/x", &ended).status, 401);
    // Two of them, or rubbish, are none; a public route takes them off and does not mind.
    let good = rows.ticket(alice, 9, |ticket| ticket);
    assert_eq!(
        gateway
            .client
            .get(&format!("/app/x?doorward_ticket={good}&doorward_ticket={good}"))
            .status,
        401
    );
    assert_eq!(get("/app/x", "%%").status, 401);
    assert_eq!(get("/app/x", "").status, 401);
    let seen = get("/public/x", &good).expect(200);
    assert_eq!(seen.json()["target"], "/public/x?a=1&b=2");
    assert_eq!(get("/app/x", &good).status, 200);
    let lines = gateway.process.lines().join("\n");
    assert!(!lines.contains("dwt_"), "{lines}");
}

on_both!(
    keys_open_as_bearer_and_basic_until_they_are_revoked,
    a_key_is_never_more_than_its_owner,
    a_ticket_is_good_once,
);
