//! Routes that would never be reached: behind the gateway's own URLs, or behind one another.

use http::Method;

use super::endpoints::{Own, own};
use super::field::lies_within;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report, quoted};
use crate::endpoint::Settings;
use crate::endpoint::forward_auth::Dialect;
use crate::route::Target;

/// Where a route is.
pub struct Placed {
    /// Its number in the file.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Its hosts, in canonical form; none: every host.
    pub hosts: Vec<String>,
    /// Its path, in canonical form.
    pub path: String,
    /// Its methods; `None`: every method.
    pub methods: Option<Vec<Method>>,
}

/// A route whose own path is one of the gateway's URLs, on the same hosts, is an error.
pub fn with_endpoints(routes: &[Placed], settings: &Settings, report: &mut Report<'_>) {
    let own = own(settings);
    let asks = |route: &Placed| {
        let pages = settings.pages.as_deref()?;
        let sent = as_sent(&route.path);
        let to_the_letter = Dialect::of_target(pages, &route.path).map(|addressed| addressed.dialect);
        to_the_letter.or_else(|| {
            let target = Target::parse(&sent).ok()?;
            let mut addresses = Dialect::addresses(pages).into_iter();
            let found = addresses.find(|(_, address)| target.may_lie_below(address));
            found.map(|(dialect, _)| dialect)
        })
    };
    for route in routes {
        let covers = |own: &&Own| match own.prefix {
            true => lies_within(&route.path, &own.path),
            false => route.path == own.path,
        };
        let meets = |own: &&Own| own.every_host || share_a_host(&route.hosts, &settings.hosts);
        if let Some(own) = own.iter().filter(covers).find(meets) {
            let what = match own.prefix {
                true => format!("everything below {}/ is answered by the gateway itself", own.path),
                false => format!("{} is answered by the gateway itself", own.path),
            };
            let fault = Fault::at(
                &KeyPath::of("routes").index(route.index).key("path"),
                "a path that is not the gateway's own",
            );
            report.error(fault.hint(format!(
                "{what}; move the route, or the gateway's URLs with endpoints.api, endpoints.pages or endpoints.hosts"
            )));
        } else if let Some(dialect) = asks(route) {
            let fault = Fault::at(
                &KeyPath::of("routes").index(route.index).key("path"),
                "a path that is not the gateway's own",
            );
            report.error(fault.hint(format!(
                "whatever is at or below {}/{} is taken for a question of forward-auth; move the route, or the gateway's URLs with endpoints.pages",
                settings.pages.as_deref().unwrap_or_default(),
                dialect.as_str()
            )));
        }
    }
}

/// A path as a client sends it.
fn as_sent(path: &str) -> String {
    let mut sent = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte.is_ascii_graphic() {
            true => sent.push(char::from(byte)),
            false => sent.push_str(&format!("%{byte:02x}")),
        }
    }
    sent
}

/// Whether some host is matched by a route with these hosts and is one of ours; empty lists match every host.
fn share_a_host(patterns: &[String], ours: &[String]) -> bool {
    let matches = |pattern: &String, host: &String| match pattern.strip_prefix('*') {
        Some(suffix) => host
            .strip_suffix(suffix)
            .is_some_and(|label| !label.is_empty() && !label.contains('.')),
        None => pattern == host,
    };
    patterns.is_empty()
        || ours.is_empty()
        || patterns
            .iter()
            .any(|pattern| ours.iter().any(|host| matches(pattern, host)))
}

/// Two routes of the same host and path with a method in common are an error.
pub fn among_routes(routes: &[Placed], report: &mut Report<'_>) {
    for (position, route) in routes.iter().enumerate() {
        let earlier = routes.iter().take(position);
        for other in earlier.filter(|other| other.path == route.path) {
            let host = match (other.hosts.is_empty(), route.hosts.is_empty()) {
                (true, true) => Some("every host".to_owned()),
                _ => route.hosts.iter().find(|host| other.hosts.contains(host)).cloned(),
            };
            let (Some(host), Some(method)) = (host, common_method(other, route)) else {
                continue;
            };
            let fault = Fault::at(
                &KeyPath::of("routes").index(route.index).key("path"),
                "a path, hosts and methods that no other route has",
            )
            .found(format!(
                "{} on {host} for {method}, as in route {:?}",
                quoted(&route.path),
                other.name
            ));
            report.error(fault.hint(format!(
                "routes {:?} and {:?} cannot both answer; give them different methods, paths or hosts",
                other.name, route.name
            )));
            break;
        }
    }
}

/// A method that both routes take.
fn common_method(one: &Placed, other: &Placed) -> Option<String> {
    match (&one.methods, &other.methods) {
        (None, None) => Some("every method".to_owned()),
        (Some(methods), None) | (None, Some(methods)) => methods.first().map(Method::to_string),
        (Some(one), Some(other)) => {
            // GET includes HEAD.
            let takes = |methods: &[Method], method: &Method| {
                methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
            };
            let mut both = one
                .iter()
                .chain(other)
                .filter(|method| takes(one, method) && takes(other, method));
            both.next().map(Method::to_string)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_meet_as_routing_compares_them() {
        let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(share_a_host(&[], &hosts(&["a.example"])));
        assert!(share_a_host(&hosts(&["a.example"]), &[]));
        assert!(share_a_host(&hosts(&["*.example"]), &hosts(&["a.example"])));
        assert!(!share_a_host(&hosts(&["*.example"]), &hosts(&["a.b.example"])));
        assert!(!share_a_host(&hosts(&["b.example"]), &hosts(&["a.example"])));
    }
}
