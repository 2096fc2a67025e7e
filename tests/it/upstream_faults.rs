//! An app that is down, hangs, breaks off or talks nonsense: the right answer, and never a clean end that was none.

use std::net::TcpListener;

use crate::harness::{BODY, Gate, genuine, get};
use crate::script::*;

/// An address where nobody listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What a page and a genuine delivery are answered by an app that answers every request with `bytes` and closes.
async fn both(bytes: &'static [u8]) -> [Message; 2] {
    let app = Scripted::start(move |_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.send(bytes).await;
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut answers = [Message::default(), Message::default()];
    for (answer, request) in answers.iter_mut().zip([get("/page", ""), genuine(BODY, "")]) {
        let mut client = Wire::dial(gate.addr).await;
        client.send(request).await;
        *answer = client.answer().await;
    }
    answers
}

#[tokio::test]
async fn an_app_that_is_down_is_a_502_and_its_return_is_noticed() {
    let addr = nobody();
    let gate = Gate::start(addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for request in [get("/page", ""), genuine(BODY, ""), get("/page", "")] {
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_unreachable"));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let _app = Scripted::at(addr, |_, mut wire| async move {
        wire.request().await.unwrap();
        wire.send(OK).await;
    })
    .await;
    client.send(genuine(BODY, "")).await;
    assert_eq!(client.answer().await.status(), 200, "the same client connection works on");
}

#[tokio::test]
async fn an_app_that_is_down_while_a_page_uploads_is_a_502() {
    let gate = Gate::start(nobody(), "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n").await;
    let _ = client.try_send(vec![0; 300_000]).await;
    assert_eq!(client.answer().await.code(), "upstream_unreachable");
}

#[tokio::test]
async fn an_app_that_closes_before_it_answers_is_a_502() {
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\nx: 1\r\n"] {
        for answer in both(bytes).await {
            assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_invalid"), "{bytes:?}");
        }
    }
}

#[tokio::test]
async fn an_app_that_answers_garbage_is_a_502() {
    for bytes in [
        &b"\0\x01\x02 garbage\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nabc",
        b"HTTP/2.0 200 OK\r\n\r\n",
    ] {
        for answer in both(bytes).await {
            assert_eq!(
                (answer.status(), answer.code().as_str()),
                (502, "upstream_invalid"),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}

#[tokio::test]
async fn an_unsolicited_101_is_a_502() {
    for answer in
        both(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw").await
    {
        assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_invalid"));
    }
}

#[tokio::test]
async fn a_huge_answer_head_passes_up_to_a_limit_and_is_a_502_beyond() {
    let app = Scripted::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let size = request.word(1)[1..].parse().unwrap_or(0);
            let head = format!("HTTP/1.1 200 OK\r\nx-huge: {}\r\ncontent-length: 2\r\n\r\nok", "h".repeat(size));
            if wire.try_send(head).await.is_err() {
                return;
            }
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    for (size, status) in [(15_000, 200), (200_000, 200), (2_000_000, 502)] {
        let mut client = Wire::dial(gate.addr).await;
        client.send(get(&format!("/{size}"), "")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{size}");
        if status == 200 {
            assert_eq!(answer.header("x-huge").map(str::len), Some(size));
        }
    }
}

#[tokio::test]
async fn an_answer_cut_off_half_way_never_ends_cleanly() {
    for (bytes, what) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"[..], "length"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", "between chunks"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf", "inside a chunk"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", "before the last line"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n", "bad chunk size"),
    ] {
        for answer in both(bytes).await {
            // The close may overtake the head.
            assert!(matches!(answer.status(), 0 | 200) && !answer.whole, "{what}: {answer:?}");
            assert!(b"half".starts_with(&answer.body), "{what}: {answer:?}");
        }
    }
}

/// RFC 9112 §6.3: the chunks count.
#[tokio::test]
async fn an_answer_with_a_length_beside_chunks_is_whole() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 30\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncontent-length: 10\r\n\r\n0123456789",
    ] {
        for answer in both(bytes).await {
            assert_eq!((answer.status(), answer.text().as_str()), (200, "0123456789"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_to_head_with_a_length_said_twice_arrives() {
    let app = Scripted::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncontent-length: 10\r\n\r\n").await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send("HEAD /page HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = client.answer_to_head().await;
    assert_eq!((answer.status(), answer.all("content-length")), (200, vec!["10"]));
}

#[tokio::test]
async fn an_app_that_hangs_is_a_504_after_the_routes_deadline() {
    let app = Scripted::start(|_, mut wire| async move {
        wire.request().await.unwrap();
        wire.more().await;
    })
    .await;
    let gate = Gate::start(app.addr, "deadline = \"300ms\"\n").await;
    let mut client = Wire::dial(gate.addr).await;
    let since = tokio::time::Instant::now();
    client.send(genuine(BODY, "")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.code().as_str()), (504, "upstream_timeout"));
    let took = since.elapsed().as_millis();
    assert!((290..3000).contains(&took), "{took} ms");
    // A page has no deadline.
    let mut page = Wire::dial(gate.addr).await;
    page.send(get("/slow", "")).await;
    page.assert_quiet(450, "pass-through waits as long as its client does").await;
}

#[tokio::test]
async fn a_second_answer_that_nobody_asked_for_reaches_nobody() {
    let app = Scripted::start(|n, mut wire| async move {
        while wire.request().await.is_some() {
            let extra = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
            if wire.try_send(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{n}{extra}")).await.is_err() {
                return;
            }
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for n in 0..10 {
        client.send(get("/", "")).await;
        assert_eq!(client.answer().await.text(), n.to_string(), "each answer is from a connection of its own");
    }
}

#[tokio::test]
async fn a_connection_with_a_body_after_a_bodyless_answer_is_not_used_again() {
    let app = Scripted::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            if wire
                .try_send("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled")
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
    for _ in 0..10 {
        client.send(get("/", "")).await;
        assert_eq!(client.answer().await.status(), 204);
    }
}
