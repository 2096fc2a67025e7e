//! Signature headers, contents and URLs.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};

use super::super::signature_text::canonical;
use super::cases::{BODY, Case, KEY, NOW, PLAIN, SECRET, base64, hex, provider, sha1, sha256, sha512, svix_signature};

const BY_URL: &str = r#"
content = "{url}{body}"
signature = { header = "x-test-signature", encoding = "base64" }
"#;
const BASE64: &str = r#"
content = "{body}"
signature = { header = "x-test-signature", encoding = "base64" }
"#;
const PAIRS: &str = r#"
content = "{body}"
signature = { header = "x-test-signature", format = "pairs", version = "v1", encoding = "hex" }
"#;

/// GitHub's header, made of the tag that it should hold; the near miss has another tag.
fn github(header: impl Fn(&[u8]) -> String) -> (Case, Case) {
    let tag = sha256(PLAIN.as_bytes(), BODY);
    let other = sha256(PLAIN.as_bytes(), b"another body");
    let case = |tag: &[u8]| Case::github(BODY, BODY).with_headers([("x-hub-signature-256", &header(tag))]);
    (case(&tag), case(&other))
}

fn plain_base64(header: impl Fn(&[u8]) -> String) -> (Case, Case) {
    let case = |body: &[u8]| Case::custom(BASE64, PLAIN.as_bytes(), &header(&sha256(PLAIN.as_bytes(), body)));
    (case(BODY), case(b"another body"))
}

fn svix(header: impl Fn(&str) -> String) -> (Case, Case) {
    let case = |body: &[u8]| {
        let signature = svix_signature(KEY, "msg_1", &NOW.to_string(), body);
        Case::svix(KEY).with_headers([("svix-signature", &header(&signature))])
    };
    (case(BODY), case(b"another body"))
}

fn by_url(configured: &str, signed: &str, headers: [(&str, &str); 1]) -> Case {
    let signature = base64(&sha256(PLAIN.as_bytes(), &[signed.as_bytes(), BODY].concat()));
    let mut case = Case::custom(BY_URL, PLAIN.as_bytes(), &signature).with_headers(headers);
    case.url = Some(configured.to_owned());
    case.signatures.extend(signed.split_once('?').map(|(_, query)| query.to_owned()));
    case
}

/// Configured, signed, a header that tells, what the fix says.
const URLS: &[(&str, &str, (&str, &str), &str)] = &[
    ("http://a.example/hook?k=1234567", "https://a.example/hook?k=1234567", ("host", "x"), "https://a.example\""),
    ("https://a.example/hook", "https://b.example/hook", ("host", "b.example"), "https://b.example\""),
    (
        "https://a.example/hook",
        "http://b.example:8080/hook",
        ("x-forwarded-host", "b.example:8080"),
        "http://b.example:8080\"",
    ),
    (
        "https://a.example/hook",
        "https://b.example/hook",
        ("forwarded", "for=1;host=b.example, for=2"),
        "https://b.example\"",
    ),
    ("https://a.example/hook", "https://www.a.example/hook", ("host", "x"), "https://www.a.example\""),
    ("https://www.a.example/hook", "https://a.example/hook", ("host", "x"), "https://a.example\""),
    ("https://a.example:8443/hook", "https://a.example/hook", ("host", "x"), "https://a.example\""),
    ("https://a.example/hook", "https://a.example:443/hook", ("host", "x"), "https://a.example:443\""),
    ("http://a.example/hook", "http://a.example:80/hook", ("host", "x"), "http://a.example:80\""),
    ("https://a.example/hook", "https://a.example/hook/", ("host", "x"), "exactly"),
    ("https://a.example/hook/", "https://a.example/hook", ("host", "x"), "exactly"),
    ("https://a.example/hook", "https://a.example/api/hook", ("x-forwarded-prefix", "/api"), "https://a.example/api\""),
    ("https://a.example/hook", "https://a.example/v1/hook", ("x-original-uri", "/v1/hook"), "https://a.example/v1\""),
    ("https://a.example/hook?token=12345678", "https://a.example/hook", ("host", "x"), "exactly"),
    ("https://a.example/hook?q=a%2Fb%2Fcdef", "https://a.example/hook?q=a/b/cdef", ("host", "x"), "exactly"),
    ("https://a.example/hook", "https://a.example:8443/hook", ("host", "x"), "https://a.example:8443\""),
    ("https://a.example/hook", "http://a.example:3000/hook", ("host", "x"), "http://a.example:3000\""),
    ("https://a.example/hook", "http://a.example/hook/", ("host", "x"), "http://a.example\""),
    ("https://A.Example/hook", "https://a.example/hook", ("host", "x"), "https://a.example\""),
    ("https://a.example/hook", "https://A.EXAMPLE/hook", ("host", "x"), "https://A.EXAMPLE\""),
    ("https://[::1]:8/hook", "https://[::1]/hook", ("host", "x"), "https://[::1]\""),
];

