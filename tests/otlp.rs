//! Spans, as a collector gets them: a stub that speaks OTLP over HTTP decodes what a real gate sends it.
//!
//! Only built with the cargo feature `otlp`. The messages that decode are those that encode, so bytes of another
//! implementation (`tests/data/otlp`) prove that both are the protocol's.
#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::large_futures,
    clippy::disallowed_methods,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests, and helpers that other tests share"
)]

#[path = "it/harness.rs"]
mod harness;
#[path = "it/sender.rs"]
mod sender;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::*;
use hookward::config::{self, Severity};
use hookward::telemetry::otlp::messages::{
    AnyValue, ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope,
    KeyValue, Resource, ResourceSpans, ScopeSpans, Span, SpanKind, Status, StatusCode, Value,
};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prost::Message;
use sender::*;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};

/// The example of W3C Trace Context §3.2.2.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a gate waits for a batch to fill.
const SOON: Duration = Duration::from_secs(8);

/// One answer of the collector: status, `retry-after`, body.
type Reply = (u16, Option<&'static str>, Vec<u8>);

/// A collector. Says what it was told to say, then 200.
#[derive(Clone)]
struct Collector {
    addr: SocketAddr,
    got: Arc<Mutex<Vec<(Instant, HeaderMap, ExportTraceServiceRequest)>>>,
    script: Arc<Mutex<Vec<Reply>>>,
}

impl Collector {
    async fn start(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            addr: listener.local_addr().unwrap(),
            got: Arc::default(),
            script: Arc::new(Mutex::new(script.into_iter().rev().collect())),
        };
        let serving = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let collector = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| collector.clone().take(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        collector
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/v1/traces"));
        assert_eq!(head.headers["content-type"], "application/x-protobuf");
        let request = ExportTraceServiceRequest::decode(body).expect("protobuf");
        self.got.lock().unwrap().push((Instant::now(), head.headers, request));
        let (status, retry_after, body) = self.script.lock().unwrap().pop().unwrap_or((200, None, Vec::new()));
        let mut response = Response::builder().status(status).header("content-type", "application/x-protobuf");
        if let Some(seconds) = retry_after {
            response = response.header("retry-after", seconds);
        }
        Ok(response.body(Full::new(body.into())).unwrap())
    }

    fn requests(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    async fn wait_for_requests(&self, count: usize) {
        let began = Instant::now();
        while self.requests() < count {
            assert!(began.elapsed() < PATIENCE, "{} requests", self.requests());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every span that has come, in their order.
    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        let resources = got.iter().flat_map(|(_, _, request)| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }
}

fn toml(app: SocketAddr, collector: SocketAddr, more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\n[client_ip]\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [limits]\nmax_body = \"64kB\"\ndrain = \"3s\"\n[telemetry.otlp]\nendpoint = \"http://{collector}/\"\n{more}\
         [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\nevents = [\"user.*\"]\n\
         [routes.all]\npath = \"/all/*\"\nprovider = \"clerk\"\n"
    )
}

async fn from(peer: &str, gate: &Gate, sent: &Sent) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{peer}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(gate.addr).await.unwrap();
    stream.write_all(&sent.bytes()).await.unwrap();
    Answer::read(&mut stream).await
}

/// What SIGTERM does, to its end.
async fn stopped(mut gate: Gate) {
    gate.stop();
    tokio::time::timeout(PATIENCE, gate.served).await.unwrap().unwrap();
}

/// Attributes as text, by name.
fn attributes(span: &Span) -> BTreeMap<String, String> {
    let shown = |value: &AnyValue| match value.value.as_ref().unwrap() {
        Value::Text(text) => format!("{text:?}"),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
    };
    let all: BTreeMap<String, String> = span
        .attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), shown(attribute.value.as_ref().unwrap())))
        .collect();
    assert_eq!(all.len(), span.attributes.len(), "an attribute twice: {span:?}");
    all
}

