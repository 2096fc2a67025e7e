//! A plan that changes while the real program runs, over files as Kubernetes, editors and people write them.

use std::fs;
use std::future::Future;
use std::io::BufRead;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinSet;

use crate::harness::{App, BODY, PATH, now, svix_signature};
use crate::script::*;
use crate::sender::{base64, hmac};

const REFUSALS: &str = "hookward_config_reload_total{outcome=\"refused\"}";
const REFUSED: &str = "not reloaded: the plan in force stays";

/// The secret of this number.
fn secret(number: usize) -> String {
    format!("whsec_{}", base64(&hmac(b"secrets of a test", &[&number.to_be_bytes()])))
}

/// A directory as the kubelet makes it: names → `..data` → a directory with the files, replaced whole.
struct Volume {
    directory: tempfile::TempDir,
    versions: usize,
}

impl Volume {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut volume = Self { directory: tempfile::tempdir().unwrap(), versions: 0 };
        volume.swap(files);
        volume
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Exactly these files from here on, all at once.
    fn swap(&mut self, files: &[(&str, &str)]) {
        self.versions += 1;
        let version = format!("..2026_{}", self.versions);
        fs::create_dir(self.path(&version)).unwrap();
        for (name, text) in files {
            fs::write(self.path(&version).join(name), text).unwrap();
            if fs::symlink_metadata(self.path(name)).is_err() {
                symlink(format!("..data/{name}"), self.path(name)).unwrap();
            }
        }
        let before = fs::read_link(self.path("..data"));
        symlink(&version, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        if let Ok(before) = before {
            fs::remove_dir_all(self.path(before.to_str().unwrap())).unwrap();
        }
    }

    /// As `>` of a shell does.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// As editors do.
    fn rename(&self, name: &str, text: &str) {
        fs::write(self.path("..data/.swp"), text).unwrap();
        fs::rename(self.path("..data/.swp"), self.path("..data").join(name)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path("..data").join(name)).unwrap();
    }
}

/// The real program over a volume, and what it says.
struct Running {
    program: Program,
    said: mpsc::UnboundedReceiver<Value>,
}

/// What belongs to the process alone.
struct Program {
    child: std::process::Child,
    addr: SocketAddr,
    health: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    async fn start(volume: &Volume) -> Self {
        let (child, said) = spawn(volume);
        Self::ready(child, said).await
    }

    async fn ready(child: std::process::Child, mut said: mpsc::UnboundedReceiver<Value>) -> Self {
        let line = find(&mut said, &["ready"]).await;
        let address = |key: &str| line[key].as_str().unwrap().parse().unwrap();
        assert_eq!(line["fingerprint"].as_str().unwrap().len(), 12);
        Self { program: Program { child, addr: address("listen"), health: address("health") }, said }
    }

    fn hang_up(&self) {
        let id = self.program.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    }

    /// The next line with one of these messages.
    async fn says(&mut self, messages: &[&str]) -> Value {
        find(&mut self.said, messages).await
    }

    /// Asks for a reload, and waits for what comes of it.
    async fn reload(&mut self, message: &str) -> Value {
        self.hang_up();
        self.says(&[message]).await
    }

    /// Asks until it is so.
    async fn reload_until<F: Future<Output = bool>>(&self, is_so: impl Fn() -> F) {
        soon("the reload", async {
            loop {
                self.hang_up();
                for _ in 0..50 {
                    if is_so().await {
                        return;
                    }
                    pause(10).await;
                }
            }
        })
        .await;
    }

    async fn probe(&self, path: &str) -> String {
        let mut wire = Wire::dial(self.program.health).await;
        wire.send(crate::harness::get(path, "connection: close\r\n")).await;
        wire.answer().await.text()
    }

    async fn readyz(&self) -> Value {
        serde_json::from_str(&self.probe("/readyz").await).unwrap()
    }

    async fn fingerprint(&self) -> String {
        self.readyz().await["plan"]["fingerprint"].as_str().unwrap().to_owned()
    }

