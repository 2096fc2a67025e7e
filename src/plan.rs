//! The compiled, immutable configuration: what the gate reads, and nothing that it would have to check again.
//!
//! Made by `config::compile` alone; loaded once per request (per stream in HTTP/2), never per connection. Must never do
//! I/O or hold anything that a request can change.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use ipnet::IpNet;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::check::client::ClientRules;
use crate::check::handshake::Handshake;
use crate::check::ip::IpSet;
use crate::check::signature::{ForeignHeaders, LabeledKey, Options, Scheme, SchemeSpec};
use crate::check::target::{Framework, Targets};
use crate::redis_place::RedisPlace;
use crate::secret::{Origin, Secret};
use crate::token::TokenSigner;

/// Everything that one request is judged by.
#[derive(Debug)]
pub struct Plan {
    /// Names this plan in logs and `/readyz`: the same wherever the same configuration is loaded. Made of nothing secret.
    pub fingerprint: Box<str>,
    /// Where requests arrive; never empty.
    pub listeners: Vec<Arc<Listener>>,
    /// Where admitted requests go.
    pub upstream: Arc<Upstream>,
    /// How senders address the app; there if a route's scheme signs the URL.
    pub public_url: Option<PublicUrl>,
    /// What happens to requests that no route matches.
    pub unmatched: Unmatched,
    /// How the app reads paths and headers.
    pub framework: Framework,
    /// What stands before every route's path in a request's target: empty, or `/something`.
    pub base_path: Box<str>,
    /// Target → route. Indices are those of `routes`.
    pub targets: Targets,
    /// Who is believed about the client's address.
    pub client: ClientPolicy,
    /// Where `/livez` and `/readyz` are served.
    pub health: Option<SocketAddr>,
    /// Where recent decisions are shown.
    pub inspector: Option<SocketAddr>,
    /// Bounds on size, time and number.
    pub limits: Limits,
    /// The access line's format.
    pub log: LogFormat,
    /// Where spans are sent.
    pub otlp: Option<Arc<Collector>>,
    /// How deliveries are remembered.
    pub replay: ReplayPolicy,
    /// The protected routes.
    pub routes: Vec<Route>,
    /// Signs `verified-event-token`; `None`: there is no such header.
    pub token: Option<TokenSigner>,
    /// Whether a reload to this plan may take protection away.
    pub allow_route_removal: bool,
    /// Named lists of addresses that routes use or that are refreshed.
    pub ip_lists: Vec<NamedList>,
}

/// One place where requests arrive.
#[derive(Debug)]
pub struct Listener {
    /// As configured; port 0 asks for any.
    pub address: SocketAddr,
    /// PROXY protocol: these peers must speak it, others may not. `None`: nobody may.
    pub proxies: Option<IpSet>,
    /// TLS with this certificate; `None`: plain TCP.
    pub tls: Option<Arc<ServerConfig>>,
}

/// The application behind the gate.
#[derive(Debug)]
pub struct Upstream {
    /// `host:port`, resolved anew for every connection. Of a Unix socket: `localhost`.
    pub authority: Authority,
    /// How it is reached.
    pub transport: Transport,
}

/// How the application is reached.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls(UpstreamTls),
    /// A Unix socket.
    Unix(PathBuf),
}

/// TLS towards the application.
#[derive(Debug)]
pub struct UpstreamTls {
    /// Whom we trust.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate must have; sent as SNI unless it is an address.
    pub name: ServerName<'static>,
    /// The authorities' file, to tell whether a new plan trusts the same. Empty: the public ones.
    pub ca: Box<[u8]>,
}

/// Whether connections to one are connections to the other, so that they may be kept over a reload.
impl PartialEq for Upstream {
    fn eq(&self, other: &Self) -> bool {
        self.authority == other.authority
            && match (&self.transport, &other.transport) {
                (Transport::Tcp, Transport::Tcp) => true,
                (Transport::Tls(one), Transport::Tls(other)) => one.name == other.name && one.ca == other.ca,
                (Transport::Unix(one), Transport::Unix(other)) => one == other,
                (Transport::Tcp | Transport::Tls(_) | Transport::Unix(_), _) => false,
            }
    }
}

