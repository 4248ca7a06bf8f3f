//! The stable codes of everything the gateway refuses: the `error` member of a problem document, the `reason` label of
//! `doorward_access_decisions_total`, the `doorward.reason` field of a log line. Programs compare them; never rename one.

use http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:ident, $title:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of the declaration.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// The status it is answered with.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)* }
            }

            /// The short, fixed summary (`title` of RFC 9457).
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The message or the body cannot be used.
    InvalidRequest = "invalid_request", BAD_REQUEST, "Invalid request";
    /// The target can never be right: a raw control character, a dot segment, a bad escape.
    InvalidTarget = "invalid_target", BAD_REQUEST, "Invalid request target";
    /// Two readings of the target fall under rules that disagree.
    AmbiguousTarget = "ambiguous_target", BAD_REQUEST, "Ambiguous request target";
    /// Host is missing, repeated, malformed, or contradicts the target.
    InvalidHost = "invalid_host", BAD_REQUEST, "Invalid host";
    /// The framing of the message breaks RFC 9112.
    InvalidFraming = "invalid_framing", BAD_REQUEST, "Invalid message framing";
    /// No credential where one is required.
    CredentialsRequired = "credentials_required", UNAUTHORIZED, "Credentials required";
    /// The token is malformed, forged, expired, revoked or of the wrong kind.
    InvalidToken = "invalid_token", UNAUTHORIZED, "Invalid token";
    /// Unknown name or wrong password; nobody learns which.
    InvalidCredentials = "invalid_credentials", UNAUTHORIZED, "Invalid credentials";
    /// The refresh token is unknown, spent, expired or of an ended session.
    InvalidGrant = "invalid_grant", UNAUTHORIZED, "Invalid grant";
    /// The code from a mail is unknown, used or expired.
    InvalidCode = "invalid_code", UNAUTHORIZED, "Invalid code";
    /// A role is missing.
    InsufficientRole = "insufficient_scope", FORBIDDEN, "Insufficient role";
    /// The client's address is not in the route's networks.
    NetworkNotAllowed = "network_not_allowed", FORBIDDEN, "Network not allowed";
    /// A condition on the client cannot be judged, since nothing trustworthy tells about the client.
    ClientUnknown = "client_unknown", FORBIDDEN, "Client unknown";
    /// The route wants a client certificate.
    ClientCertificateRequired = "client_certificate_required", FORBIDDEN, "Client certificate required";
    /// The route is closed to everybody.
    AccessDenied = "access_denied", FORBIDDEN, "Access denied";
    /// The account is deactivated.
    AccountInactive = "account_inactive", FORBIDDEN, "Account inactive";
    /// The user's name cannot be carried by a header exactly.
    IdentityNotRepresentable = "identity_not_representable", FORBIDDEN, "Identity not representable";
    /// A cookie-authenticated unsafe request from another site.
    CrossSiteRequest = "cross_site_request", FORBIDDEN, "Cross-site request";
    /// The credential is good, and of a kind that may not do this: an API key, a ticket, another issuer's token.
    CredentialNotAllowed = "credential_not_allowed", FORBIDDEN, "Credential not allowed";
    /// Registration is switched off.
    RegistrationClosed = "registration_closed", FORBIDDEN, "Registration closed";
    /// This URL is served over https only.
    HttpsRequired = "https_required", FORBIDDEN, "HTTPS required";
    /// Who asks a forward-auth question is not one of the trusted proxies.
    UntrustedProxy = "untrusted_proxy", FORBIDDEN, "Untrusted proxy";
    /// A forward-auth question does not say what it asks about.
    InvalidQuestion = "invalid_question", FORBIDDEN, "Invalid question";
    /// No route matches.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// The URL exists, not for this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "Request timeout";
    /// The name is taken.
    UserExists = "user_exists", CONFLICT, "User exists";
    /// The user has as many API keys as they may have.
    TooManyKeys = "too_many_keys", CONFLICT, "Too many API keys";
    /// The body is larger than the route or endpoint allows.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "Body too large";
    /// The request target is too long.
    TargetTooLong = "target_too_long", URI_TOO_LONG, "Request target too long";
    /// The host is not the one the TLS handshake was for.
    MisdirectedRequest = "misdirected_request", MISDIRECTED_REQUEST, "Misdirected request";
    /// The password does not meet the policy.
    WeakPassword = "weak_password", UNPROCESSABLE_ENTITY, "Weak password";
    /// The name is not allowed.
    InvalidUsername = "invalid_username", UNPROCESSABLE_ENTITY, "Invalid username";
    /// The roles are not to be had this way.
    InvalidRoles = "invalid_roles", UNPROCESSABLE_ENTITY, "Invalid roles";
    /// Too many failed logins.
    TooManyAttempts = "too_many_attempts", TOO_MANY_REQUESTS, "Too many attempts";
    /// The route's rate limit.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Rate limited";
    /// The header section is larger than allowed.
    HeadersTooLarge = "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, "Request header fields too large";
    /// A fault of ours.
    Internal = "internal_error", INTERNAL_SERVER_ERROR, "Internal error";
    /// The method or transfer coding is not one the gateway knows.
    NotImplemented = "not_implemented", NOT_IMPLEMENTED, "Not implemented";
    /// The upstream could not be reached or broke off.
    UpstreamFailed = "upstream_failed", BAD_GATEWAY, "Upstream failed";
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, "Upstream timeout";
    /// Too many requests are already under way to the upstream.
    UpstreamBusy = "upstream_busy", SERVICE_UNAVAILABLE, "Upstream busy";
    /// More work than the password workers can take.
    Busy = "busy", SERVICE_UNAVAILABLE, "Busy";
    /// The user store does not answer.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "Store unavailable";
    /// Keys and revocations are not loaded yet.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "Not ready";
    /// The version of HTTP is not served.
    VersionNotSupported = "version_not_supported", HTTP_VERSION_NOT_SUPPORTED, "HTTP version not supported";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_snake_case_errors() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(
                code.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{code:?}"
            );
            assert!(
                code.status().is_client_error() || code.status().is_server_error(),
                "{code:?}"
            );
        }
    }

    #[test]
    fn every_code_stands_in_the_documentation_with_its_status() {
        let page = include_str!("../docs/api.md");
        let (_, table) = page.split_once("## Every code").expect("the table of codes");
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let told: Vec<_> = rows
            .filter_map(|row| {
                let mut columns = row.split('|').map(str::trim).skip(1);
                let code = columns.next()?.trim_matches('`');
                let status = columns.next()?;
                columns.next().filter(|words| !words.is_empty())?;
                Some((code, status.to_owned()))
            })
            .collect();
        let all: Vec<_> = Code::ALL
            .iter()
            .map(|code| (code.as_str(), code.status().as_u16().to_string()))
            .collect();
        assert_eq!(told, all);
    }
}
