//! Secrets: what is configured, and what the sender's key is.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::cases::{BODY, Case, KEY, NOW, OTHER, PLAIN, SECRET, base64, hex, provider, sha256, svix_signature};

const LONG: &str = "q7+d/8vKx0bTn2Zs5Lr9wA==";

pub(super) fn cases() -> Vec<(&'static str, Case, Case)> {
    let svix = |secret: String| {
        let near = Case::svix(&STANDARD.decode(&OTHER[6..]).unwrap()).with_secret(&secret);
        (Case::svix(KEY).with_secret(&secret), near)
    };
    let raw = |secret: &str, key: &str| {
        let near = format!("{key}.");
        (
            Case::github_with(secret.as_bytes(), key.as_bytes(), BODY, BODY),
            Case::github_with(secret.as_bytes(), near.as_bytes(), BODY, BODY),
        )
    };
    let mut cases = Vec::new();
    let mut add = |code: &'static str, (positive, near): (Case, Case)| cases.push((code, positive, near));
    for text in [format!("\"{SECRET}\""), format!("'{SECRET}'"), format!("\"{SECRET}\n\"")] {
        add("secret_quoted", svix(text));
    }
    for end in ["\n", "\r\n", "\\n"] {
        add("secret_newline", svix(format!("{SECRET}{end}")));
        add("secret_newline", raw(&format!("{PLAIN}{end}"), PLAIN));
    }
    for text in [format!(" {SECRET}"), format!("{SECRET} "), format!("\u{feff}{SECRET}")] {
        add("secret_space", svix(text));
    }
    add("secret_has_variable_name", svix(format!("CLERK_WEBHOOK_SECRET={SECRET}")));
    add("secret_has_variable_name", svix(format!("CLERK_WEBHOOK_SECRET=\"{SECRET}\"")));
    for word in ["Bearer", "bearer", "Token"] {
        add("secret_has_auth_scheme", svix(format!("{word} {SECRET}")));
    }
    add("secret_prefix_twice", svix(format!("whsec_{SECRET}")));
    let bare = |(positive, near): (Case, Case)| {
        let spec = provider("clerk");
        (Case { spec: spec.clone(), ..positive }, Case { spec, ..near })
    };
    add("secret_prefix_missing", bare(svix(SECRET[6..].to_owned())));
    let stripe = |key: &[u8]| Case::stripe(key, |tag| format!("t={NOW},v1={tag}"));
    add("secret_prefix_superfluous", (stripe(&SECRET.as_bytes()[6..]), stripe(&SECRET.as_bytes()[5..])));
    let kept = |key: &str| {
        let scheme = r#"
            content = "{body}"
            key = { prefixes = ["whsec_"] }
            signature = { header = "x-test-signature", encoding = "base64" }"#;
        Case::custom(scheme, key.as_bytes(), &base64(&sha256(key.as_bytes(), BODY))).with_secret(SECRET)
    };
    add("secret_prefix_kept", (kept(SECRET), kept(OTHER)));
    for key in [SECRET, &SECRET[6..]] {
        add("secret_used_raw", (Case::svix(key.as_bytes()), Case::svix(&key.as_bytes()[1..])));
    }
    add("secret_used_raw", bare(raw_text(&SECRET[6..])));
    // As the text of an alternative key, it would be none of this scheme's.
    add("secret_used_raw", raw_text("whpk_q7d8vKx0bTn2Zs5Lr9wA"));
    let decoded = STANDARD.decode(LONG).unwrap();
    let github = |secret: &str, key: &[u8]| Case::github_with(secret.as_bytes(), key, BODY, BODY);
    add("secret_used_base64", (github(LONG, &decoded), github(LONG, &decoded[1..])));
    let known = |key: &[u8]| github(SECRET, key).with_catalog();
    add("secret_used_base64", (known(KEY), known(&KEY[1..])));
    add(
        "secret_used_hex",
        (github("00ff10A0deadbeef", b"\x00\xff\x10\xa0\xde\xad\xbe\xef"), github("00ff10A0deadbeef", b"\x00\xff\x10")),
    );
    let unprefixed = |key: &[u8]| {
        let scheme = r#"
            content = "{body}"
            key = { encoding = "base64", prefixes = ["whsec_"], unprefixed = "utf8" }
            signature = { header = "x-test-signature", encoding = "base64" }"#;
        Case::custom(scheme, key, &base64(&sha256(key, BODY))).with_secret("00ff10A0deadbeef")
    };
    add("secret_used_hex", (unprefixed(b"\x00\xff\x10\xa0\xde\xad\xbe\xef"), unprefixed(b"\x00\xff\x10")));
    add("secret_is_list", raw("12345678,secret_1", "12345678"));
    let key = [0xfb, 0xff, 0xbe, 0x10, 0x32, 0x54, 0x76, 0x98, 0xfb, 0xff, 0xbe, 0x10, 0x32, 0x54, 0x76, 0x98, 0xab];
    let urlsafe = format!("whsec_{}", URL_SAFE.encode(key));
    add("secret_base64url", (Case::svix(&key).with_secret(&urlsafe), Case::svix(&key[1..]).with_secret(&urlsafe)));
    add("secret_url_encoded", raw("q7%2Bd%2F8vKx0bTn2Zs5Lr9wA%3D%3D", LONG));
    add("secret_plus_lost", raw("q7 d/8vKx0bTn2Zs5Lr9wA==", LONG));
    add("secret_padding", raw(LONG.trim_end_matches('='), LONG));
    add("secret_padding", raw(LONG, LONG.trim_end_matches('=')));
    add("secret_newline_missing", raw(PLAIN, &format!("{PLAIN}\n")));
    add("secret_newline_missing", raw(PLAIN, &format!("{PLAIN}\r\n")));
    add("secret_is_list", raw(&format!("{OTHER},{LONG}"), LONG));
    let mut elsewhere = svix(OTHER.to_owned());
    for case in [&mut elsewhere.0, &mut elsewhere.1] {
        case.others = vec![("routes.a: current".into(), b"?".into()), ("routes.b: next".into(), SECRET.into())];
    }
    elsewhere.1.headers([("svix-id", "msg_2")]);
    add("secret_of_another_route", elsewhere);
    cases.push(("delivery_of_another_route", astray(SECRET), astray(OTHER)));
    let mut add = |code: &'static str, (positive, near): (Case, Case)| cases.push((code, positive, near));
    add("other_provider", (stray("msg_1").with_catalog(), stray("msg_2").with_catalog()));
    add("other_provider", (stray("msg_1").with_catalog(), stray("msg_1")));
    cases
}

