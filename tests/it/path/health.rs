//! Health checks of upstream servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::balancing::{healthy, open_to_all};
use super::gate::Gate;
use crate::support::reply::Reply;
use crate::support::until;
use crate::support::upstream::Upstream;

const CHECKS: &str =
    "health = { path = \"/up\", interval = \"50ms\", timeout = \"5s\", unhealthy_after = 2, healthy_after = 2 }";

/// A backend that passes its checks while the flag is set; it answers everything else in any case.
fn backend() -> (Upstream, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&well);
    let backend = Upstream::answering(move |request| match request.target.as_str() {
        "/up" if !flag.load(Ordering::SeqCst) => Reply::new(500, &[], ""),
        "/up" => Reply::new(204, &[], ""),
        _ => Reply::echo(request),
    });
    (backend, well)
}

/// Requests that were no checks.
fn served(backend: &Upstream) -> usize {
    backend
        .requests()
        .iter()
        .filter(|request| request.target != "/up")
        .count()
}

fn until_healthy(gate: &Gate, backend: &Upstream, wanted: bool) {
    until("the health changes", || {
        (healthy(gate, &backend.url()) == Some(wanted)).then_some(())
    });
}

#[test]
fn a_server_that_fails_its_checks_gets_no_requests() {
    let ((one, one_is_well), (other, other_is_well)) = (backend(), backend());
    let gate = Gate::start(&open_to_all(&[&one.url(), &other.url()], CHECKS));
    one.wait_for(2);
    assert_eq!(healthy(&gate, &one.url()), Some(true));
    one_is_well.store(false, Ordering::SeqCst);
    until_healthy(&gate, &one, false);
    let before = served(&one);
    for _ in 0..10 {
        assert_eq!(gate.get("/", "").status, 200);
    }
    assert_eq!((served(&one) - before, served(&other)), (0, 10));
    // If all fail, they are asked anyway; readiness is about the gateway, not about what stands behind it.
    other_is_well.store(false, Ordering::SeqCst);
    until_healthy(&gate, &other, false);
    for _ in 0..4 {
        assert_eq!(gate.get("/", "").status, 200);
    }
    assert_eq!((served(&one) - before, served(&other)), (2, 12));
    assert_eq!(gate.status_of("/readyz"), 200);
    one_is_well.store(true, Ordering::SeqCst);
    until_healthy(&gate, &one, true);
    for _ in 0..4 {
        assert_eq!(gate.get("/", "").status, 200);
    }
    assert_eq!((served(&one) - before, served(&other)), (6, 12));
    let lines = gate.process().lines();
    let told = |what: &str, server: &Upstream| {
        let server = format!("server={}", server.url());
        lines
            .iter()
            .filter(|line| line.contains(what) && line.contains(&server))
            .count()
    };
    assert_eq!(told("a server is unhealthy", &one), 1);
    assert_eq!(told("a server is unhealthy", &other), 1);
    assert_eq!(told("a server is healthy again", &one), 1);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("its check was answered with 500"))
    );
}

#[test]
fn what_checks_found_outlives_a_reload_and_a_server_that_is_gone_is_forgotten() {
    let ((ill, is_well), (goes, _), (comes, _)) = (backend(), backend(), backend());
    is_well.store(false, Ordering::SeqCst);
    let gate = Gate::start(&open_to_all(&[&ill.url(), &goes.url()], CHECKS));
    until_healthy(&gate, &ill, false);
    gate.write_config(&open_to_all(&[&comes.url(), &ill.url()], CHECKS));
    assert!(gate.reload());
    assert_eq!(healthy(&gate, &ill.url()), Some(false));
    assert_eq!(healthy(&gate, &goes.url()), None);
    assert_eq!(healthy(&gate, &comes.url()), Some(true));
    for _ in 0..6 {
        assert_eq!(gate.get("/", "").status, 200);
    }
    assert_eq!((served(&ill), served(&goes), served(&comes)), (0, 0, 6));
    // The one that is gone is not checked any more: at most the check that was under way.
    let (before, mark) = (goes.requests().len(), comes.requests().len());
    comes.wait_for(mark + 6);
    assert!(goes.requests().len() <= before + 1);
    // Without checks nothing is held against anybody.
    gate.write_config(&open_to_all(&[&comes.url(), &ill.url()], ""));
    assert!(gate.reload());
    until("the last check has ended", || {
        gate.reload();
        healthy(&gate, &ill.url())?.then_some(())
    });
}
