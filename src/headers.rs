//! Headers on their way through: hop-by-hop ones end here, reserved ones are removed, forwarding ones are written.
//!
//! Order matters and is the caller's: the client's `Connection` list first, then the reserved names, then our own headers,
//! so that a client can neither keep a reserved header nor strip one of ours. Sources: RFC 9110 §7.6.1 (Connection),
//! RFC 7239 and the de-facto `X-Forwarded-*`; the Next.js lists were measured on next 14–16. Must never touch a value
//! that a signature covers.

use http::header::{
    CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, TE, TRANSFER_ENCODING,
};
use std::net::IpAddr;

use http::Response;

use crate::check::header_name::{folded, is_odd};
use crate::check::target::Framework;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Stops a sender's retries, or disables its endpoint (Svix, June 2026).
pub(crate) const WEBHOOK_DELIVERY: HeaderName = HeaderName::from_static("webhook-delivery");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// Names that a client may not put on its `Connection` list: dropping them would change what we or the app believe.
const UNDROPPABLE: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "cookie",
    "authorization",
    "origin",
    "forwarded",
    "x-real-ip",
];
const UNDROPPABLE_PREFIXES: &[&str] = &["verified-event", "x-forwarded-"];

/// RFC 9110 §7.6.1.
const HOP_BY_HOP: &[&str] = &["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
/// Reserved for us, whatever the app: the proof header and its kin.
const RESERVED: &str = "verified-event";
const RESERVED_PREFIX: &str = "verified-event-";
/// Next.js believes these from anyone (NEXTJS-internal routing state), or they re-target a request.
const NEXTJS_RESERVED: &[&str] = &[
    "x-middleware-rewrite",
    "x-middleware-redirect",
    "x-middleware-next",
    "x-middleware-skip",
    "x-middleware-override-headers",
    "x-middleware-set-cookie",
    "x-middleware-invoke",
    "x-matched-path",
    "x-now-route-matches",
    "x-action-forwarded",
    "next-resume",
    "x-next-resume-state-length",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "location",
];
const NEXTJS_RESERVED_PREFIXES: &[&str] =
    &["x-middleware-subrequest", "x-middleware-request-", "x-invoke-", "x-nextjs-rewritten-", "x-prerender-revalidate"];
/// On a protected route these make Next.js answer without running the handler: the event would be lost.
const NEXTJS_PREFETCH: &[&str] = &["rsc", "purpose", "x-middleware-prefetch", "x-nextjs-data", "http2-settings"];
const NEXTJS_PREFETCH_PREFIX: &str = "next-";

/// Some apps (IIS, Symfony before 4.2, Zend) take the path from these, and would run a protected handler for any other path.
const RETARGETING: [&str; 2] = ["x-original-url", "x-rewrite-url"];
/// Some servers take a part off the path for these: gunicorn from its proxy, which we are, and Daphne from anyone.
const MOUNTING: [&str; 3] = ["script-name", "path-info", "daphne-root-path"];
/// And some middleware for these, which a proxy in front may mean: Flask's `ReverseProxied`, `FastAPI` behind Traefik.
const MOUNTING_BY_PROXIES: [&str; 5] =
    ["x-script-name", "x-forwarded-prefix", "x-forwarded-script-name", "x-forwarded-path", "x-forwarded-uri"];

/// Why a `Connection` list is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProtectedName;

/// Removes what the client's `Connection` lists. `TE` stays for [`remove_reserved`] to look at.
///
/// # Errors
/// [`ProtectedName`] when the list names a header that must arrive; `signed` adds a route's own, and what names the client.
pub(crate) fn apply_connection<'n>(
    headers: &mut HeaderMap,
    signed: impl Iterator<Item = &'n HeaderName>,
) -> Result<(), ProtectedName> {
    if !headers.contains_key(CONNECTION) {
        return Ok(());
    }
    let signed: Vec<&HeaderName> = signed.collect();
    let mut listed = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
        {
            let name = HeaderName::from_bytes(name).map_err(|_| ProtectedName)?;
            let plain = name.as_str().replace('_', "-");
            if UNDROPPABLE.contains(&plain.as_str())
                || UNDROPPABLE_PREFIXES.iter().any(|prefix| plain.starts_with(prefix))
                || signed.contains(&&name)
            {
                return Err(ProtectedName);
            }
            listed.push(name);
        }
    }
    for name in listed.into_iter().filter(|name| *name != TE) {
        headers.remove(name);
    }
    Ok(())
}

