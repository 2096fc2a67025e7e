//! Vectors made with the vendor's library, and what could be made of a genuine request.

use super::super::trial::{NOW, Request, Trial};
use super::*;
use crate::check::signature::Scheme;

const SPEC: &str = r#"
engine = "contentful"
signature = { header = "x-contentful-signature", encoding = "hex" }
timestamp = { header = "x-contentful-timestamp", unit = "ms", tolerance = 30 }
id = { header = "x-contentful-idempotency-key" }
event_type = { header = "x-contentful-topic" }
"#;
const URL: &str = "https://example.com/api/v1/resources/1";
const SIGNATURE: &str = "x-contentful-signature";
const SIGNED: &str = "x-contentful-signed-headers";
const TIME: &str = "x-contentful-timestamp";

fn secret() -> String {
    "a".repeat(64)
}

fn trial() -> Trial {
    Trial::new(SPEC, &[&secret()])
}

fn entry() -> Request {
    Request::post(URL, "", "{\"x\":1}")
        .with(SIGNATURE, "5120db5e884d42aca723825d313cbf48d1c63d18b7bf1d9a04a05d8ce27d9000")
        .with(SIGNED, "x-contentful-signed-headers,x-contentful-timestamp")
        .with(TIME, "1754300000000")
}

/// Signed as the sender would, with these headers listed beside the two that always are.
fn listing(names: &[&str], request: Request) -> Request {
    let mut list: Vec<&str> = names.iter().copied().chain([SIGNED, TIME]).collect();
    list.sort_unstable();
    let request = request.with(SIGNED, &list.join(",")).with(TIME, "1754300000000");
    let (key, _) = trial().scheme().key(secret().as_bytes()).unwrap();
    let listed: Vec<(HeaderName, String)> = list
        .iter()
        .map(|name| (HeaderName::try_from(*name).unwrap(), latin1(request.headers.get(*name).unwrap())))
        .collect();
    let path = canonical_path(&request.url).unwrap();
    let state = tags::signing(Some(&key)).unwrap();
    let tag = state.tag(|update| feed(&request.method, &path, &listed, &request.body, update));
    let signature = hex(tag.as_bytes());
    request.with(SIGNATURE, &signature)
}

fn mismatch(request: &Request) {
    assert_eq!(trial().refusal(request), Some(Reject::SignatureMismatch), "{request:?}");
}

#[test]
fn accepts_the_vendors_vectors() {
    assert_eq!(trial().refusal(&entry()), None);
    let authorized = entry()
        .with("authorization", "Bearer TOKEN")
        .with(SIGNATURE, "4d2f8e96d690da4f22d8ac638dda1091d15a9ce912ef9c2337623cf092d57370")
        .with(SIGNED, "authorization,x-contentful-signed-headers,x-contentful-timestamp");
    assert_eq!(trial().refusal(&authorized), None);
    mismatch(&authorized.clone().with("authorization", "Bearer OTHER"));
    assert_eq!(trial().refusal(&authorized.without("authorization")), Some(Reject::HeaderMissing));
    // The library sorts the list, in whatever order it came.
    let unsorted = entry().with(SIGNED, "x-contentful-timestamp,x-contentful-signed-headers");
    assert_eq!(trial().refusal(&unsorted), None);
}

#[test]
fn the_time_must_be_inside_of_the_window() {
    let old = entry()
        .with(SIGNATURE, "961b434268bd88030d1bb0ca095d727e292487e2aaecd4fbb79e5343800048d4")
        .with(TIME, "1754299969000");
    assert_eq!(trial().refusal(&old), Some(Reject::TimestampTooOld));
    assert_eq!(trial().within(31).refusal(&old), None);
    let at = |now: u64| trial().at(now).refusal(&entry());
    assert_eq!((at(NOW + 30), at(NOW - 30)), (None, None));
    assert_eq!(at(NOW + 31), Some(Reject::TimestampTooOld));
    assert_eq!(at(NOW - 31), Some(Reject::TimestampInFuture));
    for time in ["", "x", "1754300000000.0", "+1754300000000", "01754300000000", "1754300000000abc", "1754300000000, 1"]
    {
        assert_eq!(trial().refusal(&entry().with(TIME, time)), Some(Reject::TimestampMalformed), "{time}");
    }
}

