//! Listens, accepts, and hands each connection over; stops without losing a request.
//!
//! The caller owns the stop signal. On it readiness fails at once, no connection is accepted any more, kept ones close after
//! the request they are in, and what still runs at the end of `limits.drain` is cut off. Must never look into a request.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{self, Admin, Load};
use crate::budget::Budget;
use crate::clock;
#[cfg(feature = "otlp")]
use crate::collector::Exporter;
use crate::connection::{self, Arrival, LAST_WORDS};
use crate::crowd::{Crowd, Seldom};
use crate::descriptors;
use crate::documents::Documents;
use crate::forward::Forwarder;
use crate::gate::Gate;
use crate::headers::Peer;
use crate::hint::Hints;
use crate::https::Https;
use crate::in_flight::InFlight;
use crate::inspector::{self, Inspector};
use crate::ip_lists::IpLists;
use crate::live::Live;
use crate::plan::{Listener, Plan};
use crate::reject::Reject;
use crate::replay::Replay;
use crate::telemetry::Metrics;
use crate::telemetry::access::{AccessLog, Record};
#[cfg(feature = "otlp")]
use crate::telemetry::otlp::Spans;
use crate::telemetry::recent::Recent;

/// Rest after a failed accept (out of descriptors, say), so that the loop does not spin.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);
/// Connections that the kernel keeps for us; it cuts this to `net.core.somaxconn`. With the standard library's 128 a burst of
/// deliveries is met with resets.
const BACKLOG: u32 = 4096;
/// One in so many connections more, while those whose slow bodies were dropped come to their end.
const SPARE: usize = 4;
/// How long no slow body is looked for after none was found: looking through them is not free.
const FUTILE: Duration = Duration::from_millis(20);
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 87\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Too many connections.\",\"status\":503,\"code\":\"overloaded\"}";

/// A server with its ports bound, not yet accepting.
pub struct Server {
    listeners: Vec<Bound>,
    health: Option<TcpListener>,
    inspector: Option<(TcpListener, Arc<Recent>)>,
    live: Arc<Live>,
    lists: Arc<IpLists>,
    lists_changed: Box<dyn Fn() + Send>,
    metrics: Arc<Metrics>,
    access: AccessLog,
    #[cfg(feature = "otlp")]
    exporter: Option<Exporter>,
    workers: usize,
}

/// One port, bound.
#[derive(Debug)]
struct Bound {
    socket: TcpListener,
    port: u16,
    /// Its place in the plan.
    index: usize,
    /// What the plan last said of it.
    listener: Arc<Listener>,
    /// There was no slow body to drop; it is too early to look again.
    futile_until: Option<Instant>,
}

/// What the accept loops share.
#[derive(Debug)]
struct Shared {
    gate: Arc<Gate>,
    crowd: Crowd,
    stopping: watch::Receiver<bool>,
}

