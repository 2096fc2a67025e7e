//! `hookward run`: load the configuration, bind, serve, drain on SIGTERM or SIGINT.
//!
//! Must never bind a port before the whole configuration holds.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::config_file;
use crate::config::{self, Loaded, System};
use crate::plan::LogFormat;
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
    let Loaded { plan, notices, .. } = match config::load(&path, &System) {
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
    // The cgroup's CPU quota and the affinity mask both count here.
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let served = runtime(workers).and_then(|runtime| {
        runtime.block_on(async {
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let upstream = plan.upstream.to_string();
            let routes = plan.routes.len();
            let server = Server::bind(Arc::new(plan), AccessLog::new(output, format), workers).await?;
            let addresses: Vec<String> = server.local_addrs()?.iter().map(ToString::to_string).collect();
            let addresses = addresses.join(", ");
            tracing::info!(
                version = env!("CARGO_PKG_VERSION"),
                listen = addresses,
                health = server.health_addr().map(tracing::field::display),
                upstream,
                routes,
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
                })
                .await;
            io::Result::Ok(())
        })
    });
    drop(writer);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// One core means one thread: no work-stealing, no wake-ups across cores.
pub(crate) fn runtime(workers: usize) -> io::Result<Runtime> {
    if workers == 1 {
        Builder::new_current_thread().enable_all().build()
    } else {
        Builder::new_multi_thread().worker_threads(workers).enable_all().build()
    }
}

pub(crate) fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    // Nothing can be done about a standard error that cannot be written.
    let _ = writeln!(io::stderr(), "{}", error.to_string().trim_end());
    ExitCode::FAILURE
}
