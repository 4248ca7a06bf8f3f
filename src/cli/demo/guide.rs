//! What `doorward demo` prints: where it is, who may log in, and lines to paste into a shell.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// A user of the demo, with the password of this start.
#[derive(Clone)]
pub struct Person {
    /// The name.
    pub name: &'static str,
    /// The roles, with commas between them.
    pub roles: &'static str,
    /// The password.
    pub password: String,
}

/// Where everything is.
pub struct Places<'a> {
    /// The https URL, without a slash at its end.
    pub https: Option<String>,
    /// The http URL.
    pub http: Option<String>,
    /// The admin address.
    pub admin: SocketAddr,
    /// The certificate to trust.
    pub certificate: Option<&'a Path>,
}

/// The whole text. Its lines are stable: programs read them too.
pub fn text(places: &Places<'_>, people: &[Person]) -> String {
    let mut text = "Doorward demo is ready. Ctrl-C stops it.\n\n".to_owned();
    let line = |text: &mut String, name: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "  {name:<12} {value}").ok();
    };
    for (name, url) in [("https", &places.https), ("http", &places.http)] {
        if let Some(url) = url {
            line(&mut text, name, url);
        }
    }
    if let Some(base) = places.https.as_ref().or(places.http.as_ref()) {
        line(
            &mut text,
            "login page",
            &format_args!("{base}/auth/login?rd=/app/  (for a browser; it leads to the sample backend)"),
        );
    }
    line(&mut text, "metrics", &format_args!("http://{}/metrics", places.admin));
    if let Some(certificate) = places.certificate {
        line(&mut text, "certificate", &certificate.display());
    }
    text.push('\n');
    for person in people {
        writeln!(
            text,
            "  {:<6} password: {}  roles: {}",
            person.name, person.password, person.roles
        )
        .ok();
    }
    if let Some(base) = places.https.as_ref().or(places.http.as_ref()) {
        text.push_str("\nThe passwords are set anew at each start. Lines to paste into a shell, in this order:\n");
        for (what, command) in commands(base, places.certificate, people) {
            write!(text, "\n# {what}\n{command}\n").ok();
        }
    }
    text
}

/// Each with a word on what it shows.
fn commands(base: &str, certificate: Option<&Path>, people: &[Person]) -> Vec<(String, String)> {
    let curl = match certificate {
        Some(path) => format!("curl -sS --cacert {}", quoted(&path.display().to_string())),
        None => "curl -sS".to_owned(),
    };
    let field = |name: &str| format!(r#"sed -n 's/.*"{name}": *"\([^"]*\)".*/\1/p'"#);
    let login = |person: &Person| {
        let body = format!(r#"{{"username":"{}","password":"{}"}}"#, person.name, person.password);
        format!("{curl} {base}/api/login -d '{body}'")
    };
    let status = "-o /dev/null -w '%{http_code}\\n'";
    let mut lines = Vec::new();
    if let Some(alice) = people.first() {
        let access = format!("TOKEN=$(printf %s \"$LOGIN\" | {})", field("access_token"));
        let refresh = format!("REFRESH=$(printf %s \"$LOGIN\" | {})", field("refresh_token"));
        let name = alice.name;
        lines.push((
            format!("log in as {name}"),
            format!("LOGIN=$({}); {access}; {refresh}", login(alice)),
        ));
        lines.push((
            "the backend answers with what it received: X-User and X-User-Roles are there, the token is not".to_owned(),
            format!("{curl} -H \"Authorization: Bearer $TOKEN\" {base}/app/hello"),
        ));
        lines.push((
            format!("{name} may not go to /app/admin/: 403"),
            format!("{curl} {status} -H \"Authorization: Bearer $TOKEN\" {base}/app/admin/"),
        ));
    }
    lines.push((
        "without a token: 401".to_owned(),
        format!("{curl} {status} {base}/app/hello"),
    ));
    if let Some(root) = people.get(1) {
        let token = format!("ROOT=$({} | {})", login(root), field("access_token"));
        lines.push((
            format!("{} may go there", root.name),
            format!("{token}; {curl} -H \"Authorization: Bearer $ROOT\" {base}/app/admin/"),
        ));
    }
    lines.push((
        "a new access token for the refresh token".to_owned(),
        format!(
            "LOGIN=$({curl} {base}/api/refresh -d \"{{\\\"refresh_token\\\":\\\"$REFRESH\\\"}}\"); \
            TOKEN=$(printf %s \"$LOGIN\" | {}); printf '%s\\n' \"$LOGIN\"",
            field("access_token")
        ),
    ));
    lines.push((
        "log out: 204".to_owned(),
        format!("{curl} {status} -X POST -H \"Authorization: Bearer $TOKEN\" {base}/api/logout"),
    ));
    lines.push((
        "the token is dead now: 401".to_owned(),
        format!("{curl} {status} -H \"Authorization: Bearer $TOKEN\" {base}/app/hello"),
    ));
    lines
}

/// As one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_the_shell() {
        assert_eq!(quoted("data/demo/tls/localhost.pem"), "data/demo/tls/localhost.pem");
        assert_eq!(quoted("it's a $HOME"), r"'it'\''s a $HOME'");
    }

    #[test]
    fn people_and_places_stand_on_lines_of_their_own() {
        let places = Places {
            https: Some("https://localhost:8443".to_owned()),
            http: None,
            admin: SocketAddr::from(([127, 0, 0, 1], 9100)),
            certificate: Some(Path::new("d/localhost.pem")),
        };
        let people = [Person {
            name: "alice",
            roles: "user",
            password: "secret".to_owned(),
        }];
        let text = text(&places, &people);
        for line in [
            "  https        https://localhost:8443",
            "  login page   https://localhost:8443/auth/login?rd=/app/  (for a browser; it leads to the sample backend)",
            "  alice  password: secret  roles: user",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
    }
}
