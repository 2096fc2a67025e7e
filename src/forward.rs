//! The way to the application: takes only an [`Admitted`], and reports the app's real answer.
//!
//! A connection is driven by the request that uses it, not by a task of its own: one wake-up less per request, and the
//! socket is looked at in the moment it is reused. Next.js advertises `Keep-Alive: timeout=5` and closes in that last
//! tenth of a second, so a connection rests at most min(4 s, advertised − 1 s); a request is sent again only when hyper
//! reports that it was never written (RFC 9110 §9.2.2). Must never send a byte of a request
//! that was not admitted, and never cancel a delivery whose first byte is out: it runs on detached.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use crate::admit::{Admitted, Passage};
use crate::app_socket::AppSocket;
use crate::clock;
use crate::in_flight::{InFlight, Ticket};
use crate::outbound::Outbound;
use crate::plan::{Plan, Upstream};
use crate::reject::Reject;
use crate::replay::Copier;

/// A connection never rests longer than this, whatever the app advertises.
const REST: Duration = Duration::from_secs(4);
/// How often resting connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

type Io = TokioIo<AppSocket>;

/// Why the app gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No connection; nothing was sent.
    #[error("connecting to the app failed: {0}")]
    Connect(#[source] io::Error),
    /// The app did not take the connection in time; nothing was sent.
    #[error("connecting to the app timed out")]
    ConnectTimeout,
    /// The app closed, or answered something that is not HTTP.
    #[error("the app's answer was broken: {0}")]
    Answer(#[source] hyper::Error),
    /// The app switched protocols unasked, or to another protocol than asked.
    #[error("the app switched protocols unasked")]
    Switched,
    /// The app did not answer in time. The run goes on, if it was a delivery.
    #[error("the app did not answer in time")]
    Timeout,
}

impl From<&ForwardError> for Reject {
    fn from(error: &ForwardError) -> Self {
        match error {
            ForwardError::Connect(_) | ForwardError::ConnectTimeout => Self::UpstreamUnreachable,
            ForwardError::Answer(_) | ForwardError::Switched => Self::UpstreamInvalid,
            ForwardError::Timeout => Self::UpstreamTimeout,
        }
    }
}

/// The client side of hookward: one pool of connections to the upstream, which a reload may change.
#[derive(Debug)]
pub(crate) struct Forwarder {
    shards: Box<[Mutex<Vec<Resting>>]>,
    in_flight: InFlight,
}

#[derive(Debug)]
struct Resting {
    link: Box<Link>,
    /// Where it leads. The same upstream is the same allocation.
    upstream: Arc<Upstream>,
    until: Instant,
}

/// A connection and the handle that sends on it. Kept in a box: it changes hands six times a request.
#[derive(Debug)]
struct Link {
    /// `None` once it has ended. Dropping it gives a request back that it never took; keeping it would keep that request for ever.
    connection: Option<Connection<Io, Outbound>>,
    sender: SendRequest<Outbound>,
}

impl Link {
    /// Lets hyper read and write. Its own end is remembered; its error reaches the request that waits on it.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }
}

impl Forwarder {
    pub(crate) fn new(workers: usize, in_flight: InFlight) -> Arc<Self> {
        let shards = (0..workers.max(1)).map(|_| Mutex::new(Vec::new())).collect();
        Arc::new(Self { shards, in_flight })
    }

    /// Closes connections that have rested long enough, for ever.
    pub(crate) async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = clock::monotonic();
            for shard in &self.shards {
                shard.lock().unwrap_or_else(PoisonError::into_inner).retain(|resting| resting.until > now);
            }
        }
    }

    /// Sends an admitted request, once. `deadline` bounds the wait for the answer's head, where there is one.
    ///
    /// # Errors
    /// [`ForwardError`]; after `Connect*` nothing was sent.
    pub(crate) async fn send(
        self: &Arc<Self>,
        admitted: Admitted,
        plan: &Arc<Plan>,
        deadline: Option<Instant>,
    ) -> Result<Response<Answer>, ForwardError> {
        let (request, passage) = admitted.into_parts();
        match self.exchange(request, passage, plan, deadline).await {
            Ok((exchange, response)) => exchange.answer(response).await,
            Err(failed) => Err(failed.error),
        }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// [`Failed`], with the request if nothing of it was written.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        mut request: Request<Outbound>,
        mut passage: Passage,
        plan: &Arc<Plan>,
        deadline: Option<Instant>,
    ) -> Result<(Exchange, Response<Incoming>), Failed> {
        loop {
            let rested = self.rested(&plan.upstream);
            let is_fresh = rested.is_none();
            let mut link = match rested {
                Some(link) => link,
                None => match Box::pin(connect(plan, deadline)).await {
                    Ok(link) => link,
                    Err(error) => return Err(Failed { error, unsent: Some((request, passage)) }),
                },
            };
            let reply: Reply = Box::pin(link.sender.try_send_request(request));
            let (forwarder, plan) = (Arc::clone(self), Arc::clone(plan));
            let mut exchange = Exchange { running: Some((link, reply)), forwarder, plan, passage, is_detached: false };
            let outcome = match deadline {
                None => exchange.head().await,
                Some(deadline) => match tokio::time::timeout_at(deadline.into(), exchange.head()).await {
                    Ok(outcome) => outcome,
                    // Dropped, the exchange goes on without us.
                    Err(_elapsed) => return Err(ForwardError::Timeout.into()),
                },
            };
            let mut error = match outcome {
                Ok(response) => return Ok((exchange, response)),
                Err(error) => error,
            };
            exchange.running = None;
            passage = exchange.take_passage();
            match error.take_message() {
                // The app closed a resting connection before it took the request.
                Some(unwritten) if !is_fresh => request = unwritten,
                // A fresh one that does the same is not a race, and trying at once for ever would not end it.
                Some(unwritten) => {
                    let error = ForwardError::Answer(error.into_error());
                    return Err(Failed { error, unsent: Some((unwritten, passage)) });
                }
                None => {
                    passage.lose();
                    return Err(ForwardError::Answer(error.into_error()).into());
                }
            }
        }
    }

    /// Sends an upgrade request on a connection of its own, which is not pooled afterwards.
    ///
    /// # Errors
    /// [`ForwardError`]; `Timeout` after `limits.upgrade_timeout`.
    pub(crate) async fn upgrade(&self, admitted: Admitted, plan: &Plan) -> Result<Response<Incoming>, ForwardError> {
        let (request, _) = admitted.into_parts();
        let Link { connection, mut sender, .. } = *connect(plan, None).await?;
        let driver = tokio::spawn(async move {
            if let Some(connection) = connection {
                // Its error reaches the request that waits on it.
                let _ = connection.with_upgrades().await;
            }
        });
        let answer = tokio::time::timeout(plan.limits.upgrade_timeout, sender.send_request(request)).await;
        if !matches!(answer, Ok(Ok(_))) {
            driver.abort();
        }
        answer.map_err(|_elapsed| ForwardError::Timeout)?.map_err(ForwardError::Answer)
    }

    /// The connection that rested last, if it is still good.
    fn rested(&self, wanted: &Arc<Upstream>) -> Option<Box<Link>> {
        let now = clock::monotonic();
        loop {
            let Resting { mut link, upstream, until } =
                self.shard().lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            // Lets hyper see what the reactor knows: a close, or bytes that nobody asked for.
            link.drive(&mut Context::from_waker(Waker::noop()));
            if until > now && Arc::ptr_eq(&upstream, wanted) && link.connection.is_some() && link.sender.is_ready() {
                return Some(link);
            }
        }
    }

    fn rest(&self, link: Box<Link>, upstream: &Arc<Upstream>, advertised: Option<Duration>) {
        let since = clock::monotonic();
        let rest = advertised.map_or(REST, |limit| limit.saturating_sub(Duration::from_secs(1)).min(REST));
        let Some(until) = since.checked_add(rest).filter(|until| *until > since) else { return };
        self.shard().lock().unwrap_or_else(PoisonError::into_inner).push(Resting {
            link,
            upstream: Arc::clone(upstream),
            until,
        });
    }

    /// A worker keeps to its own shard, so the lock is only ever contended by the sweep.
    fn shard(&self) -> &Mutex<Vec<Resting>> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static WORKER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        static NONE: Mutex<Vec<Resting>> = Mutex::new(Vec::new());
        let index = WORKER.with(|worker| worker.checked_rem(self.shards.len())).unwrap_or(0);
        self.shards.get(index).unwrap_or(&NONE)
    }
}

