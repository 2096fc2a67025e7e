//! Bodies: what was signed, what arrived, and what would be almost the same.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::super::{form, packed};
use super::cases::{Case, KEY, NOW, OTHER, SECRET, svix_signature};

const JSON: &str = r#"{"id":"evt_1","n":10,"list":[1,{}],"name":"user_1"}"#;
const PRETTY: &str =
    "{\n  \"id\": \"evt_1\",\n  \"n\": 10,\n  \"list\": [\n    1,\n    {}\n  ],\n  \"name\": \"user_1\"\n}";

/// Code, signed, received, and what to sign for a near miss.
type Row = (&'static str, Vec<u8>, Vec<u8>, Vec<u8>);

fn text(code: &'static str, signed: &str, received: &str, near: &str) -> Row {
    (code, signed.into(), received.into(), near.into())
}

fn gzip(body: &str, level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &str) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn rows() -> Vec<Row> {
    let form = "payload=%7B%22id%22%3A%22evt_1%22%2C%22n%22%3A10%2C%22list%22%3A%5B1%2C%7B%7D%5D%2C%22name%22%3A%22user_1%22%7D";
    let pretty = |end: &str| format!("{PRETTY}{end}");
    let mut rows = vec![
        text("body_newline_lost", "{}\n", "{}", "{}\n\n"),
        text("body_newline_lost", "{}\r\n", "{}", "{}\r"),
        text("body_newline_gained", "{}", "{}\n", "{ }"),
        text("body_newline_gained", "{}", "{}\r\n", "{\r\n}"),
        text("body_line_endings", "{\n}\n", "{\r\n}\r\n", "{\n\n}\n"),
        text("body_line_endings", "{\r\n}\r\n", "{\n}\n", "{\r}\r"),
        text("body_bom_lost", "\u{feff}{}", "{}", "\u{feff}\u{feff}{}"),
        text("body_bom_gained", "{}", "\u{feff}{}", "{}x"),
        text("body_space_gained", "{}", "\n {} ", "{}{}"),
        text("body_reserialised", JSON, PRETTY, &JSON.replace("user_1", "user_2")),
        text("body_reserialised", PRETTY, JSON, &PRETTY.replace("10", "11")),
        text("body_reserialised", &pretty("\n"), JSON, &pretty("\n\n")),
        text("body_reserialised", &PRETTY.replace("  ", "    "), JSON, &PRETTY.replace("  ", "     ")),
        text("body_reserialised", &PRETTY.replace("  ", "\t"), JSON, &PRETTY.replace("  ", "\t\t ")),
        text("body_reserialised", r#"{"a": 1, "b": [1, 2]}"#, r#"{"a":1,"b":[1,2]}"#, r#"{"a": 1, "b": [1, 3]}"#),
        text("body_reserialised", r#"{"a": "\u00e9"}"#, r#"{"a":"é"}"#, r#"{"a": "\u00e8"}"#),
        text("body_reserialised", r#"{"a": "é"}"#, r#"{"a":"\u00e9"}"#, r#"{"a": "è"}"#),
        text("body_reserialised", r#"{"a":1,"b":1e+21}"#, r#"{"a": 1.0, "b": 1e21}"#, r#"{"a":1,"b":1E21}"#),
        text("body_reserialised", "{\"a\":\"\\u003cb\\u003e\"}\n", r#"{"a": "<b>"}"#, "{\"a\":\"\\u003Cb\\u003E\"}\n"),
        text(
            "body_keys_sorted",
            r#"{"a":{"x":1,"y":2},"b":1}"#,
            r#"{"b":1,"a":{"y":2,"x":1}}"#,
            r#"{"a":{"y":2,"x":1},"b":1}"#,
        ),
        text("body_unicode_escapes", "{ \"a\":\"\\u00e9\" }", "{ \"a\":\"é\" }", "{ \"a\":\"\\u00e8\" }"),
        text(
            "body_unicode_escapes",
            "{ \"a\":\"\\u00E9\\uD83D\\uDE00\" }",
            "{ \"a\":\"é😀\" }",
            "{ \"a\":\"\\u00E9\\ud83d\" }",
        ),
        text("body_unicode_escapes", "{ \"a\":\"é😀\" }", "{ \"a\":\"\\u00e9\\ud83d\\ude00\" }", "{ \"a\":\"é\" }"),
        text("body_slash_escapes", r#"{ "a":"x\/y" }"#, r#"{ "a":"x/y" }"#, r#"{ "a":"x\\/y" }"#),
        text("body_slash_escapes", r#"{ "a":"x/y" }"#, r#"{ "a":"x\/y" }"#, r#"{ "a":"x//y" }"#),
        text("body_appended", r#"{"a":1}"#, "{\"a\":1}\u{0}\u{0}", r#"{"a":2}"#),
        text("body_appended", "{\"a\":1}\n", &format!("{{\"a\":1}}\n{}", "x".repeat(500)), "{\"a\":1}\nx"),
        text("body_truncated", r#"{"a":[{"b":1}]}"#, r#"{"a":[{"b":1"#, r#"{"a":[{"b":1}],"c":1}"#),
        text("body_chunked", r#"{"a":1}"#, "4\r\n{\"a\"\r\n3;x=y\r\n:1}\r\n0\r\n\r\n", r#"{"a":1}0"#),
        text("body_form_encoded", JSON, form, &JSON.replace("user_1", "user_2")),
        text("body_form_decoded", form, JSON, &form.replace("user_1", "user_2")),
        text("body_form_decoded", "a=1&b=x+y", r#"{"a":1,"b":"x y"}"#, "a=1&b=x++y"),
        text("body_form_rewritten", "a=x%20y&b=%c3%a9", "a=x+y&b=%C3%A9", "a=x%20y&b=%c3%A9"),
        text("body_was_empty", "", "{\"a\":1}", " "),
        text("body_placeholder", "[object Object]", "{\"a\":1}", "[object Objec]"),
        text("body_placeholder", "{}", "{\"a\":1}", "{ }"),
        text("body_stringified", r#"{"a":"x\ny"}"#, r#""{\"a\":\"x\\ny\"}""#, r#"{"a":"x\\ny"}"#),
        text("body_stringified", r#""{\"a\":1}""#, r#"{"a":1}"#, r#""{\"a\":2}""#),
        text("body_base64", r#"{"a":1}"#, "eyJhIjoxfQ==", r#"{"a":2}"#),
        text("body_base64", "eyJhIjoxfQ==", r#"{"a":1}"#, "eyJhIjoxfQ"),
        text("body_charset", "{\"a\":\"é’\"}", "{\"a\":\"Ã©â€™\"}", "{\"a\":\"é'\"}"),
        text("body_charset", "{\"a\":\"Ã©\"}", "{\"a\":\"é\"}", "{\"a\":\"Ã\"}"),
        text("body_charset", "{\"a\":\"â‚¬\"}", "{\"a\":\"€\"}", "{\"a\":\"â¬\"}"),
        ("body_charset", b"{\"a\":\"\xe9\"}".into(), "{\"a\":\"é\"}".into(), b"{\"a\":\"\xe8\"}".into()),
        ("body_charset", "{\"a\":\"é\"}".into(), b"{\"a\":\"\xe9\"}".into(), "{\"a\":\"è\"}".into()),
        ("body_compressed", JSON.into(), gzip(JSON, 5), PRETTY.into()),
        ("body_compressed", JSON.into(), zlib(JSON), PRETTY.into()),
        ("body_compressed", JSON.into(), deflate(JSON), PRETTY.into()),
        ("body_decompressed", gzip(JSON, 6), JSON.into(), gzip(PRETTY, 6)),
        ("body_decompressed", zlib(JSON), JSON.into(), zlib(PRETTY)),
    ];
    let mut unix = gzip(JSON, 9);
    unix[9] = 3;
    let mut dated = unix.clone();
    dated[4] = 1;
    rows.push(("body_decompressed", unix, JSON.into(), dated));
    rows
}

pub(super) fn cases() -> Vec<(&'static str, Case, Case)> {
    let mut cases: Vec<_> = rows()
        .into_iter()
        .map(|(code, signed, received, near)| (code, Case::github(&signed, &received), Case::github(&near, &received)))
        .collect();
    let combined = |signed: &str| {
        let mut case = Case::svix_body(KEY, NOW, signed.as_bytes(), PRETTY.as_bytes()).with_secret(OTHER);
        case.others = vec![
            ("routes.a: current".into(), b"whsec_AAAAAAAAAAAAAAAAAAAAAA".into()),
            ("routes.b: next".into(), SECRET.into()),
        ];
        case
    };
    cases.push(("secret_and_body", combined(JSON), combined(&JSON.replace("user_1", "user_2"))));
    cases
}

#[test]
fn a_body_above_the_limit_is_only_tried_in_cheap_ways() {
    let large = format!("[{}1]", "1,".repeat(600_000));
    let spaced = large.replace(',', ", ");
    assert_eq!(Case::github(large.as_bytes(), spaced.as_bytes()).codes(), [""; 0]);
    assert_eq!(Case::github(format!("{large}\n").as_bytes(), large.as_bytes()).codes(), ["body_newline_lost"]);
    let small = format!("[{}1]", "1,".repeat(60_000));
    assert_eq!(Case::github(small.as_bytes(), small.replace(',', ", ").as_bytes()).codes(), ["body_reserialised"]);
}

#[test]
fn what_a_compressed_body_grows_into_is_bounded() {
    let zeros = |length: usize| "0".repeat(length);
    let fits = zeros(8 * 1024 * 1024 - 1);
    let grows = zeros(8 * 1024 * 1024);
    assert_eq!(Case::github(fits.as_bytes(), &gzip(&fits, 9)).codes(), ["body_compressed"]);
    assert_eq!(Case::github(grows.as_bytes(), &gzip(&grows, 9)).codes(), [""; 0]);
}

#[test]
fn every_one_of_the_last_bytes_may_have_been_added() {
    let signed = r#"{"a":1"#;
    for extra in 1..=64 {
        let received = format!("{signed}{}", "z".repeat(extra));
        assert_eq!(Case::github(signed.as_bytes(), received.as_bytes()).codes(), ["body_appended"], "{extra}");
    }
    let received = format!("{signed}{}", "z".repeat(65));
    assert_eq!(Case::github(signed.as_bytes(), received.as_bytes()).codes(), [""; 0]);
}

#[test]
fn only_what_is_plain_and_short_is_compressed() {
    let candidates = |body: &[u8]| packed::packed(&Bytes::copy_from_slice(body)).len();
    let long = vec![b'x'; 64 * 1024 + 1];
    assert_eq!((candidates(b"x"), candidates(&long[1..])), (12, 12));
    assert_eq!((candidates(b""), candidates(&long), candidates(&gzip("x", 6))), (0, 0, 0));
    assert_eq!(Case::github(b"", &gzip("", 6)).codes(), ["body_was_empty"]);
}

#[test]
fn only_a_form_is_written_anew() {
    let candidates = |body: &str| form::rewritten(&Bytes::copy_from_slice(body.as_bytes())).len();
    for (body, count) in [("a=b", 8), ("a=", 8), ("ab", 0), ("a=b c", 0), ("a b", 0), (r#"{"a":"="}"#, 0), ("a=é", 0)]
    {
        assert_eq!(candidates(body), count, "{body}");
    }
}

#[test]
fn another_secret_and_another_spelling_are_the_last_resort() {
    let time = NOW.to_string();
    let other = svix_signature(&STANDARD.decode(&OTHER[6..]).unwrap(), "msg_1", &time, JSON.as_bytes());
    let both = format!("{} {other}", svix_signature(SECRET.as_bytes(), "msg_1", &time, PRETTY.as_bytes()));
    for (header, code) in [(&other, "secret_and_body"), (&both, "secret_used_raw")] {
        let case = Case::svix_body(KEY, NOW, b"", PRETTY.as_bytes());
        let mut case = case.with_headers([("svix-signature", header)]);
        case.others = vec![("routes.b: next".into(), OTHER.into())];
        assert_eq!(case.codes(), [code]);
    }
}

#[test]
fn both_together_are_only_tried_on_a_body_of_64_kib() {
    for (digits, codes) in [(64 * 1024 - 3, &["secret_and_body"][..]), (64 * 1024 - 2, &[])] {
        let received = format!("[ {}]", "1".repeat(digits));
        let signed = received.replace(' ', "");
        let mut case = Case::svix_body(KEY, NOW, signed.as_bytes(), received.as_bytes()).with_secret(OTHER);
        case.others = vec![("routes.b: next".into(), SECRET.into())];
        assert_eq!(case.codes(), codes);
    }
}
