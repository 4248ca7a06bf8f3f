//! How things ended, as label values: each kind is a closed list.

macro_rules! result_label {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
        impl $name {
            /// Every result, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The texts of all of them, in the same order.
            pub fn texts() -> Vec<&'static str> { Self::ALL.iter().map(|result| result.as_str()).collect() }
            /// The label's value.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)* } }
        }
    };
}

result_label! {
    /// How a login ended.
    LoginResult {
        /// A session was opened.
        Success = "success",
        /// Unknown name or wrong password.
        Failure = "failure",
        /// Right password, deactivated account.
        Inactive = "inactive",
        /// Refused by the throttle.
        Throttled = "throttled",
        /// The password workers were full.
        Busy = "busy",
        /// The store did not answer.
        Unavailable = "unavailable",
    }
}
result_label! {
    /// How a refresh ended.
    RefreshResult {
        /// A new pair was given.
        Success = "success",
        /// A repeat got the same successor.
        Repeat = "repeat",
        /// A spent token came again: its session was ended.
        Reuse = "reuse",
        /// Forged, unknown, expired, ended.
        Failure = "failure",
    }
}
result_label! {
    /// How a call to the store ended.
    StoreResult {
        /// It answered.
        Ok = "ok",
        /// It did not.
        Unavailable = "unavailable",
        /// It refused.
        Error = "error",
    }
}
result_label! {
    /// How a fetch of an issuer's keys ended.
    FetchResult {
        /// Other keys than before.
        Ok = "ok",
        /// The same as before.
        Unchanged = "unchanged",
        /// No answer, or none that has a document.
        Failed = "failed",
        /// A document without a usable key.
        Unusable = "unusable",
    }
}
result_label! {
    /// How a TLS handshake ended.
    TlsResult {
        /// Completed.
        Ok = "ok",
        /// Broken off or refused.
        Failed = "failed",
        /// Not completed in time.
        Timeout = "timeout",
    }
}

result_label! {
    /// What a listener with `proxy_protocol` made of a connection.
    ProxyHeaderResult {
        /// It began with a header.
        Ok = "ok",
        /// It is not from a trusted proxy.
        Untrusted = "untrusted",
        /// It began with something else, or ended too early.
        Malformed = "malformed",
        /// The header was not complete in time.
        Timeout = "timeout",
        /// The address that was announced has as many connections as it may.
        OverLimit = "over_limit",
    }
}

result_label! {
    /// What came of an attempt to send a mail.
    MailResult {
        /// A server took it.
        Sent = "sent",
        /// It will be tried again.
        Retried = "retried",
        /// It never will.
        GivenUp = "given_up",
        /// There was nobody to write to any more.
        Dropped = "dropped",
    }
}
