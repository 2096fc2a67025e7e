//! No bit of a genuine delivery can be changed, but where the tables below say which ones and why.
//!
//! Every vector that is accepted, and a signed sample of every other entry of the catalogue: each bit of each header that
//! the scheme reads, of method and URL where they are signed, and of the body (of a long part a seeded sample). What is
//! accepted must be exactly what a table allows, no bit more and no bit less, and must not change a fact that [`Verified`]
//! calls signed. The tables are read by readers of their own: never by the code that they judge.

use std::collections::BTreeSet;
use std::fmt;
use std::thread;

use base64::Engine as _;
use hookward::check::signature::scheme::{Engine, KeyEncoding, SchemeSpec, SignatureEncoding, SignatureFormat};
use hookward::check::signature::{Coverage, Delivery, Signer, sign_as};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::*;

/// Bits of a part that are tried; of a longer one a sample of so many.
const MOST: usize = 4096;

/// What may change of a part without a refusal.
#[derive(Debug, Clone, Copy)]
enum Free {
    /// Everything.
    All,
    /// The case of the hex digits after this text.
    HexCase(&'static str),
    /// The case of the two digits of a percent escape.
    EscapeCase,
    /// A signature by another secret than the one that fits: any other in base64 of so many bytes.
    OtherSignature(usize),
    /// JSON: everything but the members at these pointers (RFC 6901), as long as it is JSON with no member twice.
    JsonBut(&'static [&'static str]),
    /// The same, as long as no other member is called like this but for the case: a lax reader would take it for that one.
    JsonButLike(&'static [&'static str], &'static str),
    /// A form: everything but these fields, as long as it is a form as serializers write it.
    FormBut(&'static [&'static str]),
    /// The address of the certificate, as long as it is one of the sender's own.
    CertificateAddress,
    /// The name of a digest: one that nobody knows is skipped.
    DigestName,
    /// The port.
    Port,
    /// The scheme and the host: path and query alone count.
    Origin,
    /// The scheme, and the case of the host.
    SchemeAndHostCase,
    /// All but the host, and that host's case.
    AllButHost,
}

