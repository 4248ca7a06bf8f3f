//! What a backend would get of a tried request, written by those who write it for every request.

use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderMap, HeaderValue};

use super::told::{field, titled};
use super::{Trial, parts};
use crate::admission::{HostHeader, Permit, RouteEntry};
use crate::explain::{Field, Forwarding};
use crate::gateway::client::ConnectionValues;
use crate::gateway::{Client, Gateway, Record, RequestId, Snapshot, address};
use crate::headers::Sifted;
use crate::problem::Problem;
use crate::proxy::{self, Outgoing, Upgrade};
use crate::route::Host;
use crate::upstream::Upstream;

/// What stands in place of values that are made anew for each request.
const ANEW: &str = "(made for each request)";

/// What a backend gets.
pub(super) fn forwarding(
    snapshot: &Snapshot,
    trial: &Trial,
    permit: &Permit,
    entry: &Arc<RouteEntry>,
    (preflight, upgrade): (bool, Option<&Upgrade>),
) -> Result<Forwarding, Problem> {
    let name = entry.route.upstream.clone().unwrap_or_default();
    let upstream = snapshot.upstreams.get(&name);
    let host = trial.address.host.as_deref().unwrap_or(&trial.default_host);
    let mut parts = parts(trial, host)?;
    if let Some((name, value)) = trial.shows.field(permit.proof(), snapshot.verifier.issuer()) {
        parts.headers.insert(name, value);
    }
    let sent = parts.headers.clone();
    let is_proxy = snapshot.trusted_proxies.contain(trial.client);
    let sifted: Sifted = snapshot.reserved.sift(&mut parts.headers, is_proxy);
    let secure = trial.address.secure;
    let client = Client::behind(
        trial.client,
        is_proxy,
        secure,
        &sifted.forwarded,
        &snapshot.trusted_proxies,
    );
    let authority = address::authority(&parts)?;
    let port = authority
        .as_ref()
        .and_then(|host| Host::parse(host.to_str().ok()?).ok()?.port());
    let port = port.unwrap_or(if secure { 443 } else { 80 });
    let own = ConnectionValues {
        address: value(&trial.client.to_canonical().to_string()),
        port: HeaderValue::from(port),
    };
    let mut record = Record::begun(Instant::now());
    record.preflight = preflight.then(|| trial.method.clone());
    let kept_id = sifted.forwarded.request_id.clone();
    record.id = RequestId {
        id: Some(kept_id.unwrap_or_else(|| value(ANEW))),
        trace: Some(value(ANEW)),
    };
    let outgoing: Outgoing<'_, ()> = Gateway::outgoing(
        snapshot,
        &mut parts,
        (),
        sifted,
        authority,
        (&own, &client),
        permit,
        &mut record,
    );
    let (mut head, _) = proxy::write_head(permit, entry, outgoing, None).map_err(Problem::from)?;
    if let Some(upgrade) = upgrade {
        upgrade.ask(&mut head.headers);
    }
    if entry.route.host_header == HostHeader::Upstream {
        write_host(&mut head.headers, upstream);
    }
    let mut told = Forwarding {
        upstream: name,
        servers: upstream.map_or(Vec::new(), |upstream| {
            let servers = &upstream.settings().servers;
            servers.iter().map(ToString::to_string).collect()
        }),
        target: head.uri.to_string(),
        stripped: Vec::new(),
        added: Vec::new(),
        kept: Vec::new(),
        reserved: snapshot.reserved.names().iter().map(|name| titled(name)).collect(),
    };
    compare(&sent, &head.headers, &mut told);
    Ok(told)
}

/// Which fields go on as they were sent, and which do not.
fn compare(sent: &HeaderMap, head: &HeaderMap, told: &mut Forwarding) {
    for name in sent.keys() {
        let before: Vec<_> = sent.get_all(name).iter().collect();
        let after: Vec<_> = head.get_all(name).iter().collect();
        let list = if before == after {
            &mut told.kept
        } else {
            &mut told.stripped
        };
        list.extend(before.iter().map(|value| field(name, value)));
    }
    for name in head.keys() {
        let before: Vec<_> = sent.get_all(name).iter().collect();
        let after: Vec<_> = head.get_all(name).iter().collect();
        if before != after {
            told.added.extend(after.iter().map(|value| field(name, value)));
        }
    }
    for list in [&mut told.stripped, &mut told.added, &mut told.kept] {
        list.sort_by(|one: &Field, other| one.name.cmp(&other.name));
    }
}

/// The server's own host, which is written where it is known which server that is.
fn write_host(headers: &mut HeaderMap, upstream: Option<&Arc<Upstream>>) {
    let servers = upstream.map_or(&[][..], |upstream| &upstream.settings().servers);
    let mut hosts: Vec<String> = servers.iter().map(crate::upstream::Server::host).collect();
    hosts.dedup();
    let text = match hosts.as_slice() {
        [one] => one.clone(),
        several => format!("(of the server that is chosen: {})", several.join(", ")),
    };
    headers.insert(header::HOST, value(&text));
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
