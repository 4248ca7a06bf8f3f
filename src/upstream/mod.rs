//! The servers that requests are forwarded to, and the connections to them.
//!
//! An [`Upstream`] is a named group of [`Peer`]s with its limits; [`Upstream::send`] is the one thing that is done with
//! it. Connections are kept per worker (`pool`); what an exchange holds, its [`Body`] gives back when it is at its end.
//! The client on the wire is our own for HTTP/1.1 (`http1`) and hyper's for HTTP/2, both behind `connection`.

mod balance;
mod body;
mod connect;
mod connection;
mod convert;
mod error;
mod health;
mod health_check;
mod http1;
mod io;
mod limit;
mod names;
mod peer;
mod pool;
mod resolve;
mod send;
mod settings;
mod switched;
#[cfg(test)]
mod tests;

pub use body::{Body, RequestBody};
pub use error::{Error, Fault, Kind};
pub use http1::fuzz_response;
pub use names::SystemNames;
pub use peer::Peer;
pub use pool::{idle, sweep};
pub use resolve::{Answer, Names};
pub use settings::*;
pub use switched::Switched;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::office::Office;
use crate::telemetry::{Metrics, UpstreamSeries};
use crate::tls::{self, ALPN_H2, ALPN_HTTP_1_1, ClientTls};
use health_check::Checks;
use limit::Limit;

/// What upstreams work with.
#[derive(Clone, Copy, Debug)]
pub struct Tools<'a> {
    /// Who knows the addresses of names.
    pub names: &'a Arc<dyn Names>,
    /// Where figures are kept.
    pub metrics: &'a Metrics,
}

/// A named group of servers that requests are forwarded to.
#[derive(Debug)]
pub struct Upstream {
    settings: Settings,
    peers: Vec<Arc<Peer>>,
    checks: Vec<Arc<Checks>>,
    limit: Limit,
    turn: Arc<AtomicUsize>,
    series: Arc<UpstreamSeries>,
}

impl Upstream {
    /// How it is configured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its servers, in the order of the configuration.
    pub fn peers(&self) -> &[Arc<Peer>] {
        &self.peers
    }

    /// Its figures.
    pub fn series(&self) -> &UpstreamSeries {
        &self.series
    }

    /// What stays as it was keeps its identity: peers, so that their connections stay in use, and the limit, so that
    /// exchanges under way count on. Reads certificates and authorities.
    fn build(old: Option<&Self>, settings: &Settings, tools: Tools<'_>) -> Result<Self, tls::Error> {
        let secure = settings.servers.iter().any(|server| server.protocol == Protocol::Https);
        let tls = match secure {
            true => Some(Arc::new(ClientTls::load(&settings.tls, &[ALPN_H2, ALPN_HTTP_1_1])?)),
            false => None,
        };
        let mut known: Vec<Arc<Peer>> = old.map(|old| old.peers.clone()).unwrap_or_default();
        let mut peers = Vec::with_capacity(settings.servers.len());
        for server in &settings.servers {
            let tls = tls.as_ref().filter(|_| server.protocol == Protocol::Https);
            let place = known.iter().position(|peer| peer.is_same(server, tls.map(Arc::as_ref)));
            peers.push(match place {
                Some(place) => known.swap_remove(place),
                None => Arc::new(Peer::new(server.clone(), tls.cloned(), tools.names)),
            });
        }
        let limit = old
            .map(|old| &old.limit)
            .filter(|limit| limit.size() == settings.max_requests)
            .map_or_else(|| Limit::new(settings.max_requests), Limit::clone);
        let checks = settings.health.as_ref().map_or_else(Vec::new, |health| {
            let known = old.map_or(&[][..], |old| &old.checks);
            let of = |peer: &Arc<Peer>| {
                let same = known.iter().find(|checks| checks.are(peer, health)).cloned();
                same.unwrap_or_else(|| Arc::new(Checks::new(&settings.name, Arc::clone(peer), health.clone())))
            };
            peers.iter().map(of).collect()
        });
        Ok(Self {
            settings: settings.clone(),
            peers,
            checks,
            limit,
            turn: old.map(|old| Arc::clone(&old.turn)).unwrap_or_default(),
            series: tools.metrics.upstream(&settings.name),
        })
    }
}

/// All upstreams, by name.
#[derive(Debug, Default)]
pub struct Upstreams(HashMap<String, Arc<Upstream>>);

impl Upstreams {
    /// The upstreams of these settings. Whatever is the same in `old` keeps its identity and with it its connections.
    /// Blocks on files.
    pub fn rebuild(old: &Self, settings: &[Settings], tools: Tools<'_>) -> Result<Self, tls::Error> {
        settings
            .iter()
            .map(|settings| {
                let upstream = Upstream::build(old.get(&settings.name).map(Arc::as_ref), settings, tools)?;
                Ok((settings.name.clone(), Arc::new(upstream)))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// What keeps these settings from being used, without using them. Blocks on files.
    pub fn check(settings: &[Settings]) -> Result<(), tls::Error> {
        let names: Arc<dyn Names> = Arc::new(names::NoNames);
        let tools = Tools {
            names: &names,
            metrics: &Metrics::new(1),
        };
        Self::rebuild(&Self::default(), settings, tools).map(drop)
    }

    /// Begins what goes on in the office for as long as these upstreams are in force: checks of servers and the look-ups of
    /// their names. What goes on already, for servers that were kept, goes on; what belongs to servers that are gone ends
    /// by itself. Called once these are in force, and not before: a configuration that is only tried has no effects.
    pub fn watch(&self, office: &Office) {
        for upstream in self.iter() {
            for peer in &upstream.peers {
                if upstream.settings.health.is_none() {
                    peer.health().unchecked(peer.named(&upstream.settings.name));
                }
                if let Some(resolver) = peer.resolver_to_keep() {
                    office.spawn(resolve::keep_fresh(Arc::downgrade(resolver)));
                }
            }
            for checks in upstream.checks.iter().filter(|checks| checks.begin()) {
                office.spawn(health_check::go_on(Arc::downgrade(checks)));
            }
        }
    }

    /// The upstream of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(name)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.values()
    }
}
