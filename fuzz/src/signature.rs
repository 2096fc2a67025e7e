//! Every provider's scheme on whatever head and body: nothing is verified that its secret did not sign.
//!
//! The first line names the provider. The rest is lines, up to an empty one, and the body. A line is `url` and the URL, or
//! `name: value`. Seeds are genuine deliveries, so that what comes next to one is tried; the secrets are known to nobody here.

use std::sync::OnceLock;

use bytes::Bytes;
use hookward::check::handshake::{self, Asked, Handshake};
use hookward::check::signature::scheme::{Algorithm, Engine};
use hookward::check::signature::{Coverage, Head, Verified, Window, content_digest, present, verify, wanted};
use hookward::fuzzing::{self, Sender};
use hookward::providers::Catalog;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Beyond what a head may hold in front of the gate.
const MOST_LINES: usize = 100;

struct Known {
    sender: Sender,
    handshakes: Vec<Handshake>,
    /// What the one genuine delivery proves.
    genuine: Option<Facts>,
}

/// What a verified delivery says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    id: Option<String>,
    signed_id: Option<Vec<u8>>,
    event_type: Option<String>,
    timestamp: Option<u64>,
}

impl Facts {
    fn of(verified: &Verified) -> Self {
        Self {
            id: verified.id().map(|id| id.text.to_owned()),
            signed_id: verified.signed_id().map(<[u8]>::to_vec),
            event_type: verified.event_type().map(|event_type| event_type.text.to_owned()),
            timestamp: verified.timestamp(),
        }
    }
}

fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let catalog = Catalog::load().unwrap();
        let known = |sender: Sender| {
            let specs = catalog.handshakes(&sender.name).iter();
            let handshakes = specs.filter_map(|spec| Handshake::compile(spec, &sender.options).ok()).collect();
            let judged = sender.genuine.as_ref().map(|(url, headers, body)| {
                let verified = judge(&sender, url, headers, body, fuzzing::NOW);
                verified.unwrap_or_else(|| panic!("{}: its own delivery is refused", sender.name))
            });
            Known { genuine: judged.as_ref().map(Facts::of), sender, handshakes }
        };
        let known: Vec<Known> = fuzzing::senders().into_iter().map(known).collect();
        assert!(known.len() > 100, "{}", known.len());
        known
    })
}

fn judge(sender: &Sender, url: &str, headers: &HeaderMap, body: &Bytes, now: u64) -> Option<Verified> {
    let window = Window { now, tolerance: sender.scheme.default_tolerance().unwrap_or_default() };
    let head = Head { method: &Method::POST, url: Some(url), headers };
    let presented = present(&sender.scheme, head, window).ok()?;
    let whole = std::slice::from_ref(body);
    let _ = wanted(&sender.scheme, &presented, whole);
    let verified = verify(&sender.scheme, &sender.keys, &presented, whole, window).ok();
    // However the body was cut on its way.
    let (first, rest) = body.split_at(body.len() / 2);
    let cut = [Bytes::copy_from_slice(first), Bytes::new(), Bytes::copy_from_slice(rest)];
    let again = verify(&sender.scheme, &sender.keys, &presented, &cut, window).ok();
    assert_eq!(again.as_ref().map(Facts::of), verified.as_ref().map(Facts::of), "{}", sender.name);
    assert_eq!(
        content_digest(&sender.scheme, &presented, &cut),
        content_digest(&sender.scheme, &presented, whole),
        "{}",
        sender.name
    );
    verified
}

pub fn run(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (name, text) = (&data[..end], &data[end + 1..]);
    let Some(known) = known().iter().find(|known| known.sender.name.as_bytes() == name) else { return };
    let Some((url, headers, body)) = delivery(text) else { return };
    let sender = &known.sender;

    let asked = Asked { method: &Method::POST, query: url.split_once('?').map(|(_, query)| query), headers: &headers };
    let chunks = [body.clone()];
    let _ = handshake::unsigned(&known.handshakes, asked, &sender.keys);
    if handshake::may_be_a_form(&known.handshakes, asked, sender.scheme.headers()) {
        let _ = handshake::unsigned_form(&known.handshakes, asked, &chunks, &sender.keys);
    }

    let Some(verified) = judge(sender, &url, &headers, &body, fuzzing::NOW) else { return };
    let _ = handshake::signed(&known.handshakes, asked, &chunks, &verified, &sender.keys);
    // Whoever writes the secret itself has it.
    if contains(text, sender.secret.as_bytes()) {
        return;
    }
    let (Some(genuine), Some((genuine_url, genuine_headers, genuine_body))) = (&known.genuine, &sender.genuine) else {
        panic!("{}: verified, though nobody here can sign", sender.name);
    };
    let (found, name) = (Facts::of(&verified), &sender.name);
    let template = sender.spec.engine == Engine::Template;
    if template && sender.spec.algorithm == Algorithm::Token {
        let shown = |headers: &HeaderMap, name| headers.get(name).map(|value| value.as_bytes().to_vec());
        let same = sender.scheme.headers().all(|name| shown(&headers, name) == shown(genuine_headers, name));
        assert!(same, "{name}: verified without the token");
    }
    if verified.coverage() == Coverage::Body && template {
        assert_eq!(body, genuine_body, "{name}: a body that nobody signed");
    }
    if sender.scheme.signs_id() {
        assert_eq!(
            (&found.id, &found.signed_id),
            (&genuine.id, &genuine.signed_id),
            "{name}: an id that nobody signed"
        );
    }
    if sender.scheme.signs_url() {
        // Contentful signs no more than what stands in the request line.
        let signed = |url: &str| if template { url.to_owned() } else { url.splitn(4, '/').skip(3).collect() };
        assert_eq!(signed(&url), signed(genuine_url), "{name}: a URL that nobody signed");
    }
    if template {
        assert_eq!(found.timestamp, genuine.timestamp, "{name}: a time that nobody signed");
    }
    // Neither old nor from the future.
    if let (Some(timestamp), Some(tolerance)) = (found.timestamp, sender.scheme.default_tolerance()) {
        assert!(timestamp.abs_diff(fuzzing::NOW) <= tolerance, "{name}: {timestamp}");
        for now in [timestamp + tolerance + 1, timestamp - tolerance - 1] {
            assert!(judge(sender, &url, &headers, &body, now).is_none(), "{name}: at {now}, signed at {timestamp}");
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn delivery(mut text: &[u8]) -> Option<(String, HeaderMap, Bytes)> {
    let (mut url, mut headers) = (fuzzing::URL.to_owned(), HeaderMap::new());
    for _ in 0..MOST_LINES {
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let line = &text[..end];
        text = &text[end + 1..];
        if line.is_empty() {
            return Some((url, headers, Bytes::copy_from_slice(text)));
        }
        if let Some(said) = line.strip_prefix(b"url ") {
            said.iter().all(u8::is_ascii_graphic).then_some(())?;
            url = String::from_utf8(said.to_vec()).ok()?;
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line.get(colon + 2..)?;
        headers.append(HeaderName::from_bytes(&line[..colon]).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    None
}
