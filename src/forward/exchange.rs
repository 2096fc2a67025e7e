//! One request on its way to the app, and the answer that comes back.
//!
//! Either may be dropped before its end: traffic that was passed through is cancelled with its client, a delivery runs on
//! and takes its claim along. Must never give a claim back while the app may still be at work on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Sleep;

use super::{ForwardError, Forwarder, Link, Reply};
use crate::admit::Passage;
use crate::in_flight::Ticket;
use crate::outbound::Outbound;
use crate::plan::Plan;
use crate::quiet::quietly;
use crate::replay::Copier;

/// One request on its way. Dropped before its answer: a passed request is cancelled, a delivery runs on.
pub(crate) struct Exchange {
    running: Option<(Box<Link>, Reply)>,
    forwarder: Arc<Forwarder>,
    plan: Arc<Plan>,
    passage: Passage,
    is_detached: bool,
}

impl Exchange {
    pub(super) fn new(
        link: Box<Link>,
        reply: Reply,
        forwarder: Arc<Forwarder>,
        plan: Arc<Plan>,
        passage: Passage,
    ) -> Self {
        Self { running: Some((link, reply)), forwarder, plan, passage, is_detached: false }
    }

    pub(super) async fn head(&mut self) -> Result<Response<Incoming>, TrySendError<Request<Outbound>>> {
        std::future::poll_fn(|cx| {
            let Some((link, reply)) = &mut self.running else { return Poll::Pending };
            link.drive(cx);
            // Only what was driven here can bring the reply. Were it to wake this task, that would be looked through again for
            // each answer, in vain.
            reply.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }

    /// The answer, once its status has decided over the claim: before its first byte reaches the sender.
    ///
    /// # Errors
    /// `Switched`.
    pub(crate) fn answer(mut self, response: Response<Incoming>) -> Result<Response<Answer>, ForwardError> {
        let Some((mut link, _)) = self.running.take() else { return Err(ForwardError::Switched) };
        // It is driven as the answer is taken, if at all.
        if let Some(upload) = link.upload.take() {
            upload.neglected();
        }
        let passage = self.take_passage();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ForwardError::Switched);
        }
        let (head, body) = response.into_parts();
        // Held from here on: if nobody waits any longer, it is read to its end all the same.
        let mut answer = Answer {
            body: Some(body),
            link: Some(link),
            advertised: keep_alive(&head.headers),
            forwarder: Arc::clone(&self.forwarder),
            plan: Arc::clone(&self.plan),
            is_delivery: matches!(passage, Passage::Delivery(_)),
            copier: None,
            patience: None,
        };
        if let Passage::Delivery(Some(claim)) = passage {
            answer.copier = claim.settle(head.status, &head.headers).map(Box::new);
        }
        if answer.is_end_stream() {
            answer.end(&mut Context::from_waker(Waker::noop()));
        }
        Ok(Response::from_parts(head, answer))
    }

    /// Lets the answer go, and gives back what a further attempt needs.
    pub(crate) fn set_aside(mut self, response: Response<Incoming>) -> Passage {
        if let Some((link, _)) = self.running.take() {
            let advertised = keep_alive(response.headers());
            // Dropped, it is read to its end.
            drop(Answer {
                body: Some(response.into_body()),
                link: Some(link),
                advertised,
                forwarder: Arc::clone(&self.forwarder),
                plan: Arc::clone(&self.plan),
                is_delivery: true,
                copier: None,
                patience: None,
            });
        }
        self.take_passage()
    }

    /// It ended without an answer.
    pub(super) fn ended(mut self) -> Passage {
        self.running = None;
        self.take_passage()
    }

    fn take_passage(&mut self) -> Passage {
        std::mem::replace(&mut self.passage, Passage::Passed)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let passage = self.take_passage();
        if matches!(passage, Passage::Passed) {
            return;
        }
        // A runtime that ends takes its tasks with it.
        let runtime = tokio::runtime::Handle::try_current().ok().filter(|_| !self.is_detached);
        let Some(runtime) = runtime else { return passage.lose() };
        // The app's handler cannot be stopped by closing the socket; cutting it off would only lose its answer.
        let (forwarder, plan) = (Arc::clone(&self.forwarder), Arc::clone(&self.plan));
        let mut rest = Exchange { running: Some(running), forwarder, plan, passage, is_detached: true };
        let ticket = rest.forwarder.in_flight.ticket();
        runtime.spawn(async move {
            let _ticket = ticket;
            let head = tokio::time::timeout(rest.plan.limits.upstream_max, rest.head()).await;
            match head {
                // An answer that is dropped is read to its end.
                Ok(Ok(response)) => drop(rest.answer(response)),
                // Given back, it was never written: it may be tried again.
                Ok(Err(mut error)) => {
                    let is_unwritten = error.take_message().is_some();
                    let passage = rest.ended();
                    if is_unwritten { drop(passage) } else { passage.lose() }
                }
                Err(_elapsed) => {
                    tracing::warn!("a detached delivery got no answer within limits.upstream_max");
                    rest.ended().lose();
                }
            }
        });
    }
}

