//! The URL, where it is signed: another scheme, host, port, path or query than the configured `public_url` says.
//!
//! What the headers say of the URL is only tried, never believed. Must never print a query.

use http::HeaderMap;

use super::bench::Bench;
use super::form::percent_decoded;

/// Most hosts that are tried.
const MOST_HOSTS: usize = 6;
/// Ports that servers of developers and inner networks listen on.
const PORTS: &[&str] = &["8443", "8080", "3000", "4443", "5000", "8000"];
/// Longest URL that is printed, in characters.
const LONGEST_SHOWN: usize = 200;
const EXACTLY: &str =
    "Register the URL with the sender exactly as it arrives here, or stop what rewrites it on the way.";

#[derive(Clone, PartialEq, Eq)]
struct Url {
    scheme: String,
    host: String,
    port: Option<String>,
    path: String,
    query: Option<String>,
}

pub(super) fn try_all(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    if !bench.scheme().is_some_and(crate::check::signature::Scheme::signs_url) {
        return;
    }
    let Some(url) = suspect.head.url.and_then(Url::parse) else { return };
    for other in candidates(&url, suspect.head.headers) {
        if bench.is_over() {
            return;
        }
        if bench.head_fits(suspect.head.headers, Some(&other.text())) {
            say(bench, &url, &other);
            return;
        }
    }
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let (host, port) = host_and_port(authority);
        Some(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port: port.map(str::to_owned),
            path: path.to_owned(),
            query: query.map(str::to_owned),
        })
    }

    fn origin(&self) -> String {
        let port = self.port.as_ref().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.scheme, self.host)
    }

    fn text(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{}{query}", self.origin(), self.path)
    }
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

/// Every origin with the same path, then every path and query with the same origin, then the other way of both.
fn candidates(url: &Url, headers: &HeaderMap) -> Vec<Url> {
    let mut found: Vec<Url> = Vec::new();
    let mut add = |other: Url| {
        if other != *url && !found.contains(&other) {
            found.push(other);
        }
    };
    let targets = targets(url, headers);
    for scheme in ["https", "http"] {
        let scheme = scheme.to_owned();
        add(Url { scheme, ..url.clone() });
    }
    for (path, query) in &targets {
        add(Url { path: path.clone(), query: query.clone(), ..url.clone() });
    }
    // What is registered by hand often differs in both.
    if let Some((path, query)) = targets.first() {
        for scheme in ["https", "http"] {
            add(Url { scheme: scheme.to_owned(), path: path.clone(), query: query.clone(), ..url.clone() });
        }
    }
    for host in other_cases(&url.host) {
        add(Url { host, ..url.clone() });
    }
    for (host, port) in hosts(url, headers) {
        for scheme in [url.scheme.as_str(), "https", "http"] {
            let mut ports = vec![url.port.clone(), port.clone(), None];
            ports.extend(["443", "80"].map(|port| Some(port.to_owned())));
            ports.extend(first_of(headers, "x-forwarded-port").map(Some));
            for port in ports {
                add(Url { scheme: scheme.to_owned(), host: host.clone(), port, ..url.clone() });
            }
        }
    }
    for port in PORTS {
        for scheme in [url.scheme.as_str(), "https", "http"] {
            add(Url { scheme: scheme.to_owned(), port: Some((*port).to_owned()), ..url.clone() });
        }
    }
    found
}

/// A host in lower case, in upper case, and with one capital.
fn other_cases(host: &str) -> [String; 3] {
    let mut letters = host.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    [host.to_ascii_lowercase(), host.to_ascii_uppercase(), first.into_iter().chain(letters).collect()]
}

fn first_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(|first| first.trim().to_owned()).filter(|first| !first.is_empty())
}

fn hosts(url: &Url, headers: &HeaderMap) -> Vec<(String, Option<String>)> {
    let www = match url.host.strip_prefix("www.") {
        Some(bare) => bare.to_owned(),
        None => format!("www.{}", url.host),
    };
    let mut hosts = vec![(url.host.clone(), url.port.clone())];
    let forwarded = first_of(headers, "forwarded").and_then(|first| {
        let pairs = first.split(';').filter_map(|pair| pair.trim().split_once('='));
        let mut hosts = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        hosts.next().map(|(_, host)| host.trim_matches('"').to_owned())
    });
    let named = ["x-forwarded-host", "x-original-host", "host"].into_iter().filter_map(|name| first_of(headers, name));
    for authority in named.chain(forwarded) {
        let (host, port) = host_and_port(&authority);
        let entry = (host.to_owned(), port.map(str::to_owned));
        let plain = host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'[' | b']' | b'_'));
        if plain && !hosts.contains(&entry) {
            hosts.push(entry);
        }
    }
    hosts.push((www, url.port.clone()));
    hosts.truncate(MOST_HOSTS);
    hosts
}

