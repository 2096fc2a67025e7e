//! `hookward linger`: waits until the app no longer listens. For the preStop hook of a container beside the app's, in a
//! cluster without native sidecars: both get their signals at the same time, and hookward must serve for as long as the
//! app does.
//!
//! Must never wait longer than it was told to, nor end early because somebody broke the configuration: the process
//! serves on with the plan in force, whatever is on the disk.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::config_file;
use crate::config::{self, System, values};
use crate::ip_lists::WithLists;
use crate::plan::{Transport, Upstream};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// For connecting to an app that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// So long where the configuration does not say where the app is: enough for Services and ingresses to forget the pod.
const UNKNOWN_APP: Duration = Duration::from_secs(15);

/// Options of `linger`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration that names the app; else as for `run`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The longest to wait, such as 50s: below the pod's terminationGracePeriodSeconds.
    #[arg(long, value_name = "DURATION", default_value = "50s", value_parser = duration)]
    at_most: Duration,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let upstream = match upstream(args) {
        Ok(upstream) => upstream,
        Err(message) => {
            // As for `run`: nothing can be done about a standard error that cannot be written.
            let _ = writeln!(io::stderr(), "{}", message.trim_end());
            std::thread::sleep(UNKNOWN_APP.min(args.at_most));
            return ExitCode::FAILURE;
        }
    };
    if ends(args.at_most, move || listens(&upstream)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the app was seen to listen no longer, in time.
fn ends(at_most: Duration, mut listens: impl FnMut() -> bool + Send + 'static) -> bool {
    let (gone, news) = mpsc::channel();
    // On a thread of its own: looking a name up takes as long as it takes.
    std::thread::spawn(move || {
        while listens() {
            std::thread::sleep(INTERVAL);
        }
        // Whoever asked may have left.
        let _ = gone.send(());
    });
    news.recv_timeout(at_most).is_ok()
}

fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text).ok_or_else(|| "not a duration such as 50s".to_owned())
}

fn upstream(args: &Args) -> Result<Arc<Upstream>, String> {
    let path = config_file::find(args.config.as_deref()).map_err(|error| error.to_string())?;
    let loaded = config::load(&path, &WithLists::new(System, Arc::default())).map_err(|report| report.to_string())?;
    Ok(loaded.plan.upstream)
}

/// Whether anything but a refusal comes: an app that is too busy to answer is still there.
fn listens(upstream: &Upstream) -> bool {
    let gone = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::HostUnreachable
        )
    };
    if let Transport::Unix(path) = &upstream.transport {
        return UnixStream::connect(path).map_or_else(|error| !gone(&error), |_| true);
    }
    let authority = &upstream.authority;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let Ok(mut addresses) = (host, authority.port_u16().unwrap_or(80)).to_socket_addrs() else { return false };
    addresses.any(|address| TcpStream::connect_timeout(&address, PATIENCE).map_or_else(|error| !gone(&error), |_| true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_never_ends_makes_the_wait_no_longer() {
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let hangs = || {
                loop {
                    std::thread::park();
                }
            };
            ended.send(ends(Duration::from_millis(20), hangs)).unwrap();
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(10)), Ok(false));
    }

    #[test]
    fn ends_when_the_app_is_gone_and_not_before() {
        let mut looks = 0;
        assert!(ends(Duration::from_mins(1), move || {
            looks += 1;
            looks < 3
        }));
        assert!(!ends(Duration::from_millis(20), || true));
    }

    #[test]
    fn the_longest_wait_is_a_duration() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("50").is_err());
    }
}
