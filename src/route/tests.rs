//! Tests of this part.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use proptest::prelude::*;

use super::table::STEPS;
use super::*;
use crate::codes::Code;

fn entry<T>(hosts: &[&str], pattern: PathPattern, methods: Option<&[Method]>, value: T) -> Entry<T> {
    Entry {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        pattern,
        methods: methods.map(|methods| MethodSet::new(methods.iter().cloned())),
        value,
    }
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::prefix(path).unwrap()
}

fn exact(path: &str) -> PathPattern {
    PathPattern::exact(path).unwrap()
}

/// Any host, any method, prefixes: the value is the path.
fn table(paths: &[&'static str]) -> Table<&'static str> {
    Table::new(paths.iter().map(|path| entry(&[], prefix(path), None, *path)).collect()).unwrap()
}

/// What every reading of a target falls to; "404" stands for a reading without a route, "405" for a method without.
fn falls_to(
    table: &Table<&'static str>,
    host: Option<&str>,
    method: &Method,
    target: &Target<'_>,
) -> BTreeSet<&'static str> {
    let host = host.map(|host| Host::parse(host).unwrap());
    let mut all = BTreeSet::new();
    for reading in target.readings() {
        let left = table.find_reading(host.as_ref(), method, reading, |found| {
            all.insert(name(found));
        });
        if !left.is_empty() {
            all.insert("404");
        }
    }
    all
}

fn name(found: Match<'_, &'static str>) -> &'static str {
    match found {
        Match::Found(name) => name,
        Match::MethodNotAllowed(_) => "405",
        Match::NotFound => "404",
    }
}

