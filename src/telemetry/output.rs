//! Log lines on their way out: gathered in memory, written by a thread of their own.
//!
//! A request never waits for whoever reads the log: when the reader stalls, lines are counted and dropped, and the next
//! line that gets through says how many. Must never block a caller.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More than this unwritten means that nobody reads.
const MOST: usize = 1024 * 1024;
/// Lines of this long, or of so many bytes, are gathered into one write.
const GATHER: Duration = Duration::from_millis(20);
const BATCH: usize = 64 * 1024;
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
            let (mut unsaid, mut torn) = (0_u64, false);
            loop {
                let mut state = shared.lock();
                while state.lines.is_empty() && !state.closed {
                    state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if !state.closed {
                    state = shared
                        .changed
                        .wait_timeout_while(state, GATHER, |state| !state.closed && state.lines.len() < BATCH)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                std::mem::swap(&mut state.lines, &mut batch);
                unsaid = unsaid.saturating_add(std::mem::take(&mut state.lost));
                let closed = state.closed;
                drop(state);
                if unsaid > 0 {
                    batch.extend_from_slice(
                        format!("{{\"level\":\"warn\",\"msg\":\"log lines lost\",\"lost\":{unsaid}}}\n").as_bytes(),
                    );
                }
                // A log that cannot be written must not stop the gate; what it lacks is said when it can be.
                unsaid = match unwritten(&mut sink, &batch, &mut torn) {
                    0 => 0,
                    lines => lines.saturating_add(unsaid).saturating_sub(u64::from(unsaid > 0)),
                };
                batch.clear();
                batch.shrink_to(2 * BATCH);
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
        let before = state.lines.len();
        write(&mut state.lines);
        let begins = before == 0 || (before < BATCH && state.lines.len() >= BATCH);
        drop(state);
        if begins {
            self.0.changed.notify_one();
        }
    }
}

/// Writes lines as far as it can, and counts those that are not out. One that is cut off, as by a full disk, is among them;
/// then it is `torn`, and ended before anything else is written.
fn unwritten(sink: &mut impl Write, lines: &[u8], torn: &mut bool) -> u64 {
    let (mut rest, mut last) = (lines, b'\n');
    if *torn && matches!(sink.write(b"\n"), Ok(1)) {
        *torn = false;
    }
    while !*torn && !rest.is_empty() {
        match sink.write(rest) {
            Ok(written) if written > 0 => {
                let (out, left) = rest.split_at_checked(written).unwrap_or((rest, &[]));
                last = out.last().copied().unwrap_or(last);
                rest = left;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    *torn |= !rest.is_empty() && last != b'\n';
    let _ = sink.flush();
    rest.iter().fold(0, |count, byte| count.saturating_add(u64::from(*byte == b'\n')))
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

    #[test]
    fn what_a_full_disk_takes_is_counted_and_its_last_line_is_ended() {
        /// Takes so many bytes, and no more.
        struct Disk(Vec<u8>, usize);

        impl Write for Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let room = bytes.len().min(self.1 - self.0.len());
                if room == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.extend_from_slice(&bytes[..room]);
                Ok(room)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let (mut disk, mut torn) = (Disk(Vec::new(), 8), false);
        assert_eq!(unwritten(&mut disk, b"one\n", &mut torn), 0);
        assert_eq!((unwritten(&mut disk, b"two\nthree\n", &mut torn), torn), (1, false), "between two lines");
        disk.1 = 10;
        assert_eq!((unwritten(&mut disk, b"three\nfour\n", &mut torn), torn), (2, true), "within a line");
        assert_eq!((unwritten(&mut disk, b"five\n", &mut torn), torn), (1, true), "still full");
        disk.1 = 100;
        assert_eq!((unwritten(&mut disk, b"six\n", &mut torn), torn), (0, false));
        assert_eq!(String::from_utf8(disk.0).unwrap(), "one\ntwo\nth\nsix\n");
    }

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
