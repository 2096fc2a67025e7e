//! Secrets, options and deliveries that fit any entry of the catalogue, for tests and fuzzing alone.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Catalog, samples};
use crate::check::signature::scheme::{Algorithm, Engine, KeyEncoding, SchemeSpec};
use crate::check::signature::{
    Delivery, Failure, Head, LabeledKey, Options, Scheme, SignProblem, Signed, Signer, Verified, Window, present,
    sign_as, verify, write_time,
};

/// The time of every example, unix seconds.
pub(crate) const NOW: u64 = 1_800_000_000;
/// The address of every example.
pub(crate) const URL: &str = "https://app.example.com/api/webhooks/example";

/// A public key of the Ed25519 key pair whose seed is thirty-two times 7.
fn ed25519() -> [u8; 32] {
    ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A secret that a scheme takes, as a receiver configures it.
pub(crate) fn secret(spec: &SchemeSpec) -> String {
    const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    let bytes = match spec.algorithm {
        Algorithm::Ed25519 => ed25519().to_vec(),
        _shared => b"an example of a secret, 32 bytes".to_vec(),
    };
    let text = match spec.key.encoding {
        KeyEncoding::Utf8 | KeyEncoding::Utf8Nfkd => "an example of a secret, 32 bytes".to_owned(),
        KeyEncoding::Base64 => base64(&bytes),
        KeyEncoding::Hex => hex(&bytes),
        KeyEncoding::Spki => P256.to_owned(),
    };
    let text = if spec.engine == Engine::Jwt || spec.algorithm == Algorithm::Token {
        text.replace([' ', ','], "_")
    } else {
        text
    };
    format!("{}{text}", spec.key.prefixes.first().map_or("", String::as_str))
}

/// What the sender signs with: the secret, or the private half of the key pair.
pub(crate) fn signing_secret(spec: &SchemeSpec) -> String {
    if spec.algorithm == Algorithm::Ed25519 { format!("whsk_{}", base64(&[7; 32])) } else { secret(spec) }
}

/// The options that a route has to have.
pub(crate) fn options(spec: &SchemeSpec) -> Options {
    let value = |name: &str| match name {
        "alg" => "hmac-sha256",
        "topics" => "arn:aws:sns:us-west-2:123456789012:MyTopic",
        _ => "example",
    };
    let required = spec.options.iter().filter(|(name, option)| option.required || *name == "topics");
    required.map(|(name, _)| (name.clone(), value(name).to_owned())).collect()
}

/// Whether receivers of this entry can sign.
pub(crate) fn is_signable(spec: &SchemeSpec) -> bool {
    spec.engine != Engine::AwsSns && !matches!(spec.algorithm, Algorithm::EcdsaP256 | Algorithm::RsaSha256)
}

/// A sample's body, sent at [`NOW`].
pub(crate) fn body(catalog: &Catalog, name: &str) -> Vec<u8> {
    let sample = &catalog.get(name).unwrap().sample;
    let sample = samples::of(name).first().map_or(sample.as_str(), |(_, body)| body);
    let time = catalog.scheme(name).and_then(|spec| spec.timestamp.as_ref());
    if let Some((time, path)) = time.and_then(|time| Some((time, time.json.as_deref()?)))
        && let Ok(mut value) = serde_json::from_str::<serde_json::Value>(sample)
    {
        let text = write_time(NOW, time.unit);
        let member = value.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap();
        *member = if member.is_number() { text.parse::<u64>().unwrap().into() } else { text.into() };
        return value.to_string().into_bytes();
    }
    sample.as_bytes().to_vec()
}

/// A sample of an entry, signed at [`NOW`] for [`URL`] by what a scheme and a secret make of it.
pub(crate) fn signed(
    catalog: &Catalog,
    name: &str,
    scheme: &Scheme,
    spec: &SchemeSpec,
) -> Result<(HeaderMap, Vec<u8>, Signed), SignProblem> {
    let provider = catalog.get(name).unwrap();
    let body = body(catalog, name);
    let mut headers = HeaderMap::new();
    let content_type = provider.sample_type.as_deref().unwrap_or("application/json");
    headers.insert("content-type", content_type.parse().unwrap());
    for (name, value) in &provider.sample_headers {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    }
    let signer = Signer::new(scheme, spec, signing_secret(spec).as_bytes()).unwrap();
    let delivery = Delivery {
        id: "msg_example",
        timestamp: NOW,
        method: &Method::POST,
        url: Some(URL),
        headers: &headers,
        body: &body,
    };
    let made = sign_as(scheme, &signer, &delivery)?;
    for (name, value) in &made.headers {
        headers.insert(name.clone(), value.clone());
    }
    let body = made.body.clone().unwrap_or(body);
    Ok((headers, body, made))
}

/// What the gate does with a delivery.
#[cfg_attr(fuzzing, allow(dead_code, reason = "the targets judge for themselves"))]
pub(crate) fn judge(
    scheme: &Scheme,
    spec: &SchemeSpec,
    url: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Verified, Failure> {
    let keys = [LabeledKey { label: "current".into(), key: scheme.key(secret(spec).as_bytes()).unwrap().0 }];
    let window = Window { now: NOW, tolerance: scheme.default_tolerance().unwrap_or_default() };
    let presented = present(scheme, Head { method: &Method::POST, url: Some(url), headers }, window)?;
    verify(scheme, &keys, &presented, &[Bytes::copy_from_slice(body)], window)
}
