//! Who means no harm is not hurt: what real applications send passes byte for byte beside a protected path. And what is random does
//! no harm either.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};

use super::{check_forwarded, config, since};
use crate::path::gate::Gate;
use crate::support::upstream::Upstream;

/// GitLab and Gitea, registries, object stores, file servers, messengers, single-page applications, and what crawlers ask for.
const TARGETS: &str = "
/ /index.html /assets/index-BcD3f_9x.js?v=1.2.3 /favicon.ico /robots.txt /.well-known/acme-challenge/x-Y_z /sw.js /manifest.webmanifest
/app/deep/link/42 /users/@me /~alice/ /%7Ealice/ /search?q=100%25&x=a/../b&y=[1]|{2} /path?redirect=https://a.example/?b#
/group%2Fproject/-/merge_requests /api/v4/projects/group%2Fsub%2Fproject/repository/files/src%2Fmain.rs/raw?ref=main
/Group/Project.git/info/refs?service=git-upload-pack /Group/Project.git/git-receive-pack /group/project/-/compare/main...feature%2Fx
/api/v4/projects/1/repository/files/.gitignore /api/v4/projects/1/repository/commits/HEAD~1 /explore/repos?q=&sort=newest
/@scope%2fpkg /@scope%2Fpkg/-/pkg-1.0.0-rc.1+build.tgz /%40scope%2fpkg /-/npm/v1/security/advisories/bulk /-/v1/search?text=a%20b&size=20
/v2/ /v2/library/alpine/manifests/latest /v2/library/alpine/manifests/sha256:c5b1261d6d3e43071626931fc004f70149baeba2c8ec672bd4f27761f8e1ad6b
/v2/library/alpine/blobs/uploads/?mount=sha256:abc&from=b /v2/_catalog?n=100&last=x /v2/a/b/c/tags/list
/simple/Some.Package_Name/ /packages/a-1.0-py3-none-any.whl#sha256=x /github.com/!azure/azure-sdk/@v/v1.0.0+incompatible.mod
/com/acme/A_b/1.0-SNAPSHOT/maven-metadata.xml /crates/serde/1.0.0/download /debian/pool/main/g/g++-12/g++-12_12.2.0-14_amd64.deb
/bucket/my%20file%20(1).txt /bucket/a+b=c,d&e$f;g:h@i /bucket//leading/slash /bucket/dir// /bucket/100%25.txt /bucket/a%2Fb
/bucket/what%3F%23hash /bucket/key?versionId=a%2Fb&X-Amz-Signature=0 /bucket/a%26b%3Dc /bucket?list-type=2&prefix=a%2F&delimiter=%2F
/bucket/%E5%86%99%E7%9C%9F/%F0%9F%98%80.png /bucket/key?uploads /bucket/key?partNumber=1&uploadId=VXBsb2Fk~
/remote.php/dav/files/alice/B%C3%BCro/Stra%C3%9Fe%20%E2%80%93%20Plan.pdf /remote.php/dav/files/alice/%EF%BC%91.jpg
/remote.php/dav/calendars/alice/personal/ABC-1.ics /ocs/v2.php/apps/files_sharing/api/v1/shares?path=%2Fa /index.php/apps/files/?dir=/&openfile=1
/remote.php/dav/files/alice/It's%20%22quoted%22%20%5B1%5D.txt /status.php /s/AbCdEf/download?path=%2F&files=a.zip
/dav/%C3%A9t%C3%A9/ /dav/e%CC%81te%CC%81 /dav/latin1-%E9t%E9 /dav/%ce%9f%ce%b4%cf%8c%cf%82
/_matrix/client/v3/rooms/!abc%3Aexample.org/send/m.room.message/m1700.1 /_matrix/client/v3/rooms/!abc:example.org/messages?from=t1-2_3&dir=b
/_matrix/client/v3/profile/%40alice%3Aexample.org/displayname /_matrix/client/v3/directory/room/%23room%3Aexample.org
/_matrix/media/v3/download/example.org/AbCd /_matrix/client/v3/sync?since=s72594_4483_1934&filter=%7B%22room%22%3A%7B%7D%7D
/@alice@example.org/1 /inbox /nodeinfo/2.0 /.well-known/webfinger?resource=acct:alice@example.org
/app/index.jsf;jsessionid=0A1B2C?x=1 /app/a;v=1/b;v=2 /browse/PROJ-123?filter=-1 /wiki/C%2B%2B /wiki/AC/DC /wiki/Foo_(bar) /wiki/Spezial:Suche
/odata/Products('a')/Name /odata/Products?$filter=Price%20gt%205&$top=3 /graphql?query=%7Bme%7Bid%7D%7D /api/items?filter[name]=x
/files/[id]/{x}|y^z /maps/@52.5,13.4,15z /tiles/12/2200/1343@2x.png /socket.io/?EIO=4&transport=polling&t=PXy_1 /ws?token=a.b.c
/grafana/d/abc/Dash?orgId=1&from=now-6h&to=now /kibana/app/discover#/?_g=() /prometheus/api/v1/query?query=rate(x%5B5m%5D)
/solr/core/select?q=*:*&fq=a:%5B1%20TO%20*%5D /_search?q=user:kimchy /couch/_all_docs?startkey=%22a%22 /db/_design/d/_view/v
/administrator/index.php /administration /admin-panel /admins /user-guide /users/1 /public-data /publications/1
";

