//! `hookward demo`: a sample app behind the real gate, and every trick once.
//!
//! Everything is real but the app, which counts over TCP what reaches it: the same server, the same configuration compiler,
//! the same checks. A build in which a check is missing makes the table wrong and `--once` exit 1. Needs no file, no
//! network beyond loopback, and makes a fresh secret each time. Must never share a code path that skips a check.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::run::{fail, runtime};
use crate::civil::Civil;
use crate::clock;
use crate::server::Server;
use crate::telemetry::AccessLog;

mod app;
mod cases;
mod sender;

use app::App;
use cases::{Case, Seen, cases};
use sender::Sender;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Exit after the table: 0 if every outcome is as it should be, else 1.
    #[arg(long)]
    once: bool,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let shown = runtime(1).and_then(|runtime| runtime.block_on(demo(args.once, out)));
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail(&"the demo found outcomes that are not as they should be: this build must not be trusted"),
        Err(error) => fail(&error),
    }
}

async fn demo(once: bool, out: &mut dyn Write) -> io::Result<bool> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let app_address = listener.local_addr()?;
    let app = App::start(listener);
    let sender = Sender::with_fresh_secret();
    let plan = cases::plan(app_address, &sender).map_err(|report| io::Error::other(report.to_string()))?;
    let server = Server::bind(Arc::new(plan), AccessLog::off(), 1).await?;
    let address = server.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        let _ = stopped.await;
    }));

    writeln!(out, "hookward {} in front of a sample app\n", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  sender -> http://{address} (hookward) -> http://{app_address} (app)\n")?;
    let mut right = true;
    let cases = cases(&sender);
    row(out, ["", "what was sent", "answer", "", "the app"])?;
    row(out, ["", "-------------", "------", "", "-------"])?;
    for case in &cases {
        let before = app.seen();
        let answer = sender::exchange(address, &case.request).await?;
        let seen = Seen::between(before, app.seen());
        let ok = answer.status == case.status && answer.code() == case.code && seen == case.app;
        right &= ok;
        row(
            out,
            [if ok { "ok" } else { "WRONG" }, case.what, &answer.status.to_string(), &answer.code(), &seen.to_string()],
        )?;
        if !ok {
            writeln!(out, "        should have been {} {} and {}", case.status, case.code, case.app)?;
        }
    }
    let refused = cases.iter().filter(|case| case.app == Seen::Nothing).count();
    writeln!(out, "\n{} requests, {refused} of which the app never heard of.", cases.len())?;
    if once {
        let _ = stop.send(());
        let _ = serving.await;
        return Ok(right);
    }
    try_it(out, address, &cases)?;
    tokio::signal::ctrl_c().await?;
    let _ = stop.send(());
    let _ = serving.await;
    Ok(right)
}

fn row(out: &mut dyn Write, [mark, what, answer, code, app]: [&str; 5]) -> io::Result<()> {
    writeln!(out, "  {mark:5} {what:44} {answer:>6} {code:20} {app}")
}

fn try_it(out: &mut dyn Write, address: SocketAddr, cases: &[Case]) -> io::Result<()> {
    writeln!(
        out,
        "\nStill running. Paste these (signed at {}; good for five minutes):\n",
        Civil::of(clock::unix_now_millis())
    )?;
    for (case, request) in cases.iter().filter_map(|case| Some((case, case.paste.as_ref()?))) {
        writeln!(out, "  # {}\n  {}\n", case.what, request.as_curl(address))?;
    }
    writeln!(
        out,
        "Ctrl-C ends it. Next: copy config.example.toml, put your secret into CLERK_WEBHOOK_SIGNING_SECRET,"
    )?;
    writeln!(out, "and run `hookward check`.")
}
