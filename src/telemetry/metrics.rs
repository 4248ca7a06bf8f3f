//! The metrics page (Prometheus text format): the request path's own cells, and everything else through the exporter,
//! with a recorder of our own rather than a global one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::described::describe;
use super::results::{FetchResult, LoginResult, MailResult, ProxyHeaderResult, RefreshResult, StoreResult, TlsResult};
use super::series::{RouteSeries, UpstreamSeries, escape};

/// Every figure the gateway keeps.
pub struct Metrics {
    workers: usize,
    routes: Mutex<BTreeMap<String, Arc<RouteSeries>>>,
    upstreams: Mutex<BTreeMap<String, Arc<UpstreamSeries>>>,
    /// Upstream, server, whether it is healthy.
    servers: Mutex<Vec<(String, String, bool)>>,
    tokens: Vec<TokenCells>,
    exporter: PrometheusHandle,
    recorder: PrometheusRecorder,
    handles: Handles,
}

/// Figures whose labels are known beforehand, each resolved once.
struct Handles {
    logins: Vec<Counter>,
    refreshes: Vec<Counter>,
    handshakes: Vec<Counter>,
    proxy_headers: Vec<Counter>,
    reuse: Counter,
    hashing: Histogram,
    password_queue: Gauge,
    revocation_age: Gauge,
    pool: [Gauge; 2],
    log_dropped: Counter,
    reloads: [Counter; 2],
    renewals: [Counter; 2],
}

/// Token figures of one worker: one writer.
#[derive(Default)]
struct TokenCells {
    hits: AtomicU64,
    misses: AtomicU64,
    results: Mutex<BTreeMap<&'static str, u64>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Metrics")
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl Metrics {
    /// Figures for this many workers.
    pub fn new(workers: usize) -> Self {
        // The only way this fails is an empty list of buckets; then they are a summary instead of a histogram.
        let buckets = [
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ];
        let builder = PrometheusBuilder::new();
        let recorder = match builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets) {
            Ok(builder) => builder.build_recorder(),
            Err(_) => PrometheusBuilder::new().build_recorder(),
        };
        let handles = metrics::with_local_recorder(&recorder, Handles::resolve);
        Self {
            workers,
            routes: Mutex::default(),
            upstreams: Mutex::default(),
            servers: Mutex::default(),
            tokens: (0..workers).map(|_| TokenCells::default()).collect(),
            exporter: recorder.handle(),
            recorder,
            handles,
        }
    }

