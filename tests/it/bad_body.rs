//! Bodies that are short, long, slow, stalled, too large or starving others: answered clearly, and never half-delivered.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::bad_framing::Pipeline;
use crate::harness::*;
use crate::sender::*;

const KIB: usize = 1024;

/// A delivery of `size` bytes, signed.
fn delivery(size: usize) -> Sent {
    Sent::clerk(PATH, "x".repeat(size))
}

/// Writes what may be refused half-way.
async fn send(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok()
}

#[tokio::test]
async fn a_body_shorter_than_declared_is_incomplete() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let sent = Sent::clerk(PATH, BODY);
    let n = BODY.len();
    for (bytes, why) in [
        (sent.framed(&format!("content-length: {}\r\n", n + 1), BODY), "one byte short of the declared length"),
        (sent.framed(&format!("content-length: {n}\r\n"), &BODY[..n - 1]), "the last byte missing"),
        (sent.framed(&format!("content-length: {n}\r\n"), ""), "nothing but the head"),
        (sent.framed("transfer-encoding: chunked\r\n", format!("{n:x}\r\n{BODY}\r\n")), "the last chunk missing"),
        (sent.framed("transfer-encoding: chunked\r\n", format!("{n:x}\r\n{BODY}\r\n0\r\n")), "the last line missing"),
        (
            sent.framed("transfer-encoding: chunked\r\n", format!("{n:x}\r\n{BODY}\r\n0\r\nx: y\r\n")),
            "the trailers' end missing",
        ),
        (sent.framed("transfer-encoding: chunked\r\n", format!("{:x}\r\n{BODY}", n + 1)), "a chunk cut off"),
        (sent.framed("transfer-encoding: chunked\r\n", ""), "no chunk"),
    ] {
        let mut stream = gate.connect().await;
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_refusal(&Answer::read(&mut stream).await, 400, "body_incomplete", why);
        // And a sender that is gone altogether, or reset.
        for reset in [false, true] {
            let mut stream = gate.connect().await;
            stream.write_all(&bytes).await.unwrap();
            if reset {
                stream.set_zero_linger().unwrap();
            }
        }
    }
    app.assert_unreached("never complete").await;
}

#[tokio::test]
async fn a_head_cut_off_is_nothing_at_all() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let whole = genuine("", "");
    for at in [1, 4, 20, whole.len() / 2, whole.len() - 2, whole.len() - 1] {
        let mut stream = gate.connect().await;
        stream.write_all(&whole.as_bytes()[..at]).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = Answer::read(&mut stream).await;
        assert!(matches!(answer.status, 0 | 400), "cut at {at}: {answer:?}");
    }
    app.assert_unreached("half a head").await;
}

#[tokio::test]
async fn what_follows_the_declared_length_is_another_request() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let n = BODY.len();
    // Signed over more than declared: the rest does not count.
    let long = Sent::clerk(PATH, format!("{BODY}tail"));
    assert_all_refused(
        &gate,
        &app,
        [(
            long.framed(&format!("content-length: {n}\r\n"), &long.body),
            401,
            "signature_mismatch",
            "signed over more".to_owned(),
        )],
    )
    .await;
    // Signed over what is declared: that is delivered, and the rest is judged by itself.
    for (rest, status, code) in [
        (" garbage".to_owned(), 400, "framing"),
        (format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n\r\n"), 400, "header_missing"),
        (genuine(BODY, "").replace("user_1", "user_2"), 401, "signature_mismatch"),
    ] {
        let before = app.seen().len();
        let sent = Sent::clerk(PATH, BODY).framed(&format!("content-length: {n}\r\n"), format!("{BODY}{rest}"));
        let mut stream = gate.connect().await;
        stream.write_all(&sent).await.unwrap();
        let mut pipeline = Pipeline::new(stream);
        assert_eq!(pipeline.next(false).await.status, 200, "{rest}");
        assert_refusal(&pipeline.next(false).await, status, code, &rest);
        let seen = app.seen();
        assert_eq!((seen.len(), seen[before].body.as_ref()), (before + 1, BODY.as_bytes()), "{rest}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_passes() {
    let app = App::start().await;
    let gate = Gate::with(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\n[limits]\nmax_body = \"8KiB\"\n\
         [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n\
         [routes.small]\npath = \"/small\"\nprovider = \"clerk\"\nmax_body = \"100B\"\n",
        app.addr
    ))
    .await;
    let pieces = |sent: &Sent, size: usize| {
        let chunks: Vec<u8> = sent
            .body
            .chunks(size)
            .flat_map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())
            .collect();
        sent.framed("transfer-encoding: chunked\r\n", [&chunks[..], b"0\r\n\r\n"].concat())
    };
    let mut cases = Vec::new();
    for (path, limit) in [(PATH, 8 * KIB), ("/small", 100)] {
        for over in [1, 2, 5000, 500_000] {
            let sent = Sent { target: path.into(), ..delivery(limit + over) };
            cases.push((sent.bytes(), 413, "body_too_large", format!("{path}: {over} bytes over, declared")));
            cases.push((sent.chunked(), 413, "body_too_large", format!("{path}: {over} bytes over, in one chunk")));
            cases.push((
                pieces(&sent, 97),
                413,
                "body_too_large",
                format!("{path}: {over} bytes over, in many chunks"),
            ));
        }
        // Declared, but never sent: refused without waiting for it.
        let sent = Sent { target: path.into(), ..delivery(1) };
        for length in [limit + 1, 1 << 30, 999_999_999_999_999_999] {
            cases.push((
                sent.framed(&format!("content-length: {length}\r\n"), ""),
                413,
                "body_too_large",
                format!("{path}: {length} declared"),
            ));
        }
    }
    assert_all_refused(&gate, &app, cases).await;
    for (path, limit) in [(PATH, 8 * KIB), ("/small", 100)] {
        let sent = Sent { target: path.into(), ..delivery(limit) };
        for bytes in [sent.bytes(), sent.chunked(), pieces(&sent, 97), pieces(&sent, 1)] {
            let answer = gate.exchange(bytes).await;
            assert_eq!((answer.status, answer.body.len()), (200, limit), "{path}");
        }
    }
    assert!(app.seen().iter().all(|seen| seen.whole && matches!(seen.body.len(), 8192 | 100)));
}

