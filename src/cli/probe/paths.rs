//! Spellings of a target that a check and a backend may read differently.

/// How many times a backend may decode.
const DECODINGS: usize = 3;

/// Targets that some backend takes for `target` and some check does not; through `public`, where there is one.
pub fn tricks(target: &str, public: Option<&str>, scheme: &str, host: &str, canary: &str) -> Vec<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let bare = path.trim_start_matches('/');
    let (first, rest) = bare.split_once('/').unwrap_or((bare, ""));
    let behind = if rest.is_empty() {
        String::new()
    } else {
        format!("/{rest}")
    };
    let mut tricks = vec![
        format!("/{path}"),
        format!("/.{path}"),
        format!("/%2f{bare}"),
        format!("/%2e/{bare}"),
        format!("/;{path}"),
        format!("/x/..{path}"),
        format!("/x/..;{path}"),
        format!("\\{bare}"),
        format!("/{};x{behind}", first),
        format!("/{};/..;/{bare}", first),
        format!("{path}/"),
        format!("{path}/."),
        format!("{path}%00"),
        format!("{path}%3fx"),
        format!("{path}%23x"),
        // What looks like a file that nobody has to be asked for.
        format!("{path};x.css"),
        format!("{path}%3bx.css"),
        format!("{path}%3fx.css"),
        format!("{path}%23x.css"),
        format!("{path}%00.css"),
        format!("{path}#x"),
        format!("{scheme}://{host}{path}"),
        format!("{scheme}://{canary}.example{path}"),
    ];
    if let Some(letter) = bare.chars().next().filter(char::is_ascii) {
        let code = u32::from(letter);
        tricks.push(format!("/%{code:02x}{}", bare.get(1..).unwrap_or_default()));
        tricks.push(format!("/%25{code:02x}{}", bare.get(1..).unwrap_or_default()));
        tricks.push(path.to_ascii_uppercase());
    }
    if !rest.is_empty() {
        tricks.push(format!("/{first}%2f{rest}"));
        tricks.push(format!("/{first}\\{rest}"));
        tricks.push(format!("/{first}//{rest}"));
        tricks.push(format!("/{first}/./{rest}"));
        tricks.push(format!("/{first}/%2e/{rest}"));
    }
    if let Some(public) = public {
        let public = public.trim_end_matches('/');
        let up = |step: &str| step.repeat(public.matches('/').count().max(1));
        for step in [
            "/..",
            "/%2e%2e",
            "/.%2e",
            "/..;",
            "/..;x",
            "%2f..",
            "%5c..",
            "\\..",
            "/%252e%252e",
        ] {
            tricks.push(format!("{public}{}{path}", up(step)));
        }
        // The other way round: a check that resolves it sees the public one, and a backend that does not the protected one.
        let down = |step: &str| step.repeat(path.trim_end_matches('/').matches('/').count().max(1));
        for step in ["/..", "/%2e%2e", "/..;", "%2f..", "%5c.."] {
            tricks.push(format!("{path}{}{public}", down(step)));
        }
        // Where the folder is taken off, such as by nginx's `proxy_pass` with a path, the rest is what the backend gets.
        let folder = public.split(['?', '#']).next().unwrap_or_default();
        let folder = folder.trim_end_matches('/');
        let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        for folder in [folder, parent].into_iter().filter(|folder| !folder.is_empty()) {
            tricks.push(format!("{folder}{path}"));
        }
        for end in ["%3f", "%23", ";"] {
            tricks.push(format!("{path}{end}{}{public}", up("/..")));
        }
        tricks.push(format!("{public}{}%2f{bare}", up("/..")));
        tricks.push(format!("{public}?/..{path}"));
        tricks.push(format!("{public}%3f{}{path}", up("/..")));
        tricks.push(format!("{public}%23{}{path}", up("/..")));
        tricks.push(format!("{path}?{public}"));
        tricks.push(format!("{path}#{public}"));
        tricks.push(format!("{path};{public}"));
    }
    tricks.retain(|trick| trick != target);
    tricks.sort_unstable();
    tricks.dedup();
    tricks
}

