//! Framing tricks, raw on the wire: whatever another parser could read otherwise is refused, and nothing is smuggled past.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::*;
use crate::sender::*;

const FRAMING: (u16, &str) = (400, "framing");
const TARGET: (u16, &str) = (400, "bad_target");
const TOO_LARGE: (u16, &str) = (431, "head_too_large");

/// The request line and header lines of a genuine delivery, as text, without Host and without the empty line.
fn lines(method: &str, target: &str, version: &str) -> (String, String) {
    (format!("{method} {target} {version}\r\n"), signed_headers("msg_1", now(), BODY.as_bytes()))
}

/// A genuine delivery whose framing is only `more`.
fn framed(more: &str, body: &str) -> Vec<u8> {
    let (line, signed) = lines("POST", PATH, "HTTP/1.1");
    format!("{line}host: app.example\r\n{signed}{more}\r\n{body}").into_bytes()
}

fn chunk(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// The same trick on a genuine delivery and on a page: neither reaches the app.
fn on_both(cases: &[(String, String, (u16, &'static str))]) -> Vec<(Vec<u8>, u16, &'static str, String)> {
    let mut all = Vec::new();
    for (more, body, (status, code)) in cases {
        all.push((framed(more, body), *status, *code, format!("webhook: {more:?}")));
        let page = format!("POST /page HTTP/1.1\r\nhost: app.example\r\n{more}\r\n{body}");
        all.push((page.into_bytes(), *status, *code, format!("page: {more:?}")));
    }
    all
}

#[tokio::test]
async fn a_length_with_two_readings_is_refused() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let n = BODY.len();
    let mut cases = Vec::new();
    for more in [
        format!("content-length: {n}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {n}\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", chunk(BODY).len()),
        "transfer-encoding: chunked\r\ncontent-length: 0\r\n".into(),
        format!("content-length: {n}\r\ntransfer-encoding: identity\r\n"),
        format!("content-length: {n}\r\ntransfer-encoding:\r\n"),
        format!("content-length: {n}\r\ncontent-length: {n}\r\n"),
        format!("content-length: {n}\r\nContent-Length: 0\r\n"),
        format!("content-length: 0\r\ncontent-length: {n}\r\n"),
        format!("content-length: {n}, {n}\r\n"),
        format!("content-length: {n},\r\n"),
        format!("content-length: +{n}\r\n"),
        format!("content-length: -{n}\r\n"),
        format!("content-length: 0x{n:x}\r\n"),
        format!("content-length: {n}.0\r\n"),
        format!("content-length: {n} 1\r\n"),
        format!("content-length: \"{n}\"\r\n"),
        format!("content-length: {n};x\r\n"),
        format!("content-length: \x0b{n}\r\n"),
        format!("content-length: \u{a0}{n}\r\n"),
        "content-length: ６３\r\n".into(),
        "content-length:\r\n".into(),
        "content-length: \t \r\n".into(),
        format!("content-length: 18446744073709551{n}\r\n"),
        format!("content-length: {}\r\n", u128::from(u64::MAX) + 1 + n as u128),
        format!("content_length: {n}\r\n"),
        format!("content-length: {n}\r\nContent_Length: 1\r\n"),
        format!("content-length: {n}\r\ntransfer_encoding: chunked\r\n"),
        format!("content-length : {n}\r\n"),
        format!("content-length\t: {n}\r\n"),
        format!("x-first: 1\r\n content-length: {n}\r\n"),
    ] {
        cases.push((more, BODY.to_owned(), FRAMING));
    }
    for more in [
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunkedx\r\n",
        "transfer-encoding: chunked;q=1\r\n",
        "transfer-encoding: chunked,\r\n",
        "transfer-encoding: ,chunked\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: 'chunked'\r\n",
        "transfer-encoding: \x0bchunked\r\n",
        "transfer-encoding: chunked\x0c\r\n",
        "transfer-encoding: ch\tunked\r\n",
        "transfer-encoding: \u{a0}chunked\r\n",
        "transfer-encoding:\r\n",
        "transfer-encoding: \r\n",
        "transfer-encoding: chunKed\u{212a}\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding\t: chunked\r\n",
        "transfer-encoding\r\n: chunked\r\n",
        "transfer_encoding: chunked\r\n",
        "Transfer_Encoding: chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding:\r\n chunked\r\n",
        "x: 1\r\n transfer-encoding: chunked\r\n",
        "\x0btransfer-encoding: chunked\r\n",
        "transfer-encoding: x\r\ncontent-length: 3\r\n",
    ] {
        cases.push((more.to_owned(), chunk(BODY), FRAMING));
    }
    assert_all_refused(&gate, &app, on_both(&cases)).await;
}

#[tokio::test]
async fn one_spelling_of_the_length_is_taken() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let n = BODY.len();
    for (more, body) in [
        (format!("content-length: {n}\r\n"), BODY.to_owned()),
        (format!("Content-Length:{n}\r\n"), BODY.to_owned()),
        (format!("content-length: \t{n} \r\n"), BODY.to_owned()),
        ("transfer-encoding: chunked\r\n".into(), chunk(BODY)),
        ("Transfer-Encoding: Chunked\r\n".into(), chunk(BODY)),
        (
            "transfer-encoding: chunked\r\n".into(),
            format!("1\r\n{}\r\n00{:X}\r\n{}\r\n00\r\n\r\n", &BODY[..1], n - 1, &BODY[1..]),
        ),
    ] {
        let answer = gate.exchange(framed(&more, &body)).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, BODY), "{more:?}");
    }
    let seen = app.seen();
    assert_eq!(seen.len(), 6);
    for seen in seen {
        assert_eq!(seen.body, BODY);
        assert_eq!(seen.headers.get("content-length").unwrap(), &n.to_string(), "the verified bytes are counted anew");
        assert!(!seen.headers.contains_key("transfer-encoding"));
    }
}

