//! The request, top to bottom.
//!
//! Cheap checks come first, nothing signed is believed before the MAC, and no byte goes upstream before `Verified`. The
//! twelve steps are those of the design; read [`Gate::judge`] for their order. Must never forward a request to a protected
//! path by any way but [`Admitted::delivery`].

mod caller;
mod pass;

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::admit::Admitted;
use crate::answer;
use crate::budget::{Budget, Charge, Short};
use crate::check::client::{self, Client};
use crate::check::handshake::Reply;
use crate::check::replay_key::ReplayKey;
use crate::check::signature::{self, Presented, Verified, Window};
use crate::clock;
use crate::correlate;
use crate::deliver::deliver;
use crate::documents::{Asker, Documents};
use crate::forward::{Answer, ForwardError, Forwarder};
use crate::handshake;
use crate::head_checks::{address, allowed, framing, name_host, public_url, target};
use crate::headers;
use crate::hint::{Hints, Question};
use crate::in_flight::InFlight;
use crate::inbound::{Ending, Inbound};
use crate::live::Live;
use crate::onward::{onward, upstream_request};
use crate::outbound::Outbound;
use crate::plan::{OnStoreError, Plan, ReplayMode, Route, Unmatched};
use crate::receive::{Bounds, Whole, receive};
use crate::refusal::{self, Refusal, broken_body, failed};
use crate::reject::Reject;
use crate::replay::{Copied, Denied, Down, Memorable, Permit, Replay, Terms};
use crate::report::Report;
use crate::telemetry::access::{AccessLog, Outcome, Record};
use crate::verified_event;
use crate::websocket;
use crate::wire::{Head, Line, Protocol};

pub(crate) use self::caller::Caller;

/// Everything a request meets on its way.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) live: Arc<Live>,
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) replay: Arc<Replay>,
    pub(crate) budget: Budget,
    pub(crate) documents: Documents,
    pub(crate) hints: Hints,
    pub(crate) access: AccessLog,
    pub(crate) in_flight: InFlight,
    pub(crate) connections: InFlight,
    /// Requests that no route protects, and tunnels.
    pub(crate) passing: InFlight,
    /// How many connections the descriptors of this process are enough for.
    pub(crate) places: usize,
    /// Becomes true when a shutdown begins.
    pub(crate) stopping: watch::Receiver<bool>,
    /// Becomes true when a shutdown can wait no longer.
    pub(crate) expired: watch::Receiver<bool>,
}

/// What a request that was not refused comes to.
#[derive(Debug)]
enum Answered {
    App(Response<Answer>),
    Upgrade(Response<Incoming>),
    Filtered,
    Duplicate(Option<Box<Copied>>),
    Handshake(Reply),
}

/// A request whose body has come.
struct Received {
    parts: Parts,
    frames: Vec<Bytes>,
    /// Its peer is a trusted proxy.
    trusted: bool,
    client: Client,
}

impl Gate {
    /// Serves one request. Never fails: every refusal is an answer. It has begun when this returns, polled or not.
    pub(crate) fn serve(
        self: Arc<Self>,
        caller: Arc<Caller>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Inbound>, Infallible>> + Send + use<> {
        let head = caller.begin();
        // Loaded once per request (per stream in HTTP/2), so that a kept connection cannot keep an old plan.
        let plan = self.live.plan();
        let most = plan.limits.max_connections.min(self.places);
        // A connection may carry many streams, so it is these that are counted in HTTP/2; but each connection has its share, or
        // a few that are full of slow ones would lock everybody else out.
        let crowded = caller.protocol == Protocol::Http2
            && self.in_flight.running() >= most
            && caller.line.in_flight() > self.connections.share(most);
        let path = request.uri().path();
        let ending = Ending {
            record: Record::new(self.access.clone(), caller.peer.text().clone(), request.method().clone(), path),
            line: Arc::clone(&caller.line),
            _ticket: self.in_flight.ticket(),
            passing: None,
        };
        self.run(plan, caller, head, request, ending, crowded)
    }

    async fn run(
        self: Arc<Self>,
        plan: Arc<Plan>,
        caller: Arc<Caller>,
        head: Option<Head>,
        request: Request<Incoming>,
        mut ending: Ending,
        crowded: bool,
    ) -> Result<Response<Inbound>, Infallible> {
        let outcome = if crowded {
            Err(Reject::Overloaded.into())
        } else {
            self.judge(&plan, &caller, head, request, &mut ending).await
        };
        caller.line.answered();
        Ok(match outcome {
            Ok(Answered::App(response)) => {
                ending.record.status = Some(response.status());
                ending.record.upstream_us = Some(ending.record.elapsed_us());
                onward(response, |body| Inbound::app(body, ending))
            }
            Ok(Answered::Upgrade(response)) => {
                ending.record.status = Some(response.status());
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    response.map(|body| Inbound::plain(body, ending))
                } else {
                    onward(response, |body| Inbound::plain(body, ending))
                }
            }
            Ok(Answered::Filtered) => answer::filtered(ending),
            Ok(Answered::Duplicate(copied)) => answer::duplicate(copied, ending),
            Ok(Answered::Handshake(reply)) => answer::handshake(reply, ending),
            Err(Refusal { reject, allow }) => {
                ending.record.outcome = Outcome::Rejected(reject);
                let unread = matches!(head, None | Some(Head::Refused(_))) || caller.line.is_receiving();
                let close = caller.protocol == Protocol::Http1 && unread;
                let answer = answer::problem(reject, allow.as_ref(), close, ending);
                // A window can hold up a body, and with it everything that the stream costs; a head it cannot.
                if crowded { answer.map(Inbound::without_bytes) } else { answer }
            }
        })
    }

