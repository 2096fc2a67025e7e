//! Forged, borrowed and odd tokens.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::trial::{NOW, Request, Trial};
use crate::check::signature::mac::MacState;
use crate::check::signature::scheme::{Algorithm, SchemeSpec};
use crate::check::signature::sign::hex;
use crate::check::signature::{Coverage, Options, Scheme, SchemeFlaw, SignProblem};
use crate::reject::Reject;

const LIVEKIT: &str = r#"
engine = "jwt"
signature = { header = "authorization", encoding = "text" }
id = { json = "id" }
event_type = { json = "event" }
options = { api_key = { doc = "the API key", required = true } }
jwt = { issuer_option = "api_key", leeway = 10, body_hash = { claim = "sha256", encoding = "base64" } }
"#;
const QSTASH: &str = r#"
engine = "jwt"
signature = { header = "upstash-signature", encoding = "text" }
jwt = { issuer = "Upstash", url_claim = "sub", required = ["jti"], body_hash = { claim = "body", encoding = "base64url" } }
"#;
const MESSAGEBIRD: &str = r#"
engine = "jwt"
signature = { header = "messagebird-signature-jwt", encoding = "text" }
[jwt]
issuer = "MessageBird"
leeway = 5
required = ["jti"]
body_hash = { claim = "payload_hash", encoding = "hex", absent_if_empty = true }
url_hash = { claim = "url_hash", encoding = "hex" }
"#;
const PLAID: &str = r#"
engine = "jwt"
algorithm = "ecdsa-p256"
key = { encoding = "spki" }
signature = { header = "plaid-verification", encoding = "text" }
event_type = { json = "webhook_code" }
jwt = { max_age = 300, body_hash = { claim = "request_body_sha256", encoding = "hex" } }
"#;

const SECRET: &str = "lk_secret_0123456789abcdef0123456789";
const URL: &str = "https://example.com/webhook?x=1";
const BODY: &str = r#"{"event":"room_started","id":"EV_1"}"#;
const MISMATCH: Option<Reject> = Some(Reject::SignatureMismatch);
const MALFORMED: Option<Reject> = Some(Reject::HeaderMalformed);

fn livekit() -> Trial {
    Trial::with_options(LIVEKIT, &[SECRET], &[("api_key", "APIkey")])
}

fn hs256(header: &str, claims: &str, secret: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = MacState::new(Algorithm::HmacSha256, secret).unwrap().tag(|update| update(signed.as_bytes()));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_bytes()))
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn claims() -> Value {
    json!({ "iss": "APIkey", "exp": NOW + 300, "nbf": NOW - 5, "sha256": STANDARD.encode(Sha256::digest(BODY)) })
}

fn with_token(token: &str) -> Request {
    Request::post(URL, "application/webhook+json", BODY).with("authorization", token)
}

fn with_claims(claims: &Value) -> Request {
    with_token(&hs256(HEADER, &claims.to_string(), SECRET.as_bytes()))
}

/// The genuine claims with one of them changed, or taken away.
fn but(name: &str, value: Value) -> Request {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    with_claims(&claims)
}

#[test]
fn believes_a_token_about_this_body() {
    let verified = livekit().verify(&with_claims(&claims())).unwrap();
    let (id, kind) = (verified.id().unwrap(), verified.event_type().unwrap());
    assert_eq!((id.text, id.signed, kind.text, kind.signed), ("EV_1", true, "room_started", true));
    assert_eq!((verified.timestamp(), verified.coverage()), (Some(NOW - 5), Coverage::Body));
    assert!(livekit().scheme().signs_id() && !livekit().scheme().signs_url());
}

#[test]
fn refuses_every_changed_byte_of_token_and_body() {
    let genuine = with_claims(&claims());
    assert_eq!(livekit().refusal(&genuine), None);
    for tampered in genuine.header_tamperings("authorization").chain(genuine.body_tamperings()) {
        assert!(livekit().refusal(&tampered).is_some(), "{:?}", tampered.header("authorization"));
    }
}