/// Whether a backend that is lenient in every way takes one target for the other, or one that resolves nothing.
pub fn may_mean(received: &str, real: &str) -> bool {
    if begins_there(received, real) {
        return true;
    }
    let real = lenient(real, DECODINGS);
    // To some, what is behind a semicolon belongs to the path no more, to its end.
    let cut = received.split(';').next().unwrap_or_default();
    (0..=DECODINGS).any(|times| [received, cut].iter().any(|target| lenient(target, times) == real))
}

/// Whether a target climbs out of what it begins with: that only helps whoever resolves it.
fn begins_there(received: &str, real: &str) -> bool {
    let path = real.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let Some(rest) = received.strip_prefix(path).filter(|_| !path.is_empty()) else {
        return false;
    };
    let mut rest = rest.as_bytes().to_vec();
    for _ in 0..DECODINGS {
        rest = decoded(&rest);
    }
    let rest = String::from_utf8_lossy(&rest).replace('\\', "/");
    let is_another = rest.starts_with(['/', ';', '?', '#']);
    is_another && rest.split('/').any(|segment| segment.split(';').next() == Some(".."))
}

fn lenient(target: &str, decodings: usize) -> String {
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/")
        }
        Some(_) | None => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut path = path.as_bytes().to_vec();
    for _ in 0..decodings {
        path = decoded(&path);
    }
    let path = String::from_utf8_lossy(&path).to_ascii_lowercase();
    // Where a decoded one ends the path for the backend, it ends it here.
    let path = path
        .split(['?', '#', '\0'])
        .next()
        .unwrap_or_default()
        .replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    segments.join("/")
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let pair = digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)));
        match pair.filter(|_| *byte == b'%') {
            Some((high, low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trick_is_one() {
        let tricks = tricks("/staff/x?a=1", Some("/open"), "https", "h", "c1");
        let tricky = |trick: &&String| !may_mean(trick, "/staff/x");
        let none: Vec<&String> = tricks.iter().filter(tricky).collect();
        // The one that says it in the query is a trick on checks only, and the other on who takes the folder off.
        assert_eq!(none, ["/open/staff/x", "/open?/../staff/x"]);
        for out in [
            "/staff/x/../../open",
            "/staff/x/%2e%2e/%2e%2e/open",
            "/staff/x%2f..%2f../open",
            "/staff/x%23/../open",
        ] {
            assert!(tricks.iter().any(|trick| trick == out), "{out} {tricks:?}");
        }
    }

    #[test]
    fn the_public_folder_and_its_parent_may_be_taken_off() {
        for (public, folders) in [
            ("/public/", &["/public"][..]),
            ("/public/x", &["/public/x", "/public"]),
            ("/a/b/?c=/d", &["/a/b", "/a"]),
            ("/", &[]),
        ] {
            let tricks = tricks("/staff/x", Some(public), "https", "h", "c1");
            for folder in folders {
                let trick = format!("{folder}/staff/x");
                assert!(tricks.contains(&trick), "{trick} {tricks:?}");
            }
            assert!(!tricks.contains(&"/staff/x".to_owned()), "{tricks:?}");
        }
    }

    #[test]
    fn what_no_server_trims_is_none() {
        let tricks = tricks("/user", None, "https", "h", "c1");
        assert!(!tricks.iter().any(|trick| trick.ends_with("%20")), "{tricks:?}");
        assert!(!may_mean("/user%20", "/user"));
    }

    #[test]
    fn what_a_backend_takes_for_something_else_is_none() {
        for other in ["/", "/open", "/staff", "/staff/y", "/open/staff/x", "/staff/x/y"] {
            assert!(!may_mean(other, "/staff/x"), "{other}");
        }
        assert!(may_mean("/STAFF//x;a", "/staff/x"));
    }
}
