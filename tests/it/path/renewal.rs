//! Certificates that are renewed by whoever issues them: nobody tells the gateway, and nobody is cut off.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::gate::{Gate, open_to};
use crate::support::certificates::Certificate;
use crate::support::client::Protocol;
use crate::support::raw::RawClient;
use crate::support::until;
use crate::support::upstream::Upstream;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn connect(gate: &Gate) -> RawClient {
    let config = gate.authority().trusting_client(&["http/1.1"]);
    RawClient::connect_tls(gate.listener(1), "localhost", config)
}

fn shows(gate: &Gate, certificate: &Certificate) -> bool {
    let der = CertificateDer::from_pem_slice(certificate.certificate.as_bytes()).unwrap();
    connect(gate).server_certificates()[0] == der.to_vec()
}

fn renewals(gate: &Gate, result: &str) -> f64 {
    gate.metric(&format!("doorward_certificate_reloads_total{{result={result:?}}}"))
}

#[test]
fn new_files_are_taken_up_and_bad_ones_are_not() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let mut open = connect(&gate);
    assert_eq!(open.send(GET).response().status, 200);
    let issue = || gate.authority().server(&["localhost"]);
    let (first, second) = (issue(), issue());

    first.write(gate.folder(), "server");
    until("the new certificate is shown", || shows(&gate, &first).then_some(()));
    until("it is counted", || (renewals(&gate, "ok") == 1.0).then_some(()));
    let mark = gate.process().mark();
    fs::write(gate.folder().join("server.key"), &second.key).unwrap();
    until("the half of a pair is refused", || {
        (renewals(&gate, "refused") == 1.0).then_some(())
    });
    assert!(shows(&gate, &first));
    let line = gate
        .process()
        .wait_for_line_after(mark, |line| line.contains("changed certificates cannot be used"));
    assert!(line.contains("ERROR") && line.contains("server.key"), "{line}");
    fs::write(gate.folder().join("server.crt"), &second.certificate).unwrap();
    until("the other half is there", || shows(&gate, &second).then_some(()));

    let mark = gate.process().mark();
    fs::remove_file(gate.folder().join("server.crt")).unwrap();
    until("that it is gone is told", || {
        (renewals(&gate, "refused") == 2.0).then_some(())
    });
    assert!(shows(&gate, &second));
    // One that has ended is shown, with a warning: whether that is worse than none is not ours to say.
    let expired = gate.authority().expired_server(&["localhost"]);
    expired.write(gate.folder(), "server");
    gate.process()
        .wait_for_line_after(mark, |line| line.contains("WARN") && line.contains("has expired"));
    until("its end is told", || {
        (gate.metric(r#"doorward_certificate_expiry_seconds{name="localhost"}"#) < 0.0).then_some(())
    });
    first.write(gate.folder(), "server");
    until("the first is shown again", || {
        let config = gate.authority().trusting_client(&[]);
        let connected = RawClient::try_connect_tls(gate.listener(1), "localhost", config).is_ok();
        (connected && shows(&gate, &first)).then_some(())
    });
    until("its end is told", || {
        (gate.metric(r#"doorward_certificate_expiry_seconds{name="localhost"}"#) > 0.0).then_some(())
    });
    assert_eq!(open.send(GET).response().status, 200, "who was in stays in");
    assert_eq!(gate.metric(r#"doorward_config_reloads_total{result="ok"}"#), 0.0);
}

#[test]
fn a_folder_that_is_exchanged_by_its_link_is_seen() {
    let backend = Upstream::start();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mounted");
    fs::create_dir(&place).unwrap();
    let gate = {
        // As Kubernetes lays out a mounted secret: files that lead through `..data` to a folder of this version.
        fs::create_dir(place.join("..1")).unwrap();
        symlink("..1", place.join("..data")).unwrap();
        for name in ["server.crt", "server.key"] {
            symlink(format!("..data/{name}"), place.join(name)).unwrap();
        }
        let certificate = crate::support::certificates::Authority::new().server(&["localhost"]);
        certificate.write(&place.join("..1"), "server");
        let config = Gate::with_tls_config(&open_to(&backend.url())).replace("\"server.", "\"mounted/server.");
        Gate::started_in(folder, &config)
    };
    let place = gate.folder().join("mounted");
    let new = gate.authority().server(&["localhost"]);
    fs::create_dir(place.join("..2")).unwrap();
    new.write(&place.join("..2"), "server");
    symlink("..2", place.join("..data.new")).unwrap();
    fs::rename(place.join("..data.new"), place.join("..data")).unwrap();
    fs::remove_dir_all(place.join("..1")).unwrap();
    until("the new version is shown", || {
        let config = gate.authority().trusting_client(&[]);
        let connected = RawClient::try_connect_tls(gate.listener(1), "localhost", config).is_ok();
        (connected && shows(&gate, &new)).then_some(())
    });
    assert_eq!(renewals(&gate, "refused"), 0.0);
}

#[test]
fn nobody_is_cut_off_while_certificates_are_renewed_twenty_times() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let busy = || !done.load(Ordering::Relaxed);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while busy() {
                    let response = connect(&gate).send(GET).response();
                    assert_eq!(response.status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut client = connect(&gate);
            while busy() {
                let response = client.send(GET).response();
                assert!(response.status == 200 && response.keeps_alive());
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            let client = gate.tls_client(Protocol::Http2);
            while busy() {
                client.get("/").expect(200);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        let renewing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..20 {
                let new = gate.authority().server(&["localhost"]);
                new.write(gate.folder(), "server");
                until("the new certificate is shown", || shows(&gate, &new).then_some(()));
                let so_far = served.load(Ordering::Relaxed);
                until("requests between two renewals", || {
                    (served.load(Ordering::Relaxed) > so_far).then_some(())
                });
            }
        }));
        done.store(true, Ordering::Relaxed);
        renewing.unwrap();
    });
    assert_eq!(gate.metric(r#"doorward_tls_handshakes_total{result="timeout"}"#), 0.0);
    assert_eq!(gate.metric(r#"doorward_tls_handshakes_total{result="failed"}"#), 0.0);
    assert!(served.load(Ordering::Relaxed) > 100);
}
