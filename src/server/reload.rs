//! Reload: a new configuration takes the old one's place as a whole, or not at all. No connection is dropped.

use std::sync::Arc;

use super::{Server, assemble, tuning};
use crate::config::{self, Config, Severity, Sources};
use crate::secret::Secret;
use crate::tls::{self, Certificates};

impl Server {
    /// Reads the configuration anew and puts in force what can change under traffic. What is wrong with it is logged, and
    /// the old one stays.
    pub fn reload(&mut self, sources: &Sources) -> bool {
        let done = self.try_reload(sources);
        self.metrics.reload(done);
        self.tell_figures();
        done
    }

    fn try_reload(&mut self, sources: &Sources) -> bool {
        let loaded = match config::load(sources) {
            Ok(loaded) => loaded,
            Err(problems) => {
                for problem in problems.0.iter() {
                    match problem.severity {
                        Severity::Error => tracing::error!(%problem, "configuration"),
                        Severity::Warning => tracing::warn!(%problem, "configuration"),
                    }
                }
                tracing::error!("the configuration was not reloaded: the old one stays in force");
                return false;
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!(%warning, "configuration");
        }
        match self.put_in_force(loaded.config) {
            Ok(()) => {
                tracing::info!("the configuration was reloaded");
                true
            }
            Err(error) => {
                tracing::error!(%error, hint = error.hint, "the configuration was not reloaded: the old one stays in force");
                false
            }
        }
    }

    fn put_in_force(&mut self, config: Config) -> Result<(), super::StartError> {
        let old = self.gateway.snapshot.load_full();
        let parts = assemble::Standing {
            metrics: &self.metrics,
            keys: self.gateway.authenticator.keys(),
            fetched: &self.fetched,
            names: assemble::names(&self.gateway.services.office),
        };
        let asked = config.clone();
        let config = reloadable(&self.config, config);
        let renewal = super::renewal::Renewal::of(&config);
        let snapshot = assemble::snapshot_from(&config, &parts, Some(&old))?;
        super::promise::kept(&config, &snapshot.policy)?;
        // The last step that can fail, and it changes nothing when it does.
        self.tls
            .reload(&config.tls)
            .map_err(|error| super::StartError::of_certificates(&error))?;
        self.gateway.snapshot.store(Arc::new(snapshot));
        let office = &self.gateway.services.office;
        self.fetched
            .follow(&config.tokens.trusted_issuers, office, &self.metrics);
        self.watch_upstreams();
        self.tuning.store(Arc::new(tuning(&config)));
        self.seats
            .set_limits(config.limits.connections, config.limits.connections_per_address);
        for section in needs_restart(&self.config, &asked) {
            tracing::warn!(
                section,
                "a change in this section needs a restart and is not in force yet"
            );
        }
        self.config = config;
        self.renewal = renewal;
        Ok(())
    }
}

/// The new configuration, with the old one's sections where only a restart brings another into force: what we issue and
/// what we accept must not come apart.
fn reloadable(running: &Config, new: Config) -> Config {
    let running = running.clone();
    let tls = tls::Settings {
        certificates: certificates(running.tls.certificates, new.tls.certificates),
        ..new.tls
    };
    Config {
        tls,
        data_dir: running.data_dir,
        workers: running.workers,
        listeners: running.listeners,
        admin: running.admin,
        store: running.store,
        accounts: running.accounts,
        passwords: running.passwords,
        throttle: running.throttle,
        mail: running.mail,
        log: running.log,
        cookies: running.cookies,
        compat: running.compat,
        tokens: crate::token::Settings {
            trusted_issuers: new.tokens.trusted_issuers,
            ..running.tokens
        },
        ..new
    }
}

/// Listeners stay as they are, so whether anything speaks TLS does too: who drops the last `https` listener from the
/// configuration drops its certificate with the restart, not before. What we make ourselves stays in its folder.
fn certificates(running: Certificates, new: Certificates) -> Certificates {
    match (&running, &new) {
        (Certificates::Files(_) | Certificates::SelfSigned(_), Certificates::Unused)
        | (Certificates::Unused | Certificates::SelfSigned(_), Certificates::SelfSigned(_)) => running,
        (Certificates::Files(_), Certificates::Files(_) | Certificates::SelfSigned(_))
        | (Certificates::SelfSigned(_), Certificates::Files(_))
        | (Certificates::Unused, Certificates::Files(_) | Certificates::Unused) => new,
    }
}

/// Sections in which something changed that only a restart brings into force.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let differs = |a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug| format!("{a:?}") != format!("{b:?}");
    let sections: [(&'static str, bool); 13] = [
        ("listeners", old.listeners != new.listeners),
        ("admin", old.admin != new.admin),
        ("workers", old.workers != new.workers),
        ("data_dir", old.data_dir != new.data_dir),
        ("store", differs(&old.store, &new.store)),
        ("passwords", differs(&old.passwords, &new.passwords)),
        ("throttle", old.throttle != new.throttle),
        ("mail", old.mail != new.mail),
        ("accounts", old.accounts != new.accounts),
        ("log", old.log != new.log),
        ("cookies", old.cookies != new.cookies),
        (
            "compat",
            old.compat != new.compat || differs(&secrets(&old.tokens), &secrets(&new.tokens)),
        ),
        ("tokens", differs(&own(&old.tokens), &own(&new.tokens))),
    ];
    sections
        .into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(name, _)| name)
        .collect()
}

/// What of `[tokens]` is fixed at start: how our own tokens are made, and the size of the memory.
fn own(tokens: &crate::token::Settings) -> impl std::fmt::Debug {
    (
        tokens.issuer.clone(),
        tokens.audience.clone(),
        tokens.algorithm,
        (tokens.access_ttl, tokens.refresh_idle, tokens.refresh_ttl),
        tokens
            .secret
            .iter()
            .chain(&tokens.key_files)
            .map(digest_of)
            .collect::<Vec<_>>(),
        (tokens.key_encryption.clone(), tokens.rotate_every),
        tokens.cache,
        tokens
            .praetorian
            .as_ref()
            .is_some_and(|praetorian| praetorian.signing.is_some()),
    )
}

/// The secrets of `[compat]`, and until when they count: in words that show none.
fn secrets(tokens: &crate::token::Settings) -> impl std::fmt::Debug {
    tokens.praetorian.as_ref().map(|praetorian| {
        let signing = praetorian.signing.as_ref().map(digest_of);
        let verifying = praetorian.verifying.iter();
        let verifying = verifying.map(|(secret, until)| (digest_of(secret), *until));
        (signing, verifying.collect::<Vec<_>>(), praetorian.flask)
    })
}

fn digest_of(secret: &Secret<Vec<u8>>) -> aws_lc_rs::digest::Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        config::load(&Sources::from_str("test.toml", text)).unwrap().config
    }

    #[test]
    fn what_is_issued_and_what_is_accepted_stay_together() {
        let old = config("[tokens]\nissuer = \"https://old.example.com\"");
        let asked = config(
            "[tokens]\nissuer = \"https://new.example.com\"\n[limits]\nconnections = 7\n[admin]\nrole = \"boss\"",
        );
        let now = reloadable(&old, asked.clone());
        assert_eq!(now.tokens.issuer, "https://old.example.com");
        assert_eq!(now.admin, old.admin);
        assert_eq!(now.limits.connections, 7);
        assert_eq!(needs_restart(&old, &asked), ["admin", "accounts", "tokens"]);
        assert!(needs_restart(&now, &old).is_empty());
    }
}
