//! Who calls? Only what trusted proxies wrote counts, whatever cannot be read for sure is nobody, and nobody is not allowed in.

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::*;
use crate::sender::*;

/// Answers only this client and this network; 127.0.0.1 is the trusted ingress, 127.0.0.2 and the rest are strangers.
async fn gate(app: &App, header: &str) -> Gate {
    Gate::with(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\n\
         [client_ip]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\", \"2001:db8:7::/48\"]\nheader = \"{header}\"\n\
         [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\nallow_ips = [\"203.0.113.9\", \"2001:db8:1::/48\"]\n\
         [routes.open]\npath = \"/open\"\nprovider = \"clerk\"\n",
        app.addr
    ))
    .await
}

/// From an address of one's own: all of 127.0.0.0/8 is this machine.
async fn from(peer: &str, gate: &Gate, bytes: &[u8]) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{peer}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(gate.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    Answer::read(&mut stream).await
}

fn with(target: &str, lines: &[(&str, &str)]) -> Sent {
    lines.iter().fold(Sent::clerk(target, BODY), |sent, (name, value)| sent.with(name, value))
}

async fn assert_outcomes(gate: &Gate, app: &App, header: &str, cases: &[(&[&str], Result<(), &str>)]) {
    for (values, expected) in cases {
        let before = app.seen().len();
        let lines: Vec<_> = values.iter().map(|value| (header, *value)).collect();
        let answer = gate.exchange(with(PATH, &lines).bytes()).await;
        match expected {
            Ok(()) => assert_eq!(
                (answer.status, app.seen().len()),
                (200, before + 1),
                "{header}: {values:?}: {}",
                answer.text()
            ),
            Err(code) => {
                assert_refusal(&answer, 403, code, &format!("{header}: {values:?}"));
                assert_eq!(app.seen().len(), before, "reached the app: {values:?}");
            }
        }
        // An address that nobody knows matters only where a list asks for it.
        for (target, sent) in [("/open", with("/open", &lines).bytes()), ("/page", with("/page", &lines).bytes())] {
            let before = app.seen().len();
            let answer = gate.exchange(sent).await;
            assert_eq!((answer.status, app.seen().len()), (200, before + 1), "{target}: {values:?}");
        }
    }
}

