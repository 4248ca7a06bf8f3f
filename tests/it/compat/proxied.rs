//! A proxy before the gateway that nobody told it of: one line says what to write.

use http::Method;
use rustix::process::Signal;

use super::told::COMPAT;
use crate::accounts::world::{Gateway, Kind, World};

fn ask(gateway: &Gateway, field: &str, value: &str) -> crate::support::client::Response {
    gateway.client.request(Method::GET, "/api").header(field, value).send()
}

fn told(gateway: &Gateway) -> usize {
    let lines = gateway.process.lines();
    lines.iter().filter(|line| line.contains("untrusted_proxy")).count()
}

/// Whatever was said before this was said.
fn stopping(gateway: &Gateway) {
    gateway.process.signal(Signal::TERM);
    gateway.process.wait_for_line(|line| line.contains("stopping"));
}

#[test]
fn a_proxy_that_is_not_believed_is_named_once_with_what_to_write() {
    for (field, value) in [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=192.0.2.7;proto=https"),
    ] {
        let world = World::new(Kind::Sqlite);
        let gateway = world.gateway(COMPAT);
        gateway.client.get("/api/").expect(200);
        assert_eq!(told(&gateway), 0, "of who says nothing");
        for _ in 0..5 {
            let answer = ask(&gateway, field, value).expect(308);
            assert!(answer.header("location").unwrap().starts_with("http://"));
        }
        let line = gateway.process.wait_for_line(|line| line.contains("untrusted_proxy"));
        for part in ["peer=127.0.0.1", r#"trusted_proxies = ["127.0.0.1"]"#, "limit"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        stopping(&gateway);
        assert_eq!(told(&gateway), 1, "{field}");
    }
}

#[test]
fn a_proxy_that_is_believed_is_nothing_to_tell() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(&format!("trusted_proxies = ['127.0.0.1']\n{COMPAT}"));
    let answer = ask(&gateway, "x-forwarded-proto", "https").expect(308);
    assert!(answer.header("location").unwrap().starts_with("https://"));
    stopping(&gateway);
    assert_eq!(told(&gateway), 0);
}
