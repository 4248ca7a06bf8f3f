//! TLS towards clients.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{NoClientAuth, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::{ServerConfig, ServerConnection};

use super::authorities::{Authorities, ClientCertificate};
use super::certificate::Certificate;
use super::resolver::{Book, Resolver};
use super::{
    ALPN_H2, ALPN_HTTP_1_1, Certificates, ClientAuth, Error, Settings, Version, provider, self_signed, versions,
};
use crate::clock::Clock;

/// TLS 1.2 sessions of clients without ticket support that are remembered: a few hundred bytes each.
const REMEMBERED_SESSIONS: usize = 4096;

/// What the `https` listeners speak. Share one: session tickets are good for all listeners, and survive every reload that
/// leaves the authorities of clients as they are.
pub struct ServerTls {
    resolver: Arc<Resolver>,
    current: ArcSwap<Current>,
    clock: Clock,
}

/// What is in force and what it was built from; certificates are behind the resolver.
struct Current {
    min_version: Version,
    authorities: Option<Arc<Authorities>>,
    /// By what is asked of the client: nothing, a certificate if it has one, a certificate.
    sessions: [Sessions; 3],
    /// Likewise.
    configs: [Arc<ServerConfig>; 3],
}

/// What sessions are resumed from. A session carries the client's certificate or the lack of one, so it is not taken on by
/// other authorities, nor where something else is asked of the client.
#[derive(Clone)]
struct Sessions {
    tickets: Arc<dyn ProducesTickets>,
    remembered: Arc<dyn StoresServerSessions>,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The first DNS name of the certificate, else its subject.
    pub name: String,
    /// `notAfter`, in seconds since the Unix epoch.
    pub not_after: i64,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Loads the certificates, or makes the self-signed one. Blocks on files.
    pub fn new(settings: &Settings, clock: Clock) -> Result<Self, Error> {
        let resolver = Arc::new(Resolver::new(load(&settings.certificates, &clock)?));
        let authorities = authorities(settings)?;
        let current = Current::build(settings.min_version, authorities, Sessions::three()?, &resolver)?;
        Ok(Self {
            resolver,
            current: ArcSwap::from_pointee(current),
            clock,
        })
    }

    /// The configuration for a handshake that begins now.
    pub fn config(&self, asked: ClientAuth) -> Arc<ServerConfig> {
        let current = self.current.load();
        let [nothing, optional, required] = &current.configs;
        Arc::clone(match asked {
            ClientAuth::None => nothing,
            ClientAuth::Optional => optional,
            ClientAuth::Required => required,
        })
    }

    /// Loads everything anew and puts it in force for the handshakes that follow. On an error everything stays as it is.
    /// Blocks on files.
    pub fn reload(&self, settings: &Settings) -> Result<(), Error> {
        let book = load(&settings.certificates, &self.clock)?;
        let authorities = authorities(settings)?;
        let current = self.current.load_full();
        let same_clients = match (&current.authorities, &authorities) {
            (None, None) => true,
            (Some(old), Some(new)) => old.is_same(new),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if current.min_version != settings.min_version || !same_clients {
            let (authorities, sessions) = match same_clients {
                true => (current.authorities.clone(), current.sessions.clone()),
                false => (authorities, Sessions::three()?),
            };
            let new = Current::build(settings.min_version, authorities, sessions, &self.resolver)?;
            self.current.store(Arc::new(new));
        }
        self.resolver.replace(book);
        Ok(())
    }

    /// The certificate that the client of this connection showed.
    pub fn shown(connection: &ServerConnection) -> Option<ClientCertificate> {
        connection.peer_certificates().map(ClientCertificate::new)
    }

    /// Whether a client's certificate counts now.
    pub fn accepts(&self, certificate: &ClientCertificate) -> bool {
        let current = self.current.load();
        let authorities = current.authorities.as_ref();
        authorities.is_some_and(|authorities| certificate.is_good(authorities, self.clock.unix_seconds()))
    }

    /// When each certificate in force ends.
    pub fn expiry(&self) -> Vec<Expiry> {
        self.resolver.book().expiry().to_vec()
    }
}

impl Sessions {
    fn three() -> Result<[Self; 3], Error> {
        Ok([Self::new()?, Self::new()?, Self::new()?])
    }

    fn new() -> Result<Self, Error> {
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| {
            Error::new(
                format!("no session tickets: {error}"),
                "the system has no randomness to give",
            )
        })?;
        Ok(Self {
            tickets,
            remembered: ServerSessionMemoryCache::new(REMEMBERED_SESSIONS),
        })
    }
}

impl Current {
    fn build(
        min_version: Version,
        authorities: Option<Arc<Authorities>>,
        sessions: [Sessions; 3],
        resolver: &Arc<Resolver>,
    ) -> Result<Self, Error> {
        let build = |asked, sessions| config(min_version, authorities.as_deref(), asked, sessions, resolver);
        let [nothing, optional, required] = &sessions;
        let configs = [
            build(ClientAuth::None, nothing)?,
            build(ClientAuth::Optional, optional)?,
            build(ClientAuth::Required, required)?,
        ];
        Ok(Self {
            min_version,
            authorities,
            sessions,
            configs,
        })
    }
}

/// No 0-RTT: `max_early_data_size` stays 0, a replayed request is worse than a round trip. The client's order of cipher
/// suites counts: all of ours are good, and the client knows whether it has AES in hardware. Without authorities nobody can
/// be asked for a certificate; whoever needs one is then refused request by request.
fn config(
    min_version: Version,
    authorities: Option<&Authorities>,
    asked: ClientAuth,
    sessions: &Sessions,
    resolver: &Arc<Resolver>,
) -> Result<Arc<ServerConfig>, Error> {
    let clients = match (asked, authorities) {
        (ClientAuth::None, _) | (_, None) => Arc::new(NoClientAuth),
        (ClientAuth::Optional, Some(authorities)) => Arc::clone(&authorities.lenient),
        (ClientAuth::Required, Some(authorities)) => Arc::clone(&authorities.strict),
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(min_version))
        .map_err(|error| Error::new(error, "set tls.min_version to \"1.2\" or \"1.3\""))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(resolver.clone());
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
    config.ticketer = sessions.tickets.clone();
    config.session_storage = sessions.remembered.clone();
    Ok(Arc::new(config))
}

fn authorities(settings: &Settings) -> Result<Option<Arc<Authorities>>, Error> {
    let file = settings.client_ca.as_deref();
    Ok(file.map(Authorities::load).transpose()?.map(Arc::new))
}

fn load(certificates: &Certificates, clock: &Clock) -> Result<Book, Error> {
    let provider = provider();
    let made;
    let files = match certificates {
        Certificates::Files(files) if files.is_empty() => {
            return Err(Error::new("no certificate is configured", "set tls.certificates"));
        }
        Certificates::Files(files) => files.as_slice(),
        Certificates::SelfSigned(folder) => {
            made = [self_signed::ensure(folder, clock)?];
            &made
        }
        Certificates::Unused => &[],
    };
    let mut loaded = Vec::with_capacity(files.len());
    for files in files {
        let certificate = Certificate::load(files, &provider)?;
        warn_of(&certificate, &files.cert, clock.unix_seconds());
        loaded.push(certificate);
    }
    Ok(Book::new(loaded))
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
