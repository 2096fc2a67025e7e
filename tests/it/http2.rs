//! HTTP/2 with prior knowledge: the same judgement, and HTTP/1.1 to the app.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::{App, BODY, DUPLICATE, Gate, PATH, SECRET, now, svix_signature};
use crate::script::*;
use crate::sender::{PLAIN_SECRET, hex, hmac};

type Sender = SendRequest<Full<Bytes>>;

async fn dial(gate: &Gate) -> (Sender, JoinHandle<Result<(), hyper::Error>>) {
    let stream = TcpStream::connect(gate.addr).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn page(target: &str) -> http::request::Builder {
    Request::builder().version(Version::HTTP_2).uri(format!("http://app.example{target}"))
}

fn delivery(body: &str, signed: &str) -> Request<Full<Bytes>> {
    let time = now().to_string();
    page(PATH)
        .method("POST")
        .header("svix-id", "msg_1")
        .header("svix-timestamp", &time)
        .header("svix-signature", svix_signature(SECRET, "msg_1", &time, signed.as_bytes()))
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn code(response: Response<Incoming>) -> String {
    let body: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    body["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_genuine_delivery_arrives_over_http_1_with_the_authority_as_host() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    let answer = sender.send_request(delivery(BODY, BODY)).await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, 200));
    assert_eq!(text(answer).await, BODY);
    let seen = app.only();
    assert_eq!((seen.target.as_str(), &*seen.body), (PATH, BODY.as_bytes()));
    assert_eq!(seen.headers.get_all("host").iter().collect::<Vec<_>>(), ["app.example"]);
    assert!(seen.headers.contains_key("verified-event"));
    assert_eq!(seen.headers["x-forwarded-host"], "app.example");
}

#[tokio::test]
async fn a_forged_delivery_is_refused_and_the_connection_goes_on() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    for _ in 0..3 {
        let answer = sender.send_request(delivery("{\"forged\":1}", BODY)).await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(code(answer).await, "signature_mismatch");
    }
    app.assert_unreached("forged over HTTP/2").await;
    assert_eq!(sender.send_request(delivery(BODY, BODY)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_authority_that_is_not_the_host_is_refused() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    for host in ["evil.example", "app.example:80", "app.example,evil.example", ""] {
        for mut request in [page("/").body(Full::default()).unwrap(), delivery(BODY, BODY)] {
            request.headers_mut().insert("host", host.parse().unwrap());
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 400, "{host}");
            assert_eq!(code(answer).await, "framing");
        }
    }
    app.assert_unreached("two hosts").await;
    let same = page("/").header("host", "app.example").body(Full::default()).unwrap();
    assert_eq!(sender.send_request(same).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_field_name_that_http_1_would_not_carry_is_refused() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    // Of all that `http` takes for a name, this byte alone is no token (RFC 9110 §5.6.2).
    let odd = HeaderName::from_lowercase(b"conte\"").unwrap();
    for mut request in [page("/").body(Full::default()).unwrap(), delivery(BODY, BODY)] {
        request.headers_mut().insert(&odd, "x".parse().unwrap());
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(code(answer).await, "framing");
    }
    app.assert_unreached("a name with a quote").await;
    let odd = page("/").header("!#$%&'*+-.^_`|~9a", "x").body(Full::default()).unwrap();
    assert_eq!(sender.send_request(odd).await.unwrap().status(), 200, "every other byte that is not a letter");
}

/// Else a signed id had a second spelling for those who sign what is inside, under which a delivery would run again.
#[tokio::test]
async fn white_space_around_a_value_is_dropped_as_in_http_1() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    let mut request = delivery(BODY, BODY);
    request.headers_mut().insert("svix-id", " \tmsg_1 ".parse().unwrap());
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    assert_eq!(app.only().headers["svix-id"], "msg_1");
}

#[tokio::test]
async fn a_repeated_delivery_with_white_space_around_its_signed_id_is_a_duplicate() {
    let app = App::start().await;
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://app.example\"\nupstream = \"http://{}\"\n[routes.contentful]\npath = \"/hook\"\n\
         provider = \"contentful\"\nreplay = \"dedupe\"\nsecrets = [{{ insecure_value = \"{PLAIN_SECRET}\" }}]\n",
        app.addr
    );
    let (gate, _lines) = Gate::untouched(&toml).await;
    let (mut sender, _connection) = dial(&gate).await;
    let time = format!("{}000", now());
    let names = "x-contentful-idempotency-key,x-contentful-signed-headers,x-contentful-timestamp";
    let listed =
        format!("x-contentful-idempotency-key:key_1;x-contentful-signed-headers:{names};x-contentful-timestamp:{time}");
    let signature = hex(&hmac(PLAIN_SECRET.as_bytes(), &[format!("POST\n/hook\n{listed}\n{BODY}").as_bytes()]));
    for (id, expected) in [("key_1", BODY), ("key_1", DUPLICATE), (" key_1", DUPLICATE), ("\tkey_1 ", DUPLICATE)] {
        let request = page("/hook")
            .method("POST")
            .header("x-contentful-idempotency-key", id)
            .header("x-contentful-signed-headers", names)
            .header("x-contentful-timestamp", &time)
            .header("x-contentful-signature", &signature)
            .body(Full::new(Bytes::from_static(BODY.as_bytes())))
            .unwrap();
        assert_eq!(text(sender.send_request(request).await.unwrap()).await, expected, "{id:?}");
    }
    app.only();
}

#[tokio::test]
async fn trailers_are_those_that_http_1_may_have() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let stream = TcpStream::connect(gate.addr).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let _connection = tokio::spawn(connection);
    let refused = ["x-forwarded-for", "x_forwarded_host", "forwarded", "x-real-ip", "verified-event", "x-request-id"];
    let mut trailers = HeaderMap::new();
    for name in refused.into_iter().chain(["x-http-method-override", "a\"b", "x-sum"]) {
        trailers.insert(HeaderName::from_lowercase(name.as_bytes()).unwrap(), "1".parse().unwrap());
    }
    let announced = trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    let body = Frames(vec!["hello"]).with_trailers(std::future::ready(Some(Ok(trailers))));
    let request = page("/upload").method("POST").header("te", "trailers").header("trailer", announced).body(body);
    assert_eq!(sender.send_request(request.unwrap()).await.unwrap().status(), 200);
    let arrived = app.only().trailers;
    assert_eq!(arrived.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-sum"], "{arrived:?}");
}

#[tokio::test]
async fn targets_are_judged_as_in_http_1() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    for target in [
        "/x/../api/webhooks/clerk",
        "/_next/data/b/api/webhooks/clerk.json",
        "/api/webhooks/%63lerk",
        "//api/webhooks/clerk",
    ] {
        let request = page(target).method("POST").body(Full::from("x")).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 400, "{target}");
    }
    app.assert_unreached("shadow targets").await;
    assert_eq!(sender.send_request(page("/a%2Fb|c?d=[1]").body(Full::default()).unwrap()).await.unwrap().status(), 200);
    assert_eq!(app.only().target, "/a%2Fb|c?d=[1]");
}

