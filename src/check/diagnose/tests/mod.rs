//! Each code with a delivery that it explains, and a near miss that it must not; nothing leaks; a forgery costs a known amount.

mod bodies;
mod cases;
mod heads;
mod secrets;
mod spelling;
mod times;
mod tokens;

use std::collections::BTreeSet;

use self::cases::{BODY, Case, KEY, NOW, OTHER, PLAIN, SECRET, base64, provider};
use super::bench::MOST_MACS;
use super::*;

/// Every case: the code, the delivery that it explains, and the near miss.
fn all() -> Vec<(&'static str, Case, Case)> {
    [bodies::cases(), heads::cases(), secrets::cases(), times::cases(), tokens::cases()].into_iter().flatten().collect()
}

#[test]
fn every_case_is_explained_and_every_near_miss_is_not() {
    for (code, positive, near) in all() {
        let codes = positive.codes();
        assert_eq!(codes.first(), Some(&code), "{code}: {:?}", positive.diagnosed());
        let near = near.codes();
        assert!(!near.contains(&code), "{code}: the near miss gets {near:?}");
    }
}

#[test]
fn the_catalogue_names_no_provider_that_is_not_the_sender() {
    for (code, positive, _) in all() {
        let codes = positive.with_catalog().codes();
        // A provider that uses the text as the key is as good an explanation.
        let is_form_of_key = code.starts_with("secret_used") || code.starts_with("secret_prefix");
        assert!(codes.first() == Some(&code) || (is_form_of_key && codes.contains(&code)), "{code}: {codes:?}");
    }
}

#[test]
fn every_code_has_a_title_and_a_case() {
    let listed: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    let unique: BTreeSet<&str> = listed.iter().copied().collect();
    let covered: BTreeSet<&str> = all().iter().map(|(code, ..)| *code).collect();
    assert_eq!(unique.len(), listed.len());
    assert_eq!(covered, unique);
    for (code, title) in CODES {
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{code}");
        assert!(!title.is_empty() && !title.ends_with('.'), "{code}");
    }
}

#[test]
fn findings_are_sentences() {
    for (_, positive, _) in all() {
        for Hypothesis { code, finding, fix } in positive.diagnosed() {
            for text in [&finding, &fix] {
                assert!(text.ends_with('.') && !text.contains("  "), "{code}: {text}");
                assert!(!text.contains(['\n', '\r']), "{code}: {text}");
            }
        }
    }
}

#[test]
fn no_text_has_a_part_of_a_secret_a_signature_or_a_query() {
    for (code, positive, _) in all() {
        let said: Vec<String> = positive.diagnosed().into_iter().flat_map(|found| [found.finding, found.fix]).collect();
        let said = said.join(" ");
        for secret in positive.hidden() {
            for part in secret.windows(8) {
                let part = String::from_utf8_lossy(part).into_owned();
                assert!(!said.contains(&part), "{code}: {said} has {part}");
            }
        }
    }
}

#[test]
fn a_genuine_delivery_has_no_hypotheses() {
    for case in [Case::svix(KEY), Case::github(b"{}", b"{}")] {
        assert_eq!(case.diagnosed(), []);
    }
}

#[test]
fn a_plain_forgery_is_not_explained_and_costs_what_is_known() {
    let mut forged = Case::svix(b"not the key").with_catalog();
    forged.others = vec![("routes.b: current".into(), cases::OTHER.into())];
    let (found, asked) = forged.counted();
    assert_eq!((found, asked <= 160), (Vec::new(), true), "{asked} recomputations");
    let (found, asked) = Case::github(b"forged", b"{\"a\": [1, 2.50, \"\xc3\xa9/<\"]}\n").with_catalog().counted();
    assert_eq!((found, asked <= 130), (Vec::new(), true), "{asked} recomputations");
}

#[test]
fn no_body_makes_it_cost_more_than_the_limit() {
    let lines = "\r\n{\"a\":1}".repeat(2_000);
    let deep = "[".repeat(100_000);
    let escapes = format!("[{}]", ["\"\\/\\u00e9é<\u{2028}\u{7f}1e5\""; 500].join(", "));
    let form = "a+b=%C3%A9&".repeat(500);
    let large = vec![b' '; 3 * 1024 * 1024];
    for body in [lines.as_bytes(), deep.as_bytes(), escapes.as_bytes(), form.as_bytes(), &large, b"", b"\xff\xfe"] {
        let mut case = Case::github(b"forged", body).with_catalog();
        case.secrets =
            (0..3).map(|index| (format!("secret {index}"), format!("{SECRET}{index}").into_bytes())).collect();
        let (found, asked) = case.counted();
        assert_eq!(found, []);
        assert!(asked <= MOST_MACS, "{asked} recomputations");
    }
}

