//! `/livez`, `/readyz` and `/metrics`, on a port of their own.
//!
//! Liveness is that this answers; readiness is that connections are accepted. Neither depends on the app, or a broken app
//! would take its gate out of service too; nor on the age of a list or the fate of a reload, which are told as details.
//! Must never serve anything about a request.

mod visitors;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, ORIGIN};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::visitors::{LONGEST, MOST_SCRAPES, Visitors};
pub(crate) use self::visitors::{LONGEST_HEAD, MOST_HEADERS};
use crate::budget::Budget;
use crate::check::replay_key::ReplayKey;
use crate::civil;
use crate::in_flight::InFlight;
use crate::ip_lists::{IpLists, ListStatus};
use crate::live::{Live, ReloadOutcome};
use crate::replay::{Forgotten, Replay};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Format, ListSample, Snapshot};

const NOT_FOUND: &str = "not found: try /livez, /readyz or /metrics\n";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

const METRICS: &str = "/metrics";
/// Where `hookward forget` asks.
pub(crate) const FORGET: &str = "/forget";
/// What proxies say of those they speak for, beside `x-forwarded-*`.
const PROXIED: [&str; 3] = ["forwarded", "via", "x-real-ip"];
/// The key of what is to be forgotten.
pub(crate) const FORGET_HEADER: HeaderName = HeaderName::from_static("hookward-forget");

/// What probes and scrapers are told.
#[derive(Debug)]
pub(crate) struct Admin {
    live: Arc<Live>,
    lists: Arc<IpLists>,
    metrics: Arc<Metrics>,
    load: Load,
    ready: Readiness,
    scrapes: Arc<Semaphore>,
}

/// What is held for clients now.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) budget: Budget,
    pub(crate) connections: InFlight,
    pub(crate) in_flight: InFlight,
    pub(crate) replay: Arc<Replay>,
}

/// Whether connections are accepted. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From here on no connection is accepted.
    pub(crate) fn fail(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What a connection holds until it ends: here, because its answer is written after the service has made it.
type Held = OnceLock<OwnedSemaphorePermit>;

/// Answers for ever.
pub(crate) async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    let mut visitors = Visitors::default();
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        let visitor = tokio::spawn(async move {
            let held = Arc::new(Held::new());
            let service = service_fn(|request: Request<Incoming>| {
                let (admin, held) = (Arc::clone(&admin), Arc::clone(&held));
                async move {
                    Ok::<_, Infallible>(match (request.method(), request.uri().path()) {
                        (_, FORGET) => admin.forget(&request, peer.ip()).await,
                        (&Method::GET | &Method::HEAD, METRICS) => admin.metrics(&request, &held).await,
                        _ => admin.answer(&request),
                    })
                }
            });
            // A probe that breaks off has nobody to tell.
            let connection = visitors::builder().serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(LONGEST, connection).await;
        });
        visitors.enter(visitor.abort_handle());
        // It gets its turn before another one comes, or of those that come together the first would go unheard.
        tokio::task::yield_now().await;
    }
}

