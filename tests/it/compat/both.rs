//! The gateway and the original on one database at the same time: tokens, rows and roles of either count at the other.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use serde_json::{Value, json};

use super::forge::{self, opened};
use super::{SERVED, with_secret};
use crate::accounts::world::{Gateway, PASSWORD, Place, World, at_once, soon};
use crate::postgres::Cluster;
use crate::support::client::{Client, Response};
use crate::support::flask::{Edition, Flask, Libraries, SECRET};
use crate::support::until;

/// The table of this edition, empty, with both servers over it.
struct Both {
    world: World<'static>,
    flask: Flask,
    gateway: Gateway,
}

impl Both {
    fn start(configuration: &str) -> Self {
        let database = Cluster::shared().database();
        database.psql(Edition::Mended.table());
        let flask = Flask::start(Edition::Mended, &database.url());
        let world = World::in_database(database);
        let gateway = world.gateway(&with_secret(&world, &format!("{SERVED}{configuration}")));
        Self { world, flask, gateway }
    }

    fn clients(&self) -> [(&'static str, &Client); 2] {
        [("Doorward", &self.gateway.client), ("Flask", &self.flask.client)]
    }
}

fn url(world: &World<'_>) -> String {
    match &world.place {
        Place::Postgres(database) => database.url(),
        Place::Sqlite(path) => panic!("{}", path.display()),
    }
}

fn post(client: &Client, path: &str, name: &str, password: &str) -> Response {
    client.post_json(path, &json!({ "username": name, "password": password }))
}

fn token(answer: Response) -> String {
    let answer = answer.expect(200).json();
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

fn register(client: &Client, name: &str) -> String {
    token(post(client, "/api/registration", name, PASSWORD))
}

fn login(client: &Client, name: &str, password: &str) -> Response {
    post(client, "/api/login", name, password)
}

fn get(client: &Client, path: &str, token: &str) -> Response {
    client.request(Method::GET, path).bearer(token).send()
}

fn refresh(client: &Client, token: &str) -> Response {
    client.request(Method::POST, "/api/refresh").body(token).send()
}

fn claims(token: &str) -> Value {
    serde_json::from_str(&opened(token).unwrap().1).unwrap()
}

fn class(answer: &Response) -> String {
    answer.json()["error"].as_str().unwrap_or_default().to_owned()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[test]
fn whoever_made_a_row_or_a_token_the_other_takes_it() {
    let both = Both::start("");
    for (maker, at) in both.clients() {
        let name = format!("by{maker}");
        let issued = register(at, &name);
        for (other, client) in both.clients() {
            let again = token(login(client, &name, PASSWORD));
            for (asked, client) in both.clients() {
                for token in [&issued, &again] {
                    let answer = get(client, "/api/protected", token).expect(200);
                    let wanted = json!({ "message": format!("protected endpoint (allowed usr {name})") });
                    assert_eq!(
                        answer.json(),
                        wanted,
                        "made at {maker}, logged in at {other}, asked {asked}"
                    );
                    let early = refresh(client, token).expect(425);
                    assert_eq!(class(&early), "EarlyRefreshError", "{asked}");
                }
            }
            assert_eq!(login(client, &name, "wrong").status, 401);
            assert_eq!(post(client, "/api/registration", &name, "another").status, 401);
        }
    }
    assert_eq!(
        both.world
            .sql("SELECT username, roles, is_active, substr(password, 1, 21) FROM users ORDER BY id"),
        "byDoorward|user|t|$pbkdf2-sha512$25000$\nbyFlask|user|t|$pbkdf2-sha512$25000$"
    );
    // Deactivated with plain SQL: no login at either, and no access here, where the original waits for exp.
    let issued = token(login(&both.flask.client, "byFlask", PASSWORD));
    get(&both.gateway.client, "/api/protected", &issued).expect(200);
    both.world.sql("UPDATE users SET is_active = NULL");
    soon("a refusal", || {
        get(&both.gateway.client, "/api/protected", &issued).status == 401
    });
    for (whose, client) in both.clients() {
        let refused = login(client, "byFlask", PASSWORD).expect(403);
        assert_eq!(class(&refused), "InvalidUserError", "{whose}");
    }
    // Active again: the tokens of before stay ended here, new ones of either count.
    both.world.sql("UPDATE users SET is_active = true");
    soon("access with a new token", || {
        let fresh = token(login(&both.flask.client, "byFlask", PASSWORD));
        get(&both.gateway.client, "/api/protected", &fresh).status == 200
    });
    for (_, client) in both.clients() {
        let fresh = token(login(&both.gateway.client, "byFlask", PASSWORD));
        get(client, "/api/protected", &fresh).expect(200);
    }
}

#[test]
fn one_name_registered_at_both_at_once_makes_one_row() {
    let both = Both::start("");
    for round in 0..4 {
        let name = format!("crowd{round}");
        let answers = at_once(8, |index| {
            let address = if index % 2 == 0 {
                both.gateway.address
            } else {
                both.flask.address
            };
            post(&Client::new(address), "/api/registration", &name, PASSWORD).status
        });
        assert!(answers.contains(&200), "{answers:?}");
        assert_eq!(
            both.world
                .count(&format!("SELECT count(*) FROM users WHERE username = '{name}'")),
            1,
            "{answers:?}"
        );
        for (_, client) in both.clients() {
            token(login(client, &name, PASSWORD));
        }
    }
}

#[test]
fn a_token_is_what_pyjwt_writes_byte_for_byte() {
    let both = Both::start("");
    let mut libraries = Libraries::start();
    register(&both.gateway.client, "plain");
    register(&both.gateway.client, "zoë");
    both.world
        .sql("UPDATE users SET roles = ' ops,jäger , \u{1f600}\"\\/<' WHERE username = 'zoë'");
    both.world.sql("INSERT INTO users (username, password, roles, is_active) SELECT 'none', password, NULL, true FROM users WHERE username = 'plain'");
    for name in ["plain", "zoë", "none"] {
        let ours = token(login(&both.gateway.client, name, PASSWORD));
        let (header, written) = opened(&ours).unwrap();
        assert_eq!(header, r#"{"typ":"JWT","alg":"HS256"}"#);
        let asked = format!(r#"["encode",{written},{},"HS256"]"#, json!(SECRET));
        assert_eq!(libraries.ask_text(&asked), json!(ours), "{written}");
        // Beside one of the original: the same but for the time and the name of the token.
        let theirs = token(login(&both.flask.client, name, PASSWORD));
        let [mut ours, mut theirs] = [claims(&ours), claims(&theirs)];
        for claims in [&mut ours, &mut theirs] {
            let issued = claims["iat"].as_i64().unwrap();
            for name in ["exp", "rf_exp"] {
                claims[name] = json!(claims[name].as_i64().unwrap() - issued);
            }
            claims["iat"] = Value::Null;
            assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
            claims["jti"] = Value::Null;
        }
        assert_eq!(ours, theirs);
    }
}

#[test]
fn each_refreshes_what_the_other_issued() {
    let both = Both::start("");
    let first = claims(&register(&both.gateway.client, "alice"));
    both.world.sql("UPDATE users SET roles = 'user,admin'");
    let mut libraries = Libraries::start();
    // What either issued a day ago, as the library wrote it, with a claim of the application's own.
    let yesterday = json!({
        "iat": now() - 90_000, "exp": now() - 3_600, "jti": first["jti"], "id": first["id"], "rls": "user",
        "rf_exp": now() + 10_000, "tenant": "north",
    });
    let old = libraries.encode(&yesterday, SECRET);
    for (whose, client) in both.clients() {
        let fresh = token(refresh(client, &old));
        let given = claims(&fresh);
        for name in ["jti", "id", "rf_exp", "tenant"] {
            assert_eq!(given[name], yesterday[name], "{name} by {whose}");
        }
        assert_eq!(given["rls"], "user,admin", "{whose}");
        // Never past the end of the refreshing.
        assert_eq!(given["exp"], yesterday["rf_exp"], "{whose}");
        assert!(given.get("is_ert").is_none());
        for (_, other) in both.clients() {
            get(other, "/api/protected", &fresh).expect(200);
            // The old one is good for another: other tabs ask too.
            token(refresh(other, &old));
        }
    }
    // Short-lived ones of each, as they were issued, expire at both and are refreshed by both.
    let brief = Flask::start_with(Edition::Mended, &url(&both.world), &[("ACCESS_SECONDS", "1")]);
    let brief_gateway = both.world.gateway(&with_secret(
        &both.world,
        &format!("{SERVED}[tokens]\naccess_ttl = \"1s\"\n"),
    ));
    for (whose, client) in [("Doorward", &brief_gateway.client), ("Flask", &brief.client)] {
        let issued = token(login(client, "alice", PASSWORD));
        for (other, client) in both.clients() {
            let fresh = until("a refresh", || {
                let answer = refresh(client, &issued);
                (answer.status != 425).then_some(answer)
            });
            get(client, "/api/protected", &token(fresh)).expect(200);
            let expired = get(client, "/api/protected", &issued).expect(401);
            assert_eq!(class(&expired), "ExpiredAccessError", "of {whose} at {other}");
        }
    }
}

#[test]
fn in_the_second_of_exp_a_client_that_asks_gets_its_token() {
    let both = Both::start("");
    register(&both.gateway.client, "alice");
    let person = forge::Person {
        id: both.world.sql("SELECT id FROM users").parse().unwrap(),
        roles: "user".into(),
    };
    // exp is this very second: the original says "early", until the next one. On a busy machine the second may pass between.
    let seen = until("the second of exp", || {
        let exp = now();
        let token = forge::forge(
            &format!("exp={exp};iat={}", exp - 10),
            "6f1a6ba2-5d3e-4a52-9c0f-000000000001",
            |_| person.clone(),
        )
        .token;
        let ours = refresh(&both.gateway.client, &token);
        let theirs = refresh(&both.flask.client, &token).status;
        let access = get(&both.gateway.client, "/api/protected", &token).status;
        (now() == exp).then_some((ours.status, theirs, access))
    });
    assert_eq!(seen, (200, 425, 401));
}

/// Routes that ask for roles as the views under /test do.
const ROUTES: &str = r#"
[[upstreams]]
name = "app"
servers = ["BACKEND"]
[[routes]]
name = "required"
path = "/test/required"
roles_all = ["admin", "ops"]
upstream = "app"
[[routes]]
name = "accepted"
path = "/test/accepted"
roles_any = ["admin", "ops"]
upstream = "app"
[[routes]]
name = "none"
path = "/test/accepted/none"
roles_any = []
upstream = "app"
[[routes]]
name = "open"
path = "/test/open"
access = "optional"
upstream = "app"
"#;

#[test]
fn roles_mean_the_same_at_both() {
    let database = Cluster::shared().database();
    database.psql(Edition::Mended.table());
    let flask = Flask::start(Edition::Mended, &database.url());
    let world = World::in_database(database);
    let routes = ROUTES.replace("BACKEND", &world.backend.url());
    let gateway = world.gateway(&with_secret(&world, &format!("{SERVED}{routes}")));
    let paths = ["/test/required", "/test/accepted", "/test/accepted/none", "/test/open"];
    for (index, (roles, wanted)) in [
        ("'admin,ops'", [200, 200, 403, 200]),
        ("' ops ,x,  admin'", [200, 200, 403, 200]),
        ("'admin'", [403, 200, 403, 200]),
        ("'ops'", [403, 200, 403, 200]),
        ("'Admin,OPS'", [403, 403, 403, 200]),
        ("'user'", [403, 403, 403, 200]),
        ("'admin ops'", [403, 403, 403, 200]),
        ("''", [403, 403, 403, 200]),
        ("NULL", [403, 403, 403, 200]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{index}");
        register(&flask.client, &name);
        world.sql(&format!("UPDATE users SET roles = {roles} WHERE username = '{name}'"));
        for issuer in [&gateway.client, &flask.client] {
            let issued = token(login(issuer, &name, PASSWORD));
            for client in [&gateway.client, &flask.client] {
                let given = paths.map(|path| get(client, path, &issued).status);
                assert_eq!(given, wanted, "{roles}");
                let refused = get(client, "/test/accepted/none", &issued);
                assert_eq!(class(&refused), "MissingRoleError");
            }
        }
    }
    for client in [&gateway.client, &flask.client] {
        assert_eq!(client.get("/test/required").expect(401).json()["error"], "MissingToken");
        client.get("/test/open").expect(200);
        // A bad token is no stranger's request.
        let refused = get(client, "/test/open", "a.b.c").expect(401);
        assert_eq!(class(&refused), "InvalidTokenHeader");
    }
}

#[test]
fn what_is_revoked_here_is_what_was_blacklisted_there() {
    let both = Both::start("");
    let alice = register(&both.gateway.client, "alice");
    let id = both.world.sql("SELECT id FROM users").parse().unwrap();
    let token_named = |jti: &str, edits: &str| {
        let person = forge::Person {
            id,
            roles: "user".into(),
        };
        forge::forge(edits, jti, |_| person.clone()).token
    };
    // What the original's list says of any name that begins so.
    let jti = "blacklisted-1";
    let (valid, expired) = (token_named(jti, ""), token_named(jti, "iat=@-100;exp=@-10"));
    get(&both.gateway.client, "/api/protected", &valid).expect(200);
    both.world.doorward(
        &["token", "revoke", "--issuer", "https://gateway.test", "--jti", jti],
        "",
    );
    soon("the revocation", || {
        get(&both.gateway.client, "/api/protected", &valid).status != 200
    });
    for (whose, client) in both.clients() {
        for answer in [get(client, "/api/protected", &valid), refresh(client, &expired)] {
            let answer = answer.expect(403).json();
            let wanted =
                json!({ "error": "BlacklistedError", "message": "Token has a blacklisted jti", "status_code": 403 });
            assert_eq!(answer, wanted, "{whose}");
        }
    }
    // A logout ends the token that said it, for access and for its successors, and no other.
    let other = token(login(&both.gateway.client, "alice", PASSWORD));
    both.gateway.logout(&alice).expect(204);
    soon("the logout", || {
        get(&both.gateway.client, "/api/protected", &alice).status == 403
    });
    assert_eq!(
        class(&get(&both.gateway.client, "/api/protected", &alice)),
        "BlacklistedError"
    );
    let named = claims(&alice)["jti"].as_str().unwrap().to_owned();
    let old = token_named(&named, "iat=@-100;exp=@-10");
    assert_eq!(
        class(&refresh(&both.gateway.client, &old).expect(403)),
        "BlacklistedError"
    );
    get(&both.gateway.client, "/api/protected", &other).expect(200);
}
