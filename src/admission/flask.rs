//! Refusals in the words of flask-praetorian, where their code alone does not give them.

use std::borrow::Cow;

use http::StatusCode;

use super::Refusal;
use crate::authn::Fault;
use crate::authz::Rule;
use crate::principal::Person;
use crate::problem::Problem;
use crate::token::praetorian;

impl Refusal {
    /// The problem of this refusal with those words; `rule`: who may have what was asked for; `person`: who asked.
    pub fn in_flask(self, rule: Option<&Rule>, person: Option<&Person>) -> Problem {
        let said = match &self {
            Self::MissingRole => {
                let text = rule.and_then(|rule| missing_role(rule, person));
                Some((praetorian::Fault::MissingRole, text))
            }
            Self::BadCredential(Fault::Praetorian(fault)) => Some((*fault, None)),
            Self::BadCredential(Fault::Malformed) => Some((praetorian::Fault::HeaderStructure, None)),
            // Whoever it was may not come in any more.
            Self::BadCredential(Fault::Ended) => Some((praetorian::Fault::Revoked, None)),
            Self::BadCredential(
                Fault::Several
                | Fault::SeveralCookies
                | Fault::Invalid(_)
                | Fault::NotReady
                | Fault::Stale
                | Fault::Unresolved
                | Fault::IssuerUnreachable,
            )
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::Ambiguous
            | Self::CredentialsRequired
            | Self::NetworkNotAllowed
            | Self::ClientUnknown
            | Self::CertificateRequired
            | Self::RateLimited { .. }
            | Self::Denied
            | Self::CrossSite
            | Self::Unfit(_)
            | Self::NotRepresentable(_) => None,
        };
        let problem = Problem::from(self);
        match said {
            Some((fault, text)) => {
                let status = StatusCode::from_u16(fault.status()).unwrap_or(problem.status());
                let text = text.map_or_else(|| fault.text(), Cow::Owned);
                problem.in_flask(status, fault.class(), text)
            }
            None => problem,
        }
    }
}

/// What is said to whoever lacks a role: the first condition that does not hold, in the order they are asked.
fn missing_role(rule: &Rule, person: Option<&Person>) -> Option<String> {
    let has = |role: &String| person.is_some_and(|person| person.roles.contains(role));
    let any = rule.roles_any.as_ref().filter(|roles| !roles.iter().any(has));
    match (any, rule.roles_all.as_slice()) {
        (Some(any), _) => Some(praetorian::one_role_required(any.iter().map(String::as_str))),
        (None, []) => None,
        (None, all) => Some(praetorian::all_roles_required(all.iter().map(String::as_str))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Dialect, problem_in};

    fn told(refusal: Refusal, rule: &Rule) -> String {
        let answer = problem_in(&refusal.in_flask(Some(rule), None), Dialect::Flask);
        String::from_utf8_lossy(answer.body()).into_owned()
    }

    #[test]
    fn the_library_names_the_roles_that_it_asks_for() {
        let all = Rule {
            roles_all: vec!["ops".into(), "admin".into()],
            ..Rule::default()
        };
        assert_eq!(
            told(Refusal::MissingRole, &all),
            r#"{"error":"MissingRoleError","message":"This endpoint requires all the following roles: ['ops, admin']","status_code":403}"#
        );
        let any = Rule {
            roles_any: Some(vec!["ops".into(), "admin".into()]),
            ..all
        };
        assert_eq!(
            told(Refusal::MissingRole, &any),
            r#"{"error":"MissingRoleError","message":"This endpoint requires one of the following roles: ['ops, admin']","status_code":403}"#
        );
    }

    #[test]
    fn a_user_who_may_not_come_in_any_more_is_told_as_at_login_with_another_status() {
        let rule = Rule::default();
        assert_eq!(
            told(Refusal::BadCredential(Fault::Ended), &rule),
            r#"{"error":"InvalidUserError","message":"The user is not valid or has had access revoked","status_code":401}"#
        );
        assert_eq!(
            told(Refusal::BadCredential(Fault::Malformed), &rule),
            r#"{"error":"InvalidTokenHeader","message":"JWT header structure is invalid","status_code":401}"#
        );
    }
}
