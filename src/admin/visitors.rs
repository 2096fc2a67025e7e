//! What probes and scrapers may take: so many connections, so many scrapes at once, so much time, small heads.
//!
//! The port is open to a cluster, so a scraper that reads slowly, or a flood of them, may cost some memory and nothing else. Of
//! too many connections the oldest goes: a probe is over in milliseconds, so it is never that one, and gets through a flood.
//! Must never wait for a visitor.

use std::collections::VecDeque;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::task::AbortHandle;

/// A probe has sent its head by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// One request and its answer; more than Prometheus itself waits unless told.
pub(super) const LONGEST: Duration = Duration::from_secs(15);
/// Connections at once.
const MOST: usize = 64;
/// Scrapes at once, each of which holds its whole text: two Prometheus servers, and two people who look.
pub(super) const MOST_SCRAPES: usize = 4;
/// Longest request head, bytes, for the inspector too: more than probes and scrapers send. Browsers send what every app on
/// `localhost` has set as cookies, whatever its port, and Node.js takes no more than this either. A longer head gets 431.
pub(crate) const LONGEST_HEAD: usize = 16 * 1024;
/// Headers of a request.
pub(crate) const MOST_HEADERS: usize = 50;

/// How their requests are read. One to a connection, so that what a connection holds is what a request holds.
pub(super) fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        // Whoever has said all still listens.
        .half_close(true)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS);
    builder
}

/// Those that are there, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Visitors(VecDeque<AbortHandle>);

impl Visitors {
    /// One more; if that is one too many, the oldest goes.
    pub(super) fn enter(&mut self, visitor: AbortHandle) {
        self.0.push_back(visitor);
        if self.0.len() > MOST {
            self.0.retain(|visitor| !visitor.is_finished());
        }
        if self.0.len() > MOST
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_one_too_many_the_oldest_goes() {
        let mut visitors = Visitors::default();
        let tasks: Vec<_> = (0..MOST).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        for task in &tasks {
            visitors.enter(task.abort_handle());
        }
        tokio::task::yield_now().await;
        assert!(tasks.iter().all(|task| !task.is_finished()));
        let done = tokio::spawn(std::future::ready(()));
        while !done.is_finished() {
            tokio::task::yield_now().await;
        }
        visitors.enter(done.abort_handle());
        tokio::task::yield_now().await;
        assert!(tasks.iter().all(|task| !task.is_finished()), "one that has left takes no place");
        let last = tokio::spawn(std::future::pending::<()>());
        visitors.enter(last.abort_handle());
        tokio::task::yield_now().await;
        let gone: Vec<bool> = tasks.iter().map(tokio::task::JoinHandle::is_finished).collect();
        assert_eq!((gone.iter().position(|gone| *gone), gone.iter().filter(|gone| **gone).count()), (Some(0), 1));
        assert!(!last.is_finished());
    }
}