#[tokio::test]
async fn a_head_that_is_not_exactly_http_is_refused() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let n = BODY.len();
    let (line, signed) = lines("POST", PATH, "HTTP/1.1");
    let host = "host: app.example\r\n";
    let rest = format!("{host}{signed}content-length: {n}\r\n\r\n{BODY}");
    let mut cases: Vec<(Vec<u8>, (u16, &str), String)> = Vec::new();
    let mut case = |bytes: String, expected: (u16, &'static str), why: &str| {
        cases.push((bytes.into_bytes(), expected, why.to_owned()));
    };

    case(format!("POST {PATH} HTTP/1.1\n{rest}"), FRAMING, "bare LF after the request line");
    case(
        format!("{line}host: app.example\n{signed}content-length: {n}\r\n\r\n{BODY}"),
        FRAMING,
        "bare LF after a field",
    );
    case(format!("{line}{host}{signed}content-length: {n}\n\n{BODY}"), FRAMING, "bare LF at the end");
    case(format!("{line}{host}{signed}content-length: {n}\r\n\n{BODY}"), FRAMING, "CR LF LF at the end");
    case(format!("{line}{host}x: a\rb\r\n{signed}content-length: {n}\r\n\r\n{BODY}"), FRAMING, "bare CR in a value");
    case(
        format!("{line}{host}x: a\rcontent-length: 0\r\n{signed}content-length: {n}\r\n\r\n{BODY}"),
        FRAMING,
        "a field behind a bare CR",
    );
    case(format!("\n{line}{rest}"), FRAMING, "LF before the request line");
    case(format!(" {line}{rest}"), FRAMING, "space before the request line");
    case(format!("\t{line}{rest}"), FRAMING, "tab before the request line");
    case(format!("\r\n\r\n{line}{rest}"), FRAMING, "two empty lines before the request line");
    case(format!("\0{line}{rest}"), FRAMING, "NUL before the request line");
    case(format!("\u{feff}{line}{rest}"), FRAMING, "a byte-order mark before the request line");
    case(format!("{line} {rest}"), FRAMING, "space before the first field");
    case(format!("{line}{host}x: a\r\n b\r\n{signed}content-length: {n}\r\n\r\n{BODY}"), FRAMING, "a folded field");
    case(
        format!("{line}{host}x: a\r\n\tb\r\n{signed}content-length: {n}\r\n\r\n{BODY}"),
        FRAMING,
        "a field folded with a tab",
    );
    case(format!("{line}{host}{signed} folded\r\ncontent-length: {n}\r\n\r\n{BODY}"), FRAMING, "a folded signature");
    case(format!("{line}{host}{signed}content-length:\r\n {n}\r\n\r\n{BODY}"), FRAMING, "a folded length");
    for (what, field) in [
        ("NUL in a value", "x: a\0b"),
        ("DEL in a value", "x: a\x7fb"),
        ("ESC in a value", "x: a\x1bb"),
        ("VT in a value", "x: a\x0bb"),
        ("NUL in a name", "x\0y: a"),
        ("space in a name", "x y: a"),
        ("space before the colon", "x : a"),
        ("no colon", "x"),
        ("no name", ": a"),
        ("UTF-8 in a name", "xé: a"),
        ("quote in a name", "\"x\": a"),
        ("slash in a name", "x/y: a"),
        ("brackets in a name", "[x]: a"),
        ("colon in front", ":x: a"),
        ("at sign in a name", "x@y: a"),
        ("comma in a name", "x,y: a"),
    ] {
        case(format!("{line}{host}{field}\r\n{signed}content-length: {n}\r\n\r\n{BODY}"), FRAMING, what);
    }

    case(format!("{line}{signed}content-length: {n}\r\n\r\n{BODY}"), FRAMING, "no Host");
    for (what, hosts) in [
        ("two hosts", "host: app.example\r\nhost: evil.example\r\n"),
        ("the same host twice", "host: app.example\r\nHost: app.example\r\n"),
        ("an empty host", "host:\r\n"),
        ("a blank host", "host: \t\r\n"),
        ("a list of hosts", "host: app.example, evil.example\r\n"),
        ("a host with userinfo", "host: evil@app.example\r\n"),
        ("a host with a path", "host: app.example/api\r\n"),
        ("a host with a space", "host: app.example evil\r\n"),
        ("a host with a fragment", "host: app.example#x\r\n"),
        ("a host with a query", "host: app.example?x\r\n"),
        ("a host with a backslash", "host: app.example\\x\r\n"),
        ("a host in UTF-8", "host: appé.example\r\n"),
        ("a URL as host", "host: http://app.example\r\n"),
        ("a space before its colon", "host : app.example\r\n"),
    ] {
        case(format!("{line}{hosts}{signed}content-length: {n}\r\n\r\n{BODY}"), FRAMING, what);
    }

    for (what, line, expected) in [
        ("a fragment", format!("POST {PATH}#x HTTP/1.1"), TARGET),
        ("a fragment in the query", format!("POST {PATH}?a#b HTTP/1.1"), TARGET),
        ("a fragment after ?", format!("POST {PATH}?# HTTP/1.1"), TARGET),
        ("absolute form", format!("POST http://app.example{PATH} HTTP/1.1"), TARGET),
        ("absolute form in capitals", format!("POST HTTP://app.example{PATH} HTTP/1.1"), TARGET),
        ("no slash", format!("POST {} HTTP/1.1", &PATH[1..]), TARGET),
        ("asterisk form", "OPTIONS * HTTP/1.1".into(), TARGET),
        ("asterisk for POST", "POST * HTTP/1.1".into(), TARGET),
        ("CONNECT to a host", "CONNECT app.example:443 HTTP/1.1".into(), TARGET),
        ("CONNECT to the route", format!("CONNECT {PATH} HTTP/1.1"), TARGET),
        ("authority form", "POST app.example:80 HTTP/1.1".into(), TARGET),
        ("two leading slashes", format!("POST /{PATH} HTTP/1.1"), TARGET),
        ("scheme-relative", format!("POST //app.example{PATH} HTTP/1.1"), TARGET),
        ("a backslash first", format!("POST \\{PATH} HTTP/1.1"), TARGET),
        ("UTF-8", format!("POST {PATH}é HTTP/1.1"), TARGET),
        ("UTF-8 in the query", format!("POST {PATH}?é HTTP/1.1"), TARGET),
        ("NUL", format!("POST {PATH}\0 HTTP/1.1"), TARGET),
        ("DEL", format!("POST {PATH}\x7f HTTP/1.1"), TARGET),
        ("a tab inside", format!("POST {PATH}\tx HTTP/1.1"), TARGET),
        ("a form feed", format!("POST {PATH}\x0c HTTP/1.1"), TARGET),
        ("NUL in the query", format!("POST {PATH}?\0 HTTP/1.1"), TARGET),
        ("a query alone", format!("POST ?{PATH} HTTP/1.1"), TARGET),
        ("a space inside", format!("POST {PATH} x HTTP/1.1"), FRAMING),
        ("two spaces", format!("POST  {PATH} HTTP/1.1"), FRAMING),
        ("two spaces before the version", format!("POST {PATH}  HTTP/1.1"), FRAMING),
        ("a tab for a space", format!("POST\t{PATH} HTTP/1.1"), FRAMING),
        ("a space at the end", format!("POST {PATH} HTTP/1.1 "), FRAMING),
        ("no version", format!("POST {PATH}"), FRAMING),
        ("no method", format!("{PATH} HTTP/1.1"), FRAMING),
        ("HTTP/0.9", format!("POST {PATH} HTTP/0.9"), FRAMING),
        ("HTTP/1.2", format!("POST {PATH} HTTP/1.2"), FRAMING),
        ("HTTP/2.0", format!("POST {PATH} HTTP/2.0"), FRAMING),
        ("HTTP/1.10", format!("POST {PATH} HTTP/1.10"), FRAMING),
        ("HTTP/1", format!("POST {PATH} HTTP/1"), FRAMING),
        ("http/1.1", format!("POST {PATH} http/1.1"), FRAMING),
        ("ICY/1.1", format!("POST {PATH} ICY/1.1"), FRAMING),
        ("a method with a colon", format!("PO:ST {PATH} HTTP/1.1"), FRAMING),
        ("a method in UTF-8", format!("POSTé {PATH} HTTP/1.1"), FRAMING),
    ] {
        case(format!("{line}\r\n{rest}"), expected, what);
    }
    let mut latin = framed(&format!("content-length: {n}\r\n"), BODY);
    let at = find(&latin, b" HTTP/1.1").unwrap();
    latin.splice(at..at, [0xe9]);
    cases.push((latin, TARGET, "Latin-1 in the target".into()));
    let cases = cases.into_iter().map(|(bytes, (status, code), why)| (bytes, status, code, why));
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn an_http_1_0_delivery_passes_without_a_host_but_never_in_chunks() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (line, signed) = lines("POST", PATH, "HTTP/1.0");
    let chunked = format!("{line}host: app.example\r\n{signed}transfer-encoding: chunked\r\n\r\n{}", chunk(BODY));
    assert_all_refused(&gate, &app, [(chunked, 400, "framing", "chunks in HTTP/1.0".to_owned())]).await;
    let whole = format!("{line}host: app.example\r\n{signed}content-length: {}\r\n\r\n{BODY}", BODY.len());
    assert_eq!(gate.exchange(whole).await.status, 200);
    assert_eq!(app.only().body, BODY);
}

