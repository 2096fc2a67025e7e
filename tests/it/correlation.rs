//! One name for a request in every log, and one trace across every hop: taken from a trusted proxy alone, made where there is
//! none, and never written over what a sender signed.

use std::collections::HashSet;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::harness::*;
use crate::sender::*;

/// The example of W3C Trace Context §3.2.2.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const UUID: &str = "7f0c0c5b-3b2e-4b8e-9a56-0c1f2f3a4b5c";
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// 127.0.0.1 is the trusted ingress, 127.0.0.2 is a stranger.
async fn gate(app: &App) -> (Gate, Lines) {
    with(app, "").await
}

async fn with(app: &App, more: &str) -> (Gate, Lines) {
    Gate::logged(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\npublic_url = \"https://a.example\"\n\
         [client_ip]\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n{more}",
        app.addr
    ))
    .await
}

async fn from(peer: &str, gate: &Gate, sent: &Sent) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{peer}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(gate.addr).await.unwrap();
    stream.write_all(&sent.bytes()).await.unwrap();
    Answer::read(&mut stream).await
}

/// What the app got under a name, line by line.
fn got(app: &App, name: &str) -> Vec<String> {
    let seen = app.seen();
    seen.last().unwrap().headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_trusted_proxy_names_the_request_and_nobody_else_does() {
    let app = App::start().await;
    let (gate, lines) = gate(&app).await;
    let mut expected: Vec<Option<&str>> = Vec::new();
    for target in [PATH, "/page"] {
        let sent = Sent::clerk(target, BODY);
        for (peer, given, kept) in [
            ("127.0.0.1", vec![UUID], Some(UUID)),
            ("127.0.0.2", vec![UUID], None),
            ("127.0.0.1", vec![], None),
            ("127.0.0.2", vec![], None),
            ("127.0.0.1", vec!["two", "two"], None),
            ("127.0.0.1", vec!["not \"fit\""], None),
        ] {
            let sent = given.iter().fold(sent.clone(), |sent, id| sent.with("X-Request-Id", id));
            assert_eq!(from(peer, &gate, &sent).await.status, 200);
            let ids = got(&app, "x-request-id");
            assert_eq!(ids.len(), 1, "{target} {peer} {given:?}: {ids:?}");
            match kept {
                Some(kept) => assert_eq!(ids[0], kept, "{target} {peer}"),
                None => assert!(ids[0].len() == 16 && !given.contains(&&*ids[0]), "{target} {peer} {given:?}: {ids:?}"),
            }
            expected.push(kept);
        }
    }
    let lines = lines.wait(expected.len()).await;
    let seen = app.seen();
    let mut own = HashSet::new();
    for ((line, seen), kept) in lines.iter().zip(&seen).zip(expected) {
        assert_eq!(line["request_id"], seen.headers["x-request-id"].to_str().unwrap(), "{line}");
        assert!(kept.is_some() || own.insert(line["request_id"].to_string()), "{line}: names two requests");
    }
}

#[tokio::test]
async fn a_refusal_and_its_line_go_by_the_name_that_the_proxy_gave() {
    let app = App::start().await;
    let (gate, lines) = gate(&app).await;
    let refused = [
        (Sent::post(PATH, BODY), "header_missing"),
        (Sent::clerk("/api/webhooks/%63lerk", BODY), "bad_target"),
        (Sent::clerk(PATH, BODY).method("PUT"), "method_not_allowed"),
        (Sent::clerk(PATH, BODY).set("svix-signature", format!("v1,{}", base64(&[0; 32]))), "signature_mismatch"),
    ];
    let count = refused.len();
    for (sent, code) in refused {
        let answer = from("127.0.0.1", &gate, &sent.with("x-request-id", UUID)).await;
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.code().as_str(), body["request_id"].as_str()), (code, Some(UUID)), "{body}");
    }
    assert!(lines.wait(count).await.iter().all(|line| line["request_id"] == UUID));
    let answer = from("127.0.0.2", &gate, &Sent::post(PATH, BODY).with("x-request-id", UUID)).await;
    assert_refusal(&answer, 400, "header_missing", "a stranger's");
    assert!(!answer.text().contains(UUID), "{}", answer.text());
    app.assert_unreached("refused").await;
}

