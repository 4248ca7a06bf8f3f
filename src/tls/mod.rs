//! Certificates and the settings of TLS, towards clients and towards upstreams.
//!
//! [`ServerTls`] is what an `https` listener speaks: certificates chosen by SNI, exchanged under the running
//! configuration so that a reload drops neither connections nor session tickets, and the authorities of clients. [`ClientTls`] is what we speak towards
//! an `https` upstream. The one provider of cryptography is aws-lc-rs, and it is always passed on explicitly.

mod authorities;
mod certificate;
mod client;
mod error;
mod files;
mod pem;
mod resolver;
mod self_signed;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod trust;

pub use authorities::ClientCertificate;
pub use client::{ClientTls, client_config};
pub use error::Error;
pub use files::{Fingerprint, check_authorities, check_certificate, check_upstream};
pub use server::{Expiry, ServerTls};
pub use settings::*;
pub use trust::Trust;

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};

/// HTTP/2 over TLS, as it is called in ALPN (RFC 9113 section 3.2).
pub const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1 over TLS, as it is called in ALPN (RFC 7301 section 6).
pub const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// The provider of cryptography that every configuration is built with.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The versions from `lowest` upwards.
fn versions(lowest: Version) -> &'static [&'static SupportedProtocolVersion] {
    const ALL: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];
    match lowest {
        Version::Tls12 => ALL,
        Version::Tls13 => NEWEST,
    }
}