/// A connection of its own.
async fn connect(plan: &Plan, deadline: Option<Instant>) -> Result<Box<Link>, ForwardError> {
    let limit = plan.limits.connect_timeout;
    let limit = deadline.map_or(limit, |deadline| limit.min(deadline.saturating_duration_since(clock::monotonic())));
    let socket = tokio::time::timeout(limit, AppSocket::connect(&plan.upstream))
        .await
        .map_err(|_elapsed| ForwardError::ConnectTimeout)?
        .map_err(ForwardError::Connect)?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(ForwardError::Answer)?;
    Ok(Box::new(Link { connection: Some(connection), sender }))
}

type Reply = Pin<Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<Outbound>>>> + Send>>;

/// No answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: ForwardError,
    /// The request, if nothing of it was written.
    pub(crate) unsent: Option<(Request<Outbound>, Passage)>,
}

impl From<ForwardError> for Failed {
    fn from(error: ForwardError) -> Self {
        Self { error, unsent: None }
    }
}

/// One request on its way. Dropped before its answer: a passed request is cancelled, a delivery runs on.
pub(crate) struct Exchange {
    running: Option<(Box<Link>, Reply)>,
    forwarder: Arc<Forwarder>,
    plan: Arc<Plan>,
    passage: Passage,
    is_detached: bool,
}

