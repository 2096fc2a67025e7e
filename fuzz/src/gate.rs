//! Two whole gates in this process, an app behind them that writes down what reaches it, and what may never reach it.
//!
//! The gates are the real server on the loopback. Their clients know no secret; an input may hold marks of the same length as
//! the signature that stands for them (`{clerk…}`), each over one body and the time of now, so that what is next to genuine
//! is tried too.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::config;
use hookward::plan::LogFormat;
use hookward::server::Server;
use hookward::telemetry::{AccessLog, Output};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::config::Written;
use crate::http1::{self, End, Request};
use crate::paths::{Rule, Verdict};

/// The only body that anybody signed, and its id.
pub const BODY: &str = r#"{"type":"user.created","data":{"id":"u1"}}"#;
const ID: &str = "msg_fuzz";
const SVIX_SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const GITHUB_SECRET: &str = "github-fuzz-secret-7yq";
const STRIPE_SECRET: &str = "whsec_stripe-fuzz-secret-x2";
/// How long a gate may take to end a connection whose client has ended it.
const PATIENCE: Duration = Duration::from_secs(8);
/// Turns of the runtime in which nothing comes, until nothing is expected to.
const TURNS: u32 = 40;

/// Routes of both gates, in the order of [`Rule::routes`]: provider and what proves it.
const PROVIDERS: [(&str, &str); 3] =
    [("clerk", "svix-signature"), ("github", "x-hub-signature-256"), ("stripe", "stripe-signature")];
const ROUTES: &[&str] = &["/api/webhooks/clerk", "/api/hooks/*", "/api/stripe"];
const RULES: [Rule; 2] = [
    Rule { nextjs: true, base: "", assets: "", locales: &["en"], aliases: &["/legacy-hook"], routes: ROUTES },
    Rule { nextjs: false, base: "", assets: "", locales: &[], aliases: &["/legacy-hook"], routes: ROUTES },
];

/// One of the two gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// For a Next.js app, and nobody is believed who the client is.
    NextJs,
    /// For any other app, behind a proxy that is believed.
    Behind,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

struct World {
    runtime: Runtime,
    gates: [SocketAddr; 2],
    seen: Arc<Mutex<Seen>>,
}

/// What the app has seen.
#[derive(Debug, Default)]
struct Seen {
    requests: Vec<Request>,
    broken: Option<(&'static str, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        // A panic in a task would be kept from us.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            usual(panic);
            std::process::abort();
        }));
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let gates = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let app = listener.local_addr().expect("its port");
            tokio::spawn(serve_app(listener, Arc::clone(&seen)));
            [start(app, Which::NextJs).await, start(app, Which::Behind).await]
        });
        Self { runtime, gates, seen }
    }
}

async fn start(app: SocketAddr, which: Which) -> SocketAddr {
    let app_of = match which {
        Which::NextJs => "locales = [\"en\"]",
        Which::Behind => "framework = \"none\"\n[client_ip]\ntrusted_proxies = [\"127.0.0.1\"]",
    };
    let text = format!(
        r#"
# env CLERK=whsec_{SVIX_SECRET}
# env GITHUB={GITHUB_SECRET}
# env STRIPE={STRIPE_SECRET}
[server]
listen = "127.0.0.1:0"
upstream = "http://{app}"
[app]
aliases = ["/legacy-hook"]
{app_of}
[routes.clerk]
path = "{}"
provider = "clerk"
secrets = [{{ env = "CLERK" }}]
replay = "off"
[routes.github]
path = "{}"
provider = "github"
secrets = [{{ env = "GITHUB" }}]
[routes.stripe]
path = "{}"
provider = "stripe"
secrets = [{{ env = "STRIPE" }}]
replay = "off"
"#,
        ROUTES[0], ROUTES[1], ROUTES[2]
    );
    let loaded = config::compile(&text, Path::new("fuzz.toml"), &Written::new(&text)).unwrap_or_else(|report| {
        panic!("{report}");
    });
    let (output, writer) = Output::start(std::io::sink()).expect("a thread");
    // Written as long as this process lives.
    std::mem::forget(writer);
    let access = AccessLog::new(output, LogFormat::Json);
    let server = Server::bind(Arc::new(loaded.plan), access, 1).await.expect("a port");
    let address = server.local_addr().expect("its port");
    tokio::spawn(server.run(std::future::pending()));
    address
}