fn without_version() -> (Case, Case) {
    let case = |body: &[u8]| Case::custom(PAIRS, PLAIN.as_bytes(), &hex(&sha256(PLAIN.as_bytes(), body)));
    (case(BODY), case(b"another body"))
}

/// Read as a form would be: an id whose signature has a letter that changes so.
fn with_spaces() -> (Case, Case) {
    let case = |body: &[u8]| {
        let signature = |id: &str| svix_signature(KEY, id, &NOW.to_string(), body);
        let id = (0..1000).map(|number| format!("msg_{number}")).find(|id| signature(id).contains('+')).unwrap();
        Case::svix(KEY).with_headers([("svix-id", &id), ("svix-signature", &signature(&id).replace('+', " "))])
    };
    (case(BODY), case(b"another body"))
}

pub(super) fn cases() -> Vec<(&'static str, Case, Case)> {
    let mut cases = Vec::new();
    let mut add = |code: &'static str, (positive, near): (Case, Case)| cases.push((code, positive, near));
    for (configured, signed, header, _) in URLS {
        let near = signed.replace("/hook", "/hooks");
        add("url_differs", (by_url(configured, signed, [*header]), by_url(configured, &near, [*header])));
    }
    for (name, quote) in [("header_quoted", "\""), ("header_quoted", "'")] {
        add(name, github(|tag| format!("{quote}sha256={}{quote}", hex(tag))));
    }
    let quoted_time = |key: &[u8]| Case::svix(key).with_headers([("svix-timestamp", &format!("\"{NOW}\""))]);
    add("header_quoted", (quoted_time(KEY), quoted_time(b"another key")));
    add(
        "header_url_encoded",
        plain_base64(|tag| base64(tag).replace('+', "%2B").replace('/', "%2f").replace('=', "%3D")),
    );
    add("header_url_encoded", svix(|signature| signature.replace('=', "%3D")));
    add("header_spaces", svix(|signature| signature.replace(',', ", ")));
    add("header_spaces", svix(|signature| format!("v1,{},{signature}", base64(&[7; 32]))));
    let stripe = |header: &dyn Fn(&str) -> String| {
        (Case::stripe(SECRET.as_bytes(), header), Case::stripe(PLAIN.as_bytes(), header))
    };
    add("header_spaces", stripe(&|tag| format!("t={NOW}, v1={tag}")));
    add("header_spaces", stripe(&|tag| format!("t={NOW}, v1 = {tag}")));
    add("header_version_missing", svix(|signature| signature.replace("v1,", "")));
    add("header_version_missing", without_version());
    add("header_url_encoded", with_spaces());
    add("header_prefix_missing", github(hex));
    add("header_prefix_twice", github(|tag| format!("sha256=sha256={}", hex(tag))));
    add("header_prefix_other", github(|tag| format!("sha1={}", hex(tag))));
    add("header_prefix_other", plain_base64(|tag| format!("sha256={}", base64(tag))));
    add("signature_hex_case", github(|tag| format!("sha256={}", hex(tag).to_uppercase())));
    add("signature_is_hex", plain_base64(hex));
    add("signature_is_base64", github(|tag| format!("sha256={}", base64(tag))));
    add("signature_hex_in_base64", plain_base64(|tag| base64(hex(tag).as_bytes())));
    add("signature_padding_lost", plain_base64(|tag| STANDARD_NO_PAD.encode(tag)));
    let urlsafe = |body: &[u8]| {
        // A key whose tag has letters in which the alphabets differ.
        let key = (0..100)
            .map(|number| format!("{PLAIN} {number}"))
            .find(|key| URL_SAFE.encode(sha256(key.as_bytes(), BODY)).contains(['-', '_']));
        let key = key.unwrap();
        Case::custom(BASE64, key.as_bytes(), &URL_SAFE.encode(sha256(key.as_bytes(), body))).with_secret(key)
    };
    add("signature_is_base64url", (urlsafe(BODY), urlsafe(b"another body")));
    add("algorithm_differs", github_hash(sha1));
    add("algorithm_differs", github_hash(sha512));
    add("algorithm_differs", {
        let (positive, near) = github(|_| String::from("x"));
        let header = |body: &[u8]| format!("sha1={}", hex(&sha1(PLAIN.as_bytes(), body)));
        (
            positive.with_headers([("x-hub-signature-256", &header(BODY))]),
            near.with_headers([("x-hub-signature-256", &header(b"x"))]),
        )
    });
    let (id, time) = ("msg_1", NOW.to_string());
    let mixed = |tag_of: &str| {
        let signature = svix_signature(KEY, tag_of, &time, BODY);
        let case = Case::svix(KEY).without("svix-id").without("svix-timestamp");
        case.with_headers([("webhook-id", id), ("webhook-timestamp", &time), ("svix-signature", &signature)])
    };
    add("headers_mixed", (mixed(id), mixed("msg_2")));
    let both = |tag_of: &str| {
        // A proxy that renames one of them: the id of the first family is another one.
        let signature = svix_signature(KEY, tag_of, &time, BODY);
        Case::svix(KEY).with_headers([("svix-id", "msg_0"), ("webhook-id", id), ("svix-signature", &signature)])
    };
    add("headers_mixed", (both(id), both("msg_2")));
    for prefix in ["svix_", "http_svix_", "http-svix-"] {
        let renamed = |id: &str| {
            let signature = svix_signature(KEY, "msg_1", &time, BODY);
            let case = Case::svix(KEY).without("svix-id").without("svix-timestamp").without("svix-signature");
            let names = ["id", "timestamp", "signature"].map(|name| format!("{prefix}{name}"));
            case.with_headers([(&names[0], id), (&names[1], &time), (&names[2], &signature)])
        };
        add("headers_renamed", (renamed("msg_1"), renamed("msg_2")));
    }
    add("signature_version_differs", stripe(&|tag| format!("t={NOW},v0={tag}")));
    add("signature_version_differs", svix(|signature| signature.replace("v1,", "v2,")));
    let only = |versions: &[&str]| {
        let entries: Vec<_> = versions.iter().map(|version| format!("{version},{}", base64(&[9; 64]))).collect();
        Case::svix(KEY).with_headers([("svix-signature", &entries.join(" "))])
    };
    add("signature_version_only", (only(&["v1a"]), only(&["v1a", "v1"])));
    add("signature_version_only", (only(&["v1a"]), only(&["v1a"]).with_secret(format!("whpk_{}", base64(&[9; 32])))));
    add("signature_version_only", (only(&["v9"]), only(&["v1"])));
    let content = |signed: &[u8]| {
        let signature = format!("v1,{}", base64(&sha256(KEY, signed)));
        Case::svix(KEY).with_headers([("svix-signature", &signature)])
    };
    let joined = |parts: [&str; 4]| {
        [parts[0].as_bytes(), parts[1].as_bytes(), parts[2].as_bytes(), parts[3].as_bytes(), BODY].concat()
    };
    add("content_differs", (content(BODY), content(&joined(["msg_1", ".", "", ""])[1..])));
    add("content_differs", (content(&joined(["", "", &time, "."])), content(&joined(["", "", &time, ";"]))));
    add(
        "content_differs",
        (content(&joined([&time, ".", "msg_1", "."])), content(&joined([&time, ".", "msg_2", "."]))),
    );
    add("content_differs", (timed(&time, &time), timed("1", &time)));
    cases
}