fn targets(url: &Url, headers: &HeaderMap) -> Vec<(String, Option<String>)> {
    let path = url.path.as_str();
    let slash = match path.strip_suffix('/') {
        Some(bare) => bare.to_owned(),
        None => format!("{path}/"),
    };
    let mut targets = vec![(slash, url.query.clone())];
    if let Some(query) = &url.query {
        targets.push((path.to_owned(), None));
        let decoded = percent_decoded(query.as_bytes()).and_then(|query| String::from_utf8(query).ok());
        for query in [decoded, Some(query.replace('+', "%20")), Some(query.replace("%20", "+"))].into_iter().flatten() {
            targets.push((path.to_owned(), Some(query)));
        }
    }
    if let Some(prefix) = first_of(headers, "x-forwarded-prefix") {
        let prefix = format!("/{}", prefix.trim_matches('/'));
        targets.push((format!("{prefix}{path}"), url.query.clone()));
        targets.extend(path.strip_prefix(&prefix).map(|rest| (rest.to_owned(), url.query.clone())));
    }
    for name in ["x-original-uri", "x-original-url", "x-rewrite-url", "x-forwarded-uri"] {
        let Some(target) = first_of(headers, name).filter(|target| target.starts_with('/')) else { continue };
        let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
        targets.push((path.to_owned(), query.map(str::to_owned)));
    }
    targets.push((String::new(), None));
    targets.push(("/".to_owned(), None));
    targets
}

fn say(bench: &mut Bench<'_, '_>, url: &Url, signed: &Url) {
    let finding = format!("In the URL that the sender signed, {}.", differences(url, signed).join(", and "));
    bench.found("url_differs", finding, fix(url, signed));
}

/// A URL without its query, for a sentence.
pub(super) fn shown(text: &str) -> String {
    let bare = text.split(['?', '#']).next().unwrap_or_default();
    let query = if bare.len() == text.len() { "" } else { "?…" };
    let bare: String = bare.chars().filter(|letter| !letter.is_control()).take(LONGEST_SHOWN).collect();
    format!("`{bare}{query}`")
}

/// What to say of a genuine delivery for another URL, and what to do. Goes on after the delivery as the subject.
pub(super) fn compared(known: &str, signed: &str) -> (String, String) {
    let (url, other) = (Url::parse(known), Url::parse(signed));
    let (how, fix) = match (url, other) {
        (Some(url), Some(other)) => (format!(": {}", differences(&url, &other).join(", and ")), fix(&url, &other)),
        (None, _) | (_, None) => (String::new(), EXACTLY.to_owned()),
    };
    (format!("is for {}, and was compared with {}{how}.", shown(signed), shown(known)), fix)
}

fn differences(url: &Url, signed: &Url) -> Vec<String> {
    let mut parts = Vec::new();
    if url.scheme != signed.scheme {
        parts.push(format!("the scheme is `{}`, not `{}`", signed.scheme, url.scheme));
    }
    if url.host != signed.host {
        parts.push(format!("the host is `{}`, not `{}`", signed.host, url.host));
    }
    if url.port != signed.port {
        let port = |port: &Option<String>| port.as_ref().map_or("none".to_owned(), |port| format!("`{port}`"));
        parts.push(format!("the port is {}, not {}", port(&signed.port), port(&url.port)));
    }
    let is_slash = url.path.trim_end_matches('/') == signed.path.trim_end_matches('/');
    if url.path != signed.path && is_slash {
        let there = if signed.path.ends_with('/') {
            "there is a slash at the end of the path"
        } else {
            "the path has no slash at its end"
        };
        parts.push(there.to_owned());
    } else if url.path != signed.path {
        parts.push(format!("the path is `{}`, not `{}`", signed.path, url.path));
    }
    if url.query != signed.query {
        parts.push(match (&signed.query, &url.query) {
            (None, _) => "there is no query".to_owned(),
            (Some(_), _) => "the query is another one".to_owned(),
        });
    }
    parts
}