#[test]
fn the_messages_are_those_of_the_protocol() {
    let text = |key: &str, text: &str| attribute(key, Value::Text(text.into()));
    fn attribute(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
    }
    let span = Span {
        trace_id: (1..17).collect(),
        span_id: (21..29).collect(),
        trace_state: "a=1,b=2".into(),
        parent_span_id: (31..39).collect(),
        flags: 0x301,
        name: "POST /hooks/clerk".into(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: 1_795_248_012_000_000_001,
        end_time_unix_nano: 1_795_248_013_000_000_002,
        attributes: vec![text("text", "é"), attribute("bool", Value::Bool(true)), attribute("int", Value::Int(-5))],
        status: Some(Status { message: "why".into(), code: StatusCode::Error.into() }),
    };
    let scope = InstrumentationScope { name: "hookward".into(), version: "9.8.7".into() };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: vec![text("service.name", "gate")] }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans: vec![span] }],
        }],
    };
    let written = include_bytes!("data/otlp/request.bin");
    assert_eq!(ExportTraceServiceRequest::decode(&written[..]).unwrap(), request);
    assert_eq!(request.encode_to_vec(), written);
    let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".into() };
    let response = ExportTraceServiceResponse { partial_success: Some(partial) };
    assert_eq!(ExportTraceServiceResponse::decode(&include_bytes!("data/otlp/response.bin")[..]).unwrap(), response);
}

#[tokio::test]
async fn a_delivery_is_one_span_that_says_what_its_line_says() {
    let (app, collector) = (App::start().await, Collector::start(vec![]).await);
    let more = "service_name = \"shop-gate\"\nheaders = [{ name = \"x-api-key\", env = \"PLAIN\" }]\n";
    let (gate, lines) = Gate::logged(&toml(app.addr, collector.addr, more)).await;
    let sent = Sent::clerk(format!("{PATH}?token=hunter2"), BODY)
        .with("traceparent", TRACE)
        .with("tracestate", "a=1")
        .with("tracestate", "b=2")
        .with("x-forwarded-for", "203.0.113.9")
        .with("x-forwarded-proto", "https")
        .with("x-request-id", "of-the-ingress");
    let before = now();
    assert_eq!(from("127.0.0.1", &gate, &sent).await.status, 200);
    let line = lines.wait(1).await.remove(0);
    stopped(gate).await;

    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    let span = &spans[0];
    assert_eq!((hex(&span.trace_id).as_str(), hex(&span.parent_span_id).as_str()), (TRACE_ID, PARENT_ID));
    assert_eq!((span.trace_state.as_str(), span.flags, span.kind), ("a=1,b=2", 0x301, 2));
    assert_eq!(span.name, format!("POST {PATH}"));
    assert_eq!(span.status, Some(Status { message: String::new(), code: StatusCode::Unset.into() }));
    // The app's spans become parts of ours, in the same trace.
    let seen = app.only();
    assert_eq!(seen.headers["traceparent"], format!("00-{TRACE_ID}-{}-01", hex(&span.span_id)));
    let states: Vec<_> = seen.headers.get_all("tracestate").iter().collect();
    assert_eq!(states, ["a=1", "b=2"]);
    assert_eq!((line["trace_id"].as_str(), line["request_id"].as_str()), (Some(TRACE_ID), Some("of-the-ingress")));

    let duration = span.end_time_unix_nano - span.start_time_unix_nano;
    assert!(duration / 1000 >= line["upstream_us"].as_u64().unwrap() && duration < 10_000_000_000, "{duration}");
    assert!((before..=before + 10).contains(&(span.start_time_unix_nano / 1_000_000_000)));

    let mut found = attributes(span);
    let upstream = found.remove("hookward.upstream_us").unwrap();
    assert_eq!(upstream, line["upstream_us"].to_string());
    let expected: BTreeMap<String, String> = [
        ("client.address", "\"203.0.113.9\""),
        ("hookward.event.id", "\"msg_1\""),
        ("hookward.event.type", "\"user.created\""),
        ("hookward.outcome", "\"forwarded\""),
        ("hookward.provider", "\"clerk\""),
        ("hookward.request_id", "\"of-the-ingress\""),
        ("hookward.route", "\"clerk\""),
        ("hookward.secret", "\"current\""),
        ("http.request.body.size", &BODY.len().to_string()),
        ("http.request.method", "\"POST\""),
        ("http.response.body.size", &line["bytes_out"].to_string()),
        ("http.response.status_code", "200"),
        ("http.route", &format!("{PATH:?}")),
        ("network.peer.address", "\"127.0.0.1\""),
        ("url.path", &format!("{PATH:?}")),
        ("url.scheme", "\"https\""),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    assert_eq!(found, expected);

    let got = collector.got.lock().unwrap();
    let (_, headers, request) = &got[0];
    assert_eq!(headers["x-api-key"], "mysecret");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("hookward/"));
    let resource = &request.resource_spans[0];
    let who = Span { attributes: resource.resource.clone().unwrap().attributes, ..Span::default() };
    let who = attributes(&who);
    assert_eq!(who["service.name"], "\"shop-gate\"");
    assert_eq!(who["service.version"], format!("{:?}", env!("CARGO_PKG_VERSION")));
    assert_eq!(resource.scope_spans[0].scope.as_ref().unwrap().name, "hookward");
}