#[test]
fn every_byte_counts() {
    let request = listing(&["x-custom"], entry().with("x-custom", "Some Value"));
    assert_eq!(trial().refusal(&request), None);
    for tampered in request.body_tamperings() {
        mismatch(&tampered);
    }
    for name in [SIGNATURE, SIGNED, TIME, "x-custom"] {
        for tampered in request.header_tamperings(name) {
            // White space around a value is not part of it.
            if latin1(&tampered.headers[name]) != latin1(&request.headers[name]) {
                assert!(trial().refusal(&tampered).is_some(), "{name}: {:?}", tampered.headers[name]);
            }
        }
    }
    mismatch(&Request { method: Method::PUT, ..request.clone() });
    for url in ["/api/v1/resources/2", "/api/v1/resources/1/", "/api/v1/resources/1?x", "/API/v1/resources/1"] {
        mismatch(&request.clone().to(&format!("https://example.com{url}")));
    }
    assert_eq!(trial().refusal(&request.clone().to("http://other.example:81/api/v1/resources/1")), None);
    assert_eq!(Trial::new(SPEC, &["b"]).refusal(&request), Some(Reject::SignatureMismatch));
    assert_eq!(Trial::new(SPEC, &["b", &secret()]).verify(&request).unwrap().label(), secret());
}

#[test]
fn all_three_headers_must_be_there_once() {
    for name in [SIGNATURE, SIGNED, TIME] {
        assert_eq!(trial().refusal(&entry().without(name)), Some(Reject::HeaderMissing), "{name}");
        let value = entry().header(name).to_owned();
        assert_eq!(trial().refusal(&entry().and(name, &value)), Some(Reject::HeaderRepeated), "{name}");
    }
    let listed = listing(&["x-custom"], entry().with("x-custom", "1"));
    assert_eq!(trial().refusal(&listed.clone().and("x-custom", "1")), Some(Reject::HeaderRepeated));
    assert_eq!(
        trial().refusal(&listed.and("x-contentful-topic", "a").and("x-contentful-topic", "b")),
        Some(Reject::HeaderRepeated)
    );
    for signature in ["", "x", &"0".repeat(63), &"0".repeat(65), &entry().header(SIGNATURE).to_uppercase()] {
        assert_eq!(trial().refusal(&entry().with(SIGNATURE, signature)), Some(Reject::HeaderMalformed), "{signature}");
    }
    mismatch(&entry().with(SIGNATURE, &"0".repeat(64)));
}

#[test]
fn a_list_that_could_be_read_in_two_ways_is_malformed() {
    for list in [
        "",
        ",",
        SIGNED,
        TIME,
        "x-contentful-signed-headers,x-contentful-timestamp,",
        "x-contentful-signed-headers, x-contentful-timestamp",
        "x-contentful-signed-headers,X-Contentful-Timestamp",
        "x-contentful-signed-headers,x-contentful-timestamp,x-contentful-timestamp",
        "x-contentful-signature,x-contentful-signed-headers,x-contentful-timestamp",
        "a b,x-contentful-signed-headers,x-contentful-timestamp",
        "x-contentful-signed-headers;x-contentful-timestamp",
    ] {
        assert_eq!(trial().refusal(&entry().with(SIGNED, list)), Some(Reject::HeaderMalformed), "{list}");
    }
    // A name that is listed but not there.
    let more = entry().with(SIGNED, "x-absent,x-contentful-signed-headers,x-contentful-timestamp");
    assert_eq!(trial().refusal(&more), Some(Reject::HeaderMissing));
}

