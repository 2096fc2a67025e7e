//! Clients that leave: an unproven delivery goes nowhere, a proven one runs to its end, a page is cancelled.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::harness::{App, BODY, Gate, PATH, genuine, get, now, signed_headers};
use crate::script::*;

/// What an app's connection came to.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Request {
        whole: bool,
    },
    /// The gate took the answer, and uses the connection on.
    Kept,
    Closed,
}

/// An app that answers when told to, in two halves, and reports.
async fn reporting(tell: mpsc::UnboundedSender<Event>, go: tokio::sync::watch::Receiver<bool>) -> Scripted {
    Scripted::start(move |_, mut wire| {
        let (tell, mut go) = (tell.clone(), go.clone());
        async move {
            let Some(request) = wire.request().await else { return };
            tell.send(Event::Request { whole: request.whole }).unwrap();
            tokio::select! {
                _ = go.wait_for(|go| *go) => {}
                more = wire.more() => {
                    assert!(!more);
                    let _ = tell.send(Event::Closed);
                    return;
                }
            }
            if wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await.is_err() {
                let _ = tell.send(Event::Closed);
                return;
            }
            pause(30).await;
            let sent = wire.try_send("half").await.is_ok();
            let kept = sent && tokio::time::timeout(Duration::from_millis(100), wire.more()).await.is_err();
            let _ = tell.send(if kept { Event::Kept } else { Event::Closed });
        }
    })
    .await
}

#[tokio::test]
async fn a_delivery_whose_client_leaves_before_its_end_goes_nowhere() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let sent = genuine(BODY, "");
    let chunked = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\n{}transfer-encoding: chunked\r\n\r\n{:x}\r\n{BODY}\r\n",
        signed_headers("msg_1", now(), BODY.as_bytes()),
        BODY.len()
    );
    let nearly = &sent[..sent.len() - 1];
    for partial in [&sent[..40], nearly, &sent[..sent.len() - BODY.len()], &chunked, &format!("{chunked}0\r\n")] {
        let mut client = Wire::dial(gate.addr).await;
        client.send(partial).await;
        pause(5).await;
        drop(client);
        // The same, half-closed: the answer may still be read.
        let mut client = Wire::dial(gate.addr).await;
        client.send(partial).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
        while client.more().await {}
        assert!(!client.held.starts_with(b"HTTP/1.1 2"), "{partial}");
    }
    app.assert_unreached("its client left before the body was complete").await;
}

#[tokio::test]
async fn a_verified_delivery_runs_to_its_end_without_its_client() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(genuine(BODY, "x-delay: 150\r\n")).await;
    while app.seen().is_empty() {
        pause(2).await;
    }
    drop(client);
    app.wait_whole(1).await;
    assert_eq!(app.only().body, BODY);
}

#[tokio::test]
async fn a_verified_delivery_runs_to_its_end_after_a_reset() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(genuine(BODY, "x-delay: 150\r\n")).await;
    while app.seen().is_empty() {
        pause(2).await;
    }
    client.stream.set_zero_linger().unwrap();
    drop(client);
    app.wait_whole(1).await;
    assert_eq!(app.only().body, BODY);
}

#[tokio::test]
async fn the_answer_to_a_delivery_is_read_to_its_end_without_its_client() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (go, going) = tokio::sync::watch::channel(false);
    let app = reporting(tell, going).await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(genuine(BODY, "")).await;
    assert_eq!(soon("the delivery", told.recv()).await, Some(Event::Request { whole: true }));
    drop(client);
    pause(50).await;
    go.send_replace(true);
    assert_eq!(soon("the run's end", told.recv()).await, Some(Event::Kept));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_the_answer_does_not_cut_a_delivery() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (_go, going) = tokio::sync::watch::channel(true);
    let app = reporting(tell, going).await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(genuine(BODY, "")).await;
    client.until(b"half").await.unwrap();
    drop(client);
    assert_eq!(told.recv().await, Some(Event::Request { whole: true }));
    assert_eq!(soon("the run's end", told.recv()).await, Some(Event::Kept));
}

#[tokio::test]
async fn a_delivery_past_its_deadline_runs_to_its_end() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (go, going) = tokio::sync::watch::channel(false);
    let app = reporting(tell, going).await;
    let gate = Gate::start(app.addr, "deadline = \"100ms\"\n").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(genuine(BODY, "")).await;
    assert_eq!(client.answer().await.status(), 504);
    drop(client);
    pause(30).await;
    go.send_replace(true);
    assert_eq!(told.recv().await, Some(Event::Request { whole: true }));
    assert_eq!(soon("the run's end", told.recv()).await, Some(Event::Kept));
}

