//! What is told about the gateway: log lines and metrics. Events take plain values and stable codes.

mod access;
mod described;
mod ecs;
mod events;
mod log;
mod metrics;
mod queue;
mod results;
mod series;
mod settings;
mod text;
mod write;

pub use access::{Access, AccessLines, AccessLog};
pub use log::{Logging, LoggingError, start as start_logging};
pub use metrics::Metrics;
pub use results::{FetchResult, LoginResult, MailResult, ProxyHeaderResult, RefreshResult, StoreResult, TlsResult};
pub use series::{Decided, RouteSeries, UpstreamSeries, WorkerIndex};
pub use settings::{Format, Settings};
