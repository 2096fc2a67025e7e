//! What ties a request to other people's logs and traces: `x-request-id`, `traceparent`, `tracestate`.
//!
//! The app always gets the request id of the access line. A trace is begun only on routes: a page's `traceparent` is the
//! affair of whoever traces pages, and passes as it came, valid or not. On a route a valid one stays, whoever sent it: it is a
//! name without authority, what is not verified does not reach the app, and spans of strangers' traces are in a bounded queue.
//! Must never touch a header that a signature covers. Source: W3C Trace Context §3.2, §4.3.

#[cfg(feature = "otlp")]
use http::HeaderValue;
use http::{HeaderMap, HeaderName};

use crate::plan::Route;
use crate::telemetry::access::Record;
#[cfg(feature = "otlp")]
use crate::telemetry::otlp::Begun;
use crate::telemetry::request_id::{RequestId, X_REQUEST_ID};
use crate::telemetry::trace_context::{TRACEPARENT, TRACESTATE, TraceParent};

/// Of `tracestate`, in bytes.
#[cfg(feature = "otlp")]
const LONGEST_STATE: usize = 512;
/// RFC 9421: names the fields that a message signature covers.
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// Names the request as the trusted proxy does, whatever becomes of it.
pub(crate) fn take_request_id(headers: &HeaderMap, trusted: bool, record: &mut Record) {
    if let Some(id) = trusted.then(|| RequestId::of_proxy(headers)).flatten() {
        record.request_id = id;
    }
}

/// The trace that the request belongs to; on a route it always belongs to one.
pub(crate) fn join_trace(headers: &HeaderMap, route: Option<&Route>, record: &mut Record) {
    let is_missing =
        |route: &Route| !is_signed(headers, route, &TRACEPARENT) && !is_signed(headers, route, &TRACESTATE);
    // Sampled, as a webhook without a parent is by OpenTelemetry's own default (`parentbased_always_on`): an app that follows
    // its parent would lose sight of its webhooks otherwise.
    let begin = || route.is_some_and(is_missing).then(|| TraceParent::new(true));
    record.trace = TraceParent::of(headers).or_else(begin);
}

/// Makes the request a part of its trace: a webhook, where spans are wanted. A trusted proxy that does not record its trace
/// speaks for us too; a stranger's word on that does not count, or it could hide.
#[cfg(feature = "otlp")]
pub(crate) fn begin_span(
    headers: &HeaderMap,
    route: Option<&Route>,
    trusted: bool,
    scheme: &HeaderValue,
    record: &mut Record,
) {
    let received = TraceParent::of(headers);
    let is_unwanted = trusted && received.is_some_and(|received| !received.sampled);
    let Some(route) = route.filter(|_| record.is_traced() && !is_unwanted) else { return };
    let new = TraceParent::new(true);
    record.trace = Some(TraceParent { trace_id: received.map_or(new.trace_id, |received| received.trace_id), ..new });
    let forwarded = headers.get("x-forwarded-proto").filter(|value| trusted && (*value == "http" || *value == "https"));
    record.span = Some(Box::new(Begun {
        parent_id: received.map(|received| received.parent_id),
        state: received.map(|_| state(headers)).unwrap_or_default(),
        template: route.path.clone(),
        scheme: Some(forwarded.unwrap_or(scheme).clone()),
        trusted,
    }));
}

/// Several lines are one list. What is longer than everybody has to pass on (§3.3.1.5) is left out of the span.
#[cfg(feature = "otlp")]
fn state(headers: &HeaderMap) -> String {
    let lines: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|line| line.to_str().ok()).collect();
    Some(lines.join(",")).filter(|state| state.len() <= LONGEST_STATE).unwrap_or_default()
}

/// Writes for the app what the request is called and, on a route, where in the trace it is. Comes after everything that
/// removes headers.
pub(crate) fn write(
    headers: &mut HeaderMap,
    route: Option<&Route>,
    request_id: &RequestId,
    trace: Option<TraceParent>,
) {
    let is_ours = |headers: &HeaderMap, name| route.is_none_or(|route| !is_signed(headers, route, &name));
    if is_ours(headers, X_REQUEST_ID) {
        headers.insert(X_REQUEST_ID, request_id.header());
    }
    let received = TraceParent::of(headers);
    let Some(trace) = trace.filter(|_| route.is_some() && trace != received) else { return };
    if let Some(value) = trace.header().filter(|_| is_ours(headers, TRACEPARENT) && is_ours(headers, TRACESTATE)) {
        headers.insert(TRACEPARENT, value);
        if received.is_none_or(|received| received.trace_id != trace.trace_id) {
            headers.remove(TRACESTATE);
        }
    }
}

/// Whether a sender may have signed the header: the app could not check that signature again.
fn is_signed(headers: &HeaderMap, route: &Route, name: &HeaderName) -> bool {
    let is_of_scheme = |name: &HeaderName| route.scheme.headers().any(|signed| signed == name);
    is_of_scheme(name)
        || is_of_scheme(&SIGNATURE_INPUT)
            && headers
                .get_all(SIGNATURE_INPUT)
                .iter()
                .any(|input| memchr::memmem::find(input.as_bytes(), format!("\"{name}\"").as_bytes()).is_some())
}
