//! The examples of RFC 9421 as they are, and requests that try to mean something else than was signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use sha2::{Digest as _, Sha256, Sha512};
use spki::der::Document;

use super::super::components::{Message, parse_component};
use super::super::trial::{Request, Trial};
use crate::check::signature::mac::MacState;
use crate::check::signature::scheme::Algorithm;
use crate::check::signature::{Coverage, Options, Scheme, SchemeFlaw, SignProblem};
use crate::reject::Reject;

const SPEC: &str = r#"
engine = "rfc9421"
key = { encoding = "base64" }
timestamp = { tolerance = 300 }
[options.label]
doc = "label"
[options.alg]
doc = "algorithm"
required = true
[options.components]
doc = "components"
"#;

/// RFC 9421 appendix B.1: the public halves, and the shared secret.
const RSA_PSS: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----";
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----";
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----";
const SECRET: &str = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

const MISMATCH: Option<Reject> = Some(Reject::SignatureMismatch);
const MALFORMED: Option<Reject> = Some(Reject::HeaderMalformed);
/// When the RFC's examples were signed.
const SIGNED_AT: u64 = 1_618_884_473;
const BODY: &str = r#"{"hello": "world"}"#;
const URL: &str = "https://example.com/foo?param=Value&Pet=dog";

fn trial(alg: &str, key: &str, options: &[(&str, &str)]) -> Trial {
    let mut trial = Trial::with_options(SPEC, &[key], &[&[("alg", alg)], options].concat());
    trial.now = SIGNED_AT;
    trial
}

fn hmac(options: &[(&str, &str)]) -> Trial {
    trial("hmac-sha256", SECRET, options)
}