    /// The checks, in order. What is rarely waited for is in a box: what this future holds is moved with every request.
    #[expect(clippy::too_many_lines, reason = "their order is what this file is for")]
    async fn judge(
        self: &Arc<Self>,
        plan: &Arc<Plan>,
        caller: &Caller,
        head: Option<Head>,
        mut request: Request<Incoming>,
        ending: &mut Ending,
    ) -> Result<Answered, Refusal> {
        let Ending { record, passing, .. } = ending;
        let record = &mut **record;
        // 1. Canonical target and framing: on every path, because a route is only as exact as the paths around it.
        framing(plan, caller.protocol, head, &mut request, record)?;
        let trusted = caller.peer.named && client::peer_is_trusted(&plan.client.rules, caller.peer.address);
        correlate::take_request_id(request.headers(), trusted, record);
        name_host(plan, request.headers_mut());
        let verdict = target(plan, caller.protocol, &request, record)?;

        // 2. The route, or none.
        let route = match verdict {
            Some(index) => plan.routes.get(index),
            None if plan.unmatched == Unmatched::Deny => return Err(Reject::NoRoute.into()),
            None => None,
        };
        if verdict.is_some() && route.is_none() {
            return Err(Reject::BadTarget.into());
        }

        // 3. Reserved headers go, whatever becomes of the request. The client's own `Connection` list is applied first.
        let undecided = matches!(head, Some(Head::Approved(facts)) if facts.upgrade);
        let websocket = route.is_none() && undecided && websocket::is_asked_for(&request);
        let signed = route.map(|route| route.scheme.headers()).into_iter().flatten();
        let believed = &plan.client.header;
        if headers::apply_connection(request.headers_mut(), signed.chain([believed])).is_err() {
            record.detail = Some("the Connection list names a protected header".into());
            return Err(Reject::Framing.into());
        }
        headers::remove_reserved(request.headers_mut(), plan.framework, route.is_some(), believed, trusted);
        correlate::join_trace(request.headers(), route, record);
        #[cfg(feature = "otlp")]
        correlate::begin_span(request.headers(), route, trusted, caller.peer.proto(), record);

        let client = address(plan, &caller.peer, request.headers());
        if let Client::Known(address) = client {
            record.client = Some(address).filter(|_| trusted);
        }

        let Some(route) = route else {
            *passing = Some(self.place_to_pass(plan)?);
            headers::write_forwarded(request.headers_mut(), &caller.peer, trusted, &plan.client.header);
            correlate::write(request.headers_mut(), None, &record.request_id, record.trace);
            pass::as_empty_as_said(plan, caller, &mut request, record).await?;
            let answered = self.pass(plan, caller, request, websocket).await;
            return answered_by_app(answered, Outcome::Passed, &caller.line, record);
        };
        record.route = Some(Arc::clone(&route.name));
        record.provider = Some(Arc::clone(&route.provider));

        // 4. Method; a handshake that nobody signs has one of its own.
        let unsigned = handshake::unsigned(route, &request);
        if unsigned.is_none() && !route.methods.contains(request.method()) {
            return Err(Refusal { reject: Reject::MethodNotAllowed, allow: Some(route.allow.clone()) });
        }

        // Checks that only log, where the operator tries hookward out.
        let mut report = Report::new(route.reported);

        // 5. Client address against the allowlist. Never instead of the signature.
        report.ip(allowed(route, &client, record))?;

        // Answered here, since nothing in it proves anything: the app never hears of it.
        if let Some(reply) = unsigned {
            return Ok(Answered::Handshake(reply?));
        }

        // 6. Signature headers, the timestamp, the declared size: all before the body is read (no 100 Continue was sent).
        let url = public_url(plan, route, &request);
        let head = signature::Head { method: request.method(), url: url.as_deref(), headers: request.headers() };
        let mut window = Window { now: record.unix_seconds(), tolerance: route.tolerance };
        let bounds = Bounds { bytes: route.max_body, time: plan.limits.body_timeout, expired: self.expired.clone() };
        let mut charge = self.budget.charge();
        let present = |window| signature::present(&route.scheme, head, window);
        let mut presented = match report.signature(&mut window, record, present) {
            Ok(presented) => presented,
            Err(failure) => {
                // One kind of handshake is a form that nobody signs: known by its body, and never forwarded either.
                let reply = Box::pin(handshake::form(route, request, charge, bounds, record)).await;
                return reply.map_or_else(|| Err(failed(failure, record)), |reply| Ok(Answered::Handshake(reply?)));
            }
        };
        if request.body().size_hint().lower() > route.max_body {
            return Err(Reject::BodyTooLarge.into());
        }

        // 7. The body, bounded in bytes and time.
        let (parts, body) = request.into_parts();
        let mut received = Received { parts, frames: Vec::new(), trusted, client };
        let whole = receive(body, &mut charge, record.started, &bounds, &mut record.bytes_in).await;
        let Whole { frames, waited } = whole.map_err(|stopped| refusal::stopped(stopped, &caller.line, record))?;
        record.body_came(waited);
        received.frames = frames;

        // 8. The MAC over the raw bytes, then the timestamp again: a slow body must not outlive its window.
        let mut verified = None;
        if let Some(presented) = &mut presented {
            if waited.is_some() {
                window.now = clock::unix_now();
            }
            verified =
                self.prove(plan, route, presented, &mut received, url, (&mut report, &mut window), record).await?;
        }
        charge.keep().map_err(|Short| Reject::Overloaded)?;
        let (Some(presented), Some(verified), None) = (&presented, verified, report.would_reject()) else {
            record.would_reject = report.would_reject();
            return Box::pin(self.forward_unverified(plan, caller, route, received, record)).await;
        };
        let foreign = route.foreign.get(verified.family()).ok_or(Reject::HeaderMalformed)?;
        foreign.remove_from(&mut received.parts.headers);

        let verified = &*record.verified.insert(verified);

        // Genuine, and only meant to be answered.
        let Received { parts, frames, .. } = &received;
        let asked = handshake::signed(route, verified, parts, frames, &self.documents, &mut record.detail).await?;
        if let Some(reply) = asked {
            return Ok(Answered::Handshake(reply));
        }

        // 9. Event filter: genuine, but not wanted here.
        if !route.events.wants(verified.event_type().map(|event_type| event_type.text)) {
            record.outcome = Outcome::Filtered;
            return Ok(Answered::Filtered);
        }

        // 10. The claim: a delivery runs once, however often it is sent. A sender may have closed its half of the connection, and
        // still waits for the answer.
        caller.line.commit();
        let key = replay_key(route, verified, (presented, frames));
        let claim = match self.claim(plan, route, key, record.started, &mut charge, &mut record.detail).await {
            Ok(Some(Permit::Mine(claim))) => Some(claim),
            Ok(Some(Permit::Duplicate(copied))) => {
                (record.replay_key, record.outcome) = (key, Outcome::Duplicate);
                return Ok(Answered::Duplicate(copied));
            }
            Ok(None) => None,
            Err(denied) => {
                record.replay_key = key;
                record.detail = Some(denied.to_string().into());
                return Err(Reject::from(&denied).into());
            }
        };

        // 11. Forward with the proof attached; 12. answer with what the app really says.
        let headers = &mut received.parts.headers;
        headers.remove(EXPECT);
        headers::write_forwarded(headers, &caller.peer, trusted, &plan.client.header);
        correlate::write(headers, Some(route), &record.request_id, record.trace);
        verified_event::write(headers, plan, verified, route, &received.frames, clock::unix_now)?;
        let request = upstream_request(received.parts, Outbound::whole(received.frames));
        let admitted = Admitted::delivery(verified, claim, request);
        record.handed_over();
        let answered =
            deliver(&self.forwarder, admitted, plan, route, record.started, &self.stopping).await.map(Answered::App);
        answered_by_app(answered, Outcome::Forwarded, &caller.line, record)
    }

