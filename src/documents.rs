//! Public documents that verification asks for: the certificates of AWS SNS.
//!
//! A refused delivery can make us ask, so asking is bounded: an answer is kept for a month (its address names one certificate,
//! and the dates in it are looked at each time), a failure for half a minute, and at most ten documents a minute are asked
//! for at all. Must never fetch an address that the scheme has not pinned to the
//! provider's own host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::sync::OnceCell;

use crate::check::signature::Wanted;
use crate::clock;
use crate::https::{Bounds, ExchangeError, Https};

/// A certificate is about 2 KiB, its chain not much more.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), bytes: 32 * 1024 };
const KEEP: Duration = Duration::from_hours(30 * 24);
const KEEP_FAILURE: Duration = Duration::from_secs(30);
/// The provider has one certificate a region at a time. Failures leave soon, so they do not fill this for long.
const MOST: usize = 64;
const MOST_A_MINUTE: usize = 10;
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

/// Fetches documents and keeps them.
#[derive(Debug)]
pub(crate) struct Documents {
    https: Https,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_url: HashMap<Box<str>, Entry>,
    asked: Vec<Instant>,
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
    pub(crate) async fn get(&self, wanted: &Wanted) -> Result<Bytes, Arc<NoDocument>> {
        let Wanted::Document(url) = wanted;
        let cell = self.cell(url).map_err(Arc::new)?;
        let fetched = cell.get_or_init(|| async { self.fetch(url).await.map_err(Arc::new) }).await.clone();
        if fetched.is_ok() {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).prolong(url);
        }
        fetched
    }

    fn cell(&self, url: &str) -> Result<Cell, NoDocument> {
        let now = clock::monotonic();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = kept.by_url.get(url).filter(|entry| entry.until > now) {
            return Ok(Arc::clone(&entry.cell));
        }
        kept.asked.retain(|asked| now.saturating_duration_since(*asked) < MINUTE);
        kept.by_url.retain(|_, entry| entry.until > now);
        if kept.asked.len() >= MOST_A_MINUTE || kept.by_url.len() >= MOST {
            return Err(NoDocument::TooSoon);
        }
        kept.asked.push(now);
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
    use crate::https::tests::server;

    fn wanted(name: &str) -> Wanted {
        Wanted::Document(format!("https://sns.eu-west-1.amazonaws.com/{name}").into())
    }

    #[tokio::test]
    async fn a_document_is_fetched_once() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        for _ in 0..3 {
            assert_eq!(&*documents.get(&wanted("a")).await.unwrap(), b"hi");
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn whoever_comes_meanwhile_waits_for_the_same_document() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        let wanted = wanted("a");
        let (one, two) = tokio::join!(documents.get(&wanted), documents.get(&wanted));
        assert_eq!((&*one.unwrap(), &*two.unwrap()), (&b"hi"[..], &b"hi"[..]));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_not_repeated_at_once() {
        let (address, count) = server(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        for _ in 0..2 {
            assert!(matches!(&*documents.get(&wanted("a")).await.unwrap_err(), NoDocument::Status(_)));
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let redirect = b"HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\ncontent-length: 0\r\n\r\n";
        let (address, _) = server(redirect.to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        assert!(matches!(&*documents.get(&wanted("a")).await.unwrap_err(), NoDocument::Status(_)));
    }

    #[tokio::test]
    async fn a_flood_of_addresses_neither_asks_for_more_nor_pushes_out_what_is_there() {
        let (address, count) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let documents = Documents::new(Https::of_tests(address));
        assert!(documents.get(&wanted("first")).await.is_ok());
        for number in 0..100 {
            let _ = documents.get(&wanted(&number.to_string())).await;
        }
        assert_eq!(count.load(Ordering::SeqCst), MOST_A_MINUTE);
        assert!(documents.get(&wanted("first")).await.is_ok());
    }
}