impl Server {
    /// Binds the plan's ports.
    ///
    /// # Errors
    /// The bind's, with the address that failed.
    #[expect(clippy::unused_async, reason = "sockets belong to a runtime: it cannot be called outside of one")]
    pub async fn bind(plan: Arc<Plan>, access: AccessLog, workers: usize) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for (index, listener) in plan.listeners.iter().enumerate() {
            let socket = bind(listener.address)?;
            let port = socket.local_addr()?.port();
            listeners.push(Bound { socket, port, index, listener: Arc::clone(listener), futile_until: None });
        }
        let health = match plan.health {
            Some(address) => Some(bind(address)?),
            None => None,
        };
        let inspector = match plan.inspector {
            Some(address) => Some((bind_with(address, Some(inspector::SEND_BUFFER))?, Arc::new(Recent::new()))),
            None => None,
        };
        #[cfg(feature = "otlp")]
        let (access, exporter) = traced(access, &plan)?;
        let live = Arc::new(Live::new(plan));
        let metrics = Arc::new(Metrics::new());
        metrics.loaded_at(live.history().loaded);
        let recent = inspector.as_ref().map(|(_, recent)| Arc::clone(recent));
        let access = access.counted_by(Arc::clone(&metrics)).kept_by(recent);
        let lists = Arc::default();
        Ok(Self {
            listeners,
            health,
            inspector,
            live,
            lists,
            lists_changed: Box::new(|| {}),
            metrics,
            access,
            #[cfg(feature = "otlp")]
            exporter,
            workers,
        })
    }

    /// Refreshes these lists; `changed` is called after each that has new content.
    #[must_use]
    pub fn with_lists(mut self, lists: Arc<IpLists>, changed: impl Fn() + Send + 'static) -> Self {
        self.lists = lists;
        self.lists_changed = Box::new(changed);
        self
    }

    /// The plan in force, which a reload swaps.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// What Prometheus gets.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Where requests arrive: the first listener.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listeners.first().ok_or(io::ErrorKind::NotConnected)?.socket.local_addr()
    }

    /// Where requests arrive, in the plan's order; differs from it where that asked for port 0.
    ///
    /// # Errors
    /// When a socket is gone.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(|bound| bound.socket.local_addr()).collect()
    }

    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub fn health_addr(&self) -> Option<SocketAddr> {
        self.health.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where recent decisions are shown.
    pub fn inspector_addr(&self) -> Option<SocketAddr> {
        self.inspector.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `shutdown` resolves and what is in flight has ended, or `limits.drain` has.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(false);
        let (expire, expired) = watch::channel(false);
        let bound = self.local_addrs().unwrap_or_default();
        let in_flight = InFlight::default();
        let connections = InFlight::default();
        let forwarder = Forwarder::new(self.workers, in_flight.clone());
        let mut helpers = JoinSet::new();
        helpers.spawn(Arc::clone(&forwarder).sweep());
        let (live, metrics) = (Arc::clone(&self.live), Arc::clone(&self.metrics));
        helpers.spawn(Arc::clone(&self.lists).refresh(live, metrics, self.lists_changed));
        #[cfg(feature = "otlp")]
        let exporting = self.exporter.map(Exporter::start);
        let budget = Budget::new(0);
        let resized = budget.clone();
        let counted = Arc::clone(&self.metrics);
        self.live.follow(move |plan| {
            resized.resize(plan.limits.buffered_bytes);
            counted.expect(plan);
        });
        let replay = Replay::new(&self.live.plan().replay.store, self.metrics.replay.clone(), in_flight.clone());
        let load = Load {
            budget: budget.clone(),
            connections: connections.clone(),
            in_flight: in_flight.clone(),
            replay: Arc::clone(&replay),
        };
        if let Some((listener, recent)) = self.inspector {
            let inspector = Inspector::new(Arc::clone(&self.live), Arc::clone(&self.lists), recent, &bound);
            helpers.spawn(inspector::serve(listener, Arc::new(inspector)));
        }
        let admin = Admin::new(Arc::clone(&self.live), self.lists, Arc::clone(&self.metrics), load);
        let readiness = admin.readiness();
        if let Some(listener) = self.health {
            helpers.spawn(admin::serve(listener, Arc::new(admin)));
        }
        let gate = Arc::new(Gate {
            budget,
            live: Arc::clone(&self.live),
            forwarder,
            replay,
            documents: Documents::new(Https::new()),
            hints: Hints::default(),
            access: self.access,
            in_flight: in_flight.clone(),
            connections: connections.clone(),
            passing: InFlight::default(),
            places: places(&self.live.plan()),
            stopping: stopping.clone(),
            expired,
        });
        let shared = Arc::new(Shared { gate, crowd: Crowd::default(), stopping });

        let mut accepting = JoinSet::new();
        for bound in self.listeners {
            accepting.spawn(accept(bound, Arc::clone(&shared)));
        }
        shutdown.await;
        readiness.fail();
        // The sockets close with their loops.
        accepting.shutdown().await;
        tracing::info!(connections = connections.running(), "draining");
        stop.send_replace(true);
        let drain = self.live.plan().limits.drain;
        #[cfg(feature = "otlp")]
        let deadline = clock::monotonic().checked_add(drain).unwrap_or_else(clock::monotonic);
        if tokio::time::timeout(drain, in_flight.drained()).await.is_err() {
            tracing::warn!("limits.drain is over: what is still in flight is cut off");
        }
        expire.send_replace(true);
        let _ = tokio::time::timeout(LAST_WORDS, connections.drained()).await;
        #[cfg(feature = "otlp")]
        if let Some(exporting) = exporting {
            exporting.finish(deadline).await;
        }
        helpers.shutdown().await;
        tracing::info!("stopped");
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// With a queue for spans, and who sends them, where the plan has a collector.
#[cfg(feature = "otlp")]
fn traced(access: AccessLog, plan: &Plan) -> io::Result<(AccessLog, Option<Exporter>)> {
    let Some(collector) = &plan.otlp else { return Ok((access, None)) };
    let spans = Spans::default();
    let exporter = Exporter::new(Arc::clone(collector), spans.clone()).map_err(io::Error::other)?;
    Ok((access.traced_by(spans), Some(exporter)))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_with(address, None)
}

/// `send_buffer`: bytes that the kernel holds of what a peer does not take, in place of the megabytes that it grows to. Its
/// connections inherit it.
fn bind_with(address: SocketAddr, send_buffer: Option<u32>) -> io::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        if let Some(bytes) = send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// How many connections the descriptors are enough for. Says so when that is not what the plan asks for.
fn places(plan: &Plan) -> usize {
    let (Some(limit), wanted) = (descriptors::raise(), plan.limits.max_connections) else { return usize::MAX };
    let (needed, places) = (descriptors::needed(wanted), descriptors::places(limit));
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            connections = places,
            "fewer file descriptors than limits.max_connections needs: so many connections are taken, raise RLIMIT_NOFILE"
        );
    }
    places
}