    /// The series of a route: the same one for the same name, also across reloads.
    pub fn route(&self, name: &str) -> Arc<RouteSeries> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            routes
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(RouteSeries::new(name, self.workers))),
        )
    }

    /// The series of an upstream: the same one for the same name, also across reloads.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamSeries> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let series = upstreams
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(UpstreamSeries::new(name, self.workers)));
        Arc::clone(series)
    }

    /// All servers there are: upstream, server, whether it is healthy. They take the place of those told before.
    pub fn servers(&self, servers: Vec<(String, String, bool)>) {
        *self.servers.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    /// A verified token was remembered, or was not.
    pub fn token_cache(&self, worker: usize, hit: bool) {
        if let Some(cells) = self.tokens.get(worker) {
            let cell = if hit { &cells.hits } else { &cells.misses };
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// A token was verified anew, with this result.
    pub fn token_verification(&self, worker: usize, result: &'static str) {
        if let Some(cells) = self.tokens.get(worker) {
            *cells
                .results
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(result)
                .or_insert(0) += 1;
        }
    }

    /// A login ended.
    pub fn login(&self, result: LoginResult) {
        increment(&self.handles.logins, LoginResult::ALL, result);
    }

    /// A refresh ended.
    pub fn refresh(&self, result: RefreshResult) {
        increment(&self.handles.refreshes, RefreshResult::ALL, result);
        if result == RefreshResult::Reuse {
            self.handles.reuse.increment(1);
        }
    }

    /// A TLS handshake ended.
    pub fn handshake(&self, result: TlsResult) {
        increment(&self.handles.handshakes, TlsResult::ALL, result);
    }

    /// A connection came in that has to begin with a PROXY header.
    pub fn proxy_header(&self, result: ProxyHeaderResult) {
        increment(&self.handles.proxy_headers, ProxyHeaderResult::ALL, result);
    }

    /// A password was hashed or verified.
    pub fn password_hashed(&self, took: Duration) {
        self.handles.hashing.record(took.as_secs_f64());
    }

    /// Requests waiting for a password worker.
    pub fn password_queue(&self, waiting: usize) {
        self.handles
            .password_queue
            .set(u32::try_from(waiting).unwrap_or(u32::MAX));
    }

    /// How long ago the change feed was last read to its end.
    pub fn revocation_age(&self, age: Duration) {
        self.handles.revocation_age.set(age.as_secs_f64());
    }

    /// Connections of the store's pool.
    pub fn store_pool(&self, used: usize, idle: usize) {
        for (gauge, value) in self.handles.pool.iter().zip([used, idle]) {
            gauge.set(u32::try_from(value).unwrap_or(u32::MAX));
        }
    }

    /// A call to the store ended.
    pub fn store_request(&self, operation: &'static str, result: StoreResult) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!("doorward_store_requests_total", "operation" => operation, "result" => result.as_str())
                .increment(1);
        });
    }

    /// A fetch of an issuer's keys ended. Issuers are those of the configuration, never those that tokens name.
    pub fn jwks_fetch(&self, issuer: &str, result: FetchResult) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!("doorward_jwks_fetches_total", "issuer" => issuer.to_owned(), "result" => result.as_str())
                .increment(1);
        });
    }

    /// An attempt to send a mail of this kind ended.
    pub fn mail(&self, kind: &'static str, result: MailResult) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!("doorward_mails_total", "kind" => kind, "result" => result.as_str()).increment(1);
        });
    }

    /// Mails that wait in the outbox.
    pub fn mail_outbox(&self, waiting: u64) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::gauge!("doorward_mail_outbox").set(u32::try_from(waiting).unwrap_or(u32::MAX));
        });
    }

    /// Open connections of a listener.
    pub fn connections(&self, listener: &str, open: usize) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::gauge!("doorward_connections", "listener" => listener.to_owned())
                .set(u32::try_from(open).unwrap_or(u32::MAX));
        });
    }

    /// Open connections of a worker.
    pub fn worker_connections(&self, worker: usize, open: usize) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::gauge!("doorward_worker_connections", "worker" => worker.to_string())
                .set(u32::try_from(open).unwrap_or(u32::MAX));
        });
    }

    /// Seconds until a certificate ends.
    pub fn certificate_expiry(&self, name: &str, seconds: i64) {
        metrics::with_local_recorder(&self.recorder, || {
            let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
            metrics::gauge!("doorward_certificate_expiry_seconds", "name" => name.to_owned()).set(seconds);
        });
    }

    /// A reload was done or refused.
    pub fn reload(&self, ok: bool) {
        let [done, refused] = &self.handles.reloads;
        if ok { done } else { refused }.increment(1);
    }

    /// Changed certificates were put in force or refused.
    pub fn certificates_renewed(&self, ok: bool) {
        let [done, refused] = &self.handles.renewals;
        if ok { done } else { refused }.increment(1);
    }

    /// Lines that found the queue full.
    pub fn log_dropped(&self, lines: u64) {
        self.handles.log_dropped.absolute(lines);
    }

    /// The whole page.
    pub fn render(&self) -> String {
        self.exporter.run_upkeep();
        let mut page = self.exporter.render();
        let routes: Vec<_> = self
            .routes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        let (mut requests, mut durations, mut decisions) = (String::new(), String::new(), String::new());
        for route in routes {
            route.render(&mut requests, &mut durations, &mut decisions);
        }
        for (name, kind, lines) in [
            ("doorward_http_requests_total", "counter", requests),
            ("doorward_http_request_duration_seconds", "histogram", durations),
            ("doorward_access_decisions_total", "counter", decisions),
        ] {
            write!(page, "# TYPE {name} {kind}\n{lines}\n").ok();
        }
        self.render_upstreams(&mut page);
        self.render_tokens(&mut page);
        page
    }

    fn render_upstreams(&self, page: &mut String) {
        let mut durations = String::new();
        for upstream in self.upstreams.lock().unwrap_or_else(PoisonError::into_inner).values() {
            upstream.render(&mut durations);
        }
        let mut healthy = String::new();
        for (upstream, server, good) in self.servers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (upstream, server, good) = (escape(upstream), escape(server), u8::from(*good));
            writeln!(
                healthy,
                r#"doorward_upstream_healthy{{upstream="{upstream}",server="{server}"}} {good}"#
            )
            .ok();
        }
        for (name, kind, lines) in [
            ("doorward_upstream_request_duration_seconds", "histogram", durations),
            ("doorward_upstream_healthy", "gauge", healthy),
        ] {
            write!(page, "# TYPE {name} {kind}\n{lines}\n").ok();
        }
    }

    fn render_tokens(&self, page: &mut String) {
        let (mut hits, mut misses, mut results) = (0, 0, BTreeMap::<&str, u64>::new());
        for cells in &self.tokens {
            hits += cells.hits.load(Ordering::Relaxed);
            misses += cells.misses.load(Ordering::Relaxed);
            for (result, count) in cells.results.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                *results.entry(result).or_insert(0) += count;
            }
        }
        let name = "doorward_token_cache_total";
        write!(
            page,
            "# TYPE {name} counter\n{name}{{result=\"hit\"}} {hits}\n{name}{{result=\"miss\"}} {misses}\n\n"
        )
        .ok();
        let name = "doorward_token_verifications_total";
        writeln!(page, "# TYPE {name} counter").ok();
        for (result, count) in results {
            writeln!(page, "{name}{{result=\"{result}\"}} {count}").ok();
        }
    }
}

