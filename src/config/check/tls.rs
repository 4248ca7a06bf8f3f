//! `[tls]`, and what routes ask of clients in the handshake.

use std::path::{Path, PathBuf};

use super::field;
use crate::config::file::{self, Shape};
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::config::{Listener, Protocol};
use crate::tls::{self, CertificateFiles, Certificates, ClientAuth, Settings, Version};

const CLIENT_AUTH: [(&str, ClientAuth); 3] = [
    ("none", ClientAuth::None),
    ("optional", ClientAuth::Optional),
    ("required", ClientAuth::Required),
];

/// `[tls]`.
pub fn tls(tls: &file::Tls, data_dir: &Path, listeners: &[Listener], report: &mut Report<'_>) -> Option<Settings> {
    let key = KeyPath::of("tls");
    let versions = [("1.2", Version::Tls12), ("1.3", Version::Tls13)];
    let min_version = report.choose(&key.key("min_version"), &tls.min_version, &versions);
    let client_auth = report.choose(&key.key("client_auth"), &tls.client_auth, &CLIENT_AUTH);
    let client_ca = client_ca(tls, &key.key("client_ca"), report);
    let place = key.key("certificates");
    let files = field::each(&tls.certificates, |index, files| {
        certificate(files, &place.index(index), report)
    })?;
    Some(Settings {
        certificates: certificates(files, &place, data_dir, listeners, report),
        min_version: min_version?,
        client_ca: client_ca?,
        client_auth: client_auth?,
    })
}

fn certificates(
    files: Vec<CertificateFiles>,
    place: &KeyPath,
    data_dir: &Path,
    listeners: &[Listener],
    report: &mut Report<'_>,
) -> Certificates {
    if !files.is_empty() {
        return Certificates::Files(files);
    }
    let secure = |listener: &&Listener| listener.protocol == Protocol::Https;
    if !listeners.iter().any(|listener| secure(&listener)) {
        return Certificates::Unused;
    }
    let public = |listener: &&Listener| secure(listener) && !listener.address.ip().is_loopback();
    if let (Some(listener), false) = (listeners.iter().find(public), report.failed(place)) {
        let message = format!("{} shows a self-signed certificate for localhost", listener.name);
        report.warn(Fault::at(place, message).hint("set tls.certificates"));
    }
    Certificates::SelfSigned(data_dir.join("tls"))
}

/// A certificate and its key, read as they will be.
fn certificate(files: &file::Certificate, key: &KeyPath, report: &mut Report<'_>) -> Option<CertificateFiles> {
    let cert = field::file(report, &key.key("cert"), &files.cert);
    let private = field::file(report, &key.key("key"), &files.key);
    let files = CertificateFiles {
        cert: cert?,
        key: private?,
    };
    let error = match tls::check_certificate(&files) {
        Ok(()) => return Some(files),
        Err(error) => error,
    };
    if error.file() == Some(&files.cert) {
        unusable(report, &key.key("cert"), "a certificate that can be shown", &error);
    } else {
        let accepted = "the private key of the certificate beside it";
        unusable(report, &key.key("key"), accepted, &error);
    }
    None
}

fn client_ca(tls: &file::Tls, key: &KeyPath, report: &mut Report<'_>) -> Option<Option<PathBuf>> {
    let file = field::optional_file(report, key, &tls.client_ca)?;
    if let Some(Err(error)) = file.as_deref().map(tls::check_authorities) {
        unusable(report, key, "the authorities of your clients", &error);
        return None;
    }
    Some(file)
}

/// A file that is there and is not what it should be.
pub fn unusable(report: &mut Report<'_>, key: &KeyPath, accepted: &str, error: &tls::Error) {
    report.error(Fault::at(key, accepted).hint(error.to_string()));
}

/// What a route asks of clients; where it says nothing, what `[tls]` says.
pub fn of_route(raw: &file::Route, key: &KeyPath, shape: &Shape, report: &mut Report<'_>) -> Option<ClientAuth> {
    if !raw.client_auth.is_empty() {
        return report.choose(&key.key("client_auth"), &raw.client_auth, &CLIENT_AUTH);
    }
    // A word that means nothing is reported where it stands.
    let default = CLIENT_AUTH.iter().find(|(word, _)| *word == shape.tls.client_auth);
    Some(default.map_or(ClientAuth::Required, |(_, meaning)| *meaning))
}

/// Whoever asks for certificates needs authorities to verify them, and a listener where they can be shown.
pub fn client_auth(shape: &Shape, report: &mut Report<'_>) {
    let whole = KeyPath::of("tls").key("client_auth");
    let routes = shape.routes.iter().enumerate();
    let routes = routes.map(|(index, route)| {
        (
            KeyPath::of("routes").index(index).key("client_auth"),
            &route.client_auth,
        )
    });
    let asking: Vec<KeyPath> = std::iter::once((whole, &shape.tls.client_auth))
        .chain(routes)
        .filter(|(_, word)| matches!(word.as_str(), "optional" | "required"))
        .map(|(key, _)| key)
        .collect();
    let client_ca = KeyPath::of("tls").key("client_ca");
    if shape.tls.client_ca.is_empty() {
        for key in &asking {
            let fault = Fault::at(key, "\"none\", as there is no tls.client_ca");
            report.error(fault.hint("set tls.client_ca to the authorities of your clients"));
        }
    } else if asking.is_empty() {
        let message = "it has no effect: no client is asked for a certificate";
        report.warn(Fault::at(&client_ca, message).hint("set tls.client_auth, or client_auth of a route"));
    } else if !shape.listeners.is_empty() && !shape.listeners.iter().any(|listener| listener.protocol == "https") {
        let message = "no client can show a certificate: no listener speaks https";
        report.warn(Fault::at(&client_ca, message));
    }
}
