//! Every worker carries its share of the connections: the acceptor's count says so, and the threads that wake up.

use std::collections::BTreeMap;
use std::fs;

use super::gate::{Gate, open_to};
use crate::support::client::Protocol;
use crate::support::raw::RawClient;
use crate::support::until;
use crate::support::upstream::Upstream;

const WORKERS: usize = 4;
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// Requests over one connection while its worker is found out: many more than a worker wakes up for by its own clock.
const REQUESTS: usize = 60;

fn gate(backend: &Upstream) -> Gate {
    Gate::with_tls(&(format!("workers = {WORKERS}\n") + &open_to(&backend.url())))
}

/// What the gateway says each worker has.
fn shares(gate: &Gate) -> Vec<usize> {
    let share = |worker| gate.metric(&format!("doorward_worker_connections{{worker=\"{worker}\"}}"));
    (0..WORKERS).map(|worker| share(worker) as usize).collect()
}

/// How often each worker's thread has gone to sleep by itself: once at least for each request that it carries.
fn naps(gate: &Gate) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", gate.process().id())).unwrap() {
        let folder = task.unwrap().path();
        let name = fs::read_to_string(folder.join("comm"))
            .unwrap_or_default()
            .trim()
            .to_owned();
        let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        if let (true, Some(count)) = (name.starts_with("worker-"), count) {
            found.insert(name, count.trim().parse().unwrap());
        }
    }
    assert_eq!(found.len(), WORKERS, "{found:?}");
    found
}

/// The worker that woke up the most while this was done.
fn busiest(gate: &Gate, work: impl FnOnce()) -> String {
    let before = naps(gate);
    work();
    let after = naps(gate);
    let growth = |name: &String| after[name] - before[name];
    before.keys().max_by_key(|name| growth(name)).unwrap().clone()
}

#[test]
fn every_worker_carries_as_many_http1_connections() {
    let backend = Upstream::start();
    let gate = gate(&backend);
    let mut clients: Vec<RawClient> = (0..2 * WORKERS).map(|_| gate.connect()).collect();
    until("the shares", || (shares(&gate) == [2; WORKERS]).then_some(()));
    let mut carried: BTreeMap<String, usize> = BTreeMap::new();
    for client in &mut clients {
        let worker = busiest(&gate, || {
            for _ in 0..REQUESTS {
                assert_eq!(client.send(REQUEST).response().status, 200);
            }
        });
        *carried.entry(worker).or_default() += 1;
    }
    assert_eq!(
        carried.values().copied().collect::<Vec<_>>(),
        [2; WORKERS],
        "{carried:?}"
    );
    // Who leaves makes room on their worker, and the next go there.
    let left = clients.split_off(WORKERS);
    drop(clients);
    until("those who left", || {
        (shares(&gate).iter().sum::<usize>() == WORKERS).then_some(())
    });
    let come: Vec<RawClient> = (0..3 * WORKERS).map(|_| gate.connect()).collect();
    until("the shares are even again", || {
        (shares(&gate) == [4; WORKERS]).then_some(())
    });
    drop((left, come));
    until("all are gone", || (shares(&gate) == [0; WORKERS]).then_some(()));
}

/// Few connections with many requests each: with a listener for each worker the kernel's hash would spread them badly.
#[test]
fn every_worker_carries_one_of_few_http2_connections() {
    let backend = Upstream::start();
    let gate = gate(&backend);
    let clients: Vec<_> = (0..WORKERS).map(|_| gate.tls_client(Protocol::Http2)).collect();
    for client in &clients {
        client.get("/").expect(200);
    }
    until("the shares", || (shares(&gate) == [1; WORKERS]).then_some(()));
    let mut carried: Vec<String> = clients
        .iter()
        .map(|client| {
            busiest(&gate, || {
                for _ in 0..REQUESTS {
                    client.get("/").expect(200);
                }
            })
        })
        .collect();
    carried.sort();
    let each: Vec<String> = (0..WORKERS).map(|worker| format!("worker-{worker}")).collect();
    assert_eq!(carried, each);
}
