//! What passes, what does not, and that the way the bytes are cut never matters.

use super::*;

const LIMITS: Limits = Limits { max_head: 1024, max_headers: 20 };

/// A whole stream's fate: what was delivered, the heads, and the refusal that ended it.
#[derive(Debug, PartialEq, Eq, Default)]
struct Fate {
    delivered: Vec<u8>,
    heads: Vec<(usize, HeadFacts)>,
    refused: Option<Step>,
    /// Bytes still held at the end.
    held: usize,
}

/// Plays the adaptor: shows `reads` one after the other, keeps what is held, settles every upgrade as HTTP.
fn play<'a>(limits: Limits, reads: impl IntoIterator<Item = &'a [u8]>) -> Fate {
    let mut framing = Framing::new(limits);
    let mut fate = Fate::default();
    let mut held: Vec<u8> = Vec::new();
    'reads: for read in reads {
        held.extend_from_slice(read);
        while !held.is_empty() {
            match framing.approve(&held) {
                Step::Deliver(n) => {
                    assert!(n >= 1);
                    fate.delivered.extend(held.drain(..n));
                }
                Step::Head(n, facts) => {
                    fate.heads.push((n, facts));
                    fate.delivered.extend(held.drain(..n));
                }
                Step::NeedMore => continue 'reads,
                Step::AwaitUpgrade => framing.stay_http(),
                refused @ (Step::RefusedHead(_) | Step::RefusedBody(_)) => {
                    assert_eq!(framing.approve(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), refused, "a refusal is for ever");
                    fate.refused = Some(refused);
                    return fate;
                }
            }
        }
    }
    fate.held = held.len();
    fate
}

fn whole(stream: &[u8]) -> Fate {
    play(LIMITS, [stream])
}

/// `whole`, after comparing it with every way to cut the stream in two, and with byte by byte.
fn cut_everywhere(limits: Limits, stream: &[u8]) -> Fate {
    let fate = play(limits, [stream]);
    for at in 0..=stream.len() {
        let (first, second) = stream.split_at(at);
        assert_eq!(play(limits, [first, second]), fate, "cut at {at}: {}", stream.escape_ascii());
    }
    assert_eq!(play(limits, stream.chunks(1)), fate, "byte by byte: {}", stream.escape_ascii());
    fate
}

fn refused_head(stream: &[u8]) -> Fault {
    let fate = cut_everywhere(LIMITS, stream);
    assert!(fate.delivered.is_empty(), "{}", stream.escape_ascii());
    match fate.refused {
        Some(Step::RefusedHead(fault)) => fault,
        other => panic!("{other:?}: {}", stream.escape_ascii()),
    }
}

/// A head with these extra lines, and nothing after it.
fn with_lines(lines: &str) -> Vec<u8> {
    format!("POST /hook HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n").into_bytes()
}

fn facts_of(stream: &[u8]) -> HeadFacts {
    let fate = cut_everywhere(LIMITS, stream);
    assert_eq!((fate.refused, fate.held), (None, 0), "{}", stream.escape_ascii());
    assert_eq!(fate.delivered, stream);
    fate.heads.last().unwrap().1
}

fn chunked(body: &str) -> Vec<u8> {
    let mut stream = with_lines("Transfer-Encoding: chunked\r\n");
    stream.extend_from_slice(body.as_bytes());
    stream
}

/// How much of a chunked body was delivered before which fault.
fn refused_chunks(limits: Limits, body: &str) -> (String, Fault) {
    let stream = chunked(body);
    let fate = cut_everywhere(limits, &stream);
    match fate.refused {
        Some(Step::RefusedBody(fault)) => {
            let delivered = fate.delivered.strip_prefix(&chunked("")[..]).unwrap();
            (String::from_utf8(delivered.to_vec()).unwrap(), fault)
        }
        other => panic!("{other:?}: {}", body.escape_debug()),
    }
}

