//! The attacks: what is sent, and when what the backend saw is a hole.

use super::client::{Echoed, Outcome, Request};
use super::message::{Field, find};
use super::paths;

/// What an attack is about; holes are told apart, and closed, by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is said to be protected is served to everybody.
    NoCheck,
    /// The client's own value arrives under the name of an identity header.
    Identity(String),
    /// … under a name that some backends take for it.
    LookAlike(String),
    /// `Connection` names the header, and it is gone.
    HopByHop(String),
    /// It arrives in the trailers, or out of them among the headers.
    Trailer(String),
    /// The client's own value of a forwarding header arrives.
    Forwarded(String),
    /// A header that changes the method arrives.
    Override(String),
    /// The check is about something else than what is sent.
    TalkPast(String),
    /// The check reads the target in another way than the backend.
    Path,
    /// What is refused is let through in another way: another method, version, or an upgrade.
    Unchecked(String),
    /// What only begins as a preflight is let through as one, and this with it: a body, an upgrade.
    Preflight(&'static str),
    /// The connection's upgrade to a protocol that the chain does not follow arrives.
    Upgrade(String),
    /// The backend is told another host than the one that was asked for.
    Host,
}

/// One request of the play.
#[derive(Clone, Debug)]
pub struct Play {
    pub kind: Kind,
    /// For people: what was done.
    pub sent: String,
    /// Where: `with the token`, `without credentials`, …
    pub place: &'static str,
    pub request: Request,
    /// What must not arrive.
    pub canary: String,
    /// The same asked for openly; where it comes through as well, the other is no hole.
    pub openly: Option<Request>,
}

