//! `[[policy_tests]]`.

use http::Method;

use super::field;
use crate::config::file::{self, Shape};
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report, quoted};
use crate::explain::{Address, Expect, PolicyTest};
use crate::route::Host;

/// Who asks where no host is written: the one that is nobody's.
const ANY_HOST: &str = "localhost";

/// All of them.
pub fn policy_tests(shape: &Shape, report: &mut Report<'_>) -> Option<Vec<PolicyTest>> {
    let key = KeyPath::of("policy_tests");
    field::each(&shape.policy_tests, |index, raw| test(raw, &key.index(index), report))
}

fn test(raw: &file::PolicyTest, key: &KeyPath, report: &mut Report<'_>) -> Option<PolicyTest> {
    let asked = request(&raw.request, &key.key("request"), report);
    let expect = report.choose(&key.key("expect"), &raw.expect, &Expect::WORDS);
    let roles = match (&raw.roles, raw.anonymous) {
        (Some(roles), false) => {
            field::roles(report, &key.key("roles"), roles).map(|roles| Some(roles.into_iter().collect()))
        }
        (None, true) => Some(None),
        (Some(_), true) => {
            let fault = Fault::at(&key.key("anonymous"), "either roles or anonymous = true");
            report.error(fault.hint("who has roles is not anonymous: keep one of the two"));
            None
        }
        (None, false) => {
            let fault = Fault::at(key, "roles, or anonymous = true");
            report.error(fault.hint("say who asks; roles = [] is somebody who is logged in and has none"));
            None
        }
    };
    let client = match raw.client.as_str() {
        "" => Some(None),
        text => match text.parse() {
            Ok(client) => Some(Some(client)),
            Err(_) => {
                report.error(Fault::at(
                    &key.key("client"),
                    "an address such as \"10.1.2.3\" or \"2001:db8::1\"",
                ));
                None
            }
        },
    };
    let (method, address) = asked?;
    Some(PolicyTest {
        place: report.place(key),
        request: raw.request.clone(),
        method,
        host: address.host.unwrap_or_else(|| ANY_HOST.to_owned()),
        target: address.target,
        roles: roles?,
        client: client?,
        certificate: raw.client_certificate,
        expect: expect?,
    })
}

fn request(text: &str, key: &KeyPath, report: &mut Report<'_>) -> Option<(Method, Address)> {
    let fault = || {
        Fault::at(
            key,
            "a method and a URL, such as \"GET https://shop.example.com/orders\"",
        )
        .found(quoted(text))
    };
    let Some((method, url)) = text.trim().split_once(' ') else {
        report.error(fault());
        return None;
    };
    let method = match Method::from_bytes(method.as_bytes()) {
        Ok(method) if method.as_str().to_ascii_uppercase() == method.as_str() => method,
        Ok(_) | Err(_) => {
            report.error(fault().hint("the method stands first, in capitals"));
            return None;
        }
    };
    let address = match Address::parse(url.trim()) {
        Ok(address) => address,
        Err(error) => {
            report.error(fault().hint(error.to_string()));
            return None;
        }
    };
    if address.host.as_ref().is_some_and(|host| Host::parse(host).is_err()) {
        report.error(fault().hint("the host is malformed"));
        return None;
    }
    Some((method, address))
}