#[test]
fn delivers_a_webhook_with_its_body_in_two_steps() {
    let stream = b"POST /api/webhooks/clerk HTTP/1.1\r\nhost: app.example:8080\r\nsvix-id: msg_1\r\ncontent-length: 5\r\n\r\nhello";
    let mut framing = Framing::new(LIMITS);
    let facts = HeadFacts { version: Version::Http11, body: Body::Length(5), upgrade: false };
    let head = stream.len() - 5;
    assert_eq!(framing.approve(stream), Step::Head(head, facts));
    assert_eq!(framing.approve(&stream[head..]), Step::Deliver(5));
    assert_eq!(framing.approve(b""), Step::NeedMore);
}

#[test]
fn reads_the_declared_body_and_version() {
    for (lines, body) in [
        ("", Body::None),
        ("Content-Length: 0\r\n", Body::Length(0)),
        ("Content-Length:\t0007 \t\r\n", Body::Length(7)),
        ("cOnTeNt-lEnGtH: 12\r\n", Body::Length(12)),
        ("Content-Length: 999999999999999999\r\n", Body::Length(999_999_999_999_999_999)),
        ("Transfer-Encoding: chunked\r\n", Body::Chunked),
        ("transfer-encoding:CHUNKED\r\n", Body::Chunked),
    ] {
        let stream = with_lines(lines);
        assert_eq!(facts_of(&stream), HeadFacts { version: Version::Http11, body, upgrade: false }, "{lines}");
    }
    let old = facts_of(b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(old, HeadFacts { version: Version::Http10, body: Body::Length(0), upgrade: false });
}

#[test]
fn leaves_alone_what_real_clients_send() {
    for lines in [
        "Empty:\r\n",
        "Empty: \t \r\n",
        "Tab: a\tb\tcdefghijklmnop\tq\r\n",
        "Utf8: žluťoučký kůň\r\n",
        "X_Custom_Header: 1\r\n",
        "!#$%&'*+-.^_`|~09: token\r\n",
        "Expect: 100-Continue\r\nContent-Length: 0\r\n",
        "Connection: keep-alive, Upgrade, content-length\r\n",
        "Cookie: a=1\r\nCookie: b=2\r\n",
        "TE: trailers\r\nTrailer: x-checksum\r\n",
    ] {
        facts_of(&with_lines(lines));
    }
    for target in ["/", "/a%20b//c/..;/", "/a?b=c&d[]=e?f/g|{h}`^\\", "/\"{}[]|^\\@:,!$&'()*+;=~"] {
        facts_of(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }
    for host in ["a", "a.b:80", "[::1]:3000", "my_service.svc.cluster.local", "%C3%A9.example", "127.0.0.1"] {
        facts_of(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    }
    facts_of(b"M-SEARCH+x /! HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn follows_pipelined_messages() {
    let one = with_lines("Content-Length: 3\r\n");
    let stream =
        [&one[..], b"abc", &chunked("3\r\nabc\r\n0\r\n\r\n"), b"\r\nGET / HTTP/1.0\r\n\r\n", &with_lines("")].concat();
    let fate = cut_everywhere(LIMITS, &stream);
    assert_eq!((&fate.delivered, fate.heads.len(), fate.refused, fate.held), (&stream, 4, None, 0));
}

#[test]
fn a_request_smuggled_into_a_body_stays_a_body() {
    let inner = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let stream = [with_lines(&format!("Content-Length: {}\r\n", inner.len())), inner.into()].concat();
    assert_eq!(cut_everywhere(LIMITS, &stream).heads.len(), 1);
    let stream = chunked(&format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()));
    assert_eq!(cut_everywhere(LIMITS, &stream).heads.len(), 1);
    // One byte short: its last LF is then where the next head should be.
    let stream = [with_lines(&format!("Content-Length: {}\r\n", inner.len() - 1)), inner.into()].concat();
    assert_eq!(cut_everywhere(LIMITS, &stream).refused, Some(Step::RefusedHead(Fault::RequestLine)));
}

#[test]
fn ignores_one_empty_line_before_a_request_and_refuses_a_second() {
    let mut stream = b"\r\n".to_vec();
    stream.extend(with_lines(""));
    assert_eq!(whole(&stream).heads.first().unwrap().0, stream.len(), "it is part of the head");
    facts_of(&stream);
    let twice = [b"\r\n", &stream[..]].concat();
    assert_eq!(refused_head(&twice), Fault::RequestLine);
    assert_eq!(refused_head(&[b"\n", &with_lines("")[..]].concat()), Fault::RequestLine);
    assert_eq!(refused_head(&[b"\r", &with_lines("")[..]].concat()), Fault::LineEnd);
    assert_eq!(whole(b"\r\n").held, 2, "an idle connection's leftover is not delivered");
}

#[test]
fn refuses_every_malformed_request_line() {
    for (line, fault) in [
        ("GET /\r\n", Fault::RequestLine),
        ("GET / \r\n", Fault::Version),
        ("GET  / HTTP/1.1\r\n", Fault::RequestLine),
        ("GET /  HTTP/1.1\r\n", Fault::Version),
        ("GET / HTTP/1.1 \r\n", Fault::LineEnd),
        ("GET / HTTP/1.1\n", Fault::LineEnd),
        ("GET / HTTP/1.1\r\r\n", Fault::LineEnd),
        ("GET\t/ HTTP/1.1\r\n", Fault::RequestLine),
        (" GET / HTTP/1.1\r\n", Fault::RequestLine),
        ("GE(T / HTTP/1.1\r\n", Fault::RequestLine),
        ("G\0T / HTTP/1.1\r\n", Fault::RequestLine),
        ("GET / http/1.1\r\n", Fault::Version),
        ("GET / HTTP/1.2\r\n", Fault::Version),
        ("GET / HTTP/2.0\r\n", Fault::Version),
        ("GET / HTTP/1.10\r\n", Fault::LineEnd),
        ("GET / HTTP/01.1\r\n", Fault::Version),
        ("GET /a b HTTP/1.1\r\n", Fault::Version),
        ("CONNECT app.example:443 HTTP/1.1\r\n", Fault::Connect),
        ("CONNECT / HTTP/1.1\r\n", Fault::Connect),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n", Fault::Target),
        ("OPTIONS * HTTP/1.1\r\n", Fault::Target),
        ("GET http://app.example/ HTTP/1.1\r\n", Fault::Target),
        ("GET app.example HTTP/1.1\r\n", Fault::Target),
        ("GET /a#b HTTP/1.1\r\n", Fault::Target),
        ("GET /a?b#c HTTP/1.1\r\n", Fault::Target),
        ("GET # HTTP/1.1\r\n", Fault::Target),
        ("GET /a\tb HTTP/1.1\r\n", Fault::Target),
        ("GET /a\0 HTTP/1.1\r\n", Fault::Target),
        ("GET /a\x7f HTTP/1.1\r\n", Fault::Target),
        ("GET /é HTTP/1.1\r\n", Fault::Target),
        ("GET /<a> HTTP/1.1\r\n", Fault::Target),
        ("GET /?\"a\" HTTP/1.1\r\n", Fault::Target),
    ] {
        assert_eq!(refused_head(format!("{line}Host: a\r\n\r\n").as_bytes()), fault, "{}", line.escape_debug());
    }
}

#[test]
fn refuses_a_tls_handshake_by_its_first_byte() {
    assert_eq!(whole(b"\x16").refused, Some(Step::RefusedHead(Fault::RequestLine)));
}

#[test]
fn refuses_every_known_smuggling_trick_in_a_head() {
    for (lines, fault) in [
        // CL.TE, TE.CL
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Fault::LengthAndCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Fault::LengthAndCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Fault::LengthAndCoding),
        // TE.TE
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Fault::Coding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", Fault::Coding),
        ("Transfer-Encoding: identity\r\n", Fault::Coding),
        ("Transfer-Encoding: gzip, chunked\r\n", Fault::Coding),
        ("Transfer-Encoding: chunked, chunked\r\n", Fault::Coding),
        ("Transfer-Encoding: chunked,\r\n", Fault::Coding),
        ("Transfer-Encoding: ,chunked\r\n", Fault::Coding),
        ("Transfer-Encoding: xchunked\r\n", Fault::Coding),
        ("Transfer-Encoding: \"chunked\"\r\n", Fault::Coding),
        ("Transfer-Encoding: chunked;q=1\r\n", Fault::Coding),
        ("Transfer-Encoding: \u{a0}chunked\r\n", Fault::Coding),
        ("Transfer-Encoding:\r\n", Fault::Coding),
        ("Transfer-Encoding: \x0bchunked\r\n", Fault::FieldValue),
        ("Transfer-Encoding: \x0cchunked\r\n", Fault::FieldValue),
        ("Transfer-Encoding: chunked\0\r\n", Fault::FieldValue),
        ("Transfer-Encoding : chunked\r\n", Fault::FieldName),
        ("Transfer-Encoding\t: chunked\r\n", Fault::FieldName),
        ("Transfer-Encoding\x0b: chunked\r\n", Fault::FieldName),
        (" Transfer-Encoding: chunked\r\n", Fault::Folded),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", Fault::Folded),
        ("Transfer-Encoding:\r\n chunked\r\n", Fault::Coding),
        ("X: y\r\n\tz\r\n", Fault::Folded),
        ("X: y\rTransfer-Encoding: chunked\r\n", Fault::LineEnd),
        ("X: y\nTransfer-Encoding: chunked\r\n", Fault::LineEnd),
        ("X: y\r\r\n", Fault::LineEnd),
        ("Transfer_Encoding: chunked\r\n", Fault::Alias),
        ("Content-Length: 5\r\nTRANSFER_ENCODING: chunked\r\n", Fault::Alias),
        ("content_length: 5\r\n", Fault::Alias),
        // Content-Length
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Fault::LengthRepeated),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Fault::LengthRepeated),
        ("Content-Length: 0\r\ncontent-length: 6\r\n", Fault::LengthRepeated),
        ("Content-Length: 5, 5\r\n", Fault::Length),
        ("Content-Length: 5 5\r\n", Fault::Length),
        ("Content-Length: 5,\r\n", Fault::Length),
        ("Content-Length: +5\r\n", Fault::Length),
        ("Content-Length: -0\r\n", Fault::Length),
        ("Content-Length: 0x5\r\n", Fault::Length),
        ("Content-Length: 5.0\r\n", Fault::Length),
        ("Content-Length: 1_0\r\n", Fault::Length),
        ("Content-Length: \"5\"\r\n", Fault::Length),
        ("Content-Length: ５\r\n", Fault::Length),
        ("Content-Length:\r\n", Fault::Length),
        ("Content-Length: 1000000000000000000\r\n", Fault::Length),
        ("Content-Length: 5\x0b\r\n", Fault::FieldValue),
        // Lines
        ("no colon here\r\n", Fault::FieldName),
        ("nocolon\r\n", Fault::FieldName),
        (": empty name\r\n", Fault::FieldName),
        ("X\0: y\r\n", Fault::FieldName),
        ("X(y): z\r\n", Fault::FieldName),
        ("é: z\r\n", Fault::FieldName),
        ("X: a\0b\r\n", Fault::FieldValue),
        ("X: a\x7fb\r\n", Fault::FieldValue),
        ("X: a long enough value to be read by words \x1f\r\n", Fault::FieldValue),
        ("\n", Fault::FieldName),
        // Host
        ("Host: app.example\r\n", Fault::HostRepeated),
        ("hOST: other\r\n", Fault::HostRepeated),
        // Expect
        ("Expect: 200-ok\r\n", Fault::Expect),
        ("Expect: 100-continue, x\r\n", Fault::Expect),
        ("Expect:\r\n", Fault::Expect),
        ("Expect: 100-continue\r\nExpect: 100-continue\r\n", Fault::Expect),
    ] {
        assert_eq!(refused_head(&with_lines(lines)), fault, "{}", lines.escape_debug());
    }
}

