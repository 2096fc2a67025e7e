//! What no request tells: floods of empty frames, heads that never end, and what h2 refuses by itself. Each has one line.

use std::time::Duration;

use serde_json::Value;

use crate::attacks::*;
use crate::harness::{App, BODY, Gate, Lines, PATH, genuine};
use crate::script::*;

async fn logged(app: &App, more: &str) -> (Gate, Lines) {
    Gate::logged(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\n[routes.clerk]\npath = \"{PATH}\"\n\
         provider = \"clerk\"\n{more}",
        app.addr
    ))
    .await
}

fn outcome(line: &Value) -> (&str, &str) {
    (line["outcome"].as_str().unwrap(), line["detail"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_flood_of_frames_without_a_request_is_cut_off_and_logged_once() {
    let app = App::start().await;
    for (flood, name) in [
        (frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]), "SETTINGS"),
        (frame(PING, 0, 0, b"12345678"), "PING"),
        (frame(2, 0, 1, &[0, 0, 0, 0, 1]), "PRIORITY"),
        (frame(200, 0, 0, b"unknown"), "unknown"),
        (frame(8, 0, 1, &[0, 0, 0, 1]), "WINDOW_UPDATE"),
    ] {
        let (gate, lines) = logged(&app, "").await;
        let mut wire = dial(&gate, &[]).await;
        wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/?delay=60000"))).await;
        for _ in 0..40 {
            if wire.try_send(flood.repeat(100)).await.is_err() {
                break;
            }
            pause(1).await;
        }
        let (_, _, why) = soon(name, first(&mut wire, GOAWAY)).await.unwrap_or_else(|| panic!("{name}: no GOAWAY"));
        assert_eq!(why, [0, 0, 0, 1, 0, 0, 0, 11], "{name}");
        while wire.more().await {}
        let lines = lines.wait(2).await;
        let said: Vec<_> = lines.iter().map(|line| outcome(line).0).collect();
        assert!(said.contains(&"client_left"), "{said:?}");
        let line = lines.iter().find(|line| line["outcome"] == "overloaded").unwrap();
        assert!(outcome(line).1.contains("floods"), "{line}");
        assert_eq!(line["peer"], "127.0.0.1");
    }
}

#[tokio::test]
async fn frames_that_an_honest_client_sends_are_let_pass() {
    let app = App::start().await;
    let (gate, lines) = logged(&app, "").await;
    let mut wire = dial(&gate, &[]).await;
    for n in 0..1200_u32 {
        let stream = n * 2 + 1;
        let open = frame(8, 0, 0, &[0, 0, 1, 0]);
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", PATH));
        wire.send([request, frame(2, 0, stream, &[0, 0, 0, 0, 1]), open].concat()).await;
        assert!(first(&mut wire, HEADERS).await.is_some(), "{n}");
    }
    lines.wait(1200).await;
}

#[tokio::test]
async fn half_a_head_over_http_1_is_answered_and_logged_and_silence_is_not() {
    let app = App::start().await;
    let (gate, lines) = logged(&app, "[limits]\nhead_timeout = \"300ms\"\nidle_timeout = \"1s\"\n").await;
    let mut silent = Wire::dial(gate.addr).await;
    let mut kept = Wire::dial(gate.addr).await;
    kept.send(genuine(BODY, "")).await;
    assert_eq!(kept.answer().await.status(), 200);
    let (mut begun, mut single) = (Wire::dial(gate.addr).await, Wire::dial(gate.addr).await);
    begun.send(format!("POST {PATH} HTTP/1.1\r\nhost: a\r\nx: ")).await;
    single.send("P").await;
    for mut wire in [begun, single] {
        let answer = wire.answer().await;
        assert_eq!(answer.status(), 408);
        wire.assert_ends("half a head").await;
    }
    silent.assert_ends("silence").await;
    kept.assert_ends("between requests").await;
    let lines = lines.wait(3).await;
    let late = ("framing", "the head did not end within `limits.head_timeout`");
    assert_eq!(lines.iter().filter(|line| outcome(line) == late).count(), 2, "{lines:?}");
    assert_eq!(app.only().body, BODY);
}

#[tokio::test]
async fn half_a_head_over_http_2_ends_in_the_time_of_a_head() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let app = App::start().await;
    let (gate, lines) = logged(&app, "[limits]\nhead_timeout = \"300ms\"\nidle_timeout = \"60s\"\n").await;
    let settings = frame(SETTINGS, 0, 0, &[]);
    let whole = [PREFACE, &settings].concat();
    let headers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/"));
    for (bytes, name) in [
        (PREFACE[..9].to_vec(), "half a preface"),
        (PREFACE.to_vec(), "no SETTINGS"),
        ([&whole[..], &[0, 0, 8, 6]].concat(), "half a frame header"),
        ([&whole[..], &headers[..20]].concat(), "half of HEADERS"),
        ([&whole[..], &frame(HEADERS, END_STREAM, 1, &head("GET", "/"))].concat(), "no END_HEADERS"),
    ] {
        let mut wire = Wire::dial(gate.addr).await;
        wire.send(bytes).await;
        if name == "half a preface" {
            assert_eq!(wire.answer().await.status(), 408, "it may still become HTTP/1");
        }
        soon(name, async { while wire.more().await {} }).await;
    }
    let lines = lines.wait(5).await;
    assert!(lines.iter().all(|line| outcome(line).1.contains("`limits.head_timeout`")), "{lines:?}");
    // Idle is something else.
    let mut idle = dial(&gate, &[]).await;
    pause(600).await;
    idle.send(headers).await;
    assert!(first(&mut idle, HEADERS).await.is_some());
}

