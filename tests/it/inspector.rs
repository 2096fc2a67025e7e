//! The inspector over the wire: whom it answers, what it never says, and that nobody who looks holds up the gate.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

const INSPECTOR: &str = "[admin]\ninspector = \"127.0.0.1:0\"\n";
/// Everything that can be asked for.
const PATHS: &[&str] =
    &["/", "/style.css", "/app.js", "/api/words", "/api/status", "/api/decisions", "/api/decisions?after=0"];
/// Marks what must never be shown.
const PRIVATE: &str = "hunter2";

async fn send(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    Answer::read(&mut stream).await
}

async fn asked(gate: &Gate, path: &str) -> Answer {
    send(gate.inspector.unwrap(), &format!("GET {path} HTTP/1.1\r\nhost: localhost:9091\r\n\r\n")).await
}

async fn json(gate: &Gate, path: &str) -> Value {
    serde_json::from_slice(&Box::pin(asked(gate, path)).await.body).unwrap()
}

/// All decisions, as soon as this many have been made: one is kept when its request has ended, which the sender may hear of
/// before.
async fn decisions(gate: &Gate, made: u64) -> Value {
    let waiting = async {
        loop {
            let told = json(gate, "/api/decisions").await;
            if told["last"].as_u64().unwrap() >= made {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("so many decisions")
}

fn forged(id: &str) -> String {
    let signature = svix_signature("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", id, &now().to_string(), BODY.as_bytes());
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: app.example\r\nsvix-id: {id}\r\nsvix-timestamp: {}\r\nsvix-signature: {signature}\r\n\
         content-length: {}\r\n\r\n{BODY}",
        now(),
        BODY.len()
    )
}

/// A listener, and what it has heard.
struct Listener {
    stream: TcpStream,
    text: String,
}

impl Listener {
    async fn start(gate: &Gate, more: &str) -> Self {
        let mut stream = TcpStream::connect(gate.inspector.unwrap()).await.unwrap();
        let request = format!("GET /api/events HTTP/1.1\r\nhost: 127.0.0.1\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, text: String::new() }
    }

    /// Reads until this was said.
    async fn hear(&mut self, what: &str) -> &str {
        let hearing = async {
            while !self.text.contains(what) {
                let mut bytes = [0; 65_536];
                let read = self.stream.read(&mut bytes).await.unwrap();
                assert!(read > 0, "it ended: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(10), hearing).await;
        assert!(heard.is_ok(), "{what} was not said: {}", self.text);
        &self.text
    }

    /// The ids of what was heard, in order.
    fn ids(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
    }
}

#[tokio::test]
async fn shows_what_became_of_each_webhook_and_nothing_of_other_traffic() {
    let app = App::start().await;
    let gate = Gate::deduping(app.addr, INSPECTOR).await;
    assert_eq!(gate.exchange(genuine(BODY, "")).await.status, 200);
    assert_eq!(gate.exchange(genuine(BODY, "")).await.status, 200);
    let changed = genuine(BODY, "").replace("user.created", "user.deleted").replace("msg_1", "msg_2");
    for (request, status) in [(changed, 401), (get("/a/page", ""), 200), (get("/./a", ""), 400)] {
        assert_eq!(Box::pin(gate.exchange(request)).await.status, status);
    }

    let told = Box::pin(decisions(&gate, 4)).await;
    let decisions = told["decisions"].as_array().unwrap();
    let of = |name: &str| -> Vec<Value> { decisions.iter().map(|decision| decision[name].clone()).collect() };
    assert_eq!(of("outcome"), ["forwarded", "duplicate", "signature_mismatch", "bad_target"]);
    assert_eq!(of("number"), [1, 2, 3, 4]);
    assert_eq!(of("step"), [Value::Null, 10.into(), 8.into(), 1.into()]);
    assert_eq!(of("status"), [200, 200, 401, 400]);
    assert_eq!(of("secret")[0], "current");
    assert_eq!(of("event_id")[..2], ["msg_1", "msg_1"]);
    assert_eq!(of("event_id")[2], Value::Null, "nothing unproven is believed");
    assert_eq!(told["last"], 4);
    assert_eq!(json(&gate, "/api/decisions?after=3").await["decisions"].as_array().unwrap().len(), 1);
    assert_eq!(asked(&gate, "/api/decisions?after=x").await.status, 400);

    let status = json(&gate, "/api/status").await;
    let route = &status["routes"][0];
    assert_eq!((&route["name"], &route["path"]), (&"clerk".into(), &PATH.into()));
    let counts = &route["counts"];
    assert_eq!((&counts["accepted"], &counts["duplicates"], &counts["refused"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(status["doors"][0], format!("http://{}", gate.addr));
    assert_eq!(app.seen().len(), 2, "the delivery and the page, once each");
}

#[tokio::test]
async fn a_route_is_told_as_a_request_has_it_and_its_secret_by_its_place() {
    let app = App::start().await;
    let more = "[admin]\ninspector = \"127.0.0.1:0\"\n[app]\nbase_path = \"/docs\"\n[routes.pre]\npath = \"/pre/*\"\n\
                provider = \"twilio\"\nsecrets = [{ insecure_value = \"12345678901234567890123456789012\" }]\n";
    let server = format!("[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\n", app.addr);
    let public = format!(
        "{server}public_url = \"https://app.example/x\"\n[routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n{more}"
    );
    let gate = Gate::with(&public).await;
    let status = json(&gate, "/api/status").await;
    assert_eq!(status["base_path"], "/docs");
    let route = |name: &str| status["routes"].as_array().unwrap().iter().find(|route| route["name"] == name).unwrap();
    assert_eq!(route("clerk")["path"], format!("/docs{PATH}"));
    assert_eq!(route("pre")["path"], "/docs/pre/*");
    assert_eq!(route("pre")["url"], "https://app.example/x/docs/pre/*");
    assert_eq!(route("pre")["send"]["secret"], serde_json::json!({}), "its place, never itself");
}

#[tokio::test]
async fn a_head_is_as_long_as_on_the_health_port() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[admin]\ninspector = \"127.0.0.1:0\"\nhealth = \"127.0.0.1:0\"\n").await;
    for (length, status) in [(12_000, 200), (40_000, 431), (100_000, 431)] {
        let request = |path: &str| {
            let padding = "a".repeat(length);
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncookie: {padding}\r\n\r\n")
        };
        assert_eq!(send(gate.inspector.unwrap(), &request("/api/words")).await.status, status, "{length}");
        assert_eq!(send(gate.health.unwrap(), &request("/livez")).await.status, status, "{length}");
    }
}

#[tokio::test]
async fn no_answer_holds_a_body_a_query_a_signature_or_a_secret() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, INSPECTOR).await;
    let body = format!("{{\"data\":{{\"id\":\"{PRIVATE}\"}},\"type\":\"user.created\"}}");
    let private = format!(
        "cookie: a={PRIVATE}\r\nauthorization: Bearer {PRIVATE}\r\nx-{PRIVATE}: 1\r\nuser-agent: {PRIVATE}\r\nreferer: /{PRIVATE}\r\n"
    );
    assert_eq!(gate.exchange(genuine(&body, &private)).await.status, 200);
    let with_query = |request: String| request.replacen(PATH, &format!("{PATH}?token={PRIVATE}"), 1);
    assert_eq!(gate.exchange(with_query(genuine(&body, &private))).await.status, 200);
    assert_eq!(
        gate.exchange(with_query(forged("msg_2")).replace("svix-id: ", &format!("{private}svix-id: "))).await.status,
        401
    );
    let signature = svix_signature(SECRET, "msg_1", &now().to_string(), body.as_bytes());
    let malformed = genuine(&body, "").replace("svix-signature: ", &format!("svix-signature: {PRIVATE} "));
    assert_eq!(gate.exchange(malformed).await.status, 200, "a foreign version of a signature is passed over");
    assert_eq!(gate.exchange(get(&format!("/./x?{PRIVATE}"), &private)).await.status, 400);
    assert_eq!(gate.exchange(get(&format!("/page/{PRIVATE}"), &private)).await.status, 200);

    let mut listener = Listener::start(&gate, &private).await;
    listener.hear("bad_target").await;
    let mut answers = vec![("/api/events", listener.text)];
    for path in PATHS {
        let answer = asked(&gate, path).await;
        assert_eq!(answer.status, 200, "{path}");
        answers.push((path, format!("{}{}", answer.head, answer.text())));
    }
    for path in [&*format!("/{PRIVATE}"), &format!("/api/decisions?after={PRIVATE}")] {
        answers.push(("an unknown path", asked(&gate, path).await.text()));
    }
    let key = SECRET.trim_start_matches("whsec_");
    for (path, text) in answers {
        for secret in [PRIVATE, key, signature.trim_start_matches("v1,"), "user_1"] {
            assert!(!text.contains(secret), "{path} shows {secret}");
        }
    }
}

#[tokio::test]
async fn every_answer_keeps_the_browser_from_doing_more_with_it() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, INSPECTOR).await;
    for path in PATHS.iter().chain(&["/unknown"]) {
        let answer = asked(&gate, path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert_eq!(
            policy,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
             frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        );
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name).as_deref(), Some(value), "{path}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    let page = asked(&gate, "/").await.text();
    for foreign in ["http://", "https://", "//"] {
        let named = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!named.contains(foreign), "the page names another place: {foreign}");
    }
}

#[tokio::test]
async fn is_only_to_be_read() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, INSPECTOR).await;
    let inspector = gate.inspector.unwrap();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY"] {
        for path in PATHS.iter().chain(&["/api/events", "/forget"]) {
            let answer =
                send(inspector, &format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"))
                    .await;
            assert_eq!((answer.status, answer.header("allow").as_deref()), (405, Some("GET, HEAD")), "{method} {path}");
            assert!(answer.body.len() < 100);
        }
    }
    for path in PATHS {
        let answer =
            send(inspector, &format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
    let with_body = "GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx";
    assert_eq!(send(inspector, with_body).await.status, 400);
    assert_eq!(asked(&gate, "/metrics").await.status, 404);
    assert_eq!(asked(&gate, "/../etc/passwd").await.status, 404);
}

#[tokio::test]
async fn answers_no_other_name_and_no_page_of_another_origin() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, INSPECTOR).await;
    let inspector = gate.inspector.unwrap();
    gate.exchange(genuine(BODY, "")).await;
    let ours = format!("host: {inspector}");
    for (status, head) in [
        (200, &*ours),
        (200, "host: localhost:1234"),
        (421, "host: evil.example"),
        (421, "host: 127.0.0.1.nip.io"),
        (421, "host: 10.0.0.5:9091"),
        (400, "x: no host"),
        (400, "host: localhost\r\nhost: evil.example"),
        (403, "host: localhost\r\norigin: https://evil.example"),
        (403, "host: localhost:9091\r\norigin: http://localhost:3000"),
        (403, "host: localhost\r\norigin: null"),
        (403, "host: localhost\r\nsec-fetch-site: cross-site"),
        (403, "host: localhost\r\nsec-fetch-site: same-site"),
        (200, "host: localhost\r\nsec-fetch-site: same-origin"),
    ] {
        for path in ["/api/decisions", "/api/status"] {
            let answer = send(inspector, &format!("GET {path} HTTP/1.1\r\n{head}\r\n\r\n")).await;
            assert_eq!(answer.status, status, "{path} {head}");
            assert_eq!(answer.text().contains("clerk"), status == 200, "{path} {head}");
        }
        let answer =
            send(inspector, &format!("HEAD /api/events HTTP/1.1\r\n{head}\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, status, "/api/events {head}");
    }
    let absolute = "GET http://localhost/api/decisions HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert_eq!(send(inspector, absolute).await.status, 400);
}

#[tokio::test]
async fn an_odd_or_oversize_request_gets_a_short_refusal() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, INSPECTOR).await;
    let inspector = gate.inspector.unwrap();
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(128 * 1024));
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: 1\r\n".repeat(200));
    for (status, request) in
        [(431, &*long), (431, &*many), (400, "\0\0\0\r\n\r\n"), (400, "GET / HTTP/1.1\r\nhost : x\r\n\r\n")]
    {
        let mut stream = TcpStream::connect(inspector).await.unwrap();
        // It may be closed before everything was taken.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = Answer::read(&mut stream).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0));
    }
    assert_eq!(asked(&gate, "/").await.status, 200);
}

