//! Which certificate a client gets.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::server::Expiry;

/// All certificates by the names they are for.
pub(super) struct Book {
    /// Several for one name where the kinds of keys differ.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// Keyed by what stands behind `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// None: there is no certificate at all.
    default: Option<Arc<CertifiedKey>>,
    expiry: Vec<Expiry>,
}

impl Book {
    /// The book of these certificates; the first is the default.
    pub(super) fn new(certificates: Vec<Certificate>) -> Self {
        let mut book = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: certificates.first().map(|certificate| certificate.certified.clone()),
            expiry: Vec::new(),
        };
        for certificate in certificates {
            for name in certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut book.wildcard, parent.to_owned()),
                    None => (&mut book.exact, name),
                };
                names.entry(name).or_default().push(certificate.certified.clone());
            }
            book.expiry.push(Expiry {
                name: certificate.label,
                not_after: certificate.not_after,
            });
        }
        book
    }

    pub(super) fn expiry(&self) -> &[Expiry] {
        &self.expiry
    }

    /// The exact name, then a wildcard for its first label (RFC 6125 section 6.4.3), then the default. Of several
    /// certificates for one name, the first whose key the client can verify.
    pub(super) fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        self.named(name, schemes).or(self.default.as_ref())
    }

    fn named(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let name = name?.trim_end_matches('.').to_ascii_lowercase();
        let candidates = self
            .exact
            .get(&name)
            .or_else(|| self.wildcard.get(name.split_once('.')?.1))?;
        candidates
            .iter()
            .find(|candidate| candidate.key.choose_scheme(schemes).is_some())
            .or(candidates.first())
    }
}

/// The book in force. It outlives reloads, and with it the `ServerConfig` and its session tickets.
pub(super) struct Resolver(ArcSwap<Book>);

impl Resolver {
    pub(super) fn new(book: Book) -> Self {
        Self(ArcSwap::from_pointee(book))
    }

    pub(super) fn replace(&self, book: Book) {
        self.0.store(Arc::new(book));
    }

    pub(super) fn book(&self) -> Arc<Book> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0
            .load()
            .find(hello.server_name(), hello.signature_schemes())
            .cloned()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").finish_non_exhaustive()
    }
}
