//! Listens, accepts, and hands each connection's requests to the gate; stops without losing one.
//!
//! The caller owns the stop signal. On it readiness fails at once, no connection is accepted any more, kept ones close after
//! the request they are in, and what still runs at the end of `limits.drain` is cut off. Must never look into a request.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::admin;
use crate::budget::Budget;
use crate::check::framing;
use crate::documents::Documents;
use crate::forward::Forwarder;
use crate::gate::{Caller, Gate};
use crate::headers::Peer;
use crate::hint::Hints;
use crate::https::Https;
use crate::in_flight::{InFlight, raised};
use crate::plan::Plan;
use crate::reject::Reject;
use crate::telemetry::access::{AccessLog, Record};
use crate::wire::{Guarded, Protocol, Timeouts};

/// Rest after a failed accept (out of descriptors, say), so that the loop does not spin.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);
/// Connections that the kernel keeps for us; it cuts this to `net.core.somaxconn`. With the standard library's 128 a burst of
/// deliveries is met with resets.
const BACKLOG: u32 = 4096;
/// For answers that are already on their way when a shutdown can wait no longer.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;
/// hyper's buffer a connection, besides a head of any allowed size.
const BUFFER: usize = 64 * 1024;
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 87\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Too many connections.\",\"status\":503,\"code\":\"overloaded\"}";

/// A server with its ports bound, not yet accepting.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    health: Option<TcpListener>,
    plan: Arc<Plan>,
    access: AccessLog,
    workers: usize,
}

#[derive(Debug)]
struct Shared {
    gate: Arc<Gate>,
    plan: Arc<Plan>,
    connections: InFlight,
    port: u16,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Server {
    /// Binds the plan's ports.
    ///
    /// # Errors
    /// The bind's, with the address that failed.
    #[expect(clippy::unused_async, reason = "sockets belong to a runtime: it cannot be called outside of one")]
    pub async fn bind(plan: Arc<Plan>, access: AccessLog, workers: usize) -> io::Result<Self> {
        let listener = bind(plan.listen)?;
        let health = match plan.health {
            Some(address) => Some(bind(address)?),
            None => None,
        };
        Ok(Self { listener, health, plan, access, workers })
    }

    /// Where requests arrive; differs from the plan's where that asked for port 0.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where `/livez` and `/readyz` are served.
    pub fn health_addr(&self) -> Option<SocketAddr> {
        self.health.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown` resolves and what is in flight has ended, or `limits.drain` has.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(false);
        let (expire, expired) = watch::channel(false);
        let in_flight = InFlight::default();
        let connections = InFlight::default();
        let limits = &self.plan.limits;
        let forwarder = Forwarder::new(
            self.plan.upstream.clone(),
            limits.connect_timeout,
            limits.upstream_max,
            self.workers,
            in_flight.clone(),
        );
        let sweep = tokio::spawn(Arc::clone(&forwarder).sweep());
        let ready = Arc::new(AtomicBool::new(true));
        let health = self.health.map(|listener| tokio::spawn(admin::serve(listener, Arc::clone(&ready))));
        let shared = Arc::new(Shared {
            gate: Arc::new(Gate {
                plan: Arc::clone(&self.plan),
                forwarder,
                budget: Budget::new(limits.buffered_bytes),
                documents: Documents::new(Https::new()),
                hints: Hints::default(),
                access: self.access,
                in_flight: in_flight.clone(),
                connections: connections.clone(),
                expired,
            }),
            connections: connections.clone(),
            port: self.listener.local_addr().map_or(0, |address| address.port()),
            http1: http1_builder(&self.plan),
            http2: http2_builder(&self.plan),
            plan: Arc::clone(&self.plan),
        });

        {
            let mut shutdown = pin!(shutdown);
            let mut accept = pin!(accept(&self.listener, &shared, &stopping));
            tokio::select! {
                () = &mut shutdown => {}
                () = &mut accept => {}
            }
        }
        ready.store(false, Ordering::Release);
        drop(self.listener);
        tracing::info!(connections = connections.running(), "draining");
        stop.send_replace(true);
        if tokio::time::timeout(limits.drain, in_flight.drained()).await.is_err() {
            tracing::warn!("limits.drain is over: what is still in flight is cut off");
        }
        expire.send_replace(true);
        let _ = tokio::time::timeout(LAST_WORDS, connections.drained()).await;
        sweep.abort();
        if let Some(health) = health {
            health.abort();
        }
        tracing::info!("stopped");
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, stopping: &watch::Receiver<bool>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if shared.connections.running() >= shared.plan.limits.max_connections {
                    // A courtesy: if it does not fit into the socket's buffer, the close says as much.
                    let _ = stream.try_write(OVERLOADED);
                    let peer = Peer::new(peer.ip(), shared.port);
                    Record::refused_connection(shared.gate.access.clone(), peer.text().clone(), Reject::Overloaded);
                    continue;
                }
                let shared = Arc::clone(shared);
                let stopping = stopping.clone();
                let open = shared.connections.ticket();
                tokio::spawn(async move {
                    let _open = open;
                    connection(stream, peer, &shared, stopping).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: &Shared, mut stopping: watch::Receiver<bool>) {
    let limits = &shared.plan.limits;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "set_nodelay");
    }
    let timeouts = Timeouts { head: limits.head_timeout, body: limits.body_timeout, idle: limits.idle_timeout };
    let framing = framing::Limits { max_head: limits.max_head, max_headers: limits.max_headers };
    let (mut io, line) = Guarded::new(stream, framing, timeouts);
    let protocol = tokio::select! {
        protocol = io.detect() => protocol,
        () = raised(&mut stopping) => return,
    };
    let Ok(protocol) = protocol else { return };
    let caller = Arc::new(Caller { peer: Peer::new(peer.ip(), shared.port), line, protocol });
    let gate = Arc::clone(&shared.gate);
    let expired = gate.expired.clone();
    let service = service_fn(move |request| Arc::clone(&gate).serve(Arc::clone(&caller), request));
    // The same for both protocols, whose connection types have no common trait.
    macro_rules! drive {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            let result = tokio::select! {
                biased;
                result = connection.as_mut() => result,
                () = raised(&mut stopping) => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        result = connection => result,
                        () = cut_off(expired) => return,
                    }
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
        }};
    }
    match protocol {
        Protocol::Http1 => drive!(shared.http1.serve_connection(TokioIo::new(io), service).with_upgrades()),
        Protocol::Http2 => drive!(shared.http2.serve_connection(TokioIo::new(io), service)),
    }
}

/// Resolves when a connection can be waited for no longer.
async fn cut_off(mut expired: watch::Receiver<bool>) {
    raised(&mut expired).await;
    tokio::time::sleep(LAST_WORDS).await;
}

fn http1_builder(plan: &Plan) -> http1::Builder {
    let limits = &plan.limits;
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

fn http2_builder(plan: &Plan) -> http2::Builder<TokioExecutor> {
    let limits = &plan.limits;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.idle_timeout)
        .keep_alive_timeout(limits.head_timeout);
    builder
}