#[tokio::test]
async fn a_listener_hears_in_order_and_goes_on_where_it_was() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, INSPECTOR).await;
    gate.exchange(genuine(BODY, "")).await;
    let mut listener = Listener::start(&gate, "").await;
    listener.hear("\"outcome\":\"forwarded\"").await;
    assert!(listener.text.contains("content-type: text/event-stream"));
    for number in 2..=40 {
        gate.exchange(forged(&format!("msg_{number}"))).await;
    }
    listener.hear("\"number\":40,").await;
    let ids: Vec<String> = listener.ids().iter().map(|id| (*id).to_owned()).collect();
    let run = ids[0].split('-').next().unwrap();
    assert_eq!(ids, (1..=40).map(|number| format!("{run}-{number}")).collect::<Vec<_>>());

    gate.exchange(forged("msg_41")).await;
    let mut again = Listener::start(&gate, &format!("last-event-id: {}\r\n", ids[37])).await;
    again.hear("\"number\":41,").await;
    assert_eq!(again.ids(), [39, 40, 41].map(|number| format!("{run}-{number}")));
    // What another process has numbered says nothing here.
    let mut other = Listener::start(&gate, "last-event-id: 1-38\r\n").await;
    other.hear("\"number\":41,").await;
    assert_eq!(other.ids().len(), 41);
}

