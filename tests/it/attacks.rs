//! Attacks that only hold on: whatever they do, a genuine delivery passes meanwhile, and nothing forged reaches the app.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{App, BODY, Gate, PATH, SECRET, genuine, get, signed_headers};
use crate::runs::{ask_http2, asking, http2};
use crate::script::*;
use crate::sender::Sent;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK literals (RFC 7541 §6.2.2), so that no table is needed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

pub fn head(method: &str, path: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "http"), (":authority", "app.example"), (":path", path)])
}

/// An HTTP/2 connection with its preface sent, and these settings.
pub async fn dial(gate: &Gate, settings: &[u8]) -> Wire {
    let mut wire = Wire::dial(gate.addr).await;
    wire.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, settings)].concat()).await;
    wire
}

/// The next frame: kind, flags, stream, payload. `None` at the end.
pub async fn next(wire: &mut Wire) -> Option<(u8, u8, u32, Vec<u8>)> {
    let head = wire.take(9).await;
    let [a, b, c, kind, flags, s, t, u, v] = head[..] else { return None };
    let payload = wire.take(u32::from_be_bytes([0, a, b, c]) as usize).await;
    Some((kind, flags, u32::from_be_bytes([s, t, u, v]), payload))
}

/// The first frame of this kind. `None` when the connection ends before.
pub async fn first(wire: &mut Wire, wanted: u8) -> Option<(u8, u32, Vec<u8>)> {
    loop {
        let (kind, flags, stream, payload) = next(wire).await?;
        if kind == wanted && !(kind == SETTINGS && flags == ACK) {
            return Some((flags, stream, payload));
        }
    }
}

async fn assert_genuine_passes(addr: SocketAddr, why: &str) {
    let mut sender = Wire::dial(addr).await;
    sender.send(genuine(BODY, "")).await;
    let answer = sender.answer().await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, BODY), "{why}");
}

fn assert_all_genuine(app: &App, count: usize) {
    let seen = app.seen();
    assert!(seen.iter().all(|seen| seen.headers.contains_key("verified-event")), "{seen:?}");
    assert_eq!(seen.len(), count);
}

/// A figure of `/metrics`.
async fn figure(health: SocketAddr, name: &str) -> u64 {
    let mut wire = Wire::dial(health).await;
    wire.send(get("/metrics", "connection: close\r\n")).await;
    let text = wire.answer().await.text();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("{text}"));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_flood_of_connections_locks_no_sender_out() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nmax_connections = 20\n[admin]\nhealth = \"127.0.0.1:0\"\n").await;
    let mut busy = Wire::dial(gate.addr).await;
    busy.send(genuine(BODY, "x-delay: 700\r\n")).await;
    let (mut flood, mut passed) = (Vec::new(), 0);
    for n in 0..200 {
        let mut wire = Wire::dial(gate.addr).await;
        let first = ["", "G", "POST /api/webhooks/clerk HTTP/1.1\r\nhost: a\r\n", "PRI * HT"][n % 4];
        let _ = wire.try_send(first).await;
        flood.push(wire);
        if n % 40 == 39 {
            assert_genuine_passes(gate.addr, "in the flood").await;
            passed += 1;
        }
    }
    let open = figure(gate.health.unwrap(), "hookward_connections").await;
    assert!(open <= 22, "{open} connections");
    assert_eq!(busy.answer().await.status(), 200, "what is under way is never closed");
    assert_all_genuine(&app, passed + 1);
}

#[tokio::test]
async fn heads_that_trickle_in_hold_up_nobody() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nhead_timeout = \"500ms\"\n").await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut wire = Wire::dial(gate.addr).await;
        wire.send(format!("POST {PATH} HTTP/1.1\r\nhost: a\r\nx: ")).await;
        slow.push(wire);
    }
    assert_genuine_passes(gate.addr, "beside slow heads").await;
    for mut wire in slow {
        assert_eq!(wire.answer().await.status(), 408);
        wire.assert_ends("half a head").await;
    }
    assert_all_genuine(&app, 1);
}