    /// A metric's value; 0 where there is none yet.
    async fn metric(&self, name: &str) -> u64 {
        let text = self.probe("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

fn spawn(volume: &Volume) -> (std::process::Child, mpsc::UnboundedReceiver<Value>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(["run", "--log", "json", "--config"])
        .arg(volume.path("hookward.toml"))
        .env_remove("CLERK_WEBHOOK_SIGNING_SECRET")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let (tell, said) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in lines {
            let Ok(line) = line else { return };
            let line: Value = serde_json::from_str(&line).unwrap();
            // Access lines have no message.
            if line.get("message").is_some() && tell.send(line).is_err() {
                return;
            }
        }
    });
    (child, said)
}

async fn find(said: &mut mpsc::UnboundedReceiver<Value>, messages: &[&str]) -> Value {
    let mut passed = Vec::new();
    let waiting = async {
        while let Some(line) = said.recv().await {
            if line["message"].as_str().is_some_and(|message| messages.contains(&message)) {
                return line;
            }
            passed.push(line);
        }
        panic!("the program has ended: {messages:?}");
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(line) => line,
        Err(_) => panic!("never said: {messages:?}; instead {passed:?}"),
    }
}

/// A configuration with one Clerk route; `secrets` are entries of the list.
fn config(app: SocketAddr, server: &str, secrets: &str, more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\n{server}[admin]\nhealth = \"127.0.0.1:0\"\n\
         [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\nreplay = \"off\"\nsecrets = [{secrets}]\n{more}"
    )
}

fn inline(number: usize) -> String {
    format!("{{ insecure_value = \"{}\" }}", secret(number))
}

/// A delivery that is signed with the secret of this number.
fn delivery(number: usize, body: &str) -> String {
    let time = now().to_string();
    let signature = svix_signature(&secret(number), "msg_1", &time, body.as_bytes());
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: app.example\r\nsvix-id: msg_1\r\nsvix-timestamp: {time}\r\n\
         svix-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn stream(number: usize, body: &str) -> Request<Full<Bytes>> {
    let time = now().to_string();
    Request::builder()
        .version(Version::HTTP_2)
        .method("POST")
        .uri(format!("http://app.example{PATH}"))
        .header("svix-id", "msg_1")
        .header("svix-timestamp", &time)
        .header("svix-signature", svix_signature(&secret(number), "msg_1", &time, body.as_bytes()))
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap()
}

async fn dial2(addr: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn a_secret_is_rotated_without_loss_and_the_removed_one_is_refused_at_once() {
    let app = App::start().await;
    let mut volume = Volume::new(&[]);
    let here = volume.directory.path().display().to_string();
    let toml = config(
        app.addr,
        "",
        &format!(
            "{{ label = \"old\", file = \"{here}/old\", optional = true }}, \
             {{ label = \"new\", file = \"{here}/new\", optional = true }}"
        ),
        "",
    );
    volume.swap(&[("old", &secret(1)), ("hookward.toml", &toml)]);
    let mut running = Running::start(&volume).await;
    let addr = running.program.addr;
    let (mut kept, mut streams) = (Wire::dial(addr).await, dial2(addr).await);
    let label = |at: usize| app.seen()[at].headers["verified-event"].to_str().unwrap().to_owned();
    let mut reached = 0;
    let mut prints = vec![running.fingerprint().await];
    /// The files, what opens the way under which label, what does not.
    type Step = (&'static [(&'static str, usize)], &'static [(usize, &'static str)], &'static [usize]);
    let steps: [Step; 3] = [
        (&[("old", 1)], &[(1, "old")], &[2]),
        (&[("old", 1), ("new", 2)], &[(1, "old"), (2, "new")], &[3]),
        (&[("new", 2)], &[(2, "new")], &[1]),
    ];
    for (step, (files, open, closed)) in steps.into_iter().enumerate() {
        if step > 0 {
            let secrets: Vec<(&str, String)> = files.iter().map(|(name, number)| (*name, secret(*number))).collect();
            let mut all: Vec<(&str, &str)> = secrets.iter().map(|(name, text)| (*name, text.as_str())).collect();
            all.push(("hookward.toml", &toml));
            volume.swap(&all);
            // The first change is found without a signal.
            let line = if step == 1 { running.says(&["reloaded"]).await } else { running.reload("reloaded").await };
            let changed = (line["secrets_added"].as_str().unwrap(), line["secrets_removed"].as_str().unwrap());
            assert_eq!(changed, if step == 1 { ("clerk/new", "") } else { ("", "clerk/old") });
            assert_eq!(line["outcome"], "applied");
            prints.push(running.fingerprint().await);
            assert_eq!(line["fingerprint"], prints[step].as_str());
        }
        for (number, name) in open {
            kept.send(delivery(*number, BODY)).await;
            assert_eq!(kept.answer().await.status(), 200, "step {step}");
            assert_eq!(streams.send_request(stream(*number, BODY)).await.unwrap().status(), 200, "step {step}");
            for at in [reached, reached + 1] {
                assert!(label(at).contains(&format!("secret=\"{name}\"")), "{}", label(at));
            }
            reached += 2;
        }
        for number in closed {
            kept.send(delivery(*number, BODY)).await;
            let answer = kept.answer().await;
            assert_eq!((answer.status(), answer.code().as_str()), (401, "signature_mismatch"), "step {step}");
            assert_eq!(streams.send_request(stream(*number, BODY)).await.unwrap().status(), 401, "step {step}");
        }
        assert_eq!(app.seen().len(), reached, "step {step}");
    }
    prints.dedup();
    assert_eq!(prints.len(), 3);
    let verified = |secret: &str| format!("hookward_verified_total{{route=\"clerk\",secret=\"{secret}\"}}");
    assert_eq!(running.metric(&verified("old")).await, 4);
    assert_eq!(running.metric(&verified("new")).await, 4);
    assert_eq!(running.metric("hookward_config_reload_total{outcome=\"applied\"}").await, 2);
    assert!(running.metric("hookward_config_last_load_timestamp_seconds").await.abs_diff(now()) < 60);
    assert_eq!(running.readyz().await["last_reload"]["outcome"], "applied");
}