/// Of Svix, where the secret's text is the key.
fn raw_text(secret: &str) -> (Case, Case) {
    let case = |key: &[u8]| Case::svix(key).with_secret(secret);
    (case(secret.as_bytes()), case(&secret.as_bytes()[1..]))
}

/// A delivery of Standard Webhooks at a route for GitHub.
fn stray(id: &str) -> Case {
    let mut case = Case::github(BODY, BODY).with_secret(SECRET).without("x-hub-signature-256");
    case.key = KEY.to_vec();
    let time = NOW.to_string();
    let signature = svix_signature(KEY, "msg_1", &time, BODY);
    case.headers([("webhook-id", id), ("webhook-timestamp", &time), ("webhook-signature", &signature)]);
    case
}

/// A delivery of Stripe's at a route for Svix, and a route for Stripe with this secret.
fn astray(secret: &str) -> Case {
    let stripe = Case::stripe(SECRET.as_bytes(), |tag| format!("t={NOW},v1={tag}"));
    let mut case = Case::svix(KEY).with_secret(OTHER).without("svix-signature");
    case.headers.extend(stripe.headers.clone());
    case.signatures.clone_from(&stripe.signatures);
    case.elsewhere.push(Case { secrets: vec![("live".into(), secret.into())], ..stripe });
    case
}