/// Removes the hop-by-hop headers of a response (RFC 9110 §7.6.1), and those of a body that hyper frames anew: a length beside
/// chunks is not the body's (RFC 9112 §6.3), and one that is there twice, or as a list, is said once (RFC 9110 §8.6).
pub(crate) fn end_hop_of_response(headers: &mut HeaderMap) {
    let mut removed = Vec::new();
    // The first length, and whether further ones say the same.
    let (mut length, mut are_alike) = (None, None);
    for (name, value) in &*headers {
        if *name == CONTENT_LENGTH {
            for item in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                match length {
                    None => length = Some(item),
                    Some(first) => are_alike = Some(are_alike != Some(false) && first == item),
                }
            }
        } else if *name == TRANSFER_ENCODING {
            removed.push(CONTENT_LENGTH);
        }
        if *name == CONNECTION && !is_usual_connection(value) {
            let listed = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            removed.extend(
                listed.filter_map(|name| HeaderName::from_bytes(name).ok()).filter(|name| *name != CONTENT_LENGTH),
            );
        }
        if HOP_BY_HOP.contains(&name.as_str()) && *name != TE {
            removed.push(name.clone());
        }
    }
    let said_once = are_alike.map(|are_alike| HeaderValue::from_bytes(length.filter(|_| are_alike)?).ok());
    if let Some(length) = said_once {
        headers.remove(CONTENT_LENGTH);
        headers.extend(length.map(|length| (CONTENT_LENGTH, length)));
    }
    for name in removed {
        headers.remove(name);
    }
}

/// The two values that nearly every server sends, and that name no header.
fn is_usual_connection(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"keep-alive") || value.as_bytes().eq_ignore_ascii_case(b"close")
}

/// Removes, in one pass, what ends here or what no client may say: hop-by-hop headers, `verified-event*`, what takes an app to
/// another path, the framework's own routing state, and other spellings of forwarding headers, among them of `believed`, in
/// which trusted peers name the client. On a `webhook`, also what would make the framework answer without running the handler.
/// Where the app is mounted only a `trusted` peer may say. `TE: trailers` stays.
pub(crate) fn remove_reserved(
    headers: &mut HeaderMap,
    framework: Framework,
    webhook: bool,
    believed: &HeaderName,
    trusted: bool,
) {
    let mut removed = Vec::new();
    let usual_spelling = believed.as_str().contains(['_', '.']).then(|| folded(believed.as_str()));
    for name in headers.keys() {
        let text = name.as_str();
        let meant = if is_odd(text) {
            let plain = folded(text);
            is_reserved(&plain, framework, webhook, trusted)
                || plain.starts_with("x-forwarded-")
                || matches!(&*plain, "x-real-ip" | "x-request-id")
                || (name != believed && plain == folded(believed.as_str()))
        } else {
            is_reserved(text, framework, webhook, trusted) || usual_spelling.as_deref() == Some(text)
        };
        if meant {
            removed.push(name.clone());
        }
    }
    for name in removed {
        let trailers = name == TE && headers.get_all(TE).iter().any(|value| lists(value, b"trailers"));
        headers.remove(&name);
        if trailers {
            headers.insert(TE, TRAILERS);
        }
    }
}

/// The first byte rules out nearly every header of nearly every request.
fn is_reserved(name: &str, framework: Framework, webhook: bool, trusted: bool) -> bool {
    let nextjs = framework == Framework::NextJs;
    match name.as_bytes().first() {
        Some(b'c' | b'k' | b'p' | b't' | b'u') if HOP_BY_HOP.contains(&name) => true,
        Some(b'd' | b'p' | b's') if MOUNTING.contains(&name) => true,
        Some(b'x') if !trusted && MOUNTING_BY_PROXIES.contains(&name) => true,
        Some(b'v') => name == RESERVED || name.starts_with(RESERVED_PREFIX),
        Some(b'x' | b'n' | b'l' | b'r' | b'p' | b'h') if nextjs => {
            NEXTJS_RESERVED.contains(&name)
                || NEXTJS_RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                || (webhook && (NEXTJS_PREFETCH.contains(&name) || name.starts_with(NEXTJS_PREFETCH_PREFIX)))
        }
        Some(b'x') => RETARGETING.contains(&name),
        _ => false,
    }
}

fn lists(value: &HeaderValue, member: &[u8]) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|found| found.trim_ascii().eq_ignore_ascii_case(member))
}

/// Who is connected, as the forwarding headers tell the app.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The socket's address, or what the PROXY protocol says in its place; IPv4-mapped IPv6 is IPv4.
    pub(crate) address: IpAddr,
    /// Whether the address is a client's at all: a balancer's own connection (PROXY `LOCAL`) has none.
    pub(crate) named: bool,
    /// The same, ready to be written.
    value: HeaderValue,
    /// Our own port, for `x-forwarded-port`.
    port: HeaderValue,
    /// For `x-forwarded-proto`.
    proto: HeaderValue,
}