#[test]
fn refuses_transfer_encoding_in_http_1_0() {
    let stream = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused_head(stream), Fault::Coding);
}

#[test]
fn wants_exactly_one_plain_host() {
    assert_eq!(refused_head(b"GET / HTTP/1.1\r\n\r\n"), Fault::HostMissing);
    assert_eq!(refused_head(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), Fault::HostRepeated);
    facts_of(b"GET / HTTP/1.0\r\n\r\n");
    for host in ["", " ", "a b", "a,b", "a/b", "a@b", "a?b", "a#b", "a\\b", "a\tb", "é", "\"a\"", "<a>", "a|b"] {
        for version in ["1.0", "1.1"] {
            let stream = format!("GET / HTTP/{version}\r\nHost: {host}\r\n\r\n");
            assert_eq!(refused_head(stream.as_bytes()), Fault::HostMalformed, "{host}");
        }
    }
}

#[test]
fn judges_every_byte_of_a_value_wherever_it_stands() {
    for byte in 0..=u8::MAX {
        for at in 0..20 {
            let mut value = *b"abcdefghijklmnopqrst\tuvw";
            value[at] = byte;
            let stream = [b"GET / HTTP/1.1\r\nHost: a\r\nX:", &value[..], b"\r\n\r\n"].concat();
            let fault = match byte {
                b'\r' | b'\n' => Some(Fault::LineEnd),
                b'\t' | b' '..=b'~' | 0x80.. => None,
                _ => Some(Fault::FieldValue),
            };
            assert_eq!(whole(&stream).refused, fault.map(Step::RefusedHead), "byte {byte:#x} at {at}");
        }
    }
}

