//! The body that goes back to the client. Its end, or its being dropped, ends the request and writes the access line.
//!
//! Must never change a byte.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::forward::Answer;
use crate::in_flight::Ticket;
use crate::telemetry::access::{Outcome, Record};
use crate::wire::{End, Line};

thread_local! {
    /// What a stream that is being polled came to. hyper does not ask for a frame before it is rid of the last one, and does not
    /// say which of the two it waits for.
    static OFFER: Cell<Option<Offer>> = const { Cell::new(None) };
}

/// What an answer last had for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// A frame, and nobody has asked for the next one.
    Frame,
    /// Nothing yet: the app is waited for.
    Nothing,
}

/// Polls a stream. `None`: its answer was not asked for anything.
pub(crate) fn offers<T>(poll: impl FnOnce() -> T) -> (T, Option<Offer>) {
    OFFER.set(None);
    let polled = poll();
    (polled, OFFER.take())
}

/// What a request holds until its answer is complete. Its drop ends the request: in the log, for the connection's idle time
/// limit, and for a shutdown that waits.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) record: Box<Record>,
    pub(crate) line: Arc<Line>,
    pub(crate) _ticket: Ticket,
    /// Its place among what streams through.
    pub(crate) passing: Option<Ticket>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.line.end(match (self.record.status, self.record.outcome) {
            (None, _) => End::Withdrawn,
            (Some(_), Outcome::Rejected(_)) => End::Refused,
            (Some(_), _) => End::Answered,
        });
    }
}

/// What goes back to the client.
#[derive(Debug)]
pub(crate) struct Inbound {
    source: Source,
    ending: Ending,
}

#[derive(Debug)]
enum Source {
    Own(Option<Bytes>),
    App(Answer),
    Plain(Incoming),
}

impl Inbound {
    /// An answer of hookward's own.
    pub(crate) fn own(bytes: Bytes, ending: Ending) -> Self {
        Self { source: Source::Own(Some(bytes).filter(|bytes| !bytes.is_empty())), ending }
    }

    /// The same without its body.
    pub(crate) fn without_bytes(self) -> Self {
        Self { source: Source::Own(None), ..self }
    }

    /// The app's answer.
    pub(crate) fn app(answer: Answer, ending: Ending) -> Self {
        Self { source: Source::App(answer), ending }
    }

    /// The app's answer to an upgrade request.
    pub(crate) fn plain(body: Incoming, ending: Ending) -> Self {
        Self { source: Source::Plain(body), ending }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let polled = match &mut this.source {
            Source::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::App(answer) => Pin::new(answer).poll_frame(cx),
            Source::Plain(body) => Pin::new(body).poll_frame(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.ending.record.sent(data.len());
                }
            }
            Poll::Ready(Some(Err(_))) => this.ending.record.cut_off(),
            Poll::Ready(None) | Poll::Pending => {}
        }
        OFFER.set(Some(if polled.is_ready() { Offer::Frame } else { Offer::Nothing }));
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::App(answer) => answer.is_end_stream(),
            Source::Plain(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
            }
            Source::App(answer) => answer.size_hint(),
            Source::Plain(body) => body.size_hint(),
        }
    }
}
