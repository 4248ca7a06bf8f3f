//! What the line of a request costs, as text and as JSON. `cargo bench --bench log`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may stop where it is wrong")]

use std::net::IpAddr;
use std::time::Duration;

use divan::{Bencher, black_box};
use doorward::principal::{CredentialKind, Issuer, Person};
use doorward::telemetry::{Access, AccessLines, Format};

fn main() {
    divan::main();
}

fn person() -> Person {
    Person {
        issuer: Issuer::Local,
        subject: "7".into(),
        user: None,
        name: "alice".into(),
        roles: ["user", "ops"].into_iter().collect(),
        email: None,
        session: None,
        token_id: None,
        issued_at: 0,
        expires_at: i64::MAX,
        credential: CredentialKind::Bearer,
        limit: None,
        subject_prefix: 0,
    }
}

#[divan::bench(args = ["text", "json"])]
fn access_line(bencher: Bencher<'_, '_>, format: &str) {
    let format = match format {
        "json" => Format::Json,
        _ => Format::Text,
    };
    let (person, mut lines, mut buffer) = (person(), AccessLines::new(format), Vec::with_capacity(4096));
    let line = Access {
        at: 1_700_000_000_007,
        action: "request",
        client: Some(IpAddr::from([192, 0, 2, 77])),
        person: Some(&person),
        method: "GET",
        secure: true,
        host: "shop.example.com",
        path: "/service7/api/v1/items/1234567",
        status: 200,
        took: Duration::from_micros(412),
        route: "service7",
        upstream: "app",
        decision: "permit",
        reason: "ok",
        cause: None,
        id: "0000000000000abc9e3779b97f4a7c15",
        trace: "4bf92f3577b34da6a3ce929d0e0e4736",
    };
    bencher.bench_local(|| {
        buffer.clear();
        lines.write(&mut buffer, black_box(&line));
        buffer.len()
    });
}