/// RFC 9421 appendix B.2: the request of the examples.
fn example(input: &str, signature: &str) -> Request {
    Request::post(URL, "application/json", BODY)
        .with("host", "example.com")
        .with("date", "Tue, 20 Apr 2021 02:07:55 GMT")
        .with(
            "content-digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        )
        .with("content-length", "18")
        .with("signature-input", input)
        .with("signature", signature)
}

fn b21() -> Request {
    example(
        r#"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
        "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:",
    )
}

fn b22() -> Request {
    example(
        r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
        "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
    )
}

fn b23() -> Request {
    example(
        r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
        "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
    )
}

fn b24() -> Request {
    example(
        r#"sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#,
        "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
    )
    .with("content-digest", "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:")
    .with("content-length", "23")
    .holding(r#"{"message": "good dog"}"#)
}

fn b25() -> Request {
    example(
        r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
        "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    )
}

fn b26() -> Request {
    example(
        r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    )
}

fn b3() -> Request {
    Request::post("https://service.internal.example/foo?param=Value&Pet=dog", "application/json", BODY)
        .with("client-cert", ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:")
        .with("signature-input", r#"ttrp=("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256""#)
        .with("signature", "ttrp=:xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==:")
}

fn b4() -> Request {
    Request::get("https://example.org/demo?name1=Value1&Name2=value2")
        .with("accept", "application/json")
        .and("accept", "*/*")
        .with(
            "signature-input",
            r#"transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519""#,
        )
        .with(
            "signature",
            "transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:",
        )
}

#[test]
fn the_examples_of_the_rfc_are_what_it_says() {
    for (name, alg, key, request, coverage) in [
        ("B.2.1", "rsa-pss-sha512", RSA_PSS, b21(), Coverage::Token),
        ("B.2.2", "rsa-pss-sha512", RSA_PSS, b22(), Coverage::Body),
        ("B.2.3", "rsa-pss-sha512", RSA_PSS, b23(), Coverage::Body),
        ("B.2.5", "hmac-sha256", SECRET, b25(), Coverage::Token),
        ("B.2.6", "ed25519", ED25519, b26(), Coverage::Token),
        ("B.3", "ecdsa-p256-sha256", P256, b3(), Coverage::Token),
        ("B.4", "ed25519", ED25519, b4(), Coverage::Token),
    ] {
        let verified = trial(alg, key, &[]).verify(&request).unwrap();
        assert_eq!((verified.coverage(), verified.timestamp()), (coverage, Some(SIGNED_AT)), "{name}");
        for other in ["rsa-pss-sha512", "rsa-v1_5-sha256"].into_iter().filter(|other| key == RSA_PSS && *other != alg) {
            assert_eq!(trial(other, key, &[]).refusal(&request), MISMATCH, "{name} {other}");
        }
    }
    // A response.
    assert_eq!(trial("ecdsa-p256-sha256", P256, &[]).refusal(&b24()), MALFORMED);
}

#[test]
fn the_transformations_of_the_rfc_are_what_it_says() {
    let trial = trial("ed25519", ED25519, &[]);
    let accept = |first: &str, second: &str| b4().with("accept", first).and("accept", second);
    for (request, refusal) in [
        (b4().to("https://example.org/demo?name1=Value1&Name2=value2&param=added"), None),
        (b4().with("accept-language", "en-US,en;q=0.5"), None),
        (b4().with("accept", "application/json, */*"), None),
        (Request { method: Method::POST, ..b4() }, MISMATCH),
        (b4().to("https://example.com/demo?name1=Value1&Name2=value2"), MISMATCH),
        (accept("*/*", "application/json"), MISMATCH),
        (accept("application/json", "text/html"), MISMATCH),
    ] {
        assert_eq!(trial.refusal(&request), refusal, "{request:?}");
    }
}

#[test]
fn refuses_every_change_of_what_is_covered() {
    for (alg, key, request, headers) in [
        ("hmac-sha256", SECRET, b25(), &["date", "content-type", "signature", "signature-input"][..]),
        ("rsa-pss-sha512", RSA_PSS, b23(), &["date", "content-type", "content-length", "content-digest"]),
        ("ed25519", ED25519, b26(), &["date", "content-type", "content-length", "signature"]),
    ] {
        let trial = trial(alg, key, &[]);
        for name in headers {
            let trimmed = |request: &Request| request.header(name).trim_ascii().to_owned();
            for tampered in request.header_tamperings(name) {
                let same = tampered.headers.get(*name).unwrap().to_str().is_ok()
                    && canonical(&trimmed(&tampered)) == canonical(&trimmed(&request));
                assert!(same || trial.refusal(&tampered).is_some(), "{name} {:?}", tampered.headers.get(*name));
            }
            assert!(trial.refusal(&request.clone().without(name)).is_some());
            assert!(trial.refusal(&request.clone().and(name, request.header(name))).is_some());
        }
    }
    // Not covered, but a digest of it is there.
    for tampered in b25().body_tamperings() {
        assert_eq!(hmac(&[]).refusal(&tampered), MISMATCH);
    }
}

/// What structured fields ignore.
fn canonical(text: &str) -> String {
    text.replace(' ', "")
}

/// Signs `base` with the shared secret, as label `sig1`.
fn forge(request: &Request, parameters: &str, base: &str) -> Request {
    let text = format!("{base}\"@signature-params\": {parameters}");
    let key = STANDARD.decode(SECRET).unwrap();
    let tag = MacState::new(Algorithm::HmacSha256, &key).unwrap().tag(|update| update(text.as_bytes()));
    request
        .clone()
        .with("signature-input", &format!("sig1={parameters}"))
        .with("signature", &format!("sig1=:{}:", STANDARD.encode(tag.as_bytes())))
}

fn plain() -> Request {
    Request::post(URL, "application/json", BODY)
}

const CREATED: &str = ";created=1618884473";

#[test]
fn every_derived_component_has_its_value() {
    for (component, url, value) in [
        ("@method", URL, "POST"),
        ("@target-uri", URL, URL),
        ("@authority", "https://EXAMPLE.com:443/", "example.com"),
        ("@authority", "http://example.com:80/", "example.com"),
        ("@authority", "https://example.com:8443/", "example.com:8443"),
        ("@authority", "http://example.com:443/", "example.com:443"),
        ("@scheme", URL, "https"),
        ("@scheme", "HTTP://example.com/", "http"),
        ("@request-target", URL, "/foo?param=Value&Pet=dog"),
        ("@request-target", "https://example.com", "/"),
        ("@path", URL, "/foo"),
        ("@path", "https://example.com", "/"),
        ("@path", "https://example.com?x", "/"),
        ("@path", "https://example.com/a%2Fb//c/", "/a%2Fb//c/"),
        ("@query", URL, "?param=Value&Pet=dog"),
        ("@query", "https://example.com/foo", "?"),
        ("@query", "https://example.com/foo?", "?"),
        ("@query", "https://example.com/foo?a?b", "?a?b"),
    ] {
        let parameters = format!("(\"{component}\"){CREATED}");
        let request = forge(&plain().to(url), &parameters, &format!("\"{component}\": {value}\n"));
        assert_eq!(hmac(&[]).refusal(&request), None, "{component} {url}");
        let request = forge(&plain().to(url), &parameters, &format!("\"{component}\": {value}x\n"));
        assert_eq!(hmac(&[]).refusal(&request), MISMATCH, "{component} {url}");
    }
    for url in [
        "https://user@example.com/",
        "https://example.com/#x",
        "/foo",
        "https://",
        "https://example.com/é",
        "https:///",
    ] {
        let request =
            forge(&plain().to(url), &format!("(\"@target-uri\"){CREATED}"), &format!("\"@target-uri\": {url}\n"));
        assert_eq!(hmac(&[]).refusal(&request), MISMATCH, "{url}");
    }
}

/// RFC 9421 §2.2.8.
#[test]
fn a_query_parameter_has_one_value() {
    let url = "https://www.example.com/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something&qux=&two=1&two=2&bad=%ff&lone";
    for (name, value, refusal) in [
        ("var", "this%20is%20a%20big%0Amultiline%20value", None),
        ("bar", "with%20plus%20whitespace", None),
        ("fa%C3%A7ade%22%3A%20", "something", None),
        ("qux", "", None),
        ("lone", "", None),
        ("two", "1", MISMATCH),
        ("two", "2", MISMATCH),
        ("bad", "%EF%BF%BD", MISMATCH),
        ("bad", "%FF", MISMATCH),
        ("none", "", MISMATCH),
        ("fa%c3%a7ade%22%3a%20", "something", MISMATCH),
        ("va r", "x", MALFORMED),
    ] {
        let parameters = format!("(\"@query-param\";name=\"{name}\"){CREATED}");
        let base = format!("\"@query-param\";name=\"{name}\": {value}\n");
        assert_eq!(hmac(&[]).refusal(&forge(&plain().to(url), &parameters, &base)), refusal, "{name}");
    }
}

#[test]
fn a_field_is_all_of_its_lines() {
    let two = plain()
        .with("x-two", "a  ")
        .and("x-two", "\tb, c")
        .with("x-empty", "")
        .with("x-dict", "a=1, b;x;y=?0, c=(1 \"2\");z, d");
    for (component, value) in [
        ("\"x-two\"", "a, b, c"),
        ("\"x-two\";bs", ":YQ==:, :YiwgYw==:"),
        ("\"x-empty\"", ""),
        ("\"x-dict\";key=\"a\"", "1"),
        ("\"x-dict\";key=\"b\"", "?1;x;y=?0"),
        ("\"x-dict\";key=\"c\"", "(1 \"2\");z"),
        ("\"x-dict\";key=\"d\"", "?1"),
    ] {
        let request = forge(&two, &format!("({component}){CREATED}"), &format!("{component}: {value}\n"));
        assert_eq!(hmac(&[]).refusal(&request), None, "{component}");
    }
    let lines = forge(&two, &format!("(\"x-two\"){CREATED}"), "\"x-two\": a\n\"x-two\": b, c\n");
    assert_eq!(hmac(&[]).refusal(&lines), MISMATCH);
    let twice = two.with("x-dict", "a=1, a=2");
    for value in ["1", "2"] {
        let component = "\"x-dict\";key=\"a\"";
        let request = forge(&twice, &format!("({component}){CREATED}"), &format!("{component}: {value}\n"));
        assert_eq!(hmac(&[]).refusal(&request), MISMATCH);
    }
}

#[test]
fn refuses_components_that_could_mean_something_else() {
    let request = plain().with("x", "1");
    for component in [
        "\"x\";sf",
        "\"x\";tr",
        "\"x\";req",
        "\"x\";unknown",
        "\"x\";bs=?0",
        "\"x\";bs=\"1\"",
        "\"x\";bs;key=\"a\"",
        "\"x\";key=\"A\"",
        "\"x\";key=a",
        "\"x\";name=\"x\"",
        "\"X\"",
        "\"x \"",
        "\"\"",
        "x",
        ":eA==:",
        "1",
        "\"@status\"",
        "\"@signature-params\"",
        "\"@unknown\"",
        "\"@method\";req",
        "\"@method\";x",
        "\"@METHOD\"",
        "\"@query-param\"",
        "\"@query-param\";name=x",
        "\"@query-param\";name=\"x\";req",
        "\"x\" \"x\"",
        "\"x\";bs \"x\";bs",
        "\"@method\" \"@method\"",
    ] {
        for value in ["1", ":MQ==:", "POST"] {
            let base = component.split("\" \"").map(|name| format!("{name}: {value}\n")).collect::<Vec<_>>().concat();
            let signed = forge(&request, &format!("({component}){CREATED}"), &base);
            assert_eq!(hmac(&[]).refusal(&signed), MALFORMED, "{component}");
        }
    }
    let many = (0..65).map(|n| format!("\"x-{n}\"")).collect::<Vec<_>>().join(" ");
    assert_eq!(hmac(&[]).refusal(&forge(&request, &format!("({many}){CREATED}"), "")), MALFORMED);
    let missing = forge(&request, &format!("(\"y\"){CREATED}"), "\"y\": \n");
    assert_eq!(hmac(&[]).refusal(&missing), MISMATCH);
    // A value cannot end its line: HTTP has no such header. Nor can a name.
    let smuggled = forge(&request, &format!("(\"x\\\"\"){CREATED}"), "\"x\\\"\": 1\n");
    assert_eq!(hmac(&[]).refusal(&smuggled), MALFORMED);
}

#[test]
fn the_parameters_are_checked() {
    let (old, early) = (Some(Reject::TimestampTooOld), Some(Reject::TimestampInFuture));
    for (parameters, refusal) in [
        (";created=1618884473", None),
        (";created=1618884173", None),
        (";created=1618884172", old),
        (";created=1618884773", None),
        (";created=1618884774", early),
        (";created=1618884473;expires=1618884473", None),
        (";created=1618884473;expires=1618884472", old),
        (";created=1618884473;alg=\"hmac-sha256\"", None),
        (";created=1618884473;nonce=\"x\";keyid=\"any\";tag=\"t\";other=1", None),
        (";created=1618884473;alg=\"ed25519\"", MISMATCH),
        (";created=1618884473;alg=\"HMAC-SHA256\"", MISMATCH),
        (";created=1618884473;alg=hmac-sha256", MALFORMED),
        (";created=1618884473;keyid=1", MALFORMED),
        (";created=1618884473;nonce=:eA==:", MALFORMED),
        (";created=\"1618884473\"", MALFORMED),
        (";created=1618884473.0", MALFORMED),
        (";created=-1", MALFORMED),
        (";created", MALFORMED),
        (";created=@1618884473", MALFORMED),
        (";created=1618884473;expires=?1", MALFORMED),
        ("", Some(Reject::TimestampMalformed)),
    ] {
        let parameters = format!("(\"@method\"){parameters}");
        let request = forge(&plain(), &parameters, "\"@method\": POST\n");
        assert_eq!(hmac(&[]).refusal(&request), refusal, "{parameters}");
    }
    // As others would read it: the last one counts, or the first.
    let genuine = forge(&plain(), &format!("(\"@method\"){CREATED}"), "\"@method\": POST\n");
    for input in [
        format!("sig1=(\"@method\");created=1{CREATED}"),
        format!("sig1=(\"@method\"){CREATED};created=1618884473"),
        format!("sig1=(), sig1=(\"@method\"){CREATED}"),
        format!("sig1=(\"@method\"){CREATED}, sig1=(\"@method\"){CREATED}"),
        format!("sig1=(\"@method\"){CREATED},"),
        format!("sig1=(\"@method\";req=?0){CREATED}"),
        "sig1=\"@method\"".to_owned(),
        "sig1".to_owned(),
        "sig1=1".to_owned(),
        String::new(),
    ] {
        assert_eq!(hmac(&[]).refusal(&genuine.clone().with("signature-input", &input)), MALFORMED, "{input}");
    }
    for signature in
        ["sig1", "sig1=1", "sig1=\"x\"", "sig1=(:eA==:)", "sig1=:eA=:", "sig1=:eB==:", "sig1=:eA==:, sig1=:eA==:", ""]
    {
        assert_eq!(hmac(&[]).refusal(&genuine.clone().with("signature", signature)), MALFORMED, "{signature}");
    }
    for signature in ["sig1=::", "sig1=:eA==:", "sig2=:eA==:"] {
        assert_eq!(hmac(&[]).refusal(&genuine.clone().with("signature", signature)), MISMATCH, "{signature}");
    }
    for name in ["signature", "signature-input"] {
        assert_eq!(hmac(&[]).refusal(&genuine.clone().without(name)), Some(Reject::HeaderMissing));
        let long = format!("x=\"{}\"", "x".repeat(8192));
        assert_eq!(hmac(&[]).refusal(&genuine.clone().and(name, &long)), MALFORMED);
    }
}

#[test]
fn headers_of_8_kib_are_read_and_none_beyond() {
    for (length, refusal) in [(8_192, None), (8_193, MALFORMED)] {
        let parameters = |nonce: usize| format!("(\"@method\"){CREATED};nonce=\"{}\"", "n".repeat(nonce));
        let nonce = (8_000..8_192).find(|nonce| parameters(*nonce).len() == length - "sig1=".len()).unwrap();
        let request = forge(&plain(), &parameters(nonce), "\"@method\": POST\n");
        assert_eq!(request.header("signature-input").len(), length);
        assert_eq!(hmac(&[]).refusal(&request), refusal, "{length}");
    }
}

#[test]
fn the_route_says_which_signature_counts() {
    let genuine = forge(&plain(), &format!("(\"@method\"){CREATED}"), "\"@method\": POST\n");
    let beside = |label: &str| {
        genuine
            .clone()
            .and("signature-input", &format!("{label}=();created=1"))
            .and("signature", &format!("{label}=:eA==:"))
    };
    let first = |label: &str| {
        genuine
            .clone()
            .with("signature-input", &format!("{label}=();created=1, {}", genuine.header("signature-input")))
            .with("signature", &format!("{label}=:eA==:, {}", genuine.header("signature")))
    };
    for request in [beside("other"), first("other"), beside("sig2")] {
        assert_eq!(hmac(&[]).refusal(&request), MISMATCH, "which of two");
        assert_eq!(hmac(&[("label", "sig1")]).refusal(&request), None);
        assert!(hmac(&[("label", "other")]).refusal(&request).is_some());
    }
    assert_eq!(hmac(&[("label", "sig1")]).refusal(&genuine), None);
    assert_eq!(hmac(&[("label", "sig2")]).refusal(&genuine), MISMATCH);
    // The label of one and the signature of another.
    let swapped = genuine.clone().with("signature", &genuine.header("signature").replace("sig1", "sig2"));
    assert_eq!(hmac(&[]).refusal(&swapped), MISMATCH);
    assert_eq!(hmac(&[("label", "sig1")]).refusal(&swapped), MISMATCH);
    let more = genuine.clone().and("signature", "sig2=:eA==:");
    assert_eq!(hmac(&[]).refusal(&more), MISMATCH);
    let half = genuine.clone().and("signature-input", "sig2=();created=1618884473");
    assert_eq!(hmac(&[]).refusal(&half), MISMATCH);
}

#[test]
fn the_route_says_what_has_to_be_covered() {
    let all = [
        ("\"@method\"", "POST"),
        ("\"@target-uri\"", URL),
        ("\"@path\"", "/foo"),
        ("\"content-type\"", "application/json"),
    ];
    let covering = |names: &[&str]| {
        let chosen: Vec<_> = all.iter().filter(|(name, _)| names.contains(&name.trim_matches('"'))).collect();
        let list = chosen.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
        let base = chosen.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<Vec<_>>().concat();
        forge(&plain(), &format!("({list}){CREATED}"), &base)
    };
    for (components, names, refusal) in [
        ("@method", &["@method"][..], None),
        ("@method", &["@path"], MISMATCH),
        ("@method", &[], MISMATCH),
        ("@method, @path", &["@method", "@path"], None),
        ("@method,@path", &["@method", "@target-uri"], None),
        ("@query,@authority,@scheme,@request-target", &["@target-uri"], None),
        ("@target-uri", &["@path"], MISMATCH),
        ("@target-uri|@path", &["@path"], None),
        ("@target-uri|@path,content-type", &["@path"], MISMATCH),
        ("@query-param;name=\"Pet\"", &["@target-uri"], None),
        ("@query-param;name=\"Pet\"", &["@path"], MISMATCH),
        ("content-type", &["content-type"], None),
        ("content-type;bs", &["content-type"], MISMATCH),
    ] {
        assert_eq!(hmac(&[("components", components)]).refusal(&covering(names)), refusal, "{components} {names:?}");
    }
}

#[test]
fn a_digest_has_to_fit_and_to_be_covered() {
    let sha256 = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(BODY)));
    let sha512 = format!("sha-512=:{}:", STANDARD.encode(Sha512::digest(BODY)));
    let (wrong, unknown) = (format!("sha-256=:{}:", STANDARD.encode(Sha256::digest("x"))), "md5=:eA==:");
    let covered = |digest: &str, component: &str, value: &str| {
        forge(
            &plain().with("content-digest", digest),
            &format!("({component}){CREATED}"),
            &format!("{component}: {value}\n"),
        )
    };
    let whole = |digest: &str| covered(digest, "\"content-digest\"", digest);
    let coverage = |request: &Request| hmac(&[]).verify(request).map(|verified| verified.coverage());
    for (digest, outcome) in [
        (sha256.clone(), Ok(Coverage::Body)),
        (sha512.clone(), Ok(Coverage::Body)),
        (format!("{sha256}, {sha512}"), Ok(Coverage::Body)),
        (format!("{unknown}, {sha256}"), Ok(Coverage::Body)),
        (wrong.clone(), Err(Reject::SignatureMismatch)),
        (format!("{wrong}, {sha512}"), Err(Reject::SignatureMismatch)),
        (format!("{sha512}, {wrong}"), Err(Reject::SignatureMismatch)),
        (unknown.to_owned(), Err(Reject::SignatureMismatch)),
        (format!("{wrong}, {sha256}"), Err(Reject::HeaderMalformed)),
        ("sha-256=\"x\"".to_owned(), Err(Reject::HeaderMalformed)),
        ("sha-256".to_owned(), Err(Reject::HeaderMalformed)),
        ("SHA-256=:eA==:".to_owned(), Err(Reject::HeaderMalformed)),
        (String::new(), Err(Reject::HeaderMalformed)),
    ] {
        assert_eq!(coverage(&whole(&digest)), outcome, "{digest}");
    }
    let member = "\"content-digest\";key=\"sha-256\"";
    let value = sha256.strip_prefix("sha-256=").unwrap();
    assert_eq!(coverage(&covered(&sha256, member, value)), Ok(Coverage::Body));
    // Another member is covered than the one that fits the body: anyone could add that.
    let other = covered(&format!("{unknown}, {sha256}"), "\"content-digest\";key=\"md5\"", ":eA==:");
    assert_eq!(coverage(&other), Ok(Coverage::Token));
    assert_eq!(hmac(&[("components", "content-digest")]).refusal(&other), MISMATCH);

    let method =
        forge(&plain().with("content-digest", &sha256), &format!("(\"@method\"){CREATED}"), "\"@method\": POST\n");
    assert_eq!(coverage(&method), Ok(Coverage::Token));
    assert_eq!(coverage(&method.clone().with("content-digest", unknown)), Ok(Coverage::Token));
    assert_eq!(coverage(&method.clone().with("content-digest", &wrong)), Err(Reject::SignatureMismatch));
    let required = hmac(&[("components", "@method,content-digest")]);
    assert_eq!((required.refusal(&method), required.scheme().coverage()), (MISMATCH, Coverage::Body));
    assert_eq!(hmac(&[]).scheme().coverage(), Coverage::Token);
}

#[test]
fn a_covered_field_reaches_the_app() {
    let genuine = forge(&plain().with("x-tenant", "a"), &format!("(\"x-tenant\"){CREATED}"), "\"x-tenant\": a\n");
    assert_eq!(hmac(&[]).refusal(&genuine.clone().with("connection", "x-other, keep-alive")), None);
    for connection in ["x-tenant", "close, X-Tenant ", "close,x-tenant,x"] {
        assert_eq!(hmac(&[]).refusal(&genuine.clone().with("connection", connection)), MALFORMED, "{connection}");
    }
}

#[test]
fn ids_are_signed_where_their_place_is_covered() {
    let spec = SPEC
        .replace("[options.label]", "id = { header = \"x-id\" }\nevent_type = { json = \"type\" }\n[options.label]");
    let mut trial = Trial::with_options(&spec, &[SECRET], &[("alg", "hmac-sha256")]);
    trial.now = SIGNED_AT;
    let body = r#"{"type":"a.b"}"#;
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
    let request = plain().holding(body).with("x-id", "1").with("content-digest", &digest);
    for (component, value, id_is_signed, type_is_signed) in [
        ("\"x-id\"", "1", true, false),
        ("\"content-digest\"", digest.as_str(), false, true),
        ("\"@method\"", "POST", false, false),
    ] {
        let signed = forge(&request, &format!("({component}){CREATED}"), &format!("{component}: {value}\n"));
        let verified = trial.verify(&signed).unwrap();
        let id = verified.id().map(|id| (id.text, id.signed));
        let kind = verified.event_type().map(|kind| (kind.text, kind.signed));
        assert_eq!((id, kind), (Some(("1", id_is_signed)), Some(("a.b", type_is_signed))), "{component}");
        assert!(trial.refusal(&signed.clone().and("x-id", "2")).is_some());
        // The same to who signs it (RFC 9421 §2.1), so the same to who reads it.
        let spaced = trial.verify(&signed.with("x-id", "\t1 ")).unwrap();
        assert_eq!((spaced.id(), spaced.signed_id()), (verified.id(), verified.signed_id()), "{component}");
    }
}

#[test]
fn an_id_that_cannot_be_shown_is_known_by_its_hash_and_such_a_type_is_left_out() {
    let places = "id = { header = \"x-id\" }\nevent_type = { header = \"x-type\" }\n[options.label]";
    let spec = SPEC.replace("[options.label]", places);
    let mut trial = Trial::with_options(&spec, &[SECRET], &[("alg", "hmac-sha256")]);
    trial.now = SIGNED_AT;
    let seen = |id: &str, kind: &str| {
        let request = plain().with("x-id", id).with("x-type", kind);
        let base = format!("\"x-id\": {id}\n\"x-type\": {kind}\n");
        let verified = trial.verify(&forge(&request, &format!("(\"x-id\" \"x-type\"){CREATED}"), &base)).unwrap();
        let shown = [verified.id(), verified.event_type()].map(|field| field.map(|field| field.text.to_owned()));
        (shown, verified.signed_id().unwrap().to_vec())
    };
    let (longest, longer) = ("x".repeat(256), "x".repeat(257));
    let both = |text: &str| [Some(text.to_owned()), Some(text.to_owned())];
    assert_eq!(seen(&longest, &longest), (both(&longest), longest.clone().into_bytes()));
    assert_eq!(seen(&longer, &longer), ([None, None], Sha256::digest(&longer).to_vec()));
    assert_ne!(seen(&longer, "a").1, seen(&longer.replacen('x', "y", 1), "a").1);
}

#[test]
fn the_authority_is_the_one_host_where_no_url_is_known() {
    let authority = parse_component("@authority").unwrap();
    let value = |hosts: &[&'static str], url: Option<&str>| {
        let mut headers = http::HeaderMap::new();
        for host in hosts {
            headers.append(http::header::HOST, http::HeaderValue::from_static(host));
        }
        authority.value(&Message { method: &Method::POST, url, headers: &headers })
    };
    assert_eq!(value(&["App.Example:8443"], None), Some(b"app.example:8443".to_vec()));
    assert_eq!(value(&[], None), None);
    assert_eq!(value(&["a.example", "a.example"], None), None, "which one is meant is not for us to say");
    assert_eq!(value(&["a.example"], Some("https://b.example/")), Some(b"b.example".to_vec()));
    assert_eq!(value(&["a.example"], Some("no URL")), None);
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let parameters = format!("(\"@method\"){CREATED}");
    let text = format!("\"@method\": POST\n\"@signature-params\": {parameters}");
    for (alg, pem) in [("ed25519", ED25519), ("rsa-pss-sha512", RSA_PSS), ("ecdsa-p256-sha256", P256)] {
        let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
        for secret in [pem.as_bytes(), &der] {
            let tag = MacState::new(Algorithm::HmacSha256, secret).unwrap().tag(|update| update(text.as_bytes()));
            let request = plain()
                .with("signature-input", &format!("sig1={parameters}"))
                .with("signature", &format!("sig1=:{}:", STANDARD.encode(tag.as_bytes())));
            assert_eq!(trial(alg, pem, &[]).refusal(&request), MISMATCH);
        }
    }
}

#[test]
fn takes_the_other_algorithms_too() {
    let parameters = format!("(\"@method\"){CREATED}");
    let text = format!("\"@method\": POST\n\"@signature-params\": {parameters}");
    let random = SystemRandom::new();
    let request = |signature: &[u8]| {
        plain()
            .with("signature-input", &format!("sig1={parameters}"))
            .with("signature", &format!("sig1=:{}:", STANDARD.encode(signature)))
    };
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let head = STANDARD.decode("MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE").unwrap();
    let key = STANDARD.encode([&head[..23], pair.public_key().as_ref()].concat());
    let signature = pair.sign(&random, text.as_bytes()).unwrap();
    assert_eq!(trial("ecdsa-p384-sha384", &key, &[]).refusal(&request(signature.as_ref())), None);
    assert_eq!(trial("ecdsa-p384-sha384", &key, &[]).refusal(&request(&signature.as_ref()[1..])), MISMATCH);

    let (_, der) = Document::from_pem(include_str!("../../../../../tests/data/sns/test.key")).unwrap();
    let pair = RsaKeyPair::from_pkcs8(der.as_bytes()).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
    // rsaEncryption, then the key as RFC 8017 has it.
    let head = STANDARD.decode("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A").unwrap();
    let key = STANDARD.encode([&head[..], pair.public().as_ref()].concat());
    assert_eq!(trial("rsa-v1_5-sha256", &key, &[]).refusal(&request(&signature)), None);
    assert_eq!(trial("rsa-pss-sha512", &key, &[]).refusal(&request(&signature)), MISMATCH);
}

#[test]
fn signs_what_it_verifies() {
    for options in [
        &[][..],
        &[("label", "mine")],
        &[("components", "@method,@authority,@path,@query,content-digest,content-type"), ("label", "x")],
        &[("components", "@target-uri|@path,@query-param;name=\"Pet\",content-digest")],
    ] {
        let signed = hmac(options).sign("", &plain()).unwrap();
        assert_eq!(hmac(options).verify(&signed).unwrap().coverage(), Coverage::Body, "{signed:?}");
        assert_eq!(hmac(options).refusal(&signed.clone().holding("x")), MISMATCH);
        assert_eq!(hmac(options).refusal(&signed.to("https://example.com/other")), MISMATCH);
    }
    assert_eq!(hmac(&[("components", "x-none")]).sign("", &plain()).unwrap_err(), SignProblem::Body);
    assert_eq!(trial("ed25519", ED25519, &[]).sign("", &plain()).unwrap_err(), SignProblem::PublicKey);
}

#[test]
fn refuses_options_and_keys_that_cannot_be_right() {
    let compile = |options: &[(&str, &str)]| {
        let options: Options = options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Scheme::compile("x", &toml::from_str(SPEC).unwrap(), &options)
    };
    let flaws = |options: &[(&str, &str)]| -> Vec<SchemeFlaw> {
        compile(options).unwrap_err().into_iter().map(|problem| problem.flaw).collect()
    };
    for alg in ["", "none", "HMAC-SHA256", "rsa-v1_5-sha512", "hmac-sha512"] {
        assert!(!flaws(&[("alg", alg)]).is_empty(), "{alg}");
    }
    assert!(matches!(flaws(&[]).as_slice(), [SchemeFlaw::OptionMissing(..), ..]));
    for label in ["Sig1", "1", "a b", "a=", "é"] {
        let flaws = flaws(&[("alg", "ed25519"), ("label", label)]);
        assert!(matches!(flaws.as_slice(), [SchemeFlaw::OptionUnusable("label", _)]), "{label}");
    }
    for components in ["@methode", "@method,", "@method||@path", "Content-Digest", "x;sf", "@status", "x y"] {
        let flaws = flaws(&[("alg", "ed25519"), ("components", components)]);
        assert!(matches!(flaws.as_slice(), [SchemeFlaw::OptionUnusable("components", _)]), "{components}");
    }
    for (alg, key) in [
        ("ed25519", SECRET),
        ("ed25519", P256),
        ("ecdsa-p256-sha256", ED25519),
        ("ecdsa-p384-sha384", P256),
        // A point of secp256k1, as long as one of P-256.
        (
            "ecdsa-p256-sha256",
            "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEPP0BaGsbpva0cpMhblvjtT9Ie2G0X8CLJOH4nNKkwbzFwzTSmjTJ/ndt3Wy32UNdpfxqgvSavfoWO1tCPgiVnw==",
        ),
        ("rsa-pss-sha512", P256),
        ("rsa-v1_5-sha256", ED25519),
        ("hmac-sha256", ED25519),
    ] {
        assert!(compile(&[("alg", alg)]).unwrap().key(key.as_bytes()).is_err(), "{alg} {key}");
    }
}

#[test]
fn covers_no_more_components_than_anyone_needs() {
    let with_components = |count: usize| {
        let names: Vec<_> = (0..count).map(|index| format!("\"x-{index}\"")).collect();
        let request = example(&format!("s=({});created={SIGNED_AT}", names.join(" ")), "s=:AA==:");
        let request = (0..count).fold(request, |request, index| request.with(&format!("x-{index}"), "1"));
        hmac(&[]).refusal(&request)
    };
    assert_eq!(with_components(24), MISMATCH);
    assert_eq!(with_components(25), MALFORMED);
}

#[test]
fn an_id_is_signed_where_the_body_is() {
    let signs = |id: &str, components: &str| {
        let spec = format!("id = {id}\n{SPEC}");
        let options = [("alg", "hmac-sha256"), ("components", components)];
        Trial::with_options(&spec, &[SECRET], &options).scheme().signs_id()
    };
    assert!(signs("{ json = 'id' }", "@method, content-digest"));
    assert!(!signs("{ json = 'id' }", "@method"));
    assert!(!signs("{ header = 'x-id' }", "@method, content-digest"));
    let spec = format!("id = {{ header = 'x-id' }}\n{SPEC}");
    let options = [("alg", "hmac-sha256"), ("components", "x-channel, @path|@target-uri")];
    let trial = Trial::with_options(&spec, &[SECRET], &options);
    let read: Vec<_> = trial.scheme().headers().map(ToString::to_string).collect();
    assert_eq!(read, ["signature-input", "signature", "x-channel", "x-id"]);
}

/// Covers these components, each with its value, and the digest of this body.
fn covering(components: &[(&str, &str)], parameters: &str, request: Request) -> Request {
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&request.body)));
    let all = || components.iter().copied().chain([("\"content-digest\"", digest.as_str())]);
    let names: Vec<&str> = all().map(|(name, _)| name).collect();
    let base: Vec<String> = all().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let request = request.with("content-digest", &digest);
    forge(&request, &format!("({}){parameters}", names.join(" ")), &base.concat())
}

