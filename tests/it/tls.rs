//! TLS on the listener and towards the app, Unix sockets, several listeners, the PROXY protocol: over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::harness::{Answer, App, BODY, Gate, PATH, SECRET, genuine, get, now, signed_headers, svix_signature};
use crate::script::{pause, soon};

fn file(name: &str) -> String {
    format!("{}/tests/data/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn client_config(ca: &str, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file(ca)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub async fn dial(address: SocketAddr, ca: &str, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(client_config(ca, alpn));
    connector.connect(ServerName::try_from("localhost").unwrap(), TcpStream::connect(address).await?).await
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = dial(address, "ca.pem", &["http/1.1"]).await.unwrap();
    stream.write_all(request.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn route(more: &str) -> String {
    format!("[routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\n{more}")
}

fn tls_table() -> String {
    format!("{{ cert = {:?}, key = {:?} }}", file("server.pem"), file("server.key"))
}

async fn tls_gate(app: SocketAddr) -> Gate {
    let server = format!("[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\ntls = {}\n", tls_table());
    Gate::with(&(server + &route(""))).await
}

fn forged(id: &str) -> String {
    genuine(BODY, "").replacen("svix-id: msg_1", &format!("svix-id: {id}"), 1)
}

#[tokio::test]
async fn over_tls_the_genuine_pass_the_forged_do_not_and_the_app_hears_of_https() {
    let app = App::start().await;
    let gate = tls_gate(app.addr).await;
    let answer = exchange(gate.addr, &forged("msg_2")).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("signature_mismatch"), "{answer}");
    app.assert_unreached("a forged delivery over TLS").await;
    let answer = exchange(gate.addr, &genuine(BODY, "x-forwarded-proto: ftp\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let seen = app.only();
    assert_eq!(seen.headers["x-forwarded-proto"], "https");
    assert!(seen.headers.contains_key("verified-event"));
}

#[tokio::test]
async fn a_connection_that_rests_is_used_again_and_ends_with_close_notify() {
    let app = App::start().await;
    let mut gate = tls_gate(app.addr).await;
    let mut stream = dial(gate.addr, "ca.pem", &["http/1.1"]).await.unwrap();
    for n in 1..=3 {
        stream.write_all(genuine(BODY, "").as_bytes()).await.unwrap();
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(BODY.as_bytes()) {
            let read = soon("the answer", stream.read(&mut part)).await.unwrap();
            assert!(read > 0, "delivery {n}");
            answer.extend_from_slice(&part[..read]);
        }
        pause(250).await;
    }
    assert_eq!(app.seen().len(), 3);
    gate.stop();
    // Without a close_notify this is an error, "unexpected end".
    assert_eq!(soon("the end", stream.read(&mut [0; 16])).await.unwrap(), 0);
}

#[tokio::test]
async fn alpn_chooses_http_2_and_the_same_judgement() {
    let app = App::start().await;
    let gate = tls_gate(app.addr).await;
    let stream = dial(gate.addr, "ca.pem", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let time = now().to_string();
    for (signed, status) in [("something else", 401), (BODY, 200)] {
        let request = Request::post(format!("https://localhost{PATH}"))
            .version(Version::HTTP_2)
            .header("svix-id", "msg_1")
            .header("svix-timestamp", &time)
            .header("svix-signature", svix_signature(SECRET, "msg_1", &time, signed.as_bytes()))
            .body(Full::new(Bytes::from_static(BODY.as_bytes())))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        let _ = answer.into_body().collect().await;
    }
    assert_eq!(app.only().headers["x-forwarded-proto"], "https");
}

#[tokio::test]
async fn plain_http_on_a_tls_port_reaches_nobody() {
    let app = App::start().await;
    let gate = tls_gate(app.addr).await;
    let mut stream = gate.connect().await;
    stream.write_all(genuine(BODY, "").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"), "{answer:?}");
    app.assert_unreached("plain HTTP on a TLS port").await;
    // And a client that says nothing does not stay for ever: see limits.head_timeout.
    assert_eq!(exchange(gate.addr, &get("/", "")).await.get(..12), Some("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up() {
    let app = App::start().await;
    let server = format!(
        "[limits]\nhead_timeout = \"200ms\"\n[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\ntls = {}\n",
        app.addr,
        tls_table()
    );
    let gate = Gate::with(&(server + &route(""))).await;
    let mut stream = gate.connect().await;
    stream.write_all(b"\x16\x03\x01").await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the connection is still open");
}

/// An app behind TLS that answers 200 with the request's own bytes, and tells what it saw.
async fn tls_app(certificate: &str) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(file(&format!("{certificate}.pem"))).unwrap()],
            PrivateKeyDer::from_pem_file(file(&format!("{certificate}.key"))).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or("none").to_owned();
                answer_all(&mut stream, &name, &tell).await;
            });
        }
    });
    (address, told)
}

async fn answer_all(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    name: &str,
    tell: &tokio::sync::mpsc::UnboundedSender<String>,
) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    while let Ok(n) = stream.read(&mut buffer).await {
        if n == 0 {
            return;
        }
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        tell.send(format!("{name} {head}")).unwrap();
        bytes.clear();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        stream.flush().await.unwrap();
    }
}

