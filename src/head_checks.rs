//! What a request's head alone decides: its framing, its target, who calls and whether they may.
//!
//! The gate says in which order. Must never look at a body, nor let a request go on that a check could not judge.

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::check::client::{self, Client, ClientFault};
use crate::check::target::{Verdict, method_asked};
use crate::headers::Peer;
use crate::http2;
use crate::plan::{Plan, Route};
use crate::refusal::Refusal;
use crate::reject::Reject;
use crate::telemetry::access::Record;
use crate::wire::{Head, Protocol};

/// Step 1, framing.
pub(crate) fn framing(
    plan: &Plan,
    protocol: Protocol,
    head: Option<Head>,
    request: &mut Request<Incoming>,
    record: &mut Record,
) -> Result<(), Refusal> {
    match (protocol, head) {
        (Protocol::Http1, Some(Head::Approved(_))) => Ok(()),
        (Protocol::Http1, Some(Head::Refused(fault))) => {
            record.detail = Some(fault.why().into());
            record.forget_target();
            Err(fault.reject().into())
        }
        // A request without a verdict cannot be, and is not forwarded if it is.
        (Protocol::Http1, None) => Err(Reject::Framing.into()),
        (Protocol::Http2, _) => http2::framing(plan, request).map_err(|(reject, why)| {
            record.detail = Some(why.into());
            reject.into()
        }),
    }
}

/// HTTP/1.0 may leave `Host` out, HTTP/1.1 to the app may not (RFC 9112 §3.2).
pub(crate) fn name_host(plan: &Plan, headers: &mut HeaderMap) {
    if !headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::try_from(plan.upstream.authority.as_str())
    {
        headers.insert(HOST, host);
    }
}

/// Steps 1 and 2: the route's index, or `None` where nothing is protected.
pub(crate) fn target(
    plan: &Plan,
    protocol: Protocol,
    request: &Request<Incoming>,
    record: &mut Record,
) -> Result<Option<usize>, Refusal> {
    let uri = request.uri();
    let origin_form = match protocol {
        Protocol::Http1 => uri.scheme().is_none() && uri.authority().is_none(),
        Protocol::Http2 => request.method() != Method::CONNECT,
    };
    let target = uri.path_and_query().filter(|_| origin_form).map_or("", |target| target.as_str());
    let method = method_asked(request.method().as_str().as_bytes(), !request.body().is_end_stream());
    match plan.targets.classify(method, target.as_bytes()) {
        Verdict::Route(index) => Ok(Some(index)),
        Verdict::Unmatched => Ok(None),
        Verdict::Refused(fault) => {
            record.detail = Some(fault.code().into());
            Err(Reject::BadTarget.into())
        }
    }
}

/// The URL as the sender wrote it, for schemes that sign it.
pub(crate) fn public_url(plan: &Plan, route: &Route, request: &Request<Incoming>) -> Option<String> {
    let target = request.uri().path_and_query()?;
    plan.public_url.as_ref().filter(|_| route.scheme.signs_url()).map(|public| public.of(target.as_str()))
}

/// Step 5, the allowlist.
pub(crate) fn allowed(route: &Route, client: &Client, record: &mut Record) -> Result<(), Reject> {
    match (&route.allow_ips, client) {
        (None, _) => Ok(()),
        (Some(allowed), Client::Known(address)) if allowed.contains(*address) => Ok(()),
        (Some(allowed), Client::Known(_)) if allowed.pending => Err(Reject::IpListUnavailable),
        (Some(_), Client::Known(_)) => Err(Reject::IpNotAllowed),
        (Some(_), Client::Unknown(fault)) => {
            record.detail = Some(fault.code().into());
            Err(Reject::ClientUnknown)
        }
    }
}

/// Step 5: who calls, after trust rules.
pub(crate) fn address(plan: &Plan, peer: &Peer, headers: &HeaderMap) -> Client {
    if !peer.named {
        return Client::Unknown(ClientFault::ProxyLocal);
    }
    let lines = headers.get_all(&plan.client.header).iter().map(HeaderValue::as_bytes);
    client::client(&plan.client.rules, peer.address, lines)
}