/// Scheme or the start of `scheme | vector`; header, `method`, `url` or `body`; what may change; why.
type Row = (&'static str, &'static str, Free, &'static str);

const HINT: &str = "the sender signs the body alone: this header is a hint";
const TYPE_IS_A_HINT: &str = "id, time and body are signed, the header with the event's type is not";
const TOKEN: &str = "nothing is signed: the sender shows a token";
const EITHER_CASE: &str = "the sender's own library reads hex in either case";
const ONE_OF_TWO: &str =
    "the other header fits by itself: while secrets are changed, either may be the one that is known here";
const NOT_COVERED: &str = "this signature does not cover it";
const DECODED: &str = "the decoded fields are signed, and an escape is the same in either case";

const EXEMPT: &[Row] = &[
    // Headers that are not signed.
    ("github", "x-github-delivery", Free::All, HINT),
    ("github", "x-github-event", Free::All, HINT),
    ("shopify", "x-shopify-api-version", Free::All, HINT),
    ("shopify", "x-shopify-shop-domain", Free::All, HINT),
    ("shopify", "x-shopify-topic", Free::All, HINT),
    ("shopify", "x-shopify-webhook-id", Free::All, HINT),
    ("sentry", "sentry-hook-resource", Free::All, HINT),
    ("autodesk", "x-adsk-delivery-id", Free::All, HINT),
    ("bitbucket", "x-event-key", Free::All, HINT),
    ("bitbucket", "x-request-uuid", Free::All, HINT),
    ("chargify", "x-chargify-webhook-id", Free::All, HINT),
    ("commercelayer", "x-commercelayer-topic", Free::All, HINT),
    ("enode", "x-enode-delivery", Free::All, HINT),
    ("jira", "x-atlassian-webhook-identifier", Free::All, HINT),
    ("shopline", "x-shopline-topic", Free::All, HINT),
    ("shopline", "x-shopline-webhook-id", Free::All, HINT),
    ("sonatype-nexus", "x-nexus-webhook-delivery", Free::All, HINT),
    ("sonatype-nexus", "x-nexus-webhook-id", Free::All, HINT),
    ("gitlab-signing-token", "x-gitlab-event", Free::All, TYPE_IS_A_HINT),
    ("shipbob", "x-webhook-topic", Free::All, TYPE_IS_A_HINT),
    // Senders that sign nothing.
    ("gitlab", "x-gitlab-event", Free::All, TOKEN),
    ("gitlab", "body", Free::All, TOKEN),
    ("chargebee", "body", Free::All, TOKEN),
    ("flutterwave", "body", Free::All, TOKEN),
    ("okta", "body", Free::All, TOKEN),
    ("pipedrive", "body", Free::All, TOKEN),
    ("postmark", "body", Free::All, TOKEN),
    ("telegram", "body", Free::All, TOKEN),
    (
        "microsoft-graph",
        "body",
        Free::JsonButLike(&["/value/0/clientState"], "changeType"),
        "nothing is signed: every item shows a word that only the sender knows",
    ),
    // Signatures that have more than one spelling, or more than one of which one fits.
    ("discord", "x-signature-ed25519", Free::HexCase(""), EITHER_CASE),
    ("gocardless", "webhook-signature", Free::HexCase(""), EITHER_CASE),
    ("notion", "x-notion-signature", Free::HexCase("sha256="), EITHER_CASE),
    ("oura", "x-oura-signature", Free::HexCase(""), EITHER_CASE),
    ("box | only primary valid", "box-signature-secondary", Free::OtherSignature(32), ONE_OF_TWO),
    ("box | only secondary valid", "box-signature-primary", Free::OtherSignature(32), ONE_OF_TWO),
    // Bodies of which the decoded fields are signed, or some of them.
    ("twilio", "body", Free::EscapeCase, DECODED),
    ("mandrill", "body", Free::EscapeCase, DECODED),
    (
        "adyen-payments",
        "body",
        Free::JsonBut(&[
            "/notificationItems/0/NotificationRequestItem/pspReference",
            "/notificationItems/0/NotificationRequestItem/originalReference",
            "/notificationItems/0/NotificationRequestItem/merchantAccountCode",
            "/notificationItems/0/NotificationRequestItem/merchantReference",
            "/notificationItems/0/NotificationRequestItem/amount/value",
            "/notificationItems/0/NotificationRequestItem/amount/currency",
            "/notificationItems/0/NotificationRequestItem/eventCode",
            "/notificationItems/0/NotificationRequestItem/success",
            "/notificationItems/0/NotificationRequestItem/additionalData/hmacSignature",
        ]),
        "eight fields of an item are signed, and nothing else",
    ),
    (
        "mailgun | valid JSON",
        "body",
        Free::JsonBut(&["/signature/timestamp", "/signature/token", "/signature/signature"]),
        "time and token are signed, and nothing else",
    ),
    (
        "mailgun | legacy form fields",
        "body",
        Free::FormBut(&["timestamp", "token", "signature"]),
        "time and token are signed, and nothing else",
    ),
    (
        "dropbox-sign",
        "body",
        Free::JsonBut(&["/event/event_time", "/event/event_type", "/event/event_hash"]),
        "time and type are signed, and nothing else",
    ),
    (
        "aws-sns",
        "body",
        Free::CertificateAddress,
        "where the certificate is fetched from is not signed, but has to be Amazon's own",
    ),
    // URLs.
    (
        "twilio | GET, signed without port",
        "url",
        Free::Port,
        "some of the sender's products sign a port and some do not",
    ),
    ("contentful", "url", Free::Origin, "path and query alone are signed"),
    ("rfc9421 | B.2.1", "url", Free::All, "this signature covers no part of the URL"),
    (
        "rfc9421 | B.2.3",
        "url",
        Free::SchemeAndHostCase,
        "this signature covers @authority, @path and @query, not @scheme",
    ),
    ("rfc9421 | B.2.5", "url", Free::AllButHost, "this signature covers @authority alone"),
    // What a message signature does not cover.
    ("rfc9421 | B.2.1", "method", Free::All, NOT_COVERED),
    ("rfc9421 | B.2.5", "method", Free::All, NOT_COVERED),
    ("rfc9421 | B.2.1", "content-length", Free::All, NOT_COVERED),
    ("rfc9421 | B.2.1", "content-type", Free::All, NOT_COVERED),
    ("rfc9421 | B.2.1", "date", Free::All, NOT_COVERED),
    ("rfc9421 | B.2.1", "host", Free::All, NOT_COVERED),
    ("rfc9421 | B.2.3", "host", Free::All, "@authority is the host of the URL, as the gate knows that"),
    ("rfc9421 | B.2.5", "content-length", Free::All, NOT_COVERED),
    ("rfc9421 | B.2.5", "host", Free::All, "@authority is the host of the URL, as the gate knows that"),
    ("rfc9421 | B.2.1", "content-digest", Free::DigestName, "it is not covered, and an unknown digest is skipped"),
    ("rfc9421 | B.2.5", "content-digest", Free::DigestName, "it is not covered, and an unknown digest is skipped"),
];

#[test]
fn no_bit_can_be_changed_but_those_that_the_tables_name() {
    let all = deliveries();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let findings: Vec<Findings> = thread::scope(|scope| {
        let all = &all;
        let work = |worker| move || all.iter().skip(worker).step_by(workers).map(judge_every_bit).collect::<Vec<_>>();
        let workers: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker that does not panic")).collect()
    });
    let mut wrong: Vec<String> = findings.iter().flat_map(|findings| findings.wrong.clone()).collect();
    let is_used = |row: &usize| findings.iter().any(|findings| findings.rows.contains(row));
    wrong.extend((0..EXEMPT.len()).filter(|row| !is_used(row)).map(|row| format!("not needed: {:?}", EXEMPT[row])));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_entry_of_the_catalogue_has_its_bits_changed() {
    let tried: BTreeSet<String> = deliveries().into_iter().map(|(judge, _)| judge.scheme.name().to_owned()).collect();
    let names: BTreeSet<String> = CATALOG.names().map(str::to_owned).collect();
    assert_eq!(tried, names);
}

/// Whether a row's first column means this delivery.
fn is_about(row: &str, name: &str) -> bool {
    name.strip_prefix(row).is_some_and(|rest| row.contains('|') || rest.starts_with(" |"))
}

/// The committed vectors that are accepted, and a signed sample of each entry that has none.
pub(super) fn deliveries() -> Vec<(Judge, Sent)> {
    let cases = cases(include_str!("vectors.json"));
    let is_genuine = |(judge, sent): &(Judge, Sent)| judge.decide(sent, usize::MAX).is_ok();
    let mut all: Vec<(Judge, Sent)> = cases.iter().filter_map(ready).filter(is_genuine).collect();
    let known: HashSet<String> = all.iter().map(|(judge, _)| judge.scheme.name().to_owned()).collect();
    let samples: Vec<_> = CATALOG.names().filter(|name| !known.contains(*name)).map(sample).collect();
    assert!(samples.iter().all(is_genuine));
    all.extend(samples);
    all
}

fn sample(name: &str) -> (Judge, Sent) {
    const NOW: u64 = 1_800_000_000;
    const URL: &str = "https://app.example.com/hooks/example?a=1";
    let (provider, spec) = (CATALOG.get(name).expect("an entry"), CATALOG.scheme(name).expect("a scheme"));
    let required = spec.options.iter().filter(|(_, option)| option.required);
    let options: Options = required.map(|(name, _)| (name.clone(), "example".to_owned())).collect();
    let scheme = Scheme::compile(name, spec, &options).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    let secret = secret(spec);
    let (key, _) = scheme.key(secret.as_bytes()).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
    let signer = Signer::new(&scheme, spec, secret.as_bytes()).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
    let mut headers = HeaderMap::new();
    let content_type = provider.sample_type.as_deref().unwrap_or("application/json");
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_str(content_type).expect("a value"));
    for (name, value) in &provider.sample_headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        headers.insert(name, HeaderValue::from_str(value).expect("a value"));
    }
    let delivery = Delivery {
        id: "msg_example",
        timestamp: NOW,
        method: &Method::POST,
        url: Some(URL),
        headers: &headers,
        body: provider.sample.as_bytes(),
    };
    let made = sign_as(&scheme, &signer, &delivery).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
    headers.extend(made.headers);
    let window = Window { now: NOW, tolerance: scheme.default_tolerance().unwrap_or(300) };
    let keys = vec![LabeledKey { label: "only".into(), key }];
    let sent = Sent {
        method: Method::POST,
        url: made.url.unwrap_or_else(|| URL.to_owned()),
        headers,
        body: made.body.unwrap_or_else(|| provider.sample.clone().into_bytes()).into(),
    };
    (Judge { name: format!("{name} | sample"), scheme, keys, window }, sent)
}

