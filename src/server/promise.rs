//! `[[policy_tests]]`: what a configuration promises, tried before it comes into force.

use super::{StartError, assemble};
use crate::admission::Policy;
use crate::config::Config;
use crate::endpoint::Endpoints;
use crate::telemetry::Metrics;

const HINT: &str = "change the routes, or what the test expects; `doorward explain` tells more of a request";

/// What does not hold, each with the trace of its decision.
pub fn failures(config: &Config, policy: &Policy) -> Vec<StartError> {
    let endpoints = Endpoints::new(&config.endpoints, config.admin.rule());
    let tried = config
        .policy_tests
        .iter()
        .map(|test| match endpoints.takes_for_question(&test.target) {
            true => test.run_as_question(),
            false => test.run(policy),
        });
    tried
        .filter_map(Result::err)
        .map(|failed| {
            let indented = failed.trace.trim_end().replace('\n', "\n  ");
            StartError::new(failed.what, indented, HINT)
        })
        .collect()
}

/// The same, of a configuration that has not come so far as to have a policy.
pub fn broken(config: &Config) -> Vec<StartError> {
    if config.policy_tests.is_empty() {
        return Vec::new();
    }
    let endpoints = Endpoints::new(&config.endpoints, config.admin.rule());
    match assemble::policy(config, &endpoints, &Metrics::new(1), None) {
        Ok(policy) => failures(config, &policy),
        Err(error) => vec![error],
    }
}

/// Refuses a configuration that does not keep its promises: every test that failed is logged, the first one is the error.
pub(super) fn kept(config: &Config, policy: &Policy) -> Result<(), StartError> {
    let failures = failures(config, policy);
    for failed in &failures {
        tracing::error!(test = failed.what, trace = %failed.cause, "a policy test fails");
    }
    let failed = failures.len();
    match failures.into_iter().next() {
        None => Ok(()),
        Some(first) => Err(StartError::new(
            format!("{failed} of {} policy tests fail", config.policy_tests.len()),
            first.what,
            HINT,
        )),
    }
}