    /// Step 8. `None`: it would have been refused, where that only logs.
    #[expect(clippy::too_many_arguments, reason = "what the step looks at, and what it leaves behind")]
    async fn prove(
        &self,
        plan: &Arc<Plan>,
        route: &Route,
        presented: &mut Presented,
        received: &mut Received,
        url: Option<String>,
        (report, window): (&mut Report, &mut Window),
        record: &mut Record,
    ) -> Result<Option<Verified>, Refusal> {
        let wanted = signature::wanted(&route.scheme, presented, &received.frames);
        if let Some(wanted) = wanted.map_err(|failure| failed(failure, record))? {
            presented.supply(Box::pin(self.documents.get(&wanted, Asker::stranger(received.client))).await.map_err(
                |error| {
                    record.detail = Some(error.to_string().into());
                    Reject::KeyUnavailable
                },
            )?);
        }
        let verify = |window| signature::verify(&route.scheme, &route.keys, presented, &received.frames, window);
        match report.signature(window, record, verify) {
            Ok(Some(verified)) => Ok(Some(verified)),
            outcome => {
                let reject = outcome.as_ref().err().map(|failure| failure.reject).or(report.would_reject());
                let question = || Question::new(plan, route, &received.parts, url, received.frames.clone(), *window);
                record.hint = Box::pin(self.hints.about(reject, question)).await;
                outcome.map_err(|failure| failed(failure, record))
            }
        }
    }