async fn serve_app(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(answer(stream, Arc::clone(&seen)));
    }
}

/// An app's side of one connection. What is cut off is seen as well.
async fn answer(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let _ = stream.set_nodelay(true);
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await.unwrap_or(0);
        loop {
            let found = http1::request(&bytes);
            match found {
                Ok((request, taken)) if request.complete => {
                    bytes.drain(..taken);
                    let (answer, last) = response(&request);
                    seen.lock().expect("no panic").requests.push(request);
                    if stream.write_all(&answer).await.is_err() || last {
                        return;
                    }
                    continue;
                }
                Ok((request, _)) if read == 0 => seen.lock().expect("no panic").requests.push(request),
                Err(End::Broken(what)) => {
                    seen.lock().expect("no panic").broken = Some((what, bytes));
                    return;
                }
                Ok(_) | Err(End::Short) => {}
            }
            break;
        }
        if read == 0 {
            return;
        }
    }
}

fn response(request: &Request) -> (Vec<u8>, bool) {
    let says = |word: &[u8]| request.target.windows(word.len()).any(|window| window == word);
    let head = request.method == b"HEAD";
    let (text, last) = if says(b"chunked") && !head {
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false)
    } else if says(b"close") {
        ("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", true)
    } else if says(b"early") {
        ("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", false)
    } else if head {
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", false)
    } else {
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false)
    };
    (text.into(), last || request.last)
}

/// Sends these pieces as one connection's bytes, and gives back what the app saw of it.
///
/// # Panics
/// When the app saw anything that it may not see.
pub fn send(which: Which, pieces: &[&[u8]]) -> Vec<Request> {
    let Seen { requests, broken } = WORLD.with_borrow(|world| {
        let address = world.gates[usize::from(which == Which::Behind)];
        world.runtime.block_on(async {
            // What an earlier connection left behind is not this one's.
            settle(|| false).await;
            *world.seen.lock().expect("no panic") = Seen::default();
            tokio::time::timeout(PATIENCE, connection(address, pieces))
                .await
                .expect("a connection goes on though its client has ended it");
            let seen = || world.seen.lock().expect("no panic").requests.len();
            let mut before = seen();
            settle(|| std::mem::replace(&mut before, seen()) != before).await;
        });
        std::mem::take(&mut *world.seen.lock().expect("no panic"))
    });
    if let Some((what, bytes)) = broken {
        panic!("what is written to the app is no HTTP ({what}): {:?}", String::from_utf8_lossy(&bytes));
    }
    for request in &requests {
        judge(which, request);
    }
    requests
}

async fn connection(address: SocketAddr, pieces: &[&[u8]]) {
    let mut stream = TcpStream::connect(address).await.expect("the gate is there");
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; 16 * 1024];
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        settle(|| matches!(stream.try_read(&mut buffer), Ok(1..))).await;
    }
    let _ = stream.shutdown().await;
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

/// Lets everything run that can, until nothing came for a while.
async fn settle(mut came: impl FnMut() -> bool) {
    let mut quiet = 0;
    while quiet < TURNS {
        yield_now().await;
        quiet = if came() { 0 } else { quiet + 1 };
    }
}

