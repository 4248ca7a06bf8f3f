//! `[throttle]`.

use std::time::Duration;

/// When logins are refused without a look at the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Failures of one account within the window.
    pub login_failures: u32,
    /// Failures from one address within the window.
    pub login_failures_per_address: u32,
    /// The sliding window.
    pub window: Duration,
    /// Whether a throttled login looks like a wrong password.
    pub silent: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            login_failures: 10,
            login_failures_per_address: 200,
            window: Duration::from_secs(900),
            silent: false,
        }
    }
}

impl Settings {
    /// The limits of the account and of the address, in this order.
    pub(super) fn limits(&self) -> [u64; 2] {
        [self.login_failures.into(), self.login_failures_per_address.into()]
    }
}
