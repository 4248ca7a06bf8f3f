//! The figures of the request path: per route and worker, fixed cells, one writer each, summed when they are scraped.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};

use crate::codes::Code;

/// Which worker writes.
pub type WorkerIndex = usize;

/// Upper bounds of the duration buckets, in microseconds.
const BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];
/// Different (method, status) pairs, and (decision, reason) pairs, that one route counts apart on one worker: so many at hand,
/// which is more than most routes ever see …
const NEAR: usize = 4;
/// … and so many more, whose room is made when they are needed: of ten thousand routes, each counts.
const FAR: usize = 44;

/// The figures of one route, or of one group of our own endpoints.
#[derive(Debug)]
pub struct RouteSeries {
    name: String,
    workers: Vec<OnceLock<Box<Cells>>>,
}

#[derive(Debug, Default)]
struct Cells {
    requests: Tally,
    decisions: Tally,
    duration: Histogram,
}

/// What was decided about a request, as figures and the log tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It may go on.
    Permit,
    /// It may not.
    Refuse(Code),
    /// It goes on, for its route is a shadow; enforced, it would have been refused.
    WouldRefuse(Code),
}

/// What tells [`Decided::WouldRefuse`] from [`Decided::Refuse`] in a number.
const SHADOW: u64 = 1 << 16;

impl Decided {
    /// The label `decision`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Refuse(_) => "refuse",
            Self::WouldRefuse(_) => "would_refuse",
        }
    }

    /// The label `reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Permit => "ok",
            Self::Refuse(code) | Self::WouldRefuse(code) => code.as_str(),
        }
    }

    fn number(self) -> u64 {
        let of = |code: Code| {
            let index = Code::ALL.iter().position(|known| *known == code);
            index.map_or(0, |index| u64::try_from(index).unwrap_or(0) + 1)
        };
        match self {
            Self::Permit => 0,
            Self::Refuse(code) => of(code),
            Self::WouldRefuse(code) => of(code) | SHADOW,
        }
    }

    fn of_number(number: u64) -> Self {
        let code = usize::try_from((number & !SHADOW).wrapping_sub(1)).ok();
        match code.and_then(|index| Code::ALL.get(index)) {
            None => Self::Permit,
            Some(code) if number & SHADOW != 0 => Self::WouldRefuse(*code),
            Some(code) => Self::Refuse(*code),
        }
    }
}

/// A small table of counters. One thread writes, any may read.
#[derive(Debug, Default)]
struct Tally {
    near: [Counted; NEAR],
    far: OnceLock<Box<[Counted; FAR]>>,
}