    /// What a check that only logs would have refused goes to the app as what it is.
    async fn forward_unverified(
        &self,
        plan: &Arc<Plan>,
        caller: &Caller,
        route: &Route,
        Received { mut parts, frames, trusted, .. }: Received,
        record: &mut Record,
    ) -> Result<Answered, Refusal> {
        parts.headers.remove(EXPECT);
        headers::write_forwarded(&mut parts.headers, &caller.peer, trusted, &plan.client.header);
        correlate::write(&mut parts.headers, Some(route), &record.request_id, record.trace);
        let admitted = Admitted::passed_through_unverified(upstream_request(parts, Outbound::whole(frames)));
        record.handed_over();
        let answered = self.forwarder.send(admitted, plan, record.started.checked_add(route.deadline)).await;
        let answered = answered.map(|response| Answered::App(headers::without_orders(response)));
        answered_by_app(answered, Outcome::WouldReject, &caller.line, record)
    }

    /// Step 10. `None`: it is not told from others, or the store is down and the route says to go on.
    async fn claim(
        &self,
        plan: &Plan,
        route: &Route,
        key: Option<ReplayKey>,
        began: Instant,
        charge: &mut Charge,
        detail: &mut Option<Cow<'static, str>>,
    ) -> Result<Option<Permit>, Denied> {
        let Some(key) = key else { return Ok(None) };
        let deadline = began.checked_add(route.deadline).unwrap_or(began);
        // It may be signed as far in the future as it may be old; and whole seconds are compared, of which a part is lost.
        let window = route.window().and_then(|window| window.checked_mul(2)?.checked_add(Duration::from_secs(1)));
        let memorable = Memorable { ttl: plan.replay.ttl, window };
        match self.replay.claim(Terms { key, memorable, began, deadline }, &plan.replay, charge).await {
            // A store that is up again is asked a moment later; what runs may be known to it by then.
            Err(denied @ Denied::StoreDown(Down::Settling)) => Err(denied),
            Err(denied @ (Denied::StoreDown(_) | Denied::NoRandom))
                if route.on_store_error == OnStoreError::Forward =>
            {
                *detail = Some(format!("it may run twice: {denied}").into());
                Ok(None)
            }
            permit => permit.map(Some),
        }
    }
}

/// Step 10: what tells the delivery from others. `None`: nothing that its sender signed.
fn replay_key(route: &Route, verified: &Verified, signed: (&Presented, &[Bytes])) -> Option<ReplayKey> {
    match route.replay {
        ReplayMode::Off => None,
        ReplayMode::Dedupe => verified.signed_id().map(|id| ReplayKey::of_id(&route.name, id)),
        ReplayMode::Content => signature::content_digest(&route.scheme, signed.0, signed.1)
            .map(|digest| ReplayKey::of_content(&route.name, &digest)),
    }
}

/// Until here a request that is dropped is one whose client has left.
fn answered_by_app(
    answered: Result<Answered, ForwardError>,
    outcome: Outcome,
    line: &Line,
    record: &mut Record,
) -> Result<Answered, Refusal> {
    record.outcome = outcome;
    answered.map_err(|error| {
        // A body that broke on its way to us is not the app's fault.
        if let ForwardError::Answer(error) = &error
            && error.is_user()
        {
            return broken_body(error, line, record).into();
        }
        record.detail = Some(error.to_string().into());
        Reject::from(&error).into()
    })
}