#[tokio::test]
async fn what_is_no_http_at_all_is_answered_at_once() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "[limits]\nhead_timeout = \"5s\"\n").await;
    // A ClientHello of TLS 1.2, without a line end anywhere in its first record.
    let hello = [
        &[0x16, 0x03, 0x01, 0x00, 0x45, 0x01, 0x00, 0x00, 0x41, 0x03, 0x03][..],
        &[0x5a; 32],
        &[0x00, 0x00, 0x02, 0xc0, 0x2f, 0x01, 0x00],
        &[0x00, 0x16, 0x00, 0x00, 0x00, 0x10, 0x00, 0x0e, 0x00, 0x00, 0x0b],
        b"app.example",
        &[0; 6],
    ]
    .concat();
    let start = std::time::Instant::now();
    for (bytes, why) in [
        (hello, "TLS"),
        (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec(), "SSL 2"),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), "half a preface"),
        (b"{\"data\":{}}\n".to_vec(), "a body without a head"),
        (vec![0; 100], "NULs"),
        (b"\xff\xfe".to_vec(), "two bytes"),
    ] {
        let answer = gate.exchange(bytes).await;
        assert_eq!(answer.status, 400, "{why}: {answer:?}");
        assert!(["framing", "bad_target"].contains(&answer.code().as_str()), "{why}: {answer:?}");
        assert_eq!(answer.header("connection").as_deref(), Some("close"), "{why}");
    }
    assert!(start.elapsed() < Duration::from_secs(4), "answered at once, not at the time limit");
    app.assert_unreached("no HTTP").await;
}

