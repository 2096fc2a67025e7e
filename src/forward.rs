//! The way to the application: takes only an [`Admitted`], and reports the app's real answer.
//!
//! A connection is driven by the request that uses it, not by a task of its own: one wake-up less per request, and the
//! socket is looked at in the moment it is reused. Next.js advertises `Keep-Alive: timeout=5` and closes in that last
//! tenth of a second, so a connection rests at most min(4 s, advertised − 1 s); a request is sent again only when hyper
//! reports that it was never written (RFC 9110 §9.2.2). Must never send a byte of a request
//! that was not admitted, and never cancel a delivery whose first byte is out: it runs on detached.

mod exchange;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use crate::admit::{Admitted, Passage};
use crate::app_socket::AppSocket;
use crate::attention::Witness;
use crate::backlog::Backlog;
use crate::clock;
use crate::in_flight::InFlight;
use crate::outbound::Outbound;
use crate::plan::{OnStoreError, Plan, Upstream};
use crate::read_width::WideReads;
use crate::reject::Reject;

pub(crate) use self::exchange::{Answer, Exchange};

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
    /// No connection, and there will be none: we are shutting down, and so is the app.
    #[error("connecting to the app failed during a shutdown: {0}")]
    Draining(#[source] Box<ForwardError>),
    /// The app closed, or answered something that is not HTTP.
    #[error("the app's answer was broken: {0}")]
    Answer(#[source] hyper::Error),
    /// The claim ended before anything was sent.
    #[error("the claim ended before the app could be reached")]
    Over,
    /// The app switched protocols unasked, or to another protocol than asked.
    #[error("the app switched protocols unasked")]
    Switched,
    /// The app did not answer in time: if it has a delivery, its run goes on.
    #[error("the app did not answer in time")]
    Timeout,
}

impl From<&ForwardError> for Reject {
    fn from(error: &ForwardError) -> Self {
        match error {
            ForwardError::Connect(_) | ForwardError::ConnectTimeout => Self::UpstreamUnreachable,
            ForwardError::Draining(_) => Self::Draining,
            ForwardError::Answer(_) | ForwardError::Switched => Self::UpstreamInvalid,
            ForwardError::Over => Self::ReplayStoreDown,
            ForwardError::Timeout => Self::UpstreamTimeout,
        }
    }
}

/// The client side of hookward: one pool of connections to the upstream, which a reload may change.
#[derive(Debug)]
pub(crate) struct Forwarder {
    shards: Box<[Mutex<Vec<Resting>>]>,
    in_flight: InFlight,
    wide_reads: WideReads,
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
    backlog: Backlog,
    /// Of the body that goes over it, while that may be unread.
    upload: Option<Witness>,
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
        Arc::new(Self { shards, in_flight, wide_reads: WideReads::new() })
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
        match self.exchange(request, passage, plan, deadline, OnStoreError::Refuse).await {
            Ok((exchange, response)) => exchange.answer(response),
            Err(failed) => Err(failed.error),
        }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// [`Failed`], with the request if nothing of it was written.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        mut request: Box<Request<Outbound>>,
        mut passage: Passage,
        plan: &Arc<Plan>,
        deadline: Option<Instant>,
        when_over: OnStoreError,
    ) -> Result<(Exchange, Response<Incoming>), Failed> {
        loop {
            let now = clock::monotonic();
            if deadline.is_some_and(|deadline| deadline <= now) {
                // Its time went into what came before, a slow body for one. Nobody would hear how it went.
                return Err(Failed { error: ForwardError::Timeout, unsent: Some((request, passage)) });
            }
            let rested = self.rested(&plan.upstream, now);
            let is_fresh = rested.is_none();
            let mut link = match rested {
                Some(link) => link,
                None => match Box::pin(self.connect(plan, deadline)).await {
                    Ok(link) => link,
                    Err(error) => return Err(Failed { error, unsent: Some((request, passage)) }),
                },
            };
            // It may be running elsewhere: connecting can have taken longer than the claim was good for.
            if passage.is_over() && when_over == OnStoreError::Refuse {
                return Err(Failed { error: ForwardError::Over, unsent: Some((request, passage)) });
            }
            link.upload = request.body_mut().goes_over(&link.backlog);
            let reply: Reply = Box::pin(link.sender.try_send_request(*request));
            let (forwarder, plan) = (Arc::clone(self), Arc::clone(plan));
            let mut exchange = Exchange::new(link, reply, forwarder, plan, passage);
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
            passage = exchange.ended();
            match error.take_message() {
                // The app closed a resting connection before it took the request.
                Some(unwritten) if !is_fresh => request = Box::new(unwritten),
                // A fresh one that does the same is not a race, and trying at once for ever would not end it.
                Some(unwritten) => {
                    let error = ForwardError::Answer(error.into_error());
                    return Err(Failed { error, unsent: Some((Box::new(unwritten), passage)) });
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
        let (mut request, _) = admitted.into_parts();
        let Link { connection, mut sender, backlog, .. } = *self.connect(plan, None).await?;
        // Its driver looks after it.
        let _ = request.body_mut().goes_over(&backlog);
        let driver = tokio::spawn(async move {
            if let Some(connection) = connection {
                // Its error reaches the request that waits on it.
                let _ = connection.with_upgrades().await;
            }
        });
        let answer = tokio::time::timeout(plan.limits.upgrade_timeout, sender.send_request(*request)).await;
        if !matches!(answer, Ok(Ok(_))) {
            driver.abort();
        }
        answer.map_err(|_elapsed| ForwardError::Timeout)?.map_err(ForwardError::Answer)
    }

    /// A connection of its own.
    async fn connect(&self, plan: &Plan, deadline: Option<Instant>) -> Result<Box<Link>, ForwardError> {
        let limit = plan.limits.connect_timeout;
        let limit =
            deadline.map_or(limit, |deadline| limit.min(deadline.saturating_duration_since(clock::monotonic())));
        let socket = tokio::time::timeout(limit, AppSocket::connect(&plan.upstream, self.wide_reads.width()))
            .await
            .map_err(|_elapsed| ForwardError::ConnectTimeout)?
            .map_err(ForwardError::Connect)?;
        let backlog = socket.backlog().clone();
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(ForwardError::Answer)?;
        Ok(Box::new(Link { connection: Some(connection), sender, backlog, upload: None }))
    }

    /// The connection that rested last and is still good: of this worker, or else of another. One that is there already is
    /// cheaper than a new one, for the app too.
    fn rested(&self, wanted: &Arc<Upstream>, now: Instant) -> Option<Box<Link>> {
        let usable = |resting: Resting| {
            let Resting { mut link, upstream, until } = resting;
            // Lets hyper see what the reactor knows: a close, or bytes that nobody asked for.
            link.drive(&mut Context::from_waker(Waker::noop()));
            let is_open = link.connection.is_some() && link.sender.is_ready();
            (until > now && Arc::ptr_eq(&upstream, wanted) && is_open).then_some(link)
        };
        let own = || self.shard().lock().unwrap_or_else(PoisonError::into_inner).pop();
        // Nobody waits for another worker.
        let any = || self.shards.iter().find_map(|shard| shard.try_lock().ok()?.pop());
        std::iter::from_fn(|| own().or_else(any)).find_map(usable)
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

    /// A worker keeps to its own shard as long as there is one in it, so the lock is hardly ever contended.
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

type Reply = Pin<Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<Outbound>>>> + Send>>;

/// No answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: ForwardError,
    /// The request, if nothing of it was written.
    pub(crate) unsent: Option<(Box<Request<Outbound>>, Passage)>,
}

impl From<ForwardError> for Failed {
    fn from(error: ForwardError) -> Self {
        Self { error, unsent: None }
    }
}
