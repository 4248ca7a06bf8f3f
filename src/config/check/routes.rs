//! `[[routes]]`.

use std::num::NonZeroU32;

use http::HeaderValue;

use super::conflicts::{self, Placed};
use super::field;
use super::headers::{Reserved, reserved, tells_who};
use super::tls;
use crate::admission::{Credentials, HeaderChanges, HostHeader, Preflight, Route};
use crate::authz::{Access, Rule};
use crate::config::file::{self, Shape};
use crate::config::key::KeyPath;
use crate::config::names;
use crate::config::report::{Fault, Report, quoted};
use crate::tls::ClientAuth;
use crate::{endpoint, identity, rate};

/// What the routes have in common.
struct Surroundings<'a> {
    upstreams: Vec<&'a str>,
    identity: Option<&'a identity::Settings>,
    shape: &'a Shape,
}

/// All of them, compared with each other and with the gateway's own URLs.
pub fn routes(
    shape: &Shape,
    identity: Option<&identity::Settings>,
    endpoints: Option<&endpoint::Settings>,
    report: &mut Report<'_>,
) -> Option<Vec<Route>> {
    let key = KeyPath::of("routes");
    let around = Surroundings {
        upstreams: shape.upstreams.iter().map(|upstream| upstream.name.as_str()).collect(),
        identity,
        shape,
    };
    let mut good = Vec::new();
    let mut placed = Vec::new();
    let mut complete = true;
    for (index, raw) in shape.routes.iter().enumerate() {
        let key = key.index(index);
        let same = |other: &file::Route| !raw.name.is_empty() && other.name == raw.name;
        if let Some(other) = shape.routes.iter().take(index).position(same) {
            let fault = Fault::at(&key.key("name"), "a name that no other route has");
            report.error(fault.hint(format!("routes[{other}] has it")));
        }
        let place = place(index, raw, &key, report);
        let route = route(raw, &key, place.as_ref(), &around, report);
        complete &= route.is_some();
        good.extend(route);
        placed.extend(place);
    }
    conflicts::among_routes(&placed, report);
    if let Some(endpoints) = endpoints {
        conflicts::with_endpoints(&placed, endpoints, report);
    }
    unused(shape, report);
    complete.then_some(good)
}

/// Where a route is; this much may be right where the rest is not, and can then be compared with the others.
fn place(index: usize, raw: &file::Route, key: &KeyPath, report: &mut Report<'_>) -> Option<Placed> {
    let hosts = key.key("hosts");
    let hosts = field::each(&raw.hosts, |index, host| {
        field::host(report, &hosts.index(index), host, true)
    });
    let path = field::path(report, &key.key("path"), &raw.path);
    let methods = field::methods(report, &key.key("methods"), &raw.methods);
    Some(Placed {
        index,
        name: raw.name.clone(),
        hosts: hosts?,
        path: path?,
        methods: Some(methods?).filter(|methods| !methods.is_empty()),
    })
}

fn unused(shape: &Shape, report: &mut Report<'_>) {
    for (index, upstream) in shape.upstreams.iter().enumerate() {
        let used = shape.routes.iter().any(|route| route.upstream == upstream.name);
        if !used && !upstream.name.is_empty() && !report.failed(&KeyPath::of("routes")) {
            let key = KeyPath::of("upstreams").index(index).key("name");
            report.warn(Fault::at(&key, "no route leads to this upstream"));
        }
    }
}

