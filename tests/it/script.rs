//! A raw end of a connection, and an app whose every connection is a script.
//!
//! Nothing here repairs or hides what arrives: a message is its bytes, and whether it ended as it should have.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::find;

/// Nothing in these tests takes this long.
pub const PATIENCE: Duration = Duration::from_secs(10);
pub const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Fails the test when `what` does not happen.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

pub async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// One end of a connection, with what was read but not yet looked at.
#[derive(Debug)]
pub struct Wire {
    pub stream: TcpStream,
    pub held: Vec<u8>,
}

/// A message as it came. The head is text as Latin-1, so that no byte of it is lost.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
    pub trailers: String,
    /// It ended where its own framing says so.
    pub whole: bool,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The request line's or status line's words.
    pub fn word(&self, n: usize) -> &str {
        self.head.lines().next().unwrap_or_default().split(' ').nth(n).unwrap_or_default()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        all(&self.head, name)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn code(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|body| Some(body.get("code")?.as_str()?.to_owned()))
            .unwrap_or_default()
    }
}

fn all<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, held: Vec::new() }
    }

    pub async fn dial(addr: SocketAddr) -> Self {
        Self::new(TcpStream::connect(addr).await.unwrap())
    }

    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        soon("sending", self.stream.write_all(bytes.as_ref())).await
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Reads more. False at the end, or after a reset.
    pub async fn more(&mut self) -> bool {
        let read = soon("reading", self.stream.read_buf(&mut self.held)).await;
        read.is_ok_and(|n| n > 0)
    }

    /// Everything up to and with `mark`; `None` when the connection ends first.
    pub async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.held, mark) {
                return Some(self.held.drain(..at + mark.len()).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next `n` bytes, or fewer when the connection ends first.
    pub async fn take(&mut self, n: usize) -> Vec<u8> {
        while self.held.len() < n && self.more().await {}
        self.held.drain(..n.min(self.held.len())).collect()
    }

    /// A head, to its empty line.
    pub async fn head(&mut self) -> Option<String> {
        Some(self.until(b"\r\n\r\n").await?.into_iter().map(char::from).collect())
    }

    /// The whole next request.
    pub async fn request(&mut self) -> Option<Message> {
        let head = self.head().await?;
        Some(self.body(head, Some(0)).await)
    }

    /// The next answer, be it interim. The default message when the connection ends first.
    pub async fn answer(&mut self) -> Message {
        let Some(head) = self.head().await else { return Message::default() };
        let message = Message { head, ..Message::default() };
        let status = message.status();
        let bodyless = status < 200 || status == 204 || status == 304;
        if bodyless { Message { whole: true, ..message } } else { self.body(message.head, None).await }
    }

    pub async fn answer_to_head(&mut self) -> Message {
        Message { head: self.head().await.expect("an answer"), whole: true, ..Message::default() }
    }

    /// The body that belongs to `head`; `otherwise` is its length where the head says none (else to the end).
    pub async fn body(&mut self, head: String, otherwise: Option<usize>) -> Message {
        let mut message = Message { head, ..Message::default() };
        if message.header("transfer-encoding").is_some() {
            return self.chunks(message).await;
        }
        match message.header("content-length").map(|length| length.parse().unwrap()).or(otherwise) {
            Some(length) => {
                message.body = self.take(length).await;
                message.whole = message.body.len() == length;
            }
            None => {
                while self.more().await {}
                message.body = std::mem::take(&mut self.held);
                message.whole = true;
            }
        }
        message
    }

    async fn chunks(&mut self, mut message: Message) -> Message {
        while let Some(chunk) = self.chunk().await {
            if !chunk.is_empty() {
                message.body.extend_from_slice(&chunk);
                continue;
            }
            while let Some(line) = self.until(b"\r\n").await {
                if line == b"\r\n" {
                    message.whole = true;
                    return message;
                }
                message.trailers.push_str(&String::from_utf8_lossy(&line));
            }
        }
        message
    }

    /// The next chunk's data; empty for the last. `None` when the connection ends first.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = String::from_utf8(self.until(b"\r\n").await?).unwrap();
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap_or_else(|_| panic!("a chunk size: {size:?}"));
        if size == 0 {
            return Some(Vec::new());
        }
        let mut chunk = self.take(size + 2).await;
        if chunk.len() < size + 2 {
            return None;
        }
        chunk.truncate(size);
        Some(chunk)
    }

    /// The other side closes without another byte.
    pub async fn assert_ends(&mut self, why: &str) {
        let more = soon(why, self.more()).await;
        assert!(!more && self.held.is_empty(), "{why}: {:?}", String::from_utf8_lossy(&self.held));
    }

    /// Nothing comes, and the connection stays, for a moment.
    pub async fn assert_quiet(&mut self, milliseconds: u64, why: &str) {
        let more = tokio::time::timeout(Duration::from_millis(milliseconds), self.more()).await;
        assert!(more.is_err(), "{why}: {:?} {:?}", more, String::from_utf8_lossy(&self.held));
    }
}

/// An app that does on each connection what it is told.
#[derive(Debug)]
pub struct Scripted {
    pub addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Scripted {
    /// `serve` gets the connection's number, from 0.
    pub async fn start<F>(serve: impl Fn(usize, Wire) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::at("127.0.0.1:0".parse().unwrap(), serve).await
    }

    pub async fn at<F>(addr: SocketAddr, serve: impl Fn(usize, Wire) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(count.fetch_add(1, Ordering::SeqCst), Wire::new(stream)));
            }
        });
        Self { addr, connections, accepting }
    }

    /// Every request of every connection gets `answer`.
    pub async fn answering(answer: impl AsRef<[u8]>) -> Self {
        let answer: Arc<[u8]> = answer.as_ref().into();
        Self::start(move |_, mut wire| {
            let answer = Arc::clone(&answer);
            async move {
                while wire.request().await.is_some() {
                    if wire.try_send(&answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Accepts no more.
    pub async fn close(self) -> SocketAddr {
        self.accepting.abort();
        let _ = self.accepting.await;
        self.addr
    }
}

/// The real program, killed when dropped.
pub struct Program {
    pub child: Child,
    pub addr: SocketAddr,
    pub health: SocketAddr,
    pub config: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Program {
    /// Starts it, and waits until it says that it is ready.
    pub fn start(upstream: SocketAddr, more: &str) -> Self {
        use std::io::BufRead;
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("hookward.toml");
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{upstream}\"\n[admin]\nhealth = \"127.0.0.1:0\"\n\
             [routes.clerk]\npath = \"{}\"\nprovider = \"clerk\"\n{more}",
            crate::harness::PATH
        );
        std::fs::write(&config, toml).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookward"))
            .args(["run", "--log", "json", "--config"])
            .arg(&config)
            .env("CLERK_WEBHOOK_SIGNING_SECRET", crate::harness::SECRET)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut ports = None;
        for line in lines.by_ref() {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            let fields = line.get("fields").unwrap_or(&line);
            if let (Some(listen), Some(health)) = (fields.get("listen"), fields.get("health")) {
                ports = Some((listen.as_str().unwrap().parse().unwrap(), health.as_str().unwrap().parse().unwrap()));
                break;
            }
        }
        // Nobody may find the pipe full.
        std::thread::spawn(move || lines.for_each(drop));
        let (addr, health) = ports.expect("a line that says where it listens");
        Self { child, addr, health, config, _directory: directory }
    }

    /// A memory figure of `/proc/PID/status`, in KiB.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Its exit code, waited for.
    pub async fn exit(&mut self) -> Option<i32> {
        soon("the program's end", async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.code();
                }
                pause(5).await;
            }
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
