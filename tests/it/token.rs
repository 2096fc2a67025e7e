//! `verified-event-token`: there on every verified delivery, checkable with the key, and never anybody else's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::*;
use crate::runs::*;
use crate::sender::*;

pub const KEY: &str = "an HS256 key of these tests, long enough";
const HS256: &str = "[verified_event.token]\nkey = { insecure_value = \"an HS256 key of these tests, long enough\" }\n";
const EDDSA: &str = "[verified_event.token]\nalgorithm = \"EdDSA\"\naudience = \"shop\"\nissuer = \"gate\"\nttl = \"5m\"\n\
    key = { insecure_value = \"\"\"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAZ+d8FL/JgWpMS6XJ/AofCNYSa7iyK6/oNo+bJUMSbn\n\
    -----END PRIVATE KEY-----\"\"\" }\n";
/// As `openssl pkey -pubout` gives it for the key above.
const PUBLIC: &str = "VVMUnQXl2ZYSQJLB+LgRYIIQHygydxA1NW9l3v9x5a0";
const NAME: &str = "verified-event-token";
/// As other software may read the name.
const SPELLINGS: &[&str] =
    &[NAME, "Verified-Event-Token", "verified_event_token", "VERIFIED_EVENT-TOKEN", "verified.event.token"];

pub fn token(seen: &Recorded) -> String {
    let all: Vec<_> = seen.headers.get_all(NAME).iter().collect();
    assert_eq!(all.len(), 1, "{:?}", seen.headers);
    all[0].to_str().unwrap().to_owned()
}

/// Header and claims of a token that was made with `key`.
pub fn opened(token: &str, key: &str) -> Option<(Value, Value)> {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let expected = hmac(key.as_bytes(), &[message.as_bytes()]);
    (URL_SAFE_NO_PAD.decode(signature).unwrap() == expected).then(|| parts(message))
}

fn parts(message: &str) -> (Value, Value) {
    let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    (part(header), part(claims))
}

fn sha256(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

fn no_proof(seen: &Recorded) -> bool {
    seen.headers.keys().all(|name| !name.as_str().replace(['_', '.'], "-").starts_with("verified-event"))
}

#[tokio::test]
async fn a_delivery_brings_a_token_that_the_key_opens_and_that_names_its_body() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, HS256).await;
    let before = now();
    assert_eq!(gate.exchange(genuine(BODY, "connection: close\r\n")).await.status, 200);
    let seen = app.only();
    let (header, claims) = opened(&token(&seen), KEY).unwrap();
    assert_eq!(header, json!({ "alg": "HS256", "typ": "JWT" }));
    let iat = claims["iat"].as_u64().unwrap();
    assert!((before..=now()).contains(&iat), "{iat}");
    let signed = claims["timestamp"].as_u64().unwrap();
    assert!((before..=iat).contains(&signed), "{signed}");
    let jti = claims["jti"].as_str().unwrap();
    assert!(jti.len() == 32 && jti.bytes().all(|byte| byte.is_ascii_hexdigit()), "{jti}");
    assert_eq!(
        claims,
        json!({
            "iss": "hookward", "aud": "app", "iat": iat, "exp": iat + 60, "jti": jti, "id": "msg_1",
            "type": "user.created", "provider": "clerk", "route": "clerk", "secret": "current", "timestamp": signed,
            "body_sha256": sha256(BODY.as_bytes()),
        })
    );
    assert_eq!(opened(&token(&seen), "another key of these tests, long enough"), None);
    let event = seen.headers["verified-event"].to_str().unwrap();
    assert_eq!(
        event,
        format!(
            "id=\"msg_1\", type=\"user.created\", provider=\"clerk\", route=\"clerk\", secret=\"current\", timestamp={signed}"
        )
    );
}

#[tokio::test]
async fn an_eddsa_token_is_for_whom_the_configuration_says() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, EDDSA).await;
    assert_eq!(gate.exchange(genuine(BODY, "connection: close\r\n")).await.status, 200);
    let token = token(&app.only());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = parts(message);
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "JWT" }));
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!((&claims["aud"], &claims["iss"], lifetime), (&json!("shop"), &json!("gate"), 300));
    let public = base64::engine::general_purpose::STANDARD_NO_PAD.decode(PUBLIC).unwrap();
    let public = VerifyingKey::from_bytes(public.as_slice().try_into().unwrap()).unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    assert!(public.verify_strict(message.as_bytes(), &signature).is_ok());
}

#[tokio::test]
async fn the_hash_is_that_of_the_body_however_it_came() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, HS256).await;
    for body in ["{}".to_owned(), format!("{{\"type\":\"x\",\"data\":\"{}\"}}", "a".repeat(300_000))] {
        let sent = Sent::clerk(PATH, &body).with("connection", "close");
        let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
        let (first, rest) = body.split_at(1);
        let chunks = [chunk(first), chunk(rest), "0\r\n\r\n".to_owned()].concat();
        for bytes in [sent.bytes(), sent.framed("transfer-encoding: chunked\r\n", chunks)] {
            let before = app.seen().len();
            assert_eq!(gate.exchange(bytes).await.status, 200);
            let (_, claims) = opened(&token(&app.seen()[before]), KEY).unwrap();
            assert_eq!(claims["body_sha256"], sha256(body.as_bytes()));
        }
    }
}

