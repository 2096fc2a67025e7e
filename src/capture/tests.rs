//! Captures of each shape, each problem with its line, near misses, and damaged files that must not panic.

use super::*;

const BODY: &str = "{\"type\":\"user.created\",\"data\":{\"id\":\"user_1\",\"name\":\"Zo\u{eb}\",\"note\":\"a long note that goes past one line of a trace\"}}";
/// [`BODY`] where unprintable bytes are dots.
const DOTTED: &str = "{\"type\":\"user.created\",\"data\":{\"id\":\"user_1\",\"name\":\"Zo..\",\"note\":\"a long note that goes past one line of a trace\"}}";

macro_rules! fixture {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../tests/data/captures/", $name)).as_slice())
    };
}

/// Files that the tools themselves wrote: name, bytes. All hold the same request.
const FIXTURES: &[(&str, &[u8])] = &[
    fixture!("curl-v.txt"),
    fixture!("curl-trace.txt"),
    fixture!("curl-trace-ascii.txt"),
    fixture!("curl-trace-chunked.txt"),
    fixture!("tcpdump-ascii.txt"),
    fixture!("tcpdump-ascii-verbose.txt"),
    fixture!("tcpdump-hex.txt"),
    fixture!("tcpdump-hex-link.txt"),
    fixture!("tcpdump-hex-only.txt"),
    fixture!("tcpdump-hex-verbose.txt"),
    fixture!("tshark-hex.txt"),
    fixture!("tshark-reassembled.txt"),
    fixture!("xxd.txt"),
    fixture!("xxd-single.txt"),
    fixture!("xxd-plain.txt"),
    fixture!("hexdump.txt"),
];

/// Further texts to damage.
const TEXTS: &[&str] = &[
    "POST /hooks?a=1 HTTP/1.1\r\nhost: a.example\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
    "POST /h HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n3;x=y\r\n:1}\r\n0\r\n\r\n",
    ":method: POST\n:path: /h\n:scheme: https\n:authority: a.example\nsvix-id: 1\n\n{}",
    "$ curl -sX POST 'https://a.example/h?x=1' \\\n  -H \"svix-id: m\" -H $'a: \\x41\\u00e9' --data-raw '{\"a\":1}'",
    r#"{"log":{"entries":[{"request":{"method":"POST","url":"https://a.example/h?x=1","httpVersion":"HTTP/2","headers":[{"name":":path","value":"/h"},{"name":"svix-id","value":"m"}],"postData":{"mimeType":"application/json","text":"{\"a\":1}"}}}]}}"#,
    r#"{"rawPath":"/h","rawQueryString":"x=1","headers":{"svix-id":"m"},"requestContext":{"domainName":"a.example","http":{"method":"POST"}},"body":"eyJhIjoxfQ==","isBase64Encoded":true}"#,
];

fn ok(bytes: impl AsRef<[u8]>) -> Captured {
    read(bytes.as_ref()).unwrap_or_else(|problem| panic!("{problem}"))
}

fn fails(bytes: impl AsRef<[u8]>) -> CaptureProblem {
    read(bytes.as_ref()).unwrap_err()
}

fn fails_at(bytes: impl AsRef<[u8]>, line: usize, fault: Fault) {
    let problem = fails(bytes);
    let shown = problem.to_string();
    assert_eq!((problem.line_number(), problem.fault.hint().is_empty()), (Some(line), false), "{shown}");
    let found = (problem.fault, line);
    assert_eq!(found, (fault, line), "{shown}");
}

fn values<'c>(captured: &'c Captured, name: &str) -> Vec<&'c str> {
    captured.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

fn text(captured: &Captured) -> &str {
    str::from_utf8(&captured.body).unwrap()
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /h HTTP/1.1\r\n{headers}\r\n{body}")
}

// What the tools wrote.

#[test]
fn every_tool_s_own_file_gives_the_same_request() {
    for (name, bytes) in FIXTURES {
        let captured = read(bytes).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!(captured.method, "POST", "{name}");
        assert_eq!(captured.target, "/hooks?a=1", "{name}");
        assert_eq!(captured.url, None, "{name}");
        assert_eq!(values(&captured, "svix-id"), ["msg_1"], "{name}");
        assert_eq!(values(&captured, "svix-signature"), ["v1,abc="], "{name}");
        let (shape, body, notes) = match *name {
            "curl-v.txt" => (Shape::CurlVerbose, "", vec![Note::BodyMissing]),
            "curl-trace.txt" => (Shape::CurlTrace, BODY, vec![]),
            "curl-trace-chunked.txt" => (Shape::CurlTrace, BODY, vec![Note::ChunkedDecoded]),
            "curl-trace-ascii.txt" => (Shape::CurlTraceAscii, DOTTED, vec![Note::DotsForBytes]),
            "tcpdump-ascii.txt" | "tcpdump-ascii-verbose.txt" => {
                (Shape::TcpdumpAscii, DOTTED, vec![Note::DotsForBytes])
            }
            name if name.starts_with("tcpdump-hex") || name == "tshark-hex.txt" => (Shape::PacketDump, BODY, vec![]),
            _ => (Shape::HexDump, BODY, vec![]),
        };
        assert_eq!((captured.shape, text(&captured), captured.notes.clone()), (shape, body, notes), "{name}");
    }
}

#[test]
fn crlf_line_ends_of_a_tool_s_file_change_nothing() {
    for (name, bytes) in FIXTURES {
        if name.starts_with("tcpdump-ascii") {
            continue;
        }
        let windows = str::from_utf8(bytes).unwrap().replace("\r\n", "\n").replace('\n', "\r\n");
        let (plain, windows) = (ok(bytes), ok(&windows));
        assert_eq!((plain.body, plain.notes), (windows.body, windows.notes), "{name}");
    }
}

#[test]
fn a_request_without_a_line_of_the_dump_is_never_joined() {
    for (name, bytes) in FIXTURES {
        if !(name.starts_with("xxd.") || name.starts_with("hexdump") || name.starts_with("curl-trace.")) {
            continue;
        }
        let lines: Vec<&str> = str::from_utf8(bytes).unwrap().lines().collect();
        let without: Vec<&str> = [&lines[..5], &lines[6..]].concat();
        fails_at(without.join("\n"), 6, Fault::Offset);
    }
}

