//! `hookward check`
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
/// Options of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}
pub(crate) fn run(_args: &Args, _out: &mut dyn Write) -> ExitCode { ExitCode::SUCCESS }
