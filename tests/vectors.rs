//! The official libraries' vectors and the cases in which those libraries differ, over the public API.
//!
//! `vectors/vectors.json`: what every genuine sender sends and every library agrees about (the few disagreements are
//! bugs with empty keys). `vectors/policy.json`: where libraries differ or are lax; the table below says what we do and
//! why. A case without a decision, and a decision without a case, fail. Sources are named in each case.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

#[path = "vectors/content.rs"]
mod content;
#[path = "vectors/one_bit.rs"]
mod one_bit;

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookward::check::signature::{
    Failure, Head, LabeledKey, Options, Scheme, Verified, Window, present, verify, wanted,
};
use hookward::providers::Catalog;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::load().expect("the catalogue parses"));

#[derive(Debug, Deserialize)]
struct Case {
    provider: String,
    name: String,
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    public_key: Option<String>,
    method: String,
    url: String,
    #[serde(default)]
    options: BTreeMap<String, String>,
    headers: BTreeMap<String, Lines>,
    body_base64: String,
    now: u64,
    tolerance: Option<u64>,
    expect: String,
    why: String,
}

/// A header's value, or those of its repeated lines.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Lines {
    One(String),
    Many(Vec<String>),
}

/// How many vectors get what.
const OUTCOMES: &[(&str, usize)] = &[
    ("accept", 142),
    ("body_incomplete", 1),
    ("header_malformed", 60),
    ("header_missing", 24),
    ("secret", 2),
    ("signature_mismatch", 129),
    ("timestamp_in_future", 5),
    ("timestamp_malformed", 8),
    ("timestamp_too_old", 19),
];

/// Where the table of the vectors' authors and ours differ: provider, case, what we do, and why.
const DEVIATIONS: &[(&str, &str, &str, &str)] = &[
    (
        "stripe",
        "tolerance 0 disables the check",
        "timestamp_too_old",
        "a tolerance of 0 is a window of 0 seconds: nothing switches the check off by accident (fail closed)",
    ),
    (
        "openai",
        "bare signature without v1,",
        "header_malformed",
        "no genuine delivery was ever seen without its version, and an entry that names none could be of any",
    ),
    (
        "mailgun",
        "EVENT DATA TAMPERED",
        "accept",
        "the sender does not sign the event: it is passed on with proof=token, and its type as unsigned",
    ),
    (
        "dropbox",
        "challenge GET",
        "header_missing",
        "a handshake is no delivery: it is answered before the signature is looked at, where the route says handshake = true",
    ),
];