#[tokio::test]
async fn a_request_that_h2_refuses_has_one_line() {
    let app = App::start().await;
    let (gate, lines) = logged(&app, "").await;
    let get = head("GET", "/");
    let mut count = 0;
    let long = block(&[("x", &"x".repeat(120))]);
    for (fields, code, name) in [
        ([&get[..], &block(&[(":path", "/b")])].concat(), "framing", "two paths"),
        ([&get[..], &block(&[("transfer-encoding", "chunked")])].concat(), "framing", "transfer-encoding"),
        ([&get[..], &long.repeat(120)].concat(), "head_too_large", "a large head"),
    ] {
        let mut wire = dial(&gate, &[]).await;
        for n in 0..3 {
            let good = frame(HEADERS, END_HEADERS | END_STREAM, n * 4 + 1, &get);
            let end = if n == 1 { 0 } else { END_STREAM };
            let bad = frame(HEADERS, END_HEADERS | end, n * 4 + 3, &fields);
            wire.send([good, bad].concat()).await;
            count += 2;
            let seen = lines.wait(count).await;
            let said: Vec<_> = seen[count - 2..].iter().map(outcome).collect();
            assert!(said.iter().any(|(outcome, _)| *outcome == "passed"), "{name}: {said:?}");
            let refused = said.iter().find(|(outcome, _)| *outcome == code);
            assert!(refused.is_some_and(|(_, detail)| !detail.is_empty()), "{name}: {said:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_h2_ends_has_one_line() {
    let app = App::start().await;
    let (gate, lines) = logged(&app, "").await;
    let mut count = 0;
    let upper = [head("GET", "/"), block(&[("X-Upper", "1")])].concat();
    for (bytes, why) in [
        (frame(HEADERS, END_HEADERS | END_STREAM, 1, &upper), "PROTOCOL_ERROR"),
        (frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 8]), "PROTOCOL_ERROR"),
        (frame(DATA, 0, 1, &vec![0; 17 << 10]), "FRAME_SIZE_ERROR"),
        (frame(DATA, 0, 0, b"x"), "PROTOCOL_ERROR"),
        (frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), "FLOW_CONTROL_ERROR"),
    ] {
        let mut wire = dial(&gate, &[]).await;
        let _ = wire.try_send(bytes).await;
        soon(why, async { while wire.more().await {} }).await;
        count += 1;
        let seen = lines.wait(count).await;
        let (outcome, detail) = outcome(seen.last().unwrap());
        assert_eq!(outcome, "framing");
        assert!(detail.contains(why), "{why}: {detail}");
    }
}