#[tokio::test]
async fn nobody_is_invited_to_send_a_body_that_is_refused_already() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "allow_ips = [\"127.0.0.1\"]\n").await;
    let expect = "expect: 100-continue\r\n";
    let n = format!("content-length: {}\r\n", BODY.len());
    let sent = Sent::clerk(PATH, BODY);
    for (head, status, code) in [
        (sent.framed(&format!("{expect}content-length: 2000000\r\n"), ""), 413, "body_too_large"),
        (sent.clone().without("svix-id").framed(&format!("{expect}{n}"), ""), 400, "header_missing"),
        (sent.clone().set("svix-timestamp", "1").framed(&format!("{expect}{n}"), ""), 401, "timestamp_too_old"),
        (sent.clone().set("svix-signature", "v2,x").framed(&format!("{expect}{n}"), ""), 401, "signature_mismatch"),
        (sent.clone().method("PATCH").framed(&format!("{expect}{n}"), ""), 405, "method_not_allowed"),
        (sent.framed(&format!("{expect}{n}{n}"), ""), 400, "framing"),
        (sent.framed(&format!("{expect}{expect}{n}"), ""), 400, "framing"),
        (sent.framed(&format!("expect: 200-ok\r\n{n}"), ""), 400, "framing"),
        (Sent { target: b"/a/../b".to_vec(), ..sent.clone() }.framed(&format!("{expect}{n}"), ""), 400, "bad_target"),
    ] {
        let mut stream = gate.connect().await;
        stream.write_all(&head).await.unwrap();
        // `Answer::read` takes a 100 for an answer.
        assert_refusal(&Answer::read(&mut stream).await, status, code, "refused before its body");
    }
    // From a stranger.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(gate.addr).await.unwrap();
    stream.write_all(&sent.framed(&format!("{expect}{n}"), "")).await.unwrap();
    assert_refusal(&Answer::read(&mut stream).await, 403, "ip_not_allowed", "a stranger");
    app.assert_unreached("refused before its body").await;
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_continue_and_then_judged() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    for (body, status) in [(BODY.to_owned(), 200), (BODY.replace("user_1", "user_2"), 401)] {
        for framing in [format!("content-length: {}\r\n", body.len()), "transfer-encoding: chunked\r\n".into()] {
            let mut stream = gate.connect().await;
            let head = Sent::clerk(PATH, BODY).framed(&format!("Expect: 100-Continue\r\n{framing}"), "");
            stream.write_all(&head).await.unwrap();
            let mut pipeline = Pipeline::new(stream);
            assert_eq!(pipeline.next(false).await.status, 100, "{framing}");
            let body = if framing.starts_with('t') {
                format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
            } else {
                body.clone()
            };
            pipeline.send(body.as_bytes()).await;
            assert_eq!(pipeline.next(false).await.status, status, "{framing}");
        }
    }
    let seen = app.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().all(|seen| seen.body == BODY && !seen.headers.contains_key("expect")));
}