#[test]
fn takes_the_bytes_of_names_targets_and_hosts_that_the_standards_name() {
    let passes = |stream: &[&[u8]]| whole(&stream.concat()).heads.len() == 1;
    for byte in 0..=u8::MAX {
        let is_one_of = |marks: &[u8]| byte.is_ascii_alphanumeric() || marks.contains(&byte);
        let one = &[byte][..];
        let token = is_one_of(b"!#$%&'*+-.^_`|~");
        assert_eq!(passes(&[b"G", one, b" / HTTP/1.1\r\nHost: a\r\n\r\n"]), token, "method {byte:#x}");
        // A colon ends the name, and is a byte like any other in the value.
        let name = token || byte == b':';
        assert_eq!(passes(&[b"GET / HTTP/1.1\r\nHost: a\r\nX", one, b"Y: z\r\n\r\n"]), name, "name {byte:#x}");
        let path = is_one_of(b"!\"$%&'()*+,-./:;=?@[\\]^_{|}~");
        assert_eq!(passes(&[b"GET /", one, b" HTTP/1.1\r\nHost: a\r\n\r\n"]), path, "path {byte:#x}");
        let query = is_one_of(b"!$%&'()*+,-./:;=?@[\\]^_`{|}~");
        assert_eq!(passes(&[b"GET /?", one, b" HTTP/1.1\r\nHost: a\r\n\r\n"]), query, "query {byte:#x}");
        let host = is_one_of(b"-._~%:[]!$&'()*+;=");
        assert_eq!(passes(&[b"GET / HTTP/1.1\r\nHost: a", one, b"b\r\n\r\n"]), host, "host {byte:#x}");
    }
}