#[tokio::test]
async fn a_reset_of_a_request_that_was_handed_over_is_not_told_twice() {
    let app = App::start().await;
    let (gate, lines) = logged(&app, "").await;
    let mut wire = dial(&gate, &[]).await;
    let fields = [head("POST", "/up"), block(&[("content-length", "5")])].concat();
    wire.send(frame(HEADERS, END_HEADERS, 1, &fields)).await;
    pause(100).await;
    wire.send(frame(DATA, END_STREAM, 1, b"too much")).await;
    let (_, stream, code) = soon("a reset", first(&mut wire, RST_STREAM)).await.unwrap();
    assert_eq!((stream, code), (1, vec![0, 0, 0, 1]));
    drop(wire);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let seen = lines.wait(1).await;
    assert_ne!(outcome(&seen[0]).0, "framing");
}

#[tokio::test]
async fn requests_that_are_withdrawn_before_they_are_seen_have_one_line_with_their_peer() {
    let app = App::start().await;
    let (gate, lines) = logged(&app, "").await;
    let mut wire = dial(&gate, &[]).await;
    let withdrawn = |n: u32| {
        let request = frame(HEADERS, END_HEADERS | END_STREAM, n * 2 + 1, &head("GET", PATH));
        [request, frame(RST_STREAM, 0, n * 2 + 1, &8_u32.to_be_bytes())].concat()
    };
    wire.send((0..60).flat_map(withdrawn).collect::<Vec<u8>>()).await;
    soon("the end", async { while wire.more().await {} }).await;
    let lines = lines.wait(1).await;
    let (outcome, detail) = outcome(&lines[0]);
    assert_eq!((outcome, &lines[0]["peer"]), ("framing", &"127.0.0.1".into()));
    assert!(detail.contains("ENHANCE_YOUR_CALM"), "{detail}");
}

#[tokio::test]
async fn a_body_behind_the_word_that_there_is_none_keeps_the_request_from_the_app() {
    let app = App::start().await;
    let (gate, lines) = logged(&app, "").await;
    let empty = |path: &str| [head("POST", path), block(&[("content-length", "0")])].concat();
    let mut wire = dial(&gate, &[]).await;
    wire.send(frame(HEADERS, END_HEADERS, 1, &empty("/hidden"))).await;
    pause(100).await;
    app.assert_unreached("its end has not come").await;
    wire.send(frame(DATA, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\n\r\n")).await;
    soon("the reset", first(&mut wire, RST_STREAM)).await.unwrap();
    app.assert_unreached("it is not as empty as it says").await;
    assert_eq!(outcome(&lines.wait(1).await[0]).0, "framing");
    // An end in a frame of its own is an end.
    wire.send(frame(HEADERS, END_HEADERS, 3, &empty("/empty"))).await;
    wire.send([frame(DATA, 0, 3, b""), frame(DATA, END_STREAM, 3, b"")].concat()).await;
    soon("the answer", first(&mut wire, HEADERS)).await.unwrap();
    let seen = app.only();
    assert_eq!((seen.target.as_str(), seen.whole, seen.body.len()), ("/empty", true, 0));
}

#[tokio::test]
async fn a_request_without_a_path_is_refused() {
    let app = App::start().await;
    let (gate, lines) = logged(&app, "").await;
    for pseudo in [
        &[(":method", "GET"), (":scheme", "http"), ("host", "app.example")][..],
        &[(":method", "GET"), (":scheme", "app.example"), ("host", "app.example")],
        &[(":method", "POST"), ("host", "app.example")],
        &[(":method", "GET"), (":scheme", "http"), (":authority", "app.example")],
        &[(":method", "GET"), (":scheme", "http"), (":path", ""), ("host", "app.example")],
    ] {
        let mut wire = dial(&gate, &[]).await;
        wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(pseudo))).await;
        pause(30).await;
        drop(wire);
    }
    app.assert_unreached("no path").await;
    let lines = lines.wait(5).await;
    let ours = lines.iter().filter(|line| outcome(line) == ("bad_target", "no `:path` (RFC 9113 §8.3.1)")).count();
    let by_h2 = lines.iter().filter(|line| outcome(line).0 == "framing").count();
    assert_eq!((ours, by_h2), (2, 3), "{lines:?}");
}
