//! `[cors]` and `[identity_headers]`.

use http::{HeaderName, HeaderValue};

use super::field;
use super::headers::{look, reserved};
use crate::admission::Route;
use crate::answer::{Dialect, cors};
use crate::authz::Access;
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::{endpoint, identity, session};

/// `[cors]`. In the place of a Flask server, "*" means what it means to Flask-Cors, and how long browsers may keep a preflight
/// is told only where somebody set it.
pub fn cors(cors: &file::Cors, dialect: Dialect, report: &mut Report<'_>) -> Option<cors::Settings> {
    let key = KeyPath::of("cors");
    let allowed_methods = field::methods(report, &key.key("allowed_methods"), &cors.allowed_methods);
    let place = key.key("allowed_origins");
    let any = cors.allowed_origins.iter().any(|origin| origin == "*");
    let origins = if any {
        if cors.allowed_origins.len() > 1 {
            report.error(Fault::at(&place, "either \"*\" alone or a list of origins"));
        }
        if cors.allow_credentials {
            report.error(
                Fault::at(&key.key("allow_credentials"), "false, as cors.allowed_origins is \"*\"")
                    .hint("name the origins that may send credentials"),
            );
        }
        Some(match dialect {
            Dialect::Standard => cors::Origins::Any,
            Dialect::Flask => cors::Origins::Echoed,
        })
    } else {
        let origins = &cors.allowed_origins;
        field::each(origins, |index, text| origin(report, &place.index(index), text)).map(cors::Origins::Listed)
    };
    let told = dialect == Dialect::Standard || report.layers().value(&key.key("max_age")).is_some();
    Some(cors::Settings {
        allowed_origins: origins?,
        allowed_methods: allowed_methods?,
        allow_credentials: cors.allow_credentials,
        max_age: told.then_some(cors.max_age.0),
    })
}

/// An origin in its serialised form (RFC 6454 section 6.2), the only one browsers send.
fn origin(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<HeaderValue> {
    let hint = match text.split_once("://") {
        _ if text == "null" => "every sandboxed page sends \"null\": it cannot be trusted",
        None => "the scheme is missing",
        Some((_, rest)) if rest.contains('/') => "leave the path out, with its slash",
        Some(_) if text.chars().any(|character| character.is_ascii_uppercase()) => {
            "browsers send origins in lower case"
        }
        Some(("http", rest)) if rest.ends_with(":80") => "browsers leave the default port out",
        Some(("https", rest)) if rest.ends_with(":443") => "browsers leave the default port out",
        Some((scheme, rest)) if is_scheme(scheme) && is_authority(rest) => return HeaderValue::from_str(text).ok(),
        Some(_) => "a scheme, a host and perhaps a port",
    };
    report.error(Fault::at(key, "an origin such as \"https://app.example.com\", or \"*\" alone").hint(hint));
    None
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => field::is_host_name(host),
    };
    good_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// `[cookies]`.
pub fn cookies(cookies: &file::Cookies, report: &mut Report<'_>) -> Option<session::Settings> {
    let text = cookies.domain.as_str();
    if text.is_empty() {
        return Some(session::Settings::default());
    }
    let hint = match text.strip_prefix('.') {
        Some(bare) => format!("leave the dot out: \"{bare}\" means all hosts below it already"),
        None if text.parse::<std::net::IpAddr>().is_ok() => "an address has no hosts below it".to_owned(),
        None if !text.contains('.') => "browsers accept no cookie for a whole top-level domain".to_owned(),
        None if text.chars().any(|character| character.is_ascii_uppercase()) => "write it in lower case".to_owned(),
        None if field::is_host_name(text) => {
            return Some(session::Settings {
                domain: Some(text.to_owned()),
            });
        }
        None => "neither a scheme nor a port nor a path belongs here".to_owned(),
    };
    let place = KeyPath::of("cookies").key("domain");
    report.error(Fault::at(&place, "a domain such as \"example.com\"").hint(hint));
    None
}

/// A host outside of `cookies.domain` never sees the cookie: a login there comes to nothing, and so does one for a route
/// there.
pub fn reach_of_cookies(
    cookies: &session::Settings,
    endpoints: &endpoint::Settings,
    routes: &[Route],
    report: &mut Report<'_>,
) {
    let Some(domain) = &cookies.domain else { return };
    let reaches = |host: &str| endpoint::lies_below(host.strip_prefix("*.").unwrap_or(host), domain);
    let hosts = KeyPath::of("endpoints").key("hosts");
    for (index, host) in endpoints.hosts.iter().enumerate().filter(|(_, host)| !reaches(host)) {
        let fault = Fault::at(&hosts.index(index), "browsers keep no cookie that is set here");
        report.warn(fault.hint(format!("{host} does not lie below cookies.domain = {domain:?}")));
    }
    for (index, route) in routes.iter().enumerate() {
        let asks = matches!(route.rule.access, Access::Authenticated | Access::Optional) && route.credentials.session;
        let place = KeyPath::of("routes").index(index).key("hosts");
        for (index, host) in route
            .hosts
            .iter()
            .enumerate()
            .filter(|(_, host)| asks && !reaches(host))
        {
            let fault = Fault::at(&place.index(index), "browsers do not send the session's cookie here");
            report.warn(fault.hint(format!(
                "{host} does not lie below cookies.domain = {domain:?}; leave \"session\" out of its credentials, or serve it elsewhere"
            )));
        }
    }
}

/// Names that mean something else, to backends or in the answers to another proxy's questions.
const HAVE_A_MEANING: [&str; 12] = [
    "authorization",
    "cache-control",
    "content-type",
    "cookie",
    "date",
    "location",
    "retry-after",
    "server",
    "set-cookie",
    "vary",
    "www-authenticate",
    "x-auth-reason",
];

/// `[identity_headers]`; an empty name: not sent.
pub fn identity(headers: &file::IdentityHeaders, report: &mut Report<'_>) -> Option<identity::Settings> {
    let key = KeyPath::of("identity_headers");
    let mut taken: Vec<(&str, String)> = Vec::new();
    let mut name = |which: &'static str, text: &str| -> Option<Option<HeaderName>> {
        if text.is_empty() {
            return Some(None);
        }
        let place = key.key(which);
        let name = field::header_name(report, &place, text)?;
        let means = HAVE_A_MEANING.contains(&name.as_str());
        let reason = reserved(&name, None).map(|reserved| reserved.reason().to_owned());
        let reason = reason.or_else(|| means.then(|| "it has a meaning of its own".to_owned()));
        let same = taken.iter().find(|(_, other)| *other == look(text));
        let reason =
            reason.or_else(|| same.map(|(other, _)| format!("identity_headers.{other} is the same to some backends")));
        if let Some(reason) = reason {
            report.error(Fault::at(&place, "the name of a header of its own, such as \"X-User\"").hint(reason));
            return None;
        }
        taken.push((which, look(text)));
        Some(Some(name))
    };
    let user = name("user", &headers.user);
    let id = name("id", &headers.id);
    let roles = name("roles", &headers.roles);
    let email = name("email", &headers.email);
    Some(identity::Settings {
        user: user?,
        id: id?,
        roles: roles?,
        email: email?,
    })
}
