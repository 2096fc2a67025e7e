//! Limits on connections and time: what exceeds them goes, what does not is served.

use std::time::Duration;

use crate::harness::{App, BODY, Gate, genuine, get};
use crate::script::*;

#[tokio::test]
async fn a_connection_too_many_is_told_so_while_all_are_busy_and_served_when_one_is_not() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nmax_connections = 3\n").await;
    let mut busy = Vec::new();
    for _ in 0..3 {
        let mut client = Wire::dial(gate.addr).await;
        client.send(get("/?delay=1000", "")).await;
        busy.push(client);
    }
    soon("all are busy", async {
        while app.seen().len() < 3 {
            pause(2).await;
        }
    })
    .await;
    for request in [get("/", ""), genuine(BODY, ""), String::new()] {
        let mut more = Wire::dial(gate.addr).await;
        let _ = more.try_send(&request).await;
        let answer = more.answer().await;
        assert_eq!((answer.status(), answer.code().as_str()), (503, "overloaded"), "{request:?}");
        assert!(answer.whole);
        assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("close")));
        more.assert_ends("refused").await;
    }
    assert_eq!(app.seen().len(), 3);
    for client in &mut busy {
        assert_eq!(client.answer().await.status(), 200, "those that are in stay in");
    }
    pause(50).await;
    let mut newcomer = Wire::dial(gate.addr).await;
    newcomer.send(genuine(BODY, "")).await;
    assert_eq!(newcomer.answer().await.status(), 200);
    let mut open = 0;
    for mut client in busy {
        let _ = client.try_send(get("/", "")).await;
        open += usize::from(client.answer().await.status() == 200);
    }
    assert_eq!(open, 2, "one that waited made room");
}

#[tokio::test]
async fn a_head_that_trickles_in_is_closed_at_its_time_limit() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nhead_timeout = \"1s\"\nidle_timeout = \"60s\"\n").await;
    let trickle = |mut client: Wire, line: &'static str| async move {
        let since = tokio::time::Instant::now();
        // A byte now and then must not begin the time anew.
        while since.elapsed() < Duration::from_secs(6) {
            let more = tokio::time::timeout(Duration::from_millis(50), client.more()).await;
            if more == Ok(false) || client.try_send(line).await.is_err() {
                let took = since.elapsed().as_millis();
                assert!((900..3000).contains(&took), "{took} ms");
                assert!(!client.held.starts_with(b"HTTP/1.1 2"));
                return;
            }
        }
        panic!("still open");
    };
    let (mut first, mut second) = (Wire::dial(gate.addr).await, Wire::dial(gate.addr).await);
    first.send("GET / HTTP/1.1\r\nhost: a\r\n").await;
    second.send(get("/", "")).await;
    assert_eq!(second.answer().await.status(), 200);
    second.send("GET /2 HT").await;
    let mut mute = Wire::dial(gate.addr).await;
    mute.send("G").await;
    let mute = async move {
        assert_eq!(mute.answer().await.status(), 408);
        while mute.more().await {}
    };
    tokio::join!(trickle(first, "x: y\r\n"), trickle(second, "x"), mute);
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_its_time_limit_and_not_before() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nidle_timeout = \"1s\"\nhead_timeout = \"60s\"\n").await;
    let (mut used, mut unused, mut slow) =
        (Wire::dial(gate.addr).await, Wire::dial(gate.addr).await, Wire::dial(gate.addr).await);
    used.send(get("/", "")).await;
    assert_eq!(used.answer().await.status(), 200);
    slow.send(get("/?delay=1500", "")).await;
    pause(600).await;
    used.send(get("/", "")).await;
    assert_eq!(used.answer().await.status(), 200);
    let since = tokio::time::Instant::now();
    unused.assert_ends("never used").await;
    used.assert_quiet(300, "its time began anew").await;
    used.assert_ends("idle").await;
    let took = since.elapsed().as_millis();
    assert!((900..3000).contains(&took), "{took} ms");
    assert_eq!(slow.answer().await.status(), 200, "waiting for the app is not idling");
}

#[tokio::test]
async fn an_upload_that_stalls_is_closed_and_one_that_goes_on_is_not() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nbody_timeout = \"1s\"\n").await;
    let upload = "POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n";
    let stalled = async {
        let mut client = Wire::dial(gate.addr).await;
        client.send(format!("{upload}ab")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.code().as_str()), (408, "body_timeout"));
    };
    let steady = async {
        let mut client = Wire::dial(gate.addr).await;
        client.send(upload).await;
        for byte in ["a", "b", "c", "d", "e", "f"] {
            pause(300).await;
            client.send(byte).await;
        }
        assert_eq!(client.answer().await.text(), "abcdef");
    };
    tokio::join!(stalled, steady);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_and_a_slow_reader_is_not() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let app = Scripted::start(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.request().await.unwrap();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 33554432\r\n\r\n").await;
            let piece = vec![b'x'; 65536];
            for _ in 0..512 {
                if wire.try_send(&piece).await.is_err() {
                    tell.send(false).unwrap();
                    return;
                }
            }
            tell.send(true).unwrap();
        }
    })
    .await;
    let gate = Gate::start(app.addr, "[limits]\nidle_timeout = \"1s\"\n").await;
    let mut deaf = Wire::dial(gate.addr).await;
    deaf.send(get("/big", "")).await;
    assert_eq!(soon("the app's connection is closed", told.recv()).await, Some(false));

    let mut slow = Wire::dial(gate.addr).await;
    slow.send(get("/big", "")).await;
    let head = slow.head().await.unwrap();
    // Twice as long as the limit in all, but never without taking something for as long as it.
    for _ in 0..8 {
        pause(250).await;
        for _ in 0..32 {
            slow.more().await;
        }
    }
    let answer = slow.body(head, None).await;
    assert!(answer.whole && answer.body.len() == 33_554_432);
    assert_eq!(told.recv().await, Some(true));
}
