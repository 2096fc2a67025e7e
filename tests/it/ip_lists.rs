//! Named lists over the wire: a real server of lists before the gate, a real app behind it.

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookward::config::{self, Environment};
use hookward::ip_lists::{IpLists, WithLists};
use hookward::plan::{ListSource, Plan};
use hookward::server::Server;
use hookward::telemetry::AccessLog;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::harness::*;
use crate::sender::assert_refusal;

/// So that a test need not wait for the ten seconds that a configuration may ask for.
const REFRESH: Duration = Duration::from_millis(60);
const FOUR: &str = r#"["203.0.113.1", "203.0.113.2", "203.0.113.3", "2001:db8::/56"]"#;

fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// What the server of lists answers.
#[derive(Debug, Clone)]
enum Reply {
    /// 200, or 304 to whoever names the tag.
    Document(String, &'static str),
    /// These bytes.
    Raw(Vec<u8>),
    Nothing,
}

impl Reply {
    fn list(body: &str) -> Self {
        Self::Document(body.to_owned(), "")
    }

    fn status(line: &str) -> Self {
        Self::Raw(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes())
    }
}

/// A TLS server for `localhost` and `lists.test`.
#[derive(Debug, Clone)]
struct ListServer {
    port: u16,
    reply: Arc<Mutex<Reply>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl ListServer {
    async fn start(reply: Reply) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from_pem_file(tls("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(tls("server.key")).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, reply: Arc::new(Mutex::new(reply)), heads: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8(head).unwrap();
                    server.heads.lock().unwrap().push(head.clone());
                    let reply = server.reply.lock().unwrap().clone();
                    let bytes = match reply {
                        Reply::Nothing => return std::future::pending().await,
                        Reply::Raw(bytes) => bytes,
                        Reply::Document(_, tag)
                            if !tag.is_empty() && head.contains(&format!("if-none-match: {tag}\r\n")) =>
                        {
                            format!("HTTP/1.1 304 Not Modified\r\netag: {tag}\r\n\r\n").into_bytes()
                        }
                        Reply::Document(body, tag) => {
                            let tag = if tag.is_empty() { String::new() } else { format!("etag: {tag}\r\n") };
                            format!("HTTP/1.1 200 OK\r\n{tag}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
                        }
                    };
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        server
    }

    fn says(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

struct Files;

impl Environment for Files {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        (name == "CLERK_WEBHOOK_SIGNING_SECRET").then(|| SECRET.into())
    }
    fn variable_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

/// A gate whose route takes only the list `senders`, and swaps its plan when the list changes.
struct Rig {
    gate: Gate,
    app: App,
    swaps: Arc<AtomicUsize>,
}

impl Rig {
    async fn start(server: &ListServer, more: &str) -> Self {
        let app = App::start().await;
        let toml = format!(
            r#"
[server]
listen = "127.0.0.1:0"
upstream = "http://{}"
[admin]
health = "127.0.0.1:0"
[client_ip]
trusted_proxies = ["127.0.0.1"]
[routes.clerk]
path = "{PATH}"
provider = "clerk"
allow_ips = ["senders", "github"]
[ip_lists.senders]
url = "https://localhost:{}/list.json"
ca = "{}"
{more}
"#,
            app.addr,
            server.port,
            tls("ca.pem").display()
        );
        let lists: Arc<IpLists> = Arc::default();
        let environment = WithLists::new(Files, Arc::clone(&lists));
        let compile = move || quick(config::compile(&toml, Path::new("x.toml"), &environment).unwrap().plan);
        let server = Server::bind(Arc::new(compile()), AccessLog::off(), 1).await.unwrap();
        let (live, swaps) = (server.live(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&swaps);
        let changed = move || {
            live.swap(compile());
            counted.fetch_add(1, Ordering::SeqCst);
        };
        Self { gate: Gate::serving(server.with_lists(lists, changed)), app, swaps }
    }

    /// A genuine delivery from this address.
    async fn from(&self, address: &str) -> Answer {
        // An answer's buffers are large, and a test waits for many.
        Box::pin(self.gate.exchange(genuine(BODY, &format!("x-forwarded-for: {address}\r\n")))).await
    }

    async fn wait_for(&self, address: &str) {
        wait(&format!("{address} to be let in"), async || self.from(address).await.status == 200).await;
    }

    async fn admin(&self, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.gate.health.unwrap()).await.unwrap();
        stream.write_all(get(path, "connection: close\r\n").as_bytes()).await.unwrap();
        Box::pin(Answer::read(&mut stream)).await
    }

    /// What `/readyz` says of a list.
    async fn readyz(&self, name: &str) -> Value {
        let answer = self.admin("/readyz").await;
        assert_eq!(answer.status, 200, "a list never takes the gate out of service");
        let details: Value = serde_json::from_slice(&answer.body).unwrap();
        details["ip_lists"].as_array().unwrap().iter().find(|list| list["name"] == name).unwrap().clone()
    }

    async fn metric(&self, name: &str) -> Option<u64> {
        let text = self.admin("/metrics").await.text();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("{list=\"senders\"} ")?.parse().ok())
    }

    async fn refused(&self, address: &str, status: u16, code: &str, why: &str) {
        let before = self.app.seen().len();
        assert_refusal(&self.from(address).await, status, code, why);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(self.app.seen().len(), before, "reached the app: {why}");
    }
}

fn quick(mut plan: Plan) -> Plan {
    for list in &mut plan.ip_lists {
        list.source =
            list.source.as_ref().map(|source| Arc::new(ListSource { refresh: REFRESH, ..(**source).clone() }));
    }
    plan
}

async fn wait(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

#[tokio::test]
async fn a_fetched_list_lets_its_addresses_in_and_no_other() {
    let server = ListServer::start(Reply::list(r#"{"us": ["203.0.113.7"], "eu": ["2001:db8::/56"]}"#)).await;
    let rig = Rig::start(&server, "").await;
    rig.wait_for("203.0.113.7").await;
    assert_eq!(rig.from("2001:db8::7").await.status, 200);
    assert_eq!(rig.from("192.30.252.9").await.status, 200, "the other list of the route");
    rig.refused("203.0.113.8", 403, "ip_not_allowed", "not in the list").await;
    let list = rig.readyz("senders").await;
    assert_eq!((&list["entries"], &list["refresh_failures"], &list["error"]), (&2.into(), &0.into(), &Value::Null));
    assert!(list["age_seconds"].as_u64().unwrap() < 60);
    let shipped = rig.readyz("github").await;
    assert!(shipped["age_seconds"].as_u64().unwrap() > 10_000_000 && shipped["entries"] == 6, "{shipped}");
    assert_eq!(rig.metric("hookward_ip_list_entries").await, Some(2));
    assert_eq!(rig.metric("hookward_ip_list_refresh_failures_total").await, Some(0));
    assert!(rig.metric("hookward_ip_list_age_seconds").await.unwrap() < 60);
    let head = server.heads()[0].to_lowercase();
    assert!(head.starts_with("get /list.json http/1.1\r\n") && head.contains("\r\nuser-agent: hookward/"), "{head}");
    server.says(Reply::list(r#"["203.0.113.8"]"#));
    rig.wait_for("203.0.113.8").await;
    rig.refused("203.0.113.7", 403, "ip_not_allowed", "no longer in the list").await;
}

#[tokio::test]
async fn only_selected_keys_of_a_list_count() {
    let server = ListServer::start(Reply::list(r#"{"us": ["203.0.113.7"], "eu": ["203.0.113.8"], "x": ["?"]}"#)).await;
    let rig = Rig::start(&server, "select = [\"us\"]").await;
    rig.wait_for("203.0.113.7").await;
    rig.refused("203.0.113.8", 403, "ip_not_allowed", "of a key that is not selected").await;
}

#[tokio::test]
async fn a_list_without_content_turns_deliveries_away_until_it_is_there() {
    let server = ListServer::start(Reply::status("500 Oops")).await;
    let rig = Rig::start(&server, "").await;
    for _ in 0..3 {
        rig.refused("203.0.113.7", 503, "ip_list_unavailable", "the list was never fetched").await;
    }
    assert_eq!(rig.from("192.30.252.9").await.status, 200, "an address that another list has");
    wait("two failures", async || rig.metric("hookward_ip_list_refresh_failures_total").await >= Some(2)).await;
    let list = rig.readyz("senders").await;
    assert_eq!((&list["entries"], &list["age_seconds"]), (&0.into(), &Value::Null));
    assert_eq!(list["error"], "the answer was 500");
    assert_eq!(rig.metric("hookward_ip_list_age_seconds").await, None);
    server.says(Reply::list(r#"["203.0.113.7"]"#));
    rig.wait_for("203.0.113.7").await;
    rig.refused("203.0.113.8", 403, "ip_not_allowed", "the list is there now, and this address is not in it").await;
}

#[tokio::test]
async fn a_bad_list_never_takes_the_place_of_a_good_one() {
    let server = ListServer::start(Reply::list(FOUR)).await;
    let rig = Rig::start(&server, "").await;
    rig.wait_for("203.0.113.1").await;
    let longest = format!("{FOUR}{}", " ".repeat(4_194_305 - FOUR.len()));
    let elsewhere =
        format!("HTTP/1.1 302 Found\r\nlocation: https://localhost:{}/other\r\ncontent-length: 0\r\n\r\n", server.port);
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{FOUR}");
    for (reply, error) in [
        (Reply::list("[]"), "the list was refused: it is empty"),
        (Reply::list("# nothing\n"), "the list was refused: it is empty"),
        (Reply::list("0.0.0.0/0\n"), "the list was refused: 0.0.0.0/0 is wider than /8"),
        (
            Reply::list("198.0.0.0/9\n198.128.0.0/9\n199.0.0.0/9\n"),
            "the list was refused: 198.0.0.0/9 and the others are together wider than /8",
        ),
        (
            Reply::list(r#"["198.51.100.1"]"#),
            "the list was refused: it has 1 entries, less than half of the 4 that it had; configure it under another name if that is meant",
        ),
        (
            Reply::list("<!doctype html><p>198.51.100.1"),
            "the list was refused: line 1: \"<!doctype html><p>198.51.100.1\": it is neither an address nor a network such as 192.0.2.0/24",
        ),
        (
            Reply::list(r#"{"a": ["198.51.100.1"], "a": ["203.0.113.1"]}"#),
            "the list was refused: the key \"a\" is there twice",
        ),
        (
            Reply::list(r#"["198.51.100.1", "198.51.100.1/8"]"#),
            "the list was refused: [1]: \"198.51.100.1/8\": it has bits set beyond its length; did you mean 198.0.0.0/8?",
        ),
        (Reply::Raw(elsewhere.into_bytes()), "the answer was 302, a redirect: name the document's own address"),
        (Reply::status("500 Oops"), "the answer was 500"),
        (Reply::status("206 Partial"), "the answer was 206"),
        (Reply::status("304 Not Modified"), "the answer was 304"),
        (Reply::list(&longest), "the answer's body is broken or too long"),
    ] {
        let before = rig.metric("hookward_ip_list_refresh_failures_total").await.unwrap();
        server.says(reply);
        wait(error, async || {
            let failed = rig.metric("hookward_ip_list_refresh_failures_total").await.unwrap();
            // The first may have been on its way when the answer changed.
            failed >= before + 2 && rig.readyz("senders").await["error"] == error
        })
        .await;
        assert_eq!(rig.from("203.0.113.3").await.status, 200, "{error}");
        rig.refused("198.51.100.1", 403, "ip_not_allowed", error).await;
        assert_eq!(rig.readyz("senders").await["entries"], 4, "{error}");
    }
    for reply in [Reply::Raw(cut.into_bytes()), Reply::Raw(b"SSH-2.0-x\r\n".to_vec())] {
        server.says(reply);
        wait("a broken answer", async || {
            rig.readyz("senders").await["error"]
                .as_str()
                .is_some_and(|error| error.starts_with("the answer was broken"))
        })
        .await;
        assert_eq!(rig.from("203.0.113.3").await.status, 200);
        server.says(Reply::status("500 Oops"));
        wait("500", async || rig.readyz("senders").await["error"] == "the answer was 500").await;
    }
    assert!(server.heads().iter().all(|head| head.starts_with("GET /list.json ")), "no redirect was followed");
    assert_eq!(rig.swaps.load(Ordering::SeqCst), 1, "the plan changed once, for the first list");
    server.says(Reply::list(r#"["203.0.113.1", "198.51.100.1"]"#));
    rig.wait_for("198.51.100.1").await;
    let list = rig.readyz("senders").await;
    assert_eq!((&list["refresh_failures"], &list["error"]), (&0.into(), &Value::Null), "half is enough");
    let asked = server.heads().len();
    server.says(Reply::Nothing);
    wait("a fetch that stalls", async || server.heads().len() > asked).await;
    assert_eq!(rig.from("198.51.100.1").await.status, 200, "while the server of lists says nothing");
}

#[tokio::test]
async fn a_server_that_cannot_prove_its_name_is_not_believed() {
    let server = ListServer::start(Reply::list(FOUR)).await;
    let rig = Rig::start(&server, &format!("[ip_lists.other]\nurl = \"https://localhost:{}/x\"", server.port)).await;
    rig.wait_for("203.0.113.1").await;
    wait("a failure", async || rig.readyz("other").await["refresh_failures"] != 0).await;
    let error = rig.readyz("other").await["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("connecting failed: ") && error.contains("UnknownIssuer"), "{error}");
    assert!(!server.heads().iter().any(|head| head.starts_with("GET /x")), "the public authorities did not sign it");
}

#[tokio::test]
async fn a_tag_saves_the_document_and_makes_the_list_fresh_again() {
    let server = ListServer::start(Reply::Document(FOUR.to_owned(), "\"v1\"")).await;
    let rig = Rig::start(&server, "").await;
    rig.wait_for("203.0.113.1").await;
    let asked = server.heads().len();
    wait("three more", async || server.heads().len() >= asked + 3).await;
    let heads = server.heads();
    assert!(!heads[0].contains("if-none-match"), "{}", heads[0]);
    assert!(heads[1..].iter().all(|head| head.contains("if-none-match: \"v1\"\r\n")), "{heads:?}");
    assert_eq!(rig.swaps.load(Ordering::SeqCst), 1, "304 changes nothing");
    assert_eq!(rig.readyz("senders").await["refresh_failures"], 0);
    server.says(Reply::Document("[]".to_owned(), "\"v2\""));
    wait("a refusal", async || rig.readyz("senders").await["refresh_failures"] != 0).await;
    assert!(server.heads().iter().all(|head| !head.contains("v2")), "a refused list's tag is never named");
    server.says(Reply::Document(r#"["203.0.113.1", "203.0.113.9"]"#.to_owned(), "\"v3\""));
    rig.wait_for("203.0.113.9").await;
    wait("the new tag", async || server.heads().iter().any(|head| head.contains("if-none-match: \"v3\""))).await;
}

#[tokio::test]
async fn a_cache_keeps_the_list_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("senders.json");
    let cache = format!("cache = \"{}\"", file.display());
    let server = ListServer::start(Reply::Document(FOUR.to_owned(), "\"v1\"")).await;
    let mut first = Rig::start(&server, &cache).await;
    first.wait_for("203.0.113.1").await;
    first.gate.stop();
    (&mut first.gate.served).await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    let asked = server.heads().len();
    server.says(Reply::status("500 Oops"));
    let second = Rig::start(&server, &cache).await;
    assert_eq!(second.from("203.0.113.1").await.status, 200, "at once");
    second.refused("203.0.113.9", 403, "ip_not_allowed", "not in the cached list").await;
    assert!(second.readyz("senders").await["age_seconds"].as_u64().unwrap() < 60);
    wait("the tag to be kept too", async || {
        server.heads()[asked..].iter().any(|head| head.contains("if-none-match: \"v1\""))
    })
    .await;
    drop(second);

    let kept = std::fs::read_to_string(&file).unwrap();
    let third = Rig::start(&server, &format!("{cache}\nselect = [\"us\"]")).await;
    third.refused("203.0.113.1", 503, "ip_list_unavailable", "the cache was written for another selection").await;
    drop(third);
    for (foreign, why) in [
        (kept.replace("/list.json", "/other.json"), "the cache was written for another address"),
        (kept.replace("203.0.113.1/32", "0.0.0.0/0"), "the cached list is too wide"),
        (kept.replace("203.0.113.1/32", "203.0.113.1/8"), "an entry is broken"),
        (kept[..kept.len() / 2].to_owned(), "the file was cut"),
        (String::new(), "the file is empty"),
    ] {
        assert_ne!(foreign, kept, "{why}");
        std::fs::write(&file, foreign).unwrap();
        let rig = Rig::start(&server, &cache).await;
        rig.refused("203.0.113.1", 503, "ip_list_unavailable", why).await;
    }
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_loses_nothing_but_itself() {
    let folder = TempDir::new().unwrap();
    let server = ListServer::start(Reply::list(FOUR)).await;
    let rig = Rig::start(&server, &format!("cache = \"{}/none/senders.json\"", folder.path().display())).await;
    rig.wait_for("203.0.113.1").await;
    assert_eq!(rig.readyz("senders").await["refresh_failures"], 0);
}

/// A proxy that notes each head and joins the connection with `port` of this machine, whatever was asked for.
async fn connect_proxy(port: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            noted.lock().unwrap().push(String::from_utf8(head).unwrap());
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            tokio::spawn(async move {
                let mut behind = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    (own, heads)
}

struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_process_fetches_through_the_proxy_of_its_environment_and_puts_the_list_in_force() {
    let app = App::start().await;
    let server = ListServer::start(Reply::list(FOUR)).await;
    let (proxy, heads) = connect_proxy(server.port).await;
    let folder = TempDir::new().unwrap();
    let (file, cache) = (folder.path().join("hookward.toml"), folder.path().join("senders.json"));
    let toml = format!(
        r#"
[server]
listen = "127.0.0.1:0"
upstream = "http://{}"
[client_ip]
trusted_proxies = ["127.0.0.1"]
[routes.clerk]
path = "{PATH}"
provider = "clerk"
allow_ips = ["senders"]
[ip_lists.senders]
url = "https://lists.test/list.json"
ca = "{}"
cache = "{}"
"#,
        app.addr,
        tls("ca.pem").display(),
        cache.display()
    );
    std::fs::write(&file, toml).unwrap();
    let hookward = |command: &str| {
        let mut hookward = std::process::Command::new(env!("CARGO_BIN_EXE_hookward"));
        hookward.args([command, "--config"]).arg(&file).env_clear().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
        hookward
    };
    let before = String::from_utf8(hookward("check").output().unwrap().stdout).unwrap();
    assert!(
        before.contains("  clients    senders: nothing yet: 503 until it is fetched for the first time\n"),
        "{before}"
    );
    let mut run = hookward("run");
    run.env("https_proxy", format!("http://user:pass@127.0.0.1:{proxy}")).stdout(std::process::Stdio::piped());
    let mut running = Running(run.spawn().unwrap());
    let mut said = BufReader::new(running.0.stdout.take().unwrap());
    let mut ready = String::new();
    while !ready.contains("\"ready\"") {
        ready.clear();
        assert!(said.read_line(&mut ready).unwrap() > 0);
    }
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let listen: SocketAddr = ready["listen"].as_str().unwrap().parse().unwrap();
    let from = async |address: &str| {
        let mut stream = TcpStream::connect(listen).await.unwrap();
        stream.write_all(genuine(BODY, &format!("x-forwarded-for: {address}\r\n")).as_bytes()).await.unwrap();
        Box::pin(Answer::read(&mut stream)).await
    };
    wait("the list", async || from("203.0.113.1").await.status == 200).await;
    assert_refusal(&from("203.0.113.9").await, 403, "ip_not_allowed", "not on the list");
    assert_eq!(app.seen().len(), 1);
    wait("the cache", async || cache.exists()).await;
    drop(running);
    assert_eq!(
        *heads.lock().unwrap(),
        ["CONNECT lists.test:443 HTTP/1.1\r\nhost: lists.test:443\r\nproxy-authorization: Basic dXNlcjpwYXNz\r\n\r\n"]
    );
    assert!(server.heads()[0].contains("host: lists.test\r\n"));
    let after = String::from_utf8(hookward("check").output().unwrap().stdout).unwrap();
    assert!(after.contains("  clients    senders: 4 addresses and networks, fetched "), "{after}");
}