#[tokio::test]
async fn a_list_is_walked_from_the_right_past_trusted_hops() {
    let app = App::start().await;
    let gate = gate(&app, "x-forwarded-for").await;
    const NOT: Result<(), &str> = Err("ip_not_allowed");
    const UNKNOWN: Result<(), &str> = Err("client_unknown");
    assert_outcomes(
        &gate,
        &app,
        "X-Forwarded-For",
        &[
            (&["203.0.113.9"], Ok(())),
            (&["203.0.113.9, 10.0.0.4"], Ok(())),
            (&["203.0.113.9,10.0.0.4 ,\t10.200.0.5"], Ok(())),
            (&["203.0.113.9:4711"], Ok(())),
            (&["::ffff:203.0.113.9"], Ok(())),
            (&["[::ffff:cb00:7109]:80"], Ok(())),
            (&["2001:db8:1::77"], Ok(())),
            (&["[2001:DB8:1::77]:80, 2001:db8:7::1"], Ok(())),
            // What stands left of the first untrusted hop came from the client, and is not even read.
            (&["garbage, \", unknown, 203.0.113.9"], Ok(())),
            (&[", , 203.0.113.9, 10.0.0.4"], Ok(())),
            (&["203.0.113.9, 198.51.100.1"], NOT),
            (&["203.0.113.9, 198.51.100.1, 10.0.0.4"], NOT),
            (&["127.0.0.1, 203.0.113.9, 198.51.100.1"], NOT),
            (&["203.0.113.10"], NOT),
            (&["2001:db8:2::77"], NOT),
            (&["::cb00:7109"], NOT),
            (&["64:ff9b::cb00:7109"], NOT),
            // Several lines are one list.
            (&["203.0.113.9", "10.0.0.4"], Ok(())),
            (&["198.51.100.1", "203.0.113.9"], Ok(())),
            (&["203.0.113.9", "198.51.100.1"], NOT),
            (&["203.0.113.9", "198.51.100.1", "10.0.0.4"], NOT),
            (&["203.0.113.9", ""], UNKNOWN),
            (&["203.0.113.9", "unknown"], UNKNOWN),
            // Nobody.
            (&[], UNKNOWN),
            (&[""], UNKNOWN),
            (&["10.0.0.4"], UNKNOWN),
            (&["127.0.0.1, 10.0.0.4"], UNKNOWN),
            (&["203.0.113.9, unknown"], UNKNOWN),
            (&["203.0.113.9, unknown, 10.0.0.4"], UNKNOWN),
            (&["203.0.113.9, _hidden"], UNKNOWN),
            (&["203.0.113.9,"], UNKNOWN),
            (&["203.0.113.9,,10.0.0.4"], UNKNOWN),
            (&["203.0.113.9%eth0"], UNKNOWN),
            (&["fe80::1%eth0"], UNKNOWN),
            (&["203.0.113.009"], UNKNOWN),
            (&["0313.0.113.9"], UNKNOWN),
            (&["0xcb007109"], UNKNOWN),
            (&["3405803785"], UNKNOWN),
            (&["203.0.113.9/32"], UNKNOWN),
            (&["203.0.113.9 10.0.0.4"], UNKNOWN),
            (&["203.0.113.9;10.0.0.4"], UNKNOWN),
            (&["203.0.113.9:"], UNKNOWN),
            (&["203.0.113.9:http"], UNKNOWN),
            (&["203.0.113.9:65536"], UNKNOWN),
            (&["[203.0.113.9]"], UNKNOWN),
            (&["\"203.0.113.9\""], UNKNOWN),
            (&["for=203.0.113.9"], UNKNOWN),
            (&["localhost"], UNKNOWN),
            (&["203.0.113.9\u{a0}"], UNKNOWN),
            (&["２０３.0.113.9"], UNKNOWN),
        ],
    )
    .await;
    // Spellings of the header that other servers would merge are not read.
    for name in ["x_forwarded_for", "X-Forwarded_For", "forwarded-for", "x-forwarded-for-", "x-client-ip", "x-real-ip"]
    {
        let answer = gate.exchange(with(PATH, &[(name, "203.0.113.9")]).bytes()).await;
        assert_refusal(&answer, 403, "client_unknown", name);
    }
}

#[tokio::test]
async fn forwarded_is_read_as_rfc_7239_writes_it() {
    let app = App::start().await;
    let gate = gate(&app, "forwarded").await;
    const NOT: Result<(), &str> = Err("ip_not_allowed");
    const UNKNOWN: Result<(), &str> = Err("client_unknown");
    assert_outcomes(
        &gate,
        &app,
        "forwarded",
        &[
            (&["for=203.0.113.9"], Ok(())),
            (&["For=203.0.113.9;proto=https;host=app.example"], Ok(())),
            (&["proto=https;by=10.0.0.1; FOR=\"203.0.113.9:80\", for=10.0.0.4"], Ok(())),
            (&["for=\"[2001:db8:1::5]\""], Ok(())),
            (&["for=\"[2001:db8:1::5]:80\", for=\"[2001:db8:7::5]\""], Ok(())),
            (&["for=\"203.0.113.9, for=198.51.100.1", "for=203.0.113.9"], Ok(())),
            (&["for=198.51.100.1", "for=203.0.113.9, for=10.0.0.4"], Ok(())),
            (&["for=203.0.113.9, for=198.51.100.1"], NOT),
            // A quote that the client left open must not swallow what the proxy appended.
            (&["for=203.0.113.9;x=\", for=198.51.100.1"], NOT),
            (&["for=203.0.113.9;x=\"\\\", for=198.51.100.1"], NOT),
            (&["for=198.51.100.1;host=\", for=203.0.113.9\""], NOT),
            (&["for=203.0.113.9", "for=198.51.100.1"], NOT),
            (&[], UNKNOWN),
            (&["203.0.113.9"], UNKNOWN),
            (&["for=203.0.113.9;for=198.51.100.1"], UNKNOWN),
            (&["for=unknown"], UNKNOWN),
            (&["for=_gazonk"], UNKNOWN),
            (&["for=203.0.113.9, for=unknown"], UNKNOWN),
            (&["for=203.0.113.9, proto=https"], UNKNOWN),
            (&["for=203.0.113.9,"], UNKNOWN),
            (&["for=10.0.0.4"], UNKNOWN),
            (&["for=203.0.113.9:80"], UNKNOWN),
            (&["for=[2001:db8:1::5]"], UNKNOWN),
            (&["for=\"2001:db8:1::5\""], UNKNOWN),
            (&["for = 203.0.113.9"], UNKNOWN),
            (&["for=\"203.0.113.9"], UNKNOWN),
            (&["for=203.0.113.9\""], UNKNOWN),
            (&["for='203.0.113.9'"], UNKNOWN),
            (&["by=203.0.113.9"], UNKNOWN),
            (&["xfor=203.0.113.9"], UNKNOWN),
        ],
    )
    .await;
    let other = gate.exchange(with(PATH, &[("x-forwarded-for", "203.0.113.9")]).bytes()).await;
    assert_refusal(&other, 403, "client_unknown", "another header than the configured one");
}