#[tokio::test]
async fn a_slow_or_stalled_body_is_timed_out() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nbody_timeout = \"400ms\"\n").await;
    let n = BODY.len();
    let mut sending = JoinSet::new();
    for (framing, start) in [
        (format!("content-length: {n}\r\n"), ""),
        (format!("content-length: {n}\r\n"), "{"),
        ("transfer-encoding: chunked\r\n".to_owned(), ""),
        ("transfer-encoding: chunked\r\n".to_owned(), "3f\r\n{"),
        ("transfer-encoding: chunked\r\n".to_owned(), "3"),
    ] {
        for drip in [false, true] {
            let (head, addr) = (Sent::clerk(PATH, BODY).framed(&framing, start), gate.addr);
            // What a patient forger sends a byte at a time, slower than the limit allows but never stalling.
            let rest = if framing.starts_with('c') {
                BODY[start.len()..].to_owned()
            } else {
                format!("3f\r\n{BODY}\r\n0\r\n\r\n")[start.len()..].to_owned()
            };
            let why = format!("{framing:?} {start:?}, dripping: {drip}");
            sending.spawn(async move {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                stream.write_all(&head).await.unwrap();
                let began = Instant::now();
                let (mut reading, mut writing) = stream.into_split();
                let dripping = tokio::spawn(async move {
                    for byte in rest.as_bytes().chunks(1).take(if drip { usize::MAX } else { 0 }) {
                        tokio::time::sleep(Duration::from_millis(30)).await;
                        if writing.write_all(byte).await.is_err() {
                            break;
                        }
                    }
                    tokio::time::sleep(Duration::from_secs(2)).await;
                });
                let mut bytes = Vec::new();
                let mut piece = [0; 4096];
                while let Ok(n @ 1..) = tokio::io::AsyncReadExt::read(&mut reading, &mut piece).await {
                    bytes.extend_from_slice(&piece[..n]);
                    if find(&bytes, b"}").is_some() {
                        break;
                    }
                }
                dripping.abort();
                let text = String::from_utf8(bytes).unwrap();
                let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
                (Answer { status, head: format!("{head}\r\n\r\n"), body: body.into() }, began.elapsed(), why)
            });
        }
    }
    while let Some(sent) = sending.join_next().await {
        let (answer, took, why) = sent.unwrap();
        assert_refusal(&answer, 408, "body_timeout", &why);
        assert!(took >= Duration::from_millis(380), "{why}: too early, {took:?}");
        assert!(took < Duration::from_millis(1_500), "{why}: too late, {took:?}");
    }
    app.assert_unreached("too slow").await;
    let answer = gate.exchange(genuine(BODY, "")).await;
    assert_eq!(answer.status, 200, "the next one is not to blame");
}

#[tokio::test]
async fn a_body_cannot_outlive_the_window_that_its_timestamp_opened() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "tolerance = \"1s\"\n").await;
    let mut stream = gate.connect().await;
    let sent = Sent::clerk(PATH, BODY).bytes();
    stream.write_all(&sent[..sent.len() - 1]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_050)).await;
    stream.write_all(&sent[sent.len() - 1..]).await.unwrap();
    assert_refusal(
        &Answer::read(&mut stream).await,
        401,
        "timestamp_too_old",
        "fresh with its head, stale with its body",
    );
    app.assert_unreached("stale").await;
}

#[tokio::test]
async fn trailers_prove_nothing_and_end_at_the_gate() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let sent = Sent::clerk(PATH, BODY);
    let chunk = format!("{:x}\r\n{BODY}\r\n0\r\n", BODY.len());
    // The proof comes with the head, or not at all.
    let signature = String::from_utf8(sent.value("svix-signature")).unwrap();
    let late = sent.clone().without("svix-signature").with("trailer", "svix-signature");
    let late = late.framed("transfer-encoding: chunked\r\n", format!("{chunk}svix-signature: {signature}\r\n\r\n"));
    assert_all_refused(&gate, &app, [(late, 400, "header_missing", "the signature in a trailer".to_owned())]).await;

    let trailed = sent
        .clone()
        .with("trailer", "x-late, svix-id")
        .framed("transfer-encoding: chunked\r\n", format!("{chunk}x-late: 1\r\nsvix-id: msg_2\r\n\r\n"));
    assert_eq!(gate.exchange(trailed).await.status, 200);
    let seen = app.only();
    assert_eq!(seen.headers.get_all("svix-id").iter().collect::<Vec<_>>(), ["msg_1"]);
    assert!(!seen.headers.contains_key("x-late"), "{:?}", seen.headers);
    assert_eq!(seen.headers.get("content-length").unwrap(), &BODY.len().to_string());

    for trailer in [
        "verified-event: id=\"x\"",
        "Verified_Event: x",
        "verified-event-token: x",
        "content-length: 1",
        "transfer-encoding: chunked",
        "host: a",
        "x-forwarded-for: 10.0.0.1",
    ] {
        let sent = sent.framed("transfer-encoding: chunked\r\n", format!("{chunk}{trailer}\r\n\r\n"));
        let answer = gate.exchange(sent).await;
        assert_refusal(&answer, 400, "framing", trailer);
    }
    assert_eq!(app.seen().len(), 1, "{:?}", app.seen());
}