#[tokio::test]
async fn slow_forged_bodies_make_room_for_a_genuine_one() {
    let app = App::start().await;
    let more = "max_body = \"600KiB\"\n[limits]\nmax_body = \"600KiB\"\nbuffered_bytes = \"1MiB\"\n\
                [admin]\nhealth = \"127.0.0.1:0\"\n";
    let gate = Gate::start(app.addr, more).await;
    let health = gate.health.unwrap();
    let forged = signed_headers("msg_1", crate::harness::now(), b"another body");
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n{forged}content-length: 500000\r\n\r\n");
    let mut slow = Vec::new();
    // The first is the slowest: it began first and sent as much.
    for _ in 0..4 {
        let mut wire = Wire::dial(gate.addr).await;
        wire.send([head.as_bytes(), &[b'x'; 250_000]].concat()).await;
        pause(100).await;
        slow.push(wire);
    }
    assert_eq!(figure(health, "hookward_buffered_bytes").await, 1_000_000);
    let body = format!("{{\"type\":\"user.created\",\"pad\":\"{}\"}}", "p".repeat(200_000));
    let mut sender = Wire::dial(gate.addr).await;
    sender.send(genuine(&body, "")).await;
    assert_eq!(sender.answer().await.status(), 200);
    let dropped = slow[0].answer().await;
    assert_eq!((dropped.status(), dropped.code().as_str()), (503, "overloaded"));
    slow[3].assert_quiet(50, "the fastest of them goes on").await;
    drop(slow);
    soon("the budget is whole again", async {
        while figure(health, "hookward_buffered_bytes").await > 0 {
            pause(10).await;
        }
    })
    .await;
    assert_all_genuine(&app, 1);
}

#[tokio::test]
async fn what_streams_through_slowly_on_every_connection_locks_no_sender_out() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nmax_connections = 16\n").await;
    let mut slow = Vec::new();
    for n in 0..20 {
        let mut wire = Wire::dial(gate.addr).await;
        let page = [
            "GET /?delay=3000 HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST /page HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx",
        ];
        wire.send(page[n % 2]).await;
        slow.push(wire);
        pause(10).await;
    }
    // An eighth of the places is for deliveries.
    for wire in &mut slow[14..] {
        let answer = wire.answer().await;
        assert_eq!((answer.status(), answer.code().as_str()), (503, "overloaded"));
    }
    for n in 0..3 {
        assert_genuine_passes(gate.addr, &format!("genuine {n}")).await;
    }
    // A place that is left is taken again.
    drop(slow.remove(1));
    pause(100).await;
    let mut page = Wire::dial(gate.addr).await;
    page.send(get("/page", "")).await;
    assert_eq!(page.answer().await.status(), 200);
    let delivered = app.seen().iter().filter(|seen| seen.headers.contains_key("verified-event")).count();
    assert_eq!(delivered, 3);
}

/// A delivery over HTTP/2, without its body. `signed` is a line a header.
fn delivery(signed: &str) -> Vec<u8> {
    let lines = signed.lines().map(|line| line.split_once(": ").unwrap());
    [head("POST", PATH), block(&lines.collect::<Vec<_>>())].concat()
}

#[tokio::test]
async fn slow_forged_bodies_on_every_connection_make_room_for_a_genuine_one() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nmax_connections = 8\n").await;
    let forged = signed_headers("msg_1", crate::harness::now(), b"another body");
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut wire = Wire::dial(gate.addr).await;
        wire.send(format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n{forged}content-length: 9000\r\n\r\nslow")).await;
        slow.push(wire);
    }
    pause(1200).await;
    for n in 0..3 {
        assert_genuine_passes(gate.addr, &format!("genuine {n}")).await;
    }
    let dropped = slow[0].answer().await;
    assert_eq!((dropped.status(), dropped.code().as_str()), (503, "overloaded"));
    assert_all_genuine(&app, 3);
}

#[tokio::test]
async fn a_connection_full_of_slow_streams_locks_no_other_one_out() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nmax_connections = 8\n").await;
    let forged = delivery(&signed_headers("msg_1", crate::harness::now(), b"another body"));
    let mut hog = dial(&gate, &[]).await;
    for stream in (1..17).step_by(2) {
        hog.send([frame(HEADERS, END_HEADERS, stream, &forged), frame(DATA, 0, stream, b"slow")].concat()).await;
    }
    pause(100).await;
    let mut sender = dial(&gate, &[]).await;
    let signed = delivery(&signed_headers("msg_2", crate::harness::now(), BODY.as_bytes()));
    sender.send([frame(HEADERS, END_HEADERS, 1, &signed), frame(DATA, END_STREAM, 1, BODY.as_bytes())].concat()).await;
    // `:status: 200`, and nothing else, is the eighth entry of HPACK's static table.
    assert_eq!(first(&mut sender, HEADERS).await.unwrap().2.first(), Some(&0x88));
    // The connection that is in the way gets no more.
    hog.send(frame(HEADERS, END_HEADERS | END_STREAM, 17, &head("GET", "/page"))).await;
    let (_, stream, block) = first(&mut hog, HEADERS).await.unwrap();
    // `:status` by its name in the static table, 503 as a literal (Huffman or not), and no body.
    assert_eq!((stream, block.first()), (17, Some(&0x48)), "{block:x?}");
    assert_all_genuine(&app, 1);
}