#[test]
fn real_applications_pass_byte_for_byte_beside_a_protected_path() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let mut client = gate.connect();
    let mut count = 0;
    for target in TARGETS.split_whitespace() {
        // What browsers keep for themselves.
        let target = target.split('#').next().unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n");
        let response = client.send(request).response();
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        assert_eq!(backend.requests().pop().unwrap().target, target);
        count += 1;
    }
    assert!(count > 100, "{count}");
}

/// A runner that draws the same cases each time, on every machine.
fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
}

#[test]
fn whatever_the_target_nobody_unknown_gets_to_a_reading_of_a_protected_path() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let piece = prop::sample::select(vec![
        "/",
        "//",
        "admin",
        "user",
        "public",
        "ADMIN",
        "Admin",
        "..",
        ".",
        ";",
        ";x=1",
        "%2f",
        "%2F",
        "%5c",
        "%5C",
        "\\",
        "%2e",
        "%2E%2e",
        "%252f",
        "%252e",
        "%61",
        "%41",
        "dmin",
        "%c0%af",
        "%c0%ae",
        "%ef%bd%81",
        "%ef%bc%8f",
        "%e2%80%a5",
        "%c5%bf",
        "%3f",
        "%23",
        "%00",
        "%20",
        "%",
        "?",
        "#",
        "x",
        "%2561",
        "%u002f",
        "~",
        "%7e",
        "%ff",
        "%0a",
        "%09",
    ]);
    let targets = prop::collection::vec(piece, 1..8).prop_map(|pieces| format!("/{}", pieces.concat()));
    let outcome = runner(1500).run(&targets, |target| {
        let before = backend.requests().len();
        let response = gate.get(&target, "");
        let seen = backend.requests().split_off(before);
        prop_assert!(matches!(response.status, 200 | 400 | 401), "{}", response.status);
        prop_assert_eq!(seen.len(), usize::from(response.status == 200));
        for request in seen {
            prop_assert_eq!(&request.target, &target);
            let path = target.split('?').next().unwrap().as_bytes();
            for reading in readings(path) {
                prop_assert!(
                    !is_protected(&reading),
                    "{:?} may be read as {:?}",
                    target,
                    String::from_utf8_lossy(&reading)
                );
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

type Step = fn(&[u8]) -> Vec<u8>;

/// What plain backends make of a path: what the gateway's own readings must cover, told in another way. Each step is one that some
/// server is known to take.
fn readings(path: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::from([path.to_vec()]);
    loop {
        let steps: [Step; 6] = [decode, merge, lower, unparameterized, backslashes, resolve];
        let more: Vec<Vec<u8>> = all
            .iter()
            .flat_map(|path| steps.iter().map(move |step| step(path)))
            .collect();
        let before = all.len();
        all.extend(more);
        if all.len() == before || all.len() > 2000 {
            return all;
        }
    }
}

fn is_protected(path: &[u8]) -> bool {
    let first = path
        .strip_prefix(b"/")
        .unwrap_or(path)
        .split(|byte| *byte == b'/')
        .next();
    matches!(first, Some(b"admin" | b"user"))
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let digits = path
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits
            .filter(|_| path[at] == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(path[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    decoded
}

fn merge(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|a, b| *a == b'/' && *b == b'/');
    merged
}

fn lower(path: &[u8]) -> Vec<u8> {
    path.to_ascii_lowercase()
}

fn unparameterized(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let bare: Vec<&[u8]> = segments
        .map(|segment| segment.split(|byte| *byte == b';').next().unwrap())
        .collect();
    bare.join(&b'/')
}

fn backslashes(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
        .collect()
}

fn resolve(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    [b"/".as_slice(), &kept.join(&b'/')].concat()
}

#[test]
fn whatever_the_headers_no_reserved_name_arrives() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let ann = gate.bearer("ann", &["user"]);
    let word = prop::sample::select(vec![
        "x",
        "X",
        "user",
        "User",
        "USER",
        "forwarded",
        "Forwarded",
        "original",
        "rewrite",
        "real",
        "id",
        "roles",
        "email",
        "for",
        "proto",
        "host",
        "uri",
        "url",
        "ip",
        "assertion",
        "http",
        "method",
        "override",
        "request",
        "accept",
        "a",
    ]);
    let mark = prop::sample::select(vec![
        "-", "_", ".", "~", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|",
    ]);
    let name = (word.clone(), prop::collection::vec((mark, word), 0..4))
        .prop_map(|(first, rest)| {
            rest.iter()
                .fold(first.to_owned(), |name, (mark, word)| name + mark + word)
        })
        // A second Host is another attack.
        .prop_filter("Host", |name| name != "host");
    let lists = prop::collection::vec((name, any::<bool>()), 1..30);
    let outcome = runner(400).run(&lists, |names| {
        let before = backend.requests().len();
        let mut lines = String::new();
        for (name, connection) in &names {
            lines += &match connection {
                // Named in Connection, what is ours must not go with it.
                true => format!("Connection: {name}\r\n{name}: mine\r\n"),
                false => format!("{name}: mine\r\n"),
            };
        }
        let response = gate.get("/user", &(ann.clone() + &lines));
        prop_assert_eq!(response.status, 200, "{}", response.text());
        for request in since(before, &gate, &backend) {
            prop_assert_eq!(check_forwarded(&request), Ok(()));
            prop_assert_eq!(request.headers.all("x-user"), ["ann"]);
            for (name, value) in &request.headers.0 {
                let folded: String = name
                    .chars()
                    .map(|c| {
                        if c.is_ascii_alphanumeric() {
                            c.to_ascii_lowercase()
                        } else {
                            '-'
                        }
                    })
                    .collect();
                let reserved = ["x-forwarded-", "x-original-", "x-rewrite-"]
                    .iter()
                    .any(|prefix| folded.starts_with(prefix))
                    || [
                        "x-user",
                        "x-user-id",
                        "x-user-roles",
                        "x-user-email",
                        "x-user-assertion",
                        "x-real-ip",
                        "forwarded",
                    ]
                    .contains(&folded.as_str())
                    || [
                        "x-http-method",
                        "x-http-method-override",
                        "x-method-override",
                        "x-request-id",
                    ]
                    .contains(&folded.as_str());
                prop_assert!(!(reserved && value == "mine"), "{}", name);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
