//! `hookward schema`: the configuration's JSON Schema, for editors.
//!
//! Must need no configuration.

use std::io::Write;
use std::process::ExitCode;

use crate::config;

/// Options of `schema`: none.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, out: &mut dyn Write) -> ExitCode {
    match writeln!(out, "{:#}", config::schema()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_one_json_document() {
        let mut out = Vec::new();
        run(&Args {}, &mut out);
        let schema: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(schema.get("$schema").unwrap(), "https://json-schema.org/draft/2020-12/schema");
        assert!(out.ends_with(b"}\n"));
    }
}
