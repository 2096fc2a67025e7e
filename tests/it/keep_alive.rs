//! Connections to the app that rest, and how they end: never as a 502 for a request that was not even written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::harness::{App, BODY, Gate, PATH, genuine, get, now, signed_headers};
use crate::script::*;

/// An app that answers `answer`, then waits `rest` for the next request and closes: with `rest` as Node does.
async fn closing_after(answer: &'static str, rest: Duration) -> Scripted {
    Scripted::start(move |_, mut wire| async move {
        loop {
            let next = tokio::time::timeout(rest, wire.request()).await;
            let Ok(Some(_)) = next else { return };
            wire.send(answer).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_resting_connection_is_used_again() {
    let app = Scripted::answering("HTTP/1.1 200 OK\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok").await;
    let gate = Gate::start(app.addr, "").await;
    for n in 0..50 {
        let mut client = Wire::dial(gate.addr).await;
        client.send(if n % 2 == 0 { get("/", "") } else { genuine(BODY, "") }).await;
        assert_eq!(client.answer().await.status(), 200);
    }
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn one_request_at_a_time_needs_one_connection_whichever_worker_has_it() {
    let app = Scripted::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let program = Program::start(app.addr, "");
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Wire::dial(program.addr).await);
    }
    for n in 0..400 {
        let client = &mut clients[n % 20];
        client.send(get("/", "")).await;
        assert_eq!(client.answer().await.text(), "ok", "request {n}");
    }
    // A connection rests after its answer is out: the next request can be there before.
    assert!(app.connections() <= 3, "{} connections", app.connections());
}

#[tokio::test]
async fn a_connection_that_may_not_rest_is_not_used_again() {
    for head in ["keep-alive: timeout=1", "Keep-Alive: max=5, timeout=1", "keep-alive: timeout=0", "connection: close"]
    {
        let app = Scripted::answering(format!("HTTP/1.1 200 OK\r\n{head}\r\ncontent-length: 2\r\n\r\nok")).await;
        let gate = Gate::start(app.addr, "").await;
        let mut client = Wire::dial(gate.addr).await;
        for _ in 0..3 {
            client.send(get("/", "")).await;
            assert_eq!(client.answer().await.text(), "ok");
        }
        assert_eq!(app.connections(), 3, "{head}");
    }
}

#[tokio::test]
async fn two_hundred_requests_around_the_apps_closing_moment_get_no_502() {
    // 100 gates, because a pool of one would not rest as long as it should. Advertised 2 s, closed after 1.9 s.
    let app = closing_after(
        "HTTP/1.1 200 OK\r\nkeep-alive: timeout=2\r\ncontent-length: 2\r\n\r\nok",
        Duration::from_millis(1900),
    )
    .await;
    let mut running = tokio::task::JoinSet::new();
    for n in 0..100 {
        let gate = Gate::start(app.addr, "").await;
        running.spawn(async move {
            let gate = gate;
            let mut client = Wire::dial(gate.addr).await;
            for pause_before in [0, 850 + n * 12] {
                pause(pause_before).await;
                client.send(if n % 2 == 0 { get("/", "") } else { genuine(BODY, "") }).await;
                let answer = client.answer().await;
                assert_eq!(answer.text(), "ok", "after {pause_before} ms");
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    // After 1 s of rest (2 s − 1 s) none is used again: that is 83 of the hundred pauses.
    assert!(app.connections() >= 180, "{} connections", app.connections());
}

#[tokio::test]
async fn two_hundred_requests_after_the_app_has_closed_unannounced_get_no_502() {
    let closed = Arc::new(Notify::new());
    let signal = Arc::clone(&closed);
    let app = Scripted::start(move |_, mut wire| {
        let signal = Arc::clone(&signal);
        async move {
            wire.request().await.unwrap();
            wire.send(OK).await;
            drop(wire);
            signal.notify_one();
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for n in 0..200 {
        client.send(if n % 2 == 0 { get("/", "") } else { genuine(BODY, "") }).await;
        assert_eq!(client.answer().await.text(), "ok", "request {n}");
        soon("the app's close", closed.notified()).await;
    }
    assert_eq!(app.connections(), 200);
}

#[tokio::test]
async fn connections_that_a_restart_of_the_app_left_behind_cost_no_request() {
    // Twenty connections rest, then the app goes and comes back at the same port.
    let (quit, quitting) = tokio::sync::watch::channel(false);
    let taken = Arc::new(AtomicUsize::new(0));
    let before = Scripted::start(move |_, mut wire| {
        let (mut quitting, taken) = (quitting.clone(), Arc::clone(&taken));
        async move {
            wire.request().await.unwrap();
            // All twenty are in the app at once, so that there are twenty connections.
            taken.fetch_add(1, Ordering::SeqCst);
            while taken.load(Ordering::SeqCst) < 20 {
                pause(1).await;
            }
            wire.send(OK).await;
            quitting.wait_for(|quit| *quit).await.unwrap();
        }
    })
    .await;
    let gate = Gate::start(before.addr, "").await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Wire::dial(gate.addr).await;
        client.send(get("/", "")).await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.status(), 200);
    }
    assert_eq!(before.connections(), 20);
    let addr = before.close().await;
    quit.send_replace(true);
    pause(20).await;
    let after = Scripted::at(addr, |_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.send(OK).await;
        }
    })
    .await;
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(if n % 2 == 0 { get("/", "") } else { genuine(BODY, "") }).await;
        assert_eq!(client.answer().await.status(), 200, "request {n}");
    }
    assert_eq!(after.connections(), 1);
}

#[tokio::test]
async fn an_app_that_closes_every_connection_unread_is_tried_a_bounded_number_of_times() {
    let app = Scripted::start(|_, wire| async move { drop(wire) }).await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for request in [get("/", ""), genuine(BODY, "")] {
        client.send(request).await;
        assert_eq!(client.answer().await.status(), 502);
    }
    assert!(app.connections() < 10, "{}", app.connections());
}

#[tokio::test]
async fn one_client_connection_carries_many_requests() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for n in 0..500 {
        if n % 2 == 0 {
            client.send(get(&format!("/{n}"), "")).await;
        } else {
            client.send(genuine(BODY, "")).await;
        }
        assert_eq!(client.answer().await.status(), 200);
    }
    assert_eq!(app.seen().len(), 500);
}

#[tokio::test]
async fn a_client_that_says_close_is_closed_after_its_answer() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    for request in [get("/", "connection: close\r\n"), genuine(BODY, "connection: close\r\n")] {
        let mut client = Wire::dial(gate.addr).await;
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
        client.assert_ends("close was asked for").await;
    }
}

#[tokio::test]
async fn a_closing_app_does_not_close_the_client() {
    let app = Scripted::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for _ in 0..3 {
        client.send(get("/", "")).await;
        let answer = client.answer().await;
        assert_eq!((answer.text().as_str(), answer.header("connection")), ("ok", None));
    }
}

#[tokio::test]
async fn a_refusal_whose_body_has_not_come_says_that_the_connection_ends() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let stale = |body: &str| {
        let headers = signed_headers("msg_1", now() - 3600, body.as_bytes());
        format!("POST {PATH} HTTP/1.1\r\nhost: app.example\r\n{headers}content-length: {}\r\n\r\n", body.len())
    };
    let dotted = format!("POST {PATH}/../x HTTP/1.1\r\nhost: app.example\r\ncontent-length: {}\r\n\r\n", BODY.len());
    for (head, status) in [(stale(BODY), 401), (dotted, 400)] {
        // With the body the connection goes on, though nobody read it.
        let mut client = Wire::dial(gate.addr).await;
        for _ in 0..3 {
            client.send(format!("{head}{BODY}")).await;
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.header("connection")), (status, None));
        }
        client.send(genuine(BODY, "")).await;
        assert_eq!(client.answer().await.status(), 200);
        // Pipelined: a part of the next body is not a part of this one.
        let next = genuine(BODY, "");
        let (begin, end) = next.split_at(next.len() - 5);
        client.send(format!("{head}{BODY}{begin}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.header("connection")), (status, None));
        client.send(end).await;
        assert_eq!(client.answer().await.status(), 200);
        // Without it, or with a part of it, it ends, and says so.
        for part in ["", &BODY[..5]] {
            let mut client = Wire::dial(gate.addr).await;
            client.send(format!("{head}{part}")).await;
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.header("connection")), (status, Some("close")), "{part:?}");
        }
    }
    assert_eq!(app.seen().len(), 4, "the genuine ones alone");
}