#[test]
fn refuses_what_is_no_token() {
    let genuine = with_claims(&claims()).header("authorization").to_owned();
    let parts: Vec<_> = genuine.split('.').collect();
    for (token, refusal) in [
        (String::new(), MALFORMED),
        ("x".to_owned(), MALFORMED),
        (parts[..2].join("."), MALFORMED),
        (format!("{}.{}.", parts[0], parts[1]), MISMATCH),
        (format!("{genuine}."), MALFORMED),
        (format!("{genuine}.{}", parts[2]), MALFORMED),
        (format!("{genuine}="), MALFORMED),
        (format!("{genuine} "), MALFORMED),
        (format!("Bearer {genuine}"), MALFORMED),
        (format!("..{}", parts[2]), MALFORMED),
        (genuine.replace('.', ".."), MALFORMED),
        (genuine[..genuine.len() - 3].to_owned(), MISMATCH),
        (format!("{genuine}{}", "A".repeat(8192)), MALFORMED),
    ] {
        let request = Request::post(URL, "", BODY).with("authorization", &token);
        assert_eq!(livekit().refusal(&request), refusal, "{token}");
    }
    let once = with_token(&genuine);
    assert_eq!(livekit().refusal(&once.clone().and("authorization", &genuine)), Some(Reject::HeaderRepeated));
    assert_eq!(livekit().refusal(&once.without("authorization")), Some(Reject::HeaderMissing));
}

