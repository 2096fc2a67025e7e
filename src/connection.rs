//! One client connection: PROXY header, TLS, framing guard, HTTP, in this order.
//!
//! What a listener asks for is taken from the plan in force when the connection arrives.
//!
//! Memory of all connections is meant to stay under `limits.buffered_bytes` + `limits.max_connections` × 192 KiB + 32 MiB
//! (`wire::unread`), with the default `limits.max_head`; over HTTP/2 a stream that runs counts as a connection, and the sum of those is
//! held to `limits.max_connections` too. Measured, KiB of resident memory a connection: 3 silent, 5 at rest after a request,
//! 35 with half a head of 16 KiB, 85 with a slow body in pieces of 16 KiB, 75 to 160 with an upload that the app does not read,
//! 180 with a long answer that nobody takes. A stream of HTTP/2 may send [`STREAM_WINDOW`] ahead: 90 to 130 with an upload that
//! the app does not read, up to 75 while it waits with its answer, with 20,000 streams begun at once. What goes over it is more:
//! an answer that nobody takes and that the app writes in pieces costs 235 with pieces of 80 bytes, 600 with 20.
//! Must never look into a request.

mod chronicle;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;

use self::chronicle::Chronicle;
use crate::check::framing;
use crate::client_socket::ClientSocket;
use crate::clock;
use crate::crowd::{Leave, Seat};
use crate::gate::{Caller, Gate};
use crate::headers::Peer;
use crate::in_flight::raised;
use crate::inbound::{self, Offer};
use crate::plan::{Limits, Listener};
use crate::proxy_protocol::{self, Named, NoHeader};
use crate::quiet::Hushed;
use crate::reject::Reject;
use crate::telemetry::access::Record;
use crate::wire::{Abuse, Guarded, Line, Place, Protocol, Timeouts};

/// For answers that are already on their way when a shutdown can wait no longer.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(500);
/// The same, where what the connection holds is what it ends for.
const FREEING: Duration = Duration::from_millis(50);
/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;
/// What a client may send ahead on one stream, and on all of them together, before any of it counts against
/// `limits.buffered_bytes`: h2 holds it until the body is read. Many more than one stream's, or a few that are left unread, as
/// uploads are that the app does not take, hold up the others, which may be other clients' behind one balancer. No more,
/// because h2 takes small frames by the window, and each costs twice its 256 bytes.
const STREAM_WINDOW: u32 = 32 * 1024;
const CONNECTION_WINDOW: u32 = 16 * STREAM_WINDOW;
/// What h2 holds of one answer that the client does not take: so many bytes, and about 770 more for each piece that the app wrote.
/// A download costs 7 % more CPU than with 64 KiB.
const SEND_BUFFER: usize = 16 * 1024;
/// Streams reset by the client before we saw them, and by us for an error of its own, until the connection is ended.
const RESET_UNSEEN: usize = 20;
const RESET_BY_US: usize = 128;
/// hyper's buffer a connection, besides a head of any allowed size.
const BUFFER: usize = 32 * 1024;

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// Our own port.
    pub(crate) port: u16,
    pub(crate) listener: Arc<Listener>,
}

