//! The shape of the TOML, key for key, with the built-in defaults.
//!
//! Everything here is raw: an empty text, list or table means *not set*, names are not looked up, numbers not compared.
//! [`check`](super::check) turns it into valid settings. These types are the one list of keys there is: [`Kind`] derives
//! from them what is known, which keys are secret, and how an environment variable is read.

mod kind;
mod read;
mod tables;
mod value;

use serde::{Deserialize, Serialize};

pub use self::kind::{Kind, Leaf};
pub use self::read::read;
pub use self::tables::*;
pub use self::value::{Roles, SecretText, Size, Span};

/// Declares a table of the file: its keys, their types and their defaults.
macro_rules! table {
    ($(#[$meta:meta])* $name:ident { $($(#[$key_meta:meta])* $key:ident: $type:ty = $default:expr,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[$key_meta])* pub $key: $type,)+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }
    };
}
use table;

/// A list of texts.
type Texts = Vec<String>;

/// Not set, for a text.
fn unset() -> String {
    String::new()
}

/// A list of these texts.
fn texts<const N: usize>(texts: [&str; N]) -> Texts {
    texts.map(str::to_owned).to_vec()
}

table! {
    /// The whole file.
    Shape {
        data_dir: String = "data".to_owned(),
        watch: bool = false,
        workers: u32 = 0,
        trusted_proxies: Texts = vec![],
        listeners: Vec<Listener> = vec![],
        admin: Admin = Admin::default(),
        tls: Tls = Tls::default(),
        store: Store = Store::default(),
        tokens: Tokens = Tokens::default(),
        compat: Compat = Compat::default(),
        endpoints: Endpoints = Endpoints::default(),
        accounts: Accounts = Accounts::default(),
        passwords: Passwords = Passwords::default(),
        mail: Mail = Mail::default(),
        throttle: Throttle = Throttle::default(),
        cookies: Cookies = Cookies::default(),
        cors: Cors = Cors::default(),
        forward_auth: ForwardAuth = ForwardAuth::default(),
        identity_headers: IdentityHeaders = IdentityHeaders::default(),
        log: Log = Log::default(),
        timeouts: Timeouts = Timeouts::default(),
        limits: Limits = Limits::default(),
        upstreams: Vec<Upstream> = vec![],
        routes: Vec<Route> = vec![],
        policy_tests: Vec<PolicyTest> = vec![],
    }
}

impl Shape {
    /// The defaults, with one entry in each list of tables: every key there is.
    pub fn exemplar() -> Self {
        let mut shape = Self {
            listeners: vec![Listener::default()],
            upstreams: vec![Upstream::default()],
            routes: vec![Route::default()],
            policy_tests: vec![PolicyTest::default()],
            ..Self::default()
        };
        shape.tls.certificates = vec![Certificate::default()];
        shape.tokens.trusted_issuers = vec![TrustedIssuer::default()];
        shape
    }
}

table! {
    /// `[admin]`
    Admin {
        address: String = "127.0.0.1:9100".to_owned(),
        role: String = "doorward-admin".to_owned(),
        networks: Texts = vec![],
    }
}

table! {
    /// `[tls]`
    Tls {
        certificates: Vec<Certificate> = vec![],
        min_version: String = "1.2".to_owned(),
        client_ca: String = unset(),
        client_auth: String = "none".to_owned(),
    }
}

table! {
    /// `[store]`
    Store {
        url: SecretText = SecretText::default(),
        password: SecretText = SecretText::default(),
        password_file: String = unset(),
        pool_size: u32 = 16,
        connect_timeout: Span = Span::seconds(2),
        migrate: bool = true,
        listen_url: SecretText = SecretText::default(),
        max_staleness: Span = Span::seconds(0),
    }
}

table! {
    /// `[tokens]`
    Tokens {
        issuer: String = unset(),
        audience: Texts = vec![],
        algorithm: String = "EdDSA".to_owned(),
        access_ttl: Span = Span::seconds(15 * 60),
        refresh_idle: Span = Span::seconds(7 * 86_400),
        refresh_ttl: Span = Span::seconds(30 * 86_400),
        leeway: Span = Span::seconds(0),
        key_files: Texts = vec![],
        key_encryption_file: String = unset(),
        rotate_every: Span = Span::seconds(90 * 86_400),
        secret_file: String = unset(),
        format: String = "standard".to_owned(),
        max_length: Size = Size(8 << 10),
        cache: u32 = 10_000,
        trusted_issuers: Vec<TrustedIssuer> = vec![],
    }
}

table! {
    /// `[compat]`
    Compat {
        flask_praetorian: bool = false,
        secret: SecretText = SecretText::default(),
        secret_file: String = unset(),
        older_secret_files: Texts = vec![],
        accept_until: String = unset(),
    }
}

table! {
    /// `[endpoints]`
    Endpoints {
        hosts: Texts = vec![],
        api: String = "/api".to_owned(),
        pages: String = "/auth".to_owned(),
        well_known: bool = true,
        health: String = unset(),
    }
}

table! {
    /// `[accounts]`
    Accounts {
        registration: String = "closed".to_owned(),
        default_roles: Texts = texts(["user"]),
    }
}

table! {
    /// `[passwords]`
    Passwords {
        memory: Size = Size(19 << 20),
        iterations: u32 = 2,
        parallelism: u32 = 1,
        max_concurrent: u32 = 0,
        queue: u32 = 64,
        min_length: u32 = 8,
        upgrade: bool = true,
    }
}

table! {
    /// `[mail]`
    Mail {
        url: SecretText = SecretText::default(),
        password: SecretText = SecretText::default(),
        password_file: String = unset(),
        from: String = unset(),
        subject: String = "Confirm your address".to_owned(),
        subject_reset: String = "Reset your password".to_owned(),
        confirmation_url: String = unset(),
        reset_url: String = unset(),
        templates: String = unset(),
        timeout: Span = Span::seconds(20),
        retry: Span = Span::seconds(30),
        give_up: Span = Span::seconds(86_400),
    }
}

table! {
    /// `[throttle]`
    Throttle {
        login_failures: u32 = 10,
        login_failures_per_address: u32 = 200,
        window: Span = Span::seconds(15 * 60),
        silent: bool = false,
    }
}

table! {
    /// `[cookies]`
    Cookies {
        domain: String = unset(),
    }
}

table! {
    /// `[cors]`
    Cors {
        allowed_origins: Texts = vec![],
        allowed_methods: Texts = texts(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        allow_credentials: bool = false,
        max_age: Span = Span::seconds(10 * 60),
    }
}

table! {
    /// `[forward_auth]`
    ForwardAuth {
        login_url: String = unset(),
        allowed_redirect_hosts: Texts = vec![],
    }
}

table! {
    /// `[identity_headers]`
    IdentityHeaders {
        user: String = "X-User".to_owned(),
        id: String = "X-User-Id".to_owned(),
        roles: String = "X-User-Roles".to_owned(),
        email: String = "X-User-Email".to_owned(),
        assertion: String = unset(),
    }
}

table! {
    /// `[log]`
    Log {
        format: String = "text".to_owned(),
        level: String = "info".to_owned(),
        access: bool = true,
        logstash: String = unset(),
    }
}

table! {
    /// `[timeouts]`
    Timeouts {
        first_byte: Span = Span::seconds(10),
        handshake: Span = Span::seconds(10),
        header_read: Span = Span::seconds(10),
        body_progress: Span = Span::seconds(10),
        idle: Span = Span::seconds(75),
        drain: Span = Span::seconds(30),
    }
}

table! {
    /// `[limits]`
    Limits {
        connections: u32 = 20_000,
        connections_per_address: u32 = 1000,
        header_bytes: Size = Size(64 << 10),
    }
}
