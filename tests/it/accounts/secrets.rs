//! Nothing secret stands in the log, at any level.

use http::Method;

use super::answers::Tokens;
use super::world::{Kind, Place, World};

on_both!(a_whole_life_leaves_no_secret_in_the_log);

const PASSWORD: &str = "correct-horse-battery-staple";
const WRONG: &str = "wrong-horse-battery-staple";
const NEW: &str = "brand-new-horse-battery-staple";
const IN_QUERY: &str = "query-horse-battery-staple";
const STORE: &str = "store-horse-battery-staple";

fn a_whole_life_leaves_no_secret_in_the_log(kind: Kind) {
    let world = World::new(kind);
    for level in ["info", "trace"] {
        let store = match &world.place {
            // Everybody is trusted there; what matters is that a password stands in the URL.
            Place::Postgres(database) => {
                let url = database.url().replace("postgres@", &format!("postgres:{STORE}@"));
                format!("[store]\nurl = '{url}'\n")
            }
            Place::Sqlite(_) => String::new(),
        };
        let gateway = world.gateway(&format!("[log]\nlevel = '{level}'\n{store}"));
        let name = format!("alice-{level}");
        let mut secrets: Vec<String> = [PASSWORD, WRONG, NEW, IN_QUERY, STORE].map(str::to_owned).to_vec();
        let mut given = |tokens: &Tokens| {
            secrets.push(tokens.refresh.clone());
            secrets.push(tokens.access.clone());
            // A part is as bad as the whole: claims, and the signature alone.
            secrets.extend(tokens.access.split('.').skip(1).map(str::to_owned));
        };
        let first = Tokens::of(&gateway.register_with(&name, PASSWORD));
        given(&first);
        // People type passwords into the wrong field.
        gateway.login_with(PASSWORD, WRONG).expect(401);
        gateway.login_with(&name, WRONG).expect(401);
        gateway.register_with("bob", "123").expect(422);
        gateway.register_with(&name, PASSWORD).expect(409);
        let second = Tokens::of(&gateway.login_with(&name, PASSWORD));
        given(&second);
        let third = Tokens::of(&gateway.refresh(&second.refresh));
        given(&third);
        gateway.refresh(&format!("{}x", third.refresh)).expect(401);
        gateway
            .get_as(&format!("/app/x?token={IN_QUERY}&{}", third.access), &third.access)
            .expect(200);
        gateway.get_as(&format!("/public/x?{IN_QUERY}"), WRONG).expect(200);
        gateway.get_as(&format!("/app/x?{IN_QUERY}"), WRONG).expect(401);
        gateway.client.get(&format!("/nowhere?{IN_QUERY}")).expect(404);
        let request = gateway.client.request(Method::GET, "/app/x");
        let request = request.header("authorization", &format!("Basic {WRONG}"));
        request
            .header("cookie", &format!("__Host-doorward={WRONG}"))
            .send()
            .expect(401);
        let request = gateway.client.request(Method::POST, "/api/login");
        request
            .body(format!("{{\"username\":\"{name}\",\"password\":\"{PASSWORD}\""))
            .send()
            .expect(400);
        // Reuse, which is audited.
        world.sql("UPDATE gateway_sessions SET rotated_at = rotated_at - 11000");
        gateway.refresh(&second.refresh).expect(401);
        world.doorward(&["user", "passwd", &name, "--password-stdin"], NEW);
        let last = Tokens::of(&gateway.login_with(&name, NEW));
        given(&last);
        assert_eq!(gateway.logout(&last.access).status, 204);
        secrets.extend(world.sql("SELECT password FROM users").lines().map(str::to_owned));
        // All that was logged, once the last line is there.
        gateway.process.wait_for_line(|line| line.contains("logged out"));
        let mut process = gateway.process;
        process.signal(rustix::process::Signal::TERM);
        assert_eq!(process.wait().code(), Some(0));
        process.wait_for_line(|line| line.contains("/api/logout"));
        let lines = process.lines();
        assert!(
            lines.iter().any(|line| line.contains("/app/x") && line.contains(&name)),
            "{lines:#?}"
        );
        for line in &lines {
            for secret in &secrets {
                assert!(!line.contains(secret.as_str()), "{secret:?} in {line}");
            }
        }
    }
}
