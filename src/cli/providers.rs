//! `hookward providers`: whom hookward knows, and each entry as text to copy.
//!
//! Must need no configuration.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;

use super::outgoing::{Trouble, catalog, unknown};
use crate::providers::{Catalog, EventTypes, Evidence, Provider, entry};

/// Options of `providers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One provider: its entry as TOML, ready to be copied into a configuration and changed there.
    name: Option<String>,
    /// How to print the list.
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with = "name")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    match print(args, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.exit(),
    }
}

fn print(args: &Args, out: &mut dyn Write) -> Result<(), Trouble> {
    let catalog = catalog()?;
    match (&args.name, args.format) {
        (Some(name), _) => match entry(&catalog, name) {
            Some(text) => write!(out, "{text}")?,
            None => return Err(Trouble::Usage(unknown(name, &catalog))),
        },
        (None, Format::Text) => table(&catalog, out)?,
        (None, Format::Json) => writeln!(out, "{:#}", json(&catalog))?,
    }
    Ok(())
}

fn table(catalog: &Catalog, out: &mut dyn Write) -> io::Result<()> {
    let header = ["name".to_owned(), "title".to_owned(), "signs".to_owned(), "rests on".to_owned(), "waits".to_owned()];
    let rows: Vec<[String; 5]> =
        std::iter::once(header).chain(catalog.iter().map(|(name, provider)| row(catalog, name, provider))).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or_default()).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn row(catalog: &Catalog, name: &str, provider: &Provider) -> [String; 5] {
    let signs = catalog.signs(name).map(|signs| signs.to_string()).unwrap_or_default();
    let waits = format!("{} s", provider.sender_deadline().as_secs());
    [name.to_owned(), provider.title.clone(), signs, evidence(provider.evidence).to_owned(), waits]
}

fn evidence(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Sdk => "sdk",
        Evidence::Vendor => "vendor",
        Evidence::Docs => "docs",
    }
}

fn json(catalog: &Catalog) -> serde_json::Value {
    let entry = |(name, provider): (&str, &Provider)| {
        serde_json::json!({
            "name": name,
            "title": provider.title,
            "docs": provider.docs,
            "like": provider.like,
            "secret": provider.secret,
            "secret_env": provider.secret_env,
            "signs": catalog.signs(name).map(crate::providers::Signs::words).unwrap_or_default(),
            "evidence": evidence(provider.evidence),
            "sender_deadline": provider.sender_deadline().as_secs(),
            "answer_matters": provider.answer_matters,
            "event_types": EventTypes::of(name).map(|types| types.iter().collect::<Vec<_>>()),
        })
    };
    catalog.iter().map(entry).collect()
}