/// What each policy case gets.
const POLICY: &[(&str, &str, &str)] = &[
    ("svix", "timestamp fraction \"1614265330.5\", signature over the normalised integer", "timestamp_malformed"),
    ("svix", "timestamp leading zero \"01614265330\", signature over the normalised integer", "timestamp_malformed"),
    ("svix", "timestamp plus sign \"+1614265330\", signature over the normalised integer", "timestamp_malformed"),
    ("svix", "timestamp trailing junk \"1614265330abc\", signature over the normalised integer", "timestamp_malformed"),
    ("svix", "timestamp exponent \"1.614265330e9\", signature over the normalised integer", "timestamp_malformed"),
    ("svix", "timestamp inner space \"1614265330 1\", signature over the normalised integer", "timestamp_malformed"),
    ("svix", "timestamp hex \"0x60379032\", signature over the normalised integer", "timestamp_malformed"),
    ("standard-webhooks", "unpadded secret (needs one =)", "accept"),
    ("standard-webhooks", "unpadded secret (needs two =)", "accept"),
    ("svix", "two spaces between signatures", "accept"),
    ("svix", "entry without comma before a valid one", "accept"),
    ("svix", "entry with two commas \"v1,GOOD,extra\"", "header_malformed"),
    ("svix", "mixed: svix-id with webhook-timestamp and webhook-signature", "header_missing"),
    ("svix", "empty svix-signature plus valid webhook-* set", "header_malformed"),
    ("svix", "signature with non-alphabet characters inside (v1,g0hM9!SsE...)", "header_malformed"),
    ("svix", "body is not valid UTF-8, signature over the raw bytes", "accept"),
    ("svix", "body with UTF-8 BOM, signature over the raw bytes", "accept"),
    ("stripe", "tolerance 0 disables the check", "timestamp_too_old"),
    ("stripe", "1 day in the future", "timestamp_in_future"),
    ("stripe", "t twice, first valid", "header_malformed"),
    ("stripe", "t twice, last valid", "header_malformed"),
    ("stripe", "t with trailing junk", "timestamp_malformed"),
    ("stripe", "header sent twice (two lines)", "header_repeated"),
    ("github", "upper-case hex", "header_malformed"),
    ("github", "leading space in header value", "header_malformed"),
    ("github", "empty body with right MAC", "body_incomplete"),
    ("slack", "301 s in the future", "timestamp_in_future"),
    ("slack", "ssl_check without signature", "header_missing"),
    ("shopify", "missing topic header", "header_missing"),
    ("shopify", "missing webhook id header", "header_missing"),
    ("openai", "bare signature without v1,", "header_malformed"),
    ("openai", "timestamp \"1750861210.75\" signed as header text", "timestamp_malformed"),
    ("openai", "timestamp \"1750861210suffix\" signed as header text", "timestamp_malformed"),
    ("openai", "timestamp \"+1750861210\" signed as header text", "timestamp_malformed"),
    ("openai", "empty webhook-id signs without id prefix", "header_malformed"),
    ("replicate", "old timestamp (1 day)", "timestamp_too_old"),
    ("twilio", "single quote signed raw, target %27", "accept"),
    ("twilio", "single quote signed %27, target raw", "accept"),
    ("discord", "1 day old timestamp", "timestamp_too_old"),
    ("paddle", "two h1, FIRST valid, second other (key rotation)", "accept"),
    ("paddle", "future ts + 1 day", "timestamp_in_future"),
    ("pagerduty", "upper-case hex", "accept"),
    ("easypost", "weight 17 on the wire, signed as 17.0", "signature_mismatch"),
    ("workos", "pretty-printed delivery signed as sent", "accept"),
    ("rfc9421", "B.2.5 body changed (body not covered)", "signature_mismatch"),
    ("mailgun", "EVENT DATA TAMPERED", "accept"),
    ("dropbox", "challenge GET", "header_missing"),
];