// Raw messages.

#[test]
fn a_raw_message_keeps_headers_in_order_and_the_body_to_the_byte() {
    let mut bytes = b"POST /h?b=2&a=1 HTTP/1.1\r\nA: 1\r\nB:\t x y \t\r\na: 2\r\nC:\r\nD: \xe9\r\n\r\n".to_vec();
    bytes.extend(b"\xff\x00\r\n\n");
    let captured = ok(&bytes);
    assert_eq!((captured.method.as_str(), captured.target.as_str()), ("POST", "/h?b=2&a=1"));
    assert_eq!(values(&captured, "a"), ["1", "2"]);
    assert_eq!((values(&captured, "b"), values(&captured, "c")), (vec!["x y"], vec![""]));
    assert_eq!(captured.headers["d"].as_bytes(), b"\xe9");
    assert_eq!(captured.body, b"\xff\x00\r\n\n");
    assert_eq!((captured.shape, captured.notes), (Shape::Raw, vec![]));
}

#[test]
fn lf_line_ends_are_read_and_noted() {
    let captured = ok("\n\nPOST /h HTTP/1.1\na: 1\n\nx\n");
    assert_eq!((text(&captured), captured.notes.clone()), ("x\n", vec![Note::LfLineEnds]));
    assert_eq!(ok(post("a: 1\r\n", "x\n")).notes, []);
    assert_eq!(ok("POST /h HTTP/1.1\r\na: 1\n\r\nx").notes, [Note::LfLineEnds]);
}

#[test]
fn a_version_may_be_missing_but_not_wrong() {
    for version in ["", " HTTP/1.0", " HTTP/2", " HTTP/2.0", " HTTP/3"] {
        assert_eq!(ok(format!("PUT /h{version}\r\na: 1\r\n\r\n")).target, "/h", "{version}");
    }
    fails_at("POST /h HTTP/4\r\n\r\n", 1, Fault::Version("HTTP/4".to_owned()));
    fails_at("POST /a b HTTP/1.1\r\n\r\n", 1, Fault::TargetHasSpace);
    fails_at("POST hooks HTTP/1.1\r\n\r\n", 1, Fault::RequestLine("POST hooks HTTP/1.1".to_owned()));
    fails_at("\r\nHTTP/1.1 200 OK\r\n\r\n", 2, Fault::Response);
    fails_at(b"POST /\xff HTTP/1.1\r\n\r\n", 1, Fault::Target);
}

#[test]
fn an_absolute_target_gives_the_url() {
    let captured = ok("POST HTTPS://u:p@a.example:8443/h?x=%41#f HTTP/1.1\r\n\r\n");
    assert_eq!(captured.url.as_deref(), Some("https://a.example:8443/h?x=%41"));
    assert_eq!(captured.target, "/h?x=%41");
    assert_eq!(ok("POST http://a.example?x HTTP/1.1\r\n\r\n").url.as_deref(), Some("http://a.example/?x"));
    assert_eq!(fails("POST http:///h HTTP/1.1\r\n\r\n").fault, Fault::Target);
}

#[test]
fn http2_pseudo_headers_stand_for_the_request_line() {
    let captured = ok(":authority: a.example\n:method: PUT\n:path: /h?x\n:scheme: https\nsvix-id: m\n\n{}");
    assert_eq!((captured.method.as_str(), captured.target.as_str()), ("PUT", "/h?x"));
    assert_eq!(captured.url.as_deref(), Some("https://a.example/h?x"));
    assert_eq!((values(&captured, "host"), text(&captured)), (vec!["a.example"], "{}"));
    let captured = ok(":method: POST\n:path: /h\n:authority: a.example\nHost: b.example\n\n");
    assert_eq!((captured.url.as_deref(), values(&captured, "host")), (None, vec!["b.example"]));
    fails_at("\n:method: POST\na: b\n\n", 2, Fault::PseudoMissing(":path"));
    fails_at(":method: POST\n:path: /a\n:path: /b\n\n", 3, Fault::PseudoTwice(":path"));
    fails_at(":status: 200\n\n", 1, Fault::Response);
    fails_at(":method POST\n\n", 1, Fault::NoColon("`method …`".to_owned()));
}

#[test]
fn each_broken_header_line_is_named_without_its_value() {
    let at = |line: &str, fault| fails_at(post(&format!("a: 1\r\n{line}\r\n"), ""), 3, fault);
    at("svix-id msg", Fault::NoColon("`svix-id …`".to_owned()));
    at("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=", Fault::NoColon("a line of 47 bytes".to_owned()));
    at(" folded", Fault::Folded);
    at("\tsvix-id: m", Fault::Folded);
    at("svix-id : m", Fault::HeaderName("svix-id ".to_owned()));
    at("\u{e9}: m", Fault::HeaderName("..".to_owned()));
    at(": m", Fault::NoColon("a line of 2 bytes".to_owned()));
    at("svix-id: a\u{1}b", Fault::HeaderValue("svix-id".to_owned()));
    at("svix-id: a\rb", Fault::HeaderValue("svix-id".to_owned()));
    assert_eq!(fails(post("a: 1\r\nsvix-id msg\r\n", "")).to_string(), "line 3: `svix-id …` has no colon");
}

#[test]
fn a_thousand_headers_are_read_and_no_more() {
    assert_eq!(ok(post(&"a: 1\r\n".repeat(1000), "")).headers.len(), 1000);
    fails_at(post(&"a: 1\r\n".repeat(1001), ""), 1002, Fault::TooManyHeaders);
}

