//! What every test stands on: the gate under test, the app behind it, a sender before it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hookward::config::{self, Environment};
use hookward::plan::{LogFormat, Plan, ReplayMode};
use hookward::server::Server;
use hookward::telemetry::{AccessLog, Output};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The secret that every gate of these tests knows.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const PATH: &str = "/api/webhooks/clerk";
/// The answer to a delivery that has run.
pub const DUPLICATE: &str = r#"{"code":"duplicate"}"#;
pub const BODY: &str = r#"{"data":{"id":"user_1"},"object":"event","type":"user.created"}"#;
const PATIENCE: Duration = Duration::from_secs(10);

pub fn now() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "the sender has a clock of its own")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A gate in this process, stopped when dropped.
pub struct Gate {
    pub addr: SocketAddr,
    /// Of every listener, in the order of the configuration.
    pub addrs: Vec<SocketAddr>,
    pub health: Option<SocketAddr>,
    pub inspector: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    pub served: tokio::task::JoinHandle<()>,
}

/// Variables for the configuration under test.
pub struct Env(pub HashMap<String, String>);

impl Environment for Env {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).map(|value| value.clone().into_bytes())
    }
    fn variable_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

impl Gate {
    /// The usual gate: one Clerk route, and `more` TOML after it.
    pub async fn start(app: SocketAddr, more: &str) -> Self {
        Self::with(&Self::usual(app, more)).await
    }

    fn usual(app: SocketAddr, more: &str) -> String {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\n[routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n{more}"
        )
    }

    /// A gate of exactly this configuration.
    pub async fn with(toml: &str) -> Self {
        Self::logging(toml, AccessLog::off()).await
    }

    /// The same, and what it writes into its access log.
    pub async fn logged(toml: &str) -> (Self, Lines) {
        let lines = Lines::default();
        let (output, writer) = Output::start(lines.clone()).unwrap();
        // The thread ends with the test's process.
        std::mem::forget(writer);
        (Self::logging(toml, AccessLog::new(output, LogFormat::Json)).await, lines)
    }

    /// The usual gate, which runs a delivery once. The others' senders send theirs again and again.
    pub async fn deduping(app: SocketAddr, more: &str) -> Self {
        Self::serving(Self::bound(&Self::usual(app, more), AccessLog::off(), |_| ()).await)
    }

    /// A gate of exactly this configuration, replay store and all, and its access log.
    pub async fn untouched(toml: &str) -> (Self, Lines) {
        let lines = Lines::default();
        let (output, writer) = Output::start(lines.clone()).unwrap();
        std::mem::forget(writer);
        let server = Self::bound(toml, AccessLog::new(output, LogFormat::Json), |_| ()).await;
        (Self::serving(server), lines)
    }

    async fn logging(toml: &str, access: AccessLog) -> Self {
        let each_runs = |plan: &mut Plan| plan.routes.iter_mut().for_each(|route| route.replay = ReplayMode::Off);
        Self::serving(Self::bound(toml, access, each_runs).await)
    }

