//! Who may read: a person at this machine, through the page itself or a tool; not a page of somebody else's in their browser.
//!
//! Against DNS rebinding the name that was asked for must be one that no foreign DNS server can answer for: a loopback
//! address or `localhost`. Against a foreign page that asks anyway, what the browser says about it counts (Fetch Metadata,
//! `Origin`). Must never take a name that merely begins or ends well.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Request, StatusCode, Uri};

/// Why somebody may not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not one name, or a target that is not a path.
    Malformed,
    /// Another name than ours.
    Host,
    /// A page of another origin asks.
    Foreign,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Foreign => StatusCode::FORBIDDEN,
        }
    }

    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Malformed => "one Host, and a path, please\n",
            Self::Host => {
                "ask for localhost or 127.0.0.1: another name is not answered, so that no foreign page can read here\n"
            }
            Self::Foreign => "not for pages of another origin\n",
        }
    }
}

/// # Errors
/// Why not.
pub(super) fn judge<B>(request: &Request<B>, public: bool) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refusal::Malformed) };
    if request.uri().authority().is_some() || !request.uri().path().starts_with('/') {
        return Err(Refusal::Malformed);
    }
    let host = host.to_str().ok().filter(|host| is_ours(host, public)).ok_or(Refusal::Host)?;
    if is_foreign(request.headers(), request.uri(), host) { Err(Refusal::Foreign) } else { Ok(()) }
}

/// With any port: `kubectl port-forward` gives it another one. An address that is no name cannot be rebound, so where others
/// than this machine may read, any address will do.
fn is_ours(host: &str, public: bool) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, "")) => (name, None),
            Some((name, rest)) => (name, Some(rest.strip_prefix(':').unwrap_or_default())),
            None => return false,
        },
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let digits = |port: &str| !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    if !port.is_none_or(digits) {
        return false;
    }
    let bracketed = host.starts_with('[');
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_ipv6() == bracketed && (public || address.to_canonical().is_loopback()),
        Err(_) => !bracketed && name.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether a browser says that another page asks. Following a link to the page is not that.
fn is_foreign(headers: &HeaderMap, uri: &Uri, host: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let foreign_origin = headers
        .get(ORIGIN)
        .is_some_and(|origin| origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) != Some(host));
    let followed =
        uri.path() == "/" && text("sec-fetch-mode") == Some("navigate") && text("sec-fetch-dest") == Some("document");
    let foreign_site = !matches!(text("sec-fetch-site"), None | Some("same-origin" | "none")) && !followed;
    foreign_origin || foreign_site
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_no_foreign_server_answers_for_are_ours() {
        for host in [
            "localhost",
            "LocalHost:9091",
            "localhost:1",
            "127.0.0.1",
            "127.0.0.1:65535",
            "127.8.9.1:80",
            "[::1]",
            "[::1]:9091",
            "[::ffff:127.0.0.1]:9091",
        ] {
            assert!(is_ours(host, false), "{host}");
        }
        for host in [
            "",
            ":9091",
            "evil.example",
            "evil.example:9091",
            "localhost.evil.example",
            "localhost.",
            "evil-localhost",
            "127.0.0.1.evil.example",
            "127.0.0.1.nip.io:9091",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0.0.0.0:9091",
            "10.0.0.5",
            "[::]",
            "[::1",
            "::1",
            "[::1]9091",
            "[::1]:",
            "localhost:",
            "localhost:+1",
            "localhost:123456",
            "localhost:80:80",
            "a@localhost",
            "localhost@evil.example",
            "[localhost]",
            "[127.0.0.1]",
            "localhost/",
            " localhost",
        ] {
            assert!(!is_ours(host, false), "{host}");
        }
    }

    #[test]
    fn a_public_one_answers_to_any_address_and_still_to_no_name() {
        for host in ["10.0.0.5:9091", "[2001:db8::1]:9091", "localhost", "127.0.0.1"] {
            assert!(is_ours(host, true), "{host}");
        }
        for host in ["evil.example", "inspector.internal:9091", "10.0.0.5.nip.io"] {
            assert!(!is_ours(host, true), "{host}");
        }
    }

    fn judged(target: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let request =
            headers.iter().fold(Request::builder().uri(target), |request, (name, value)| request.header(*name, *value));
        judge(&request.body(()).unwrap(), false)
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let ours = ("host", "localhost:9091");
        for allowed in [
            &[ours][..],
            &[ours, ("sec-fetch-site", "same-origin")],
            &[ours, ("sec-fetch-site", "none")],
            &[ours, ("origin", "http://localhost:9091"), ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(judged("/api/decisions", allowed), Ok(()), "{allowed:?}");
        }
        for refused in [
            &[ours, ("sec-fetch-site", "cross-site")][..],
            &[ours, ("sec-fetch-site", "same-site")],
            &[ours, ("sec-fetch-site", "")],
            &[ours, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
            &[ours, ("origin", "null")],
            &[ours, ("origin", "https://evil.example")],
            &[ours, ("origin", "http://localhost:3000")],
            &[ours, ("origin", "http://localhost:9091.evil.example")],
        ] {
            assert_eq!(judged("/api/decisions", refused), Err(Refusal::Foreign), "{refused:?}");
        }
    }

    #[test]
    fn a_link_to_the_page_may_be_followed_but_not_framed() {
        let from = |dest| {
            [
                ("host", "localhost"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", dest),
            ]
        };
        assert_eq!(judged("/", &from("document")), Ok(()));
        assert_eq!(judged("/", &from("iframe")), Err(Refusal::Foreign));
    }

    #[test]
    fn one_host_and_a_path_are_needed() {
        assert_eq!(judged("/", &[]), Err(Refusal::Malformed));
        assert_eq!(judged("/", &[("host", "localhost"), ("host", "localhost")]), Err(Refusal::Malformed));
        assert_eq!(judged("http://localhost/", &[("host", "localhost")]), Err(Refusal::Malformed));
        assert_eq!(judged("*", &[("host", "localhost")]), Err(Refusal::Malformed));
        assert_eq!(judged("/", &[("host", "evil.example")]), Err(Refusal::Host));
    }
}
