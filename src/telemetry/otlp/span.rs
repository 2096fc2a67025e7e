//! From the record of a request to its span.
//!
//! Sources: OpenTelemetry semantic conventions 1.3x, "HTTP server" and "Attributes: client, network, url, error"; OTLP 1.x
//! `Span.flags`. Must never read anything but the record.

use http::{HeaderValue, Method};

use super::messages::{AnyValue, KeyValue, Resource, Span, SpanKind, Status, StatusCode, Value};
use crate::telemetry::access::{Outcome, Record};

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK` and `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`: the parent is in another process.
const REMOTE_PARENT: u32 = 0x100 | 0x200;
const HAS_REMOTE: u32 = 0x100;
const SAMPLED: u32 = 1;

/// What is known of a span when it begins, beside the record.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// The span that it is a part of.
    pub(crate) parent_id: Option<[u8; 8]>,
    /// `tracestate` as received.
    pub(crate) state: String,
    /// The route's path.
    pub(crate) template: Box<str>,
    /// `http` or `https`.
    pub(crate) scheme: Option<HeaderValue>,
    /// The peer speaks for others.
    pub(crate) trusted: bool,
}

/// Who sends spans.
pub(crate) fn resource(service_name: &str) -> Resource {
    let mut attributes = Attributes::default();
    attributes.text("service.name", service_name);
    attributes.text("service.version", env!("CARGO_PKG_VERSION"));
    attributes.text("telemetry.sdk.name", "hookward");
    attributes.text("telemetry.sdk.language", "rust");
    attributes.text("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    Resource { attributes: attributes.0 }
}

pub(super) fn of(record: &Record, begun: &Begun) -> Span {
    let start = record.time.saturating_mul(1_000_000);
    let (method, is_known) = method(&record.method);
    // Names must be few: what anybody can write is not among them.
    let verb = if is_known { method } else { "HTTP" };
    let remote = if begun.parent_id.is_some() { REMOTE_PARENT } else { HAS_REMOTE };
    let trace = record.trace.as_ref();
    Span {
        trace_id: trace.map(|trace| trace.trace_id.to_vec()).unwrap_or_default(),
        span_id: trace.map(|trace| trace.parent_id.to_vec()).unwrap_or_default(),
        trace_state: begun.state.clone(),
        parent_span_id: begun.parent_id.map(|id| id.to_vec()).unwrap_or_default(),
        name: format!("{verb} {}", begun.template),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(record.elapsed_us().saturating_mul(1000)),
        attributes: attributes(record, begun),
        status: Some(status(record)),
        flags: SAMPLED | remote,
    }
}

/// Of a server, only what is its own fault is an error.
fn status(record: &Record) -> Status {
    let is_failed = record.status.is_some_and(|status| status.is_server_error());
    let code = if is_failed { StatusCode::Error } else { StatusCode::Unset };
    Status { message: String::new(), code: code.into() }
}

fn attributes(record: &Record, begun: &Begun) -> Vec<KeyValue> {
    let mut all = Attributes::default();
    let (method, is_known) = method(&record.method);
    all.text("http.request.method", method);
    if !is_known {
        all.text("http.request.method_original", record.method_text());
    }
    all.text("http.route", &begun.template);
    all.text("url.path", &record.path);
    if let Some(scheme) = begun.scheme.as_ref().and_then(|scheme| scheme.to_str().ok()) {
        all.text("url.scheme", scheme);
    }
    let peer = record.peer.to_str().unwrap_or_default();
    all.text("network.peer.address", peer);
    match record.client {
        Some(client) => all.text("client.address", &client.to_string()),
        None if !begun.trusted => all.text("client.address", peer),
        None => {}
    }
    if let Some(status) = record.status {
        all.number("http.response.status_code", status.as_u16().into());
        if status.is_server_error() {
            match record.outcome {
                Outcome::Rejected(reject) => all.text("error.type", reject.code()),
                _ => all.text("error.type", status.as_str()),
            }
        }
    }
    all.number("http.request.body.size", i64::try_from(record.bytes_in).unwrap_or(i64::MAX));
    all.number("http.response.body.size", i64::try_from(record.bytes_out).unwrap_or(i64::MAX));
    own(record, &mut all);
    all.0
}

/// The rest of the access line.
fn own(record: &Record, all: &mut Attributes) {
    all.text("hookward.outcome", record.outcome.code());
    if let Outcome::Rejected(reject) = record.outcome {
        all.text("hookward.code", reject.code());
    }
    if let (Some(route), Some(provider)) = (&record.route, &record.provider) {
        all.text("hookward.route", route);
        all.text("hookward.provider", provider);
    }
    if let Some(verified) = &record.verified {
        if let Some(id) = verified.id() {
            all.text("hookward.event.id", id.text);
        }
        if let Some(event_type) = verified.event_type() {
            all.text("hookward.event.type", event_type.text);
        }
        all.text("hookward.secret", verified.label());
    }
    if let Some(key) = record.replay_key {
        all.text("hookward.replay_key", &key.to_string());
    }
    if let Some(reject) = record.would_reject {
        all.text("hookward.would_reject", reject.code());
    }
    if let Some(header) = &record.header {
        all.text("hookward.header", header.as_str());
    }
    if let Some(skew) = record.skew_seconds {
        all.number("hookward.skew_seconds", skew);
    }
    if let Some(detail) = &record.detail {
        all.text("hookward.detail", detail);
    }
    if let Some(hint) = &record.hint {
        all.text("hookward.hint", hint);
    }
    if record.cut_off {
        all.push("hookward.cut_off", Value::Bool(true));
    }
    if let Some(upstream) = record.upstream_us {
        all.number("hookward.upstream_us", i64::try_from(upstream).unwrap_or(i64::MAX));
    }
    all.text("hookward.request_id", &record.request_id.to_string());
}

/// The name of a method, and whether it is one that everybody knows (RFC 9110 §9, RFC 5789).
fn method(method: &Method) -> (&str, bool) {
    let known = [
        Method::CONNECT,
        Method::DELETE,
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
        Method::POST,
        Method::PUT,
        Method::TRACE,
    ];
    if known.contains(method) { (method.as_str(), true) } else { ("_OTHER", false) }
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn push(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) });
    }

    fn text(&mut self, key: &str, text: &str) {
        self.push(key, Value::Text(text.to_owned()));
    }

    fn number(&mut self, key: &str, number: i64) {
        self.push(key, Value::Int(number));
    }
}
