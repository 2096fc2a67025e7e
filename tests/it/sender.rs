//! Deliveries as senders make them, written from the vendors' specifications, and what every refusal must look like.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::harness::*;

pub const NEXT_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub const GITHUB_SECRET: &str = "It's a Secret to Everybody";
pub const STRIPE_SECRET: &str = "whsec_test_secret_of_this_endpoint";
pub const SLACK_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
pub const SHOPIFY_SECRET: &str = "hush-hush-hush-hush-hush";
pub const PLAIN_SECRET: &str = "mysecret-mysecret-mysecret";

/// One request, not yet bytes. `host` is there from the start, `content-length` comes with [`Sent::bytes`].
#[derive(Debug, Clone)]
pub struct Sent {
    pub method: String,
    pub target: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn post(target: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Self {
        Self {
            method: "POST".into(),
            target: target.as_ref().to_vec(),
            headers: vec![("host".into(), b"app.example".to_vec())],
            body: body.as_ref().to_vec(),
        }
    }

    /// A genuine Clerk delivery, signed now.
    pub fn clerk(target: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Self {
        let signed = svix_family("svix", SECRET, "msg_1", &now().to_string(), body.as_ref());
        Self::post(target, body).signed(signed)
    }

    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// One header line more.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub fn signed(mut self, headers: Headers) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name, value.into_bytes())));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self
    }

    pub fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).with(name, value)
    }

    pub fn value(&self, name: &str) -> Vec<u8> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).unwrap().1.clone()
    }

    /// Request line and header lines, without the empty line.
    pub fn head(&self) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes
    }

    /// With `more` header lines, each ending in CRLF, as they are.
    pub fn framed(&self, more: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
        [&self.head(), more.as_bytes(), b"\r\n", body.as_ref()].concat()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.framed(&format!("content-length: {}\r\n", self.body.len()), &self.body)
    }

    /// The same in one chunk.
    pub fn chunked(&self) -> Vec<u8> {
        let body = [format!("{:x}\r\n", self.body.len()).as_bytes(), &self.body, b"\r\n0\r\n\r\n"].concat();
        self.framed("transfer-encoding: chunked\r\n", body)
    }
}

pub type Headers = Vec<(String, String)>;