/// A secret as a receiver configures it.
fn secret(spec: &SchemeSpec) -> String {
    const BYTES: &[u8] = b"an_example_of_a_secret__32_bytes";
    let text = match spec.key.encoding {
        KeyEncoding::Utf8 | KeyEncoding::Utf8Nfkd => String::from_utf8_lossy(BYTES).into_owned(),
        KeyEncoding::Base64 => STANDARD.encode(BYTES),
        KeyEncoding::Hex => BYTES.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat(),
        KeyEncoding::Spki => panic!("nobody but the sender can sign a sample of this entry: it needs a vector"),
    };
    format!("{}{text}", spec.key.prefixes.first().map_or("", String::as_str))
}

/// What a delivery shows that may be changed.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Method,
    Header(HeaderName),
    Url,
    Body,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "method",
            Self::Header(name) => name.as_str(),
            Self::Url => "url",
            Self::Body => "body",
        })
    }
}

/// The parts of a delivery that its scheme looks at.
fn parts(judge: &Judge, sent: &Sent) -> Vec<Part> {
    // A message signature can cover any header.
    let any = spec(judge).engine == Engine::Rfc9421;
    let read: BTreeSet<&str> = judge.scheme.headers().map(HeaderName::as_str).collect();
    let headers = sent.headers.keys().filter(|name| any || read.contains(name.as_str()));
    let url = judge.scheme.signs_url().then_some(Part::Url);
    let signs_method = any || spec(judge).engine == Engine::Contentful || spec(judge).content.contains("{method}");
    let method = signs_method.then_some(Part::Method);
    headers.cloned().map(Part::Header).chain(method).chain(url).chain([Part::Body]).collect()
}

