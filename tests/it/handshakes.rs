//! Handshakes through the real server: every one of `tests/vectors/handshakes.json`, forged ones, and routes that answer none.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;
use crate::sender::*;

const SECRET_TEXT: &str = "a-secret-of-some-length";

fn vector(provider: &str) -> Value {
    let all: Vec<Value> = serde_json::from_str(include_str!("../vectors/handshakes.json")).unwrap();
    all.into_iter().find(|case| case["provider"] == provider).unwrap_or_else(|| panic!("no {provider}"))
}

/// The secret that the file names, or the tests' own.
fn secret(case: &Value) -> &str {
    case["secret"].as_str().map_or(SECRET_TEXT, |secret| match secret {
        "zoom_secret_token" | "consumer_secret" => secret,
        _ => panic!("{secret}"),
    })
}

/// A route of this provider at `/hook`, and `more` TOML in it.
async fn route(app: &App, provider: &str, secret: &str, more: &str) -> Gate {
    Gate::with(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{}\"\npublic_url = \"https://app.example.com\"\n\
         [routes.hook]\npath = \"/hook\"\nprovider = \"{provider}\"\nsecrets = [{{ insecure_value = \"{secret}\" }}]\n{more}",
        app.addr
    ))
    .await
}

/// The request as the file has it, at `/hook`.
fn sent(case: &Value) -> Sent {
    let request = &case["request"];
    let query = request["url"].as_str().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
    let target = if query.is_empty() { "/hook".to_owned() } else { format!("/hook?{query}") };
    let body = request["body"].as_str().unwrap_or_default();
    let mut sent = Sent::post(target, body).method(request["method"].as_str().unwrap());
    if let Some(media_type) = request["content_type"].as_str() {
        sent = sent.with("content-type", media_type);
    }
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        sent = sent.with(name, value.as_str().unwrap());
    }
    sent
}

#[track_caller]
fn assert_answered(answer: &Answer, case: &Value) {
    let response = &case["response"];
    assert_eq!(answer.status, response["status"].as_u64().unwrap() as u16, "{case}: {answer:?}");
    assert_eq!(answer.text(), response["body"].as_str().unwrap_or_default(), "{case}");
    assert_eq!(answer.header("x-app"), None, "the app's answer: {answer:?}");
    let media_type = answer.header("content-type");
    if let Some(expected) = response["content_type"].as_str() {
        assert_eq!(media_type.as_deref(), Some(expected), "{answer:?}");
    }
    assert_eq!(
        media_type.is_some(),
        answer.header("x-content-type-options").as_deref() == Some("nosniff"),
        "{answer:?}"
    );
    assert_eq!(media_type.is_some(), !answer.body.is_empty(), "{answer:?}");
}

