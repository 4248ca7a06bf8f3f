//! Which targets are questions, as far as the gateway's own URLs say.

use super::{Addressed, Dialect};
use crate::endpoint::Endpoints;
use crate::route::Target;

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

    /// Whether whoever sends this target puts a question, maybe one that is addressed wrongly.
    pub fn takes_for_question(&self, received: &str) -> bool {
        let resembles = |target| self.resembles_question(&target).is_some();
        self.question(received).is_some() || Target::parse(received).is_ok_and(resembles)
    }
}