#[tokio::test]
async fn every_webhook_has_a_span_and_pages_have_none() {
    let (app, collector) = (App::start().await, Collector::start(vec![]).await);
    let (gate, lines) = Gate::logged(&toml(app.addr, collector.addr, "")).await;
    let forged = Sent::clerk(PATH, BODY).set("svix-signature", format!("v1,{}", base64(&[0; 32])));
    let unwanted = r#"{"type":"sms.created"}"#;
    let requests = [
        (Sent::clerk(PATH, BODY), 200, "forwarded", format!("POST {PATH}"), true),
        (forged, 401, "signature_mismatch", format!("POST {PATH}"), true),
        (Sent::clerk(PATH, unwanted), 204, "filtered", format!("POST {PATH}"), true),
        (Sent::clerk("/all/of/it", BODY).method("BREW"), 405, "method_not_allowed", "HTTP /all/*".to_owned(), true),
        (Sent::clerk("/all/of/it", "x".repeat(70_000)), 413, "body_too_large", "POST /all/*".to_owned(), true),
        (Sent::post("/page", BODY).with("traceparent", TRACE), 200, "passed", String::new(), false),
        (Sent::clerk("/api/webhooks/%63lerk", BODY), 400, "bad_target", String::new(), false),
    ];
    for (sent, status, outcome, ..) in &requests {
        assert_eq!(from("127.0.0.2", &gate, sent).await.status, *status, "{outcome}");
    }
    let lines = lines.wait(requests.len()).await;
    stopped(gate).await;
    let expected: Vec<_> = requests.iter().filter(|request| request.4).collect();
    let spans = collector.spans();
    assert_eq!(spans.len(), expected.len(), "{spans:?}");
    let mut traces = HashSet::new();
    for (span, (_, status, outcome, name, _)) in spans.iter().zip(expected) {
        let found = attributes(span);
        assert_eq!((&span.name, &found["hookward.outcome"]), (name, &format!("{outcome:?}")));
        assert_eq!(found["http.response.status_code"], status.to_string());
        assert_eq!(found.get("hookward.code").cloned(), (*status >= 400).then(|| format!("{outcome:?}")), "{outcome}");
        assert_eq!(found["client.address"], "\"127.0.0.2\"", "nobody speaks for a stranger");
        assert_eq!(found["url.scheme"], "\"http\"");
        assert_eq!((span.parent_span_id.len(), span.flags), (0, 0x101), "a trace of its own");
        assert!(span.trace_id.len() == 16 && span.span_id.len() == 8 && traces.insert(hex(&span.trace_id)), "{span:?}");
        let line = lines.iter().find(|line| line["trace_id"] == hex(&span.trace_id)).unwrap();
        assert_eq!(line["outcome"], *outcome, "{line}");
        assert_eq!(span.status.as_ref().unwrap().code, 0, "not the gate's fault");
        if *outcome == "method_not_allowed" {
            assert_eq!(found["http.request.method"], "\"_OTHER\"");
            assert_eq!(found["http.request.method_original"], "\"BREW\"");
        }
    }
    let page = app.seen().into_iter().find(|seen| seen.target == "/page").unwrap();
    assert_eq!(page.headers["traceparent"], TRACE, "as it came");
}

