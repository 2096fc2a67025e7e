//! The command line: arguments → library → exit code (0 yes, 1 no, 2 usage).

mod check;
mod config_file;
mod demo;
mod explain;
mod forget;
mod healthcheck;
mod linger;
mod outgoing;
mod providers;
mod run;
mod schema;
mod send;
mod sign;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(fuzzing)]
pub(crate) use self::check::check as check_config;

/// Lets a webhook through only when it is proven genuine.
#[derive(Debug, Parser)]
#[command(name = "hookward", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate.
    Run(run::Args),
    /// Compile the configuration and show what it protects; exit 1 on problems.
    Check(check::Args),
    /// See it work: a sample app behind the gate, and every trick once. Needs no file and no network.
    Demo(demo::Args),
    /// Why was this request refused? Judges a captured one step by step; exit 1 if it is refused.
    Explain(Box<explain::Args>),
    /// Let a delivery run once more though it has run, for an operator's resend; exit 1 if it was not remembered.
    Forget(forget::Args),
    /// Ask a running hookward whether it is alive; for a container's HEALTHCHECK.
    Healthcheck(healthcheck::Args),
    /// Wait until the app no longer listens, so that hookward outlives it; for a container's preStop hook.
    Linger(linger::Args),
    /// List the providers that hookward knows, or print one as TOML to copy.
    Providers(providers::Args),
    /// Print the headers that a sender would send with a body.
    Sign(sign::Args),
    /// Post a sample event as the real sender would; exit 1 unless the answer is 2xx.
    Send(send::Args),
    /// Print the configuration's JSON Schema.
    Schema(schema::Args),
}

/// The whole program.
pub fn main() -> ExitCode {
    let mut out = std::io::stdout();
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args, &mut out),
        Command::Demo(args) => demo::run(&args, &mut out),
        Command::Explain(args) => explain::run(&args, &mut out),
        Command::Forget(args) => forget::run(&args, &mut out),
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Linger(args) => linger::run(&args),
        Command::Providers(args) => providers::run(&args, &mut out),
        Command::Sign(args) => sign::run(&args, &mut out),
        Command::Send(args) => send::run(&args, &mut out),
        Command::Schema(args) => schema::run(&args, &mut out),
    }
}
