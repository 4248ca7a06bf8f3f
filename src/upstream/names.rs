//! The system's name service, asked in the office: DNS with its TTLs, and whatever else the system knows names from.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};

use super::resolve::{Answer, Names};
use crate::office::Office;

/// How long a question may take, all name servers together.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long addresses count that come without a TTL.
const WITHOUT_TTL: Duration = Duration::from_secs(10);

/// The system's name service.
///
/// `/etc/resolv.conf` and `/etc/hosts` are read anew for each question, so that changes of them count. `getaddrinfo` alone
/// would not do: it does not tell the TTL. It is asked where DNS knows nothing, for names that only the system's own
/// services know.
#[derive(Clone, Debug)]
pub struct SystemNames {
    office: Office,
}

impl SystemNames {
    /// Asked in this office.
    pub fn new(office: Office) -> Self {
        Self { office }
    }
}

impl Names for SystemNames {
    fn look_up<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Answer>> + Send + 'a>> {
        let owned = host.to_owned();
        Box::pin(async move {
            self.office
                .call(PATIENCE, async move {
                    match from_dns(&owned).await {
                        Ok(answer) => Ok(answer),
                        Err(error) => from_system(&owned).await.map_err(|_| error),
                    }
                })
                .await
                .map_err(io::Error::other)?
        })
    }
}

/// No name service: for upstreams that are only tried out.
#[derive(Debug)]
pub(super) struct NoNames;

impl Names for NoNames {
    fn look_up<'a>(&'a self, _host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Answer>> + Send + 'a>> {
        Box::pin(async { Err(io::Error::new(io::ErrorKind::Unsupported, "no name service")) })
    }
}

async fn from_dns(host: &str) -> io::Result<Answer> {
    let mut builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
    let options = builder.options_mut();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Always;
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    answer(&builder.build().map_err(io::Error::other)?, host).await
}

/// The addresses and the shortest TTL on the way to them, aliases included.
pub(super) async fn answer(resolver: &TokioResolver, host: &str) -> io::Result<Answer> {
    let found = resolver.lookup_ip(host).await.map_err(io::Error::other)?;
    let ttl = found.as_lookup().answers().iter().map(|record| record.ttl).min();
    Ok(Answer {
        addresses: in_turns(found.iter()),
        ttl: ttl.map_or(WITHOUT_TTL, |seconds| Duration::from_secs(seconds.into())),
    })
}

async fn from_system(host: &str) -> io::Result<Answer> {
    let found = tokio::net::lookup_host((host, 0)).await?;
    Ok(Answer {
        addresses: in_turns(found.map(|address| address.ip())),
        ttl: WITHOUT_TTL,
    })
}

/// The addresses of both families by turns, IPv6 first, each once (RFC 8305 section 4): where one family leads nowhere, every
/// second attempt still arrives.
fn in_turns(found: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = found.partition(IpAddr::is_ipv6);
    let mut addresses = Vec::with_capacity(six.len() + four.len());
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    loop {
        let next = [six.next(), four.next()];
        if next.iter().all(Option::is_none) {
            return addresses;
        }
        for address in next.into_iter().flatten() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn families_take_turns() {
        let found = ["::1", "::2", "10.0.0.1", "::1", "10.0.0.2", "10.0.0.3"].map(|text| text.parse().unwrap());
        let turns: Vec<String> = in_turns(found.into_iter()).iter().map(IpAddr::to_string).collect();
        assert_eq!(turns, ["::1", "10.0.0.1", "::2", "10.0.0.2", "10.0.0.3"]);
    }

    #[test]
    fn the_system_knows_localhost() {
        let office = crate::office::OfficeRuntime::start().unwrap();
        let names = SystemNames::new(office.office());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime.block_on(names.look_up("localhost")).unwrap();
        assert!(!answer.addresses.is_empty() && answer.addresses.iter().all(IpAddr::is_loopback));
        office.stop(Duration::from_secs(1));
    }
}
