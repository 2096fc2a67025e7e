//! Whether somebody reads the bodies that stream through one client connection.
//!
//! Over HTTP/2 many share a connection, and what is not read is held by h2, at a cost that depends on how it was sent. The
//! socket sees what is sent and cannot tell whether it is read; whoever reads tells it here. Must never call a body read that
//! its reader may leave alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many of a connection's bodies nobody reads now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attention(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    unread: AtomicUsize,
    /// How often that became none.
    whole: AtomicUsize,
}

/// A body that is to be read. Over when dropped.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Body>);

/// For somebody who knows that its reader will be busy with something else.
#[derive(Debug)]
pub(crate) struct Witness(Arc<Body>);

#[derive(Debug)]
struct Body {
    connection: Attention,
    now: Mutex<Now>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    /// What comes lies there.
    Waits,
    /// What comes is taken at once.
    Read,
    /// As `Waits`, and for good.
    Neglected,
    Over,
}

impl Attention {
    /// Whether every body is read.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.unread.load(Ordering::Acquire) == 0
    }

    /// How often every body came to be read after one had not been. Each time, nothing was left of what had come before.
    pub(crate) fn times_whole(&self) -> usize {
        self.0.whole.load(Ordering::Acquire)
    }

    /// Another body, which nobody reads yet.
    pub(crate) fn body(&self) -> Reader {
        self.0.unread.fetch_add(1, Ordering::AcqRel);
        Reader(Arc::new(Body { connection: self.clone(), now: Mutex::new(Now::Waits) }))
    }
}

impl Reader {
    /// From here on, what comes is taken at once.
    pub(crate) fn reads(&self) {
        self.0.turn(Now::Read);
    }

    /// From here on, what comes lies there.
    pub(crate) fn waits(&self) {
        self.0.turn(Now::Waits);
    }

    /// See [`Witness`].
    pub(crate) fn witness(&self) -> Witness {
        Witness(Arc::clone(&self.0))
    }
}

impl Witness {
    /// It may be left alone from here on, whatever its reader says.
    pub(crate) fn neglected(&self) {
        self.0.turn(Now::Neglected);
    }
}

impl Body {
    fn turn(&self, to: Now) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == to || *now == Now::Over || (*now == Now::Neglected && to != Now::Over) {
            return;
        }
        let unread = |now| matches!(now, Now::Waits | Now::Neglected);
        match (unread(*now), unread(to)) {
            (false, true) => {
                self.connection.0.unread.fetch_add(1, Ordering::AcqRel);
            }
            (true, false) => {
                if self.connection.0.unread.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.connection.0.whole.fetch_add(1, Ordering::AcqRel);
                }
            }
            (true, true) | (false, false) => {}
        }
        *now = to;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.turn(Now::Over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_whole_attention_while_each_of_its_bodies_is_read() {
        let connection = Attention::default();
        assert!(connection.is_whole());
        let (one, other) = (connection.body(), connection.body());
        assert!(!connection.is_whole(), "nobody reads them yet");
        one.reads();
        assert!(!connection.is_whole());
        other.reads();
        other.reads();
        assert!(connection.is_whole());
        assert_eq!(connection.times_whole(), 1);
        one.waits();
        one.waits();
        assert!(!connection.is_whole());
        drop(one);
        assert!(connection.is_whole());
        assert_eq!(connection.times_whole(), 2);
    }

    #[test]
    fn a_neglected_body_stays_so_until_it_is_over() {
        let connection = Attention::default();
        let body = connection.body();
        let witness = body.witness();
        body.reads();
        witness.neglected();
        body.reads();
        assert!(!connection.is_whole());
        drop(body);
        assert!(connection.is_whole());
        witness.neglected();
        assert!(connection.is_whole(), "it is over");
    }
}