fn fix(url: &Url, signed: &Url) -> String {
    // A prefix that was stripped on the way belongs into public_url.
    let prefix = signed.path.strip_suffix(&url.path).unwrap_or_default().trim_end_matches('/');
    if url.origin() != signed.origin() || !prefix.is_empty() {
        format!("Set public_url = \"{}{prefix}\".", signed.origin())
    } else {
        EXACTLY.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_put_together() {
        for (text, origin, host, port, path, query) in [
            ("https://a.example", "https://a.example", "a.example", None, "", None),
            ("http://a.example:80/", "http://a.example:80", "a.example", Some("80"), "/", None),
            ("https://a.example?k", "https://a.example", "a.example", None, "", Some("k")),
            ("https://a.example/b?c=/d?e", "https://a.example", "a.example", None, "/b", Some("c=/d?e")),
            ("https://[::1]:8/", "https://[::1]:8", "[::1]", Some("8"), "/", None),
            ("https://[::1]/", "https://[::1]", "[::1]", None, "/", None),
            ("https://a.example:/", "https://a.example:", "a.example:", None, "/", None),
            ("https://a.example:8x/", "https://a.example:8x", "a.example:8x", None, "/", None),
        ] {
            let url = Url::parse(text).unwrap();
            let parts = (url.host.as_str(), url.port.as_deref(), url.path.as_str(), url.query.as_deref());
            assert_eq!(parts, (host, port, path, query), "{text}");
            assert_eq!((url.origin().as_str(), url.text().as_str()), (origin, text));
        }
        assert!(Url::parse("a.example/b").is_none());
    }

    fn tried(url: &str, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let lines =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        candidates(&Url::parse(url).unwrap(), &lines.collect::<HeaderMap>()).iter().map(Url::text).collect()
    }

    #[test]
    fn each_url_is_tried_once_and_likelier_ones_first() {
        let expected = "\
            http://a.example/b https://a.example/b/ https://a.example https://a.example/ http://a.example/b/ \
            https://A.EXAMPLE/b https://A.example/b \
            https://a.example:443/b https://a.example:80/b http://a.example:443/b http://a.example:80/b \
            https://www.a.example/b https://www.a.example:443/b https://www.a.example:80/b \
            http://www.a.example/b http://www.a.example:443/b http://www.a.example:80/b \
            https://a.example:8443/b http://a.example:8443/b https://a.example:8080/b http://a.example:8080/b \
            https://a.example:3000/b http://a.example:3000/b https://a.example:4443/b http://a.example:4443/b \
            https://a.example:5000/b http://a.example:5000/b https://a.example:8000/b http://a.example:8000/b";
        assert_eq!(tried("https://a.example/b", &[]), expected.split(' ').collect::<Vec<_>>());
    }

    #[test]
    fn what_the_headers_say_is_tried() {
        let url = "https://a.example:1/b/c?d=e%20f";
        for (headers, other) in [
            (&[("host", "b.example:2")], "https://b.example:2/b/c?d=e%20f"),
            (&[("host", "b.example")], "https://b.example:1/b/c?d=e%20f"),
            (&[("x-forwarded-host", "b_1.example, c.example")], "https://b_1.example/b/c?d=e%20f"),
            (&[("x-original-host", "[::2]:3")], "http://[::2]:3/b/c?d=e%20f"),
            (&[("forwarded", "for=x; Host=\"b.example\"")], "https://b.example/b/c?d=e%20f"),
            (&[("x-forwarded-port", " 9 ,8")], "https://a.example:9/b/c?d=e%20f"),
            (&[("x-forwarded-prefix", "p/")], "https://a.example:1/p/b/c?d=e%20f"),
            (&[("x-forwarded-prefix", "/b")], "https://a.example:1/c?d=e%20f"),
            (&[("x-original-uri", "/g?h")], "https://a.example:1/g?h"),
            (&[("x-original-url", "/g")], "https://a.example:1/g"),
            (&[("x-rewrite-url", "/g")], "https://a.example:1/g"),
            (&[("x-forwarded-uri", "/g, /h")], "https://a.example:1/g"),
            (&[("host", "")], "https://a.example:1/b/c?d=e+f"),
            (&[("host", "")], "https://a.example:1/b/c?d=e f"),
            (&[("host", "")], "https://a.example:1/b/c"),
        ] {
            let found = tried(url, headers);
            assert!(found.iter().any(|one| one == other), "{headers:?}: {found:?}");
        }
    }

    #[test]
    fn what_is_no_host_or_path_is_not_tried() {
        let url = "https://a.example/b";
        let plain = tried(url, &[]);
        for headers in [
            [("host", "")],
            [("host", " , c.example")],
            [("host", "b/c")],
            [("host", "b@c")],
            [("host", "a.example")],
            [("forwarded", "for=c.example")],
            [("x-forwarded-port", ",")],
            [("x-original-uri", "https://c.example/d")],
        ] {
            assert_eq!(tried(url, &headers), plain, "{headers:?}");
        }
    }

    #[test]
    fn at_most_so_many_hosts_are_tried() {
        let url = Url::parse("https://a.example/b").unwrap();
        let lines = ["x-forwarded-host", "x-original-host", "host"].map(HeaderName::from_static);
        let values = ["b.example", "c.example", "d.example"].map(HeaderValue::from_static);
        let mut headers: HeaderMap = lines.into_iter().zip(values).collect();
        headers.insert("forwarded", HeaderValue::from_static("host=e.example"));
        let found: Vec<_> = hosts(&url, &headers).into_iter().map(|(host, _)| host).collect();
        assert_eq!(found, ["a.example", "b.example", "c.example", "d.example", "e.example", "www.a.example"]);
    }

    #[test]
    fn a_url_is_shown_without_its_query_and_at_a_bounded_length() {
        let long = "x".repeat(LONGEST_SHOWN);
        for (text, expected) in [
            ("https://a.example/b", "`https://a.example/b`"),
            ("https://a.example/b?c", "`https://a.example/b?…`"),
            ("https://a.example/b#c", "`https://a.example/b?…`"),
            ("https://a.example/\nb", "`https://a.example/b`"),
            (&format!("{long}y"), &format!("`{long}`")),
            ("", "``"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn each_difference_is_named() {
        for (known, signed, expected) in [
            ("https://a/b", "http://a/b", "the scheme is `http`, not `https`"),
            ("https://a/b", "https://c/b", "the host is `c`, not `a`"),
            ("https://a/b", "https://a:1/b", "the port is `1`, not none"),
            ("https://a:1/b", "https://a/b", "the port is none, not `1`"),
            ("https://a/b", "https://a/b/", "there is a slash at the end of the path"),
            ("https://a/b/", "https://a/b", "the path has no slash at its end"),
            ("https://a/b", "https://a/c", "the path is `/c`, not `/b`"),
            ("https://a/b?c", "https://a/b", "there is no query"),
            ("https://a/b", "https://a/b?c", "the query is another one"),
            ("https://a/b?d", "https://a/b?c", "the query is another one"),
            ("https://a/b", "https://a/b", ""),
            ("https://a/b", "http://c/b", "the scheme is `http`, not `https`, and the host is `c`, not `a`"),
        ] {
            let [known, signed] = [known, signed].map(|text| Url::parse(text).unwrap());
            assert_eq!(differences(&known, &signed).join(", and "), expected);
        }
    }

    #[test]
    fn the_fix_has_the_origin_and_the_prefix_that_was_stripped() {
        for (known, signed, expected) in [
            ("https://a/b", "http://a/b", "Set public_url = \"http://a\"."),
            ("https://a/b", "https://a/c/b", "Set public_url = \"https://a/c\"."),
            ("https://a/b", "https://a:1/c/b", "Set public_url = \"https://a:1/c\"."),
            ("https://a/b", "https://a/b/", EXACTLY),
            ("https://a", "https://a/", EXACTLY),
            ("https://a/b?c", "https://a/b", EXACTLY),
        ] {
            let parsed = [known, signed].map(|text| Url::parse(text).unwrap());
            assert_eq!(fix(&parsed[0], &parsed[1]), expected, "{known}, {signed}");
        }
        let (finding, fix) = compared("nothing", "https://a/b?c");
        assert_eq!(finding, "is for `https://a/b?…`, and was compared with `nothing`.");
        assert_eq!(fix, EXACTLY);
    }
}