/// The body of the app's answer. Dropped before its end: as for [`Exchange`].
#[derive(Debug)]
pub(crate) struct Answer {
    body: Option<Incoming>,
    link: Option<Box<Link>>,
    advertised: Option<Duration>,
    forwarder: Arc<Forwarder>,
    plan: Arc<Plan>,
    /// Read to its end, whoever leaves.
    is_delivery: bool,
    /// Keeps it for those that sent the same.
    copier: Option<Box<Copier>>,
    /// How long nothing may come of it, while nothing does.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    /// The answer is complete.
    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(copier) = self.copier.take() {
            copier.finish();
        }
        self.rest(cx);
    }

    /// The connection rests, if hyper agrees that it can be used again.
    fn rest(&mut self, cx: &mut Context<'_>) {
        let Some(mut link) = self.link.take() else { return };
        link.drive(cx);
        if link.connection.is_some() && link.sender.is_ready() {
            self.forwarder.rest(link, &self.plan.upstream, self.advertised);
        }
    }

    /// Whether a delivery's answer has paused for longer than any run may last. Its sender may have left by closing its half
    /// alone, which nobody can tell from one that waits.
    fn has_stalled(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.plan.limits.upstream_max;
        self.is_delivery
            && self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit))).as_mut().poll(cx).is_ready()
    }

    async fn drain(mut self) {
        while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {}
        self.link = None;
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        // What has been taken makes room for more: that is read when more is asked for.
        let (mut frame, _) = quietly(|| Pin::new(&mut *body).poll_frame(cx));
        if frame.is_pending() {
            if let Some(link) = &mut this.link {
                link.drive(cx);
            }
            (frame, _) = quietly(|| Pin::new(&mut *body).poll_frame(cx));
        }
        if frame.is_pending() && this.has_stalled(cx) {
            tracing::warn!("the answer to a delivery stalled for limits.upstream_max");
            // Without its connection it ends with an error.
            this.link = None;
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            (frame, _) = quietly(|| Pin::new(body).poll_frame(cx));
        }
        let frame = ready!(frame);
        this.patience = None;
        let Some(body) = &this.body else { return Poll::Ready(None) };
        let ended = body.is_end_stream();
        if let (Some(copier), Some(Ok(frame))) = (&mut this.copier, &frame)
            && let Some(piece) = frame.data_ref()
        {
            copier.push(piece);
        }
        match &frame {
            Some(Err(_)) => this.link = None,
            Some(Ok(_)) if !ended => {}
            Some(Ok(_)) | None => this.end(cx),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_delivery || self.link.is_none() {
            return;
        }
        let rest = Answer {
            body: self.body.take(),
            link: self.link.take(),
            advertised: self.advertised,
            forwarder: Arc::clone(&self.forwarder),
            plan: Arc::clone(&self.plan),
            // Once: what is dropped then is over, or this would begin again, for ever.
            is_delivery: false,
            copier: self.copier.take(),
            patience: None,
        };
        let ticket = self.forwarder.in_flight.ticket();
        detach(self.plan.limits.upstream_max, ticket, rest.drain());
    }
}

/// Lets an answer be read to its end without its sender, for at most `limit`. Holds up a shutdown like any request.
fn detach(limit: Duration, ticket: Ticket, run: impl Future<Output = ()> + Send + 'static) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let _ticket = ticket;
        if tokio::time::timeout(limit, run).await.is_err() {
            tracing::warn!("the answer to a delivery did not end within limits.upstream_max");
        }
    });
}

/// `Keep-Alive: timeout=N`.
fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let seconds = value.split(',').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().parse::<u64>().ok())?
    })?;
    Some(Duration::from_secs(seconds))
}