/// As it would be typed.
impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.transport {
            Transport::Tcp => write!(f, "http://{}", self.authority),
            Transport::Tls(_) => write!(f, "https://{}", self.authority),
            Transport::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A list of addresses under a name.
#[derive(Debug, Clone)]
pub struct NamedList {
    /// As in `allow_ips`.
    pub name: Arc<str>,
    /// Addresses and networks in it.
    pub entries: usize,
    /// When it was published or fetched, unix seconds. `None`: it has no content yet.
    pub as_of: Option<u64>,
    /// Where it is refreshed from.
    pub source: Option<Arc<ListSource>>,
}

/// Where a named list is fetched, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSource {
    /// The list's name.
    pub name: Arc<str>,
    /// An absolute `https` address.
    pub url: Uri,
    /// Time between two fetches.
    pub refresh: Duration,
    /// Which parts of the document count, by key; empty: all of it.
    pub select: Vec<Box<str>>,
    /// Where the last good content is kept over a restart.
    pub cache: Option<PathBuf>,
    /// PEM of the authorities that are trusted instead of the public ones.
    pub ca: Option<Box<[u8]>>,
}

/// The content of a named list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its addresses and networks, without duplicates.
    pub entries: Arc<[IpNet]>,
    /// When it was published or fetched, unix seconds.
    pub as_of: u64,
}

/// Who may call a route.
#[derive(Debug, Clone, Default)]
pub struct Allowlist {
    /// The addresses.
    pub set: IpSet,
    /// A named list among them has no content yet.
    pub pending: bool,
}

impl Allowlist {
    /// Whether `address` may call.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.set.contains(address)
    }
}

/// The app's address as senders write it: what stands before every target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    before: Box<str>,
}

impl PublicUrl {
    /// Scheme, host, an optional port and an optional path. `None`: anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
        let authority: Authority = host.parse().ok().filter(|authority: &Authority| !authority.host().is_empty())?;
        let port_is_plain = match authority.port() {
            Some(port) => port.as_str().bytes().all(|byte| byte.is_ascii_digit()),
            None => !host.ends_with(':'),
        };
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\');
        (port_is_plain && !host.contains('@') && path.bytes().all(plain))
            .then(|| Self { before: text.trim_end_matches('/').into() })
    }

    /// The absolute URL of a target, which begins with `/`.
    pub fn of(&self, target: &str) -> String {
        [&*self.before, target].concat()
    }
}

/// What happens to a request that no route matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// Streams both ways, unverified.
    Forward,
    /// `no_route`.
    Deny,
}

/// The trusted proxies, and the header in which they name the client.
#[derive(Debug)]
pub struct ClientPolicy {
    /// The trust rules.
    pub rules: ClientRules,
    /// The header that carries the address, as the `HeaderMap` knows it.
    pub header: HeaderName,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// `key=value` pairs for people.
    Text,
}

/// Who takes spans, and how. A header's value is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// An absolute address, path and all.
    pub endpoint: Uri,
    /// `service.name`.
    pub service_name: Box<str>,
    /// Sent with each request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// PEM of the authorities that are trusted instead of the public ones.
    pub ca: Option<Box<[u8]>>,
}

/// Bounds. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Default of [`Route::max_body`].
    pub max_body: u64,
    /// All unforwarded webhook bodies of the process together.
    pub buffered_bytes: u64,
    /// Open client connections.
    pub max_connections: usize,
    /// Header lines of one request.
    pub max_headers: usize,
    /// Request line and headers of one request.
    pub max_head: usize,
    /// From a head's first byte to its last.
    pub head_timeout: Duration,
    /// For a webhook's whole body, and between two reads of a passed one.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// To connect to the upstream.
    pub connect_timeout: Duration,
    /// The longest a forwarded delivery may run after the sender has left or its deadline has passed.
    pub upstream_max: Duration,
    /// For the upstream's answer to an upgrade.
    pub upgrade_timeout: Duration,
    /// For requests in flight at shutdown.
    pub drain: Duration,
}

/// How deliveries are told apart and remembered.
#[derive(Debug, Clone)]
pub struct ReplayPolicy {
    /// Where they are remembered.
    pub store: ReplayStore,
    /// How long a delivery that ran is remembered.
    pub ttl: Duration,
    /// How many are, in memory.
    pub max_entries: usize,
    /// How long a claim outlives whoever held it.
    pub lease: Duration,
    /// How long a duplicate waits for the one that runs.
    pub wait: Duration,
}

/// Where deliveries are remembered.
#[derive(Debug, Clone)]
pub enum ReplayStore {
    /// In this process.
    Memory,
    /// In Redis or Valkey, for several replicas.
    Redis(Arc<RedisPlace>),
}

/// What tells a route's deliveries apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayMode {
    /// Nothing: each one runs.
    Off,
    /// Their signed id.
    Dedupe,
    /// Everything that is signed.
    Content,
}

