//! A delivery, what the sender did, and what arrived.

use std::fmt::Write;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::super::*;
use crate::providers::Catalog;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::load().unwrap());

pub(super) const NOW: u64 = 1_700_000_000;
pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The bytes of [`SECRET`].
pub(super) const KEY: &[u8] =
    b"\x31\xf2\x90\xf6\xbf\x06\x29\x8a\xab\x4f\x08\xd4\x3c\x3f\x08\x2c\xf6\x48\xa3\x62\xda\x2d\xa4\xb0";
pub(super) const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(super) const PLAIN: &str = "It's a Secret to Everybody, 1234";
pub(super) const BODY: &[u8] = br#"{"type":"user.created","data":{"id":"user_1"}}"#;

pub(super) struct Case {
    pub(super) name: String,
    pub(super) spec: SchemeSpec,
    pub(super) secrets: Vec<(String, Vec<u8>)>,
    pub(super) others: Vec<(String, Vec<u8>)>,
    pub(super) options: Options,
    /// What other routes are for: of each, only the scheme and the secrets count.
    pub(super) elsewhere: Vec<Case>,
    pub(super) headers: HeaderMap,
    pub(super) url: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) window: Window,
    /// What the sender signs with.
    pub(super) key: Vec<u8>,
    /// What a thief would like to read.
    pub(super) signatures: Vec<String>,
    pub(super) catalog: bool,
}

