//! The whole pipeline over the catalogue's schemes and a few custom ones. The vendors' own vectors are in `tests/vectors.rs`.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::providers::Catalog;

const NOW: u64 = 1_700_000_000;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &[u8] = br#"{"data":{"id":"user_1"},"object":"event","type":"user.created"}"#;

fn scheme(provider: &str) -> Scheme {
    let catalog = Catalog::load().unwrap();
    Scheme::compile(provider, catalog.scheme(provider).unwrap(), &Options::new()).unwrap()
}

fn custom(toml: &str) -> Result<Scheme, Vec<SchemeProblem>> {
    Scheme::compile("custom", &toml::from_str(toml).unwrap(), &Options::new())
}

fn present(scheme: &Scheme, headers: &HeaderMap, now: u64, tolerance: u64) -> Result<Presented, Failure> {
    super::present(scheme, Head { method: &Method::POST, url: None, headers }, Window { now, tolerance })
}

fn verify(
    scheme: &Scheme,
    keys: &[LabeledKey],
    presented: &Presented,
    body: &[Bytes],
    now: u64,
    tolerance: u64,
) -> Result<Verified, Failure> {
    super::verify(scheme, keys, presented, body, Window { now, tolerance })
}

fn keys(scheme: &Scheme, secrets: &[(&str, &str)]) -> Vec<LabeledKey> {
    secrets
        .iter()
        .map(|(label, secret)| LabeledKey { label: (*label).into(), key: scheme.key(secret.as_bytes()).unwrap().0 })
        .collect()
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn hmac(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(content);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// `v1,<base64>` as Svix makes it, by hand.
fn v1(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    format!("v1,{}", STANDARD.encode(hmac(&key, &content)))
}

fn svix_headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
    headers(&[("svix-id", id), ("svix-timestamp", timestamp), ("svix-signature", signature)])
}

/// Signs as the sender would, without a URL.
fn sign_at(scheme: &Scheme, key: &Key, id: &str, timestamp: u64, body: &[u8]) -> Result<HeaderMap, SignProblem> {
    let headers = HeaderMap::new();
    let delivery = Delivery { id, timestamp, method: &Method::POST, url: None, headers: &headers, body };
    sign(scheme, Some(key), &delivery).map(|signed| signed.headers.into_iter().collect())
}

fn chunks(body: &[u8]) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(body)]
}

fn judge(scheme: &Scheme, keys: &[LabeledKey], headers: &HeaderMap, body: &[u8]) -> Result<Verified, Failure> {
    let presented = present(scheme, headers, NOW, 300)?;
    verify(scheme, keys, &presented, &chunks(body), NOW, 300)
}

/// What Svix's scheme says of these three headers and [`BODY`].
fn svix(id: &str, timestamp: &str, signature: &str) -> Result<Verified, Reject> {
    let scheme = scheme("svix");
    judge(&scheme, &keys(&scheme, &[("current", SECRET)]), &svix_headers(id, timestamp, signature), BODY)
        .map_err(|failure| failure.reject)
}

fn good(id: &str) -> String {
    v1(SECRET, id, &NOW.to_string(), BODY)
}

#[test]
fn a_genuine_delivery_is_verified_with_all_that_it_says() {
    let verified = svix("msg_1", &NOW.to_string(), &good("msg_1")).unwrap();
    assert_eq!(verified.id(), Some(Member { text: "msg_1", signed: true }));
    assert_eq!(verified.event_type(), Some(Member { text: "user.created", signed: true }));
    assert_eq!(verified.timestamp(), Some(NOW));
    assert_eq!((verified.label(), verified.family(), verified.coverage()), ("current", 0, Coverage::Body));
}

#[test]
fn any_changed_bit_of_id_time_body_or_signature_is_refused() {
    let scheme = scheme("svix");
    let keys = keys(&scheme, &[("current", SECRET)]);
    let parts = [b"msg_1".to_vec(), NOW.to_string().into_bytes(), good("msg_1").into_bytes(), BODY.to_vec()];
    let judge_parts = |parts: &[Vec<u8>; 4]| {
        let mut headers = HeaderMap::new();
        for (name, value) in ["svix-id", "svix-timestamp", "svix-signature"].into_iter().zip(parts) {
            headers.insert(name, HeaderValue::from_bytes(value).ok()?);
        }
        judge(&scheme, &keys, &headers, &parts[3]).ok()
    };
    assert!(judge_parts(&parts).is_some());
    for part in 0..parts.len() {
        for bit in 0..parts[part].len() * 8 {
            let mut changed = parts.clone();
            changed[part][bit / 8] ^= 1 << (bit % 8);
            assert!(judge_parts(&changed).is_none(), "part {part}, bit {bit}");
        }
        for cut in 0..parts[part].len() {
            let mut changed = parts.clone();
            changed[part].truncate(cut);
            assert!(judge_parts(&changed).is_none(), "part {part}, cut at {cut}");
        }
    }
}

#[test]
fn the_same_signed_bytes_cannot_be_split_in_another_way() {
    // One genuine content, whose body begins like a timestamp: `msg_1.1700000000.1700000009.x`.
    let signature = v1(SECRET, "msg_1", "1700000000", b"1700000009.x");
    let scheme = scheme("svix");
    let keys = keys(&scheme, &[("current", SECRET)]);
    let attempt = |id: &str, timestamp: &str, body: &[u8]| {
        judge(&scheme, &keys, &svix_headers(id, timestamp, &signature), body).map_err(|failure| failure.reject)
    };
    assert!(attempt("msg_1", "1700000000", b"1700000009.x").is_ok());
    assert_eq!(attempt("msg_1.1700000000", "1700000009", b"x").unwrap_err(), Reject::HeaderMalformed);
    assert_eq!(attempt("msg_1", "1700000000.1700000009", b"x").unwrap_err(), Reject::TimestampMalformed);
}

#[test]
fn every_secret_is_tried_and_the_first_that_fits_is_named() {
    let scheme = scheme("clerk");
    let timestamp = NOW.to_string();
    let current = v1(SECRET, "msg_1", &timestamp, BODY);
    let next = v1(OTHER, "msg_1", &timestamp, BODY);
    let both = keys(&scheme, &[("current", SECRET), ("next", OTHER)]);
    let label = |keys: &[LabeledKey], signature: &str| {
        judge(&scheme, keys, &svix_headers("msg_1", &timestamp, signature), BODY)
            .map(|verified| verified.label().to_owned())
            .map_err(|failure| failure.reject)
    };
    assert_eq!(label(&both, &current).unwrap(), "current");
    assert_eq!(label(&both, &next).unwrap(), "next");
    assert_eq!(label(&both, &format!("{next} {current}")).unwrap(), "current");
    assert_eq!(label(&both[..1], &next), Err(Reject::SignatureMismatch));
    assert_eq!(label(&[], &current), Err(Reject::SignatureMismatch));
}

#[test]
fn each_header_must_be_there_once_and_well_formed() {
    let scheme = scheme("svix");
    let timestamp = NOW.to_string();
    let signature = good("msg_1");
    let lines = [("svix-id", "msg_1"), ("svix-timestamp", &timestamp), ("svix-signature", &signature)];
    let refused = |lines: &[(&str, &str)]| {
        let failure = present(&scheme, &headers(lines), NOW, 300).unwrap_err();
        (failure.reject, failure.header.map(|name| name.to_string()))
    };
    for (index, (name, value)) in lines.iter().enumerate() {
        let with = |value: &str| {
            let mut lines = lines;
            lines[index].1 = value;
            refused(&lines)
        };
        let mut missing = lines.to_vec();
        missing.remove(index);
        assert_eq!(refused(&missing), (Reject::HeaderMissing, Some((*name).to_owned())));
        for second in [value, &"x"] {
            let mut repeated = lines.to_vec();
            repeated.push((name, second));
            assert_eq!(refused(&repeated), (Reject::HeaderRepeated, Some((*name).to_owned())));
        }
        for bad in ["", "é", "a\tb", &"x".repeat(20_000)] {
            assert_eq!(with(bad), (Reject::HeaderMalformed, Some((*name).to_owned())), "{name}: {bad:.20}");
        }
    }
    assert_eq!(refused(&[]), (Reject::HeaderMissing, Some("svix-signature".to_owned())));
}

#[test]
fn an_id_is_bounded_printable_and_without_the_delimiter() {
    for id in ["a.b", ".", "a b", " a", "é"] {
        assert_eq!(svix(id, &NOW.to_string(), &good(id)).unwrap_err(), Reject::HeaderMalformed, "{id}");
    }
    let longest = "x".repeat(MAX_FIELD);
    assert!(svix(&longest, &NOW.to_string(), &good(&longest)).is_ok());
    assert_eq!(svix(&longest, &NOW.to_string(), &good(&longest)).unwrap().id().map(|id| id.text), Some(&*longest));
    // Not fit to be shown, and still its name.
    let longer = [256, 16 * 1024 - 1]
        .map(|length| svix(&"x".repeat(length + 1), &NOW.to_string(), &good(&"x".repeat(length + 1))).unwrap());
    assert!(longer.iter().all(|verified| verified.id().is_none() && verified.signed_id().unwrap().len() == 32));
    assert_ne!(longer[0].signed_id(), longer[1].signed_id());
    let longest = "x".repeat(16 * 1024 + 1);
    assert_eq!(svix(&longest, &NOW.to_string(), &good(&longest)).unwrap_err(), Reject::HeaderMalformed);
    assert!(svix("msg:/\"\\;,=1", &NOW.to_string(), &good("msg:/\"\\;,=1")).is_ok());
}

