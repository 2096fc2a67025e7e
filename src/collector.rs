//! Sends spans to an OpenTelemetry collector: OTLP over HTTP, protobuf, in batches.
//!
//! Nobody waits for it. What the collector does not take in time is tried again a few times and then lost, counted and told;
//! a shutdown sends what is left, once. Source: OpenTelemetry Protocol 1.x, "OTLP/HTTP" (§ Request, Response, Failures,
//! Throttling, Connection). Must never hold up a request or, for long, a shutdown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use prost::Message;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock;
use crate::https::{Bounds, ExchangeError, Https};
use crate::in_flight::raised;
use crate::plan::Collector;
use crate::telemetry::otlp::messages::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, ResourceSpans, ScopeSpans, Span,
};
use crate::telemetry::otlp::{BATCH, Spans, resource};
use crate::telemetry::trace_context::noise;

/// Longest time that a span waits for others. Like the time limit, the default of OpenTelemetry's exporters.
const EVERY: Duration = Duration::from_secs(5);
/// Of one request.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(10), bytes: 64 << 10 };
/// How often a batch is sent.
const ATTEMPTS: u32 = 5;
/// Between two attempts, doubled each time; half more or less of it, so that replicas do not come all at once.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A collector may ask for more, up to this.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// What a shutdown has for it at most, and at least.
const FLUSH: Duration = Duration::from_secs(5);
const LEAST_FLUSH: Duration = Duration::from_millis(500);
/// Of a collector's words in our log, in characters.
const LONGEST_MESSAGE: usize = 200;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("hookward/", env!("CARGO_PKG_VERSION")));

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Perhaps it will be next time.
    #[error("{0}")]
    Exchange(#[from] ExchangeError),
    /// It asks us to come back.
    #[error("the collector answered {status}")]
    Busy { status: StatusCode, after: Option<Duration> },
    /// It never will be.
    #[error("the collector answered {0}")]
    Refused(StatusCode),
}

/// Sends what gathers in a queue.
#[derive(Debug)]
pub(crate) struct Exporter {
    https: Https,
    collector: Arc<Collector>,
    spans: Spans,
}

/// An exporter at work.
#[derive(Debug)]
pub(crate) struct Exporting {
    flush: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// # Errors
    /// No authority to trust.
    pub(crate) fn new(collector: Arc<Collector>, spans: Spans) -> Result<Self, ExchangeError> {
        let https = match &collector.ca {
            Some(pem) => Https::trusting_pem(pem)?,
            None => Https::new(),
        };
        Ok(Self { https, collector, spans })
    }

    /// Begins to send.
    pub(crate) fn start(self) -> Exporting {
        let (flush, flushing) = watch::channel(false);
        Exporting { flush, task: tokio::spawn(self.run(flushing)) }
    }

    async fn run(self, mut flushing: watch::Receiver<bool>) {
        loop {
            let is_last = tokio::select! {
                biased;
                () = raised(&mut flushing) => true,
                () = self.spans.due(EVERY) => false,
            };
            loop {
                let batch = self.spans.take();
                let is_whole = batch.len() == BATCH;
                if !batch.is_empty() {
                    self.deliver(batch, &mut flushing).await;
                }
                if !is_whole {
                    break;
                }
            }
            let lost = self.spans.take_lost();
            if lost > 0 {
                tracing::warn!(spans = lost, "spans were dropped: they come faster than the collector takes them");
            }
            if is_last {
                return;
            }
        }
    }