#[tokio::test]
async fn what_the_signature_does_not_cover_is_not_in_the_token() {
    let app = App::start().await;
    let github = "[routes.github]\npath = \"/github\"\nprovider = \"github\"\nsecrets = [{ label = \"main\", \
                  insecure_value = \"It's a Secret to Everybody\" }]\n";
    let gitlab = "[routes.gitlab]\npath = \"/gitlab\"\nprovider = \"gitlab\"\nsecrets = [{ insecure_value = \
                  \"a-token-of-gitlab-long-enough\" }]\n";
    let gate = Gate::start(app.addr, &[HS256, github, gitlab].concat()).await;
    let signature = format!("sha256={}", hex(&hmac(GITHUB_SECRET.as_bytes(), &[BODY.as_bytes()])));
    let sent = Sent::post("/github", BODY)
        .with("connection", "close")
        .with("x-github-event", "push")
        .with("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
        .with("x-hub-signature-256", signature);
    let answer = gate.exchange(sent.bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = app.only();
    assert!(seen.headers["verified-event"].to_str().unwrap().contains("type=\"push\";unsigned"));
    let (_, claims) = opened(&token(&seen), KEY).unwrap();
    let mut names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["aud", "body_sha256", "exp", "iat", "iss", "jti", "provider", "route", "secret"]);
    assert_eq!((&claims["route"], &claims["secret"]), (&json!("github"), &json!("main")));

    // A sender that signs nothing of the body.
    let sent =
        Sent::post("/gitlab", BODY).with("connection", "close").with("x-gitlab-token", "a-token-of-gitlab-long-enough");
    let answer = gate.exchange(sent.bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (_, claims) = opened(&token(&app.seen()[1]), KEY).unwrap();
    assert_eq!(claims["proof"], "token");
}

#[tokio::test]
async fn a_token_that_a_client_sends_ends_here() {
    let app = App::start().await;
    for more in [HS256, ""] {
        let gate = Gate::start(app.addr, more).await;
        for name in SPELLINGS {
            let before = app.seen().len();
            let page = Sent::post("/page", BODY).with("connection", "close").with(name, "eyJ.forged.x");
            assert_eq!(gate.exchange(page.bytes()).await.status, 200);
            assert!(no_proof(&app.seen()[before]), "{name}: {:?}", app.seen()[before].headers);

            let delivery = Sent::clerk(PATH, BODY).with("connection", "close").with(name, "eyJ.forged.x");
            assert_eq!(gate.exchange(delivery.bytes()).await.status, 200);
            let seen = &app.seen()[before + 1];
            assert!(!format!("{:?}", seen.headers).contains("forged"), "{name}");
            if more.is_empty() {
                assert!(!seen.headers.contains_key(NAME));
            } else {
                assert!(opened(&token(seen), KEY).is_some());
            }
        }
    }
}

#[tokio::test]
async fn nothing_unverified_has_a_token_and_nobody_can_have_ours_dropped() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, HS256).await;
    assert_eq!(gate.exchange(get("/page", "connection: close\r\n")).await.status, 200);
    assert!(no_proof(&app.only()));
    let forged = Sent::clerk(PATH, BODY).set("svix-id", "msg_2").with("connection", "close");
    assert_eq!(gate.exchange(forged.bytes()).await.status, 401);
    let dropped = Sent::clerk(PATH, BODY).with("connection", "close, verified-event-token");
    assert_eq!(gate.exchange(dropped.bytes()).await.status, 400);
    assert_eq!(app.seen().len(), 1, "neither reached the app");
}

#[tokio::test]
async fn every_attempt_has_a_token_of_its_own() {
    let app = App::start().await;
    let gate = Gate::start(app.addr, HS256).await;
    let attempt = genuine(BODY, "connection: close\r\n");
    for _ in 0..2 {
        assert_eq!(gate.exchange(&attempt).await.status, 200);
    }
    let jti = |at: usize| opened(&token(&app.seen()[at]), KEY).unwrap().1["jti"].clone();
    assert_ne!(jti(0), jti(1));
}

/// As long as it says, from when the app gets it: the one before may have taken its time.
#[tokio::test]
async fn one_that_waited_for_its_turn_brings_a_token_as_fresh_as_any() {
    let app = Worker::start().await;
    let gate = Gate::deduping(app.addr, HS256).await;
    let first = asked(gate.addr, &asking("msg_1", "delay=2100 status=500"));
    app.wait_begun(1).await;
    let second = asked(gate.addr, &asking("msg_1", ""));
    assert_eq!(first.await.unwrap().status(), 500);
    assert_eq!(second.await.unwrap().status(), 200);
    app.assert_begun(2);
    let [one, two] = [0, 1].map(|index| {
        let token = app.runs()[index].request.header(NAME).unwrap().to_owned();
        opened(&token, KEY).unwrap().1["iat"].as_u64().unwrap()
    });
    assert!(two >= one + 2, "{one} {two}");
}