#[tokio::test]
async fn a_head_is_bounded_in_lines_and_bytes() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let fill = |target: &str, lines: usize, bytes: usize| {
        let base = format!(
            "POST {target} HTTP/1.1\r\nhost: app.example\r\n{}content-length: {}\r\n",
            signed_headers("msg_1", now(), BODY.as_bytes()),
            BODY.len()
        );
        let mut head = base;
        // Five lines so far.
        for n in 5..lines {
            head.push_str(&format!("x-{n}: 1\r\n"));
        }
        if bytes > 0 {
            head.push_str(&format!("y: {}\r\n", "a".repeat(bytes - head.len() - 7)));
            assert_eq!(head.len() + 2, bytes);
        }
        format!("{head}\r\n{BODY}")
    };
    let kib = 1024;
    let mut cases = Vec::new();
    for target in [PATH, "/page"] {
        for (lines, bytes) in
            [(101, 0), (102, 0), (1_001, 0), (0, 16 * kib + 1), (0, 17 * kib), (0, 60 * kib), (0, 200 * kib)]
        {
            cases.push((
                fill(target, lines, bytes),
                TOO_LARGE.0,
                TOO_LARGE.1,
                format!("{target}: {lines} lines, {bytes} bytes"),
            ));
        }
        let long_target = fill(&format!("{target}?{}", "a".repeat(17 * kib)), 0, 0);
        cases.push((long_target, TOO_LARGE.0, TOO_LARGE.1, format!("{target}: a target of 17 KiB")));
    }
    // No line end in sight: the limit counts, not the line.
    cases.push((
        format!("POST {PATH} HTTP/1.1\r\nhost: a\r\nx: {}", "a".repeat(17 * kib)),
        TOO_LARGE.0,
        TOO_LARGE.1,
        "an endless value".into(),
    ));
    cases.push((format!("POST /{}", "a".repeat(17 * kib)), TOO_LARGE.0, TOO_LARGE.1, "an endless target".into()));
    cases.push(("A".repeat(17 * kib), TOO_LARGE.0, TOO_LARGE.1, "an endless method".into()));
    assert_all_refused(&gate, &app, cases).await;

    for (lines, bytes) in [(100, 0), (0, 16 * kib)] {
        let answer = gate.exchange(fill(PATH, lines, bytes)).await;
        assert_eq!(answer.status, 200, "{lines} lines, {bytes} bytes: {answer:?}");
    }
    let seen = app.seen();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter().all(|seen| seen.headers.contains_key("verified-event")),
        "one line more must not push the proof out"
    );
}