impl Peer {
    /// `port` is our own.
    pub(crate) fn new(address: IpAddr, port: u16, tls: bool) -> Self {
        let address = address.to_canonical();
        let value = HeaderValue::try_from(address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let proto = HeaderValue::from_static(if tls { "https" } else { "http" });
        Self { address, named: true, value, port: HeaderValue::from(port), proto }
    }

    /// The same peer, of whom nobody says where the client is.
    pub(crate) fn unnamed(self) -> Self {
        Self { named: false, ..self }
    }

    /// `http` or `https`.
    #[cfg(feature = "otlp")]
    pub(crate) fn proto(&self) -> &HeaderValue {
        &self.proto
    }

    /// The address as text.
    pub(crate) fn text(&self) -> &HeaderValue {
        &self.value
    }
}

/// Writes `X-Forwarded-*`. An untrusted peer's own are overwritten, and what else names a client is removed; a trusted
/// one's stay, and its address is appended. `believed` is the header in which trusted peers name the client.
pub(crate) fn write_forwarded(headers: &mut HeaderMap, peer: &Peer, trusted: bool, believed: &HeaderName) {
    let host = headers.get(HOST).cloned();
    if trusted {
        append_for(headers, peer);
        headers.entry(X_FORWARDED_PROTO).or_insert_with(|| peer.proto.clone());
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
        return;
    }
    headers.remove(FORWARDED);
    headers.remove(X_REAL_IP);
    headers.remove(believed);
    headers.insert(X_FORWARDED_FOR, peer.value.clone());
    headers.insert(X_FORWARDED_PROTO, peer.proto.clone());
    headers.insert(X_FORWARDED_PORT, peer.port.clone());
    match host {
        Some(host) => headers.insert(X_FORWARDED_HOST, host),
        None => headers.remove(X_FORWARDED_HOST),
    };
}

fn append_for(headers: &mut HeaderMap, peer: &Peer) {
    let mut list = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.value.as_bytes());
    if let Ok(list) = HeaderValue::from_bytes(&list) {
        headers.insert(X_FORWARDED_FOR, list);
    }
}