#[test]
fn knows_whether_a_body_is_open() {
    for body in [&b"Content-Length: 3\r\n\r\nabc"[..], b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n"]
    {
        let stream = [b"POST / HTTP/1.1\r\nHost: a\r\n", body].concat();
        let (mut framing, mut rest) = (Framing::new(LIMITS), &stream[..]);
        assert!(!framing.in_body());
        while let Step::Head(n, _) | Step::Deliver(n) = framing.approve(rest) {
            rest = &rest[n..];
            assert_eq!(framing.in_body(), !rest.is_empty(), "before {}", rest.escape_ascii());
        }
        assert!(rest.is_empty());
    }
}

#[test]
fn a_bare_lf_cannot_end_a_head() {
    assert_eq!(refused_head(b"GET / HTTP/1.1\r\nHost: a\r\n\n"), Fault::FieldName);
    assert_eq!(refused_head(b"GET / HTTP/1.1\r\nHost: a\n\r\n"), Fault::LineEnd);
    assert_eq!(refused_head(b"GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n"), Fault::LineEnd);
}

#[test]
fn limits_the_head_in_bytes_at_the_byte() {
    let stream = with_lines("X-Padding: 0123456789\r\n");
    for (max_head, passes) in [(stream.len(), true), (stream.len() - 1, false)] {
        let fate = cut_everywhere(Limits { max_head, ..LIMITS }, &stream);
        assert_eq!(fate.heads.len(), usize::from(passes));
        assert_eq!(fate.refused, (!passes).then_some(Step::RefusedHead(Fault::HeadTooLarge)));
    }
    // As soon as the limit is held, not one byte later; and the body does not count.
    let endless = [b"GET /".to_vec(), vec![b'a'; 2000]].concat();
    assert_eq!(whole(&endless[..1023]).held, 1023);
    assert_eq!(whole(&endless[..1024]).refused, Some(Step::RefusedHead(Fault::HeadTooLarge)));
    assert_eq!(cut_everywhere(LIMITS, &endless).refused, Some(Step::RefusedHead(Fault::HeadTooLarge)));
    assert_eq!(cut_everywhere(LIMITS, &endless[..1024]).refused, Some(Step::RefusedHead(Fault::HeadTooLarge)));
    let big = [with_lines("Content-Length: 5000\r\n"), vec![b'x'; 5000]].concat();
    assert_eq!(whole(&big).delivered, big);
}

#[test]
fn never_takes_a_head_that_hyper_could_not_hold() {
    let limits = Limits { max_head: usize::MAX, max_headers: usize::MAX };
    let head = |padding: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(padding)).into_bytes();
    let overhead = head(0).len();
    assert_eq!(play(limits, [&head(65_534 - overhead)[..]]).heads.len(), 1);
    let refused = play(limits, [&head(65_535 - overhead)[..]]).refused;
    assert_eq!(refused, Some(Step::RefusedHead(Fault::HeadTooLarge)));
}