#[tokio::test]
async fn a_plan_that_drops_a_route_is_refused_until_it_says_that_this_is_meant() {
    let app = App::start().await;
    let other = |server: &str| {
        config(app.addr, server, &inline(1), "").replace(&format!("path = \"{PATH}\""), "path = \"/elsewhere\"")
    };
    let volume = Volume::new(&[("hookward.toml", &config(app.addr, "", &inline(1), ""))]);
    let mut running = Running::start(&volume).await;
    let print = running.fingerprint().await;
    let mut wire = Wire::dial(running.program.addr).await;

    volume.write("hookward.toml", &other(""));
    let lost = format!("{PATH} would lose its protection; write server.allow_route_removal = true if that is meant");
    running.reload(&lost).await;
    assert_eq!(running.says(&[REFUSED]).await["outcome"], "refused");
    assert_eq!(running.fingerprint().await, print);
    assert_eq!(running.readyz().await["last_reload"]["outcome"], "refused");
    wire.send(delivery(2, BODY)).await;
    assert_eq!(wire.answer().await.status(), 401);
    app.assert_unreached("the old plan stays").await;

    volume.write("hookward.toml", &other("allow_route_removal = true\n"));
    running.reload("reloaded").await;
    assert_ne!(running.fingerprint().await, print);
    wire.send(delivery(2, BODY)).await;
    assert_eq!(wire.answer().await.status(), 200);
    assert!(!app.only().headers.contains_key("verified-event"));
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_plan_and_is_told_once() {
    let app = App::start().await;
    let whole = config(app.addr, "", &inline(1), "");
    let volume = Volume::new(&[("hookward.toml", &whole)]);
    let mut running = Running::start(&volume).await;
    let print = running.fingerprint().await;
    let mut wire = Wire::dial(running.program.addr).await;
    running.reload("unchanged").await;

    volume.write("hookward.toml", &whole.replace("provider = \"clerk\"", "provider = \"clark\"\ncolour = 1"));
    running.hang_up();
    let mut told = Vec::new();
    loop {
        let line = soon("a refusal", running.said.recv()).await.unwrap();
        let message = line["message"].as_str().unwrap().to_owned();
        if message == REFUSED {
            assert_eq!(line["problems"], 2);
            break;
        }
        told.push(message);
    }
    assert!(told.iter().all(|message| !message.contains('\n') && !message.contains(&secret(1)[6..])), "{told:?}");
    assert_eq!(told.iter().filter(|message| message.contains("did you mean `clerk`?")).count(), 1, "{told:?}");
    running.reload("unchanged: it is still what was refused").await;
    wire.send(delivery(1, BODY)).await;
    assert_eq!(wire.answer().await.status(), 200);
    assert_eq!(running.fingerprint().await, print);

    volume.rename("hookward.toml", &whole);
    assert_eq!(running.reload("the configuration in force is back").await["fingerprint"], print.as_str());
    assert_eq!(running.metric("hookward_config_reload_total{outcome=\"refused\"}").await, 2);
}

#[tokio::test]
async fn every_way_to_write_a_file_is_seen() {
    let app = App::start().await;
    let with = |bytes: usize| config(app.addr, "", &inline(1), &format!("max_body = {bytes}\n"));
    let mut volume = Volume::new(&[("hookward.toml", &with(100))]);
    let mut running = Running::start(&volume).await;
    let mut wire = Wire::dial(running.program.addr).await;
    for (step, max) in [200, 100, 200, 100].into_iter().enumerate() {
        match step {
            0 => volume.write("hookward.toml", &with(max)),
            1 => volume.rename("hookward.toml", &with(max)),
            2 => volume.swap(&[("hookward.toml", &with(max))]),
            _ => {
                volume.remove("hookward.toml");
                let line = running.reload(REFUSED).await;
                assert_eq!(line["problems"], 1);
                volume.write("hookward.toml", &with(max));
            }
        }
        running.reload("reloaded").await;
        let fits = "x".repeat(max);
        wire.send(delivery(1, &fits)).await;
        assert_eq!(wire.answer().await.status(), 200, "step {step}");
        let mut other = Wire::dial(running.program.addr).await;
        other.send(delivery(1, &(fits + "x"))).await;
        assert_eq!(other.answer().await.status(), 413, "step {step}");
        assert_eq!(app.seen().len(), step + 1);
    }
}

#[tokio::test]
async fn what_needs_a_restart_says_so_and_the_rest_is_applied() {
    let app = App::start().await;
    let whole = config(app.addr, "", &inline(1), "");
    let volume = Volume::new(&[("hookward.toml", &whole)]);
    let mut running = Running::start(&volume).await;
    let changed = whole
        .replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"")
        .replace("health = \"127.0.0.1:0\"", "health = \"127.0.0.1:2\"")
        .replace(&inline(1), &inline(2));
    volume.write("hookward.toml", &format!("{changed}[telemetry]\nlog = \"text\"\n"));
    running.hang_up();
    for key in ["server.listen", "admin.health", "telemetry.log"] {
        assert_eq!(running.says(&["takes effect after a restart"]).await["key"], key);
    }
    running.says(&["reloaded"]).await;
    let mut wire = Wire::dial(running.program.addr).await;
    wire.send(delivery(2, BODY)).await;
    assert_eq!(wire.answer().await.status(), 200);
    assert_eq!(running.readyz().await["last_reload"]["outcome"], "applied");
}

