//! The sample backend: it shows what it received, as JSON, or as a page where a browser asks.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The running backend.
pub struct Backend {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Backend {
    /// Listens on a free port of this machine.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self {
            address: listener.local_addr()?,
            task: tokio::spawn(accept(listener)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it.
    pub fn stop(self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: it passes.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(async move {
            let serving =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            // Only the gateway calls; what it breaks off needs no word.
            serving.await.ok();
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, mut body) = request.into_parts();
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        size = size.saturating_add(frame?.data_ref().map_or(0, Bytes::len));
    }
    Ok(response(&parts, size))
}

fn response(parts: &Parts, size: usize) -> Response<Full<Bytes>> {
    let accepts = parts
        .headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or("");
    let (kind, text) = match accepts.contains("text/html") {
        true => ("text/html; charset=utf-8", page(parts, size)),
        false => ("application/json", format!("{:#}\n", received(parts, size))),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// What came: a header that came several times is a list.
fn received(parts: &Parts, size: usize) -> Value {
    let mut headers = Map::new();
    for name in parts.headers.keys() {
        let mut values: Vec<Value> = values(parts, name).map(Value::from).collect();
        let value = if values.len() == 1 {
            values.remove(0)
        } else {
            Value::from(values)
        };
        headers.insert(name.as_str().to_owned(), value);
    }
    json!({
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "headers": headers,
        "body_bytes": size,
    })
}

fn values(parts: &Parts, name: &http::HeaderName) -> impl Iterator<Item = String> {
    parts
        .headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn page(parts: &Parts, size: usize) -> String {
    let mut rows = String::new();
    for name in parts.headers.keys() {
        for value in values(parts, name) {
            let mark = if name.as_str().starts_with("x-user") {
                " class=identity"
            } else {
                ""
            };
            write!(rows, "<tr{mark}><th>{name}<td>{}", escaped(&value)).ok();
        }
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Sample backend</title>\
        <style>body{{font:16px/1.5 system-ui;margin:2em auto;max-width:60em;padding:0 1em}}\
        th{{text-align:left;padding-right:1em;font-weight:500;vertical-align:top}}td{{overflow-wrap:anywhere}}\
        .identity{{background:#e4f2e4;color:#000}}</style>\
        <h1>Sample backend</h1><p>This is what the gateway let through; the marked lines are its own word for who you are.\
        <p><code>{} {}</code>, a body of {size} bytes<table>{rows}</table>\n",
        escaped(parts.method.as_str()),
        escaped(&parts.uri.to_string()),
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parts(accept: &str) -> Parts {
        let request = Request::get("/app/hello?a=1&b")
            .header("accept", accept)
            .header("x-user", "<alice>");
        request
            .header("x-two", "1")
            .header("x-two", "2")
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    #[test]
    fn it_shows_what_it_received() {
        let shown = received(&parts("*/*"), 3);
        assert_eq!(shown["target"], "/app/hello?a=1&b");
        assert_eq!((&shown["method"], &shown["body_bytes"]), (&json!("GET"), &json!(3)));
        assert_eq!(
            (&shown["headers"]["x-user"], &shown["headers"]["x-two"]),
            (&json!("<alice>"), &json!(["1", "2"]))
        );
    }

    #[test]
    fn a_page_holds_no_markup_of_others() {
        let response = response(&parts("text/html,*/*"), 0);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let page = page(&parts("text/html"), 0);
        assert!(page.contains("&lt;alice&gt;") && page.contains("?a=1&amp;b"));
        assert!(!page.contains("<alice>"));
    }
}