/// The properties that hold for every request that an app sees, whatever was sent.
fn judge(which: Which, request: &Request) {
    let rule = &RULES[usize::from(which == Which::Behind)];
    let verdict = rule.classify(&request.method, &request.target);
    let proofs: Vec<&[u8]> = request.all("verified-event").collect();
    for (name, _) in &request.headers {
        let plain = name.replace('_', "-");
        let ours = name == "verified-event" && matches!(verdict, Verdict::Route(_));
        let reserved = plain == "verified-event" || plain.starts_with("verified-event-");
        assert!(ours || !reserved, "a proof that is not ours: {request:?}");
        assert!(which == Which::Behind || !plain.starts_with("x-middleware-subrequest"), "{request:?}");
        assert!(
            !["keep-alive", "proxy-connection"].contains(&&*plain),
            "what ended with the client's hop: {request:?}"
        );
    }
    for (name, _) in &request.trailers {
        let plain = name.replace('_', "-");
        let told_by_the_head =
            ["verified-event", "x-forwarded-", "forwarded", "x-real-ip", "host", "content-", "transfer-"];
        assert!(!told_by_the_head.iter().any(|start| plain.starts_with(start)), "a trailer that is none: {request:?}");
    }
    let clients: Vec<&[u8]> = request.all("x-forwarded-for").collect();
    match which {
        Which::NextJs => assert_eq!(clients, [b"127.0.0.1"], "a client that nobody vouches for: {request:?}"),
        Which::Behind => assert!(
            clients.last().is_some_and(|last| last.ends_with(b"127.0.0.1")),
            "the peer is not among those who forwarded it: {request:?}"
        ),
    }
    let Verdict::Route(route) = verdict else {
        assert_eq!(verdict, Verdict::Pass, "a target that may not reach the app: {request:?}");
        return;
    };
    let (provider, header) = PROVIDERS[route];
    let [proof] = proofs[..] else { panic!("without one proof: {request:?}") };
    let proof = String::from_utf8_lossy(proof);
    assert!(proof.contains(&format!("provider=\"{provider}\"")), "another's proof: {request:?}");
    assert!(request.complete && request.body == BODY.as_bytes(), "a body that nobody signed: {request:?}");
    assert_eq!(request.method, b"POST", "{request:?}");
    let [signature] = request.all(header).collect::<Vec<_>>()[..] else { panic!("without its signature: {request:?}") };
    let now = now();
    let signed = |now: u64| match provider {
        "clerk" => request.all("svix-id").eq([ID.as_bytes()]) && contains(signature, clerk(now).as_bytes()),
        "github" => contains(signature, github().as_bytes()),
        _ => contains(signature, stripe(now).rsplit_once("v1=").map_or("", |(_, mac)| mac).as_bytes()),
    };
    assert!((now - 300..=now).any(signed), "a signature that nobody made: {request:?}");
}

/// With signatures in place of their marks, which are as long, and whether there were any.
pub fn signed(bytes: &[u8]) -> (Vec<u8>, bool) {
    let now = now();
    let marks = [("now", now.to_string()), ("clerk", clerk(now)), ("github", github()), ("stripe", stripe(now))];
    let (mut bytes, mut any) = (bytes.to_vec(), false);
    for (name, value) in marks {
        let mark = format!("{{{name:.<width$}}}", width = value.len() - 2);
        while let Some(at) = find(&bytes, mark.as_bytes()) {
            bytes[at..at + value.len()].copy_from_slice(value.as_bytes());
            any = true;
        }
    }
    (bytes, any)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    find(bytes, part).is_some()
}

#[allow(clippy::disallowed_methods, reason = "the sender has a clock of its own")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn clerk(now: u64) -> String {
    let base64 = base64::engine::general_purpose::STANDARD;
    let key = base64.decode(SVIX_SECRET).expect("base64");
    let tag = mac(&key, &[ID.as_bytes(), b".", now.to_string().as_bytes(), b".", BODY.as_bytes()]);
    format!("v1,{}", base64.encode(tag))
}

fn github() -> String {
    format!("sha256={}", hex(&mac(GITHUB_SECRET.as_bytes(), &[BODY.as_bytes()])))
}

fn stripe(now: u64) -> String {
    let tag = mac(STRIPE_SECRET.as_bytes(), &[now.to_string().as_bytes(), b".", BODY.as_bytes()]);
    format!("t={now},v1={}", hex(&tag))
}