impl Admin {
    pub(crate) fn new(live: Arc<Live>, lists: Arc<IpLists>, metrics: Arc<Metrics>, load: Load) -> Self {
        let ready = Readiness(Arc::new(AtomicBool::new(true)));
        Self { live, lists, metrics, load, ready, scrapes: Arc::new(Semaphore::new(MOST_SCRAPES)) }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.ready.clone()
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/livez") => answer(StatusCode::OK, TEXT, "alive\n"),
            (&Method::GET | &Method::HEAD, "/readyz") => self.readyz(),
            (_, "/livez" | "/readyz" | METRICS) => {
                let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n");
                refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                refused
            }
            _ => answer(StatusCode::NOT_FOUND, TEXT, NOT_FOUND),
        }
    }

    /// Written out on a thread of its own: some thousand lines must not hold up a worker, which may be the only one.
    async fn metrics<B>(&self, request: &Request<B>, held: &Held) -> Response<Full<Bytes>> {
        let Ok(permit) = Arc::clone(&self.scrapes).try_acquire_owned() else {
            return answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "too many scrapes at once\n");
        };
        // Its only request.
        let _ = held.set(permit);
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let format = Format::accepted(accept.unwrap_or_default());
        let (metrics, now) = (Arc::clone(&self.metrics), self.snapshot());
        match tokio::task::spawn_blocking(move || metrics.encode(now, format)).await {
            Ok(text) => answer(StatusCode::OK, HeaderValue::from_static(format.media_type()), text),
            Err(_broke_off) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "not written\n"),
        }
    }

    /// Lets a delivery run once more: for whoever is on this machine, and no page in a browser. A page of another origin could
    /// not send the header without asking first, and is never answered yes; one that made its name mean this machine (DNS
    /// rebinding) need not ask, but its browser says that it is a page.
    async fn forget<B>(&self, request: &Request<B>, peer: IpAddr) -> Response<Full<Bytes>> {
        if !peer.to_canonical().is_loopback() {
            return answer(StatusCode::FORBIDDEN, TEXT, "only from this machine\n");
        }
        if request.method() != Method::POST {
            return answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "POST\n");
        }
        if request.headers().keys().any(|name| *name == ORIGIN || name.as_str().starts_with("sec-fetch-")) {
            return answer(StatusCode::FORBIDDEN, TEXT, "not from a page\n");
        }
        // A proxy is on this machine, as the sidecar of a mesh is, but whoever it speaks for need not be.
        if request
            .headers()
            .keys()
            .any(|name| PROXIED.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-"))
        {
            return answer(StatusCode::FORBIDDEN, TEXT, "not through a proxy\n");
        }
        let Some(key) = request.headers().get(FORGET_HEADER).and_then(|value| value.to_str().ok()) else {
            return answer(StatusCode::FORBIDDEN, TEXT, "the header `hookward-forget` is missing\n");
        };
        let Some(key) = ReplayKey::parse(key) else {
            return answer(StatusCode::BAD_REQUEST, TEXT, "`hookward-forget` is not a key of 32 hex digits\n");
        };
        let (status, outcome) = match self.load.replay.forget(&key).await {
            Ok(Forgotten::Removed) => (StatusCode::OK, "forgotten".to_owned()),
            Ok(Forgotten::Absent) => (StatusCode::NOT_FOUND, "not remembered".to_owned()),
            Ok(Forgotten::Running) => (StatusCode::CONFLICT, "running".to_owned()),
            Err(down) => (StatusCode::SERVICE_UNAVAILABLE, down.to_string()),
        };
        // On record: it may run a second time.
        tracing::info!(%key, outcome, "asked to forget a delivery");
        answer(status, TEXT, format!("{outcome}\n"))
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        let ready = self.ready.0.load(Ordering::Acquire);
        let plan = self.live.plan();
        let history = self.live.history();
        let lists: Vec<_> = self.lists.status(&self.live).iter().map(ListStatus::to_json).collect();
        let last = history.last.map(|(outcome, at)| json!({"outcome": outcome.code(), "time": civil::rfc3339(at)}));
        let details = json!({
            "status": if ready { "ready" } else { "draining" },
            "version": env!("CARGO_PKG_VERSION"),
            "plan": {
                "fingerprint": &*plan.fingerprint,
                "loaded": civil::rfc3339(history.loaded),
                "routes": plan.routes.len(),
            },
            "last_reload": last,
            "ip_lists": lists,
        });
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        answer(status, JSON, format!("{details}\n"))
    }

    /// What others know, in this moment.
    fn snapshot(&self) -> Snapshot {
        let plan = self.live.plan();
        let refresh = |name: &str| {
            let list = plan.ip_lists.iter().find(|list| *list.name == *name)?;
            Some(list.source.as_ref()?.refresh.as_secs())
        };
        let lists = self.lists.status(&self.live).into_iter().map(|list| ListSample {
            refresh: refresh(&list.name),
            name: list.name,
            entries: list.entries,
            age: list.age,
        });
        Snapshot {
            buffered_bytes: self.load.budget.used(),
            connections: self.load.connections.running(),
            in_flight: self.load.in_flight.running(),
            replay_entries: self.load.replay.entries(),
            reload_refused: matches!(self.live.history().last, Some((ReloadOutcome::Refused, _))),
            lists: lists.collect(),
        }
    }
}