/// What an attacker hides behind a request that is let through.
fn forged() -> String {
    let signed = signed_headers("msg_forged", now(), BODY.as_bytes()).replace("v1,", "v1,AAAA");
    format!("POST {PATH} HTTP/1.1\r\nhost: app.example\r\n{signed}content-length: {}\r\n\r\n{BODY}", BODY.len())
}

#[tokio::test]
async fn a_pipelined_request_passes_the_gate_by_itself() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let second = [
        (forged(), 400, "header_malformed"),
        (format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n\r\n"), 400, "header_missing"),
        (format!("GET {PATH} HTTP/1.1\r\nhost: a\r\n\r\n"), 405, "method_not_allowed"),
        (format!("POST {PATH}#x HTTP/1.1\r\nhost: a\r\n\r\n"), 400, "bad_target"),
        (format!("POST {PATH} HTTP/1.1\nhost: a\n\n"), 400, "framing"),
        (format!("\r\n\r\nPOST {PATH} HTTP/1.1\r\nhost: a\r\n\r\n"), 400, "framing"),
        (
            format!("G{}", genuine(BODY, "")).replacen("GPOST", "POST", 1).replace("v1,", "v1,AAAA"),
            400,
            "header_malformed",
        ),
    ];
    let first = [
        genuine(BODY, ""),
        String::from_utf8(framed("transfer-encoding: chunked\r\n", &chunk(BODY))).unwrap(),
        "POST /page HTTP/1.1\r\nhost: app.example\r\ncontent-length: 5\r\n\r\nhello".into(),
        "POST /page HTTP/1.1\r\nhost: app.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(),
        get("/page", ""),
        "GET /page HTTP/1.1\r\nhost: app.example\r\ncontent-length: 5\r\n\r\nhello".into(),
        "HEAD /page HTTP/1.1\r\nhost: app.example\r\n\r\n".into(),
    ];
    let mut passed = 0;
    for first in &first {
        for (second, status, code) in &second {
            let mut stream = gate.connect().await;
            stream.write_all(format!("{first}{second}{}", genuine(BODY, "")).as_bytes()).await.unwrap();
            let mut pipeline = Pipeline::new(stream);
            let answer = pipeline.next(first.starts_with("HEAD")).await;
            assert_eq!(answer.status, 200, "{first}");
            passed += 1;
            assert_eq!(app.seen().len(), passed, "{second}");
            let answer = pipeline.next(false).await;
            assert_refusal(&answer, *status, code, second);
            // Behind a broken head nothing can be told apart any more; behind a plain refusal the next one counts.
            if matches!(*code, "framing" | "bad_target") {
                assert_eq!(answer.header("connection").as_deref(), Some("close"), "{second}");
                assert_eq!(pipeline.next(false).await.status, 0, "nothing after {second}");
            } else {
                assert_eq!(pipeline.next(false).await.status, 200, "the genuine one after {second}");
                passed += 1;
            }
            assert_eq!(app.seen().len(), passed, "reached the app: {second}");
        }
    }
    assert!(app.seen().iter().all(|seen| seen.target == "/page" || seen.headers.contains_key("verified-event")));
}

