//! The tables that may stand several times: listeners, certificates, other issuers, upstreams, routes, policy tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::value::{Roles, Size, Span};
use super::{Texts, table, texts, unset};

table! {
    /// `[[listeners]]`
    Listener {
        address: String = unset(),
        protocol: String = "https".to_owned(),
        proxy_protocol: bool = false,
        redirect_port: u16 = 443,
    }
}

table! {
    /// `tls.certificates`
    Certificate {
        cert: String = unset(),
        key: String = unset(),
    }
}

table! {
    /// `[[tokens.trusted_issuers]]`
    TrustedIssuer {
        issuer: String = unset(),
        jwks_url: String = unset(),
        jwks_file: String = unset(),
        key_file: String = unset(),
        secret_file: String = unset(),
        algorithms: Texts = vec![],
        audience: Option<Texts> = None,
        user_claim: String = "sub".to_owned(),
        users: String = unset(),
        user_prefix: String = unset(),
        roles_claim: String = unset(),
        roles: Roles = Roles::Unset,
        leeway: Span = Span::seconds(0),
    }
}

table! {
    /// `[[upstreams]]`
    Upstream {
        name: String = unset(),
        servers: Texts = vec![],
        balance: String = "round_robin".to_owned(),
        connect_timeout: Span = Span::seconds(2),
        response_timeout: Span = Span::seconds(60),
        max_requests: u32 = 512,
        queue_timeout: Span = Span::seconds(1),
        retries: u32 = 1,
        health: Health = Health::default(),
        tls: UpstreamTls = UpstreamTls::default(),
    }
}

table! {
    /// `upstreams[].health`; without a path: none
    Health {
        path: String = unset(),
        interval: Span = Span::seconds(5),
        timeout: Span = Span::seconds(1),
        unhealthy_after: u32 = 3,
        healthy_after: u32 = 2,
    }
}

table! {
    /// `upstreams[].tls`
    UpstreamTls {
        ca: String = unset(),
        server_name: String = unset(),
        client_cert: String = unset(),
        client_key: String = unset(),
    }
}

table! {
    /// `[[routes]]`
    Route {
        name: String = unset(),
        hosts: Texts = vec![],
        path: String = unset(),
        methods: Texts = vec![],
        access: String = "authenticated".to_owned(),
        credentials: Texts = texts(["bearer", "session"]),
        roles_any: Option<Texts> = None,
        roles_all: Texts = vec![],
        networks: Texts = vec![],
        upstream: String = unset(),
        strip_prefix: String = unset(),
        host_header: String = "preserve".to_owned(),
        request_headers: Headers = Headers::default(),
        response_headers: Headers = Headers::default(),
        forward_token: bool = false,
        max_body: Option<Size> = None,
        rate_limit: RateLimit = RateLimit::default(),
        preflight: String = "pass".to_owned(),
        cross_site: String = "refuse".to_owned(),
        ambiguous: String = "agree".to_owned(),
        client_auth: String = unset(),
        shadow: bool = false,
    }
}

table! {
    /// `routes[].request_headers` and `response_headers`
    Headers {
        set: BTreeMap<String, String> = BTreeMap::new(),
        remove: Texts = vec![],
    }
}

table! {
    /// `routes[].rate_limit`; without requests: none
    RateLimit {
        requests: Option<u32> = None,
        per: Span = Span::seconds(1),
        by: String = "client".to_owned(),
    }
}

table! {
    /// `[[policy_tests]]`
    PolicyTest {
        request: String = unset(),
        roles: Option<Texts> = None,
        anonymous: bool = false,
        client: String = unset(),
        client_certificate: bool = false,
        expect: String = unset(),
    }
}
