//! Stopping: readiness first, nothing new, nothing lost, and an end.

use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::harness::{App, BODY, Gate, SECRET, genuine, get};
use crate::script::*;

const HEALTH: &str = "[admin]\nhealth = \"127.0.0.1:0\"\n";

async fn probe(addr: std::net::SocketAddr, path: &str) -> u16 {
    let mut wire = Wire::dial(addr).await;
    wire.send(get(path, "connection: close\r\n")).await;
    wire.answer().await.status()
}

async fn busy(app: &App, requests: usize) {
    soon("the app is busy", async {
        while app.seen().len() < requests {
            pause(2).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stopping_gate_is_not_ready_takes_nothing_new_and_finishes_what_runs() {
    let app = App::start().await;
    let mut gate = Gate::start(app.addr, HEALTH).await;
    let health = gate.health.unwrap();
    assert_eq!((probe(health, "/readyz").await, probe(health, "/livez").await), (200, 200));
    let (mut page, mut sender, mut idle, mut silent) = (
        Wire::dial(gate.addr).await,
        Wire::dial(gate.addr).await,
        Wire::dial(gate.addr).await,
        Wire::dial(gate.addr).await,
    );
    idle.send(get("/", "")).await;
    assert_eq!(idle.answer().await.status(), 200);
    page.send(get("/?delay=300", "")).await;
    sender.send(genuine(BODY, "x-delay: 300\r\n")).await;
    busy(&app, 3).await;

    gate.stop();
    soon("idle connections are closed", async {
        idle.assert_ends("kept alive, idle").await;
        silent.assert_ends("never used").await;
    })
    .await;
    assert_eq!((probe(health, "/readyz").await, probe(health, "/livez").await), (503, 200));
    assert!(TcpStream::connect(gate.addr).await.is_err(), "no new connection");
    assert!(!gate.served.is_finished());
    let (page_answer, delivered) = (page.answer().await, sender.answer().await);
    assert_eq!((page_answer.status(), delivered.status(), delivered.text().as_str()), (200, 200, BODY));
    page.assert_ends("a kept connection closes after its request").await;
    sender.assert_ends("a kept connection closes after its request").await;
    soon("the end of run()", &mut gate.served).await.unwrap();
    assert!(TcpStream::connect(health).await.is_err());
}

#[tokio::test]
async fn a_gate_with_nothing_to_do_stops_at_once() {
    let app = App::start().await;
    let mut gate = Gate::start(app.addr, "").await;
    let mut idle = Wire::dial(gate.addr).await;
    idle.send(get("/", "")).await;
    assert_eq!(idle.answer().await.status(), 200);
    let since = tokio::time::Instant::now();
    gate.stop();
    soon("the end of run()", &mut gate.served).await.unwrap();
    assert!(since.elapsed() < Duration::from_millis(400), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_delivery_without_its_client_holds_up_the_end() {
    let app = App::start().await;
    let mut gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(genuine(BODY, "x-delay: 200\r\n")).await;
    busy(&app, 1).await;
    drop(client);
    pause(20).await;
    gate.stop();
    soon("the end of run()", &mut gate.served).await.unwrap();
    assert!(app.only().whole, "run() returned before the app had finished");
}

#[tokio::test]
async fn a_body_that_is_on_its_way_still_arrives() {
    let app = App::start().await;
    let mut gate = Gate::start(app.addr, "").await;
    let sent = genuine(BODY, "");
    let mut client = Wire::dial(gate.addr).await;
    client.send(&sent[..sent.len() - 9]).await;
    pause(20).await;
    gate.stop();
    pause(20).await;
    client.send(&sent[sent.len() - 9..]).await;
    assert_eq!(client.answer().await.status(), 200);
    soon("the end of run()", &mut gate.served).await.unwrap();
    assert_eq!(app.only().body, BODY);
}

#[tokio::test]
async fn what_still_runs_at_the_end_of_drain_is_cut_off() {
    let stream = Scripted::start(|_, mut wire| async move {
        let head = wire.head().await.unwrap();
        if head.starts_with("GET /ws") {
            wire.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
        } else if head.starts_with("GET /events") {
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
        }
        wire.more().await;
    })
    .await;
    let mut gate = Gate::start(stream.addr, "[limits]\ndrain = \"1s\"\n").await;
    let (mut events, mut websocket, mut hanging, mut half) = (
        Wire::dial(gate.addr).await,
        Wire::dial(gate.addr).await,
        Wire::dial(gate.addr).await,
        Wire::dial(gate.addr).await,
    );
    events.send(get("/events", "")).await;
    events.until(b"one\r\n").await.unwrap();
    websocket
        .send(get(
            "/ws",
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: a\r\n",
        ))
        .await;
    assert_eq!(websocket.answer().await.status(), 101);
    hanging.send(get("/hang", "")).await;
    let sent = genuine(BODY, "");
    half.send(&sent[..sent.len() - 9]).await;
    pause(20).await;
    let since = tokio::time::Instant::now();
    gate.stop();
    let refused = half.answer().await;
    assert_eq!(
        (refused.status(), refused.code().as_str()),
        (503, "draining"),
        "a body that cannot be waited for any longer"
    );
    soon("the end of run()", &mut gate.served).await.unwrap();
    let took = since.elapsed().as_millis();
    assert!((950..2500).contains(&took), "{took} ms");
    soon("everything is closed", async {
        for (wire, what) in [(&mut events, "a stream"), (&mut websocket, "a tunnel"), (&mut hanging, "a request")] {
            wire.assert_ends(what).await;
        }
    })
    .await;
}

#[tokio::test]
async fn sigterm_finishes_what_runs_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let app = App::start().await;
        let mut program = Program::start(app.addr, "");
        assert_eq!((probe(program.health, "/readyz").await, probe(program.health, "/livez").await), (200, 200));
        let mut sender = Wire::dial(program.addr).await;
        sender.send(genuine(BODY, "x-delay: 200\r\n")).await;
        busy(&app, 1).await;
        program.signal(signal);
        assert_eq!(sender.answer().await.text(), BODY);
        assert_eq!(program.exit().await, Some(0), "SIG{signal}");
    }
}

#[tokio::test]
async fn sigterm_with_something_endless_exits_0_after_drain() {
    let app = Scripted::start(|_, mut wire| async move {
        wire.request().await.unwrap();
        wire.more().await;
    })
    .await;
    let mut program = Program::start(app.addr, "[limits]\ndrain = \"0s\"\n");
    let mut client = Wire::dial(program.addr).await;
    client.send(get("/hang", "")).await;
    pause(50).await;
    program.signal("TERM");
    assert_eq!(program.exit().await, Some(0));
    client.assert_ends("cut off").await;
}

#[tokio::test]
async fn healthcheck_exits_0_when_alive_1_when_not_2_on_bad_usage() {
    let app = App::start().await;
    let mut program = Program::start(app.addr, "");
    let health = program.health.to_string();
    let check = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
        command.arg("healthcheck").args(arguments).env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check(&["--address", &health]).0, 0);
    assert_eq!(check(&["--address", &health, "--ready"]).0, 0);
    assert_eq!(check(&["--address", "nonsense"]).0, 2);

    // By configuration: the address that the file says.
    let config = std::fs::read_to_string(&program.config).unwrap();
    let named = program.config.with_file_name("named.toml");
    std::fs::write(&named, config.replace("health = \"127.0.0.1:0\"", &format!("health = \"{health}\""))).unwrap();
    let file = named.to_str().unwrap();
    assert_eq!(check(&["--config", file]).0, 0);

    // After an edit that the process survives, it is as alive as before.
    let broken = program.config.with_file_name("broken.toml");
    for spoilt in ["[nonsense]\n", "[routes.clerk]\npath = 7\n", "= =\n"] {
        std::fs::write(&broken, format!("{}\n{spoilt}", std::fs::read_to_string(&named).unwrap())).unwrap();
        assert_eq!(check(&["--config", broken.to_str().unwrap()]), (0, String::new()), "{spoilt}");
    }

    // Without admin.health a connection has to be enough.
    let bare = program.config.with_file_name("bare.toml");
    let listening = |address: &str| {
        std::fs::write(&bare, format!("[server]\nlisten = \"{address}\"\n")).unwrap();
        check(&["--config", bare.to_str().unwrap()]).0
    };
    assert_eq!(listening(&program.addr.to_string()), 0);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(listening(&free.to_string()), 1);

    // While it drains it is alive, and not ready.
    let mut sender = Wire::dial(program.addr).await;
    sender.send(genuine(BODY, "x-delay: 600\r\n")).await;
    busy(&app, 1).await;
    program.signal("TERM");
    soon("readiness fails", async {
        while check(&["--address", &health, "--ready"]).0 == 0 {
            pause(5).await;
        }
    })
    .await;
    assert!(check(&["--address", &health, "--ready"]).1.contains("503"));
    assert_eq!(check(&["--address", &health]).0, 0);
    assert_eq!(sender.answer().await.status(), 200);
    program.exit().await;
    let (code, message) = check(&["--config", file]);
    assert_eq!(code, 1);
    assert!(message.contains(&health), "{message}");
    assert_eq!(check(&["--config", "/nonexistent.toml"]).0, 1);
}

#[tokio::test]
async fn a_delivery_that_waits_for_an_app_that_is_gone_is_answered_in_a_shutdown() {
    let nobody = Scripted::answering(OK).await.close().await;
    let mut gate = Gate::start(nobody, "").await;
    let mut sender = Wire::dial(gate.addr).await;
    sender.send(genuine(BODY, "")).await;
    pause(200).await;
    let since = tokio::time::Instant::now();
    gate.stop();
    let answer = sender.answer().await;
    assert_eq!((answer.status(), answer.code().as_str()), (503, "draining"));
    assert!(answer.header("retry-after").is_some());
    soon("the end of run()", &mut gate.served).await.unwrap();
    assert!(since.elapsed() < Duration::from_millis(1500), "{:?}", since.elapsed());
}

#[tokio::test]
async fn linger_ends_with_the_app() {
    let app = Scripted::answering(OK).await;
    let program = Program::start(app.addr, "");
    let config = std::fs::read_to_string(&program.config).unwrap();
    let linger = |config: &str, arguments: &[&str]| {
        let file = program.config.with_file_name("linger.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
        command.arg("linger").arg("--config").arg(&file).args(arguments).env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let mut patient = linger(&config, &["--at-most", "30s"]);
    pause(500).await;
    assert!(patient.try_wait().unwrap().is_none(), "it ended while the app listened");
    let bounded = linger(&config, &["--at-most", "300ms"]).wait_with_output().unwrap();
    assert_eq!(bounded.status.code(), Some(1), "the longest wait is over");
    app.close().await;
    soon("the end of linger", async {
        while patient.try_wait().unwrap().is_none() {
            pause(5).await;
        }
    })
    .await;
    assert_eq!(patient.wait().unwrap().code(), Some(0));

    // Broken on the disk, while the plan in force serves on: a fixed time, no longer than asked.
    let since = std::time::Instant::now();
    let blind = linger("nonsense", &["--at-most", "300ms"]).wait_with_output().unwrap();
    assert_eq!(blind.status.code(), Some(1));
    assert!(since.elapsed() >= Duration::from_millis(300));
    assert!(String::from_utf8(blind.stderr).unwrap().contains("linger.toml"));
}