/// Headers of an answer that tell a sender what to do next: only a request that was verified may cause one.
pub(crate) fn without_orders<B>(mut response: Response<B>) -> Response<B> {
    for name in [WEBHOOK_DELIVERY, RETRY_AFTER] {
        response.headers_mut().remove(name);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn removes_the_proof_header_in_every_spelling() {
        let mut headers = map(&[
            ("verified-event", "x"),
            ("Verified_Event", "x"),
            ("verified-event-token", "x"),
            ("verified_event_token", "x"),
            ("verified.event", "x"),
            ("verified__event", "x"),
            ("verified~event-token", "x"),
            ("verified-events", "stays"),
            ("svix-id", "stays"),
        ]);
        remove_reserved(&mut headers, Framework::None, false, &X_FORWARDED_FOR, false);
        assert_eq!(names(&headers), ["svix-id", "verified-events"]);
    }

    #[test]
    fn removes_next_js_routing_state_only_for_next_js() {
        let pairs = &[
            ("x-middleware-subrequest", "1"),
            ("x-middleware-subrequest-id", "1"),
            ("x_middleware_rewrite", "/"),
            ("x-invoke-path", "/"),
            ("x-matched-path", "/"),
            ("location", "/"),
            ("next-resume", "1"),
            ("x-http-method-override", "GET"),
            ("rsc", "1"),
            ("next-action", "abc"),
            ("x-middleware-prefetch", "1"),
        ];
        let mut headers = map(pairs);
        remove_reserved(&mut headers, Framework::NextJs, false, &X_FORWARDED_FOR, false);
        assert_eq!(names(&headers), ["next-action", "rsc", "x-middleware-prefetch"]);
        let mut headers = map(pairs);
        remove_reserved(&mut headers, Framework::None, false, &X_FORWARDED_FOR, false);
        assert_eq!(headers.len(), pairs.len());
    }

    #[test]
    fn removes_prefetch_headers_from_a_webhook() {
        let mut headers = map(&[
            ("rsc", "1"),
            ("next-router-prefetch", "1"),
            ("next_url", "/"),
            ("purpose", "prefetch"),
            ("x-nextjs-data", "1"),
            ("content-type", "application/json"),
        ]);
        remove_reserved(&mut headers, Framework::NextJs, true, &X_FORWARDED_FOR, false);
        assert_eq!(names(&headers), ["content-type"]);
    }

    #[test]
    fn a_connection_list_drops_what_it_names_and_nothing_that_must_arrive() {
        let mut headers =
            map(&[("connection", "close, X-Secret"), ("x-secret", "1"), ("te", "gzip, trailers"), ("keep-alive", "1")]);
        apply_connection(&mut headers, std::iter::empty()).unwrap();
        remove_reserved(&mut headers, Framework::None, false, &X_FORWARDED_FOR, false);
        assert_eq!(names(&headers), ["te"]);
        assert_eq!(headers.get("te").unwrap(), "trailers");

        let signed = HeaderName::from_static("svix-signature");
        for list in ["host", "Content-Length", "svix-signature", "verified_event", "X-Forwarded-For", "\"x\""] {
            let mut headers = map(&[("connection", list)]);
            assert_eq!(apply_connection(&mut headers, std::iter::once(&signed)), Err(ProtectedName), "{list}");
        }
    }

    #[test]
    fn an_untrusted_peer_cannot_say_who_it_is() {
        let peer = Peer::new("::ffff:192.0.2.7".parse().unwrap(), 8080, false);
        let mut headers = map(&[
            ("host", "app.example"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x-forwarded-port", "1"),
            ("cf-connecting-ip", "10.0.0.1"),
            ("cf_connecting_ip", "10.0.0.1"),
            ("cf.connecting--ip", "10.0.0.1"),
            ("x-original-url", "/hook"),
            ("x-rewrite-url", "/hook"),
            ("x_original_url", "/hook"),
        ]);
        let believed = HeaderName::from_static("cf-connecting-ip");
        remove_reserved(&mut headers, Framework::None, false, &believed, false);
        write_forwarded(&mut headers, &peer, false, &believed);
        assert_eq!(
            names(&headers),
            ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"]
        );
        assert_eq!(headers.get("x-forwarded-for").unwrap(), "192.0.2.7");
        assert_eq!(headers.get("x-forwarded-host").unwrap(), "app.example");
        assert_eq!(headers.get("x-forwarded-proto").unwrap(), "http");
        assert_eq!(headers.get("x-forwarded-port").unwrap(), "8080");
    }

    #[test]
    fn a_trusted_peer_keeps_its_word_and_is_appended() {
        let peer = Peer::new("10.0.3.7".parse().unwrap(), 8080, false);
        let mut headers = map(&[
            ("host", "app.internal"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "10.0.3.1"),
            ("x-forwarded-host", "app.example"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "203.0.113.9"),
        ]);
        write_forwarded(&mut headers, &peer, true, &X_FORWARDED_FOR);
        assert_eq!(headers.get("x-forwarded-for").unwrap(), "203.0.113.9, 10.0.3.1, 10.0.3.7");
        assert_eq!(headers.get("x-forwarded-proto").unwrap(), "https");
        assert_eq!(headers.get("x-forwarded-host").unwrap(), "app.example");
        assert!(headers.contains_key("x-real-ip"));
    }

    #[test]
    fn the_believed_header_has_one_spelling_even_if_that_is_an_odd_one() {
        for believed in ["cf-connecting-ip", "cf_connecting_ip"].map(HeaderName::from_static) {
            let spellings =
                ["cf-connecting-ip", "cf_connecting_ip", "cf-connecting_ip", "cf.connecting.ip", "cf-connecting"];
            let mut headers = map(&spellings.map(|name| (name, "203.0.113.9")));
            remove_reserved(&mut headers, Framework::None, false, &believed, false);
            assert_eq!(names(&headers), ["cf-connecting", believed.as_str()]);
        }
    }

    #[test]
    fn a_response_has_one_length_and_none_beside_chunks() {
        for (given, expected) in [
            (&[("content-length", "3")][..], &["3"][..]),
            (&[("content-length", "3"), ("content-length", "3")], &["3"]),
            (&[("content-length", "3"), ("content-length", "4")], &[]),
            (&[("content-length", "3"), ("transfer-encoding", "chunked")], &[]),
        ] {
            let mut headers = map(given);
            end_hop_of_response(&mut headers);
            assert_eq!(headers.get_all("content-length").iter().collect::<Vec<_>>(), expected, "{given:?}");
            assert!(!headers.contains_key("transfer-encoding"));
        }
    }

    #[test]
    fn a_response_loses_its_hop_by_hop_headers() {
        let mut headers =
            map(&[("connection", "keep-alive, x-hop"), ("x-hop", "1"), ("keep-alive", "timeout=5"), ("vary", "rsc")]);
        end_hop_of_response(&mut headers);
        assert_eq!(names(&headers), ["vary"]);
    }
}