    async fn bound(toml: &str, access: AccessLog, adapt: impl FnOnce(&mut Plan)) -> Server {
        let env = Env(HashMap::from([
            ("CLERK_WEBHOOK_SIGNING_SECRET".into(), SECRET.into()),
            ("NEXT".into(), "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into()),
            ("PLAIN".into(), "mysecret".into()),
            ("STRIPE".into(), "whsec_test_secret".into()),
        ]));
        let mut loaded =
            config::compile(toml, Path::new("test.toml"), &env).unwrap_or_else(|report| panic!("{report}"));
        adapt(&mut loaded.plan);
        Server::bind(Arc::new(loaded.plan), access, 1).await.unwrap()
    }

    /// A gate that is bound already.
    pub fn serving(server: Server) -> Self {
        let (addr, health) = (server.local_addr().unwrap(), server.health_addr());
        let (addrs, inspector) = (server.local_addrs().unwrap(), server.inspector_addr());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { addr, addrs, health, inspector, stop: Some(stop), served }
    }

    /// What SIGTERM does.
    pub fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Sends one request on a connection of its own, and reads until the gate closes it.
    pub async fn exchange(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        Answer::read(&mut stream).await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }
}

/// What was logged.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Waits for so many lines, and a moment longer for one too many.
    pub async fn wait(&self, count: usize) -> Vec<serde_json::Value> {
        let lines = || -> Vec<serde_json::Value> {
            let bytes = self.0.lock().unwrap().clone();
            bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
        };
        let waiting = async {
            while lines().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("logged: {:?}", lines()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(lines().len(), count, "{:?}", lines());
        lines()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One answer, as its bytes.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one answer; the body by Content-Length, by chunks, or to the end.
    pub async fn read(stream: &mut TcpStream) -> Self {
        tokio::time::timeout(PATIENCE, Self::read_patiently(stream)).await.expect("an answer in time")
    }

    async fn read_patiently(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            let mut chunk = [0; 4096];
            let n = stream.read(&mut chunk).await.unwrap_or(0);
            if n == 0 {
                return Self { status: 0, head: String::from_utf8_lossy(&bytes).into_owned(), body: Vec::new() };
            }
            bytes.extend_from_slice(&chunk[..n]);
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut body = bytes.split_off(end);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let length = header(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
        let chunked = header(&head, "transfer-encoding").is_some();
        let bodyless = (100..200).contains(&status) || status == 204 || status == 304;
        loop {
            let done = match length {
                _ if bodyless => true,
                Some(length) => body.len() >= length,
                None if chunked => body.ends_with(b"0\r\n\r\n"),
                None => false,
            };
            let mut chunk = [0; 65536];
            if done {
                break;
            }
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(n) => body.extend_from_slice(&chunk[..n]),
            }
        }
        Self { status, head, body }
    }

    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `code` of problem+json.
    pub fn code(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|body| Some(body.get("code")?.as_str()?.to_owned()))
            .unwrap_or_default()
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What reached the app: one entry per request whose head arrived, completed by its body.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub whole: bool,
    pub trailers: HeaderMap,
}

/// An app that records everything and answers 200, after a delay if the target says `delay=MS`.
#[derive(Debug, Clone)]
pub struct App {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Recorded>>>,
}

impl App {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = Self { addr: listener.local_addr().unwrap(), seen: Arc::default() };
        let serving = app.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let app = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| app.clone().serve(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .max_headers(200)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        app
    }

    async fn serve(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (parts, body) = request.into_parts();
        let index = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(Recorded {
                method: parts.method.to_string(),
                target: parts.uri.to_string(),
                headers: parts.headers.clone(),
                ..Recorded::default()
            });
            seen.len() - 1
        };
        let delay = parts.uri.query().and_then(|query| query.strip_prefix("delay=")?.parse().ok());
        let delay = delay.or_else(|| parts.headers.get("x-delay")?.to_str().ok()?.parse().ok());
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let body = body.to_bytes();
        if let Some(delay) = delay {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        {
            let mut seen = self.seen.lock().unwrap();
            seen[index].body = body.clone();
            seen[index].whole = true;
            seen[index].trailers = trailers;
        }
        Ok(Response::builder().header("x-app", "1").body(Full::new(body)).unwrap())
    }

    /// Requests whose head has arrived.
    pub fn seen(&self) -> Vec<Recorded> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that has arrived.
    pub fn only(&self) -> Recorded {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// Nothing has arrived, and a moment later still nothing has.
    pub async fn assert_unreached(&self, why: &str) {
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(self.seen().is_empty(), "reached the app: {why}: {:?}", self.seen());
    }

    /// Waits until the heads of `count` requests have arrived.
    pub async fn wait_begun(&self, count: usize) {
        self.wait(count, |_| true).await;
    }

    /// Waits until `count` requests were read to their end.
    pub async fn wait_whole(&self, count: usize) {
        self.wait(count, |seen| seen.whole).await;
    }

    async fn wait(&self, count: usize, counts: impl Fn(&Recorded) -> bool) {
        let waiting = async {
            while self.seen().iter().filter(|seen| counts(seen)).count() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("the app saw {:?}", self.seen()));
    }
}

/// Signs as Svix does, from the specification.
pub fn svix_signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD;
    let key = base64.decode(secret.trim_start_matches("whsec_")).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", base64.encode(mac.finalize().into_bytes()))
}

/// The three headers of a genuine delivery, each ending in CRLF.
pub fn signed_headers(id: &str, timestamp: u64, body: &[u8]) -> String {
    let signature = svix_signature(SECRET, id, &timestamp.to_string(), body);
    format!("svix-id: {id}\r\nsvix-timestamp: {timestamp}\r\nsvix-signature: {signature}\r\n")
}

/// A genuine delivery of `body`, with `more` header lines (each ending in CRLF).
pub fn genuine(body: &str, more: &str) -> String {
    let headers = signed_headers("msg_1", now(), body.as_bytes());
    format!("POST {PATH} HTTP/1.1\r\nhost: app.example\r\n{headers}{more}content-length: {}\r\n\r\n{body}", body.len())
}

/// A request without a body.
pub fn get(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: app.example\r\n{more}\r\n")
}