fn upstream(upstream: &str, more: &str) -> String {
    format!("[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"{upstream}\"\n{more}{}", route(""))
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_whole_only_if_tls_says_so() {
    for says_so in [true, false] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let _ = stream.read(&mut [0; 65536]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nperhaps half").await.unwrap();
            stream.flush().await.unwrap();
            if says_so {
                stream.shutdown().await.unwrap();
            } else {
                stream.get_mut().0.shutdown().await.unwrap();
            }
        });
        let tls = format!("upstream_tls = {{ ca = {:?}, server_name = \"app.internal\" }}\n", file("ca.pem"));
        let gate = Gate::with(&upstream(&format!("https://{app}"), &tls)).await;
        let mut wire = crate::script::Wire::dial(gate.addr).await;
        wire.send(genuine(BODY, "")).await;
        let answer = wire.answer().await;
        // That it was cut off may be seen before the head is passed on: then there is none.
        assert_eq!((answer.status(), answer.whole) == (200, true), says_so);
    }
}

#[tokio::test]
async fn the_app_is_reached_over_tls_with_its_name_and_the_connection_is_kept() {
    let (app, mut told) = tls_app("server").await;
    let tls = format!("upstream_tls = {{ ca = {:?}, server_name = \"app.internal\" }}\n", file("ca.pem"));
    let gate = Gate::with(&upstream(&format!("https://{app}"), &tls)).await;
    for _ in 0..2 {
        let answer = gate.exchange(genuine(BODY, "")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        let seen = told.recv().await.unwrap();
        assert!(seen.starts_with("app.internal POST "), "{seen}");
        assert!(seen.contains("verified-event: "), "{seen}");
    }
}

#[tokio::test]
async fn an_app_with_another_name_or_authority_is_never_told_anything() {
    let (app, mut told) = tls_app("server").await;
    for tls in [
        format!("upstream_tls = {{ ca = {:?} }}\n", file("other-ca.pem")),
        format!("upstream_tls = {{ ca = {:?}, server_name = \"other.internal\" }}\n", file("ca.pem")),
        String::new(),
    ] {
        let gate = Gate::with(&upstream(&format!("https://{app}"), &tls)).await;
        let answer = gate.exchange(genuine(BODY, "")).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"), "{tls}");
    }
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_plain_app_behind_https_is_unreachable_in_time() {
    let app = App::start().await;
    let tls = format!("upstream_tls = {{ ca = {:?} }}\n[limits]\nconnect_timeout = \"300ms\"\n", file("ca.pem"));
    let gate = Gate::with(&upstream(&format!("https://{}", app.addr), &tls)).await;
    let answer = gate.exchange(genuine(BODY, "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    app.assert_unreached("a TLS handshake is no request").await;
}

#[tokio::test]
async fn the_app_is_reached_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let gate = Gate::with(&upstream(&format!("unix:{}", path.display()), "")).await;
    let answer = gate.exchange(genuine(BODY, "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"), "nothing listens there yet");
    let listener = UnixListener::bind(&path).unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let tell = tell.clone();
            tokio::spawn(async move { answer_all(&mut stream, "unix", &tell).await });
        }
    });
    let answer = gate.exchange(genuine(BODY, "")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let seen = told.recv().await.unwrap();
    assert!(seen.contains("host: app.example") && seen.contains("verified-event: "), "{seen}");
    let answer = gate.exchange(get("/page", "")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert!(told.recv().await.unwrap().starts_with("unix GET /page "));
}

fn proxied(app: SocketAddr, from: &str, more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{app}\"\nproxy_protocol = true\n\
         proxy_protocol_from = [\"{from}\"]\n{more}{}",
        route("allow_ips = [\"203.0.113.0/24\"]\n")
    )
}

/// Version 2, PROXY command, TCP over IPv4, from 203.0.113.last to 10.0.0.1, with an extension that nobody knows.
fn v2(last: u8) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11".to_vec();
    header.extend([203, 0, 113, last, 10, 0, 0, 1, 0x30, 0x39, 0, 80, 0xEE, 0, 2, 7, 7]);
    header
}