/// What happens to a delivery while the replay store cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreError {
    /// `replay_store_down`.
    Refuse,
    /// It is forwarded, and may run twice.
    Forward,
}

/// How often a delivery is tried before its sender hears of a failure. Always inside the route's deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How often it may be handed to the app; at least one.
    pub attempts: u32,
    /// From its head on; connecting goes on until then.
    pub within: Duration,
    /// Answers after which it is handed over again.
    pub on_status: Box<[StatusCode]>,
}

/// Which checks of a route only log what they would refuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reported {
    /// The client's address.
    pub ip: bool,
    /// The age of a delivery.
    pub timestamp: bool,
    /// The signature, and the headers that it needs.
    pub signature: bool,
}

impl Reported {
    /// Whether any does.
    pub fn any(self) -> bool {
        self.ip || self.timestamp || self.signature
    }
}

/// One protected path and its policy.
#[derive(Debug)]
pub struct Route {
    /// The table's name in the configuration: label in logs and in `verified-event`.
    pub name: Arc<str>,
    /// The path as configured (`/a/b` or `/a/*`).
    pub path: Box<str>,
    /// Methods that are taken.
    pub methods: Vec<Method>,
    /// The value of `Allow` for the others.
    pub allow: HeaderValue,
    /// The provider's or custom scheme's name.
    pub provider: Arc<str>,
    /// How the provider signs.
    pub scheme: Arc<Scheme>,
    /// The secrets, never empty. All are tried.
    pub keys: Vec<LabeledKey>,
    /// What scheme and keys were made of.
    pub ingredients: Ingredients,
    /// Addresses that may call; `None`: any.
    pub allow_ips: Option<Allowlist>,
    /// Seconds that a timestamp may be off, either way.
    pub tolerance: u64,
    /// For the app's answer, from the head's arrival.
    pub deadline: Duration,
    /// Largest body.
    pub max_body: u64,
    /// Event types that are forwarded.
    pub events: EventFilter,
    /// The provider's handshakes that are answered without the app.
    pub handshakes: Vec<Handshake>,
    /// Whether the provider has handshakes, answered here or not, in which anyone can have a MAC made.
    pub signs_for_anyone: bool,
    /// What tells its deliveries apart.
    pub replay: ReplayMode,
    /// Without the store.
    pub on_store_error: OnStoreError,
    /// When a delivery is tried again.
    pub retry: Retry,
    /// Checks that only log.
    pub reported: Reported,
    /// What is removed from a verified request, by [`crate::check::signature::Verified::family`]: one for each family.
    pub foreign: Vec<ForeignHeaders>,
}

impl Route {
    /// How long after its timestamp a delivery is taken. `None`: it has none, or any age is.
    pub fn window(&self) -> Option<Duration> {
        self.scheme.default_tolerance()?;
        Some(self.tolerance).filter(|seconds| *seconds < u64::MAX / 4).map(Duration::from_secs)
    }
}

/// What a route's scheme and keys were made of: only for finding out why a signature does not match.
#[derive(Debug)]
pub struct Ingredients {
    /// The scheme as data.
    pub spec: SchemeSpec,
    /// The route's options, files read.
    pub options: Options,
    /// The secrets as configured, with their labels.
    pub secrets: Vec<(Arc<str>, Secret)>,
    /// Where the first of them came from. `None`: the scheme needs none.
    pub origin: Option<Origin>,
}

/// Which event types a route forwards. `user.*` matches by prefix; an empty list forwards all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Patterns as configured: exact, or ending in `*`.
    pub patterns: Vec<Box<str>>,
}

impl EventFilter {
    /// Whether an event of this type is forwarded. An unreadable type (`None`) is.
    pub fn wants(&self, event_type: Option<&str>) -> bool {
        let Some(event_type) = event_type else { return true };
        self.patterns.is_empty()
            || self.patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => event_type.starts_with(prefix),
                None => event_type == &**pattern,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> EventFilter {
        EventFilter { patterns: patterns.iter().map(|pattern| (*pattern).into()).collect() }
    }

    #[test]
    fn an_empty_filter_wants_everything() {
        assert!(filter(&[]).wants(Some("user.created")));
    }

    #[test]
    fn a_star_matches_by_prefix_and_a_name_exactly() {
        let filter = filter(&["user.*", "sms.created"]);
        assert!(filter.wants(Some("user.created")));
        assert!(filter.wants(Some("sms.created")));
        assert!(!filter.wants(Some("sms.created.late")));
        assert!(!filter.wants(Some("userx")));
    }

    #[test]
    fn an_unreadable_type_is_wanted() {
        assert!(filter(&["user.*"]).wants(None));
    }
}