async fn accept(mut bound: Bound, shared: Arc<Shared>) {
    let mut failed = Seldom::default();
    loop {
        match bound.socket.accept().await {
            Ok((stream, peer)) => shared.seat(stream, peer, &mut bound).await,
            Err(error) => {
                if let Some(count) = failed.note(clock::monotonic()) {
                    tracing::warn!(%error, count, "accept failed");
                }
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

impl Shared {
    /// A place for a connection that was accepted, or a refusal.
    async fn seat(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, bound: &mut Bound) {
        let gate = &self.gate;
        let plan = gate.live.plan();
        bound.follow(&plan);
        let open = gate.connections.running().saturating_sub(self.crowd.leaving());
        let most = plan.limits.max_connections.min(gate.places);
        if open >= most {
            let now = clock::monotonic();
            // A body that is dropped has an answer coming, so its connection is there for a while yet: not for too many.
            let spare = || open < most.saturating_add(most.div_ceil(SPARE));
            let room = self.crowd.make_room(now) || (spare() && bound.drop_body(&gate.budget, now));
            if !room {
                if bound.listener.tls.is_none() {
                    // A courtesy: if it does not fit into the socket's buffer, the close says as much.
                    let _ = stream.try_write(OVERLOADED);
                }
                let peer = Peer::new(peer.ip(), bound.port, false);
                let why = "limits.max_connections are open";
                Record::refused_connection(gate.access.clone(), peer.text().clone(), Reject::Overloaded, why);
                return;
            }
            // The one that leaves gets its turn before another one comes: a flood must not outrun it.
            tokio::task::yield_now().await;
        }
        let arrival = Arrival { stream, peer, port: bound.port, listener: Arc::clone(&bound.listener) };
        let (open, seat) = (gate.connections.ticket(), self.crowd.enter());
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let _open = open;
            connection::serve(arrival, seat, &shared.gate, shared.stopping.clone()).await;
        });
    }
}

impl Bound {
    /// Drops a slow body, if there is one.
    fn drop_body(&mut self, budget: &Budget, now: Instant) -> bool {
        if self.futile_until.is_some_and(|until| now < until) {
            return false;
        }
        let dropped = budget.make_room(now);
        self.futile_until = if dropped { None } else { now.checked_add(FUTILE) };
        dropped
    }

    /// A reload may have changed what this port asks of a connection. One that it took away stays as it was until a restart.
    fn follow(&mut self, plan: &Plan) {
        let same = |listener: &&Arc<Listener>| listener.address == self.listener.address;
        let found = plan.listeners.get(self.index).filter(same).or_else(|| plan.listeners.iter().find(same));
        if let Some(found) = found.filter(|found| !Arc::ptr_eq(found, &self.listener)) {
            self.listener = Arc::clone(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What fits into the sockets of a connection whose client reads nothing.
    async fn untaken(send_buffer: Option<u32>) -> usize {
        let listener = bind_with("127.0.0.1:0".parse().unwrap(), send_buffer).unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let ((server, _), mut fitted) = (accepted.unwrap(), 0);
        loop {
            let piece = tokio::time::timeout(Duration::from_millis(300), server.writable()).await;
            match server.try_write(&[0; 4096]) {
                Ok(written) => fitted = written.saturating_add(fitted),
                Err(_) if piece.is_err() => break,
                Err(_) => {}
            }
        }
        drop(client);
        fitted
    }

    #[tokio::test]
    async fn a_reader_of_the_inspector_that_takes_nothing_is_kept_little_for() {
        let (little, usual) = (untaken(Some(inspector::SEND_BUFFER)).await, untaken(None).await);
        assert!(little < 256 * 1024 && little < usual, "{little} of {usual}");
    }
}