fn spec(judge: &Judge) -> &'static SchemeSpec {
    CATALOG.scheme(judge.scheme.name()).expect("a scheme")
}

fn bytes(sent: &Sent, part: &Part) -> Vec<u8> {
    match part {
        Part::Method => sent.method.as_str().as_bytes().to_vec(),
        Part::Header(name) => sent.headers.get(name).expect("a header").as_bytes().to_vec(),
        Part::Url => sent.url.clone().into_bytes(),
        Part::Body => sent.body.to_vec(),
    }
}

/// Puts another part in. `false`: no request can have such a part.
fn put(sent: &mut Sent, part: &Part, bytes: &[u8]) -> bool {
    match part {
        Part::Method => Method::from_bytes(bytes).map(|method| sent.method = method).is_ok(),
        Part::Header(name) => {
            HeaderValue::from_bytes(bytes).map(|value| drop(sent.headers.insert(name, value))).is_ok()
        }
        Part::Url => String::from_utf8(bytes.to_vec()).map(|url| sent.url = url).is_ok(),
        Part::Body => {
            sent.body = Bytes::copy_from_slice(bytes);
            true
        }
    }
}

/// Of one delivery.
#[derive(Default)]
struct Findings {
    wrong: Vec<String>,
    /// The rows of the table that a change needed.
    rows: BTreeSet<usize>,
}