impl Handles {
    /// With the recorder that is in force where this is called.
    fn resolve() -> Self {
        describe();
        metrics::gauge!("doorward_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let by_result = |name: &'static str, results: Vec<&'static str>| -> Vec<Counter> {
            results
                .into_iter()
                .map(|result| metrics::counter!(name, "result" => result))
                .collect()
        };
        Self {
            logins: by_result("doorward_logins_total", LoginResult::texts()),
            refreshes: by_result("doorward_refreshes_total", RefreshResult::texts()),
            handshakes: by_result("doorward_tls_handshakes_total", TlsResult::texts()),
            proxy_headers: by_result("doorward_proxy_headers_total", ProxyHeaderResult::texts()),
            reuse: metrics::counter!("doorward_refresh_reuse_total"),
            hashing: metrics::histogram!("doorward_password_hash_duration_seconds"),
            password_queue: metrics::gauge!("doorward_password_queue"),
            revocation_age: metrics::gauge!("doorward_revocation_age_seconds"),
            pool: ["used", "idle"].map(|state| metrics::gauge!("doorward_store_pool", "state" => state)),
            log_dropped: metrics::counter!("doorward_log_dropped_total"),
            reloads: ["ok", "refused"]
                .map(|result| metrics::counter!("doorward_config_reloads_total", "result" => result)),
            renewals: ["ok", "refused"]
                .map(|result| metrics::counter!("doorward_certificate_reloads_total", "result" => result)),
        }
    }
}

fn increment<T: PartialEq>(counters: &[Counter], all: &[T], result: T) {
    if let Some((counter, _)) = counters.iter().zip(all).find(|(_, known)| **known == result) {
        counter.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_what_was_counted() {
        let metrics = Metrics::new(2);
        metrics.login(LoginResult::Throttled);
        metrics.refresh(RefreshResult::Reuse);
        metrics.store_request("user", StoreResult::Unavailable);
        metrics.password_hashed(Duration::from_millis(30));
        metrics.token_cache(1, true);
        metrics.token_verification(0, "expired");
        metrics
            .route("app")
            .request(0, &http::Method::GET, http::StatusCode::OK, Duration::from_millis(1));
        metrics.upstream("app").exchange(1, Duration::from_millis(30));
        metrics.servers(vec![("app".into(), "http://gone".into(), true)]);
        metrics.servers(vec![("app".into(), "http://a\"b".into(), false)]);
        let page = metrics.render();
        assert!(!page.contains("http://gone"), "{page}");
        for line in [
            "doorward_logins_total{result=\"throttled\"} 1",
            "doorward_logins_total{result=\"success\"} 0",
            "doorward_refresh_reuse_total 1",
            "doorward_store_requests_total{operation=\"user\",result=\"unavailable\"} 1",
            "doorward_password_hash_duration_seconds_bucket{le=\"0.05\"} 1",
            "doorward_token_cache_total{result=\"hit\"} 1",
            "doorward_token_verifications_total{result=\"expired\"} 1",
            "doorward_http_requests_total{route=\"app\",method=\"GET\",status=\"200\"} 1",
            "doorward_upstream_request_duration_seconds_bucket{upstream=\"app\",le=\"0.05\"} 1",
            "doorward_upstream_request_duration_seconds_count{upstream=\"app\"} 1",
            "doorward_upstream_healthy{upstream=\"app\",server=\"http://a\\\"b\"} 0",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
