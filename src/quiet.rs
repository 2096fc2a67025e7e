//! A task that does not wake itself.
//!
//! hyper's connection and the body that it brings are polled by one task here. Taking a piece of the body wakes the
//! connection, which is that task, in the middle of its own turn: it would be looked through once more for nothing. Within
//! [`quietly`] such a call is not heard on this thread; what another thread calls always is. Must never be used where nobody
//! looks after the connection in the same turn.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Wake, Waker};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    Loud,
    Quiet,
    /// There was a call, and it was not heard.
    Called,
}

thread_local!(static HEARING: Cell<Hearing> = const { Cell::new(Hearing::Loud) });

/// Runs `turn`; meanwhile this thread's calls to [`Hushed`] wakers are not heard. Also whether there was one.
pub(crate) fn quietly<T>(turn: impl FnOnce() -> T) -> (T, bool) {
    /// Also when it panics.
    struct Before(Hearing);
    impl Drop for Before {
        fn drop(&mut self) {
            HEARING.set(self.0);
        }
    }
    let _before = Before(HEARING.replace(Hearing::Quiet));
    (turn(), HEARING.get() == Hearing::Called)
}

/// A task's waker, as it is handed to those whose calls may come within [`quietly`].
#[derive(Debug, Default)]
pub(crate) struct Hushed(Option<(Waker, Waker)>);

#[derive(Debug)]
struct Task(Waker);

impl Hushed {
    /// The waker to hand on. The same one for as long as the task's is the same.
    pub(crate) fn of(&mut self, task: &Waker) -> &Waker {
        let kept = self.0.take().filter(|(before, _)| before.will_wake(task));
        let (_, hushed) = self.0.insert(kept.unwrap_or_else(|| (task.clone(), Arc::new(Task(task.clone())).into())));
        hushed
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match HEARING.get() {
            Hearing::Loud => self.0.wake_by_ref(),
            Hearing::Quiet | Hearing::Called => HEARING.set(Hearing::Called),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counted() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        (Arc::clone(&count), count.into())
    }

    #[test]
    fn a_call_is_not_heard_within_and_is_before_and_after() {
        let (count, task) = counted();
        let mut hushed = Hushed::default();
        let waker = hushed.of(&task).clone();
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(quietly(|| quietly(|| waker.wake_by_ref())), (((), true), false));
        assert_eq!(quietly(|| waker.wake_by_ref()), ((), true));
        assert_eq!(quietly(|| 7), (7, false));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert!(std::panic::catch_unwind(|| quietly(|| panic!("within"))).is_err());
        waker.wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn another_threads_call_is_always_heard() {
        let (count, task) = counted();
        let waker = Hushed::default().of(&task).clone();
        let wake = || std::thread::scope(|scope| scope.spawn(|| waker.wake_by_ref()).join().unwrap());
        assert_eq!(quietly(wake), ((), false));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn one_task_gets_one_waker_and_another_another() {
        let ((_, one), (count, other)) = (counted(), counted());
        let mut hushed = Hushed::default();
        let first = hushed.of(&one).clone();
        assert!(first.will_wake(hushed.of(&one)));
        let second = hushed.of(&other).clone();
        assert!(!first.will_wake(&second));
        second.wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