#[tokio::test]
async fn a_request_inside_a_body_stays_a_body() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let inner = forged();
    for (head, body) in [
        (format!("content-length: {}\r\n", inner.len()), inner.clone()),
        ("transfer-encoding: chunked\r\n".into(), chunk(&inner)),
        (
            format!("content-length: {}\r\nx-transfer-encoding: chunked\r\n", inner.len() + 5),
            format!("0\r\n\r\n{inner}"),
        ),
        ("transfer-encoding: chunked\r\nx-content-length: 5\r\n".into(), chunk(&inner)),
        (format!("content-length: {}\r\nupgrade: h2c\r\nconnection: upgrade\r\n", inner.len()), inner.clone()),
    ] {
        let before = app.seen().len();
        let answer = gate.exchange(format!("POST /page HTTP/1.1\r\nhost: app.example\r\n{head}\r\n{body}")).await;
        assert_eq!(answer.status, 200, "{head}");
        let seen = app.seen();
        assert_eq!(seen.len(), before + 1, "{head}");
        assert!(find(&seen[before].body, inner.as_bytes()).is_some(), "{head}");
    }
    // And with an offer to upgrade and no body, what follows is the next request, not a tunnel's first bytes.
    let before = app.seen().len();
    for offer in ["h2c", "websocket", "tls/1.0", "WebSocket, h2c"] {
        let mut stream = gate.connect().await;
        let first = get(
            "/page",
            &format!(
                "connection: upgrade\r\nupgrade: {offer}\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\nsec-websocket-version: 13\r\n"
            ),
        );
        stream.write_all(format!("{first}{inner}").as_bytes()).await.unwrap();
        let mut pipeline = Pipeline::new(stream);
        assert_eq!(pipeline.next(false).await.status, 200, "{offer}");
        assert_refusal(&pipeline.next(false).await, 400, "header_malformed", offer);
    }
    assert_eq!(app.seen().len(), before + 4);
    assert!(app.seen().iter().all(|seen| seen.target == "/page"));
}

