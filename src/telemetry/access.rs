//! The access line: one per request, from one struct, when the request ends.
//!
//! Field names are stable; they are the words of the reject table and the configuration. Must never hold a body, a secret, a
//! signature, or a query value: the path stops at its `?`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::fields::{Fields, key};
use super::metrics::{Ended, Metrics};
#[cfg(feature = "otlp")]
use super::otlp::{Begun, Spans};
use super::output::Output;
use super::recent::Recent;
use super::request_id::RequestId;
use super::trace_context::TraceParent;
use crate::check::replay_key::ReplayKey;
use crate::check::signature::Verified;
use crate::clock;
use crate::plan::LogFormat;
use crate::reject::Reject;

/// Longest path that is logged, in bytes.
const LONGEST_PATH: usize = 256;

/// Longest method that is logged, in bytes.
const LONGEST_METHOD: usize = 32;

/// How a request ended, besides the rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A verified delivery went to the app.
    Forwarded,
    /// Unprotected traffic went to the app.
    Passed,
    /// An unverified request went to the app, where a check only logs.
    WouldReject,
    /// A verified event that the route does not want.
    Filtered,
    /// A verified delivery that has run already.
    Duplicate,
    /// A provider's handshake, answered without the app.
    Handshake,
    /// The client left before there was an answer.
    ClientLeft,
    /// Refused.
    Rejected(Reject),
}

impl Outcome {
    /// Every outcome.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let answered = [
            Self::Forwarded,
            Self::Passed,
            Self::WouldReject,
            Self::Filtered,
            Self::Duplicate,
            Self::Handshake,
            Self::ClientLeft,
        ];
        answered.into_iter().chain(Reject::ALL.iter().copied().map(Self::Rejected))
    }

    /// Its place in [`Outcome::all`].
    pub(super) fn index(self) -> usize {
        match self {
            Self::Forwarded => 0,
            Self::Passed => 1,
            Self::WouldReject => 2,
            Self::Filtered => 3,
            Self::Duplicate => 4,
            Self::Handshake => 5,
            Self::ClientLeft => 6,
            Self::Rejected(reject) => Reject::ALL
                .iter()
                .position(|known| *known == reject)
                .map_or(usize::MAX, |place| place.saturating_add(7)),
        }
    }

    /// Whether only a request that came to a route can end like this.
    pub(super) fn needs_route(self) -> bool {
        match self {
            Self::Forwarded | Self::WouldReject | Self::Filtered | Self::Duplicate | Self::Handshake => true,
            Self::Passed | Self::ClientLeft | Self::Rejected(_) => false,
        }
    }

    /// The word for it in the log and in metrics.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Passed => "passed",
            Self::WouldReject => "would_reject",
            Self::Filtered => "filtered",
            Self::Duplicate => "duplicate",
            Self::Handshake => "handshake",
            Self::ClientLeft => "client_left",
            Self::Rejected(reject) => reject.code(),
        }
    }
}

/// Where lines go and how they look, and what counts them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AccessLog {
    output: Option<(Output, LogFormat)>,
    metrics: Option<Arc<Metrics>>,
    recent: Option<Arc<Recent>>,
    #[cfg(feature = "otlp")]
    pub(super) spans: Option<Spans>,
}

impl AccessLog {
    /// Lines of this format, to this output.
    pub fn new(output: Output, format: LogFormat) -> Self {
        Self { output: Some((output, format)), ..Self::off() }
    }

    /// Writes nothing.
    pub fn off() -> Self {
        Self {
            output: None,
            metrics: None,
            recent: None,
            #[cfg(feature = "otlp")]
            spans: None,
        }
    }

    /// Counts every request here, written or not.
    #[must_use]
    pub(crate) fn counted_by(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Keeps what people look at, written or not.
    #[must_use]
    pub(crate) fn kept_by(self, recent: Option<Arc<Recent>>) -> Self {
        Self { recent, ..self }
    }

    /// Leaves a span of every webhook here.
    #[cfg(feature = "otlp")]
    #[must_use]
    pub(crate) fn traced_by(self, spans: Spans) -> Self {
        Self { spans: Some(spans), ..self }
    }
}

/// What is known of one request. Counted and written when dropped.
#[derive(Debug)]
pub(crate) struct Record {
    pub(super) time: u64,
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<StatusCode>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) provider: Option<Arc<str>>,
    /// The socket's address, as text.
    pub(super) peer: HeaderValue,
    pub(crate) client: Option<IpAddr>,
    /// Id, type and the label of the secret that matched.
    pub(crate) verified: Option<Verified>,
    /// The name under which a delivery was claimed in vain.
    pub(crate) replay_key: Option<ReplayKey>,
    /// Why it would have been refused.
    pub(crate) would_reject: Option<Reject>,
    /// The header that a reject is about.
    pub(crate) header: Option<HeaderName>,
    /// Seconds by which the timestamp is ahead of our clock.
    pub(crate) skew_seconds: Option<i64>,
    /// More about a reject: which rule, which error.
    pub(crate) detail: Option<Cow<'static, str>>,
    /// Why a signature did not match, where that was found out.
    pub(crate) hint: Option<Box<str>>,
    pub(crate) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// The answer's body was not sent to its end.
    pub(super) cut_off: bool,
    /// Until the app's answer began.
    pub(crate) upstream_us: Option<u64>,
    /// How long the body took to arrive.
    body_us: u64,
    /// Until the app was given the request.
    handed_over_us: Option<u64>,
    /// Also in problem+json, and for the app.
    pub(crate) request_id: RequestId,
    /// The trace that it belongs to, as the app is told.
    pub(crate) trace: Option<TraceParent>,
    /// Of a webhook, where spans are wanted.
    #[cfg(feature = "otlp")]
    pub(crate) span: Option<Box<Begun>>,
    pub(crate) started: Instant,
    log: AccessLog,
}