impl Exchange {
    async fn head(&mut self) -> Result<Response<Incoming>, TrySendError<Request<Outbound>>> {
        std::future::poll_fn(|cx| {
            let Some((link, reply)) = &mut self.running else { return Poll::Pending };
            link.drive(cx);
            reply.as_mut().poll(cx)
        })
        .await
    }

    /// The answer, once its status has decided over the claim: before its first byte reaches the sender.
    ///
    /// # Errors
    /// `Switched`.
    pub(crate) async fn answer(mut self, response: Response<Incoming>) -> Result<Response<Answer>, ForwardError> {
        let Some((link, _)) = self.running.take() else { return Err(ForwardError::Switched) };
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
        };
        if let Passage::Delivery(Some(claim)) = passage {
            answer.copier = claim.settle(head.status, &head.headers).await;
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
            });
        }
        self.take_passage()
    }

    /// Ends without an answer.
    fn give_up(mut self, how: impl FnOnce(Passage)) {
        self.running = None;
        how(self.take_passage());
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
                Ok(Ok(response)) => drop(rest.answer(response).await),
                // Given back, it was never written: it may be tried again.
                Ok(Err(mut error)) => {
                    let is_unwritten = error.take_message().is_some();
                    rest.give_up(|passage| if is_unwritten { drop(passage) } else { passage.lose() });
                }
                Err(_elapsed) => {
                    tracing::warn!("a detached delivery got no answer within limits.upstream_max");
                    rest.give_up(Passage::lose);
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
    copier: Option<Copier>,
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
        let mut frame = Pin::new(&mut *body).poll_frame(cx);
        if frame.is_pending() {
            if let Some(link) = &mut this.link {
                link.drive(cx);
            }
            frame = Pin::new(&mut *body).poll_frame(cx);
        }
        let frame = ready!(frame);
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