#[tokio::test]
async fn cookie_crumbs_arrive_as_one_header() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    let request = page("/")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x", "1")
        .header("x", "2")
        .body(Full::default())
        .unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    let headers = app.only().headers;
    assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"], "RFC 9113 §8.2.3");
    assert_eq!(headers.get_all("x").iter().count(), 2);
}

#[tokio::test]
async fn a_body_without_a_length_arrives_whole() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let stream = TcpStream::connect(gate.addr).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let _connection = tokio::spawn(connection);
    for method in ["POST", "GET", "QUERY"] {
        let body = Frames(vec!["two", "one,"]);
        let answer = sender.send_request(page("/").method(method).body(body).unwrap()).await.unwrap();
        assert_eq!(text(answer).await, "one,two", "{method}");
    }
}

/// A body of several frames, of a length that nobody knows.
struct Frames(Vec<&'static str>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Ready(self.0.pop().map(|data| Ok(http_body::Frame::data(Bytes::from(data)))))
    }
}

#[tokio::test]
async fn streams_run_at_the_same_time() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (sender, _connection) = dial(&gate).await;
    let since = tokio::time::Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for n in 0..50 {
        let mut sender = sender.clone();
        running.spawn(async move {
            let request =
                if n % 2 == 0 { page("/?delay=200").body(Full::default()).unwrap() } else { delivery(BODY, BODY) };
            sender.send_request(request).await.unwrap().status()
        });
    }
    while let Some(status) = running.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert!(since.elapsed().as_millis() < 3000, "25 × 200 ms one after another take 5 s");
    assert_eq!(app.seen().len(), 50);
}

