//! Handshakes at their bounds, by the entries of the catalogue.

use ed25519_dalek::{Signer as _, SigningKey};
use http::HeaderValue;

use super::*;
use crate::check::signature::{Head, Scheme, Window, present, verify};
use crate::providers::Catalog;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8");

/// A route of one provider.
struct Route {
    handshakes: Vec<Handshake>,
    scheme: Scheme,
    keys: Vec<LabeledKey>,
}

impl Route {
    fn new(provider: &str, options: &[(&str, &str)], secrets: &[&str]) -> Self {
        let catalog = Catalog::load().unwrap();
        let options: Options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let scheme = Scheme::compile(provider, catalog.scheme(provider).unwrap(), &options).unwrap();
        let handshakes: Vec<_> =
            catalog.handshakes(provider).iter().map(|spec| Handshake::compile(spec, &options).unwrap()).collect();
        assert!(!handshakes.is_empty(), "{provider}");
        let keys = secrets
            .iter()
            .map(|secret| LabeledKey { label: (*secret).into(), key: scheme.key(secret.as_bytes()).unwrap().0 });
        Self { handshakes, keys: keys.collect(), scheme }
    }

    fn ask(&self, method: &Method, query: &str, headers: &[(&'static str, &str)]) -> Option<Result<Reply, Reject>> {
        let headers = map(headers);
        unsigned(&self.handshakes, Asked { method, query: Some(query), headers: &headers }, &self.keys)
    }

    fn get(&self, query: &str) -> Option<Result<Reply, Reject>> {
        self.ask(&Method::GET, query, &[])
    }
}

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    let value = |value: &str| HeaderValue::from_str(value).unwrap();
    headers.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
}

#[allow(clippy::unnecessary_wraps, reason = "compared with what is answered")]
fn text(text: &str) -> Option<Result<Reply, Reject>> {
    Some(Ok(Reply { status: StatusCode::OK, body: Some((Content::Text, text.into())), confirm: None }))
}

#[allow(clippy::unnecessary_wraps, reason = "compared with what is answered")]
fn json(text: &str) -> Option<Result<Reply, Reject>> {
    Some(Ok(Reply { status: StatusCode::OK, body: Some((Content::Json, text.into())), confirm: None }))
}

#[test]
fn every_handshake_of_the_catalogue_compiles() {
    let catalog = Catalog::load().unwrap();
    let mut count = 0;
    for (name, provider) in catalog.iter() {
        let scheme = catalog.scheme(name).unwrap();
        let options: Options = scheme.options.keys().map(|option| (option.clone(), "x".to_owned())).collect();
        for spec in catalog.handshakes(name) {
            Handshake::compile(spec, &options).unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
            assert!(provider.trust_on_first_use.is_none(), "{name}: never and always");
            // Only where the body alone is signed is a token what a whole delivery is signed by.
            assert!(spec.signed || spec.hmac.is_none() || scheme.content == "{body}", "{name}");
            if let Some(check) = &spec.check {
                assert!(scheme.options.contains_key(&check.option), "{name}");
                let without = Handshake::compile(spec, &Options::new()).unwrap_err();
                assert!(matches!(without, HandshakeFlaw::OptionMissing(_)), "{name}: {without}");
                let empty = Options::from([(check.option.clone(), String::new())]);
                assert!(Handshake::compile(spec, &empty).is_err(), "{name}: an empty word is none");
            }
            count += 1;
        }
    }
    assert!(count >= 18, "{count}");
}

#[test]
fn an_unsound_handshake_does_not_compile() {
    for toml in [
        "",
        "method = \"POST\"\necho = { query = \"a\" }\nanswer = { text = \"{echo}\" }",
        "method = \"PUT\"",
        "no_body = true",
        "when = [{ at = { query = \"a\" } }]\necho = { query = \"a\" }\nanswer = { text = \"{echo}\" }",
        "method = \"GET\"\nwhen = [{ at = { form = \"a\" } }]",
        "signed = true",
        "signed = true\nwhen = [{ at = { form = \"a\" } }]",
        "method = \"GET\"\necho = { json = \"a\" }\nanswer = { text = \"{echo}\" }",
        "method = \"GET\"\necho = { query = \"a\" }",
        "method = \"GET\"\nanswer = { text = \"{echo}\" }",
        "method = \"GET\"\necho = { query = \"a\" }\nhmac = \"hex\"\nanswer = { text = \"{echo}\" }",
        "method = \"GET\"\necho = { query = \"a\" }\nanswer = { text = \"{hmac}\" }",
        "method = \"GET\"\nanswer = { text = \"a\", json = \"1\" }",
        "method = \"GET\"\nanswer = { status = 302 }",
        "method = \"GET\"\nconfirm = { at = { query = \"a\" }, begins = [\"https://a.*.b/\"] }",
        "signed = true\nwhen = [{ at = { json = \"a\" } }]\nconfirm = { at = { json = \"a\" }, begins = [] }",
        "signed = true\nwhen = [{ at = { json = \"a\" } }]\nconfirm = { at = { json = \"a\" }, begins = [\"http://a.*.b/\"] }",
        "signed = true\nwhen = [{ at = { json = \"a\" } }]\nconfirm = { at = { json = \"a\" }, begins = [\"https://a.*.b\"] }",
        "signed = true\nwhen = [{ at = { json = \"a\" } }]\nconfirm = { at = { json = \"a\" }, begins = [\"https://*.b/\"] }",
    ] {
        let spec: HandshakeSpec = toml::from_str(toml).unwrap();
        assert!(matches!(Handshake::compile(&spec, &Options::new()), Err(HandshakeFlaw::Unsound(_))), "{toml}");
    }
}

#[test]
fn a_challenge_is_given_back_decoded() {
    let dropbox = Route::new("dropbox", &[], &["a-secret-of-some-length"]);
    assert_eq!(dropbox.get("challenge=abc123"), text("abc123"));
    assert_eq!(dropbox.get("a=1&ch%61llenge=a%2Fb+c%20d"), text("a/b c d"));
    let okta = Route::new("okta", &[], &["a-secret-of-some-length"]);
    let header = "x-okta-verification-challenge";
    assert_eq!(okta.ask(&Method::GET, "", &[(header, "a\\b")]), json(r#"{"verification":"a\\b"}"#));
    assert_eq!(okta.ask(&Method::GET, "", &[(header, "a"), (header, "a")]), None);
    assert_eq!(okta.ask(&Method::GET, "x-okta-verification-challenge=a", &[]), None);
}

#[test]
fn what_could_be_markup_or_is_long_repeated_or_missing_is_no_challenge() {
    let dropbox = Route::new("dropbox", &[], &["a-secret-of-some-length"]);
    let longest = "a".repeat(MAX_ECHO);
    assert_eq!(dropbox.get(&format!("challenge={longest}")), text(&longest));
    assert_eq!(dropbox.get(&format!("challenge={longest}a")), None);
    for query in [
        "",
        "challenge",
        "challenge=",
        "Challenge=a",
        "challenge=a&challenge=a",
        "challenge=a&ch%61llenge=b",
        "challenge=a%0d%0ab",
        "challenge=%00",
        "challenge=%C3%A9",
        "challenge=%",
        "challenge=%3Cscript%3E",
        "challenge=a%3C",
        "challenge=a%3E",
        "challenge=a%22",
        "challenge=a%26",
        "challenge=a%27",
        "challenge=a'",
    ] {
        assert_eq!(dropbox.get(query), None, "{query}");
    }
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS] {
        assert_eq!(dropbox.ask(&method, "challenge=abc123", &[]), None, "{method}");
    }
}

#[test]
fn the_agreed_word_has_to_be_right() {
    let meta = Route::new("whatsapp", &[("verify_token", "my_verify_token")], &["0123456789abcdef0123456789abcdef"]);
    let ask =
        |mode, word, challenge| meta.get(&format!("hub.mode={mode}&hub.verify_token={word}&hub.challenge={challenge}"));
    assert_eq!(ask("subscribe", "my_verify_token", "1158201444"), text("1158201444"));
    for word in ["", "my_verify_toke", "my_verify_tokenn", "MY_VERIFY_TOKEN", "x"] {
        assert_eq!(ask("subscribe", word, "1158201444"), Some(Err(Reject::SignatureMismatch)), "{word}");
    }
    assert_eq!(ask("unsubscribe", "my_verify_token", "1158201444"), None);
    assert_eq!(ask("subscribe", "my_verify_token", "%3Cb%3E"), None);
    assert_eq!(meta.get("hub.mode=subscribe&hub.challenge=1"), None);
    assert_eq!(ask("subscribe", "my_verify_token&hub.verify_token=my_verify_token", "1"), None);
}

#[test]
fn a_mac_is_made_of_tokens_alone_and_such_a_body_proves_nothing() {
    let twitter = Route::new("twitter", &[], &["consumer_secret", "another_secret"]);
    assert_eq!(
        twitter.get("crc_token=challenge_string"),
        json(r#"{"response_token":"sha256=v1WdiCVwy17uGTMWveHGlqQXN/qW1bQraNXXByRO2YA="}"#)
    );
    for delivery in ["{}", "[]", "[1]", "a.b", "a b", "a%3Db%26c", "%7B%22a%22:1%7D", "1.5"] {
        assert_eq!(twitter.get(&format!("crc_token={delivery}")), None, "{delivery}");
    }
    let made = |body: &str| could_be_of_our_making(&[Bytes::copy_from_slice(body.as_bytes())]);
    // Whatever a MAC can be had for.
    for token in ["1", "-1", "1e5", "true", "null", "challenge_string", "YQ==", "a+b/c"] {
        assert!(twitter.get(&format!("crc_token={}", token.replace('+', "%2B"))).is_some(), "{token}");
        assert!(made(token), "{token}");
    }
    assert!(could_be_of_our_making(&[Bytes::from_static(b"tr"), Bytes::from_static(b"ue")]));
    assert!(!made(r#"{"for_user_id":"1"}"#));
    let catalog = Catalog::load().unwrap();
    assert!(signs_for_anyone(catalog.handshakes("twitter")));
    // Zoom's challenge is signed itself, and Meta has none made.
    for provider in ["zoom", "meta", "clerk"] {
        assert!(!signs_for_anyone(catalog.handshakes(provider)), "{provider}");
    }
}

/// What a verified body comes to, signed with a secret of Zoom's shape.
fn zoom(route: &Route, secret: &str, body: &str) -> Option<Result<Reply, Reject>> {
    let key = Route::new("zoom", &[], &[secret]);
    let mac = key.keys[0].key.mac_of(format!("v0:1754300000:{body}").as_bytes()).unwrap();
    let signature = format!("v0={}", written(MacEncoding::Hex, &mac));
    let headers = map(&[("x-zm-request-timestamp", "1754300000"), ("x-zm-signature", &signature)]);
    let window = Window { now: 1_754_300_000, tolerance: 300 };
    let body = [Bytes::copy_from_slice(body.as_bytes())];
    let head = Head { method: &Method::POST, url: None, headers: &headers };
    let presented = present(&route.scheme, head, window).unwrap();
    let verified = verify(&route.scheme, &route.keys, &presented, &body, window).unwrap();
    let asked = Asked { method: &Method::POST, query: None, headers: &headers };
    signed(&route.handshakes, asked, &body, &verified, &route.keys)
}

#[test]
fn a_signed_challenge_is_answered_with_the_secret_that_signed_it() {
    let route = Route::new("zoom", &[], &["a_newer_secret", "zoom_secret_token"]);
    let body = |token: &str| {
        format!(r#"{{"payload":{{"plainToken":"{token}"}},"event_ts":1,"event":"endpoint.url_validation"}}"#)
    };
    let answer = r#"{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"bd48235863f4a6323ccc4963c594908b7c97f88b4a6a95278f4f093690b12726"}"#;
    assert_eq!(zoom(&route, "zoom_secret_token", &body("qgg8vlvZRS6UYooatFL8Aw")), json(answer));
    let other = zoom(&route, "a_newer_secret", &body("qgg8vlvZRS6UYooatFL8Aw")).unwrap().unwrap();
    assert!(!other.body.unwrap().1.contains("bd48235863f4"));
    // What Zoom signs events by begins with `v0:`.
    assert_eq!(zoom(&route, "zoom_secret_token", &body("v0:1754300000:x")), None);
    let padded = |length: usize| format!("{:<length$}", body("a"));
    assert!(zoom(&route, "zoom_secret_token", &padded(16 * 1024)).is_some());
    assert_eq!(zoom(&route, "zoom_secret_token", &padded(16 * 1024 + 1)), None);
}

#[test]
fn a_number_in_the_body_tells_a_handshake_only_if_it_is_that_number() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key().to_bytes().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let route = Route::new("discord", &[], &[&public]);
    let window = Window { now: 1_754_300_000, tolerance: 300 };
    let reply = |body: &'static str| {
        let signature = key.sign(format!("{}{body}", window.now).as_bytes()).to_bytes();
        let signature = signature.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let headers = map(&[("x-signature-ed25519", &signature), ("x-signature-timestamp", "1754300000")]);
        let head = Head { method: &Method::POST, url: None, headers: &headers };
        let presented = present(&route.scheme, head, window).unwrap();
        let body = [Bytes::from_static(body.as_bytes())];
        let verified = verify(&route.scheme, &route.keys, &presented, &body, window).unwrap();
        let asked = Asked { method: &Method::POST, query: None, headers: &headers };
        signed(&route.handshakes, asked, &body, &verified, &route.keys)
    };
    assert_eq!(reply(r#"{"type":1}"#), json(r#"{"type":1}"#));
    let empty = Reply { status: StatusCode::NO_CONTENT, body: None, confirm: None };
    assert_eq!(reply(r#"{"type":0}"#), Some(Ok(empty)));
    for delivery in [r#"{"type":2}"#, r#"{"type":"1"}"#, r#"{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}"#, "{}"] {
        assert_eq!(reply(delivery), None, "{delivery}");
    }
}

#[test]
fn a_form_is_one_only_without_a_try_to_sign_and_as_a_whole() {
    let slack = Route::new("slack", &[], &["0123456789abcdef0123456789abcdef"]);
    let maybe = |method: &Method, headers: &[(&'static str, &str)]| {
        let headers = map(headers);
        let asked = Asked { method, query: None, headers: &headers };
        may_be_a_form(&slack.handshakes, asked, slack.scheme.headers())
    };
    assert!(maybe(&Method::POST, &[FORM]));
    assert!(!maybe(&Method::PUT, &[FORM]));
    assert!(!maybe(&Method::POST, &[("content-type", "application/json")]));
    assert!(!maybe(&Method::POST, &[]));
    assert!(!maybe(&Method::POST, &[FORM, ("x-slack-signature", "v0=00")]));
    assert!(!maybe(&Method::POST, &[FORM, ("x-slack-request-timestamp", "1")]));
    let headers = HeaderMap::new();
    let read = |body: &str| {
        let asked = Asked { method: &Method::POST, query: None, headers: &headers };
        unsigned_form(&slack.handshakes, asked, &[Bytes::copy_from_slice(body.as_bytes())], &slack.keys)
    };
    let empty = Some(Ok(Reply { status: StatusCode::OK, body: None, confirm: None }));
    assert_eq!(read("ssl_check=1&token=xyz"), empty);
    assert_eq!(read("token=xyz&ssl_check=1"), empty);
    for body in
        ["", "ssl_check", "ssl_check=0", "ssl_check=1&ssl_check=1", "xssl_check=1", "ssl_check=1;a=b", "payload=1"]
    {
        assert_eq!(read(body), None, "{body}");
    }
    let headers = map(&[FORM]);
    let asked = Asked { method: &Method::POST, query: None, headers: &headers };
    for (provider, secret) in [("dropbox", "a-secret-of-some-length"), ("zoom", "zoom_secret_token")] {
        let other = Route::new(provider, &[], &[secret]);
        assert!(!may_be_a_form(&other.handshakes, asked, other.scheme.headers()), "{provider}");
    }
}

#[test]
fn an_address_is_called_only_if_it_is_the_providers_own() {
    let begins = [
        Beginning::parse("https://sns.*.amazonaws.com/?Action=ConfirmSubscription").unwrap(),
        Beginning::parse("https://sns.*.amazonaws.com.cn/?Action=ConfirmSubscription").unwrap(),
    ];
    let fits = |url: &str| begins.iter().any(|begin| begin.fits(url));
    assert!(fits(
        "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-west-2:1:T&Token=2"
    ));
    assert!(fits("https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription&Token=2"));
    for url in [
        "",
        "http://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=2",
        "https://sns.us-west-2.amazonaws.com.evil.example/?Action=ConfirmSubscription&Token=2",
        "https://sns.evil.example/.amazonaws.com/?Action=ConfirmSubscription&Token=2",
        "https://sns.evil/.amazonaws.com/?Action=ConfirmSubscription&Token=2",
        "https://sns.a@b.amazonaws.com/?Action=ConfirmSubscription&Token=2",
        "https://sns..amazonaws.com/?Action=ConfirmSubscription&Token=2",
        "https://sns.US-WEST-2.amazonaws.com/?Action=ConfirmSubscription&Token=2",
        "https://sns.us-west-2.amazonaws.com:444/?Action=ConfirmSubscription&Token=2",
        "https://x@sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=2",
        "https://snsxus-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=2",
        "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe&Token=2",
        "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=2 x",
        "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=2\r\nx: y",
        "https://169.254.169.254/?Action=ConfirmSubscription&Token=2",
    ] {
        assert!(!fits(url), "{url}");
    }
}