fn judge_every_bit((judge, sent): &(Judge, Sent)) -> Findings {
    let facts = signed_facts(&judge.decide(sent, usize::MAX).expect("a genuine delivery"));
    let mut findings = Findings::default();
    for part in parts(judge, sent) {
        let before = bytes(sent, &part);
        let rule = Rule::of(judge, sent, &part);
        let [mut forged, mut refused, mut believed] = [const { Vec::new() }; 3];
        let mut changed = sent.clone();
        for bit in bits(before.len() * 8) {
            let mut after = before.clone();
            after[bit / 8] ^= 1 << (bit % 8);
            if !put(&mut changed, &part, &after) {
                continue;
            }
            let shown = || format!("{}.{} {:?}", bit / 8, bit % 8, char::from(after[bit / 8]));
            match (judge.decide(&changed, usize::MAX), rule.allows(&before, &after)) {
                (Ok(verified), true) => {
                    if signed_facts(&verified) != facts {
                        believed.push(shown());
                    }
                    findings.rows.extend(rule.row());
                }
                (Ok(_), false) => forged.push(shown()),
                (Err(_), true) => refused.push(shown()),
                (Err(_), false) => {}
            }
        }
        for (what, bits) in [
            ("accepted, and not exempt", forged),
            ("exempt, and refused", refused),
            ("accepted, and another fact is called signed", believed),
        ] {
            if !bits.is_empty() {
                let text = String::from_utf8_lossy(&before);
                findings.wrong.push(format!("{} | {part} | {text}\n  {what}: {}", judge.name, bits.join(", ")));
            }
        }
    }
    findings
}

/// Every bit of a short part, a seeded sample of those of a long one.
fn bits(count: usize) -> Vec<usize> {
    if count <= MOST {
        return (0..count).collect();
    }
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits") % count
    };
    let sample: BTreeSet<usize> = std::iter::repeat_with(draw).take(MOST).collect();
    sample.into_iter().collect()
}

/// What is believed of a delivery: label, id, type, time, and how much of the body is signed.
type Facts = (String, Option<Vec<u8>>, Option<String>, Option<u64>, Coverage);

fn signed_facts(verified: &Verified) -> Facts {
    let event_type = verified.event_type().filter(|event_type| event_type.signed);
    (
        verified.label().to_owned(),
        verified.signed_id().map(<[u8]>::to_vec),
        event_type.map(|event_type| event_type.text.to_owned()),
        verified.timestamp(),
        verified.coverage(),
    )
}

/// What may change of one part of one delivery.
enum Rule {
    Nothing,
    Row(usize),
    List(List),
}

impl Rule {
    fn of(judge: &Judge, sent: &Sent, part: &Part) -> Self {
        let text = part.to_string();
        match EXEMPT.iter().position(|(delivery, part, ..)| is_about(delivery, &judge.name) && *part == text) {
            Some(row) => Self::Row(row),
            None => List::of(judge, sent, part).map_or(Self::Nothing, Self::List),
        }
    }

    fn row(&self) -> Option<usize> {
        match self {
            Self::Row(row) => Some(*row),
            Self::Nothing | Self::List(_) => None,
        }
    }

    fn allows(&self, before: &[u8], after: &[u8]) -> bool {
        match self {
            Self::Nothing => false,
            Self::Row(row) => EXEMPT[*row].2.allows(before, after),
            Self::List(list) => list.still_has_a_genuine_one(after),
        }
    }
}

