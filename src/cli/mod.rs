//! The command line: arguments → library → exit code (0 yes, 1 no, 2 usage).

mod check;
mod config_file;
mod demo;
mod healthcheck;
mod run;
mod schema;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Ask a running hookward whether it is alive; for a container's HEALTHCHECK.
    Healthcheck(healthcheck::Args),
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
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Schema(args) => schema::run(&args, &mut out),
    }
}
