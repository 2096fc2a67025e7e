//! The inspector: a small page, and the JSON that it is made of, for whoever asks whether a webhook arrived and why it was
//! refused.
//!
//! On a listener of its own, for this machine alone unless the operator says otherwise, and only to be read. Must never serve
//! a body, a signature or a secret; must never change anything; must never make the gate wait.

mod answer;
mod describe;
mod guard;
mod live_events;
mod patient;
mod senders;
mod words;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::answer::{Body, Content, answer, refuse};
use self::patient::Patient;
use self::senders::Senders;
use crate::admin::{LONGEST_HEAD, MOST_HEADERS};
use crate::clock;
use crate::ip_lists::IpLists;
use crate::live::Live;
use crate::plan::{Listener, Plan};
use crate::telemetry::recent::Recent;

/// A browser has sent its head by then; and longer than this it need not keep a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Whoever takes no byte for this long has left.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that the kernel keeps for a reader: what is in it counts as taken, so it is small.
pub(crate) const SEND_BUFFER: u32 = 16 * 1024;
/// Open connections: a browser has up to six for each page.
const CONNECTIONS: usize = 64;
/// Who may listen to what happens, at once.
const LISTENERS: usize = 16;
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 21\r\n\r\ntoo many connections\n";

const PAGE: &str = include_str!("inspector/page/index.html");
const STYLE: &str = include_str!("inspector/page/style.css");
const SCRIPT: &str = include_str!("inspector/page/app.js");

/// What is shown, and to whom.
#[derive(Debug)]
pub(crate) struct Inspector {
    live: Arc<Live>,
    lists: Arc<IpLists>,
    recent: Arc<Recent>,
    /// Names this process, so that numbers of an earlier one are not taken for its own: when it began, in unix milliseconds.
    run: u64,
    /// Any address may be asked for, not only that of this machine.
    public: bool,
    /// Where a test event can be sent.
    doors: Vec<Box<str>>,
    senders: Senders,
    listeners: Arc<Semaphore>,
}

impl Inspector {
    /// `bound` are the addresses of the plan's listeners.
    pub(crate) fn new(live: Arc<Live>, lists: Arc<IpLists>, recent: Arc<Recent>, bound: &[SocketAddr]) -> Self {
        let plan = live.plan();
        let public = plan.inspector.is_some_and(|address| !address.ip().to_canonical().is_loopback());
        let follower = Arc::clone(&recent);
        live.follow(move |plan| follower.expect(plan));
        Self {
            lists,
            recent,
            run: clock::unix_now_millis(),
            public,
            doors: doors(&plan, bound),
            senders: Senders::default(),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
            live,
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        if let Err(refusal) = guard::judge(request, self.public) {
            return refuse(refusal.status(), refusal.why());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return answer::only_get();
        }
        if !request.body().is_end_stream() {
            return refuse(StatusCode::BAD_REQUEST, "a request without a body, please\n");
        }
        let uri = request.uri();
        let whole = |content, text: String| answer(content, text);
        match (uri.path(), uri.query()) {
            ("/", _) => whole(Content::Html, PAGE.to_owned()),
            ("/style.css", None) => whole(Content::Css, STYLE.to_owned()),
            ("/app.js", None) => whole(Content::JavaScript, SCRIPT.to_owned()),
            ("/api/words", None) => whole(Content::Json, words::json().to_string()),
            ("/api/status", None) => whole(Content::Json, self.status().to_string()),
            ("/api/decisions", query) => match after(query) {
                Some(after) => whole(Content::Json, describe::decisions(self.run, &self.recent, after).to_string()),
                None => refuse(StatusCode::BAD_REQUEST, "after=NUMBER, or nothing\n"),
            },
            ("/api/events", None) => self.events(request),
            _ => refuse(StatusCode::NOT_FOUND, "not found: the page is at /\n"),
        }
    }

    fn status(&self) -> serde_json::Value {
        let plan = self.live.plan();
        let lists = self.lists.status(&self.live);
        let shown = describe::Shown { plan: &plan, history: self.live.history(), doors: &self.doors, run: self.run };
        describe::status(&shown, &lists, &self.recent, &self.senders)
    }

    fn events(&self, request: &Request<Incoming>) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.listeners).try_acquire_owned() else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many are listening\n");
        };
        let after = live_events::resume_after(request.headers(), self.run);
        if request.method() == Method::HEAD {
            return answer(Content::EventStream, String::new());
        }
        answer::stream(live_events::start(Arc::clone(&self.recent), self.run, after, place))
    }
}

/// Answers for ever. Its connections end with it.
pub(crate) async fn serve(listener: TcpListener, inspector: Arc<Inspector>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS => {
                    connections.spawn(connection(stream, Arc::clone(&inspector)));
                }
                Ok((stream, _)) => {
                    // A courtesy: if it does not fit into the socket's buffer, the close says as much.
                    let _ = stream.try_write(FULL);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(stream: TcpStream, inspector: Arc<Inspector>) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = inspector.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS);
    // A reader that breaks off has nobody to tell.
    let _ = builder.serve_connection(TokioIo::new(Patient::new(stream, WRITE_TIMEOUT)), service).await;
}

/// `None`: not a query that this understands.
fn after(query: Option<&str>) -> Option<u64> {
    let Some(query) = query else { return Some(0) };
    let digits = query.strip_prefix("after=")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The addresses that somebody on this machine can send to, as one would type them.
fn doors(plan: &Plan, bound: &[SocketAddr]) -> Vec<Box<str>> {
    // A balancer's PROXY header is nothing that one types.
    let open = |(_, listener): &(&SocketAddr, &Arc<Listener>)| listener.proxies.is_none();
    let door = |(bound, listener): (&SocketAddr, &Arc<Listener>)| {
        let (scheme, port) = (if listener.tls.is_some() { "https" } else { "http" }, bound.port());
        if bound.ip().is_unspecified() || listener.tls.is_some() {
            format!("{scheme}://localhost:{port}").into()
        } else {
            format!("{scheme}://{bound}").into()
        }
    };
    bound.iter().zip(&plan.listeners).filter(open).map(door).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_number_says_after_what() {
        assert_eq!(after(None), Some(0));
        assert_eq!(after(Some("after=0")), Some(0));
        assert_eq!(after(Some("after=18446744073709551615")), Some(u64::MAX));
        for odd in
            ["", "after", "after=", "after=+1", "after=-1", "after=18446744073709551616", "before=1", "after=1&x=2"]
        {
            assert_eq!(after(Some(odd)), None, "{odd}");
        }
    }

    #[test]
    fn a_full_house_is_told_with_its_length() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
    }
}
