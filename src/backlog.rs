//! What of a streamed body waits before the app's socket: no more than [`MOST`] and one frame, and no more than [`FRAMES`].
//!
//! hyper would take 408 KiB of a body that the app does not read. Its limit is the one of its reads too, which a download
//! needs. So the body hands over no more once that much waits, until the socket has been flushed, and is polled again then.
//! The body and the socket belong to one connection, which is driven by one task at a time. Must never let a body wait for a
//! flush that has been.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes. From here on, the next frame waits.
const MOST: usize = 32 * 1024;
/// Each may keep a whole buffer alive. Less than the 16 from which hyper does not ask the body any more.
const FRAMES: usize = 8;

/// Shared by a connection to the app and the body that goes over it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Handed over since the last flush.
    bytes: AtomicUsize,
    frames: AtomicUsize,
    body: Mutex<Option<Waker>>,
}

impl Backlog {
    /// Whether the body may hand over another frame. If not, its task is woken when it may.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.0.is_full() {
            return Poll::Ready(());
        }
        *self.0.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        Poll::Pending
    }

    /// A frame of so many bytes has been handed over.
    pub(crate) fn grow(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// The socket has taken all of it: hyper flushes a socket when nothing is left before it.
    pub(crate) fn clear(&self) {
        if self.0.frames.load(Ordering::Relaxed) == 0 {
            return;
        }
        let was_full = self.0.is_full();
        self.0.bytes.store(0, Ordering::Relaxed);
        self.0.frames.store(0, Ordering::Relaxed);
        if !was_full {
            return;
        }
        let body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(body) = body {
            body.wake();
        }
    }
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= MOST || self.frames.load(Ordering::Relaxed) >= FRAMES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_body_waits_from_the_limit_on_and_is_woken_once_by_the_flush() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Arc::clone(&count).into();
        let cx = Context::from_waker(&waker);
        let backlog = Backlog::default();
        let socket = backlog.clone();
        backlog.grow(MOST - 1);
        assert!(backlog.poll_room(&cx).is_ready());
        backlog.grow(1);
        assert!(backlog.poll_room(&cx).is_pending() && backlog.poll_room(&cx).is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        socket.clear();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(backlog.poll_room(&cx).is_ready());
        socket.clear();
        backlog.grow(2 * MOST);
        socket.clear();
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "nobody waits");
        for _ in 0..FRAMES {
            assert!(backlog.poll_room(&cx).is_ready());
            backlog.grow(1);
        }
        assert!(backlog.poll_room(&cx).is_pending());
        socket.clear();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
    }
}