impl Free {
    fn allows(self, before: &[u8], after: &[u8]) -> bool {
        let texts = || Some((std::str::from_utf8(before).ok()?, std::str::from_utf8(after).ok()?));
        match self {
            Self::All => true,
            Self::HexCase(prefix) => after.starts_with(prefix.as_bytes()) && before.eq_ignore_ascii_case(after),
            Self::EscapeCase => {
                let differing = before.iter().zip(after).position(|(before, after)| before != after);
                let is_digit = differing.is_some_and(|at| before[at.saturating_sub(2)..at].contains(&b'%'));
                is_digit && before.eq_ignore_ascii_case(after)
            }
            Self::OtherSignature(length) => STANDARD.decode(after).is_ok_and(|bytes| bytes.len() == length),
            Self::JsonBut(pointers) => {
                let before = plain_json(before).expect("JSON");
                let is_same = |after: &Value| pointers.iter().all(|at| before.pointer(at) == after.pointer(at));
                plain_json(after).is_some_and(|after| is_same(&after))
            }
            Self::JsonButLike(pointers, name) => {
                let is_like = |member: &str| member != name && member.eq_ignore_ascii_case(name);
                let has_like = plain_json(after).is_some_and(|after| has_member(&after, &is_like));
                !has_like && Self::JsonBut(pointers).allows(before, after)
            }
            Self::FormBut(names) => {
                let [before, after] = [before, after].map(plain_form);
                let values = |form: &[(String, String)], name: &str| -> Vec<String> {
                    form.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
                };
                let before = before.expect("a form");
                after.is_some_and(|after| names.iter().all(|name| values(&before, name) == values(&after, name)))
            }
            Self::CertificateAddress => {
                let after = without_address(after);
                after.is_some() && without_address(before) == after
            }
            Self::DigestName => texts().is_some_and(|(before, after)| {
                let (_, value) = before.split_once('=').expect("a digest");
                after.split_once('=').is_some_and(|(name, same)| {
                    let is_key =
                        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
                    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '*');
                    same == value && starts && name.bytes().all(is_key) && !["sha-256", "sha-512"].contains(&name)
                })
            }),
            Self::Port => texts().is_some_and(|(before, after)| {
                let without = |url: &str| {
                    let (origin, target) = url.split_at(url[8..].find('/')? + 8);
                    let (host, port) = origin.rsplit_once(':')?;
                    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{host}{target}"))
                };
                without(after).is_some() && without(before) == without(after)
            }),
            Self::Origin => texts().is_some_and(|(before, after)| {
                let target = |url: &str| {
                    let (_, rest) = url.split_once("://")?;
                    rest.find(['/', '?']).map(|at| rest[at..].to_owned())
                };
                target(after).is_some() && target(before) == target(after)
            }),
            Self::SchemeAndHostCase => texts().is_some_and(|(before, after)| {
                let both = absolute(before).zip(absolute(after));
                both.is_some_and(|((_, host, rest), (_, other, same))| host.eq_ignore_ascii_case(other) && rest == same)
            }),
            Self::AllButHost => texts().is_some_and(|(before, after)| {
                let both = absolute(before).zip(absolute(after));
                both.is_some_and(|((_, host, _), (_, other, _))| host.eq_ignore_ascii_case(other))
            }),
        }
    }
}

/// Scheme, authority and the rest of a URL that a request can have.
fn absolute(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, rest) = rest.split_at(rest.find(['/', '?'])?);
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    (is_plain && !host.is_empty() && !host.contains('@')).then_some((scheme, host, rest))
}

/// A message without the address of its certificate. `None`: no JSON, or an address that is not of the form of the sender's.
fn without_address(body: &[u8]) -> Option<Value> {
    let mut json = plain_json(body)?;
    let address = json.as_object_mut()?.remove("SigningCertURL")?;
    let rest = address.as_str()?.strip_prefix("https://sns.")?;
    let (region, serial) = rest.split_once(".amazonaws.com/SimpleNotificationService-")?;
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut words = region.rsplit('-');
    let number = words.next()?.parse::<u8>().is_ok();
    let words: Vec<&str> = words.collect();
    let is_region = number
        && words.len() > 1
        && words.iter().all(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase()));
    (is_region && serial.strip_suffix(".pem").is_some_and(is_hex)).then_some(json)
}

/// A form as serializers write it.
fn plain_form(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    let decode = |text: &str| {
        let bytes = text.as_bytes();
        let is_escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        let is_plain = (0..bytes.len()).all(|at| match bytes[at] {
            b'%' => is_escape(at),
            byte => byte.is_ascii_graphic() && byte != b';',
        });
        let field = format!("x={text}");
        let decoded = form_urlencoded::parse(field.as_bytes()).next()?.1.into_owned();
        (is_plain && !decoded.contains('\u{fffd}')).then_some(decoded)
    };
    text.split('&')
        .map(|field| field.split_once('=').and_then(|(name, value)| Some((decode(name)?, decode(value)?))))
        .collect()
}

fn has_member(json: &Value, is_meant: &dyn Fn(&str) -> bool) -> bool {
    match json {
        Value::Object(members) => members.iter().any(|(name, value)| is_meant(name) || has_member(value, is_meant)),
        Value::Array(elements) => elements.iter().any(|element| has_member(element, is_meant)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// JSON in which no object has a member twice.
fn plain_json(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Plain>(body).ok().map(|Plain(value)| value)
}

struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Plain)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(Plain(element)) = seq.next_element()? {
            elements.push(element);
        }
        Ok(elements.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = serde_json::Map::new();
        while let Some((name, Plain(value))) = map.next_entry::<String, Plain>()? {
            if members.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("a member twice"));
            }
        }
        Ok(members.into())
    }
}

