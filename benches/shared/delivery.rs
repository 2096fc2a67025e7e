//! A route with one secret and a genuine delivery to it, for the benchmarks and for the test that counts allocations.

use std::hint::black_box;

use bytes::Bytes;
use hookward::check::signature::{
    Delivery, Failure, Head, LabeledKey, Options, Scheme, Signer, Verified, Window, present, sign_as, verify,
};
use hookward::providers::Catalog;
use http::{HeaderMap, Method};

const NOW: u64 = 1_800_000_000;
/// Bytes of a chunk of the body.
const CHUNK: usize = 16 << 10;
/// A secret of Standard Webhooks' form, which Stripe takes as well.
pub(crate) const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A provider with one secret, and a delivery that it has signed.
pub(crate) struct Route {
    scheme: Scheme,
    keys: [LabeledKey; 1],
    headers: HeaderMap,
    pub(crate) body: Vec<Bytes>,
}

impl Route {
    /// `signing` is the secret, or its private half.
    pub(crate) fn new(provider: &str, secret: &str, signing: &str, length: usize) -> Self {
        let catalog = Catalog::load().unwrap();
        let spec = catalog.scheme(provider).unwrap();
        let scheme = Scheme::compile(provider, spec, &Options::new()).unwrap();
        let (begin, end) = (r#"{"id":"evt_1","type":"user.created","data":""#, r#""}"#);
        let body = format!("{begin}{}{end}", "a".repeat(length.saturating_sub(begin.len().saturating_add(end.len()))));
        let sent = HeaderMap::new();
        let delivery = Delivery {
            id: "msg_2xJqT0kVbXW5g3o8c1Z",
            timestamp: NOW,
            method: &Method::POST,
            url: None,
            headers: &sent,
            body: body.as_bytes(),
        };
        let signer = Signer::new(&scheme, spec, signing.as_bytes()).unwrap();
        let headers = sign_as(&scheme, &signer, &delivery).unwrap().headers.into_iter().collect();
        let keys = [LabeledKey { label: "current".into(), key: scheme.key(secret.as_bytes()).unwrap().0 }];
        let body = body.as_bytes().chunks(CHUNK).map(Bytes::copy_from_slice).collect();
        Self { scheme, keys, headers, body }
    }

    pub(crate) fn judge(&self) -> Result<Verified, Failure> {
        let window = Window { now: NOW, tolerance: 300 };
        let head = Head { method: &Method::POST, url: None, headers: black_box(&self.headers) };
        let presented = present(&self.scheme, head, window)?;
        verify(&self.scheme, &self.keys, &presented, black_box(&self.body), window)
    }
}
