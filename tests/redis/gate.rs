//! The program itself, an app behind it and senders before it: what the store's promises come to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::Server;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const BODY: &str = r#"{"data":{"id":"user_of_the_test"},"object":"event","type":"user.created"}"#;
const PATH: &str = "/api/webhooks/clerk";
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `done`.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A configuration with one route; what `replay` and `route` say is added to theirs.
pub fn toml(app: &App, store: &str, replay: &str, route: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\n[admin]\nhealth = \"127.0.0.1:0\"\n\
         [replay]\nstore = \"{store}\"\n{replay}\n[routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n{route}\n",
        app.addr
    )
}

pub fn url(server: &Server) -> String {
    let scheme = if server.is_tls() { "rediss" } else { "redis" };
    format!("{scheme}://127.0.0.1:{}", server.port)
}

/// One hookward process, killed when dropped.
pub struct Gate {
    pub addr: SocketAddr,
    health: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
    config: PathBuf,
    _dir: TempDir,
}

impl Gate {
    pub async fn start(toml: &str, environment: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let config = dir.path().join("hookward.toml");
        std::fs::write(&config, toml).unwrap();
        let mut command = hookward(&["run", "--log", "json"], &config);
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), &log);
        collect(child.stderr.take().unwrap(), &log);
        let mut ready = serde_json::Value::Null;
        eventually("it does not start", || {
            let text = log.lock().unwrap().clone();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            assert!(child.try_wait().unwrap().is_none(), "it ended: {text}");
            ready = lines.into_iter().find(|line| line["message"] == "ready").unwrap_or_default();
            !ready.is_null()
        })
        .await;
        let address = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        Self { addr: address("listen"), health: address("health"), child, log, config, _dir: dir }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let (name, process) = (format!("-{name}"), self.child.id().to_string());
        assert!(Command::new("kill").args([name, process]).status().unwrap().success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Another configuration, and SIGHUP.
    pub fn reload(&self, toml: &str) {
        std::fs::write(&self.config, toml).unwrap();
        self.signal("HUP");
    }

    /// Everything it has written, the access log too.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has logged that.
    pub async fn logged(&self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < until, "not logged: {words}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// One delivery on a connection of its own.
    pub async fn deliver(&self, delivery: &Delivery) -> Answer {
        Client::new(self.addr).send(&delivery.bytes()).await
    }

    /// The same, while the test goes on.
    pub fn sends(&self, delivery: &Delivery) -> JoinHandle<Answer> {
        let (addr, bytes) = (self.addr, delivery.bytes());
        tokio::spawn(async move { Client::new(addr).send(&bytes).await })
    }

    pub async fn page(&self) -> Answer {
        Client::new(self.addr).send(b"GET /page HTTP/1.1\r\nhost: app.example\r\n\r\n").await
    }

    pub async fn ready(&self) -> u16 {
        Client::new(self.health).send(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.status
    }

    /// `hookward forget`: whether it did, and what it said.
    pub fn forget(&self, id: &str) -> (bool, String) {
        let output = hookward(&["forget", "--route", "clerk", "--id", id], &self.config).output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.kill();
    }
}

fn hookward(arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command.args(arguments).arg("--config").arg(config).env_clear().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    command
}

fn collect(output: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            log.lock().unwrap().push_str(&(line + "\n"));
        }
    });
}

/// A genuine delivery, signed as Svix does, and orders for the app that nobody signs.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: String,
    orders: String,
}

impl Delivery {
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), orders: String::new() }
    }

    /// The app takes its time.
    pub fn slow(mut self, time: Duration) -> Self {
        self.orders.push_str(&format!("x-delay: {}\r\n", time.as_millis()));
        self
    }

    /// The app works until [`App::let_go`].
    pub fn held(mut self) -> Self {
        self.orders.push_str("x-hold: 1\r\n");
        self
    }

    /// The app fails the first time.
    pub fn failing_first(mut self) -> Self {
        self.orders.push_str("x-fail-first: 1\r\n");
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let key = BASE64.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{now}.{BODY}", self.id).as_bytes());
        let signature = BASE64.encode(mac.finalize().into_bytes());
        format!(
            "POST {PATH} HTTP/1.1\r\nhost: app.example\r\nsvix-id: {}\r\nsvix-timestamp: {now}\r\n\
             svix-signature: v1,{signature}\r\n{}content-length: {}\r\n\r\n{BODY}",
            self.id,
            self.orders,
            BODY.len()
        )
        .into_bytes()
    }
}

