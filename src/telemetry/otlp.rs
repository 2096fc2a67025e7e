//! One span for each webhook, made when its request ends, and the bounded queue in which spans wait to be sent.
//!
//! What a span says is what the access line says, under the names of OpenTelemetry's semantic conventions for HTTP servers
//! where there are any, else under `hookward.`. Must never hold what the access line may not hold, and never let a request wait:
//! when the queue is full, spans are counted and dropped.

pub mod messages;
mod span;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use self::messages::Span;
pub(crate) use self::span::{Begun, resource};
use super::access::Record;

/// Spans that wait, at most. Queue and batch are those of OpenTelemetry's batch processor.
const MOST: usize = 2048;
/// Spans that are sent together.
pub(crate) const BATCH: usize = 512;

/// Spans that wait to be sent. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spans(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Vec<Span>>,
    lost: AtomicU64,
    /// There is a whole batch.
    enough: Notify,
}

impl Spans {
    /// Makes a span of a request that ends, if one was begun for it.
    pub(super) fn ended(&self, record: &Record) {
        let Some(begun) = &record.span else { return };
        if self.waiting().len() >= MOST {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let span = span::of(record, begun);
        let mut waiting = self.waiting();
        waiting.push(span);
        let is_enough = waiting.len() == BATCH;
        drop(waiting);
        if is_enough {
            self.0.enough.notify_one();
        }
    }

    /// Resolves when a batch has gathered, or after `longest`.
    pub(crate) async fn due(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.0.enough.notified()).await;
    }

    /// The next to be sent, oldest first.
    pub(crate) fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting();
        let count = waiting.len().min(BATCH);
        waiting.drain(..count).collect()
    }

    /// How many found no room since this was last asked.
    pub(crate) fn take_lost(&self) -> u64 {
        self.0.lost.swap(0, Ordering::Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Span>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};

    use super::*;
    use crate::telemetry::AccessLog;
    use crate::telemetry::trace_context::TraceParent;

    fn end(spans: &Spans, path: &str, begun: bool) {
        let mut record = Record::new(AccessLog::off(), HeaderValue::from_static("127.0.0.1"), Method::POST, path);
        record.trace = Some(TraceParent::new(true));
        record.span = begun.then(|| Box::new(Begun::default()));
        spans.ended(&record);
    }

    #[test]
    fn a_full_queue_counts_what_it_drops_and_keeps_the_oldest() {
        let spans = Spans::default();
        for number in 0..=MOST {
            end(&spans, &format!("/{number}"), true);
        }
        assert_eq!((spans.take_lost(), spans.take_lost()), (1, 0));
        let mut taken = 0;
        loop {
            let batch = spans.take();
            if batch.is_empty() {
                break;
            }
            assert_eq!(batch.len(), BATCH);
            taken += batch.len();
        }
        assert_eq!(taken, MOST);
        end(&spans, "/again", true);
        assert_eq!((spans.take().len(), spans.take_lost()), (1, 0));
    }

    #[test]
    fn a_request_for_which_none_was_begun_leaves_none() {
        let spans = Spans::default();
        end(&spans, "/page", false);
        assert!(spans.take().is_empty());
    }

    #[tokio::test]
    async fn a_whole_batch_does_not_wait() {
        let spans = Spans::default();
        let hour = Duration::from_hours(1);
        (1..BATCH).for_each(|_| end(&spans, "/", true));
        let early = tokio::time::timeout(Duration::from_millis(50), spans.due(hour)).await;
        assert!(early.is_err(), "one is missing");
        end(&spans, "/", true);
        tokio::time::timeout(Duration::from_secs(10), spans.due(hour)).await.unwrap();
    }
}