fn github_hash(hash: fn(&[u8], &[u8]) -> Vec<u8>) -> (Case, Case) {
    let case = |body: &[u8]| {
        let header = format!("sha256={}", hex(&hash(PLAIN.as_bytes(), body)));
        Case::github(BODY, BODY).with_headers([("x-hub-signature-256", &header)])
    };
    (case(BODY), case(b"another body"))
}

/// A scheme without a time, and a sender that signs one.
fn timed(signed: &str, sent: &str) -> Case {
    let content = [signed.as_bytes(), b".", BODY].concat();
    let case = Case::custom(BASE64, PLAIN.as_bytes(), &base64(&sha256(PLAIN.as_bytes(), &content)));
    case.with_headers([("x-app-timestamp", sent)])
}

#[test]
fn the_fix_names_what_public_url_should_be() {
    for (configured, signed, header, fix) in URLS {
        let found = by_url(configured, signed, [*header]).diagnosed();
        assert_eq!(found.len(), 1, "{signed}");
        assert!(found[0].fix.contains(fix), "{signed}: {}", found[0].fix);
    }
}

#[test]
fn a_url_that_is_not_signed_is_not_tried() {
    let mut case = Case::github(b"x", BODY).with_headers([("x-forwarded-host", "b.example")]);
    case.url = Some("https://a.example/hook".to_owned());
    let without = Case::github(b"x", BODY).counted().1;
    // Contents with the URL are tried, other URLs are not.
    assert!(case.counted().1 <= without + 6);
}