#[tokio::test]
async fn a_window_that_never_opens_ends_its_stream_and_lets_the_app_go() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let app = Scripted::start(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.request().await.unwrap();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 33554432\r\n\r\n").await;
            while wire.try_send(&[b'x'; 65536]).await.is_ok() {}
            tell.send(()).unwrap();
        }
    })
    .await;
    let gate = Gate::start(app.addr, "[limits]\nidle_timeout = \"1s\"\n").await;
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    let mut wire = dial(&gate, &[0, 4, 0, 0, 0, 0]).await;
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/big"))).await;
    let since = tokio::time::Instant::now();
    let answering = async {
        assert_eq!(first(&mut wire, HEADERS).await.unwrap().1, 1);
        assert_eq!(first(&mut wire, RST_STREAM).await.expect("a reset, not an end").1, 1);
        wire.send(frame(PING, 0, 0, b"are you?")).await;
        assert_eq!(first(&mut wire, PING).await.expect("the connection goes on").2, b"are you?");
    };
    answering.await;
    let took = since.elapsed().as_millis();
    assert!((900..4000).contains(&took), "{took} ms");
    soon("the app is let go", told.recv()).await.unwrap();
}

/// Behind a balancer that puts many clients on one connection: what one of them uploads, and the app does not take.
#[tokio::test]
async fn uploads_that_the_app_does_not_read_hold_up_nothing_else_on_their_connection() {
    let app = Scripted::start(|_, mut wire| async move {
        if wire.head().await.unwrap().contains("/up") {
            return std::future::pending().await;
        }
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nran").await;
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let shared = http2(gate.addr).await;
    let up = Sent::post("/up", "x".repeat(16 << 20));
    let ups: Vec<_> = (0..15).map(|_| tokio::spawn(ask_http2(&shared, &up))).collect();
    pause(1500).await;
    let passed = soon("the delivery", ask_http2(&shared, &asking("msg_1", ""))).await;
    assert_eq!(passed, (200, "ran".to_owned()));
    assert!(ups.iter().all(|up| !up.is_finished()), "they still wait");
}

#[tokio::test]
async fn more_streams_than_may_run_cost_nothing_while_their_window_is_shut() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nmax_connections = 5\n").await;
    let mut wire = dial(&gate, &[0, 4, 0, 0, 0, 0]).await;
    let unsigned = head("POST", PATH);
    for n in 0..30 {
        wire.send(frame(HEADERS, END_HEADERS | END_STREAM, n * 2 + 1, &unsigned)).await;
    }
    let mut ended = 0;
    for _ in 0..30 {
        let (flags, ..) = first(&mut wire, HEADERS).await.unwrap();
        ended += u32::from(flags & END_STREAM != 0);
    }
    assert_eq!(ended, 25, "five wait for their window with a body, the rest are done");
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn an_http_2_body_that_stalls_is_told_so() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nbody_timeout = \"500ms\"\n").await;
    let mut wire = dial(&gate, &[]).await;
    let since = tokio::time::Instant::now();
    wire.send(frame(HEADERS, END_HEADERS, 1, &head("POST", "/up"))).await;
    wire.send(frame(DATA, 0, 1, b"a part")).await;
    assert_eq!(first(&mut wire, HEADERS).await.unwrap().1, 1);
    let (_, stream, body) = first(&mut wire, DATA).await.unwrap();
    let took = since.elapsed().as_millis();
    assert!((450..3000).contains(&took), "{took} ms");
    assert_eq!(stream, 1);
    assert!(String::from_utf8_lossy(&body).contains("\"body_timeout\""), "{}", String::from_utf8_lossy(&body));
}

#[tokio::test]
async fn requests_that_are_withdrawn_at_once_end_their_connection() {
    // What we refuse ourselves makes up for none of them.
    for beside in [None, Some("//x")] {
        withdrawn_at_once(beside).await;
    }
}

async fn withdrawn_at_once(beside: Option<&str>) {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut wire = dial(&gate, &[]).await;
    assert!(first(&mut wire, SETTINGS).await.is_some());
    let (mut sent, mut ended) = (0, false);
    for n in 0..400_u32 {
        let stream = n * 4 + 1;
        let mut request = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", "/?delay=5000"));
        if let Some(path) = beside {
            request.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream + 2, &head("GET", path)));
        }
        if wire.try_send(request).await.is_err() {
            ended = true;
            break;
        }
        // Late enough to have begun work.
        pause(2).await;
        if wire.try_send(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await.is_err() {
            ended = true;
            break;
        }
        sent += 1;
        if n == 60 {
            assert_genuine_passes(gate.addr, "beside rapid resets").await;
        }
    }
    if !ended {
        assert!(first(&mut wire, GOAWAY).await.is_some(), "{sent} were withdrawn");
    }
    let reached = app.seen().iter().filter(|seen| seen.method == "GET").count();
    assert!((90..399).contains(&reached), "{reached} of {sent} reached the app");
    while wire.more().await {}
    assert_genuine_passes(gate.addr, "after rapid resets").await;
}