#[test]
fn limits_the_number_of_field_lines() {
    let stream = with_lines("A: 1\r\nB: 2\r\n");
    for (max_headers, passes) in [(3, true), (2, false)] {
        let fate = cut_everywhere(Limits { max_headers, ..LIMITS }, &stream);
        assert_eq!(fate.heads.len(), usize::from(passes));
        assert_eq!(fate.refused, (!passes).then_some(Step::RefusedHead(Fault::TooManyHeaders)));
    }
}

#[test]
fn delivers_chunked_bodies_and_their_trailers() {
    for body in [
        "0\r\n\r\n",
        "1\r\na\r\n0\r\n\r\n",
        "00000000000000Ff\r\n",
        "a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
        "5\r\n\r\n0\r\n\r\n0\r\n\r\n",
        "0\r\nX-Checksum: abc\r\nserver_timing: é\r\nContent-Digest: sha-256=:x:\r\n\r\n",
    ] {
        let fate = cut_everywhere(LIMITS, &chunked(body));
        assert_eq!((fate.refused, fate.held), (None, 0), "{}", body.escape_debug());
        assert_eq!(fate.delivered, chunked(body));
    }
}

#[test]
fn refuses_every_known_trick_in_chunks_at_the_first_wrong_byte() {
    for (body, delivered, fault) in [
        ("\r\n", "", Fault::ChunkSize),
        ("\n", "", Fault::ChunkSize),
        (" 3\r\nabc\r\n", "", Fault::ChunkSize),
        ("+3\r\nabc\r\n", "", Fault::ChunkSize),
        ("-1\r\n", "", Fault::ChunkSize),
        ("0x3\r\nabc\r\n", "0", Fault::ChunkSize),
        ("0_3\r\nabc\r\n", "0", Fault::ChunkSize),
        ("3 \r\nabc\r\n", "3", Fault::ChunkSize),
        ("3\t\r\nabc\r\n", "3", Fault::ChunkSize),
        ("3g\r\n", "3", Fault::ChunkSize),
        ("3\nabc\r\n", "3", Fault::ChunkSize),
        ("3\rabc\r\n", "3\r", Fault::ChunkSize),
        ("3\r\r\nabc\r\n", "3\r", Fault::ChunkSize),
        ("3\0\r\n", "3", Fault::ChunkSize),
        ("0\n\r\n", "0", Fault::ChunkSize),
        ("0\r\r\n\r\n", "0\r", Fault::ChunkSize),
        ("0\rGET /admin HTTP/1.1\r\nHost: a\r\n\r\n", "0\r", Fault::ChunkSize),
        ("00000000000000003\r\n", "0000000000000000", Fault::ChunkSize),
        ("10000000000000003\r\n", "1000000000000000", Fault::ChunkSize),
        (";a=b\r\n", "", Fault::ChunkSize),
        ("3;a=b\r\nabc\r\n", "3", Fault::ChunkExtension),
        ("3;\nxx\r\nabc\r\n", "3", Fault::ChunkExtension),
        ("0;\r\n\r\n", "0", Fault::ChunkExtension),
        ("3\r\nabc0\r\n\r\n", "3\r\nabc", Fault::ChunkEnd),
        ("3\r\nabc\n0\r\n\r\n", "3\r\nabc", Fault::ChunkEnd),
        ("3\r\nabc\r0\r\n\r\n", "3\r\nabc\r", Fault::ChunkEnd),
        ("3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc", Fault::ChunkEnd),
        ("3\r\nabc\r\n\r\n", "3\r\nabc\r\n", Fault::ChunkSize),
        ("0\r\n\n", "0\r\n", Fault::FieldName),
        ("0\r\n\rX\r\n", "0\r\n", Fault::LineEnd),
        ("0\r\n X: y\r\n\r\n", "0\r\n", Fault::Folded),
        ("0\r\nX: y\n\r\n", "0\r\n", Fault::LineEnd),
        ("0\r\nX: y\r\n z\r\n\r\n", "0\r\nX: y\r\n", Fault::Folded),
        ("0\r\nX : y\r\n\r\n", "0\r\n", Fault::FieldName),
        ("0\r\nX: \0\r\n\r\n", "0\r\n", Fault::FieldValue),
        ("0\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n", Fault::FieldName),
    ] {
        assert_eq!(refused_chunks(LIMITS, body), (delivered.to_owned(), fault), "{}", body.escape_debug());
    }
}