/// Its sender has given up by then, and sends it again: a run of this one would be heard of by nobody.
#[tokio::test]
async fn a_delivery_whose_body_came_after_its_deadline_does_not_run() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "deadline = \"200ms\"\n").await;
    let sent = genuine(BODY, "");
    let (begun, rest) = sent.split_at(sent.len() - 1);
    for connections in 0..2 {
        let mut client = Wire::dial(gate.addr).await;
        client.send(begun).await;
        pause(300).await;
        client.send(rest).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.code().as_str()), (504, "upstream_timeout"));
        pause(50).await;
        assert_eq!(app.seen().len(), connections, "with {connections} connections at rest");
        assert_eq!(gate.exchange(&sent).await.status, 200);
    }
}

#[tokio::test]
async fn a_detached_delivery_ends_at_upstream_max() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (_go, going) = tokio::sync::watch::channel(false);
    let app = reporting(tell, going).await;
    let gate = Gate::start(app.addr, "deadline = \"100ms\"\n[limits]\nupstream_max = \"1s\"\n").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(genuine(BODY, "")).await;
    let since = tokio::time::Instant::now();
    assert_eq!(client.answer().await.status(), 504);
    assert_eq!(told.recv().await, Some(Event::Request { whole: true }));
    assert_eq!(soon("the limit", told.recv()).await, Some(Event::Closed));
    let took = since.elapsed().as_millis();
    assert!((950..4000).contains(&took), "{took} ms");
}

#[tokio::test]
async fn a_page_whose_client_leaves_is_cancelled_at_once() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (_go, going) = tokio::sync::watch::channel(false);
    let app = reporting(tell, going).await;
    let gate = Gate::start(app.addr, "").await;
    for request in [get("/page", ""), "POST /page HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab".into()] {
        let mut client = Wire::dial(gate.addr).await;
        client.send(request).await;
        assert_eq!(soon("the page", told.recv()).await, Some(Event::Request { whole: true }));
        let since = tokio::time::Instant::now();
        drop(client);
        assert_eq!(soon("the cancellation", told.recv()).await, Some(Event::Closed));
        assert!(since.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_stream_whose_client_leaves_is_cancelled_at_once() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let app = Scripted::start(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.request().await.unwrap();
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
            // No event is due for a long time: the close must be noticed without one.
            assert!(!wire.more().await);
            tell.send(()).unwrap();
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/events", "")).await;
    client.until(b"one\r\n").await.unwrap();
    let since = tokio::time::Instant::now();
    drop(client);
    soon("the cancellation", told.recv()).await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_cut_off_at_the_app_too() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (_go, going) = tokio::sync::watch::channel(false);
    let app = reporting(tell, going).await;
    let gate = Gate::start(app.addr, "").await;
    for request in [
        "POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf",
        "POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
    ] {
        let mut client = Wire::dial(gate.addr).await;
        client.send(request).await;
        pause(20).await;
        drop(client);
        assert_eq!(soon("the cut", told.recv()).await, Some(Event::Request { whole: false }), "{request}");
        assert_eq!(told.recv().await, Some(Event::Closed));
    }
}

/// Such a sender has said all it has to say, and still reads. hyper alone would drop its request unseen.
#[tokio::test]
async fn a_sender_that_closes_its_half_after_the_delivery_gets_its_answer() {
    use tokio::io::AsyncWriteExt;
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let mut stream = gate.connect().await;
    stream.write_all(genuine(BODY, "x-delay: 50\r\n").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = crate::harness::Answer::read(&mut stream).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, BODY), "{answer:?}");
    assert!(app.only().whole);
}

/// Read to its end for the app's sake; one without an end is let go, or its connection would be held for ever.
#[tokio::test]
async fn an_answer_that_never_ends_is_let_go_after_its_client() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let app = Scripted::start(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.request().await.unwrap();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
            tell.send(Event::Request { whole: true }).unwrap();
            assert!(!wire.more().await);
            tell.send(Event::Closed).unwrap();
        }
    })
    .await;
    let mut gate = Gate::start(app.addr, "deadline = \"1s\"\n[limits]\nupstream_max = \"1s\"\ndrain = \"20s\"\n").await;
    let mut wire = Wire::dial(gate.addr).await;
    wire.send(genuine(BODY, "")).await;
    wire.answer_to_head().await;
    wire.stream.set_zero_linger().unwrap();
    drop(wire);
    assert_eq!(soon("the answer begins", told.recv()).await, Some(Event::Request { whole: true }));
    let closed = tokio::time::timeout(Duration::from_millis(2500), told.recv()).await;
    assert_eq!(closed, Ok(Some(Event::Closed)));
    gate.stop();
    assert!(tokio::time::timeout(Duration::from_secs(2), &mut gate.served).await.is_ok(), "nothing is left in flight");
}