#[tokio::test]
async fn the_proxy_header_names_the_client_and_no_http_header_does() {
    let app = App::start().await;
    let gate = Gate::with(&proxied(app.addr, "127.0.0.1", "")).await;
    let lies = "x-forwarded-for: 203.0.113.9\r\nx-real-ip: 203.0.113.9\r\nforwarded: for=203.0.113.9\r\n";
    for header in ["PROXY TCP4 198.51.100.7 10.0.0.1 1 2\r\n", "PROXY TCP6 2001:db8::7 ::1 1 2\r\n"] {
        let answer = gate.exchange(header.to_owned() + &genuine(BODY, lies)).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "ip_not_allowed"), "{header}");
    }
    app.assert_unreached("a client that the PROXY header names is not allowed").await;
    for header in [b"PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n".to_vec(), v2(7)] {
        let answer = gate.exchange([&header[..], genuine(BODY, lies).as_bytes()].concat()).await;
        assert_eq!(answer.status, 200, "{}", answer.head);
    }
    for seen in app.seen() {
        assert_eq!(seen.headers["x-forwarded-for"], "203.0.113.7");
        assert!(!seen.headers.contains_key("x-real-ip") && !seen.headers.contains_key("forwarded"));
    }
    assert_eq!(app.seen().len(), 2);
}

#[tokio::test]
async fn a_balancers_own_connection_has_no_client() {
    let app = App::start().await;
    let gate =
        Gate::with(&(proxied(app.addr, "127.0.0.1", "") + "[client_ip]\ntrusted_proxies = [\"127.0.0.1\"]\n")).await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for header in [local.clone(), b"PROXY UNKNOWN\r\n".to_vec()] {
        // Not even what the balancer says in HTTP: it speaks for itself here.
        let request = genuine(BODY, "x-forwarded-for: 203.0.113.9\r\n");
        let answer = gate.exchange([&header[..], request.as_bytes()].concat()).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "client_unknown"));
    }
    app.assert_unreached("a delivery without a client").await;
    let answer = gate.exchange([&local[..], get("/health", "").as_bytes()].concat()).await;
    assert_eq!(answer.status, 200, "its health checks pass");
}

#[tokio::test]
async fn a_proxied_client_may_itself_be_a_trusted_proxy() {
    let app = App::start().await;
    let trusted = "[client_ip]\ntrusted_proxies = [\"198.51.100.7\"]\n";
    let gate = Gate::with(&(proxied(app.addr, "127.0.0.1", "") + trusted)).await;
    let header = "PROXY TCP4 198.51.100.7 10.0.0.1 1 2\r\n";
    let spoofed = header.to_owned() + &genuine(BODY, "x-forwarded-for: 203.0.113.9, 192.0.2.66\r\n");
    let answer = gate.exchange(spoofed).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "ip_not_allowed"));
    app.assert_unreached("a leftmost lie").await;
    let answer = gate.exchange(header.to_owned() + &genuine(BODY, "x-forwarded-for: 203.0.113.9\r\n")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.only().headers["x-forwarded-for"], "203.0.113.9, 198.51.100.7");
}

