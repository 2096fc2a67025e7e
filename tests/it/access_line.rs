//! One access line for every request, whatever became of it, and nothing in it that is secret or the sender's own.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::bad_framing::Pipeline;
use crate::harness::*;
use crate::sender::*;

/// Marks what must not be logged, and stands in every place where a sender can put it.
const PRIVATE: &str = "hunter2";

/// A configuration under which every one of [`requests`] ends as it says.
fn toml(upstream: SocketAddr) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{upstream}\"\n[client_ip]\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [limits]\nmax_body = \"64KiB\"\nbody_timeout = \"200ms\"\n\
         [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\nreplay = \"off\"\nevents = [\"user.*\"]\n\
         [routes.closed]\npath = \"/closed\"\nprovider = \"clerk\"\nallow_ips = [\"203.0.113.9\"]\n\
         [routes.asked]\npath = \"/asked\"\nprovider = \"dropbox\"\nhandshake = true\n\
         secrets = [{{ insecure_value = \"{SECRET}\" }}]\n"
    )
}

/// The real program, killed when dropped.
struct Program {
    child: Child,
    addr: SocketAddr,
    stdout: BufReader<std::process::ChildStdout>,
    _directory: tempfile::TempDir,
}

impl Program {
    fn start(upstream: SocketAddr, format: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("hookward.toml");
        std::fs::write(&config, toml(upstream)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookward"))
            .args(["run", "--log", format, "--config"])
            .arg(&config)
            .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it says where it listens");
        }
        let at = line.find("127.0.0.1:").unwrap();
        let addr = line[at..].split(['"', ' ']).next().unwrap().parse().unwrap();
        Self { child, addr, stdout, _directory: directory }
    }

