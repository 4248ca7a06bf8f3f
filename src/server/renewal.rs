//! Certificates, keys and authorities are renewed by whoever issues them: their files are looked at twice a second, and what is
//! new and good is put in force. The configuration is not read again for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Server, StartError, assemble};
use crate::config::Config;
use crate::tls::Fingerprint;

/// Between two looks at the files. A change is taken up when a second look finds it unchanged: certificate and key are
/// seldom written in the same moment.
pub const LOOK: Duration = Duration::from_millis(500);

/// The files of one kind, and what they looked like.
#[derive(Debug, Default)]
struct Watched {
    files: Vec<PathBuf>,
    in_force: Fingerprint,
    last: Fingerprint,
}

/// All files that are watched.
#[derive(Debug)]
pub struct Renewal {
    ours: Watched,
    upstreams: Watched,
}

impl Watched {
    fn new(files: Vec<PathBuf>) -> Self {
        let now = Fingerprint::of(&files);
        Self {
            files,
            in_force: now.clone(),
            last: now,
        }
    }

    /// Whether the files changed and have come to rest. What they look like now is then taken for known, good or bad.
    fn is_due(&mut self) -> bool {
        let now = Fingerprint::of(&self.files);
        let at_rest = now == self.last;
        self.last = now;
        let due = at_rest && self.last != self.in_force;
        if due {
            self.in_force = self.last.clone();
        }
        due
    }
}

impl Renewal {
    /// Watches what this configuration names. To be called before the files are read, so that no change falls between.
    pub fn of(config: &Config) -> Self {
        let upstreams = config.upstreams.iter().flat_map(|upstream| upstream.tls.files());
        Self {
            ours: Watched::new(config.tls.files()),
            upstreams: Watched::new(upstreams.collect()),
        }
    }
}

impl Server {
    /// Looks at the files of certificates, keys and authorities, and puts in force what has changed. What is wrong is logged
    /// and counted, and the old stays. To be called every [`LOOK`].
    pub fn renew(&mut self) {
        let (ours, upstreams) = (self.renewal.ours.is_due(), self.renewal.upstreams.is_due());
        if ours {
            let done = self.tls.reload(&self.config.tls);
            self.told(
                done.map_err(|error| StartError::of_certificates(&error)),
                "of the listeners",
            );
        }
        if upstreams {
            let done = self.renew_upstreams();
            self.told(done, "of upstreams");
        }
        if ours || upstreams {
            self.tell_figures();
        }
    }

    fn renew_upstreams(&self) -> Result<(), StartError> {
        let old = self.gateway.snapshot.load_full();
        let standing = assemble::Standing {
            metrics: &self.metrics,
            keys: self.gateway.authenticator.keys(),
            fetched: &self.fetched,
            names: assemble::names(&self.gateway.services.office),
        };
        let new = assemble::snapshot_from(&self.config, &standing, Some(&old))?;
        new.upstreams.watch(&self.gateway.services.office);
        self.gateway.snapshot.store(Arc::new(new));
        Ok(())
    }

    fn told(&self, done: Result<(), StartError>, whose: &'static str) {
        self.metrics.certificates_renewed(done.is_ok());
        match done {
            Ok(()) => tracing::info!(whose, "changed certificates are in force"),
            Err(error) => {
                tracing::error!(whose, %error, hint = error.hint, "changed certificates cannot be used: the old ones stay in force");
            }
        }
    }
}