#[test]
fn a_list_is_bounded() {
    let many = |count: usize| {
        let names: Vec<String> = (0..count).map(|index| format!("x-a{index}")).collect();
        let request = names.iter().fold(entry(), |request, name| request.with(name, "1"));
        listing(&names.iter().map(String::as_str).collect::<Vec<_>>(), request)
    };
    assert_eq!(trial().refusal(&many(MAX_LISTED - 2)), None);
    assert_eq!(trial().refusal(&many(MAX_LISTED - 1)), Some(Reject::HeaderMalformed));
    let long = "x-".to_owned() + &"a".repeat(MAX_LIST);
    assert_eq!(trial().refusal(&listing(&[&long], entry().with(&long, "1"))), Some(Reject::HeaderMalformed));
}

#[test]
fn a_value_cannot_swallow_the_next_header() {
    let genuine = listing(&["a-one", "b-two"], entry().with("a-one", "1").with("b-two", "2;b-two:3"));
    let forged = genuine.clone().with("a-one", "1;b-two:2").with("b-two", "3");
    // Both have the signed text `a-one:1;b-two:2;b-two:3`: neither can be told from the other.
    assert_eq!(trial().refusal(&genuine), Some(Reject::HeaderMalformed));
    assert_eq!(trial().refusal(&forged), Some(Reject::HeaderMalformed));
    let harmless = listing(&["a-one"], entry().with("a-one", "1;b-two:2; a-one:;a-one"));
    assert_eq!(trial().refusal(&harmless), None);
    mismatch(&harmless.clone().with("b-two", "2").with("a-one", "1"));
}

#[test]
fn the_path_is_escaped_as_the_library_does_it() {
    for (url, path) in [
        ("https://a.example/", Some("/")),
        ("https://a.example/a%20b/c", Some("/a%2520b/c")),
        ("https://a.example/a?x=1&y=%20", Some("/a?x%253D1%2526y%253D%252520")),
        ("https://a.example/a?", Some("/a")),
        ("https://a.example/a;b,c@d&e=f+g$h-_.!~*'()", Some("/a;b,c@d&e=f+g$h-_.!~*'()")),
        ("https://a.example/[a]|\"<>^`{}", Some("/%5Ba%5D%7C%22%3C%3E%5E%60%7B%7D")),
        ("https://a.example/é?é", Some("/%C3%A9?%25C3%25A9")),
        ("https://a.example", None),
        ("https://a.example?x", None),
        ("https://a.example/a?x?y", None),
        ("https://a.example/a#x", None),
        ("/a", None),
        ("", None),
    ] {
        assert_eq!(canonical_path(url).as_deref(), path, "{url}");
    }
    let request = listing(&[], entry().to("https://a.example/a?x=1"));
    assert_eq!(trial().refusal(&request), None);
    mismatch(&request.clone().to("https://a.example/a?x=1?y"));
    mismatch(&request.clone().to("https://a.example/a%3Fx=1"));
    mismatch(&request.to("https://a.example/a?x%3D1"));
}

