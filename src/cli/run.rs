//! `hookward run`: load the configuration, bind, serve, reload on SIGHUP, drain on SIGTERM or SIGINT.
//!
//! Must never bind a port before the whole configuration holds.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::config_file;
use crate::config::{Loaded, System};
use crate::ip_lists::{IpLists, WithLists};
use crate::plan::{LogFormat, Plan};
use crate::reload::{self, Careful, Reading, Reloader, Wake};
use crate::server::Server;
use crate::telemetry::{self, AccessLog, Output};

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration; else `HOOKWARD_CONFIG`, `./hookward.toml`, `/etc/hookward/hookward.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Format of log lines; else `telemetry.log`.
    #[arg(long, value_name = "FORMAT")]
    log: Option<Log>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Log {
    Json,
    Text,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let path = match config_file::find(args.config.as_deref()) {
        Ok(path) => path,
        Err(error) => return fail(&error),
    };
    // The cgroup's CPU quota and the affinity mask both count here.
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runtime = match runtime(workers) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    // Before anything that takes time: until there is a handler, SIGHUP ends the process.
    let hangups = match runtime.block_on(async { signal(SignalKind::hangup()) }) {
        Ok(hangups) => hangups,
        Err(error) => return fail(&error),
    };
    let lists = Arc::new(IpLists::default());
    let environment = WithLists::new(System, Arc::clone(&lists));
    let (reading, outcome) = reload::load(&path, &environment);
    let Loaded { plan, notices, .. } = match outcome {
        Ok(loaded) => loaded,
        Err(report) => return fail(&report),
    };
    let format = match args.log {
        Some(Log::Json) => LogFormat::Json,
        Some(Log::Text) => LogFormat::Text,
        None => plan.log,
    };
    let (output, writer) = match Output::start(io::stdout()) {
        Ok(started) => started,
        Err(error) => return fail(&error),
    };
    telemetry::init(&output, format);
    for notice in &notices {
        tracing::warn!("{}", notice.to_string().trim_end());
    }
    for complaint in lists.complaints() {
        tracing::warn!("{complaint}");
    }
    let access = AccessLog::new(output, format);
    let served = runtime.block_on(serve(Start { path, plan, reading, lists, access, workers, hangups }));
    drop(writer);
    end(runtime);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Everything that is there before the ports are.
struct Start {
    path: PathBuf,
    plan: Plan,
    reading: Reading,
    lists: Arc<IpLists>,
    access: AccessLog,
    workers: usize,
    hangups: Signal,
}

async fn serve(start: Start) -> io::Result<()> {
    let Start { path, plan, reading, lists, access, workers, mut hangups } = start;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (waker, woken) = reload::channel();
    let (upstream, routes, fingerprint) = (plan.upstream.to_string(), plan.routes.len(), plan.fingerprint.clone());
    let fetched = waker.clone();
    let server = Server::bind(Arc::new(plan), access, workers)
        .await?
        .with_lists(Arc::clone(&lists), move || fetched.wake(Wake::Lists));
    let environment = WithLists::new(Careful, lists);
    let reloader = Reloader::new(path.clone(), environment, reading, server.live(), server.metrics());
    let watcher = reloader.watch(waker.clone(), woken)?;
    let asked = tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            waker.wake(Wake::Signal);
        }
    });
    let addresses: Vec<String> = server.local_addrs()?.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(", ");
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = addresses,
        health = server.health_addr().map(tracing::field::display),
        inspector = server.inspector_addr().map(tracing::field::display),
        upstream,
        routes,
        fingerprint = &*fingerprint,
        workers,
        config = %path.display(),
        "ready"
    );
    server
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // A plan that came now would serve nobody.
            asked.abort();
            drop(watcher);
        })
        .await;
    Ok(())
}

/// One core means one thread: no work-stealing, no wake-ups across cores.
pub(crate) fn runtime(workers: usize) -> io::Result<Runtime> {
    if workers == 1 {
        Builder::new_current_thread().enable_all().build()
    } else {
        Builder::new_multi_thread().worker_threads(workers).enable_all().build()
    }
}

/// Everything has been answered, and nobody waits for what cannot be broken off: a name that is being looked up, for one.
fn end(runtime: Runtime) {
    runtime.shutdown_background();
}

pub(crate) fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    // Nothing can be done about a standard error that cannot be written.
    let _ = writeln!(io::stderr(), "{}", error.to_string().trim_end());
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_cannot_be_broken_off_holds_up_no_end() {
        let (ended, news) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = runtime(1).unwrap();
            let (begun, running) = std::sync::mpsc::channel();
            runtime.spawn_blocking(move || {
                begun.send(()).unwrap();
                loop {
                    std::thread::park();
                }
            });
            running.recv().unwrap();
            end(runtime);
            ended.send(()).unwrap();
        });
        assert_eq!(news.recv_timeout(Duration::from_secs(10)), Ok(()));
    }
}
