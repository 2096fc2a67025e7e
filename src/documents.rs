//! Public documents that verification asks for: the certificates of AWS SNS.
//!
//! A refused delivery can make us ask, so asking is bounded: an answer is kept for a month (its address names one certificate,
//! and the dates in it are looked at each time), a failure for half a minute, and strangers may have four documents a minute
//! fetched from one network and forty in all, so that one of them does not use up what a genuine sender needs. What a proven
//! message asks for is counted by itself. Must never fetch an address that the scheme has not pinned to the provider's own
//! host.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::sync::OnceCell;

use crate::check::client::Client;
use crate::check::signature::Wanted;
use crate::clock;
use crate::https::{Bounds, ExchangeError, Https};

/// A certificate is about 2 KiB, its chain not much more.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), bytes: 32 * 1024 };
const KEEP: Duration = Duration::from_hours(30 * 24);
const KEEP_FAILURE: Duration = Duration::from_secs(30);
/// The provider has one certificate a region at a time. Failures leave soon, so they do not fill this for long.
const MOST: usize = 128;
const MOST_A_MINUTE: usize = 40;
/// Of those, for one network, be it a balancer's that nobody has called trusted: the certificates of a few regions.
const MOST_OF_ONE: usize = 4;
/// For proven messages.
const MOST_PROVEN: usize = 10;
const MINUTE: Duration = Duration::from_mins(1);

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoDocument {
    /// Too many documents were asked for a moment ago.
    #[error("too many documents were asked for a moment ago")]
    TooSoon,
    /// The attempt failed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The answer is not 200.
    #[error("the answer was {0}")]
    Status(StatusCode),
}

/// On whose account a document is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Of a message that nothing proves yet, from this network. `None`: nobody knows from where.
    Stranger(Option<IpAddr>),
    /// Of a verified one.
    Proven,
}

impl Asker {
    /// By its network: 24 bits of an IPv4 address, 48 of an IPv6 one, as whoever rents one has many.
    pub(crate) fn stranger(client: Client) -> Self {
        let network = |address| match address {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                IpAddr::from([a, b, c, 0])
            }
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
        };
        match client {
            Client::Known(address) => Self::Stranger(Some(network(address))),
            Client::Unknown(_) => Self::Stranger(None),
        }
    }
}

/// Fetches documents and keeps them.
#[derive(Debug)]
pub(crate) struct Documents {
    https: Https,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_url: HashMap<Box<str>, Entry>,
    asked: Vec<(Instant, Asker)>,
}

/// One document: whoever comes first fetches it, the others wait.
type Cell = Arc<OnceCell<Result<Bytes, Arc<NoDocument>>>>;

#[derive(Debug)]
struct Entry {
    cell: Cell,
    until: Instant,
    there: bool,
}

impl Documents {
    pub(crate) fn new(https: Https) -> Self {
        Self { https, kept: Mutex::default() }
    }

    /// The document, kept or fetched.
    pub(crate) async fn get(&self, wanted: &Wanted, asker: Asker) -> Result<Bytes, Arc<NoDocument>> {
        let Wanted::Document(url) = wanted;
        let cell = self.cell(url, asker).map_err(Arc::new)?;
        let fetched = cell.get_or_init(|| async { self.fetch(url).await.map_err(Arc::new) }).await.clone();
        if fetched.is_ok() {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).prolong(url);
        }
        fetched
    }

    fn cell(&self, url: &str, asker: Asker) -> Result<Cell, NoDocument> {
        let now = clock::monotonic();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = kept.by_url.get(url).filter(|entry| entry.until > now) {
            return Ok(Arc::clone(&entry.cell));
        }
        kept.asked.retain(|(asked, _)| now.saturating_duration_since(*asked) < MINUTE);
        kept.by_url.retain(|_, entry| entry.until > now);
        if !kept.may_ask(asker) || kept.by_url.len() >= MOST {
            return Err(NoDocument::TooSoon);
        }
        kept.asked.push((now, asker));
        let cell = Cell::default();
        let until = now.checked_add(KEEP_FAILURE).ok_or(NoDocument::TooSoon)?;
        kept.by_url.insert(url.into(), Entry { cell: Arc::clone(&cell), until, there: false });
        Ok(cell)
    }

    async fn fetch(&self, url: &str) -> Result<Bytes, NoDocument> {
        let request = Request::get(url).header("user-agent", concat!("hookward/", env!("CARGO_PKG_VERSION")));
        let request = request.body(Full::default()).map_err(|_| NoDocument::Exchange(ExchangeError::Url))?;
        let answer = self.https.exchange(request, BOUNDS).await?;
        if answer.status() != StatusCode::OK {
            return Err(NoDocument::Status(answer.status()));
        }
        Ok(answer.into_body())
    }
}