#[test]
fn a_delivery_of_another_route_is_told_where_it_belongs() {
    let found = astray(SECRET).diagnosed();
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].finding,
        "This is a `stripe` delivery, signed with the secret `live` of routes.there; it was sent to the path of routes.here."
    );
    assert!(found[0].fix.contains("/there"), "{}", found[0].fix);
    let mut late = astray(SECRET);
    late.window.now = NOW + 1_000_000;
    assert_eq!(late.codes(), ["delivery_of_another_route"], "whenever it was sent");
}

#[test]
fn a_secret_that_was_explained_is_not_explained_again() {
    // `whsec_` has an underscore: that alone is no other alphabet.
    for text in [format!("\"{SECRET}\""), format!("Bearer {SECRET}"), format!("{SECRET}\\n")] {
        let found = Case::svix(KEY).with_secret(&text).codes();
        assert_eq!(found.len(), 1, "{text}: {found:?}");
    }
    let bare = Case::github_with(format!("Bearer {PLAIN}").as_bytes(), PLAIN.as_bytes(), BODY, BODY);
    assert_eq!(bare.codes(), ["secret_has_auth_scheme"]);
}

#[test]
fn providers_that_look_alike_are_named_in_the_order_of_likelihood() {
    let found = stray("msg_1").with_catalog().diagnosed();
    assert!(found[0].finding.contains("as one of `svix`, `standard-webhooks`, "), "{}", found[0].finding);
}

#[test]
fn another_routes_secret_is_named_by_its_label() {
    let mut case = Case::svix(KEY).with_secret(OTHER);
    case.others = vec![("routes.billing: next".into(), SECRET.into())];
    let found = case.diagnosed();
    assert_eq!(found.len(), 1);
    assert!(found[0].finding.contains("`routes.billing: next`"), "{}", found[0].finding);
}

#[test]
fn another_provider_is_named() {
    let found = stray("msg_1").with_catalog().diagnosed();
    assert!(found[0].finding.contains("not of `github`"), "{}", found[0].finding);
    assert!(
        found[0].finding.contains("standard-webhooks") || found[0].finding.contains("more"),
        "{}",
        found[0].finding
    );
}

#[test]
fn an_entry_of_a_list_is_longer_than_a_word() {
    let case = Case::github_with(b"1234567,secret_1", b"1234567", BODY, BODY);
    assert_eq!(case.codes(), [""; 0]);
}

#[test]
fn a_public_key_is_not_read_in_another_encoding() {
    let scheme = r#"
        algorithm = "ed25519"
        content = "{body}"
        key = { encoding = "hex" }
        signature = { header = "x-test-signature", encoding = "hex" }"#;
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key().to_bytes();
    let case = Case::custom(scheme, &public, &hex(&key.sign(BODY).to_bytes()));
    assert_eq!(case.with_secret(base64(&public)).codes(), [""; 0]);
}

#[test]
fn a_provider_is_not_tried_as_another_one() {
    let mut case = Case::github(b"forged", BODY).with_catalog();
    let asked = case.counted().1;
    case.name = "mine".to_owned();
    assert_eq!(case.counted().1.checked_sub(asked), Some(1));
}

#[test]
fn the_header_of_an_event_excuses_companions_only() {
    let case = stray("msg_1").with_catalog().with_headers([("x-github-event", "push")]);
    assert_eq!(case.codes(), ["other_provider"]);
}

#[test]
fn a_route_with_other_options_is_another_one() {
    for (key, code) in [("APIother", Some("delivery_of_another_route")), ("APIabc", None)] {
        let claims = json!({ "iss": key, "nbf": NOW, "exp": NOW + 300, "sha256": base64(&Sha256::digest(BODY)) });
        let case = |key: &str| Case::token("livekit", &claims, BODY, "").with_option("api_key", key);
        let mut here = case("APIabc").with_secret("another secret of some length");
        here.elsewhere.push(case(key));
        assert_eq!(here.codes().first().copied(), code, "{key}");
    }
}
