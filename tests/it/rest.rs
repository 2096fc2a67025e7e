//! Connections of clients that wait: they cost little, and nobody notices that hyper has let go of them.

use std::time::{Duration, Instant};

use crate::harness::{App, BODY, Gate, genuine, get};
use crate::script::*;

/// Longer than a connection waits with hyper's buffers.
const RESTED: u64 = 250;

/// A genuine delivery's bytes with another signature.
fn forged() -> String {
    genuine(BODY, "").replacen("svix-id: msg_1", "svix-id: msg_2", 1)
}

/// A connection on which one request was answered, and which rests.
async fn rested(gate: &Gate) -> Wire {
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/", "")).await;
    assert_eq!(client.answer().await.status(), 200);
    pause(RESTED).await;
    client
}

#[tokio::test]
async fn after_a_rest_the_genuine_pass_and_the_forged_do_not() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = rested(&gate).await;
    for n in 1..=3 {
        client.send(genuine(BODY, "")).await;
        assert_eq!(client.answer().await.text(), BODY, "delivery {n}");
        pause(RESTED).await;
        client.send(get("/page", "")).await;
        assert_eq!(client.answer().await.status(), 200, "page {n}");
        pause(RESTED).await;
    }
    let reached = app.seen().len();
    assert_eq!(reached, 7);
    client.send(forged()).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.code()), (401, "signature_mismatch".into()));
    client.send(get("/ ", "")).await;
    assert_eq!(client.answer().await.status(), 400);
    pause(50).await;
    assert_eq!(app.seen().len(), reached, "what is refused reaches nobody, rested or not");
}

#[tokio::test]
async fn a_head_in_pieces_and_requests_in_a_row_are_whole_after_a_rest() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = rested(&gate).await;
    let delivery = genuine(BODY, "");
    for piece in [&delivery[..1], &delivery[1..30], &delivery[30..delivery.len() - 5], &delivery[delivery.len() - 5..]]
    {
        client.send(piece).await;
        pause(RESTED).await;
    }
    assert_eq!(client.answer().await.text(), BODY);
    pause(RESTED).await;
    client.send(format!("{}{}{}", get("/a", ""), genuine(BODY, ""), get("/b", ""))).await;
    for expected in ["", BODY, ""] {
        assert_eq!(client.answer().await.text(), expected);
    }
    assert_eq!(app.seen().iter().filter(|seen| seen.whole).count(), 5);
}

#[tokio::test]
async fn whatever_is_under_way_does_not_rest() {
    let app = Scripted::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            pause(RESTED).await;
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await;
            pause(RESTED).await;
            wire.send("1\r\nb\r\n0\r\n\r\n").await;
            assert!(request.text().len() < 10);
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for _ in 0..2 {
        client.send("POST /up HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n1").await;
        pause(RESTED).await;
        client.send("2").await;
        assert_eq!(client.answer().await.text(), "ab");
        pause(RESTED).await;
    }
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn a_rest_ends_with_the_idle_limit_and_half_a_head_with_the_heads() {
    let app = App::start().await;
    let limits = "[limits]\nidle_timeout = \"1s\"\nhead_timeout = \"1s\"\n";
    let gate = Gate::start(app.addr, limits).await;
    let mut client = rested(&gate).await;
    let begun = Instant::now();
    client.assert_quiet(300, "it is not idle for long enough").await;
    soon("the idle limit", client.assert_ends("idle")).await;
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(400) && waited < Duration::from_secs(5), "{waited:?}");
    let mut client = rested(&gate).await;
    client.send("GET / HTTP/1.1\r\nhost: ").await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 408);
    client.assert_ends("late").await;
    assert_eq!(app.seen().len(), 2, "half a head reaches nobody");
}

#[tokio::test]
async fn a_stop_closes_what_rests() {
    let app = App::start().await;
    let mut gate = Gate::start(app.addr, "").await;
    let mut client = rested(&gate).await;
    gate.stop();
    soon("the close", client.assert_ends("resting")).await;
    soon("the end of run()", &mut gate.served).await.unwrap();
}

#[tokio::test]
async fn an_upgrade_after_a_rest_is_a_tunnel_that_never_rests() {
    let app = Scripted::start(|connection, mut wire| async move {
        if connection == 0 {
            wire.request().await.unwrap();
            wire.send(OK).await;
        } else {
            // An upgrade has a connection of its own.
            wire.head().await.unwrap();
            wire.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
            for _ in 0..2 {
                let said = wire.take(4).await;
                wire.send(said).await;
            }
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = rested(&gate).await;
    client
        .send("GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 101 "));
    for word in ["ping", "pong"] {
        pause(RESTED).await;
        client.send(word).await;
        assert_eq!(client.take(4).await, word.as_bytes());
    }
}

#[tokio::test]
async fn five_hundred_connections_that_wait_take_less_than_12_kib_each() {
    let app = App::start().await;
    let program = Program::start(app.addr, "");
    let several = async |count: usize| {
        let mut clients = Vec::new();
        for _ in 0..count {
            let mut client = Wire::dial(program.addr).await;
            client.send(genuine(BODY, "")).await;
            assert_eq!(client.answer().await.status(), 200);
            clients.push(client);
        }
        pause(RESTED).await;
        clients
    };
    let few = several(50).await;
    let before = program.memory("VmRSS");
    // As they come over time: had all come at once, the most that was ever in use would be counted,
    // as the allocator keeps what is freed between two connections.
    let mut many = Vec::new();
    for _ in 0..10 {
        many.extend(several(50).await);
    }
    let each = || program.memory("VmRSS").saturating_sub(before) as f64 / 500.0;
    // A busy machine may let the last ones rest late.
    for _ in 0..50 {
        if each() < 12.0 {
            break;
        }
        pause(100).await;
    }
    assert!(each() < 12.0, "{} KiB a connection", each());
    drop((few, many));
}
