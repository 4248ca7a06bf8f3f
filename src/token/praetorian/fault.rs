//! What flask-praetorian 1.2.0 says about a credential that is no good: its classes, its texts to the letter, its statuses.

use std::borrow::Cow;

/// Why a token, or whoever shows it, is refused. Every text is fixed: nothing of a token is ever repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no Authorization field.
    MissingToken,
    /// The Authorization field has not the form `Bearer <token>`.
    HeaderStructure,
    /// The token cannot be decoded.
    Undecodable(Undecodable),
    /// A claim is not there.
    MissingClaim(Claim),
    /// The token was revoked by its `jti`.
    Blacklisted,
    /// `exp` has come.
    Expired(Purpose),
    /// `exp` has not come yet: there is nothing to refresh.
    EarlyRefresh,
    /// `rf_exp` has come.
    ExpiredRefresh,
    /// A token that confirms an address (`is_ert`) is shown for something else.
    MisusedRegistration(Purpose),
    /// A token that resets a password (`is_prt`) is shown for something else.
    MisusedReset(Purpose),
    /// What is shown to confirm an address is no token for that.
    InvalidRegistration,
    /// What is shown to reset a password is no token for that, or was used.
    InvalidReset,
    /// `id` is null.
    NoId,
    /// There is nobody of this `id`.
    UnknownId,
    /// There is nobody of the `id` in a registration token.
    UnknownRegistrant,
    /// The user may not come in any more; on access.
    Revoked,
    /// The user may not come in; at login and refresh.
    Inactive,
    /// There is nobody of this `id`; at refresh.
    MissingUser,
    /// A role is missing.
    MissingRole,
}

/// What a token is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be let in.
    Access,
    /// To get a fresh one.
    Refresh,
    /// To confirm an address.
    Registration,
    /// To set a new password.
    Reset,
}

/// A claim that every token needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `jti`
    Jti,
    /// `id`
    Id,
    /// `exp`
    Exp,
    /// `rf_exp`
    RfExp,
}

/// Why PyJWT does not decode a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Longer than `tokens.max_length`; nothing of it was looked at.
    TooLong,
    /// Not three parts.
    Segments,
    /// The header is no base64url.
    HeaderPadding,
    /// The header is empty.
    HeaderEmpty,
    /// The header is no JSON object.
    HeaderString,
    /// The claims are no base64url.
    PayloadPadding,
    /// The claims are no JSON object, or say something twice.
    PayloadString,
    /// The signature is no base64url.
    CryptoPadding,
    /// `alg` is not the configured algorithm.
    Algorithm,
    /// The signature is none of the configured keys'.
    Signature,
    /// `iat` is no number.
    IssuedAt,
    /// `nbf` is no number.
    NotBefore,
    /// `nbf` has not come.
    Immature,
    /// The token names an audience, and nobody here is one.
    Audience,
    /// `exp` or `rf_exp` is no number.
    Expiry,
}