/// The head of the answer, which is all that there is of it.
async fn head(gate: &Gate, sent: &Sent) -> String {
    let mut stream = gate.connect().await;
    stream.write_all(&sent.bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while find(&bytes, b"\r\n\r\n").is_none() {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

/// As Slack and Zoom sign.
fn v0(prefix: &str, secret: &str, sent: Sent) -> Sent {
    let timestamp = now().to_string();
    let mac = hmac(secret.as_bytes(), &[b"v0:", timestamp.as_bytes(), b":", &sent.body]);
    let (signature, stamp) = match prefix {
        "slack" => ("x-slack-signature", "x-slack-request-timestamp"),
        _ => ("x-zm-signature", "x-zm-request-timestamp"),
    };
    sent.with(signature, format!("v0={}", hex(&mac))).with(stamp, timestamp)
}

fn discord(sent: Sent) -> Sent {
    use ed25519_dalek::Signer as _;
    let timestamp = now().to_string();
    let signature = ed25519().sign(&[timestamp.as_bytes(), &sent.body].concat());
    sent.with("x-signature-ed25519", hex(&signature.to_bytes())).with("x-signature-timestamp", timestamp)
}

fn twitch(sent: Sent) -> Sent {
    let timestamp =
        hookward::check::signature::write_time(now(), hookward::check::signature::scheme::TimeUnit::Rfc3339);
    let mac = hmac(SECRET_TEXT.as_bytes(), &[b"id-1", timestamp.as_bytes(), &sent.body]);
    sent.with("twitch-eventsub-message-id", "id-1")
        .with("twitch-eventsub-message-timestamp", timestamp)
        .with("twitch-eventsub-message-signature", format!("sha256={}", hex(&mac)))
        .with("twitch-eventsub-subscription-type", "channel.follow")
}

/// The last byte of a header's value is another one.
fn spoiled(sent: &Sent, name: &str) -> Sent {
    let mut value = sent.value(name);
    let last = value.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    sent.clone().set(name, value)
}

#[tokio::test]
async fn a_handshake_that_nobody_signs_is_answered_without_the_app() {
    for (name, provider, options) in [
        ("slack-ssl-check", "slack", ""),
        ("meta", "meta", "options = { verify_token = \"my_verify_token\" }\n"),
        ("meta", "whatsapp", "options = { verify_token = \"my_verify_token\" }\n"),
        ("dropbox", "dropbox", ""),
        ("dropbox", "nylas", ""),
        ("twitter", "twitter", ""),
        ("okta", "okta", ""),
        ("mandrill", "mandrill", ""),
        ("trello", "trello", ""),
        ("trello", "intercom", ""),
        ("microsoft-graph", "microsoft-graph", ""),
    ] {
        let (app, case) = (App::start().await, vector(name));
        let gate = route(&app, provider, secret(&case), &format!("handshake = true\n{options}")).await;
        if case["request"]["method"] == "HEAD" {
            let answer = head(&gate, &sent(&case)).await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("x-app"), "{provider}: {answer}");
        } else {
            assert_answered(&gate.exchange(sent(&case).bytes()).await, &case);
        }
        app.assert_unreached(provider).await;

        // Who has not asked for it gets what every such request gets.
        let gate = route(&app, provider, secret(&case), options).await;
        if case["request"]["method"] == "HEAD" {
            assert!(head(&gate, &sent(&case)).await.starts_with("HTTP/1.1 405 "), "{provider}");
        } else {
            let (status, code) = match provider {
                "slack" => (400, "header_missing"),
                "microsoft-graph" => (401, "signature_mismatch"),
                _ => (405, "method_not_allowed"),
            };
            assert_refusal(&gate.exchange(sent(&case).bytes()).await, status, code, provider);
        }
        app.assert_unreached(provider).await;
    }
}

#[tokio::test]
async fn other_handshakes_that_nobody_signs() {
    let app = App::start().await;
    let text = |target: &str| Sent::post(target, "").method("GET");
    let gate = route(&app, "worldline", SECRET_TEXT, "handshake = true").await;
    let answer = gate.exchange(text("/hook").with("x-gcs-webhooks-endpoint-verification", "a-b").bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "a-b"));
    let more = "handshake = true\noptions = { verification_token = \"word\" }";
    let gate = route(&app, "oura", SECRET_TEXT, more).await;
    let answer = gate.exchange(text("/hook?verification_token=word&challenge=c1").bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"challenge":"c1"}"#));
    let gate = route(&app, "woocommerce", SECRET_TEXT, "handshake = true").await;
    let ping =
        Sent::post("/hook", "webhook_id=7").with("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
    let answer = gate.exchange(ping.bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    app.assert_unreached("handshakes").await;
}

#[tokio::test]
async fn a_signed_handshake_is_answered_after_its_signature_was_verified() {
    let slack: fn(Sent) -> Sent = |sent| v0("slack", SECRET_TEXT, sent);
    let zoom: fn(Sent) -> Sent = |sent| v0("zoom", "zoom_secret_token", sent);
    let public = hex(ed25519().verifying_key().as_bytes());
    for (name, provider, sign, signature) in [
        ("slack", "slack", slack, "x-slack-signature"),
        ("zoom", "zoom", zoom, "x-zm-signature"),
        ("twitch", "twitch", twitch, "twitch-eventsub-message-signature"),
        ("discord-interactions", "discord", discord, "x-signature-ed25519"),
        ("discord-webhook-events", "discord", discord, "x-signature-ed25519"),
    ] {
        let (app, mut case) = (App::start().await, vector(name));
        if name == "twitch" {
            // The file shortens it.
            case["request"]["body"] =
                r#"{"challenge":"11535768-497e-14ec-8197-ba2cb5341a01","subscription":{"id":"1"}}"#.into();
        }
        let secret = if provider == "discord" { public.as_str() } else { secret(&case) };
        let genuine = sign(sent(&case));
        let gate = route(&app, provider, secret, "handshake = true").await;
        assert_answered(&gate.exchange(genuine.bytes()).await, &case);
        let forged = [
            (spoiled(&genuine, signature).bytes(), 401, "signature_mismatch", format!("{name}: forged")),
            (genuine.clone().without(signature).bytes(), 400, "header_missing", format!("{name}: unsigned")),
        ];
        assert_all_refused(&gate, &app, forged).await;

        // Who has not asked for it sees it as any delivery.
        let gate = route(&app, provider, secret, "").await;
        assert_delivered(&gate, &app, &genuine, name).await;
    }
}

#[tokio::test]
async fn front_gets_its_challenge_back() {
    let app = App::start().await;
    let gate = route(&app, "front", SECRET_TEXT, "handshake = true").await;
    let (timestamp, body) = (format!("{}000", now()), r#"{"type":"sync","authorization":{"id":"cmp_1"}}"#);
    let mac = hmac(SECRET_TEXT.as_bytes(), &[timestamp.as_bytes(), b":", body.as_bytes()]);
    let genuine = Sent::post("/hook", body)
        .with("x-front-signature", base64(&mac))
        .with("x-front-request-timestamp", timestamp)
        .with("x-front-challenge", "abc");
    let answer = gate.exchange(genuine.bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"challenge":"abc"}"#), "{answer:?}");
    app.assert_unreached("sync").await;
    assert_delivered(&gate, &app, &genuine.without("x-front-challenge"), "no challenge").await;
}

#[tokio::test]
async fn deliveries_still_reach_the_app() {
    let app = App::start().await;
    let gate = route(&app, "slack", SECRET_TEXT, "handshake = true").await;
    for body in [
        r#"{"type":"event_callback","event_id":"E1","challenge":"a"}"#,
        r#"{"type":"url_verification","type":"event_callback","challenge":"a"}"#,
        r#"{"type":"url_verification"}"#,
        "ssl_check=1&token=xyz",
    ] {
        let delivery = v0("slack", SECRET_TEXT, Sent::post("/hook", body));
        let delivery = delivery.with("content-type", "application/x-www-form-urlencoded");
        assert_delivered(&gate, &app, &delivery, body).await;
    }
    let public = hex(ed25519().verifying_key().as_bytes());
    let gate = route(&app, "discord", &public, "handshake = true").await;
    for body in [
        r#"{"version":1,"application_id":"1","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"x"}}"#,
        r#"{"type":2,"id":"1"}"#,
        r#"{"type":"1","id":"1"}"#,
    ] {
        assert_delivered(&gate, &app, &discord(Sent::post("/hook", body)), body).await;
    }
    let gate = route(&app, "microsoft-graph", SECRET_TEXT, "handshake = true").await;
    let item = format!(r#"{{"value":[{{"clientState":"{SECRET_TEXT}","changeType":"created"}}]}}"#);
    assert_delivered(&gate, &app, &Sent::post("/hook", &item), "a notification").await;
    let asked = Sent::post("/hook?validationToken=x", &item);
    assert_delivered(&gate, &app, &asked, "a notification is none, whatever its query says").await;
    let gate = route(&app, "twitch", SECRET_TEXT, "handshake = true").await;
    for kind in ["revocation", "notification"] {
        let body = r#"{"subscription":{"id":"1"},"challenge":"a"}"#;
        let delivery = twitch(Sent::post("/hook", body)).with("twitch-eventsub-message-type", kind);
        assert_delivered(&gate, &app, &delivery, kind).await;
    }
}

#[tokio::test]
async fn a_forged_handshake_is_refused() {
    let app = App::start().await;
    let get = |target: &str| Sent::post(target, "").method("GET").bytes();
    let more = "handshake = true\noptions = { verify_token = \"my_verify_token\" }";
    let gate = route(&app, "meta", SECRET_TEXT, more).await;
    let challenge = |word: &str, challenge: &str| {
        get(&format!("/hook?hub.mode=subscribe&hub.verify_token={word}&hub.challenge={challenge}"))
    };
    let long = "a".repeat(513);
    let with_body = Sent::post("/hook?hub.mode=subscribe&hub.verify_token=my_verify_token&hub.challenge=1", "a");
    let cases = [
        (challenge("another", "1158201444"), 401, "signature_mismatch", "the wrong word".to_owned()),
        (challenge("", "1158201444"), 401, "signature_mismatch", "no word".to_owned()),
        (challenge("my_verify_token", "%3Cscript%3E"), 405, "method_not_allowed", "markup".to_owned()),
        (challenge("my_verify_token", &long), 405, "method_not_allowed", "too long".to_owned()),
        (get("/hook?hub.mode=subscribe&hub.challenge=1"), 405, "method_not_allowed", "the word is missing".to_owned()),
        (get("/hook"), 405, "method_not_allowed", "nothing of a handshake".to_owned()),
        (with_body.clone().method("GET").bytes(), 405, "method_not_allowed", "with a body".to_owned()),
        (with_body.bytes(), 400, "header_missing", "by POST".to_owned()),
    ];
    assert_all_refused(&gate, &app, cases).await;

    let gate = route(&app, "slack", SECRET_TEXT, "handshake = true").await;
    let form = |body: &str| Sent::post("/hook", body).with("content-type", "application/x-www-form-urlencoded");
    let smuggled = format!("ssl_check=1&token=xyz&payload={}", "a".repeat(2000));
    let cases = [
        (sent(&vector("slack")).bytes(), "url_verification"),
        (form("ssl_check=0").bytes(), "another value"),
        (form("payload=1").bytes(), "another form"),
        (form("").bytes(), "no form"),
        (form(&smuggled).bytes(), "a long form"),
        (form("ssl_check=1").chunked(), "a form of unknown length"),
        (Sent::post("/hook", "ssl_check=1").with("content-type", "application/json").bytes(), "no form"),
        (form("ssl_check=1").with("x-slack-request-timestamp", now().to_string()).bytes(), "half signed"),
    ];
    let cases = cases.into_iter().map(|(sent, why)| (sent, 400, "header_missing", why.to_owned()));
    assert_all_refused(&gate, &app, cases).await;
}

/// Whoever asks X's challenge gets a MAC with the secret that signs deliveries.
#[tokio::test]
async fn what_a_challenge_makes_us_sign_is_no_delivery() {
    let app = App::start().await;
    let gate = route(&app, "twitter", "consumer_secret", "handshake = true").await;
    // Such a MAC is good for ever, and wherever the secret is.
    let silent = route(&app, "twitter", "consumer_secret", "").await;
    let signature = |body: &[u8]| format!("sha256={}", base64(&hmac(b"consumer_secret", &[body])));
    for body in ["1", "true", "challenge_string"] {
        let asked = Sent::post(format!("/hook?crc_token={body}"), "").method("GET");
        let answer: Value = serde_json::from_slice(&gate.exchange(asked.bytes()).await.body).unwrap();
        let made = answer["response_token"].as_str().unwrap();
        assert_eq!(made, signature(body.as_bytes()));
        let forged = Sent::post("/hook", body).with("x-twitter-webhooks-signature", made);
        for gate in [&gate, &silent] {
            let cases = [(forged.bytes(), 401, "signature_mismatch", body.to_owned())];
            assert_all_refused(gate, &app, cases).await;
        }
    }
    let refused = ["%7B%7D", "[1]", "a%20b"].map(|token| {
        let asked = Sent::post(format!("/hook?crc_token={token}"), "").method("GET");
        (asked.bytes(), 405, "method_not_allowed", token.to_owned())
    });
    assert_all_refused(&gate, &app, refused).await;
    let genuine = Sent::post("/hook", r#"{"for_user_id":"1"}"#);
    let genuine = genuine.clone().with("x-twitter-webhooks-signature", signature(&genuine.body));
    assert_delivered(&gate, &app, &genuine, "a delivery").await;
}

#[tokio::test]
async fn an_address_that_may_not_call_gets_no_handshake() {
    let app = App::start().await;
    for (name, provider) in [("dropbox", "dropbox"), ("slack-ssl-check", "slack"), ("twitter", "twitter")] {
        let gate = route(&app, provider, SECRET_TEXT, "handshake = true\nallow_ips = [\"203.0.113.9\"]").await;
        let cases = [(sent(&vector(name)).bytes(), 403, "ip_not_allowed", provider.to_owned())];
        assert_all_refused(&gate, &app, cases).await;
    }
}

#[tokio::test]
async fn a_handshake_keeps_the_connection_and_comes_before_the_event_filter() {
    let app = App::start().await;
    let gate = route(
        &app,
        "slack",
        SECRET_TEXT,
        "handshake = true\nallow_ips = [\"127.0.0.1\"]\nevents = [\"event_callback\"]",
    )
    .await;
    let mut stream = gate.connect().await;
    for sent in [sent(&vector("slack-ssl-check")), v0("slack", SECRET_TEXT, sent(&vector("slack")))] {
        stream.write_all(&sent.bytes()).await.unwrap();
        assert_eq!(Answer::read(&mut stream).await.status, 200, "before the event filter, on one connection");
    }
    app.assert_unreached("handshakes").await;
}
