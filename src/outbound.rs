//! The body that goes to the app.
//!
//! A verified body is the received frames themselves, handed on without joining them; every other body streams. Must never
//! change a byte; only trailers lose reserved names.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::attention::{Attention, Reader, Witness};
use crate::backlog::Backlog;
use crate::check::framing;
use crate::headers;
use crate::plan::Plan;

/// What goes to the app.
#[derive(Debug)]
pub(crate) enum Outbound {
    /// A verified body: its frames, in reverse order. Without any, also a passed request that has no body.
    Whole(Vec<Bytes>),
    /// A body that streams through. In a box, as a request changes hands many times.
    Stream(Box<Streamed>),
}

/// A body on its way through.
#[derive(Debug)]
pub(crate) struct Streamed {
    body: Incoming,
    plan: Arc<Plan>,
    /// How long nothing may arrive, where the socket cannot tell (a stream of HTTP/2 among others).
    stall: Option<(Duration, Option<Pin<Box<Sleep>>>)>,
    /// What waits before the connection that it goes over.
    backlog: Backlog,
    /// Where others share its client's connection.
    reader: Option<Reader>,
}

/// Why a passed body ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client's connection.
    #[error(transparent)]
    Client(#[from] hyper::Error),
    /// Nothing arrived for `limits.body_timeout`.
    #[error("nothing of the body arrived for `limits.body_timeout`")]
    Stalled,
}

impl Outbound {
    /// The frames as received.
    pub(crate) fn whole(mut frames: Vec<Bytes>) -> Self {
        frames.reverse();
        Self::Whole(frames)
    }

    /// A body as it comes. `stall`: how long nothing may arrive, if nobody else sees to that. `shared`: of its client's
    /// connection, where it has that in common with others.
    pub(crate) fn stream(body: Incoming, plan: Arc<Plan>, stall: Option<Duration>, shared: Option<&Attention>) -> Self {
        if body.is_end_stream() {
            return Self::Whole(Vec::new());
        }
        let (backlog, reader) = (Backlog::default(), shared.map(Attention::body));
        Self::Stream(Box::new(Streamed { body, plan, stall: stall.map(|limit| (limit, None)), backlog, reader }))
    }

    /// It goes over the connection with this backlog. Who is told when nobody looks after that.
    pub(crate) fn goes_over(&mut self, backlog: &Backlog) -> Option<Witness> {
        let Self::Stream(streamed) = self else { return None };
        streamed.backlog = backlog.clone();
        streamed.reader.as_ref().map(Reader::witness)
    }
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Without a timer: the app may take as long as it likes.
        if self.backlog.poll_room(cx).is_pending() {
            self.reader.iter().for_each(Reader::waits);
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            self.reader.iter().for_each(Reader::reads);
        }
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.backlog.grow(frame.data_ref().map_or(0, Bytes::len));
        }
        let Some((limit, timer)) = &mut self.stall else { return polled.map_err(BodyError::from) };
        if polled.is_ready() {
            *timer = None;
            return polled.map_err(BodyError::from);
        }
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(*limit)));
        timer.as_mut().poll(cx).map(|()| Some(Err(BodyError::Stalled)))
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(frames) => Poll::Ready(frames.pop().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(streamed) => streamed.poll_frame(cx).map_ok(|mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    let plan = &streamed.plan;
                    headers::remove_reserved(trailers, plan.framework, false, &plan.client.header, false);
                    // In HTTP/1 the guard has refused these; in HTTP/2 nobody has.
                    let names = trailers.keys().filter(|name| !framing::is_trailer(name.as_str()));
                    for name in names.cloned().collect::<Vec<_>>() {
                        trailers.remove(name);
                    }
                    // Told by the head alone.
                    trailers.remove("x-request-id");
                    trailers.remove(&plan.client.header);
                }
                frame
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(frames) => frames.is_empty(),
            Self::Stream(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(frames) => {
                let bytes = frames.iter().map(Bytes::len).fold(0, usize::saturating_add);
                SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
            }
            Self::Stream(streamed) => streamed.body.size_hint(),
        }
    }
}
