//! What goes wrong between the outbox and the mail server.

use super::{VERIFY, ask_reset, confirmed, finalize, gateway, register};
use crate::accounts::world::{Kind, World};
use crate::support::ports::free_port;
use crate::support::smtp::Smtp;
use crate::support::until;

on_both!(
    a_mail_that_is_put_off_is_sent_later_with_another_code,
    a_mail_that_is_refused_for_good_is_given_up,
    a_server_that_hangs_is_left_and_the_mail_sent_again,
    what_waits_when_the_gateway_is_killed_is_sent_by_the_next,
    replicas_share_the_work_and_send_once,
);

fn metric(gateway: &crate::accounts::world::Gateway, line: &str) {
    until(line, || {
        gateway.admin.get("/metrics").text().contains(line).then_some(())
    });
}

fn a_mail_that_is_put_off_is_sent_later_with_another_code(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain("451,421"));
    let gateway = gateway(&world, &smtp);
    register(&gateway, "alice", "alice@example.org").expect(201);
    let mail = smtp.mail(0);
    let line = gateway
        .process
        .wait_for_line(|line| line.contains("a mail was not sent and is tried again"));
    assert!(
        line.contains("the mail server answered 451: no, [...]") && !line.contains("alice"),
        "{line}"
    );
    metric(
        &gateway,
        "doorward_mails_total{kind=\"confirmation\",result=\"retried\"} 2",
    );
    // Three were minted; the server may have taken any of them.
    assert_eq!(world.count("SELECT count(*) FROM gateway_codes"), 3);
    finalize(&gateway, &mail.code()).expect(200);
    assert_eq!(world.count("SELECT count(*) FROM gateway_codes"), 0);
}

fn a_mail_that_is_refused_for_good_is_given_up(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain("550"));
    let gateway = gateway(&world, &smtp);
    register(&gateway, "alice", "alice@example.org").expect(201);
    let line = gateway
        .process
        .wait_for_line(|line| line.contains("a mail was given up"));
    // What the server said, but for the address in it.
    assert!(
        line.contains("the mail server refused it with 550: no, [...]"),
        "{line}"
    );
    assert!(!line.contains("alice"), "{line}");
    metric(
        &gateway,
        "doorward_mails_total{kind=\"confirmation\",result=\"given_up\"} 1",
    );
    // Others are not held up.
    register(&gateway, "bob", "bob@example.org").expect(201);
    assert_eq!(smtp.mail(0).to, "bob@example.org");
}

fn a_server_that_hangs_is_left_and_the_mail_sent_again(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain("hang"));
    let config = format!("{VERIFY}{}", smtp.config("smtp", "")).replace("'20s'", "'1s'");
    let gateway = world.gateway(&config);
    register(&gateway, "alice", "alice@example.org").expect(201);
    smtp.process.wait_for_line(|line| line.contains("hang"));
    finalize(&gateway, &smtp.mail(0).code()).expect(200);
    metric(
        &gateway,
        "doorward_mails_total{kind=\"confirmation\",result=\"retried\"} 1",
    );
}

fn what_waits_when_the_gateway_is_killed_is_sent_by_the_next(kind: Kind) {
    let (world, port) = (World::new(kind), free_port());
    let config =
        format!("{VERIFY}[mail]\nurl = 'smtp://127.0.0.1:{port}'\nfrom = 'gate@gateway.test'\nretry = '100ms'\n");
    let gateway = world.gateway(&config);
    // Nobody listens there: the request is answered all the same, and the row is there.
    register(&gateway, "alice", "alice@example.org").expect(201);
    gateway
        .process
        .wait_for_line(|line| line.contains("a mail was not sent and is tried again"));
    gateway.kill();
    assert_eq!(
        world.count("SELECT count(*) FROM gateway_outbox WHERE settled_at IS NULL"),
        1
    );
    // Whoever was at it is dead: the lease is what it would be a minute later.
    world.sql("UPDATE gateway_outbox SET due_at = 0");
    let smtp = Smtp::start(&["--security", "plain", "--port", &port.to_string()]);
    let gateway = world.gateway(&config);
    finalize(&gateway, &smtp.mail(0).code()).expect(200);
}

fn replicas_share_the_work_and_send_once(kind: Kind) {
    let (world, smtp) = (World::new(kind), Smtp::plain(""));
    let gateways = [gateway(&world, &smtp), gateway(&world, &smtp)];
    confirmed(&gateways[0], &smtp, "alice", "alice@example.org");
    for index in 0..10 {
        register(
            &gateways[index % 2],
            &format!("user{index}"),
            &format!("user{index}@example.org"),
        )
        .expect(201);
    }
    ask_reset(&gateways[1], "alice@example.org").expect(200);
    smtp.mail(11);
    until("nothing that waits", || {
        (world.count("SELECT count(*) FROM gateway_outbox WHERE settled_at IS NULL") == 0).then_some(())
    });
    let mut recipients: Vec<_> = (0..smtp.count())
        .map(|index| smtp.mail(index).header("Message-ID"))
        .collect();
    recipients.sort();
    recipients.dedup();
    assert_eq!((recipients.len(), smtp.count()), (12, 12));
}
