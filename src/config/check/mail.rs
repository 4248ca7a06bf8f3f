//! `[mail]`.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::field;
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report, quoted};
use crate::mail::{Link, Security, Server, Settings, TEMPLATES, Templates, mailbox};
use crate::secret::Secret;

/// The largest template.
const LARGEST_TEMPLATE: u64 = 256 << 10;

/// What other tables say that matters here.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The first of `endpoints.hosts`.
    pub host: Option<&'a str>,
    /// What tokens say as their issuer.
    pub issuer: Option<&'a str>,
    /// Whether nothing that is configured says so, and it was made up.
    pub assumed: bool,
    /// Whether clients can reach the gateway over https, at itself or at a proxy.
    pub https: bool,
    /// The prefix of the pages.
    pub pages: Option<&'a str>,
}

/// `[mail]`; no URL: no mail.
pub fn mail(mail: &file::Mail, around: Surroundings<'_>, report: &mut Report<'_>) -> Option<Option<Settings>> {
    let key = KeyPath::of("mail");
    let password = field::secret_text(
        report,
        (&key.key("password"), &mail.password),
        (&key.key("password_file"), &mail.password_file),
    );
    let templates = templates(&mail.templates, report);
    let spans = spans(mail, report);
    let subjects = [
        subject(report, &key.key("subject"), &mail.subject),
        subject(report, &key.key("subject_reset"), &mail.subject_reset),
    ];
    if mail.url.is_empty() {
        for (name, set) in [
            ("from", !mail.from.is_empty()),
            ("templates", !mail.templates.is_empty()),
        ] {
            if set {
                report.warn(Fault::at(&key.key(name), "it has no effect: mail.url names no server"));
            }
        }
        return (password.is_some() && templates.is_some() && spans.is_some()).then_some(None);
    }
    let server = server(mail, password, report);
    let from = mailbox(&mail.from);
    if from.is_none() {
        report.error(
            Fault::at(
                &key.key("from"),
                "the sender, such as \"Shop <noreply@shop.example.com>\"",
            )
            .found(quoted(&mail.from)),
        );
    }
    let named = site(around);
    let site = named.clone().unwrap_or_else(|| "https://localhost:8443".to_owned());
    let page = |name: &str| around.pages.map(|pages| format!("{site}{pages}/{name}"));
    let confirmation = link(
        report,
        &key.key("confirmation_url"),
        &mail.confirmation_url,
        page("confirm"),
    );
    let reset = link(report, &key.key("reset_url"), &mail.reset_url, page("reset"));
    // Nobody is told of this machine where anything says better.
    let configured = [&mail.reset_url, &mail.confirmation_url];
    let known = configured.into_iter().find(|text| named.is_none() && !text.is_empty());
    let (people_know, forgot) = match known {
        Some(url) => (origin(url), origin(url)),
        None => (site.clone(), page("forgot").unwrap_or_else(|| site.clone())),
    };
    let [subject, subject_reset] = subjects;
    let (timeout, retry, give_up) = spans?;
    let settings = Settings {
        server: server?,
        from: from?,
        subject: subject?,
        subject_reset: subject_reset?,
        confirmation: confirmation?,
        reset: reset?,
        forgot,
        site: people_know,
        templates: templates?,
        timeout,
        retry,
        give_up,
    };
    // Of mail that is right; what is wrong is said first.
    let own = [
        ("confirmation_url", &mail.confirmation_url),
        ("reset_url", &mail.reset_url),
    ];
    if let Some((name, _)) = own.iter().find(|(_, text)| text.is_empty()) {
        reach_of_links(around, &key.key(name), named.as_deref(), &site, report);
    }
    Some(Some(settings))
}

