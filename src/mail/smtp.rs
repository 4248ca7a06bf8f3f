//! SMTP (RFC 5321), as lettre speaks it.

use std::error::Error as _;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::{self};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::{Delivery, Outgoing, Security, Settings, Transport, Undelivered};

/// A mail server. Each message has a connection of its own: mails are few and far between.
#[derive(Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    timeout: std::time::Duration,
}

impl Smtp {
    /// Connects nothing yet. Fails where the system's authorities cannot be read, or the host is no name.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let server = &settings.server;
        let tls = || TlsParameters::new_rustls(server.host.clone()).map_err(|error| error.to_string());
        let tls = match server.security {
            Security::Tls => Tls::Wrapper(tls()?),
            Security::StartTls => Tls::Required(tls()?),
            Security::Plain => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.clone())
            .port(server.port)
            .tls(tls)
            .timeout(Some(settings.timeout));
        if let Some((name, password)) = &server.login {
            builder = builder.credentials(Credentials::new(name.clone(), password.expose().clone()));
        }
        Ok(Self {
            transport: builder.build(),
            timeout: settings.timeout,
        })
    }
}

impl Transport for Smtp {
    fn deliver(&self, message: Outgoing) -> Delivery<'_> {
        Box::pin(async move {
            let sent = self.transport.send_raw(&message.envelope, &message.bytes);
            // One deadline over all steps: a server that answers each of them at the last moment is late as well.
            match tokio::time::timeout(self.timeout, sent).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(judge(&error)),
                Err(_) => Err(Undelivered::Later(format!(
                    "the mail server took longer than {}",
                    humantime::format_duration(self.timeout)
                ))),
            }
        })
    }
}

/// Answers that are about us and our password, not about the message: an operator mends those (RFC 4954 section 6).
const ABOUT_US: [u16; 4] = [530, 534, 535, 538];

fn judge(error: &smtp::Error) -> Undelivered {
    let status = error.status().map(u16::from);
    match status {
        Some(code) if error.is_permanent() && !ABOUT_US.contains(&code) => {
            Undelivered::Never(format!("the mail server refused it with {code}{}", said(error)))
        }
        Some(code) => Undelivered::Later(format!("the mail server answered {code}{}", said(error))),
        None => Undelivered::Later(error.to_string()),
    }
}

/// The server's own words, which say more than its number: over a quota, on a list, no such mailbox.
fn said(error: &smtp::Error) -> String {
    match error.source() {
        Some(words) => format!(": {words}"),
        None => String::new(),
    }
}