impl Fault {
    /// The name of the exception.
    pub fn class(self) -> &'static str {
        match self {
            Self::MissingToken => "MissingToken",
            Self::HeaderStructure | Self::Undecodable(_) => "InvalidTokenHeader",
            Self::MissingClaim(_) => "MissingClaimError",
            Self::Blacklisted => "BlacklistedError",
            Self::Expired(_) => "ExpiredAccessError",
            Self::EarlyRefresh => "EarlyRefreshError",
            Self::ExpiredRefresh => "ExpiredRefreshError",
            Self::MisusedRegistration(_) => "MisusedRegistrationToken",
            Self::MisusedReset(_) => "MisusedResetToken",
            Self::InvalidRegistration => "InvalidRegistrationToken",
            Self::InvalidReset => "InvalidResetToken",
            Self::NoId | Self::UnknownId | Self::UnknownRegistrant => "PraetorianError",
            Self::Revoked | Self::Inactive => "InvalidUserError",
            Self::MissingUser => "MissingUserError",
            Self::MissingRole => "MissingRoleError",
        }
    }

    /// What it says.
    pub fn text(self) -> Cow<'static, str> {
        Cow::Borrowed(self.as_str())
    }

    /// The same, for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingToken => "JWT token not found in headers under 'Authorization'",
            Self::HeaderStructure => "JWT header structure is invalid",
            Self::Undecodable(why) => why.as_str(),
            Self::MissingClaim(Claim::Jti) => "Token is missing jti claim",
            Self::MissingClaim(Claim::Id) => "Token is missing id field",
            Self::MissingClaim(Claim::Exp) => "Token is missing exp claim",
            Self::MissingClaim(Claim::RfExp) => "Token is missing rf_exp claim",
            Self::Blacklisted => "Token has a blacklisted jti",
            // At refresh a token must have expired.
            Self::Expired(Purpose::Access | Purpose::Refresh) => "access permission has expired",
            Self::Expired(Purpose::Registration) => "register permission has expired",
            Self::Expired(Purpose::Reset) => "reset permission has expired",
            Self::EarlyRefresh => "access permission for token has not expired. may not refresh",
            Self::ExpiredRefresh => "refresh permission for token has expired",
            Self::MisusedRegistration(Purpose::Refresh) => "registration token used for refresh",
            Self::MisusedRegistration(Purpose::Reset) => "registration token used for reset",
            Self::MisusedRegistration(Purpose::Access | Purpose::Registration) => "registration token used for access",
            Self::MisusedReset(Purpose::Refresh) => "password reset token used for refresh",
            Self::MisusedReset(Purpose::Registration) => "password reset token used for registration",
            Self::MisusedReset(Purpose::Access | Purpose::Reset) => "password reset token used for access",
            Self::InvalidRegistration => "invalid registration token used for verification",
            Self::InvalidReset => "invalid reset token used for verification",
            Self::NoId => "Could not fetch an id for the current user",
            Self::UnknownId => "Could not identify the current user from the current id",
            Self::UnknownRegistrant => "Could not identify the user from the registration token",
            Self::Revoked | Self::Inactive => "The user is not valid or has had access revoked",
            Self::MissingUser => "Could not find the requested user",
            Self::MissingRole => "This endpoint requires a role that the user does not have",
        }
    }

    /// Its HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::MissingToken
            | Self::HeaderStructure
            | Self::Undecodable(_)
            | Self::MissingClaim(_)
            | Self::Expired(_)
            | Self::ExpiredRefresh
            | Self::MisusedRegistration(_)
            | Self::MisusedReset(_)
            | Self::InvalidRegistration
            | Self::InvalidReset
            | Self::NoId
            | Self::UnknownId
            | Self::UnknownRegistrant
            | Self::Revoked
            | Self::MissingUser => 401,
            Self::Blacklisted | Self::Inactive | Self::MissingRole => 403,
            Self::EarlyRefresh => 425,
        }
    }

    /// The `result` label of `doorward_token_verifications_total`.
    pub fn label(self) -> &'static str {
        match self {
            Self::MissingToken | Self::HeaderStructure => "malformed",
            Self::Undecodable(why) => why.label(),
            Self::MissingClaim(_) | Self::NoId => "claim",
            Self::Expired(_) | Self::ExpiredRefresh => "expired",
            Self::EarlyRefresh => "not_yet_valid",
            Self::MisusedRegistration(_) | Self::MisusedReset(_) | Self::InvalidRegistration | Self::InvalidReset => {
                "kind"
            }
            Self::Blacklisted
            | Self::UnknownId
            | Self::UnknownRegistrant
            | Self::Revoked
            | Self::Inactive
            | Self::MissingUser
            | Self::MissingRole => "revoked",
        }
    }
}

impl Undecodable {
    fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "failed to decode JWT token -- DecodeError: Token is too long",
            Self::Segments => "failed to decode JWT token -- DecodeError: Not enough segments",
            Self::HeaderPadding => "failed to decode JWT token -- DecodeError: Invalid header padding",
            Self::HeaderEmpty => {
                "failed to decode JWT token -- DecodeError: Invalid header string: Expecting value: line 1 column 1 (char 0)"
            }
            Self::HeaderString => {
                "failed to decode JWT token -- DecodeError: Invalid header string: must be a json object"
            }
            Self::PayloadPadding => "failed to decode JWT token -- DecodeError: Invalid payload padding",
            Self::PayloadString => {
                "failed to decode JWT token -- DecodeError: Invalid payload string: must be a json object"
            }
            Self::CryptoPadding => "failed to decode JWT token -- DecodeError: Invalid crypto padding",
            Self::Algorithm => {
                "failed to decode JWT token -- InvalidAlgorithmError: The specified alg value is not allowed"
            }
            Self::Signature => "failed to decode JWT token -- InvalidSignatureError: Signature verification failed",
            Self::IssuedAt => {
                "failed to decode JWT token -- InvalidIssuedAtError: Issued At claim (iat) must be an integer."
            }
            Self::NotBefore => "failed to decode JWT token -- DecodeError: Not Before claim (nbf) must be an integer.",
            Self::Immature => "failed to decode JWT token -- ImmatureSignatureError: The token is not yet valid (nbf)",
            Self::Audience => "failed to decode JWT token -- InvalidAudienceError: Invalid audience",
            Self::Expiry => {
                "failed to decode JWT token -- DecodeError: Expiration Time claim (exp) must be an integer."
            }
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::TooLong
            | Self::Segments
            | Self::HeaderPadding
            | Self::HeaderEmpty
            | Self::HeaderString
            | Self::PayloadPadding
            | Self::PayloadString
            | Self::CryptoPadding => "malformed",
            Self::Algorithm => "key",
            Self::Signature => "signature",
            Self::IssuedAt | Self::NotBefore | Self::Expiry => "claim",
            Self::Immature => "not_yet_valid",
            Self::Audience => "audience",
        }
    }
}

/// The text of `MissingRoleError` where all of these roles are required.
pub fn all_roles_required<'a>(roles: impl IntoIterator<Item = &'a str>) -> String {
    format!("This endpoint requires all the following roles: ['{}']", joined(roles))
}

/// The same where one of them is enough.
pub fn one_role_required<'a>(roles: impl IntoIterator<Item = &'a str>) -> String {
    format!(
        "This endpoint requires one of the following roles: ['{}']",
        joined(roles)
    )
}

fn joined<'a>(roles: impl IntoIterator<Item = &'a str>) -> String {
    roles.into_iter().collect::<Vec<_>>().join(", ")
}