#[test]
fn content_length_decides_where_the_body_ends() {
    let with = |length: &str, body: &str| {
        let captured = ok(post(&format!("content-length: {length}\r\n"), body));
        (text(&captured).to_owned(), captured.notes)
    };
    let found = |text: &str, note| (text.to_owned(), vec![note]);
    assert_eq!(with("3", "abc"), ("abc".to_owned(), vec![]));
    assert_eq!(with("3", "abc\n"), found("abc", Note::FinalNewlineCut));
    assert_eq!(with("3", "abc\r\n"), found("abc", Note::FinalNewlineCut));
    assert_eq!(with("4", "abc\n"), ("abc\n".to_owned(), vec![]));
    assert_eq!(with("3", "abc\n\n"), found("abc", Note::SurplusCut { declared: 3, found: 5 }));
    assert_eq!(with("3", "abcd"), found("abc", Note::SurplusCut { declared: 3, found: 4 }));
    assert_eq!(with("5", "abc"), found("abc", Note::Truncated { declared: 5, found: 3 }));
    assert_eq!(with("500", ""), found("", Note::Truncated { declared: 500, found: 0 }));
    for unusable in ["+3", "3, 3", "", "99999999999999999999999", "3\r\ncontent-length: 4"] {
        assert_eq!(with(unusable, "abc\n"), found("abc\n", Note::ContentLengthUnusable), "{unusable}");
    }
    assert_eq!(with("3\r\ncontent-length: 3", "abc\n"), found("abc", Note::FinalNewlineCut));
    assert_eq!(text(&ok(post("", "abc\n"))), "abc\n");
}

#[test]
fn a_body_with_changed_line_ends_is_kept_whole() {
    let note = |length: usize, body: &str| {
        let captured = ok(post(&format!("content-length: {length}\r\n"), body));
        (text(&captured).to_owned(), captured.notes)
    };
    let changed = |text: &str, declared, found| (text.to_owned(), vec![Note::LineEndsChanged { declared, found }]);
    assert_eq!(note(6, "a\r\nb\r\nc\r\n"), changed("a\r\nb\r\nc\r\n", 6, 9));
    assert_eq!(note(6, "a\nb\n"), changed("a\nb\n", 6, 4));
    assert_eq!(note(4, "a\nb\n"), ("a\nb\n".to_owned(), vec![]));
    assert_eq!(note(4, "a\nb"), changed("a\nb", 4, 3));
    // What a body that was changed and then closed with one more line end has.
    assert_eq!(note(7, "a\nb\nc\n").1, [Note::LineEndsChanged { declared: 7, found: 6 }]);
    assert_eq!(note(6, "a\r\nb\n").1, [Note::Truncated { declared: 6, found: 5 }]);
    assert_eq!(note(9, "a\nb\n").1, [Note::Truncated { declared: 9, found: 4 }]);
}

#[test]
fn chunks_are_decoded_where_there_are_some() {
    let chunked = |body: &str| {
        let captured = ok(post("Transfer-Encoding: gzip, Chunked\r\n", body));
        (text(&captured).to_owned(), captured.notes)
    };
    let decoded = Note::ChunkedDecoded;
    assert_eq!(chunked("4\r\nabcd\r\n2;n=v\r\nef\r\n0\r\nt: 1\r\n\r\n"), ("abcdef".to_owned(), vec![decoded.clone()]));
    assert_eq!(chunked("4\nabcd\n0\n\n"), ("abcd".to_owned(), vec![decoded.clone()]));
    assert_eq!(chunked("0\r\n\r\n"), (String::new(), vec![decoded.clone()]));
    for cut in ["A\r\nabcd", "4\r\nabcd", "4\r\nabcd\r\n", "4\r\nabcd\r\n5"] {
        let notes = vec![decoded.clone(), Note::ChunkedUnfinished { found: 4 }];
        assert_eq!(chunked(cut), ("abcd".to_owned(), notes), "{cut:?}");
    }
    for plain in ["{\"a\":1}", "4\r\nabcdef\r\n", "123456789\r\nx", "+4\r\nabcd\r\n0\r\n\r\n"] {
        assert_eq!(chunked(plain), (plain.to_owned(), vec![Note::ChunkedAlreadyDecoded]), "{plain:?}");
    }
    let both = ok(post("content-length: 3\r\ntransfer-encoding: chunked\r\n", "1\r\na\r\n0\r\n\r\n"));
    assert_eq!((text(&both), both.notes.clone()), ("a", vec![Note::LengthAndChunked, decoded]));
    assert_eq!(text(&ok(post("transfer-encoding: gzip\r\n", "1\r\na\r\n0\r\n\r\n"))), "1\r\na\r\n0\r\n\r\n");
}

#[test]
fn encodings_and_lost_bytes_are_noted() {
    let note = |encoding: &str, body: &[u8]| {
        let head = format!("POST /h HTTP/1.1\r\ncontent-encoding: {encoding}\r\n\r\n");
        ok([head.as_bytes(), body].concat()).notes
    };
    assert_eq!(note("gzip", b"\x1f\x8b\x08"), [Note::ContentEncoding]);
    assert_eq!(note("br", b"\x0b"), [Note::ContentEncoding]);
    assert_eq!(note("gzip", b"{}"), [Note::AlreadyDecompressed]);
    assert_eq!(note("identity", b"{}"), []);
    assert_eq!(ok(post("", "Zo\u{fffd}")).notes, [Note::LostBytes]);
    let bom = ok(format!("\u{feff}{}", post("", "x")));
    assert_eq!((text(&bom), bom.notes.clone()), ("x", vec![Note::ByteOrderMark]));
}

// Files that are no request.

#[test]
fn a_file_that_is_not_http_is_refused_with_its_first_line() {
    fails_at(
        "\n\nhello world, this is no request at all\n",
        3,
        Fault::RequestLine("hello world, this is no reques…".to_owned()),
    );
    fails_at("svix-signature: v1,abcdef\r\n\r\n{}", 1, Fault::HeadersFirst("svix-signature".to_owned()));
    for (bytes, fault) in [
        (b"".as_slice(), Fault::Empty),
        (b" \r\n\t", Fault::Empty),
        (b"\xff\xfeP\0", Fault::Utf16),
        (b"\xd4\xc3\xb2\xa1\x02\0", Fault::Pcap),
        (b"\x0a\x0d\x0d\x0a\x1c", Fault::Pcap),
        (b"\x1f\x8b\x08", Fault::Compressed),
    ] {
        assert_eq!(fails(bytes).fault, fault);
    }
    let large = [b"POST / HTTP/1.1\r\n\r\n".as_slice(), &vec![b'a'; MAX_INPUT]].concat();
    assert_eq!(fails(&large).fault, Fault::TooLarge { found: large.len() });
    assert_eq!(ok(&large[..MAX_INPUT]).body.len(), MAX_INPUT - 19);
}

