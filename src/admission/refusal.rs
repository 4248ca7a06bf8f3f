//! Why a request was not admitted, and its one way to a problem.

use super::Unfit;
use crate::authn::Fault;
use crate::codes::Code;
use crate::identity::NotRepresentable;
use crate::problem::{Challenge, Problem};

/// When to come again with a token whose issuer does not give its keys, in seconds: it is asked again after 1, 2, 4, … seconds.
const ISSUER_RETRY: u32 = 5;

/// Why a request was not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No route and no endpoint.
    NotFound,
    /// The path is known, not for this method.
    MethodNotAllowed {
        /// The methods it is known for, as `Allow` has them.
        allow: String,
    },
    /// The readings of the target fall under rules that disagree.
    Ambiguous,
    /// A credential is needed and none was shown.
    CredentialsRequired,
    /// A credential was shown that is no good.
    BadCredential(Fault),
    /// A role is missing.
    MissingRole,
    /// The client is not in the route's networks.
    NetworkNotAllowed,
    /// The route has conditions on the client, and nothing trustworthy tells about it.
    ClientUnknown,
    /// The client showed no certificate that counts.
    CertificateRequired,
    /// One request too many.
    RateLimited {
        /// Seconds until the next one may come.
        retry_after: u32,
    },
    /// The route is closed.
    Denied,
    /// The cookie alone says who it is, and a page of another site may have set the request off.
    CrossSite,
    /// One of our own URLs does not take what was shown, however good it is.
    Unfit(Unfit),
    /// No header can carry who this is.
    NotRepresentable(NotRepresentable),
}

impl Refusal {
    /// Whether a route or endpoint was found, whose rule then refused.
    pub fn has_place(&self) -> bool {
        match self {
            Self::NotFound | Self::MethodNotAllowed { .. } => false,
            Self::Ambiguous
            | Self::CredentialsRequired
            | Self::BadCredential(_)
            | Self::MissingRole
            | Self::NetworkNotAllowed
            | Self::ClientUnknown
            | Self::CertificateRequired
            | Self::RateLimited { .. }
            | Self::Denied
            | Self::CrossSite
            | Self::Unfit(_)
            | Self::NotRepresentable(_) => true,
        }
    }

    /// The stable code, for metrics and logs.
    pub fn code(&self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::MethodNotAllowed { .. } => Code::MethodNotAllowed,
            Self::Ambiguous => Code::AmbiguousTarget,
            Self::CredentialsRequired => Code::CredentialsRequired,
            Self::BadCredential(Fault::Several | Fault::SeveralCookies) => Code::InvalidRequest,
            Self::BadCredential(Fault::NotReady | Fault::IssuerUnreachable) => Code::NotReady,
            Self::BadCredential(Fault::Unresolved | Fault::Stale) => Code::StoreUnavailable,
            Self::BadCredential(Fault::Malformed | Fault::Invalid(_) | Fault::Ended | Fault::Praetorian(_)) => {
                Code::InvalidToken
            }
            Self::MissingRole => Code::InsufficientRole,
            Self::NetworkNotAllowed => Code::NetworkNotAllowed,
            Self::ClientUnknown => Code::ClientUnknown,
            Self::CertificateRequired => Code::ClientCertificateRequired,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Denied => Code::AccessDenied,
            Self::CrossSite => Code::CrossSiteRequest,
            Self::Unfit(unfit) => unfit.code(),
            Self::NotRepresentable(_) => Code::IdentityNotRepresentable,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = |text: &'static str| Problem::new(refusal.code(), text);
        match &refusal {
            Refusal::NotFound => problem("Nothing is served at this address."),
            Refusal::MethodNotAllowed { allow } => {
                let mut problem = problem("This address does not know the method; see Allow.");
                problem.allow = Some(allow.as_str().into());
                problem
            }
            Refusal::Ambiguous => problem(
                "The request target can be read in several ways that fall under different rules. Send it in its plain form.",
            ),
            Refusal::CredentialsRequired => {
                problem("A bearer token is required. Log in first.").challenged(Challenge::Bearer)
            }
            Refusal::BadCredential(fault) => bad_credential(*fault, problem),
            Refusal::MissingRole => problem("Your account lacks a role that this address requires.")
                .challenged(Challenge::InsufficientScope),
            Refusal::NetworkNotAllowed => problem("This address cannot be reached from your network."),
            Refusal::ClientUnknown => problem("This address is limited to certain networks, and yours is not known."),
            Refusal::CertificateRequired => problem("This address requires a client certificate."),
            Refusal::RateLimited { retry_after } => {
                problem("Too many requests. Try again in a moment.").retry_after(*retry_after)
            }
            Refusal::Denied => problem("This address is closed."),
            Refusal::CrossSite => problem("This request may have been set off by a page of another site."),
            Refusal::Unfit(unfit) => Problem::from(*unfit),
            Refusal::NotRepresentable(what) => {
                problem("Your account holds characters that cannot be passed on to the application.").because(what)
            }
        }
    }
}

fn bad_credential(fault: Fault, problem: impl Fn(&'static str) -> Problem) -> Problem {
    match fault {
        Fault::Several => {
            problem("More than one Authorization header was sent; send one.").challenged(Challenge::InvalidRequest)
        }
        Fault::SeveralCookies => problem("More than one session cookie was sent; log in again."),
        Fault::Malformed => problem("The Authorization header holds no token.").challenged(Challenge::InvalidToken),
        Fault::Invalid(why) => problem("The access token is not valid. Log in again.")
            .challenged(Challenge::InvalidToken)
            .because(why),
        Fault::Ended => problem("The session of this access token has ended. Log in again.")
            .challenged(Challenge::InvalidToken)
            .because("ended"),
        Fault::Stale => {
            problem("The gateway has not reached its store for too long to tell. Try again.").retry_after(1)
        }
        Fault::NotReady => problem("The gateway is starting and cannot verify tokens yet.").retry_after(1),
        Fault::IssuerUnreachable => problem("The keys of this token's issuer cannot be fetched right now. Try again.")
            .retry_after(ISSUER_RETRY)
            .because("issuer_unreachable"),
        Fault::Praetorian(fault) => problem("The access token is not valid. Log in again.")
            .challenged(Challenge::InvalidToken)
            .because(fault.as_str()),
        Fault::Unresolved => problem("This credential cannot be verified right now. Try again.").retry_after(1),
    }
}
