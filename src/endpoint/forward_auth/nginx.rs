//! nginx's `auth_request`, and ingress-nginx. nginx says nothing about the original request by itself: its configuration does,
//! in two headers of its own, which no client can send along since nginx puts its own in their place.

use super::fields::{ORIGINAL_METHOD, ORIGINAL_URL, fault, method, only, scheme};
use super::{Fault, FaultKind, Head, Original};
use crate::route::Host;

pub(super) fn read<'a>(head: &Head<'a>) -> Result<Original<'a>, Fault> {
    let malformed = |text| fault(text, FaultKind::Malformed);
    let text = only(head.headers, &ORIGINAL_METHOD, "X-Original-Method")?;
    let method = method(text).ok_or(malformed("X-Original-Method"))?;
    let url = only(head.headers, &ORIGINAL_URL, "X-Original-URL")?;
    let broken = || malformed("X-Original-URL");
    let (text, rest) = url.split_once("://").ok_or_else(broken)?;
    let (secure, web_socket) = scheme(text).ok_or_else(broken)?;
    let border = rest.find('/').ok_or_else(broken)?;
    let (authority, target) = rest.split_at_checked(border).ok_or_else(broken)?;
    let host = Host::parse(authority).map_err(|_| broken())?;
    Ok(Original {
        method,
        secure: Some(secure),
        web_socket,
        host: Some(host),
        authority,
        target,
    })
}

pub(super) fn advice(fault: &Fault) -> &'static str {
    match fault.field {
        "X-Original-Method" => {
            "add `proxy_set_header X-Original-Method $request_method;` to the location that auth_request names"
        }
        _ => {
            "add `proxy_set_header X-Original-URL $scheme://$host$request_uri;` to the location that auth_request names"
        }
    }
}