#[test]
fn a_secret_handed_in_by_mistake_is_not_repeated() {
    for secret in [
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYob7oD8=",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.sig",
        "5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
        "svix-signature v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN",
    ] {
        for file in [
            secret.to_owned(),
            format!("POST /h HTTP/1.1\r\n{secret}\r\n\r\n"),
            format!("curl https://a.example --{secret}"),
            format!(r#"{{"method":"POST","url":"/h","headers":{{"{secret}":{{}}}}}}"#),
        ] {
            let shown = fails(&file).to_string();
            for window in secret
                .as_bytes()
                .windows(12)
                .filter(|window| window.iter().any(u8::is_ascii_digit) && !window.contains(&b' '))
            {
                let piece = str::from_utf8(window).unwrap();
                assert!(!shown.contains(piece), "{shown} repeats {piece}");
            }
        }
    }
}

// curl.

#[test]
fn curl_v_with_times_and_a_progress_meter_is_read() {
    let file = "  % Total    % Received\n  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0* Connected\n08:03:43.351230 > POST /h HTTP/2\n08:03:43.351230 > svix-id: m\n* a note\n08:03:43.351230 > \n< HTTP/2 200\n< svix-id: other\n";
    let captured = ok(file);
    assert_eq!((captured.shape, values(&captured, "svix-id")), (Shape::CurlVerbose, vec!["m"]));
    assert_eq!(captured.notes, [Note::BodyMissing]);
    assert_eq!(ok("> GET /h HTTP/1.1\n> a: 1\n>\n> no header\n").headers.len(), 1);
    assert_eq!(ok("> GET /h HTTP/1.1\n> a: 1\n>\n").notes, []);
    assert_eq!(ok("> POST /h HTTP/1.1\n> content-length: 0\n>\n").notes, []);
    fails_at("* x\n> POST /h HTTP/1.1\n> svix-id m\n>\n", 3, Fault::NoColon("`svix-id …`".to_owned()));
}

#[test]
fn of_several_requests_only_a_single_post_is_taken() {
    let request =
        |method: &str, path: &str| format!("> {method} {path}?token=1 HTTP/1.1\n> a: 1\n>\n< HTTP/1.1 200 OK\n<\n");
    let captured = ok(request("GET", "/a") + &request("POST", "/b"));
    assert_eq!((captured.target.as_str(), &captured.notes[0]), ("/b?token=1", &Note::Chosen { number: 2, of: 2 }));
    let several = |list: &[&str]| Fault::Several(list.iter().map(|text| (*text).to_owned()).collect());
    assert_eq!(fails(request("POST", "/a") + &request("POST", "/b")).fault, several(&["1: POST /a", "2: POST /b"]));
    assert_eq!(fails(request("GET", "/a") + &request("PUT", "/b")).fault, several(&["1: GET /a", "2: PUT /b"]));
}

#[test]
fn no_control_character_of_a_file_is_shown() {
    let request = |path: &str| format!("> POST {path} HTTP/1.1\n> a: 1\n>\n< HTTP/1.1 200 OK\n<\n");
    let several = vec!["1: POST /a.[31m.".to_owned(), "2: POST /b".to_owned()];
    assert_eq!(fails(request("/a\u{1b}[31m\0") + &request("/b")).fault, Fault::Several(several));
    let export = |name: &str| format!(r#"{{"method":"POST","url":"/h","headers":{{"{name}":["1"]}}}}"#);
    assert_eq!(
        fails(export(r"a\u001b[31m\u007f\n")).to_string(),
        "line 1, headers.a.[31m..[0]: `a.[31m..` is not a header name"
    );
}

#[test]
fn a_raw_body_that_looks_like_a_trace_stays_a_body() {
    for body in [
        "> POST /b HTTP/1.1\n>\n",
        "=> Send header, 5 bytes (0x5)\n0000: a\n",
        "0000: 50 4f\n",
        "curl https://a.example",
    ] {
        let captured = ok(post("", body));
        assert_eq!((captured.shape, text(&captured)), (Shape::Raw, body));
    }
}

#[test]
fn a_damaged_trace_is_refused_at_its_line() {
    let hex = "=> Send header, 18 bytes (0x12)\n0000: 47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a GET / HTTP/1.1..\n0011: 0d 0a ..\n";
    fails_at(hex, 3, Fault::Offset);
    let ascii = "=> Send header, 24 bytes (0x18)\n0000: GET / HTTP/1.1\n0010: a: 1\n0016: \n";
    assert_eq!(values(&ok(ascii), "a"), ["1"]);
    fails_at(ascii.replace("GET /", "GET /path"), 2, Fault::Offset);
    let wrapped = "=> Send data, 3 bytes (0x3)\n0000: a\n0002: b\n";
    assert_eq!(text(&ok(format!("{ascii}{wrapped}"))), "a b");
    assert_eq!(fails("=> Send header, 0 bytes (0x0)\n").fault, Fault::NoRequest);
}

#[test]
fn a_curl_command_becomes_the_request_it_would_send() {
    let captured = ok(
        "$ curl -sSLX PUT 'https://u:p%40@a.example:8443/h?x=1#f' \\\n  -H 'svix-id: m' --header \"a: \\\"1\\\" \\x\" -H $'b: \\x41\\101\\u00e9\\'' \\\r\n --compressed -o /dev/null --data-binary '{\"a\":\n1}' | jq . -H 'no: no'",
    );
    assert_eq!((captured.method.as_str(), captured.target.as_str()), ("PUT", "/h?x=1"));
    assert_eq!(captured.url.as_deref(), Some("https://a.example:8443/h?x=1"));
    assert_eq!((values(&captured, "svix-id"), values(&captured, "a")), (vec!["m"], vec!["\"1\" \\x"]));
    assert_eq!(captured.headers["b"].as_bytes(), "AA\u{e9}'".as_bytes());
    assert_eq!(values(&captured, "authorization"), ["Basic dTpwQA=="]);
    assert_eq!(values(&captured, "host"), ["a.example:8443"]);
    assert_eq!(values(&captured, "content-type"), ["application/x-www-form-urlencoded"]);
    assert_eq!((text(&captured), captured.shape), ("{\"a\":\n1}", Shape::CurlCommand));
    assert!(!captured.headers.contains_key("no"));
}

#[test]
fn curl_s_body_options_are_told_apart() {
    let body = |options: &str| {
        let captured = ok(format!("curl a.example {options}"));
        let kind = values(&captured, "content-type").join(",");
        (captured.method.to_string(), text(&captured).to_owned(), kind)
    };
    let form = "application/x-www-form-urlencoded";
    let is = |method: &str, text: &str, kind: &str| (method.to_owned(), text.to_owned(), kind.to_owned());
    assert_eq!(body(""), is("GET", "", ""));
    assert_eq!(body("-I"), is("HEAD", "", ""));
    assert_eq!(body("-d a=1 -db=2"), is("POST", "a=1&b=2", form));
    assert_eq!(body("--data-raw @x -H 'content-type: x'"), is("POST", "@x", "x"));
    assert_eq!(body("--data x -H content-type:"), is("POST", "x", ""));
    assert_eq!(body("--json '{' --json '}'"), is("POST", "{}", "application/json"));
    assert_eq!(body("--data-urlencode 'a=b c&' --data-urlencode =d+"), is("POST", "a=b%20c%26&d%2B", form));
    assert_eq!(body("-d ''"), is("POST", "", form));
    let get = ok("curl 'a.example/h?x' -G -d y=1");
    assert_eq!((get.method.as_str(), get.target.as_str(), get.body.len()), ("GET", "/h?x&y=1", 0));
    assert_eq!(get.url.as_deref(), Some("http://a.example/h?x&y=1"));
    assert_eq!(values(&ok("curl a.example -H 'x;' -A me -b k=v"), "x"), [""]);
    assert_eq!(
        ok("curl a.example -d abc -H 'content-length: 4'").notes,
        [Note::LengthDiffers { declared: 4, found: 3 }]
    );
}

#[test]
fn a_curl_command_that_does_not_show_its_request_is_refused() {
    let at = |rest: &str, line, fault| fails_at(format!("curl https://a.example \\\n {rest}"), line, fault);
    at("-d @body.json", 2, Fault::DataFile("--data @…".to_owned()));
    at("--data-binary @-", 2, Fault::DataFile("--data-binary @…".to_owned()));
    at("--json @x", 2, Fault::DataFile("--json @…".to_owned()));
    at("--data-urlencode n@x", 2, Fault::DataFile("--data-urlencode @…".to_owned()));
    at("-H @x", 2, Fault::DataFile("--header @…".to_owned()));
    at("-F a=b", 2, Fault::UnknownBody("--form".to_owned()));
    at("--nope=1", 2, Fault::CurlOption("--nope".to_owned()));
    at("-s?", 2, Fault::CurlOption("-?".to_owned()));
    at("-H", 2, Fault::CurlValue("--header".to_owned()));
    at("-H 'svix-id m'", 2, Fault::NoColon("`svix-id …`".to_owned()));
    at("\\\n 'open", 3, Fault::Quote("single"));
    at("\"open", 2, Fault::Quote("double"));
    at("$'open", 2, Fault::Quote("$'"));
    for substitution in ["-H \"a: $TOKEN\"", "-d $(date)", "-d `date`", "-d \"${X}\""] {
        at(substitution, 2, Fault::Substitution);
    }
    at("-d '$TOKEN' https://b.example", 2, Fault::TwoUrls);
    fails_at("\n\ncurl -u me https://a.example", 3, Fault::CurlPassword);
    fails_at("curl -s", 1, Fault::NoUrl);
    fails_at("curl ftp://a.example", 1, Fault::Url);
    assert_eq!(text(&ok("curl a.example -d \"a$\" # -F x")), "a$");
}

// Dumps.

#[test]
fn a_repeated_line_of_a_dump_is_filled_in() {
    let head = "00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0a 0a  |GET / HTTP/1.1..|\n";
    let zeros = "00000010  30 30 30 30 30 30 30 30  30 30 30 30 30 30 30 30  |0000000000000000|\n*\n";
    let captured = ok(format!("{head}{zeros}00000040  61                       |a|\n00000041\n"));
    assert_eq!(text(&captured), "0".repeat(48) + "a");
    let far = fails(format!("{head}{zeros}ffffffff\n"));
    assert_eq!((far.line_number(), far.fault), (Some(4), Fault::TooLarge { found: 0xffff_ffff }));
}

#[test]
fn a_dump_s_text_column_is_never_taken_for_bytes() {
    for line in [
        "00000010: 6161 6262                                aabb",
        "00000010: 61 61 62 62                                       aabb",
        "0010  61 61 62 62                                       aa bb",
        "\t0x0010:  6161 6262                                aabb",
        "00000010  61 61 62 62                                       |aabb|",
    ] {
        let head = "00000000: 4745 5420 2f20 4854 5450 2f31 2e31 0a0a  GET / HTTP/1.1..\n";
        assert_eq!(text(&ok(format!("{head}{line}\n"))), "aabb", "{line}");
    }
}

#[test]
fn offsets_without_a_text_column_are_no_plain_hex() {
    let od = "000000 47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0a 0a\n000010 61 62\n000012\n";
    assert_eq!(text(&ok(od)), "ab");
}

#[test]
fn two_spaces_end_the_bytes_of_a_full_line() {
    let head = "00000000: 4745 5420 2f20 4854 5450 2f31 2e31 0a0a  GET / HTTP/1.1..\n";
    let last = "00000010: 6161 6161 6161 6161 6161 6161 6161 6161  aaaa aa";
    assert_eq!(text(&ok(format!("{head}{last}"))), "a".repeat(16));
}

#[test]
fn a_dump_of_something_else_is_refused() {
    assert_eq!(fails("00000000: 6865 6c6c 6f20 776f 726c 640a            hello world.\n").line_number(), Some(1));
    assert_eq!(fails("0000  61 61\n\n0000  62 62\n").fault, Fault::NoRequest);
    fails_at("504f535420\n2f20485454502f312e310d0a0d0\n", 2, Fault::Hex);
    let tls: String = str::from_utf8(FIXTURES[6].1).unwrap().replace("504f 5354", "1603 0100");
    assert_eq!(fails(tls).fault, Fault::NoRequest);
}

#[test]
fn a_missing_or_cut_packet_ends_the_body() {
    let file = str::from_utf8(FIXTURES.iter().find(|(name, ..)| *name == "tcpdump-hex.txt").unwrap().1).unwrap();
    let mut blocks: Vec<String> = Vec::new();
    for line in file.lines() {
        if line.contains(" IP ") {
            blocks.push(String::new());
        }
        blocks.last_mut().unwrap().extend([line, "\n"]);
    }
    // Numbers 5 and 6 hold the first 60 bytes of the body, number 4 the rest.
    blocks.drain(5..7);
    let captured = ok(blocks.concat());
    assert_eq!(captured.notes, [Note::Truncated { declared: 116, found: 0 }, Note::PacketMissing]);
    let cut: String = file.lines().filter(|line| !line.starts_with("\t0x0060")).flat_map(|line| [line, "\n"]).collect();
    assert_eq!(fails(&cut).fault, Fault::Offset);
}

#[test]
fn tcpdump_ascii_takes_one_connection_s_request() {
    let other = "22:13:22.5 IP 10.0.0.9.1 > 10.0.0.2.80: Flags [P.], seq 1:9, ack 1, win 1, length 8: HTTP: GET /x HTTP/1.1\nE..............................................GET /x HTTP/1.1\nhost: x\n\n\n";
    let file = str::from_utf8(FIXTURES[4].1).unwrap();
    let captured = ok(format!("{other}{file}"));
    assert_eq!((captured.target.as_str(), text(&captured)), ("/hooks?a=1", DOTTED));
    assert_eq!(captured.notes, [Note::DotsForBytes, Note::Chosen { number: 2, of: 2 }]);
    let broken = file.replace("svix-id: msg_1", "svix-id msg_1");
    fails_at(broken, 12, Fault::NoColon("`svix-id …`".to_owned()));
    assert_eq!(fails(file.replace("POST /", "SPAM /")).fault, Fault::NoRequest);
}

/// A TCP segment without options, as `tcpdump -x` prints it.
fn packet(sequence: u32, payload: &str) -> String {
    let total = u16::try_from(payload.len().saturating_add(40)).unwrap();
    let mut bytes = vec![0x45, 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0xc3, 0x50, 0, 80]);
    bytes.extend(sequence.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0x50, 0x18, 0, 1, 0, 0, 0, 0]);
    bytes.extend(payload.bytes());
    let mut lines = "08:00:00.1 IP a > b: Flags [P.], length 1\n".to_owned();
    for (offset, row) in (0..).step_by(16).zip(bytes.chunks(16)) {
        let words = row.chunks(2).map(|pair| match pair {
            [high, low] => format!("{high:02x}{low:02x} "),
            _ => format!("{:02x}", pair[0]),
        });
        lines.extend([format!("\t0x{offset:04x}:  ")].into_iter().chain(words).chain(["\n".to_owned()]));
    }
    lines
}