#[test]
fn a_timestamp_is_plain_digits() {
    for text in [
        "+1700000000",
        "-1",
        "1700000000.5",
        "1.7e9",
        "0x60",
        "01700000000",
        "00",
        "1700000000 ",
        " 1700000000",
        "17000 00000",
        "1700000000a",
        "17000000000000000000",
        "18446744073709551617",
        "hello",
        "2023-11-14T22:13:20Z",
    ] {
        let signature = v1(SECRET, "msg_1", text, BODY);
        assert_eq!(svix("msg_1", text, &signature).unwrap_err(), Reject::TimestampMalformed, "{text}");
    }
    assert_eq!(svix("msg_1", "0", &v1(SECRET, "msg_1", "0", BODY)).unwrap_err(), Reject::TimestampTooOld);
    // Milliseconds where seconds are due.
    let future = "1700000000000";
    assert_eq!(svix("msg_1", future, &v1(SECRET, "msg_1", future, BODY)).unwrap_err(), Reject::TimestampInFuture);
}

#[test]
fn the_window_is_checked_on_both_sides_before_and_after_the_body() {
    let scheme = scheme("svix");
    let keys = keys(&scheme, &[("current", SECRET)]);
    let headers = svix_headers("msg_1", &NOW.to_string(), &good("msg_1"));
    let early = present(&scheme, &headers, NOW - 301, 300).unwrap_err();
    assert_eq!((early.reject, early.skew), (Reject::TimestampInFuture, Some(301)));
    let late = present(&scheme, &headers, NOW + 301, 300).unwrap_err();
    assert_eq!((late.reject, late.skew), (Reject::TimestampTooOld, Some(-301)));
    assert!(present(&scheme, &headers, NOW - 300, 300).is_ok());
    let presented = present(&scheme, &headers, NOW + 300, 300).unwrap();
    assert!(verify(&scheme, &keys, &presented, &chunks(BODY), NOW + 300, 300).is_ok());
    let stale = verify(&scheme, &keys, &presented, &chunks(BODY), NOW + 301, 300).unwrap_err();
    assert_eq!((stale.reject, stale.skew), (Reject::TimestampTooOld, Some(-301)));
}

#[test]
fn a_list_is_searched_and_what_it_does_not_understand_skipped() {
    let ok = good("msg_1");
    let bad = v1(OTHER, "msg_1", &NOW.to_string(), BODY);
    let timestamp = NOW.to_string();
    for list in [
        format!("{bad} {ok}"),
        format!("{ok} {bad}"),
        format!("  {ok}  "),
        format!("garbage {ok}"),
        format!("v1,??? {ok}"),
        format!("v2,x {ok}"),
        format!("{ok} ,"),
        format!("v1a,AAAA {ok}"),
        vec![bad.as_str(); 63].join(" ") + " " + &ok,
    ] {
        assert!(svix("msg_1", &timestamp, &list).is_ok(), "{list}");
    }
    let value = ok.strip_prefix("v1,").unwrap();
    for (list, reject) in [
        (bad.clone(), Reject::SignatureMismatch),
        (format!("v2,{value}"), Reject::SignatureMismatch),
        (format!("V1,{value}"), Reject::SignatureMismatch),
        (format!("v1a,{} v2,x", STANDARD.encode([1; 64])), Reject::SignatureMismatch),
        (format!("v1,?? v2,{value}"), Reject::SignatureMismatch),
        (value.to_owned(), Reject::HeaderMalformed),
        (format!("v1,{value},x"), Reject::HeaderMalformed),
        (format!("v1,{bad},{ok}"), Reject::HeaderMalformed),
        (format!("v1={value}"), Reject::HeaderMalformed),
        (format!("v1,{}", value.trim_end_matches('=')), Reject::HeaderMalformed),
        (format!("v1,{}", value.replace('=', "==")), Reject::HeaderMalformed),
        ("v1,".to_owned(), Reject::HeaderMalformed),
        (",".to_owned(), Reject::HeaderMalformed),
        ("   ".to_owned(), Reject::HeaderMalformed),
        ("v1,AAAA".to_owned(), Reject::HeaderMalformed),
        (vec![bad.as_str(); 64].join(" ") + " " + &ok, Reject::HeaderMalformed),
    ] {
        assert_eq!(svix("msg_1", &timestamp, &list).unwrap_err(), reject, "{list}");
    }
}

#[test]
fn base64_has_one_spelling() {
    // 32 bytes leave four bits over in the last letter before the padding: of sixteen letters, one is right.
    let ok = good("msg_1");
    let stem = &ok[..ok.len() - 2];
    let accepted = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
        .chars()
        .filter(|letter| svix("msg_1", &NOW.to_string(), &format!("{stem}{letter}=")).is_ok())
        .count();
    assert_eq!(accepted, 1);
}

#[test]
fn a_family_is_complete_and_the_first_one_present_counts() {
    let scheme = scheme("svix");
    let keys = keys(&scheme, &[("current", SECRET)]);
    let (timestamp, signature) = (NOW.to_string(), good("msg_1"));
    let webhook = [("webhook-id", "msg_1"), ("webhook-timestamp", &*timestamp), ("webhook-signature", &*signature)];
    assert_eq!(judge(&scheme, &keys, &headers(&webhook), BODY).unwrap().family(), 1);
    for stray in ["svix-id", "svix-timestamp", "svix-signature"] {
        let mut mixed = webhook.to_vec();
        mixed.push((stray, "1"));
        let reject = judge(&scheme, &keys, &headers(&mixed), BODY).unwrap_err().reject;
        assert_eq!(reject, Reject::HeaderMissing, "{stray}");
    }
    let clerk = super::tests::scheme("clerk");
    let failure = judge(&clerk, &keys, &headers(&webhook), BODY).unwrap_err();
    assert_eq!((failure.reject, failure.header.unwrap().as_str()), (Reject::HeaderMissing, "svix-signature"));
}

#[test]
fn ed25519_is_checked_strictly_and_only_under_its_own_version() {
    let signing = SigningKey::from_bytes(&[7; 32]);
    let public = format!("whpk_{}", STANDARD.encode(signing.verifying_key().as_bytes()));
    let content = [b"msg_1.", NOW.to_string().as_bytes(), b".", BODY].concat();
    let bytes = signing.sign(&content).to_bytes();
    let value = STANDARD.encode(bytes);
    for provider in ["svix", "clerk", "standard-webhooks"] {
        let scheme = scheme(provider);
        let prefix = if provider == "standard-webhooks" { "webhook" } else { "svix" };
        let keys = keys(&scheme, &[("hmac", SECRET), ("public", &public)]);
        let run = |signature: &str, body: &[u8]| {
            let names = ["id", "timestamp", "signature"].map(|part| format!("{prefix}-{part}"));
            let timestamp = NOW.to_string();
            let headers = headers(&[(&names[0], "msg_1"), (&names[1], &timestamp), (&names[2], signature)]);
            judge(&scheme, &keys, &headers, body)
                .map(|verified| verified.label().to_owned())
                .map_err(|failure| failure.reject)
        };
        assert_eq!(run(&format!("v1a,{value}"), BODY).unwrap(), "public");
        assert_eq!(
            run(&format!("{} v1a,{value}", v1(OTHER, "msg_1", &NOW.to_string(), BODY)), BODY).unwrap(),
            "public"
        );
        assert_eq!(run(&format!("v1a,{value} {}", good("msg_1")), BODY).unwrap(), "hmac");
        let wrong = STANDARD.encode([7; 64]);
        for list in [format!("v1a,{value} v1a,{wrong}"), format!("v1a,{wrong} v1a,{value}")] {
            assert_eq!(run(&list, BODY).unwrap(), "public");
        }
        assert_eq!(run(&format!("v1a,{value}"), b"{}"), Err(Reject::SignatureMismatch));
        assert_eq!(run(&format!("v1,{value}"), BODY), Err(Reject::HeaderMalformed));
        assert_eq!(run(&[format!("v1a,{value}").as_str(); 9].join(" "), BODY), Err(Reject::HeaderMalformed));
        for bit in 0..512 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                run(&format!("v1a,{}", STANDARD.encode(changed)), BODY),
                Err(Reject::SignatureMismatch),
                "bit {bit}"
            );
        }
        // S + L is the same signature to a lax verifier.
        let order = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10_u8,
        ];
        let mut malleated = bytes;
        let mut carry = 0;
        for (byte, add) in malleated[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(run(&format!("v1a,{}", STANDARD.encode(malleated)), BODY), Err(Reject::SignatureMismatch));
    }
}

