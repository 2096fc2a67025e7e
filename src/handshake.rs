//! The gate's side of handshakes: what `check::handshake` needs to decide is read here, and what it wants called is called.
//!
//! Must never hand any part of a request on, nor call an address that a verified handshake has not named.

use std::borrow::Cow;

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use http_body::Body as _;
use hyper::body::Incoming;

use crate::budget::Charge;
use crate::check::handshake::{self, Asked, MAX_FORM, Reply};
use crate::check::signature::Verified;
use crate::documents::{Asker, Documents};
use crate::plan::Route;
use crate::receive::{Bounds, receive};
use crate::reject::Reject;
use crate::telemetry::access::Record;

/// The answer to a handshake that is nothing but a head.
///
/// # Errors
/// `signature_mismatch`: it was made for someone else.
pub(crate) fn unsigned(route: &Route, request: &Request<Incoming>) -> Option<Result<Reply, Reject>> {
    let asked = Asked { method: request.method(), query: request.uri().query(), headers: request.headers() };
    if request.body().is_end_stream() { handshake::unsigned(&route.handshakes, asked, &route.keys) } else { None }
}

/// The answer to a handshake that is a small form. Whatever else the body is, it ends here.
///
/// # Errors
/// `signature_mismatch`: it was made for someone else.
pub(crate) async fn form(
    route: &Route,
    request: Request<Incoming>,
    mut charge: Charge,
    bounds: Bounds,
    record: &mut Record,
) -> Option<Result<Reply, Reject>> {
    let (parts, body) = request.into_parts();
    let is_small = body.size_hint().exact().is_some_and(|size| size <= MAX_FORM);
    if !is_small || !handshake::may_be_a_form(&route.handshakes, asked(&parts), route.scheme.headers()) {
        return None;
    }
    let bounds = Bounds { bytes: MAX_FORM, ..bounds };
    let whole = receive(body, &mut charge, record.started, &bounds, &mut record.bytes_in).await.ok()?;
    handshake::unsigned_form(&route.handshakes, asked(&parts), &whole.frames, &route.keys)
}

/// The answer to a verified handshake, after what it asks for. `None`: it is a delivery.
///
/// # Errors
/// `signature_mismatch` for a signature that proves nothing; `handshake_failed`, with the `detail`.
pub(crate) async fn signed(
    route: &Route,
    verified: &Verified,
    parts: &Parts,
    frames: &[Bytes],
    documents: &Documents,
    detail: &mut Option<Cow<'static, str>>,
) -> Result<Option<Reply>, Reject> {
    if route.signs_for_anyone && handshake::could_be_of_our_making(frames) {
        *detail = Some("the body could be a challenge, and anyone can have a challenge signed".into());
        return Err(Reject::SignatureMismatch);
    }
    let reply = handshake::signed(&route.handshakes, asked(parts), frames, verified, &route.keys).transpose()?;
    if let Some(wanted) = reply.as_ref().and_then(|reply| reply.confirm.as_ref()) {
        // The answer to the call says nothing more than that it arrived.
        Box::pin(documents.get(wanted, Asker::Proven)).await.map_err(|error| {
            *detail = Some(error.to_string().into());
            Reject::HandshakeFailed
        })?;
    }
    Ok(reply)
}

fn asked(parts: &Parts) -> Asked<'_> {
    Asked { method: &parts.method, query: parts.uri.query(), headers: &parts.headers }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::{HeaderMap, Method, StatusCode};
    use ring::rand::SystemRandom;
    use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
    use spki::der::Document;

    use super::*;
    use crate::check::signature::{Head, Window, present, verify};
    use crate::config::{self, Environment};
    use crate::https::Https;
    use crate::https::tests::server;

    const CERTIFICATE: &[u8] = include_bytes!("../tests/data/sns/test.crt");
    const KEY: &str = include_str!("../tests/data/sns/test.key");
    const CONFIG: &str = "[routes.sns]\npath = \"/sns\"\nprovider = \"aws-sns\"\nhandshake = true\n\
                          options = { topics = \"arn:aws:sns:eu-west-1:1:T\", cert_file = \"/cert\" }\n";

    struct Files;

    impl Environment for Files {
        fn variable(&self, _: &str) -> Option<Vec<u8>> {
            None
        }
        fn variable_names(&self) -> Vec<String> {
            Vec::new()
        }
        fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
            Ok(CERTIFICATE.to_vec())
        }
    }

    /// What a genuine message of this type comes to that names this address.
    async fn ask(documents: &Documents, kind: &str, url: &str) -> Result<Option<Reply>, Reject> {
        let plan =
            config::compile(CONFIG, Path::new("test.toml"), &Files).unwrap_or_else(|report| panic!("{report}")).plan;
        let route = &plan.routes[0];
        let signed_members = [
            ("Message", "m"),
            ("MessageId", "1"),
            ("SubscribeURL", url),
            ("Timestamp", "2025-08-04T09:33:20.123Z"),
            ("Token", "t"),
            ("TopicArn", "arn:aws:sns:eu-west-1:1:T"),
            ("Type", kind),
        ];
        let content: String = signed_members.iter().flat_map(|(name, value)| [*name, "\n", *value, "\n"]).collect();
        let (_, key) = Document::from_pem(KEY).unwrap();
        let key = RsaKeyPair::from_pkcs8(key.as_bytes()).unwrap();
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), content.as_bytes(), &mut signature).unwrap();
        let mut message: serde_json::Map<String, serde_json::Value> =
            signed_members.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        message.insert("Signature".into(), STANDARD.encode(signature).into());
        message.insert("SignatureVersion".into(), "2".into());
        let certificate = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-00.pem";
        message.insert("SigningCertURL".into(), certificate.into());
        let frames = [Bytes::from(serde_json::to_vec(&message).unwrap())];

        let mut headers = HeaderMap::new();
        headers.insert("x-amz-sns-message-type", kind.parse().unwrap());
        let window = Window { now: 1_754_300_000, tolerance: 300 };
        let head = Head { method: &Method::POST, url: None, headers: &headers };
        let presented = present(&route.scheme, head, window).unwrap();
        let verified = verify(&route.scheme, &route.keys, &presented, &frames, window).unwrap();
        let (mut parts, ()) = Request::post("/sns").body(()).unwrap().into_parts();
        parts.headers = headers;
        signed(route, &verified, &parts, &frames, documents, &mut None).await
    }

    const ADDRESS: &str = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t";

    #[tokio::test]
    async fn a_subscription_is_confirmed_by_one_call() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        for _ in 0..2 {
            let reply = ask(&documents, "SubscriptionConfirmation", ADDRESS).await.unwrap().unwrap();
            assert_eq!((reply.status, reply.body), (StatusCode::OK, None));
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_call_that_fails_is_said_to_the_sender() {
        let (address, _) = server(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        let reply = ask(&documents, "SubscriptionConfirmation", ADDRESS).await;
        assert_eq!(reply, Err(Reject::HandshakeFailed));
    }

    #[tokio::test]
    async fn nothing_else_is_called() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        assert_eq!(ask(&documents, "UnsubscribeConfirmation", ADDRESS).await, Ok(None));
        for url in
            ["https://evil.example/?Action=ConfirmSubscription", "https://sns.eu-west-1.amazonaws.com/?Action=Publish"]
        {
            assert_eq!(ask(&documents, "SubscriptionConfirmation", url).await, Ok(None), "{url}");
        }
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }
}