#[test]
fn segments_are_joined_by_their_numbers() {
    let head = "POST /h HTTP/1.1\r\ncontent-length: 8\r\n\r\n";
    let after = u32::try_from(head.len()).unwrap();
    let body = |files: &[String]| {
        let captured = ok(files.concat());
        (text(&captured).to_owned(), captured.notes)
    };
    let whole = ("abcdefgh".to_owned(), vec![]);
    let (first, second) = (packet(after, "abcd"), packet(after + 4, "efgh"));
    assert_eq!(body(&[second.clone(), packet(0, head), first.clone()]), whole);
    assert_eq!(body(&[packet(0, head), first.clone(), packet(after, "ab"), second.clone()]), whole);
    assert_eq!(body(&[packet(0, head), first.clone(), packet(after + 2, "cdefgh")]), whole);
    let cut = vec![Note::Truncated { declared: 8, found: 0 }, Note::PacketMissing];
    assert_eq!(body(&[packet(0, head), second.clone()]), (String::new(), cut));
    let two = [packet(0, head), first, second, packet(after + 8, "GET /x HTTP/1.1\r\n\r\n")];
    assert_eq!(body(&two), (whole.0, vec![Note::Chosen { number: 1, of: 2 }]));
}

#[test]
fn a_packet_captured_short_is_noted() {
    let file = packet(0, "POST /h HTTP/1.1\r\ncontent-length: 8\r\n\r\nabcdefgh");
    let last = file.trim_end().rfind('\n').unwrap();
    let captured = ok(&file[..last]);
    assert!(matches!(captured.notes[..], [Note::Truncated { declared: 8, .. }, Note::PacketsCut]), "{captured:?}");
}