#[tokio::test]
async fn a_certificate_is_renewed_with_its_key_or_not_at_all() {
    let data =
        |name: &str| fs::read_to_string(format!("{}/tests/data/tls/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let app = App::start().await;
    let mut volume = Volume::new(&[]);
    let here = volume.directory.path().display().to_string();
    let toml =
        config(app.addr, &format!("tls = {{ cert = \"{here}/tls.crt\", key = \"{here}/tls.key\" }}\n"), &inline(1), "");
    let pair = |name: &str| (data(&format!("{name}.pem")), data(&format!("{name}.key")));
    let ((cert, key), (new_cert, new_key)) = (pair("server"), pair("renewed"));
    volume.swap(&[("hookward.toml", &toml), ("tls.crt", &cert), ("tls.key", &key)]);
    let mut running = Running::start(&volume).await;
    let addr = running.program.addr;
    let shown = || async move {
        let stream = crate::tls::dial(addr, "ca.pem", &["http/1.1"]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let first = shown().await;
    volume.swap(&[("hookward.toml", &toml), ("tls.crt", &new_cert), ("tls.key", &key)]);
    running.reload(REFUSED).await;
    assert_eq!(shown().await, first);
    volume.swap(&[("hookward.toml", &toml), ("tls.crt", &new_cert), ("tls.key", &new_key)]);
    running.reload("reloaded").await;
    assert_ne!(shown().await, first);
}

#[tokio::test]
async fn a_signal_that_comes_before_it_is_ready_does_no_harm() {
    let app = App::start().await;
    let volume = Volume::new(&[]);
    let pipe = volume.path("hookward.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let text = config(app.addr, "", &inline(1), "");
    let (child, said) = spawn(&volume);
    let id = child.id().to_string();
    let sent = tokio::task::spawn_blocking(move || {
        // Opened as soon as the program has opened the other end: it is reading its configuration.
        let mut pipe = fs::OpenOptions::new().write(true).open(pipe).unwrap();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::io::Write::write_all(&mut pipe, text.as_bytes()).unwrap();
    });
    soon("the program reads", sent).await.unwrap();
    let mut running = Running::ready(child, said).await;
    // A pipe cannot be read again, and is not waited for.
    running.says(&[REFUSED]).await;
    let mut wire = Wire::dial(running.program.addr).await;
    wire.send(delivery(1, BODY)).await;
    assert_eq!(wire.answer().await.status(), 200);
}

/// What the clients of the long run share.
struct Run {
    addr: SocketAddr,
    /// The number of a secret that the plan in force and the next one accept. Held while a delivery is on its way, so that
    /// none is signed with what is retired before it arrives.
    number: RwLock<usize>,
    done: AtomicBool,
    genuine: AtomicUsize,
    forged: AtomicUsize,
    streamed: AtomicUsize,
    next: AtomicUsize,
}

impl Run {
    fn total(&self) -> usize {
        [&self.genuine, &self.forged, &self.streamed].into_iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// A body that no other request has.
    fn body(&self, kind: &str) -> String {
        format!("{{\"type\":\"user.created\",\"is\":\"{kind}\",\"n\":{}}}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn count(&self, kind: &AtomicUsize) {
        kind.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of a secret that is not valid: one that was, or one that comes later.
fn wrong(number: usize, turn: usize) -> usize {
    if turn.is_multiple_of(2) { number - 2 } else { number + 1000 }
}

async fn keep_alive(run: Arc<Run>) {
    let mut wire = Wire::dial(run.addr).await;
    for turn in 0.. {
        if run.done.load(Ordering::Relaxed) {
            return;
        }
        let number = run.number.read().await;
        wire.send(delivery(*number, &run.body("genuine"))).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status(), answer.header("x-app")), (200, Some("1")), "{}", answer.text());
        run.count(&run.genuine);
        wire.send(delivery(wrong(*number, turn), &run.body("forged"))).await;
        assert_eq!(wire.answer().await.status(), 401);
        run.count(&run.forged);
    }
}

async fn http2(run: Arc<Run>) {
    let mut sender = dial2(run.addr).await;
    for turn in 0.. {
        if run.done.load(Ordering::Relaxed) {
            return;
        }
        let number = run.number.read().await;
        let mut other = sender.clone();
        // Both streams at once.
        let (genuine, forged) = tokio::join!(
            sender.send_request(stream(*number, &run.body("genuine"))),
            other.send_request(stream(wrong(*number, turn), &run.body("forged"))),
        );
        let (genuine, forged) = (genuine.unwrap(), forged.unwrap());
        assert_eq!((genuine.status().as_u16(), genuine.headers().contains_key("x-app")), (200, true));
        genuine.into_body().collect().await.unwrap();
        assert_eq!(forged.status(), 401);
        forged.into_body().collect().await.unwrap();
        run.count(&run.genuine);
        run.count(&run.forged);
    }
}

/// Slow chunks: a page's, a genuine delivery's and a forged one's.
async fn streaming(run: Arc<Run>, kind: &'static str) {
    let mut wire = Wire::dial(run.addr).await;
    while !run.done.load(Ordering::Relaxed) {
        let body = run.body(kind);
        let number = run.number.read().await;
        let (head, expected) = match kind {
            "genuine" => (delivery(*number, &body), 200),
            "forged" => (delivery(*number - 2, &body), 401),
            _ => ("POST /page HTTP/1.1\r\nhost: app.example\r\n\r\n".to_owned(), 200),
        };
        // What is not signed need not be held up.
        let held = (kind == "genuine").then_some(number);
        let head = head.split("\r\n\r\n").next().unwrap();
        let head: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with("content-length")).collect();
        wire.send(format!("{}\r\ntransfer-encoding: chunked\r\n\r\n", head.join("\r\n"))).await;
        for part in body.as_bytes().chunks(body.len().div_ceil(4)) {
            pause(10).await;
            wire.send([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).await;
        }
        wire.send("0\r\n\r\n").await;
        let answer = wire.answer().await;
        drop(held);
        assert_eq!(answer.status(), expected, "{kind}: {}", answer.text());
        match kind {
            "genuine" => run.count(&run.genuine),
            "forged" => run.count(&run.forged),
            _ => {
                assert_eq!(answer.text(), body);
                run.count(&run.streamed);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_ten_thousand_requests_lose_none_and_let_none_in() {
    const RELOADS: usize = 50;
    const REQUESTS: usize = 10_000;
    let app = App::start().await;
    let mut volume = Volume::new(&[("hookward.toml", ""), ("current", ""), ("next", "")]);
    let here = volume.directory.path().display().to_string();
    // Plan n accepts the secrets n and n + 1, and says something else each time.
    let toml = |number: usize| {
        let secrets = format!(
            "{{ label = \"current\", file = \"{here}/current\" }}, {{ label = \"next\", file = \"{here}/next\" }}"
        );
        config(app.addr, "", &secrets, &format!("max_body = {}\n", 10_000 + number))
    };
    let first = 10;
    volume.swap(&[("hookward.toml", &toml(first)), ("current", &secret(first)), ("next", &secret(first + 1))]);
    let running = Running::start(&volume).await;
    let run = Arc::new(Run {
        addr: running.program.addr,
        number: RwLock::new(first + 1),
        done: AtomicBool::new(false),
        genuine: AtomicUsize::new(0),
        forged: AtomicUsize::new(0),
        streamed: AtomicUsize::new(0),
        next: AtomicUsize::new(0),
    });
    let mut clients = JoinSet::new();
    for _ in 0..3 {
        clients.spawn(keep_alive(Arc::clone(&run)));
        clients.spawn(http2(Arc::clone(&run)));
    }
    for kind in ["page", "page", "genuine", "forged"] {
        clients.spawn(streaming(Arc::clone(&run), kind));
    }

    let (mut plan, mut refused) = (first, 0);
    for step in 0..RELOADS {
        let new = toml(plan + 1);
        if step % 2 == 1 {
            match step % 3 {
                // Truncated, and it stays so.
                0 => volume.write("hookward.toml", &new[..new.len() / 2]),
                1 => volume.rename("hookward.toml", &new.replace("[routes.clerk]", "[routes.clerk")),
                // Valid, and without the protection.
                _ => {
                    let gone = new.replace(PATH, "/api/webhooks/other");
                    volume.swap(&[("hookward.toml", &gone), ("current", &secret(plan)), ("next", &secret(plan + 1))]);
                }
            }
            refused += 1;
            running.reload_until(|| async { running.metric(REFUSALS).await >= refused }).await;
        }
        let (current, next) = (secret(plan + 1), secret(plan + 2));
        // Where one file is written after the other the configuration comes last: once it is in force, so are they.
        match step % 3 {
            0 => {
                volume.write("current", &current);
                volume.write("next", &next);
                volume.write("hookward.toml", &new[..new.len() / 2]);
                running.hang_up();
                pause(20).await;
                volume.write("hookward.toml", &new);
            }
            1 => {
                volume.rename("current", &current);
                volume.rename("next", &next);
                volume.rename("hookward.toml", &new);
            }
            _ => volume.swap(&[("hookward.toml", &new), ("current", &current), ("next", &next)]),
        }
        let expected = hookward::config::load(&volume.path("hookward.toml"), &hookward::config::System).unwrap();
        let expected = &*expected.plan.fingerprint;
        running.reload_until(|| async { running.fingerprint().await == expected }).await;
        plan += 1;
        // Waits for the deliveries that are on their way.
        *run.number.write().await = plan + 1;
        refused = running.metric(REFUSALS).await;
    }
    while run.total() < REQUESTS {
        if let Some(client) = clients.try_join_next() {
            client.unwrap();
        }
        pause(20).await;
    }
    run.done.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }

    let count = |kind: &AtomicUsize| kind.load(Ordering::Relaxed);
    let (genuine, forged, streamed) = (count(&run.genuine), count(&run.forged), count(&run.streamed));
    assert!(run.total() >= REQUESTS && forged * 3 >= run.total(), "{genuine} {forged} {streamed}");
    let seen = app.seen();
    assert!(seen.iter().all(|seen| seen.whole), "cut off");
    let of = |kind: &str| {
        let mark = format!("\"is\":\"{kind}\"");
        seen.iter().filter(|seen| String::from_utf8_lossy(&seen.body).contains(&mark)).collect::<Vec<_>>()
    };
    assert_eq!((of("genuine").len(), of("forged").len(), of("page").len()), (genuine, 0, streamed));
    assert_eq!(seen.len(), genuine + streamed);
    assert!(of("genuine").iter().all(|seen| seen.headers.contains_key("verified-event")));
    let bodies: std::collections::HashSet<&Bytes> = seen.iter().map(|seen| &seen.body).collect();
    assert_eq!(bodies.len(), seen.len(), "none ran twice");
    assert!(running.metric("hookward_config_reload_total{outcome=\"applied\"}").await >= 50);
    assert!(running.metric(REFUSALS).await >= 25);
}

#[tokio::test]
async fn the_key_of_the_token_is_rotated_and_a_bad_one_leaves_the_old_in_force() {
    use crate::token::{opened, token};
    let app = App::start().await;
    let mut volume = Volume::new(&[]);
    let here = volume.directory.path().display().to_string();
    let more = |audience: &str| {
        format!("[verified_event.token]\naudience = \"{audience}\"\nkey = {{ file = \"{here}/key\" }}\n")
    };
    let toml = |audience: &str| config(app.addr, "", &inline(1), &more(audience));
    let keys = ["the first key of this test, 32 bytes", "the second key of this test, 32 bytes"];
    volume.swap(&[("key", &format!("{}\n", keys[0])), ("hookward.toml", &toml("app"))]);
    let mut running = Running::start(&volume).await;
    let print = running.fingerprint().await;
    let mut wire = Wire::dial(running.program.addr).await;
    let mut sent = 0;
    let mut opens = async |key: &str| {
        wire.send(delivery(1, BODY)).await;
        assert_eq!(wire.answer().await.status(), 200);
        sent += 1;
        opened(&token(&app.seen()[sent - 1]), key).map(|(_, claims)| claims)
    };
    assert!(opens(keys[0]).await.is_some());

    // Found without a signal; the fingerprint holds nothing of a key.
    volume.swap(&[("key", keys[1]), ("hookward.toml", &toml("app"))]);
    assert_eq!(running.says(&["reloaded"]).await["outcome"], "applied");
    assert_eq!(opens(keys[0]).await, None);
    assert!(opens(keys[1]).await.is_some());
    assert_eq!(running.fingerprint().await, print);

    volume.swap(&[("key", "too short"), ("hookward.toml", &toml("app"))]);
    running.reload(REFUSED).await;
    assert!(opens(keys[1]).await.is_some());

    volume.swap(&[("key", keys[1]), ("hookward.toml", &toml("other"))]);
    running.reload("reloaded").await;
    assert_eq!(opens(keys[1]).await.unwrap()["aud"], "other");
    assert_ne!(running.fingerprint().await, print);
}
