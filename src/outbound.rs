//! The body that goes to the app.
//!
//! A verified body is the received frames themselves, handed on without joining them; everything else streams. Must never
//! change a byte; only trailers lose reserved names.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::headers;
use crate::check::target::Framework;

/// What goes to the app.
#[derive(Debug)]
pub(crate) enum Outbound {
    /// A verified body: its frames, in reverse order.
    Whole(Vec<Bytes>),
    /// A body that streams through, and who reads the trailers.
    Stream(Incoming, Framework),
}

impl Outbound {
    /// The frames as received.
    pub(crate) fn whole(mut frames: Vec<Bytes>) -> Self {
        frames.reverse();
        Self::Whole(frames)
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Whole(frames) => Poll::Ready(frames.pop().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(body, framework) => Pin::new(body).poll_frame(cx).map_ok(|mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    headers::remove_reserved(trailers, *framework, false);
                }
                frame
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(frames) => frames.is_empty(),
            Self::Stream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(frames) => {
                let bytes = frames.iter().map(Bytes::len).fold(0, usize::saturating_add);
                SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
            }
            Self::Stream(body, _) => body.size_hint(),
        }
    }
}