#[tokio::test]
async fn a_listener_that_takes_nothing_holds_up_nobody() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, INSPECTOR).await;
    let mut deaf = Vec::new();
    for _ in 0..4 {
        deaf.push(Listener::start(&gate, "").await);
    }
    let mut stream = TcpStream::connect(gate.addr).await.unwrap();
    let request = get("/./a", "");
    for _ in 0..3_000 {
        // Its head is refused, and with it the connection.
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(Answer::read(&mut stream).await.status, 400);
        stream = TcpStream::connect(gate.addr).await.unwrap();
    }
    let told = decisions(&gate, 3_000).await;
    assert_eq!(told["decisions"].as_array().unwrap().len(), 1_000, "no more than that is kept");
    assert_eq!(told["decisions"][0]["number"], 2_001);
    let mut listener = Listener::start(&gate, "").await;
    listener.hear("\"number\":3000,").await;
}

#[tokio::test]
async fn so_many_may_listen_and_not_one_more_until_one_has_left() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, INSPECTOR).await;
    let mut listeners = Vec::new();
    for _ in 0..16 {
        let mut listener = Listener::start(&gate, "").await;
        listener.hear("event: hello").await;
        listeners.push(listener);
    }
    let answer = asked(&gate, "/api/events").await;
    assert_eq!((answer.status, &*answer.text()), (503, "too many are listening\n"));
    assert_eq!(asked(&gate, "/api/decisions").await.status, 200);
    listeners.pop();
    let freed = async {
        loop {
            let request = "HEAD /api/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            if send(gate.inspector.unwrap(), request).await.status == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await.expect("a place in time");
}

#[tokio::test]
async fn a_crowd_of_connections_is_sent_away_and_the_gate_goes_on() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, INSPECTOR).await;
    let mut crowd = Vec::new();
    for _ in 0..64 {
        crowd.push(TcpStream::connect(gate.inspector.unwrap()).await.unwrap());
    }
    let mut late = TcpStream::connect(gate.inspector.unwrap()).await.unwrap();
    let answer = Answer::read(&mut late).await;
    assert_eq!((answer.status, &*answer.text()), (503, "too many connections\n"));
    assert_eq!(gate.exchange(genuine(BODY, "")).await.status, 200);
    drop(crowd);
    let freed = async {
        while asked(&gate, "/api/decisions").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await.expect("room in time");
}

