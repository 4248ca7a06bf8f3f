//! Who gets which request.

use std::collections::BTreeMap;

use super::super::balance::Order;
use super::super::health::Fitness;
use super::*;

const LEASE: Duration = Duration::from_secs(2);

fn peers(count: u16) -> Vec<Arc<Peer>> {
    let names: Arc<dyn Names> = Arc::new(Libc);
    let peer = |number: u16| {
        let place = Place::Tcp {
            host: "127.0.0.1".into(),
            port: 9000 + number,
        };
        let protocol = Protocol::Http;
        Arc::new(Peer::new(Server { protocol, place }, None, &names))
    };
    (0..count).map(peer).collect()
}

fn number(peers: &[Arc<Peer>], peer: &Arc<Peer>) -> usize {
    peers.iter().position(|one| Arc::ptr_eq(one, peer)).unwrap()
}

/// All servers in the order in which one request would try them.
fn order(balance: Balance, peers: &[Arc<Peer>], turn: usize, key: u64) -> Vec<usize> {
    let mut order = Order::new(balance, peers, turn, key);
    std::iter::from_fn(|| order.next(LEASE))
        .map(|chosen| number(peers, chosen.peer))
        .collect()
}

fn fail(peer: &Arc<Peer>) {
    peer.health().unreachable(false, peer.named("test"), &"refused");
}

#[test]
fn every_server_is_tried_once() {
    for balance in [Balance::RoundRobin, Balance::LeastRequests, Balance::ClientHash] {
        for count in [1, 2, 5] {
            let peers = peers(count);
            for turn in [0, 1, 7, usize::MAX] {
                let mut order = order(balance, &peers, turn, 42);
                order.sort_unstable();
                assert_eq!(order, (0..usize::from(count)).collect::<Vec<_>>(), "{balance:?}");
            }
        }
        assert!(order(balance, &[], 3, 42).is_empty());
    }
}

#[test]
fn turns_are_fair_also_when_a_server_drops_out() {
    let peers = peers(4);
    let first = |turn| order(Balance::RoundRobin, &peers, turn, 0)[0];
    assert_eq!([0, 1, 2, 3, 4].map(first), [0, 1, 2, 3, 0]);
    fail(&peers[1]);
    for balance in [Balance::RoundRobin, Balance::LeastRequests] {
        let mut counts = BTreeMap::new();
        for turn in 0..300 {
            *counts.entry(order(balance, &peers, turn, 0)[0]).or_insert(0) += 1;
        }
        assert_eq!(counts, BTreeMap::from([(0, 100), (2, 100), (3, 100)]), "{balance:?}");
    }
    // Behind all others it is still there.
    assert_eq!(order(Balance::RoundRobin, &peers, 0, 0).last(), Some(&1));
}

#[test]
fn the_least_busy_gets_the_request_and_equals_take_turns() {
    let peers = peers(3);
    let first = |turn| order(Balance::LeastRequests, &peers, turn, 0)[0];
    assert_eq!([0, 1, 2, 3].map(first), [0, 1, 2, 0]);
    let busy = [0, 0, 2].map(|place| limit::Visit::new(peers[place].clone()));
    assert_eq!([0, 1, 2].map(first), [1, 1, 1]);
    assert_eq!(order(Balance::LeastRequests, &peers, 0, 0), [1, 2, 0]);
    drop(busy);
    assert_eq!([0, 1, 2].map(first), [0, 1, 2]);
}

#[test]
fn a_client_stays_with_its_server_and_few_move_when_servers_change() {
    let peers = peers(5);
    let home = |peers: &[Arc<Peer>], key| order(Balance::ClientHash, peers, 3, key)[0];
    let homes: Vec<usize> = (0..5000).map(|key| home(&peers, key)).collect();
    for place in 0..5 {
        let share = homes.iter().filter(|home| **home == place).count();
        assert!(
            (850..1150).contains(&share),
            "server {place} has {share} of 5000 clients"
        );
    }
    // Neighbouring addresses spread, and the turn does not matter.
    assert_ne!(homes[..8], [homes[0]; 8]);
    assert_eq!(
        order(Balance::ClientHash, &peers, 0, 7),
        order(Balance::ClientHash, &peers, 4, 7)
    );
    // One server less: only its clients move. The order of the configuration does not matter.
    let mut fewer = peers.clone();
    fewer.remove(2);
    fewer.reverse();
    for (key, before) in (0..5000).zip(&homes) {
        let after = &fewer[home(&fewer, key)];
        if *before == 2 {
            assert!(!Arc::ptr_eq(after, &peers[2]));
        } else {
            assert!(Arc::ptr_eq(after, &peers[*before]), "client {key} moved");
        }
    }
    // So it is while a server is away, and they come home afterwards.
    fail(&peers[2]);
    for (key, before) in (0..5000).zip(&homes) {
        let now = home(&peers, key);
        assert!(if *before == 2 { now != 2 } else { now == *before });
    }
    peers[2].health().connected(peers[2].named("test"));
    assert_eq!(home(&peers, 7), homes[7]);
}

#[test]
fn one_request_finds_out_about_a_server_and_only_in_its_turn() {
    let peers = peers(3);
    fail(&peers[0]);
    health::skip(Duration::from_secs(1));
    let chosen = |turn| {
        let mut order = Order::new(Balance::RoundRobin, &peers, turn, 0);
        let chosen = order.next(LEASE).unwrap();
        (number(&peers, chosen.peer), chosen.probing)
    };
    assert_eq!(chosen(1), (1, false));
    assert_eq!(chosen(0), (0, true));
    // Nobody else goes there meanwhile.
    for turn in 0..10 {
        assert_ne!(chosen(turn).0, 0);
    }
    // A request that has failed goes where it is safe first.
    fail(&peers[1]);
    health::skip(Duration::from_secs(10));
    let mut order = Order::new(Balance::RoundRobin, &peers, 0, 0);
    let tried = std::iter::from_fn(|| order.next(LEASE)).map(|chosen| (number(&peers, chosen.peer), chosen.probing));
    assert_eq!(tried.collect::<Vec<_>>(), [(0, true), (2, false), (1, true)]);
}

#[test]
fn where_none_is_fit_one_is_tried_anyway() {
    let peers = peers(3);
    for peer in &peers {
        fail(peer);
        assert_eq!(peer.health().fitness(), Fitness::Unfit);
    }
    let first = |turn| order(Balance::RoundRobin, &peers, turn, 0)[0];
    assert_eq!([0, 1, 2, 3].map(first), [0, 1, 2, 0]);
}