#[tokio::test]
async fn a_header_with_one_address_is_there_once_and_only_when_named() {
    let app = App::start().await;
    let gate = gate(&app, "cf-connecting-ip").await;
    const UNKNOWN: Result<(), &str> = Err("client_unknown");
    assert_outcomes(
        &gate,
        &app,
        "CF-Connecting-IP",
        &[
            (&["203.0.113.9"], Ok(())),
            (&["2001:db8:1::5"], Ok(())),
            (&["198.51.100.1"], Err("ip_not_allowed")),
            (&["203.0.113.9", "203.0.113.9"], UNKNOWN),
            (&["203.0.113.9", "198.51.100.1"], UNKNOWN),
            (&["203.0.113.9, 203.0.113.9"], UNKNOWN),
            (&["203.0.113.9,"], UNKNOWN),
            (&["unknown"], UNKNOWN),
            (&[""], UNKNOWN),
            (&[], UNKNOWN),
        ],
    )
    .await;
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("cf_connecting_ip", "203.0.113.9"),
    ] {
        let answer = gate.exchange(with(PATH, &[(name, value)]).bytes()).await;
        assert_refusal(&answer, 403, "client_unknown", name);
    }
    // The client cannot have its own entry dropped on the way.
    let dropped = with(PATH, &[("cf-connecting-ip", "203.0.113.9"), ("connection", "cf-connecting-ip")]).bytes();
    let answer = gate.exchange(dropped).await;
    assert!(matches!(answer.code().as_str(), "client_unknown" | "framing"), "{answer:?}");
}

