//! Upgrades: WebSocket and nothing else, only on the app's word, and never a way around the checks.

use crate::harness::{App, BODY, Gate, PATH, genuine, get};
use crate::script::*;

const ASK: &str = "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: chat\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\n\r\n";

/// Switches and echoes what comes, with a greeting that follows the head in the same packet.
async fn echo() -> Scripted {
    Scripted::start(|_, mut wire| async move {
        let head = wire.head().await.unwrap();
        assert!(head.to_lowercase().contains("upgrade: websocket"), "{head}");
        wire.send(format!("{SWITCH}hello;")).await;
        loop {
            let bytes = std::mem::take(&mut wire.held);
            if !bytes.is_empty() && wire.try_send(bytes).await.is_err() {
                return;
            }
            if !wire.more().await {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_websocket_carries_bytes_both_ways_those_that_come_early_included() {
    let app = echo().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    // No client may speak before the 101, but one that does must not be misread.
    client.send([get("/ws", ASK), "early;GET / HTTP/1.1\r\n\r\n\0\u{7f}".into()].concat()).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 101, "{answer:?}");

    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert!(answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(client.take(6).await, b"hello;");
    assert_eq!(client.until(b"\0\x7f").await.unwrap(), b"early;GET / HTTP/1.1\r\n\r\n\0\x7f");
    let big = vec![0xa5; 300_000];
    for bytes in [&b"\x81\x02hi"[..], &big, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let (sent, got) = (bytes.to_vec(), bytes.len());
        let (mut read, mut write) = client.stream.split();
        let mut back = vec![0; got];
        let (wrote, echoed) = tokio::join!(
            tokio::io::AsyncWriteExt::write_all(&mut write, &sent),
            tokio::io::AsyncReadExt::read_exact(&mut read, &mut back)
        );
        wrote.unwrap();
        echoed.unwrap();
        assert!(back == sent);
    }
}

#[tokio::test]
async fn bytes_before_and_after_the_switch_keep_their_order() {
    let (go, on) = tokio::sync::watch::channel(false);
    let app = Scripted::start(move |_, mut wire| {
        let mut on = on.clone();
        async move {
            wire.head().await.unwrap();
            on.wait_for(|on| *on).await.unwrap();
            wire.send(SWITCH).await;
            let got = wire.until(b"second;").await.unwrap();
            wire.send(got).await;
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    // More than the gate holds back before it knows: the rest is still in the socket when the app agrees.
    let first = "1".repeat(60_000);
    client.send(get("/ws", ASK) + &first).await;
    client.send("second;").await;
    pause(30).await;
    go.send_replace(true);
    assert_eq!(client.answer().await.status(), 101);
    assert!(client.until(b"second;").await.unwrap() == (first + "second;").as_bytes());
}

#[tokio::test]
async fn a_websocket_ends_when_either_side_does() {
    let app = echo().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/ws", ASK)).await;
    client.until(b"hello;").await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    client.assert_ends("the app closes after the client").await;

    let closing = Scripted::start(|_, mut wire| async move {
        wire.head().await.unwrap();
        wire.send(format!("{SWITCH}bye")).await;
    })
    .await;
    let gate = Gate::start(closing.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/ws", ASK)).await;
    assert_eq!(client.answer().await.status(), 101);
    assert_eq!(client.take(3).await, b"bye");
    client.assert_ends("the app has closed").await;
}

#[tokio::test]
async fn a_quiet_websocket_outlives_the_time_limits_of_http() {
    let app = echo().await;
    let gate = Gate::start(
        app.addr,
        "[limits]\nidle_timeout = \"1s\"\nhead_timeout = \"1s\"\nbody_timeout = \"1s\"\nupgrade_timeout = \"500ms\"\n",
    )
    .await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/ws", ASK)).await;
    client.until(b"hello;").await.unwrap();
    client.assert_quiet(1300, "an idle websocket stays").await;
    client.send("still;").await;
    assert_eq!(client.take(6).await, b"still;");
}

#[tokio::test]
async fn a_declined_upgrade_leaves_the_connection_usable() {
    let app = Scripted::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let asked = request.header("upgrade").is_some();
            let (status, body) = if asked { ("426 Upgrade Required", "declined") } else { ("200 OK", "plain") };
            if wire
                .try_send(format!("HTTP/1.1 {status}\r\nx: 1\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
                .await
                .is_err()
            {
                return;
            }
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for n in 0..4 {
        client.send(get("/ws", ASK)).await;
        let declined = client.answer().await;
        assert_eq!((declined.status(), declined.text().as_str(), declined.header("x")), (426, "declined", Some("1")));
        client.send(get(&format!("/{n}"), "")).await;
        assert_eq!(client.answer().await.text(), "plain");
        client.send(format!("POST /{n} HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")).await;
        assert_eq!(client.answer().await.text(), "plain");
    }
    // The next request is already there while the upgrade is undecided.
    let forged = genuine(BODY, "").replace("user_1", "user_2");
    client.send([get("/ws", ASK), get("/next", ""), forged, get("/last", "")].concat()).await;
    let statuses = [
        client.answer().await.status(),
        client.answer().await.status(),
        client.answer().await.status(),
        client.answer().await.status(),
    ];
    assert_eq!(statuses, [426, 200, 401, 200]);
}

#[tokio::test]
async fn only_a_101_that_echoes_websocket_switches() {
    for wrong in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nupgrade: h2c\r\n\r\n",
    ] {
        let app = Scripted::answering(wrong).await;
        let gate = Gate::start(app.addr, "").await;
        let mut client = Wire::dial(gate.addr).await;
        client.send(get("/ws", ASK)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_invalid"), "{wrong}");
        // The guard is still there: the next delivery is judged.
        client.send(genuine(BODY, "").replace("user_1", "user_2")).await;
        assert_eq!(client.answer().await.status(), 401, "{wrong}");
    }
}

#[tokio::test]
async fn other_upgrades_are_dropped_and_answered_as_plain_requests() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let h2c = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n";
    let requests = [
        get("/h2c", h2c),
        get("/tls", "connection: upgrade\r\nupgrade: TLS/1.0\r\n"),
        get("/two", &format!("connection: upgrade\r\nupgrade: websocket, h2c\r\n{key}")),
        get("/twice", &format!("connection: upgrade\r\nupgrade: websocket\r\nupgrade: h2c\r\n{key}")),
        get("/unlisted", &format!("upgrade: websocket\r\n{key}")),
        get("/keyless", "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"),
        get("/post", &format!("connection: upgrade\r\nupgrade: websocket\r\n{key}")).replace("GET", "POST"),
        format!("POST /h2c-body HTTP/1.1\r\nhost: a\r\n{h2c}content-length: 4\r\n\r\nbody"),
        format!(
            "POST /h2c-chunked HTTP/1.1\r\nhost: a\r\n{h2c}transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
        ),
        format!("GET /old HTTP/1.0\r\nhost: a\r\nconnection: upgrade, keep-alive\r\nupgrade: websocket\r\n{key}\r\n"),
    ];
    for request in &requests {
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 200, "{request}");
        assert_eq!(answer.text(), if request.contains("body") { "body" } else { "" }, "{request}");
    }
    let seen = app.seen();
    assert_eq!(seen.len(), requests.len());
    for request in seen {
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(!request.headers.contains_key(name), "{name} at the app: {request:?}");
        }
    }
}

#[tokio::test]
async fn an_upgrade_does_not_go_around_a_route() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get(PATH, ASK)).await;
    assert_eq!(client.answer().await.code(), "method_not_allowed");
    client.send(get(PATH, ASK).replace("GET", "POST")).await;
    assert_eq!(client.answer().await.code(), "header_missing");
    app.assert_unreached("upgrades to a route").await;
    client.send(genuine(BODY, ASK)).await;
    assert_eq!(client.answer().await.status(), 200);
    let seen = app.only();
    assert!(!seen.headers.contains_key("upgrade") && !seen.headers.contains_key("connection"), "{seen:?}");
}

#[tokio::test]
async fn an_upgrade_that_nobody_answers_is_a_504() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let app = Scripted::start(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.head().await.unwrap();
            wire.assert_ends("the gate gives up").await;
            tell.send(()).unwrap();
        }
    })
    .await;
    let gate = Gate::start(app.addr, "[limits]\nupgrade_timeout = \"200ms\"\n").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/ws", ASK)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.code().as_str()), (504, "upstream_timeout"));
    soon("the app's connection closed", told.recv()).await.unwrap();
}

#[tokio::test]
async fn an_upgrade_whose_client_leaves_is_cancelled() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let app = Scripted::start(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.head().await.unwrap();
            tell.send(()).unwrap();
            wire.assert_ends("the client has left").await;
            tell.send(()).unwrap();
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/ws", ASK)).await;
    soon("the upgrade at the app", told.recv()).await.unwrap();
    drop(client);
    soon("the app's connection closed", told.recv()).await.unwrap();
}

#[tokio::test]
async fn an_upgrade_to_an_app_that_is_down_is_a_502() {
    let gate = Gate::start("127.0.0.1:1".parse().unwrap(), "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/ws", ASK)).await;
    assert_eq!(client.answer().await.code(), "upstream_unreachable");
}