#[tokio::test]
async fn a_chunk_with_two_readings_is_refused() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let n = format!("{:x}", BODY.len());
    let cases = [
        format!("{n} \r\n{BODY}\r\n0\r\n\r\n"),
        format!(" {n}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("\t{n}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("+{n}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("-{n}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("0x{n}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{n}\n{BODY}\r\n0\r\n\r\n"),
        format!("{n}\r{BODY}\r\n0\r\n\r\n"),
        format!("{n}\r\n{BODY}\n0\r\n\r\n"),
        format!("{n}\r\n{BODY}0\r\n\r\n"),
        format!("{n}\r\n{BODY}\r0\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0\r\n\n"),
        format!("{n};x=1\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{n};\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{n};x=\"\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{n} ;x\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0;x\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0 \r\n\r\n"),
        format!("\r\n{BODY}\r\n0\r\n\r\n"),
        format!("g\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n\r\n0\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n-1\r\n\r\n"),
        format!("1{:016x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len()),
        format!("00000000000000000{n}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n10000000000000000\r\n\r\n"),
        format!("\0{n}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{n}_0\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len() - 1),
        "ffffffffffffffff1\r\n".into(),
        format!("{n}\r\n{BODY}\r\n0\r\nverified-event: id=\"x\"\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0\r\nx : y\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0\r\ncontent-length: 5\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0\r\n folded\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0\r\nx: y\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0\r\nhost: evil.example\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0\r\ntransfer-encoding: chunked\r\n\r\n"),
        format!("{n}\r\n{BODY}\r\n0\r\nPOST {PATH} HTTP/1.1\r\n\r\n"),
    ];
    let cases =
        cases.map(|body| (framed("transfer-encoding: chunked\r\n", &body), 400, "framing", format!("{body:?}")));
    assert_all_refused(&gate, &app, cases).await;

    // On a page the head has gone on already; the broken body must not look whole, nor what follows become a request.
    let pages = [
        "3 \r\nabc\r\n0\r\n\r\n",
        "3;x\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nverified-event: x\r\n\r\n",
    ];
    for body in pages {
        let sent = format!(
            "POST /page HTTP/1.1\r\nhost: app.example\r\ntransfer-encoding: chunked\r\n\r\n{body}{}",
            genuine(BODY, "")
        );
        let mut stream = gate.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let answer = Answer::read(&mut stream).await;
        assert_ne!(answer.status, 200, "{body:?}: {answer:?}");
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("closed");
        assert_eq!(rest, b"", "{body:?}");
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(app.seen().iter().all(|seen| seen.target == "/page" && !seen.whole), "{:?}", app.seen());
}

#[tokio::test]
async fn a_delivery_cut_in_two_anywhere_is_the_same_delivery() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let body = r#"{"type":"user.created"}"#;
    let whole = genuine(body, "").into_bytes();
    let chunked = Sent::clerk(PATH, body).chunked();
    let count = whole.len() + chunked.len() - 2;
    let mut sending = JoinSet::new();
    for bytes in [&whole, &chunked] {
        for at in 1..bytes.len() {
            let (bytes, addr) = (bytes.clone(), gate.addr);
            // No more at once than the recording app's own listener holds.
            if sending.len() >= 64 {
                let (at, answer): (usize, Answer) = sending.join_next().await.unwrap().unwrap();
                assert_eq!(answer.status, 200, "cut at {at}: {answer:?}");
            }
            sending.spawn(async move { (at, in_two(addr, &bytes, at).await) });
        }
    }
    while let Some(sent) = sending.join_next().await {
        let (at, answer) = sent.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "cut at {at}: {answer:?}");
    }
    let seen = app.seen();
    assert_eq!(seen.len(), count);
    assert!(
        seen.iter().all(|seen| seen.body == body && seen.target == PATH && seen.headers.contains_key("verified-event"))
    );
}

#[tokio::test]
async fn a_trick_cut_in_two_anywhere_is_the_same_trick() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let signed = signed_headers("m", now(), b"x");
    let tricks = [
        (
            format!(
                "POST {PATH} HTTP/1.1\r\nhost: a\r\n{signed}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
            ),
            "framing",
        ),
        (format!("POST {PATH}#f HTTP/1.1\r\nhost: a\r\n{signed}content-length: 1\r\n\r\nx"), "bad_target"),
        (format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n{signed}x: 1\r\n y\r\ncontent-length: 1\r\n\r\nx"), "framing"),
        (
            format!(
                "POST {PATH} HTTP/1.1\r\nhost: a\r\n{signed}transfer-encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n"
            ),
            "framing",
        ),
        (format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n{signed}content-length: 1\n\r\n\r\nx"), "framing"),
    ];
    let mut sending = JoinSet::new();
    for (trick, code) in tricks {
        for at in 1..trick.len() {
            let (trick, addr) = (trick.clone(), gate.addr);
            sending.spawn(async move { (at, code, in_two(addr, trick.as_bytes(), at).await, trick) });
            if sending.len() >= 64 {
                let (at, code, answer, trick) = sending.join_next().await.unwrap().unwrap();
                assert_refusal(&answer, 400, code, &format!("cut at {at}: {trick}"));
            }
        }
    }
    while let Some(sent) = sending.join_next().await {
        let (at, code, answer, trick): (usize, &str, Answer, String) = sent.unwrap();
        assert_refusal(&answer, 400, code, &format!("cut at {at}: {trick}"));
    }
    app.assert_unreached("a trick in two pieces").await;
}

/// With the standard library's 128 places for connections that nobody has accepted yet, senders met resets here.
#[tokio::test]
async fn a_burst_of_senders_is_not_turned_away() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let room = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|room| room.trim().parse().ok())
        .unwrap_or(128);
    // Without a pause in which anything could be accepted.
    let mut waiting: Vec<_> = (0..room.min(1000) / 2)
        .map(|_| {
            std::net::TcpStream::connect_timeout(&gate.addr, Duration::from_millis(500)).expect("a place to wait in")
        })
        .collect();
    for stream in &mut waiting {
        std::io::Write::write_all(stream, format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).unwrap();
    }
    for stream in waiting {
        stream.set_nonblocking(true).unwrap();
        let answer = Answer::read(&mut TcpStream::from_std(stream).unwrap()).await;
        assert_refusal(&answer, 400, "header_missing", "one of many");
    }
    app.assert_unreached("unsigned").await;
}

async fn in_two(addr: std::net::SocketAddr, bytes: &[u8], at: usize) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&bytes[..at]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    // A refusal may have come already, and the socket with it.
    let _ = stream.write_all(&bytes[at..]).await;
    Answer::read(&mut stream).await
}

