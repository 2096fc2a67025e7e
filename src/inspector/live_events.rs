//! What happens, as it happens: server-sent events (WHATWG HTML, "Server-sent events").
//!
//! Whoever listens reads from the same ring as everybody else, so that a slow one costs no memory: it misses what has gone out
//! of the ring meanwhile, and is left when it takes nothing. Must never be waited for by a request.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};

use super::describe;
use crate::telemetry::recent::Recent;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// So that both sides know that the other one is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A flood is told in portions, not one by one.
const GATHER: Duration = Duration::from_millis(100);
/// Decisions in one portion.
const PORTION: usize = 100;
/// How soon a browser comes back, milliseconds.
const RETRY: u64 = 2_000;

/// After which number to go on: what a browser that comes back has seen last. 0: from the start.
pub(super) fn resume_after(headers: &HeaderMap, run: u64) -> u64 {
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let Some((its_run, number)) = last.and_then(|id| id.split_once('-')) else { return 0 };
    let digits =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    // The numbers of another process are not ours.
    digits(number).filter(|_| digits(its_run) == Some(run)).unwrap_or(0)
}

/// Tells of everything after `after`, until nobody listens any more.
pub(super) fn start(
    recent: Arc<Recent>,
    run: u64,
    mut after: u64,
    place: OwnedSemaphorePermit,
) -> mpsc::Receiver<Bytes> {
    let (pieces, taken) = mpsc::channel(1);
    let mut news = recent.watch();
    tokio::spawn(async move {
        let _place = place;
        let hello = format!("retry: {RETRY}\nevent: hello\ndata: {}\n\n", json!({ "run": run, "after": after }));
        let mut piece = hello;
        loop {
            if !piece.is_empty() && pieces.send(Bytes::from(std::mem::take(&mut piece))).await.is_err() {
                return;
            }
            news.borrow_and_update();
            let portion = recent.after(after, PORTION);
            for (number, decision) in &portion {
                let data = describe::decision(*number, decision);
                // Writing into a string cannot fail.
                let _ = write!(piece, "id: {run}-{number}\nevent: decision\ndata: {data}\n\n");
                after = *number;
            }
            if portion.len() == PORTION {
                continue;
            }
            if portion.is_empty() {
                piece = match timeout(HEARTBEAT, news_or_end(&mut news, &pieces)).await {
                    Ok(true) => String::new(),
                    Ok(false) => return,
                    Err(_) => "event: alive\ndata: {}\n\n".to_owned(),
                };
            }
            sleep(GATHER).await;
        }
    });
    taken
}

/// Whether there is news; `false`: the end.
async fn news_or_end(news: &mut tokio::sync::watch::Receiver<u64>, pieces: &mpsc::Sender<Bytes>) -> bool {
    tokio::select! {
        changed = news.changed() => changed.is_ok(),
        () = pieces.closed() => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_comes_back_goes_on_where_it_was_unless_the_process_is_another() {
        let after = |id: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(LAST_EVENT_ID, id.parse().unwrap());
            resume_after(&headers, 7)
        };
        assert_eq!(after("7-12"), 12);
        for other in ["6-12", "12", "", "7-", "-12", "7-+12", "7-12-1", "7-99999999999999999999", "x-12"] {
            assert_eq!(after(other), 0, "{other}");
        }
        assert_eq!(resume_after(&HeaderMap::new(), 7), 0);
    }
}