#[test]
fn stripe_reads_its_pairs_to_the_letter() {
    let scheme = scheme("stripe");
    let keys = keys(&scheme, &[("current", "whsec_test_secret_of_stripe")]);
    let body = br#"{"id":"evt_1","type":"charge.succeeded","data":{"object":{"id":"ch_1","type":"x"}}}"#;
    let mac = hex(&hmac(b"whsec_test_secret_of_stripe", &[NOW.to_string().as_bytes(), b".", body].concat()));
    let run = |header: &str| judge(&scheme, &keys, &headers(&[("stripe-signature", header)]), body);
    let verified = run(&format!("t={NOW},v1={mac}")).unwrap();
    assert_eq!(verified.id(), Some(Member { text: "evt_1", signed: true }));
    assert_eq!(verified.event_type(), Some(Member { text: "charge.succeeded", signed: true }));
    let zero = "0".repeat(64);
    for header in [
        format!("v1={mac},t={NOW}"),
        format!("t={NOW},v1={zero},v1={mac},v0={mac}"),
        format!("t={NOW},v1=zz,v1={mac},x=y"),
    ] {
        assert!(run(&header).is_ok(), "{header}");
    }
    for (header, reject) in [
        (format!("t={NOW},v0={mac}"), Reject::SignatureMismatch),
        (format!("t={NOW},v1={zero}"), Reject::SignatureMismatch),
        (format!("t={NOW},t={NOW},v1={mac}"), Reject::HeaderMalformed),
        (format!("t={NOW},x=1,x=1,v1={mac}"), Reject::HeaderMalformed),
        (format!("t={NOW}, v1={mac}"), Reject::HeaderMalformed),
        (format!("t={NOW},v1={mac},"), Reject::HeaderMalformed),
        (format!("t={NOW};v1={mac}"), Reject::HeaderMalformed),
        (format!("t={NOW},v1={}", mac.to_uppercase()), Reject::HeaderMalformed),
        (format!("t={NOW}"), Reject::HeaderMalformed),
        (format!("v1={mac}"), Reject::HeaderMalformed),
        (format!("t=,v1={mac}"), Reject::TimestampMalformed),
        (format!("t=+{NOW},v1={mac}"), Reject::TimestampMalformed),
        (format!("t={},v1={mac}", NOW - 301), Reject::TimestampTooOld),
        (format!("t={},v1={mac}", NOW + 301), Reject::TimestampInFuture),
    ] {
        assert_eq!(run(&header).unwrap_err().reject, reject, "{header}");
    }
    assert_eq!(
        judge(&scheme, &keys, &headers(&[("stripe-signature", &format!("t={NOW},v1={mac}"))]), b"").unwrap_err().reject,
        Reject::BodyIncomplete
    );
}

#[test]
fn github_says_what_is_not_signed() {
    let scheme = scheme("github");
    let keys = keys(&scheme, &[("current", "It's a Secret to Everybody")]);
    // GitHub's own example.
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let lines = [("x-hub-signature-256", signature), ("x-github-event", "push"), ("x-github-delivery", "72d3162e")];
    let verified = judge(&scheme, &keys, &headers(&lines), b"Hello, World!").unwrap();
    assert_eq!(verified.id(), Some(Member { text: "72d3162e", signed: false }));
    assert_eq!(verified.event_type(), Some(Member { text: "push", signed: false }));
    assert_eq!(verified.timestamp(), None);
    assert_eq!(scheme.default_tolerance(), None);
    assert!(!scheme.signs_id());
    let mut twice = lines.to_vec();
    twice.push(("x-github-event", "ping"));
    let repeated = judge(&scheme, &keys, &headers(&twice), b"Hello, World!").unwrap_err();
    assert_eq!(repeated.reject, Reject::HeaderRepeated);
    assert_eq!(repeated.header.unwrap(), "x-github-event");
    assert!(judge(&scheme, &keys, &headers(&lines), b"Hello, World?").is_err());
    let mac = signature.strip_prefix("sha256=").unwrap();
    for other in [
        mac.to_owned(),
        format!("SHA256={mac}"),
        format!("sha1={mac}"),
        format!("sha256=sha256={mac}"),
        format!(" {signature}"),
    ] {
        let failure =
            judge(&scheme, &keys, &headers(&[("x-hub-signature-256", &other)]), b"Hello, World!").unwrap_err();
        assert_eq!(failure.reject, Reject::HeaderMalformed, "{other}");
    }
}

#[test]
fn a_key_checks_the_entries_of_its_own_version_alone() {
    let scheme = custom(
        "content = '{body}'\nsignature = { header = 'x-sig', encoding = 'hex', format = 'versioned', version = 'a' }\n\
         key = { prefixes = ['k_', 'k_long_'] }\n\
         alternative_keys = [{ prefix = 'b_', encoding = 'utf8', algorithm = 'hmac-sha256', version = 'b' }]",
    )
    .unwrap();
    let keys = keys(&scheme, &[("main", "k_long_0123456789abcdef"), ("alternative", "b_fedcba9876543210")]);
    let run = |header: &str| {
        judge(&scheme, &keys, &headers(&[("x-sig", header)]), BODY).map(|verified| verified.label().to_owned()).ok()
    };
    // The longest prefix that fits is taken off.
    let main = hex(&hmac(b"0123456789abcdef", BODY));
    let alternative = hex(&hmac(b"fedcba9876543210", BODY));
    assert_eq!(run(&format!("a,{main}")).as_deref(), Some("main"));
    assert_eq!(run(&format!("b,{alternative}")).as_deref(), Some("alternative"));
    assert_eq!(run(&format!("b,{main}")), None);
    assert_eq!(run(&format!("a,{alternative}")), None);
}

#[test]
fn shopify_needs_its_other_headers_and_prefers_the_new_family() {
    let scheme = scheme("shopify");
    let keys = keys(&scheme, &[("current", "shpss_hush")]);
    let mac = STANDARD.encode(hmac(b"shpss_hush", BODY));
    let old = |mac| {
        [
            ("x-shopify-hmac-sha256", mac),
            ("x-shopify-topic", "orders/paid"),
            ("x-shopify-shop-domain", "a.myshopify.com"),
            ("x-shopify-api-version", "2026-10"),
            ("x-shopify-webhook-id", "w-1"),
        ]
    };
    let verified = judge(&scheme, &keys, &headers(&old(&mac)), BODY).unwrap();
    assert_eq!(verified.event_type(), Some(Member { text: "orders/paid", signed: false }));
    assert_eq!((verified.id(), verified.family()), (Some(Member { text: "w-1", signed: false }), 1));
    for (index, (name, _)) in old(&mac).iter().enumerate().skip(1) {
        let mut lines = old(&mac).to_vec();
        lines.remove(index);
        let failure = judge(&scheme, &keys, &headers(&lines), BODY).unwrap_err();
        assert_eq!((failure.reject, failure.header.unwrap().as_str()), (Reject::HeaderMissing, *name));
    }
    let mut both = old(&mac).to_vec();
    both.push(("shopify-hmac-sha256", &mac));
    assert_eq!(judge(&scheme, &keys, &headers(&both), BODY).unwrap_err().reject, Reject::HeaderMissing);
}

#[test]
fn slack_and_the_empty_body() {
    let slack = scheme("slack");
    let keys_of_slack = keys(&slack, &[("current", "8f742231b10e8888abcd99yyyzzz85a5")]);
    let body = br#"{"type":"event_callback","event_id":"Ev1"}"#;
    let content = [b"v0:", NOW.to_string().as_bytes(), b":", body].concat();
    let signature = format!("v0={}", hex(&hmac(b"8f742231b10e8888abcd99yyyzzz85a5", &content)));
    let timestamp = NOW.to_string();
    let lines = [("x-slack-signature", &*signature), ("x-slack-request-timestamp", &*timestamp)];
    let verified = judge(&slack, &keys_of_slack, &headers(&lines), body).unwrap();
    assert_eq!(verified.id(), Some(Member { text: "Ev1", signed: true }));

    let svix = scheme("svix");
    let headers = svix_headers("msg_1", &timestamp, &v1(SECRET, "msg_1", &timestamp, b""));
    let presented = present(&svix, &headers, NOW, 300).unwrap();
    for none in [vec![], vec![Bytes::new()], vec![Bytes::new(); 3]] {
        assert!(verify(&svix, &keys(&svix, &[("current", SECRET)]), &presented, &none, NOW, 300).is_ok());
    }
}

#[test]
fn a_body_in_chunks_is_the_same_body() {
    let scheme = scheme("svix");
    let keys = keys(&scheme, &[("current", SECRET)]);
    let presented = present(&scheme, &svix_headers("msg_1", &NOW.to_string(), &good("msg_1")), NOW, 300).unwrap();
    for size in 1..=BODY.len() {
        let mut pieces: Vec<Bytes> = BODY.chunks(size).map(Bytes::copy_from_slice).collect();
        let verified = verify(&scheme, &keys, &presented, &pieces, NOW, 300).unwrap();
        assert_eq!(verified.event_type().unwrap().text, "user.created");
        if pieces.len() > 1 {
            pieces.swap(0, 1);
            assert!(
                verify(&scheme, &keys, &presented, &pieces, NOW, 300).is_err(),
                "pieces of {size} in another order"
            );
        }
    }
}

