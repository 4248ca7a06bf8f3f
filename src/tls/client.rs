//! TLS towards upstreams.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::{Error, Trust, UpstreamTls, Version, pem, provider, versions};

/// The TLS towards the servers of one upstream.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    digest: [u8; 32],
}

impl ClientTls {
    /// Reads the authorities and our own certificate. Blocks on files. `alpn` is what we are ready to speak, dearest
    /// first.
    pub fn load(settings: &UpstreamTls, alpn: &[&[u8]]) -> Result<Self, Error> {
        let mut material = Material::default();
        let config = material.config(settings, alpn)?;
        let server_name = settings.server_name.as_deref().map(parse_server_name).transpose()?;
        material.mix(settings.server_name.as_deref().unwrap_or_default().as_bytes());
        for protocol in alpn {
            material.mix(protocol);
        }
        Ok(Self {
            config: Arc::new(config),
            server_name,
            digest: material.finish(),
        })
    }

    /// The configuration for a handshake.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The name that the certificate of this host has to bear.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, Error> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => parse_server_name(host),
        }
    }

    /// Whether both trust the same authorities and show the same certificate: connections made under one may be used
    /// under the other.
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// The configuration alone, for callers that bring their own connector.
pub fn client_config(settings: &UpstreamTls, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, Error> {
    Ok(Arc::new(Material::default().config(settings, alpn)?))
}

fn parse_server_name(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        Error::new(
            format!("`{name}` is no host name and no address"),
            "set tls.server_name",
        )
    })
}

/// A digest over all that a configuration was made from.
struct Material(Context);

impl Default for Material {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Material {
    /// Length first, so that no two sequences of pieces look alike.
    fn mix(&mut self, piece: &[u8]) {
        self.0.update(&piece.len().to_be_bytes());
        self.0.update(piece);
    }

    fn finish(self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        digest
    }

    fn config(&mut self, settings: &UpstreamTls, alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
        let trust = self.trust(settings)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(Version::Tls12))
            .map_err(|error| Error::new(error, "report this"))?
            .dangerous()
            .with_custom_certificate_verifier(trust.verifier());
        let mut config = match &settings.client {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let cert = pem::read(&files.cert)?;
                let key = pem::read(&files.key)?;
                self.mix(&cert);
                self.mix(&key);
                let (chain, key) = (
                    pem::certificates(&files.cert, &cert)?,
                    pem::private_key(&files.key, &key)?,
                );
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    Error::in_file(
                        &files.key,
                        format!("cannot be used with {}: {error}", files.cert.display()),
                        "give the private key that the client certificate was issued for",
                    )
                })?
            }
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }

    fn trust(&mut self, settings: &UpstreamTls) -> Result<Trust, Error> {
        let Some(file) = &settings.ca else {
            let system = rustls_native_certs::load_native_certs();
            for certificate in &system.certs {
                self.mix(certificate);
            }
            let trust = Trust::of_system(system.certs);
            return match trust.is_empty() {
                true => Err(Error::new(
                    "the system has no trusted authorities",
                    "install its CA certificates (package ca-certificates), or set tls.ca of the upstream",
                )),
                false => Ok(trust),
            };
        };
        let content = pem::read(file)?;
        self.mix(&content);
        Trust::of_named(pem::certificates(file, &content)?).map_err(|error| {
            let problem = format!("holds a certificate that cannot be an authority: {error}");
            Error::in_file(file, problem, "give the authority's certificate as PEM")
        })
    }
}
