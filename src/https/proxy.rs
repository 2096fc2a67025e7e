//! The way out through a proxy, as `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say (curl's rules).
//!
//! Must never show a proxy's password, nor send anything to a proxy that is meant for this machine. Sources: RFC 9110 §9.3.6
//! (CONNECT) and §11.7 (Proxy-Authorization), RFC 9112 §3.2.2 (absolute-form).

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A proxy's answer to CONNECT, bytes.
const LONGEST_HEAD: usize = 8 << 10;

/// Which requests go through a proxy. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Proxies {
    matcher: Arc<Matcher>,
    /// What would go through a proxy whose address cannot be read, and the variable that names it.
    unreadable: Arc<[(&'static str, Matcher)]>,
}

/// A proxy that speaks HTTP.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<HeaderValue>,
}

/// Why a connection cannot go through the proxy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// The variable names a proxy that speaks something else.
    #[error("only proxies at http:// can be used, and the environment names one at {0}://")]
    Kind(Box<str>),
    /// The variable names nothing.
    #[error("the environment variable {0} is not the address of a proxy")]
    Unreadable(&'static str),
    /// It refused.
    #[error("the proxy answered {0} to CONNECT")]
    Refused(u16),
    /// It answered something that is not HTTP.
    #[error("the proxy's answer to CONNECT is not HTTP")]
    Answer,
    /// The connection to it broke.
    #[error("the connection to the proxy broke: {0}")]
    Broken(#[from] io::Error),
}

impl Proxies {
    /// As the variables say.
    pub(super) fn of_environment() -> Self {
        Self::reading(Matcher::from_env(), |name| std::env::var(name).ok())
    }

    /// What `matcher` has taken for absent because it cannot read it is found again here.
    fn reading(matcher: Matcher, variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
        let somewhere = Uri::from_static("http://example.com/");
        let no = value(["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts).unwrap_or_default();
        let unreadable = [["HTTPS_PROXY", "https_proxy"], ["HTTP_PROXY", "http_proxy"], ["ALL_PROXY", "all_proxy"]];
        let unreadable = unreadable.into_iter().filter_map(value).filter_map(|(name, value)| {
            let found = Matcher::builder().all(value.as_str()).build().intercept(&somewhere);
            (!value.is_empty() && found.is_none()).then(|| {
                let (any, builder) = ("http://unreadable", Matcher::builder().no(no.as_str()));
                let builder = match name.to_ascii_uppercase().as_str() {
                    "HTTPS_PROXY" => builder.https(any),
                    "HTTP_PROXY" => builder.http(any),
                    _ => builder.all(any),
                };
                (name, builder.build())
            })
        });
        Self { unreadable: unreadable.collect(), matcher: Arc::new(matcher) }
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self::reading(Matcher::builder().build(), |_| None)
    }

    #[cfg(test)]
    pub(super) fn all(url: &str, no: &str) -> Self {
        Self::reading(Matcher::builder().all(url).no(no).build(), |_| None)
    }

    /// The proxy for this URL; `None`: it is called directly.
    pub(super) fn of(&self, url: &Uri) -> Result<Option<Proxy>, ProxyError> {
        if url.host().is_none_or(is_this_machine) {
            return Ok(None);
        }
        let found = self.matcher.intercept(url);
        let is_meant = |(name, matcher): &&(&str, Matcher)| {
            // A readable variable for the scheme comes before that for all.
            (found.is_none() || !name.eq_ignore_ascii_case("ALL_PROXY")) && matcher.intercept(url).is_some()
        };
        if let Some((name, _)) = self.unreadable.iter().find(is_meant) {
            return Err(ProxyError::Unreadable(name));
        }
        let Some(found) = found else { return Ok(None) };
        let uri = found.uri();
        match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(host)) => Ok(Some(Proxy {
                host: unbracketed(host).to_owned(),
                // curl takes 1080 where no port is given; everyone else, and the scheme, say 80.
                port: uri.port_u16().unwrap_or(80),
                authorization: found.basic_auth().cloned(),
            })),
            (scheme, _) => Err(ProxyError::Kind(scheme.unwrap_or("?").into())),
        }
    }
}

impl Proxy {
    /// Asks for a tunnel on a connection to the proxy. `target` is `host:port`.
    pub(super) async fn tunnel(&self, mut stream: TcpStream, target: &str) -> Result<TcpStream, ProxyError> {
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n");
        if let Some(Ok(authorization)) = self.authorization.as_ref().map(HeaderValue::to_str) {
            let _ = write!(head, "proxy-authorization: {authorization}\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        match answer(&mut stream).await? {
            200..=299 => Ok(stream),
            status => Err(ProxyError::Refused(status)),
        }
    }
}

/// Reads a head and not a byte more: what follows belongs to the tunnel.
async fn answer(stream: &mut TcpStream) -> Result<u16, ProxyError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LONGEST_HEAD {
            return Err(ProxyError::Answer);
        }
        head.push(stream.read_u8().await?);
    }
    let status = || {
        let rest = head.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
        let digits = rest.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        matches!(rest.get(3), Some(b' ' | b'\r')).then_some(())?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    status().ok_or(ProxyError::Answer)
}

/// Loopback is never somebody else's.
fn is_this_machine(host: &str) -> bool {
    let host = unbracketed(host).trim_end_matches('.');
    let is_local = |suffix: &str| suffix.is_empty() || suffix.ends_with('.');
    host.to_ascii_lowercase().strip_suffix("localhost").is_some_and(is_local)
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

pub(super) fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(proxies: &Proxies, url: &str) -> Option<(String, u16, bool)> {
        let found = proxies.of(&url.parse().unwrap()).unwrap();
        found.map(|proxy| (proxy.host, proxy.port, proxy.authorization.is_some()))
    }

    #[test]
    fn calls_what_no_proxy_and_loopback_name_directly() {
        let proxies = Proxies::all("http://user:secret@proxy.internal:3128", "internal, 192.0.2.0/24");
        let through = Some(("proxy.internal".to_owned(), 3128, true));
        for url in ["https://docs.svix.com/x", "http://example.com", "https://198.51.100.1/", "https://notlocalhost/"] {
            assert_eq!(way(&proxies, url), through, "{url}");
        }
        for url in [
            "https://lists.internal/x",
            "https://192.0.2.7/",
            "http://localhost:3000/",
            "http://LOCALHOST./",
            "http://app.localhost/",
            "http://127.0.0.9:3000/",
            "http://[::1]:3000/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert_eq!(way(&proxies, url), None, "{url}");
        }
        assert_eq!(way(&Proxies::none(), "https://docs.svix.com/x"), None);
        assert!(!format!("{proxies:?}").contains("secret"));
        assert_eq!(way(&Proxies::all("http://[2001:db8::1]", ""), "https://a/").unwrap().0, "2001:db8::1");
    }

    #[test]
    fn an_address_that_cannot_be_read_is_an_error_and_not_a_way_around_the_proxy() {
        let of = |variables: &'static [(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            let value = |name: &str| find(name).unwrap_or_default().to_owned();
            let builder = Matcher::builder().all(value("ALL_PROXY")).http(value("HTTP_PROXY"));
            let matcher = builder.https(value("https_proxy")).no(value("NO_PROXY")).build();
            Proxies::reading(matcher, move |name| find(name).map(str::to_owned))
        };
        let asked = |proxies: &Proxies, url: &str| {
            let found = proxies.of(&url.parse().unwrap());
            found.map(|proxy| proxy.is_some()).map_err(|error| error.to_string())
        };
        let refusal = |name: &str| Err(format!("the environment variable {name} is not the address of a proxy"));
        for bad in [&[("https_proxy", "http://a b")][..], &[("https_proxy", "gopher://p:1")], &[("https_proxy", "::")]]
        {
            let proxies = of(bad);
            assert_eq!(asked(&proxies, "https://docs.svix.com/"), refusal("https_proxy"), "{bad:?}");
            assert_eq!(asked(&proxies, "http://docs.svix.com/"), Ok(false));
            assert_eq!(asked(&proxies, "https://localhost/"), Ok(false));
        }
        let no = of(&[("https_proxy", "::"), ("NO_PROXY", "svix.com")]);
        assert_eq!(asked(&no, "https://docs.svix.com/"), Ok(false));
        let all = of(&[("ALL_PROXY", "::"), ("HTTP_PROXY", "p:3128")]);
        assert_eq!(asked(&all, "https://docs.svix.com/"), refusal("ALL_PROXY"));
        assert_eq!(asked(&all, "http://docs.svix.com/"), Ok(true));
        assert_eq!(asked(&of(&[("https_proxy", ""), ("ALL_PROXY", "p")]), "https://docs.svix.com/"), Ok(true));
    }

    #[test]
    fn says_which_proxies_cannot_be_used() {
        for (proxy, kind) in [("https://p:443", "https"), ("socks5://p:1080", "socks5"), ("socks5h://p", "socks5h")] {
            let error = Proxies::all(proxy, "").of(&"https://docs.svix.com/".parse().unwrap()).unwrap_err();
            assert!(error.to_string().ends_with(&format!("names one at {kind}://")), "{error}");
        }
    }
}
