//! Tests of what mails say and look like.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;

use super::template::{Template, escape_html, one_line};
use super::*;
use crate::store::MailKind;

fn settings() -> Settings {
    Settings {
        server: Server {
            host: "127.0.0.1".into(),
            port: 25,
            security: Security::Plain,
            login: None,
        },
        from: mailbox("Gäte <gate@example.org>").unwrap(),
        subject: "Bestätigen".into(),
        subject_reset: "Reset".into(),
        confirmation: Link::new("https://x.example/#/finalize".into()),
        reset: Link::new("https://x.example/reset".into()),
        site: "https://x.example".into(),
        forgot: "https://x.example/auth/forgot".into(),
        templates: Templates::new(|_| None).unwrap(),
        timeout: Duration::from_secs(1),
        retry: Duration::from_secs(1),
        give_up: Duration::from_secs(1),
    }
}

fn facts<'a>(to: &'a str, name: &'a str) -> Facts<'a> {
    Facts {
        id: "0123",
        kind: MailKind::Confirmation,
        to,
        name,
        link: "https://x.example/?a=1&token=abc",
        code: "abc",
        valid_for: Duration::from_secs(900),
        repeatable: false,
        now: 1_800_000_000_000,
    }
}

#[test]
fn a_code_is_appended_where_the_page_reads_it() {
    for (url, link) in [
        ("https://x/confirm", "https://x/confirm?token=c"),
        ("https://x/confirm?a=1", "https://x/confirm?a=1&token=c"),
        ("https://x/#/finalize", "https://x/#/finalize?token=c"),
        ("https://x/?a=1#/finalize", "https://x/?a=1#/finalize?token=c"),
        ("https://x/#/finalize?a=1", "https://x/#/finalize?a=1&token=c"),
    ] {
        assert_eq!(Link::new(url.into()).with("c"), link);
    }
}

#[test]
fn waits_double_up_to_an_hour() {
    let seconds = |attempt, luck| backoff(Duration::from_secs(30), attempt, luck).as_millis();
    assert_eq!((seconds(1, 255), seconds(1, 0)), (30_000, 22_500));
    assert_eq!((seconds(2, 255), seconds(4, 255)), (60_000, 240_000));
    for attempt in [8, 100, i64::MAX] {
        assert_eq!(seconds(attempt, 255), 3_600_000);
    }
    assert_eq!(seconds(0, 255), 30_000);
}

#[test]
fn mistakes_of_templates_are_told_with_their_lines() {
    let mistakes = |text: &str| Template::parse("name_taken.txt", text).unwrap_err();
    assert_eq!(
        mistakes("a\nb {{ nmae }}\n{{x}}")
            .iter()
            .map(|one| one.line)
            .collect::<Vec<_>>(),
        [2, 3]
    );
    assert!(
        mistakes("a\n\n{{ name")
            .remove(0)
            .to_string()
            .starts_with("name_taken.txt, line 3: ")
    );
    let without = Template::parse("reset.html", "Hello {{ name }}").unwrap_err();
    assert!(without[0].what.contains("{{ link }}"), "{}", without[0]);
    let both = Templates::new(|file| file.ends_with(".html").then(|| "{{".to_owned())).unwrap_err();
    assert_eq!(both.len(), 4);
    assert!(Template::parse("name_taken.txt", "} { {name} %").is_ok());
}

#[test]
fn a_message_is_what_the_standards_say() {
    let message = message::compose(&settings(), &facts("alice@example.org", "<b>Zoë</b>")).unwrap();
    let text = String::from_utf8(message.bytes).unwrap();
    for line in [
        "To: alice@example.org\r\n",
        "Message-ID: <0123@example.org>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n",
        "MIME-Version: 1.0\r\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.contains("Subject: =?utf-8?b?") && text.is_ascii(), "{text}");
    let body = text.replace("=\r\n", "").replace("=3D", "=");
    assert!(
        body.contains("&lt;b&gt;Zo") && body.contains("?a=1&amp;token=abc"),
        "{body}"
    );
    assert!(body.contains("https://x.example/?a=1&token=abc\r\n"), "{body}");
    let envelope = message.envelope;
    assert_eq!(envelope.to()[0].to_string(), "alice@example.org");
}

proptest! {
    /// Whatever a name or an address is, the header has the fields that it has for an ordinary one.
    #[test]
    fn no_value_makes_a_header_field(name in any::<String>(), to in any::<String>(), tail in "[\r\n]{1,2}Bcc: x@y") {
        let names = |bytes: Vec<u8>| -> Vec<String> {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let head = text.split("\r\n\r\n").next().unwrap().to_owned();
            head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split(':').next().unwrap().to_owned()).collect()
        };
        let ordinary = names(message::compose(&settings(), &facts("a@b.example", "alice")).unwrap().bytes);
        let name = format!("{name}{tail}");
        let odd = names(message::compose(&settings(), &facts("a@b.example", &name)).unwrap().bytes);
        prop_assert_eq!(&odd, &ordinary);
        for to in [to.clone(), format!("a@b.example{tail}")] {
            if let Ok(message) = message::compose(&settings(), &facts(&to, "alice")) {
                prop_assert_eq!(message.envelope.to().len(), 1);
                prop_assert_eq!(&names(message.bytes), &ordinary);
            }
        }
    }

    #[test]
    fn html_holds_nothing_that_is_not_text(value in any::<String>()) {
        let template = Template::parse("name_taken.html", "<p title=\"{{ name }}\">").unwrap();
        let page = template.render(|_| value.clone(), escape_html);
        let inside = page.strip_prefix("<p title=\"").and_then(|rest| rest.strip_suffix("\">")).unwrap();
        prop_assert!(!inside.contains(['<', '>', '"', '\'']));
        prop_assert!(!one_line(&value).contains(['\r', '\n']));
    }

    #[test]
    fn any_text_is_a_template_or_a_mistake(text in any::<String>()) {
        let _ = Template::parse("name_taken.txt", &text);
        let braced = format!("{{{{{text}}}}}");
        let _ = Template::parse("name_taken.txt", &braced);
    }
}