// JSON.

fn entry(method: &str, url: &str) -> String {
    format!(
        r#"{{"request":{{"method":"{method}","url":"{url}","httpVersion":"HTTP/2","headers":[{{"name":":authority","value":"a.example"}},{{"name":"Svix-Id","value":"m"}},{{"name":"a","value":"1"}},{{"name":"A","value":"2"}}],"postData":{{"mimeType":"application/json","text":"{{\"a\":\"\u00e9\"}}"}}}},"response":{{"headers":[]}}}}"#
    )
}

#[test]
fn a_har_is_read_whole_by_entry_or_by_request() {
    let one = entry("POST", "https://a.example/h?x=%2F#f");
    let request = one.split_once(r#""request":"#).unwrap().1.split_once(r#","response""#).unwrap().0.to_owned();
    for file in
        [format!(r#"{{"log":{{"version":"1.2","entries":[{one}]}}}}"#), format!("[{one}]"), one.clone(), request]
    {
        let captured = ok(&file);
        assert_eq!((captured.method.as_str(), captured.target.as_str()), ("POST", "/h?x=%2F"), "{file}");
        assert_eq!(captured.url.as_deref(), Some("https://a.example/h?x=%2F"));
        assert_eq!((values(&captured, "host"), values(&captured, "a")), (vec!["a.example"], vec!["1", "2"]));
        assert_eq!((text(&captured), captured.shape), ("{\"a\":\"\u{e9}\"}", Shape::Har));
        assert_eq!(captured.notes, []);
    }
    let log = |entries: &[String]| format!(r#"{{"log":{{"entries":[{}]}}}}"#, entries.join(","));
    let captured = ok(log(&[entry("GET", "https://a.example/"), one.clone()]));
    assert_eq!(captured.notes, [Note::Chosen { number: 2, of: 2 }]);
    let several = vec!["1: POST https://a.example/h".to_owned(), "2: POST https://b.example/".to_owned()];
    assert_eq!(fails(log(&[one, entry("POST", "https://b.example?token=1")])).fault, Fault::Several(several));
    assert_eq!(fails(log(&[])).fault, Fault::NoRequest);
}

#[test]
fn a_har_body_may_be_base64_or_missing() {
    let with = |data: &str| {
        format!(
            r#"{{"method":"POST","url":"https://a.example/h","httpVersion":"","headers":[{{"name":"content-length","value":"2"}}]{data}}}"#
        )
    };
    for flag in [r#""encoding":"base64""#, r#""_encoding":"base64""#] {
        let captured = ok(with(&format!(r#","postData":{{"text":"/w\nA=",{flag}}}"#)));
        assert_eq!(
            (captured.body.as_slice(), captured.notes.as_slice()),
            (b"\xff\0".as_slice(), [Note::Base64Body].as_slice())
        );
    }
    assert_eq!(ok(with("")).notes, [Note::BodyMissing]);
    assert_eq!(ok(with(r#","postData":{"params":[{"name":"a","value":"b"}]}"#)).notes, [Note::FormFieldsOnly]);
    assert_eq!(ok(with(r#","postData":{"text":"abc"}"#)).notes, [Note::LengthDiffers { declared: 2, found: 3 }]);
    let lost = ok(with(r#","postData":{"text":"\ufffd"}"#));
    assert_eq!(lost.notes, [Note::LengthDiffers { declared: 2, found: 3 }, Note::LostBytes]);
    let problem = fails(with(",\n\"postData\":{\"text\":\"*\",\"encoding\":\"base64\"}"));
    assert_eq!(problem.place, Place::Json { line: 2, path: "postData.text".to_owned() });
    assert_eq!(problem.fault, Fault::Base64);
    assert_eq!(fails(with(r#","postData":{"text":"\ud800"}"#)).fault, Fault::JsonText);
}

#[test]
fn each_export_is_read() {
    let is = |file: &str, target: &str, url: Option<&str>, body: &str, notes: &[Note]| {
        let captured = ok(file);
        assert_eq!((captured.method.as_str(), captured.target.as_str()), ("POST", target), "{file}");
        assert_eq!((captured.url.as_deref(), text(&captured)), (url, body), "{file}");
        assert_eq!(values(&captured, "svix-id"), ["m"], "{file}");
        assert_eq!((captured.notes.as_slice(), captured.shape), (notes, Shape::Export), "{file}");
    };
    let api = Some("https://a.example/h?x=1");
    is(TEXTS[5], "/h?x=1", api, "{\"a\":1}", &[Note::Base64Body]);
    is(
        r#"{"httpMethod":"POST","path":"/h","headers":{"svix-id":"no"},"multiValueHeaders":{"svix-id":["m"]},"multiValueQueryStringParameters":{"a b":["1","é"]},"body":"{}","isBase64Encoded":false}"#,
        "/h?a%20b=1&a%20b=%C3%A9",
        None,
        "{}",
        &[Note::QueryRebuilt],
    );
    is(
        r#"{"uuid":"1","method":"POST","headers":{"svix-id":["m"]},"url":"https://a.example/h?x=1","query":{"x":"1"},"content":"{ }"}"#,
        "/h?x=1",
        api,
        "{ }",
        &[],
    );
    is(
        r#"{"id":"evt","data":{"path":"/h","query":"x=1","headers":{"svix-id":"m"},"body":{"b": [1.0, "a \" b"]}}}"#,
        "/h?x=1",
        None,
        r#"{"b":[1.0,"a \" b"]}"#,
        &[Note::MethodAssumed, Note::BodyWasParsed],
    );
    is(
        r#"{"method":"POST","url":"/h","rawHeaders":["Svix-Id","m","A","1"],"headers":{"svix-id":"no"},"body":{"type":"Buffer","data":[123,125]}}"#,
        "/h",
        None,
        "{}",
        &[],
    );
    is(
        r#"{"method":"POST","path":"/h","headers":["Svix-Id: m"],"rawBody":"{}","body":{"no":1}}"#,
        "/h",
        None,
        "{}",
        &[],
    );
    is(
        r#"{"method":"POST","url":"/h","headers":[["Svix-Id","m"]],"body":"e30","bodyEncoding":"base64"}"#,
        "/h",
        None,
        "{}",
        &[Note::Base64Body],
    );
    is(r#"{"headers":{"svix-id":"m"},"body":"x"}"#, "/", None, "x", &[Note::MethodAssumed, Note::TargetAssumed]);
    is(
        r#"{"requests":[{"uri":"/api/1","request":{"method":"POST","uri":"/h","headers":{"Svix-Id":["no"]},"raw":"UE9TVCAvaCBIVFRQLzEuMQ0KU3ZpeC1JZDogbQ0KDQp7fQ=="}}]}"#,
        "/h",
        None,
        "{}",
        &[],
    );
}

#[test]
fn names_in_an_export_are_not_mistaken() {
    let captured = ok(
        r#"{"method":"GET","x":{"method":"PUT"},"method":"POST","url":"/h","headers":{"content-length":0},"data":[1]}"#,
    );
    assert_eq!((captured.method.as_str(), captured.notes), ("POST", vec![]));
    let mut names: Vec<String> = ok(TEXTS[4]).headers.keys().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["host", "svix-id"]);
}

#[test]
fn json_that_is_no_request_is_refused_where_it_fails() {
    fails_at(r#"{"type":"user.created","data":{"id":"u"}}"#, 1, Fault::NotAnExport);
    fails_at("{\n\"a\": }", 2, Fault::Json { column: 6 });
    fails_at("{\"a\":\n\"open", 2, Fault::Json { column: 5 });
    fails_at(b"{\n\"\xff\"}", 2, Fault::Json { column: 2 });
    fails_at("{} {}", 1, Fault::Json { column: 4 });
    fails_at(r#"{"method":"POST","url":"/h","body":"x"}"#, 1, Fault::JsonMissing("headers"));
    let at = |headers: &str, path: &str, fault| {
        let problem = fails(format!("{{\"method\":\"POST\",\"url\":\"/h\",\n\"headers\":{headers},\"body\":\"\"}}"));
        assert_eq!(problem.place, Place::Json { line: 2, path: path.to_owned() });
        assert_eq!(problem.fault, fault);
    };
    at(r#"{"a b":"v1,secret"}"#, "headers.a b", Fault::HeaderName("a b".to_owned()));
    at(r#"{"a":"1\n2"}"#, "headers.a", Fault::HeaderValue("a".to_owned()));
    at(r#"{"a":{"b":1}}"#, "headers.a", Fault::JsonKind("a string"));
    at(r#"[{"value":"1"}]"#, "headers[0]", Fault::JsonMissing("name"));
    at(r#"["a","1","b"]"#, "headers", Fault::JsonKind("names and values in turn"));
    at(r#"["a: 1","b"]"#, "headers[1]", Fault::NoColon("a line of 1 bytes".to_owned()));
    assert_eq!(
        fails(r#"{"method":"P T","url":"/h","headers":{}}"#).to_string(),
        "line 1, method: `P T` is not a method"
    );
    assert_eq!(fails(r#"{"method":"POST","url":"h","headers":{}}"#).fault, Fault::Target);
    assert_eq!(fails(format!("[{}]", vec!["1"; 10_001].join(","))).fault, Fault::TooManyValues);
}

#[test]
fn deep_json_neither_overflows_the_stack_nor_takes_long() {
    let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    assert_eq!(fails(&deep).fault, Fault::NotAnExport);
    let captured = ok(format!(r#"{{"method":"POST","url":"/h","headers":{{}},"body":{deep}}}"#));
    assert_eq!(captured.body.len(), 2 << 20);
}

// Parts.

#[test]
fn headers_and_a_body_make_a_request() {
    let headers = ["Svix-Id: m".to_owned(), "a:1".to_owned(), "A: 2".to_owned(), "content-length: 9".to_owned()];
    let captured = from_parts(&headers, b"x\n".to_vec(), None, Some("https://a.example/h?x")).unwrap();
    assert_eq!((captured.method.as_str(), captured.target.as_str()), ("POST", "/h?x"));
    assert_eq!((captured.url.as_deref(), values(&captured, "a")), (Some("https://a.example/h?x"), vec!["1", "2"]));
    assert_eq!((text(&captured), captured.shape), ("x\n", Shape::Parts));
    assert_eq!(captured.notes, [Note::LengthDiffers { declared: 9, found: 2 }]);
    let bare = from_parts(&[], Vec::new(), Some("PUT"), None).unwrap();
    assert_eq!((bare.method.as_str(), bare.target.as_str(), bare.url), ("PUT", "/", None));
    assert_eq!(from_parts(&[], Vec::new(), None, Some("/h")).unwrap().target, "/h");
}

#[test]
fn a_wrong_part_is_named() {
    let problem = |headers: &[&str], method, url| {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        from_parts(&headers, Vec::new(), method, url).unwrap_err()
    };
    assert_eq!(problem(&["a: 1", "svix-id m"], None, None).to_string(), "--header 2: `svix-id …` has no colon");
    assert_eq!(problem(&[], Some("P T"), None).to_string(), "--method: `P T` is not a method");
    assert_eq!(problem(&[], None, Some("a.example/h")).to_string(), "--url: is not an http(s) URL");
    let many = vec!["a: 1".to_owned(); 1001];
    assert_eq!(from_parts(&many, Vec::new(), None, None).unwrap_err().fault, Fault::TooManyHeaders);
    assert_eq!(from_parts(&[], vec![0; MAX_INPUT + 1], None, None).unwrap_err().place, Place::Option("--body"));
}

#[test]
fn debug_output_has_no_value() {
    let shown = format!("{:?}", ok(post("authorization: hunter2\r\n", "hunter3")));
    assert!(!shown.contains("hunter"), "{shown}");
}

// Damage.

struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0.checked_rem(u64::try_from(below).unwrap()).unwrap_or(0)).unwrap()
    }
}

#[test]
fn no_damage_makes_it_panic_or_name_a_line_that_is_not_there() {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let files: Vec<&[u8]> =
        FIXTURES.iter().map(|(_, bytes)| *bytes).chain(TEXTS.iter().map(|text| text.as_bytes())).collect();
    let spice = b"\r\n\0 :\"'\\{}[]$,>*0aF\xff\xc3";
    for (index, file) in files.iter().enumerate() {
        assert!(read(file).is_ok(), "file {index}");
        for _ in 0..400 {
            let mut bytes = file.to_vec();
            for _ in 0..=random.next(6) {
                let at = random.next(bytes.len());
                match random.next(5) {
                    0 if !bytes.is_empty() => bytes[at] = spice[random.next(spice.len())],
                    1 => bytes.insert(at, spice[random.next(spice.len())]),
                    2 => bytes.truncate(at),
                    3 => {
                        let to = (at + random.next(40)).min(bytes.len());
                        bytes.drain(at..to);
                    }
                    _ => {
                        let other = files[random.next(files.len())];
                        let from = random.next(other.len());
                        bytes.splice(at..at, other[from..(from + 60).min(other.len())].iter().copied());
                    }
                }
            }
            let lines = raw::newlines(&bytes) + 1;
            if let Err(problem) = read(&bytes)
                && let Some(line) = problem.line_number()
            {
                assert!((1..=lines).contains(&line), "line {line} of {lines}: {problem}");
            }
        }
    }
}