#[test]
fn every_vector_gets_what_the_official_libraries_agree_on() {
    let cases = cases(include_str!("vectors/vectors.json"));
    assert!(cases.len() >= 390, "{} cases", cases.len());
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        let outcome = judge(case);
        *counts.entry(outcome.clone()).or_default() += 1;
        let is_right = if case.expect == "accept" { outcome == "accept" } else { outcome != "accept" };
        if !is_right {
            wrong.push(format!(
                "{} | {} | expected {} ({}), got {outcome}",
                case.provider, case.name, case.expect, case.why
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A refusal for the wrong reason would pass above.
    let counts: Vec<_> = counts.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect();
    assert_eq!(counts, OUTCOMES);
}

#[test]
fn every_policy_case_gets_its_decision() {
    let cases = cases(include_str!("vectors/policy.json"));
    let mut wrong = Vec::new();
    let mut decided = HashSet::new();
    for case in &cases {
        let outcome = judge(case);
        let key = (case.provider.as_str(), case.name.as_str());
        decided.insert(key);
        match POLICY.iter().find(|(provider, name, _)| (*provider, *name) == key) {
            Some((_, _, decision)) if *decision == outcome => {}
            Some((_, _, decision)) => wrong.push(format!("{key:?}: decided {decision}, got {outcome}")),
            None => wrong.push(format!("{key:?}: no decision, got {outcome}")),
        }
        let agrees = (case.expect == "accept") == (outcome == "accept");
        let deviation = DEVIATIONS.iter().find(|(provider, name, ..)| (*provider, *name) == key);
        match (agrees, deviation) {
            (true, None) => {}
            (false, Some((_, _, decision, reason))) if *decision == outcome && !reason.is_empty() => {}
            (true, Some(_)) => wrong.push(format!("{key:?}: no deviation any more")),
            (false, _) => wrong.push(format!("{key:?}: deviates from {} ({}) without a reason", case.expect, case.why)),
        }
    }
    for (provider, name, _) in POLICY {
        if !decided.contains(&(*provider, *name)) {
            wrong.push(format!("{provider} | {name}: decided, but there is no such case"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_body_in_chunks_gets_the_same_answer() {
    for case in cases(include_str!("vectors/vectors.json")) {
        let whole = judge(&case);
        for size in [1, 7, 64] {
            assert_eq!(judge_chunked(&case, size), whole, "{} | {} in chunks of {size}", case.provider, case.name);
        }
    }
}

fn cases(text: &str) -> Vec<Case> {
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn judge(case: &Case) -> String {
    judge_chunked(case, usize::MAX)
}

/// `accept`, the reject's code, or `secret` when the secret cannot be configured at all.
fn judge_chunked(case: &Case, chunk: usize) -> String {
    let Some((judge, sent)) = ready(case) else { return "secret".to_owned() };
    match judge.decide(&sent, chunk) {
        Ok(verified) => {
            assert!(["only", "provider"].contains(&verified.label()));
            "accept".to_owned()
        }
        Err(failure) => failure.reject.code().to_owned(),
    }
}

/// What decides on a case, compiled.
struct Judge {
    name: String,
    scheme: Scheme,
    keys: Vec<LabeledKey>,
    window: Window,
}

/// A delivery.
#[derive(Clone)]
struct Sent {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Judge {
    /// The body comes in chunks of so many bytes.
    fn decide(&self, sent: &Sent, chunk: usize) -> Result<Verified, Failure> {
        let chunks: Vec<Bytes> = sent.body.chunks(chunk).map(|piece| sent.body.slice_ref(piece)).collect();
        let head = Head { method: &sent.method, url: Some(&sent.url), headers: &sent.headers };
        let presented = present(&self.scheme, head, self.window)?;
        assert_eq!(wanted(&self.scheme, &presented, &chunks).unwrap_or(None), None, "{}", self.name);
        verify(&self.scheme, &self.keys, &presented, &chunks, self.window)
    }
}

/// `None`: the secret cannot be configured.
fn ready(case: &Case) -> Option<(Judge, Sent)> {
    let provider = case.provider.as_str();
    let spec = CATALOG.scheme(provider).unwrap_or_else(|| panic!("{provider} is not in the catalogue"));
    let Case { secret, public_key, options, .. } = case;
    let second = [options.get("secondary_secret"), options.get("next_key")];
    let secrets: Vec<&String> = secret.iter().chain(public_key).chain(second.into_iter().flatten()).collect();
    let mut options: Options = options
        .iter()
        .filter(|(name, _)| spec.options.contains_key(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    options.extend(case.options.get("cert_pem").map(|pem| ("cert_file".to_owned(), pem.clone())));
    let scheme = Scheme::compile(provider, spec, &options)
        .unwrap_or_else(|problems| panic!("{provider} | {}: {problems:?}", case.name));
    let mut keys = Vec::new();
    for secret in secrets {
        let (key, _) = scheme.key(secret.as_bytes()).ok()?;
        keys.push(LabeledKey { label: "only".into(), key });
    }

    let mut headers = HeaderMap::new();
    for (name, lines) in &case.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        let lines = match lines {
            Lines::One(line) => std::slice::from_ref(line),
            Lines::Many(lines) => lines,
        };
        for line in lines {
            headers.append(&name, HeaderValue::from_str(line).expect("a header value"));
        }
    }
    let tolerance = case.tolerance.or(scheme.default_tolerance()).unwrap_or(300);
    let window = Window { now: case.now, tolerance };
    let judge = Judge { name: format!("{provider} | {}", case.name), scheme, keys, window };
    let body = Bytes::from(STANDARD.decode(&case.body_base64).expect("a base64 body"));
    let method = case.method.parse().expect("a method");
    Some((judge, Sent { method, url: case.url.clone(), headers, body }))
}