/// What people call the gateway, if anything configured says it. Never what a request says: its Host is the client's own word.
fn site(around: Surroundings<'_>) -> Option<String> {
    let issuer = around.issuer.filter(|issuer| issuer.starts_with("https://"));
    if around.assumed {
        return None;
    }
    match (around.host, issuer) {
        // The issuer may have a port, and is then the same host.
        (Some(host), Some(issuer)) if Url::parse(issuer).is_ok_and(|url| url.host_str() == Some(host)) => {
            Some(origin(issuer))
        }
        (Some(host), _) => Some(format!("https://{host}")),
        (None, Some(issuer)) => Some(origin(issuer)),
        (None, None) => None,
    }
}

/// Whether people can follow links to the gateway's own pages.
fn reach_of_links(around: Surroundings<'_>, key: &KeyPath, named: Option<&str>, site: &str, report: &mut Report<'_>) {
    let Some(pages) = around.pages else { return };
    let hint = "set endpoints.hosts or tokens.issuer to what people call the gateway, or mail.confirmation_url and \
        mail.reset_url to pages of your own";
    let what = if named.is_none() {
        "nothing says what people call the gateway: links in mails will lead to this machine of whoever reads them"
    } else if !around.https {
        "links in mails will be https, and no listener here is, nor is one of trusted_proxies set that could be"
    } else {
        return;
    };
    let what = format!("{what} ({site}{pages}/confirm, {site}{pages}/reset)");
    report.warn(Fault::at(key, what).hint(hint));
}

fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization())
}

