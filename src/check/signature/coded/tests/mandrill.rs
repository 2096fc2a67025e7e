//! A known vector, and what could be made of a genuine request.

use super::super::trial::{Request, Trial};
use super::*;

const SPEC: &str = r#"
engine = "mandrill"
algorithm = "hmac-sha1"
signature = { header = "X-Mandrill-Signature", encoding = "base64" }
"#;
const FORM: &str = "application/x-www-form-urlencoded";
const URL: &str = "https://example.com/anymail/mandrill/";
const BODY: &str = "mandrill_events=%5B%7B%22event%22%3A%22send%22%7D%5D";

fn trial() -> Trial {
    Trial::new(SPEC, &["TEST_WEBHOOK_KEY"])
}

/// django-anymail, `tests/test_mandrill_webhooks.py`.
fn batch() -> Request {
    Request::post(URL, FORM, BODY).with("x-mandrill-signature", "BrFXkQ39TFcR52wPJUrtZ7SZFJc=")
}

fn mismatch(request: &Request) {
    assert_eq!(trial().refusal(request), Some(Reject::SignatureMismatch), "{request:?}");
}

#[test]
fn accepts_the_known_vector_and_says_nothing_of_its_events() {
    let verified = trial().verify(&batch()).unwrap();
    assert!(verified.id().is_none() && verified.event_type().is_none());
    assert_eq!(verified.coverage(), Coverage::Body);
    let signed = trial().sign("x", &batch().without("x-mandrill-signature")).unwrap();
    assert_eq!(signed.header("x-mandrill-signature"), "BrFXkQ39TFcR52wPJUrtZ7SZFJc=");
}

#[test]
fn the_url_counts_as_it_is() {
    for url in [
        "https://example.com:443/anymail/mandrill/",
        "https://example.com/anymail/mandrill",
        "http://example.com/anymail/mandrill/",
        "https://user:pass@example.com/anymail/mandrill/",
        "https://example.com/anymail/mandrill/?",
    ] {
        mismatch(&batch().to(url));
        let signed = trial().sign("x", &batch().without("x-mandrill-signature").to(url)).unwrap();
        assert_eq!(trial().refusal(&signed), None, "{url}");
    }
}

/// As django-anymail has it: the URL was entered with a user and a password, which come as basic authorization.
#[test]
fn credentials_that_were_entered_with_the_url_are_part_of_it() {
    let basic = |credentials: &str| format!("Basic {}", STANDARD.encode(credentials));
    let signed_as = |url: &str| {
        let signed = trial().sign("x", &batch().without("x-mandrill-signature").to(url)).unwrap();
        signed.to(URL)
    };
    let genuine = signed_as("https://user:pass-._~1@example.com/anymail/mandrill/");
    mismatch(&genuine);
    assert_eq!(trial().refusal(&genuine.clone().with("authorization", &basic("user:pass-._~1"))), None);
    let lower = basic("user:pass-._~1").replace("Basic", "basic");
    assert_eq!(trial().refusal(&genuine.clone().with("authorization", &lower)), None);
    for other in ["user:pass-._~2", "user", "user:", ":pass-._~1", "", "user:pass-._~1:"] {
        mismatch(&genuine.clone().with("authorization", &basic(other)));
    }
    for other in ["Bearer dXNlcjpwYXNzLS5ffjE=", "Basic dXNlcjpwYXNzLS5ffjE", "Basic", "user:pass-._~1"] {
        mismatch(&genuine.clone().with("authorization", other));
    }
    let twice = genuine.clone().with("authorization", &basic("user:pass-._~1"));
    mismatch(&twice.and("authorization", &basic("user:pass-._~1")));
    // Who signs without any may send some.
    assert_eq!(trial().refusal(&batch().with("authorization", &basic("user:pass"))), None);
    // Nothing that is signed begins with what an attacker may write there.
    for (url, credentials) in [
        ("https://a/b:c@example.com/anymail/mandrill/", "a/b:c"),
        ("https://a:b@c@example.com/anymail/mandrill/", "a:b@c"),
        ("https://a:b:c@example.com/anymail/mandrill/", "a:b:c"),
        ("https://a?b:c@example.com/anymail/mandrill/", "a?b:c"),
        ("https://:c@example.com/anymail/mandrill/", ":c"),
        ("https://a:@example.com/anymail/mandrill/", "a:"),
    ] {
        mismatch(&signed_as(url).with("authorization", &basic(credentials)));
    }
}