/// A sender that writes everything before it reads must still find the answer, not a reset.
#[tokio::test]
async fn a_refusal_arrives_whole_though_the_body_comes_after_it() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let size = 300 * 1024;
    let body = "x".repeat(size);
    let length = format!("content-length: {size}\r\n");
    let bare = Sent::post(PATH, &body);
    let mut sending = JoinSet::new();
    for (sent, status, code) in [
        (bare.framed(&length, &body), 400, "header_missing"),
        (bare.clone().method("PUT").framed(&length, &body), 405, "method_not_allowed"),
        (bare.framed(&format!("{length}{length}"), &body), 400, "framing"),
        (bare.framed(&format!("{length}transfer-encoding: chunked\r\n"), &body), 400, "framing"),
        (Sent::post(format!("{PATH}#x"), &body).framed(&length, &body), 400, "bad_target"),
        (Sent::post("/api/webhooks/cler%6b", &body).framed(&length, &body), 400, "bad_target"),
        (Sent::post("/a/../b", &body).framed(&length, &body), 400, "bad_target"),
        (bare.clone().with("x", "a".repeat(17 * 1024)).framed(&length, &body), 431, "head_too_large"),
        (Sent::clerk(PATH, &body).framed("content-length: 2000000\r\n", &body), 413, "body_too_large"),
        (Sent::clerk(PATH, &body).set("svix-timestamp", "1").framed(&length, &body), 401, "timestamp_too_old"),
        (Sent::clerk(PATH, &body).set("svix-id", "other").framed(&length, &body), 401, "signature_mismatch"),
        (Sent::clerk(PATH, &body).framed("transfer-encoding: chunked\r\n", format!("3 \r\n{body}")), 400, "framing"),
    ] {
        for slowly in [false, true] {
            let (sent, addr) = (sent.clone(), gate.addr);
            sending.spawn(async move {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let head = find(&sent, b"\r\n\r\n").unwrap() + 4;
                stream.write_all(&sent[..head]).await.unwrap();
                let pieces = if slowly { 40 * 1024 } else { sent.len() };
                for piece in sent[head..].chunks(pieces) {
                    if slowly {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    stream
                        .write_all(piece)
                        .await
                        .unwrap_or_else(|error| panic!("{code}: the gate hung up on its sender: {error}"));
                }
                (Answer::read(&mut stream).await, status, code, slowly)
            });
        }
    }
    while let Some(sent) = sending.join_next().await {
        let (answer, status, code, slowly) = sent.unwrap();
        assert_refusal(&answer, status, code, &format!("{code}, slowly: {slowly}"));
    }
    app.assert_unreached("refused before its body").await;
}

/// Answers of one connection, one after the other.
pub struct Pipeline {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Pipeline {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer; status 0 when the connection is closed instead.
    pub async fn next(&mut self, to_head: bool) -> Answer {
        tokio::time::timeout(Duration::from_secs(10), self.patiently(to_head)).await.expect("an answer in time")
    }

    async fn patiently(&mut self, to_head: bool) -> Answer {
        loop {
            if let Some(end) = find(&self.bytes, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.bytes[..end + 4]).into_owned();
                let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
                let mut answer = Answer { status, head, body: Vec::new() };
                let length = if to_head || status < 200 {
                    0
                } else {
                    answer.header("content-length").map_or(0, |length| length.parse().unwrap())
                };
                if self.bytes.len() >= end + 4 + length {
                    let rest = self.bytes.split_off(end + 4 + length);
                    answer.body = self.bytes.split_off(end + 4);
                    self.bytes = rest;
                    return answer;
                }
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece).await {
                Ok(0) | Err(_) => {
                    return Answer {
                        status: 0,
                        head: String::from_utf8_lossy(&self.bytes).into_owned(),
                        body: Vec::new(),
                    };
                }
                Ok(n) => self.bytes.extend_from_slice(&piece[..n]),
            }
        }
    }
}
