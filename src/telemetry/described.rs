//! What the series of the exporter mean, for the metrics page.

pub(super) fn describe() {
    metrics::describe_counter!("doorward_logins_total", "Logins by result.");
    metrics::describe_counter!("doorward_refreshes_total", "Refreshes by result.");
    metrics::describe_counter!(
        "doorward_refresh_reuse_total",
        "Spent refresh tokens that came again and ended their session."
    );
    metrics::describe_histogram!(
        "doorward_password_hash_duration_seconds",
        "Time to hash or verify one password."
    );
    metrics::describe_gauge!("doorward_password_queue", "Requests waiting for a password worker.");
    metrics::describe_gauge!(
        "doorward_revocation_age_seconds",
        "Time since the change feed was last read to its end."
    );
    metrics::describe_gauge!("doorward_store_pool", "Connections of the store's pool by state.");
    metrics::describe_counter!(
        "doorward_store_requests_total",
        "Calls to the store by operation and result."
    );
    metrics::describe_counter!(
        "doorward_jwks_fetches_total",
        "Fetches of the keys of trusted issuers by issuer and result."
    );
    metrics::describe_counter!("doorward_mails_total", "Attempts to send a mail by kind and result.");
    metrics::describe_gauge!("doorward_mail_outbox", "Mails that wait to be sent, of all replicas.");
    metrics::describe_gauge!("doorward_connections", "Open connections by listener.");
    metrics::describe_gauge!("doorward_worker_connections", "Open connections by worker.");
    metrics::describe_counter!("doorward_tls_handshakes_total", "TLS handshakes by result.");
    metrics::describe_counter!(
        "doorward_proxy_headers_total",
        "Connections that have to begin with a PROXY header, by result."
    );
    metrics::describe_counter!(
        "doorward_certificate_reloads_total",
        "Changed certificate files taken up or refused."
    );
    metrics::describe_gauge!("doorward_certificate_expiry_seconds", "Time until a certificate ends.");
    metrics::describe_counter!(
        "doorward_config_reloads_total",
        "Reloads of the configuration by result."
    );
    metrics::describe_counter!(
        "doorward_log_dropped_total",
        "Log lines dropped because their queue was full, those of the audit among them."
    );
    metrics::describe_gauge!("doorward_build_info", "The running version.");
}