#[test]
fn bytes_beyond_ascii_are_latin_1() {
    let mut request = entry().with("x-name", "x");
    request.headers.insert("x-name", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    // Computed over the text with `café` in UTF-8, as Node does with a header that it read as Latin-1.
    let request = request
        .with(SIGNED, "x-contentful-signed-headers,x-contentful-timestamp,x-name")
        .with(SIGNATURE, "359d43f97ef327ed9288ed6c3302d68a07352b4be747cef573f5c5232a4435ee");
    assert_eq!(trial().refusal(&request), None);
    mismatch(&request.with("x-name", "café"));
}

#[test]
fn only_what_is_listed_is_called_signed() {
    let request = entry().with("x-contentful-idempotency-key", "k1").with("x-contentful-topic", "Entry.save");
    let verified = trial().verify(&request).unwrap();
    assert!(verified.id().is_none());
    assert_eq!(verified.event_type().map(|kind| (kind.text, kind.signed)), Some(("Entry.save", false)));
    let request = listing(&["x-contentful-idempotency-key", "x-contentful-topic"], request);
    let verified = trial().verify(&request).unwrap();
    assert_eq!(verified.id().map(|id| (id.text, id.signed)), Some(("k1", true)));
    // As HTTP/2 can carry it: signed is the value without the white space, so that is the id.
    let spaced = trial().verify(&request.with("x-contentful-idempotency-key", " k1\t")).unwrap();
    assert_eq!((spaced.id(), spaced.signed_id()), (verified.id(), verified.signed_id()));
    assert_eq!(verified.event_type().map(|kind| (kind.text, kind.signed)), Some(("Entry.save", true)));
    assert_eq!((verified.timestamp(), verified.coverage()), (Some(NOW), Coverage::Body));
    assert!(trial().scheme().signs_id());
    let headers: Vec<String> = trial().scheme().headers().map(ToString::to_string).collect();
    assert_eq!(headers, [SIGNATURE, SIGNED, TIME, "x-contentful-idempotency-key", "x-contentful-topic"]);
}

#[test]
fn signs_what_it_accepts() {
    let unsigned = Request::post(URL, "application/json", "{}").with("x-contentful-topic", "Entry.save");
    let signed = trial().sign("k1", &unsigned).unwrap();
    let verified = trial().verify(&signed).unwrap();
    assert_eq!(verified.id().unwrap().text, "k1");
    assert!(verified.event_type().unwrap().signed);
    let plain = SPEC.replace("id = ", "#").replace("event_type = ", "#");
    let plain = Trial::new(&plain, &[&secret()]);
    let signed = plain.sign("k1", &Request::post(URL, "", "{\"x\":1}")).unwrap();
    assert_eq!(signed.header(SIGNATURE), entry().header(SIGNATURE));
    assert_eq!(trial().sign("a\nb", &unsigned).unwrap_err(), SignProblem::Id);
    assert_eq!(trial().sign("1;x-contentful-topic:2", &unsigned).unwrap_err(), SignProblem::Id);
    assert_eq!(trial().sign("1", &unsigned.to("/x")).unwrap_err(), SignProblem::Url);
}

#[test]
fn an_empty_or_huge_body_is_signed_as_it_is() {
    for body in [Vec::new(), vec![0xff; 1 << 20], b"\n\n".to_vec()] {
        let request = listing(&[], entry().holding(body));
        assert_eq!(trial().refusal(&request), None);
        mismatch(&request.clone().holding([&request.body[..], b"\n"].concat()));
    }
}

#[test]
fn needs_its_headers_and_unit() {
    let fields = |spec: &str| {
        let problems = Scheme::compile("t", &toml::from_str(spec).unwrap(), &Options::new()).unwrap_err();
        problems.iter().map(|problem| problem.field).collect::<Vec<_>>()
    };
    assert_eq!(fields("engine = \"contentful\""), ["signature", "timestamp.header"]);
    assert_eq!(fields(&SPEC.replace("\"ms\"", "\"s\"")), ["timestamp.unit"]);
    assert_eq!(fields(&SPEC.replace("\"hex\"", "\"base64\"")), ["signature.encoding"]);
    assert_eq!(fields(&SPEC.replace("x-contentful-topic", "a b")), ["event_type.header"]);
}

#[test]
fn the_content_is_what_is_signed_and_nothing_else() {
    let base = || listing(&["x-contentful-topic"], entry().with("x-contentful-topic", "a"));
    trial().assert_one(&[
        base(),
        base().to(&format!("{URL}?")),
        base().to("http://other.example:8080/api/v1/resources/1"),
        base().with("x-contentful-idempotency-key", "not listed"),
        base().with("x-any", "1"),
        base().with(SIGNED, "x-contentful-timestamp,x-contentful-topic,x-contentful-signed-headers"),
        base().with("x-contentful-topic", " a "),
    ]);
    let again = |request: Request| listing(&["x-contentful-topic"], request);
    trial().assert_all_differ(&[
        base(),
        again(Request { method: Method::PUT, ..base() }),
        again(base().to(&format!("{URL}/"))),
        again(base().to(&format!("{URL}?a"))),
        again(base().with("x-contentful-topic", "b")),
        again(base().holding("{\"x\":2}")),
        listing(&[], base()),
    ]);
    // A retry that is signed anew has another time.
    let later = trial().at(NOW + 1);
    let retried = later.sign("", &entry()).unwrap();
    assert_ne!(later.content(&retried), trial().content(&trial().sign("", &entry()).unwrap()));
}
