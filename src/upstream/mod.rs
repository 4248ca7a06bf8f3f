//! The servers that requests are forwarded to, and the connections to them.
//!
//! An [`Upstream`] is a named group of [`Peer`]s with its limits; [`Upstream::send`] is the one thing that is done with
//! it. Connections are kept per worker (`pool`); what an exchange holds, its [`Body`] gives back when it is at its end.
//! The client on the wire is hyper's, behind `connection`: nobody outside sees it, so that a leaner one can take its place.

mod balance;
mod body;
mod connect;
mod connection;
mod convert;
mod error;
mod io;
mod limit;
mod peer;
mod pool;
mod resolve;
mod send;
mod settings;
mod switch;
#[cfg(test)]
mod tests;

pub use body::{Body, RequestBody};
pub use error::{Error, Fault, Kind};
pub use peer::Peer;
pub use pool::{idle, sweep};
pub use settings::*;
pub use switch::Switched;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::tls::{self, ALPN_H2, ALPN_HTTP_1_1, ClientTls};
use limit::Limit;

/// A named group of servers that requests are forwarded to.
#[derive(Debug)]
pub struct Upstream {
    settings: Settings,
    peers: Vec<Arc<Peer>>,
    limit: Limit,
    turn: AtomicUsize,
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

    /// What stays as it was keeps its identity: peers, so that their connections stay in use, and the limit, so that
    /// exchanges under way count on. Reads certificates and authorities.
    fn build(old: Option<&Self>, settings: &Settings) -> Result<Self, tls::Error> {
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
                None => Arc::new(Peer::new(server.clone(), tls.cloned())),
            });
        }
        let limit = old
            .map(|old| &old.limit)
            .filter(|limit| limit.size() == settings.max_requests)
            .map_or_else(|| Limit::new(settings.max_requests), Limit::clone);
        Ok(Self {
            settings: settings.clone(),
            peers,
            limit,
            turn: AtomicUsize::new(0),
        })
    }
}

/// All upstreams, by name.
#[derive(Debug, Default)]
pub struct Upstreams(HashMap<String, Arc<Upstream>>);

impl Upstreams {
    /// The upstreams of these settings. Whatever is the same in `old` keeps its identity and with it its connections.
    /// Blocks on files.
    pub fn rebuild(old: &Self, settings: &[Settings]) -> Result<Self, tls::Error> {
        settings
            .iter()
            .map(|settings| {
                let upstream = Upstream::build(old.get(&settings.name).map(Arc::as_ref), settings)?;
                Ok((settings.name.clone(), Arc::new(upstream)))
            })
            .collect::<Result<_, _>>()
            .map(Self)
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