#[test]
fn every_byte_counts() {
    for tampered in batch().body_tamperings() {
        // Another case of a percent escape is the same form.
        if form::read(&tampered.body) != form::read(BODY.as_bytes()) {
            mismatch(&tampered);
        }
    }
    for tampered in batch().header_tamperings("x-mandrill-signature") {
        assert!(trial().refusal(&tampered).is_some(), "{tampered:?}");
    }
    assert_eq!(trial().refusal(&batch().without("x-mandrill-signature")), Some(Reject::HeaderMissing));
    let twice = batch().and("x-mandrill-signature", "BrFXkQ39TFcR52wPJUrtZ7SZFJc=");
    assert_eq!(trial().refusal(&twice), Some(Reject::HeaderRepeated));
    assert_eq!(trial().refusal(&batch().with("x-mandrill-signature", "x")), Some(Reject::HeaderMalformed));
    assert_eq!(Trial::new(SPEC, &["wrong API key"]).refusal(&batch()), Some(Reject::SignatureMismatch));
    assert_eq!(Trial::new(SPEC, &["wrong", "TEST_WEBHOOK_KEY"]).verify(&batch()).unwrap().label(), "TEST_WEBHOOK_KEY");
}

#[test]
fn only_a_form_with_its_events_once_is_read() {
    let sign = |media: &str, body: &str| trial().sign("x", &Request::post(URL, media, body));
    for body in ["", "a=1", "mandrill_events=1&mandrill_events=1", "mandrill_events=1&a=1&a=2", "mandrill_events"] {
        assert_eq!(sign(FORM, body).unwrap_err(), SignProblem::Body, "{body}");
    }
    for body in ["mandrill_events=1&=2", "mandrill_events=1&a%20b=2", "mandrill_events=%zz", "mandrill_events=%FF"] {
        assert_eq!(sign(FORM, body).unwrap_err(), SignProblem::Body, "{body}");
    }
    for media in ["", "application/json", "multipart/form-data; boundary=x", "text/plain"] {
        assert_eq!(sign(media, BODY).unwrap_err(), SignProblem::Body, "{media}");
        let request = batch().without("content-type");
        mismatch(&if media.is_empty() { request } else { request.with("content-type", media) });
    }
    // More fields are part of what is signed, whatever their order.
    let more = sign(FORM, "z=1&mandrill_events=%5B%5D&a=2").unwrap();
    assert_eq!(trial().refusal(&more), None);
    assert_eq!(trial().refusal(&more.clone().holding("a=2&mandrill_events=%5B%5D&z=1")), None);
    mismatch(&more.holding("a=2&mandrill_events=%5B%5D"));
}

#[test]
fn the_events_cannot_be_moved_into_the_url_nor_under_another_name() {
    mismatch(&batch().to(&format!("{URL}mandrill_events")).holding("%5B%7B%22event%22%3A%22send%22%7D%5D="));
    mismatch(&batch().holding("mandrill=_events%5B%7B%22event%22%3A%22send%22%7D%5D"));
    mismatch(&batch().to(&format!("{URL}mandrill_events[{{\"event\":\"send\"}}]")).holding(""));
}

#[test]
fn the_content_is_what_is_signed_and_nothing_else() {
    let sign = |url: &str, body: &str| trial().sign("", &Request::post(URL, FORM, body).to(url)).unwrap();
    let two = sign(URL, &format!("a=1+2&{BODY}"));
    trial().assert_one(&[
        two.clone(),
        two.clone().holding(format!("{BODY}&a=1%202")),
        two.clone().holding(format!("%61=1+2&{}", BODY.replace("%5B", "%5b"))),
        Request { method: http::Method::PUT, ..two.clone() },
        two.clone().with("x-any", "1"),
    ]);
    let other = BODY.replace("send", "open");
    trial().assert_all_differ(&[sign(URL, BODY), two, sign(URL, &other), sign(&format!("{URL}?"), BODY)]);
}