#[tokio::test]
async fn an_app_that_cannot_be_reached_is_an_error() {
    let collector = Collector::start(vec![]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gate = Gate::with(&toml(closed, collector.addr, "")).await;
    let sent = Sent::clerk(PATH, BODY);
    assert_eq!(from("127.0.0.1", &gate, &sent).await.status, 502);
    stopped(gate).await;
    let spans = collector.spans();
    let found = attributes(&spans[0]);
    assert_eq!(spans[0].status.as_ref().unwrap().code, i32::from(StatusCode::Error));
    assert_eq!(
        (&*found["error.type"], &*found["hookward.code"]),
        ("\"upstream_unreachable\"", "\"upstream_unreachable\"")
    );
    assert!(found["hookward.detail"].contains("connecting to the app failed"), "{found:?}");
    assert_eq!(found.get("client.address"), None, "the trusted proxy named nobody");
}

#[tokio::test]
async fn a_trusted_proxy_decides_whether_a_trace_is_recorded_and_a_stranger_does_not() {
    let (app, collector) = (App::start().await, Collector::start(vec![]).await);
    let gate = Gate::with(&toml(app.addr, collector.addr, "")).await;
    let unsampled = TRACE.replace("-01", "-00");
    let sent = Sent::clerk(PATH, BODY).with("traceparent", &unsampled);
    assert_eq!(from("127.0.0.1", &gate, &sent).await.status, 200);
    assert_eq!(app.seen()[0].headers["traceparent"], unsampled, "as it came");
    assert_eq!(from("127.0.0.2", &gate, &sent).await.status, 200);
    let told = app.seen()[1].headers["traceparent"].to_str().unwrap().to_owned();
    stopped(gate).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(told, format!("00-{TRACE_ID}-{}-01", hex(&spans[0].span_id)));
    assert_eq!(attributes(&spans[0])["network.peer.address"], "\"127.0.0.2\"");
}

#[tokio::test]
async fn spans_are_sent_while_the_gate_runs() {
    let (app, collector) = (App::start().await, Collector::start(vec![]).await);
    let gate = Gate::with(&toml(app.addr, collector.addr, "")).await;
    for _ in 0..3 {
        assert_eq!(from("127.0.0.1", &gate, &Sent::clerk(PATH, BODY)).await.status, 200);
    }
    tokio::time::timeout(SOON, collector.wait_for_requests(1)).await.unwrap();
    assert_eq!((collector.requests(), collector.spans().len()), (1, 3), "together");
    stopped(gate).await;
    assert_eq!(collector.requests(), 1, "an empty batch is not sent");
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_when_it_says_and_gets_the_same() {
    let script = vec![(503, Some("2"), vec![]), (429, None, vec![])];
    let (app, collector) = (App::start().await, Collector::start(script).await);
    let gate = Gate::with(&toml(app.addr, collector.addr, "")).await;
    assert_eq!(from("127.0.0.1", &gate, &Sent::clerk(PATH, BODY)).await.status, 200);
    collector.wait_for_requests(3).await;
    {
        let got = collector.got.lock().unwrap();
        assert!(got[1].0 - got[0].0 >= Duration::from_millis(1900), "sooner than it asked for");
        assert!(got[0].2 == got[1].2 && got[1].2 == got[2].2);
    }
    stopped(gate).await;
    assert_eq!(collector.requests(), 3, "taken, and so never sent again");
}

#[tokio::test]
async fn what_the_collector_refuses_or_takes_in_part_is_not_sent_again() {
    let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "too old".into() };
    let partial = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let replies =
        [(400, None, vec![]), (200, None, partial), (200, None, b"not protobuf".to_vec()), (301, None, vec![])];
    let mut cases = tokio::task::JoinSet::new();
    for reply in replies {
        cases.spawn(async move {
            let (app, collector) = (App::start().await, Collector::start(vec![reply.clone()]).await);
            let gate = Gate::with(&toml(app.addr, collector.addr, "")).await;
            assert_eq!(from("127.0.0.1", &gate, &Sent::clerk(PATH, BODY)).await.status, 200);
            collector.wait_for_requests(1).await;
            // Longer than the first pause between two attempts.
            tokio::time::sleep(Duration::from_secs(2)).await;
            stopped(gate).await;
            assert_eq!(collector.requests(), 1, "{}", reply.0);
        });
    }
    cases.join_all().await;
}

/// A collector that accepts connections and never answers; one that nobody listens for.
#[tokio::test]
async fn a_stuck_collector_holds_up_no_request_and_no_shutdown() {
    let stuck = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for collector in [stuck.local_addr().unwrap(), closed] {
        let app = App::start().await;
        let gate = Gate::with(&toml(app.addr, collector, "")).await;
        // More than the queue holds: what is too much is dropped, and no request hears of it.
        let mut stream = gate.connect().await;
        for _ in 0..2100 {
            stream.write_all(&Sent::post(PATH, "").bytes()).await.unwrap();
            assert_eq!(Answer::read(&mut stream).await.status, 400);
        }
        assert_eq!(from("127.0.0.1", &gate, &Sent::clerk(PATH, BODY)).await.status, 200);
        drop(stream);
        let began = Instant::now();
        stopped(gate).await;
        // limits.drain is 3 s.
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    }
}

fn problems(table: &str) -> Vec<(Severity, String)> {
    let text = format!(
        "[server]\nupstream = \"http://127.0.0.1:3000\"\n[routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n\
         [telemetry.otlp]\n{table}"
    );
    let env =
        Env([("CLERK_WEBHOOK_SIGNING_SECRET".to_owned(), SECRET.to_owned()), ("TWO".to_owned(), "a\nb".to_owned())]
            .into());
    let all = match config::compile(&text, Path::new("x.toml"), &env) {
        Ok(loaded) => loaded.notices,
        Err(report) => report.problems,
    };
    all.into_iter().map(|problem| (problem.severity, problem.to_string())).collect()
}

#[test]
fn the_configuration_says_what_is_wrong_with_a_collector() {
    assert_eq!(problems("endpoint = \"http://127.0.0.1:4318\"\n"), []);
    assert_eq!(problems("endpoint = \"https://otlp.example.com/otlp/v1/traces\"\n"), []);
    let headers =
        |value: &str| format!("endpoint = \"https://a.example\"\nheaders = [{{ name = \"x-key\", {value} }}]\n");
    for (table, severity, what) in [
        ("", Severity::Error, "is missing"),
        ("endpoint = \"127.0.0.1:4318\"\n", Severity::Error, "must start with http:// or https://"),
        ("endpoint = \"http://\"\n", Severity::Error, "is not an address with a host"),
        ("endpoint = \"http://a:0\"\n", Severity::Error, "is not an address with a host"),
        ("endpoint = \"http://a:+1\"\n", Severity::Error, "is not an address with a host"),
        ("endpoint = \"http://user:pw@a\"\n", Severity::Error, "a user name or password has no place here"),
        ("endpoint = \"http://a/?key=1\"\n", Severity::Error, "a query or fragment has no place here"),
        ("endpoint = \"http://a:4317\"\n", Severity::Warning, "4317 is the port of OTLP over gRPC"),
        ("endpoint = \"http://a\"\nservice_name = \"\"\n", Severity::Error, "is empty, too long"),
        ("endpoint = \"http://a\"\nheaders = [{ name = \"x\", env = \"NONE\" }]\n", Severity::Error, "NONE is not set"),
        (
            "endpoint = \"http://a\"\nheaders = [{ name = \"x\", env = \"CLERK_WEBHOOK_SIGNING_SECRET\" }]\n",
            Severity::Warning,
            "in clear",
        ),
        (
            "endpoint = \"https://a\"\nheaders = [{ name = \"content-type\", env = \"TWO\" }]\n",
            Severity::Error,
            "is not the name of a field",
        ),
        (&headers("env = \"TWO\""), Severity::Error, "no header can carry it"),
        (&headers("insecure_value = \"\""), Severity::Error, "is empty or"),
        (&headers("value = \"sekrit\""), Severity::Error, "is not accepted"),
        ("endpoint = \"https://a\"\nca = \"/none.pem\"\n", Severity::Error, "cannot be read"),
    ] {
        let found = problems(table);
        assert!(found.iter().any(|(of, text)| *of == severity && text.contains(what)), "{table}{found:?}");
        assert!(found.iter().all(|(_, text)| !text.contains("sekrit") && !text.contains("a\nb")), "{found:?}");
    }
}
