//! Which targets are questions, as far as the gateway's own URLs say.

use http::HeaderMap;

use super::{Addressed, Dialect};
use crate::endpoint::Endpoints;
use crate::route::Target;

/// Where the pages are, and the addresses for questions with them, if nobody says otherwise.
const USUAL_PAGES: &str = "/auth";

impl Endpoints {
    /// The forward-auth endpoint that a target is addressed to. Such a question is no request for the table: who may ask does
    /// not depend on a credential, and what is decided is about another request.
    pub fn question<'t>(&self, target: &'t str) -> Option<Addressed<'t>> {
        match self.places().prefix() {
            "" => None,
            pages => Dialect::of_target(pages, target),
        }
    }

    /// The forward-auth endpoint that some reading of a target lies at or below, in whatever form. For one whose target as it
    /// was received is at none: whoever asks there has misspelt the address, and no route's answer may stand in for a decision.
    pub fn resembles_question(&self, target: &Target<'_>) -> Option<Dialect> {
        if target.is_simple() {
            return None;
        }
        let mut questions = self.questions.iter();
        questions
            .find(|(_, address)| target.may_lie_below(address))
            .map(|(dialect, _)| *dialect)
    }

    /// The dialect of a question that is put beside the addresses for it, where proxies are told to look for them: below the
    /// prefix of the pages, or where it is unless it was moved. For one that is at none of them, from a proxy that is believed. What a
    /// route or a page answers there would be taken for a decision. Who hands on a request of its own says of it what it is.
    pub fn strayed(&self, target: &str, headers: &HeaderMap) -> Option<Dialect> {
        let is_below = |prefix: &str| {
            let (begins, rest) = target.split_at_checked(prefix.len()).unwrap_or_default();
            !prefix.is_empty() && begins.eq_ignore_ascii_case(prefix) && rest.starts_with('/')
        };
        if !is_below(USUAL_PAGES) && !is_below(self.places().prefix()) {
            return None;
        }
        let asks = |method: &str, about: &str| {
            let about = headers.get(about).filter(|_| headers.contains_key(method));
            about.is_some_and(|about| !about.as_bytes().ends_with(target.as_bytes()))
        };
        if asks("x-original-method", "x-original-url") {
            return Some(Dialect::Nginx);
        }
        asks("x-forwarded-method", "x-forwarded-uri").then_some(Dialect::Traefik)
    }

    /// Whether whoever sends this target puts a question, maybe one that is addressed wrongly.
    pub fn takes_for_question(&self, received: &str) -> bool {
        let resembles = |target| self.resembles_question(&target).is_some();
        self.question(received).is_some() || Target::parse(received).is_ok_and(resembles)
    }
}