/// Slow forged bodies must not starve a genuine one: the slowest is dropped first.
#[tokio::test]
async fn slow_bodies_make_room_for_a_genuine_delivery() {
    let app = App::start().await;
    let gate =
        Gate::start(app.addr, "max_body = \"60KiB\"\n[limits]\nmax_body = \"60KiB\"\nbuffered_bytes = \"64KiB\"\n")
            .await;
    let mut slow = Vec::new();
    for size in [17 * KIB, 16 * KIB, 15 * KIB, 14 * KIB] {
        let mut stream = gate.connect().await;
        let forged = Sent::clerk(PATH, "y").framed(&format!("content-length: {}\r\n", 50 * KIB), "y".repeat(size));
        assert!(send(&mut stream, &forged).await);
        slow.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    let answer = gate.exchange(delivery(14 * KIB).bytes()).await;
    assert_eq!((answer.status, answer.body.len()), (200, 14 * KIB), "{:?}", answer.head);
    assert_eq!(app.only().body.len(), 14 * KIB);
    // The slowest is the one that had sent least.
    let mut last = slow.pop().unwrap();
    assert_refusal(&Answer::read(&mut last).await, 503, "overloaded", "the slowest");
    for stream in &slow {
        let mut byte = [0];
        let quiet = tokio::time::timeout(Duration::from_millis(20), stream.peek(&mut byte)).await;
        assert!(quiet.is_err(), "no more were dropped than had to be: {quiet:?}");
    }
    // One that needs all the room gets it.
    let answer = gate.exchange(delivery(60 * KIB).bytes()).await;
    assert_eq!((answer.status, answer.body.len()), (200, 60 * KIB), "{:?}", answer.head);
    for mut stream in slow {
        assert_refusal(&Answer::read(&mut stream).await, 503, "overloaded", "slower than a genuine one");
    }
    // What was dropped or delivered is given back: the budget does not leak.
    for _ in 0..20 {
        assert_eq!(gate.exchange(delivery(60 * KIB).bytes()).await.status, 200);
    }
    assert_eq!(app.seen().len(), 22);
    assert!(app.seen().iter().all(|seen| seen.headers.contains_key("verified-event")));
}

#[tokio::test]
async fn refused_and_broken_bodies_give_their_room_back() {
    let app = App::start().await;
    let gate = Gate::start(
        app.addr,
        "max_body = \"60KiB\"\n[limits]\nmax_body = \"60KiB\"\nbuffered_bytes = \"64KiB\"\nbody_timeout = \"200ms\"\n",
    )
    .await;
    for round in 0..6 {
        let forged = Sent { body: "z".repeat(40 * KIB).into(), ..delivery(40 * KIB) };
        assert_refusal(&gate.exchange(forged.bytes()).await, 401, "signature_mismatch", "forged");
        let mut cut = gate.connect().await;
        assert!(
            send(&mut cut, &forged.framed(&format!("content-length: {}\r\n", 50 * KIB), "z".repeat(40 * KIB))).await
        );
        if round % 2 == 0 {
            cut.shutdown().await.unwrap();
            assert_refusal(&Answer::read(&mut cut).await, 400, "body_incomplete", "cut off");
        } else {
            assert_refusal(&Answer::read(&mut cut).await, 408, "body_timeout", "stalled");
        }
        assert_refusal(&gate.exchange(delivery(60 * KIB + 1).chunked()).await, 413, "body_too_large", "too large");
    }
    assert_eq!(app.seen().len(), 0);
    assert_eq!(gate.exchange(delivery(60 * KIB).bytes()).await.status, 200);
    assert_eq!(app.only().body.len(), 60 * KIB);
}

/// Unlike webhooks, pages are streamed: their bodies need no room at all.
#[tokio::test]
async fn a_passed_body_is_neither_counted_nor_bounded() {
    let app = App::start().await;
    let gate =
        Gate::start(app.addr, "max_body = \"60KiB\"\n[limits]\nmax_body = \"60KiB\"\nbuffered_bytes = \"64KiB\"\n")
            .await;
    let upload = Sent::post("/upload", "u".repeat(400 * KIB));
    for bytes in [upload.bytes(), upload.chunked()] {
        let answer = gate.exchange(bytes).await;
        assert_eq!((answer.status, answer.body.len()), (200, 400 * KIB), "{:?}", answer.head);
    }
    assert!(app.seen().iter().all(|seen| seen.body.len() == 400 * KIB));
}