fn route(
    raw: &file::Route,
    key: &KeyPath,
    place: Option<&Placed>,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Route> {
    let name = field::name(report, &key.key("name"), &raw.name);
    let client_auth = tls::of_route(raw, key, around.shape, report);
    let rule = rule(raw, key, client_auth, report);
    let credentials = credentials(raw, key, report);
    let upstream = upstream(raw, key, around, report);
    let strip_prefix = strip_prefix(raw, key, place.map(|place| place.path.as_str()), report);
    let host_header = host_header(raw, key, report);
    let request_headers = changes(
        &raw.request_headers,
        &key.key("request_headers"),
        Side::Request(around.identity),
        report,
    );
    let response_headers = changes(
        &raw.response_headers,
        &key.key("response_headers"),
        Side::Response,
        report,
    );
    if raw.shadow {
        let fault = Fault::at(
            &key.key("shadow"),
            "this route is not enforced: what it refuses is counted and goes on",
        );
        report.warn(fault.hint("take it out when the figures say what you expect"));
    }
    let max_body = max_body(raw, key, report);
    let rate_limit = rate_limit(raw, key, report);
    let preflights = [("pass", Preflight::Pass), ("answer", Preflight::Answer)];
    let preflight = report.choose(&key.key("preflight"), &raw.preflight, &preflights);
    let cross_site_allowed = report.choose(
        &key.key("cross_site"),
        &raw.cross_site,
        &[("refuse", false), ("allow", true)],
    );
    let refuse_ambiguous = report.choose(
        &key.key("ambiguous"),
        &raw.ambiguous,
        &[("agree", false), ("refuse", true)],
    );
    let place = place?;
    Some(Route {
        name: name?,
        hosts: place.hosts.clone(),
        path: place.path.clone(),
        methods: place.methods.clone(),
        rule: rule?,
        credentials: credentials?,
        upstream: upstream?,
        strip_prefix: strip_prefix?,
        host_header: host_header?,
        request_headers: request_headers?,
        response_headers: response_headers?,
        forward_token: raw.forward_token,
        max_body: max_body?,
        rate_limit: rate_limit?,
        preflight: preflight?,
        cross_site_allowed: cross_site_allowed?,
        refuse_ambiguous: refuse_ambiguous?,
        shadow: raw.shadow,
    })
}

fn rule(raw: &file::Route, key: &KeyPath, client_auth: Option<ClientAuth>, report: &mut Report<'_>) -> Option<Rule> {
    let accesses = [
        ("authenticated", Access::Authenticated),
        ("optional", Access::Optional),
        ("public", Access::Public),
        ("deny", Access::Deny),
    ];
    let access = report.choose(&key.key("access"), &raw.access, &accesses);
    let (any, all) = (key.key("roles_any"), key.key("roles_all"));
    let roles_any = match &raw.roles_any {
        None => Some(None),
        Some(roles) => field::roles(report, &any, roles).map(Some),
    };
    let roles_all = field::roles(report, &all, &raw.roles_all);
    let networks = field::networks_or_anywhere(report, &key.key("networks"), &raw.networks);
    match access {
        Some(Access::Public | Access::Deny) => {
            for (place, set) in [(&any, raw.roles_any.is_some()), (&all, !raw.roles_all.is_empty())] {
                if set {
                    let accepted = format!("no roles, as access is {:?}", raw.access);
                    report.error(
                        Fault::at(place, accepted).hint("roles mean something where access is \"authenticated\""),
                    );
                }
            }
        }
        Some(Access::Authenticated | Access::Optional) if raw.roles_any.as_ref().is_some_and(Vec::is_empty) => {
            let fault = Fault::at(&any, "an empty list of roles admits nobody");
            report.warn(fault.hint("leave it out to admit everybody who is logged in"));
        }
        Some(Access::Authenticated | Access::Optional) | None => {}
    }
    Some(Rule {
        access: access?,
        roles_any: roles_any?,
        roles_all: roles_all?,
        networks: networks?,
        client_auth: client_auth?,
    })
}

fn credentials(raw: &file::Route, key: &KeyPath, report: &mut Report<'_>) -> Option<Credentials> {
    let place = key.key("credentials");
    let choices = [("bearer", "bearer"), ("session", "session"), ("basic", "basic")];
    let kinds = field::each(&raw.credentials, |index, kind| {
        report.choose(&place.index(index), kind, &choices)
    })?;
    if raw.credentials.is_empty() && raw.access == "authenticated" {
        report.error(Fault::at(
            &place,
            "at least one of \"bearer\" and \"session\", as access is \"authenticated\"",
        ));
        return None;
    }
    Some(Credentials {
        bearer: kinds.contains(&"bearer"),
        session: kinds.contains(&"session"),
        basic: kinds.contains(&"basic"),
    })
}

fn upstream(
    raw: &file::Route,
    key: &KeyPath,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Option<String>> {
    let place = key.key("upstream");
    let known = around.upstreams.contains(&raw.upstream.as_str());
    if raw.upstream.is_empty() {
        let hint = match (raw.access.as_str(), raw.shadow) {
            ("deny", false) => return Some(None),
            ("deny", true) => "what a shadow route would refuse goes on, and has to go somewhere",
            _ => "only a route with access = \"deny\" needs none",
        };
        report.error(Fault::at(&place, "the name of an upstream").hint(hint));
        return None;
    }
    if !known {
        // An upstream whose name could not be read may be the one that is meant.
        let upstreams = KeyPath::of("upstreams");
        let mut names = (0..around.upstreams.len()).map(|index| upstreams.index(index).key("name"));
        if !report.failed_around(&upstreams) && !names.any(|name| report.failed_around(&name)) {
            let hint = match names::nearest(&raw.upstream, around.upstreams.iter().copied()) {
                Some(nearest) => format!("did you mean {nearest:?}?"),
                None if around.upstreams.is_empty() => "no upstream is configured".to_owned(),
                None => format!("there are {}", around.upstreams.join(", ")),
            };
            report.error(Fault::at(&place, "the name of an upstream").hint(hint));
        }
        return None;
    }
    Some(Some(raw.upstream.clone()))
}

fn strip_prefix(
    raw: &file::Route,
    key: &KeyPath,
    path: Option<&str>,
    report: &mut Report<'_>,
) -> Option<Option<String>> {
    if raw.strip_prefix.is_empty() {
        return Some(None);
    }
    let place = key.key("strip_prefix");
    let prefix = field::path(report, &place, &raw.strip_prefix)?;
    let path = path?;
    if prefix == "/" || !field::lies_within(path, &prefix) {
        let accepted = format!("the route's path {path:?}, or whole segments at its beginning");
        report.error(Fault::at(&place, accepted));
        return None;
    }
    Some(Some(prefix))
}

fn host_header(raw: &file::Route, key: &KeyPath, report: &mut Report<'_>) -> Option<HostHeader> {
    let place = key.key("host_header");
    match raw.host_header.as_str() {
        "preserve" => Some(HostHeader::Preserve),
        "upstream" => Some(HostHeader::Upstream),
        literal => {
            let good = literal.parse::<http::uri::Authority>().is_ok() && !literal.contains('@');
            let value = HeaderValue::from_str(literal).ok().filter(|_| good);
            if value.is_none() {
                let accepted = "\"preserve\", \"upstream\", or a host such as \"app.internal:8080\"";
                report.error(Fault::at(&place, accepted));
            }
            value.map(HostHeader::Literal)
        }
    }
}

fn max_body(raw: &file::Route, key: &KeyPath, report: &mut Report<'_>) -> Option<Option<u64>> {
    match raw.max_body {
        Some(size) if size.0 == 0 => {
            let fault = Fault::at(&key.key("max_body"), "a size of at least one byte, such as \"10MiB\"");
            report.error(fault.hint("leave it out for no limit"));
            None
        }
        size => Some(size.map(|size| size.0)),
    }
}

fn rate_limit(raw: &file::Route, key: &KeyPath, report: &mut Report<'_>) -> Option<Option<rate::Settings>> {
    let (key, raw_limit) = (key.key("rate_limit"), &raw.rate_limit);
    let kinds = [("client", rate::By::Client), ("user", rate::By::User)];
    let by = report.choose(&key.key("by"), &raw_limit.by, &kinds);
    let per = field::positive(report, &key.key("per"), raw_limit.per);
    let unset = file::RateLimit::default();
    let requests = match raw_limit.requests.map(NonZeroU32::new) {
        Some(Some(requests)) => requests,
        None if raw_limit.per.0 == unset.per.0 && raw_limit.by == unset.by => return Some(None),
        Some(None) | None => {
            let fault = Fault::at(&key.key("requests"), "a number of requests, at least 1");
            report.error(fault.hint("access = \"deny\" closes a route; without rate_limit there is no limit"));
            return None;
        }
    };
    if raw.access == "public" && by == Some(rate::By::User) {
        let fault = Fault::at(&key.key("by"), "on a public route nobody is known: clients are counted");
        report.warn(fault.hint("write by = \"client\""));
    }
    Some(Some(rate::Settings {
        requests,
        per: per?,
        by: by?,
    }))
}

/// Whose headers are changed.
#[derive(Clone, Copy)]
enum Side<'a> {
    Request(Option<&'a identity::Settings>),
    Response,
}

fn changes(raw: &file::Headers, key: &KeyPath, side: Side<'_>, report: &mut Report<'_>) -> Option<HeaderChanges> {
    let refused = |reserved: Option<Reserved>| match (side, reserved?) {
        (_, reason @ Reserved::Connection) => Some(reason),
        (Side::Request(_), reason) => Some(reason),
        (Side::Response, Reserved::Host | Reserved::Gateway) => None,
    };
    let identity = match side {
        Side::Request(identity) => identity,
        Side::Response => None,
    };
    let accepted = "a header that is free to be changed";
    let items: Vec<(&String, &String)> = raw.set.iter().collect();
    let set = field::each(&items, |_, (name, value)| {
        let place = key.key("set").key(name);
        let header = field::header_name(report, &place, name)?;
        if let Some(reason) = refused(reserved(&header, identity)) {
            let fault = Fault::at(&place, accepted).found(quoted(name)).about_the_key();
            report.error(fault.hint(reason.reason()));
            return None;
        }
        Some((header, field::header_value(report, &place, value)?))
    });
    let remove = key.key("remove");
    let remove = field::each(&raw.remove, |index, name| {
        let place = remove.index(index);
        let header = field::header_name(report, &place, name)?;
        match reserved(&header, None) {
            Some(reason @ (Reserved::Connection | Reserved::Host)) => {
                report.error(Fault::at(&place, accepted).hint(reason.reason()));
                None
            }
            // How a request came in may be kept from a backend; who it is from may not, and is not.
            _ if identity.is_some_and(|identity| tells_who(identity, &header)) => {
                let hint = "it tells the backend who the user is; [identity_headers] says which of them are sent";
                report.error(Fault::at(&place, accepted).hint(hint));
                None
            }
            Some(Reserved::Gateway) | None => Some(header),
        }
    });
    Some(HeaderChanges {
        set: set?,
        remove: remove?,
    })
}
