//! Envoy's `ext_authz` over HTTP. The question is the original request itself, with the endpoint's path before its own, and
//! with those headers alone that Envoy's configuration allows.

use super::fields::{PROTO, at_most_one, fault, scheme};
use super::{Fault, FaultKind, Head, Original};
use crate::route::Host;

pub(super) fn read<'a>(head: &Head<'a>) -> Result<Original<'a>, Fault> {
    let malformed = |text| fault(text, FaultKind::Malformed);
    let told = at_most_one(head.headers, &PROTO, "X-Forwarded-Proto")?;
    let told = told.map(|text| scheme(text).ok_or(malformed("X-Forwarded-Proto")));
    let told = told.transpose()?;
    let host = head.authority.map(Host::parse).transpose();
    if !head.rest.starts_with('/') {
        // Every path begins with a slash, whatever a client sends.
        return Err(fault("the path behind the endpoint's", FaultKind::Missing));
    }
    Ok(Original {
        method: head.method.clone(),
        secure: told.map(|(secure, _)| secure),
        web_socket: told.is_some_and(|(_, web_socket)| web_socket),
        host: host.map_err(|_| malformed("Host"))?,
        authority: head.authority.unwrap_or_default(),
        target: head.rest,
    })
}

pub(super) fn advice(fault: &Fault) -> &'static str {
    match fault.field {
        "X-Forwarded-Proto" => {
            "Envoy sends one: list `exact: x-forwarded-proto` once in authorization_request.allowed_headers, and take it out of headers_to_add"
        }
        "Host" => "Envoy sends the client's Host: take `host` out of authorization_request.headers_to_add",
        _ => {
            "set path_prefix of ext_authz's http_service to the endpoint's path, without a slash at its end, and no path in server_uri"
        }
    }
}