fn headers(pairs: &[(&str, String)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// `svix-*` or `webhook-*`: id, timestamp, `v1,<base64>`.
pub fn svix_family(family: &str, secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Headers {
    let signature = svix_signature(secret, id, timestamp, body);
    let name = |part: &str| format!("{family}-{part}");
    vec![(name("id"), id.into()), (name("timestamp"), timestamp.into()), (name("signature"), signature)]
}

pub fn ed25519() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Standard Webhooks' asymmetric form.
pub fn v1a(key: &SigningKey, id: &str, timestamp: &str, body: &[u8]) -> String {
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    format!("v1a,{}", base64(&key.sign(&content).to_bytes()))
}

fn standard(timestamp: &str, body: &[u8]) -> Headers {
    svix_family("webhook", SECRET, "msg_1", timestamp, body)
}

fn standard_v1a(timestamp: &str, body: &[u8]) -> Headers {
    let signature = v1a(&ed25519(), "msg_1", timestamp, body);
    headers(&[
        ("webhook-id", "msg_1".into()),
        ("webhook-timestamp", timestamp.into()),
        ("webhook-signature", signature),
    ])
}

fn svix(timestamp: &str, body: &[u8]) -> Headers {
    svix_family("svix", SECRET, "msg_1", timestamp, body)
}

fn github(_: &str, body: &[u8]) -> Headers {
    headers(&[
        ("x-hub-signature-256", format!("sha256={}", hex(&hmac(GITHUB_SECRET.as_bytes(), &[body])))),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958".into()),
        ("x-github-event", "push".into()),
    ])
}

pub fn stripe_mac(timestamp: &str, body: &[u8]) -> String {
    hex(&hmac(STRIPE_SECRET.as_bytes(), &[timestamp.as_bytes(), b".", body]))
}

fn stripe(timestamp: &str, body: &[u8]) -> Headers {
    headers(&[("stripe-signature", format!("t={timestamp},v1={}", stripe_mac(timestamp, body)))])
}

fn slack(timestamp: &str, body: &[u8]) -> Headers {
    let mac = hmac(SLACK_SECRET.as_bytes(), &[b"v0:", timestamp.as_bytes(), b":", body]);
    headers(&[("x-slack-signature", format!("v0={}", hex(&mac))), ("x-slack-request-timestamp", timestamp.into())])
}

fn shopify_old(_: &str, body: &[u8]) -> Headers {
    headers(&[
        ("x-shopify-hmac-sha256", base64(&hmac(SHOPIFY_SECRET.as_bytes(), &[body]))),
        ("x-shopify-topic", "orders/create".into()),
        ("x-shopify-shop-domain", "shop.myshopify.com".into()),
        ("x-shopify-api-version", "2026-01".into()),
        ("x-shopify-webhook-id", "w-1".into()),
    ])
}

fn shopify_new(_: &str, body: &[u8]) -> Headers {
    headers(&[
        ("shopify-hmac-sha256", base64(&hmac(SHOPIFY_SECRET.as_bytes(), &[body]))),
        ("shopify-topic", "orders/create".into()),
        ("shopify-shop-domain", "shop.myshopify.com".into()),
        ("shopify-api-version", "2026-01".into()),
        ("shopify-event-id", "e-1".into()),
    ])
}

fn plain_hex(_: &str, body: &[u8]) -> Headers {
    headers(&[("clerk-signature", hex(&hmac(PLAIN_SECRET.as_bytes(), &[body])))])
}

fn custom_stamped(timestamp: &str, body: &[u8]) -> Headers {
    let mac = hmac(PLAIN_SECRET.as_bytes(), &[b"acme|msg_1|", timestamp.as_bytes(), b"|", body]);
    headers(&[
        ("acme-signature", format!("hmac:{}", base64(&mac))),
        ("acme-time", timestamp.into()),
        ("acme-id", "msg_1".into()),
    ])
}

/// One way of signing, at a route of its own behind [`all_schemes`].
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    pub name: &'static str,
    pub path: &'static str,
    /// What `verified-event` says.
    pub provider: &'static str,
    /// Timestamp and body to headers.
    pub sign: fn(&str, &[u8]) -> Headers,
    /// Headers without which there is no proof. The first holds the signature.
    pub needed: &'static [&'static str],
    /// The header with nothing but the time.
    pub timestamp: Option<&'static str>,
    /// Headers whose value is only an id or a type: bounded to 256 bytes.
    pub id: Option<&'static str>,
}

impl Sender {
    pub fn genuine(&self, body: impl AsRef<[u8]>) -> Sent {
        self.at(&now().to_string(), body)
    }

    pub fn at(&self, timestamp: &str, body: impl AsRef<[u8]>) -> Sent {
        Sent::post(self.path, &body).signed((self.sign)(timestamp, body.as_ref()))
    }
}

const WEBHOOK: &[&str] = &["webhook-signature", "webhook-timestamp", "webhook-id"];
const SVIX: &[&str] = &["svix-signature", "svix-timestamp", "svix-id"];

#[rustfmt::skip]
pub const SENDERS: &[Sender] = &[
    Sender { name: "clerk", path: "/hooks/clerk", provider: "clerk", sign: svix, needed: SVIX, timestamp: Some("svix-timestamp"), id: Some("svix-id") },
    Sender { name: "svix", path: "/hooks/svix", provider: "svix", sign: svix, needed: SVIX, timestamp: Some("svix-timestamp"), id: Some("svix-id") },
    Sender { name: "svix, white-labelled", path: "/hooks/svix", provider: "svix", sign: standard, needed: WEBHOOK, timestamp: Some("webhook-timestamp"), id: Some("webhook-id") },
    Sender { name: "standard-webhooks", path: "/hooks/standard", provider: "standard-webhooks", sign: standard, needed: WEBHOOK, timestamp: Some("webhook-timestamp"), id: Some("webhook-id") },
    Sender { name: "standard-webhooks v1a", path: "/hooks/standard", provider: "standard-webhooks", sign: standard_v1a, needed: WEBHOOK, timestamp: Some("webhook-timestamp"), id: Some("webhook-id") },
    Sender { name: "github", path: "/hooks/github", provider: "github", sign: github, needed: &["x-hub-signature-256"], timestamp: None, id: None },
    Sender { name: "stripe", path: "/hooks/stripe", provider: "stripe", sign: stripe, needed: &["stripe-signature"], timestamp: None, id: None },
    Sender { name: "slack", path: "/hooks/slack", provider: "slack", sign: slack, needed: &["x-slack-signature", "x-slack-request-timestamp"], timestamp: Some("x-slack-request-timestamp"), id: None },
    Sender { name: "shopify", path: "/hooks/shopify", provider: "shopify", sign: shopify_old, needed: &["x-shopify-hmac-sha256", "x-shopify-topic", "x-shopify-shop-domain", "x-shopify-api-version", "x-shopify-webhook-id"], timestamp: None, id: None },
    Sender { name: "shopify events", path: "/hooks/shopify", provider: "shopify", sign: shopify_new, needed: &["shopify-hmac-sha256", "shopify-topic", "shopify-shop-domain", "shopify-api-version", "shopify-event-id"], timestamp: None, id: None },
    Sender { name: "plain-hex", path: "/hooks/legacy", provider: "plain-hex", sign: plain_hex, needed: &["clerk-signature"], timestamp: None, id: None },
    Sender { name: "acme", path: "/hooks/acme", provider: "acme", sign: custom_stamped, needed: &["acme-signature", "acme-time", "acme-id"], timestamp: Some("acme-time"), id: Some("acme-id") },
];

pub fn sender(name: &str) -> Sender {
    *SENDERS.iter().find(|sender| sender.name == name).unwrap()
}

/// A gate with a route for every sender, and `more` TOML before the routes.
pub async fn all_schemes(app: &App, more: &str) -> Gate {
    let public = base64(ed25519().verifying_key().as_bytes());
    Gate::with(&format!(
        r#"
[server]
listen = "127.0.0.1:0"
upstream = "http://{}"
{more}
[routes.clerk]
path = "/hooks/clerk"
provider = "clerk"
secrets = [{{ label = "current", insecure_value = "{SECRET}" }}, {{ label = "next", insecure_value = "{NEXT_SECRET}" }}]
[routes.svix]
path = "/hooks/svix"
provider = "svix"
secrets = [{{ insecure_value = "{SECRET}" }}]
[routes.standard]
path = "/hooks/standard"
provider = "standard-webhooks"
secrets = [{{ label = "shared", insecure_value = "v1,{SECRET}" }}, {{ label = "public", insecure_value = "whpk_{public}" }}]
[routes.public]
path = "/hooks/public"
provider = "standard-webhooks"
secrets = [{{ label = "public", insecure_value = "whpk_{public}" }}]
[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{{ insecure_value = "{GITHUB_SECRET}" }}]
[routes.stripe]
path = "/hooks/stripe"
provider = "stripe"
secrets = [{{ insecure_value = "{STRIPE_SECRET}" }}]
[routes.slack]
path = "/hooks/slack"
provider = "slack"
secrets = [{{ insecure_value = "{SLACK_SECRET}" }}]
[routes.shopify]
path = "/hooks/shopify"
provider = "shopify"
secrets = [{{ insecure_value = "{SHOPIFY_SECRET}" }}]
[routes.legacy]
path = "/hooks/legacy"
scheme = "plain-hex"
secrets = [{{ insecure_value = "{PLAIN_SECRET}" }}]
[routes.acme]
path = "/hooks/acme"
scheme = "acme"
secrets = [{{ insecure_value = "{PLAIN_SECRET}" }}]
[schemes.plain-hex]
algorithm = "hmac-sha256"
signature = {{ header = "clerk-signature", encoding = "hex" }}
content = "{{body}}"
[schemes.acme]
signature = {{ header = "acme-signature", prefix = "hmac:", encoding = "base64" }}
timestamp = {{ header = "acme-time" }}
id = {{ header = "acme-id" }}
content = "acme|{{id}}|{{timestamp}}|{{body}}"
"#,
        app.addr
    ))
    .await
}

/// What a sender must see of a refusal: all of it, as problem+json, and never what a proxy says to a browser.
#[track_caller]
pub fn assert_refusal(answer: &Answer, status: u16, code: &str, why: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{why}: {}{:.300}", answer.head, answer.text());
    assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"), "{why}: {answer:?}");
    assert_eq!(answer.header("content-length").unwrap(), answer.body.len().to_string(), "{why}: cut off: {answer:?}");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["status"], status, "{why}");
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{why}: {body}");
    assert!(body["request_id"].as_str().is_some_and(|id| id.len() == 16), "{why}: {body}");
    assert_eq!(status == 503, answer.header("retry-after").is_some(), "{why}: {answer:?}");
    assert_eq!(status == 405, answer.header("allow").is_some(), "{why}: {answer:?}");
}