/// What is counted, its number made one larger so that 0 is nothing yet; and how often it was.
#[derive(Debug, Default)]
struct Counted {
    key: AtomicU64,
    count: AtomicU64,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl RouteSeries {
    /// Series for a route; the cells of a worker are made when it first counts something.
    pub fn new(name: &str, workers: usize) -> Self {
        Self {
            name: name.to_owned(),
            workers: (0..workers).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The route's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts an answered request and how long it took to its head.
    pub fn request(&self, worker: WorkerIndex, method: &Method, status: StatusCode, took: Duration) {
        if let Some(cells) = self.cells(worker) {
            cells
                .requests
                .add((method_number(method) << 16) | u64::from(status.as_u16()));
            cells.duration.add(took);
        }
    }

    /// Counts a decision.
    pub fn decision(&self, worker: WorkerIndex, decided: Decided) {
        if let Some(cells) = self.cells(worker) {
            cells.decisions.add(decided.number());
        }
    }

    fn cells(&self, worker: WorkerIndex) -> Option<&Cells> {
        self.workers.get(worker).map(|cells| &**cells.get_or_init(Box::default))
    }

    /// Writes the series in Prometheus' text format; the callers write the `# TYPE` lines.
    pub(super) fn render(&self, requests: &mut String, durations: &mut String, decisions: &mut String) {
        use std::fmt::Write as _;
        let route = escape(&self.name);
        let cells = || self.workers.iter().filter_map(OnceLock::get);
        for (key, count) in sum(cells().map(|cells| &cells.requests)) {
            let (method, status) = (method_name(key >> 16), key & 0xffff);
            writeln!(
                requests,
                r#"doorward_http_requests_total{{route="{route}",method="{method}",status="{status}"}} {count}"#
            )
            .ok();
        }
        for (key, count) in sum(cells().map(|cells| &cells.decisions)) {
            let decided = Decided::of_number(key);
            let (decision, reason) = (decided.as_str(), decided.reason());
            writeln!(
                decisions,
                r#"doorward_access_decisions_total{{route="{route}",decision="{decision}",reason="{reason}"}} {count}"#
            )
            .ok();
        }
        let name = "doorward_http_request_duration_seconds";
        render_histogram(durations, name, "route", &route, || {
            cells().map(|cells| &cells.duration)
        });
    }
}

/// The durations of exchanges with one upstream.
#[derive(Debug)]
pub struct UpstreamSeries {
    name: String,
    workers: Vec<OnceLock<Box<Histogram>>>,
}

impl UpstreamSeries {
    /// Series for an upstream; the cells of a worker are made when it first counts something.
    pub fn new(name: &str, workers: usize) -> Self {
        Self {
            name: name.to_owned(),
            workers: (0..workers).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Counts an exchange and how long it took to the answer's head, or to its failure.
    pub fn exchange(&self, worker: WorkerIndex, took: Duration) {
        if let Some(cells) = self.workers.get(worker) {
            cells.get_or_init(Box::default).add(took);
        }
    }

    pub(super) fn render(&self, durations: &mut String) {
        let name = "doorward_upstream_request_duration_seconds";
        let cells = || self.workers.iter().filter_map(OnceLock::get).map(|cells| &**cells);
        render_histogram(durations, name, "upstream", &escape(&self.name), cells);
    }
}

/// One histogram, whose cells the workers keep apart.
fn render_histogram<'a, I: Iterator<Item = &'a Histogram>>(
    page: &mut String,
    name: &str,
    label: &str,
    value: &str,
    cells: impl Fn() -> I,
) {
    use std::fmt::Write as _;
    let mut total = 0;
    let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
    for (index, bound) in bounds.enumerate() {
        total += cells()
            .filter_map(|cells| cells.buckets.get(index))
            .map(|count| count.load(Ordering::Relaxed))
            .sum::<u64>();
        writeln!(page, r#"{name}_bucket{{{label}="{value}",le="{bound}"}} {total}"#).ok();
    }
    let micros: u64 = cells().map(|cells| cells.sum_micros.load(Ordering::Relaxed)).sum();
    writeln!(
        page,
        "{name}_sum{{{label}=\"{value}\"}} {}\n{name}_count{{{label}=\"{value}\"}} {total}",
        seconds(micros)
    )
    .ok();
}

impl Tally {
    /// One writer: a load and a store do what a locked increment would, and cost a third of it. What finds no room is not
    /// counted; there is room for all that the gateway says itself.
    fn add(&self, key: u64) {
        let key = key.wrapping_add(1);
        if self.near.iter().any(|cell| cell.add(key)) {
            return;
        }
        let far = self
            .far
            .get_or_init(|| Box::new(std::array::from_fn(|_| Counted::default())));
        far.iter().any(|cell| cell.add(key));
    }

    /// What was counted, and how often.
    fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let far = self.far.get().map_or(&[][..], |far| far.as_slice());
        self.near.iter().chain(far).filter_map(|cell| {
            let key = cell.key.load(Ordering::Acquire).checked_sub(1)?;
            Some((key, cell.count.load(Ordering::Relaxed)))
        })
    }
}

impl Counted {
    /// Counts one more, unless this counts something else.
    fn add(&self, key: u64) -> bool {
        let known = self.key.load(Ordering::Relaxed);
        if known == 0 {
            self.key.store(key, Ordering::Release);
        }
        let ours = known == key || known == 0;
        if ours {
            let count = self.count.load(Ordering::Relaxed).wrapping_add(1);
            self.count.store(count, Ordering::Relaxed);
        }
        ours
    }
}

impl Histogram {
    fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(index) {
            bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        self.sum_micros.store(
            self.sum_micros.load(Ordering::Relaxed).wrapping_add(micros),
            Ordering::Relaxed,
        );
    }
}

fn sum<'a>(tallies: impl Iterator<Item = &'a Tally>) -> std::collections::BTreeMap<u64, u64> {
    let mut sums = std::collections::BTreeMap::new();
    for (key, count) in tallies.flat_map(Tally::counts) {
        *sums.entry(key).or_insert(0) += count;
    }
    sums
}

/// Methods are a bounded set of labels: what is not registered counts as `OTHER`.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "OTHER",
];

fn method_number(method: &Method) -> u64 {
    let index = METHODS
        .iter()
        .position(|known| *known == method.as_str())
        .unwrap_or(METHODS.len() - 1);
    u64::try_from(index).unwrap_or(0)
}

fn method_name(number: u64) -> &'static str {
    usize::try_from(number)
        .ok()
        .and_then(|index| METHODS.get(index))
        .copied()
        .unwrap_or("OTHER")
}

fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A label value: backslash, quote and line feed are escaped.
pub(super) fn escape(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_counted_apart_is_summed() {
        let series = RouteSeries::new("app", 2);
        series.request(0, &Method::GET, StatusCode::OK, Duration::from_micros(700));
        series.request(1, &Method::GET, StatusCode::OK, Duration::from_millis(30));
        series.request(
            1,
            &Method::from_bytes(b"BREW").unwrap(),
            StatusCode::IM_A_TEAPOT,
            Duration::from_secs(60),
        );
        series.decision(0, Decided::Permit);
        series.decision(1, Decided::Refuse(Code::InvalidToken));
        series.decision(1, Decided::WouldRefuse(Code::InvalidToken));
        let (mut requests, mut durations, mut decisions) = (String::new(), String::new(), String::new());
        series.render(&mut requests, &mut durations, &mut decisions);
        assert!(
            requests.contains(r#"doorward_http_requests_total{route="app",method="GET",status="200"} 2"#),
            "{requests}"
        );
        assert!(requests.contains(r#"method="OTHER",status="418"} 1"#), "{requests}");
        assert!(
            decisions.contains(r#"decision="refuse",reason="invalid_token"} 1"#),
            "{decisions}"
        );
        assert!(
            decisions.contains(r#"decision="would_refuse",reason="invalid_token"} 1"#),
            "{decisions}"
        );
        assert!(
            durations.contains(r#"_bucket{route="app",le="0.001"} 1"#),
            "{durations}"
        );
        assert!(
            durations.contains(r#"_bucket{route="app",le="10"} 2"#) && durations.contains(r#"le="+Inf"} 3"#),
            "{durations}"
        );
        assert!(durations.contains(r#"_sum{route="app"} 60.0307"#), "{durations}");
    }

    #[test]
    fn however_many_statuses_a_route_has_each_is_counted_for_itself() {
        let tally = Tally::default();
        for round in 0..3 {
            for key in 0..NEAR + FAR {
                tally.add(u64::try_from(key).unwrap());
            }
            assert_eq!(
                tally.counts().filter(|(_, count)| *count == round + 1).count(),
                NEAR + FAR
            );
        }
        // No room is left; what has room goes on.
        tally.add(1 << 20);
        tally.add(0);
        assert_eq!(tally.counts().count(), NEAR + FAR);
        assert_eq!(tally.counts().next(), Some((0, 4)));
    }
}