/// Where attacks on headers are played: what reaches the backend, and how.
#[derive(Clone, Debug)]
pub struct Stage {
    pub name: &'static str,
    pub request: Request,
    pub seen: Echoed,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Hole {
    pub kind: Kind,
    /// What was sent, and where; the first that came through.
    pub sent: String,
    /// What the backend saw.
    pub saw: String,
    /// Other ways that came through too.
    pub also: Vec<String>,
}

const OVERRIDES: [&str; 3] = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"];

/// Headers that backends believe about the client and the original request, with a value that no chain makes.
pub fn forwarded(canary: &str) -> Vec<(&'static str, String)> {
    let path = format!("/{canary}");
    vec![
        ("X-Forwarded-For", "203.0.113.66".to_owned()),
        ("X-Real-IP", "203.0.113.66".to_owned()),
        ("X-Forwarded-Host", format!("{canary}.example")),
        ("X-Forwarded-Proto", canary.to_owned()),
        ("X-Forwarded-Port", "46661".to_owned()),
        ("X-Forwarded-Prefix", path.clone()),
        ("X-Forwarded-Uri", path.clone()),
        ("X-Forwarded-Method", canary.to_owned()),
        ("X-Original-URL", path.clone()),
        ("X-Original-Method", canary.to_owned()),
        ("X-Rewrite-URL", path),
        ("Forwarded", format!("for=203.0.113.66;host={canary}.example")),
    ]
}

/// Equal after folding letters and mapping all that is neither letter nor digit to `-`.
fn look(name: &str) -> String {
    let fold = |character: char| match character.is_ascii_alphanumeric() {
        true => character.to_ascii_lowercase(),
        false => '-',
    };
    name.chars().map(fold).collect()
}

/// `X-uSeR`.
fn odd_case(name: &str) -> String {
    let odd = |(index, letter): (usize, char)| match index % 2 {
        0 => letter.to_ascii_lowercase(),
        _ => letter.to_ascii_uppercase(),
    };
    name.chars().enumerate().map(odd).collect()
}

/// What is played on a stage: everything about headers.
pub fn on_stage(stage: &Stage, identity: &[String], canary: &str) -> Vec<Play> {
    let mut plays = Vec::new();
    let mut play = |kind: Kind, fields: Vec<Field>, value: &str| {
        let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let mut request = stage.request.clone();
        request.fields.extend(fields);
        plays.push(Play {
            kind,
            sent: lines.join(", "),
            place: stage.name,
            request,
            canary: value.to_owned(),
            openly: None,
        });
    };
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for name in identity {
        let kind = || Kind::Identity(name.clone());
        play(kind(), vec![field(name, canary)], canary);
        play(kind(), vec![field(name, ""), field(name, canary)], canary);
        play(kind(), vec![field(&odd_case(name), canary)], canary);
        for other in ['_', '.'] {
            let alike = name.replace('-', &other.to_string());
            if alike != *name {
                play(Kind::LookAlike(alike.clone()), vec![field(&alike, canary)], canary);
            }
        }
    }
    for (name, value) in forwarded(canary) {
        play(Kind::Forwarded(name.to_owned()), vec![field(name, &value)], &value);
        if name.starts_with("X-Forwarded") {
            let alike = name.replace('-', "_");
            play(Kind::LookAlike(alike.clone()), vec![field(&alike, &value)], &value);
        }
    }
    for name in OVERRIDES {
        play(Kind::Override(name.to_owned()), vec![field(name, canary)], canary);
    }
    let mut told: Vec<&Field> = stage
        .seen
        .fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    told.retain(|(name, _)| {
        let mut names =
            identity
                .iter()
                .map(String::as_str)
                .chain(["X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto"]);
        names.any(|known| known.eq_ignore_ascii_case(name))
    });
    for (name, value) in told {
        let options = format!("close, {name}");
        play(Kind::HopByHop(name.clone()), vec![field("Connection", &options)], value);
    }
    let manners = |name| [(name, false), (name, true)];
    for (name, undeclared) in identity.iter().flat_map(manners) {
        let mut request = stage.request.clone();
        request.trailers.push(field(name, canary));
        request.undeclared = undeclared;
        let how = if undeclared { "undeclared trailer" } else { "trailer" };
        plays.push(Play {
            kind: Kind::Trailer(name.clone()),
            sent: format!("a chunked body with the {how} {name}: {canary}"),
            place: stage.name,
            request,
            canary: canary.to_owned(),
            openly: None,
        });
    }
    plays
}

/// The last entry of a list, whoever wrote it: appending is what proxies do, so it is theirs.
fn last_member(fields: &[Field], name: &str) -> Option<String> {
    let mut lines = fields.iter().filter(|(have, _)| look(have) == look(name));
    let (_, line) = lines.next_back()?;
    line.rsplit(',').next().map(|last| last.trim().to_owned())
}

/// Whether what became of it is a hole; gives what the backend saw. `real`: what the backend gets from whoever may.
pub fn judge(play: &Play, outcome: &Outcome, real: Option<&Echoed>) -> Option<String> {
    let Outcome::Echoed(seen) = outcome else { return None };
    let arrived = |fields: &[Field], name: &str| {
        let mut fields = fields.iter().filter(|(have, _)| look(have) == look(name));
        fields
            .find(|(_, value)| value.contains(&play.canary))
            .map(|(name, value)| format!("{name}: {value}"))
    };
    match &play.kind {
        Kind::Identity(name) | Kind::LookAlike(name) | Kind::Override(name) => arrived(&seen.fields, name),
        Kind::Upgrade(_) => arrived(&seen.fields, "Upgrade"),
        Kind::Preflight(_) => {
            more_than_a_preflight(&seen.fields).map(|more| format!("{more}, though nobody showed a credential"))
        }
        Kind::Host => arrived(&seen.fields, "Host"),
        Kind::Forwarded(name) if name == "X-Forwarded-For" => arrived(&seen.fields, name)
            .filter(|_| last_member(&seen.fields, name).is_some_and(|last| last.contains(&play.canary))),
        Kind::Forwarded(name) => arrived(&seen.fields, name),
        Kind::HopByHop(name) => match find(&seen.fields, name) {
            Some(value) if !value.is_empty() => None,
            Some(_) | None => Some(format!("no {name}; without the trick: {name}: {}", play.canary)),
        },
        Kind::Trailer(name) => {
            let trailer = arrived(&seen.trailers, name).map(|line| format!("the trailer {line}"));
            trailer.or_else(|| arrived(&seen.fields, name))
        }
        Kind::NoCheck | Kind::TalkPast(_) | Kind::Unchecked(_) => Some(format!(
            "the request for {}, though nobody showed a credential",
            seen.target
        )),
        Kind::Path => {
            let same = real.is_some_and(|real| seen.by == real.by && paths::may_mean(&seen.target, &real.target));
            same.then(|| {
                format!(
                    "the target {}, which a backend may take for the protected one",
                    seen.target
                )
            })
        }
    }
}

/// What the backend got that no preflight has.
fn more_than_a_preflight(fields: &[Field]) -> Option<String> {
    let says_so = |(name, value): &&Field| match name.to_ascii_lowercase().as_str() {
        "content-length" => value.trim() != "0",
        "transfer-encoding" | "upgrade" => true,
        _ => false,
    };
    let found = fields.iter().find(says_so);
    found.map(|(name, value)| format!("an OPTIONS with {name}: {value}"))
}

/// One hole for each kind, with all the ways into it.
pub fn add(holes: &mut Vec<Hole>, play: &Play, saw: String) {
    let sent = format!("{} ({})", play.sent, play.place);
    match holes.iter_mut().find(|hole| hole.kind == play.kind) {
        Some(hole) => hole.also.push(sent),
        None => holes.push(Hole {
            kind: play.kind.clone(),
            sent,
            saw,
            also: Vec::new(),
        }),
    }
}

impl Kind {
    /// The stable name of the kind, and what it is about.
    pub fn name(&self) -> (&'static str, &str) {
        match self {
            Self::NoCheck => ("no_check", "the URL"),
            Self::Identity(name) => ("identity_header", name),
            Self::LookAlike(name) => ("look_alike_header", name),
            Self::HopByHop(name) => ("hop_by_hop_removal", name),
            Self::Trailer(name) => ("trailer", name),
            Self::Forwarded(name) => ("forwarded_header", name),
            Self::Override(name) => ("method_override", name),
            Self::TalkPast(name) => ("check_talked_past", name),
            Self::Path => ("path_trick", "the target"),
            Self::Unchecked(how) => ("not_checked", how),
            Self::Preflight(what) => ("preflight", what),
            Self::Upgrade(protocol) => ("upgrade", protocol),
            Self::Host => ("host_header", "Host"),
        }
    }