#[test]
fn takes_sixteen_hex_digits_without_overflow() {
    let fate = cut_everywhere(LIMITS, &chunked("FFFFFFFFFFFFFFFF\r\nabc"));
    assert_eq!((fate.refused, fate.held), (None, 0));
}

#[test]
fn refuses_trailers_that_would_be_believed_as_headers() {
    for name in [
        "Transfer-Encoding",
        "transfer_encoding",
        "Content-Length",
        "content_length",
        "Host",
        "Connection",
        "Trailer",
        "TE",
        "Upgrade",
        "Authorization",
        "Cookie",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Expect",
        "Verified-Event",
        "verified_event",
        "VERIFIED-EVENT-TOKEN",
        "X-Forwarded-For",
        "Forwarded",
    ] {
        let (delivered, fault) = refused_chunks(LIMITS, &format!("0\r\nX: y\r\n{name}: 1\r\n\r\n"));
        assert_eq!((&delivered[..], fault), ("0\r\nX: y\r\n", Fault::TrailerField), "{name}");
    }
}

#[test]
fn limits_the_trailer_section_in_lines_and_one_byte_below_the_head() {
    let (_, fault) = refused_chunks(Limits { max_headers: 2, ..LIMITS }, "0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
    assert_eq!(fault, Fault::TrailersTooLarge);
    assert_eq!(play(Limits { max_headers: 2, ..LIMITS }, [&chunked("0\r\nA: 1\r\nB: 2\r\n\r\n")[..]]).refused, None);
    let section = |bytes: usize| format!("0\r\nA: {}\r\n\r\n", "x".repeat(bytes - "A: \r\n\r\n".len()));
    assert_eq!(cut_everywhere(LIMITS, &chunked(&section(1023))).refused, None);
    assert_eq!(refused_chunks(LIMITS, &section(1024)).1, Fault::TrailersTooLarge);
}

#[test]
fn holds_what_follows_an_upgrade_until_it_is_decided() {
    let upgrade = with_lines("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    assert!(facts_of(&upgrade).upgrade);
    assert!(facts_of(&with_lines("Upgrade: h2c\r\nContent-Length: 0\r\n")).upgrade);

    let mut framing = Framing::new(LIMITS);
    assert!(matches!(framing.approve(&upgrade), Step::Head(..)));
    assert_eq!(framing.approve(b"\x81\x05hello"), Step::AwaitUpgrade);
    framing.switch_to_opaque();
    assert_eq!(framing.approve(b"\x81\x05hello"), Step::Deliver(7));
    framing.stay_http();
    assert_eq!(framing.approve(b"\0"), Step::Deliver(1), "there is no way back");

    let mut framing = Framing::new(LIMITS);
    framing.approve(&upgrade);
    framing.stay_http();
    assert_eq!(framing.approve(b"\x81\x05hello"), Step::RefusedHead(Fault::RequestLine));
}

#[test]
fn an_upgrade_with_a_body_or_in_http_1_0_is_an_ordinary_request() {
    let java = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\nContent-Length: 2\r\n";
    let facts = facts_of(&[with_lines(java), b"{}".to_vec()].concat());
    assert_eq!(facts, HeadFacts { version: Version::Http11, body: Body::Length(2), upgrade: false });
    assert!(!facts_of(&chunked("0\r\n\r\n")).upgrade);
    assert!(!facts_of(b"GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n").upgrade);
    // A name of the same length.
    assert!(!facts_of(&with_lines("Referer: https://app.example/\r\n")).upgrade);
}

#[test]
fn cannot_be_switched_off_inside_a_message_or_after_a_refusal() {
    let mut framing = Framing::new(LIMITS);
    framing.switch_to_opaque();
    assert!(matches!(framing.approve(&with_lines("Content-Length: 1\r\n")), Step::Head(..)));
    framing.switch_to_opaque();
    assert_eq!(framing.approve(b"ab"), Step::Deliver(1));
    framing.switch_to_opaque();
    let refused = Step::RefusedHead(Fault::RequestLine);
    assert_eq!(framing.approve(b"\0"), refused);
    framing.switch_to_opaque();
    framing.stay_http();
    assert_eq!(framing.approve(&with_lines("")), refused);
}

#[test]
fn every_fault_says_why_with_a_section_and_keeps_to_three_rejects() {
    for fault in Fault::ALL {
        assert!(fault.why().contains("(RFC ") && fault.why().contains('§'), "{fault:?}");
        assert!(matches!(fault.reject(), Reject::BadTarget | Reject::Framing | Reject::HeadTooLarge), "{fault:?}");
    }
}

#[test]
fn mutated_streams_meet_the_same_fate_however_they_are_cut() {
    let limits = Limits { max_head: 160, max_headers: 6 };
    let trailers: &str = "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
    let seeds = [
        [with_lines("Content-Length: 3\r\nA: b\r\n"), b"abc".to_vec(), with_lines("")].concat(),
        [chunked(trailers), chunked(trailers)].concat(),
        [with_lines("Upgrade: websocket\r\n"), b"\r\n".to_vec(), with_lines("Expect: 100-continue\r\n")].concat(),
    ];
    let alphabet = b"\r\n\t :;,_#/0159aAfF\0\x7f\x80hHX";
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut pick = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 33).unwrap() % below
    };
    for _ in 0..3_000 {
        let mut stream = seeds[pick(seeds.len())].clone();
        for _ in 0..=pick(3) {
            let at = pick(stream.len());
            match pick(4) {
                0 => stream[at] = alphabet[pick(alphabet.len())],
                1 => stream.insert(at, alphabet[pick(alphabet.len())]),
                2 => drop(stream.remove(at)),
                _ => {
                    let end = (at + pick(30)).min(stream.len());
                    let copy = stream[at..end].to_vec();
                    let to = pick(stream.len());
                    stream.splice(to..to, copy);
                }
            }
        }
        cut_everywhere(limits, &stream);
    }
}

#[test]
fn held_bytes_are_not_read_again_for_each_byte_that_follows() {
    // Seen by changing them behind its back, which no caller does: the end of the head is now among bytes already read.
    let mut framing = Framing::new(LIMITS);
    assert_eq!(framing.approve(b"GET / HTTP/1.1\r\nHost: a\r\nX: y"), Step::NeedMore);
    assert_eq!(framing.approve(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nzzz"), Step::NeedMore);
    assert!(matches!(framing.approve(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nzzz\n"), Step::Head(..)));
}
