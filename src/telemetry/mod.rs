//! What is told about the gateway: log lines and metrics. Events take plain values and stable codes.

mod access;
mod described;
mod log;
mod metrics;
mod series;
mod settings;

pub use access::{Access, AccessLog};
pub use log::{Logging, LoggingError, start as start_logging};
pub use metrics::{
    FetchResult, LoginResult, MailResult, Metrics, ProxyHeaderResult, RefreshResult, StoreResult, TlsResult,
};
pub use series::{RouteSeries, UpstreamSeries, WorkerIndex};
pub use settings::Settings;