#[test]
fn the_content_is_what_is_covered_and_nothing_else() {
    let trial = hmac(&[("components", "content-digest")]);
    let digest_alone = || covering(&[], CREATED, plain());
    let relabelled = |name: &str| digest_alone().header(name).replacen("sig1", "other", 1);
    trial.assert_one(&[
        digest_alone(),
        digest_alone().to("https://other.example/?x=1"),
        Request { method: Method::PUT, ..digest_alone() },
        digest_alone().with("content-type", "text/plain").with("date", "any").with("x-any", "1"),
        digest_alone()
            .with("signature-input", &relabelled("signature-input"))
            .with("signature", &relabelled("signature")),
    ]);
    let no_query = "https://example.com/foo";
    let path = || covering(&[("\"@method\"", "POST"), ("\"@path\"", "/foo")], CREATED, plain());
    trial.assert_one(&[path(), path().to(no_query), path().to("http://other.example/foo?x")]);
    let empty_query = || covering(&[("\"@query\"", "?")], CREATED, plain().to(no_query));
    trial.assert_one(&[empty_query(), empty_query().to(&format!("{no_query}?"))]);
    let one_line = || covering(&[("\"x-two\"", "a, b")], CREATED, plain().with("x-two", "a, b"));
    trial.assert_one(&[one_line(), one_line().with("x-two", "a ").and("x-two", "b")]);

    let url = |url: &str| covering(&[("\"@target-uri\"", url)], CREATED, plain().to(url));
    let put = Request { method: Method::PUT, ..plain() };
    trial.assert_all_differ(&[
        digest_alone(),
        path(),
        covering(&[("\"@method\"", "PUT"), ("\"@path\"", "/foo")], CREATED, put),
        covering(&[("\"@method\"", "POST"), ("\"@path\"", "/bar")], CREATED, plain().to("https://example.com/bar")),
        url(URL),
        url(no_query),
        one_line(),
        covering(&[("\"x-two\"", "a, c")], CREATED, plain().with("x-two", "a, c")),
        covering(&[], CREATED, plain().holding("{}")),
        // Of a retry that is signed anew.
        covering(&[], ";created=1618884474", plain()),
        covering(&[], &format!("{CREATED};nonce=\"1\""), plain()),
        covering(&[], &format!("{CREATED};nonce=\"2\""), plain()),
    ]);
    // The body is not signed: nothing tells it from others.
    let method = forge(&plain(), &format!("(\"@method\"){CREATED}"), "\"@method\": POST\n");
    assert_eq!(hmac(&[]).content(&method), None);
}