fn canonical(table: &Table<&'static str>, target: &str) -> &'static str {
    name(table.find(None, &Method::GET, Target::parse(target).unwrap().canonical()))
}

// ---- Targets ----

#[test]
fn what_can_never_be_right_is_refused() {
    let refused = [
        "",
        "admin",
        "http://host/admin",
        "*x",
        "*?",
        "**",
        "?",
        "?/a",
        "#",
        "/#",
        "/a#b",
        "/?a#b",
        "/a b",
        "/?a b",
        "/\0",
        "/\u{7f}",
        "/a\tb",
        "/?a\r\n",
        "/\\",
        "/a\\..\\b",
        "/é",
        "/?é",
        "/%00",
        "/%0a",
        "/%1F",
        "/%7f",
        "/%2500",
        "/%",
        "/%4",
        "/%4g",
        "/a%zz",
        "/%u002e",
        "/.",
        "/..",
        "/./",
        "/../",
        "/a/.",
        "/a/..",
        "/a/./b",
        "/a/../b",
        "/%2e",
        "/%2E%2e/a",
        "/a/.%2e/b",
        "/a/%2e./b",
        "/..;",
        "/..;/a",
        "/a/..;x=1/b",
        "/a/.;x",
        "/a/.;/b",
        "/%2e%2e;a",
        "/%2e%2e%3ba/b",
        "/..%2fa",
        "/a/..%2f",
        "/a%2f..%2fb",
        "/a%2f..",
        "/..%5ca",
        "/a%5c..%5cb",
        "/%252e%252e/a",
        "/a/%252e/b",
        "/%25252e%25252e/a",
        "/..%252fa",
        "/a%255c..",
        "/..%3fx",
        "/..%23",
        "/a/..%253fx",
        "/a%3f/../b",
        "/%EF%BC%8E%EF%BC%8E/a",
        "/%E2%80%A5/a",
        "/a%EF%BC%8F..",
        "/..%EF%BC%9Bx",
        "/..%EF%BC%BCa",
        "/%c0%ae%c0%ae/a",
        "/..%c0%afa",
        "/%e0%80%ae",
        "/%c0%80",
        "/a/..%3b/b",
        "/a;/../b",
        "/;/..;/x",
    ];
    for target in refused {
        assert_eq!(Target::parse(target), Err(Code::InvalidTarget), "{target}");
    }
    let long = format!("/{}", "a".repeat(16 * 1024));
    assert_eq!(Target::parse(&long), Err(Code::TargetTooLong));
    assert!(
        Target::parse(&format!("/?{long}")).is_ok(),
        "the header limit is for queries"
    );
    assert_eq!(
        Target::parse(&format!("/{}", "A%2f%3f;//%25".repeat(1000))),
        Err(Code::AmbiguousTarget)
    );
    assert_eq!(
        Target::parse(&format!("/{}", "%c3%a9".repeat(2100))),
        Err(Code::AmbiguousTarget)
    );
}

#[test]
fn ordinary_targets_pass_byte_for_byte() {
    let targets = [
        // single-page applications, assets, crawlers
        "/",
        "/index.html",
        "/assets/index-BcD3f_9x.js?v=1.2.3",
        "/.well-known/acme-challenge/x-Y_z",
        "/favicon.ico",
        "/a/b/",
        "/...",
        "/a..b/..c",
        "/search?q=100%&x=a/../b&y=%00%0d%0a&z=[1]|{2}^\\`",
        "/path?redirect=http://a/?b",
        "/?",
        "/a?",
        "/users/@me",
        "/~alice/",
        "/%7Ealice/",
        // GitLab, Gitea
        "/group%2Fproject/-/merge_requests",
        "/api/v4/projects/group%2Fsub%2Fproject/repository/files/src%2Fmain.rs/raw?ref=main",
        "/Group/Project.git/info/refs?service=git-upload-pack",
        "/group/project/-/compare/main...feature%2Fx",
        "/api/v4/projects/1/repository/files/.gitignore",
        // npm, PyPI, Maven, Go, Docker
        "/@scope%2fpkg",
        "/@scope%2Fpkg/-/pkg-1.0.0-rc.1+build.tgz",
        "/%40scope%2fpkg",
        "/-/npm/v1/security/advisories/bulk",
        "/v2/library/alpine/manifests/sha256:c5b1261d6d3e43071626931fc004f70149baeba2c8ec672bd4f27761f8e1ad6b",
        "/v2/_catalog?n=100",
        "/v2/library/alpine/blobs/uploads/uuid?digest=sha256%3Aabc",
        "/github.com/!azure/azure-sdk/@v/v1.0.0+incompatible.mod",
        "/com/acme/A_b/1.0-SNAPSHOT/",
        // S3, with everything a key may hold
        "/bucket/my%20file%20(1).txt",
        "/bucket/a+b=c,d&e$f;g:h@i",
        "/bucket//leading/slash",
        "/bucket/dir//",
        "/bucket/100%25.txt",
        "/bucket/a%2Fb",
        "/bucket/what%3F%23hash",
        "/bucket/key?versionId=a%2Fb&X-Amz-Signature=0",
        "/bucket/a%26b%3Dc",
        // Nextcloud, WebDAV
        "/remote.php/dav/files/alice/B%C3%BCro/Stra%C3%9Fe%20%E2%80%93%20Plan.pdf",
        "/remote.php/dav/files/alice/%E5%86%99%E7%9C%9F/%EF%BC%91.jpg",
        "/remote.php/dav/files/a/AC%EF%BC%8FDC%20%E2%80%93%20What%EF%BC%9F.mp3",
        "/remote.php/dav/calendars/alice/personal/ABC-1.ics",
        "/dav/%C3%A9t%C3%A9/%F0%9F%98%80.png",
        "/dav/e%CC%81te%CC%81",
        "/dav/latin1-%E9t%E9",
        "/index.php/apps/files/?dir=/&openfile=1",
        "/dav/%ce%9f%ce%b4%cf%8c%cf%82",
        // Matrix, Mastodon, CalDAV, Java, Jira, wikis
        "/_matrix/client/v3/rooms/!abc%3Aexample.org/send/m.room.message/m1700.1",
        "/_matrix/client/v3/profile/%40alice%3Aexample.org/displayname",
        "/_matrix/client/v3/directory/room/%23room%3Aexample.org",
        "/_matrix/media/v3/download/example.org/AbCd",
        "/@alice@example.org/1",
        "/app/index.jsf;jsessionid=0A1B2C?x=1",
        "/app/a;v=1/b;v=2",
        "/browse/PROJ-123?filter=-1",
        "/wiki/C%2B%2B",
        "/wiki/AC/DC",
        "/wiki/Foo_(bar)",
        "/odata/Products('a')/Name",
        "/graph/users/a%27b",
        "/api/items?filter[name]=x",
        "/files/[id]/{x}|y^z",
        "/maps/@52.5,13.4,15z",
    ];
    let only = table(&["/"]);
    for text in targets {
        let target = Target::parse(text).unwrap_or_else(|code| panic!("{text}: {code:?}"));
        fuzz(text.as_bytes());
        assert_eq!(
            falls_to(&only, None, &Method::GET, &target),
            BTreeSet::from(["/"]),
            "{text}"
        );
        // An application mounted at the first segment, as most are.
        let first = target.path().split('/').nth(1).unwrap();
        if !first.contains(['%', ';', '{']) && target.path().len() > first.len() + 1 && !first.is_empty() {
            let mounted = Table::new(vec![entry(&[], prefix(&format!("/{first}")), None, "app")]).unwrap();
            assert_eq!(
                falls_to(&mounted, None, &Method::GET, &target),
                BTreeSet::from(["app"]),
                "{text}"
            );
        }
    }
}

#[test]
fn path_and_query_are_kept_apart_and_untouched() {
    let target = Target::parse("/A%2fb?x=/../%zz?y").unwrap();
    assert_eq!((target.path(), target.query()), ("/A%2fb", Some("x=/../%zz?y")));
    assert_eq!(target.canonical(), b"/A%2fb");
    assert_eq!(Target::parse("/a?").unwrap().query(), Some(""));
    assert_eq!(Target::parse("/a").unwrap().query(), None);
    let star = Target::parse("*").unwrap();
    assert!(star.is_asterisk());
    assert_eq!(
        falls_to(&table(&["/"]), None, &Method::OPTIONS, &star),
        BTreeSet::from(["404"])
    );
}

/// What has opened other gateways, beside a public catch-all: refused outright, or a reading falls to the protected route.
#[test]
fn no_trick_hides_the_protected_path() {
    let table = table(&["/", "/admin", "/public", "/auth"]);
    let tricks = [
        "/public/../admin/secret",
        "/public/%2e%2e/admin",
        "/public/.%2e/admin",
        "/public/..%2fadmin/secret",
        "/admin%2fsecret",
        "/public/..%5cadmin",
        "/admin%00",
        "/admin;x=/public",
        "/public%3f/../admin",
        "/public/%252e%252e/admin",
        "//admin/x",
        "/admin//x",
        "/./admin",
        "/ADMIN",
        "/aDmin/x",
        "/admin#/public",
        "/app/..;/admin",
        "/public/%2e/admin/secret",
        "/public/..\\admin",
        "/%61dmin",
        "/%2561dmin",
        "/%25%36%31dmin",
        "/admin%3Fx",
        "/admin%23x",
        "/admin%253Fx",
        "///admin",
        "/;/admin",
        "/;x=1/admin;y=2",
        "/%2fadmin",
        "/%5cadmin",
        "/%2Fadmin/",
        "/%252fadmin",
        "/admin%3bx",
        "/admin%253bx",
        "/%EF%BC%A1dmin",
        "/adm%C4%B1n",
        "/%C3%84dmin/../admin",
        "/admin%5cx",
        "/%EF%BC%8Fadmin",
        "/%c0%afadmin",
        "/admin%c0%afx",
        "/admin%EF%BC%9Fx",
        "/admin%EF%BC%9Bx",
        "/%EF%BC%8F%EF%BC%8FADMIN;x",
        "/AD%4DIN%3F",
        "/%2541DMIN",
        "/%EF%BC%85%36%31dmin",
        "/admin;",
        "/admin/",
        "/%25EF%25BC%25A1dmin",
        "/ad%6din%2f..%2f",
        "/%61%64%6d%69%6e",
    ];
    for trick in tricks {
        match Target::parse(trick) {
            Err(code) => assert_eq!(code, Code::InvalidTarget, "{trick}"),
            Ok(target) => assert!(
                falls_to(&table, None, &Method::GET, &target).contains("/admin"),
                "{trick}"
            ),
        }
    }
    for innocent in [
        "/administrator",
        "/admin.json",
        "/admin-x",
        "/xadmin",
        "/x/admin",
        "/public?path=/admin",
        "/public/admin",
        "/%20admin",
    ] {
        let target = Target::parse(innocent).unwrap();
        assert!(
            !falls_to(&table, None, &Method::GET, &target).contains("/admin"),
            "{innocent}"
        );
    }
}

#[test]
fn letters_are_folded_on_both_sides() {
    let capital = table(&["/", "/Orders"]);
    let all = |target| falls_to(&capital, None, &Method::GET, &Target::parse(target).unwrap());
    assert_eq!(all("/Orders/x"), BTreeSet::from(["/Orders"]), "it matches itself");
    assert_eq!(
        all("/orders/x"),
        BTreeSet::from(["/", "/Orders"]),
        "a backend that folds sees the other"
    );
    assert_eq!(all("/ORDERS"), BTreeSet::from(["/", "/Orders"]));
    assert!(!capital.one_look_up(&Target::parse("/orders").unwrap()));
    let both = table(&["/Orders", "/orders"]);
    assert_eq!(
        falls_to(&both, None, &Method::GET, &Target::parse("/Orders").unwrap()),
        BTreeSet::from(["/Orders", "/orders"])
    );
    assert_eq!(
        (
            canonical(&both, "/Orders"),
            canonical(&both, "/orders"),
            canonical(&both, "/oRDERS")
        ),
        ("/Orders", "/orders", "404")
    );
    let lower = table(&["/orders"]);
    assert!(
        lower.one_look_up(&Target::parse("/orders").unwrap()) && !lower.one_look_up(&Target::parse("/Orders").unwrap())
    );
}

#[test]
fn paths_with_other_letters_match_however_they_are_written() {
    let bureau = table(&["/Büro", "/my files", "/~alice"]);
    for (target, route) in [
        ("/B%C3%BCro", "/Büro"),
        ("/B%c3%bcro/x", "/Büro"),
        ("/my%20files/x", "/my files"),
        ("/~alice", "/~alice"),
    ] {
        let target = Target::parse(target).unwrap();
        assert_eq!(
            falls_to(&bureau, None, &Method::GET, &target),
            BTreeSet::from([route]),
            "{}",
            target.path()
        );
    }
    // The same letters in two code points: another path, and the same to a backend that composes them.
    let decomposed = Target::parse("/Bu%CC%88ro").unwrap();
    assert_eq!(
        falls_to(&bureau, None, &Method::GET, &decomposed),
        BTreeSet::from(["404", "/Büro"])
    );
}

// ---- The table ----

#[test]
fn the_longest_prefix_at_a_segment_border_decides() {
    let table = table(&["/", "/orders/", "/orders/admin"]);
    for (target, route) in [
        ("/", "/"),
        ("/x/y", "/"),
        ("/orders", "/orders/"),
        ("/orders/", "/orders/"),
        ("/orders/administrator", "/orders/"),
        ("/orders/admin", "/orders/admin"),
        ("/orders/admin/", "/orders/admin"),
        ("/orders/admin/x/y", "/orders/admin"),
        ("/ordersx", "/"),
        ("/%6frders", "/orders/"),
        ("/orders%2Fadmin", "/"),
        ("//orders", "/"),
    ] {
        assert_eq!(canonical(&table, target), route, "{target}");
    }
    assert_eq!(canonical(&self::table(&["/a"]), "/b"), "404");
    assert_eq!(canonical(&self::table(&[]), "/"), "404");
}

/// `routes` routes: ten on each host, or all on any host.
fn large(routes: usize, hosts: bool) -> Table<usize> {
    let entries = (0..routes).map(|number| {
        let host = format!("host{}.example.com", number / 10);
        match hosts {
            true => entry(&[&host], prefix(&format!("/service{}/api", number % 10)), None, number),
            false => entry(&[], prefix(&format!("/service{number}/api")), None, number),
        }
    });
    Table::new(entries.collect()).unwrap()
}

/// Finds every route of such a table by its own request, and gives back the most steps that one took.
fn most_steps(table: &Table<usize>, routes: usize, hosts: bool) -> usize {
    let steps = |number: usize| {
        let (host, service) = match hosts {
            true => (number / 10, number % 10),
            false => (0, number),
        };
        let host = format!("host{host}.example.com");
        let path = format!("/service{service}/api/v1/items/7");
        STEPS.set(0);
        let found = table.find(Host::parse(&host).ok().as_ref(), &Method::GET, path.as_bytes());
        assert!(matches!(found, Match::Found(value) if *value == number), "{host}{path}");
        STEPS.get()
    };
    (0..routes).map(steps).max().unwrap()
}

#[test]
fn a_look_up_takes_as_many_steps_among_ten_thousand_routes_as_among_ten() {
    for hosts in [true, false] {
        let few = most_steps(&large(10, hosts), 10, hosts);
        assert!((3..10).contains(&few), "{few}");
        assert_eq!(most_steps(&large(10_000, hosts), 10_000, hosts), few);
        let table = large(10_000, hosts);
        for (host, path) in [
            ("host1000.example.com", "/x/api"),
            ("host1.example.com", "/service10001/api"),
        ] {
            let found = table.find(Host::parse(host).ok().as_ref(), &Method::GET, path.as_bytes());
            assert!(matches!(found, Match::NotFound), "{host}{path}");
        }
    }
}

#[test]
fn an_exact_path_is_itself_alone_and_beats_a_prefix() {
    let table = Table::new(vec![
        entry(&[], prefix("/"), None, "all"),
        entry(&[], exact("/"), None, "home"),
        entry(&[], exact("/auth/"), None, "auth"),
        entry(&[], exact("/auth/login"), Some(&[Method::GET, Method::POST]), "login"),
        entry(&[], prefix("/auth/login"), None, "below"),
    ])
    .unwrap();
    for (target, route) in [
        ("/", "home"),
        ("/x", "all"),
        ("/auth", "all"),
        ("/auth/", "auth"),
        ("/auth/x", "all"),
        ("/auth/login", "login"),
        ("/auth/login/", "below"),
        ("/auth/login/x", "below"),
    ] {
        assert_eq!(canonical(&table, target), route, "{target}");
    }
    assert!(matches!(
        table.find(None, &Method::PUT, b"/auth/login"),
        Match::MethodNotAllowed(_)
    ));
}

#[test]
fn the_closest_host_with_a_path_decides() {
    let table = Table::new(vec![
        entry(&[], prefix("/"), None, "any"),
        entry(&["*.example.com"], prefix("/shop"), None, "wildcard"),
        entry(&["*.example.com"], prefix("/"), None, "wildcard-root"),
        entry(
            &["a.example.com", "[::1]", "A.example.com"],
            prefix("/shop/x"),
            None,
            "exact",
        ),
    ])
    .unwrap();
    let find = |host: Option<&str>, path: &str| {
        let host = host.map(|host| Host::parse(host).unwrap());
        name(table.find(host.as_ref(), &Method::GET, path.as_bytes()))
    };
    assert_eq!(find(Some("a.example.com:8443"), "/shop/x"), "exact");
    assert_eq!(find(Some("A.EXAMPLE.COM."), "/shop/x/y"), "exact");
    assert_eq!(find(Some("a.example.com"), "/shop/y"), "wildcard");
    assert_eq!(find(Some("b.example.com"), "/shop/x"), "wildcard");
    assert_eq!(find(Some("b.example.com"), "/"), "wildcard-root");
    assert_eq!(find(Some("example.com"), "/shop"), "any");
    assert_eq!(find(Some("a.b.example.com"), "/shop"), "any");
    assert_eq!(find(Some("[::1]:1"), "/shop/x"), "exact");
    assert_eq!(find(None, "/shop/x"), "any", "HTTP/1.0 without Host");
}

#[test]
fn a_method_nobody_has_is_not_looked_for_on_shorter_paths() {
    let table = Table::new(vec![
        entry(&[], prefix("/"), None, "root"),
        entry(&[], prefix("/orders"), Some(&[Method::GET]), "read"),
        entry(&[], prefix("/orders"), Some(&[Method::POST, Method::OPTIONS]), "write"),
    ])
    .unwrap();
    let find = |method| table.find(None, &method, b"/orders/1");
    assert_eq!(name(find(Method::HEAD)), "read");
    assert_eq!(name(find(Method::OPTIONS)), "write");
    let Match::MethodNotAllowed(allow) = find(Method::DELETE) else {
        panic!("405")
    };
    assert_eq!(allow.to_string(), "GET, HEAD, POST, OPTIONS");
    assert_eq!(
        name(table.find(None, &Method::from_bytes(b"PROPFIND").unwrap(), b"/")),
        "root"
    );
}

#[test]
fn entries_in_conflict_are_all_named() {
    let get: Option<&[Method]> = Some(&[Method::GET]);
    let conflicts = Table::new(vec![
        entry(&[], prefix("/a"), get, 0),
        entry(&["h"], prefix("/a"), get, 1),
        entry(&[], prefix("/a/"), Some(&[Method::HEAD]), 2),
        entry(&[], exact("/a"), get, 3),
        entry(&[], prefix("/A"), get, 4),
        entry(&["h", "i"], prefix("/%61"), None, 5),
        entry(&[], prefix("/a"), Some(&[Method::POST]), 6),
    ])
    .unwrap_err();
    let pairs: Vec<_> = conflicts
        .iter()
        .map(|conflict| (conflict.first, conflict.second))
        .collect();
    assert_eq!(pairs, [(0, 2), (1, 5)]);
    assert_eq!(
        conflicts[1].to_string(),
        "entries 2 and 6 are both for path /a on host h and share a method"
    );
    assert_eq!(
        conflicts[0].to_string(),
        "entries 1 and 3 are both for path /a/ on any host and share a method"
    );
}

#[test]
fn a_reading_that_meets_another_method_is_told() {
    let table = Table::new(vec![
        entry(&[], prefix("/Orders"), Some(&[Method::GET]), "capital"),
        entry(&[], prefix("/orders"), Some(&[Method::POST]), "small"),
    ])
    .unwrap();
    let target = Target::parse("/Orders").unwrap();
    assert_eq!(
        falls_to(&table, None, &Method::GET, &target),
        BTreeSet::from(["capital", "405"])
    );
}

// ---- Properties ----

/// Texts made of what readings are about.
fn tricky() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "admin", "Admin", "A", ".", "..", "x.y", "~", "@", "|"]),
        4 => Just("/"),
        3 => prop::sample::select(vec!["//", ";", ";x=1", "%2f", "%2F", "%5c", "%3f", "%23", "%3b", "%25", "%252f", "%2e", "%41", "%61", "%7e", "%20", "%7C"]),
        1 => prop::sample::select(vec!["%c3%a9", "%C3%89", "%EF%BC%8F", "%ef%bc%a1", "%EF%BC%85", "%ff", "%c0%af", "%c0%ae", "%C3%9F", "%E1%BA%9E", "%EF%AC%81",
            "%c4%b0", "%c4%b1", "e%cc%81", "%CC%88", "%E2%84%AA", "%2525", "%00", "%zz", "\\", "#", "?", "é"]),
    ];
    prop::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// What a step makes of a reading in one form, worked out anew.
