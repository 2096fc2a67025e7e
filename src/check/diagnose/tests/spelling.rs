//! JSON in the spelling of each library, compared with what the library itself writes.

use std::fmt::Write;

use super::super::json::{js_number, parse, plain, with_strings};
use super::cases::Case;

/// What the libraries make of the same values; each signs it, and another spelling arrives.
const SPELLINGS: &[(&str, &str)] = &[
    ("JSON.stringify", r#"{"2":1,"b":"é\u001f</\"\\\b\f\n\r\t\ud800 ","a":[1,0.1,1e+21,-0.5]}"#),
    ("JSON.stringify, 2", "{\n  \"2\": 1,\n  \"b\": [],\n  \"a\": {}\n}"),
    ("json.dumps", r#"{"b": "\u00e9\u007f</ \ud83d\ude00", "a": [1, 1.0]}"#),
    ("json.dumps ensure_ascii=False", r#"{"b": "é😀", "a": [1, 1.0]}"#),
    ("json.dumps separators", r#"{"b":"\u00e9","a":[1,1.0]}"#),
    ("json.dumps sort_keys", r#"{"a": [1, 1.0], "b": "\u00e9"}"#),
    ("Go", "{\"b\":\"é\\u003c\\u003e\\u0026\\u2028\",\"a\":[1,1.5]}"),
    ("Go Encoder", "{\"b\":\"é\\u003c\\u003e\\u0026\",\"a\":[1,1.5]}\n"),
    ("PHP", r#"{"b":"\u00e9<\/b>","a":[1,1.5]}"#),
    ("PHP unescaped unicode", r#"{"b":"é<\/b>","a":[1,1.5]}"#),
    ("PHP unescaped slashes", r#"{"b":"\u00e9</b>","a":[1,1.5]}"#),
    ("PHP pretty", "{\n    \"b\": \"\\u00e9<\\/b>\",\n    \"a\": [\n        1,\n        1.5\n    ]\n}"),
    (".NET", r#"{"b":"\u00E9\u003Cb\u003E\u0027\u002B\u0022","a":[1,1.5]}"#),
    ("Gson", r#"{"b":"é\u003cb\u003e\u003d\u0027","a":[1,1.5]}"#),
    ("Ruby", r#"{"b":"é</b>","a":[1,1.5]}"#),
];

#[test]
fn finds_the_spelling_of_each_library_behind_another_one() {
    for (library, signed) in SPELLINGS {
        for (other, received) in arrivals(signed) {
            let codes = Case::github(signed.as_bytes(), received.as_bytes()).codes();
            let known = ["body_reserialised", "body_unicode_escapes", "body_slash_escapes", "body_keys_sorted"];
            assert!(
                codes.first().is_some_and(|code| known.contains(code)),
                "{library}, arrives {other} as {received}: {codes:?}"
            );
        }
    }
}

/// The same JSON with spaces, and with all escapes undone, in an odd layout that no style has.
fn arrivals(signed: &str) -> Vec<(&'static str, String)> {
    let mut arrivals = Vec::new();
    let spaced = respaced(signed);
    arrivals.push(("spaced", spaced.clone()));
    let plain = with_strings(spaced.as_bytes(), |letters, out| {
        for letter in letters {
            match letter {
                super::super::json::Letter::Char(letter) if *letter < ' ' || matches!(letter, '"' | '\\') => {
                    write!(out, "\\u{:04x}", u32::from(*letter)).unwrap();
                }
                super::super::json::Letter::Char(letter) => out.push(*letter),
                super::super::json::Letter::Lone(unit) => write!(out, "\\u{unit:04x}").unwrap(),
            }
        }
    });
    arrivals.extend(plain.map(|plain| ("without escapes", plain)));
    arrivals
}

/// A space before each comma outside of strings: nobody writes that.
fn respaced(text: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    let mut out = String::new();
    for letter in text.chars() {
        if letter == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = letter == '\\' && !escaped;
        if letter == ',' && !in_string {
            out.push(' ');
        }
        out.push(letter);
    }
    if out == text { format!("{text} ") } else { out }
}

const RAW: &str = "é\\u0061<>&'+`=\\\"/😀\u{2028}\u{7f}\\u001f";
const ARRIVES: &str = r#"{"b":"@" ,"2":1.0 ,"a":[1 ,{}]}"#;
const COMPACT: &str = r#"{"b":"@","2":1.0,"a":[1,{}]}"#;
const SPACED: &str = r#"{"b": "@", "2": 1.0, "a": [1, {}]}"#;
const SORTED: &str = r#"{"2":1.0,"a":[1,{}],"b":"@"}"#;
const SPACED_SORTED: &str = r#"{"2": 1.0, "a": [1, {}], "b": "@"}"#;
const INDENTED: &str = "{\n\t\"b\": \"@\",\n\t\"2\": 1.0,\n\t\"a\": [\n\t\t1,\n\t\t{}\n\t]\n}";
const JS_INDENTED: &str = "{\n\t\"2\": 1,\n\t\"b\": \"@\",\n\t\"a\": [\n\t\t1,\n\t\t{}\n\t]\n}";
const JS: &str = "éa<>&'+`=\\\"/😀\u{2028}\u{7f}\\u001f";
const PYTHON: &str = r#"\u00e9a<>&'+`=\"/\ud83d\ude00\u2028\u007f\u001f"#;
const GO: &str = "éa\\u003c\\u003e\\u0026'+`=\\\"/😀\\u2028\u{7f}\\u001f";
const PHP: &str = "\\u00e9a<>&'+`=\\\"\\/\\ud83d\\ude00\\u2028\u{7f}\\u001f";
const PHP_UNICODE: &str = "éa<>&'+`=\\\"\\/😀\\u2028\u{7f}\\u001f";
const PHP_SLASHES: &str = "\\u00e9a<>&'+`=\\\"/\\ud83d\\ude00\\u2028\u{7f}\\u001f";
const NET: &str = r"\u00E9a\u003C\u003E\u0026\u0027\u002B\u0060=\u0022/\uD83D\uDE00\u2028\u007F\u001F";
const UPPER: &str = "\\u00E9a<>&'+`=\\\"/\\uD83D\\uDE00\\u2028\u{7f}\\u001F";
const GSON: &str = "éa\\u003c\\u003e\\u0026\\u0027+`\\u003d\\\"/😀\\u2028\u{7f}\\u001f";

/// What is said, the shape that was signed, what an indent is, and the string in it.
const STYLES: &[(&str, &str, &str, &str)] = &[
    ("compact, without white space", COMPACT, "", RAW),
    ("compact, as `JSON.stringify` writes it", r#"{"2":1,"b":"@","a":[1,{}]}"#, "", JS),
    ("indented by 2 spaces", INDENTED, "  ", RAW),
    ("indented by 4 spaces", INDENTED, "    ", RAW),
    ("with a space after commas and colons, as Python writes it", SPACED, "", RAW),
    ("with a space after commas and colons and \\u escapes, as Python's `json.dumps` writes it", SPACED, "", PYTHON),
    (
        "with a space after commas and colons and without \\u escapes, as Python writes it with `ensure_ascii=False`",
        SPACED,
        "",
        JS,
    ),
    ("compact with \\u escapes, as Python writes it with narrow separators", COMPACT, "", PYTHON),
    ("compact with `<`, `>` and `&` escaped, as Go and Rails write it", COMPACT, "", GO),
    ("as Go's encoder writes it, with a final line break", "{\"b\":\"@\",\"2\":1.0,\"a\":[1,{}]}\n", "", GO),
    ("with escaped slashes and \\u escapes, as PHP's `json_encode` writes it", COMPACT, "", PHP),
    ("with escaped slashes, as PHP writes it with `JSON_UNESCAPED_UNICODE`", COMPACT, "", PHP_UNICODE),
    ("with \\u escapes, as PHP writes it with `JSON_UNESCAPED_SLASHES`", COMPACT, "", PHP_SLASHES),
    ("with \\u escapes in upper case, as .NET writes it", COMPACT, "", NET),
    ("with \\u escapes in upper case", COMPACT, "", UPPER),
    ("with `=` and `'` escaped, as Gson writes it", COMPACT, "", GSON),
    ("compact, with numbers as JavaScript writes them", r#"{"b":"@","2":1,"a":[1,{}]}"#, "", RAW),
    ("compact, with a final line break", "{\"b\":\"@\",\"2\":1.0,\"a\":[1,{}]}\n", "", RAW),
    ("indented by 2 spaces, as `JSON.stringify` writes it", JS_INDENTED, "  ", JS),
    ("indented by 4 spaces, as `JSON.stringify` writes it", JS_INDENTED, "    ", JS),
    ("indented by tabs", INDENTED, "\t", RAW),
    (
        "indented by 2 spaces, with a final line break",
        "{\n\t\"b\": \"@\",\n\t\"2\": 1.0,\n\t\"a\": [\n\t\t1,\n\t\t{}\n\t]\n}\n",
        "  ",
        RAW,
    ),
    (
        "indented by 4 spaces, with a final line break",
        "{\n\t\"b\": \"@\",\n\t\"2\": 1.0,\n\t\"a\": [\n\t\t1,\n\t\t{}\n\t]\n}\n",
        "    ",
        RAW,
    ),
    ("indented by 4 spaces with escaped slashes, as PHP writes it", INDENTED, "    ", PHP),
    ("indented by 2 spaces with \\u escapes, as Python writes it", INDENTED, "  ", PYTHON),
    ("indented by 4 spaces with \\u escapes, as Python writes it", INDENTED, "    ", PYTHON),
    ("with a space after colons", r#"{"b": "@","2": 1.0,"a": [1,{}]}"#, "", RAW),
    ("with a space after commas", r#"{"b":"@", "2":1.0, "a":[1, {}]}"#, "", RAW),
    ("compact, with its keys sorted", SORTED, "", RAW),
    ("compact, as JavaScript writes it, with its keys sorted", r#"{"2":1,"a":[1,{}],"b":"@"}"#, "", JS),
    ("as Go writes it, with its keys sorted", SORTED, "", GO),
    ("as Python writes it, with its keys sorted", SPACED_SORTED, "", RAW),
    ("with \\u escapes, as Python writes it, with its keys sorted", SPACED_SORTED, "", PYTHON),
    ("compact with \\u escapes, as Python writes it, with its keys sorted", SORTED, "", PYTHON),
    (
        "indented by 2 spaces, with its keys sorted",
        "{\n\t\"2\": 1.0,\n\t\"a\": [\n\t\t1,\n\t\t{}\n\t],\n\t\"b\": \"@\"\n}",
        "  ",
        RAW,
    ),
];

#[test]
fn each_style_is_told_from_all_others() {
    let received = ARRIVES.replace('@', RAW);
    for (said, shape, indent, text) in STYLES {
        let signed = shape.replace('\t', indent).replace('@', text);
        let found = Case::github(signed.as_bytes(), received.as_bytes()).diagnosed();
        let code = if said.ends_with("sorted") { "body_keys_sorted" } else { "body_reserialised" };
        let findings: Vec<_> = found.iter().map(|found| (found.code, found.finding.as_str())).collect();
        let due = format!("The sender signed this JSON {said}; it arrives written in another way.");
        assert_eq!(findings, [(code, due.as_str())], "{signed}");
    }
}

#[test]
fn each_way_to_escape_is_told_from_all_others() {
    let slashes = JS.replace('/', "\\/");
    for (code, said, text) in [
        ("body_unicode_escapes", "with letters and slashes as they are", JS),
        ("body_unicode_escapes", "with \\u escapes", PYTHON),
        ("body_unicode_escapes", "with \\u escapes in upper case", UPPER),
        ("body_unicode_escapes", "with `<`, `>` and `&` escaped", GO),
        ("body_unicode_escapes", "with the \\u escapes of .NET", NET),
        ("body_slash_escapes", "with escaped slashes", &slashes),
        ("body_slash_escapes", "with escaped slashes and \\u escapes", PHP),
        ("body_slash_escapes", "with \\u escapes, but slashes as they are", PHP_SLASHES),
    ] {
        let [signed, received] = [text, RAW].map(|text| ARRIVES.replace('@', text));
        let found = Case::github(signed.as_bytes(), received.as_bytes()).diagnosed().remove(0);
        let expected = format!("The sender signed this JSON {said}; it arrives with other escapes.");
        assert_eq!((found.code, found.finding), (code, expected), "{signed}");
    }
}

#[test]
fn escapes_are_read_as_json_means_them() {
    let text = |raw: &str| plain(raw).map(|text| String::from_utf8(text).unwrap());
    assert_eq!(text(r#"\b\f\n\r\t\"\\\/"#).as_deref(), Some("\u{8}\u{c}\n\r\t\"\\/"));
    assert_eq!(text(r"\u00e9\ud83d\ude00a").as_deref(), Some("é😀a"));
    for raw in [r"\x", r"\", r"\u00g0", r"\u+123", r"\ud83d", r"\ude00"] {
        assert_eq!(text(raw), None, "{raw}");
    }
}

#[test]
fn numbers_are_written_as_javascript_does() {
    for (text, expected) in [
        ("1.0", "1"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1e3", "1000"),
        ("1E-7", "1e-7"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("123456789012345678901", "123456789012345680000"),
        ("9007199254740993", "9007199254740992"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("5e-324", "5e-324"),
        ("-12.50", "-12.5"),
        ("0.1", "0.1"),
        ("1.5e-10", "1.5e-10"),
    ] {
        assert_eq!(js_number(text).as_deref(), Some(expected), "{text}");
    }
    assert_eq!(js_number("1e999"), None);
}

#[test]
fn what_is_no_json_has_no_tree() {
    for text in [
        "",
        "{",
        "{}}",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "tru",
        "[1 2]",
        "\"a",
        "\u{feff}{}",
        "nan",
        "-",
    ] {
        assert!(parse(text.as_bytes()).is_none(), "{text}");
    }
    assert!(parse("[".repeat(97).as_bytes()).is_none());
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(deep(97).as_bytes()).is_some());
    assert!(parse(deep(98).as_bytes()).is_none());
    assert!(parse(b"[\"\xff\"]").is_none());
}
