//! The access line: one per request, from one struct, when the request ends.
//!
//! Field names are stable; they are the words of the reject table and the configuration. Must never hold a body, a secret, a
//! signature, or a query value: the path stops at its `?`.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::{HeaderName, Method, StatusCode};
use serde::{Serialize, Serializer};

use super::output::Output;
use crate::clock;
use crate::plan::LogFormat;
use crate::reject::Reject;

/// Longest path that is logged, in bytes.
const LONGEST_PATH: usize = 256;

/// How a request ended, besides the rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A verified delivery went to the app.
    Forwarded,
    /// Unprotected traffic went to the app.
    Passed,
    /// A verified event that the route does not want.
    Filtered,
    /// The client left before there was an answer.
    ClientLeft,
    /// Refused.
    Rejected(Reject),
}

impl Outcome {
    fn code(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Passed => "passed",
            Self::Filtered => "filtered",
            Self::ClientLeft => "client_left",
            Self::Rejected(reject) => reject.code(),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// Where lines go and how they look. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AccessLog {
    output: Option<(Output, LogFormat)>,
}

impl AccessLog {
    /// Lines of this format, to this output.
    pub fn new(output: Output, format: LogFormat) -> Self {
        Self { output: Some((output, format)) }
    }

    /// Writes nothing.
    pub fn off() -> Self {
        Self { output: None }
    }
}

/// What is known of one request. Written when dropped.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    #[serde(serialize_with = "rfc3339")]
    time: u64,
    pub(crate) outcome: Outcome,
    #[serde(serialize_with = "status", skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<StatusCode>,
    #[serde(serialize_with = "method")]
    pub(crate) method: Method,
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<Box<str>>,
    pub(crate) peer: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_type: Option<String>,
    /// The label of the secret that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Box<str>>,
    /// The header that a reject is about.
    #[serde(serialize_with = "header", skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<HeaderName>,
    /// Seconds by which the timestamp is ahead of our clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skew_seconds: Option<i64>,
    /// More about a reject: which rule, which error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    pub(crate) bytes_in: u64,
    bytes_out: u64,
    /// The answer's body was not sent to its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut_off: bool,
    /// Until the app's answer began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream_us: Option<u64>,
    duration_us: u64,
    request_id: RequestId,
    #[serde(skip)]
    pub(crate) started: Instant,
    #[serde(skip)]
    log: AccessLog,
}

impl Record {
    pub(crate) fn new(log: AccessLog, peer: IpAddr, method: Method, path: &str) -> Box<Self> {
        let mut path = path.split(['?', '#']).next().unwrap_or_default().to_owned();
        if path.len() > LONGEST_PATH {
            let end = (0..=LONGEST_PATH).rev().find(|end| path.is_char_boundary(*end)).unwrap_or(0);
            path.truncate(end);
        }
        Box::new(Self {
            time: clock::unix_now_millis(),
            outcome: Outcome::ClientLeft,
            status: None,
            method,
            path,
            route: None,
            provider: None,
            peer,
            client: None,
            event_id: None,
            event_type: None,
            secret: None,
            header: None,
            skew_seconds: None,
            detail: None,
            bytes_in: 0,
            bytes_out: 0,
            cut_off: false,
            upstream_us: None,
            duration_us: 0,
            request_id: RequestId::next(),
            started: clock::monotonic(),
            log,
        })
    }

    /// The id that also stands in problem+json.
    pub(crate) fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Counts bytes of the answer's body.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes_out = self.bytes_out.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The answer broke off.
    pub(crate) fn cut_off(&mut self) {
        self.cut_off = true;
    }

    /// Microseconds since the request began.
    pub(crate) fn elapsed_us(&self) -> u64 {
        let elapsed = clock::monotonic().saturating_duration_since(self.started);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Some((output, format)) = self.log.output.take() else { return };
        self.duration_us = self.elapsed_us();
        match format {
            LogFormat::Json => output.line(|line| {
                if serde_json::to_writer(&mut *line, self).is_ok() {
                    line.push(b'\n');
                }
            }),
            LogFormat::Text => {
                if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(&*self) {
                    output.line(|line| {
                        for (name, value) in fields {
                            let value = match value {
                                serde_json::Value::String(text)
                                    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') =>
                                {
                                    text
                                }
                                other => other.to_string(),
                            };
                            line.extend_from_slice(format!("{name}={value} ").as_bytes());
                        }
                        line.pop();
                        line.push(b'\n');
                    });
                }
            }
        }
    }
}

/// Names one request in the log and in our answer. Not secret, not guessable across processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId(u64);

impl RequestId {
    fn next() -> Self {
        static FIRST: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let first = *FIRST.get_or_init(|| RandomState::new().hash_one(clock::unix_now_millis()));
        Self(first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn rfc3339<S: Serializer>(millis: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&clock::Rfc3339(*millis))
}

#[expect(clippy::ref_option, reason = "serde gives a reference")]
fn status<S: Serializer>(status: &Option<StatusCode>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.map_or(0, |status| status.as_u16()))
}

fn method<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

#[expect(clippy::ref_option, reason = "serde gives a reference")]
fn header<S: Serializer>(header: &Option<HeaderName>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(header.as_ref().map_or("", HeaderName::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_never_holds_a_query() {
        let mut record = Record::new(AccessLog::off(), [127, 0, 0, 1].into(), Method::POST, "/a?token=hunter2");
        record.outcome = Outcome::Rejected(Reject::SignatureMismatch);
        let line = serde_json::to_string(&*record).unwrap();
        assert!(line.contains("\"path\":\"/a\"") && line.contains("\"outcome\":\"signature_mismatch\""), "{line}");
        assert!(!line.contains("hunter2"));
    }

    #[test]
    fn a_long_path_is_cut() {
        let record = Record::new(AccessLog::off(), [127, 0, 0, 1].into(), Method::GET, &"/é".repeat(500));
        assert!(record.path.len() <= LONGEST_PATH);
    }

    #[test]
    fn request_ids_differ() {
        assert_ne!(RequestId::next(), RequestId::next());
    }
}