#[test]
fn no_number_of_secrets_makes_it_cost_more_than_the_limit() {
    let mut case = Case::github(b"forged", b"{}");
    let many =
        |count: usize| (0..count).map(|index| (format!("secret {index}"), format!("{SECRET}{index}").into_bytes()));
    case.secrets = many(20).collect();
    case.others = many(2_000).collect();
    let (found, asked) = case.counted();
    assert_eq!(found, []);
    assert!(asked <= MOST_MACS, "{asked} recomputations");
}

#[test]
fn a_large_body_is_read_no_more_often_than_the_limit_of_bytes_allows() {
    let mut case = Case::github(b"forged", &vec![b'x'; 16 * 1024 * 1024]);
    case.others = (0..30).map(|index| (format!("secret {index}"), format!("{SECRET}{index}").into_bytes())).collect();
    assert_eq!(case.counted(), (Vec::new(), 16));
}

#[test]
fn it_stops_as_soon_as_it_is_told_to() {
    let case = Case::github(b"{}\n", b"{}").with_catalog();
    let needed = (1..100).find(|limit| !case.limited(*limit).0.is_empty()).unwrap();
    for limit in 0..needed {
        let (found, asked) = case.limited(limit);
        assert_eq!((found, asked), (Vec::new(), limit + 1));
    }
}

#[test]
fn nothing_is_said_before_a_recomputation() {
    for (code, positive, _) in all() {
        assert_eq!(positive.limited(0), (Vec::new(), 1), "{code}");
    }
}

#[test]
fn nothing_is_tried_twice_or_in_vain() {
    let mut mandrill = Case::github(BODY, BODY).without("x-hub-signature-256").with_url("https://a.example/b");
    mandrill.spec = provider("mandrill");
    mandrill.headers([("x-mandrill-signature", &base64(&[7; 20]))]);
    let elsewhere = |secret: &[u8]| {
        let mut case = Case::svix(b"not the key");
        case.others = vec![("routes.b: current".into(), secret.to_vec())];
        case
    };
    let mut unsigned = Case::github(BODY, BODY).without("x-hub-signature-256");
    unsigned.others = vec![("routes.b: current".into(), OTHER.into())];
    let mut mixed = Case::svix(b"not the key").with_headers([("webhook-id", "msg_2")]).with_catalog();
    (mixed.name, mixed.spec) = ("clerk".to_owned(), provider("clerk"));
    let token = "
        algorithm = \"token\"
        insecure_unsigned_body = true
        signature = { header = \"x-test-signature\", encoding = \"text\" }";
    for (what, case, expected) in [
        ("svix", Case::svix(b"not the key"), 105),
        ("another secret", elsewhere(OTHER.as_bytes()), 118),
        ("a secret that is none", elsewhere(b"?"), 105),
        ("an own secret that is none", Case::svix(KEY).with_secret("?"), 4),
        ("github", Case::github(b"forged", BODY), 88),
        ("a list", Case::github(b"forged", BODY).with_secret("secret_1,secret_1,secret_2"), 89),
        ("two ids", mixed, 111),
        ("no header, another secret", unsigned, 1),
        ("no header", Case::github(BODY, BODY).without("x-hub-signature-256"), 1),
        ("stripe", Case::stripe(b"not the key", |tag| format!("t={NOW},v1={tag}")), 104),
        ("a token", Case::custom(token, PLAIN.as_bytes(), "another token"), 3),
        ("a scheme in code", mandrill, 117),
    ] {
        assert_eq!(case.counted(), (Vec::new(), expected), "{what}");
    }
}

#[test]
fn at_most_three_hypotheses_are_returned_and_no_code_twice() {
    let mut case = Case::svix(KEY);
    let quoted = |quote: &str| format!("{quote}{SECRET}{quote}").into_bytes();
    case.secrets = vec![
        ("a".into(), quoted("\"")),
        ("b".into(), quoted("'")),
        ("c".into(), format!(" {SECRET}").into_bytes()),
        ("d".into(), format!("{SECRET}\n").into_bytes()),
        ("e".into(), format!("X={SECRET}").into_bytes()),
    ];
    assert_eq!(case.codes(), ["secret_quoted", "secret_space", "secret_newline"]);
}

#[test]
fn the_time_hides_no_other_cause() {
    let mut late = Case::github(b"", b"");
    assert_eq!(late.codes(), [""; 0]);
    late = Case::svix_body(KEY, NOW - 90_000, b"{\"a\":1}\n", b"{\"a\":1}");
    assert_eq!(late.codes(), ["body_newline_lost"]);
}