impl Record {
    pub(crate) fn new(log: AccessLog, peer: HeaderValue, method: Method, path: &str) -> Box<Self> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let end = (0..=LONGEST_PATH.min(path.len())).rev().find(|end| path.is_char_boundary(*end)).unwrap_or(0);
        Box::new(Self {
            time: clock::unix_now_millis(),
            outcome: Outcome::ClientLeft,
            status: None,
            method,
            path: path.get(..end).unwrap_or_default().to_owned(),
            route: None,
            provider: None,
            peer,
            client: None,
            verified: None,
            replay_key: None,
            would_reject: None,
            header: None,
            skew_seconds: None,
            detail: None,
            hint: None,
            bytes_in: 0,
            bytes_out: 0,
            cut_off: false,
            upstream_us: None,
            body_us: 0,
            handed_over_us: None,
            request_id: RequestId::next(),
            trace: None,
            #[cfg(feature = "otlp")]
            span: None,
            started: clock::monotonic(),
            log,
        })
    }

    /// What hyper was shown was not what the client sent.
    pub(crate) fn forget_target(&mut self) {
        self.method = unknown_method();
        self.path.clear();
    }

    /// A connection that was refused before its first request, and closed without an answer that anyone could rely on.
    pub(crate) fn refused_connection(
        log: AccessLog,
        peer: HeaderValue,
        reject: Reject,
        why: impl Into<Cow<'static, str>>,
    ) {
        let mut record = Self::new(log, peer, unknown_method(), "");
        record.outcome = Outcome::Rejected(reject);
        record.detail = Some(why.into());
    }

    /// Counts bytes of the answer's body.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes_out = self.bytes_out.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The answer broke off.
    pub(crate) fn cut_off(&mut self) {
        self.cut_off = true;
    }

    /// The body is there, and took this long.
    pub(crate) fn body_came(&mut self, waited: Option<Duration>) {
        self.body_us = waited.map_or(0, micros);
    }

    /// From here on the time is the app's.
    pub(crate) fn handed_over(&mut self) {
        self.handed_over_us = Some(self.elapsed_us());
    }

    /// When the request began, in unix seconds.
    pub(crate) fn unix_seconds(&self) -> u64 {
        self.time.wrapping_div(1000)
    }

    /// Microseconds since the request began.
    pub(crate) fn elapsed_us(&self) -> u64 {
        micros(clock::monotonic().saturating_duration_since(self.started))
    }

    /// What is counted of it.
    fn ended(&self, total_us: u64) -> Ended<'_> {
        let verified = self.verified.as_ref();
        let skew = || {
            let timestamp = i64::try_from(verified?.timestamp()?).ok()?;
            timestamp.checked_sub(i64::try_from(self.unix_seconds()).ok()?)
        };
        Ended {
            route: self.route.as_ref(),
            outcome: self.outcome,
            status: self.status,
            secret: verified.map(Verified::shared_label),
            total_us,
            upstream_us: self.handed_over_us.map(|handed| self.upstream_us.unwrap_or(total_us).saturating_sub(handed)),
            added_us: self.handed_over_us.map(|handed| handed.saturating_sub(self.body_us)),
            bytes_in: self.bytes_in,
            skew_seconds: self.skew_seconds.or_else(skew),
            unix_seconds: self.unix_seconds(),
        }
    }

    /// The method, as far as it is shown.
    pub(super) fn method_text(&self) -> &str {
        self.method.as_str().get(..LONGEST_METHOD).unwrap_or(self.method.as_str())
    }

    /// Whether spans are wanted.
    #[cfg(feature = "otlp")]
    pub(crate) fn is_traced(&self) -> bool {
        self.log.spans.is_some()
    }

    /// Every field, in the order of the line. Names are stable.
    fn write(&self, fields: &mut Fields<'_>, total_us: u64) {
        fields.time(key!("time"), self.time);
        fields.text(key!("outcome"), self.outcome.code());
        if let Some(status) = self.status {
            fields.number(key!("status"), status.as_u16().into());
        }
        fields.text(key!("method"), self.method_text());
        fields.text(key!("path"), &self.path);
        if let (Some(route), Some(provider)) = (&self.route, &self.provider) {
            fields.text(key!("route"), route);
            fields.text(key!("provider"), provider);
        }
        fields.text(key!("peer"), self.peer.to_str().unwrap_or_default());
        if let Some(client) = self.client {
            fields.text(key!("client"), &client.to_string());
        }
        if let Some(verified) = &self.verified {
            if let Some(id) = verified.id() {
                fields.text(key!("event_id"), id.text);
            }
            if let Some(event_type) = verified.event_type() {
                fields.text(key!("event_type"), event_type.text);
            }
            fields.text(key!("secret"), verified.label());
        }
        if let Some(key) = self.replay_key {
            fields.text(key!("replay_key"), &key.to_string());
        }
        if let Some(reject) = self.would_reject {
            fields.text(key!("would_reject"), reject.code());
        }
        if let Some(header) = &self.header {
            fields.text(key!("header"), header.as_str());
        }
        if let Some(skew) = self.skew_seconds {
            fields.signed(key!("skew_seconds"), skew);
        }
        if let Some(detail) = &self.detail {
            fields.text(key!("detail"), detail);
        }
        if let Some(hint) = &self.hint {
            fields.text(key!("hint"), hint);
        }
        fields.number(key!("bytes_in"), self.bytes_in);
        fields.number(key!("bytes_out"), self.bytes_out);
        if self.cut_off {
            fields.raw(key!("cut_off"), b"true");
        }
        if let Some(upstream) = self.upstream_us {
            fields.number(key!("upstream_us"), upstream);
        }
        fields.number(key!("duration_us"), total_us);
        self.request_id.with_text(|id| fields.text(key!("request_id"), id));
        if let Some(trace) = &self.trace {
            fields.hex(key!("trace_id"), &trace.trace_id);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let total_us = self.elapsed_us();
        if let Some(metrics) = &self.log.metrics {
            metrics.ended(&self.ended(total_us));
        }
        if let Some(recent) = &self.log.recent {
            recent.note(self);
        }
        #[cfg(feature = "otlp")]
        if let Some(spans) = self.log.spans.take() {
            spans.ended(self);
        }
        if let Some((output, format)) = self.log.output.take() {
            output.line(|line| Fields::line(line, format, |fields| self.write(fields, total_us)));
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// `-`: nothing that could be read.
fn unknown_method() -> Method {
    Method::from_bytes(b"-").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: HeaderValue = HeaderValue::from_static("127.0.0.1");

    fn line(record: &Record, format: LogFormat) -> String {
        let mut line = Vec::new();
        Fields::line(&mut line, format, |fields| record.write(fields, 7));
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_method_is_cut_at_its_bound() {
        for (length, logged) in [(LONGEST_METHOD, LONGEST_METHOD), (LONGEST_METHOD + 1, LONGEST_METHOD), (4000, 32)] {
            let method = Method::from_bytes(&vec![b'M'; length]).unwrap();
            let record = Record::new(AccessLog::off(), PEER, method, "/a");
            let json: serde_json::Value = serde_json::from_str(&line(&record, LogFormat::Json)).unwrap();
            assert_eq!(json["method"].as_str().unwrap().len(), logged, "of {length}");
        }
    }

    #[test]
    fn a_line_never_holds_a_query() {
        let mut record = Record::new(AccessLog::off(), PEER, Method::POST, "/a?token=hunter2");
        record.outcome = Outcome::Rejected(Reject::SignatureMismatch);
        record.status = Some(StatusCode::UNAUTHORIZED);
        let json: serde_json::Value = serde_json::from_str(&line(&record, LogFormat::Json)).unwrap();
        assert_eq!(json["path"], "/a");
        assert_eq!(json["outcome"], "signature_mismatch");
        assert_eq!(json["status"], 401);
        assert_eq!(json["request_id"], record.request_id.to_string());
        let text = line(&record, LogFormat::Text);
        assert!(text.contains("outcome=signature_mismatch status=401 method=POST path=/a peer=127.0.0.1"), "{text}");
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn a_long_path_is_cut() {
        let record = Record::new(AccessLog::off(), PEER, Method::GET, &"/é".repeat(500));
        assert!(record.path.len() <= LONGEST_PATH && record.path.len() > LONGEST_PATH - 4);
    }
}
