//! An app whose runs are told apart, and senders that ask for them.
//!
//! A run is what begins when the app has read a request and ends when it answers. It goes on when the connection closes, as
//! a Next.js handler does. What it comes to is said by the request itself, in `x-do`: `delay=MS`, `status=N`, `size=BYTES`
//! (of the answer's body), `pause=MS` (in the middle of that body), `break` (there it ends), `close` (no answer), `hang`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::harness::*;
use crate::script::*;
use crate::sender::{Sent, svix_family};

/// One run.
#[derive(Debug, Clone)]
pub struct Run {
    pub request: Message,
    pub began: Instant,
    /// When, and the answer's status; 0 where there was none.
    pub ended: Option<(Instant, u16)>,
}

impl Run {
    pub fn id(&self) -> &str {
        self.request.header("svix-id").unwrap_or_default()
    }

    pub fn is_committed(&self) -> bool {
        self.ended.is_some_and(|(_, status)| (200..300).contains(&status))
    }
}

#[derive(Debug, Clone)]
pub struct Worker {
    pub addr: SocketAddr,
    runs: Arc<Mutex<Vec<Run>>>,
}

impl Worker {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(addr: SocketAddr) -> Self {
        let runs = Arc::<Mutex<Vec<Run>>>::default();
        let shared = Arc::clone(&runs);
        let addr = Scripted::at(addr, move |_, wire| serve(Arc::clone(&shared), wire)).await.addr;
        Self { addr, runs }
    }

    pub fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }

    pub fn begun(&self) -> usize {
        self.runs.lock().unwrap().len()
    }

    /// Exactly so many have begun, and a moment later still.
    #[track_caller]
    pub fn assert_begun(&self, count: usize) {
        assert_eq!(self.begun(), count, "{:?}", self.runs().iter().map(|run| run.ended).collect::<Vec<_>>());
    }

    pub async fn wait_begun(&self, count: usize) {
        soon(&format!("{count} runs begin"), async {
            while self.begun() < count {
                pause(2).await;
            }
        })
        .await;
    }

    pub async fn wait_ended(&self, count: usize) {
        soon(&format!("{count} runs end"), async {
            while self.runs.lock().unwrap().iter().filter(|run| run.ended.is_some()).count() < count {
                pause(2).await;
            }
        })
        .await;
    }
}

async fn serve(runs: Arc<Mutex<Vec<Run>>>, mut wire: Wire) {
    while let Some(request) = wire.request().await {
        let wanted = request.header("x-do").unwrap_or_default().to_owned();
        let number = |key: &str| {
            let word = wanted.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            word.map(|number| number.parse::<u64>().unwrap())
        };
        let has = |key: &str| wanted.split(' ').any(|word| word == key);
        let index = {
            let mut runs = runs.lock().unwrap();
            runs.push(Run { request, began: Instant::now(), ended: None });
            runs.len() - 1
        };
        if let Some(delay) = number("delay") {
            pause(delay).await;
        }
        if has("hang") {
            return std::future::pending().await;
        }
        let status = u16::try_from(number("status").unwrap_or(200)).unwrap();
        // Before the answer is out, or whoever it lets through would seem to run at the same time.
        runs.lock().unwrap()[index].ended = Some((Instant::now(), if has("close") { 0 } else { status }));
        if has("close") {
            return;
        }
        let mut body = format!("run {index} ");
        let size = number("size").map_or(body.len(), |size| usize::try_from(size).unwrap());
        body.extend(std::iter::repeat_n('.', size.saturating_sub(body.len())));
        let head = format!(
            "HTTP/1.1 {status} So\r\ncontent-type: text/run\r\nx-run: {index}\r\nset-cookie: a=b\r\nwebhook-delivery: stop\r\n\
             retry-after: 77\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let (first, rest) = body.split_at(body.len() / 2);
        if wire.try_send([head.as_bytes(), first.as_bytes()].concat()).await.is_err() {
            return;
        }
        if let Some(delay) = number("pause") {
            pause(delay).await;
        }
        if has("break") || wire.try_send(rest).await.is_err() {
            return;
        }
    }
}

/// A genuine delivery with this id, after which the app does as it is told.
pub fn asking(id: &str, wanted: &str) -> Sent {
    let signed = svix_family("svix", SECRET, id, &now().to_string(), BODY.as_bytes());
    Sent::post(PATH, BODY).signed(signed).with("x-do", wanted)
}

/// Sends it on a connection of its own; the answer, and whether it came whole.
pub async fn ask(addr: SocketAddr, sent: &Sent) -> Message {
    let mut wire = Wire::dial(addr).await;
    wire.send(sent.bytes()).await;
    wire.answer().await
}

/// The same, at once.
pub fn asked(addr: SocketAddr, sent: &Sent) -> tokio::task::JoinHandle<Message> {
    let sent = sent.clone();
    tokio::spawn(async move { ask(addr, &sent).await })
}

/// The same, but for at most so long: then its sender is gone, with a reset that says so.
pub async fn ask_briefly(addr: SocketAddr, sent: &Sent, patience: Duration) -> Option<Message> {
    let mut wire = Wire::dial(addr).await;
    wire.send(sent.bytes()).await;
    let answer = tokio::time::timeout(patience, wire.answer()).await.ok();
    wire.stream.set_zero_linger().unwrap();
    answer
}

/// Sends it, and hangs up once `until` is true.
pub async fn hang_up(addr: SocketAddr, sent: &Sent, until: impl Future<Output = ()>) {
    let mut wire = Wire::dial(addr).await;
    wire.send(sent.bytes()).await;
    until.await;
    // An end alone might be a sender that has said all it has to say.
    wire.stream.set_zero_linger().unwrap();
}

/// The line of `/metrics` that begins with `name`, labels and all; asked for again, as a scraper does, while others are being
/// answered.
pub async fn metric(health: SocketAddr, name: &str) -> f64 {
    let mut tries = 0;
    let text = loop {
        let mut wire = Wire::dial(health).await;
        wire.send(get("/metrics", "connection: close\r\n")).await;
        let answer = wire.answer().await;
        if answer.status() != 503 || tries == 100 {
            break answer.text();
        }
        tries += 1;
        pause(50).await;
    };
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

pub type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

pub async fn http2(addr: SocketAddr) -> Http2 {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Sends it as a stream; the answer's status and body. Dropped, the stream is reset.
pub fn ask_http2(sender: &Http2, sent: &Sent) -> impl Future<Output = (u16, String)> + Send + use<> {
    let target = String::from_utf8(sent.target.clone()).unwrap();
    let mut request = http::Request::builder().method(sent.method.as_str()).uri(format!("http://app.example{target}"));
    for (name, value) in sent.headers.iter().filter(|(name, _)| name != "host") {
        request = request.header(name, value.as_slice());
    }
    let request = request.body(Full::new(Bytes::from(sent.body.clone()))).unwrap();
    let mut sender = sender.clone();
    async move {
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        // One that breaks off has what came.
        let mut body = answer.into_body();
        let mut text = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            text.extend(frame.into_data().unwrap_or_default());
        }
        (status, String::from_utf8(text).unwrap())
    }
}