#[test]
fn a_complete_set_of_one_family_is_not_called_mixed() {
    let time = NOW.to_string();
    let signature = svix_signature(KEY, "msg_1", &time, BODY);
    let mut case = Case::svix(KEY).without("svix-id").without("svix-timestamp").without("svix-signature");
    case.spec = provider("clerk");
    case.name = "clerk".to_owned();
    case.headers([("webhook-id", "msg_1"), ("webhook-timestamp", &time), ("webhook-signature", &signature)]);
    assert_eq!(case.with_catalog().codes(), ["other_provider"]);
}

#[test]
fn a_header_that_the_sender_sends_along_makes_it_no_other_provider() {
    let tag = format!("sha1={}", hex(&sha1(PLAIN.as_bytes(), BODY)));
    let case = || Case::github(BODY, BODY).without("x-hub-signature-256").with_headers([("x-hub-signature", &tag)]);
    assert_eq!(case().with_catalog().codes(), ["other_provider"], "nothing says that it is GitHub's");
    assert_eq!(case().with_headers([("x-github-event", "push")]).with_catalog().codes(), [""; 0]);
}

#[test]
fn version_findings_are_exact() {
    let case = Case::svix(KEY).with_headers([("svix-signature", &format!("v1a,{}", base64(&[9; 64])))]);
    let found = case.diagnosed();
    assert_eq!(
        found[0].finding,
        "`svix-signature` has signatures of version `v1a` only; `v1a` is checked with a public key (`whpk_`), and none is configured."
    );
}

#[test]
fn all_that_is_odd_about_a_header_is_said() {
    let trimmed = PAIRS.replace("version", "trim = true, version");
    let tag = hex(&sha256(PLAIN.as_bytes(), BODY));
    let custom = |scheme: &str, header: &str| Case::custom(scheme, PLAIN.as_bytes(), header);
    for (case, name, said) in [
        (
            github(|tag| format!("'sha256={}'", hex(tag).to_uppercase())).0,
            "x-hub-signature-256",
            "in quotes or spaces, in upper-case hex",
        ),
        (custom(PAIRS, &format!("'v1={tag}'")), "x-test-signature", "in quotes or spaces"),
        (custom(PAIRS, &format!("a=1, v1={tag}")), "x-test-signature", "with spaces between its parts"),
        (custom(&trimmed, &format!("'a=1, v1={tag}'")), "x-test-signature", "in quotes or spaces"),
        (custom(&trimmed, &format!("a=1,  v1={tag}")), "x-test-signature", "with spaces between its parts"),
    ] {
        let expected = format!("The signature in `{name}` fits, but a header is not written as the sender's: {said}.");
        assert_eq!(case.diagnosed().remove(0).finding, expected);
    }
}

#[test]
fn what_is_no_signature_is_not_made_one() {
    for (name, header) in [
        ("github", "sha256=abcd"),
        ("github", "sha256=/+8="),
        ("svix", "v1,abcd"),
        ("svix", "a+/ b"),
        ("stripe", "t=1"),
        ("stripe", "v1=abcd"),
    ] {
        assert!(canonical(&provider(name), header).is_none(), "{header}");
    }
    let bare = |body: &[u8]| svix_signature(KEY, "msg_1", &NOW.to_string(), body)[3..].to_owned();
    let body = (0..1000).map(|number| number.to_string()).find(|body| bare(body.as_bytes()).contains('+')).unwrap();
    assert!(canonical(&provider("svix"), &bare(body.as_bytes()).replace('+', " ")).is_none());
}