fn answer(status: StatusCode, content_type: HeaderValue, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ReplayStore;

    fn admin() -> Admin {
        let toml =
            "[routes.a]\npath = \"/a\"\nprovider = \"github\"\nsecrets = [{ insecure_value = \"mysecretmysecret\" }]";
        let loaded = crate::config::compile(toml, std::path::Path::new("a.toml"), &crate::config::System).unwrap();
        let metrics = Arc::new(Metrics::new());
        let replay = Replay::new(&ReplayStore::Memory, metrics.replay.clone(), InFlight::default());
        let (connections, in_flight) = (InFlight::default(), InFlight::default());
        let load = Load { budget: Budget::new(1), connections, in_flight, replay };
        Admin::new(Arc::new(Live::new(Arc::new(loaded.plan))), Arc::default(), metrics, load)
    }

    fn status(admin: &Admin, method: Method, path: &str) -> u16 {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        admin.answer(&request).status().as_u16()
    }

    #[test]
    fn readiness_fails_while_draining_and_liveness_does_not() {
        let admin = admin();
        assert_eq!(status(&admin, Method::GET, "/readyz"), 200);
        admin.readiness().fail();
        assert_eq!(status(&admin, Method::GET, "/readyz"), 503);
        assert_eq!(status(&admin, Method::GET, "/livez"), 200);
        for path in ["/livez", "/readyz", METRICS] {
            assert_eq!(status(&admin, Method::POST, path), 405, "{path}");
        }
        assert_eq!(status(&admin, Method::POST, "/metric"), 404);
    }

    #[tokio::test]
    async fn scrapes_are_counted_until_their_connection_ends() {
        let admin = admin();
        let scrape = async |held: &Held, accept: &str| {
            let request = Request::builder().uri(METRICS).header(ACCEPT, accept).body(()).unwrap();
            let answer = admin.metrics(&request, held).await;
            (answer.status().as_u16(), answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned())
        };
        let mut open: Vec<Held> = (0..MOST_SCRAPES).map(|_| Held::new()).collect();
        for held in &open {
            assert_eq!(scrape(held, "").await, (200, "text/plain; version=0.0.4; charset=utf-8".to_owned()));
        }
        assert_eq!(scrape(&Held::new(), "").await.0, 503);
        open.pop();
        let (status, media_type) = scrape(&Held::new(), "application/openmetrics-text;version=1.0.0").await;
        assert_eq!((status, &*media_type), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"));
    }

    /// All of them are there before the first is looked at, as after a pause of the worker, which may be the only one.
    #[tokio::test]
    async fn a_probe_gets_through_a_flood_that_has_come_with_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut probe = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut probe, b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let flood: Vec<_> = (0..120).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let serving = tokio::spawn(serve(listener, Arc::new(admin())));
        probe.set_nonblocking(true).unwrap();
        let mut probe = tokio::net::TcpStream::from_std(probe).unwrap();
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut probe, &mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{:?}", String::from_utf8_lossy(&answer));
        serving.abort();
        drop(flood);
    }

    #[tokio::test]
    async fn only_this_machine_may_forget_and_only_with_the_header() {
        let admin = admin();
        let key = ReplayKey::of_id("a", b"msg_1").to_string();
        let asked = async |method, header: Option<&str>, peer: &str| {
            let mut request = Request::builder().method(method).uri(FORGET);
            if let Some(header) = header {
                request = request.header(FORGET_HEADER, header);
            }
            admin.forget(&request.body(()).unwrap(), peer.parse().unwrap()).await.status().as_u16()
        };
        assert_eq!(asked(Method::POST, Some(&key), "127.0.0.1").await, 404);
        assert_eq!(asked(Method::POST, Some(&key), "::1").await, 404);
        assert_eq!(asked(Method::POST, Some(&key), "::ffff:127.0.0.1").await, 404);
        for stranger in ["10.0.0.1", "2001:db8::1", "0.0.0.0"] {
            assert_eq!(asked(Method::POST, Some(&key), stranger).await, 403, "{stranger}");
        }
        assert_eq!(asked(Method::POST, None, "127.0.0.1").await, 403);
        assert_eq!(asked(Method::POST, Some("msg_1"), "127.0.0.1").await, 400);
        assert_eq!(asked(Method::GET, Some(&key), "127.0.0.1").await, 405);
    }
}
