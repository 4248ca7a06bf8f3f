//! `[forward_auth]`.

use super::field;
use crate::admission::Route;
use crate::authz::Access;
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::endpoint::forward_auth::{Login, Settings};
use crate::{endpoint, session};

/// `[forward_auth]`.
pub fn forward_auth(raw: &file::ForwardAuth, report: &mut Report<'_>) -> Option<Settings> {
    let key = KeyPath::of("forward_auth");
    let login = match raw.login_url.as_str() {
        "" => Some(None),
        text => match text.parse::<Login>() {
            Ok(login) => Some(Some(login)),
            Err(error) => {
                let fault = Fault::at(
                    &key.key("login_url"),
                    "a URL such as \"https://login.example.com/auth/login\", or \"\" for the gateway's own page",
                );
                report.error(fault.hint(error.to_string()));
                None
            }
        },
    };
    let hosts = key.key("allowed_redirect_hosts");
    let allowed = field::each(&raw.allowed_redirect_hosts, |index, host| {
        field::host(report, &hosts.index(index), host, false)
    });
    Some(Settings {
        login: login?,
        allowed_redirect_hosts: allowed?,
    })
}

/// A login on another host helps only where its cookie comes to the route's host as well.
pub fn reach_of_login(settings: &Settings, cookies: &session::Settings, routes: &[Route], report: &mut Report<'_>) {
    let Some(login) = settings.login.as_ref().and_then(Login::host) else {
        return;
    };
    let covers = |host: &str| {
        let domain = cookies.domain.as_deref();
        domain.is_some_and(|domain| endpoint::lies_below(host.strip_prefix("*.").unwrap_or(host), domain))
    };
    for route in routes {
        let asks = matches!(route.rule.access, Access::Authenticated | Access::Optional) && route.credentials.session;
        let out_of_reach = |host: &&String| asks && *host != login && !(covers(host) && covers(login));
        let Some(host) = route.hosts.iter().find(out_of_reach) else {
            continue;
        };
        let fault = Fault::at(
            &KeyPath::of("forward_auth").key("login_url"),
            "a page whose cookie comes to the hosts of all routes",
        );
        report.error(fault.hint(format!(
            "browsers do not send the cookie of {login} to {host} (route {:?}): set cookies.domain to a domain above both, or leave login_url out",
            route.name
        )));
        return;
    }
}
