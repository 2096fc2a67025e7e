//! The request as it goes upstream, and the answer as it comes back: without what belonged to the other hop.
//!
//! Must never decide anything, nor change a byte of target or body.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri, Version};

use crate::headers;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::wire::Line;

/// The request as it goes upstream: the same target bytes, HTTP/1.1, nothing of the connection it came by.
pub(crate) fn upstream_request(parts: Parts, body: Outbound) -> Box<Request<Outbound>> {
    let mut request = Box::new(Request::new(body));
    *request.method_mut() = parts.method;
    *request.headers_mut() = parts.headers;
    *request.version_mut() = Version::HTTP_11;
    // Built from the received bytes, never by joining: joining is where proxies lose a `//` or gain a `..`.
    *request.uri_mut() = match parts.uri.path_and_query() {
        Some(target) if parts.uri.authority().is_some() => Uri::from(target.clone()),
        _ => parts.uri,
    };
    request
}

/// Step 12: the app's answer, without what belonged to its own connection.
pub(crate) fn onward<B>(mut response: Response<B>, body: impl FnOnce(B) -> Inbound) -> Response<Inbound> {
    headers::end_hop_of_response(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    response.map(body)
}

/// 1xx answers of the app reach the client as they come. 100 is ours to send, 101 is not interim.
pub(crate) fn forward_interim(request: &mut Request<Outbound>, line: Arc<Line>) {
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
        // Nothing of the app's own connection, and no word about a body: there is none (RFC 9112 §6.1).
        let mut headers = response.headers().clone();
        headers::end_hop_of_response(&mut headers);
        headers.remove(CONTENT_LENGTH);
        for (name, value) in &headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        line.interim(&bytes);
    });
}