#[tokio::test]
async fn answers_stream_and_lose_what_http_2_forbids() {
    let (next, on) = tokio::sync::watch::channel(false);
    let app = Scripted::start(move |_, mut wire| {
        let mut on = on.clone();
        async move {
            wire.request().await.unwrap();
            wire.send("HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nset-cookie: a\r\nset-cookie: b\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
            on.wait_for(|on| *on).await.unwrap();
            wire.send("3\r\ntwo\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    let answer = soon("the head", sender.send_request(page("/").body(Full::default()).unwrap())).await.unwrap();
    for name in ["connection", "keep-alive", "transfer-encoding", "x-hop"] {
        assert!(!answer.headers().contains_key(name));
    }
    assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 2);
    let mut body = answer.into_body();
    let first = soon("the first chunk", body.frame()).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "one");
    next.send_replace(true);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "two");
}

#[tokio::test]
async fn a_cut_off_answer_is_a_reset_and_not_an_end() {
    let app = Scripted::start(|_, mut wire| async move {
        wire.request().await.unwrap();
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    for _ in 0..3 {
        // The reset may overtake the head.
        if let Ok(answer) = sender.send_request(page("/").body(Full::default()).unwrap()).await {
            assert!(answer.into_body().collect().await.is_err());
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_is_cancelled_if_a_page_and_finished_if_a_delivery() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    let mut slow = delivery(BODY, BODY);
    slow.headers_mut().insert("x-delay", "500".parse().unwrap());
    tokio::select! {
        answer = sender.send_request(slow) => panic!("answered at once: {answer:?}"),
        () = app.wait_begun(1) => {}
    }
    app.wait_whole(1).await;

    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let app = Scripted::start(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.request().await.unwrap();
            tell.send("begun").unwrap();
            wire.assert_ends("the stream was reset").await;
            tell.send("ended").unwrap();
        }
    })
    .await;
    let gate = Gate::start(app.addr, "").await;
    let (mut sender, _connection) = dial(&gate).await;
    tokio::select! {
        answer = sender.send_request(page("/").body(Full::default()).unwrap()) => panic!("nobody answers: {answer:?}"),
        told = soon("the app has it", told.recv()) => assert_eq!(told, Some("begun")),
    }
    assert_eq!(soon("the app's connection closed", told.recv()).await, Some("ended"));
}

#[tokio::test]
async fn a_shutdown_finishes_open_streams_and_takes_no_new_ones() {
    let app = App::start().await;
    let mut gate = Gate::start(app.addr, "").await;
    let (mut sender, connection) = dial(&gate).await;
    let mut other = sender.clone();
    let running = tokio::spawn(async move {
        other.send_request(page("/?delay=150").body(Full::default()).unwrap()).await.unwrap().status()
    });
    while app.seen().is_empty() {
        pause(2).await;
    }
    gate.stop();
    assert_eq!(running.await.unwrap(), 200);
    soon("the connection's end", connection).await.unwrap().unwrap();
    soon("the end of run()", &mut gate.served).await.unwrap();
    assert!(sender.send_request(page("/").body(Full::default()).unwrap()).await.is_err());
    assert_eq!(app.seen().len(), 1);
}