fn step(number: usize, path: &[u8], decoded: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match number {
        0 => transform::merge(path, &mut out),
        1 => transform::drop_parameters(path, &mut out),
        _ if !decoded => return None,
        2 => transform::decode(path, &mut out),
        3 => transform::slashes(path, &mut out),
        4 => transform::end(path, &mut out),
        _ => transform::overlong(path, &mut out),
    }
    Some(out)
}

/// The readings of each form, by the form's number: undecoded * 4 + folded * 2 + nfkc.
fn by_form(target: &Target<'_>) -> Vec<BTreeSet<Vec<u8>>> {
    let holders = Forms::ALL.each().map(|form| {
        let of_form = target.readings().filter(|reading| !reading.forms.and(form).is_empty());
        of_form.map(|reading| reading.path.to_vec()).collect()
    });
    holders.collect()
}

/// Hosts, whether exact, path, methods.
type Drawn = (Vec<&'static str>, bool, String, Option<Vec<Method>>);

fn table_entries() -> impl Strategy<Value = Vec<Drawn>> {
    let host = prop::collection::vec(
        prop::sample::select(vec!["h.test", "*.test", "*.h.test", "g.h.test"]),
        0..3,
    );
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "A", "é", "É", "x y"]), 0..4);
    let path = (path, any::<bool>()).prop_map(|(segments, slash)| match (segments.is_empty(), slash) {
        (false, false) => format!("/{}", segments.join("/")),
        (false, true) => format!("/{}/", segments.join("/")),
        (true, _) => "/".to_owned(),
    });
    let methods = prop::collection::vec(prop::sample::select(vec![Method::GET, Method::POST, Method::PUT]), 1..3);
    prop::collection::vec(
        (host, prop::bool::weighted(0.2), path, prop::option::of(methods)),
        0..12,
    )
}

