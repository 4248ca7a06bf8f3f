//! Answers and fields of a trial, as they may be shown.

use http::header::{self, HeaderName, HeaderValue};

use super::Trial;
use crate::answer::{self, Answer};
use crate::explain::{Answered, Field};
use crate::gateway::Snapshot;
use crate::problem::Problem;

/// Fields that say nothing about this request or this connection.
const OF_ALL_ANSWERS: [HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::STRICT_TRANSPORT_SECURITY,
    header::X_CONTENT_TYPE_OPTIONS,
];

/// A problem's answer, as it is sent.
pub(super) fn refused(snapshot: &Snapshot, trial: &Trial, problem: &Problem) -> Answered {
    answered(snapshot, trial, answer::problem_in(problem, snapshot.dialect))
}

/// An answer of ours, as it is sent: with what lets pages of other origins read it.
pub(super) fn answered(snapshot: &Snapshot, trial: &Trial, mut answer: Answer) -> Answered {
    let headers = answer.headers_mut();
    snapshot.cors.apply(trial.headers.get(header::ORIGIN), headers);
    if let Some(asked) = snapshot.cors.asked_of_any_answer(&trial.method, &trial.headers) {
        snapshot.cors.allow_asked(&asked, headers);
    }
    Answered {
        status: answer.status().as_u16(),
        fields: fields(&answer),
    }
}

/// The fields of an answer that say something about the request.
pub(super) fn fields(answer: &Answer) -> Vec<Field> {
    let fields = answer.headers().iter();
    fields
        .filter(|(name, _)| !OF_ALL_ANSWERS.contains(name))
        .map(|(name, value)| field(name, value))
        .collect()
}

/// A field as it may be shown.
pub(super) fn field(name: &HeaderName, value: &HeaderValue) -> Field {
    let secret = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION].contains(name);
    Field {
        name: titled(name.as_str()),
        value: (!secret).then(|| String::from_utf8_lossy(value.as_bytes()).into_owned()),
    }
}

/// A name as people write it.
pub(super) fn titled(name: &str) -> String {
    let mut begins = true;
    name.chars()
        .map(|character| {
            let written = if begins {
                character.to_ascii_uppercase()
            } else {
                character
            };
            begins = character == '-';
            written
        })
        .collect()
}
