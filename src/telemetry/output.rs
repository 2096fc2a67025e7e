//! Log lines on their way out: gathered in memory, written by a thread of their own.
//!
//! A request never waits for whoever reads the log: when the reader stalls, lines are counted and dropped, and the next
//! line that gets through says how many. Must never block a caller.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More than this unwritten means that nobody reads.
const MOST: usize = 1024 * 1024;
/// Lines of this long are gathered into one write.
const GATHER: Duration = Duration::from_millis(20);
/// A shutdown waits no longer for a reader: a pod that ends may have two seconds in all.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where lines go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Output(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    lost: u64,
    closed: bool,
    /// All of it is written.
    ended: bool,
}

/// Writes what is left when dropped, if somebody reads it.
#[derive(Debug)]
pub struct Writer(Output);

impl Output {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mut sink: impl Write + Send + 'static) -> io::Result<(Self, Writer)> {
        let output = Self(Arc::default());
        let shared = Arc::clone(&output.0);
        std::thread::Builder::new().name("log".into()).stack_size(64 * 1024).spawn(move || {
            let mut batch = Vec::new();
            loop {
                let mut state = shared.lock();
                while state.lines.is_empty() && !state.closed {
                    state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if !state.closed {
                    state = shared
                        .changed
                        .wait_timeout_while(state, GATHER, |state| !state.closed)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                std::mem::swap(&mut state.lines, &mut batch);
                let (lost, closed) = (std::mem::take(&mut state.lost), state.closed);
                drop(state);
                if lost > 0 {
                    batch.extend_from_slice(
                        format!("{{\"level\":\"warn\",\"msg\":\"log lines lost\",\"lost\":{lost}}}\n").as_bytes(),
                    );
                }
                // A log that cannot be written must not stop the gate, and there is nowhere to say so.
                let _ = sink.write_all(&batch).and_then(|()| sink.flush());
                batch.clear();
                batch.shrink_to(256 * 1024);
                if closed {
                    shared.lock().ended = true;
                    shared.changed.notify_all();
                    return;
                }
            }
        })?;
        let writer = Writer(output.clone());
        Ok((output, writer))
    }

    /// Adds one line; `write` appends its bytes, and the line end.
    pub(crate) fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        if state.lines.len() > MOST {
            state.lost = state.lost.saturating_add(1);
            return;
        }
        let first = state.lines.is_empty();
        write(&mut state.lines);
        drop(state);
        if first {
            self.0.changed.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Shared { changed, .. } = &*self.0.0;
        let mut state = self.0.0.lock();
        state.closed = true;
        changed.notify_one();
        // The process ends next, and the thread with it.
        drop(changed.wait_timeout_while(state, PATIENCE, |state| !state.ended));
    }
}

/// Lets `tracing` write through the same output.
impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Output {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { output: self.clone(), bytes: Vec::new() }
    }
}

/// One event of `tracing`.
#[derive(Debug)]
pub struct Line {
    output: Output,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            self.output.line(|lines| lines.extend_from_slice(&bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_before_the_writer_is_gone() {
        let sink = Sink::default();
        let (output, writer) = Output::start(sink.clone()).unwrap();
        for number in 0..1000 {
            output.line(|line| line.extend_from_slice(format!("{number}\n").as_bytes()));
        }
        drop(writer);
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 1000);
        assert!(written.starts_with("0\n1\n") && written.ends_with("999\n"));
    }

    /// As a full pipe whose reader has stopped.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                std::thread::park();
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_end_does_not_wait_for_ever_for_who_does_not_read() {
        let (output, writer) = Output::start(Stuck).unwrap();
        output.line(|line| line.push(b'\n'));
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(writer);
            ended.send(()).unwrap();
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(10)), Ok(()));
    }
}