#[test]
fn the_token_does_not_choose_how_it_is_checked() {
    let claims = claims().to_string();
    for (header, refusal) in [
        (r#"{"alg":"HS256"}"#, None),
        (r#"{"alg":"HS256","typ":"jwt","kid":"any","x":[1]}"#, None),
        (r#"{"alg":"none"}"#, MISMATCH),
        (r#"{"alg":"None"}"#, MISMATCH),
        (r#"{"alg":""}"#, MISMATCH),
        (r#"{"alg":"HS512"}"#, MISMATCH),
        (r#"{"alg":"hs256"}"#, MISMATCH),
        (r#"{"alg":"ES256"}"#, MISMATCH),
        (r#"{"alg":["HS256"]}"#, MISMATCH),
        (r#"{"typ":"JWT"}"#, MISMATCH),
        (r#"{"alg":"HS256","typ":"at+jwt"}"#, MISMATCH),
        (r#"{"alg":"HS256","typ":1}"#, MISMATCH),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, MISMATCH),
        (r#"{"alg":"HS256","crit":null}"#, MISMATCH),
        (r#"{"alg":"none","alg":"HS256"}"#, MALFORMED),
        (r#"{"alg":"HS256","\u0061lg":"none"}"#, MALFORMED),
        (r#""HS256""#, MALFORMED),
        (r#"{"alg":"HS256"}x"#, MALFORMED),
    ] {
        assert_eq!(livekit().refusal(&with_token(&hs256(header, &claims, SECRET.as_bytes()))), refusal, "{header}");
    }
    for secret in ["", "APIkey", "lk_secret_0123456789abcdef012345678"] {
        assert_eq!(livekit().refusal(&with_token(&hs256(HEADER, &claims, secret.as_bytes()))), MISMATCH, "{secret}");
    }
}

/// The key of the rooms signs the participants' tokens too, and those are no secrets.
#[test]
fn another_token_of_the_same_key_is_no_delivery() {
    let mut grant = claims();
    grant.as_object_mut().unwrap().remove("sha256");
    grant["video"] = json!({ "room": "x", "roomJoin": true });
    let request = with_claims(&grant);
    assert_eq!(livekit().refusal(&request), MISMATCH);
    assert_eq!(livekit().refusal(&request.holding("")), MISMATCH);
}

#[test]
fn every_claim_has_to_be_right() {
    let hash = |body: &str| json!(STANDARD.encode(Sha256::digest(body)));
    for (name, value, refusal) in [
        ("aud", json!("any"), None),
        ("iss", json!("APIother"), MISMATCH),
        ("iss", json!("apikey"), MISMATCH),
        ("iss", json!(["APIkey"]), MISMATCH),
        ("iss", Value::Null, MISMATCH),
        ("sha256", hash("other"), MISMATCH),
        ("sha256", hash(""), MISMATCH),
        ("sha256", json!(""), MISMATCH),
        ("sha256", json!(true), MISMATCH),
        ("sha256", json!(STANDARD.encode(Sha256::digest(BODY)).trim_end_matches('=')), MISMATCH),
        ("sha256", json!(URL_SAFE_NO_PAD.encode(Sha256::digest(BODY))), MISMATCH),
        ("sha256", json!(hex(&Sha256::digest(BODY))), MISMATCH),
        ("sha256", Value::Null, MISMATCH),
    ] {
        assert_eq!(livekit().refusal(&but(name, value.clone())), refusal, "{name} {value}");
    }
    let genuine = claims().to_string();
    for twice in [r#"{"iss":"APIother","#, r#"{"\u0069ss":"x","#, r#"{"exp":1,"#] {
        let token = hs256(HEADER, &genuine.replacen('{', twice, 1), SECRET.as_bytes());
        assert_eq!(livekit().refusal(&with_token(&token)), MALFORMED, "{twice}");
    }
}

#[test]
fn the_times_are_those_of_the_vendors_library() {
    let (old, early) = (Some(Reject::TimestampTooOld), Some(Reject::TimestampInFuture));
    let malformed = Some(Reject::TimestampMalformed);
    for (name, value, refusal) in [
        ("exp", json!(NOW + 1), None),
        ("exp", json!(NOW - 9), None),
        ("exp", json!(NOW - 10), old),
        ("exp", json!(0), old),
        ("exp", json!(u64::MAX), None),
        ("exp", Value::Null, malformed),
        ("exp", json!(-1), malformed),
        ("exp", json!(1.0e18), malformed),
        ("exp", json!((NOW + 300).to_string()), malformed),
        ("nbf", json!(NOW + 10), None),
        ("nbf", json!(NOW + 11), early),
        ("nbf", Value::Null, None),
        ("nbf", json!("0"), malformed),
        ("iat", json!(NOW + 10), None),
        ("iat", json!(NOW + 11), early),
        ("iat", json!(null), None),
        ("iat", json!([1]), malformed),
    ] {
        assert_eq!(livekit().refusal(&but(name, value.clone())), refusal, "{name} {value}");
    }
    // Too large for any clock.
    let huge = claims().to_string().replace(&(NOW + 300).to_string(), "99999999999999999999999");
    assert_eq!(livekit().refusal(&with_token(&hs256(HEADER, &huge, SECRET.as_bytes()))), malformed);
}

#[test]
fn a_token_for_another_address_is_not_for_this_one() {
    let trial = Trial::new(QSTASH, &["other", SECRET]);
    let genuine = json!({
        "iss": "Upstash", "sub": URL, "exp": NOW + 300, "nbf": NOW, "iat": NOW, "jti": "jwt_1",
        "body": URL_SAFE_NO_PAD.encode(Sha256::digest(BODY)),
    });
    let request = |claims: &Value| {
        let token = hs256(HEADER, &claims.to_string(), SECRET.as_bytes());
        Request::post(URL, "", BODY).with("upstash-signature", &token)
    };
    let verified = trial.verify(&request(&genuine)).unwrap();
    assert_eq!((verified.label(), verified.id().map(|id| (id.text, id.signed))), (SECRET, Some(("jwt_1", true))));
    assert!(trial.scheme().signs_url() && trial.scheme().signs_id());

    for url in ["https://example.com/webhook", "https://example.com/webhook?x=1&", "http://example.com/webhook?x=1", ""]
    {
        assert_eq!(trial.refusal(&request(&genuine).to(url)), MISMATCH, "{url}");
    }
    for (name, value, refusal) in [
        ("sub", json!("https://example.com/other"), MISMATCH),
        ("sub", Value::Null, MISMATCH),
        ("jti", Value::Null, MISMATCH),
        ("jti", json!(""), MISMATCH),
        ("jti", json!(1), MISMATCH),
        ("body", json!(format!("{}=", genuine["body"].as_str().unwrap())), None),
        ("body", Value::Null, MISMATCH),
    ] {
        let mut claims = genuine.clone();
        claims[name] = value.clone();
        assert_eq!(trial.refusal(&request(&claims)), refusal, "{name} {value}");
    }
    let mut empty = genuine;
    empty.as_object_mut().unwrap().remove("body");
    assert_eq!(trial.refusal(&request(&empty).holding("")), MISMATCH, "an empty body has a hash too");
}

#[test]
fn a_hash_may_be_absent_where_the_sender_hashes_no_empty_body() {
    let trial = Trial::new(MESSAGEBIRD, &[SECRET]);
    let request = |body: &str, hash: Option<Value>| {
        let mut claims = json!({ "iss": "MessageBird", "exp": NOW + 60, "nbf": NOW, "jti": "1",
            "url_hash": hex(&Sha256::digest(URL)) });
        if let Some(hash) = hash {
            claims["payload_hash"] = hash;
        }
        let token = hs256(HEADER, &claims.to_string(), SECRET.as_bytes());
        Request::post(URL, "", body).with("messagebird-signature-jwt", &token)
    };
    let hash = |body: &str| Some(json!(hex(&Sha256::digest(body))));
    assert_eq!(trial.refusal(&request(BODY, hash(BODY))), None);
    assert_eq!(trial.refusal(&request("", hash(""))), None);
    assert_eq!(trial.refusal(&request("", None)), None);
    assert_eq!(trial.refusal(&request(BODY, None)), MISMATCH);
    assert_eq!(trial.refusal(&request(BODY, hash(""))), MISMATCH);
    assert_eq!(trial.refusal(&request("", hash(BODY))), MISMATCH);
    assert_eq!(trial.refusal(&request("", Some(json!(1)))), MISMATCH);
    assert_eq!(trial.refusal(&request(BODY, Some(json!(hex(&Sha256::digest(BODY)).to_uppercase())))), MISMATCH);
    assert_eq!(trial.refusal(&request(BODY, hash(BODY)).to("https://example.com/webhook?x=2")), MISMATCH);
    let token = hs256(
        HEADER,
        &json!({ "iss": "MessageBird", "exp": NOW + 60, "jti": "1", "payload_hash": hash(BODY) }).to_string(),
        SECRET.as_bytes(),
    );
    let without_url = Request::post(URL, "", BODY).with("messagebird-signature-jwt", &token);
    assert_eq!(trial.refusal(&without_url), MISMATCH);
}

/// A key pair and its public half as PEM.
fn pair() -> (EcdsaKeyPair, String) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let head = STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE").unwrap();
    let der = [&head[..26], pair.public_key().as_ref()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines(&STANDARD.encode(der)));
    (pair, pem)
}

fn lines(text: &str) -> String {
    text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let (pair, pem) = pair();
    let trial = Trial::new(PLAID, &[&pem]);
    let body = r#"{"webhook_code":"DEFAULT_UPDATE"}"#;
    let claims = |issued: u64| json!({ "iat": issued, "request_body_sha256": hex(&Sha256::digest(body)) }).to_string();
    let request = |token: &str| Request::post(URL, "", body).with("plaid-verification", token);
    let es256 = |header: &str, claims: &str| {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        (signed, signature.as_ref().to_vec())
    };
    let header = r#"{"alg":"ES256","kid":"6c55","typ":"JWT"}"#;
    let token = |issued| {
        let (signed, signature) = es256(header, &claims(issued));
        request(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    };
    let genuine = token(NOW - 10);
    let verified = trial.verify(&genuine).unwrap();
    assert_eq!((verified.timestamp(), verified.id().is_none()), (Some(NOW - 10), true));
    for tampered in genuine.header_tamperings("plaid-verification").chain(genuine.body_tamperings()) {
        assert!(trial.refusal(&tampered).is_some());
    }

    // The key's text, its DER and its point as the secret of an HMAC.
    let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    for secret in [pem.as_bytes(), pem.trim().as_bytes(), &der, &der[26..]] {
        for header in [HEADER, header] {
            assert_eq!(trial.refusal(&request(&hs256(header, &claims(NOW), secret))), MISMATCH);
        }
    }
    // DER, zero and halves are no signatures.
    let (signed, signature) = es256(header, &claims(NOW));
    let der_signature = [&[0x30, 0x44, 2, 32][..], &signature[..32], &[2, 32], &signature[32..]].concat();
    for other in [&der_signature[..], &[0; 64], &signature[..32], &[&signature[..], &[0]].concat()] {
        assert_eq!(trial.refusal(&request(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(other)))), MISMATCH);
    }

    for (issued, refusal) in [
        (NOW - 300, None),
        (NOW - 301, Some(Reject::TimestampTooOld)),
        (NOW, None),
        (NOW + 1, Some(Reject::TimestampInFuture)),
    ] {
        assert_eq!(trial.refusal(&token(issued)), refusal, "{issued}");
    }
    let (signed, signature) =
        es256(header, &json!({ "exp": NOW + 60, "request_body_sha256": hex(&Sha256::digest(body)) }).to_string());
    let without_time = request(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)));
    assert_eq!(trial.refusal(&without_time), Some(Reject::TimestampMalformed));
    let unsigned = trial.sign("", &Request::post(URL, "", body));
    assert_eq!(unsigned.unwrap_err(), SignProblem::PublicKey);
}

#[test]
fn a_route_may_say_how_old_a_token_is_taken() {
    let (pair, pem) = pair();
    let mut trial = Trial::new(&format!("{PLAID}timestamp = {{ tolerance = 300 }}"), &[&pem]);
    let old = Some(Reject::TimestampTooOld);
    for (tolerance, age, refusal) in [(60, 60, None), (60, 61, old), (600, 600, None), (600, 601, old)] {
        trial.tolerance = tolerance;
        let claims = json!({ "iat": NOW - age, "request_body_sha256": hex(&Sha256::digest(BODY)) }).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#), URL_SAFE_NO_PAD.encode(claims));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        let request = Request::post(URL, "", BODY).with("plaid-verification", &token);
        assert_eq!(trial.refusal(&request), refusal, "{age}");
    }
}

#[test]
fn signs_what_it_verifies() {
    let request = Request { headers: HeaderMap::new(), ..Request::post(URL, "", BODY) };
    let bearer = QSTASH.replace("encoding = \"text\"", "encoding = \"text\", prefix = \"Bearer \"");
    let sha512 = QSTASH.replacen("engine", "algorithm = \"hmac-sha512\"\nengine", 1);
    for trial in [
        livekit(),
        Trial::new(QSTASH, &[SECRET]),
        Trial::new(&bearer, &[SECRET]),
        Trial::new(&sha512, &[SECRET]),
        Trial::new(MESSAGEBIRD, &[SECRET]),
    ] {
        let signed = trial.sign("id-1", &request).unwrap();
        assert_eq!(trial.refusal(&signed), None, "{signed:?}");
        assert_eq!(trial.refusal(&signed.clone().holding("x")), MISMATCH);
    }
    let signed = Trial::new(&bearer, &[SECRET]).sign("id-1", &request).unwrap();
    let token = signed.header("upstash-signature").strip_prefix("Bearer ").unwrap().to_owned();
    assert_eq!(Trial::new(&bearer, &[SECRET]).refusal(&signed.with("upstash-signature", &token)), MALFORMED);
    assert_eq!(Trial::new(QSTASH, &[SECRET]).sign("", &request).unwrap_err(), SignProblem::Id);
}

#[test]
fn refuses_a_scheme_that_cannot_be_right() {
    let flaws = |spec: &str| -> Vec<(&'static str, SchemeFlaw)> {
        let spec: SchemeSpec = toml::from_str(spec).unwrap();
        let problems = Scheme::compile("x", &spec, &Options::new()).unwrap_err();
        problems.into_iter().map(|problem| (problem.field, problem.flaw)).collect()
    };
    let without = |line: &str| QSTASH.lines().filter(|other| !other.starts_with(line)).collect::<Vec<_>>().join("\n");
    assert_eq!(flaws(&without("jwt")), [("jwt", SchemeFlaw::Missing)]);
    assert_eq!(flaws(&without("signature")), [("signature.header", SchemeFlaw::Missing)]);
    let with = |line: &str| format!("{line}\n{QSTASH}");
    assert_eq!(flaws(&with("algorithm = \"hmac-sha1\"")), [("algorithm", SchemeFlaw::NotThisAlgorithm)]);
    assert_eq!(flaws(&with("algorithm = \"rsa-sha256\"")), [("key.encoding", SchemeFlaw::NotThisAlgorithm)]);
    assert_eq!(flaws(&with("key = { encoding = \"spki\" }")), [("key.encoding", SchemeFlaw::NotThisAlgorithm)]);
    assert!(matches!(flaws(LIVEKIT).as_slice(), [("options", SchemeFlaw::OptionMissing(..)), ..]));
}

#[test]
fn the_content_is_the_token_and_what_it_binds_and_nothing_else() {
    let genuine = || with_claims(&claims());
    livekit().assert_one(&[
        genuine(),
        Request { method: http::Method::PUT, ..genuine() },
        genuine().to("https://other.example/?any"),
        genuine().with("content-type", "text/plain"),
    ]);
    let of = |body: &str| json!(STANDARD.encode(Sha256::digest(body)));
    livekit().assert_all_differ(&[
        genuine(),
        // Of a retry that is signed anew.
        but("nbf", json!(NOW - 4)),
        but("exp", json!(NOW + 301)),
        but("jti", json!("1")),
        but("sha256", of("{}")).holding("{}"),
    ]);
    for (spec, header) in [(QSTASH, "upstash-signature"), (MESSAGEBIRD, "messagebird-signature-jwt")] {
        let trial = Trial::new(spec, &[SECRET]);
        let sign = |id: &str, url: &str, body: &str| trial.sign(id, &Request::post(url, "", body)).unwrap();
        let first = sign("1", URL, BODY);
        trial.assert_one(&[first.clone(), Request { method: http::Method::PUT, ..first.clone() }.with("x-any", "1")]);
        let url = format!("{URL}&y=2");
        trial.assert_all_differ(&[first, sign("2", URL, BODY), sign("1", &url, BODY), sign("1", URL, "{}")]);
        assert!(trial.content(&sign("1", URL, "")).is_some(), "{header}");
    }
}

#[test]
fn another_signature_of_the_same_token_is_the_same_content() {
    let (pair, pem) = pair();
    let trial = Trial::new(PLAID, &[&pem]);
    let claims = json!({ "iat": NOW, "request_body_sha256": hex(&Sha256::digest(BODY)) }).to_string();
    let parts = [r#"{"alg":"ES256","typ":"JWT"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = parts.join(".");
    let token = || {
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap());
        Request::post(URL, "", BODY).with("plaid-verification", &format!("{signed}.{signature}"))
    };
    let (first, second) = (token(), token());
    assert_ne!(first.header("plaid-verification"), second.header("plaid-verification"));
    trial.assert_one(&[first, second]);
}
