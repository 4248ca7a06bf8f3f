//! Caddy's `forward_auth`. Caddy says everything by itself: method and URI always anew, the rest too unless the client is one
//! of its own `trusted_proxies`.

use super::fields::forwarded;
use super::{Fault, Head, Original};

pub(super) fn read<'a>(head: &Head<'a>) -> Result<Original<'a>, Fault> {
    forwarded(head)
}

pub(super) fn advice(fault: &Fault) -> &'static str {
    match fault.field {
        "X-Forwarded-Method" => {
            "forward_auth sends it by itself; in a reverse_proxy written out by hand, add `header_up X-Forwarded-Method {method}`"
        }
        "X-Forwarded-Uri" => {
            "forward_auth sends it by itself; in a reverse_proxy written out by hand, add `header_up X-Forwarded-Uri {uri}`"
        }
        "X-Forwarded-Host" => {
            "reverse_proxy sends it by itself: take out the line `header_up -X-Forwarded-Host`, or one that sets it to something else"
        }
        _ => {
            "reverse_proxy sends it by itself: take out the line `header_up -X-Forwarded-Proto`, or one that sets it to something else"
        }
    }
}