    /// Why it matters.
    pub fn why(&self) -> &'static str {
        match self {
            Self::NoCheck => {
                "Nobody has to show anything: the check is missing, is about something else, or its answer is not obeyed."
            }
            Self::Identity(_) => "The backend believes this header: whoever sends it is whoever they say.",
            Self::LookAlike(_) => {
                "Servers that read headers as variables (CGI, WSGI, PHP) see no difference between this name and the real one."
            }
            Self::HopByHop(_) => {
                "A client makes the chain drop what it told the backend about the client; a backend that takes a missing identity for an inner call, or for nobody, is fooled."
            }
            Self::Trailer(_) => "Servers that merge trailers into the headers take it for the identity header.",
            Self::Forwarded(_) => {
                "Backends build links, choose rules and log by this header; some serve the address that it names instead of the one that was checked."
            }
            Self::Override(_) => "Frameworks obey it: a GET that was checked is carried out as a DELETE.",
            Self::TalkPast(_) => {
                "The check was made for something else than what was sent: everything behind it is open."
            }
            Self::Path => {
                "The check and the backend read the target differently: what is protected is served under another spelling."
            }
            Self::Unchecked(_) => {
                "The check is made for some requests only, and backends carry out others too; many answer a HEAD or an unknown method as they answer a GET."
            }
            Self::Preflight(_) => {
                "Preflights pass without a credential. A backend that reads the body of an OPTIONS, or goes on in the protocol that it asks for, serves whoever sends one."
            }
            Self::Upgrade(_) => {
                "A backend that understands it goes on in that protocol, and the chain hands on what it no longer reads: any path, any header, without a check."
            }
            Self::Host => "The chain chose and checked by one host, and the backend serves another.",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn echoed(fields: &[(&str, &str)]) -> Outcome {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Outcome::Echoed(Echoed {
            by: None,
            target: "/".to_owned(),
            fields: fields.iter().map(own).collect(),
            trailers: Vec::new(),
            answer: Vec::new(),
        })
    }

    fn judged(kind: Kind, canary: &str, fields: &[(&str, &str)]) -> bool {
        let play = Play {
            kind,
            sent: String::new(),
            place: "",
            request: Request::default(),
            canary: canary.to_owned(),
            openly: None,
        };
        judge(&play, &echoed(fields), None).is_some()
    }

    #[test]
    fn a_hole_is_what_arrives_under_a_name_that_looks_so() {
        let user = || Kind::Identity("X-User".into());
        assert!(judged(user(), "c1", &[("x-user", "c1")]));
        assert!(judged(user(), "c1", &[("X_USER", "alice, c1")]));
        assert!(!judged(user(), "c1", &[("X-User", "alice"), ("X-Other", "c1")]));
        let chain = || Kind::Forwarded("X-Forwarded-For".into());
        assert!(judged(chain(), "1.2.3.4", &[("X-Forwarded-For", "1.2.3.4")]));
        assert!(!judged(
            chain(),
            "1.2.3.4",
            &[("X-Forwarded-For", "1.2.3.4, 127.0.0.1")]
        ));
        for appended in ["1.2.3.4,127.0.0.1", "1.2.3.4 ,\t127.0.0.1"] {
            assert!(
                !judged(chain(), "1.2.3.4", &[("X-Forwarded-For", appended)]),
                "{appended}"
            );
        }
        let lines = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-For", "127.0.0.1")];
        assert!(!judged(chain(), "1.2.3.4", &lines));
        assert!(judged(chain(), "1.2.3.4", &[("X-Forwarded-For", "127.0.0.1,1.2.3.4")]));
        let gone = || Kind::HopByHop("X-User".into());
        assert!(judged(gone(), "alice", &[]) && judged(gone(), "alice", &[("x-user", "")]));
        assert!(!judged(gone(), "alice", &[("x-user", "alice")]));
    }

    #[test]
    fn the_play_is_bounded() {
        let stage = Stage {
            name: "",
            request: Request {
                method: "GET",
                target: "/".into(),
                ..Request::default()
            },
            seen: match echoed(&[("X-User", "alice")]) {
                Outcome::Echoed(seen) => seen,
                other => panic!("{other:?}"),
            },
        };
        let names = ["X-User", "X-User-Id", "X-User-Roles", "X-User-Email"].map(str::to_owned);
        let mut plays = on_stage(&stage, &names, "c1");
        plays.extend(crate::cli::probe::talk::against(
            "/app/x",
            Some("/open"),
            "a",
            None,
            true,
            "c1",
        ));
        assert!(plays.len() < 150, "{}", plays.len());
        assert!(plays.iter().any(|play| play.kind == Kind::HopByHop("X-User".into())));
    }
}