#[tokio::test]
async fn no_other_spelling_of_the_name_reaches_the_app() {
    let app = App::start().await;
    let (gate, _lines) = gate(&app).await;
    for target in [PATH, "/page"] {
        for name in ["x_request_id", "X-Request_Id"] {
            assert_eq!(from("127.0.0.2", &gate, &Sent::clerk(target, BODY).with(name, UUID)).await.status, 200);
            assert!(got(&app, name).is_empty(), "{target}: {name}");
        }
        let listed = Sent::clerk(target, BODY).with("connection", "x-request-id").with("x-request-id", UUID);
        assert_eq!(from("127.0.0.1", &gate, &listed).await.status, 200);
        assert_eq!(got(&app, "x-request-id"), [UUID], "{target}: meant for one hop, and we are that hop");
    }
}

#[tokio::test]
async fn an_id_that_a_scheme_signs_stays() {
    let app = App::start().await;
    let pay = "[routes.pay]\npath = \"/pay\"\nscheme = \"pay\"\nsecrets = [{ env = \"PLAIN\" }]\n\
         [schemes.pay]\nsignature = { header = \"x-signature\", encoding = \"hex\" }\nid = { header = \"x-request-id\" }\n\
         content = \"{id}.{body}\"\n";
    let (gate, _lines) = with(&app, pay).await;
    let mac = hex(&hmac(b"mysecret", &[b"id-of-the-sender.", BODY.as_bytes()]));
    let pay = Sent::post("/pay", BODY).with("x-request-id", "id-of-the-sender").with("x-signature", mac);
    for peer in ["127.0.0.1", "127.0.0.2"] {
        assert_eq!(from(peer, &gate, &pay).await.status, 200);
        assert_eq!(got(&app, "x-request-id"), ["id-of-the-sender"], "{peer}");
    }
    // To the other route it is another family's: the sender's goes, and ours is there.
    assert_eq!(from("127.0.0.1", &gate, &Sent::clerk(PATH, BODY).with("x-request-id", UUID)).await.status, 200);
    assert_eq!(got(&app, "x-request-id"), [UUID]);
}

/// RFC 9421 lets the sender choose: what it covers stays, and only that.
#[tokio::test]
async fn what_a_message_signature_covers_stays() {
    let app = App::start().await;
    let signed = format!(
        "[routes.signed]\npath = \"/signed\"\nprovider = \"rfc9421\"\nsecrets = [{{ insecure_value = \"{KEY}\" }}]\n\
         options = {{ alg = \"hmac-sha256\", components = \"@method\" }}\n"
    );
    let (gate, _lines) = with(&app, &signed).await;
    let sign = |covered: &str| {
        let parameters = format!("(\"@method\"{covered});created={}", now());
        let covered = covered.split(' ').skip(1).map(|name| {
            let value = if name == "\"traceparent\"" { "not valid" } else { "signed" };
            format!("{name}: {value}\n")
        });
        let base = format!("\"@method\": POST\n{}\"@signature-params\": {parameters}", covered.collect::<String>());
        let mac = base64(&hmac(b"0123456789abcdef0123456789abcdef", &[base.as_bytes()]));
        Sent::post("/signed", BODY)
            .with("signature-input", format!("sig1={parameters}"))
            .with("signature", format!("sig1=:{mac}:"))
            .with("x-request-id", "signed")
            .with("traceparent", "not valid")
            .with("tracestate", "signed")
    };
    for (covered, kept) in [
        ("", [false, false, false]),
        (" \"x-request-id\"", [true, false, false]),
        (" \"traceparent\"", [false, true, true]),
        (" \"tracestate\"", [false, true, true]),
        (" \"x-request-id\" \"traceparent\" \"tracestate\"", [true, true, true]),
    ] {
        let answer = from("127.0.0.2", &gate, &sign(covered)).await;
        assert_eq!(answer.status, 200, "{covered}: {}", answer.text());
        let stayed = [("x-request-id", "signed"), ("traceparent", "not valid"), ("tracestate", "signed")]
            .map(|(name, value)| got(&app, name) == [value]);
        assert_eq!(stayed, kept, "{covered}");
    }
}

