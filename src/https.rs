//! One HTTP exchange with a server elsewhere, over TLS unless the URL says `http`.
//!
//! For `send`, for the few public documents that verification needs and for lists of addresses; never for a delivery.
//! Everything is bounded: time, the answer's size, no redirects. Must never be lax about a certificate. Sources: RFC 9110,
//! RFC 9112, RFC 8446.

mod proxy;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use self::proxy::{Proxies, Proxy, ProxyError, unbracketed};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// Neither `http` nor `https`, or without a host.
    #[error("only absolute http:// and https:// addresses can be called")]
    Url,
    /// No connection, or no TLS on it.
    #[error("connecting failed: {0}")]
    Connect(#[source] io::Error),
    /// The environment asks for a proxy that cannot be used, or that refuses.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// None of the authorities to trust can be read.
    #[error("the authorities to trust cannot be read")]
    Authorities,
    /// The connection broke, or spoke something that is not HTTP.
    #[error("the answer was broken: {0}")]
    Broken(#[source] hyper::Error),
    /// The answer's body broke, or is longer than allowed.
    #[error("the answer's body is broken or too long")]
    Body,
    /// Not in time.
    #[error("there was no answer in time")]
    Timeout,
}

/// Makes exchanges. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Https {
    tls: Arc<ClientConfig>,
    proxies: Proxies,
    /// For tests: where every connection goes, whatever the URL says.
    #[cfg(test)]
    everything_to: Option<std::net::SocketAddr>,
}

/// Bounds of one exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// For all of it.
    pub(crate) time: Duration,
    /// Bytes of the answer's body.
    pub(crate) bytes: usize,
}

impl Https {
    /// Trusts Mozilla's list of authorities.
    pub(crate) fn new() -> Self {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// Trusts these authorities alone.
    pub(crate) fn trusting_pem(pem: &[u8]) -> Result<Self, ExchangeError> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
        if added == 0 { Err(ExchangeError::Authorities) } else { Ok(Self::trusting(roots)) }
    }

    fn trusting(roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = rustls::DEFAULT_VERSIONS;
        // With ring's own suites and rustls' own versions this cannot fail; nothing would be trusted if it did.
        let tls = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
        let tls = tls.unwrap_or_else(|_| {
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        });
        Self {
            tls: Arc::new(tls),
            proxies: Proxies::of_environment(),
            #[cfg(test)]
            everything_to: None,
        }
    }

    /// Sends one request on a connection of its own and reads the whole answer. `Host` is set where it is missing.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        bounds: Bounds,
    ) -> Result<Response<Bytes>, ExchangeError> {
        tokio::time::timeout(bounds.time, self.unhurried(request, bounds.bytes))
            .await
            .unwrap_or(Err(ExchangeError::Timeout))
    }

    async fn unhurried(
        &self,
        mut request: Request<Full<Bytes>>,
        longest: usize,
    ) -> Result<Response<Bytes>, ExchangeError> {
        let uri = request.uri().clone();
        let authority = uri.authority().ok_or(ExchangeError::Url)?.clone();
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(ExchangeError::Url),
        };
        let host = unbracketed(authority.host()).to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        if !request.headers().contains_key(HOST) {
            let value = HeaderValue::try_from(authority.as_str()).map_err(|_| ExchangeError::Url)?;
            request.headers_mut().insert(HOST, value);
        }
        let proxy = self.proxies.of(&uri)?;
        let (to, at) = proxy.as_ref().map_or((host.as_str(), port), |proxy| (proxy.host.as_str(), proxy.port));
        let stream = self.connect(to, at).await.map_err(ExchangeError::Connect)?;
        // A proxy is told the whole address of what is not in a tunnel.
        if let (false, Some(proxy)) = (secure, &proxy) {
            authorize(&mut request, proxy);
            return speak(stream, request, longest).await;
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() = target.parse::<Uri>().map_err(|_| ExchangeError::Url)?;
        if !secure {
            return speak(stream, request, longest).await;
        }
        let stream = match &proxy {
            Some(proxy) => proxy.tunnel(stream, &format!("{}:{port}", authority.host())).await?,
            None => stream,
        };
        let name = ServerName::try_from(host).map_err(|_| ExchangeError::Url)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(ExchangeError::Connect)?;
        speak(stream, request, longest).await
    }

    #[cfg(not(test))]
    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect((host, port)).await
    }

    #[cfg(test)]
    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        match self.everything_to {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((host, port)).await,
        }
    }
}