/// One case after the other, each on a connection of its own; the app hears of none.
pub async fn assert_all_refused<B: AsRef<[u8]>>(
    gate: &Gate,
    app: &App,
    cases: impl IntoIterator<Item = (B, u16, &str, String)>,
) {
    let before = app.seen().len();
    let mut count = 0;
    for (sent, status, code, why) in cases {
        let answer = gate.exchange(sent).await;
        assert_refusal(&answer, status, code, &why);
        assert_eq!(app.seen().len(), before, "reached the app: {why}");
        count += 1;
    }
    assert!(count > 0, "no case");
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    assert_eq!(app.seen().len(), before, "reached the app in the end: {:?}", app.seen());
}

/// Sends a delivery that must arrive as it is; what the app saw.
pub async fn assert_delivered(gate: &Gate, app: &App, sent: &Sent, why: &str) -> Recorded {
    let before = app.seen().len();
    let answer = gate.exchange(sent.bytes()).await;
    assert_eq!(answer.status, 200, "{why}: {answer:?}");
    let seen = app.seen();
    assert_eq!(seen.len(), before + 1, "{why}");
    let last = seen.last().unwrap().clone();
    assert_eq!((last.body.as_ref(), last.target.as_bytes()), (sent.body.as_slice(), sent.target.as_slice()), "{why}");
    assert_eq!(last.headers.get_all("verified-event").iter().count(), 1, "{why}");
    last
}

pub fn event(seen: &Recorded) -> &str {
    seen.headers.get("verified-event").unwrap().to_str().unwrap()
}
