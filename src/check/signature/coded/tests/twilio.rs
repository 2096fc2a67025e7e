//! Twilio's own test vectors, and what could be made of a genuine request.

use http::Method;

use super::super::trial::{Request, Trial, tamperings};
use super::*;
use crate::check::signature::Scheme;

const SPEC: &str = r#"
engine = "twilio"
algorithm = "hmac-sha1"
signature = { header = "X-Twilio-Signature", encoding = "base64" }
"#;
const FORM: &str = "application/x-www-form-urlencoded";
const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
const CALL: &str = "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309";
const JSON: &str = r#"{"property": "value", "boolean": true}"#;

fn trial() -> Trial {
    Trial::new(SPEC, &["12345"])
}

/// twilio-python, `test_request_validator.py`.
fn call() -> Request {
    Request::post(URL, FORM, CALL).with("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
}

/// twilio-node, `validation.spec.js`.
fn json() -> Request {
    let url = format!("{URL}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620");
    Request::post(&url, "application/json", JSON).with("x-twilio-signature", "a9nBmqA0ju/hNViExpshrM61xv4=")
}

fn sms() -> Request {
    let body = "MessageSid=SM1&AccountSid=AC1&From=%2B1555&Body=Hi+there%21&EventType=onMessageAdded";
    trial().sign("", &Request::post("https://a.example/sms", FORM, body)).unwrap()
}

fn mismatch(request: &Request) {
    assert_eq!(trial().refusal(request), Some(Reject::SignatureMismatch), "{request:?}");
}

#[test]
fn accepts_the_vendors_vectors() {
    let own = |request: Request, signature: &str| request.with("x-twilio-signature", signature);
    for request in [
        call(),
        own(call().to(&URL.replace(".com", ".com:443")), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        own(call().to(&URL.replace(".com", ".com:1234")), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        own(call().to("http://mycompany.com:1234/myapp.php?foo=1&bar=2"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        own(call(), "kvajT1Ptam85bY51eRf/AJRuM3w="),
        own(call().to("http://mycompany.com/myapp.php?foo=1&bar=2"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        call().holding("To=%2B18005551212&From=%2B14158675309&Digits=1234&Caller=%2B14158675309&CallSid=CA1234567890ABCDE"),
        own(
            call().holding("Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"),
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        ),
        own(call().to(&URL.replace("//", "//user:pass@")), "CukzLTc1tT5dXEDIHm/tKBanW10="),
        own(call().to(&URL.replace("//", "//user:pass@")), "ZQFR1PTIZXF2MXB8ZnKCvnnA+rI="),
        own(call().to(&URL.replace("//", "//user@")), "2YRLlVAflCqxaNicjMpJcSTgzSs="),
        own(call().to(&format!("{URL}&Body=It's+amazing")), "TfZzewPq8wqrGlMfyAud8+/IvJ0="),
        own(
            call().holding("MessagingBinding.Address=%2B1415xxxxxxx&MessagingBinding.Address=%2B1325xxxxxxx"),
            "83O6e2vORAoJHUNzJjDWN1jz+BA=",
        ),
        json(),
        own(
            json().holding("{}").to(&format!(
                "{URL}&bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
            )),
            "Ldidvp12m26NI7eqEvxnEpkd9Hc=",
        ),
        own(
            json().to(
                "https://mycompany.com/myapp.php?bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
            ),
            "y77kIzt2vzLz71DgmJGsen2scGs=",
        ),
    ] {
        assert_eq!(trial().refusal(&request), None, "{request:?}");
    }
}

#[test]
fn an_apostrophe_may_be_signed_in_either_spelling() {
    let trial = Trial::new(SPEC, &["s3cr3t"]);
    for (url, signature) in [
        ("https://example.com:443/path?test=param", "loLgTitFAoWx57yy5oEU4Hlddzw="),
        ("https://example.com/path?test=param%27WithQuote", "GfI7onHX/KQ2k1oVS3cUTVk4IEw="),
        ("https://example.com/path?test=param'WithQuote", "GfI7onHX/KQ2k1oVS3cUTVk4IEw="),
        ("https://example.com/path?test=param%27WithQuote", "HkuXLxVQ7zHv9LmGpzlLuGaxhJY="),
        ("https://example.com/path?test=param'WithQuote", "HkuXLxVQ7zHv9LmGpzlLuGaxhJY="),
    ] {
        let request = Request::get(url).with("x-twilio-signature", signature);
        assert_eq!(trial.refusal(&request), None, "{url} {signature}");
    }
    let other = Request::get("https://example.com/path?test=param%22WithQuote");
    let other = other.with("x-twilio-signature", "HkuXLxVQ7zHv9LmGpzlLuGaxhJY=");
    assert_eq!(trial.refusal(&other), Some(Reject::SignatureMismatch));
}

#[test]
fn a_query_may_be_signed_as_the_legacy_serializer_writes_it() {
    let signed = trial().sign("", &Request::get("https://a.example/?a=It's%20(%C3%A9)&b=")).unwrap();
    for query in ["a=It's%20(%C3%A9)&b=", "a=It%27s+%28%c3%a9%29&b=", "%61=It's+(%C3%A9)&b"] {
        assert_eq!(trial().refusal(&signed.clone().to(&format!("https://a.example/?{query}"))), None, "{query}");
    }
    for query in ["b=&a=It's%20(%C3%A9)", "a=It's%20(%C3%A9)", "a=It's%2520(%C3%A9)&b=", "a=It's%20(%C3%A9)&b=%"] {
        mismatch(&signed.clone().to(&format!("https://a.example/?{query}")));
    }
}

#[test]
fn refuses_another_url_key_or_form() {
    mismatch(&call().to("https://mycompany.com/internal/myapp.php?foo=1&bar=2"));
    mismatch(&call().to("http://mycompany.com/myapp.php?foo=1&bar=2"));
    mismatch(&call().to("https://mycompany.com/myapp.php?foo=1&bar=2#x"));
    mismatch(&call().to("https://mycompany.com:443:443/myapp.php?foo=1&bar=2"));
    mismatch(&call().to("/myapp.php?foo=1&bar=2"));
    mismatch(&call().holding(CALL.replace("1234&", "1235&")));
    mismatch(&call().holding(format!("{CALL}&X=1")));
    mismatch(&call().holding(CALL.replace("&Digits=1234", "")));
    mismatch(&call().holding(""));
    // The same bytes, which the app would read as something else.
    mismatch(&call().without("content-type"));
    for media in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
        mismatch(&call().with("content-type", media));
    }
    assert_eq!(Trial::new(SPEC, &["12346"]).refusal(&call()), Some(Reject::SignatureMismatch));
    let rotated = Trial::new(SPEC, &["12346", "12345"]);
    assert_eq!(rotated.verify(&call()).unwrap().label(), "12345");
}

#[test]
fn every_byte_of_a_form_counts() {
    for request in [call(), sms()] {
        let fields = |body: &[u8]| {
            form::read(body).map(|mut fields| {
                fields.sort_unstable();
                fields.dedup();
                fields
            })
        };
        let mut tried = 0;
        for tampered in request.body_tamperings() {
            // Another case of a percent escape is the same form.
            if fields(&tampered.body) != fields(&request.body) {
                mismatch(&tampered);
                tried += 1;
            }
        }
        assert!(tried > 4 * request.body.len());
    }
}

#[test]
fn every_byte_of_a_hashed_body_and_its_url_counts() {
    for tampered in json().body_tamperings() {
        mismatch(&tampered);
    }
    for url in tamperings(json().url.as_bytes()).filter_map(|url| String::from_utf8(url).ok()) {
        let request = json().to(&url);
        assert_eq!(trial().refusal(&request), Some(Reject::SignatureMismatch), "{url}");
    }
}

#[test]
fn every_byte_of_the_header_counts() {
    for tampered in call().header_tamperings("x-twilio-signature") {
        assert!(trial().refusal(&tampered).is_some(), "{tampered:?}");
    }
    assert_eq!(trial().refusal(&call().without("x-twilio-signature")), Some(Reject::HeaderMissing));
    let twice = call().and("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    assert_eq!(trial().refusal(&twice), Some(Reject::HeaderRepeated));
    for text in ["", "RSOYDt4T1cUTdK1PDd93/VVr8B8", "RSOYDt4T1cUTdK1PDd93/VVr8B9=", "x", "AAAA"] {
        let request = call().with("x-twilio-signature", text);
        assert_eq!(trial().refusal(&request), Some(Reject::HeaderMalformed), "{text}");
    }
    assert_eq!(trial().refusal(&call().and("content-type", FORM)), Some(Reject::HeaderRepeated));
}

#[test]
fn a_body_that_is_no_form_must_be_hashed_at_the_end_of_the_url() {
    let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    mismatch(&json().holding(JSON.replace("true", "false")));
    mismatch(&json().to(URL));
    // Each of these is signed, and would be genuine by the rules of some library.
    let signed = |request: Request| {
        let tag = {
            let (key, _) = trial().scheme().key(b"12345").unwrap();
            STANDARD.encode(tag(tags::signing(Some(&key)).unwrap(), &request.url, &[]).as_bytes())
        };
        request.with("x-twilio-signature", &tag)
    };
    for url in [
        URL.to_owned(),
        format!("https://a.example/?bodySHA256={hash}&x=1"),
        format!("https://a.example/?bodySHA256={hash}&bodySHA256={hash}"),
        format!("https://a.example/?bodySHA256=&bodySHA256={hash}"),
        format!("https://a.example/?bodySHA256&bodySHA256={hash}"),
        format!("https://a.example/?xbodySHA256={hash}"),
        format!("https://a.example/?body%53HA256={hash}"),
        format!("https://a.example/?bodysha256={hash}"),
        format!("https://a.example/?bodySHA256={}", hash.to_uppercase()),
        format!("https://a.example/?bodySHA256={hash}0"),
        format!("https://a.example/?bodySHA256=%30{}", &hash[1..]),
        format!("https://a.example/bodySHA256={hash}"),
        format!("https://a.example/#?bodySHA256={hash}"),
    ] {
        mismatch(&signed(json().to(&url)));
    }
    for request in [
        json().to(&format!("https://a.example/?bodySHA256={hash}")),
        json().to(&format!("https://a.example?x&bodySHA256={hash}")),
        json().without("content-type"),
        json().with("content-type", "text/plain"),
        json().with("content-type", FORM),
    ] {
        assert_eq!(trial().refusal(&signed(request.clone())), None, "{request:?}");
    }
    // A form whose hash is in the URL too is the hashed kind.
    let both = json().with("content-type", FORM).holding("A=1");
    mismatch(&signed(both));
}

#[test]
fn without_a_body_the_url_alone_counts() {
    let get = trial().sign("", &Request::get("https://a.example/x?CallSid=CA1&To=%2B1")).unwrap();
    assert_eq!(trial().refusal(&get), None);
    let verified = trial().verify(&get).unwrap();
    assert!(verified.id().is_none());
    mismatch(&get.clone().to("https://a.example/x?CallSid=CA1&To=%2B2"));
    // A body cannot be slipped under it, of whatever type.
    for media in ["", "application/json", "text/plain", "multipart/form-data; boundary=x", FORM] {
        mismatch(&Request { method: Method::POST, ..get.clone() }.with("content-type", media).holding("A=1"));
    }
}

#[test]
fn what_a_genuine_request_never_needs_cannot_be_cut_out_of_it() {
    let get = trial().sign("", &Request::get("https://a.example/x?A=1&CallSid=CA1")).unwrap();
    let post = Request { method: Method::POST, ..get }.with("content-type", FORM);
    // All of these have the signed text.
    for (url, body) in [
        ("https://a.example/x", "%3FA=%3D1%26CallSid%3DCA1"),
        ("https://a.example/x?", "A%3D1%26CallSid=%3DCA1"),
        ("https://a.example/x?A=", "1=%26CallSid%3DCA1"),
        ("https://a.example/x?A=1", "%26CallSid=%3DCA1"),
        ("https://a.example/x?A=1&CallSid", "=%3DCA1"),
        ("https://a.example/x?A=1&CallSid=CA1", "="),
        ("https://a.example/x?A=1&CallSid=", "CA1"),
    ] {
        mismatch(&post.clone().to(url).holding(body));
    }
    // The known weakness, so that the module's documentation stays true.
    let recut = post.to("https://a.example/x?A=1&").holding("CallSid=%3DCA1");
    assert_eq!(trial().refusal(&recut), None);
}

#[test]
fn form_text_cannot_become_the_hash_of_another_body() {
    let forged = r#"{"From":"+1911"}"#;
    let hash = hex(digest(|update| update(forged.as_bytes())).as_bytes());
    let body = format!("Body=%26bodySHA256%3D{hash}%26z%3D&From=%2B1555");
    let genuine = trial().sign("", &Request::post("https://a.example/sms?x=1", FORM, body)).unwrap();
    assert_eq!(trial().refusal(&genuine), None);
    let url = format!("https://a.example/sms?x=1Body&bodySHA256={hash}&z=From+1555");
    mismatch(&genuine.to(&url).with("content-type", "application/json").holding(forged));
}

#[test]
fn spellings_that_parsers_read_in_several_ways_are_refused() {
    let signed = |body: &str| trial().sign("", &Request::post(URL, FORM, body));
    let genuine = signed("Body=a%3BFrom%3D%2B1911&From=%2B1555").unwrap();
    mismatch(&genuine.clone().holding("Body=a;From=%2B1911&From=%2B1555"));
    mismatch(&genuine.clone().holding("Body=a%3BFrom%3D%2B1911&From=%2B1555&"));
    mismatch(&genuine.clone().holding("Body=a%3BFrom%3D%2B1911&&From=%2B1555"));
    mismatch(&genuine.clone().holding("Body=a%3BFrom%3D%2B1911&From=%2B1555\r\n"));
    assert_eq!(trial().refusal(&genuine.clone().holding("Body=a%3bFrom=%2B1911&From=%2B1555")), None);
    for body in ["A=%zz", "A=%", "A=%FF", "A=\u{e9}", "A", "=1", "1A=1", "A%20B=1", "A%00=1", "%C3%A9=1", "A=1;B=2"] {
        assert_eq!(signed(body).unwrap_err(), SignProblem::Body, "{body}");
    }
    for body in ["A=%00", "A=", "A=%E2%82%AC+%2B", "A.b[0]_-=1", "A=b=c==", "SipHeader_X-Foo=1"] {
        assert_eq!(trial().refusal(&signed(body).unwrap()), None, "{body}");
    }
}

#[test]
fn a_form_cannot_be_moved_into_the_url_to_name_the_hash_of_another_body() {
    let forged = r#"{"forged":1}"#;
    let hash = hex(digest(|update| update(forged.as_bytes())).as_bytes());
    let url = "https://a.example/sms?x=1";
    let text = format!("AccountSid=AC1&Body=hi&zip=%26bodySHA256%3D{hash}");
    let genuine = trial().sign("", &Request::post(url, FORM, text.as_str())).unwrap();
    assert_eq!(trial().refusal(&genuine), None);
    let mut moved =
        Request::post(&format!("{url}AccountSidAC1Bodyhizip&bodySHA256={hash}"), "application/json", forged);
    moved.headers.insert("x-twilio-signature", genuine.headers.get("x-twilio-signature").unwrap().clone());
    mismatch(&moved);
}

#[test]
fn says_what_the_form_says_of_the_message() {
    let verified = trial().verify(&sms()).unwrap();
    assert_eq!(verified.id().map(|id| (id.text, id.signed)), Some(("SM1", true)));
    assert_eq!(verified.event_type().map(|kind| (kind.text, kind.signed)), Some(("onMessageAdded", true)));
    // Names and values stand side by side without a border.
    assert_eq!(verified.coverage(), Coverage::Partial);
    assert_eq!(verified.timestamp(), None);
    let scheme = trial();
    assert!(!scheme.scheme().signs_id() && scheme.scheme().signs_url());

    let id = |body: &str| {
        let request = trial().sign("", &Request::post(URL, FORM, body)).unwrap();
        trial().verify(&request).unwrap().id().map(|id| id.text.to_owned())
    };
    assert_eq!(id("CallSid=CA1&X=1"), Some("CA1".to_owned()));
    assert_eq!(id("CallSid=CA1&SmsSid=SM2"), Some("SM2".to_owned()));
    assert_eq!(id("CallSid=CA1&CallSid=CA2"), None);
    assert_eq!(id("CallSid=CA1%00"), None);
    assert_eq!(id(&format!("CallSid={}", "A".repeat(257))), None);
}

#[test]
fn signs_forms_in_the_header_and_other_bodies_in_the_url() {
    let form = trial().sign("", &call().without("x-twilio-signature")).unwrap();
    assert_eq!((form.header("x-twilio-signature"), form.url.as_str()), ("RSOYDt4T1cUTdK1PDd93/VVr8B8=", URL));
    let other = trial().sign("", &json().without("x-twilio-signature").to(URL)).unwrap();
    assert_eq!((other.header("x-twilio-signature"), &other.url), ("a9nBmqA0ju/hNViExpshrM61xv4=", &json().url));
    assert_eq!(trial().sign("", &json()).unwrap_err(), SignProblem::Url);
    let short = trial().sign("", &json().to("https://a.example/")).unwrap();
    assert!(short.url.starts_with("https://a.example/?bodySHA256=0a1ff763"));
    assert_eq!(trial().refusal(&short), None);
}

#[test]
fn a_huge_form_is_read_or_refused_but_never_cut_off() {
    let body = |count: usize| (0..count).map(|index| format!("A{index}=1")).collect::<Vec<_>>().join("&");
    let fits = trial().sign("", &Request::post(URL, FORM, body(1000))).unwrap();
    assert_eq!(trial().refusal(&fits), None);
    assert_eq!(trial().sign("", &Request::post(URL, FORM, body(1001))).unwrap_err(), SignProblem::Body);
    let long = trial().sign("", &Request::post(URL, FORM, format!("A={}", "a".repeat(1 << 20)))).unwrap();
    assert_eq!(trial().refusal(&long), None);
    mismatch(&long.clone().holding([&long.body[..], b"a"].concat()));
}

#[test]
fn needs_its_header_and_algorithm() {
    let fields = |spec: &str| {
        let problems = Scheme::compile("t", &toml::from_str(spec).unwrap(), &Options::new()).unwrap_err();
        problems.iter().map(|problem| problem.field).collect::<Vec<_>>()
    };
    assert_eq!(fields("engine = \"twilio\""), ["algorithm", "signature"]);
    assert_eq!(fields(&SPEC.replace("base64", "hex")), ["signature.encoding"]);
    assert_eq!(fields(&SPEC.replace("hmac-sha1", "hmac-sha256")), ["algorithm"]);
    assert_eq!(fields(&SPEC.replace("X-Twilio-Signature", "a b")), ["signature.header"]);
    assert_eq!(fields(&SPEC.replace("\"X-Twilio-Signature\"", "[\"a\", \"b\"]")), ["signature.header"]);
}