#[tokio::test]
async fn a_valid_trace_goes_on_whoever_began_it() {
    let app = App::start().await;
    let (gate, lines) = gate(&app).await;
    let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-new";
    let mut count = 0;
    for target in [PATH, "/page"] {
        for peer in ["127.0.0.1", "127.0.0.2"] {
            for parent in [TRACE, later] {
                let sent = Sent::clerk(target, BODY)
                    .with("traceparent", parent)
                    .with("tracestate", "a=1")
                    .with("tracestate", "b=2");
                assert_eq!(from(peer, &gate, &sent).await.status, 200);
                assert_eq!(got(&app, "traceparent"), [parent]);
                assert_eq!(got(&app, "tracestate"), ["a=1", "b=2"]);
                count += 1;
            }
        }
    }
    assert!(lines.wait(count).await.iter().all(|line| line["trace_id"] == TRACE_ID));
}

#[tokio::test]
async fn a_webhook_without_a_valid_trace_begins_one() {
    let app = App::start().await;
    let (gate, lines) = gate(&app).await;
    let cases: &[&[&str]] =
        &[&[], &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"], &["garbage"], &[TRACE, TRACE]];
    let mut begun = HashSet::new();
    for given in cases {
        let sent = given.iter().fold(Sent::clerk(PATH, BODY), |sent, parent| sent.with("traceparent", parent));
        assert_eq!(from("127.0.0.1", &gate, &sent.with("tracestate", "a=1")).await.status, 200);
        let parents = got(&app, "traceparent");
        let parts: Vec<&str> = parents[0].split('-').collect();
        let [version, trace_id, parent_id, flags] = parts[..] else { panic!("{given:?}: {parents:?}") };
        assert_eq!(
            (parents.len(), version, trace_id.len(), parent_id.len(), flags),
            (1, "00", 32, 16, "01"),
            "{given:?}"
        );
        assert!(begun.insert(trace_id.to_owned()) && !TRACE.contains(trace_id), "{given:?}");
        assert_eq!(got(&app, "tracestate"), [""; 0], "the state of a trace that nobody can read goes with it");
    }
    for line in lines.wait(cases.len()).await {
        assert!(begun.remove(line["trace_id"].as_str().unwrap()), "{line}");
    }
}

#[tokio::test]
async fn a_refused_webhook_has_a_trace_in_its_line() {
    let app = App::start().await;
    let (gate, lines) = gate(&app).await;
    from("127.0.0.1", &gate, &Sent::post(PATH, BODY).with("traceparent", TRACE)).await;
    from("127.0.0.1", &gate, &Sent::post(PATH, BODY)).await;
    let lines = lines.wait(2).await;
    assert_eq!(lines[0]["trace_id"], TRACE_ID);
    assert!(lines[1]["trace_id"].as_str().is_some_and(|id| id.len() == 32 && id != TRACE_ID));
    app.assert_unreached("refused").await;
}

#[tokio::test]
async fn the_trace_of_a_page_passes_as_it_came() {
    let app = App::start().await;
    let (gate, lines) = gate(&app).await;
    for given in [&[][..], &["garbage"], &[TRACE, TRACE]] {
        let sent = given.iter().fold(Sent::clerk("/page", BODY), |sent, parent| sent.with("traceparent", parent));
        assert_eq!(from("127.0.0.2", &gate, &sent.with("tracestate", "a=1")).await.status, 200);
        assert_eq!(got(&app, "traceparent"), given);
        assert_eq!(got(&app, "tracestate"), ["a=1"]);
    }
    assert!(lines.wait(3).await.iter().all(|line| line.get("trace_id").is_none()));
}