#[tokio::test]
async fn who_must_send_the_header_and_does_not_or_may_not_and_does_is_closed() {
    let app = App::start().await;
    let must = Gate::with(&proxied(app.addr, "127.0.0.1", "")).await;
    let may_not = Gate::with(&proxied(app.addr, "192.0.2.1", "")).await;
    let never = Gate::start(app.addr, "").await;
    let fine = String::from_utf8_lossy(b"PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n").into_owned();
    for (gate, header, what) in [
        (&must, Vec::new(), "none, though it must"),
        (&must, b"PROXY TCP4 203.0.113.7\r\n".to_vec(), "half a header"),
        (&must, fine.repeat(2).into_bytes(), "two headers"),
        (&must, [&v2(7)[..], fine.as_bytes()].concat(), "two headers of both kinds"),
        (&may_not, fine.clone().into_bytes(), "one, though it may not"),
        (&may_not, v2(7), "version 2, though it may not"),
        (&never, fine.clone().into_bytes(), "one to a listener that takes none"),
        (&never, v2(7), "version 2 to a listener that takes none"),
    ] {
        let mut stream = gate.connect().await;
        let bytes = [&header[..], genuine(BODY, "").as_bytes()].concat();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect(what);
        assert!(answer.is_empty(), "{what}: {}", String::from_utf8_lossy(&answer));
        app.assert_unreached(what).await;
    }
    // A peer that may not send one is served without it, by its own address.
    assert_eq!(may_not.exchange(get("/page", "")).await.status, 200);
    assert_eq!(may_not.exchange(genuine(BODY, "")).await.code(), "ip_not_allowed");
}

#[tokio::test]
async fn a_proxy_header_that_dribbles_in_has_a_time_limit() {
    let app = App::start().await;
    let gate = Gate::with(&(proxied(app.addr, "127.0.0.1", "") + "[limits]\nhead_timeout = \"200ms\"\n")).await;
    let mut stream = gate.connect().await;
    stream.write_all(b"PROXY TCP4 203.0.113.7").await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok() && answer.is_empty(), "the connection is still open");
    // Slow, but in time and byte by byte.
    let mut stream = gate.connect().await;
    stream.set_nodelay(true).unwrap();
    for byte in v2(7) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stream.write_all(genuine(BODY, "").as_bytes()).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 200);
}

