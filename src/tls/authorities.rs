//! Whose client certificates count, and the certificate that a client showed.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Error, pem, provider};

/// The authorities of `tls.client_ca`.
pub(super) struct Authorities {
    /// Refuses a handshake without a certificate.
    pub(super) strict: Arc<dyn ClientCertVerifier>,
    /// Lets one without a certificate pass.
    pub(super) lenient: Arc<dyn ClientCertVerifier>,
    digest: Vec<u8>,
}

impl Authorities {
    /// Reads a PEM bundle. Blocks on the file.
    pub(super) fn load(file: &Path) -> Result<Self, Error> {
        let content = pem::read(file)?;
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(file, &content)? {
            roots.add(certificate).map_err(|error| {
                Error::in_file(
                    file,
                    format!("holds a certificate that cannot be an authority: {error}"),
                    "give the authority's certificate as PEM",
                )
            })?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let unusable = |error| Error::in_file(file, error, "give the certificates of your clients' authority as PEM");
        Ok(Self {
            strict: builder.clone().build().map_err(unusable)?,
            lenient: builder.allow_unauthenticated().build().map_err(unusable)?,
            digest: digest(&SHA256, &content).as_ref().to_vec(),
        })
    }

    /// Whether both were read from the same bytes.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// When a chain stops being good, in seconds since the Unix epoch; `None`: it is not good now.
    fn good_until(&self, chain: &[CertificateDer<'static>], now: i64) -> Option<i64> {
        let (leaf, issuers) = chain.split_first()?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).ok()?));
        self.strict.verify_client_cert(leaf, issuers, time).ok()?;
        let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
        Some(leaf.validity().not_after.timestamp())
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authorities").finish_non_exhaustive()
    }
}

/// The certificate that a client showed in its handshake, or in the one that this session was resumed from.
///
/// That it was good then says nothing about now: authorities are exchanged, certificates end, and a resumed handshake looks
/// at neither. So it is verified here, once under each set of authorities, whatever the handshake did.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    judged: Mutex<Option<Judgement>>,
}

/// What was found under which authorities.
struct Judgement {
    authorities: Arc<Authorities>,
    good_until: Option<i64>,
}

impl ClientCertificate {
    pub(super) fn new(chain: &[CertificateDer<'_>]) -> Self {
        Self {
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            judged: Mutex::new(None),
        }
    }

    pub(super) fn is_good(&self, authorities: &Arc<Authorities>, now: i64) -> bool {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let good_until = match &*judged {
            Some(known) if Arc::ptr_eq(&known.authorities, authorities) => known.good_until,
            Some(_) | None => {
                let good_until = authorities.good_until(&self.chain, now);
                *judged = Some(Judgement {
                    authorities: Arc::clone(authorities),
                    good_until,
                });
                good_until
            }
        };
        good_until.is_some_and(|end| now <= end)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}