    /// Sends a batch until it is taken or given up.
    async fn deliver(&self, batch: Vec<Span>, flushing: &mut watch::Receiver<bool>) {
        let count = batch.len();
        let body = Bytes::from(self.request(batch).encode_to_vec());
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1_u32;
        loop {
            let Err(failure) = self.attempt(body.clone()).await else { return };
            let wait = failure.wait(pause).filter(|_| attempt < ATTEMPTS && !*flushing.borrow());
            let Some(wait) = wait else {
                tracing::warn!(spans = count, error = %failure, endpoint = %self.collector.endpoint, "spans were not taken");
                return;
            };
            tokio::select! {
                biased;
                () = raised(flushing) => {}
                () = tokio::time::sleep(wait) => {}
            }
            attempt = attempt.saturating_add(1);
            pause = pause.saturating_mul(2);
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<(), Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.collector.endpoint.clone();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, AGENT);
        headers.extend(self.collector.headers.iter().cloned());
        headers.insert(CONTENT_TYPE, PROTOBUF);
        let (head, body) = self.https.exchange(request, BOUNDS).await?.into_parts();
        match head.status {
            status if status.is_success() => {
                tell_partial(&body);
                Ok(())
            }
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => Err(Failure::Busy { status, after: retry_after(&head.headers) }),
            status => Err(Failure::Refused(status)),
        }
    }

    fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope { name: "hookward".into(), version: env!("CARGO_PKG_VERSION").into() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        let resource = Some(resource(&self.collector.service_name));
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
    }
}

impl Exporting {
    /// Sends what is left, until `deadline` if that is soon.
    pub(crate) async fn finish(mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(clock::monotonic()).clamp(LEAST_FLUSH, FLUSH);
        self.flush.send_replace(true);
        if tokio::time::timeout(left, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the last spans are lost: the collector did not take them in time");
        }
    }
}

impl Failure {
    /// How long to wait before the next attempt. `None`: there is none.
    fn wait(&self, pause: Duration) -> Option<Duration> {
        let jittered = pause.mul_f64(0.5 + f64::from(u16::try_from(noise() & 0xffff).unwrap_or(0)) / 65_536.0);
        match self {
            Self::Exchange(ExchangeError::Url | ExchangeError::Authorities | ExchangeError::Body)
            | Self::Refused(_) => None,
            Self::Exchange(
                ExchangeError::Connect(_) | ExchangeError::Proxy(_) | ExchangeError::Broken(_) | ExchangeError::Timeout,
            ) => Some(jittered),
            Self::Busy { after, .. } => Some(after.unwrap_or_default().min(LONGEST_PAUSE).max(jittered)),
        }
    }
}

/// Seconds alone: collectors send no dates.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// A collector may take a batch and yet not all of it; that must not be tried again.
fn tell_partial(body: &[u8]) {
    let Ok(ExportTraceServiceResponse { partial_success: Some(partial) }) = ExportTraceServiceResponse::decode(body)
    else {
        return;
    };
    let words: String = partial.error_message.chars().take(LONGEST_MESSAGE).collect();
    if partial.rejected_spans != 0 || !words.is_empty() {
        tracing::warn!(spans = partial.rejected_spans, error = words, "the collector did not take every span");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(after: Option<&str>) -> Duration {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, after.parse().unwrap());
        }
        let failure = Failure::Busy { status: StatusCode::SERVICE_UNAVAILABLE, after: retry_after(&headers) };
        failure.wait(FIRST_PAUSE).unwrap()
    }

    #[test]
    fn waits_as_long_as_the_collector_asks_within_reason() {
        let usual = Duration::from_millis(500)..Duration::from_millis(1500);
        for after in [None, Some("0"), Some("-5"), Some("+5"), Some("Sat, 21 Nov 2026 18:00:00 GMT")] {
            assert!(usual.contains(&busy(after)), "{after:?}");
        }
        assert_eq!(busy(Some("7")), Duration::from_secs(7));
        assert_eq!(busy(Some("300")), LONGEST_PAUSE);
        assert_eq!(busy(Some("301")), LONGEST_PAUSE);
        assert_eq!(busy(Some("99999999999999999999999")), LONGEST_PAUSE);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert_eq!(Failure::Refused(StatusCode::BAD_REQUEST).wait(FIRST_PAUSE), None);
        assert_eq!(Failure::Exchange(ExchangeError::Body).wait(FIRST_PAUSE), None);
        assert!(Failure::Exchange(ExchangeError::Timeout).wait(FIRST_PAUSE).is_some());
    }
}