fn server(mail: &file::Mail, password: Option<Option<Secret<String>>>, report: &mut Report<'_>) -> Option<Server> {
    let key = KeyPath::of("mail.url");
    let accepted = "smtps://user@host:465, smtp+starttls://user@host:587, or smtp://127.0.0.1:25";
    let text = mail.url.0.expose().as_str();
    let mut wrong = |hint: &str| {
        report.error(Fault::at(&key, accepted).hint(hint));
        None
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong("the scheme says what is on the wire");
    };
    let (security, port) = match scheme {
        "smtps" => (Security::Tls, 465),
        "smtp+starttls" => (Security::StartTls, 587),
        "smtp" => (Security::Plain, 25),
        _ => return wrong("other schemes are not supported"),
    };
    // Parsed as a URL whose rules for hosts are known.
    let Ok(url) = Url::parse(&format!("mailserver://{rest}")) else {
        return wrong("this is no URL");
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong("a path or parameters have no meaning here");
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return wrong("the URL names no host");
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if security == Security::Plain && !is_this_machine(&host) {
        return wrong("without TLS only to this machine: use smtps:// or smtp+starttls://");
    }
    let user = percent_decoded(url.username());
    let login = match (user.is_empty(), url.password(), password?) {
        (_, Some(_), Some(_)) => return wrong("the password stands in the URL and beside it: keep one of the two"),
        (true, None, None) => None,
        (true, _, _) => return wrong("a password needs a user: write smtps://user@host"),
        (false, Some(password), None) => Some((user, Secret::new(percent_decoded(password)))),
        (false, None, Some(password)) => Some((user, password)),
        (false, None, None) => return wrong("the user needs a password: set mail.password_file"),
    };
    Some(Server {
        host,
        port: url.port().unwrap_or(port),
        security,
        login,
    })
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn percent_decoded(text: &str) -> String {
    // A form's rules, less its plus sign.
    let kept = text.replace('+', "%2B");
    let decoded = form_urlencoded::parse(kept.as_bytes()).next();
    decoded.map_or_else(String::new, |(name, _)| name.into_owned())
}

fn link(report: &mut Report<'_>, key: &KeyPath, text: &str, page: Option<String>) -> Option<Link> {
    if text.is_empty() {
        if page.is_none() {
            report.error(
                Fault::at(key, "the URL that links in mails lead to")
                    .hint("endpoints.pages is switched off, so there is no page of the gateway's own"),
            );
        }
        return page.map(Link::new);
    }
    let local = |url: &Url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let web = |url: &Url| ["https", "http"].contains(&url.scheme()) && url.host().is_some();
    let bare = |character: char| character.is_ascii_graphic() && !"\"<>".contains(character);
    match Url::parse(text) {
        Ok(url) if web(&url) && text.chars().all(bare) => {
            if url.scheme() == "http" && !local(&url) {
                let what = "the code stands in the link: whoever sees the traffic to it can use it first";
                let hint = "serve the page over https";
                report.warn(Fault::at(key, what).found(quoted(text)).hint(hint));
            }
            Some(Link::new(text.to_owned()))
        }
        _ => {
            report.error(
                Fault::at(
                    key,
                    "an https URL (or http, with a warning), such as \"https://shop.example.com/confirm\"",
                )
                .found(quoted(text)),
            );
            None
        }
    }
}

fn subject(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<String> {
    let good = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if !good {
        report.error(Fault::at(key, "1 to 200 characters on one line").found(quoted(text)));
    }
    good.then(|| text.to_owned())
}

fn spans(mail: &file::Mail, report: &mut Report<'_>) -> Option<(Duration, Duration, Duration)> {
    let day = Duration::from_secs(86_400);
    let mut one = |name: &str, span: file::Span, low: Duration, high: Duration| {
        let good = (low..=high).contains(&span.0);
        if !good {
            let show = |span: Duration| humantime::format_duration(span).to_string();
            let accepted = format!("a duration from {} to {}", show(low), show(high));
            report.error(Fault::at(&KeyPath::of("mail").key(name), accepted));
        }
        good.then_some(span.0)
    };
    let timeout = one(
        "timeout",
        mail.timeout,
        Duration::from_millis(100),
        Duration::from_secs(50),
    );
    let retry = one(
        "retry",
        mail.retry,
        Duration::from_millis(10),
        Duration::from_secs(3600),
    );
    let give_up = one("give_up", mail.give_up, Duration::from_secs(1), 30 * day);
    Some((timeout?, retry?, give_up?))
}

/// Our own texts, or those of a folder.
fn templates(text: &str, report: &mut Report<'_>) -> Option<Templates> {
    let key = KeyPath::of("mail.templates");
    let folder = (!text.is_empty()).then(|| field::resolved(report, &key, text));
    let mut found = Vec::new();
    if let Some(folder) = &folder {
        if !folder.is_dir() {
            report.error(Fault::at(&key, "a folder that can be read"));
            return None;
        }
        for (_, name) in TEMPLATES {
            for end in ["txt", "html"] {
                let file = format!("{name}.{end}");
                let path = folder.join(&file);
                let size = fs::metadata(&path).map(|metadata| metadata.len());
                match fs::read_to_string(&path) {
                    Ok(text) if size.is_ok_and(|size| size <= LARGEST_TEMPLATE) => found.push((file, text)),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Ok(_) => {
                        let hint = format!("{}: more than 256 KiB", path.display());
                        report.error(Fault::at(&key, "templates of a sensible size").hint(hint));
                    }
                    Err(error) => {
                        let hint = format!("{}: {error}", path.display());
                        report.error(Fault::at(&key, "templates that can be read").hint(hint));
                    }
                }
            }
        }
        if found.is_empty() && !report.failed(&key) {
            let hint = "confirmation, reset, address_known, name_taken, each with .txt and .html";
            report.warn(Fault::at(&key, "the folder holds no template").hint(hint));
        }
    }
    let replaced = |name: &str| {
        found
            .iter()
            .find(|(file, _)| file == name)
            .map(|(_, text)| text.clone())
    };
    match Templates::new(replaced) {
        Ok(templates) => Some(templates),
        Err(mistakes) => {
            for mistake in mistakes {
                let path = folder
                    .as_ref()
                    .map(|folder| folder.display().to_string())
                    .unwrap_or_default();
                report.error(Fault::at(&key, "templates without mistakes").hint(format!("{path}/{mistake}")));
            }
            None
        }
    }
}
