//! What targets and routes cost: `cargo bench --bench route`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench may stop where it is wrong"
)]

use divan::{Bencher, black_box};
use doorward::route::{Entry, Host, Match, PathPattern, Table, Target};
use http::Method;

fn main() {
    divan::main();
}

/// Routes spread over hosts as an operator with many of them would have it: ten of each host.
fn table(routes: usize) -> Table<usize> {
    let entries = (0..routes).map(|number| Entry {
        hosts: vec![format!("host{}.example.com", number / 10).parse().expect("a host")],
        pattern: PathPattern::prefix(&format!("/service{}/api", number % 10)).expect("a path"),
        methods: None,
        value: number,
    });
    Table::new(entries.collect()).expect("no conflicts")
}

/// A thousand hosts and one path each would be too easy: all routes under one host.
fn flat_table(routes: usize) -> Table<usize> {
    let entries = (0..routes).map(|number| Entry {
        hosts: Vec::new(),
        pattern: PathPattern::prefix(&format!("/service{number}/api")).expect("a path"),
        methods: None,
        value: number,
    });
    Table::new(entries.collect()).expect("no conflicts")
}

#[divan::bench]
fn parse_simple(bencher: Bencher) {
    bencher.bench(|| Target::parse(black_box("/service7/api/v1/items/1234567?page=2")).is_ok());
}

#[divan::bench(args = [
    "/service7/api/v1/Items/ABC",
    "/service7/api/my%20file.txt",
    "/group%2Fproject/-/merge_requests",
    "/dav/files/alice/B%C3%BCro/Stra%C3%9Fe.pdf",
])]
fn parse_with_escapes(bencher: Bencher, target: &str) {
    bencher.bench(|| Target::parse(black_box(target)).is_ok());
}

/// The dearest targets there are: what a hostile client can make one request cost.
#[divan::bench(args = ["A%2f%3f;//%25", "%EF%B7%BA", "%C3%89%CC%88", "//", "A", "%2541", "%cc%81"])]
fn parse_hostile(bencher: Bencher, piece: &str) {
    for length in [1000, 3000, 8000, 16000] {
        let target = format!("/{}", piece.repeat(length / piece.len()));
        let started = std::time::Instant::now();
        let outcome = Target::parse(&target).map(|target| target.readings().count());
        eprintln!("{length} bytes of {piece}: {outcome:?} in {:?}", started.elapsed());
    }
    let target = format!("/{}", piece.repeat(16_000 / piece.len()));
    bencher.bench(|| Target::parse(black_box(&target)).is_ok());
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn find(bencher: Bencher, routes: usize) {
    let table = table(routes);
    // A different route each time, so that the caches see what a gateway with as many busy services would; a thousand
    // look-ups an iteration, since the clock costs as much as one.
    let requests: Vec<_> = (0..1000)
        .map(|number| number * 7919 % routes)
        .map(|route| {
            let host = Host::parse(&format!("host{}.example.com", route / 10))
                .expect("a host")
                .into_owned();
            (host, format!("/service{}/api/v1/items/1234567", route % 10))
        })
        .collect();
    bencher
        .counter(divan::counter::ItemsCount::new(requests.len()))
        .bench_local(|| {
            let found = |(host, path): &&(Host<'static>, String)| {
                matches!(table.find(Some(host), &Method::GET, path.as_bytes()), Match::Found(_))
            };
            assert_eq!(requests.iter().filter(found).count(), requests.len());
        });
}

#[divan::bench(args = [10, 10_000])]
fn find_in_one_of(bencher: Bencher, routes: usize) {
    let table = table(routes);
    let host = Host::parse("host0.example.com").ok();
    bencher.bench(|| {
        matches!(
            table.find(
                black_box(host.as_ref()),
                &Method::GET,
                black_box(b"/service7/api/v1/items/1234567")
            ),
            Match::Found(_)
        )
    });
}

#[divan::bench(args = [10, 10_000])]
fn find_without_hosts(bencher: Bencher, routes: usize) {
    let table = flat_table(routes);
    bencher.bench(|| {
        matches!(
            table.find(None, &Method::GET, black_box(b"/service7/api/v1/items/1234567")),
            Match::Found(_)
        )
    });
}