#[tokio::test]
async fn an_untrusted_peer_is_the_client_whatever_it_says() {
    let app = App::start().await;
    for header in ["x-forwarded-for", "forwarded", "cf-connecting-ip"] {
        let gate = gate(&app, header).await;
        let claims = [
            ("x-forwarded-for", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9"),
            ("cf-connecting-ip", "203.0.113.9"),
            ("x-real-ip", "203.0.113.9"),
            ("true-client-ip", "203.0.113.9"),
        ];
        let answer = from("127.0.0.2", &gate, &with(PATH, &claims).bytes()).await;
        assert_refusal(&answer, 403, "ip_not_allowed", header);
        let answer = from("127.0.0.2", &gate, &with(PATH, &[]).bytes()).await;
        assert_refusal(&answer, 403, "ip_not_allowed", "no claim");
    }
    app.assert_unreached("a stranger").await;
}

/// A WSGI or CGI app reads `cf_connecting_ip` as `CF-Connecting-IP`, and believes it as it would ours.
#[tokio::test]
async fn the_believed_header_reaches_the_app_from_a_trusted_peer_alone_and_in_one_spelling() {
    let app = App::start().await;
    let gate = gate(&app, "cf-connecting-ip").await;
    let spellings =
        ["cf-connecting-ip", "cf_connecting_ip", "cf-connecting_ip", "cf.connecting.ip", "cf--connecting-ip"];
    let claims = spellings.map(|name| (name, "203.0.113.9"));
    for (peer, expected) in [("127.0.0.2", &[][..]), ("127.0.0.1", &["cf-connecting-ip"])] {
        let before = app.seen().len();
        let answer = from(peer, &gate, &with("/page", &claims).bytes()).await;
        assert_eq!(answer.status, 200, "{peer}");
        let headers = &app.seen()[before].headers;
        let arrived: Vec<&str> =
            headers.iter().filter(|(_, value)| *value == "203.0.113.9").map(|(name, _)| name.as_str()).collect();
        assert_eq!(arrived, expected, "{peer}");
    }
}

#[tokio::test]
async fn the_believed_header_is_no_trailer() {
    let app = App::start().await;
    let gate = gate(&app, "cf-connecting-ip").await;
    let body = "0\r\ncf-connecting-ip: 203.0.113.9\r\ncf_connecting_ip: 203.0.113.9\r\nx-sum: 1\r\n\r\n";
    let head = "POST /page HTTP/1.1\r\nhost: app.example\r\nte: trailers\r\ntrailer: x-sum, cf-connecting-ip, cf_connecting_ip\r\nconnection: te\r\n";
    let answer = gate.exchange(format!("{head}transfer-encoding: chunked\r\n\r\n{body}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let trailers = app.only().trailers;
    assert_eq!(trailers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["x-sum"]);
}

#[tokio::test]
async fn a_connection_list_cannot_drop_the_believed_header() {
    let app = App::start().await;
    let gate = gate(&app, "cf-connecting-ip").await;
    for list in ["cf-connecting-ip", "close, CF-Connecting-IP"] {
        let head = format!(
            "GET /page HTTP/1.1\r\nhost: app.example\r\ncf-connecting-ip: 203.0.113.9\r\nconnection: {list}\r\n\r\n"
        );
        let cases = [(head.into_bytes(), 400, "framing", list.to_owned())];
        assert_all_refused(&gate, &app, cases).await;
    }
}

#[tokio::test]
async fn the_list_comes_before_the_signature_and_never_instead_of_it() {
    let app = App::start().await;
    let gate = gate(&app, "x-forwarded-for").await;
    let allowed = ("x-forwarded-for", "203.0.113.9");
    let cases = [
        (
            with(PATH, &[allowed]).set("svix-id", "other").bytes(),
            401,
            "signature_mismatch",
            "allowed, forged".to_owned(),
        ),
        (with(PATH, &[allowed]).without("svix-signature").bytes(), 400, "header_missing", "allowed, unsigned".into()),
        (
            with(PATH, &[("x-forwarded-for", "198.51.100.1")]).without("svix-signature").bytes(),
            403,
            "ip_not_allowed",
            "not allowed, unsigned".into(),
        ),
        (with(PATH, &[]).without("svix-signature").bytes(), 403, "client_unknown", "nobody, unsigned".into()),
        (with(PATH, &[]).method("GET").bytes(), 405, "method_not_allowed", "nobody, with another method".into()),
        (
            with(PATH, &[allowed, ("connection", "x-forwarded-for")]).bytes(),
            400,
            "framing",
            "a Connection list that drops the proxy's word".into(),
        ),
    ];
    assert_all_refused(&gate, &app, cases).await;
}

#[tokio::test]
async fn the_app_reads_who_forwarded_from_headers_that_no_stranger_wrote() {
    let app = App::start().await;
    let gate = gate(&app, "x-forwarded-for").await;
    let claims = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "10.0.0.4"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "444"),
        ("forwarded", "for=203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("x_forwarded_for", "1.1.1.1"),
        ("X_Forwarded_Host", "evil.example"),
        ("x-forwarded_proto", "https"),
        ("x_real_ip", "1.1.1.1"),
    ];
    let list = |seen: &Recorded, name: &str| {
        seen.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (number, target) in ["/open", "/page"].into_iter().enumerate() {
        assert_eq!(from("127.0.0.2", &gate, &with(target, &claims).bytes()).await.status, 200);
        let seen = &app.seen()[number * 2];
        assert_eq!(list(seen, "x-forwarded-for"), ["127.0.0.2"], "{target}");
        assert_eq!(list(seen, "x-forwarded-host"), ["app.example"], "{target}");
        assert_eq!(list(seen, "x-forwarded-proto"), ["http"], "{target}");
        assert_eq!(list(seen, "x-forwarded-port"), [gate.addr.port().to_string()], "{target}");
        for gone in ["forwarded", "x-real-ip", "x_forwarded_for", "x_forwarded_host", "x-forwarded_proto", "x_real_ip"]
        {
            assert!(!seen.headers.contains_key(gone), "{target}: {gone}");
        }
        assert_eq!(list(seen, "host"), ["app.example"]);

        // The ingress: its word stays, and it is appended.
        assert_eq!(gate.exchange(with(target, &claims).bytes()).await.status, 200);
        let seen = &app.seen()[number * 2 + 1];
        assert_eq!(list(seen, "x-forwarded-for"), ["203.0.113.9, 10.0.0.4, 127.0.0.1"], "{target}");
        assert_eq!(list(seen, "x-forwarded-host"), ["evil.example"], "{target}");
        assert_eq!(list(seen, "x-forwarded-proto"), ["https"], "{target}");
        assert_eq!(list(seen, "x-forwarded-port"), ["444"], "{target}");
        for gone in ["x_forwarded_for", "x_forwarded_host", "x-forwarded_proto", "x_real_ip"] {
            assert!(!seen.headers.contains_key(gone), "{target}: {gone}");
        }
    }
}

#[tokio::test]
async fn an_ipv4_mapped_peer_is_ipv4() {
    let app = App::start().await;
    let toml = |trusted: &str| {
        format!(
            "[server]\nlisten = \"[::]:0\"\nupstream = \"http://{}\"\n[client_ip]\ntrusted_proxies = [{trusted}]\n\
             [routes.clerk]\npath = \"{PATH}\"\nprovider = \"clerk\"\nallow_ips = [\"127.0.0.3\", \"203.0.113.9\"]\n",
            app.addr
        )
    };
    let mut gate = Gate::with(&toml("")).await;
    gate.addr = format!("127.0.0.1:{}", gate.addr.port()).parse().unwrap();
    assert_eq!(from("127.0.0.3", &gate, &with(PATH, &[]).bytes()).await.status, 200);
    assert_eq!(app.only().headers.get("x-forwarded-for").unwrap(), "127.0.0.3");
    let claim = [("x-forwarded-for", "203.0.113.9")];
    assert_refusal(
        &from("127.0.0.4", &gate, &with(PATH, &claim).bytes()).await,
        403,
        "ip_not_allowed",
        "a stranger by IPv4",
    );
    let mut six = TcpStream::connect(format!("[::1]:{}", gate.addr.port())).await.unwrap();
    six.write_all(&with(PATH, &claim).bytes()).await.unwrap();
    assert_refusal(&Answer::read(&mut six).await, 403, "ip_not_allowed", "a stranger by IPv6");

    let mut gate = Gate::with(&toml("\"127.0.0.0/8\"")).await;
    gate.addr = format!("127.0.0.1:{}", gate.addr.port()).parse().unwrap();
    assert_eq!(
        from("127.0.0.4", &gate, &with(PATH, &claim).bytes()).await.status,
        200,
        "the proxy is trusted by its IPv4 address"
    );
    assert_eq!(app.seen()[1].headers.get("x-forwarded-for").unwrap(), "203.0.113.9, 127.0.0.4");
}