#[test]
fn the_versions_of_a_header_are_listed_once_each() {
    let svix = |header: &str| Case::svix(KEY).with_headers([("svix-signature", header)]);
    let stripe = |header: &str| Case::stripe(KEY, |_| header.to_owned());
    for (case, name, listed) in [
        (svix("v9,AAAA v9,BBBB v-8,CCCC ,DDDD"), "svix-signature", "`v9`"),
        (svix("v234567,AAAA v2345678,BBBB"), "svix-signature", "`v234567`"),
        (svix("v2,AAAA v3,BBBB v4,CCCC v5,DDDD v6,EEEE"), "svix-signature", "`v2`, `v3`, `v4`, `v5`"),
        (stripe("t=1,v9=00"), "stripe-signature", "`v9`"),
    ] {
        let expected = format!("`{name}` has signatures of version {listed} only; only `v1` is checked.");
        assert_eq!(case.diagnosed().remove(0).finding, expected);
    }
    for case in [svix("AAAA"), svix("v-8,CCCC ,DDDD"), stripe("t=1"), stripe("t=1,v9=00,v1=00")] {
        assert_eq!(case.codes(), [""; 0]);
    }
}

#[test]
fn headers_of_alike_schemes_are_mixed_and_of_others_are_not() {
    let said = |case: &Case| case.diagnosed().into_iter().map(|found| found.finding).collect::<Vec<_>>();
    let time = NOW.to_string();
    let signature = svix_signature(KEY, "msg_1", &time, BODY);
    let mut clerk =
        Case::svix(KEY).with_headers([("svix-id", "msg_0"), ("webhook-id", "msg_1"), ("svix-signature", &signature)]);
    (clerk.name, clerk.spec) = ("clerk".to_owned(), provider("clerk"));
    assert_eq!(clerk.codes(), [""; 0]);
    let expected = "The headers are of two families; the signature fits with \
                    `svix-signature`, `svix-timestamp`, `webhook-id` together.";
    assert_eq!(said(&clerk.with_catalog()), [expected]);

    let second = r#"
        content = "{id}.{timestamp}.{body}"
        signature = { header = "x-test-signature", format = "versioned", version = "v2", encoding = "base64" }
        timestamp = { header = "x-time" }
        id = { header = "x-id" }"#;
    let signature = svix_signature(PLAIN.as_bytes(), "msg_1", &time, BODY).replace("v1,", "v2,");
    let case = Case::custom(second, PLAIN.as_bytes(), &signature).without("x-test-signature").with_catalog();
    let case =
        case.with_headers([("webhook-id", "msg_1"), ("webhook-timestamp", &time), ("webhook-signature", &signature)]);
    let expected = "The headers are all of another family; the signature fits with \
                    `webhook-signature`, `webhook-timestamp`, `webhook-id`.";
    assert_eq!(said(&case), [expected]);

    let other = r#"
        content = "{timestamp}.{body}"
        signature = { header = "x-test-signature", encoding = "base64" }
        timestamp = { header = "x-time" }"#;
    let signature = base64(&sha256(PLAIN.as_bytes(), &[time.as_bytes(), b".", BODY].concat()));
    let case = Case::custom(other, PLAIN.as_bytes(), &signature).with_headers([("x-slack-request-timestamp", &time)]);
    assert_eq!(case.with_catalog().codes(), [""; 0]);

    let (case, _) = github(|tag| format!("sha256={}", hex(tag)));
    let header = case.headers["x-hub-signature-256"].to_str().unwrap().to_owned();
    let case = case.without("x-hub-signature-256").with_headers([("x-shopify-hmac-sha256", &header)]);
    assert_eq!(case.with_catalog().codes(), [""; 0]);
}

#[test]
fn only_a_header_that_looks_like_a_time_is_taken_for_one() {
    for (name, time, codes) in [
        ("x-app-timestamp", "1700000000", &["content_differs"][..]),
        ("x-app-timestamp", "170000000", &[]),
        ("x-app-time", "1700000000", &[]),
    ] {
        let signature = base64(&sha256(PLAIN.as_bytes(), &[time.as_bytes(), b".", BODY].concat()));
        let case = Case::custom(BASE64, PLAIN.as_bytes(), &signature).with_headers([(name, time)]);
        assert_eq!(case.codes(), codes, "{name}: {time}");
    }
}
