//! Events of the server and of the audit log as ECS documents.

use std::fmt;

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::access::stamp;
use super::ecs::{self, Dataset, Shape};
use super::log::AUDIT;
use super::write::{number, push, string};

/// Writes each event as one document on one line.
pub(super) struct Documents;

impl<S, N> FormatEvent<S, N> for Documents
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (now, mut seconds) = (OffsetDateTime::now_utc(), String::new());
        stamp(&mut seconds, now);
        let metadata = event.metadata();
        let dataset = match metadata.target() == AUDIT {
            true => Dataset::Audit,
            false => Dataset::Server,
        };
        let mut line = Vec::with_capacity(512);
        let (millis, level) = (now.millisecond().into(), level(*metadata.level()));
        ecs::begin(&mut line, &seconds, millis, level, dataset, metadata.target());
        event.record(&mut Fields(&mut line));
        line.extend_from_slice(b"}\n");
        // Only whole strings went into it.
        writer.write_str(str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Each field goes into the line as it is met.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    /// A number or a truth value, as its own text.
    fn bare(&mut self, field: &Field, text: &str) {
        match ecs::field(self.0, field.name()) {
            Shape::AsItIs => push(self.0, text),
            Shape::Text | Shape::List => string(self.0, text),
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match ecs::field(self.0, field.name()) {
            Shape::AsItIs | Shape::Text => string(self.0, value),
            Shape::List => ecs::column(self.0, value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match ecs::field(self.0, field.name()) {
            Shape::AsItIs => number(self.0, value, 1),
            Shape::Text | Shape::List => string(self.0, &value.to_string()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.bare(field, &value.to_string()),
            // JSON has no such number.
            false => self.bare(field, "null"),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// The documents of what is told, without their times.
    fn told(tell: impl FnOnce()) -> Vec<Value> {
        // See the tests of the audit log.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Documents)
            .with_max_level(Level::TRACE)
            .with_writer(lines.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, tell);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| {
                let mut document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let time = document.as_object_mut().unwrap().remove("@timestamp").unwrap();
                let time = time.as_str().unwrap();
                assert!(
                    time.len() == 24 && time.ends_with('Z') && time.as_bytes()[19] == b'.',
                    "{time}"
                );
                document
            })
            .collect()
    }

    #[test]
    fn an_event_is_a_document_with_the_names_of_the_schema() {
        let documents = told(|| {
            tracing::info!(
                target: "doorward::audit",
                {
                    event.action = "user_created",
                    event.outcome = "success",
                    user.id = 7,
                    user.roles = "user,ops",
                    grants = "",
                    key = "k",
                    key.name = "a\"b\n",
                    by.id = Some(1_i64),
                    by.name = "root",
                    scope = None::<&str>,
                    client.ip = %"127.0.0.1",
                },
                "account changed"
            );
            tracing::error!(error = %"bro\nken", upstream = "app", url = %"http://x/", changes = 3_usize, size = 2_u64,
                odd = f64::NAN, well = true, ratio = 0.5, "something\u{1b}");
        });
        let common = |level: &str, dataset: &str| json!({"log.level": level, "ecs.version": "8.11.0", "service.name": "doorward", "event.dataset": dataset});
        let with = |mut document: Value, more: Value| {
            let object = document.as_object_mut().unwrap();
            object.extend(more.as_object().unwrap().clone());
            document
        };
        assert_eq!(
            documents,
            [
                with(
                    common("info", "doorward.audit"),
                    json!({"log.logger": "doorward::audit", "message": "account changed", "event.action": "user_created",
                        "event.outcome": "success", "user.id": "7", "user.roles": ["user", "ops"], "doorward.grants": [],
                        "doorward.key.id": "k", "doorward.key.name": "a\"b\n", "doorward.by.id": "1",
                        "doorward.by.name": "root", "client.ip": "127.0.0.1"})
                ),
                with(
                    common("error", "doorward.server"),
                    json!({"log.logger": module_path!(), "message": "something\u{1b}", "error.message": "bro\nken",
                        "doorward.upstream": "app", "url.full": "http://x/", "doorward.changes": 3, "doorward.size": 2,
                        "doorward.odd": null, "doorward.well": true, "doorward.ratio": 0.5})
                ),
            ]
        );
    }
}