#[tokio::test]
async fn the_proxy_header_comes_before_tls() {
    let app = App::start().await;
    let gate = Gate::with(&proxied(app.addr, "127.0.0.1", &format!("tls = {}\n", tls_table()))).await;
    for (last, status) in [("203.0.113.7", "HTTP/1.1 200 "), ("198.51.100.7", "HTTP/1.1 403 ")] {
        let mut stream = TcpStream::connect(gate.addr).await.unwrap();
        stream.write_all(format!("PROXY TCP4 {last} 10.0.0.1 1 2\r\n").as_bytes()).await.unwrap();
        let connector = TlsConnector::from(client_config("ca.pem", &[]));
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let request = genuine(BODY, "connection: close\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(app.only().headers["x-forwarded-proto"], "https");
    // Inside of TLS it is no header any more, but bytes of the client.
    let mut stream = TcpStream::connect(gate.addr).await.unwrap();
    stream.write_all(b"PROXY TCP4 198.51.100.7 10.0.0.1 1 2\r\n").await.unwrap();
    let connector = TlsConnector::from(client_config("ca.pem", &[]));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let lie = "PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n".to_owned() + &genuine(BODY, "");
    stream.write_all(lie.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test]
async fn each_listener_has_its_own_tls_and_proxy_setting() {
    let app = App::start().await;
    let listeners = format!(
        "[[server.listener]]\nlisten = \"127.0.0.1:0\"\n\
         [[server.listener]]\nlisten = \"127.0.0.1:0\"\ntls = {}\n\
         [[server.listener]]\nlisten = \"127.0.0.1:0\"\nproxy_protocol = true\nproxy_protocol_from = [\"127.0.0.1\"]\n",
        tls_table()
    );
    let gate = Gate::with(&format!(
        "[server]\nupstream = \"http://{}\"\n{listeners}{}",
        app.addr,
        route("allow_ips = [\"127.0.0.1\", \"203.0.113.0/24\"]\n")
    ))
    .await;
    let [plain, tls, proxied] = gate.addrs[..] else { panic!("{:?}", gate.addrs) };
    assert_eq!(gate.exchange(genuine(BODY, "")).await.status, 200);
    assert!(exchange(tls, &genuine(BODY, "")).await.starts_with("HTTP/1.1 200 "));
    let mut stream = TcpStream::connect(proxied).await.unwrap();
    stream.write_all(&[&v2(7)[..], genuine(BODY, "").as_bytes()].concat()).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 200);
    let told: Vec<(String, String, String)> = app
        .seen()
        .iter()
        .map(|seen| {
            let text = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
            (text("x-forwarded-for"), text("x-forwarded-proto"), text("x-forwarded-port"))
        })
        .collect();
    let port = |address: SocketAddr| address.port().to_string();
    let told: Vec<(&str, &str, &str)> = told.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(
        told,
        [
            ("127.0.0.1", "http", &*port(plain)),
            ("127.0.0.1", "https", &*port(tls)),
            ("203.0.113.7", "http", &*port(proxied)),
        ]
    );
}

#[tokio::test]
async fn a_slow_signature_over_tls_is_not_cut() {
    let app = App::start().await;
    let gate = tls_gate(app.addr).await;
    let body = "x".repeat(300_000);
    let head = signed_headers("msg_1", now(), body.as_bytes());
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: app.example\r\n{head}connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = dial(gate.addr, "ca.pem", &[]).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    for chunk in body.as_bytes().chunks(50_000) {
        stream.write_all(chunk).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert_eq!(app.only().body.len(), 300_000);
}

#[tokio::test]
async fn whoever_is_closed_before_the_first_request_has_one_line_in_the_log() {
    let app = App::start().await;
    let more = format!("tls = {}\n[limits]\nhead_timeout = \"200ms\"\n", tls_table());
    let (gate, log) = Gate::logged(&proxied(app.addr, "127.0.0.1", &more)).await;
    let fine = "PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n";
    let mut expected = Vec::new();
    for (bytes, waits, peer, detail) in [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", false, "127.0.0.1", "a peer in proxy_protocol_from sent no PROXY header"),
        ("PROXY TCP4 1\r\n      ", false, "127.0.0.1", "the PROXY header is malformed or too long"),
        ("PROXY TCP4", false, "127.0.0.1", "the connection ended within the PROXY header"),
        ("PROXY TCP4", true, "127.0.0.1", "a peer in proxy_protocol_from sent no PROXY header in time"),
        ("", true, "127.0.0.1", "a peer in proxy_protocol_from sent no PROXY header in time"),
        (fine, true, "203.0.113.7", "TLS: no handshake in time"),
    ] {
        let mut stream = gate.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        if !waits {
            stream.shutdown().await.unwrap();
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{detail}");
        expected.push((peer, detail));
        let lines = log.wait(expected.len()).await;
        let told: Vec<(&str, &str)> = lines
            .iter()
            .map(|line| {
                assert_eq!((line["outcome"].as_str(), line.get("status")), (Some("framing"), None));
                (line["peer"].as_str().unwrap(), line["detail"].as_str().unwrap())
            })
            .collect();
        assert_eq!(told, expected);
    }
    // A port that is only looked at is no news, nor is a client that leaves before it has shaken hands.
    drop(gate.connect().await);
    let mut stream = gate.connect().await;
    stream.write_all(fine.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    log.wait(expected.len()).await;
    app.assert_unreached("none of them").await;
}