/// Serves a connection to its end.
pub(crate) async fn serve(arrival: Arrival, seat: Seat, gate: &Arc<Gate>, mut stopping: watch::Receiver<bool>) {
    let plan = gate.live.plan();
    let limits = plan.limits.clone();
    drop(plan);
    if let Err(error) = arrival.stream.set_nodelay(true) {
        tracing::debug!(%error, "set_nodelay");
    }
    // In a box, as is hyper's part below: this future is kept for as long as the connection, and would hold
    // room for the largest of what it ever waits for.
    let opened = tokio::select! {
        opened = Box::pin(open(arrival, gate, limits.head_timeout)) => opened,
        () = raised(&mut stopping) => return,
        _ = seat.leave() => return,
    };
    let Some((socket, peer)) = opened else { return };
    let timeouts = Timeouts { head: limits.head_timeout, body: limits.body_timeout, idle: limits.idle_timeout };
    let framing = framing::Limits { max_head: limits.max_head, max_headers: limits.max_headers };
    let line = Arc::clone(&seat.line);
    let mut io = Box::new(Guarded::new(socket, Arc::clone(&line), framing, timeouts));
    let protocol = tokio::select! {
        protocol = io.detect() => protocol,
        () = raised(&mut stopping) => return,
        _ = seat.leave() => return,
    };
    let Ok(protocol) = protocol else { return };
    if proxy_protocol::is_header(io.held()) {
        let why = "a PROXY header from a peer that may not send one";
        Record::refused_connection(gate.access.clone(), peer.text().clone(), Reject::Framing, why);
        return;
    }
    let caller = Arc::new(Caller { peer, line, protocol });
    let mut expired = gate.expired.clone();
    let mut chronicle = Chronicle::new(gate.access.clone(), Arc::clone(&caller));
    let handed_over = Arc::clone(&chronicle.handed_over);
    let gate = Arc::clone(gate);
    let service = service_fn(move |request| {
        handed_over.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&gate).serve(Arc::clone(&caller), request)
    });
    // The same for both protocols, whose connection types have no common trait.
    macro_rules! drive {
        ($connection:expr, $hushed:expr) => {{
            let mut connection = pin!($connection);
            let mut hushed: Option<Hushed> = $hushed;
            let result = tokio::select! {
                biased;
                result = poll_fn(|cx| {
                    let waker = hushed.as_mut().map_or(cx.waker(), |hushed| hushed.of(cx.waker()));
                    let polled = connection.as_mut().poll(&mut Context::from_waker(waker));
                    chronicle.write();
                    polled
                }) => result,
                () = raised(&mut stopping) => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        result = connection => result,
                        () = cut_off(&mut expired) => return,
                        () = scattered(&seat.line) => return,
                    }
                }
                leave = seat.leave() => {
                    chronicle.abused(leave);
                    if leave != Leave::Abused(Abuse::Flooded) {
                        // In that case the guard has the last words.
                        connection.as_mut().graceful_shutdown();
                    }
                    tokio::select! {
                        // First, so that what is to be said is: HTTP/2 sends GOAWAY.
                        biased;
                        result = connection => result,
                        () = left(leave, &seat.line) => return,
                        () = cut_off(&mut expired) => return,
                    }
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
        }};
    }
    match protocol {
        Protocol::Http1 => {
            let place = Place::new();
            loop {
                let connection = http1_builder(&limits)
                    .serve_connection(TokioIo::new(place.lend(io)), service.clone())
                    .with_upgrades();
                // One request at a time: whoever takes a piece of a body is the connection itself.
                Box::pin(async { drive!(connection, Some(Hushed::default())) }).await;
                let Some(rested) = place.rested() else { return };
                io = rested;
                if !wait(&mut io, &seat, &mut stopping, &mut expired).await {
                    return;
                }
            }
        }
        Protocol::Http2 => {
            let connection = http2_builder(&limits).serve_connection(TokioIo::new(io), service);
            Box::pin(async { drive!(connection, None) }).await;
        }
    }
}

/// Waits for the client's next byte. False when there will be none, or none that is waited for: then the connection is closed.
async fn wait(
    io: &mut Guarded<ClientSocket>,
    seat: &Seat,
    stopping: &mut watch::Receiver<bool>,
    expired: &mut watch::Receiver<bool>,
) -> bool {
    let leave = tokio::select! {
        goes_on = io.wait() => {
            if goes_on {
                return true;
            }
            None
        }
        () = raised(stopping) => None,
        leave = seat.leave() => Some(leave),
    };
    tokio::select! {
        // First: TLS has a last word, which gets one try at least.
        biased;
        _ = io.shutdown() => {}
        () = left(leave.unwrap_or(Leave::Dismissed), &seat.line), if leave.is_some() => {}
        () = cut_off(expired) => {}
    }
    false
}

