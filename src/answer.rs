//! hookward's own answers: problem+json for a reject, and the few that are not refusals.
//!
//! Senders' dashboards show this body to the webhook's owner, so it says what happened and what to do (RFC 9457). Must never
//! hold a secret, an expected signature or a stack trace, and never be a 3xx or 410.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::check::handshake::{Content, Reply};
use crate::headers;
use crate::inbound::{Ending, Inbound};
use crate::reject::Reject;
use crate::replay::Copied;
use crate::telemetry::access::Outcome;

/// Seconds after which a refused delivery may be sent again.
const RETRY: HeaderValue = HeaderValue::from_static("1");

/// Enough for any of these answers.
const ROOM: usize = 512;

/// RFC 9457 §3.1, and two members of our own.
#[derive(Serialize)]
struct Problem<'r> {
    code: &'static str,
    detail: &'static str,
    request_id: &'r str,
    status: u16,
    title: &'static str,
    r#type: &'static str,
}

/// The answer for a reject. `close` ends the connection after it.
pub(crate) fn problem(reject: Reject, allow: Option<&HeaderValue>, close: bool, ending: Ending) -> Response<Inbound> {
    let problem = Problem {
        code: reject.code(),
        detail: reject.fix(),
        request_id: &ending.record.request_id.to_string(),
        status: reject.status().as_u16(),
        title: reject.title(),
        r#type: "about:blank",
    };
    let mut body = Vec::with_capacity(ROOM);
    // Writing into a `Vec` cannot fail.
    let _ = serde_json::to_writer(&mut body, &problem);
    let mut response = own(reject.status(), Bytes::from(body), ending);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(allow) = allow {
        headers.insert(ALLOW, allow.clone());
    }
    if reject.status() == StatusCode::SERVICE_UNAVAILABLE || reject == Reject::ReplayInFlight {
        headers.insert(RETRY_AFTER, RETRY);
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer for a genuine event that the route does not want.
pub(crate) fn filtered(ending: Ending) -> Response<Inbound> {
    own(StatusCode::NO_CONTENT, Bytes::new(), ending)
}

/// The answer to a delivery that has run: what the app said to the other one, where that was waited for.
pub(crate) fn duplicate(copied: Option<Box<Copied>>, ending: Ending) -> Response<Inbound> {
    if let Some(copied) = copied {
        let mut response = own(copied.status, copied.body, ending);
        *response.headers_mut() = copied.headers;
        headers::end_hop_of_response(response.headers_mut());
        return response;
    }
    let mut response = own(StatusCode::OK, Bytes::from_static(b"{\"code\":\"duplicate\"}"), ending);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer to a provider's handshake. What it gives back may be anyone's, so no browser may take it for a page.
pub(crate) fn handshake(reply: Reply, mut ending: Ending) -> Response<Inbound> {
    ending.record.outcome = Outcome::Handshake;
    let (content, body) = reply.body.map_or((None, String::new()), |(content, body)| (Some(content), body));
    let mut response = own(reply.status, Bytes::from(body), ending);
    let media_type = content.map(|content| match content {
        Content::Text => HeaderValue::from_static("text/plain"),
        Content::Json => HeaderValue::from_static("application/json"),
    });
    if let Some(media_type) = media_type {
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

fn own(status: StatusCode, body: Bytes, mut ending: Ending) -> Response<Inbound> {
    ending.record.status = Some(status);
    let mut response = Response::new(Inbound::own(body, ending));
    *response.status_mut() = status;
    response
}
