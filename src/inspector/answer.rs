//! Answers, each with the headers that keep a browser from doing more with it than show it.
//!
//! Must never allow a script, a style or a connection of anybody else's (Content Security Policy Level 3), nor be kept in a
//! cache: what is shown is about people's events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// What an answer is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    Html,
    Css,
    JavaScript,
    Json,
    EventStream,
    Text,
}

impl Content {
    fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Css => "text/css; charset=utf-8",
            Self::JavaScript => "text/javascript; charset=utf-8",
            Self::Json => "application/json",
            Self::EventStream => "text/event-stream",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

/// All at once, or piece by piece.
#[derive(Debug)]
pub(super) enum Body {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<Bytes>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
            }
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

pub(super) fn answer(content: Content, text: String) -> Response<Body> {
    let bytes = Some(Bytes::from(text)).filter(|bytes| !bytes.is_empty());
    make(StatusCode::OK, content, Body::Whole(bytes))
}

pub(super) fn stream(pieces: mpsc::Receiver<Bytes>) -> Response<Body> {
    make(StatusCode::OK, Content::EventStream, Body::Stream(pieces))
}

/// And nothing more is read from whoever asked.
pub(super) fn refuse(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = make(status, Content::Text, Body::Whole(Some(Bytes::from_static(why.as_bytes()))));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(super) fn only_get() -> Response<Body> {
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "only to be read: GET\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn make(status: StatusCode, content: Content, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