#[tokio::test]
async fn a_public_one_answers_to_any_address_and_to_no_name() {
    let app = App::start().await;
    let public = "[admin]\ninspector = \"0.0.0.0:0\"\ninsecure_inspector_public = true\n";
    let gate = Gate::start(app.addr, public).await;
    let inspector = SocketAddr::from(([127, 0, 0, 1], gate.inspector.unwrap().port()));
    for (status, host) in [(200, "10.0.0.5:9091"), (200, "localhost"), (421, "evil.example")] {
        let answer = send(inspector, &format!("GET /api/status HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn without_the_key_there_is_none() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    assert_eq!(gate.inspector, None);
}

#[tokio::test]
async fn the_answer_of_the_apps_own_guard_is_told_apart() {
    let app = Parrot::start("HTTP/1.1 307 Temporary Redirect\r\nlocation: /sign-in\r\ncontent-length: 0\r\n\r\n").await;
    let gate = Gate::start(app, INSPECTOR).await;
    assert_eq!(gate.exchange(genuine(BODY, "")).await.status, 307);
    assert_eq!(gate.exchange(forged("msg_2")).await.status, 401);
    let told = decisions(&gate, 2).await;
    assert_eq!(told["decisions"][0]["app_guard"], true);
    assert_eq!(told["decisions"][1]["app_guard"], Value::Null, "our own 401 is not the app's");
    assert_eq!(json(&gate, "/api/status").await["routes"][0]["counts"]["app_failed"], 1);
}

/// An app that always says the same.
struct Parrot;

impl Parrot {
    async fn start(answer: &'static str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 65_536]).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        address
    }
}
