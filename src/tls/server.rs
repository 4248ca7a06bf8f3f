//! TLS towards clients.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

use super::certificate::Certificate;
use super::resolver::{Book, Resolver};
use super::{ALPN_H2, ALPN_HTTP_1_1, Certificates, Error, Settings, Version, provider, self_signed, versions};
use crate::clock::Clock;

/// TLS 1.2 sessions of clients without ticket support that are remembered: a few hundred bytes each.
const REMEMBERED_SESSIONS: usize = 4096;

/// What the `https` listeners speak. Share one: session tickets are good for all listeners and survive every reload.
pub struct ServerTls {
    resolver: Arc<Resolver>,
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
    current: ArcSwap<Current>,
    clock: Clock,
}

/// The configuration in force and the one setting it was built from; certificates are behind the resolver.
struct Current {
    min_version: Version,
    config: Arc<ServerConfig>,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The first DNS name of the certificate, else its subject.
    pub name: String,
    /// `notAfter`, in seconds since the Unix epoch.
    pub not_after: i64,
}

impl ServerTls {
    /// Loads the certificates, or makes the self-signed one. Blocks on files.
    pub fn new(settings: &Settings, clock: Clock) -> Result<Self, Error> {
        let resolver = Arc::new(Resolver::new(load(&settings.certificates, &clock)?));
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| {
            Error::new(
                format!("no session tickets: {error}"),
                "the system has no randomness to give",
            )
        })?;
        let sessions: Arc<dyn StoresServerSessions> = ServerSessionMemoryCache::new(REMEMBERED_SESSIONS);
        let config = build(settings.min_version, &resolver, &tickets, &sessions)?;
        Ok(Self {
            resolver,
            tickets,
            sessions,
            current: ArcSwap::from_pointee(Current {
                min_version: settings.min_version,
                config,
            }),
            clock,
        })
    }

    /// The configuration for a handshake that begins now.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// Loads everything anew and puts it in force for the handshakes that follow. On an error everything stays as it is.
    /// Blocks on files.
    pub fn reload(&self, settings: &Settings) -> Result<(), Error> {
        let book = load(&settings.certificates, &self.clock)?;
        if self.current.load().min_version != settings.min_version {
            let config = build(settings.min_version, &self.resolver, &self.tickets, &self.sessions)?;
            self.current.store(Arc::new(Current {
                min_version: settings.min_version,
                config,
            }));
        }
        self.resolver.replace(book);
        Ok(())
    }

    /// When each certificate in force ends.
    pub fn expiry(&self) -> Vec<Expiry> {
        self.resolver.book().expiry().to_vec()
    }
}

/// No 0-RTT: `max_early_data_size` stays 0, a replayed request is worse than a round trip. The client's order of cipher
/// suites counts: all of ours are good, and the client knows whether it has AES in hardware.
fn build(
    min_version: Version,
    resolver: &Arc<Resolver>,
    tickets: &Arc<dyn ProducesTickets>,
    sessions: &Arc<dyn StoresServerSessions>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(min_version))
        .map_err(|error| Error::new(error, "set tls.min_version to \"1.2\" or \"1.3\""))?
        .with_no_client_auth()
        .with_cert_resolver(resolver.clone());
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
    config.ticketer = tickets.clone();
    config.session_storage = sessions.clone();
    Ok(Arc::new(config))
}

fn load(certificates: &Certificates, clock: &Clock) -> Result<Book, Error> {
    let provider = provider();
    let made;
    let files = match certificates {
        Certificates::Files(files) => files.as_slice(),
        Certificates::SelfSigned(folder) => {
            made = [self_signed::ensure(folder, clock)?];
            &made
        }
    };
    let mut loaded = Vec::with_capacity(files.len());
    for files in files {
        let certificate = Certificate::load(files, &provider)?;
        warn_of(&certificate, &files.cert, clock.unix_seconds());
        loaded.push(certificate);
    }
    Book::new(loaded).ok_or_else(|| Error::new("no certificate is configured", "set tls.certificates"))
}

/// What does not keep a certificate from being served, but clients from accepting it.
fn warn_of(certificate: &Certificate, file: &std::path::Path, now: i64) {
    let (file, name) = (file.display(), &certificate.label);
    if certificate.not_after < now {
        tracing::warn!(%file, name, not_after = certificate.not_after, "the certificate has expired; renew it and reload");
    } else if certificate.not_before > now {
        tracing::warn!(%file, name, not_before = certificate.not_before, "the certificate is not valid yet; check the clock");
    }
    if certificate.names.is_empty() {
        tracing::warn!(%file, name, "the certificate has no DNS name; it is served only where no other one fits");
    }
}