impl Kept {
    fn may_ask(&self, asker: Asker) -> bool {
        let count = |counts: fn(&Asker, &Asker) -> bool| self.asked.iter().filter(|(_, by)| counts(by, &asker)).count();
        match asker {
            Asker::Proven => count(|by, _| *by == Asker::Proven) < MOST_PROVEN,
            Asker::Stranger(_) => {
                count(|by, _| *by != Asker::Proven) < MOST_A_MINUTE && count(|by, asker| by == asker) < MOST_OF_ONE
            }
        }
    }

    /// A document that is there stays, counted from when it came.
    fn prolong(&mut self, url: &str) {
        if let Some(entry) = self.by_url.get_mut(url).filter(|entry| !entry.there) {
            entry.there = true;
            entry.until = clock::monotonic().checked_add(KEEP).unwrap_or(entry.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::check::client::ClientFault;
    use crate::https::tests::server;

    fn from(address: &str) -> Asker {
        Asker::stranger(Client::Known(address.parse().unwrap()))
    }

    fn wanted(name: &str) -> Wanted {
        Wanted::Document(format!("https://sns.eu-west-1.amazonaws.com/{name}").into())
    }

    #[tokio::test]
    async fn a_document_is_fetched_once() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        for _ in 0..3 {
            assert_eq!(&*documents.get(&wanted("a"), Asker::Proven).await.unwrap(), b"hi");
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn whoever_comes_meanwhile_waits_for_the_same_document() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        let wanted = wanted("a");
        let (one, two) = tokio::join!(documents.get(&wanted, Asker::Proven), documents.get(&wanted, Asker::Proven));
        assert_eq!((&*one.unwrap(), &*two.unwrap()), (&b"hi"[..], &b"hi"[..]));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_not_repeated_at_once() {
        let (address, count) = server(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        for _ in 0..2 {
            assert!(matches!(&*documents.get(&wanted("a"), Asker::Proven).await.unwrap_err(), NoDocument::Status(_)));
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let redirect = b"HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\ncontent-length: 0\r\n\r\n";
        let (address, _) = server(redirect.to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        assert!(matches!(&*documents.get(&wanted("a"), Asker::Proven).await.unwrap_err(), NoDocument::Status(_)));
    }

    #[tokio::test]
    async fn a_flood_of_addresses_neither_asks_for_more_nor_pushes_out_what_is_there() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        assert!(documents.get(&wanted("first"), Asker::Stranger(None)).await.is_ok());
        for number in 0..100 {
            let _ = documents.get(&wanted(&number.to_string()), from(&format!("192.0.{number}.1"))).await;
        }
        assert_eq!(count.load(Ordering::SeqCst), MOST_A_MINUTE);
        assert!(documents.get(&wanted("first"), Asker::Stranger(None)).await.is_ok());
        for number in 0..100 {
            let _ = documents.get(&wanted(&format!("proven-{number}")), Asker::Proven).await;
        }
        assert_eq!(count.load(Ordering::SeqCst), MOST_A_MINUTE + MOST_PROVEN, "counted by themselves");
    }

    #[tokio::test]
    async fn one_network_does_not_use_up_what_the_others_may_ask_for() {
        let (address, count) = server(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        for (asked, network) in ["192.0.2.7", "2001:db8:1::7", "none"].iter().enumerate() {
            for number in 0..9 {
                let asker = match *network {
                    "192.0.2.7" => from(&format!("192.0.2.{number}")),
                    "2001:db8:1::7" => from(&format!("2001:db8:1:{number}::{number}")),
                    _ => Asker::stranger(Client::Unknown(ClientFault::ProxyLocal)),
                };
                let document = documents.get(&wanted(&format!("{asked}-{number}")), asker).await;
                let is_asked = !matches!(&*document.unwrap_err(), NoDocument::TooSoon);
                assert_eq!(is_asked, number < MOST_OF_ONE, "{network}");
            }
            assert_eq!(count.load(Ordering::SeqCst), (asked + 1) * MOST_OF_ONE, "{network}");
        }
    }
}