#[test]
fn custom_schemes_cover_the_vocabulary() {
    let hex_scheme =
        custom("content = '{body}'\nsignature = { header = 'clerk-signature', encoding = 'hex' }").unwrap();
    let keys_of_hex = keys(&hex_scheme, &[("current", "legacy-secret-0001")]);
    let mac = hmac(b"legacy-secret-0001", BODY);
    let run = |text: &str| judge(&hex_scheme, &keys_of_hex, &headers(&[("clerk-signature", text)]), BODY);
    assert!(run(&hex(&mac)).is_ok());
    assert_eq!(run(&hex(&mac).to_uppercase()).unwrap_err().reject, Reject::HeaderMalformed);
    assert_eq!(run(&format!("{}00", hex(&mac))).unwrap_err().reject, Reject::HeaderMalformed);
    assert_eq!(run(&format!("{}0", hex(&mac))).unwrap_err().reject, Reject::HeaderMalformed);

    let milliseconds = custom(
        "content = '{timestamp}:{body}'\nalgorithm = 'hmac-sha512'\nkey = { encoding = 'hex' }\n\
         signature = { header = 'x-sig', encoding = 'hex-any', prefix = 'h=' }\ntimestamp = { header = 'x-time', unit = 'ms', tolerance = 5 }",
    )
    .unwrap();
    let key = milliseconds.key(b"00112233445566778899aabbccddeeff").unwrap().0;
    let mut map = sign_at(&milliseconds, &key, "", NOW, BODY).unwrap();
    assert_eq!(map.get("x-time").unwrap(), "1700000000000");
    let keys_of_ms = [LabeledKey { label: "k".into(), key }];
    assert_eq!(judge(&milliseconds, &keys_of_ms, &map, BODY).unwrap().timestamp(), Some(NOW));
    let upper = map.get("x-sig").unwrap().to_str().unwrap().to_uppercase().replace("H=", "h=");
    map.insert("x-sig", upper.parse().unwrap());
    assert!(judge(&milliseconds, &keys_of_ms, &map, BODY).is_ok());
    assert_eq!(milliseconds.default_tolerance(), Some(5));
    assert_eq!(milliseconds.key(b"00112233445566778899aabbccddeeff0").unwrap_err(), KeyProblem::NotHex);
    let unsaid = "content = '{timestamp}{body}'\nsignature = { header = 'x-sig', encoding = 'hex' }\ntimestamp = { header = 'x-time' }";
    assert_eq!(custom(unsaid).unwrap().default_tolerance(), Some(300));
}

#[test]
fn an_unsigned_body_is_said_to_be_unsigned() {
    let toml = "content = '{timestamp}'\ninsecure_unsigned_body = true\nsignature = { header = 'x-sig', encoding = 'hex' }\n\
                timestamp = { header = 'x-time' }\nid = { json = 'id' }\nevent_type = { json = 'id' }";
    let scheme = custom(toml).unwrap();
    let keys = keys(&scheme, &[("current", "a-secret-of-18-byte")]);
    let mac = hex(&hmac(b"a-secret-of-18-byte", NOW.to_string().as_bytes()));
    let verified =
        judge(&scheme, &keys, &headers(&[("x-sig", &mac), ("x-time", &NOW.to_string())]), br#"{"id":"1"}"#).unwrap();
    assert_eq!(verified.coverage(), Coverage::Token);
    assert!(!scheme.signs_id());
    assert_eq!(verified.id(), Some(Member { text: "1", signed: false }));
    assert_eq!(verified.event_type(), Some(Member { text: "1", signed: false }));
    let without = toml.replace("insecure_unsigned_body = true", "");
    assert_eq!(custom(&without).unwrap_err()[0].flaw, SchemeFlaw::BodyNotSigned);
}

#[test]
fn what_is_signed_here_is_verified_here() {
    for name in ["svix", "clerk", "standard-webhooks", "github", "stripe", "slack", "shopify"] {
        let scheme = scheme(name);
        let key = scheme.key(SECRET.as_bytes()).unwrap().0;
        let mut map = sign_at(&scheme, &key, "msg_1", NOW, BODY).unwrap();
        let super::Engine::Template(template) = &scheme.engine else { panic!("{name} is data") };
        for required in &template.families.first().unwrap().required {
            map.entry(required).or_insert_with(|| HeaderValue::from_static("x"));
        }
        let keys = [LabeledKey { label: "k".into(), key }];
        assert!(judge(&scheme, &keys, &map, BODY).is_ok(), "{name}");
        assert!(judge(&scheme, &keys, &map, b"{}").is_err(), "{name}");
    }
    let svix = scheme("svix");
    let key = svix.key(SECRET.as_bytes()).unwrap().0;
    assert_eq!(sign_at(&svix, &key, "a.b", NOW, BODY).unwrap_err(), SignProblem::Id);
}

#[test]
fn a_secret_that_cannot_be_one_is_named_without_showing_it() {
    let problem = |provider: &str, text: &str| scheme(provider).key(text.as_bytes()).unwrap_err();
    for provider in ["svix", "clerk", "standard-webhooks", "github", "stripe", "slack", "shopify"] {
        for empty in ["", " ", "\n", "\t "] {
            assert_eq!(problem(provider, empty), KeyProblem::Empty, "{provider}");
        }
    }
    for provider in ["svix", "clerk", "standard-webhooks", "stripe"] {
        assert_eq!(problem(provider, "whsec_"), KeyProblem::EmptyAfterPrefix("whsec_".into()), "{provider}");
    }
    assert_eq!(problem("standard-webhooks", "v1,whsec_"), KeyProblem::EmptyAfterPrefix("v1,whsec_".into()));
    assert_eq!(problem("clerk", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), KeyProblem::LacksPrefix(vec!["whsec_".into()]));
    assert_eq!(problem("clerk", "sk_test_hunter2"), KeyProblem::OtherCredential("sk_test_".into()));
    assert_eq!(problem("slack", "xoxb-hunter2"), KeyProblem::OtherCredential("xoxb-".into()));
    assert_eq!(problem("svix", "whsk_hunter2"), KeyProblem::IsPrivateKey("whsk_".into()));
    for text in ["whsec_hunter2!", "whsec_ab-_", "whsec_=", "whsec_A", "whsec_MfKQ9r8G\nKYqr", "whsec_...", "hunter-2"]
    {
        assert_eq!(problem("svix", text), KeyProblem::NotBase64, "{text}");
    }
    assert_eq!(problem("svix", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), KeyProblem::AllZero);
    assert_eq!(problem("github", "\0\0\0"), KeyProblem::AllZero);
    assert_eq!(problem("svix", "whpk_AAAA"), KeyProblem::PublicKeyLength(3));
    for secret in ["whsec_hunter2!", "sk_live_hunter2", "hunter2"] {
        let problem = problem("clerk", secret);
        assert!(!format!("{problem} {problem:?} {}", problem.hint()).contains("hunter2"));
    }
    assert!(!format!("{:?}", keys(&scheme("clerk"), &[("current", SECRET)])).contains("MfKQ"));
}

#[test]
fn weak_public_keys_are_refused() {
    let scheme = scheme("svix");
    // The points of small order, canonical and not (RFC 8032 §5.1.7; for these anyone can sign anything).
    for hex_point in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let bytes: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&hex_point[at * 2..at * 2 + 2], 16).unwrap()).collect();
        let text = format!("whpk_{}", STANDARD.encode(bytes));
        assert_eq!(scheme.key(text.as_bytes()).unwrap_err(), KeyProblem::WeakPublicKey, "{hex_point}");
    }
}

