//! Traffic that no route protects: what one side sends is what the other side gets, as it comes.

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::harness::{Gate, find, get};
use crate::script::*;

/// An app that answers every request with the request itself, head and body.
async fn mirror() -> Scripted {
    Scripted::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let mut body: Vec<u8> = request.head.chars().map(|c| u8::try_from(c).unwrap()).collect();
            body.extend_from_slice(&request.body);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            if wire.try_send([head.as_bytes(), &body].concat()).await.is_err() {
                return;
            }
        }
    })
    .await
}

/// What the mirror saw.
fn seen(answer: &Message) -> Message {
    assert_eq!(answer.status(), 200, "{answer:?}");
    let end = find(&answer.body, b"\r\n\r\n").unwrap() + 4;
    Message {
        head: String::from_utf8_lossy(&answer.body[..end]).into_owned(),
        body: answer.body[end..].to_vec(),
        whole: true,
        ..Message::default()
    }
}

#[tokio::test]
async fn the_target_arrives_byte_for_byte() {
    let app = mirror().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    let long = format!("/search?q={}", "a%20b+c&".repeat(1500));
    for target in [
        "/",
        "/?",
        "/a?b?c",
        "/a%2Fb",
        "/a%2fb/",
        "/a|b",
        "/a[0]",
        "/caf%e9",
        "/caf%C3%A9",
        "/a//b",
        "/a;v=1",
        "/a%252Fb",
        "/a:b@c",
        "/a!$&'()*+,=~_-.",
        "/?x=[1]|{2}&%e9=/../",
        "/a?u=http://b/c",
        "/a%20b",
        "/A/b/",
        &long,
    ] {
        client.send(get(target, "")).await;
        let answer = client.answer().await;
        assert_eq!(seen(&answer).word(1), target);
    }
}

