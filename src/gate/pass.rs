//! Traffic that no route protects: it streams through, both ways.
//!
//! Must never be called for a target that a route protects.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Request, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{Answered, Caller, Gate};
use crate::admit::Admitted;
use crate::forward::ForwardError;
use crate::head_checks::name_host;
use crate::in_flight::{InFlight, Ticket};
use crate::onward::{forward_interim, upstream_request};
use crate::outbound::Outbound;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::reject::Reject;
use crate::telemetry::access::Record;
use crate::websocket;
use crate::wire::Protocol;

/// Waits for the end of a body that says it has no byte. HTTP/2 can say so and then send some, which resets the stream: by
/// then the app must not be at work on the empty request.
///
/// # Errors
/// `framing`, `body_timeout`.
pub(super) async fn as_empty_as_said(
    plan: &Plan,
    caller: &Caller,
    request: &mut Request<Incoming>,
    record: &mut Record,
) -> Result<(), Refusal> {
    let body = request.body();
    if caller.protocol == Protocol::Http1 || body.size_hint().exact() != Some(0) || body.is_end_stream() {
        return Ok(());
    }
    let end = async {
        while let Some(frame) = request.body_mut().frame().await {
            // Trailers are no body.
            if !frame.is_ok_and(|frame| frame.data_ref().is_none_or(Bytes::is_empty)) {
                return Err(Reject::Framing);
            }
        }
        Ok(())
    };
    let ended = Box::pin(tokio::time::timeout(plan.limits.body_timeout, end)).await;
    ended.unwrap_or(Err(Reject::BodyTimeout)).map_err(|reject| {
        record.detail = Some("HTTP/2: `content-length: 0`, and more than an empty body (RFC 9113 §8.1.1)".into());
        Refusal::from(reject)
    })
}

/// One in so many places is not for what streams through: that may be slow for as long as it likes, and would lock out every
/// webhook.
const KEPT: usize = 8;

impl Gate {
    /// A place among what streams through.
    ///
    /// # Errors
    /// `overloaded`.
    pub(super) fn place_to_pass(&self, plan: &Plan) -> Result<Ticket, Reject> {
        let most = plan.limits.max_connections.min(self.places);
        let most = most.saturating_sub(most.checked_div(KEPT).unwrap_or(0));
        let place = self.passing.ticket();
        if self.passing.running() > most { Err(Reject::Overloaded) } else { Ok(place) }
    }

    /// Sends traffic that no route protects, streaming both ways.
    pub(super) async fn pass(
        self: &Arc<Self>,
        plan: &Arc<Plan>,
        caller: &Caller,
        mut request: Request<Incoming>,
        websocket: bool,
    ) -> Result<Answered, ForwardError> {
        let client = websocket.then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        if body.size_hint().exact().is_none() {
            // Said aloud, because hyper sends a GET or HEAD without its body otherwise.
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        // In HTTP/1 the socket sees to that.
        let is_shared = caller.protocol == Protocol::Http2;
        let (stall, shared) =
            (is_shared.then_some(plan.limits.body_timeout), is_shared.then_some(caller.line.attention()));
        if parts.version == Version::HTTP_10 {
            name_host(plan, &mut parts.headers);
        }
        // RFC 9110 §15.2: no interim answer to an HTTP/1.0 client.
        let interim = caller.protocol == Protocol::Http1 && parts.version == Version::HTTP_11;
        let mut request = upstream_request(parts, Outbound::stream(body, Arc::clone(plan), stall, shared));
        let Some(client) = client else {
            if interim {
                forward_interim(&mut request, Arc::clone(&caller.line));
            }
            return self
                .forwarder
                .send(Admitted::passed_through_unverified(request), plan, None)
                .await
                .map(Answered::App);
        };
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        let admitted = Admitted::passed_through_unverified(request);
        let mut response = Box::pin(self.forwarder.upgrade(admitted, plan)).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if !websocket::is_named(response.headers()) {
                return Err(ForwardError::Switched);
            }
            let app = hyper::upgrade::on(&mut response);
            caller.line.switch();
            // A tunnel counts as a request to a shutdown, and as the connection that it is to `limits.max_connections`.
            let tickets = [&self.in_flight, &self.connections, &self.passing].map(InFlight::ticket);
            tokio::spawn(websocket::tunnel(client, app, tickets, self.expired.clone()));
        }
        Ok(Answered::Upgrade(response))
    }
}