/// A sender that keeps its connection.
pub struct Client {
    addr: SocketAddr,
    stream: Option<TcpStream>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Client {
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, stream: None }
    }

    /// Status 0: no answer.
    pub async fn send(&mut self, bytes: &[u8]) -> Answer {
        tokio::time::timeout(PATIENCE, self.exchange(bytes)).await.expect("an answer in time").unwrap_or_else(|error| {
            self.stream = None;
            Answer { status: 0, head: error.to_string(), body: String::new() }
        })
    }

    /// Does not wait for the answer.
    pub async fn post(&mut self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        self.stream = Some(stream);
    }

    /// Leaves as one that has crashed: at once, and with a reset.
    pub fn reset(mut self) {
        self.stream.take().unwrap().set_zero_linger().unwrap();
    }

    async fn exchange(&mut self, bytes: &[u8]) -> std::io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.addr).await?,
        };
        stream.write_all(bytes).await?;
        let mut got = Vec::new();
        let (head, length) = loop {
            if stream.read_buf(&mut got).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(got.drain(..end + 4).collect()).unwrap().to_ascii_lowercase();
                let length = head.split_once("\r\ncontent-length: ").expect("every answer here has a length").1;
                let length: usize = length.split_once("\r\n").unwrap().0.parse().unwrap();
                break (head, length);
            }
        };
        while got.len() < length {
            if stream.read_buf(&mut got).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        if !head.contains("\r\nconnection: close") {
            self.stream = Some(stream);
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Answer { status, head, body: String::from_utf8(got).unwrap() })
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn is_of_app(&self) -> bool {
        self.head.contains("\r\nx-app: 1\r\n")
    }

    #[track_caller]
    pub fn assert_ran(&self) {
        assert!(self.status == 200 && self.is_of_app(), "{self:?}");
    }

    #[track_caller]
    pub fn assert_duplicate(&self) {
        assert_eq!((self.status, self.body.as_str()), (200, r#"{"code":"duplicate"}"#), "{self:?}");
    }

    #[track_caller]
    pub fn assert_refused(&self, status: u16, code: &str) {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert!(self.head.contains("\r\nretry-after: "), "{self:?}");
    }
}

/// What the app knows of one delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    pub begun: u32,
    pub running: u32,
    pub succeeded: u32,
    /// Begun while another one was running.
    pub overlapping: u32,
    /// Begun after one that had succeeded.
    pub late: u32,
}

/// An app whose runs go on when their sender leaves, as those of Next do.
#[derive(Clone)]
pub struct App {
    pub addr: SocketAddr,
    runs: Arc<Mutex<HashMap<String, Runs>>>,
    hold: Arc<watch::Sender<bool>>,
}

impl App {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app =
            Self { addr: listener.local_addr().unwrap(), runs: Arc::default(), hold: Arc::new(watch::channel(true).0) };
        let serving = app.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let app = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| app.clone().serve(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        app
    }

    async fn serve(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        body.collect().await?;
        let Some(id) = head.headers.get("svix-id") else { return Ok(answer(200, "page")) };
        let id = String::from_utf8(id.as_bytes().to_vec()).unwrap();
        Ok(tokio::spawn(self.work(id, head.headers)).await.unwrap())
    }

    async fn work(self, id: String, orders: HeaderMap) -> Response<Full<Bytes>> {
        let begun = self.count(&id, |runs| {
            runs.overlapping += u32::from(runs.running > 0);
            runs.late += u32::from(runs.succeeded > 0);
            runs.begun += 1;
            runs.running += 1;
        });
        if let Some(delay) = orders.get("x-delay") {
            tokio::time::sleep(Duration::from_millis(delay.to_str().unwrap().parse().unwrap())).await;
        }
        if orders.contains_key("x-hold") {
            self.hold.subscribe().wait_for(|held| !held).await.unwrap();
        }
        let succeeds = begun.begun > 1 || !orders.contains_key("x-fail-first");
        self.count(&id, |runs| {
            runs.running -= 1;
            runs.succeeded += u32::from(succeeds);
        });
        if succeeds { answer(200, "ran") } else { answer(500, "failed") }
    }

    fn count(&self, id: &str, change: impl FnOnce(&mut Runs)) -> Runs {
        let mut all = self.runs.lock().unwrap();
        let runs = all.entry(id.to_owned()).or_default();
        change(runs);
        *runs
    }

    pub fn runs(&self, id: &str) -> Runs {
        self.runs.lock().unwrap().get(id).copied().unwrap_or_default()
    }

    pub fn all(&self) -> HashMap<String, Runs> {
        self.runs.lock().unwrap().clone()
    }

    /// Those that are held end now, and none is held from here on.
    pub fn let_go(&self) {
        self.hold.send_replace(false);
    }

    /// Waits until so many runs of it have begun.
    pub async fn begun(&self, id: &str, count: u32) {
        eventually("it does not run", || self.runs(id).begun >= count).await;
    }
}

fn answer(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    Response::builder().status(status).header("x-app", "1").body(Full::from(body)).unwrap()
}

/// The values of all keys, each of which is a hash in the namespace, ends one day, and has a state and nothing more.
pub fn only_states(server: &Server, namespace: &str) -> Vec<String> {
    let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let keys = server.list(&["KEYS", "*"]);
    let Some(some) = keys.first() else { return Vec::new() };
    assert_ne!(server.text(&["PTTL", some]), "-1", "{some} never ends");
    let words: Vec<&str> = ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    let states = server.list(&words);
    for (key, state) in keys.iter().zip(&states) {
        assert!(key.strip_prefix(namespace).and_then(|rest| rest.strip_prefix(':')).is_some_and(is_hex), "{key}");
        assert!(state == "c" || state.strip_prefix('r').is_some_and(is_hex), "{key}: {state}");
    }
    states
}