/// A signature header with several entries, of which not all are believed.
///
/// Senders sign with the old and the new secret while they change them, and add kinds of signatures that are not known yet:
/// an entry that does not fit is skipped, as long as one is left that does. In `key=value` pairs an odd entry is refused
/// all the same, and so is a key that is there twice, as it makes the time ambiguous.
struct List {
    /// Of `key=value` pairs, the key of the time: empty where there is none.
    pairs: Option<&'static str>,
    separator: char,
    trim: bool,
    /// What the entries with signatures are called.
    versions: Vec<&'static str>,
    any_case: bool,
    /// The entries that are enough by themselves.
    genuine: Vec<String>,
    time: Option<String>,
}

impl List {
    fn of(judge: &Judge, sent: &Sent, part: &Part) -> Option<Self> {
        let (spec, Part::Header(name)) = (spec(judge), part) else { return None };
        let signature =
            spec.signature.as_ref().filter(|it| it.header.all().iter().any(|header| *header == name.as_str()))?;
        let pairs = match signature.format {
            SignatureFormat::Plain => return None,
            SignatureFormat::Pairs => {
                Some(spec.timestamp.as_ref().and_then(|time| time.pair.as_deref()).unwrap_or_default())
            }
            SignatureFormat::Versioned => None,
        };
        let alternatives = spec.alternative_keys.iter().map(|key| key.version.as_str());
        let mut list = Self {
            pairs,
            separator: signature.separator.unwrap_or(if pairs.is_some() { ',' } else { ' ' }),
            trim: signature.trim,
            versions: signature.version.as_deref().into_iter().chain(alternatives).collect(),
            any_case: signature.encoding == SignatureEncoding::HexAny,
            genuine: Vec::new(),
            time: None,
        };
        let text = sent.headers.get(name)?.to_str().ok()?;
        list.time = list.time_of(text);
        let time = list.time.as_ref().map(|time| format!("{}={time}{}", pairs.unwrap_or_default(), list.separator));
        let alone = |entry: &&str| {
            let value = format!("{}{entry}", time.as_deref().unwrap_or_default());
            let mut alone = sent.clone();
            put(&mut alone, part, value.as_bytes()) && judge.decide(&alone, usize::MAX).is_ok()
        };
        let entries: Vec<&str> = list.entries(text).collect();
        list.genuine = entries.into_iter().filter(alone).map(str::to_owned).collect();
        Some(list)
    }

    fn entries<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> + use<'t> {
        let trim = self.trim;
        text.split(self.separator).map(move |entry| entry.strip_prefix(' ').filter(|_| trim).unwrap_or(entry))
    }

    fn time_of(&self, text: &str) -> Option<String> {
        let mut named = self.entries(text).filter_map(|entry| entry.split_once('='));
        named.find(|(name, _)| Some(*name) == self.pairs).map(|(_, time)| time.to_owned())
    }

    fn still_has_a_genuine_one(&self, after: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(after) else { return false };
        let is_same = |entry: &str, genuine: &str| {
            let same_value = |(version, value): (&str, &str), (genuine, other): (&str, &str)| {
                version == genuine && value.eq_ignore_ascii_case(other)
            };
            let both = entry.split_once('=').zip(genuine.split_once('='));
            entry == genuine || (self.any_case && both.is_some_and(|(entry, genuine)| same_value(entry, genuine)))
        };
        let is_there = self.entries(text).any(|entry| self.genuine.iter().any(|genuine| is_same(entry, genuine)));
        is_there && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && self.is_plain(text)
    }

    /// Whether pairs are read in one way, and with the same time.
    fn is_plain(&self, text: &str) -> bool {
        if self.pairs.is_none() {
            return true;
        }
        let mut keys = HashSet::new();
        let is_plain = self.entries(text).all(|entry| {
            let Some((name, value)) = entry.split_once('=') else { return false };
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let is_named = !name.is_empty() && name.bytes().all(is_word) && !value.is_empty();
            self.versions.contains(&name) || (keys.insert(name.to_owned()) && is_named)
        });
        is_plain && self.time_of(text) == self.time
    }
}