    /// Stops it as an operator would; all that it has written since it was ready.
    fn finish(&mut self) -> String {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        let mut log = String::new();
        self.stdout.read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success());
        log
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is sent, the status that comes back, and the outcome that is logged.
fn requests() -> Vec<(Vec<u8>, u16, &'static str)> {
    let body = format!(r#"{{"type":"user.created","data":{{"password":"{PRIVATE}"}}}}"#);
    let target = format!("{PATH}?token={PRIVATE}");
    let clerk = |target: &str| {
        Sent::clerk(target, &body).with("authorization", PRIVATE).with("cookie", PRIVATE).with("x-any", PRIVATE)
    };
    let forged =
        clerk(&target).set("svix-signature", format!("v1,{}", base64(PRIVATE.repeat(5).as_bytes()[..32].as_ref())));
    let length = format!("content-length: {}\r\n", body.len());
    let sms = Sent::clerk(&target, format!(r#"{{"type":"sms.created","{PRIVATE}":1}}"#));
    vec![
        (clerk(&target).bytes(), 200, "forwarded"),
        (clerk(&target).chunked(), 200, "forwarded"),
        (sms.bytes(), 204, "filtered"),
        (clerk(&format!("/page?token={PRIVATE}")).bytes(), 200, "passed"),
        (get(&format!("/page?{PRIVATE}"), "").into_bytes(), 200, "passed"),
        (get(&format!("/asked?challenge={PRIVATE}"), "").into_bytes(), 200, "handshake"),
        (forged.bytes(), 401, "signature_mismatch"),
        (clerk(&target).set("svix-signature", PRIVATE).bytes(), 400, "header_malformed"),
        (clerk(&target).without("svix-id").bytes(), 400, "header_missing"),
        (clerk(&target).with("svix-signature", PRIVATE).bytes(), 400, "header_repeated"),
        (clerk(&target).set("svix-timestamp", PRIVATE).bytes(), 400, "timestamp_malformed"),
        (clerk(&target).set("svix-timestamp", "1").bytes(), 401, "timestamp_too_old"),
        (clerk(&target).set("svix-timestamp", "9999999999").bytes(), 401, "timestamp_in_future"),
        (clerk(&target).method("PUT").bytes(), 405, "method_not_allowed"),
        (clerk(&format!("{PATH}#{PRIVATE}")).bytes(), 400, "bad_target"),
        (clerk(&format!("/api/webhooks/%63lerk?{PRIVATE}")).bytes(), 400, "bad_target"),
        (clerk(&target).framed(&format!("{length}{length}"), &body), 400, "framing"),
        (clerk(&target).with("connection", "svix-id").bytes(), 400, "framing"),
        (format!("\x16\x03\x01{PRIVATE}\r\n\r\n").into_bytes(), 400, "framing"),
        (clerk(&target).with("x-long", PRIVATE.repeat(4000)).bytes(), 431, "head_too_large"),
        (clerk(&target).framed("content-length: 70000\r\n", ""), 413, "body_too_large"),
        (clerk(&target).framed("transfer-encoding: chunked\r\n", format!("3 \r\n{PRIVATE}")), 400, "framing"),
        (clerk(&target).framed("content-length: 1000\r\n", PRIVATE), 408, "body_timeout"),
        (clerk(&format!("/closed?{PRIVATE}")).with("x-forwarded-for", "198.51.100.1").bytes(), 403, "ip_not_allowed"),
        (clerk(&format!("/closed?{PRIVATE}")).with("x-forwarded-for", PRIVATE).bytes(), 403, "client_unknown"),
    ]
}

/// Every field of a line is in the README's table, with its type.
fn assert_documented(line: &Value) {
    let readme = include_str!("../../README.md");
    let rows =
        readme.split("| field | type | meaning |").nth(1).unwrap().lines().skip(2).take_while(|row| !row.is_empty());
    let types: HashMap<&str, &str> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`'), cells[2])
        })
        .collect();
    for (name, value) in line.as_object().unwrap() {
        let is_right = match types.get(&**name).copied() {
            Some("string") => value.is_string(),
            Some("string, RFC 3339") => value.as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("boolean") => value.is_boolean(),
            _ => false,
        };
        assert!(is_right, "{name}: {line}");
    }
}

fn assert_nothing_private(log: &str) {
    for private in [
        PRIVATE,
        &PRIVATE.repeat(2),
        SECRET,
        &SECRET["whsec_".len()..],
        "v1,",
        &base64(PRIVATE.repeat(5).as_bytes()[..32].as_ref()),
    ] {
        assert!(!log.contains(private), "{private:?} is in the log:\n{log}");
    }
}

#[tokio::test]
async fn every_request_has_one_line_that_tells_its_outcome_and_no_secret() {
    let app = App::start().await;
    let mut program = Program::start(app.addr, "json");
    let mut expected: HashMap<&str, usize> = HashMap::new();
    let mut ids = HashMap::new();
    for (sent, status, outcome) in requests() {
        let mut stream = TcpStream::connect(program.addr).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        let answer = Answer::read(&mut stream).await;
        assert_eq!(answer.status, status, "{outcome}: {answer:?}");
        *expected.entry(outcome).or_default() += 1;
        if let Ok(body) = serde_json::from_slice::<Value>(&answer.body)
            && let Some(id) = body.get("request_id").and_then(Value::as_str)
        {
            assert!(ids.insert(id.to_owned(), (status, outcome)).is_none(), "{id} names two requests");
        }
    }
    // Many on one connection, and one whose client leaves.
    let mut stream = TcpStream::connect(program.addr).await.unwrap();
    stream
        .write_all(
            format!("{}{}POST {PATH} HTTP/1.1\r\nhost: a\r\n\r\n", get("/page", ""), genuine(BODY, "")).as_bytes(),
        )
        .await
        .unwrap();
    let mut pipeline = Pipeline::new(stream);
    for (status, outcome) in [(200, "passed"), (200, "forwarded"), (400, "header_missing")] {
        assert_eq!(pipeline.next(false).await.status, status);
        *expected.entry(outcome).or_default() += 1;
    }
    drop(pipeline);
    let mut left = TcpStream::connect(program.addr).await.unwrap();
    left.write_all(&Sent::clerk(PATH, BODY).framed("content-length: 1000\r\n", PRIVATE)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    drop(left);
    // No request, no line: a connection that says nothing, and one that stops in its head.
    drop(TcpStream::connect(program.addr).await.unwrap());
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;

    let log = program.finish();
    assert_nothing_private(&log);
    let mut counted: HashMap<String, usize> = HashMap::new();
    let mut gone = 0;
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        let Some(outcome) = line["outcome"].as_str() else { continue };
        assert_documented(&line);
        let status = line["status"].as_u64();
        if outcome == "client_left"
            || (outcome == "body_incomplete" && !ids.contains_key(line["request_id"].as_str().unwrap()))
        {
            gone += 1;
            continue;
        }
        if let Some((status_sent, outcome_sent)) = ids.remove(line["request_id"].as_str().unwrap()) {
            assert_eq!((status, outcome), (Some(u64::from(status_sent)), outcome_sent), "{line}");
        }
        assert_eq!(line["peer"], "127.0.0.1", "{line}");
        assert!(line["path"].as_str().is_some_and(|path| !path.contains(['?', '#'])), "{line}");
        for field in ["time", "method", "bytes_in", "bytes_out", "duration_us"] {
            assert!(!line[field].is_null(), "{field}: {line}");
        }
        *counted.entry(outcome.to_owned()).or_default() += 1;
    }
    assert_eq!(gone, 1, "the client that left has its line");
    assert!(ids.is_empty(), "answered, but not logged: {ids:?}");
    let expected: HashMap<String, usize> =
        expected.into_iter().map(|(outcome, count)| (outcome.to_owned(), count)).collect();
    assert_eq!(counted, expected, "\n{log}");
}

/// What `hookward_requests_total` says, without zeros: route and outcome.
async fn counted(health: SocketAddr) -> BTreeMap<(String, String), usize> {
    let mut stream = TcpStream::connect(health).await.unwrap();
    stream.write_all(get("/metrics", "connection: close\r\n").as_bytes()).await.unwrap();
    let text = Answer::read(&mut stream).await.text();
    let mut counted = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("hookward_requests_total{")) {
        let (labels, value) = line.split_once("} ").unwrap();
        let label =
            |name: &str| labels.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
        let value: usize = value.parse().unwrap();
        assert_eq!(counted.insert((label("route"), label("outcome")), value), None, "{line}");
    }
    assert!(counted.contains_key(&("clerk".to_owned(), "client_left".to_owned())), "there before its first request");
    counted.retain(|_, value| *value > 0);
    counted
}

#[tokio::test]
async fn every_request_is_counted_once_even_where_none_is_logged() {
    let app = App::start().await;
    let gate = Gate::with(&format!("{}[admin]\nhealth = \"127.0.0.1:0\"\n", toml(app.addr))).await;
    let health = gate.health.unwrap();
    assert_eq!(counted(health).await, BTreeMap::new());
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    for (sent, status, outcome) in requests() {
        assert_eq!(gate.exchange(sent).await.status, status, "{outcome}");
        *expected.entry(outcome.to_owned()).or_default() += 1;
    }
    // A request is counted when its answer has been sent to the end, which the client may see first.
    let all = requests().len();
    let mut by_route = counted(health).await;
    for _ in 0..200 {
        if by_route.values().sum::<usize>() >= all {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        by_route = counted(health).await;
    }
    let mut by_outcome: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, outcome), count) in &by_route {
        *by_outcome.entry(outcome.clone()).or_default() += count;
    }
    assert_eq!(by_outcome, expected);
    let of = |route: &str, outcome: &str| by_route.get(&(route.to_owned(), outcome.to_owned())).copied();
    assert_eq!((of("clerk", "filtered"), of("clerk", "forwarded")), (Some(1), Some(2)));
    assert_eq!((of("", "passed"), of("", "bad_target"), of("asked", "handshake")), (Some(2), Some(2), Some(1)));
    assert_eq!((of("closed", "ip_not_allowed"), of("", "filtered")), (Some(1), None));
    assert_eq!(app.seen().len(), 4, "what was filtered or refused did not reach the app");
}

#[tokio::test]
async fn a_text_line_holds_as_little() {
    let app = App::start().await;
    let mut program = Program::start(app.addr, "text");
    let requests = requests();
    let count = requests.len();
    for (sent, status, outcome) in requests {
        let mut stream = TcpStream::connect(program.addr).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        assert_eq!(Answer::read(&mut stream).await.status, status, "{outcome}");
    }
    // A line cannot be forged by what stands in a path.
    let mut stream = TcpStream::connect(program.addr).await.unwrap();
    stream.write_all(get("/a%0aoutcome=forwarded", "").as_bytes()).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 200);
    let log = program.finish();
    assert_nothing_private(&log);
    assert_eq!(
        log.lines().filter(|line| line.contains("outcome=") && line.contains("request_id=")).count(),
        count + 1,
        "\n{log}"
    );
}
