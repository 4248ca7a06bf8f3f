//! What needs no credentials: a path beside the protected one, or a URL of another host.

use url::Url;

use super::client::{Chain, Manner, Outcome};
use super::pace::code;
use super::report::Report;
use crate::cli::Failure;

/// The public URL.
pub struct Public {
    /// Path and query.
    pub target: String,
    /// Where it is, where it is of another host or port than the protected one.
    pub other: Option<Chain>,
}

impl Public {
    /// Of a path, or of a URL.
    pub fn find(text: &str, protected: &Url, manner: &Manner<'_>) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::usage(
                what,
                "a path such as /open, or a URL such as https://static.example.com/",
            )
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("--public holds what no path does"));
        }
        if text.starts_with('/') {
            return Ok(Self {
                target: text.to_owned(),
                other: None,
            });
        }
        let url = Some(text)
            .filter(|text| text.contains("://"))
            .and_then(|text| Url::parse(text).ok())
            .ok_or_else(|| wrong("--public wants a path that begins with a slash, or a URL"))?;
        if url.scheme() != protected.scheme() {
            return Err(wrong("--public wants a URL of the same scheme as the protected one"));
        }
        let place = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        let other = match place(&url) == place(protected) {
            true => None,
            false => Some(Chain::find(&url, manner)?),
        };
        let target = super::target(&url);
        Ok(Self { target, other })
    }

    /// Says so where nothing could be played through it. On another host a backend of its own may answer: what comes from there
    /// to the echo backend is told apart all the better.
    pub fn tell_unreached(&self, outcome: &Outcome, report: &mut Report) {
        let path = &self.target;
        let (answered, hint) = match outcome {
            Outcome::Echoed(_) => return,
            Outcome::Answered(answer) if self.other.is_some() && code(answer).starts_with('2') => {
                report.note(&format!(
                    "{path} of the public host leads to a backend of its own: headers were not tried there."
                ));
                return;
            }
            Outcome::Answered(answer) => {
                let leads = answer.field("location").filter(|_| code(answer).starts_with('3'));
                let hint = leads.map(|there| format!("it leads to {}: give that, if", there));
                (format!("it was answered {}", answer.first), hint)
            }
            Outcome::Closed | Outcome::NotSpoken => ("the connection was closed without an answer".to_owned(), None),
            Outcome::Unknown(why) => (why.clone(), None),
        };
        let hint = hint.unwrap_or_else(|| "give one that".to_owned());
        report.incomplete(format!(
            "--public {path} does not lead to the echo backend without credentials ({answered}), so what goes through it was not \
             tried; {hint} needs no credentials and leads there, or none at all"
        ));
    }
}