impl Case {
    fn new(name: &str, spec: SchemeSpec, secret: &[u8], key: &[u8], body: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            spec,
            secrets: vec![("current".to_owned(), secret.to_vec())],
            others: Vec::new(),
            options: Options::new(),
            elsewhere: Vec::new(),
            headers: HeaderMap::new(),
            url: None,
            body: body.to_vec(),
            window: Window { now: NOW, tolerance: 300 },
            key: key.to_vec(),
            signatures: Vec::new(),
            catalog: false,
        }
    }

    /// Svix, in time, with this key.
    pub(super) fn svix(key: &[u8]) -> Self {
        Self::svix_body(key, NOW, BODY, BODY)
    }

    pub(super) fn svix_body(key: &[u8], time: u64, signed: &[u8], received: &[u8]) -> Self {
        Self::svix_time(key, &time.to_string(), signed, received)
    }

    pub(super) fn svix_time(key: &[u8], time: &str, signed: &[u8], received: &[u8]) -> Self {
        let mut case = Self::new("svix", provider("svix"), SECRET.as_bytes(), key, received);
        let signature = svix_signature(key, "msg_1", time, signed);
        case.headers([("svix-id", "msg_1"), ("svix-timestamp", time), ("svix-signature", &signature)]);
        case.signatures.push(signature);
        case
    }

    /// GitHub: the body alone, the secret's text as the key.
    pub(super) fn github(signed: &[u8], received: &[u8]) -> Self {
        Self::github_with(PLAIN.as_bytes(), PLAIN.as_bytes(), signed, received)
    }

    pub(super) fn github_with(secret: &[u8], key: &[u8], signed: &[u8], received: &[u8]) -> Self {
        let mut case = Self::new("github", provider("github"), secret, key, received);
        let signature = hex(&sha256(key, signed));
        case.headers([("x-hub-signature-256", format!("sha256={signature}").as_str())]);
        case.signatures.push(signature);
        case
    }

    /// Stripe: pairs, the secret with its prefix as the key.
    pub(super) fn stripe(key: &[u8], header: impl Fn(&str) -> String) -> Self {
        let mut case = Self::new("stripe", provider("stripe"), SECRET.as_bytes(), key, BODY);
        let signature = hex(&sha256(key, &[NOW.to_string().as_bytes(), b".", BODY].concat()));
        case.headers([("stripe-signature", header(&signature).as_str())]);
        case.signatures.push(signature);
        case
    }

    /// One of the providers of tokens, with [`PLAIN`] as its secret; `before` stands before the token.
    pub(super) fn token(name: &str, claims: &serde_json::Value, body: &[u8], before: &str) -> Self {
        let spec = provider(name);
        let header = spec.signature.as_ref().unwrap().header.all()[0].clone();
        let mut case = Self::new(name, spec, PLAIN.as_bytes(), PLAIN.as_bytes(), body);
        let parts = [r#"{"alg":"HS256"}"#.to_owned(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = parts.join(".");
        let signature = URL_SAFE_NO_PAD.encode(sha256(PLAIN.as_bytes(), signed.as_bytes()));
        case.headers([(header.as_str(), format!("{before}{signed}.{signature}").as_str())]);
        case.signatures.push(signature);
        case
    }

    pub(super) fn with_option(mut self, name: &str, value: &str) -> Self {
        self.options.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn with_url(mut self, url: &str) -> Self {
        self.url = Some(url.to_owned());
        self
    }

    /// A scheme of the test's own, whose one header is `x-test-signature`.
    pub(super) fn custom(scheme: &str, key: &[u8], signature: &str) -> Self {
        let spec = toml::from_str(scheme).unwrap();
        let mut case = Self::new("custom", spec, PLAIN.as_bytes(), key, BODY);
        case.headers([("x-test-signature", signature)]);
        case.signatures.push(signature.to_owned());
        case
    }

    pub(super) fn headers<const N: usize>(&mut self, lines: [(&str, &str); N]) {
        for (name, value) in lines {
            let name = HeaderName::try_from(name).unwrap();
            self.headers.insert(name, HeaderValue::try_from(value).unwrap());
        }
    }

    pub(super) fn with_headers<const N: usize>(mut self, lines: [(&str, &str); N]) -> Self {
        self.headers(lines);
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        assert!(self.headers.remove(name).is_some());
        self
    }

    pub(super) fn with_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets = vec![("current".to_owned(), secret.as_ref().to_vec())];
        self
    }

    pub(super) fn with_catalog(mut self) -> Self {
        self.catalog = true;
        self
    }

    /// The diagnosis, which may ask `limit` times, and how often it asked.
    pub(super) fn limited(&self, limit: usize) -> (Vec<Hypothesis>, usize) {
        let entries: Vec<(&str, &SchemeSpec)> =
            CATALOG.names().filter_map(|name| Some((name, CATALOG.scheme(name)?))).collect();
        let secrets = named(&self.secrets);
        let others = named(&self.others);
        let elsewhere: Vec<_> = self.elsewhere.iter().map(|case| (case, named(&case.secrets))).collect();
        let routes: Vec<_> = elsewhere
            .iter()
            .map(|(case, secrets)| OtherRoute {
                name: "there",
                path: "/there",
                provider: &case.name,
                spec: &case.spec,
                options: &case.options,
                secrets,
            })
            .collect();
        let suspect = Suspect {
            name: &self.name,
            route: Some("here"),
            spec: &self.spec,
            options: &self.options,
            secrets: &secrets,
            others: &others,
            routes: &routes,
            catalog: if self.catalog { &entries } else { &[] },
            head: Head { method: &Method::POST, url: self.url.as_deref(), headers: &self.headers },
            body: &self.body,
            window: self.window,
        };
        let mut asked = 0;
        let found = diagnose(&suspect, &mut || {
            asked = usize::saturating_add(asked, 1);
            asked <= limit
        });
        (found, asked)
    }

    pub(super) fn counted(&self) -> (Vec<Hypothesis>, usize) {
        self.limited(usize::MAX)
    }

    pub(super) fn diagnosed(&self) -> Vec<Hypothesis> {
        self.counted().0
    }

    pub(super) fn codes(&self) -> Vec<&'static str> {
        self.diagnosed().into_iter().map(|found| found.code).collect()
    }

    /// What may be in no text.
    pub(super) fn hidden(&self) -> Vec<Vec<u8>> {
        let secrets = self.secrets.iter().chain(&self.others).map(|(_, text)| text.clone());
        let signatures = self.signatures.iter().map(|signature| signature.clone().into_bytes());
        let query = self.url.iter().filter_map(|url| url.split_once('?')).map(|(_, query)| query.as_bytes().to_vec());
        let headers = self.headers.values().map(|value| value.as_bytes().to_vec()).filter(|value| value.len() > 40);
        secrets.chain(signatures).chain(query).chain(headers).chain([self.key.clone()]).collect()
    }
}

fn named(secrets: &[(String, Vec<u8>)]) -> Vec<NamedSecret<'_>> {
    secrets.iter().map(|(name, text)| NamedSecret { name, text }).collect()
}

pub(super) fn provider(name: &str) -> SchemeSpec {
    CATALOG.scheme(name).unwrap().clone()
}

pub(super) fn svix_signature(key: &[u8], id: &str, time: &str, body: &[u8]) -> String {
    let content = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    format!("v1,{}", STANDARD.encode(sha256(key, &content)))
}

macro_rules! hash {
    ($name:ident, $hash:ty) => {
        pub(super) fn $name(key: &[u8], content: &[u8]) -> Vec<u8> {
            let mut mac = Hmac::<$hash>::new_from_slice(key).unwrap();
            mac.update(content);
            mac.finalize().into_bytes().to_vec()
        }
    };
}
hash!(sha1, Sha1);
hash!(sha256, Sha256);
hash!(sha512, Sha512);

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