/// The same look-up, written down as the rules are told: over all entries, without a tree.
fn reference(
    entries: &[Entry<usize>],
    host: Option<&Host<'_>>,
    method: &Method,
    path: &[u8],
    form: Forms,
) -> Vec<Result<usize, ()>> {
    // Rank of an entry for this request: tier of its host, length of its path, exact or not.
    let mut best = None;
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        let tier = match (&entry.hosts[..], host) {
            ([], _) => Some(0),
            (_, None) => None,
            (hosts, Some(host)) => hosts
                .iter()
                .filter(|pattern| pattern.matches(host))
                .map(|pattern| if matches!(pattern, HostPattern::Exact(_)) { 2 } else { 1 })
                .max(),
        };
        let (_, text) = entry
            .pattern
            .path()
            .forms()
            .find(|(forms, _)| !forms.and(form).is_empty())
            .unwrap();
        let bare = text.strip_suffix(b"/").unwrap_or(text);
        let fits = match entry.pattern {
            PathPattern::Exact(_) => path == text,
            PathPattern::Prefix(_) => path == bare || path.starts_with(&[bare, b"/"].concat()),
        };
        let Some(tier) = tier.filter(|_| fits) else { continue };
        let rank = (
            tier,
            if entry.pattern.is_exact() {
                usize::MAX
            } else {
                bare.len()
            },
        );
        if best.is_none_or(|best| rank > best) {
            best = Some(rank);
            groups.clear();
        }
        if best == Some(rank) {
            let path = entry.pattern.path().as_str();
            let key = if entry.pattern.is_exact() {
                path
            } else {
                path.strip_suffix('/').unwrap_or(path)
            };
            groups.entry(key).or_default().push(place);
        }
    }
    let accepts = |place: &&usize| {
        entries[**place]
            .methods
            .as_ref()
            .is_none_or(|methods| methods.contains(method))
    };
    let mut found: Vec<_> = groups
        .values()
        .map(|group| group.iter().find(accepts).copied().ok_or(()))
        .collect();
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parsing_keeps_its_promises_on_any_text(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        fuzz(text.as_bytes());
        fuzz(format!("/{text}").as_bytes());
        fuzz(&bytes);
    }

    #[test]
    fn parsing_keeps_its_promises_on_tricky_text(text in tricky()) {
        fuzz(text.as_bytes());
    }

    #[test]
    fn readings_are_closed_under_every_step(text in tricky()) {
        if let Ok(target) = Target::parse(&text) {
            let forms = by_form(&target);
            for (number, paths) in forms.iter().enumerate() {
                let (decoded, fold, nfkc) = (number < 4, number & 2 != 0, number & 1 != 0);
                for path in paths {
                    for next in (0..6).filter_map(|kind| step(kind, path, decoded)) {
                        let mut normal = Vec::new();
                        prop_assert!(transform::normalize(&next, fold, nfkc, &mut normal).is_some());
                        prop_assert!(paths.contains(&normal), "form {number}: {path:?} -> {normal:?}");
                    }
                    for more in [number | 2, number | 1] {
                        let mut normal = Vec::new();
                        prop_assert!(transform::normalize(path, more & 2 != 0, more & 1 != 0, &mut normal).is_some());
                        prop_assert!(forms[more].contains(&normal), "form {number} -> {more}: {path:?} -> {normal:?}");
                    }
                }
            }
        }
    }

    /// What one encoder escapes and another does not is the same path to the table.
    #[test]
    fn escaping_does_not_change_the_route(path in "/[a-zA-Z~._!$&'()*+,=:@-]{0,6}x(/[a-z]{1,3}){0,2}", mask in any::<u32>()) {
        let escaped: String = path.bytes().enumerate().map(|(place, byte)| match byte {
            b'/' => "/".to_owned(),
            _ if mask >> (place % 32) & 1 == 1 => format!("%{byte:02x}"),
            _ => char::from(byte).to_string(),
        }).collect();
        if let (Ok(plain), Ok(escaped)) = (Target::parse(&path), Target::parse(&escaped)) {
            prop_assert_eq!(plain.canonical(), escaped.canonical());
        }
    }

    #[test]
    fn the_tree_finds_what_a_walk_over_all_entries_finds(
        drawn in table_entries(),
        host in prop::option::of(prop::sample::select(vec!["h.test", "g.h.test", "i.h.test", "other"])),
        method in prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::PATCH]),
        segments in prop::collection::vec(prop::sample::select(vec!["a", "b", "A", "é", "É", "x y", "", "c"]), 0..5),
    ) {
        // Entries in conflict with earlier ones are left out.
        let mut entries: Vec<Entry<usize>> = Vec::new();
        for (hosts, is_exact, path, methods) in drawn {
            let pattern = if is_exact { exact(&path) } else { prefix(&path) };
            entries.push(entry(&hosts, pattern, methods.as_deref(), entries.len()));
            if Table::new(entries.clone()).is_err() {
                entries.pop();
            }
        }
        let table = Table::new(entries.clone()).unwrap();
        let host = host.map(|host| Host::parse(host).unwrap());
        let path = format!("/{}", segments.join("/"));
        for form in Forms::ALL.each() {
            let expected = reference(&entries, host.as_ref(), &method, path.as_bytes(), form);
            let mut found = Vec::new();
            let reading = Reading { path: path.as_bytes(), forms: form };
            let left = table.find_reading(host.as_ref(), &method, reading, |entry| found.push(match entry {
                Match::Found(place) => Ok(*place),
                Match::MethodNotAllowed(_) | Match::NotFound => Err(()),
            }));
            found.sort();
            prop_assert_eq!(&found, &expected, "{:?}", form);
            prop_assert_eq!(left, if expected.is_empty() { form } else { Forms::NONE });
        }
        // All forms at once: the union.
        let mut together = BTreeSet::new();
        let everything = Reading { path: path.as_bytes(), forms: Forms::ALL };
        table.find_reading(host.as_ref(), &method, everything, |entry| { together.insert(match entry {
            Match::Found(place) => Ok(*place),
            Match::MethodNotAllowed(_) | Match::NotFound => Err(()),
        }); });
        let separately: BTreeSet<_> = Forms::ALL.each()
            .flat_map(|form| reference(&entries, host.as_ref(), &method, path.as_bytes(), form)).collect();
        prop_assert_eq!(together, separately);
        // Where one look-up is said to suffice, it does.
        if let Ok(target) = Target::parse(&path) && table.one_look_up(&target) {
            prop_assert!(reference(&entries, host.as_ref(), &method, path.as_bytes(), Forms::CANONICAL).len() <= 1);
        }
    }

    #[test]
    fn hosts_parse_to_themselves(text in "[a-zA-Z0-9._:\\[\\]*@%-]{0,20}") {
        if let Ok(host) = Host::parse(&text) {
            let again = Host::parse(host.name()).unwrap();
            prop_assert_eq!(again.name(), host.name());
            prop_assert_eq!(again.port(), None);
        }
    }

    #[test]
    fn a_stripped_prefix_leaves_the_end_of_what_was_received(text in tricky(), route in prop::sample::select(vec!["/a", "/admin", "/", "/é", "/a/b"])) {
        if let Ok(target) = Target::parse(&text) {
            let route: RoutePath = route.parse().unwrap();
            match target.without_prefix(&route) {
                Some(rest) => prop_assert!(target.path().ends_with(rest) && (rest.is_empty() || rest.starts_with('/'))),
                None => {
                    let canonical = target.readings().next().unwrap().in_forms(Forms::CANONICAL);
                    prop_assert!(!route.holds_in(canonical));
                }
            }
        }
    }
}