#[test]
fn an_odd_secret_is_accepted_with_a_warning() {
    let warning = |provider: &str, text: &str| scheme(provider).key(text.as_bytes()).unwrap().1;
    assert_eq!(warning("svix", SECRET), None);
    assert_eq!(warning("svix", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ="), None);
    assert_eq!(warning("svix", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"), Some(KeyWarning::CutOff));
    assert_eq!(warning("svix", "whsec_MfKQ"), Some(KeyWarning::Short));
    assert_eq!(warning("github", "fifteen bytes !"), Some(KeyWarning::Short));
    assert_eq!(warning("github", "sixteen bytes !!"), None);
    assert_eq!(warning("github", "a secret and its newline\n"), Some(KeyWarning::SurroundedBySpace));
}

#[test]
fn every_flaw_of_a_scheme_is_found_with_its_field() {
    let base = "content = '{timestamp}.{body}'\nsignature = { header = 'x-sig', encoding = 'hex' }\ntimestamp = { header = 'x-time' }";
    assert!(custom(base).is_ok());
    let flaw = |from: &str, to: &str| {
        assert!(base.contains(from), "{from}");
        let problems = custom(&base.replace(from, to)).expect_err(to);
        problems.into_iter().map(|problem| (problem.field, problem.flaw)).collect::<Vec<_>>()
    };
    let twice = |name: &str| SchemeFlaw::HeaderTwice(name.into());
    assert_eq!(flaw("{timestamp}.{body}", "{body}"), [("content", SchemeFlaw::TimeNotSigned)]);
    assert_eq!(flaw("{timestamp}.{body}", "{id}.{timestamp}.{body}"), [("content", SchemeFlaw::SourceMissing("id"))]);
    assert_eq!(flaw("{timestamp}.{body}", "{timestamp}."), [("content", SchemeFlaw::BodyNotSigned)]);
    assert_eq!(flaw("timestamp = { header = 'x-time' }", ""), [("content", SchemeFlaw::SourceMissing("timestamp"))]);
    assert_eq!(flaw("'x-time'", "'x-sig'"), [("signature.header", twice("x-sig"))]);
    assert_eq!(flaw("'x-sig'", "'x sig'"), [("signature.header", SchemeFlaw::NotAHeader("x sig".into()))]);
    assert_eq!(flaw("'x-sig'", "[]"), [("signature.header", SchemeFlaw::Empty)]);
    assert_eq!(flaw("'x-sig'", "['a', 'a']"), [("signature.header", twice("a")), ("signature.header", twice("a"))]);
    assert_eq!(flaw("'x-time'", "['a', 'b']"), [("timestamp.header", SchemeFlaw::FamilyCount)]);
    for taken in ["Host", "connection", "Verified_Event-x", "transfer-encoding"] {
        let expected = SchemeFlaw::UnusableHeader(taken.into());
        assert_eq!(flaw("'x-sig'", &format!("'{taken}'")), [("signature.header", expected)]);
    }
    assert_eq!(flaw("{ header = 'x-time' }", "{ pair = 't' }"), [("timestamp.pair", SchemeFlaw::NoMeaning)]);
    assert_eq!(
        flaw("{ header = 'x-time' }", "{}"),
        [("timestamp", SchemeFlaw::ExactlyOneOfThree("header", "pair", "json"))]
    );
    let pairs = |rest: &str| flaw("encoding = 'hex'", &format!("encoding = 'hex', format = 'pairs'{rest}"));
    assert_eq!(pairs(""), [("signature.version", SchemeFlaw::VersionMissing)]);
    assert_eq!(pairs(", version = 'v 1'"), [("signature.version", SchemeFlaw::NotPlain)]);
    for separator in ["=", "a", "é", "+", "\t"] {
        assert_eq!(
            pairs(&format!(", version = 'v1', separator = '{separator}'")),
            [("signature.separator", SchemeFlaw::BadSeparator)]
        );
    }
    assert_eq!(pairs(", version = 'v1', prefix = 'a,b'"), [("signature.separator", SchemeFlaw::BadSeparator)]);
    let same = "alternative_keys = [{ prefix = 'a_', encoding = 'hex', algorithm = 'ed25519', version = 'v1' }]\n";
    let versioned = base.replace("encoding = 'hex'", "encoding = 'hex', format = 'versioned', version = 'v1'");
    let problems = custom(&format!("{same}{versioned}")).unwrap_err();
    let expected = SchemeProblem { field: "alternative_keys.version", flaw: SchemeFlaw::VersionTwice("v1".into()) };
    assert_eq!(problems, [expected]);
    assert_eq!(
        flaw("encoding = 'hex'", "encoding = 'hex', version = 'v1'"),
        [("signature.version", SchemeFlaw::NoMeaning)]
    );
    assert_eq!(
        flaw("encoding = 'hex'", "encoding = 'hex', prefix = 'é'"),
        [("signature.prefix", SchemeFlaw::NotPlain)]
    );
    let with = |line: &str| flaw("content", &format!("{line}\ncontent"));
    assert_eq!(with("id = {}"), [("id", SchemeFlaw::ExactlyOne("header", "json"))]);
    assert_eq!(
        with("event_type = { header = 'a', json = 'b' }"),
        [("event_type", SchemeFlaw::ExactlyOne("header", "json"))]
    );
    assert_eq!(with("key = { prefixes = [''] }"), [("key.prefixes", SchemeFlaw::EmptyPrefix)]);
    assert_eq!(with("key = { prefix_required = true }"), [("key.prefix_required", SchemeFlaw::NoPrefixes)]);
    assert_eq!(
        with("alternative_keys = [{ prefix = 'a_', encoding = 'hex', algorithm = 'ed25519', version = 'v2' }]"),
        [("alternative_keys", SchemeFlaw::NoMeaning)]
    );
    assert_eq!(
        with("required_values = [{ header = 'x-a', option = 'a' }]"),
        [("required_values", SchemeFlaw::UnknownOption("a".into()))]
    );
    assert_eq!(flaw("{ header = 'x-time' }", "{ json = 'time' }"), [("content", SchemeFlaw::TimeInBody)]);
    // A credential is a text or base64; a signature is never a text.
    let token = "algorithm = 'token'\ncontent = ''\ninsecure_unsigned_body = true\nsignature = { header = 'x-sig', encoding = 'text' }";
    assert!(custom(token).is_ok() && custom(&token.replace("'text'", "'base64'")).is_ok());
    let encoding = [("signature.encoding", SchemeFlaw::NotThisAlgorithm)];
    let of = |toml: &str| custom(toml).unwrap_err().into_iter().map(|one| (one.field, one.flaw)).collect::<Vec<_>>();
    assert_eq!(of(&token.replace("'text'", "'hex'")), encoding);
    assert_eq!(flaw("'hex'", "'text'"), encoding);
    // A scheme in code is no better than its parts.
    let catalog = Catalog::load().unwrap();
    let options = Options::from([("no_such_option".to_owned(), "x".to_owned())]);
    let problems = Scheme::compile("mailgun", catalog.scheme("mailgun").unwrap(), &options).unwrap_err();
    assert_eq!(problems[0].flaw, SchemeFlaw::UnknownOption("no_such_option".into()));
    let mandrill =
        "engine = 'mandrill'\nalgorithm = 'hmac-sha1'\nsignature = { header = 'x-sig', encoding = 'base64' }";
    assert!(custom(mandrill).is_ok() && custom(&mandrill.replace("sha1", "sha256")).is_err());
    // All at once.
    assert_eq!(
        custom("content = '{x}'\nsignature = { header = 'host', encoding = 'hex' }\nid = {}").unwrap_err().len(),
        3
    );
    assert!(toml::from_str::<SchemeSpec>("content = '{body}'\nunknown = 1").is_err());
}

#[test]
fn headers_of_other_families_are_foreign_in_every_spelling() {
    let catalog = Catalog::load().unwrap();
    let svix = scheme("svix");
    assert_eq!(svix.families(), 2);
    let lines = [
        ("svix-id", "1"),
        ("svix-timestamp", "1"),
        ("svix-signature", "1"),
        ("webhook-id", "1"),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "1"),
        ("svix_id", "1"),
        ("Webhook_Signature", "1"),
        ("stripe-signature", "1"),
        ("x_slack-signature", "1"),
        ("host", "a"),
        ("content-type", "b"),
        ("x-github-event", "push"),
        ("x-custom", "1"),
        ("x-mine", "1"),
        ("x-mine", "2"),
    ];
    let left = |family: usize| {
        let custom: SchemeSpec =
            toml::from_str("content = '{body}'\nsignature = { header = 'X-Custom', encoding = 'hex' }").unwrap();
        let foreign = svix.foreign_headers(family, &[], catalog.schemes().chain([&custom]));
        let mut map = headers(&lines);
        foreign.remove_from(&mut map);
        let mut names: Vec<String> = map.keys().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(map.get_all("x-mine").iter().count(), 2);
        names
    };
    let kept = ["content-type", "host", "x-github-event", "x-mine"];
    let with = |own: [&str; 3]| {
        let mut names: Vec<String> = kept.iter().copied().chain(own).map(String::from).collect();
        names.sort();
        names
    };
    assert_eq!(left(0), with(["svix-id", "svix-signature", "svix-timestamp"]));
    assert_eq!(left(1), with(["webhook-id", "webhook-signature", "webhook-timestamp"]));
    // No such family: nothing is anyone's own.
    assert_eq!(left(2), kept);

    // A custom scheme's other families go too, whoever else is known.
    let others = svix.foreign_headers(0, &[], []);
    for name in ["webhook_id", "webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert!(others.contains(&HeaderName::from_static(name)), "{name}");
    }
    // As long, with the same ends, and another.
    assert!(!others.contains(&HeaderName::from_static("wearying-d")));
    let channel = custom(
        "content = '{body}'\nsignature = { header = 'x-sig', encoding = 'hex' }\n\
         required_values = [{ header = 'x-channel', value = 'live' }]",
    );
    assert!(!channel.unwrap().foreign_headers(0, &[], []).contains(&HeaderName::from_static("x-channel")));

    let github = scheme("github");
    let foreign = github.foreign_headers(0, &[], catalog.schemes());
    for own in ["x-hub-signature-256", "x-github-delivery", "x-github-event"] {
        assert!(!foreign.contains(&HeaderName::from_static(own)), "{own}");
        assert!(github.headers().any(|name| name == own), "{own}");
    }
    for odd in ["x_github_event", "x-github.event", "x-github--event"] {
        assert!(foreign.contains(&HeaderName::from_static(odd)), "{odd}");
    }
    assert!(!foreign.contains(&HeaderName::from_static("x_any_other")), "odd, and no sender's");
    let contentful = scheme("contentful").foreign_headers(0, &[], catalog.schemes());
    for (name, is_foreign) in [
        ("x-contentful-topic", false),
        ("x_contentful_topic", true),
        ("x-contentful-idempotency-key", false),
        ("x-contentful-idempotency_key", true),
    ] {
        assert_eq!(contentful.contains(&HeaderName::from_static(name)), is_foreign, "{name}");
    }
}

#[test]
fn nothing_prints_a_signature() {
    let signature = good("msg_1");
    let presented = present(&scheme("svix"), &svix_headers("msg_1", &NOW.to_string(), &signature), NOW, 300).unwrap();
    assert_eq!(format!("{presented:?}"), format!("Presented {{ timestamp: Some({NOW}), .. }}"));
    assert!(!format!("{presented:?}").contains(&signature[3..20]));
    assert_eq!(scheme("svix").name(), "svix");
    assert_eq!(format!("{:?}", scheme("svix").key(SECRET.as_bytes()).unwrap().0), "Key(…)");
}

#[test]
fn a_time_of_any_age_cannot_be_cut_short() {
    let scheme = custom(
        "content = '{timestamp}{body}'\nsignature = { header = 'x-sig', encoding = 'hex' }\n\
         timestamp = { header = 'x-time', insecure_any_age = true }",
    )
    .unwrap();
    let keys = keys(&scheme, &[("current", "a secret of some length")]);
    let mac = hex(&hmac(b"a secret of some length", b"1754300000[1]"));
    let judge_as = |time: &str, body: &[u8]| {
        let headers = headers(&[("x-sig", &mac), ("x-time", time)]);
        let tolerance = scheme.default_tolerance().unwrap();
        let presented = present(&scheme, &headers, NOW, tolerance)?;
        verify(&scheme, &keys, &presented, &chunks(body), NOW, tolerance)
    };
    assert_eq!(judge_as("1754300000", b"[1]").unwrap().timestamp(), Some(1_754_300_000));
    assert_eq!(judge_as("175430000", b"0[1]").unwrap_err().reject, Reject::TimestampMalformed);
    assert_eq!(judge_as("17", b"54300000[1]").unwrap_err().reject, Reject::TimestampMalformed);
}

#[test]
fn a_secret_that_is_shown_is_never_an_alternative_to_one_that_signs() {
    for algorithm in ["token", "sha256"] {
        let toml = format!(
            "content = '{{body}}'\nsignature = {{ header = 'x-sig', encoding = 'base64', format = 'versioned', version = 'v1' }}\n\
             alternative_keys = [{{ prefix = 'x_', encoding = 'utf8', algorithm = '{algorithm}', version = 'v2' }}]"
        );
        let fields: Vec<&str> = custom(&toml).unwrap_err().iter().map(|problem| problem.field).collect();
        assert!(fields.contains(&"alternative_keys.algorithm"), "{fields:?}");
    }
}

#[test]
fn a_bare_hash_is_neither_lengthened_nor_taken_from_another_version() {
    let v1 =
        custom("algorithm = 'sha256'\ncontent = '{secret}{body}'\nsignature = { header = 'x-sig', encoding = 'hex' }")
            .unwrap();
    let keys = keys(&v1, &[("current", "yyyyyyyy-yyyy")]);
    let hash = |text: &[u8]| hex(mac::digest(|update| update(text)).as_bytes());
    let run = |content: &[u8], body: &[u8]| {
        judge(&v1, &keys, &headers(&[("x-sig", &hash(&[b"yyyyyyyy-yyyy", content].concat()))]), body).is_ok()
    };
    assert!(run(b"[{}]", b"[{}]"));
    // The same hash belongs to version 2 of the same secret, whose content begins with the method and the URL.
    assert!(!run(b"POSThttps://a/b[{}]", b"POSThttps://a/b[{}]"));
    assert!(!run(b"[{}]\x80\0\0[]", b"[{}]\x80\0\0[]"));
}

#[test]
fn a_token_that_no_header_can_hold_is_refused_at_load() {
    let gitlab = scheme("gitlab");
    assert_eq!(gitlab.key("sécret-of-some-length".as_bytes()).unwrap_err(), KeyProblem::NotPlain);
    assert_eq!(gitlab.key("x".repeat(513).as_bytes()).unwrap_err(), KeyProblem::NotPlain);
    assert!(gitlab.key("x".repeat(512).as_bytes()).is_ok());
}

#[test]
fn headers_that_only_code_names_are_foreign_too() {
    let catalog = Catalog::load().unwrap();
    let foreign = scheme("clerk").foreign_headers(0, &[], catalog.schemes());
    for name in ["x-amz-sns-topic-arn", "x-contentful-signed-headers", "svix.id", "svix~id", "svix--id", "webhook.id"] {
        assert!(foreign.contains(&HeaderName::from_static(name)), "{name}");
    }
    for name in ["svix-id", "authorization", "date", "x-github-event"] {
        assert!(!foreign.contains(&HeaderName::from_static(name)), "{name}");
    }
}

#[test]
fn the_content_digest_is_the_hash_of_exactly_what_is_signed() {
    let svix = scheme("svix");
    let digest = |id: &str, time: u64, body: &[u8]| {
        let signature = v1(SECRET, id, &time.to_string(), body);
        let presented = present(&svix, &svix_headers(id, &time.to_string(), &signature), NOW, 300).unwrap();
        assert_eq!(presented.timestamp(), Some(time));
        let (front, back) = body.split_at(body.len() / 2);
        content_digest(&svix, &presented, &[Bytes::copy_from_slice(front), Bytes::copy_from_slice(back)]).unwrap()
    };
    let hash = |content: &[u8]| <[u8; 32]>::from(Sha256::digest(content));
    assert_eq!(digest("msg_1", NOW, b"[1]"), hash(format!("msg_1.{NOW}.[1]").as_bytes()));
    assert_eq!(digest("msg_2", NOW - 1, b"[1]"), hash(format!("msg_2.{}.[1]", NOW - 1).as_bytes()));

    // A scheme in code that signs a token alone: two deliveries could have the same.
    let mailgun = scheme("mailgun");
    let map = headers(&[("content-type", "application/json")]);
    let head = Head { method: &Method::POST, url: Some("https://a.example/hook"), headers: &map };
    let presented = super::present(&mailgun, head, Window { now: NOW, tolerance: 300 }).unwrap();
    assert_eq!(presented.timestamp(), None);
    assert_eq!(content_digest(&mailgun, &presented, &chunks(b"[1]")), None);
}

#[test]
fn a_signature_that_is_there_twice_counts_as_one() {
    let time = NOW.to_string();
    let once = good("msg_1");
    assert!(svix("msg_1", &time, &format!("{once} {once}")).is_ok());

    let key = SigningKey::from_bytes(&[7; 32]);
    let svix = scheme("svix");
    let keys_of_svix = keys(&svix, &[("public", &format!("whpk_{}", STANDARD.encode(key.verifying_key().to_bytes())))]);
    let content = [format!("msg_1.{NOW}.").as_bytes(), BODY].concat();
    let once = format!("v1a,{}", STANDARD.encode(key.sign(&content).to_bytes()));
    let twice = svix_headers("msg_1", &time, &format!("{once} {once}"));
    assert!(judge(&svix, &keys_of_svix, &twice, BODY).is_ok());

    let token =
        custom("algorithm = 'token'\ncontent = ''\ninsecure_unsigned_body = true\nsignature = { header = 'x-token', also = ['x-token-2'], encoding = 'text' }")
            .unwrap();
    let keys_of_token = keys(&token, &[("current", "a-token-of-some-length")]);
    let both = headers(&[("x-token", "a-token-of-some-length"), ("x-token-2", "a-token-of-some-length")]);
    assert!(judge(&token, &keys_of_token, &both, BODY).is_ok());
}

#[test]
fn one_of_several_signature_headers_is_enough_and_none_is_missing() {
    let scheme = custom(
        "content = '{body}'\nsignature = { header = 'x-sig-1', also = ['x-sig-2', 'x-sig-3'], encoding = 'hex' }",
    )
    .unwrap();
    let keys = keys(&scheme, &[("current", "a secret of some length")]);
    let (good, bad) = (hex(&hmac(b"a secret of some length", BODY)), hex(&hmac(b"another", BODY)));
    let run = |lines: &[(&str, &str)]| judge(&scheme, &keys, &headers(lines), BODY).map_err(|failure| failure.reject);
    assert!(run(&[("x-sig-1", &good)]).is_ok());
    assert!(run(&[("x-sig-2", &good)]).is_ok());
    assert!(run(&[("x-sig-1", &bad), ("x-sig-3", &good)]).is_ok());
    assert_eq!(run(&[("x-sig-1", &bad), ("x-sig-2", &bad)]).unwrap_err(), Reject::SignatureMismatch);
    assert_eq!(run(&[]).unwrap_err(), Reject::HeaderMissing);
    assert_eq!(run(&[("x-sig-1", &good), ("x-sig-1", &good)]).unwrap_err(), Reject::HeaderRepeated);
    assert_eq!(run(&[("x-sig-1", &bad), ("x-sig-1", &bad), ("x-sig-2", &good)]).unwrap_err(), Reject::HeaderRepeated);
}

#[test]
fn a_long_token_is_compared_to_its_last_byte() {
    let gitlab = scheme("gitlab");
    let secret = "x".repeat(512);
    let keys = keys(&gitlab, &[("current", &secret)]);
    let run = |token: &str| judge(&gitlab, &keys, &headers(&[("x-gitlab-token", token)]), BODY);
    assert!(run(&secret).is_ok());
    assert!(run(&format!("{}y", &secret[1..])).is_err());
    assert!(run(&secret[1..]).is_err());
    assert!(run(&format!("{secret}x")).is_err());
}

#[test]
fn a_header_of_many_entries_is_refused_one_above_the_most() {
    let time = NOW.to_string();
    let list = |mut entries: Vec<String>, others: usize| {
        entries.extend((0..others).map(|index| format!("v9,{index}")));
        entries.join(" ")
    };
    assert!(svix("msg_1", &time, &list(vec![good("msg_1")], 63)).is_ok());
    assert_eq!(svix("msg_1", &time, &list(vec![good("msg_1")], 64)).unwrap_err(), Reject::HeaderMalformed);
    // Public keys cost more: four of their entries are the most.
    let public = |count: usize| vec![format!("v1a,{}", STANDARD.encode([7; 64])); count];
    assert!(svix("msg_1", &time, &list([public(4), vec![good("msg_1")]].concat(), 0)).is_ok());
    let five = list([public(5), vec![good("msg_1")]].concat(), 0);
    assert_eq!(svix("msg_1", &time, &five).unwrap_err(), Reject::HeaderMalformed);
}

#[test]
fn a_required_value_must_be_that_value() {
    let scheme = custom(
        "content = '{body}'\nsignature = { header = 'x-sig', encoding = 'hex' }\n\
         required_values = [{ header = 'x-channel', value = 'live' }]",
    )
    .unwrap();
    let keys = keys(&scheme, &[("current", "a secret of some length")]);
    let mac = hex(&hmac(b"a secret of some length", BODY));
    let run = |channel: &[&str]| {
        let lines: Vec<_> = channel.iter().map(|value| ("x-channel", *value)).chain([("x-sig", &*mac)]).collect();
        judge(&scheme, &keys, &headers(&lines), BODY).map(|_| ()).map_err(|failure| failure.reject)
    };
    assert_eq!(run(&["live"]), Ok(()));
    for other in ["", "Live", "live ", "liv", "test"] {
        assert_eq!(run(&[other]), Err(Reject::HeaderMalformed), "{other}");
    }
    assert_eq!(run(&[]), Err(Reject::HeaderMissing));
    assert_eq!(run(&["live", "live"]), Err(Reject::HeaderRepeated));
    assert!(scheme.headers().any(|name| name == "x-channel"), "it is part of the proof");
}

#[test]
fn the_last_second_of_a_day_is_a_time_and_the_next_is_none() {
    use super::scheme::TimeUnit;
    use super::stamp::Stamp;
    let parse = |text: &str, unit| Stamp::parse(text.as_bytes(), unit);
    let seconds = |text: &str| parse(text, TimeUnit::Rfc3339).map(|stamp| stamp.seconds());
    assert_eq!(seconds("2023-11-14T23:59:59Z"), Some(1_700_006_399));
    assert_eq!(seconds("2023-11-14T23:59:59+23:59"), Some(1_700_006_399 - 86_340));
    for text in [
        "2023-11-14T24:00:00Z",
        "2023-11-14T23:60:00Z",
        "2023-11-14T23:59:60Z",
        "2023-11-14T23:59:59+24:00",
        "2023-11-14T23:59:59+00:60",
    ] {
        assert_eq!(seconds(text), None, "{text}");
    }
    // Of an age that lets nothing be cut off.
    assert!(parse("1700000000", TimeUnit::S).unwrap().is_whole(TimeUnit::S));
    assert!(!parse("170000000", TimeUnit::S).unwrap().is_whole(TimeUnit::S));
    assert!(parse("1700000000000", TimeUnit::Ms).unwrap().is_whole(TimeUnit::Ms));
    assert!(!parse("170000000000", TimeUnit::Ms).unwrap().is_whole(TimeUnit::Ms));
}

#[test]
fn a_url_that_is_signed_must_be_known_to_sign_and_to_check() {
    let scheme = custom("content = '{url}{body}'\nsignature = { header = 'x-sig', encoding = 'hex' }").unwrap();
    let keys = keys(&scheme, &[("current", "a secret of some length")]);
    let key = &keys[0].key;
    assert_eq!(sign_at(&scheme, key, "", NOW, BODY).unwrap_err(), SignProblem::Url);
    let mac = hex(&hmac(b"a secret of some length", BODY));
    // As if the URL were empty.
    let failure = present(&scheme, &headers(&[("x-sig", &mac)]), NOW, 300).unwrap_err();
    assert_eq!(failure.reject, Reject::SignatureMismatch);
}

#[test]
fn a_member_counts_only_under_its_own_path() {
    let scheme = custom(
        "content = '{body}'\nsignature = { header = 'x-sig', encoding = 'hex' }\n\
         id = { json = 'a.id' }\nevent_type = { json = 'b.type' }",
    )
    .unwrap();
    let keys = keys(&scheme, &[("current", "a secret of some length")]);
    let members = |body: &str| {
        let mac = hex(&hmac(b"a secret of some length", body.as_bytes()));
        let verified = judge(&scheme, &keys, &headers(&[("x-sig", &mac)]), body.as_bytes()).unwrap();
        let text = |member: Option<Member<'_>>| member.map(|member| member.text.to_owned());
        (text(verified.id()), text(verified.event_type()))
    };
    let found = |id: Option<&str>, event: Option<&str>| (id.map(str::to_owned), event.map(str::to_owned));
    assert_eq!(members(r#"{"a":{"id":"1"},"b":{"type":"x"}}"#), found(Some("1"), Some("x")));
    assert_eq!(members(r#"{"a":{"type":"y","id":"1"},"b":{"id":"2","type":"x"}}"#), found(Some("1"), Some("x")));
    assert_eq!(members(r#"{"a":{"type":"y"},"b":{"id":"2"}}"#), found(None, None));
    assert_eq!(members(r#"{"a":{"id":{"type":"y","id":"3"}},"b":{"type":{}}}"#), found(None, None));
}

#[test]
fn a_hash_with_its_secret_inside_is_made_as_it_is_checked() {
    let scheme =
        custom("algorithm = 'sha256'\ncontent = '{secret}{body}'\nsignature = { header = 'x-sig', encoding = 'hex' }")
            .unwrap();
    let keys = keys(&scheme, &[("current", "yyyyyyyy-yyyy")]);
    let signed = sign_at(&scheme, &keys[0].key, "", NOW, b"[1]").unwrap();
    assert_eq!(signed.get("x-sig").unwrap(), &hex(mac::digest(|update| update(b"yyyyyyyy-yyyy[1]")).as_bytes()));
    assert!(judge(&scheme, &keys, &signed, b"[1]").is_ok());
}

#[test]
fn a_key_of_another_kind_curve_or_form_is_refused() {
    use super::public_key::{PublicAlgorithm as Algorithm, PublicKey, spki_der};
    const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    let tagged = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let point = |curve: &[u8], form: u8, length: usize| {
        let kind = [&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], curve].concat();
        let bits = [vec![0, form], vec![7; length - 1]].concat();
        tagged(0x30, &[tagged(0x30, &kind), tagged(0x03, &bits)].concat())
    };
    let refused = |der: &[u8], algorithm| PublicKey::from_spki(der, algorithm).err();
    for algorithm in [Algorithm::EcdsaP256Der, Algorithm::EcdsaP256Fixed] {
        assert_eq!(refused(&point(P256, 4, 65), algorithm), None);
        for other in
            [point(P384, 4, 97), point(P384, 4, 65), point(P256, 4, 64), point(P256, 4, 66), point(P256, 2, 65)]
        {
            assert_eq!(refused(&other, algorithm), Some(KeyProblem::OtherPublicKey));
        }
    }
    assert_eq!(refused(&point(P384, 4, 97), Algorithm::EcdsaP384Fixed), None);
    for other in [point(P256, 4, 65), point(P256, 4, 97), point(P384, 4, 96), point(P384, 2, 97)] {
        assert_eq!(refused(&other, Algorithm::EcdsaP384Fixed), Some(KeyProblem::OtherPublicKey));
    }
    for algorithm in [Algorithm::RsaSha1, Algorithm::RsaSha256, Algorithm::RsaPssSha512] {
        assert_eq!(refused(&point(P256, 4, 65), algorithm), Some(KeyProblem::OtherPublicKey));
    }
    let key = PublicKey::from_spki(&point(P256, 4, 65), Algorithm::EcdsaP256Der).unwrap();
    assert_eq!(format!("{key:?}"), "PublicKey(EcdsaP256Der)");
    // A private key in place of the public one has a name of its own: it has to be changed.
    let pem = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n").into_bytes();
    assert_eq!(spki_der(&pem("EC PRIVATE KEY")).unwrap_err(), KeyProblem::IsPrivateKey("-----BEGIN".into()));
    assert_eq!(spki_der(&pem("CERTIFICATE")).unwrap_err(), KeyProblem::NotSpki);
    assert_eq!(spki_der(&pem("PUBLIC KEY")).unwrap(), [0x30, 0]);
}

#[test]
fn every_scheme_in_code_says_what_it_reads_and_signs() {
    let catalog = Catalog::load().unwrap();
    let options = |name: &str| match name {
        "livekit" => Options::from([("api_key".to_owned(), "APIabc".to_owned())]),
        "rfc9421" => Options::from([("alg".to_owned(), "hmac-sha256".to_owned())]),
        _ => Options::new(),
    };
    // What it reads of the head, whether it signs the id, whether it signs the URL, whether it needs no secret.
    let table: &[(&str, &[&str], bool, bool, bool)] = &[
        ("adyen-payments", &[], true, false, false),
        ("aws-sns", &["x-amz-sns-message-id", "x-amz-sns-topic-arn", "x-amz-sns-message-type"], true, false, true),
        (
            "contentful",
            &[
                "x-contentful-signature",
                "x-contentful-signed-headers",
                "x-contentful-timestamp",
                "x-contentful-idempotency-key",
                "x-contentful-topic",
            ],
            true,
            true,
            false,
        ),
        ("dropbox-sign", &[], false, false, false),
        ("livekit", &["authorization"], true, false, false),
        ("mailgun", &[], true, false, false),
        ("mandrill", &["x-mandrill-signature"], false, true, false),
        ("messagebird", &["messagebird-signature-jwt"], true, true, false),
        ("microsoft-graph", &[], false, false, false),
        ("plaid", &["plaid-verification"], false, false, false),
        ("qstash", &["upstash-signature"], true, true, false),
        ("rfc9421", &["signature-input", "signature"], false, true, false),
        ("twilio", &["x-twilio-signature"], false, true, false),
    ];
    let mut coded = 0;
    for (name, spec) in catalog.iter().map(|(name, _)| (name, catalog.scheme(name).unwrap())) {
        let scheme = Scheme::compile(name, spec, &options(name));
        let Ok(scheme) = scheme else { continue };
        let Some((_, reads, id, url, unkeyed)) = table.iter().find(|(known, ..)| *known == name) else {
            assert!(matches!(scheme.engine, super::Engine::Template(_)) && !scheme.needs_no_secret(), "{name}");
            continue;
        };
        let names: Vec<&str> = scheme.headers().map(HeaderName::as_str).collect();
        assert_eq!(names, *reads, "{name}");
        assert_eq!((scheme.signs_id(), scheme.signs_url(), scheme.needs_no_secret()), (*id, *url, *unkeyed), "{name}");
        coded += 1;
    }
    assert_eq!(coded, table.len());
    // Only what is listed among the signed headers can be an id.
    let without = "engine = 'contentful'\nalgorithm = 'hmac-sha256'\nsignature = { header = 'x-sig', encoding = 'hex' }\n\
        timestamp = { header = 'x-time', unit = 'ms' }";
    assert!(!custom(without).unwrap().signs_id());
}

#[test]
fn a_body_of_two_types_is_refused_before_it_is_read() {
    for name in ["mailgun", "dropbox-sign", "microsoft-graph"] {
        let twice = [("content-type", "application/json"), ("content-type", "multipart/form-data; boundary=x")];
        let failure = present(&scheme(name), &headers(&twice), NOW, 300).unwrap_err();
        assert_eq!(failure.reject, Reject::HeaderRepeated, "{name}");
    }
    for (name, header) in [("mandrill", "x-mandrill-signature"), ("twilio", "x-twilio-signature")] {
        let signature = (header, &*STANDARD.encode([7; 20]));
        let (form, json) = ("application/x-www-form-urlencoded", "application/json");
        let run = |lines: &[(&str, &str)]| {
            let map = headers(lines);
            let head = Head { method: &Method::POST, url: Some("https://a.example/hook"), headers: &map };
            super::present(&scheme(name), head, Window { now: NOW, tolerance: 300 }).map_err(|failure| failure.reject)
        };
        assert_eq!(run(&[signature, ("content-type", form)]).unwrap().timestamp(), None, "{name}");
        let twice = [signature, ("content-type", form), ("content-type", json)];
        assert_eq!(run(&twice).unwrap_err(), Reject::HeaderRepeated, "{name}");
        assert_eq!(run(&[("content-type", form)]).unwrap_err(), Reject::HeaderMissing, "{name}");
    }
    for name in ["mailgun", "dropbox-sign", "adyen-payments", "microsoft-graph"] {
        let media = if name == "dropbox-sign" { "multipart/form-data; boundary=x" } else { "application/json" };
        let presented = present(&scheme(name), &headers(&[("content-type", media)]), NOW, 300).unwrap();
        // Their time, if any, is in the body.
        assert_eq!(presented.timestamp(), None, "{name}");
    }
}

#[test]
fn a_header_that_may_name_the_id_need_not_be_there() {
    let scheme = custom(
        "engine = 'jwt'\nalgorithm = 'hmac-sha256'\nsignature = { header = 'x-token', encoding = 'text' }\n\
         id = { header = 'x-id' }\njwt = { body_hash = { claim = 'hash', encoding = 'hex' } }",
    )
    .unwrap();
    let keys = keys(&scheme, &[("current", "a secret of some length, 32 bytes")]);
    let mut map = sign_at(&scheme, &keys[0].key, "msg_1", NOW, BODY).unwrap();
    map.remove("x-id");
    assert!(judge(&scheme, &keys, &map, BODY).is_ok());
    map.insert("x-id", HeaderValue::from_static("msg_1"));
    assert!(judge(&scheme, &keys, &map, BODY).is_ok());
    map.append("x-id", HeaderValue::from_static("msg_2"));
    assert_eq!(judge(&scheme, &keys, &map, BODY).unwrap_err().reject, Reject::HeaderRepeated);
}

#[test]
fn a_token_whose_signature_cannot_be_one_is_refused_before_the_body() {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let scheme = custom(
        "engine = 'jwt'\nalgorithm = 'hmac-sha256'\nsignature = { header = 'x-token', encoding = 'text' }\n\
         jwt = { body_hash = { claim = 'hash', encoding = 'hex' } }",
    )
    .unwrap();
    let keys = keys(&scheme, &[("current", "a secret of some length, 32 bytes")]);
    let genuine = sign_at(&scheme, &keys[0].key, "", NOW, BODY).unwrap();
    let genuine = genuine["x-token"].to_str().unwrap();
    let (signed, _) = genuine.rsplit_once('.').unwrap();
    let run = |bytes: usize| {
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(vec![7; bytes]));
        present(&scheme, &headers(&[("x-token", &token)]), NOW, 300).map_err(|failure| failure.reject)
    };
    assert!(present(&scheme, &headers(&[("x-token", genuine)]), NOW, 300).is_ok());
    assert_eq!(run(0).unwrap_err(), Reject::SignatureMismatch);
    assert!(run(1).is_ok() && run(1024).is_ok(), "what has a length that some key has is for the body to settle");
    assert_eq!(run(1025).unwrap_err(), Reject::SignatureMismatch);
}

#[test]
fn the_time_that_a_head_claims_is_known_before_the_body() {
    let catalog = Catalog::load().unwrap();
    for (name, options, secret) in [
        ("contentful", Options::new(), "a".repeat(64)),
        ("rfc9421", Options::from([("alg".to_owned(), "hmac-sha256".to_owned())]), STANDARD.encode([7; 32])),
    ] {
        let scheme = Scheme::compile(name, catalog.scheme(name).unwrap(), &options).unwrap();
        let key = scheme.key(secret.as_bytes()).unwrap().0;
        let (map, url) = (headers(&[("host", "a.example")]), Some("https://a.example/hook"));
        let delivery = Delivery { id: "", timestamp: NOW, method: &Method::POST, url, headers: &map, body: BODY };
        let mut map = map.clone();
        map.extend(
            sign(&scheme, Some(&key), &delivery).unwrap().headers.into_iter().map(|(name, value)| (Some(name), value)),
        );
        let at = |now: u64| {
            let head = Head { method: &Method::POST, url, headers: &map };
            super::present(&scheme, head, Window { now, tolerance: 30 }).map_err(|failure| failure.reject)
        };
        assert_eq!(at(NOW).unwrap().timestamp(), Some(NOW), "{name}");
        assert_eq!(at(NOW + 31).unwrap_err(), Reject::TimestampTooOld, "{name}");
        assert_eq!(at(NOW - 31).unwrap_err(), Reject::TimestampInFuture, "{name}");
    }
}

#[test]
fn a_signature_by_a_public_key_that_is_there_twice_counts_as_one() {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    const BEFORE_THE_POINT: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pair.as_ref(), &random).unwrap();
    let public = STANDARD.encode([&BEFORE_THE_POINT[..], pair.public_key().as_ref()].concat());
    let scheme = custom(
        "algorithm = 'ecdsa-p256'\nkey = { encoding = 'spki' }\ncontent = '{body}'\n\
         signature = { header = 'x-sig', also = ['x-sig-2'], encoding = 'base64' }",
    )
    .unwrap();
    let keys = keys(&scheme, &[("public", &public)]);
    let signature = STANDARD.encode(pair.sign(&random, BODY).unwrap());
    let other = STANDARD.encode(pair.sign(&random, b"[2]").unwrap());
    let run = |lines: &[(&str, &str)]| judge(&scheme, &keys, &headers(lines), BODY).map_err(|failure| failure.reject);
    assert!(run(&[("x-sig", &signature)]).is_ok());
    assert!(run(&[("x-sig", &signature), ("x-sig-2", &signature)]).is_ok());
    assert!(run(&[("x-sig", &other), ("x-sig-2", &signature)]).is_ok());
    assert_eq!(run(&[("x-sig", &other), ("x-sig-2", &other)]).unwrap_err(), Reject::SignatureMismatch);
}