/// What comes before HTTP, all within `limit`. `None`: the connection was refused, and the log says why.
async fn open(arrival: Arrival, gate: &Gate, limit: Duration) -> Option<(ClientSocket, Peer)> {
    let deadline = tokio::time::Instant::from_std(clock::monotonic().checked_add(limit)?);
    let Arrival { mut stream, peer: address, port, listener } = arrival;
    let mut peer = Peer::new(address.ip(), port, listener.tls.is_some());
    let refused = |peer: &Peer, why: String| {
        Record::refused_connection(gate.access.clone(), peer.text().clone(), Reject::Framing, why);
    };
    if listener.proxies.as_ref().is_some_and(|proxies| proxies.contains(peer.address)) {
        let read = tokio::time::timeout_at(deadline, proxy_protocol::read(&mut stream)).await;
        match read.unwrap_or(Err(NoHeader::Late)) {
            Ok(Named::Client(client)) => peer = Peer::new(client, port, listener.tls.is_some()),
            Ok(Named::Nobody) => peer = peer.unnamed(),
            // A port that is only looked at is no news.
            Err(NoHeader::Empty) => return None,
            Err(error) => {
                refused(&peer, error.to_string());
                return None;
            }
        }
    }
    let opened = tokio::time::timeout_at(deadline, ClientSocket::open(stream, listener.tls.as_ref())).await;
    match opened.unwrap_or_else(|_elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, "no handshake in time"))) {
        Ok(socket) => Some((socket, peer)),
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => None,
        Err(error) => {
            refused(&peer, format!("TLS: {error}"));
            None
        }
    }
}

/// Resolves when a connection that is to leave may be dropped: with nothing under way, or when enough was waited for one
/// that abuses us. A delivery that is with the app by then runs to its end without it.
async fn left(leave: Leave, line: &Line) {
    match leave {
        Leave::Dismissed => {
            let waits = || line.waits(clock::monotonic()).is_some();
            // Whatever ends a request wakes the connection's task, and with it this.
            tokio::select! {
                () = poll_fn(|_| if waits() { Poll::Ready(()) } else { Poll::Pending }) => {}
                () = scattered(line) => {}
            }
        }
        Leave::Abused(Abuse::Scattered) => tokio::time::sleep(FREEING).await,
        Leave::Abused(Abuse::Flooded | Abuse::Withdrawn) => tokio::time::sleep(LAST_WORDS).await,
    }
}

/// Resolves when what a connection holds is needed, so that it may not end as it likes.
async fn scattered(line: &Line) {
    while line.abuse() != Some(Abuse::Scattered) {
        line.told().await;
    }
}

/// Resolves when a connection can be waited for no longer.
async fn cut_off(expired: &mut watch::Receiver<bool>) {
    raised(expired).await;
    tokio::time::sleep(LAST_WORDS).await;
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Time limits on heads and idle connections are the guard's, which can tell the two apart.
        .header_read_timeout(None)
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_head)
        .max_buf_size(BUFFER.max(limits.max_head.saturating_add(8 * 1024)));
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams { stall: limits.idle_timeout });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESET_UNSEEN)
        .max_local_error_reset_streams(RESET_BY_US)
        .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.idle_timeout)
        .keep_alive_timeout(limits.head_timeout);
    builder
}

/// Runs the streams of an HTTP/2 connection, each as a task of its own.
#[derive(Debug, Clone, Copy)]
struct Streams {
    /// How long a client may leave a piece of an answer untaken. A window that it never opens would hold the answer, and
    /// the app's connection behind it, for ever; over HTTP/1 the socket sees to that.
    stall: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let stall = self.stall;
        tokio::spawn(async move {
            let mut stream = pin!(stream);
            let mut untaken: Option<Pin<Box<Sleep>>> = None;
            poll_fn(|cx| {
                let (polled, offer) = inbound::offers(|| stream.as_mut().poll(cx));
                if polled.is_ready() {
                    return polled;
                }
                match offer {
                    Some(Offer::Frame) => untaken = Some(Box::pin(tokio::time::sleep(stall))),
                    Some(Offer::Nothing) => untaken = None,
                    None => {}
                }
                // Dropping the stream resets it.
                untaken.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
            })
            .await;
        });
    }
}