#[tokio::test]
async fn floods_of_control_frames_hold_up_nobody() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nidle_timeout = \"1s\"\n").await;
    let floods = [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(2, 0, 1, &[0, 0, 0, 0, 1]),
        frame(8, 0, 0, &[0, 0, 0, 1]),
    ];
    let mut attackers = tokio::task::JoinSet::new();
    for flood in floods {
        let wire = dial(&gate, &[]).await;
        attackers.spawn(async move {
            let many = flood.repeat(1000);
            let mut taken = 0;
            // Nothing is read: the answers to it must not pile up in our memory.
            while taken < 64 << 20 {
                match tokio::time::timeout(Duration::from_secs(2), wire.stream.writable()).await {
                    Ok(Ok(())) => {}
                    _ => break,
                }
                match wire.stream.try_write(&many) {
                    Ok(n) => taken += n,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
            taken
        });
    }
    for _ in 0..5 {
        assert_genuine_passes(gate.addr, "beside floods").await;
        pause(20).await;
    }
    soon("the floods end", async { while attackers.join_next().await.is_some() {} }).await;
    assert_all_genuine(&app, 5);
}

#[tokio::test]
async fn frames_without_content_and_endless_heads_end_their_connection() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut empty = dial(&gate, &[]).await;
    empty.send(frame(HEADERS, END_HEADERS, 1, &head("POST", PATH))).await;
    let _ = empty.try_send(frame(DATA, 0, 1, b"").repeat(1000)).await;
    let mut endless = dial(&gate, &[]).await;
    endless.send(frame(HEADERS, 0, 1, &head("POST", PATH))).await;
    let filler = block(&[("x-filler", "0123456789")]);
    let _ = endless.try_send(frame(CONTINUATION, 0, 1, &filler.repeat(100)).repeat(200)).await;
    for (mut wire, why) in [(empty, "empty DATA"), (endless, "CONTINUATION")] {
        // A reset may overtake the GOAWAY.
        while let Some((kind, ..)) = next(&mut wire).await {
            if kind == GOAWAY {
                break;
            }
        }
        assert!(
            soon(why, async {
                while wire.more().await {}
                true
            })
            .await
        );
    }
    let mut long = Wire::dial(gate.addr).await;
    long.send(format!("POST {PATH} HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(17 << 10))).await;
    assert_eq!(long.answer().await.status(), 431);
    assert_genuine_passes(gate.addr, "after them").await;
    assert_all_genuine(&app, 1);
}

/// The program with few descriptors.
struct Poor {
    child: Child,
    addr: SocketAddr,
    health: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Poor {
    fn start(app: SocketAddr, descriptors: u32) -> Self {
        use std::io::BufRead;
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("hookward.toml");
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\n[admin]\nhealth = \"127.0.0.1:0\"\n\
             [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\nreplay = \"off\"\n"
        );
        std::fs::write(&config, toml).unwrap();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -n {descriptors}; exec \"$0\" run --log json --config \"$1\""))
            .args([env!("CARGO_BIN_EXE_hookward").as_ref(), config.as_os_str()])
            .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut ports = None;
        for line in lines.by_ref().map_while(Result::ok) {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            let fields = line.get("fields").unwrap_or(&line);
            let port = |name| fields.get(name)?.as_str()?.trim_matches(['[', ']']).parse().ok();
            if let (Some(listen), Some(health)) = (port("listen"), port("health")) {
                ports = Some((listen, health));
                break;
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        let Some((addr, health)) = ports else {
            let _ = child.kill();
            panic!("it does not say where it listens");
        };
        Self { child, addr, health, _directory: directory }
    }

    /// CPU time so far, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Poor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn without_descriptors_it_neither_spins_nor_stays_deaf() {
    let app = App::start().await;
    let gate = Poor::start(app.addr, 64);
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(Wire::dial(gate.addr).await);
    }
    let before = gate.ticks();
    pause(2000).await;
    let spent = gate.ticks() - before;
    assert!(spent < 50, "{spent} of 200 hundredths of a second");
    let mut probe = Wire::dial(gate.health).await;
    probe.send(get("/livez", "connection: close\r\n")).await;
    assert_eq!(probe.answer().await.status(), 200);
    assert_genuine_passes(gate.addr, "in the flood").await;
    drop(flood);
    assert_genuine_passes(gate.addr, "after the flood").await;
    assert_all_genuine(&app, 2);
}