fn authorize(request: &mut Request<Full<Bytes>>, proxy: &Proxy) {
    if let Some(value) = &proxy.authorization {
        request.headers_mut().insert(PROXY_AUTHORIZATION, value.clone());
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    longest: usize,
) -> Result<Response<Bytes>, ExchangeError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(ExchangeError::Broken)?;
    let driver = tokio::spawn(connection);
    let answer = async {
        let (parts, body) = sender.send_request(request).await.map_err(ExchangeError::Broken)?.into_parts();
        let body = Limited::new(body, longest).collect().await.map_err(|error| {
            match error.downcast::<LengthLimitError>() {
                Ok(_) => ExchangeError::Body,
                Err(error) => {
                    error.downcast::<hyper::Error>().map_or(ExchangeError::Body, |error| ExchangeError::Broken(*error))
                }
            }
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
    .await;
    driver.abort();
    answer
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::SocketAddr;

    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const CA: &[u8] = include_bytes!("https/testdata/ca.pem");
    const LEAF: &[u8] = include_bytes!("https/testdata/leaf.pem");
    const KEY: &[u8] = include_bytes!("https/testdata/leaf.key");
    pub(crate) const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), bytes: 1024 };

    impl Https {
        /// Trusts the tests' own authority, and calls this address whatever the URL says.
        pub(crate) fn of_tests(address: SocketAddr) -> Self {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(CA).unwrap()).unwrap();
            Self { everything_to: Some(address), proxies: Proxies::none(), ..Self::trusting(roots) }
        }

        fn without_roots(address: SocketAddr) -> Self {
            Self { everything_to: Some(address), proxies: Proxies::none(), ..Self::new() }
        }
    }

    /// A TLS server for `sns.eu-west-1.amazonaws.com` that answers every request the same, and counts.
    pub(crate) async fn server(answer: Vec<u8>) -> (SocketAddr, Arc<std::sync::atomic::AtomicUsize>) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(LEAF).unwrap()],
                PrivateKeyDer::from_pem_slice(KEY).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let served = Arc::clone(&count);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                served.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        });
        (address, count)
    }

    fn get(url: &str) -> Request<Full<Bytes>> {
        Request::get(url).body(Full::default()).unwrap()
    }

    #[tokio::test]
    async fn reads_an_answer_over_tls() {
        let (address, _) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let answer =
            Https::of_tests(address).exchange(get("https://sns.eu-west-1.amazonaws.com/x"), BOUNDS).await.unwrap();
        assert_eq!((answer.status().as_u16(), &**answer.body()), (200, &b"hi"[..]));
    }

    #[tokio::test]
    async fn refuses_a_certificate_of_another_name_or_authority() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let other = Https::of_tests(address).exchange(get("https://sns.eu-west-2.amazonaws.com/x"), BOUNDS).await;
        assert!(matches!(other, Err(ExchangeError::Connect(_))), "{other:?}");
        let unknown =
            Https::without_roots(address).exchange(get("https://sns.eu-west-1.amazonaws.com/x"), BOUNDS).await;
        assert!(matches!(unknown, Err(ExchangeError::Connect(_))), "{unknown:?}");
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn reads_no_more_than_it_was_allowed() {
        let long = [b"HTTP/1.1 200 OK\r\ncontent-length: 1025\r\n\r\n".as_slice(), &[b'x'; 1025]].concat();
        let (address, _) = server(long).await;
        let answer = Https::of_tests(address).exchange(get("https://sns.eu-west-1.amazonaws.com/x"), BOUNDS).await;
        assert!(matches!(answer, Err(ExchangeError::Body)), "{answer:?}");
    }

    #[tokio::test]
    async fn calls_nothing_but_http() {
        let (address, _) = server(Vec::new()).await;
        for url in ["ftp://a/b", "/b"] {
            let answer = Https::of_tests(address).exchange(get(url), BOUNDS).await;
            assert!(matches!(answer, Err(ExchangeError::Url)), "{url}");
        }
    }

    /// A proxy that notes each head, answers it with `answer`, and joins the connection with `to`.
    async fn proxy(
        answer: &'static [u8],
        to: SocketAddr,
    ) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (noted, heads) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                noted.send(String::from_utf8(head).unwrap()).unwrap();
                let mut behind = TcpStream::connect(to).await.unwrap();
                stream.write_all(answer).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
            }
        });
        (address, heads)
    }

    fn through(proxy: SocketAddr, user: &str) -> Https {
        let direct = Https::of_tests(proxy);
        Https { everything_to: None, proxies: Proxies::all(&format!("http://{user}{proxy}"), ""), ..direct }
    }

    #[tokio::test]
    async fn speaks_tls_through_a_tunnel_of_the_proxy() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let (by, mut heads) = proxy(b"HTTP/1.1 200 Connection established\r\nx-proxy: 1\r\n\r\n", address).await;
        let answer =
            through(by, "u:p%20w@").exchange(get("https://sns.eu-west-1.amazonaws.com/x"), BOUNDS).await.unwrap();
        assert_eq!((answer.status().as_u16(), &**answer.body()), (200, &b"hi"[..]));
        assert_eq!(
            heads.recv().await.unwrap(),
            "CONNECT sns.eu-west-1.amazonaws.com:443 HTTP/1.1\r\nhost: sns.eu-west-1.amazonaws.com:443\r\n\
             proxy-authorization: Basic dTpwIHc=\r\n\r\n"
        );
        let other = through(by, "").exchange(get("https://sns.eu-west-2.amazonaws.com:8443/x"), BOUNDS).await;
        assert!(matches!(other, Err(ExchangeError::Connect(_))), "the proxy is not believed either: {other:?}");
        let head = heads.recv().await.unwrap();
        assert!(head.starts_with("CONNECT sns.eu-west-2.amazonaws.com:8443 ") && !head.contains("authorization"));
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_or_talks_nonsense_is_an_error() {
        let (address, count) = server(Vec::new()).await;
        for (answer, error) in [
            (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], "the proxy answered 407 to CONNECT"),
            (b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "the proxy answered 302 to CONNECT"),
            (b"HTTP/1.1 2000 OK\r\n\r\n", "the proxy's answer to CONNECT is not HTTP"),
            (b"SSH-2.0-x\r\n\r\n", "the proxy's answer to CONNECT is not HTTP"),
            (&[b'x'; 9000], "the proxy's answer to CONNECT is not HTTP"),
        ] {
            let (by, _heads) = proxy(answer, address).await;
            let refused = through(by, "").exchange(get("https://sns.eu-west-1.amazonaws.com/x"), BOUNDS).await;
            assert_eq!(refused.unwrap_err().to_string(), error);
        }
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_proxy_is_told_the_whole_address_of_what_is_not_encrypted() {
        let (address, _) = server(Vec::new()).await;
        let (by, mut heads) = proxy(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", address).await;
        let answer = through(by, "u:p@").exchange(get("http://app.example/x?y"), BOUNDS).await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let head = heads.recv().await.unwrap();
        assert!(head.starts_with("GET http://app.example/x?y HTTP/1.1\r\n"), "{head}");
        assert!(
            head.contains("host: app.example\r\n") && head.contains("proxy-authorization: Basic dTpw\r\n"),
            "{head}"
        );
    }

    #[test]
    fn trusts_the_authorities_that_it_is_given_or_none() {
        assert!(Https::trusting_pem(CA).is_ok());
        assert!(matches!(Https::trusting_pem(b"nothing"), Err(ExchangeError::Authorities)));
    }

    #[tokio::test]
    async fn gives_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hasty = Bounds { time: Duration::from_millis(50), bytes: 10 };
        let answer = Https::of_tests(listener.local_addr().unwrap())
            .exchange(get("https://sns.eu-west-1.amazonaws.com/"), hasty)
            .await;
        assert!(matches!(answer, Err(ExchangeError::Timeout)), "{answer:?}");
    }
}
