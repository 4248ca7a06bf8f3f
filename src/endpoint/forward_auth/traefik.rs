//! Traefik's `ForwardAuth`, and HAProxy's auth-request. Traefik says everything by itself, and deletes what a client said
//! under these names unless `trustForwardHeader` or an entry point's `forwardedHeaders` tell it otherwise.

use super::fields::forwarded;
use super::{Fault, Head, Original};

pub(super) fn read<'a>(head: &Head<'a>) -> Result<Original<'a>, Fault> {
    forwarded(head)
}

pub(super) fn advice(fault: &Fault) -> &'static str {
    match fault.field {
        "X-Forwarded-Method" => {
            "Traefik sends it by itself, whatever authRequestHeaders says: make sure that the middleware is a `forwardAuth` whose address ends in /traefik, and that no proxy in between takes the field out or adds another; with HAProxy's auth-request, add `http-request set-header X-Forwarded-Method %[method]` and name it in the headers that are sent"
        }
        "X-Forwarded-Proto" => {
            "Traefik sends it by itself, whatever authRequestHeaders says: make sure that the middleware is a `forwardAuth` whose address ends in /traefik, and that no proxy in between takes the field out or adds another; with HAProxy's auth-request, add `http-request set-header X-Forwarded-Proto https` and name it in the headers that are sent"
        }
        "X-Forwarded-Host" => {
            "Traefik sends it by itself, whatever authRequestHeaders says: make sure that the middleware is a `forwardAuth` whose address ends in /traefik, and that no proxy in between takes the field out or adds another; with HAProxy's auth-request, add `http-request set-header X-Forwarded-Host %[req.hdr(Host)]` and name it in the headers that are sent"
        }
        _ => {
            "Traefik sends it by itself, whatever authRequestHeaders says: make sure that the middleware is a `forwardAuth` whose address ends in /traefik, and that no proxy in between takes the field out or adds another; with HAProxy's auth-request, add `http-request set-header X-Forwarded-Uri %[pathq]` and name it in the headers that are sent"
        }
    }
}