#[tokio::test]
async fn every_method_arrives_with_its_body() {
    let app = mirror().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for method in [
        "GET",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "QUERY",
        "PROPFIND",
        "M-SEARCH",
        "x!#$%&'*+.^_`|~",
    ] {
        client.send(format!("{method} /a HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nb\0yd")).await;
        let seen = seen(&client.answer().await);
        assert_eq!((seen.word(0), &*seen.body), (method, &b"b\0yd"[..]));
        assert_eq!(seen.all("content-length"), ["4"], "{method}");
        assert_eq!(seen.header("transfer-encoding"), None);

        client
            .send(format!(
                "{method} /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.text().split_once("\r\n\r\n").unwrap().1, "abcd", "{method} chunked: {}", answer.text());

        client.send(format!("{method} /a HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let answer = client.answer().await;
        assert!(answer.text().starts_with(method) && answer.text().ends_with("\r\n\r\n"), "{method} without a body");
    }
}

#[tokio::test]
async fn request_headers_arrive_as_sent_duplicates_included() {
    let app = mirror().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client
        .send(
            b"GET / HTTP/1.1\r\nHost: App.Example:8443\r\nx-two: 1\r\ncookie: a=1; b=2\r\nX-Two: 2, 3\r\nx-empty:\r\nx-latin: caf\xe9\r\n\
              accept-encoding: gzip\r\nauthorization: Basic eDp5\r\nrange: bytes=0-1\r\nif-none-match: \"a\"\r\norigin: null\r\n\r\n",
        )
        .await;
    let answer = client.answer().await;
    let seen = seen(&answer);
    assert_eq!(seen.all("host"), ["App.Example:8443"]);
    assert_eq!(seen.all("x-two"), ["1", "2, 3"]);
    assert_eq!(seen.all("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.all("x-empty"), [""]);
    assert!(find(&answer.body, b"caf\xe9\r\n").is_some());
    for (name, value) in
        [("accept-encoding", "gzip"), ("authorization", "Basic eDp5"), ("range", "bytes=0-1"), ("origin", "null")]
    {
        assert_eq!(seen.all(name), [value]);
    }
    assert_eq!(seen.all("if-none-match"), ["\"a\""]);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-host"), ["App.Example:8443"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
}

#[tokio::test]
async fn response_headers_arrive_as_sent_duplicates_included() {
    let app = Scripted::answering(
        b"HTTP/1.1 201 Created\r\nSet-Cookie: a=1\r\nvary: rsc\r\nset-cookie: b=2; HttpOnly\r\nx-latin: caf\xe9\r\ncontent-encoding: gzip\r\n\
          date: Mon, 01 Jan 2001 00:00:00 GMT\r\nserver: node\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08",
    )
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/", "")).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2; HttpOnly"]);
    assert_eq!(answer.all("vary"), ["rsc"]);
    assert_eq!(answer.all("content-encoding"), ["gzip"]);
    assert_eq!(answer.all("date"), ["Mon, 01 Jan 2001 00:00:00 GMT"]);
    assert_eq!(answer.all("server"), ["node"]);
    assert_eq!(answer.all("content-length"), ["3"]);
    assert_eq!(answer.body, b"\x1f\x8b\x08");
}

#[tokio::test]
async fn hop_by_hop_headers_end_at_the_gate_in_both_directions() {
    let app = Scripted::start(|_, mut wire| async move {
        let request = wire.request().await.unwrap();
        let body = request.head;
        wire.send(format!(
            "HTTP/1.1 200 OK\r\nconnection: X-Hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: close\r\n\
             upgrade: h2c\r\nx-end: 1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        wire.more().await;
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client
        .send(get(
            "/",
            "Connection: keep-alive, X-Private\r\nx-private: 1\r\nkeep-alive: timeout=9\r\nproxy-connection: keep-alive\r\nte: gzip\r\n\
             upgrade: h2c\r\nx-end: 1\r\n",
        ))
        .await;
    let answer = client.answer().await;
    let request = seen(&answer);
    for name in ["x-private", "keep-alive", "proxy-connection", "te", "upgrade", "connection"] {
        assert_eq!(request.header(name), None, "{}", request.head);
    }
    assert_eq!(request.all("x-end"), ["1"]);
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade", "connection"] {
        assert_eq!(answer.header(name), None, "{}", answer.head);
    }
    assert_eq!(answer.all("x-end"), ["1"]);
}

#[tokio::test]
async fn a_request_body_streams_without_waiting_for_its_end() {
    for framing in ["transfer-encoding: chunked\r\n", "content-length: 8\r\n"] {
        let (first, arrived) = tokio::sync::oneshot::channel();
        let first = std::sync::Mutex::new(Some(first));
        let app = Scripted::start(move |_, mut wire| {
            let first = first.lock().unwrap().take();
            async move {
                let head = wire.head().await.unwrap();
                let begun = wire.until(b"one,").await.unwrap();
                first.unwrap().send(()).unwrap();
                wire.held.splice(..0, begun);
                let request = wire.body(head, None).await;
                assert_eq!((request.text().as_str(), request.whole), ("one,two.", true));
                wire.send(OK).await;
            }
        })
        .await;
        let gate = Gate::start(app.addr, "").await;
        let mut client = Wire::dial(gate.addr).await;
        let chunked = framing.starts_with("transfer");
        client
            .send(format!(
                "POST /up HTTP/1.1\r\nhost: a\r\n{framing}\r\n{}",
                if chunked { "4\r\none,\r\n" } else { "one," }
            ))
            .await;
        soon("the first part at the app before the second is sent", arrived).await.unwrap();
        client.send(if chunked { "4\r\ntwo.\r\n0\r\n\r\n" } else { "two." }).await;
        assert_eq!(client.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn server_sent_events_arrive_one_by_one() {
    for framing in ["transfer-encoding: chunked\r\n", "content-length: 22\r\n", ""] {
        let (next, on) = tokio::sync::watch::channel(0);
        let app = Scripted::start(move |_, mut wire| {
            let mut on = on.clone();
            async move {
                wire.request().await.unwrap();
                wire.send(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{framing}\r\n")).await;
                for n in 1..=2 {
                    on.wait_for(|on| *on >= n).await.unwrap();
                    let event = format!("data: {n}{n}\n\n");
                    wire.send(if framing.starts_with('t') { format!("a\r\n{event}\r\n") } else { event }).await;
                }
                on.wait_for(|on| *on >= 3).await.unwrap();
                wire.send(if framing.starts_with('t') { "0\r\n\r\n" } else { "\n\n" }).await;
            }
        })
        .await;
        let gate = Gate::start(app.addr, "").await;
        let mut client = Wire::dial(gate.addr).await;
        client.send(get("/events", "")).await;
        // The head alone, before the first event.
        let head = soon("the head", client.head()).await.unwrap();
        assert!(head.contains("text/event-stream"));
        for n in 1..=2 {
            next.send_replace(n);
            soon("an event before the next one is sent", client.until(format!("data: {n}{n}\n\n").as_bytes()))
                .await
                .unwrap();
        }
        next.send_replace(3);
        if framing.is_empty() {
            assert_eq!(client.until(b"0\r\n\r\n").await.map(|_| ()), Some(()), "HTTP/1.1 gets chunks, with an end");
        }
    }
}

/// 64 KiB that differ from piece to piece.
fn piece(n: usize) -> &'static [u8] {
    static NOISE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        (0..16384_u64).flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
    });
    &NOISE[n * 61..n * 61 + 65536]
}

const PIECES: usize = 1024;

fn sum() -> String {
    let mut hash = Sha256::new();
    (0..PIECES).for_each(|n| hash.update(piece(n)));
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_go_up_unchanged() {
    let app = Scripted::start(|_, mut wire| async move {
        while let Some(head) = wire.head().await {
            let mut hash = Sha256::new();
            if head.contains("chunked") {
                while let Some(chunk) = wire.chunk().await.filter(|chunk| !chunk.is_empty()) {
                    hash.update(chunk);
                }
                wire.until(b"\r\n").await.unwrap();
            } else {
                let mut left = PIECES * 65536;
                while left > 0 {
                    let bytes = wire.take(left.min(65536)).await;
                    left -= bytes.len();
                    hash.update(bytes);
                }
            }
            let sum = hex(&hash.finalize());
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{sum}", sum.len())).await;
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(format!("PUT /up HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", PIECES * 65536)).await;
    for n in 0..PIECES {
        client.send(piece(n)).await;
    }
    assert_eq!(client.answer().await.text(), sum());
    client.send("PUT /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for n in 0..PIECES {
        client.send([b"10000\r\n", piece(n), b"\r\n"].concat()).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), sum());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_come_down_unchanged() {
    let app = Scripted::start(|_, mut wire| async move {
        wire.request().await.unwrap();
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        for n in 0..PIECES {
            wire.send([b"10000\r\n", piece(n), b"\r\n"].concat()).await;
        }
        wire.send("0\r\n\r\n").await;
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/down", "")).await;
    client.head().await.unwrap();
    let mut hash = Sha256::new();
    while let Some(chunk) = client.chunk().await.filter(|chunk| !chunk.is_empty()) {
        hash.update(chunk);
    }
    assert_eq!(hex(&hash.finalize()), sum());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_goes_up_in_constant_memory() {
    const SIZE: u64 = 1 << 30;
    let app = Scripted::start(|_, mut wire| async move {
        while let Some(head) = wire.head().await {
            let length = Message { head, ..Message::default() }
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap());
            let mut left: u64 = length - u64::try_from(wire.held.len()).unwrap();
            wire.held.clear();
            while left > 0 && wire.more().await {
                left -= u64::try_from(wire.held.len()).unwrap();
                wire.held.clear();
                wire.held.reserve(1 << 18);
            }
            wire.send(OK).await;
        }
    })
    .await;
    let program = Program::start(app.addr, "");
    let mut client = Wire::dial(program.addr).await;
    client.send(get("/", "")).await;
    assert_eq!(client.answer().await.status(), 200);
    let idle = program.memory("VmRSS");
    client.send(format!("PUT /up HTTP/1.1\r\nhost: a\r\ncontent-length: {SIZE}\r\n\r\n")).await;
    let piece = vec![7; 1 << 20];
    for _ in 0..SIZE >> 20 {
        client.stream.write_all(&piece).await.unwrap();
    }
    assert_eq!(client.answer().await.status(), 200);
    let most = program.memory("VmHWM");
    assert!(most < idle + 20 * 1024, "idle {idle} KiB, at most {most} KiB");
}

#[tokio::test]
async fn head_204_and_304_have_no_body() {
    let app = Scripted::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            wire.send(match request.word(1) {
                "/head" => "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\nx: 1\r\n\r\n",
                "/chunked" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx: 1\r\n\r\n",
                "/204" => "HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\nx: 1\r\n\r\n",
                "/304/length" => "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\nx: 1\r\ncontent-length: 1234\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nx: 1\r\ncontent-length: 0\r\n\r\n",
            })
            .await;
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for (method, path, status, length) in [
        ("HEAD", "/head", 200, Some("1234")),
        ("HEAD", "/chunked", 200, None),
        ("GET", "/204", 204, None),
        ("DELETE", "/204", 204, None),
        ("GET", "/304", 304, None),
        // hyper leaves the length out of an answer to GET, as RFC 9110 §15.4.5 allows.
        ("GET", "/304/length", 304, None),
        ("HEAD", "/304/length", 304, Some("1234")),
        ("GET", "/empty", 200, Some("0")),
        ("HEAD", "/empty", 200, Some("0")),
    ] {
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let answer = client.answer_to_head().await;
        assert_eq!(
            (answer.status(), answer.header("content-length")),
            (status, length),
            "{method} {path}: {}",
            answer.head
        );
        assert_eq!(answer.all("x"), ["1"]);
        if status == 204 || status == 304 {
            assert_eq!(answer.header("transfer-encoding"), None, "{method} {path}");
        }
    }
    assert_eq!(app.connections(), 1, "all of these leave the connection to the app usable");
}

#[tokio::test]
async fn early_hints_reach_an_http_1_1_client_at_once_and_no_older_one() {
    let (go, on) = tokio::sync::watch::channel(false);
    let app = Scripted::start(move |_, mut wire| {
        let mut on = on.clone();
        async move {
            while wire.request().await.is_some() {
                wire.send(
                    "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nlink: </b.js>; rel=preload\r\n\r\n",
                )
                .await;
                on.wait_for(|on| *on).await.unwrap();
                wire.send(OK).await;
            }
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send(get("/", "")).await;
    let hints = soon("the hints before the answer", client.answer()).await;
    assert_eq!((hints.status(), hints.all("link").len()), (103, 2), "{}", hints.head);
    go.send_replace(true);
    assert_eq!(client.answer().await.text(), "ok");
    // Again on the same connection, answer close behind.
    client.send(get("/", "")).await;
    let (first, second) = (client.answer().await, client.answer().await);
    assert_eq!((first.status(), second.status()), (103, 200));

    let mut old = Wire::dial(gate.addr).await;
    old.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert_eq!(old.answer().await.status(), 200, "RFC 9110 §15.2: no 1xx to an HTTP/1.0 client");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_once() {
    let app = mirror().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for _ in 0..2 {
        client.send("POST /up HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 100);
        client.send("body").await;
        let answer = client.answer().await;
        assert_eq!(seen(&answer).body, b"body");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_a_refusal_instead() {
    let app = mirror().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    let headers = crate::harness::signed_headers("msg_1", crate::harness::now(), b"");
    let path = crate::harness::PATH;
    client
        .send(format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\n{headers}expect: 100-continue\r\ncontent-length: 99999999\r\n\r\n"
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.code().as_str()), (413, "body_too_large"));
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let app = Scripted::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            assert_eq!((request.text().as_str(), request.whole), ("up", true));
            assert_eq!(request.header("trailer"), Some("x-sum"));
            assert_eq!(request.header("te"), Some("trailers"));
            let up = request.trailers.replace("\r\n", ";");
            wire.send(format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-up, x-down\r\n\r\n4\r\ndown\r\n0\r\nx-up: {up}\r\nx-down: 2\r\n\r\n"
            ))
            .await;
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for _ in 0..2 {
        client
            .send(
                "POST /up HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                 2\r\nup\r\n0\r\nx-sum: 1\r\n\r\n",
            )
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.text().as_str(), answer.whole), ("down", true));
        assert_eq!(answer.trailers, "x-up: x-sum: 1;\r\nx-down: 2\r\n");
    }
}

#[tokio::test]
async fn trailers_that_nobody_announced_do_not_keep_a_body_from_its_end() {
    let app =
        Scripted::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndown\r\n0\r\nx-down: 2\r\n\r\n")
            .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for te in ["te: trailers\r\nconnection: te\r\n", ""] {
        client
            .send(format!(
                "POST /up HTTP/1.1\r\nhost: a\r\n{te}transfer-encoding: chunked\r\n\r\n2\r\nup\r\n0\r\nx-sum: 1\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (200, "down", true), "{te:?}");
    }
}

#[tokio::test]
async fn a_broken_body_is_the_clients_fault_also_on_an_unprotected_path() {
    let ends = Ends::default();
    let app = recording_ends(&ends).await;
    let gate = Gate::start(app.addr, "").await;
    for bad in [
        "2\r\nup\r\n0\r\nverified-event: forged\r\n\r\n",
        "2\r\nup\r\n0\r\ncontent-length: 3\r\n\r\n",
        "2\r\nup\r\nzz\r\n",
    ] {
        let mut client = Wire::dial(gate.addr).await;
        client.send(format!("POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{bad}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "framing"), "{bad}");
    }
    soon("three cut-off requests at the app", ends.count(3)).await;
    assert!(ends.all().iter().all(|request| !request.whole && request.trailers.is_empty()), "{:?}", ends.all());
}

/// The requests that an app saw, cut off or not.
#[derive(Debug, Clone, Default)]
struct Ends(std::sync::Arc<std::sync::Mutex<Vec<Message>>>);

impl Ends {
    fn all(&self) -> Vec<Message> {
        self.0.lock().unwrap().clone()
    }

    async fn count(&self, n: usize) {
        while self.0.lock().unwrap().len() < n {
            pause(5).await;
        }
    }
}

async fn recording_ends(ends: &Ends) -> Scripted {
    let ends = ends.clone();
    Scripted::start(move |_, mut wire| {
        let ends = ends.clone();
        async move {
            while let Some(request) = wire.request().await {
                let whole = request.whole;
                ends.0.lock().unwrap().push(request);
                if !whole || wire.try_send(OK).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_http_1_0_client_is_served_and_closed_unless_it_asks() {
    let app = mirror().await;
    let gate = Gate::start(app.addr, "").await;
    let mut plain = Wire::dial(gate.addr).await;
    plain.send("GET /old HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let answer = plain.answer().await;
    assert_eq!(seen(&answer).word(2), "HTTP/1.1", "each hop has its own version");
    assert!(answer.head.starts_with("HTTP/1."));
    plain.assert_ends("no keep-alive was asked for").await;

    let mut kept = Wire::dial(gate.addr).await;
    for _ in 0..3 {
        kept.send("POST /old HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nab").await;
        let answer = kept.answer().await;
        assert_eq!(seen(&answer).body, b"ab");
        assert!(
            answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive")),
            "{}",
            answer.head
        );
    }
}

#[tokio::test]
async fn an_http_1_0_client_without_host_is_served() {
    let app = mirror().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send("GET /old HTTP/1.0\r\n\r\n").await;
    let answer = client.answer().await;
    let seen = seen(&answer);
    assert_eq!(seen.all("host").len(), 1, "HTTP/1.1 to the app needs one (RFC 9112 §3.2): {}", seen.head);
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_chunked_answer_unchunked() {
    let app =
        Scripted::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
            .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    client.send("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.header("transfer-encoding"), answer.text().as_str()), (None, "abcdef"), "{}", answer.head);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let app = mirror().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    let mut sent = String::new();
    for n in 0..20 {
        sent += &match n % 3 {
            0 => get(&format!("/{n}"), ""),
            1 => format!("POST /{n} HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nGET"),
            _ => format!("POST /{n} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n"),
        };
    }
    client.send(sent).await;
    for n in 0..20 {
        let answer = client.answer().await;
        assert_eq!(answer.text().split(' ').nth(1), Some(&*format!("/{n}")));
    }
}

#[tokio::test]
async fn a_delivery_may_be_pipelined_behind_a_page_and_before_one() {
    let app = mirror().await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    let genuine = crate::harness::genuine(crate::harness::BODY, "");
    let forged = genuine.replace("user_1", "user_2");
    client.send([get("/1", ""), genuine, get("/2", ""), forged, get("/3", "")].concat()).await;
    assert_eq!(seen(&client.answer().await).word(1), "/1");
    let delivered = client.answer().await;
    assert_eq!(seen(&delivered).body, crate::harness::BODY.as_bytes());
    assert_eq!(seen(&client.answer().await).word(1), "/2");
    assert_eq!(client.answer().await.status(), 401);
    assert_eq!(seen(&client.answer().await).word(1), "/3", "a refusal after a whole body leaves the connection usable");
}

#[tokio::test]
async fn chunked_and_close_delimited_answers_arrive_whole() {
    let app = Scripted::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            if request.word(1) == "/chunked" {
                wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n").await;
                wire.send("A\r\n0123456789\r\n0\r\n\r\n").await;
            } else if request.word(1) == "/old" {
                wire.send("HTTP/1.0 200 OK\r\n\r\nabc0123456789").await;
                return;
            } else {
                wire.send("HTTP/1.1 200 OK\r\n\r\nabc0123456789").await;
                return;
            }
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let mut client = Wire::dial(gate.addr).await;
    for path in ["/chunked", "/old", "/close", "/chunked"] {
        client.send(get(path, "")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (200, "abc0123456789", true), "{path}");
    }
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let app = Scripted::start(|_, mut wire| async move {
        wire.head().await.unwrap();
        wire.send("HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 9\r\n\r\ntoo large").await;
        // Closed with unread bytes: the gate's writes fail while the answer waits to be read.
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    for _ in 0..10 {
        let mut client = Wire::dial(gate.addr).await;
        client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 67108864\r\n\r\n").await;
        let (mut read, mut write) = client.stream.split();
        let sending = async {
            let piece = vec![0; 65536];
            for _ in 0..1024 {
                if write.write_all(&piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let mut got = Vec::new();
        let reading = async {
            use tokio::io::AsyncReadExt;
            while find(&got, b"too large").is_none() {
                if read.read_buf(&mut got).await.unwrap_or(0) == 0 {
                    break;
                }
            }
        };
        soon("the early answer", async {
            tokio::select! { () = reading => {}, () = async { sending.await; std::future::pending().await } => {} }
        })
        .await;
        let got = String::from_utf8_lossy(&got);
        assert!(got.starts_with("HTTP/1.1 413 ") && got.ends_with("too large"), "{got:?}");
    }
}

#[tokio::test]
async fn an_early_answer_to_a_delivery_is_the_answer() {
    let app = Scripted::start(|_, mut wire| async move {
        wire.head().await.unwrap();
        wire.send("HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 9\r\n\r\ntoo large").await;
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let body = format!("\"{}\"", "x".repeat(1_000_000));
    for _ in 0..10 {
        let mut client = Wire::dial(gate.addr).await;
        client.send(crate::harness::genuine(&body, "")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text().as_str()), (413, "too large"));
    }
}

#[tokio::test]
async fn an_early_answer_on_a_kept_connection_does_not_confuse_the_next_request() {
    // The app answers before the body, yet reads all of it and keeps the connection.
    let app = Scripted::start(|_, mut wire| async move {
        while let Some(head) = wire.head().await {
            wire.send(OK).await;
            wire.body(head, Some(0)).await;
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    for _ in 0..10 {
        let mut client = Wire::dial(gate.addr).await;
        client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 40\r\n\r\nfirst half of this; ").await;
        assert_eq!(client.answer().await.status(), 200);
        let _ = client.try_send("GET /smuggled HTTP/1").await;
        let mut next = Wire::dial(gate.addr).await;
        next.send(get("/next", "")).await;
        assert_eq!(next.answer().await.status(), 200);
    }
}
